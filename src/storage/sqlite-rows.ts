// Statements of SQLite over tables, each prepared once.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Cell, Row, Table } from './rows.ts'

export interface Statements {
  /** Rows come as arrays, which take half the time of objects. */
  select(sql: string): (values: readonly Cell[]) => readonly Row[]
  run(sql: string): (values: readonly Cell[]) => void
  upsert(table: Table): (row: readonly Cell[]) => void
  remove(table: Table): (keys: readonly Cell[]) => void
}

export function createStatements(db: DatabaseSync): Statements {
  const prepared = new Map<string, StatementSync>()
  function statement(sql: string): StatementSync {
    let known = prepared.get(sql)
    if (known === undefined) {
      known = db.prepare(sql)
      known.setReturnArrays(true)
      prepared.set(sql, known)
    }
    return known
  }
  function run(sql: string): (values: readonly Cell[]) => void {
    const known = statement(sql)
    return (values) => void known.run(...values)
  }
  return {
    select(sql) {
      const known = statement(sql)
      return (values) => {
        // The declarations of node:sqlite know only rows as objects.
        const rows: readonly unknown[] = known.all(...values)
        return rows.filter((row): row is Row => Array.isArray(row))
      }
    },
    run,
    upsert({ name, keys, columns }) {
      const updates = columns
        .filter((column) => !keys.includes(column))
        .map((column) => `${column} = excluded.${column}`)
      return run(
        `INSERT INTO ${name} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ` +
          `ON CONFLICT (${keys.join(', ')}) DO UPDATE SET ${updates.join(', ')}`,
      )
    },
    remove: ({ name, keys }) =>
      run(`DELETE FROM ${name} WHERE ${keys.map((key) => `${key} = ?`).join(' AND ')}`),
  }
}
