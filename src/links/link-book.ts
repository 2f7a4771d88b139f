// Which episodes of alerts got a link, and how far whoever followed it came. A record is saved before the
// link goes out, follows its alert (a link of an alert that resolved works a while longer), outlives
// restarts, and goes when no link of it can work any more. In memory are those that still can: some 600
// bytes each, of alerts that a message listed.
//
// It knows nothing of tokens (link-token.ts) nor of the partner.

import type { Alert } from '../alerts/alert.ts'
import type { AlertBook, Transition } from '../alerts/alert-book.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { StillWrong } from './link-desk.ts'
import type { LinkRecord, LinkStore } from './link-store.ts'

export interface LinkBook {
  /**
   * The record of an alert that gets a link, saved; made when there is none. Rejects with what the
   * store rejects with, and then no link may go out. The alert is about a device.
   */
  give(alert: Alert): Promise<LinkRecord>
  get(episode: string): LinkRecord | undefined
  /** Null: there is none, or no link of it works any more at `at`. */
  usable(episode: string, at: number): LinkRecord | null
  /** All about one device of which a link still may work. */
  ofDevice(device: Pick<DeviceSubject, 'userId' | 'deviceType' | 'deviceId'>): readonly LinkRecord[]
  all(): IterableIterator<LinkRecord>

  /** Somebody was sent on to the partner. False: somebody was before, and has not come back since. */
  started(episode: string, at: number): Promise<boolean>
  /** Somebody came back. False: nobody was sent, or that return is known already. */
  returned(episode: string, at: number): Promise<boolean>
  /** As `returned`, of somebody who came back without having done it. */
  cancelled(episode: string, at: number): Promise<boolean>
  /** A reading, this long after the return, showed that all is well. */
  verified(episode: string, afterMs: number): Promise<void>
  /** The checks after a return ended and found it still wrong. */
  checked(episode: string, found: { readonly at: number; readonly stillWrong: StillWrong }): Promise<void>

  /** When somebody came back from resolving this alert, if that was less than `withinMs` ago. */
  returnedAt(alert: Alert, at: number): number | null
  /** Its links lead nowhere from now on. False: there was none. */
  revoke(episode: string): Promise<boolean>
  /** As `revoke`, of every episode of one alert. */
  revokeAll(fingerprint: string): Promise<boolean>
  countOf(userId: string): number
  /** Erases what is kept about a user; the number of records. */
  forget(userId: string): Promise<number>
  /** Lets go of what cannot work any more; due every few seconds. */
  tend(at: number): Promise<void>
  /** Resolves when everything so far is saved, or could not be. */
  settled(): Promise<void>
  size(): number
}

export interface LinkBookOptions {
  readonly book: Pick<AlertBook, 'all' | 'byFingerprint' | 'subscribe'>
  readonly clock: { now(): number }
  /** May change while it runs. */
  readonly limits: () => { readonly lifetimeMs: number; readonly revokeAfterMs: number }
  /** How long after a return a reading counts as its consequence. */
  readonly withinMs: number
  /** A return led to what it was meant to: once for each. */
  readonly onVerified: (record: LinkRecord) => void
  /** What follows an alert could not be saved: it is in memory, and found again at the next start. */
  readonly onStorageError: (error: unknown) => void
}

// Clocks of several machines differ; see link-token.ts.
const minuteMs = 60_000
const skewMs = 5 * minuteMs

/** Loads what is stored, and brings it up to what became of the alerts since. */
export async function openLinkBook(store: LinkStore, options: LinkBookOptions): Promise<LinkBook> {
  const { book, clock, limits, withinMs } = options
  const byEpisode = new Map<string, LinkRecord>()
  /** Few devices have more than one. */
  const byDevice = new Map<string, Set<string>>()
  let lastChange: Promise<unknown> = Promise.resolve()

  for (const record of await store.loadLinks()) put(record)
  catchUp()
  book.subscribe(follow)

  function put(record: LinkRecord): void {
    const before = byEpisode.get(record.episode)
    byEpisode.set(record.episode, record)
    if (before?.verifiedAfterMs === null && record.verifiedAfterMs !== null) options.onVerified(record)
    const key = deviceKey(record)
    const episodes = byDevice.get(key)
    if (episodes === undefined) byDevice.set(key, new Set([record.episode]))
    else episodes.add(record.episode)
  }

  function remove(record: LinkRecord): void {
    byEpisode.delete(record.episode)
    const key = deviceKey(record)
    const episodes = byDevice.get(key)
    episodes?.delete(record.episode)
    if (episodes?.size === 0) byDevice.delete(key)
  }

  /** One change at a time, whether or not the one before succeeded. */
  function serially<T>(work: () => Promise<T>): Promise<T> {
    const done = lastChange.then(work)
    lastChange = done.catch(() => undefined)
    return done
  }

  /** Saves what `step` makes of the record as it is then; null: nothing is to be changed. */
  function change(episode: string, step: (record: LinkRecord) => LinkRecord | null): Promise<boolean> {
    return serially(async () => {
      const before = byEpisode.get(episode)
      const after = before === undefined ? null : step(before)
      if (after === null) return false
      await store.saveLinks({ upserts: [after], deletedEpisodes: [] })
      // An alert may have ended while it was saved: what that changed is in memory, and saved next.
      const meanwhile = byEpisode.get(episode)
      put(meanwhile === undefined || meanwhile === before ? after : (step(meanwhile) ?? meanwhile))
      return true
    })
  }

  // ---- what becomes of the alerts

  /** What the alerts did while nobody looked, or between their save and ours. */
  function catchUp(): void {
    const open = [...byEpisode.values()].filter(({ resolvedAt }) => resolvedAt === null)
    if (open.length === 0) return
    const episodes = new Map<string, Alert>()
    for (const alert of book.all()) if (byEpisode.has(alert.episode)) episodes.set(alert.episode, alert)
    for (const record of open) note(record, episodes.get(record.episode))
  }

  function follow(transitions: readonly Transition[]): void {
    for (const { before, after } of transitions) {
      const record = after === undefined ? undefined : byEpisode.get(after.episode)
      if (record === undefined || after === undefined) continue
      if (after.state === 'resolved') note(record, after)
      else if (before?.state === 'recovering' && after.state === 'firing') relapse(record)
    }
  }

  /** `alert` undefined: it is gone, and so has ended some time ago. */
  function note(record: LinkRecord, alert: Alert | undefined): void {
    if (record.resolvedAt !== null || (alert !== undefined && alert.state !== 'resolved')) return
    const resolvedAt = alert?.resolvedAt ?? clock.now()
    const { reconnectedAt = null, resolvedReason = null } = alert ?? {}
    const verifiedAfterMs = reconnectedAt === null ? record.verifiedAfterMs : resolvedAt - reconnectedAt
    keep({ ...record, resolvedAt, resolvedReason, verifiedAfterMs })
  }

  /** It was well for a moment only: what was verified then is no longer so. */
  function relapse(record: LinkRecord): void {
    if (record.verifiedAfterMs !== null) keep({ ...record, returnedAt: null, verifiedAfterMs: null })
  }

  /** The alert itself is saved already, so this counts at once and is saved when its turn has come. */
  function keep(record: LinkRecord): void {
    put(record)
    serially(async () => {
      const present = byEpisode.get(record.episode)
      if (present !== undefined) await store.saveLinks({ upserts: [present], deletedEpisodes: [] })
    }).catch(options.onStorageError)
  }

  // ---- what people do

  async function give(alert: Alert): Promise<LinkRecord> {
    if (alert.subject.kind !== 'device') throw new Error('a link is for a device')
    const { userId, deviceType, deviceId } = alert.subject
    const known = byEpisode.get(alert.episode)
    const at = clock.now()
    // As exact as the token says it.
    const expiresAt = Math.floor((at + limits().lifetimeMs) / minuteMs) * minuteMs
    // The same link in each message about an episode, unless half of its time is over.
    if (known !== undefined && known.expiresAt - at >= limits().lifetimeMs / 2) return known
    await serially(async () => {
      const present = byEpisode.get(alert.episode)
      if (present !== undefined && present.expiresAt >= expiresAt) return
      const record: LinkRecord =
        present === undefined
          ? {
              episode: alert.episode,
              fingerprint: alert.fingerprint,
              alertname: alert.labels['alertname'] ?? '',
              userId,
              deviceType,
              deviceId,
              manufacturer: alert.labels['manufacturer'] ?? 'unknown',
              since: alert.activeAt,
              givenAt: at,
              expiresAt,
              resolvedAt: null,
              resolvedReason: null,
              startedAt: null,
              returnedAt: null,
              cancelledAt: null,
              checkedAt: null,
              stillWrong: null,
              verifiedAfterMs: null,
              revokedAt: null,
            }
          : { ...present, expiresAt }
      await store.saveLinks({ upserts: [record], deletedEpisodes: [] })
      const meanwhile = byEpisode.get(alert.episode)
      put(meanwhile === undefined ? record : { ...meanwhile, expiresAt })
    })
    const record = byEpisode.get(alert.episode)
    if (record === undefined) throw new Error('the user of this link was erased meanwhile')
    // It may have ended before there was a record that could follow it.
    const present = book.byFingerprint(record.fingerprint)
    if (present?.episode !== record.episode || present.state === 'resolved') {
      note(record, present?.episode === record.episode ? present : undefined)
    }
    return byEpisode.get(alert.episode) ?? record
  }

  function isUsable({ resolvedAt, revokedAt, expiresAt }: LinkRecord, at: number): boolean {
    if (revokedAt !== null || at >= expiresAt + skewMs) return false
    return resolvedAt === null || at < resolvedAt + limits().revokeAfterMs
  }

  function revoke(episode: string): Promise<boolean> {
    return change(episode, (record) =>
      record.revokedAt === null ? { ...record, revokedAt: clock.now() } : null,
    )
  }

  function recordsOf(userId: string): readonly LinkRecord[] {
    return [...byEpisode.values()].filter((record) => record.userId === userId)
  }

  return {
    give,
    get: (episode) => byEpisode.get(episode),
    usable(episode, at) {
      const record = byEpisode.get(episode)
      return record !== undefined && isUsable(record, at) ? record : null
    },
    ofDevice: (device) =>
      [...(byDevice.get(deviceKey(device)) ?? [])].flatMap((episode) => byEpisode.get(episode) ?? []),
    all: () => byEpisode.values(),

    // A thousand clicks are one start.
    started: (episode, at) =>
      change(episode, (record) => {
        if (isStarted(record) && !isCancelled(record)) return null
        // Later than what it follows, even within one millisecond.
        const startedAt = Math.max(at, (record.returnedAt ?? 0) + 1, (record.cancelledAt ?? 0) + 1)
        const verifiedAfterMs = record.resolvedAt === null ? null : record.verifiedAfterMs
        return { ...record, startedAt, checkedAt: null, stillWrong: null, verifiedAfterMs }
      }),
    returned: (episode, at) =>
      change(episode, (record) => {
        const { resolvedAt, resolvedReason, startedAt } = record
        if (startedAt === null || !isStarted(record)) return null
        // What was read meanwhile may have shown it before the person was back.
        const wasSeen = resolvedAt !== null && resolvedReason === 'condition' && resolvedAt >= startedAt
        const verifiedAfterMs = wasSeen ? 0 : record.verifiedAfterMs
        return { ...record, returnedAt: Math.max(at, startedAt), verifiedAfterMs }
      }),
    cancelled: (episode, at) =>
      change(episode, (record) => {
        if (record.startedAt === null || !isStarted(record) || isCancelled(record)) return null
        return { ...record, cancelledAt: Math.max(at, record.startedAt) }
      }),
    async verified(episode, afterMs) {
      await change(episode, (record) =>
        record.verifiedAfterMs === null ? { ...record, verifiedAfterMs: afterMs, stillWrong: null } : null,
      )
    },
    async checked(episode, { at, stillWrong }) {
      await change(episode, (record) =>
        record.resolvedAt === null ? { ...record, checkedAt: at, stillWrong } : null,
      )
    },

    returnedAt({ episode }, at) {
      const returnedAt = byEpisode.get(episode)?.returnedAt ?? null
      return returnedAt !== null && at >= returnedAt && at - returnedAt < withinMs ? returnedAt : null
    },
    revoke,
    async revokeAll(fingerprint) {
      const theirs = [...byEpisode.values()].filter((record) => record.fingerprint === fingerprint)
      const revoked = await Promise.all(theirs.map(({ episode }) => revoke(episode)))
      return revoked.some(Boolean)
    },
    countOf: (userId) => recordsOf(userId).length,
    forget: (userId) =>
      serially(async () => {
        const theirs = recordsOf(userId)
        if (theirs.length === 0) return 0
        await store.saveLinks({ upserts: [], deletedEpisodes: theirs.map(({ episode }) => episode) })
        for (const record of theirs) remove(record)
        return theirs.length
      }),
    tend: (at) =>
      serially(async () => {
        // A revoked one is kept as long as its alert is open: a later message must not bring it back.
        const over = [...byEpisode.values()].filter((record) => {
          const isOver = record.resolvedAt !== null && at >= record.resolvedAt + limits().revokeAfterMs
          return isOver || at >= record.expiresAt + skewMs
        })
        if (over.length === 0) return
        await store.saveLinks({ upserts: [], deletedEpisodes: over.map(({ episode }) => episode) })
        for (const record of over) remove(record)
      }),
    settled: async () => void (await lastChange),
    size: () => byEpisode.size,
  }
}

function deviceKey({
  userId,
  deviceType,
  deviceId,
}: Pick<DeviceSubject, 'userId' | 'deviceType' | 'deviceId'>): string {
  return `${userId}/${deviceType}/${deviceId}`
}

/** Somebody was sent to the partner, and has not come back since. */
function isStarted({ startedAt, returnedAt }: LinkRecord): boolean {
  return startedAt !== null && (returnedAt === null || startedAt > returnedAt)
}

/** Since somebody was last sent there. */
function isCancelled({ startedAt, cancelledAt }: LinkRecord): boolean {
  return cancelledAt !== null && cancelledAt >= (startedAt ?? 0)
}
