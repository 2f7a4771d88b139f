// Whether a group's state is worth a message to one integration, given what it was told before.
// Pure. The order of the questions is that of Alertmanager's notification log
// (alerting-semantics.md section 6), with these differences:
//
//   resolved   only an alert that this integration was told as firing is ever told as resolved, and
//              that even when it is silenced, inhibited or muted by then
//   withheld   an alert that was told and is silenced since stays known as firing: when the silence
//              ends, that alone may be told
//   acknowledged   no repeats while all that fires is looked after

import type { NotificationReason } from './notification.ts'
import type { DedupEntry, OutboxRow } from './store.ts'

/** Fingerprints of the group's members, each of them in one of the first four lists. */
export interface GroupState {
  /** The tick (ms since 1970). */
  readonly at: number
  /** Fire, and may be told of. */
  readonly firing: readonly string[]
  /** Fire, and a silence holds them back. */
  readonly silenced: readonly string[]
  /** Fire, and something else holds them back: inhibition, a mute interval, a guard. */
  readonly withheld: readonly string[]
  readonly resolved: readonly string[]
  /** Those of `resolved` that a silence matches. */
  readonly resolvedSilenced: readonly string[]
  /** Those of `firing` that somebody looks after. */
  readonly acknowledged: readonly string[]
  /** Those of `firing` that flap. */
  readonly flapping: readonly string[]
  /** When the last of them began to (ms since 1970); null: none does. */
  readonly flappingSince: number | null
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
  /** Whether the end of a silence is told while what it silenced still fires. */
  readonly tellWhenSilenceEnded: boolean
  /** How often people are reminded of what is acknowledged and still fires; null: never. */
  readonly remindAcknowledgedMs: number | null
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
  /** Nothing to tell, but to be taken as told: resolutions where `send_resolved` is off, new silences. */
  | { readonly kind: 'remember'; readonly firing: readonly string[]; readonly silenced: readonly string[] }
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
    if (resolvedTold.length > 0 && policy.sendResolved)
      return send(endingReason(group, resolvedTold, entryFiring))
    if (resolvedUntold.length > 0) return send('resolved before delivery')
    return remember(group, told.entry, resolvedTold)
  }
  const known = knownAsFiring(entryFiring, told.undelivered)
  const news = group.firing.filter((print) => !known.has(print))
  if (news.length > 0) {
    // The flip that made it flapping was this beginning: whoever is told has to know what follows.
    if (news.every((print) => group.flapping.includes(print))) return send('flapping')
    return send(entryFiring.size === 0 ? 'first notification' : 'new alerts')
  }
  if (resolved.length > 0) return send('some resolved')
  const toldAt = told.entry?.at ?? Number.POSITIVE_INFINITY
  if (group.flappingSince !== null && group.flappingSince > toldAt) return send('flapping')
  const wasSilenced = new Set(told.entry?.silenced)
  if (policy.tellWhenSilenceEnded && group.firing.some((print) => wasSilenced.has(print))) {
    return send('silence ended')
  }
  // `<=`: a repeat interval that is a multiple of the group interval is due at that very tick.
  if (group.acknowledged.length < group.firing.length) {
    if (toldAt + policy.repeatIntervalMs <= group.at) return send('repeat')
  } else if (policy.remindAcknowledgedMs !== null && toldAt + policy.remindAcknowledgedMs <= group.at) {
    return send('acknowledged reminder')
  }
  return remember(group, told.entry, resolvedTold)
}

/** Why a message goes out that tells of nothing that fires. */
function endingReason(
  group: GroupState,
  resolvedTold: readonly string[],
  entryFiring: ReadonlySet<string>,
): NotificationReason {
  const silenced = new Set(group.resolvedSilenced)
  if (resolvedTold.every((print) => silenced.has(print))) return 'resolved while silenced'
  const stillFires = [...group.silenced, ...group.withheld].some((print) => entryFiring.has(print))
  return stillFires ? 'some resolved' : 'all resolved'
}

/** What is known without a message: the end of alerts that isn't told, and who is silenced since they were told. */
function remember(
  group: GroupState,
  entry: DedupEntry | undefined,
  resolvedTold: readonly string[],
): DedupDecision {
  if (entry === undefined) return { kind: 'nothing' }
  const ended = new Set(resolvedTold)
  const firing = entry.firing.filter((print) => !ended.has(print))
  const isTold = new Set(firing)
  const wasSilenced = new Set(entry.silenced)
  const silenced = [
    ...group.silenced.filter((print) => isTold.has(print)),
    ...group.withheld.filter((print) => wasSilenced.has(print)),
  ]
  const isSame = ended.size === 0 && sameSet(silenced, entry.silenced)
  return isSame ? { kind: 'nothing' } : { kind: 'remember', firing, silenced }
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
