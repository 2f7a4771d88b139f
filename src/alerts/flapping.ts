// Alerts that fire and resolve again and again: counted, marked, and held.
//
// Terms: a *flip* is a change between firing and resolved that readings brought about (not the end
// of a device or of a rule, not a person). An alert with too many flips in a sliding window is
// *marked* as flapping, and *held* while it is: to everybody it goes on firing, so that nothing is
// told of its ups and downs. What it would have done is followed all the same, by the rule's own
// timers, and counted; that is how the score falls again. A held alert keeps that in two fields:
//
//   would be     state        keepFiringSince
//   firing       firing       null
//   recovering   recovering   since when the condition is over
//   resolved     recovering   null
//   pending      firing       since when the condition holds again
//
// An alert that ended long ago is *remembered* for as long as its flips count: by key and flips, no more.
// It never decides what an evaluation means (lifecycle.ts), and tells nobody.

import type { Alert, Subject } from './alert.ts'

/** When an alert counts as flapping, and when no longer; null in its place: never. */
export interface Flapping {
  readonly windowMs: number
  /** Marked at this many flips within the window. */
  readonly high: number
  /** Unmarked when there are fewer than this within the window: from 1 up to `high`. */
  readonly low: number
}

export const noFlips: readonly number[] = Object.freeze([])

// More flips say nothing new, and each is kept in memory and written with every change of the alert.
const mostFlips = 50

/** True while the alert is marked, and so held. */
export function isFlapping(alert: Alert): boolean {
  return alert.flappingSince !== null
}

/** Flips within `windowMs` up to `at`, the newest 50 at most (or `high`, where that is more). */
export function flipsInWindow({ flips }: Pick<Alert, 'flips'>, at: number, windowMs: number): number {
  return flips.filter((flip) => isWithin(flip, at, windowMs)).length
}

/** With one more flip at `at`, without those that no longer count. */
export function withFlip(
  flips: readonly number[],
  at: number,
  { windowMs, high }: Flapping,
): readonly number[] {
  const counting = flips.filter((flip) => isWithin(flip, at, windowMs))
  return [...counting, at].slice(-Math.max(mostFlips, high))
}

/** A flip from far ahead is from before the machine's clock was set back: it must not count for ever. */
function isWithin(flip: number, at: number, windowMs: number): boolean {
  return Math.abs(at - flip) < windowMs
}

// ---- what a held alert would have done

export interface HeldState {
  readonly state: 'firing' | 'recovering'
  readonly keepFiringSince: number | null
  /** Without being held it would have fired or resolved now. */
  readonly flipped: boolean
}

export function wouldBeResolved({ state, keepFiringSince }: Alert): boolean {
  return state === 'recovering' && keepFiringSince === null
}

/** A held alert whose condition holds at `at`. */
export function heldWhileHolding(alert: Alert, at: number, forMs: number): HeldState {
  const wouldFire = { state: 'firing', keepFiringSince: null } as const
  const isPending = alert.state === 'firing' && alert.keepFiringSince !== null
  if (!isPending && !wouldBeResolved(alert)) return { ...wouldFire, flipped: false }
  const since = alert.keepFiringSince ?? at
  if (at - since >= forMs) return { ...wouldFire, flipped: true }
  return { state: 'firing', keepFiringSince: since, flipped: false }
}

/** A held alert whose condition is over at `at`. */
export function heldWhileEnded(alert: Alert, at: number, keepFiringForMs: number): HeldState {
  const wouldResolve = { state: 'recovering', keepFiringSince: null } as const
  const isPending = alert.state === 'firing' && alert.keepFiringSince !== null
  if (isPending || wouldBeResolved(alert)) return { ...wouldResolve, flipped: false }
  const since = alert.keepFiringSince ?? at
  if (at - since >= keepFiringForMs) return { ...wouldResolve, flipped: true }
  return { state: 'recovering', keepFiringSince: since, flipped: false }
}

// ---- what is remembered of an alert that ended

/**
 * What is stored of an alert of which only the flips are remembered: a resolved one without an
 * episode, and without anything about the customer.
 */
export function remembered({
  key,
  ruleId,
  subject,
  flips,
}: {
  key: string
  ruleId: string
  subject: Subject
  flips: readonly number[]
}): Alert {
  const endedAt = flips.at(-1) ?? 0
  return {
    key,
    fingerprint: '',
    ruleId,
    definition: '',
    subject,
    labels: {},
    annotations: {},
    affected: { externalUserId: null, name: null, email: null, model: null },
    state: 'resolved',
    episode: '',
    activeAt: endedAt,
    firedAt: null,
    keepFiringSince: null,
    resolvedAt: endedAt,
    resolvedReason: 'condition',
    reconnectedAt: null,
    noData: null,
    deletedSeen: 0,
    evaluatedAt: endedAt,
    settled: true,
    flips,
    flappingSince: null,
  }
}

export function isRemembered(alert: Alert): boolean {
  return alert.episode === ''
}
