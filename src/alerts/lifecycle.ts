// The life of one alert, as a pure function of what was and what was just evaluated.
//
//   inactive ──TRUE──► pending ──TRUE for `for`──► firing ──FALSE──► recovering ──FALSE for──► resolved
//      ▲                  │ FALSE                    ▲                  │ TRUE   keep_firing_for    │
//      └──────────────────┘                          └──────────────────┘                           │
//      ▲                                                                        TRUE: a new episode │
//      └────────────────────────────────────────────────────────────────────────────────────────────┘
//
// `for: 0` passes pending in one evaluation, `keep_firing_for: 0` passes recovering in one.
// UNKNOWN moves nothing: the state stays and its clock is frozen, that is, the time since the
// previous evaluation is added to where the clock started. Semantics: alerting-semantics.md
// section 3, where the test vectors of test/alerts/lifecycle.test.ts come from too.
//
// An alert that goes round too often is marked, and held between firing and recovering until it has
// calmed down (flapping.ts). Only what ends an alert for good, such as a deleted device, still does.
//
// When somebody has just come back from resolving it at the partner, a condition that is over needs no
// second look: FALSE resolves at once, without `keep_firing_for`. Whether it is over the rule decides, as
// always, and an alert that is held for flapping stays held.
//
// "Now" is always the moment at which the reading was observed. Inactive is `undefined`.

import type { UnknownReason, Verdict } from '../fleet/verdict.ts'
import {
  type AffectedParty,
  type Alert,
  alertKey,
  type Labels,
  type Subject,
  type TransitionReason,
} from './alert.ts'
import {
  type Flapping,
  flipsInWindow,
  type HeldState,
  heldWhileEnded,
  heldWhileHolding,
  isFlapping,
  noFlips,
  withFlip,
  wouldBeResolved,
} from './flapping.ts'

export interface RuleTiming {
  readonly forMs: number
  readonly keepFiringForMs: number
  readonly noData: 'keep' | 'alerting' | 'ok'
}

export interface Evaluation {
  /** When what was evaluated was observed (ms since 1970). */
  readonly at: number
  /** `deleted`: the partner says that the device is deleted. Believed the second time in a row. */
  readonly verdict: Verdict | 'deleted'
  /** What the rule's `clear` says; null where the rule has none. */
  readonly clear: Verdict | null
  /** When somebody came back from resolving it at the partner; absent: nobody, or too long ago. */
  readonly returnedAt?: number
}

/** What a new alert starts with; asked for again while it is active, for its annotations. */
export interface AlertBirth {
  readonly fingerprint: string
  readonly ruleId: string
  readonly definition: string
  readonly subject: Subject
  readonly labels: Labels
  readonly annotations: Labels
  readonly affected: AffectedParty
  readonly episode: string
}

/**
 * The alert after one more evaluation; undefined: inactive. An evaluation that is not newer than
 * the last one changes nothing (a walk and a recheck may overtake each other). `birth` is called
 * only when the condition holds. Without `flapping` no flips are counted, and none are carried on.
 */
export function advance(
  alert: Alert | undefined,
  evaluation: Evaluation,
  timing: RuleTiming,
  birth: () => AlertBirth,
  flapping: Flapping | null = null,
): Alert | undefined {
  const { at } = evaluation
  if (alert === undefined || alert.state === 'resolved') {
    const outcome = outcomeOf(evaluation, undefined, timing)
    if (outcome.kind !== 'holds') return alert
    const flips = flapping === null ? noFlips : (alert?.flips ?? noFlips)
    const begun = begin(birth(), at, { timing, noData: outcome.noData, flips })
    return begun.state === 'firing' ? returned(begun, at, flapping) : begun
  }
  const steady = clockSetBack(alert, at)
  if (at <= steady.evaluatedAt) return alert
  const outcome = outcomeOf(evaluation, steady, timing)
  switch (outcome.kind) {
    case 'holds': {
      const held = whileHolding(steady, at, timing, { birth: birth(), noData: outcome.noData, flapping })
      return unmarkedIfCalm(held, at, { flapping, reason: 'condition' })
    }
    case 'ended': {
      const { returnedAt } = evaluation
      const isVerified = outcome.reason === 'condition' && returnedAt !== undefined && at >= returnedAt
      const reconnectedAt = isVerified ? returnedAt : null
      const ended = whileEnded(steady, at, timing, { reason: outcome.reason, flapping, reconnectedAt })
      return ended === undefined ? undefined : unmarkedIfCalm(ended, at, { flapping, reason: outcome.reason })
    }
    case 'frozen': {
      const after = {
        ...frozen(steady, at),
        noData: noDataSince(steady, at, outcome.noData),
        // Seen between two thresholds is seen; unread says nothing about a deletion.
        deletedSeen: outcome.noData === null ? 0 : steady.deletedSeen,
      }
      return outcome.noData === null ? unmarkedIfCalm(after, at, { flapping, reason: 'condition' }) : after
    }
    case 'seen deleted':
      return {
        ...frozen(steady, at),
        noData: noDataSince(steady, at, 'device_missing'),
        deletedSeen: steady.deletedSeen + 1,
      }
    case 'deleted':
      return steady.state === 'pending' ? undefined : resolve(steady, at, 'device_deleted')
    default:
      return outcome satisfies never
  }
}

/** What an alert was born with: for evaluations that have no reading to render it from. */
export function birthOf(alert: Alert): AlertBirth {
  const { fingerprint, ruleId, definition, subject, labels, annotations, affected, episode } = alert
  return { fingerprint, ruleId, definition, subject, labels, annotations, affected, episode }
}

/** Ends an alert for a reason that no reading gave: its rule was removed or changed, or a person did it. */
export function end(alert: Alert, at: number, reason: TransitionReason): Alert | undefined {
  if (alert.state === 'resolved') return alert
  return alert.state === 'pending' ? undefined : resolve(alert, at, reason)
}

/** The alert after the service was away for `downMs`: that time counts towards no clock. */
export function afterDowntime(alert: Alert, downMs: number): Alert {
  if (alert.state === 'pending') return { ...alert, activeAt: alert.activeAt + downMs }
  if (alert.keepFiringSince === null) return alert
  return { ...alert, keepFiringSince: alert.keepFiringSince + downMs }
}

type Outcome =
  | { readonly kind: 'holds'; readonly noData: UnknownReason | null }
  | { readonly kind: 'ended'; readonly reason: TransitionReason }
  /** Neither: unknown, or between the rule's two thresholds (then `noData` is null). */
  | { readonly kind: 'frozen'; readonly noData: UnknownReason | null }
  | { readonly kind: 'seen deleted' }
  | { readonly kind: 'deleted' }

function outcomeOf({ verdict, clear }: Evaluation, alert: Alert | undefined, timing: RuleTiming): Outcome {
  if (verdict === 'deleted') {
    const confirmed = alert !== undefined && alert.deletedSeen > 0
    return confirmed ? { kind: 'deleted' } : { kind: 'seen deleted' }
  }
  if (verdict === true) return { kind: 'holds', noData: null }
  if (verdict === false) {
    // Hysteresis: below the firing threshold is not enough, the clearing one must be passed too.
    if (clear === null || clear === true) return { kind: 'ended', reason: 'condition' }
    return { kind: 'frozen', noData: clear === false ? null : clear }
  }
  // A rule that fails says nothing, whatever its policy for missing data is.
  if (verdict === 'rule_error' || timing.noData === 'keep') return { kind: 'frozen', noData: verdict }
  return timing.noData === 'alerting'
    ? { kind: 'holds', noData: verdict }
    : { kind: 'ended', reason: 'no_data' }
}

function begin(
  birth: AlertBirth,
  at: number,
  { timing, noData, flips }: { timing: RuleTiming; noData: UnknownReason | null; flips: readonly number[] },
): Alert {
  const firesAtOnce = timing.forMs === 0
  return {
    ...birth,
    key: alertKey(birth.ruleId, birth.subject),
    state: firesAtOnce ? 'firing' : 'pending',
    activeAt: at,
    firedAt: firesAtOnce ? at : null,
    keepFiringSince: null,
    resolvedAt: null,
    resolvedReason: null,
    reconnectedAt: null,
    noData: noData === null ? null : { since: at, reason: noData, evaluations: 1 },
    deletedSeen: 0,
    evaluatedAt: at,
    settled: false,
    flips,
    flappingSince: null,
  }
}

function whileHolding(
  alert: Alert,
  at: number,
  timing: RuleTiming,
  { birth, noData, flapping }: { birth: AlertBirth; noData: UnknownReason | null; flapping: Flapping | null },
): Alert {
  const held: Alert = {
    ...alert,
    annotations: birth.annotations,
    affected: birth.affected,
    noData: noDataSince(alert, at, noData),
    deletedSeen: 0,
    evaluatedAt: at,
  }
  if (isFlapping(held)) return followed(held, heldWhileHolding(held, at, timing.forMs), flapping)
  switch (held.state) {
    case 'pending':
      if (at - held.activeAt < timing.forMs) return held
      return returned({ ...held, state: 'firing', firedAt: at }, at, flapping)
    case 'recovering':
      return { ...held, state: 'firing', keepFiringSince: null }
    default:
      return held
  }
}

function whileEnded(
  alert: Alert,
  at: number,
  timing: RuleTiming,
  {
    reason,
    flapping,
    reconnectedAt,
  }: { reason: TransitionReason; flapping: Flapping | null; reconnectedAt: number | null },
): Alert | undefined {
  if (alert.state === 'pending') return undefined
  const ended: Alert = { ...alert, noData: null, deletedSeen: 0, evaluatedAt: at }
  if (isFlapping(alert)) return followed(ended, heldWhileEnded(alert, at, timing.keepFiringForMs), flapping)
  const since = alert.keepFiringSince ?? at
  if (reconnectedAt === null && at - since < timing.keepFiringForMs) {
    return { ...ended, state: 'recovering', keepFiringSince: since }
  }
  const counted = flapping === null ? ended : flippedAt(ended, at, flapping)
  if (!isFlapping(counted)) return { ...resolve(counted, at, reason), reconnectedAt }
  // The flip that makes it flapping is not told any more.
  return { ...counted, state: 'recovering', keepFiringSince: null }
}

function resolve(alert: Alert, at: number, reason: TransitionReason): Alert {
  return {
    ...alert,
    state: 'resolved',
    keepFiringSince: null,
    resolvedAt: at,
    resolvedReason: reason,
    reconnectedAt: null,
    noData: null,
    deletedSeen: 0,
    evaluatedAt: at,
    settled: false,
    // What ended for good, or in other hands, has no ups and downs to go on from.
    flips: reason === 'condition' || reason === 'no_data' ? alert.flips : noFlips,
    flappingSince: null,
  }
}

/** An alert that fires: a flip when it resolved before, that is, while its end still counts. */
function returned(alert: Alert, at: number, flapping: Flapping | null): Alert {
  if (flapping === null || flipsInWindow(alert, at, flapping.windowMs) === 0) return alert
  return flippedAt(alert, at, flapping)
}

/** One more flip, and the mark when these are too many now. */
function flippedAt(alert: Alert, at: number, flapping: Flapping): Alert {
  const flips = withFlip(alert.flips, at, flapping)
  const flappingSince = alert.flappingSince ?? (flips.length >= flapping.high ? at : null)
  return { ...alert, flips, flappingSince }
}

/** A held alert with what it would have done. */
function followed(
  alert: Alert,
  { state, keepFiringSince, flipped }: HeldState,
  flapping: Flapping | null,
): Alert {
  const after: Alert = { ...alert, state, keepFiringSince }
  if (!flipped || flapping === null) return after
  const at = alert.evaluatedAt
  return state === 'firing' ? returned(after, at, flapping) : flippedAt(after, at, flapping)
}

/**
 * Lets a held alert go when its score has fallen below `low`, or nothing is held any more: as
 * resolved, for `reason`, when that is what it would be by now; otherwise it goes on firing.
 */
function unmarkedIfCalm(
  alert: Alert,
  at: number,
  { flapping, reason }: { flapping: Flapping | null; reason: TransitionReason },
): Alert {
  if (!isFlapping(alert)) return alert
  if (flapping !== null && flipsInWindow(alert, at, flapping.windowMs) >= flapping.low) return alert
  if (wouldBeResolved(alert)) return resolve(alert, at, reason)
  const keepFiringSince = alert.state === 'recovering' ? alert.keepFiringSince : null
  return { ...alert, flappingSince: null, keepFiringSince }
}

/** Unknown time does not count: the running clock starts later by as much as nothing was known. */
function frozen(alert: Alert, at: number): Alert {
  const unknownMs = at - alert.evaluatedAt
  return {
    ...alert,
    activeAt: alert.state === 'pending' ? alert.activeAt + unknownMs : alert.activeAt,
    keepFiringSince: alert.keepFiringSince === null ? null : alert.keepFiringSince + unknownMs,
    evaluatedAt: at,
  }
}

function noDataSince(alert: Alert, at: number, reason: UnknownReason | null): Alert['noData'] {
  if (reason === null) return null
  return {
    since: alert.noData?.since ?? at,
    reason,
    evaluations: (alert.noData?.evaluations ?? 0) + 1,
  }
}

// Readings overtake each other by seconds. One that is older than this can only come from a clock
// that was set back; without a correction the alert would stand still until the clock caught up.
const overtakingMs = 60_000

function clockSetBack(alert: Alert, at: number): Alert {
  const backMs = alert.evaluatedAt - at
  if (backMs <= overtakingMs) return alert
  return {
    ...alert,
    activeAt: alert.activeAt - backMs,
    keepFiringSince: alert.keepFiringSince === null ? null : alert.keepFiringSince - backMs,
    flips: alert.flips.length === 0 ? alert.flips : alert.flips.map((flip) => flip - backMs),
    flappingSince: alert.flappingSince === null ? null : alert.flappingSince - backMs,
    evaluatedAt: at - 1,
  }
}
