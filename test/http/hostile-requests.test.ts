// What no well-behaved client sends, over raw sockets: paths that mean something else to somebody else,
// too much of everything, and too slowly.

import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AccessConfig } from '../../src/config.ts'
import { startHttpServer } from '../../src/http/server.ts'
import { silentLogger } from '../../src/logger.ts'
import { createManualClock } from '../manual-clock.ts'
import { type ApiServer, startApiServer } from './api-server.ts'

// Nobody has such a token.
const access: AccessConfig = {
  tokens: [{ name: 'n', role: 'viewer', hash: '00'.repeat(32), expiresAt: null }],
  ...{ proxy: null, metrics: 'public' },
}

interface Peer {
  readonly url: string
  close(): Promise<void>
}

const sockets: Socket[] = []
const servers: Peer[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) await server.close()
})

function open({ url }: Peer): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  sockets.push(socket)
  return socket
}

/** Everything that comes back until the other end closes. */
async function rest(socket: Socket): Promise<string> {
  let text = ''
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  // Not `once`: a connection that is cut off also ends in an error.
  if (!socket.closed) await new Promise((resolve) => socket.on('close', resolve))
  return text
}

async function send(server: Peer, head: string, body = ''): Promise<string> {
  const socket = open(server)
  socket.write(`${head}\r\nConnection: close\r\n\r\n${body}`)
  return rest(socket)
}

const get = (server: Peer, target: string, host = 'Host: 127.0.0.1') =>
  send(server, `GET ${target} HTTP/1.1\r\n${host}`)
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1])

describe('a path that somebody else may read as another one', () => {
  const targets = [
    ...['//api/v2/alerts', '/api//v2/alerts', '/api/v2/alerts//', '///'],
    ...[
      '/-/../api/v2/alerts',
      '/api/v2/../v2/alerts',
      '/api/v2/./alerts',
      '/r/../api/v2/alerts',
      '/..',
      '/.',
    ],
    ...['/r/%2e%2e/api/v2/alerts', '/r/.%2E/api/v2/alerts', '/%2e/metrics', '/metrics/%2e%2e/api/v2/alerts'],
    ...['/r/..%2fapi/v2/alerts', '/r/x%2f..%2f..%2fapi%2fv2%2falerts', '/..%2f..%2fetc/passwd'],
    ...['/r/%5c..%5capi', '/api/v1/explain/..%2Fheat_pump%2Fx', '/metrics%00'],
    ...['/api%2Fv2%2Falerts', '/api%2fv1/alerts', '/API/v2/alerts', '/api/v2/alerts/', '/api/v2/alerts%2f'],
    ...['/metrics/', '/metrics;x', '/metrics%20', '/-%2Fhealthy', '/api/v2/alerts.json', '/%', '/%zz'],
  ]

  it.each(targets)('is none: %s', async (target) => {
    for (const config of [null, access]) {
      const server = await startApiServer(createManualClock(), { access: config })
      servers.push(server)
      const answer = await get(server, target)
      expect(statusOf(answer)).toBe(404)
      expect(answer).toMatch(/\r\n\r\nnot found\n$/)
    }
  })

  it.each([
    ['/%61pi/v2/alerts', 401],
    ['/api/v2/al%65rts', 401],
    ['/api/v2/silence/a%2Fb', 401],
    ['/api/v1/explain/41%2Fheat_pump%2F977', 401],
    ['/api/v1/explain/a..b', 401],
    ['/api/v2/alerts?x=/../y//z', 401],
    ['http://127.0.0.1/api/v2/alerts', 401],
    ['http://evil.example/api/v2/alerts', 401],
    ['/metrics?x=..', 200],
    ['/%6Detrics', 200],
  ])('is what it says, and asks who it is: %s', async (target, status) => {
    const server = await startApiServer(createManualClock(), { access })
    servers.push(server)
    expect(statusOf(await get(server, target))).toBe(status)
  })

  it('is no path at all with backslashes', async () => {
    const server = await startApiServer(createManualClock(), { access })
    servers.push(server)
    expect(statusOf(await get(server, '/r\\..\\api\\v2\\alerts'))).toBe(400)
  })

  it('cannot be had under two names', async () => {
    const server = await startApiServer(createManualClock())
    servers.push(server)
    for (const [one, other] of [
      ['127.0.0.1', 'evil.example'],
      ['evil.example', '127.0.0.1'],
    ]) {
      const answer = await get(server, '/api/v2/alerts', `Host: ${one}\r\nHost: ${other}`)
      expect([400, 403]).toContain(statusOf(answer))
    }
  })
})

describe('too much', () => {
  let server: ApiServer
  beforeEach(async () => {
    server = await startApiServer(createManualClock())
    servers.push(server)
  })

  it('of headers is 431', async () => {
    expect(statusOf(await get(server, '/metrics', `Host: localhost\r\nX: ${'x'.repeat(20_000)}`))).toBe(431)
    const many = Array.from({ length: 3_000 }, (_, n) => `X-${n}: y`).join('\r\n')
    expect(statusOf(await get(server, '/metrics', `Host: localhost\r\n${many}`))).toBe(431)
  })

  it('of a path is 431', async () => {
    expect(statusOf(await get(server, `/metrics?${'x'.repeat(20_000)}`))).toBe(431)
  })

  const json = 'POST /api/v2/silences HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json'

  it('of a body is 413, announced or in chunks', async () => {
    const long = 'x'.repeat(1024 * 1024 + 1)
    expect(statusOf(await send(server, `${json}\r\nContent-Length: ${long.length}`, long))).toBe(413)
    const chunked = `${long.length.toString(16)}\r\n${long}\r\n0\r\n\r\n`
    expect(statusOf(await send(server, `${json}\r\nTransfer-Encoding: chunked`, chunked))).toBe(413)
  })

  it('of a body is 413 before it was sent', async () => {
    expect(statusOf(await send(server, `${json}\r\nContent-Length: 99999999999`))).toBe(413)
  })

  it('of a body that nobody wants ends the connection', async () => {
    for (const head of ['POST /nowhere HTTP/1.1', 'POST /-/reload HTTP/1.1']) {
      const socket = open(server)
      socket.write(`${head}\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`)
      const piece = `10000\r\n${'x'.repeat(0x10000)}\r\n`
      const more = () => {
        while (!socket.destroyed && socket.writable && socket.write(piece)) {
          // Until the buffer is full.
        }
      }
      socket.on('drain', more)
      more()
      const answer = await rest(socket)
      expect(statusOf(answer)).toBe(head.includes('nowhere') ? 404 : 200)
    }
  })
})

describe('a slow client is cut off', () => {
  async function start(timeouts: Parameters<typeof startHttpServer>[0]['timeouts'], body = 'x') {
    const server = await startHttpServer({
      ...{ host: '127.0.0.1', port: 0, clock: createManualClock(), logger: silentLogger },
      metrics: { render: async () => ({ contentType: 'text/plain', body }) },
      health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
      ...(timeouts === undefined ? {} : { timeouts }),
    })
    servers.push(server)
    return server
  }

  /** Sends a byte now and then, until the other end has had enough. */
  async function drip(socket: Socket, text: string): Promise<string> {
    const dripping = setInterval(() => socket.write(text), 10)
    try {
      return await rest(socket)
    } finally {
      clearInterval(dripping)
    }
  }

  it('when its headers never end', async () => {
    const socket = open(await start({ headersMs: 150, requestMs: 60_000, checkMs: 20 }))
    socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ')
    expect(statusOf(await drip(socket, 'x'))).toBe(408)
  })

  it('when its body never ends', async () => {
    const server = await startApiServer(createManualClock(), {
      timeouts: { headersMs: 100, requestMs: 150, checkMs: 20 },
    })
    servers.push(server)
    const socket = open(server)
    socket.write(
      'POST /api/v2/silences HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{',
    )
    expect(statusOf(await drip(socket, ' '))).toBe(408)
  })

  it('when it says nothing at all', async () => {
    const socket = open(await start({ idleMs: 100 }))
    expect(await rest(socket)).toBe('')
  })

  it('when it takes nothing of the answer', async () => {
    const server = await start({ idleMs: 150 }, 'x'.repeat(20_000_000))
    const received = async (idleForMs: number) => {
      const socket = open(server)
      socket.pause()
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
      // Nobody can see the end without reading, so the wait is by the clock, and longer on a slow machine.
      await new Promise((resolve) => setTimeout(resolve, idleForMs))
      return (await rest(socket.resume())).length
    }
    let length = Number.POSITIVE_INFINITY
    for (let idleForMs = 500; length >= 20_000_000 && idleForMs < 10_000; idleForMs *= 2) {
      length = await received(idleForMs)
    }
    expect(length).toBeLessThan(20_000_000)
  })
})
