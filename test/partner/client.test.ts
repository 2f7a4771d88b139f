import { describe, expect, it } from 'vitest'
import type { DeviceType, ResolutionLink } from '../../src/fleet/device.ts'
import type { User } from '../../src/fleet/user.ts'
import { createPartnerClient, type PartnerClient } from '../../src/partner/client.ts'
import { Malformed } from '../../src/partner/json-array-stream.ts'
import { Secret } from '../../src/secret.ts'
import { clientTo, type Handler, json, never, serve, transportTo } from './local-server.ts'
import { heatPump, user } from './sample.ts'

const root = '/api/partners/v2.0/org/org-1'

/** A partner that answers these paths (below the organisation, with query) and nothing else. */
async function partner(answers: Record<string, unknown>) {
  const bodies: unknown[] = []
  const server = await serve((request, response, body) => {
    if (body !== '') bodies.push(JSON.parse(body))
    const answer = answers[(request.url ?? '').replace(root, '')]
    if (answer === undefined) json(response, { detail: 'Not found.' }, 404)
    else if (typeof answer === 'string') response.end(answer)
    else json(response, answer)
  })
  return { server, bodies, client: clientTo(server.url) }
}

async function list(client: PartnerClient): Promise<(User | Malformed)[]> {
  const users = []
  for await (const one of client.users(never)) users.push(one)
  return users
}

const ids = (users: (User | Malformed)[]) =>
  users.map((one) => (one instanceof Malformed ? one.reason : one.id))
const people = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => ({ ...user, id: `u${from + at}` }))

describe('the list of users', () => {
  it('is read from an array', async () => {
    const { client, server } = await partner({ '/users': people(0, 3) })
    const users = await list(client)
    expect(ids(users)).toEqual(['u0', 'u1', 'u2'])
    expect(users[0]).toMatchObject({ email: 'a@example.com', zip_code: '1010', num_heat_pumps: 1 })
    expect(server.requests).toEqual([`GET ${root}/users`])
  })

  it('is empty when there is nobody', async () => {
    expect(await list((await partner({ '/users': [] })).client)).toEqual([])
    expect(await list((await partner({ '/users': { items: [], total: 0 } })).client)).toEqual([])
  })

  it('loses nothing but the users that cannot be read', async () => {
    const [first, last] = people(0, 2)
    const bad = ['x', null, {}, { id: '' }, []].map((entry) => JSON.stringify(entry))
    const body = `[${JSON.stringify(first)},${bad.join()},{"id":"nan","latitude":NaN},${JSON.stringify(last)}]`
    const { client } = await partner({ '/users': body })
    expect(ids(await list(client))).toEqual([
      'u0',
      'not an object',
      'not an object',
      'no usable id',
      'no usable id',
      'not an object',
      'no JSON',
      'u1',
    ])
  })

  it('is read page by page when it comes in pages', async () => {
    const { client, server } = await partner({
      '/users': { total: 5, limit: 2, offset: 0, items: people(0, 2) },
      '/users?limit=2&offset=2': { items: people(2, 4), total: 5 },
      '/users?limit=2&offset=4': { items: people(4, 5), total: 5 },
    })
    expect(ids(await list(client))).toEqual(['u0', 'u1', 'u2', 'u3', 'u4'])
    expect(server.requests).toHaveLength(3)
  })

  it('is whole when all of it comes at once, with a total or without', async () => {
    for (const answer of [{ items: people(0, 2), total: 2 }, { items: people(0, 2) }]) {
      const { client, server } = await partner({ '/users': answer })
      expect(await list(client)).toHaveLength(2)
      expect(server.requests).toHaveLength(1)
    }
  })

  it('is not taken for whole when a page is missing', async () => {
    const { client } = await partner({
      '/users': { items: people(0, 2), total: 5 },
      '/users?limit=2&offset=2': { items: [], total: 5 },
    })
    await expect(list(client)).rejects.toMatchObject({ kind: 'malformed', endpoint: 'users' })
  })

  it.each([
    ['a page of a proxy', '<html>down for maintenance</html>', 'the answer is no JSON list: unexpected "<"'],
    ['a list that was cut off', '[{"id":"u0"},{"id":', 'the answer ends in the middle'],
    ['a list with something behind it', '[{"id":"u0"}] oops', 'unexpected "o"'],
    ['nothing', ' ', 'the answer is empty'],
    ['an object', '{"detail": "hello"}', 'without a list'],
  ])('is not %s', async (_name, body, message) => {
    const { client } = await partner({ '/users': body })
    const error = await list(client).catch((error) => error)
    expect(error).toMatchObject({ name: 'PartnerError', kind: 'bad_json', endpoint: 'users' })
    expect(error.message).toContain(message)
  })
})

describe('the organisation', () => {
  it('is found through /auth/me, once', async () => {
    const server = await serve((request, response) => {
      if (request.url?.endsWith('/auth/me')) json(response, { organization_id: 'org/7', role: 'admin' })
      else json(response, [])
    })
    const client = createPartnerClient({ transport: transportTo(server.url), organisationId: null })
    await list(client)
    await client.devices('u', 'inverter', never)
    expect(await client.organisationId(never)).toBe('org/7')
    expect(server.requests).toEqual([
      'GET /api/partners/v2.0/auth/me',
      'GET /api/partners/v2.0/org/org%2F7/users',
      'GET /api/partners/v2.0/org/org%2F7/users/u/inverters',
    ])
  })

  it('is looked for again when it could not be found', async () => {
    const answers: unknown[] = [{ role: 'admin' }, { organization_id: 'org-1' }]
    const server = await serve((_request, response) => json(response, answers.shift()))
    const client = createPartnerClient({ transport: transportTo(server.url), organisationId: null })
    await expect(client.organisationId(never)).rejects.toThrow('set partner.org_id')
    expect(await client.organisationId(never)).toBe('org-1')
  })
})

describe('one user', () => {
  it('is read', async () => {
    const { client } = await partner({ '/users/u0': { ...user, id: 'u0' } })
    expect(await client.user('u0', never)).toMatchObject({ id: 'u0', town: 'Wien' })
  })

  it('is nobody when deleted, and not found when unknown', async () => {
    const { client } = await partner({
      '/users/u0': { ...user, id: 'u0', deleted_at: '2026-01-01T00:00:00Z' },
    })
    expect(await client.user('u0', never)).toBeNull()
    await expect(client.user('u1', never)).rejects.toMatchObject({ kind: 'not_found' })
  })

  it('is not somebody else, nor a list, nor a page', async () => {
    const { client } = await partner({
      '/users/u0': { ...user, id: 'u1' },
      '/users/u1': [],
      '/users/u2': '<html>',
    })
    await expect(client.user('u0', never)).rejects.toMatchObject({ kind: 'malformed' })
    await expect(client.user('u1', never)).rejects.toMatchObject({ kind: 'malformed' })
    await expect(client.user('u2', never)).rejects.toThrow('the answer is a web page, not JSON')
  })
})

describe('devices', () => {
  it.each([
    ['heat_pump', 'heat-pumps'],
    ['electric_vehicle', 'electric-vehicles'],
    ['inverter', 'inverters'],
    ['wallbox', 'wallboxes'],
  ] as [DeviceType, string][])('of type %s are %s', async (type, segment) => {
    const { client, server } = await partner({
      [`/users/u0/${segment}`]: [{ id: 'd1' }],
      [`/users/u0/${segment}/d1`]: { id: 'd1', actions: [] },
      [`/users/u0/${segment}/d1?include_deleted=true`]: { id: 'd1', deleted_at: '2026-01-01T00:00:00Z' },
    })
    const before = Date.now()
    const { devices } = await client.devices('u0', type, never)
    expect(devices).toMatchObject([{ device: { id: 'd1', type, actions: null } }])
    expect(devices[0]?.observedAt).toBeGreaterThanOrEqual(before)
    const address = { userId: 'u0', deviceType: type, deviceId: 'd1' }
    expect((await client.device(address, never)).device.actions).toEqual([])
    const deleted = await client.device({ ...address, includeDeleted: true }, never)
    expect(deleted.device.deleted_at).toBe(Date.UTC(2026, 0, 1))
    expect(server.requests).toHaveLength(3)
  })

  it('are all there but the malformed ones, which are counted with their reasons', async () => {
    const { client } = await partner({
      '/users/u0/heat-pumps': [{ id: 'd1' }, null, { id: 'd1', comment: 'again' }, { id: 7.5 }, { id: 'd2' }],
    })
    const { devices, malformed } = await client.devices('u0', 'heat_pump', never)
    expect(devices.map(({ device }) => device.id)).toEqual(['d1', 'd2'])
    expect(devices[0]?.device.comment).toBeNull()
    expect(malformed.map(({ reason }) => reason)).toEqual([
      'not an object',
      'an id that was in the list before',
      'no usable id',
    ])
  })

  it('are all there but the one that is no JSON', async () => {
    const { client } = await partner({
      '/users/u0/heat-pumps': '[{"id":"d1"},{"id":"d2","dhw_temperature":NaN},{"id":"d3"}]',
    })
    const { devices, malformed } = await client.devices('u0', 'heat_pump', never)
    expect(devices.map(({ device }) => device.id)).toEqual(['d1', 'd3'])
    expect(malformed).toEqual([new Malformed('no JSON')])
  })

  it('are read from pages too', async () => {
    const { client } = await partner({
      '/users/u0/heat-pumps': { items: [{ id: 'd1' }], total: 2 },
      '/users/u0/heat-pumps?limit=1&offset=1': { items: [{ id: 'd2' }], total: 2 },
    })
    expect((await client.devices('u0', 'heat_pump', never)).devices).toHaveLength(2)
  })

  it.each([
    ['<html>', 'bad_json'],
    ['[{"id":"d1"}', 'bad_json'],
    ['', 'bad_json'],
    ['{}', 'malformed'],
    ['"x"', 'malformed'],
  ])('cannot be read from %s', async (body, kind) => {
    const handler: Handler = (_request, response) => response.end(body)
    const client = clientTo((await serve(handler)).url)
    await expect(client.devices('u0', 'heat_pump', never)).rejects.toMatchObject({ kind })
  })

  it('are not those of another id', async () => {
    const { client } = await partner({
      '/users/u0/inverters/d1': { id: 'd2' },
      '/users/u0/inverters/d3': 'null',
    })
    const address = { userId: 'u0', deviceType: 'inverter' } as const
    await expect(client.device({ ...address, deviceId: 'd1' }, never)).rejects.toMatchObject({
      kind: 'malformed',
    })
    await expect(client.device({ ...address, deviceId: 'd3' }, never)).rejects.toMatchObject({
      kind: 'malformed',
    })
  })

  it('have ids that cannot lead anywhere else', async () => {
    const { client, server } = await partner({})
    await client
      .device({ userId: 'a/../b', deviceType: 'inverter', deviceId: 'x?y#z' }, never)
      .catch(() => {})
    expect(server.requests).toEqual([`GET ${root}/users/a%2F..%2Fb/inverters/x%3Fy%23z`])
  })

  it('tell of fields that cannot be used', async () => {
    const server = await serve((_request, response) =>
      json(response, [{ ...heatPump, dhw_temperature: 'hot' }]),
    )
    const odd: string[] = []
    const client = createPartnerClient({
      transport: transportTo(server.url),
      organisationId: 'o',
      onOddField: (field) => odd.push(field),
    })
    await client.devices('u', 'heat_pump', never)
    expect(odd).toEqual(['dhw_temperature'])
  })

  it('tell of states from the future, in a list and alone', async () => {
    const ahead = { ...heatPump, current_state_last_updated_at: '2990-01-01T00:00:00Z' }
    const past = { ...heatPump, id: 'other', current_state_last_updated_at: '2020-01-01T00:00:00Z' }
    const server = await serve((request, response) =>
      json(response, request.url?.endsWith('/heat-pumps') ? [ahead, past] : ahead),
    )
    let skews = 0
    const client = createPartnerClient({
      transport: transportTo(server.url),
      organisationId: 'o',
      onClockSkew: () => skews++,
    })
    await client.devices('u', 'heat_pump', never)
    expect(skews).toBe(1)
    await client.device({ userId: 'u', deviceType: 'heat_pump', deviceId: heatPump.id }, never)
    expect(skews).toBe(2)
  })
})

describe('energy contracts', () => {
  it('are read', async () => {
    const energy_prices = [{ price: 1, timestamp: '2026-01-01T00:00:00Z' }]
    const { client } = await partner({ '/users/u0/energy-contracts': [{ id: 'e1', energy_prices }] })
    expect(await client.energyContracts('u0', never)).toMatchObject([
      { id: 'e1', prices_until: Date.UTC(2026, 0, 1) },
    ])
  })

  it('are unread when one of them is, since a rule would miss it', async () => {
    const { client } = await partner({ '/users/u0/energy-contracts': [{ id: 'e1' }, 'x'] })
    await expect(client.energyContracts('u0', never)).rejects.toMatchObject({ kind: 'malformed' })
  })
})

describe('where to send a user', () => {
  const urls = { successUrl: 'https://us/ok', cancelUrl: 'https://us/no' }
  const link = (kind: 'redirect' | 'post', url: string): ResolutionLink => ({
    kind,
    url: new Secret(url),
    requiredParameters: [],
    validUntil: null,
  })

  it('is the link itself when that is to be opened', async () => {
    const { client, server } = await partner({})
    const url = await client.resolveAction(
      link('redirect', 'https://x/y?secret=z'),
      { ...urls, language: 'de' },
      never,
    )
    expect(url.reveal()).toBe('https://x/y?secret=z')
    expect(server.requests).toEqual([])
  })

  it('is what the partner answers when the link is to be called', async () => {
    const { client, server, bodies } = await partner({
      '/api/partners/v2.0/cues/7/resolve?secret=z': { redirect_url: 'https://manufacturer/login?state=1' },
    })
    const url = `${server.url}/api/partners/v2.0/cues/7/resolve?secret=z`
    const redirect = await client.resolveAction(link('post', url), { ...urls, language: 'de' }, never)
    expect(redirect.reveal()).toBe('https://manufacturer/login?state=1')
    expect(server.requests).toEqual(['POST /api/partners/v2.0/cues/7/resolve?secret=z'])
    expect(bodies).toEqual([{ ...urls, language: 'de' }])
  })

  it.each([{}, { redirect_url: 'javascript:alert(1)' }, { redirect_url: 7 }, []])(
    'is nowhere when the partner answers %j',
    async (answer) => {
      const { client, server } = await partner({ '/resolve': answer })
      const call = client.resolveAction(
        link('post', `${server.url}/resolve`),
        { ...urls, language: 'de' },
        never,
      )
      await expect(call).rejects.toMatchObject({ kind: 'malformed', endpoint: 'cue-resolve' })
    },
  )

  it('is not asked of another host, which would get the token', async () => {
    const other = await serve((_request, response) => json(response, { redirect_url: 'https://x' }))
    const { client } = await partner({})
    const call = client.resolveAction(
      link('post', `${other.url}/resolve`),
      { ...urls, language: 'de' },
      never,
    )
    await expect(call).rejects.toMatchObject({ kind: 'client_error' })
    expect(other.requests).toEqual([])
  })

  it('is a new session where there is no link', async () => {
    const { client, bodies } = await partner({
      '/users/u0/inverters/d1/auth_session': {
        authentication_url: 'https://m/login',
        device_id: 'd1',
        session_id: 's',
      },
    })
    const address = { userId: 'u0', deviceType: 'inverter', deviceId: 'd1' } as const
    expect((await client.createAuthSession(address, urls, never)).reveal()).toBe('https://m/login')
    expect(bodies).toEqual([{ success_url: urls.successUrl, cancel_url: urls.cancelUrl }])
  })
})
