import type { Clock } from '../src/clock.ts'

/** A clock that stands still until it is told to go on; then sleepers wake in the order of their times. */
export interface ManualClock extends Clock {
  /** Goes on by `ms`, waking every sleeper on the way, each before the next one is due. */
  advance(ms: number): Promise<void>
  /** Sets the time without waking anybody, as an operator does who corrects the machine's clock. */
  jump(ms: number): void
  sleepers(): number
}

export function createManualClock(startAt = Date.UTC(2026, 0, 1)): ManualClock {
  let now = startAt
  let elapsed = 0
  const sleepers = new Set<{ at: number; wake: () => void }>()

  return {
    now: () => now,
    monotonic: () => elapsed,
    random: () => 0.5,
    sleepers: () => sleepers.size,
    jump(ms) {
      now += ms
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const sleeper = {
          at: elapsed + ms,
          wake: () => {
            sleepers.delete(sleeper)
            signal?.removeEventListener('abort', onAbort)
            resolve()
          },
        }
        const onAbort = () => {
          sleepers.delete(sleeper)
          reject(signal?.reason)
        }
        signal?.addEventListener('abort', onAbort, { once: true })
        sleepers.add(sleeper)
      }),
    async advance(ms) {
      const until = elapsed + ms
      await settled()
      for (;;) {
        const next = [...sleepers].sort((a, b) => a.at - b.at)[0]
        if (next === undefined || next.at > until) break
        now += Math.max(0, next.at - elapsed)
        elapsed = Math.max(elapsed, next.at)
        next.wake()
        await settled()
      }
      now += until - elapsed
      elapsed = until
      await settled()
    },
  }
}

/** Lets everything that is ready run: promises, and what they lead to. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}
