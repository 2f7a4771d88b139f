// Notes in the history of alerts which messages had news of them. A message of a group counts for the
// members that it is about: those that are told for the first time or have resolved, and all of them when it
// reminds. What it lists besides, because it fires still, is no news of that alert.

import type { AlertHistory } from '../alerts/history.ts'
import type { DispatcherEvents } from './delivery.ts'
import type { Notification, NotificationReason } from './notification.ts'

const aboutAll: ReadonlySet<NotificationReason> = new Set([
  'repeat',
  'silence ended',
  'flapping',
  'acknowledged reminder',
])

/** The same events, and what was delivered is noted. */
export function notingTold(
  events: DispatcherEvents,
  { history, now }: { readonly history: Pick<AlertHistory, 'add'>; readonly now: () => number },
): DispatcherEvents {
  return {
    ...events,
    onDelivered(notification, integration, refused, toldBefore) {
      events.onDelivered(notification, integration, refused, toldBefore)
      const { receiver, kind, index } = integration
      const at = now()
      const what = {
        kind: 'told',
        reason: notification.reason,
        receiver,
        integration: `${kind}/${index}`,
      } as const
      for (const alert of newsOf(notification, toldBefore)) {
        history.add(alert, { ...what, status: alert.state === 'resolved' ? 'resolved' : 'firing' }, at)
      }
    },
  }
}

function newsOf({ reason, firing, resolved }: Notification, toldBefore: readonly string[]) {
  const known = new Set(toldBefore)
  const fresh = aboutAll.has(reason) ? firing : firing.filter(({ fingerprint }) => !known.has(fingerprint))
  return [...fresh, ...resolved]
}
