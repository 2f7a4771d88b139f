import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { noon } from '../notify/sample.ts'
import { type ApiServer, startApiServer } from './api-server.ts'

const hour = 3_600_000
const iso = (at: number) => new Date(at).toISOString()

describe('our own API', () => {
  let clock: ManualClock
  let server: ApiServer

  beforeEach(async () => {
    clock = createManualClock(noon)
    server = await startApiServer(clock)
  })
  afterEach(() => server.close())

  async function ask(method: string, path: string, body?: unknown): Promise<[number, unknown]> {
    const response = await fetch(`${server.url}/api/v1${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return [response.status, text === '' ? '' : JSON.parse(text)]
  }

  it('lists alerts with what Alertmanager has no words for', async () => {
    const { fingerprint } = server.alerting.add(1, {
      state: 'recovering',
      noData: { since: noon - hour, reason: 'poll_failed', evaluations: 3 },
    })
    server.alerting.flapping.add(fingerprint)
    server.alerting.add(2, { state: 'pending', firedAt: null, fingerprint: 'p', activeAt: noon - hour })
    await ask('POST', `/alerts/${fingerprint}/acknowledgement`, { by: 'ada', comment: 'on it' })
    const [status, alerts] = await ask('GET', '/alerts')
    expect(status).toBe(200)
    expect(alerts).toEqual([
      expect.objectContaining({
        fingerprint,
        state: 'recovering',
        status: { state: 'active', silencedBy: [], inhibitedBy: [], mutedBy: [] },
        noData: { since: iso(noon - hour), reason: 'poll_failed' },
        isFlapping: true,
        externalUserId: 'K-4701',
        acknowledgement: { fingerprint, by: 'ada', comment: 'on it', at: iso(noon), until: null },
      }),
    ])
    const [, pending] = await ask(
      'GET',
      '/alerts?pending=true&filter=device_id%3D11111111-0000-4000-8000-000000000002',
    )
    expect(pending).toEqual([
      expect.objectContaining({
        fingerprint: 'p',
        state: 'pending',
        startsAt: iso(noon - hour),
        activeAt: iso(noon - hour),
        noData: null,
        isFlapping: false,
        acknowledgement: null,
      }),
    ])
    expect(await ask('GET', '/alerts?pending=perhaps')).toEqual([
      400,
      { error: 'pending is true or false, not "perhaps"' },
    ])
  })

  it('acknowledges an alert for a while, and takes that back', async () => {
    const { fingerprint } = server.alerting.add(1)
    const path = `/alerts/${fingerprint}/acknowledgement`
    expect(await ask('POST', path, { by: ' ada ', comment: '', until: iso(noon + hour) })).toEqual([
      200,
      { fingerprint, by: 'ada', comment: '', at: iso(noon), until: iso(noon + hour) },
    ])
    expect(server.alerting.acknowledgements.get(fingerprint)).toMatchObject({ until: noon + hour })
    expect(await ask('DELETE', path)).toEqual([204, ''])
    expect(await ask('DELETE', path)).toEqual([404, { error: 'this alert is not acknowledged' }])
  })

  it.each([
    [
      {},
      'by: Invalid input: expected string, received undefined; comment: Invalid input: expected string, received undefined',
    ],
    [{ by: ' ', comment: '' }, 'by: expected who it is'],
    [{ by: 'a', comment: '', until: iso(noon) }, 'until: expected an instant that is yet to come'],
    [
      { by: 'a', comment: '', until: 'tomorrow' },
      'until: expected an instant such as 2026-05-01T08:00:00Z, not "tomorrow"',
    ],
  ])('refuses the acknowledgement %j', async (body, error) => {
    const { fingerprint } = server.alerting.add(1)
    expect(await ask('POST', `/alerts/${fingerprint}/acknowledgement`, body)).toEqual([400, { error }])
    expect(server.alerting.acknowledgements.size).toBe(0)
  })

  it('knows no acknowledgement of an alert that is not active', async () => {
    const missing = [404, { error: 'no alert with this fingerprint is active' }]
    expect(await ask('POST', '/alerts/x/acknowledgement', { by: 'a', comment: '' })).toEqual(missing)
    expect(await ask('DELETE', '/alerts/x/acknowledgement')).toEqual(missing)
  })

  it('previews what a silence would match: how many, and the first hundred', async () => {
    for (let n = 0; n < 120; n++) {
      server.alerting.add(1, { fingerprint: `f${String(n).padStart(3, '0')}` })
    }
    server.alerting.add(2, { fingerprint: 'other', labels: { alertname: 'Other' } })
    const preview = (name: string, value: string, more: object = {}) =>
      ask('POST', '/silences/preview', { matchers: [{ name, value, isRegex: false, ...more }] })
    const [status, body] = await preview('alertname', 'DeviceUnauthenticated')
    const { count, alerts } = body as { count: number; alerts: unknown[] }
    expect([status, count, alerts.length]).toEqual([200, 120, 100])
    expect(alerts[0]).toEqual({ fingerprint: 'f000', labels: server.alerting.alert('f000')?.labels })
    expect(await preview('alertname', 'Dev.*', { isRegex: true, isEqual: false })).toEqual([
      200,
      { count: 1, alerts: [{ fingerprint: 'other', labels: { alertname: 'Other' } }] },
    ])
    expect(await preview('alertname', 'none')).toEqual([200, { count: 0, alerts: [] }])
    expect(await preview('alertname', '(', { isRegex: true })).toEqual([
      400,
      { error: '"(" is no pattern that RE2 takes: error parsing regexp: missing closing ): `(`' },
    ])
  })

  it('explains what it knows', async () => {
    server.alerting.add(1, { fingerprint: 'f1' })
    server.alerting.add(1, { fingerprint: 'a/b c' })
    expect(await ask('GET', '/explain/f1')).toEqual([200, { id: 'f1', why: 'it is false' }])
    expect(await ask('GET', '/explain/a%2Fb%20c')).toEqual([200, { id: 'a/b c', why: 'it is false' }])
    expect(await ask('GET', '/explain/f2')).toEqual([404, { error: 'no device and no alert has this id' }])
  })

  it('answers 500 without details when something throws, and logs it', async () => {
    const error = new Error('details')
    Object.assign(server.alerting, { explain: () => Promise.reject(error) })
    expect(await ask('GET', '/explain/x')).toEqual([500, { error: 'internal error' }])
    expect(server.errors).toEqual([{ error, path: '/api/v1/explain/x' }])
  })

  it.each(['POST', 'PUT'])('reloads on %s, or says everything that is wrong', async (method) => {
    const reload = async () => {
      const response = await fetch(`${server.url}/-/reload`, { method })
      return [response.status, await response.text()]
    }
    expect(await reload()).toEqual([200, 'ok\n'])
    server.alerting.problems = ['a.yaml:1:2: bad', 'b.yaml:3:4: worse']
    expect(await reload()).toEqual([500, 'a.yaml:1:2: bad\nb.yaml:3:4: worse\n'])
    expect((await fetch(`${server.url}/-/reload`)).status).toBe(404)
  })
})
