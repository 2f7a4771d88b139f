import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type HttpServer, HttpServerError, startHttpServer } from '../../src/http/server.ts'
import type { LogFields } from '../../src/logger.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'

// Before any server was started.
const original = { Request: globalThis.Request, Response: globalThis.Response }

describe('the HTTP server', () => {
  const servers: HttpServer[] = []
  let clock: ManualClock
  let logged: [string, LogFields, string][]
  let render: () => Promise<{ contentType: string; body: string }>
  let health: { healthy: boolean; ready: boolean; reasons: string[] }

  beforeEach(() => {
    clock = createManualClock()
    logged = []
    render = async () => ({
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      body: 'fleet_users 1\n',
    })
    health = { healthy: true, ready: true, reasons: [] }
  })
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close()
  })

  async function start(host = '127.0.0.1', port = 0): Promise<HttpServer> {
    const log = (level: string) => (fields: LogFields, message: string) => {
      logged.push([level, fields, message])
    }
    const server = await startHttpServer({
      host,
      port,
      metrics: { render: () => render() },
      health: { healthy: () => health.healthy, ready: () => health },
      clock,
      logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    })
    servers.push(server)
    return server
  }

  it('answers with the metrics', async () => {
    const { url } = await start()
    const response = await fetch(`${url}/metrics`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await response.text()).toBe('fleet_users 1\n')
  })

  it('says whether the process is alive and whether it is ready, and why not', async () => {
    const { url } = await start()
    const ask = async (path: string) => {
      const response = await fetch(url + path)
      return [response.status, await response.text()]
    }
    expect(await ask('/-/healthy')).toEqual([200, 'healthy\n'])
    expect(await ask('/-/ready')).toEqual([200, 'ready\n'])
    health = { healthy: false, ready: false, reasons: ['storage: opening', 'no walk was tried yet'] }
    expect(await ask('/-/healthy')).toEqual([503, 'unhealthy\n'])
    expect(await ask('/-/ready')).toEqual([503, 'not ready\nstorage: opening\nno walk was tried yet\n'])
  })

  it.each([
    '/',
    '/metrics/',
    '/-/',
    '/alertmanager/api/v2/status',
    '/api/v2/alerts',
    '/r/token',
    '/..%2fmetrics',
  ])('answers 404, as plain text, to %s', async (path) => {
    const { url } = await start()
    const response = await fetch(url + path)
    expect([response.status, await response.text()]).toEqual([404, 'not found\n'])
    expect(response.headers.get('content-type')).toBe('text/plain; charset=UTF-8')
  })

  it('takes nothing but reading', async () => {
    const { url } = await start()
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      expect((await fetch(`${url}/metrics`, { method })).status).toBe(404)
    }
    const head = await fetch(`${url}/metrics`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('sends headers that keep browsers from making anything of its answers', async () => {
    const { url } = await start()
    for (const path of ['/metrics', '/-/ready', '/nowhere']) {
      const { headers } = await fetch(url + path)
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
      expect(headers.get('x-frame-options')).toBe('DENY')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('cache-control')).toBe('no-store')
      expect(headers.has('strict-transport-security')).toBe(false)
    }
  })

  it('answers 500 without details when something throws, logs it, and goes on', async () => {
    const { url } = await start()
    const error = new Error('details')
    render = () => Promise.reject(error)
    const response = await fetch(`${url}/metrics`)
    expect([response.status, await response.text()]).toEqual([500, 'internal error\n'])
    expect(logged).toEqual([['error', { error, path: '/metrics' }, 'A request failed']])
    expect((await fetch(`${url}/-/healthy`)).status).toBe(200)
  })

  it('leaves the global Request and Response as they are', async () => {
    await start()
    expect(globalThis.Request).toBe(original.Request)
    expect(globalThis.Response).toBe(original.Response)
  })

  describe('where it listens', () => {
    it('is told by its URL, for IPv6 too', async () => {
      const { url } = await start('::1')
      expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/)
      expect((await fetch(`${url}/-/healthy`)).status).toBe(200)
    })

    it('is a reason to warn when other machines can reach it', async () => {
      const { url } = await start('0.0.0.0')
      expect(logged).toEqual([
        [
          'warn',
          { url },
          'The HTTP server can be reached from other machines, without TLS: what is public is open to all of them',
        ],
      ])
    })

    it.each(['127.0.0.1', '127.0.0.2', 'localhost', '::1'])('is no reason to warn on %s', async (host) => {
      await start(host)
      expect(logged).toEqual([])
    })

    it('must be free', async () => {
      const port = Number(new URL((await start()).url).port)
      const error = await start('127.0.0.1', port).catch((reason) => reason)
      expect(error).toBeInstanceOf(HttpServerError)
      expect(error.kind).toBe('address_in_use')
      expect(error.message).toBe(
        `cannot listen on 127.0.0.1:${port}: another process does; stop it or set another http.listen`,
      )
    })

    it('must be an address of this machine', async () => {
      await expect(start('192.0.2.1')).rejects.toMatchObject({
        kind: 'address_not_available',
        message: 'cannot listen on 192.0.2.1:0: this machine has no such address; set another http.listen',
      })
    })
  })

  describe('at its end', () => {
    it('does not wait for connections that are only kept alive', async () => {
      const server = await start()
      const agent = new Agent({ keepAlive: true })
      const [response] = await once(get(`${server.url}/-/healthy`, { agent }), 'response')
      response.resume()
      await once(response, 'end')
      await server.close()
      agent.destroy()
      await expect(fetch(`${server.url}/-/healthy`)).rejects.toThrow()
    })

    it('lets a request end that is under way', async () => {
      const server = await start()
      const asked = Promise.withResolvers<void>()
      const answer = Promise.withResolvers<{ contentType: string; body: string }>()
      render = () => {
        asked.resolve()
        return answer.promise
      }
      const asking = fetch(`${server.url}/metrics`)
      await asked.promise
      const closing = server.close()
      answer.resolve({ contentType: 'text/plain', body: 'the last' })
      const response = await asking
      expect(await response.text()).toBe('the last')
      expect(response.headers.get('connection')).toBe('close')
      await closing
      expect(clock.sleepers()).toBe(0)
    })

    it('cuts off what does not end by itself', async () => {
      const server = await start()
      const asked = Promise.withResolvers<void>()
      render = () => {
        asked.resolve()
        return new Promise(() => undefined)
      }
      const response = fetch(`${server.url}/metrics`)
      const halfARequest = connect(Number(new URL(server.url).port), '127.0.0.1')
      halfARequest.write('GET /metrics HTTP/1.1\r\n')
      halfARequest.on('error', () => undefined)
      await asked.promise
      const cutOff = expect(response).rejects.toThrow()
      const closing = server.close()
      await clock.advance(3_000)
      await cutOff
      await closing
      halfARequest.destroy()
    })

    it('can be closed twice', async () => {
      const server = await start()
      await Promise.all([server.close(), server.close()])
    })
  })
})
