// Whether a group's state is worth a message to one integration, given what it was told before.
// Pure. The order of the questions is that of Alertmanager's notification log
// (alerting-semantics.md section 6), with one difference: only an alert that this integration was
// told as firing is ever told as resolved.

import type { NotificationReason } from './notification.ts'
import type { DedupEntry, OutboxRow } from './store.ts'

export interface GroupState {
  /** The tick (ms since 1970). */
  readonly at: number
  /** Fingerprints of the group's members that fire, and of those that resolved. */
  readonly firing: readonly string[]
  readonly resolved: readonly string[]
}

export interface ToldState {
  /** What the last delivered message told; undefined: nothing yet. */
  readonly entry: DedupEntry | undefined
  /** A message that was decided and is not known to have arrived. */
  readonly undelivered: OutboxRow | undefined
}

export interface DedupPolicy {
  readonly sendResolved: boolean
  readonly repeatIntervalMs: number
}

export type DedupDecision =
  | {
      readonly kind: 'send'
      readonly reason: NotificationReason
      readonly firing: readonly string[]
      readonly resolved: readonly string[]
    }
  /** The undelivered message still says it all. */
  | { readonly kind: 'wait' }
  /** Nothing to tell, but to be taken as told: resolutions where `send_resolved` is off. */
  | { readonly kind: 'remember'; readonly firing: readonly string[] }
  | { readonly kind: 'nothing' }

export function decide(group: GroupState, told: ToldState, policy: DedupPolicy): DedupDecision {
  const decision = compare(group, told, policy)
  const waiting = told.undelivered
  if (decision.kind !== 'send' || waiting === undefined) return decision
  const unchanged = sameSet(waiting.firing, decision.firing) && sameSet(waiting.resolved, decision.resolved)
  return unchanged ? { kind: 'wait' } : decision
}

function compare(group: GroupState, told: ToldState, policy: DedupPolicy): DedupDecision {
  const entryFiring = new Set(told.entry?.firing)
  const undelivered = new Set([...(told.undelivered?.firing ?? []), ...(told.undelivered?.resolved ?? [])])
  const resolvedTold = group.resolved.filter((print) => entryFiring.has(print))
  // Decided to be told, and ended before that was known to have worked. Saying it late is better
  // than never, so `send_resolved: false` does not hold it back.
  const resolvedUntold = group.resolved.filter((print) => !entryFiring.has(print) && undelivered.has(print))
  const resolved = policy.sendResolved ? [...resolvedTold, ...resolvedUntold] : resolvedUntold
  const send = (reason: NotificationReason): DedupDecision => ({
    kind: 'send',
    reason,
    firing: group.firing,
    resolved,
  })

  if (group.firing.length === 0) {
    if (resolvedTold.length > 0 && policy.sendResolved) return send('all resolved')
    if (resolvedUntold.length > 0) return send('resolved before delivery')
    return resolvedTold.length > 0 ? { kind: 'remember', firing: [] } : { kind: 'nothing' }
  }
  const known = knownAsFiring(entryFiring, told.undelivered)
  if (group.firing.some((print) => !known.has(print))) {
    return send(entryFiring.size === 0 ? 'first notification' : 'new alerts')
  }
  if (resolved.length > 0) return send('some resolved')
  if (resolvedTold.length > 0) return { kind: 'remember', firing: group.firing }
  // `<=`: a repeat interval that is a multiple of the group interval is due at that very tick.
  const repeatIsDue = told.entry !== undefined && told.entry.at + policy.repeatIntervalMs <= group.at
  return repeatIsDue ? send('repeat') : { kind: 'nothing' }
}

/**
 * What the integration surely takes for firing. An attempt that was cut off may have arrived all
 * the same, so what it told as resolved is not known any more.
 */
function knownAsFiring(
  entryFiring: ReadonlySet<string>,
  undelivered: OutboxRow | undefined,
): ReadonlySet<string> {
  if (undelivered === undefined || undelivered.attempts === 0) return entryFiring
  const known = new Set(entryFiring)
  for (const print of undelivered.resolved) known.delete(print)
  return known
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
  if (left.length !== right.length) return false
  const set = new Set(left)
  return right.every((print) => set.has(print))
}
