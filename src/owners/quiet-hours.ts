// The hours in which no mail goes to an owner, on the clock of their wall: on the days on which clocks are
// set, too.

import type { OwnerConfig } from '../config.ts'
import { createTimeIntervals, type TimeIntervals } from '../notify/time-interval.ts'

export interface QuietHours {
  /** When they are over (ms since 1970); null: it is not in them. */
  endOf(at: number): number | null
}

/** Each pair of hours and zone is made once: making a clock takes longer than a thousand looks at it. */
export function createQuietHours(): (hours: OwnerConfig['quietHours'], timeZone: string) => QuietHours {
  const known = new Map<string, TimeIntervals>()

  return (hours, timeZone) => ({
    endOf(at) {
      if (hours === null) return null
      const { start, end } = hours
      const name = `${start}-${end} ${timeZone}`
      let intervals = known.get(name)
      if (intervals === undefined) {
        intervals = createTimeIntervals([{ name, intervals: [nightly(start, end, timeZone)] }])
        known.set(name, intervals)
      }
      return intervals.isIn(name, at) ? intervals.nextChange(name, at) : null
    },
  })
}

function nightly(start: number, end: number, location: string) {
  const ranges =
    start < end
      ? [{ start, end }]
      : [
          { start, end: 1440 },
          { start: 0, end },
        ]
  // A range without a minute in it, before midnight or after it, is none.
  const times = ranges.filter((range) => range.start < range.end)
  return { times, weekdays: null, daysOfMonth: null, months: null, years: null, location }
}
