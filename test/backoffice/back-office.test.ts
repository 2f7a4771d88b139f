import { describe, expect, it } from 'vitest'
import type { ListedAccount } from '../../src/backoffice/back-office.ts'
import { ticketOf } from '../../src/backoffice/ticket.ts'
import { everybody, type UserFilter } from '../../src/backoffice/user-filter.ts'
import type { PartnerError } from '../../src/partner/partner-error.ts'
import { alertFixture } from '../storage/fixtures.ts'
import { admin, type Office, openOffice } from './office.ts'

async function listed({ office }: Office, filter: Partial<UserFilter> = {}): Promise<ListedAccount[]> {
  const all: ListedAccount[] = []
  for await (const one of office.list({ ...everybody, ...filter }, admin)) all.push(one)
  return all
}

const newUser = { role: 'user', email: 'new@example.com', external_user_id: 'N-1', town: 'Graz' } as const
const postUsers = { method: 'POST', path: '/users$' } as const

describe('the list of users', () => {
  it('has everybody, and is in the trail without the text that was looked for', async () => {
    const world = await openOffice()
    expect(await listed(world)).toHaveLength(20)
    const someone = world.simulator.fleet.profile(3)
    const found = await listed(world, { text: `${someone.last_name}` })
    expect(found.map(({ account }) => account.id)).toContain(world.simulator.fleet.userId(3))
    expect(world.told()).toEqual(['user.list ok', 'user.list ok'])
    expect(JSON.stringify(world.trail)).not.toContain(someone.last_name)
  })

  it('reads the devices where the partner does not count them, in the order of the list', async () => {
    const world = await openOffice({ users: 60, healthy: false, shapes: 'old' })
    const { fleet } = world.simulator
    const all = Array.from({ length: 60 }, (_, index) => index)
    for (const [filter, isWanted] of [
      [{ deviceType: 'heat_pump' }, (n: number) => fleet.countDevices(n, 'heat_pump') > 0],
      [
        { deviceType: 'inverter', devices: 'without' },
        (n: number) => fleet.countDevices(n, 'inverter') === 0,
      ],
    ] as const) {
      const found = await listed(world, filter)
      expect(found.map(({ account }) => account.id)).toEqual(all.filter(isWanted).map((n) => fleet.userId(n)))
    }
  })

  it('has those in trouble, with the number of their alerts', async () => {
    const world = await openOffice()
    const userId = world.simulator.fleet.userId(4)
    world.alerts.push(
      alertFixture({ key: 'a', subject: { kind: 'user', userId } }),
      alertFixture({ key: 'b', subject: { kind: 'user', userId }, state: 'pending' }),
    )
    const found = await listed(world, { inTrouble: true })
    expect(found.map(({ account, alerts }) => [account.id, alerts])).toEqual([[userId, 1]])
  })

  it('leaves out who cannot be read, and counts them', async () => {
    const world = await openOffice()
    world.simulator.faults.add({
      kind: 'malformed_users',
      as: 'string',
      users: [world.simulator.fleet.userId(3)],
    })
    expect(await listed(world)).toHaveLength(19)
    expect(world.malformed()).toBe(1)
  })

  it('fails rather than being short when the partner breaks off', async () => {
    const world = await openOffice()
    world.simulator.faults.add({ kind: 'cut', path: '/users$' })
    await expect(listed(world)).rejects.toMatchObject({ name: 'PartnerError' })
  })
})

describe('a user', () => {
  it('is shown with devices, alerts, contracts, and a link of ours', async () => {
    const world = await openOffice(
      {},
      { durableLink: async ({ fingerprint }) => `https://fleet.example/r/${fingerprint}` },
    )
    const device = world.simulator.fleet.devices(0)[0]!
    const userId = world.simulator.fleet.userId(0)
    world.simulator.fleet.breakDevice(device, 'unauthenticated', 0)
    const subject = { kind: 'device', userId, deviceType: device.type, deviceId: device.id } as const
    world.alerts.push(alertFixture({ subject, fingerprint: 'f1' }))
    const story = await world.office.show({ id: userId }, admin)
    expect(story?.devices.map(({ id }) => id)).toContain(device.id)
    expect(story?.contracts).toHaveLength(1)
    expect(story?.alerts).toMatchObject([{ link: 'https://fleet.example/r/f1' }])
    expect(story?.unread).toEqual([])
    const externalId = world.simulator.fleet.profile(0).external_user_id!
    expect((await world.office.show({ externalId }, admin))?.account.id).toBe(userId)
    expect(world.trail.at(-1)).toMatchObject({ action: 'user.read', target: { user: userId }, actor: admin })
  })

  it('is shown with what could be read, and says what could not', async () => {
    const world = await openOffice()
    const userId = world.simulator.fleet.userId(0)
    const { type } = world.simulator.fleet.devices(0)[0]!
    world.simulator.faults.add({ kind: 'status', status: 403, path: '/users/[^/]+/.' })
    const story = await world.office.show({ id: userId }, admin)
    expect(story?.unread).toContainEqual({ deviceType: type, reason: 'unauthorized' })
    expect(story?.contracts).toBeNull()
  })

  it('is nobody when the partner knows no such id, which is no look at anybody', async () => {
    const world = await openOffice()
    expect(await world.office.show({ externalId: 'nobody' }, admin)).toBeNull()
    expect(world.trail).toEqual([])
  })

  it('is a ticket without anything personal', async () => {
    const world = await openOffice()
    const { fleet } = world.simulator
    const userId = fleet.userId(0)
    const device = fleet.devices(0)[0]!
    fleet.breakDevice(device, 'unauthenticated', 0)
    const profile = fleet.profile(0)
    const subject = { kind: 'device', userId, deviceType: device.type, deviceId: device.id } as const
    world.alerts.push(
      alertFixture({ subject, annotations: { summary: `call ${profile.email}` }, fingerprint: 'f00d' }),
    )
    const text = ticketOf((await world.office.show({ id: userId }, admin))!, 1_764_004_500_000)
    expect(text).toContain(`Fleetwarden-User: ${userId}\nCustomer: ${profile.external_user_id}\n`)
    expect(text).toContain(`${device.id}: lost its connection`)
    expect(text).toContain('DeviceUnauthenticated (critical) since 2025-11-24T16:15Z, for 1h; alert f00d')
    for (const value of [profile.email, profile.last_name, profile.street_and_number, profile.zip_code]) {
      expect(text).not.toContain(value)
    }
    await world.directory.update(userId, { external_user_id: 'ada@example.com' }, AbortSignal.timeout(5_000))
    expect(ticketOf((await world.office.show({ id: userId }, admin))!, 0)).not.toContain('ada@')
  })
})

describe('creating a user', () => {
  it('is in the trail before and after, with what was sent', async () => {
    const { office, trail, told } = await openOffice()
    expect(await office.create(newUser, admin)).toMatchObject({ kind: 'created', isRecovered: false })
    expect(told()).toEqual(['user.create begun', 'user.create ok'])
    expect(trail[1]).toMatchObject({ detail: { after: newUser, outcome: 'created' }, actor: admin })
    expect(trail[1]?.target['user']).toMatch(/-/)
  })

  it.each([
    ['was cut off', { kind: 'cut', when: 'in_body' }],
    ['came too late', { kind: 'slow_body', durationMs: 60_000 }],
    ['is a page of a proxy', { kind: 'truncated_json' }],
  ] as const)('makes no second one when the partner did it and its answer %s', async (_, fault) => {
    for (const user of [newUser, { role: 'user', email: 'b@example.com' }] as const) {
      const { office, simulator } = await openOffice()
      simulator.faults.add({ ...fault, ...postUsers, times: 1 })
      const outcome = await office.create(user, admin)
      expect(outcome).toMatchObject({ kind: 'created', isRecovered: true, account: user })
      expect(simulator.fleet.userCount).toBe(21)
      expect(simulator.requests.count('create_user')).toBe(1)
    }
  })

  it('is tried once more when nobody is there after an error', async () => {
    const { office, simulator } = await openOffice()
    simulator.faults.add({ kind: 'status', status: 502, ...postUsers, times: 1 })
    expect(await office.create(newUser, admin)).toMatchObject({ kind: 'created' })
    expect(simulator.requests.count('create_user')).toBe(2)
    expect(simulator.fleet.userCount).toBe(21)
  })

  it('is given up after two tries, and the trail says that it may have been done', async () => {
    const { office, simulator, trail, told } = await openOffice()
    simulator.faults.add({ kind: 'status', status: 502, ...postUsers })
    await expect(office.create(newUser, admin)).rejects.toMatchObject({ kind: 'server_error' })
    expect(simulator.requests.count('create_user')).toBe(2)
    expect(told()).toEqual(['user.create begun', 'user.create failed'])
    expect(trail[1]?.detail['problem']).toContain('may have been done')
  })

  it('finds who has the external id or the address already', async () => {
    const { office, simulator } = await openOffice()
    const taken = simulator.fleet.profile(2)
    const id = simulator.fleet.userId(2)
    expect(
      await office.create({ ...newUser, external_user_id: taken.external_user_id }, admin),
    ).toMatchObject({ kind: 'exists', by: 'external_user_id', account: { id } })
    expect(await office.create({ ...newUser, email: taken.email.toUpperCase() }, admin)).toMatchObject({
      kind: 'exists',
      by: 'email',
      account: { id },
    })
    expect(simulator.fleet.userCount).toBe(20)
  })

  it('happens one after the other, so that two at once are one', async () => {
    const { office, simulator } = await openOffice()
    const outcomes = await Promise.all([office.create(newUser, admin), office.create(newUser, admin)])
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['created', 'exists'])
    expect(simulator.fleet.userCount).toBe(21)
  })

  it('is not done when the trail cannot be written', async () => {
    const { office, simulator, breakTrail } = await openOffice()
    breakTrail()
    await expect(office.create(newUser, admin)).rejects.toThrow('the trail')
    expect(simulator.requests.count('create_user')).toBe(0)
  })
})

describe('changing a user', () => {
  it('sends only what differs, and the trail has before and after', async () => {
    const { office, simulator, trail } = await openOffice()
    const id = simulator.fleet.userId(1)
    const { town, email } = simulator.fleet.profile(1)
    const outcome = await office.update(id, { town: 'Linz', email }, { town }, admin)
    expect(outcome).toMatchObject({
      kind: 'changed',
      changes: [{ field: 'town', before: town, after: 'Linz' }],
    })
    expect(trail.map(({ result }) => result)).toEqual(['begun', 'ok'])
    expect(trail[0]).toMatchObject({
      action: 'user.update',
      target: { user: id },
      detail: { before: { town }, after: { town: 'Linz' } },
    })
  })

  it('does not overwrite what somebody else has changed meanwhile, and sends nothing', async () => {
    const { office, simulator, told } = await openOffice()
    const id = simulator.fleet.userId(1)
    const { town } = simulator.fleet.profile(1)
    simulator.fleet.changeUser(1, { town: 'Graz' })
    expect(await office.update(id, { town: 'Linz' }, { town }, admin)).toMatchObject({
      kind: 'conflict',
      conflicts: [{ field: 'town', before: town, after: 'Graz' }],
    })
    expect(simulator.requests.count('update_user')).toBe(0)
    expect(told()).toEqual([])
    // Another field is no conflict.
    expect(await office.update(id, { zip_code: '9999' }, { town }, admin)).toMatchObject({ kind: 'changed' })
  })

  it('lets one of two have it who saw the same', async () => {
    const { office, simulator } = await openOffice()
    const id = simulator.fleet.userId(1)
    const { town } = simulator.fleet.profile(1)
    const outcomes = await Promise.all(
      ['Linz', 'Graz'].map((other) => office.update(id, { town: other }, { town }, admin)),
    )
    expect(outcomes.map(({ kind }) => kind)).toEqual(['changed', 'conflict'])
    expect(simulator.fleet.profile(1).town).toBe('Linz')
  })

  it('sends nothing when nothing differs, and knows nobody under an unknown id', async () => {
    const { office, simulator } = await openOffice()
    const { town } = simulator.fleet.profile(1)
    expect(await office.update(simulator.fleet.userId(1), { town: town! }, {}, admin)).toMatchObject({
      kind: 'unchanged',
    })
    expect(await office.update('nobody', { town: 'Wien' }, {}, admin)).toEqual({ kind: 'not_found' })
    expect(simulator.requests.count('update_user')).toBe(0)
  })

  it('goes through 429 and says what the partner refuses', async () => {
    const { office, simulator, told } = await openOffice()
    const id = simulator.fleet.userId(1)
    simulator.faults.add({ kind: 'rate_limit', method: 'PUT', times: 2 })
    expect(await office.update(id, { town: 'Linz' }, {}, admin)).toMatchObject({ kind: 'changed' })
    const { email } = simulator.fleet.profile(2)
    const error: PartnerError = await office.update(id, { email }, {}, admin).then(
      () => expect.unreachable(),
      (error) => error,
    )
    expect(error.detail).toContain('email')
    expect(told().at(-1)).toBe('user.update failed')
  })
})

describe('archiving a user', () => {
  const optimised = async ({ client, simulator }: Office, user: number) => {
    const states: (boolean | null)[] = []
    for (const { type, id: deviceId } of simulator.fleet.devices(user)) {
      const userId = simulator.fleet.userId(user)
      const { device } = await client.device(
        { userId, deviceType: type, deviceId },
        AbortSignal.timeout(5_000),
      )
      states.push(device.is_smart_optimization_active)
    }
    return states
  }

  it('says first what will stop working, and changes nothing by that', async () => {
    const { office, simulator, told } = await openOffice()
    const plan = await office.planArchive(simulator.fleet.userId(0), admin)
    expect(plan?.steered.length).toBe(simulator.fleet.devices(0).length)
    expect(plan?.consequences.join('\n')).toMatch(
      /no longer optimised.*role becomes guest.*nothing is deleted/s,
    )
    expect(told()).toEqual(['user.read ok'])
  })

  it('stops the optimiser for each device, then takes the role away, each in the trail', async () => {
    const world = await openOffice()
    const { office, simulator, told } = world
    const id = simulator.fleet.userId(0)
    const devices = simulator.fleet.devices(0).length
    expect(
      await office.archive(id, { releaseExternalId: false, seen: { role: 'user' } }, admin),
    ).toMatchObject({
      kind: 'changed',
      changes: [{ field: 'role', before: 'user', after: 'guest' }],
    })
    expect(await optimised(world, 0)).toEqual(Array.from({ length: devices }, () => false))
    expect(simulator.fleet.profile(0).external_user_id).not.toBeNull()
    expect(told().filter((line) => line === 'device.update ok')).toHaveLength(devices)
    expect(told().at(-1)).toBe('user.archive ok')
    // Again: nothing left to do.
    expect(await office.archive(id, { releaseExternalId: false, seen: {} }, admin)).toMatchObject({
      kind: 'unchanged',
    })
    expect((await office.planArchive(id, admin))?.consequences).toEqual([])
  })

  it('gives the external id free when asked to', async () => {
    const { office, simulator } = await openOffice()
    await office.archive(simulator.fleet.userId(0), { releaseExternalId: true, seen: {} }, admin)
    expect(simulator.fleet.profile(0)).toMatchObject({ external_user_id: null, role: 'guest' })
  })

  it('does not take the role away while a device is still steered, and can be done again', async () => {
    const world = await openOffice()
    const { office, simulator } = world
    const id = simulator.fleet.userId(0)
    const fault = simulator.faults.add({ kind: 'status', status: 400, method: 'PUT', path: '/users/[^/]+/.' })
    await expect(office.archive(id, { releaseExternalId: false, seen: {} }, admin)).rejects.toMatchObject({
      kind: 'client_error',
    })
    expect(simulator.fleet.profile(0).role).toBe('user')
    fault.off()
    await office.archive(id, { releaseExternalId: false, seen: {} }, admin)
    expect(simulator.fleet.profile(0).role).toBe('guest')
  })
})
