// Very much at once: an outage of a manufacturer, which inhibits its devices, and the guard against
// changes of so many alerts that somebody should look first.

import { describe, it, vi } from 'vitest'
import { quiet, startWorld, until, untilTold, type WorldOptions, walkEnds } from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const lost = ({ id }: { id: string }) => `lost ${id}`

const outageRules = `
groups:
  - name: scenario
    rules:
      - alert: ManufacturerOutage
        each: fleet
        count: "!device.is_authenticated"
        by: [manufacturer]
        expr: ratio > 0.5
        labels: {severity: critical, area: manufacturer}
        annotations: {summary: "outage"}
      - alert: ManufacturerGone
        each: fleet
        count: "!device.is_authenticated"
        by: [manufacturer]
        expr: ratio > 0.8
        labels: {severity: critical, area: manufacturer}
        annotations: {summary: "gone"}
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        labels: {severity: critical}
        annotations: {summary: "lost {{ device.id }}"}
`

/** Three devices of each user, all of one manufacturer, whose outages inhibit the alerts of its devices. */
async function startInhibiting({
  users = 3,
  config = {},
}: {
  users?: number
  config?: WorldOptions['config']
} = {}) {
  const world = await startWorld({
    factor: 120,
    rules: outageRules,
    fleet: { users },
    webhooks: ['on-call'],
    config: {
      poll: { schedule: '* * * * *' },
      alerting: {
        route: { group_by: ['alertname'], group_wait: '10s', group_interval: '1m' },
        inhibit_rules: [
          {
            source_matchers: ['area="manufacturer"'],
            target_matchers: ['alertname="DeviceLost"'],
            equal: ['manufacturer'],
          },
        ],
      },
      ...config,
    },
  })
  const devices = Array.from({ length: users }, (_, user) => world.fleet.devices(user)).flat()
  const model = { device_model: { manufacturer: 'Stormwarm', model: 'One' } }
  for (const device of devices) world.fleet.changeDevice(device, model, world.clock.now())
  return { world, devices }
}

describe.concurrent('an outage of a manufacturer', () => {
  it('is one message, and when it ends those of its devices that are still lost are told', async ({
    expect,
  }) => {
    const { world, devices } = await startInhibiting()
    await using _ = world
    await using running = await world.startApp()
    await quiet(world, running)
    const [stays, alsoStays, ...others] = devices
    if (stays === undefined || alsoStays === undefined) throw new Error('there are nine')
    await walkEnds(running)
    world.lose(stays, alsoStays, ...others.slice(0, 4))
    await untilTold(world, running, { 'on-call': ['first notification: outage'] })
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(1)

    await walkEnds(running)
    world.heal(...others)
    const both = [lost(stays), lost(alsoStays)].sort().join(', ')
    await until('the end and the rest are told', () => world.webhooks.messages().length >= 3)
    await quiet(world, running)
    expect(world.webhooks.told('on-call')[0]).toBe('first notification: outage')
    expect([...world.webhooks.told('on-call').slice(1)].sort()).toEqual([
      'all resolved: -outage',
      `first notification: ${both}`,
    ])
  })

  it('inhibits by each of its two alerts, when one of them ends and after a restart', async ({ expect }) => {
    const { world, devices } = await startInhibiting()
    await using _ = world
    const both = ['first notification: gone', 'first notification: outage']
    world.lose(...devices)
    {
      await using running = await world.startApp()
      await until('both are told', () => world.webhooks.messages().length >= 2)
      await quiet(world, running)
      expect([...world.webhooks.told('on-call')].sort()).toEqual(both)
    }
    await using running = await world.startApp()
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(2)

    await walkEnds(running)
    world.heal(...devices.slice(0, 2))
    await until('one has ended', () => world.webhooks.messages().length >= 3)
    await quiet(world, running)
    expect([...world.webhooks.told('on-call')].sort()).toEqual(['all resolved: -gone', ...both])
    await walkEnds(running)
    world.heal(...devices)
    await until('the other has ended', () => world.webhooks.messages().length >= 4)
    await quiet(world, running)
    expect(world.webhooks.told('on-call').slice(3)).toEqual(['all resolved: -outage'])
  })
})

const manyRules = `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        labels: {severity: critical}
        annotations: {summary: "lost {{ device.id }}"}
`

const massChange = '30 alerts would newly fire at once, of 40 devices: 30 DeviceLost'

/** Forty devices; thirty of them are lost when the first walk begins. */
async function startWithMassChange(hold: string) {
  const world = await startWorld({
    factor: 120,
    rules: manyRules,
    fleet: { users: 13 },
    webhooks: ['on-call'],
    config: {
      poll: { schedule: '* * * * *' },
      mass_change: { minimum: 20, hold },
      alerting: { route: { group_by: ['alertname'], group_wait: '10s', group_interval: '1m' } },
    },
  })
  world.fleet.addDevice(0, { type: 'heat_pump', at: world.clock.now() })
  const devices = Array.from({ length: 13 }, (_, user) => world.fleet.devices(user)).flat()
  const broken = devices.slice(0, 30)
  world.lose(...broken)
  return { world, broken, news: `first notification: ${broken.map(lost).sort().join(', ')}` }
}

describe.concurrent('thirty of forty devices that break in one walk', () => {
  it('are one message that asks for a look, and are told when somebody acknowledges that', async ({
    expect,
  }) => {
    const { world, broken, news } = await startWithMassChange('1d')
    await using _ = world
    await using running = await world.startApp()
    const question = `first notification: ${massChange}`
    await untilTold(world, running, { 'on-call': [question] })
    await quiet(world, running, 300_000)
    expect(world.webhooks.told('on-call')).toEqual([question])
    expect(await running.api.alerts('DeviceLost')).toHaveLength(30)

    const [alert] = await running.api.alerts('MassChange')
    await running.api.acknowledge(alert!.fingerprint)
    await until('the others are told', () => world.webhooks.messages().length >= 3)
    await quiet(world, running)
    expect([...world.webhooks.told('on-call').slice(1)].sort()).toEqual([
      `all resolved: -${massChange}`,
      news,
    ])
    // What is fewer than a mass is told as always.
    world.heal(...broken)
    await until('the end of all of them is told', () => world.webhooks.messages().length >= 4)
    world.lose(...broken.slice(0, 19))
    await until('nineteen are told', () => world.webhooks.messages().length >= 5)
    await quiet(world, running)
    expect(world.webhooks.told('on-call').filter((text) => text.includes('would newly fire'))).toHaveLength(2)
  })

  it('are told by themselves when the hold is over, also by another process', async ({ expect }) => {
    const { world, news } = await startWithMassChange('6m')
    await using _ = world
    const question = `first notification: ${massChange}`
    {
      await using running = await world.startApp()
      await untilTold(world, running, { 'on-call': [question] })
    }
    const askedAt = world.webhooks.messages()[0]!.receivedAt
    await using running = await world.startApp()
    await until('the others are told', () => world.webhooks.messages().length >= 3)
    await quiet(world, running)
    const [, ...others] = world.webhooks.messages('on-call')
    for (const { receivedAt } of others) expect(receivedAt - askedAt).toBeGreaterThan(300_000)
    expect([...world.webhooks.told('on-call').slice(1)].sort()).toEqual([
      `all resolved: -${massChange}`,
      news,
    ])
  })

  it('are no mass change when an outage inhibits them', async ({ expect }) => {
    const { world, devices } = await startInhibiting({
      users: 13,
      config: { mass_change: { minimum: 20, hold: '1d' } },
    })
    await using _ = world
    world.lose(...devices.slice(0, 30))
    await using running = await world.startApp()
    await untilTold(world, running, { 'on-call': ['first notification: outage'] })
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(1)
    expect(await running.api.alerts('DeviceLost')).toHaveLength(30)
    expect(await running.api.alerts('MassChange')).toEqual([])
  })
})
