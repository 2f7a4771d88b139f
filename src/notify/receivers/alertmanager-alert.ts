// An alert in Alertmanager's own JSON: what its webhooks tell, and what its API takes.
//
// Labels are the identity and stay as they are. Annotations are the rule's, and beside them what a
// program needs to act: whose device it is, the link that resolves it, how it ended. Personal data
// are left out, and hidden in the rule's texts, unless the receiver may have them.

import { type Alert, isFiring, type Labels } from '../../alerts/alert.ts'
import { plainText, webUrl, withoutWord } from '../message-text.ts'
import type { AlertLink } from '../notification.ts'

export interface AlertmanagerAlert {
  readonly labels: Labels
  /**
   * The rule's, on one line each, and of ours those that apply: `external_user_id`, `user_name` and
   * `user_email` (personal), `resolution_url`, `resolution_url_expires_at`, `no_data_reason`,
   * `resolved_reason`, `verified_after`.
   */
  readonly annotations: Labels
  /** RFC 3339. When it began to fire, as Prometheus has it: constant through an episode. */
  readonly startsAt: string
  /** When it ended; null while it fires. */
  readonly endsAt: string | null
}

const longestAnnotation = 4_000

export function alertmanagerAlert(
  alert: Alert,
  { link, showPersonalData }: { readonly link: AlertLink | undefined; readonly showPersonalData: boolean },
): AlertmanagerAlert {
  const startedAt = alert.firedAt ?? alert.activeAt
  const endedAt = isFiring(alert) ? null : Math.max(startedAt, alert.resolvedAt ?? alert.evaluatedAt)
  return {
    labels: withoutEmpty(alert.labels),
    annotations: annotations(alert, link, showPersonalData),
    startsAt: new Date(startedAt).toISOString(),
    endsAt: endedAt === null ? null : new Date(endedAt).toISOString(),
  }
}

/** The entries that all of them have; {} of none. */
export function commonEntries(all: readonly Labels[]): Labels {
  const [first, ...others] = all
  let common = Object.entries(first ?? {})
  for (const other of others) {
    if (common.length === 0) break
    common = common.filter(([name, value]) => other[name] === value)
  }
  return Object.fromEntries(common)
}

function annotations(alert: Alert, link: AlertLink | undefined, showPersonalData: boolean): Labels {
  const { externalUserId, name, email } = alert.affected
  // Some utilities use the customer's e-mail address as their id.
  const idIsPersonal = externalUserId?.includes('@') ?? false
  const hidden = showPersonalData ? [] : [email, name, idIsPersonal ? externalUserId : null]
  const said = new Map<string, string>()
  for (const [key, value] of Object.entries(alert.annotations)) {
    let text = plainText(value, longestAnnotation)
    for (const word of hidden) if (word !== null && word !== '') text = withoutWord(text, word)
    if (text !== '') said.set(key, text)
  }
  const firing = isFiring(alert)
  const url = firing ? webUrl(link?.url) : null
  const ours = {
    external_user_id: idIsPersonal && !showPersonalData ? null : externalUserId,
    user_name: showPersonalData ? name : null,
    user_email: showPersonalData ? email : null,
    resolution_url: url,
    resolution_url_expires_at: url === null ? null : instant(link?.validUntil ?? null),
    no_data_reason: firing ? (alert.noData?.reason ?? null) : null,
    resolved_reason: firing ? null : alert.resolvedReason,
    verified_after: firing ? null : verifiedAfter(alert),
  }
  for (const [key, value] of Object.entries(ours)) {
    if (value === null) continue
    const text = key === 'resolution_url' ? value : plainText(value, longestAnnotation)
    if (text !== '') said.set(key, text)
  }
  return Object.fromEntries(said)
}

/** From when the person came back from the partner to the reading that showed it. */
function verifiedAfter({ reconnectedAt, resolvedAt }: Alert): string | null {
  if (reconnectedAt === null || resolvedAt === null) return null
  return `${Math.max(0, Math.round((resolvedAt - reconnectedAt) / 1_000))}s`
}

/** Alertmanager knows no empty labels: to have one is the same as not to have it. */
function withoutEmpty(labels: Labels): Labels {
  for (const name in labels) {
    if (labels[name] === '')
      return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''))
  }
  return labels
}

/** Null for what is no instant: it comes from the partner. */
function instant(at: number | null): string | null {
  const date = new Date(at ?? Number.NaN)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}
