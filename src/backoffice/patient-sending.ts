// One change of many, sent until it is answered: what the partner or the service has no room for now is waited for.

import type { Clock } from '../clock.ts'

export type SendOutcome<T = unknown> =
  | { readonly kind: 'done'; readonly answer?: T }
  | { readonly kind: 'refused'; readonly problem: string }
  /** `waitMs`: what the answer asks for; null: it does not say. */
  | { readonly kind: 'later'; readonly problem: string; readonly waitMs: number | null }

const firstWaitMs = 1_000
const longestWaitMs = 60_000
const mostTries = 10

/** Null: stopped meanwhile. `later`: there were enough tries. Rejects with what `send` rejects with. */
export async function sendPatiently<T>(
  send: () => Promise<SendOutcome<T>>,
  { clock, signal }: { readonly clock: Pick<Clock, 'sleep'>; readonly signal: AbortSignal },
): Promise<SendOutcome<T> | null> {
  for (let attempt = 1; ; attempt++) {
    let outcome: SendOutcome<T>
    try {
      outcome = await send()
    } catch (error) {
      if (signal.aborted) return null
      throw error
    }
    if (outcome.kind !== 'later' || attempt === mostTries) return outcome
    const backoffMs = Math.min(firstWaitMs * 2 ** (attempt - 1), longestWaitMs)
    try {
      await clock.sleep(Math.max(outcome.waitMs ?? 0, backoffMs), signal)
    } catch {
      return null
    }
  }
}
