import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LinkView, StartOutcome } from '../../src/links/link-desk.ts'
import { Secret } from '../../src/secret.ts'
import { createManualClock } from '../manual-clock.ts'
import { type LinkServer, type LinkServerOptions, linkView, startLinkServer } from './link-server.ts'

const now = Date.UTC(2026, 10, 27, 17, 5)
const clock = createManualClock(now)
const token = '0a1b2c3d.AQEAAAAAAAAAAAAAAAAAAAAAAAAAAA.c2lnbmF0dXJl'
const formType = 'application/x-www-form-urlencoded'
const partnerUrl = 'https://partner.example.com/resolve?secret=hush-hush'
const servers: LinkServer[] = []
let server: LinkServer

beforeEach(async () => {
  server = await start()
  server.views.set(token, linkView(now))
  server.outcomes.set(token, { kind: 'redirect', url: new Secret(partnerUrl) })
  server.subscriptions.set(token, true)
})
afterEach(async () => {
  for (const each of servers.splice(0)) await each.close()
})

async function start(options: Partial<LinkServerOptions> = {}): Promise<LinkServer> {
  const started = await startLinkServer({ clock, ...options })
  servers.push(started)
  return started
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Not with fetch, which sends headers of its own, and tidies paths up. */
async function ask(path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answer> {
  const sent = request(`${server.url}/`, { path, method, headers, agent: false }).end(body)
  const [response] = await once(sent, 'response')
  return { status: response.statusCode, headers: response.headers, body: await text(response) }
}

function press(path = `/r/${token}`, asked: Asked = {}): Promise<Answer> {
  return ask(path, { method: 'POST', ...asked })
}

function pressAs(headers: Readonly<Record<string, string>>): Promise<Answer> {
  return press(`/r/${token}`, { headers })
}

function headingOf({ body }: Answer): string {
  return /<h1>(.*?)<\/h1>/s.exec(body)?.[1] ?? ''
}

function comparable({ status, headers, body }: Answer): unknown {
  const { date, ...others } = headers
  return { status, headers: others, body }
}

function show(changes: Partial<LinkView>): void {
  server.views.set(token, linkView(now, changes))
}

describe('the page of a link', () => {
  it('shows what is wrong with which device, since when, and a button', async () => {
    const { status, body } = await ask(`/r/${token}`)
    expect(status).toBe(200)
    expect(body).toContain('Daikin heat pump')
    expect(body).toContain('<h1>Your heat pump is no longer connected</h1>')
    expect(body).toContain('For <time datetime="2026-11-27T14:05:00.000Z">3 hours</time>')
    expect(body).toContain(
      `<form method="post" action="${token}"><button type="submit">Reconnect now</button>`,
    )
  })

  it('tells staff the alert by its name, and the moment in UTC', async () => {
    show({ purpose: 'staff' })
    const { body } = await ask(`/r/${token}`)
    expect(body).toContain('<p class="facts">DeviceUnauthenticated</p>')
    expect(body).toContain('>27 Nov, 14:05\u{a0}UTC</time>)')
  })

  it('tells an owner nothing of alerts', async () => {
    for (const alertname of ['DeviceUnauthenticated', 'OperatorsOwn', 'constructor', '__proto__']) {
      show({ alertname })
      const { body } = await ask(`/r/${token}`)
      expect(body).not.toContain(alertname)
      expect(body).not.toMatch(/alert|firing|API|UTC/i)
    }
  })

  it.each([
    ['DeviceUnauthenticated', 'Your inverter is no longer connected'],
    ['DeviceActionPending', 'needs one step from you'],
    ['InverterStateStale', 'We hear nothing from your'],
    ['OptimisationInactive', 'We can’t steer your'],
    ['OperatorsOwn', 'needs your attention'],
  ])('says %s in plain words', async (alertname, words) => {
    show({ alertname, deviceType: 'inverter' })
    expect(headingOf(await ask(`/r/${token}`))).toContain(words.replace('inverter', 'solar inverter'))
  })

  it('leaves out a manufacturer that is not told', async () => {
    show({ manufacturer: 'unknown' })
    const { body } = await ask(`/r/${token}`)
    expect(body).toContain('<p class="name">Heat pump</p>')
    expect(body).toContain('The manufacturer no longer lets us')
    expect(body).not.toContain('unknown')
  })

  it('asks neither the partner nor for anything else when it is read', async () => {
    await ask(`/r/${token}`)
    await ask(`/r/${token}`, { method: 'HEAD' })
    expect(server.calls).toEqual([`look (shown) ${token}`, `look ${token}`])
  })

  it.each([
    ['Sec-Purpose', 'prefetch'],
    ['Sec-Purpose', 'prefetch;prerender'],
    ['Purpose', 'prefetch'],
    ['Purpose', 'preview'],
    ['X-Moz', 'prefetch'],
  ])(
    'does not count as shown, returned or cancelled for a browser that looks ahead (%s: %s)',
    async (name, purpose) => {
      for (const path of ['', '/back', '/cancelled'])
        await ask(`/r/${token}${path}`, { headers: { [name]: purpose } })
      expect(server.calls).toEqual(Array(3).fill(`look ${token}`))
    },
  )

  it('answers HEAD as GET, without the page', async () => {
    const get = await ask(`/r/${token}`)
    const head = await ask(`/r/${token}`, { method: 'HEAD' })
    expect(head.body).toBe('')
    expect([head.status, head.headers['content-type']]).toEqual([200, get.headers['content-type']])
    expect(head.headers['content-security-policy']).toBe(get.headers['content-security-policy'])
  })

  it('works whatever a mail gateway or the partner adds behind the question mark', async () => {
    expect((await ask(`/r/${token}?utm_source=mail&x=%ff`)).status).toBe(200)
    expect((await ask(`/r/${token}/back?device_id=1`)).status).toBe(200)
    expect(server.calls).toEqual([`look (shown) ${token}`, `returned ${token}`])
  })

  it('tells other methods which there are', async () => {
    for (const [path, allowed] of [
      ['', 'GET, HEAD, POST'],
      ['/back', 'GET, HEAD'],
      ['/progress', 'GET, HEAD'],
      ['/cancelled', 'GET, HEAD'],
      ['/unsubscribe', 'GET, HEAD, POST'],
    ] as const) {
      for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE']) {
        const { status, headers } = await ask(`/r/${token}${path}`, { method })
        expect([path, method, status, headers.allow]).toEqual([path, method, 405, allowed])
      }
    }
    expect((await press(`/r/${token}/back`)).status).toBe(405)
    expect(server.calls.every((call) => call === `look ${token}`)).toBe(true)
  })
})

describe('headers of link pages', () => {
  const paths = ['', '/back', '/progress', '/cancelled', '/unsubscribe', '/none']

  it.each(paths)('keep it from caches, referrers, indexes, frames and scripts: %s', async (path) => {
    const { headers, body } = await ask(`/r/${token}${path}`)
    const style = /<style>(.*?)<\/style>/s.exec(body)?.[1] ?? ''
    const hash = createHash('sha256').update(style).digest('base64')
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-robots-tag': 'noindex, nofollow, noarchive',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      vary: 'Accept-Language',
      'content-language': 'en',
      'content-security-policy': `default-src 'none'; style-src 'sha256-${hash}'; form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'`,
    })
    expect(headers['set-cookie']).toBeUndefined()
  })

  it('let a form go on without TLS only where the service itself has none', async () => {
    server = await start({ publicUrl: 'http://127.0.0.1:9469' })
    const { headers } = await ask('/r/none')
    expect(headers['content-security-policy']).toContain("form-action 'self' https: http:;")
  })

  it('leave those of the other routes as they are', async () => {
    const { headers } = await ask('/-/healthy')
    expect(headers['content-security-policy']).toBe("default-src 'none'; frame-ancestors 'none'")
    expect(headers['x-robots-tag']).toBeUndefined()
  })

  it('have no script, no address of another host, and no style of their own in any page', async () => {
    const { body } = await ask(`/r/${token}`)
    expect(body).not.toMatch(/<script|<link|<img|\sstyle=|\son\w+=|https?:/i)
    expect(Buffer.byteLength(body)).toBeLessThan(12_000)
  })
})

describe('the language of link pages', () => {
  it.each([
    ['de', 'de'],
    ['de-AT', 'de'],
    ['DE-at,de;q=0.9,en;q=0.8', 'de'],
    ['en-GB,de;q=0.5', 'en'],
    ['en;q=0.4, de;q=0.6', 'de'],
    ['fr-CH, fr;q=0.9, de;q=0.7, en;q=0.5', 'de'],
    ['fr', 'en'],
    ['*', 'en'],
    ['*, de;q=0.5', 'de'],
    ['de;q=0', 'en'],
    ['de;q=0, en;q=0.1', 'en'],
    ['', 'en'],
    [';;;,,q=,de;q=x;=', 'de'],
    ['den, deutsch, d', 'en'],
    ['__proto__, constructor', 'en'],
    ['"de', 'en'],
  ])('follows Accept-Language: %s', async (accepted, language) => {
    for (const path of [`/r/${token}`, '/r/none']) {
      const { headers, body } = await ask(path, { headers: { 'Accept-Language': accepted } })
      expect(headers['content-language']).toBe(language)
      expect(body).toContain(`<html lang="${language}">`)
    }
  })

  it('is never kept from a request by what a header holds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[\x20-\x7e]{0,80}$/), async (accepted) => {
        const { status, headers } = await ask(`/r/${token}`, { headers: { 'Accept-Language': accepted } })
        expect(status).toBe(200)
        expect(['en', 'de']).toContain(headers['content-language'])
      }),
      { numRuns: 100 },
    )
  })

  it('speaks German to Germans and Austrians', async () => {
    show({ deviceType: 'inverter', manufacturer: 'Fronius', since: now - 3 * 86_400_000 })
    const { body } = await ask(`/r/${token}`, { headers: { 'Accept-Language': 'de-AT' } })
    expect(body).toContain('Wechselrichter von Fronius')
    expect(body).toContain('<h1>Ihr Wechselrichter ist nicht mehr verbunden</h1>')
    expect(body).toContain('Seit 3 Tagen (<time datetime="2026-11-24T17:05:00.000Z">24. November</time>)')
    expect(body).toContain('dann ist er wieder verbunden')
  })

  it('goes to the partner with the person', async () => {
    await pressAs({ 'Accept-Language': 'de-AT' })
    expect(server.visits).toEqual([
      { actor: { kind: 'link', name: '', role: null, from: '127.0.0.1' }, language: 'de' },
    ])
  })
})

describe('a link that does not count', () => {
  const forged = 'forged.token.here'
  const paths = [
    '',
    '/',
    `/${forged}`,
    `/${forged}/`,
    `/${forged}/back`,
    `/${forged}/progress`,
    `/${forged}/cancelled`,
    `/${forged}/unsubscribe`,
    `/${forged}/none`,
    `/${forged}?a=b`,
    `/${token}/`,
    `/${token}/none`,
    `/${token}/back/`,
    `/${token}/back/more`,
    `/${token}/BACK`,
    `/${token}%2Fback`,
    `/${token}%00`,
    '/..%2f..%2fmetrics',
    '/%2e%2e%2fmetrics',
    '//metrics',
    '/%',
    '/%ff',
    '/a b'.replace(' ', '%20'),
    `/${'x'.repeat(201)}`,
    `/${'x'.repeat(8_000)}`,
  ]

  it.each(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE'])(
    'gets one and the same 404, whatever its path: %s',
    async (method) => {
      const expected = comparable(await ask('/r/other'))
      expect(expected).toMatchObject({ status: 404 })
      for (const path of paths) {
        expect(comparable(await ask(`/r${path}`, { method })), `${method} ${path}`).toEqual(expected)
      }
      expect(server.calls.filter((call) => call.startsWith('start'))).toEqual([])
    },
  )

  it('gets it whatever else a request brings along', async () => {
    const expected = comparable(await ask('/r/other'))
    const large = 'x'.repeat(5_000)
    for (const headers of [
      { 'Sec-Fetch-Site': 'cross-site' },
      { Origin: 'https://evil.example.com' },
      { 'Content-Type': 'application/json' },
    ]) {
      for (const path of [forged, `${forged}/unsubscribe`]) {
        expect(comparable(await press(`/r/${path}`, { headers, body: large }))).toEqual(expected)
      }
    }
  })

  it('gets it for HEAD, without the page', async () => {
    const head = async (path: string) => comparable(await ask(path, { method: 'HEAD' }))
    const expected = await head('/r/other')
    expect(expected).toMatchObject({ status: 404, body: '' })
    for (const path of paths) expect(await head(`/r${path}`)).toEqual(expected)
  })

  it('gets it for whatever token and path below it (property)', async () => {
    const expected = comparable(await ask('/r/other'))
    const part = fc.oneof(
      fc.stringMatching(/^[\w.~%!$&'()*+,;=:@-]{1,60}$/),
      fc.constantFrom('back', 'progress', 'cancelled', 'unsubscribe', '..', '.', '%2e', token.slice(1)),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
        async (parts, method) => {
          // Dots that lead out of /r lead elsewhere.
          fc.pre(!parts.some((each) => /^(?:\.|%2e){1,2}$/i.test(each)))
          expect(comparable(await ask(`/r/${parts.join('/')}`, { method }))).toEqual(expected)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('gets it when it stops to count between a look and the button', async () => {
    const expected = comparable(await ask('/r/other'))
    server.outcomes.delete(token)
    expect(comparable(await press())).toEqual(expected)
    expect(server.calls).toContain(`start ${token}`)
  })

  it('gets it when it is of the other kind', async () => {
    const expected = comparable(await ask('/r/other'))
    server.views.clear()
    expect(comparable(await ask(`/r/${token}`))).toEqual(expected)
    expect((await ask(`/r/${token}/unsubscribe`)).status).toBe(200)
    server.subscriptions.clear()
    expect(comparable(await ask(`/r/${token}/unsubscribe`))).toEqual(expected)
    expect(comparable(await press(`/r/${token}/unsubscribe`))).toEqual(expected)
  })
})

describe('the button of a link', () => {
  it('leads to the partner, whose address stands in Location and nowhere else', async () => {
    const answer = await press()
    expect(answer).toMatchObject({ status: 303, body: '', headers: { location: partnerUrl } })
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    const { location, ...others } = answer.headers
    expect(JSON.stringify(others)).not.toContain('hush')
  })

  const outcome = (kind: string, more: object = {}) =>
    ({ kind, view: linkView(now), ...more }) as StartOutcome
  it.each<[number, StartOutcome, string, string | undefined]>([
    [200, outcome('healthy'), 'Your heat pump is connected', undefined],
    [410, outcome('gone'), 'This heat pump is no longer registered', undefined],
    [
      409,
      outcome('nothing_to_open', { codes: ['accept_terms'] }),
      'There is nothing you can do here',
      undefined,
    ],
    [429, outcome('rate_limited', { retryAfterMs: 61_500 }), 'Just a moment, please', '62'],
    [503, outcome('unavailable'), 'This doesn’t work right now', '60'],
    [502, outcome('refused_host'), 'We can’t take you there', undefined],
  ])('says it where it leads nowhere: %i', async (status, result, heading, retryAfter) => {
    server.outcomes.set(token, result)
    const answer = await press()
    expect([answer.status, headingOf(answer)]).toEqual([status, heading])
    expect(answer.headers['retry-after']).toBe(retryAfter)
    expect(answer.headers.location).toBeUndefined()
    expect(answer.body).not.toContain('accept_terms')
  })

  it('says how long to wait, rounded up', async () => {
    server.outcomes.set(token, { kind: 'rate_limited', view: linkView(now), retryAfterMs: 61_500 })
    expect((await press()).body).toContain('try again in 2 minutes')
    server.outcomes.set(token, { kind: 'rate_limited', view: linkView(now), retryAfterMs: 0 })
    expect(await press()).toMatchObject({ headers: { 'retry-after': '1' } })
  })

  it('tells staff what is pending without a link', async () => {
    const view = linkView(now, { purpose: 'staff' })
    const codes = ['accept_terms', '<b>', 'x'.repeat(300), 'd', 'e', 'f', 'g']
    server.outcomes.set(token, { kind: 'nothing_to_open', view, codes })
    const { body } = await press()
    expect(body).toContain(`accept_terms, &lt;b&gt;, ${'x'.repeat(59)}…, d, e, 2 more.`)
  })

  it.each([
    {},
    { 'Sec-Fetch-Site': 'same-origin', Origin: 'null' },
    { 'Sec-Fetch-Site': 'none' },
    { Origin: 'null' },
    { Origin: 'https://fleet.example.com' },
  ])('works from a page of ours: %j', async (headers: Record<string, string>) => {
    expect((await pressAs(headers)).status).toBe(303)
  })

  it('works under the name that a proxy passes on', async () => {
    const { host } = new URL(server.url)
    expect((await pressAs({ Origin: `http://${host}` })).status).toBe(303)
  })

  it.each([
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site', Origin: 'https://fleet.example.com' },
    { 'Sec-Fetch-Site': 'cross-site', Origin: 'null' },
    { Origin: 'https://evil.example.com' },
    { Origin: 'https://fleet.example.com.evil.example' },
    { Origin: 'nonsense' },
  ])('does nothing for a page of somebody else: %j', async (headers: Record<string, string>) => {
    const answer = await pressAs(headers)
    expect([answer.status, headingOf(answer)]).toEqual([403, 'This came from another page'])
    expect(server.calls).toEqual([`look ${token}`])
  })

  it('takes a form of at most a kilobyte', async () => {
    const send = (body: string, headers = {}) =>
      press(`/r/${token}`, { body, headers: { 'Content-Type': formType, ...headers } })
    expect((await send('a=b')).status).toBe(303)
    expect((await send('x'.repeat(1_024))).status).toBe(303)
    expect((await send('x'.repeat(1_025))).status).toBe(413)
    expect((await send('x'.repeat(1_025), { 'Transfer-Encoding': 'chunked' })).status).toBe(413)
    expect((await send('x'.repeat(3_000_000), { 'Transfer-Encoding': 'chunked' })).status).toBe(413)
    expect(server.calls.filter((call) => call.startsWith('start'))).toHaveLength(2)
  })

  it.each(['application/json', 'text/plain', 'multipart/form-data; boundary=x', 'nonsense'])(
    'takes nothing but a form: %s',
    async (type) => {
      const answer = await press(`/r/${token}`, { body: '{}', headers: { 'Content-Type': type } })
      expect(answer.status).toBe(415)
      expect(server.calls).toEqual([`look ${token}`])
    },
  )

  it('does nothing when the connection ends before the form does', async () => {
    const { port, hostname } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(
      `POST /r/${token} HTTP/1.1\r\nHost: x\r\nContent-Type: ${formType}\r\nContent-Length: 100\r\n\r\na=`,
    )
    while (server.calls.length === 0) await new Promise((resolve) => setImmediate(resolve))
    socket.destroy()
    await once(socket, 'close')
    await ask('/-/healthy')
    expect(server.calls).toEqual([`look ${token}`])
    expect(server.errors).toEqual([])
  })

  it('logs neither the token nor the path when the desk fails', async () => {
    server = await start({
      desk: { look: () => Promise.reject(new Error('the database is gone')) },
    })
    const answer = await press()
    expect([answer.status, headingOf(answer)]).toEqual([500, 'Something went wrong here'])
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'")
    expect(server.errors).toHaveLength(1)
    expect(JSON.stringify(server.errors)).not.toContain(token)
  })
})

describe('coming back from the partner', () => {
  const checking = { kind: 'checking', returnedAt: now - 12_000, until: now + 168_000 } as const

  it('looks again by itself for as long as the device is read', async () => {
    show({ progress: checking })
    const answer = await ask(`/r/${token}/back`)
    expect(headingOf(answer)).toBe('We are checking the connection')
    expect(answer.headers['refresh']).toBe('3; url=progress')
    expect(answer.body).toContain('<progress max="180" value="12"')
    expect(server.calls).toEqual([`returned ${token}`])
    expect((await ask(`/r/${token}/progress`)).headers['refresh']).toBe('3; url=progress')
    show({ progress: { ...checking, returnedAt: now - 30_000 } })
    expect((await ask(`/r/${token}/progress`)).headers['refresh']).toBe('10; url=progress')
    show({ progress: { kind: 'resolved', resolvedAt: now, verifiedAfterMs: 40_000 } })
    expect((await ask(`/r/${token}/progress`)).headers['refresh']).toBeUndefined()
    expect(server.calls.slice(1)).toEqual(Array(3).fill(`look ${token}`))
  })

  it('can be stopped from looking again', async () => {
    show({ progress: checking })
    const { body } = await ask(`/r/${token}/progress`)
    expect(body).toContain(`<a href="../${token}">Stop refreshing</a>`)
    const stopped = await ask(`/r/${token}`)
    expect(stopped.headers['refresh']).toBeUndefined()
    expect(stopped.body).toContain(`<a href="${token}/progress">Refresh this page</a>`)
  })

  it('says that it is connected again, and leads on', async () => {
    const progress = { kind: 'resolved', resolvedAt: now - 60_000, verifiedAfterMs: 40_000 } as const
    show({ progress, successUrl: 'https://portal.example.com/thanks?a=1&b=2' })
    const answer = await ask(`/r/${token}/back`)
    expect(headingOf(answer)).toBe('Your heat pump is connected again')
    expect(answer.body).toContain('href="https://portal.example.com/thanks?a=1&amp;b=2"')
    expect(answer.body).not.toContain('<form')
    show({ progress, purpose: 'staff' })
    expect((await ask(`/r/${token}`)).body).toContain(
      'Verified 40 s after reconnection, at 27 Nov, 17:04\u{a0}UTC.',
    )
    show({ progress: { ...progress, verifiedAfterMs: null }, purpose: 'staff' })
    expect((await ask(`/r/${token}`)).body).toContain('It ended at 27 Nov, 17:04\u{a0}UTC.')
  })

  it('follows no address that is not one of the web', async () => {
    const progress = { kind: 'resolved', resolvedAt: now, verifiedAfterMs: null } as const
    for (const successUrl of ['javascript:alert(1)', 'data:text/html,x', 'nonsense']) {
      show({ progress, successUrl })
      expect((await ask(`/r/${token}`)).body).not.toContain('<a ')
    }
  })

  it.each([
    ['not_authenticated', 'Your heat pump is not connected yet', true],
    ['action_pending', 'One step is still missing', true],
    ['unread', 'We could not check it yet', true],
    ['gone', 'This heat pump is no longer registered', false],
  ] as const)('says what is still wrong: %s', async (reason, heading, hasButton) => {
    show({ progress: { kind: 'still_wrong', reason, checkedAt: now } })
    const answer = await ask(`/r/${token}/back`)
    expect(headingOf(answer)).toBe(heading)
    expect(answer.body.includes(`<form method="post" action="../${token}">`)).toBe(hasButton)
    expect(answer.headers['refresh']).toBeUndefined()
  })

  it('says that nothing has changed when it was cancelled, unless it has', async () => {
    const answer = await ask(`/r/${token}/cancelled`)
    expect(headingOf(answer)).toBe('Not finished yet')
    expect(answer.body).toContain('Reconnect now')
    expect(server.calls).toEqual([`cancelled ${token}`])
    show({ progress: { kind: 'resolved', resolvedAt: now, verifiedAfterMs: null } })
    expect(headingOf(await ask(`/r/${token}/cancelled`))).toBe('Your heat pump is connected again')
  })
})

describe('unsubscribing', () => {
  const path = `/r/${token}/unsubscribe`
  const field = 'List-Unsubscribe=One-Click'
  const form = { 'Content-Type': formType }

  it('needs one press of a button', async () => {
    const page = await ask(path)
    expect(headingOf(page)).toBe('Stop these e-mails?')
    expect(page.body).toContain('<form method="post" action="unsubscribe">')
    expect(page.body).toContain('name="List-Unsubscribe" value="One-Click"')
    expect(server.calls).toEqual([])
    const done = await press(path, { headers: { ...form, 'Sec-Fetch-Site': 'same-origin' }, body: field })
    expect([done.status, headingOf(done)]).toEqual([200, 'You are unsubscribed'])
    expect(headingOf(await ask(path))).toBe('You are unsubscribed')
    expect(server.calls).toEqual([`unsubscribe ${token}`])
  })

  it('works for a mail program, in both forms of RFC 8058', async () => {
    const multipart = {
      headers: { 'Content-Type': 'multipart/form-data; boundary=x1' },
      body: '--x1\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x1--\r\n',
    }
    for (const asked of [{ headers: form, body: field }, multipart]) {
      server.subscriptions.set(token, true)
      const done = await press(path, asked)
      // Not a redirect, which RFC 8058 (3.1) forbids.
      expect(done.status).toBe(200)
      expect(server.subscriptions.get(token)).toBe(false)
    }
  })

  it('may be done twice', async () => {
    for (let n = 0; n < 2; n++) {
      expect(headingOf(await press(path, { headers: form, body: field }))).toBe('You are unsubscribed')
    }
  })

  it.each(['', 'List-Unsubscribe=no', 'x=One-Click'])(
    'does not follow from a form without its button: %j',
    async (body) => {
      const answer = await press(path, { headers: form, body })
      expect([answer.status, headingOf(answer)]).toEqual([200, 'Stop these e-mails?'])
      expect(server.calls).toEqual([])
    },
  )

  it('is not for pages of others, large bodies, or what is no form', async () => {
    const status = async (asked: Asked) => (await press(path, asked)).status
    expect(await status({ headers: { ...form, 'Sec-Fetch-Site': 'cross-site' }, body: field })).toBe(403)
    expect(await status({ headers: { ...form, Origin: 'https://evil.example.com' }, body: field })).toBe(403)
    expect(await status({ headers: form, body: `${field}&x=${'x'.repeat(1_024)}` })).toBe(413)
    expect(await status({ headers: { 'Content-Type': 'application/json' }, body: '{}' })).toBe(415)
    expect(await status({ headers: { 'Content-Type': 'multipart/form-data' }, body: field })).toBe(415)
    expect(server.subscriptions.get(token)).toBe(true)
  })
})

describe('hostile text on link pages', () => {
  it('stays text (property)', async () => {
    const hostile = fc.oneof(
      fc.constantFrom(
        '</p><script>alert(1)</script>',
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='x",
        '</title><style>*{display:none}</style>',
        '<!--',
        ']]>&lt;b&gt;',
        '\u202Eevil\u2066',
        '\uD800',
        '\0',
        '{{ 7*7 }}',
      ),
      fc.string({ unit: 'grapheme', maxLength: 60 }),
    )
    await fc.assert(
      fc.asyncProperty(
        hostile,
        hostile,
        fc.constantFrom('owner' as const, 'staff' as const),
        fc.constantFrom('en', 'de'),
        async (manufacturer, alertname, purpose, language) => {
          const page = async (changes: Partial<LinkView>) => {
            server.views.set(token, linkView(now, { purpose, ...changes }))
            return (await ask(`/r/${token}`, { headers: { 'Accept-Language': language } })).body
          }
          const tags = (body: string) => body.match(/<[^>]*>/g)
          const usual = await page({ manufacturer: 'Daikin', alertname: 'DeviceUnauthenticated' })
          const body = await page({ manufacturer, alertname: 'DeviceUnauthenticated' })
          expect(tags(body)).toEqual(tags(usual))
          expect(body).not.toMatch(/[\u202A-\u202E\u2066-\u2069\0]/)
          const other = await page({ manufacturer: 'Daikin', alertname: 'OperatorsOwn' })
          expect(tags(await page({ manufacturer, alertname: `A${alertname}` }))).toEqual(tags(other))
        },
      ),
      { numRuns: 100 },
    )
  })

  it('is cut where it is long', async () => {
    show({ manufacturer: 'x'.repeat(5_000) })
    const { body } = await ask(`/r/${token}`)
    expect(body).toContain(`${'x'.repeat(79)}…`)
    expect(body).not.toContain('x'.repeat(80))
  })
})

describe('a mail scanner', () => {
  // What a scanner that opens everything does: each link with GET and HEAD, then each form that it finds, as it is.
  async function scan(mail: string): Promise<void> {
    const links = [...mail.matchAll(/https:\/\/fleet\.example\.com(\/[^\s"<>]*)/g)].map(
      ([, path = '']) => path,
    )
    expect(links.length).toBeGreaterThan(0)
    for (const link of links) {
      await ask(link, { method: 'HEAD' })
      const { body } = await ask(link)
      for (const [, action = ''] of body.matchAll(/<form method="post" action="([^"]*)">/g)) {
        const { pathname } = new URL(action, `https://fleet.example.com${link}`)
        await press(pathname, { headers: { 'Content-Type': formType }, body: '' })
      }
    }
  }

  const mail = `Your heat pump is no longer connected.
    <a href="https://fleet.example.com/r/${token}">Reconnect</a>
    <a href="https://fleet.example.com/r/${token}/unsubscribe">Unsubscribe</a>`

  it('burns no link, unsubscribes nobody, and comes back from nowhere', async () => {
    for (let n = 0; n < 5; n++) await scan(mail)
    const counts = Object.groupBy(server.calls, (call) => call.split(` ${token}`)[0] ?? '')
    // The form is what a person sends, too: the desk mints once for all of them.
    expect(counts['start']).toHaveLength(5)
    expect(counts['look (shown)']).toHaveLength(5)
    expect(Object.keys(counts).sort()).toEqual(['look', 'look (shown)', 'start'])
    expect(server.subscriptions.get(token)).toBe(true)
    expect((await ask(`/r/${token}`)).status).toBe(200)
    expect((await press()).status).toBe(303)
  })

  it('mints nothing by reading alone', async () => {
    for (const path of ['', '/back', '/progress', '/cancelled', '/unsubscribe']) {
      for (const method of ['HEAD', 'GET', 'OPTIONS']) await ask(`/r/${token}${path}`, { method })
    }
    expect(server.calls.some((call) => call.startsWith('start'))).toBe(false)
  })
})
