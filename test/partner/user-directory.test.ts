import { describe, expect, it, onTestFinished } from 'vitest'
import type { UserAccount } from '../../src/fleet/user.ts'
import { createPartnerClient } from '../../src/partner/client.ts'
import { Malformed } from '../../src/partner/json-array-stream.ts'
import type { PartnerError } from '../../src/partner/partner-error.ts'
import { createUserDirectory, isUncertain } from '../../src/partner/user-directory.ts'
import { Secret } from '../../src/secret.ts'
import type { FleetOptions } from '../../src/simulator/fleet.ts'
import { startSimulator } from '../../src/simulator/server.ts'
import { json, never, quickClock, serve, transportTo } from './local-server.ts'
import { user } from './sample.ts'

async function simulated(fleet: Partial<FleetOptions> = {}) {
  const simulator = await startSimulator({
    clock: quickClock,
    fixedToken: 'fixed-token',
    fleet: { users: 5, seed: 7, shapes: 'current', healthy: true, ...fleet },
  })
  onTestFinished(() => simulator.close())
  const transport = transportTo(simulator.origin, { timeoutMs: 300 })
  const client = createPartnerClient({ transport, organisationId: null })
  return { simulator, client, directory: createUserDirectory({ transport, client }) }
}

async function partner(answer: unknown, status = 200) {
  const bodies: unknown[] = []
  const server = await serve((_request, response, body) => {
    bodies.push(body === '' ? null : JSON.parse(body))
    json(response, answer, status)
  })
  const transport = transportTo(server.url)
  const client = createPartnerClient({ transport, organisationId: 'org-1' })
  return { server, bodies, directory: createUserDirectory({ transport, client }) }
}

async function listed(accounts: AsyncIterable<UserAccount | Malformed>): Promise<UserAccount[]> {
  const all: UserAccount[] = []
  for await (const one of accounts) if (!(one instanceof Malformed)) all.push(one)
  return all
}

describe('users as people look after them', () => {
  it('are listed, with the deleted ones when asked', async () => {
    const { simulator, directory } = await simulated()
    simulator.fleet.deleteUser(3, quickClock.now())
    expect(await listed(directory.accounts({ includeDeleted: false }, never))).toHaveLength(4)
    const all = await listed(directory.accounts({ includeDeleted: true }, never))
    expect(all.map(({ deleted_at }) => deleted_at !== null)).toEqual([false, false, false, true, false])
  })

  it('are listed over all pages, with the deleted ones on each', async () => {
    const { simulator, directory } = await simulated({ users: 25 })
    simulator.faults.add({ kind: 'paged_users', pageSize: 10 })
    simulator.fleet.deleteUser(20, quickClock.now())
    expect(await listed(directory.accounts({ includeDeleted: true }, never))).toHaveLength(25)
  })

  it('are read in either spelling, a postcode also as a number', async () => {
    const { country, ...rest } = user
    const { directory } = await partner({ ...rest, country_iso2: country, zip_code: 1010 })
    expect(await directory.account(user.id, never)).toMatchObject({
      country: 'AT',
      zip_code: '1010',
      deleted_at: null,
    })
  })

  it('are found by id and by external id, whatever characters that has', async () => {
    const { simulator, directory } = await simulated()
    const id = simulator.fleet.userId(2)
    const external = 'AT/17 ä?#%2e'
    await directory.update(id, { external_user_id: external }, never)
    expect((await directory.account(id, never))?.external_user_id).toBe(external)
    expect((await directory.accountByExternalId(external, never))?.id).toBe(id)
    for (const unknown of ['nobody', '.', '..', '']) {
      expect(await directory.accountByExternalId(unknown, never)).toBeNull()
    }
  })

  it('are nobody when the partner answers a deleted one', async () => {
    const { directory } = await partner({ ...user, deleted_at: '2026-01-01T00:00:00Z' })
    expect(await directory.account(user.id, never)).toBeNull()
    expect(await directory.accountByExternalId('c-1', never)).toBeNull()
  })

  it('are not taken for somebody else', async () => {
    const { directory } = await partner(user)
    await expect(directory.account('another', never)).rejects.toMatchObject({ kind: 'malformed' })
    await expect(directory.accountByExternalId('c-2', never)).rejects.toMatchObject({ kind: 'malformed' })
  })
})

describe('changing users', () => {
  it('sends what is given and nothing else, null included', async () => {
    const { bodies, server, directory } = await partner(user)
    await directory.update(user.id, { town: 'Graz', street_add_info: null }, never)
    expect(bodies).toEqual([{ town: 'Graz', street_add_info: null }])
    expect(server.requests).toEqual([`PUT /api/partners/v2.0/org/org-1/users/${user.id}`])
  })

  it('creates a user', async () => {
    const { simulator, directory } = await simulated()
    const fields = {
      role: 'user',
      email: 'new@example.com',
      external_user_id: 'N-1',
      zip_code: '01067',
    } as const
    const made = await directory.create(fields, never)
    expect(made).toMatchObject(fields)
    expect(simulator.fleet.userCount).toBe(6)
  })

  it('hands on what the partner says against it', async () => {
    const { directory } = await simulated()
    const fields = { role: 'user', email: 'twice@example.com' } as const
    await directory.create(fields, never)
    const error = await directory.create(fields, never).catch((error) => error)
    expect(error).toMatchObject({ kind: 'client_error', status: 400 })
    expect(error.detail).toContain('email')
    expect(isUncertain(error)).toBe(false)
  })

  it.each([
    ['cut before the answer', { kind: 'cut', when: 'in_body' }, 'network', 1],
    ['too late', { kind: 'slow_body', durationMs: 60_000 }, 'timeout', 1],
    ['no JSON', { kind: 'truncated_json' }, 'bad_json', 1],
    ['a fault of the partner', { kind: 'status', status: 502 }, 'server_error', 0],
  ] as const)(
    'sends a creation once when the answer is %s, and says that it is uncertain',
    async (_, fault, kind, made) => {
      const { simulator, directory } = await simulated()
      simulator.faults.add({ ...fault, method: 'POST', path: '/users$' })
      const error = await directory
        .create({ role: 'user', email: 'new@example.com' }, never)
        .catch((error: PartnerError) => error)
      expect(error).toMatchObject({ kind })
      expect(isUncertain(error)).toBe(true)
      expect(simulator.requests.count('create_user')).toBe(1)
      expect(simulator.fleet.userCount).toBe(5 + made)
    },
  )

  it('sends a creation again after 429, which says that it was not done', async () => {
    const { simulator, directory } = await simulated()
    simulator.faults.add({
      kind: 'rate_limit',
      retryAfterSeconds: 1,
      method: 'POST',
      path: '/users$',
      times: 2,
    })
    await directory.create({ role: 'user', email: 'new@example.com' }, never)
    expect(simulator.requests.count('create_user')).toBe(3)
    expect(simulator.fleet.userCount).toBe(6)
  })

  it('switches the optimisation of a device off', async () => {
    const { simulator, client, directory } = await simulated()
    const device = simulator.fleet.devices(0)[0]!
    const address = { userId: simulator.fleet.userId(0), deviceType: device.type, deviceId: device.id }
    await directory.setOptimization(address, false, never)
    expect((await client.device(address, never)).device.is_smart_optimization_active).toBe(false)
  })
})

describe('an onboarding session', () => {
  const urls = { successUrl: 'https://portal.example.com/done', cancelUrl: 'https://portal.example.com/' }

  it('is opened for a user, and its URL is a secret', async () => {
    const { simulator, directory } = await simulated()
    const userId = simulator.fleet.userId(1)
    const session = await directory.openOnboarding(
      { userId, language: 'de', priceZone: 'AT', isOptimized: true, ...urls },
      never,
    )
    expect(session.url).toBeInstanceOf(Secret)
    expect(session.url.reveal()).toMatch(/^http/)
    expect(session.expiresAt).toBeGreaterThan(quickClock.now())
    expect(JSON.stringify(session)).not.toContain('http')
  })

  it('leaves out what is not told, and bears an answer without an expiry', async () => {
    const { bodies, directory } = await partner({ authentication_url: 'https://partner.example.com/s' }, 201)
    const options = { userId: 'u', language: 'en', priceZone: null, isOptimized: null, ...urls }
    expect((await directory.openOnboarding(options, never)).expiresAt).toBeNull()
    expect(bodies).toEqual([
      { user_id: 'u', language: 'en', success_url: urls.successUrl, cancel_url: urls.cancelUrl },
    ])
  })
})
