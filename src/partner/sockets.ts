// Who may use a socket. The pool would let calls wait too, but only after they have passed the
// breaker and the pacer and with the time for their answer running; and it gives a socket on only
// when the answer before has been looked at.

import { createWaitingLine } from './waiting-line.ts'

export interface Sockets {
  /**
   * True: one was free and is taken. Else a promise that settles when one is passed on, in the
   * order of asking; it rejects with the signal's reason, and then nothing is taken. Throws the
   * lifetime's reason once that has ended.
   */
  take(signal: AbortSignal): true | Promise<true>
  /** To be called once for each that was taken. True: somebody waited for it, and has it now. */
  passOn(): boolean
}

/** `lifetime`: ends all waiting when it aborts. */
export function createSockets({ count, lifetime }: { count: number; lifetime: AbortSignal }): Sockets {
  const waiting = createWaitingLine<true>()
  let free = count
  lifetime.addEventListener('abort', () => waiting.failAll(lifetime.reason), { once: true })

  return {
    take(signal) {
      lifetime.throwIfAborted()
      if (free === 0) return waiting.join(signal)
      free--
      return true
    },
    passOn() {
      if (waiting.serveNext(true)) return true
      free++
      return false
    },
  }
}
