// What stands behind a link of ours when somebody opens it: types only. The pages of http/ ask, the wiring
// answers. A token that is forged, expired, revoked or over is null everywhere, and the pages answer all
// of them alike.

import type { Actor } from '../actor.ts'
import type { DeviceType } from '../fleet/device.ts'
import type { Secret } from '../secret.ts'
import type { LinkPurpose } from './link-token.ts'

/** What a page may show: nothing that names the customer. Instants in ms since 1970. */
export interface LinkView {
  readonly purpose: Exclude<LinkPurpose, 'unsubscribe'>
  readonly deviceType: DeviceType
  /** `unknown` where it is not told. */
  readonly manufacturer: string
  /** What is wrong, as the alert is named. */
  readonly alertname: string
  readonly since: number
  readonly progress: LinkProgress
  /** Where the person may go on to when it is done; null: nowhere in particular. */
  readonly successUrl: string | null
}

/** How far the way from the link to a verified reconnection is gone. */
export type LinkProgress =
  /** It fires, and nobody has come back from the partner since it does. */
  | { readonly kind: 'open' }
  /** Somebody came back at `returnedAt`, and the device is read again and again until `until`. */
  | { readonly kind: 'checking'; readonly returnedAt: number; readonly until: number }
  /** The checks have ended and it is still wrong. */
  | { readonly kind: 'still_wrong'; readonly reason: StillWrong; readonly checkedAt: number }
  /** It is over. `verifiedAfterMs`: from the person's return to the reading that showed it; null: it ended otherwise. */
  | { readonly kind: 'resolved'; readonly resolvedAt: number; readonly verifiedAfterMs: number | null }

export type StillWrong = 'not_authenticated' | 'action_pending' | 'unread' | 'gone'

/** What became of pressing the button. */
export type StartOutcome =
  /** Send the browser there. The URL acts for the customer: it goes into the answer's Location and nowhere else. */
  | { readonly kind: 'redirect'; readonly url: Secret }
  | { readonly kind: 'healthy'; readonly view: LinkView }
  /** The partner no longer has the device. */
  | { readonly kind: 'gone'; readonly view: LinkView }
  /** Nothing that this link could open: what is pending has no link. */
  | { readonly kind: 'nothing_to_open'; readonly view: LinkView; readonly codes: readonly string[] }
  | { readonly kind: 'rate_limited'; readonly view: LinkView; readonly retryAfterMs: number }
  /** The partner could not be asked. */
  | { readonly kind: 'unavailable'; readonly view: LinkView }
  /** The partner's answer leads to a host that is not allowed. */
  | { readonly kind: 'refused_host'; readonly view: LinkView }

export interface LinkVisit {
  readonly actor: Actor
  /** What the person reads: pages exist in these. */
  readonly language: LinkLanguage
}

export const linkLanguages = ['en', 'de'] as const
export type LinkLanguage = (typeof linkLanguages)[number]

export interface LinkDesk {
  /** Reads memory and database alone, never the partner: for GET and HEAD. Counts as shown when `isShown`. */
  look(token: string, options: { readonly isShown: boolean }): Promise<LinkView | null>
  /** Reads the device, mints a fresh link at the partner unless there is one that still works. */
  start(token: string, visit: LinkVisit): Promise<StartOutcome | null>
  /** The person came back from the partner's page: begins to read the device again. */
  returned(token: string): Promise<LinkView | null>
  /** The person came back without having done it. */
  cancelled(token: string): Promise<LinkView | null>
}
