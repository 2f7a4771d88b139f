import type { NotificationReason } from './notification.ts'

/** Identity of (group, receiver, integration, index): what was told is remembered per integration. */
export interface DedupEntry {
  readonly groupKey: string
  readonly integrationKey: string
  /** The tick of the last message that was delivered (ms since 1970). */
  readonly at: number
  /** Fingerprints that the last delivered message told as firing, and as resolved. */
  readonly firing: readonly string[]
  readonly resolved: readonly string[]
  /** Those of `firing` that a silence has held back since they were told. */
  readonly silenced: readonly string[]
  /** What the integration gave back after its last message, as `SendOutcome` says; null: nothing. */
  readonly receiverData: string | null
}

/** A message that was decided and not yet delivered; at most one per group and integration. */
export interface OutboxRow {
  readonly groupKey: string
  readonly integrationKey: string
  readonly reason: NotificationReason
  readonly at: number
  /** When the oldest message that this row stands for was decided: its age is what people wait. */
  readonly firstDecidedAt: number
  readonly firing: readonly string[]
  readonly resolved: readonly string[]
  /** Recipients that have it already. */
  readonly delivered: readonly string[]
  readonly attempts: number
  readonly nextAttemptAt: number
  /** What the integration gave back after its last message or attempt; null: nothing. */
  readonly receiverData: string | null
}

/** A group's timer, kept so that a restart neither hastens nor delays what it tells. */
export interface GroupTimer {
  readonly groupKey: string
  readonly nextFlushAt: number
  /** False until its first flush: the next one then comes after group_wait. */
  readonly flushed: boolean
}

/** What one tick of a group comes to: its next tick, and the messages that it decided on. */
export interface Flush {
  readonly timer: GroupTimer
  readonly outbox: readonly OutboxRow[]
  /** Told to nobody (send_resolved: false), only remembered. */
  readonly remembered: readonly DedupEntry[]
  /** Rows whose message nobody needs any more. */
  readonly dropped: readonly { readonly groupKey: string; readonly integrationKey: string }[]
}

/** What delivery needs of a database. Each call is one transaction. */
export interface NotifyStore {
  loadGroupTimers(): Promise<readonly GroupTimer[]>
  loadDedupEntries(): Promise<readonly DedupEntry[]>
  loadOutbox(): Promise<readonly OutboxRow[]>
  /** Before anything is sent: what the ticks of some groups came to, all of them or none. */
  saveFlush(...flushes: readonly Flush[]): Promise<void>
  /** After a failed attempt. Writes only if the row is still the one of `row.at`. */
  saveAttempt(row: OutboxRow): Promise<void>
  /** After success: the row goes (if it is still the one of `entry.at`), what was told is remembered. */
  saveDelivered(entry: DedupEntry): Promise<void>
  /** After a permanent failure: the row goes, nothing is remembered. */
  dropOutboxRow(row: OutboxRow): Promise<void>
  /**
   * A group without members: its timer goes, and all that was told of it. What a receiver that is no
   * longer configured was told would otherwise keep it from being told, should it come back.
   */
  deleteGroup(groupKey: string): Promise<void>
}
