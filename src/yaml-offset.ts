// Where each character of a scalar's parsed value stands in the YAML text. Parsing folds lines, drops
// indentation and decodes escapes, so the two differ by more than a constant.

import type { Scalar } from 'yaml'

/**
 * The offset in `text` of the character at `index` of the scalar's value; of its start if the value
 * is no text. An index past the end gives the offset past the last character.
 */
export function sourceOffset(text: string, scalar: Scalar, index: number): number {
  const [start, end] = scalar.range ?? [0, 0]
  const value = scalar.source ?? ''
  if (typeof scalar.value !== 'string') return start
  const offsets =
    scalar.type === 'BLOCK_LITERAL' || scalar.type === 'BLOCK_FOLDED'
      ? blockOffsets(text, start, end, value)
      : flowOffsets(text, start, end, scalar.type)
  const last = offsets[offsets.length - 1] ?? start
  // The walk below follows the same rules as the parser. Were they ever to part, the start of the
  // value is still true, and a wrong column is worse than a rough one.
  if (offsets.length !== value.length) return start
  return offsets[index] ?? last + 1
}

/** Plain and quoted scalars: one offset for each UTF-16 unit of the value. */
function flowOffsets(text: string, start: number, end: number, type: Scalar.Type | undefined): number[] {
  const quoted = type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE'
  const stop = quoted ? end - 1 : end
  const offsets: number[] = []
  // A fold is white space around line breaks: one break becomes a space, n become n - 1 breaks.
  const fold = /[ \t]*(?:\r?\n[ \t]*)+/y
  const escapedBreak = /\\\r?\n[ \t]*/y
  const escapeSequence = /\\(?:x..|u.{4}|U.{8}|.)/sy
  const blank = /[ \t]+/y
  let at = quoted ? start + 1 : start
  while (at < stop) {
    const folded = matchAt(fold, text, at)
    const skipped = type === 'QUOTE_DOUBLE' ? matchAt(escapedBreak, text, at) : undefined
    const escaped = type === 'QUOTE_DOUBLE' ? matchAt(escapeSequence, text, at) : undefined
    const white = matchAt(blank, text, at)
    if (folded !== undefined) {
      const breaks = folded.split('\n').length - 1
      for (let i = 0; i < Math.max(1, breaks - 1); i++) offsets.push(at)
      at += folded.length
    } else if (skipped !== undefined) {
      at += skipped.length
    } else if (escaped !== undefined) {
      const isPair = escaped[1] === 'U' && Number.parseInt(escaped.slice(2), 16) > 0xffff
      offsets.push(at)
      if (isPair) offsets.push(at)
      at += escaped.length
    } else if (white !== undefined) {
      for (let i = 0; i < white.length; i++) offsets.push(at + i)
      at += white.length
    } else {
      offsets.push(at)
      at += type === 'QUOTE_SINGLE' && text[at] === "'" ? 2 : 1
    }
  }
  return offsets
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/**
 * `|` and `>` scalars. Whatever the indentation and the folding, the lines' contents come through
 * unchanged and in order, with only white space between them: so they are found one after the
 * other, and white space goes to the content before it (indentation: to the one after it).
 */
function blockOffsets(text: string, start: number, end: number, value: string): number[] {
  const offsets: number[] = []
  let lineStart = text.indexOf('\n', start) + 1
  let valueAt = 0
  while (lineStart > 0 && lineStart < end && valueAt < value.length) {
    const lineBreak = text.indexOf('\n', lineStart)
    const lineEnd = lineBreak === -1 || lineBreak > end ? end : lineBreak
    const line = text.slice(lineStart, lineEnd).replace(/\r$/, '')
    const contentColumn = line.search(/[^ \t]/)
    if (contentColumn !== -1) {
      let contentAt = valueAt
      while (/[ \t\n]/.test(value[contentAt] ?? '')) contentAt++
      for (let at = valueAt; at < contentAt; at++) {
        const column = contentColumn - (contentAt - at)
        const isIndentation =
          !value.slice(at, contentAt).includes('\n') && column >= 0 && line[column] === value[at]
        offsets.push(isIndentation ? lineStart + column : (offsets[offsets.length - 1] ?? lineStart - 1) + 1)
      }
      for (let column = contentColumn; column < line.length; column++) offsets.push(lineStart + column)
      valueAt = contentAt + line.length - contentColumn
    }
    lineStart = lineBreak + 1
  }
  while (offsets.length < value.length) offsets.push((offsets[offsets.length - 1] ?? start) + 1)
  return offsets
}
