// What people do about alerts: silences, as amtool makes them, and acknowledgements. And alerts that come
// and go of their own accord.

import { describe, it, vi } from 'vitest'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { type ConfigParts, quiet, startWorld, until, untilTold, type World, walkEnds } from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const minute = 60_000
const day = 24 * 60 * minute

const rules = `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        labels: {severity: critical}
        annotations: {summary: "lost {{ device.id }}"}
`

const lost = ({ id }: { id: string }) => `lost ${id}`

/** Each alert is a group of its own. */
function startTelling({
  config = {},
  route = {},
}: {
  config?: ConfigParts
  route?: ConfigParts
} = {}): Promise<World> {
  return startWorld({
    factor: 120,
    rules,
    webhooks: ['on-call'],
    config: {
      poll: { schedule: '* * * * *' },
      alerting: { route: { group_by: ['...'], group_wait: '10s', group_interval: '1m', ...route } },
      ...config,
    },
  })
}

/** Breaks the device, and waits until that is told. */
async function toldAsLost(world: World, running: Parameters<typeof untilTold>[1], user = 0) {
  const device = world.device(user)
  world.lose(device)
  await untilTold(world, running, { 'on-call': [`first notification: ${lost(device)}`] })
  return device
}

describe.concurrent('a silence', () => {
  it('that ends while what it silenced still fires tells that once, after a reminder', async ({ expect }) => {
    await using world = await startTelling({ config: { silences: { remind_before: '8m' } } })
    await using running = await world.startApp()
    const device = await toldAsLost(world, running)
    const untold = world.device(1)
    const labels = { alertname: 'DeviceLost' }
    const id = await running.api.silence(labels, { forMs: day })
    world.lose(untold)
    await until('it silences both', async () => {
      const alerts = await running.api.alerts('DeviceLost')
      return alerts.length === 2 && alerts.every(({ status }) => status.silencedBy.includes(id))
    })
    const endsAt = world.clock.now() + 10 * minute
    expect(await running.api.silence(labels, { id, forMs: 10 * minute })).toBe(id)
    const reminder = 'The silence {alertname="DeviceLost"} ends soon, and alerts that it silences still fire'
    await until('somebody is reminded', () => world.webhooks.messages().length > 1)
    expect(world.clock.now()).toBeLessThan(endsAt)
    expect(world.webhooks.told('on-call').slice(1)).toEqual([`first notification: ${reminder}`])

    await until('the silence has ended', async () => (await running.api.stateOfSilence(id)) === 'expired')
    await until('all is told', () => world.webhooks.messages().length >= 5)
    await quiet(world, running)
    expect([...world.webhooks.told('on-call').slice(2)].sort()).toEqual([
      `all resolved: -${reminder}`,
      `first notification: ${lost(untold)}`,
      `silence ended: ${lost(device)}`,
    ])
  })

  it('keeps the end from nobody who was told the beginning, and tells it quietly', async ({ expect }) => {
    await using world = await startTelling()
    await using running = await world.startApp()
    const device = await toldAsLost(world, running)
    const untold = world.device(1)
    await running.api.silence({ alertname: 'DeviceLost' }, { forMs: day })
    world.lose(untold)
    await until('both fire', async () => (await running.api.alerts('DeviceLost')).length === 2)
    await quiet(world, running)
    world.heal(device, untold)
    await until('both have ended', async () => (await running.api.alerts('DeviceLost')).length === 0)
    await quiet(world, running)
    expect(world.webhooks.told('on-call').slice(1)).toEqual([`resolved while silenced: -${lost(device)}`])
  })

  it('keeps no place in a group whose other alerts are told meanwhile, and yet its end is told', async ({
    expect,
  }) => {
    await using world = await startTelling({ route: { group_by: ['alertname'] } })
    await using running = await world.startApp()
    const device = await toldAsLost(world, running)
    const later = world.device(1)
    await running.api.silence({ device_id: device.id }, { forMs: day })
    world.lose(later)
    await until('the other one is told', () => world.webhooks.messages().length > 1)
    world.heal(device)
    await until('the end is told', () => world.webhooks.messages().length > 2)
    await quiet(world, running)
    expect(world.webhooks.told('on-call').slice(1)).toEqual([
      `new alerts: ${lost(later)}`,
      `some resolved: ${[`-${lost(device)}`, lost(later)].join(', ')}`,
    ])
  })

  it('with expire_when: resolved ends with what it silenced', async ({ expect }) => {
    await using world = await startTelling()
    await using running = await world.startApp()
    const device = world.device(0)
    const id = await running.api.silence(
      { device_id: device.id },
      { forMs: day, annotations: { expire_when: 'resolved' } },
    )
    await quiet(world, running)
    expect(await running.api.stateOfSilence(id)).toBe('active')
    world.lose(device)
    await until('it fires', async () => (await running.api.alerts('DeviceLost')).length === 1)
    await quiet(world, running)
    expect(await running.api.stateOfSilence(id)).toBe('active')
    world.heal(device)
    await until('it has ended', async () => (await running.api.stateOfSilence(id)) === 'expired')
    await quiet(world, running)
    expect(world.webhooks.messages()).toEqual([])
    await toldAsLost(world, running)
  })

  it('survives kill -9 the moment after it was made, and ends when somebody ends it', async ({ expect }) => {
    await using world = await startWorld({
      rules,
      webhooks: ['on-call'],
      config: {
        poll: { schedule: '* * * * * *', recheck_interval: '1s' },
        alerting: { route: { group_by: ['...'], group_wait: '0s', group_interval: '1s' } },
      },
    })
    const device = world.device(0)
    await using first = world.startService()
    const api = await first.api()
    const id = await api.silence({ device_id: device.id }, { forMs: day })
    await first.end('SIGKILL')

    world.lose(device, world.device(1))
    await using second = world.startService()
    await untilTold(world, second, { 'on-call': [`first notification: ${lost(world.device(1))}`] })
    await walkEnds(second)
    await walkEnds(second)
    const again = await second.api()
    expect(await again.stateOfSilence(id)).toBe('active')
    expect(world.webhooks.messages()).toHaveLength(1)
    await again.expire(id)
    await until('it is told', () => world.webhooks.messages().length > 1)
    expect(world.webhooks.told('on-call').slice(1)).toEqual([`first notification: ${lost(device)}`])
    await second.end('SIGTERM')
  })

  it('is found among ten thousand others, and they keep no walk and no alert up', async ({ expect }) => {
    await using world = await startTelling()
    const [silenced, other] = [world.device(0), world.device(1)]
    const now = world.clock.now()
    const storage = await openSqlite({ path: world.databaseFile })
    await storage.saveSilences({
      upserts: Array.from({ length: 10_000 }, (_, n) => ({
        id: crypto.randomUUID(),
        matchers: [
          { name: 'alertname', operator: '=' as const, value: 'DeviceLost' },
          // One in five has to be tried on every alert.
          n % 5 === 0
            ? { name: 'device_id', operator: '=~' as const, value: `[0-9]+-${n}|nobody` }
            : { name: 'device_id', operator: '=' as const, value: n === 7 ? silenced.id : `nobody-${n}` },
        ],
        ...{ startsAt: now, endsAt: now + day, updatedAt: now, createdBy: 'anna', comment: String(n) },
        annotations: n % 3 === 0 ? { expire_when: 'unmatched_for: 1d' } : {},
        expiry: n % 3 === 0 ? ({ kind: 'unmatched', forMs: day } as const) : null,
        ...{ remindedAt: null, lastMatchedAt: null, unmatchedSince: null },
      })),
      deletedIds: [],
    })
    await storage.close()
    world.lose(silenced, other)
    await using running = await world.startApp()
    await untilTold(world, running, { 'on-call': [`first notification: ${lost(other)}`] })
    await walkEnds(running)
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(1)
    expect(await running.api.silences()).toHaveLength(10_000)
    world.heal(silenced, other)
    await until('its end is told', () => world.webhooks.messages().length > 1)
    await quiet(world, running)
    expect(world.webhooks.told('on-call').slice(1)).toEqual([`all resolved: -${lost(other)}`])
  })
})

describe.concurrent('an acknowledgement', () => {
  it('ends the repeats of its episode, also after a restart, and not the message that it is over', async ({
    expect,
  }) => {
    await using world = await startTelling({ route: { repeat_interval: '2m' } })
    const [handled, other] = [world.device(0), world.device(1)]
    const said = (device: typeof handled) =>
      world.webhooks.told('on-call').filter((text) => text.includes(device.id))
    const repeats = (device: typeof handled) =>
      said(device).filter((text) => text === `repeat: ${lost(device)}`).length
    {
      await using running = await world.startApp()
      world.lose(handled, other)
      await until('both are repeated', () => repeats(handled) >= 1 && repeats(other) >= 1)
      const alerts = await running.api.alerts('DeviceLost')
      const { fingerprint } = alerts.find(({ labels }) => labels['device_id'] === handled.id)!
      await running.api.acknowledge(fingerprint)
      // One may be on its way.
      await quiet(world, running, minute)
    }
    const before = { handled: repeats(handled), other: repeats(other) }
    await using _ = await world.startApp()
    await until('the other one is repeated', () => repeats(other) >= before.other + 3)
    expect(repeats(handled)).toBe(before.handled)
    world.heal(handled)
    await until('its end is told', () => said(handled).at(-1) === `all resolved: -${lost(handled)}`)

    world.lose(handled)
    await until('another episode is repeated', () => repeats(handled) > before.handled)
    expect(said(handled).slice(-2)).toEqual([
      `first notification: ${lost(handled)}`,
      `repeat: ${lost(handled)}`,
    ])
  })
})

describe.concurrent('an alert that comes and goes', () => {
  it.for([
    // Marked when it fires, and when it ends.
    { name: 'well', high: 4, last: [] },
    { name: 'lost', high: 5, last: ['lost'] },
  ] as const)(
    'is told once as flapping, and then how it ended up: $name',
    async ({ high, last }, { expect }) => {
      await using world = await startTelling({
        config: { poll: { schedule: '*/20 * * * * *' }, flapping: { window: '6m', high, low: 2 } },
        route: { group_wait: '1s', group_interval: '10s' },
      })
      await using running = await world.startApp()
      const device = world.device(0)
      const flip = async (what: 'lose' | 'heal') => {
        await walkEnds(running)
        world[what](device)
      }
      const isFlapping = async () => (await running.api.alerts('DeviceLost'))[0]?.isFlapping === true
      const flapping = `flapping: ${lost(device)}`
      for (let flips = 0; !(await isFlapping()); flips++) {
        if (flips > 20) throw new Error('it should flap by now')
        await flip(flips % 2 === 0 ? 'lose' : 'heal')
        await walkEnds(running)
      }
      await until('that is told', () => world.webhooks.told('on-call').at(-1) === flapping)
      const told = world.webhooks.messages().length
      for (const what of ['heal', 'lose', 'heal', 'lose', 'heal', 'lose', 'heal'] as const) await flip(what)
      expect(await isFlapping()).toBe(true)
      expect(world.webhooks.messages()).toHaveLength(told)

      if (last.length > 0) await flip('lose')
      await until('it has calmed down', async () => !(await isFlapping()))
      await quiet(world, running)
      const end = last.length > 0 ? [] : [`all resolved: -${lost(device)}`]
      expect(world.webhooks.told('on-call').slice(told)).toEqual(end)
      expect(world.webhooks.told('on-call').filter((text) => text === flapping)).toHaveLength(1)
      expect(await running.api.alerts('DeviceLost')).toHaveLength(last.length)
    },
  )
})
