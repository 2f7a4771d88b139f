// `fleetwarden explain`: why a device or an alert does or doesn't alert, of the running service: each
// rule part by part, timers, the route taken, what holds it back, what is told next and when.

import { z } from 'zod'
import type { CliContext, ExitCode } from './context.ts'
import { plain, plainJson } from './printed.ts'
import { connectService, ServiceError, type ServiceOptions } from './service-client.ts'

export interface ExplainCommandOptions extends ServiceOptions {
  readonly json: boolean
}

const labels = z.record(z.string(), z.string())
const step = z.object({ source: z.string(), depth: z.number(), text: z.string() })
const ruleAnswer = z.object({
  alertname: z.string(),
  verdict: z.union([z.boolean(), z.string()]),
  steps: z.array(step),
  clear: z.array(step).nullable(),
  state: z.string(),
})
const alertAnswer = z.object({
  fingerprint: z.string(),
  labels,
  state: z.string(),
  activeAt: z.number(),
  firedAt: z.number().nullable(),
  evaluatedAt: z.number(),
  waitsFor: z.string().nullable(),
  noData: z.object({ since: z.number(), reason: z.string() }).nullable(),
  flappingSince: z.number().nullable(),
  routes: z.array(
    z.object({
      key: z.string(),
      receiver: z.string(),
      depth: z.number(),
      outcome: z.string(),
      failed: z.string(),
    }),
  ),
  inhibitedBy: z.array(z.object({ fingerprint: z.string(), labels })),
  silencedBy: z.array(
    z.object({ id: z.string(), createdBy: z.string(), comment: z.string(), endsAt: z.number() }),
  ),
  heldFor: z.string().nullable(),
  acknowledgement: z.object({ by: z.string(), comment: z.string(), until: z.number().nullable() }).nullable(),
  owner: z.string().nullable(),
  groups: z.array(
    z.object({
      key: z.string(),
      receiver: z.string(),
      mutedBy: z.array(z.string()),
      nextFlushAt: z.number(),
      next: z.array(z.object({ integration: z.string(), what: z.string() })),
    }),
  ),
})
const explanationAnswer = z.object({
  about: z.string(),
  at: z.number(),
  reading: z.object({ state: z.string(), problem: z.string().nullable() }).nullable(),
  rules: z.array(ruleAnswer),
  alerts: z.array(alertAnswer),
})

/** 0: explained; 2: nothing is known under that name. */
export async function explain(
  id: string,
  options: ExplainCommandOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  const path = `/api/v1/explain/${encodeURIComponent(id)}`
  try {
    const explanation = await service.get(path, [], explanationAnswer)
    if (options.json) context.print(plainJson(explanation))
    else for (const line of explanationLines(explanation)) context.print(plain(line).trimEnd())
    return 0
  } catch (error) {
    if (!(error instanceof ServiceError) || error.kind !== 'not_found') throw error
    context.printError(
      `nothing is known of ${JSON.stringify(id)}: name an alert by its fingerprint (see \`alerts\`), a device ` +
        'by its id while it has an alert, or any device as USER/TYPE/DEVICE, such as 41/heat_pump/977',
    )
    return 2
  }
}

type Explanation = z.output<typeof explanationAnswer>

function explanationLines({ about, at, reading, rules, alerts }: Explanation): readonly string[] {
  const lines = [`${about}, at ${instant(at)}`]
  if (reading !== null) lines.push(`read just now: ${reading.problem ?? reading.state}`)
  for (const rule of rules) lines.push('', ...ruleLines(rule))
  for (const alert of alerts) lines.push('', ...alertLines(alert))
  if (reading?.state === 'read' && alerts.length === 0) lines.push('', 'no alert about it is active')
  return lines
}

function ruleLines({ alertname, verdict, steps, clear, state }: z.output<typeof ruleAnswer>): string[] {
  const says = typeof verdict === 'boolean' ? (verdict ? 'holds' : 'does not hold') : `unknown: ${verdict}`
  const parts = (of: readonly z.output<typeof step>[]) =>
    of.map(({ source, depth, text }) => `${'  '.repeat(depth + 2)}${oneLine(source)}  →  ${text}`)
  // A rule that is far from alerting is told in one line.
  if (verdict === false && state === 'inactive')
    return [`rule ${alertname}: ${says}`, ...parts(steps.slice(0, 1))]
  return [
    `rule ${alertname}: ${says}; its alert is ${state}`,
    ...parts(steps),
    ...(clear === null ? [] : ['  clear:', ...parts(clear)]),
  ]
}

function alertLines(alert: z.output<typeof alertAnswer>): string[] {
  const { labels: all, state, activeAt, firedAt, evaluatedAt, waitsFor, noData, flappingSince } = alert
  const lines = [
    `alert ${all['alertname'] ?? ''} (${alert.fingerprint}): ${state}`,
    `  labels: ${labelText(all)}`,
    `  active since ${instant(activeAt)}${firedAt === null ? '' : `, firing since ${instant(firedAt)}`}, last evaluated ${instant(evaluatedAt)}`,
  ]
  if (waitsFor !== null) lines.push(`  ${waitsFor}`)
  if (noData !== null) lines.push(`  without data since ${instant(noData.since)}: ${noData.reason}`)
  if (flappingSince !== null) lines.push(`  flapping since ${instant(flappingSince)}`)
  lines.push('  routes:')
  for (const { key, receiver, depth, outcome, failed } of alert.routes) {
    const why = failed === '' ? outcome : `${outcome}: ${failed}`
    lines.push(`  ${'  '.repeat(depth + 1)}${key} → ${receiver}: ${why}`)
  }
  lines.push(...heldBackLines(alert))
  if (alert.owner !== null) lines.push(`  owner: ${alert.owner}`)
  for (const { key, receiver, mutedBy, nextFlushAt, next } of alert.groups) {
    lines.push(`  group ${key} → ${receiver}: next tick ${instant(nextFlushAt)}`)
    if (mutedBy.length > 0) lines.push(`    muted by ${mutedBy.join(', ')}`)
    for (const { integration, what } of next) lines.push(`    ${integration}: ${what}`)
  }
  return lines
}

function heldBackLines(alert: z.output<typeof alertAnswer>): string[] {
  const { inhibitedBy, silencedBy, heldFor, acknowledgement } = alert
  const lines: string[] = []
  for (const { fingerprint, labels: source } of inhibitedBy) {
    lines.push(`  inhibited by ${labelText(source)} (${fingerprint})`)
  }
  for (const { id, createdBy, comment, endsAt } of silencedBy) {
    lines.push(`  silenced until ${instant(endsAt)} by ${createdBy}: ${comment} (${id})`)
  }
  if (heldFor !== null)
    lines.push(`  waits: ${heldFor === 'walk' ? 'the walk has not ended' : 'a mass change, see MassChange'}`)
  if (acknowledgement !== null) {
    const { by, comment, until } = acknowledgement
    lines.push(
      `  acknowledged by ${by}: ${comment}, until ${until === null ? 'it resolves' : instant(until)}`,
    )
  }
  if (lines.length === 0 && alert.state !== 'pending') lines.push('  nothing holds it back')
  return lines
}

function labelText(all: Readonly<Record<string, string>>): string {
  return Object.entries(all)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ')
}

function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}
