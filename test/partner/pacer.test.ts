import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPacer, retryAfterMs } from '../../src/partner/pacer.ts'
import { createManualClock, type ManualClock, settled } from '../manual-clock.ts'

const never = new AbortController().signal

function paced({ requestsPerSecond = 100, patienceMs = 60_000 } = {}) {
  const clock = createManualClock()
  const lifetime = new AbortController()
  const pacer = createPacer({ clock, requestsPerSecond, patienceMs, lifetime: lifetime.signal })
  return { clock, pacer, lifetime }
}

/** Asks as `workers` workers do that never rest, for `ms`; when each request was let go. */
async function sendFor(
  { clock, pacer }: { clock: ManualClock; pacer: ReturnType<typeof createPacer> },
  { ms, workers }: { ms: number; workers: number },
): Promise<number[]> {
  const sent: number[] = []
  const stop = new AbortController()
  const work = async () => {
    while (!stop.signal.aborted) {
      if (await pacer.take(stop.signal)) sent.push(clock.monotonic())
      // An answer takes a millisecond.
      await clock.sleep(1, stop.signal)
    }
  }
  const all = Promise.allSettled(Array.from({ length: workers }, work))
  await clock.advance(ms)
  stop.abort()
  await all
  return sent
}

describe('pacing', () => {
  it('meets the rate, and exceeds it in no window', async () => {
    const sent = await sendFor(paced({ requestsPerSecond: 100 }), { ms: 3_000, workers: 8 })
    expect(sent.length).toBeGreaterThanOrEqual(296)
    for (const at of sent)
      expect(sent.filter((other) => other >= at && other < at + 1_000).length).toBeLessThanOrEqual(104)
  })

  it('spaces requests evenly', async () => {
    const sent = await sendFor(paced({ requestsPerSecond: 10 }), { ms: 2_000, workers: 4 })
    const gaps = sent.slice(1).map((at, index) => at - (sent[index] ?? 0))
    expect(Math.min(...gaps)).toBeGreaterThan(55)
    expect(Math.max(...gaps)).toBeLessThan(105)
  })

  it('makes up for timers that are late', async () => {
    const { clock, lifetime } = paced()
    const late = { ...clock, sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms + 9, signal) }
    const pacer = createPacer({
      clock: late,
      requestsPerSecond: 500,
      patienceMs: 60_000,
      lifetime: lifetime.signal,
    })
    const sent = await sendFor({ clock, pacer }, { ms: 2_000, workers: 32 })
    expect(sent.length).toBeGreaterThan(980)
  })

  it('does not save up what was not used', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 1_000 })
    await clock.advance(3_600_000)
    let atOnce = 0
    while (pacer.take(never) === true) atOnce++
    expect(atOnce).toBeLessThan(45)
  })

  it('lets nobody wait while the rate is not used', () => {
    const { pacer } = paced({ requestsPerSecond: 1 })
    expect(pacer.take(never)).toBe(true)
    expect(pacer.take(never)).toBeInstanceOf(Promise)
  })

  it('serves in the order of asking, and forgets who stopped waiting', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 1 })
    const order: string[] = []
    const stop = new AbortController()
    pacer.take(never)
    const first = Promise.resolve(pacer.take(never)).then(() => order.push('first'))
    const stopped = Promise.resolve(pacer.take(stop.signal)).catch((reason) => order.push(reason))
    const last = Promise.resolve(pacer.take(never)).then(() => order.push('last'))
    stop.abort('stopped')
    await settled()
    expect(order).toEqual(['stopped'])
    await clock.advance(2_100)
    await Promise.all([first, stopped, last])
    expect(order).toEqual(['stopped', 'first', 'last'])
    expect(clock.sleepers()).toBe(0)
  })

  it('lets everybody go with a reason when it ends', async () => {
    const { pacer, lifetime } = paced({ requestsPerSecond: 1 })
    pacer.take(never)
    const waiting = pacer.take(never)
    lifetime.abort(new Error('closed'))
    await expect(waiting).rejects.toThrow('closed')
  })
})

describe('a 429', () => {
  it('lowers the rate, once for all requests that were under way, and the rate creeps back', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 100 })
    await sendFor({ clock, pacer }, { ms: 2_000, workers: 8 })
    for (let n = 0; n < 64; n++) pacer.accepted()
    const sentAt = clock.monotonic()
    pacer.throttled(sentAt, null)
    const lowered = pacer.rate()
    expect(lowered).toBeGreaterThan(95)
    expect(lowered).toBeLessThan(98.5)
    pacer.throttled(sentAt - 5, null)
    pacer.throttled(sentAt - 20, null)
    expect(pacer.rate()).toBe(lowered)
    await clock.advance(1_000)
    pacer.throttled(clock.monotonic(), null)
    expect(pacer.rate()).toBeLessThan(lowered)
    const bottom = pacer.rate()
    await clock.advance(3_000)
    expect(pacer.rate()).toBeGreaterThan(bottom)
    await clock.advance(60_000)
    expect(pacer.rate()).toBeCloseTo(99)
  })

  it('that is one of many lowers it by more', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 100 })
    await sendFor({ clock, pacer }, { ms: 2_000, workers: 8 })
    pacer.throttled(clock.monotonic(), null)
    expect(pacer.rate()).toBeGreaterThan(85)
    expect(pacer.rate()).toBeLessThan(92)
  })

  it('lowers what was really sent, when far more was allowed', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 100_000 })
    await sendFor({ clock, pacer }, { ms: 2_500, workers: 1 })
    pacer.throttled(clock.monotonic(), null)
    expect(pacer.rate()).toBeLessThan(1_001)
  })

  it('does not take a slow start for the limit', async () => {
    for (const [requests, ms] of [
      [1, 0],
      [30, 5],
      [10, 30_000],
    ] as const) {
      const { clock, pacer } = paced({ requestsPerSecond: 1_000 })
      for (let n = 0; n < requests; n++) expect(pacer.take(never)).toBe(true)
      await clock.advance(ms)
      pacer.throttled(clock.monotonic(), 0)
      expect(pacer.rate()).toBeGreaterThan(850)
    }
  })

  it('does not take an idle time before for the limit', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 1_000 })
    pacer.take(never)
    await clock.advance(400)
    for (let n = 0; n < 30; n++) pacer.take(never)
    pacer.throttled(clock.monotonic(), 0)
    expect(pacer.rate()).toBeGreaterThan(850)
  })

  it('that strays pauses nobody', async () => {
    const { clock, pacer } = paced()
    for (let n = 0; n < 64; n++) pacer.accepted()
    pacer.throttled(clock.monotonic(), 30_000)
    await clock.advance(50)
    expect(pacer.take(never)).toBe(true)
  })

  it('that is no stray pauses everybody for as long as it says', async () => {
    const { clock, pacer } = paced()
    pacer.throttled(clock.monotonic(), 5_000)
    const waiting = Promise.resolve(pacer.take(never)).then(() => clock.monotonic())
    await clock.advance(20_000)
    expect(await waiting).toBe(5_000)
  })

  it('that says nothing pauses everybody for a second', async () => {
    const { clock, pacer } = paced()
    pacer.throttled(clock.monotonic(), null)
    const waiting = Promise.resolve(pacer.take(never)).then(() => clock.monotonic())
    await clock.advance(20_000)
    expect(await waiting).toBe(1_000)
  })

  it('that asks for more patience than there is refuses everybody until it is over', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 1 })
    pacer.take(never)
    const waiting = pacer.take(never)
    pacer.throttled(clock.monotonic(), 300_000)
    expect(pacer.take(never)).toBe(false)
    await clock.advance(1_000)
    expect(await waiting).toBe(false)
    await clock.advance(300_000)
    expect(await pacer.take(never)).toBe(true)
  })

  it('never leaves the rate at nothing', async () => {
    const { clock, pacer } = paced({ requestsPerSecond: 50 })
    for (let n = 0; n < 200; n++) {
      await clock.advance(10)
      pacer.throttled(clock.monotonic(), 0)
    }
    expect(pacer.rate()).toBeGreaterThan(0.1)
    await clock.advance(11 * 60_000)
    expect(pacer.rate()).toBeCloseTo(49.5)
  })

  it('keeps the rate between nothing and the limit, whatever is answered when', async () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 5_000 })), { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5_000 }), steps, async (requestsPerSecond, answers) => {
        const { clock, pacer } = paced({ requestsPerSecond })
        for (const [wasThrottled, ms] of answers) {
          pacer.take(never)
          if (wasThrottled) pacer.throttled(clock.monotonic(), null)
          else pacer.accepted()
          expect(pacer.rate()).toBeGreaterThan(0)
          expect(pacer.rate()).toBeLessThanOrEqual(requestsPerSecond)
          await clock.advance(ms)
        }
      }),
      { numRuns: 15 },
    )
  })
})

describe('Retry-After', () => {
  const now = Date.UTC(2026, 10, 3, 12)
  const date = 'Tue, 03 Nov 2026 12:00:00 GMT'

  it.each([
    ['120', undefined, 120_000],
    [' 0 ', undefined, 0],
    ['1.5', undefined, 1_500],
    ['Tue, 03 Nov 2026 12:00:30 GMT', undefined, 30_000],
    ['Tuesday, 03-Nov-26 12:00:30 GMT', undefined, 30_000],
    ['Tue, 03 Nov 2026 11:00:00 GMT', undefined, 0],
    // The partner's clock is an hour behind ours.
    ['Tue, 03 Nov 2026 11:00:30 GMT', 'Tue, 03 Nov 2026 11:00:00 GMT', 30_000],
    ['Tue, 03 Nov 2026 12:00:30 GMT', 'nonsense', 30_000],
  ])('%j is a wait', (retryAfter, answeredAt, expected) => {
    expect(retryAfterMs({ retryAfter, date: answeredAt }, now)).toBe(expected)
  })

  it.each([[undefined], [''], ['soon'], ['-5'], ['2026'.repeat(9)], ['Tue, 99 Foo'], ['November 3']])(
    '%j says nothing',
    (retryAfter) => {
      expect(retryAfterMs({ retryAfter, date }, now)).toBeNull()
    },
  )
})
