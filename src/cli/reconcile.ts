// `fleetwarden users reconcile customers.csv`: the utility's customers against the users at the partner. The users
// come from the running service, the file stays here, and what is put right goes through the service, one change
// after the other.

import { z } from 'zod'
import { createAccountIndex } from '../backoffice/account-index.ts'
import { applyFixes } from '../backoffice/apply-fixes.ts'
import { mapColumns, parseColumnNames, userColumns } from '../backoffice/csv-columns.ts'
import { type CsvFile, openCsv } from '../backoffice/csv-file.ts'
import type { FindingKind } from '../backoffice/finding-kinds.ts'
import { openJournal } from '../backoffice/journal.ts'
import type { SendOutcome } from '../backoffice/patient-sending.ts'
import {
  type Customer,
  customerOf,
  type Finding,
  type Fix,
  type Reconciliation,
  reconcile,
} from '../backoffice/reconciliation.ts'
import { userFieldNames } from '../backoffice/user-input.ts'
import type { UserFields } from '../partner/user-directory.ts'
import { fieldByOption, isWanted } from './change-user.ts'
import type { CliContext, ExitCode } from './context.ts'
import { type Column, type OutputFormat, printItems } from './output-format.ts'
import { plain } from './printed.ts'
import { createProgressBar } from './progress-bar.ts'
import { sent } from './sent-change.ts'
import { connectService, type ServiceClient, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'
import { userAnswer } from './user-answers.ts'

export interface ReconcileOptions extends ServiceOptions {
  readonly columns?: string
  /** Empty: all. */
  readonly only: readonly FindingKind[]
  readonly format: OutputFormat
  readonly apply: boolean
  readonly yes: boolean
  readonly journal?: string
  readonly archiveMany: boolean
}

// A file that was cut off, or of another region, would archive everybody who is not in it.
const mostArchivedShare = 0.05
const alwaysArchivable = 10

/** 0 nothing found, or all put right; 1 something was not put right; 3 findings. */
export async function reconcileUsers(
  file: string,
  options: ReconcileOptions,
  context: CliContext,
): Promise<ExitCode> {
  const csv = await openCsv(file)
  const columns = columnsOf(csv, options.columns)
  const service = await connectService(options, context)
  const index = createAccountIndex()
  const reading = createCounter('users read', context)
  for await (const user of service.items('/api/v1/users', [], userAnswer.loose())) {
    index.add({ id: user.id, ...pickFields(user) })
    reading.show(index.size)
  }
  reading.end()
  const found = await reconcile(index, customersOf(csv, columns, context))
  const wanted = () => wantedFindings(found, options.only)
  if (options.apply) return apply({ file, found, wanted, options, service, context })

  const { format } = options
  const count = await printItems(wanted(), { format, columns: findingColumns }, context)
  if (format === 'table') {
    const findings = `${count} ${count === 1 ? 'finding' : 'findings'}`
    context.print(`${count === 0 ? '' : '\n'}${findings}; ${found.customers} customers, ${found.users} users`)
  }
  return count === 0 ? 0 : 3
}

function columnsOf(csv: CsvFile, text: string | undefined) {
  const given = text === undefined ? new Map<never, never>() : parseColumnNames(text, userColumns)
  if ('problem' in given) throw new UsageError(`--columns: ${given.problem}`)
  return mapColumns(csv, { names: userColumns, required: ['external_user_id'], given })
}

async function* customersOf(
  csv: CsvFile,
  columns: Parameters<typeof customerOf>[1],
  context: CliContext,
): AsyncGenerator<readonly Customer[]> {
  const reading = createCounter('customers compared', context)
  let count = 0
  for await (const rows of csv.rows(context.signal)) {
    yield rows.map((row) => customerOf(row, columns))
    count += rows.length
    reading.show(count)
  }
  reading.end()
}

function* wantedFindings(found: Reconciliation, only: readonly FindingKind[]): Generator<Finding> {
  for (const finding of found.findings()) if (only.length === 0 || only.includes(finding.kind)) yield finding
}

// ---- putting right

interface Applying {
  readonly file: string
  readonly found: Reconciliation
  readonly wanted: () => Iterable<Finding>
  readonly options: ReconcileOptions
  readonly service: ServiceClient
  readonly context: CliContext
}

async function apply({ file, found, wanted, options, service, context }: Applying): Promise<ExitCode> {
  const counts = { create: 0, update: 0, archive: 0, none: 0 }
  for (const { fix } of wanted()) counts[fix?.action ?? 'none']++
  const total = counts.create + counts.update + counts.archive
  context.printError(
    `to be created: ${counts.create}, to be changed: ${counts.update}, to be archived: ${counts.archive}; for people to decide: ${counts.none}`,
  )
  if (total === 0) return counts.none === 0 ? 0 : 3
  const mostArchived = Math.max(alwaysArchivable, found.users * mostArchivedShare)
  if (counts.archive > mostArchived && !options.archiveMany) {
    throw new UsageError(
      `${counts.archive} of ${found.users} users would be archived: is the file whole? Leave them out with --only, or say --archive-many`,
    )
  }
  if (!(await isWanted(`Make these ${total} changes?`, options, context))) return 1

  const journalFile = options.journal ?? `${file}.journal`
  const journal = await openJournal(journalFile)
  const bar = createProgressBar('changes', context)
  try {
    if (journal.isContinued) context.printError(plain(`goes on with what ${journalFile} has begun`))
    const { done, refused, doneBefore, stopped } = await applyFixes({
      findings: wanted(),
      journal,
      send: (fix) => send(fix, service),
      clock: context.clock,
      signal: context.signal,
      onProgress: (count) => bar.show({ done: count, total }),
      onRefused: (finding, problem) => {
        bar.end()
        context.printError(plain(`${commandOf(finding.fix) ?? ''}\n  ${problem}`))
      },
    })
    bar.end()
    const before = doneBefore === 0 ? '' : `, ${doneBefore} done before`
    context.print(`${done} of ${total} changes made${before}${refused === 0 ? '' : `, ${refused} refused`}`)
    if (stopped !== null) {
      context.printError(plain(`ended early (${stopped}): the same command goes on from here`))
      return 1
    }
    if (refused > 0) return 1
    return counts.none === 0 ? 0 : 3
  } finally {
    bar.end()
    await journal.close()
  }
}

const anything = z.unknown()

function send(fix: Fix, service: ServiceClient): Promise<SendOutcome> {
  switch (fix.action) {
    case 'create':
      return sent(() =>
        service.change({ method: 'POST', path: '/api/v1/users', body: { user: fix.user } }, anything),
      )
    case 'update': {
      const path = `/api/v1/users/${encodeURIComponent(fix.userId)}`
      const body = { changes: fix.changes, seen: fix.seen }
      return sent(() => service.change({ method: 'PATCH', path, body }, anything))
    }
    case 'archive': {
      const path = `/api/v1/users/${encodeURIComponent(fix.userId)}/archive`
      return sent(() => service.change({ method: 'POST', path, body: { seen: fix.seen } }, anything))
    }
    default:
      return fix satisfies never
  }
}

// ---- output

const kindWords: Readonly<Record<FindingKind, string>> = {
  row_without_id: 'row without an external id',
  duplicate_customer: 'same external id twice in the file',
  duplicate_user: 'same external id at several users',
  different: 'differs',
  external_id_missing: 'user lacks the external id',
  customer_without_user: 'customer without a user',
  archived_customer: 'customer whose user is archived',
  user_without_external_id: 'user without an external id',
  user_left: 'user who is no customer',
}

const findingColumns: readonly Column<Finding>[] = [
  { name: 'kind', cell: ({ kind }) => kind, short: ({ kind }) => kindWords[kind] },
  { name: 'external id', cell: ({ externalId }) => externalId },
  { name: 'lines', cell: ({ lines }) => lines.join(' ') },
  { name: 'users', cell: ({ userIds }) => userIds.join(' ') },
  {
    name: 'differences',
    cell: ({ differences }) =>
      differences.map(({ field, user, customer }) => `${field}: ${user ?? ''} → ${customer}`).join('; '),
  },
  { name: 'note', cell: ({ note }) => note },
  { name: 'command', cell: ({ fix }) => commandOf(fix) },
]

/** What a person would type. */
function commandOf(fix: Fix | null): string | null {
  if (fix === null) return null
  switch (fix.action) {
    case 'create':
      return `fleetwarden users create${optionsOf(fix.user)}`
    case 'update':
      return `fleetwarden users update ${shellWord(fix.userId)}${optionsOf(fix.changes)}`
    case 'archive':
      return `fleetwarden users archive ${shellWord(fix.userId)}`
    default:
      return fix satisfies never
  }
}

function optionsOf(fields: UserFields): string {
  return Object.entries(fieldByOption)
    .filter(([, field]) => fields[field] !== undefined)
    .map(([option, field]) => {
      const name = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
      // With `=`, since a value may begin with a dash.
      return ` --${name}=${shellWord(String(fields[field] ?? ''))}`
    })
    .join('')
}

/** One word for a POSIX shell, whatever it holds. */
function shellWord(text: string): string {
  return /^[\w@%+:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

function pickFields(user: z.output<typeof userAnswer>) {
  return Object.fromEntries(userFieldNames.map((field) => [field, user[field]])) as Pick<
    typeof user,
    (typeof userFieldNames)[number]
  >
}

const leastMs = 250

/** On a terminal how far something of unknown length has come. */
function createCounter(what: string, { terminal, clock }: Pick<CliContext, 'terminal' | 'clock'>) {
  let shownAt = Number.NEGATIVE_INFINITY
  return {
    show(count: number): void {
      if (terminal === null || clock.monotonic() - shownAt < leastMs) return
      shownAt = clock.monotonic()
      terminal.write(`\r${count} ${what} `)
    },
    end(): void {
      if (Number.isFinite(shownAt)) terminal?.write('\r\u001b[K')
    },
  }
}
