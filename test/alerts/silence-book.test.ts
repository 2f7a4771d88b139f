import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Alert, Labels } from '../../src/alerts/alert.ts'
import type { Silence, SilenceInput, SilenceStore, StoredSilence } from '../../src/alerts/silence.ts'
import { formatExpiry, parseExpiry } from '../../src/alerts/silence.ts'
import {
  openSilenceBook,
  type SilenceBook,
  type SilenceBookOptions,
  type SilenceChange,
} from '../../src/alerts/silence-book.ts'
import { createSilenceIndex } from '../../src/alerts/silence-index.ts'
import { createMatcher, matchesAll, parseMatchers } from '../../src/matcher.ts'
import { createManualClock, settled } from '../manual-clock.ts'
import { alertFixture } from '../storage/fixtures.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const start = Date.UTC(2026, 0, 1)

/** A store in memory that can be told to fail, and to wait before it answers. */
function memoryStore() {
  const rows = new Map<string, StoredSilence>()
  const store = {
    rows,
    failing: false,
    gate: Promise.resolve() as Promise<unknown>,
    writes: 0,
    saves: 0,
    loadSilences: async () => [...rows.values()],
    async saveSilences({ upserts, deletedIds }: Parameters<SilenceStore['saveSilences']>[0]) {
      await store.gate
      if (store.failing) throw new Error('disk full')
      store.writes += upserts.length
      store.saves += 1
      for (const silence of upserts) rows.set(silence.id, silence)
      for (const id of deletedIds) rows.delete(id)
    },
    loadAcknowledgements: async () => [],
    saveAcknowledgements: async () => {},
  }
  return store satisfies SilenceStore
}

async function open(options: Partial<SilenceBookOptions> = {}, store = memoryStore()) {
  const clock = createManualClock(start)
  let ids = 0
  const reopen = () =>
    openSilenceBook(store, {
      clock,
      newId: () => `id-${++ids}`,
      maxDurationMs: null,
      remindBeforeMs: 15 * minute,
      ...options,
    })
  return { store, clock, reopen, book: await reopen() }
}

function asked(change: Partial<SilenceInput> & { on?: string } = {}): SilenceInput {
  const { on = 'device_id="17"', ...rest } = change
  return {
    matchers: parseMatchers(on),
    startsAt: start,
    endsAt: start + hour,
    createdBy: 'ann',
    comment: 'on it',
    ...rest,
  }
}

const device17 = { alertname: 'Lost', device_id: '17' }

function alertOn(labels: Labels, change: Partial<Alert> = {}): Alert {
  return alertFixture({ key: JSON.stringify(labels), fingerprint: JSON.stringify(labels), labels, ...change })
}

const everything = { pending: true, active: true, expired: true }

describe('a silence that is asked for', () => {
  it('is kept with all that was said, and holds for alerts that match all its matchers', async () => {
    const { book, store } = await open()
    const silence = await book.set(
      asked({ on: 'alertname="Lost", device_id=~"1."', annotations: { ticket: 'OPS-1' } }),
    )
    expect(silence).toMatchObject({
      id: 'id-1',
      startsAt: start,
      endsAt: start + hour,
      updatedAt: start,
      createdBy: 'ann',
      comment: 'on it',
      annotations: { ticket: 'OPS-1' },
      expiry: null,
      remindedAt: null,
    })
    expect(book.get('id-1')).toBe(silence)
    expect([...book.all()]).toEqual([silence])
    expect(store.rows.get('id-1')).toBe(silence)
    expect(book.silencedBy(device17, start)).toEqual(['id-1'])
    expect(book.silencedBy({ alertname: 'Lost', device_id: '27' }, start)).toEqual([])
    expect(book.silencedBy({ device_id: '17' }, start)).toEqual([])
  })

  const refused: readonly (readonly [Parameters<typeof asked>[0], string])[] = [
    [{ matchers: [] }, 'a silence needs at least one matcher, such as device_id="17"'],
    [
      { on: 'a="", b=~".*"' },
      'at least one matcher must not match the empty value, or the silence holds for alerts without these labels too: {a="",b=~".*"}',
    ],
    [
      { endsAt: start },
      'the start (2026-01-01T00:00:00.000Z) must be before the end (2026-01-01T00:00:00.000Z)',
    ],
    [
      { startsAt: start - hour, endsAt: start - 1 },
      'the end (2025-12-31T23:59:59.999Z) is in the past: it is 2026-01-01T00:00:00.000Z now',
    ],
    [{ endsAt: Number.NaN }, 'the end is no time: NaN'],
    [{ endsAt: 1e17 }, 'the end is no time: 100000000000000000'],
    [{ startsAt: Number.NEGATIVE_INFINITY }, 'the start is no time: -Infinity'],
    [{ createdBy: 'x'.repeat(257) }, 'the author may have 256 characters, not 257: shorten it'],
    [{ comment: 'x'.repeat(4_097) }, 'the comment may have 4096 characters, not 4097: shorten it'],
    [
      { annotations: { a: 'x'.repeat(16_384) } },
      'the annotations may have 16384 characters, not 16392: shorten it',
    ],
    [
      { matchers: Array.from({ length: 129 }, () => createMatcher('a', '=', 'b')) },
      'a silence may have 128 matchers, not 129',
    ],
    [{ on: `a="${'x'.repeat(32_768)}"` }, 'the matchers may have 32768 characters, not 32774: shorten it'],
    [
      { annotations: { expire_when: 'whenever' } },
      'the annotation expire_when is "whenever": write "resolved" or "unmatched_for: 1h"',
    ],
    [
      { annotations: { expire_when: 'unmatched_for: 0' } },
      'how long a silence may match nothing is a duration above 0 and below 292 years, not "unmatched_for: 0"',
    ],
    [
      { expiry: { kind: 'unmatched' as const, forMs: -5 } },
      'how long a silence may match nothing is a duration above 0 and below 292 years, not -5 ms',
    ],
    [
      { endsAt: start + 2 * day },
      'a silence may last 1d: let it end by 2026-01-02T00:00:00.000Z, not at 2026-01-03T00:00:00.000Z',
    ],
    [
      { startsAt: start - hour, endsAt: start + day + 1 },
      'a silence may last 1d: let it end by 2026-01-02T00:00:00.000Z, not at 2026-01-02T00:00:00.001Z',
    ],
  ]
  it.each(refused.map(([change, message]) => [message, change] as const))(
    'is refused, and nothing is kept: %s',
    async (message, change) => {
      const { book, store } = await open({ maxDurationMs: day })
      await expect(book.set(asked(change))).rejects.toMatchObject({
        name: 'SilenceError',
        kind: 'invalid',
        message,
      })
      expect(book.size()).toBe(0)
      expect(store.rows.size).toBe(0)
    },
  )

  it.each([
    ['a negated matcher alone, as Alertmanager does', { on: 'manufacturer!="vaillant"' }],
    ['empty matches beside one that is not', { on: 'a="", b=~".*", c="d"' }],
    ['nobody and nothing said', { createdBy: '', comment: '' }],
    ['an end at this very moment', { startsAt: start - 1, endsAt: start }],
    ['an empty id', { id: '' }],
    ['the longest time there may be', { startsAt: start - hour, endsAt: start + day }],
  ])('is taken with %s', async (_, change) => {
    const { book } = await open({ maxDurationMs: day })
    await expect(book.set(asked(change))).resolves.toMatchObject({ id: 'id-1' })
  })

  it('begins now when its start has passed', async () => {
    const { book, clock } = await open()
    await clock.advance(5 * minute)
    expect(await book.set(asked())).toMatchObject({ startsAt: start + 5 * minute, endsAt: start + hour })
  })

  it('begins and ends at the very millisecond', async () => {
    const { book } = await open()
    const silence = await book.set(asked({ startsAt: start + minute, endsAt: start + hour }))
    const states = [-1, 0, 1].flatMap((ms) => [
      book.stateOf(silence, start + minute + ms),
      book.stateOf(silence, start + hour + ms),
    ])
    expect(states).toEqual(['pending', 'active', 'active', 'expired', 'active', 'expired'])
    const isSilenced = (at: number) => book.silencedBy(device17, at).length > 0
    expect(isSilenced(start + minute - 1)).toBe(false)
    expect(isSilenced(start + minute)).toBe(true)
    expect(isSilenced(start + hour - 1)).toBe(true)
    expect(isSilenced(start + hour)).toBe(false)
  })

  it('matches no alert through names that every object has', async () => {
    const { book } = await open()
    await book.set(asked({ on: 'constructor=~".+"' }))
    await book.set(asked({ on: 'toString!=""' }))
    expect(book.silencedBy(device17, start)).toEqual([])
    expect(book.silencedBy(JSON.parse('{"constructor":"x"}'), start)).toEqual(['id-1'])
  })
})

describe('a silence that is changed', () => {
  it('stays the same one while it is active, with the same matchers and the same start second', async () => {
    const { book, clock } = await open()
    const before = await book.set(asked({ startsAt: start + 250, on: 'a="1", b="2"' }))
    await clock.advance(minute)
    const after = await book.set(
      asked({
        id: before.id,
        on: 'b="2", a="1"',
        startsAt: start + 900,
        endsAt: start + day,
        comment: 'longer',
      }),
    )
    expect(after).toMatchObject({
      id: before.id,
      startsAt: start + 250,
      endsAt: start + day,
      updatedAt: start + minute,
      comment: 'longer',
    })
    expect(book.size()).toBe(1)
  })

  it('ends now in place when its end is moved to now', async () => {
    const { book, clock } = await open()
    const { id } = await book.set(asked())
    await clock.advance(minute)
    expect(await book.set(asked({ id, endsAt: start + minute }))).toMatchObject({
      id,
      endsAt: start + minute,
    })
    expect(book.silencedBy(device17, start + minute)).toEqual([])
  })

  it.each([
    ['other matchers', { on: 'device_id="18"' }],
    ['another operator', { on: 'device_id=~"17"' }],
    ['one matcher more', { on: 'device_id="17", a="b"' }],
    ['another start second', { startsAt: start + second }],
  ])('is ended, and another begun, with %s', async (_, change) => {
    const { book, clock } = await open()
    await book.set(asked())
    await clock.advance(minute)
    const changes: SilenceChange[] = []
    book.subscribe((told) => changes.push(...told))
    const after = await book.set(asked({ id: 'id-1', ...change }))
    expect(after).toMatchObject({ id: 'id-2', startsAt: start + minute, endsAt: start + hour })
    expect(book.get('id-1')).toMatchObject({ startsAt: start, endsAt: start + minute })
    expect(changes.map(({ before, after }) => [before?.id, after?.id])).toEqual([
      ['id-1', 'id-1'],
      [undefined, 'id-2'],
    ])
  })

  it('may be moved freely before it begins, but not to a start in the past', async () => {
    const { book, clock } = await open()
    const { id } = await book.set(asked({ startsAt: start + 30 * minute }))
    expect(await book.set(asked({ id, startsAt: start + 10 * minute }))).toMatchObject({
      id,
      startsAt: start + 10 * minute,
    })
    await clock.advance(minute)
    expect(await book.set(asked({ id, startsAt: start }))).toMatchObject({
      id: 'id-2',
      startsAt: start + minute,
    })
    // One that never began ends where it stands.
    expect(book.get(id)).toMatchObject({ startsAt: start + minute, endsAt: start + minute })
  })

  it('becomes a new one when it has ended, and its history stays', async () => {
    const { book, clock } = await open()
    const before = await book.set(asked())
    await clock.advance(2 * hour)
    const after = await book.set(asked({ id: before.id, endsAt: start + 3 * hour }))
    expect(after).toMatchObject({ id: 'id-2', startsAt: start + 2 * hour })
    expect(book.get(before.id)).toBe(before)
  })

  it('is not found under an unknown id, and nothing is made', async () => {
    const { book } = await open()
    await expect(book.set(asked({ id: 'nope' }))).rejects.toMatchObject({
      kind: 'not_found',
      message: 'there is no silence with the id "nope"',
    })
    expect(book.size()).toBe(0)
  })

  it('may last no longer in all than a new one', async () => {
    const { book, clock } = await open({ maxDurationMs: 2 * hour })
    const { id } = await book.set(asked())
    await clock.advance(30 * minute)
    await expect(book.set(asked({ id, endsAt: start + 2 * hour }))).resolves.toMatchObject({ id })
    await expect(book.set(asked({ id, endsAt: start + 2 * hour + 1 }))).rejects.toMatchObject({
      kind: 'invalid',
    })
  })

  it('keeps annotations and expiry when a tool that knows of none changes it', async () => {
    const { book } = await open()
    const { id } = await book.set(asked({ annotations: { ticket: 'OPS-1' }, expiry: { kind: 'resolved' } }))
    const kept = await book.set(asked({ id, comment: 'by amtool' }))
    expect(kept).toMatchObject({
      id,
      annotations: { ticket: 'OPS-1', expire_when: 'resolved' },
      expiry: { kind: 'resolved' },
    })
    const cleared = await book.set(asked({ id, annotations: {} }))
    expect(cleared).toMatchObject({ annotations: {}, expiry: null })
  })

  it('is expired once, at once, and stays so', async () => {
    const { book, clock } = await open()
    await book.set(asked())
    await book.set(asked({ startsAt: start + 30 * minute }))
    await clock.advance(minute)
    expect(await book.expire('id-1')).toBe(true)
    expect(await book.expire('id-2')).toBe(true)
    expect(await book.expire('nope')).toBe(false)
    const now = start + minute
    expect(book.get('id-1')).toMatchObject({ startsAt: start, endsAt: now, updatedAt: now })
    expect(book.get('id-2')).toMatchObject({ startsAt: now, endsAt: now })
    expect(book.silencedBy(device17, now)).toEqual([])
    const before = book.get('id-1')
    await clock.advance(minute)
    expect(await book.expire('id-1')).toBe(true)
    expect(book.get('id-1')).toBe(before)
  })
})

describe('the book of silences', () => {
  it('shows nothing before it is saved, and changes nothing when saving fails', async () => {
    const { book, store } = await open()
    let release = () => {}
    store.gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const setting = book.set(asked())
    await settled()
    expect(book.size()).toBe(0)
    release()
    await setting
    expect(book.size()).toBe(1)
    store.failing = true
    const told: unknown[] = []
    book.subscribe((changes) => told.push(changes))
    await expect(book.set(asked({ id: 'id-1', on: 'a="b"' }))).rejects.toThrow('disk full')
    await expect(book.expire('id-1')).rejects.toThrow('disk full')
    expect(book.silencedBy(device17, start)).toEqual(['id-1'])
    expect(told).toEqual([])
    store.failing = false
    await expect(book.expire('id-1')).resolves.toBe(true)
  })

  it('makes each change on top of the one before it, also when they come at once', async () => {
    const { book } = await open()
    await book.set(asked())
    const [expired, changed] = await Promise.all([book.expire('id-1'), book.set(asked({ id: 'id-1' }))])
    expect(expired).toBe(true)
    expect(changed.id).toBe('id-2')
  })

  it('comes back after a restart as it was', async () => {
    const { book, clock, reopen } = await open()
    await book.set(asked({ on: 'device_id=~"1[0-9]"', expiry: { kind: 'unmatched', forMs: hour } }))
    await clock.advance(minute)
    const again = await reopen()
    const plain = (of: SilenceBook) => JSON.parse(JSON.stringify([...of.all()]))
    expect(plain(again)).toEqual(plain(book))
    expect(again.silencedBy(device17, clock.now())).toEqual(['id-1'])
  })

  it('leaves out what it can not read, says so, and lets go of it when others would go too', async () => {
    const store = memoryStore()
    const { book } = await open({}, store)
    await book.set(asked())
    await book.set(asked())
    store.rows.set('id-1', {
      ...(store.rows.get('id-1') as StoredSilence),
      matchers: [{ name: 'a', operator: '=~', value: '(?=x)' }],
    })
    const left: [string, unknown][] = []
    const { book: again, clock } = await open({ onUnreadable: (id, error) => left.push([id, error]) }, store)
    expect(left).toEqual([['id-1', expect.objectContaining({ name: 'MatcherError' })]])
    expect([...again.all()].map(({ id }) => id)).toEqual(['id-2'])
    await again.tend([], clock.now() + day)
    expect(store.rows.has('id-1')).toBe(true)
    await again.tend([], clock.now() + hour + 5 * day)
    expect(store.rows.size).toBe(0)
    const { saves } = store
    await again.tend([], clock.now() + hour + 5 * day)
    expect(store.saves).toBe(saves)
  })

  it('lists active ones by end, then pending ones by start, then expired ones by end, the last first', async () => {
    const { book, clock } = await open()
    const set = async (from: number, to: number, on = 'a="1"') =>
      (await book.set(asked({ on, startsAt: start + from * minute, endsAt: start + to * minute }))).id
    const over = [await set(0, 1), await set(0, 3), await set(0, 2)]
    const active = [await set(0, 30), await set(0, 10), await set(0, 20)]
    const pending = [await set(9, 50), await set(7, 60), await set(8, 40)]
    await clock.advance(5 * minute)
    const ids = (wanted: Partial<typeof everything>) =>
      book.list({ pending: false, active: false, expired: false, ...wanted }).map(({ id }) => id)
    expect(ids({ active: true })).toEqual([active[1], active[2], active[0]])
    expect(ids({ pending: true })).toEqual([pending[1], pending[2], pending[0]])
    expect(ids({ expired: true })).toEqual([over[1], over[2], over[0]])
    expect(ids(everything)).toEqual([
      ...ids({ active: true }),
      ...ids({ pending: true }),
      ...ids({ expired: true }),
    ])
  })

  it('filters its list by the words of the matchers, not by what they match', async () => {
    const { book } = await open()
    await book.set(asked({ on: 'a="1", b="2"' }))
    await book.set(asked({ on: 'a=~"1"' }))
    const ids = (filter: string) =>
      book.list({ ...everything, filter: parseMatchers(filter) }).map(({ id }) => id)
    expect(ids('a="1"')).toEqual(['id-1'])
    expect(ids('a=~"1"')).toEqual(['id-2'])
    expect(ids('b="2", a="1"')).toEqual(['id-1'])
    expect(ids('a="1", c="3"')).toEqual([])
    expect(ids('a=~".*"')).toEqual([])
    expect(ids('')).toEqual(['id-1', 'id-2'])
  })

  it('previews what a silence would hold for: active alerts only', async () => {
    const { book } = await open()
    const alerts = [
      alertOn({ a: '1' }),
      alertOn({ a: '2' }),
      alertOn({ a: '1', b: 'pending' }, { state: 'pending' }),
      alertOn({ a: '1', b: 'over' }, { state: 'resolved' }),
    ]
    expect(book.matching(parseMatchers('a="1"'), alerts)).toEqual([alerts[0], alerts[2]])
  })

  it('says when the next silence begins or ends', async () => {
    const { book, clock } = await open()
    expect(book.nextChangeAt(start)).toBeNull()
    await book.set(asked({ startsAt: start + 10 * minute, endsAt: start + hour }))
    await book.set(asked({ endsAt: start + 30 * minute }))
    expect(book.nextChangeAt(start)).toBe(start + 10 * minute)
    expect(book.nextChangeAt(start + 10 * minute)).toBe(start + 30 * minute)
    expect(book.nextChangeAt(start + 30 * minute)).toBe(start + hour)
    expect(book.nextChangeAt(start + hour)).toBeNull()
    await clock.advance(minute)
    await book.expire('id-1')
    expect(book.nextChangeAt(clock.now())).toBe(start + 30 * minute)
  })

  it('finds by labels what it finds by trying, whatever the matchers, also as silences come', async () => {
    const label = fc.constantFrom('device_id', 'user_id', 'severity', 'x', 'constructor')
    const value = fc.constantFrom('', '1', '2', '1|2')
    const matcher: fc.Arbitrary<Parameters<typeof createMatcher>> = fc.oneof(
      fc.tuple(label, fc.constantFrom('=' as const, '!=' as const), value),
      fc.tuple(
        label,
        fc.constantFrom('=~' as const, '!~' as const),
        fc.constantFrom('1', '1|2', '(1|2)', '(?:2|3)', '.*', '1.*', '|1', '[12]', '1\\|2', '^?:1'),
      ),
    )
    const labels = fc.dictionary(label, fc.constantFrom('1', '2', '1|2', ':1'), { noNullPrototype: true })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(matcher, { minLength: 1, maxLength: 3 }), { maxLength: 12 }),
        fc.array(labels, { minLength: 1, maxLength: 6 }),
        async (sets, alerts) => {
          const { book } = await open()
          for (const set of sets) {
            const matchers = set.map((parts) => createMatcher(...parts))
            await book.set(asked({ matchers })).catch(() => undefined)
            // Some alerts are asked about at each step, some not for a while.
            const asking = alerts.filter((_, i) => (i + book.size()) % 3 === 0 || set === sets.at(-1))
            for (const one of asking) {
              const tried = [...book.all()].filter((silence) => matchesAll(silence.matchers, one))
              expect(book.silencedBy(one, start)).toEqual(tried.map(({ id }) => id).sort())
            }
          }
        },
      ),
      { numRuns: 100 },
    )
  })

  it('finds what came in great number since an alert was asked about, and forgets what is dropped', async () => {
    const { book } = await open()
    const ids: string[] = []
    for (let i = 0; i < 1_000; i += 1) {
      ids.push((await book.set(asked())).id)
      if (i === 0 || i === 750) book.silencedBy(device17, start)
    }
    expect(book.silencedBy(device17, start)).toEqual(ids.sort())
    const template = book.get('id-1')
    const index = createSilenceIndex()
    for (const on of ['a="1"', 'a=~"1|2"', 'a=~"1.*"']) {
      const silence = { ...(template as Silence), matchers: parseMatchers(on) }
      index.add(silence)
      expect(index.matching({ a: '1' })).toEqual(['id-1'])
      index.remove(silence)
      expect(index.matching({ a: '1' })).toEqual([])
    }
  })

  it('finds the silences of 20,000 alerts among ten thousand, with few matchers tried', async () => {
    const store = memoryStore()
    const { book: maker } = await open({}, store)
    const template = await maker.set(asked())
    let tried = 0
    for (let i = 0; i < 10_000; i += 1) {
      store.rows.set(`s${i}`, {
        ...template,
        id: `s${i}`,
        matchers: [
          { name: 'alertname', operator: '=', value: 'Lost' },
          i % 2 === 0
            ? { name: 'device_id', operator: '=', value: `d${i}` }
            : { name: 'user_id', operator: '=~', value: `u${i}|u${i + 1}` },
        ],
      })
    }
    const { book } = await open({ newId: () => 'new' }, store)
    for (const silence of book.all()) {
      for (const matcher of silence.matchers) {
        const test = matcher.test.bind(matcher)
        Object.assign(matcher, {
          test: (value: string) => {
            tried += 1
            return test(value)
          },
        })
      }
    }
    const alerts = Array.from({ length: 20_000 }, (_, i) =>
      alertOn({ alertname: 'Lost', device_id: `d${i}`, user_id: `u${i}` }),
    )
    const silenced = alerts.map(({ labels }) => book.silencedBy(labels, start))
    expect(silenced[0]).toEqual(['s0'])
    expect(silenced[2]).toEqual(['s1', 's2'])
    expect(silenced.filter((ids) => ids.length > 0)).toHaveLength(10_001)
    expect(tried).toBeLessThan(60_000)
    tried = 0
    for (const { labels } of alerts) book.silencedBy(labels, start)
    expect(tried).toBe(0)
    await book.set(asked({ on: 'alertname="Lost", device_id="d7"' }))
    expect(book.silencedBy(alerts[7]?.labels ?? {}, start)).toEqual(['new', 's7'])
    // The new one's matchers are not counted: none of the ten thousand was tried again.
    expect(tried).toBe(0)
  })
})

describe('tending', () => {
  const firing = alertOn(device17)
  const over = alertOn(device17, { state: 'resolved', resolvedAt: start + 30 * second })

  it('ends a silence `resolved` with the last alert that it matched', async () => {
    const { book, store } = await open()
    await book.set(asked({ on: 'device_id=~"17|18"', expiry: { kind: 'resolved' } }))
    const other = alertOn({ device_id: '18' }, { state: 'pending' })
    // Before anything matched it waits.
    expect((await book.tend([alertOn({ device_id: '9' })], start)).ended).toEqual([])
    expect((await book.tend([firing, other], start + minute)).ended).toEqual([])
    expect((await book.tend([other], start + 2 * minute)).ended).toEqual([])
    const at = start + 3 * minute
    expect((await book.tend([], at)).ended).toMatchObject([
      { id: 'id-1', endsAt: at, updatedAt: at, lastMatchedAt: start + 2 * minute },
    ])
    expect(book.silencedBy(device17, at)).toEqual([])
    expect(store.rows.get('id-1')).toMatchObject({ endsAt: at })
    expect((await book.tend([firing], at + minute)).ended).toEqual([])
  })

  it('ends a silence `resolved` whose alert resolved before it was ever looked at', async () => {
    const { book } = await open()
    await book.set(asked({ expiry: { kind: 'resolved' } }))
    const before = alertOn(device17, { state: 'resolved', resolvedAt: start - 1 })
    expect((await book.tend([before], start + minute)).ended).toEqual([])
    expect((await book.tend([over], start + minute)).ended).toHaveLength(1)
  })

  it('remembers over a restart that a silence has matched', async () => {
    const { book, reopen } = await open()
    await book.set(asked({ expiry: { kind: 'resolved' } }))
    await book.tend([firing], start + minute)
    const again = await reopen()
    expect((await again.tend([], start + 2 * minute)).ended).toHaveLength(1)
  })

  it('ends a silence `unmatched` when it has matched nothing active for that long', async () => {
    const { book } = await open()
    await book.set(asked({ endsAt: start + day, expiry: { kind: 'unmatched', forMs: hour } }))
    const ended = async (alerts: Alert[], at: number) => (await book.tend(alerts, start + at)).ended.length
    expect(await ended([firing], 10 * minute)).toBe(0)
    expect(await ended([firing], 90 * minute)).toBe(0)
    expect(await ended([over], 91 * minute)).toBe(0)
    expect(book.get('id-1')).toMatchObject({
      lastMatchedAt: start + 90 * minute,
      unmatchedSince: start + 91 * minute,
    })
    // It matches again, and the time begins anew.
    expect(await ended([firing], 100 * minute)).toBe(0)
    expect(await ended([], 120 * minute)).toBe(0)
    expect(await ended([], 180 * minute - 1)).toBe(0)
    expect(await ended([], 180 * minute)).toBe(1)
  })

  it('ends a silence `unmatched` that never matched, counted from its start', async () => {
    const { book } = await open()
    await book.set(asked({ startsAt: start + minute, expiry: { kind: 'unmatched', forMs: 10 * minute } }))
    expect((await book.tend([], start)).ended).toEqual([])
    expect((await book.tend([], start + 11 * minute - 1)).ended).toEqual([])
    expect((await book.tend([], start + 11 * minute)).ended).toHaveLength(1)
  })

  it('takes nothing for matched that was over before the silence began', async () => {
    const { book } = await open()
    await book.set(asked({ startsAt: start + 10 * minute, expiry: { kind: 'resolved' } }))
    await book.tend([firing], start + minute)
    expect((await book.tend([], start + 2 * minute)).ended).toEqual([])
    expect((await book.tend([], start + 20 * minute)).ended).toEqual([])
    expect(book.get('id-1')).toMatchObject({ lastMatchedAt: null, endsAt: start + hour })
  })

  it('goes on counting after a restart, and takes the time away for none that it matched nothing', async () => {
    const { book, reopen } = await open()
    await book.set(asked({ endsAt: start + day, expiry: { kind: 'unmatched', forMs: hour } }))
    await book.tend([firing], start + minute)
    // Two hours away while it matched: nobody saw it match nothing.
    const second = await reopen()
    expect((await second.tend([], start + 2 * hour)).ended).toEqual([])
    const third = await reopen()
    expect((await third.tend([], start + 3 * hour - 1)).ended).toEqual([])
    expect((await third.tend([], start + 3 * hour)).ended).toHaveLength(1)
  })

  it('counts an expiry that was set later from then on', async () => {
    const { book, clock } = await open()
    const { id } = await book.set(asked({ endsAt: start + day }))
    await clock.advance(5 * hour)
    await book.set(asked({ id, endsAt: start + day, expiry: { kind: 'unmatched', forMs: hour } }))
    expect((await book.tend([], clock.now())).ended).toEqual([])
    expect((await book.tend([], clock.now() + hour)).ended).toHaveLength(1)
  })

  it('writes nothing as long as nothing is new', async () => {
    const { book, store } = await open()
    for (const kind of ['resolved', 'unmatched'] as const)
      await book.set(asked({ expiry: kind === 'resolved' ? { kind } : { kind, forMs: hour } }))
    await book.tend([firing], start + minute)
    const { writes } = store
    for (let i = 2; i < 9; i += 1) await book.tend([firing], start + i * minute)
    expect(store.writes).toBe(writes)
  })

  it('does not look at the alerts when no silence needs it', async () => {
    const { book } = await open()
    await book.set(asked())
    const untouchable: Iterable<Alert> = {
      [Symbol.iterator]() {
        throw new Error('looked')
      },
    }
    await expect(book.tend(untouchable, start)).resolves.toEqual({ ended: [], reminders: [] })
  })

  it('reminds once of an end that is near, while something fires', async () => {
    const { book, reopen } = await open()
    await book.set(asked())
    const pending = alertOn(device17, { state: 'pending' })
    const reminded = async (alerts: Alert[], at: number) =>
      (await book.tend(alerts, at)).reminders.map(({ id }) => id)
    expect(await reminded([firing], start + 45 * minute - 1)).toEqual([])
    expect(await reminded([pending], start + 45 * minute)).toEqual([])
    expect(await reminded([firing], start + 46 * minute)).toEqual(['id-1'])
    expect(book.get('id-1')).toMatchObject({ remindedAt: start + 46 * minute, updatedAt: start })
    expect(await reminded([firing], start + 47 * minute)).toEqual([])
    expect((await (await reopen()).tend([firing], start + 48 * minute)).reminders).toEqual([])
  })

  it('reminds again of a new end, never of one that has come, nor of a silence as short as the notice', async () => {
    const { book, clock } = await open()
    const { id } = await book.set(asked())
    await book.set(asked({ on: 'alertname="Lost"', endsAt: start + 15 * minute }))
    const reminded = async () => (await book.tend([firing], clock.now())).reminders.map((one) => one.id)
    expect(await reminded()).toEqual([])
    await clock.advance(50 * minute)
    expect(await reminded()).toEqual([id])
    await book.set(asked({ id, endsAt: start + 2 * hour }))
    expect(await reminded()).toEqual([])
    await clock.advance(60 * minute)
    expect(await reminded()).toEqual([id])
    await clock.advance(hour)
    expect(await reminded()).toEqual([])
  })

  it('changes nothing that is seen when saving fails, and does it at the next look', async () => {
    const { book, store } = await open()
    await book.set(asked({ expiry: { kind: 'resolved' } }))
    await book.tend([firing], start + minute)
    store.failing = true
    await expect(book.tend([], start + 2 * minute)).rejects.toThrow('disk full')
    expect(book.silencedBy(device17, start + 2 * minute)).toEqual(['id-1'])
    store.failing = false
    expect((await book.tend([], start + 3 * minute)).ended).toHaveLength(1)
  })

  it('keeps what ended for five days, then lets go of it', async () => {
    const { book, store } = await open()
    await book.set(asked())
    const changes: SilenceChange[] = []
    book.subscribe((told) => changes.push(...told))
    await book.tend([], start + hour + 5 * day - 1)
    expect(book.size()).toBe(1)
    await book.tend([], start + hour + 5 * day)
    expect(book.size()).toBe(0)
    expect(store.rows.size).toBe(0)
    expect(changes).toEqual([{ before: expect.objectContaining({ id: 'id-1' }), after: undefined }])
    expect(book.silencedBy(device17, start)).toEqual([])
  })
})

describe('when a silence ends before its time, in words', () => {
  it.each([
    ['resolved', { kind: 'resolved' }],
    ['unmatched_for: 1h', { kind: 'unmatched', forMs: hour }],
    ['unmatched_for: 1d30m', { kind: 'unmatched', forMs: day + 30 * minute }],
  ])('reads %s', async (words, expiry) => {
    const { book } = await open()
    const read = await book.set(asked({ annotations: { expire_when: words } }))
    expect(read).toMatchObject({ expiry, annotations: { expire_when: words } })
  })

  it('writes what was told as a value, and takes it back', async () => {
    const { book } = await open()
    const { id } = await book.set(
      asked({ annotations: { expire_when: 'resolved' }, expiry: { kind: 'unmatched', forMs: 90 * minute } }),
    )
    expect(book.get(id)?.annotations).toEqual({ expire_when: 'unmatched_for: 1h30m' })
    expect((await book.set(asked({ id, expiry: null }))).annotations).toEqual({})
  })

  it('comes back exactly as it was written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9_000_000_000_000 }), (forMs) => {
        expect(parseExpiry(formatExpiry({ kind: 'unmatched', forMs }))).toEqual({ kind: 'unmatched', forMs })
      }),
    )
  })
})

// ---- against a model: a plain list, and the rules of Alertmanager written down once more

interface Modelled {
  id: string
  label: string
  from: number
  to: number
}

const seconds = fc.integer({ min: -120, max: 240 }).map((n) => n * second)
const operations = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('set' as const),
      of: fc.option(fc.nat({ max: 5 }), { nil: undefined }),
      label: fc.constantFrom('1', '2'),
      from: fc.oneof(seconds, fc.constant('as it is' as const)),
      to: seconds,
    }),
    fc.record({ kind: fc.constant('expire' as const), of: fc.nat({ max: 5 }) }),
    fc.record({ kind: fc.constant('march' as const), ms: fc.integer({ min: 1, max: 120_000 }) }),
    fc.record({ kind: fc.constant('tend' as const) }),
    fc.record({ kind: fc.constant('restart' as const) }),
  ),
  { maxLength: 30 },
)

describe('any run of changes, time and restarts', () => {
  it('silences what the rules say', async () => {
    await fc.assert(
      fc.asyncProperty(operations, async (run) => {
        const { clock, reopen, book: first } = await open()
        let book = first
        const model: Modelled[] = []

        for (const step of run) {
          const now = clock.now()
          if (step.kind === 'march') clock.jump(step.ms)
          else if (step.kind === 'restart') book = await reopen()
          else if (step.kind === 'tend') await book.tend([], now)
          else if (step.kind === 'expire') {
            const one = model[step.of]
            expect(await book.expire(one?.id ?? 'nope')).toBe(one !== undefined)
            if (one !== undefined && one.to > now)
              Object.assign(one, { from: Math.min(one.from, now), to: now })
          } else {
            const old = step.of === undefined ? undefined : model[step.of]
            const id = step.of === undefined ? undefined : (old?.id ?? 'nope')
            const from = step.from === 'as it is' ? (old?.from ?? now) : now + step.from
            const to = now + step.to
            const input = asked({
              on: `a="${step.label}"`,
              startsAt: from,
              endsAt: to,
              ...(id === undefined ? {} : { id }),
            })
            const outcome = await book.set(input).catch((error: { kind: string }) => error.kind)
            if (from >= to || to < now) {
              expect(outcome).toBe('invalid')
              continue
            }
            if (id === 'nope') {
              expect(outcome).toBe('not_found')
              continue
            }
            const isPending = old !== undefined && now < old.from
            const isActive = old !== undefined && old.from <= now && now < old.to
            const sameSecond =
              old !== undefined && Math.floor(old.from / second) === Math.floor(from / second)
            const inPlace =
              old !== undefined &&
              old.label === step.label &&
              ((isActive && sameSecond) || (isPending && from >= now))
            if (inPlace) {
              Object.assign(old, { from: isActive ? old.from : from, to })
              expect(outcome).toMatchObject({ id: old.id })
            } else {
              if (old !== undefined && (isPending || isActive))
                Object.assign(old, { from: isPending ? now : old.from, to: now })
              const made = outcome as { id: string }
              expect(model.map((one) => one.id)).not.toContain(made.id)
              model.push({ id: made.id, label: step.label, from: Math.max(from, now), to })
            }
          }
          const at = clock.now()
          for (const label of ['1', '2']) {
            const expected = model.filter((one) => one.label === label && one.from <= at && at < one.to)
            expect(book.silencedBy({ a: label }, at)).toEqual(expected.map(({ id }) => id).sort())
          }
          expect([...book.all()].map(({ id, startsAt, endsAt }) => [id, startsAt, endsAt]).sort()).toEqual(
            model.map(({ id, from, to }) => [id, from, to]).sort(),
          )
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('a person who is forgotten', () => {
  it('takes silences along or only words of them, as is judged, and others stay', async () => {
    const { book, store, reopen } = await open()
    await book.set(asked({ on: 'user_id="u"' }))
    await book.set(asked({ comment: 'Ann asked for it' }))
    await book.set(asked({ on: 'user_id="v"' }))
    const changes: SilenceChange[] = []
    book.subscribe((some) => changes.push(...some))
    const judge = ({ matchers, comment }: StoredSilence) => {
      if (matchers.some(({ value }) => value === 'u')) return 'remove'
      if (!comment.includes('Ann')) return 'keep'
      return { words: { createdBy: 'ann', comment: '(erased)', annotations: {} } } as const
    }
    expect(await book.forget(judge)).toBe(2)
    expect(book.silencedBy({ user_id: 'u' }, start)).toEqual([])
    expect(book.silencedBy({ user_id: 'v' }, start)).toEqual(['id-3'])
    expect([...store.rows.values()].map(({ id, comment }) => [id, comment])).toEqual([
      ['id-2', '(erased)'],
      ['id-3', 'on it'],
    ])
    expect(changes.map(({ after }) => after?.comment)).toEqual(['(erased)', undefined])
    expect((await reopen()).size()).toBe(2)
    expect(await book.forget(judge)).toBe(0)
  })

  it('takes a silence along that can no longer be read', async () => {
    const { book, store, reopen } = await open()
    await book.set(asked({ on: 'user_id="u"' }))
    const [stored] = store.rows.values()
    store.rows.set('id-1', { ...stored!, matchers: [{ name: 'user_id', operator: '=~', value: 'u(' }] })
    const again = await reopen()
    expect(again.size()).toBe(0)
    expect(await again.forget(() => 'remove')).toBe(1)
    expect(store.rows.size).toBe(0)
  })
})
