// The page of the whole service: from a message to the page, one alert's story, acknowledged, silenced,
// explained, resolved, over a restart, and forgotten.

import { it, vi } from 'vitest'
import { ask } from '../http/ask.ts'
import { allTold, type RunningApp, slackText, startWorld, story, until } from './harness.ts'

vi.setConfig({ testTimeout: 120_000 })

const config = {
  poll: { schedule: '* * * * *' },
  http: { public_url: 'https://fleet.example.com' },
  links: { signing_key: '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b', success_url: 'https://portal.example.com/' },
  alerting: { route: { group_by: ['alertname'], group_wait: '20s', group_interval: '1m' } },
}

function read(html: string): string {
  return html
    .replaceAll('<wbr>', '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replace(/\s+/g, ' ')
}

async function get({ url }: Pick<RunningApp, 'url'>, path: string) {
  const { status, body } = await ask(url, path, { headers: { accept: 'text/html', 'accept-language': 'en' } })
  return { status, body, text: read(body) }
}

async function post({ url }: Pick<RunningApp, 'url'>, path: string, values: Record<string, string> = {}) {
  const { status, body, headers } = await ask(url, path, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' },
    body: new URLSearchParams(values).toString(),
  })
  return { status, text: read(body), body, location: String(headers['location'] ?? '') }
}

it('goes with an alert from the message to its end', async ({ expect }) => {
  await using world = await startWorld({ factor: 60, fleet: { users: 14 }, config })
  const devices = Array.from({ length: 14 }, (_, user) => world.device(user))
  world.lose(...devices)
  let running = await world.startApp()

  // "and 4 more" leads to the page, which has them all.
  const more = await until(
    'a message says that there are more',
    () => {
      const texts = world.slack.messages.items().map(slackText).join('\n')
      return /<https:\/\/fleet\.example\.com(\/[^|>]*alertname=DeviceLost[^|>]*)\|/.exec(texts)?.[1]
    },
    { detail: () => story(world, running.logs) },
  )
  const list = await get(running, more.replaceAll('&amp;', '&'))
  expect(list.status).toBe(200)
  expect(list.text).toContain('14 alerts need somebody')
  expect(list.body.match(/class="row"/g)).toHaveLength(14)

  const [device] = devices
  const fingerprint = (await running.api.alerts('DeviceLost')).find(
    ({ labels }) => labels['device_id'] === device!.id,
  )!.fingerprint
  const path = `/alerts/${fingerprint}`
  const told = await until('the page says who was told', async () => {
    const page = await get(running, path)
    return /Told to on-call \(E-mail\): first message/.test(page.text) && page
  })
  expect(told.text).toMatch(/Told to on-call \(Slack\): first message .* It fired/)
  expect(told.text).toContain(`lost: ${device!.id}`)

  const explained = await get(running, `${path}/explain`)
  expect(explained.text).toContain('!device.is_authenticated true')
  expect(explained.text).toMatch(/"repeat" at .+ if nothing changes/)
  const link = await post(running, `${path}/link`)
  expect(link.body).toMatch(/href="https:\/\/fleet\.example\.com\/r\/[\w.-]+"/)

  expect(await post(running, `${path}/acknowledge`, { by: 'ada', comment: 'on it' })).toMatchObject({
    ...{ status: 303, location: `../../alerts/${fingerprint}` },
  })
  expect((await get(running, path)).text).toContain('ada looks after it')
  expect((await get(running, '/?state=acknowledged')).text).toContain('1 alert acknowledged')

  const silence = {
    ...{ matchers: `device_id="${devices[1]!.id}"`, duration: '4h', by: 'ada', comment: 'is replaced' },
  }
  expect((await post(running, '/silences/preview', silence)).text).toContain(
    'It would hold back 1 of 14 firing alerts',
  )
  expect((await post(running, '/silences', silence)).status).toBe(303)
  expect((await get(running, '/?state=held')).text).toContain('1 alert held back')
  expect((await get(running, '/silences')).text).toContain('is replaced by ada · ends in')
  expect((await get(running, '/silences')).text).toContain('holds back 1 alert')

  expect((await get(running, '/walks')).text).toContain('14 users')
  expect((await get(running, '/rules')).text).toMatch(/DeviceLost Critical .* 14 : DeviceLost 0 14 /)
  expect((await get(running, '/receivers')).text).toMatch(/on-call Slack Works .* E-mail Works/)
  // Who did it is in the trail, as for whoever asks the API.
  const trail = await (await fetch(`${running.url}/api/v1/audit?action=silence.set`)).text()
  expect(trail).toContain('is replaced')

  // What happened before a restart stays.
  await running.stop()
  running = await world.startApp()
  world.heal(...devices)
  const ended = await until(
    'its end was told',
    async () => {
      const page = await get(running, path)
      return /Its end was told to on-call \(Slack\): all of its group resolved/.test(page.text) && page
    },
    { detail: () => story(world, running.logs) },
  )
  expect(ended.text).toMatch(/It resolved .* Told to on-call \(Slack\): first message .* It fired/)
  expect(allTold(world).length).toBeGreaterThan(0)

  // Gone with the person, also from the file.
  const userId = /<dt>User<\/dt><dd><code>([^<]*)</.exec(ended.body)![1]!
  const forgotten = await fetch(`${running.url}/api/v1/forget`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: userId }),
  })
  const { parts } = (await forgotten.json()) as { parts: { name: string; count: number }[] }
  expect(parts.map(({ name }) => name)).toContain('history of alerts')
  expect((await get(running, path)).status).toBe(404)
  await running.stop()
})
