// All users of a fleet in little memory, found by external id or by e-mail address: some 320 bytes each outside
// of the heap, so that a million of them are compared with a file on an ordinary machine. Records are packed
// into buffers; two hash tables say where. A hash only leads to a record, which is then compared itself.

import { comparable } from './comparison.ts'
import type { FieldValue } from './user-change.ts'
import { type UserField, userFieldNames } from './user-input.ts'

/** What a comparison needs of a user. */
export type KnownUser = { readonly id: string } & Readonly<Record<UserField, FieldValue>>

export interface AccountIndex {
  add(user: KnownUser): void
  readonly size: number
  /** Numbers of users, in the order in which they were added. */
  byExternalId(externalId: string): readonly number[]
  byEmail(email: string): readonly number[]
  user(number: number): KnownUser
}

const blockBytes = 1024 * 1024

export function createAccountIndex(): AccountIndex {
  const records = createRecords()
  const byExternalId = createTable()
  const byEmail = createTable()

  function user(number: number): KnownUser {
    const [id, ...values] = JSON.parse(records.get(number)) as [string, ...FieldValue[]]
    const fields = Object.fromEntries(userFieldNames.map((field, index) => [field, values[index] ?? null]))
    return { id, ...(fields as Record<UserField, FieldValue>) }
  }

  const found = (table: Table, field: 'external_user_id' | 'email', text: string): readonly number[] => {
    const wanted = comparable(field, text)
    if (wanted === '') return []
    return table.get(hash32(wanted)).filter((number) => comparable(field, user(number)[field]) === wanted)
  }

  return {
    add(added) {
      const number = records.add(JSON.stringify([added.id, ...userFieldNames.map((field) => added[field])]))
      const externalId = comparable('external_user_id', added.external_user_id)
      if (externalId !== '') byExternalId.add(hash32(externalId), number)
      const email = comparable('email', added.email)
      if (email !== '') byEmail.add(hash32(email), number)
    },
    get size() {
      return records.size
    },
    byExternalId: (externalId) => found(byExternalId, 'external_user_id', externalId),
    byEmail: (email) => found(byEmail, 'email', email),
    user,
  }
}

/** Texts one after the other in blocks, each found by its number. */
export function createRecords() {
  const blocks: Buffer[] = []
  let used = blockBytes
  let count = 0
  // Where each begins and how long it is: block × its size + offset, in a number of 53 bits.
  let starts = new Float64Array(1_024)
  let lengths = new Uint32Array(1_024)
  return {
    get size() {
      return count
    },
    add(text: string): number {
      const length = Buffer.byteLength(text)
      if (used + length > blockBytes) {
        blocks.push(Buffer.allocUnsafeSlow(Math.max(blockBytes, length)))
        used = 0
      }
      blocks[blocks.length - 1]?.write(text, used)
      if (count === starts.length) {
        starts = grown(starts, new Float64Array(count * 2))
        lengths = grown(lengths, new Uint32Array(count * 2))
      }
      starts[count] = (blocks.length - 1) * blockBytes + used
      lengths[count] = length
      // One that is larger than a block fills it.
      used = Math.min(used + length, blockBytes)
      return count++
    },
    get(number: number): string {
      const start = starts[number] ?? 0
      const offset = start % blockBytes
      return (
        blocks[Math.floor(start / blockBytes)]?.toString('utf8', offset, offset + (lengths[number] ?? 0)) ??
        ''
      )
    },
  }
}

type Table = ReturnType<typeof createTable>

/** Hash → numbers: open addressing for the first of each hash, and a chain from each to the next. */
export function createTable() {
  // Numbers are kept as number + 1, so that 0 is "none".
  let firsts = new Uint32Array(2_048)
  let hashes = new Uint32Array(2_048)
  let nexts = new Uint32Array(1_024)
  let lasts = new Uint32Array(2_048)
  let used = 0

  function slotOf(hash: number): number {
    const mask = firsts.length - 1
    let slot = hash & mask
    while (firsts[slot] !== 0 && hashes[slot] !== hash) slot = (slot + 1) & mask
    return slot
  }

  function grow(): void {
    const before = { firsts, hashes, lasts }
    firsts = new Uint32Array(before.firsts.length * 2)
    hashes = new Uint32Array(firsts.length)
    lasts = new Uint32Array(firsts.length)
    for (const [from, first] of before.firsts.entries()) {
      if (first === 0) continue
      const hash = before.hashes[from] ?? 0
      const slot = slotOf(hash)
      firsts[slot] = first
      hashes[slot] = hash
      lasts[slot] = before.lasts[from] ?? 0
    }
  }

  return {
    add(hash: number, number: number): void {
      while (number >= nexts.length) nexts = grown(nexts, new Uint32Array(nexts.length * 2))
      if (used * 3 > firsts.length * 2) grow()
      const slot = slotOf(hash)
      const last = lasts[slot] ?? 0
      if (last === 0) {
        used++
        firsts[slot] = number + 1
        hashes[slot] = hash
      } else nexts[last - 1] = number + 1
      lasts[slot] = number + 1
    },
    get(hash: number): number[] {
      const numbers: number[] = []
      for (let at = firsts[slotOf(hash)] ?? 0; at !== 0; at = nexts[at - 1] ?? 0) numbers.push(at - 1)
      return numbers
    },
  }
}

function grown<Numbers extends Float64Array | Uint32Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from)
  return to
}

/** FNV-1a over UTF-16, mixed at the end; unsigned. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}
