// SilenceEnding: an alert about a silence that will end soon while what it silences still fires, so that
// whoever made it can look before everybody is told again. It ends with the silence, or when that is
// prolonged.

import { formatMatchers } from '../matcher.ts'
import type { Alert } from './alert.ts'
import type { AlertBook } from './alert-book.ts'
import { nobody } from './labels.ts'
import { builtInId, type Raise } from './raise.ts'
import type { Silence } from './silence.ts'

const ruleId = builtInId('SilenceEnding')

/** `ending`: silences that somebody has to be reminded of, now. */
export function raiseSilenceEndings(
  ending: readonly Silence[],
  { book, raise, at }: { readonly book: AlertBook; readonly raise: Raise; readonly at: number },
): void {
  const groups = new Set<string>()
  for (const silence of ending) {
    const group = `silence/${silence.id}`
    groups.add(group)
    raise({ ruleId, subject: { kind: 'fleet', group }, at }, true, () => ({
      labels: { alertname: 'SilenceEnding', severity: 'info', silence_id: silence.id },
      annotations: {
        summary: `The silence ${formatMatchers(silence.matchers)} ends soon, and alerts that it silences still fire`,
        description:
          `Made by ${silence.createdBy}: "${silence.comment}". It ends ` +
          `${new Date(silence.endsAt).toISOString().slice(0, 16)}Z; then they are told. Prolong it or let it end.`,
      },
      affected: nobody,
    }))
  }
  const over: Alert[] = []
  for (const alert of book.all()) {
    if (alert.ruleId !== ruleId || alert.state === 'resolved' || alert.subject.kind !== 'fleet') continue
    if (!groups.has(alert.subject.group)) over.push(alert)
  }
  for (const { subject, labels, annotations, affected } of over) {
    raise({ ruleId, subject, at }, false, () => ({ labels, annotations, affected }))
  }
}
