// Any program that takes Alertmanager's webhooks: the same JSON (version 4), posted to a URL.
//
// A message holds the whole group, or its first `max_alerts` with a count of the rest. A request that
// timed out may have arrived, so a message may come twice; `groupKey` and the fingerprints tell. The
// URL, its query and the credentials are in no reason, log or error.

import type { Alert } from '../../alerts/alert.ts'
import type { WebhookConfig } from '../../config.ts'
import { webUrl } from '../message-text.ts'
import type { AlertLink, Integration, Notification } from '../notification.ts'
import { alertmanagerAlert, commonEntries } from './alertmanager-alert.ts'
import { createHttpIntegration, type HttpReceiverDeps, type Place } from './http-integration.ts'
import { outcomeOf } from './http-post.ts'

// What Alertmanager says of an alert that has not ended: Go's zero time.
const notYet = '0001-01-01T00:00:00Z'

export function createWebhookIntegration(
  config: WebhookConfig,
  place: Place,
  deps: HttpReceiverDeps,
): Integration {
  const { url, sendResolved, showPersonalData, maxAlerts, timeoutMs, http } = config
  return createHttpIntegration(
    {
      ...place,
      kind: 'webhook',
      sendResolved,
      http,
      timeoutMs,
      async deliver(notification, { links, post }) {
        const payload = webhookPayload(notification, {
          links,
          showPersonalData,
          maxAlerts,
          externalUrl: deps.publicUrl ?? null,
          groupUrl: deps.moreUrl(notification),
        })
        const answer = await post(url.reveal(), payload)
        return answer.kind === 'answer' ? outcomeOf(answer) : answer
      },
    },
    deps,
  )
}

export interface WebhookPayload {
  readonly version: '4'
  readonly groupKey: string
  /** Members that `max_alerts` kept out. */
  readonly truncatedAlerts: number
  readonly receiver: string
  readonly status: 'firing' | 'resolved'
  readonly notification_reason: string
  readonly groupLabels: Readonly<Record<string, string>>
  readonly commonLabels: Readonly<Record<string, string>>
  readonly commonAnnotations: Readonly<Record<string, string>>
  readonly routeLabels: Readonly<Record<string, string>>
  readonly externalURL: string
  readonly alerts: readonly {
    readonly status: 'firing' | 'resolved'
    readonly labels: Readonly<Record<string, string>>
    readonly annotations: Readonly<Record<string, string>>
    readonly startsAt: string
    readonly endsAt: string
    readonly generatorURL: string
    readonly fingerprint: string
  }[]
}

export function webhookPayload(
  notification: Notification,
  {
    links,
    showPersonalData,
    maxAlerts,
    externalUrl,
    groupUrl,
  }: {
    readonly links: ReadonlyMap<string, AlertLink>
    readonly showPersonalData: boolean
    /** 0: all of them. */
    readonly maxAlerts: number
    readonly externalUrl: string | null
    readonly groupUrl: string | null
  },
): WebhookPayload {
  const members = newsFirst(notification)
  const listed = maxAlerts === 0 ? members : members.slice(0, maxAlerts)
  const generatorURL = webUrl(groupUrl ?? undefined) ?? ''
  const alerts = listed.map((alert) => {
    const link = links.get(alert.fingerprint)
    const { labels, annotations, startsAt, endsAt } = alertmanagerAlert(alert, { link, showPersonalData })
    return {
      status: endsAt === null ? ('firing' as const) : ('resolved' as const),
      labels,
      annotations,
      startsAt,
      endsAt: endsAt ?? notYet,
      generatorURL,
      fingerprint: alert.fingerprint,
    }
  })
  return {
    version: '4',
    groupKey: notification.groupKey,
    truncatedAlerts: members.length - listed.length,
    receiver: notification.receiver,
    status: notification.status,
    notification_reason: notification.reason,
    groupLabels: notification.groupLabels,
    commonLabels: commonEntries(alerts.map(({ labels }) => labels)),
    commonAnnotations: commonEntries(alerts.map(({ annotations }) => annotations)),
    // Labels of a route are not part of the configuration that is supported.
    routeLabels: {},
    externalURL: webUrl(externalUrl ?? undefined) ?? '',
    alerts,
  }
}

/** What a message is sent for comes first, so that `max_alerts` doesn't cut it off. */
function newsFirst({ reason, firing, resolved }: Notification): readonly Alert[] {
  if (reason === 'some resolved') return [...resolved, ...firing]
  if (reason === 'new alerts') return [...firing.toReversed(), ...resolved]
  return [...firing, ...resolved]
}
