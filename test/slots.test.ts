import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createActivity } from '../src/activity.ts'
import type { Alert } from '../src/alerts/alert.ts'
import type { FieldType } from '../src/fleet/device.ts'
import { energyContractFields, migrationFields, type User, userFields } from '../src/fleet/user.ts'
import { silentLogger } from '../src/logger.ts'
import { createMetrics, type SlotOutcome } from '../src/metrics.ts'
import type { ReadElsewhere } from '../src/poller/walk.ts'
import { loadRules } from '../src/rules/rule-file.ts'
import { takeSlot } from '../src/slot-worker.ts'
import {
  decode,
  encode,
  readInSlots,
  type SlotAnswer,
  type SlotBoard,
  type SlotClaim,
  type SlotDesk,
  type SlotFindings,
  type SlotPlace,
  type SlotWork,
  workOnSlot,
} from '../src/slots.ts'
import { createTelemetry } from '../src/telemetry.ts'
import { createManualClock, type ManualClock } from './manual-clock.ts'
import { clientTo, json, quickClock, serve } from './partner/local-server.ts'
import { user, walk } from './rules/sample.ts'
import { alertFixture } from './storage/fixtures.ts'

const staleMs = 8_000

/** The table of slots, in memory. */
function createTable(clock: ManualClock) {
  interface Row {
    readonly walkId: string
    readonly slot: number
    work: Uint8Array
    epoch: number
    findings: Uint8Array | null
    touchedAt: number | null
  }
  let rows: Row[] = []
  const offered: SlotPlace[] = []
  const find = ({ walkId, slot }: SlotPlace) => rows.find((row) => row.walkId === walkId && row.slot === slot)
  const own = (claim: SlotClaim) => {
    const row = find(claim)
    return row !== undefined && row.epoch === claim.epoch && row.findings === null ? row : undefined
  }
  const table = {
    offered,
    /** Set, every call fails with it. */
    failure: null as Error | null,
    rows: () => rows,
    lose: (slot: number) => {
      rows = rows.filter((row) => row.slot !== slot)
    },
  }
  const reached = () => {
    if (table.failure !== null) throw table.failure
  }
  const board: { -readonly [Call in keyof SlotBoard]: SlotBoard[Call] } = {
    replicas: async () => 2,
    async begin(walkId) {
      reached()
      rows = rows.filter((row) => row.walkId === walkId)
    },
    async offer(walkId, slot, work) {
      reached()
      rows.push({ walkId, slot, work, epoch: 0, findings: null, touchedAt: null })
      offered.push({ walkId, slot })
    },
    async collect(walkId, entered) {
      reached()
      rows = rows.filter((row) => row.walkId !== walkId || !entered.includes(row.slot))
      return rows.flatMap(({ slot, findings }) => (findings === null ? [] : [{ slot, findings }]))
    },
    async offerOverdue(walkId) {
      reached()
      for (const { slot, touchedAt, findings } of rows) {
        if (findings === null && touchedAt !== null && clock.now() - touchedAt > staleMs)
          offered.push({ walkId, slot })
      }
      return rows.map(({ slot }) => slot)
    },
  }
  const desk: SlotDesk = {
    async claim(place) {
      reached()
      const row = find(place)
      if (row === undefined || row.findings !== null) return null
      if (row.touchedAt !== null && clock.now() - row.touchedAt <= staleMs) return null
      row.epoch++
      row.touchedAt = clock.now()
      return { ...place, epoch: row.epoch, work: row.work }
    },
    async touch(claim) {
      reached()
      const row = own(claim)
      if (row === undefined) return false
      row.touchedAt = clock.now()
      return true
    },
    async give(claim, findings) {
      reached()
      const row = own(claim)
      if (row === undefined) return false
      row.findings = findings
      return true
    },
    async release(claim) {
      reached()
      const row = own(claim)
      if (row === undefined) return
      row.touchedAt = null
      offered.push({ walkId: claim.walkId, slot: claim.slot })
    },
  }
  return { ...table, table, board, desk }
}

const nothing = { tallies: [], users: [], devices: [], gaps: { unread: [], unknown: [] } }
const foundIn = ({ users }: SlotWork): SlotFindings => ({
  ...nothing,
  findings: users.map(({ id }) => ({ kind: 'unseen', key: id, at: 1, why: 'deleted' })),
  counts: { usersUnread: 1, devices: users.length, devicesUnread: 2 },
})

const usersOf = (count: number): User[] => Array.from({ length: count }, (_, n) => user({ id: `u${n}` }))

function begin({ users = 100, replicas = 2 } = {}) {
  const clock = createManualClock()
  const place = createTable(clock)
  const entered: string[] = []
  const failures: unknown[] = []
  const done: number[] = []
  const stop = new AbortController()
  const alertOf = (userId: string): Alert => alertFixture({ subject: { kind: 'user', userId } })
  const read: ReadElsewhere = readInSlots({
    board: place.board,
    clock,
    newWalkId: () => 'walk',
    replicas,
    alertsOf: (userId) => (userId === 'u7' ? [alertOf(userId)] : []),
    async onSlot({ findings }) {
      for (const finding of findings) entered.push(finding.kind === 'unseen' ? finding.key : '')
    },
    onFailure: (error) => void failures.push(error),
  })
  const reading = read(usersOf(users).values(), {
    total: users,
    observedAt: 5,
    signal: stop.signal,
    onDone: (count) => void done.push(count),
  })
  reading.catch(() => {})
  const outcomes: SlotOutcome[] = []
  const worker = {
    desk: place.desk,
    clock,
    work: async (work: SlotWork): Promise<SlotAnswer> => foundIn(work),
    onEnded: (outcome: SlotOutcome) => void outcomes.push(outcome),
    onFailure: (error: unknown) => void failures.push(error),
  }
  /** Takes whatever is offered, until nothing more is. */
  async function workOff(): Promise<void> {
    let isOver = false
    reading
      .finally(() => {
        isOver = true
      })
      .catch(() => {})
    while (!isOver) {
      const next = place.offered.shift()
      if (next !== undefined) await takeSlot(next, stop.signal, worker)
      await clock.advance(100)
    }
  }
  /** Compressing takes its own time, on other threads. */
  async function untilOffered(count: number): Promise<void> {
    while (place.offered.length < count) await clock.advance(0)
  }
  return { clock, ...place, entered, failures, done, stop, reading, outcomes, worker, workOff, untilOffered }
}

const never = new AbortController().signal

describe('a walk in slots', () => {
  it('hands out every user once, enters what is found of each once, and counts it', async () => {
    const walk = begin()
    await walk.workOff()
    expect(await walk.reading).toEqual({ usersUnread: 5, devices: 100, devicesUnread: 10 })
    expect(walk.entered.toSorted()).toEqual(
      usersOf(100)
        .map(({ id }) => id)
        .toSorted(),
    )
    expect(walk.done.reduce((sum, count) => sum + count, 0)).toBe(100)
    expect(walk.outcomes).toEqual(['found', 'found', 'found', 'found', 'found'])
  })

  it.each([0, 1, 20, 21, 5_000])('is over with %s users', async (users) => {
    const walk = begin({ users })
    await walk.workOff()
    expect((await walk.reading).devices).toBe(users)
  })

  it('has a few slots out at a time, with the alerts of their users', async () => {
    const walk = begin({ users: 10_000, replicas: 3 })
    await walk.untilOffered(9)
    await walk.clock.advance(1_000)
    expect(walk.rows()).toHaveLength(9)
    const [first] = walk.rows()
    const work = await decode<SlotWork>(first!.work)
    expect(work.observedAt).toBe(5)
    expect(work.users).toHaveLength(417)
    expect(work.alerts.map(({ subject }) => subject)).toEqual([{ kind: 'user', userId: 'u7' }])
    walk.stop.abort(new Error('stopped'))
    await walk.clock.advance(1_000)
    await expect(walk.reading).rejects.toThrow('stopped')
  })

  it('goes on where it was when the database is away for a while', async () => {
    const walk = begin()
    walk.table.failure = new Error('no connection')
    // Slots are compressed outside of this thread, in a time that no clock here says.
    for (let tries = 0; walk.failures.length <= 5 && tries < 2_000; tries++) {
      await walk.clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    walk.table.failure = null
    await walk.clock.advance(1_000)
    await walk.workOff()
    expect((await walk.reading).devices).toBe(100)
    expect(walk.failures.length).toBeGreaterThan(5)
  })

  it('enters findings once, also when they could not be forgotten', async () => {
    const walk = begin({ users: 40, replicas: 1 })
    const { collect } = walk.board
    walk.board.collect = (walkId) => collect(walkId, [])
    await walk.workOff()
    expect(await walk.reading).toMatchObject({ devices: 40 })
    expect(walk.entered).toHaveLength(40)
  })

  it('fails when its slots are gone: another leader has begun a walk', async () => {
    const walk = begin()
    await walk.untilOffered(5)
    walk.lose(1)
    walk.lose(2)
    await walk.clock.advance(3_000)
    await walk.workOff()
    await expect(walk.reading).rejects.toThrow('2 slots of this walk are gone')
  })

  it('fails as a walk of one process does when a rule or a reading throws', async () => {
    const walk = begin()
    await walk.untilOffered(1)
    const work = async () => {
      throw new TypeError('undefined is not a function')
    }
    await takeSlot(walk.offered.shift()!, never, { ...walk.worker, work })
    await walk.workOff()
    await expect(walk.reading).rejects.toThrow('a replica failed: undefined is not a function')
    expect(walk.outcomes[0]).toBe('failed')
  })
})

describe('a replica that works on a slot', () => {
  async function claimed() {
    const walk = begin({ users: 20, replicas: 1 })
    await walk.untilOffered(1)
    const place = walk.offered.shift()!
    const answer = Promise.withResolvers<SlotAnswer>()
    let ending: AbortSignal | null = null
    const work = async (_: SlotWork, __: SlotPlace, signal: AbortSignal) => {
      ending = signal
      return Promise.race([
        answer.promise,
        new Promise<never>((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason)),
        ),
      ])
    }
    const stop = new AbortController()
    const ended = takeSlot(place, stop.signal, { ...walk.worker, work })
    while (ending === null) await walk.clock.advance(0)
    return { ...walk, place, answer, stop, ended, signal: () => ending }
  }

  const aFew: SlotFindings = {
    ...nothing,
    findings: [],
    counts: { usersUnread: 0, devices: 3, devicesUnread: 0 },
  }

  it('keeps it for as long as it works, however long that is', async () => {
    const one = await claimed()
    await one.clock.advance(60_000)
    expect(one.offered).toEqual([])
    expect(await one.desk.claim(one.place)).toBeNull()
    one.answer.resolve(aFew)
    await one.ended
    await one.workOff()
    expect(await one.reading).toMatchObject({ devices: 3 })
  })

  it('that was paused finds that it was given away, stops, and is not heard', async () => {
    const one = await claimed()
    // It touches nothing while it is paused, and when it wakes its claim is old.
    one.rows()[0]!.touchedAt = one.clock.now() - staleMs - 1
    const other = await one.desk.claim(one.place)
    expect(other?.epoch).toBe(2)
    await one.clock.advance(2_000)
    await one.ended
    expect(one.signal()?.aborted).toBe(true)
    expect(one.outcomes).toEqual(['too_late'])
    expect(await one.desk.give(other!, await encode(aFew))).toBe(true)
    await one.workOff()
    expect(await one.reading).toMatchObject({ devices: 3 })
  })

  it('that answers just when it was given away is not heard', async () => {
    const one = await claimed()
    one.rows()[0]!.epoch++
    one.answer.resolve(aFew)
    await one.ended
    expect(one.outcomes).toEqual(['too_late'])
    expect(one.rows()[0]!.findings).toBeNull()
  })

  it('that is stopped gives it to somebody else at once', async () => {
    const one = await claimed()
    one.stop.abort()
    await one.ended
    expect(one.outcomes).toEqual(['released'])
    expect(one.offered).toEqual([one.place])
    expect((await one.desk.claim(one.place))?.epoch).toBe(2)
  })

  it('that died is followed by another one when its slot was not touched for a while', async () => {
    const one = await claimed()
    one.rows()[0]!.touchedAt = one.clock.now() - staleMs - 1
    await one.board.offerOverdue('walk')
    expect(one.offered).toEqual([one.place])
  })

  it('keeps what it found while the database is away', async () => {
    const one = await claimed()
    one.table.failure = new Error('no connection')
    one.answer.resolve(aFew)
    await one.clock.advance(3_000)
    expect(one.outcomes).toEqual([])
    one.table.failure = null
    while (one.outcomes.length === 0) await one.clock.advance(500)
    await one.ended
    expect(one.outcomes).toEqual(['found'])
  })

  it('does not begin what it cannot claim', async () => {
    const one = await claimed()
    let hasBegun = false
    const work = async (): Promise<SlotAnswer> => {
      hasBegun = true
      return aFew
    }
    await takeSlot(one.place, never, { ...one.worker, work })
    await takeSlot({ walkId: 'another', slot: 0 }, never, { ...one.worker, work })
    expect(hasBegun).toBe(false)
  })
})

describe('what crosses from one process to another', () => {
  const text = `
groups:
  - name: crossing
    rules:
      - {alert: Moving, each: user, expr: 'user.migration_step == "identified" && user.migration_since < now', annotations: {summary: "{{ user.external_user_id }}"}}
      - {alert: Twice, each: user, expr: user.external_user_id_count > 1}
      - {alert: ContractOver, each: user, expr: 'user.energy_contracts.exists(c, c.prices_until < now)'}
      - {alert: Cold, device_types: [heat_pump], expr: device.dhw_temperature < 40.0}
      - {alert: Fails, device_types: [heat_pump], expr: 1 / (size(device.id) - size(device.id)) > 0}
`
  const rules = loadRules([{ file: 'crossing.yaml', text }])
  const observedAt = Date.UTC(2026, 5, 1)
  const root = '/api/partners/v2.0/org/org-1/users/'
  const ofPump = (fields: object) => ({ id: 'p1', is_authenticated: true, action_needed: false, ...fields })

  /** Two replicas, each with metrics of its own, work on the slots of a leader, which has the page. */
  async function walked(users: readonly User[], answers: Readonly<Record<string, unknown>>) {
    const server = await serve((request, response) => {
      const answer = answers[(request.url ?? '').replace(root, '')]
      if (typeof answer === 'string') response.end(answer)
      else json(response, answer ?? [])
    })
    const clock = createManualClock(observedAt)
    const counted = () => createMetrics({ clock, version: '', revision: '', nodeVersion: '' })
    const replicas = [counted(), counted()].map((metrics) => ({
      metrics,
      telemetry: createTelemetry({ logger: silentLogger, metrics, clock }),
    }))
    const leading = counted()
    const activity = createActivity({ now: clock.now })
    const page = activity.noting(createTelemetry({ logger: silentLogger, metrics: leading, clock }))
    const place = createTable(clock)
    const found: SlotFindings[] = []
    page.walkStarted()
    const reading = readInSlots({
      board: place.board,
      clock,
      newWalkId: () => 'walk',
      replicas: 2,
      alertsOf: () => [],
      async onSlot(findings) {
        found.push(findings)
        page.monitor.onFound(findings)
      },
      onFailure: (error) => {
        throw error
      },
    })(users.values(), { total: users.length, observedAt, signal: never, onDone() {} })
    let isOver = false
    const over = reading.finally(() => {
      isOver = true
    })
    for (let turn = 0; !isOver; ) {
      const next = place.offered.shift()
      const { telemetry } = replicas[turn % 2]!
      if (next !== undefined) {
        turn++
        await takeSlot(next, never, {
          ...{ desk: place.desk, clock, onEnded() {} },
          onFailure: (error) => {
            throw error
          },
          work: (work, _place, signal) =>
            workOnSlot(work, {
              ...{ client: clientTo(server.url), clock: quickClock, rules, concurrency: 4, signal },
              newEpisode: () => 'e',
              onUnread: telemetry.unread,
              onUnknown: telemetry.unknown,
            }),
        })
      }
      await clock.advance(100)
    }
    await over
    page.monitor.onWalkEnded(walk({ ended_at: clock.now() }), 'partial')
    /** Of a series, in each replica and in the process that leads. */
    const counts = async (series: string) => {
      const all = [...replicas.map(({ metrics }) => metrics), leading]
      const scrapes = await Promise.all(all.map((metrics) => metrics.renderOwn()))
      return scrapes.map((scrape) => Number(scrape.split(`${series} `)[1]?.split('\n')[0] ?? 0))
    }
    return { found, activity, counts }
  }

  const noPumps = { num_heat_pumps: 0, num_electric_vehicles: 0, num_inverters: 0, num_wallboxes: 0 }

  it('is all that rules read of users: migration, external ids, energy contracts', async () => {
    const contracts = { id: 'e1', supplier: 'S', energy_prices: ['2026-05-01T00:00:00Z'] }
    const { found } = await walked(
      [
        user({ ...noPumps, id: 'u1', external_user_id: 'c-1', external_user_id_count: 2 }),
        user({
          ...noPumps,
          id: 'u2',
          migration_step: 'identified',
          migration_since: observedAt - 5,
          external_user_id: 'ü✓',
        }),
        user({ ...noPumps, id: 'u3', migration_step: 'done', external_user_id_count: 1 }),
      ],
      { 'u3/energy-contracts': [contracts] },
    )
    const concluded = found.flatMap(({ findings }) =>
      findings.flatMap((one) => (one.kind === 'concluded' ? [one] : [])),
    )
    expect(
      concluded
        .filter(({ verdict }) => verdict === true)
        .map(({ ruleId, subject, birth }) => [
          ...[ruleId, subject.kind === 'user' && subject.userId, birth?.annotations['summary']],
        ]),
    ).toEqual([
      ['crossing/Twice', 'u1', undefined],
      ['crossing/Moving', 'u2', 'ü✓'],
      ['crossing/ContractOver', 'u3', undefined],
    ])
    expect(found.flatMap(({ users }) => users).find(({ id }) => id === 'u3')).toMatchObject({
      ...{ migration_step: 'done', external_user_id_count: 1 },
      energy_contracts: [{ id: 'e1', supplier: 'S', prices_until: Date.UTC(2026, 4, 1) }],
    })
  })

  it('is what could not be read and what rules could not say, for the page, and each counts its own', async () => {
    const users = Array.from({ length: 40 }, (_, n) => user({ ...noPumps, id: `u${n}`, num_heat_pumps: 1 }))
    const { activity, counts } = await walked(
      users,
      Object.fromEntries(
        users.flatMap(({ id }, n) => [
          [`${id}/heat-pumps`, n % 4 === 0 ? '<html>' : [ofPump({ id: `p${n}` })]],
          [`${id}/energy-contracts`, n === 1 ? '<html>' : []],
        ]),
      ),
    )
    const [last] = activity.walks()
    expect(last?.unread.map(({ what, reason, count }) => [what, reason, count])).toEqual([
      ['devices', 'bad_json', 10],
      ['energy_contracts', 'bad_json', 1],
    ])
    expect(last?.unread[0]?.problem).not.toBe('')
    expect(activity.rule('Cold').unknown).toEqual({ missing_field: 30 })
    expect(activity.rule('Fails').unknown).toEqual({ rule_error: 30 })
    for (const [series, total] of [
      ['fleet_unread_total{reason="bad_json"}', 11],
      ['fleet_rule_evaluation_failures_total{alertname="Fails"}', 30],
    ] as const) {
      const [one = 0, other = 0, leader] = await counts(series)
      expect([one > 0, other > 0, one + other, leader]).toEqual([true, true, total, 0])
    }
  })

  const values: { readonly [Type in FieldType]: fc.Arbitrary<unknown> } = {
    string: fc.string({ unit: 'binary' }),
    bool: fc.boolean(),
    // JSON has one zero.
    double: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    timestamp: fc.integer({ min: -8.64e15, max: 8.64e15 }),
  }
  const anyRecord = (table: Readonly<Record<string, FieldType>>) =>
    fc.record(
      Object.fromEntries(Object.entries(table).map(([name, type]) => [name, fc.option(values[type])])),
    )
  const anyUser = fc
    .tuple(
      anyRecord({ ...userFields, ...migrationFields }),
      fc.record({
        id: fc.string({ minLength: 1, unit: 'binary' }),
        external_user_id_count: fc.option(fc.nat()),
        energy_contracts: fc.option(fc.array(anyRecord(energyContractFields), { maxLength: 3 })),
      }),
    )
    .map(([fields, more]) => ({ ...fields, ...more }) as User)

  it('is every user as it was, whatever its fields hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyUser, { maxLength: 5 }), async (users) => {
        const work: SlotWork = { observedAt, users, alerts: [] }
        expect(await decode<SlotWork>(await encode(work))).toEqual(work)
      }),
    )
  })
})
