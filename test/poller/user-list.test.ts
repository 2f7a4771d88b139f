import { randomUUID } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { User } from '../../src/fleet/user.ts'
import { decodeUser } from '../../src/partner/decode.ts'
import { UserList } from '../../src/poller/user-list.ts'
import { user } from '../partner/sample.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const decoded = decodeUser(user, () => {}) as User

function listOf(users: readonly User[], options: Partial<ConstructorParameters<typeof UserList>[0]> = {}) {
  const list = new UserList({ countExternalIds: false, seed: 1, ...options })
  for (const one of users) list.add(one)
  return list
}

describe('the user list', () => {
  it('gives every user back as it was, in order, however many there are', () => {
    const text = fc.option(fc.string({ unit: 'binary' }))
    const number = fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0))
    const anyUser = fc.record({
      role: text,
      email: text,
      external_user_id: text,
      first_name: text,
      town: text,
      latitude: number,
      last_login: fc.option(fc.integer()),
      is_onboarded: fc.option(fc.boolean()),
      num_heat_pumps: number,
      num_wallboxes: fc.constantFrom(null, 0, 1),
    })
    fc.assert(
      fc.property(fc.array(anyUser, { maxLength: 30 }), fc.constantFrom(0, 511, 512, 1_100), (some, more) => {
        const users = [
          ...some.map((fields, at) => ({ ...decoded, ...fields, id: `a${at}` })),
          ...Array.from({ length: more }, (_, at) => ({ ...decoded, id: `b${at}` })),
        ]
        const list = listOf(users)
        expect(list.size).toBe(users.length)
        expect([...list.users()]).toEqual(users)
      }),
      { numRuns: 10 },
    )
  })

  it('keeps the shape of a decoded user', () => {
    const [kept] = [...listOf([decoded]).users()]
    expect(Object.keys(kept ?? {})).toEqual(Object.keys(decoded))
  })

  it('takes each user once', () => {
    const list = listOf([])
    expect(list.add(decoded)).toBe(true)
    expect(list.add({ ...decoded, town: 'Graz' })).toBe(false)
    expect([...list.users()]).toEqual([decoded])
  })

  it('knows who is in it', () => {
    const ids = Array.from({ length: 5_000 }, () => randomUUID())
    const list = listOf(ids.map((id) => ({ ...decoded, id })))
    for (const id of ids) expect(list.has(id)).toBe(true)
    for (let n = 0; n < 5_000; n++) expect(list.has(randomUUID())).toBe(false)
  })

  it('counts who shares an external id, when that is asked for', () => {
    const externalIds = [
      ...Array.from({ length: 3_000 }, (_, at) => `c-${at % 1_500}`),
      'once',
      null,
      null,
      '',
      '',
    ]
    const users = externalIds.map((external_user_id, at) => ({ ...decoded, id: `u${at}`, external_user_id }))
    const counts = [...listOf(users, { countExternalIds: true }).users()].map(
      (one) => one.external_user_id_count,
    )
    expect(new Set(counts.slice(0, 3_000))).toEqual(new Set([2]))
    expect(counts.slice(3_000)).toEqual([1, null, null, null, null])
    expect(listOf(users).externalIdCount('c-1')).toBeNull()
  })

  it('needs less than 300 bytes per user outside of the heap, and nothing in it', () => {
    const count = 30_000
    const used = () => {
      collectGarbage()
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return { outside: arrayBuffers / count, heap: heapUsed / count }
    }
    const before = used()
    const list = new UserList({ countExternalIds: true, seed: 1 })
    for (let at = 0; at < count; at++) {
      const [id, external] = [randomUUID(), `customer-${at * 7_919}`]
      const email = `${external}.${at % 977}@example.com`
      list.add({ ...decoded, id, email, external_user_id: external, latitude: 48 + Math.random() })
    }
    const after = used()
    expect(after.outside - before.outside).toBeLessThan(300)
    expect(after.heap - before.heap).toBeLessThan(40)
    expect(list.size).toBe(count)
  })
})
