// What a message says, before it is Slack or e-mail: a Notification put into the words of the
// people who are woken by it. It leads with what, how many and what to do; then since when, who is
// affected, and why it was sent.
//
// Everything in a Message is plain text on one line, free of control characters and cut to a length
// in code points: a receiver only has to escape it for its channel. Names and e-mail addresses of
// customers get in only with `showPersonalData`. Nothing here decides whether or to whom it is sent.

import { type Alert, isFiring, type TransitionReason } from '../alerts/alert.ts'
import type { Acknowledgement } from '../alerts/silence.ts'
import { formatDuration } from '../duration.ts'
import { deviceGroupName, deviceTypeWords, isDeviceType } from '../fleet/device.ts'
import type { UnknownReason } from '../fleet/verdict.ts'
import { fleetGroupLabels } from '../rules/rule.ts'
import { type Moment, moment, plainText, webUrl, withoutWord } from './message-text.ts'
import type { AlertLink, LinkSource, Notification, NotificationReason } from './notification.ts'

/** Devices that a message lists, each with its own link; the rest is "and N more". */
export const listedMembers = 10

export interface Message {
  /** `ended`: nothing fires any more, but at least one member was not seen to recover. */
  readonly state: 'firing' | 'resolved' | 'ended'
  /** The highest severity among what fires (else among what resolved); '' when none is set. */
  readonly severity: string
  /** What and how many: `3 heat pumps (Vaillant): DeviceUnauthenticated`. */
  readonly title: string
  /** The same for every message about this group, so that mail readers keep them together. */
  readonly topic: string
  /** What is wrong, or was, in one sentence, where all members share it. */
  readonly summary: string | null
  /** More about it, only while it fires. */
  readonly description: string | null
  readonly todo: string | null
  /** Why it was sent now. */
  readonly why: string
  readonly since: Moment
  /** How long it lasted, once nothing fires any more. */
  readonly lasted: string | null
  readonly firing: number
  readonly resolved: number
  /** Distinct customers among all members; 0 for what concerns nobody in particular. */
  readonly customers: number
  /** At most listedMembers. */
  readonly members: readonly MessageMember[]
  readonly more: { readonly count: number; readonly url: string | null }
  /** Only while it fires. */
  readonly runbookUrl: string | null
}

/** One alert of the group. */
export interface MessageMember {
  readonly state: 'firing' | 'resolved'
  /** `Heat pump Vaillant aroTHERM plus`. */
  readonly what: string
  /** The utility's own customer id, or null where there is none to show. */
  readonly customer: string | null
  /** Further words on who: name and address with showPersonalData, the user id without a customer id. */
  readonly who: string | null
  readonly deviceId: string | null
  readonly since: Moment
  /** How it ended, what is not known about it, and its own summary where members differ. */
  readonly notes: readonly string[]
  readonly link: MessageLink | null
}

export interface MessageLink {
  /** http or https, as `new URL()` writes it. */
  readonly url: string
  /** Null: not known, no end, or so far off that nobody has to hurry. */
  readonly validUntil: Moment | null
}

export interface MessageOptions {
  /** By fingerprint; only alerts of `listedAlerts` are looked up. */
  readonly links: ReadonlyMap<string, AlertLink>
  readonly showPersonalData: boolean
  /** The page that lists all members, for "and N more". */
  readonly moreUrl: string | null
}

// Code points. Together they keep the longest message well within 100 KB of HTML.
const longest = { word: 60, name: 120, sentence: 300, paragraph: 600 } as const

export function createMessage(notification: Notification, options: MessageOptions): Message {
  const { firing, resolved } = notification
  const state = firing.length > 0 ? 'firing' : resolved.every(recovered) ? 'resolved' : 'ended'
  const subjects = firing.length > 0 ? firing : resolved
  const listed = listedAlerts(notification)
  const summary = shared(subjects, (alert) => annotation(alert, 'summary', longest.sentence, options))
  const members = listed.map((alert) => messageMember(alert, notification, { ...options, summary }))
  const runbookUrl =
    state !== 'firing' ? null : shared(subjects, (alert) => webUrl(alert.annotations['runbook_url']))
  const since = Math.min(...extremes(subjects, (alert) => alert.activeAt))
  const endedAt = Math.max(...extremes(resolved, (alert) => alert.resolvedAt ?? alert.evaluatedAt))
  return {
    state,
    severity: highestSeverity(subjects),
    title: title(subjects),
    topic: topic(notification),
    summary,
    description:
      state !== 'firing'
        ? null
        : shared(subjects, (alert) => annotation(alert, 'description', longest.paragraph, options)),
    todo: todo(
      state,
      members.some((member) => member.link !== null),
      runbookUrl !== null,
    ),
    why: why(notification),
    since: moment(since, notification.at),
    lasted: state === 'firing' ? null : formatDuration(Math.max(0, endedAt - since)),
    firing: firing.length,
    resolved: resolved.length,
    customers: new Set([...firing, ...resolved].flatMap((alert) => userIdOf(alert) ?? [])).size,
    members,
    more: {
      count: firing.length + resolved.length - listed.length,
      url: webUrl(options.moreUrl ?? undefined),
    },
    runbookUrl,
  }
}

/**
 * The members that a message lists, in its order: those that need help first. News goes before age:
 * the newest when members joined, and room for a few that ended when some did.
 */
export function listedAlerts({ reason, firing, resolved }: Notification): readonly Alert[] {
  const newsworthy = reason === 'some resolved' ? Math.min(resolved.length, 4) : 0
  const roomForFiring = Math.min(firing.length, listedMembers - newsworthy)
  const shownFiring =
    reason === 'new alerts' && firing.length > roomForFiring
      ? firing.slice(firing.length - roomForFiring).reverse()
      : firing.slice(0, roomForFiring)
  return [...shownFiring, ...resolved.slice(0, listedMembers - roomForFiring)]
}

/**
 * Fetches the links of the listed alerts that still fire, all at once. A link that fails or is not
 * there within `timeoutMs` is left out: an alert without a link is worth more than none.
 */
export async function findLinks(
  notification: Notification,
  linkFor: LinkSource,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<ReadonlyMap<string, AlertLink>> {
  const links = new Map<string, AlertLink>()
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const given = Promise.withResolvers<void>()
  if (limit.aborted) given.resolve()
  limit.addEventListener('abort', () => given.resolve(), { once: true })
  const find = async (alert: Alert) => {
    try {
      const link = await linkFor(alert, limit)
      if (link !== null) links.set(alert.fingerprint, link)
    } catch {
      // The source counts and logs its failures; here the message goes out without that link.
    }
  }
  const all = Promise.all(listedAlerts(notification).filter(isFiring).map(find))
  await Promise.race([all, given.promise])
  // A copy: a source that ignores its signal may still answer later.
  return new Map(links)
}

function messageMember(
  alert: Alert,
  { at, acknowledged }: Notification,
  options: MessageOptions & { readonly summary: string | null },
): MessageMember {
  const { affected } = alert
  // Some utilities use the customer's e-mail address as their id.
  const idIsPersonal = affected.externalUserId?.includes('@') ?? false
  const customer =
    affected.externalUserId !== null && (options.showPersonalData || !idIsPersonal)
      ? plainText(affected.externalUserId, longest.word)
      : null
  const personal = options.showPersonalData ? [affected.name, affected.email] : []
  const userId = userIdOf(alert)
  const identity = [...personal, customer === null && userId !== null ? `user ${userId}` : null]
  const who = identity.flatMap((part) => (part === null ? [] : plainText(part, longest.name))).join(', ')
  const ownSummary = options.summary === null ? annotation(alert, 'summary', longest.sentence, options) : null
  const firing = isFiring(alert)
  const link = firing ? messageLink(options.links.get(alert.fingerprint), at) : null
  const notes = firing
    ? [ownSummary, unknown(alert, at), flapping(alert, at), attention(acknowledged.get(alert.fingerprint))]
    : [ownSummary, ending(alert, at)]
  return {
    state: firing ? 'firing' : 'resolved',
    what: what(alert) || plainText(alert.labels['alertname'] ?? '', longest.word) || 'Alert',
    customer: customer === '' ? null : customer,
    who: who === '' ? null : who,
    deviceId: alert.subject.kind === 'device' ? plainText(alert.subject.deviceId, longest.word) : null,
    since: moment(alert.activeAt, at),
    notes: notes.filter((note) => note !== null),
    link,
  }
}

function messageLink(link: AlertLink | undefined, now: number): MessageLink | null {
  const url = webUrl(link?.url)
  if (link === undefined || url === null) return null
  const { validUntil } = link
  // Of a link that works for weeks nobody needs to be told the hour of its end, ten times in a message.
  const isSoon = validUntil !== null && !(validUntil - now > worthTellingMs)
  return { url, validUntil: isSoon ? moment(validUntil, now) : null }
}

const worthTellingMs = 2 * 86_400_000

// ---- words

function why({ reason, firing, resolved }: Notification): string {
  return whyWords[reason](firing.length, resolved.length)
}

const whyWords: Readonly<Record<NotificationReason, (firing: number, resolved: number) => string>> = {
  'first notification': () => 'First message about this.',
  'new alerts': () => 'More were added since the last message.',
  'some resolved': (firing, resolved) =>
    firing > 0
      ? `${resolved} ended since the last message, ${firing} still firing.`
      : `${resolved} ended; what is silenced or inhibited here still fires.`,
  'all resolved': () => 'Nothing is firing here any more.',
  repeat: () => 'Reminder: told before, still firing.',
  'resolved before delivery': () => 'It fired and ended before a message about it could be delivered.',
  'silence ended': () => 'It was silenced; the silence is over, and it is still firing.',
  'resolved while silenced': () => 'It ended while it was silenced.',
  flapping: () => 'It fires and ends again and again: that is not told any more until it settles.',
  'acknowledged reminder': () => 'Reminder: acknowledged, and still firing.',
}

function todo(state: Message['state'], links: boolean, runbook: boolean): string | null {
  switch (state) {
    case 'firing':
      if (links)
        return 'Open a device’s link and follow the steps; it resolves by itself once the device answers.'
      return runbook ? 'Follow the runbook.' : null
    case 'resolved':
      return 'Nothing to do.'
    case 'ended':
      return 'Nothing fires here any more, but not all of it was seen to recover: see each device.'
    default:
      return state satisfies never
  }
}

const unknownWords: Readonly<Record<UnknownReason, string>> = {
  poll_failed: 'could not be read',
  device_missing: 'missing from the partner’s list',
  stale: 'no fresh data',
  missing_field: 'data incomplete',
  rule_error: 'its rule fails',
}

function unknown({ noData }: Alert, now: number): string | null {
  return noData === null ? null : `${unknownWords[noData.reason]} since ${moment(noData.since, now).text}`
}

function flapping({ flappingSince, flips }: Alert, now: number): string | null {
  if (flappingSince === null) return null
  return `flapping since ${moment(flappingSince, now).text}: fired or ended ${flips.length} times`
}

/** Who looks after it. People write comments: they are shown as text, and cut. */
function attention(acknowledgement: Acknowledgement | undefined): string | null {
  if (acknowledgement === undefined) return null
  const { by, comment } = acknowledgement
  const words = plainText(comment, longest.sentence)
  return `acknowledged by ${plainText(by, longest.word)}${words === '' ? '' : `: ${words}`}`
}

function ending(alert: Alert, now: number): string {
  const endedAt = alert.resolvedAt ?? alert.evaluatedAt
  const lasted = `after ${formatDuration(Math.max(0, endedAt - alert.activeAt))}`
  const at = moment(endedAt, now).text
  const reason = alert.resolvedReason
  if (reason === 'condition') {
    const isConnection = /unauthenticated/i.test(alert.labels['alertname'] ?? '')
    const how = `${isConnection ? 'reconnected' : 'recovered'} ${lasted}`
    if (alert.reconnectedAt === null) return `${how}, verified by the reading of ${at}`
    // Whole seconds: what is quicker than one is one.
    const afterMs = Math.max(1_000, endedAt - alert.reconnectedAt)
    const since = isConnection ? 'reconnection' : 'the customer had followed the link'
    return `${how}, verified ${formatDuration(afterMs)} after ${since}`
  }
  return `${reason === null ? 'ended' : endingWords[reason]} (${at}, ${lasted})`
}

const endingWords: Readonly<Record<Exclude<TransitionReason, 'condition'>, string>> = {
  device_deleted: 'deleted, no longer watched',
  rule_removed: 'no longer watched: its rule was removed',
  rule_changed: 'ended because its rule was changed',
  no_data: 'ended without data: its rule counts missing data as fine',
  manual: 'closed by hand',
}

function recovered(alert: Alert): boolean {
  return alert.resolvedReason === 'condition'
}

function title(alerts: readonly Alert[]): string {
  const counts = new Map<string, { count: number; words: readonly [string, string] }>()
  for (const { subject } of alerts) {
    const kind = subject.kind === 'device' ? subject.deviceType : subject.kind
    const words =
      subject.kind === 'device'
        ? deviceTypeWords[subject.deviceType]
        : subject.kind === 'user'
          ? (['customer', 'customers'] as const)
          : (['fleet alert', 'fleet alerts'] as const)
    counts.set(kind, { count: (counts.get(kind)?.count ?? 0) + 1, words })
  }
  const rules = ruleNames(alerts)
  const only = alerts.length === 1 ? alerts[0] : undefined
  if (only?.subject.kind === 'fleet') {
    const about = what(only)
    return plainText(about === '' ? rules : `${rules}: ${about}`, longest.name)
  }
  const parts = [...counts.values()].map(({ count, words }) => `${count} ${words[count === 1 ? 0 : 1]}`)
  const things = parts.length <= 2 ? parts.join(', ') : `${alerts.length} alerts`
  const maker = shared(alerts, (alert) => manufacturer(alert) || null)
  return plainText(`${things}${maker === null ? '' : ` (${maker})`}: ${rules}`, longest.name)
}

function topic({ groupLabels }: Notification): string {
  const { alertname, ...rest } = groupLabels
  const others = Object.entries(rest)
    .filter(([name, value]) => value !== '' && !(value === 'unknown' && isGroupLabel(name)))
    .map(([name, value]) => readableLabel(name, value))
  const about = [alertname, others.length === 0 ? '' : `(${others.join(', ')})`].filter(Boolean).join(' ')
  return plainText(about === '' ? 'Fleet alerts' : `Fleet alert: ${about}`, longest.name)
}

function readableLabel(name: string, value: string): string {
  if (name === 'device_type') return isDeviceType(value) ? deviceTypeWords[value][1] : value
  return name === 'manufacturer' || name === 'model' ? value : `${name}=${value}`
}

/** The device in words, or what a fleet alert's labels say it is about: '' for the service itself. */
function what(alert: Alert): string {
  switch (alert.subject.kind) {
    case 'device': {
      const [word] = deviceTypeWords[alert.subject.deviceType]
      const maker = manufacturer(alert)
      const model = alert.affected.model ?? ''
      // Some models carry their maker's name already.
      const name = model.toLowerCase().startsWith(maker.toLowerCase()) ? model : `${maker} ${model}`
      return plainText(`${word.charAt(0).toUpperCase()}${word.slice(1)} ${name}`, longest.name)
    }
    case 'user':
      return 'Customer'
    case 'fleet': {
      // Labels that a rule writes itself (`area`, say) name nothing; `rule` is AlertLimitReached's.
      const { rule = '' } = alert.labels
      const isGroup = Object.keys(alert.labels).some(isGroupLabel)
      return plainText(isGroup ? deviceGroupName(alert.labels) : rule, longest.name)
    }
    default:
      return alert.subject satisfies never
  }
}

function manufacturer(alert: Alert): string {
  const name = plainText(alert.labels['manufacturer'] ?? '', longest.word)
  return name === 'unknown' ? '' : name
}

function ruleNames(alerts: readonly Alert[]): string {
  const names = [...new Set(alerts.map((alert) => alert.labels['alertname'] ?? ''))]
  const [first = '', ...others] = names
  const rest = others.length === 0 ? '' : ` and ${others.length} more rule${others.length === 1 ? '' : 's'}`
  return `${plainText(first, longest.word)}${rest}`
}

const severities = ['critical', 'error', 'warning', 'info']

function highestSeverity(alerts: readonly Alert[]): string {
  const found = new Set(alerts.map((alert) => alert.labels['severity'] ?? ''))
  found.delete('')
  const [other = ''] = found
  return severities.find((severity) => found.has(severity)) ?? plainText(other, longest.word)
}

function isGroupLabel(name: string): boolean {
  return fleetGroupLabels.some((label) => label === name)
}

function userIdOf({ subject }: Alert): string | null {
  return subject.kind === 'fleet' ? null : subject.userId
}

function annotation(
  alert: Alert,
  name: string,
  codePoints: number,
  { showPersonalData }: MessageOptions,
): string | null {
  const { name: person, email } = alert.affected
  // A rule's author may have put the customer into the text: for all receivers, since a rule
  // doesn't know who reads it. Hidden before the text is cut, which could leave half a name.
  let text = plainText(alert.annotations[name] ?? '', codePoints * 4)
  if (!showPersonalData) for (const word of [email, person]) text = withoutWord(text, word ?? '')
  text = plainText(text, codePoints)
  return text === '' ? null : text
}

// ---- values

/** What all of them say, or null when they differ or say nothing. */
function shared(alerts: readonly Alert[], say: (alert: Alert) => string | null): string | null {
  const [first] = alerts
  if (first === undefined) return null
  const said = say(first)
  return said !== null && alerts.every((alert) => alert === first || say(alert) === said) ? said : null
}

/** Smallest and largest, without spreading thousands of arguments into Math.min. */
function extremes(alerts: readonly Alert[], value: (alert: Alert) => number): readonly [number, number] | [] {
  let smallest = Number.POSITIVE_INFINITY
  let largest = Number.NEGATIVE_INFINITY
  for (const alert of alerts) {
    smallest = Math.min(smallest, value(alert))
    largest = Math.max(largest, value(alert))
  }
  return alerts.length === 0 ? [] : [smallest, largest]
}
