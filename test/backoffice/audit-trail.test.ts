import { describe, expect, it } from 'vitest'
import type { AuditRecord } from '../../src/backoffice/audit-record.ts'
import {
  type AuditQuery,
  type AuditTrail,
  openAuditTrail,
  serviceActor,
} from '../../src/backoffice/audit-trail.ts'
import { Secret } from '../../src/secret.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { ann, entryFixture, type MemoryStore, memoryStore } from './audit-fixtures.ts'

interface World {
  readonly trail: AuditTrail
  readonly store: MemoryStore
  readonly clock: ManualClock
  readonly saved: AuditRecord[]
  readonly failures: { action: string; error: unknown }[]
}

async function openWorld(store = memoryStore()): Promise<World> {
  const clock = createManualClock(1_764_000_000_000)
  const saved: AuditRecord[] = []
  const failures: World['failures'] = []
  const trail = await openAuditTrail(store, {
    clock,
    events: {
      onRecord: (record) => saved.push(record),
      onFailure: (action, error) => failures.push({ action, error }),
    },
  })
  return { trail, store, clock, saved, failures }
}

const written = ({ records }: MemoryStore) =>
  records.map(({ action, result, about }) => [action, result, about?.detail])
const change = { actor: ann, action: 'silence.expire', target: { silence: 's' }, detail: { before: 1 } }

describe('the audit trail', () => {
  it('adds one record after the other, in the order in which they were asked for', async () => {
    const { trail, store, saved } = await openWorld()
    await Promise.all([1, 2, 3].map((n) => trail.record(entryFixture({ detail: { n } }))))
    expect(store.records.map(({ seq, about }) => [seq, about?.detail])).toEqual([
      [1, { n: 1 }],
      [2, { n: 2 }],
      [3, { n: 3 }],
    ])
    expect(saved).toEqual(store.records)
    expect(await trail.verify()).toMatchObject({ records: 3, findingCount: 0, head: trail.head() })
  })

  it('goes on where the last run ended', async () => {
    const store = memoryStore()
    await (await openWorld(store)).trail.record(entryFixture())
    const { trail } = await openWorld(store)
    await trail.record(entryFixture())
    expect(await trail.verify()).toMatchObject({ records: 2, findingCount: 0 })
  })

  it('keeps who did it apart from the address it came from, which can be erased', async () => {
    const { trail, store } = await openWorld()
    await trail.record(entryFixture())
    expect(store.records[0]).toMatchObject({
      actor: { kind: 'token', name: 'ann', role: 'operator' },
      about: { from: '10.0.0.7' },
    })
  })

  it('rejects when a record cannot be saved, and the next one follows what was', async () => {
    const { trail, store, failures } = await openWorld()
    await trail.record(entryFixture())
    store.failure = new Error('disk full')
    await expect(trail.record(entryFixture({ action: 'link.mint' }))).rejects.toMatchObject({
      name: 'AuditError',
      kind: 'not_recorded',
      cause: store.failure,
    })
    expect(failures).toEqual([{ action: 'link.mint', error: store.failure }])
    store.failure = null
    await trail.record(entryFixture())
    expect(await trail.verify()).toMatchObject({ records: 2, findingCount: 0 })
  })

  it('follows a record that was saved although the answer got lost, and tells of it then', async () => {
    const store = memoryStore()
    const { appendAudit } = store
    const { trail, saved } = await openWorld(store)
    await trail.record(entryFixture())
    store.appendAudit = async (...args) => {
      await appendAudit(...args)
      throw new Error('connection lost')
    }
    await expect(trail.record(entryFixture())).rejects.toMatchObject({ name: 'AuditError' })
    store.appendAudit = appendAudit
    await trail.record(entryFixture())
    expect(saved).toEqual(store.records)
    expect(await trail.verify()).toMatchObject({ records: 3, findingCount: 0, head: trail.head() })
  })

  it('keeps no secret, whoever writes one into it', async () => {
    const { trail, store } = await openWorld()
    await trail.record(
      entryFixture({
        target: { link: 'https://fleet.example.com/r/k1.abcdef0123456789' },
        detail: {
          secret: new Secret('hush-1'),
          client_secret: 'hush-2',
          nested: [{ authorization: 'Bearer hush-3456789' }],
          text: 'called https://x.example.com/a?secret=hush-4 with Authorization: Bearer hush-5678',
        },
      }),
    )
    const text = JSON.stringify(store.records)
    expect(text).not.toMatch(/hush|abcdef0123456789/)
    expect(text).toContain('https://x.example.com/a')
  })

  it('takes whatever a detail is, and stays whole', async () => {
    const { trail, store } = await openWorld()
    const detail = {
      ...{ nan: Number.NaN, big: 7n, fn: () => 1, none: undefined, error: new Error('why'), at: new Date(0) },
      ...{ long: 'x'.repeat(10_000), many: Array.from({ length: 500 }, (_, n) => n), lone: '\ud800' },
      ['__proto__']: 'own',
    }
    await trail.record(entryFixture({ actor: { ...ann, name: 'a\ud800' }, detail }))
    const kept = store.records[0]!.about!.detail
    expect(kept).toMatchObject({
      nan: 'NaN',
      big: '7',
      fn: null,
      error: 'why',
      at: '1970-01-01T00:00:00.000Z',
    })
    expect(String(kept['long']).length).toBeLessThan(5_000)
    expect(kept['many']).toHaveLength(101)
    expect(await trail.verify()).toMatchObject({ findingCount: 0 })
  })
})

describe('a change that is audited', () => {
  it('is recorded before it begins and when it ended, with what became of it', async () => {
    const { trail, store } = await openWorld()
    const value = await trail.audited(
      { ...change, outcome: (after) => ({ target: { silence: 't' }, detail: { before: 1, after } }) },
      async () => {
        expect(written(store)).toEqual([['silence.expire', 'begun', { before: 1 }]])
        return 2
      },
    )
    expect(value).toBe(2)
    expect(written(store)[1]).toEqual(['silence.expire', 'ok', { before: 1, after: 2 }])
    expect(store.records.map(({ about }) => about?.target)).toEqual([{ silence: 's' }, { silence: 't' }])
  })

  it('is recorded as failed when it rejects, and rejects with the same', async () => {
    const { trail, store } = await openWorld()
    const failure = new Error('there is no such thing')
    await expect(trail.audited(change, () => Promise.reject(failure))).rejects.toBe(failure)
    expect(written(store)[1]).toEqual([
      'silence.expire',
      'failed',
      { before: 1, reason: 'there is no such thing' },
    ])
  })

  it('is recorded as failed when its value says so', async () => {
    const { trail, store } = await openWorld()
    await trail.audited({ ...change, outcome: () => ({ result: 'failed' }) }, async () => false)
    expect(written(store)[1]?.[1]).toBe('failed')
  })

  it('does not happen when its beginning cannot be recorded', async () => {
    const { trail, store } = await openWorld()
    store.failure = new Error('disk full')
    let happened = false
    const work = async () => {
      happened = true
    }
    await expect(trail.audited(change, work)).rejects.toMatchObject({ name: 'AuditError' })
    expect(happened).toBe(false)
  })

  it('stands as begun when its end cannot be recorded, which is told', async () => {
    const { trail, store, failures } = await openWorld()
    const value = await trail.audited(change, async () => {
      store.failure = new Error('disk full')
      return 7
    })
    expect(value).toBe(7)
    expect(written(store)).toEqual([['silence.expire', 'begun', { before: 1 }]])
    expect(failures).toHaveLength(1)
  })
})

describe('what was denied', () => {
  it('is one record, a few a minute at most, and the next one says how many were not', async () => {
    const { trail, store, clock } = await openWorld()
    for (let n = 0; n < 100; n++) await trail.recordDenied(change)
    expect(store.records).toHaveLength(30)
    await clock.advance(60_000)
    await trail.recordDenied(change)
    expect(written(store).at(-1)).toEqual([
      'silence.expire',
      'denied',
      { before: 1, denied_before_and_not_recorded: 70 },
    ])
  })

  it('is denied also when that cannot be recorded', async () => {
    const { trail, store, failures } = await openWorld()
    store.failure = new Error('disk full')
    await trail.recordDenied(change)
    expect(failures).toHaveLength(1)
  })
})

describe('reading the trail', () => {
  async function seqs({ trail }: World, query?: AuditQuery): Promise<number[]> {
    const found: number[] = []
    for await (const { seq } of trail.records(query)) found.push(seq)
    return found
  }

  it('gives what is asked for, in order', async () => {
    const world = await openWorld()
    const start = world.clock.now()
    for (const action of ['silence.set', 'silences.odd', 'silence.expire', 'link.mint']) {
      await world.trail.record(entryFixture({ action }))
      await world.clock.advance(1_000)
    }
    expect(await seqs(world)).toEqual([1, 2, 3, 4])
    expect(await seqs(world, { action: 'silence' })).toEqual([1, 3])
    expect(await seqs(world, { action: 'silence.set' })).toEqual([1])
    expect(await seqs(world, { from: start + 1_000, to: start + 3_000 })).toEqual([2, 3])
    expect(await seqs(world, { matches: ({ seq }) => seq > 3 })).toEqual([4])
  })
})

describe('pruning', () => {
  const day = 86_400_000

  it('lets go of what is older than it is to be kept, and the trail stays whole', async () => {
    const { trail, store, clock } = await openWorld()
    for (let n = 0; n < 3; n++) await trail.record(entryFixture())
    await clock.advance(10 * day)
    await trail.record(entryFixture())
    expect(await trail.prune(5 * day)).toBe(false)
    expect(store.records.map(({ seq, action }) => [seq, action])).toEqual([
      [4, 'silence.set'],
      [5, 'audit.prune'],
    ])
    expect(await trail.verify()).toMatchObject({ findingCount: 0, firstSeq: 4 })
    // Nothing is old: nothing is recorded.
    expect(await trail.prune(5 * day)).toBe(false)
    expect(store.head.seq).toBe(5)
  })

  it('goes in slices, each of which leaves a whole trail', async () => {
    const { trail, store, clock } = await openWorld()
    for (let n = 0; n < 4_500; n++) void trail.record(entryFixture())
    await trail.record(entryFixture())
    await clock.advance(10 * day)
    const left: number[] = []
    for (let isMore = true; isMore; ) {
      isMore = await trail.prune(day)
      left.push(store.records.length)
      expect(await trail.verify()).toMatchObject({ findingCount: 0 })
    }
    expect(left).toEqual([2_502, 503, 3])
  })

  it('waits for whoever reads, who would see a gap', async () => {
    const { trail, clock } = await openWorld()
    for (let n = 0; n < 3; n++) await trail.record(entryFixture())
    await clock.advance(10 * day)
    const reading = trail.records()
    await reading.next()
    expect(await trail.prune(day)).toBe(false)
    expect((await trail.verify()).firstSeq).toBe(1)
    await reading.return(undefined)
    await trail.prune(day)
    expect((await trail.verify()).firstSeq).toBe(4)
  })
})

describe('an erasure', () => {
  it('is in the trail together with the record that names it', async () => {
    const { trail, store } = await openWorld()
    for (let n = 0; n < 3; n++) await trail.record(entryFixture())
    await trail.erase([1, 3], {
      actor: serviceActor(),
      action: 'user.forget',
      target: {},
      detail: { why: 'asked' },
    })
    expect(store.records.map(({ about }) => about === null)).toEqual([true, false, true, false])
    expect(written(store).at(-1)).toEqual(['user.forget', 'ok', { why: 'asked', erased_records: '1,3' }])
    expect(await trail.verify()).toMatchObject({ erased: 2, findingCount: 0 })
  })
})
