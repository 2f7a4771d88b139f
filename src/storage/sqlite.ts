// Storage in one file through node:sqlite: no server, one process.
//
// node:sqlite blocks while it works, about 4 microseconds a row. So that a storm of alerts does not hold
// up everything else, big saves and loads yield between slices; and since a transaction then spans
// several turns of the event loop, calls queue up: none may write into another's transaction.
// Alerts have columns for what an operator would ask for, JSON for the rest; sqlite-file.ts opens the
// file, migrations.ts has the schema.

import { resolve } from 'node:path'
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Alert, Subject } from '../alerts/alert.ts'
import type { AlertChanges } from '../alerts/store.ts'
import type { WalkState } from '../alerts/walk-store.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { DeviceType } from '../fleet/device.ts'
import type { Logger } from '../logger.ts'
import type { DedupEntry, GroupTimer, OutboxRow } from '../notify/store.ts'
import { openFile, storageError } from './sqlite-file.ts'
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

// Rows between two yields: 2 to 4 ms of work.
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
  const walk = walkStatements(db)

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

    loadAlerts: () =>
      call('load alerts', async () => {
        const loaded: Alert[] = []
        // By row id in slices: half the time of an iterator, and no cursor stays open over a turn.
        for (let rows = alerts.slice.all(-1); rows.length > 0; ) {
          for (const row of rows) {
            const alert = readAlertOrSkip(row, options.logger)
            if (alert !== null) loaded.push(alert)
          }
          await nextTurn()
          rows = alerts.slice.all(number(rows.at(-1) ?? [], alertAt.rowid))
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

    saveFlush: ({ timer, outbox, remembered, dropped }) =>
      write('save a flush', () => {
        notify.upsertTimer.run(timer.groupKey, timer.nextFlushAt, timer.flushed ? 1 : 0)
        // First what goes: a message that was decided now stays.
        for (const row of dropped) notify.removeMessage.run(row.groupKey, row.integrationKey)
        for (const row of outbox) notify.upsertMessage.run(...messageValues(row))
        for (const entry of remembered) notify.upsertEntry.run(...entryValues(entry))
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
        notify.removeQuietEntries.run(groupKey)
      }),

    loadWalkState: () =>
      call('load the last walk', () => {
        const [row] = walk.get.all()
        return row === undefined ? null : json<WalkState>(row, 0)
      }),

    saveWalkState: (state) =>
      write('save a walk', () => {
        walk.set.run(1, JSON.stringify(state))
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

// ---- alerts

const alertColumns = [
  'key',
  'fingerprint',
  'rule_id',
  'definition',
  'subject_kind',
  'user_id',
  'device_type',
  'device_id',
  'fleet_group',
  'labels',
  'annotations',
  'affected',
  'state',
  'episode',
  'active_at',
  'fired_at',
  'keep_firing_since',
  'resolved_at',
  'resolved_reason',
  'no_data',
  'deleted_seen',
  'evaluated_at',
  'settled',
] as const

const alertAt = positions([...alertColumns, 'rowid'])

function alertStatements(db: DatabaseSync) {
  return {
    slice: prepareSelect(
      db,
      `SELECT ${alertColumns.join(', ')}, rowid FROM alert WHERE rowid > ? ORDER BY rowid LIMIT ${sliceRows}`,
    ),
    upsert: prepareUpsert(db, 'alert', ['key'], alertColumns),
    remove: db.prepare('DELETE FROM alert WHERE key = ?'),
  }
}

/** In the order of alertColumns. */
function alertValues(alert: Alert): SQLInputValue[] {
  const { subject } = alert
  return [
    alert.key,
    alert.fingerprint,
    alert.ruleId,
    alert.definition,
    subject.kind,
    subject.kind === 'fleet' ? null : subject.userId,
    subject.kind === 'device' ? subject.deviceType : null,
    subject.kind === 'device' ? subject.deviceId : null,
    subject.kind === 'fleet' ? subject.group : null,
    JSON.stringify(alert.labels),
    JSON.stringify(alert.annotations),
    JSON.stringify(alert.affected),
    alert.state,
    alert.episode,
    alert.activeAt,
    alert.firedAt,
    alert.keepFiringSince,
    alert.resolvedAt,
    alert.resolvedReason,
    alert.noData === null ? null : JSON.stringify(alert.noData),
    alert.deletedSeen,
    alert.evaluatedAt,
    alert.settled ? 1 : 0,
  ]
}

/** One row that can't be read must not keep the service from starting: it is left out, loudly. */
function readAlertOrSkip(row: Row, logger: Logger | undefined): Alert | null {
  try {
    return readAlert(row)
  } catch (error) {
    logger?.error({ error, key: row[alertAt.key] }, 'A stored alert could not be read and is left out')
    return null
  }
}

function readAlert(row: Row): Alert {
  const noData = textOrNull(row, alertAt.no_data)
  return {
    key: text(row, alertAt.key),
    fingerprint: text(row, alertAt.fingerprint),
    ruleId: text(row, alertAt.rule_id),
    definition: text(row, alertAt.definition),
    subject: readSubject(row),
    labels: json<Alert['labels']>(row, alertAt.labels),
    annotations: json<Alert['annotations']>(row, alertAt.annotations),
    affected: json<Alert['affected']>(row, alertAt.affected),
    state: text(row, alertAt.state) as Alert['state'],
    episode: text(row, alertAt.episode),
    activeAt: number(row, alertAt.active_at),
    firedAt: numberOrNull(row, alertAt.fired_at),
    keepFiringSince: numberOrNull(row, alertAt.keep_firing_since),
    resolvedAt: numberOrNull(row, alertAt.resolved_at),
    resolvedReason: textOrNull(row, alertAt.resolved_reason) as Alert['resolvedReason'],
    noData: noData === null ? null : json<NonNullable<Alert['noData']>>(row, alertAt.no_data),
    deletedSeen: number(row, alertAt.deleted_seen),
    evaluatedAt: number(row, alertAt.evaluated_at),
    settled: number(row, alertAt.settled) === 1,
  }
}

function readSubject(row: Row): Subject {
  const kind = text(row, alertAt.subject_kind) as Subject['kind']
  switch (kind) {
    case 'device':
      return {
        kind,
        userId: text(row, alertAt.user_id),
        deviceType: text(row, alertAt.device_type) as DeviceType,
        deviceId: text(row, alertAt.device_id),
      }
    case 'user':
      return { kind, userId: text(row, alertAt.user_id) }
    case 'fleet':
      return { kind, group: text(row, alertAt.fleet_group) }
    default:
      throw new StorageError('corrupt', `unknown kind of subject "${String(kind satisfies never)}"`)
  }
}

// ---- what is told to whom

const timerColumns = ['group_key', 'next_flush_at', 'flushed'] as const
const entryColumns = ['group_key', 'integration_key', 'at', 'firing', 'resolved'] as const
const messageColumns = [
  'group_key',
  'integration_key',
  'at',
  'reason',
  'first_decided_at',
  'firing',
  'resolved',
  'delivered',
  'attempts',
  'next_attempt_at',
] as const

const timerAt = positions(timerColumns)
const entryAt = positions(entryColumns)
const messageAt = positions(messageColumns)

function notifyStatements(db: DatabaseSync) {
  const keys = ['group_key', 'integration_key'] as const
  const attempt = messageColumns.slice(3).map((column) => `${column} = ?`)
  return {
    timers: prepareSelect(db, `SELECT ${timerColumns.join(', ')} FROM group_timer`),
    upsertTimer: prepareUpsert(db, 'group_timer', ['group_key'], timerColumns),
    removeTimer: db.prepare('DELETE FROM group_timer WHERE group_key = ?'),
    entries: prepareSelect(db, `SELECT ${entryColumns.join(', ')} FROM dedup_entry`),
    upsertEntry: prepareUpsert(db, 'dedup_entry', keys, entryColumns),
    removeQuietEntries: db.prepare("DELETE FROM dedup_entry WHERE group_key = ? AND firing = '[]'"),
    messages: prepareSelect(db, `SELECT ${messageColumns.join(', ')} FROM outbox`),
    upsertMessage: prepareUpsert(db, 'outbox', keys, messageColumns),
    // A later tick may have replaced a message while it was being sent: that one stays as it is.
    updateMessage: db.prepare(
      `UPDATE outbox SET ${attempt.join(', ')} WHERE group_key = ? AND integration_key = ? AND at = ?`,
    ),
    removeMessage: db.prepare('DELETE FROM outbox WHERE group_key = ? AND integration_key = ?'),
    removeMessageOf: db.prepare('DELETE FROM outbox WHERE group_key = ? AND integration_key = ? AND at = ?'),
  }
}

/** In the order of entryColumns. */
function entryValues(entry: DedupEntry): SQLInputValue[] {
  const { groupKey, integrationKey, at, firing, resolved } = entry
  return [groupKey, integrationKey, at, JSON.stringify(firing), JSON.stringify(resolved)]
}

/** In the order of messageColumns. */
function messageValues(message: OutboxRow): SQLInputValue[] {
  return [
    message.groupKey,
    message.integrationKey,
    message.at,
    message.reason,
    message.firstDecidedAt,
    JSON.stringify(message.firing),
    JSON.stringify(message.resolved),
    JSON.stringify(message.delivered),
    message.attempts,
    message.nextAttemptAt,
  ]
}

function readTimer(row: Row): GroupTimer {
  return {
    groupKey: text(row, timerAt.group_key),
    nextFlushAt: number(row, timerAt.next_flush_at),
    flushed: number(row, timerAt.flushed) === 1,
  }
}

function readEntry(row: Row): DedupEntry {
  return {
    groupKey: text(row, entryAt.group_key),
    integrationKey: text(row, entryAt.integration_key),
    at: number(row, entryAt.at),
    firing: json<string[]>(row, entryAt.firing),
    resolved: json<string[]>(row, entryAt.resolved),
  }
}

function readMessage(row: Row): OutboxRow {
  return {
    groupKey: text(row, messageAt.group_key),
    integrationKey: text(row, messageAt.integration_key),
    reason: text(row, messageAt.reason) as OutboxRow['reason'],
    at: number(row, messageAt.at),
    firstDecidedAt: number(row, messageAt.first_decided_at),
    firing: json<string[]>(row, messageAt.firing),
    resolved: json<string[]>(row, messageAt.resolved),
    delivered: json<string[]>(row, messageAt.delivered),
    attempts: number(row, messageAt.attempts),
    nextAttemptAt: number(row, messageAt.next_attempt_at),
  }
}

// ---- walks

function walkStatements(db: DatabaseSync) {
  return {
    get: prepareSelect(db, 'SELECT state FROM walk_state'),
    set: prepareUpsert(db, 'walk_state', ['only_row'], ['only_row', 'state']),
  }
}

// ---- rows, as arrays: rows as objects take twice as long

type Row = readonly SQLOutputValue[]
interface Select {
  all(...values: SQLInputValue[]): readonly Row[]
}

function prepareSelect(db: DatabaseSync, sql: string): Select {
  const statement = db.prepare(sql)
  statement.setReturnArrays(true)
  return {
    all: (...values) => {
      // The declarations of node:sqlite know only rows as objects.
      const rows: readonly unknown[] = statement.all(...values)
      return rows.filter((row): row is Row => Array.isArray(row))
    },
  }
}

/** The index of each column in a row that has them in this order. */
function positions<Column extends string>(columns: readonly Column[]): Readonly<Record<Column, number>> {
  return Object.fromEntries(columns.map((column, index) => [column, index])) as Record<Column, number>
}

function prepareUpsert(
  db: DatabaseSync,
  table: string,
  keys: readonly string[],
  columns: readonly string[],
): StatementSync {
  const updates = columns
    .filter((column) => !keys.includes(column))
    .map((column) => `${column} = excluded.${column}`)
  return db.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ` +
      `ON CONFLICT (${keys.join(', ')}) DO UPDATE SET ${updates.join(', ')}`,
  )
}

// Each cell is looked at, since a damaged file may hold anything; what the text stands for is ours.

function text(row: Row, column: number): string {
  const cell = row[column]
  if (typeof cell === 'string') return cell
  throw new StorageError('corrupt', `column ${column} holds no text`)
}

function textOrNull(row: Row, column: number): string | null {
  return row[column] === null ? null : text(row, column)
}

function number(row: Row, column: number): number {
  const cell = row[column]
  if (typeof cell === 'number') return cell
  throw new StorageError('corrupt', `column ${column} holds no number`)
}

function numberOrNull(row: Row, column: number): number | null {
  return row[column] === null ? null : number(row, column)
}

/** A value that was written by JSON.stringify from a T. */
function json<T>(row: Row, column: number): T {
  return JSON.parse(text(row, column))
}
