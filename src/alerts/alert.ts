// What an alert is: one rule that holds for one subject, through its life. The states and their
// transitions are in lifecycle.ts; here are only their names and what is kept.

import type { DeviceType } from '../fleet/device.ts'
import type { UnknownReason } from '../fleet/verdict.ts'

export type AlertState = 'pending' | 'firing' | 'recovering' | 'resolved'

/** Why an alert changed its state; carried into messages, logs and metrics. */
export type TransitionReason =
  | 'condition'
  | 'no_data'
  | 'rule_changed'
  | 'rule_removed'
  | 'device_deleted'
  | 'manual'

export type Subject =
  | {
      readonly kind: 'device'
      readonly userId: string
      readonly deviceType: DeviceType
      readonly deviceId: string
    }
  | { readonly kind: 'user'; readonly userId: string }
  | { readonly kind: 'fleet'; readonly group: string }

export type Labels = Readonly<Record<string, string>>

/**
 * Who and what is affected, for messages: facts that may change without a new alert, so they are
 * no labels. Personal: shown only by receivers that say so.
 */
export interface AffectedParty {
  readonly externalUserId: string | null
  readonly name: string | null
  readonly email: string | null
  readonly model: string | null
}

/** All instants are evaluation timestamps in milliseconds since 1970. Immutable: a change is a new object. */
export interface Alert {
  /** Identity of (rule, subject): what a reading is matched by. See alertKey. */
  readonly key: string
  /** Identity of the label set: what receivers are told by. See fingerprint. */
  readonly fingerprint: string
  readonly ruleId: string
  /** The rule's definition when the labels were rendered: labels stay as they are through an episode. */
  readonly definition: string
  readonly subject: Subject
  readonly labels: Labels
  readonly annotations: Labels
  readonly affected: AffectedParty
  readonly state: AlertState
  /** Unique to one run from activation to resolution. */
  readonly episode: string
  /** When the condition was first seen, moved on by the time that was unknown. */
  readonly activeAt: number
  readonly firedAt: number | null
  /** When the condition was last seen to end; means more while flapping, see flapping.ts. */
  readonly keepFiringSince: number | null
  readonly resolvedAt: number | null
  readonly resolvedReason: TransitionReason | null
  /** When somebody came back from resolving it at the partner, if the reading that ended it verified that. */
  readonly reconnectedAt: number | null
  readonly noData: {
    readonly since: number
    readonly reason: UnknownReason
    readonly evaluations: number
  } | null
  /** Polls in a row that said that the device is deleted: one is not yet believed. */
  readonly deletedSeen: number
  readonly evaluatedAt: number
  /** True once every receiver was told the resolution, or none has to be: it may be dropped. */
  readonly settled: boolean
  /** When it fired and resolved again, oldest first, a bounded number; count them by flipsInWindow. */
  readonly flips: readonly number[]
  /** Since when it is held for flapping: it goes on firing, whatever its condition does. */
  readonly flappingSince: number | null
}

/** `rule id`, a line break, and the subject: unambiguous, since neither part holds a line break. */
export function alertKey(ruleId: string, subject: Subject): string {
  return `${ruleId}\n${subjectKey(subject)}`
}

export function subjectKey(subject: Subject): string {
  switch (subject.kind) {
    case 'device':
      return `device/${subject.userId}/${subject.deviceType}/${subject.deviceId}`
    case 'user':
      return `user/${subject.userId}`
    case 'fleet':
      return `fleet/${subject.group}`
    default:
      return subject satisfies never
  }
}

/** True while receivers should see it as firing: `recovering` still is. */
export function isFiring(alert: Alert): boolean {
  return alert.state === 'firing' || alert.state === 'recovering'
}
