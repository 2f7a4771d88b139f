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

interface Setting {
  /** With three devices each. */
  readonly users: number
  readonly intervalSeconds: number
  /** How many notifications wait in Prometheus at most; null: 10,000, as by default. */
  readonly queueCapacity: number | null
}

// Nothing is scaled: intervals as in Debian's prometheus.yml, or, where a walk takes longer, as Prometheus
// has them without a file; and Alertmanager's own group_wait.
const usual: Setting = { users: 7_000, intervalSeconds: 15, queueCapacity: null }
const big: Setting = { users: 33_334, intervalSeconds: 60, queueCapacity: null }
const bigAndPatient: Setting = { ...big, queueCapacity: 200_000 }

const latencyMs = 20
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

interface Measured {
  readonly devices: number
  readonly quiet: CpuByPart
  readonly broken: CpuByPart
  readonly peakBytes: Readonly<Record<Part, number>>
  readonly told: Readonly<Record<Side, ToldOf>>
  /** Notifications that Prometheus let go, a device's anew with each time that it tells of it. */
  readonly dropped: number
}

interface ToldOf {
  readonly devices: number
  /** That the API lists at the end. */
  readonly listed: number
  readonly messages: number
  /** From the break to the last message that named another one. */
  readonly lastAfterMs: number
}

async function run({ full }: BenchOptions): Promise<Report> {
  const costs: string[][] = []
  const told: string[][] = []
  const figures: Figure[] = []
  for (const setting of full ? [big, bigAndPatient] : [usual]) {
    const measured = await measure(setting)
    if (measured === null) {
      const why = 'needs Prometheus and Alertmanager (Debian: prometheus, prometheus-alertmanager)'
      return { tables: [], figures: [], notes: [`SKIPPED: ${why}.`] }
    }
    const suffix = setting.queueCapacity === null ? '' : `, queue of ${setting.queueCapacity}`
    costs.push(...costRows(measured, suffix))
    told.push(...toldRows(measured, suffix))
    figures.push(...figuresOf(measured, suffix))
  }
  const { users, intervalSeconds } = full ? big : usual
  return {
    tables: [
      { head: ['CPU s of a cycle', 'quiet', 'all broken', 'peak MB'], rows: costs },
      {
        head: ['broken devices', 'all', 'told', 'not told', 'listed', 'dropped', 'messages', 'last after s'],
        rows: told,
      },
    ],
    figures,
    notes: [
      `${users * 3} devices, ${latencyMs} ms for each answer of the partner, one rule with for: 0s.`,
      `A cycle: ${intervalSeconds} s, of walks, scrapes and evaluations; means of ${quietCycles} quiet ones, and of all after the break.`,
      'Peak: VmHWM of each process, before it was asked for its list of alerts.',
      'Ours reads the partner itself, as the exporter does for the other two.',
      `One webhook, a message for each manufacturer, group_wait ${groupWaitSeconds} s, group_interval ${intervalSeconds} s.`,
      'Prometheus drops what its queue of notifications does not hold (--alertmanager.notification-queue-capacity) and sends',
      'again after a minute: what Alertmanager never gets costs neither of them anything.',
      'Our mass_change is off: it would tell one message at once, and these 15 minutes later.',
    ],
  }
}

function costRows({ quiet, broken, peakBytes }: Measured, suffix: string): string[][] {
  const row = (name: string, parts: readonly Part[]) => [
    `${name}${suffix}`,
    (sumOf(quiet, parts) / 1_000).toFixed(2),
    (sumOf(broken, parts) / 1_000).toFixed(2),
    (sumOf(peakBytes, parts) / megabyte).toFixed(0),
  ]
  return [
    row('exporter', ['exporter']),
    row('Prometheus', ['prometheus']),
    row('Alertmanager', ['alertmanager']),
    row('the three', peerParts),
    row('Fleetwarden', ['ours']),
  ]
}

function toldRows({ devices, told, dropped }: Measured, suffix: string): string[][] {
  const row = (name: string, of: ToldOf, droppedByThem: string) => [
    `${name}${suffix}`,
    String(devices),
    String(of.devices),
    String(devices - of.devices),
    String(of.listed),
    droppedByThem,
    String(of.messages),
    (of.lastAfterMs / 1_000).toFixed(0),
  ]
  return [
    row('Prometheus and Alertmanager', told.theirs, String(dropped)),
    row('Fleetwarden', told.ours, '-'),
  ]
}

function figuresOf({ devices, quiet, broken, peakBytes, told }: Measured, suffix: string): readonly Figure[] {
  const ratio = (name: string, ours: number, theirs: number): Figure => ({
    name: `${name}${suffix}`,
    value: ours / theirs,
    limit: mostRatio,
    unit: 'x',
  })
  return [
    ratio('CPU of a quiet cycle / the three', quiet.ours, sumOf(quiet, peerParts)),
    ratio('CPU of a cycle in which all are broken / the three', broken.ours, sumOf(broken, peerParts)),
    ratio(
      'peak memory / Prometheus and Alertmanager',
      peakBytes.ours,
      sumOf(peakBytes, ['prometheus', 'alertmanager']),
    ),
    {
      name: `broken devices that no message named${suffix}`,
      value: devices - told.ours.devices,
      limit: 0,
    },
    {
      name: `broken devices that the API does not list${suffix}`,
      value: devices - told.ours.listed,
      limit: 0,
    },
  ]
}

/** Null: one of them is not installed. */
async function measure({ users, intervalSeconds, queueCapacity }: Setting): Promise<Measured | null> {
  await using folder = await scratchFolder()
  await using both = await startBothSides({
    folder: folder.path,
    users,
    latencyMs,
    intervalSeconds,
    queueCapacity,
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
  if (both === null) return null

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
  const { told } = both

  async function toldOf(side: Side, url: string): Promise<ToldOf> {
    const toldAt = [...told.devices[side]].flatMap(([id, at]) => (devices.has(id) ? [at] : []))
    return {
      devices: toldAt.length,
      listed: await countListed(url),
      messages: told.messages[side],
      lastAfterMs: toldAt.reduce((last, at) => Math.max(last, at), brokenAt) - brokenAt,
    }
  }
  return {
    devices: devices.size,
    quiet,
    broken,
    peakBytes: byPart((part) => costs[part].peakBytes),
    told: {
      ours: await toldOf('ours', both.ours.url),
      theirs: await toldOf('theirs', both.alertmanager.url),
    },
    dropped: await both.prometheus.counter('prometheus_notifications_dropped_total'),
  }
}

/** What each of them takes in a cycle, while `durationMs` pass. */
async function cpuOf(both: BothSides, durationMs: number, cycleMs: number): Promise<CpuByPart> {
  const before = costsOf(both)
  const startedAt = performance.now()
  await pause(durationMs)
  const cycles = (performance.now() - startedAt) / cycleMs
  const after = costsOf(both)
  return byPart((part) => (after[part].cpuMs - before[part].cpuMs) / cycles)
}

const peerParts: readonly Part[] = ['exporter', 'prometheus', 'alertmanager']

function byPart(value: (part: Part) => number): Readonly<Record<Part, number>> {
  return {
    ours: value('ours'),
    exporter: value('exporter'),
    prometheus: value('prometheus'),
    alertmanager: value('alertmanager'),
  }
}

function sumOf(values: Readonly<Record<Part, number>>, parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + values[part], 0)
}

function devicesOf(users: number): ReadonlySet<string> {
  const fleet = healthyFleet(users)
  const ids = new Set<string>()
  for (let index = 0; index < users; index++) for (const { id } of fleet.devices(index)) ids.add(id)
  return ids
}

async function countListed(url: string): Promise<number> {
  const { body } = await request(`${url}/api/v2/alerts`)
  const alerts = (await body.json()) as readonly { readonly labels: Readonly<Record<string, string>> }[]
  return new Set(alerts.map(({ labels }) => labels['device_id'])).size
}
