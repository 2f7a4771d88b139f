// What the HTTP API asks of alerts, routes and silences: types only. The wiring implements it from
// the book, the dispatcher and the silences. What changes something is told who does it.
//
// Whatever is asked about one alert is a function of that alert, so that a query pays for it only
// where the cheap matchers left something to look at. All instants are ms since 1970.

import type { Actor } from '../actor.ts'
import type { Alert, Labels } from '../alerts/alert.ts'
import type {
  Acknowledgement,
  SilenceInput as BookedSilenceInput,
  Silence,
  SilenceState,
} from '../alerts/silence.ts'
import type { Matcher } from '../matcher.ts'

export interface AlertingApi {
  /** In any order, straight from where they are kept: resolved ones may be among them. */
  alerts(): Iterable<Alert>
  /** One that is pending, firing or recovering. */
  alert(fingerprint: string): Alert | undefined
  /** Why nobody is told of it at present. */
  suppressionOf(alert: Alert): Suppression
  /** Names of those that are told of alerts with these labels, in the order of their routes. */
  receiversOf(labels: Labels): readonly string[]
  acknowledgementOf(alert: Alert): Acknowledgement | null
  isFlapping(alert: Alert): boolean
  groups(): Iterable<AlertGroup>
  /** Every receiver of the configuration, in its order. */
  receivers(): readonly string[]
  /** Alertmanager's configuration as YAML that its own loader takes, secrets masked. */
  originalConfig(): string
  readonly silences: SilencesApi
  /** Replaces what was acknowledged before. `until` null: until it resolves. */
  acknowledge(
    alert: Alert,
    acknowledgement: { readonly by: string; readonly comment: string; readonly until: number | null },
    actor: Actor,
  ): Promise<Acknowledgement>
  /** False: it was not acknowledged. */
  withdrawAcknowledgement(alert: Alert, actor: Actor): Promise<boolean>
  /** Ends the links that were given for this alert, also when it has resolved. False: there are none. */
  revokeLinks(fingerprint: string, actor: Actor): Promise<boolean>
  /** Why the device or alert of this id does or doesn't alert, as JSON; null: nothing is known of it. */
  explain(id: string): Promise<unknown>
  /** Reads configuration and rules anew. With problems, what ran before goes on. */
  reload(
    actor: Actor,
  ): Promise<{ readonly ok: true } | { readonly ok: false; readonly problems: readonly string[] }>
  readonly startedAt: number
  readonly version: string
}

/** Each list is empty, or what holds it back. */
export interface Suppression {
  /** Ids of silences. */
  readonly silencedBy: readonly string[]
  /** Fingerprints of alerts. */
  readonly inhibitedBy: readonly string[]
  /** Names of time intervals. */
  readonly mutedBy: readonly string[]
}

/** The alerts that one receiver is told of together. */
export interface AlertGroup {
  readonly key: string
  readonly labels: Labels
  readonly routeKey: string
  readonly receiver: string
  /** Ended ones may be among them. */
  readonly alerts: Iterable<Alert>
  /** Names of the time intervals that keep this group from being told. */
  readonly mutedBy: readonly string[]
}

export interface SilencesApi {
  get(id: string): Silence | undefined
  /**
   * Those in the wanted states that have each matcher of `filter`, word for word: active ones, the
   * first to end first; pending ones, the first to start first; expired ones, the last to end first.
   */
  list(wanted: SilenceQuery): readonly Silence[]
  stateOf(silence: Silence, at: number): SilenceState
  set(input: SilenceInput, actor: Actor): Promise<SilenceOutcome>
  /** Ends it now, which may be said twice. False: there is none with this id. */
  expire(id: string, actor: Actor): Promise<boolean>
}

export interface SilenceQuery {
  readonly active: boolean
  readonly pending: boolean
  readonly expired: boolean
  readonly filter: readonly Matcher[]
}

/** Its expiry stands in its annotations, as for every tool. */
export type SilenceInput = Omit<BookedSilenceInput, 'expiry'>

export type SilenceOutcome =
  | { readonly kind: 'set'; readonly silence: Silence }
  /** `message` is for whoever asked. */
  | { readonly kind: 'invalid' | 'not_found'; readonly message: string }
