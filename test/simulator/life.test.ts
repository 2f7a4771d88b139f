import { describe, expect, it } from 'vitest'
import { createFleet, type Fleet } from '../../src/simulator/fleet.ts'
import { createLife, type LifeEvent, type LifeOptions } from '../../src/simulator/life.ts'
import { createManualClock } from '../manual-clock.ts'

const minuteMs = 60_000

async function lived(forMs: number, options: Partial<LifeOptions> = {}, stepMs = 10 * minuteMs) {
  const clock = createManualClock()
  const fleet = createFleet({ seed: 5, users: 500, healthy: true })
  const events: LifeEvent[] = []
  const stop = new AbortController()
  const life = createLife({
    fleet,
    clock,
    seed: 77,
    meanBreakIntervalMs: minuteMs,
    meanRepairMs: 20 * minuteMs,
    meanOutageIntervalMs: 120 * minuteMs,
    onEvent: (event) => events.push(event),
    ...options,
  })
  const ended = life.run(stop.signal)
  for (let passed = 0; passed < forMs; passed += stepMs) await clock.advance(stepMs)
  stop.abort()
  await ended
  return { fleet, events }
}

function brokenDevices(fleet: Fleet): number {
  let broken = 0
  for (let index = 0; index < fleet.userCount; index++) {
    for (const device of fleet.devices(index)) if (fleet.condition(device).breakages.size > 0) broken++
  }
  return broken
}

describe('a fleet that lives', () => {
  it('breaks and heals in the same way for the same seed, however the clock moves', async () => {
    const summary = (events: LifeEvent[]) =>
      events.map((event) => [event.at, event.what, 'device' in event ? event.device.id : event.manufacturer])
    const first = summary((await lived(600 * minuteMs)).events)
    expect(summary((await lived(600 * minuteMs, {}, 90_000)).events)).toEqual(first)
    expect(summary((await lived(600 * minuteMs, { seed: 78 })).events)).not.toEqual(first)
  })

  it('keeps to the mean times, and ends every kind of trouble again', async () => {
    const { events, fleet } = await lived(3000 * minuteMs)
    const count = (what: LifeEvent['what']) => events.filter((event) => event.what === what).length
    expect(count('broke')).toBeGreaterThan(2700)
    expect(count('broke')).toBeLessThan(3300)
    expect(count('broke') - count('healed')).toBe(brokenDevices(fleet))
    expect(brokenDevices(fleet)).toBeLessThan(60)
    expect(count('outage_started')).toBeGreaterThan(12)
    expect(count('outage_started') - count('outage_ended')).toBeLessThan(5)
    const kinds = new Set(events.map((event) => ('kind' in event ? event.kind : '')))
    expect(kinds.size).toBe(9)
  })

  it('has no outages unless they are asked for', async () => {
    const { events } = await lived(1000 * minuteMs, { meanOutageIntervalMs: null })
    expect(events.some(({ what }) => what === 'outage_started')).toBe(false)
  })

  it('does not heal what broke anew after somebody else had healed it', async () => {
    const clock = createManualClock()
    const fleet = createFleet({ seed: 5, users: 1, healthy: true })
    const broken: LifeEvent[] = []
    const stop = new AbortController()
    const life = createLife({
      fleet,
      clock,
      seed: 1,
      meanBreakIntervalMs: minuteMs,
      meanRepairMs: 10 * minuteMs,
      onEvent: (event) => broken.push(event),
    })
    const ended = life.run(stop.signal)
    while (broken.length === 0) await clock.advance(minuteMs)
    const [event] = broken
    if (event === undefined || !('device' in event)) throw new Error('the first event is a breakage')
    const { device, kind } = event
    expect(life.heal(device.id, kind)).toBe(true)
    life.breakDevice(kind, device.id)
    const { episode } = fleet.condition(device).breakages.get(kind)!
    await clock.advance(500 * minuteMs)
    expect(fleet.condition(device).breakages.get(kind)?.episode).toBe(episode)
    stop.abort()
    await ended
  })

  it('says so when it is to break a device that is none', () => {
    const fleet = createFleet({ seed: 5, users: 1 })
    const options = { fleet, clock: createManualClock(), seed: 1, meanBreakIntervalMs: 1, meanRepairMs: 1 }
    expect(() => createLife(options).breakDevice('stale_state', 'x')).toThrow('no device has the id "x"')
  })
})
