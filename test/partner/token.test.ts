import { describe, expect, it } from 'vitest'
import { createTokenSource, fixedToken, type IssuedToken } from '../../src/partner/token.ts'
import { Secret } from '../../src/secret.ts'
import { createManualClock, settled } from '../manual-clock.ts'

/** Tokens t1, t2, … that arrive when they are told to. */
function tokens({ expiresInMs = 3_600_000 as number | null } = {}) {
  const clock = createManualClock()
  const fetches: { succeed: () => Promise<void>; fail: (error: Error) => Promise<void> }[] = []
  const source = createTokenSource({
    clock,
    fetch: () =>
      new Promise<IssuedToken>((resolve, reject) => {
        const token = new Secret(`t${fetches.length + 1}`)
        fetches.push({
          succeed: async () => {
            resolve({ token, expiresInMs })
            await settled()
          },
          fail: async (error) => {
            reject(error)
            await settled()
          },
        })
      }),
  })
  const current = async () => (await source.current()).reveal()
  return { clock, source, fetches, current }
}

describe('the token', () => {
  it('is fetched once however many ask for it', async () => {
    const { fetches, current } = tokens()
    const asked = Promise.all(Array.from({ length: 50 }, current))
    await fetches[0]?.succeed()
    expect(new Set(await asked)).toEqual(new Set(['t1']))
    expect(await current()).toBe('t1')
    expect(fetches).toHaveLength(1)
  })

  it('is there at once, without a promise, once it is known', async () => {
    const { source, fetches, current } = tokens()
    const first = current()
    await fetches[0]?.succeed()
    await first
    expect(source.current()).toBeInstanceOf(Secret)
  })

  it('is renewed before it expires, while the old one still serves', async () => {
    const { clock, fetches, current } = tokens({ expiresInMs: 600_000 })
    const first = current()
    await fetches[0]?.succeed()
    await first
    await clock.advance(539_000)
    await current()
    expect(fetches).toHaveLength(1)
    await clock.advance(2_000)
    expect(await current()).toBe('t1')
    expect(await current()).toBe('t1')
    expect(fetches).toHaveLength(2)
    await fetches[1]?.succeed()
    expect(await current()).toBe('t2')
  })

  it('is waited for when it has expired', async () => {
    const { clock, fetches, current } = tokens({ expiresInMs: 600_000 })
    const first = current()
    await fetches[0]?.succeed()
    await first
    await clock.advance(600_000)
    const second = current()
    await settled()
    await fetches[1]?.succeed()
    expect(await second).toBe('t2')
  })

  it('is taken to hold for an hour when the partner does not say', async () => {
    const { clock, fetches, current } = tokens({ expiresInMs: null })
    const first = current()
    await fetches[0]?.succeed()
    await first
    await clock.advance(3_500_000)
    await current()
    expect(fetches).toHaveLength(1)
    await clock.advance(100_000)
    void current()
    await settled()
    expect(fetches).toHaveLength(2)
  })

  it('is fetched once more when it is refused, however many requests saw that', async () => {
    const { source, fetches, current } = tokens()
    const first = source.current()
    await fetches[0]?.succeed()
    const t1 = await first
    source.accepted(t1)
    expect([source.reject(t1), source.reject(t1), source.reject(t1)]).toEqual([true, true, true])
    const again = Promise.all([current(), current()])
    await fetches[1]?.succeed()
    expect(await again).toEqual(['t2', 't2'])
    // An answer to a request with the old one, which took its time.
    expect(source.reject(t1)).toBe(true)
    expect(await current()).toBe('t2')
    expect(fetches).toHaveLength(2)
  })

  it('is not fetched a third time when its successor is refused too, for half a minute', async () => {
    const { clock, source, fetches } = tokens()
    const first = source.current()
    await fetches[0]?.succeed()
    expect(source.reject(await first)).toBe(true)
    const second = source.current()
    await fetches[1]?.succeed()
    const t2 = await second
    expect(source.reject(t2)).toBe(false)
    await clock.advance(31_000)
    expect(source.reject(t2)).toBe(true)
  })

  it('is fetched again when its successor had been accepted for a while', async () => {
    const { source, fetches } = tokens()
    const first = source.current()
    await fetches[0]?.succeed()
    source.reject(await first)
    const second = source.current()
    await fetches[1]?.succeed()
    source.accepted(await second)
    expect(source.reject(await second)).toBe(true)
  })

  it('is not asked for again right after a failure, and ever more seldom', async () => {
    const { clock, fetches, current } = tokens()
    const waits: number[] = []
    for (let n = 0; n < 7; n++) {
      const asked = current().catch((error: Error) => error.message)
      await settled()
      await fetches.at(-1)?.fail(new Error(`failure ${n}`))
      expect(await asked).toBe(`failure ${n}`)
      const from = clock.monotonic()
      const count = fetches.length
      await expect(current()).rejects.toThrow(`failure ${n}`)
      while (fetches.length === count) {
        await clock.advance(500)
        void current().catch(() => {})
      }
      waits.push((clock.monotonic() - from) / 1_000)
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30])
  })

  it('serves to its end although its renewal fails', async () => {
    const { clock, fetches, current } = tokens({ expiresInMs: 600_000 })
    const first = current()
    await fetches[0]?.succeed()
    await first
    await clock.advance(550_000)
    expect(await current()).toBe('t1')
    await fetches[1]?.fail(new Error('down'))
    expect(await current()).toBe('t1')
    expect(fetches).toHaveLength(2)
    await clock.advance(2_000)
    expect(await current()).toBe('t1')
    expect(fetches).toHaveLength(3)
  })
})

describe('a fixed token', () => {
  it('is final when it is refused', () => {
    const token = new Secret('fixed')
    const source = fixedToken(token)
    expect(source.current()).toBe(token)
    expect(source.reject(token)).toBe(false)
  })
})
