// Storage in PostgreSQL, in a schema of its own. One process, as with SQLite: calls run one after the
// other on one session, which holds the lock (postgres-session.ts). When that is lost, the call under way
// rejects and the next one connects again.
//
// Texts of JavaScript may hold what PostgreSQL refuses (NUL) or UTF-8 cannot say (half of a surrogate
// pair): see `encoded`.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'
import type { PostgresConfig } from '../config.ts'
import type { Logger } from '../logger.ts'
import { createCallQueue } from './call-queue.ts'
import type { Database, WritableTables } from './database.ts'
import { isAnswer, NoAnswerError, postgresError } from './postgres-error.ts'
import { schemaName } from './postgres-migrations.ts'
import { nameOf, newOwner, openSession, type Session } from './postgres-session.ts'
import { type Cell, type Row, type Table, text } from './rows.ts'
import { type Storage, StorageError } from './storage.ts'
import { createTableStorage } from './table-storage.ts'

export interface PostgresTablesOptions {
  readonly config: PostgresConfig
  /** How long to wait for another process to let the database go; 30,000 unless told. */
  readonly lockTimeoutMs?: number
  /**
   * A process whose session has done nothing for so long is taken to hang, and its session ended; 10,000
   * unless told. The same for all processes.
   */
  readonly leaseMs?: number
  /** Ends the waiting for another process. */
  readonly signal?: AbortSignal
  /** For one statement and its answer; 30,000 unless told. */
  readonly timeoutMs?: number
  readonly clock?: Clock
  /** False: a database that holds no state yet is refused. */
  readonly create?: boolean
}

export interface PostgresOptions extends PostgresTablesOptions {
  /** Told of rows that could not be read. */
  readonly logger?: Logger
}

// Rows of one statement: some milliseconds of work here, and about half a megabyte on its way.
const sliceRows = 500
// Longer than it takes a server to notice that a machine has vanished.
const usualLockTimeoutMs = 30_000
const usualTimeoutMs = 30_000
const usualLeaseMs = 10_000
// After a connection was cut: what is left of it at the server was ended before.
const relockTimeoutMs = 5_000
// A server that is down is not asked anew for each of the calls that were waiting.
const reconnectPauseMs = 500
// For how long the outcome of a commit is looked for whose answer was lost.
const outcomeTimeoutMs = 20_000

/**
 * Connects, and makes the schema or brings it up to date. Rejects with StorageError: `locked` (another
 * process has it), `not_a_database`, `newer_schema`, `cannot_open`, `unavailable`, `read_only`, `full`.
 */
export async function openPostgres(options: PostgresOptions): Promise<Storage> {
  return createTableStorage(await openPostgresTables(options), options)
}

/** As openPostgres, for whoever wants the tables themselves. */
export async function openPostgresTables(options: PostgresTablesOptions): Promise<Database> {
  const { config, clock = systemClock, lockTimeoutMs = usualLockTimeoutMs, create = true } = options
  const name = nameOf(config)
  const serially = createCallQueue()
  const leaseMs = options.leaseMs ?? usualLeaseMs
  // Sure for a shorter while than others grant, and asking so often that one lost answer does no harm.
  const sureMs = leaseMs * 0.8
  const pingMs = leaseMs / 5
  const losing = new AbortController()
  const closing = new AbortController()
  const sessionOptions = {
    config,
    clock,
    owner: newOwner(),
    leaseMs,
    signal: options.signal ?? closing.signal,
    timeoutMs: options.timeoutMs ?? usualTimeoutMs,
  }
  let session: Session | null = null
  let failure: { readonly error: unknown; readonly at: number } | null = null

  async function connected(isFirst = false): Promise<Session> {
    losing.signal.throwIfAborted()
    if (session !== null && !session.isLost()) return session
    if (failure !== null && clock.monotonic() - failure.at < reconnectPauseMs) throw failure.error
    try {
      session = await openSession({
        ...sessionOptions,
        term: session?.term ?? null,
        lockTimeoutMs: isFirst ? lockTimeoutMs : Math.min(lockTimeoutMs, relockTimeoutMs),
        create: create && isFirst,
      })
      failure = null
      return session
    } catch (error) {
      failure = { error, at: clock.monotonic() }
      // Somebody else has it, or had it since the connection was lost.
      if (session !== null && error instanceof StorageError && error.kind === 'locked') losing.abort(error)
      throw error
    }
  }

  /** Sends what begins a transaction; on a connection that was cut since the last one, once more. */
  async function begun(begin: string): Promise<{ at: Session; rows: readonly Row[] }> {
    const known = session
    const at = await connected()
    try {
      return { at, rows: await at.query(begin) }
    } catch (error) {
      if (at !== known || isAnswer(error) || error instanceof NoAnswerError) throw error
      const anew = await connected()
      return { at: anew, rows: await anew.query(begin) }
    }
  }

  async function reading<T>(work: (tables: WritableTables) => Promise<T>): Promise<T> {
    const { at } = await begun('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    try {
      return await work(createTables(at))
    } finally {
      await rolledBack(at)
    }
  }

  async function writing<T>(work: (tables: WritableTables) => Promise<T>): Promise<T> {
    const { at, rows } = await begun(
      'BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_current_xact_id()::text',
    )
    let result: T
    try {
      result = await work(createTables(at))
    } catch (error) {
      await rolledBack(at)
      throw error
    }
    await commit(at, rows[0]?.[0])
    return result
  }

  /**
   * Between the server's commit and its answer the connection can be cut. Then the server is asked what
   * became of the transaction, since a call that rejects has to have changed nothing.
   */
  async function commit(at: Session, transactionId: unknown): Promise<void> {
    try {
      await at.query('COMMIT')
    } catch (error) {
      if (isAnswer(error)) throw error
      if (await wasCommitted(transactionId)) return
      throw error
    }
  }

  async function wasCommitted(transactionId: unknown): Promise<boolean> {
    const giveUpAt = clock.monotonic() + outcomeTimeoutMs
    for (;;) {
      try {
        // Opening a session ends the one that was cut off.
        const at = await connected()
        const [[status] = []] = await at.query('SELECT pg_xact_status($1::xid8)', [transactionId])
        if (status !== 'in progress') return status === 'committed'
      } catch (error) {
        // A server that has never heard of it has not committed it.
        if (isAnswer(error)) return false
        if (closing.signal.aborted || losing.signal.aborted || clock.monotonic() >= giveUpAt) {
          throw new StorageError(
            'unavailable',
            `the connection to ${name} was lost during a commit, and the server can't be asked about it: ` +
              'whether this was saved is not known',
            { cause: error },
          )
        }
      }
      await clock.sleep(reconnectPauseMs)
    }
  }

  async function removeTraces(): Promise<void> {
    const { at, rows } = await begun(
      `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = '${schemaName}'::regnamespace`,
    )
    for (const row of rows) await at.queryPatiently(rewriting(text(row, 0)))
  }

  function call<T>(what: string, work: () => Promise<T>): Promise<T> {
    return serially(async () => {
      if (closing.signal.aborted) throw new StorageError('closed', `cannot ${what}: the database is closed`)
      try {
        return await work()
      } catch (error) {
        throw postgresError(error, `cannot ${what} in ${name}`)
      }
    })
  }

  /** Keeps the session from looking dead, and finds out when it is. */
  async function keepAlive(): Promise<void> {
    while (!closing.signal.aborted && !losing.signal.aborted) {
      await clock.sleep(pingMs, closing.signal).catch(() => {})
      const isQuiet =
        session === null || session.isLost() || clock.monotonic() - session.answeredAt() >= pingMs
      if (isQuiet) await call('ask', async () => (await connected()).query('SELECT 1')).catch(() => {})
    }
  }

  try {
    await connected(true)
  } catch (error) {
    throw postgresError(error, `cannot open the database ${name}`)
  }
  void keepAlive()
  return {
    recovered: null,
    lost: losing.signal,
    holds: () => session !== null && !session.isLost() && clock.monotonic() - session.answeredAt() < sureMs,
    read: (what, work) => call(what, () => reading(work)),
    write: (what, work) => call(what, () => writing(work)),
    removeTraces: () => call('remove what is left of what was deleted', removeTraces),
    close: () =>
      serially(async () => {
        closing.abort()
        await session?.close()
      }),
  }
}

/**
 * Has a table, its indexes and its long texts written into new files, without the places where rows once were, in
 * one transaction. VACUUM FULL would keep what transactions of others may still want to see.
 */
function rewriting(table: string): string {
  return `ALTER TABLE ${table} SET UNLOGGED; ALTER TABLE ${table} SET LOGGED`
}

/** Never rejects: a session on which this fails is lost, and its transaction with it. */
async function rolledBack(session: Session): Promise<void> {
  if (session.isLost()) return
  await session.query('ROLLBACK').catch(() => session.close())
}

function createTables(session: Session): WritableTables {
  const select = async (sql: string, values: readonly Cell[]) => {
    const rows = await session.query(numbered(sql), values.map(encoded))
    return rows.map(decodedRow)
  }

  return {
    async slices({ name, columns }, onSlice) {
      await session.query(`DECLARE slice NO SCROLL CURSOR FOR SELECT ${columns.join(', ')} FROM ${name}`)
      for (;;) {
        const rows = await session.query(`FETCH ${sliceRows} FROM slice`)
        if (rows.length === 0) break
        await onSlice(rows.map(decodedRow))
        await nextTurn()
      }
      await session.query('CLOSE slice')
    },
    async find({ name, columns }, by, values) {
      const of = columns.map((column) => `${name}.${column}`).join(', ')
      const isSame = by.map((column) => `${name}.${column} = wanted.${column}`).join(' AND ')
      const found: Row[] = []
      for (const slice of slicesOf(values)) {
        const rows = await session.query(
          `SELECT ${of} FROM ${name}, json_populate_recordset(NULL::${name}, $1) AS wanted WHERE ${isSame}`,
          [JSON.stringify(objects(by, slice))],
        )
        found.push(...rows.map(decodedRow))
      }
      return found
    },
    select: (sql, ...values) => select(sql, values),
    async run(sql, ...values) {
      await select(sql, values)
    },
    async withoutTriggers({ name }, work) {
      await session.query(`ALTER TABLE ${name} DISABLE TRIGGER USER`)
      await work()
      await session.query(`ALTER TABLE ${name} ENABLE TRIGGER USER`)
    },
    async upsert(table, rows) {
      const { name, columns } = table
      for (const slice of slicesOf(rows)) {
        const given = JSON.stringify(objects(columns, lastOfEach(table, slice)))
        await session.query(removal(table), [given])
        await session.query(
          `INSERT INTO ${name} (${columns.join(', ')})
           SELECT ${columns.join(', ')} FROM json_populate_recordset(NULL::${name}, $1)`,
          [given],
        )
      }
    },
    async remove(table, keys) {
      for (const slice of slicesOf(keys)) {
        await session.query(removal(table), [JSON.stringify(objects(table.keys, slice))])
      }
    },
  }
}

function removal({ name, keys }: Table): string {
  const isSame = keys.map((key) => `${name}.${key} = gone.${key}`).join(' AND ')
  return `DELETE FROM ${name} USING json_populate_recordset(NULL::${name}, $1) AS gone WHERE ${isSame}`
}

/** `?` as PostgreSQL has it: $1, $2, … */
function numbered(sql: string): string {
  let count = 0
  return sql.replaceAll('?', () => {
    count += 1
    return `$${count}`
  })
}

function* slicesOf<T>(items: Iterable<T>): Generator<T[]> {
  let slice: T[] = []
  for (const item of items) {
    slice.push(item)
    if (slice.length < sliceRows) continue
    yield slice
    slice = []
  }
  if (slice.length > 0) yield slice
}

/** Of rows with the same keys, one statement takes only one. */
function lastOfEach({ columns, keys }: Table, rows: readonly (readonly Cell[])[]): (readonly Cell[])[] {
  const positions = keys.map((key) => columns.indexOf(key))
  const last = new Map<string, readonly Cell[]>()
  for (const row of rows) last.set(JSON.stringify(positions.map((at) => row[at])), row)
  return [...last.values()]
}

function objects(columns: readonly string[], rows: readonly (readonly Cell[])[]): Record<string, Cell>[] {
  return rows.map((row) =>
    Object.fromEntries(columns.map((column, index) => [column, encoded(row[index] ?? null)])),
  )
}

// ---- texts

/** Substitute, a control character that nobody writes. */
const mark = '\u001a'
// With the flag u, \p{Cs} is only what lacks its other half.
const unstorable = new RegExp(`[\\0${mark}\\p{Cs}]`, 'gu')
const encodedUnit = new RegExp(`${mark}([0-9a-f]{4})`, 'g')

/** What can't be stored becomes the mark and the four digits of its code. */
function encoded(cell: Cell): Cell {
  if (typeof cell !== 'string') return cell
  if (cell.isWellFormed() && !cell.includes('\0') && !cell.includes(mark)) return cell
  return cell.replace(unstorable, (unit) => mark + unit.charCodeAt(0).toString(16).padStart(4, '0'))
}

function decodedRow(row: Row): Row {
  if (!row.some((cell) => typeof cell === 'string' && cell.includes(mark))) return row
  return row.map((cell) =>
    typeof cell === 'string'
      ? cell.replace(encodedUnit, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
      : cell,
  )
}
