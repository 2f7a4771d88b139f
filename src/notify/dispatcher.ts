// From alerts to messages: alerts gather in groups; at each of its ticks a group is compared with
// what every integration was told before (dedup.ts); what is worth telling is saved to the outbox
// and handed to the integration's lane (lane.ts), which delivers it.
//
//   alerts changed → group → (group_wait, then each group_interval) → decide → save → lane
//                                                                        └ delivered → remember
//
// Terms: a *tick* is the moment at which a group is due; a *flush* is what happens then. Order
// matters: the outbox is saved before anything is sent, what was told is remembered only after it
// arrived. So a crash at any moment loses nothing, and at most repeats the message in flight.

import { createAlarm } from '../alarm.ts'
import { type Alert, isFiring, type Labels } from '../alerts/alert.ts'
import type { AlertBook, Transition } from '../alerts/alert-book.ts'
import type { Clock } from '../clock.ts'
import type { Route } from '../config.ts'
import { type DedupDecision, decide } from './dedup.ts'
import { createLane, integrationKey, type Lane, type QueuedMessage } from './lane.ts'
import type { Integration, LinkSource, Notification, SendOutcome } from './notification.ts'
import { createGroupKeys, groupLabels } from './route.ts'
import type { DedupEntry, GroupTimer, NotifyStore, OutboxRow } from './store.ts'

export interface Dispatcher {
  /** Lets flushes begin. Until then groups only gather: after a start, one walk is read first. */
  enable(): void
  /** Flushes and delivers until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  status(): DeliveryStatus
}

export interface DeliveryStatus {
  readonly queued: number
  /** When the longest waiting message was decided (ms since 1970); null without any. */
  readonly oldestAt: number | null
  /** True while no integration's last attempt failed. */
  readonly isDelivering: boolean
  /** The earliest tick of a group; null without groups. */
  readonly nextFlushAt: number | null
}

export interface DispatcherOptions {
  readonly route: Route
  readonly integrations: readonly Integration[]
  readonly store: NotifyStore
  readonly book: AlertBook
  readonly clock: Clock
  readonly linkFor: LinkSource
  readonly events: DispatcherEvents
}

/** What happened, for logs and metrics. Reasons hold no secret. */
export interface DispatcherEvents {
  onAttempt(integration: Integration, outcome: SendOutcome['kind'] | 'timeout', seconds: number): void
  onDelivered(notification: Notification, integration: Integration, refused: readonly string[]): void
  onFailure(
    notification: Notification,
    integration: Integration,
    failure: { readonly reason: string; readonly permanent: boolean; readonly attempts: number },
  ): void
  onStorageError(error: unknown): void
}

interface Group {
  readonly key: string
  readonly labels: Labels
  readonly members: Map<string, Alert>
  timer: GroupTimer
}

// After a write failed, and between two looks at the groups: news that come in a burst share one.
const storageRetryMs = 5_000
const shortestWaitMs = 20

/** Takes up where the last run ended: timers, what was told, what was not delivered yet. */
export async function openDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { route, store, book, clock, events } = options
  const integrations = options.integrations.filter((integration) => integration.receiver === route.receiver)
  const groups = new Map<string, Group>()
  const storedTimers = new Map((await store.loadGroupTimers()).map((timer) => [timer.groupKey, timer]))
  const told = createToldLog(await store.loadDedupEntries())
  const alarm = createAlarm(clock)
  const keyOf = createGroupKeys(route)
  let enabled = false
  /** Delivered, but the write that remembers it failed: tried again until it works. */
  const unsaved: DedupEntry[] = []

  const lanes: readonly Lane[] = integrations.map((integration) =>
    createLane(integration, {
      clock,
      linkFor: options.linkFor,
      events: {
        onAttempt: (outcome, seconds) => events.onAttempt(integration, outcome, seconds),
        onDelivered: (message, refused) => delivered(message, integration, refused),
        onRetry: (message, reason) => retried(message, integration, reason),
        onPermanentFailure: (message, reason) => failedForGood(message, integration, reason),
      },
    }),
  )
  const laneByKey = new Map(lanes.map((lane) => [integrationKey(lane.integration), lane]))

  for (const alert of book.all())
    if (isFiring(alert) || (alert.state === 'resolved' && !alert.settled)) place(alert)
  book.subscribe(alertsChanged)
  for (const row of await store.loadOutbox()) await takeUp(row)
  // A group that nothing belongs to any more: its members were settled just before the end.
  for (const key of storedTimers.keys()) if (!groups.has(key)) await store.deleteGroup(key)

  /** What a change leads to is told at its group's next tick. */
  function alertsChanged(transitions: readonly Transition[]): void {
    for (const { before, after } of transitions) {
      if (after === undefined || after.settled) {
        if (before !== undefined) groupOf(before)?.members.delete(before.fingerprint)
      } else if (isFiring(after) || groupOf(after)?.members.has(after.fingerprint)) {
        place(after)
      }
    }
    alarm.ring()
  }

  function groupOf(alert: Alert): Group | undefined {
    return groups.get(keyOf(alert.labels))
  }

  function place(alert: Alert): void {
    const key = keyOf(alert.labels)
    let group = groups.get(key)
    if (group === undefined) {
      const labels = groupLabels(alert.labels, route)
      const firstAt = (alert.firedAt ?? alert.evaluatedAt) + route.groupWaitMs
      const timer = storedTimers.get(key) ?? { groupKey: key, nextFlushAt: firstAt, flushed: false }
      group = { key, labels, members: new Map(), timer }
      groups.set(key, group)
    }
    group.members.set(alert.fingerprint, alert)
  }

  /** A message that the last run did not deliver. It may have been on its way when that ended. */
  async function takeUp(row: OutboxRow): Promise<void> {
    const lane = laneByKey.get(row.integrationKey)
    const group = groups.get(row.groupKey)
    if (lane === undefined || group === undefined) return store.dropOutboxRow(row)
    const once = { ...row, attempts: Math.max(1, row.attempts) }
    lane.offer({ row: once, notification: compose(group, lane.integration, row) })
  }

  async function run(stop: AbortSignal): Promise<void> {
    await Promise.all([...lanes.map((lane) => lane.run(stop)), flushWhenDue(stop)])
  }

  async function flushWhenDue(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const saved = await retryUnsaved()
      let nextAt = saved ? Number.POSITIVE_INFINITY : clock.now() + storageRetryMs
      if (enabled) {
        for (const group of [...groups.values()]) {
          if (stop.aborted) return
          if (group.timer.nextFlushAt <= clock.now() && !(await flushOrReport(group))) {
            nextAt = Math.min(nextAt, clock.now() + storageRetryMs)
          } else if (groups.has(group.key)) {
            nextAt = Math.min(nextAt, group.timer.nextFlushAt)
          }
        }
      }
      await alarm.until(Math.max(nextAt, clock.now() + shortestWaitMs), stop)
    }
  }

  async function flushOrReport(group: Group): Promise<boolean> {
    try {
      await flush(group)
      return true
    } catch (error) {
      events.onStorageError(error)
      return false
    }
  }

  async function flush(group: Group): Promise<void> {
    const at = group.timer.nextFlushAt
    const members = [...group.members.values()]
    const state = {
      at,
      firing: members.filter(isFiring).map((alert) => alert.fingerprint),
      resolved: members.filter((alert) => alert.state === 'resolved').map((alert) => alert.fingerprint),
    }
    const timer = { groupKey: group.key, nextFlushAt: nextTick(at), flushed: true }
    const outbox: OutboxRow[] = []
    const remembered: DedupEntry[] = []
    const dropped: { groupKey: string; integrationKey: string }[] = []
    for (const lane of lanes) {
      const key = integrationKey(lane.integration)
      const place = { groupKey: group.key, integrationKey: key }
      const entry = told.get(group.key, key)
      const undelivered = lane.queued(group.key)?.row
      const decision = decide(
        state,
        { entry, undelivered },
        { sendResolved: lane.integration.sendResolved, repeatIntervalMs: route.repeatIntervalMs },
      )
      if (decision.kind === 'send') outbox.push(rowFor(decision, { ...place, at, undelivered }))
      else if (decision.kind !== 'wait' && undelivered !== undefined) dropped.push(place)
      if (decision.kind === 'remember') {
        remembered.push({
          ...place,
          at: entry?.at ?? at,
          firing: decision.firing,
          resolved: state.resolved,
          silenced: [],
          receiverData: entry?.receiverData ?? null,
        })
      }
    }
    // Saved BEFORE anything is handed on: otherwise a crash would forget what was decided.
    await store.saveFlush({ timer, outbox, remembered, dropped })
    group.timer = timer
    for (const entry of remembered) told.set(entry)
    for (const row of dropped) laneByKey.get(row.integrationKey)?.drop(row.groupKey)
    for (const row of outbox) {
      const lane = laneByKey.get(row.integrationKey)
      lane?.offer({ row, notification: compose(group, lane.integration, row) })
    }
    await settle(group)
  }

  /** The next tick in the group's rhythm; after a long absence one flush, not one for each missed tick. */
  function nextTick(at: number): number {
    const next = at + route.groupIntervalMs
    return next > clock.now() ? next : clock.now() + route.groupIntervalMs
  }

  function rowFor(
    decision: Extract<DedupDecision, { kind: 'send' }>,
    place: { groupKey: string; integrationKey: string; at: number; undelivered: OutboxRow | undefined },
  ): OutboxRow {
    const { undelivered, ...identity } = place
    return {
      ...identity,
      reason: decision.reason,
      firstDecidedAt: undelivered?.firstDecidedAt ?? place.at,
      firing: decision.firing,
      resolved: decision.resolved,
      delivered: [],
      attempts: 0,
      nextAttemptAt: clock.now(),
      receiverData: null,
    }
  }

  /** The message with its members as they are now; alerts are immutable, so it is a snapshot. */
  function compose(group: Group, integration: Integration, row: OutboxRow): Notification {
    const firing = membersOf(group, row.firing)
    return {
      groupKey: group.key,
      groupLabels: group.labels,
      routeKey: '{}',
      receiver: integration.receiver,
      reason: row.reason,
      status: firing.length > 0 ? 'firing' : 'resolved',
      firing,
      resolved: membersOf(group, row.resolved),
      at: row.at,
    }
  }

  function membersOf(group: Group, fingerprints: readonly string[]): readonly Alert[] {
    const members: Alert[] = []
    for (const print of fingerprints) {
      const alert = group.members.get(print) ?? book.byFingerprint(print)
      if (alert !== undefined) members.push(alert)
    }
    return members.sort((a, b) => (a.firedAt ?? 0) - (b.firedAt ?? 0))
  }

  async function delivered(
    message: QueuedMessage,
    integration: Integration,
    refused: readonly string[],
  ): Promise<void> {
    const { groupKey: key, integrationKey: integrationName, at, firing, resolved } = message.row
    const identity = { groupKey: key, integrationKey: integrationName }
    const entry = { ...identity, at, firing, resolved, silenced: [], receiverData: null }
    told.set(entry)
    unsaved.push(entry)
    events.onDelivered(message.notification, integration, refused)
    await retryUnsaved()
    const group = groups.get(key)
    if (group !== undefined) await settle(group).catch((error) => events.onStorageError(error))
  }

  /** False while a write still fails. In order, so that an older entry never replaces a newer one. */
  async function retryUnsaved(): Promise<boolean> {
    try {
      for (let entry = unsaved[0]; entry !== undefined; entry = unsaved[0]) {
        await store.saveDelivered(entry)
        if (unsaved[0] === entry) unsaved.shift()
      }
      return true
    } catch (error) {
      events.onStorageError(error)
      return false
    }
  }

  async function retried(message: QueuedMessage, integration: Integration, reason: string): Promise<void> {
    const { attempts } = message.row
    events.onFailure(message.notification, integration, { reason, permanent: false, attempts })
    await store.saveAttempt(message.row).catch((error) => events.onStorageError(error))
  }

  async function failedForGood(
    message: QueuedMessage,
    integration: Integration,
    reason: string,
  ): Promise<void> {
    const { attempts } = message.row
    events.onFailure(message.notification, integration, { reason, permanent: true, attempts })
    await store.dropOutboxRow(message.row).catch((error) => events.onStorageError(error))
  }

  /** Resolved members that nobody has to be told of any more leave; an empty group ends. */
  async function settle(group: Group): Promise<void> {
    const resolved = [...group.members.values()].filter((alert) => alert.state === 'resolved')
    const outstanding = resolved.length === 0 ? new Set() : outstandingIn(group.key)
    const settled = resolved.filter((alert) => !outstanding.has(alert.fingerprint))
    if (settled.length > 0) {
      book.settle(settled.map((alert) => alert.key))
      await book.commit()
    }
    if (group.members.size > 0 || groups.get(group.key) !== group) return
    groups.delete(group.key)
    storedTimers.delete(group.key)
    told.deleteGroup(group.key)
    await store.deleteGroup(group.key)
  }

  /** Fingerprints that some integration takes for firing, or is about to be told of. */
  function outstandingIn(key: string): ReadonlySet<string> {
    const prints = new Set<string>()
    for (const lane of lanes) {
      const row = lane.queued(key)?.row
      const entry = told.get(key, integrationKey(lane.integration))
      for (const list of [row?.firing, row?.resolved, entry?.firing]) {
        for (const print of list ?? []) prints.add(print)
      }
    }
    return prints
  }

  return {
    enable() {
      enabled = true
      alarm.ring()
    },
    run,
    status() {
      const waiting = lanes.map((lane) => lane.oldestAt()).filter((at) => at !== null)
      return {
        queued: lanes.reduce((sum, lane) => sum + lane.length(), 0),
        oldestAt: waiting.length === 0 ? null : Math.min(...waiting),
        isDelivering: !lanes.some((lane) => lane.isFailing()),
        nextFlushAt:
          groups.size === 0 ? null : Math.min(...[...groups.values()].map(({ timer }) => timer.nextFlushAt)),
      }
    },
  }
}

/** What every integration was told last, by group. */
function createToldLog(entries: readonly DedupEntry[]) {
  const byGroup = new Map<string, Map<string, DedupEntry>>()
  function set(entry: DedupEntry): void {
    let ofGroup = byGroup.get(entry.groupKey)
    if (ofGroup === undefined) {
      ofGroup = new Map()
      byGroup.set(entry.groupKey, ofGroup)
    }
    ofGroup.set(entry.integrationKey, entry)
  }
  for (const entry of entries) set(entry)
  return {
    set,
    get: (key: string, integration: string) => byGroup.get(key)?.get(integration),
    deleteGroup: (key: string) => byGroup.delete(key),
  }
}
