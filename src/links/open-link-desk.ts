// The LinkDesk: what happens when somebody opens a link of ours, presses its button, and comes back. It
// decides who is let in and what to tell them; reading, minting and checking are done by others.
//
// Looking asks memory alone. Only a press reaches the partner, and so often and no more (link-limits.ts).

import { isFiring } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { Secret } from '../secret.ts'
import type { FreshReadings } from './fresh-readings.ts'
import type { LinkBook } from './link-book.ts'
import type { LinkDesk, LinkProgress, LinkView, LinkVisit, StartOutcome } from './link-desk.ts'
import type { LinkLimits } from './link-limits.ts'
import type { LinkRecord } from './link-store.ts'
import type { LinkSigner } from './link-token.ts'
import type { Minting } from './minting.ts'
import { isWell, openingOf, pendingCodes, unknownParametersOf } from './opening.ts'
import { checkForMs, type Verification } from './verification.ts'

/** How far people come, in the order of the way. */
export type LinkStage = 'shown' | 'started' | 'returned' | 'verified' | 'failed' | 'cancelled'

/** What is pending where a link has nothing to open. */
export interface NothingToOpen {
  readonly codes: readonly string[]
  /** Parameters that it requires and we do not know. */
  readonly unknownParameters: readonly string[]
}

export interface LinkDeskOptions {
  readonly clock: Clock
  /** Without a slash at its end. */
  readonly publicUrl: string
  readonly successUrl: () => string | null
  readonly signer: () => LinkSigner
  readonly links: LinkBook
  readonly book: Pick<AlertBook, 'byFingerprint'>
  readonly readings: FreshReadings
  readonly minting: Minting
  readonly verification: Verification
  readonly limits: LinkLimits
  readonly onVisit: (stage: LinkStage, record: LinkRecord) => void
  readonly onNothingToOpen: (record: LinkRecord, pending: NothingToOpen) => void
  /** Something failed that should not have. */
  readonly onFault: (error: unknown) => void
}

// Whoever comes back waits this long (in real time) for the first reading to show how it went.
const firstReadingMs = 3_000

interface Admitted {
  readonly token: string
  readonly purpose: LinkView['purpose']
  readonly record: LinkRecord
  readonly device: DeviceSubject
}

export function openLinkDesk(options: LinkDeskOptions): LinkDesk {
  const { clock, links, readings, minting, verification, limits, onVisit } = options

  /** Null for whatever is wrong with it: who tries tokens learns nothing. */
  function admit(token: string): Admitted | null {
    const now = clock.now()
    const claim = options.signer().verify(token, now)
    if (claim === null || claim.purpose === 'unsubscribe') return null
    const record = links.usable(claim.id, now)
    if (record === null) return null
    const { userId, deviceType, deviceId } = record
    return { token, purpose: claim.purpose, record, device: { kind: 'device', userId, deviceType, deviceId } }
  }

  /** As it is by now: what was done meanwhile shows. */
  function viewOf({ purpose, record }: Admitted): LinkView {
    const now = clock.now()
    const present = links.usable(record.episode, now) ?? record
    const { deviceType, manufacturer, alertname, since } = present
    const progress = progressOf(present)
    return { purpose, deviceType, manufacturer, alertname, since, progress, successUrl: options.successUrl() }
  }

  async function start(token: string, visit: LinkVisit): Promise<StartOutcome | null> {
    const admitted = admit(token)
    if (admitted === null) return null
    try {
      return await open(admitted, visit)
    } catch (error) {
      options.onFault(error)
      return { kind: 'unavailable', view: viewOf(admitted) }
    }
  }

  async function open(admitted: Admitted, visit: LinkVisit): Promise<StartOutcome> {
    const { device, purpose, record, token } = admitted
    const view = () => viewOf(admitted)
    let isPaid = false
    if (!readings.isAtHand(device)) {
      const taken = limits.take(record.episode)
      if (!taken.ok) return keptOrLater(admitted, taken.retryAfterMs)
      isPaid = true
    }

    const read = await readings.take(device)
    if (read.kind === 'unread') return { kind: 'unavailable', view: view() }
    if (read.kind === 'absent') return { kind: 'gone', view: view() }
    const opening = openingOf(read.reading.device)
    if (opening === null) {
      minting.drop(device)
      const codes = pendingCodes(read.reading.device)
      const isOver = codes.length === 0 || !isStillFiring(record)
      if (isWell(read.reading.device) && isOver) return { kind: 'healthy', view: view() }
      options.onNothingToOpen(record, { codes, unknownParameters: unknownParametersOf(read.reading.device) })
      return { kind: 'nothing_to_open', view: view(), codes }
    }

    if (!isPaid && !minting.isAtHand({ device, opening, purpose })) {
      const taken = limits.take(record.episode)
      if (!taken.ok) return keptOrLater(admitted, taken.retryAfterMs)
    }
    const { episode, fingerprint, alertname } = record
    const back = `${options.publicUrl}/r/${token}`
    const minted = await minting.mint({
      ...{ device, opening, purpose, alert: { episode, fingerprint, alertname } },
      ...{ actor: visit.actor, language: visit.language },
      returnUrls: { successUrl: `${back}/back`, cancelUrl: `${back}/cancelled` },
    })
    switch (minted.kind) {
      case 'minted':
        return sendOn(admitted, minted.url)
      case 'refused_host':
        return { kind: 'refused_host', view: view() }
      case 'unavailable':
        // The reading's link may be used up: the next press gets another.
        readings.drop(device)
        return { kind: 'unavailable', view: view() }
      default:
        return minted satisfies never
    }
  }

  /** What costs the partner nothing needs no patience. */
  async function keptOrLater(admitted: Admitted, retryAfterMs: number): Promise<StartOutcome> {
    const kept = minting.kept(admitted.device, admitted.purpose)
    if (kept !== null) return sendOn(admitted, kept)
    return { kind: 'rate_limited', view: viewOf(admitted), retryAfterMs }
  }

  async function sendOn({ record }: Admitted, url: Secret): Promise<StartOutcome> {
    try {
      if (await links.started(record.episode, clock.now())) onVisit('started', record)
    } catch (error) {
      // Rechecks will see what comes of it: that it cannot be noted must not hold up the person.
      options.onFault(error)
    }
    return { kind: 'redirect', url }
  }

  function isStillFiring({ fingerprint, episode }: LinkRecord): boolean {
    const alert = options.book.byFingerprint(fingerprint)
    return alert?.episode === episode && isFiring(alert) && alert.state !== 'recovering'
  }

  async function returned(token: string): Promise<LinkView | null> {
    const admitted = admit(token)
    if (admitted === null) return null
    const { device, record } = admitted
    try {
      const at = clock.now()
      if (await links.returned(record.episode, at)) {
        onVisit('returned', record)
        // A URL that was minted for one link of the device may have been given to those of others.
        for (const { episode } of links.ofDevice(device)) await links.returned(episode, at)
        // Used up, one way or the other.
        minting.drop(device)
        const late = Promise.withResolvers<void>()
        const patience = AbortSignal.timeout(firstReadingMs)
        patience.addEventListener('abort', () => late.resolve(), { once: true })
        await Promise.race([verification.begin(device), late.promise])
      }
    } catch (error) {
      options.onFault(error)
    }
    return viewOf(admitted)
  }

  async function cancelled(token: string): Promise<LinkView | null> {
    const admitted = admit(token)
    if (admitted === null) return null
    try {
      if (await links.cancelled(admitted.record.episode, clock.now())) onVisit('cancelled', admitted.record)
    } catch (error) {
      options.onFault(error)
    }
    return viewOf(admitted)
  }

  return {
    async look(token, { isShown }) {
      const admitted = admit(token)
      if (admitted === null) return null
      if (isShown) onVisit('shown', admitted.record)
      return viewOf(admitted)
    },
    start,
    returned,
    cancelled,
  }
}

function progressOf(record: LinkRecord): LinkProgress {
  const { resolvedAt, startedAt, returnedAt, verifiedAfterMs, checkedAt, stillWrong } = record
  if (resolvedAt !== null) return { kind: 'resolved', resolvedAt, verifiedAfterMs }
  if (returnedAt === null || (startedAt !== null && startedAt > returnedAt)) return { kind: 'open' }
  // The rule has the last word on the alert; for whoever came back it is done.
  if (verifiedAfterMs !== null) {
    return { kind: 'resolved', resolvedAt: returnedAt + verifiedAfterMs, verifiedAfterMs }
  }
  if (stillWrong !== null)
    return { kind: 'still_wrong', reason: stillWrong, checkedAt: checkedAt ?? returnedAt }
  return { kind: 'checking', returnedAt, until: returnedAt + checkForMs }
}
