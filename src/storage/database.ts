// What the tables need of a database, so that each call of storage.ts is written once, in
// table-storage.ts, and two databases can be copied into each other.
//
// SQL that is handed in is the part that SQLite and PostgreSQL have in common, with `?` for each value
// and nowhere else. What differs (a batch of rows, a slice of a table) has a method.

import type { Cell, Row, Table } from './rows.ts'

export interface Database {
  /** See Storage. */
  readonly recovered: { readonly movedTo: string } | null
  readonly lost: AbortSignal
  holds(): boolean
  /** One transaction that sees one state. `what` completes "cannot …" in the message of a failure. */
  read<T>(what: string, work: (tables: ReadableTables) => Promise<T>): Promise<T>
  /** One transaction: what `work` did is kept when it resolves, and none of it when it rejects. */
  write<T>(what: string, work: (tables: WritableTables) => Promise<T>): Promise<T>
  /** See Storage. */
  removeTraces(): Promise<void>
  /** See Storage. */
  readonly sizeBytes?: () => number | null
  close(): Promise<void>
}

export interface ReadableTables {
  /**
   * Every row, in no order, a slice at a time; other things can happen in between. The cells of
   * `table.columns` come first in each, what comes behind them is the database's own.
   */
  slices(table: Table, onSlice: (rows: readonly Row[]) => void | Promise<void>): Promise<void>
  /** The rows that have one of these lists of values in the columns `by`, in no order; each list is given once. */
  find(table: Table, by: readonly string[], values: Iterable<readonly Cell[]>): Promise<readonly Row[]>
  select(sql: string, ...values: readonly Cell[]): Promise<readonly Row[]>
}

export interface WritableTables extends ReadableTables {
  /** Adds rows, or replaces those that have the same keys; of two with the same, the last one stays. */
  upsert(table: Table, rows: Iterable<readonly Cell[]>): Promise<void>
  /** Takes the rows that have these keys, in the order of `table.keys`, if they are there. */
  remove(table: Table, keys: Iterable<readonly Cell[]>): Promise<void>
  run(sql: string, ...values: readonly Cell[]): Promise<void>
  /** Does `work` while the table's triggers are off, as when rows are put back that they once let in. */
  withoutTriggers(table: Table, work: () => Promise<void>): Promise<void>
}
