// The tables of what people decide about alerts: silences and acknowledgements.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Acknowledgement, StoredSilence } from '../alerts/silence.ts'
import {
  json,
  number,
  numberOrNull,
  positions,
  prepareSelect,
  prepareUpsert,
  type Row,
  text,
  textOrNull,
} from './sqlite-rows.ts'

const silenceColumns = [
  'id',
  'matchers',
  'starts_at',
  'ends_at',
  'updated_at',
  'created_by',
  'comment',
  'annotations',
  'expiry',
  'reminded_at',
  'last_matched_at',
  'unmatched_since',
] as const
const acknowledgementColumns = ['fingerprint', 'episode', 'author', 'comment', 'at', 'until'] as const

const silenceAt = positions(silenceColumns)
const acknowledgementAt = positions(acknowledgementColumns)

export function silenceStatements(db: DatabaseSync) {
  return {
    silences: prepareSelect(db, `SELECT ${silenceColumns.join(', ')} FROM silence`),
    upsertSilence: prepareUpsert(db, 'silence', ['id'], silenceColumns),
    removeSilence: db.prepare('DELETE FROM silence WHERE id = ?'),
    acknowledgements: prepareSelect(db, `SELECT ${acknowledgementColumns.join(', ')} FROM acknowledgement`),
    upsertAcknowledgement: prepareUpsert(db, 'acknowledgement', ['fingerprint'], acknowledgementColumns),
    removeAcknowledgement: db.prepare('DELETE FROM acknowledgement WHERE fingerprint = ?'),
  }
}

/** In the order of silenceColumns. */
export function silenceValues(silence: StoredSilence): SQLInputValue[] {
  return [
    silence.id,
    JSON.stringify(silence.matchers.map(({ name, operator, value }) => ({ name, operator, value }))),
    silence.startsAt,
    silence.endsAt,
    silence.updatedAt,
    silence.createdBy,
    silence.comment,
    JSON.stringify(silence.annotations),
    silence.expiry === null ? null : JSON.stringify(silence.expiry),
    silence.remindedAt,
    silence.lastMatchedAt,
    silence.unmatchedSince,
  ]
}

export function silenceIdOf(row: Row): unknown {
  return row[silenceAt.id]
}

export function readSilence(row: Row): StoredSilence {
  const expiry = textOrNull(row, silenceAt.expiry)
  return {
    id: text(row, silenceAt.id),
    matchers: json<StoredSilence['matchers']>(row, silenceAt.matchers),
    startsAt: number(row, silenceAt.starts_at),
    endsAt: number(row, silenceAt.ends_at),
    updatedAt: number(row, silenceAt.updated_at),
    createdBy: text(row, silenceAt.created_by),
    comment: text(row, silenceAt.comment),
    annotations: json<StoredSilence['annotations']>(row, silenceAt.annotations),
    expiry: expiry === null ? null : json<NonNullable<StoredSilence['expiry']>>(row, silenceAt.expiry),
    remindedAt: numberOrNull(row, silenceAt.reminded_at),
    lastMatchedAt: numberOrNull(row, silenceAt.last_matched_at),
    unmatchedSince: numberOrNull(row, silenceAt.unmatched_since),
  }
}

/** In the order of acknowledgementColumns. */
export function acknowledgementValues(acknowledgement: Acknowledgement): SQLInputValue[] {
  const { fingerprint, episode, by, comment, at, until } = acknowledgement
  return [fingerprint, episode, by, comment, at, until]
}

export function readAcknowledgement(row: Row): Acknowledgement {
  return {
    fingerprint: text(row, acknowledgementAt.fingerprint),
    episode: text(row, acknowledgementAt.episode),
    by: text(row, acknowledgementAt.author),
    comment: text(row, acknowledgementAt.comment),
    at: number(row, acknowledgementAt.at),
    until: numberOrNull(row, acknowledgementAt.until),
  }
}
