// Who asks, as far as a request can show it: the holder of a token whose hash is configured, or the person
// whom a trusted proxy names. Whether that is enough is not decided here.
//
// Where a trusted proxy names a person, that is who asks, whatever else the request brings: the
// Authorization header is then often what that person has for the proxy. A header that says one thing
// twice says nothing: most likely the proxy adds its own to what the client sent.

import { createHash, timingSafeEqual } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { type Actor, type RefusalReason, type Role, roles } from '../actor.ts'
import type { AccessConfig, ProxyAccess } from '../config.ts'
import { plainAddress, withoutBrackets } from './address.ts'

/** Of a request what says who asks. */
export interface Asking {
  /** The other end of the socket. */
  readonly peer: string | undefined
  /** By name in lower case, each line that was sent (Node's `headersDistinct`). */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>
}

type UnknownReason = Extract<RefusalReason, 'no_identity' | 'unknown_token' | 'expired_token' | 'malformed'>

export type Identity =
  | { readonly kind: 'known'; readonly actor: Actor }
  /** `message` is for whoever asked. */
  | { readonly kind: 'unknown'; readonly reason: UnknownReason; readonly message: string }

export interface Identifier {
  identify(asking: Asking): Identity
  /** Where it comes from: behind a trusted proxy what that says, else the socket's other end. */
  fromOf(asking: Asking): string | null
  /** It names a person, and does not come from the proxy: that counts for nothing. */
  isImpostor(asking: Asking): boolean
}

const mostNameCharacters = 256
const mostGroupsBytes = 8 * 1_024
const mostTokenCharacters = 512
// More hops than anybody has: what a client invents would otherwise be walked.
const mostHops = 50

export function createIdentifier({ tokens, proxy }: AccessConfig, now: () => number): Identifier {
  const known = tokens.map((token) => ({ ...token, digest: Buffer.from(token.hash, 'hex') }))
  const isProxy = proxy === null ? () => false : createAddressTest(proxy)

  function fromOf({ peer, headers }: Asking): string | null {
    if (peer === undefined) return null
    return isProxy(peer)
      ? forwardedFor(headers['x-forwarded-for'], plainAddress(peer), isProxy)
      : plainAddress(peer)
  }

  function tokenHolder(token: string, from: string | null): Identity {
    const digest = createHash('sha256').update(token).digest()
    // All of them, in any case: how long it takes tells nothing of which one nearly fits.
    const [match] = known.filter((each) => timingSafeEqual(each.digest, digest))
    if (match === undefined) return unknown('unknown_token', 'this access token is not known here')
    const { name, role, expiresAt } = match
    if (expiresAt !== null && now() >= expiresAt) {
      const when = new Date(expiresAt).toISOString()
      return unknown(
        'expired_token',
        `the access token ${JSON.stringify(name)} has expired: it was good until ${when}`,
      )
    }
    return { kind: 'known', actor: { kind: 'token', name, role, from } }
  }

  return {
    fromOf,
    isImpostor: ({ peer, headers }) =>
      proxy !== null && headers[proxy.userHeader] !== undefined && (peer === undefined || !isProxy(peer)),
    identify(asking) {
      const { peer, headers } = asking
      const from = fromOf(asking)
      if (proxy !== null && headers[proxy.userHeader] !== undefined && peer !== undefined && isProxy(peer)) {
        return personOf(headers, proxy, from)
      }
      const token = bearerToken(headers['authorization'])
      switch (token.kind) {
        case 'none': {
          const orProxy = proxy === null ? '' : ', or a person whom the proxy names'
          return unknown('no_identity', `this needs an access token (Authorization: Bearer …)${orProxy}`)
        }
        case 'malformed':
          return unknown('malformed', token.message)
        case 'token':
          return tokenHolder(token.token, from)
        default:
          return token satisfies never
      }
    },
  }
}

function unknown(reason: UnknownReason, message: string): Identity {
  return { kind: 'unknown', reason, message }
}

type BearerToken =
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly message: string }
  | { readonly kind: 'token'; readonly token: string }

function bearerToken(lines: readonly string[] | undefined): BearerToken {
  const [line, ...more] = lines ?? []
  if (line === undefined) return { kind: 'none' }
  if (more.length > 0)
    return { kind: 'malformed', message: 'the header Authorization was sent more than once' }
  const token = /^bearer +([\w.~+/-]+=*)$/i.exec(line)?.[1]
  if (token === undefined || token.length > mostTokenCharacters) {
    return { kind: 'malformed', message: 'expected Authorization: Bearer and an access token' }
  }
  return { kind: 'token', token }
}

/** What holds for tokens on both sides: what a header can carry (RFC 6750), and no more than anybody needs. */
export function isTokenText(text: string): boolean {
  return bearerToken([`Bearer ${text}`]).kind === 'token'
}

function personOf(headers: Asking['headers'], proxy: ProxyAccess, from: string | null): Identity {
  const users = headers[proxy.userHeader] ?? []
  const name = users.length === 1 ? headerText(users[0] ?? '') : null
  // A comma is how two lines become one on the way.
  if (users.length !== 1 || name?.includes(','))
    return unknown('malformed', 'the proxy names more than one person')
  if (name === null || name === '' || name.length > mostNameCharacters) {
    return unknown('malformed', 'the proxy names a person in a way that cannot be read')
  }
  const lines = (proxy.groupsHeader === null ? undefined : headers[proxy.groupsHeader]) ?? []
  const groups = headerText(lines[0] ?? '')
  if (lines.length > 1 || groups === null || (lines[0]?.length ?? 0) > mostGroupsBytes) {
    return unknown('malformed', 'the proxy names groups in a way that cannot be read')
  }
  const memberships = groups.split(',').map((group) => group.trim())
  return { kind: 'known', actor: { kind: 'person', name, role: roleOf(name, memberships, proxy), from } }
}

function roleOf(name: string, memberships: readonly string[], proxy: ProxyAccess): Role | null {
  const found = roles.toReversed().find((role) => {
    const { everybody, people, groups } = proxy.roles[role]
    return everybody || people.includes(name) || memberships.some((group) => groups.includes(group))
  })
  return found ?? null
}

/** Node shows each byte as a character; null: it is no UTF-8, or holds what would move a cursor or turn text. */
function headerText(value: string): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(value, 'latin1'),
    )
    return /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) ? null : text.trim()
  } catch {
    return null
  }
}

function createAddressTest({ addresses }: ProxyAccess): (address: string) => boolean {
  const list = new BlockList()
  for (const { address, family, prefix } of addresses) list.addSubnet(address, prefix, family)
  return (address) => {
    const plain = plainAddress(address)
    const version = isIP(plain)
    return version !== 0 && list.check(plain, version === 4 ? 'ipv4' : 'ipv6')
  }
}

/**
 * Each proxy adds at the end whom it was asked by, so from the right: the first that is no proxy of ours.
 * What stands left of that is the client's own invention.
 */
function forwardedFor(
  lines: readonly string[] | undefined,
  peer: string,
  isProxy: (address: string) => boolean,
): string {
  const hops = (lines ?? []).join(',').split(',').slice(-mostHops).toReversed()
  let from = peer
  for (const hop of hops) {
    const address = hopAddress(hop.trim())
    if (address === null) break
    from = address
    if (!isProxy(address)) break
  }
  return from
}

/** Some write the port, too. */
function hopAddress(hop: string): string | null {
  const bare = /^(\[[^\]]+\]|\d+\.\d+\.\d+\.\d+)(?::\d+)?$/.exec(hop)?.[1] ?? hop
  const address = plainAddress(withoutBrackets(bare))
  return isIP(address) === 0 ? null : address
}
