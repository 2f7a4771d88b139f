// `fleetwarden demo`: a simulated fleet whose devices break and heal, the service with the shipped
// rules, and an inbox that shows the messages as they would arrive. Nothing leaves this machine,
// nothing stays on it. Time runs faster: with --speed 60 a minute passes each second, for the
// fleet and the service alike, so that their rules and intervals are the real ones.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createAdaptorServer } from '@hono/node-server'
import packageJson from '../../package.json' with { type: 'json' }
import { createApp } from '../app.ts'
import { type Clock, createClock } from '../clock.ts'
import { parseConfig } from '../config.ts'
import type { Inbox } from '../demo/inbox.ts'
import { inboxApp } from '../demo/inbox-page.ts'
import { startMailInbox } from '../demo/mail-inbox.ts'
import { startSlackInbox } from '../demo/slack-inbox.ts'
import { createLogger } from '../logger.ts'
import type { Fleet } from '../simulator/fleet.ts'
import { createLife, type Life } from '../simulator/life.ts'
import { startSimulator } from '../simulator/server.ts'
import type { CliContext, ExitCode } from './context.ts'
import { loadRuleFiles, readFile } from './load.ts'
import { serviceMetrics } from './run.ts'

export interface DemoOptions {
  readonly users: number
  readonly seed: number
  readonly speed: number
  /** Of the inbox page; metrics are on the next one, the simulated API on the one after. 0: any. */
  readonly port: number
}

const host = '127.0.0.1'
const minuteMs = 60_000
const credentials = { clientId: 'demo', clientSecret: 'demo' }
// Of the machine, not of the clock that runs faster: people click at their own speed.
const linkLifetimeMs = 60 * minuteMs

export async function demo(options: DemoOptions, context: CliContext): Promise<ExitCode> {
  const { print, signal } = context
  const clock = createClock({ factor: options.speed })
  const releases = new AsyncDisposableStack()
  try {
    const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-demo-'))
    releases.defer(() => rm(folder, { recursive: true, force: true }))

    const simulator = await startSimulator({
      clock,
      fleet: { users: options.users, seed: options.seed, shapes: 'mixed' },
      linkLifetimeMs: linkLifetimeMs * options.speed,
      host,
      port: portAt(options, 2),
      ...credentials,
    })
    releases.defer(() => simulator.close())
    const slack = await startSlackInbox({ clock, host })
    releases.defer(() => slack.close())
    const mail = await startMailInbox({ clock, host })
    releases.defer(() => mail.close())

    const links: { label: string; url: string }[] = []
    const page = createAdaptorServer({
      fetch: inboxApp({ slack: slack.messages, mail: mail.messages, clock, links }).fetch,
      overrideGlobalObjects: false,
    }) as Server
    const inboxUrl = await listening(page, options.port)
    releases.defer(() => closed(page))

    // The links in messages lead to the service itself, so its port has to be known before it listens.
    const port = options.port === 0 ? await freePort() : portAt(options, 1)
    const text = configuration({
      baseUrl: simulator.url,
      inboxUrl,
      linkKey: randomBytes(32).toString('base64'),
      database: join(folder, 'demo.db'),
      slackUrl: slack.webhookUrl('on-call'),
      smarthost: `${mail.host}:${mail.port}`,
      port,
    })
    const config = await parseConfig({
      file: fileURLToPath(new URL('../../demo.yaml', import.meta.url)),
      text,
      env: {},
      readFile,
    })
    const { rules } = await loadRuleFiles(config.ruleFiles)
    const app = await createApp(config, {
      rules,
      version: packageJson.version,
      clock,
      // What goes wrong is for the screen; what goes well is in the inbox.
      logger: createLogger({ level: 'error', destination: context.logDestination }),
      metrics: serviceMetrics(context, clock),
    })
    releases.defer(() => app.close())

    const life = createLife({
      fleet: simulator.fleet,
      clock,
      seed: options.seed,
      meanBreakIntervalMs: 4 * minuteMs,
      meanRepairMs: 45 * minuteMs,
      meanOutageIntervalMs: 150 * minuteMs,
      meanOutageMs: 25 * minuteMs,
    })

    // The first that fails ends the others.
    const stop = new AbortController()
    const ending = AbortSignal.any([signal, stop.signal])
    const parts = [
      app.run(ending, (metricsUrl) => {
        links.push({ label: 'On call', url: `${metricsUrl}/` })
        links.push({ label: 'Metrics', url: `${metricsUrl}/metrics` })
        for (const each of screen(options, { inboxUrl, metricsUrl, apiUrl: simulator.url })) print(each)
      }),
      life.run(ending),
      firstFaults({ fleet: simulator.fleet, life, clock, signal: ending }),
      announce(slack.messages, ending, ({ text: message, receivedAt }) =>
        print(line(receivedAt, 'Slack ', message)),
      ),
      announce(mail.messages, ending, ({ text: mailText, receivedAt }) =>
        print(line(receivedAt, 'e-mail', mailText)),
      ),
    ]
    await Promise.all(parts.map((part) => part.catch(endOthers(stop))))
    print('')
    print('The demo has ended; nothing of it is left.')
    return 0
  } finally {
    await releases.disposeAsync()
  }
}

/** Rethrows after the others were told to end. */
function endOthers(stop: AbortController): (error: unknown) => never {
  return (error) => {
    stop.abort()
    throw error
  }
}

function portAt({ port }: DemoOptions, offset: number): number {
  return port === 0 ? 0 : port + offset
}

/** The service's configuration; written as an operator would write it. */
function configuration(places: {
  baseUrl: string
  /** Where people go on to after they followed a link. */
  inboxUrl: string
  linkKey: string
  database: string
  slackUrl: string
  smarthost: string
  port: number
}): string {
  return `
partner:
  base_url: ${places.baseUrl}
  client_id: ${credentials.clientId}
  client_secret: ${credentials.clientSecret}
poll:
  schedule: "*/10 * * * *"
  recheck_interval: 2m
rules: [rules/*.yaml]
storage:
  url: ${JSON.stringify(`sqlite:${places.database}`)}
http:
  listen: ${host}:${places.port}
  public_url: http://${host}:${places.port}
links:
  signing_key: ${places.linkKey}
  success_url: ${places.inboxUrl}/
alerting:
  global:
    smtp_smarthost: ${places.smarthost}
    smtp_from: Fleetwarden <fleet@example.com>
  route:
    receiver: on-call
    group_by: [alertname, manufacturer]
  receivers:
    - name: on-call
      slack_configs: [{api_url: "${places.slackUrl}"}]
      email_configs: [{to: on-call@example.com}]
`
}

/** Something is broken from the start, and heals after a while: nobody wants to wait for the first fault. */
async function firstFaults(demo: {
  fleet: Fleet
  life: Life
  clock: Clock
  signal: AbortSignal
}): Promise<void> {
  const { fleet, life, clock, signal } = demo
  const broken: string[] = []
  for (let user = 0; user < fleet.userCount && broken.length < 5; user++) {
    const [device] = fleet.devices(user)
    if (device === undefined || fleet.condition(device).breakages.size > 0) continue
    life.breakDevice('unauthenticated', device.id)
    broken.push(device.id)
  }
  for (const [index, deviceId] of broken.entries()) {
    await clock.sleep((index === 0 ? 24 : 8) * minuteMs, signal).catch(() => {})
    if (signal.aborted) return
    life.heal(deviceId, 'unauthenticated')
  }
}

async function announce<T>(inbox: Inbox<T>, signal: AbortSignal, show: (message: T) => void): Promise<void> {
  for (let seen = 0; !signal.aborted; ) {
    await inbox.arrived(seen + 1, signal).catch(() => {})
    const fresh = inbox.total() - seen
    seen += fresh
    for (const message of fresh === 0 ? [] : inbox.items().slice(-fresh)) show(message)
  }
}

function line(at: number, where: string, message: string): string {
  const first = message.split('\n')[0] ?? ''
  const time = new Date(at).toISOString().slice(11, 16)
  // Device names are not ours: a terminal must not take them for commands.
  return `${time}  ${where}  ${first.replace(/\p{Cc}/gu, ' ')}`
}

function screen(
  { users, speed }: DemoOptions,
  urls: { inboxUrl: string; metricsUrl: string; apiUrl: string },
): string[] {
  return [
    `Fleetwarden watches ${users} simulated users. One second is ${speed / 60} ${speed === 60 ? 'minute' : 'minutes'} here.`,
    '',
    `  Inbox     ${urls.inboxUrl}/`,
    `  Page      ${urls.metricsUrl}/ (what fires, for the person on call)`,
    `  Metrics   ${urls.metricsUrl}/metrics`,
    `  Partner   ${urls.apiUrl} (the simulated API)`,
    '',
    'What to look at:',
    '  1. Open the inbox. Some devices have lost their connection; after 15 minutes of it (seconds here)',
    '     the first message arrives in Slack and by e-mail.',
    '  2. Click "Resolve" in it, do what the page says, and watch the alert resolve; others heal by themselves.',
    '  3. Sooner or later a manufacturer has an outage: one message, however many devices.',
    '  4. Open the page: acknowledge an alert, look at its story, silence one and see what that would match.',
    '  5. In another terminal, list what fires; try `silence add` and `explain`, too:',
    `     npm run fleetwarden -- alerts --url ${urls.metricsUrl}`,
    '',
    "Each message is a line below (times are the demo's own). Ctrl-C ends it.",
    '',
  ]
}

function listening(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken =
        error.code === 'EADDRINUSE' ? `port ${port} is taken: choose another with --port` : error.message
      reject(new Error(`the inbox page cannot be served: ${taken}`, { cause: error }))
    })
    server.listen(port, host, () => {
      const address = server.address()
      resolve(`http://${host}:${typeof address === 'object' ? address?.port : port}`)
    })
  })
}

/** One that nobody uses at this moment. */
async function freePort(): Promise<number> {
  const server = createServer()
  const url = await listening(server, 0)
  await closed(server)
  return Number(new URL(url).port)
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
