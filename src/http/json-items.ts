// A JSON array whose items come one by one, from a partner's list say, and go out as they come.

import type { Context } from 'hono'
import type { HttpEnv } from './access.ts'

const pieceCharacters = 32 * 1024

/**
 * Rejects when the first item cannot be had, so that a proper answer can be given. What fails later cuts the
 * connection: a list that ends with its bracket is whole.
 */
export async function sendJsonItems(
  context: Context<HttpEnv>,
  items: AsyncIterable<unknown>,
  onFailure: (error: unknown) => void,
): Promise<Response> {
  const iterator = items[Symbol.asyncIterator]()
  let next = await iterator.next()
  let before = '['
  const encoder = new TextEncoder()
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      let text = ''
      try {
        for (; !next.done && text.length < pieceCharacters; next = await iterator.next()) {
          text += before + JSON.stringify(next.value)
          before = ','
        }
      } catch (error) {
        onFailure(error)
        // Not controller.error: the server would write the error's message into the answer.
        context.env.outgoing.destroy()
        return
      }
      if (next.done) text += before === '[' ? '[]' : ']'
      controller.enqueue(encoder.encode(text))
      if (next.done) controller.close()
    },
    async cancel() {
      await iterator.return?.()
    },
  })
  return context.body(stream, 200, { 'Content-Type': 'application/json' })
}
