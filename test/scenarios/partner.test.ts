// What the partner's API can do to us: be down as a whole, fail for one user, answer nonsense. And the
// heartbeat, which says outside that none of it holds.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it, vi } from 'vitest'
import { deviceFields } from '../../src/fleet/device.ts'
import { userFields } from '../../src/fleet/user.ts'
import type { FaultInput } from '../../src/simulator/faults.ts'
import {
  allTold,
  each,
  type OpenApp,
  type Scrape,
  startWorld,
  story,
  timesTold,
  until,
  type World,
} from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const never = new AbortController().signal

describe.concurrent('while the whole API is away for ten walks', () => {
  const outages: readonly { name: string; fault: FaultInput; factor?: number; timeout?: string }[] = [
    { name: 'answers 500', fault: { kind: 'status', status: 500 } },
    // Three attempts have to fit between two walks, in real time.
    { name: 'never answers', fault: { kind: 'hang' }, factor: 500, timeout: '250ms' },
    // The token is issued, and then refused everywhere.
    { name: 'answers 401 to our own token', fault: { kind: 'status', status: 401, path: '^/api/' } },
  ]

  it.for(outages)(
    'no device alert fires or resolves, and one PartnerApiUnavailable does both: the API $name',
    async ({ fault, factor = 600, timeout = '5s' }, { expect }) => {
      await using world = await startWorld({
        factor,
        rules: 'shipped',
        fleet: { users: 8 },
        // Short, so that during an outage a token is asked for too.
        simulator: { tokenLifetimeSeconds: 1_200 },
        config: { partner: { timeout } },
      })
      const [brokenAllAlong, healedMeanwhile, brokenMeanwhile] = [0, 1, 2]
      const customers = [brokenAllAlong, healedMeanwhile, brokenMeanwhile].map((user) =>
        customer(world, user),
      )
      const unavailable = 'PartnerApiUnavailable'
      world.lose(world.device(brokenAllAlong), world.device(healedMeanwhile))
      await using running = await world.startApp()
      const detail = () => story(world, running.logs)
      await until(
        'both lost devices are told',
        () =>
          isTold(world, customers[brokenAllAlong]!, each(1, 0)) &&
          isTold(world, customers[healedMeanwhile]!, each(1, 0)),
        { detail },
      )

      const before = await running.metrics()
      const known = new Set(allTold(world).map(({ id }) => id))
      world.simulator.faults.add(fault)
      const failedWalks = async () =>
        (await running.metrics()).value('fleet_polls_total', { outcome: 'failed' })
      const healthyWalks = await failedWalks()
      // A walk that was under way when it began may still see what changes.
      await until('a walk failed', async () => (await failedWalks()) > healthyWalks, { detail })
      world.heal(world.device(healedMeanwhile))
      world.lose(world.device(brokenMeanwhile))
      await until('ten more walks failed', async () => (await failedWalks()) > healthyWalks + 10, { detail })
      await until('the outage is told', () => isTold(world, unavailable, each(1, 0)), { detail })

      expect(aboutDevices(await running.metrics())).toEqual(aboutDevices(before))
      const toldMeanwhile = allTold(world).filter(({ id }) => !known.has(id))
      expect(toldMeanwhile.filter(({ text }) => customers.some((name) => text.includes(name)))).toEqual([])

      world.simulator.faults.clear()
      await until(
        'all of it has ended by itself',
        () =>
          isTold(world, unavailable, each(1, 1)) &&
          isTold(world, customers[healedMeanwhile]!, each(1, 1)) &&
          isTold(world, customers[brokenMeanwhile]!, each(1, 0)),
        { detail },
      )
      expect(timesTold(world, unavailable)).toEqual(each(1, 1))
      expect(timesTold(world, customers[brokenAllAlong]!)).toEqual(each(1, 0))
    },
  )
})

describe.concurrent('while a part of the answers cannot be used', () => {
  it('a user whose calls fail keeps its alert, and everybody else gets theirs', async ({ expect }) => {
    await using world = await startWorld()
    await using open = await world.openApp()
    const [failing, other] = [world.device(0), world.device(1)]
    world.lose(failing)
    expect(await open.app.walkOnce(never)).toBe('complete')
    expect(firing(open)).toEqual([failing.id])

    world.heal(failing)
    world.lose(other)
    const fault = world.simulator.faults.add({
      kind: 'status',
      status: 500,
      users: [world.fleet.userId(0)],
    })
    const before = await open.metrics()
    expect(await open.app.walkOnce(never)).toBe('partial')
    expect(firing(open)).toEqual([failing.id, other.id].sort())
    const metrics = await open.metrics()
    // Its three lists.
    expect(grown('fleet_unread_total', { reason: 'server_error' }, before, metrics)).toBe(3)
    expect(metrics.value('fleet_users')).toBe(4)
    expect(metrics.value('fleet_devices')).toBe(9)

    fault.off()
    expect(await open.app.walkOnce(never)).toBe('complete')
    expect(firing(open)).toEqual([other.id])
  })

  it.for([
    { name: 'null in its place', fault: { as: 'null' }, reason: 'malformed' },
    { name: 'a text in its place', fault: { as: 'string' }, reason: 'malformed' },
    { name: 'an id that is none', fault: { as: 'field', field: 'id', value: { a: 1 } }, reason: 'malformed' },
  ] as const)('a device that is $name costs nothing but itself', async ({ fault, reason }, { expect }) => {
    await using world = await startWorld()
    await using open = await world.openApp()
    // Two in one list.
    const [bad, good] = [
      world.device(0),
      world.fleet.addDevice(0, { type: 'heat_pump', at: world.clock.now() })!,
    ]
    world.lose(bad, good)
    world.simulator.faults.add({ kind: 'malformed_devices', devices: [bad.id], ...fault })
    const before = await open.metrics()
    expect(await open.app.walkOnce(never)).toBe('partial')
    expect(firing(open)).toEqual([good.id])
    const metrics = await open.metrics()
    expect(metrics.value('fleet_devices')).toBe(12)
    expect(grown('fleet_unread_total', { reason }, before, metrics)).toBe(1)
    expect(grown('fleet_malformed_total', { what: 'device' }, before, metrics)).toBe(1)
  })

  it('a wrong type in any field of a device costs no other device anything', async ({ expect }) => {
    // A user for each field, with one device whose field is wrong and one that has lost its connection.
    const fields = ['id', ...Object.keys(deviceFields), 'device_model', 'actions', 'authorization_url']
    expect(fields.length).toBeGreaterThan(50)
    await using world = await startWorld({ fleet: { users: fields.length }, rules: 'shipped' })
    const lost = fields.map(
      (_, user) => world.fleet.addDevice(user, { type: 'heat_pump', at: world.clock.now() })!,
    )
    world.lose(...lost)
    await using open = await world.openApp()
    for (const value of wrongValues) {
      world.simulator.faults.clear()
      for (const [user, field] of fields.entries()) {
        const devices = [world.device(user).id]
        world.simulator.faults.add({ kind: 'malformed_devices', as: 'field', devices, field, value })
      }
      const about = JSON.stringify(value)
      // Only a device without an id cannot be told from others.
      expect(await open.app.walkOnce(never), about).toBe('partial')
      const metrics = await open.metrics()
      expect(metrics.value('fleet_devices'), about).toBe(fields.length * 4 - 1)
      expect(metrics.value('fleet_malformed_total', { what: 'device' }), about).toBeGreaterThan(0)
      const alerts = [...open.app.alerts()].filter(({ subject }) =>
        lost.some(({ id }) => 'deviceId' in subject && subject.deviceId === id),
      )
      expect(
        alerts.map(({ labels }) => labels['alertname']),
        about,
      ).toEqual(lost.map(() => 'DeviceUnauthenticated'))
    }
    const metrics = await open.metrics()
    expect(metrics.value('fleet_odd_fields_total', { field: 'is_authenticated' })).toBe(
      wrongValues.length - 1,
    )
    expect(metrics.value('fleet_rule_evaluation_failures_total')).toBe(0)
  })

  it('a wrong type in any field of a user costs no other user anything', async ({ expect }) => {
    const fields = ['id', ...Object.keys(userFields)]
    expect(fields.length).toBeGreaterThan(20)
    await using world = await startWorld({ fleet: { users: fields.length + 1 }, rules: 'shipped' })
    const lost = [...fields.keys(), fields.length].map((user) => world.device(user))
    world.lose(...lost)
    await using open = await world.openApp()
    for (const value of wrongValues) {
      world.simulator.faults.clear()
      for (const [user, field] of fields.entries()) {
        const users = [world.fleet.userId(user)]
        world.simulator.faults.add({ kind: 'malformed_users', as: 'field', users, field, value })
      }
      const about = JSON.stringify(value)
      expect(await open.app.walkOnce(never), about).toBe('partial')
      const metrics = await open.metrics()
      expect(metrics.value('fleet_users'), about).toBe(fields.length + 1)
      expect(metrics.value('fleet_devices', { authenticated: 'false' }), about).toBe(lost.length - 1)
      expect(metrics.value('fleet_devices'), about).toBe(fields.length * 3)
    }
    const metrics = await open.metrics()
    expect(metrics.value('fleet_malformed_total', { what: 'user' })).toBe(wrongValues.length)
    expect(metrics.value('fleet_odd_fields_total', { field: 'num_heat_pumps' })).toBeGreaterThan(0)
    expect(metrics.value('fleet_rule_evaluation_failures_total')).toBe(0)
  })

  it.for([
    { name: 'whole', pageSize: undefined },
    { name: 'in pages', pageSize: 3 },
  ])('the user list may be {items, total}, $name', async ({ pageSize }, { expect }) => {
    await using world = await startWorld({ fleet: { users: 8 } })
    await using open = await world.openApp()
    world.lose(world.device(0), world.device(7))
    world.simulator.faults.add({ kind: 'paged_users', ...(pageSize === undefined ? {} : { pageSize }) })
    expect(await open.app.walkOnce(never)).toBe('complete')
    const metrics = await open.metrics()
    expect(metrics.value('fleet_users')).toBe(8)
    expect(metrics.value('fleet_devices')).toBe(24)
    expect(firing(open)).toEqual([world.device(0).id, world.device(7).id].sort())
  })

  it('a web page with status 200 in the place of one list leaves that list unread, and nothing else', async ({
    expect,
  }) => {
    await using world = await startWorld()
    await using open = await world.openApp()
    world.lose(world.device(0), world.device(1))
    await open.app.walkOnce(never)
    world.heal(world.device(0), world.device(1))
    world.simulator.faults.add({ kind: 'html', users: [world.fleet.userId(0)], path: 'heat-pumps' })
    const before = await open.metrics()
    expect(await open.app.walkOnce(never)).toBe('partial')
    expect(firing(open)).toEqual([world.device(0).id])
    const metrics = await open.metrics()
    expect(grown('fleet_unread_total', { reason: 'bad_json' }, before, metrics)).toBe(1)
    expect(metrics.value('fleet_devices')).toBe(11)
  })

  it('a web page with status 200 in the place of the user list is a failed walk: nothing resolves', async ({
    expect,
  }) => {
    await using world = await startWorld()
    await using open = await world.openApp()
    world.lose(world.device(0))
    await open.app.walkOnce(never)
    world.heal(world.device(0))
    world.simulator.faults.add({ kind: 'html', path: '/users$' })
    const before = await open.metrics()
    expect(await open.app.walkOnce(never)).toBe('failed')
    expect(firing(open)).toEqual([world.device(0).id])
    expect(grown('fleet_unread_total', { reason: 'bad_json' }, before, await open.metrics())).toBe(1)
  })
})

describe.concurrent('the heartbeat', () => {
  it('goes out after good walks, but not while the API is away nor while a message does not arrive', async ({
    expect,
  }) => {
    let beats = 0
    const server = createServer((_, response) => {
      beats++
      response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await using world = await startWorld({
      factor: 120,
      config: {
        poll: { schedule: '* * * * *' },
        heartbeat: { url: `http://127.0.0.1:${port}/beat` },
        alerting: { route: { group_wait: '0s', group_interval: '1m' } },
      },
    })
    world.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    await using running = await world.startApp()
    const walks = async (outcome: string) => (await running.metrics()).value('fleet_polls_total', { outcome })
    const moreWalks = async (outcome: string, more: number) => {
      const before = await walks(outcome)
      await until(`${more} more walks are ${outcome}`, async () => (await walks(outcome)) >= before + more)
    }
    /** What holds now holds for at least three more walks. */
    const silent = async (outcome: string) => {
      await moreWalks(outcome, 1)
      const before = beats
      await moreWalks(outcome, 3)
      return beats === before
    }
    await until('it beats', () => beats >= 2)

    world.simulator.faults.add({ kind: 'status', status: 503 })
    expect(await silent('failed')).toBe(true)
    world.simulator.faults.clear()
    const atReturn = beats
    await until('it beats again after the API is back', () => beats > atReturn)

    world.slack.fail({ kind: 'answer', status: 500, body: 'rollup_error' })
    world.lose(world.device(0))
    await until('a message does not arrive', () => world.slack.requests() > 0)
    expect(await silent('complete')).toBe(true)
    expect(timesTold(world, world.device(0).id).slack.firing).toBe(0)
    world.slack.heal()
    const atDelivery = beats
    await until('it beats again after the message has arrived', () => beats > atDelivery)
    expect(timesTold(world, world.device(0).id)).toEqual(each(1, 0))
    expect((await running.metrics()).value('fleet_heartbeats_total', { outcome: 'ok' })).toBe(beats)
  })
})

const wrongValues = [{ unexpected: true }, ['a', 1], -12.5, true, 'no such \u0000 value ✗']

function customer(world: World, user: number): string {
  return world.fleet.profile(user).external_user_id!
}

function isTold(world: World, text: string, expected: ReturnType<typeof each>): boolean {
  return JSON.stringify(timesTold(world, text)) === JSON.stringify(expected)
}

/** The devices with a firing alert. */
function firing({ app }: OpenApp): string[] {
  const alerts = [...app.alerts()].filter(({ state }) => state === 'firing')
  return alerts.map(({ subject }) => (subject.kind === 'device' ? subject.deviceId : subject.kind)).sort()
}

/** Every change of an alert that was ever made, but for those about the service itself. */
function aboutDevices({ text }: Scrape): string[] {
  const aboutService = /alertname="(?:PartnerApiUnavailable|Walk\w+)"/
  return text
    .split('\n')
    .filter((line) => line.startsWith('fleet_alert_transitions_total{') && !aboutService.test(line))
}

function grown(name: string, labels: Record<string, string>, before: Scrape, after: Scrape): number {
  return after.value(name, labels) - before.value(name, labels)
}
