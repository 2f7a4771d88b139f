import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createClock } from '../../src/clock.ts'
import { PartnerError } from '../../src/partner/partner-error.ts'
import type { RequestEvent, Transport } from '../../src/partner/transport.ts'
import { Secret } from '../../src/secret.ts'
import { json, never, quickClock, serve, transportTo } from './local-server.ts'

const call = { endpoint: 'heat-pumps', path: '/org/o/users/u/heat-pumps', subject: 'u' }
const client = { clientId: 'id', clientSecret: new Secret('s3cret') }

async function failure(promise: Promise<unknown>): Promise<PartnerError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(PartnerError)
  return error as PartnerError
}

async function read(transport: Transport, signal = never): Promise<string> {
  const { chunks } = await transport.stream(call, signal)
  let text = ''
  for await (const chunk of chunks) text += chunk
  return text
}

describe('a call', () => {
  it('goes below the base URL with the token, and gives the text of the answer', async () => {
    const headers: unknown[] = []
    const server = await serve((request, response) => {
      headers.push(request.headers.authorization, request.headers['accept-encoding'])
      json(response, ['ä'])
    })
    const before = Date.now()
    const baseUrl = `${server.url}/api/partners/v2.0/`
    const { text, receivedAt } = await transportTo(server.url, { baseUrl }).text(call, never)
    expect(JSON.parse(text)).toEqual(['ä'])
    expect(receivedAt).toBeGreaterThanOrEqual(before)
    expect(server.requests).toEqual(['GET /api/partners/v2.0/org/o/users/u/heat-pumps'])
    expect(headers).toEqual(['Bearer fixed-token', 'identity'])
  })

  it('reads a body that comes in many pieces, cut within characters', async () => {
    const body = Buffer.from(JSON.stringify('ä😀'.repeat(5_000)))
    const server = await serve(async (_request, response) => {
      for (let at = 0; at < body.length; at += 7_777) {
        response.write(body.subarray(at, at + 7_777))
        await new Promise((resolve) => setImmediate(resolve))
      }
      response.end()
    })
    const { text } = await transportTo(server.url).text(call, never)
    expect(text).toBe(body.toString())
  })

  it('takes no notice of what is said before the answer', async () => {
    const server = await serve((_request, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      json(response, ['ok'])
    })
    expect((await transportTo(server.url).text(call, never)).text).toBe('["ok"]')
  })

  it('uses as many sockets as it may, and no more', async () => {
    let atOnce = 0
    let most = 0
    const server = await serve((_request, response) => {
      most = Math.max(most, ++atOnce)
      setTimeout(() => {
        atOnce--
        json(response, [])
      }, 20)
    })
    const transport = transportTo(server.url, { concurrency: 5 })
    await Promise.all(Array.from({ length: 40 }, () => transport.text(call, never)))
    expect(most).toBe(5)
    expect(server.connections()).toBe(5)
  })

  it('is told of, attempt by attempt', async () => {
    const server = await serve((_request, response) => {
      if (server.requests.length === 1) json(response, {}, 503)
      else if (server.requests.length === 2) response.destroy()
      else json(response, [])
    })
    const events: RequestEvent[] = []
    await transportTo(server.url, { onRequest: (event) => events.push(event) }).text(call, never)
    expect(events.map(({ endpoint, code }) => `${endpoint} ${code}`)).toEqual([
      'heat-pumps 503',
      'heat-pumps network',
      'heat-pumps 200',
    ])
    for (const { durationMs } of events) expect(durationMs).toBeGreaterThan(0)
  })
})

describe('who waits for a socket', () => {
  const at = (name: string) => ({ ...call, path: `/${name}` })
  const named = (requests: readonly string[]) => requests.map((request) => request.split('/').at(-1))

  it('is served in the order of asking', async () => {
    const server = await serve((_request, response) => json(response, []))
    const transport = transportTo(server.url, { concurrency: 1 })
    const names = Array.from({ length: 20 }, (_, n) => `call-${n}`)
    await Promise.all(names.map((name) => transport.text(at(name), never)))
    expect(named(server.requests)).toEqual(names)
  })

  it('is sent before the answer that freed the socket is looked at', async () => {
    const order: string[] = []
    const onSent = (message: unknown) => {
      const { request } = message as { request: { path: string } }
      order.push(`sent ${request.path.split('/').at(-1)}`)
    }
    subscribe('undici:client:sendHeaders', onSent)
    onTestFinished(() => void unsubscribe('undici:client:sendHeaders', onSent))
    const server = await serve((_request, response) => json(response, []))
    const transport = transportTo(server.url, { concurrency: 1 })
    const look = (name: string) => transport.text(at(name), never).then(() => order.push(`read ${name}`))
    // The first one opens the connection.
    await look('zero')
    await Promise.all([look('one'), look('two'), look('three')])
    expect(order.slice(2)).toEqual([
      'sent one',
      'sent two',
      'read one',
      'sent three',
      'read two',
      'read three',
    ])
  })

  it('is let go at once when it is stopped, and the others still get their turn', async () => {
    const answers: (() => void)[] = []
    const server = await serve((_request, response) => void answers.push(() => json(response, [])))
    const transport = transportTo(server.url, { concurrency: 1 })
    const stop = new AbortController()
    const first = transport.text(at('first'), never)
    const stopped = expect(transport.text(at('stopped'), stop.signal)).rejects.toThrow('enough')
    const last = transport.text(at('last'), never)
    stop.abort(new Error('enough'))
    await stopped
    while (answers.length < 1) await nextTurn()
    answers[0]?.()
    await first
    while (answers.length < 2) await nextTurn()
    answers[1]?.()
    await last
    expect(named(server.requests)).toEqual(['first', 'last'])
  })

  it('gives it on when it was stopped in the moment it got it', async () => {
    const server = await serve((_request, response) => json(response, []))
    const stop = new AbortController()
    const transport = transportTo(server.url, {
      concurrency: 1,
      onRequest: () => stop.abort(new Error('enough')),
    })
    const first = transport.text(at('first'), never)
    const stopped = expect(transport.text(at('stopped'), stop.signal)).rejects.toThrow('enough')
    await Promise.all([first, stopped, transport.text(at('last'), never)])
    expect(named(server.requests)).toEqual(['first', 'last'])
  })

  it('is let go when the client is closed', async () => {
    const server = await serve(() => {})
    const transport = transportTo(server.url, { concurrency: 1 })
    const calls = ['a', 'b', 'c'].map((name) => failure(transport.text(at(name), never)))
    while (server.requests.length < 1) await nextTurn()
    await transport.close()
    for (const { kind } of await Promise.all(calls)) expect(kind).toBe('network')
    expect((await failure(transport.text(at('d'), never))).message).toContain('the client is closed')
    expect(named(server.requests)).toEqual(['a'])
  })

  it('waits for none that is refused before it sends', async () => {
    const server = await serve((_request, response) =>
      response.writeHead(429, { 'retry-after': '3600' }).end(),
    )
    const transport = transportTo(server.url, { concurrency: 1 })
    const calls = Array.from({ length: 10 }, () => failure(transport.text(call, never)))
    for (const { kind } of await Promise.all(calls)) expect(kind).toBe('rate_limited')
    expect(server.requests).toHaveLength(1)
  })

  it.each([
    ['another attempt', 503],
    ['the end of a 429', 429],
  ])('does not wait for one that waits for %s', async (_, status) => {
    const server = await serve((request, response) => {
      if (!request.url?.endsWith('bad')) json(response, [])
      else response.writeHead(status, { 'retry-after': '50' }).end()
    })
    // Waits end when they are stopped; the other's answer is there before.
    const clock = { ...quickClock, sleep: (_ms: number, signal?: AbortSignal) => aborted(signal) }
    const transport = transportTo(server.url, { concurrency: 1, clock })
    // So that one 429 is a stray, which pauses nobody else.
    for (let n = 0; n < 64; n++) await transport.text(at('good'), never)
    const stop = new AbortController()
    const bad = expect(transport.text(at('bad'), stop.signal)).rejects.toThrow('enough')
    await Promise.all([transport.text(at('good'), never), transport.text(at('good'), never)])
    expect(named(server.requests).slice(64)).toEqual(['bad', 'good', 'good'])
    stop.abort(new Error('enough'))
    await bad
  })
})

describe('what passes', () => {
  it.each([
    ['a 500', (_, response) => json(response, {}, 500)],
    ['a 502 with a page', (_, response) => response.writeHead(502).end('<html>')],
    ['a 408', (_, response) => json(response, {}, 408)],
    ['a connection that is cut', (_, response) => response.destroy()],
    [
      'a connection that is cut in the middle of the body',
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' })
        response.write('[{"id":', () => response.destroy())
      },
    ],
    [
      'a chunked answer that breaks off',
      (_, response) => {
        response.writeHead(200)
        response.write('[{"id":', () => response.destroy())
      },
    ],
    ['a bad status line', (_, response) => response.socket?.end('HTTP/9.9 none\r\n\r\n')],
  ] as [string, Parameters<typeof serve>[0]][])('is tried again: %s', async (_name, fault) => {
    const server = await serve((request, response, body) => {
      if (server.requests.length <= 2) fault(request, response, body)
      else json(response, ['ok'])
    })
    const { text } = await transportTo(server.url).text(call, never)
    expect(text).toBe('["ok"]')
    expect(server.requests).toHaveLength(3)
  })

  it.each([
    ['server_error', (_, response) => json(response, {}, 500)],
    ['network', (_, response) => response.destroy()],
  ] as [string, Parameters<typeof serve>[0]][])(
    'is given up after the third attempt: %s',
    async (kind, fault) => {
      const server = await serve(fault)
      const error = await failure(transportTo(server.url).text(call, never))
      expect(error.kind).toBe(kind)
      expect(server.requests).toHaveLength(3)
    },
  )

  it('is tried again when nobody listens, and says that nothing was sent', async () => {
    const error = await failure(transportTo('http://127.0.0.1:1').text(call, never))
    expect(error).toMatchObject({ kind: 'network', wasSent: false })
    expect(error.message).toContain('ECONNREFUSED')
  })

  it('is not tried again when it was a POST that may have arrived', async () => {
    const server = await serve((_request, response) => response.destroy())
    const error = await failure(transportTo(server.url).text({ ...call, method: 'POST', body: {} }, never))
    expect(error).toMatchObject({ kind: 'network', wasSent: true })
    expect(server.requests).toHaveLength(1)
  })
})

describe('what does not pass', () => {
  it.each([
    [400, 'client_error'],
    [401, 'unauthorized'],
    [403, 'unauthorized'],
    [404, 'not_found'],
    [410, 'not_found'],
    [422, 'client_error'],
  ])('is tried once: %d is %s', async (status, kind) => {
    const server = await serve((_request, response) => json(response, { detail: 'no' }, status))
    const error = await failure(transportTo(server.url).text(call, never))
    expect(error).toMatchObject({ kind, status, endpoint: 'heat-pumps', detail: 'no' })
    expect(server.requests).toHaveLength(1)
  })

  it('is a redirect, which may lead anywhere with the token', async () => {
    const other = await serve((_request, response) => json(response, []))
    const server = await serve((_request, response) => {
      response.writeHead(301, { location: `${other.url}/` }).end()
    })
    const error = await failure(transportTo(server.url).text(call, never))
    expect(error.kind).toBe('client_error')
    expect(error.message).toContain('check partner.base_url')
    expect(other.requests).toEqual([])
  })

  it('is an answer that is larger than allowed, with a length or without', async () => {
    for (const chunked of [false, true]) {
      const server = await serve((_request, response) => {
        if (!chunked) response.setHeader('content-length', 5_000)
        response.writeHead(200)
        response.write('x'.repeat(4_000))
        response.end('x'.repeat(1_000))
      })
      expect(
        (await failure(transportTo(server.url, { maximumAnswerBytes: 4_999 }).text(call, never))).kind,
      ).toBe('too_large')
      expect(
        (await transportTo(server.url, { maximumAnswerBytes: 5_000 }).text(call, never)).text,
      ).toHaveLength(5_000)
      expect(server.requests).toHaveLength(2)
    }
  })

  it('is an error page of any size, of which only the status counts', async () => {
    const server = await serve((_request, response) => response.writeHead(404).end('x'.repeat(1_000_000)))
    const transport = transportTo(server.url)
    expect(await failure(transport.text(call, never))).toMatchObject({ kind: 'not_found', detail: null })
    expect(await failure(transport.text(call, never))).toMatchObject({ kind: 'not_found' })
  })
})

describe('time', () => {
  it.each([
    ['headers that do not come', () => {}],
    [
      'a body that stops',
      (_, response) => {
        response.writeHead(200)
        response.write('[')
      },
    ],
    [
      'a body that only drips',
      (_, response) => {
        response.writeHead(200)
        const drip = setInterval(() => response.write(' '), 20)
        response.on('close', () => clearInterval(drip))
      },
    ],
  ] as [string, Parameters<typeof serve>[0]][])('ends %s', async (_name, fault) => {
    const server = await serve(fault)
    const error = await failure(transportTo(server.url, { timeoutMs: 100 }).text(call, never))
    expect(error.kind).toBe('timeout')
    expect(server.requests).toHaveLength(3)
  })

  it('is not counted against a stream that goes on', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200)
      let pieces = 0
      const write = setInterval(() => {
        response.write('x')
        if (++pieces < 10) return
        clearInterval(write)
        response.end()
      }, 30)
    })
    expect(await read(transportTo(server.url, { timeoutMs: 100 }))).toBe('x'.repeat(10))
  })

  it('ends a stream that stops', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200)
      response.write('x')
    })
    const error = await failure(read(transportTo(server.url, { timeoutMs: 100 })))
    expect(error.kind).toBe('timeout')
  })
})

describe('a stream', () => {
  it('that breaks off is an error, not an end', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200)
      response.write('x', () => response.destroy())
    })
    expect((await failure(read(transportTo(server.url)))).kind).toBe('network')
  })

  it('that is larger than allowed ends', async () => {
    const server = await serve((_request, response) => response.end('x'.repeat(100_000)))
    const error = await failure(read(transportTo(server.url, { maximumStreamBytes: 50_000 })))
    expect(error.kind).toBe('too_large')
  })

  it('gives its socket back when nobody reads on', async () => {
    const server = await serve((_request, response) => response.end('x'.repeat(3_000_000)))
    const transport = transportTo(server.url, { concurrency: 1 })
    for (let n = 0; n < 3; n++) {
      const { chunks } = await transport.stream(call, never)
      for await (const _ of chunks) break
    }
    expect(server.requests).toHaveLength(3)
  })

  it('is tried again before it begins, and not after a status that is final', async () => {
    const server = await serve((_request, response) => {
      if (server.requests.length < 3) json(response, {}, 503)
      else response.end('there')
    })
    expect(await read(transportTo(server.url))).toBe('there')
    const gone = await serve((_request, response) => json(response, {}, 404))
    expect((await failure(read(transportTo(gone.url)))).kind).toBe('not_found')
  })
})

/** Takes connections, and never says the word that TLS begins with. */
async function serveSilence(): Promise<{ readonly url: string; readonly connected: Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => sockets.add(socket.on('error', () => {})))
  const connected = once(server, 'connection').then(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, connected }
}

describe('a connection that does not come about', () => {
  it('keeps nobody who is stopped', async () => {
    const { url, connected } = await serveSilence()
    const stop = new AbortController()
    const stopped = expect(transportTo(url, { timeoutMs: 60_000 }).text(call, stop.signal)).rejects.toThrow(
      'enough',
    )
    await connected
    stop.abort(new Error('enough'))
    await stopped
  })

  it('is a timeout before anything was sent, so that even a POST is tried again', async () => {
    const { url } = await serveSilence()
    const attempts: RequestEvent[] = []
    const transport = transportTo(url, { timeoutMs: 100, onRequest: (event) => attempts.push(event) })
    const error = await failure(transport.text({ ...call, method: 'POST', body: {} }, never))
    expect(error).toMatchObject({ kind: 'timeout', wasSent: false })
    expect(attempts).toHaveLength(3)
  })
})

describe('stopping', () => {
  it('ends a call at once with the reason, wherever it is', async () => {
    const reason = new Error('enough')
    const faults: Parameters<typeof serve>[0][] = [
      () => {},
      (_, response) => response.writeHead(200).write('['),
      (_, response) => response.writeHead(429, { 'retry-after': '55' }).end(),
      (_, response) => response.writeHead(503, { 'retry-after': '55' }).end(),
    ]
    for (const fault of faults) {
      let arrived = () => {}
      const arrival = new Promise<void>((resolve) => {
        arrived = resolve
      })
      const server = await serve((request, response, body) => {
        fault(request, response, body)
        arrived()
      })
      const stop = new AbortController()
      const transport = transportTo(server.url, {
        clock: { ...quickClock, sleep: (_ms, signal) => aborted(signal) },
      })
      const ended = expect(transport.text(call, stop.signal)).rejects.toBe(reason)
      const alsoEnded = expect(read(transport, stop.signal)).rejects.toBe(reason)
      await arrival
      stop.abort(reason)
      await ended
      await alsoEnded
    }
  })

  it('sends nothing when it was stopped before', async () => {
    const server = await serve((_request, response) => json(response, []))
    const stopped = AbortSignal.abort(new Error('enough'))
    await expect(transportTo(server.url).text(call, stopped)).rejects.toThrow('enough')
    expect(server.requests).toEqual([])
  })

  it('does not touch the calls of others', async () => {
    const server = await serve((_request, response) => {
      setTimeout(() => json(response, ['ok']), 50)
    })
    const transport = transportTo(server.url)
    const stop = new AbortController()
    const other = new AbortController()
    const stopped = expect(transport.text(call, stop.signal)).rejects.toThrow('enough')
    const answered = Promise.all([transport.text(call, other.signal), transport.text(call, never)])
    stop.abort(new Error('enough'))
    await stopped
    expect((await answered).map(({ text }) => text)).toEqual(['["ok"]', '["ok"]'])
  })

  it('leaves no listener behind on the signal', async () => {
    const server = await serve((_request, response) => json(response, []))
    const transport = transportTo(server.url)
    const listeners = new Set<unknown>()
    const { signal } = new AbortController()
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (type: string, listener: never, options?: object) => {
      listeners.add(listener)
      add(type, listener, options)
    }
    signal.removeEventListener = (type: string, listener: never) => {
      listeners.delete(listener)
      remove(type, listener)
    }
    await Promise.all(Array.from({ length: 30 }, () => transport.text(call, signal)))
    await read(transport, signal)
    expect(listeners.size).toBe(0)
  })
})

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A sleep that only the signal ends. */
function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((_resolve, reject) => {
    if (signal?.aborted) reject(signal.reason)
    signal?.addEventListener('abort', () => reject(signal.reason))
  })
}

describe('the token', () => {
  /** A partner that accepts the token that it issued last, until `revoke`. */
  async function partner() {
    let issued = 0
    let accepted = ''
    const asked: string[] = []
    const server = await serve((request, response, body) => {
      if (request.url === '/oauth2/token/') {
        asked.push(
          `${request.method} ${request.headers.authorization} ${request.headers['content-type']} ${body}`,
        )
        accepted = `Bearer t${++issued}`
        // So that all who need it come before it is there.
        setTimeout(
          () => json(response, { access_token: `t${issued}`, expires_in: 36_000, token_type: 'Bearer' }),
          30,
        )
      } else if (request.headers.authorization === accepted) {
        setTimeout(() => json(response, []), 10)
      } else json(response, { detail: 'Invalid token' }, 401)
    })
    return {
      server,
      asked,
      calls: () => server.requests.filter((request) => !request.includes('oauth2')).length,
      revoke: () => {
        accepted = 'none'
      },
    }
  }

  it('is asked for once, at the root of the host, for any number of calls', async () => {
    const { server, asked, calls } = await partner()
    const transport = transportTo(server.url, { credentials: client })
    await Promise.all(Array.from({ length: 30 }, () => transport.text(call, never)))
    const basic = Buffer.from('id:s3cret').toString('base64')
    expect(asked).toEqual([`POST Basic ${basic} application/json {"grant_type":"client_credentials"}`])
    expect(calls()).toBe(30)
  })

  it('is renewed once when it is refused in the middle, and every call tried again once', async () => {
    const { server, asked, calls, revoke } = await partner()
    const transport = transportTo(server.url, { credentials: client, concurrency: 30 })
    await transport.text(call, never)
    revoke()
    await Promise.all(Array.from({ length: 30 }, () => transport.text(call, never)))
    expect(asked).toHaveLength(2)
    expect(calls()).toBe(1 + 30 + 30)
  })

  it('is not asked for again and again when the new one is refused too', async () => {
    const { server, asked, revoke } = await partner()
    const transport = transportTo(server.url, {
      credentials: client,
      onRequest: ({ endpoint }) => endpoint === 'token' && revoke(),
    })
    for (let n = 0; n < 10; n++)
      expect((await failure(transport.text(call, never))).kind).toBe('unauthorized')
    expect(asked).toHaveLength(2)
  })

  it('is not asked for by every call while the partner refuses the credentials', async () => {
    const server = await serve((_request, response) => json(response, { error: 'invalid_client' }, 401))
    const transport = transportTo(server.url, { credentials: client })
    const errors = await Promise.all(Array.from({ length: 20 }, () => failure(transport.text(call, never))))
    for (const error of errors) {
      expect(error).toMatchObject({ kind: 'unauthorized', endpoint: 'token', detail: null })
      expect(error.message).toContain('check partner.client_id and partner.client_secret')
    }
    expect(server.requests).toEqual(['POST /oauth2/token/'])
  })

  it('is tried for again when the partner has a fault', async () => {
    const server = await serve((request, response) => {
      if (server.requests.length <= 2) json(response, {}, 503)
      else json(response, request.url === '/oauth2/token/' ? { access_token: 't' } : [])
    })
    await transportTo(server.url, { credentials: client }).text(call, never)
    expect(server.requests).toHaveLength(4)
  })

  it.each(['<html>', '[]', '{}', '{"access_token": 7}', '{"access_token": " "}', 'null'])(
    'cannot be had from %s',
    async (body) => {
      const server = await serve((_request, response) => response.end(body))
      const error = await failure(transportTo(server.url, { credentials: client }).text(call, never))
      expect(error).toMatchObject({ kind: 'bad_json', endpoint: 'token' })
    },
  )

  it('that is fixed is final when it is refused', async () => {
    const server = await serve((_request, response) => json(response, {}, 401))
    expect((await failure(transportTo(server.url).text(call, never))).kind).toBe('unauthorized')
    expect(server.requests).toHaveLength(1)
  })

  it('does not keep a call that is stopped', async () => {
    const server = await serve(() => {})
    const stop = new AbortController()
    const ended = expect(
      transportTo(server.url, { credentials: client }).text(call, stop.signal),
    ).rejects.toThrow('x')
    stop.abort(new Error('x'))
    await ended
  })

  it('that no header can hold is a fault of the configuration', async () => {
    const server = await serve((_request, response) => json(response, []))
    const token = new Secret('two\nlines')
    const error = await failure(transportTo(server.url, { credentials: { token } }).text(call, never))
    expect(error.kind).toBe('client_error')
    expect(error.message).toContain('check partner.token')
  })
})

describe('a 429', () => {
  it.each([
    ['seconds', () => ({ 'retry-after': '2' }), 2_000],
    [
      'a date',
      (now: number) => ({
        'retry-after': new Date(now + 3_000).toUTCString(),
        date: new Date(now).toUTCString(),
      }),
      3_000,
    ],
    ['nothing', () => ({}), 0],
  ])('with %s is waited for and tried again', async (_name, headers, waitMs) => {
    const server = await serve((_request, response) => {
      if (server.requests.length > 1) json(response, ['ok'])
      else response.writeHead(429, headers(quickClock.now())).end()
    })
    const from = quickClock.monotonic()
    const transport = transportTo(server.url)
    expect((await transport.text(call, never)).text).toBe('["ok"]')
    expect(quickClock.monotonic() - from).toBeGreaterThanOrEqual(waitMs)
    expect(transport.requestsPerSecond()).toBeLessThan(99_000)
  })

  it('holds back the other calls too, for as long as it says', async () => {
    const times: number[] = []
    const server = await serve((_request, response) => {
      times.push(quickClock.monotonic())
      if (times.length > 1) json(response, [])
      else response.writeHead(429, { 'retry-after': '5' }).end()
    })
    const transport = transportTo(server.url)
    const first = transport.text(call, never)
    while (transport.requestsPerSecond() > 95_000) await new Promise((resolve) => setImmediate(resolve))
    await Promise.all([first, ...Array.from({ length: 10 }, () => transport.text(call, never))])
    const [throttledAt = 0, ...others] = times
    expect(others).toHaveLength(11)
    expect(Math.min(...others) - throttledAt).toBeGreaterThanOrEqual(5_000)
  })

  it('that goes on is given up as rate_limited', async () => {
    const server = await serve((_request, response) => response.writeHead(429, { 'retry-after': '0' }).end())
    const error = await failure(transportTo(server.url).text(call, never))
    expect(error.kind).toBe('rate_limited')
    expect(server.requests).toHaveLength(6)
  })

  it('that asks for minutes is given up at once, and nothing is sent meanwhile', async () => {
    const server = await serve((_request, response) =>
      response.writeHead(429, { 'retry-after': '3600' }).end(),
    )
    const transport = transportTo(server.url)
    for (let n = 0; n < 20; n++)
      expect((await failure(transport.text(call, never))).kind).toBe('rate_limited')
    expect(server.requests).toHaveLength(1)
  })
})

describe('a dead API', () => {
  it('is not hammered: calls are held back, then refused, and tried again when it is back', async () => {
    let isDead = true
    const server = await serve((_request, response) => {
      if (isDead) json(response, {}, 503)
      else json(response, ['ok'])
    })
    const transport = transportTo(server.url, { concurrency: 32 })
    const kinds = new Map<string, number>()
    let user = 0
    const worker = async () => {
      while (user < 1_000) {
        const { kind } = await failure(transport.text({ ...call, subject: `u${user++}` }, never))
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: 32 }, worker))
    expect(transport.isCircuitOpen()).toBe(true)
    expect(server.requests.length).toBeLessThan(100)
    expect(kinds.get('circuit_open')).toBeGreaterThan(900)

    isDead = false
    // The pause is at most half a minute, and a quarter more; of the clock, which is fast.
    await quickClock.sleep(40_000)
    expect((await transport.text(call, never)).text).toBe('["ok"]')
    expect(transport.isCircuitOpen()).toBe(false)
  })

  it('that is back after seconds has cost the calls nothing but seconds', async () => {
    const server = await serve((_request, response) => {
      if (server.requests.length <= 16) json(response, {}, 503)
      else json(response, ['ok'])
    })
    let wasOpen = false
    const transport = transportTo(server.url, {
      concurrency: 16,
      clock: createClock({ factor: 10 }),
      onRequest: () => {
        wasOpen ||= transport.isCircuitOpen()
      },
    })
    const subjects = Array.from({ length: 16 }, (_, user) => `u${user}`)
    await Promise.all(subjects.map((subject) => transport.text({ ...call, subject }, never)))
    expect(wasOpen).toBe(true)
  })

  it('is not concluded from one user whose calls fail', async () => {
    const server = await serve((request, response) => {
      if (request.url?.includes('bad')) json(response, {}, 500)
      else json(response, [])
    })
    const transport = transportTo(server.url)
    for (let n = 0; n < 20; n++) {
      await failure(transport.text({ endpoint: 'heat-pumps', path: '/bad', subject: 'bad' }, never))
    }
    expect(transport.isCircuitOpen()).toBe(false)
  })
})

describe('nothing secret', () => {
  it('is in an error, whatever the partner answers', async () => {
    const secrets = ['s3cret', 'fixed-token', 'q-secret', Buffer.from('id:s3cret').toString('base64'), 'b0dy']
    const faults: Parameters<typeof serve>[0][] = [
      (request, response) =>
        json(response, { detail: `no: http://x/y?secret=q-secret ${request.headers.host}` }, 400),
      (request, response) => response.writeHead(500).end(`<p>${request.headers.authorization} b0dy`),
      (_, response) => response.socket?.end('b0dy s3cret\r\n\r\n'),
      (_, response) => response.writeHead(200).write('b0dy', () => response.destroy()),
    ]
    for (const fault of faults) {
      const server = await serve(fault)
      for (const credentials of [client, { token: new Secret('fixed-token') }]) {
        const transport = transportTo(server.url, { credentials })
        const error = await failure(transport.text({ ...call, path: '/x?secret=q-secret' }, never))
        const shown = `${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)} ${error.stack}`
        for (const secret of secrets) expect(shown).not.toContain(secret)
      }
    }
  })
})

describe('a URL of the partner', () => {
  it('is called as it stands when it lies on the same host', async () => {
    const bodies: string[] = []
    const server = await serve((_request, response, body) => {
      bodies.push(body)
      json(response, { redirect_url: 'https://x' })
    })
    const transport = transportTo(server.url)
    const url = new URL(`${server.url}/cues/7/resolve?secret=x`)
    await transport.textOf(url, { endpoint: 'cue-resolve', method: 'POST', body: { a: 1 } }, never)
    expect(server.requests).toEqual(['POST /cues/7/resolve?secret=x'])
    expect(bodies).toEqual(['{"a":1}'])
  })

  it('on another host never sees the token', async () => {
    const other = await serve((_request, response) => json(response, {}))
    const server = await serve((_request, response) => json(response, {}))
    const transport = transportTo(server.url)
    const error = await failure(transport.textOf(new URL(other.url), { endpoint: 'cue-resolve' }, never))
    expect(error).toMatchObject({ kind: 'client_error', wasSent: false })
    expect(other.requests).toEqual([])
  })
})

describe('closing', () => {
  it('ends what is under way', async () => {
    const server = await serve(() => {})
    const transport = transportTo(server.url)
    const ended = failure(transport.text(call, never))
    await new Promise((resolve) => setImmediate(resolve))
    await transport.close()
    expect((await ended).kind).toBe('network')
  })
})
