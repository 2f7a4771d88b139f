import { describe, expect, it } from 'vitest'
import { openAcknowledgementBook } from '../../src/alerts/acknowledgement-book.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import type { Acknowledgement, SilenceStore } from '../../src/alerts/silence.ts'
import { createManualClock, settled } from '../manual-clock.ts'
import { alertFixture } from '../storage/fixtures.ts'

const minute = 60_000
const hour = 60 * minute
const start = Date.UTC(2026, 0, 1)

function memoryStore() {
  const rows = new Map<string, Acknowledgement>()
  const store = {
    rows,
    failing: false,
    gate: Promise.resolve() as Promise<unknown>,
    loadSilences: async () => [],
    saveSilences: async () => {},
    loadAcknowledgements: async () => [...rows.values()],
    async saveAcknowledgements({
      upserts,
      deletedFingerprints,
    }: Parameters<SilenceStore['saveAcknowledgements']>[0]) {
      await store.gate
      if (store.failing) throw new Error('disk full')
      for (const one of upserts) rows.set(one.fingerprint, one)
      for (const print of deletedFingerprints) rows.delete(print)
    },
  }
  return store satisfies SilenceStore
}

async function open(maxDurationMs: number | null = null) {
  const store = memoryStore()
  const clock = createManualClock(start)
  const reopen = () => openAcknowledgementBook(store, { clock, maxDurationMs })
  return { store, clock, reopen, book: await reopen() }
}

const alert = alertFixture({ fingerprint: 'f1', episode: 'e1' })
const byAnn = { by: 'ann', comment: 'calling them', until: null }

describe('an acknowledgement', () => {
  it('is kept with who, why, when and until when, over a restart', async () => {
    const { book, reopen } = await open()
    const given = await book.acknowledge(alert, { ...byAnn, until: start + hour })
    const expected = {
      fingerprint: 'f1',
      episode: 'e1',
      by: 'ann',
      comment: 'calling them',
      at: start,
      until: start + hour,
    }
    expect(given).toEqual(expected)
    expect(book.of(alert, start)).toEqual(expected)
    expect([...book.all()]).toEqual([expected])
    expect((await reopen()).of(alert, start)).toEqual(expected)
  })

  it('takes the place of the one before', async () => {
    const { book, clock } = await open()
    await book.acknowledge(alert, byAnn)
    await clock.advance(minute)
    await book.acknowledge(alert, { ...byAnn, by: 'bob' })
    expect(book.of(alert, clock.now())).toMatchObject({ by: 'bob', at: start + minute })
    expect(book.size()).toBe(1)
  })

  it('counts up to the very millisecond of its end', async () => {
    const { book } = await open()
    await book.acknowledge(alert, { ...byAnn, until: start + hour })
    expect(book.of(alert, start + hour - 1)).not.toBeNull()
    expect(book.of(alert, start + hour)).toBeNull()
  })

  it('counts for its episode alone', async () => {
    const { book } = await open()
    await book.acknowledge(alert, byAnn)
    expect(book.of({ ...alert, episode: 'e2' }, start)).toBeNull()
    expect(book.of({ ...alert, fingerprint: 'f2' }, start)).toBeNull()
  })

  it('lasts as long as it may when no end is said', async () => {
    const { book } = await open(2 * hour)
    expect((await book.acknowledge(alert, byAnn)).until).toBe(start + 2 * hour)
  })

  it.each<[string, Alert, { by?: string; comment?: string; until?: number }, string]>([
    [
      'a resolved alert',
      { ...alert, state: 'resolved' },
      {},
      'the alert f1 has resolved: there is nothing left to look after',
    ],
    ['nobody', alert, { by: '' }, 'an acknowledgement needs to say who looks after the alert'],
    ['a long author', alert, { by: 'x'.repeat(257) }, 'the author may have 256 characters, not 257'],
    [
      'a long comment',
      alert,
      { comment: 'x'.repeat(4_097) },
      'the comment may have 4096 characters, not 4097',
    ],
    [
      'an end that has come',
      alert,
      { until: start },
      'the end (2026-01-01T00:00:00.000Z) has to come after the present (2026-01-01T00:00:00.000Z)',
    ],
    ['an end that is no time', alert, { until: Number.NaN }, 'the end is no time: NaN'],
    [
      'too late an end',
      alert,
      { until: start + 3 * hour },
      'an acknowledgement may last 2h: let it end by 2026-01-01T02:00:00.000Z, not at 2026-01-01T03:00:00.000Z',
    ],
    [
      'an end beyond all dates',
      alert,
      { until: 1e16 },
      'an acknowledgement may last 2h: let it end by 2026-01-01T02:00:00.000Z, not at 10000000000000000',
    ],
  ])('is refused: %s', async (_, of, change, message) => {
    const { book, store } = await open(2 * hour)
    await expect(book.acknowledge(of, { ...byAnn, ...change })).rejects.toMatchObject({
      name: 'AcknowledgementError',
      kind: 'invalid',
      message,
    })
    expect(store.rows.size).toBe(0)
  })

  it('is withdrawn, once', async () => {
    const { book, store } = await open()
    await book.acknowledge(alert, byAnn)
    expect(await book.withdraw('f1')).toBe(true)
    expect(await book.withdraw('f1')).toBe(false)
    expect(book.of(alert, start)).toBeNull()
    expect(store.rows.size).toBe(0)
  })

  it('is not seen before it is saved, and not at all when saving fails', async () => {
    const { book, store } = await open()
    let told = 0
    book.subscribe(() => {
      told += 1
    })
    let release = () => {}
    store.gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const saving = book.acknowledge(alert, byAnn)
    await settled()
    expect([book.of(alert, start), told]).toEqual([null, 0])
    release()
    await saving
    expect(told).toBe(1)
    store.failing = true
    await expect(book.withdraw('f1')).rejects.toThrow('disk full')
    expect(book.of(alert, start)).not.toBeNull()
    store.failing = false
    await expect(book.withdraw('f1')).resolves.toBe(true)
  })

  it('goes when its episode or its time is over, and stays else', async () => {
    const { book, store } = await open()
    const alerts = ['stays', 'gone', 'resolved', 'again', 'late'].map((fingerprint) => ({
      ...alert,
      fingerprint,
    }))
    for (const one of alerts) {
      await book.acknowledge(one, { ...byAnn, until: one.fingerprint === 'late' ? start + hour : null })
    }
    const now = new Map(alerts.map((one) => [one.fingerprint, one]))
    now.delete('gone')
    now.set('resolved', { ...alert, fingerprint: 'resolved', state: 'resolved' })
    now.set('again', { ...alert, fingerprint: 'again', episode: 'e2' })
    const dropped = await book.tend((print) => now.get(print), start + hour)
    expect(dropped.map(({ fingerprint }) => fingerprint)).toEqual(['gone', 'resolved', 'again', 'late'])
    expect([...store.rows.keys()]).toEqual(['stays'])
    expect(await book.tend((print) => now.get(print), start + hour)).toEqual([])
  })
})

describe('a person who is forgotten', () => {
  it('takes acknowledgements along or only words of them, as is judged, and others stay', async () => {
    const { book, store } = await open()
    for (const print of ['f1', 'f2', 'f3']) {
      await book.acknowledge(alertFixture({ fingerprint: print, episode: 'e1' }), byAnn)
    }
    const words = { by: 'ann', comment: '(erased)' }
    const judge = ({ fingerprint, comment }: Acknowledgement) => {
      if (fingerprint === 'f1') return 'remove'
      return fingerprint === 'f2' && comment !== words.comment ? { words } : 'keep'
    }
    expect(await book.forget(judge)).toBe(2)
    expect([...store.rows.values()].map(({ fingerprint, comment }) => [fingerprint, comment])).toEqual([
      ['f2', '(erased)'],
      ['f3', 'calling them'],
    ])
    expect(book.of(alert, start)).toBeNull()
    expect(await book.forget(judge)).toBe(0)
  })
})
