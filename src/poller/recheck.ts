// Devices with an alert are read again sooner than the next walk, so that a repaired one resolves
// within minutes. Rechecks run beside walks and must leave them room: at most a quarter of the
// sockets and half of the request rate.

import type { Clock } from '../clock.ts'
import type { DeviceType } from '../fleet/device.ts'
import type { DeviceReading, UnreadReason } from '../fleet/reading.ts'
import type { PartnerClient } from '../partner/client.ts'
import { PartnerError } from '../partner/partner-error.ts'

export type WatchedReading =
  | { readonly kind: 'read'; readonly reading: DeviceReading }
  | { readonly kind: 'unread'; readonly reason: UnreadReason; readonly problem: string }
  | { readonly kind: 'absent'; readonly state: 'deleted' | 'missing' }

/**
 * One device by its own call, deleted ones included. A device that the partner doesn't know is
 * `missing`, not `deleted`: only `deleted_at` says that. Rejects only with the signal's reason.
 */
export async function readWatchedDevice({
  client,
  signal,
  ...device
}: {
  readonly client: PartnerClient
  readonly userId: string
  readonly deviceType: DeviceType
  readonly deviceId: string
  readonly signal: AbortSignal
}): Promise<WatchedReading> {
  try {
    const reading = await client.device({ ...device, includeDeleted: true }, signal)
    return reading.device.deleted_at === null
      ? { kind: 'read', reading }
      : { kind: 'absent', state: 'deleted' }
  } catch (error) {
    if (!(error instanceof PartnerError)) throw error
    if (error.kind === 'not_found') return { kind: 'absent', state: 'missing' }
    return { kind: 'unread', reason: error.kind, problem: error.message }
  }
}

/**
 * Those that were read `intervalMs` ago or longer, the longest ago first, at most `budget` of them.
 * `lastReadAt` may be of an attempt that failed: a device that cannot be read must not keep others
 * from their turn. Takes one pass, since most of a fleet may be in trouble.
 */
export function pickDue<Device extends { readonly lastReadAt: number }>(
  devices: Iterable<Device>,
  { now, intervalMs, budget }: { now: number; intervalMs: number; budget: number },
): Device[] {
  // A heap of the picked ones with the latest read on top, which an earlier one replaces.
  const heap: Device[] = []
  const readAt = (at: number) => heap[at]?.lastReadAt ?? Number.NEGATIVE_INFINITY
  const swap = (a: number, b: number) => {
    const [first, second] = [heap[a], heap[b]]
    if (first === undefined || second === undefined) return
    heap[a] = second
    heap[b] = first
  }
  for (const device of devices) {
    if (now - device.lastReadAt < intervalMs || budget < 1) continue
    if (heap.length < Math.floor(budget)) {
      let at = heap.push(device) - 1
      for (let parent = (at - 1) >> 1; at > 0 && readAt(at) > readAt(parent); parent = (at - 1) >> 1) {
        swap(at, parent)
        at = parent
      }
    } else if (device.lastReadAt < readAt(0)) {
      heap[0] = device
      for (let at = 0; ; ) {
        const left = 2 * at + 1
        const largest = readAt(left + 1) > readAt(left) ? left + 1 : left
        if (readAt(largest) <= readAt(at)) break
        swap(at, largest)
        at = largest
      }
    }
  }
  return heap.sort((a, b) => a.lastReadAt - b.lastReadAt)
}

export interface RecheckLimits {
  /** Of the client: sockets, and requests per second. */
  readonly concurrency: number
  readonly requestsPerSecond: number
}

/** How many rechecks may run at once, and how many requests per second they may make. */
export function recheckShare({ concurrency, requestsPerSecond }: RecheckLimits): {
  readonly atOnce: number
  readonly perSecond: number
} {
  return { atOnce: Math.max(1, Math.floor(concurrency / 4)), perSecond: requestsPerSecond / 2 }
}

export interface RecheckOptions<Device extends { readonly lastReadAt: number }> extends RecheckLimits {
  readonly clock: Clock
  /** When it aborts, rechecks that are under way end and the loop returns. */
  readonly signal: AbortSignal
  readonly intervalMs: number
  /** Requests that one recheck makes, at most. */
  readonly requestsPerRecheck: number
  /** Every device in trouble, with the moment of its last reading or attempt (ms since 1970). */
  readonly watched: () => Iterable<Device>
  /** Reads the device and sees to it that its `lastReadAt` moves on, whatever happens. */
  readonly recheck: (device: Device, signal: AbortSignal) => Promise<void>
  /** A recheck failed that should not have: the partner's failures are values. */
  readonly onFault: (error: unknown) => void
}

const roundMs = 15_000
const shortestRoundMs = 1_000

/** Rechecks until the signal aborts: rounds of what is due, spread so that they keep to their share. */
export async function runRechecks<Device extends { readonly lastReadAt: number }>(
  options: RecheckOptions<Device>,
): Promise<void> {
  const { clock, signal, intervalMs, requestsPerRecheck } = options
  const { atOnce, perSecond } = recheckShare(options)
  const spacingMs = (requestsPerRecheck / perSecond) * 1_000
  // Short against the interval, so that none is late by much.
  const wantedRoundMs = Math.min(roundMs, Math.max(shortestRoundMs, intervalMs / 8))
  const budget = Math.max(1, Math.floor(wantedRoundMs / spacingMs))
  let nextAt = clock.monotonic()

  while (!signal.aborted) {
    const startedAt = clock.monotonic()
    const due = pickDue(options.watched(), { now: clock.now(), intervalMs, budget }).values()
    await Promise.all(Array.from({ length: atOnce }, () => worker(due)))
    try {
      await clock.sleep(Math.max(0, wantedRoundMs - (clock.monotonic() - startedAt)), signal)
    } catch {
      return
    }
  }

  async function worker(due: Iterator<Device>): Promise<void> {
    for (let next = due.next(); !next.done; next = due.next()) {
      const now = clock.monotonic()
      const waitMs = Math.max(0, nextAt - now)
      nextAt = Math.max(nextAt, now) + spacingMs
      try {
        if (waitMs > 0) await clock.sleep(waitMs, signal)
        if (signal.aborted) return
        await options.recheck(next.value, signal)
      } catch (error) {
        if (signal.aborted) return
        options.onFault(error)
      }
    }
  }
}
