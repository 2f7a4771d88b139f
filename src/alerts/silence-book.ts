// All silences, from those to come to those that ended a few days ago, and the way they change:
//
//   set, expire, tend → saved in one transaction, then visible, then handed on
//
// Nothing is visible before it is saved. Changes are made one after the other, each on top of what
// the one before it saved. A silence is never edited in a way that would rewrite history: then the
// old one ends and another begins (alerting-semantics.md section 8).
//
// It never looks at who is told: that is for notify/, which asks for `silencedBy`.

import { createMatcher, isSameMatcher, type Matcher, matchesAll } from '../matcher.ts'
import { type Alert, isFiring, type Labels } from './alert.ts'
import {
  checkDuration,
  checkSilence,
  type Silence,
  SilenceError,
  type SilenceInput,
  type SilenceState,
  type SilenceStore,
  type StoredSilence,
  settleExpiry,
  silenceState,
} from './silence.ts'
import { createSilenceIndex } from './silence-index.ts'

/** A saved change: `before` undefined is a new silence, `after` undefined one that is gone. */
export interface SilenceChange {
  readonly before: Silence | undefined
  readonly after: Silence | undefined
}

export interface SilenceBook {
  /**
   * Makes a silence, or changes the one with `input.id`: in place where its past stays true, else
   * that one ends and the result has a new id. Rejects with SilenceError `invalid` or `not_found`,
   * or with what the store rejects with; then nothing was changed.
   */
  set(input: SilenceInput): Promise<Silence>
  /** Ends it now; one that ended already stays as it is. False: there is no such silence. */
  expire(id: string): Promise<boolean>
  get(id: string): Silence | undefined
  all(): Iterable<Silence>
  stateOf(silence: Silence, at: number): SilenceState
  /**
   * Those in the wanted states now: active ones, the first to end first; pending ones, the first to
   * start first; expired ones, the last to end first. `filter`: only those that have each of these
   * matchers, word for word.
   */
  list(wanted: {
    readonly pending: boolean
    readonly active: boolean
    readonly expired: boolean
    readonly filter?: readonly Matcher[]
  }): readonly Silence[]
  /**
   * Ids of the silences that are active at `at` and match, sorted. Fast for labels that were asked
   * about before, as the same object: they are matched only against what was added since.
   */
  silencedBy(labels: Labels, at: number): readonly string[]
  /** Active alerts that a silence with these matchers would hold for. */
  matching(matchers: readonly Matcher[], alerts: Iterable<Alert>): Alert[]
  /**
   * Ends silences as their expiry says, notes whom to remind of an end that is near (once for each
   * end, of silences that hold a firing alert back), and lets go of what ended five days ago. To be
   * called every few seconds, with all alerts, once they are known: after a start, when a walk was read.
   *
   * Cost: one look at each silence; the alerts are gone through only if a silence has an expiry or
   * a reminder due, and then each is looked up once, as in `silencedBy`.
   */
  tend(
    alerts: Iterable<Alert>,
    at: number,
  ): Promise<{ readonly ended: readonly Silence[]; readonly reminders: readonly Silence[] }>
  /**
   * Takes a person out of the silences: `judge` says which of them go, without a trace of them staying, and
   * which are written anew. How many that were.
   */
  forget(
    judge: (silence: StoredSilence) => Judgement<Pick<Silence, 'createdBy' | 'comment' | 'annotations'>>,
  ): Promise<number>
  /** The first start or end after `at`; null without any. */
  nextChangeAt(at: number): number | null
  /**
   * `listener` gets what was set, ended or dropped from now on, in order; not what time alone
   * changes (see nextChangeAt), nor what `tend` only notes.
   */
  subscribe(listener: (changes: readonly SilenceChange[]) => void): void
  size(): number
}

/** What becomes of something in which a person is to be forgotten: it goes, it loses words, or it stays. */
export type Judgement<Words> = 'remove' | { readonly words: Words } | 'keep'

/** Limits are asked for each time: a reload may change them. */
export interface SilenceBookOptions {
  readonly clock: { now(): number }
  /** Makes a UUID. */
  readonly newId: () => string
  /** The longest that a silence may last, from its start to its end; null: no limit. */
  readonly maxDurationMs: number | null
  /** How long before its end somebody is reminded. A silence that is no longer than this needs no reminder. */
  readonly remindBeforeMs: number
  /** Told of a stored silence that is left out, since its matchers can't be read. */
  readonly onUnreadable?: (id: string, error: unknown) => void
}

const retentionMs = 5 * 86_400_000

interface Changes {
  readonly upserts: readonly Silence[]
  readonly deletedIds: readonly string[]
}

/** Loads what is stored. */
export async function openSilenceBook(
  store: SilenceStore,
  options: SilenceBookOptions,
): Promise<SilenceBook> {
  const { clock, newId, onUnreadable } = options
  const byId = new Map<string, Silence>()
  const index = createSilenceIndex()
  /** They stay stored, for a version that can read them, as long as others do. */
  const unreadable = new Map<string, StoredSilence>()
  const listeners: ((changes: readonly SilenceChange[]) => void)[] = []
  let lastChange: Promise<unknown> = Promise.resolve()
  let lastTendedAt = 0

  for (const stored of await store.loadSilences()) {
    try {
      publish({ ...stored, matchers: stored.matchers.map(revive) })
    } catch (error) {
      unreadable.set(stored.id, stored)
      onUnreadable?.(stored.id, error)
    }
  }

  /** One change at a time, whether or not the one before succeeded. */
  function serially<T>(change: () => Promise<T>): Promise<T> {
    const done = lastChange.then(change)
    lastChange = done.catch(() => undefined)
    return done
  }

  /** Saved BEFORE it is visible: otherwise a crash would forget what somebody was told is silenced. */
  async function save({ upserts, deletedIds }: Changes): Promise<readonly SilenceChange[]> {
    if (upserts.length === 0 && deletedIds.length === 0) return []
    await store.saveSilences({ upserts, deletedIds })
    const changes: SilenceChange[] = []
    for (const after of upserts) changes.push({ before: byId.get(after.id), after })
    for (const id of deletedIds) {
      const before = byId.get(id)
      unreadable.delete(id)
      if (before === undefined) continue
      byId.delete(id)
      index.remove(before)
      changes.push({ before, after: undefined })
    }
    upserts.forEach(publish)
    return changes
  }

  function publish(silence: Silence): void {
    const before = byId.get(silence.id)
    byId.set(silence.id, silence)
    // Under one id the matchers never change, so the index needs no second look.
    if (before === undefined) index.add(silence)
  }

  function tell(changes: readonly SilenceChange[]): void {
    if (changes.length > 0) for (const listener of listeners) listener(changes)
  }

  async function set(input: SilenceInput): Promise<Silence> {
    const now = clock.now()
    checkSilence(input, now)
    const before = input.id === undefined || input.id === '' ? undefined : byId.get(input.id)
    if (before === undefined && input.id !== undefined && input.id !== '') {
      throw new SilenceError('not_found', `there is no silence with the id ${JSON.stringify(input.id)}`)
    }
    const inPlace = before !== undefined && canChangeInPlace(before, input, now)
    const startsAt = inPlace ? startInPlace(before, input, now) : Math.max(input.startsAt, now)
    checkDuration({ startsAt, endsAt: input.endsAt }, options.maxDurationMs)
    const after: Silence = {
      id: inPlace ? before.id : newId(),
      matchers: inPlace ? before.matchers : input.matchers,
      startsAt,
      endsAt: input.endsAt,
      updatedAt: now,
      createdBy: input.createdBy,
      comment: input.comment,
      ...settleExpiry(input.annotations ?? before?.annotations ?? {}, input.expiry),
      // Another end deserves another reminder.
      remindedAt: inPlace && before.endsAt === input.endsAt ? before.remindedAt : null,
      lastMatchedAt: inPlace ? before.lastMatchedAt : null,
      unmatchedSince: inPlace ? before.unmatchedSince : null,
    }
    const replaced = inPlace || before === undefined ? undefined : endedAt(before, now)
    tell(await save({ upserts: replaced === undefined ? [after] : [replaced, after], deletedIds: [] }))
    return after
  }

  async function expire(id: string): Promise<boolean> {
    const before = byId.get(id)
    if (before === undefined) return false
    const after = endedAt(before, clock.now())
    if (after !== undefined) tell(await save({ upserts: [after], deletedIds: [] }))
    return true
  }

  async function tend(alerts: Iterable<Alert>, at: number) {
    const watches = new Map<string, Watch>()
    const deletedIds: string[] = []
    for (const silence of byId.values()) {
      if (silence.endsAt + retentionMs <= at) deletedIds.push(silence.id)
      else if (silenceState(silence, at) === 'active') {
        const remind = isReminderDue(silence, at)
        if (silence.expiry !== null || remind) watches.set(silence.id, newWatch(silence, remind))
      }
    }
    for (const { id, endsAt } of unreadable.values()) if (endsAt + retentionMs <= at) deletedIds.push(id)
    if (watches.size > 0) observe(alerts, watches)

    const ended: Silence[] = []
    const reminders: Silence[] = []
    const noted: Silence[] = []
    for (const watch of watches.values()) {
      const seen = note(watch, at)
      if (seen.isOver) ended.push({ ...seen.silence, endsAt: at, updatedAt: at })
      else if (watch.remind && watch.firing) reminders.push({ ...seen.silence, remindedAt: at })
      else if (seen.silence !== watch.silence) noted.push(seen.silence)
    }
    const changes = await save({ upserts: [...ended, ...reminders, ...noted], deletedIds })
    lastTendedAt = at
    tell(changes.filter(({ before, after }) => before?.endsAt !== after?.endsAt))
    return { ended, reminders }
  }

  async function forget(judge: Parameters<SilenceBook['forget']>[0]): Promise<number> {
    const upserts: Silence[] = []
    const deletedIds: string[] = []
    for (const silence of byId.values()) {
      const judgement = judge(silence)
      if (judgement === 'remove') deletedIds.push(silence.id)
      else if (judgement !== 'keep') upserts.push({ ...silence, ...judgement.words })
    }
    // What can't be read is of no use to anybody: where it names the person, it goes.
    for (const stored of unreadable.values()) if (judge(stored) !== 'keep') deletedIds.push(stored.id)
    tell(await save({ upserts, deletedIds }))
    return upserts.length + deletedIds.length
  }

  function isReminderDue({ startsAt, endsAt, remindedAt }: Silence, at: number): boolean {
    const { remindBeforeMs } = options
    return remindedAt === null && endsAt - remindBeforeMs <= at && endsAt - startsAt > remindBeforeMs
  }

  function observe(alerts: Iterable<Alert>, watches: ReadonlyMap<string, Watch>): void {
    for (const alert of alerts) {
      for (const id of index.matching(alert.labels)) {
        const watch = watches.get(id)
        if (watch === undefined) continue
        if (alert.state !== 'resolved') watch.active = true
        else if ((alert.resolvedAt ?? 0) > watchedFrom(watch.silence)) watch.resolved = true
        if (isFiring(alert)) watch.firing = true
      }
    }
  }

  /** What is known of a silence with an expiry now; the same object when that is nothing new. */
  function note({ silence, active, resolved }: Watch, at: number): { silence: Silence; isOver: boolean } {
    const { expiry, lastMatchedAt, unmatchedSince } = silence
    if (expiry === null) return { silence, isOver: false }
    if (active) {
      // Not at every look, which would write all of them every few seconds: when it begins to match.
      const known = lastMatchedAt !== null && unmatchedSince === null
      return {
        silence: known ? silence : { ...silence, lastMatchedAt: at, unmatchedSince: null },
        isOver: false,
      }
    }
    const hasMatched = lastMatchedAt !== null || resolved
    const since = unmatchedSince ?? (lastMatchedAt === null ? watchedFrom(silence) : at)
    const noted: Silence =
      unmatchedSince !== null
        ? silence
        : {
            ...silence,
            // It matched at the last look, at least, if there was one since the start.
            lastMatchedAt: lastMatchedAt === null ? null : Math.max(lastMatchedAt, lastTendedAt),
            unmatchedSince: since,
          }
    switch (expiry.kind) {
      case 'resolved':
        return { silence: noted, isOver: hasMatched }
      case 'unmatched':
        return { silence: noted, isOver: at - since >= expiry.forMs }
      default:
        return expiry satisfies never
    }
  }

  return {
    set: (input) => serially(() => set(input)),
    expire: (id) => serially(() => expire(id)),
    get: (id) => byId.get(id),
    all: () => byId.values(),
    stateOf: silenceState,
    list({ pending, active, expired, filter = [] }) {
      const now = clock.now()
      const inState = (state: SilenceState) =>
        [...byId.values()].filter(
          (silence) => silenceState(silence, now) === state && hasMatchers(silence, filter),
        )
      return [
        ...(active ? inState('active').sort((a, b) => a.endsAt - b.endsAt) : []),
        ...(pending ? inState('pending').sort((a, b) => a.startsAt - b.startsAt) : []),
        ...(expired ? inState('expired').sort((a, b) => b.endsAt - a.endsAt) : []),
      ]
    },
    silencedBy(labels, at) {
      const ids = index.matching(labels)
      if (ids.length === 0) return ids
      return ids.filter((id) => {
        const silence = byId.get(id)
        return silence !== undefined && silenceState(silence, at) === 'active'
      })
    },
    matching(matchers, alerts) {
      const found: Alert[] = []
      for (const alert of alerts) {
        if (alert.state !== 'resolved' && matchesAll(matchers, alert.labels)) found.push(alert)
      }
      return found
    },
    tend: (alerts, at) => serially(() => tend(alerts, at)),
    forget: (judge) => serially(() => forget(judge)),
    nextChangeAt(at) {
      let next = Number.POSITIVE_INFINITY
      for (const { startsAt, endsAt } of byId.values()) {
        if (startsAt > at) next = Math.min(next, startsAt)
        else if (endsAt > at) next = Math.min(next, endsAt)
      }
      return Number.isFinite(next) ? next : null
    },
    subscribe(listener) {
      listeners.push(listener)
    },
    size: () => byId.size,
  }
}

/** A silence that `tend` needs alerts for, and what it has found of them. */
interface Watch {
  readonly silence: Silence
  readonly remind: boolean
  /** It matches an alert that is active, one that fires, one that resolved while it was watched. */
  active: boolean
  firing: boolean
  resolved: boolean
}

function newWatch(silence: Silence, remind: boolean): Watch {
  return { silence, remind, active: false, firing: false, resolved: false }
}

/** Before its start a silence matches nothing; before its last change its expiry may have been another. */
function watchedFrom({ startsAt, updatedAt }: Silence): number {
  return Math.max(startsAt, updatedAt)
}

function revive({ name, operator, value }: StoredSilence['matchers'][number]): Matcher {
  return createMatcher(name, operator, value)
}

/** Whether the change leaves what was silenced until now as it was. */
function canChangeInPlace(before: Silence, input: SilenceInput, now: number): boolean {
  if (!isSameSet(before.matchers, input.matchers)) return false
  const state = silenceState(before, now)
  switch (state) {
    case 'active':
      // By the second: some tools cut off the rest.
      return wholeSecond(before.startsAt) === wholeSecond(input.startsAt) && input.endsAt >= now
    case 'pending':
      return input.startsAt >= now
    case 'expired':
      return false
    default:
      return state satisfies never
  }
}

function startInPlace(before: Silence, input: SilenceInput, now: number): number {
  return silenceState(before, now) === 'active' ? before.startsAt : input.startsAt
}

/** Undefined when it has ended already. */
function endedAt(silence: Silence, now: number): Silence | undefined {
  const state = silenceState(silence, now)
  if (state === 'expired') return undefined
  const startsAt = state === 'pending' ? now : silence.startsAt
  return { ...silence, startsAt, endsAt: now, updatedAt: now }
}

function isSameSet(ones: readonly Matcher[], others: readonly Matcher[]): boolean {
  const holds = (set: readonly Matcher[], wanted: Matcher) => set.some((one) => isSameMatcher(one, wanted))
  return ones.every((one) => holds(others, one)) && others.every((other) => holds(ones, other))
}

function hasMatchers({ matchers }: Silence, filter: readonly Matcher[]): boolean {
  return filter.every((wanted) => matchers.some((matcher) => isSameMatcher(matcher, wanted)))
}

function wholeSecond(ms: number): number {
  return Math.floor(ms / 1_000)
}
