// Puts right what a reconciliation found, one change at a time, each in the journal before and after. What the
// partner or the service has no room for now (429, 503) is waited for and tried again; what is refused is told,
// and the next one is done.

import type { Clock } from '../clock.ts'
import { type Journal, journalKey } from './journal.ts'
import type { Finding, Fix } from './reconciliation.ts'

export type FixOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly problem: string }
  /** `waitMs`: what the answer asks for; null: it does not say. */
  | { readonly kind: 'later'; readonly problem: string; readonly waitMs: number | null }

export interface ApplyOptions {
  readonly findings: Iterable<Finding>
  readonly journal: Journal
  readonly send: (fix: Fix) => Promise<FixOutcome>
  readonly clock: Pick<Clock, 'sleep'>
  readonly signal: AbortSignal
  readonly onProgress: (done: number) => void
  readonly onRefused: (finding: Finding, problem: string) => void
}

export interface ApplyReport {
  readonly done: number
  readonly refused: number
  /** Done by the run that this one continues. */
  readonly doneBefore: number
  /** Why it ended early; null: it did not. */
  readonly stopped: string | null
}

const firstWaitMs = 1_000
const longestWaitMs = 60_000
const mostTries = 10

export async function applyFixes(options: ApplyOptions): Promise<ApplyReport> {
  const { journal, signal } = options
  let done = 0
  let refused = 0
  let doneBefore = 0
  const report = (stopped: string | null): ApplyReport => ({ done, refused, doneBefore, stopped })
  for (const finding of options.findings) {
    const { fix } = finding
    if (fix === null) continue
    if (signal.aborted) return report('stopped')
    const key = journalKey(fix)
    if (journal.resultOf(key) === 'done') {
      doneBefore++
    } else {
      await journal.begin(key)
      const outcome = await untilAnswered(fix, options)
      if (outcome === null) return report('stopped')
      if (outcome.kind === 'later') return report(outcome.problem)
      await journal.end(key, outcome.kind === 'done' ? 'done' : 'failed')
      if (outcome.kind === 'done') done++
      else {
        refused++
        options.onRefused(finding, outcome.problem)
      }
    }
    options.onProgress(done + refused + doneBefore)
  }
  await journal.finish()
  return report(null)
}

/** Null: stopped meanwhile. `later`: there were enough tries. */
async function untilAnswered(
  fix: Fix,
  { send, clock, signal }: Pick<ApplyOptions, 'send' | 'clock' | 'signal'>,
): Promise<FixOutcome | null> {
  for (let attempt = 1; ; attempt++) {
    let outcome: FixOutcome
    try {
      outcome = await send(fix)
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
