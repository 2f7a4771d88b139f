// What every database behind Storage must do, whichever it is. A database's own test calls this with
// a way to open the same database again and again.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Alert, Subject } from '../../src/alerts/alert.ts'
import type { Acknowledgement, StoredSilence } from '../../src/alerts/silence.ts'
import { deviceTypes } from '../../src/fleet/device.ts'
import type { DedupEntry, GroupTimer, OutboxRow } from '../../src/notify/store.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { alertFixture, alertsFixture, silenceFixture, walkStateFixture as walkState } from './fixtures.ts'

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
