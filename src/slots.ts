// A walk in slots: the leader cuts the users of a walk into slots and enters what is found of them
// (readInSlots); a replica reads one slot and asks the rules (workOnSlot). What lies between the two, a
// table and a queue, is behind SlotBoard and SlotDesk.
//
// Terms: a *slot* is some users of one walk. A *claim* is a replica's right to give back the findings of a
// slot: the last one to claim it has it, and loses it when it does not touch the slot for a while.

import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import type { Alert } from './alerts/alert.ts'
import { createFinder, type Finding, type TallyData, tallyData } from './alerts/findings.ts'
import type { Clock } from './clock.ts'
import type { User } from './fleet/user.ts'
import type { UnknownReason } from './fleet/verdict.ts'
import { createGapTally, type Gaps } from './gap-tally.ts'
import { createDeviceTally, type DeviceCount } from './metric-series.ts'
import type { PartnerClient } from './partner/client.ts'
import { type ReadCounts, readUsers, type Unread } from './poller/user-reader.ts'
import type { ReadElsewhere } from './poller/walk.ts'
import type { RuleSet } from './rules/rule.ts'

/** What a replica needs to know of a slot. */
export interface SlotWork {
  /** When the list of users arrived (ms since 1970). */
  readonly observedAt: number
  readonly users: readonly User[]
  /** Those that these users and their devices have. */
  readonly alerts: readonly Alert[]
}

/** What a replica gives back: findings, or why there are none. */
export type SlotAnswer = SlotFindings | { readonly failed: string }

export interface SlotFindings {
  readonly findings: readonly Finding[]
  readonly tallies: readonly TallyData[]
  /** Users with findings, as they were read. */
  readonly users: readonly User[]
  readonly devices: readonly DeviceCount[]
  readonly gaps: Gaps
  readonly counts: ReadCounts
}

/** The leader's side. Rejects when the database cannot be reached; what was asked for may be asked again. */
export interface SlotBoard {
  /** How many replicas work on slots at present, this one included. */
  replicas(): Promise<number>
  /** Only this walk's slots count from now on. */
  begin(walkId: string): Promise<void>
  offer(walkId: string, slot: number, work: Uint8Array): Promise<void>
  /** Findings that are there, but for those of slots that were entered, which are forgotten. */
  collect(
    walkId: string,
    entered: readonly number[],
  ): Promise<readonly { readonly slot: number; readonly findings: Uint8Array }[]>
  /** Offers slots again that nobody works on any more; due every few seconds. Returns those that are there. */
  offerOverdue(walkId: string): Promise<readonly number[]>
}

/** A replica's side; it rejects as SlotBoard does. */
export interface SlotDesk {
  /** Null: it is done, somebody works on it, or its walk is over. */
  claim(place: SlotPlace): Promise<SlotClaim | null>
  /** False: the claim is lost. Due every few seconds. */
  touch(claim: SlotClaim): Promise<boolean>
  /** False: the claim was lost, and the findings are not wanted. */
  give(claim: SlotClaim, findings: Uint8Array): Promise<boolean>
  /** Somebody else may have it, at once. */
  release(claim: SlotClaim): Promise<void>
}

export interface SlotPlace {
  readonly walkId: string
  readonly slot: number
}

export interface SlotClaim extends SlotPlace {
  /** Counts the claims on this slot. */
  readonly epoch: number
  readonly work: Uint8Array
}

export interface ReadInSlotsOptions {
  readonly board: SlotBoard
  readonly clock: Clock
  readonly newWalkId: () => string
  readonly replicas: number
  readonly alertsOf: (userId: string) => readonly Alert[]
  readonly onSlot: (findings: SlotFindings) => Promise<void>
  /** The database could not be reached: tried again until it can. */
  readonly onFailure: (error: unknown) => void
}

const mostUsers = 500
const fewestUsers = 20
// So many that the last ones are not waited for by all others, and none is idle before that.
const slotsOfReplica = 8
// What a replica works on, and one that waits for it.
const outOfReplica = 3
const collectMs = 50
const sweepMs = 2_000
const retryMs = 500

/** Has all users of a walk read by those who take slots. Rejects with the signal's reason, or as a replica did. */
export function readInSlots(options: ReadInSlotsOptions): ReadElsewhere {
  const { board, clock, replicas, onSlot } = options
  return async (users, { total, observedAt, signal, onDone }) => {
    const walkId = options.newWalkId()
    const size = Math.ceil(Math.min(mostUsers, Math.max(fewestUsers, total / (replicas * slotsOfReplica))))
    const counts = { usersUnread: 0, devices: 0, devicesUnread: 0 }
    /** Those that are out, with the number of their users. */
    const out = new Map<number, number>()
    /** To be forgotten; what cannot be is collected again, and known by not being out. */
    let entered: readonly number[] = []
    let next = 0
    let isOver = false
    let sweptAt = clock.monotonic()
    await persistently(() => board.begin(walkId))
    for (;;) {
      while (!isOver && out.size < replicas * outOfReplica) {
        const some = take(users, size)
        isOver = some.length < size
        if (some.length === 0) break
        const slot = next++
        const work = await encode<SlotWork>({
          observedAt,
          users: some,
          alerts: some.flatMap(({ id }) => options.alertsOf(id)),
        })
        out.set(slot, some.length)
        await persistently(() => board.offer(walkId, slot, work))
      }
      if (out.size === 0) return counts
      if (clock.monotonic() - sweptAt >= sweepMs) {
        sweptAt = clock.monotonic()
        const present = new Set(await persistently(() => board.offerOverdue(walkId)))
        const lost = [...out.keys()].filter((slot) => !present.has(slot))
        // Another leader has begun a walk, or the database went back to what it was.
        if (lost.length > 0) throw new Error(`${lost.length} slots of this walk are gone`)
      }
      const collected = await persistently(() => board.collect(walkId, entered))
      entered = collected.map(({ slot }) => slot)
      const fresh = collected.filter(({ slot }) => out.has(slot))
      for (const { slot, findings } of fresh) {
        const found = await decode<SlotAnswer>(findings)
        if ('failed' in found) throw new Error(`a replica failed: ${found.failed}`)
        counts.usersUnread += found.counts.usersUnread
        counts.devices += found.counts.devices
        counts.devicesUnread += found.counts.devicesUnread
        await onSlot(found)
        onDone(out.get(slot) ?? 0)
        out.delete(slot)
      }
      if (fresh.length === 0) await clock.sleep(collectMs, signal)
    }

    async function persistently<T>(call: () => Promise<T>): Promise<T> {
      for (;;) {
        if (signal.aborted) throw signal.reason
        try {
          return await call()
        } catch (error) {
          options.onFailure(error)
          await clock.sleep(retryMs, signal)
        }
      }
    }
  }
}

export interface WorkOnSlotOptions {
  readonly client: PartnerClient
  readonly clock: Clock
  readonly rules: RuleSet
  /** Users that are read at once. */
  readonly concurrency: number
  readonly newEpisode: () => string
  readonly onUnread: (unread: Unread) => void
  readonly onUnknown: (alertname: string, reason: UnknownReason) => void
  readonly signal: AbortSignal
}

/** Reads the users of a slot and asks the rules. Rejects with the signal's reason. */
export async function workOnSlot(
  { observedAt, users, alerts }: SlotWork,
  { rules, ...options }: WorkOnSlotOptions,
): Promise<SlotFindings> {
  const gaps = createGapTally()
  const finder = createFinder({
    ...options,
    rules,
    active: alerts,
    onUnknown(alertname, reason) {
      gaps.addUnknown(alertname, reason)
      options.onUnknown(alertname, reason)
    },
  })
  const tallies = finder.tallies()
  const devices = createDeviceTally()
  const withFindings: User[] = []
  const counts = await readUsers(users.values(), {
    ...options,
    observedAt,
    needs: rules.reads,
    watched: finder.watched,
    onUnread(unread) {
      gaps.addUnread(unread)
      options.onUnread(unread)
    },
    onUser(reading) {
      for (const { device } of reading.devices) devices.add(device)
      const before = finder.findings().length
      finder.user(reading, tallies)
      if (finder.findings().length > before) withFindings.push(reading.user)
    },
  })
  return {
    findings: finder.findings(),
    tallies: tallies.map(tallyData),
    users: withFindings,
    devices: devices.counts(),
    gaps: gaps.gaps(),
    counts,
  }
}

function take<T>(items: Iterator<T>, most: number): T[] {
  const taken: T[] = []
  while (taken.length < most) {
    const next = items.next()
    if (next.done) break
    taken.push(next.value)
  }
  return taken
}

const deflate = promisify(deflateRaw)
const inflate = promisify(inflateRaw)

/** As JSON, and a fifth of its size: it crosses the network twice. Both sides are of the same version. */
export async function encode<T>(value: T): Promise<Uint8Array> {
  return deflate(JSON.stringify(value), { level: 1 })
}

export async function decode<T>(bytes: Uint8Array): Promise<T> {
  return JSON.parse((await inflate(bytes)).toString())
}
