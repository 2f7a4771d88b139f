// What a hundred thousand firing alerts cost: to tell, to keep, and to look for. The same alerts, groups
// and webhook for the real Alertmanager and for us, one after the other in one run.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { request } from 'undici'
import { alertCount, benchAlerts, groupBy, groupCount, hundredOf } from './alerting-alerts.ts'
import type { AlertingChildOptions, AlertingChildReady } from './alerting-child.ts'
import { startAlertmanager } from './alertmanager.ts'
import {
  type Benchmark,
  type BenchOptions,
  type Child,
  cpuMsOf,
  type Figure,
  median,
  memoryOf,
  quantile,
  type Report,
  scratchFolder,
  startChild,
} from './harness.ts'
import type { PeerProcess } from './peer-process.ts'

// All alerts have to be in before the first group is told; a round takes a minute and a half.
const groupWaitMs = 30_000
const groupIntervalMs = 15_000
const quietCycles = 2
const queries = 200
const alertsPerPost = 1_000
const mostCpuRatio = 1
const mostMemoryRatio = 1.5
const megabyte = 1_048_576

export const alerting: Benchmark = {
  name: 'alerting',
  about: `telling, keeping and finding ${alertCount} firing alerts in ${groupCount} groups, against Alertmanager`,
  run,
}

/** One of the two, and what it is asked to do. */
interface Side extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  takeIn(): Promise<void>
}

/** CPU in ms, of all threads. */
interface Measured {
  readonly takeInCpuMs: number
  readonly flushCpuMs: number
  /** From the first to the last message of the first flush. */
  readonly flushWallMs: number
  readonly messageBytes: number
  /** For each cycle without news. */
  readonly quietCpuMs: number
  /** For each query. */
  readonly queryCpuMs: number
  readonly queryMs: readonly number[]
  readonly nowBytes: number
  readonly peakBytes: number
}

async function run({ full }: BenchOptions): Promise<Report> {
  const rounds = full ? 3 : 1
  const ours: Measured[] = []
  const theirs: Measured[] = []
  for (let round = 0; round < rounds; round++) {
    const their = await measure(startTheirs)
    if (their !== null) theirs.push(their)
    const our = await measure(startOurs)
    if (our !== null) ours.push(our)
  }
  const row = (name: string, measured: readonly Measured[]) => {
    const of = (value: (each: Measured) => number) => median(measured.map(value))
    const seconds = (value: (each: Measured) => number) => (of(value) / 1_000).toFixed(2)
    const sorted = measured.flatMap(({ queryMs }) => queryMs).sort((a, b) => a - b)
    return [
      name,
      seconds(({ takeInCpuMs }) => takeInCpuMs),
      seconds(({ flushCpuMs }) => flushCpuMs),
      seconds(({ flushWallMs }) => flushWallMs),
      (of(({ messageBytes }) => messageBytes) / 1_000).toFixed(0),
      seconds(({ quietCpuMs }) => quietCpuMs),
      of(({ queryCpuMs }) => queryCpuMs).toFixed(1),
      quantile(sorted, 0.5).toFixed(1),
      quantile(sorted, 0.99).toFixed(1),
      (of(({ nowBytes }) => nowBytes) / megabyte).toFixed(0),
      (of(({ peakBytes }) => peakBytes) / megabyte).toFixed(0),
    ]
  }
  return {
    tables: [
      {
        head: [
          '',
          'in CPU s',
          'flush CPU s',
          'flush s',
          'kB/message',
          'quiet CPU s',
          'query CPU ms',
          'p50 ms',
          'p99 ms',
          'MB',
          'peak MB',
        ],
        rows: [...(theirs.length > 0 ? [row('Alertmanager', theirs)] : []), row('Fleetwarden', ours)],
      },
    ],
    figures: theirs.length === 0 ? [] : figuresOf(ours, theirs),
    notes: [
      ...(theirs.length === 0
        ? [
            'SKIPPED: Alertmanager is not installed (Debian: prometheus-alertmanager), so nothing is compared.',
          ]
        : []),
      `in: all alerts taken in, theirs by POST in thousands, ours by the book with its database. flush: ${groupCount} first messages.`,
      `quiet: a tick of all groups without news, the mean of ${quietCycles}, with what else runs in ${groupIntervalMs / 1_000} s.`,
      `query: GET /api/v2/alerts with three filters, 100 of ${alertCount} alerts, ${queries} one after the other.`,
    ],
  }
}

function figuresOf(ours: readonly Measured[], theirs: readonly Measured[]): readonly Figure[] {
  const figure = (name: string, value: (each: Measured) => number, limit = mostCpuRatio): Figure => ({
    name: `${name} / Alertmanager`,
    value: median(
      ours.map((each, turn) => value(each) / (theirs[turn] === undefined ? Number.NaN : value(theirs[turn]))),
    ),
    limit,
    unit: 'x',
  })
  return [
    figure('CPU of the first flush', ({ flushCpuMs }) => flushCpuMs),
    figure('CPU of a quiet cycle', ({ quietCpuMs }) => quietCpuMs),
    figure('CPU of a query', ({ queryCpuMs }) => queryCpuMs),
    figure('query, median time', ({ queryMs }) => median(queryMs)),
    figure('peak memory', ({ peakBytes }) => peakBytes, mostMemoryRatio),
  ]
}

type Start = (webhookUrl: string, folder: string) => Promise<Side | null>

/** Null: this side is not installed. */
async function measure(start: Start): Promise<Measured | null> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await scratchFolder())
  const webhook = stack.use(await startWebhook())
  const side = await start(webhook.url, folder.path)
  if (side === null) return null
  stack.use(side)
  const { pid } = side

  const cpuAtStart = cpuMsOf(pid)
  const startedAt = performance.now()
  await side.takeIn()
  const cpuTakenIn = cpuMsOf(pid)
  if (performance.now() - startedAt > groupWaitMs || webhook.received().messages > 0)
    throw new Error(
      'the alerts were not in before the first flush: this machine is too busy for the group_wait',
    )

  const { firstAt, lastAt } = await webhook.arrived(groupCount)
  // What comes after the last message: it is remembered, and garbage is collected.
  await pause(2_000)
  const cpuFlushed = cpuMsOf(pid)
  const { bytes } = webhook.received()
  await pause(quietCycles * groupIntervalMs)
  const cpuAfterQuiet = cpuMsOf(pid)
  if (webhook.received().messages !== groupCount) throw new Error('a group without news was told again')

  const queryMs: number[] = []
  for (let turn = 0; turn < queries; turn++) {
    const askedAt = performance.now()
    const found = await countFound(side.url, hundredOf(turn))
    queryMs.push(performance.now() - askedAt)
    if (found !== 100) throw new Error(`a query found ${found} alerts, not 100`)
  }
  return {
    takeInCpuMs: cpuTakenIn - cpuAtStart,
    flushCpuMs: cpuFlushed - cpuTakenIn,
    flushWallMs: lastAt - firstAt,
    messageBytes: bytes / groupCount,
    quietCpuMs: (cpuAfterQuiet - cpuFlushed) / quietCycles,
    queryCpuMs: (cpuMsOf(pid) - cpuAfterQuiet) / queries,
    queryMs,
    ...memoryOf(pid),
  }
}

async function countFound(url: string, filters: readonly string[]): Promise<number> {
  const query = filters.map((filter) => `filter=${encodeURIComponent(filter)}`).join('&')
  const { body, statusCode } = await request(`${url}/api/v2/alerts?${query}`)
  const found: unknown = await body.json()
  return statusCode === 200 && Array.isArray(found) ? found.length : Number.NaN
}

function alertingConfig(webhookUrl: string) {
  return {
    route: {
      receiver: 'on-call',
      group_by: groupBy,
      group_wait: `${groupWaitMs / 1_000}s`,
      group_interval: `${groupIntervalMs / 1_000}s`,
      repeat_interval: '4h',
    },
    receivers: [
      { name: 'on-call', webhook_configs: [{ url: webhookUrl, send_resolved: true, max_alerts: 0 }] },
    ],
  }
}

// ---- the sides

async function startOurs(webhookUrl: string, folder: string): Promise<Side> {
  const options: AlertingChildOptions = { folder, alerting: alertingConfig(webhookUrl) }
  const { child, ready }: { child: Child<object, number>; ready: Promise<unknown> } = startChild(
    './alerting-child.ts',
    options,
    [],
  )
  return {
    ...((await ready) as AlertingChildReady),
    async takeIn() {
      const count = await child.ask({})
      if (count !== alertCount) throw new Error(`${count} alerts were taken in, not ${alertCount}`)
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

async function startTheirs(webhookUrl: string, folder: string): Promise<Side | null> {
  const peer = await startAlertmanager(JSON.stringify(alertingConfig(webhookUrl)), folder)
  return peer === null ? null : { ...peer, takeIn: () => postAll(peer) }
}

async function postAll({ url }: PeerProcess): Promise<void> {
  const startsAt = new Date().toISOString()
  const endsAt = new Date(Date.now() + 86_400_000).toISOString()
  let batch: object[] = []
  for (const { labels, annotations } of benchAlerts()) {
    batch.push({ labels, annotations, startsAt, endsAt })
    if (batch.length < alertsPerPost) continue
    const { statusCode, body } = await request(`${url}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(batch),
    })
    await body.dump()
    if (statusCode !== 200) throw new Error(`Alertmanager took no alerts: ${statusCode}`)
    batch = []
  }
}

/** Counts messages and reads none. */
async function startWebhook() {
  let messages = 0
  let bytes = 0
  let firstAt = 0
  let lastAt = 0
  const waiting: { readonly count: number; resolve(): void }[] = []
  const server = createServer((incoming, response) => {
    incoming.on('data', (chunk: Uint8Array) => {
      bytes += chunk.length
    })
    incoming.on('end', () => {
      response.end()
      lastAt = performance.now()
      if (messages++ === 0) firstAt = lastAt
      for (const { count, resolve } of waiting) if (messages >= count) resolve()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    received: () => ({ messages, bytes }),
    async arrived(count: number): Promise<{ readonly firstAt: number; readonly lastAt: number }> {
      if (messages < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }))
      return { firstAt, lastAt }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}
