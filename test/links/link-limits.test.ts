import { expect, it } from 'vitest'
import { createLinkLimits } from '../../src/links/link-limits.ts'
import { createManualClock } from '../manual-clock.ts'

it('allows a link so many a minute, and tells how long to wait', async () => {
  const clock = createManualClock()
  const limits = createLinkLimits({ clock, perMinute: () => ({ perLink: 3, total: 100 }) })
  const take = () => limits.take('a').ok
  expect([take(), take(), take(), take()]).toEqual([true, true, true, false])
  expect(limits.take('a')).toEqual({ ok: false, retryAfterMs: 20_000 })
  // Others are not held up, and who was refused has used up nothing.
  expect(limits.take('b')).toEqual({ ok: true })
  await clock.advance(19_000)
  expect(limits.take('a')).toEqual({ ok: false, retryAfterMs: 1_000 })
  await clock.advance(1_000)
  expect([take(), take()]).toEqual([true, false])
})

it('allows all links together so many a minute', async () => {
  const clock = createManualClock()
  const limits = createLinkLimits({ clock, perMinute: () => ({ perLink: 2, total: 5 }) })
  const taken = Array.from({ length: 8 }, (_, i) => limits.take(`link ${i}`).ok)
  expect(taken).toEqual([true, true, true, true, true, false, false, false])
  expect(limits.take('link 0')).toEqual({ ok: false, retryAfterMs: 12_000 })
  await clock.advance(60_000)
  expect(Array.from({ length: 6 }, (_, i) => limits.take(`link ${i}`).ok).filter(Boolean)).toHaveLength(5)
})

it('follows a change of the limits, and a clock that was set back', async () => {
  const clock = createManualClock()
  let perLink = 1
  const limits = createLinkLimits({ clock, perMinute: () => ({ perLink, total: 100 }) })
  expect([limits.take('a').ok, limits.take('a').ok]).toEqual([true, false])
  perLink = 60
  clock.jump(-3_600_000)
  await clock.advance(1_000)
  expect([limits.take('a').ok, limits.take('a').ok]).toEqual([true, false])
})
