import type { Clock } from './clock.ts'

/** A sleep that can be cut short: for loops that wait for the next due time or for news. */
export interface Alarm {
  /** Resolves at `at` (ms since 1970; Infinity: only when rung), when rung, or when the signal aborts. */
  until(at: number, signal: AbortSignal): Promise<void>
  /** Ends the present wait, or the next one if nobody waits. */
  ring(): void
}

export function createAlarm(clock: Clock): Alarm {
  let rung = false
  let wake: () => void = () => {}

  return {
    async until(at, signal) {
      if (rung || signal.aborted) {
        rung = false
        return
      }
      const cut = new AbortController()
      const woken = new Promise<void>((resolve) => {
        wake = resolve
      })
      const onAbort = () => wake()
      signal.addEventListener('abort', onAbort, { once: true })
      const waits = Number.isFinite(at)
        ? [woken, clock.sleep(Math.max(0, at - clock.now()), cut.signal)]
        : [woken]
      try {
        await Promise.race(waits)
      } finally {
        signal.removeEventListener('abort', onAbort)
        for (const wait of waits) wait.catch(() => {})
        cut.abort()
        wake = () => {}
        rung = false
      }
    },
    ring() {
      rung = true
      wake()
    },
  }
}
