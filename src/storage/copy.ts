// The whole state from one database into another, empty one, whichever kind each is. The target gets all of
// it in one transaction, and is then read back and compared.

import { hash } from 'node:crypto'
import type { StorageConfig } from '../config.ts'
import type { Database, ReadableTables } from './database.ts'
import type { Row, Table } from './rows.ts'
import { openSqliteTables } from './sqlite.ts'
import { allTables } from './table-storage.ts'

export interface TableCount {
  readonly table: string
  readonly rows: number
}

export type CopyOutcome =
  | { readonly kind: 'copied'; readonly tables: readonly TableCount[] }
  /** Nothing was written. */
  | { readonly kind: 'not_empty'; readonly tables: readonly TableCount[] }
  /** The target is to be thrown away: what was read back from these is not what was written. */
  | { readonly kind: 'different'; readonly tables: readonly string[] }

/** Opens a database that is there; with `create`, also one that is not. See openSqlite and openPostgres. */
export async function openTables(
  config: StorageConfig,
  { create }: { readonly create: boolean },
): Promise<Database> {
  if (config.kind === 'sqlite') return openSqliteTables({ path: config.path })
  const { openPostgresTables } = await import('./postgres.ts')
  return openPostgresTables({ config, create, lockTimeoutMs: 2_000 })
}

/** Memory does not grow with the number of rows. Rejects with StorageError. */
export async function copyAll(from: Database, to: Database): Promise<CopyOutcome> {
  const present = await to.read('count rows', countUsed)
  if (present.length > 0) return { kind: 'not_empty', tables: present }
  await from.read('read everything', (source) =>
    to.write('write everything', async (target) => {
      for (const table of allTables) {
        const fill = () => source.slices(table, (rows) => target.upsert(table, rows.map(cellsOf(table))))
        // The audit trail is copied as it is: whether it is whole is for `audit verify` to say.
        await (table.isGuarded === true ? target.withoutTriggers(table, fill) : fill())
      }
    }),
  )
  const [read, written] = [await from.read('compare', digestAll), await to.read('compare', digestAll)]
  const different = allTables.filter((_, index) => read[index] !== written[index])
  if (different.length > 0) return { kind: 'different', tables: different.map(({ name }) => name) }
  return { kind: 'copied', tables: await to.read('count rows', countAll) }
}

/** Of the tables that hold what a new database does not. */
async function countUsed(tables: ReadableTables): Promise<TableCount[]> {
  const counts: TableCount[] = []
  for (const { name, isUsed = 'true' } of allTables) {
    const rows = await count(tables, `${name} WHERE ${isUsed}`)
    if (rows > 0) counts.push({ table: name, rows })
  }
  return counts
}

async function countAll(tables: ReadableTables): Promise<TableCount[]> {
  const counts: TableCount[] = []
  for (const { name } of allTables) counts.push({ table: name, rows: await count(tables, name) })
  return counts
}

async function count(tables: ReadableTables, of: string): Promise<number> {
  const [row] = await tables.select(`SELECT count(*) FROM ${of}`)
  return Number(row?.[0])
}

/** Of each table a text that is the same only for the same rows, in whatever order they come. */
async function digestAll(tables: ReadableTables): Promise<string[]> {
  const digests: string[] = []
  for (const table of allTables) {
    let count = 0
    const sum = Buffer.alloc(32)
    const cells = cellsOf(table)
    await tables.slices(table, (rows) => {
      for (const row of rows) {
        count += 1
        const digest = hash('sha256', JSON.stringify(cells(row)), 'buffer')
        for (const [at, byte] of digest.entries()) sum[at] = (sum[at] ?? 0) ^ byte
      }
    })
    digests.push(`${count} ${sum.toString('hex')}`)
  }
  return digests
}

/** What was read, as it is written: without what a database has behind the columns. */
function cellsOf({ columns, name }: Table): (row: Row) => (string | number | null)[] {
  return (row) =>
    columns.map((column, at) => {
      const cell = row[at]
      if (typeof cell === 'string' || typeof cell === 'number' || cell === null) return cell
      throw new TypeError(`${name}.${column} holds neither text nor number`)
    })
}
