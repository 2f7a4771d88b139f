// Puts right what a reconciliation found, one change at a time, each in the journal before and after. What the
// partner or the service has no room for now (429, 503) is waited for and tried again; what is refused is told,
// and the next one is done.

import type { Clock } from '../clock.ts'
import { type Journal, journalKey } from './journal.ts'
import { type SendOutcome, sendPatiently } from './patient-sending.ts'
import type { Finding, Fix } from './reconciliation.ts'

export interface ApplyOptions {
  readonly findings: Iterable<Finding>
  readonly journal: Journal
  readonly send: (fix: Fix) => Promise<SendOutcome>
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
      const outcome = await sendPatiently(() => options.send(fix), options)
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
