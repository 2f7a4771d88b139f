// What Storage offers, as work on tables: the same for every database. The files of the tables know which
// column holds what, some of them also the calls that need no other table; a database's own file knows
// how rows get there.

import type { StoredSilence } from '../alerts/silence.ts'
import type { Logger } from '../logger.ts'
import { auditHeadTable, auditRecordTable, createAuditStore } from './audit-tables.ts'
import type { Database } from './database.ts'
import { createHistoryStore, historyTable } from './history-table.ts'
import { createLinkStore, linkTable } from './link-table.ts'
import { loadAll, readOrSkip } from './loading.ts'
import { contactTable, createOwnerStore, letterTable, outageTable, ownerKeyTable } from './owner-tables.ts'
import type { Table } from './rows.ts'
import {
  acknowledgementTable,
  acknowledgementValues,
  readAcknowledgement,
  readSilence,
  silenceIdOf,
  silenceTable,
  silenceValues,
} from './silence-tables.ts'
import type { Storage } from './storage.ts'
import {
  alertKeyOf,
  alertTable,
  alertValues,
  createAlertReader,
  entryTable,
  entryValues,
  messageTable,
  messageValues,
  readEntry,
  readMessage,
  readTimer,
  readWalkState,
  timerTable,
  timerValues,
  walkTable,
  walkValues,
} from './tables.ts'
import { createMigrationStore, userMigrationTable } from './user-migration-table.ts'

/** Every table there is: what a copy of the whole state has to hold. */
export const allTables: readonly Table[] = [
  alertTable,
  timerTable,
  entryTable,
  messageTable,
  walkTable,
  silenceTable,
  acknowledgementTable,
  historyTable,
  linkTable,
  ownerKeyTable,
  contactTable,
  letterTable,
  outageTable,
  userMigrationTable,
  auditRecordTable,
  auditHeadTable,
]

// A later tick may have replaced a message while it was being sent: that one stays as it is.
const isStillTheSame = 'group_key = ? AND integration_key = ? AND at = ?'
const attemptColumns = messageTable.columns.slice(3)
const updateMessage = `UPDATE outbox SET ${attemptColumns.map((column) => `${column} = ?`).join(', ')} WHERE ${isStillTheSame}`
const removeMessage = `DELETE FROM outbox WHERE ${isStillTheSame}`

/** The logger is told of rows that could not be read. */
export function createTableStorage(database: Database, { logger }: { readonly logger?: Logger }): Storage {
  const { read, write } = database
  return {
    ...createAuditStore(database),
    ...createHistoryStore(database),
    ...createLinkStore(database, logger),
    ...createMigrationStore(database, logger),
    ...createOwnerStore(database),
    recovered: database.recovered,
    lost: database.lost,
    removeTraces: () => database.removeTraces(),
    ...(database.sizeBytes === undefined ? {} : { sizeBytes: database.sizeBytes }),
    holds: database.holds,

    loadAlerts: () =>
      read('load alerts', (tables) => {
        const readAlert = createAlertReader()
        return loadAll(tables, alertTable, (row) =>
          readOrSkip(row, readAlert, (error) =>
            logger?.error(
              { error, key: alertKeyOf(row) },
              'A stored alert could not be read and is left out',
            ),
          ),
        )
      }),

    saveAlerts: ({ upserts, deletedKeys }) =>
      write('save alerts', async (tables) => {
        await tables.remove(
          alertTable,
          deletedKeys.values().map((key) => [key]),
        )
        await tables.upsert(alertTable, upserts.values().map(alertValues))
      }),

    loadGroupTimers: () => read('load group timers', (tables) => loadAll(tables, timerTable, readTimer)),

    loadDedupEntries: () => read('load what was told', (tables) => loadAll(tables, entryTable, readEntry)),

    loadOutbox: () => read('load the outbox', (tables) => loadAll(tables, messageTable, readMessage)),

    saveFlush: (...flushes) =>
      write('save a flush', async (tables) => {
        const timers = flushes.map(({ timer }) => timerValues(timer))
        const dropped = flushes.flatMap((flush) => flush.dropped)
        await tables.upsert(timerTable, timers)
        // First what goes: a message that was decided now stays.
        await tables.remove(
          messageTable,
          dropped.map(({ groupKey, integrationKey }) => [groupKey, integrationKey]),
        )
        await tables.upsert(
          messageTable,
          flushes.flatMap(({ outbox }) => outbox.map(messageValues)),
        )
        await tables.upsert(
          entryTable,
          flushes.flatMap(({ remembered }) => remembered.map(entryValues)),
        )
      }),

    saveAttempt: (row) =>
      write('save an attempt', (tables) => {
        const values = messageValues(row)
        return tables.run(updateMessage, ...values.slice(3), ...values.slice(0, 3))
      }),

    saveDelivered: (entry) =>
      write('save a delivery', async (tables) => {
        await tables.run(removeMessage, entry.groupKey, entry.integrationKey, entry.at)
        await tables.upsert(entryTable, [entryValues(entry)])
      }),

    dropOutboxRow: (row) =>
      write('drop a message', (tables) =>
        tables.run(removeMessage, row.groupKey, row.integrationKey, row.at),
      ),

    deleteGroup: (groupKey) =>
      write('delete a group', async (tables) => {
        await tables.remove(timerTable, [[groupKey]])
        await tables.run('DELETE FROM dedup_entry WHERE group_key = ?', groupKey)
      }),

    loadSilences: () =>
      read('load silences', (tables) =>
        loadAll(tables, silenceTable, (row) =>
          readOrSkip<StoredSilence>(row, readSilence, (error) =>
            logger?.error(
              { error, id: silenceIdOf(row) },
              'A stored silence could not be read and is left out',
            ),
          ),
        ),
      ),

    saveSilences: ({ upserts, deletedIds }) =>
      write('save silences', async (tables) => {
        await tables.remove(
          silenceTable,
          deletedIds.map((id) => [id]),
        )
        await tables.upsert(silenceTable, upserts.map(silenceValues))
      }),

    loadAcknowledgements: () =>
      read('load acknowledgements', (tables) => loadAll(tables, acknowledgementTable, readAcknowledgement)),

    saveAcknowledgements: ({ upserts, deletedFingerprints }) =>
      write('save acknowledgements', async (tables) => {
        await tables.remove(
          acknowledgementTable,
          deletedFingerprints.map((print) => [print]),
        )
        await tables.upsert(acknowledgementTable, upserts.map(acknowledgementValues))
      }),

    loadWalkState: () =>
      read('load the last walk', async (tables) => {
        const [state] = await loadAll(tables, walkTable, readWalkState)
        return state ?? null
      }),

    saveWalkState: (state) => write('save a walk', (tables) => tables.upsert(walkTable, [walkValues(state)])),

    close: () => database.close(),
  }
}
