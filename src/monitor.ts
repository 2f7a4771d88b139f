// One walk over the whole fleet, from the first call to the heartbeat, and the rechecks between
// walks. This file is the order of things; what each step does is in its own folder.
//
// Never: two walks at once, a message about something that is not saved, a verdict on something
// that was not read.

import type { AlertBook, Transition } from './alerts/alert-book.ts'
import type { DeviceSubject, Evaluator, FleetTally } from './alerts/evaluation.ts'
import { addTallies } from './alerts/findings.ts'
import type { MassChangeGuard } from './alerts/mass-change.ts'
import type { WalkState, WalkStore } from './alerts/walk-store.ts'
import type { Clock } from './clock.ts'
import type { UserReading } from './fleet/reading.ts'
import type { User } from './fleet/user.ts'
import type { Walk } from './fleet/walk.ts'
import type { Dispatcher } from './notify/dispatcher.ts'
import type { WatchedReading } from './poller/recheck.ts'
import type { WalkReport } from './poller/walk.ts'
import type { SlotFindings } from './slots.ts'

export interface MonitorOptions {
  readonly book: AlertBook
  readonly evaluator: Evaluator
  readonly dispatcher: Pick<Dispatcher, 'enable' | 'wake' | 'status'>
  /** Holds back what newly fires until the walk's end, and beyond it when that is suspiciously much. */
  readonly guard: Pick<MassChangeGuard, 'begin' | 'end' | 'abandon'>
  readonly store: WalkStore
  readonly clock: Clock
  /** Reads every user once and hands on what was read, or what others found of it; see poller/walk.ts. */
  readonly readFleet: (
    to: {
      readonly onUser: (reading: UserReading) => Promise<void>
      readonly onSlot: (found: SlotFindings) => Promise<void>
    },
    signal: AbortSignal,
  ) => Promise<WalkReport>
  /** One device by its own call; see poller/recheck.ts. */
  readonly readDevice: (device: DeviceSubject, signal: AbortSignal) => Promise<WatchedReading>
  /** The present record of a user; null: unread. */
  readonly readUser: (userId: string, signal: AbortSignal) => Promise<User | null>
  /** Says outside that all is well; see heartbeat.ts. */
  readonly sendHeartbeat: (signal: AbortSignal) => Promise<void>
  readonly events: MonitorEvents
}

/** A device with an active alert, and when it was last read or tried (ms since 1970). */
export interface DeviceInTrouble extends DeviceSubject {
  readonly lastReadAt: number
}

export type WalkOutcome = 'complete' | 'partial' | 'failed' | 'stopped'

/** What happened, for logs, metrics and the progress bar. */
export interface MonitorEvents {
  onReading(reading: UserReading): void
  /** What others have read. What they could not, they count in their own metrics. */
  onFound(found: Pick<SlotFindings, 'devices' | 'gaps'>): void
  onWalkEnded(walk: Walk, outcome: WalkOutcome): void
  onStorageError(error: unknown): void
}

export interface Monitor {
  /** One walk. Resolves when it ended, however it did; an abort ends it early and harms nothing. */
  walk(signal: AbortSignal): Promise<WalkOutcome>
  devicesInTrouble(): readonly DeviceInTrouble[]
  /** Reads one of them again between walks, so that it resolves soon after it is repaired. */
  recheck(device: DeviceSubject, signal: AbortSignal): Promise<void>
  /** Evaluates what was read of one of them, and saves what follows. */
  take(device: DeviceSubject, read: WatchedReading, signal: AbortSignal): Promise<void>
  /** Asks the rules about the service itself, and notes that it is alive; due every few seconds. */
  watchService(): Promise<void>
  lastWalk(): Walk
}

// What was evaluated is saved after so many changes or so much time, whichever comes first: a
// batch costs one fsync, and an alert must not wait for the end of a walk that takes an hour.
const batchChanges = 500
const batchMs = 1_000

/** No heartbeat when more than this share of the users could not be read. */
const mostUnreadRatio = 0.1

export async function openMonitor(options: MonitorOptions): Promise<Monitor> {
  const { book, evaluator, dispatcher, guard, store, clock, events } = options
  let state: WalkState = (await store.loadWalkState()) ?? beforeFirstWalk(clock.now())
  /** The users of devices with alerts, as last read: rules about a device may read its user too. */
  const usersWithAlerts = new Map<string, User>()
  book.subscribe(forgetUsersWithoutAlerts)

  async function walk(signal: AbortSignal): Promise<WalkOutcome> {
    guard.begin(clock.now())
    try {
      return await walkAndEvaluate(signal)
    } finally {
      guard.abandon()
      dispatcher.wake()
    }
  }

  async function walkAndEvaluate(signal: AbortSignal): Promise<WalkOutcome> {
    const tallies = evaluator.beginWalk()
    const batch = createBatch()
    const report = await readFleet(tallies, { batch, signal })
    if (report === null) {
      await batch.save()
      events.onWalkEnded(state.last, 'stopped')
      return 'stopped'
    }

    const { endedAt } = report
    state = nextState(state, report, clock.now())
    if (report.listRead === null) {
      for (const userId of report.goneUsers) evaluator.goneUser(userId, endedAt)
      for (const { userId } of report.unreadWatchedUsers) evaluator.unreadUser(userId, endedAt)
      evaluator.fleet(state.last, endedAt, tallies)
    } else {
      evaluator.nothingRead(endedAt)
    }
    evaluator.service(state.last, endedAt)
    book.prune(endedAt)
    await batch.save()
    // Now that all of it is known, and what it inhibits.
    guard.end(clock.now(), report.devices + report.devicesUnread)
    await batch.save()
    await saveState(batch)
    const outcome = outcomeOf(report)
    events.onWalkEnded(state.last, outcome)
    // Only now: after a start, everything is read once before anybody is told anything.
    dispatcher.enable()
    if (isHealthy(state.last, batch)) await options.sendHeartbeat(signal)
    return outcome
  }

  /** Evaluates each user as it comes in; null when the walk was stopped. */
  async function readFleet(
    tallies: readonly FleetTally[],
    { batch, signal }: { batch: Batch; signal: AbortSignal },
  ): Promise<WalkReport | null> {
    async function onUser(reading: UserReading): Promise<void> {
      events.onReading(reading)
      const before = book.pendingChanges()
      evaluator.user(reading, tallies)
      if (book.pendingChanges() > before) batch.users.set(reading.user.id, reading.user)
      if (batch.isDue()) await batch.save()
    }
    async function onSlot(found: SlotFindings): Promise<void> {
      events.onFound(found)
      addTallies(tallies, found.tallies)
      for (const user of found.users) batch.users.set(user.id, user)
      for (const finding of found.findings) evaluator.enter(finding)
      if (batch.isDue()) await batch.save()
    }
    try {
      return await options.readFleet({ onUser, onSlot }, signal)
    } catch (error) {
      if (signal.aborted) return null
      throw error
    }
  }

  async function recheck(device: DeviceSubject, signal: AbortSignal): Promise<void> {
    await take(device, await options.readDevice(device, signal), signal)
  }

  async function take(device: DeviceSubject, read: WatchedReading, signal: AbortSignal): Promise<void> {
    const batch = createBatch()
    switch (read.kind) {
      case 'read': {
        const user = usersWithAlerts.get(device.userId) ?? (await options.readUser(device.userId, signal))
        if (user === null) {
          evaluator.unseenDevice(device, read.reading.observedAt, 'poll_failed')
        } else {
          batch.users.set(user.id, user)
          evaluator.device(user, read.reading)
        }
        break
      }
      case 'absent':
        evaluator.unseenDevice(device, clock.now(), read.state === 'deleted' ? 'deleted' : 'device_missing')
        break
      case 'unread':
        evaluator.unseenDevice(device, clock.now(), 'poll_failed')
        break
      default:
        read satisfies never
    }
    await batch.save()
  }

  async function watchService(): Promise<void> {
    const batch = createBatch()
    evaluator.service(state.last, clock.now())
    book.prune(clock.now())
    await batch.save()
    await saveState(batch)
  }

  function devicesInTrouble(): readonly DeviceInTrouble[] {
    const devices: { -readonly [Key in keyof DeviceInTrouble]: DeviceInTrouble[Key] }[] = []
    for (const alerts of book.activeByUser()) {
      const firstOfUser = devices.length
      for (const { subject, evaluatedAt, labels } of alerts) {
        // What is only worth knowing waits for the walk: it must not take the turn of what is broken.
        if (subject.kind !== 'device' || labels['severity'] === 'info') continue
        let at = firstOfUser
        while (at < devices.length && !isSame(devices[at], subject)) at++
        const known = devices[at]
        // Its alerts are evaluated together, but for one that is about the others.
        if (known === undefined) devices.push({ ...subject, lastReadAt: evaluatedAt })
        else known.lastReadAt = Math.max(known.lastReadAt, evaluatedAt)
      }
    }
    return devices
  }

  interface Batch {
    /** Users with changes in this batch. */
    readonly users: Map<string, User>
    isDue(): boolean
    save(): Promise<void>
    /** Whether every save so far worked. */
    isSaved(): boolean
  }

  function createBatch(): Batch {
    let saved = true
    let savedAt = clock.monotonic()
    const users = new Map<string, User>()
    return {
      users,
      isSaved: () => saved,
      isDue: () =>
        book.pendingChanges() >= batchChanges ||
        (book.pendingChanges() > 0 && clock.monotonic() - savedAt >= batchMs),
      async save() {
        savedAt = clock.monotonic()
        try {
          await book.commit()
          for (const user of users.values()) {
            if (book.devicesOf(user.id).length > 0) usersWithAlerts.set(user.id, user)
          }
        } catch (error) {
          // What was read is forgotten and will be read again: the walk goes on.
          saved = false
          events.onStorageError(error)
        }
        users.clear()
      },
    }
  }

  function forgetUsersWithoutAlerts(transitions: readonly Transition[]): void {
    for (const { before, after } of transitions) {
      const subject = (after ?? before)?.subject
      if (subject?.kind === 'device' && book.devicesOf(subject.userId).length === 0) {
        usersWithAlerts.delete(subject.userId)
      }
    }
  }

  async function saveState(batch: Batch): Promise<void> {
    state = { ...state, aliveAt: clock.now() }
    try {
      await store.saveWalkState(state)
    } catch (error) {
      // One report is enough for a disk that is full.
      if (batch.isSaved()) events.onStorageError(error)
    }
  }

  function isHealthy({ outcome, unread_ratio }: Walk, batch: Batch): boolean {
    const wasRead = outcome !== 'failed' && (unread_ratio ?? 1) <= mostUnreadRatio
    return wasRead && batch.isSaved() && dispatcher.status().isDelivering
  }

  return { walk, devicesInTrouble, recheck, take, watchService, lastWalk: () => state.last }
}

function isSame(one: DeviceSubject | undefined, other: DeviceSubject): boolean {
  return one?.deviceId === other.deviceId && one.deviceType === other.deviceType
}

function outcomeOf({
  listRead,
  usersUnread,
  devicesUnread,
  malformedUsers,
}: WalkReport): Exclude<WalkOutcome, 'stopped'> {
  if (listRead !== null) return 'failed'
  return usersUnread + devicesUnread + malformedUsers > 0 ? 'partial' : 'complete'
}

function nextState(previous: WalkState, report: WalkReport, now: number): WalkState {
  const outcome = outcomeOf(report)
  const unreadRatio = report.users === 0 ? 0 : report.usersUnread / report.users
  const isAvailable = outcome !== 'failed' && unreadRatio <= 0.5
  const failedInARow = outcome === 'failed' ? previous.failedInARow + 1 : 0
  const lastCompleteAt = outcome === 'complete' ? report.endedAt : previous.lastCompleteAt
  return {
    failedInARow,
    lastCompleteAt,
    aliveAt: now,
    last: {
      outcome,
      api_available: isAvailable,
      users: report.users,
      users_unread: report.usersUnread,
      devices: report.devices,
      devices_unread: report.devicesUnread,
      unread_ratio: unreadRatio,
      failed_in_a_row: failedInARow,
      started_at: report.startedAt,
      ended_at: report.endedAt,
      last_complete_at: lastCompleteAt,
    },
  }
}

/** Before the first walk nothing is known, but when the wait for it began. */
function beforeFirstWalk(now: number): WalkState {
  return {
    failedInARow: 0,
    lastCompleteAt: null,
    aliveAt: now,
    last: {
      outcome: null,
      api_available: null,
      users: null,
      users_unread: null,
      devices: null,
      devices_unread: null,
      unread_ratio: null,
      failed_in_a_row: null,
      started_at: now,
      ended_at: now,
      last_complete_at: null,
    },
  }
}
