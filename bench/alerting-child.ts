// Our alerting in a process of its own: the book with its database, routes and lanes, and the HTTP API,
// without a partner. When it is asked, it takes in all alerts at once, as the walk of a bad day does.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { openAlerting } from '../src/alerting.ts'
import { createAlertingApi } from '../src/alerting-api.ts'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { fingerprint } from '../src/alerts/fingerprint.ts'
import { systemClock as clock } from '../src/clock.ts'
import { parseConfig } from '../src/config.ts'
import { apiV2 } from '../src/http/api-v2.ts'
import { startHttpServer } from '../src/http/server.ts'
import { silentLogger } from '../src/logger.ts'
import { createIntegrations } from '../src/notify/receivers/registry.ts'
import { openSqlite } from '../src/storage/sqlite.ts'
import { type BenchAlert, benchAlerts } from './alerting-alerts.ts'
import { answerParent, childOptions } from './harness.ts'

export interface AlertingChildOptions {
  /** Of the database. */
  readonly folder: string
  /** What stands under `alerting`: JSON, which YAML is. */
  readonly alerting: unknown
}

export interface AlertingChildReady {
  readonly pid: number
  readonly url: string
}

// As in a walk.
const changesPerCommit = 500
const tendMs = 10_000
const noRules = {
  deviceRules: [],
  userRules: [],
  fleetRules: [],
  serviceRules: [],
  reads: { energyContracts: false, externalIdCounts: false },
}

const options = childOptions<AlertingChildOptions>()
const config = await parseConfig({
  file: join(options.folder, 'fleetwarden.yaml'),
  text: JSON.stringify({
    partner: { base_url: 'http://127.0.0.1:9/api', token: 'none' },
    rules: ['none.yaml'],
    storage: { url: `sqlite:${join(options.folder, 'fleet.db')}` },
    http: { listen: '127.0.0.1:0' },
    mass_change: false,
    alerting: options.alerting,
  }),
  env: {},
  readFile: (path) => readFile(path, 'utf8'),
  glob: async () => ['none.yaml'],
})
const storage = await openSqlite({ path: join(options.folder, 'fleet.db') })
const book = await openAlertBook(storage, { downMs: 0, flapping: config.flapping })
const alerting = await openAlerting({
  config,
  integrations: createIntegrations(config.alerting.receivers, {
    clock,
    moreUrl: () => null,
    onLayoutRefused() {},
    onTemplateFailure() {},
  }),
  book,
  store: storage,
  clock,
  newId: randomUUID,
  linkFor: async () => null,
  events: {
    dispatcher: {
      onAttempt() {},
      onDelivered() {},
      onFailure: (_message, _integration, { reason }) => console.error(`a message failed: ${reason}`),
      onWithheld() {},
      onDropped() {},
      onStorageError: (error) => console.error(error),
    },
    onUnreadableSilence() {},
  },
})
const ending = new AbortController()
const api = createAlertingApi({
  links: { revokeAll: async () => false },
  trail: { audited: (_change, work) => work() },
  book,
  alerting,
  config: () => config,
  now: () => clock.now(),
  explaining: {
    book,
    alerting,
    rules: () => noRules,
    now: () => clock.now(),
    readDevice: nobody,
    readUser: nobody,
    ownerOutlook: () => null,
  },
  reload: async () => ({ ok: true }),
  version: 'bench',
  signal: ending.signal,
})
const server = await startHttpServer({
  ...config.http,
  metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
  health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
  routes: [apiV2({ api, clock, logger: silentLogger })],
  clock,
  logger: silentLogger,
})
alerting.dispatcher.enable()
void alerting.dispatcher.run(ending.signal)
// What the service does besides.
setInterval(() => void alerting.tend(clock.now()), tendMs)

async function nobody(): Promise<never> {
  throw new Error('there is no partner')
}

async function takeIn(): Promise<number> {
  const at = clock.now()
  for (const alert of benchAlerts()) {
    evaluate(alert, at)
    if (book.pendingChanges() >= changesPerCommit) await book.commit()
  }
  await book.commit()
  return book.size()
}

function evaluate({ labels, annotations, device }: BenchAlert, at: number): void {
  const ruleId = `bench/${labels['alertname']}`
  const subject = { kind: 'device', ...device } as const
  book.evaluate({
    ruleId,
    subject,
    evaluation: { at, verdict: true, clear: null },
    timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
    definition: 'bench',
    birth: () => ({
      fingerprint: fingerprint(labels),
      ruleId,
      definition: 'bench',
      subject,
      labels,
      annotations,
      affected: { externalUserId: null, name: null, email: null, model: null },
      episode: randomUUID(),
    }),
  })
}

answerParent(takeIn)
process.send?.({ pid: process.pid, url: server.url } satisfies AlertingChildReady)
