// A Slack to run against: the demo and the tests post their messages here. It takes what an incoming
// webhook takes, enforces Slack's limits, and answers as Slack does (its block kit reference, its
// table of webhook errors, its page on rate limits). It can be told to fail in the ways in which Slack fails.
//
// Of the kinds of blocks it knows those that alerts consist of; it refuses the others. It is not
// for the open network: it asks for no authentication beyond the URL.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../clock.ts'
import { createInbox, type Inbox } from './inbox.ts'

export interface SlackText {
  readonly type: 'plain_text' | 'mrkdwn'
  readonly text: string
}

export type SlackBlock =
  | { readonly type: 'header'; readonly text: SlackText }
  | { readonly type: 'section'; readonly text: SlackText | null; readonly fields: readonly SlackText[] }
  | { readonly type: 'context'; readonly elements: readonly SlackText[] }
  | { readonly type: 'divider' }

export interface SlackMessage {
  readonly id: string
  readonly channel: string
  /** Ms since 1970, by the inbox's clock. */
  readonly receivedAt: number
  readonly text: string
  readonly blocks: readonly SlackBlock[]
  readonly attachments: readonly {
    /** `#rrggbb`, or null. */
    readonly color: string | null
    readonly text: string
    readonly blocks: readonly SlackBlock[]
  }[]
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
} as const satisfies Record<string, SlackFault>

export interface SlackInbox {
  readonly messages: Inbox<SlackMessage>
  /** The incoming webhook of a channel: `#on-call` or `on-call`. */
  webhookUrl(channel: string): string
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
}

const limits = {
  body: 1_000_000,
  text: 40_000,
  blocks: 50,
  header: 150,
  sectionText: 3_000,
  fields: 10,
  field: 2_000,
  contextElements: 10,
  contextText: 2_000,
  blockId: 255,
  attachments: 100,
  allBlocks: 13_200,
} as const

const token = 'inbox'

export async function startSlackInbox({
  clock,
  host = '127.0.0.1',
  port = 0,
  burst = 4,
  keep = 500,
}: SlackInboxOptions): Promise<SlackInbox> {
  const messages = createInbox<SlackMessage>(keep)
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

  return {
    messages,
    webhookUrl(channel) {
      const name = encodeURIComponent(channel.replace(/^#/, ''))
      return `http://${host.includes(':') ? `[${host}]` : host}:${bound}/services/T0FLEET/${name}/${token}`
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

/** Null when it is larger than any message may be. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    // The rest is read and forgotten, so that the answer gets through.
    if (size <= limits.body) chunks.push(bytes)
  }
  return size > limits.body ? null : Buffer.concat(chunks).toString('utf8')
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

type Content = Pick<SlackMessage, 'text' | 'blocks' | 'attachments'>

/** The message, or Slack's word for what is wrong with it. */
function decodeMessage(payload: Readonly<Record<string, unknown>>): Content | string {
  const { text = '', blocks = [], attachments = [] } = payload
  if (typeof text !== 'string') return 'invalid_payload'
  if (!Array.isArray(blocks)) return 'invalid_blocks_format'
  if (!Array.isArray(attachments)) return 'invalid_attachments'
  if (attachments.length > limits.attachments) return 'too_many_attachments'
  if (text === '' && blocks.length === 0 && attachments.length === 0) return 'no_text'
  const decoded = decodeBlocks(blocks)
  if (decoded === null) return 'invalid_blocks'
  const decodedAttachments: Content['attachments'][number][] = []
  for (const attachment of attachments) {
    const { color, text: words, blocks: inner = [] } = asObject(attachment) ?? {}
    const innerBlocks = Array.isArray(inner) ? decodeBlocks(inner) : null
    if (innerBlocks === null) return 'invalid_attachments'
    decodedAttachments.push({
      color: typeof color === 'string' && /^#[0-9a-f]{6}$/i.test(color) ? color : null,
      text: typeof words === 'string' ? words : '',
      blocks: innerBlocks,
    })
  }
  const all = [decoded, ...decodedAttachments.map((attachment) => attachment.blocks)].flat()
  if (all.length > limits.blocks) return 'invalid_blocks'
  if (textLength(all) > limits.allBlocks) return 'msg_blocks_too_long'
  return { text: text.slice(0, limits.text), blocks: decoded, attachments: decodedAttachments }
}

function decodeBlocks(blocks: readonly unknown[]): SlackBlock[] | null {
  const decoded = blocks.map(decodeBlock)
  const good = decoded.filter((block) => block !== null)
  return good.length === decoded.length ? good : null
}

function decodeBlock(value: unknown): SlackBlock | null {
  const block = asObject(value)
  if (block === null) return null
  const id = block['block_id'] ?? ''
  if (typeof id !== 'string' || id.length > limits.blockId) return null
  switch (block['type']) {
    case 'header': {
      const text = decodeText(block['text'], limits.header)
      return text?.type === 'plain_text' ? { type: 'header', text } : null
    }
    case 'section': {
      const text = block['text'] === undefined ? null : decodeText(block['text'], limits.sectionText)
      const fields =
        block['fields'] === undefined ? [] : decodeTexts(block['fields'], limits.fields, limits.field)
      if (fields === null || (block['text'] !== undefined && text === null)) return null
      return text === null && fields.length === 0 ? null : { type: 'section', text, fields }
    }
    case 'context': {
      const elements = decodeTexts(block['elements'], limits.contextElements, limits.contextText)
      return elements === null || elements.length === 0 ? null : { type: 'context', elements }
    }
    case 'divider':
      return { type: 'divider' }
    default:
      return null
  }
}

function decodeTexts(value: unknown, most: number, longest: number): SlackText[] | null {
  if (!Array.isArray(value) || value.length > most) return null
  const texts = value.map((text: unknown) => decodeText(text, longest)).filter((text) => text !== null)
  return texts.length === value.length ? texts : null
}

function decodeText(value: unknown, longest: number): SlackText | null {
  const { type, text } = asObject(value) ?? {}
  if ((type !== 'plain_text' && type !== 'mrkdwn') || typeof text !== 'string') return null
  return text.length >= 1 && text.length <= longest ? { type, text } : null
}

function textLength(blocks: readonly SlackBlock[]): number {
  return blocks
    .flatMap((block) => {
      if (block.type === 'divider') return []
      if (block.type === 'context') return block.elements
      return block.type === 'header'
        ? [block.text]
        : [...(block.text === null ? [] : [block.text]), ...block.fields]
    })
    .reduce((length, { text }) => length + text.length, 0)
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
}
