import { describe, expect, it } from 'vitest'
import type { Alert } from '../../src/alerts/alert.ts'
import { type AlertBook, openAlertBook, type Transition } from '../../src/alerts/alert-book.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import type { AlertChanges, AlertStore } from '../../src/alerts/store.ts'
import { settled } from '../manual-clock.ts'

const minute = 60_000

/** A store in memory that can be told to fail, and to wait before it answers. */
function memoryStore(alerts: readonly Alert[] = []) {
  const rows = new Map(alerts.map((alert) => [alert.key, alert]))
  const store = {
    rows,
    failing: false,
    gate: Promise.resolve() as Promise<unknown>,
    loadAlerts: async () => [...rows.values()],
    async saveAlerts({ upserts, deletedKeys }: AlertChanges) {
      await store.gate
      if (store.failing) throw new Error('disk full')
      for (const alert of upserts) rows.set(alert.key, alert)
      for (const key of deletedKeys) rows.delete(key)
    },
  }
  return store satisfies AlertStore
}

/** Commits, and what subscribers were told of it. */
async function committed(book: AlertBook): Promise<readonly Transition[]> {
  const told: Transition[] = []
  book.subscribe((transitions) => told.push(...transitions))
  await book.commit()
  return told
}

function observe(
  book: AlertBook,
  verdict: boolean,
  {
    at,
    id = 'd1',
    severity = 'warning',
    definition = 'v1',
    forMs = 0,
  }: { at: number; id?: string; severity?: string; definition?: string; forMs?: number },
) {
  const labels = { alertname: 'Test', device_id: id, severity }
  const subject = { kind: 'device', userId: `user of ${id}`, deviceType: 'inverter', deviceId: id } as const
  book.evaluate({
    ruleId: 'test/Test',
    subject,
    evaluation: { at, verdict, clear: null },
    timing: { forMs, keepFiringForMs: 0, noData: 'keep' },
    definition,
    birth: () => ({
      fingerprint: fingerprint(labels),
      ruleId: 'test/Test',
      definition,
      subject,
      labels,
      annotations: { summary: `at ${at}` },
      affected: { externalUserId: null, name: null, email: null, model: null },
      episode: `${id} ${at}`,
    }),
  })
}

describe('the alert book', () => {
  it.each(['asked before there are any', 'asked once all is there'])(
    'finds by its labels the alert that is active, and without one the one that ended: %s',
    async (when) => {
      const store = memoryStore()
      const early = await openAlertBook(store, { downMs: 0 })
      const print = fingerprint({ alertname: 'Test', device_id: 'd1', severity: 'warning' })
      if (when === 'asked before there are any') expect(early.byFingerprint(print)).toBeUndefined()
      observe(early, true, { at: 1 })
      await early.commit()
      // Other labels and back again: two have ended under keys of their own, one goes on.
      observe(early, true, { at: 2, severity: 'critical', definition: 'v2' })
      await early.commit()
      observe(early, true, { at: 3, definition: 'v3' })
      await early.commit()
      const active = [...early.all()].filter(({ state }) => state === 'firing')
      expect(active).toHaveLength(1)
      expect(early.byFingerprint(print)).toBe(active[0])
      const late = await openAlertBook(store, { downMs: 0 })
      expect(late.byFingerprint(print)).toEqual(active[0])
      observe(late, false, { at: 4 })
      await late.commit()
      expect(late.byFingerprint(print)?.state).toBe('resolved')
      expect(late.byFingerprint('0000000000000000')).toBeUndefined()
    },
  )

  it('shows nothing before it is saved', async () => {
    const book = await openAlertBook(memoryStore(), { downMs: 0 })
    observe(book, true, { at: 1 })
    expect([...book.all()]).toEqual([])
    const transitions = await committed(book)
    expect(transitions.map(({ before, after }) => [before?.state, after?.state])).toEqual([
      [undefined, 'firing'],
    ])
    expect([...book.all()]).toHaveLength(1)
  })

  it('is as if nothing was evaluated when saving fails, and goes on with the next reading', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0 })
    store.failing = true
    observe(book, true, { at: 1 })
    await expect(book.commit()).rejects.toThrow('disk full')
    expect([...book.all()]).toEqual([])
    expect(book.pendingChanges()).toBe(0)
    store.failing = false
    observe(book, true, { at: 2 })
    const [transition] = await committed(book)
    expect(transition?.after).toMatchObject({ state: 'firing', activeAt: 2 })
  })

  it('evaluates what comes in while a save is under way on top of what is being saved', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0 })
    let open = () => {}
    store.gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const told: (string | undefined)[][] = []
    book.subscribe((transitions) =>
      told.push(...transitions.map(({ before, after }) => [before?.state, after?.state])),
    )
    observe(book, true, { at: 1 })
    const first = book.commit()
    await settled()
    observe(book, false, { at: 2 })
    const second = book.commit()
    open()
    await Promise.all([first, second])
    expect(told).toEqual([
      [undefined, 'firing'],
      ['firing', 'resolved'],
    ])
  })

  it('knows the devices that have active alerts, by their user, and forgets them when they end', async () => {
    const book = await openAlertBook(memoryStore(), { downMs: 0 })
    observe(book, true, { at: 1 })
    await book.commit()
    expect([...book.userIds()]).toEqual(['user of d1'])
    expect(book.devicesOf('user of d1')).toEqual([{ deviceType: 'inverter', deviceId: 'd1' }])
    expect(book.activeOfRule('test/Test')).toBe(1)
    observe(book, false, { at: 2 })
    await book.commit()
    expect([...book.userIds()]).toEqual([])
    expect(book.devicesOf('user of d1')).toEqual([])
    expect(book.activeOfRule('test/Test')).toBe(0)
  })

  it('counts alerts of a rule that are begun and not saved yet, so that its limit holds within a batch', async () => {
    const book = await openAlertBook(memoryStore(), { downMs: 0 })
    observe(book, true, { at: 1, id: 'a' })
    observe(book, true, { at: 1, id: 'b' })
    expect(book.activeOfRule('test/Test')).toBe(2)
    await book.commit()
    expect(book.activeOfRule('test/Test')).toBe(2)
  })

  it('keeps a resolved alert for 15 minutes, and for as long as somebody is still to be told', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0 })
    observe(book, true, { at: 0 })
    observe(book, false, { at: 1 })
    await book.commit()
    const prune = async (now: number) => {
      book.prune(now)
      await book.commit()
      return store.rows.size
    }
    expect(await prune(60 * minute)).toBe(1)
    book.settle(book.all())
    expect(await prune(14 * minute)).toBe(1)
    expect(await prune(16 * minute)).toBe(0)
    expect(book.size()).toBe(0)
  })

  it('goes on under a new text of its rule while the labels stay the same', async () => {
    const book = await openAlertBook(memoryStore(), { downMs: 0 })
    observe(book, true, { at: 1 })
    await book.commit()
    observe(book, true, { at: 2, definition: 'v2' })
    const [transition] = await committed(book)
    expect(transition?.after).toMatchObject({
      episode: 'd1 1',
      definition: 'v2',
      firedAt: 1,
      annotations: { summary: 'at 2' },
    })
    expect(book.size()).toBe(1)
  })

  it('ends as rule_changed, and goes on as another alert, when a new text of its rule gives it other labels', async () => {
    const book = await openAlertBook(memoryStore(), { downMs: 0 })
    observe(book, true, { at: 1 })
    await book.commit()
    observe(book, true, { at: 2, definition: 'v2', severity: 'critical' })
    await book.commit()
    const alerts = [...book.all()].map(({ state, labels, resolvedReason, firedAt }) => [
      state,
      labels['severity'],
      resolvedReason,
      firedAt,
    ])
    expect(alerts).toEqual(
      expect.arrayContaining([
        ['resolved', 'warning', 'rule_changed', 1],
        ['firing', 'critical', null, 1],
      ]),
    )
    expect(alerts).toHaveLength(2)
  })

  it('takes up what was stored, without counting the time that the service was away', async () => {
    const store = memoryStore()
    const before = await openAlertBook(store, { downMs: 0 })
    observe(before, true, { at: 1 })
    await before.commit()
    const [stored] = [...store.rows.values()]
    const after = await openAlertBook(
      memoryStore([{ ...(stored as Alert), state: 'pending', firedAt: null }]),
      { downMs: 500 },
    )
    expect(after.get(stored?.key ?? '')?.activeAt).toBe(501)
  })
})

describe('an end that is still to be told', () => {
  const again = { forMs: 90 * minute }

  async function bookWithEnd(store = memoryStore()) {
    const book = await openAlertBook(store, { downMs: 0 })
    observe(book, true, { at: 0 })
    observe(book, false, { at: 1 })
    await book.commit()
    const [ended] = [...book.all()] as [Alert]
    return { book, ended, store }
  }

  async function pruned(book: AlertBook, now: number) {
    book.prune(now)
    await book.commit()
    return [...book.all()].map(({ state, episode, settled }) => [state, episode, settled])
  }

  it('stays while its condition holds again and after, until it is told', async () => {
    const { book, ended, store } = await bookWithEnd()
    observe(book, true, { at: 2, ...again })
    const transitions = await committed(book)
    expect(transitions.map(({ before, after }) => [before?.state, after?.state])).toEqual(
      // To listeners what ended is as it was: nobody counts a second end.
      expect.arrayContaining([
        ['resolved', 'pending'],
        ['resolved', 'resolved'],
      ]),
    )
    expect(transitions).toHaveLength(2)
    const both = [
      ['pending', 'd1 2', false],
      ['resolved', 'd1 0', false],
    ]
    expect((await pruned(book, 60 * minute)).toSorted()).toEqual(both)
    expect(book.byFingerprint(ended.fingerprint)?.state).toBe('pending')

    const later = await openAlertBook(store, { downMs: 0 })
    expect((await pruned(later, 60 * minute)).toSorted()).toEqual(both)
    later.byFingerprint(ended.fingerprint)
    observe(later, false, { at: 3, ...again })
    await later.commit()
    expect(await pruned(later, 60 * minute)).toEqual([['resolved', 'd1 0', false]])
    expect(later.byFingerprint(ended.fingerprint)?.episode).toBe('d1 0')
    // Whoever told it knows it under the key that it had then.
    later.settle([ended])
    await later.commit()
    expect(await pruned(later, 60 * minute)).toEqual([])
    expect(store.rows.size).toBe(0)
  })

  it('is told no more once it fires again with the same labels', async () => {
    const { book, store } = await bookWithEnd()
    observe(book, true, { at: 2, forMs: 1 })
    await book.commit()
    observe(book, true, { at: 3, forMs: 1 })
    const transitions = await committed(book)
    expect(transitions.map(({ before, after }) => [before?.state, after?.state])).toEqual(
      expect.arrayContaining([
        ['pending', 'firing'],
        ['resolved', undefined],
      ]),
    )
    expect(await pruned(book, 3)).toEqual([['firing', 'd1 2', false]])
    expect(store.rows.size).toBe(1)
  })

  it('stays beside what fires at once with other labels', async () => {
    const { book } = await bookWithEnd()
    observe(book, true, { at: 2, severity: 'critical' })
    await book.commit()
    expect((await pruned(book, 60 * minute)).toSorted()).toEqual([
      ['firing', 'd1 2', false],
      ['resolved', 'd1 0', false],
    ])
  })

  it('is not kept apart when it was told before', async () => {
    const { book, ended } = await bookWithEnd()
    book.settle([ended])
    await book.commit()
    observe(book, true, { at: 2, ...again })
    await book.commit()
    expect(await pruned(book, 2)).toEqual([['pending', 'd1 2', false]])
  })

  it('is told while it begins again in a save that is under way', async () => {
    const { book, ended } = await bookWithEnd()
    observe(book, true, { at: 2, ...again })
    book.settle([ended])
    await book.commit()
    expect((await pruned(book, 2)).toSorted()).toEqual([
      ['pending', 'd1 2', false],
      ['resolved', 'd1 0', true],
    ])
  })
})

describe('alerts that are forgotten', () => {
  it('are gone from memory and store, to subscribers without an end, and others stay', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0 })
    observe(book, true, { at: 1 })
    observe(book, true, { at: 1, id: 'd2' })
    await book.commit()
    const [first, second] = [...book.all()]
    book.forget([first!.key, 'no such key'])
    expect(await committed(book)).toEqual([{ before: first, after: undefined }])
    expect([...store.rows.values()]).toEqual([second])
    expect([...book.userIds()]).toEqual(['user of d2'])
    expect(book.byFingerprint(first!.fingerprint)).toBeUndefined()
  })

  it('are gone also when they were evaluated and not saved yet, or are being saved', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0 })
    observe(book, true, { at: 1 })
    const gate = Promise.withResolvers<void>()
    store.gate = gate.promise
    const saving = book.commit()
    await settled()
    observe(book, true, { at: 2, id: 'd2' })
    const keys = ['d1', 'd2'].map((id) => `test/Test\ndevice/user of ${id}/inverter/${id}`)
    book.forget(keys)
    gate.resolve()
    await saving
    await book.commit()
    expect(store.rows.size).toBe(0)
    expect(book.size()).toBe(0)
  })

  it('leave no flips behind', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, {
      downMs: 0,
      flapping: { windowMs: 60 * minute, high: 6, low: 3 },
    })
    observe(book, true, { at: 1 })
    observe(book, false, { at: 2 })
    const [alert] = [...(await committed(book))].map(({ after }) => after!) as [Alert]
    const { key } = alert
    book.settle([alert])
    await book.commit()
    book.prune(20 * minute)
    await book.commit()
    expect([...book.rememberedKeys()]).toEqual([key])
    book.forget([key])
    expect(await committed(book)).toEqual([])
    expect(book.rememberedCount()).toBe(0)
    expect(store.rows.size).toBe(0)
  })

  it('are still there when that could not be saved', async () => {
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0 })
    observe(book, true, { at: 1 })
    await book.commit()
    const [alert] = [...book.all()]
    store.failing = true
    book.forget([alert!.key])
    await expect(book.commit()).rejects.toThrow('disk full')
    expect([...book.all()]).toEqual([alert])
  })
})

describe('a resolved alert', () => {
  it('is kept as long as it is to be, and never less than 15 minutes', async () => {
    let retentionMs = 60 * minute
    const store = memoryStore()
    const book = await openAlertBook(store, { downMs: 0, retentionMs: () => retentionMs })
    observe(book, true, { at: -1 })
    observe(book, false, { at: 0 })
    await book.commit()
    book.settle(book.all())
    await book.commit()
    book.prune(59 * minute)
    await book.commit()
    expect(book.size()).toBe(1)
    retentionMs = 0
    book.prune(14 * minute)
    await book.commit()
    expect(book.size()).toBe(1)
    book.prune(15 * minute)
    await book.commit()
    expect(book.size()).toBe(0)
  })
})
