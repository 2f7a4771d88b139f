import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSockets } from '../../src/partner/sockets.ts'
import { settled } from '../manual-clock.ts'

const never = new AbortController().signal

function counted(count: number) {
  const lifetime = new AbortController()
  const sockets = createSockets({ count, lifetime: lifetime.signal })
  const order: string[] = []
  const ask = (name: string, signal = never) =>
    Promise.resolve(sockets.take(signal)).then(
      () => order.push(name),
      (reason) => order.push(`${name}: ${reason}`),
    )
  return { sockets, lifetime, order, ask }
}

describe('sockets', () => {
  it('are had at once while there are any', () => {
    const { sockets } = counted(2)
    expect([sockets.take(never), sockets.take(never)]).toEqual([true, true])
    expect(sockets.take(never)).toBeInstanceOf(Promise)
  })

  it('are passed on in the order of asking', async () => {
    const { sockets, order, ask } = counted(1)
    for (const name of ['a', 'b', 'c']) void ask(name)
    await settled()
    expect(order).toEqual(['a'])
    expect(sockets.passOn()).toBe(true)
    expect(sockets.passOn()).toBe(true)
    expect(sockets.passOn()).toBe(false)
    await settled()
    expect(order).toEqual(['a', 'b', 'c'])
  })

  it('go to nobody who has stopped waiting', async () => {
    const { sockets, order, ask } = counted(1)
    const stop = new AbortController()
    void ask('a')
    void ask('b', stop.signal)
    void ask('c', stop.signal)
    void ask('d')
    stop.abort('stopped')
    await settled()
    expect(order).toEqual(['a', 'b: stopped', 'c: stopped'])
    expect(sockets.passOn()).toBe(true)
    await settled()
    expect(order.at(-1)).toBe('d')
  })

  it('are had by nobody after the end, and nobody waits on', async () => {
    const { sockets, lifetime, order, ask } = counted(1)
    void ask('a')
    void ask('b')
    lifetime.abort('closed')
    await settled()
    expect(order).toEqual(['a', 'b: closed'])
    expect(sockets.passOn()).toBe(false)
    expect(() => sockets.take(never)).toThrow('closed')
  })

  it('are never used by more than there are, and never lost, whoever stops when', async () => {
    const steps = fc.array(fc.constantFrom('ask', 'stop', 'pass on'), { maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), steps, async (count, all) => {
        const { sockets } = counted(count)
        let using = 0
        const waiting: AbortController[] = []
        for (const step of all) {
          if (step === 'ask') {
            const stop = new AbortController()
            waiting.push(stop)
            Promise.resolve(sockets.take(stop.signal)).then(
              () => {
                using++
                waiting.splice(waiting.indexOf(stop), 1)
              },
              () => {},
            )
          } else if (step === 'stop') waiting.pop()?.abort()
          else if (using > 0) {
            using--
            sockets.passOn()
          }
          await settled()
          expect(using).toBeLessThanOrEqual(count)
          expect(using).toBeGreaterThanOrEqual(Math.min(count, using + waiting.length))
        }
      }),
      { numRuns: 50 },
    )
  })
})
