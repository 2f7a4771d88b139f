// Mail to owners from the real service, with a partner and a mail server on real sockets.

import { it, vi } from 'vitest'
import type { InboxMail } from '../../src/demo/mail-inbox.ts'
import { startWorld, until, type World } from './harness.ts'

vi.setConfig({ testTimeout: 90_000 })

const rules = `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        keep_firing_for: 5m
        self_service: true
        labels: {severity: warning, area: connection}
        annotations: {summary: "lost: {{ device.id }}"}
      - alert: ManufacturerOutage
        each: fleet
        count: "!device.is_authenticated"
        by: [manufacturer]
        expr: ratio > 0.9
        labels: {severity: critical, area: manufacturer}
        annotations: {summary: "outage of {{ group.manufacturer }}"}
`

async function startNeighbours(): Promise<World> {
  const world = await startWorld({ factor: 600, rules })
  await world.configure({
    poll: { schedule: '*/2 * * * *', recheck_interval: '10m' },
    http: { public_url: 'https://fleet.example.com' },
    links: { signing_key: 'a-signing-key-of-more-than-32-characters' },
    alerting: {
      route: {
        ...{ group_by: ['alertname'], group_wait: '10s', group_interval: '1m' },
        routes: [{ matchers: ['alertname="DeviceLost"'], receiver: 'owners' }],
      },
      receivers: [
        { name: 'on-call', webhook_configs: [{ url: world.webhooks.url('on-call') }] },
        {
          name: 'owners',
          owner_configs: [
            { after: '5m', escalate_after: '1h', quiet_hours: false, company: { name: 'Stadtwerke' } },
          ],
        },
      ],
    },
  })
  return world
}

const header = ({ headers }: InboxMail, name: string) =>
  headers.find((one) => one.name.toLowerCase() === name)?.value ?? ''

it.concurrent('writes to the owner of a lost device once, and to staff when nothing came of it', async ({
  expect,
}) => {
  await using world = await startNeighbours()
  const [lost, repaired] = [world.device(0), world.device(1)]
  // One maker each, or their loss would be an outage.
  for (const [n, device] of [lost, repaired].entries()) {
    const others = world.device(n + 2)
    for (const one of [device, others]) {
      world.fleet.changeDevice(
        one,
        { device_model: { manufacturer: `Maker${n}`, model: 'One' } },
        world.clock.now(),
      )
    }
  }
  world.lose(lost, repaired)
  await using running = await world.startApp()
  const mails = () => world.mail.messages.items()
  await until('both owners have mail', () => mails().length >= 2, {
    detail: () => running.logs.filter(({ level }) => level !== 'debug').slice(-20),
  })
  const addresses = new Set(mails().flatMap(({ recipients }) => recipients))
  expect(addresses.size).toBe(2)
  for (const mail of mails()) {
    expect(mail.from).toBe('"Fleetwarden" <fleet@example.com>')
    expect(mail.text).toMatch(/https:\/\/fleet\.example\.com\/r\/[\w.-]+\n/)
    expect(header(mail, 'list-unsubscribe')).toMatch(
      /^<https:\/\/fleet\.example\.com\/r\/[\w.-]+\/unsubscribe>$/,
    )
  }
  const { text } = await fetch(`${running.url}/api/v1/explain/${lost.id}`).then(async (response) => ({
    text: await response.text(),
  }))
  expect(text).toMatch(/was written to at .*; staff at .* if it still fires/)

  world.heal(repaired)
  const told = () =>
    world.webhooks.messages().filter(({ payload }) => JSON.stringify(payload).includes('OwnerDidNothing'))
  await until('staff is told of the other one', () => told().length >= 1)
  const alerts = told()[0]?.payload.alerts ?? []
  expect(alerts.map(({ labels }) => [labels['device_id'], labels['rule'], labels['area']])).toEqual([
    [lost.id, 'DeviceLost', 'connection'],
  ])
  world.heal(lost)
  await until('and of its end', () => told().some(({ payload }) => payload.status === 'resolved'))
  expect(mails()).toHaveLength(2)

  const scrape = await running.metrics()
  expect(scrape.value('fleet_owner_mails_total', { outcome: 'sent' })).toBe(2)
  expect(scrape.value('fleet_owner_handovers_total', { reason: 'no_answer' })).toBe(1)
  expect(scrape.value('fleet_owner_contacts', { state: 'subscribed' })).toBe(2)
  const logs = JSON.stringify(running.logs)
  for (const address of addresses) expect(logs).not.toContain(address)
  expect(logs).not.toContain('/r/')
})

it.concurrent('writes to nobody while their manufacturer has an outage', async ({ expect }) => {
  await using world = await startNeighbours()
  const devices = [0, 1, 2, 3].flatMap((user) => world.fleet.devices(user))
  for (const device of devices) {
    world.fleet.changeDevice(
      device,
      { device_model: { manufacturer: 'Maker', model: 'One' } },
      world.clock.now(),
    )
  }
  world.lose(...devices)
  await using running = await world.startApp()
  await until('each has been passed over for it', async () => {
    const scrape = await running.metrics()
    return scrape.value('fleet_owner_mails_total', { outcome: 'skipped_outage' }) >= devices.length
  })
  await world.clock.sleep(1_200_000)
  expect(world.mail.messages.total()).toBe(0)
})
