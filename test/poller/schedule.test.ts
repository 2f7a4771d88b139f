import fc from 'fast-check'
import { createTask } from 'node-cron'
import { describe, expect, it } from 'vitest'
import { parseSchedule, runOnSchedule, ScheduleError } from '../../src/poller/schedule.ts'
import { createManualClock, settled } from '../manual-clock.ts'

const iso = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z')

/** The ticks after an instant. */
function ticks(expression: string, { zone = 'UTC', after = '2026-01-01T00:00:00Z', count = 4 }) {
  const schedule = parseSchedule(expression, zone)
  const found: string[] = []
  let at = Date.parse(after)
  for (let n = 0; n < count; n++) {
    at = schedule.nextAfter(at)
    found.push(iso(at))
  }
  return found
}

describe('a cron expression', () => {
  it.each([
    ['*/10 * * * *', {}, ['00:10', '00:20', '00:30', '00:40'].map((time) => `2026-01-01T${time}:00Z`)],
    ['30 */20 * * * *', {}, ['00:00', '00:20', '00:40', '01:00'].map((time) => `2026-01-01T${time}:30Z`)],
    ['15,45 3 * * *', { count: 3 }, ['2026-01-01T03:15:00Z', '2026-01-01T03:45:00Z', '2026-01-02T03:15:00Z']],
    ['0 0 29 2 *', { count: 2 }, ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z']],
    ['0 12 29 2 1', { count: 1 }, ['2044-02-29T12:00:00Z']],
    [
      '0 6 * * MON-FRI',
      { count: 3 },
      ['2026-01-01T06:00:00Z', '2026-01-02T06:00:00Z', '2026-01-05T06:00:00Z'],
    ],
    ['0 0 L * *', { count: 2 }, ['2026-01-31T00:00:00Z', '2026-02-28T00:00:00Z']],
    ['@hourly', { count: 1 }, ['2026-01-01T01:00:00Z']],
    ['0 9 * 12 *', { zone: 'Asia/Kathmandu', count: 1 }, ['2026-12-01T03:15:00Z']],
    [
      '30 23 31 12 *',
      { zone: 'America/St_Johns', count: 2 },
      ['2026-01-01T03:00:00Z', '2027-01-01T03:00:00Z'],
    ],
    ['0 0 1 7 *', { zone: 'Pacific/Auckland', count: 1 }, ['2026-06-30T12:00:00Z']],
  ] as [string, object, string[]][])('%s %j ticks at %j', (expression, options, expected) => {
    expect(ticks(expression, options)).toEqual(expected)
  })

  it('keeps to the clock on the wall when daylight saving begins and ends', () => {
    const zone = 'Europe/Vienna'
    expect(ticks('0 9 * * *', { zone, after: '2026-03-28T00:00:00Z', count: 2 })).toEqual([
      '2026-03-28T08:00:00Z',
      '2026-03-29T07:00:00Z',
    ])
    expect(ticks('30 2 * * *', { zone, after: '2026-03-28T02:00:00Z', count: 1 })).toEqual([
      '2026-03-30T00:30:00Z',
    ])
    expect(ticks('30 2 * * *', { zone, after: '2026-10-24T12:00:00Z', count: 3 })).toEqual([
      '2026-10-25T00:30:00Z',
      '2026-10-25T01:30:00Z',
      '2026-10-26T01:30:00Z',
    ])
    expect(ticks('*/30 * * * *', { zone, after: '2026-03-29T00:30:00Z', count: 2 })).toEqual([
      '2026-03-29T01:00:00Z',
      '2026-03-29T01:30:00Z',
    ])
    // By half an hour only.
    expect(
      ticks('15 2 * * *', { zone: 'Australia/Lord_Howe', after: '2026-10-03T00:00:00Z', count: 1 }),
    ).toEqual(['2026-10-04T15:15:00Z'])
  })

  it('ticks exactly where node-cron says that it matches', () => {
    const expressions = [
      '*/7 * * * *',
      '5 4 * * SUN',
      '0,30 */5 1,15 * *',
      '*/17 */9 3 * * *',
      '59 23 * 2,11 *',
    ]
    const zones = ['UTC', 'Europe/Vienna', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe']
    const from = Date.UTC(2026, 0, 1)
    fc.assert(
      fc.property(
        fc.constantFrom(...expressions),
        fc.constantFrom(...zones),
        fc.integer({ min: from, max: from + 400 * 86_400_000 }),
        (expression, timezone, after) => {
          const at = parseSchedule(expression, timezone).nextAfter(after)
          expect(at).toBeGreaterThan(after)
          const task = createTask(expression, () => {}, { timezone })
          expect(task.match(new Date(at))).toBe(true)
          // Between the two nothing matches: looked at by the second near both, by chance elsewhere.
          const start = Math.floor(after / 1_000) * 1_000 + 1_000
          for (let n = 0; n < 40; n++) {
            const chance = start + Math.floor((Math.abs(Math.sin(n + after)) * (at - start)) / 1_000) * 1_000
            for (const between of [start + n * 1_000, at - (n + 1) * 1_000, chance]) {
              if (between >= start && between < at)
                expect(task.match(new Date(between)), iso(between)).toBe(false)
            }
          }
          void task.destroy()
        },
      ),
      { numRuns: 25 },
    )
  })

  it.each([
    ['', 'UTC', '"" is no cron expression'],
    ['* * *', 'UTC', 'expected 5 or 6 fields but got 3; write five fields such as "*/10 * * * *"'],
    ['61 * * * *', 'UTC', '61 is a invalid expression for minute'],
    ['0 0 31 2 *', 'UTC', 'impossible day of month'],
    [
      '* * * * *',
      'Vienna',
      '"Vienna" is no time zone; write a name of the IANA database such as Europe/Vienna',
    ],
  ])('%j in %s is refused', (expression, zone, message) => {
    expect(() => parseSchedule(expression, zone)).toThrow(ScheduleError)
    expect(() => parseSchedule(expression, zone)).toThrow(message)
  })

  it('that never comes is refused at once', () => {
    expect(() => parseSchedule('0 0 1 * 1#5', 'UTC')).toThrow('"0 0 1 * 1#5" never comes')
  })
})

describe('walks on a schedule', () => {
  function running(expression: string, { takesMs = 1_000, fails = false } = {}) {
    const clock = createManualClock(Date.UTC(2026, 0, 1, 0, 3))
    const stop = new AbortController()
    const runs: string[] = []
    const skipped: string[] = []
    const faults: unknown[] = []
    let atOnce = 0
    const over = runOnSchedule({
      schedule: parseSchedule(expression, 'UTC'),
      clock,
      signal: stop.signal,
      run: async (signal) => {
        expect(++atOnce).toBe(1)
        runs.push(iso(clock.now()).slice(11, 19))
        await clock.sleep(takesMs, signal).finally(() => atOnce--)
        if (fails) throw new Error('a fault')
      },
      onSkipped: (at) => skipped.push(iso(at).slice(11, 19)),
      onFault: (error) => faults.push(error),
    })
    return { clock, stop, over, runs, skipped, faults }
  }

  it('begin at once and then at every tick', async () => {
    const { clock, runs, skipped } = running('*/10 * * * *')
    await clock.advance(30 * 60_000)
    expect(runs).toEqual(['00:03:00', '00:10:00', '00:20:00', '00:30:00'])
    expect(skipped).toEqual([])
  })

  it('never overlap: a tick that finds one running is skipped', async () => {
    const { clock, runs, skipped } = running('*/10 * * * *', { takesMs: 25 * 60_000 })
    await clock.advance(60 * 60_000)
    expect(runs).toEqual(['00:03:00', '00:30:00', '01:00:00'])
    expect(skipped).toEqual(['00:10:00', '00:20:00', '00:40:00', '00:50:00'])
  })

  it('go on after one that failed', async () => {
    const { clock, runs, faults } = running('*/10 * * * *', { fails: true })
    await clock.advance(20 * 60_000)
    expect(runs).toHaveLength(3)
    expect(faults).toHaveLength(3)
  })

  it('end with the signal, after the one that is running, and that is no fault', async () => {
    const { clock, stop, over, runs, faults } = running('*/10 * * * *', { takesMs: 60_000 })
    await clock.advance(7 * 60_000 + 1_000)
    expect(runs).toHaveLength(2)
    stop.abort(new Error('stop'))
    await over
    expect(faults).toEqual([])
    expect(clock.sleepers()).toBe(0)
  })

  it('do not begin when it was stopped before', async () => {
    const runs: number[] = []
    await runOnSchedule({
      schedule: parseSchedule('* * * * *', 'UTC'),
      clock: createManualClock(),
      signal: AbortSignal.abort(),
      run: async () => {
        runs.push(1)
      },
      onSkipped: () => {},
      onFault: () => {},
    })
    expect(runs).toEqual([])
  })

  it('are one after the machine has slept through several ticks', async () => {
    const { clock, runs } = running('*/10 * * * *')
    await clock.advance(60_000)
    clock.jump(3 * 3_600_000)
    await clock.advance(60_000)
    expect(runs).toEqual(['00:03:00', '03:05:00'])
    await clock.advance(10 * 60_000)
    expect(runs.slice(2)).toEqual(['03:10:00'])
  })

  it('go on in time after the clock of the machine was set back', async () => {
    const { clock, runs } = running('0 * * * *')
    await clock.advance(60_000)
    clock.jump(-5 * 3_600_000)
    await clock.advance(60 * 60_000)
    await settled()
    expect(runs).toEqual(['00:03:00', '20:00:00'])
  })
})
