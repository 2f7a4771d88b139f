// JSON that is written while it is sent: an answer with a hundred thousand alerts is never whole in
// memory, and the service goes on with its work between two pieces.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Context } from 'hono'

const pieceCharacters = 64 * 1024

/** One JSON array of what `items` becomes. */
export function* arrayPieces<Item>(
  items: Iterable<Item>,
  pieces: (item: Item) => Iterable<string>,
): Generator<string> {
  let before = '['
  for (const item of items) {
    yield before
    yield* pieces(item)
    before = ','
  }
  yield before === '[' ? '[]' : ']'
}

/** Small answers go out whole, with their length. */
export function sendJson(context: Context, parts: Iterator<string>): Response {
  const headers = { 'Content-Type': 'application/json' }
  const first = nextPiece(parts)
  if (first.isLast) return context.body(first.text, 200, headers)
  const encoder = new TextEncoder()
  let begun: string | null = first.text
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // Else a reader that is fast enough would have the process to itself until the end.
      await nextTurn()
      const { text, isLast } = begun === null ? nextPiece(parts) : { text: begun, isLast: false }
      begun = null
      if (text !== '') controller.enqueue(encoder.encode(text))
      if (isLast) controller.close()
    },
  })
  return context.body(stream, 200, headers)
}

function nextPiece(parts: Iterator<string>): { readonly text: string; readonly isLast: boolean } {
  let text = ''
  while (text.length < pieceCharacters) {
    const { done, value } = parts.next()
    if (done) return { text, isLast: true }
    text += value
  }
  return { text, isLast: false }
}
