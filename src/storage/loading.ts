// Reading a whole table into what its rows stand for.

import type { ReadableTables } from './database.ts'
import type { Row, Table } from './rows.ts'

/** What the rows of a table stand for; those read as null are left out. */
export async function loadAll<T>(
  tables: ReadableTables,
  table: Table,
  readRow: (row: Row) => T | null,
): Promise<T[]> {
  const loaded: T[] = []
  await tables.slices(table, (rows) => {
    for (const row of rows) {
      const value = readRow(row)
      if (value !== null) loaded.push(value)
    }
  })
  return loaded
}

/** One row that can't be read must not keep the service from starting: it is left out, loudly. */
export function readOrSkip<T>(row: Row, read: (row: Row) => T, complain: (error: unknown) => void): T | null {
  try {
    return read(row)
  } catch (error) {
    complain(error)
    return null
  }
}
