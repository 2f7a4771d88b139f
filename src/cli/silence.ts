// `fleetwarden silence add/list/expire`, of the running service. Before one is added it says what it
// would match: a silence that matches more than was meant is how outages go unseen.

import { z } from 'zod'
import { formatDuration } from '../duration.ts'
import { formatMatchers, type MatchOperator } from '../matcher.ts'
import { authorOf, parseArguments } from './alerts.ts'
import type { CliContext, ExitCode } from './context.ts'
import { plain, plainJson, tableLines } from './printed.ts'
import { connectService, ServiceError, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'

export interface AddSilenceOptions extends ServiceOptions {
  /** Milliseconds. */
  readonly duration: number
  readonly comment: string
  readonly author: string | undefined
  readonly untilResolved: boolean
  readonly yes: boolean
}

const mostShown = 10
const previewAnswer = z.object({
  count: z.number(),
  alerts: z.array(z.object({ fingerprint: z.string(), labels: z.record(z.string(), z.string()) })),
})

/** 0 added, 1 not. */
export async function addSilence(
  matcherTexts: readonly string[],
  options: AddSilenceOptions,
  context: CliContext,
): Promise<ExitCode> {
  const createdBy = authorOf(options.author, context)
  const parsed = parseArguments(matcherTexts)
  if (parsed.length === 0) throw new UsageError('a silence needs at least one matcher, such as user_id=…')
  const matchers = parsed.map(({ name, operator, value }) => ({
    name,
    value,
    isRegex: operator.endsWith('~'),
    isEqual: !operator.startsWith('!'),
  }))
  const service = await connectService(options, context)
  const preview = await service.post('/api/v1/silences/preview', { matchers }, previewAnswer)
  context.printError(`${formatted(parsed)} matches ${counted(preview.count)} now`)
  for (const { labels } of preview.alerts.slice(0, mostShown)) context.printError(`  ${labelLine(labels)}`)
  const more = preview.count - Math.min(preview.alerts.length, mostShown)
  if (more > 0) context.printError(`  and ${more} more`)
  if (!options.yes && context.ask !== undefined) {
    const answer = await context.ask(`Silence for ${formatDuration(options.duration)}? [y/N] `)
    if (!/^\s*y(?:es)?\s*$/i.test(answer)) {
      context.printError('nothing was silenced')
      return 1
    }
  }
  const now = await service.now()
  const { silenceID } = await service.post(
    '/api/v2/silences',
    {
      matchers,
      startsAt: new Date(now).toISOString(),
      endsAt: new Date(now + options.duration).toISOString(),
      createdBy,
      comment: options.comment,
      annotations: options.untilResolved ? { expire_when: 'resolved' } : {},
    },
    z.object({ silenceID: z.string() }),
  )
  context.print(plain(silenceID))
  return 0
}

function formatted(matchers: Parameters<typeof formatMatchers>[0]): string {
  return plain(formatMatchers(matchers))
}

function counted(count: number): string {
  return count === 0 ? 'no alert' : `${count} ${count === 1 ? 'alert' : 'alerts'}`
}

/** The alert's name first, then what tells it from others. */
function labelLine({ alertname = '', ...labels }: Readonly<Record<string, string>>): string {
  const rest = Object.keys(labels)
    .sort()
    .map((name) => `${name}=${labels[name]}`)
  return plain([alertname, ...rest].join(' '))
}

const silenceAnswer = z.object({
  id: z.string(),
  status: z.object({ state: z.enum(['active', 'pending', 'expired']) }),
  matchers: z.array(
    z.object({ name: z.string(), value: z.string(), isRegex: z.boolean(), isEqual: z.boolean() }),
  ),
  startsAt: z.string(),
  endsAt: z.string(),
  createdBy: z.string(),
  comment: z.string(),
})
type ListedSilence = z.output<typeof silenceAnswer>

/** Those that are active or yet to begin; with `expired` those that have ended. */
export async function listSilences(
  options: ServiceOptions & { readonly expired: boolean; readonly json: boolean },
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  const flags = [
    ['active', String(!options.expired)],
    ['pending', String(!options.expired)],
    ['expired', String(options.expired)],
  ] as const
  const silences = await service.get('/api/v2/silences', flags, z.array(silenceAnswer.loose()))
  if (options.json) {
    context.print(plainJson(silences))
    return 0
  }
  const now = await service.now()
  const rows = silences.map((silence) => [
    silence.id,
    whenWords(silence, now),
    formatMatchers(silence.matchers.map(asMatcher)),
    silence.createdBy,
    silence.comment,
  ])
  if (rows.length === 0) context.print('no silences')
  else
    for (const line of tableLines([['id', 'when', 'matchers', 'by', 'comment'], ...rows])) context.print(line)
  return 0
}

function asMatcher({ name, value, isRegex, isEqual }: ListedSilence['matchers'][number]) {
  const operator: MatchOperator = isRegex ? (isEqual ? '=~' : '!~') : isEqual ? '=' : '!='
  return { name, operator, value }
}

function whenWords({ status, startsAt, endsAt }: ListedSilence, now: number): string {
  const until = (at: string) => formatDuration(Math.abs(Date.parse(at) - now))
  switch (status.state) {
    case 'active':
      return `ends in ${until(endsAt)}`
    case 'pending':
      return `begins in ${until(startsAt)}`
    case 'expired':
      return `ended ${until(endsAt)} ago`
    default:
      return status.state satisfies never
  }
}

/** 0 all of them are over, 1 some were not found. */
export async function expireSilences(
  ids: readonly string[],
  options: ServiceOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  let exitCode: ExitCode = 0
  for (const id of ids) {
    try {
      await service.delete(`/api/v2/silence/${encodeURIComponent(id)}`)
      context.print(plain(`${id}: expired`))
    } catch (error) {
      if (!(error instanceof ServiceError) || error.kind !== 'not_found') throw error
      context.printError(plain(`${id}: there is no silence with this id`))
      exitCode = 1
    }
  }
  return exitCode
}
