// What single values of the configuration may look like: durations, addresses, URLs, secrets. Each
// says what it expects; yaml-file.ts makes the message of it.

import { z } from 'zod'
import { formatDuration, parseDuration } from '../duration.ts'
import { nearestName } from '../nearest-name.ts'
import { secretFields } from '../schema-message.ts'
import { Secret } from '../secret.ts'

/** What a text has to be, in words that follow "expected". */
export interface TextRule {
  readonly expected: string
  readonly holds: (text: string) => boolean
}

/** What reading a file brought; `failure` is the message. */
export type FileContent = { readonly text: string } | { readonly failure: string }

/** Files that the configuration names, by the path as given there. */
export type NamedFiles = ReadonlyMap<string, FileContent>

export interface HostPort {
  readonly host: string
  readonly port: number
}

export function text(rule: TextRule) {
  return z.string().refine(rule.holds, { params: { expected: rule.expected } })
}

/** Milliseconds. `0` may stand without quotes and unit, as in Alertmanager. */
export function duration(range: { readonly minimumMs: number; readonly maximumMs?: number }) {
  const maximumMs = range.maximumMs ?? parseDuration('1y') ?? 0
  return z.union([z.string(), z.number()]).transform((written, context) => {
    const ms = parseDuration(String(written))
    if (ms !== undefined && ms >= range.minimumMs && ms <= maximumMs) return ms
    const bounds = `from ${formatDuration(range.minimumMs)} to ${formatDuration(maximumMs)}`
    const expected = ms === undefined ? 'a duration such as 30s, 5m or 1h30m' : `a duration ${bounds}`
    context.issues.push({ code: 'custom', input: written, params: { expected } })
    return z.NEVER
  })
}

/** `host:port`; an IPv6 address in brackets, which the parsed host does not have. */
export function hostPort(options: { readonly example: string; readonly minimumPort: number }) {
  return z.string().transform((written, context): HostPort => {
    const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(written)
    const host = match?.[1] ?? match?.[2]
    const port = Number(match?.[3])
    if (host !== undefined && port >= options.minimumPort && port <= 65_535) return { host, port }
    const expected = `host:port such as ${options.example}`
    context.issues.push({ code: 'custom', input: written, params: { expected } })
    return z.NEVER
  })
}

/** An IANA name, spelt as the database of zones does. `Local` is refused: whose zone a server has is chance. */
export function timeZone({ example }: { readonly example: string }) {
  return z.string().transform((name, context) => {
    const known = timeZoneName(name)
    if (known !== undefined) return known
    const nearest = nearestName(name, Intl.supportedValuesOf('timeZone'))
    const isLocal = name.toLowerCase() === 'local'
    const hint = isLocal
      ? "the zone of whatever server this runs on is nobody's: name it"
      : nearest && `did you mean ${nearest}?`
    const params = { expected: `an IANA time zone such as ${example}`, hint }
    context.issues.push({ code: 'custom', input: name, params })
    return z.NEVER
  })
}

function timeZoneName(written: string): string | undefined {
  // Offsets such as +01:00 are no names: they know no summer time.
  if (!/^[A-Za-z]/.test(written)) return undefined
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: written }).resolvedOptions()
    // Not where the name is an old one of another zone.
    return timeZone.toLowerCase() === written.toLowerCase() ? timeZone : written
  } catch {
    return undefined
  }
}

/** Not empty and, since most secrets go into headers, on one line. */
export const secretText: TextRule = {
  expected: 'one line of text',
  holds: (value) => /^[^\p{Cc}]+$/u.test(value),
}

/** Where something secret or private is sent: TLS, or not over any network. */
export const safeUrl: TextRule = {
  expected: 'an https:// URL (http:// only to this machine)',
  holds: (value) => {
    const url = parsedUrl(value)
    return url !== undefined && (url.protocol === 'https:' || isLoopback(url.hostname))
  },
}

/** A URL that others are appended to. */
export const safeBaseUrl: TextRule = {
  expected: `${safeUrl.expected} without user, query and fragment`,
  holds: (value) => safeUrl.holds(value) && isBare(value),
}

export const publicBaseUrl: TextRule = {
  expected: 'an http:// or https:// URL without user, query and fragment',
  holds: (value) => parsedUrl(value) !== undefined && isBare(value),
}

export const anyUrl: TextRule = {
  expected: 'an http:// or https:// URL',
  holds: (value) => parsedUrl(value) !== undefined,
}

function parsedUrl(value: string): URL | undefined {
  // URL.parse would drop line breaks and mend a missing slash; what is mended here is not what was meant.
  if (!/^https?:\/\/[^\s\p{Cc}]+$/u.test(value)) return undefined
  return URL.parse(value) ?? undefined
}

function isBare(value: string): boolean {
  const url = parsedUrl(value)
  return url !== undefined && url.username === '' && url.password === '' && !/[?#]/.test(value)
}

/** Without the slashes at its end, so that `${base}/path` is right. */
export function withoutTrailingSlash(url: string): string {
  return url.replace(/\/+$/, '')
}

/** True for names and addresses that stay on this machine. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(host)
}

/** A secret written into the file itself. Nothing quotes it. */
export function secret(rule: TextRule) {
  return text(rule)
    .register(secretFields, {})
    .transform((value) => new Secret(value))
}

/** The path of a file whose text is the secret; line breaks at its end do not belong to it. */
export function secretFile(files: NamedFiles, rule: TextRule) {
  return fileText(files).transform((content, context) => {
    const value = content.replace(/[\r\n]+$/, '')
    if (rule.holds(value)) return new Secret(value)
    const found = value === '' ? 'the file is empty' : 'the file holds something else'
    context.issues.push({
      code: 'custom',
      input: '',
      message: `expected a file with ${rule.expected}: ${found}`,
    })
    return z.NEVER
  })
}

/** The text of a file that the configuration names, relative to its own folder. */
export function fileText(files: NamedFiles) {
  return z.string().transform((path, context) => {
    const file = files.get(path)
    if (file !== undefined && 'text' in file) return file.text
    context.issues.push({ code: 'custom', input: path, message: file?.failure ?? 'the file was not read' })
    return z.NEVER
  })
}

const atom = "[\\p{L}\\p{N}!#$%&'*+/=?^_`{|}~-]+"
const label = '[\\p{L}\\p{N}](?:[\\p{L}\\p{N}-]*[\\p{L}\\p{N}])?'
const address = `(?=[^@]{1,64}@.{1,253}$)${atom}(?:\\.${atom})*@${label}(?:\\.${label})*`
// The name must not need quotes: what looks like a list or a second address is none.
const mailboxPattern = new RegExp(`^(?:${address}|[^\\p{Cc}"<>()@,;:\\\\[\\]]+ <${address}>)$`, 'u')

/** One address and nothing that a mail system could take for a second one. */
export const mailbox: TextRule = {
  expected: 'a mail address such as alerts@example.com or Fleet alerts <alerts@example.com>',
  holds: (value) => value.length <= 400 && mailboxPattern.test(value),
}

/** Addresses separated by commas, as in Alertmanager; each once. */
export function recipients() {
  return z.string().transform((written, context): readonly string[] => {
    const mailboxes = written.split(',').map((part) => part.replace(/^ +| +$/g, ''))
    const addresses = mailboxes.map((one) => one.replace(/^.* <(.+)>$/, '$1').toLowerCase())
    const isTwice = new Set(addresses).size < addresses.length
    if (mailboxes.every(mailbox.holds) && !isTwice) return mailboxes
    const expected = isTwice
      ? 'each address only once'
      : 'mail addresses separated by commas, such as oncall@example.com, lead@example.com'
    context.issues.push({ code: 'custom', input: written, params: { expected } })
    return z.NEVER
  })
}
