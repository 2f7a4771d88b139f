import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pickDue, readWatchedDevice, recheckShare, runRechecks } from '../../src/poller/recheck.ts'
import { createManualClock } from '../manual-clock.ts'
import { clientTo, json, never, serve } from '../partner/local-server.ts'

describe('the reading of one watched device', () => {
  const read = async (answer: unknown, status = 200) => {
    const server = await serve((_request, response) => json(response, answer, status))
    const device = { userId: 'u', deviceType: 'inverter', deviceId: 'd' } as const
    const reading = await readWatchedDevice({ client: clientTo(server.url), ...device, signal: never })
    return { reading, requests: server.requests }
  }

  it('is what its own call says, deleted devices included', async () => {
    const { reading, requests } = await read({ id: 'd', is_authenticated: true, actions: [] })
    expect(reading).toMatchObject({ kind: 'read', reading: { device: { id: 'd', is_authenticated: true } } })
    expect(requests).toEqual(['GET /api/partners/v2.0/org/org-1/users/u/inverters/d?include_deleted=true'])
  })

  it('is deleted only when the partner says so', async () => {
    const deleted = await read({ id: 'd', deleted_at: '2026-01-01T00:00:00Z' })
    expect(deleted.reading).toEqual({ kind: 'absent', state: 'deleted' })
    expect((await read({}, 404)).reading).toEqual({ kind: 'absent', state: 'missing' })
  })

  it('is unread when the call fails', async () => {
    expect((await read({}, 403)).reading).toMatchObject({ kind: 'unread', reason: 'unauthorized' })
    expect((await read([])).reading).toMatchObject({ kind: 'unread', reason: 'malformed' })
  })

  it('ends with the reason when it is stopped', async () => {
    const server = await serve(() => {})
    const device = { userId: 'u', deviceType: 'inverter', deviceId: 'd' } as const
    const stop = new AbortController()
    const reading = readWatchedDevice({ client: clientTo(server.url), ...device, signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
  })
})

describe('the choice of due devices', () => {
  it('is those of the longest ago, first, within the budget', () => {
    const device = fc.record({ lastReadAt: fc.integer({ min: 0, max: 200 }) })
    fc.assert(
      fc.property(
        fc.array(device),
        fc.nat({ max: 150 }),
        fc.nat({ max: 20 }),
        (devices, intervalMs, budget) => {
          const due = devices.filter(({ lastReadAt }) => 200 - lastReadAt >= intervalMs)
          const expected = due.map(({ lastReadAt }) => lastReadAt).sort((a, b) => a - b)
          const picked = pickDue(devices, { now: 200, intervalMs, budget })
          expect(picked.map(({ lastReadAt }) => lastReadAt)).toEqual(expected.slice(0, budget))
          expect(new Set(picked).size).toBe(picked.length)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('the share of rechecks', () => {
  it('is a quarter of the sockets and half of the rate, and at least one', () => {
    expect(recheckShare({ concurrency: 32, requestsPerSecond: 50 })).toEqual({ atOnce: 8, perSecond: 25 })
    expect(recheckShare({ concurrency: 1, requestsPerSecond: 1 })).toEqual({ atOnce: 1, perSecond: 0.5 })
  })
})

describe('rechecking', () => {
  /** Devices that take `takesMs` to be read, for `ms`; when each was read. */
  async function rechecked({
    devices = 10,
    ms = 600_000,
    takesMs = 100,
    requestsPerSecond = 100,
    requestsPerRecheck = 1,
    fails = false,
  }) {
    const clock = createManualClock()
    const stop = new AbortController()
    const watched = Array.from({ length: devices }, (_, id) => ({ id, lastReadAt: clock.now() }))
    const reads: { id: number; at: number }[] = []
    const faults: unknown[] = []
    let atOnce = 0
    let most = 0
    const running = runRechecks({
      clock,
      signal: stop.signal,
      intervalMs: 120_000,
      concurrency: 16,
      requestsPerSecond,
      requestsPerRecheck,
      watched: () => watched,
      recheck: async (device, signal) => {
        most = Math.max(most, ++atOnce)
        reads.push({ id: device.id, at: clock.monotonic() })
        await clock.sleep(takesMs, signal).finally(() => atOnce--)
        device.lastReadAt = clock.now()
        if (fails) throw new Error('a fault')
      },
      onFault: (error) => faults.push(error),
    })
    await clock.advance(ms)
    stop.abort(new Error('stop'))
    await running
    expect(clock.sleepers()).toBe(0)
    return { reads, most, faults }
  }

  it('reads each device about as often as it is told', async () => {
    const { reads } = await rechecked({ devices: 10 })
    for (let id = 0; id < 10; id++) {
      const times = reads.filter((read) => read.id === id).map(({ at }) => at)
      expect(times.length).toBeGreaterThanOrEqual(4)
      for (const [index, at] of times.entries()) {
        const gap = at - (times[index - 1] ?? 0)
        expect(gap).toBeGreaterThanOrEqual(120_000)
        expect(gap).toBeLessThan(140_000)
      }
    }
  })

  it('makes no more requests per second than half of the rate, however many devices there are', async () => {
    const { reads } = await rechecked({
      devices: 2_000,
      ms: 180_000,
      requestsPerSecond: 8,
      requestsPerRecheck: 2,
    })
    expect(reads.length).toBeGreaterThan(100)
    for (const { at } of reads) {
      expect(reads.filter((read) => read.at >= at && read.at < at + 1_000).length).toBeLessThanOrEqual(2)
    }
    // None twice before all have had their turn.
    expect(new Set(reads.map(({ id }) => id)).size).toBe(reads.length)
  })

  it('takes no more sockets than a quarter', async () => {
    const { most } = await rechecked({ devices: 200, ms: 200_000, takesMs: 9_000 })
    expect(most).toBe(4)
  })

  it('goes on after a fault', async () => {
    const { reads, faults } = await rechecked({ devices: 3, fails: true })
    expect(faults.length).toBe(reads.length)
    expect(reads.length).toBeGreaterThan(9)
  })

  it('is over as soon as it is stopped, and that is no fault', async () => {
    const { faults } = await rechecked({ devices: 50, ms: 121_000, takesMs: 60_000 })
    expect(faults).toEqual([])
  })
})
