// Who is told: the tree of routes, hours of rest, and the receiver that stands in for another.

import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { openAlerting } from '../../src/alerting.ts'
import { openAlertBook } from '../../src/alerts/alert-book.ts'
import { createRaise } from '../../src/alerts/raise.ts'
import { parseConfig } from '../../src/config.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createManualClock } from '../manual-clock.ts'
import {
  type ConfigParts,
  quiet,
  startWorld,
  until,
  untilTold,
  type World,
  type WorldOptions,
} from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const minute = 60_000
const alertsAtOnce = { group_wait: '10s', group_interval: '1m' }

function startRouting({
  alerting,
  ...options
}: WorldOptions & { webhooks: readonly string[]; alerting: ConfigParts }): Promise<World> {
  return startWorld({
    factor: 120,
    ...options,
    config: { poll: { schedule: '* * * * *' }, ...options.config, alerting },
  })
}

const lost = ({ id }: { id: string }) => `lost ${id}`
const inError = ({ id }: { id: string }) => `in error ${id}`

const deviceRules = `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        labels: {severity: critical, area: connection}
        annotations: {summary: "lost {{ device.id }}"}
      - alert: DeviceInError
        expr: device.connection_status == "error"
        labels: {severity: warning, area: connection}
        annotations: {summary: "in error {{ device.id }}"}
`

describe.concurrent('the tree of routes', () => {
  it('leads a critical alert to the pager and on to the team, and any other past the pager', async ({
    expect,
  }) => {
    await using world = await startRouting({
      rules: deviceRules,
      webhooks: ['everybody', 'pager', 'team'],
      alerting: {
        route: {
          ...alertsAtOnce,
          routes: [
            { matchers: ['severity="critical"'], receiver: 'pager', continue: true },
            {
              matchers: ['area=~"connec.*"'],
              receiver: 'team',
              group_by: ['...'],
              routes: [{ matchers: ['severity="nobody"'], receiver: 'everybody' }],
            },
          ],
        },
      },
    })
    await using running = await world.startApp()
    const [gone, failing] = [world.device(0), world.device(1)]
    world.lose(gone)
    world.fleet.breakDevice(failing, 'connection_error', world.clock.now())
    const first = (text: string) => `first notification: ${text}`
    await untilTold(world, running, { pager: [first(lost(gone))] })
    await until('the team knows both', () => world.webhooks.messages('team').length === 2)
    world.heal(gone, failing)
    await until('the team knows the end of both', () => world.webhooks.messages('team').length === 4)
    await quiet(world, running)
    const all = (text: string) => [first(text), `all resolved: -${text}`]
    expect(world.webhooks.told('pager')).toEqual(all(lost(gone)))
    expect([...world.webhooks.told('team')].sort()).toEqual(
      [...all(lost(gone)), ...all(inError(failing))].sort(),
    )
    expect(world.webhooks.told('everybody')).toEqual([])
  })
})

describe.concurrent('a route that rests at night in Vienna', () => {
  it.for([
    // From 22:00 to 06:00 it is seven hours in spring, and nine in autumn.
    { name: 'spring', night: Date.UTC(2026, 2, 28, 21), morning: Date.UTC(2026, 2, 29, 4) },
    { name: 'autumn', night: Date.UTC(2026, 9, 24, 20), morning: Date.UTC(2026, 9, 25, 5) },
  ])(
    'tells what began in the night of the change in $name at its first tick after it, and ends at once',
    async ({ night, morning }, { expect }) => {
      await using world = await startWorld()
      const clock = createManualClock(night - 10 * minute)
      const config = await nightlyConfig()
      const storage = await openSqlite({ path: join(world.folder, 'night.db') })
      world.defer(() => storage.close())
      const book = await openAlertBook(storage, { downMs: 0 })
      const messages: string[] = []
      const alerting = await openAlerting({
        config,
        integrations: [
          {
            ...{ receiver: 'on-call', kind: 'written', index: 0, sendResolved: true, minimumSpacingMs: 0 },
            async send({ reason, firing, resolved }) {
              const names = [...firing, ...resolved].map(({ labels }) => labels['alertname'])
              messages.push(
                `${new Date(clock.now()).toISOString().slice(11, 16)} ${reason}: ${names.join(' ')}`,
              )
              return { kind: 'ok' }
            },
            close: async () => {},
          },
        ],
        ...{ book, store: storage, clock },
        newId: () => crypto.randomUUID(),
        linkFor: async () => null,
        events: {
          dispatcher: {
            ...{ onAttempt() {}, onDelivered() {}, onFailure() {}, onWithheld() {}, onDropped() {} },
            onStorageError: (error) => {
              throw error
            },
          },
          onUnreadableSilence() {},
        },
      })
      const raise = createRaise(book, () => crypto.randomUUID())
      const change = async (alertname: string, holds: boolean) => {
        const subject = { kind: 'fleet', group: alertname } as const
        raise({ ruleId: `scenario/${alertname}`, subject, at: clock.now() }, holds, () => ({
          labels: { alertname },
          annotations: {},
          affected: { externalUserId: null, name: null, email: null, model: null },
        }))
        await book.commit()
      }
      const stop = new AbortController()
      const running = alerting.dispatcher.run(stop.signal)
      world.defer(async () => {
        stop.abort()
        await running
      })
      alerting.dispatcher.enable()

      await change('Evening', true)
      await clock.advance(11 * minute)
      expect(messages).toHaveLength(1)
      await change('Night', true)
      await change('Dream', true)
      // To both sides of the hour that is left out, or comes twice.
      for (let hour = 0; hour < 3; hour++) await clock.advance(60 * minute)
      await change('Evening', false)
      await change('Dream', false)
      await clock.advance(6 * minute)
      expect(messages.slice(1)).toEqual([expect.stringMatching(/^\d\d:\d\d all resolved: Evening$/)])
      await clock.advance(morning - minute - clock.now())
      expect(messages).toHaveLength(2)
      await clock.advance(10 * minute)
      const tick = new Date(morning).toISOString().slice(11, 14)
      expect(messages.slice(2)).toEqual([expect.stringMatching(`^${tick}0[0-5] first notification: Night$`)])
    },
  )
})

async function nightlyConfig() {
  const value = {
    partner: { base_url: 'https://partner.example/api/v2.0', token: 'x' },
    alerting: {
      route: {
        receiver: 'nobody',
        routes: [
          {
            matchers: ['alertname=~".+"'],
            receiver: 'on-call',
            group_by: ['alertname'],
            mute_time_intervals: ['night'],
            ...{ group_wait: '30s', group_interval: '5m', repeat_interval: '30d' },
          },
        ],
      },
      time_intervals: [
        {
          name: 'night',
          time_intervals: [
            {
              times: [
                { start_time: '22:00', end_time: '24:00' },
                { start_time: '00:00', end_time: '06:00' },
              ],
              location: 'Europe/Vienna',
            },
          ],
        },
      ],
      receivers: [{ name: 'nobody' }, { name: 'on-call' }],
    },
  }
  return parseConfig({
    file: 'fleetwarden.yaml',
    text: JSON.stringify(value),
    env: {},
    readFile: async () => '',
  })
}

describe.concurrent('a receiver that refuses everything for good', () => {
  it('is stood in for by the fallback, which is told the beginning and the end', async ({ expect }) => {
    await using world = await startRouting({
      rules: deviceRules,
      webhooks: ['main', 'fallback'],
      config: { notifications: { fallback_receiver: 'fallback' } },
      alerting: { route: alertsAtOnce },
    })
    await using running = await world.startApp()
    const [first, second] = [world.device(0), world.device(1)]
    world.webhooks.fail('main', 404)
    world.lose(first)
    await untilTold(world, running, { fallback: [`first notification: ${lost(first)}`] })
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(1)
    world.heal(first)
    await untilTold(world, running, {
      fallback: [`first notification: ${lost(first)}`, `all resolved: -${lost(first)}`],
    })
    await quiet(world, running)
    expect(world.webhooks.messages()).toHaveLength(2)

    world.webhooks.heal('main')
    world.lose(second)
    await until('the main one has it', () => world.webhooks.messages('main').length > 0)
    world.heal(second)
    await until('the main one has its end', () => world.webhooks.messages('main').length > 1)
    expect(world.webhooks.told('main')).toEqual([
      `first notification: ${lost(second)}`,
      `all resolved: -${lost(second)}`,
    ])
  })
})
