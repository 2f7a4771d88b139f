// Those who wait for the same thing, in the order of asking. Whoever is stopped leaves at once.

import { createAbortWatch } from './abort-watch.ts'

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
  readonly signal: AbortSignal
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

export function createWaitingLine<T>(): WaitingLine<T> {
  let waiters: Waiter<T>[] = []
  const watch = createAbortWatch((signal) => {
    for (const waiter of leave((each) => each.signal === signal)) waiter.reject(signal.reason)
  })

  /** Takes those out, and answers them in their order. */
  function leave(isLeaving: (waiter: Waiter<T>) => boolean): readonly Waiter<T>[] {
    const leaving = waiters.filter(isLeaving)
    waiters = waiters.filter((waiter) => !isLeaving(waiter))
    for (const { signal } of leaving) watch.remove(signal)
    return leaving
  }

  return {
    get length() {
      return waiters.length
    },
    join: (signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        watch.add(signal)
        waiters.push({ signal, resolve, reject })
      }),
    serveNext(value) {
      const first = waiters.shift()
      if (first === undefined) return false
      watch.remove(first.signal)
      first.resolve(value)
      return true
    },
    serveAll(value) {
      for (const waiter of leave(() => true)) waiter.resolve(value)
    },
    failAll(reason) {
      for (const waiter of leave(() => true)) waiter.reject(reason)
    },
  }
}
