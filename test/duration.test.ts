import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../src/duration.ts'

const day = 86_400_000

test.each([
  ['0', 0],
  ['0s', 0],
  ['500ms', 500],
  ['90s', 90_000],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['1d', day],
  ['2w', 14 * day],
  ['1y', 365 * day],
  ['1y2w3d4h5m6s7ms', (365 + 14 + 3) * day + 4 * 3_600_000 + 5 * 60_000 + 6_007],
  ['292y', 292 * 365 * day],
])('reads %s', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  '',
  ' ',
  '5',
  '00',
  '1.5h',
  '-1s',
  '+1s',
  '1m1h',
  '1h1h',
  '1 h',
  ' 1h',
  '1h\n',
  '1H',
  '1us',
  'h',
  '１h',
  '293y',
  `${'9'.repeat(400)}s`,
])('refuses %j', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test('reads back whatever is written in falling units', () => {
  const units = ['y', 'w', 'd', 'h', 'm', 's', 'ms'] as const
  const sizes = [365 * day, 7 * day, day, 3_600_000, 60_000, 1_000, 1]
  fc.assert(
    fc.property(fc.tuple(...units.map(() => fc.option(fc.nat(20)))), (counts) => {
      const text = counts.map((count, i) => (count === null ? '' : `${count}${units[i]}`)).join('')
      const sum = counts.reduce<number>((total, count, i) => total + (count ?? 0) * sizes[i]!, 0)
      expect(parseDuration(text)).toBe(text === '' ? undefined : sum)
    }),
  )
})

test.each([
  [0, '0s'],
  [0.4, '0s'],
  [450, '450ms'],
  [1_000, '1s'],
  [59_999, '59s'],
  [90_000, '1m 30s'],
  [3_600_000, '1h'],
  [3_612_000, '1h'],
  [7_500_000, '2h 5m'],
  [14 * day, '14d'],
  [3 * day + 4 * 3_600_000 + 59 * 60_000, '3d 4h'],
  [-90_000, '-1m 30s'],
])('tells people %d ms as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})
