// Every endpoint, asked by everybody: who may, and who gets which answer.

import { createHash } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Actor, mayDo, type RefusalReason, type Role } from '../../src/actor.ts'
import type { AccessConfig } from '../../src/config.ts'
import { commands, type Endpoint, endpoints, findEndpoint } from '../../src/http/permissions.ts'
import { createRoutes, type RouteModule } from '../../src/http/server.ts'
import { silentLogger } from '../../src/logger.ts'
import { createManualClock } from '../manual-clock.ts'
import { noon } from '../notify/sample.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { ask } from './ask.ts'

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex')
const nobody = { everybody: false, people: [], groups: [] }
const access: AccessConfig = {
  tokens: [
    { name: 'v', role: 'viewer', hash: hashOf('fwt_viewer'), expiresAt: null },
    { name: 'o', role: 'operator', hash: hashOf('fwt_operator'), expiresAt: null },
    { name: 'a', role: 'admin', hash: hashOf('fwt_admin'), expiresAt: noon + 1 },
    { name: 'old', role: 'admin', hash: hashOf('fwt_expired'), expiresAt: noon },
  ],
  proxy: {
    addresses: [{ address: '127.0.0.2', prefix: 32, family: 'ipv4' }],
    userHeader: 'x-forwarded-user',
    groupsHeader: null,
    roles: {
      viewer: { ...nobody, people: ['vera'] },
      operator: { ...nobody, people: ['otto'] },
      admin: { ...nobody, people: ['anna'] },
    },
  },
  metrics: 'public',
}

interface Caller {
  readonly who: string
  readonly headers?: OutgoingHttpHeaders
  readonly from?: string
  /** What it may do, or why it is nobody. */
  readonly is:
    | Role
    | 'no_role'
    | Extract<RefusalReason, 'no_identity' | 'not_proxy' | 'unknown_token' | 'expired_token'>
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const proxied = (name: string) => ({ from: '127.0.0.2', headers: { 'x-forwarded-user': name } })
const callers: readonly Caller[] = [
  { who: 'nobody', is: 'no_identity' },
  { who: 'a wrong token', headers: bearer('fwt_wrong'), is: 'unknown_token' },
  { who: 'a token that has expired', headers: bearer('fwt_expired'), is: 'expired_token' },
  { who: 'the token of a viewer', headers: bearer('fwt_viewer'), is: 'viewer' },
  { who: 'the token of an operator', headers: bearer('fwt_operator'), is: 'operator' },
  { who: 'the token of an admin', headers: bearer('fwt_admin'), is: 'admin' },
  { who: 'a viewer behind the proxy', ...proxied('vera'), is: 'viewer' },
  { who: 'an operator behind the proxy', ...proxied('otto'), is: 'operator' },
  { who: 'an admin behind the proxy', ...proxied('anna'), is: 'admin' },
  { who: 'somebody else behind the proxy', ...proxied('eve'), is: 'no_role' },
  { who: 'the proxy about nobody', from: '127.0.0.2', is: 'no_identity' },
  { who: 'somebody who says to be an admin', headers: { 'x-forwarded-user': 'anna' }, is: 'not_proxy' },
]

/** What an endpoint answers whoever may: with what is sent to it, and its status. */
const answers: Readonly<Record<string, { readonly body?: unknown; readonly status: number }>> = {
  'POST /api/v1/alerts/:fingerprint/acknowledgement': { body: { by: 'x', comment: 'c' }, status: 404 },
  'DELETE /api/v1/alerts/:fingerprint/acknowledgement': { status: 404 },
  'DELETE /api/v1/alerts/:fingerprint/link': { status: 404 },
  'POST /api/v1/silences/preview': {
    body: { matchers: [{ name: 'a', value: 'b', isRegex: false }] },
    status: 200,
  },
  'GET /api/v1/explain/:id': { status: 404 },
  'POST /api/v2/alerts': { body: [], status: 501 },
  'POST /api/v2/silences': { body: {}, status: 400 },
  'GET /api/v2/silence/:id': { status: 404 },
  'DELETE /api/v2/silence/:id': { status: 404 },
}

/** Also what other modules bring is asked for here: a stand-in answers, since who may is the table's matter. */
const standIns: RouteModule = (server) => {
  const isThere = ({ name }: Endpoint) =>
    server.routes.some(({ method, path }) => `${method} ${path}` === name)
  for (const endpoint of endpoints.filter((each) => !isThere(each))) {
    const [method = '', path = ''] = endpoint.name.split(' ')
    if (method === 'ALL') server.all(path, (context) => context.text('stand-in'))
    else server.on(method, path, (context) => context.text('stand-in'))
  }
}

function pathOf({ name }: Endpoint): string {
  return name
    .replace(/^\w+ /, '')
    .replace(/:\w+/g, 'nothing-of-this-name')
    .replace('*', 'nothing/of/this/name')
}

function isAllowed({ needs }: Endpoint, { is }: Caller): boolean {
  if (needs === 'public' || needs === 'link') return true
  return (is === 'viewer' || is === 'operator' || is === 'admin') && mayDo({ role: is }, needs)
}

/** A message, in the form that errors have there. */
function errorOf(endpoint: Endpoint, body: string): string {
  const path = pathOf(endpoint)
  if (path.startsWith('/api/v2/')) return JSON.parse(body) as string
  if (path.startsWith('/api/')) return (JSON.parse(body) as { error: string }).error
  return body.trimEnd()
}

describe('who may do what', () => {
  const refused: (readonly [RefusalReason, string, string | null])[] = []
  const denied: (readonly [Actor, string])[] = []
  let server: ApiServer

  const events = {
    onRefused: (refusal: { reason: RefusalReason; endpoint: Endpoint; from: string | null }) =>
      void refused.push([refusal.reason, refusal.endpoint.name, refusal.from]),
    onDenied: (actor: Actor, { name }: Endpoint) => void denied.push([actor, name]),
  }

  beforeAll(async () => {
    server = await startApiServer(createManualClock(noon), { access, events, routes: [standIns] })
  })
  afterAll(() => server.close())

  async function call(endpoint: Endpoint, { headers = {}, from = '127.0.0.1' }: Partial<Caller>) {
    const { body } = answers[endpoint.name] ?? {}
    const [method = ''] = endpoint.name.replace(/^ALL /, 'GET ').split(' ')
    return ask(server.url, pathOf(endpoint), {
      method,
      from,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  }

  const cases = endpoints.flatMap((endpoint) => callers.map((caller) => ({ endpoint, caller })))

  it.each(cases)('$endpoint.name, asked by $caller.who', async ({ endpoint, caller }) => {
    refused.length = 0
    denied.length = 0
    const { status, body, headers } = await call(endpoint, caller)
    if (isAllowed(endpoint, caller)) {
      expect(status).toBe(answers[endpoint.name]?.status ?? 200)
      expect([refused, denied]).toEqual([[], []])
      return
    }
    const { needs } = endpoint
    const { from = '127.0.0.1' } = caller
    const error = errorOf(endpoint, body)
    const { name } = endpoint
    switch (caller.is) {
      case 'no_identity':
      case 'not_proxy':
        expect([status, headers['www-authenticate']]).toEqual([401, 'Bearer'])
        expect(error).toMatch(/^this needs an access token/)
        expect([refused, denied]).toEqual([[[caller.is, name, from]], []])
        return
      case 'unknown_token':
      case 'expired_token':
        expect([status, headers['www-authenticate']]).toEqual([401, 'Bearer error="invalid_token"'])
        expect(error).toMatch(
          caller.is === 'unknown_token' ? /is not known here$/ : /has expired: it was good/,
        )
        expect([refused, denied]).toEqual([[[caller.is, name, from]], []])
        return
      case 'no_role':
        expect([status, error]).toEqual([403, `"eve" has no role here: this needs the role ${needs}`])
        expect(refused).toEqual([['no_role', name, from]])
        expect(denied).toEqual([[{ kind: 'person', name: 'eve', role: null, from }, name]])
        return
      default: {
        const [[actor] = []] = denied
        expect(status).toBe(403)
        expect(error).toBe(
          `this needs the role ${needs}, and ${JSON.stringify(actor?.name)} has the role ${caller.is}`,
        )
        expect(headers['www-authenticate']).toBeUndefined()
        expect(refused).toEqual([['role', name, from]])
        expect(denied).toEqual([[{ ...actor, role: caller.is, from }, name]])
      }
    }
  })

  const reads = endpoints.filter(({ name }) => name.startsWith('GET '))

  it.each(reads)('HEAD is as $name, without a body', async (endpoint) => {
    for (const caller of callers) {
      const get = await call(endpoint, caller)
      const head = await call({ ...endpoint, name: endpoint.name.replace('GET', 'HEAD') }, caller)
      expect([head.status, head.body]).toEqual([get.status, ''])
      expect(head.headers['content-type']).toBe(get.headers['content-type'])
    }
  })

  it('asks who reads the metrics only where that is configured', async () => {
    const metrics = findEndpoint('GET', '/metrics')!
    expect((await call(metrics, {})).status).toBe(200)
    server.access.update({ ...access, metrics: 'viewer' })
    try {
      expect((await call(metrics, {})).status).toBe(401)
      expect((await call(metrics, { headers: bearer('fwt_viewer') })).status).toBe(200)
      expect((await call(findEndpoint('GET', '/-/healthy')!, {})).status).toBe(200)
    } finally {
      server.access.update(access)
    }
  })

  it('goes by what was configured last', async () => {
    const alerts = findEndpoint('GET', '/api/v2/alerts')!
    const asked = () => call(alerts, { headers: bearer('fwt_viewer') }).then(({ status }) => status)
    expect(await asked()).toBe(200)
    server.access.update({ ...access, tokens: access.tokens.slice(1) })
    expect(await asked()).toBe(401)
    server.access.update(null)
    expect((await call(alerts, {})).status).toBe(200)
    server.access.update(access)
    expect((await call(alerts, {})).status).toBe(401)
    expect(await asked()).toBe(200)
  })
})

describe('the table of endpoints', () => {
  const options = {
    ...{ host: '127.0.0.1', port: 0, clock: createManualClock(), logger: silentLogger },
    metrics: { render: async () => ({ contentType: '', body: '' }) },
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
  }

  it('has a row for every route, or nothing starts', () => {
    const stray: RouteModule = (server) => void server.get('/api/v1/stray/:id', (c) => c.text('x'))
    expect(() => createRoutes({ ...options, routes: [stray] }, () => false)).toThrow(
      'GET /api/v1/stray/:id has no row in http/permissions.ts',
    )
  })

  it('says of each what it needs and what it is for', () => {
    for (const { name, needs, purpose } of endpoints) {
      expect(name).toMatch(/^(?:GET|POST|PUT|PATCH|DELETE|ALL) \/\S*$/)
      expect(['public', 'link', 'viewer', 'operator', 'admin']).toContain(needs)
      expect(purpose).toMatch(/^\S.{2,}[^.]$/)
    }
  })

  it('lets nobody change anything who may only look', () => {
    const changes = endpoints.filter(({ name }) => !name.startsWith('GET '))
    const byViewers = changes.filter(({ needs }) => needs === 'viewer' || needs === 'public')
    expect(byViewers.map(({ name }) => name)).toEqual(['POST /api/v1/silences/preview'])
  })

  it('says for each command the highest role of what it asks', () => {
    const needs = Object.fromEntries(commands.map(({ command, needs: role }) => [command, role]))
    expect(needs).toMatchObject({
      ...{ run: null, check: null, 'alerts list': 'viewer', explain: 'viewer', 'silence list': 'viewer' },
      ...{ 'alerts ack': 'operator', 'silence add': 'operator', 'silence expire': 'operator' },
    })
  })
})

describe('whoever signs what they do', () => {
  let server: ApiServer
  beforeAll(async () => {
    server = await startApiServer(createManualClock(noon), { access })
  })
  afterAll(() => server.close())

  const silence = {
    matchers: [{ name: 'a', value: 'b', isRegex: false }],
    startsAt: new Date(noon).toISOString(),
    endsAt: new Date(noon + 3_600_000).toISOString(),
    ...{ createdBy: 'the chief', comment: 'c' },
  }

  it.each([
    ['a person', proxied('otto'), 'otto'],
    ['a token', { headers: bearer('fwt_operator') }, 'the chief'],
  ])('is, as %s, %s', async (_, { headers, ...from }, expected) => {
    const alert = server.alerting.add(1)
    const post = (path: string, body: unknown) =>
      ask(server.url, path, {
        ...{ method: 'POST', ...from, body: JSON.stringify(body) },
        headers: { ...headers, 'content-type': 'application/json' },
      })
    const { silenceID } = JSON.parse((await post('/api/v2/silences', silence)).body) as { silenceID: string }
    expect(server.alerting.silenceMap.get(silenceID)?.createdBy).toBe(expected)
    const path = `/api/v1/alerts/${alert.fingerprint}/acknowledgement`
    const answer = await post(path, { by: 'the chief', comment: 'c' })
    expect(JSON.parse(answer.body)).toMatchObject({ by: expected })
  })
})

describe('a person behind the proxy', () => {
  let server: ApiServer
  beforeAll(async () => {
    server = await startApiServer(createManualClock(noon), {
      access,
      publicUrl: 'https://fleet.example.com/watch',
    })
  })
  afterAll(() => server.close())

  const preview = (headers: OutgoingHttpHeaders, method = 'PUT') =>
    ask(server.url, '/-/reload', {
      ...proxied('anna'),
      method,
      headers: { ...proxied('anna').headers, ...headers },
    })

  it.each(['fleet.example.com', 'FLEET.example.com:8443', 'localhost', '127.0.0.1:9469', '[::1]'])(
    'is let in under the name %s',
    async (host) => {
      expect((await preview({ host })).status).toBe(200)
      const { status } = await ask(server.url, '/api/v2/alerts', {
        ...proxied('vera'),
        headers: { ...proxied('vera').headers, host },
      })
      expect(status).toBe(200)
    },
  )

  it.each(['evil.example', 'fleet.example.com.evil.example', 'fleet.example.comm', '10.0.0.1'])(
    'is refused under the name %s, to read too',
    async (host) => {
      const { status, body } = await ask(server.url, '/api/v2/alerts', {
        ...proxied('vera'),
        headers: { ...proxied('vera').headers, host },
      })
      expect([status, JSON.parse(body)]).toEqual([
        403,
        'the API answers people only under the name in http.public_url',
      ])
    },
  )

  it.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ 'sec-fetch-site': ['same-origin', 'cross-site'] }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'http://fleet.example.com' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'same-origin', origin: 'https://fleet.example.com' }, 200],
    [{ origin: 'https://fleet.example.com' }, 200],
    [{}, 200],
  ] as [OutgoingHttpHeaders, number][])('changes something from %j with %i', async (headers, status) => {
    for (const method of ['POST', 'PUT']) expect((await preview(headers, method)).status).toBe(status)
  })

  it('is nothing to tokens, which no page knows', async () => {
    const headers = { ...bearer('fwt_admin'), host: 'fleetwarden:9469', origin: 'https://karma.example' }
    expect((await ask(server.url, '/-/reload', { method: 'POST', headers })).status).toBe(200)
  })
})
