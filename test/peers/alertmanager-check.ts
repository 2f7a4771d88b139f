// The real Alertmanager and Fleetwarden, side by side: the same configuration and the same timeline of
// alerts, both telling a webhook; and the receivers that routing picks for a thousand label sets.
//
//   node bin/node24.js test/peers/alertmanager-check.ts [seed]
//
// Needs Debian's package prometheus-alertmanager. Timers are short and real; events keep a second's
// distance from every tick, so that a busy machine changes nothing. What differs on purpose is taken
// out by `expected`, and is listed in docs/alertmanager.md.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { openAlerting } from '../../src/alerting.ts'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import { systemClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { createIntegrations } from '../../src/notify/receivers/registry.ts'
import { createRouter } from '../../src/notify/route.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'

type Labels = Readonly<Record<string, string>>

/** A message, as both of them send it. */
interface Told {
  readonly receiver: string
  readonly group: string
  readonly status: string
  readonly firing: readonly string[]
  readonly resolved: readonly string[]
}

const seed = Number(process.argv[2] ?? 1)
const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-peers-'))

// ---- same timeline, same messages

/** At `at` seconds an alert begins to fire or ends; or a silence of a name begins or ends. */
type Event =
  | { readonly at: number; readonly alert: Labels; readonly fires: boolean }
  | { readonly at: number; readonly silence: string; readonly until: number }

// A machine that stalls for a second brings an event past a tick, in one of the two. What differs for
// another reason differs each time.
const attempts = 3

async function compareMessagesPatiently(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const different = await compareMessages()
    if (different === 0 || attempt === attempts) return different
    console.error(`differs: once more, with the same seed (${attempt} of ${attempts})`)
  }
}

async function compareMessages(): Promise<number> {
  await rm(join(folder, 'ours.db'), { force: true })
  const webhooks = await startWebhooks()
  const events = timeline(random(seed))
  const end = Math.max(...events.map(({ at }) => at)) + 12
  try {
    const began = Date.now()
    await Promise.all([
      playToAlertmanager({ events, end, url: webhooks.urlOf('theirs') }),
      playToFleetwarden({ events, end, url: webhooks.urlOf('ours') }),
    ])
    console.log(`${events.length} events in ${Math.round((Date.now() - began) / 1_000)} s, seed ${seed}`)
  } finally {
    webhooks.close()
  }
  const theirs = expected(webhooks.told('theirs'))
  const ours = expected(webhooks.told('ours'))
  const keys = new Set([...theirs.keys(), ...ours.keys()])
  let different = 0
  let messages = 0
  for (const key of keys) {
    const left = theirs.get(key) ?? []
    const right = ours.get(key) ?? []
    messages += left.length
    if (JSON.stringify(left) === JSON.stringify(right)) continue
    different++
    console.error(`${key}\n  Alertmanager: ${left.join('\n                ')}`)
    console.error(`  Fleetwarden:  ${right.join('\n                ')}`)
  }
  console.log(`messages: ${messages} in ${keys.size} groups, ${different} groups differ`)
  return different + (messages < 40 ? 1 : 0)
}

/**
 * Per receiver and group, in order: status, who fires, who resolved. Without what differs on purpose:
 * Alertmanager tells as resolved also what it never told as firing, and does not tell the end of what
 * it told when that is inhibited by then.
 */
function expected(told: readonly Told[]): Map<string, string[]> {
  const byGroup = new Map<string, string[]>()
  const toldFiring = new Map<string, Set<string>>()
  for (const { receiver, group, status, firing, resolved } of told) {
    const key = `${receiver} ${group}`
    const known = toldFiring.get(key) ?? new Set()
    const ended = resolved.filter((name) => known.has(name))
    toldFiring.set(key, new Set([...[...known].filter((name) => !ended.includes(name)), ...firing]))
    if (firing.length === 0 && ended.length === 0) continue
    if (group.includes('/d/')) {
      // Resolved while inhibited: ours is told, theirs isn't. So only who fires is compared.
      const before = byGroup.get(key) ?? []
      if (firing.length > 0 && before.at(-1) !== firing.join(' '))
        byGroup.set(key, [...before, firing.join(' ')])
      continue
    }
    const line = `${status} ${firing.join(' ')}${ended.length > 0 ? ` | ${ended.join(' ')}` : ''}`
    byGroup.set(key, [...(byGroup.get(key) ?? []), line])
  }
  return byGroup
}

// Ticks come a second after an alert that begins a group, then every two; everything that happens to
// a group happens at an even number of seconds after that, so that nothing comes near a tick.
const groupWait = '1s'
const groupInterval = '2s'
const repeatInterval = '5s'
const clusters = ['a', 'b', 'c', 'd', 'e', 'f']

function timeline(next: () => number): readonly Event[] {
  const events: Event[] = []
  for (const [index, cluster] of clusters.entries()) {
    // The groups' phases differ.
    const begin = 1 + index * 0.3
    const fires = new Map<string, boolean>()
    for (let step = 0; step < 14; step++) {
      for (const name of ['x', 'y', 'z']) {
        if (next() < 0.55) continue
        const isFiring = !(fires.get(name) ?? false)
        fires.set(name, isFiring)
        const severity = name === 'x' ? 'critical' : 'warning'
        events.push({
          at: begin + step * 2,
          alert: { alertname: 'Test', cluster, name, severity, device_id: `${cluster}-${name}` },
          fires: isFiring,
        })
      }
    }
  }
  // Only of what was not told before: what a silence means for others differs on purpose.
  events.push({ at: 0, silence: 'y', until: 1 + 14 * 2 + 20 })
  return events.sort((a, b) => a.at - b.at)
}

function alerting(url: string): string {
  return `
route:
  receiver: all
  group_by: [alertname, cluster]
  group_wait: ${groupWait}
  group_interval: ${groupInterval}
  repeat_interval: ${repeatInterval}
  routes:
    - matchers: ['severity="critical"', 'cluster=~"a|b|c"']
      receiver: critical
      continue: true
    - matchers: ['cluster!~"e|f"']
      receiver: some
      group_by: [cluster]
    - matchers: ['cluster="e"']
      receiver: each
      group_by: ['...']
inhibit_rules:
  - source_matchers: ['severity="critical"', 'cluster="d"']
    target_matchers: ['severity="warning"']
    equal: [cluster]
receivers:
${['all', 'critical', 'some', 'each']
  .map((name) => `  - name: ${name}\n    webhook_configs: [{url: '${url}', send_resolved: true}]`)
  .join('\n')}
`
}

async function playToAlertmanager({
  events,
  end,
  url,
}: {
  events: readonly Event[]
  end: number
  url: string
}): Promise<void> {
  const peer = await startAlertmanager(alerting(url))
  try {
    await play(events, end, async (event) => {
      if ('silence' in event) {
        await peer.post('/api/v2/silences', {
          matchers: [{ name: 'name', value: event.silence, isRegex: false, isEqual: true }],
          startsAt: new Date().toISOString(),
          endsAt: new Date(Date.now() + event.until * 1_000).toISOString(),
          createdBy: 'test',
          comment: 'test',
        })
        return
      }
      const now = Date.now()
      const endsAt = new Date(event.fires ? now + 3_600_000 : now).toISOString()
      const startsAt = new Date(event.fires ? now : now - 1).toISOString()
      await peer.post('/api/v2/alerts', [{ labels: event.alert, startsAt, endsAt }])
    })
  } finally {
    await peer.stop()
  }
}

async function playToFleetwarden({
  events,
  end,
  url,
}: {
  events: readonly Event[]
  end: number
  url: string
}): Promise<void> {
  const clock = systemClock
  const config = await configOf(alerting(url))
  const storage = await openSqlite({ path: join(folder, 'ours.db') })
  const book = await openAlertBook(storage, { downMs: 0, flapping: null })
  const integrations = createIntegrations(config.alerting.receivers, {
    clock,
    moreUrl: () => null,
    onLayoutRefused() {},
    onTemplateFailure() {},
  })
  let ids = 0
  const service = await openAlerting({
    config: { ...config, massChange: null },
    integrations,
    book,
    store: storage,
    clock,
    newId: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, '0')}`,
    linkFor: async () => null,
    events: {
      dispatcher: {
        onAttempt() {},
        onDelivered() {},
        onFailure: (_notification, _integration, { reason }) => console.error(`delivery failed: ${reason}`),
        onWithheld() {},
        onDropped() {},
        onStorageError: (error) => console.error(error),
      },
      onUnreadableSilence() {},
    },
  })
  const stop = new AbortController()
  service.dispatcher.enable()
  const running = service.dispatcher.run(stop.signal)
  try {
    await play(events, end, async (event) => {
      if ('silence' in event) {
        const { parseMatchers } = await import('../../src/matcher.ts')
        await service.silences.set({
          matchers: parseMatchers(`name="${event.silence}"`),
          startsAt: clock.now(),
          endsAt: clock.now() + event.until * 1_000,
          createdBy: 'test',
          comment: 'test',
        })
      } else await setAlert(book, event.alert, event.fires)
    })
  } finally {
    stop.abort()
    await running
    for (const integration of integrations) await integration.close()
    await storage.close()
  }
}

async function setAlert(book: AlertBook, labels: Labels, fires: boolean): Promise<void> {
  const deviceId = labels['device_id'] ?? ''
  const subject = { kind: 'device', userId: 'u', deviceType: 'inverter', deviceId } as const
  book.evaluate({
    ruleId: 'test/Test',
    subject,
    evaluation: { at: Date.now(), verdict: fires, clear: null },
    timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
    definition: 'v1',
    birth: () => ({
      fingerprint: fingerprint(labels),
      ruleId: 'test/Test',
      definition: 'v1',
      subject,
      labels,
      annotations: {},
      affected: { externalUserId: null, name: null, email: null, model: null },
      episode: `${deviceId} ${Date.now()}`,
    }),
  })
  await book.commit()
}

/** Each event at its time, in real time. */
async function play(
  events: readonly Event[],
  end: number,
  happen: (event: Event) => Promise<void>,
): Promise<void> {
  const began = Date.now()
  const until = (at: number) => pause(Math.max(0, began + at * 1_000 - Date.now()))
  for (const event of events) {
    await until(event.at)
    await happen(event)
  }
  await until(end)
}

// ---- same labels, same receivers

const labelValues: Readonly<Record<string, readonly string[]>> = {
  alertname: ['DeviceUnauthenticated', 'ManufacturerOutage', 'OptimisationInactive'],
  severity: ['critical', 'warning', 'info'],
  manufacturer: ['Vaillant', 'Viessmann', 'Tesla', 'Größe & Söhne', ''],
  device_type: ['heat_pump', 'electric_vehicle', 'inverter'],
  team: ['heat', 'cars', ''],
}
const patterns = ['.*', 'V.*', 'heat_pump|inverter', '.+', '(?i)tesla', 'x?', 'c(ars|ritical)', '']

async function compareRoutes(): Promise<number> {
  const next = random(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const receivers: string[] = []
  const route = (depth: number): string => {
    const receiver = `r${receivers.length}`
    receivers.push(receiver)
    const pad = '  '.repeat(depth * 2)
    const matchers = Array.from({ length: 1 + Math.floor(next() * 2) }, () => {
      const name = pick(Object.keys(labelValues))
      return next() < 0.5
        ? `${name}${pick(['=', '!='])}"${pick(labelValues[name] ?? [])}"`
        : `${name}${pick(['=~', '!~'])}"${pick(patterns)}"`
    })
    const children = depth < 4 ? Array.from({ length: Math.floor(next() * 4) }, () => route(depth + 1)) : []
    return [
      `${pad}- receiver: ${receiver}`,
      `${pad}  matchers: [${matchers.map((matcher) => `'${matcher}'`).join(', ')}]`,
      `${pad}  continue: ${next() < 0.4}`,
      ...(children.length > 0 ? [`${pad}  routes:`, ...children] : []),
    ].join('\n')
  }
  const tree = Array.from({ length: 8 }, () => route(1)).join('\n')
  const text = [
    'route:',
    '  receiver: root',
    '  routes:',
    tree,
    'receivers:',
    ...['root', ...receivers].map((name) => `  - name: ${name}`),
  ].join('\n')

  const labelSets = Array.from({ length: 1_000 }, (_, index) => {
    const labels: Record<string, string> = { n: String(index) }
    for (const [name, values] of Object.entries(labelValues)) {
      const value = pick(values)
      if (value !== '') labels[name] = value
    }
    return labels
  })
  const peer = await startAlertmanager(text)
  const theirs = new Map<string, string>()
  try {
    await peer.post(
      '/api/v2/alerts',
      labelSets.map((labels) => ({ labels, endsAt: new Date(Date.now() + 3_600_000).toISOString() })),
    )
    const alerts = (await peer.get('/api/v2/alerts')) as {
      labels: Labels
      receivers: readonly { name: string }[]
    }[]
    for (const { labels, receivers: found } of alerts) {
      theirs.set(
        labels['n'] ?? '',
        found
          .map(({ name }) => name)
          .sort()
          .join(' '),
      )
    }
  } finally {
    await peer.stop()
  }
  const router = createRouter((await configOf(text)).alerting.route)
  let different = 0
  for (const labels of labelSets) {
    const ours = [...new Set(router.routesFor(labels).map(({ receiver }) => receiver))].sort().join(' ')
    if (ours === theirs.get(labels.n ?? '')) continue
    if (different++ < 5)
      console.error(
        `${JSON.stringify(labels)}: Alertmanager ${theirs.get(labels.n ?? '')}, Fleetwarden ${ours}`,
      )
  }
  console.log(`routes: ${receivers.length}, label sets: ${labelSets.length}, ${different} differ`)
  return different
}

// ---- peers

async function configOf(alertingText: string) {
  const indented = alertingText.replaceAll('\n', '\n  ')
  return parseConfig({
    file: join(folder, 'fleetwarden.yaml'),
    text: `partner: {base_url: 'http://127.0.0.1:1', token: x}\nrules: ['*.yaml']\nalerting:\n  ${indented}`,
    env: {},
    readFile: async () => '',
    glob: async () => ['rules.yaml'],
  })
}

async function startAlertmanager(text: string) {
  const file = join(folder, `am-${Math.random()}.yml`)
  await writeFile(file, text)
  const port = await freePort()
  const child: ChildProcess = spawn(
    'prometheus-alertmanager',
    [
      `--config.file=${file}`,
      `--storage.path=${join(folder, `am-${port}`)}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
      '--log.level=error',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  const base = `http://127.0.0.1:${port}`
  for (let attempt = 0; ; attempt++) {
    const isReady = await fetch(`${base}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isReady) break
    if (attempt > 200 || child.exitCode !== null) throw new Error('Alertmanager does not start')
    await pause(50)
  }
  return {
    async post(path: string, body: unknown): Promise<void> {
      const response = await fetch(`${base}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    },
    get: async (path: string): Promise<unknown> => (await fetch(`${base}${path}`)).json(),
    async stop(): Promise<void> {
      if (child.exitCode !== null) return
      child.kill()
      await once(child, 'exit')
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A server that writes down what it is told, by the first part of the path. */
async function startWebhooks() {
  const told = new Map<string, Told[]>()
  const server = createServer(async (request, response) => {
    const who = request.url?.split('/')[1] ?? ''
    told.set(who, [...(told.get(who) ?? []), toldOf(await bodyOf(request))])
    response.end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    urlOf: (who: string) => `http://127.0.0.1:${port}/${who}`,
    told: (who: string) => told.get(who) ?? [],
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function toldOf(text: string): Told {
  const message = JSON.parse(text) as {
    receiver: string
    status: string
    groupLabels: Labels
    alerts: { status: string; labels: Labels }[]
  }
  const names = (status: string) =>
    message.alerts
      .filter((alert) => alert.status === status)
      .map(({ labels }) => labels['device_id'] ?? '')
      .sort()
  const { cluster = '', alertname = '', device_id = '' } = message.groupLabels
  return {
    receiver: message.receiver,
    group: `${alertname}/${cluster}/${device_id}`,
    status: message.status,
    firing: names('firing'),
    resolved: names('resolved'),
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function random(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

let failures = 0
try {
  failures += await compareMessagesPatiently()
  failures += await compareRoutes()
} finally {
  await rm(folder, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1
