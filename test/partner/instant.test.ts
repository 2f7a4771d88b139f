import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseInstant } from '../../src/partner/instant.ts'

const at = Date.UTC(2026, 10, 3, 10, 15, 30)

describe('parseInstant', () => {
  it.each([
    ['2026-11-03T10:15:30Z', at],
    ['2026-11-03T10:15:30z', at],
    ['2026-11-03t10:15:30Z', at],
    ['2026-11-03 10:15:30+00:00', at],
    ['2026-11-03T11:15:30+01:00', at],
    ['2026-11-03T11:15:30+0100', at],
    ['2026-11-03T11:15:30+01', at],
    ['2026-11-03T04:45:30-05:30', at],
    ['2026-11-02T23:15:30-11:00', at],
    ['2026-11-03T10:15:30.5Z', at + 500],
    ['2026-11-03T10:15:30.123456+00:00', at + 123],
    ['2026-11-03T10:15:30.999999999Z', at + 999],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
    ['2000-02-29T00:00:00Z', Date.UTC(2000, 1, 29)],
  ])('reads %s', (text, expected) => {
    expect(parseInstant(text)).toBe(expected)
  })

  it.each([
    ['', 'empty'],
    ['2026-11-03', 'a date alone'],
    ['2026-11-03T10:15Z', 'no seconds'],
    ['2026-02-29T00:00:00Z', 'no leap year'],
    ['1900-02-29T00:00:00Z', 'no leap year, though divisible by four'],
    ['2026-04-31T00:00:00Z', 'a day that the month lacks'],
    ['2026-13-01T00:00:00Z', 'month 13'],
    ['2026-00-01T00:00:00Z', 'month 0'],
    ['2026-01-00T00:00:00Z', 'day 0'],
    ['2026-01-01T24:00:00Z', 'hour 24'],
    ['2026-01-01T00:60:00Z', 'minute 60'],
    ['2026-01-01T00:00:60Z', 'second 60'],
    ['2026-01-01T00:00:00+24:00', 'an offset of a day'],
    ['2026-01-01T00:00:00+00:60', 'an offset with 60 minutes'],
    ['2026-01-01T00:00:00+1', 'half an offset'],
    ['2026-01-01T00:00:00+01:0', 'three quarters of an offset'],
    ['2026-01-01T00:00:00.Z', 'no fraction after the dot'],
    ['2026-01-01T00:00:00Z ', 'something behind'],
    ['2026-01-01T00:00:00 Europe/Vienna', 'a name of a zone'],
    ['2026/01/01T00:00:00Z', 'slashes'],
    ['0001-01-01T00:00:00Z', 'what stands for never'],
    ['20x6-01-01T00:00:00Z', 'a letter'],
    ['1762164930', 'seconds since 1970'],
  ])('refuses "%s": %s', (text) => {
    expect(parseInstant(text)).toBeNull()
  })

  it('takes a datetime without an offset for UTC, whatever the zone of the machine', () => {
    const zone = process.env['TZ']
    process.env['TZ'] = 'Asia/Seoul'
    try {
      expect(new Date(2026, 10, 3, 10, 15, 30).getTime()).not.toBe(at)
      expect(parseInstant('2026-11-03T10:15:30')).toBe(at)
    } finally {
      if (zone === undefined) delete process.env['TZ']
      else process.env['TZ'] = zone
    }
  })

  it('reads back every instant, at every offset', () => {
    const earliest = Date.UTC(1900, 0, 2)
    const latest = Date.UTC(9999, 11, 30)
    fc.assert(
      fc.property(
        fc.integer({ min: earliest, max: latest }),
        fc.integer({ min: -1439, max: 1439 }),
        (ms, offset) => {
          const wall = new Date(ms + offset * 60_000).toISOString().slice(0, -1)
          const two = (n: number) => String(n).padStart(2, '0')
          const sign = offset < 0 ? '-' : '+'
          const hours = two(Math.floor(Math.abs(offset) / 60))
          expect(parseInstant(`${wall}${sign}${hours}:${two(Math.abs(offset) % 60)}`)).toBe(ms)
        },
      ),
    )
  })

  it('never gives anything but an instant or null', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseInstant(text)
        expect(parsed === null || Number.isSafeInteger(parsed)).toBe(true)
      }),
    )
  })
})
