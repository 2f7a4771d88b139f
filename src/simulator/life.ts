// Devices that break and heal by themselves, so that a demo has something to tell and a long test
// something to survive. The sequence of events (what, to whom, when) follows from the seed, as long as
// nobody else changes the fleet; the clock only says when it is time. A repair heals just the breakage that it was planned for: what a
// customer reconnected and what broke again in the meantime is left alone.

import type { Clock } from '../clock.ts'
import { type BreakageKind, breakageKindsOf, type Fleet, type SimulatedDevice } from './fleet.ts'
import { randomSequence } from './hash.ts'

export type LifeEvent =
  | {
      readonly what: 'broke' | 'healed'
      readonly at: number
      readonly device: SimulatedDevice
      readonly kind: BreakageKind
    }
  | { readonly what: 'outage_started' | 'outage_ended'; readonly at: number; readonly manufacturer: string }

export interface LifeOptions {
  readonly fleet: Fleet
  readonly clock: Clock
  readonly seed: number
  /** Mean time between two breakages in the whole fleet; intervals are exponentially distributed. */
  readonly meanBreakIntervalMs: number
  /** Mean time until a breakage heals by itself. */
  readonly meanRepairMs: number
  /** Mean time between two manufacturer outages; null (the default): there are none. */
  readonly meanOutageIntervalMs?: number | null
  /** Mean length of a manufacturer outage. Default: meanRepairMs. */
  readonly meanOutageMs?: number
  readonly onEvent?: (event: LifeEvent) => void
}

export interface Life {
  /** Lets events happen until the signal aborts; what is broken then stays so. Call it once. */
  run(signal: AbortSignal): Promise<void>
  /** Breaks a device now, by its id, until `heal`. Throws a RangeError for an id or a kind that cannot be. */
  breakDevice(kind: BreakageKind, deviceId: string): void
  /** Heals all that is wrong with a device, or one kind of it. True if there was something. */
  heal(deviceId: string, kind?: BreakageKind): boolean
}

interface Plan {
  readonly at: number
  readonly happen: () => void
}

const attemptsToFindHealthy = 20

export function createLife(options: LifeOptions): Life {
  const { fleet, clock, meanBreakIntervalMs, meanRepairMs } = options
  const { meanOutageIntervalMs = null, meanOutageMs = meanRepairMs, onEvent = () => {} } = options
  const random = randomSequence(options.seed)
  // Sorted by time; of the same moment, the one that was planned first comes first.
  const plans: Plan[] = []

  function plan(at: number, happen: () => void): void {
    const later = plans.findIndex((planned) => planned.at > at)
    plans.splice(later === -1 ? plans.length : later, 0, { at, happen })
  }

  /** An exponentially distributed time with this mean, at least 1 ms. */
  function about(meanMs: number): number {
    return Math.max(1, Math.round(-Math.log(1 - random()) * meanMs))
  }

  function randomDevice(): SimulatedDevice | null {
    for (let attempt = 0; attempt < attemptsToFindHealthy; attempt++) {
      const userIndex = Math.floor(random() * fleet.userCount)
      const devices = fleet.devices(userIndex)
      const device = devices[Math.floor(random() * devices.length)]
      if (device === undefined || fleet.userDeletedAt(userIndex) !== null) continue
      const { breakages, deletedAt } = fleet.condition(device)
      if (breakages.size === 0 && deletedAt === null) return device
    }
    return null
  }

  function breakSomething(at: number): void {
    planBreak(at)
    const device = randomDevice()
    const kindDraw = random()
    const repairedAt = at + about(meanRepairMs)
    if (device === null) return
    const kinds = breakageKindsOf(device.type)
    // Lost connections are what happens most.
    const kind =
      kindDraw < 0.4 ? 'unauthenticated' : kinds[Math.floor(((kindDraw - 0.4) / 0.6) * kinds.length)]
    if (kind === undefined) return
    const { episode } = fleet.breakDevice(device, kind, at)
    onEvent({ what: 'broke', at, device, kind })
    plan(repairedAt, () => {
      if (fleet.condition(device).breakages.get(kind)?.episode !== episode) return
      fleet.heal(device, kind)
      onEvent({ what: 'healed', at: repairedAt, device, kind })
    })
  }

  function planBreak(from: number): void {
    const at = from + about(meanBreakIntervalMs)
    plan(at, () => breakSomething(at))
  }

  function startOutage(at: number, meanIntervalMs: number): void {
    planOutage(at, meanIntervalMs)
    const device = randomDevice()
    const endsAt = at + about(meanOutageMs)
    if (device === null) return
    const manufacturer = device.manufacturer.name
    const end = fleet.startOutage(manufacturer, at)
    onEvent({ what: 'outage_started', at, manufacturer })
    plan(endsAt, () => {
      end()
      onEvent({ what: 'outage_ended', at: endsAt, manufacturer })
    })
  }

  function planOutage(from: number, meanIntervalMs: number): void {
    const at = from + about(meanIntervalMs)
    plan(at, () => startOutage(at, meanIntervalMs))
  }

  async function run(signal: AbortSignal): Promise<void> {
    const startedAt = clock.now()
    planBreak(startedAt)
    if (meanOutageIntervalMs !== null) planOutage(startedAt, meanOutageIntervalMs)
    while (!signal.aborted) {
      const next = plans[0]
      if (next === undefined) return
      const waitMs = next.at - clock.now()
      if (waitMs > 0) {
        await clock.sleep(waitMs, signal).catch((error: unknown) => {
          if (!signal.aborted) throw error
        })
        // A clock may wake us early or have been set back: look again.
        continue
      }
      plans.shift()
      next.happen()
    }
  }

  function named(deviceId: string): SimulatedDevice {
    const device = fleet.device(deviceId)
    if (device === null) throw new RangeError(`no device has the id "${deviceId}"`)
    return device
  }

  return {
    run,
    breakDevice: (kind, deviceId) => {
      fleet.breakDevice(named(deviceId), kind, clock.now())
    },
    heal: (deviceId, kind) => fleet.heal(named(deviceId), kind),
  }
}
