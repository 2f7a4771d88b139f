import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type HeartbeatOutcome, sendHeartbeat } from '../src/heartbeat.ts'
import { Secret } from '../src/secret.ts'

const open: Server[] = []
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  open.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const never = new AbortController().signal
const beat = (url: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  sendHeartbeat({ url: new Secret(url), timeoutMs: 5_000, signal: never, ...options })

describe('a heartbeat', () => {
  it('is one GET of the URL, with its query and without data', async () => {
    const seen: unknown[] = []
    const url = await serve((request, response) => {
      seen.push([
        request.method,
        request.url,
        request.headers['content-length'],
        request.headers['user-agent'],
      ])
      response.end('OK')
    })
    expect(await beat(`${url}/ping/secret-uuid?rid=1`)).toEqual({ kind: 'ok' })
    expect(seen).toEqual([['GET', '/ping/secret-uuid?rid=1', undefined, 'fleetwarden']])
  })

  it.each([200, 204, 299])('is taken when the answer is %i', async (status) => {
    const url = await serve((_, response) => response.writeHead(status).end())
    expect(await beat(url)).toEqual({ kind: 'ok' })
  })

  it.each([400, 404, 429, 500, 503])('has failed when the answer is %i', async (status) => {
    const url = await serve((_, response) => response.writeHead(status).end('why it failed'))
    expect(await beat(url)).toEqual({ kind: 'failed', reason: `answered ${status}` })
  })

  it('does not follow a redirect', async () => {
    let elsewhere = 0
    const other = await serve((_, response) => {
      elsewhere += 1
      response.end()
    })
    const url = await serve((_, response) => response.writeHead(302, { location: other }).end())
    expect(await beat(url)).toEqual({ kind: 'failed', reason: 'answered 302' })
    expect(elsewhere).toBe(0)
  })

  it('does not wait for the end of an answer', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200)
      response.write('and then nothing')
    })
    expect(await beat(url)).toEqual({ kind: 'ok' })
  })

  it('gives up when no answer comes in time', async () => {
    const url = await serve(() => undefined)
    expect(await beat(url, { timeoutMs: 50 })).toEqual({ kind: 'failed', reason: 'no answer within 50 ms' })
  })

  it('ends when the service stops', async () => {
    const stop = new AbortController()
    const url = await serve(() => stop.abort())
    expect(await beat(url, { signal: stop.signal })).toEqual({ kind: 'failed', reason: 'stopped' })
    expect(await beat(url, { signal: stop.signal })).toEqual({ kind: 'failed', reason: 'stopped' })
  })

  it('has failed when the connection breaks off or nobody listens', async () => {
    const url = await serve((request) => request.socket.destroy())
    expect(await beat(url)).toEqual({ kind: 'failed', reason: 'UND_ERR_SOCKET' })
    const server = open.pop()!
    await new Promise((resolve) => server.close(resolve))
    expect(await beat(url)).toEqual({ kind: 'failed', reason: 'ECONNREFUSED' })
  })

  it('never rejects and never tells the URL', async () => {
    const outcomes: HeartbeatOutcome[] = []
    for (const url of [
      '',
      'marker',
      'ftp://marker',
      'http://marker.invalid/',
      'http://[marker',
      'http://127.0.0.1:1/marker',
    ]) {
      outcomes.push(await beat(url))
    }
    for (const outcome of outcomes) {
      expect(outcome.kind).toBe('failed')
      expect(JSON.stringify(outcome)).not.toContain('marker')
    }
  })

  it('leaves no connection open', { timeout: 2_000 }, async () => {
    const url = await serve((_, response) => response.writeHead(204).end())
    const connected = once(open[0]!, 'connection')
    await beat(url)
    const [socket] = await connected
    if (!socket.closed) await once(socket, 'close')
  })
})
