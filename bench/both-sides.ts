// The service and, beside it, what one would build instead: an exporter, Prometheus and Alertmanager.
// Both read the same simulated fleet as often, know the same rule, have the same routes, and post to
// the same receiver, which notes when each device was first named to it.

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { manufacturers } from '../src/simulator/catalogue.ts'
import { startAlertmanager } from './alertmanager.ts'
import type { ExporterOptions, ExporterReady } from './exporter-child.ts'
import {
  cpuMsOf,
  fixedToken,
  memoryOf,
  type SimulatorProcess,
  startChild,
  startSimulatorProcess,
} from './harness.ts'
import type { PeerProcess } from './peer-process.ts'
import { type PrometheusProcess, startPrometheus } from './prometheus.ts'
import { startServiceProcess } from './service-process.ts'

export const sides = ['ours', 'theirs'] as const
export type Side = (typeof sides)[number]

export interface BothSidesOptions {
  readonly folder: string
  readonly users: number
  /** Of each answer of the partner. */
  readonly latencyMs: number
  /** Between our walks, scrapes, and evaluations of Prometheus' rules; divides a minute. */
  readonly intervalSeconds: number
  /** Prometheus' rule groups: the one rule for each of these manufacturers, or for all of them (null). */
  readonly ruleForEach: readonly string[] | null
  /** How many notifications wait in Prometheus at most; null: as many as by default. */
  readonly queueCapacity: number | null
  /** Our guard against floods: as it is by default, or off. */
  readonly massChange: boolean
  /** The part `alerting`, which is Alertmanager's whole configuration, for who posts to this address. */
  readonly alerting: (receiverUrl: string) => object
}

export interface BothSides extends AsyncDisposable {
  readonly simulator: SimulatorProcess
  readonly ours: { readonly pid: number; readonly url: string }
  readonly exporter: { readonly pid: number }
  readonly prometheus: PrometheusProcess
  readonly alertmanager: PeerProcess
  readonly told: Told
}

/** What arrived at the receiver. */
export interface Told {
  /** When each device was first named, by its id, on the clock of `performance.now()`. */
  readonly devices: Readonly<Record<Side, ReadonlyMap<string, number>>>
  readonly messages: Readonly<Record<Side, number>>
}

const concurrency = 64

/** Resolves when both have read the whole fleet once. Null: Prometheus or Alertmanager is not installed. */
export async function startBothSides(options: BothSidesOptions): Promise<BothSides | null> {
  await using started = new AsyncDisposableStack()
  const { folder, users, intervalSeconds } = options
  const simulator = started.use(await startSimulatorProcess({ users, latencyMs: options.latencyMs }))
  const receiver = started.use(await startReceiver())

  const alertmanagerText = JSON.stringify(options.alerting(`${receiver.url}theirs`))
  const alertmanager = await startAlertmanager(alertmanagerText, folder)
  if (alertmanager === null) return null
  started.use(alertmanager)
  const { child, ready } = startChild(
    './exporter-child.ts',
    { ...simulator, concurrency, energyContracts: false } satisfies ExporterOptions,
    [],
  )
  started.use(child)
  const exporter = (await ready) as ExporterReady
  const prometheus = await startPrometheus({
    folder,
    target: exporter.address,
    alertmanager: new URL(alertmanager.url).host,
    intervalSeconds,
    queueCapacity: options.queueCapacity,
    ruleGroups: theirRuleGroups(options.ruleForEach),
  })
  if (prometheus === null) return null
  started.use(prometheus)

  const configFile = join(folder, 'fleetwarden.yaml')
  const ruleFile = join(folder, 'rules.yaml')
  await writeFile(ruleFile, JSON.stringify({ groups: ourRuleGroups }))
  await writeFile(configFile, JSON.stringify(ourConfig(options, { simulator, receiver, ruleFile })))
  const service = started.use(startServiceProcess(configFile))
  const firstWalk = service.said('Walk ended')
  const { url = '' } = await service.said('Fleetwarden runs')
  await firstWalk
  const devices = users * 3
  while ((await prometheus.valueOf('count(device_authenticated)')) !== devices) await pause(200)

  const stack = started.move()
  return {
    simulator,
    ours: { pid: service.pid ?? Number.NaN, url },
    exporter,
    prometheus,
    alertmanager,
    told: receiver.told,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

// ---- what each of them is told to do

/** All that the simulated fleet has devices of. */
export function manufacturerNames(): readonly string[] {
  const { heat_pump, electric_vehicle, inverter } = manufacturers
  return [...heat_pump, ...electric_vehicle, ...inverter].map(({ name }) => name)
}

const alertname = 'DeviceUnauthenticated'
const labels = { severity: 'warning' }

const ourRuleGroups = [
  {
    name: 'connection',
    rules: [
      {
        alert: alertname,
        expr: '!device.is_authenticated',
        for: '0s',
        keep_firing_for: '0s',
        labels,
        annotations: { summary: '{{ device.id }} lost its connection' },
      },
    ],
  },
]

function theirRuleGroups(ruleForEach: readonly string[] | null): readonly object[] {
  const group = (name: string, selector: string) => ({
    name,
    rules: [
      {
        alert: alertname,
        expr: `device_authenticated${selector} == 0`,
        labels,
        annotations: { summary: '{{ $labels.device_id }} lost its connection' },
      },
    ],
  })
  if (ruleForEach === null) return [group('connection', '')]
  return ruleForEach.map((name) => group(name, `{manufacturer=${JSON.stringify(name)}}`))
}

function ourConfig(
  { folder, intervalSeconds, massChange, alerting }: BothSidesOptions,
  around: { readonly simulator: SimulatorProcess; readonly receiver: Receiver; readonly ruleFile: string },
): object {
  return {
    partner: {
      base_url: around.simulator.url,
      org_id: around.simulator.organizationId,
      token: fixedToken,
      concurrency,
      requests_per_second: 10_000,
    },
    poll: { schedule: intervalSeconds < 60 ? `*/${intervalSeconds} * * * * *` : '* * * * *' },
    rules: [around.ruleFile],
    storage: { url: `sqlite:${join(folder, 'fleet.db')}` },
    http: { listen: '127.0.0.1:0' },
    ...(massChange ? {} : { mass_change: false }),
    alerting: alerting(`${around.receiver.url}ours`),
  }
}

// ---- who is told

interface Receiver extends AsyncDisposable {
  readonly url: string
  readonly told: Told
}

const anyId = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** Slack and a webhook at once, which says ok to everything; the first part of the path is the side. */
async function startReceiver(): Promise<Receiver> {
  const devices = { ours: new Map<string, number>(), theirs: new Map<string, number>() }
  const messages = { ours: 0, theirs: 0 }
  const server = createServer(async (incoming, response) => {
    const at = performance.now()
    const side = incoming.url?.startsWith('/ours') ? 'ours' : 'theirs'
    const body = await text(incoming)
    response.end('ok')
    messages[side]++
    // Also ids of users, for which nobody asks here.
    for (const [id] of body.matchAll(anyId)) if (!devices[side].has(id)) devices[side].set(id, at)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    told: { devices, messages },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

// ---- what they have cost so far

/** CPU of all threads, and the peak of the resident set. */
export interface Cost {
  readonly cpuMs: number
  readonly peakBytes: number
}

export type Part = 'ours' | 'exporter' | 'prometheus' | 'alertmanager'

export function costsOf(both: BothSides): Readonly<Record<Part, Cost>> {
  const cost = ({ pid }: { readonly pid: number }) => ({
    cpuMs: cpuMsOf(pid),
    peakBytes: memoryOf(pid).peakBytes,
  })
  return {
    ours: cost(both.ours),
    exporter: cost(both.exporter),
    prometheus: cost(both.prometheus),
    alertmanager: cost(both.alertmanager),
  }
}

/** A scrape that takes longer than its timeout ends all alerts: then nothing here would be comparable. */
export async function assertScraped({ prometheus }: BothSides, sinceMs: number): Promise<void> {
  const seconds = Math.ceil((performance.now() - sinceMs) / 1_000)
  const worst = await prometheus.valueOf(`min_over_time(up{job="fleet"}[${seconds}s])`)
  if (worst !== 1) throw new Error('a scrape failed: this machine is too busy for this interval')
}
