// The table of what happened to alerts. One row for each kind of event of an episode: what happens again
// counts in its row.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { HistoryChange, HistoryRecord, HistoryWhat } from '../alerts/history.ts'
import { json, number, positions, prepareSelect, type Row, text } from './sqlite-rows.ts'

export const historySchema = `
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
  `

const columns = ['episode', 'what', 'first_at', 'last_at', 'times'] as const
const at = positions(columns)

export function historyStatements(db: DatabaseSync) {
  return {
    of: prepareSelect(
      db,
      `SELECT ${columns.join(', ')} FROM history WHERE fingerprint = ? ORDER BY first_at, last_at, what`,
    ),
    add: db.prepare(
      'INSERT INTO history (fingerprint, episode, what, user_id, first_at, last_at, times) ' +
        'VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (fingerprint, episode, what) DO UPDATE SET ' +
        'last_at = max(last_at, excluded.last_at), times = times + 1',
    ),
    remove: db.prepare('DELETE FROM history WHERE fingerprint = ? AND last_at < ?'),
    // Both are rare, so they look at every row: an index would cost each of them.
    count: prepareSelect(db, 'SELECT count(*) FROM history WHERE user_id = ?'),
    forget: db.prepare('DELETE FROM history WHERE user_id = ?'),
  }
}

/** As `add` takes them. */
export function historyValues({
  fingerprint,
  episode,
  what,
  userId,
  at: happenedAt,
}: Extract<HistoryChange, { kind: 'add' }>): SQLInputValue[] {
  return [fingerprint, episode, written(what), userId, happenedAt, happenedAt]
}

export function readHistory(row: Row): HistoryRecord {
  return {
    episode: text(row, at.episode),
    what: json<HistoryWhat>(row, at.what),
    firstAt: number(row, at.first_at),
    lastAt: number(row, at.last_at),
    times: number(row, at.times),
  }
}

export function readCount(rows: readonly Row[]): number {
  return number(rows[0] ?? [], 0)
}

/** In one order of keys: it is what tells one kind of event from another. */
function written(what: HistoryWhat): string {
  if (what.kind === 'state') {
    const { kind, state, reason } = what
    return JSON.stringify({ kind, state, reason })
  }
  const { kind, status, reason, receiver, integration } = what
  return JSON.stringify({ kind, status, reason, receiver, integration })
}
