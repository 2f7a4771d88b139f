import { Pool } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FaultError, type FaultInput } from '../../src/simulator/faults.ts'
import { type Simulator, startSimulator } from '../../src/simulator/server.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { type Caller, createCaller, devicePaths } from './partner-caller.ts'

const startedAt = Date.UTC(2026, 2, 1, 12)

let clock: ManualClock
let networkClock: ManualClock
let simulator: Simulator
let caller: Caller

beforeEach(async () => {
  clock = createManualClock(startedAt)
  networkClock = createManualClock()
  const fleet = { seed: 11, users: 200, healthy: true, shapes: 'current' } as const
  simulator = await startSimulator({ clock, networkClock, fleet })
  caller = await createCaller(simulator)
})
afterEach(() => simulator.close())

const userId = (index: number) => simulator.fleet.userId(index)
const devices = (index: number) => caller.users(`/${userId(index)}/heat-pumps`)
const statusOf = async (index: number) => (await devices(index)).status

describe('a request fault', () => {
  it('answers with a status, as JSON or as the page of a proxy', async () => {
    const fault = simulator.faults.add({ kind: 'status', status: 503, path: /heat-pumps/ })
    const json = await devices(0)
    expect([json.status, json.body]).toEqual([503, { detail: 'A server error occurred.' }])
    expect((await caller.users(`/${userId(0)}/inverters`)).status).toBe(200)
    fault.off()
    expect(await statusOf(0)).toBe(200)
    simulator.faults.add({ kind: 'status', status: 502, body: 'html' })
    const page = await devices(0)
    expect([page.status, page.headers['content-type']]).toEqual([502, 'text/html; charset=utf-8'])
    expect(simulator.requests.count('devices', 502)).toBe(1)
  })

  it('hits only the users who are named', async () => {
    simulator.faults.add({ kind: 'status', status: 500, users: [userId(1)] })
    expect(await Promise.all([statusOf(0), statusOf(1), statusOf(2)])).toEqual([200, 500, 200])
    expect((await caller.users()).status).toBe(200)
  })

  it('hits about the share of requests that was asked for, the same ones for the same seed', async () => {
    const run = async () => {
      simulator.faults.add({ kind: 'status', status: 500, share: 0.3 })
      const statuses: number[] = []
      for (let index = 0; index < 100; index++) statuses.push(await statusOf(index))
      return statuses
    }
    const first = await run()
    const failed = first.filter((status) => status === 500).length
    expect(failed).toBeGreaterThan(15)
    expect(failed).toBeLessThan(45)
    await simulator.close()
    const fleet = { seed: 11, users: 200, healthy: true, shapes: 'current' } as const
    simulator = await startSimulator({ clock, fleet })
    caller = await createCaller(simulator)
    expect(await run()).toEqual(first)
  })

  it('ends by itself after the number of times that was asked for', async () => {
    const fault = simulator.faults.add({ kind: 'status', status: 500, times: 2 })
    expect([await statusOf(0), await statusOf(0), await statusOf(0)]).toEqual([500, 500, 200])
    expect(fault.hits).toBe(2)
    expect(simulator.faults.list()).toEqual([])
  })

  it('limits the rate with Retry-After in seconds, as a date, or without', async () => {
    const retryAfter = async (fault: FaultInput) => {
      const active = simulator.faults.add(fault)
      const { status, headers } = await devices(0)
      active.off()
      expect(status).toBe(429)
      return headers['retry-after']
    }
    expect(await retryAfter({ kind: 'rate_limit', retryAfterSeconds: 7 })).toBe('7')
    expect(await retryAfter({ kind: 'rate_limit', retryAfter: 'date', retryAfterSeconds: 60 })).toBe(
      'Sun, 01 Mar 2026 12:01:00 GMT',
    )
    expect(await retryAfter({ kind: 'rate_limit', retryAfter: 'none' })).toBeUndefined()
  })

  it('answers an HTML page with status 200', async () => {
    simulator.faults.add({ kind: 'html' })
    const { status, headers, text } = await devices(0)
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(text).toContain('<h1>')
  })

  it('truncates JSON in an answer that is otherwise well formed', async () => {
    simulator.faults.add({ kind: 'truncated_json' })
    for (const answer of [await devices(0), await caller.users()]) {
      expect(answer.status).toBe(200)
      expect(answer.text.length).toBeGreaterThan(100)
      expect(() => JSON.parse(answer.text)).toThrow(SyntaxError)
    }
  })

  it('cuts the connection before the headers', async () => {
    simulator.faults.add({ kind: 'cut', when: 'before_headers' })
    await expect(devices(0)).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' })
    expect(simulator.requests.count('devices', 'cut')).toBe(1)
  })

  it('cuts the connection in the middle of the body, also of a list that is sent in pieces', async () => {
    simulator.faults.add({ kind: 'cut', when: 'in_body' })
    const pool = new Pool(simulator.origin)
    const headers = { authorization: `Bearer ${caller.token}` }
    for (const path of [`/${userId(0)}/heat-pumps`, '']) {
      const { statusCode, body } = await pool.request({
        method: 'GET',
        path: `/api/partners/v2.0/org/${simulator.organizationId}/users${path}`,
        headers,
      })
      expect(statusCode).toBe(200)
      let received = 0
      const reading = (async () => {
        for await (const chunk of body) received += chunk.length
      })()
      await expect(reading).rejects.toThrow()
      expect(received).toBeGreaterThan(100)
    }
    await pool.close()
  })

  it('never answers, and lets the simulator close all the same', async () => {
    simulator.faults.add({ kind: 'hang' })
    const answer = devices(0)
    answer.catch(() => {})
    while (simulator.requests.count('devices', 'hung') === 0) await new Promise((go) => setImmediate(go))
    await simulator.close()
    await expect(answer).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' })
  })

  it('lets a body drip for as long as was asked for', async () => {
    simulator.faults.add({ kind: 'slow_body', durationMs: 10_000 })
    const pool = new Pool(simulator.origin)
    const { statusCode, body } = await pool.request({
      method: 'GET',
      path: `/api/partners/v2.0/org/${simulator.organizationId}/users/${userId(0)}/heat-pumps`,
      headers: { authorization: `Bearer ${caller.token}` },
    })
    expect(statusCode).toBe(200)
    let text = ''
    let isOver = false
    const reading = (async () => {
      for await (const chunk of body) text += chunk
      isOver = true
    })()
    for (let second = 0; second < 9; second++) await networkClock.advance(1000)
    expect(isOver).toBe(false)
    // The last steps wait for the socket as well as for the clock.
    while (!isOver) await networkClock.advance(200)
    await reading
    expect(JSON.parse(text)).toHaveLength(1)
    await pool.close()
  })

  it('can hit the token endpoint, but never the pages and the control surface', async () => {
    simulator.faults.add({ kind: 'status', status: 500 })
    await expect(createCaller(simulator).then(({ token }) => token)).resolves.toBeUndefined()
    expect((await caller.call(`${simulator.origin}/_simulator/`)).status).toBe(200)
    expect((await caller.call(`${simulator.origin}/session/action/x`)).status).toBe(403)
  })
})

describe('a data fault', () => {
  it('voids all tokens that were issued, and no later ones', async () => {
    simulator.faults.add({ kind: 'expired_tokens' })
    expect(await statusOf(0)).toBe(401)
    caller = await createCaller(simulator)
    expect(await statusOf(0)).toBe(200)
  })

  it('lets users vanish from the list, by id, by external id and with their devices', async () => {
    const { body: user } = await caller.users(`/${userId(5)}`)
    const fault = simulator.faults.add({ kind: 'vanished_users', users: [userId(5)] })
    const { body: listed } = await caller.users()
    expect(listed).toHaveLength(199)
    expect(listed.map(({ id }: { id: string }) => id)).not.toContain(userId(5))
    expect((await caller.users(`/${userId(5)}?include_deleted=true`)).status).toBe(404)
    expect((await caller.users(`/by-ext-id/${user.external_user_id}`)).status).toBe(404)
    expect(await statusOf(5)).toBe(404)
    fault.off()
    expect(await statusOf(5)).toBe(200)
  })

  it('lets the same share of users vanish each time', async () => {
    simulator.faults.add({ kind: 'vanished_users', share: 0.25 })
    const ids = async () => (await caller.users()).body.map(({ id }: { id: string }) => id)
    const first = await ids()
    expect(first.length).toBeGreaterThan(120)
    expect(first.length).toBeLessThan(180)
    expect(await ids()).toEqual(first)
  })

  it('deletes devices: absent from the list and from the count, with deleted_at by id', async () => {
    const { id } = simulator.fleet.devices(3, 'heat_pump')[0]!
    simulator.faults.add({ kind: 'deleted_devices', devices: [id] })
    expect((await devices(3)).body).toEqual([])
    expect((await caller.users(`/${userId(3)}`)).body.num_heat_pumps).toBe(0)
    expect((await caller.users(`/${userId(3)}/heat-pumps/${id}`)).status).toBe(404)
    const { body } = await caller.users(`/${userId(3)}/heat-pumps/${id}?include_deleted=true`)
    expect(Date.parse(body.deleted_at)).toBeLessThan(startedAt)
    expect((await devices(4)).body).toHaveLength(1)
  })

  it('lets devices go missing: absent from the list, counted, 404 by id whatever is asked', async () => {
    const { id } = simulator.fleet.devices(3, 'heat_pump')[0]!
    simulator.faults.add({ kind: 'missing_devices', users: [userId(3)] })
    expect((await devices(3)).body).toEqual([])
    expect((await caller.users(`/${userId(3)}`)).body.num_heat_pumps).toBe(1)
    expect((await caller.users(`/${userId(3)}/heat-pumps/${id}?include_deleted=true`)).status).toBe(404)
  })

  it('spoils single devices: null, text, or one field of a wrong type, in its older name too', async () => {
    const seen = async (fault: Partial<FaultInput>) => {
      const active = simulator.faults.add({
        kind: 'malformed_devices',
        users: [userId(3)],
        ...fault,
      } as FaultInput)
      const { body } = await devices(3)
      active.off()
      return body[0]
    }
    expect(await seen({ as: 'null' })).toBeNull()
    expect(await seen({ as: 'string' })).toBe('device could not be serialized')
    expect(await seen({ as: 'field', field: 'is_authenticated' })).toMatchObject({
      id: simulator.fleet.devices(3, 'heat_pump')[0]!.id,
      is_authenticated: { unexpected: true },
    })
    expect(await seen({ as: 'field', field: 'owner', value: 7 })).toMatchObject({ owner: 7 })
    expect((await devices(3)).body[0]).toMatchObject({ is_authenticated: true })
  })

  it('spoils single users', async () => {
    simulator.faults.add({ kind: 'malformed_users', users: [userId(1)] })
    simulator.faults.add({
      kind: 'malformed_users',
      users: [userId(2)],
      as: 'field',
      field: 'num_inverters',
      value: '1',
    })
    const { body } = await caller.users()
    expect(body.slice(0, 4)).toEqual([
      expect.objectContaining({ id: userId(0) }),
      null,
      expect.objectContaining({ id: userId(2), num_inverters: '1' }),
      expect.objectContaining({ id: userId(3), num_inverters: 1 }),
    ])
  })

  it('turns the user list into pages', async () => {
    const fault = simulator.faults.add({ kind: 'paged_users' })
    const whole = (await caller.users()).body
    expect(whole).toMatchObject({ total: 200 })
    expect(whole.items).toHaveLength(200)
    fault.off()
    simulator.faults.add({ kind: 'paged_users', pageSize: 80 })
    simulator.faults.add({ kind: 'vanished_users', users: [userId(0)] })
    const items: unknown[] = []
    for (let page = (await caller.users()).body; page.items.length > 0; ) {
      expect(page.total).toBe(199)
      items.push(...page.items)
      page = (await caller.users(`?limit=70&offset=${items.length}`)).body
    }
    expect(items).toEqual(whole.items.slice(1))
    expect((await caller.users('?limit=500')).body.items).toHaveLength(80)
  })

  it('cuts all devices of a manufacturer off, with the action that follows', async () => {
    const of = simulator.fleet.devices(0, 'inverter')[0]!
    const path = `/${userId(0)}/${devicePaths.inverter}/${of.id}`
    const fault = simulator.faults.add({ kind: 'manufacturer_outage', manufacturer: of.manufacturer.name })
    expect((await caller.users(path)).body).toMatchObject({
      is_authenticated: false,
      action_needed: true,
      actions: [{ code: 'reauthenticate' }],
    })
    fault.off()
    expect((await caller.users(path)).body).toMatchObject({ is_authenticated: true, action_needed: false })
  })
})

describe('what is no fault', () => {
  const cases: [what: string, fault: unknown, message: string][] = [
    ['an unknown kind', { kind: 'flood' }, 'kind'],
    ['a share above 1', { kind: 'hang', share: 2 }, 'share'],
    ['a status that is no error', { kind: 'status', status: 200 }, 'status'],
    ['an unknown option', { kind: 'hang', sharee: 1 }, 'sharee'],
    ['a pattern that is none', { kind: 'hang', path: '(' }, 'is no regular expression'],
    [
      'a malformed field without its name',
      { kind: 'malformed_users', as: 'field' },
      'needs the name of the field',
    ],
    ['a user who is none', { kind: 'vanished_users', users: ['x'] }, 'no user has the id "x"'],
    ['a device that is none', { kind: 'missing_devices', devices: ['y'] }, 'no device has the id "y"'],
  ]
  for (const [what, fault, message] of cases) {
    it(`is refused: ${what}`, () => {
      expect(() => simulator.faults.add(fault as FaultInput)).toThrow(FaultError)
      expect(() => simulator.faults.add(fault as FaultInput)).toThrow(message)
      expect(simulator.faults.list()).toEqual([])
    })
  }
})

it('switches all faults off at once', async () => {
  const of = simulator.fleet.devices(0, 'inverter')[0]!
  simulator.faults.add({ kind: 'status', status: 500 })
  simulator.faults.add({ kind: 'manufacturer_outage', manufacturer: of.manufacturer.name })
  simulator.faults.clear()
  expect(await statusOf(0)).toBe(200)
  expect(simulator.fleet.condition(of).outage).toBeNull()
})
