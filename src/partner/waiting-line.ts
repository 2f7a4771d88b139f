// Those who wait for the same thing, in the order of asking. Whoever is stopped leaves at once, and
// with them their listener: a signal that lives as long as the service collects none.

export interface WaitingLine<T> {
  readonly length: number
  /** Rejects with the signal's reason when that aborts first, or has aborted already. */
  join(signal: AbortSignal): Promise<T>
  /** Gives it to the one who has waited longest. False: nobody waits. */
  serveNext(value: T): boolean
  serveAll(value: T): void
  failAll(reason: unknown): void
}

interface Waiter<T> {
  readonly serve: (value: T) => void
  readonly fail: (reason: unknown) => void
}

export function createWaitingLine<T>(): WaitingLine<T> {
  const waiters = new Set<Waiter<T>>()

  function join(signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const leave = () => {
        waiters.delete(waiter)
        signal.removeEventListener('abort', onAbort)
      }
      const onAbort = () => waiter.fail(signal.reason)
      const waiter: Waiter<T> = {
        serve(value) {
          leave()
          resolve(value)
        },
        fail(reason) {
          leave()
          reject(reason)
        },
      }
      waiters.add(waiter)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  return {
    get length() {
      return waiters.size
    },
    join,
    serveNext(value) {
      for (const first of waiters) {
        first.serve(value)
        return true
      }
      return false
    },
    serveAll(value) {
      for (const waiter of waiters) waiter.serve(value)
    },
    failAll(reason) {
      for (const waiter of waiters) waiter.fail(reason)
    },
  }
}
