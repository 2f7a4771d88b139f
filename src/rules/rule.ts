// What a loaded rule is. Files become rules in rule-file.ts; expressions in expression.ts.
// Pure: a rule gets what was read and the moment at which it was, and says what follows.

import type { Device, DeviceType } from '../fleet/device.ts'
import type { User } from '../fleet/user.ts'
import type { Verdict } from '../fleet/verdict.ts'
import type { Walk } from '../fleet/walk.ts'

export interface RuleBase {
  /** `group/alert`, unique in the rule set: state survives a restart and a reload under it. */
  readonly id: string
  readonly alert: string
  /** The label of that name; empty where it has none, or one that depends on the device. */
  readonly severity: string
  /** Changes whenever the rule's text does. */
  readonly definition: string
  readonly forMs: number
  readonly keepFiringForMs: number
  readonly noData: 'keep' | 'alerting' | 'ok'
  /** UNKNOWN evaluations in a row after which DeviceNoData is raised for an active alert. */
  readonly noDataAfter: number
  /** Alerts of this rule that may be active at once, null: any number. */
  readonly limit: number | null
}

/** What is in scope when a rule about one device is evaluated; `now` is the reading's moment. */
export interface DeviceScope {
  readonly device: Device
  readonly user: User
  readonly now: number
}

export interface UserScope {
  readonly user: User
  readonly now: number
}

/** Counts over one walk of the devices of one `by` group. */
export interface FleetScope {
  readonly matching: number
  readonly total: number
  /** Devices of the group whose `count` is unknown or that could not be read. */
  readonly unknown: number
  /** matching / total, 0 without devices. */
  readonly ratio: number
  readonly walk: Walk
  readonly now: number
  /** The group's values of the rule's `by`, under the names of the labels that they become. */
  readonly group: Readonly<Record<string, string>>
}

export interface ServiceScope {
  readonly walk: Walk
  readonly now: number
}

/** What a part of an expression comes to, for people who ask why. */
export interface TracedStep {
  readonly source: string
  /** How deep it is nested in the whole, which is 0. */
  readonly depth: number
  /** `unknown`: a field that it reads is missing; `error`: it cannot be computed. */
  readonly text: string
}

/** What a rule evaluates to. `clear` is null where the rule has none; see alerting-semantics 3. */
export interface Decision<Scope> {
  readonly condition: (scope: Scope) => Verdict
  readonly clear: ((scope: Scope) => Verdict) | null
  /** Rendered labels (static and templated, without the identity labels) and annotations. */
  readonly labels: (scope: Scope) => Readonly<Record<string, string>>
  readonly annotations: (scope: Scope) => Readonly<Record<string, string>>
  /** The condition and each of its parts, a whole before its parts; null for `clear` as above. */
  readonly trace?: (scope: Scope) => {
    readonly condition: readonly TracedStep[]
    readonly clear: readonly TracedStep[] | null
  }
}

export interface DeviceRule extends RuleBase, Decision<DeviceScope> {
  readonly each: 'device'
  readonly deviceTypes: readonly DeviceType[]
  /** Whether the device's owner can put it right, and may be written to. */
  readonly selfService: boolean
}

export interface UserRule extends RuleBase, Decision<UserScope> {
  readonly each: 'user'
}

/** Over all devices of `deviceTypes`, counted in groups of equal `by` values. */
export interface FleetRule extends RuleBase, Decision<FleetScope> {
  readonly each: 'fleet'
  readonly deviceTypes: readonly DeviceType[]
  readonly by: readonly FleetGroupLabel[]
  readonly count: (scope: DeviceScope) => Verdict
}

export const fleetGroupLabels = ['manufacturer', 'model', 'device_type', 'price_zone'] as const
export type FleetGroupLabel = (typeof fleetGroupLabels)[number]

/** About the service itself: `each: fleet` without `count`; reads `walk` and `now` only. */
export interface ServiceRule extends RuleBase, Decision<ServiceScope> {
  readonly each: 'service'
}

export interface RuleSet {
  readonly deviceRules: readonly DeviceRule[]
  readonly userRules: readonly UserRule[]
  readonly fleetRules: readonly FleetRule[]
  readonly serviceRules: readonly ServiceRule[]
  /** What the rules read that costs calls or memory, so that the walk fetches it only then. */
  readonly reads: { readonly energyContracts: boolean; readonly externalIdCounts: boolean }
}
