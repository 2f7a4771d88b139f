// A CSV file as utilities' systems and spreadsheets write them, read as a stream: commas, semicolons or tabs, any
// line ends, quotes, a byte order mark, UTF-8, UTF-16 or Windows-1252, which is what is left when a file is no
// UTF-8 (Latin-1 is a part of it). csv-parse splits; what a column means is csv-columns.ts.
//
// The file is read twice, since a letter in the last line can show that the first ones are no UTF-8 either.
// Memory does not grow with it. A row that does not fit the header is an error of the whole file: what stands
// in the wrong column would be taken for what somebody wants.

import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { CsvError, type Parser, parse } from 'csv-parse'
import { FileError, type FileProblem } from '../yaml-file.ts'

export interface CsvRow {
  /** Of the file, from 1; that of its last line where a quoted value has several. */
  readonly line: number
  /** As many as the header has, trimmed. */
  readonly cells: readonly string[]
}

export interface CsvFile {
  readonly file: string
  /** The line of the header. */
  readonly line: number
  readonly header: readonly string[]
  readonly encoding: CsvEncoding
  readonly delimiter: string
  /** In batches, since a step of an async loop costs more than a row. Rejects with FileError. */
  rows(signal: AbortSignal): AsyncIterable<readonly CsvRow[]>
}

export type CsvEncoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252'

const delimiters = [',', ';', '\t', '|'] as const
const headerBytes = 64 * 1024
// A quote that is never closed would make one value of the rest of the file.
const mostRecordCharacters = 1024 * 1024
const mostProblems = 20

/** Rejects with FileError when it cannot be read, is empty, or is no text. */
export async function openCsv(file: string): Promise<CsvFile> {
  const head = await readHead(file)
  const encoding = await encodingOf(file, head)
  const start = new TextDecoder(encoding).decode(head)
  const [first = '', ...more] = start.split(/\r\n|\n|\r/)
  // How a spreadsheet is told the delimiter.
  const told = /^sep=([,;\t|])$/i.exec(first.trim())?.[1]
  const delimiter = told ?? delimiterOf(start)
  const skippedLines = told === undefined ? 0 : 1
  const shared = { file, encoding, delimiter, skippedLines }
  const header = headerOf(told === undefined ? start : more.join('\n'), shared)
  return {
    file,
    line: header.line,
    header: header.cells,
    encoding,
    delimiter,
    rows: (signal) => rowsOf({ ...shared, width: header.cells.length, headerLine: header.line }, signal),
  }
}

interface Reading {
  readonly file: string
  readonly encoding: CsvEncoding
  readonly delimiter: string
  readonly skippedLines: number
}

async function readHead(file: string): Promise<Buffer> {
  try {
    if (!(await stat(file)).isFile()) {
      throw fileError(file, 1, 'is no regular file: it is read twice, so save it first')
    }
    const handle = await open(file, 'r')
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof FileError) throw error
    const code = error instanceof Error && 'code' in error ? error.code : ''
    throw fileError(file, 1, code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`)
  }
}

async function encodingOf(file: string, head: Buffer): Promise<CsvEncoding> {
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le'
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be'
  if (head.includes(0)) throw fileError(file, 1, 'is no text: export it as CSV (UTF-8)')
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    for await (const chunk of createReadStream(file)) decoder.decode(chunk as Buffer, { stream: true })
    decoder.decode()
    return 'utf-8'
  } catch (error) {
    if (error instanceof TypeError) return 'windows-1252'
    throw error
  }
}

/** The one that the first line has most of, outside of quotes. */
function delimiterOf(text: string): string {
  const counts = new Map<string, number>()
  let isQuoted = false
  for (const char of text) {
    if (char === '"') isQuoted = !isQuoted
    else if (!isQuoted && (char === '\n' || char === '\r')) break
    else if (!isQuoted) counts.set(char, (counts.get(char) ?? 0) + 1)
  }
  const count = (delimiter: string) => counts.get(delimiter) ?? 0
  return delimiters.reduce((best, each) => (count(each) > count(best) ? each : best))
}

function headerOf(start: string, { file, delimiter, skippedLines }: Reading): CsvRow {
  const parser = createParser(delimiter)
  // What is cut off at the end of these first bytes is no error: the first record is what counts.
  parser.on('error', () => {})
  parser.write(start)
  let first: ParsedRecord | null = parser.read()
  if (first === null) {
    // A file of one line without its end.
    parser.end()
    first = parser.read()
  }
  parser.destroy()
  if (first !== null) return rowOf(first, skippedLines)
  throw fileError(file, 1, 'the file is empty: expected a first line with the names of the columns')
}

async function* rowsOf(
  reading: Reading & { readonly width: number; readonly headerLine: number },
  signal: AbortSignal,
): AsyncGenerator<readonly CsvRow[]> {
  const { file, encoding, delimiter, skippedLines, width, headerLine } = reading
  const parser = createParser(delimiter)
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  parser.on('error', failure.reject)
  const decoder = new TextDecoder(encoding)
  const problems: FileProblem[] = []
  let toSkip = skippedLines
  let lastLine = headerLine

  function* taken(): Generator<CsvRow> {
    for (let record: ParsedRecord | null = parser.read(); record !== null; record = parser.read()) {
      const row = rowOf(record, skippedLines)
      if (row.line <= headerLine) continue
      lastLine = row.line
      const { cells } = row
      // Some systems end each line with a delimiter.
      const surplus = cells.slice(width).some((cell) => cell !== '')
      if (cells.length < width || surplus) {
        const message = `expected ${width} columns as in the header, found ${cells.length}`
        problems.push({ file, line: row.line, column: 1, message })
        if (problems.length >= mostProblems) throw new FileError(problems)
      } else if (cells.some((cell) => cell !== '')) {
        yield cells.length === width ? row : { line: row.line, cells: cells.slice(0, width) }
      }
    }
  }

  /** Rejects with what the parser fails with, also while nothing can be written. */
  async function write(text: string): Promise<void> {
    if (parser.write(text)) return
    await Promise.race([new Promise<void>((resolve) => parser.once('drain', resolve)), failure.promise])
  }

  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
      if (signal.aborted) throw signal.reason
      let text = decoder.decode(chunk as Buffer, { stream: true })
      if (toSkip > 0) {
        text = text.replace(/^[^\r\n]*(?:\r\n|\n|\r)/, '')
        toSkip = 0
      }
      const written = write(text)
      let rows = [...taken()]
      while (rows.length > 0) {
        yield rows
        rows = [...taken()]
      }
      await written
    }
    const rest = decoder.decode()
    if (rest !== '') await write(rest)
    const ended = new Promise<void>((resolve) => parser.once('end', resolve))
    parser.end()
    for (let rows = [...taken()]; rows.length > 0; rows = [...taken()]) yield rows
    parser.resume()
    await Promise.race([ended, failure.promise])
    if (problems.length > 0) throw new FileError(problems)
  } catch (error) {
    throw error instanceof CsvError ? parseError(error, { file, lastLine, skippedLines }) : error
  } finally {
    parser.destroy()
  }
}

interface ParsedRecord {
  readonly record: readonly string[]
  readonly info: { readonly lines: number }
}

function createParser(delimiter: string): Parser {
  return parse({
    delimiter,
    info: true,
    relax_column_count: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    skip_empty_lines: true,
    max_record_size: mostRecordCharacters,
  })
}

function rowOf({ record, info }: ParsedRecord, skippedLines: number): CsvRow {
  return { line: info.lines + skippedLines, cells: record.map(cellOf) }
}

// What csv-lines.ts puts in front of a text that a spreadsheet would run.
const guarded = /^'('*[=+\-@\t\r\n＝＋－＠])/

function cellOf(cell: string): string {
  const text = cell.trim()
  return text.startsWith("'") ? text.replace(guarded, '$1') : text
}

function parseError(
  error: CsvError,
  {
    file,
    lastLine,
    skippedLines,
  }: { readonly file: string; readonly lastLine: number; readonly skippedLines: number },
): FileError {
  const line = (typeof error['lines'] === 'number' ? error['lines'] : 0) + skippedLines
  switch (error.code) {
    case 'CSV_QUOTE_NOT_CLOSED':
    case 'CSV_MAX_RECORD_SIZE':
      // Not where the parser gave up, which may be the end of the file.
      return fileError(file, lastLine + 1, 'a quote (") is opened here or below and never closed')
    case 'CSV_INVALID_CLOSING_QUOTE':
      return fileError(file, line, 'a quote (") inside a quoted value: expected it twice ("")')
    case 'INVALID_OPENING_QUOTE':
      return fileError(
        file,
        line,
        'a quote (") inside a value that does not begin with one: expected the value in quotes, this one twice ("")',
      )
    default:
      return fileError(file, line, `is no CSV (${error.code})`)
  }
}

function fileError(file: string, line: number, message: string): FileError {
  return new FileError([{ file, line, column: 1, message }])
}
