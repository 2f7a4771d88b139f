// What receivers can do to us, what a customer's data can do to a message, and a storm of alerts.

import { describe, type ExpectStatic, it, vi } from 'vitest'
import type { InboxMail } from '../../src/demo/mail-inbox.ts'
import { slackFaults } from '../../src/demo/slack-inbox.ts'
import {
  allTold,
  type ConfigParts,
  each,
  quiet,
  type RunningApp,
  root,
  startWorld,
  timesTold,
  toldBySlack,
  until,
  type World,
} from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const alertsAtOnce = { group_wait: '10s', group_interval: '1m' }

function startDelivering(options: { alerting?: ConfigParts; rules?: string } = {}): Promise<World> {
  const { rules, alerting = { route: alertsAtOnce } } = options
  return startWorld({
    factor: 120,
    config: { poll: { schedule: '* * * * *' }, alerting },
    ...(rules === undefined ? {} : { rules }),
  })
}

// The longest first, so that the others run beside it.
describe.concurrent('a manufacturer outage', () => {
  it('over 2,000 devices is a few messages, and one at first', async ({ expect }) => {
    const users = 334
    await using world = await startWorld({
      // A group's interval has to be longer than it takes to send a message about all of them.
      factor: 120,
      fleet: { users },
      config: {
        poll: { schedule: '*/3 * * * *', recheck_interval: '1h' },
        alerting: { route: { group_wait: '30s', group_interval: '6m' } },
        rules: [`${root}/rules/fleet.yaml`, 'rules.yaml'],
      },
    })
    const devices = Array.from({ length: users }, (_, user) => {
      for (let n = 0; n < 5; n++) world.fleet.addDevice(user, { type: 'heat_pump', at: world.clock.now() })
      return world.fleet.devices(user, 'heat_pump')
    }).flat()
    for (const device of devices) {
      const model = { device_model: { manufacturer: 'Stormwarm', model: 'One' } }
      world.fleet.changeDevice(device, model, world.clock.now())
    }
    expect(devices.length).toBeGreaterThanOrEqual(2_000)
    await using running = await world.startApp()
    const walks = async () => (await running.metrics()).value('fleet_polls_total', { outcome: 'complete' })
    await until('all of it was read', async () => (await walks()) >= 1)
    expect(allTold(world)).toEqual([])

    world.lose(...devices)
    const about = (receiver: string, ...words: string[]) =>
      allTold(world).filter(
        (told) => told.receiver === receiver && words.every((word) => told.title.includes(word)),
      )
    const everything = [`${devices.length} heat pumps (Stormwarm)`, 'DeviceLost']
    await until('everything is told to both', () =>
      receivers.every(
        (receiver) =>
          about(receiver, ...everything).length > 0 && about(receiver, 'ManufacturerOutage').length > 0,
      ),
    )
    await quiet(world, running, 370_000)
    for (const receiver of receivers) {
      const lost = about(receiver, 'DeviceLost')
      expect(lost.map(({ text }) => text.includes('First message about this.'))).toEqual(
        lost.map((_, index) => index === 0),
      )
      // While the first is sent, the walk goes on; whom it finds then comes with the next tick.
      expect(lost.length).toBeLessThanOrEqual(5)
      expect(about(receiver, ...everything)).toHaveLength(1)
      expect(about(receiver, 'ManufacturerOutage')).toHaveLength(1)
    }

    world.heal(...devices)
    await until('the end of all is told to both', () =>
      receivers.every((receiver) => about(receiver, 'DeviceLost').at(-1)?.state === 'resolved'),
    )
    await quiet(world, running, 370_000)
    for (const receiver of receivers) {
      const lost = about(receiver, 'DeviceLost')
      expect(lost.length).toBeLessThanOrEqual(10)
      expect(lost.filter(({ state }) => state === 'resolved')).toHaveLength(1)
    }
  })
})

describe.concurrent('while Slack is in trouble, nothing is lost and the others are on time: it', () => {
  it('answers 429 with Retry-After', async ({ expect }) => {
    await using world = await startDelivering()
    await using running = await world.startApp()
    world.slack.fail(slackFaults.rateLimited, 2)
    const startedAt = world.clock.now()
    world.lose(world.device(0))
    await until('Slack has it', () => world.slack.messages.total() === 1)
    // Twice thirty seconds, as it was told.
    expect(world.clock.now() - startedAt).toBeGreaterThanOrEqual(60_000)
    expect(world.slack.requests()).toBe(3)
    await healed(world, running, { expect })
  })

  it('answers 500 for a while', async ({ expect }) => {
    await using world = await startDelivering()
    await using running = await world.startApp()
    world.slack.fail(slackFaults.serverError)
    world.lose(world.device(0))
    await until('Slack refused it twice', () => world.slack.requests() >= 2)
    await until('the mail is there all the same', () => world.mail.messages.total() === 1)
    const metrics = await running.metrics()
    expect(metrics.value('fleet_notification_queue_length')).toBe(1)
    world.slack.heal()
    await until('Slack has it', () => world.slack.messages.total() === 1)
    await healed(world, running, { expect })
  })

  it('answers 404 for a while, as when its channel is gone: each tick tries anew', async ({ expect }) => {
    await using world = await startDelivering()
    await using running = await world.startApp()
    world.slack.fail(slackFaults.noService)
    world.lose(world.device(0))
    await until('two ticks tried', () => world.slack.requests() >= 2)
    await until('the mail is there all the same', () => world.mail.messages.total() === 1)
    expect(
      (await running.metrics()).value('fleet_notifications_total', { outcome: 'permanent' }),
    ).toBeGreaterThan(0)
    expect(running.logs.some(({ msg }) => msg.startsWith('Notification failed for good'))).toBe(true)
    world.slack.heal()
    await until('Slack has it', () => world.slack.messages.total() === 1)
    await healed(world, running, { expect })
  })

  it('takes the request and never answers', async ({ expect }) => {
    await using world = await startDelivering()
    await using running = await world.startApp()
    world.slack.fail(slackFaults.hang, 1)
    world.lose(world.device(0))
    await until('the mail is there all the same', () => world.mail.messages.total() === 1)
    expect(world.slack.messages.total()).toBe(0)
    await until('Slack has it', () => world.slack.messages.total() === 1)
    await healed(world, running, { expect })
  })

  it.for([
    { name: 'answered 500', fault: slackFaults.serverError },
    { name: 'asked for patience', fault: slackFaults.rateLimited },
  ])(
    '$name for ten minutes, in which an alert fired and ended: it is told once, as ended',
    async ({ fault }, { expect }) => {
      await using world = await startDelivering()
      await using running = await world.startApp()
      world.slack.fail(fault)
      world.lose(world.device(0))
      const startedAt = world.clock.now()
      await until('the mail tells the beginning', () => world.mail.messages.total() === 1)
      world.heal(world.device(0))
      await until('the mail tells the end', () => world.mail.messages.total() === 2)
      await until('ten minutes have passed', () => world.clock.now() - startedAt > 600_000)
      expect((await running.metrics()).value('fleet_notification_queue_length')).toBe(1)
      world.slack.heal()
      await until('Slack has it', () => world.slack.messages.total() >= 1)
      await quiet(world, running)
      const slack = world.slack.messages.items().map(toldBySlack)
      expect(slack.map(({ state }) => state)).toEqual(['resolved'])
      expect(slack[0]?.text).toContain('It fired and ended before a message about it could be delivered.')
      expect(timesTold(world, world.device(0).id).mail).toEqual({ firing: 1, resolved: 1 })
    },
  )
})

describe.concurrent('while the mail server is in trouble, nobody is forgotten or told twice: it', () => {
  const to = 'first@example.com, second@example.com'
  const receivers = [{ name: 'on-call', slack_configs: [{}], email_configs: [{ to }] }]
  const two = { alerting: { route: alertsAtOnce, receivers } }

  it('refuses one of two recipients for good', async ({ expect }) => {
    await using world = await startDelivering(two)
    await using running = await world.startApp()
    world.mail.refuse('second@example.com')
    world.lose(world.device(0))
    await until('both receivers have it', () => isTold(world, each(1, 0)))
    await quiet(world, running)
    expect(world.mail.messages.items().map(({ recipients }) => recipients)).toEqual([['first@example.com']])
    expect(running.logs.some(({ msg }) => msg === 'Recipients refused for good')).toBe(true)
    await healed(world, running, { expect })
  })

  it('greylists one of two recipients: only that one is tried again', async ({ expect }) => {
    await using world = await startDelivering(two)
    await using running = await world.startApp()
    world.mail.greylist('second@example.com', 2)
    world.lose(world.device(0))
    await until('both have it', () => recipientsOf(world.mail.messages.items()).length === 2)
    await quiet(world, running)
    expect(recipientsOf(world.mail.messages.items())).toEqual(['first@example.com', 'second@example.com'])
    world.heal(world.device(0))
    await until('both know the end', () => recipientsOf(world.mail.messages.items()).length === 4)
    expect(timesTold(world, world.device(0).id).slack).toEqual({ firing: 1, resolved: 1 })
  })

  it.for([
    { name: 'and forgets the mail', keep: false, copies: 1 },
    { name: 'although it has the mail', keep: true, copies: 2 },
  ])('breaks the connection after DATA, $name', async ({ keep, copies }, { expect }) => {
    await using world = await startDelivering()
    await using running = await world.startApp()
    world.mail.breakAfterData({ times: 1, keep })
    world.lose(world.device(0))
    await until('the mail is there', () => world.mail.messages.total() === copies)
    await quiet(world, running)
    const mails = world.mail.messages.items()
    expect(mails).toHaveLength(copies)
    // So that mail systems recognise the second one as a copy.
    expect(new Set(mails.map(({ messageId }) => messageId)).size).toBe(1)
    expect(timesTold(world, world.device(0).id).slack).toEqual({ firing: 1, resolved: 0 })
    world.heal(world.device(0))
    await until('the end is told', () => world.mail.messages.total() === copies + 1)
  })
})

describe.concurrent('what stands in the data of a customer', () => {
  it('reaches people as text: mentions, markup, line breaks and 10 kB of emoji in names', async ({
    expect,
  }) => {
    await using world = await startDelivering({
      rules: `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        labels: {severity: critical, model: "{{ device.model }}"}
        annotations:
          summary: "lost: {{ device.id }} {{ device.manufacturer }} of {{ user.first_name }}"
          description: "{{ device.model }} {{ user.external_user_id }}"
`,
      alerting: {
        route: { ...alertsAtOnce, group_by: ['alertname'] },
        receivers: [
          {
            name: 'on-call',
            slack_configs: [{ show_personal_data: true }],
            email_configs: [{ to: 'on-call@example.com', show_personal_data: true }],
          },
        ],
      },
    })
    await using running = await world.startApp()
    const nasty = [
      '<!channel> <@U123> <https://evil.example|click> *b* `c`',
      '"><script>alert(1)</script><img src=x onerror=alert(1)>',
      'a\r\nBcc: victim@example.com\r\n\r\n.\r\nMAIL FROM:<x@y.z>',
      '😱'.repeat(2_500),
    ]
    for (const [user, name] of nasty.entries()) {
      const device = world.device(user)
      const at = world.clock.now()
      world.fleet.changeDevice(device, { device_model: { manufacturer: name, model: name } }, at)
      world.fleet.changeUser(user, { first_name: name, last_name: name, external_user_id: name })
      world.lose(device)
    }
    await until('all four are told', () =>
      nasty.every((_, user) => isTold(world, each(1, 0), world.device(user).id)),
    )
    await quiet(world, running)
    expect((await running.metrics()).value('fleet_notifications_total', { outcome: 'permanent' })).toBe(0)
    expect(running.logs.filter(({ msg }) => msg.startsWith('Slack refused the layout'))).toEqual([])

    const slack = world.slack.messages.items().map((message) => toldBySlack(message).text)
    // All that Slack acts upon is in angle brackets; we write links and dates.
    for (const text of slack) expect(text).not.toMatch(/<(?!http:\/\/127\.0\.0\.1:|!date\^)/)
    expect(slack.join()).toContain('&lt;!channel&gt;')
    expect(slack.join()).toContain('😱😱😱')

    const mails = world.mail.messages.items()
    for (const { recipients, headers, subject, html, text } of mails) {
      expect(recipients).toEqual(['on-call@example.com'])
      expect(headers.map(({ name }) => name.toLowerCase())).not.toContain('bcc')
      expect(subject).not.toMatch(/[\r\n]/)
      expect(html).not.toMatch(/<script|<img/i)
      expect(text).not.toMatch(/^(?:Bcc|MAIL FROM)/m)
    }
    expect(mails.map(({ html }) => html).join()).toContain('&lt;script&gt;')
    expect(mails.map(({ text }) => text).join()).toContain('a Bcc: victim@example.com')
    expect(mails.map(({ text }) => text).join()).toContain('😱😱😱')
  })
})

const receivers = ['slack', 'mail'] as const

/** Heals the first device, and checks that both receivers know of exactly one break with its end. */
async function healed(
  world: World,
  running: RunningApp,
  { expect }: { expect: ExpectStatic },
): Promise<void> {
  await until('it is told as firing', () => isTold(world, each(1, 0)))
  world.heal(world.device(0))
  await until('its end is told', () => isTold(world, each(1, 1)))
  await quiet(world, running)
  expect(timesTold(world, world.device(0).id)).toEqual(each(1, 1))
  expect((await running.metrics()).value('fleet_notification_queue_length')).toBe(0)
}

function isTold(world: World, expected: ReturnType<typeof each>, text = world.device(0).id): boolean {
  return JSON.stringify(timesTold(world, text)) === JSON.stringify(expected)
}

function recipientsOf(mails: readonly InboxMail[]): string[] {
  return mails.flatMap(({ recipients }) => recipients)
}
