// The audit trail: every change that somebody makes through us, and what we do by ourselves that
// matters, as a chain of records (audit-record.ts) that is only ever added to.
//
//   begun → saved → the change → ok or failed → saved
//
// A change begins only once it is saved that it does: when that cannot be, it does not happen. Of one
// that a crash cut off, `begun` is left: it may or may not have happened. Records are added one after
// the other, in the order in which they were asked for.
//
// Two things take away from it, each as a record of its own that says what went: erasing a person
// (`user.forget`) and the end of the time for which records are kept (`audit.prune`).
//
// It never decides who may do something, and does nothing by itself.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Actor, AuditEntry } from '../actor.ts'
import { type AuditHead, type AuditRecord, createRecord } from './audit-record.ts'
import type { AuditReader, AuditStore } from './audit-store.ts'
import { type AuditVerdict, createAuditCheck } from './audit-verification.ts'
import { auditable, auditableTarget } from './auditable.ts'
import { formatRanges } from './seq-ranges.ts'

export interface AuditTrail {
  /** Resolves when it is saved. Rejects with AuditError: then what it is about must not happen. */
  record(entry: AuditEntry): Promise<void>
  /**
   * Does `work`, between a record that it begins and one of how it ended. Rejects with AuditError, without
   * doing it, when the first one cannot be saved; when the second cannot, the first stands for it.
   */
  audited<T>(change: AuditedChange<T>, work: () => Promise<T>): Promise<T>
  /**
   * Somebody was not let do something. Never rejects, and saves a few a minute at most: who knocks a
   * million times must not fill the disk. The next one that is saved says how many were not.
   */
  recordDenied(denied: Omit<AuditEntry, 'result'>): Promise<void>
  /** All records that match, in order, as they are read. */
  records(query?: AuditQuery): AsyncGenerator<AuditRecord>
  verify(expected?: AuditHead | null): Promise<AuditVerdict>
  /** The last record. */
  head(): AuditHead
  /** Takes the subject from these records and adds `entry`, which then names them, all at once. */
  erase(seqs: readonly number[], entry: Omit<AuditEntry, 'result'>): Promise<void>
  /** Lets go of what is older than `keepMs`, a slice at each call. True: there is more. */
  prune(keepMs: number): Promise<boolean>
}

/** What was to be done was not done, since it could not be recorded; `cause` says why not. */
export class AuditError extends Error {
  override readonly name = 'AuditError'
  readonly kind = 'not_recorded'
}

export interface AuditedChange<T> extends Omit<AuditEntry, 'result'> {
  /** What became of it, where `work` says so without rejecting; by default it is ok. */
  readonly outcome?: (value: T) => Partial<Pick<AuditEntry, 'target' | 'detail'>> & {
    readonly result?: 'ok' | 'failed'
  }
}

export interface AuditQuery {
  /** Instants: from this one on, and before that one (ms since 1970). */
  readonly from?: number
  readonly to?: number
  /** `silence.set`, or a noun: `silence`. */
  readonly action?: string
  readonly matches?: (record: AuditRecord) => boolean
}

export interface AuditTrailOptions {
  readonly clock: { now(): number }
  readonly events: AuditEvents
}

export interface AuditEvents {
  /** A record is saved. */
  onRecord(record: AuditRecord): void
  /** One could not be. */
  onFailure(action: string, error: unknown): void
}

/** Of the service itself. */
export function serviceActor(name = ''): Actor {
  return { kind: 'service', name, role: null, from: null }
}

const sliceRecords = 500
const mostPrunedAtOnce = 2_000
const mostDeniedPerMinute = 30

export async function openAuditTrail(store: AuditStore, options: AuditTrailOptions): Promise<AuditTrail> {
  const { clock, events } = options
  let head = await store.loadAuditHead()
  /** A record that was handed to the store, whose answer was not that it is saved. */
  let doubtful: AuditRecord | null = null
  let last: Promise<unknown> = Promise.resolve()
  let deniedSince = Number.NEGATIVE_INFINITY
  let denied = 0
  let unrecordedDenied = 0
  let readers = 0

  /** One after the other, whether or not the one before succeeded: each follows what is saved. */
  function append(
    entry: AuditEntry,
    changes?: { readonly erasedSeqs?: readonly number[]; readonly prunedSeq?: number },
  ): Promise<void> {
    const done = last.then(async () => {
      let record: AuditRecord
      try {
        if (doubtful !== null) await clearUp(doubtful)
        record = createRecord(entry, { at: clock.now(), head })
        doubtful = record
        await store.appendAudit(record, changes)
      } catch (error) {
        events.onFailure(entry.action, error)
        throw new AuditError(
          'nothing was changed, since the change could not be recorded in the audit trail: the log says why',
          { cause: error },
        )
      }
      doubtful = null
      head = { seq: record.seq, hash: record.hash }
      events.onRecord(record)
    })
    last = done.catch(() => undefined)
    return done
  }

  /** A server that was lost during a commit may have saved it after all: then the next one follows it. */
  async function clearUp(record: AuditRecord): Promise<void> {
    head = await store.loadAuditHead()
    doubtful = null
    if (head.hash === record.hash) events.onRecord(record)
  }

  function record({ actor, action, result, target, detail }: AuditEntry): Promise<void> {
    return append({ actor, action, result, target: auditableTarget(target), detail: auditable(detail) })
  }

  async function audited<T>(change: AuditedChange<T>, work: () => Promise<T>): Promise<T> {
    const { outcome, ...entry } = change
    await record({ ...entry, result: 'begun' })
    let value: T
    try {
      value = await work()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      await ended({ ...entry, result: 'failed', detail: { ...entry.detail, reason } })
      throw error
    }
    await ended({ ...entry, result: 'ok', ...outcome?.(value) })
    return value
  }

  /** It has happened or failed by now, so that it cannot be recorded is told and changes nothing. */
  function ended(entry: AuditEntry): Promise<void> {
    return record(entry).catch(() => undefined)
  }

  async function recordDenied(entry: Omit<AuditEntry, 'result'>): Promise<void> {
    const now = clock.now()
    if (Math.abs(now - deniedSince) >= 60_000) {
      deniedSince = now
      denied = 0
    }
    if (++denied > mostDeniedPerMinute) {
      unrecordedDenied++
      return
    }
    const more = unrecordedDenied
    unrecordedDenied = 0
    const detail = more === 0 ? entry.detail : { ...entry.detail, denied_before_and_not_recorded: more }
    await ended({ ...entry, detail, result: 'denied' })
  }

  async function* records(query: AuditQuery = {}): AsyncGenerator<AuditRecord> {
    readers++
    try {
      for await (const one of allRecords(store)) if (isAsked(one, query)) yield one
    } finally {
      readers--
    }
  }

  async function verify(expected?: AuditHead | null): Promise<AuditVerdict> {
    readers++
    try {
      return await verifyTrail(store, expected)
    } finally {
      readers--
    }
  }

  async function prune(keepMs: number): Promise<boolean> {
    // Whoever reads the trail would see a gap where records went meanwhile: the next time, then.
    if (readers > 0) return false
    const before = clock.now() - keepMs
    let oldest: AuditRecord | undefined
    let count = 0
    for await (const one of allRecords(store)) {
      if (one.at >= before || count === mostPrunedAtOnce) break
      oldest = one
      count++
    }
    if (oldest === undefined) return false
    const { seq, hash } = oldest
    await append(
      {
        actor: serviceActor(),
        action: 'audit.prune',
        result: 'ok',
        target: {},
        detail: { records: count, pruned_seq: seq, pruned_hash: hash },
      },
      { prunedSeq: seq },
    )
    return count === mostPrunedAtOnce
  }

  return {
    record,
    audited,
    recordDenied,
    records,
    verify,
    head: () => head,
    erase: (seqs, { actor, action, target, detail }) =>
      append(
        { actor, action, result: 'ok', target, detail: { ...detail, erased_records: formatRanges(seqs) } },
        { erasedSeqs: seqs },
      ),
    prune,
  }
}

/** Of what is stored, from the first record to the one that is the head when it has come so far. */
export async function verifyTrail(
  store: AuditReader,
  expected: AuditHead | null = null,
): Promise<AuditVerdict> {
  const check = createAuditCheck(expected)
  for (let after = 0; ; ) {
    // Asked for together, so that nothing is added in between.
    const [slice, head] = await Promise.all([
      store.loadAuditRecords(after, sliceRecords),
      store.loadAuditHead(),
    ])
    for (const one of slice) check.add(one)
    const end = slice.at(-1)
    if (end === undefined) return check.end(head)
    after = end.seq
    // A database that answers at once would let nobody else have a turn until the end.
    await nextTurn()
  }
}

/** In slices, so that a long trail is never whole in memory. */
export async function* allRecords(store: AuditReader): AsyncGenerator<AuditRecord> {
  for (let after = 0; ; ) {
    const slice = await store.loadAuditRecords(after, sliceRecords)
    yield* slice
    const end = slice.at(-1)
    if (end === undefined) return
    after = end.seq
    await nextTurn()
  }
}

function isAsked(record: AuditRecord, { from, to, action, matches }: AuditQuery): boolean {
  if (from !== undefined && record.at < from) return false
  if (to !== undefined && record.at >= to) return false
  if (action !== undefined && record.action !== action && !record.action.startsWith(`${action}.`))
    return false
  return matches?.(record) ?? true
}
