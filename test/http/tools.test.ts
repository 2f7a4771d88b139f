// The calls that Grafana's Alertmanager data source and karma make, as their sources have them:
// grafana public/app/plugins/datasource/alertmanager/DataSource.ts and pkg/services/ngalert/api/lotex_am.go;
// karma internal/alertmanager/models.go, internal/mapper/v017 and cmd/karma/proxy.go.
// amtool itself is run by test/peers/amtool-check.ts.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createManualClock } from '../manual-clock.ts'
import { noon } from '../notify/sample.ts'
import { type ApiServer, startApiServer } from './api-server.ts'

let server: ApiServer

beforeEach(async () => {
  server = await startApiServer(createManualClock(noon))
  server.alerting.add(1, { fingerprint: 'f1' })
})
afterEach(() => server.close())

interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into at will
  readonly body: any
}

async function call(method: string, path: string, body?: unknown, headers = {}): Promise<Answer> {
  const response = await fetch(server.url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  return { status: response.status, body: isJson ? JSON.parse(text) : text }
}

// As Grafana's page and karma's write one.
const silence = {
  matchers: [{ name: 'alertname', value: 'Device.*', isRegex: true, isEqual: true }],
  startsAt: new Date(noon).toISOString(),
  endsAt: new Date(noon + 7_200_000).toISOString(),
  createdBy: 'ada@example.com',
  comment: 'created 2026-11-23 12:00',
}

describe('Grafana, with the implementation "prometheus"', () => {
  it('tests the source: GET /alertmanager/api/v2/status has to fail, GET /api/v2/status to work', async () => {
    expect((await call('GET', '/alertmanager/api/v2/status')).status).toBe(404)
    expect((await call('GET', '/api/v2/status')).status).toBe(200)
  })

  it('asks for features: GET /api/v1/status/buildinfo may be missing', async () => {
    expect((await call('GET', '/api/v1/status/buildinfo')).status).toBe(404)
  })

  it('shows contact points and policies: GET /api/v2/status, whose config.original is YAML', async () => {
    const { body } = await call('GET', '/api/v2/status')
    expect(body.config.original).toContain('receiver: on-call')
  })

  it('lists alerts: GET /api/v2/alerts, with and without filters', async () => {
    expect((await call('GET', '/api/v2/alerts')).body).toHaveLength(1)
    const filter = encodeURIComponent('alertname=~"Device.*"')
    expect(
      (await call('GET', `/api/v2/alerts?filter=${filter}&silenced=true&active=true&inhibited=true`)).body,
    ).toHaveLength(1)
  })

  it('lists groups: GET /api/v2/alerts/groups', async () => {
    const { body } = await call('GET', '/api/v2/alerts/groups')
    expect(body).toMatchObject([{ labels: {}, receiver: { name: 'pager' }, alerts: [{ fingerprint: 'f1' }] }])
  })

  it('adds, lists, shows, changes and ends a silence: POST and GET /api/v2/silences, GET and DELETE /api/v2/silence/…', async () => {
    const added = await call('POST', '/api/v2/silences', silence)
    const id = added.body.silenceID
    expect(added).toEqual({ status: 200, body: { silenceID: expect.stringMatching(/^[0-9a-f-]{36}$/) } })
    expect((await call('GET', '/api/v2/silences')).body).toMatchObject([{ id, ...silence }])
    const shown = (await call('GET', `/api/v2/silence/${id}`)).body
    expect(shown).toMatchObject({ id, status: { state: 'active' } })
    expect((await call('POST', '/api/v2/silences', { ...silence, id, comment: 'longer' })).body).toEqual({
      silenceID: id,
    })
    expect(await call('DELETE', `/api/v2/silence/${id}`)).toEqual({ status: 200, body: '' })
    expect((await call('GET', `/api/v2/silence/${id}`)).body.status.state).toBe('expired')
  })

  it("reads an error's text out of its bare JSON string", async () => {
    const { status, body } = await call('POST', '/api/v2/silences', { ...silence, matchers: [] })
    expect([status, body]).toEqual([400, 'matchers: expected at least one matcher'])
  })
})

describe('karma', () => {
  it('asks GET /metrics which Alertmanager it is, and takes none below 0.22', async () => {
    const metrics = createMetrics({ clock: systemClock, version: '0.1.0', revision: '', nodeVersion: '' })
    const { body } = await metrics.render()
    const [, minor] = /^alertmanager_build_info\{version="0\.(\d+)\.0"\} 1$/m.exec(body) ?? []
    expect(Number(minor)).toBeGreaterThanOrEqual(22)
    const { body: status } = await call('GET', '/api/v2/status')
    expect(status.versionInfo.version).toBe(`0.${minor}.0`)
  })

  it('reads GET /api/v2/status: cluster.peers is a list', async () => {
    const { body } = await call('GET', '/api/v2/status')
    expect(body.cluster.peers).toEqual([])
  })

  it('reads GET /api/v2/alerts/groups: a pointer to each of these, so none may be missing', async () => {
    const { body } = await call('GET', '/api/v2/alerts/groups')
    for (const { receiver, alerts } of body) {
      expect(typeof receiver.name).toBe('string')
      for (const { fingerprint, startsAt, status } of alerts) {
        expect([typeof fingerprint, typeof startsAt, typeof status.state]).toEqual(Array(3).fill('string'))
        expect([Array.isArray(status.silencedBy), Array.isArray(status.inhibitedBy)]).toEqual([true, true])
      }
    }
  })

  it('reads GET /api/v2/silences: isRegex and isEqual of every matcher', async () => {
    await call('POST', '/api/v2/silences', {
      ...silence,
      matchers: [{ name: 'a', value: 'b', isRegex: false }],
    })
    const { body } = await call('GET', '/api/v2/silences')
    expect(body[0].matchers).toEqual([{ name: 'a', value: 'b', isRegex: false, isEqual: true }])
  })

  it("passes on a person's POST /api/v2/silences and DELETE /api/v2/silence/… with the page's headers", async () => {
    // From a page with TLS, or from localhost, browsers say themselves that it is the proxy's own.
    const secure = { Origin: 'https://karma.example', 'Sec-Fetch-Site': 'same-origin' }
    const { status, body } = await call('POST', '/api/v2/silences', silence, secure)
    expect(status).toBe(200)
    expect((await call('DELETE', `/api/v2/silence/${body.silenceID}`, undefined, secure)).status).toBe(200)
    // Without TLS they don't: then the proxy has to be told to name us (docs/api.md).
    const plain = { Origin: 'http://karma.example:8080' }
    expect((await call('POST', '/api/v2/silences', silence, plain)).status).toBe(403)
    expect((await call('POST', '/api/v2/silences', silence, { Origin: server.url })).status).toBe(200)
  })
})
