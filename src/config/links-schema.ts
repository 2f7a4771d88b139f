// `links`: the links of our own under `http.public_url`, what they are signed with, and where they may lead.

import { z } from 'zod'
import { Secret } from '../secret.ts'
import { duration, type NamedFiles, safeUrl, secret, secretFile, text } from './fields.ts'
import { has, mapping, type Report } from './unchecked.ts'

export interface LinksConfig {
  /** At least one; the first one signs, all of them verify. */
  readonly signingKeys: readonly Secret[]
  /** Where a person may go on to when it is done; null: nowhere in particular. */
  readonly successUrl: string | null
  readonly lifetimeMs: number
  /** After its alert resolved, a link works for this long. */
  readonly revokeAfterMs: number
  /** As HostPatterns: see links/allowed-host.ts. */
  readonly allowedHosts: readonly string[]
  /** Of what reaches the partner. */
  readonly requestsPerMinute: { readonly perLink: number; readonly total: number }
}

const shortestKey = 32

/** One key a line, so that a new one can be put on top of those that links in old messages are signed with. */
const signingKeys = {
  expected: `keys of at least ${shortestKey} characters, each on a line of its own`,
  holds: (value: string) => keysIn(value).length > 0 && keysIn(value).every(isKey),
}

function keysIn(value: string): readonly string[] {
  return value
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

function isKey(line: string): boolean {
  // The same letter over and over is no key, however long it is.
  return line.length >= shortestKey && /^[^\p{Cc}\s]+$/u.test(line) && new Set(line).size >= 8
}

/** `app.podero.com`, `app.podero.com:8443`, `*.podero.com`; not `*.com`, and no addresses behind a star. */
const hostPattern = {
  expected: 'a host such as app.podero.com, or *.podero.com for those below it',
  holds: (value: string) => {
    const host = value.replace(/^\*\./, '')
    const isBelow = host !== value
    const url = URL.parse(`https://${host}/`)
    if (url === null || !/^[a-z0-9.:[\]-]+$/.test(host)) return false
    if (url.host !== host && `${url.host}:443` !== host) return false
    return !isBelow || (/^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?$/.test(host) && !/\.\d+(?::\d+)?$/.test(host))
  },
}

export function linksSchema(files: NamedFiles) {
  return z.strictObject({
    signing_key: secret(signingKeys)
      .optional()
      .describe('What links are signed with, 32 characters or more; on further lines those used before.'),
    signing_key_file: secretFile(files, signingKeys).optional().describe('File that holds signing_key.'),
    success_url: text(safeUrl).optional().describe('Where a person may go on to when it is done.'),
    lifetime: duration({ minimumMs: 3_600_000 })
      .prefault('30d')
      .describe('A link works for this long after it was sent.'),
    revoke_after: duration({ minimumMs: 0 })
      .prefault('24h')
      .describe('After its alert resolved, a link works for this long.'),
    allowed_hosts: z
      .array(text(hostPattern))
      .min(1)
      .optional()
      .describe('Where links may lead, such as *.podero.com. Default: the host of partner.base_url.'),
    requests_per_minute: z
      .strictObject({
        per_link: z.int().min(1).max(1_000).default(6).describe('For one link, at most.'),
        total: z.int().min(1).max(100_000).default(120).describe('For all links together, at most.'),
      })
      .prefault({})
      .describe('How often links may make us ask the partner.'),
  })
}

/** What the schema does not see: links are of use under a public URL only, and there they need a key. */
export function checkLinks(config: unknown, report: Report): void {
  const { links: written, http } = mapping(config)
  const publicUrl = mapping(http)['public_url']
  if (publicUrl === undefined) {
    if (written !== undefined) {
      report(['links'], '"links" are of no use without `http.public_url`: set it, or leave them out', {
        key: true,
      })
    }
    return
  }
  if (has(mapping(written), 'signing_key')) return
  const isMentioned = written !== undefined
  report(
    isMentioned ? ['links'] : ['http', 'public_url'],
    'links under `http.public_url` are signed, and "signing_key" (or "signing_key_file") of `links` is missing: ' +
      'make one with `openssl rand -base64 32`',
    { key: isMentioned },
  )
}

/** Null: there is no public URL, and so there are no links of our own. */
export function resolveLinks(
  parsed: z.output<ReturnType<typeof linksSchema>> | undefined,
  { publicUrl, baseUrl }: { readonly publicUrl: string | null; readonly baseUrl: string },
): LinksConfig | null {
  const keys = parsed?.signing_key ?? parsed?.signing_key_file
  if (parsed === undefined || keys === undefined || publicUrl === null) return null
  return {
    signingKeys: keysIn(keys.reveal()).map((key) => new Secret(key)),
    successUrl: parsed.success_url ?? null,
    lifetimeMs: parsed.lifetime,
    revokeAfterMs: parsed.revoke_after,
    allowedHosts: parsed.allowed_hosts ?? [new URL(baseUrl).host],
    requestsPerMinute: {
      perLink: parsed.requests_per_minute.per_link,
      total: parsed.requests_per_minute.total,
    },
  }
}
