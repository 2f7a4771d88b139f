// A world on this machine: a simulated partner, a Slack and a mail server, all on real sockets, and the
// service between them. `startApp` runs it in this process, where time may run fast; `startService`
// and `runCommand` run the real command line as a process of its own, which can be killed.
//
// Nothing here sleeps for a fixed time to hope for an outcome: `until` looks until it is there.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type App, createApp } from '../../src/app.ts'
import type { CliContext } from '../../src/cli/context.ts'
import { load } from '../../src/cli/load.ts'
import { type Clock, createClock } from '../../src/clock.ts'
import { type InboxMail, type MailInbox, startMailInbox } from '../../src/demo/mail-inbox.ts'
import { type SlackInbox, type SlackMessage, startSlackInbox } from '../../src/demo/slack-inbox.ts'
import { createLogger } from '../../src/logger.ts'
import { createMetrics } from '../../src/metrics.ts'
import type { Fleet, FleetOptions, SimulatedDevice } from '../../src/simulator/fleet.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.ts'
import { type ServiceApi, serviceApi } from './service-api.ts'
import { startWebhookInbox, type WebhookInbox, type WebhookMessage } from './webhook-inbox.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))
const main = join(root, 'src/main.ts')
/** What Node makes of our sources is kept from one process to the next: they start in half the time. */
const childEnv = { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/fleetwarden-scenarios') }

export const credentials = { clientId: 'scenario-client', clientSecret: 'scenario-client-secret-5Yq1' }

/** One alert per lost connection, at once; its text names the device, so messages can be attributed. */
export const lostAtOnce = `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        for: 0s
        keep_firing_for: 0s
        labels: {severity: critical}
        annotations: {summary: "lost: {{ device.id }}"}
`

/** What one configuration file says; written as JSON, which YAML is. */
export type ConfigParts = Record<string, unknown>

export interface WorldOptions {
  readonly fleet?: Partial<FleetOptions>
  /** How many times as fast as life; 1 unless told. A process of its own always lives at 1. */
  readonly factor?: number
  /** Text of a rule file, or the rules of this repository; `lostAtOnce` unless told. */
  readonly rules?: string | 'shipped'
  readonly simulator?: Partial<Omit<SimulatorOptions, 'clock' | 'fleet'>>
  /** Names of receivers that are webhooks, in the place of Slack and mail; the first one is the root's. */
  readonly webhooks?: readonly string[]
  /** Merged into the configuration below, key by key. */
  readonly config?: ConfigParts
}

export interface World extends AsyncDisposable {
  readonly clock: Clock
  readonly simulator: Simulator
  readonly fleet: Fleet
  readonly slack: SlackInbox
  readonly mail: MailInbox
  readonly webhooks: WebhookInbox
  readonly folder: string
  readonly configFile: string
  readonly databaseFile: string
  /** The n-th device of a user. */
  device(user: number, slot?: number): SimulatedDevice
  lose(...devices: SimulatedDevice[]): void
  heal(...devices: SimulatedDevice[]): void
  /** Writes the configuration anew; for what starts from then on. */
  configure(parts: ConfigParts): Promise<void>
  startApp(): Promise<RunningApp>
  /** An app that does not run: for walks one by one. */
  openApp(): Promise<OpenApp>
  startService(): Service
  runCommand(args: readonly string[], options?: CommandOptions): Promise<CommandResult>
  /** To be released at the end, before what was there earlier. */
  defer(release: () => unknown): void
}

export interface OpenApp extends AsyncDisposable {
  readonly app: App
  readonly logs: readonly LogLine[]
  metrics(): Promise<Scrape>
}

export interface RunningApp extends AsyncDisposable {
  readonly app: App
  readonly url: string
  readonly api: ServiceApi
  readonly logs: readonly LogLine[]
  metrics(): Promise<Scrape>
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string; readonly msg: string }

export interface Service extends AsyncDisposable {
  readonly child: ChildProcess
  readonly logs: readonly LogLine[]
  /** All that it wrote, on both outputs. */
  output(): string
  /** Where it serves; rejects when it ends before it does. */
  url(): Promise<string>
  api(): Promise<ServiceApi>
  metrics(): Promise<Scrape>
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Ending>
  readonly ended: Promise<Ending>
}

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const releases = new AsyncDisposableStack()
  const clock = createClock({ factor: options.factor ?? 1 })
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-scenario-'))
  releases.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const simulator = await startSimulator({
    clock,
    ...credentials,
    ...options.simulator,
    fleet: { users: 4, seed: 11, shapes: 'current', healthy: true, ...options.fleet },
  })
  releases.defer(() => simulator.close())
  const slack = await startSlackInbox({ clock, burst: 10_000, keep: 5_000 })
  releases.defer(() => slack.close())
  const mail = await startMailInbox({ clock, keep: 5_000 })
  releases.defer(() => mail.close())
  const webhooks = await startWebhookInbox({ clock })
  releases.defer(() => webhooks.close())
  const { fleet } = simulator

  const configFile = join(folder, 'fleetwarden.yaml')
  const databaseFile = join(folder, 'fleet.db')
  const rules = options.rules ?? lostAtOnce
  if (rules !== 'shipped') await writeFile(join(folder, 'rules.yaml'), rules)
  const usual: ConfigParts = {
    partner: {
      base_url: simulator.url,
      client_id: credentials.clientId,
      client_secret: credentials.clientSecret,
      requests_per_second: 10_000,
      timeout: '5s',
    },
    poll: { schedule: '*/10 * * * *', recheck_interval: '2m' },
    rules: [rules === 'shipped' ? join(root, 'rules/*.yaml') : 'rules.yaml'],
    storage: { url: `sqlite:${databaseFile}` },
    http: { listen: '127.0.0.1:0' },
    // What breaks and heals here does so all day long, and all of it at once.
    flapping: false,
    mass_change: false,
    alerting: {
      global: {
        smtp_smarthost: `${mail.host}:${mail.port}`,
        smtp_from: 'Fleetwarden <fleet@example.com>',
        slack_api_url: slack.webhookUrl('#on-call'),
      },
      route: {
        receiver: options.webhooks?.[0] ?? 'on-call',
        group_by: ['alertname', 'manufacturer'],
        repeat_interval: '30d',
      },
      receivers: options.webhooks?.map((name) => ({
        name,
        webhook_configs: [{ url: webhooks.url(name) }],
      })) ?? [{ name: 'on-call', slack_configs: [{}], email_configs: [{ to: 'on-call@example.com' }] }],
    },
  }

  async function configure(parts: ConfigParts): Promise<void> {
    await writeFile(configFile, JSON.stringify(merged(usual, parts), null, 2))
  }
  await configure(options.config ?? {})

  async function openApp(): Promise<OpenApp> {
    // All that loading asks of its context.
    const loadAnew = () => load(configFile, { env: {} } as CliContext)
    const { config, rules } = await loadAnew()
    const logs: LogLine[] = []
    const metrics = createMetrics({
      clock,
      version: 'test',
      revision: 'test',
      nodeVersion: process.version,
      processMetrics: false,
    })
    const app = await createApp(config, {
      rules,
      loadAnew,
      version: 'test',
      clock,
      logger: createLogger({ level: 'debug', destination: { write: (line) => logs.push(parsedLine(line)) } }),
      metrics,
    })
    const open = {
      app,
      logs,
      metrics: async () => parseScrape(await metrics.renderOwn()),
      [Symbol.asyncDispose]: () => app.close(),
    }
    return open
  }

  async function startApp(): Promise<RunningApp> {
    const { app, logs } = await openApp()
    const ending = new AbortController()
    const listening = Promise.withResolvers<string>()
    const running = app.run(ending.signal, listening.resolve)
    running.catch(listening.reject)
    const url = await listening.promise.catch(async (error) => {
      await app.close()
      throw error
    })
    const stop = async () => {
      ending.abort()
      await running
      await app.close()
    }
    releases.defer(() => stop().catch(() => {}))
    return {
      ...{ app, url, api: serviceApi(url, clock), logs },
      ...{ metrics: () => scrape(url), stop, [Symbol.asyncDispose]: stop },
    }
  }

  function startService(): Service {
    const child = spawn(process.execPath, [main, 'run', '--config', configFile], {
      cwd: folder,
      env: { ...process.env, ...childEnv },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const service = serviceOf(child, clock)
    releases.defer(async () => void (await service.end('SIGKILL')))
    return service
  }

  return {
    clock,
    simulator,
    fleet,
    slack,
    mail,
    webhooks,
    folder,
    configFile,
    databaseFile,
    device: (user, slot = 0) => fleet.devices(user)[slot]!,
    lose: (...devices) => {
      for (const device of devices) fleet.breakDevice(device, 'unauthenticated', clock.now())
    },
    heal: (...devices) => {
      for (const device of devices) fleet.heal(device)
    },
    configure,
    openApp,
    startApp,
    startService,
    runCommand: (args, { env = {}, cwd = folder } = {}) => runCommand(args, { env, cwd }),
    defer: (release) => {
      releases.defer(async () => void (await release()))
    },
    [Symbol.asyncDispose]: () => releases.disposeAsync(),
  }
}

function serviceOf(child: ChildProcess, clock: Clock): Service {
  const logs: LogLine[] = []
  const texts: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (line) => {
      texts.push(line)
      logs.push(parsedLine(line))
    })
  }
  const ended = once(child, 'close').then(([code, signal]): Ending => ({ code, signal }))
  let isOver = false
  ended.finally(() => {
    isOver = true
  })
  const runsLine = () => logs.find(({ msg }) => msg === 'Fleetwarden runs')
  const output = () => texts.join('\n')

  async function url(): Promise<string> {
    return until('the service listens', () => {
      if (isOver) throw new Error(`the service has ended:\n${output()}`)
      return runsLine()?.['url'] as string | undefined
    })
  }

  async function end(signal: NodeJS.Signals): Promise<Ending> {
    if (!isOver) child.kill(signal)
    return ended
  }

  return {
    child,
    logs,
    output,
    url,
    api: async () => serviceApi(await url(), clock),
    metrics: async () => scrape(await url()),
    end,
    ended,
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
    },
  }
}

/** `fleetwarden ARGS` as a process of its own, to its end. */
export async function runCommand(
  args: readonly string[],
  { env = {}, cwd = root }: CommandOptions = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...process.env, ...childEnv, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data) => {
    stdout += data
  })
  child.stderr.on('data', (data) => {
    stderr += data
  })
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

// ---- waiting

/** A timer of the real world, for what lives in it: sockets and other processes. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * Looks every few milliseconds until the condition gives something true, and returns that. When it does
 * not come true in time, the error says what was waited for and `detail`, or what the condition threw.
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { withinMs = 45_000, detail }: { withinMs?: number; detail?: () => unknown } = {},
): Promise<Exclude<T, undefined | null | false | 0 | ''>> {
  const giveUpAt = performance.now() + withinMs
  for (;;) {
    let failure: unknown
    try {
      const value = await condition()
      if (value) return value as Exclude<T, undefined | null | false | 0 | ''>
    } catch (error) {
      failure = error
    }
    if (performance.now() >= giveUpAt) {
      const state = detail === undefined ? '' : `\n${printed(detail())}`
      throw new Error(`waited ${withinMs} ms in vain until ${what}${state}`, { cause: failure })
    }
    await pause(10)
  }
}

/** One more walk has ended just now: what changes next is seen by the one after it as a whole. */
export async function walkEnds({ logs }: Pick<RunningApp, 'logs'>): Promise<void> {
  const walks = () => logs.filter(({ msg }) => msg === 'Walk ended').length
  const before = walks()
  await until('a walk ends', () => walks() > before)
}

/** Another tick of every group has come, and nothing waits: what was to be told has been told. */
export async function quiet(
  world: World,
  { app }: RunningApp,
  moreThanGroupIntervalMs = 130_000,
): Promise<void> {
  await world.clock.sleep(moreThanGroupIntervalMs)
  await until('nothing waits', () => app.delivery().queued === 0)
}

function printed(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2)
}

// ---- what was told

type Receivers = Pick<World, 'slack' | 'mail' | 'webhooks'>

/** A message at one receiver, in the words that Slack and e-mail have in common. */
export interface Told {
  /** The same message has the same one each time it is looked at. */
  readonly id: string
  readonly receiver: 'slack' | 'mail' | 'webhook'
  readonly state: 'firing' | 'resolved' | 'ended'
  /** Everything that people can see of it. */
  readonly text: string
  readonly title: string
  readonly receivedAt: number
}

export function toldBySlack(message: SlackMessage): Told {
  const [title = ''] = message.text.split('\n')
  const state = title.includes('Resolved: ') ? 'resolved' : title.includes('Ended: ') ? 'ended' : 'firing'
  const { id, receivedAt } = message
  return { id: `slack ${id}`, receiver: 'slack', state, text: slackText(message), title, receivedAt }
}

export function toldByMail({ id, text, receivedAt }: InboxMail): Told {
  const [title = ''] = text.split('\n')
  const word = /^[A-Z]+/.exec(title)?.[0].toLowerCase()
  if (word !== 'firing' && word !== 'resolved' && word !== 'ended') throw new Error(`what is ${title}?`)
  return { id: `mail ${id}`, receiver: 'mail', state: word, text, title, receivedAt }
}

function toldByWebhook({ id, payload, receivedAt }: WebhookMessage): Told {
  // Its reason is a word where people read a sentence.
  const wasLate = payload.notification_reason === 'resolved before delivery'
  const late = 'It fired and ended before a message about it could be delivered.'
  const text = JSON.stringify(payload) + (wasLate ? late : '')
  const title = `${payload.receiver}: ${payload.notification_reason}`
  return { id: `webhook ${id}`, receiver: 'webhook', state: payload.status, text, title, receivedAt }
}

/** All texts of a Slack message, its blocks included. */
export function slackText({ text, blocks }: SlackMessage): string {
  const texts = [text]
  JSON.stringify(blocks, (key, value: unknown) => {
    if (key === 'text' && typeof value === 'string') texts.push(value)
    return value
  })
  return texts.join('\n')
}

/** All messages so far, in the order in which they arrived. */
export function allTold({ slack, mail, webhooks }: Receivers): Told[] {
  const told = [
    ...slack.messages.items().map(toldBySlack),
    ...mail.messages.items().map(toldByMail),
    ...webhooks.messages().map(toldByWebhook),
  ]
  return told.sort((a, b) => a.receivedAt - b.receivedAt)
}

/** What happened so far, for the message of a test that failed: titles of messages, and the last log lines. */
export function story(world: Receivers, logs: readonly LogLine[] = []): string {
  const told = allTold(world).map(
    ({ receiver, title, receivedAt }) => `${new Date(receivedAt).toISOString()} ${receiver}: ${title}`,
  )
  return [...told, ...logs.slice(-60).map((line) => JSON.stringify(line).slice(0, 300))].join('\n')
}

/** How often each receiver was told that something in the messages' text fires, and that it ended. */
export function timesTold(world: Receivers, text: string) {
  const count = (receiver: Told['receiver'], isFiring: boolean) =>
    allTold(world).filter(
      (told) =>
        told.receiver === receiver && (told.state === 'firing') === isFiring && told.text.includes(text),
    ).length
  return {
    slack: { firing: count('slack', true), resolved: count('slack', false) },
    mail: { firing: count('mail', true), resolved: count('mail', false) },
  }
}

/** The same for both receivers. */
export function each(firing: number, resolved: number) {
  return { slack: { firing, resolved }, mail: { firing, resolved } }
}

/** Waits until these webhooks were told exactly this, in the words of WebhookInbox.told. */
export async function untilTold(
  world: World,
  { logs }: Pick<RunningApp, 'logs'>,
  expected: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  for (const [receiver, messages] of Object.entries(expected)) {
    const isSame = () => JSON.stringify(world.webhooks.told(receiver)) === JSON.stringify(messages)
    await until(`${receiver} is told: ${messages.join(' | ')}`, isSame, {
      detail: () => `${world.webhooks.told(receiver).join('\n')}\n${story(world, logs)}`,
    })
  }
}

// ---- metrics

export interface Scrape {
  readonly text: string
  /** The sum of the series that have these labels; 0 without any. */
  value(name: string, labels?: Readonly<Record<string, string>>): number
}

async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`)
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`)
  return parseScrape(await response.text())
}

function parseScrape(text: string): Scrape {
  const series = text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (name === undefined) return []
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, of]) => [key, of])
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }]
  })
  return {
    text,
    value: (name, labels = {}) =>
      series
        .filter((one) => one.name === name)
        .filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value))
        .reduce((sum, { value }) => sum + value, 0),
  }
}

// ---- small things

function parsedLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return { level: 'none', msg: line.trimEnd() }
  }
}

function merged(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over === undefined ? base : over
  const result: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete result[key]
    else result[key] = merged(base[key], value)
  }
  return result
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
