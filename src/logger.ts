// Structured logs, one JSON object a line: a static message, and what varies in fields.
//
// Nothing secret may reach a log, whoever logs it: Secrets print as `<secret>`, and every string
// (of fields, messages of errors, their stacks and causes) goes through `scrub`, which takes out what
// URLs, headers and tokens carry. Of an error only what is listed in `printableError` is printed:
// libraries hang whole requests on theirs. pino's own `redact` is not enough for this: it knows
// keys of one level, and no text.

import pino from 'pino'

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Errors go under `error`; instants and durations under names that carry their unit. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** Takes whole lines, their line break included; process.stdout is one. */
export interface LogDestination {
  write(line: string): unknown
}

/** Lines of `level` and above go to `destination`. Logging never throws for what it is given. */
export function createLogger(options: {
  readonly level: LogLevel
  readonly destination: LogDestination
}): Logger {
  const sink = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => void options.destination.write(line) },
  )
  const writerOf = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: LogFields, message: string) => {
    if (sink.isLevelEnabled(level)) sink[level](printableFields(fields), scrub(message))
  }
  return {
    debug: writerOf('debug'),
    info: writerOf('info'),
    warn: writerOf('warn'),
    error: writerOf('error'),
  }
}

/** For tests and for commands whose output is meant for people. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

type Printable = string | number | boolean | null | Printable[] | { [key: string]: Printable }

// What pino writes itself; a second key of the same name would make a line ambiguous.
const reserved: ReadonlySet<string> = new Set(['level', 'time', 'msg'])
const deepest = 6
const longestList = 50
const longestText = 4_000

function printableFields(fields: LogFields): { [key: string]: Printable } {
  const printed: { [key: string]: Printable } = {}
  for (const [key, value] of entriesOf(fields)) {
    printed[reserved.has(key) ? `${key}_` : key] = printableField(key, value, 1)
  }
  return printed
}

function printableField(key: string, value: unknown, depth: number): Printable {
  const isText = typeof value === 'string' || (typeof value === 'object' && value !== null)
  return isText && namesSecret.test(key) ? '<secret>' : printable(value, depth)
}

const namesSecret = /(?:token|secret|passwd|password|authorization|cookie|api_?key|signature|credential)s?$/i

function printable(value: unknown, depth: number): Printable {
  switch (typeof value) {
    case 'string':
      return shortened(scrub(value))
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'boolean':
      return value
    case 'bigint':
      return String(value)
    case 'object':
      return value === null ? null : printableObject(value, depth)
    case 'undefined':
      return null
    default:
      return `<${typeof value}>`
  }
}

function printableObject(value: object, depth: number): Printable {
  if (depth > deepest) return '<too deep>'
  try {
    if (value instanceof Error) return printableError(value, depth)
    if (value instanceof URL) return scrub(value.href)
    if (value instanceof Map) return printable([...value], depth)
    if (value instanceof Set) return printable([...value], depth)
    if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
    // Secret and Date among others: an object that says what may be printed of it.
    if ('toJSON' in value && typeof value.toJSON === 'function') return printable(value.toJSON(), depth + 1)
    if (Array.isArray(value)) {
      const items = value.slice(0, longestList).map((item) => printable(item, depth + 1))
      if (value.length > longestList) items.push(`<and ${value.length - longestList} more>`)
      return items
    }
    const printed: { [key: string]: Printable } = {}
    for (const [key, item] of entriesOf(value)) printed[scrub(key)] = printableField(key, item, depth + 1)
    return printed
  } catch {
    // A getter or a toJSON of somebody else's that throws.
    return '<unprintable>'
  }
}

function printableError(error: Error, depth: number): Printable {
  const printed: { [key: string]: Printable } = {
    type: scrub(error.name),
    message: shortened(scrub(error.message)),
  }
  for (const key of ['kind', 'code', 'errcode', 'status', 'statusCode', 'syscall'] as const) {
    const value: unknown = Reflect.get(error, key)
    if (typeof value === 'string' || typeof value === 'number') printed[key] = printable(value, depth)
  }
  if (error.stack !== undefined) printed['stack'] = shortened(scrub(error.stack))
  if (error instanceof AggregateError) printed['errors'] = printable(error.errors, depth + 1)
  if (error.cause !== undefined) printed['cause'] = printable(error.cause, depth + 1)
  return printed
}

function entriesOf(value: object): [string, unknown][] {
  const entries = Object.entries(value)
  return entries.length > longestList
    ? [...entries.slice(0, longestList), ['…', `<and ${entries.length - longestList} more>`]]
    : entries
}

function shortened(text: string): string {
  if (text.length <= longestText) return text
  return `${text.slice(0, longestText)}… <${text.length - longestText} characters more>`
}

/**
 * `text` without what may be secret in it: user, password, query and fragment of URLs, paths of
 * Slack's webhooks and of our own links, path segments that look like tokens, Authorization and
 * Cookie headers, `password=…` and the like, JSON Web Tokens, Slack's tokens and our own. It rather takes too much.
 * Linear in the length of the text.
 */
export function scrub(text: string): string {
  if (!mayHoldSecret.test(text)) return text
  return text
    .replace(/\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s"'`<>]+/gi, scrubUrl)
    .replace(/\bhooks\.slack(-gov)?\.com\/[^\s"'`<>]+/gi, 'hooks.slack$1.com/<secret>')
    .replace(/\/services\/T[^\s"'`<>]+/g, '/services/<secret>')
    .replace(/(\/[\w./-]{0,200})\?(?!<)[^\s"'`<>]+/g, '$1?<removed>')
    .replace(/\b((?:set-)?cookie|(?:proxy-)?authorization)(["']?\s{0,3}[:=])[^\n]+/gi, '$1$2 <secret>')
    .replace(/\b(bearer|basic) +[\w.~+/=-]{6,}/gi, '$1 <secret>')
    .replace(namedSecret, '$1<secret>')
    .replace(/\beyJ[\w-]{10,}(?:\.[\w-]*){1,2}/g, '<secret>')
    .replace(/\bx(?:ox[a-z]|app)-[\w-]+/g, '<secret>')
    .replace(/fwt_[\w-]+/g, '<secret>')
}

// Most texts hold none of what the patterns above begin with: one pass instead of nine.
const mayHoldSecret =
  /:\/\/|slack|services|\?|cookie|authorization|bearer|basic|token|secret|passw|key|signature|credential|eyJ|xox|xapp|fwt_/i

const namedSecret =
  /\b([\w-]{0,40}(?:token|secret|passwd|password|api[_-]?key|signature|credential)s?["']?\s{0,3}[=:]\s{0,3})(?:"[^"\n]*"?|'[^'\n]*'?|[^\s,;&"'}]+)/gi

function scrubUrl(url: string): string {
  const start = url.indexOf('://') + 3
  const scheme = url.slice(0, start)
  const rest = url.slice(start)
  // The last @ of all: a password may hold any character, whether or not it should be encoded.
  const at = rest.lastIndexOf('@')
  const [, host = '', path = '', query = ''] = /^([^/?#]*)([^?#]*)(.*)$/s.exec(rest.slice(at + 1)) ?? []
  const user = at === -1 ? '' : '<secret>@'
  return `${scheme}${user}${host}${scrubPath(host, path)}${query.length < 2 ? query : '?<removed>'}`
}

function scrubPath(host: string, path: string): string {
  if (/(^|\.)hooks\.slack(-gov)?\.com$/i.test(host.replace(/:\d+$/, '')) && path.length > 1)
    return '/<secret>'
  let before = ''
  const segments = path.split('/').map((segment) => {
    // `/r/…` is a link of ours, which lets its holder act for a customer.
    const isToken = before === 'r' || (segment.length >= 24 && !uuid.test(segment) && /\d/.test(segment))
    before = segment
    return isToken && segment !== '' ? '<secret>' : segment
  })
  return segments.join('/')
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
