// What happened to an alert while it is kept: which states it went through, and which messages had news
// of it. For people who ask for its story; nothing is decided by it, so what cannot be saved is told as
// an error and left out.
//
// An event of the same kind within one episode is one record, with how often and when last: however
// often an alert recovers and fires again, its history stays as short as there are kinds of events. It
// goes when the alert goes. It holds nothing of a person but the user's id, as the alert does.

import { type Alert, type AlertState, isFiring, type TransitionReason } from './alert.ts'
import type { AlertBook, Transition } from './alert-book.ts'

export type HistoryWhat =
  | { readonly kind: 'state'; readonly state: AlertState; readonly reason: TransitionReason }
  /** A message that had news of it arrived. `integration`: kind and position, such as `slack/0`. */
  | {
      readonly kind: 'told'
      readonly status: 'firing' | 'resolved'
      readonly reason: string
      readonly receiver: string
      readonly integration: string
    }

/** Instants in ms since 1970. */
export interface HistoryRecord {
  readonly episode: string
  readonly what: HistoryWhat
  readonly firstAt: number
  readonly lastAt: number
  readonly times: number
}

export type HistoryChange =
  | {
      readonly kind: 'add'
      readonly fingerprint: string
      readonly episode: string
      /** Null: it is about nobody. */
      readonly userId: string | null
      readonly what: HistoryWhat
      readonly at: number
    }
  /** What of this alert last happened before `before` goes. */
  | { readonly kind: 'remove'; readonly fingerprint: string; readonly before: number }

/** What the history needs of a database. Each call is one transaction. */
export interface HistoryStore {
  /** In this order. What is added and there already counts once more. */
  saveHistory(changes: readonly HistoryChange[]): Promise<void>
  /** Of one alert, as it happened. */
  loadHistory(fingerprint: string): Promise<readonly HistoryRecord[]>
  /** How many records `forgetHistory` would remove. */
  countHistory(userId: string): Promise<number>
  /** Removes what is known of a user's alerts; how many records that were. */
  forgetHistory(userId: string): Promise<number>
}

export interface AlertHistory {
  /** Of one alert, as it happened, with all that was added before. */
  of(fingerprint: string): Promise<readonly HistoryRecord[]>
  /** Nothing, when the alert has gone meanwhile. */
  add(alert: Alert, what: HistoryWhat, at: number): void
  count(userId: string): Promise<number>
  forget(userId: string): Promise<number>
  /** Resolves when all that was added is saved, or could not be. */
  saved(): Promise<void>
}

// So that other writes get their turn while an outage is taken down.
const mostPerSave = 2_000
// What an alert went through before its present episode is kept for so long.
const earlierEpisodesMs = 24 * 3_600_000

/** Follows the book from now on. */
export function createHistory({
  store,
  book,
  onError,
}: {
  readonly store: HistoryStore
  readonly book: Pick<AlertBook, 'subscribe' | 'byFingerprint'>
  readonly onError: (error: unknown) => void
}): AlertHistory {
  let waiting: HistoryChange[] = []
  let saving: Promise<void> | null = null

  function push(change: HistoryChange): void {
    waiting.push(change)
    saving ??= save().finally(() => {
      saving = null
    })
  }

  async function save(): Promise<void> {
    // What belongs to one commit is saved together.
    await Promise.resolve()
    while (waiting.length > 0) {
      const some = waiting.slice(0, mostPerSave)
      waiting = waiting.slice(mostPerSave)
      await store.saveHistory(some).catch(onError)
    }
  }

  async function saved(): Promise<void> {
    while (saving !== null) await saving
  }

  function add({ fingerprint, episode, subject }: Alert, what: HistoryWhat, at: number): void {
    if (book.byFingerprint(fingerprint) === undefined) return
    const userId = subject.kind === 'fleet' ? null : subject.userId
    push({ kind: 'add', fingerprint, episode, userId, what, at })
  }

  function take({ before, after }: Transition): void {
    if (after === undefined) {
      // Another alert may have its labels by now, and with them its story.
      const isGone = before !== undefined && book.byFingerprint(before.fingerprint) === undefined
      if (isGone) push({ kind: 'remove', fingerprint: before.fingerprint, before: Number.POSITIVE_INFINITY })
      return
    }
    const isSame = before?.episode === after.episode && before.state === after.state
    if (isSame) return
    const at = changedAt(before, after)
    if (before !== undefined && before.episode !== after.episode) {
      push({ kind: 'remove', fingerprint: after.fingerprint, before: at - earlierEpisodesMs })
    }
    add(after, { kind: 'state', state: after.state, reason: after.resolvedReason ?? 'condition' }, at)
  }

  book.subscribe((transitions) => transitions.forEach(take))

  return {
    async of(fingerprint) {
      await saved()
      return store.loadHistory(fingerprint)
    },
    add,
    async count(userId) {
      await saved()
      return store.countHistory(userId)
    },
    async forget(userId) {
      await saved()
      return store.forgetHistory(userId)
    },
    saved,
  }
}

function changedAt(before: Alert | undefined, after: Alert): number {
  // It fires again, or goes back to pending since its rule waits longer now.
  if (
    before !== undefined &&
    isFiring(before) &&
    after.state !== 'recovering' &&
    after.state !== 'resolved'
  ) {
    return after.evaluatedAt
  }
  switch (after.state) {
    case 'pending':
      return after.activeAt
    case 'firing':
      return after.firedAt ?? after.evaluatedAt
    case 'recovering':
      return after.keepFiringSince ?? after.evaluatedAt
    case 'resolved':
      return after.resolvedAt ?? after.evaluatedAt
    default:
      return after.state satisfies never
  }
}
