// One listener per signal, however many calls hang on it: a walk makes a million with the same.

export interface AbortWatch {
  /** To be called when something hangs on the signal, which must not have aborted yet. */
  add(signal: AbortSignal): void
  /** To be called once for each `add`. */
  remove(signal: AbortSignal): void
}

/** `onAbort` is called once when a signal aborts on which something hangs. */
export function createAbortWatch(onAbort: (signal: AbortSignal) => void): AbortWatch {
  const watched = new Map<AbortSignal, { count: number; readonly listener: () => void }>()
  return {
    add(signal) {
      const known = watched.get(signal)
      if (known !== undefined) {
        known.count++
        return
      }
      const listener = () => onAbort(signal)
      watched.set(signal, { count: 1, listener })
      signal.addEventListener('abort', listener, { once: true })
    },
    remove(signal) {
      const known = watched.get(signal)
      if (known === undefined || --known.count > 0) return
      watched.delete(signal)
      signal.removeEventListener('abort', known.listener)
    },
  }
}
