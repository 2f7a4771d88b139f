// A decided message with its members as they are now. Alerts are immutable, so it is a snapshot.

import type { Alert } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import type { Acknowledgement } from '../alerts/silence.ts'
import type { Group } from './groups.ts'
import type { Integration, Notification } from './notification.ts'
import type { OutboxRow } from './store.ts'
import type { Suppression } from './suppression.ts'

export interface CompositionSources {
  readonly book: Pick<AlertBook, 'byFingerprint'>
  readonly suppression: Pick<Suppression, 'acknowledgementOf'>
  readonly now: number
}

export function composeNotification(
  group: Group,
  { integration, row }: { readonly integration: Integration; readonly row: OutboxRow },
  sources: CompositionSources,
): Notification {
  const firing = membersOf(group, row.firing, sources)
  return {
    groupKey: group.key,
    groupLabels: group.labels,
    routeKey: group.route.key,
    receiver: integration.receiver,
    reason: row.reason,
    status: firing.length > 0 ? 'firing' : 'resolved',
    firing,
    resolved: membersOf(group, row.resolved, sources),
    acknowledged: acknowledgedAmong(firing, sources),
    at: row.at,
  }
}

function membersOf(
  group: Group,
  fingerprints: readonly string[],
  { book }: CompositionSources,
): readonly Alert[] {
  const members: Alert[] = []
  for (const print of fingerprints) {
    const alert = group.members.get(print) ?? book.byFingerprint(print)
    if (alert !== undefined) members.push(alert)
  }
  return members.sort((a, b) => (a.firedAt ?? 0) - (b.firedAt ?? 0))
}

function acknowledgedAmong(
  alerts: readonly Alert[],
  { suppression, now }: CompositionSources,
): ReadonlyMap<string, Acknowledgement> {
  const found = new Map<string, Acknowledgement>()
  for (const alert of alerts) {
    const acknowledgement = suppression.acknowledgementOf(alert, now)
    if (acknowledgement !== null) found.set(alert.fingerprint, acknowledgement)
  }
  return found
}
