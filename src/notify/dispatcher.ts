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
import type { Transition } from '../alerts/alert-book.ts'
import { composeNotification } from './composition.ts'
import { type DedupDecision, decide, type GroupState } from './dedup.ts'
import type { Delivery, Dispatcher, DispatcherOptions, Outlook } from './delivery.ts'
import { farewell, groupStateAt, isHeld } from './group-state.ts'
import { createGroups, type Group, type Groups } from './groups.ts'
import { createLane, integrationKey, type Lane, type QueuedMessage } from './lane.ts'
import { createLanes } from './lanes.ts'
import type { Integration } from './notification.ts'
import type { DedupEntry, Flush, OutboxRow } from './store.ts'
import { createToldLog } from './told-log.ts'
import { countTold, type Forgotten, toldOf } from './told-of.ts'

export type * from './delivery.ts'

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
  /** Null until somebody needs them: a start with many alerts makes its first request before that. */
  let gathered: Groups | null = null
  /** Groups that were stored and may have no members any more. */
  let stale: readonly string[] = [
    ...new Set([...storedTimers.map(({ groupKey }) => groupKey), ...told.groupKeys()]),
  ]
  const alarm = createAlarm(clock)
  let enabled = false
  let stop: AbortSignal | null = null
  let reconfigured: { readonly delivery: Delivery; readonly done: PromiseWithResolvers<void> } | null = null
  const forgetting: { readonly forgotten: Forgotten; readonly done: PromiseWithResolvers<number> }[] = []
  /** Delivered, but the write that remembers it failed: tried again until it works. */
  const unsaved: DedupEntry[] = []

  const lanes = createLanes({
    integrations: options.integrations,
    create: laneFor,
    handOn: takeUp,
    onError: events.onStorageError,
  })
  book.subscribe(alertsChanged)
  for (const row of await store.loadOutbox()) {
    // It may have been on its way when the last run ended.
    await takeUp({ ...row, attempts: Math.max(1, row.attempts) })
  }

  // ---- groups

  function groups(): Groups {
    if (gathered === null) {
      gathered = createGroups(router, storedTimers)
      gather(gathered)
    }
    return gathered
  }

  function gather(into: Groups): void {
    for (const alert of book.all()) if (alert.state === 'resolved' && !alert.settled) into.place(alert)
    // Only now: with the same labels, what fires is the news.
    for (const alert of book.all()) if (isFiring(alert)) into.place(alert)
  }

  /** What a change leads to is told at its groups' next ticks. */
  function alertsChanged(transitions: readonly Transition[]): void {
    // Gathered later, they are as they are then.
    if (gathered !== null) for (const transition of transitions) takeIn(transition, gathered)
    alarm.ring()
  }

  async function flushWhenDue(ending: AbortSignal): Promise<void> {
    while (!ending.aborted) {
      if (reconfigured !== null) await applyOrReject(reconfigured)
      await forgetWhoeverIsToBe()
      const saved = await retryUnsaved()
      let nextAt = saved ? Number.POSITIVE_INFINITY : clock.now() + storageRetryMs
      if (enabled) {
        if (stale.length > 0) await forgetStale()
        for (const some of inSlices(groups().all(), groupsPerSave)) {
          if (ending.aborted || reconfigured !== null || forgetting.length > 0) break
          nextAt = Math.min(nextAt, await flushThoseDue(some))
        }
      }
      if (reconfigured === null && forgetting.length === 0)
        await alarm.until(Math.max(nextAt, clock.now() + shortestWaitMs), ending)
    }
  }

  /** Their members were settled just before the last run ended, or what led to them is configured no more. */
  async function forgetStale(): Promise<void> {
    try {
      for (const groupKey of stale) if (groups().get(groupKey) === undefined) await forget(groupKey)
      stale = []
    } catch (error) {
      events.onStorageError(error)
    }
  }

  /** When the next of these groups is due. */
  async function flushThoseDue(some: readonly Group[]): Promise<number> {
    const now = clock.now()
    const isDue = ({ timer }: Group) => timer.nextFlushAt <= now
    // What nothing but a held alert is in has its first flush when that is let go.
    const awake = some.filter((group) => !isDue(group) || !isHeld(group, { suppression, now }))
    await flush(awake.filter(isDue))
    let nextAt = Number.POSITIVE_INFINITY
    for (const group of awake) {
      if (groups().get(group.key) !== group) continue
      nextAt = Math.min(nextAt, isDue(group) ? clock.now() + storageRetryMs : group.timer.nextFlushAt)
    }
    return nextAt
  }

  /** Those that could not be saved stay due. */
  async function flush(due: readonly Group[]): Promise<void> {
    const judged: Judged[] = []
    for (const group of due) {
      const timer = { groupKey: group.key, nextFlushAt: nextTick(group), flushed: true }
      try {
        judged.push(judge(group, { at: group.timer.nextFlushAt, timer, to: lanesOf(group) }))
      } catch (error) {
        // A group that cannot be judged must not keep the others from being told.
        events.onStorageError(error)
      }
    }
    if (judged.length === 0) return
    try {
      await tell(judged)
    } catch (error) {
      events.onStorageError(error)
      return
    }
    for (const { group } of judged) await settle(group).catch((error) => events.onStorageError(error))
  }

  /** What a group's state comes to for each of these integrations. */
  function judge(
    group: Group,
    { at, timer, to }: { at: number; timer: Group['timer']; to: readonly Lane[] },
  ): Judged {
    const state = groupStateAt(group, { suppression, at, now: clock.now() })
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
        const toldAt = entry?.at ?? at
        remembered.push({ ...place, at: toldAt, firing, resolved: state.resolved, silenced, receiverData })
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
        if (lane !== undefined) offer(lane, group, row)
      }
    }
  }

  function outlook(group: Group, lane: Lane, state: GroupState): Outlook {
    const key = integrationKey(lane.integration)
    const entry = told.get(group.key, key)
    const undelivered = lane.queued(group.key)?.row
    const decision = decideFor(lane, group, { state, entry, undelivered })
    return { integrationKey: key, decision, told: entry, undelivered }
  }

  function decideFor(
    lane: Lane,
    group: Group,
    about: { state: GroupState; entry: DedupEntry | undefined; undelivered: OutboxRow | undefined },
  ): DedupDecision {
    const { state, ...known } = about
    return decide(isToldAll(group, lane) ? state : farewell(state), known, {
      ...policy,
      sendResolved: lane.integration.sendResolved,
      repeatIntervalMs: group.route.repeatIntervalMs,
    })
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

  /** Resolved members that nobody has to be told of any more leave; an empty group ends. */
  async function settle(group: Group): Promise<void> {
    const resolved: Alert[] = []
    for (const alert of group.members.values()) if (alert.state === 'resolved') resolved.push(alert)
    const outstanding = resolved.length === 0 ? new Set() : outstandingIn(group)
    const done = resolved.filter((alert) => !outstanding.has(alert.fingerprint))
    for (const { fingerprint } of done) group.members.delete(fingerprint)
    const settled = done.filter((alert) => groups().having(alert).length === 0)
    if (settled.length > 0) {
      book.settle(settled)
      await book.commit()
    }
    if (group.members.size > 0 || groups().get(group.key) !== group) return
    groups().delete(group)
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

  function laneFor(integration: Integration): Lane {
    return createLane(integration, {
      clock,
      linkFor: options.linkFor,
      events: {
        onAttempt: (outcome, seconds) => events.onAttempt(integration, outcome, seconds),
        onDelivered: (message, outcome) => delivered(message, integration, outcome),
        onRetry: (message, reason) => retried(message, integration, reason),
        onPermanentFailure: (message, reason) => failedForGood(message, integration, reason),
      },
    })
  }

  /** The lanes of a group's receiver and of what stands in for it, and those that were told of it before. */
  function lanesOf(group: Group): readonly Lane[] {
    return lanes
      .all()
      .filter(
        (lane) =>
          isToldAll(group, lane) ||
          (told.get(group.key, integrationKey(lane.integration))?.firing.length ?? 0) > 0,
      )
  }

  /** Whether it is the group's receiver's, or the fallback's while one of those fails for good. */
  function isToldAll({ route }: Group, { integration: { receiver } }: Lane): boolean {
    if (receiver === route.receiver) return true
    return (
      receiver === policy.fallbackReceiver && lanes.ofReceiver(route.receiver).some((lane) => lane.isBroken())
    )
  }

  /** What was decided for it is still to be told: also by a fallback whose receiver may be well again. */
  function mayTell(lane: Lane, group: Group): boolean {
    return lane.integration.receiver === policy.fallbackReceiver || lanesOf(group).includes(lane)
  }

  function offer(lane: Lane, group: Group, row: OutboxRow): void {
    const { integration } = lane
    const sources = { book, suppression, now: clock.now() }
    lane.offer({ row, notification: composeNotification(group, { integration, row }, sources) })
  }

  /** A message that waits to be delivered, decided by an earlier run or before a reload. */
  async function takeUp(row: OutboxRow): Promise<void> {
    const lane = lanes.get(row.integrationKey)
    const group = groups().get(row.groupKey)
    if (lane !== undefined && group !== undefined && mayTell(lane, group)) return offer(lane, group, row)
    events.onDropped(row)
    await store.dropOutboxRow(row)
  }

  async function delivered(
    { row, notification }: QueuedMessage,
    integration: Integration,
    { refused, receiverData }: { refused: readonly string[]; receiverData: string | null },
  ): Promise<void> {
    const { groupKey, at, firing, resolved } = row
    const group = groups().get(groupKey)
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
    events.onDelivered(notification, integration, refused, before?.firing ?? [])
    await retryUnsaved()
    if (group === undefined) return
    try {
      if (lane !== undefined) await judgeAnew(lane, group)
      await settle(group)
    } catch (error) {
      events.onStorageError(error)
    }
  }

  /** What was decided while a message was on its way did not know that it would arrive. */
  async function judgeAnew(lane: Lane, group: Group): Promise<void> {
    const waiting = lane.queued(group.key)?.row
    if (waiting === undefined || waiting.attempts > 0) return
    const { integrationKey: key, at } = waiting
    const state = groupStateAt(group, { suppression, at, now: clock.now() })
    const entry = told.get(group.key, key)
    const decision = decideFor(lane, group, { state, entry, undelivered: undefined })
    if (decision.kind !== 'send') {
      lane.drop(group.key)
      return store.dropOutboxRow(waiting)
    }
    const { reason, firing, resolved } = decision
    const row = { ...waiting, reason, firing, resolved }
    offer(lane, group, row)
    await store.saveAttempt(row)
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
      const group = groups().get(row.groupKey)
      if (group === undefined || integration.receiver !== group.route.receiver) return
      const { fallbackReceiver: standIn } = policy
      const standIns = standIn === null || standIn === group.route.receiver ? [] : lanes.ofReceiver(standIn)
      if (standIns.length > 0) {
        await tell([judge(group, { at: row.at, timer: group.timer, to: standIns })])
      }
    } catch (error) {
      events.onStorageError(error)
    }
  }

  // ---- reload

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
    const before = groups().all()
    const timers = groups().timers()
    router = delivery.router
    policy = delivery.policy
    gathered = createGroups(router, timers)
    gather(gathered)
    await lanes.replaceWith(delivery.integrations)
    for (const lane of lanes.all()) {
      for (const { row } of lane.waiting()) {
        const group = groups().get(row.groupKey)
        if (group !== undefined && mayTell(lane, group)) continue
        lane.drop(row.groupKey)
        await takeUp(row)
      }
    }
    for (const { key } of before) if (groups().get(key) === undefined) await forget(key)
  }

  // ---- forgetting a person

  function allToldOf(forgotten: Forgotten) {
    return toldOf(forgotten, { groups: groups().all(), lanes: lanes.all(), told, others: stale })
  }

  /** Between ticks, so that none is under way that knows them. */
  async function forgetWhoeverIsToBe(): Promise<void> {
    for (const { forgotten, done } of forgetting.splice(0)) {
      await forgetNow(forgotten).then(done.resolve, done.reject)
    }
  }

  async function forgetNow(forgotten: Forgotten): Promise<number> {
    const found = allToldOf(forgotten)
    const without = (prints: readonly string[]) =>
      prints.filter((print) => !forgotten.fingerprints.has(print))
    for (const { members } of groups().all())
      for (const print of forgotten.fingerprints) members.delete(print)
    for (const groupKey of found.groupKeys) {
      for (const lane of lanes.all()) {
        const row = lane.queued(groupKey)?.row
        lane.forget(groupKey)
        if (row !== undefined) await store.dropOutboxRow(row)
      }
      for (const [at, entry] of [...unsaved.entries()].reverse()) {
        if (entry.groupKey === groupKey) unsaved.splice(at, 1)
      }
      const group = groups().get(groupKey)
      if (group !== undefined) groups().delete(group)
      await forget(groupKey)
    }
    for (const { lane, row } of found.messages) {
      lane.drop(row.groupKey)
      await store.dropOutboxRow(row)
    }
    for (const entry of found.entries) {
      const timer = groups().get(entry.groupKey)?.timer
      const { firing, resolved, silenced } = entry
      const next = {
        ...entry,
        ...{ firing: without(firing), resolved: without(resolved), silenced: without(silenced) },
      }
      told.set(next)
      // Without a group, it is forgotten as a whole at the first tick.
      if (timer !== undefined) await store.saveFlush({ timer, outbox: [], remembered: [next], dropped: [] })
    }
    return countTold(found)
  }

  return {
    countForgotten: (forgotten) => countTold(allToldOf(forgotten)),
    forget(forgotten) {
      const done = Promise.withResolvers<number>()
      forgetting.push({ forgotten, done })
      if (stop === null || stop.aborted) void forgetWhoeverIsToBe()
      else alarm.ring()
      return done.promise
    },
    enable() {
      enabled = true
      alarm.ring()
    },
    wake: () => alarm.ring(),
    async run(ending) {
      stop = ending
      lanes.start(ending)
      await flushWhenDue(ending)
      await forgetWhoeverIsToBe()
      await lanes.ended()
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
      const all = lanes.all()
      const waiting = all.map((lane) => lane.oldestAt()).filter((at) => at !== null)
      let nextFlushAt: number | null = null
      for (const group of groups().all()) {
        const at = group.timer.nextFlushAt
        const isWaiting = at <= clock.now() && isHeld(group, { suppression, now: clock.now() })
        if (!isWaiting) nextFlushAt = Math.min(nextFlushAt ?? at, at)
      }
      return {
        queued: all.reduce((sum, lane) => sum + lane.length(), 0),
        oldestAt: waiting.length === 0 ? null : Math.min(...waiting),
        isDelivering: !all.some((lane) => lane.isFailing()),
        nextFlushAt,
        toldEntries: told.size(),
        groups: groups().size(),
      }
    },
    groups: () =>
      groups()
        .all()
        .map((group) => ({
          key: group.key,
          labels: group.labels,
          route: group.route,
          members: group.members.values(),
          nextFlushAt: group.timer.nextFlushAt,
          outlook() {
            const at = group.timer.nextFlushAt
            const state = groupStateAt(group, { suppression, at, now: clock.now() })
            return lanesOf(group).map((lane) => outlook(group, lane, state))
          },
        })),
  }
}

function* inSlices<T>(items: readonly T[], length: number): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += length) yield items.slice(from, from + length)
}

function takeIn({ before, after }: Transition, groups: Groups): void {
  // The end of its last episode may still be to be told: until it fires again, that stays.
  if (after?.state === 'pending' || (after === undefined && before?.state === 'pending')) return
  if (after === undefined || after.settled) {
    if (before !== undefined) groups.remove(before)
  } else if (isFiring(after)) groups.place(after)
  else groups.refresh(after)
}
