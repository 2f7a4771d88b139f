// From alerts to messages: alerts gather in groups; at each of its ticks a group is compared with
// what every integration was told before (dedup.ts); what is worth telling is saved to the outbox
// and handed to the integration's lane (lane.ts), which delivers it.
//
//   alerts changed → groups → (group_wait, then each group_interval) → decide → save → lanes
//                                                                         └ delivered → remember
//
// Terms: a *tick* is the moment at which a group is due; a *flush* is what happens then. Order
// matters: the outbox is saved before anything is sent, what was told is remembered only after it
// arrived. So a crash at any moment loses nothing, and at most repeats the message in flight.
// What holds an alert back is in suppression.ts, where it belongs in groups.ts.

import { createAlarm } from '../alarm.ts'
import { type Alert, isFiring } from '../alerts/alert.ts'
import type { AlertBook, Transition } from '../alerts/alert-book.ts'
import type { Clock } from '../clock.ts'
import { type DedupDecision, decide, type GroupState } from './dedup.ts'
import { createGroups, type Group, type Groups } from './groups.ts'
import { createLane, integrationKey, type Lane, type QueuedMessage } from './lane.ts'
import type { Integration, LinkSource, Notification, SendOutcome } from './notification.ts'
import type { Router } from './route.ts'
import type { DedupEntry, Flush, NotifyStore, OutboxRow } from './store.ts'
import type { Suppression, Withheld } from './suppression.ts'
import { createToldLog } from './told-log.ts'

export interface Dispatcher {
  /** Lets flushes begin. Until then groups only gather: after a start, one walk is read first. */
  enable(): void
  /** To be called when what holds alerts back may have changed: looks at all groups that are due. */
  wake(): void
  /** Flushes and delivers until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  /**
   * Goes on with other routes and receivers. Groups that are still there keep their timers and what
   * was told; an integration that is the same object keeps its queue, and a message under way ends.
   * Rejects when saving failed; calling it again then finishes it.
   */
  reconfigure(delivery: Delivery): Promise<void>
  status(): DeliveryStatus
  groups(): readonly GroupStatus[]
}

/** What the alerting section of the configuration amounts to. */
export interface Delivery {
  readonly router: Router
  readonly integrations: readonly Integration[]
  readonly policy: DeliveryPolicy
}

export interface DeliveryPolicy {
  readonly tellWhenSilenceEnded: boolean
  /** Null: nobody is reminded of what is acknowledged. */
  readonly remindAcknowledgedMs: number | null
  /** Who is told when a receiver's integration fails for good; null: nobody. */
  readonly fallbackReceiver: string | null
}

export interface DeliveryStatus {
  readonly queued: number
  /** When the longest waiting message was decided (ms since 1970); null without any. */
  readonly oldestAt: number | null
  /** True while no integration's last attempt failed. */
  readonly isDelivering: boolean
  /** The earliest tick of a group; null without groups. */
  readonly nextFlushAt: number | null
  /** Entries of what was told to whom. */
  readonly toldEntries: number
  readonly groups: number
}

/** A group as it is now. */
export interface GroupStatus extends Pick<Group, 'key' | 'labels' | 'route'> {
  readonly members: Iterable<Alert>
  readonly nextFlushAt: number
  /** What would be decided at its next tick if nothing changed until then, for each integration. */
  readonly outlook: () => readonly Outlook[]
}

export interface Outlook {
  readonly integrationKey: string
  readonly decision: DedupDecision
  /** What it was told last; undefined: nothing. */
  readonly told: DedupEntry | undefined
  /** A message that waits to be delivered. */
  readonly undelivered: OutboxRow | undefined
}

export interface DispatcherOptions extends Delivery {
  readonly suppression: Suppression
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
  /** A member was held back at a flush. */
  onWithheld(withheld: Withheld): void
  /** A message that nobody can deliver any more: its receiver or its group is gone. */
  onDropped(row: OutboxRow): void
  onStorageError(error: unknown): void
}

// After a write failed, and between two looks at the groups: news that come in a burst share one.
const storageRetryMs = 5_000
const shortestWaitMs = 20
// One write to the disk for so many groups that are due: a quiet tick of five hundred is no load then.
const groupsPerSave = 50

/** A tick of a group that is decided and not saved yet. */
interface Judged extends Flush {
  readonly group: Group
}

/** Takes up where the last run ended: timers, what was told, what was not delivered yet. */
export async function openDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { suppression, store, book, clock, events } = options
  let { router, policy } = options
  const told = createToldLog(await store.loadDedupEntries())
  const storedTimers = await store.loadGroupTimers()
  let groups: Groups = createGroups(router, storedTimers)
  let lanes = new Map<string, Lane>()
  const alarm = createAlarm(clock)
  let enabled = false
  let stop: AbortSignal | null = null
  /** Lanes come and go with the configuration; `run` waits for all that ever ran. */
  const runs = new Map<Lane, Promise<void>>()
  const handovers = new Set<Promise<void>>()
  let reconfigured: { readonly delivery: Delivery; readonly done: PromiseWithResolvers<void> } | null = null
  /** Delivered, but the write that remembers it failed: tried again until it works. */
  const unsaved: DedupEntry[] = []

  for (const integration of options.integrations) addLane(integration)
  gather(groups)
  book.subscribe(alertsChanged)
  for (const row of await store.loadOutbox()) {
    // It may have been on its way when the last run ended.
    await takeUp({ ...row, attempts: Math.max(1, row.attempts) })
  }
  // Groups that nothing belongs to any more: their members were settled just before the end.
  for (const { groupKey } of storedTimers) if (groups.get(groupKey) === undefined) await forget(groupKey)

  // ---- groups

  function gather(into: Groups): void {
    const toldAsFiring = told.firing()
    for (const alert of book.all()) {
      if (isFiring(alert) || (alert.state === 'resolved' && !alert.settled)) into.place(alert)
      // Its last episode ended, and before that could be told its condition held again.
      else if (alert.state === 'pending' && toldAsFiring.has(alert.fingerprint)) into.place(asEnded(alert))
    }
  }

  /** What a change leads to is told at its groups' next ticks. */
  function alertsChanged(transitions: readonly Transition[]): void {
    for (const { before, after } of transitions) {
      // The end of its last episode may still be to be told: until it fires again, that stays.
      if (after?.state === 'pending' || (after === undefined && before?.state === 'pending')) continue
      if (after === undefined || after.settled) {
        if (before !== undefined) groups.remove(before)
      } else if (isFiring(after)) groups.place(after)
      else groups.refresh(after)
    }
    alarm.ring()
  }

  async function flushWhenDue(ending: AbortSignal): Promise<void> {
    while (!ending.aborted) {
      if (reconfigured !== null) await applyOrReject(reconfigured)
      const saved = await retryUnsaved()
      let nextAt = saved ? Number.POSITIVE_INFINITY : clock.now() + storageRetryMs
      if (enabled) {
        for (const some of inSlices(groups.all(), groupsPerSave)) {
          if (ending.aborted || reconfigured !== null) break
          nextAt = Math.min(nextAt, await flushThoseDue(some))
        }
      }
      if (reconfigured === null) await alarm.until(Math.max(nextAt, clock.now() + shortestWaitMs), ending)
    }
  }

  /** When the next of these groups is due. */
  async function flushThoseDue(some: readonly Group[]): Promise<number> {
    const now = clock.now()
    // What nothing but a held alert is in has its first flush when that is let go.
    const awake = some.filter((group) => group.timer.nextFlushAt > now || !isHeld(group))
    const due = awake.filter((group) => group.timer.nextFlushAt <= now)
    const isSaved = due.length === 0 || (await flush(due))
    let nextAt = isSaved ? Number.POSITIVE_INFINITY : clock.now() + storageRetryMs
    for (const group of isSaved ? awake : awake.filter((one) => !due.includes(one))) {
      if (groups.get(group.key) === group) nextAt = Math.min(nextAt, group.timer.nextFlushAt)
    }
    return nextAt
  }

  function isHeld({ timer, members }: Group): boolean {
    if (timer.flushed) return false
    let hasFiring = false
    for (const alert of members.values()) {
      if (!isFiring(alert)) continue
      if (suppression.heldFor(alert, clock.now()) === null) return false
      hasFiring = true
    }
    return hasFiring
  }

  async function flush(due: readonly Group[]): Promise<boolean> {
    try {
      await tell(
        due.map((group) => {
          const timer = { groupKey: group.key, nextFlushAt: nextTick(group), flushed: true }
          return judge(group, { at: group.timer.nextFlushAt, timer, to: lanesOf(group) })
        }),
      )
    } catch (error) {
      events.onStorageError(error)
      return false
    }
    for (const group of due) await settle(group).catch((error) => events.onStorageError(error))
    return true
  }

  /** What a group's state comes to for each of these integrations. */
  function judge(
    group: Group,
    { at, timer, to }: { at: number; timer: Group['timer']; to: readonly Lane[] },
  ): Judged {
    const state = stateOf(group, at)
    for (const reasons of state.reasons) events.onWithheld(reasons)
    const outbox: OutboxRow[] = []
    const remembered: DedupEntry[] = []
    const dropped: { groupKey: string; integrationKey: string }[] = []
    for (const lane of to) {
      const place = { groupKey: group.key, integrationKey: integrationKey(lane.integration) }
      const { decision, told: entry, undelivered } = outlook(group, lane, state)
      if (decision.kind === 'send') outbox.push(rowFor(decision, { ...place, at, entry, undelivered }))
      else if (decision.kind !== 'wait' && undelivered !== undefined) dropped.push(place)
      if (decision.kind === 'remember') {
        const { firing, silenced } = decision
        const receiverData = entry?.receiverData ?? null
        remembered.push({
          ...place,
          at: entry?.at ?? at,
          firing,
          resolved: state.resolved,
          silenced,
          receiverData,
        })
      }
    }
    return { group, timer, outbox, remembered, dropped }
  }

  /** Saves, and only then hands on: otherwise a crash would forget what was decided. */
  async function tell(judged: readonly Judged[]): Promise<void> {
    await store.saveFlush(...judged)
    for (const { group, timer, outbox, remembered, dropped } of judged) {
      group.timer = timer
      for (const entry of remembered) told.set(entry)
      for (const row of dropped) lanes.get(row.integrationKey)?.drop(row.groupKey)
      for (const row of outbox) {
        const lane = lanes.get(row.integrationKey)
        lane?.offer({ row, notification: compose(group, lane.integration, row) })
      }
    }
  }

  function outlook(group: Group, lane: Lane, state: GroupState): Outlook {
    const key = integrationKey(lane.integration)
    const entry = told.get(group.key, key)
    const undelivered = lane.queued(group.key)?.row
    const decision = decide(
      state,
      { entry, undelivered },
      {
        ...policy,
        sendResolved: lane.integration.sendResolved,
        repeatIntervalMs: group.route.repeatIntervalMs,
      },
    )
    return { integrationKey: key, decision, told: entry, undelivered }
  }

  /** `reasons`: why each member that is held back is. */
  function stateOf(group: Group, at: number): GroupState & { readonly reasons: readonly Withheld[] } {
    const withheldFor: Withheld[] = []
    const firing: string[] = []
    const silenced: string[] = []
    const withheld: string[] = []
    const resolved: string[] = []
    const resolvedSilenced: string[] = []
    const acknowledged: string[] = []
    let flappingSince: number | null = null
    // After a pause the tick lies behind: what holds an alert back is a question about the present.
    const now = clock.now()
    for (const alert of group.members.values()) {
      const { fingerprint } = alert
      if (!isFiring(alert)) {
        if (alert.state !== 'resolved') continue
        resolved.push(fingerprint)
        if (suppression.isSilenced(alert, now)) resolvedSilenced.push(fingerprint)
        continue
      }
      const reasons = suppression.of(alert, group.route, now)
      if (reasons !== null) {
        withheldFor.push(reasons)
        if (reasons.silencedBy.length > 0) silenced.push(fingerprint)
        else withheld.push(fingerprint)
        continue
      }
      firing.push(fingerprint)
      if (suppression.acknowledgementOf(alert, now) !== null) acknowledged.push(fingerprint)
      if (alert.flappingSince !== null) flappingSince = Math.max(flappingSince ?? 0, alert.flappingSince)
    }
    return {
      ...{ at, firing, silenced, withheld, resolved, resolvedSilenced, acknowledged, flappingSince },
      reasons: withheldFor,
    }
  }

  /** The next tick in the group's rhythm; after a long absence one flush, not one for each missed tick. */
  function nextTick({ timer, route }: Group): number {
    const next = timer.nextFlushAt + route.groupIntervalMs
    return next > clock.now() ? next : clock.now() + route.groupIntervalMs
  }

  function rowFor(
    decision: Extract<DedupDecision, { kind: 'send' }>,
    place: {
      groupKey: string
      integrationKey: string
      at: number
      entry: DedupEntry | undefined
      undelivered: OutboxRow | undefined
    },
  ): OutboxRow {
    const { undelivered, entry, ...identity } = place
    return {
      ...identity,
      reason: decision.reason,
      firstDecidedAt: undelivered?.firstDecidedAt ?? place.at,
      firing: decision.firing,
      resolved: decision.resolved,
      delivered: [],
      attempts: 0,
      nextAttemptAt: clock.now(),
      receiverData: undelivered?.receiverData ?? entry?.receiverData ?? null,
    }
  }

  /** The message with its members as they are now; alerts are immutable, so it is a snapshot. */
  function compose(group: Group, integration: Integration, row: OutboxRow): Notification {
    const firing = membersOf(group, row.firing)
    return {
      groupKey: group.key,
      groupLabels: group.labels,
      routeKey: group.route.key,
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

  /** Resolved members that nobody has to be told of any more leave; an empty group ends. */
  async function settle(group: Group): Promise<void> {
    const resolved: Alert[] = []
    for (const alert of group.members.values()) if (alert.state === 'resolved') resolved.push(alert)
    const outstanding = resolved.length === 0 ? new Set() : outstandingIn(group)
    const done = resolved.filter((alert) => !outstanding.has(alert.fingerprint))
    for (const { fingerprint } of done) group.members.delete(fingerprint)
    const settled = done.filter((alert) => groups.having(alert).length === 0)
    if (settled.length > 0) {
      book.settle(settled.map((alert) => alert.key))
      await book.commit()
    }
    if (group.members.size > 0 || groups.get(group.key) !== group) return
    groups.delete(group)
    await forget(group.key)
  }

  async function forget(groupKey: string): Promise<void> {
    told.deleteGroup(groupKey)
    await store.deleteGroup(groupKey)
  }

  /** Fingerprints that some integration takes for firing, or is about to be told of. */
  function outstandingIn(group: Group): ReadonlySet<string> {
    const prints = new Set<string>()
    for (const lane of lanesOf(group)) {
      const row = lane.queued(group.key)?.row
      const entry = told.get(group.key, integrationKey(lane.integration))
      for (const list of [row?.firing, row?.resolved, entry?.firing]) {
        for (const print of list ?? []) prints.add(print)
      }
    }
    return prints
  }

  // ---- delivery

  function addLane(integration: Integration): Lane {
    const lane = createLane(integration, {
      clock,
      linkFor: options.linkFor,
      events: {
        onAttempt: (outcome, seconds) => events.onAttempt(integration, outcome, seconds),
        onDelivered: (message, outcome) => delivered(message, integration, outcome),
        onRetry: (message, reason) => retried(message, integration, reason),
        onPermanentFailure: (message, reason) => failedForGood(message, integration, reason),
      },
    })
    lanes.set(integrationKey(integration), lane)
    return lane
  }

  /** The lanes of a group's receiver, and those of the fallback while it stands in for one of them. */
  function lanesOf(group: Group): readonly Lane[] {
    const own = lanesOfReceiver(group.route.receiver)
    const { fallbackReceiver } = policy
    if (fallbackReceiver === null || fallbackReceiver === group.route.receiver) return own
    const isBroken = own.some((lane) => lane.isBroken())
    const fallback = lanesOfReceiver(fallbackReceiver).filter((lane) => {
      const entry = told.get(group.key, integrationKey(lane.integration))
      return isBroken || lane.queued(group.key) !== undefined || (entry?.firing.length ?? 0) > 0
    })
    return [...own, ...fallback]
  }

  function lanesOfReceiver(receiver: string): readonly Lane[] {
    return [...lanes.values()].filter((lane) => lane.integration.receiver === receiver)
  }

  /** A message that waits to be delivered, decided by an earlier run or before a reload. */
  async function takeUp(row: OutboxRow): Promise<void> {
    const lane = lanes.get(row.integrationKey)
    const group = groups.get(row.groupKey)
    if (lane !== undefined && group !== undefined) {
      return lane.offer({ row, notification: compose(group, lane.integration, row) })
    }
    events.onDropped(row)
    await store.dropOutboxRow(row)
  }

  async function delivered(
    { row, notification }: QueuedMessage,
    integration: Integration,
    { refused, receiverData }: { refused: readonly string[]; receiverData: string | null },
  ): Promise<void> {
    const { groupKey, at, firing, resolved } = row
    const group = groups.get(groupKey)
    const kept = stillKnown(row, group)
    const before = told.get(groupKey, row.integrationKey)
    const isKept = new Set(kept)
    const entry: DedupEntry = {
      groupKey,
      integrationKey: row.integrationKey,
      at,
      firing: [...firing, ...kept],
      resolved,
      silenced: before?.silenced.filter((print) => isKept.has(print)) ?? [],
      receiverData,
    }
    told.set(entry)
    unsaved.push(entry)
    // After a reload its successor has it too.
    const lane = lanes.get(row.integrationKey)
    if (lane?.queued(groupKey)?.row.at === at) lane.drop(groupKey)
    events.onDelivered(notification, integration, refused)
    await retryUnsaved()
    if (group !== undefined) await settle(group).catch((error) => events.onStorageError(error))
  }

  /** Told as firing before, and in this message neither as firing nor as resolved: held back meanwhile. */
  function stillKnown(row: OutboxRow, group: Group | undefined): readonly string[] {
    const inMessage = new Set([...row.firing, ...row.resolved])
    const before = told.get(row.groupKey, row.integrationKey)?.firing ?? []
    return before.filter((print) => !inMessage.has(print) && group?.members.has(print))
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
    { row, notification }: QueuedMessage,
    integration: Integration,
    reason: string,
  ): Promise<void> {
    events.onFailure(notification, integration, { reason, permanent: true, attempts: row.attempts })
    try {
      await store.dropOutboxRow(row)
      const group = groups.get(row.groupKey)
      if (group === undefined || integration.receiver !== group.route.receiver) return
      const standIns = lanesOf(group).filter((lane) => lane.integration.receiver !== group.route.receiver)
      if (standIns.length > 0) await tell([judge(group, { at: row.at, timer: group.timer, to: standIns })])
    } catch (error) {
      events.onStorageError(error)
    }
  }

  // ---- reload

  function start(lane: Lane): void {
    if (stop === null) return
    runs.set(
      lane,
      lane.run(stop).finally(() => runs.delete(lane)),
    )
  }

  async function applyOrReject(request: NonNullable<typeof reconfigured>): Promise<void> {
    try {
      await apply(request.delivery)
      request.done.resolve()
    } catch (error) {
      request.done.reject(error)
    }
    if (reconfigured === request) reconfigured = null
  }

  async function apply(delivery: Delivery): Promise<void> {
    const before = { groups, lanes }
    router = delivery.router
    policy = delivery.policy
    groups = createGroups(router, before.groups.timers())
    gather(groups)

    lanes = new Map()
    for (const integration of delivery.integrations) {
      const key = integrationKey(integration)
      const present = before.lanes.get(key)
      if (present?.integration === integration) lanes.set(key, present)
      else await replace(present, addLane(integration))
    }
    for (const [key, lane] of before.lanes) if (!lanes.has(key)) await replace(lane, null)

    for (const lane of lanes.values()) {
      for (const { row } of lane.waiting()) {
        if (groups.get(row.groupKey) !== undefined) continue
        lane.drop(row.groupKey)
        await takeUp(row)
      }
    }
    for (const { key } of before.groups.all()) if (groups.get(key) === undefined) await forget(key)
  }

  /** What waits goes over at once; the successor begins when the message under way has ended. */
  async function replace(old: Lane | undefined, next: Lane | null): Promise<void> {
    if (old !== undefined && next !== null) {
      for (const { row } of old.waiting()) await takeUp({ ...row, attempts: Math.max(1, row.attempts) })
    }
    old?.retire()
    const handover = handOver(old, next).finally(() => handovers.delete(handover))
    handovers.add(handover)
  }

  async function handOver(old: Lane | undefined, next: Lane | null): Promise<void> {
    if (old !== undefined) await runs.get(old)
    if (next === null) {
      for (const { row } of old?.waiting() ?? []) {
        await takeUp(row).catch((error) => events.onStorageError(error))
      }
    } else if (lanes.get(integrationKey(next.integration)) === next) start(next)
  }

  return {
    enable() {
      enabled = true
      alarm.ring()
    },
    wake: () => alarm.ring(),
    async run(ending) {
      stop = ending
      for (const lane of lanes.values()) start(lane)
      await flushWhenDue(ending)
      while (runs.size + handovers.size > 0) await Promise.all([...runs.values(), ...handovers])
    },
    reconfigure(delivery) {
      const done = Promise.withResolvers<void>()
      reconfigured?.done.reject(new Error('another reload came before this one was done'))
      reconfigured = { delivery, done }
      if (stop === null) void applyOrReject(reconfigured)
      else alarm.ring()
      return done.promise
    },
    status() {
      const all = [...lanes.values()]
      const waiting = all.map((lane) => lane.oldestAt()).filter((at) => at !== null)
      let nextFlushAt: number | null = null
      for (const { timer } of groups.all())
        nextFlushAt = Math.min(nextFlushAt ?? timer.nextFlushAt, timer.nextFlushAt)
      return {
        queued: all.reduce((sum, lane) => sum + lane.length(), 0),
        oldestAt: waiting.length === 0 ? null : Math.min(...waiting),
        isDelivering: !all.some((lane) => lane.isFailing()),
        nextFlushAt,
        toldEntries: told.size(),
        groups: groups.size(),
      }
    },
    groups: () =>
      groups.all().map((group) => ({
        key: group.key,
        labels: group.labels,
        route: group.route,
        members: group.members.values(),
        nextFlushAt: group.timer.nextFlushAt,
        outlook() {
          const state = stateOf(group, group.timer.nextFlushAt)
          return lanesOf(group).map((lane) => outlook(group, lane, state))
        },
      })),
  }
}

function* inSlices<T>(items: readonly T[], length: number): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += length) yield items.slice(from, from + length)
}

/** The episode before this one, as far as it is still known: it ended before the condition held again. */
function asEnded(alert: Alert): Alert {
  return { ...alert, state: 'resolved', resolvedAt: alert.activeAt, resolvedReason: 'condition' }
}
