// Which alerts the first page shows, and in which order: one pass over all alerts with the cheapest
// questions first, a count for each state, groups as they are told, the worst of the newest on top. It costs some
// microseconds an alert and keeps none of what is not shown.

import { type Alert, isFiring } from '../../alerts/alert.ts'
import type { Clock } from '../../clock.ts'
import { type Matcher, MatcherError, parseMatchers } from '../../matcher.ts'
import { createDeadline, tookTooLong } from '../alert-query.ts'
import type { AlertGroup, AlertingApi } from '../alerting-api.ts'

/** Every alert is in exactly one. `open`: it fires, somebody is told of it, and nobody looks after it yet. */
export const alertTabs = ['open', 'acknowledged', 'held', 'pending'] as const
export type AlertTab = (typeof alertTabs)[number]
export type TabChoice = AlertTab | 'all'

/** What the page's address asks for; an empty text asks for any. */
export interface ListQuery {
  readonly tab: TabChoice
  /** Words that all have to be in the alert's labels, its summary or the customer's id. */
  readonly text: string
  readonly rule: string
  readonly manufacturer: string
  readonly severity: string
  /** The utility's own id of the customer, or the user's. */
  readonly owner: string
  /** Matchers in Alertmanager's words. */
  readonly filter: string
  /** The key of a group: that one alone. */
  readonly group: string
  /** From 1. */
  readonly page: number
}

export interface ListedGroup {
  readonly group: Pick<AlertGroup, 'key' | 'labels' | 'receiver' | 'mutedBy'> | null
  /** The worst of its alerts that are asked for. */
  readonly severity: string
  readonly count: number
  /** Those that this page has room for, the newest first. */
  readonly alerts: readonly Alert[]
}

export interface AlertList {
  /** With these filters, by state. */
  readonly counts: Readonly<Record<TabChoice, number>>
  readonly groups: readonly ListedGroup[]
  readonly page: number
  readonly pages: number
  /** What `filter` has wrong; null: nothing. Then it counts as left out. */
  readonly filterProblem: string | null
  /** Of all alerts, for the fields to choose from. */
  readonly choices: {
    readonly rules: readonly string[]
    readonly manufacturers: readonly string[]
    readonly severities: readonly string[]
  }
}

export const emptyQuery: ListQuery = {
  tab: 'open',
  text: '',
  rule: '',
  manufacturer: '',
  severity: '',
  owner: '',
  filter: '',
  group: '',
  page: 1,
}

const groupsPerPage = 20
const alertsPerGroup = 5
const alertsPerPage = 50
const mostChoices = 500
const mostMatchers = 64
const severityOrder = ['critical', 'error', 'warning', 'info']

export function severityRank(severity: string): number {
  const rank = severityOrder.indexOf(severity)
  return rank === -1 ? severityOrder.length : rank
}

/** @throws ApiError when it takes too long. */
export function listAlerts(
  api: AlertingApi,
  query: ListQuery,
  clock: Pick<Clock, 'now' | 'monotonic'>,
): AlertList {
  const { matchers, filterProblem } = matchersOf(query.filter)
  const isAskedFor = createTest(query)
  const counts = { open: 0, acknowledged: 0, held: 0, pending: 0, all: 0 }
  const isInTime = createDeadline(clock)
  /** By fingerprint. */
  const wanted = new Map<string, Alert>()
  const pending: Alert[] = []
  const seen = { rules: new Set<string>(), manufacturers: new Set<string>(), severities: new Set<string>() }
  const isChosen = (tab: AlertTab) => query.tab === 'all' || query.tab === tab
  const inGroup = query.group === '' ? null : membersOf(api, query.group)

  for (const alert of api.alerts()) {
    if (!isInTime()) throw tookTooLong()
    if (!isFiring(alert) && alert.state !== 'pending') continue
    note(seen.rules, alert.labels['alertname'])
    note(seen.manufacturers, alert.labels['manufacturer'])
    note(seen.severities, alert.labels['severity'])
    if (inGroup !== null && !inGroup.has(alert.fingerprint)) continue
    if (!isAskedFor(alert) || !matchers.every((matcher) => isMatching(matcher, alert))) continue
    const tab = tabOf(api, alert)
    counts[tab]++
    counts.all++
    if (!isChosen(tab)) continue
    if (tab === 'pending') pending.push(alert)
    else wanted.set(alert.fingerprint, alert)
  }

  const groups = [...gather(api, { wanted, key: query.group }), ...gatherPending(pending)].sort(byUrgency)
  const [only] = groups
  const choices = {
    rules: sorted(seen.rules),
    manufacturers: sorted(seen.manufacturers),
    severities: sorted(seen.severities),
  }
  const list = { counts, filterProblem, choices: { ...choices, severities: bySeverity(choices.severities) } }
  if (groups.length === 1 && only !== undefined) {
    const { page, pages, from } = place(query.page, only.alerts.length, alertsPerPage)
    return { ...list, page, pages, groups: [shownOf(only, from, alertsPerPage)] }
  }
  const { page, pages, from } = place(query.page, groups.length, groupsPerPage)
  const shown = groups.slice(from, from + groupsPerPage)
  return { ...list, page, pages, groups: shown.map((group) => shownOf(group, 0, alertsPerGroup)) }
}

/** In which of the lists an alert is that is not resolved. */
function tabOf(api: Pick<AlertingApi, 'suppressionOf' | 'acknowledgementOf'>, alert: Alert): AlertTab {
  if (alert.state === 'pending') return 'pending'
  const { silencedBy, inhibitedBy, mutedBy } = api.suppressionOf(alert)
  if (silencedBy.length + inhibitedBy.length + mutedBy.length > 0) return 'held'
  return api.acknowledgementOf(alert) === null ? 'open' : 'acknowledged'
}

interface Gathered {
  readonly group: ListedGroup['group']
  readonly alerts: Alert[]
  rank: number
  severity: string
  newestAt: number
}

function begin(group: ListedGroup['group']): Gathered {
  return { group, alerts: [], rank: Number.POSITIVE_INFINITY, severity: '', newestAt: 0 }
}

function put(into: Gathered, alert: Alert): void {
  const severity = alert.labels['severity'] ?? ''
  const rank = severityRank(severity)
  into.alerts.push(alert)
  into.newestAt = Math.max(into.newestAt, since(alert))
  if (rank < into.rank) [into.rank, into.severity] = [rank, severity]
}

function gather(
  api: AlertingApi,
  { wanted, key }: { readonly wanted: ReadonlyMap<string, Alert>; readonly key: string },
): Gathered[] {
  if (wanted.size === 0) return []
  const gathered: Gathered[] = []
  // An alert that began after its group was last looked at is in none yet.
  const left = new Map(wanted)
  for (const group of api.groups()) {
    if (key !== '' && group.key !== key) continue
    const { labels, receiver, mutedBy } = group
    const one = begin({ key: group.key, labels, receiver, mutedBy })
    for (const { fingerprint } of group.alerts) {
      const alert = wanted.get(fingerprint)
      if (alert === undefined) continue
      put(one, alert)
      left.delete(fingerprint)
    }
    if (one.alerts.length > 0) gathered.push(one)
  }
  if (left.size === 0) return gathered
  const others = begin(null)
  for (const alert of left.values()) put(others, alert)
  return [...gathered, others]
}

/** Nobody is told of these together, so they stand by rule. */
function gatherPending(pending: readonly Alert[]): Gathered[] {
  const byRule = new Map<string, Gathered>()
  for (const alert of pending) {
    const { alertname = '' } = alert.labels
    const one = byRule.get(alertname) ?? begin(null)
    put(one, alert)
    byRule.set(alertname, one)
  }
  return [...byRule.values()]
}

function shownOf({ group, alerts, severity }: Gathered, from: number, most: number): ListedGroup {
  // A group of fifty thousand is not sorted for the sake of five.
  const shown =
    from === 0 && alerts.length > most * 4
      ? newest(alerts, most)
      : alerts.toSorted(byAge).slice(from, from + most)
  return { group, severity, count: alerts.length, alerts: shown }
}

function newest(alerts: readonly Alert[], most: number): Alert[] {
  const found: Alert[] = []
  for (const alert of alerts) {
    const last = found.at(-1)
    if (found.length === most && last !== undefined && byAge(alert, last) >= 0) continue
    found.push(alert)
    found.sort(byAge).splice(most)
  }
  return found
}

function byUrgency(a: Gathered, b: Gathered): number {
  // What nobody is told of yet comes last.
  const isPending = ({ alerts: [first] }: Gathered) => Number(first?.state === 'pending')
  return (
    isPending(a) - isPending(b) ||
    a.rank - b.rank ||
    b.newestAt - a.newestAt ||
    compareText(keyOf(a), keyOf(b))
  )
}

function keyOf({ group, alerts: [first] }: Gathered): string {
  return group?.key ?? first?.labels['alertname'] ?? ''
}

function byAge(a: Alert, b: Alert): number {
  return (
    severityRank(a.labels['severity'] ?? '') - severityRank(b.labels['severity'] ?? '') ||
    since(b) - since(a) ||
    compareText(a.fingerprint, b.fingerprint)
  )
}

/** When it began to fire, or its condition to hold (ms since 1970). */
export function since({ firedAt, activeAt }: Alert): number {
  return firedAt ?? activeAt
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function place(asked: number, items: number, perPage: number) {
  const pages = Math.max(1, Math.ceil(items / perPage))
  const page = Math.min(Math.max(1, asked), pages)
  return { page, pages, from: (page - 1) * perPage }
}

function membersOf(api: AlertingApi, key: string): ReadonlySet<string> {
  const members = new Set<string>()
  for (const group of api.groups()) {
    if (group.key !== key) continue
    for (const { fingerprint } of group.alerts) members.add(fingerprint)
  }
  return members
}

function createTest({ text, rule, manufacturer, severity, owner }: ListQuery): (alert: Alert) => boolean {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  const exact = Object.entries({ alertname: rule, manufacturer, severity }).filter(
    ([, value]) => value !== '',
  )
  return ({ labels, annotations, affected, subject }) => {
    if (!exact.every(([name, value]) => labels[name] === value)) return false
    if (
      owner !== '' &&
      affected.externalUserId !== owner &&
      (subject.kind === 'fleet' || subject.userId !== owner)
    ) {
      return false
    }
    if (words.length === 0) return true
    const said = [...Object.values(labels), annotations['summary'], affected.externalUserId, affected.model]
      .join('\n')
      .toLowerCase()
    return words.every((word) => said.includes(word))
  }
}

function matchersOf(filter: string): { matchers: readonly Matcher[]; filterProblem: string | null } {
  if (filter.trim() === '') return { matchers: [], filterProblem: null }
  try {
    const matchers = parseMatchers(filter)
    return { matchers: matchers.slice(0, mostMatchers), filterProblem: null }
  } catch (error) {
    if (!(error instanceof MatcherError)) throw error
    return { matchers: [], filterProblem: error.message }
  }
}

function isMatching({ name, test }: Matcher, { labels }: Alert): boolean {
  const value: unknown = labels[name]
  return test(typeof value === 'string' ? value : '')
}

function note(seen: Set<string>, value: string | undefined): void {
  if (value !== undefined && value !== '' && seen.size < mostChoices) seen.add(value)
}

function sorted(values: ReadonlySet<string>): string[] {
  return [...values].sort(compareText)
}

function bySeverity(values: readonly string[]): string[] {
  return values.toSorted((a, b) => severityRank(a) - severityRank(b))
}
