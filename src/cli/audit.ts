// `fleetwarden audit list/export/verify`: of the running service, of the database of one that does not
// run, or of an export, as an auditor has it who has nothing else.

import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { z } from 'zod'
import { type AuditHead, formatRecord, parseRecord } from '../backoffice/audit-record.ts'
import { allRecords, verifyTrail } from '../backoffice/audit-trail.ts'
import {
  type AuditVerdict,
  createAuditCheck,
  formatHead,
  parseHead,
} from '../backoffice/audit-verification.ts'
import { parseDuration } from '../duration.ts'
import { openAuditFile } from '../storage/sqlite-audit.ts'
import type { CliContext, ExitCode } from './context.ts'
import { plain, tableLines } from './printed.ts'
import {
  connectService,
  linesOf,
  type ServiceClient,
  ServiceError,
  type ServiceOptions,
} from './service-client.ts'
import { UsageError } from './usage-error.ts'

export interface ListAuditOptions extends ServiceOptions {
  readonly from?: string
  readonly to?: string
  readonly action?: string
  readonly user?: string
  readonly json: boolean
}

export interface ExportAuditOptions extends ServiceOptions {
  readonly database?: string
  readonly output?: string
}

export interface VerifyAuditOptions extends ServiceOptions {
  readonly database?: string
  readonly file?: string
  readonly expect?: string
}

// ---- list

export async function listAudit(options: ListAuditOptions, context: CliContext): Promise<ExitCode> {
  const service = await connectService(options, context)
  const parameters: [string, string][] = []
  for (const name of ['from', 'to'] as const) {
    const text = options[name]
    if (text !== undefined) parameters.push([name, await instantOf(`--${name}`, text, service)])
  }
  for (const name of ['action', 'user'] as const) {
    const text = options[name]
    if (text !== undefined) parameters.push([name, text])
  }
  // Without a filter it would be an export, and recorded as one.
  if (parameters.length === 0) parameters.push(['from', new Date(0).toISOString()])
  const rows: string[][] = []
  for await (const line of service.lines('/api/v1/audit', parameters)) {
    if (options.json) context.print(escaped(line))
    else rows.push(rowOf(line))
  }
  if (options.json) return 0
  if (rows.length === 0) context.print('no records')
  else {
    const head = ['seq', 'at', 'who', 'action', 'result', 'about']
    for (const line of tableLines([head, ...rows])) context.print(line)
  }
  return 0
}

function rowOf(line: string): string[] {
  const record = parseRecord(line)
  if (record === null) throw new ServiceError('strange_answer', 'the service answers with what is no record')
  const { seq, at, actor, action, result, about } = record
  const who = actor.name === '' ? actor.kind : `${actor.kind} ${actor.name}`
  const subject =
    about === null
      ? '(erased)'
      : Object.entries(about.target)
          .map(([name, id]) => `${name}=${id}`)
          .join(' ')
  return [String(seq), new Date(at).toISOString(), who, action, result, subject]
}

/** An instant or a day as it is, a duration as so long ago. @throws UsageError */
async function instantOf(option: string, text: string, service: ServiceClient): Promise<string> {
  const agoMs = parseDuration(text)
  if (agoMs !== undefined) return new Date((await service.now()) - agoMs).toISOString()
  const isWritten = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/i.test(
    text,
  )
  const at = isWritten ? Date.parse(text.toUpperCase()) : Number.NaN
  if (!Number.isNaN(at)) return new Date(at).toISOString()
  throw new UsageError(
    `${option}: expected 2026-05-01, 2026-05-01T08:00:00Z or a duration such as 24h, not ${JSON.stringify(text)}`,
  )
}

// ---- export

export async function exportAudit(options: ExportAuditOptions, context: CliContext): Promise<ExitCode> {
  const { output } = options
  const lines = await exportedLines(options, context)
  const file = output === undefined ? null : await create(output)
  let count = 0
  let last = ''
  try {
    for await (const line of lines) {
      if (file === null) context.print(escaped(line))
      else await file.write(`${line}\n`)
      last = line
      count++
    }
    await file?.sync()
  } finally {
    await file?.close()
  }
  const head = parseRecord(last)
  context.printError(
    head === null
      ? 'no records'
      : `${counted(count, 'record')}; note the head elsewhere, for \`audit verify --expect\`: ${formatHead(head)}`,
  )
  return 0
}

async function exportedLines(
  { database, ...options }: ExportAuditOptions,
  context: CliContext,
): Promise<AsyncIterable<string>> {
  if (database === undefined) return (await connectService(options, context)).lines('/api/v1/audit', [])
  return linesOfDatabase(database)
}

async function* linesOfDatabase(path: string): AsyncGenerator<string> {
  const trail = openAuditFile(path)
  try {
    for await (const record of allRecords(trail)) yield formatRecord(record)
  } finally {
    trail.close()
  }
}

/** It holds ids of customers: nobody else may read it. */
async function create(path: string) {
  try {
    return await open(path, 'wx', 0o600)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    throw new UsageError(`--output: ${path} is there already, and is left as it is`, { cause: error })
  }
}

// ---- verify

const verdictAnswer = z.object({
  records: z.number(),
  firstSeq: z.number().nullable(),
  head: z.string(),
  erased: z.number(),
  findings: z.array(z.object({ seq: z.number(), message: z.string() })),
  findingCount: z.number(),
})

type Verdict = z.output<typeof verdictAnswer>

/** 0 whole, 3 not. */
export async function verifyAudit(options: VerifyAuditOptions, context: CliContext): Promise<ExitCode> {
  const verdict = await verdictOn(options, context)
  const { records, firstSeq, head, erased, findings, findingCount } = verdict
  for (const { message } of findings) context.print(plain(message))
  if (findingCount > findings.length) context.print(`and ${findingCount - findings.length} more`)
  const beginning = firstSeq !== null && firstSeq > 1 ? `, from record ${firstSeq} on` : ''
  const gone = erased > 0 ? `, ${erased} of them without their subject` : ''
  context.print(
    `${counted(records, 'record')}${beginning}${gone}: ` +
      `${findingCount === 0 ? 'whole' : counted(findingCount, 'finding')}; head ${head}`,
  )
  return findingCount === 0 ? 0 : 3
}

async function verdictOn(
  { database, file, expect, ...options }: VerifyAuditOptions,
  context: CliContext,
): Promise<Verdict> {
  const expected = expectedOf(expect)
  if (file !== undefined) return withHead(await verifyFile(file, expected))
  if (database !== undefined) {
    const trail = openAuditFile(database)
    try {
      return withHead(await verifyTrail(trail, expected))
    } finally {
      trail.close()
    }
  }
  const service = await connectService(options, context)
  const parameters = expected === null ? [] : [['expect', formatHead(expected)] as const]
  return service.get('/api/v1/audit/verify', parameters, verdictAnswer, { isLong: true })
}

function withHead({ head, findings, ...verdict }: AuditVerdict): Verdict {
  return { ...verdict, findings: [...findings], head: formatHead(head) }
}

function expectedOf(text: string | undefined): AuditHead | null {
  if (text === undefined) return null
  const head = parseHead(text)
  if (head !== null) return head
  throw new UsageError(`--expect: expected SEQ:HASH, as the log has it, not ${JSON.stringify(text)}`)
}

/** An export says nothing of its end: only a head that was noted elsewhere shows that it was cut off. */
async function verifyFile(path: string, expected: AuditHead | null): Promise<AuditVerdict> {
  const check = createAuditCheck(expected)
  let number = 0
  for await (const line of linesOf(createReadStream(path) as AsyncIterable<Uint8Array>)) {
    number++
    if (line.trim() === '') continue
    const record = parseRecord(line)
    if (record === null) check.addUnreadable(`line ${number}`)
    else check.add(record)
  }
  return check.end(null)
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

/** As plainJson, on one line: it stays the same JSON. */
function escaped(line: string): string {
  return line.replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
