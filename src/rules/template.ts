// The texts of labels and annotations: `{{ … }}` holds a CEL expression over the same variables as
// the rule's. Parsed and checked when the rule is loaded; rendering never fails: what is not known
// reads "unknown".

import { parseExpression } from './expression.ts'
import { type ExpressionType, typeName, type Variables } from './scope.ts'
import { ExpressionError, isPrintable, type Run, type Scope, valueText } from './value.ts'

export interface Template {
  readonly render: (scope: Scope) => string
  /** False: every scope renders the same text. */
  readonly isDynamic: boolean
  /** Paths of the fields that it reads. */
  readonly reads: ReadonlySet<string>
}

// As much of a label as an e-mail subject, a button or a URL can bear.
const longestLabel = 200

/** For annotations. Throws ExpressionError with the offset in `source`. */
export function parseTemplate(source: string, variables: Variables): Template {
  const { parts, reads } = parseParts(source, variables)
  return { render: renderer(parts), isDynamic: parts.some((part) => typeof part !== 'string'), reads }
}

/**
 * For labels, which identify an alert: trimmed, at most 200 characters, never empty. What changes
 * while an alert lasts (numbers, instants) or names a person is no identity and is refused.
 */
export function parseLabelTemplate(source: string, variables: Variables): Template {
  const { parts, reads } = parseParts(source, variables)
  for (const part of parts) {
    if (typeof part === 'string' || part.type === 'string' || part.type === 'bool') continue
    throw new ExpressionError(
      `a label identifies the alert, and a ${typeName(part.type)} changes while it lasts: put it into an annotation`,
      part.offset,
    )
  }
  for (const path of reads) {
    if (!personalFields.has(path)) continue
    throw new ExpressionError(
      `labels are shown to everybody, and ${path} names a person or a place: put it into an annotation`,
      source.indexOf('{{'),
    )
  }
  const render = renderer(parts)
  return {
    render: (scope) => labelText(render(scope)),
    isDynamic: parts.some((part) => typeof part !== 'string'),
    reads,
  }
}

const personalFields: ReadonlySet<string> = new Set([
  'user.email',
  'user.first_name',
  'user.last_name',
  'user.street_and_number',
  'user.street_add_info',
  'user.zip_code',
  'user.town',
  'device.comment',
])

function labelText(text: string): string {
  const trimmed = text.trim()
  if (trimmed === '') return 'unknown'
  return trimmed.length <= longestLabel ? trimmed : [...trimmed].slice(0, longestLabel).join('').trim()
}

interface Hole {
  readonly offset: number
  readonly type: ExpressionType
  readonly run: Run
}

type Part = string | Hole

function renderer(parts: readonly Part[]): (scope: Scope) => string {
  if (parts.every((part) => typeof part === 'string')) {
    const text = parts.join('')
    return () => text
  }
  return (scope) => {
    let text = ''
    for (const part of parts) {
      text += typeof part === 'string' ? part : (valueText(part.run(scope), part.type) ?? 'unknown')
    }
    return text
  }
}

function parseParts(source: string, variables: Variables): { parts: Part[]; reads: Set<string> } {
  const parts: Part[] = []
  const reads = new Set<string>()
  let at = 0
  for (;;) {
    const open = source.indexOf('{{', at)
    if (open === -1) break
    const close = holeEnd(source, open + 2)
    if (close === -1) throw new ExpressionError('this {{ has no }}', open)
    if (open > at) parts.push(source.slice(at, open))
    parts.push(parseHole(source.slice(open + 2, close), open + 2, { variables, reads }))
    at = close + 2
  }
  if (at < source.length) parts.push(source.slice(at))
  return { parts, reads }
}

/** Where the `}}` stands that ends an expression; one inside a text literal doesn't. */
function holeEnd(source: string, start: number): number {
  const tokens = /"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\}\}/gs
  tokens.lastIndex = start
  for (let match = tokens.exec(source); match !== null; match = tokens.exec(source)) {
    if (match[0] === '}}') return match.index
  }
  return -1
}

function parseHole(
  source: string,
  offset: number,
  { variables, reads }: { variables: Variables; reads: Set<string> },
): Hole {
  try {
    const { type, run, reads: read } = parseExpression(source, variables)
    if (!isPrintable(type)) {
      throw new ExpressionError(
        `${typeName(type)} has no text: choose one of its fields`,
        leadingSpace(source),
      )
    }
    for (const path of read) reads.add(path)
    return { offset: offset + leadingSpace(source), type, run }
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    const hint = /^\s*\./.test(source)
      ? 'Go templates are not supported; write CEL, such as {{ device.model }}'
      : error.message
    throw new ExpressionError(hint, offset + error.offset, { cause: error })
  }
}

function leadingSpace(text: string): number {
  return text.length - text.trimStart().length
}
