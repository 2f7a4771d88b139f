// The tables of what people decide about alerts: silences and acknowledgements.

import type { Acknowledgement, StoredSilence } from '../alerts/silence.ts'
import {
  type Cell,
  json,
  number,
  numberOrNull,
  positions,
  type Row,
  type Table,
  text,
  textOrNull,
} from './rows.ts'

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

export const silenceTable: Table = { name: 'silence', columns: silenceColumns, keys: ['id'] }
export const acknowledgementTable: Table = {
  name: 'acknowledgement',
  columns: acknowledgementColumns,
  keys: ['fingerprint'],
}
const silenceAt = positions(silenceColumns)
const acknowledgementAt = positions(acknowledgementColumns)

export function silenceValues(silence: StoredSilence): Cell[] {
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

export function acknowledgementValues(acknowledgement: Acknowledgement): Cell[] {
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
