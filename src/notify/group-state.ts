// A group at a tick, as deduplication looks at it: who fires, who is held back and why, who resolved.

import { isFiring } from '../alerts/alert.ts'
import type { GroupState } from './dedup.ts'
import type { Group } from './groups.ts'
import type { Suppression, Withheld } from './suppression.ts'

/** `at`: the tick; `now`: what holds an alert back is a question about the present. Both in ms since 1970. */
export function groupStateAt(
  group: Pick<Group, 'members' | 'route'>,
  { suppression, at, now }: { readonly suppression: Suppression; readonly at: number; readonly now: number },
): GroupState & { readonly reasons: readonly Withheld[] } {
  const reasons: Withheld[] = []
  const firing: string[] = []
  const silenced: string[] = []
  const withheld: string[] = []
  const resolved: string[] = []
  const resolvedSilenced: string[] = []
  const acknowledged: string[] = []
  const flapping: string[] = []
  let flappingSince: number | null = null
  for (const alert of group.members.values()) {
    const { fingerprint } = alert
    if (alert.state === 'resolved') {
      resolved.push(fingerprint)
      if (suppression.isSilenced(alert, now)) resolvedSilenced.push(fingerprint)
    }
    if (!isFiring(alert)) continue
    const heldBack = suppression.of(alert, group.route, now)
    if (heldBack !== null) {
      reasons.push(heldBack)
      if (heldBack.silencedBy.length > 0) silenced.push(fingerprint)
      else withheld.push(fingerprint)
      continue
    }
    firing.push(fingerprint)
    if (suppression.acknowledgementOf(alert, now) !== null) acknowledged.push(fingerprint)
    if (alert.flappingSince === null) continue
    flapping.push(fingerprint)
    flappingSince = Math.max(flappingSince ?? 0, alert.flappingSince)
  }
  return {
    ...{ at, firing, silenced, withheld, resolved, resolvedSilenced, acknowledged },
    ...{ flapping, flappingSince, reasons },
  }
}

/**
 * For an integration that was told of the group and is not to be told more: its receiver has no part
 * in it since a reload, or a fallback is not needed any more. Only the end of what it knows is told.
 */
export function farewell(state: GroupState): GroupState {
  return {
    ...state,
    firing: [],
    withheld: [...state.withheld, ...state.firing],
    acknowledged: [],
    flapping: [],
  }
}

/** True while all that fires of it waits for something that no clock ends; its first flush waits too. */
export function isHeld(
  { timer, members }: Pick<Group, 'timer' | 'members'>,
  { suppression, now }: { readonly suppression: Suppression; readonly now: number },
): boolean {
  if (timer.flushed) return false
  let hasFiring = false
  for (const alert of members.values()) {
    if (!isFiring(alert)) continue
    if (suppression.heldFor(alert, now) === null) return false
    hasFiring = true
  }
  return hasFiring
}
