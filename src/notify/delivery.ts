// The vocabulary of the dispatcher: what it is given, what it tells, what it is doing at present.

import type { Alert } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import type { Clock } from '../clock.ts'
import type { DedupDecision } from './dedup.ts'
import type { Group } from './groups.ts'
import type { Integration, LinkSource, Notification, SendOutcome } from './notification.ts'
import type { Router } from './route.ts'
import type { DedupEntry, NotifyStore, OutboxRow } from './store.ts'
import type { Suppression, Withheld } from './suppression.ts'
import type { Forgotten } from './told-of.ts'

export interface Dispatcher {
  /** Lets flushes begin. Until then groups only gather: after a start, one walk is read first. */
  enable(): void
  /** To be called when what holds alerts back may have changed: looks at all groups that are due. */
  wake(): void
  /** Flushes and delivers until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  /**
   * Goes on with other routes and receivers. Groups that are still there keep their timers and what
   * was told; an integration that is the same object keeps its queue, and a message under way ends.
   * Rejects when saving failed; calling it again then finishes it.
   */
  reconfigure(delivery: Delivery): Promise<void>
  /** How much `forget` would take away. */
  countForgotten(forgotten: Forgotten): number
  /**
   * Lets go of what is known of alerts that are gone from the book, and tells nobody: a message on its way
   * may still arrive. Rejects when saving failed; calling it again then finishes it.
   */
  forget(forgotten: Forgotten): Promise<number>
  status(): DeliveryStatus
  groups(): readonly GroupStatus[]
}

/** What the alerting section of the configuration amounts to. */
export interface Delivery {
  readonly router: Router
  readonly integrations: readonly Integration[]
  readonly policy: DeliveryPolicy
}

export interface DeliveryPolicy {
  readonly tellWhenSilenceEnded: boolean
  /** Null: nobody is reminded of what is acknowledged. */
  readonly remindAcknowledgedMs: number | null
  /** Who is told when a receiver's integration fails for good; null: nobody. */
  readonly fallbackReceiver: string | null
}

export interface DeliveryStatus {
  readonly queued: number
  /** When the longest waiting message was decided (ms since 1970); null without any. */
  readonly oldestAt: number | null
  /** True while no integration's last attempt failed. */
  readonly isDelivering: boolean
  /** The earliest tick of a group that nothing holds; null without any. */
  readonly nextFlushAt: number | null
  /** Entries of what was told to whom. */
  readonly toldEntries: number
  readonly groups: number
}

/** A group as it is now. */
export interface GroupStatus extends Pick<Group, 'key' | 'labels' | 'route'> {
  readonly members: Iterable<Alert>
  readonly nextFlushAt: number
  /** What would be decided at its next tick if nothing changed until then, for each integration. */
  readonly outlook: () => readonly Outlook[]
}

export interface Outlook {
  readonly integrationKey: string
  readonly decision: DedupDecision
  /** What it was told last; undefined: nothing. */
  readonly told: DedupEntry | undefined
  /** A message that waits to be delivered. */
  readonly undelivered: OutboxRow | undefined
}

export interface DispatcherOptions extends Delivery {
  readonly suppression: Suppression
  readonly store: NotifyStore
  readonly book: AlertBook
  readonly clock: Clock
  readonly linkFor: LinkSource
  readonly events: DispatcherEvents
}

/** What happened, for logs and metrics. Reasons hold no secret. */
export interface DispatcherEvents {
  onAttempt(integration: Integration, outcome: SendOutcome['kind'] | 'timeout', seconds: number): void
  /** `toldBefore`: fingerprints that it took for firing until then. */
  onDelivered(
    notification: Notification,
    integration: Integration,
    refused: readonly string[],
    toldBefore: readonly string[],
  ): void
  onFailure(
    notification: Notification,
    integration: Integration,
    failure: { readonly reason: string; readonly permanent: boolean; readonly attempts: number },
  ): void
  /** A member was held back at a flush. */
  onWithheld(withheld: Withheld): void
  /** A message that nobody can deliver any more: its receiver or its group is gone. */
  onDropped(row: OutboxRow): void
  onStorageError(error: unknown): void
}
