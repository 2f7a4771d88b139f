// After somebody came back from the partner: their device is read at once, and again and again for a few
// minutes, until it is well. Each reading is evaluated, so the alert resolves with the one that shows it.
// Where it is still wrong at the end, the record says why, and rechecks go on as for every alert.
//
// What is left to check is in the records, so a restart goes on where the last process was.

import { createAlarm } from '../alarm.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { WatchedReading } from '../poller/recheck.ts'
import type { FreshReadings } from './fresh-readings.ts'
import type { LinkBook } from './link-book.ts'
import type { StillWrong } from './link-desk.ts'
import type { LinkRecord } from './link-store.ts'
import { isWell } from './opening.ts'

/** How long a device is read again after a return. */
export const checkForMs = 5 * 60_000

export interface Verification {
  /** Begins, or begins anew with short waits. Resolves after the first reading, or when it failed. */
  begin(device: DeviceSubject): Promise<void>
  /** Goes on with what a process before this one has begun. */
  resume(): void
  /** Resolves when everything under way has ended, after the signal aborted. */
  ended(): Promise<void>
}

export interface VerificationOptions {
  readonly clock: Clock
  readonly links: Pick<LinkBook, 'ofDevice' | 'all' | 'verified' | 'checked'>
  readonly readings: Pick<FreshReadings, 'take'>
  readonly onStillWrong: (record: LinkRecord) => void
  /** A check failed that should not have: the partner's failures are values. */
  readonly onFault: (error: unknown) => void
  readonly signal: AbortSignal
}

// After the first reading. The last one is repeated.
const waitsMs = [5_000, 10_000, 20_000, 40_000, 60_000] as const
// People who come back after an outage do so all at once; walks need the sockets too.
const atOnce = 8

interface Check {
  /** Cuts the present wait short. */
  ring(): void
  step: number
  readonly end: Promise<void>
}

export function createVerification(options: VerificationOptions): Verification {
  const { clock, links, readings, signal } = options
  const checks = new Map<string, Check>()
  const inTurn = createTurns(atOnce)

  async function begin(device: DeviceSubject): Promise<void> {
    const key = `${device.deviceType}/${device.deviceId}`
    const firstRead = Promise.withResolvers<void>()
    const running = checks.get(key)
    // The one that runs is past its own first reading or at it: the next one is this return's.
    if (running !== undefined) {
      running.step = 0
      running.ring()
      return readings.take(device, { after: latestReturn(awaiting(device)) }).then(
        () => undefined,
        () => undefined,
      )
    }
    const alarm = createAlarm(clock)
    const end = Promise.withResolvers<void>()
    const check: Check = { ring: alarm.ring, step: 0, end: end.promise }
    checks.set(key, check)
    run(device, check, { wait: (at) => alarm.until(at, signal), onRead: firstRead.resolve })
      .then(
        () => true,
        (error: unknown) => {
          if (!signal.aborted) options.onFault(error)
          return false
        },
      )
      .then((isDone) => {
        checks.delete(key)
        firstRead.resolve()
        end.resolve()
        // Somebody may have come back while the last of it was saved.
        if (isDone && !signal.aborted && awaiting(device).length > 0) void begin(device)
      })
    await firstRead.promise
  }

  async function run(
    device: DeviceSubject,
    check: Check,
    { wait, onRead }: { wait: (at: number) => Promise<void>; onRead: () => void },
  ): Promise<void> {
    while (!signal.aborted) {
      const after = latestReturn(awaiting(device))
      const read = await inTurn(() => readings.take(device, { after }))
      for (const record of awaiting(device)) {
        const afterMs = verifiedAfter(record, read)
        if (afterMs !== null) await links.verified(record.episode, afterMs)
      }
      onRead()
      const left = awaiting(device)
      if (left.length === 0) return
      const now = clock.now()
      const until = latestReturn(left) + checkForMs
      if (now >= until) {
        for (const record of left) {
          await links.checked(record.episode, { at: now, stillWrong: wrongIn(read) })
          options.onStillWrong(record)
        }
        return
      }
      const waitMs = waitsMs[Math.min(check.step++, waitsMs.length - 1)] ?? checkForMs
      await wait(Math.min(until, now + waitMs))
    }
  }

  /** Of whom somebody came back, and nobody knows yet what came of it. */
  function awaiting(device: DeviceSubject): readonly LinkRecord[] {
    return links.ofDevice(device).filter(isAwaiting)
  }

  return {
    begin,
    resume() {
      const devices = new Map<string, DeviceSubject>()
      for (const record of links.all()) {
        const { userId, deviceType, deviceId } = record
        if (isAwaiting(record)) devices.set(deviceId, { kind: 'device', userId, deviceType, deviceId })
      }
      for (const device of devices.values()) void begin(device)
    },
    async ended() {
      await Promise.all([...checks.values()].map(({ end }) => end))
    },
  }
}

function isAwaiting(record: LinkRecord): boolean {
  const { returnedAt, startedAt, resolvedAt, verifiedAfterMs, stillWrong } = record
  if (returnedAt === null || (startedAt !== null && startedAt > returnedAt)) return false
  return resolvedAt === null && verifiedAfterMs === null && stillWrong === null
}

function latestReturn(records: readonly LinkRecord[]): number {
  return records.reduce((latest, { returnedAt }) => Math.max(latest, returnedAt ?? 0), 0)
}

/** From the return to this reading, if it shows that all is well. */
function verifiedAfter({ returnedAt }: LinkRecord, read: WatchedReading): number | null {
  if (read.kind !== 'read' || returnedAt === null || !isWell(read.reading.device)) return null
  return Math.max(0, read.reading.observedAt - returnedAt)
}

function wrongIn(read: WatchedReading): StillWrong {
  if (read.kind === 'unread') return 'unread'
  if (read.kind === 'absent') return 'gone'
  return read.reading.device.is_authenticated === true ? 'action_pending' : 'not_authenticated'
}

/** Lets so many do something at once; the others wait, first come, first served. */
function createTurns(atOnce: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = atOnce
  const waiting: (() => void)[] = []
  return async (work) => {
    if (free > 0) free--
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}
