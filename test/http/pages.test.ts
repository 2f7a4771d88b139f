// The pages for the person on call, over HTTP: what they show, what their forms do, and to whom.

import { createHash } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AccessConfig } from '../../src/config.ts'
import { ApiError } from '../../src/http/api-error.ts'
import { endpoints } from '../../src/http/permissions.ts'
import { createManualClock } from '../manual-clock.ts'
import { hostileText } from '../notify/hostile.ts'
import { noon } from '../notify/sample.ts'
import { type Asked, ask } from './ask.ts'
import { type Scene, setScene } from './page-scene.ts'
import { type PageServer, startPageServer, walkOf } from './page-server.ts'

const nobody = { everybody: false, people: [], groups: [] }
const people: AccessConfig = {
  tokens: [
    {
      name: 'robot',
      role: 'viewer',
      hash: createHash('sha256').update('fwt_robot').digest('hex'),
      expiresAt: null,
    },
  ],
  proxy: {
    addresses: [{ address: '127.0.0.2', prefix: 32, family: 'ipv4' }],
    userHeader: 'x-forwarded-user',
    groupsHeader: null,
    roles: {
      viewer: { ...nobody, people: ['vera'] },
      operator: { ...nobody, people: ['otto'] },
      admin: nobody,
    },
  },
  metrics: 'public',
}

const clock = createManualClock(noon)
let server: PageServer
let scene: Scene

async function start(access: AccessConfig | null = null): Promise<void> {
  server = await startPageServer(clock, { access, publicUrl: 'https://fleet.example.com/watch' })
  scene = await setScene(server, noon)
}

beforeEach(() => start())
afterEach(() => server.close())

const browser = { accept: 'text/html', 'accept-language': 'en-GB,en;q=0.8' }
const get = (path: string, asked: Asked = {}) =>
  ask(server.url, path, { ...asked, headers: { ...browser, ...asked.headers } })

function post(
  path: string,
  values: Record<string, string>,
  headers: OutgoingHttpHeaders = {},
  from?: string,
) {
  return ask(server.url, path, {
    method: 'POST',
    headers: { ...browser, 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(values).toString(),
    ...(from === undefined ? {} : { from }),
  })
}

const alertPath = (alert: { fingerprint: string }, more = '') => `/alerts/${alert.fingerprint}${more}`
const as = (name: string) => ({ from: '127.0.0.2', headers: { 'x-forwarded-user': name } })

/** What a reader reads. */
function textOf(html: string): string {
  return html
    .replace(/<(?:head|style)[\s\S]*?<\/(?:head|style)>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
    .replace(/\s+/g, ' ')
}

function groupsOf(html: string): string[] {
  return [...html.matchAll(/<h2 id="g\d+">([\s\S]*?)<\/h2>/g)].map(([, title = '']) => textOf(title).trim())
}

describe('the first page', () => {
  it('shows what fires in its groups, the worst and newest on top', async () => {
    const { status, body } = await get('/')
    expect(status).toBe(200)
    expect(groupsOf(body).map((title) => title.replace(/ (?=\w+$)/, ': '))).toEqual([
      'Critical Device Unauthenticated: Daikin',
      'Critical Manufacturer Outage: Tesla',
      'Warning Optimisation Inactive: Fronius',
      'Warning Heat Pump State Stale: Bosch',
      'Info Contract Missing: Vaillant',
    ])
    const text = textOf(body)
    expect(text).toContain('13 alerts need somebody')
    expect(text).toContain('9 alerts · told to pager')
    expect(text).toContain('Daikin Altherma 3 heat pump customer K-4701 7 min ago 11:53 UTC')
    expect(text).toContain('All 9 of them')
    expect(text).toMatch(/Open 13 Acknowledged 1 Held back 2 Pending 1 All 17/)
  })

  it.each([
    ['state=acknowledged', ['Vaillant'], 'Acknowledged: ada'],
    ['state=held', ['SMA', 'Tesla'], 'Silenced'],
    ['state=pending', ['Device Unauthenticated'], 'nobody is told yet'],
    ['q=fronius+optimiser', ['Fronius'], 'Text: fronius optimiser'],
    ['q=K-4703', ['Daikin'], '1 alert needs somebody'],
    ['alertname=HeatPumpStateStale', ['Bosch'], 'Cannot be read'],
    ['manufacturer=Daikin', ['Daikin'], '9 alerts'],
    ['severity=info', ['Vaillant'], 'Recovering'],
    ['owner=K-4702', ['Daikin'], 'Customer: K-4702'],
    ['owner=00000000-0000-4000-8000-000000000002', ['Daikin'], 'customer K-4702'],
    ['filter=severity%3D~%22info%7Cwarning%22', ['Fronius', 'Bosch', 'Vaillant'], 'Labels:'],
    ['q=nothing+like+it', [], 'No alert in this state has what the filters ask for'],
  ])('shows those that %s asks for', async (query, groups, text) => {
    const { status, body } = await get(`/?${query}`)
    expect(status).toBe(200)
    expect(groupsOf(body).map((title) => title.split(' ').slice(1).join(' '))).toEqual(
      groups.map((end) => expect.stringMatching(new RegExp(`${end}$`))),
    )
    expect(textOf(body)).toContain(text)
  })

  it('says what a filter has wrong, and leaves it out', async () => {
    const { status, body } = await get(`/?filter=${encodeURIComponent('severity=~"("')}`)
    expect(status).toBe(200)
    expect(textOf(body)).toContain('This cannot be read, and was left out: "(" is no pattern that RE2 takes')
    expect(groupsOf(body)).toHaveLength(5)
  })

  it('takes any address for a page', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('q', 'state', 'page', 'filter', 'group', 'owner', 'edit', 'rule'),
        fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => text.isWellFormed()),
        async (name, value) => {
          expect((await get(`/?${name}=${encodeURIComponent(value)}`)).status).toBe(200)
        },
      ),
      { numRuns: 60 },
    )
    expect((await get('/?q=%ff')).status).toBe(400)
    expect(server.pageErrors).toEqual([])
  })

  it('shows a group alone, page by page', async () => {
    for (let n = 20; n < 99; n++) {
      const { labels } = scene.fleet
      server.alerting.add(n, { labels: { ...labels, n: String(n) }, fingerprint: `m${n}` })
    }
    const first = await get('/?manufacturer=Tesla')
    expect(groupsOf(first.body)).toHaveLength(1)
    expect(first.body.match(/class="row"/g)).toHaveLength(50)
    const next = /<a class="button quiet" rel="next" href="\.(\/[^"]*)"/.exec(first.body)?.[1] ?? ''
    const second = await get(next.replaceAll('&amp;', '&'))
    expect(second.body.match(/class="row"/g)).toHaveLength(30)
    expect(textOf(second.body)).toContain('Page 2 of 2')
    expect(textOf((await get('/?manufacturer=Tesla&page=99')).body)).toContain('Page 2 of 2')
    const whole = /<p class="more"><a href="\.(\/[^"]*)"/.exec((await get('/')).body)?.[1] ?? ''
    expect(groupsOf((await get(whole.replaceAll('&amp;', '&'))).body)).toHaveLength(1)
  })

  it.each([
    [{ recentWalks: [] }, 'odd', 'The fleet has not been read yet'],
    [{ recentWalks: [walkOf(noon, { outcome: 'partial', usersUnread: 7 })] }, 'odd', '7 users unread'],
    [{ recentWalks: [walkOf(noon, { outcome: 'failed' })] }, 'bad', 'The fleet could not be read'],
    [
      { waiting: { queued: 2, oldestAt: noon - 1, isDelivering: false } },
      'bad',
      'A receiver does not take messages 2 messages waiting',
    ],
    [{}, 'well', 'Fleet read 3 min ago 11:57 UTC 555 devices of 300 users'],
  ] as const)('says whether its quiet is to be believed: %j', async (changes, tone, text) => {
    server.alerting.book.clear()
    Object.assign(server.sources, changes)
    const { body } = await get('/')
    expect(body).toContain(`<section class="watch ${tone}"`)
    expect(textOf(body)).toContain(text)
    expect(body.includes('class="empty calm"')).toBe(tone === 'well')
  })
})

describe("an alert's page", () => {
  it('tells its story, the newest first', async () => {
    const { body } = await get(alertPath(scene.open))
    const [, story = ''] = /<ol class="story">([\s\S]*?)<\/ol>/.exec(body) ?? []
    expect([...story.matchAll(/<li[\s\S]*?<\/li>/g)].map(([event]) => textOf(event).trim())).toEqual([
      'Told to on-call (Slack): reminder 5 min ago 11:55 UTC · 3 times, last 1 min ago 11:59 UTC',
      'Told to on-call (E-mail): first message 6 min ago 11:54 UTC',
      'Told to on-call (Slack): first message 6 min ago 11:54 UTC',
      'It fired 7 min ago 11:53 UTC',
      'Its condition began to hold 22 min ago 11:38 UTC',
    ])
    expect(textOf(body)).toContain('Before that It resolved 5 h ago 07:00 UTC')
    expect(textOf(body)).not.toContain('Anna Muster')
  })

  it('says why nobody is told', async () => {
    const silenced = textOf((await get(alertPath(scene.silenced))).body)
    expect(silenced).toContain('Nobody is told at present')
    expect(silenced).toContain('manufacturer="SMA" by grace, until 15:00 UTC Firmware is rolled out tonight')
    const inhibited = (await get(alertPath(scene.inhibited))).body
    expect(textOf(inhibited)).toContain('Inhibited by ManufacturerOutage, Tesla electric vehicle')
    expect(inhibited).toContain(`href="../alerts/${scene.fleet.fingerprint}"`)
    server.sources.held.set(scene.open.fingerprint, 'mass change')
    expect(textOf((await get(alertPath(scene.open))).body)).toContain('Held since suspiciously much changed')
    const acknowledged = textOf((await get(alertPath(scene.acknowledged))).body)
    expect(acknowledged).toContain('ada looks after it just now 12:00 UTC , until 14:00 UTC')
  })

  it('is there for one that has ended, without anything to do about it', async () => {
    const { status, body } = await get(alertPath(scene.resolved))
    expect(status).toBe(200)
    expect(textOf(body)).toContain('Ended 4 min ago')
    expect(body).not.toMatch(/<form|\/acknowledge"|silences\/new/)
    expect((await post(alertPath(scene.resolved, '/acknowledge'), { by: 'ada' })).status).toBe(404)
  })

  it('is a page of its own kind where there is no such alert', async () => {
    const { status, body } = await get('/alerts/nothing')
    expect(status).toBe(404)
    expect(textOf(body)).toContain('This alert is gone')
  })

  it('explains', async () => {
    const text = textOf((await get(alertPath(scene.open, '/explain'))).body)
    expect(text).toContain('Rule DeviceUnauthenticated holds')
    expect(text).toContain('device.is_authenticated false')
    expect(text).toContain('"repeat" at 2026-11-23 16:00:00Z if nothing changes')
    expect((await get(alertPath(scene.silenced, '/explain'))).status).toBe(404)
  })

  it('shows the link that resolves it only when it is asked for', async () => {
    const page = await get(alertPath(scene.open))
    expect(page.body).not.toContain('/r/token')
    const { status, body } = await post(alertPath(scene.open, '/link'), {})
    expect(status).toBe(200)
    expect(body).toContain('<a class="button" href="https://fleet.example.com/r/token" rel="noreferrer">')
    expect(textOf(body)).toContain('Works until 13:00 UTC')
    server.sources.link = { url: 'javascript:alert(1)', validUntil: null }
    expect(textOf((await post(alertPath(scene.open, '/link'), {})).body)).toContain('There is no link')
  })
})

describe('a form', () => {
  it('acknowledges, and leads back', async () => {
    const { status, headers } = await post(alertPath(scene.open, '/acknowledge'), {
      by: 'Ada',
      comment: ' calling ',
      duration: '1d 2h',
    })
    expect([status, headers['location']]).toEqual([303, `../../alerts/${scene.open.fingerprint}`])
    expect(server.alerting.acknowledgements.get(scene.open.fingerprint)).toMatchObject({
      ...{ by: 'Ada', comment: 'calling', until: noon + 26 * 3_600_000 },
    })
    expect((await post(alertPath(scene.open, '/withdraw'), {})).status).toBe(303)
    expect(server.alerting.acknowledgements.has(scene.open.fingerprint)).toBe(false)
  })

  it('comes back as it was typed, with what is wrong at its field', async () => {
    const { status, body } = await post(alertPath(scene.open, '/acknowledge'), {
      by: ' ',
      comment: '"x" <b>',
      duration: 'soon',
    })
    expect(status).toBe(422)
    expect(body).toMatch(/<input[^>]*id="f-comment"[^>]*value="&quot;x&quot; &lt;b&gt;"/)
    expect(body).toMatch(/<input[^>]*id="f-duration"[^>]*aria-invalid="true"[^>]*value="soon"/)
    expect(body).toMatch(/<p class="wrong" id="f-duration-problem">\s*Write a duration/)
    expect(textOf(body)).toContain('2 fields to mend: Your name: This has to be filled in.')
  })

  const silence = {
    matchers: 'alertname="DeviceUnauthenticated"\r\nmanufacturer=~"Daikin|Vaillant"',
    duration: '4h',
    comment: 'roof work',
    by: 'Ada',
  }

  it('shows what a silence would match before it is set', async () => {
    const before = server.alerting.silenceMap.size
    const preview = await post('/silences/preview', { ...silence, early: 'yes' })
    expect(preview.status).toBe(200)
    expect(textOf(preview.body)).toContain('It would hold back 10 of 16 firing alerts')
    expect(textOf(preview.body)).toContain('That is more than half of all that fires')
    expect(server.alerting.silenceMap.size).toBe(before)

    const [, form = ''] =
      /<form method="post" action="\.\.\/silences">([\s\S]*?)<\/form>/.exec(preview.body) ?? []
    const values = Object.fromEntries(
      [...form.matchAll(/name="(\w+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [
        name,
        value.replaceAll('&quot;', '"').replaceAll('&amp;', '&'),
      ]),
    )
    const { status, headers } = await post('/silences', values)
    const [, id = ''] = /^\.\/silences#s-(.*)$/.exec(headers['location'] as string) ?? []
    expect(status).toBe(303)
    expect(server.alerting.silenceMap.get(id)).toMatchObject({
      ...{ createdBy: 'Ada', comment: 'roof work', startsAt: noon, endsAt: noon + 4 * 3_600_000 },
      annotations: { expire_when: 'resolved' },
      matchers: [
        { name: 'alertname', operator: '=', value: 'DeviceUnauthenticated' },
        { name: 'manufacturer', operator: '=~', value: 'Daikin|Vaillant' },
      ],
    })
  })

  it.each([
    [{ matchers: '' }, 'f-matchers-problem', 'This has to be filled in'],
    [{ matchers: '{}' }, 'f-matchers-problem', 'Write at least one matcher'],
    [{ matchers: 'severity=~"("' }, 'f-matchers-problem', 'is no pattern that RE2 takes'],
    [{ matchers: 'a' }, 'f-matchers-problem', 'expected =, !=, =~ or !~'],
    [{ duration: '0' }, 'f-duration-problem', 'Write a duration'],
    [{ starts: 'tomorrow' }, 'f-starts-problem', 'Write a date and a time'],
    [{ starts: '2026-11-23T06:00' }, 'f-starts-problem', 'That is over already'],
    [{ comment: '' }, 'f-comment-problem', 'This has to be filled in'],
    [{ comment: 'x'.repeat(4_097) }, 'f-comment-problem', 'At most 4,096 characters'],
  ])('refuses a silence with %j', async (changes, field, problem) => {
    const before = server.alerting.silenceMap.size
    for (const path of ['/silences/preview', '/silences']) {
      const { status, body } = await post(path, { ...silence, ...changes })
      expect(status).toBe(422)
      const [, told = ''] = new RegExp(`id="${field}">([\\s\\S]*?)</p>`).exec(body) ?? []
      expect(textOf(told)).toContain(problem)
    }
    expect(server.alerting.silenceMap.size).toBe(before)
  })

  it('says what the service itself refuses', async () => {
    const { status, body } = await post('/silences', { ...silence, matchers: 'alertname=~".*"' })
    expect(status).toBe(422)
    expect(textOf(body)).toContain(
      'It cannot be set so: at least one matcher must not match the empty string',
    )
  })

  it('begins with what an alert has in common with others', async () => {
    const { open, fleet } = scene
    const matchers = async (query: string) => {
      const { body } = await get(`/silences/new?${query}`)
      return /<textarea[^>]*>\n?([\s\S]*?)<\/textarea>/.exec(body)?.[1]?.replaceAll('&quot;', '"')
    }
    const device = open.labels['device_id']
    expect(await matchers(`alert=${open.fingerprint}`)).toBe(
      `alertname="DeviceUnauthenticated"\ndevice_id="${device}"`,
    )
    expect(await matchers(`alert=${open.fingerprint}&scope=device`)).toBe(`device_id="${device}"`)
    expect(await matchers(`alert=${open.fingerprint}&scope=manufacturer`)).toContain('manufacturer="Daikin"')
    expect(await matchers(`alert=${fleet.fingerprint}&scope=device`)).toContain(
      'alertname="ManufacturerOutage"',
    )
    expect(await matchers(`silence=${scene.silenceId}`)).toContain('manufacturer="SMA"')
  })

  it('changes the end of a silence, and ends it', async () => {
    const { silenceId } = scene
    expect((await get(`/silences/${silenceId}/extend`)).status).toBe(200)
    expect((await post(`/silences/${silenceId}/extend`, { duration: 'long' })).status).toBe(422)
    const { headers } = await post(`/silences/${silenceId}/extend`, { duration: '1d' })
    expect(headers['location']).toBe(`../../silences#s-${silenceId}`)
    expect(server.alerting.silenceMap.get(silenceId)).toMatchObject({
      ...{ endsAt: noon + 24 * 3_600_000, comment: 'Firmware is rolled out tonight, ticket 4711' },
    })
    expect((await post(`/silences/${silenceId}/expire`, {})).status).toBe(303)
    expect(server.alerting.silenceMap.get(silenceId)?.endsAt).toBe(noon)
    expect((await post('/silences/nothing/expire', {})).status).toBe(404)
    expect((await post('/silences/nothing/extend', { duration: '1h' })).status).toBe(404)
  })

  it('says that nothing was changed where that cannot be recorded', async () => {
    server.alerting.acknowledge = () => Promise.reject(new ApiError(503, 'the audit trail cannot be written'))
    const { status, body } = await post(alertPath(scene.open, '/acknowledge'), { by: 'ada' })
    expect(status).toBe(503)
    expect(textOf(body)).toContain('Nothing was changed. Reason: the audit trail cannot be written')
    expect(server.pageErrors).toEqual([])
  })

  it('fails on a page, with a line in the log', async () => {
    server.sources.linkFor = () => Promise.reject(new Error('secret'))
    const { status, body } = await post(alertPath(scene.open, '/link'), {})
    expect([status, body.includes('secret')]).toEqual([500, false])
    expect(server.pageErrors).toMatchObject([{ path: alertPath(scene.open, '/link') }])
  })

  it('has to be one, and of some size', async () => {
    const json = { 'content-type': 'application/json' }
    const path = alertPath(scene.open, '/acknowledge')
    expect((await post(path, { by: 'x' }, json)).status).toBe(400)
    const { status, body } = await post(path, { by: 'x', comment: 'y'.repeat(70_000) })
    expect([status, textOf(body).includes('This is too much')]).toEqual([413, true])
  })

  it.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 303],
  ])('sent with %j is answered with %i', async (headers, expected) => {
    const { status, body } = await post(`/silences/${scene.silenceId}/expire`, {}, headers)
    expect(status).toBe(expected)
    if (expected === 403) expect(textOf(body)).toContain('Not from here')
    expect(server.alerting.silenceMap.get(scene.silenceId)?.endsAt === noon).toBe(expected === 303)
  })
})

describe('how the watcher fares', () => {
  it('shows walks with what could not be read', async () => {
    const text = textOf((await get('/walks')).body)
    expect(text).toContain('Complete 3 min ago 11:57 UTC took 20s 300 users, 555 devices')
    expect(text).toContain('unread: 12 users, 3 devices')
    expect(text).toContain('12 lists of devices: no answer in time no answer within 10s')
    server.sources.recentWalks = []
    expect(textOf((await get('/walks')).body)).toContain('No walk yet')
  })

  it('shows rules, those that fail first', async () => {
    const { body } = await get('/rules')
    const rows = [...body.matchAll(/<tr role="row"><th role="rowheader"[\s\S]*?<\/tr>/g)].map(([row]) =>
      textOf(row.replaceAll('<wbr>', '')).trim(),
    )
    expect(rows.map((row) => row.split(' ')[0])).toEqual([
      ...['HouseTooCold', 'DeviceUnauthenticated', 'OptimisationInactive', 'ManufacturerOutage'],
      ...['ContractMissing', 'Watchdog'],
    ])
    expect(rows[0]).toMatch(/fails for 17$/)
    expect(rows[1]).toContain('heat pump, inverter 15m ends after 10m 10 : DeviceUnauthenticated 1 :')
    expect(rows[1]).toMatch(/41 7 min ago 11:53 UTC ok unknown for 4: a field has no value$/)
  })

  it('shows receivers with their last result', async () => {
    const text = textOf((await get('/receivers')).body)
    expect(text).toContain('Slack Works last attempt 6 min ago')
    expect(text).toContain(
      'E-mail Failed, is tried again last attempt 1 min ago 11:59 UTC 421 try again later (3 attempts)',
    )
    expect(text).toContain('Webhook 2 Refused for good')
    expect(text).toContain('PagerDuty Nothing was sent since the start')
    expect(text).toContain('nobody It reaches nobody')
  })

  it('shows silences with what they hold back', async () => {
    const text = textOf((await get('/silences')).body)
    expect(text).toContain('by grace · ends in 3 h 15:00 UTC holds back 1 alert Change its end')
    expect(text).toContain('Not begun yet 1')
    expect(text).toContain('Was a false alarm by grace · ended just now')
  })
})

describe('who sees what', () => {
  beforeEach(async () => {
    await server.close()
    await start(people)
  })

  it('offers a viewer nothing that changes anything', async () => {
    for (const path of ['/', alertPath(scene.open), alertPath(scene.acknowledged), '/silences']) {
      const { status, body } = await get(path, as('vera'))
      expect(status).toBe(200)
      expect(body).not.toMatch(/method="post"|\/acknowledge"|silences\/new|\/extend"/)
      expect(textOf(body)).toContain('vera, viewer')
    }
    const operator = (await get(alertPath(scene.open), as('otto'))).body
    expect(operator).toMatch(/\/acknowledge"[\s\S]*silences\/new/)
  })

  it('does what an operator says under their own name', async () => {
    const { headers, from } = as('otto')
    const own = { ...headers, origin: 'https://fleet.example.com', host: 'fleet.example.com' }
    const form = (await get(alertPath(scene.open, '/acknowledge'), as('otto'))).body
    expect(form).not.toContain('name="by"')
    await post(alertPath(scene.open, '/acknowledge'), { by: 'the chief', comment: '' }, own, from)
    expect(server.alerting.acknowledgements.get(scene.open.fingerprint)?.by).toBe('otto')
    const silence = { matchers: 'a="b"', duration: '1h', comment: 'c', by: 'the chief' }
    expect((await post('/silences', silence, own, from)).status).toBe(303)
    expect([...server.alerting.silenceMap.values()].at(-1)?.createdBy).toBe('otto')
  })

  it.each([
    ['nobody', {}, 401, 'Who are you?'],
    ['somebody without a role', as('eve'), 403, 'You may not do this'],
    ['a viewer', as('vera'), 403, 'Your role does not allow it'],
  ])('tells %s in a browser how to get in', async (_, who, status, text) => {
    const answer = await get(alertPath(scene.open, '/acknowledge'), who)
    expect(answer.status).toBe(status)
    expect(textOf(answer.body)).toContain(text)
    expect(answer.headers['content-security-policy']).toContain("style-src 'self'")
    expect(answer.body).not.toContain('K-4701')
    const german = await get('/', { headers: { 'accept-language': 'de' } })
    expect(german.body).toContain('<html lang="de">')
  })

  it('tells programs as before', async () => {
    const plain = await ask(server.url, '/')
    expect([plain.status, plain.headers['content-type']]).toEqual([401, 'text/plain; charset=UTF-8'])
    const api = await get('/api/v2/alerts')
    expect(JSON.parse(api.body)).toMatch(/^this needs an access token/)
    const withToken = await get('/', { headers: { authorization: 'Bearer fwt_robot' } })
    expect(withToken.status).toBe(200)
  })
})

describe('every page', () => {
  const pagePaths = () => [
    ...['/', '/?state=all', '/?edit=filter', '/silences', '/silences/new', '/walks', '/rules', '/receivers'],
    ...[alertPath(scene.open), alertPath(scene.open, '/explain'), alertPath(scene.open, '/acknowledge')],
    ...[`/silences/${scene.silenceId}/extend`, '/alerts/nothing'],
  ]

  it('may load its style sheet and nothing else, and stands in no frame', async () => {
    for (const path of pagePaths()) {
      const { headers, body } = await get(path)
      expect(headers).toMatchObject({
        'content-security-policy':
          "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        'referrer-policy': 'same-origin',
        'cache-control': 'no-store',
        'x-frame-options': 'DENY',
        'x-content-type-options': 'nosniff',
      })
      expect(body).not.toMatch(/<script|<style|\sstyle=|\son\w+=|javascript:/i)
      const sheet = /href="((?:\.\.?\/)+assets\/[^"]+)"/.exec(body)?.[1] ?? ''
      const css = await get(new URL(sheet, `http://x${path}`).pathname)
      expect([css.status, css.headers['content-type']]).toEqual([200, 'text/css; charset=utf-8'])
      expect(css.headers['cache-control']).toBe('public, max-age=31536000, immutable')
    }
    expect((await get('/assets/page-0.css')).status).toBe(404)
  })

  it('leads only to addresses that are there, relative ones', async () => {
    const seen = new Set<string>()
    for (const path of pagePaths()) {
      const { body } = await get(path)
      for (const [, href = ''] of body.matchAll(/(?:href|action)="([^"]*)"/g)) {
        if (/^https?:|^#/.test(href)) continue
        expect(href).toMatch(/^\.\.?\//)
        const target = new URL(href.replaceAll('&amp;', '&'), `http://x${path}`)
        seen.add(
          target.pathname
            .replace(/(?<=\/(?:alerts|silences)\/)(?!new|preview)[^/]+/, ':x')
            .replace(/(?<=\/assets\/).*/, ':x'),
        )
      }
    }
    const known = endpoints.map(({ name }) => name.replace(/^\w+ /, '').replace(/:\w+/, ':x'))
    expect([...seen].filter((path) => !known.includes(path))).toEqual([])
    expect(seen.size).toBeGreaterThan(12)
  })

  it('speaks the language that the browser asks for, or the one that was chosen', async () => {
    const german = await get('/rules', { headers: { 'accept-language': 'de-AT,de;q=0.9,en;q=0.8' } })
    expect(german.headers['content-language']).toBe('de')
    expect(german.body).toContain('<html lang="de">')
    expect(textOf(german.body)).toContain('Woran die Flotte gemessen wird')
    const french = await get('/rules', { headers: { 'accept-language': 'fr' } })
    expect(french.headers['content-language']).toBe('en')

    const chosen = await get('/?language=de&q=a%20b')
    expect([chosen.status, chosen.headers['location']]).toEqual([303, './?q=a+b'])
    const cookie = String(chosen.headers['set-cookie'])
    expect(cookie).toMatch(/^fleetwarden_language=de; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Lax$/)
    const after = await get('/', { headers: { cookie: 'fleetwarden_language=de' } })
    expect(after.body).toContain('<html lang="de">')
    const deep = await get(alertPath(scene.open, '?language=en'))
    expect(deep.headers['location']).toBe(`./${scene.open.fingerprint}`)
  })

  it('reloads by itself unless it has a form on it or somebody stopped that', async () => {
    const refresh = async (path: string, headers = {}) => (await get(path, { headers })).headers['refresh']
    for (const path of ['/', '/silences', '/walks', '/rules', '/receivers', alertPath(scene.open)]) {
      expect(await refresh(path)).toBe('30')
      expect(await refresh(path, { cookie: 'fleetwarden_live=off' })).toBeUndefined()
    }
    for (const path of ['/?edit=filter', '/silences/new', alertPath(scene.open, '/acknowledge')]) {
      expect(await refresh(path)).toBeUndefined()
    }
    const off = await get('/walks?live=off')
    expect([off.status, off.headers['location']]).toEqual([303, './walks'])
    expect(off.headers['set-cookie']).toEqual([expect.stringContaining('fleetwarden_live=off')])
  })

  it('shows nothing of what others wrote as anything but text', async () => {
    const template = server.alerting.silenceMap.get(scene.silenceId)!
    await fc.assert(
      fc.asyncProperty(hostileText, async (text) => {
        const { alerting, sources } = server
        alerting.book.clear()
        alerting.silenceMap.clear()
        const print = 'a1'
        alerting.add(1, {
          fingerprint: print,
          labels: { alertname: text, severity: text, manufacturer: text, [text]: text },
          annotations: { summary: text, description: text, runbook_url: text },
          affected: { externalUserId: text, name: text, email: text, model: text },
        })
        alerting.acknowledgements.set(print, {
          ...{ fingerprint: print, episode: 'e1', by: text, comment: text, at: noon, until: null },
        })
        alerting.silenceMap.set('s1', {
          ...template,
          id: 's1',
          matchers: [{ name: text, operator: '=', value: text, test: () => true }],
          createdBy: text,
          comment: text,
        })
        sources.pageReceivers = [{ name: text, integrations: [] }]
        sources.recentWalks = [
          walkOf(noon, { unread: [{ what: 'user', reason: 'malformed', count: 1, problem: text }] }),
        ]
        // More than fits into an address, or a form, is refused as such.
        const typed = text.slice(0, 200).toWellFormed()
        const q = encodeURIComponent(typed)
        const pages = await Promise.all([
          ...[
            '/',
            `/?q=${q}&edit=filter&alertname=${q}&filter=${q}`,
            `/?state=all&owner=${q}`,
            '/silences',
          ].map((path) => get(path)),
          ...['/receivers', '/walks', '/alerts/a1', '/silences/new?alert=a1', '/silences/s1/extend'].map(
            (path) => get(path),
          ),
          post('/silences/preview', {
            matchers: typed,
            comment: typed,
            by: typed,
            duration: typed,
            starts: typed,
          }),
          post('/alerts/a1/acknowledge', { by: '', comment: typed, duration: typed }),
        ])
        for (const { status, body } of pages) {
          expect([200, 422]).toContain(status)
          expect(strayTags(body)).toEqual([])
          // What somebody typed stays in its field as it is.
          const read = body.replace(/ value="[^"]*"|<textarea[\s\S]*?<\/textarea>/g, '')
          expect(read).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/)
        }
      }),
      { numRuns: 40 },
    )
    expect(server.pageErrors).toEqual([])
  })
})

const ownTags =
  'a article b body br button code dd details div dl dt footer form h1 h2 h3 head header html input label li link main meta nav ol option p section select span summary table tbody td textarea th thead time title tr ul wbr'
const ownAttributes =
  'action aria-current aria-describedby aria-hidden aria-invalid aria-label aria-labelledby aria-required autocomplete autofocus charset checked class content data-label datetime for href hreflang id lang method name novalidate rel role rows scope selected spellcheck tabindex title type value'

/** Tags, attributes and addresses that no page of ours has. */
function strayTags(html: string): string[] {
  const stray: string[] = []
  for (const [, name = '', attributes = ''] of html.matchAll(
    /<\/?([a-z0-9]+)((?:\s+[\w-]+(?:="[^"]*")?)*)\s*>/gi,
  )) {
    if (!ownTags.split(' ').includes(name.toLowerCase())) stray.push(name)
    for (const [, attribute = '', value = ''] of attributes.matchAll(/([\w-]+)(?:="([^"]*)")?/g)) {
      if (!ownAttributes.split(' ').includes(attribute)) stray.push(`${name} ${attribute}`)
      if (/^(?:href|action)$/.test(attribute) && !/^(?:\.\.?\/|#|https?:\/\/)/.test(value)) stray.push(value)
    }
  }
  const rest = html
    .replace(/<!doctype html>/i, '')
    .replace(/<\/?[a-z0-9]+(?:\s+[\w-]+(?:="[^"]*")?)*\s*>/gi, '')
  return /[<>]/.test(rest) ? [...stray, `left: ${/.{0,30}[<>].{0,30}/.exec(rest)?.[0]}`] : stray
}
