// Slack, through an incoming webhook: lays a message out in blocks, within Slack's limits, and
// says how the attempt ended.
//
// A webhook's answer holds no message id, so nothing is edited or threaded; a request that timed out
// may have arrived all the same, so a retry may repeat it. The webhook's URL is a secret: it is in
// no reason, log or error. Sources of limits and answers: Slack's block kit reference, its rate
// limits page, and bolt-js #2509 for the limit on all blocks together.

import {
  type FetchFunction,
  IncomingWebhook,
  IncomingWebhookHTTPError,
  type IncomingWebhookSendArguments,
} from '@slack/webhook'
import type { Clock } from '../../clock.ts'
import type { SlackWebhookConfig } from '../../config.ts'
import { createMessage, findLinks, type Message, type MessageMember } from '../message.ts'
import type { Moment } from '../message-text.ts'
import type { Integration, Notification, SendContext, SendOutcome } from '../notification.ts'
import {
  builtInSlackParts,
  createSlackTemplates,
  type SlackParts,
  type TemplateFailure,
} from '../template-parts.ts'

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
// A longer Retry-After is not believed: an hour without alerts is an outage of its own.
const longestRetryAfterMs = 3_600_000

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
      return { kind: 'rate_limited', retryAfterMs: retryAfterMs(response, body, clock.now()) }
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

/** How long to wait (ms) by the header in seconds or as a date, else by the body; null: it doesn't say. */
function retryAfterMs(response: FetchResponse | undefined, body: string, now: number): number | null {
  const header = response?.headers.get('retry-after') ?? ''
  const sentAt = Date.parse(response?.headers.get('date') ?? '')
  const inBody = parseObject(body)?.['retry_after']
  let ms = Number.NaN
  if (/^\d+(\.\d+)?$/.test(header.trim())) ms = Number(header) * 1_000
  // Their clock may differ from ours, but not from itself.
  else if (header !== '') ms = Date.parse(header) - (Number.isNaN(sentAt) ? now : sentAt)
  if (Number.isNaN(ms) && typeof inBody === 'number') ms = inBody * 1_000
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), longestRetryAfterMs)
}

/** Slack's own word for an error. Other text is not passed on: it could quote the request. */
function errorCode(body: string): string | null {
  const inJson = parseObject(body)?.['error']
  const code = typeof inJson === 'string' ? inJson : body.trim()
  return /^[a-z_]{2,60}$/.test(code) ? code : null
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
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

// ---- layout

// Characters after escaping. Slack refuses more than about 12,000 over all blocks, undocumented;
// a message of 11,341 was refused once.
const limits = {
  header: 150,
  section: 2_900,
  description: 1_200,
  field: 300,
  /** With all that a member's line holds besides, it still fits into one section. */
  url: 1_000,
  fallback: 3_900,
  all: 9_000,
} as const

/**
 * The request that shows a message: blocks, and the same as text for notifications and screen readers.
 * Templates may have written parts of the blocks, never the text or the context below.
 */
export function slackPayload(
  message: Message,
  parts: SlackParts = builtInSlackParts,
): IncomingWebhookSendArguments & { readonly text: string } {
  return {
    text: fallbackText(message),
    blocks: layOut(message, parts),
    // The links of an alert are not for Slack's servers to open.
    unfurl_links: false,
    unfurl_media: false,
    link_names: false,
  }
}

type SlackBlock = NonNullable<IncomingWebhookSendArguments['blocks']>[number]
/** Without the block of any type, among which a misspelt one would pass. */
type KnownBlock<B = SlackBlock> = B extends { type: infer T } ? (string extends T ? never : B) : never

function layOut(message: Message, { title, sections }: SlackParts): KnownBlock[] {
  const header = title ?? escaped(headline(message), limits.header)
  const head: KnownBlock[] = [{ type: 'header', text: { type: 'plain_text', emoji: true, text: header } }]
  const foot: KnownBlock[] = [{ type: 'context', elements: [mrkdwn(escaped(message.why, limits.field))] }]
  if (sections !== null) return [...head, ...sections.map(section), ...foot]

  const lead = leadLines(message).join('\n')
  if (lead !== '') head.push(section(lead))
  head.push({ type: 'section', fields: fields(message).map(mrkdwn) })

  let left = limits.all - textLength([...head, ...foot]) - moreLine(message, 1_000_000).length
  const lines: string[] = []
  for (const member of message.members) {
    const line = memberLine(member)
    if (line.length + 1 > left) break
    left -= line.length + 1
    lines.push(line)
  }
  const list = intoSections(lines)
  const more = moreLine(message, message.members.length - lines.length)
  if (more !== '') list.push({ type: 'context', elements: [mrkdwn(more)] })
  return [...head, ...list, ...foot]
}

function headline(message: Message): string {
  return `${icon(message)} ${stateWord[message.state]}${message.title}`
}

const stateWord = { firing: '', resolved: 'Resolved: ', ended: 'Ended: ' } as const

function icon({ state, severity }: Message): string {
  if (state === 'resolved') return '✅'
  if (state === 'ended') return '⚪'
  return severity === 'critical' || severity === 'error' ? '🔴' : severity === 'info' ? '🔵' : '🟠'
}

function leadLines({ state, summary, description, todo, runbookUrl }: Message): string[] {
  const lines: string[] = []
  if (summary !== null) {
    const words = inert(summary, limits.description / 2)
    lines.push(state === 'firing' ? `*${words}*` : `It was: ${words}`)
  }
  if (description !== null) lines.push(inert(description, limits.description))
  const runbook = runbookUrl === null ? '' : (link(runbookUrl, 'Runbook') ?? '')
  const advice = [todo === null ? '' : `*To do:* ${escaped(todo, limits.field)}`, runbook].filter(Boolean)
  if (advice.length > 0) lines.push(advice.join(' '))
  return lines
}

function fields({ severity, since, lasted, customers, firing, resolved }: Message): string[] {
  const shown = [`*Since*\n${slackDate(since)}`]
  if (lasted !== null) shown.push(`*Lasted*\n${escaped(lasted, limits.field)}`)
  if (severity !== '') shown.push(`*Severity*\n${inert(severity, limits.field)}`)
  if (customers > 0) shown.push(`*Affected*\n${customers} customer${customers === 1 ? '' : 's'}`)
  if (firing > 0 && resolved > 0) shown.push(`*Now*\n${firing} firing, ${resolved} ended`)
  return shown
}

/** What and who on one line; since when and the link on the next, where the links form a column. */
function memberLine(member: MessageMember): string {
  const parts = [`${member.state === 'firing' ? '•' : '✓'} *${inert(member.what, limits.field)}*`]
  if (member.customer !== null) parts.push(`customer ${code(member.customer, limits.field)}`)
  if (member.who !== null) parts.push(inert(member.who, limits.field))
  const lines = [parts.join(' · ')]
  if (member.state === 'firing') {
    const how = [...memberLink(member), `since ${slackDate(member.since)}`]
    lines.push(how.join(' · '))
  }
  for (const note of member.notes) lines.push(inert(note, limits.field))
  return lines.join('\n      ')
}

function memberLink({ link: target }: MessageMember): string[] {
  if (target === null) return []
  const shown = link(target.url, 'Resolve')
  if (shown === null) return ['its link is too long for Slack']
  const { validUntil } = target
  return [`*${shown}*${validUntil === null ? '' : ` (valid until ${slackDate(validUntil)})`}`]
}

/** `unlisted`: members that would have been listed and didn't fit. */
function moreLine({ more }: Message, unlisted: number): string {
  const count = more.count + unlisted
  if (count === 0) return ''
  const words = `…and ${count} more`
  const shown = more.url === null ? null : link(more.url, 'See all of them')
  return shown === null ? words : `${words} → ${shown}`
}

/** Cut between lines only, never inside one: a link that is cut in two is dead. */
function intoSections(lines: readonly string[]): KnownBlock[] {
  const sections: string[] = []
  for (const line of lines) {
    const last = sections.at(-1)
    if (last !== undefined && last.length + 1 + line.length <= limits.section) {
      sections[sections.length - 1] = `${last}\n${line}`
    } else sections.push(line)
  }
  return sections.map(section)
}

function fallbackText(message: Message): string {
  const lines = [escaped(headline(message), limits.header), ...leadLines(message)]
  const why = escaped(message.why, limits.field)
  const room = (text: readonly string[]) => limits.fallback - text.join('\n').length - why.length - 2
  let listed = 0
  for (const member of message.members) {
    const line = memberLine(member)
    const more = moreLine(message, message.members.length)
    if (line.length + 1 + more.length + 1 > room(lines)) break
    lines.push(line)
    listed += 1
  }
  const more = moreLine(message, message.members.length - listed)
  return [...lines, ...(more === '' ? [] : [more]), why].join('\n')
}

function section(text: string): KnownBlock {
  return { type: 'section', text: mrkdwn(text) }
}

// `verbatim`: Slack looks for no links, channels or names in the text.
function mrkdwn(text: string): { type: 'mrkdwn'; text: string; verbatim: boolean } {
  return { type: 'mrkdwn', text, verbatim: true }
}

/** In everybody's own time zone; in UTC where Slack can't tell. */
function slackDate({ at, text, sameDay }: Moment): string {
  if (at < 0) return escaped(text, 60)
  const format = sameDay ? '{time}' : '{date_short}, {time}'
  return `<!date^${Math.floor(at / 1_000)}^${format}|${escaped(text, 60)}>`
}

/**
 * `url` is a Message's, in which nothing can end the link; only `&` is left to escape. Null if it
 * would be too long: a link can't be cut.
 */
function link(url: string, label: string): string | null {
  const target = url.replaceAll('&', '&amp;')
  return target.length > limits.url ? null : `<${target}|${label}>`
}

/** Escaped, and cut between code points so that no more than `length` characters remain. */
function escaped(
  text: string,
  length: number,
  replacements: Readonly<Record<string, string>> = reserved,
): string {
  let result = ''
  for (const point of text) {
    const next = replacements[point] ?? point
    // Room for the ellipsis is kept all the time, as what follows is not known to fit.
    if (result.length + next.length > length - 1) return `${result}…`
    result += next
  }
  return result
}

// These three are all that starts a mention, a channel, a date or a link.
const reserved = { '&': '&amp;', '<': '&lt;', '>': '&gt;' } as const

/**
 * Text that stays as it is. Formatting has no escape, so what would end bold or begin code gets a
 * look-alike, and the others a zero width space before them, at which Slack sees no word begin.
 */
function inert(text: string, length: number): string {
  return escaped(text, length, formatting)
}

const formatting = { ...reserved, '*': '∗', '`': 'ˋ', _: '\u200b_', '~': '\u200b~' } as const

/** As code, so that an id can be copied as it is. */
function code(text: string, length: number): string {
  return `\`${escaped(text, length - 2, { ...reserved, '`': 'ˋ' })}\``
}

function textLength(blocks: readonly KnownBlock[]): number {
  let length = 0
  JSON.stringify(blocks, (key, value: unknown) => {
    if (key === 'text' && typeof value === 'string') length += value.length
    return value
  })
  return length
}
