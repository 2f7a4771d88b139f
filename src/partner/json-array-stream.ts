// Splits a JSON array that arrives in pieces into its elements, so that a list of a million users
// is never in memory as a whole. A scanner of bytes finds where elements begin and end; what is
// inside them is JSON.parse's business, so an element that is no JSON is one bad element. Around
// the elements the grammar is kept strictly: a list that was cut off is never taken for a short one.
//
// The list is the document itself, or its member `items`; then the other members (`total`, …) are
// kept beside it.

/** An element of a list that cannot be used. */
export class Malformed {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** The document is no JSON, or no list. The message quotes at most one character of it. */
export class JsonListError extends Error {
  override readonly name = 'JsonListError'
}

export interface JsonListScanner {
  /** Elements that end in this chunk, in order: what JSON.parse makes of each, or Malformed. */
  push(chunk: Buffer): unknown[]
  /** To be called after the last chunk. Throws when the document is not complete. */
  end(): void
  /** The members beside `items`, complete after `end`; null if the document is an array. */
  members(): Readonly<Record<string, unknown>> | null
}

type Place =
  | 'start'
  | 'first element'
  | 'element'
  | 'after element'
  | 'first key'
  | 'key'
  | 'colon'
  | 'member'
  | 'after member'
  | 'end'

const itemsKey = 'items'
const maximumMemberBytes = 65_536

const quote = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
const comma = 0x2c
const colon = 0x3a
const byteOrderMark = [0xef, 0xbb, 0xbf]

/** Throws JsonListError as soon as the document can no longer become a list. */
export function createJsonListScanner({
  maximumElementBytes = 1_048_576,
}: {
  maximumElementBytes?: number
} = {}): JsonListScanner {
  let place: Place = 'start'
  let isWrapped = false
  let hasItems = false
  let markSeen = 0
  let key = ''
  const members: Record<string, unknown> = {}
  let elements: unknown[] = []

  // The value that is being read, which may have begun in an earlier chunk.
  let isInValue = false
  let depth = 0
  let isInString = false
  let isEscaped = false
  let begun: Buffer[] = []
  let begunBytes = 0
  let isTooLarge = false

  function push(chunk: Buffer): unknown[] {
    elements = []
    let at = 0
    while (at < chunk.length) at = isInValue ? readValue(chunk, at) : readBetween(chunk, at)
    return elements
  }

  /** Reads one byte outside of values; returns where to go on. */
  function readBetween(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) return at + 1
    switch (place) {
      case 'start':
        if (byte === byteOrderMark[markSeen]) markSeen++
        else if (markSeen % byteOrderMark.length !== 0) throw unexpected(byte)
        else if (byte === openBracket) place = 'first element'
        else if (byte === openBrace) {
          isWrapped = true
          place = 'first key'
        } else throw unexpected(byte)
        return at + 1
      case 'first element':
        if (byte === closeBracket) return closeList(at)
        return beginValue(byte, at)
      case 'element':
        return beginValue(byte, at)
      case 'after element':
        if (byte === closeBracket) return closeList(at)
        if (byte !== comma) throw unexpected(byte)
        place = 'element'
        return at + 1
      case 'first key':
        if (byte === closeBrace) return closeDocument(at)
        return beginKey(byte, at)
      case 'key':
        return beginKey(byte, at)
      case 'colon':
        if (byte !== colon) throw unexpected(byte)
        place = 'member'
        return at + 1
      case 'member':
        if (key !== itemsKey || byte !== openBracket) return beginValue(byte, at)
        if (hasItems) throw new JsonListError(`holds "${itemsKey}" twice`)
        hasItems = true
        place = 'first element'
        return at + 1
      case 'after member':
        if (byte === closeBrace) return closeDocument(at)
        if (byte !== comma) throw unexpected(byte)
        place = 'key'
        return at + 1
      case 'end':
        throw unexpected(byte)
      default:
        return place satisfies never
    }
  }

  function closeList(at: number): number {
    place = isWrapped ? 'after member' : 'end'
    return at + 1
  }

  function closeDocument(at: number): number {
    if (!hasItems) throw new JsonListError(`is an object without a list "${itemsKey}"`)
    place = 'end'
    return at + 1
  }

  function beginKey(byte: number, at: number): number {
    if (byte !== quote) throw unexpected(byte)
    return beginValue(byte, at)
  }

  function beginValue(byte: number, at: number): number {
    if (byte === comma || byte === colon || byte === closeBracket || byte === closeBrace)
      throw unexpected(byte)
    isInValue = true
    depth = 0
    isInString = false
    isEscaped = false
    return at
  }

  /** Reads on in a value to its end or the chunk's; returns where to go on. */
  function readValue(chunk: Buffer, from: number): number {
    const length = chunk.length
    let at = from
    while (at < length) {
      if (isInString) {
        // Nearly all bytes are seen here.
        if (isEscaped) {
          isEscaped = false
          at++
        }
        while (at < length && chunk[at] !== quote && chunk[at] !== backslash) at++
        if (at === length) break
        if (chunk[at] === backslash) isEscaped = true
        else {
          isInString = false
          if (depth === 0) return endValue(chunk, { from, to: at + 1 })
        }
        at++
        continue
      }
      const byte = chunk[at] ?? 0
      if (byte === quote) isInString = true
      else if (byte === openBrace || byte === openBracket) depth++
      else if (byte === closeBrace || byte === closeBracket) {
        if (depth === 0) return endValue(chunk, { from, to: at })
        depth--
        if (depth === 0) return endValue(chunk, { from, to: at + 1 })
      } else if (depth === 0 && (byte === comma || byte === colon || byte <= 0x20)) {
        return endValue(chunk, { from, to: at })
      }
      at++
    }
    keep(chunk.subarray(from))
    return length
  }

  /** Keeps the part of a value that ends in a later chunk, unless it has grown too large. */
  function keep(part: Buffer): void {
    begunBytes += part.length
    isTooLarge ||=
      begunBytes >
      (place === 'element' || place === 'first element' ? maximumElementBytes : maximumMemberBytes)
    if (isTooLarge) begun = []
    else begun.push(part)
  }

  function endValue(chunk: Buffer, { from, to }: { from: number; to: number }): number {
    let text: string | null
    if (begunBytes === 0 && to - from <= maximumMemberBytes) text = chunk.toString('utf8', from, to)
    else {
      keep(chunk.subarray(from, to))
      text = isTooLarge ? null : Buffer.concat(begun).toString()
      begun = []
      begunBytes = 0
      isTooLarge = false
    }
    isInValue = false
    take(text)
    return to
  }

  /** `text`: null when it was too large to keep. */
  function take(text: string | null): void {
    switch (place) {
      case 'first element':
      case 'element':
        elements.push(text === null ? new Malformed('larger than an element may be') : parseElement(text))
        place = 'after element'
        return
      case 'first key':
      case 'key':
        key = String(parseMember(text))
        place = 'colon'
        return
      default:
        // Assigning "__proto__" would set the prototype.
        if (key !== '__proto__') members[key] = parseMember(text)
        place = 'after member'
    }
  }

  return {
    push,
    end() {
      if (place === 'start') throw new JsonListError('is empty')
      if (place !== 'end') throw new JsonListError('ends in the middle')
    },
    members: () => (isWrapped ? members : null),
  }
}

function parseElement(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return new Malformed('no JSON')
  }
}

function parseMember(text: string | null): unknown {
  if (text === null) return null
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse's own message quotes the text.
    throw new JsonListError('holds a member that is no JSON')
  }
}

function unexpected(byte: number): JsonListError {
  const shown = byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `byte ${byte}`
  return new JsonListError(`is no JSON list: unexpected ${shown}`)
}
