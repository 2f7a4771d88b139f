// An HTTP server that answers, or fails to, in whatever way a test wants.

import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface HttpRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface HttpReply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export type HttpFault =
  | 'hang'
  | 'half of the headers'
  | 'half of the body'
  | 'cut'
  | 'cut in the headers'
  | 'not HTTP'
  | 'flood'

export interface ScriptedHttp {
  readonly origin: string
  /** For every request from now on. */
  reply: HttpReply | HttpFault | ((request: HttpRequest) => HttpReply)
  readonly requests: HttpRequest[]
  /** Bytes of answers that were handed to sockets; of a flood, what the client let through. */
  written(): number
  close(): Promise<void>
}

export async function startScriptedHttp(
  reply: ScriptedHttp['reply'] = { status: 200 },
  tls?: { readonly key: string; readonly cert: string },
): Promise<ScriptedHttp> {
  const requests: HttpRequest[] = []
  let written = 0

  const server: Server = tls === undefined ? createServer() : createTlsServer(tls)
  server.on('request', async (incoming, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk)
    } catch {
      return
    }
    const request: HttpRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    }
    requests.push(request)
    const next = typeof scripted.reply === 'function' ? scripted.reply(request) : scripted.reply
    if (typeof next === 'string') return fail(next, response).catch(() => {})
    response.writeHead(next.status, next.headers)
    response.end(next.body)
  })

  async function fail(fault: HttpFault, response: ServerResponse): Promise<void> {
    const { socket } = response
    switch (fault) {
      case 'hang':
        return
      case 'half of the headers':
        return void socket?.write('HTTP/1.1 200 OK\r\nContent-Ty')
      case 'half of the body':
        return void socket?.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"ok":')
      case 'cut':
        return void socket?.destroy()
      case 'cut in the headers':
        return void socket?.end('HTTP/1.1 200 OK\r\nContent-Ty')
      case 'not HTTP':
        return void socket?.end('220 mail.example ESMTP\r\n')
      case 'flood': {
        response.writeHead(200, { 'content-length': 100_000_000 })
        const closed = new Promise((resolve) => response.once('close', resolve))
        const chunk = Buffer.alloc(65_536, ' ')
        for (let left = 100_000_000; left > 0 && !response.destroyed; left -= chunk.length) {
          written += chunk.length
          if (response.write(chunk)) continue
          await Promise.race([new Promise((resolve) => response.once('drain', resolve)), closed])
        }
        return
      }
      default:
        fault satisfies never
    }
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const scripted: ScriptedHttp = {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    reply,
    requests,
    written: () => written,
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
  return scripted
}
