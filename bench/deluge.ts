// A big fleet of which everything breaks at once: what reading and watching it costs us, and what it
// costs an exporter, Prometheus and Alertmanager, and how many of all those devices each of them tells.

import { setTimeout as pause } from 'node:timers/promises'
import { request } from 'undici'
import {
  assertScraped,
  type BothSides,
  costsOf,
  manufacturerNames,
  type Part,
  type Side,
  startBothSides,
} from './both-sides.ts'
import {
  type Benchmark,
  type BenchOptions,
  type Figure,
  healthyFleet,
  type Report,
  scratchFolder,
} from './harness.ts'

// Three devices each. Nothing is scaled: intervals as in Debian's prometheus.yml, or, where a walk takes
// longer, as Prometheus has them without a file; and Alertmanager's own group_wait.
const settings = {
  usual: { users: 7_000, intervalSeconds: 15 },
  full: { users: 33_334, intervalSeconds: 60 },
}
const groupWaitSeconds = 30
const quietCycles = 2
// With group_wait, enough for the walk, the scrape after a walk of the exporter, and the evaluation.
const brokenCycles = 3
const mostRatio = 1
const megabyte = 1_048_576

export const deluge: Benchmark = {
  name: 'deluge',
  about: 'a big fleet of which all devices break at once, against Prometheus and Alertmanager',
  run,
}

/** Of a cycle, on average, in ms. */
type CpuByPart = Readonly<Record<Part, number>>

async function run({ full }: BenchOptions): Promise<Report> {
  const { users, intervalSeconds } = full ? settings.full : settings.usual
  await using folder = await scratchFolder()
  await using both = await startBothSides({
    folder: folder.path,
    users,
    latencyMs: 0,
    intervalSeconds,
    ruleForEach: null,
    massChange: false,
    alerting: (receiverUrl) => ({
      route: {
        receiver: 'on-call',
        group_by: ['alertname', 'manufacturer'],
        group_wait: `${groupWaitSeconds}s`,
        // Whatever a walk or scrape under way has missed comes with the next one.
        group_interval: `${intervalSeconds}s`,
      },
      receivers: [{ name: 'on-call', webhook_configs: [{ url: receiverUrl, max_alerts: 0 }] }],
    }),
  })
  if (both === null) {
    const notes = [
      'SKIPPED: needs Prometheus and Alertmanager (Debian: prometheus, prometheus-alertmanager).',
    ]
    return { tables: [], figures: [], notes }
  }

  const startedAt = performance.now()
  const cycleMs = intervalSeconds * 1_000
  const quiet = await cpuOf(both, quietCycles * cycleMs, cycleMs)
  const devices = devicesOf(users)
  for (const manufacturer of manufacturerNames())
    await both.simulator.control('POST', 'faults', { kind: 'manufacturer_outage', manufacturer })
  const brokenAt = performance.now()
  const broken = await cpuOf(both, groupWaitSeconds * 1_000 + brokenCycles * cycleMs, cycleMs)
  await assertScraped(both, startedAt)
  // Before they are asked for everything at once, which is no part of a cycle.
  const costs = costsOf(both)
  const told = { ours: toldOf(both, 'ours', devices), theirs: toldOf(both, 'theirs', devices) }
  const listed = { ours: await countAlerts(both.ours.url), theirs: await countAlerts(both.alertmanager.url) }
  const dropped = await both.prometheus.counter('prometheus_notifications_dropped_total')

  const costRow = (name: string, parts: readonly Part[]) => [
    name,
    (sumOf(quiet, parts) / 1_000).toFixed(2),
    (sumOf(broken, parts) / 1_000).toFixed(2),
    (parts.reduce((sum, part) => sum + costs[part].peakBytes, 0) / megabyte).toFixed(0),
  ]
  const toldRow = (name: string, side: Side, droppedOf: string) => [
    name,
    String(told[side].length),
    String(devices.size - told[side].length),
    String(listed[side]),
    droppedOf,
    String(both.told.messages[side]),
    ((told[side].reduce((last, at) => Math.max(last, at), 0) - brokenAt) / 1_000).toFixed(0),
  ]
  return {
    tables: [
      {
        head: ['', 'quiet CPU s', 'broken CPU s', 'peak MB'],
        rows: [
          costRow('exporter', ['exporter']),
          costRow('Prometheus', ['prometheus']),
          costRow('Alertmanager', ['alertmanager']),
          costRow('the three', peerParts),
          costRow('Fleetwarden', ['ours']),
        ],
      },
      {
        head: [
          `of ${devices.size} broken devices`,
          'told',
          'not told',
          'listed',
          'dropped',
          'messages',
          'last after s',
        ],
        rows: [
          toldRow('Prometheus and Alertmanager', 'theirs', String(dropped)),
          toldRow('Fleetwarden', 'ours', '-'),
        ],
      },
    ],
    figures: [
      ratio('CPU of a quiet cycle / the three', quiet.ours, sumOf(quiet, peerParts)),
      ratio('CPU of a cycle in which all are broken / the three', broken.ours, sumOf(broken, peerParts)),
      ratio(
        'peak memory / Prometheus and Alertmanager',
        costs.ours.peakBytes,
        costs.prometheus.peakBytes + costs.alertmanager.peakBytes,
      ),
      { name: 'broken devices that no message named', value: devices.size - told.ours.length, limit: 0 },
      { name: 'broken devices that the API does not list', value: devices.size - listed.ours, limit: 0 },
    ],
    notes: [
      `A cycle: ${intervalSeconds} s, of walks, scrapes and evaluations; means of ${quietCycles} quiet ones, and of all after the break, with their messages.`,
      'Ours reads the partner itself, as the exporter does for the other two; no latency. Peak: VmHWM of each process.',
      `One webhook, a message for each manufacturer, group_wait ${groupWaitSeconds} s, group_interval ${intervalSeconds} s; one rule, for: 0s.`,
      'Prometheus with its own capacity for notifications, 10,000 (--alertmanager.notification-queue-capacity). It drops what is',
      'more, and sends again after a minute; what Alertmanager never got costs it nothing. Our mass_change is off: it would',
      'tell one message, and these 15 minutes later.',
    ],
  }
}

const peerParts: readonly Part[] = ['exporter', 'prometheus', 'alertmanager']

function sumOf(cpu: CpuByPart, parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + cpu[part], 0)
}

function ratio(name: string, ours: number, theirs: number): Figure {
  return { name, value: ours / theirs, limit: mostRatio, unit: 'x' }
}

/** What each of them takes in a cycle, while `durationMs` pass. */
async function cpuOf(both: BothSides, durationMs: number, cycleMs: number): Promise<CpuByPart> {
  const before = costsOf(both)
  const startedAt = performance.now()
  await pause(durationMs)
  const cycles = (performance.now() - startedAt) / cycleMs
  const after = costsOf(both)
  const perCycle = (part: Part) => (after[part].cpuMs - before[part].cpuMs) / cycles
  return {
    ours: perCycle('ours'),
    exporter: perCycle('exporter'),
    prometheus: perCycle('prometheus'),
    alertmanager: perCycle('alertmanager'),
  }
}

function devicesOf(users: number): ReadonlySet<string> {
  const fleet = healthyFleet(users)
  const ids = new Set<string>()
  for (let index = 0; index < users; index++) for (const { id } of fleet.devices(index)) ids.add(id)
  return ids
}

/** When each of them was first named in a message. */
function toldOf({ told }: BothSides, side: Side, devices: ReadonlySet<string>): readonly number[] {
  return [...told.devices[side]].flatMap(([id, at]) => (devices.has(id) ? [at] : []))
}

async function countAlerts(url: string): Promise<number> {
  const { body } = await request(`${url}/api/v2/alerts`)
  const alerts = (await body.json()) as readonly { readonly labels: Readonly<Record<string, string>> }[]
  return new Set(alerts.map(({ labels }) => labels['device_id'])).size
}
