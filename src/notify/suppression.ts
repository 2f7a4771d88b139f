// Why a firing alert is not told of through a route at present. Each reason is found by its own module;
// here they come together, in Alertmanager's order. An alert that is held back stays visible and keeps
// its place in its groups: nothing about it is lost, and its end is told to whoever was told of it.

import type { Alert } from '../alerts/alert.ts'
import type { Acknowledgement } from '../alerts/silence.ts'
import type { Route } from '../config.ts'

/** Why alerts wait although nobody asked for it: see the guard against mass changes, and walks. */
export type HoldReason = 'walk' | 'mass change'

export interface Withheld {
  /** Fingerprints of alerts. */
  readonly inhibitedBy: readonly string[]
  /** Names of time intervals: those that mute, or those of which none is active. */
  readonly mutedBy: readonly string[]
  /** Ids of silences. */
  readonly silencedBy: readonly string[]
  readonly heldFor: HoldReason | null
}

export interface Suppression {
  /** Null: nothing holds it back. `at` in ms since 1970. */
  of(alert: Alert, route: Route, at: number): Withheld | null
  isSilenced(alert: Alert, at: number): boolean
  /** New alerts that wait for a moment that nobody can tell by the clock. */
  heldFor(alert: Alert, at: number): HoldReason | null
  acknowledgementOf(alert: Alert, at: number): Acknowledgement | null
}

export interface SuppressionParts {
  readonly inhibitedBy: (alert: Alert) => readonly string[]
  readonly silencedBy: (alert: Alert, at: number) => readonly string[]
  readonly mutedBy: (route: Route, at: number) => readonly string[]
  readonly heldFor: (alert: Alert, at: number) => HoldReason | null
  readonly acknowledgementOf: (alert: Alert, at: number) => Acknowledgement | null
}

export function createSuppression(parts: SuppressionParts): Suppression {
  return {
    of(alert, route, at) {
      const inhibitedBy = parts.inhibitedBy(alert)
      const mutedBy = parts.mutedBy(route, at)
      const silencedBy = parts.silencedBy(alert, at)
      const heldFor = parts.heldFor(alert, at)
      const isFree =
        inhibitedBy.length === 0 && mutedBy.length === 0 && silencedBy.length === 0 && heldFor === null
      return isFree ? null : { inhibitedBy, mutedBy, silencedBy, heldFor }
    },
    isSilenced: (alert, at) => parts.silencedBy(alert, at).length > 0,
    heldFor: parts.heldFor,
    acknowledgementOf: parts.acknowledgementOf,
  }
}
