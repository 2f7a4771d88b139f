// What every database behind Storage must do, whichever it is. A database's own test calls this with
// a way to open the same database again and again.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Alert, Subject } from '../../src/alerts/alert.ts'
import type { Acknowledgement, StoredSilence } from '../../src/alerts/silence.ts'
import { createRecord, genesis } from '../../src/backoffice/audit-record.ts'
import { openAuditTrail, serviceActor } from '../../src/backoffice/audit-trail.ts'
import { type MigrationState, migrationSteps } from '../../src/backoffice/migration.ts'
import { deviceTypes } from '../../src/fleet/device.ts'
import type { LinkRecord } from '../../src/links/link-store.ts'
import type { DedupEntry, GroupTimer, OutboxRow } from '../../src/notify/store.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { alertFixture, alertsFixture, silenceFixture, walkStateFixture as walkState } from './fixtures.ts'
import { describeHistoryStore } from './history-contract.ts'
import { describeOwnerStore } from './owner-contract.ts'

export interface TestDatabase {
  /** Opens the database, the same each time, which is empty at first. */
  open(): Promise<Storage>
  remove(): Promise<void>
}

const timer: GroupTimer = { groupKey: 'g', nextFlushAt: 5_000, flushed: true }
const message: OutboxRow = {
  groupKey: 'g',
  integrationKey: 'on-call/slack/0',
  reason: 'new alerts',
  at: 1_000,
  firstDecidedAt: 500,
  firing: ['f1', 'f2'],
  resolved: ['f3'],
  delivered: ['a@example.com'],
  attempts: 2,
  nextAttemptAt: 1_500,
  receiverData: '{"ts":"1"}',
}
const told: DedupEntry = {
  groupKey: 'g',
  integrationKey: 'on-call/slack/0',
  at: 1_000,
  firing: ['f1'],
  resolved: [],
  silenced: ['f1'],
  receiverData: '{"ts":"2"}',
}
const nothingElse = { outbox: [], remembered: [], dropped: [] }

// Anything a partner may send: emoji, right-to-left, line breaks, NUL, quotes.
const anyText = fc.string({ unit: 'binary', maxLength: 20 })
const instant = fc.oneof(
  fc.integer({ min: 0, max: 4_102_444_800_000 }),
  fc.double({ min: 0, max: 1e13, noNaN: true }),
)
const subjects: fc.Arbitrary<Subject> = fc.oneof(
  fc.record({
    kind: fc.constant('device' as const),
    userId: anyText,
    deviceType: fc.constantFrom(...deviceTypes),
    deviceId: anyText,
  }),
  fc.record({ kind: fc.constant('user' as const), userId: anyText }),
  fc.record({ kind: fc.constant('fleet' as const), group: anyText }),
)
// An own property named __proto__ or the like must come back too, so keys are any text.
const labels = fc.dictionary(anyText, anyText, { maxKeys: 4, noNullPrototype: true })
const reasons = ['condition', 'no_data', 'rule_changed', 'rule_removed', 'device_deleted', 'manual'] as const
const alerts: fc.Arbitrary<Alert> = fc.record({
  key: anyText,
  fingerprint: anyText,
  ruleId: anyText,
  definition: anyText,
  subject: subjects,
  labels,
  annotations: labels,
  affected: fc.record({
    externalUserId: fc.option(anyText),
    name: fc.option(anyText),
    email: fc.option(anyText),
    model: fc.option(anyText),
  }),
  state: fc.constantFrom('pending', 'firing', 'recovering', 'resolved'),
  episode: anyText,
  activeAt: instant,
  firedAt: fc.option(instant),
  keepFiringSince: fc.option(instant),
  resolvedAt: fc.option(instant),
  resolvedReason: fc.option(fc.constantFrom(...reasons)),
  reconnectedAt: fc.option(instant),
  noData: fc.option(
    fc.record({
      since: instant,
      reason: fc.constantFrom('poll_failed', 'device_missing', 'stale', 'missing_field', 'rule_error'),
      evaluations: fc.nat(),
    }),
  ),
  deletedSeen: fc.nat(),
  evaluatedAt: instant,
  settled: fc.boolean(),
  flips: fc.array(instant, { maxLength: 5 }),
  flappingSince: fc.option(instant),
})

const migrations: fc.Arbitrary<MigrationState> = fc.record({
  externalId: anyText,
  userId: fc.option(anyText),
  oldUserId: fc.option(anyText),
  step: fc.constantFrom(...migrationSteps),
  since: instant,
  problem: fc.option(anyText),
  expected: fc.record({
    heat_pump: fc.nat(),
    electric_vehicle: fc.nat(),
    inverter: fc.nat(),
    wallbox: fc.nat(),
  }),
  needsContract: fc.boolean(),
  language: anyText,
  priceZone: fc.option(anyText),
  sessions: fc.array(
    fc.record({
      deviceType: fc.constantFrom(...deviceTypes),
      openedAt: instant,
      expiresAt: fc.option(instant),
    }),
    { maxLength: 2 },
  ),
})

const silences: fc.Arbitrary<StoredSilence> = fc.record({
  id: anyText,
  matchers: fc.array(
    fc.record({ name: anyText, operator: fc.constantFrom('=', '!=', '=~', '!~'), value: anyText }),
    { maxLength: 3 },
  ),
  startsAt: instant,
  endsAt: instant,
  updatedAt: instant,
  createdBy: anyText,
  comment: anyText,
  annotations: labels,
  expiry: fc.option(
    fc.oneof(
      fc.constant({ kind: 'resolved' as const }),
      fc.record({ kind: fc.constant('unmatched' as const), forMs: fc.nat() }),
    ),
  ),
  remindedAt: fc.option(instant),
  lastMatchedAt: fc.option(instant),
  unmatchedSince: fc.option(instant),
})
const acknowledgements: fc.Arbitrary<Acknowledgement> = fc.record({
  fingerprint: anyText,
  episode: anyText,
  by: anyText,
  comment: anyText,
  at: instant,
  until: fc.option(instant),
})
const links: fc.Arbitrary<LinkRecord> = fc.record({
  episode: anyText,
  fingerprint: anyText,
  alertname: anyText,
  userId: anyText,
  deviceType: fc.constantFrom(...deviceTypes),
  deviceId: anyText,
  manufacturer: anyText,
  since: instant,
  givenAt: instant,
  expiresAt: instant,
  resolvedAt: fc.option(instant),
  resolvedReason: fc.option(fc.constantFrom(...reasons)),
  startedAt: fc.option(instant),
  returnedAt: fc.option(instant),
  cancelledAt: fc.option(instant),
  checkedAt: fc.option(instant),
  stillWrong: fc.option(
    fc.constantFrom(...(['not_authenticated', 'action_pending', 'unread', 'gone'] as const)),
  ),
  verifiedAfterMs: fc.option(instant),
  revokedAt: fc.option(instant),
})
const acknowledgement: Acknowledgement = {
  fingerprint: 'f1',
  episode: 'e1',
  by: 'ann',
  comment: '',
  at: 1,
  until: null,
}

export function describeStorage(name: string, createDatabase: () => Promise<TestDatabase>): void {
  describe(`storage in ${name}`, () => {
    let database: TestDatabase
    let storage: Storage

    beforeEach(async () => {
      database = await createDatabase()
      storage = await database.open()
    })
    afterEach(async () => {
      await storage.close()
      await database.remove()
    })
    async function reopen(): Promise<void> {
      await storage.close()
      storage = await database.open()
    }

    it('begins empty', async () => {
      expect(storage.recovered).toBeNull()
      expect(await storage.loadAlerts()).toEqual([])
      expect(await storage.loadGroupTimers()).toEqual([])
      expect(await storage.loadDedupEntries()).toEqual([])
      expect(await storage.loadOutbox()).toEqual([])
      expect(await storage.loadWalkState()).toBeNull()
      expect(await storage.loadSilences()).toEqual([])
      expect(await storage.loadAcknowledgements()).toEqual([])
      expect(await storage.loadLinks()).toEqual([])
      expect(await storage.loadAuditHead()).toEqual(genesis)
      expect(await storage.loadAuditRecords(0, 10)).toEqual([])
    })

    describe('the audit trail', () => {
      const entry = (detail: Readonly<Record<string, unknown>> = {}) => ({
        ...{ actor: serviceActor('SIGHUP'), action: 'configuration.reload', result: 'ok' as const },
        ...{ target: {}, detail },
      })
      const quiet = { onRecord: () => undefined, onFailure: () => undefined }
      const openTrail = () =>
        openAuditTrail(storage, { clock: { now: () => 1_764_000_000_000 }, events: quiet })

      it('comes back after a restart with every field as it was, and is whole', async () => {
        let trail = await openTrail()
        await fc.assert(
          fc.asyncProperty(
            fc.record({
              actor: fc.record({
                kind: fc.constantFrom('local', 'token', 'person', 'link', 'service'),
                name: anyText,
                role: fc.constantFrom('viewer', 'operator', 'admin', null),
                from: fc.option(anyText),
              }),
              action: anyText,
              result: fc.constantFrom('begun', 'ok', 'denied', 'failed'),
              target: labels,
              detail: fc.dictionary(anyText, fc.jsonValue(), { maxKeys: 3, noNullPrototype: true }),
            }),
            async (written) => {
              const record = createRecord(written, { at: 7, head: await storage.loadAuditHead() })
              await storage.appendAudit(record)
              await reopen()
              // JSON has one zero.
              const stored = JSON.parse(JSON.stringify([record]))
              expect(await storage.loadAuditRecords(record.seq - 1, 5)).toEqual(stored)
              expect(await storage.loadAuditHead()).toEqual({ seq: record.seq, hash: record.hash })
            },
          ),
          { numRuns: 20 },
        )
        trail = await openTrail()
        expect(await trail.verify()).toMatchObject({ findingCount: 0 })
      })

      it('is read in slices', async () => {
        const trail = await openTrail()
        for (let n = 0; n < 5; n++) await trail.record(entry({ n }))
        const seqs = async (after: number, limit: number) =>
          (await storage.loadAuditRecords(after, limit)).map(({ seq }) => seq)
        expect(await seqs(0, 2)).toEqual([1, 2])
        expect(await seqs(2, 10)).toEqual([3, 4, 5])
        expect(await seqs(5, 10)).toEqual([])
      })

      it('takes no record that does not follow the last one', async () => {
        const first = createRecord(entry(), { at: 1, head: genesis })
        await storage.appendAudit(first)
        const { hash } = first
        for (const head of [genesis, { seq: 1, hash: 'ab'.repeat(32) }, { seq: 2, hash }]) {
          await expect(storage.appendAudit(createRecord(entry(), { at: 2, head }))).rejects.toMatchObject({
            name: 'StorageError',
          })
        }
        expect(await storage.loadAuditRecords(0, 10)).toEqual([first])
        await storage.appendAudit(createRecord(entry(), { at: 2, head: { seq: 1, hash } }))
      })

      it('erases, prunes and adds all at once or not at all', async () => {
        const trail = await openTrail()
        for (let n = 0; n < 6; n++) await trail.record(entry({ n }))
        const before = await storage.loadAuditRecords(0, 10)
        const wrong = createRecord(entry(), { at: 2, head: genesis })
        await expect(storage.appendAudit(wrong, { erasedSeqs: [5], prunedSeq: 2 })).rejects.toBeDefined()
        expect(await storage.loadAuditRecords(0, 10)).toEqual(before)
        const next = createRecord(entry(), { at: 2, head: await storage.loadAuditHead() })
        await storage.appendAudit(next, { erasedSeqs: [5, 4], prunedSeq: 2 })
        await reopen()
        const after = await storage.loadAuditRecords(0, 10)
        expect(after.map(({ seq, about }) => [seq, about === null])).toEqual([
          [3, false],
          [4, true],
          [5, true],
          [6, false],
          [7, false],
        ])
      })

      it('verifies a long trail in slices, with the process free in between', async () => {
        const trail = await openTrail()
        // The memory is that of a slice, however many there are.
        await Promise.all(Array.from({ length: 1_600 }, (_, n) => trail.record(entry({ n }))))
        let largest = 0
        const spied = {
          ...storage,
          loadAuditRecords: async (after: number, limit: number) => {
            const slice = await storage.loadAuditRecords(after, limit)
            largest = Math.max(largest, slice.length)
            return slice
          },
        }
        const reader = await openAuditTrail(spied, { clock: { now: () => 0 }, events: quiet })
        let turns = 0
        let busy = true
        const count = () => {
          turns += 1
          if (busy) setImmediate(count)
        }
        setImmediate(count)
        expect(await reader.verify()).toMatchObject({ records: 1_600, findingCount: 0 })
        busy = false
        expect(turns).toBeGreaterThan(2)
        const erased = Array.from({ length: 250 }, (_, n) => 2 * n + 1)
        await trail.erase(erased, { ...entry(), action: 'user.forget' })
        expect(await trail.verify()).toMatchObject({ records: 1_601, erased: 250, findingCount: 0 })
        expect(largest).toBeLessThanOrEqual(500)
      })
    })

    it('removes what is left of what was deleted, and keeps the rest', async () => {
      await storage.saveAlerts({ upserts: alertsFixture(50), deletedKeys: [] })
      await storage.saveAlerts({ upserts: [], deletedKeys: alertsFixture(49).map(({ key }) => key) })
      await storage.removeTraces()
      await storage.saveWalkState(walkState)
      await reopen()
      expect(await storage.loadAlerts()).toHaveLength(1)
      expect(await storage.loadWalkState()).toEqual(walkState)
    })

    describe('alerts', () => {
      it('come back after a restart with every field as it was', async () => {
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(alerts, { selector: (alert) => alert.key, maxLength: 5 }),
            async (written) => {
              const deletedKeys = (await storage.loadAlerts()).map((alert) => alert.key)
              await storage.saveAlerts({ upserts: written, deletedKeys })
              await reopen()
              const read = await storage.loadAlerts()
              expect(byKey(read)).toEqual(byKey(written))
            },
          ),
          { numRuns: 30 },
        )
      })

      it('are replaced under the same key, all fields of them', async () => {
        const before = alertFixture({ noData: { since: 1, reason: 'stale', evaluations: 2 } })
        const after = alertFixture({
          fingerprint: 'other',
          ruleId: 'other',
          definition: 'other',
          subject: { kind: 'fleet', group: 'vaillant' },
          labels: {},
          annotations: {},
          affected: { externalUserId: null, name: 'n', email: 'e', model: null },
          state: 'resolved',
          episode: 'other',
          activeAt: 1,
          firedAt: 2,
          keepFiringSince: 3,
          resolvedAt: 4,
          resolvedReason: 'manual',
          deletedSeen: 5,
          evaluatedAt: 6,
          settled: true,
          flips: [7, 8],
          flappingSince: 9,
          reconnectedAt: 10,
        })
        await storage.saveAlerts({ upserts: [before], deletedKeys: [] })
        await storage.saveAlerts({ upserts: [after], deletedKeys: [] })
        expect(await storage.loadAlerts()).toEqual([after])
      })

      it('go when their keys are deleted, and a key that is not there is no error', async () => {
        const [first, second] = alertsFixture(2)
        await storage.saveAlerts({ upserts: [first!, second!], deletedKeys: [] })
        await storage.saveAlerts({ upserts: [], deletedKeys: [first!.key, 'no such key'] })
        expect(await storage.loadAlerts()).toEqual([second])
      })

      it('are told apart by the whole of keys of any length; of two with the same, the last one stays', async () => {
        // Random, since a database may compress what repeats.
        const begin = Array.from({ length: 2_000 }, () => Math.random().toString(36)).join('')
        const first = alertFixture({ key: `${begin}1` })
        const second = alertFixture({ key: `${begin}2` })
        const replaced = { ...second, episode: 'other' }
        await storage.saveAlerts({ upserts: [first, second, replaced], deletedKeys: [] })
        expect(byKey(await storage.loadAlerts())).toEqual([first, replaced])
        await storage.saveAlerts({ upserts: [], deletedKeys: [second.key] })
        expect(await storage.loadAlerts()).toEqual([first])
      })

      it('are saved all or none', async () => {
        const good = alertsFixture(1_200)
        const kept = alertFixture({ key: 'kept' })
        await storage.saveAlerts({ upserts: [kept], deletedKeys: [] })
        const bad = { ...alertFixture({ key: 'bad' }), evaluatedAt: null as unknown as number }
        await expect(
          storage.saveAlerts({ upserts: [...good, bad], deletedKeys: ['kept'] }),
        ).rejects.toMatchObject({ name: 'StorageError', kind: 'internal' })
        expect(await storage.loadAlerts()).toEqual([kept])
        await storage.saveAlerts({ upserts: good, deletedKeys: [] })
        expect(await storage.loadAlerts()).toHaveLength(1_201)
      })

      it('are never seen half saved by a call made meanwhile, and calls keep their order', async () => {
        const save = storage.saveAlerts({ upserts: alertsFixture(2_000), deletedKeys: [] })
        const walked = storage.saveWalkState(walkState)
        const load = storage.loadAlerts()
        const gone = storage.saveAlerts({ upserts: [], deletedKeys: alertsFixture(2_000).map((a) => a.key) })
        expect(await load).toHaveLength(2_000)
        await Promise.all([save, walked, gone])
        expect(await storage.loadAlerts()).toEqual([])
      })

      it('do not keep a failed save from being followed by others that were waiting', async () => {
        const bad = { ...alertFixture({ key: 'bad' }), activeAt: null as unknown as number }
        const results = await Promise.allSettled([
          storage.saveAlerts({ upserts: [...alertsFixture(1_000), bad], deletedKeys: [] }),
          storage.saveFlush({ ...nothingElse, timer }),
          storage.saveAlerts({ upserts: [alertFixture()], deletedKeys: [] }),
        ])
        expect(results.map((result) => result.status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
        expect(await storage.loadAlerts()).toEqual([alertFixture()])
        expect(await storage.loadGroupTimers()).toEqual([timer])
      })

      it('leave the process free to do other things while thousands are saved and loaded', async () => {
        let turns = 0
        let busy = true
        const count = () => {
          turns += 1
          if (busy) setImmediate(count)
        }
        setImmediate(count)
        await storage.saveAlerts({ upserts: alertsFixture(5_000), deletedKeys: [] })
        expect(turns).toBeGreaterThan(5)
        turns = 0
        await storage.loadAlerts()
        expect(turns).toBeGreaterThan(5)
        busy = false
      })
    })

    describe('a flush', () => {
      it('is kept over a restart with every field', async () => {
        await storage.saveFlush({
          timer,
          outbox: [message, { ...message, integrationKey: 'pager/email/0', delivered: [] }],
          remembered: [{ ...told, integrationKey: 'pager/webhook/0', resolved: ['f9'] }],
          dropped: [],
        })
        await reopen()
        expect(await storage.loadGroupTimers()).toEqual([timer])
        expect(await storage.loadOutbox()).toEqual([
          message,
          { ...message, integrationKey: 'pager/email/0', delivered: [] },
        ])
        expect(await storage.loadDedupEntries()).toEqual([
          { ...told, integrationKey: 'pager/webhook/0', resolved: ['f9'] },
        ])
      })

      it('replaces the timer, the message and what was told of the same identity', async () => {
        await storage.saveFlush({ timer, outbox: [message], remembered: [told], dropped: [] })
        const later = {
          timer: { ...timer, nextFlushAt: 9_000, flushed: false },
          outbox: [{ ...message, reason: 'repeat' as const, at: 2_000, firing: [], attempts: 0 }],
          remembered: [
            { ...told, at: 2_000, firing: [], resolved: ['f1'], silenced: [], receiverData: null },
          ],
        }
        await storage.saveFlush({ ...later, dropped: [] })
        expect(await storage.loadGroupTimers()).toEqual([later.timer])
        expect(await storage.loadOutbox()).toEqual(later.outbox)
        expect(await storage.loadDedupEntries()).toEqual(later.remembered)
      })

      it('drops the messages that nobody needs any more, and only those', async () => {
        const other = { ...message, groupKey: 'other' }
        await storage.saveFlush({ timer, outbox: [message, other], remembered: [], dropped: [] })
        await storage.saveFlush({ timer, outbox: [], remembered: [], dropped: [message] })
        expect(await storage.loadOutbox()).toEqual([other])
      })

      it('is saved all or nothing', async () => {
        const bad = { ...told, at: null as unknown as number }
        await expect(
          storage.saveFlush({ timer, outbox: [message], remembered: [bad], dropped: [] }),
        ).rejects.toMatchObject({ kind: 'internal' })
        expect(await storage.loadGroupTimers()).toEqual([])
        expect(await storage.loadOutbox()).toEqual([])
      })

      it('is saved together with those of other groups, all of them or none', async () => {
        const other = { ...message, groupKey: 'other' }
        const flush = { timer, outbox: [message], remembered: [], dropped: [] }
        const second = { ...flush, timer: { ...timer, groupKey: 'other' }, outbox: [other] }
        const bad = { ...second, remembered: [{ ...told, at: null as unknown as number }] }
        await expect(storage.saveFlush(flush, bad)).rejects.toMatchObject({ kind: 'internal' })
        expect(await storage.loadOutbox()).toEqual([])
        await storage.saveFlush(flush, second)
        expect(await storage.loadGroupTimers()).toEqual(expect.arrayContaining([timer, second.timer]))
        expect(await storage.loadOutbox()).toEqual(expect.arrayContaining([message, other]))
      })
    })

    describe('an attempt', () => {
      beforeEach(() => storage.saveFlush({ timer, outbox: [message], remembered: [], dropped: [] }))

      it('that failed updates its message, all but its identity', async () => {
        const tried: OutboxRow = {
          ...message,
          reason: 'repeat',
          firstDecidedAt: 400,
          firing: ['f4'],
          resolved: [],
          delivered: ['a@example.com', 'b@example.com'],
          attempts: 3,
          nextAttemptAt: 9_000,
          receiverData: null,
        }
        await storage.saveAttempt(tried)
        await reopen()
        expect(await storage.loadOutbox()).toEqual([tried])
      })

      it('that failed changes nothing when a later tick has replaced the message', async () => {
        const replaced = { ...message, at: 2_000 }
        await storage.saveFlush({ timer, outbox: [replaced], remembered: [], dropped: [] })
        await storage.saveAttempt({ ...message, attempts: 3 })
        expect(await storage.loadOutbox()).toEqual([replaced])
      })

      it('that failed does not bring back a message that was dropped', async () => {
        await storage.saveFlush({ timer, outbox: [], remembered: [], dropped: [message] })
        await storage.saveAttempt({ ...message, attempts: 3 })
        expect(await storage.loadOutbox()).toEqual([])
      })

      it('that succeeded takes its message and remembers what was told', async () => {
        await storage.saveDelivered(told)
        await reopen()
        expect(await storage.loadOutbox()).toEqual([])
        expect(await storage.loadDedupEntries()).toEqual([told])
      })

      it('that succeeded leaves the message of a later tick, and still remembers what was told', async () => {
        const replaced = { ...message, at: 2_000 }
        await storage.saveFlush({ timer, outbox: [replaced], remembered: [], dropped: [] })
        await storage.saveDelivered(told)
        expect(await storage.loadOutbox()).toEqual([replaced])
        expect(await storage.loadDedupEntries()).toEqual([told])
      })

      it('that failed for good takes its message and remembers nothing', async () => {
        await storage.dropOutboxRow(message)
        expect(await storage.loadOutbox()).toEqual([])
        expect(await storage.loadDedupEntries()).toEqual([])
      })

      it('that failed for good leaves the message of a later tick', async () => {
        const replaced = { ...message, at: 2_000 }
        await storage.saveFlush({ timer, outbox: [replaced], remembered: [], dropped: [] })
        await storage.dropOutboxRow(message)
        expect(await storage.loadOutbox()).toEqual([replaced])
      })
    })

    it('deletes a group with its timer and all that was told of it', async () => {
      const quiet = { ...told, integrationKey: 'quiet', firing: [], resolved: ['f1'] }
      const other = { ...told, groupKey: 'other' }
      await storage.saveFlush({ timer, outbox: [], remembered: [told, quiet, other], dropped: [] })
      await storage.saveFlush({ ...nothingElse, timer: { ...timer, groupKey: 'other' } })
      await storage.deleteGroup('g')
      expect(await storage.loadGroupTimers()).toEqual([{ ...timer, groupKey: 'other' }])
      expect(await storage.loadDedupEntries()).toEqual([other])
    })

    describe('silences', () => {
      it('come back after a restart with every field as it was', async () => {
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(silences, { selector: (silence) => silence.id, maxLength: 5 }),
            async (written) => {
              const deletedIds = (await storage.loadSilences()).map((silence) => silence.id)
              await storage.saveSilences({ upserts: written, deletedIds })
              await reopen()
              expect(byId(await storage.loadSilences())).toEqual(byId(written))
            },
          ),
          { numRuns: 20 },
        )
      })

      it('are replaced under the same id, and go when their ids are deleted', async () => {
        const first = silenceFixture({ id: 's1', expiry: { kind: 'resolved' }, lastMatchedAt: 4 })
        const second = silenceFixture({ id: 's2' })
        await storage.saveSilences({ upserts: [first, second], deletedIds: [] })
        const changed = silenceFixture({
          id: 's1',
          matchers: [{ name: 'b', operator: '!=', value: '' }],
          startsAt: 11,
          endsAt: 12,
          updatedAt: 13,
          createdBy: 'bob',
          comment: 'other',
          annotations: { a: 'b' },
          expiry: null,
          remindedAt: 14,
          lastMatchedAt: null,
          unmatchedSince: 15,
        })
        await storage.saveSilences({ upserts: [changed], deletedIds: ['s2', 'no such id'] })
        expect(await storage.loadSilences()).toEqual([changed])
      })

      it('are saved all or none, and a failure is followed by saves that work', async () => {
        const kept = silenceFixture({ id: 'kept' })
        await storage.saveSilences({ upserts: [kept], deletedIds: [] })
        const many = Array.from({ length: 1_200 }, (_, i) => silenceFixture({ id: `s${i}` }))
        const bad = silenceFixture({ id: 'bad', endsAt: null as unknown as number })
        await expect(
          storage.saveSilences({ upserts: [...many, bad], deletedIds: ['kept'] }),
        ).rejects.toMatchObject({ name: 'StorageError', kind: 'internal' })
        expect(await storage.loadSilences()).toEqual([kept])
        await storage.saveSilences({ upserts: many, deletedIds: ['kept'] })
        expect(await storage.loadSilences()).toHaveLength(1_200)
      })
    })

    describe('links', () => {
      const byEpisode = (records: readonly LinkRecord[]) =>
        records.toSorted((a, b) => (a.episode < b.episode ? -1 : 1))

      it('come back after a restart with every field as it was', async () => {
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(links, { selector: (one) => one.episode, maxLength: 5 }),
            async (written) => {
              const deletedEpisodes = (await storage.loadLinks()).map((one) => one.episode)
              await storage.saveLinks({ upserts: written, deletedEpisodes })
              await reopen()
              expect(byEpisode(await storage.loadLinks())).toEqual(byEpisode(written))
            },
          ),
          { numRuns: 20 },
        )
      })

      it('are replaced under the same episode, go when they are deleted, and are saved all or none', async () => {
        const [first, second, changed] = fc.sample(links, { numRuns: 3, seed: 3 }).map((one, index) => ({
          ...one,
          episode: index === 1 ? 'e2' : 'e1',
        }))
        await storage.saveLinks({ upserts: [first!, second!], deletedEpisodes: [] })
        await storage.saveLinks({ upserts: [changed!], deletedEpisodes: ['e2', 'no such episode'] })
        expect(await storage.loadLinks()).toEqual([changed])
        const bad = { ...first!, episode: 'e3', since: null as unknown as number }
        const save = storage.saveLinks({ upserts: [second!, bad], deletedEpisodes: ['e1'] })
        await expect(save).rejects.toMatchObject({ name: 'StorageError', kind: 'internal' })
        expect(await storage.loadLinks()).toEqual([changed])
      })
    })

    describe('acknowledgements', () => {
      it('come back after a restart with every field as it was', async () => {
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(acknowledgements, { selector: (one) => one.fingerprint, maxLength: 5 }),
            async (written) => {
              const known = (await storage.loadAcknowledgements()).map((one) => one.fingerprint)
              await storage.saveAcknowledgements({ upserts: written, deletedFingerprints: known })
              await reopen()
              expect(byFingerprint(await storage.loadAcknowledgements())).toEqual(byFingerprint(written))
            },
          ),
          { numRuns: 20 },
        )
      })

      it('are replaced for the same alert, and go when they are deleted', async () => {
        const other = { ...acknowledgement, fingerprint: 'f2' }
        await storage.saveAcknowledgements({ upserts: [acknowledgement, other], deletedFingerprints: [] })
        const changed = { fingerprint: 'f1', episode: 'e2', by: 'bob', comment: 'c', at: 2, until: 3 }
        await storage.saveAcknowledgements({ upserts: [changed], deletedFingerprints: ['f2', 'none'] })
        expect(await storage.loadAcknowledgements()).toEqual([changed])
      })

      it('are saved all or none', async () => {
        await storage.saveAcknowledgements({ upserts: [acknowledgement], deletedFingerprints: [] })
        const good = { ...acknowledgement, fingerprint: 'f2' }
        const bad = { ...acknowledgement, fingerprint: 'f3', at: null as unknown as number }
        await expect(
          storage.saveAcknowledgements({ upserts: [good, bad], deletedFingerprints: ['f1'] }),
        ).rejects.toMatchObject({ name: 'StorageError', kind: 'internal' })
        expect(await storage.loadAcknowledgements()).toEqual([acknowledgement])
      })
    })

    describeOwnerStore({ store: () => storage, reopen })
    describeHistoryStore({ store: () => storage, reopen })

    it('keeps users who are moved over, one state for each', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(migrations, { maxLength: 4, selector: (one) => one.externalId }),
          async (states) => {
            for (const { externalId } of await storage.loadMigrations())
              await storage.deleteMigration(externalId)
            for (const state of states) {
              await storage.saveMigration({ ...state, step: 'planned', userId: null })
              await storage.saveMigration(state)
            }
            const byId = (list: readonly MigrationState[]) =>
              [...list].sort((a, b) => (a.externalId < b.externalId ? -1 : 1))
            expect(byId(await storage.loadMigrations())).toEqual(byId(states))
          },
        ),
        { numRuns: 20 },
      )
      await reopen()
      for (const { externalId } of await storage.loadMigrations()) await storage.deleteMigration(externalId)
      expect(await storage.loadMigrations()).toEqual([])
    })

    it('keeps the last walk, and only that one', async () => {
      await storage.saveWalkState({ ...walkState, failedInARow: 0 })
      await storage.saveWalkState(walkState)
      await reopen()
      expect(await storage.loadWalkState()).toEqual(walkState)
    })

    it('refuses calls after it was closed', async () => {
      const saving = storage.saveAlerts({ upserts: alertsFixture(2_000), deletedKeys: [] })
      await storage.close()
      await expect(saving).resolves.toBeUndefined()
      await expect(storage.loadAlerts()).rejects.toMatchObject({ name: 'StorageError', kind: 'closed' })
      await expect(storage.close()).resolves.toBeUndefined()
    })
  })
}

function byKey(list: readonly Alert[]): Alert[] {
  return [...list].sort((a, b) => (a.key < b.key ? -1 : 1))
}

function byId(list: readonly StoredSilence[]): StoredSilence[] {
  return [...list].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function byFingerprint(list: readonly Acknowledgement[]): Acknowledgement[] {
  return [...list].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
}
