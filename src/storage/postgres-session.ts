// One connection to PostgreSQL that holds the state for this process alone: it takes an advisory lock of
// the session, and everything is written on this very session. So nobody needs to ask whether the lock
// is still held: when the session is gone, so is the lock, and the next write finds no connection.
//
// A process that hangs would keep its session, and with it the lock. So whoever waits for the lock ends a
// session that has done nothing for `leaseMs`; whoever has it sees to it that it does something, and is sure
// of the lock only for a shorter while after its last answer.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'
import pg from 'pg'
import type { Clock } from '../clock.ts'
import type { PostgresConfig } from '../config.ts'
import { isAnswer, NoAnswerError } from './postgres-error.ts'
import { isThere, lockClass, lockOf, migrate, schemaName } from './postgres-migrations.ts'
import type { Row } from './rows.ts'
import { StorageError } from './storage.ts'

export interface SessionOptions {
  readonly config: PostgresConfig
  readonly clock: Clock
  /** The same for all sessions of a process: a new one may end those before it. */
  readonly owner: string
  /** How long to wait for another process to let the database go, as at a restart (ms, also Infinity). */
  readonly lockTimeoutMs: number
  readonly leaseMs: number
  /** Ends the waiting. */
  readonly signal: AbortSignal
  /** For one statement and its answer (ms). */
  readonly timeoutMs: number
  /** Of the sessions of this process before it; null: it is the first one. */
  readonly term: number | null
  /** Whether a database without a schema of ours gets one. */
  readonly create: boolean
}

export interface Session {
  /**
   * Rows of one statement, or of the last of several without values. Rejects with an error of the client:
   * an answer of the server, or the loss of the connection; with NoAnswerError when that is silent.
   */
  query(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>
  /** As query, outside of a transaction, for what takes longer the more there is: an hour at most. */
  queryPatiently(sql: string): Promise<readonly Row[]>
  /** Counts the processes that have had this database. */
  readonly term: number
  /** True once no query can succeed any more. */
  isLost(): boolean
  /** When the last query was sent that was answered (monotonic). */
  answeredAt(): number
  close(): Promise<void>
}

const longestConnectMs = 10_000
// The server gives up a statement first: it says why, and the session stays.
const graceMs = 2_000
const longestStatementMs = 3_600_000
// Tells those who wait for the lock that the server may be at this for that long.
const patientMark = '/* patiently */'
const lockRetryMs = 250
// A statement that is by so many leases longer under way than the server lets any be can't get rid of its answer.
const leewayLeases = 1.5

/** `host:port/database`, without user and password. */
export function nameOf({ host, port, database }: PostgresConfig): string {
  return `postgres://${host.includes(':') ? `[${host}]` : host}:${port}/${database}`
}

export function newOwner(): string {
  return `fleetwarden ${randomUUID().slice(0, 13)}`
}

/**
 * Connects, takes the lock and brings the schema up to date. Rejects with StorageError `locked`,
 * `not_a_database`, `newer_schema` or `cannot_open`, or with an error of the client.
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const session: Omit<Session, 'term'> = await connect(options)
  try {
    await prepare(session, options)
    await own(session, options)
    const query = (sql: string) => session.query(sql)
    if (!options.create && !(await isThere(query, nameOf(options.config)))) {
      throw new StorageError('cannot_open', `${nameOf(options.config)} holds no state of Fleetwarden`)
    }
    await migrate(query, nameOf(options.config))
    return { ...session, term: await termOf(session, options) }
  } catch (error) {
    await session.close()
    throw error
  }
}

async function connect({ config, clock, owner, timeoutMs }: SessionOptions): Promise<Omit<Session, 'term'>> {
  const { host, port, database, user } = config
  const client = new pg.Client({
    host,
    port,
    database,
    user,
    // A function, or the client would look for a password in the environment and in files.
    password: () => config.password?.reveal() ?? '',
    ssl: await tlsOptions(config),
    application_name: owner,
    connectionTimeoutMillis: Math.min(longestConnectMs, timeoutMs),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  let lost = false
  let answeredAt = Number.NEGATIVE_INFINITY
  // Without a listener, a server that ends the connection would end this process.
  client.on('error', () => {
    lost = true
  })
  client.on('end', () => {
    lost = true
  })
  const end = () => {
    lost = true
    return client.end().catch(() => undefined)
  }
  try {
    await client.connect()
  } catch (error) {
    void end()
    throw error
  }
  async function query(sql: string, values?: readonly unknown[], longestMs = timeoutMs) {
    const sentAt = clock.monotonic()
    try {
      const given = values === undefined ? {} : { values: [...values] }
      const patience = { query_timeout: longestMs + graceMs }
      const result: unknown = await client.query({ text: sql, rowMode: 'array', ...given, ...patience })
      answeredAt = Math.max(answeredAt, sentAt)
      const last: unknown = Array.isArray(result) ? result.at(-1) : result
      return rowsOf(last)
    } catch (error) {
      if (isAnswer(error)) throw error
      const wasSilent = !lost && !(error instanceof pg.DatabaseError)
      // An answer that still came would be taken for one to the next query.
      void end()
      if (!wasSilent) throw error
      throw new NoAnswerError(`no answer within ${longestMs + graceMs} ms`, { cause: error })
    }
  }
  return {
    isLost: () => lost,
    answeredAt: () => answeredAt,
    query: (sql, values) => query(sql, values),
    async queryPatiently(sql) {
      await query(`SET statement_timeout = ${longestStatementMs}`)
      try {
        return await query(`${patientMark} ${sql}`, undefined, longestStatementMs)
      } finally {
        if (!lost) await query(`SET statement_timeout = ${timeoutMs}`)
      }
    },
    close: end,
  }
}

function rowsOf(result: unknown): readonly Row[] {
  if (typeof result !== 'object' || result === null || !('rows' in result)) return []
  return Array.isArray(result.rows) ? result.rows : []
}

export async function tlsOptions({ host, tls }: PostgresConfig): Promise<ConnectionOptions | false> {
  if (tls === null) return false
  const ca = tls.rootCertFile === null ? {} : { ca: await readRootCert(tls.rootCertFile) }
  switch (tls.verify) {
    case 'nothing':
      return { rejectUnauthorized: false }
    case 'authority':
      return { ...ca, checkServerIdentity: () => undefined }
    case 'name':
      // The name that was asked for, which for an address TLS itself does not know.
      return { ...ca, checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate) }
    default:
      return tls.verify satisfies never
  }
}

/** Anew for each connection: certificates are replaced while the service runs. */
async function readRootCert(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StorageError('cannot_open', `cannot read sslrootcert of storage.url: ${reason}`, {
      cause: error,
    })
  }
}

async function prepare(
  session: Pick<Session, 'query'>,
  { config, timeoutMs }: SessionOptions,
): Promise<void> {
  const [[version, encoding] = []] = await session.query(
    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
  )
  const refuse = (reason: string) => new StorageError('cannot_open', `${nameOf(config)}: ${reason}`)
  if (Number(version) < 140_000) throw refuse(`PostgreSQL 14 or newer is needed, this is ${version}`)
  if (encoding !== 'UTF8') throw refuse(`the database has to be of encoding UTF8, this one is ${encoding}`)
  // Rows are reached by their keys: of a table that has just been filled the planner knows nothing, and
  // would read all of it for each batch. And with plans so plain, compiling them would take longest.
  await session.query(`
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;
  `)
  // A database may be set to answer before it has written: nothing is told here that is not saved. A
  // machine that vanishes leaves the lock after half a minute.
  await session.query(`
    SET search_path = ${schemaName};
    SET statement_timeout = ${timeoutMs};
    SET lock_timeout = ${timeoutMs};
    SET idle_in_transaction_session_timeout = 60000;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 4;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
  `)
}

async function own(
  session: Pick<Session, 'query'>,
  { config, clock, owner, lockTimeoutMs, timeoutMs, leaseMs, signal }: SessionOptions,
): Promise<void> {
  // A connection that was cut may live on at the server, with the lock.
  await session.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()`,
    [owner],
  )
  const giveUpAt = clock.monotonic() + lockTimeoutMs
  const leewayMs = leewayLeases * leaseMs
  for (;;) {
    const [row] = await session.query(`SELECT pg_try_advisory_lock(${lockClass}, ${lockOf.owner})`)
    if (row?.[0] === true) return
    if (clock.monotonic() >= giveUpAt) {
      throw new StorageError(
        'locked',
        `the database ${nameOf(config)} is in use by another process: stop that one first, or give this ` +
          'one a storage.url of its own',
      )
    }
    await session.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
       WHERE locktype = 'advisory' AND classid = ${lockClass} AND objid = ${lockOf.owner} AND objsubid = 2
         AND database = datid AND datname = current_database() AND granted
         AND clock_timestamp() - state_change >
           make_interval(secs => CASE
             WHEN state = 'active' AND starts_with(query, $4) THEN $3::float8
             WHEN state = 'active' THEN $2::float8
             ELSE $1::float8 END)`,
      [
        ...[leaseMs, timeoutMs + leewayMs, longestStatementMs + leewayMs].map((ms) => ms / 1_000),
        patientMark,
      ],
    )
    await clock.sleep(lockRetryMs, signal)
  }
}

/** Begins a term, or goes on with the one that was cut off, if nobody else had one meanwhile. */
async function termOf(session: Pick<Session, 'query'>, { config, term }: SessionOptions): Promise<number> {
  const begin = 'UPDATE owner SET term = term + 1 RETURNING term'
  const [row] = await session.query(term === null ? begin : 'SELECT term FROM owner')
  const present = Number(row?.[0])
  if (term === null || term === present) return present
  throw new StorageError(
    'locked',
    `another process has used the database ${nameOf(config)} meanwhile: what this one remembers is out of date`,
  )
}
