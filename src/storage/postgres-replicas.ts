// What replicas share in PostgreSQL beside the state that the leader holds: the table of slots, the queue
// that hands them out (pg-boss), the pace, and where the leader is. Nothing here is state that could be
// lost: slots are of one walk, and a new leader begins another.
//
// Connections come from a pool, for a statement each: a replica that reads a slot holds none.

import pg from 'pg'
import { PgBoss } from 'pg-boss'
import type { PostgresConfig } from '../config.ts'
import { postgresError } from './postgres-error.ts'
import { schemaName, schemaState } from './postgres-migrations.ts'
import { nameOf, tlsOptions } from './postgres-session.ts'
import type { Row } from './rows.ts'
import { StorageError } from './storage.ts'

export interface SharedPostgresOptions {
  readonly config: PostgresConfig
  /** Told of what fails beside the calls: the queue's own connections. */
  readonly onError: (error: unknown) => void
}

export interface SharedPostgres {
  /** The schema that this version knows is there; false: the leader has yet to make it. Rejects with `newer_schema`. */
  isReady(): Promise<boolean>

  /** Replicas with the same name hand slots to each other. */
  slots(queueName: string): SharedSlots

  /** See partner/shared-pace.ts. */
  reservePace(count: number, intervalMs: number): Promise<number>

  /** Where the leader's API is; null: it did not say. */
  leaderUrl(): Promise<string | null>
  setLeaderUrl(url: string | null): Promise<void>
  close(): Promise<void>
}

export interface SharedSlots {
  /** Hands slots to `work` until the signal aborts and all that were handed out have ended. */
  takeSlots(
    work: (place: { readonly walkId: string; readonly slot: number }) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>
  claim(place: Place): Promise<(Place & { readonly epoch: number; readonly work: Uint8Array }) | null>
  touch(claim: Claim): Promise<boolean>
  give(claim: Claim, findings: Uint8Array): Promise<boolean>
  release(claim: Claim): Promise<void>

  replicas(): Promise<number>
  begin(walkId: string): Promise<void>
  offer(walkId: string, slot: number, work: Uint8Array): Promise<void>
  collect(
    walkId: string,
    entered: readonly number[],
  ): Promise<readonly { readonly slot: number; readonly findings: Uint8Array }[]>
  offerOverdue(walkId: string): Promise<readonly number[]>
}

interface Place {
  readonly walkId: string
  readonly slot: number
}

interface Claim extends Place {
  readonly epoch: number
}

// Schema of the queue's own tables.
const queueSchema = 'fleetwarden_queue'
const connections = 4
const timeoutMs = 10_000
// A claim that was not touched for so long is anybody's.
const staleClaim = "interval '8 seconds'"
// One that was offered so long ago and never claimed may have been lost by the queue.
const staleOffer = "interval '30 seconds'"
const now = 'clock_timestamp()'
// At once on each replica: while the last users of one are awaited, the next one is begun.
const slotsAtOnce = 2

/** Connects when it is first needed. */
export async function openSharedPostgres(options: SharedPostgresOptions): Promise<SharedPostgres> {
  const { config, onError } = options
  const connection = {
    host: config.host,
    port: config.port,
    database: config.database,
    user: config.user,
    password: () => config.password?.reveal() ?? '',
    ssl: await tlsOptions(config),
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
  }
  const pool = new pg.Pool({
    ...connection,
    max: connections,
    application_name: 'fleetwarden replica',
    statement_timeout: timeoutMs,
    query_timeout: 2 * timeoutMs,
  })
  // Without these listeners, a server that ends a connection would end this process.
  pool.on('error', onError)
  pool.on('connect', (client) => client.on('error', onError))
  let boss: PgBoss | null = null
  let starting: Promise<PgBoss> | null = null
  const known = new Map<string, SharedSlots>()

  async function query(sql: string, ...values: readonly unknown[]): Promise<readonly Row[]> {
    try {
      const { rows } = await pool.query<unknown[]>({ text: sql, values: [...values], rowMode: 'array' })
      return rows
    } catch (error) {
      throw postgresError(error, `cannot reach the database ${nameOf(config)}`)
    }
  }

  async function queue(): Promise<PgBoss> {
    if (boss !== null) return boss
    starting ??= startQueue().finally(() => {
      starting = null
    })
    return starting
  }

  async function startQueue(): Promise<PgBoss> {
    const begun = new PgBoss({
      ...connection,
      schema: queueSchema,
      application_name: 'fleetwarden queue',
      max: 3,
      schedule: false,
      useListenNotify: true,
      // Its defaults notice a replica that died after minutes.
      superviseIntervalSeconds: 5,
      monitorIntervalSeconds: 5,
      instanceHeartbeatSeconds: 2,
      openTelemetry: { enabled: false },
    })
    begun.on('error', onError)
    try {
      await begun.start()
    } catch (error) {
      await begun.stop({ graceful: false }).catch(() => undefined)
      throw postgresError(error, `cannot start the queue in ${nameOf(config)}`)
    }
    boss = begun
    return begun
  }

  return {
    async isReady() {
      const state = await schemaState((sql) => query(sql), nameOf(config))
      return state === 'present'
    },

    slots(queueName) {
      const slots = known.get(queueName) ?? createSlots(queueName, { query, queue })
      known.set(queueName, slots)
      return slots
    },

    async reservePace(count, intervalMs) {
      const [row] = await query(
        `WITH present AS (SELECT extract(epoch FROM ${now})::float8 * 1000 AS at)
         UPDATE ${schemaName}.pace SET due_at = greatest(due_at, present.at) + $1::float8
         FROM present RETURNING due_at - $1::float8 - present.at`,
        count * intervalMs,
      )
      if (row === undefined) throw new StorageError('corrupt', 'the table of the pace is empty')
      return Number(row[0])
    },

    async leaderUrl() {
      const [row] = await query(`SELECT url FROM ${schemaName}.owner`)
      return typeof row?.[0] === 'string' ? row[0] : null
    },

    async setLeaderUrl(url) {
      await query(`UPDATE ${schemaName}.owner SET url = $1`, url)
    },

    async close() {
      await boss?.stop({ graceful: false }).catch(onError)
      boss = null
      await pool.end().catch(onError)
    },
  }
}

function createSlots(
  queueName: string,
  { query, queue }: { readonly query: Query; readonly queue: () => Promise<PgBoss> },
): SharedSlots {
  let isCreated = false

  async function ownQueue(): Promise<PgBoss> {
    const boss = await queue()
    if (!isCreated) {
      await boss.createQueue(queueName, {
        policy: 'standard',
        notify: true,
        retryLimit: 3,
        heartbeatSeconds: 10,
        expireInSeconds: 3_600,
        retentionSeconds: 3_600,
        deleteAfterSeconds: 60,
      })
      isCreated = true
    }
    return boss
  }

  async function send(walkId: string, slot: number): Promise<void> {
    await (await ownQueue()).send(queueName, { walkId, slot })
  }

  return {
    async takeSlots(work, signal) {
      const begun = await ownQueue()
      const settings = {
        localConcurrency: slotsAtOnce,
        // Also with notifications: one that comes while a slot is worked on may be missed.
        pollingIntervalSeconds: 0.5,
        notifyPollingIntervalSeconds: 0.5,
        heartbeatRefreshSeconds: 3,
      }
      await begun.work<Place>(queueName, settings, async (jobs) => {
        for (const { data } of jobs) await work(data)
      })
      if (!signal.aborted) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      }
      await begun.offWork(queueName, { wait: true })
    },

    async claim({ walkId, slot }) {
      const [row] = await query(
        `UPDATE ${schemaName}.slot SET epoch = epoch + 1, touched_at = ${now}
         WHERE walk_id = $1 AND slot = $2 AND findings IS NULL
           AND (touched_at IS NULL OR touched_at < ${now} - ${staleClaim})
         RETURNING epoch, work`,
        walkId,
        slot,
      )
      const [epoch, work] = row ?? []
      return typeof epoch === 'number' && work instanceof Uint8Array ? { walkId, slot, epoch, work } : null
    },

    async touch({ walkId, slot, epoch }) {
      const touched = await query(
        `UPDATE ${schemaName}.slot SET touched_at = ${now}
         WHERE walk_id = $1 AND slot = $2 AND epoch = $3 AND findings IS NULL RETURNING 1`,
        walkId,
        slot,
        epoch,
      )
      return touched.length > 0
    },

    async give({ walkId, slot, epoch }, findings) {
      const given = await query(
        `UPDATE ${schemaName}.slot SET findings = $4
         WHERE walk_id = $1 AND slot = $2 AND epoch = $3 AND findings IS NULL RETURNING 1`,
        walkId,
        slot,
        epoch,
        Buffer.from(findings),
      )
      return given.length > 0
    },

    async release({ walkId, slot, epoch }) {
      const released = await query(
        `UPDATE ${schemaName}.slot SET touched_at = NULL
         WHERE walk_id = $1 AND slot = $2 AND epoch = $3 AND findings IS NULL RETURNING 1`,
        walkId,
        slot,
        epoch,
      )
      if (released.length > 0) await send(walkId, slot)
    },

    async replicas() {
      const instances = await (await ownQueue()).getInstances()
      return instances.filter(({ live, workers }) => live && workers.some((one) => one.queue === queueName))
        .length
    },

    async begin(walkId) {
      await query(`DELETE FROM ${schemaName}.slot WHERE walk_id <> $1`, walkId)
      await (await ownQueue()).deleteQueuedJobs(queueName)
    },

    async offer(walkId, slot, work) {
      await query(
        `INSERT INTO ${schemaName}.slot (walk_id, slot, epoch, work, offered_at)
         VALUES ($1, $2, 0, $3, ${now}) ON CONFLICT (walk_id, slot) DO NOTHING`,
        walkId,
        slot,
        Buffer.from(work),
      )
      await send(walkId, slot)
    },

    async collect(walkId, entered) {
      if (entered.length > 0) {
        const forget = `DELETE FROM ${schemaName}.slot WHERE walk_id = $1 AND slot = ANY($2)`
        await query(forget, walkId, [...entered])
      }
      const rows = await query(
        `SELECT slot, findings FROM ${schemaName}.slot WHERE walk_id = $1 AND findings IS NOT NULL`,
        walkId,
      )
      return rows.flatMap(([slot, findings]) =>
        findings instanceof Uint8Array ? [{ slot: Number(slot), findings }] : [],
      )
    },

    async offerOverdue(walkId) {
      const overdue = await query(
        `UPDATE ${schemaName}.slot SET offered_at = ${now}
         WHERE walk_id = $1 AND findings IS NULL AND offered_at < ${now} - ${staleClaim}
           AND CASE WHEN touched_at IS NULL THEN offered_at < ${now} - ${staleOffer}
               ELSE touched_at < ${now} - ${staleClaim} END
         RETURNING slot`,
        walkId,
      )
      for (const [slot] of overdue) await send(walkId, Number(slot))
      const present = await query(`SELECT slot FROM ${schemaName}.slot WHERE walk_id = $1`, walkId)
      return present.map(([slot]) => Number(slot))
    },
  }
}

type Query = (sql: string, ...values: readonly unknown[]) => Promise<readonly Row[]>
