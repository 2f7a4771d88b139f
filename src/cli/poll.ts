// `fleetwarden poll --once`: one walk, and what the rules find, as a table or as JSON.
//
// With --dry-run it starts from nothing and leaves nothing: what holds right now, whatever its
// `for`. Without, it is a walk of the service: timers go on from the last one, changes are saved,
// and what is due is delivered.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import type { Alert } from '../alerts/alert.ts'
import { createApp } from '../app.ts'
import type { Config } from '../config.ts'
import { deviceTypeWords, isDeviceType } from '../fleet/device.ts'
import type { CliContext, ExitCode } from './context.ts'
import { load } from './load.ts'
import { createPlainLogger } from './plain-logger.ts'
import { tableLines } from './printed.ts'
import { createProgressBar } from './progress-bar.ts'
import { serviceMetrics } from './run.ts'

export interface PollOptions {
  readonly config: string
  readonly dryRun: boolean
  readonly json: boolean
}

// Messages that are still undelivered then stay in the database for the next run.
const deliveryMs = 30_000

/** 0 nothing found, 1 the fleet could not be read, 3 findings. */
export async function poll(options: PollOptions, context: CliContext): Promise<ExitCode> {
  const { config, rules } = await load(options.config, context)
  const scratch = options.dryRun ? await mkdtemp(join(tmpdir(), 'fleetwarden-')) : null
  const progress = createProgressBar('users', context)
  const app = await createApp(scratch === null ? config : dryConfig(config, scratch), {
    rules,
    version: packageJson.version,
    clock: context.clock,
    logger: createPlainLogger((line) => {
      progress.end()
      context.printError(line)
    }),
    metrics: serviceMetrics(context),
    onProgress: progress.show,
  })
  try {
    const outcome = await app.walkOnce(context.signal)
    progress.end()
    if (!options.dryRun) await deliverDue(app, context)
    const findings = [...app.alerts()].filter((alert) => alert.state !== 'resolved').sort(bySeverity)
    if (options.json) context.print(JSON.stringify({ outcome, findings: findings.map(asJson) }, null, 2))
    else if (outcome === 'failed') context.printError('The fleet could not be read: nothing is known of it.')
    else printTable(findings, outcome, context)
    if (outcome === 'failed' || outcome === 'stopped') return 1
    return findings.length > 0 ? 3 : 0
  } finally {
    await app.close()
    if (scratch !== null) await rm(scratch, { recursive: true, force: true })
  }
}

function dryConfig(config: Config, folder: string): Config {
  return {
    ...config,
    storage: { kind: 'sqlite', path: join(folder, 'dry-run.db') },
    heartbeat: null,
    alerting: { ...config.alerting, receivers: [] },
  }
}

type App = Awaited<ReturnType<typeof createApp>>

async function deliverDue(app: App, { clock, signal }: CliContext): Promise<void> {
  const stop = new AbortController()
  const delivering = app.deliver(AbortSignal.any([signal, stop.signal]))
  const until = clock.now() + deliveryMs
  const isDue = () =>
    app.delivery().queued > 0 || (app.delivery().nextFlushAt ?? Number.POSITIVE_INFINITY) <= clock.now()
  do await clock.sleep(100, signal).catch(() => {})
  while (isDue() && clock.now() < until && !signal.aborted)
  stop.abort()
  await delivering
}

const severities = ['critical', 'warning', 'info']

function bySeverity(a: Alert, b: Alert): number {
  const rank = ({ labels }: Alert) => {
    const index = severities.indexOf(labels['severity'] ?? '')
    return index === -1 ? severities.length : index
  }
  return rank(a) - rank(b) || compare(a.labels['alertname'], b.labels['alertname']) || compare(a.key, b.key)
}

function compare(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function asJson({ labels, annotations, state, activeAt, firedAt, affected, noData }: Alert) {
  return {
    labels,
    annotations,
    state,
    activeAt: new Date(activeAt).toISOString(),
    firedAt: firedAt === null ? null : new Date(firedAt).toISOString(),
    externalUserId: affected.externalUserId,
    noData: noData?.reason ?? null,
  }
}

const walkWords = {
  complete: 'everything was read',
  partial: 'not everything could be read',
  stopped: 'the walk was stopped',
} as const

function printTable(
  findings: readonly Alert[],
  outcome: keyof typeof walkWords,
  { print }: CliContext,
): void {
  const rows = findings.map(({ labels, state, affected, subject }) => [
    labels['severity'] ?? '',
    labels['alertname'] ?? '',
    state,
    deviceWords(labels),
    affected.externalUserId ?? labels['user_id'] ?? '',
    subject.kind === 'device' ? subject.deviceId : '',
  ])
  if (rows.length > 0) {
    const head = ['severity', 'alert', 'state', 'device', 'user', 'device id']
    for (const line of tableLines([head, ...rows])) print(line)
    print('')
  }
  print(`${rows.length} ${rows.length === 1 ? 'finding' : 'findings'}; ${walkWords[outcome]}`)
}

/** The device, or the group of devices that a fleet alert is about. */
function deviceWords({ manufacturer = '', device_type: type = '' }: Alert['labels']): string {
  const word = isDeviceType(type) ? deviceTypeWords[type][0] : type
  return [manufacturer === 'unknown' ? '' : manufacturer, word].filter((part) => part !== '').join(' ')
}
