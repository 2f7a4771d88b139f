// The tables of mail to owners: contacts by their digest, letters, outages that ended, and the key for digests.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Contact, ContactCounts, EndedOutage, Letter, OwnerChanges } from '../owners/owner-store.ts'
import {
  json,
  number,
  numberOrNull,
  positions,
  prepareSelect,
  prepareUpsert,
  type Row,
  text,
} from './sqlite-rows.ts'

const letterColumns = [
  'id',
  'user_id',
  'receiver',
  'about',
  'decided_at',
  'attempts',
  'attempted_at',
  'next_attempt_at',
  'sent_at',
  'is_refused',
] as const
const contactColumns = ['id', 'digest', 'last_written_at', 'unsubscribed_at'] as const
const outageColumns = ['key', 'labels', 'ended_at'] as const

const letterAt = positions(letterColumns)
const contactAt = positions(contactColumns)
const outageAt = positions(outageColumns)

export function ownerTables(db: DatabaseSync) {
  const letters = prepareSelect(db, `SELECT ${letterColumns.join(', ')} FROM owner_letter`)
  const outages = prepareSelect(db, `SELECT ${outageColumns.join(', ')} FROM owner_outage`)
  const key = prepareSelect(db, 'SELECT digest_key FROM owner_key')
  const setKey = db.prepare('INSERT INTO owner_key (only_row, digest_key) VALUES (1, ?)')
  const contacts = `SELECT ${contactColumns.join(', ')} FROM owner_contact`
  const byDigest = prepareSelect(db, `${contacts} WHERE digest = ?`)
  const byId = prepareSelect(db, `${contacts} WHERE id = ?`)
  const count = prepareSelect(db, 'SELECT count(*), count(unsubscribed_at) FROM owner_contact')
  const upsertLetter = prepareUpsert(db, 'owner_letter', ['id'], letterColumns)
  const removeLetter = db.prepare('DELETE FROM owner_letter WHERE id = ?')
  const upsertOutage = prepareUpsert(db, 'owner_outage', ['key'], outageColumns)
  const removeOutage = db.prepare('DELETE FROM owner_outage WHERE key = ?')
  // Never the end of the mail, which somebody may have asked for a moment ago.
  const written = db.prepare(
    'INSERT INTO owner_contact (id, digest, last_written_at) VALUES (?, ?, ?) ' +
      'ON CONFLICT (digest) DO UPDATE SET last_written_at = excluded.last_written_at',
  )
  const unsubscribed = db.prepare(
    'UPDATE owner_contact SET unsubscribed_at = coalesce(unsubscribed_at, ?) WHERE id = ?',
  )
  const prune = db.prepare('DELETE FROM owner_contact WHERE unsubscribed_at IS NULL AND last_written_at < ?')

  return {
    letters: (): readonly Letter[] => letters.all().map(readLetter),
    outages: (): readonly EndedOutage[] => outages.all().map(readOutage),
    key(fresh: string): string {
      const [row] = key.all()
      if (row !== undefined) return text(row, 0)
      setKey.run(fresh)
      return fresh
    },
    contactByDigest: (digest: string) => firstContact(byDigest.all(digest)),
    contactById: (id: string) => firstContact(byId.all(id)),
    counts(): ContactCounts {
      const [row = []] = count.all()
      const unsubscribedCount = number(row, 1)
      return { subscribed: number(row, 0) - unsubscribedCount, unsubscribed: unsubscribedCount }
    },
    save(changes: OwnerChanges): void {
      for (const id of changes.endedLetters ?? []) removeLetter.run(id)
      for (const letter of changes.letters ?? []) upsertLetter.run(...letterValues(letter))
      for (const outageKey of changes.endedOutages ?? []) removeOutage.run(outageKey)
      for (const { key: outageKey, labels, endedAt } of changes.outages ?? [])
        upsertOutage.run(outageKey, JSON.stringify(labels), endedAt)
      if (changes.written !== undefined) {
        const { id, digest, lastWrittenAt } = changes.written
        written.run(id, digest, lastWrittenAt)
      }
    },
    unsubscribe: (id: string, at: number): boolean => Number(unsubscribed.run(at, id).changes) > 0,
    prune: (before: number): void => void prune.run(before),
  }
}

function firstContact(rows: readonly Row[]): Contact | null {
  const [row] = rows
  if (row === undefined) return null
  return {
    id: text(row, contactAt.id),
    digest: text(row, contactAt.digest),
    lastWrittenAt: number(row, contactAt.last_written_at),
    unsubscribedAt: numberOrNull(row, contactAt.unsubscribed_at),
  }
}

/** In the order of letterColumns. */
function letterValues(letter: Letter): SQLInputValue[] {
  return [
    letter.id,
    letter.userId,
    letter.receiver,
    JSON.stringify(letter.about),
    letter.decidedAt,
    letter.attempts,
    letter.attemptedAt,
    letter.nextAttemptAt,
    letter.sentAt,
    letter.isRefused ? 1 : 0,
  ]
}

function readLetter(row: Row): Letter {
  return {
    id: text(row, letterAt.id),
    userId: text(row, letterAt.user_id),
    receiver: text(row, letterAt.receiver),
    about: json<Letter['about']>(row, letterAt.about),
    decidedAt: number(row, letterAt.decided_at),
    attempts: number(row, letterAt.attempts),
    attemptedAt: number(row, letterAt.attempted_at),
    nextAttemptAt: number(row, letterAt.next_attempt_at),
    sentAt: numberOrNull(row, letterAt.sent_at),
    isRefused: number(row, letterAt.is_refused) === 1,
  }
}

function readOutage(row: Row): EndedOutage {
  return {
    key: text(row, outageAt.key),
    labels: json<EndedOutage['labels']>(row, outageAt.labels),
    endedAt: number(row, outageAt.ended_at),
  }
}
