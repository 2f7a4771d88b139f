// A Slack to run against: the demo and the tests post their messages here. It takes what an incoming
// webhook takes, and of the Web API chat.postMessage and chat.update; it enforces Slack's limits, and
// answers as Slack does (its block kit reference, its table of webhook errors, its pages on both
// methods and on rate limits). It can be told to fail in the ways in which Slack fails.
//
// Of the kinds of blocks it knows those that alerts consist of; it refuses the others. It is not
// for the open network: the webhook's URL and the token are no secrets.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../clock.ts'
import { createInbox, type Inbox } from './inbox.ts'
import { asObject, decodeMessage, longestText, type SlackContent } from './slack-content.ts'

export type { SlackBlock, SlackText } from './slack-content.ts'

export interface SlackMessage extends SlackContent {
  readonly id: string
  readonly channel: string
  /** Ms since 1970, by the inbox's clock. */
  readonly receivedAt: number
  /** Its identity within the channel. Like the next two only of messages that came through the Web API. */
  readonly ts?: string
  /** The message in whose thread it is; absent: it is in the channel itself. */
  readonly threadTs?: string
  /** When it was last edited (ms since 1970, by the inbox's clock); absent: never. */
  readonly editedAt?: number
}

/** Takes the place of a normal answer. `lost`: the message arrives, the answer doesn't. */
export type SlackFault =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly body: string
      readonly headers?: Readonly<Record<string, string>>
    }
  | { readonly kind: 'hang' | 'drop' | 'lost' }

export const slackFaults = {
  rateLimited: {
    kind: 'answer',
    status: 429,
    body: '{"retry_after":30,"ok":false,"error":"rate_limited"}',
    headers: { 'retry-after': '30' },
  },
  serverError: { kind: 'answer', status: 500, body: 'rollup_error' },
  noService: { kind: 'answer', status: 404, body: 'no_service' },
  archived: { kind: 'answer', status: 410, body: 'channel_is_archived' },
  hang: { kind: 'hang' },
  /** Of the Web API, which says most errors with status 200. */
  tokenRevoked: { kind: 'answer', status: 200, body: '{"ok":false,"error":"token_revoked"}' },
  internalError: { kind: 'answer', status: 200, body: '{"ok":false,"error":"internal_error"}' },
} as const satisfies Record<string, SlackFault>

export interface SlackInbox {
  readonly messages: Inbox<SlackMessage>
  /** The incoming webhook of a channel: `#on-call` or `on-call`. */
  webhookUrl(channel: string): string
  /** Base of the Web API, with a slash at the end, and the token that it takes. */
  readonly apiUrl: string
  readonly apiToken: string
  /** Forgets a message, as if somebody had deleted it. */
  remove(ts: string): void
  /** Requests so far, refused ones included. */
  requests(): number
  /** Fails the next `times` requests, or all of them until heal(). */
  fail(fault: SlackFault, times?: number): void
  heal(): void
  close(): Promise<void>
}

export interface SlackInboxOptions {
  readonly clock: Clock
  readonly host?: string
  /** 0, the default: any free one. */
  readonly port?: number
  /** Messages that a channel takes at once before it is held to one a second. */
  readonly burst?: number
  readonly keep?: number
  /** Names without `#`; a bot can post to no other. Default: to all. */
  readonly channels?: readonly string[]
}

// Bytes of a request.
const longestBody = 1_000_000

const token = 'inbox'
const apiToken = 'xoxb-inbox'

export async function startSlackInbox({
  clock,
  host = '127.0.0.1',
  port = 0,
  burst = 4,
  keep = 500,
  channels,
}: SlackInboxOptions): Promise<SlackInbox> {
  const messages = createInbox<SlackMessage>(keep)
  const removed = new Set<string>()
  /** Per channel: how many messages it still takes at once, and when that was counted. */
  const allowances = new Map<string, { tokens: number; at: number }>()
  let fault: { readonly fault: SlackFault; left: number } | null = null
  let requests = 0

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reply = (status: number, body: string, headers: Readonly<Record<string, string>> = {}) => {
      response.writeHead(status, { 'content-type': 'text/html', ...headers })
      response.end(body)
    }
    const method = apiMethodOf(request)
    if (method !== null) return handleApi(method, request, response)
    const channel = channelOf(request)
    if (request.method !== 'POST' || channel === null) return reply(404, 'no_service')
    requests += 1
    const body = await readBody(request)
    const failure = nextFault()
    if (failure?.kind === 'hang') return
    if (failure?.kind === 'drop') return void response.destroy()
    if (failure?.kind === 'answer') return reply(failure.status, failure.body, failure.headers)
    const waitMs = takeAllowance(channel)
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1_000)
      const answer = JSON.stringify({ retry_after: seconds, ok: false, error: 'rate_limited' })
      return reply(429, answer, { 'retry-after': String(seconds), 'content-type': 'application/json' })
    }
    const payload = body === null ? null : payloadOf(request, body)
    const content = payload === null ? 'invalid_payload' : decodeMessage(payload)
    if (typeof content === 'string') return reply(400, content)
    messages.add({
      ...content,
      id: String(messages.total() + 1),
      channel,
      receivedAt: clock.now(),
    })
    if (failure?.kind === 'lost') return void response.destroy()
    reply(200, 'ok')
  }

  async function handleApi(
    method: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const reply = (answer: object, status = 200, headers: Readonly<Record<string, string>> = {}) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
      response.end(JSON.stringify(answer))
    }
    requests += 1
    const body = await readBody(request)
    const failure = nextFault()
    if (failure?.kind === 'hang') return
    if (failure?.kind === 'drop') return void response.destroy()
    if (failure?.kind === 'answer') {
      response.writeHead(failure.status, { 'content-type': 'application/json', ...failure.headers })
      return void response.end(failure.body)
    }
    const args = body === null ? null : argumentsOf(request, body)
    const waitMs = method === 'chat.postMessage' ? takeAllowance(`#${nameOf(args)}`) : 0
    if (waitMs > 0) {
      const headers = { 'retry-after': String(Math.ceil(waitMs / 1_000)) }
      return reply({ ok: false, error: 'ratelimited' }, 429, headers)
    }
    const result = args === null ? 'invalid_json' : call(method, args, bearerOf(request))
    if (failure?.kind === 'lost') return void response.destroy()
    reply(typeof result === 'string' ? { ok: false, error: result } : { ok: true, ...result })
  }

  /** What the method gives back, or Slack's word for what is wrong. */
  function call(method: string, args: Arguments, bearer: string): object | string {
    if (method !== 'chat.postMessage' && method !== 'chat.update') return 'unknown_method'
    if (bearer === '') return 'not_authed'
    if (bearer !== apiToken) return 'invalid_auth'
    const name = nameOf(args)
    if (name === '' || (channels !== undefined && !channels.includes(name))) return 'channel_not_found'
    // An edit wants the id: Slack finds no channel by its name there.
    if (method === 'chat.update' && args['channel'] !== idOf(name)) return 'channel_not_found'
    const content = decodeMessage(args)
    if (typeof content === 'string') return content === 'invalid_payload' ? 'invalid_arguments' : content
    if (typeof args['text'] === 'string' && args['text'].length > longestText) return 'msg_too_long'
    const channel = `#${name}`
    if (method === 'chat.update') {
      const message = find(channel, args['ts'])
      if (message === undefined) return 'message_not_found'
      // The message stands where it stood: whoever holds it sees the edit.
      Object.assign(message, content, { editedAt: clock.now() })
      return { channel: idOf(name), ts: message.ts, text: content.text }
    }
    const parent = args['thread_ts'] === undefined ? null : find(channel, args['thread_ts'])
    if (parent === undefined) return 'thread_not_found'
    const id = String(messages.total() + 1)
    const at = clock.now()
    const ts = `${Math.floor(at / 1_000)}.${id.padStart(6, '0')}`
    const thread = parent?.ts === undefined ? {} : { threadTs: parent.threadTs ?? parent.ts }
    messages.add({ ...content, id, channel, receivedAt: at, ts, ...thread })
    return { channel: idOf(name), ts, message: { type: 'message', ts, text: content.text, ...thread } }
  }

  function find(channel: string, ts: unknown): SlackMessage | undefined {
    return messages
      .items()
      .find(
        (message) =>
          message.channel === channel &&
          message.ts !== undefined &&
          message.ts === ts &&
          !removed.has(message.ts),
      )
  }

  function nextFault(): SlackFault | null {
    if (fault === null || fault.left <= 0) return null
    fault.left -= 1
    return fault.fault
  }

  /** 0 and one less to give, or how long until there is one (ms). */
  function takeAllowance(channel: string): number {
    const now = clock.monotonic()
    const before = allowances.get(channel) ?? { tokens: burst, at: now }
    const tokens = Math.min(burst, before.tokens + (now - before.at) / 1_000)
    allowances.set(channel, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now })
    return tokens >= 1 ? 0 : (1 - tokens) * 1_000
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const listening: AddressInfo | string | null = server.address()
  const bound = typeof listening === 'object' && listening !== null ? listening.port : port

  const origin = `http://${host.includes(':') ? `[${host}]` : host}:${bound}`

  return {
    messages,
    webhookUrl(channel) {
      return `${origin}/services/T0FLEET/${encodeURIComponent(channel.replace(/^#/, ''))}/${token}`
    },
    apiUrl: `${origin}/api/`,
    apiToken,
    remove(ts) {
      removed.add(ts)
    },
    requests: () => requests,
    fail(next, times = Number.POSITIVE_INFINITY) {
      fault = { fault: next, left: times }
    },
    heal() {
      fault = null
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

function channelOf({ url = '' }: IncomingMessage): string | null {
  const [, name] = new RegExp(`^/services/T0FLEET/([^/]+)/${token}$`).exec(url) ?? []
  try {
    return name === undefined ? null : `#${decodeURIComponent(name)}`
  } catch {
    return null
  }
}

type Arguments = Readonly<Record<string, unknown>>

function apiMethodOf({ method, url = '' }: IncomingMessage): string | null {
  return method === 'POST' ? (/^\/api\/([\w.]+)$/.exec(url)?.[1] ?? null) : null
}

function bearerOf({ headers }: IncomingMessage): string {
  return /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? ''
}

/** JSON, or a form whose structured fields are JSON. */
function argumentsOf({ headers }: IncomingMessage, body: string): Arguments | null {
  try {
    if (!headers['content-type']?.startsWith('application/x-www-form-urlencoded')) {
      return asObject(JSON.parse(body))
    }
    const fields = [...new URLSearchParams(body)].map(([name, value]) => {
      const isJson = name === 'blocks' || name === 'attachments'
      return [name, isJson ? (JSON.parse(value) as unknown) : value] as const
    })
    return Object.fromEntries(fields)
  } catch {
    return null
  }
}

/** The channel without `#`, given by name or id; '' where there is none. */
function nameOf(args: Arguments | null): string {
  const channel = args?.['channel']
  if (typeof channel !== 'string') return ''
  const inId = /^C0[0-9A-F]+$/.test(channel) ? Buffer.from(channel.slice(2), 'hex').toString('utf8') : null
  return inId ?? channel.replace(/^#/, '')
}

/** Any channel has an id, without a list of them. */
function idOf(name: string): string {
  return `C0${Buffer.from(name, 'utf8').toString('hex').toUpperCase()}`
}

/** Null when it is larger than any message may be. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    // The rest is read and forgotten, so that the answer gets through.
    if (size <= longestBody) chunks.push(bytes)
  }
  return size > longestBody ? null : Buffer.concat(chunks).toString('utf8')
}

/** JSON, or a form with the JSON in its field `payload`: webhooks take both. */
function payloadOf({ headers }: IncomingMessage, body: string): Readonly<Record<string, unknown>> | null {
  const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false
  try {
    return asObject(JSON.parse(isForm ? (new URLSearchParams(body).get('payload') ?? '') : body))
  } catch {
    return null
  }
}
