// When walks start: at once, and then at the ticks of a cron expression in a time zone. Walks never
// overlap; a tick that finds one running is counted and skipped, and ticks that were missed while
// the machine slept are one. node-cron parses the expression and says which seconds match; the
// waiting is done on our clock, since node-cron's timers know only the machine's.

import { createTask, parse, validateDetailed } from 'node-cron'
import type { Clock } from '../clock.ts'

/** The expression or the time zone is wrong; the message says how. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError'
}

export interface Schedule {
  /** The first tick after `ms` (since 1970). */
  nextAfter(ms: number): number
}

const secondMs = 1_000
const minuteMs = 60_000
const hourMs = 60 * minuteMs
// Offsets from UTC are multiples of this everywhere today, and so are their changes: within such a
// block the hour and the date on the wall stay the same, and its minutes run on.
const blockMs = 15 * minuteMs
// The rarest date that comes again, 29 February on a given weekday, does so within 40 years.
const horizonMs = 41 * 366 * 24 * hourMs

/**
 * Five fields, or six with seconds in front, as node-cron takes them; also names (`MON`), lists,
 * ranges, steps, and @hourly and the like. A time that the zone skips in spring doesn't tick, one
 * that it repeats in autumn ticks twice.
 */
export function parseSchedule(expression: string, timezone: string): Schedule {
  const validation = validateDetailed(expression)
  if (!validation.valid) {
    const problem = validation.errors.map(({ message }) => message).join('; ')
    throw new ScheduleError(
      `"${expression}" is no cron expression: ${problem}; write five fields such as "*/10 * * * *"`,
    )
  }
  const format = wallClock(timezone)
  const { minute: minutes, hour: hours, month: months, ...rest } = parse(expression)
  const seconds = rest.second.toSorted((a, b) => a - b)
  // It is asked which moments match, never started.
  const task = createTask(expression, () => {}, { timezone })
  void task.destroy()

  function nextAfter(ms: number): number {
    const first = (Math.floor(ms / secondMs) + 1) * secondMs
    let block = Math.floor(first / blockMs) * blockMs
    while (block < first + horizonMs) {
      const wall = format(block)
      if (!months.includes(wall.month)) block += restOfDayMs(wall)
      else if (!hours.includes(wall.hour)) block += hourMs - wall.minute * minuteMs
      else {
        const tick = tickInBlock(block, wall.minute, first)
        if (typeof tick === 'number') return tick
        block += tick === 'other day' ? restOfDayMs(wall) : blockMs
      }
    }
    throw new ScheduleError(`"${expression}" never comes; check its day of the month, month and weekday`)
  }

  function tickInBlock(block: number, wallMinute: number, first: number): number | 'none' | 'other day' {
    for (let minute = 0; minute < blockMs / minuteMs; minute++) {
      if (!minutes.includes(wallMinute + minute)) continue
      for (const second of seconds) {
        const at = block + minute * minuteMs + second * secondMs
        if (at < first) continue
        // Month, hour, minute and second match; what is left is the date.
        return task.match(new Date(at)) ? at : 'other day'
      }
    }
    return 'none'
  }

  // So that nobody waits for a day that no month has.
  nextAfter(Date.UTC(2026, 0, 1))
  return { nextAfter }
}

/** To two hours before midnight, which a change of the offset may bring closer; one block at least. */
function restOfDayMs({ hour, minute }: Wall): number {
  return Math.max(blockMs, (22 - hour) * hourMs - minute * minuteMs)
}

interface Wall {
  readonly month: number
  readonly hour: number
  readonly minute: number
}

function wallClock(timezone: string): (ms: number) => Wall {
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      month: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      hourCycle: 'h23',
    })
  } catch (cause) {
    const way = 'write a name of the IANA database such as Europe/Vienna'
    throw new ScheduleError(`"${timezone}" is no time zone; ${way}`, { cause })
  }
  return (ms) => {
    const wall = { month: 0, hour: 0, minute: 0 }
    for (const { type, value } of format.formatToParts(ms)) {
      if (type === 'month' || type === 'hour' || type === 'minute') wall[type] = Number(value)
    }
    return wall
  }
}

export interface RunOnScheduleOptions {
  readonly schedule: Schedule
  readonly clock: Clock
  /** Ends the schedule, and through `run`'s own signal what is running. */
  readonly signal: AbortSignal
  readonly run: (signal: AbortSignal) => Promise<void>
  /** A tick, due at `at` (ms since 1970), found a walk running. */
  readonly onSkipped: (at: number) => void
  /** A run failed that should not have; the schedule goes on. */
  readonly onFault: (error: unknown) => void
}

// The clock of the machine may be set while we wait: it is looked at this often.
const longestSleepMs = 60_000

/** Runs at once and then at each tick; resolves when the signal has aborted and the last run ended. */
export async function runOnSchedule(options: RunOnScheduleOptions): Promise<void> {
  const { schedule, clock, signal } = options
  let running: Promise<void> | null = null

  function start(): void {
    running = options
      .run(signal)
      .catch((error: unknown) => {
        if (!signal.aborted) options.onFault(error)
      })
      .finally(() => {
        running = null
      })
  }

  if (!signal.aborted) start()
  while (!signal.aborted) {
    const at = await untilTick()
    if (at === null) break
    if (running === null) start()
    else options.onSkipped(at)
  }
  await running

  /** The tick whose time has come; null when stopped. */
  async function untilTick(): Promise<number | null> {
    let seenAt = clock.now()
    let at = schedule.nextAfter(seenAt)
    for (;;) {
      const now = clock.now()
      if (now >= at) return at
      // Set back: the tick that it was waiting for may now be far away.
      if (now < seenAt) at = schedule.nextAfter(now)
      seenAt = now
      try {
        await clock.sleep(Math.min(at - now, longestSleepMs), signal)
      } catch {
        return null
      }
    }
  }
}
