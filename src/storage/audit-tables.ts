// The tables of the audit trail. What the database itself refuses is in audit-schema.ts.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AuditHead, AuditRecord, AuditSubject } from '../backoffice/audit-record.ts'
import type { AuditReader, AuditStore } from '../backoffice/audit-store.ts'
import { canonicalJson } from '../backoffice/canonical-json.ts'
import type { Database } from './database.ts'
import { type Cell, json, number, positions, type Row, type Table, text, textOrNull } from './rows.ts'

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

export const auditRecordTable: Table = {
  name: 'audit_record',
  columns: auditColumns,
  keys: ['seq'],
  isGuarded: true,
}
export const auditHeadTable: Table = {
  name: 'audit_head',
  columns: ['only_row', 'seq', 'hash', 'pruned_seq'],
  keys: ['only_row'],
  // The head of a trail without records is there from the beginning.
  isUsed: 'seq > 0',
  isGuarded: true,
}
const auditAt = positions(auditColumns)

const selectHead = 'SELECT seq, hash FROM audit_head'
const selectRecords = `SELECT ${auditColumns.join(', ')} FROM audit_record WHERE seq > ? ORDER BY seq LIMIT ?`
const insertRecord = `INSERT INTO audit_record (${auditColumns.join(', ')}) VALUES (${auditColumns.map(() => '?').join(', ')})`
const setHead =
  'UPDATE audit_head SET seq = ?, hash = ?, pruned_seq = CASE WHEN pruned_seq < ? THEN ? ELSE pruned_seq END'
// A customer may be in thousands of records, and a server is some way off.
const erasedAtOnce = 100
const erase = `UPDATE audit_record SET salt = NULL, subject = NULL WHERE seq IN (${Array(erasedAtOnce).fill('?').join(', ')})`

export function createAuditStore({ read, write }: Database): AuditStore {
  return {
    ...createAuditReader((sql, ...values) =>
      read('load the audit trail', (tables) => tables.select(sql, ...values)),
    ),

    appendAudit: (record, { erasedSeqs = [], prunedSeq = 0 } = {}) =>
      write('save an audit record', async (tables) => {
        await tables.run(insertRecord, ...auditValues(record))
        await tables.run(setHead, record.seq, record.hash, prunedSeq, prunedSeq)
        for (let from = 0; from < erasedSeqs.length; from += erasedAtOnce) {
          if (from > 0) await nextTurn()
          // Always as many, so that it is one statement: what is left over is no record.
          const seqs = Array.from({ length: erasedAtOnce }, (_, at) => erasedSeqs[from + at] ?? 0)
          await tables.run(erase, ...seqs)
        }
        if (prunedSeq > 0) await tables.run('DELETE FROM audit_record WHERE seq <= ?', prunedSeq)
      }),
  }
}

/** Reads the trail wherever `select` asks. */
export function createAuditReader(
  select: (sql: string, ...values: readonly Cell[]) => Promise<readonly Row[]>,
): AuditReader {
  return {
    loadAuditHead: async () => readAuditHead((await select(selectHead))[0]),
    loadAuditRecords: async (afterSeq, limit) =>
      (await select(selectRecords, afterSeq, limit)).map(readAuditRecord),
  }
}

/** In the order of auditColumns. */
function auditValues({ actor, about, ...record }: AuditRecord): Cell[] {
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
function readAuditRecord(row: Row): AuditRecord {
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

function readAuditHead(row: Row | undefined): AuditHead {
  // Somebody took it away: the trail then ends where it never did.
  return row === undefined ? { seq: 0, hash: '' } : { seq: number(row, 0), hash: text(row, 1) }
}
