// What one process found about some users for another one, which has the alerts: data, where
// evaluation.ts has calls. Only what could change an alert is found; of most users that is nothing.

import type { Verdict } from '../fleet/verdict.ts'
import type { FleetCountsData } from '../rules/fleet-count.ts'
import type { RuleSet } from '../rules/rule.ts'
import type { Alert, Subject } from './alert.ts'
import type { AlertBirth } from './lifecycle.ts'
import {
  type ActiveAlerts,
  couldBegin,
  createReadingEvaluator,
  type FleetTally,
  type ReadingEvaluator,
  type ReadingEvaluatorOptions,
  type UnseenReason,
} from './reading-evaluator.ts'

export type Finding =
  | {
      readonly kind: 'concluded'
      readonly ruleId: string
      /** The text of the rule that was asked. */
      readonly definition: string
      readonly subject: Subject
      readonly at: number
      readonly verdict: Verdict
      readonly clear: Verdict | null
      /** Null: with this verdict none begins, and none is described anew. */
      readonly birth: AlertBirth | null
    }
  | { readonly kind: 'unseen'; readonly key: string; readonly at: number; readonly why: UnseenReason }
  | { readonly kind: 'inapplicable'; readonly key: string; readonly at: number }

/** What was counted for one rule about the fleet, over a part of it. */
export interface TallyData {
  readonly ruleId: string
  readonly definition: string
  readonly counts: FleetCountsData
}

export interface Finder extends Pick<ReadingEvaluator, 'user' | 'tallies'> {
  /** The devices with alerts, to be looked for when they are missing. */
  readonly watched: Pick<ActiveAlerts, 'devicesOf'>
  /** All that was found so far. */
  findings(): readonly Finding[]
}

/** Asks the rules as the service itself would, and remembers what they say. */
export function createFinder({
  rules,
  active,
  newEpisode,
  onUnknown,
}: { readonly rules: RuleSet; readonly active: readonly Alert[] } & Pick<
  ReadingEvaluatorOptions,
  'newEpisode' | 'onUnknown'
>): Finder {
  const found: Finding[] = []
  const watched = alertsOf(active)
  const { user, tallies } = createReadingEvaluator({
    rules,
    active: watched,
    newEpisode,
    onUnknown,
    sink: {
      conclude: (rule, { verdict, clear, subject, at, birth }) =>
        found.push({
          kind: 'concluded',
          ruleId: rule.id,
          definition: rule.definition,
          subject,
          at,
          verdict,
          clear: clear(),
          birth: couldBegin(verdict, rule) ? birth() : null,
        }),
      unseen: ({ key }, at, why) => found.push({ kind: 'unseen', key, at, why }),
      inapplicable: ({ key }, at) => found.push({ kind: 'inapplicable', key, at }),
    },
  })
  return { user, tallies, watched, findings: () => found }
}

export function tallyData({ rule, counts }: FleetTally): TallyData {
  return { ruleId: rule.id, definition: rule.definition, counts: counts.data() }
}

/** Takes in what was counted elsewhere for the same rules. */
export function addTallies(into: readonly FleetTally[], parts: readonly TallyData[]): void {
  for (const { ruleId, definition, counts } of parts) {
    for (const tally of into) {
      if (tally.rule.id === ruleId && tally.rule.definition === definition) tally.counts.addData(counts)
    }
  }
}

/** The active alerts of some users, to be looked up as in the book of all. */
function alertsOf(active: readonly Alert[]): ActiveAlerts {
  const byUser = new Map<string, Alert[]>()
  for (const alert of active) {
    if (alert.subject.kind === 'fleet') continue
    const { userId } = alert.subject
    byUser.set(userId, [...(byUser.get(userId) ?? []), alert])
  }
  return {
    activeOn(subject) {
      if (subject.kind === 'fleet') return []
      return (byUser.get(subject.userId) ?? []).filter(({ subject: of }) =>
        subject.kind === 'device'
          ? of.kind === 'device' && of.deviceId === subject.deviceId && of.deviceType === subject.deviceType
          : of.kind === 'user',
      )
    },
    devicesOf(userId) {
      const devices = new Map<string, { deviceType: DeviceSubjectType; deviceId: string }>()
      for (const { subject } of byUser.get(userId) ?? []) {
        if (subject.kind !== 'device') continue
        const { deviceType, deviceId } = subject
        devices.set(`${deviceType}\n${deviceId}`, { deviceType, deviceId })
      }
      return [...devices.values()]
    },
  }
}

type DeviceSubjectType = Extract<Subject, { kind: 'device' }>['deviceType']
