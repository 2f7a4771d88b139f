// Devices as they are at this moment, for people who wait for the answer: read when asked for, once for
// all who ask at the same time, and not again for a few seconds. What is read is evaluated like every
// other reading, so that an alert resolves as soon as anybody has seen that it may.

import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { WatchedReading } from '../poller/recheck.ts'

export interface FreshReadings {
  /**
   * Read at most 5 s ago, and begun later than `after` (ms since 1970; any time unless told). Rejects only
   * with the reason of the signal that ends all of it.
   */
  read(device: DeviceSubject, options?: { readonly after?: number }): Promise<WatchedReading>
  /** As `read`, and evaluated when it returns. */
  take(device: DeviceSubject, options?: { readonly after?: number }): Promise<WatchedReading>
  /** True: the next one costs the partner nothing. */
  isAtHand(device: DeviceSubject): boolean
  /** Lets the next one be read. */
  drop(device: Pick<DeviceSubject, 'deviceType' | 'deviceId'>): void
}

export interface FreshReadingsOptions {
  readonly clock: Clock
  readonly readDevice: (device: DeviceSubject) => Promise<WatchedReading>
  /** Evaluates a reading and saves what follows. */
  readonly evaluate: (device: DeviceSubject, reading: WatchedReading) => Promise<void>
}

interface Taken {
  readonly beganAt: number
  /** On the monotonic clock; null: it is under way. */
  endedAt: number | null
  readonly reading: Promise<WatchedReading>
  evaluated: Promise<void> | null
}

const reuseMs = 5_000

export function createFreshReadings({ clock, readDevice, evaluate }: FreshReadingsOptions): FreshReadings {
  const taken = new Map<string, Taken>()

  /** What still counts; all others go, so that few are kept. */
  function atHand(device: DeviceSubject, after: number): Taken | undefined {
    for (const [key, { endedAt }] of taken) {
      if (endedAt !== null && clock.monotonic() - endedAt > reuseMs) taken.delete(key)
    }
    const found = taken.get(keyOf(device))
    return found !== undefined && found.beganAt > after ? found : undefined
  }

  function begin(device: DeviceSubject): Taken {
    const key = keyOf(device)
    const begun: Taken = {
      beganAt: clock.now(),
      endedAt: null,
      reading: readDevice(device),
      evaluated: null,
    }
    taken.set(key, begun)
    begun.reading.then(
      ({ kind }) => {
        begun.endedAt = clock.monotonic()
        // Another try may well succeed: those who asked meanwhile share this one, no later one does.
        if (kind === 'unread' && taken.get(key) === begun) taken.delete(key)
      },
      () => taken.delete(key),
    )
    return begun
  }

  function get(
    device: DeviceSubject,
    { after = Number.NEGATIVE_INFINITY }: { readonly after?: number } = {},
  ): Taken {
    return atHand(device, after) ?? begin(device)
  }

  return {
    read: (device, options) => get(device, options).reading,
    async take(device, options) {
      const one = get(device, options)
      const reading = await one.reading
      // That something could not be read, or is gone, is for walks and rechecks to judge: a person who
      // presses a button twice is no second poll.
      if (reading.kind === 'read') {
        one.evaluated ??= evaluate(device, reading)
        await one.evaluated
      }
      return reading
    },
    isAtHand: (device) => atHand(device, Number.NEGATIVE_INFINITY) !== undefined,
    drop: (device) => void taken.delete(keyOf(device)),
  }
}

function keyOf({ deviceType, deviceId }: Pick<DeviceSubject, 'deviceType' | 'deviceId'>): string {
  return `${deviceType}/${deviceId}`
}
