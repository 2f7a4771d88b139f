// The whole way of a link: from a broken device over the message, the button and the partner's page back to
// a message that says that it was verified.

import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { serviceActor } from '../../src/backoffice/audit-trail.ts'
import type { LinkDesk } from '../../src/links/link-desk.ts'
import type { SimulatedDevice } from '../../src/simulator/fleet.ts'
import {
  allTold,
  type ConfigParts,
  type RunningApp,
  slackText,
  startWorld,
  story,
  until,
  type World,
  type WorldOptions,
} from './harness.ts'

const publicUrl = 'https://fleet.example.com'
const key = '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b'
const rules = `
groups:
  - name: scenario
    rules:
      - alert: DeviceUnauthenticated
        expr: "!device.is_authenticated"
        for: 0s
        keep_firing_for: 10m
        labels: {severity: warning}
        annotations: {summary: "lost: {{ device.id }}"}
`
const visit = {
  actor: { kind: 'link', name: '', role: null, from: '192.0.2.7' },
  language: 'en',
} as const

function linkWorld(options: WorldOptions = {}, parts: ConfigParts = {}): Promise<World> {
  return startWorld({
    rules,
    ...options,
    config: {
      http: { public_url: publicUrl },
      links: { signing_key: key, success_url: 'https://portal.example.com/thanks' },
      // So that nothing but the return makes an alert resolve early.
      poll: { schedule: '0 0 1 1 *', recheck_interval: '1h' },
      alerting: { route: { group_by: ['...'], group_wait: '0s', group_interval: '1s' } },
      ...parts,
    },
  })
}

function deskOf({ app }: Pick<RunningApp, 'app'>): LinkDesk {
  if (app.links.desk === null) throw new Error('no desk')
  return app.links.desk
}

/** The token in the message at Slack about this device. */
function tokenFor(world: World, app: Pick<RunningApp, 'logs'>, { id }: SimulatedDevice): Promise<string> {
  return until(
    'a message carries the link',
    () => {
      const message =
        world.slack.messages
          .items()
          .map(slackText)
          .find((text) => text.includes(id)) ?? ''
      return /<https:\/\/fleet\.example\.com\/r\/([\w.-]+)\|Resolve>/.exec(message)?.[1]
    },
    { detail: () => story(world, app.logs) },
  )
}

async function pressed(desk: LinkDesk, token: string): Promise<string> {
  const outcome = await desk.start(token, visit)
  if (outcome?.kind !== 'redirect') throw new Error(`no redirect but ${JSON.stringify(outcome)}`)
  return outcome.url.reveal()
}

/** What a person does on the partner's page; where it leads afterwards. */
async function doneAtPartner(url: string): Promise<string | null> {
  const page = await fetch(url)
  expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<form')])
  return (await fetch(url, { method: 'POST', redirect: 'manual' })).headers.get('location')
}

describe('a link', () => {
  it.each(['heat_pump', 'electric_vehicle', 'inverter'] as const)(
    'of a %s leads to the partner and back, and the alert resolves at once',
    async (type) => {
      await using world = await linkWorld({ fleet: { users: 12 } })
      const device = Array.from({ length: 12 }, (_, n) => world.fleet.devices(n, type)[0]).find(
        (one) => one !== undefined,
      )!
      world.lose(device)
      await using app = await world.startApp()
      const token = await tokenFor(world, app, device)
      expect((await app.metrics()).text).toMatch(
        /fleet_link_visits_total\{stage="shown",manufacturer="[^"]+"\} 0\n/,
      )
      expect(await deskOf(app).look(token, { isShown: true })).toMatchObject({
        deviceType: type,
        manufacturer: device.manufacturer.name,
        progress: { kind: 'open' },
      })
      const url = await pressed(deskOf(app), token)
      expect(await doneAtPartner(url)).toBe(`${publicUrl}/r/${token}/back`)

      expect(await deskOf(app).returned(token)).toMatchObject({ progress: { kind: 'resolved' } })
      const told = await until(
        'everybody is told',
        () => {
          const ended = allTold(world).filter(({ state }) => state === 'resolved')
          return ended.length === 2 && ended
        },
        { detail: () => story(world, app.logs) },
      )
      for (const { text } of told) {
        expect(text).toMatch(/reconnected after \d+m?s, verified \ds after reconnection/)
      }
      const metrics = await app.metrics()
      const manufacturer = device.manufacturer.name
      for (const stage of ['shown', 'started', 'returned', 'verified']) {
        expect(metrics.value('fleet_link_visits_total', { stage, manufacturer }), stage).toBe(1)
      }
      expect(metrics.value('fleet_links_minted_total', { outcome: 'ok' })).toBe(1)
    },
  )

  it('opens what the API of the older shape gives', async () => {
    await using world = await linkWorld({ fleet: { shapes: 'old' } })
    world.lose(world.device(0))
    await using app = await world.startApp()
    const token = await tokenFor(world, app, world.device(0))
    const url = await pressed(deskOf(app), token)
    // It takes no address to come back to: the alert resolves as rechecks see it.
    expect(await doneAtPartner(url)).toBeNull()
    expect(await deskOf(app).returned(token)).toMatchObject({ progress: { kind: 'resolved' } })
  })

  it('leaves the session’s secret in no log, metric, database or message', async () => {
    await using world = await linkWorld({}, { log: { level: 'debug' } })
    world.lose(world.device(0))
    await using app = await world.startApp()
    const token = await tokenFor(world, app, world.device(0))
    const url = await pressed(deskOf(app), token)
    const secret = new URL(url).searchParams.get('secret') ?? ''
    expect(secret.length).toBeGreaterThan(20)
    await doneAtPartner(url)
    await deskOf(app).returned(token)
    const metrics = (await app.metrics()).text
    const messages = JSON.stringify([world.slack.messages.items(), world.mail.messages.items()])
    await app.stop()
    const logs = JSON.stringify(app.logs)
    expect(logs).toContain('link.mint')
    for (const text of [metrics, messages, logs]) expect(text).not.toContain(secret)
    // The link itself is in the messages alone.
    for (const text of [metrics, logs]) expect(text).not.toContain(token)
    const bytes = await readFile(world.databaseFile)
    expect([bytes.includes(secret), bytes.includes(token)]).toEqual([false, false])
  })

  it('works after the process that sent it was killed', async () => {
    await using world = await linkWorld()
    world.lose(world.device(0))
    const service = world.startService()
    const token = await tokenFor(world, service, world.device(0))
    await service.end('SIGKILL')
    await using app = await world.startApp()
    expect(await deskOf(app).look(token, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
    const url = await pressed(deskOf(app), token)
    // Stopped while the person is at the partner's.
    await app.stop()
    await doneAtPartner(url)
    await using later = await world.startApp()
    expect(await deskOf(later).returned(token)).toMatchObject({ progress: { kind: 'resolved' } })
  })

  it('follows a reload to other keys, and to other hosts', async () => {
    await using world = await linkWorld()
    world.lose(world.device(0))
    await using app = await world.startApp()
    const token = await tokenFor(world, app, world.device(0))
    const links = { signing_key_file: 'keys', allowed_hosts: ['*.podero.com'] }
    const partsWith = (change: ConfigParts) => ({
      http: { public_url: publicUrl },
      poll: { schedule: '0 0 1 1 *', recheck_interval: '1h' },
      alerting: { route: { group_by: ['...'], group_wait: '0s', group_interval: '1s' } },
      links: { ...links, ...change },
    })
    await writeFile(`${world.folder}/keys`, `${key.toUpperCase()}\n${key}\n`)
    await world.configure(partsWith({}))
    expect(await app.app.reload(serviceActor('test'))).toEqual({ ok: true })
    // The simulator is at this machine's address.
    expect(await deskOf(app).start(token, visit)).toMatchObject({ kind: 'refused_host' })
    await writeFile(`${world.folder}/keys`, `${key.toUpperCase()}\n`)
    expect(await app.app.reload(serviceActor('test'))).toEqual({ ok: true })
    expect(await deskOf(app).look(token, { isShown: false })).toBeNull()
    // A key that is too short changes nothing.
    await writeFile(`${world.folder}/keys`, 'short\n')
    expect(await app.app.reload(serviceActor('test'))).toMatchObject({ ok: false })
    expect(app.logs.some(({ host }) => host === new URL(world.simulator.url).host)).toBe(true)
  })

  it('is the partner’s own without a public URL', async () => {
    await using world = await linkWorld({}, { http: {}, links: undefined })
    world.lose(world.device(0))
    await using app = await world.startApp()
    expect(app.app.links.desk).toBeNull()
    const text = await until('a message arrives', () => world.slack.messages.items().map(slackText)[0])
    expect(text).toContain(`<${new URL(world.simulator.url).origin}/session/`)
    expect(text).toMatch(/valid until/)
  })

  it('says that the partner is away, and works when it is back', async () => {
    await using world = await linkWorld({}, { partner: { timeout: '500ms' } })
    world.lose(world.device(0))
    await using app = await world.startApp()
    const token = await tokenFor(world, app, world.device(0))
    const fault = world.simulator.faults.add({ kind: 'status', status: 503 })
    expect(await deskOf(app).start(token, visit)).toMatchObject({ kind: 'unavailable' })
    fault.off()
    await until('it works', async () => (await deskOf(app).start(token, visit))?.kind === 'redirect')
  })
})
