// A partner API to run against: the demo, tests and benchmarks start it on a port of their own.
//
// This file is the wire: it counts and delays requests, limits their rate, lets request faults spoil
// answers, and sends them, long lists piece by piece as fast as the client reads. What is answered is
// api.ts (the partner API), sessions.ts (pages that links lead to) and control.ts (faults over HTTP).
//
// Two clocks: `clock` says what time it is in the simulated world (tokens, links, measurements, rate
// limit), and may run fast or by hand; delays of the network are in real time, since sockets are.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'
import { Secret } from '../secret.ts'
import { type Answer, failure, html } from './answer.ts'
import { createApi } from './api.ts'
import { controlPath, createControl } from './control.ts'
import { createFaults, type FaultInput, type Faults, type RequestFault } from './faults.ts'
import { createFleet, type Fleet, type FleetOptions } from './fleet.ts'
import { apiPath, type Endpoint, routeOf } from './route.ts'
import { createSessions, documentedLinkLifetimeMs } from './sessions.ts'

export const defaultClientId = 'simulated-client'
export const defaultClientSecret = 'simulated-secret'

export interface SimulatorOptions {
  readonly clock: Clock
  /** Delays (latency, dripping bodies) are slept on this one. Default: real time. */
  readonly networkClock?: Clock
  readonly fleet: Fleet | FleetOptions
  /** Added to every answer of the API, in milliseconds. Default 0. */
  readonly latencyMs?: number
  /** More requests to the API than this are answered 429 with Retry-After. Default null: no limit. */
  readonly requestsPerSecond?: number | null
  readonly clientId?: string
  readonly clientSecret?: string | Secret
  /** A bearer token that works without having been asked for, until a fault voids it. */
  readonly fixedToken?: string | Secret
  /** Default 36,000, as documented. */
  readonly tokenLifetimeSeconds?: number
  /** How long resolution links work. Default: an hour, as documented. */
  readonly linkLifetimeMs?: number
  readonly faults?: readonly FaultInput[]
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
}

export interface Simulator {
  /** The API base, to be configured as `partner.base_url`. */
  readonly url: string
  /** Scheme, host and port. */
  readonly origin: string
  readonly organizationId: string
  readonly fleet: Fleet
  readonly faults: Faults
  readonly requests: RequestCounts
  /** Ends all connections, also those that hang, and resolves when the port is free. */
  close(): Promise<void>
}

/** An HTTP status, or what became of a request that got none. */
export type Outcome = number | 'cut' | 'hung'

/** How many requests of each kind were answered how. */
export interface RequestCounts {
  /** All of an endpoint, or those of one outcome; without arguments all requests. */
  count(endpoint?: Endpoint, outcome?: Outcome): number
  /** `{endpoint: {outcome: count}}` */
  snapshot(): Record<string, Record<string, number>>
}

/** The simulator cannot listen where it should; the message names the options of the command line. */
export class SimulatorAddressError extends Error {
  override readonly name = 'SimulatorAddressError'
  readonly kind: 'port_taken' | 'no_such_port' | 'no_such_address' | 'no_permission' | 'internal'

  constructor(kind: SimulatorAddressError['kind'], message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.kind = kind
  }
}

/**
 * Starts the simulator. Rejects with a SimulatorAddressError when it cannot listen, a RangeError for a
 * fleet that cannot be and a FaultError for a fault that is none.
 */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { clock, networkClock = systemClock, latencyMs = 0, requestsPerSecond = null } = options
  const { host = '127.0.0.1', port = 0 } = options
  const fleet =
    'seed' in options.fleet && 'devices' in options.fleet
      ? options.fleet
      : createFleet({ startedAt: clock.now(), ...options.fleet })
  const faults = createFaults({ fleet, clock, seed: fleet.seed })
  for (const fault of options.faults ?? []) faults.add(fault)
  const counts = createRequestCounts()
  const limiter = requestsPerSecond === null ? null : createRateLimiter({ clock, requestsPerSecond })
  const closing = new AbortController()

  // A client keeps its connections for as long as it likes; a benchmark must not see them closed.
  const server = createServer({ keepAliveTimeout: 120_000 })
  await listen(server, host, port)
  const origin = `http://${reachableHost(host)}:${portOf(server.address())}`
  const url = `${origin}${apiPath}`

  const sessions = createSessions({
    fleet,
    clock,
    origin,
    apiUrl: url,
    linkLifetimeMs: options.linkLifetimeMs ?? documentedLinkLifetimeMs,
  })
  const answerApi = createApi({
    fleet,
    faults,
    sessions,
    clock,
    clientId: options.clientId ?? defaultClientId,
    clientSecret: secretOf(options.clientSecret ?? defaultClientSecret),
    fixedToken: options.fixedToken === undefined ? null : secretOf(options.fixedToken),
    tokenLifetimeSeconds: options.tokenLifetimeSeconds ?? 36_000,
  })
  const answerControl = createControl({ fleet, faults, clock, counts: () => counts.snapshot() })
  let requestNumber = 0

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: target = '/' } = request
    const question = target.indexOf('?')
    const path = question === -1 ? target : target.slice(0, question)
    const query = new URLSearchParams(question === -1 ? '' : target.slice(question + 1))
    const body = method === 'GET' || method === 'HEAD' ? '' : await bodyOf(request)
    if (body === null) return await send(response, failure(413, 'The body is too large.'))
    if (path.startsWith(controlPath)) return await send(response, answerControl({ method, path, body }))
    const route = routeOf(method, path)
    if (route.endpoint === 'page') {
      const page = sessions.answer({ method, path, query, body }) ?? failure(404, 'Not found.')
      counts.add('page', page.status)
      return await send(response, page)
    }

    const number = ++requestNumber
    if (latencyMs > 0) await networkClock.sleep(latencyMs, closing.signal)
    const waitSeconds = limiter?.() ?? 0
    if (waitSeconds > 0) {
      counts.add(route.endpoint, 429)
      const throttled = failure(429, 'Request was throttled.')
      const headers = { ...throttled.headers, 'retry-after': String(Math.ceil(waitSeconds)) }
      return await send(response, { ...throttled, headers })
    }
    const userIndex = route.userId === '' ? null : fleet.userIndex(route.userId)
    const fault = faults.forRequest({ method, path, userIndex, number })
    if (fault?.kind === 'hang') return counts.add(route.endpoint, 'hung')
    if (fault?.kind === 'cut' && fault.when === 'before_headers') {
      counts.add(route.endpoint, 'cut')
      response.destroy()
      return
    }
    const answer =
      (fault === null ? null : replacementFor(fault, clock)) ??
      answerApi({ route, query, authorization: request.headers.authorization, body })
    counts.add(route.endpoint, fault?.kind === 'cut' ? 'cut' : answer.status)
    await send(response, answer, fault)
  }

  async function send(
    response: ServerResponse,
    answer: Answer,
    fault: RequestFault | null = null,
  ): Promise<void> {
    const { status, body, headers } = answer
    if (typeof body === 'string') {
      if (fault === null) {
        response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
        response.end(body)
        return
      }
      // Cut in its middle, the body is shorter than was promised; truncated, it is as long.
      const length =
        fault.kind === 'truncated_json' ? Buffer.byteLength(firstHalf(body)) : Buffer.byteLength(body)
      response.writeHead(status, { ...headers, 'content-length': length })
      await sendPieces(response, [body], fault)
    } else {
      response.writeHead(status, headers)
      await sendPieces(response, body, fault)
    }
  }

  /** Sends pieces as they are made, waiting for the client to read; a fault spoils the first one. */
  async function sendPieces(
    response: ServerResponse,
    pieces: Iterable<string>,
    fault: RequestFault | null,
  ): Promise<void> {
    let isFirst = true
    for (const piece of pieces) {
      if (response.destroyed) return
      if (isFirst && fault?.kind === 'truncated_json') {
        response.end(firstHalf(piece))
        return
      }
      if (isFirst && fault?.kind === 'cut') {
        // Destroyed only when it is on its way, so that the client does see a part of it.
        response.write(firstHalf(piece), () => response.destroy())
        return
      }
      if (isFirst && fault?.kind === 'slow_body') await drip(response, piece, fault.durationMs)
      else await write(response, piece)
      isFirst = false
    }
    response.end()
  }

  async function drip(response: ServerResponse, piece: string, durationMs: number): Promise<void> {
    const steps = Math.min(50, Math.max(1, piece.length))
    const length = Math.ceil(piece.length / steps)
    for (let step = 0; step < steps && !response.destroyed; step++) {
      await write(response, piece.slice(step * length, (step + 1) * length))
      await networkClock.sleep(durationMs / steps, closing.signal)
    }
  }

  server.on('request', (request, response) => {
    serve(request, response).catch((error: unknown) => {
      if (closing.signal.aborted || response.destroyed) return
      // A fault of the simulator itself must not look like one that was asked for.
      const detail = `simulator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
      if (response.headersSent) response.destroy()
      else send(response, failure(500, detail)).catch(() => response.destroy())
    })
  })

  return {
    url,
    origin,
    organizationId: fleet.organizationId,
    fleet,
    faults,
    requests: counts,
    close: () =>
      new Promise<void>((resolve) => {
        closing.abort(new Error('the simulator closes'))
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // Throws for a port that is none.
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  }).catch((error: unknown) => {
    throw addressError(error, host, port)
  })
}

function addressError(error: unknown, host: string, port: number): SimulatorAddressError {
  const failure = (kind: SimulatorAddressError['kind'], message: string) =>
    new SimulatorAddressError(kind, message, { cause: error })
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'EADDRINUSE':
      return failure('port_taken', `port ${port} is taken: choose another with --port`)
    case 'ERR_SOCKET_BAD_PORT':
      return failure(
        'no_such_port',
        `there is no port ${port}: choose one up to 65535 with --port, 0 for any`,
      )
    case 'EACCES':
      return failure('no_permission', `port ${port} needs privileges: choose one above 1023 with --port`)
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return failure('no_such_address', `this machine has no address ${host}: choose another with --host`)
    default:
      return failure('internal', `cannot listen on ${host}, port ${port}`)
  }
}

const maximumBodyLength = 1_000_000

/** The body as text, null when it is longer than anything that the API takes. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += (chunk as Buffer).length
    if (length > maximumBodyLength) return null
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function write(response: ServerResponse, piece: string): Promise<void> {
  if (response.write(piece)) {
    // Others get their turn, or a long list would keep them waiting.
    await setImmediate()
    return
  }
  await new Promise<void>((resolve) => {
    const goOn = () => {
      response.off('drain', goOn)
      response.off('close', goOn)
      resolve()
    }
    response.on('drain', goOn)
    response.on('close', goOn)
  })
}

function firstHalf(text: string): string {
  return text.slice(0, Math.floor(text.length / 2))
}

/** What a fault puts in the place of the answer; null where it spoils the answer itself. */
function replacementFor(fault: RequestFault, clock: Clock): Answer | null {
  switch (fault.kind) {
    case 'status':
      return fault.body === 'html'
        ? html(
            `<html><head><title>${fault.status}</title></head><body><h1>Error</h1></body></html>`,
            fault.status,
          )
        : failure(fault.status, 'A server error occurred.')
    case 'rate_limit': {
      const { headers, ...limited } = failure(429, 'Request was throttled.')
      if (fault.retryAfter === 'none') return { ...limited, headers }
      const retryAfter =
        fault.retryAfter === 'seconds'
          ? String(fault.retryAfterSeconds)
          : new Date(clock.now() + fault.retryAfterSeconds * 1000).toUTCString()
      return { ...limited, headers: { ...headers, 'retry-after': retryAfter } }
    }
    case 'html':
      return html('<!doctype html><html><body><h1>Welcome</h1><p>Please sign in.</p></body></html>')
    case 'truncated_json':
    case 'slow_body':
    case 'hang':
    case 'cut':
      return null
    default:
      return fault satisfies never
  }
}

/** A token bucket that holds one second's worth. Answers how many seconds are to be waited, 0: go on. */
function createRateLimiter({
  clock,
  requestsPerSecond,
}: {
  clock: Clock
  requestsPerSecond: number
}): () => number {
  if (!(requestsPerSecond > 0)) {
    throw new RangeError(`requestsPerSecond is a number above 0, not ${requestsPerSecond}`)
  }
  const capacity = Math.max(1, requestsPerSecond)
  let available = capacity
  let filledAt = clock.monotonic()
  return () => {
    const now = clock.monotonic()
    available = Math.min(capacity, available + ((now - filledAt) / 1000) * requestsPerSecond)
    filledAt = now
    if (available < 1) return (1 - available) / requestsPerSecond
    available--
    return 0
  }
}

function createRequestCounts(): RequestCounts & { add(endpoint: Endpoint, outcome: Outcome): void } {
  const counts = new Map<Endpoint, Map<Outcome, number>>()
  const sum = (outcomes: ReadonlyMap<Outcome, number> | undefined): number =>
    outcomes === undefined ? 0 : [...outcomes.values()].reduce((total, count) => total + count, 0)
  return {
    add: (endpoint, outcome) => {
      let outcomes = counts.get(endpoint)
      if (outcomes === undefined) {
        outcomes = new Map()
        counts.set(endpoint, outcomes)
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    },
    count: (endpoint, outcome) => {
      if (endpoint === undefined)
        return [...counts.values()].reduce((total, outcomes) => total + sum(outcomes), 0)
      const outcomes = counts.get(endpoint)
      return outcome === undefined ? sum(outcomes) : (outcomes?.get(outcome) ?? 0)
    },
    snapshot: () =>
      Object.fromEntries([...counts].map(([endpoint, outcomes]) => [endpoint, Object.fromEntries(outcomes)])),
  }
}

function secretOf(value: string | Secret): Secret {
  return typeof value === 'string' ? new Secret(value) : value
}

/** A server that listens everywhere is reached through loopback; an IPv6 address stands in brackets. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}

function portOf(address: ReturnType<ReturnType<typeof createServer>['address']>): number {
  if (address === null || typeof address === 'string') throw new Error('the simulator listens on no port')
  return address.port
}
