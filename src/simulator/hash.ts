// Numbers and ids out of (seed, kind, index): what makes a million users fit into no memory at all.
//
// An id looks random, yet carries its index: the last 32 bits are a permutation of the index, the rest
// is a hash of it. So a user or device is found by its id without an index of ids, and an id that
// nobody issued is told apart, because the hash does not fit. Pure; nothing here is cryptographic.

/** 32 bits (0 … 2^32 - 1) out of a seed and two numbers: MurmurHash3 over two words. */
export function hash(seed: number, a: number, b = 0): number {
  let h = absorb(absorb(seed | 0, a), b) ^ 8
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function absorb(h: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51)
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  h ^= k
  h = (h << 13) | (h >>> 19)
  return (Math.imul(h, 5) + 0xe6546b64) | 0
}

/** Uniform in [0, 1), from the same arguments as `hash`. */
export function fraction(seed: number, a: number, b = 0): number {
  return hash(seed, a, b) / 4_294_967_296
}

/** The element that a number picks. Throws a RangeError when there is none. */
export function pick<T>(from: readonly T[], number: number): T {
  const chosen = from[number % from.length]
  if (chosen === undefined) throw new RangeError('cannot pick from an empty list')
  return chosen
}

/** Numbers in [0, 1), one after the other, the same ones for the same seed. */
export function randomSequence(seed: number): () => number {
  let drawn = 0
  return () => fraction(seed, 0x5eed, drawn++)
}

/** What an id names: the same index under another kind is a wholly different id. */
export type IdKind =
  | 'organization'
  | 'user'
  | 'device'
  | 'cue'
  | 'building'
  | 'contract'
  | 'session'
  | 'model'

const kindSalt: Readonly<Record<IdKind, number>> = {
  organization: 0x11a3,
  user: 0x22b5,
  device: 0x33c7,
  cue: 0x44d9,
  building: 0x55eb,
  contract: 0x66fd,
  session: 0x770f,
  model: 0x8821,
}

const hexByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function hex32(word: number): string {
  return (
    (hexByte[word >>> 24] ?? '') +
    (hexByte[(word >>> 16) & 255] ?? '') +
    (hexByte[(word >>> 8) & 255] ?? '') +
    (hexByte[word & 255] ?? '')
  )
}

/** A UUID of version 4 in form. `variant` gives one index several ids (the actions of a device). */
export function uuidOf(seed: number, kind: IdKind, index: number, variant = 0): string {
  const salt = kindSalt[kind]
  const base = hash(seed, salt, variant)
  const middle = hex32(hash(base, index, 1))
  const tail = hex32(hash(base, index, 2))
  const variantDigit = '89ab'[hash(base, index, 3) & 3]
  return (
    `${hex32(hash(base, index, 0))}-${middle.slice(0, 4)}-4${middle.slice(5)}-` +
    `${variantDigit}${tail.slice(0, 3)}-${tail.slice(4)}${hex32(permute(index, seed ^ salt))}`
  )
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/**
 * The index that an id of this kind carries, null when it has not the form of an id. Any id carries
 * some index: whoever asks makes the id of that index again and compares.
 */
export function indexOfUuid(seed: number, kind: IdKind, uuid: string): number | null {
  if (!uuidPattern.test(uuid)) return null
  return unpermute(Number.parseInt(uuid.slice(-8), 16), seed ^ kindSalt[kind])
}

// Odd numbers have an inverse modulo 2^32, and x ^ (x >>> 16) undoes itself.
const factor = 0x9e3779b1
const inverseFactor = inverseModulo32(factor)

function permute(value: number, key: number): number {
  let x = value ^ key
  x = Math.imul(x, factor)
  x ^= x >>> 16
  return Math.imul(x, factor) >>> 0
}

function unpermute(value: number, key: number): number {
  let x = Math.imul(value, inverseFactor)
  x ^= x >>> 16
  return (Math.imul(x, inverseFactor) ^ key) >>> 0
}

/** Newton's iteration doubles the number of right bits with each step. */
function inverseModulo32(odd: number): number {
  let inverse = odd
  for (let step = 0; step < 5; step++) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse))
  return inverse
}
