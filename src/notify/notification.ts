// The vocabulary of delivery: what is told to whom, why, and how an attempt ended.

import type { Alert, Labels } from '../alerts/alert.ts'
import type { Acknowledgement } from '../alerts/silence.ts'

/** Why a message goes out now (alerting-semantics section 6); it is printed in the message. */
export type NotificationReason =
  | 'first notification'
  | 'new alerts'
  | 'some resolved'
  | 'all resolved'
  | 'repeat'
  /** It fired, and resolved before any attempt to say so succeeded: told once, as resolved. */
  | 'resolved before delivery'
  /** Told before, silenced meanwhile, and still firing now that the silence is over. */
  | 'silence ended'
  /** What was told and silenced has resolved meanwhile: told quietly. */
  | 'resolved while silenced'
  /** It fires and resolves again and again: told once, then only its final state. */
  | 'flapping'
  /** Acknowledged some hours ago, and still firing. */
  | 'acknowledged reminder'

/** One message to one integration of one receiver, about one group of alerts. */
export interface Notification {
  readonly groupKey: string
  readonly groupLabels: Labels
  /** Names the route that led here, as Alertmanager does: `{}/{severity="critical"}`. */
  readonly routeKey: string
  readonly receiver: string
  readonly reason: NotificationReason
  /** `firing` while any member fires. */
  readonly status: 'firing' | 'resolved'
  /** Members that fire, oldest first. */
  readonly firing: readonly Alert[]
  /** Members that resolved since this integration was last told, oldest first. */
  readonly resolved: readonly Alert[]
  /** Who looks after which of `firing`, by fingerprint. */
  readonly acknowledged: ReadonlyMap<string, Acknowledgement>
  /** The group's tick at which it was decided (ms since 1970). */
  readonly at: number
}

/** A link that resolves one alert. Whoever holds the partner's own link acts for the customer. */
export interface AlertLink {
  readonly url: string
  /** When the link stops working (ms since 1970), null: not known, or it does not. */
  readonly validUntil: number | null
}

/** Finds the link for an alert when its message is rendered; null when there is none to give. */
export type LinkSource = (alert: Alert, signal: AbortSignal) => Promise<AlertLink | null>

export interface SendContext {
  readonly signal: AbortSignal
  /** Recipients that an earlier attempt at this same message has reached already. */
  readonly delivered: readonly string[]
  /** What this integration gave back after the last message about this group; null: nothing, or the first. */
  readonly receiverData: string | null
  readonly linkFor: LinkSource
}

/** How an attempt ended (alerting-semantics section 9). */
export type SendOutcome =
  /**
   * `refused`: recipients that will never get it; the others have it. `receiverData`: to be given back
   * with the group's next message, such as where in Slack the message stands; holds no secret.
   */
  | { readonly kind: 'ok'; readonly refused?: readonly string[]; readonly receiverData?: string }
  /** Worth another attempt. `delivered`: recipients reached so far, who must not get it again. */
  | {
      readonly kind: 'retry'
      readonly reason: string
      readonly delivered?: readonly string[]
      /** As with ok: what was reached before it failed. */
      readonly receiverData?: string
    }
  | { readonly kind: 'rate_limited'; readonly retryAfterMs: number | null }
  /** Will not succeed until somebody changes something: the channel is gone, the token is invalid. */
  | { readonly kind: 'permanent'; readonly reason: string }

/** One configured way to reach people: one entry of `slack_configs`, say. One file each in receivers/. */
export interface Integration {
  readonly receiver: string
  readonly kind: string
  /** Position in its receiver's list of this kind, from 0. */
  readonly index: number
  readonly sendResolved: boolean
  /** At least this long between two messages (ms); Slack allows one a second. */
  readonly minimumSpacingMs: number
  /** Never rejects; gives up when the signal aborts. Reasons hold no secret. */
  send(notification: Notification, context: SendContext): Promise<SendOutcome>
  /** Ends what is under way. May be called again. */
  close(): Promise<void>
}
