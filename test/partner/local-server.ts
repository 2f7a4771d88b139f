import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { type Clock, createClock } from '../../src/clock.ts'
import { createPartnerClient, type PartnerClient } from '../../src/partner/client.ts'
import { createTransport, type Transport, type TransportOptions } from '../../src/partner/transport.ts'
import { Secret } from '../../src/secret.ts'

export interface LocalServer {
  readonly url: string
  /** `METHOD /path?query` of every request, in the order of arrival. */
  readonly requests: string[]
  /** Connections that were opened. */
  connections(): number
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void

/** A real server on a free port, gone at the end of the test. */
export async function serve(handler: Handler): Promise<LocalServer> {
  const requests: string[] = []
  let connections = 0
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => handler(request, response, body))
  })
  server.on('connection', () => {
    connections++
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, requests, connections: () => connections }
}

export function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

/** Waits between attempts take a two-hundredth of their time. */
export const quickClock: Clock = createClock({ factor: 200 })

export function transportTo(url: string, options: Partial<TransportOptions> = {}): Transport {
  const transport = createTransport({
    baseUrl: `${url}/api/partners/v2.0`,
    clock: quickClock,
    credentials: { token: new Secret('fixed-token') },
    timeoutMs: 2_000,
    concurrency: 8,
    requestsPerSecond: 100_000,
    maximumAnswerBytes: 100_000,
    ...options,
  })
  onTestFinished(() => transport.close())
  return transport
}

export function clientTo(url: string, options: Partial<TransportOptions> = {}): PartnerClient {
  return createPartnerClient({ transport: transportTo(url, options), organisationId: 'org-1' })
}

export const never: AbortSignal = new AbortController().signal
