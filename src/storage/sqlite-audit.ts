// The tables of the audit trail, and reading them in a database that no service has open.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { AuditHead, AuditRecord, AuditSubject } from '../backoffice/audit-record.ts'
import type { AuditReader } from '../backoffice/audit-store.ts'
import { canonicalJson } from '../backoffice/canonical-json.ts'
import { checkOwner } from './migrations.ts'
import { storageError } from './sqlite-file.ts'
import { json, number, positions, prepareSelect, type Row, text, textOrNull } from './sqlite-rows.ts'
import { StorageError } from './storage.ts'

const auditColumns = [
  'seq',
  'at',
  'actor_kind',
  'actor_name',
  'actor_role',
  'action',
  'result',
  'salt',
  'subject',
  'commitment',
  'previous_hash',
  'hash',
] as const

const auditAt = positions(auditColumns)

export function auditReadStatements(db: DatabaseSync) {
  return {
    slice: prepareSelect(
      db,
      `SELECT ${auditColumns.join(', ')} FROM audit_record WHERE seq > ? ORDER BY seq LIMIT ?`,
    ),
    head: prepareSelect(db, 'SELECT seq, hash FROM audit_head'),
  }
}

export function auditStatements(db: DatabaseSync) {
  const places = auditColumns.map(() => '?').join(', ')
  return {
    ...auditReadStatements(db),
    insert: db.prepare(`INSERT INTO audit_record (${auditColumns.join(', ')}) VALUES (${places})`),
    setHead: db.prepare('UPDATE audit_head SET seq = ?, hash = ?, pruned_seq = max(pruned_seq, ?)'),
    erase: db.prepare('UPDATE audit_record SET salt = NULL, subject = NULL WHERE seq = ?'),
    prune: db.prepare('DELETE FROM audit_record WHERE seq <= ?'),
  }
}

/** In the order of auditColumns. */
export function auditValues({ actor, about, ...record }: AuditRecord): SQLInputValue[] {
  const { salt = null, ...subject } = about ?? {}
  return [
    record.seq,
    record.at,
    actor.kind,
    actor.name,
    actor.role,
    record.action,
    record.result,
    salt,
    salt === null ? null : canonicalJson(subject),
    record.commitment,
    record.previousHash,
    record.hash,
  ]
}

/** The words are whatever is there: that they are not ours shows in the hashes. */
export function readAuditRecord(row: Row): AuditRecord {
  return {
    seq: number(row, auditAt.seq),
    at: number(row, auditAt.at),
    actor: {
      kind: text(row, auditAt.actor_kind) as AuditRecord['actor']['kind'],
      name: text(row, auditAt.actor_name),
      role: textOrNull(row, auditAt.actor_role) as AuditRecord['actor']['role'],
    },
    action: text(row, auditAt.action),
    result: text(row, auditAt.result) as AuditRecord['result'],
    about: row[auditAt.salt] === null ? null : readSubject(row),
    commitment: text(row, auditAt.commitment),
    previousHash: text(row, auditAt.previous_hash),
    hash: text(row, auditAt.hash),
  }
}

function readSubject(row: Row): AuditSubject {
  const salt = text(row, auditAt.salt)
  try {
    const { target, detail, from } = json<Omit<AuditSubject, 'salt'>>(row, auditAt.subject)
    return { salt, target, detail, from }
  } catch {
    // As its commitment tells, this is not what was recorded.
    return { salt, target: {}, detail: { unreadable: true }, from: null }
  }
}

export function readAuditHead(row: Row | undefined): AuditHead {
  // Somebody took it away: the trail then ends where it never did.
  return row === undefined ? { seq: 0, hash: '' } : { seq: number(row, 0), hash: text(row, 1) }
}

export interface AuditFile extends AuditReader {
  close(): void
}

/**
 * The trail in the database at `path`, which no service may have open, and which stays as it is. Throws
 * StorageError `locked`, `not_a_database`, `newer_schema`, `cannot_open` or `corrupt`.
 */
export function openAuditFile(path: string): AuditFile {
  const file = resolve(path)
  if (!existsSync(file)) throw new StorageError('cannot_open', `there is no database ${file}`)
  const db = new DatabaseSync(file, { readOnly: true, defensive: true })
  const reading = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      const failure = storageError(error, `cannot read the audit trail in ${file}`)
      if (failure.kind !== 'locked') throw failure
      throw new StorageError(
        'locked',
        `the database ${file} is in use by the service: ask that one (--url or --config, without --database), ` +
          'or stop it first',
        { cause: error },
      )
    }
  }
  try {
    return reading(() => {
      checkOwner(db, file)
      const hasTrail = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'audit_record'").get()
      if (hasTrail === undefined) {
        throw new StorageError(
          'newer_schema',
          `${file} holds no audit trail: it was last opened by a Fleetwarden that kept none`,
        )
      }
      const statements = auditReadStatements(db)
      return {
        loadAuditHead: async () => reading(() => readAuditHead(statements.head.all()[0])),
        loadAuditRecords: async (after, limit) =>
          reading(() => statements.slice.all(after, limit).map(readAuditRecord)),
        close: () => db.close(),
      }
    })
  } catch (error) {
    db.close()
    throw error
  }
}
