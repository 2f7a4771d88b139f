// The values of a field over the evaluations of a rule test, in the notation of promtool: values
// separated by blanks, `truex3` for true and three more of it, `1+2x3` for 1 3 5 7, `_` for a field
// without a value, `_x3` for three of these. The last value stays. A value with blanks in it, or
// that ends in x and a number, is quoted.

import { parseDuration } from '../duration.ts'
import type { FieldType } from '../fleet/device.ts'
import { quote } from '../schema-message.ts'

/** The values of one field: `at(i, now)` is that of evaluation i, which takes place at `now`. */
export interface Series<V> {
  at(index: number, now: number): V
}

export type FieldSeries = Readonly<Record<string, Series<string | number | boolean | null>>>

/** What is wrong with a series, at an offset in its text. */
export class SeriesError extends Error {
  readonly kind = 'bad_series'
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.name = 'SeriesError'
    this.offset = offset
  }
}

interface Token {
  /** Without its count, and without quotes. */
  readonly text: string
  readonly isQuoted: boolean
  /** How often its value comes in all. */
  readonly times: number
  readonly offset: number
}

// A series is written by hand; more is a typing error that would fill the memory.
const longestSeries = 100_000

function tokens(text: string): Token[] {
  const found: Token[] = []
  for (const match of text.matchAll(/(?:"([^"]*)"|'([^']*)'|([^\s"']+?))(?:x(\d+))?(?=\s|$)|\S+/g)) {
    const [whole, double, single, bare, count] = match
    const value = double ?? single ?? bare
    const offset = match.index
    if (value === undefined) throw new SeriesError(`cannot read ${quote(whole)}: is a quote missing?`, offset)
    if (/^x\d+$/.test(whole)) {
      throw new SeriesError(
        `${whole} has nothing to repeat: write it without a blank, truex5 (true and 5 more, as in promtool)`,
        offset,
      )
    }
    // In promtool, `_x3` is three values, `1x3` is one and three more.
    const times = value === '_' && bare !== undefined ? Number(count ?? 1) : Number(count ?? 0) + 1
    found.push({ text: value, isQuoted: bare === undefined, times, offset })
  }
  if (found.length === 0) throw new SeriesError('a series has at least one value', 0)
  const length = found.reduce((sum, { times }) => sum + times, 0)
  if (length > longestSeries) throw new SeriesError(`a series has at most ${longestSeries} values`, 0)
  return found
}

/** `read` gives the value of a token at a position in its own repetition. */
function expand<V>(text: string, read: (token: Token) => (repetition: number, now: number) => V): Series<V> {
  const values = tokens(text).flatMap((token) => {
    const value = read(token)
    return Array.from({ length: token.times }, (_, repetition) => (now: number) => value(repetition, now))
  })
  const last = values.at(-1)
  if (last === undefined) throw new SeriesError('a series has at least one value', 0)
  return { at: (index, now) => (values[index] ?? last)(now) }
}

/** For a field of this type. Throws SeriesError. */
export function fieldSeries(value: string | number | boolean | null, type: FieldType): FieldSeries[string] {
  if (value === null) return { at: () => null }
  if (typeof value === 'string') return expand(value, (token) => tokenValue(token, type))
  const isFitting = typeof value === 'boolean' ? type === 'bool' : type === 'double'
  if (!isFitting) throw new SeriesError(`expected ${expected[type]}, got ${value}`, 0)
  return { at: () => value }
}

const expected: Readonly<Record<FieldType, string>> = {
  bool: 'true, false or _',
  double: 'a number, or a series such as 20+5x3',
  string: 'a text in quotes',
  timestamp: 'an instant such as 2026-01-31T08:00:00Z, now or now-3h',
}

function tokenValue(
  token: Token,
  type: FieldType,
): (repetition: number, now: number) => string | number | boolean | null {
  const { text, isQuoted, offset } = token
  if (text === '_' && !isQuoted) return () => null
  switch (type) {
    case 'string':
      return () => text
    case 'bool':
      if (text === 'true' || text === 'false') return () => text === 'true'
      break
    case 'double': {
      const [, first, step] = /^(-?\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?$/.exec(text) ?? []
      if (first !== undefined) return (repetition) => Number(first) + Number(step ?? 0) * repetition
      break
    }
    case 'timestamp': {
      const [, sign, distance] = /^now(?:([+-])(.+))?$/.exec(text) ?? []
      const distanceMs = distance === undefined ? 0 : parseDuration(distance)
      if (text.startsWith('now') && distanceMs !== undefined && (sign !== undefined || text === 'now')) {
        return (_, now) => (sign === '-' ? now - distanceMs : now + distanceMs)
      }
      const at = parseInstant(text)
      if (at !== undefined) return () => at
      break
    }
    default:
      return type satisfies never
  }
  const hint = text === 'unread' || text === 'stale' ? ': for the whole device say reading: "ok unread"' : ''
  throw new SeriesError(`expected ${expected[type]}, got ${quote(text)}${hint}`, offset)
}

/** Of words out of a list. Throws SeriesError. */
export function wordSeries<Outcome extends string>(text: string, known: readonly Outcome[]): Series<Outcome> {
  return expand(text, (token) => {
    const outcome = known.find((name) => name === token.text)
    if (outcome !== undefined) return () => outcome
    const hint = token.text === 'stale' ? ': for an old state set current_state_last_updated_at' : ''
    throw new SeriesError(`expected ${known.join(', ')}, got ${quote(token.text)}${hint}`, token.offset)
  })
}

/** Of lists of codes: `[]`, `a`, `a+b`. Throws SeriesError. */
export function listSeries(
  value: string | readonly string[] | null | undefined,
): Series<readonly string[] | null> {
  if (value === undefined || value === null) return { at: () => null }
  if (typeof value !== 'string') return { at: () => value }
  return expand(value, ({ text }) => {
    const codes = text === '_' ? null : text === '[]' ? [] : text.split('+')
    return () => codes
  })
}

/** RFC 3339 with an offset, so that it means the same everywhere. */
export function parseInstant(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(text)) return undefined
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}
