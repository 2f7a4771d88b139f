// Another Alertmanager: each message's alerts are posted to its API, where its own routes and silences
// take over.
//
// Alertmanager lets an alert end that nobody repeats. Prometheus repeats every minute; a group's
// message comes only when it is due, at the latest after its route's repeat_interval. So a firing
// alert is posted to last for a day, and every message of the group prolongs it: a repeat_interval
// of a day or more would let it end in between. One that resolves is posted with its end, so
// without send_resolved it stays until the day is over.
//
// Posting the same alerts again changes nothing, so an attempt whose end is not known is repeated.

import type { Clock } from '../../clock.ts'
import type { AlertmanagerConfig } from '../../config.ts'
import { webUrl } from '../message-text.ts'
import type { AlertLink, Integration, Notification, SendOutcome } from '../notification.ts'
import { type AlertmanagerAlert, alertmanagerAlert } from './alertmanager-alert.ts'
import { createHttpIntegration, type HttpReceiverDeps, type Place } from './http-integration.ts'
import { type HttpAnswer, type HttpFailure, outcomeOf } from './http-post.ts'

const keptAliveMs = 24 * 3_600_000
// As many as Prometheus posts at once.
const batchSize = 256

export function createAlertmanagerIntegration(
  config: AlertmanagerConfig,
  place: Place,
  deps: HttpReceiverDeps,
): Integration {
  const { url, sendResolved, showPersonalData, http } = config
  return createHttpIntegration(
    {
      ...place,
      kind: 'alertmanager',
      sendResolved,
      http,
      async deliver(notification, { links, post }) {
        const groupUrl = deps.moreUrl(notification)
        const alerts = postableAlerts(notification, { links, showPersonalData, groupUrl, clock: deps.clock })
        let refusal: SendOutcome | null = null
        for (let start = 0; start < alerts.length; start += batchSize) {
          const batch = alerts.slice(start, start + batchSize)
          const outcome = conclude(await post(`${url.reveal()}/api/v2/alerts`, batch))
          if (outcome.kind === 'retry' || outcome.kind === 'rate_limited') return outcome
          // Of a batch that it refuses, Alertmanager takes what is valid; so the others go there as well.
          if (outcome.kind === 'permanent') refusal ??= outcome
        }
        return refusal ?? { kind: 'ok' }
      },
    },
    deps,
  )
}

type PostableAlert = AlertmanagerAlert & { readonly endsAt: string; readonly generatorURL?: string }

function postableAlerts(
  { firing, resolved }: Notification,
  {
    links,
    showPersonalData,
    groupUrl,
    clock,
  }: {
    readonly links: ReadonlyMap<string, AlertLink>
    readonly showPersonalData: boolean
    readonly groupUrl: string | null
    readonly clock: Clock
  },
): readonly PostableAlert[] {
  const lastsUntil = new Date(clock.now() + keptAliveMs).toISOString()
  const generatorURL = webUrl(groupUrl ?? undefined)
  return [...firing, ...resolved].map((alert) => {
    const posted = alertmanagerAlert(alert, { link: links.get(alert.fingerprint), showPersonalData })
    // Left out where there is none: '' is no URL to Alertmanager.
    const origin = generatorURL === null ? {} : { generatorURL }
    return { ...posted, endsAt: posted.endsAt ?? lastsUntil, ...origin }
  })
}

function conclude(answer: HttpAnswer | HttpFailure): SendOutcome {
  if (answer.kind !== 'answer') return answer
  return outcomeOf(answer, answer.status === 400 ? complaint(answer.text) : null)
}

/** What Alertmanager says is wrong; null for any other words, which may quote what was sent. */
function complaint(text: string): string | null {
  const found = complaints.find((words) => text.includes(words))
  return found === undefined ? null : `(${found})`
}

const complaints = [
  'start time missing',
  'end time missing',
  'start time must be before end time',
  'invalid label set',
  'invalid annotations',
  'at least one label pair required',
]
