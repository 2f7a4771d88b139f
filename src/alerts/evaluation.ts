// From a reading to the alerts it concerns: every rule that applies is asked, and its verdict goes
// to the alert book, which knows what follows. The case that nearly every device is in, every rule
// false and no alert active, costs one look-up and one call per rule.

import type { DeviceType } from '../fleet/device.ts'
import type { DeviceReading, UserReading } from '../fleet/reading.ts'
import type { User } from '../fleet/user.ts'
import type { UnknownReason, Verdict } from '../fleet/verdict.ts'
import type { Walk } from '../fleet/walk.ts'
import { createFleetCounts, type FleetCounts, type FleetGroup, fleetGroup } from '../rules/fleet-count.ts'
import type { Decision, DeviceRule, FleetRule, RuleBase, RuleSet } from '../rules/rule.ts'
import type { AffectedParty, Alert, Labels, Subject } from './alert.ts'
import type { AlertBook } from './alert-book.ts'
import { createBuiltInAlerts } from './built-in-alerts.ts'
import { fingerprint } from './fingerprint.ts'
import { affectedParty, deviceLabels, fleetLabels, nobody, userLabels } from './labels.ts'
import { birthOf, type RuleTiming } from './lifecycle.ts'
import { createRaise, isBuiltIn } from './raise.ts'

export interface EvaluatorOptions {
  readonly rules: RuleSet
  readonly book: AlertBook
  /** A new unique id: what tells one episode of an alert from the next. */
  readonly newEpisode: () => string
  readonly onUnknown: (alertname: string, reason: UnknownReason) => void
  /** When somebody came back from resolving this alert at the partner, if that was shortly before `at`. */
  readonly returnedAt?: (alert: Alert, at: number) => number | null
}

/** What one walk counted for one rule about the fleet. */
export interface FleetTally {
  readonly rule: FleetRule
  readonly counts: FleetCounts
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

export type DeviceSubject = Extract<Subject, { kind: 'device' }>
export type UnseenReason = 'poll_failed' | 'device_missing' | 'deleted'

/** For built-in alerts, and for those of rules that are about to be ended as removed. */
const withoutRule: RuleTiming = { forMs: 0, keepFiringForMs: 0, noData: 'keep' }

export function createEvaluator({ book, newEpisode, onUnknown, ...options }: EvaluatorOptions): Evaluator {
  const { returnedAt = () => null } = options
  let rules = options.rules
  const ruleById = new Map<string, RuleBase>()
  const rulesByType = new Map<DeviceType, readonly DeviceRule[]>()
  const builtIn = createBuiltInAlerts(book, createRaise(book, newEpisode))
  /** Rules that were held back by their limit since the last end of a walk, and by how many alerts. */
  const heldBack = new Map<string, number>()
  reload(options.rules)

  function reload(loaded: RuleSet): void {
    rules = loaded
    ruleById.clear()
    rulesByType.clear()
    for (const list of [rules.deviceRules, rules.userRules, rules.fleetRules, rules.serviceRules]) {
      for (const rule of list) ruleById.set(rule.id, rule)
    }
  }

  function rulesFor(type: DeviceType): readonly DeviceRule[] {
    let list = rulesByType.get(type)
    if (list === undefined) {
      list = rules.deviceRules.filter((rule) => rule.deviceTypes.includes(type))
      rulesByType.set(type, list)
    }
    return list
  }

  function user(reading: UserReading, tallies: readonly FleetTally[]): void {
    const { user, observedAt, readAt } = reading
    for (const one of reading.devices) {
      device(user, one)
      if (one.device.deleted_at !== null || tallies.length === 0) continue
      const scope = { device: one.device, user, now: one.observedAt }
      for (const { counts } of tallies) counts.add(scope)
    }
    if (rules.userRules.length > 0) aboutUser(user, observedAt)
    for (const { deviceType, deviceId } of reading.unread) {
      const count = deviceId === null ? (deviceCount(user, deviceType) ?? 1) : 1
      for (const { counts } of tallies) counts.addUnread({ deviceType, count })
      for (const watched of book.devicesOf(user.id)) {
        if (watched.deviceType !== deviceType || (deviceId !== null && watched.deviceId !== deviceId))
          continue
        unseenDevice({ kind: 'device', userId: user.id, ...watched }, readAt, 'poll_failed')
      }
    }
    for (const { deviceType, deviceId, state } of reading.absent) {
      const why = state === 'deleted' ? 'deleted' : 'device_missing'
      unseenDevice({ kind: 'device', userId: user.id, deviceType, deviceId }, readAt, why)
    }
  }

  function device(user: User, { device, observedAt }: DeviceReading): void {
    const subject: DeviceSubject = {
      kind: 'device',
      userId: user.id,
      deviceType: device.type,
      deviceId: device.id,
    }
    const active = book.activeOn(subject)
    if (device.deleted_at !== null) {
      unseen(active, observedAt, 'deleted')
      return
    }
    const scope = { device, user, now: observedAt }
    const applying = rulesFor(device.type)
    for (const rule of applying) {
      const verdict = rule.condition(scope)
      const isActive = isAmong(active, rule)
      if (verdict === false && !isActive) continue
      conclude(rule, scope, {
        verdict,
        subject,
        at: observedAt,
        isActive,
        identify: (labels) => deviceLabels(rule.alert, { device, user, labels }),
        affected: () => affectedParty(user, device),
      })
    }
    if (active.length > 0) endInapplicable(active, applying, observedAt)
  }

  function aboutUser(user: User, at: number): void {
    const subject = { kind: 'user', userId: user.id } as const
    const active = book.activeOn(subject)
    const scope = { user, now: at }
    for (const rule of rules.userRules) {
      const verdict = rule.condition(scope)
      const isActive = isAmong(active, rule)
      if (verdict === false && !isActive) continue
      conclude(rule, scope, {
        verdict,
        subject,
        at,
        isActive,
        identify: (labels) => userLabels(rule.alert, { user, labels }),
        affected: () => affectedParty(user, null),
      })
    }
  }

  /** Everything but the common case: something holds, is unknown, or concerns an active alert. */
  function conclude<Scope>(
    rule: RuleBase & Decision<Scope>,
    scope: Scope,
    about: {
      verdict: Verdict
      /** Where `clear` was decided already; otherwise the rule is asked. */
      clear?: Verdict | null
      subject: Subject
      at: number
      isActive: boolean
      identify: (labels: Labels) => Labels
      affected: () => AffectedParty
    },
  ): void {
    const { verdict, subject, at, isActive } = about
    if (typeof verdict === 'string') onUnknown(rule.alert, verdict)
    if (!isActive && (!couldBegin(verdict, rule) || isAtLimit(rule))) return
    const clear = about.clear === undefined ? (rule.clear?.(scope) ?? null) : about.clear
    const alert = isActive ? book.activeOn(subject).find(({ ruleId }) => ruleId === rule.id) : undefined
    const cameBackAt = alert === undefined ? null : returnedAt(alert, at)
    book.evaluate({
      ruleId: rule.id,
      subject,
      evaluation: { at, verdict, clear, ...(cameBackAt === null ? {} : { returnedAt: cameBackAt }) },
      timing: rule,
      definition: rule.definition,
      birth: () => {
        const labels = about.identify(rule.labels(scope))
        return {
          ruleId: rule.id,
          subject,
          labels,
          fingerprint: fingerprint(labels),
          definition: rule.definition,
          annotations: rule.annotations(scope),
          affected: about.affected(),
          episode: newEpisode(),
        }
      },
    })
  }

  function couldBegin(verdict: Verdict, rule: RuleTiming): boolean {
    if (typeof verdict === 'boolean') return verdict
    return rule.noData === 'alerting' && verdict !== 'rule_error'
  }

  /** A rule that fires for too many at once must not bury the rest: the surplus is one alert. */
  function isAtLimit(rule: RuleBase): boolean {
    if (rule.limit === null || book.activeOfRule(rule.id) < rule.limit) return false
    heldBack.set(rule.id, (heldBack.get(rule.id) ?? 0) + 1)
    return true
  }

  /** Of rules that are no longer for this type of device, or, after a reload during a walk, no longer at all. */
  function endInapplicable(active: readonly Alert[], applying: readonly DeviceRule[], at: number): void {
    for (const { key, ruleId } of active) {
      const applies = isBuiltIn(ruleId) || applying.some((rule) => rule.id === ruleId)
      if (!applies) book.end(key, at, ruleById.has(ruleId) ? 'rule_changed' : 'rule_removed')
    }
  }

  function unseenDevice(subject: DeviceSubject, at: number, why: UnseenReason): void {
    unseen(book.activeOn(subject), at, why)
  }

  function unseen(active: readonly Alert[], at: number, why: UnseenReason): void {
    for (const alert of active) withoutReading(alert, at, why)
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
    unseen(book.activeOn({ kind: 'user', userId }), at, why)
    for (const watched of book.devicesOf(userId)) {
      unseenDevice({ kind: 'device', userId, ...watched }, at, why)
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
    beginWalk: () => rules.fleetRules.map((rule) => ({ rule, counts: createFleetCounts(rule) })),
    user,
    device,
    unseenDevice,
    goneUser: (userId, at) => unseenUser(userId, at, 'deleted'),
    unreadUser: (userId, at) => unseenUser(userId, at, 'poll_failed'),
    nothingRead,
    fleet,
    service,
    endRemovedRules,
    reload,
  }
}

function isAmong(active: readonly Alert[], { id }: RuleBase): boolean {
  // Almost always there is none to search.
  return active.length > 0 && active.some((alert) => alert.ruleId === id)
}

function deviceCount(user: User, type: DeviceType): number | null {
  switch (type) {
    case 'heat_pump':
      return user.num_heat_pumps
    case 'electric_vehicle':
      return user.num_electric_vehicles
    case 'inverter':
      return user.num_inverters
    case 'wallbox':
      return user.num_wallboxes
    default:
      return type satisfies never
  }
}
