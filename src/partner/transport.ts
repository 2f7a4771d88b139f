// Calls to the Partner API, made so that they come through if that is possible at all, and so that
// a partner in trouble is left alone. A *call* is what a caller wants; it takes one *attempt* or
// more. Each attempt passes, in this order: the token, a free socket, the circuit breaker, the pacer.
//
//   network error, timeout, 5xx, 408   tried again twice, after a random wait
//   429                                tried again after Retry-After, and all calls become slower
//   401                                tried again once, with a new token
//   anything else                      final
//
// It knows no field and no path of the API but the token's, and says nothing about devices: every
// failure is a PartnerError whose kind is the reason why something is unread.

import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { Secret } from '../secret.ts'
import { type Breaker, createBreaker, type Pass } from './breaker.ts'
import { createExchange, isSuccess, type RawAnswer, type RawRequest, type RawStream } from './exchange.ts'
import { createPacer, type Pacer, retryAfterMs } from './pacer.ts'
import { PartnerError, statusError } from './partner-error.ts'
import { createSharedPace, inTurn, type ReservePace } from './shared-pace.ts'
import { createSockets } from './sockets.ts'
import { createTokenSource, fixedToken, type IssuedToken } from './token.ts'

export type Credentials =
  | { readonly clientId: string; readonly clientSecret: Secret }
  | { readonly token: Secret }

export interface TransportOptions {
  /** With the path of the API, such as https://app.podero.com/api/partners/v2.0. */
  readonly baseUrl: string
  readonly clock: Clock
  readonly credentials: Credentials
  /** For one attempt, in real time. */
  readonly timeoutMs: number
  /** Sockets, and so attempts at once. */
  readonly concurrency: number
  readonly requestsPerSecond: number
  /** Given, requestsPerSecond is the rate of all processes that reserve at the same place. */
  readonly reservePace?: ReservePace | undefined
  readonly maximumAnswerBytes: number
  /** For answers that are read as a stream: the user list. */
  readonly maximumStreamBytes?: number
  readonly onRequest?: (event: RequestEvent) => void
}

/** One attempt. `code`: the HTTP status, or the kind of failure when there was none. */
export interface RequestEvent {
  readonly endpoint: string
  readonly code: string
  readonly durationMs: number
  readonly method: 'GET' | 'POST' | 'PUT'
  /** As it was sent, with ids and secrets: see call-log.ts, which keeps neither. */
  readonly path: string
  /** From 1 on, within one call. */
  readonly attempt: number
  /** What the partner calls it (`x-request-id`), or else what we did; null: neither. */
  readonly requestId: string | null
}

export interface Call {
  /** A label for metrics and messages, without ids. */
  readonly endpoint: string
  /** Below the base URL, starting with a slash, with its query; ids in it are encoded. */
  readonly path: string
  readonly method?: 'GET' | 'POST' | 'PUT'
  /** Sent as JSON. */
  readonly body?: unknown
  /** Whose data it is about, for the breaker: the user's id. */
  readonly subject?: string
}

export interface Answer {
  readonly text: string
  /** When it was complete; for a stream, when it began (ms since 1970). */
  readonly receivedAt: number
}

export interface StreamedAnswer {
  /** Rejects with a PartnerError when the answer breaks off. */
  readonly chunks: AsyncIterable<Buffer>
  readonly receivedAt: number
}

/** Everything rejects with a PartnerError, or with the signal's reason when that aborts. */
export interface Transport {
  /** The text of a 2xx answer. */
  text(call: Call, signal: AbortSignal): Promise<Answer>
  /** A 2xx answer as it arrives. What happens after its beginning is not tried again. */
  stream(call: Call, signal: AbortSignal): Promise<StreamedAnswer>
  /**
   * Calls a URL as it stands, with the bearer token: see resolution links. Only one of the partner's
   * host: any other is refused, and nothing is sent.
   */
  textOf(url: URL, call: Omit<Call, 'path'>, signal: AbortSignal): Promise<Answer>
  /** The rate that is allowed at present: the configured one, or less after 429. */
  requestsPerSecond(): number
  /** True while requests are held back because nearly everything failed. */
  isCircuitOpen(): boolean
  /** Ends whatever is under way. */
  close(): Promise<void>
}

const mostRetries = 2
const mostThrottledRetries = 5
const firstBackoffMs = 500
const longestBackoffMs = 8_000
// How long a call waits for the end of a pause (an open breaker, a long Retry-After) before it is
// given up as unread.
const patienceMs = 60_000
const defaultMaximumStreamBytes = 4 * 1_024 ** 3
const tokenPath = '/oauth2/token/'
const tokenEndpoint = 'token'

interface Attempted extends Omit<Call, 'path'> {
  /** From the root of the host. */
  readonly rootPath: string
  /** Whether sending it twice does no harm. */
  readonly isRepeatable: boolean
}

type Send<A> = (request: RawRequest, signal: AbortSignal) => Promise<A>

interface Attempt<A> {
  readonly call: Attempted
  /** From 1 on. */
  readonly number: number
  /** Sent along with what changes something, the same for each attempt; null: not sent. */
  readonly requestId: string | null
  readonly headers: string[]
  readonly signal: AbortSignal
  readonly send: Send<A>
}

interface Entry {
  readonly entered: ReturnType<Breaker['enter']>
  readonly granted: ReturnType<Pacer['take']> | null
  readonly endpoint: string
  readonly signal: AbortSignal
}

interface AttemptEnd<A> {
  readonly outcome: A | PartnerError
  /** The wait that a Retry-After asks for; null without one. */
  readonly askedMs: number | null
}

export function createTransport(options: TransportOptions): Transport {
  const { clock, credentials } = options
  const base = new URL(options.baseUrl)
  const prefix = base.pathname.replace(/\/+$/, '')
  const lifetime = new AbortController()
  const exchange = createExchange({
    origin: base.origin,
    connections: options.concurrency,
    timeoutMs: options.timeoutMs,
    maximumAnswerBytes: options.maximumAnswerBytes,
    maximumStreamBytes: options.maximumStreamBytes ?? defaultMaximumStreamBytes,
  })
  // Taken first, so that what the breaker and the pacer say is of the moment at which a request is sent.
  const sockets = createSockets({ count: options.concurrency, lifetime: lifetime.signal })
  const shared = { clock, patienceMs, lifetime: lifetime.signal }
  const breaker = createBreaker(shared)
  const { requestsPerSecond, reservePace: reserve } = options
  const ownPacer = createPacer({ ...shared, requestsPerSecond })
  const pacer =
    reserve === undefined
      ? ownPacer
      : inTurn(ownPacer, createSharedPace({ ...shared, requestsPerSecond, reserve }))
  const tokens =
    'token' in credentials
      ? fixedToken(credentials.token)
      : createTokenSource({ clock, fetch: () => fetchToken(credentials) })
  /** What those wait for whose answers came in this turn. */
  let sending: Promise<void> | null = null
  let bearer: { readonly token: Secret; readonly headers: string[] } | null = null

  /** The headers of a request with this token; kept, since a walk sends the same a million times. */
  function bearerHeaders(token: Secret): string[] {
    if (bearer?.token !== token) {
      bearer = { token, headers: [...commonHeaders, 'authorization', `Bearer ${token.reveal().trim()}`] }
    }
    return bearer.headers
  }

  async function fetchToken({
    clientId,
    clientSecret,
  }: {
    clientId: string
    clientSecret: Secret
  }): Promise<IssuedToken> {
    const basic = Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64')
    const call: Attempted = {
      endpoint: tokenEndpoint,
      rootPath: tokenPath,
      method: 'POST',
      body: { grant_type: 'client_credentials' },
      isRepeatable: true,
    }
    const headers = [...commonHeaders, 'authorization', `Basic ${basic}`]
    const answer = await run(call, lifetime.signal, exchange.text, headers)
    return parseToken(answer.text)
  }

  /** Attempts until one succeeds, one is final, or there have been enough. */
  async function run<A extends RawAnswer>(
    call: Attempted,
    signal: AbortSignal,
    send: Send<A>,
    fixedHeaders?: string[],
  ): Promise<A> {
    let retries = 0
    let throttledRetries = 0
    let isRenewed = false
    let number = 0
    const requestId = call.method === undefined || call.method === 'GET' ? null : randomUUID()
    for (;;) {
      if (signal.aborted) throw signal.reason
      let token: Secret | null = null
      if (fixedHeaders === undefined) {
        const current = tokens.current()
        token = current instanceof Secret ? current : await orAborted(current, signal)
      }
      const headers = token === null ? (fixedHeaders ?? commonHeaders) : bearerHeaders(token)
      const { outcome, askedMs } = await attempt({ call, number: ++number, requestId, headers, signal, send })

      if (outcome instanceof PartnerError) {
        const isPassing = outcome.kind === 'network' || outcome.kind === 'timeout'
        const mayRepeat = call.isRepeatable || !outcome.wasSent
        if (!isPassing || !mayRepeat || retries >= mostRetries) throw outcome
        await clock.sleep(backoffMs(retries++), signal)
        continue
      }

      const { status } = outcome
      if (status === 429) {
        const waitMs = Math.max(askedMs ?? 0, backoffMs(throttledRetries))
        if (throttledRetries++ >= mostThrottledRetries || waitMs > patienceMs)
          throw statusError(call.endpoint, status, outcome.text)
        await clock.sleep(waitMs, signal)
        continue
      }
      if (isSuccess(status)) {
        if (token !== null) tokens.accepted(token)
        return outcome
      }
      if (status === 401 && token !== null && !isRenewed && tokens.reject(token)) {
        isRenewed = true
        continue
      }
      const isPassing = status >= 500 || status === 408
      if (!isPassing || !call.isRepeatable || retries >= mostRetries)
        throw statusError(call.endpoint, status, outcome.text)
      await clock.sleep(Math.max(Math.min(askedMs ?? 0, patienceMs), backoffMs(retries++)), signal)
    }
  }

  /** One request when a socket is free for it; a failure of the partner's is a value. */
  async function attempt<A extends RawAnswer>(attempted: Attempt<A>): Promise<AttemptEnd<A>> {
    const taken = sockets.take(attempted.signal)
    if (taken !== true) await taken
    let isAwaited = false
    let end: AttemptEnd<A>
    try {
      end = await attemptOnSocket(attempted)
    } finally {
      // A stream goes on and keeps its socket: then the next call waits for it in the pool.
      isAwaited = sockets.passOn()
    }
    // By then the next request is out: the partner works on it while this answer is looked at.
    if (isAwaited) await nextIsSent()
    return end
  }

  /** One wait for all whose answers came in the same turn of the event loop. */
  function nextIsSent(): Promise<void> {
    sending ??= afterTwoTurns()
    return sending
  }

  /** So long undici watches a socket before it uses it again. */
  async function afterTwoTurns(): Promise<void> {
    await nextTurn()
    sending = null
    await nextTurn()
  }

  async function attemptOnSocket<A extends RawAnswer>({
    call,
    number,
    requestId,
    headers,
    signal,
    send,
  }: Attempt<A>): Promise<AttemptEnd<A>> {
    const { endpoint, body, method = 'GET', rootPath: path } = call
    const named = requestId === null ? headers : [...headers, 'x-request-id', requestId]
    const request: RawRequest = {
      ...{ endpoint, method, path },
      headers: body === undefined ? named : [...named, 'content-type', 'application/json'],
      body: body === undefined ? null : JSON.stringify(body),
    }
    const entered = enter(endpoint, signal)
    const pass = typeof entered === 'string' ? entered : await entered
    const sentAt = clock.monotonic()
    let outcome: A | PartnerError
    try {
      outcome = await send(request, signal)
    } catch (error) {
      if (!(error instanceof PartnerError)) {
        breaker.leave(pass, 'abandoned', '')
        throw error
      }
      outcome = error
    }
    breaker.leave(pass, isFault(outcome) ? 'failure' : 'success', call.subject ?? endpoint)
    options.onRequest?.({
      endpoint,
      code: outcome instanceof PartnerError ? outcome.kind : String(outcome.status),
      durationMs: clock.monotonic() - sentAt,
      method,
      path,
      attempt: number,
      requestId: (outcome instanceof PartnerError ? undefined : outcome.requestId) ?? requestId,
    })
    if (outcome instanceof PartnerError) return { outcome, askedMs: null }
    const askedMs = isSuccess(outcome.status) ? null : retryAfterMs(outcome, clock.now())
    // Here, so that the pause that a 429 asks for holds already for who gets the socket next.
    if (outcome.status === 429) pacer.throttled(sentAt, askedMs)
    else pacer.accepted()
    return { outcome, askedMs }
  }

  /** Passes the breaker and the pacer. A promise only where there is something to wait for: hardly ever. */
  function enter(endpoint: string, signal: AbortSignal): Pass | Promise<Pass> {
    const entered = breaker.enter(signal)
    const granted = entered === 'normal' ? pacer.take(signal) : null
    return granted === true ? 'normal' : enterInTime({ entered, granted, endpoint, signal })
  }

  /** `granted`: what the pacer said; null: it has not been asked yet. */
  async function enterInTime({ entered, granted, endpoint, signal }: Entry): Promise<Pass> {
    const pass = await entered
    if (pass === 'refused') {
      const problem = 'not asked, since nearly everything has failed for a while'
      throw new PartnerError({ kind: 'circuit_open', endpoint, problem, wasSent: false })
    }
    let isGranted = false
    try {
      isGranted = await (granted ?? pacer.take(signal))
    } finally {
      if (!isGranted) breaker.leave(pass, 'abandoned', '')
    }
    if (!isGranted) {
      const problem = 'not asked, since the partner wants a pause (Retry-After)'
      throw new PartnerError({ kind: 'rate_limited', endpoint, problem, wasSent: false })
    }
    return pass
  }

  /** A random wait, so that calls that failed together don't come back together. */
  function backoffMs(retries: number): number {
    const most = Math.min(firstBackoffMs * 2 ** retries, longestBackoffMs)
    return most / 4 + (clock.random() * most * 3) / 4
  }

  function attempted(call: Omit<Call, 'path'>, rootPath: string): Attempted {
    return { ...call, rootPath, isRepeatable: call.method !== 'POST' }
  }

  async function textAt(call: Attempted, signal: AbortSignal): Promise<Answer> {
    const { text } = await run(call, signal, exchange.text)
    return { text, receivedAt: clock.now() }
  }

  return {
    text: (call, signal) => textAt(attempted(call, prefix + call.path), signal),
    async stream(call, signal) {
      const { chunks } = await run<RawStream>(attempted(call, prefix + call.path), signal, exchange.stream)
      return { chunks, receivedAt: clock.now() }
    },
    textOf(url, call, signal) {
      if (url.origin !== base.origin) {
        const problem = 'the URL lies on another host, which must not see the token'
        return Promise.reject(
          new PartnerError({ kind: 'client_error', endpoint: call.endpoint, problem, wasSent: false }),
        )
      }
      return textAt(attempted(call, url.pathname + url.search), signal)
    },
    requestsPerSecond: () => pacer.rate(),
    isCircuitOpen: () => breaker.isOpen(),
    async close() {
      lifetime.abort(new PartnerError({ kind: 'network', endpoint: 'all', problem: 'the client is closed' }))
      await exchange.close()
    },
  }
}

// Proxies that compress whatever is not declined would make every answer unreadable.
const commonHeaders = ['accept', 'application/json', 'accept-encoding', 'identity']

/** Whether the service failed, whatever the request was. */
function isFault(outcome: RawAnswer | PartnerError): boolean {
  if (outcome instanceof PartnerError) return outcome.kind === 'network' || outcome.kind === 'timeout'
  return outcome.status >= 500
}

function parseToken(text: string): IssuedToken {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = null
  }
  const { access_token: token, expires_in: seconds } = (
    typeof value === 'object' && value !== null ? value : {}
  ) as { access_token?: unknown; expires_in?: unknown }
  if (typeof token !== 'string' || token.trim() === '') {
    const problem = 'the answer holds no access_token; check partner.base_url'
    throw new PartnerError({ kind: 'bad_json', endpoint: tokenEndpoint, problem })
  }
  const isUsable = typeof seconds === 'number' && seconds > 0 && Number.isFinite(seconds)
  return { token: new Secret(token), expiresInMs: isUsable ? seconds * 1_000 : null }
}

/** The promise's outcome, or the signal's reason if that comes first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
