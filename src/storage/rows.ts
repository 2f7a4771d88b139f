// Rows as arrays, which every database can give and which take half the time of objects, and tables as
// data: what is said of them once holds for each database.

import { StorageError } from './storage.ts'

/** What is written: texts hold any JavaScript string, numbers are finite. */
export type Cell = string | number | null

/** What a database gave back, in the order of the columns that were asked for. */
export type Row = readonly unknown[]

export interface Table<Column extends string = string> {
  readonly name: string
  /** In the order in which rows hold them. */
  readonly columns: readonly Column[]
  /** The columns that tell one row from all others. */
  readonly keys: readonly Column[]
  /** In SQL, which rows were put there by somebody, where a new database is not empty; all, unless told. */
  readonly isUsed?: string
  /** In SQLite, rows are in the order of their keys, and have no number besides. */
  readonly isWithoutRowId?: boolean
  /** Triggers refuse rows that do not come the way they should. */
  readonly isGuarded?: boolean
}

/** The index of each column in a row that has them in this order. */
export function positions<Column extends string>(
  columns: readonly Column[],
): Readonly<Record<Column, number>> {
  return Object.fromEntries(columns.map((column, index) => [column, index])) as Record<Column, number>
}

/** What was read, as it can be written. */
export function cell(value: unknown): Cell {
  if (typeof value === 'string' || typeof value === 'number' || value === null) return value
  throw new StorageError('corrupt', 'a column holds neither text nor number')
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
