// From the moment at which a device breaks to the message that names it, at Slack: ours, and beside it
// an exporter with Prometheus and Alertmanager, for the same devices at the same moments.

import { setTimeout as pause } from 'node:timers/promises'
import { randomSequence } from '../src/simulator/hash.ts'
import {
  assertScraped,
  type BothSides,
  manufacturerNames,
  type Side,
  sides,
  startBothSides,
} from './both-sides.ts'
import {
  type Benchmark,
  type BenchOptions,
  healthyFleet,
  quantile,
  type Report,
  scratchFolder,
} from './harness.ts'

const users = 300
const breaks = 200
const latencyMs = 20
// Debian's prometheus.yml: scraped and evaluated each 15 seconds; Alertmanager's own group_wait and
// group_interval.
const defaults = { intervalSeconds: 15, groupWaitSeconds: 30, groupIntervalSeconds: 300 }
const usualScale = 5
// Few enough for Slack, which takes a message a second for a channel: we keep to that, Alertmanager doesn't.
const breaksPerInterval = 6
// What has not come after so many of them never does.
const mostIntervals = 6
const mostRatio = 1
// What those two are known to take at these defaults, at the least.
const theirUsualSeconds = 45

export const latency: Benchmark = {
  name: 'latency',
  about: `${breaks} random breaks, from each to its message at Slack, against Prometheus and Alertmanager`,
  run,
}

async function run({ full }: BenchOptions): Promise<Report> {
  const scale = full ? 1 : usualScale
  const intervalSeconds = defaults.intervalSeconds / scale
  const groupWaitSeconds = defaults.groupWaitSeconds / scale
  await using folder = await scratchFolder()
  const names = manufacturerNames()
  await using both = await startBothSides({
    folder: folder.path,
    users,
    latencyMs,
    intervalSeconds,
    queueCapacity: null,
    ruleForEach: names,
    massChange: true,
    alerting: (receiverUrl) => ({
      route: {
        receiver: channelOf(names[0] ?? ''),
        group_by: ['device_id'],
        group_wait: `${groupWaitSeconds}s`,
        group_interval: `${defaults.groupIntervalSeconds / scale}s`,
        routes: names.map((name) => ({
          receiver: channelOf(name),
          matchers: [`manufacturer=${JSON.stringify(name)}`],
        })),
      },
      receivers: names.map((name, index) => ({
        name: channelOf(name),
        slack_configs: [{ api_url: `${receiverUrl}/slack/${index}` }],
      })),
    }),
  })
  if (both === null) {
    const notes = [
      'SKIPPED: needs Prometheus and Alertmanager (Debian: prometheus, prometheus-alertmanager).',
    ]
    return { tables: [], figures: [], notes }
  }

  const startedAt = performance.now()
  const brokenAt = await breakSome(both, (breaks / breaksPerInterval) * intervalSeconds * 1_000)
  const giveUpAt = performance.now() + (mostIntervals * intervalSeconds + groupWaitSeconds) * 1_000
  const isWaiting = () => sides.some((side) => latenciesOf(both, side, brokenAt).length < breaks)
  while (isWaiting() && performance.now() < giveUpAt) await pause(100)
  await assertScraped(both, startedAt)

  const measured = { ours: measure(both, 'ours', brokenAt), theirs: measure(both, 'theirs', brokenAt) }
  const seconds = (ms: number) => (ms / 1_000).toFixed(2)
  const row = (name: string, { p50, p99, worst, lost }: Measured, messages: number) => [
    name,
    ...[p50, p99, worst].map(seconds),
    ...[p50, p99].map((ms) => ((ms * scale) / 1_000).toFixed(1)),
    String(messages),
    String(lost),
  ]
  return {
    tables: [
      {
        head: ['', 'p50 s', 'p99 s', 'worst s', 'p50 s at defaults', 'p99 s at defaults', 'messages', 'lost'],
        rows: [
          row('Prometheus and Alertmanager', measured.theirs, both.told.messages.theirs),
          row('Fleetwarden', measured.ours, both.told.messages.ours),
        ],
      },
    ],
    figures: [
      {
        name: 'change to message, p50 / Prometheus and Alertmanager',
        value: measured.ours.p50 / measured.theirs.p50,
        limit: mostRatio,
        unit: 'x',
      },
      {
        name: 'change to message, p99 / Prometheus and Alertmanager',
        value: measured.ours.p99 / measured.theirs.p99,
        limit: mostRatio,
        unit: 'x',
      },
      {
        name: 'p50 at the default intervals',
        value: (measured.ours.p50 * scale) / 1_000,
        limit: theirUsualSeconds,
        unit: ' s',
      },
      { name: 'breaks that nobody was told of', value: measured.ours.lost, limit: 0 },
    ],
    notes: [
      `A walk, a scrape and an evaluation each ${intervalSeconds} s, group_wait ${groupWaitSeconds} s: the defaults (Debian's 15 s, and 30 s) divided by ${scale}.`,
      '"At defaults": what was measured times this, also what is work and no wait.',
      'for: 0s, grouped by device_id, a channel for each manufacturer. The exporter asks the partner when it is scraped.',
      'Prometheus has a rule group for each manufacturer: each is evaluated at a moment of its own after the scrapes, and',
      'with one group this one moment would decide.',
      `${users * 3} devices, ${latencyMs} ms for each answer of the partner, ${breaksPerInterval} breaks in each interval at random moments.`,
    ],
  }
}

/** Random devices at random moments, within `durationMs`. Resolves with when each broke, by its id. */
async function breakSome({ simulator }: BothSides, durationMs: number): Promise<ReadonlyMap<string, number>> {
  const random = randomSequence(1)
  const fleet = healthyFleet(users)
  const ids = Array.from({ length: users }, (_, index) => fleet.devices(index)).flatMap((devices) =>
    devices.map(({ id }) => id),
  )
  const moments = Array.from({ length: breaks }, () => random() * durationMs).sort((a, b) => a - b)
  const startedAt = performance.now()
  const brokenAt = new Map<string, number>()
  for (const moment of moments) {
    await pause(startedAt + moment - performance.now())
    const [id = ''] = ids.splice(Math.floor(random() * ids.length), 1)
    brokenAt.set(id, performance.now())
    await simulator.control('POST', 'devices/break', { device_id: id, kind: 'unauthenticated' })
  }
  return brokenAt
}

interface Measured {
  /** In ms. */
  readonly p50: number
  readonly p99: number
  readonly worst: number
  readonly lost: number
}

function measure(both: BothSides, side: Side, brokenAt: ReadonlyMap<string, number>): Measured {
  const sorted = latenciesOf(both, side, brokenAt).sort((a, b) => a - b)
  return {
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    worst: sorted.at(-1) ?? Number.NaN,
    lost: brokenAt.size - sorted.length,
  }
}

/** Of those that were told, in ms. */
function latenciesOf({ told }: BothSides, side: Side, brokenAt: ReadonlyMap<string, number>): number[] {
  return [...brokenAt].flatMap(([id, at]) => {
    const toldAt = told.devices[side].get(id)
    return toldAt === undefined ? [] : [toldAt - at]
  })
}

function channelOf(manufacturer: string): string {
  return `on-call of ${manufacturer}`
}
