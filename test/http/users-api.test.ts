import { describe, expect, it } from 'vitest'
import { alertFixture } from '../storage/fixtures.ts'
import { startUsersServer, type UsersServer } from './users-server.ts'

async function call({ url }: UsersServer, method: string, path: string, body?: unknown) {
  const response = await fetch(`${url}/api/v1/users${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
}

describe('the API of users', () => {
  it('lists users with filters, and refuses a filter that is none', async () => {
    const server = await startUsersServer()
    const all = await call(server, 'GET', '')
    expect(all.body).toHaveLength(20)
    const { fleet } = server.simulator
    expect(all.body[0]).toMatchObject({ id: fleet.userId(0), email: fleet.profile(0).email, alerts: 0 })
    const { town } = fleet.profile(1)
    const some = await call(server, 'GET', `?role=user&role=staff&text=${encodeURIComponent(town!)}`)
    expect(some.body.length).toBeLessThan(20)
    expect((await call(server, 'GET', '?country=XX')).status).toBe(400)
    expect((await call(server, 'GET', '?nickname=x')).body.error).toMatch(
      /^there is no filter "nickname": role, /,
    )
    expect((await call(server, 'GET', '?devices=some')).body.error).toBe(
      'devices: expected with or without, not "some"',
    )
    expect((await call(server, 'GET', '?text=nobody-at-all')).body).toEqual([])
  })

  it('lists a fleet that is larger than one piece, and cuts the answer off when the partner does', async () => {
    const server = await startUsersServer({ users: 3_000 })
    expect((await call(server, 'GET', '')).body).toHaveLength(3_000)
    server.simulator.faults.add({ kind: 'paged_users', pageSize: 1_000 })
    server.simulator.faults.add({ kind: 'cut', path: '/users$', times: 1 })
    await expect(call(server, 'GET', '')).rejects.toThrow('terminated')
    expect(server.errors).toMatchObject([{ error: { name: 'PartnerError' } }])
    // What fails before anything was sent has an answer of its own.
    server.simulator.faults.add({ kind: 'status', status: 500, path: '/users$' })
    expect(await call(server, 'GET', '')).toMatchObject({ status: 503 })
  })

  it('never shows a link of the partner, which acts for the customer', async () => {
    const server = await startUsersServer()
    const { fleet } = server.simulator
    const device = fleet.devices(0)[0]!
    fleet.breakDevice(device, 'unauthenticated', 0)
    server.alerts.push(alertFixture({ subject: { kind: 'user', userId: fleet.userId(0) } }))
    const { body } = await call(server, 'GET', `/${fleet.userId(0)}`)
    expect(body.devices.find(({ id }: { id: string }) => id === device.id)).toMatchObject({
      health: 'disconnected',
    })
    expect(body.alerts).toMatchObject([
      { alertname: 'DeviceUnauthenticated', severity: 'critical', link: null },
    ])
    expect(JSON.stringify([body, server.trail])).not.toMatch(/secret|session\/|cues/)
  })

  it('finds a user by an external id with any characters, and makes a ticket', async () => {
    const server = await startUsersServer()
    const id = server.simulator.fleet.userId(3)
    server.simulator.fleet.changeUser(3, { external_user_id: 'AT/17 ä?' })
    const path = `/by-external-id/${encodeURIComponent('AT/17 ä?')}`
    expect((await call(server, 'GET', path)).body.user.id).toBe(id)
    expect((await call(server, 'GET', `${path}/ticket`)).body).toContain(
      `Fleetwarden-User: ${id}\nCustomer: AT/17 ä?\n`,
    )
    expect((await call(server, 'GET', '/by-external-id/nobody')).status).toBe(404)
    expect((await call(server, 'GET', '/..%2f..%2fadmin')).status).toBe(404)
  })

  it('creates, changes and archives', async () => {
    const server = await startUsersServer()
    const { fleet } = server.simulator
    const created = await call(server, 'POST', '', {
      user: { role: 'user', email: 'n@example.com', town: 'Graz' },
    })
    expect(created.status).toBe(201)
    const path = `/${created.body.user.id}`
    const changed = await call(server, 'PATCH', path, { changes: { town: 'Linz' }, seen: { town: 'Graz' } })
    expect(changed.body.changes).toEqual([{ field: 'town', before: 'Graz', after: 'Linz' }])
    const plan = await call(server, 'GET', `/${fleet.userId(0)}/archive`)
    expect(plan.body.consequences[0]).toContain('no longer optimised')
    const archived = await call(server, 'POST', `/${fleet.userId(0)}/archive`, {})
    expect(archived.body.user.role).toBe('guest')
  })

  it('says what is wrong, and whose fault it is', async () => {
    const server = await startUsersServer()
    const { fleet, faults } = server.simulator
    const path = `/${fleet.userId(1)}`
    const bad = await call(server, 'PATCH', path, { changes: { country: 'XX', email: 'x' } })
    expect(bad).toMatchObject({
      status: 400,
      body: { error: expect.stringMatching(/^email: .*; country: /) },
    })
    expect((await call(server, 'PATCH', path, { changes: {} })).status).toBe(400)
    expect((await call(server, 'PATCH', path, { changes: { town: 'x' }, seen: { x: 1 } })).body.error).toBe(
      'seen: a user has no field "x"',
    )
    expect((await call(server, 'PATCH', '/nobody', { changes: { town: 'x' } })).status).toBe(404)
    const invited = await call(server, 'POST', '', { user: { role: 'admin', email: 'n@example.com' } })
    expect(invited).toMatchObject({ status: 400, body: { error: expect.stringContaining('invitation') } })
    const taken = await call(server, 'PATCH', path, { changes: { email: fleet.profile(2).email } })
    expect(taken).toMatchObject({
      status: 422,
      body: { error: expect.stringContaining('the partner refuses this: ') },
    })
    const exists = await call(server, 'POST', '', { user: { role: 'user', email: fleet.profile(2).email } })
    expect(exists).toMatchObject({ status: 409, body: { user: { id: fleet.userId(2) } } })
    const conflict = await call(server, 'PATCH', path, {
      changes: { town: 'x' },
      seen: { town: 'elsewhere' },
    })
    expect(conflict).toMatchObject({
      status: 409,
      body: { conflicts: [{ field: 'town', before: 'elsewhere' }] },
    })
    faults.add({ kind: 'rate_limit', retryAfterSeconds: 3_600 })
    const throttled = await call(server, 'GET', path)
    expect(throttled.status).toBe(429)
    expect(Number(throttled.headers.get('retry-after'))).toBeGreaterThan(0)
    faults.clear()
    expect(server.errors).toEqual([])
  })
})
