// The schema in PostgreSQL, as the steps that lead to it; see migrations.ts for the rules. Everything
// is in a schema of its own, so that a database can be shared, and the number of steps taken is in a
// table there. The steps are PostgreSQL's own: what SQLite's led through never existed here.
//
// Instants are DOUBLE PRECISION, JavaScript's numbers. Keys are held unique by hash indexes: a B-tree
// refuses texts of more than 2.7 kB, and a group's key holds whatever a label does.

import { postgresAuditSchema } from './audit-schema.ts'
import { StorageError } from './storage.ts'

const steps: readonly string[] = [
  `
  CREATE TABLE alert (
    key TEXT NOT NULL,
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
    active_at DOUBLE PRECISION NOT NULL,
    fired_at DOUBLE PRECISION,
    keep_firing_since DOUBLE PRECISION,
    resolved_at DOUBLE PRECISION,
    resolved_reason TEXT,
    no_data TEXT,
    deleted_seen INTEGER NOT NULL,
    evaluated_at DOUBLE PRECISION NOT NULL,
    settled INTEGER NOT NULL,
    flips TEXT NOT NULL,
    flapping_since DOUBLE PRECISION,
    reconnected_at DOUBLE PRECISION,
    EXCLUDE USING hash (key WITH =)
  );

  CREATE TABLE group_timer (
    group_key TEXT NOT NULL,
    next_flush_at DOUBLE PRECISION NOT NULL,
    flushed INTEGER NOT NULL,
    EXCLUDE USING hash (group_key WITH =)
  );

  CREATE TABLE dedup_entry (
    group_key TEXT NOT NULL,
    integration_key TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    firing TEXT NOT NULL,
    resolved TEXT NOT NULL,
    silenced TEXT NOT NULL,
    receiver_data TEXT,
    EXCLUDE USING hash ((integration_key || E'\\n' || group_key) WITH =)
  );
  CREATE INDEX dedup_entry_of_group ON dedup_entry USING hash (group_key);

  CREATE TABLE outbox (
    group_key TEXT NOT NULL,
    integration_key TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    reason TEXT NOT NULL,
    first_decided_at DOUBLE PRECISION NOT NULL,
    firing TEXT NOT NULL,
    resolved TEXT NOT NULL,
    delivered TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at DOUBLE PRECISION NOT NULL,
    receiver_data TEXT,
    EXCLUDE USING hash ((integration_key || E'\\n' || group_key) WITH =)
  );
  CREATE INDEX outbox_of_group ON outbox USING hash (group_key);

  CREATE TABLE owner (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    term INTEGER NOT NULL
  );
  INSERT INTO owner VALUES (1, 0);

  CREATE TABLE walk_state (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    state TEXT NOT NULL
  );

  CREATE TABLE silence (
    id TEXT NOT NULL,
    matchers TEXT NOT NULL,
    starts_at DOUBLE PRECISION NOT NULL,
    ends_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    created_by TEXT NOT NULL,
    comment TEXT NOT NULL,
    annotations TEXT NOT NULL,
    expiry TEXT,
    reminded_at DOUBLE PRECISION,
    last_matched_at DOUBLE PRECISION,
    unmatched_since DOUBLE PRECISION,
    EXCLUDE USING hash (id WITH =)
  );

  CREATE TABLE acknowledgement (
    fingerprint TEXT NOT NULL,
    episode TEXT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    until DOUBLE PRECISION,
    EXCLUDE USING hash (fingerprint WITH =)
  );

  CREATE TABLE link (
    episode TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    alertname TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_type TEXT NOT NULL,
    device_id TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    given_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    resolved_at DOUBLE PRECISION,
    resolved_reason TEXT,
    started_at DOUBLE PRECISION,
    returned_at DOUBLE PRECISION,
    cancelled_at DOUBLE PRECISION,
    checked_at DOUBLE PRECISION,
    still_wrong TEXT,
    verified_after_ms DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION,
    EXCLUDE USING hash (episode WITH =)
  );

  CREATE TABLE owner_key (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    digest_key TEXT NOT NULL
  );

  -- Ids and digests are short, and ON CONFLICT needs an index of this kind.
  CREATE TABLE owner_contact (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    last_written_at DOUBLE PRECISION NOT NULL,
    unsubscribed_at DOUBLE PRECISION
  );

  CREATE TABLE owner_letter (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    about TEXT NOT NULL,
    decided_at DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    attempted_at DOUBLE PRECISION NOT NULL,
    next_attempt_at DOUBLE PRECISION NOT NULL,
    sent_at DOUBLE PRECISION,
    is_refused INTEGER NOT NULL,
    EXCLUDE USING hash (id WITH =)
  );

  CREATE TABLE owner_outage (
    key TEXT NOT NULL,
    labels TEXT NOT NULL,
    ended_at DOUBLE PRECISION NOT NULL,
    EXCLUDE USING hash (key WITH =)
  );

  CREATE TABLE user_migration (
    external_id TEXT NOT NULL,
    user_id TEXT,
    step TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    state TEXT NOT NULL,
    EXCLUDE USING hash (external_id WITH =)
  );
  `,
  postgresAuditSchema,
  `
  CREATE TABLE history (
    fingerprint TEXT NOT NULL,
    episode TEXT NOT NULL,
    what TEXT NOT NULL,
    user_id TEXT,
    first_at DOUBLE PRECISION NOT NULL,
    last_at DOUBLE PRECISION NOT NULL,
    times INTEGER NOT NULL,
    EXCLUDE USING hash ((fingerprint || E'\\n' || episode || E'\\n' || what) WITH =)
  );
  CREATE INDEX history_of_alert ON history USING hash (fingerprint);
  `,
  // What replicas share: see postgres-replicas.ts.
  `
  ALTER TABLE owner ADD COLUMN url TEXT;

  CREATE TABLE slot (
    walk_id TEXT NOT NULL,
    slot INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    work BYTEA NOT NULL,
    findings BYTEA,
    offered_at TIMESTAMPTZ NOT NULL,
    touched_at TIMESTAMPTZ,
    PRIMARY KEY (walk_id, slot)
  );

  CREATE TABLE pace (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    due_at DOUBLE PRECISION NOT NULL
  );
  INSERT INTO pace VALUES (1, 0);
  `,
]

export const schemaName = 'fleetwarden'
// What the schema is known to be ours by.
const mark = 'State of Fleetwarden'

/** One statement or several; the rows of the last one. */
type Query = (sql: string) => Promise<readonly (readonly unknown[])[]>

/** Whether there is a schema of ours; rejects with StorageError `not_a_database` when it is somebody else's. */
export async function isThere(query: Query, name: string): Promise<boolean> {
  const [found] = await query(
    `SELECT obj_description(oid, 'pg_namespace'), EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = pg_namespace.oid)
     FROM pg_namespace WHERE nspname = '${schemaName}'`,
  )
  if (found === undefined) return false
  const [comment, isUsed] = found
  if (comment === mark) return true
  // One that was made for us, by somebody who may make schemas.
  if (isUsed === false) return false
  throw new StorageError(
    'not_a_database',
    `${name} has a schema "${schemaName}" of another application, which was left as it is: name another ` +
      'database in storage.url',
  )
}

/**
 * Takes the steps that the database has not taken yet, all of them or none, while nobody else does.
 * Rejects with StorageError `not_a_database` or `newer_schema` before anything is written.
 */
export async function migrate(query: Query, name: string): Promise<void> {
  await query('BEGIN ISOLATION LEVEL READ COMMITTED')
  await query(`SELECT pg_advisory_xact_lock(${lockClass}, ${lockOf.migration})`)
  if (!(await isThere(query, name))) {
    await query(`
      CREATE SCHEMA IF NOT EXISTS ${schemaName};
      COMMENT ON SCHEMA ${schemaName} IS '${mark}';
      CREATE TABLE schema_version (
        only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
        version INTEGER NOT NULL
      );
      INSERT INTO schema_version VALUES (1, 0);
    `)
  }
  const version = await schemaVersion(query, name)
  for (const step of steps.slice(version)) await query(step)
  if (version < steps.length) {
    await query(withoutStatistics)
    await query(`UPDATE schema_version SET version = ${steps.length}`)
  }
  await query('COMMIT')
}

// ANALYZE keeps some of the values that it saw, where no VACUUM of ours reaches (storage.ts, removeTraces).
// A session plans without them (postgres-session.ts).
const withoutStatistics = `
  DO $$
  DECLARE col RECORD;
  BEGIN
    FOR col IN
      SELECT rel.oid::regclass AS of, relkind, attname, attnum
      FROM pg_class AS rel
      JOIN pg_attribute ON attrelid = rel.oid
      LEFT JOIN pg_index ON indexrelid = rel.oid
      WHERE relnamespace = '${schemaName}'::regnamespace AND attnum > 0 AND NOT attisdropped
        AND attstattarget IS DISTINCT FROM 0 AND (relkind = 'r' OR indkey[attnum - 1] = 0)
    LOOP
      IF col.relkind = 'r' THEN
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', col.of, col.attname);
      ELSE
        EXECUTE format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS 0', col.of, col.attnum);
      END IF;
    END LOOP;
  END $$;
`
/** `old`: not there, or to be brought up to date by whoever holds the lock. Rejects as migrate does. */
export async function schemaState(query: Query, name: string): Promise<'present' | 'old'> {
  if (!(await isThere(query, name))) return 'old'
  return (await schemaVersion(query, name)) === steps.length ? 'present' : 'old'
}

async function schemaVersion(query: Query, name: string): Promise<number> {
  const [row] = await query(`SELECT version FROM ${schemaName}.schema_version`)
  const version = Number(row?.[0])
  if (version <= steps.length) return version
  throw new StorageError(
    'newer_schema',
    `${name} was written by a newer Fleetwarden (schema ${version}, this one knows ${steps.length}): ` +
      'start that version again, or name another database in storage.url',
  )
}

/** Advisory locks are numbers that all applications of a database share: "FLWD", and which of ours. */
export const lockClass = 0x46_4c_57_44
export const lockOf = { migration: 1, owner: 2 } as const
