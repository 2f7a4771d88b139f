// `fleetwarden users migrate plan.csv`: moves users over from another system, each as far as it goes now; run it
// again whenever you like. The service keeps who is how far. Without a plan it goes on with those whom it knows;
// `--status` only looks.

import { type FileHandle, open } from 'node:fs/promises'
import { z } from 'zod'
import { mapColumns, parseColumnNames } from '../backoffice/csv-columns.ts'
import { openCsv } from '../backoffice/csv-file.ts'
import { type MigrationStep, migrationSteps } from '../backoffice/migration.ts'
import { planColumns, readPlan } from '../backoffice/migration-plan.ts'
import { sendPatiently } from '../backoffice/patient-sending.ts'
import { isWanted } from './change-user.ts'
import type { CliContext, ExitCode } from './context.ts'
import { csvLine } from './csv-lines.ts'
import { type Column, type OutputFormat, printItems } from './output-format.ts'
import { plain, tableLines } from './printed.ts'
import { createProgressBar } from './progress-bar.ts'
import { sent } from './sent-change.ts'
import { connectService, type ServiceClient, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'

export interface MigrateOptions extends ServiceOptions {
  readonly columns?: string
  /** A file for the links of the sessions that are opened. */
  readonly links?: string
  readonly reopen: boolean
  readonly status: boolean
  readonly forget: readonly string[]
  readonly format: OutputFormat
  readonly yes: boolean
}

const stateAnswer = z.object({
  external_user_id: z.string(),
  user_id: z.string().nullable(),
  old_user_id: z.string().nullable(),
  step: z.enum(migrationSteps),
  since: z.string(),
  problem: z.string().nullable(),
})
type ListedState = z.output<typeof stateAnswer>
const advanceAnswer = z.object({
  state: stateAnswer,
  links: z.array(z.object({ device_type: z.string(), url: z.string(), expires_at: z.string().nullable() })),
})

/** 0 everybody is done; 1 something failed; 3 some are still on their way. */
export async function migrateUsers(
  file: string | undefined,
  options: MigrateOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  if (options.forget.length > 0) return forget(options.forget, service, context)
  if (options.status) return showStatus(options, service, context)
  if (options.reopen && options.links === undefined) {
    throw new UsageError(
      '--reopen opens sessions whose links you lost: say with --links FILE where the new ones go',
    )
  }
  const requests = file === undefined ? await unfinished(service) : await planned(file, options, context)
  return takeOn(requests, { options, service, context })
}

interface Requests {
  readonly total: number
  readonly question: string
  requests(): AsyncIterable<{ readonly path: string; readonly body: object; readonly externalId: string }>
}

/** Reads the plan twice: once for all that is wrong with it, and once to send it. */
async function planned(file: string, options: MigrateOptions, context: CliContext): Promise<Requests> {
  const csv = await openCsv(file)
  const given =
    options.columns === undefined ? new Map<never, never>() : parseColumnNames(options.columns, planColumns)
  if ('problem' in given) throw new UsageError(`--columns: ${given.problem}`)
  const columns = mapColumns(csv, { names: planColumns, required: ['external_user_id', 'email'], given })
  let total = 0
  let archived = 0
  for await (const user of readPlan(csv, columns, context.signal)) {
    total++
    if (user.old_user_id !== null) archived++
  }
  return {
    total,
    question: `Take ${counted(total)} on, and archive ${archived} old ${archived === 1 ? 'record' : 'records'} of those who get through?`,
    async *requests() {
      for await (const user of readPlan(csv, columns, context.signal)) {
        yield { path: '/api/v1/migration/users', body: user, externalId: user.external_user_id }
      }
    },
  }
}

async function unfinished(service: ServiceClient): Promise<Requests> {
  const steps = migrationSteps.filter((step) => step !== 'done').map((step) => ['step', step] as const)
  const states: ListedState[] = []
  for await (const state of service.items('/api/v1/migration/users', steps, stateAnswer.loose()))
    states.push(state)
  return {
    total: states.length,
    question: `Go on with ${counted(states.length)}?`,
    async *requests() {
      for (const { external_user_id: externalId } of states) {
        const path = `/api/v1/migration/users/${encodeURIComponent(externalId)}/advance`
        yield { path, body: {}, externalId }
      }
    },
  }
}

async function takeOn(
  { total, question, requests }: Requests,
  {
    options,
    service,
    context,
  }: { readonly options: MigrateOptions; readonly service: ServiceClient; readonly context: CliContext },
): Promise<ExitCode> {
  if (total === 0) {
    context.printError('nobody is to be moved')
    return 0
  }
  if (!(await isWanted(question, options, context))) return 1
  const links = options.links === undefined ? null : await openLinks(options.links)
  const bar = createProgressBar('users', context)
  const steps = Object.fromEntries(migrationSteps.map((step) => [step, 0])) as Record<MigrationStep, number>
  let done = 0
  let failed = 0
  let lost = 0
  try {
    for await (const { path, body, externalId } of requests()) {
      if (context.signal.aborted) break
      const request = { method: 'POST', path, body: { ...body, reopen: options.reopen } } as const
      const outcome = await sendPatiently(() => sent(() => service.change(request, advanceAnswer)), context)
      if (outcome === null) break
      if (outcome.kind === 'done' && outcome.answer !== undefined) {
        const { state, links: opened } = outcome.answer
        steps[state.step]++
        if (links === null) lost += opened.length
        for (const link of opened) {
          const cells = [externalId, state.user_id, link.device_type, link.expires_at, link.url]
          await links?.appendFile(`${csvLine(cells)}\n`)
        }
      } else if (outcome.kind !== 'done') {
        bar.end()
        context.printError(plain(`${externalId}: ${outcome.problem}`))
        failed++
        if (outcome.kind === 'later') break
      }
      bar.show({ done: ++done, total })
    }
  } finally {
    bar.end()
    await links?.close()
  }
  for (const line of stepLines(steps)) context.print(line)
  if (lost > 0) {
    context.printError(
      `${lost} onboarding ${lost === 1 ? 'session was' : 'sessions were'} opened and nobody has the link: run it again with --reopen --links FILE`,
    )
  }
  const missing = total - done
  if (missing > 0) context.printError(`${counted(missing)} not looked at: the same command goes on`)
  if (failed > 0 || missing > 0) return 1
  return steps.done === total ? 0 : 3
}

/** Whoever reads it connects devices for customers: for its owner's eyes alone, and new lines at its end. */
async function openLinks(file: string): Promise<FileHandle> {
  const handle = await open(file, 'a', 0o600)
  if ((await handle.stat()).size === 0) {
    await handle.appendFile(
      `${csvLine(['external_user_id', 'user_id', 'device_type', 'expires_at', 'url'])}\n`,
    )
  }
  return handle
}

// ---- status

async function showStatus(
  { format }: MigrateOptions,
  service: ServiceClient,
  context: CliContext,
): Promise<ExitCode> {
  const steps = { planned: 0, created: 0, identified: 0, onboarding: 0, verified: 0, done: 0 }
  const counting = async function* () {
    for await (const state of service.items('/api/v1/migration/users', [], stateAnswer.loose())) {
      steps[state.step]++
      // A table is for what people have to do something about.
      if (format !== 'table' || state.problem !== null) yield state
    }
  }
  const waiting = await printItems(counting(), { format, columns: stateColumns }, context)
  if (format === 'table') {
    if (waiting > 0) context.print('')
    for (const line of stepLines(steps)) context.print(line)
  }
  const total = Object.values(steps).reduce((sum, count) => sum + count, 0)
  return steps.done === total ? 0 : 3
}

const stateColumns: readonly Column<ListedState>[] = [
  { name: 'external id', cell: ({ external_user_id }) => external_user_id },
  { name: 'step', cell: ({ step }) => step },
  { name: 'since', cell: ({ since }) => since },
  { name: 'problem', cell: ({ problem }) => problem },
  { name: 'user', cell: ({ user_id }) => user_id },
  { name: 'old user', cell: ({ old_user_id }) => old_user_id },
]

/** A funnel: how many are at each step, and how many have reached it. */
function stepLines(steps: Readonly<Record<MigrationStep, number>>): readonly string[] {
  const total = migrationSteps.reduce((sum, step) => sum + steps[step], 0)
  const rows = migrationSteps.map((step, index) => {
    const reached = migrationSteps.slice(index).reduce((sum, each) => sum + steps[each], 0)
    const share = total === 0 ? 0 : Math.round((reached / total) * 100)
    return [step, `${reached}`, `${share} %`, steps[step] === 0 ? '' : `${steps[step]} there now`]
  })
  return tableLines([['step', 'reached', '', ''], ...rows])
}

async function forget(
  externalIds: readonly string[],
  service: ServiceClient,
  context: CliContext,
): Promise<ExitCode> {
  for (const externalId of externalIds) {
    await service.delete(`/api/v1/migration/users/${encodeURIComponent(externalId)}`)
    context.print(plain(`${externalId}: forgotten; nothing was changed at the partner`))
  }
  return 0
}

function counted(count: number): string {
  return `${count} ${count === 1 ? 'user' : 'users'}`
}
