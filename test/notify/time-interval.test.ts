import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Range, TimeInterval } from '../../src/config.ts'
import { createTimeIntervals } from '../../src/notify/time-interval.ts'

const minute = 60_000
const day = 24 * 60 * minute
const whenever = { times: null, weekdays: null, daysOfMonth: null, months: null, years: null }

function interval(given: Partial<TimeInterval>): TimeInterval {
  return { ...whenever, location: 'UTC', ...given }
}

/** `09:00-17:00` */
function times(...ranges: readonly string[]): Range[] {
  return ranges.map((range) => {
    const [start, end] = range.split('-').map((time) => {
      const [hours, minutes] = time.split(':').map(Number)
      return hours! * 60 + minutes!
    })
    return { start: start!, end: end! }
  })
}

const span = (start: number, end = start): Range => ({ start, end })
const at = (utc: string) => Date.parse(`${utc}Z`)

/** When it is in, between two moments, looked at each minute: `2026-03-29T07:00 2026-03-29T15:00`, in UTC. */
function inRanges(given: Partial<TimeInterval>, from: string, to: string): string[] {
  const intervals = createTimeIntervals([{ name: 'x', intervals: [interval(given)] }])
  const found: string[] = []
  let since: number | null = null
  for (let now = at(from); now <= at(to); now += minute) {
    const isIn = now < at(to) && intervals.isIn('x', now)
    if (isIn && since === null) since = now
    if (!isIn && since !== null) {
      found.push([since, now].map((edge) => new Date(edge).toISOString().slice(0, 16)).join(' '))
      since = null
    }
  }
  return found
}

function isIn(given: Partial<TimeInterval>, utc: string): boolean {
  return createTimeIntervals([{ name: 'x', intervals: [interval(given)] }]).isIn('x', at(utc))
}

// What TZ says must not matter. Node takes over a change of it at once.
describe.each([
  ['UTC', 0],
  ['Asia/Seoul', 9],
  ['America/New_York', 19],
])('in a process whose time zone is %s, an interval', (zone, hourAtZero) => {
  const before = process.env['TZ']
  beforeAll(() => {
    process.env['TZ'] = zone
  })
  afterAll(() => {
    if (before === undefined) delete process.env['TZ']
    else process.env['TZ'] = before
  })

  it('is asked there', () => {
    expect(new Date(0).getHours()).toBe(hourAtZero)
  })

  const berlin = { location: 'Europe/Berlin' }
  it.each<[string, Partial<TimeInterval>, [string, string], string[]]>([
    [
      'is exact wall time on the day on which summer time begins',
      { ...berlin, times: times('09:00-17:00') },
      ['2026-03-28T12:00', '2026-03-30T12:00'],
      [
        '2026-03-28T12:00 2026-03-28T16:00',
        '2026-03-29T07:00 2026-03-29T15:00',
        '2026-03-30T07:00 2026-03-30T12:00',
      ],
    ],
    [
      'is exact wall time on the day on which summer time ends',
      { ...berlin, times: times('09:00-17:00') },
      ['2026-10-24T20:00', '2026-10-25T20:00'],
      ['2026-10-25T08:00 2026-10-25T16:00'],
    ],
    [
      'does not occur in the hour that is left out',
      { ...berlin, times: times('02:15-02:45') },
      ['2026-03-28T12:00', '2026-03-29T12:00'],
      [],
    ],
    [
      'occurs twice in the hour that comes twice',
      { ...berlin, times: times('02:15-02:45') },
      ['2026-10-24T12:00', '2026-10-25T12:00'],
      ['2026-10-25T00:15 2026-10-25T00:45', '2026-10-25T01:15 2026-10-25T01:45'],
    ],
    [
      'has the last day of a month in which summer time begins',
      { ...berlin, daysOfMonth: [span(-1)] },
      ['2026-03-25T00:00', '2026-04-03T00:00'],
      ['2026-03-30T22:00 2026-03-31T22:00'],
    ],
    [
      'has the last day of a month in which summer time ends',
      { ...berlin, daysOfMonth: [span(-1)] },
      ['2026-10-25T00:00', '2026-11-03T00:00'],
      ['2026-10-30T23:00 2026-10-31T23:00'],
    ],
    [
      'is an hour shorter in the night in which summer time begins',
      { location: 'Europe/Vienna', times: times('22:00-24:00', '00:00-06:00') },
      ['2026-03-28T12:00', '2026-03-29T12:00'],
      ['2026-03-28T21:00 2026-03-29T04:00'],
    ],
    [
      'is an hour longer in the night in which summer time ends',
      { location: 'Europe/Vienna', times: times('22:00-24:00', '00:00-06:00') },
      ['2026-10-24T12:00', '2026-10-25T12:00'],
      ['2026-10-24T20:00 2026-10-25T05:00'],
    ],
    [
      'follows a zone that is 5:45 h ahead',
      { location: 'Asia/Kathmandu', times: times('09:00-10:00'), weekdays: [span(1)] },
      ['2026-11-22T00:00', '2026-11-25T00:00'],
      ['2026-11-23T03:15 2026-11-23T04:15'],
    ],
    [
      'follows a zone that is 3:30 h behind',
      { location: 'America/St_Johns', times: times('09:00-10:00') },
      ['2026-11-23T00:00', '2026-11-24T00:00'],
      ['2026-11-23T12:30 2026-11-23T13:30'],
    ],
    [
      'lasts twice as long where clocks go back by half an hour',
      { location: 'Australia/Lord_Howe', times: times('01:30-02:00') },
      ['2026-04-04T00:00', '2026-04-05T00:00'],
      ['2026-04-04T14:30 2026-04-04T15:30'],
    ],
    [
      'does not occur where clocks go on by half an hour',
      { location: 'Australia/Lord_Howe', times: times('02:00-02:30') },
      ['2026-10-03T00:00', '2026-10-04T12:00'],
      [],
    ],
    [
      'begins its weekdays at the midnight of its location',
      { ...berlin, weekdays: [span(1)] },
      ['2026-11-20T00:00', '2026-11-26T00:00'],
      ['2026-11-22T23:00 2026-11-23T23:00'],
    ],
    [
      'begins its days and years at the midnight of its location',
      { location: 'Pacific/Auckland', years: [span(2027)], months: [span(1)], daysOfMonth: [span(1)] },
      ['2026-12-30T00:00', '2027-01-03T00:00'],
      ['2026-12-31T11:00 2027-01-01T11:00'],
    ],
  ])('%s', (_, given, [from, to], expected) => {
    expect(inRanges(given, from, to)).toEqual(expected)
  })
})

describe('an interval', () => {
  it('ends before its end time, and runs to midnight with 24:00', () => {
    expect(isIn({ times: times('09:00-17:00') }, '2026-11-23T08:59:59.999')).toBe(false)
    expect(isIn({ times: times('09:00-17:00') }, '2026-11-23T09:00')).toBe(true)
    expect(isIn({ times: times('09:00-17:00') }, '2026-11-23T16:59:59.999')).toBe(true)
    expect(isIn({ times: times('09:00-17:00') }, '2026-11-23T17:00')).toBe(false)
    expect(isIn({ times: times('22:00-24:00') }, '2026-11-23T23:59:59.999')).toBe(true)
    expect(isIn({ times: times('22:00-24:00') }, '2026-11-24T00:00')).toBe(false)
  })

  it('holds always when no field is given', () => {
    expect(isIn({}, '2026-11-23T12:00')).toBe(true)
  })

  it('asks for all of its fields, and for any range of each', () => {
    const office = {
      times: times('09:00-12:00', '13:00-17:00'),
      weekdays: [span(1, 3), span(5)],
      months: [span(1, 6), span(11)],
    }
    expect(isIn(office, '2026-11-23T11:59')).toBe(true)
    expect(isIn(office, '2026-11-23T12:30')).toBe(false)
    expect(isIn(office, '2026-11-27T13:00')).toBe(true)
    expect(isIn(office, '2026-11-26T13:00')).toBe(false)
    expect(isIn(office, '2026-12-01T13:00')).toBe(false)
    expect(isIn(office, '2026-06-30T13:00')).toBe(true)
    expect(isIn({ ...office, years: [span(2027)] }, '2026-11-23T11:59')).toBe(false)
    expect(isIn({ ...office, years: [span(2020, 2026)] }, '2026-11-23T11:59')).toBe(true)
  })

  it('begins its week on Sunday, as 0', () => {
    const days = ['2026-11-22', '2026-11-23', '2026-11-28', '2026-11-29']
    expect(days.map((date) => isIn({ weekdays: [span(0)] }, `${date}T12:00`))).toEqual([
      true,
      false,
      false,
      true,
    ])
  })

  it.each<[string, Range, string[]]>([
    ['the last day', span(-1), ['2026-02-28', '2028-02-29', '2000-02-29', '2100-02-28', '2026-04-30']],
    ['the third last to the last', span(-3, -1), ['2026-02-26', '2026-02-28', '2028-02-27', '2026-01-31']],
    ['day 29 to the last', span(29, -1), ['2028-02-29', '2026-01-29', '2026-01-31']],
    ['day 28 to 31', span(28, 31), ['2026-02-28', '2028-02-29', '2026-04-30']],
    ['any day, by 31 from the end', span(-31, -1), ['2026-02-01', '2026-02-28', '2026-01-01']],
  ])('has %s of the month', (_, days, dates) => {
    for (const date of dates)
      expect([date, isIn({ daysOfMonth: [days] }, `${date}T12:00`)]).toEqual([date, true])
  })

  it.each<[string, Range, string[]]>([
    ['the last day', span(-1), ['2028-02-28', '2026-01-30', '2026-03-01']],
    ['day 31', span(31), ['2026-02-28', '2026-04-30', '2026-03-01']],
    ['day 29 to the last', span(29, -1), ['2026-02-28', '2026-02-01', '2026-03-01']],
    ['days long before a short month', span(-31, -31), ['2026-02-01', '2026-02-28', '2026-04-01']],
  ])('does not have %s where it is not', (_, days, dates) => {
    for (const date of dates)
      expect([date, isIn({ daysOfMonth: [days] }, `${date}T12:00`)]).toEqual([date, false])
  })
})

const night = { name: 'night', intervals: [interval({ times: times('22:00-24:00', '00:00-06:00') })] }
const weekend = { name: 'weekend', intervals: [interval({ weekdays: [span(0), span(6)] })] }
const lunch = { name: 'lunch', intervals: [interval({ times: times('12:00-12:50') })] }
const later = { name: 'later', intervals: [interval({ years: [span(2030)] })] }
const ends = {
  name: 'ends',
  intervals: [
    interval({ location: 'Europe/Berlin', times: times('08:00-09:00') }),
    interval({ location: 'Asia/Tokyo', times: times('08:00-09:00') }),
  ],
}
const intervals = createTimeIntervals([night, weekend, lunch, later, ends])

describe('a name', () => {
  it('stands for any of its intervals, each on the clock of its own location', () => {
    expect(intervals.isIn('ends', at('2026-11-23T07:30'))).toBe(true)
    expect(intervals.isIn('ends', at('2026-11-23T23:30'))).toBe(true)
    expect(intervals.isIn('ends', at('2026-11-23T08:30'))).toBe(false)
  })

  it('is answered for each minute anew, in any order', () => {
    const moments = ['2026-11-23T12:00', '2026-11-23T12:49:59', '2026-11-23T12:50', '2026-11-23T12:49:01']
    const answers = moments.map((moment) => intervals.isIn('lunch', at(moment)))
    expect(answers).toEqual([true, true, false, true])
  })

  it('has to be known', () => {
    expect(() => intervals.isIn('nigth', 0)).toThrow('there is no time interval "nigth"')
    expect(() => intervals.nextChange('nigth', 0)).toThrow('there is no time interval "nigth"')
  })

  it('is refused with a location that is none', () => {
    const wrong = { name: 'x', intervals: [interval({ location: 'Mars/Olympus' })] }
    expect(() => createTimeIntervals([wrong])).toThrow(RangeError)
  })
})

describe('a route', () => {
  it('is muted by those of its intervals that hold', () => {
    const route = { muteTimeIntervals: ['night', 'lunch', 'weekend'] }
    expect(intervals.mutedBy(route, at('2026-11-22T23:00'))).toEqual(['night', 'weekend'])
    expect(intervals.mutedBy(route, at('2026-11-23T06:00'))).toEqual([])
    expect(intervals.mutedBy({ muteTimeIntervals: [] }, at('2026-11-22T23:00'))).toEqual([])
  })

  it('is active in any of its intervals, and always without one', () => {
    const route = { activeTimeIntervals: ['lunch', 'weekend'] }
    expect(intervals.isActive(route, at('2026-11-22T23:00'))).toBe(true)
    expect(intervals.isActive(route, at('2026-11-23T12:49'))).toBe(true)
    expect(intervals.isActive(route, at('2026-11-23T12:50'))).toBe(false)
    expect(intervals.isActive({ activeTimeIntervals: [] }, at('2026-11-23T12:50'))).toBe(true)
  })
})

describe('the next change', () => {
  it.each([
    ['night', '2026-11-23T12:00', '2026-11-23T22:00'],
    ['night', '2026-11-23T22:00', '2026-11-24T06:00'],
    ['night', '2026-11-24T05:59:59.999', '2026-11-24T06:00'],
    ['lunch', '2026-11-23T12:49:30', '2026-11-23T12:50'],
    ['lunch', '2026-11-23T12:50', '2026-11-24T12:00'],
    ['weekend', '2026-11-23T00:00', '2026-11-28T00:00'],
    ['weekend', '2026-11-28T00:00', '2026-11-30T00:00'],
  ])('of %s after %s is at %s', (name, from, to) => {
    expect(new Date(intervals.nextChange(name, at(from))).toISOString()).toBe(`${to}:00.000Z`)
  })

  it('is never, when it is more than 8 days away', () => {
    expect(intervals.nextChange('later', at('2026-11-23T12:00'))).toBe(Number.POSITIVE_INFINITY)
    expect(intervals.nextChange('later', at('2029-12-23T23:59'))).toBe(Number.POSITIVE_INFINITY)
    expect(intervals.nextChange('later', at('2029-12-24T00:00'))).toBe(at('2030-01-01T00:00'))
  })
})

// --- against a plain model: each field as the platform prints it

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/St_Johns',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Pacific/Kiritimati',
  'Africa/Casablanca',
] as const
const printers = new Map(
  zones.map((timeZone) => [
    timeZone as string,
    new Intl.DateTimeFormat('en-GB', {
      timeZone,
      hourCycle: 'h23',
      weekday: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    }),
  ]),
)

function model(given: TimeInterval, now: number): boolean {
  const parts = printers.get(given.location)!.formatToParts(now)
  const field = (type: string) => parts.find((part) => part.type === type)!.value
  const [year, month, date] = ['year', 'month', 'day'].map((type) => Number(field(type)))
  const isLeap = year! % 4 === 0 && (year! % 100 !== 0 || year! % 400 === 0)
  const lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
  const last = lengths[month! - 1]!
  const dates = Array.from({ length: last }, (_, index) => index + 1)
  const days = (range: Range) => {
    const from = range.start < 0 ? last + range.start : range.start - 1
    const to = range.end < 0 ? last + range.end + 1 : range.end
    return dates.slice(Math.max(from, 0), Math.max(to, 0))
  }
  const within = (ranges: readonly Range[] | null, value: number) =>
    ranges === null || ranges.some(({ start, end }) => value >= start && value <= end)
  const minutes = Number(field('hour')) * 60 + Number(field('minute'))
  return (
    within(given.times?.map(({ start, end }) => span(start, end - 1)) ?? null, minutes) &&
    within(given.weekdays, ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'].indexOf(field('weekday'))) &&
    (given.daysOfMonth === null || given.daysOfMonth.some((range) => days(range).includes(date!))) &&
    within(given.months, month!) &&
    within(given.years, year!)
  )
}

function ranges(min: number, max: number): fc.Arbitrary<Range[] | null> {
  const bound = fc.integer({ min, max })
  const range = fc.tuple(bound, bound).map(([a, b]) => span(Math.min(a, b), Math.max(a, b)))
  return fc.option(fc.array(range, { minLength: 1, maxLength: 2 }))
}

const someTimes = ranges(0, 1_439).map((found) => {
  return found?.map(({ start, end }) => ({ start, end: end + 1 })) ?? null
})
const someDays = fc
  .tuple(ranges(1, 31), ranges(-31, -1))
  .map(([front, back]) => (front === null && back === null ? null : [...(front ?? []), ...(back ?? [])]))
const someInterval = fc.record({
  times: someTimes,
  weekdays: ranges(0, 6),
  daysOfMonth: someDays,
  months: ranges(1, 12),
  years: ranges(2024, 2030),
  location: fc.constantFrom(...zones),
})
const first = Date.UTC(2024, 0, 1)
const moment = fc.integer({ min: first, max: Date.UTC(2031, 0, 1) })

describe('time intervals', () => {
  it('hold exactly when the clock on the wall says so', () => {
    fc.assert(
      fc.property(someInterval, fc.array(moment, { minLength: 5, maxLength: 20 }), (given, moments) => {
        const made = createTimeIntervals([{ name: 'x', intervals: [given] }])
        for (const now of moments) expect(made.isIn('x', now)).toBe(model(given, now))
      }),
      { numRuns: 300 },
    )
  })

  it('hold on days of change exactly when the clock on the wall says so', () => {
    const change = fc.constantFrom(
      at('2026-03-29T01:00'),
      at('2026-10-25T01:00'),
      at('2026-03-08T07:00'),
      at('2026-04-04T15:00'),
      at('2026-10-03T15:30'),
      at('2026-02-15T02:00'),
    )
    const near = fc.integer({ min: -180 * minute, max: 180 * minute })
    const given = fc.record({ times: someTimes, location: fc.constantFrom(...zones) }).map(interval)
    fc.assert(
      fc.property(given, change, fc.array(near, { maxLength: 20 }), (one, changedAt, offsets) => {
        const made = createTimeIntervals([{ name: 'x', intervals: [one] }])
        for (const offset of offsets) {
          expect(made.isIn('x', changedAt + offset)).toBe(model(one, changedAt + offset))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('change next where looking at each minute finds it', () => {
    const named = fc.array(someInterval, { minLength: 1, maxLength: 2 })
    fc.assert(
      fc.property(named, moment, (given, now) => {
        const made = createTimeIntervals([{ name: 'x', intervals: given }])
        const next = made.nextChange('x', now)
        const present = made.isIn('x', now)
        let looked = Math.floor(now / minute) * minute + minute
        const end = looked + 8 * day - minute
        while (looked <= end && made.isIn('x', looked) === present) looked += minute
        expect(next).toBe(looked <= end ? looked : Number.POSITIVE_INFINITY)
      }),
      { numRuns: 60 },
    )
  })
})
