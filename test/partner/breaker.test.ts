import { describe, expect, it } from 'vitest'
import { createBreaker, type Pass } from '../../src/partner/breaker.ts'
import { createManualClock, settled } from '../manual-clock.ts'

const never = new AbortController().signal

function broken({ patienceMs = 60_000 } = {}) {
  const clock = createManualClock()
  const lifetime = new AbortController()
  const breaker = createBreaker({ clock, patienceMs, lifetime: lifetime.signal })
  let subjects = 0
  const fail = (count: number, subject?: string) => {
    for (let n = 0; n < count; n++) breaker.leave('normal', 'failure', subject ?? `user-${subjects++}`)
  }
  const succeed = (count: number) => {
    for (let n = 0; n < count; n++) breaker.leave('normal', 'success', 'user')
  }
  /** Who asks, and what they got so far. */
  const ask = (signal = never) => {
    const asked: { got: Pass | 'refused' | 'waits' | 'stopped' } = { got: 'waits' }
    Promise.resolve(breaker.enter(signal)).then(
      (got) => {
        asked.got = got
      },
      () => {
        asked.got = 'stopped'
      },
    )
    return asked
  }
  return { clock, breaker, lifetime, fail, succeed, ask }
}

describe('the circuit breaker', () => {
  it('lets everything through at once while requests succeed', () => {
    const { breaker, fail, succeed } = broken()
    for (let n = 0; n < 100; n++) {
      succeed(3)
      fail(1)
    }
    expect(breaker.enter(never)).toBe('normal')
    expect(breaker.isOpen()).toBe(false)
  })

  it('opens when ten requests of several users failed and none succeeded', () => {
    const { breaker, fail } = broken()
    fail(9)
    expect(breaker.isOpen()).toBe(false)
    fail(1)
    expect(breaker.isOpen()).toBe(true)
  })

  it('opens when four of five of the last requests failed', () => {
    const { breaker, fail, succeed } = broken()
    succeed(32)
    fail(25)
    expect(breaker.isOpen()).toBe(false)
    fail(1)
    expect(breaker.isOpen()).toBe(true)
  })

  it('does not open because of users whose calls always fail', () => {
    const { breaker, fail } = broken()
    for (let n = 0; n < 50; n++) for (const subject of ['a', 'b', 'c', 'd']) fail(1, subject)
    expect(breaker.isOpen()).toBe(false)
    fail(1, 'e')
    expect(breaker.isOpen()).toBe(true)
  })

  it('does not open when one kind of call fails for everybody, three times each', () => {
    const { breaker, succeed, fail } = broken()
    for (let user = 0; user < 50; user++) {
      succeed(1)
      fail(3, `user-${user}`)
    }
    expect(breaker.isOpen()).toBe(false)
  })

  it('forgets failures of more than a minute ago, and what said nothing', async () => {
    const { clock, breaker, fail } = broken()
    fail(9)
    await clock.advance(61_000)
    fail(1)
    for (let n = 0; n < 50; n++) breaker.leave('normal', 'abandoned', `user-${n}`)
    expect(breaker.isOpen()).toBe(false)
  })

  it('lets one request try after a second, and all go on when it succeeds', async () => {
    const { clock, breaker, fail, ask } = broken()
    fail(10)
    const first = ask()
    const others = [ask(), ask(), ask()]
    await clock.advance(700)
    expect(first.got).toBe('waits')
    await clock.advance(600)
    expect(first.got).toBe('probe')
    await clock.advance(20_000)
    expect(others.map(({ got }) => got)).toEqual(['waits', 'waits', 'waits'])
    breaker.leave('probe', 'success', 'user')
    await settled()
    expect(others.map(({ got }) => got)).toEqual(['normal', 'normal', 'normal'])
    expect(breaker.enter(never)).toBe('normal')
    expect(clock.sleepers()).toBe(0)
  })

  it('waits twice as long after each probe that fails, at most half a minute', async () => {
    const { clock, breaker, fail } = broken({ patienceMs: 3_600_000 })
    fail(10)
    const waits: number[] = []
    for (let n = 0; n < 8; n++) {
      const from = clock.monotonic()
      let pass: string | undefined
      Promise.resolve(breaker.enter(never)).then((got) => {
        pass = got
      })
      while (pass === undefined) await clock.advance(500)
      waits.push(Math.round((clock.monotonic() - from) / 1_000))
      breaker.leave('probe', 'failure', 'user')
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30, 30])
  })

  it('gives the turn of a probe that was given up to the next', async () => {
    const { clock, breaker, fail, ask } = broken()
    fail(10)
    const asked = [ask(), ask()]
    await clock.advance(1_300)
    expect(asked.map(({ got }) => got)).toEqual(['probe', 'waits'])
    breaker.leave('probe', 'abandoned', '')
    await settled()
    expect(asked.map(({ got }) => got)).toEqual(['probe', 'probe'])
  })

  it('does not count what ends after it has opened', async () => {
    const { clock, breaker, fail, succeed, ask } = broken()
    fail(10)
    fail(50)
    succeed(5)
    const asked = ask()
    await clock.advance(1_300)
    expect(asked.got).toBe('probe')
    expect(breaker.isOpen()).toBe(true)
  })

  it('refuses everybody but probes when it has been open for too long', async () => {
    const { clock, breaker, fail, ask } = broken({ patienceMs: 10_000 })
    fail(10)
    const probe = ask()
    const waiting = ask()
    await clock.advance(9_000)
    expect([probe.got, waiting.got]).toEqual(['probe', 'waits'])
    await clock.advance(1_500)
    expect(waiting.got).toBe('refused')
    expect(breaker.enter(never)).toBe('refused')
    breaker.leave('probe', 'failure', 'user')
    expect(breaker.enter(never)).toBe('refused')
    await clock.advance(3_000)
    expect(breaker.enter(never)).toBe('probe')
    expect(breaker.enter(never)).toBe('refused')
    breaker.leave('probe', 'success', 'user')
    expect(breaker.enter(never)).toBe('normal')
  })

  it('needs as many failures as at first to open again', async () => {
    const { clock, breaker, fail, ask } = broken()
    fail(10)
    ask()
    await clock.advance(2_000)
    breaker.leave('probe', 'success', 'user')
    fail(9)
    expect(breaker.isOpen()).toBe(false)
    fail(1)
    expect(breaker.isOpen()).toBe(true)
  })

  it('forgets who stopped waiting', async () => {
    const { clock, fail, ask } = broken()
    fail(10)
    const stop = new AbortController()
    const stopped = ask(stop.signal)
    const next = ask()
    stop.abort()
    await clock.advance(1_300)
    expect([stopped.got, next.got]).toEqual(['stopped', 'probe'])
  })

  it('lets everybody go when it ends', async () => {
    const { clock, fail, ask, lifetime } = broken()
    fail(10)
    const waiting = ask()
    await settled()
    lifetime.abort()
    await settled()
    expect(waiting.got).toBe('stopped')
    expect(clock.sleepers()).toBe(0)
  })
})
