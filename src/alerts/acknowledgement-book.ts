// Who looks after which alert. An acknowledgement belongs to one episode of one alert: it ends with
// that, or when its time is up, and outlives restarts. Nothing is visible before it is saved.
//
// It never decides what an acknowledgement holds back: that is for notify/, which asks `of`.

import { formatDuration } from '../duration.ts'
import type { Alert } from './alert.ts'
import { type Acknowledgement, longestAuthor, longestComment, type SilenceStore } from './silence.ts'
import type { Judgement } from './silence-book.ts'

export interface AcknowledgementBook {
  /**
   * `until`: ms since 1970; null: until the alert resolves, or for as long as the configuration
   * allows. Takes the place of an earlier one. Rejects with AcknowledgementError, or with what
   * the store rejects with; then nothing was changed.
   */
  acknowledge(
    alert: Alert,
    input: { readonly by: string; readonly comment: string; readonly until: number | null },
  ): Promise<Acknowledgement>
  /** False: there was none. */
  withdraw(fingerprint: string): Promise<boolean>
  /** The one that counts at `at`: null when there is none, of another episode, or its time is up. */
  of(alert: Alert, at: number): Acknowledgement | null
  all(): Iterable<Acknowledgement>
  /**
   * Lets go of those whose episode or time is over, and returns them. `alertBy` finds an alert by
   * its fingerprint. Cost: one look at each acknowledgement.
   */
  tend(alertBy: (fingerprint: string) => Alert | undefined, at: number): Promise<readonly Acknowledgement[]>
  /** Takes a person out of them, as SilenceBook.forget does. */
  forget(
    judge: (acknowledgement: Acknowledgement) => Judgement<Pick<Acknowledgement, 'by' | 'comment'>>,
  ): Promise<number>
  /** `listener` is called after each saved change from now on. */
  subscribe(listener: () => void): void
  size(): number
}

/** The alert can't be acknowledged so. For people. */
export class AcknowledgementError extends Error {
  override readonly name = 'AcknowledgementError'
  readonly kind = 'invalid'
}

export interface AcknowledgementBookOptions {
  readonly clock: { now(): number }
  /** The longest that one may last; null: as long as the alert. */
  readonly maxDurationMs: number | null
}

/** Loads what is stored. */
export async function openAcknowledgementBook(
  store: SilenceStore,
  options: AcknowledgementBookOptions,
): Promise<AcknowledgementBook> {
  const { clock } = options
  const byFingerprint = new Map<string, Acknowledgement>()
  const listeners: (() => void)[] = []
  let lastChange: Promise<unknown> = Promise.resolve()
  for (const stored of await store.loadAcknowledgements()) byFingerprint.set(stored.fingerprint, stored)

  /** One change at a time, whether or not the one before succeeded. */
  function serially<T>(change: () => Promise<T>): Promise<T> {
    const done = lastChange.then(change)
    lastChange = done.catch(() => undefined)
    return done
  }

  async function save(
    upserts: readonly Acknowledgement[],
    deletedFingerprints: readonly string[],
  ): Promise<void> {
    await store.saveAcknowledgements({ upserts, deletedFingerprints })
    for (const acknowledgement of upserts) byFingerprint.set(acknowledgement.fingerprint, acknowledgement)
    for (const print of deletedFingerprints) byFingerprint.delete(print)
    for (const listener of listeners) listener()
  }

  return {
    acknowledge: (alert, { by, comment, until }) =>
      serially(async () => {
        const at = clock.now()
        const { maxDurationMs } = options
        check(alert, { by, comment, until }, { at, maxDurationMs })
        const longest = maxDurationMs === null ? null : at + maxDurationMs
        const { fingerprint, episode } = alert
        const acknowledgement = { fingerprint, episode, by, comment, at, until: until ?? longest }
        await save([acknowledgement], [])
        return acknowledgement
      }),

    withdraw: (fingerprint) =>
      serially(async () => {
        if (!byFingerprint.has(fingerprint)) return false
        await save([], [fingerprint])
        return true
      }),

    of(alert, at) {
      const acknowledgement = byFingerprint.get(alert.fingerprint)
      return acknowledgement !== undefined && counts(acknowledgement, alert, at) ? acknowledgement : null
    },

    all: () => byFingerprint.values(),

    tend: (alertBy, at) =>
      serially(async () => {
        const over = [...byFingerprint.values()].filter((acknowledgement) => {
          const alert = alertBy(acknowledgement.fingerprint)
          return alert === undefined || alert.state === 'resolved' || !counts(acknowledgement, alert, at)
        })
        if (over.length > 0) {
          await save(
            [],
            over.map(({ fingerprint }) => fingerprint),
          )
        }
        return over
      }),

    forget: (judge) =>
      serially(async () => {
        const upserts: Acknowledgement[] = []
        const deletedFingerprints: string[] = []
        for (const acknowledgement of byFingerprint.values()) {
          const judgement = judge(acknowledgement)
          if (judgement === 'remove') deletedFingerprints.push(acknowledgement.fingerprint)
          else if (judgement !== 'keep') upserts.push({ ...acknowledgement, ...judgement.words })
        }
        if (upserts.length + deletedFingerprints.length > 0) await save(upserts, deletedFingerprints)
        return upserts.length + deletedFingerprints.length
      }),

    subscribe(listener) {
      listeners.push(listener)
    },
    size: () => byFingerprint.size,
  }
}

function counts({ episode, until }: Acknowledgement, alert: Alert, at: number): boolean {
  return episode === alert.episode && (until === null || at < until)
}

function check(
  alert: Alert,
  { by, comment, until }: { by: string; comment: string; until: number | null },
  { at, maxDurationMs }: { at: number; maxDurationMs: number | null },
): void {
  if (alert.state === 'resolved') {
    throw new AcknowledgementError(
      `the alert ${alert.fingerprint} has resolved: there is nothing left to look after`,
    )
  }
  if (by === '') throw new AcknowledgementError('an acknowledgement needs to say who looks after the alert')
  if (by.length > longestAuthor) {
    throw new AcknowledgementError(`the author may have ${longestAuthor} characters, not ${by.length}`)
  }
  if (comment.length > longestComment) {
    throw new AcknowledgementError(`the comment may have ${longestComment} characters, not ${comment.length}`)
  }
  if (until === null) return
  if (!Number.isFinite(until)) throw new AcknowledgementError(`the end is no time: ${until}`)
  if (until <= at) {
    throw new AcknowledgementError(
      `the end (${instant(until)}) has to come after the present (${instant(at)})`,
    )
  }
  if (maxDurationMs !== null && until - at > maxDurationMs) {
    throw new AcknowledgementError(
      `an acknowledgement may last ${formatDuration(maxDurationMs)}: let it end by ` +
        `${instant(at + maxDurationMs)}, not at ${instant(until)}`,
    )
  }
}

/** Some numbers are finite and yet no date. */
function instant(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms)
}
