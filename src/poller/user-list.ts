// The users of one walk, kept while it lasts: packed rows in compressed blocks outside of the heap,
// some 100 bytes per user, so that a million users are no gigabyte. Users are added in the order of
// the partner's list and come out again in it, one block at a time. It lives as long as its walk.

import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { User } from '../fleet/user.ts'

interface UserListOptions {
  /** Whether to count how many users share an external id; 12 to 24 bytes more per user. */
  readonly countExternalIds: boolean
  /** Any number, another one for each walk: see HashCounts. */
  readonly seed: number
}

const usersPerBlock = 512
// Level 1 takes 2 µs per user and halves the rows twice; higher ones gain little for more time.
const compressionLevel = 1

export class UserList {
  readonly #blocks: Buffer[] = []
  #rows: UserRow[] = []
  #size = 0
  readonly #seed: number
  readonly #ids = new HashCounts()
  readonly #externalIds: HashCounts | null

  constructor({ countExternalIds, seed }: UserListOptions) {
    this.#seed = seed
    this.#externalIds = countExternalIds ? new HashCounts() : null
  }

  /** False: this user is in the list already, and nothing was added. */
  add(user: User): boolean {
    if (this.#ids.add(hash53(user.id, this.#seed)) > 1) return false
    if (user.external_user_id !== null) this.#externalIds?.add(hash53(user.external_user_id, this.#seed))
    this.#rows.push(toRow(user))
    this.#size++
    if (this.#rows.length === usersPerBlock) {
      this.#blocks.push(deflateRawSync(JSON.stringify(this.#rows), { level: compressionLevel }))
      this.#rows = []
    }
    return true
  }

  get size(): number {
    return this.#size
  }

  has(userId: string): boolean {
    return this.#ids.get(hash53(userId, this.#seed)) > 0
  }

  /** Every user once, with `external_user_id_count` filled in if that was asked for. */
  *users(): Generator<User, void> {
    for (const block of this.#blocks) {
      const rows = JSON.parse(inflateRawSync(block).toString()) as readonly UserRow[]
      for (const row of rows) yield this.#fromRow(row)
    }
    for (const row of this.#rows) yield this.#fromRow(row)
  }

  /** How many users of the list carry this external id; null if that was not counted, or without one. */
  externalIdCount(externalId: string | null): number | null {
    if (this.#externalIds === null || externalId === null || externalId === '') return null
    return this.#externalIds.get(hash53(externalId, this.#seed))
  }

  #fromRow(row: UserRow): User {
    return {
      id: row[0],
      role: row[1],
      email: row[2],
      external_user_id: row[3],
      first_name: row[4],
      last_name: row[5],
      street_and_number: row[6],
      street_add_info: row[7],
      zip_code: row[8],
      town: row[9],
      country: row[10],
      latitude: row[11],
      longitude: row[12],
      location_last_updated: row[13],
      is_onboarded: row[14],
      last_login: row[15],
      joined_at: row[16],
      num_heat_pumps: row[17],
      num_electric_vehicles: row[18],
      num_inverters: row[19],
      num_wallboxes: row[20],
      migration_step: null,
      migration_since: null,
      external_user_id_count: this.externalIdCount(row[3]),
      energy_contracts: null,
    }
  }
}

function toRow(user: User) {
  return [
    user.id,
    user.role,
    user.email,
    user.external_user_id,
    user.first_name,
    user.last_name,
    user.street_and_number,
    user.street_add_info,
    user.zip_code,
    user.town,
    user.country,
    user.latitude,
    user.longitude,
    user.location_last_updated,
    user.is_onboarded,
    user.last_login,
    user.joined_at,
    user.num_heat_pumps,
    user.num_electric_vehicles,
    user.num_inverters,
    user.num_wallboxes,
  ] as const
}

type UserRow = ReturnType<typeof toRow>

/**
 * Counts by hash, in 12 bytes per slot outside of the heap: open addressing in typed arrays. Two
 * keys of the same 53 bits count as one; among a million that happens in one of 18,000 walks, and
 * to other keys in each, since every walk has its own seed.
 */
class HashCounts {
  #hashes = new Float64Array(1_024)
  #counts = new Uint32Array(1_024)
  #size = 0

  /** The count of this hash, with this time. */
  add(hash: number): number {
    if (this.#size * 3 > this.#hashes.length * 2) this.#grow()
    const slot = this.#slot(hash)
    if (this.#counts[slot] === 0) {
      this.#hashes[slot] = hash
      this.#size++
    }
    const count = (this.#counts[slot] ?? 0) + 1
    this.#counts[slot] = count
    return count
  }

  get(hash: number): number {
    return this.#counts[this.#slot(hash)] ?? 0
  }

  /** Where the hash is, or would be put. */
  #slot(hash: number): number {
    const mask = this.#hashes.length - 1
    let slot = hash % this.#hashes.length
    while (this.#counts[slot] !== 0 && this.#hashes[slot] !== hash) slot = (slot + 1) & mask
    return slot
  }

  #grow(): void {
    const hashes = this.#hashes
    const counts = this.#counts
    this.#hashes = new Float64Array(hashes.length * 2)
    this.#counts = new Uint32Array(counts.length * 2)
    for (const [from, count] of counts.entries()) {
      if (count === 0) continue
      const hash = hashes[from] ?? 0
      const slot = this.#slot(hash)
      this.#hashes[slot] = hash
      this.#counts[slot] = count
    }
  }
}

/** 53 bits of a text: cyrb53 (public domain), two 32-bit multiplicative hashes mixed at the end. */
function hash53(text: string, seed: number): number {
  let high = 0xdeadbeef ^ seed
  let low = 0x41c6ce57 ^ seed
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    high = Math.imul(high ^ code, 2_654_435_761)
    low = Math.imul(low ^ code, 1_597_334_677)
  }
  high = Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909)
  low = Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909)
  return 4_294_967_296 * (0x1f_ffff & low) + (high >>> 0)
}
