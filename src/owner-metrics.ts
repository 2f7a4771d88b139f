// The metrics of mail to owners. See metrics.ts.

import type { MetricRegistry } from './metric-registry.ts'

const outcomes = [
  ...['sent', 'retry', 'failed'],
  ...['skipped_outage', 'skipped_held', 'skipped_written_lately', 'skipped_quiet_hours', 'skipped_recovered'],
  ...['skipped_unread', 'skipped_unsubscribed', 'skipped_no_address', 'skipped_not_a_customer'],
  'skipped_not_written',
] as const

/** Asked for at each scrape. */
export interface OwnerSources {
  readonly ownerContacts?: () => { readonly subscribed: number; readonly unsubscribed: number }
}

export interface OwnerMetrics {
  /** A mail that was attempted, or an alert that its owner is not written to about: once for each reason. */
  ownerMail(outcome: 'sent' | 'retry' | 'failed' | `skipped_${string}`): void
  /** An alert whose device staff has to look after instead. */
  ownerHandedOver(reason: string): void
}

export function createOwnerMetrics(
  { gauge, counter }: Pick<MetricRegistry, 'gauge' | 'counter'>,
  sources: () => OwnerSources,
): OwnerMetrics {
  const mails = counter(
    'fleet_owner_mails_total',
    'Mails to owners by how an attempt ended, and alerts of which they were not told, by reason.',
    ['outcome'],
  )
  for (const outcome of outcomes) mails.add([outcome], 0)
  const handovers = counter(
    'fleet_owner_handovers_total',
    'Alerts that went on to staff since their owner did nothing or could not be written to, by reason.',
    ['reason'],
  )
  for (const reason of [
    'no_answer',
    'not_written',
    'unsubscribed',
    'no_address',
    'refused',
    'not_a_customer',
  ])
    handovers.add([reason], 0)
  gauge(
    'fleet_owner_contacts',
    'Owners who were written to, by whether they still may be.',
    ['state'],
    (set) => {
      const counts = sources().ownerContacts?.()
      if (counts === undefined) return
      set({ state: 'subscribed' }, counts.subscribed)
      set({ state: 'unsubscribed' }, counts.unsubscribed)
    },
  )

  return {
    ownerMail: (outcome) => mails.add([outcome], 1),
    ownerHandedOver: (reason) => handovers.add([reason], 1),
  }
}
