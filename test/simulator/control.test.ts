import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { simulate } from '../../src/cli/simulate.ts'
import { type Simulator, startSimulator } from '../../src/simulator/server.ts'
import { createManualClock } from '../manual-clock.ts'
import { type Caller, createCaller, fetched } from './partner-caller.ts'

let simulator: Simulator
let caller: Caller

beforeEach(async () => {
  const fleet = { seed: 31, users: 5, healthy: true, shapes: 'current' } as const
  simulator = await startSimulator({ clock: createManualClock(), fleet })
  caller = await createCaller(simulator)
})
afterEach(() => simulator.close())

function control(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) {
  return fetched(`${simulator.origin}/_simulator/${path}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
}

const userId = (index: number) => simulator.fleet.userId(index)
const inverter = () => simulator.fleet.devices(1, 'inverter')[0]!
const recordOf = async () => (await caller.users(`/${userId(1)}/inverters/${inverter().id}`)).body

describe('the control surface', () => {
  it('tells what is simulated and what was asked', async () => {
    await caller.call('/auth/me')
    expect((await control('GET', '')).body).toEqual({
      seed: 31,
      users: 5,
      organization_id: simulator.organizationId,
      requests: { token: { 200: 1 }, auth_me: { 200: 1 } },
    })
  })

  it('switches faults on, shows them, and switches them off, one or all', async () => {
    const added = await control('POST', 'faults', { kind: 'status', status: 500, path: '/auth/' })
    expect([added.status, added.body]).toEqual([201, { number: 1 }])
    await control('POST', 'faults', { kind: 'hang', path: '/nowhere$' })
    expect((await caller.call('/auth/me')).status).toBe(500)
    expect((await control('GET', 'faults')).body).toEqual([
      { number: 1, hits: 1, kind: 'status', status: 500, body: 'json', share: 1, path: '\\/auth\\/' },
      { number: 2, hits: 0, kind: 'hang', share: 1, path: '\\/nowhere$' },
    ])
    expect((await control('DELETE', 'faults/1')).status).toBe(200)
    expect((await control('DELETE', 'faults/1')).status).toBe(404)
    expect((await caller.call('/auth/me')).status).toBe(200)
    await control('DELETE', 'faults')
    expect(simulator.faults.list()).toEqual([])
  })

  it('breaks, heals and deletes devices, and deletes users', async () => {
    await control('POST', 'devices/break', { device_id: inverter().id, kind: 'connection_error' })
    expect(await recordOf()).toMatchObject({ connection_status: 'error' })
    expect((await control('POST', 'devices/heal', { device_id: inverter().id })).body).toEqual({
      healed: true,
    })
    expect(await recordOf()).toMatchObject({ connection_status: 'ok' })
    await control('POST', 'devices/delete', { device_id: inverter().id })
    expect((await caller.users(`/${userId(1)}/inverters`)).body).toEqual([])
    await control('POST', 'users/delete', { user_id: userId(2) })
    expect((await caller.users()).body).toHaveLength(4)
  })

  it('says what is wrong with a request', async () => {
    const cases: [path: string, body: unknown, status: number, detail: string][] = [
      ['faults', 'not json', 400, 'JSON'],
      ['faults', { kind: 'flood' }, 400, 'this is no fault'],
      ['devices/break', { device_id: 'x', kind: 'connection_error' }, 400, 'no device has the id "x"'],
      ['devices/break', { device_id: inverter().id, kind: 'rust' }, 400, 'kind'],
      ['users/delete', { user_id: 'x' }, 400, 'no user has the id "x"'],
      ['weather', {}, 404, 'nothing here answers "POST weather"'],
    ]
    for (const [path, body, status, detail] of cases) {
      const answer = await control('POST', path, body)
      expect([answer.status, answer.body.detail]).toEqual([status, expect.stringContaining(detail)])
    }
  })
})

describe('the simulate command', () => {
  const options = {
    users: 20,
    port: 0,
    seed: 1,
    latencyMs: 0,
    requestsPerSecond: null,
    shapes: 'mixed',
    healthy: false,
    clientId: 'me',
    clientSecret: 'mine',
  } as const

  it('prints an address and credentials that work, and events, until it is stopped', async () => {
    const lines: string[] = []
    const stop = new AbortController()
    const clock = createManualClock()
    const ended = simulate(options, { clock, signal: stop.signal, print: (line) => lines.push(line) })
    while (!lines.some((line) => line.includes(' broke: '))) await clock.advance(60_000)
    const printed = (key: string) => lines.join('\n').match(new RegExp(`${key}: (\\S+)`))?.[1] ?? ''
    const url = new URL(printed('base_url'))
    const basic = Buffer.from(`${printed('client_id')}:${printed('client_secret')}`).toString('base64')
    const { status } = await fetched(`${url.origin}/oauth2/token/`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
      body: '{"grant_type":"client_credentials"}',
    })
    expect(status).toBe(200)
    stop.abort()
    await ended
    await expect(fetched(`${url.origin}/`)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('lets nothing break in a healthy fleet, and rejects when the port is taken', async () => {
    const lines: string[] = []
    const stop = new AbortController()
    const clock = createManualClock()
    const context = { clock, signal: stop.signal, print: (line: string) => lines.push(line) }
    const ended = simulate({ ...options, healthy: true }, context)
    while (lines.length < 11) await clock.advance(60_000)
    await clock.advance(86_400_000)
    expect(lines.join('\n')).not.toContain('broke')
    stop.abort()
    await ended
    const port = Number(new URL(simulator.url).port)
    await expect(simulate({ ...options, port }, context)).rejects.toMatchObject({ kind: 'port_taken' })
  })
})
