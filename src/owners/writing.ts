// The vocabulary of correspondence.ts: what it is given, what it tells, and what it may be asked.

import type { Alert } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { OwnerConfig, Route } from '../config.ts'
import type { User } from '../fleet/user.ts'
import type { WatchedReading } from '../poller/recheck.ts'
import type { ContactBook } from './contact-book.ts'
import type { Handover, HandoverReason } from './handover.ts'
import type { Outages } from './outages.ts'
import type { OwnerPost } from './owner-post.ts'
import type { Letter, OwnerStore } from './owner-store.ts'

/** Why nobody is written to at present, although a rule and a route allow it. */
export type WaitReason =
  | 'too_early'
  /** Silenced, inhibited, muted, acknowledged, or held as new. */
  | 'held'
  | 'outage'
  /** The owner had a mail a short while ago. */
  | 'written_lately'
  | 'quiet_hours'
  /** The device is well again as of its last reading. */
  | 'recovered'
  /** The user or the device cannot be read, or has no link. */
  | 'unread'
  /** Tried, and to be tried again. */
  | 'mail_server'

export interface OwnerReceiver {
  readonly receiver: string
  readonly config: OwnerConfig
  readonly post: OwnerPost
}

/** The link of ours for an alert; whatever has to know of it is saved when this resolves. Null: there is none. */
export type OwnerLinkFor = (alert: Alert, purpose: 'owner') => Promise<string | null>

export interface CorrespondenceOptions {
  readonly book: AlertBook
  readonly store: OwnerStore
  readonly contacts: ContactBook
  readonly handover: Handover
  readonly outages: Outages
  readonly clock: Clock
  readonly newId: () => string
  /** Ids of the rules whose alerts owners may be told of. */
  readonly isAllowed: (ruleId: string) => boolean
  readonly routesFor: (alert: Alert) => readonly Route[]
  /** Whether anything holds this alert back on this route, or somebody looks after it. */
  readonly isHeld: (alert: Alert, route: Route, at: number) => boolean
  readonly receivers: readonly OwnerReceiver[]
  /** Null: gone. `unread`: not to be had at present. */
  readonly readUser: (userId: string, signal: AbortSignal) => Promise<User | null | 'unread'>
  /** Reads the device and evaluates it; the book has what came of it. */
  readonly recheck: (device: DeviceSubject, signal: AbortSignal) => Promise<WatchedReading>
  readonly linkFor: OwnerLinkFor
  readonly unsubscribeUrl: (token: string) => string
  readonly events: CorrespondenceEvents
}

/** What happened, for logs and metrics: no addresses, no names. */
export interface CorrespondenceEvents {
  onSent(letter: Letter): void
  onFailure(letter: Letter, failure: { readonly reason: string; readonly isFinal: boolean }): void
  /** Once for each alert and reason. */
  onSkipped(alert: Alert, reason: WaitReason | HandoverReason): void
  onHandedOver(alert: Alert, reason: HandoverReason): void
  onStorageError(error: unknown): void
  /** Something failed that should not have. */
  onFault(error: unknown): void
}

export interface Correspondence {
  /** Writes, ends and hands over what is due now; one call at a time. */
  tend(signal: AbortSignal): Promise<void>
  /** The same, every minute until the signal aborts; nobody is written to before `isReady`. */
  run(signal: AbortSignal, isReady: () => boolean): Promise<void>
  /** Goes on with other receivers, routes and rules. */
  reconfigure(receivers: readonly OwnerReceiver[]): void
  /** What is done about this alert, in one line; null: it is not for an owner. */
  explain(alert: Alert): string | null
  /** Records under this user's id. */
  countOf(userId: string): number
  /** Erases these; how many they were. Contacts are under no id, see owner-store.ts. */
  forget(userId: string): Promise<number>
}
