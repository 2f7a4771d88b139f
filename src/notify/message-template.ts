// Operators' own words: parts of a Slack message or an e-mail that a Liquid template writes in place
// of the built-in layout. A template sees the Message and nothing else, hence no secret, no file, no
// variable of the environment, and personal data only where the receiver shows it.
//
// Every value is escaped for its channel when it is put out, whatever filters it went through: there
// is no `raw` for values. Only what the template itself says is markup. A template never loses an
// alert: one that fails, runs too long or says nothing is reported, and the built-in part goes out.
// Data, filters and limits for operators: docs/templates.md.

import {
  CaptureTag,
  type Context,
  Drop,
  filters,
  Liquid,
  LiquidError,
  type Template,
  toValue,
} from 'liquidjs'
import { formatDuration } from '../duration.ts'
import { nearestName } from '../nearest-name.ts'
import type { Message, MessageMember } from './message.ts'
import { moment, plainText, webUrl } from './message-text.ts'
import type { Notification } from './notification.ts'

/** `text` is for subjects and plain text. */
export type TemplateChannel = 'slack' | 'text' | 'html'

/** Why a template has nothing to give. The message names the place: `line 2, column 5: …`. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError'
  /** `syntax`: found without rendering. `empty`: nothing but blanks came out. */
  readonly kind: 'syntax' | 'render' | 'empty' | 'too_long'
  /** Characters from the template's start, from 0. */
  readonly offset: number

  constructor(
    message: string,
    { kind, offset, cause }: { kind: TemplateError['kind']; offset: number; cause?: unknown },
  ) {
    super(message, cause === undefined ? {} : { cause })
    this.kind = kind
    this.offset = offset
  }
}

export type RenderedPart =
  /** There is no template for this part. */
  | { readonly kind: 'built_in' }
  | { readonly kind: 'ok'; readonly text: string }
  | { readonly kind: 'failed'; readonly error: TemplateError }

export interface MessageTemplates<Part extends string> {
  /** Of the parts that can't be compiled. Others may still fail when they are rendered. */
  readonly problems: readonly { readonly part: Part; readonly error: TemplateError }[]
  /** Never throws, and ends after a quarter of a second at the latest. */
  render(part: Part, message: Message, notification: Notification): RenderedPart
}

// Enough for any message of listedMembers; far from what a process notices.
const limits = {
  /** Characters of one source. */
  parse: 100_000,
  /** Characters and array entries that filters, ranges and values make. */
  memory: 500_000,
  renderMs: 250,
  /** Characters of what comes out. */
  output: 200_000,
} as const

/** Compiles the sources by part; null: the part stays built-in. Never throws. */
export function createMessageTemplates<Part extends string>(
  sources: Readonly<Record<Part, string | null>>,
  channel: TemplateChannel,
): MessageTemplates<Part> {
  const compiled = new Map<string, { readonly source: string; readonly parsed: Template[] }>()
  const broken = new Map<string, TemplateError>()
  const problems: { part: Part; error: TemplateError }[] = []
  const liquid = createEngine(channel)
  for (const part in sources) {
    const source = sources[part]
    if (source === null) continue
    try {
      const parsed = liquid.parse(source)
      checkVariables(liquid, parsed, source)
      compiled.set(part, { source, parsed })
    } catch (error) {
      const problem = templateError(error, 'syntax')
      broken.set(part, problem)
      problems.push({ part, error: problem })
    }
  }

  function render(part: Part, message: Message, notification: Notification): RenderedPart {
    const problem = broken.get(part)
    if (problem !== undefined) return { kind: 'failed', error: problem }
    const template = compiled.get(part)
    if (template === undefined) return { kind: 'built_in' }
    try {
      const result: unknown = liquid.renderSync(template.parsed, templateData(message, notification))
      const text = typeof result === 'string' ? result : ''
      // Before anything looks at it: text that a loop has piled up is no flat string yet.
      if (text.length > limits.output) return tooLong(`${limits.output} characters`)
      if (text.trim() === '') {
        return failed(new TemplateError('it says nothing for this message', { kind: 'empty', offset: 0 }))
      }
      const safe = channel === 'slack' ? withoutMentions(text, template.source) : text
      return { kind: 'ok', text: safe.toWellFormed() }
    } catch (error) {
      return failed(templateError(error, 'render'))
    }
  }

  return { problems, render }
}

// ---- data

/** What templates see, in new objects each time: a template may change its own. */
function templateData(message: Message, notification: Notification) {
  const { state, severity, title, topic, summary, description, todo, why, since, lasted } = message
  const { firing, resolved, customers, members, more, runbookUrl } = message
  return {
    state,
    severity,
    title,
    topic,
    summary,
    description,
    todo,
    why,
    reason: notification.reason,
    receiver: plainText(notification.receiver, 120),
    since: since.text,
    since_unix: seconds(since.at),
    now_unix: seconds(notification.at),
    lasted,
    firing,
    resolved,
    customers,
    members: members.map(memberData),
    more: { ...more },
    runbook_url: runbookUrl,
    group_labels: Object.fromEntries(
      Object.entries(notification.groupLabels).map(([name, value]) => [name, plainText(value, 120)]),
    ),
  }
}

function memberData({ state, what, customer, who, deviceId, since, notes, link }: MessageMember) {
  return {
    state,
    what,
    customer,
    who,
    device_id: deviceId,
    since: since.text,
    since_unix: seconds(since.at),
    notes: [...notes],
    link: link === null ? null : linkData(link),
  }
}

function linkData({ url, validUntil }: NonNullable<MessageMember['link']>) {
  return {
    url,
    valid_until: validUntil?.text ?? null,
    valid_until_unix: validUntil === null ? null : seconds(validUntil.at),
  }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1_000)
}

const topNames = [
  ...['state', 'severity', 'title', 'topic', 'summary', 'description', 'todo', 'why', 'reason', 'receiver'],
  ...['since', 'since_unix', 'now_unix', 'lasted', 'firing', 'resolved', 'customers', 'members', 'more'],
  ...['runbook_url', 'group_labels'],
]
const memberNames = ['state', 'what', 'customer', 'who', 'device_id', 'since', 'since_unix', 'notes', 'link']
const innerNames = ['url', 'valid_until', 'valid_until_unix', 'count', 'size', 'first', 'last']

/** Also in conditions, where Liquid itself takes a misspelt name for one that is not set. */
function checkVariables(liquid: Liquid, parsed: Template[], source: string): void {
  const { globals } = liquid.analyzeSync(parsed, { partials: false })
  const [first] = Object.entries(globals)
    .filter(([name]) => !topNames.includes(name))
    .flatMap(([name, [use]]) => (use === undefined ? [] : [{ name, offset: offsetOf(source, use.location) }]))
    .sort((a, b) => a.offset - b.offset)
  if (first === undefined) return
  const message = readable(`undefined variable: ${first.name}`)
  throw new TemplateError(at(placeOf(source, first.offset), message), {
    kind: 'syntax',
    offset: first.offset,
  })
}

// ---- the engine

// What is not named here does not exist: no including, no random, no time of day, no `raw`.
const keptTags = [
  ...['assign', 'break', 'capture', 'case', 'comment', 'continue', 'for', 'if', 'raw', 'unless', '#'],
]
const keptFilters = [
  ...['append', 'capitalize', 'ceil', 'date', 'default', 'divided_by', 'downcase', 'first', 'floor', 'join'],
  ...['last', 'map', 'minus', 'plus', 'prepend', 'remove', 'replace', 'reverse', 'round', 'size', 'slice'],
  ...['sort', 'split', 'strip', 'times', 'truncate', 'uniq', 'upcase', 'where'],
]
const ownFilters = ['duration', 'url', 'slack_link']

/** Text that is escaped already: what `capture` gathered, and links of ours. */
class Markup {
  // Enumerable, so that Liquid takes it for no empty object.
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/** Liquid's own keeps what it gathered as plain text, which would be escaped a second time. */
class MarkupCapture extends CaptureTag {
  override *render(context: Context): Generator<unknown, void, string> {
    yield* super.render(context)
    const scope: Record<string, unknown> = context.bottom()
    const text = String(scope[this.variable] ?? '')
    context.memoryLimit.use(text.length)
    scope[this.variable] = text.trim() === '' ? '' : new Markup(text)
  }
}

function createEngine(channel: TemplateChannel): Liquid {
  const escaped = escapes[channel]
  const liquid = new Liquid({
    strictVariables: true,
    strictFilters: true,
    // Labels of the group may be missing; all else is checked by checkVariables.
    lenientIf: true,
    ownPropertyOnly: true,
    // In the place of the file system.
    templates: {},
    timezoneOffset: 0,
    locale: 'en-GB',
    parseLimit: limits.parse,
    memoryLimit: limits.memory,
    renderLimit: limits.renderMs,
    outputEscape(this: { readonly context: Context }, value: unknown) {
      const text = put(value, escaped)
      this.context.memoryLimit.use(text.length)
      return text
    },
  })
  for (const name of Object.keys(liquid.tags)) if (!keptTags.includes(name)) delete liquid.tags[name]
  for (const name of Object.keys(liquid.filters)) {
    if (!keptFilters.includes(name)) liquid.unregisterFilter(name)
  }
  liquid.registerTag('capture', MarkupCapture)

  const { date: formatDate } = filters
  liquid.registerFilter('date', function (value: unknown, format?: unknown) {
    const at = secondsGiven(value, 'date', 'since_unix')
    if (at === null) return ''
    if (format === undefined)
      return moment(at * 1_000, Number(this.context.getSync(['now_unix'])) * 1_000).text
    return typeof formatDate === 'function' ? formatDate.call(this, at, format) : ''
  })
  liquid.registerFilter('duration', (value: unknown) => {
    const length = secondsGiven(value, 'duration', 'now_unix | minus: since_unix')
    return length === null ? '' : formatDuration(length * 1_000)
  })
  liquid.registerFilter('url', (value: unknown) => webLink(value) ?? '')
  if (channel === 'slack') liquid.registerFilter('slack_link', slackLink)
  return liquid
}

function secondsGiven(value: unknown, filter: string, example: string): number | null {
  const given: unknown = toValue(value)
  if (given === null || given === undefined) return null
  if (typeof given === 'number' && Number.isFinite(given)) return given
  throw new Error(`"${filter}" wants a number of seconds, such as ${example}`)
}

function webLink(value: unknown): string | null {
  return typeof value === 'string' ? webUrl(value) : null
}

// With its escapes; a link can't be cut.
const longestSlackLink = 2_000

function slackLink(value: unknown, words: unknown): Markup | string {
  const url = webLink(value)
  if (url === null) return ''
  const label = plainText(typeof words === 'string' ? words.replaceAll('|', ' ') : '', 100)
  const target = escapes.slack(url)
  if (target.length > longestSlackLink) return `${label} (its link is too long for Slack)`.trim()
  return new Markup(label === '' ? `<${target}>` : `<${target}|${escapes.slack(label)}>`)
}

// ---- escaping

function put(value: unknown, escaped: (text: string) => string): string {
  if (value instanceof Markup) return value.text
  if (typeof value === 'string') return escaped(value)
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return escaped(String(value))
  if (Array.isArray(value)) return value.map((each: unknown) => put(each, escaped)).join(', ')
  if (value instanceof Drop) return put(value.valueOf(), escaped)
  throw new Error('an object has no text of its own: name one of its parts, such as link.url')
}

// Line feeds stay: `join: "\n"` is a list.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to go
const controls = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escapes: Readonly<Record<TemplateChannel, (text: string) => string>> = {
  // These three are all that starts a mention, a channel, a date or a link.
  slack: (text) => text.replace(controls, ' ').replace(/[&<>]/g, (character) => entities[character] ?? ''),
  html: (text) => text.replace(controls, ' ').replace(/[&<>"']/g, (character) => entities[character] ?? ''),
  text: (text) => text.replace(controls, ' '),
}

/**
 * Mentions that stand in the template word for word stay; one that a value had a part in becomes text:
 * `<{{ title }}>` pings nobody, whatever the title is. A date pings nobody by itself.
 */
function withoutMentions(text: string, source: string): string {
  const written = new Set(source.match(mention)?.filter((each) => each.endsWith('>') && !each.includes('{')))
  return text.replace(mention, (each) =>
    written.has(each) || slackDate.test(each) ? each : `&lt;${each.slice(1)}`,
  )
}

const mention = /<[!@#][^<>]*>?/g
const slackDate = /^<!date\^\d{1,12}\^[^<>|^]*\|[^<>|^]*>$/

// ---- errors

function failed(error: TemplateError): RenderedPart {
  return { kind: 'failed', error }
}

/** For a result that can't be cut. */
export function tooLong(most: string): RenderedPart {
  return failed(new TemplateError(`it makes more than ${most}`, { kind: 'too_long', offset: 0 }))
}

function templateError(error: unknown, kind: 'syntax' | 'render'): TemplateError {
  if (error instanceof TemplateError) return error
  if (!LiquidError.is(error)) {
    const message = error instanceof Error ? error.message : 'unknown error'
    return new TemplateError(plainText(readable(message), 300), { kind, offset: 0, cause: error })
  }
  const { input, begin } = error.token
  const [said = ''] = error.message.split(/, line:\d+, col:\d+/)
  // Its name may be made of values, which don't belong into a log: as it is written, then.
  const message = said.startsWith('undefined variable')
    ? `undefined variable: ${error.token.getText()}`
    : said
  return new TemplateError(at(placeOf(input, begin), readable(message)), {
    kind,
    offset: begin,
    cause: error,
  })
}

function at([line, column]: readonly [number, number], message: string): string {
  return plainText(`line ${line}, column ${column}: ${message}`, 300)
}

function placeOf(source: string, offset: number): readonly [line: number, column: number] {
  const before = source.slice(0, offset).split('\n')
  return [before.length, (before.at(-1) ?? '').length + 1]
}

function offsetOf(source: string, { row, col }: { readonly row: number; readonly col: number }): number {
  const before = source.split('\n').slice(0, row - 1)
  return before.reduce((sum, line) => sum + line.length + 1, 0) + col - 1
}

/** Liquid's words, and the way out. */
function readable(message: string): string {
  const [, what = '', name = ''] =
    /^undefined (variable|filter): (\S+)/.exec(message) ?? /^(tag) "([^"]*)" not found/.exec(message) ?? []
  switch (what) {
    case 'filter':
      if (name === 'raw') return 'there is no filter raw: values are always escaped'
      if (name === 'slack_link')
        return 'slack_link is for Slack; in HTML write <a href="{{ link.url | url }}">'
      return unknownName(message, name, [...keptFilters, ...ownFilters])
    case 'tag':
      return unknownName(`there is no tag ${name}`, name, keptTags)
    case 'variable': {
      if (name.startsWith('group_labels.')) {
        return `${message}; not every group has every label: write {{ ${name} | default: "" }}`
      }
      const inner = name.slice(name.lastIndexOf('.') + 1)
      if (inner.endsWith(']')) return `${message}; not every list is that long: go through it with "for"`
      return unknownName(message, inner, inner === name ? topNames : [...memberNames, ...innerNames])
    }
    default:
      return message === 'template render limit exceeded'
        ? `it takes longer than ${limits.renderMs} ms`
        : message === 'memory alloc limit exceeded'
          ? 'it makes too much text, or too long a list'
          : message
  }
}

function unknownName(message: string, name: string, known: readonly string[]): string {
  const near = nearestName(name, known)
  return near === undefined
    ? `${message}; there are: ${known.join(', ')}`
    : `${message}; did you mean ${near}?`
}
