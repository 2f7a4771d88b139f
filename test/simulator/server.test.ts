import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { askForToken, type Caller, createCaller, fetched } from './partner-caller.ts'

const startedAt = Date.UTC(2026, 2, 1, 12)

let clock: ManualClock
let simulator: Simulator
let caller: Caller

async function start(options: Partial<SimulatorOptions> = {}): Promise<void> {
  clock = createManualClock(startedAt)
  const fleet = { seed: 11, users: 30, healthy: true, shapes: 'current' } as const
  simulator = await startSimulator({ clock, fleet, ...options })
  caller = await createCaller(simulator)
}

beforeEach(() => start())
afterEach(() => simulator.close())

/** Starts it anew with other options. */
async function restart(options: Partial<SimulatorOptions>): Promise<void> {
  await simulator.close()
  await start(options)
}

const userId = (index: number) => simulator.fleet.userId(index)
const deviceOf = (index: number, type: 'heat_pump' | 'electric_vehicle' | 'inverter') =>
  simulator.fleet.devices(index, type)[0]!

describe('credentials', () => {
  it('answer a token as documented', async () => {
    const { status, body } = await askForToken(simulator)
    expect(status).toBe(200)
    expect(body).toEqual({
      access_token: expect.any(String),
      expires_in: 36000,
      token_type: 'Bearer',
      scope: 'read write',
    })
  })

  it('answer none when they, or what is asked for, are wrong', async () => {
    expect((await askForToken(simulator, { secret: 'other' })).status).toBe(401)
    expect((await askForToken(simulator, { body: '{"grant_type":"password"}' })).status).toBe(400)
    expect((await askForToken(simulator, { body: 'not json' })).status).toBe(400)
    // The slash at the end belongs to the path.
    expect((await fetched(`${simulator.origin}/oauth2/token`, { method: 'POST' })).status).toBe(404)
  })

  it('end with the token, by the clock', async () => {
    clock.jump(36_000_000 - 1)
    expect((await caller.call('/auth/me')).status).toBe(200)
    clock.jump(1)
    expect((await caller.call('/auth/me')).status).toBe(401)
    expect((await (await createCaller(simulator)).call('/auth/me')).status).toBe(200)
  })

  it('are asked for on every call of the API', async () => {
    expect((await caller.call('/auth/me', { token: null })).status).toBe(401)
    expect((await caller.call('/auth/me', { token: 'made-up' })).status).toBe(401)
  })

  it('may be a fixed token', async () => {
    await restart({ fixedToken: 'pasted' })
    expect((await caller.call('/auth/me', { token: 'pasted' })).status).toBe(200)
    const fault = simulator.faults.add({ kind: 'expired_tokens' })
    expect((await caller.call('/auth/me', { token: 'pasted' })).status).toBe(401)
    fault.off()
    expect((await caller.call('/auth/me', { token: 'pasted' })).status).toBe(200)
  })

  it('lead to the organization', async () => {
    expect((await caller.call('/auth/me')).body).toMatchObject({
      organization_id: simulator.organizationId,
      role: 'admin',
    })
    expect((await caller.call(`/org/${userId(0)}/users`)).status).toBe(403)
  })
})

describe('users', () => {
  it('are listed whole, as an array, whatever limit is asked for', async () => {
    const { body, headers } = await caller.users('?limit=2')
    expect(body).toHaveLength(30)
    expect(headers['content-type']).toBe('application/json')
    expect(body[4]).toEqual((await caller.users(`/${userId(4)}`)).body)
  })

  it('are listed as an empty array when there are none', async () => {
    await restart({ fleet: { seed: 1, users: 0 } })
    expect((await caller.users()).body).toEqual([])
  })

  it('are found by external id, also one that has to be escaped', async () => {
    const { body } = await caller.users(`/${userId(4)}`)
    expect((await caller.users(`/by-ext-id/${body.external_user_id}`)).body).toEqual(body)
    await caller.users(`/${userId(5)}`, { method: 'PUT', body: { external_user_id: 'AT/5 ä?' } })
    expect((await caller.users(`/by-ext-id/${encodeURIComponent('AT/5 ä?')}`)).body.id).toBe(userId(5))
    expect((await caller.users('/by-ext-id/C-1000005')).status).toBe(404)
    expect((await caller.users('/by-ext-id/%E0%A4')).status).toBe(404)
  })

  it('are created with what was sent, and then are like the others', async () => {
    const created = await caller.users('', {
      method: 'POST',
      body: { role: 'user', email: 'New@example.com', external_user_id: 'X-1', zip_code: 1070, unknown: 1 },
    })
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({
      role: 'user',
      email: 'New@example.com',
      external_user_id: 'X-1',
      zip_code: '1070',
      first_name: null,
      num_heat_pumps: 0,
      joined_at: new Date(startedAt).toISOString(),
    })
    expect((await caller.users()).body.at(-1)).toEqual(created.body)
    expect((await caller.users(`/${created.body.id}/heat-pumps`)).body).toEqual([])
    expect((await caller.users(`/${created.body.id}/energy-contracts`)).body).toEqual([])
    expect((await caller.users('/by-ext-id/X-1')).body).toEqual(created.body)
  })

  it('are not created without role and e-mail address, nor with wrong ones', async () => {
    const post = async (body: unknown) => {
      const answer = await caller.users('', { method: 'POST', body })
      return [answer.status, answer.body]
    }
    const required = ['This field is required.']
    expect(await post({})).toEqual([400, { role: required, email: required }])
    expect(await post({ role: 'boss', email: 'x' })).toEqual([
      400,
      { role: ['"boss" is not a valid choice.'], email: ['Enter a valid email address.'] },
    ])
    const { body } = await caller.users(`/${userId(3)}`)
    expect(await post({ role: 'user', email: body.email.toUpperCase() })).toEqual([
      400,
      { email: ['A user with this email already exists in the organization.'] },
    ])
    expect(await post([1])).toEqual([400, { detail: 'The body is not a JSON object.' }])
    expect(simulator.fleet.userCount).toBe(30)
  })

  it('change only in the fields that were sent', async () => {
    const { body: before } = await caller.users(`/${userId(3)}`)
    const changes = { first_name: 'Ada', country_iso2: 'DE', latitude: null, email: 'ada@example.com' }
    const changed = await caller.users(`/${userId(3)}`, { method: 'PUT', body: changes })
    expect(changed.body).toEqual({
      ...before,
      first_name: 'Ada',
      country: 'DE',
      latitude: null,
      location_last_updated: null,
      email: 'ada@example.com',
    })
    expect((await caller.users(`/${userId(3)}`)).body).toEqual(changed.body)
    const taken = await caller.users(`/${userId(4)}`, { method: 'PUT', body: { email: 'ada@example.com' } })
    expect(taken.status).toBe(400)
    // One's own address again is no conflict, and the address that was given up is free.
    expect(
      (await caller.users(`/${userId(3)}`, { method: 'PUT', body: { email: 'ada@example.com' } })).status,
    ).toBe(200)
    expect(
      (await caller.users(`/${userId(4)}`, { method: 'PUT', body: { email: before.email } })).status,
    ).toBe(200)
  })

  it('give up an e-mail address and an external id when they get others', async () => {
    const put = (index: number, body: unknown) => caller.users(`/${userId(index)}`, { method: 'PUT', body })
    await put(3, { email: 'ada@example.com', external_user_id: 'X-1' })
    await put(3, { email: 'ada.l@example.com', external_user_id: 'X-2' })
    expect((await caller.users('/by-ext-id/X-1')).status).toBe(404)
    expect((await caller.users('/by-ext-id/X-2')).body.id).toBe(userId(3))
    expect((await put(4, { email: 'ada@example.com', external_user_id: 'X-1' })).status).toBe(200)
    expect((await caller.users('/by-ext-id/X-1')).body.id).toBe(userId(4))
  })

  it('who were deleted are shown only where that is asked for', async () => {
    simulator.fleet.deleteUser(2, startedAt)
    expect((await caller.users()).body).toHaveLength(29)
    expect((await caller.users('?include_deleted=true')).body[2]).toMatchObject({
      deleted_at: new Date(startedAt).toISOString(),
    })
    expect((await caller.users(`/${userId(2)}`)).status).toBe(404)
    expect((await caller.users(`/${userId(2)}?include_deleted=true`)).status).toBe(200)
    expect((await caller.users(`/${userId(2)}/inverters`)).status).toBe(404)
  })

  it('are found by nobody who makes up an id', async () => {
    for (const id of ['x', 'by-ext-id', simulator.organizationId, deviceOf(0, 'inverter').id]) {
      expect((await caller.users(`/${id}`)).status).toBe(404)
    }
  })

  it('are listed by the thousands, in pieces, while others are answered', async () => {
    await restart({ fleet: { seed: 1, users: 6_000 } })
    const [list, me] = await Promise.all([caller.users(), caller.call('/auth/me')])
    expect(me.status).toBe(200)
    expect(list.headers['transfer-encoding']).toBe('chunked')
    expect(new Set(list.body.map((user: { id: string }) => user.id)).size).toBe(6_000)
  })
})

it('makes a list no faster than its reader reads it', async () => {
  await restart({ fleet: { seed: 1, users: 40_000 } })
  const made = simulator.faults.add({ kind: 'malformed_users', as: 'field', field: 'town', value: 'x' })
  const { body } = await request(`${simulator.url}/org/${simulator.organizationId}/users`, {
    headers: { authorization: `Bearer ${caller.token}` },
  })
  // It lets others have their turn between two pieces, so the reader saw the start at once.
  expect(made.hits).toBeLessThan(1000)
  // Until it has made no more for a while.
  for (let before = -1; made.hits > before; ) {
    before = made.hits
    for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(made.hits).toBeLessThan(35_000)
  await body.dump({ limit: 100_000_000 })
  expect(made.hits).toBe(40_000)
})

describe('devices', () => {
  it('are listed by type, and one of them carries its actions', async () => {
    const { body } = await caller.users(`/${userId(1)}/heat-pumps`)
    expect(body).toHaveLength(1)
    expect(body[0]).toMatchObject({
      id: deviceOf(1, 'heat_pump').id,
      owner: { id: userId(1), email: expect.any(String), external_id: 'C-1000001' },
      device_model: { manufacturer: expect.any(String), device_type: { short_name: 'hp_atw' } },
      action_needed: false,
    })
    const single = await caller.users(`/${userId(1)}/heat-pumps/${body[0].id}`)
    expect(single.body).toMatchObject({ id: body[0].id, actions: [] })
    expect((await caller.users(`/${userId(1)}/wallboxes`)).body).toEqual([])
  })

  it('carry actions in a list only in the current shape', async () => {
    const listed = async () => (await caller.users(`/${userId(1)}/heat-pumps`)).body[0]
    expect('actions' in (await listed())).toBe(true)
    await restart({ fleet: { seed: 11, users: 30, healthy: true, shapes: 'old' } })
    simulator.fleet.breakDevice(deviceOf(1, 'heat_pump'), 'unauthenticated', startedAt)
    const old = await listed()
    expect('actions' in old).toBe(false)
    expect(old).toMatchObject({ action_needed: true, authorization_url: expect.stringMatching(/^http/) })
  })

  it('are found only under their owner and their type', async () => {
    const { id } = deviceOf(1, 'heat_pump')
    expect((await caller.users(`/${userId(2)}/heat-pumps/${id}`)).status).toBe(404)
    expect((await caller.users(`/${userId(1)}/inverters/${id}`)).status).toBe(404)
    expect((await caller.users(`/${userId(1)}/toasters`)).status).toBe(404)
  })

  it('change by PUT, also by an older name, and refuse values of a wrong type', async () => {
    const path = `/${userId(1)}/electric-vehicles/${deviceOf(1, 'electric_vehicle').id}`
    const put = (body: unknown) => caller.users(path, { method: 'PUT', body })
    const body = { charge_limit_min: 44, is_smart_optimization_active: false, is_authenticated: false }
    expect((await put(body)).body).toMatchObject({
      charge_target_min: 44,
      is_smart_optimization_active: false,
      is_authenticated: true,
    })
    expect((await caller.users(path)).body).toMatchObject({ charge_target_min: 44 })
    const refused = await put({ charge_target_max: 'much' })
    expect([refused.status, refused.body]).toEqual([
      400,
      { charge_target_max: ['A valid number is required.'] },
    ])
  })

  it('are deleted by PUT, and shown only where deleted ones are asked for', async () => {
    const path = `/${userId(1)}/inverters/${deviceOf(1, 'inverter').id}`
    const deletedAt = '2026-03-01T00:00:00.000Z'
    await caller.users(path, { method: 'PUT', body: { deleted_at: deletedAt } })
    expect((await caller.users(`/${userId(1)}/inverters`)).body).toEqual([])
    expect((await caller.users(`/${userId(1)}`)).body.num_inverters).toBe(0)
    expect((await caller.users(path)).status).toBe(404)
    expect((await caller.users(`${path}?include_deleted=true`)).body.deleted_at).toBe(deletedAt)
  })
})

it('answers energy contracts whose prices reach to the end of tomorrow', async () => {
  const [contract] = (await caller.users(`/${userId(1)}/energy-contracts`)).body
  expect(contract).toMatchObject({ energy_contract_type: 'spot_hourly', currency_energy_price: 'EUR' })
  expect(contract.energy_prices.at(-1).timestamp).toBe('2026-03-02T23:00:00.000Z')
})

it('answers 404 with JSON to whatever it does not know', async () => {
  for (const path of ['/nothing', '/auth/me/more', `/cues/x/resolve`, '/org', '/org/x/y']) {
    const { status, body } = await caller.call(path)
    expect([status, body]).toEqual([404, { detail: 'Not found.' }])
  }
})

describe('load', () => {
  it('above the limit is answered 429 until the clock has moved on', async () => {
    await restart({ requestsPerSecond: 3 })
    // One of the three went to the token.
    const statuses = async (count: number) =>
      (await Promise.all(Array.from({ length: count }, () => caller.call('/auth/me')))).map(
        ({ status }) => status,
      )
    expect((await statuses(4)).sort()).toEqual([200, 200, 429, 429])
    const limited = await caller.call('/auth/me')
    expect(limited.headers['retry-after']).toBe('1')
    expect(limited.headers['content-type']).toBe('application/json')
    await clock.advance(1000)
    expect((await statuses(4)).sort()).toEqual([200, 200, 200, 429])
    expect(simulator.requests.count('auth_me', 429)).toBe(4)
  })

  it('takes as long as the latency says', async () => {
    const networkClock = createManualClock()
    await simulator.close()
    clock = createManualClock(startedAt)
    simulator = await startSimulator({
      clock,
      networkClock,
      latencyMs: 250,
      fixedToken: 'pasted',
      fleet: { seed: 1, users: 1 },
    })
    let answered = false
    const answer = fetched(`${simulator.url}/auth/me`, { headers: { authorization: 'Bearer pasted' } })
    answer.then(() => {
      answered = true
    })
    while (networkClock.sleepers() === 0) await new Promise((resolve) => setImmediate(resolve))
    await networkClock.advance(249)
    expect(answered).toBe(false)
    await networkClock.advance(1)
    expect((await answer).status).toBe(200)
  })

  it('is counted by endpoint and outcome', async () => {
    await caller.users()
    await caller.users(`/${userId(0)}/inverters`)
    await caller.users(`/${userId(0)}/heat-pumps`)
    await caller.users('/nobody')
    expect(simulator.requests.snapshot()).toEqual({
      token: { 200: 1 },
      users: { 200: 1 },
      devices: { 200: 2 },
      user: { 404: 1 },
    })
    expect(simulator.requests.count()).toBe(5)
    expect(simulator.requests.count('devices')).toBe(2)
    expect(simulator.requests.count('devices', 404)).toBe(0)
  })

  it('of a body that is too large is refused', async () => {
    const answer = await caller.users('', { method: 'POST', body: { email: 'x'.repeat(1_100_000) } })
    expect(answer.status).toBe(413)
  })
})

it('says what to do when it cannot listen', async () => {
  const taken = Number(new URL(simulator.url).port)
  const failure = (options: Partial<SimulatorOptions>) =>
    startSimulator({ clock, fleet: { seed: 1, users: 1 }, ...options }).catch((error: unknown) => error)
  expect(await failure({ port: taken })).toMatchObject({
    kind: 'port_taken',
    message: `port ${taken} is taken: choose another with --port`,
  })
  expect(await failure({ port: 70_000 })).toMatchObject({
    kind: 'no_such_port',
    message: 'there is no port 70000: choose one up to 65535 with --port, 0 for any',
  })
  expect(await failure({ host: '192.0.2.1' })).toMatchObject({
    kind: 'no_such_address',
    message: 'this machine has no address 192.0.2.1: choose another with --host',
  })
})
