// The page in a process of its own: the book with its database and history, routes, silences and 50,000
// firing alerts, without a partner or receivers that could be told.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { createActivity } from '../src/activity.ts'
import { openAlerting } from '../src/alerting.ts'
import { createAlertingApi } from '../src/alerting-api.ts'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { fingerprint } from '../src/alerts/fingerprint.ts'
import { createHistory } from '../src/alerts/history.ts'
import { systemClock as clock } from '../src/clock.ts'
import { parseConfig } from '../src/config.ts'
import { pages } from '../src/http/page/pages.ts'
import { startHttpServer } from '../src/http/server.ts'
import { silentLogger } from '../src/logger.ts'
import { createMatcher } from '../src/matcher.ts'
import { createPageSources } from '../src/page-sources.ts'
import { openSqlite } from '../src/storage/sqlite.ts'
import { benchAlerts } from './alerting-alerts.ts'
import { answerParent, childOptions } from './harness.ts'

export interface PageChildOptions {
  /** Of the database. */
  readonly folder: string
  readonly alerts: number
  readonly silences: number
  /** Whether the history is kept: to see what that costs. */
  readonly hasHistory: boolean
}

export interface PageChildReady {
  readonly pid: number
  readonly url: string
}

/** CPU and wall in ms to take all alerts in and save them. */
export interface TakenIn {
  readonly cpuMs: number
  readonly wallMs: number
}

const changesPerCommit = 500
const noRules = {
  ...{ deviceRules: [], userRules: [], fleetRules: [], serviceRules: [] },
  reads: { energyContracts: false, externalIdCounts: false },
}

const options = childOptions<PageChildOptions>()
const config = await parseConfig({
  file: join(options.folder, 'fleetwarden.yaml'),
  text: JSON.stringify({
    partner: { base_url: 'http://127.0.0.1:9/api', token: 'none' },
    rules: ['none.yaml'],
    storage: { url: `sqlite:${join(options.folder, 'fleet.db')}` },
    http: { listen: '127.0.0.1:0' },
    mass_change: false,
    alerting: {
      route: { receiver: 'nobody', group_by: ['alertname', 'manufacturer'] },
      receivers: [{ name: 'nobody' }],
    },
  }),
  env: {},
  readFile: (path) => readFile(path, 'utf8'),
  glob: async () => ['none.yaml'],
})
const storage = await openSqlite({ path: join(options.folder, 'fleet.db') })
const book = await openAlertBook(storage, { downMs: 0, flapping: config.flapping })
const history = createHistory({ store: storage, book: bookForHistory(), onError: console.error })
const activity = createActivity({ now: () => clock.now() })
const alerting = await openAlerting({
  ...{ config, integrations: [], book, store: storage, clock, newId: randomUUID },
  linkFor: async () => null,
  events: {
    dispatcher: {
      ...{ onAttempt() {}, onDelivered() {}, onFailure() {}, onWithheld() {}, onDropped() {} },
      onStorageError: (error) => console.error(error),
    },
    onUnreadableSilence() {},
  },
})
const explaining = {
  ...{ book, alerting, readDevice: nobody, readUser: nobody, ownerOutlook: () => null },
  rules: () => noRules,
  now: () => clock.now(),
}
const { signal } = new AbortController()
const api = createAlertingApi({
  ...{ book, alerting, explaining, version: 'bench', signal },
  trail: { audited: (_change, work) => work() },
  links: { revokeAll: async () => false },
  config: () => config,
  now: () => clock.now(),
  reload: async () => ({ ok: true }),
})
const sources = createPageSources({
  ...{ book, alerting, history, activity, explaining, signal },
  linkFor: async () => null,
  integrations: () => [],
  current: () => ({ config, rules: noRules }),
})
const server = await startHttpServer({
  ...config.http,
  metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
  health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
  routes: [pages({ api, sources, clock, logger: silentLogger })],
  clock,
  logger: silentLogger,
})

function bookForHistory() {
  return options.hasHistory ? book : { ...book, subscribe() {} }
}

async function nobody(): Promise<never> {
  throw new Error('there is no partner')
}

async function takeIn(): Promise<TakenIn> {
  const before = process.cpuUsage()
  const startedAt = performance.now()
  const at = clock.now()
  let count = 0
  for (const { labels, annotations, device } of benchAlerts()) {
    if (++count > options.alerts) break
    const ruleId = `bench/${labels['alertname']}`
    const subject = { kind: 'device', ...device } as const
    book.evaluate({
      ruleId,
      subject,
      evaluation: { at, verdict: true, clear: null },
      timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
      definition: 'bench',
      birth: () => ({
        ...{ fingerprint: fingerprint(labels), ruleId, definition: 'bench', subject, labels, annotations },
        affected: { externalUserId: `C-${count}`, name: null, email: null, model: null },
        episode: randomUUID(),
      }),
    })
    if (book.pendingChanges() >= changesPerCommit) await book.commit()
  }
  await book.commit()
  await history.saved()
  const { user, system } = process.cpuUsage(before)
  const taken = { cpuMs: (user + system) / 1_000, wallMs: performance.now() - startedAt }
  for (let index = 0; index < options.silences; index++) {
    await alerting.silences.set({
      matchers: [
        createMatcher('manufacturer', '=', `m${index % 10}`),
        createMatcher('device_type', '=~', 'heat_pump|inverter'),
        createMatcher('alertname', '=~', `DeviceTrouble[${index % 3}x]`),
      ],
      ...{ startsAt: at, endsAt: at + 3_600_000, createdBy: 'bench', comment: 'bench' },
    })
  }
  return taken
}

answerParent(takeIn)
process.send?.({ pid: process.pid, url: server.url } satisfies PageChildReady)
