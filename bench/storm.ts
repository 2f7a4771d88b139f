// The worst day: one manufacturer's cloud goes down and all its devices lose their connection between
// two walks. On-call is to be told once, with nothing lost: what is still broken after the outage is
// told then.

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { request } from 'undici'
import {
  type Benchmark,
  cpuMsOf,
  fixedToken,
  memoryOf,
  type Report,
  scratchFolder,
  startChild,
  startSimulatorProcess,
} from './harness.ts'
import type { StormChildOptions, StormChildReady, StormWalk } from './storm-child.ts'

const devices = 50_000
const manufacturer = 'Vaillant'
/** Devices that the end of the outage doesn't heal. */
const stillBroken = 10
const groupWaitMs = 1_000
const groupIntervalMs = 3_000
// Of which a second is group_wait.
const mostSecondsToTell = 5
const megabyte = 1_048_576

export const storm: Benchmark = {
  name: 'storm',
  about: `${devices} devices of one manufacturer lose their connection in one walk`,
  run,
}

// As shipped, but for the time that has to pass: `for` is what makes fifteen minutes of it.
const rules = `
groups:
  - name: storm
    rules:
      - alert: ManufacturerOutage
        each: fleet
        count: "!device.is_authenticated"
        by: [manufacturer, device_type]
        expr: matching >= 20 && ratio > 0.2
        clear: ratio < 0.15
        for: 0s
        keep_firing_for: 0s
        labels: {severity: critical}
        annotations: {summary: '{{ matching }} of {{ total }} {{ group.name }} are not connected'}
      - alert: DeviceUnauthenticated
        expr: "!device.is_authenticated"
        for: 0s
        keep_firing_for: 0s
        labels: {severity: warning}
        annotations: {summary: '{{ device.name }} lost its connection'}
`

interface Message {
  readonly receiver: string
  readonly at: number
  /** What the webhook was told; null: Slack's, which nobody reads here. */
  readonly told: { readonly status: string; readonly alertname: string; readonly alerts: number } | null
}

/** What one walk led to. */
interface Phase {
  readonly name: string
  readonly walkMs: number
  readonly cpuMs: number
  /** The resident set afterwards, and at its peak since the start. */
  readonly memory: { readonly nowBytes: number; readonly peakBytes: number }
  readonly messages: readonly Message[]
  /** From the walk's end to the first message; NaN without any. */
  readonly firstAfterMs: number
  readonly active: readonly ListedAlert[]
}

interface ListedAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly status: { readonly state: string; readonly inhibitedBy: readonly string[] }
}

async function run(): Promise<Report> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await scratchFolder())
  const partner = stack.use(await startSimulatorProcess({ users: devices, onlyManufacturer: manufacturer }))
  const peers = stack.use(await startReceivers())
  const ruleFile = join(folder.path, 'rules.yaml')
  await writeFile(ruleFile, rules)
  const { child, ready } = startChild<object, StormWalk>(
    './storm-child.ts',
    { folder: folder.path, config: configOf(partner, peers.url, ruleFile) } satisfies StormChildOptions,
    [],
  )
  const service = stack.use(child)
  const { pid, url } = (await ready) as StormChildReady

  async function phase(name: string): Promise<Phase> {
    const before = peers.messages().length
    const cpuBefore = cpuMsOf(pid)
    const { startedAt, endedAt } = await service.ask({})
    // Whatever is to be told is told within two ticks.
    await pause(groupWaitMs + 2 * groupIntervalMs + 2_000)
    const messages = peers.messages().slice(before)
    return {
      name,
      walkMs: endedAt - startedAt,
      cpuMs: cpuMsOf(pid) - cpuBefore,
      memory: memoryOf(pid),
      messages,
      firstAfterMs: (messages[0]?.at ?? Number.NaN) - endedAt,
      active: await listAlerts(url),
    }
  }

  const calm = await phase('all is well')
  const outage = await partner.control('POST', 'faults', { kind: 'manufacturer_outage', manufacturer })
  const lost = await phase('all are lost')
  const broken = devicesOf(lost).slice(0, stillBroken)
  for (const { labels } of broken) {
    await partner.control('POST', 'devices/break', {
      device_id: labels['device_id'],
      kind: 'unauthenticated',
    })
  }
  await partner.control('DELETE', `faults/${outage}`)
  const healed = await phase(`all but ${stillBroken} are back`)
  const phases = [calm, lost, healed]

  const kept = devicesOf(lost)
  const leftOver = devicesOf(healed).length
  const toldLate = told(healed, 'DeviceUnauthenticated', 'firing').reduce(
    (sum, { alerts }) => sum + alerts,
    0,
  )
  const others = lost.active.filter(({ labels }) => labels['alertname'] === 'MassChange').length
  return {
    tables: [
      {
        head: [
          'walk',
          'wall s',
          'CPU s',
          'MB',
          'peak MB',
          'alerts',
          'inhibited',
          ...receivers,
          'first after s',
        ],
        rows: phases.map((each) => [
          each.name,
          (each.walkMs / 1_000).toFixed(1),
          (each.cpuMs / 1_000).toFixed(1),
          (each.memory.nowBytes / megabyte).toFixed(0),
          (each.memory.peakBytes / megabyte).toFixed(0),
          String(each.active.length),
          String(each.active.filter(({ status }) => status.inhibitedBy.length > 0).length),
          ...receivers.map((receiver) => String(countOf(each, receiver))),
          each.messages.length === 0 ? '-' : (each.firstAfterMs / 1_000).toFixed(1),
        ]),
      },
    ],
    figures: [
      { name: 'messages about nothing', value: calm.messages.length, limit: 0 },
      {
        name: 'messages about the outage, the most that one receiver got',
        value: Math.max(...receivers.map((receiver) => countOf(lost, receiver))),
        limit: 1,
      },
      {
        name: 'receivers that were told of it',
        value: receivers.filter((receiver) => countOf(lost, receiver) > 0).length,
        limit: receivers.length,
        isAtLeast: true,
      },
      {
        name: 'from the end of the walk to the first message',
        value: lost.firstAfterMs / 1_000,
        limit: mostSecondsToTell,
        unit: ' s',
      },
      {
        name: 'alerts of devices that are kept, and can be asked for',
        value: kept.length,
        limit: devices,
        isAtLeast: true,
      },
      { name: 'MassChange, although all of it is inhibited', value: others, limit: 0 },
      {
        name: 'messages that the outage is over: too many or too few, to the webhook',
        value: Math.abs(told(healed, 'ManufacturerOutage', 'resolved').length - 1),
        limit: 0,
      },
      {
        name: 'messages afterwards, the most that one receiver got',
        value: Math.max(...receivers.map((receiver) => countOf(healed, receiver))),
        limit: 2,
      },
      {
        name: `of the ${stillBroken} that stay broken, told after the outage`,
        value: toldLate,
        limit: stillBroken,
        isAtLeast: true,
      },
      { name: 'devices with an alert after it', value: leftOver, limit: stillBroken },
    ],
    notes: [
      `Two receivers, group_wait ${groupWaitMs / 1_000} s, group_interval ${groupIntervalMs / 1_000} s, mass_change as it is by default; the outage inhibits its devices.`,
      'The rules are as the shipped ones but without `for`.',
      'CPU and memory: of the walk and of the seconds after it, in which messages are sent.',
    ],
  }
}

function devicesOf({ active }: Phase): readonly ListedAlert[] {
  return active.filter(({ labels }) => labels['alertname'] === 'DeviceUnauthenticated')
}

function countOf({ messages }: Phase, receiver: string): number {
  return messages.filter((message) => message.receiver === receiver).length
}

function told({ messages }: Phase, alertname: string, status: string) {
  return messages.flatMap(({ told }) =>
    told !== null && told.alertname === alertname && told.status === status ? [told] : [],
  )
}

async function listAlerts(url: string): Promise<readonly ListedAlert[]> {
  const { body } = await request(`${url}/api/v2/alerts`)
  return (await body.json()) as readonly ListedAlert[]
}

// ---- who is told

const receivers = ['slack', 'webhook'] as const

function configOf(partner: { url: string; organizationId: string }, peersUrl: string, ruleFile: string) {
  return {
    partner: {
      base_url: partner.url,
      org_id: partner.organizationId,
      token: fixedToken,
      concurrency: 64,
      requests_per_second: 10_000,
    },
    // Walks come when they are asked for, and nothing is read between them.
    poll: { schedule: '0 0 29 2 *', recheck_interval: '1h' },
    rules: [ruleFile],
    storage: { url: `sqlite:${ruleFile}.db` },
    http: { listen: '127.0.0.1:0' },
    alerting: {
      route: {
        receiver: 'slack',
        group_by: ['alertname', 'manufacturer'],
        group_wait: `${groupWaitMs / 1_000}s`,
        group_interval: `${groupIntervalMs / 1_000}s`,
        routes: [{ receiver: 'webhook', continue: true }, { receiver: 'slack' }],
      },
      inhibit_rules: [
        {
          source_matchers: ['alertname="ManufacturerOutage"'],
          target_matchers: ['device_id!=""'],
          equal: ['manufacturer', 'device_type'],
        },
      ],
      receivers: [
        { name: 'slack', slack_configs: [{ api_url: `${peersUrl}slack` }] },
        { name: 'webhook', webhook_configs: [{ url: `${peersUrl}webhook` }] },
      ],
    },
  }
}

async function startReceivers() {
  const messages: Message[] = []
  const server = createServer(async (incoming, response) => {
    const receiver = incoming.url?.slice(1) ?? ''
    const body = JSON.parse(await text(incoming))
    response.end('ok')
    const { status, groupLabels, alerts } = body
    const told =
      receiver === 'slack' ? null : { status, alertname: groupLabels.alertname, alerts: alerts.length }
    messages.push({ receiver, at: Date.now(), told })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    messages: () => messages,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}
