import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openPostgres } from '../../src/storage/postgres.ts'
import {
  openSharedPostgres,
  type SharedPostgres,
  type SharedSlots,
} from '../../src/storage/postgres-replicas.ts'
import {
  administer,
  emptyDatabase,
  type PostgresServer,
  postgresConfig,
  startPostgres,
} from './postgres-server.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let server: PostgresServer
let url: string
let shared: SharedPostgres
let slots: SharedSlots
let errors: unknown[]

beforeAll(async () => {
  server = await startPostgres()
  url = server.url('postgres')
})
afterAll(() => server.remove())

beforeEach(async () => {
  await emptyDatabase(url)
  await administer(url, 'DROP SCHEMA IF EXISTS fleetwarden_queue CASCADE')
  await (await openPostgres({ config: postgresConfig(url) })).close()
  errors = []
  shared = await open()
  slots = shared.slots('slots-a')
})
afterEach(() => shared.close())

const open = () =>
  openSharedPostgres({ config: postgresConfig(url), onError: (error) => void errors.push(error) })
const bytes = (text: string) => Buffer.from(text)
const place = { walkId: 'w', slot: 1 }

/** As if it were so much earlier: nobody waits for it. */
const age = (column: 'offered_at' | 'touched_at', seconds: number) =>
  administer(url, `UPDATE fleetwarden.slot SET ${column} = ${column} - interval '${seconds} s'`)

describe('the table of slots', () => {
  beforeEach(async () => {
    await slots.begin('w')
    await slots.offer('w', 1, bytes('work'))
  })

  it('gives a slot to one who claims it, with what there is to do', async () => {
    const claims = await Promise.all(Array.from({ length: 8 }, () => slots.claim(place)))
    expect(claims.filter((claim) => claim !== null)).toEqual([{ ...place, epoch: 1, work: bytes('work') }])
  })

  it('takes findings from whoever has the last claim, once', async () => {
    const first = await slots.claim(place)
    await age('touched_at', 9)
    expect(await slots.claim(place)).toMatchObject({ epoch: 2 })
    expect(await slots.touch(first!)).toBe(false)
    expect(await slots.give(first!, bytes('late'))).toBe(false)
    const second = { ...first!, epoch: 2 }
    expect(await slots.touch(second)).toBe(true)
    expect(await slots.give(second, bytes('found'))).toBe(true)
    expect(await slots.give(second, bytes('again'))).toBe(false)
    expect(await slots.claim(place)).toBeNull()
    expect(await slots.collect('w', [])).toEqual([{ slot: 1, findings: bytes('found') }])
    expect(await slots.collect('w', [1])).toEqual([])
    expect(await slots.offerOverdue('w')).toEqual([])
  })

  it('leaves a slot to one who touches it', async () => {
    const claim = await slots.claim(place)
    await age('touched_at', 9)
    await slots.touch(claim!)
    expect(await slots.claim(place)).toBeNull()
  })

  it('forgets the slots of other walks', async () => {
    const claim = await slots.claim(place)
    await slots.begin('another')
    expect(await slots.touch(claim!)).toBe(false)
    expect(await slots.give(claim!, bytes('found'))).toBe(false)
    expect(await slots.offerOverdue('w')).toEqual([])
  })

  it('offers again what nobody works on any more, and what was never taken', async () => {
    const taken: number[] = []
    const stop = new AbortController()
    await slots.claim(place)
    await slots.offer('w', 2, bytes('lost by the queue'))
    await slots.begin('w')
    const taking = slots.takeSlots(async ({ slot }) => void taken.push(slot), stop.signal)
    await slots.offerOverdue('w')
    await age('touched_at', 9)
    await age('offered_at', 9)
    await slots.offerOverdue('w')
    await expect.poll(() => taken, { timeout: 10_000 }).toEqual([1])
    await age('offered_at', 31)
    await slots.offerOverdue('w')
    await expect.poll(() => taken.toSorted(), { timeout: 10_000 }).toEqual([1, 1, 2])
    stop.abort()
    await taking
  })
})

describe('the queue of slots', () => {
  it('hands each slot to one replica of those that think alike', async () => {
    const other = await open()
    const stop = new AbortController()
    const taken: Record<string, number[]> = { first: [], second: [], stranger: [] }
    const takers = [
      slots.takeSlots(async ({ slot }) => void taken['first']!.push(slot), stop.signal),
      other.slots('slots-a').takeSlots(async ({ slot }) => void taken['second']!.push(slot), stop.signal),
      other.slots('slots-b').takeSlots(async ({ slot }) => void taken['stranger']!.push(slot), stop.signal),
    ]
    await expect.poll(() => slots.replicas(), { timeout: 20_000 }).toBe(2)
    await slots.begin('w')
    for (let slot = 0; slot < 20; slot++) await slots.offer('w', slot, bytes(''))
    const all = () => [...taken['first']!, ...taken['second']!].sort((a, b) => a - b)
    await expect.poll(all, { timeout: 20_000 }).toEqual(Array.from({ length: 20 }, (_, slot) => slot))
    expect(taken['stranger']).toEqual([])
    stop.abort()
    await Promise.all(takers)
    await other.close()
    await expect.poll(() => slots.replicas(), { timeout: 20_000 }).toBe(0)
  })

  it('hands out new slots at once however many old jobs lie in it', async () => {
    await slots.offer('old', 1, bytes(''))
    await administer(
      url,
      `INSERT INTO fleetwarden_queue.job_common (name, data, state, completed_on, policy)
       SELECT 'slots-a', json_build_object('walkId', 'old', 'slot', n)::jsonb,
         (CASE n % 2 WHEN 0 THEN 'completed' ELSE 'created' END)::fleetwarden_queue.job_state, now(), 'standard'
       FROM generate_series(1, 20000) AS n`,
    )
    const stop = new AbortController()
    const taken: string[] = []
    await slots.begin('w')
    const taking = slots.takeSlots(async ({ walkId }) => void taken.push(walkId), stop.signal)
    const offeredAt = performance.now()
    await slots.offer('w', 1, bytes(''))
    await expect.poll(() => taken, { timeout: 10_000, interval: 5 }).toEqual(['w'])
    expect(performance.now() - offeredAt).toBeLessThan(5_000)
    stop.abort()
    await taking
  })
})

describe('the pace', () => {
  it('gives each due time once, to whoever asks', async () => {
    const other = await open()
    const intervalMs = 20
    const asked = performance.now()
    const waits = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        (n % 2 === 0 ? shared : other).reservePace(1 + (n % 3), intervalMs),
      ),
    )
    const tookMs = performance.now() - asked
    const reserved = Array.from({ length: 40 }, (_, n) => 1 + (n % 3)).reduce((sum, n) => sum + n, 0)
    const last = await shared.reservePace(1, intervalMs)
    expect(last).toBeGreaterThan(reserved * intervalMs - tookMs - 100)
    expect(last).toBeLessThanOrEqual(reserved * intervalMs)
    expect(Math.min(...waits)).toBeLessThan(intervalMs)
    await other.close()
  })

  it('gives no credit for time that nobody used', async () => {
    await shared.reservePace(1, 10)
    await administer(url, 'UPDATE fleetwarden.pace SET due_at = due_at - 60000')
    expect(await shared.reservePace(100, 10)).toBeLessThan(10)
    expect(await shared.reservePace(1, 10)).toBeGreaterThan(500)
  })
})

it('knows whether the leader has made the tables yet', async () => {
  expect(await shared.isReady()).toBe(true)
  await administer(url, 'DROP SCHEMA fleetwarden CASCADE')
  expect(await shared.isReady()).toBe(false)
})

it('outlives the server, and goes on when that is back', async () => {
  const stop = new AbortController()
  const taken: number[] = []
  const taking = slots.takeSlots(async ({ slot }) => void taken.push(slot), stop.signal)
  await slots.begin('w')
  await slots.offer('w', 1, bytes(''))
  await expect.poll(() => taken, { timeout: 10_000 }).toEqual([1])
  await server.crash()
  await expect(shared.reservePace(1, 1)).rejects.toMatchObject({ name: 'StorageError', kind: 'unavailable' })
  await server.start()
  await expect
    .poll(
      () =>
        slots.offer('w', 2, bytes('')).then(
          () => true,
          () => false,
        ),
      { timeout: 20_000 },
    )
    .toBe(true)
  await expect.poll(() => taken, { timeout: 20_000 }).toContain(2)
  stop.abort()
  await taking
})
