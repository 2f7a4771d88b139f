// What the pages of links say: which pages there are, and what each language has to fill in. Staff are told
// an alert by its name; an owner is told in plain words what is the matter, and nothing of alerts.

import type { DeviceType } from '../fleet/device.ts'
import type { LinkProgress, LinkView, StartOutcome } from '../links/link-desk.ts'

/** What a page of a link is about. */
export type Situation =
  | LinkProgress
  | { readonly kind: 'cancelled' }
  | WithoutView<Exclude<StartOutcome, { readonly kind: 'redirect' }>>

type WithoutView<Outcome> = Outcome extends unknown ? Omit<Outcome, 'view'> : never

/** Pages that know nothing of a device. */
export type Notice =
  | 'not_found'
  | 'method_not_allowed'
  | 'cross_site'
  | 'too_large'
  | 'not_a_form'
  | 'internal_error'

export interface PageText {
  /** The state in a word or two: what the colour says as well. */
  readonly badge: string
  readonly heading: string
  readonly text: readonly string[]
  /** What happens when the button is pressed. */
  readonly steps?: readonly string[]
  /** The button. */
  readonly action?: string
}

/** A sentence with an instant in it, in three pieces: that in the middle is the instant. */
export type SentenceWithTime = readonly [before: string, instant: string, after: string]

export interface LinkPageWords {
  text(view: LinkView, situation: Situation, now: number): PageText
  notice(notice: Notice): PageText
  /** `Daikin heat pump`. */
  device(view: LinkView): string
  /** For staff. */
  alert(view: LinkView): string
  since(view: LinkView, now: number): SentenceWithTime
  /** For an alert that is over; null: nothing to say. */
  lasted(view: LinkView, resolvedAt: number): string | null
  readonly stepsTitle: string
  readonly checkingBar: string
  readonly refreshing: string
  readonly stopRefreshing: string
  readonly refresh: string
  /** Leads on to `view.successUrl`. */
  readonly goOn: string
  readonly footer: Readonly<Record<LinkView['purpose'], string>>
  readonly unsubscribe: Readonly<Record<'ask' | 'done', PageText>>
}

/** What an owner is told is the matter. */
export type OwnerTopic = 'connection' | 'step' | 'silent' | 'steering' | 'other'

const ownerTopics: ReadonlyMap<string, OwnerTopic> = new Map([
  ['DeviceUnauthenticated', 'connection'],
  ['DeviceActionPending', 'step'],
  ['DeviceConnectionError', 'silent'],
  ['DeviceMonitoringError', 'silent'],
  ['DeviceNoData', 'silent'],
  ['HeatPumpStateStale', 'silent'],
  ['InverterStateStale', 'silent'],
  ['VehicleStateStale', 'silent'],
  ['WallboxStateStale', 'silent'],
  ['DeviceSteeringError', 'steering'],
  ['OptimisationInactive', 'steering'],
])

/** By the names of the shipped rules; an operator's own are `other`. */
export function ownerTopicOf({ alertname }: Pick<LinkView, 'alertname'>): OwnerTopic {
  return ownerTopics.get(alertname) ?? 'other'
}

/**
 * Text that came from the partner or from rules, as one line of at most `most` characters: without what
 * could turn the direction of the words around it, or hide.
 */
export function shown(text: string, most = 80): string {
  const characters = [
    ...text
      .toWellFormed()
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ')
      .trim(),
  ]
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : characters.join('')
}

/** Null where it is not told. */
export function makerOf({ manufacturer }: Pick<LinkView, 'manufacturer'>): string | null {
  const maker = shown(manufacturer)
  return maker === '' || maker === 'unknown' ? null : maker
}

export interface Span {
  readonly count: number
  readonly unit: 'minute' | 'hour' | 'day'
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

/** In the largest unit that fits twice, or once for minutes, cut off; null: less than a minute. */
export function spanOf(ms: number): Span | null {
  if (ms < minuteMs) return null
  if (ms < hourMs) return { count: Math.floor(ms / minuteMs), unit: 'minute' }
  if (ms < 2 * dayMs) return { count: Math.floor(ms / hourMs), unit: 'hour' }
  return { count: Math.floor(ms / dayMs), unit: 'day' }
}

/** Rounded up, for what somebody has to wait. */
export function waitOf(ms: number): Span {
  return spanOf(Math.ceil(ms / minuteMs) * minuteMs) ?? { count: 1, unit: 'minute' }
}

/** `40 s`, `3 min`: the same in both languages. */
export function stopwatch(ms: number): string {
  return ms < 2 * minuteMs ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / minuteMs)} min`
}

/** An instant as people write it, in UTC: the reader's zone is not known. Its year is told unless it is this one. */
export function createDates(locale: string): {
  /** `27 Nov, 14:05 UTC` */
  instant(at: number, now: number): string
  /** `27 November` */
  day(at: number, now: number): string
} {
  const format = (options: Intl.DateTimeFormatOptions) => {
    const short = new Intl.DateTimeFormat(locale, { ...options, timeZone: 'UTC' })
    const long = new Intl.DateTimeFormat(locale, { ...options, year: 'numeric', timeZone: 'UTC' })
    return (at: number, now: number) => {
      const isThisYear = new Date(at).getUTCFullYear() === new Date(now).getUTCFullYear()
      return (isThisYear ? short : long).format(at)
    }
  }
  const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
  const instant = format({ day: 'numeric', month: 'short', ...clock })
  return {
    instant: (at, now) => `${instant(at, now)}\u{a0}UTC`,
    day: format({ day: 'numeric', month: 'long' }),
  }
}

/** The words for the types of devices differ by language; that every type has some does not. */
export type DeviceWords<Forms> = Readonly<Record<DeviceType, Forms>>
