// What Prometheus gets and how long it waits, after a walk over a million devices.

import { request } from 'undici'
import { systemClock } from '../src/clock.ts'
import { deviceTypes } from '../src/fleet/device.ts'
import { startHttpServer } from '../src/http/server.ts'
import { silentLogger } from '../src/logger.ts'
import { createDeviceTally } from '../src/metric-series.ts'
import { createMetrics } from '../src/metrics.ts'
import { type Benchmark, median, type Report } from './harness.ts'

const devices = 1_000_000
const scrapes = 50
const mostMs = 20
const mostKilobytes = 100
// As many as a partner may have, and as many as a faulty answer may make up.
const manufacturerCounts = [40, 5_000]

export const scrape: Benchmark = {
  name: 'scrape',
  about: 'GET /metrics after a walk over a million devices',
  run,
}

async function run(): Promise<Report> {
  const measured = []
  for (const manufacturers of manufacturerCounts)
    measured.push({ manufacturers, ...(await measure(manufacturers)) })
  return {
    tables: [
      {
        head: ['manufacturers', 'tally ns/device', 'series', 'kB', 'first ms', 'median ms', 'worst ms'],
        rows: measured.map(({ manufacturers, tallyNs, series, bytes, ms }) => [
          String(manufacturers),
          tallyNs.toFixed(0),
          String(series),
          (bytes / 1_000).toFixed(1),
          (ms[0] ?? Number.NaN).toFixed(1),
          median(ms).toFixed(1),
          Math.max(...ms).toFixed(1),
        ]),
      },
    ],
    figures: [
      {
        name: 'median time',
        value: Math.max(...measured.map(({ ms }) => median(ms))),
        limit: mostMs,
        unit: ' ms',
      },
      {
        name: 'size',
        value: Math.max(...measured.map(({ bytes }) => bytes)) / 1_000,
        limit: mostKilobytes,
        unit: ' kB',
      },
    ],
    notes: [
      `${scrapes} scrapes over HTTP, one after the other; metrics of the process and 120 alerts' series included.`,
    ],
  }
}

async function measure(
  manufacturers: number,
): Promise<{ tallyNs: number; series: number; bytes: number; ms: readonly number[] }> {
  const metrics = createMetrics({
    clock: systemClock,
    version: '0',
    revision: '0',
    nodeVersion: process.version,
  })
  const startedAt = performance.now()
  const tally = createDeviceTally()
  const names = Array.from({ length: manufacturers }, (_, index) => `Manufacturer ${index}`)
  for (let index = 0; index < devices; index++) {
    tally.add({
      type: deviceTypes[index % deviceTypes.length] ?? 'wallbox',
      manufacturer: names[(index * 7) % manufacturers] ?? '',
      is_authenticated: index % 50 === 0 ? false : index % 333 === 0 ? null : true,
      is_smart_optimization_active: index % 20 !== 0,
    })
  }
  metrics.setFleet({ users: devices / 3, devices: tally.counts() })
  const tallyNs = ((performance.now() - startedAt) * 1e6) / devices
  fillTheRest(metrics)

  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    metrics,
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
    clock: systemClock,
    logger: silentLogger,
  })
  try {
    const ms: number[] = []
    let text = ''
    for (let scrape = 0; scrape < scrapes; scrape++) {
      metrics.partnerRequest({ endpoint: 'users', code: '200', durationMs: 30 })
      const askedAt = performance.now()
      const { body } = await request(`${server.url}/metrics`)
      text = await body.text()
      ms.push(performance.now() - askedAt)
    }
    const series = text.split('\n').filter((line) => line.startsWith('fleet_')).length
    return { tallyNs, series, bytes: Buffer.byteLength(text), ms }
  } finally {
    await server.close()
  }
}

/** As after some days of service: every shipped alert in every state, requests of every kind, messages. */
function fillTheRest(metrics: ReturnType<typeof createMetrics>): void {
  const alertnames = Array.from({ length: 30 }, (_, index) => `AlertOfSomeKind${index}`)
  metrics.setRules(alertnames.map((alertname) => ({ alertname, severity: 'warning' })))
  metrics.setAlerts(
    alertnames.flatMap((alertname) =>
      ['pending', 'firing', 'recovering', 'resolved'].map((state) => ({
        labels: { alertname, severity: 'warning' },
        state,
      })),
    ),
  )
  for (const alertname of alertnames) metrics.ruleUnknown(alertname, 'missing_field')
  for (const endpoint of [
    'users',
    'user',
    'heat-pumps',
    'electric-vehicles',
    'inverters',
    'energy-contracts',
  ]) {
    for (const code of ['200', '404', '429', '500', '503', 'timeout']) {
      metrics.partnerRequest({ endpoint, code, durationMs: 30 })
    }
  }
  metrics.setIntegrations(['on-call', 'desk', 'manager'].map((receiver) => ({ receiver, kind: 'slack' })))
  for (const receiver of ['on-call', 'desk', 'manager']) {
    metrics.notificationAttempt({ receiver, integration: 'slack', outcome: 'ok', durationMs: 100 })
  }
  metrics.walkEnded({ outcome: 'complete', durationMs: 60_000, endedAt: 0 })
}
