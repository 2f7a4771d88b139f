// Storage in one file through node:sqlite: no server, one process.
//
// node:sqlite blocks while it works, about 10 microseconds a row. So that a storm of alerts does not hold
// up everything else, big saves and loads yield between slices; and since a transaction then spans
// several turns of the event loop, calls queue up: none may write into another's transaction.
// sqlite-file.ts opens the file; sqlite-tables.ts, sqlite-silences.ts and sqlite-links.ts know the tables.

import { resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Alert } from '../alerts/alert.ts'
import type { StoredSilence } from '../alerts/silence.ts'
import type { AlertChanges } from '../alerts/store.ts'
import type { MigrationState } from '../backoffice/migration.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { LinkRecord } from '../links/link-store.ts'
import type { Logger } from '../logger.ts'
import { auditStatements, auditValues, readAuditHead, readAuditRecord } from './sqlite-audit.ts'
import { openFile, storageError } from './sqlite-file.ts'
import { historyStatements, historyValues, readCount, readHistory } from './sqlite-history.ts'
import { linkEpisodeOf, linkStatements, linkValues, readLink } from './sqlite-links.ts'
import { ownerTables } from './sqlite-owners.ts'
import type { Row } from './sqlite-rows.ts'
import {
  acknowledgementValues,
  readAcknowledgement,
  readSilence,
  silenceIdOf,
  silenceStatements,
  silenceValues,
} from './sqlite-silences.ts'
import {
  alertKeyOf,
  alertStatements,
  alertValues,
  createAlertReader,
  entryValues,
  messageValues,
  notifyStatements,
  readEntry,
  readMessage,
  readTimer,
  readWalkState,
  rowIdOf,
  walkStatements,
} from './sqlite-tables.ts'
import {
  externalIdOf,
  readUserMigration,
  userMigrationStatements,
  userMigrationValues,
} from './sqlite-user-migrations.ts'
import { type Storage, StorageError } from './storage.ts'

export interface SqliteOptions {
  /** The file; its folder is created. Relative to the working directory. */
  readonly path: string
  /** How long to wait for another process to let the file go, as at a restart (ms); 2,000 unless told. */
  readonly lockTimeoutMs?: number
  /** Names the copy of a damaged file. */
  readonly clock?: Clock
  /** Told of rows that could not be read. */
  readonly logger?: Logger
  /** The file never grows beyond this many bytes: writes then fail as on a full disk. */
  readonly maximumBytes?: number
}

// Rows between two yields: about 5 ms of work.
const sliceRows = 500

/**
 * Opens the database, or creates it. Rejects with StorageError: `locked` (another process has
 * it), `not_a_database`, `newer_schema`, `read_only`, `cannot_open`, `io`, `full`. A damaged one is
 * moved aside: see `recovered`.
 */
export async function openSqlite(options: SqliteOptions): Promise<Storage> {
  const path = resolve(options.path)
  const { db, recovered } = await openFile(path, {
    lockTimeoutMs: options.lockTimeoutMs ?? 2_000,
    clock: options.clock ?? systemClock,
  })
  if (options.maximumBytes !== undefined) limitSize(db, options.maximumBytes)
  const serially = createQueue()
  const alerts = alertStatements(db)
  const notify = notifyStatements(db)
  const silence = silenceStatements(db)
  const history = historyStatements(db)
  const link = linkStatements(db)
  const walk = walkStatements(db)
  const owners = ownerTables(db)
  const audit = auditStatements(db)
  const size = db.prepare(
    'SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()',
  )

  function sizeBytes(): number | null {
    try {
      return Number(size.get()?.['bytes'])
    } catch {
      // Closed, or a disk that fails: saves tell of that, and a scrape must not fail with it.
      return null
    }
  }
  const userMigration = userMigrationStatements(db)

  /** Runs `work` when its turn has come; whatever fails comes out as a StorageError. */
  function call<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    return serially(async () => {
      if (!db.isOpen) throw new StorageError('closed', `cannot ${what}: the database is closed`)
      try {
        return await work()
      } catch (error) {
        throw storageError(error, `cannot ${what} in ${path}`)
      }
    })
  }

  function write(what: string, work: () => void | Promise<void>): Promise<void> {
    return call(what, () => transaction(db, work))
  }

  return {
    recovered,
    sizeBytes,

    loadAlerts: () =>
      call('load alerts', async () => {
        const loaded: Alert[] = []
        const read = createAlertReader()
        // By row id in slices: half the time of an iterator, and no cursor stays open over a turn.
        for (let rows = alerts.slice.all(-1, sliceRows); rows.length > 0; ) {
          for (const row of rows) {
            const alert = readOrSkip(row, read, (error) =>
              options.logger?.error(
                { error, key: alertKeyOf(row) },
                'A stored alert could not be read and is left out',
              ),
            )
            if (alert !== null) loaded.push(alert)
          }
          await nextTurn()
          rows = alerts.slice.all(rowIdOf(rows.at(-1) ?? []), sliceRows)
        }
        return loaded
      }),

    saveAlerts: ({ upserts, deletedKeys }: AlertChanges) =>
      write('save alerts', async () => {
        await inSlices(deletedKeys, (key) => alerts.remove.run(key))
        await inSlices(upserts, (alert) => alerts.upsert.run(...alertValues(alert)))
      }),

    loadGroupTimers: () => call('load group timers', () => notify.timers.all().map(readTimer)),

    loadDedupEntries: () => call('load what was told', () => notify.entries.all().map(readEntry)),

    loadOutbox: () => call('load the outbox', () => notify.messages.all().map(readMessage)),

    saveFlush: (...flushes) =>
      write('save a flush', () => {
        for (const { timer, outbox, remembered, dropped } of flushes) {
          notify.upsertTimer.run(timer.groupKey, timer.nextFlushAt, timer.flushed ? 1 : 0)
          // First what goes: a message that was decided now stays.
          for (const row of dropped) notify.removeMessage.run(row.groupKey, row.integrationKey)
          for (const row of outbox) notify.upsertMessage.run(...messageValues(row))
          for (const entry of remembered) notify.upsertEntry.run(...entryValues(entry))
        }
      }),

    saveAttempt: (row) =>
      write('save an attempt', () => {
        const values = messageValues(row)
        notify.updateMessage.run(...values.slice(3), ...values.slice(0, 3))
      }),

    saveDelivered: (entry) =>
      write('save a delivery', () => {
        notify.removeMessageOf.run(entry.groupKey, entry.integrationKey, entry.at)
        notify.upsertEntry.run(...entryValues(entry))
      }),

    dropOutboxRow: (row) =>
      write('drop a message', () => {
        notify.removeMessageOf.run(row.groupKey, row.integrationKey, row.at)
      }),

    deleteGroup: (groupKey) =>
      write('delete a group', () => {
        notify.removeTimer.run(groupKey)
        notify.removeEntries.run(groupKey)
      }),

    loadSilences: () =>
      call('load silences', async () => {
        const loaded: StoredSilence[] = []
        await inSlices(silence.silences.all(), (row) => {
          const read = readOrSkip(row, readSilence, (error) =>
            options.logger?.error(
              { error, id: silenceIdOf(row) },
              'A stored silence could not be read and is left out',
            ),
          )
          if (read !== null) loaded.push(read)
        })
        return loaded
      }),

    saveSilences: ({ upserts, deletedIds }) =>
      write('save silences', async () => {
        await inSlices(deletedIds, (id) => silence.removeSilence.run(id))
        await inSlices(upserts, (one) => silence.upsertSilence.run(...silenceValues(one)))
      }),

    loadAcknowledgements: () =>
      call('load acknowledgements', () => silence.acknowledgements.all().map(readAcknowledgement)),

    saveAcknowledgements: ({ upserts, deletedFingerprints }) =>
      write('save acknowledgements', async () => {
        await inSlices(deletedFingerprints, (print) => silence.removeAcknowledgement.run(print))
        await inSlices(upserts, (one) => silence.upsertAcknowledgement.run(...acknowledgementValues(one)))
      }),

    saveHistory: (changes) =>
      write('save the history of alerts', () =>
        inSlices(changes, (change) => {
          if (change.kind === 'add') history.add.run(...historyValues(change))
          else history.remove.run(change.fingerprint, change.before)
        }),
      ),

    loadHistory: (fingerprint) =>
      call('load the history of an alert', () => history.of.all(fingerprint).map(readHistory)),

    countHistory: (userId) => call('count the history of a user', () => readCount(history.count.all(userId))),

    forgetHistory: (userId) =>
      call('forget the history of a user', () => Number(history.forget.run(userId).changes)),

    loadLinks: () =>
      call('load links', async () => {
        const loaded: LinkRecord[] = []
        await inSlices(link.links.all(), (row) => {
          const read = readOrSkip(row, readLink, (error) =>
            options.logger?.error(
              { error, episode: linkEpisodeOf(row) },
              'A stored link could not be read: it leads nowhere',
            ),
          )
          if (read !== null) loaded.push(read)
        })
        return loaded
      }),

    saveLinks: ({ upserts, deletedEpisodes }) =>
      write('save links', async () => {
        await inSlices(deletedEpisodes, (episode) => link.removeLink.run(episode))
        await inSlices(upserts, (one) => link.upsertLink.run(...linkValues(one)))
      }),
    loadLetters: () => call('load letters', () => owners.letters()),

    loadEndedOutages: () => call('load outages that ended', () => owners.outages()),

    async ownerKey(fresh) {
      let key = fresh
      await write('make a key', () => {
        key = owners.key(fresh)
      })
      return key
    },

    contactByDigest: (digest) => call('find a contact', () => owners.contactByDigest(digest)),

    contactById: (id) => call('find a contact', () => owners.contactById(id)),

    countContacts: () => call('count contacts', () => owners.counts()),

    saveOwners: (changes) => write('save what owners were told', () => owners.save(changes)),

    async saveUnsubscribed(id, at) {
      let isKnown = false
      await write('save the end of mail', () => {
        isKnown = owners.unsubscribe(id, at)
      })
      return isKnown
    },

    pruneContacts: (before) => write('prune contacts', () => owners.prune(before)),

    loadWalkState: () =>
      call('load the last walk', () => {
        const [row] = walk.get.all()
        return row === undefined ? null : readWalkState(row)
      }),

    saveWalkState: (state) =>
      write('save a walk', () => {
        walk.set.run(1, JSON.stringify(state))
      }),

    loadAuditHead: () => call('load the audit trail', () => readAuditHead(audit.head.all()[0])),

    loadAuditRecords: (afterSeq, limit) =>
      call('load the audit trail', () => audit.slice.all(afterSeq, limit).map(readAuditRecord)),

    appendAudit: (record, { erasedSeqs = [], prunedSeq = 0 } = {}) =>
      write('save an audit record', async () => {
        audit.insert.run(...auditValues(record))
        audit.setHead.run(record.seq, record.hash, prunedSeq)
        await inSlices(erasedSeqs, (seq) => audit.erase.run(seq))
        if (prunedSeq > 0) audit.prune.run(prunedSeq)
      }),

    removeTraces: () => call('remove what is left of what was deleted', () => removeTraces(db)),
    loadMigrations: () =>
      call('load migrations', async () => {
        const loaded: MigrationState[] = []
        await inSlices(userMigration.all.all(), (row) => {
          const read = readOrSkip(row, readUserMigration, (error) =>
            options.logger?.error(
              { error, externalId: externalIdOf(row) },
              'A stored migration of a user could not be read and is left out',
            ),
          )
          if (read !== null) loaded.push(read)
        })
        return loaded
      }),

    saveMigration: (state) =>
      write('save a migration', () => {
        userMigration.upsert.run(...userMigrationValues(state))
      }),

    deleteMigration: (externalId) =>
      write('delete a migration', () => {
        userMigration.remove.run(externalId)
      }),

    close: () =>
      serially(async () => {
        if (db.isOpen) db.close()
      }),
  }
}

/** Runs one piece of work after the other, whether or not the one before succeeded. */
function createQueue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work)
    last = result.catch(() => undefined)
    return result
  }
}

async function transaction(db: DatabaseSync, work: () => void | Promise<void>): Promise<void> {
  db.exec('BEGIN IMMEDIATE')
  try {
    await work()
    db.exec('COMMIT')
  } catch (error) {
    // A full disk has rolled back already.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

async function inSlices<T>(items: readonly T[], work: (item: T) => void): Promise<void> {
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % sliceRows === 0) await nextTurn()
    work(item)
  }
}

function limitSize(db: DatabaseSync, maximumBytes: number): void {
  const pageBytes = Number(db.prepare('PRAGMA page_size').get()?.['page_size'])
  db.exec(`PRAGMA max_page_count = ${Math.floor(maximumBytes / pageBytes)}`)
}

/**
 * Writes the file anew, without the places where rows once were, and empties the log. Everything stands still
 * meanwhile, and the whole database is in memory for a moment: in a container there may be no other
 * place for it that can be written to.
 */
function removeTraces(db: DatabaseSync): void {
  db.exec('PRAGMA temp_store = MEMORY')
  db.exec('VACUUM')
  const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() ?? {}
  if (busy !== 0) throw new StorageError('locked', 'the log of the database could not be emptied')
}

/** One row that can't be read must not keep the service from starting: it is left out, loudly. */
function readOrSkip<T>(row: Row, read: (row: Row) => T, complain: (error: unknown) => void): T | null {
  try {
    return read(row)
  } catch (error) {
    complain(error)
    return null
  }
}
