import { describe, expect, it } from 'vitest'
import type { DeviceType } from '../../src/fleet/device.ts'
import type { UserReading } from '../../src/fleet/reading.ts'
import { type Unread, type WalkOptions, type WalkReport, walk } from '../../src/poller/walk.ts'
import { clientTo, json, never, quickClock, serve } from '../partner/local-server.ts'
import { user as wholeUser } from '../partner/sample.ts'

type Json = Record<string, unknown>

interface Fleet {
  /** The users that the list has, by id; what is not said of them is in `sample.ts`. */
  users: Record<string, Json>
  /** What is answered below /users/{id}, by path; 404 else. A number is a status, a string a body. */
  answers?: Record<string, unknown>
  list?: unknown
}

const none = { num_heat_pumps: 0, num_electric_vehicles: 0, num_inverters: 0, num_wallboxes: 0 }
const onePump = { ...none, num_heat_pumps: 1 }
const pump = (id: string, fields: Json = {}) => ({
  id,
  is_authenticated: true,
  action_needed: false,
  ...fields,
})

async function walked(fleet: Fleet, options: Partial<WalkOptions> = {}) {
  const root = '/api/partners/v2.0/org/org-1/users'
  const server = await serve((request, response) => {
    const path = (request.url ?? '').replace(root, '')
    const listed = Object.entries(fleet.users).map(([id, fields]) => ({ ...wholeUser, id, ...fields }))
    const answer = path === '' ? (fleet.list ?? listed) : (fleet.answers?.[path.slice(1)] ?? 404)
    if (typeof answer === 'number') json(response, {}, answer)
    else if (typeof answer === 'string') response.end(answer)
    else json(response, answer)
  })
  const readings = new Map<string, UserReading>()
  const unread: Unread[] = []
  const report = await walk({
    client: clientTo(server.url),
    clock: quickClock,
    signal: never,
    concurrency: 4,
    needs: { energyContracts: false, externalIdCounts: false },
    watched: watched({}),
    onUser: (reading) => {
      expect(readings.has(reading.user.id)).toBe(false)
      readings.set(reading.user.id, reading)
    },
    onUnread: (one) => unread.push(one),
    ...options,
  })
  const asked = server.requests.map((request) => request.replace(root, '').replace('GET ', '')).slice(1)
  return {
    report,
    readings,
    unread,
    asked: asked.sort(),
    reasons: unread.map(({ what, reason }) => `${what} ${reason}`),
  }
}

function watched(devices: Record<string, [DeviceType, string][]>) {
  return {
    userIds: () => Object.keys(devices),
    devicesOf: (userId: string) =>
      (devices[userId] ?? []).map(([deviceType, deviceId]) => ({ deviceType, deviceId })),
  }
}

const idsOf = (reading: UserReading | undefined) => reading?.devices.map(({ device }) => device.id)

describe('a walk', () => {
  it('hands on every user once, with the devices of every type', async () => {
    const { report, readings, asked } = await walked({
      users: {
        a: { num_heat_pumps: 2, num_electric_vehicles: 1, num_inverters: 1, num_wallboxes: 1 },
        b: onePump,
      },
      answers: {
        'a/heat-pumps': [pump('a1'), pump('a2')],
        'a/electric-vehicles': [pump('a3')],
        'a/inverters': [pump('a4')],
        'a/wallboxes': [pump('a5')],
        'b/heat-pumps': [pump('b1')],
      },
    })
    expect([...readings.keys()].sort()).toEqual(['a', 'b'])
    expect(readings.get('a')?.devices.map(({ device }) => `${device.type} ${device.id}`)).toEqual([
      'heat_pump a1',
      'heat_pump a2',
      'electric_vehicle a3',
      'inverter a4',
      'wallbox a5',
    ])
    expect(readings.get('b')).toMatchObject({ unread: [], absent: [], contractsUnread: null })
    expect(readings.get('b')?.user).toMatchObject({ id: 'b', email: 'a@example.com', energy_contracts: null })
    expect(asked).toHaveLength(5)
    expect(report).toMatchObject({
      listRead: null,
      users: 2,
      usersUnread: 0,
      malformedUsers: 0,
      devices: 6,
      devicesUnread: 0,
      goneUsers: [],
    } satisfies Partial<WalkReport>)
    expect(report.endedAt).toBeGreaterThan(report.startedAt)
  })

  it('asks for no type of which a user has none, and for one whose count is missing', async () => {
    const { asked } = await walked({
      users: { a: none, b: { ...none, num_inverters: null }, c: { ...none, num_heat_pumps: '2' } },
      answers: { 'b/inverters': [], 'c/heat-pumps': [] },
    })
    expect(asked).toEqual(['/b/inverters', '/c/heat-pumps'])
  })

  it('asks only for the device types that it is told', async () => {
    const { asked } = await walked(
      { users: { a: { num_heat_pumps: 1, num_inverters: 1 } }, answers: { 'a/inverters': [] } },
      { deviceTypes: ['inverter'] },
    )
    expect(asked).toEqual(['/a/inverters'])
  })

  it('asks a device itself when something is to be done and the list does not say what', async () => {
    const details = { action_needed: true, actions: [{ code: 'reauthenticate' }] }
    const { readings, asked } = await walked({
      users: { a: { ...none, num_heat_pumps: 5 } },
      answers: {
        'a/heat-pumps': [
          pump('fine'),
          pump('needed', { action_needed: true }),
          pump('offline', { is_authenticated: false }),
          pump('said', { action_needed: true, actions: [{ code: 'x' }] }),
          pump('unsaid', { action_needed: null, is_authenticated: null }),
        ],
        'a/heat-pumps/needed': pump('needed', details),
        'a/heat-pumps/offline': pump('offline', { ...details, is_authenticated: false }),
      },
    })
    expect(asked).toEqual(['/a/heat-pumps', '/a/heat-pumps/needed', '/a/heat-pumps/offline'])
    expect(readings.get('a')?.devices.map(({ device }) => [device.id, device.actions?.[0]?.code])).toEqual([
      ['fine', undefined],
      ['needed', 'reauthenticate'],
      ['offline', 'reauthenticate'],
      ['said', 'x'],
      ['unsaid', undefined],
    ])
  })

  it('keeps what the list says of a device whose own call fails', async () => {
    const { report, readings, reasons } = await walked({
      users: { a: onePump },
      answers: { 'a/heat-pumps': [pump('a1', { is_authenticated: false })], 'a/heat-pumps/a1': 400 },
    })
    expect(readings.get('a')?.devices).toMatchObject([
      { device: { id: 'a1', is_authenticated: false, actions: null } },
    ])
    expect(readings.get('a')?.unread).toEqual([])
    expect(reasons).toEqual(['device client_error'])
    expect(report).toMatchObject({ devices: 1, devicesUnread: 0, usersUnread: 0 })
  })

  it('reads energy contracts only when a rule does, and says when it could not', async () => {
    const fleet: Fleet = {
      users: { a: none, b: none },
      answers: { 'a/energy-contracts': [{ id: 'e1', supplier: 'S' }], 'b/energy-contracts': '<html>' },
    }
    expect((await walked(fleet)).asked).toEqual([])
    const { readings, report, reasons } = await walked(fleet, {
      needs: { energyContracts: true, externalIdCounts: false },
    })
    expect(readings.get('a')).toMatchObject({
      user: { energy_contracts: [{ id: 'e1' }] },
      contractsUnread: null,
    })
    expect(readings.get('b')).toMatchObject({ user: { energy_contracts: null }, contractsUnread: 'bad_json' })
    expect(reasons).toEqual(['energy_contracts bad_json'])
    expect(report.usersUnread).toBe(1)
  })

  it('counts shared external ids only when a rule reads that', async () => {
    const users = { a: { ...none, external_user_id: 'x' }, b: { ...none, external_user_id: 'x' }, c: none }
    const counts = async (externalIdCounts: boolean) => {
      const { readings } = await walked({ users }, { needs: { energyContracts: false, externalIdCounts } })
      return ['a', 'b', 'c'].map((id) => readings.get(id)?.user.external_user_id_count)
    }
    expect(await counts(false)).toEqual([null, null, null])
    expect(await counts(true)).toEqual([2, 2, 1])
  })

  it('reads as many users at once as it is told, and takes the next when one is done', async () => {
    let atOnce = 0
    let most = 0
    const users = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`u${at}`, none]))
    const done: number[] = []
    await walked(
      { users },
      {
        concurrency: 5,
        onUser: async () => {
          most = Math.max(most, ++atOnce)
          await new Promise((resolve) => setImmediate(resolve))
          atOnce--
        },
        progress: ({ done: count, total }) => {
          expect(total).toBe(30)
          done.push(count)
        },
      },
    )
    expect(most).toBe(5)
    expect(done).toEqual(Array.from({ length: 30 }, (_, at) => at + 1))
  })

  it('lets timers run although no user takes a call', async () => {
    const users = Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`u${at}`, none]))
    let turns = 0
    let isOver = false
    const count = () => {
      turns++
      if (!isOver) setImmediate(count)
    }
    let first = 0
    await walked(
      { users },
      {
        onUser: () => {
          if (first++ === 0) count()
        },
      },
    )
    isOver = true
    expect(turns).toBeGreaterThan(10)
  })
})

describe('what cannot be read', () => {
  it('is one list of one user, and everything else is read', async () => {
    const { report, readings, reasons } = await walked({
      users: {
        a: { ...none, num_heat_pumps: 3, num_inverters: 1 },
        b: { ...none, num_heat_pumps: null },
        c: onePump,
      },
      answers: {
        'a/heat-pumps': 400,
        'a/inverters': [pump('a1')],
        'b/heat-pumps': '<html>',
        'c/heat-pumps': [pump('c1')],
      },
    })
    expect(readings.get('a')?.unread).toEqual([
      { deviceType: 'heat_pump', deviceId: null, reason: 'client_error' },
    ])
    expect(idsOf(readings.get('a'))).toEqual(['a1'])
    expect(readings.get('b')?.unread).toEqual([
      { deviceType: 'heat_pump', deviceId: null, reason: 'bad_json' },
    ])
    expect(idsOf(readings.get('c'))).toEqual(['c1'])
    expect(report).toMatchObject({ users: 3, usersUnread: 2, devices: 2, devicesUnread: 4 })
    expect(reasons.sort()).toEqual(['devices bad_json', 'devices client_error'])
  })

  it('is one device that is malformed', async () => {
    const { report, readings, reasons } = await walked({
      users: { a: { ...none, num_heat_pumps: 3 } },
      answers: { 'a/heat-pumps': [pump('a1'), { id: null }, pump('a3'), pump('a1')] },
    })
    expect(idsOf(readings.get('a'))).toEqual(['a1', 'a3'])
    // The list was read: an entry without an id is not the whole of it.
    expect(readings.get('a')?.unread).toEqual([])
    expect(reasons).toEqual(['device malformed', 'device malformed'])
    expect(report).toMatchObject({ usersUnread: 1, devices: 2, devicesUnread: 2 })
  })

  it('is one user in the list', async () => {
    const { report, readings, reasons, unread } = await walked({
      users: {},
      list: `[{"id":"a"},{"id":"b","latitude":NaN},7,{"id":"a"},{"id":"c","num_heat_pumps":0}]`.replaceAll(
        '"a"}',
        `"a",${JSON.stringify(none).slice(1)}`,
      ),
      answers: { 'c/electric-vehicles': [], 'c/inverters': [], 'c/wallboxes': [] },
    })
    expect([...readings.keys()].sort()).toEqual(['a', 'c'])
    expect(reasons).toEqual(Array(3).fill('user malformed'))
    expect(unread.map(({ problem }) => problem)).toEqual([
      'no JSON',
      'not an object',
      'an id that was in the list before',
    ])
    expect(report).toMatchObject({ users: 5, usersUnread: 3, malformedUsers: 3 })
  })

  it.each([
    ['<html>', 'bad_json'],
    ['[{"id":"a"}', 'bad_json'],
    ['{}', 'bad_json'],
    [403, 'unauthorized'],
    [404, 'not_found'],
    [500, 'server_error'],
  ])('is the list of users itself: %j', async (list, reason) => {
    const { report, readings, reasons, asked } = await walked(
      { users: {}, list },
      { watched: watched({ a: [['heat_pump', 'a1']] }) },
    )
    expect(report).toMatchObject({ listRead: reason, users: 0, devices: 0, goneUsers: [] })
    expect(readings.size).toBe(0)
    expect(reasons).toEqual([`users ${reason}`])
    expect(asked.filter((path) => path !== `GET /` && path !== '')).toEqual([])
  })

  it('is a list that breaks off, which is read again from its beginning', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200)
      const part = `[${JSON.stringify({ ...none, id: 'a' })},${JSON.stringify({ ...none, id: 'b' })}`
      if (server.requests.length < 3) response.write(`${part},`, () => response.destroy())
      else response.end(`${part}]`)
    })
    const readings: string[] = []
    const report = await walk({
      client: clientTo(server.url),
      clock: quickClock,
      signal: never,
      concurrency: 2,
      needs: { energyContracts: false, externalIdCounts: true },
      watched: watched({}),
      onUser: ({ user }) => {
        readings.push(`${user.id} ${user.external_user_id_count}`)
      },
    })
    expect(readings.sort()).toEqual(['a null', 'b null'])
    expect(report).toMatchObject({ listRead: null, users: 2, malformedUsers: 0 })
  })
})

describe('a watched device', () => {
  const inTrouble = watched({ a: [['heat_pump', 'a1']] })
  const deleted = pump('a1', { deleted_at: '2026-01-01T00:00:00Z' })

  it('that is in the list is not asked for', async () => {
    const { asked } = await walked(
      { users: { a: onePump }, answers: { 'a/heat-pumps': [pump('a1')] } },
      { watched: inTrouble },
    )
    expect(asked).toEqual(['/a/heat-pumps'])
  })

  it.each([
    [
      'says that it was deleted',
      deleted,
      { absent: [{ deviceType: 'heat_pump', deviceId: 'a1', state: 'deleted' }] },
    ],
    [
      'says nothing of that',
      pump('a1'),
      { absent: [{ deviceType: 'heat_pump', deviceId: 'a1', state: 'missing' }] },
    ],
    ['is not there', 404, { absent: [{ deviceType: 'heat_pump', deviceId: 'a1', state: 'missing' }] }],
    ['fails', 400, { unread: [{ deviceType: 'heat_pump', deviceId: 'a1', reason: 'client_error' }] }],
  ])('that is not in the list is asked for by its id, which %s', async (_name, answer, expected) => {
    for (const count of [1, 0]) {
      const { readings, asked } = await walked(
        {
          users: { a: { ...none, num_heat_pumps: count } },
          answers: { 'a/heat-pumps': [pump('a2')], 'a/heat-pumps/a1?include_deleted=true': answer },
        },
        { watched: inTrouble },
      )
      expect(readings.get('a')).toMatchObject({ unread: [], absent: [], ...expected })
      expect(idsOf(readings.get('a'))).toEqual(count === 1 ? ['a2'] : [])
      // Although the user is said to have none of its type.
      expect(asked).toContain('/a/heat-pumps/a1?include_deleted=true')
      expect(asked).toHaveLength(count + 1)
    }
  })

  it('that the list has as deleted is deleted, and one that is not watched is left out', async () => {
    const { readings, report } = await walked(
      {
        users: { a: onePump },
        answers: {
          'a/heat-pumps': [deleted, { ...deleted, id: 'a2' }],
          'a/heat-pumps/a1?include_deleted=true': deleted,
        },
      },
      { watched: inTrouble },
    )
    expect(readings.get('a')).toMatchObject({ devices: [], absent: [{ deviceId: 'a1', state: 'deleted' }] })
    expect(report.devices).toBe(0)
  })

  it('is not asked for when its list could not be read', async () => {
    const { readings, asked } = await walked(
      { users: { a: onePump }, answers: { 'a/heat-pumps': 400 } },
      { watched: inTrouble },
    )
    expect(readings.get('a')).toMatchObject({ absent: [], unread: [{ deviceId: null }] })
    expect(asked).toEqual(['/a/heat-pumps'])
  })

  it('that may be the malformed entry of the list is read by its own call', async () => {
    const { readings } = await walked(
      {
        users: { a: onePump },
        answers: {
          'a/heat-pumps': '[{"id":"a1","x":NaN}]',
          'a/heat-pumps/a1?include_deleted=true': pump('a1'),
        },
      },
      { watched: inTrouble },
    )
    expect(idsOf(readings.get('a'))).toEqual(['a1'])
    expect(readings.get('a')?.absent).toEqual([])
  })
})

describe('a watched user who is not in the list', () => {
  const inTrouble = watched({ gone: [['heat_pump', 'g1']], here: [] })

  it.each([
    ['unknown', 404],
    ['deleted', { ...wholeUser, id: 'gone', deleted_at: '2026-01-01T00:00:00Z' }],
  ])('is gone when %s by id', async (_name, answer) => {
    const { report, readings, asked } = await walked(
      { users: { here: none }, answers: { gone: answer } },
      { watched: inTrouble },
    )
    expect(report).toMatchObject({ goneUsers: ['gone'], users: 1, usersUnread: 0, unreadWatchedUsers: [] })
    expect([...readings.keys()]).toEqual(['here'])
    expect(asked).toEqual(['/gone'])
  })

  it('is read when the partner still has them', async () => {
    const { report, readings } = await walked(
      {
        users: { here: none },
        answers: { gone: { ...wholeUser, id: 'gone', ...onePump }, 'gone/heat-pumps': [pump('g1')] },
      },
      { watched: inTrouble },
    )
    expect(report).toMatchObject({ goneUsers: [], users: 2 })
    expect(idsOf(readings.get('gone'))).toEqual(['g1'])
  })

  it('is unread, and not gone, when the call fails', async () => {
    const { report, readings, reasons } = await walked(
      { users: { here: none }, answers: { gone: 400 } },
      { watched: inTrouble },
    )
    expect(report).toMatchObject({
      goneUsers: [],
      users: 2,
      usersUnread: 1,
      unreadWatchedUsers: [{ userId: 'gone', reason: 'client_error' }],
    })
    expect([...readings.keys()]).toEqual(['here'])
    expect(reasons).toEqual(['user client_error'])
  })
})

describe('stopping a walk', () => {
  /** A fleet of which every `slow` path never answers. */
  async function stuck(slow: RegExp) {
    const users = Array.from({ length: 20 }, (_, at) => ({ ...wholeUser, id: `u${at}`, ...onePump }))
    const server = await serve((request, response) => {
      const path = request.url ?? ''
      if (slow.test(path)) response.write('[')
      else if (path.endsWith('/users')) json(response, users)
      else json(response, [pump('p')])
    })
    const stop = new AbortController()
    const handedOn: string[] = []
    const walking = walk({
      client: clientTo(server.url),
      clock: quickClock,
      signal: stop.signal,
      concurrency: 4,
      needs: { energyContracts: false, externalIdCounts: false },
      watched: watched({}),
      onUser: ({ user, unread }) => {
        expect(unread).toEqual([])
        handedOn.push(user.id)
      },
    })
    return { server, stop, handedOn, walking }
  }

  it.each([/\/users$/, /u7\//])(
    'ends it at once while it waits for %s, and says nothing of what was under way',
    async (slow) => {
      const { server, stop, handedOn, walking } = await stuck(slow)
      const ended = expect(walking).rejects.toThrow('enough')
      const isStuck = () => server.requests.some((request) => slow.test(request))
      while (!isStuck()) await new Promise((resolve) => setImmediate(resolve))
      stop.abort(new Error('enough'))
      await ended
      const { length } = handedOn
      expect(handedOn).not.toContain('u7')
      await new Promise((resolve) => setImmediate(resolve))
      expect(handedOn).toHaveLength(length)
    },
  )

  it('waits for what is being done with a user', async () => {
    const { stop, walking, handedOn } = await stuck(/never/)
    await walking
    expect(handedOn).toHaveLength(20)
    let isDone = false
    const { readings: _, ...rest } = await walked({ users: { a: none } })
    expect(rest.report.users).toBe(1)
    const ended = walked(
      { users: { a: none } },
      {
        signal: stop.signal,
        onUser: async () => {
          stop.abort(new Error('enough'))
          await new Promise((resolve) => setImmediate(resolve))
          isDone = true
        },
      },
    ).catch((error) => error)
    await ended
    expect(isDone).toBe(true)
  })
})

describe('a fault in what is done with a user', () => {
  it('ends the walk with it, after the other workers have finished theirs', async () => {
    const users = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`u${at}`, none]))
    let begun = 0
    let ended = 0
    const walking = walked(
      { users },
      {
        onUser: async ({ user }) => {
          begun++
          await new Promise((resolve) => setImmediate(resolve))
          ended++
          if (user.id === 'u5') throw new Error('no disk')
        },
      },
    )
    await expect(walking).rejects.toThrow('no disk')
    expect(ended).toBe(begun)
    expect(begun).toBeLessThan(20)
  })
})
