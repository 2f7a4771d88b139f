// Links over HTTP, as people and programs meet them: those that open every link of a mail before it is
// delivered, and those who open one that has ended.

import { describe, expect, it } from 'vitest'
import { type RunningApp, slackText, startWorld, story, until, type World } from './harness.ts'

const publicUrl = 'http://fleet.example.com'
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

/** Three devices that were lost and told of, each with its link. */
async function lostWorld(): Promise<World> {
  const world = await startWorld({
    factor: 60,
    rules,
    fleet: { users: 6 },
    config: {
      http: { public_url: publicUrl },
      links: { signing_key: '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b' },
      poll: { schedule: '0 0 1 1 *', recheck_interval: '1h' },
      alerting: { route: { group_by: ['...'], group_wait: '0s', group_interval: '1s' } },
    },
  })
  world.lose(world.device(0), world.device(1), world.device(2))
  return world
}

/** The addresses of all links in all mails, as they are reached here. */
async function linksInMail(world: World, app: RunningApp): Promise<readonly string[]> {
  await until('three mails arrive', () => world.mail.messages.items().length >= 3, {
    detail: () => story(world, app.logs),
  })
  const texts = world.mail.messages.items().map(({ html, text }) => `${html} ${text}`)
  const paths = texts.flatMap((text) => [...text.matchAll(/\/r\/[\w.-]+/g)].map(([path]) => path))
  return [...new Set(paths)].map((path) => app.url + path)
}

async function answerOf(url: string, method = 'GET') {
  const response = await fetch(url, { method, redirect: 'manual' })
  const headers = [...response.headers].filter(([name]) => name !== 'date')
  return { status: response.status, headers, body: await response.text() }
}

describe('the links of a mail', () => {
  it('survive a scanner that opens each and submits its form, and then lead a person to the end', async () => {
    await using world = await lostWorld()
    await using app = await world.startApp()
    const links = await linksInMail(world, app)
    expect(links).toHaveLength(3)
    for (let round = 0; round < 3; round++) {
      for (const link of links) {
        expect((await answerOf(link, 'HEAD')).status).toBe(200)
        expect((await answerOf(link)).status).toBe(200)
        expect((await answerOf(link, 'POST')).status).toBe(303)
      }
    }
    const minted = app.logs.filter(({ action, result }) => action === 'link.mint' && result === 'ok')
    expect(minted).toHaveLength(3)
    expect(await app.api.alerts('DeviceUnauthenticated')).toHaveLength(3)

    // A person: our page, its button, the partner's page, its button, and back.
    for (const link of links) {
      const pressed = await fetch(link, { method: 'POST', redirect: 'manual' })
      const atPartner = pressed.headers.get('location') ?? ''
      expect(new URL(atPartner).origin).toBe(world.simulator.origin)
      const back = (await fetch(atPartner, { method: 'POST', redirect: 'manual' })).headers.get('location')
      expect(back).toBe(`${publicUrl}${new URL(link).pathname}/back`)
      const page = await fetch(link.replace(/$/, '/back'), { headers: { 'accept-language': 'de' } })
      expect(await page.text()).toContain('<html lang="de">')
    }
    await until('all have resolved', async () => (await app.api.alerts('DeviceUnauthenticated')).length === 0)
    const resolved = () =>
      world.slack.messages
        .items()
        .filter((message) => /verified \d+s after reconnection/.test(slackText(message)))
    await until('everybody is told that it was verified', () => resolved().length === 3)

    // What lets somebody act is in the messages, and in nothing that is kept or counted.
    const trail = await (await fetch(`${app.url}/api/v1/audit`)).text()
    expect(trail).toContain('link.mint')
    const metrics = await (await fetch(`${app.url}/metrics`)).text()
    expect(metrics).toMatch(/fleet_link_visits_total\{stage="verified",manufacturer="[^"]+"\} [1-3]/)
    for (const link of links) {
      const token = new URL(link).pathname.slice('/r/'.length)
      for (const text of [trail, metrics, JSON.stringify(app.logs)]) expect(text).not.toContain(token)
    }
  })
})

describe('a link that was revoked', () => {
  it('is the same 404 as a forged one, whatever is asked of it', async () => {
    await using world = await lostWorld()
    await using app = await world.startApp()
    const [link = ''] = await linksInMail(world, app)
    expect((await answerOf(link)).status).toBe(200)
    for (const { fingerprint } of await app.api.alerts('DeviceUnauthenticated')) {
      const path = `${app.url}/api/v1/alerts/${fingerprint}/link`
      expect((await fetch(path, { method: 'DELETE' })).status).toBe(204)
      expect((await fetch(path, { method: 'DELETE' })).status).toBe(404)
    }
    const forged = `${link.slice(0, -4)}AAAA`
    for (const method of ['GET', 'POST', 'HEAD', 'PUT']) {
      for (const below of ['', '/back', '/progress', '/cancelled', '/unsubscribe']) {
        const revoked = await answerOf(link + below, method)
        expect(revoked.status).toBe(404)
        expect(revoked).toEqual(await answerOf(forged + below, method))
      }
    }
    const trail = await (await fetch(`${app.url}/api/v1/audit?action=link.revoke`)).text()
    expect(trail.trim().split('\n')).toHaveLength(12)
  })
})
