import { describe, expect, it } from 'vitest'
import { createPacer } from '../../src/partner/pacer.ts'
import { createSharedPace, inTurn, type ReservePace } from '../../src/partner/shared-pace.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'

const never = new AbortController().signal

/** What the database does, with the time that it takes. */
function place(clock: ManualClock, latencyMs: number) {
  let dueAt = 0
  const reservations: number[] = []
  const reserve: ReservePace = async (count, intervalMs) => {
    await clock.sleep(latencyMs / 2)
    const now = clock.monotonic()
    reservations.push(count)
    const firstAt = Math.max(dueAt, now)
    dueAt = firstAt + count * intervalMs
    await clock.sleep(latencyMs / 2)
    return firstAt - now
  }
  return { reserve, reservations }
}

/** Workers of several processes that never rest; when each request was let go. */
async function sendFor(
  ms: number,
  {
    processes,
    workers,
    answerMs = 50,
    latencyMs = 2,
    requestsPerSecond = 200,
  }: {
    processes: number
    workers: number
    answerMs?: number
    latencyMs?: number
    requestsPerSecond?: number
  },
) {
  const clock = createManualClock()
  const { reserve, reservations } = place(clock, latencyMs)
  const stop = new AbortController()
  const sent: { at: number; process: number }[] = []
  const all: Promise<void>[] = []
  for (let process = 0; process < processes; process++) {
    const shared = { clock, requestsPerSecond, patienceMs: 60_000, lifetime: never }
    const pace = inTurn(createPacer(shared), createSharedPace({ ...shared, reserve }))
    for (let worker = 0; worker < workers; worker++) {
      all.push(
        (async () => {
          while (await pace.take(stop.signal)) {
            sent.push({ at: clock.monotonic(), process })
            await clock.sleep(answerMs, stop.signal)
          }
        })(),
      )
    }
  }
  const ended = Promise.allSettled(all)
  await clock.advance(ms)
  stop.abort()
  await ended
  return { sent, reservations }
}

describe('a pace that is shared', () => {
  it.each([
    { processes: 1, workers: 32 },
    { processes: 4, workers: 32 },
    { processes: 10, workers: 4 },
  ])('is met by $processes processes together, and exceeded in no window', async (options) => {
    const { sent } = await sendFor(3_000, options)
    expect(sent.length).toBeGreaterThanOrEqual(3 * 200 * 0.98)
    for (const { at } of sent) {
      const inWindow = sent.filter((other) => other.at >= at && other.at < at + 1_000)
      expect(inWindow.length).toBeLessThanOrEqual(203)
    }
  })

  it('goes to those who need it: nobody has a share that he does not use', async () => {
    const clock = createManualClock()
    const { reserve } = place(clock, 2)
    const options = { clock, requestsPerSecond: 200, patienceMs: 60_000, lifetime: never, reserve }
    const idle = createSharedPace(options)
    const busy = createSharedPace(options)
    expect(await Promise.all([idle.take(never), clock.advance(1_000)])).toEqual([true, undefined])
    let sent = 0
    const stop = new AbortController()
    const work = async () => {
      while (await busy.take(stop.signal)) sent++
    }
    const working = Promise.allSettled(Array.from({ length: 16 }, work))
    await clock.advance(1_000)
    stop.abort()
    await working
    expect(sent).toBeGreaterThanOrEqual(194)
  })

  it('is reserved for many at once', async () => {
    const { sent, reservations } = await sendFor(3_000, { processes: 2, workers: 64 })
    expect(reservations.length).toBeLessThan(2 * (3_000 / 15) + 2)
    // Beyond what was sent: one for each worker, and what is kept ahead for a tenth of a second and more.
    const most = sent.length + 2 * 64 + 200 * 0.15
    expect(reservations.reduce((sum, count) => sum + count, 0)).toBeLessThan(most)
  })

  it('is no wait for those who are busy below the limit, however far away it is kept', async () => {
    const options = { processes: 2, workers: 16, answerMs: 20, requestsPerSecond: 10_000 }
    for (const latencyMs of [2, 20]) {
      const { sent, reservations } = await sendFor(3_000, { ...options, latencyMs })
      const ideal = (3_000 * 32) / 20
      expect(sent.length).toBeGreaterThan(0.9 * ideal)
      // What is reserved and not used is taken from others.
      expect(reservations.reduce((sum, count) => sum + count, 0)).toBeLessThan(1.1 * sent.length)
    }
  })

  it('keeps nothing for a process that was asleep', async () => {
    const clock = createManualClock()
    const { reserve } = place(clock, 2)
    const options = { clock, requestsPerSecond: 1_000, patienceMs: 60_000, lifetime: never, reserve }
    const pace = createSharedPace(options)
    const stop = new AbortController()
    const work = async () => {
      while (await pace.take(stop.signal)) await clock.sleep(10, stop.signal)
    }
    const working = Promise.allSettled(Array.from({ length: 8 }, work))
    await clock.advance(500)
    stop.abort()
    await working
    await clock.advance(10_000)
    const atOnce = Array.from({ length: 100 }, () => pace.take(never))
    expect(atOnce).not.toContain(true)
    await Promise.all([...atOnce, clock.advance(200)])
  })

  it('costs a single request no more than one question', async () => {
    const clock = createManualClock()
    const pace = createSharedPace({
      ...place(clock, 4),
      clock,
      requestsPerSecond: 10,
      patienceMs: 1,
      lifetime: never,
    })
    let granted = false
    void Promise.resolve(pace.take(never)).then(() => {
      granted = true
    })
    await clock.advance(4)
    expect(granted).toBe(true)
  })

  it('lets nobody go while it cannot be reserved, refuses after a while, and recovers', async () => {
    const clock = createManualClock()
    const well = place(clock, 2)
    let isReachable = false
    const reserve: ReservePace = (...args) =>
      isReachable ? well.reserve(...args) : Promise.reject(new Error('connection refused'))
    const pace = createSharedPace({
      clock,
      requestsPerSecond: 10,
      patienceMs: 10_000,
      lifetime: never,
      reserve,
    })
    const outcomes: boolean[] = []
    const take = async () => void outcomes.push(await pace.take(never))
    void take()
    await clock.advance(9_000)
    expect(outcomes).toEqual([])
    await clock.advance(2_000)
    expect(outcomes).toEqual([false])
    isReachable = true
    void take()
    await clock.advance(1_000)
    expect(outcomes).toEqual([false, true])
  })

  it('lets go of whoever is stopped, and of everybody at the end', async () => {
    const clock = createManualClock()
    const lifetime = new AbortController()
    const reserve: ReservePace = () => new Promise(() => {})
    const pace = createSharedPace({
      clock,
      requestsPerSecond: 10,
      patienceMs: 1,
      lifetime: lifetime.signal,
      reserve,
    })
    const stop = new AbortController()
    const stopped = Promise.resolve(pace.take(stop.signal))
    stop.abort(new Error('stopped'))
    await expect(stopped).rejects.toThrow('stopped')
    const last = Promise.resolve(pace.take(never))
    lifetime.abort(new Error('closed'))
    await expect(last).rejects.toThrow('closed')
  })
})
