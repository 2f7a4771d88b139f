// A configuration and rules that are read anew while the service runs, through the API and as SIGHUP.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import {
  allTold,
  type ConfigParts,
  each,
  quiet,
  type RunningApp,
  type Service,
  startWorld,
  story,
  timesTold,
  until,
  untilTold,
  type World,
  walkEnds,
} from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const lost = ({ id }: { id: string }) => `lost ${id}`

const rule = (alert: string, expr: string, summary: string) => `
      - alert: ${alert}
        expr: ${JSON.stringify(expr)}
        labels: {severity: critical}
        annotations: {summary: "${summary} {{ device.id }}"}
`
const deviceLost = rule('DeviceLost', '!device.is_authenticated', 'lost')
const deviceInError = rule('DeviceInError', 'device.connection_status == "error"', 'in error')
const rulesOf = (...rules: readonly string[]) => `groups:\n  - name: scenario\n    rules:\n${rules.join('')}`

const accelerated = {
  poll: { schedule: '* * * * *' },
  route: { group_by: ['...'], group_wait: '10s', group_interval: '1m' },
}
const realTime = {
  poll: { schedule: '* * * * * *', recheck_interval: '1s' },
  route: { group_by: ['...'], group_wait: '0s', group_interval: '1s' },
}

/** Everything goes to `kept`, and before that to one more receiver. */
function twoReceivers(world: World, other: string, { poll, route }: typeof accelerated): ConfigParts {
  return {
    poll,
    alerting: {
      route: {
        ...route,
        receiver: 'kept',
        routes: [{ receiver: other, matchers: [], continue: true }, { receiver: 'kept' }],
      },
      receivers: ['kept', other].map((name) => ({
        name,
        webhook_configs: [{ url: world.webhooks.url(name) }],
      })),
    },
  }
}

/** A world whose receiver `gone` takes nothing, with one alert that only `kept` knows of. */
async function withFullQueue(world: World, running: RunningApp | Service): Promise<void> {
  world.webhooks.fail('gone', 503)
  world.lose(world.device(0))
  await untilTold(world, running, { kept: [`first notification: ${lost(world.device(0))}`] })
  await until('the other one refused it', () => world.webhooks.requests('gone') > 0)
}

const droppedLines = ({ logs }: Pick<RunningApp, 'logs'>) =>
  logs.filter(({ msg }) => msg === 'Notification given up: its receiver or its group is gone')

describe.concurrent('a receiver that is taken out while messages wait for it', () => {
  it('loses them with a line in the log, the others go on, and a new one is told at the next tick', async ({
    expect,
  }) => {
    await using world = await startWorld({ factor: 120, rules: rulesOf(deviceLost) })
    await world.configure(twoReceivers(world, 'gone', accelerated))
    await using running = await world.startApp()
    await withFullQueue(world, running)
    await until('the others have theirs', () => running.app.delivery().queued === 1)

    await world.configure(twoReceivers(world, 'new', accelerated))
    expect(await running.api.reload()).toEqual({ status: 200, text: 'ok\n' })
    // An attempt that was under way at the reload may yet end: it must find the receiver as it was.
    await until('its queue is dropped', () => droppedLines(running).length === 1)
    world.webhooks.heal('gone')
    const first = `first notification: ${lost(world.device(0))}`
    await untilTold(world, running, { new: [first] })
    await quiet(world, running)
    expect(droppedLines(running).map(({ integrationKey }) => integrationKey)).toEqual(['gone/webhook/0'])
    expect((await running.metrics()).value('fleet_notification_queue_length')).toBe(0)
    expect(world.webhooks.told('kept')).toEqual([first])

    world.heal(world.device(0))
    const both = [first, `all resolved: -${lost(world.device(0))}`]
    await untilTold(world, running, { kept: both, new: both })
    await quiet(world, running)
    expect(world.webhooks.messages('kept')).toHaveLength(2)
    expect(world.webhooks.messages('new')).toHaveLength(2)
    expect(world.webhooks.messages('gone')).toEqual([])
  })

  it('does so on SIGHUP too, and the next process knows nothing of it', async ({ expect }) => {
    await using world = await startWorld({ rules: rulesOf(deviceLost) })
    await world.configure(twoReceivers(world, 'gone', realTime))
    await using service = world.startService()
    await withFullQueue(world, service)

    await world.configure(twoReceivers(world, 'new', realTime))
    service.child.kill('SIGHUP')
    const first = `first notification: ${lost(world.device(0))}`
    await untilTold(world, service, { new: [first] })
    await until('its queue is dropped', () => droppedLines(service).length === 1)
    expect(await service.end('SIGTERM')).toEqual({ code: 0, signal: null })

    world.webhooks.heal('gone')
    await using again = world.startService()
    await walkEnds(again)
    await walkEnds(again)
    world.heal(world.device(0))
    const both = [first, `all resolved: -${lost(world.device(0))}`]
    await untilTold(world, again, { kept: both, new: both })
    expect(world.webhooks.messages('gone')).toEqual([])
    expect(await again.end('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe.concurrent('a reload', () => {
  it('of files with errors changes nothing, and names all of them', async ({ expect }) => {
    await using world = await startWorld({
      factor: 120,
      rules: rulesOf(deviceLost),
      webhooks: ['on-call'],
      config: { poll: accelerated.poll, alerting: { route: accelerated.route } },
    })
    await using running = await world.startApp()
    const successful = async () => (await running.metrics()).value('fleet_config_last_reload_successful')
    expect(await successful()).toBe(1)
    world.lose(world.device(0))
    const first = (user: number) => `first notification: ${lost(world.device(user))}`
    await untilTold(world, running, { 'on-call': [first(0)] })

    await writeFile(join(world.folder, 'rules.yaml'), rulesOf(rule('DeviceLost', 'device.', 'lost')))
    await world.configure({
      poll: { schedule: 'never' },
      alerting: { route: { receiver: 'somebody', repeat_interval: 'often' } },
    })
    const { status, text } = await running.api.reload()
    expect(status).toBe(500)
    for (const bad of ['"never"', '"somebody"', '"often"', 'rules.yaml:']) expect(text).toContain(bad)
    expect(await successful()).toBe(0)
    expect(running.logs.filter(({ msg }) => msg.startsWith('Reload failed'))).toHaveLength(1)

    world.lose(world.device(1))
    await untilTold(world, running, { 'on-call': [first(0), first(1)] })
    await writeFile(join(world.folder, 'rules.yaml'), rulesOf(deviceLost))
    await world.configure({
      poll: accelerated.poll,
      alerting: {
        route: accelerated.route,
        receivers: [{ name: 'on-call', webhook_configs: [{ url: world.webhooks.url('on-call') }] }],
      },
    })
    expect(await running.api.reload()).toEqual({ status: 200, text: 'ok\n' })
    expect(await successful()).toBe(1)
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(2)
  })

  it('that changes templates alone tells nobody anything, and the next message has the new words', async ({
    expect,
  }) => {
    await using world = await startWorld({ factor: 120, rules: rulesOf(deviceLost) })
    const withTitles = (words: string) =>
      world.configure({
        poll: accelerated.poll,
        alerting: {
          route: accelerated.route,
          receivers: [
            {
              name: 'on-call',
              slack_configs: [{ template: { text: words } }],
              email_configs: [{ to: 'on-call@example.com', template: { text: `FIRING or not\n${words}` } }],
            },
          ],
        },
      })
    await withTitles('old words')
    await using running = await world.startApp()
    const told = (words: string) => allTold(world).filter(({ text }) => text.includes(words)).length
    world.lose(world.device(0))
    await until('both are told', () => told('old words') === 2, {
      detail: () => story(world, running.logs),
    })
    await withTitles('new words')
    expect(await running.api.reload()).toMatchObject({ status: 200 })
    await quiet(world, running, 200_000)
    expect(allTold(world)).toHaveLength(2)
    world.heal(world.device(0))
    await until('both are told the end', () => told('new words') === 2)
    expect(allTold(world)).toHaveLength(4)
  })

  it('ends the alerts of a rule that is gone, begins those of a new one, and keeps groups and timers', async ({
    expect,
  }) => {
    await using world = await startWorld({
      factor: 120,
      rules: rulesOf(deviceLost, rule('Kept', 'device.comment == "odd"', 'odd')),
    })
    const slow = { ...accelerated.route, group_by: ['alertname'], group_interval: '3m' }
    await world.configure({ poll: accelerated.poll, alerting: { route: slow } })
    await using running = await world.startApp()
    const [goneRule, keptRule, newRule] = [world.device(0), world.device(1), world.device(2)]
    const odd = { comment: 'odd' }
    world.lose(goneRule)
    world.fleet.changeDevice(keptRule, odd, world.clock.now())
    world.fleet.breakDevice(newRule, 'connection_error', world.clock.now())
    const detail = () => story(world, running.logs)
    const isTold = (device: typeof goneRule, firing: number, ended: number) => () =>
      JSON.stringify(timesTold(world, device.id)) === JSON.stringify(each(firing, ended))
    await until('the first is told', isTold(goneRule, 1, 0), { detail })
    await until('the kept one is told', isTold(keptRule, 1, 0), { detail })
    const nextTick = () => running.app.delivery().nextFlushAt ?? 0
    const firstTick = nextTick()
    // Both groups: from now on their rhythm is not that of their alerts' beginning any more.
    await until('another tick came', () => nextTick() > firstTick + 150_000)
    const tickAt = nextTick()

    await writeFile(
      join(world.folder, 'rules.yaml'),
      rulesOf(deviceInError, rule('Kept', 'device.comment == "odd"', 'odd')),
    )
    expect(await running.api.reload()).toMatchObject({ status: 200 })
    expect(nextTick()).toBe(tickAt)
    await until('the new one is told', isTold(newRule, 1, 0), { detail })
    await until('the end of the first is told', isTold(goneRule, 1, 1), { detail })
    const ended = world.mail.messages.items().find(({ text }) => text.startsWith('ENDED'))
    expect(ended?.text).toContain('no longer watched: its rule was removed')
    const changed = running.logs.filter(
      ({ msg, alertname }) => msg === 'Alert changed' && alertname === 'DeviceLost',
    )
    expect(changed.at(-1)).toMatchObject({ state: 'resolved', reason: 'rule_removed' })
    await quiet(world, running, 190_000)
    expect(timesTold(world, keptRule.id)).toEqual(each(1, 0))
    expect(timesTold(world, newRule.id)).toEqual(each(1, 0))
  })
})
