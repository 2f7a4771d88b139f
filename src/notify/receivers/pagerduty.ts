// PagerDuty, through its Events API v2: one incident per group, triggered while anything fires and
// resolved when nothing does.
//
// The dedup key is made from the group, so each further message updates the same incident, and a
// repeated request changes nothing. The routing key is a secret, and part of the body: it goes to
// the configured host only. Source: PagerDuty's Events API v2 reference (summary 1,024 characters,
// dedup key 255, an event 512 KB).

import { createHash } from 'node:crypto'
import type { Labels } from '../../alerts/alert.ts'
import type { PagerdutyConfig } from '../../config.ts'
import { createMessage, type Message, type MessageMember } from '../message.ts'
import { plainText } from '../message-text.ts'
import type { Integration, Notification } from '../notification.ts'
import { commonEntries } from './alertmanager-alert.ts'
import { createHttpIntegration, type HttpReceiverDeps, type Place } from './http-integration.ts'
import { outcomeOf } from './http-post.ts'

export function createPagerdutyIntegration(
  config: PagerdutyConfig,
  place: Place,
  deps: HttpReceiverDeps,
): Integration {
  const { routingKey, url, sendResolved, showPersonalData, http } = config
  return createHttpIntegration(
    {
      ...place,
      kind: 'pagerduty',
      sendResolved,
      http,
      secretBody: true,
      async deliver(notification, { links, post }) {
        const moreUrl = deps.moreUrl(notification)
        const message = createMessage(notification, { links, showPersonalData, moreUrl })
        const event = pagerdutyEvent(message, notification, config)
        // As PagerDuty's own tools: a key read from a file may end with a line break.
        const answer = await post(url, { routing_key: routingKey.reveal().trim(), ...event })
        return answer.kind === 'answer' ? outcomeOf(answer, complaint(answer.text)) : answer
      },
    },
    deps,
  )
}

/** Without the routing key. Everything in a Message is short, so an event is below 100 KB. */
export interface PagerdutyEvent {
  readonly event_action: 'trigger' | 'resolve'
  readonly dedup_key: string
  readonly payload: {
    readonly summary: string
    readonly source: string
    readonly severity: Severity
    readonly timestamp: string
    readonly component?: string
    readonly group?: string
    readonly class?: string
    readonly custom_details: Readonly<Record<string, unknown>>
  }
  readonly client: string
  readonly client_url?: string
  readonly links: readonly { readonly href: string; readonly text: string }[]
}

type Severity = 'critical' | 'error' | 'warning' | 'info'

const longestSummary = 1_024

export function pagerdutyEvent(
  message: Message,
  notification: Notification,
  config: Pick<PagerdutyConfig, 'client' | 'clientUrl' | 'severity' | 'class' | 'component' | 'group'>,
): PagerdutyEvent {
  const client = config.client ?? 'Fleetwarden'
  const clientUrl = config.clientUrl ?? message.more.url
  const members = notification.firing.length > 0 ? notification.firing : notification.resolved
  const labels = commonEntries(members.map((alert) => alert.labels))
  return {
    event_action: message.state === 'firing' ? 'trigger' : 'resolve',
    dedup_key: createHash('sha256').update(notification.groupKey).digest('hex'),
    payload: {
      summary: summary(message),
      source: client,
      severity: config.severity ?? severity(message.severity),
      timestamp: new Date(message.since.at).toISOString(),
      ...given('component', config.component ?? label(labels, 'manufacturer')),
      ...given('group', config.group ?? label(labels, 'device_type')),
      ...given('class', config.class ?? label(labels, 'alertname')),
      custom_details: details(message),
    },
    client,
    ...given('client_url', clientUrl),
    links: links(message),
  }
}

function summary({ title, summary }: Message): string {
  return plainText(summary === null ? title : `${title}: ${summary}`, longestSummary)
}

/** PagerDuty knows four; what it doesn't know is as grave as an error. */
function severity(word: string): Severity {
  return severities.find((known) => known === word) ?? 'error'
}

const severities = ['critical', 'error', 'warning', 'info'] as const

function label(labels: Labels, name: string): string | null {
  const value = plainText(labels[name] ?? '', 255)
  return value === '' || value === 'unknown' ? null : value
}

function given<K extends string>(key: K, value: string | null): { readonly [P in K]?: string } {
  const entry: { [P in K]?: string } = {}
  if (value !== null) entry[key] = value
  return entry
}

function details(message: Message): Readonly<Record<string, unknown>> {
  const { why, description, todo, since, lasted, firing, resolved, customers, members, more } = message
  return {
    why,
    ...given('description', description),
    ...given('to_do', todo),
    since: since.text,
    ...given('lasted', lasted),
    firing,
    resolved,
    ...(customers === 0 ? {} : { customers }),
    devices: members.map(memberLine),
    ...(more.count === 0 ? {} : { more: `…and ${more.count} more` }),
  }
}

function memberLine({ state, what, customer, who, since, notes, link }: MessageMember): string {
  const until = link?.validUntil ? ` (valid until ${link.validUntil.text})` : ''
  const parts = [
    what,
    customer === null ? '' : `customer ${customer}`,
    who ?? '',
    state === 'firing' ? `since ${since.text}` : '',
    ...notes,
    link === null ? '' : `${link.url}${until}`,
  ]
  return parts.filter((part) => part !== '').join(' · ')
}

function links({ members, runbookUrl, more }: Message): PagerdutyEvent['links'] {
  return [
    ...(runbookUrl === null ? [] : [{ href: runbookUrl, text: 'Runbook' }]),
    ...members.flatMap(({ link, what, customer }) =>
      link === null ? [] : [{ href: link.url, text: `Resolve: ${customer ?? what}` }],
    ),
    ...(more.count === 0 || more.url === null ? [] : [{ href: more.url, text: 'See all of them' }]),
  ]
}

/** What PagerDuty says is wrong; null for any other words, which may quote what was sent. */
function complaint(text: string): string | null {
  const found = complaints.find((words) => text.includes(words))
  return found === undefined ? null : `(${found})`
}

const complaints = [
  "Length of 'routing_key' is incorrect",
  "'routing_key' is missing or blank",
  "'payload.summary' is missing or blank",
  "'payload.severity' is invalid",
  'Event object format is unrecognized',
  'Event object is invalid',
]
