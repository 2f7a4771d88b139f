// What every database behind Fleetwarden offers, and how it fails. The interfaces belong to those
// who use them (alerts/, notify/, links/); this folder implements them and is the only one that names a
// database. The contract is tested by test/storage/contract.ts, the same for each database.

import type { HistoryStore } from '../alerts/history.ts'
import type { SilenceStore } from '../alerts/silence.ts'
import type { AlertStore } from '../alerts/store.ts'
import type { WalkStore } from '../alerts/walk-store.ts'
import type { AuditStore } from '../backoffice/audit-store.ts'
import type { MigrationStore } from '../backoffice/migration-store.ts'
import type { LinkStore } from '../links/link-store.ts'
import type { NotifyStore } from '../notify/store.ts'
import type { OwnerStore } from '../owners/owner-store.ts'

/**
 * An open database. Every call is one transaction: all of it or nothing is kept, also when the
 * process is killed half-way. Calls run one after the other in the order in which they were made. They
 * reject with a StorageError; after that the next call may well succeed.
 */
export interface Storage
  extends AlertStore,
    AuditStore,
    HistoryStore,
    LinkStore,
    MigrationStore,
    NotifyStore,
    OwnerStore,
    SilenceStore,
    WalkStore {
  /** Set when the database was damaged, was moved to `movedTo`, and this one began empty. */
  readonly recovered: { readonly movedTo: string } | null
  /**
   * Aborts, with a StorageError, when another process has had the database meanwhile. What this one
   * remembers is out of date then: calls reject, and it has to end.
   */
  readonly lost: AbortSignal
  /**
   * What was deleted leaves bytes behind, in pages that are not full and in the log: afterwards there are
   * none in the files of the tables. What a server keeps beside them is out of reach. For when a person is
   * to be forgotten; it takes as long as writing the whole database.
   */
  removeTraces(): Promise<void>
  /** How many bytes it takes, where that costs nothing to ask; null when it cannot be told. Never throws. */
  readonly sizeBytes?: () => number | null
  /** False when another process may have taken over already: then nothing must be told. */
  holds(): boolean
  /** Waits for the calls under way, then gives the database free. Calls after it reject. */
  close(): Promise<void>
}

export type StorageErrorKind =
  /** Another process has it open. */
  | 'locked'
  /** It is something else, and was left as it is. */
  | 'not_a_database'
  /** It was written by a newer version of Fleetwarden. */
  | 'newer_schema'
  /** No room: the disk or a quota is full. */
  | 'full'
  /** Reading or writing failed below the database. */
  | 'io'
  /** The database contradicts itself. */
  | 'corrupt'
  /** No permission to write, or a file system that is mounted read-only. */
  | 'read_only'
  /** The file or its folder, or the server's database, can't be opened or created. */
  | 'cannot_open'
  /** The server can't be reached, or ends: the next call may succeed. */
  | 'unavailable'
  | 'closed'
  /** Anything else: a value that a column refuses, a bug of ours. */
  | 'internal'

export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly kind: StorageErrorKind

  constructor(kind: StorageErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.kind = kind
  }
}
