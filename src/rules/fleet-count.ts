// Counts devices in groups over one walk, and says what a fleet rule makes of the counts.
//
// Not every device could be read. One whose `count` is unknown belongs to a group and may or may
// not match; one that could not be read may besides belong to any group of its type. So a group's
// numbers are bounds, and a verdict is given only when it is the same at all of them: a walk that
// failed in part neither raises nor ends an alert about the fleet.

import type { Device, DeviceType } from '../fleet/device.ts'
import type { Verdict } from '../fleet/verdict.ts'
import type { Walk } from '../fleet/walk.ts'
import type { DeviceScope, FleetGroupLabel, FleetRule, FleetScope } from './rule.ts'

/** Devices with equal values of the rule's `by`. */
export interface FleetGroup {
  /** Identity among the groups of the rule; empty when there is only one. */
  readonly key: string
  readonly labels: Readonly<Record<string, string>>
}

export interface FleetDecision {
  readonly verdict: Verdict
  readonly clear: Verdict | null
  /** With what was counted for certain: for labels and annotations. */
  readonly scope: FleetScope
}

/** Counts as data: what was counted over one part of the fleet, to be added to another's. */
export interface FleetCountsData {
  readonly groups: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly matching: number
    readonly total: number
    readonly unknown: number
    readonly failed: number
  }[]
  readonly unread: readonly { readonly deviceType: DeviceType; readonly count: number }[]
  readonly overflowed: number
}

export interface FleetCounts {
  /** A device that was read; those of types that the rule doesn't look at are ignored. */
  add(scope: DeviceScope): void
  /** Devices of which no more is known than their type. */
  addUnread(unread: { readonly deviceType: DeviceType; readonly count: number }): void
  /** The groups that had a device in this walk. */
  groups(): readonly FleetGroup[]
  /** For any group, also one that had no device in this walk (then with zeros). */
  decide(group: FleetGroup, at: { readonly walk: Walk; readonly now: number }): FleetDecision
  /** Devices beyond the 10,000th group: they are counted together, in the group `other`. */
  overflowed(): number
  data(): FleetCountsData
  addData(counted: FleetCountsData): void
}

interface Tally {
  readonly group: FleetGroup
  matching: number
  total: number
  /** Of `total`: their `count` was unknown, or failed. */
  unknown: number
  failed: number
}

// More are no groups but a label that is different for each device.
const mostGroups = 10_000
const other = 'other'

/** The group with these labels; `labels` may hold more than the rule's `by`, such as all of an alert. */
export function fleetGroup(
  by: readonly FleetGroupLabel[],
  labels: Readonly<Record<string, string>>,
): FleetGroup {
  return {
    key: groupKey(by, labels),
    labels: Object.fromEntries(by.map((label) => [label, labels[label] ?? 'unknown'])),
  }
}

/** `manufacturer=Acme,device_type=inverter`, in the rule's order; what would be ambiguous is escaped. */
function groupKey(by: readonly FleetGroupLabel[], labels: Readonly<Record<string, string>>): string {
  let key = ''
  for (const label of by) {
    const value = (labels[label] ?? 'unknown').replace(/[%,=\p{Cc}]/gu, encodeURIComponent)
    key += `${key === '' ? '' : ','}${label}=${value}`
  }
  return key
}

/** Counts for one walk. */
export function createFleetCounts(rule: FleetRule): FleetCounts {
  const { by, deviceTypes } = rule
  const tallies = new Map<string, Tally>()
  const unreadByType = new Map<DeviceType, number>()
  const otherGroup = fleetGroup(by, Object.fromEntries(by.map((label) => [label, other])))
  // Making the key of a group takes as long as a device's rules, so it is made once for each group.
  const tallyByValues = new Map<string, Tally>()
  let overflowed = 0

  function tallyOfDevice(device: Device): Tally {
    let values = ''
    // With their lengths, so that no two groups look the same here.
    for (const label of by) {
      const value = groupLabel(label, device)
      values += `${value.length}:${value}`
    }
    const known = tallyByValues.get(values)
    if (known !== undefined) return known
    const tally = tallyOf(Object.fromEntries(by.map((label) => [label, groupLabel(label, device)])))
    // Each device that ends up in `other` is to be counted as such.
    if (tally.group.key !== otherGroup.key) tallyByValues.set(values, tally)
    return tally
  }

  function tallyOf(labels: Readonly<Record<string, string>>): Tally {
    const key = groupKey(by, labels)
    const known = tallies.get(key)
    if (known !== undefined) return known
    if (tallies.size >= mostGroups && key !== otherGroup.key) {
      overflowed++
      return tallyOf(otherGroup.labels)
    }
    const tally: Tally = { group: fleetGroup(by, labels), matching: 0, total: 0, unknown: 0, failed: 0 }
    tallies.set(key, tally)
    return tally
  }

  /** A group with a device type holds none of another type. */
  function unreadOf({ labels }: FleetGroup): number {
    let count = 0
    for (const [type, unread] of unreadByType) {
      const { device_type: groupType } = labels
      if (groupType === undefined || groupType === type || groupType === other) count += unread
    }
    return count
  }

  return {
    add(scope) {
      if (!deviceTypes.includes(scope.device.type)) return
      const tally = tallyOfDevice(scope.device)
      tally.total++
      const verdict = rule.count(scope)
      if (verdict === true) tally.matching++
      else if (verdict !== false) {
        tally.unknown++
        if (verdict === 'rule_error') tally.failed++
      }
    },

    addUnread({ deviceType, count }) {
      if (!deviceTypes.includes(deviceType)) return
      unreadByType.set(deviceType, (unreadByType.get(deviceType) ?? 0) + count)
    },

    groups: () => [...tallies.values()].map(({ group }) => group),

    decide(group, { walk, now }) {
      const tally = tallies.get(group.key) ?? { matching: 0, total: 0, unknown: 0, failed: 0 }
      const unread = unreadOf(group)
      const scopeWith = (matching: number, total: number): FleetScope => ({
        matching,
        total,
        unknown: tally.unknown + unread,
        ratio: total === 0 ? 0 : matching / total,
        walk,
        now,
        group: group.labels,
      })
      const counted = scopeWith(tally.matching, tally.total)
      const read = [counted, scopeWith(tally.matching + tally.unknown, tally.total)]
      const all = tally.total + unread
      const possible = [
        ...read,
        scopeWith(tally.matching, all),
        scopeWith(tally.matching + tally.unknown + unread, all),
      ]
      // Its devices are among those of `other`.
      const isLost = overflowed > 0 && !tallies.has(group.key)
      const decide = (ask: (scope: FleetScope) => Verdict): Verdict => {
        if (isLost) return 'rule_error'
        const verdict = agreement(possible, ask)
        if (verdict !== undefined) return verdict
        // Would it be clear if only what was not read were left out?
        if (agreement(read, ask) !== undefined) return 'poll_failed'
        return tally.failed > 0 ? 'rule_error' : 'missing_field'
      }
      return { verdict: decide(rule.condition), clear: rule.clear && decide(rule.clear), scope: counted }
    },

    overflowed: () => overflowed,

    data: () => ({
      groups: [...tallies.values()].map(({ group, matching, total, unknown, failed }) => ({
        labels: group.labels,
        matching,
        total,
        unknown,
        failed,
      })),
      unread: [...unreadByType].map(([deviceType, count]) => ({ deviceType, count })),
      overflowed,
    }),

    addData(counted) {
      for (const { labels, matching, total, unknown, failed } of counted.groups) {
        const before = overflowed
        const tally = tallyOf(labels)
        // Of a group that found no room, each device was one too many.
        if (overflowed > before) overflowed = before + total
        tally.matching += matching
        tally.total += total
        tally.unknown += unknown
        tally.failed += failed
      }
      for (const { deviceType, count } of counted.unread) {
        unreadByType.set(deviceType, (unreadByType.get(deviceType) ?? 0) + count)
      }
      overflowed += counted.overflowed
    },
  }
}

/** What all scopes give, the first unknown if one gives that; undefined when they contradict each other. */
function agreement(scopes: readonly FleetScope[], ask: (scope: FleetScope) => Verdict): Verdict | undefined {
  const verdicts = scopes.map(ask)
  const unknown = verdicts.find((verdict) => typeof verdict === 'string')
  if (unknown !== undefined) return unknown
  return verdicts.every((verdict) => verdict === verdicts[0]) ? verdicts[0] : undefined
}

function groupLabel(label: FleetGroupLabel, device: Device): string {
  switch (label) {
    case 'manufacturer':
      return device.manufacturer
    case 'model':
      return device.model
    case 'device_type':
      return device.type
    case 'price_zone':
      return device.price_zone ?? 'unknown'
    default:
      return label satisfies never
  }
}
