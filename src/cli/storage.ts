// `fleetwarden storage copy`: moves what the service remembers from one database to another, before it is
// started there.

import { existsSync } from 'node:fs'
import { expectedStorageUrl, parseStorageUrl, resolveStorage, type StorageConfig } from '../config.ts'
import { type CopyOutcome, copyAll, openTables } from '../storage/copy.ts'
import type { CliContext, ExitCode } from './context.ts'
import { readFile } from './load.ts'
import { UsageError } from './usage-error.ts'

export interface CopyOptions {
  readonly from?: string
  readonly fromFile?: string
  readonly to?: string
  readonly toFile?: string
}

/** 0 when everything is there, 1 when nothing was copied. */
export async function copyStorage(
  options: CopyOptions,
  { print, printError }: CliContext,
): Promise<ExitCode> {
  const source = await storageOf('from', options.from, options.fromFile)
  const target = await storageOf('to', options.to, options.toFile)
  // Opened, it would be made.
  if (source.kind === 'sqlite' && !existsSync(source.path)) {
    throw new UsageError(`--from: there is no file ${source.path}`)
  }
  const releases = new AsyncDisposableStack()
  try {
    const from = await openTables(source, { create: false })
    releases.defer(() => from.close())
    if (from.recovered !== null) {
      printError(`The database was damaged and is now ${from.recovered.movedTo}: there is nothing to copy.`)
      return 1
    }
    const to = await openTables(target, { create: true })
    releases.defer(() => to.close())
    const outcome = await copyAll(from, to)
    for (const line of told(outcome)) (outcome.kind === 'copied' ? print : printError)(line)
    return outcome.kind === 'copied' ? 0 : 1
  } finally {
    await releases.disposeAsync()
  }
}

async function storageOf(
  option: 'from' | 'to',
  url: string | undefined,
  file: string | undefined,
): Promise<StorageConfig> {
  if ((url === undefined) === (file === undefined)) {
    throw new UsageError(`give either --${option} or --${option}-file`)
  }
  const text = url ?? (await contentOf(`--${option}-file`, file ?? ''))
  const parsed = parseStorageUrl(text)
  if (parsed !== undefined && 'kind' in parsed) return resolveStorage(parsed, '.')
  const at = url === undefined ? `--${option}-file: in the file` : `--${option}`
  throw new UsageError(`${at}: ${parsed === undefined ? `expected ${expectedStorageUrl}` : parsed.problem}`)
}

async function contentOf(option: string, file: string): Promise<string> {
  try {
    return (await readFile(file)).replace(/[\r\n]+$/, '')
  } catch (error) {
    throw new UsageError(`${option}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function told(outcome: CopyOutcome): string[] {
  switch (outcome.kind) {
    case 'copied': {
      const total = outcome.tables.reduce((sum, { rows }) => sum + rows, 0)
      return [
        ...outcome.tables.map(({ table, rows }) => `${String(rows).padStart(10)}  ${table}`),
        `${String(total).padStart(10)}  rows were copied, read back and found the same.`,
      ]
    }
    case 'not_empty':
      return [
        ...outcome.tables.map(({ table, rows }) => `${String(rows).padStart(10)}  ${table}`),
        'The target is not empty, and was left as it is: name another one, or throw away what it holds.',
      ]
    case 'different':
      return [
        `What was read back differs from what was written: ${outcome.tables.join(', ')}.`,
        'Throw the target away and go on with the source.',
      ]
    default:
      return outcome satisfies never
  }
}
