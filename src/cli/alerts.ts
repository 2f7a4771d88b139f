// `fleetwarden alerts`: what fires, of the running service, as a table or as JSON; and
// `alerts ack`/`unack`: to look after one.

import { z } from 'zod'
import { formatDuration } from '../duration.ts'
import { createMatcher, formatMatcher, type Matcher, MatcherError, parseMatchers } from '../matcher.ts'
import type { CliContext, ExitCode } from './context.ts'
import { plain, plainJson, tableLines } from './printed.ts'
import { connectService, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'

export interface AlertsOptions extends ServiceOptions {
  readonly silenced: boolean
  readonly inhibited: boolean
  readonly pending: boolean
  readonly json: boolean
}

const acknowledgementAnswer = z.object({ by: z.string(), comment: z.string(), until: z.string().nullable() })
const alertAnswer = z.object({
  fingerprint: z.string(),
  labels: z.record(z.string(), z.string()),
  startsAt: z.string(),
  state: z.string(),
  isFlapping: z.boolean(),
  status: z.object({
    silencedBy: z.array(z.string()),
    inhibitedBy: z.array(z.string()),
    mutedBy: z.array(z.string()),
  }),
  acknowledgement: acknowledgementAnswer.nullable(),
})
type ListedAlert = z.output<typeof alertAnswer>

/** 0 none, 3 some. */
export async function listAlerts(
  matchers: readonly string[],
  options: AlertsOptions,
  context: CliContext,
): Promise<ExitCode> {
  const filters = parseArguments(matchers).map((matcher) => ['filter', formatMatcher(matcher)] as const)
  const service = await connectService(options, context)
  const flags = (['silenced', 'inhibited', 'pending'] as const).map(
    (name) => [name, String(options[name])] as const,
  )
  const alerts = await service.get('/api/v1/alerts', [...flags, ...filters], z.array(alertAnswer.loose()))
  alerts.sort(byUrgency)
  if (options.json) context.print(plainJson(alerts))
  else printAlerts(alerts, { now: await service.now(), context })
  return alerts.length === 0 ? 0 : 3
}

function printAlerts(
  alerts: readonly ListedAlert[],
  { now, context: { print } }: { readonly now: number; readonly context: CliContext },
): void {
  const rows = alerts.map((alert) => [
    alert.labels['severity'] ?? '',
    formatDuration(Math.max(0, now - Date.parse(alert.startsAt))),
    alert.labels['alertname'] ?? '',
    stateWords(alert),
    [alert.labels['manufacturer'], alert.labels['device_type']]
      .filter((part) => part !== undefined)
      .join(' '),
    alert.labels['user_id'] ?? '',
    alert.labels['device_id'] ?? '',
    alert.fingerprint,
  ])
  if (rows.length > 0) {
    const head = ['severity', 'for', 'alert', 'state', 'device', 'user', 'device id', 'fingerprint']
    for (const line of tableLines([head, ...rows])) print(line)
    print('')
  }
  print(`${rows.length} ${rows.length === 1 ? 'alert' : 'alerts'}`)
}

/** As it is, and why nobody is told. */
function stateWords({ state, status, acknowledgement, isFlapping }: ListedAlert): string {
  const words = [state]
  if (isFlapping) words.push('flapping')
  if (status.silencedBy.length > 0) words.push('silenced')
  if (status.inhibitedBy.length > 0) words.push('inhibited')
  if (status.mutedBy.length > 0) words.push('muted')
  if (acknowledgement !== null) words.push(`acknowledged by ${acknowledgement.by}`)
  return words.join(', ')
}

const severities = ['critical', 'warning', 'info']

/** By severity, the oldest first. */
function byUrgency(a: ListedAlert, b: ListedAlert): number {
  const rank = ({ labels }: ListedAlert) => {
    const index = severities.indexOf(labels['severity'] ?? '')
    return index === -1 ? severities.length : index
  }
  return rank(a) - rank(b) || Date.parse(a.startsAt) - Date.parse(b.startsAt)
}

export interface AcknowledgeOptions extends ServiceOptions {
  readonly comment: string
  readonly author: string | undefined
  /** Milliseconds; undefined: until it resolves. */
  readonly for?: number
}

/** Rejects with ServiceError, of kind not_found when no such alert is active. */
export async function acknowledge(
  fingerprint: string,
  options: AcknowledgeOptions,
  context: CliContext,
): Promise<ExitCode> {
  const by = authorOf(options.author, context)
  const service = await connectService(options, context)
  const until = options.for === undefined ? null : new Date((await service.now()) + options.for).toISOString()
  const answer = await service.post(
    acknowledgementPath(fingerprint),
    { by, comment: options.comment, until },
    acknowledgementAnswer,
  )
  context.print(plain(`${fingerprint}: acknowledged by ${answer.by}, until ${answer.until ?? 'it resolves'}`))
  return 0
}

export async function withdraw(
  fingerprint: string,
  options: ServiceOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  await service.delete(acknowledgementPath(fingerprint))
  context.print(plain(`${fingerprint}: no longer acknowledged`))
  return 0
}

/** Rejects with ServiceError, of kind not_found when there is no link that works. */
export async function revokeLink(
  fingerprint: string,
  options: ServiceOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  await service.delete(`/api/v1/alerts/${encodeURIComponent(fingerprint)}/link`)
  context.print(plain(`${fingerprint}: its links lead nowhere any more`))
  return 0
}

function acknowledgementPath(fingerprint: string): string {
  return `/api/v1/alerts/${encodeURIComponent(fingerprint)}/acknowledgement`
}

/** Who does it: `--author`, or who is logged in. @throws UsageError */
export function authorOf(author: string | undefined, { env }: CliContext): string {
  const name = (author ?? env['USER'] ?? env['LOGNAME'] ?? '').trim()
  if (name === '') throw new UsageError('say who it is: --author NAME')
  return name
}

/** As in amtool, a word alone is the name of an alert. @throws UsageError */
export function parseArguments(texts: readonly string[]): readonly Matcher[] {
  return texts.flatMap((text) => {
    try {
      return /^[\w:.-]+$/.test(text) ? [createMatcher('alertname', '=', text)] : parseMatchers(text)
    } catch (error) {
      if (!(error instanceof MatcherError)) throw error
      throw new UsageError(`${JSON.stringify(text)}: ${error.message}`, { cause: error })
    }
  })
}
