// One rate for several processes: each reserves due times at one place that all of them share, for the
// requests that wait at that moment, and for those that will come until the next reservation if they go on
// as they did. Who needs nothing reserves nothing, and who cannot reach that place sends nothing. The pacer
// of the process itself (pacer.ts) comes before it, with what 429 has taught it.

import type { Clock } from '../clock.ts'
import type { Pacer } from './pacer.ts'
import { createWaitingLine } from './waiting-line.ts'

/**
 * Reserves `count` due times, `intervalMs` apart, behind all that were reserved before. Resolves with how
 * long it is until the first one (ms).
 */
export type ReservePace = (count: number, intervalMs: number) => Promise<number>

export interface SharedPaceOptions {
  readonly clock: Clock
  /** Of all processes together; the same in each. */
  readonly requestsPerSecond: number
  readonly reserve: ReservePace
  /** How long a request waits for the place to be reachable. */
  readonly patienceMs: number
  /** Ends all waiting when it aborts. */
  readonly lifetime: AbortSignal
}

// As in pacer.ts.
const shareOfLimit = 0.99
// Between two reservations: requests that come within this time are reserved together.
const gatherMs = 15
// So far ahead a busy process reserves; again when half of it is used.
const aheadMs = 100
const retryMs = 500
// A due time that nobody has taken for so long is lost: it belongs to a process that was asleep.
const lateMs = 250
// Whoever asked for less than this often is not expected to go on.
const restMs = 250

export function createSharedPace(options: SharedPaceOptions): Pick<Pacer, 'take'> {
  const { clock, reserve, patienceMs, lifetime } = options
  const intervalMs = 1_000 / (options.requestsPerSecond * shareOfLimit)
  const waiting = createWaitingLine<boolean>()
  /** Due times that are ours (monotonic, ascending) and that no request has taken yet. */
  const stock: number[] = []
  /** What a busy process takes until the next reservation is made: so nobody waits for the place itself. */
  let expected = 0
  let takenSinceReserved = 0
  let reservedAt = Number.NEGATIVE_INFINITY
  let isServing = false
  let isReserving = false
  let failingSince: number | null = null
  lifetime.addEventListener('abort', () => waiting.failAll(lifetime.reason), { once: true })

  function take(signal: AbortSignal): boolean | Promise<boolean> {
    if (waiting.length === 0 && nextDueIn() <= 0) {
      useNext()
      void reserveAhead()
      return true
    }
    const granted = waiting.join(signal)
    void serve()
    void reserveAhead()
    return granted
  }

  /** How long it is until the next due time (ms); infinite without one. */
  function nextDueIn(): number {
    const now = clock.monotonic()
    while ((stock[0] ?? now) < now - lateMs) stock.shift()
    return (stock[0] ?? Number.POSITIVE_INFINITY) - now
  }

  function useNext(): void {
    stock.shift()
    takenSinceReserved++
  }

  /** Lets waiters go as their times fall due. A timer that was late delays no other: times are absolute. */
  async function serve(): Promise<void> {
    if (isServing) return
    isServing = true
    try {
      while (waiting.length > 0) {
        const dueIn = nextDueIn()
        if (dueIn === Number.POSITIVE_INFINITY) break
        if (dueIn > 0) await clock.sleep(dueIn, lifetime)
        else {
          useNext()
          waiting.serveNext(true)
        }
      }
    } catch (reason) {
      waiting.failAll(reason)
    } finally {
      isServing = false
    }
    if (isShort()) void reserveAhead()
  }

  function isShort(): boolean {
    return stock.length < waiting.length + expected / 2
  }

  async function reserveAhead(): Promise<void> {
    if (isReserving) return
    isReserving = true
    try {
      while (isShort()) {
        const soonest = reservedAt + gatherMs - clock.monotonic()
        if (soonest > 0) await clock.sleep(soonest, lifetime)
        await reserveMore()
        void serve()
      }
    } catch (reason) {
      waiting.failAll(reason)
    } finally {
      isReserving = false
    }
  }

  async function reserveMore(): Promise<void> {
    const askedAt = clock.monotonic()
    const restedMs = askedAt - reservedAt
    const takenPerMs = restedMs > restMs ? 0 : takenSinceReserved / restedMs
    if (takenPerMs === 0) expected = 0
    const count = Math.ceil(waiting.length + expected - stock.length)
    reservedAt = askedAt
    takenSinceReserved = 0
    if (count <= 0) return
    try {
      const waitMs = await reserve(count, intervalMs)
      const now = clock.monotonic()
      failingSince = null
      for (let index = 0; index < count; index++) stock.push(now + waitMs + index * intervalMs)
      expected = takenPerMs * (aheadMs + now - askedAt)
    } catch {
      // Whoever cannot be asked has said so elsewhere.
      const now = clock.monotonic()
      expected = 0
      failingSince ??= now
      if (now - failingSince >= patienceMs) waiting.serveAll(false)
      if (waiting.length > 0) await clock.sleep(retryMs, lifetime)
    }
  }

  return { take }
}

/** First by the one, then by the other; what is learned from answers is the first one's. */
export function inTurn(own: Pacer, shared: Pick<Pacer, 'take'>): Pacer {
  return {
    ...own,
    take(signal) {
      const taken = own.take(signal)
      if (typeof taken === 'boolean') return taken ? shared.take(signal) : false
      return taken.then((isGranted) => isGranted && shared.take(signal))
    },
  }
}
