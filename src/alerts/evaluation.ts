// From a reading to the alerts it concerns: what the rules say of it (reading-evaluator.ts) goes to the
// alert book, which knows what follows. So does what another process found (findings.ts), and what is
// said at the end of a walk: rules about the whole fleet and about the service, alerts about alerts.

import type { DeviceReading, UserReading } from '../fleet/reading.ts'
import type { User } from '../fleet/user.ts'
import type { UnknownReason, Verdict } from '../fleet/verdict.ts'
import type { Walk } from '../fleet/walk.ts'
import { type FleetGroup, fleetGroup } from '../rules/fleet-count.ts'
import type { FleetRule, RuleBase, RuleSet } from '../rules/rule.ts'
import { type Alert, alertKey } from './alert.ts'
import type { AlertBook } from './alert-book.ts'
import { createBuiltInAlerts } from './built-in-alerts.ts'
import type { Finding } from './findings.ts'
import { fleetLabels, nobody } from './labels.ts'
import { birthOf, type RuleTiming } from './lifecycle.ts'
import { createRaise, isBuiltIn } from './raise.ts'
import {
  type Conclusion,
  couldBegin,
  createConclude,
  createReadingEvaluator,
  type DeviceSubject,
  type EvaluationSink,
  type FleetTally,
  isAmong,
  type UnseenReason,
} from './reading-evaluator.ts'

export type { DeviceSubject, FleetTally, UnseenReason } from './reading-evaluator.ts'

export interface EvaluatorOptions {
  readonly rules: RuleSet
  readonly book: AlertBook
  /** A new unique id: what tells one episode of an alert from the next. */
  readonly newEpisode: () => string
  readonly onUnknown: (alertname: string, reason: UnknownReason) => void
  /** When somebody came back from resolving this alert at the partner, if that was shortly before `at`. */
  readonly returnedAt?: (alert: Alert, at: number) => number | null
}

export interface Evaluator {
  /** Counters for a walk that begins, one for each rule about the fleet. */
  beginWalk(): readonly FleetTally[]
  /** Everything that was read of one user, as part of a walk: the tallies take in its devices. */
  user(reading: UserReading, tallies: readonly FleetTally[]): void
  /** One device that was read again between walks. */
  device(user: User, reading: DeviceReading): void
  /** A device of which nothing could be learned, or only that it is gone. */
  unseenDevice(subject: DeviceSubject, at: number, why: UnseenReason): void
  /** What another process found, with rules that may be others by now, about alerts that may have changed. */
  enter(finding: Finding): void
  /** A user that the partner no longer has, and the devices with it. */
  goneUser(userId: string, at: number): void
  /** A user of whom, and of whose devices, nothing could be learned. */
  unreadUser(userId: string, at: number): void
  /** Nothing at all could be read. */
  nothingRead(at: number): void
  /** The end of a walk: what is counted over the whole fleet, and alerts about alerts. */
  fleet(walk: Walk, at: number, tallies: readonly FleetTally[]): void
  /** Rules about the service itself. */
  service(walk: Walk, at: number): void
  /** Ends the alerts of rules that are no longer loaded. */
  endRemovedRules(at: number): void
  /** Goes on with other rules. A walk under way counts no more for rules about the fleet that changed. */
  reload(rules: RuleSet): void
}

/** For built-in alerts, and for those of rules that are about to be ended as removed. */
const withoutRule: RuleTiming = { forMs: 0, keepFiringForMs: 0, noData: 'keep' }

export function createEvaluator({ book, newEpisode, onUnknown, ...options }: EvaluatorOptions): Evaluator {
  const { returnedAt = () => null } = options
  let rules = options.rules
  const ruleById = new Map<string, RuleBase>()
  const builtIn = createBuiltInAlerts(book, createRaise(book, newEpisode))
  /** Rules that were held back by their limit since the last end of a walk, and by how many alerts. */
  const heldBack = new Map<string, number>()
  const sink: EvaluationSink = { conclude: concluded, unseen: withoutReading, inapplicable }
  const readings = createReadingEvaluator({ rules, active: book, sink, newEpisode, onUnknown })
  const conclude = createConclude({ sink, newEpisode, onUnknown })
  reload(options.rules)

  function reload(loaded: RuleSet): void {
    rules = loaded
    readings.reload(loaded)
    ruleById.clear()
    for (const list of [rules.deviceRules, rules.userRules, rules.fleetRules, rules.serviceRules]) {
      for (const rule of list) ruleById.set(rule.id, rule)
    }
  }

  function concluded(rule: RuleBase, { verdict, clear, subject, at, isActive, birth }: Conclusion): void {
    if (!isActive && isAtLimit(rule)) return
    const alert = isActive ? book.get(alertKey(rule.id, subject)) : undefined
    const cameBackAt = alert === undefined ? null : returnedAt(alert, at)
    book.evaluate({
      ruleId: rule.id,
      subject,
      evaluation: { at, verdict, clear: clear(), ...(cameBackAt === null ? {} : { returnedAt: cameBackAt }) },
      timing: rule,
      definition: rule.definition,
      birth,
    })
  }

  function inapplicable({ key, ruleId }: Alert, at: number): void {
    book.end(key, at, ruleById.has(ruleId) ? 'rule_changed' : 'rule_removed')
  }

  function enter(finding: Finding): void {
    switch (finding.kind) {
      case 'concluded': {
        const { ruleId, subject, at, verdict, clear, birth } = finding
        const rule = ruleById.get(ruleId)
        if (rule?.definition !== finding.definition) return
        const isActive = isAmong(book.activeOn(subject), rule)
        if (couldBegin(verdict, rule)) {
          if (birth === null) return
          concluded(rule, { verdict, clear: () => clear, subject, at, isActive, birth: () => birth })
        } else if (isActive) {
          const alert = book.get(alertKey(ruleId, subject))
          if (alert === undefined) return
          concluded(rule, { verdict, clear: () => clear, subject, at, isActive, birth: () => birthOf(alert) })
        }
        return
      }
      case 'unseen': {
        const alert = book.get(finding.key)
        if (alert !== undefined && alert.state !== 'resolved') withoutReading(alert, finding.at, finding.why)
        return
      }
      case 'inapplicable': {
        const alert = book.get(finding.key)
        if (alert === undefined || alert.state === 'resolved' || alert.subject.kind !== 'device') return
        const { deviceType } = alert.subject
        const applies = rules.deviceRules.some(
          (rule) => rule.id === alert.ruleId && rule.deviceTypes.includes(deviceType),
        )
        if (!applies) inapplicable(alert, finding.at)
        return
      }
      default:
        finding satisfies never
    }
  }

  /** A rule that fires for too many at once must not bury the rest: the surplus is one alert. */
  function isAtLimit(rule: RuleBase): boolean {
    if (rule.limit === null || book.activeOfRule(rule.id) < rule.limit) return false
    heldBack.set(rule.id, (heldBack.get(rule.id) ?? 0) + 1)
    return true
  }

  function withoutReading(alert: Alert, at: number, verdict: Verdict | 'deleted'): void {
    // It is about other alerts: it goes on as long as these do, see who raises it.
    if (isBuiltIn(alert.ruleId) && verdict !== 'deleted') return
    book.evaluate({
      ruleId: alert.ruleId,
      subject: alert.subject,
      evaluation: { at, verdict, clear: null },
      timing: ruleById.get(alert.ruleId) ?? withoutRule,
      definition: alert.definition,
      birth: () => birthOf(alert),
    })
  }

  function unseenUser(userId: string, at: number, why: UnseenReason): void {
    for (const alert of book.activeOn({ kind: 'user', userId })) withoutReading(alert, at, why)
    for (const watched of book.devicesOf(userId)) {
      readings.unseenDevice({ kind: 'device', userId, ...watched }, at, why)
    }
  }

  function nothingRead(at: number): void {
    const serviceRules = new Set(rules.serviceRules.map((rule) => rule.id))
    for (const alert of book.all()) {
      if (alert.state !== 'resolved' && !serviceRules.has(alert.ruleId))
        withoutReading(alert, at, 'poll_failed')
    }
  }

  function fleet(walk: Walk, at: number, tallies: readonly FleetTally[]): void {
    for (const tally of tallies) {
      if (ruleById.get(tally.rule.id) !== tally.rule) continue
      const counted = tally.counts.groups()
      const keys = new Set(counted.map((group) => group.key))
      for (const group of counted) aboutGroup(tally, group, { walk, at })
      // Groups that had devices before and have none now may still have an alert.
      for (const alert of activeOfRule(tally.rule)) {
        const group = fleetGroup(tally.rule.by, alert.labels)
        if (!keys.has(group.key)) aboutGroup(tally, group, { walk, at })
      }
    }
    builtIn.limits(ruleById.values(), heldBack, at)
    heldBack.clear()
    // While the API as a whole is unavailable, that is the news, not each device behind it.
    if (walk.api_available === true) builtIn.unseenDevices((ruleId) => ruleById.get(ruleId)?.noDataAfter, at)
  }

  function aboutGroup(
    { rule, counts }: FleetTally,
    group: FleetGroup,
    { walk, at }: { walk: Walk; at: number },
  ): void {
    const { verdict, clear, scope } = counts.decide(group, { walk, now: at })
    const subject = { kind: 'fleet', group: group.key } as const
    const isActive = isAmong(book.activeOn(subject), rule)
    if (verdict === false && !isActive) return
    conclude(rule, scope, {
      verdict,
      clear,
      subject,
      at,
      isActive,
      identify: (labels) => fleetLabels(rule.alert, { group: group.labels, labels }),
      affected: () => nobody,
    })
  }

  function activeOfRule(rule: FleetRule): readonly Alert[] {
    return [...book.all()].filter((alert) => alert.ruleId === rule.id && alert.state !== 'resolved')
  }

  function service(walk: Walk, at: number): void {
    const scope = { walk, now: at }
    const subject = { kind: 'fleet', group: 'service' } as const
    for (const rule of rules.serviceRules) {
      conclude(rule, scope, {
        verdict: rule.condition(scope),
        subject,
        at,
        isActive: isAmong(book.activeOn(subject), rule),
        identify: (labels) => fleetLabels(rule.alert, { group: {}, labels }),
        affected: () => nobody,
      })
    }
  }

  function endRemovedRules(at: number): void {
    for (const alert of book.all()) {
      if (!ruleById.has(alert.ruleId) && !isBuiltIn(alert.ruleId)) book.end(alert.key, at, 'rule_removed')
    }
  }

  return {
    beginWalk: readings.tallies,
    user: readings.user,
    device: readings.device,
    unseenDevice: readings.unseenDevice,
    enter,
    goneUser: (userId, at) => unseenUser(userId, at, 'deleted'),
    unreadUser: (userId, at) => unseenUser(userId, at, 'poll_failed'),
    nothingRead,
    fleet,
    service,
    endRemovedRules,
    reload,
  }
}
