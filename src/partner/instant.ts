const daysInMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const
const earliestYear = 1900

/**
 * An ISO 8601 datetime to milliseconds since 1970, null if it is none: `2026-11-03T10:15:30`, with
 * an optional fraction (cut to milliseconds) and an optional offset (`Z`, `+01:00`, `+0100`, `+01`).
 * Without one it is UTC: the zone of this machine never matters. Impossible dates are null, and so
 * are years before 1900, which stand for "never" where they are seen. Written by hand since a walk
 * reads millions of these, and Date.parse takes `2026-02-30` for March and a missing offset for
 * local time.
 */
export function parseInstant(text: string): number | null {
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  const second = digits(text, 17, 2)
  const separator = text.charCodeAt(10)
  const isShaped =
    text.charCodeAt(4) === dash &&
    text.charCodeAt(7) === dash &&
    (separator === upperT || separator === lowerT || separator === space) &&
    text.charCodeAt(13) === colon &&
    text.charCodeAt(16) === colon
  if (!isShaped || year < earliestYear || month < 1 || month > 12) return null
  if (day < 1 || day > lastDay(year, month)) return null
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return null

  let at = 19
  let millisecond = 0
  if (text.charCodeAt(at) === dot) {
    at++
    let scale = 100
    const from = at
    for (let digit = digits(text, at, 1); digit >= 0; digit = digits(text, at, 1)) {
      millisecond += Math.floor(digit * scale)
      scale = scale > 1 ? scale / 10 : 0
      at++
    }
    if (at === from) return null
  }
  const offsetMinutes = parseOffset(text, at)
  if (offsetMinutes === null) return null
  return Date.UTC(year, month - 1, day, hour, minute - offsetMinutes, second, millisecond)
}

const dash = 0x2d
const plus = 0x2b
const colon = 0x3a
const dot = 0x2e
const space = 0x20
const upperT = 0x54
const lowerT = 0x74
const upperZ = 0x5a
const lowerZ = 0x7a

/** Minutes east of UTC of the offset from `at` to the end of the text; null if it is none. */
function parseOffset(text: string, at: number): number | null {
  const left = text.length - at
  if (left === 0) return 0
  const first = text.charCodeAt(at)
  if (first === upperZ || first === lowerZ) return left === 1 ? 0 : null
  if (first !== plus && first !== dash) return null
  const hasColon = text.charCodeAt(at + 3) === colon
  if (left !== 3 && left !== (hasColon ? 6 : 5)) return null
  const hours = digits(text, at + 1, 2)
  const minutes = left === 3 ? 0 : digits(text, at + (hasColon ? 4 : 3), 2)
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return null
  return (first === dash ? -1 : 1) * (hours * 60 + minutes)
}

/** The number in `count` digits, -1 if any of them is none. */
function digits(text: string, from: number, count: number): number {
  let value = 0
  for (let at = from; at < from + count; at++) {
    const digit = text.charCodeAt(at) - 0x30
    // Beyond the end charCodeAt is NaN, which is in no range.
    if (!(digit >= 0 && digit <= 9)) return -1
    value = value * 10 + digit
  }
  return value
}

function lastDay(year: number, month: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return month === 2 && isLeap ? 29 : (daysInMonth[month - 1] ?? 0)
}
