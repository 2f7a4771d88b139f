// OwnerDidNothing: what becomes of a device whose owner was written to and has not put it right, or cannot
// be written to at all. It is an alert of its own, with the labels of the device's, so that it goes to the
// staff who looks after that; it ends when the device's alert does. It never goes to an owner: no rule
// has it, so none allows it.

import { type Alert, isFiring } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import { birthOf } from '../alerts/lifecycle.ts'
import { builtInId, type Raise } from '../alerts/raise.ts'
import { deviceName } from '../fleet/device.ts'

export type HandoverReason =
  /** Written to long enough ago. */
  | 'no_answer'
  /** Could not be written to in all this time: another mail was too recent, or the mail server is away. */
  | 'not_written'
  | 'unsubscribed'
  | 'no_address'
  /** The mail server takes none for the address. */
  | 'refused'
  /** The device belongs to somebody who is no customer: staff, an administrator, a guest. */
  | 'not_a_customer'

export interface Handover {
  /** Whether staff has this alert already. */
  has(alert: Alert): boolean
  /** `writtenAt` (ms since 1970): when its owner was written to about it; null: not. Saved by the book's commit. */
  begin(
    alert: Alert,
    about: { readonly reason: HandoverReason; readonly writtenAt: number | null; readonly at: number },
  ): void
  /** Ends those whose device's alert has ended. */
  tend(at: number): void
}

const ruleId = builtInId('OwnerDidNothing')

export function createHandover(book: AlertBook, raise: Raise): Handover {
  const isFor = (handed: Alert, alert: Alert) =>
    handed.ruleId === ruleId && handed.labels['rule'] === alert.labels['alertname']

  return {
    has: (alert) => book.activeOn(alert.subject).some((other) => isFor(other, alert)),
    begin(alert, { reason, writtenAt, at }) {
      // One for a device: a second alert about it waits until the first has ended.
      if (book.activeOn(alert.subject).some((other) => other.ruleId === ruleId)) return
      const { alertname = '', ...inherited } = alert.labels
      raise({ ruleId, subject: alert.subject, at }, true, () => ({
        labels: { ...inherited, alertname: 'OwnerDidNothing', rule: alertname },
        affected: alert.affected,
        annotations: {
          summary: `${nameOf(alert)}: ${why(reason, writtenAt)}`,
          description:
            'The customer alone can put this right and has not done so. Call them, or send them the link of this ' +
            'alert another way. It resolves by itself once the device is well.',
          runbook_url:
            'https://github.com/fleetwarden/fleetwarden/blob/main/docs/runbooks/OwnerDidNothing.md',
        },
      }))
    },
    tend(at) {
      for (const handed of book.all()) {
        if (handed.ruleId !== ruleId || handed.state === 'resolved') continue
        const lives = book.activeOn(handed.subject).some((alert) => isFiring(alert) && isFor(handed, alert))
        if (!lives) raise({ ruleId, subject: handed.subject, at }, false, () => birthOf(handed))
      }
    },
  }
}

function nameOf({ subject, labels }: Alert): string {
  const { manufacturer = 'unknown' } = labels
  return subject.kind === 'device' ? deviceName({ type: subject.deviceType, manufacturer }) : 'device'
}

function why(reason: HandoverReason, writtenAt: number | null): string {
  const when =
    writtenAt === null ? '' : `${new Date(writtenAt).toISOString().slice(0, 16).replace('T', ' ')}Z`
  switch (reason) {
    case 'no_answer':
      return `its owner was written to at ${when}, and it is still not well`
    case 'not_written':
      return 'its owner could not be written to in all this time'
    case 'unsubscribed':
      return 'its owner wants no mail about it'
    case 'no_address':
      return 'its owner has no e-mail address that can be written to'
    case 'refused':
      return 'the mail server takes no mail for its owner’s address'
    case 'not_a_customer':
      return 'it does not belong to a customer, so nobody was written to'
    default:
      return reason satisfies never
  }
}
