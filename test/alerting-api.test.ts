// What changes something through the API, when the audit trail cannot be written: against a real
// database that may not grow.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Alerting, openAlerting } from '../src/alerting.ts'
import { createAlertingApi } from '../src/alerting-api.ts'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { type AuditTrail, openAuditTrail, serviceActor } from '../src/backoffice/audit-trail.ts'
import { apiV1 } from '../src/http/api-v1.ts'
import { apiV2 } from '../src/http/api-v2.ts'
import { type HttpServer, startHttpServer } from '../src/http/server.ts'
import { silentLogger } from '../src/logger.ts'
import { createMetrics } from '../src/metrics.ts'
import { openSqlite } from '../src/storage/sqlite.ts'
import type { Storage } from '../src/storage/storage.ts'
import { createTelemetry } from '../src/telemetry.ts'
import { parseAlerting } from './config/parse.ts'
import { createManualClock } from './manual-clock.ts'
import { alertFixture } from './storage/fixtures.ts'

const clock = createManualClock()
const noRules = {
  ...{ deviceRules: [], userRules: [], fleetRules: [], serviceRules: [] },
  reads: { energyContracts: false, externalIdCounts: false },
}
const nobody = () => Promise.reject(new Error('nobody is asked'))

describe('a change on a full disk', () => {
  let folder: string
  let storage: Storage
  let trail: AuditTrail
  let alerting: Alerting
  let server: HttpServer
  const metrics = createMetrics({ clock, version: '', revision: '', nodeVersion: '', processMetrics: false })

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetwarden-'))
    storage = await openSqlite({ path: join(folder, 'fleet.db'), maximumBytes: 400_000 })
    await storage.saveAlerts({ upserts: [alertFixture({ fingerprint: 'f1' })], deletedKeys: [] })
    const telemetry = createTelemetry({ logger: silentLogger, metrics, clock })
    trail = await openAuditTrail(storage, { clock, events: telemetry.audit })
    const book = await openAlertBook(storage, { downMs: 0 })
    const config = await parseAlerting('route: {receiver: r}\nreceivers: [{name: r}]')
    alerting = await openAlerting({
      ...{ config, integrations: [], book, store: storage, clock, newId: () => crypto.randomUUID() },
      linkFor: async () => null,
      events: { dispatcher: telemetry.dispatcher, onUnreadableSilence: telemetry.unreadableSilence },
    })
    const api = createAlertingApi({
      ...{ book, alerting, trail, config: () => config, now: clock.now, version: '' },
      links: { revokeAll: async (print: string) => print === 'linked' },
      explaining: {
        ...{
          book,
          alerting,
          rules: () => noRules,
          now: clock.now,
          readDevice: nobody,
          readUser: nobody,
          ownerOutlook: () => null,
        },
      },
      reload: async () => ({ ok: true }),
      signal: new AbortController().signal,
    })
    const options = { api, clock, logger: silentLogger }
    server = await startHttpServer({
      ...{ host: '127.0.0.1', port: 0, metrics, clock, logger: silentLogger },
      health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
      routes: [apiV1(options), apiV2(options)],
    })
  })
  afterEach(async () => {
    await server.close()
    await storage.close()
    await rm(folder, { recursive: true })
  })

  /** Until not even a small record fits. */
  async function fill(): Promise<void> {
    const entry = { actor: serviceActor(), action: 'a.b', result: 'ok' as const, target: {} }
    for (const text of ['x'.repeat(4_000), 'x'.repeat(200), '']) {
      let isFull = false
      while (!isFull) {
        await trail.record({ ...entry, detail: { text } }).catch(() => {
          isFull = true
        })
      }
    }
  }

  async function send(method: string, path: string, body?: unknown) {
    const response = await fetch(server.url + path, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    return { status: response.status, text: await response.text() }
  }

  const silence = () => ({
    matchers: [{ name: 'device_id', value: '17', isRegex: false }],
    startsAt: new Date(clock.now()).toISOString(),
    endsAt: new Date(clock.now() + 3_600_000).toISOString(),
    createdBy: 'ann',
    comment: 'on it',
  })
  const why =
    'nothing was changed, since the change could not be recorded in the audit trail: the log says why'

  it('does not happen, and whoever asked for it is told so', async () => {
    const set = await send('POST', '/api/v2/silences', silence())
    expect(set.status).toBe(200)
    const id = (JSON.parse(set.text) as { silenceID: string }).silenceID
    await fill()
    const head = trail.head()
    expect(await send('POST', '/api/v2/silences', silence())).toEqual({
      status: 503,
      text: JSON.stringify(why),
    })
    expect(await send('DELETE', `/api/v2/silence/${id}`)).toMatchObject({ status: 503 })
    const acknowledgement = '/api/v1/alerts/f1/acknowledgement'
    expect(await send('POST', acknowledgement, { by: 'ann', comment: '' })).toEqual({
      status: 503,
      text: JSON.stringify({ error: why }),
    })
    expect(await send('DELETE', acknowledgement)).toMatchObject({ status: 503 })
    expect([...alerting.silences.all()].map(({ id, endsAt }) => [id, endsAt > clock.now()])).toEqual([
      [id, true],
    ])
    expect(alerting.acknowledgements.size()).toBe(0)
    expect(trail.head()).toEqual(head)
    expect(await trail.verify()).toMatchObject({ findings: [] })
    expect(await metrics.renderOwn()).toMatch(/^fleet_audit_failures_total [1-9]/m)
  })
})
