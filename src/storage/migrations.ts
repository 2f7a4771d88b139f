// The schema of the embedded database, as the steps that lead to it. A step that was released is
// never edited: a change is a new step at the end. The number of steps taken is kept in the
// file's user_version, so that an older Fleetwarden refuses what a newer one has written.
//
// Instants are REAL: JavaScript's numbers come back exactly as they went in, fractions included
// (a clock that runs faster than time makes some), where a STRICT table's INTEGER refuses 1.5.

import type { DatabaseSync } from 'node:sqlite'
import { auditSchema } from './audit-schema.ts'
import { StorageError } from './storage.ts'

const steps: readonly string[] = [
  `
  CREATE TABLE alert (
    key TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    definition TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    user_id TEXT,
    device_type TEXT,
    device_id TEXT,
    fleet_group TEXT,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    affected TEXT NOT NULL,
    state TEXT NOT NULL,
    episode TEXT NOT NULL,
    active_at REAL NOT NULL,
    fired_at REAL,
    keep_firing_since REAL,
    resolved_at REAL,
    resolved_reason TEXT,
    no_data TEXT,
    deleted_seen INTEGER NOT NULL,
    evaluated_at REAL NOT NULL,
    settled INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE group_timer (
    group_key TEXT NOT NULL PRIMARY KEY,
    next_flush_at REAL NOT NULL,
    flushed INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE dedup_entry (
    group_key TEXT NOT NULL,
    integration_key TEXT NOT NULL,
    at REAL NOT NULL,
    firing TEXT NOT NULL,
    resolved TEXT NOT NULL,
    PRIMARY KEY (group_key, integration_key)
  ) STRICT;

  CREATE TABLE outbox (
    group_key TEXT NOT NULL,
    integration_key TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    first_decided_at REAL NOT NULL,
    firing TEXT NOT NULL,
    resolved TEXT NOT NULL,
    delivered TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at REAL NOT NULL,
    PRIMARY KEY (group_key, integration_key)
  ) STRICT;

  CREATE TABLE walk_state (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    state TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE silence (
    id TEXT NOT NULL PRIMARY KEY,
    matchers TEXT NOT NULL,
    starts_at REAL NOT NULL,
    ends_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    comment TEXT NOT NULL,
    annotations TEXT NOT NULL,
    expiry TEXT,
    reminded_at REAL,
    last_matched_at REAL,
    unmatched_since REAL
  ) STRICT;

  CREATE TABLE acknowledgement (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    episode TEXT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    at REAL NOT NULL,
    until REAL
  ) STRICT;

  ALTER TABLE dedup_entry ADD COLUMN receiver_data TEXT;
  ALTER TABLE dedup_entry ADD COLUMN silenced TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE outbox ADD COLUMN receiver_data TEXT;
  `,
  `
  ALTER TABLE alert ADD COLUMN flips TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE alert ADD COLUMN flapping_since REAL;
  `,
  `
  ALTER TABLE alert ADD COLUMN reconnected_at REAL;

  CREATE TABLE link (
    episode TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    alertname TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_type TEXT NOT NULL,
    device_id TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    since REAL NOT NULL,
    given_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    resolved_at REAL,
    resolved_reason TEXT,
    started_at REAL,
    returned_at REAL,
    cancelled_at REAL,
    checked_at REAL,
    still_wrong TEXT,
    verified_after_ms REAL,
    revoked_at REAL
  ) STRICT;
  `,
  `
  CREATE TABLE owner_key (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    digest_key TEXT NOT NULL
  ) STRICT;

  CREATE TABLE owner_contact (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    last_written_at REAL NOT NULL,
    unsubscribed_at REAL
  ) STRICT;

  CREATE TABLE owner_letter (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    about TEXT NOT NULL,
    decided_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    attempted_at REAL NOT NULL,
    next_attempt_at REAL NOT NULL,
    sent_at REAL,
    is_refused INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE owner_outage (
    key TEXT NOT NULL PRIMARY KEY,
    labels TEXT NOT NULL,
    ended_at REAL NOT NULL
  ) STRICT;
  `,
  auditSchema,
  `
  CREATE TABLE user_migration (
    external_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT,
    step TEXT NOT NULL,
    since REAL NOT NULL,
    state TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE history (
    fingerprint TEXT NOT NULL,
    episode TEXT NOT NULL,
    what TEXT NOT NULL,
    user_id TEXT,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, episode, what)
  ) STRICT, WITHOUT ROWID;
  `,
]

// "FLWD": what `file` and the check below know our databases by.
const applicationId = 0x46_4c_57_44

/**
 * Refuses a database of another application, or of a newer version of this one, before anything
 * is written to it. Throws StorageError `not_a_database` or `newer_schema`.
 */
export function checkOwner(db: DatabaseSync, path: string): void {
  const owner = pragma(db, 'application_id')
  const version = pragma(db, 'user_version')
  const isEmpty = db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined
  if (owner !== applicationId && !(isEmpty && owner === 0)) {
    throw new StorageError(
      'not_a_database',
      `${path} is a database of another application and was left as it is: ` +
        'name another file in storage.url, or move this one away',
    )
  }
  if (version > steps.length) {
    throw new StorageError(
      'newer_schema',
      `${path} was written by a newer Fleetwarden (schema ${version}, this one knows ${steps.length}): ` +
        'start that version again, or name another file in storage.url',
    )
  }
}

/** Marks a new file as ours, before the first table: so that no moment leaves tables unmarked. */
export function markOwner(db: DatabaseSync): void {
  if (pragma(db, 'application_id') !== applicationId) db.exec(`PRAGMA application_id = ${applicationId}`)
}

/** Takes the steps that the database has not taken yet, all of them or none. */
export function migrate(db: DatabaseSync): void {
  // Even with nothing to do: it takes the write lock, which exclusive locking then keeps.
  db.exec('BEGIN IMMEDIATE')
  try {
    const missing = steps.slice(pragma(db, 'user_version'))
    for (const step of missing) db.exec(step)
    if (missing.length > 0) db.exec(`PRAGMA user_version = ${steps.length}`)
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

function pragma(db: DatabaseSync, name: 'application_id' | 'user_version'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
}
