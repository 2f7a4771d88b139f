// The only place that reads the time, waits or rolls dice. Everything else is handed a Clock, so
// that tests march time and the demo compresses it.

export interface Clock {
  /** Milliseconds since 1970. It may jump when somebody sets the machine's clock. */
  now(): number
  /** Milliseconds from an arbitrary origin that never go backwards: for durations and timers. */
  monotonic(): number
  /** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Uniform in [0, 1). */
  random(): number
}

export const systemClock: Clock = createClock({ factor: 1 })

/**
 * A clock that starts at the present and runs `factor` times as fast as the machine's: with 60, a
 * minute passes each second. Network timeouts are not taken from it: sockets live in real time.
 */
export function createClock({ factor }: { factor: number }): Clock {
  const startedAt = Date.now()
  return {
    now: () => (factor === 1 ? Date.now() : startedAt + (Date.now() - startedAt) * factor),
    monotonic: () => performance.now() * factor,
    sleep: (ms, signal) => sleep(ms / factor, signal),
    random: Math.random,
  }
}

// setTimeout fires at once beyond this many milliseconds (2^31 - 1), so longer waits are cut up.
const longestTimeoutMs = 2_147_483_647

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const endAt = performance.now() + ms
  for (let left = ms; ; left = endAt - performance.now()) {
    await timeout(Math.min(Math.max(left, 0), longestTimeoutMs), signal)
    if (left <= longestTimeoutMs) return
  }
}

function timeout(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
