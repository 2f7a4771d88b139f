// Slack, through an incoming webhook: posts a message and says how the attempt ended.
//
// A webhook's answer holds no message id, so nothing is edited or threaded (slack-bot.ts does that); a
// request that timed out may have arrived all the same, so a retry may repeat it. The webhook's URL
// is a secret: it is in no reason, log or error. Sources of answers: Slack's table of webhook errors
// and its page on rate limits.

import {
  type FetchFunction,
  IncomingWebhook,
  IncomingWebhookHTTPError,
  type IncomingWebhookSendArguments,
} from '@slack/webhook'
import type { Clock } from '../../clock.ts'
import type { SlackWebhookConfig } from '../../config.ts'
import { createMessage, findLinks } from '../message.ts'
import type { Integration, Notification, SendContext, SendOutcome } from '../notification.ts'
import { createSlackTemplates, type TemplateFailure } from '../template-parts.ts'
import { retryAfterMs } from './http-post.ts'
import { slackPayload } from './slack-layout.ts'

export interface SlackDeps {
  readonly clock: Clock
  /** The page that lists a group's members, null: there is none. */
  readonly moreUrl: (notification: Notification) => string | null
  /** Slack refused our blocks, and the message went out as plain text: a bug, to be counted and logged. */
  readonly onLayoutRefused: (refused: {
    readonly receiver: string
    readonly index: number
    /** Slack's word for it, such as `invalid_blocks`. */
    readonly answer: string
  }) => void
  /** A template of the operator's failed, and the built-in part went out: to be counted and logged. */
  readonly onTemplateFailure: (failure: TemplateFailure) => void
  /** For one request (ms of real time). Default 10 s. */
  readonly requestTimeoutMs?: number
}

// Slack takes one message a second per webhook, with short bursts.
const spacingMs = 1_000
const linkTimeoutMs = 8_000

export function createSlackIntegration(
  config: SlackWebhookConfig,
  { receiver, index }: { readonly receiver: string; readonly index: number },
  { clock, moreUrl, onLayoutRefused, onTemplateFailure, requestTimeoutMs = 10_000 }: SlackDeps,
): Integration {
  const closing = new AbortController()
  const fillTemplates = createSlackTemplates(config.template, { receiver, index, onTemplateFailure })

  async function send(notification: Notification, context: SendContext): Promise<SendOutcome> {
    const signal = AbortSignal.any([context.signal, closing.signal])
    try {
      const links = await findLinks(notification, context.linkFor, { signal, timeoutMs: linkTimeoutMs })
      const message = createMessage(notification, {
        links,
        showPersonalData: config.showPersonalData,
        moreUrl: moreUrl(notification),
      })
      const payload = slackPayload(message, fillTemplates(message, notification))
      const outcome = await post(payload, signal)
      if (outcome.kind !== 'refused') return outcome
      onLayoutRefused({ receiver, index, answer: outcome.answer })
      await clock.sleep(spacingMs, signal)
      // What was wrong with the blocks must not keep people from reading the alert.
      const { blocks: _, ...plain } = payload
      const second = await post(plain, signal)
      return second.kind === 'refused' ? { kind: 'permanent', reason: second.answer } : second
    } catch (error) {
      return { kind: 'retry', reason: signal.aborted ? 'aborted' : unexpected(error) }
    }
  }

  async function post(payload: IncomingWebhookSendArguments, signal: AbortSignal): Promise<PostOutcome> {
    let response: FetchResponse | undefined
    const fetchOnce: FetchFunction = async (url, init) => {
      const timeout = init?.signal === undefined ? [] : [init.signal]
      response = shortened(await fetch(url, { ...init, signal: AbortSignal.any([signal, ...timeout]) }))
      return response
    }
    const webhook = new IncomingWebhook(config.apiUrl.reveal(), {
      fetch: fetchOnce,
      timeout: requestTimeoutMs,
    })
    try {
      const { text } = await webhook.send(payload)
      return accepted(text)
    } catch (error) {
      if (!(error instanceof IncomingWebhookHTTPError)) return unreachable(error, signal)
      return refusal(error.statusCode, error.body, response)
    }
  }

  function refusal(status: number, body: string, response: FetchResponse | undefined): PostOutcome {
    const code = errorCode(body)
    const reason = `HTTP ${status}${code === null ? '' : ` ${code}`}`
    if (status === 429) {
      return { kind: 'rate_limited', retryAfterMs: waitMs(response, body, clock.now()) }
    }
    if (status === 400 || status === 413) return { kind: 'refused', answer: reason }
    // A timeout on the way, and TLS 0-RTT: nobody's last word.
    if (status >= 500 || status === 408 || status === 425) return { kind: 'retry', reason }
    return { kind: 'permanent', reason }
  }

  return {
    receiver,
    kind: 'slack',
    index,
    sendResolved: config.sendResolved,
    minimumSpacingMs: spacingMs,
    send,
    async close() {
      closing.abort()
    },
  }
}

type FetchResponse = Awaited<ReturnType<FetchFunction>>

/** A SendOutcome, or Slack's refusal of what the message consists of. */
type PostOutcome = SendOutcome | { readonly kind: 'refused'; readonly answer: string }

/** Slack says `ok`; servers that imitate it say so in JSON. Anything else may come from a proxy. */
function accepted(body: string): SendOutcome {
  if (body.trim() === 'ok') return { kind: 'ok' }
  const answer = parseObject(body)
  if (answer?.['ok'] === true || answer?.['success'] === true) return { kind: 'ok' }
  const code = errorCode(body)
  return {
    kind: 'retry',
    reason: `the answer is not Slack’s "ok"${code === null ? '' : ` but "${code}"`}: delivery is not known`,
  }
}

function unreachable(error: unknown, signal: AbortSignal): SendOutcome {
  if (signal.aborted) return { kind: 'retry', reason: 'aborted' }
  // The messages of these errors hold the URL; their codes don't.
  for (let cause: unknown = error; cause instanceof Error; cause = originalOf(cause)) {
    if (cause.name === 'TimeoutError') return { kind: 'retry', reason: 'timeout' }
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
    if (code === 'ERR_INVALID_URL') return { kind: 'permanent', reason: 'api_url is not a URL' }
    if (/^[A-Z][A-Z0-9_]+$/.test(code)) return { kind: 'retry', reason: `network: ${code}` }
  }
  return { kind: 'retry', reason: 'network' }
}

function originalOf(error: Error): unknown {
  return 'original' in error ? error.original : error.cause
}

function unexpected(error: unknown): string {
  return `unexpected ${error instanceof Error ? error.name : 'error'}`
}

/** How long to wait (ms) by the headers, else by the body; null: it doesn't say. */
function waitMs(response: FetchResponse | undefined, body: string, now: number): number | null {
  const header = (name: string) => response?.headers.get(name) ?? ''
  const inBody = parseObject(body)?.['retry_after']
  return (
    retryAfterMs({ retryAfter: header('retry-after'), date: header('date') }, now) ??
    (typeof inBody === 'number' ? retryAfterMs({ retryAfter: String(inBody), date: '' }, now) : null)
  )
}

/** Slack's own word for an error. Other text is not passed on: it could quote the request. */
export function errorCode(body: string): string | null {
  const inJson = parseObject(body)?.['error']
  const code = typeof inJson === 'string' ? inJson : body.trim()
  return /^[a-z_]{2,60}$/.test(code) ? code : null
}

/** Null for what is no JSON object. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}

/** Reads no more of an answer than its start: who answers may not be Slack. */
function shortened(response: Response): FetchResponse {
  const text = async () => {
    let start = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      start += decoder.decode(chunk, { stream: true })
      if (start.length > 10_000) break
    }
    return start
  }
  return {
    ok: response.ok,
    status: response.status,
    statusText: response.statusText,
    url: response.url,
    headers: response.headers,
    text,
    json: async () => JSON.parse(await text()) as unknown,
    arrayBuffer: async () => new TextEncoder().encode(await text()).buffer,
  }
}
