// What is kept of a link that went out in a message, and what that needs of a database.

import type { TransitionReason } from '../alerts/alert.ts'
import type { DeviceType } from '../fleet/device.ts'
import type { StillWrong } from './link-desk.ts'

/**
 * One episode of an alert that got a link, and how far whoever followed it came. It holds ids and no
 * personal data, and nothing that a link could be made from. Instants are ms since 1970; null: it has not
 * happened.
 */
export interface LinkRecord {
  readonly episode: string
  /** Of the alert. */
  readonly fingerprint: string
  readonly alertname: string
  readonly userId: string
  readonly deviceType: DeviceType
  readonly deviceId: string
  /** `unknown` where it is not told. */
  readonly manufacturer: string
  /** When the alert's condition was first seen. */
  readonly since: number
  readonly givenAt: number
  /** When the last link that was given of it expires. */
  readonly expiresAt: number
  readonly resolvedAt: number | null
  readonly resolvedReason: TransitionReason | null
  /** When somebody was last sent on to the partner. */
  readonly startedAt: number | null
  readonly returnedAt: number | null
  readonly cancelledAt: number | null
  /** When the checks that followed a return ended, and what they found wrong to the last. */
  readonly checkedAt: number | null
  readonly stillWrong: StillWrong | null
  /** From the return to the reading that showed that all is well. */
  readonly verifiedAfterMs: number | null
  readonly revokedAt: number | null
}

/** Each call is one transaction. */
export interface LinkStore {
  /** In no order. */
  loadLinks(): Promise<readonly LinkRecord[]>
  saveLinks(changes: LinkChanges): Promise<void>
}

export interface LinkChanges {
  readonly upserts: readonly LinkRecord[]
  readonly deletedEpisodes: readonly string[]
}
