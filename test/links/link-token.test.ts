import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLinkSigner, type LinkClaim, linkPurposes } from '../../src/links/link-token.ts'
import { Secret } from '../../src/secret.ts'

const minuteMs = 60_000
const now = Date.UTC(2026, 10, 27, 12)
const key = new Secret('0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b')
const olderKey = new Secret('ffeeddccbbaa99887766554433221100')
const claim: LinkClaim = {
  purpose: 'staff',
  id: '6f9619ff-8b86-4011-b42d-00c04fc964ff',
  expiresAt: now + 30 * 24 * 60 * minuteMs,
}

const claims = fc.record({
  purpose: fc.constantFrom(...linkPurposes),
  id: fc.uuid(),
  expiresAt: fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((minutes) => minutes * minuteMs),
})

describe('the token of a link', () => {
  it('comes back as what was signed, and is short enough for a line of text', () => {
    fc.assert(
      fc.property(claims, (any) => {
        const token = createLinkSigner([key]).sign(any)
        expect(createLinkSigner([key]).verify(token, any.expiresAt - 1)).toEqual(any)
        expect(token).toMatch(/^[\w.-]{80,120}$/)
      }),
    )
  })

  it('is refused with any bit of any character changed', () => {
    const signer = createLinkSigner([key, olderKey])
    const token = signer.sign(claim)
    for (let at = 0; at < token.length; at++) {
      for (let bit = 0; bit < 7; bit++) {
        const changed = String.fromCharCode(token.charCodeAt(at) ^ (1 << bit))
        expect(signer.verify(token.slice(0, at) + changed + token.slice(at + 1), now)).toBeNull()
      }
    }
  })

  it('is refused cut off, lengthened, or made of parts of two', () => {
    const signer = createLinkSigner([key])
    const [id, payload, mac] = signer.sign(claim).split('.')
    const other = signer.sign({ ...claim, id: randomUUID() }).split('.')
    for (const forged of [
      '',
      '..',
      `${id}.${payload}`,
      `${id}.${payload}.`,
      `${id}.${payload}.${mac}.`,
      `${id}.${payload}.${mac}A`,
      `${id}.${payload}.${mac}=`,
      `${id}.${other[1]}.${mac}`,
      `${id}.${payload}.${other[2]}`,
      ` ${id}.${payload}.${mac}`,
      'x'.repeat(1_000_000),
    ]) {
      expect(signer.verify(forged, now)).toBeNull()
    }
  })

  it('is refused, whatever text it is', () => {
    const signer = createLinkSigner([key])
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => signer.verify(text, now) === null))
  })

  it('goes on to work when a new key is put before the one that signed it, and ends with its key', () => {
    const token = createLinkSigner([olderKey]).sign(claim)
    const rotated = createLinkSigner([key, olderKey])
    expect(rotated.verify(token, now)).toEqual(claim)
    expect(rotated.sign(claim)).not.toBe(token)
    expect(createLinkSigner([key]).verify(token, now)).toBeNull()
  })

  it('ends when it says, with five minutes for clocks that differ', () => {
    const signer = createLinkSigner([key])
    const token = signer.sign(claim)
    expect(signer.verify(token, claim.expiresAt + 5 * minuteMs - 1)).toEqual(claim)
    expect(signer.verify(token, claim.expiresAt + 5 * minuteMs)).toBeNull()
    // Signed by a replica whose clock runs ahead.
    expect(signer.verify(token, now - 10 * minuteMs)).toEqual(claim)
  })

  it('says nothing of the key', () => {
    const token = createLinkSigner([key]).sign(claim)
    expect(token).not.toContain(key.reveal().slice(0, 8))
    expect(Buffer.from(token, 'base64url').includes(key.reveal())).toBe(false)
  })
})
