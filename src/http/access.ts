// Who may do what over HTTP: the table in permissions.ts says what an endpoint needs, identity.ts who
// asks, and this holds one against the other before anything else runs. What has no row does not exist.
//
// Without `http.access` the API is for this machine alone, which may do everything: alerts hold ids of
// customers, and a silence keeps people from being told. With it, being on this machine counts for
// nothing. A browser does what pages tell it, so where it is not a token that says who asks (no page
// knows one):
//
// - the request names the server by a name of its own, or a page whose name was made to resolve to this
//   address (DNS rebinding) could read with the person's browser;
// - what changes something does not come from a page of another site.

import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import { type Actor, mayDo, type RefusalReason } from '../actor.ts'
import type { Clock } from '../clock.ts'
import type { AccessConfig } from '../config.ts'
import { hostnameOf, isLoopbackAddress, isLoopbackName, plainAddress, withoutBrackets } from './address.ts'
import { answerError } from './api-error.ts'
import { type Asking, createIdentifier, type Identifier } from './identity.ts'
import { type Endpoint, findEndpoint, type Needs } from './permissions.ts'

/** What a request brings along: Node's own objects, and once it may go on, who asks (not where anybody may). */
export interface HttpEnv {
  Bindings: HttpBindings
  Variables: { actor: Actor }
}

export interface AccessEvents {
  /**
   * Once for each request that was refused; with `not_proxy` also when it had a token besides, and went on.
   */
  onRefused(refusal: {
    readonly reason: RefusalReason
    readonly endpoint: Endpoint
    readonly from: string | null
    /** Null: nobody knows who it was; else `onDenied` is told, too. */
    readonly actor: Actor | null
  }): void
  /** Where it is known who asked for what they may not do. */
  onDenied(actor: Actor, endpoint: Endpoint, reason: RefusalReason): void
}

export interface AccessOptions {
  /** Null: this machine alone, and everything. */
  readonly config: AccessConfig | null
  /** Under which name people come through a proxy. */
  readonly publicUrl: string | null
  /** The host of `http.listen`. */
  readonly host: string
  readonly clock: Pick<Clock, 'now'>
  readonly events?: AccessEvents
  /** What a browser gets in the place of a page; null: whoever asks is told as a program is. */
  readonly refusalPage?: (context: Context<HttpEnv>, refusal: Refusal) => Promise<Response | null>
}

/** Somebody may not do what they asked for. `message` is for them. */
export interface Refusal {
  readonly status: 401 | 403
  readonly reason: RefusalReason
  readonly message: string
}

export interface Access {
  /** From the next request on. */
  update(config: AccessConfig | null): void
  /** Goes before all routes. */
  readonly guard: MiddlewareHandler<HttpEnv>
}

type Decision =
  | { readonly kind: 'allowed'; readonly actor: Actor }
  | {
      readonly kind: 'refused'
      readonly status: 401 | 403
      readonly reason: RefusalReason
      /** For whoever asked. */
      readonly message: string
      /** Null: nobody knows who it is. */
      readonly actor: Actor | null
    }

export function createAccess({ publicUrl, host, clock, events, ...options }: AccessOptions): Access {
  const url = publicUrl === null ? null : new URL(publicUrl)
  const ownNames = [host.toLowerCase(), ...(url === null ? [] : [withoutBrackets(url.hostname)])]
  let config: AccessConfig | null
  let identifier: Identifier | null
  update(options.config)

  function update(next: AccessConfig | null): void {
    config = next
    identifier = next === null ? null : createIdentifier(next, () => clock.now())
  }

  const guard: MiddlewareHandler<HttpEnv> = async (context, next) => {
    const endpoint = endpointOf(context)
    // What is no link gets its pages' one answer, however it is written.
    const isReadable = endpoint?.needs === 'link' || isPlainTarget(context.env.incoming.url ?? '')
    if (endpoint === undefined || !isReadable) return context.notFound()
    const needs: Needs =
      endpoint.name === 'GET /metrics' ? (config?.metrics ?? endpoint.needs) : endpoint.needs
    const { socket, headersDistinct } = context.env.incoming
    const asking: Asking = { peer: socket.remoteAddress, headers: headersDistinct }
    const from = identifier === null ? peerOf(asking) : identifier.fromOf(asking)
    if (needs === 'public') return next()
    if (needs === 'link') {
      context.set('actor', { kind: 'link', name: '', role: null, from })
      return next()
    }
    const decision =
      identifier === null ? decideLocally(context, asking) : decide(context, { asking, identifier, needs })
    const isImpostor = identifier?.isImpostor(asking) ?? false
    if (decision.kind === 'allowed') {
      if (isImpostor) events?.onRefused({ reason: 'not_proxy', endpoint, from, actor: null })
      context.set('actor', decision.actor)
      return next()
    }
    const { status, message, actor } = decision
    const reason = isImpostor && decision.reason === 'no_identity' ? 'not_proxy' : decision.reason
    events?.onRefused({ reason, endpoint, from, actor })
    if (actor !== null) events?.onDenied(actor, endpoint, reason)
    if (status === 401) {
      const isInvalid = decision.reason === 'unknown_token' || decision.reason === 'expired_token'
      context.header('WWW-Authenticate', isInvalid ? 'Bearer error="invalid_token"' : 'Bearer')
    }
    const page = await options.refusalPage?.(context, { status, reason: decision.reason, message })
    return page ?? answerError(context, status, message)
  }

  function decideLocally(context: Context<HttpEnv>, asking: Asking): Decision {
    if (!isLoopbackAddress(asking.peer)) {
      return forbidden(
        'not_local',
        'the API answers only to the machine that it runs on, unless http.access says who else may use it',
      )
    }
    if (!isLoopbackName(hostnameOf(hostOf(context)))) {
      return forbidden('wrong_host', 'the API answers only under the name localhost, 127.0.0.1 or [::1]')
    }
    if (!isFromOwnPage(context)) return forbidden('other_site', otherSite)
    return { kind: 'allowed', actor: { kind: 'local', name: '', role: 'admin', from: peerOf(asking) } }
  }

  function decide(
    context: Context<HttpEnv>,
    request: {
      readonly asking: Asking
      readonly identifier: Identifier
      readonly needs: Exclude<Needs, 'public' | 'link'>
    },
  ): Decision {
    const identity = request.identifier.identify(request.asking)
    if (identity.kind === 'unknown') return { ...identity, kind: 'refused', status: 401, actor: null }
    const { actor } = identity
    if (actor.kind === 'person') {
      if (!isOwnHost(context)) {
        return forbidden('wrong_host', 'the API answers people only under the name in http.public_url', actor)
      }
      if (!isFromOwnPage(context)) return forbidden('other_site', otherSite, actor)
    }
    if (mayDo(actor, request.needs)) return { kind: 'allowed', actor }
    const who = JSON.stringify(actor.name)
    return actor.role === null
      ? forbidden('no_role', `${who} has no role here: this needs the role ${request.needs}`, actor)
      : forbidden(
          'role',
          `this needs the role ${request.needs}, and ${who} has the role ${actor.role}`,
          actor,
        )
  }

  /** Whether the name that the browser asked for is one of ours. */
  function isOwnHost(context: Context<HttpEnv>): boolean {
    const { localAddress, remoteAddress } = context.env.incoming.socket
    const name = withoutBrackets(hostnameOf(hostOf(context))).toLowerCase()
    // No page can have an address for its name, so the one that was asked is ours.
    if (localAddress !== undefined && name === plainAddress(localAddress)) return true
    return ownNames.includes(name) || (isLoopbackAddress(remoteAddress) && isLoopbackName(name))
  }

  /**
   * Browsers say whether a page may ask (Sec-Fetch-Site), and no page can change what they say; those
   * that don't, or that asked a proxy without TLS, still name the page. Tools send neither.
   */
  function isFromOwnPage(context: Context<HttpEnv>): boolean {
    if (context.req.method === 'GET' || context.req.method === 'HEAD') return true
    const site = context.req.header('Sec-Fetch-Site')
    if (site !== undefined) return site === 'same-origin' || site === 'none'
    const origin = context.req.header('Origin')
    if (origin === undefined) return true
    if (!URL.canParse(origin)) return false
    const { host: ofPage, origin: normal } = new URL(origin)
    return ofPage === hostOf(context).toLowerCase() || normal === url?.origin
  }

  return { update, guard }
}

function peerOf({ peer }: Asking): string | null {
  return peer === undefined ? null : plainAddress(peer)
}

const otherSite = 'pages of other sites may change nothing here'

function forbidden(reason: RefusalReason, message: string, actor: Actor | null = null): Decision {
  return { kind: 'refused', status: 403, reason, message, actor }
}

/**
 * What the router is about to run, so that there is no second opinion on what a path means. Of several,
 * all have a row, and the first one answers.
 */
function endpointOf(context: Context<HttpEnv>): Endpoint | undefined {
  const method = context.req.method === 'HEAD' ? 'GET' : context.req.method
  const matched = matchedRoutes(context)
  const found = matched
    .filter((route) => route.method !== 'ALL')
    .map(({ path }) => findEndpoint(method, path))
  if (found.length === 0)
    return matched.map(({ path }) => findEndpoint('ALL', path)).find((row) => row !== undefined)
  return found.every((endpoint) => endpoint !== undefined) ? found[0] : undefined
}

/**
 * False for paths that another server may read as another path: what stands before us and decides by path
 * must not be led past. An encoded slash is a letter of an id, unless it would climb.
 */
function isPlainTarget(target: string): boolean {
  const [path = ''] = target.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1)
  return !/\/\/|\\|%5c|%00|(?:\/|%2f)(?:\.|%2e){1,2}(?:\/|%2f|$)/i.test(path)
}

function hostOf(context: Context<HttpEnv>): string {
  const lines = context.env.incoming.headersDistinct['host'] ?? []
  return lines.length === 1 ? (lines[0] ?? '') : ''
}

/** The name under which something is done: a person's own, whatever the request says. */
export function authorOf({ kind, name }: Actor, said: string): string {
  return kind === 'person' ? name : said
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
