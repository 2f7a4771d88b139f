// Which alerts a request asks for, and finding them: one pass over all alerts with the cheapest
// questions first, so that a query for a hundred of a hundred thousand costs a hundred thousand
// comparisons and no copy. A query that takes too long is refused rather than let hold up the walk.

import { type Alert, isFiring } from '../alerts/alert.ts'
import type { Clock } from '../clock.ts'
import { createMatcher, type Matcher, MatcherError, parseMatchers } from '../matcher.ts'
import type { AlertGroup, AlertingApi, Suppression } from './alerting-api.ts'
import { ApiError } from './api-error.ts'
import { quote, shortened } from './json-body.ts'

/** What a request's URL asks for, by name; a name may come more than once. */
export type Parameters = ReadonlyMap<string, readonly string[]>

export interface AlertQuery {
  /** Cheapest first. */
  readonly matchers: readonly Matcher[]
  /** Whether a receiver is one of those asked for; null: any. */
  readonly isReceiver: ((name: string) => boolean) | null
  readonly active: boolean
  readonly silenced: boolean
  readonly inhibited: boolean
  readonly muted: boolean
  /** Also those whose `for` has not passed, which Alertmanager never has. */
  readonly pending: boolean
}

const mostMatchers = 64
const longestQueryMs = 1_000
const alertsBetweenLooks = 256
const mostRemembered = 10_000

/** @throws ApiError when a part is not percent-encoded UTF-8. */
export function parametersOf(url: string): Parameters {
  const parameters = new Map<string, string[]>()
  const start = url.indexOf('?')
  if (start === -1) return parameters
  for (const part of url.slice(start + 1).split('&')) {
    if (part === '') continue
    const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(part) ?? []
    const values = parameters.get(decoded(name))
    if (values === undefined) parameters.set(decoded(name), [decoded(value)])
    else values.push(decoded(value))
  }
  return parameters
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (error) {
    throw new ApiError(400, `${quote(text)} is not percent-encoded UTF-8`, { cause: error })
  }
}

/** @throws ApiError */
export function parseAlertQuery(parameters: Parameters): AlertQuery {
  // Alertmanager's own word for what it has not looked at yet. Here, that never is: it is checked, no more.
  flag(parameters, 'unprocessed', true)
  return {
    matchers: prepared(parseFilters(parameters)),
    isReceiver: parseReceiver(parameters),
    active: flag(parameters, 'active', true),
    silenced: flag(parameters, 'silenced', true),
    inhibited: flag(parameters, 'inhibited', true),
    muted: flag(parameters, 'muted', true),
    pending: flag(parameters, 'pending', false),
  }
}

/** The matchers of all `filter`s. @throws ApiError */
export function parseFilters(parameters: Parameters): readonly Matcher[] {
  const matchers: Matcher[] = []
  for (const filter of parameters.get('filter') ?? []) {
    try {
      matchers.push(...parseMatchers(filter))
    } catch (error) {
      if (!(error instanceof MatcherError)) throw error
      throw new ApiError(400, `bad filter ${quote(filter)}: ${shortened(error.message)}`, { cause: error })
    }
    if (matchers.length > mostMatchers) throw new ApiError(400, `more than ${mostMatchers} filters`)
  }
  return matchers
}

/** @throws ApiError when it is there and says neither. */
export function flag(parameters: Parameters, name: string, otherwise: boolean): boolean {
  const value = parameters.get(name)?.at(-1) ?? ''
  if (value === '') return otherwise
  if (/^(?:true|1)$/i.test(value)) return true
  if (/^(?:false|0)$/i.test(value)) return false
  throw new ApiError(400, `${name} is true or false, not ${quote(value)}`)
}

function parseReceiver(parameters: Parameters): ((name: string) => boolean) | null {
  const pattern = parameters.get('receiver')?.at(-1) ?? ''
  if (pattern === '') return null
  try {
    return remembering(createMatcher('receiver', '=~', pattern)).test
  } catch (error) {
    if (!(error instanceof MatcherError)) throw error
    throw new ApiError(400, `bad receiver: ${shortened(error.message)}`, { cause: error })
  }
}

/** Values of labels come again and again, and a pattern takes some microseconds each time. */
function remembering(matcher: Matcher): Matcher {
  if (!matcher.operator.endsWith('~')) return matcher
  const known = new Map<string, boolean>()
  return {
    ...matcher,
    test(value) {
      const before = known.get(value)
      if (before !== undefined) return before
      const answer = matcher.test(value)
      if (known.size < mostRemembered) known.set(value, answer)
      return answer
    },
  }
}

function prepared(matchers: readonly Matcher[]): readonly Matcher[] {
  return matchers.map(remembering).sort(byCost)
}

function byCost(a: Matcher, b: Matcher): number {
  return Number(a.operator.endsWith('~')) - Number(b.operator.endsWith('~'))
}

/** By fingerprint. @throws ApiError when it takes too long. */
export function findAlerts(
  api: AlertingApi,
  query: AlertQuery,
  clock: Pick<Clock, 'monotonic'>,
): readonly Alert[] {
  const { isReceiver } = query
  return select(api.alerts(), query, createDeadline(clock), (alert) => {
    if (isReceiver !== null && !api.receiversOf(alert.labels).some(isReceiver)) return false
    return isAskedFor(query, () => api.suppressionOf(alert))
  })
}

export interface FoundGroup {
  readonly group: AlertGroup
  /** By fingerprint. */
  readonly alerts: readonly Alert[]
}

/** Those that have any such alert, by their labels and then their receiver. @throws ApiError */
export function findGroups(
  api: AlertingApi,
  query: AlertQuery,
  clock: Pick<Clock, 'monotonic'>,
): readonly FoundGroup[] {
  const isInTime = createDeadline(clock)
  const found: FoundGroup[] = []
  for (const group of api.groups()) {
    if (query.isReceiver !== null && !query.isReceiver(group.receiver)) continue
    const { mutedBy } = group
    const alerts = select(group.alerts, query, isInTime, (alert) =>
      isAskedFor(query, () => ({ ...api.suppressionOf(alert), mutedBy })),
    )
    if (alerts.length > 0) found.push({ group, alerts })
  }
  return found.sort(
    (a, b) => compareLabels(a.group.labels, b.group.labels) || compare(a.group.receiver, b.group.receiver),
  )
}

/** All alerts that these matchers match, by fingerprint. @throws ApiError when it takes too long. */
export function findMatching(
  api: AlertingApi,
  matchers: readonly Matcher[],
  clock: Pick<Clock, 'monotonic'>,
): readonly Alert[] {
  return findAlerts(api, { ...parseAlertQuery(new Map()), matchers: prepared(matchers) }, clock)
}

function select(
  alerts: Iterable<Alert>,
  query: AlertQuery,
  isInTime: () => boolean,
  isWanted: (alert: Alert) => boolean,
): readonly Alert[] {
  const found: Alert[] = []
  for (const alert of alerts) {
    if (!isInTime()) throw tookTooLong()
    if (!isMatching(query.matchers, alert)) continue
    if (!isFiring(alert) && !(query.pending && alert.state === 'pending')) continue
    if (isWanted(alert)) found.push(alert)
  }
  return found.sort((a, b) => compare(a.fingerprint, b.fingerprint))
}

function isMatching(matchers: readonly Matcher[], { labels }: Alert): boolean {
  for (const matcher of matchers) {
    const value: unknown = labels[matcher.name]
    // As labelValue says it, for less: what every object inherits is no text.
    if (!matcher.test(typeof value === 'string' ? value : '')) return false
  }
  return true
}

/** To be asked before each alert: false when looking has taken too long. */
export function createDeadline(clock: Pick<Clock, 'monotonic'>): () => boolean {
  const endAt = clock.monotonic() + longestQueryMs
  let looked = 0
  return () => ++looked % alertsBetweenLooks !== 0 || clock.monotonic() <= endAt
}

export function tookTooLong(): ApiError {
  return new ApiError(400, `looking takes over ${longestQueryMs} ms: ask with fewer or simpler patterns`)
}

/** As in Alertmanager: muted ones that are neither silenced nor inhibited go with the active ones. */
function isAskedFor(query: AlertQuery, suppression: () => Suppression): boolean {
  if (query.active && query.silenced && query.inhibited && query.muted) return true
  const { silencedBy, inhibitedBy, mutedBy } = suppression()
  if (mutedBy.length > 0 && !query.muted) return false
  if (silencedBy.length > 0 && !query.silenced) return false
  if (inhibitedBy.length > 0 && !query.inhibited) return false
  return query.active || silencedBy.length > 0 || inhibitedBy.length > 0
}

/** As Alertmanager sorts groups: fewer labels first, then by name and value. */
function compareLabels(a: Alert['labels'], b: Alert['labels']): number {
  const [ours, theirs] = [Object.keys(a).sort(), Object.keys(b).sort()]
  if (ours.length !== theirs.length) return ours.length - theirs.length
  for (const [index, name] of ours.entries()) {
    const order = compare(name, theirs[index] ?? '') || compare(a[name] ?? '', b[name] ?? '')
    if (order !== 0) return order
  }
  return 0
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
