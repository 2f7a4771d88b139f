// Webhook receivers that write down what they are told, each under a name of its own, and that can be
// made to refuse it.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../src/clock.ts'
import type { WebhookPayload } from '../../src/notify/receivers/webhook.ts'

export interface WebhookMessage {
  readonly id: number
  readonly receiver: string
  readonly payload: WebhookPayload
  /** Ms since 1970, by the inbox's clock. */
  readonly receivedAt: number
}

export interface WebhookInbox {
  url(receiver: string): string
  messages(receiver?: string): readonly WebhookMessage[]
  /** The messages to one receiver in words: `all resolved: -lost 17`, with summaries, `-` for what ended. */
  told(receiver: string): readonly string[]
  /** Requests so far, refused ones included. */
  requests(receiver: string): number
  /** Refuses everything with this status until heal(). */
  fail(receiver: string, status: number): void
  heal(receiver: string): void
  close(): Promise<void>
}

export async function startWebhookInbox({ clock }: { clock: Clock }): Promise<WebhookInbox> {
  const messages: WebhookMessage[] = []
  const failures = new Map<string, number>()
  const requests = new Map<string, number>()
  const server = createServer(async (request, response) => {
    const receiver = decodeURIComponent(request.url?.slice(1) ?? '')
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      // Whoever sent it was killed.
      return
    }
    requests.set(receiver, (requests.get(receiver) ?? 0) + 1)
    const failure = failures.get(receiver)
    if (failure === undefined) {
      const payload = JSON.parse(Buffer.concat(chunks).toString('utf8')) as WebhookPayload
      messages.push({ id: messages.length + 1, receiver, payload, receivedAt: clock.now() })
    }
    response.writeHead(failure ?? 200).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const of = (receiver?: string) =>
    receiver === undefined ? messages : messages.filter((message) => message.receiver === receiver)
  return {
    url: (receiver) => `http://127.0.0.1:${port}/${encodeURIComponent(receiver)}`,
    messages: of,
    told: (receiver) => of(receiver).map(({ payload }) => inWords(payload)),
    requests: (receiver) => requests.get(receiver) ?? 0,
    fail: (receiver, status) => void failures.set(receiver, status),
    heal: (receiver) => void failures.delete(receiver),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function inWords({ notification_reason, alerts }: WebhookPayload): string {
  const names = alerts.map(({ status, labels, annotations }) => {
    const name = annotations['summary'] ?? labels['alertname'] ?? '?'
    return status === 'firing' ? name : `-${name}`
  })
  return `${notification_reason}: ${names.sort().join(', ')}`
}
