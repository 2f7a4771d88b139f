// The vocabulary of what people decide about alerts: silences and acknowledgements. Neither changes
// an alert; they change who is told of it.

import type { Matcher } from '../matcher.ts'
import type { Labels } from './alert.ts'

/** When a silence ends before its time. */
export type SilenceExpiry =
  /** With the last alert that it matched. */
  | { readonly kind: 'resolved' }
  /** When it has matched nothing for so long. */
  | { readonly kind: 'unmatched'; readonly forMs: number }

export type SilenceState = 'pending' | 'active' | 'expired'

/** All instants in ms since 1970. Immutable: a change is a new object with the same id. */
export interface Silence {
  /** A UUID. */
  readonly id: string
  /** At least one; an alert has to match all of them. */
  readonly matchers: readonly Matcher[]
  readonly startsAt: number
  readonly endsAt: number
  readonly updatedAt: number
  readonly createdBy: string
  readonly comment: string
  /** What tools attach; `expire_when` holds `expiry` in words (`resolved`, `unmatched_for: 1h`). */
  readonly annotations: Labels
  readonly expiry: SilenceExpiry | null
  /** When somebody was reminded of its end; null: not yet. */
  readonly remindedAt: number | null
}

/** Somebody looks after an alert: no repeats until it ends, resolves, or the time is up. */
export interface Acknowledgement {
  readonly fingerprint: string
  /** It dies with the episode. */
  readonly episode: string
  readonly by: string
  readonly comment: string
  readonly at: number
  /** Null: until it resolves. */
  readonly until: number | null
}

/** What silences and acknowledgements need of a database. Each call is one transaction. */
export interface SilenceStore {
  loadSilences(): Promise<readonly Silence[]>
  saveSilences(changes: {
    readonly upserts: readonly Silence[]
    readonly deletedIds: readonly string[]
  }): Promise<void>
  loadAcknowledgements(): Promise<readonly Acknowledgement[]>
  saveAcknowledgements(changes: {
    readonly upserts: readonly Acknowledgement[]
    readonly deletedFingerprints: readonly string[]
  }): Promise<void>
}
