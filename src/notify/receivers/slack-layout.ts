// A message as Slack shows it: blocks, and the same once more as plain text. Shared by the webhook and
// the bot.
//
// Whatever goes in, the result is within Slack's limits, and nothing in it is a mention, a link or
// formatting but what is written here. It talks to nobody. Sources of limits: Slack's block kit
// reference, and bolt-js #2509 for the limit on all blocks together.

import type { IncomingWebhookSendArguments } from '@slack/webhook'
import type { Message, MessageMember } from '../message.ts'
import type { Moment } from '../message-text.ts'
import { builtInSlackParts, type SlackParts } from '../template-parts.ts'

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
export function slackPayload(message: Message, parts: SlackParts = builtInSlackParts): SlackPayload {
  return { text: fallbackText(message), blocks: layOut(message, parts), ...quiet }
}

/** What happened, for the thread below the message: why it is told, and the members that it is about. */
export function slackReply(message: Message, news: SlackNews): SlackPayload {
  const { firing, resolved } = message
  const counts = `${firing} firing${resolved === 0 ? '' : `, ${resolved} ended`}`
  const first = `${icon(message)} *${escaped(message.why, limits.field)}* ${counts}.`
  const lines = [first, ...news.members.map(memberLine)]
  if (news.more > 0) lines.push(`…and ${news.more} more`)
  return {
    text: fitting(lines, limits.fallback).join('\n'),
    blocks: intoSections(fitting(lines, limits.all)),
    ...quiet,
  }
}

export interface SlackNews {
  readonly members: readonly MessageMember[]
  /** How many more it is about. */
  readonly more: number
}

export type SlackPayload = IncomingWebhookSendArguments & { readonly text: string }

// The links of an alert are not for Slack's servers to open.
const quiet = { unfurl_links: false, unfurl_media: false, link_names: false } as const

/** As many of the first lines as fit into `length` characters together. */
function fitting(lines: readonly string[], length: number): string[] {
  let left = length
  const tooLong = lines.findIndex((line) => {
    left -= line.length + 1
    return left < 0
  })
  return lines.slice(0, tooLong === -1 ? lines.length : tooLong)
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

  const left = limits.all - textLength([...head, ...foot]) - moreLine(message, 1_000_000).length
  const lines = fitting(message.members.map(memberLine), left)
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
