// When routes are muted or active: named time intervals, as in Alertmanager.
//
// What is compared is the wall clock of an interval's location, never time that has passed since
// midnight: 09:00 is 09:00 also on the day on which clocks are set, an hour that is left out on that
// day never comes, and one that occurs twice is in twice. The time zone of the process has no part
// in it. An interval of the night is two ranges, 22:00-24:00 and 00:00-06:00.
//
// It never reads the time: it is asked about instants in ms since 1970.

import type { NamedTimeInterval, Range, Route, TimeInterval } from '../config.ts'

export interface TimeIntervals {
  /** @throws Error when no interval has this name: configurations are checked before. */
  isIn(name: string, at: number): boolean
  /**
   * The first whole minute after `at` at which `isIn` changes (ms since 1970); POSITIVE_INFINITY when
   * that is more than 8 days away. Takes some milliseconds: for people who ask, not for each alert.
   */
  nextChange(name: string, at: number): number
  /** Names of the route's mute intervals that `at` is in. Mute wins over active. */
  mutedBy(route: Pick<Route, 'muteTimeIntervals'>, at: number): readonly string[]
  /** True when `at` is in any of the route's active intervals, or when it has none. */
  isActive(route: Pick<Route, 'activeTimeIntervals'>, at: number): boolean
}

interface WallTime {
  readonly year: number
  /** From 1. */
  readonly month: number
  readonly day: number
  readonly daysInMonth: number
  /** 0 is Sunday. */
  readonly weekday: number
  readonly minuteOfDay: number
}

type WallClock = (minute: number) => WallTime

const minuteMs = 60_000
const horizonMinutes = 8 * 24 * 60
// Zones differ from UTC by whole quarters of an hour, and change at one. The last that did not was Casey
// in Antarctica, which until 2022 set its clocks at one minute past midnight.
const quarter = 15

/** @throws RangeError when a location is none that the platform knows. */
export function createTimeIntervals(named: readonly NamedTimeInterval[]): TimeIntervals {
  const clocks = new Map<string, WallClock>()
  const byName = new Map(named.map((interval) => [interval.name, createMember(interval, clockOf)]))

  /** One for all intervals of a location: making a formatter takes longer than a thousand uses. */
  function clockOf(location: string): WallClock {
    let clock = clocks.get(location)
    if (clock === undefined) {
      clock = createWallClock(location)
      clocks.set(location, clock)
    }
    return clock
  }

  function memberOf(name: string): Member {
    const member = byName.get(name)
    if (member === undefined) throw new Error(`there is no time interval ${JSON.stringify(name)}`)
    return member
  }

  const isIn = (name: string, at: number) => memberOf(name).isIn(at)
  return {
    isIn,
    nextChange: (name, at) => memberOf(name).nextChange(at),
    mutedBy: (route, at) => route.muteTimeIntervals.filter((name) => isIn(name, at)),
    isActive: ({ activeTimeIntervals: names }, at) =>
      names.length === 0 || names.some((name) => isIn(name, at)),
  }
}

type Member = ReturnType<typeof createMember>

function createMember({ intervals }: NamedTimeInterval, clockOf: (location: string) => WallClock) {
  const parts = intervals.map((interval) => ({ interval, wallAt: clockOf(interval.location) }))
  // The borders of all ranges, and of days, are at multiples of it, on any wall clock and so in UTC.
  const step = intervals
    .flatMap(({ times }) => times ?? [])
    .reduce((common, { start, end }) => gcd(gcd(common, start), end), quarter)
  // Groups that are due together ask about the same minute.
  let asked: { readonly minute: number; readonly answer: boolean } | undefined

  function holds(minute: number): boolean {
    return parts.some(({ interval, wallAt }) => contains(interval, wallAt(minute)))
  }

  return {
    isIn(at: number): boolean {
      const minute = Math.floor(at / minuteMs)
      if (asked?.minute !== minute) asked = { minute, answer: holds(minute) }
      return asked.answer
    },
    nextChange(at: number): number {
      const now = Math.floor(at / minuteMs)
      const present = holds(now)
      for (let next = (Math.floor(now / step) + 1) * step; next <= now + horizonMinutes; next += step) {
        if (holds(next) !== present) return next * minuteMs
      }
      return Number.POSITIVE_INFINITY
    },
  }
}

/** In all fields that are given, and in any range of each. */
function contains({ times, weekdays, daysOfMonth, months, years }: TimeInterval, wall: WallTime): boolean {
  return (
    (times === null || times.some(({ start, end }) => start <= wall.minuteOfDay && wall.minuteOfDay < end)) &&
    isWithin(wall.weekday, weekdays) &&
    (daysOfMonth === null || daysOfMonth.some((days) => isDayOf(days, wall))) &&
    isWithin(wall.month, months) &&
    isWithin(wall.year, years)
  )
}

function isWithin(value: number, ranges: readonly Range[] | null): boolean {
  return ranges === null || ranges.some(({ start, end }) => start <= value && value <= end)
}

/** What reaches beyond either end of the month is cut off, as no day of the month is there. */
function isDayOf({ start, end }: Range, { day, daysInMonth }: WallTime): boolean {
  const fromStart = (given: number) => (given < 0 ? daysInMonth + given + 1 : given)
  return fromStart(start) <= day && day <= fromStart(end)
}

/** The clock on the wall there, by the count of minutes since 1970. */
function createWallClock(location: string): WallClock {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: location, timeZoneName: 'longOffset' })
  let known: { readonly quarter: number; readonly offsetMs: number } | undefined
  return (minute) => {
    const current = Math.floor(minute / quarter)
    if (known?.quarter !== current) {
      known = { quarter: current, offsetMs: offsetAt(format, current * quarter * minuteMs) }
    }
    // A date whose fields in UTC are those of the wall clock.
    const wall = new Date(minute * minuteMs + known.offsetMs)
    const year = wall.getUTCFullYear()
    const month = wall.getUTCMonth()
    return {
      year,
      month: month + 1,
      day: wall.getUTCDate(),
      // By the calendar: counted in hours, a month in which clocks are set is a day short (AM#5447).
      daysInMonth: new Date(Date.UTC(year, month + 1, 0)).getUTCDate(),
      weekday: wall.getUTCDay(),
      minuteOfDay: wall.getUTCHours() * 60 + wall.getUTCMinutes(),
    }
  }
}

/** How far the wall clock is ahead of UTC, from `GMT`, `GMT+05:45` or `GMT-03:30`. */
function offsetAt(format: Intl.DateTimeFormat, at: number): number {
  const text = format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  const parts = /^GMT(?:([+-])(\d\d):(\d\d))?$/.exec(text)
  if (parts === null) {
    throw new Error(`the platform gives ${JSON.stringify(text)} as an offset, expected such as "GMT+02:00"`)
  }
  const [, sign, hours, minutes] = parts
  const ahead = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * minuteMs
  return sign === '-' ? -ahead : ahead
}

function gcd(one: number, other: number): number {
  return other === 0 ? one : gcd(other, one % other)
}
