// All alerts that are active or resolved a short while ago, in memory, and the way they change:
//
//   evaluate … evaluate → commit: saved in one transaction, then visible, then handed on
//
// Nothing is visible before it is saved, so nothing can be told that a crash would forget. When
// saving fails the evaluations since the last commit are as if they had not been; the next walk
// makes them again. Memory grows with the alerts, not with the fleet. Of an alert that ended, its
// flips are remembered while they count (flapping.ts): a quarter of a kilobyte each, and at most as
// many as there were alerts that fired within that window.
//
// An end that is still to be told outlasts the next beginning: when the condition holds again, what ended
// stays as an alert under a key of its own, until that is told or it fires again.
//
// It never decides what an evaluation means (lifecycle.ts) nor who is told (notify/).

import type { DeviceType } from '../fleet/device.ts'
import { type Alert, alertKey, isFiring, type Subject, type TransitionReason } from './alert.ts'
import { type Flapping, flipsInWindow, isRemembered, remembered } from './flapping.ts'
import {
  type AlertBirth,
  advance,
  afterDowntime,
  type Evaluation,
  end,
  type RuleTiming,
} from './lifecycle.ts'
import type { AlertStore } from './store.ts'

/** A saved change: `before` undefined is a new alert, `after` undefined one that is gone. */
export interface Transition {
  readonly before: Alert | undefined
  readonly after: Alert | undefined
}

export interface RuleEvaluation {
  readonly ruleId: string
  readonly subject: Subject
  readonly evaluation: Evaluation
  readonly timing: RuleTiming
  /** The rule's present text: under an active alert, labels are rendered anew only when it differs. */
  readonly definition: string
  readonly birth: () => AlertBirth
}

export interface AlertBook {
  /** Active alerts about one subject, one for each rule at most; none for most devices. */
  activeOn(subject: Subject): readonly Alert[]
  /** Active alerts about users and devices, those of one user together. */
  activeByUser(): IterableIterator<readonly Alert[]>
  get(key: string): Alert | undefined
  byFingerprint(fingerprint: string): Alert | undefined
  all(): IterableIterator<Alert>
  size(): number
  /** Alerts of which only the flips are remembered: in no list, and to listeners they are gone. */
  rememberedCount(): number
  /** Active alerts of a rule, with those that are begun and not saved yet. */
  activeOfRule(ruleId: string): number
  /** Users that have active alerts, and their devices that do: those to look for when they go missing. */
  userIds(): IterableIterator<string>
  devicesOf(userId: string): readonly { readonly deviceType: DeviceType; readonly deviceId: string }[]

  evaluate(evaluation: RuleEvaluation): void
  end(key: string, at: number, reason: TransitionReason): void
  /** Remembers that the end of these was told to everybody who had to be told, whatever they do by now. */
  settle(alerts: Iterable<Pick<Alert, 'key' | 'fingerprint' | 'episode'>>): void
  /** Lets go of alerts that ended a while ago and are settled. */
  prune(now: number): void
  /** Keys of alerts of which only the flips are remembered. */
  rememberedKeys(): IterableIterator<string>
  /** Lets go of these, remembered ones too, as if they had never been: to listeners they are gone, not resolved. */
  forget(keys: Iterable<string>): void
  /** Changes that wait for commit. */
  pendingChanges(): number
  /** Saves, then tells subscribers. Rejects when saving failed, and then what was pending is forgotten. */
  commit(): Promise<void>
  /** `listener` gets the changes of every commit from now on, whoever made it, in order. */
  subscribe(listener: (transitions: readonly Transition[]) => void): void
}

// A resolved alert stays at least this long after its end, as in Prometheus, and beyond it for as long as
// somebody is still to be told.
const leastRetentionMs = 15 * 60_000

/**
 * Loads what is stored. `downMs`: how long the service was away, which counts towards no timer.
 * `flapping`: when an alert counts as flapping; null or absent: never. `retentionMs`: how long a resolved
 * alert is kept, asked for each time; 15 minutes unless told.
 */
export async function openAlertBook(
  store: AlertStore,
  {
    downMs,
    flapping = null,
    retentionMs = () => leastRetentionMs,
  }: { downMs: number; flapping?: Flapping | null; retentionMs?: () => number },
): Promise<AlertBook> {
  const saved = createIndex()
  /** By key, of alerts that are stored as remembered; none of them is in `saved`. */
  const rememberedFlips = new Map<string, readonly number[]>()
  let nextSweepAt = Number.NEGATIVE_INFINITY
  /** Evaluated since the last commit, and being saved right now, remembered ones too; undefined: gone. */
  let pending = new Map<string, Alert | undefined>()
  let saving = new Map<string, Alert | undefined>()
  /** Begun and not published yet, by rule. */
  const begunByRule = new Map<string, number>()
  const listeners: ((transitions: readonly Transition[]) => void)[] = []
  let lastCommit: Promise<unknown> = Promise.resolve()

  for (const alert of await store.loadAlerts()) {
    if (isRemembered(alert)) rememberedFlips.set(alert.key, alert.flips)
    else saved.add(afterDowntime(alert, downMs))
  }

  function current(key: string): Alert | undefined {
    if (pending.has(key)) return pending.get(key)
    return saving.has(key) ? saving.get(key) : saved.byKey.get(key)
  }

  function change(key: string, after: Alert | undefined): void {
    const before = current(key)
    if (after === before) return
    pending.set(key, after)
    if (after !== undefined && isActive(after) && !isActive(before)) {
      begunByRule.set(after.ruleId, (begunByRule.get(after.ruleId) ?? 0) + 1)
    }
    // To whoever was not told of its end it fires on.
    if (after !== undefined && isFiring(after) && !(before !== undefined && isFiring(before)))
      change(endedKey(after), undefined)
  }

  /** Before another episode takes its place, unless that fires at once with the same labels. */
  function keepEnd(ended: Alert, next: Alert): void {
    const firesOn = isFiring(next) && next.fingerprint === ended.fingerprint
    if (ended.settled || firesOn || isRemembered(ended)) return
    const key = endedKey(ended)
    // The flips go on with the next episode.
    change(key, { ...ended, key, flips: [] })
  }

  function evaluate({ ruleId, subject, evaluation, timing, definition, birth }: RuleEvaluation): void {
    const key = alertKey(ruleId, subject)
    const before = current(key) ?? recall(key, { ruleId, subject })
    let born: AlertBirth | undefined
    const step = () => {
      born = birth()
      return born
    }
    const after = advance(before, evaluation, timing, step, flapping)
    if (after === before) return
    if (before?.state === 'resolved' && after !== undefined) keepEnd(before, after)
    const redefined = before !== undefined && before.state !== 'resolved' && before.definition !== definition
    if (redefined && after !== undefined && born !== undefined)
      adopt({ before, after, born, at: evaluation.at })
    else if (after === undefined && before !== undefined && evaluation.verdict !== 'deleted')
      change(key, rememberedOrGone(before, evaluation.at))
    else change(key, after)
  }

  /** The alert that `advance` takes the flips from, where nothing else is left of it. */
  function recall(key: string, { ruleId, subject }: { ruleId: string; subject: Subject }): Alert | undefined {
    if (pending.has(key) || saving.has(key)) return undefined
    const flips = rememberedFlips.get(key)
    return flips === undefined ? undefined : remembered({ key, ruleId, subject, flips })
  }

  function rememberedOrGone(alert: Alert, at: number): Alert | undefined {
    const counts = flapping !== null && flipsInWindow(alert, at, flapping.windowMs) > 0
    return counts ? remembered(alert) : undefined
  }

  /**
   * The rule's text changed under an active alert. With the same labels the alert goes on. With
   * other labels it is another alert to every receiver: the old one ends as `rule_changed`, under a
   * key of its own until that is told, and the new one goes on in its place, timers and all.
   */
  function adopt({
    before,
    after,
    born,
    at,
  }: {
    before: Alert
    after: Alert
    born: AlertBirth
    at: number
  }): void {
    if (born.fingerprint !== before.fingerprint) {
      const ended = end(before, at, 'rule_changed')
      const retiredKey = `${before.key}\n${before.episode}`
      if (ended !== undefined) change(retiredKey, { ...ended, key: retiredKey })
    }
    const sameLabels = born.fingerprint === before.fingerprint
    change(before.key, { ...after, ...born, episode: sameLabels ? before.episode : born.episode })
  }

  /** Lets go of what is remembered and no longer counts. Not at every call: there may be very many. */
  function sweep(now: number): void {
    if (Math.abs(nextSweepAt - now) <= leastRetentionMs && now < nextSweepAt) return
    nextSweepAt = now + leastRetentionMs
    for (const [key, flips] of rememberedFlips) {
      const counts = flapping !== null && flipsInWindow({ flips }, now, flapping.windowMs) > 0
      if (!counts && !pending.has(key) && !saving.has(key)) pending.set(key, undefined)
    }
  }

  /** One save at a time; what is evaluated meanwhile belongs to the next commit. */
  function commit(): Promise<void> {
    const done = lastCommit.then(save)
    lastCommit = done.catch(() => undefined)
    return done
  }

  async function save(): Promise<void> {
    if (pending.size === 0) return
    saving = pending
    pending = new Map()
    let transitions: readonly Transition[]
    try {
      await store.saveAlerts(asChanges(saving))
      transitions = publish(saving)
    } finally {
      saving = new Map()
      begunByRule.clear()
    }
    for (const listener of listeners) listener(transitions)
  }

  function asChanges(changes: ReadonlyMap<string, Alert | undefined>) {
    const upserts: Alert[] = []
    const deletedKeys: string[] = []
    for (const [key, alert] of changes) {
      if (alert !== undefined) upserts.push(alert)
      else if (saved.byKey.has(key) || rememberedFlips.has(key)) deletedKeys.push(key)
    }
    return { upserts, deletedKeys }
  }

  function publish(changes: ReadonlyMap<string, Alert | undefined>): readonly Transition[] {
    const transitions: Transition[] = []
    for (const [key, change] of changes) {
      const present = saved.byKey.get(key)
      if (present !== undefined) saved.remove(present)
      const after = visible(change)
      // Where it is kept changes, and nothing else.
      const before = present ?? (isKeptEnd(key) ? after : undefined)
      if (after !== undefined) saved.add(after)
      if (change !== undefined && after === undefined) rememberedFlips.set(key, change.flips)
      else rememberedFlips.delete(key)
      if (before !== undefined || after !== undefined) transitions.push({ before, after })
    }
    return transitions
  }

  return {
    activeOn: saved.activeOn,
    activeByUser: () => saved.activeByUser.values(),
    get: (key) => visible(current(key)),
    byFingerprint: saved.byFingerprint,
    all: () => saved.byKey.values(),
    size: () => saved.byKey.size,
    rememberedCount: () => rememberedFlips.size,
    activeOfRule: (ruleId) => (saved.activeByRule.get(ruleId) ?? 0) + (begunByRule.get(ruleId) ?? 0),
    userIds: () => saved.activeByUser.keys(),
    devicesOf: (userId) => devicesIn(saved.activeByUser.get(userId) ?? none),
    evaluate,
    end(key, at, reason) {
      const before = current(key)
      if (before !== undefined) change(key, end(before, at, reason))
    },
    settle(alerts) {
      for (const told of alerts) {
        for (const key of [told.key, endedKey(told)]) {
          const alert = current(key)
          if (alert?.state !== 'resolved' || alert.settled || alert.episode !== told.episode) continue
          change(key, { ...alert, settled: true })
        }
      }
    },
    prune(now) {
      const keptMs = Math.max(retentionMs(), leastRetentionMs)
      for (const alert of saved.byKey.values()) {
        if (alert.resolvedAt === null || now - alert.resolvedAt < keptMs) continue
        // Another alert has taken over its label set, and with it what receivers know of it.
        const other = saved.byFingerprint(alert.fingerprint)
        const replaced = other !== undefined && other !== alert && other.state !== 'pending'
        if ((alert.settled || replaced) && current(alert.key) === alert)
          change(alert.key, rememberedOrGone(alert, now))
      }
      sweep(now)
    },
    rememberedKeys: () => rememberedFlips.keys(),
    forget(keys) {
      for (const key of keys) {
        if (current(key) !== undefined || rememberedFlips.has(key)) pending.set(key, undefined)
      }
    },
    pendingChanges: () => pending.size,
    commit,
    subscribe(listener) {
      listeners.push(listener)
    },
  }
}

const none: readonly Alert[] = []

const endedMark = '\nended '

/** Where an episode is kept that ended and is to be told, once another one has begun in its place. */
function endedKey({ key, fingerprint }: Pick<Alert, 'key' | 'fingerprint'>): string {
  return `${key}${endedMark}${fingerprint}`
}

function isKeptEnd(key: string): boolean {
  return key.includes(endedMark)
}

/** The devices that these alerts are about, each once. */
function devicesIn(alerts: readonly Alert[]): { deviceType: DeviceType; deviceId: string }[] {
  const devices: { deviceType: DeviceType; deviceId: string }[] = []
  for (const { subject } of alerts) {
    if (subject.kind !== 'device') continue
    const { deviceType, deviceId } = subject
    const isKnown = devices.some((known) => known.deviceId === deviceId && known.deviceType === deviceType)
    if (!isKnown) devices.push({ deviceType, deviceId })
  }
  return devices
}

function visible(alert: Alert | undefined): Alert | undefined {
  return alert === undefined || isRemembered(alert) ? undefined : alert
}

function isActive(alert: Alert | undefined): boolean {
  return alert !== undefined && alert.state !== 'resolved'
}

/** The alerts under everything by which they are looked up. */
function createIndex() {
  const byKey = new Map<string, Alert>()
  // Made when it is first asked for: at a start with many alerts the first request need not wait for it.
  let byFingerprint: Map<string, Alert> | null = null
  // A user has few alerts, so they are searched: a map for each device would take more than its alerts.
  const activeByUser = new Map<string, Alert[]>()
  const activeByGroup = new Map<string, Alert[]>()
  const activeByRule = new Map<string, number>()

  function owned({ subject }: Alert): { readonly alerts: Map<string, Alert[]>; readonly owner: string } {
    return subject.kind === 'fleet'
      ? { alerts: activeByGroup, owner: subject.group }
      : { alerts: activeByUser, owner: subject.userId }
  }

  /** Under one fingerprint the alert that is active, if any is. */
  function addFingerprint(prints: Map<string, Alert>, alert: Alert): void {
    if (isActive(alert) || !prints.has(alert.fingerprint)) prints.set(alert.fingerprint, alert)
  }

  return {
    byKey: byKey as ReadonlyMap<string, Alert>,
    activeByUser: activeByUser as ReadonlyMap<string, readonly Alert[]>,
    activeByRule: activeByRule as ReadonlyMap<string, number>,

    byFingerprint(print: string): Alert | undefined {
      if (byFingerprint === null) {
        byFingerprint = new Map()
        for (const alert of byKey.values()) addFingerprint(byFingerprint, alert)
      }
      return byFingerprint.get(print)
    },

    activeOn(subject: Subject): readonly Alert[] {
      if (subject.kind === 'fleet') return activeByGroup.get(subject.group) ?? none
      const alerts = activeByUser.get(subject.userId)
      return alerts === undefined ? none : alerts.filter((alert) => isAbout(alert, subject))
    },

    add(alert: Alert): void {
      byKey.set(alert.key, alert)
      if (byFingerprint !== null) addFingerprint(byFingerprint, alert)
      if (!isActive(alert)) return
      const { alerts, owner } = owned(alert)
      const others = alerts.get(owner)
      if (others === undefined) alerts.set(owner, [alert])
      else others.push(alert)
      activeByRule.set(alert.ruleId, (activeByRule.get(alert.ruleId) ?? 0) + 1)
    },

    remove(alert: Alert): void {
      byKey.delete(alert.key)
      if (byFingerprint?.get(alert.fingerprint) === alert) {
        byFingerprint.delete(alert.fingerprint)
        const ended = byKey.get(endedKey(alert))
        if (ended !== undefined) byFingerprint.set(ended.fingerprint, ended)
      }
      if (alert.state === 'resolved') return
      const { alerts, owner } = owned(alert)
      const left = (alerts.get(owner) ?? none).filter((other) => other !== alert)
      if (left.length === 0) alerts.delete(owner)
      else alerts.set(owner, left)
      const leftOfRule = (activeByRule.get(alert.ruleId) ?? 1) - 1
      if (leftOfRule === 0) activeByRule.delete(alert.ruleId)
      else activeByRule.set(alert.ruleId, leftOfRule)
    },
  }
}

/** `about`: of the same user as the alert. */
function isAbout({ subject }: Alert, about: Subject): boolean {
  if (about.kind !== 'device' || subject.kind !== 'device') return subject.kind === about.kind
  return subject.deviceId === about.deviceId && subject.deviceType === about.deviceType
}
