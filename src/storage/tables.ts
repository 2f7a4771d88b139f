// The tables of alerts, of what is told and of walks: which column holds what. Alerts have columns for
// what an operator would ask for, JSON for the rest. migrations.ts and postgres-migrations.ts have
// the schemas.

import type { Alert, Subject } from '../alerts/alert.ts'
import { noFlips } from '../alerts/flapping.ts'
import type { WalkState } from '../alerts/walk-store.ts'
import type { DeviceType } from '../fleet/device.ts'
import type { DedupEntry, GroupTimer, OutboxRow } from '../notify/store.ts'
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
import { StorageError } from './storage.ts'

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
  'flips',
  'flapping_since',
  'reconnected_at',
] as const

export const alertTable: Table = { name: 'alert', columns: alertColumns, keys: ['key'] }
const alertAt = positions(alertColumns)

export function alertValues(alert: Alert): Cell[] {
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
    JSON.stringify(alert.flips),
    alert.flappingSince,
    alert.reconnectedAt,
  ]
}

export function alertKeyOf(row: Row): unknown {
  return row[alertAt.key]
}

/**
 * Reads the alerts of one load. What many of them have in common, such as a rule's annotations for
 * a manufacturer, is read and kept once: 100,000 alerts of an outage then take two thirds of the
 * memory. The reader throws when a cell holds what we never wrote.
 */
export function createAlertReader(): (row: Row) => Alert {
  const shared = createCache((value) => value)
  const annotations = createCache<Alert['annotations']>((value) => JSON.parse(value))
  return (row) => readAlert(row, { shared, annotations })
}

function readAlert(
  row: Row,
  { shared, annotations }: { shared: Cache<string>; annotations: Cache<Alert['annotations']> },
): Alert {
  const noData = textOrNull(row, alertAt.no_data)
  return {
    key: text(row, alertAt.key),
    fingerprint: text(row, alertAt.fingerprint),
    ruleId: shared(text(row, alertAt.rule_id)),
    definition: shared(text(row, alertAt.definition)),
    subject: readSubject(row),
    labels: json<Alert['labels']>(row, alertAt.labels),
    annotations: annotations(text(row, alertAt.annotations)),
    affected: json<Alert['affected']>(row, alertAt.affected),
    state: text(row, alertAt.state) as Alert['state'],
    episode: text(row, alertAt.episode),
    activeAt: number(row, alertAt.active_at),
    firedAt: numberOrNull(row, alertAt.fired_at),
    keepFiringSince: numberOrNull(row, alertAt.keep_firing_since),
    resolvedAt: numberOrNull(row, alertAt.resolved_at),
    resolvedReason: textOrNull(row, alertAt.resolved_reason) as Alert['resolvedReason'],
    reconnectedAt: numberOrNull(row, alertAt.reconnected_at),
    noData: noData === null ? null : json<NonNullable<Alert['noData']>>(row, alertAt.no_data),
    deletedSeen: number(row, alertAt.deleted_seen),
    evaluatedAt: number(row, alertAt.evaluated_at),
    settled: number(row, alertAt.settled) === 1,
    flips: readFlips(text(row, alertAt.flips)),
    flappingSince: numberOrNull(row, alertAt.flapping_since),
  }
}

/** Nearly every alert has none: those share one list. */
function readFlips(flips: string): readonly number[] {
  return flips === '[]' ? noFlips : JSON.parse(flips)
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
const entryColumns = [
  'group_key',
  'integration_key',
  'at',
  'firing',
  'resolved',
  'silenced',
  'receiver_data',
] as const
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
  'receiver_data',
] as const

export const timerTable: Table = { name: 'group_timer', columns: timerColumns, keys: ['group_key'] }
export const entryTable: Table = {
  name: 'dedup_entry',
  columns: entryColumns,
  keys: ['group_key', 'integration_key'],
}
export const messageTable: Table = {
  name: 'outbox',
  columns: messageColumns,
  keys: ['group_key', 'integration_key'],
}
const timerAt = positions(timerColumns)
const entryAt = positions(entryColumns)
const messageAt = positions(messageColumns)

export function timerValues({ groupKey, nextFlushAt, flushed }: GroupTimer): Cell[] {
  return [groupKey, nextFlushAt, flushed ? 1 : 0]
}

export function entryValues(entry: DedupEntry): Cell[] {
  return [
    entry.groupKey,
    entry.integrationKey,
    entry.at,
    JSON.stringify(entry.firing),
    JSON.stringify(entry.resolved),
    JSON.stringify(entry.silenced),
    entry.receiverData,
  ]
}

/** Those of its keys and of the moment at which it was decided come first. */
export function messageValues(message: OutboxRow): Cell[] {
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
    message.receiverData,
  ]
}

export function readTimer(row: Row): GroupTimer {
  return {
    groupKey: text(row, timerAt.group_key),
    nextFlushAt: number(row, timerAt.next_flush_at),
    flushed: number(row, timerAt.flushed) === 1,
  }
}

export function readEntry(row: Row): DedupEntry {
  return {
    groupKey: text(row, entryAt.group_key),
    integrationKey: text(row, entryAt.integration_key),
    at: number(row, entryAt.at),
    firing: json<string[]>(row, entryAt.firing),
    resolved: json<string[]>(row, entryAt.resolved),
    silenced: json<string[]>(row, entryAt.silenced),
    receiverData: textOrNull(row, entryAt.receiver_data),
  }
}

export function readMessage(row: Row): OutboxRow {
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
    receiverData: textOrNull(row, messageAt.receiver_data),
  }
}

// ---- walks

export const walkTable: Table = { name: 'walk_state', columns: ['only_row', 'state'], keys: ['only_row'] }

export function walkValues(state: WalkState): Cell[] {
  return [1, JSON.stringify(state)]
}

export function readWalkState(row: Row): WalkState {
  return json<WalkState>(row, 1)
}

// ---- what many rows share

type Cache<T> = (text: string) => T

/**
 * Makes what a text stands for once, as long as there are not too many different ones. Texts are
 * looked for among those as long as they are: the hash that a map of texts needs reads each to its
 * end, which for annotations takes longer than their JSON.
 */
function createCache<T>(make: (text: string) => T): Cache<T> {
  const madeByLength = new Map<number, { readonly value: string; readonly result: T }[]>()
  return (value) => {
    let made = madeByLength.get(value.length)
    if (made === undefined) {
      if (madeByLength.size >= mostLengths) madeByLength.clear()
      made = []
      madeByLength.set(value.length, made)
    }
    for (const known of made) if (known.value === value) return known.result
    if (made.length >= mostOfOneLength) made.length = 0
    const result = make(value)
    made.push({ value, result })
    return result
  }
}

const mostOfOneLength = 32
const mostLengths = 100
