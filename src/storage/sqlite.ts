// Storage in one file through node:sqlite: no server, one process.
//
// node:sqlite blocks while it works, about 10 microseconds a row. So that a storm of alerts does not hold
// up everything else, big saves and loads yield between slices; and since a transaction then spans
// several turns of the event loop, calls queue up: none may write into another's transaction.
// sqlite-file.ts opens the file, sqlite-rows.ts makes the statements.

import { resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import { createCallQueue } from './call-queue.ts'
import type { Database, WritableTables } from './database.ts'
import { cell, type Row, text } from './rows.ts'
import { openFile, storageError } from './sqlite-file.ts'
import { createStatements } from './sqlite-rows.ts'
import { type Storage, StorageError } from './storage.ts'
import { createTableStorage } from './table-storage.ts'

export interface SqliteFileOptions {
  /** The file; its folder is created. Relative to the working directory. */
  readonly path: string
  /** How long to wait for another process to let the file go, as at a restart (ms); 2,000 unless told. */
  readonly lockTimeoutMs?: number
  /** Names the copy of a damaged file. */
  readonly clock?: Clock
  /** The file never grows beyond this many bytes: writes then fail as on a full disk. */
  readonly maximumBytes?: number
}

export interface SqliteOptions extends SqliteFileOptions {
  /** Told of rows that could not be read. */
  readonly logger?: Logger
}

// Rows between two yields: about 5 ms of work.
const sliceRows = 500

/**
 * Opens the database, or creates it. Rejects with StorageError: `locked` (another process has
 * it), `not_a_database`, `newer_schema`, `read_only`, `cannot_open`, `io`, `full`. A damaged one is
 * moved aside: see `recovered`.
 */
export async function openSqlite(options: SqliteOptions): Promise<Storage> {
  return createTableStorage(await openSqliteTables(options), options)
}

/** As openSqlite, for whoever wants the tables themselves. */
export async function openSqliteTables(options: SqliteFileOptions): Promise<Database> {
  const path = resolve(options.path)
  const { db, recovered } = await openFile(path, {
    lockTimeoutMs: options.lockTimeoutMs ?? 2_000,
    clock: options.clock ?? systemClock,
  })
  if (options.maximumBytes !== undefined) limitSize(db, options.maximumBytes)
  const serially = createCallQueue()
  const tables = createTables(db)
  const size = db.prepare(
    'SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()',
  )

  /** Runs `work` when its turn has come; whatever fails comes out as a StorageError. */
  function call<T>(what: string, work: () => Promise<T>): Promise<T> {
    return serially(async () => {
      if (!db.isOpen) throw new StorageError('closed', `cannot ${what}: the database is closed`)
      try {
        return await work()
      } catch (error) {
        throw storageError(error, `cannot ${what} in ${path}`)
      }
    })
  }

  return {
    recovered,
    // Its lock cannot be lost.
    lost: new AbortController().signal,
    holds: () => db.isOpen,
    // Nobody else has the file, and no call runs beside another: what is read is one state.
    read: (what, work) => call(what, () => work(tables)),
    write: (what, work) => call(what, () => transaction(db, () => work(tables))),
    removeTraces: () => call('remove what is left of what was deleted', async () => removeTraces(db)),
    sizeBytes() {
      try {
        return Number(size.get()?.['bytes'])
      } catch {
        // Closed, or a disk that fails: saves tell of that, and a scrape must not fail with it.
        return null
      }
    },
    close: () =>
      serially(async () => {
        if (db.isOpen) db.close()
      }),
  }
}

function createTables(db: DatabaseSync): WritableTables {
  const statements = createStatements(db)
  return {
    async slices({ name, columns, keys, isWithoutRowId = false }, onSlice) {
      // By row id in slices: half the time of an iterator, and no cursor stays open over a turn.
      const order = isWithoutRowId ? keys : ['rowid']
      const [of, by, places] = [
        [...columns, ...order].join(', '),
        order.join(', '),
        order.map(() => '?').join(', '),
      ]
      const first = statements.select(`SELECT ${of} FROM ${name} ORDER BY ${by} LIMIT ?`)
      const next = statements.select(
        `SELECT ${of} FROM ${name} WHERE (${by}) > (${places}) ORDER BY ${by} LIMIT ?`,
      )
      for (let rows = first([sliceRows]); rows.length > 0; ) {
        await onSlice(rows)
        await nextTurn()
        const last = (rows.at(-1) ?? []).slice(columns.length)
        rows = next([...last.map(cell), sliceRows])
      }
    },
    async find({ name, columns }, by, values) {
      const isSame = by.map((column) => `${column} = ?`).join(' AND ')
      const select = statements.select(`SELECT ${columns.join(', ')} FROM ${name} WHERE ${isSame}`)
      const found: Row[] = []
      await inSlices(values, (one) => found.push(...select(one)))
      return found
    },
    select: async (sql, ...values) => statements.select(sql)(values),
    upsert: (table, rows) => inSlices(rows, statements.upsert(table)),
    remove: (table, keys) => inSlices(keys, statements.remove(table)),
    run: async (sql, ...values) => statements.run(sql)(values),
    async withoutTriggers({ name }, work) {
      const triggers = statements.select(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?",
      )([name])
      for (const trigger of triggers) db.exec(`DROP TRIGGER ${text(trigger, 0)}`)
      await work()
      for (const trigger of triggers) db.exec(text(trigger, 1))
    },
  }
}

async function transaction<T>(db: DatabaseSync, work: () => Promise<T>): Promise<T> {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = await work()
    db.exec('COMMIT')
    return result
  } catch (error) {
    // A full disk has rolled back already.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

async function inSlices<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let done = 0
  for (const item of items) {
    if (done > 0 && done % sliceRows === 0) await nextTurn()
    work(item)
    done += 1
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
