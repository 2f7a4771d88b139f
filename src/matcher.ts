// Label matchers, as Alertmanager writes them in routes, silences, inhibition rules and filters:
//
//   severity="critical"    manufacturer!=Vaillant    device_type=~"heat_pump|inverter"    {a="1", b!~"x.*"}
//
// A label that is missing counts as the empty value. Regular expressions are RE2's, as in
// Alertmanager: fully anchored, without lookaround and back references, and linear in the length
// of what they are asked about, so that no pattern that somebody sends can hang the service.

import { RE2JS, RE2JSException } from 're2js'

export type MatchOperator = '=' | '!=' | '=~' | '!~'

export interface Matcher {
  readonly name: string
  readonly operator: MatchOperator
  readonly value: string
  /** Of the label's value, '' where it is missing. */
  test(value: string): boolean
}

/** What a text is wrong with; `offset` counts UTF-16 units from its beginning. */
export class MatcherError extends Error {
  override readonly name = 'MatcherError'
  readonly offset: number

  constructor(message: string, offset: number, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.offset = offset
  }
}

const longestPattern = 4_096
const mostMatchers = 128
const operators = ['=~', '!~', '!=', '='] as const
/** Alternatives of plain words, which most patterns are, need no regular expression. */
const plainAlternatives = /^[\p{L}\p{N}_ \-:/@%&,;<>~"'!#|]*$/u

/** @throws MatcherError when the name is empty or the pattern is none that RE2 takes. */
export function createMatcher(name: string, operator: MatchOperator, value: string): Matcher {
  if (name === '') throw new MatcherError('a matcher needs the name of a label', 0)
  const isNegated = operator.startsWith('!')
  const accepts = operator.endsWith('~') ? patternTest(value) : (tested: string) => tested === value
  return {
    name,
    operator,
    value,
    test: isNegated ? (tested) => !accepts(tested) : accepts,
  }
}

function patternTest(pattern: string): (tested: string) => boolean {
  if (pattern.length > longestPattern) {
    throw new MatcherError(`a pattern may have ${longestPattern} characters, not ${pattern.length}`, 0)
  }
  if (plainAlternatives.test(pattern)) {
    const words = new Set(pattern.split('|'))
    return (tested) => words.has(tested)
  }
  try {
    const compiled = RE2JS.compile(pattern)
    return (tested) => compiled.testExact(tested)
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    throw new MatcherError(`${JSON.stringify(pattern)} is no pattern that RE2 takes: ${error.message}`, 0, {
      cause: error,
    })
  }
}

/**
 * One matcher or several: `a="1"`, `a=1, b!="2"`, `{a=~"x.*"}`. Values and names may be quoted, and
 * have to be where they hold a comma, a quote or a brace. `{}` and an empty text are no matchers.
 * @throws MatcherError
 */
export function parseMatchers(text: string): readonly Matcher[] {
  const reader = createReader(text)
  const matchers: Matcher[] = []
  const isBraced = reader.take('{')
  reader.skipSpace()
  while (!reader.isAtEnd() && !(isBraced && reader.isAt('}'))) {
    matchers.push(readMatcher(reader, isBraced))
    if (matchers.length > mostMatchers) throw reader.error(`more than ${mostMatchers} matchers`)
    reader.skipSpace()
    if (!reader.take(',')) break
    reader.skipSpace()
  }
  if (isBraced && !reader.take('}')) throw reader.error('expected "," or "}"')
  reader.skipSpace()
  if (!reader.isAtEnd()) throw reader.error('expected "," or the end')
  return matchers
}

type Reader = ReturnType<typeof createReader>

function readMatcher(reader: Reader, isBraced: boolean): Matcher {
  const start = reader.offset()
  const name = reader.isAt('"') ? reader.quoted() : reader.word(/[^\s=!~{},"'`\\]/)
  if (name === '') throw reader.error('expected the name of a label')
  reader.skipSpace()
  const operator = operators.find((candidate) => reader.take(candidate))
  if (operator === undefined) throw reader.error('expected =, !=, =~ or !~')
  reader.skipSpace()
  const valueAt = reader.offset()
  const value = reader.isAt('"') ? reader.quoted() : reader.bareValue(isBraced)
  try {
    return createMatcher(name, operator, value)
  } catch (error) {
    if (!(error instanceof MatcherError)) throw error
    throw new MatcherError(error.message, operator.endsWith('~') ? valueAt : start, { cause: error.cause })
  }
}

function createReader(text: string) {
  let at = 0
  const error = (message: string, offset = at) => {
    const found =
      offset < text.length ? `found ${JSON.stringify(text.slice(offset, offset + 20))}` : 'found the end'
    return new MatcherError(`${message}, ${found}`, offset)
  }
  skipSpace()

  function skipSpace(): void {
    while (at < text.length && /\s/.test(text.charAt(at))) at++
  }

  function word(allowed: RegExp): string {
    const start = at
    while (at < text.length && allowed.test(text.charAt(at))) at++
    return text.slice(start, at)
  }

  /** In double quotes, with the escapes of Go's strings. */
  function quoted(): string {
    const start = at
    let end = at + 1
    while (end < text.length && text.charAt(end) !== '"') end += text.charAt(end) === '\\' ? 2 : 1
    if (end >= text.length) throw error('this quote is not closed', start)
    at = end + 1
    return text.slice(start + 1, end).replace(escapes, (whole: string, plain?: string, hex?: string) => {
      if (plain !== undefined) return plainEscapes[plain] ?? whole
      return String.fromCodePoint(Number.parseInt((hex ?? '').slice(1), 16))
    })
  }

  /** Up to the next comma, without the space around it; commas in braces belong to it, as in x{1,2}. */
  function bareValue(isBraced: boolean): string {
    const start = at
    let depth = 0
    for (; at < text.length; at++) {
      const character = text.charAt(at)
      if (character === '"') throw error('a value with a quote in it has to be quoted')
      if (character === '{') depth++
      else if (character === '}' && depth > 0) depth--
      else if (depth === 0 && (character === ',' || (isBraced && character === '}'))) break
    }
    return text.slice(start, at).trimEnd()
  }

  return {
    offset: () => at,
    isAtEnd: () => at >= text.length,
    isAt: (token: string) => text.startsWith(token, at),
    take(token: string): boolean {
      if (!text.startsWith(token, at)) return false
      at += token.length
      return true
    },
    skipSpace,
    word,
    quoted,
    bareValue,
    error,
  }
}

const escapes = /\\(?:([abfnrtv\\"'])|(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}))/g
const plainEscapes: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
}

/** As Alertmanager prints it: name, operator, quoted value. */
export function formatMatcher({
  name,
  operator,
  value,
}: Pick<Matcher, 'name' | 'operator' | 'value'>): string {
  const shownName = /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : quote(name)
  return `${shownName}${operator}${quote(value)}`
}

/** `{a="1",b=~"2"}`: what route keys are made of. */
export function formatMatchers(matchers: readonly Pick<Matcher, 'name' | 'operator' | 'value'>[]): string {
  return `{${matchers.map(formatMatcher).join(',')}}`
}

/** A Go string: JSON's escapes are among its own, but for the two that JSON leaves as they are. */
function quote(text: string): string {
  return JSON.stringify(text)
}

export function matchesAll(matchers: readonly Matcher[], labels: Readonly<Record<string, string>>): boolean {
  return matchers.every((matcher) => matcher.test(labelValue(labels, matcher.name)))
}

/** What a matcher is asked about: '' where the label is missing, also where every object has such a property. */
export function labelValue(labels: Readonly<Record<string, string>>, name: string): string {
  return Object.hasOwn(labels, name) ? (labels[name] ?? '') : ''
}

/** Whether two matchers say the same, word for word. */
export function isSameMatcher(one: Matcher, other: Matcher): boolean {
  return one.name === other.name && one.operator === other.operator && one.value === other.value
}
