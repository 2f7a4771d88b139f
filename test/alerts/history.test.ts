import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import { type AlertHistory, createHistory, type HistoryWhat } from '../../src/alerts/history.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import type { Storage } from '../../src/storage/storage.ts'

const minute = 60_000
const labels = { alertname: 'Test', device_id: 'd1', severity: 'warning' }
const print = fingerprint(labels)
const subject = { kind: 'device', userId: 'u1', deviceType: 'inverter', deviceId: 'd1' } as const
const told: HistoryWhat = {
  kind: 'told',
  status: 'firing',
  reason: 'repeat',
  receiver: 'on-call',
  integration: 'slack/0',
}

let folder: string
let storage: Storage
let book: AlertBook
let history: AlertHistory
let errors: unknown[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetwarden-history-'))
  storage = await openSqlite({ path: join(folder, 'fleet.db') })
  book = await openAlertBook(storage, { downMs: 0 })
  errors = []
  history = createHistory({ store: storage, book, onError: (error) => errors.push(error) })
})
afterEach(async () => {
  await storage.close()
  await rm(folder, { recursive: true })
})

async function observe(verdict: boolean, minutes: number): Promise<void> {
  book.evaluate({
    ruleId: 'test/Test',
    subject,
    evaluation: { at: minutes * minute, verdict, clear: null },
    timing: { forMs: 5 * minute, keepFiringForMs: 3 * minute, noData: 'keep' },
    definition: 'v1',
    birth: () => ({
      ...{ fingerprint: print, ruleId: 'test/Test', definition: 'v1', subject, labels },
      annotations: {},
      affected: { externalUserId: null, name: null, email: null, model: null },
      episode: `e${minutes}`,
    }),
  })
  await book.commit()
}

async function states(): Promise<string[]> {
  const records = await history.of(print)
  return records.map(({ episode, what, firstAt, lastAt, times }) => {
    const name = what.kind === 'state' ? what.state : what.reason
    return `${episode} ${name} ${firstAt / minute}${times === 1 ? '' : `, ${times} times to ${lastAt / minute}`}`
  })
}

describe('the history of an alert', () => {
  it('has each of its states, with the moment at which it began', async () => {
    for (let at = 0; at <= 6; at++) await observe(true, at)
    for (let at = 7; at <= 10; at++) await observe(false, at)
    expect(await states()).toEqual(['e0 pending 0', 'e0 firing 5', 'e0 recovering 7', 'e0 resolved 10'])
  })

  it('has what happens again once, with how often', async () => {
    for (let at = 0; at <= 5; at++) await observe(true, at)
    for (let turn = 0; turn < 4; turn++) {
      await observe(false, 6 + 2 * turn)
      await observe(true, 7 + 2 * turn)
    }
    expect(await states()).toEqual([
      'e0 pending 0',
      'e0 firing 5, 5 times to 13',
      'e0 recovering 6, 4 times to 12',
    ])
  })

  it('has the episode before it, for a day', async () => {
    for (let at = 0; at <= 5; at++) await observe(true, at)
    for (let at = 6; at <= 9; at++) await observe(false, at)
    book.settle(book.all())
    await observe(true, 20)
    expect(await states()).toEqual([
      ...['e0 pending 0', 'e0 firing 5', 'e0 recovering 6', 'e0 resolved 9', 'e20 pending 20'],
    ])
    await observe(false, 21)
    expect(await states()).toEqual([])
  })

  it('goes when the alert goes', async () => {
    for (let at = 0; at <= 5; at++) await observe(true, at)
    const alert = book.byFingerprint(print)!
    history.add(alert, told, 6 * minute)
    for (let at = 7; at <= 10; at++) await observe(false, at)
    expect(await states()).toHaveLength(5)
    book.settle([alert])
    await book.commit()
    book.prune(60 * minute)
    await book.commit()
    expect(await states()).toEqual([])
    // A message that was on its way.
    history.add(alert, told, 61 * minute)
    expect(await states()).toEqual([])
  })

  it('keeps what was told of it, and forgets a user', async () => {
    for (let at = 0; at <= 5; at++) await observe(true, at)
    for (const at of [6, 7, 8]) history.add(book.byFingerprint(print)!, told, at * minute)
    expect(await states()).toEqual(['e0 pending 0', 'e0 firing 5', 'e0 repeat 6, 3 times to 8'])
    expect(await history.count('u1')).toBe(3)
    expect(await history.forget('u2')).toBe(0)
    expect(await history.forget('u1')).toBe(3)
    expect(await states()).toEqual([])
  })

  it('is left out where it cannot be saved, and nothing else suffers', async () => {
    const failing = { ...storage, saveHistory: () => Promise.reject(new Error('disk full')) }
    createHistory({ store: failing, book, onError: (error) => errors.push(error) })
    await observe(true, 0)
    await history.saved()
    expect(errors).toEqual([new Error('disk full')])
    expect(await states()).toEqual(['e0 pending 0'])
  })

  it('of an outage is saved in parts, so that others get their turn', async () => {
    const sizes: number[] = []
    const counting: Storage = {
      ...storage,
      saveHistory: (changes) => {
        sizes.push(changes.length)
        return storage.saveHistory(changes)
      },
    }
    await observe(true, 0)
    const outage = createHistory({ store: counting, book, onError: (error) => errors.push(error) })
    const alert = book.byFingerprint(print)!
    for (let n = 0; n < 4_500; n++) outage.add({ ...alert, episode: `x${n}` }, told, n)
    await outage.saved()
    expect(sizes).toEqual([2_000, 2_000, 500])
  })
})
