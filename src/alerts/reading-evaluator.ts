// From a reading to verdicts: every rule about devices and users that applies is asked. The case that
// nearly every device is in, every rule false and no alert active, costs one look-up and one call per
// rule. Anything else goes to a sink: that of evaluation.ts, which changes alerts, or that of findings.ts,
// which remembers it for another process.

import type { DeviceType } from '../fleet/device.ts'
import type { DeviceReading, UserReading } from '../fleet/reading.ts'
import type { User } from '../fleet/user.ts'
import type { UnknownReason, Verdict } from '../fleet/verdict.ts'
import { createFleetCounts, type FleetCounts } from '../rules/fleet-count.ts'
import type { Decision, DeviceRule, FleetRule, RuleBase, RuleSet } from '../rules/rule.ts'
import type { AffectedParty, Alert, Labels, Subject } from './alert.ts'
import { fingerprint } from './fingerprint.ts'
import { affectedParty, deviceLabels, userLabels } from './labels.ts'
import type { AlertBirth, RuleTiming } from './lifecycle.ts'
import { isBuiltIn } from './raise.ts'

export type DeviceSubject = Extract<Subject, { kind: 'device' }>
export type UnseenReason = 'poll_failed' | 'device_missing' | 'deleted'

/** What one walk counted for one rule about the fleet. */
export interface FleetTally {
  readonly rule: FleetRule
  readonly counts: FleetCounts
}

/** The alerts that are active; a part of AlertBook. */
export interface ActiveAlerts {
  activeOn(subject: Subject): readonly Alert[]
  devicesOf(userId: string): readonly { readonly deviceType: DeviceType; readonly deviceId: string }[]
}

/** What a rule makes of a subject, where it holds, is unknown, or has an active alert. */
export interface Conclusion {
  readonly verdict: Verdict
  /** What the rule's `clear` says; null where it has none. */
  readonly clear: () => Verdict | null
  readonly subject: Subject
  readonly at: number
  readonly isActive: boolean
  readonly birth: () => AlertBirth
}

/** Where verdicts go. */
export interface EvaluationSink {
  conclude(rule: RuleBase, conclusion: Conclusion): void
  /** Of the subject of this alert, nothing could be learned, or only that it is gone. */
  unseen(alert: Alert, at: number, why: UnseenReason): void
  /** The alert's rule is not for what its subject is now, or is there no more. */
  inapplicable(alert: Alert, at: number): void
}

export interface ReadingEvaluator {
  /** Counters for a walk, or a part of one: one for each rule about the fleet. */
  tallies(): readonly FleetTally[]
  /** Everything that was read of one user, as part of a walk: the tallies take in its devices. */
  user(reading: UserReading, tallies: readonly FleetTally[]): void
  /** One device that was read again between walks. */
  device(user: User, reading: DeviceReading): void
  /** A device of which nothing could be learned, or only that it is gone. */
  unseenDevice(subject: DeviceSubject, at: number, why: UnseenReason): void
  reload(rules: RuleSet): void
}

export interface ReadingEvaluatorOptions {
  readonly rules: RuleSet
  readonly active: ActiveAlerts
  readonly sink: EvaluationSink
  /** A new unique id: what tells one episode of an alert from the next. */
  readonly newEpisode: () => string
  readonly onUnknown: (alertname: string, reason: UnknownReason) => void
}

export function createReadingEvaluator({
  active: alerts,
  sink,
  newEpisode,
  onUnknown,
  ...options
}: ReadingEvaluatorOptions): ReadingEvaluator {
  let rules = options.rules
  const rulesByType = new Map<DeviceType, readonly DeviceRule[]>()
  const conclude = createConclude({ sink, newEpisode, onUnknown })

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
      for (const watched of alerts.devicesOf(user.id)) {
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
    const active = alerts.activeOn(subject)
    if (device.deleted_at !== null) {
      for (const alert of active) sink.unseen(alert, observedAt, 'deleted')
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
    const active = alerts.activeOn(subject)
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

  /** Of rules that are no longer for this type of device, or, after a reload during a walk, no longer at all. */
  function endInapplicable(active: readonly Alert[], applying: readonly DeviceRule[], at: number): void {
    for (const alert of active) {
      const applies = isBuiltIn(alert.ruleId) || applying.some((rule) => rule.id === alert.ruleId)
      if (!applies) sink.inapplicable(alert, at)
    }
  }

  function unseenDevice(subject: DeviceSubject, at: number, why: UnseenReason): void {
    for (const alert of alerts.activeOn(subject)) sink.unseen(alert, at, why)
  }

  return {
    tallies: () => rules.fleetRules.map((rule) => ({ rule, counts: createFleetCounts(rule) })),
    user,
    device,
    unseenDevice,
    reload(loaded) {
      rules = loaded
      rulesByType.clear()
    },
  }
}

/** Everything but the common case: something holds, is unknown, or concerns an active alert. */
export function createConclude({
  sink,
  newEpisode,
  onUnknown,
}: Pick<ReadingEvaluatorOptions, 'sink' | 'newEpisode' | 'onUnknown'>) {
  return <Scope>(
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
  ): void => {
    const { verdict, subject, at, isActive } = about
    if (typeof verdict === 'string') onUnknown(rule.alert, verdict)
    if (!isActive && !couldBegin(verdict, rule)) return
    sink.conclude(rule, {
      verdict,
      clear: () => (about.clear === undefined ? (rule.clear?.(scope) ?? null) : about.clear),
      subject,
      at,
      isActive,
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
}

/** Whether an alert begins or goes on with this verdict, and so needs what it is born with. */
export function couldBegin(verdict: Verdict, rule: RuleTiming): boolean {
  if (typeof verdict === 'boolean') return verdict
  return rule.noData === 'alerting' && verdict !== 'rule_error'
}

export function isAmong(active: readonly Alert[], { id }: Pick<RuleBase, 'id'>): boolean {
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
