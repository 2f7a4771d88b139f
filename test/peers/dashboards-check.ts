// Do the dashboards show something, and do the rules work? The real service walks a simulated fleet in
// which everything goes wrong that a metric counts; Debian's Prometheus scrapes it and evaluates the
// rules; and every query of every panel, variable and annotation has to return series at some time.
//
//   node bin/node24.js test/peers/dashboards-check.ts [--pictures FOLDER]
//
// With --pictures it goes on for some minutes and draws each dashboard with what it saw.

import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { parse, stringify } from 'yaml'
import type { SimulatedDevice } from '../../src/simulator/fleet.ts'
import {
  type DashboardQuery,
  dashboardPaths,
  folder,
  labelValuesOf,
  queriesOf,
  readDashboard,
  rulePaths,
  variablesOf,
} from '../grafana/sources.ts'
import { pause, root, slackText, startWorld, until, type World } from '../scenarios/harness.ts'
import { drawDashboards } from './dashboard-picture.ts'
import { freePort, type Prometheus, type Series, startPrometheus } from './prometheus.ts'

const withinMs = 150_000
const job = 'fleetwarden-check'
const publicUrl = 'https://fleet.example.com'
const pictures = process.argv[2] === '--pictures' ? (process.argv[3] ?? 'docs/images') : null

// Counters that begin at 0, so that their panels return series before anything has happened.
const mustCount = [
  'fleet_link_visits_total{stage="verified"}',
  'fleet_link_visits_total{stage="cancelled"}',
  'fleet_links_minted_total{outcome="ok"}',
  'fleet_owner_mails_total{outcome="sent"}',
  'fleet_owner_mails_total{outcome="skipped_no_address"}',
  'fleet_access_denied_total',
  'fleet_audit_records_total{result="denied"}',
]

// Fails for every device.
const brokenRule = `  - name: broken
    rules:
      - alert: AlwaysFails
        expr: 1 / (size(device.id) - size(device.id)) > 0
        labels: {severity: info}
        annotations: {summary: never said}
`

let failures = 0
function check(isGood: boolean, what: string): void {
  if (isGood) return
  failures += 1
  console.error(`FAILED: ${what}`)
}

function promtool(...args: readonly string[]): void {
  const { status, error, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', cwd: folder })
  check(status === 0, `promtool ${args.join(' ')}: ${error?.message ?? `${stdout}${stderr}`}`)
}

promtool('check', 'rules', ...rulePaths)
promtool('check', 'config', 'prometheus/prometheus.example.yaml')
promtool('test', 'rules', ...globSync('prometheus/tests/*.yaml', { cwd: folder }))

const dashboards = dashboardPaths.map(readDashboard)
await using world = await startWorld({
  fleet: { users: 150, seed: 7, healthy: false, shapes: 'mixed', flawedShare: 0.06 },
  rules: hastyRules(),
})
const manufacturer = manufacturerWithMany(world)
const port = await freePort()
const [scraper, admin] = [await createToken('prometheus', 'viewer'), await createToken('deploy', 'admin')]
await world.configure({
  partner: { requests_per_second: 2_000, timeout: '1s' },
  poll: { schedule: '*/3 * * * * *', recheck_interval: '2s' },
  http: {
    ...{ listen: `127.0.0.1:${port}`, public_url: publicUrl },
    access: { tokens: [scraper.entry, admin.entry], metrics: 'viewer' },
  },
  links: {
    signing_key: 'a-signing-key-of-more-than-32-characters',
    requests_per_minute: { per_link: 1_000, total: 1_000 },
  },
  heartbeat: { url: `${new URL(world.simulator.url).origin}/_simulator/` },
  alerting: {
    route: {
      ...{ group_wait: '1s', group_interval: '2s' },
      routes: [
        { matchers: ['alertname="DeviceUnauthenticated"'], receiver: 'owners', continue: true },
        { receiver: 'on-call' },
      ],
    },
    receivers: [
      { name: 'on-call', slack_configs: [{}], email_configs: [{ to: 'on-call@example.com' }] },
      {
        name: 'owners',
        owner_configs: [{ after: '0s', quiet_hours: false, company: { name: 'Stadtwerke' } }],
      },
    ],
  },
})
loseUnreachableOwners(world)
const startedAt = Date.now() / 1_000
let service = world.startService()
await service.url()
await using prometheus = await startPrometheus({
  target: `127.0.0.1:${port}`,
  job,
  token: scraper.token,
  ruleFiles: rulePaths.map((path) => join(folder, path)),
})

await until('a walk is scraped', async () => (await prometheus.instant('fleet_devices')).length > 0)
// What changed since before needs a before.
await pause(8_000)
const trouble = makeTrouble(world)
const people = peopleWithLinks(world, `http://127.0.0.1:${port}`)
const asks = [...dashboards.flatMap(askedBy), ...mustCount.map(askedOf)]
const waiting = new Map<string, Asked>(asks.map((asked) => [asked.where, asked]))
const total = waiting.size
const giveUpAt = Date.now() + withinMs
let hasRestarted = false
while (waiting.size > 0 && Date.now() < giveUpAt) {
  for (const [where, { ask }] of waiting) if (await ask()) waiting.delete(where)
  trouble.goOn()
  people.goOn()
  if (!hasRestarted && Date.now() / 1_000 - startedAt > 25) {
    hasRestarted = true
    await service.end('SIGTERM')
    service = world.startService()
    await service.url()
  }
  await pause(500)
}
for (const { where, expr } of waiting.values()) check(false, `${where} returned nothing: ${expr}`)

const rules = await prometheus.rules()
check(rules.length > 30, `Prometheus has ${rules.length} rules`)
for (const { name, health, lastError, alerts = [] } of rules) {
  check(health === 'ok', `rule ${name} is ${health}: ${lastError}`)
  for (const { annotations } of alerts)
    for (const [key, text] of Object.entries(annotations))
      check(!/<error|<no value>|%!/.test(text), `${name}: its ${key} is ${text}`)
}
const firing = rules.filter(({ alerts = [] }) => alerts.length > 0).map(({ name }) => name)
check(firing.includes('Watchdog'), 'the Watchdog does not fire')
// Reloaded unchanged, and restarted with the same configuration: nothing that waits loses its receiver.
check(!firing.includes('FleetwardenMessagesGivenUp'), 'messages were given up')
console.log(`alerts that are pending or firing: ${firing.join(', ')}`)

if (pictures !== null) {
  trouble.end()
  await trouble.everydayLife(150_000, people.goOn)
  await drawDashboards({
    dashboards,
    prometheus,
    folder: join(root, pictures),
    from: Date.now() / 1_000 - 140,
    to: Date.now() / 1_000,
    filledIn,
  })
}
console.log(`queries that returned series: ${total - waiting.size} of ${total}; ${failures} failures`)
process.exitCode = failures === 0 ? 0 : 1

// ---- queries

interface Asked {
  readonly where: string
  readonly expr: string
  /** True once it returned series that its unit allows. */
  readonly ask: () => Promise<boolean>
}

function askedBy(dashboard: (typeof dashboards)[number]): Asked[] {
  const ofQueries = queriesOf(dashboard).map((query) => {
    const expr = filledIn(query.expr)
    return { where: query.where, expr, ask: async () => isUseful(query, await seen(prometheus, query, expr)) }
  })
  const ofVariables = variablesOf(dashboard).flatMap((variable) => {
    const asked = labelValuesOf(variable)
    if (asked === null) return []
    const selector = filledIn(asked.selector)
    const ask = async () => (await prometheus.labelValues(asked.label, selector)).length > 0
    return [{ where: `${dashboard.title} / variable ${variable.name}`, expr: selector, ask }]
  })
  return [...ofQueries, ...ofVariables]
}

function askedOf(counter: string): Asked {
  const expr = `sum(${counter}) > 0`
  return { where: counter, expr, ask: async () => (await prometheus.instant(expr)).length > 0 }
}

/** As Grafana would, for a graph of the last minute. */
function filledIn(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '6s')
    .replaceAll('$__range', '60s')
    .replaceAll('$compare', '7s')
    .replaceAll('$job', '.+')
    .replaceAll('$type', '.+')
    .replaceAll('$manufacturer', manufacturer)
}

async function seen(
  { instant, range }: Prometheus,
  query: DashboardQuery,
  expr: string,
): Promise<readonly Series[]> {
  if (query.instant) return instant(expr)
  const now = Date.now() / 1_000
  return range(expr, { from: Math.max(startedAt, now - 60), to: now, step: 1 })
}

/** NaN is what a share of nothing and a percentile of nothing are: no use to anybody. */
function isUseful({ where, unit }: DashboardQuery, series: readonly Series[]): boolean {
  const values = series.flatMap((each) => each.values.map(([, value]) => value)).filter(Number.isFinite)
  if (values.length === 0) return false
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const isChange = /change/.test(where)
  if (unit === 'percentunit')
    check(least >= (isChange ? -1 : -1e-9) && most <= 1 + 1e-9, `${where} is ${least} … ${most}`)
  // Clocks of two processes, a second apart at most.
  else if (!isChange) check(least >= -1, `${where} is ${least}`)
  return true
}

// ---- the world

async function createToken(name: string, role: string): Promise<{ token: string; entry: unknown }> {
  const { stdout } = await world.runCommand(['token', 'create', '--name', name, '--role', role])
  const [token = '', line = ''] = stdout.trim().split('\n')
  return { token, entry: (parse(line) as unknown[])[0] }
}

/** The shipped rules, in a hurry: what waits for a quarter of an hour waits for a second. */
function hastyRules(): string {
  const groups = globSync('rules/*.yaml', { cwd: root, exclude: ['**/*.test.yaml'] })
    .toSorted()
    .flatMap((path) => (parse(readFileSync(join(root, path), 'utf8')) as { groups: object[] }).groups)
  return stringify({ groups })
    .replace(/^( *for: ).*$/gm, '$11s')
    .replace(/^( *keep_firing_for: ).*$/gm, '$12s')
    .concat(brokenRule)
}

function manufacturerWithMany({ fleet }: World): string {
  const counts = new Map<string, number>()
  for (let user = 0; user < fleet.userCount; user += 1)
    for (const {
      manufacturer: { name },
    } of fleet.devices(user))
      counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? ''
}

/** Owners are looked at once a minute: what keeps mail from some of them is there before the first time. */
function loseUnreachableOwners({ fleet, clock }: World): void {
  for (let user = 0; user < fleet.userCount; user += 6) {
    fleet.changeUser(user, { email: '' })
    for (const device of fleet.devices(user)) fleet.breakDevice(device, 'unauthenticated', clock.now())
  }
}

/** Everything that a metric counts: outages, refusals, nonsense; in turns, so that each is seen to begin and to end. */
function makeTrouble({ simulator, fleet, clock }: World) {
  const { faults } = simulator
  const beganAt = Date.now()
  let step = 0
  const steps: readonly (readonly [afterMs: number, () => void])[] = [
    [0, () => faults.add({ kind: 'manufacturer_outage', manufacturer })],
    [0, () => faults.add({ kind: 'malformed_devices', share: 0.02 })],
    [0, () => faults.add({ kind: 'malformed_devices', as: 'field', field: 'is_authenticated', share: 0.02 })],
    [0, () => faults.add({ kind: 'status', status: 503, share: 0.04 })],
    [0, () => faults.add({ kind: 'rate_limit', share: 0.04, retryAfterSeconds: 0 })],
    [2_000, () => breakSome(0.1)],
    [12_000, () => faults.clear()],
    [12_000, () => healAll()],
    // Not worth a retry, so that each walk fails at once.
    [16_000, () => faults.add({ kind: 'status', status: 403 })],
    [26_000, () => faults.clear()],
  ]

  function breakSome(share: number): void {
    for (let user = 0; user < fleet.userCount * share; user += 1)
      for (const device of fleet.devices(user * 3)) fleet.breakDevice(device, 'unauthenticated', clock.now())
  }

  function healAll(): void {
    for (let user = 0; user < fleet.userCount; user += 1)
      for (const device of fleet.devices(user)) fleet.heal(device)
  }

  return {
    /** The first round of troubles, and then another one. */
    goOn: () => {
      const elapsedMs = (Date.now() - beganAt) % 30_000
      const due = steps.filter(([afterMs]) => afterMs <= elapsedMs).length
      if (due < step) step = 0
      for (; step < due; step += 1) steps[step]?.[1]()
    },
    end: () => {
      faults.clear()
      healAll()
    },
    /** Devices break and heal as they do; one outage, and a partner that is not always there. */
    everydayLife: async (forMs: number, each: () => void) => {
      const kinds = ['unauthenticated', 'unauthenticated', 'stale_state', 'optimization_inactive'] as const
      const broken: SimulatedDevice[] = []
      const endAt = Date.now() + forMs
      for (let turn = 0; Date.now() < endAt; turn += 1) {
        const kind = kinds[turn % kinds.length] ?? 'unauthenticated'
        for (const device of fleet.devices((turn * 37) % fleet.userCount).slice(0, 1)) {
          fleet.breakDevice(device, kind, clock.now())
          broken.push(device)
        }
        const healed = broken.length > 14 ? broken.shift() : undefined
        if (healed !== undefined) fleet.heal(healed)
        if (turn === 16) faults.add({ kind: 'manufacturer_outage', manufacturer })
        if (turn === 30) faults.clear()
        if (turn === 30) faults.add({ kind: 'status', status: 503, share: 0.01 })
        each()
        await pause(3_000)
      }
    },
  }
}

/**
 * Those who open the links of messages: one at a time, some of whom give up on the way. And those who
 * reload, or want to change what they may not.
 */
function peopleWithLinks({ slack }: World, service: string) {
  const seen = new Set<string>()
  let turn = 0

  function newTokens(): string[] {
    const texts = slack.messages.items().map(slackText)
    const tokens = texts.flatMap((text) =>
      [...text.matchAll(/\/r\/([\w.-]+)\|/g)].map(([, token = '']) => token),
    )
    return tokens.filter((token) => !seen.has(token))
  }

  /** As far as `patience` says, from opening it to the way back. */
  async function follow(token: string, patience: number): Promise<void> {
    const link = `${service}/r/${token}`
    await fetch(link)
    if (patience === 0) return
    const pressed = await fetch(link, { method: 'POST', redirect: 'manual' })
    const atPartner = pressed.headers.get('location')
    if (atPartner === null || patience === 1) return
    if (patience === 2) return void (await fetch(`${link}/cancelled`))
    const done = await fetch(atPartner, { method: 'POST', redirect: 'manual' })
    const back = done.headers.get('location')
    if (back !== null) await fetch(back.replace(publicUrl, service))
  }

  async function post(path: string, headers: Readonly<Record<string, string>>): Promise<void> {
    await fetch(`${service}/${path}`, { method: 'POST', headers })
  }

  async function act(): Promise<void> {
    turn += 1
    const [token] = newTokens()
    if (turn % 20 === 5) await post('-/reload', { Authorization: `Bearer ${admin.token}` })
    if (turn % 3 === 0) await post('api/v2/silences', {})
    if (turn % 4 === 0) await post('api/v2/silences', { Authorization: `Bearer ${scraper.token}` })
    if (turn % 7 === 0) await post('api/v2/silences', { Origin: 'https://elsewhere.example' })
    if (token !== undefined) await follow(token, turn % 8)
    if (token !== undefined) seen.add(token)
  }

  let isBusy = false
  return {
    /** Begins the next one, unless the one before is still at it: nobody waits for them. */
    goOn: () => {
      if (isBusy) return
      isBusy = true
      act()
        // Between its end and its start nobody reaches the service.
        .catch((error) => check(error instanceof TypeError, `people with links: ${error}`))
        .finally(() => {
          isBusy = false
        })
    },
  }
}
