// Why something alerts or doesn't: the readings of the moment, what each rule makes of them part by
// part, and for every alert its timers, the route that it takes, what holds it back, and what is told
// next and when. Nothing of it changes anything. It is asked for by people, one thing at a time.

import type { Alerting } from './alerting.ts'
import { type Alert, type AlertState, isFiring, type Labels } from './alerts/alert.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import type { DeviceSubject } from './alerts/evaluation.ts'
import type { Acknowledgement, Silence } from './alerts/silence.ts'
import { isDeviceType } from './fleet/device.ts'
import type { User } from './fleet/user.ts'
import type { Verdict } from './fleet/verdict.ts'
import { formatMatchers } from './matcher.ts'
import type { GroupStatus, Outlook } from './notify/dispatcher.ts'
import type { HoldReason } from './notify/suppression.ts'
import type { WatchedReading } from './poller/recheck.ts'
import type { Decision, DeviceScope, RuleBase, RuleSet, TracedStep } from './rules/rule.ts'

/** Instants are ms since 1970. */
export interface Explanation {
  readonly about: string
  readonly at: number
  /** Of a device that was read just now; null: it is about something else. */
  readonly reading: {
    readonly state: 'read' | 'unread' | 'deleted' | 'missing'
    readonly problem: string | null
  } | null
  readonly rules: readonly RuleExplanation[]
  readonly alerts: readonly AlertExplanation[]
}

export interface RuleExplanation {
  readonly alertname: string
  readonly verdict: Verdict
  /** The condition and each part of it with its value, a whole before its parts. */
  readonly steps: readonly TracedStep[]
  readonly clear: readonly TracedStep[] | null
  readonly state: AlertState | 'inactive'
}

export interface AlertExplanation {
  readonly fingerprint: string
  readonly labels: Labels
  readonly state: AlertState
  readonly activeAt: number
  readonly firedAt: number | null
  readonly evaluatedAt: number
  /** What the rule waits for before the state changes; null: for the next reading alone. */
  readonly waitsFor: string | null
  readonly noData: Alert['noData']
  readonly flappingSince: number | null
  readonly routes: readonly {
    readonly key: string
    readonly receiver: string
    readonly depth: number
    readonly outcome: string
    readonly failed: string
  }[]
  readonly inhibitedBy: readonly { readonly fingerprint: string; readonly labels: Labels }[]
  readonly silencedBy: readonly Pick<Silence, 'id' | 'createdBy' | 'comment' | 'endsAt'>[]
  readonly heldFor: HoldReason | null
  readonly acknowledgement: Acknowledgement | null
  /** What its device's owner is told; null: it is not for them. */
  readonly owner: string | null
  readonly groups: readonly {
    readonly key: string
    readonly receiver: string
    readonly mutedBy: readonly string[]
    readonly nextFlushAt: number
    readonly next: readonly { readonly integration: string; readonly what: string }[]
  }[]
}

export interface ExplainOptions {
  readonly book: AlertBook
  readonly alerting: Alerting
  readonly rules: () => RuleSet
  readonly now: () => number
  readonly readDevice: (device: DeviceSubject, signal: AbortSignal) => Promise<WatchedReading>
  readonly readUser: (userId: string, signal: AbortSignal) => Promise<User | null>
  readonly ownerOutlook: (alert: Alert) => string | null
}

/**
 * Explains an alert by its fingerprint; a device by its id, while it has an alert; or any device as
 * `USER/TYPE/DEVICE`, such as 41/heat_pump/977. Null: nothing is known under that name.
 */
export async function explain(
  id: string,
  options: ExplainOptions,
  signal: AbortSignal,
): Promise<Explanation | null> {
  const { book, now } = options
  const alert = book.byFingerprint(id)
  const device = alert === undefined ? findDevice(id, book) : null
  if (alert === undefined && device === null) return null
  const subject = device ?? alert?.subject
  if (subject?.kind !== 'device') {
    const alerts = alert === undefined ? [] : [explainAlert(alert, options)]
    return { about: id, at: now(), reading: null, rules: [], alerts }
  }
  const read = await options.readDevice(subject, signal)
  const user = read.kind === 'read' ? await options.readUser(subject.userId, signal) : null
  const rules =
    read.kind === 'read' && user !== null
      ? explainRules({ device: read.reading.device, user, now: read.reading.observedAt }, subject, options)
      : []
  const alerts = alert === undefined ? [...book.activeOn(subject)] : [alert]
  return {
    about: `${subject.userId}/${subject.deviceType}/${subject.deviceId}`,
    at: now(),
    reading: readingOf(read, user),
    rules:
      alert === undefined ? rules : rules.filter(({ alertname }) => alertname === alert.labels['alertname']),
    alerts: alerts.map((each) => explainAlert(each, options)),
  }
}

function findDevice(id: string, book: AlertBook): DeviceSubject | null {
  const [userId = '', deviceType = '', deviceId = '', ...more] = id.split('/')
  // These would be steps in the path of a call to the partner.
  const isStep = [userId, deviceId].some((part) => part === '.' || part === '..')
  if (isDeviceType(deviceType) && userId !== '' && deviceId !== '' && more.length === 0 && !isStep) {
    return { kind: 'device', userId, deviceType, deviceId }
  }
  for (const { subject, state } of book.all()) {
    if (subject.kind === 'device' && subject.deviceId === id && state !== 'resolved') return subject
  }
  return null
}

function readingOf(read: WatchedReading, user: User | null): NonNullable<Explanation['reading']> {
  if (read.kind === 'absent') return { state: read.state, problem: null }
  if (read.kind === 'unread') return { state: 'unread', problem: read.problem }
  return user === null
    ? { state: 'unread', problem: 'its user cannot be read' }
    : { state: 'read', problem: null }
}

function explainRules(
  scope: DeviceScope,
  subject: DeviceSubject,
  { rules, book }: ExplainOptions,
): readonly RuleExplanation[] {
  const active = book.activeOn(subject)
  const applying = rules().deviceRules.filter(({ deviceTypes }) => deviceTypes.includes(subject.deviceType))
  return applying.map((rule) => explainRule(rule, scope, active))
}

function explainRule<Scope>(
  rule: RuleBase & Decision<Scope>,
  scope: Scope,
  active: readonly Alert[],
): RuleExplanation {
  const trace = rule.trace?.(scope)
  return {
    alertname: rule.alert,
    verdict: rule.condition(scope),
    steps: trace?.condition ?? [],
    clear: trace?.clear ?? null,
    state: active.find(({ ruleId }) => ruleId === rule.id)?.state ?? 'inactive',
  }
}

function explainAlert(
  alert: Alert,
  { book, alerting, rules, now, ownerOutlook }: ExplainOptions,
): AlertExplanation {
  const at = now()
  const { fingerprint, labels, state, activeAt, firedAt, evaluatedAt, noData, flappingSince } = alert
  const silencedBy = alerting.silences.silencedBy(labels, at).flatMap((id) => alerting.silences.get(id) ?? [])
  return {
    ...{ fingerprint, labels, state, activeAt, firedAt, evaluatedAt, noData, flappingSince },
    waitsFor: waitsFor(alert, ruleOf(alert, rules())),
    routes: alerting
      .router()
      .explain(labels)
      .map(({ route, depth, outcome, failed }) => ({
        key: route.key,
        receiver: route.receiver,
        depth,
        outcome,
        failed: failed.length === 0 ? '' : formatMatchers(failed),
      })),
    inhibitedBy: alerting
      .inhibitor()
      .inhibitedBy(labels)
      .map((source) => ({
        fingerprint: source,
        labels: book.byFingerprint(source)?.labels ?? {},
      })),
    silencedBy: silencedBy.map(({ id, createdBy, comment, endsAt }) => ({ id, createdBy, comment, endsAt })),
    heldFor: alerting.suppression.heldFor(alert, at),
    acknowledgement: alerting.acknowledgements.of(alert, at),
    owner: ownerOutlook(alert),
    groups: groupsOf(alert, alerting).map((group) => {
      const withheld = alerting.suppression.of(alert, group.route, at)
      return {
        key: group.key,
        receiver: group.route.receiver,
        mutedBy: withheld?.mutedBy ?? [],
        nextFlushAt: group.nextFlushAt,
        next: group.outlook().map((outlook) => ({
          integration: outlook.integrationKey,
          what: whatIsNext(alert, outlook, group, {
            isHeldBack: withheld !== null && isFiring(alert),
            isAcknowledged: alerting.acknowledgements.of(alert, at) !== null,
          }),
        })),
      }
    }),
  }
}

function ruleOf({ ruleId }: Alert, rules: RuleSet): RuleBase | undefined {
  const all = [rules.deviceRules, rules.userRules, rules.fleetRules, rules.serviceRules]
  for (const list of all) {
    const found = (list as readonly RuleBase[]).find(({ id }) => id === ruleId)
    if (found !== undefined) return found
  }
  return undefined
}

function waitsFor(alert: Alert, rule: RuleBase | undefined): string | null {
  if (alert.state === 'pending')
    return `fires at ${time(alert.activeAt + (rule?.forMs ?? 0))} if it still holds`
  if (alert.state === 'recovering' && alert.keepFiringSince !== null) {
    if (alert.flappingSince !== null) return 'it flaps: resolves when it has been quiet for long enough'
    return `resolves at ${time(alert.keepFiringSince + (rule?.keepFiringForMs ?? 0))} if it holds no more`
  }
  return null
}

function groupsOf(alert: Alert, { dispatcher, router }: Alerting): readonly GroupStatus[] {
  const keys = new Set(
    router()
      .routesFor(alert.labels)
      .map((route) => router().groupOf(alert.labels, route).key),
  )
  return isFiring(alert) || !alert.settled ? dispatcher.groups().filter(({ key }) => keys.has(key)) : []
}

function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

/** In words: what the next tick tells this integration about the alert's group. */
function whatIsNext(
  alert: Alert,
  { decision, told, undelivered }: Outlook,
  group: GroupStatus,
  { isHeldBack, isAcknowledged }: { readonly isHeldBack: boolean; readonly isAcknowledged: boolean },
): string {
  if (undelivered !== undefined && decision.kind === 'wait') {
    return `"${undelivered.reason}" waits to be delivered, next attempt at ${time(undelivered.nextAttemptAt)}`
  }
  if (decision.kind === 'send') {
    const isInIt = [...decision.firing, ...decision.resolved].includes(alert.fingerprint)
    return `"${decision.reason}" at ${time(group.nextFlushAt)}${isInIt ? '' : ', without this alert'}`
  }
  if (told === undefined) return 'nothing: it was never told of this group'
  if (isHeldBack || !told.firing.includes(alert.fingerprint)) return 'nothing: this alert is held back'
  if (isAcknowledged) return 'no repeat for its sake: it is acknowledged'
  const due = told.at + group.route.repeatIntervalMs
  const ticks = Math.max(0, Math.ceil((due - group.nextFlushAt) / group.route.groupIntervalMs))
  return `"repeat" at ${time(group.nextFlushAt + ticks * group.route.groupIntervalMs)} if nothing changes`
}
