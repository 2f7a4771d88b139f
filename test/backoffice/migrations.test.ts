import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { mapColumns } from '../../src/backoffice/csv-columns.ts'
import { openCsv } from '../../src/backoffice/csv-file.ts'
import { sessionsToOpen } from '../../src/backoffice/migration.ts'
import { planColumns, readPlan } from '../../src/backoffice/migration-plan.ts'
import type { MigrationStore } from '../../src/backoffice/migration-store.ts'
import { type MigrationPlan, openMigrations } from '../../src/backoffice/migrations.ts'
import type { SimulatedDevice } from '../../src/simulator/fleet.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { never, quickClock } from '../partner/local-server.ts'
import { user as ruleUser } from '../rules/sample.ts'
import { admin, type Office, openOffice } from './office.ts'

const plan = (change: Partial<MigrationPlan> = {}): MigrationPlan => ({
  externalId: 'OLD-1',
  oldUserId: null,
  expected: { heat_pump: 1, electric_vehicle: 1, inverter: 0, wallbox: 0 },
  needsContract: true,
  language: 'de',
  priceZone: 'AT',
  user: { role: 'user', email: 'moved@example.com', last_name: 'Muster' },
  ...change,
})
const usual = { reopen: false }

async function database(): Promise<Storage> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-migration-'))
  const storage = await openSqlite({ path: join(folder, 'fleet.db') })
  onTestFinished(async () => {
    await storage.close()
    await rm(folder, { recursive: true })
  })
  return storage
}

const open = (world: Office, store: MigrationStore) =>
  openMigrations({
    store,
    backOffice: world.office,
    directory: world.directory,
    client: world.client,
    record: async (entry) => void world.trail.push(entry),
    clock: quickClock,
    returnUrls: { successUrl: 'https://portal.example.com/done', cancelUrl: 'https://portal.example.com/' },
    signal: never,
  })

async function world() {
  const office = await openOffice()
  const store = await database()
  return { ...office, store, fleet: office.simulator.fleet, migrations: await open(office, store) }
}

/** What the customer does with the links. */
function connect({ simulator: { fleet } }: Office, userId: string, ...types: SimulatedDevice['type'][]) {
  const index = fleet.userIndex(userId)!
  for (const type of types) fleet.addDevice(index, { type, at: quickClock.now() })
  fleet.changeUser(index, { is_onboarded: true })
}

describe('moving a user', () => {
  it('creates, identifies and opens a session for each device, then waits for the customer', async () => {
    const { migrations, fleet, told, simulator } = await world()
    const { state, links } = await migrations.start(plan(), usual, admin)
    expect(state).toMatchObject({
      step: 'onboarding',
      problem: '0 of 1 heat pump connected; 0 of 1 electric vehicle connected; no energy contract',
    })
    expect(links.map(({ deviceType }) => deviceType)).toEqual(['heat_pump', 'electric_vehicle'])
    expect(links[0]?.url.reveal()).toContain('/session/')
    expect(fleet.profile(fleet.userIndex(state.userId!)!)).toMatchObject({
      email: 'moved@example.com',
      external_user_id: 'OLD-1',
    })
    expect(told().filter((line) => line.endsWith(' ok'))).toEqual([
      'user.create ok',
      'user.update ok',
      'user.onboard ok',
      'user.onboard ok',
    ])
    expect(simulator.requests.count('device_onboarding')).toBe(2)
  })

  it('is verified when devices, their authentication and the contract are there, and then done', async () => {
    const here = await world()
    const { migrations, fleet } = here
    const { state } = await migrations.start(plan(), usual, admin)
    connect(here, state.userId!, 'heat_pump')
    expect((await migrations.advance('OLD-1', usual, admin))?.state.problem).toBe(
      '0 of 1 electric vehicle connected',
    )
    connect(here, state.userId!, 'electric_vehicle')
    const [pump] = fleet.devices(fleet.userIndex(state.userId!)!)
    fleet.breakDevice(pump!, 'unauthenticated', 0)
    expect((await migrations.advance('OLD-1', usual, admin))?.state.problem).toBe(
      '1 heat pump not authenticated',
    )
    fleet.heal(pump!)
    expect((await migrations.advance('OLD-1', usual, admin))?.state).toMatchObject({
      step: 'done',
      problem: null,
    })
    expect(migrations.counts()).toMatchObject({ done: 1, onboarding: 0 })
  })

  it('archives the old record in the end, and the external id stays with the new one', async () => {
    const here = await world()
    const { migrations, fleet } = here
    const oldUserId = fleet.userId(3)
    const externalId = fleet.profile(3).external_user_id!
    const { state } = await migrations.start(plan({ externalId, oldUserId }), usual, admin)
    expect(fleet.profile(3).role).toBe('user')
    connect(here, state.userId!, 'heat_pump', 'electric_vehicle')
    expect((await migrations.advance(externalId, usual, admin))?.state.step).toBe('done')
    expect(fleet.profile(3)).toMatchObject({ role: 'guest', external_user_id: null })
    expect(fleet.profile(fleet.userIndex(state.userId!)!).external_user_id).toBe(externalId)
  })

  it('takes on a user who is there already, by external id or by address', async () => {
    const { migrations, fleet } = await world()
    const { email, external_user_id } = fleet.profile(2)
    const expected = { heat_pump: 0, electric_vehicle: 0, inverter: 0, wallbox: 0 }
    const same = plan({ externalId: external_user_id!, expected, needsContract: false })
    expect((await migrations.start(same, usual, admin)).state).toMatchObject({
      step: 'done',
      userId: fleet.userId(2),
    })
    fleet.changeUser(4, { external_user_id: null })
    const byAddress = plan({
      expected,
      needsContract: false,
      user: { role: 'user', email: fleet.profile(4).email },
    })
    expect((await migrations.start(byAddress, usual, admin)).state).toMatchObject({
      step: 'done',
      userId: fleet.userId(4),
    })
    expect(fleet.profile(4).external_user_id).toBe('OLD-1')
    const taken = plan({ externalId: 'OLD-2', user: { role: 'user', email } })
    expect((await migrations.start(taken, usual, admin)).state).toMatchObject({
      step: 'planned',
      problem: `user ${fleet.userId(2)}, who has another external id, has the e-mail address`,
    })
    expect(fleet.userCount).toBe(20)
  })

  it('says what keeps it, and goes on once that is gone', async () => {
    const { migrations, fleet } = await world()
    const { email, external_user_id: externalId } = fleet.profile(3)
    const wanted = plan({
      externalId: externalId!,
      oldUserId: fleet.userId(3),
      user: { role: 'user', email },
    })
    expect((await migrations.start(wanted, usual, admin)).state).toMatchObject({
      step: 'planned',
      problem: 'the old record still has the e-mail address, which only one user can have',
    })
    expect((await migrations.advance(externalId!, usual, admin))?.state.problem).toContain('takes the plan')
    fleet.changeUser(3, { email: 'old@example.com' })
    const { state } = await migrations.start(wanted, usual, admin)
    expect(state.step).toBe('onboarding')
    fleet.deleteUser(fleet.userIndex(state.userId!)!, 0)
    expect((await migrations.advance(externalId!, usual, admin))?.state.problem).toContain(
      'no longer knows user',
    )
  })

  it('opens no second session while one is open, unless its link was lost', async () => {
    const { migrations } = await world()
    await migrations.start(plan(), usual, admin)
    expect((await migrations.advance('OLD-1', usual, admin))?.links).toEqual([])
    expect((await migrations.start(plan(), usual, admin)).links).toEqual([])
    expect((await migrations.advance('OLD-1', { reopen: true }, admin))?.links).toHaveLength(2)
    const at = { sessions: [{ deviceType: 'inverter', openedAt: 0, expiresAt: 100 }], reopen: false } as const
    expect(sessionsToOpen(['inverter', 'inverter'], { ...at, now: 50 })).toEqual(['inverter'])
    expect(sessionsToOpen(['inverter'], { ...at, now: 100 })).toEqual(['inverter'])
  })

  it('hands out links that were opened although the partner fails after that', async () => {
    const { migrations, simulator } = await world()
    simulator.faults.add({ kind: 'status', status: 403, method: 'GET', path: 'energy-contracts' })
    const { state, links } = await migrations.start(plan(), usual, admin)
    expect(links).toHaveLength(2)
    expect(state).toMatchObject({
      step: 'onboarding',
      problem: 'the partner could not be asked (unauthorized)',
    })
  })

  it('keeps nothing personal and no link, in the database or in the trail of steps', async () => {
    const { migrations, store, trail } = await world()
    const { links } = await migrations.start(plan(), usual, admin)
    const kept = JSON.stringify(await store.loadMigrations())
    for (const secret of ['moved@example.com', 'Muster', '/session/']) expect(kept).not.toContain(secret)
    expect(JSON.stringify(trail)).not.toContain(links[0]!.url.reveal())
    expect(JSON.stringify(trail)).not.toContain('/session/')
  })

  it.each(Array.from({ length: 7 }, (_, n) => n))(
    'goes on after a crash at save %i, and does nothing twice',
    async (crashAt) => {
      const here = await world()
      const { store, fleet, simulator } = here
      const oldUserId = fleet.userId(3)
      const externalId = fleet.profile(3).external_user_id!
      const wanted = plan({ externalId, oldUserId, needsContract: false })
      let saves = 0
      const failing: MigrationStore = {
        loadMigrations: () => store.loadMigrations(),
        deleteMigration: (id) => store.deleteMigration(id),
        saveMigration: async (state) => {
          if (saves++ === crashAt) throw new Error('killed')
          await store.saveMigration(state)
        },
      }
      const first = await open(here, failing)
      await first.start(wanted, usual, admin).catch(() => {})
      // Another process, which knows what was saved.
      const second = await open(here, store)
      const { state } = await second.start(wanted, usual, admin)
      connect(here, state.userId!, 'heat_pump', 'electric_vehicle')
      await (await open(here, failing)).advance(externalId, usual, admin).catch(() => {})
      const third = await open(here, store)
      expect((await third.start(wanted, usual, admin)).state.step).toBe('done')
      expect(fleet.userCount).toBe(21)
      expect(fleet.profile(fleet.userIndex(state.userId!)!)).toMatchObject({ external_user_id: externalId })
      expect(fleet.profile(3)).toMatchObject({ role: 'guest', external_user_id: null })
      // A session whose opening was not saved is opened once more, which is harmless.
      expect(simulator.requests.count('device_onboarding')).toBeLessThanOrEqual(3)
    },
  )

  it('takes one user on at a time, also when asked twice at once', async () => {
    const { migrations, fleet, simulator } = await world()
    await Promise.all([migrations.start(plan(), usual, admin), migrations.start(plan(), usual, admin)])
    expect(fleet.userCount).toBe(21)
    expect(simulator.requests.count('device_onboarding')).toBe(2)
  })

  it('is forgotten when that is wanted', async () => {
    const { migrations, store } = await world()
    await migrations.start(plan(), usual, admin)
    expect(await migrations.forget('OLD-1', admin)).toBe(true)
    expect(await migrations.forget('OLD-1', admin)).toBe(false)
    expect([await store.loadMigrations(), [...migrations.all()]]).toEqual([[], []])
    expect(await migrations.advance('OLD-1', usual, admin)).toBeNull()
  })

  it('is seen by rules: the step, and since when', async () => {
    const { migrations } = await world()
    const { state } = await migrations.start(plan(), usual, admin)
    expect(migrations.annotated(ruleUser({ id: state.userId! }))).toMatchObject({
      migration_step: 'onboarding',
      migration_since: state.since,
    })
    const other = ruleUser({ id: 'other' })
    expect(migrations.annotated(other)).toBe(other)
  })
})

describe('a plan', () => {
  async function read(text: string) {
    const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-plan-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const file = join(folder, 'plan.csv')
    await writeFile(file, text)
    const csv = await openCsv(file)
    const columns = mapColumns(csv, {
      names: planColumns,
      required: ['external_user_id', 'email'],
      given: new Map(),
    })
    const rows = []
    for await (const row of readPlan(csv, columns, never)) rows.push(row)
    return rows
  }

  it('has a row for each user', async () => {
    const text =
      'Kundennummer;E-Mail;Nachname;PLZ;Land;Wärmepumpen;Wechselrichter;Vertrag;Sprache;old_user_id\n' +
      'K-1;a@example.com;Maier;01067;Deutschland;2;;ja;de;u-17\nK-2;b@example.com;;;;;1;;;\n'
    expect(await read(text)).toEqual([
      {
        external_user_id: 'K-1',
        user: { role: 'user', email: 'a@example.com', last_name: 'Maier', zip_code: '01067', country: 'DE' },
        expected: { heat_pump: 2, electric_vehicle: 0, inverter: 0, wallbox: 0 },
        contract: true,
        language: 'de',
        price_zone: null,
        old_user_id: 'u-17',
      },
      {
        external_user_id: 'K-2',
        user: { role: 'user', email: 'b@example.com' },
        expected: { heat_pump: 0, electric_vehicle: 0, inverter: 1, wallbox: 0 },
        contract: false,
        language: 'en',
        price_zone: null,
        old_user_id: null,
      },
    ])
  })

  it('is refused as a whole, with all that is wrong', async () => {
    const text =
      'external_user_id,email,heat_pumps,contract,language,country\n' +
      'K-1,a@example.com,1,yes,de,AT\n,b,two,maybe,german,XX\nK-1,c@example.com,,,,\n'
    const message = await read(text).then(
      () => '',
      (error: Error) => error.message,
    )
    expect(message.split('\n').map((line) => line.replace(/^.*plan\.csv/, ''))).toEqual([
      ':3:1: external_user_id: expected the id in the old system',
      ':3:1: email: expected an e-mail address such as ada@example.com',
      ':3:1: country: expected a country of ISO 3166-1 such as AT or DE, not "XX"',
      ':3:1: heat_pumps: expected how many, up to 100, not "two"',
      ':3:1: contract: expected yes or no, not "maybe"',
      ':3:1: language: expected de or en, say, not "german"',
      ':4:1: external_user_id: the same as in line 2',
    ])
  })
})
