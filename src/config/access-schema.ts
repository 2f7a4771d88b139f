// `http.access`: who may use the API. Tokens are configured by their hashes, people by the names that a
// trusted proxy gives; whoever is in neither gets nothing.

import { isIP } from 'node:net'
import { z } from 'zod'
import { type Role, roles } from '../actor.ts'
import { secretFields } from '../schema-message.ts'
import type { YamlPath } from '../yaml-file.ts'
import { type TextRule, text } from './fields.ts'
import { type CheckContext, type Mapping, mapping, mappings, texts } from './unchecked.ts'

export interface AccessConfig {
  readonly tokens: readonly AccessToken[]
  /** Null: nobody but tokens. */
  readonly proxy: ProxyAccess | null
  readonly metrics: 'public' | 'viewer'
}

export interface AccessToken {
  readonly name: string
  readonly role: Role
  /** SHA-256 of the token, 64 hexadecimal digits in lower case. */
  readonly hash: string
  /** From this moment on it is refused (ms since 1970); null: never. */
  readonly expiresAt: number | null
}

/** A reverse proxy that says in headers who asks. */
export interface ProxyAccess {
  /** Only from there the headers count. */
  readonly addresses: readonly AddressRange[]
  /** In lower case. */
  readonly userHeader: string
  /** In lower case; null: there are no groups. */
  readonly groupsHeader: string | null
  readonly roles: Readonly<Record<Role, RoleMembers>>
}

export interface AddressRange {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  /** How many bits of the address count. */
  readonly prefix: number
}

export interface RoleMembers {
  readonly everybody: boolean
  readonly people: readonly string[]
  readonly groups: readonly string[]
}

/** Also what `token create` takes. It stands in logs and in silences. */
export const tokenName: TextRule = {
  expected: 'a name of at most 64 letters, digits and ". _ - @"',
  holds: (value) => /^[\p{L}\p{N}._@-]{1,64}$/u.test(value),
}

const hashPattern = /^sha256:([0-9a-f]{64})$/i

const hash = z.string().transform((written, context) => {
  const digits = hashPattern.exec(written)?.[1]
  if (digits !== undefined) return digits.toLowerCase()
  const message = written.startsWith('fwt_')
    ? 'this is a token, not its hash: whoever reads this file could use it. Make another one with `fleetwarden token create`'
    : 'expected sha256: and 64 hexadecimal digits, as `fleetwarden token create` prints them'
  // No more of it: it may be a token of another kind.
  context.issues.push({ code: 'custom', input: '', message })
  return z.NEVER
})
hash.register(secretFields, {})

const expiry = z.string().transform((written, context) => {
  const at = expiryOf(written)
  if (at !== undefined) return at
  const expected = 'a date such as 2027-06-30, or an instant such as 2027-06-30T12:00:00Z'
  context.issues.push({ code: 'custom', input: written, params: { expected } })
  return z.NEVER
})

const dayMs = 24 * 3_600_000

/** A date is the last day on which the token works, in UTC. */
function expiryOf(written: string): number | undefined {
  const [, date, time] =
    /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2}))?$/.exec(written) ?? []
  if (date === undefined) return undefined
  const midnight = Date.parse(`${date}T00:00:00Z`)
  // The 31st of a shorter month would become another day.
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(date)) return undefined
  const at = time === undefined ? midnight + dayMs : Date.parse(written)
  return Number.isNaN(at) ? undefined : at
}

const addressRange = z.string().transform((written, context): AddressRange => {
  const [address = '', length, ...more] = written.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  const bits = version === 4 ? 32 : 128
  const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : 0
  const isMapped = address.toLowerCase().startsWith('::ffff:')
  if (version !== 0 && !isMapped && more.length === 0 && prefix >= 1 && prefix <= bits) {
    return { address, family: version === 4 ? 'ipv4' : 'ipv6', prefix }
  }
  const hint = isMapped
    ? 'write it as IPv4'
    : version !== 0 && Number(length) === 0
      ? 'anybody could say who they are'
      : undefined
  const expected = 'an address or a range such as 127.0.0.1, 10.0.0.0/8 or fd00::/8'
  context.issues.push({ code: 'custom', input: written, params: { expected, ...(hint && { hint }) } })
  return z.NEVER
})

// What these say is never a name, or names somebody in a way of its own.
const takenHeaders = ['authorization', 'cookie', 'forwarded', 'host', 'origin', 'x-forwarded-for']

function headerName(example: string) {
  return text({
    expected: `the name of a header such as ${example}`,
    holds: (value) =>
      /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/.test(value) && !takenHeaders.includes(value.toLowerCase()),
  })
}

const member = text({
  expected: '"*" for everybody, the name of a person, or group:NAME',
  // Names are compared as they are, so one that no header can hold is a mistake.
  holds: (value) =>
    value.length <= 300 &&
    value.trim() === value &&
    /^(?!group:$)[^\p{Cc}\p{Cf}\p{Zl}\p{Zp},]+$/u.test(value),
})

const members = z.array(member).prefault([])

const proxySchema = z.strictObject({
  addresses: z
    .array(addressRange)
    .min(1)
    .describe(
      'Where the proxy asks from, as addresses or ranges. From elsewhere its headers count for nothing.',
    ),
  user_header: headerName('X-Forwarded-User')
    .default('X-Forwarded-User')
    .describe('The header that names the person.'),
  groups_header: headerName('X-Forwarded-Groups')
    .optional()
    .describe("The header with the person's groups, separated by commas."),
  roles: z
    .strictObject({
      viewer: members.describe('Who may look. "*": everybody whom the proxy names.'),
      operator: members.describe('Who may silence and acknowledge, too.'),
      admin: members.describe('Who may do everything.'),
    })
    .describe('People and group:NAME by their role; the highest counts.'),
})

export const accessSchema = z.strictObject({
  tokens: z
    .array(
      z.strictObject({
        name: text(tokenName).describe('Who holds it: in logs, and where it changes something.'),
        role: z.enum(roles).describe('What it may do; each role includes the ones before it.'),
        hash: hash.describe('As `fleetwarden token create` prints it.'),
        expires: expiry.optional().describe('The last day on which it works, in UTC; or an instant.'),
      }),
    )
    .prefault([])
    .describe('Access tokens, by their hashes.'),
  proxy: proxySchema.optional().describe('A reverse proxy that is trusted to say who asks.'),
  metrics: z.enum(['public', 'viewer']).default('public').describe('Who may read /metrics.'),
})

/** What a schema does not see: names and hashes that stand twice, and roles that nobody can have. */
export function checkAccess(value: unknown, path: YamlPath, context: CheckContext): void {
  const access = mapping(value)
  if (value === undefined || value === null) return
  const tokens = mappings(access['tokens'])
  if (tokens.length === 0 && access['proxy'] === undefined && !isOther(access['tokens'])) {
    context.report(path, '`http.access` lets nobody in: give it `tokens` or `proxy`', { key: true })
  }
  checkTokens(tokens, [...path, 'tokens'], context)
  if (access['proxy'] !== undefined) checkProxy(mapping(access['proxy']), [...path, 'proxy'], context)
}

/** Wrong in a way that the schema tells. */
function isOther(tokens: unknown): boolean {
  return tokens !== undefined && !(Array.isArray(tokens) && tokens.length === 0)
}

function checkTokens(
  tokens: readonly (readonly [number, Mapping])[],
  path: YamlPath,
  { report, quoted }: CheckContext,
): void {
  const names = new Map<unknown, number>()
  const hashes = new Map<string, unknown>()
  for (const [index, { name, hash: written }] of tokens) {
    if (typeof name === 'string') {
      if (names.has(name))
        report([...path, index, 'name'], `${quoted([...path, index, 'name'])} is the name of two tokens`)
      names.set(name, index)
    }
    if (typeof written !== 'string' || !hashPattern.test(written)) continue
    const digits = written.toLowerCase()
    if (hashes.has(digits)) {
      const other = String(hashes.get(digits))
      report(
        [...path, index, 'hash'],
        `the token ${JSON.stringify(other)} has the same hash: each needs a token of its own`,
      )
    }
    hashes.set(digits, name)
  }
}

function checkProxy(proxy: Mapping, path: YamlPath, { report, quoted }: CheckContext): void {
  const { user_header: user = 'X-Forwarded-User', groups_header: groups } = proxy
  if (typeof user === 'string' && typeof groups === 'string' && user.toLowerCase() === groups.toLowerCase()) {
    report([...path, 'groups_header'], 'one header cannot name both the person and the groups')
  }
  if (proxy['roles'] === undefined) return
  const given = mapping(proxy['roles'])
  const at = [...path, 'roles']
  const isEmpty = (value: unknown) => value === undefined || (Array.isArray(value) && value.length === 0)
  if (roles.every((role) => isEmpty(given[role]))) {
    report(at, 'nobody has a role: name people, group:NAME, or "*" for everybody', { key: true })
  }
  const seen = new Map<string, Role>()
  for (const role of roles.toReversed()) {
    for (const [index, entry] of texts(given[role])) {
      const place = [...at, role, index]
      const higher = seen.get(entry)
      if (higher !== undefined) {
        const where = higher === role ? 'here already' : `in \`${higher}\` already, which includes this role`
        report(place, `${quoted(place)} is ${where}`)
      }
      seen.set(entry, higher ?? role)
      if (entry.startsWith('group:') && groups === undefined) {
        report(place, `${quoted(place)} is a group: say in \`groups_header\` which header has the groups`)
      }
    }
  }
}

export function resolveAccess(parsed: z.output<typeof accessSchema> | undefined): AccessConfig | null {
  if (parsed === undefined) return null
  const { tokens, proxy, metrics } = parsed
  return {
    tokens: tokens.map(({ name, role, hash: digits, expires }) => ({
      ...{ name, role, hash: digits },
      expiresAt: expires ?? null,
    })),
    proxy:
      proxy === undefined
        ? null
        : {
            addresses: proxy.addresses,
            userHeader: proxy.user_header.toLowerCase(),
            groupsHeader: proxy.groups_header?.toLowerCase() ?? null,
            roles: {
              viewer: membersOf(proxy.roles.viewer),
              operator: membersOf(proxy.roles.operator),
              admin: membersOf(proxy.roles.admin),
            },
          },
    metrics,
  }
}

/** Apart from each other, so that nobody is in a group for being called `group:…`. */
function membersOf(entries: readonly string[]): RoleMembers {
  const named = entries.filter((entry) => entry !== '*')
  const groups = named.filter((entry) => entry.startsWith('group:'))
  return {
    everybody: entries.includes('*'),
    people: named.filter((entry) => !entry.startsWith('group:')),
    groups: groups.map((entry) => entry.slice('group:'.length)),
  }
}
