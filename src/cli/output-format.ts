// What a command lists, as a table, CSV or JSON, while it comes: a list of a million is never whole in memory.

import type { CliContext } from './context.ts'
import { type CsvCell, csvLine } from './csv-lines.ts'
import { plain, plainJson, tableLines } from './printed.ts'

export const outputFormats = ['table', 'csv', 'json'] as const
export type OutputFormat = (typeof outputFormats)[number]

export interface Column<Item> {
  readonly name: string
  /** In a table, where something is said in fewer words; `cell` unless told. */
  readonly short?: (item: Item) => string
  readonly cell: (item: Item) => CsvCell
}

// Columns are as wide as in the first rows; wider cells push the rest of their line to the right.
const rowsAtOnce = 200

/** Prints each; answers how many. */
export async function printItems<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  { format, columns }: { readonly format: OutputFormat; readonly columns: readonly Column<Item>[] },
  { print }: Pick<CliContext, 'print'>,
): Promise<number> {
  let count = 0
  let rows: Item[] = []
  const head = columns.map(({ name }) => name)
  const flush = () => {
    if (rows.length === 0) return
    const isFirst = count === rows.length
    const cells = rows.map((item) =>
      columns.map(({ cell, short }) => short?.(item) ?? String(cell(item) ?? '')),
    )
    const lines = tableLines([head, ...cells])
    for (const line of isFirst ? lines : lines.slice(1)) print(line)
    rows = []
  }
  if (format === 'csv') print(csvLine(head))
  for await (const item of items) {
    count++
    switch (format) {
      case 'table':
        rows.push(item)
        if (rows.length === rowsAtOnce) flush()
        break
      case 'csv':
        print(csvLine(columns.map(({ cell }) => withoutControls(cell(item)))))
        break
      case 'json':
        print(`${count === 1 ? '[' : ','}${plainJson(item)}`)
        break
      default:
        format satisfies never
    }
  }
  flush()
  if (format === 'json') print(count === 0 ? '[]' : ']')
  return count
}

/** A table or CSV may be looked at on a terminal, which obeys control characters. */
function withoutControls(cell: CsvCell): CsvCell {
  return typeof cell === 'string' ? plain(cell) : cell
}
