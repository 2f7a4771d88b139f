import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash, indexOfUuid, randomSequence, uuidOf } from '../../src/simulator/hash.ts'

const seeds = fc.integer()
const indexes = fc.integer({ min: 0, max: 2 ** 32 - 1 })

describe('an id that carries its index', () => {
  it('leads back to the index for any seed, index and variant', () => {
    fc.assert(
      fc.property(seeds, indexes, fc.nat(), (seed, index, variant) => {
        expect(indexOfUuid(seed, 'device', uuidOf(seed, 'device', index, variant))).toBe(index)
      }),
    )
  })

  it('has the form of a version 4 UUID', () => {
    fc.assert(
      fc.property(seeds, indexes, (seed, index) => {
        expect(uuidOf(seed, 'user', index)).toMatch(
          /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        )
      }),
    )
  })

  it('differs for every index, kind, variant and seed', () => {
    const ids = new Set<string>()
    for (let index = 0; index < 20_000; index++) ids.add(uuidOf(1, 'user', index))
    ids
      .add(uuidOf(2, 'user', 0))
      .add(uuidOf(1, 'device', 0))
      .add(uuidOf(1, 'user', 0, 1))
    expect(ids.size).toBe(20_003)
  })

  it('is refused when it has another form', () => {
    for (const text of ['', 'abc', uuidOf(1, 'user', 1).toUpperCase(), `${uuidOf(1, 'user', 1)}0`]) {
      expect(indexOfUuid(1, 'user', text)).toBeNull()
    }
  })
})

it('hashes into 32 bits that are spread evenly', () => {
  const buckets = new Array<number>(16).fill(0)
  for (let index = 0; index < 16_000; index++) buckets[hash(7, 3, index) >>> 28]!++
  for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150)
})

it('repeats a random sequence for the same seed, and only for it', () => {
  const numbers = (seed: number) => Array.from({ length: 5 }, randomSequence(seed))
  expect(numbers(1)).toEqual(numbers(1))
  expect(numbers(1)).not.toEqual(numbers(2))
})
