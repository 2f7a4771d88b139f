// CSV for people's spreadsheets (RFC 4180, commas). A spreadsheet takes a cell that begins with = + - or @ for a
// formula and runs it, and what stands here was typed by customers. So such a text gets an apostrophe in front,
// which a spreadsheet takes for "this is text"; backoffice/csv-file.ts takes it away again, and a text that
// begins with an apostrophe and one of these already gets another, so that nothing is lost on the way.

export type CsvCell = string | number | boolean | null

export function csvLine(cells: readonly CsvCell[]): string {
  return cells.map(csvCell).join(',')
}

function csvCell(cell: CsvCell): string {
  if (cell === null) return ''
  // A number is a number, its sign included.
  if (typeof cell !== 'string') return String(cell)
  const safe = formulaLike.test(cell) ? `'${cell}` : cell
  return /[",;\r\n\t]/.test(safe) || safe !== cell || safe !== safe.trim()
    ? `"${safe.replaceAll('"', '""')}"`
    : safe
}

// The wide forms of East Asian keyboards count as well.
const formulaLike = /^'*[=+\-@\t\r\n＝＋－＠]/
