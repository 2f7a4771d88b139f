// The tables of mail to owners: contacts by their digest, letters, outages that ended, and the key for digests.

import type { Contact, EndedOutage, Letter, OwnerStore } from '../owners/owner-store.ts'
import type { Database } from './database.ts'
import { loadAll } from './loading.ts'
import { type Cell, json, number, numberOrNull, positions, type Row, type Table, text } from './rows.ts'

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

export const letterTable: Table = { name: 'owner_letter', columns: letterColumns, keys: ['id'] }
export const contactTable: Table = { name: 'owner_contact', columns: contactColumns, keys: ['id'] }
export const outageTable: Table = { name: 'owner_outage', columns: outageColumns, keys: ['key'] }
export const ownerKeyTable: Table = {
  name: 'owner_key',
  columns: ['only_row', 'digest_key'],
  keys: ['only_row'],
}
const letterAt = positions(letterColumns)
const contactAt = positions(contactColumns)
const outageAt = positions(outageColumns)

const selectContact = `SELECT ${contactColumns.join(', ')} FROM owner_contact`
// Never the end of the mail, which somebody may have asked for a moment ago.
const noteWritten =
  'INSERT INTO owner_contact (id, digest, last_written_at) VALUES (?, ?, ?) ' +
  'ON CONFLICT (digest) DO UPDATE SET last_written_at = excluded.last_written_at'

export function createOwnerStore({ read, write }: Database): OwnerStore {
  return {
    loadLetters: () => read('load letters', (tables) => loadAll(tables, letterTable, readLetter)),

    loadEndedOutages: () =>
      read('load outages that ended', (tables) => loadAll(tables, outageTable, readOutage)),

    ownerKey: (fresh) =>
      write('make a key', async (tables) => {
        const [row] = await tables.select('SELECT digest_key FROM owner_key')
        if (row !== undefined) return text(row, 0)
        await tables.upsert(ownerKeyTable, [[1, fresh]])
        return fresh
      }),

    contactByDigest: (digest) =>
      read('find a contact', async (tables) =>
        firstContact(await tables.select(`${selectContact} WHERE digest = ?`, digest)),
      ),

    contactById: (id) =>
      read('find a contact', async (tables) =>
        firstContact(await tables.select(`${selectContact} WHERE id = ?`, id)),
      ),

    countContacts: () =>
      read('count contacts', async (tables) => {
        const [row = []] = await tables.select(
          'SELECT CAST(count(*) AS INTEGER), CAST(count(unsubscribed_at) AS INTEGER) FROM owner_contact',
        )
        const unsubscribed = number(row, 1)
        return { subscribed: number(row, 0) - unsubscribed, unsubscribed }
      }),

    saveOwners: ({ letters = [], endedLetters = [], written, outages = [], endedOutages = [] }) =>
      write('save what owners were told', async (tables) => {
        await tables.remove(
          letterTable,
          endedLetters.map((id) => [id]),
        )
        await tables.upsert(letterTable, letters.map(letterValues))
        await tables.remove(
          outageTable,
          endedOutages.map((key) => [key]),
        )
        await tables.upsert(outageTable, outages.map(outageValues))
        if (written !== undefined) {
          await tables.run(noteWritten, written.id, written.digest, written.lastWrittenAt)
        }
      }),

    saveUnsubscribed: (id, at) =>
      write('save the end of mail', async (tables) => {
        const changed = await tables.select(
          'UPDATE owner_contact SET unsubscribed_at = coalesce(unsubscribed_at, ?) WHERE id = ? RETURNING id',
          at,
          id,
        )
        return changed.length > 0
      }),

    pruneContacts: (before) =>
      write('prune contacts', (tables) =>
        tables.run('DELETE FROM owner_contact WHERE unsubscribed_at IS NULL AND last_written_at < ?', before),
      ),
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
function letterValues(letter: Letter): Cell[] {
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

function outageValues({ key, labels, endedAt }: EndedOutage): Cell[] {
  return [key, JSON.stringify(labels), endedAt]
}

function readOutage(row: Row): EndedOutage {
  return {
    key: text(row, outageAt.key),
    labels: json<EndedOutage['labels']>(row, outageAt.labels),
    endedAt: number(row, outageAt.ended_at),
  }
}
