// Rows of SQLite as arrays, since rows as objects take twice as long, and statements over named columns.

import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { StorageError } from './storage.ts'

export type Row = readonly SQLOutputValue[]
interface Select {
  all(...values: SQLInputValue[]): readonly Row[]
}

export function prepareSelect(db: DatabaseSync, sql: string): Select {
  const statement = db.prepare(sql)
  statement.setReturnArrays(true)
  return {
    all: (...values) => {
      // The declarations of node:sqlite know only rows as objects.
      const rows: readonly unknown[] = statement.all(...values)
      return rows.filter((row): row is Row => Array.isArray(row))
    },
  }
}

/** The index of each column in a row that has them in this order. */
export function positions<Column extends string>(
  columns: readonly Column[],
): Readonly<Record<Column, number>> {
  return Object.fromEntries(columns.map((column, index) => [column, index])) as Record<Column, number>
}

export function prepareUpsert(
  db: DatabaseSync,
  table: string,
  keys: readonly string[],
  columns: readonly string[],
): StatementSync {
  const updates = columns
    .filter((column) => !keys.includes(column))
    .map((column) => `${column} = excluded.${column}`)
  return db.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ` +
      `ON CONFLICT (${keys.join(', ')}) DO UPDATE SET ${updates.join(', ')}`,
  )
}

// Each cell is looked at, since a damaged file may hold anything; what the text stands for is ours.

export function text(row: Row, column: number): string {
  const cell = row[column]
  if (typeof cell === 'string') return cell
  throw new StorageError('corrupt', `column ${column} holds no text`)
}

export function textOrNull(row: Row, column: number): string | null {
  return row[column] === null ? null : text(row, column)
}

export function number(row: Row, column: number): number {
  const cell = row[column]
  if (typeof cell === 'number') return cell
  throw new StorageError('corrupt', `column ${column} holds no number`)
}

export function numberOrNull(row: Row, column: number): number | null {
  return row[column] === null ? null : number(row, column)
}

/** A value that was written by JSON.stringify from a T. */
export function json<T>(row: Row, column: number): T {
  return JSON.parse(text(row, column))
}
