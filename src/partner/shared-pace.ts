// One rate for several processes: each reserves due times at one place that all of them share, for as many
// requests as wait at that moment. Who needs nothing reserves nothing, and who cannot reach that place
// sends nothing. The pacer of the process itself (pacer.ts) comes before it, with what 429 has taught it.

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
// Requests that come within this time are reserved together.
const gatherMs = 15
const retryMs = 500

export function createSharedPace(options: SharedPaceOptions): Pick<Pacer, 'take'> {
  const { clock, reserve, patienceMs, lifetime } = options
  const intervalMs = 1_000 / (options.requestsPerSecond * shareOfLimit)
  const waiting = createWaitingLine<boolean>()
  /** Of those who wait, so many have their due times already. */
  let promised = 0
  let isDraining = false
  let reservedAt = Number.NEGATIVE_INFINITY
  let failingSince: number | null = null
  lifetime.addEventListener('abort', () => waiting.failAll(lifetime.reason), { once: true })

  async function drain(): Promise<void> {
    isDraining = true
    try {
      while (waiting.length > promised) {
        const soonest = reservedAt + gatherMs - clock.monotonic()
        if (soonest > 0) await clock.sleep(soonest, lifetime)
        await reserveForAll()
      }
    } catch (reason) {
      waiting.failAll(reason)
    } finally {
      isDraining = false
    }
  }

  async function reserveForAll(): Promise<void> {
    const count = waiting.length - promised
    if (count <= 0) return
    reservedAt = clock.monotonic()
    try {
      const waitMs = await reserve(count, intervalMs)
      failingSince = null
      promised += count
      void letGo(count, clock.monotonic() + waitMs)
    } catch {
      // Whoever cannot be asked has said so elsewhere.
      const now = clock.monotonic()
      failingSince ??= now
      if (now - failingSince >= patienceMs) waiting.serveAll(false)
      await clock.sleep(retryMs, lifetime)
    }
  }

  /** Times are absolute: a timer that was late does not delay the ones after it. */
  async function letGo(count: number, firstAt: number): Promise<void> {
    try {
      for (let index = 0; index < count; index++) {
        const waitMs = firstAt + index * intervalMs - clock.monotonic()
        if (waitMs > 0) await clock.sleep(waitMs, lifetime)
        promised--
        waiting.serveNext(true)
      }
    } catch (reason) {
      waiting.failAll(reason)
    }
  }

  return {
    take(signal) {
      const granted = waiting.join(signal)
      if (!isDraining) void drain()
      return granted
    },
  }
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
