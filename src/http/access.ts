// Who may use the API while there is no login: this machine alone. Alerts hold ids of customers, and
// a silence keeps people from being told, so:
//
// - the other end of the socket is a loopback address;
// - the request names the server by a loopback name or address, or a page whose name was made to
//   resolve to 127.0.0.1 (DNS rebinding) could read with a browser of this machine;
// - what changes something does not come from a page of another site.
//
// Metrics and health are not behind it. A reverse proxy on this machine counts as this machine: who
// may use that is for the proxy to ask.

import { isIPv4 } from 'node:net'
import type { HttpBindings } from '@hono/node-server'
import type { MiddlewareHandler } from 'hono'
import type { Actor } from '../actor.ts'
import type { Clock } from '../clock.ts'
import { ApiError } from './api-error.ts'

/** What a request brings along: Node's own objects, and once it may go on, who asks. */
export interface HttpEnv {
  Bindings: HttpBindings
  Variables: { actor: Actor }
}

export function localOnly(): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    const host = context.req.header('Host') ?? ''
    if (!isLoopbackAddress(context.env.incoming.socket.remoteAddress)) {
      throw new ApiError(
        403,
        'the API answers only to the machine that it runs on: there is no login yet, and alerts hold ids of customers',
      )
    }
    if (!isLoopbackName(hostnameOf(host))) {
      throw new ApiError(403, 'the API answers only under the name localhost, 127.0.0.1 or [::1]')
    }
    const isRead = context.req.method === 'GET' || context.req.method === 'HEAD'
    if (!isRead && !isSameSite(context.req.header('Sec-Fetch-Site'), context.req.header('Origin'), host)) {
      throw new ApiError(403, 'pages of other sites may change nothing here')
    }
    const from = context.env.incoming.socket.remoteAddress ?? null
    context.set('actor', { kind: 'local', name: '', role: 'admin', from })
    await next()
  }
}

/** Says what time it is here, so that whoever asks for two hours from now means this service's. */
export function tellTime(clock: Pick<Clock, 'now'>): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    await next()
    context.header(timeHeader, new Date(clock.now()).toISOString())
  }
}

/** Not Date, which the HTTP server itself sets, by the machine's clock. */
export const timeHeader = 'Fleetwarden-Time'

/**
 * Browsers say whether a page may ask (Sec-Fetch-Site), and no page can change what they say; those
 * that don't, or that asked a proxy without TLS, still name the page. Tools send neither.
 */
function isSameSite(site: string | undefined, origin: string | undefined, host: string): boolean {
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  if (origin === undefined) return true
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
}

export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false
  // How a socket for both families shows IPv4.
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))
}

/** `name`: without a port; an IPv6 address with or without its brackets. */
export function isLoopbackName(name: string): boolean {
  const plain = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name
  return plain.toLowerCase() === 'localhost' || isLoopbackAddress(plain)
}

function hostnameOf(host: string): string {
  return /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host)?.[1] ?? ''
}
