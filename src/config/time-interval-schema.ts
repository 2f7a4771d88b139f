// Time intervals, which routes are muted or active in. Written and checked as in Alertmanager's
// timeinterval/timeinterval.go; the clock on the wall of `location` counts.

import { z } from 'zod'
import { refusedKeys } from '../schema-message.ts'
import { refusedInTimeInterval } from './alertmanager-keys.ts'
import { timeZone } from './fields.ts'

export interface NamedTimeInterval {
  readonly name: string
  /** In any of them. */
  readonly intervals: readonly TimeInterval[]
}

/** In all of its fields, and in any range of each. Null: the field is not given, and anything is in it. */
export interface TimeInterval {
  /** Minutes since midnight on the clock of `location`, the end exclusive, up to 1440. */
  readonly times: readonly Range[] | null
  /** 0 is Sunday; both ends are included, here and below. */
  readonly weekdays: readonly Range[] | null
  /** From 1, or from -1 back from the end of the month. */
  readonly daysOfMonth: readonly Range[] | null
  readonly months: readonly Range[] | null
  readonly years: readonly Range[] | null
  /** IANA name. */
  readonly location: string
}

export interface Range {
  readonly start: number
  readonly end: number
}

export const weekdayNames = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']
const monthNames = [
  ...['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september'],
  ...['october', 'november', 'december'],
]

/**
 * `member` or `first:last`. `read` gives a member's number, undefined if it is none; `refuse` may say
 * what is wrong with a range whose members are right.
 */
function range(options: {
  readonly expected: string
  readonly read: (member: string) => number | undefined
  readonly refuse: (range: Range) => string | undefined
}) {
  // A lone number needs no quotes, as in Alertmanager.
  return z.union([z.string(), z.number()]).transform((written, context): Range => {
    const members = String(written).toLowerCase().split(':').map(options.read)
    const [start, end = start] = members
    const isRange = start !== undefined && end !== undefined && members.length <= 2
    const isRead = isRange && !members.includes(undefined)
    const refusal = isRead ? options.refuse({ start, end }) : undefined
    if (isRead && refusal === undefined) return { start, end }
    const params = { expected: options.expected, hint: refusal }
    context.issues.push({ code: 'custom', input: written, params })
    return z.NEVER
  })
}

const ends = ({ start, end }: Range) => (start > end ? 'the end is before the start' : undefined)

const weekdays = range({
  expected: 'a weekday such as monday, or a range such as monday:friday',
  read: (member) => indexOf(weekdayNames, member),
  refuse: (days) =>
    days.start > days.end ? 'the week begins with sunday, and a range ends after its start' : undefined,
})

const months = range({
  expected: 'a month such as january or 1, or a range such as january:march',
  read: (member) => {
    const index = indexOf(monthNames, member)
    const number = index === undefined ? wholeNumber(member) : index + 1
    return number !== undefined && number >= 1 && number <= 12 ? number : undefined
  },
  refuse: ends,
})

const years = range({
  expected: 'a year such as 2026, or a range such as 2026:2030',
  read: (member) => (/^\d{4}$/.test(member) ? Number(member) : undefined),
  refuse: ends,
})

const daysOfMonth = range({
  expected: 'a day from 1 to 31, or from -1 (the last) to -31, or a range such as 1:5 or -3:-1',
  read: (member) => {
    const day = wholeNumber(member)
    return day !== undefined && day !== 0 && Math.abs(day) <= 31 ? day : undefined
  },
  refuse: ({ start, end }) => {
    if (start < 0 && end > 0) return 'a range that starts from the end of the month ends there too'
    // Counted in the shortest month, so that the range is one in every month.
    const inShortest = (day: number) => (day < 0 ? 28 + day : day)
    return inShortest(start) > inShortest(end) ? 'the end is before the start' : undefined
  },
})

function indexOf(names: readonly string[], name: string): number | undefined {
  const index = names.indexOf(name)
  return index < 0 ? undefined : index
}

function wholeNumber(member: string): number | undefined {
  return /^[+-]?\d{1,4}$/.test(member) ? Number(member) : undefined
}

/** Minutes since midnight. */
export const timeOfDay = z.string().transform((written, context): number => {
  const match = /^(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))$/.exec(written)
  if (match !== null) return Number(match[1] ?? match[3]) * 60 + Number(match[2] ?? match[4])
  context.issues.push({ code: 'custom', input: written, params: { expected: 'a time from 00:00 to 24:00' } })
  return z.NEVER
})

const timesSchema = z
  .strictObject({
    start_time: timeOfDay.describe('From this minute on, such as 09:00.'),
    end_time: timeOfDay.describe('Before this minute; 24:00 is the end of the day.'),
  })
  .refine((times) => times.start_time < times.end_time, {
    params: { expected: 'start_time before end_time (a night is two ranges, up to 24:00 and from 00:00)' },
  })

const intervalSchema = z
  .strictObject({
    times: z.array(timesSchema).optional().describe('Times of day.'),
    weekdays: z.array(weekdays).optional().describe('Such as monday:friday, or sunday.'),
    days_of_month: z.array(daysOfMonth).optional().describe('Such as 1:5, or -3:-1 for the last three.'),
    months: z.array(months).optional().describe('Such as january:march, or 5.'),
    years: z.array(years).optional().describe('Such as 2026:2030.'),
    location: timeZone({ example: 'Europe/Vienna' })
      .prefault('UTC')
      .describe('IANA time zone whose clock counts.'),
  })
  .register(refusedKeys, { keys: refusedInTimeInterval })

export const namedTimeIntervalSchema = z.strictObject({
  name: z.string().min(1).describe('Unique name, for routes.'),
  time_intervals: z.array(intervalSchema).prefault([]).describe('In any of these; in each, all fields hold.'),
})

export function resolveTimeInterval(named: z.output<typeof namedTimeIntervalSchema>): NamedTimeInterval {
  return {
    name: named.name,
    intervals: named.time_intervals.map((interval) => ({
      times:
        interval.times?.map(({ start_time, end_time }) => ({ start: start_time, end: end_time })) ?? null,
      weekdays: interval.weekdays ?? null,
      daysOfMonth: interval.days_of_month ?? null,
      months: interval.months ?? null,
      years: interval.years ?? null,
      location: interval.location,
    })),
  }
}
