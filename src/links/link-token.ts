// The token of a link of ours: `{key id}.{payload}.{signature}`, each part base64url or plain, some hundred
// characters. It holds an episode's id, what the link is for, and when it ends: no personal data, and
// nothing that anybody could change without the key.
//
// Keys rotate by id, which is made from the key itself: the first key signs, all of them verify. Whether a
// token that verifies still counts (revoked, resolved) is not known here: see link-book.ts.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../secret.ts'

/**
 * `staff`: in a message to on-call staff. `owner`: in one to the device's owner. `unsubscribe`: ends messages
 * to an owner; its id is not an episode's but that of the owner's contact.
 */
export const linkPurposes = ['staff', 'owner', 'unsubscribe'] as const
export type LinkPurpose = (typeof linkPurposes)[number]

export interface LinkClaim {
  readonly purpose: LinkPurpose
  /** A UUID: of an alert's episode, or of an owner's contact. */
  readonly id: string
  /** Ms since 1970; kept to the minute. */
  readonly expiresAt: number
}

export interface LinkSigner {
  sign(claim: LinkClaim): string
  /** Null: forged, altered, of a key that is gone, or expired at `now`. One answer for all of them. */
  verify(token: string, now: number): LinkClaim | null
}

const version = 1
const minuteMs = 60_000
// Clocks of several machines differ; a link must not die earlier on one of them than it says.
const skewMs = 5 * minuteMs
const payloadBytes = 1 + 1 + 4 + 16
const longestToken = 200
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** `keys`: at least one, each a long random text. */
export function createLinkSigner(keys: readonly Secret[]): LinkSigner {
  const known = keys.map((key) => ({ id: keyId(key), key }))
  const [current] = known
  if (current === undefined) throw new Error('links cannot be signed without a key')

  return {
    sign(claim) {
      const signed = `${current.id}.${encode(claim)}`
      return `${signed}.${signature(current.key, signed).toString('base64url')}`
    },

    verify(token, now) {
      if (token.length > longestToken) return null
      const [id = '', payload = '', mac = '', ...more] = token.split('.')
      if (more.length > 0) return null
      const key = known.find((each) => each.id === id)?.key
      // With an unknown key all the same work is done, so that its time tells nothing.
      const expected = signature(key ?? current.key, `${id}.${payload}`)
      const given = Buffer.from(mac, 'base64url')
      const isSigned = given.length === expected.length && timingSafeEqual(given, expected)
      // Several texts decode to the same bytes; only the one that we write is ours.
      if (!isSigned || key === undefined || given.toString('base64url') !== mac) return null
      const claim = decode(payload)
      return claim !== null && now < claim.expiresAt + skewMs ? claim : null
    },
  }
}

/** Tells which key signed, and nothing about the key. */
function keyId(key: Secret): string {
  return createHash('sha256').update('fleetwarden link key\0').update(key.reveal()).digest('hex').slice(0, 8)
}

function signature(key: Secret, text: string): Buffer {
  return createHmac('sha256', key.reveal()).update('fleetwarden link\0').update(text).digest()
}

function encode({ purpose, id, expiresAt }: LinkClaim): string {
  if (!uuid.test(id)) throw new Error('a link is for a UUID')
  const bytes = Buffer.alloc(payloadBytes)
  bytes.writeUInt8(version, 0)
  bytes.writeUInt8(linkPurposes.indexOf(purpose), 1)
  bytes.writeUInt32BE(Math.floor(expiresAt / minuteMs), 2)
  bytes.write(id.replaceAll('-', ''), 6, 'hex')
  return bytes.toString('base64url')
}

function decode(payload: string): LinkClaim | null {
  const bytes = Buffer.from(payload, 'base64url')
  if (bytes.length !== payloadBytes || bytes.toString('base64url') !== payload) return null
  const purpose = linkPurposes[bytes.readUInt8(1)]
  if (bytes.readUInt8(0) !== version || purpose === undefined) return null
  const hex = bytes.toString('hex', 6)
  const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join(
    '-',
  )
  return { purpose, id, expiresAt: bytes.readUInt32BE(2) * minuteMs }
}
