import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RefusalReason } from '../../src/actor.ts'
import { createAccess } from '../../src/http/access.ts'
import { isLoopbackAddress, isLoopbackName } from '../../src/http/address.ts'
import { createManualClock } from '../manual-clock.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { ask as askServer } from './ask.ts'

const foreign = 'pages of other sites may change nothing here'
const otherName = 'the API answers only under the name localhost, 127.0.0.1 or [::1]'
const otherMachine =
  'the API answers only to the machine that it runs on, unless http.access says who else may use it'

describe('access to the API of which nothing is configured', () => {
  let server: ApiServer
  let port: string

  beforeEach(async () => {
    server = await startApiServer(createManualClock())
    port = new URL(server.url).port
  })
  afterEach(() => server.close())

  async function ask(
    path: string,
    { method = 'GET', ...headers }: Record<string, string> & { method?: string } = {},
  ): Promise<{ status: number | undefined; body: string }> {
    const { status, body } = await askServer(server.url, path, { method, headers })
    return { status, body }
  }

  it.each(['localhost', 'LOCALHOST', '127.0.0.1', '127.1.2.3', '[::1]'])(
    'is had under the name %s',
    async (name) => {
      for (const host of [name, `${name}:${port}`]) {
        expect((await ask('/api/v2/receivers', { host })).status).toBe(200)
        expect((await ask('/-/reload', { method: 'POST', host })).status).toBe(200)
      }
    },
  )

  // A page of evil.example whose name resolves to 127.0.0.1.
  it.each([
    ...['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '192.0.2.7', '[::2]', '0.0.0.0'],
  ])('is refused under the name %s', async (host) => {
    for (const path of ['/api/v2/alerts', '/api/v2/status', '/api/v2/silences', '/api/v2/alerts/groups']) {
      expect(await ask(path, { host })).toEqual({ status: 403, body: JSON.stringify(otherName) })
    }
    for (const path of ['/api/v1/alerts', '/api/v1/explain/x']) {
      expect(await ask(path, { host })).toEqual({ status: 403, body: JSON.stringify({ error: otherName }) })
    }
    expect(await ask('/-/reload', { method: 'POST', host })).toEqual({ status: 403, body: `${otherName}\n` })
  })

  it.each(['localhost:1:2', 'evil.example#localhost', '::1', '127.0.0.1@evil.example'])(
    'is refused to a request whose name is none: %s',
    async (host) => {
      expect((await ask('/api/v2/alerts', { host })).status).toBe(400)
    },
  )

  it.each([
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }],
    ['a page of another port', { 'sec-fetch-site': 'same-site' }],
    ['a browser that does not say which', { origin: 'https://evil.example' }],
    ['a page without an origin', { origin: 'null' }],
    ['another port, as such a browser says it', { origin: 'http://127.0.0.1:1' }],
  ])('to change something is refused to %s', async (_, headers) => {
    for (const [method, path] of [
      ['POST', '/api/v2/silences'],
      ['DELETE', '/api/v2/silence/x'],
      ['POST', '/api/v2/alerts'],
    ] as const) {
      expect(await ask(path, { method, ...headers })).toEqual({ status: 403, body: JSON.stringify(foreign) })
    }
    for (const [method, path] of [
      ['POST', '/api/v1/alerts/x/acknowledgement'],
      ['DELETE', '/api/v1/alerts/x/acknowledgement'],
      ['POST', '/api/v1/silences/preview'],
    ] as const) {
      const body = JSON.stringify({ error: foreign })
      expect(await ask(path, { method, ...headers })).toEqual({ status: 403, body })
    }
    for (const method of ['POST', 'PUT']) {
      expect(await ask('/-/reload', { method, ...headers })).toEqual({ status: 403, body: `${foreign}\n` })
    }
    expect((await ask('/api/v2/alerts', headers)).status).toBe(200)
  })

  it.each([
    ['a tool', {}],
    ['its own pages', { 'sec-fetch-site': 'same-origin' }],
    ["a person's address bar", { 'sec-fetch-site': 'none' }],
    [
      'a proxy whose page the browser vouches for',
      { 'sec-fetch-site': 'same-origin', origin: 'https://karma.example' },
    ],
  ])('to change something is had by %s', async (_, headers) => {
    expect((await ask('/-/reload', { method: 'POST', ...headers })).status).toBe(200)
  })

  it('to change something is had by its own pages in browsers that only name them', async () => {
    expect((await ask('/-/reload', { method: 'POST', origin: server.url })).status).toBe(200)
  })

  it.each(['192.0.2.7', '10.0.0.1', '::ffff:192.0.2.7', 'fe80::1', undefined])(
    'is refused to %s, whatever name it uses',
    async (remoteAddress) => {
      const refused: RefusalReason[] = []
      const events = { onRefused: ({ reason }: { reason: RefusalReason }) => void refused.push(reason) }
      const access = createAccess({
        ...{ config: null, publicUrl: null, host: '127.0.0.1', clock: createManualClock() },
        events: { ...events, onDenied: () => undefined },
      })
      const app = new Hono<{ Bindings: never }>()
      app.use(access.guard)
      app.get('/api/v1/alerts', (context) => context.text('read'))
      const incoming = { url: '/api/v1/alerts', socket: { remoteAddress }, headersDistinct: {} }
      const response = await app.request('/api/v1/alerts', { headers: { Host: 'localhost' } }, {
        incoming,
      } as never)
      expect([response.status, await response.json()]).toEqual([403, { error: otherMachine }])
      expect(refused).toEqual(['not_local'])
    },
  )

  it('shares nothing with other origins', async () => {
    const response = await fetch(`${server.url}/api/v2/alerts`, {
      headers: { Origin: 'https://evil.example' },
    })
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([])
    expect(response.headers.get('cross-origin-resource-policy')).toBe('same-origin')
    const preflight = await fetch(`${server.url}/api/v2/silences`, { method: 'OPTIONS' })
    expect(preflight.status).toBe(404)
  })

  it('leaves metrics and health to everybody', async () => {
    for (const path of ['/metrics', '/-/healthy', '/-/ready']) {
      expect((await ask(path, { host: 'fleet.example.com' })).status).toBe(200)
    }
  })
})

describe('a loopback address', () => {
  it.each(['127.0.0.1', '127.255.255.254', '::1', '::ffff:127.0.0.1'])('is %s', (address) => {
    expect(isLoopbackAddress(address)).toBe(true)
  })

  it.each([
    '128.0.0.1',
    '1270.0.0.1',
    '127.0.0',
    '127.0.0.1.evil.example',
    '::',
    '0.0.0.0',
    '',
    '::ffff:10.0.0.1',
  ])('is not %s', (address) => {
    expect(isLoopbackAddress(address)).toBe(false)
    expect(isLoopbackName(address)).toBe(false)
  })
})
