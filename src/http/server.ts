// The HTTP endpoints of the service: what Prometheus scrapes, what an orchestrator asks, and the
// routes that it is given. Its own only read, and none shows who lives with which device; who may
// use which is for access.ts to say. Anything else is 404, also below /alertmanager/: Grafana takes an
// answer there for another product.

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import { type Access, createAccess, type HttpEnv } from './access.ts'
import { isLoopbackName } from './address.ts'
import { findEndpoint } from './permissions.ts'

/** What the endpoints tell of. */
export interface Health {
  /** The process is alive: says nothing of the partner, so that nobody restarts the watcher for its sake. */
  healthy(): boolean
  /** Configuration read, storage open, a first walk tried; `reasons` says what is missing. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] }
}

/** Adds its routes; their errors are its own to answer. */
export type RouteModule = (server: Hono<HttpEnv>) => void

export interface HttpServerOptions {
  readonly host: string
  /** 0: any free one, see `url`. */
  readonly port: number
  readonly metrics: { render(): Promise<{ readonly contentType: string; readonly body: string }> }
  readonly health: Health
  /** More routes, each module with its paths; each route needs its row in permissions.ts. */
  readonly routes?: readonly RouteModule[]
  /** Who may use them; absent: this machine alone. */
  readonly access?: Access
  readonly timeouts?: Partial<Timeouts>
  readonly clock: Pick<Clock, 'now' | 'sleep'>
  readonly logger: Logger
}

/** What a connection may take, so that slow ones cannot hold all there are. */
export interface Timeouts {
  /** From its begin to the end of a request's headers. */
  readonly headersMs: number
  /** To the end of its body. */
  readonly requestMs: number
  /** Without a byte in either direction: a reader that takes nothing, too. */
  readonly idleMs: number
  /** How often they are looked at. */
  readonly checkMs: number
}

const defaultTimeouts: Timeouts = { headersMs: 10_000, requestMs: 15_000, idleMs: 120_000, checkMs: 5_000 }

export interface HttpServer {
  /** Where it listens, without a slash at the end. */
  readonly url: string
  /** Takes no more requests, lets those under way end for a while, then ends them. */
  close(): Promise<void>
}

export class HttpServerError extends Error {
  override readonly name = 'HttpServerError'
  readonly kind: 'address_in_use' | 'address_not_available' | 'no_permission' | 'internal'

  constructor(kind: HttpServerError['kind'], message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.kind = kind
  }
}

const closeGraceMs = 3_000

/** Resolves when it listens. Rejects with HttpServerError when it can't. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  return startListening(options, (isClosing) => createRoutes(options, isClosing).fetch)
}

export type Fetch = Hono<HttpEnv>['fetch']

/** As startHttpServer, for answers that change while it listens. */
export async function startListening(
  options: Pick<HttpServerOptions, 'host' | 'port' | 'timeouts' | 'clock' | 'logger'>,
  fetchWith: (isClosing: () => boolean) => Fetch,
): Promise<HttpServer> {
  const { host, port, clock, logger } = options
  const timeouts = { ...defaultTimeouts, ...options.timeouts }
  let closing: Promise<void> | undefined
  // Node's own Request and Response stay in place for everybody else in this process.
  const server = createAdaptorServer({
    fetch: fetchWith(() => closing !== undefined),
    overrideGlobalObjects: false,
    serverOptions: {
      headersTimeout: timeouts.headersMs,
      requestTimeout: timeouts.requestMs,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: timeouts.checkMs,
    },
  }) as Server
  server.timeout = timeouts.idleMs
  await listen(server, host, port)
  server.on('error', (error) => logger.error({ error }, 'The HTTP server failed'))
  const url = urlOf(server, host)
  if (!isLoopbackName(host)) {
    logger.warn(
      { url },
      'The HTTP server can be reached from other machines, without TLS: what is public is open to all of them',
    )
  }
  return {
    url,
    close: () => {
      closing ??= close(server, clock)
      return closing
    },
  }
}

/** All routes. Throws when one has no row in the table of who may use it: nobody could. */
export function createRoutes(
  { metrics, health, routes = [], logger, ...options }: HttpServerOptions,
  isClosing: () => boolean,
): Hono<HttpEnv> {
  const access = options.access ?? createAccess({ ...options, config: null, publicUrl: null })
  const app = new Hono<HttpEnv>()
  app.use(
    secureHeaders({
      contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
      xFrameOptions: 'DENY',
      // Only whoever ends TLS may promise that it stays.
      strictTransportSecurity: false,
      // What a route says itself stands.
      overwrite: false,
    }),
  )
  app.use(async (context, next) => {
    await next()
    if (!context.res.headers.has('Cache-Control')) context.header('Cache-Control', 'no-store')
    // Else the connection of this last request would be kept alive, and hold up the end.
    if (isClosing()) context.header('Connection', 'close')
  })
  app.use(access.guard)
  app.get('/metrics', async (context) => {
    const { contentType, body } = await metrics.render()
    return context.body(body, 200, { 'Content-Type': contentType })
  })
  app.get('/-/healthy', (context) =>
    health.healthy() ? line(context, 'healthy') : line(context, 'unhealthy', 503),
  )
  app.get('/-/ready', (context) => {
    const { ready, reasons } = health.ready()
    return ready ? line(context, 'ready') : line(context, ['not ready', ...reasons].join('\n'), 503)
  })
  for (const addRoutes of routes) addRoutes(app)
  for (const { method, path } of app.routes) {
    if (method !== 'ALL' && findEndpoint(method, path) === undefined) {
      throw new Error(`${method} ${path} has no row in http/permissions.ts`)
    }
  }
  app.notFound((context) => line(context, 'not found', 404))
  app.onError((error, context) => {
    logger.error({ error, path: context.req.path }, 'A request failed')
    return line(context, 'internal error', 500)
  })
  return app
}

function line(context: Context, text: string, status: 200 | 404 | 500 | 503 = 200): Response {
  return context.text(`${text}\n`, status)
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(listenError(error, host, port))
    server.once('error', onError)
    server.listen(port, host, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

function listenError(error: Error, host: string, port: number): HttpServerError {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const failure = (kind: HttpServerError['kind'], why: string) =>
    new HttpServerError(kind, `cannot listen on ${address}: ${why}`, { cause: error })
  switch ('code' in error ? error.code : undefined) {
    case 'EADDRINUSE':
      return failure('address_in_use', 'another process does; stop it or set another http.listen')
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return failure('address_not_available', 'this machine has no such address; set another http.listen')
    case 'EACCES':
      return failure('no_permission', 'not permitted; ports below 1024 need privileges')
    default:
      return failure('internal', error.message)
  }
}

async function close(server: Server, clock: Pick<Clock, 'sleep'>): Promise<void> {
  const closed = new AbortController()
  // Ends connections that are kept alive without a request, too.
  const ended = new Promise<void>((resolve) => server.close(() => resolve()))
  clock.sleep(closeGraceMs, closed.signal).then(
    () => server.closeAllConnections(),
    () => undefined,
  )
  await ended
  closed.abort()
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
