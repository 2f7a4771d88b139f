// One POST of JSON, and what its answer means: shared by every receiver that speaks HTTP.
//
//   2xx                         taken
//   408, 425, 5xx, network      worth another attempt, as is a timeout
//   429                         rate limited, for as long as Retry-After says
//   307, 308                    followed where the configuration says so, else as below
//   anything else               permanent
//
// URLs, credentials and bodies are secrets here: a reason holds a status or the code of an error, and
// nothing that a peer wrote. Answers are read up to a cap, and only where somebody wants to know.

import { Agent, request } from 'undici'
import type { Clock } from '../../clock.ts'
import type { HttpClientConfig } from '../../config.ts'
import type { SendOutcome } from '../notification.ts'

export interface HttpAnswer {
  readonly kind: 'answer'
  readonly status: number
  /** Its beginning, or '' where a success is not read. May quote the request: not for reasons as it is. */
  readonly text: string
  /** How long to wait before the next attempt (ms); null: it doesn't say. */
  readonly retryAfterMs: number | null
}

/** There is no answer, or none that may be taken for one. */
export type HttpFailure = Extract<SendOutcome, { kind: 'retry' | 'permanent' }>

export interface HttpPoster {
  /** Never rejects. `url`: where it is sent to; credentials in it become basic authorization. */
  post(url: string, body: unknown, signal: AbortSignal): Promise<HttpAnswer | HttpFailure>
  /** Breaks off what is under way. */
  close(): Promise<void>
}

export interface HttpPosterOptions {
  readonly http: HttpClientConfig
  readonly clock: Clock
  /** For one post with its redirects, from the connection to the last byte (ms of real time). */
  readonly timeoutMs: number
  /** The body holds a credential: it goes to the configured host and to no other. */
  readonly secretBody?: boolean
  /** The status alone doesn't tell whether it was taken: the text of a success is read as well. */
  readonly readsSuccess?: boolean
  /** Characters of an answer that are read at most. Default 10,000. */
  readonly longestText?: number
}

const mostRedirects = 3
// A longer Retry-After is not believed: an hour without alerts is an outage of its own.
const longestRetryAfterMs = 3_600_000

export function createHttpPoster({
  http,
  clock,
  timeoutMs,
  secretBody = false,
  readsSuccess = false,
  longestText = 10_000,
}: HttpPosterOptions): HttpPoster {
  const agent = new Agent({
    connect: {
      timeout: timeoutMs,
      ...(http.ca === null ? {} : { ca: http.ca }),
      ...(http.serverName === null ? {} : { servername: http.serverName }),
    },
    // The signal is what ends a request: these would start anew with every byte.
    headersTimeout: 0,
    bodyTimeout: 0,
  })

  async function post(url: string, body: unknown, signal: AbortSignal): Promise<HttpAnswer | HttpFailure> {
    if (signal.aborted) return { kind: 'retry', reason: 'aborted' }
    const start = URL.canParse(url) ? new URL(url) : null
    if (start === null || !/^https?:$/.test(start.protocol)) {
      return { kind: 'permanent', reason: 'the configured URL is not one of http or https' }
    }
    const json = JSON.stringify(body)
    const authorization = authorizationOf(http, start)
    const timeout = AbortSignal.timeout(timeoutMs)
    const limit = AbortSignal.any([signal, timeout])
    let target = start
    try {
      for (let redirects = 0; ; redirects += 1) {
        const credentials = target.origin === start.origin ? authorization : null
        const { location, ...answer } = await exchange(target, { json, credentials, signal: limit })
        if (!http.followRedirects || (answer.status !== 307 && answer.status !== 308)) return answer
        const next = redirected(target, location)
        if (next === null || redirects === mostRedirects) return answer
        // Another host is not the one that the body's credential, or the certificate's name, was set for.
        const boundToHost = secretBody || http.serverName !== null
        if (boundToHost && next.origin !== start.origin) return answer
        target = next
      }
    } catch (error) {
      if (signal.aborted) return { kind: 'retry', reason: 'aborted' }
      if (timeout.aborted) return { kind: 'retry', reason: 'timeout' }
      return { kind: 'retry', reason: networkReason(error) }
    }
  }

  async function exchange(
    { origin, pathname, search }: URL,
    {
      json,
      credentials,
      signal,
    }: { readonly json: string; readonly credentials: string | null; readonly signal: AbortSignal },
  ): Promise<HttpAnswer & { readonly location: string }> {
    const response = await request(`${origin}${pathname}${search}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'user-agent': 'Fleetwarden',
        ...(credentials === null ? {} : { authorization: credentials }),
      },
      body: json,
      dispatcher: agent,
      signal,
    })
    const { statusCode: status, headers, body } = response
    const isSuccess = status >= 200 && status <= 299
    return {
      kind: 'answer',
      status,
      text: await beginning(body, { unread: isSuccess && !readsSuccess, needed: isSuccess, longestText }),
      retryAfterMs: retryAfterMs(
        { retryAfter: one(headers['retry-after']), date: one(headers.date) },
        clock.now(),
      ),
      location: one(headers.location),
    }
  }

  return {
    post,
    close: () => agent.destroy(),
  }
}

/** What the status says; `word`: the peer's own, for the reason. */
export function outcomeOf(answer: HttpAnswer, word: string | null = null): SendOutcome {
  return answer.status >= 200 && answer.status <= 299 ? { kind: 'ok' } : refusalOf(answer, word)
}

/** As outcomeOf, for an answer that is no success. */
export function refusalOf(
  { status, retryAfterMs }: HttpAnswer,
  word: string | null = null,
): Exclude<SendOutcome, { kind: 'ok' }> {
  if (status === 429) return { kind: 'rate_limited', retryAfterMs }
  const reason = `HTTP ${status}${word === null ? '' : ` ${word}`}`
  // A timeout on the way, and TLS 0-RTT: nobody's last word.
  if (status >= 500 || status === 408 || status === 425) return { kind: 'retry', reason }
  if (status < 300 || status > 399) return { kind: 'permanent', reason }
  // 301, 302 and 303 make a GET of a POST in every common client: the alert would be lost on the way.
  return { kind: 'permanent', reason: `${reason}, a redirect that is not followed: configure its target` }
}

/**
 * How long to wait (ms) by a Retry-After in seconds or as a date (RFC 9110, 10.2.3), at most an hour;
 * null: it doesn't say. `date`: the answer's own Date, or ''.
 */
export function retryAfterMs(
  { retryAfter, date }: { readonly retryAfter: string; readonly date: string },
  now: number,
): number | null {
  const text = retryAfter.trim()
  const sentAt = Date.parse(date)
  const ms = /^\d+(\.\d+)?$/.test(text)
    ? Number(text) * 1_000
    : // Their clock may differ from ours, but not from itself.
      Date.parse(text) - (Number.isNaN(sentAt) ? now : sentAt)
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), longestRetryAfterMs)
}

/** The code of a failed connection: the messages of these errors hold addresses and URLs. */
export function networkReason(error: unknown): string {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
    if (/^[A-Z][A-Z0-9_]+$/.test(code)) return `network: ${code}`
  }
  return 'network'
}

function authorizationOf({ authorization }: HttpClientConfig, { username, password }: URL): string | null {
  const basic = (user: string, word: string) =>
    `Basic ${Buffer.from(`${user}:${word}`, 'utf8').toString('base64')}`
  if (authorization === null) {
    return username === '' && password === '' ? null : basic(decoded(username), decoded(password))
  }
  switch (authorization.kind) {
    case 'basic':
      return basic(authorization.username, authorization.password.reveal())
    case 'header':
      return `${authorization.type} ${authorization.credentials.reveal().trim()}`
    default:
      return authorization satisfies never
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Null where it leads nowhere, away from HTTP, or out of TLS. */
function redirected(from: URL, location: string): URL | null {
  if (location === '' || !URL.canParse(location, from.href)) return null
  const to = new URL(location, from)
  const safe = to.protocol === 'https:' || (to.protocol === 'http:' && from.protocol === 'http:')
  return safe ? to : null
}

/**
 * `unread`: it says nothing that the status didn't. `needed`: without it nothing is known, and a
 * connection that breaks is an error; else it is a courtesy that must not cost the answer.
 */
async function beginning(
  body: AsyncIterable<unknown> & { destroy(): unknown; on(event: 'error', listener: () => void): unknown },
  {
    unread,
    needed,
    longestText,
  }: { readonly unread: boolean; readonly needed: boolean; readonly longestText: number },
): Promise<string> {
  // A body that is destroyed says so as an error.
  body.on('error', () => {})
  if (unread) {
    body.destroy()
    return ''
  }
  let text = ''
  const decoder = new TextDecoder()
  try {
    for await (const chunk of body) {
      if (chunk instanceof Uint8Array) text += decoder.decode(chunk, { stream: true })
      if (text.length > longestText) break
    }
  } catch (error) {
    if (needed) throw error
  }
  return text.slice(0, longestText)
}

function one(header: string | readonly string[] | undefined): string {
  return (typeof header === 'string' ? header : header?.[0]) ?? ''
}
