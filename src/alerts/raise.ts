// How alerts come about that no rule file has: see built-in-alerts.ts, mass-change.ts and
// silence-ending.ts. They fire at once, resolve at once, and go the way of all alerts.

import type { Subject } from './alert.ts'
import type { AlertBook } from './alert-book.ts'
import { fingerprint } from './fingerprint.ts'
import type { AlertBirth, RuleTiming } from './lifecycle.ts'

export type AlertContent = Pick<AlertBirth, 'labels' | 'annotations' | 'affected'>

/** Begins, refreshes or ends the alert of one subject; `content` is asked for only while it holds or is active. */
export type Raise = (
  about: { readonly ruleId: string; readonly subject: Subject; readonly at: number },
  holds: boolean,
  content: () => AlertContent,
) => void

const prefix = 'built-in/'
const definition = 'built in'
const atOnce: RuleTiming = { forMs: 0, keepFiringForMs: 0, noData: 'keep' }

export function builtInId(alertname: string): string {
  return `${prefix}${alertname}`
}

export function isBuiltIn(ruleId: string): boolean {
  return ruleId.startsWith(prefix)
}

export function createRaise(book: AlertBook, newEpisode: () => string): Raise {
  return ({ ruleId, subject, at }, holds, content) => {
    const isActive = book.activeOn(subject).some((alert) => alert.ruleId === ruleId)
    if (!holds && !isActive) return
    book.evaluate({
      ruleId,
      subject,
      evaluation: { at, verdict: holds, clear: null },
      timing: atOnce,
      definition,
      birth: () => {
        const { labels, annotations, affected } = content()
        return {
          ruleId,
          subject,
          definition,
          labels,
          annotations,
          affected,
          fingerprint: fingerprint(labels),
          episode: newEpisode(),
        }
      },
    })
  }
}
