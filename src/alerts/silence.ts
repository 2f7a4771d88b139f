// The vocabulary of what people decide about alerts: silences and acknowledgements. Neither changes
// an alert; they change who is told of it.
//
// Here is also what a silence may be, whoever asks for it: Alertmanager's rules, and the limits that
// keep one person's text from filling everybody's database. silence-book.ts keeps them.

import { formatDuration, parseDuration } from '../duration.ts'
import { formatMatchers, type Matcher } from '../matcher.ts'
import type { Labels } from './alert.ts'

/** When a silence ends before its time. */
export type SilenceExpiry =
  /** With the last alert that it matched. */
  | { readonly kind: 'resolved' }
  /** When it has matched nothing for so long. */
  | { readonly kind: 'unmatched'; readonly forMs: number }

export type SilenceState = 'pending' | 'active' | 'expired'

/** All instants in ms since 1970. Immutable: a change is a new object with the same id. */
export interface Silence {
  /** A UUID. */
  readonly id: string
  /** At least one; an alert has to match all of them. */
  readonly matchers: readonly Matcher[]
  readonly startsAt: number
  readonly endsAt: number
  /** When somebody or its expiry last changed it; what is only noted below does not count. */
  readonly updatedAt: number
  readonly createdBy: string
  readonly comment: string
  /** What tools attach; `expire_when` holds `expiry` in words (`resolved`, `unmatched_for: 1h`). */
  readonly annotations: Labels
  readonly expiry: SilenceExpiry | null
  /** When somebody was reminded of its end; null: not yet. */
  readonly remindedAt: number | null
  /**
   * When it last matched an active alert; null: never since it began, or it has no expiry, and
   * nobody looked. While it matches (`unmatchedSince` null) this is when it began to.
   */
  readonly lastMatchedAt: number | null
  /** Since when it has matched nothing; null: it matches, or nobody looked yet. */
  readonly unmatchedSince: number | null
}

/** A silence as it is stored. Its matchers are words: a later version may not take them any more. */
export interface StoredSilence extends Omit<Silence, 'matchers'> {
  readonly matchers: readonly Pick<Matcher, 'name' | 'operator' | 'value'>[]
}

/** Somebody looks after an alert: no repeats until it ends, resolves, or the time is up. */
export interface Acknowledgement {
  readonly fingerprint: string
  /** It dies with the episode. */
  readonly episode: string
  readonly by: string
  readonly comment: string
  readonly at: number
  /** Null: until it resolves. */
  readonly until: number | null
}

/** What silences and acknowledgements need of a database. Each call is one transaction. */
export interface SilenceStore {
  loadSilences(): Promise<readonly StoredSilence[]>
  saveSilences(changes: {
    readonly upserts: readonly StoredSilence[]
    readonly deletedIds: readonly string[]
  }): Promise<void>
  loadAcknowledgements(): Promise<readonly Acknowledgement[]>
  saveAcknowledgements(changes: {
    readonly upserts: readonly Acknowledgement[]
    readonly deletedFingerprints: readonly string[]
  }): Promise<void>
}

/** `invalid`: the silence can't be as it was asked for. `not_found`: no silence has the id. For people. */
export class SilenceError extends Error {
  override readonly name = 'SilenceError'
  readonly kind: 'invalid' | 'not_found'

  constructor(kind: 'invalid' | 'not_found', message: string) {
    super(message)
    this.kind = kind
  }
}

/** What somebody asks for. Instants in ms since 1970. */
export interface SilenceInput {
  /** Of the silence to change; without one, or with '', a new silence is made. */
  readonly id?: string
  readonly matchers: readonly Matcher[]
  /** One in the past stands for now. */
  readonly startsAt: number
  readonly endsAt: number
  /** Both may be empty, as in Alertmanager. */
  readonly createdBy: string
  readonly comment: string
  /** Without them a silence that is changed keeps its own: a tool that knows of none removes none. */
  readonly annotations?: Labels
  /** Left out: as the annotation `expire_when` says. Null: none, whatever that says. */
  readonly expiry?: SilenceExpiry | null
}

/** Longest texts, in UTF-16 units. */
export const longestAuthor = 256
export const longestComment = 4_096
const longestAnnotations = 16_384
const longestMatchers = 32_768
const mostMatchers = 128
// The last instant that has a date (ECMA-262, time values).
const lastInstant = 8.64e15

export function silenceState({ startsAt, endsAt }: Silence, at: number): SilenceState {
  if (at < startsAt) return 'pending'
  return at < endsAt ? 'active' : 'expired'
}

/**
 * Throws SilenceError `invalid` when a silence may not be so, in Alertmanager's order: matchers,
 * times, then our limits. How long it lasts is asked later, of its true start: see checkDuration.
 */
export function checkSilence(input: SilenceInput, now: number): void {
  const { matchers, startsAt, endsAt, createdBy, comment, annotations = {} } = input
  if (matchers.length === 0) throw invalid('a silence needs at least one matcher, such as device_id="17"')
  if (matchers.length > mostMatchers) {
    throw invalid(`a silence may have ${mostMatchers} matchers, not ${matchers.length}`)
  }
  const written = formatMatchers(matchers)
  checkLength('matchers', written.length, longestMatchers)
  if (matchers.every(isVacuous)) {
    throw invalid(
      'at least one matcher must not match the empty value, or the silence holds for alerts without these ' +
        `labels too: ${written}`,
    )
  }
  checkInstant('start', startsAt)
  checkInstant('end', endsAt)
  if (startsAt >= endsAt) {
    throw invalid(`the start (${instant(startsAt)}) must be before the end (${instant(endsAt)})`)
  }
  if (endsAt < now) throw invalid(`the end (${instant(endsAt)}) is in the past: it is ${instant(now)} now`)
  checkLength('author', createdBy.length, longestAuthor)
  checkLength('comment', comment.length, longestComment)
  checkLength('annotations', JSON.stringify(annotations).length, longestAnnotations)
}

/** Throws SilenceError `invalid` when it lasts longer than it may. Null: as long as somebody likes. */
export function checkDuration(
  { startsAt, endsAt }: { startsAt: number; endsAt: number },
  maxDurationMs: number | null,
): void {
  if (maxDurationMs === null || endsAt - startsAt <= maxDurationMs) return
  throw invalid(
    `a silence may last ${formatDuration(maxDurationMs)}: let it end by ` +
      `${instant(startsAt + maxDurationMs)}, not at ${instant(endsAt)}`,
  )
}

/** A negated matcher never counts as vacuous, as in Alertmanager: `manufacturer!="vaillant"` is a choice. */
function isVacuous(matcher: Matcher): boolean {
  return !matcher.operator.startsWith('!') && matcher.test('')
}

function checkInstant(what: string, at: number): void {
  if (!(Math.abs(at) <= lastInstant)) throw invalid(`the ${what} is no time: ${at}`)
}

function checkLength(what: string, length: number, longest: number): void {
  if (length <= longest) return
  throw invalid(`the ${what} may have ${longest} characters, not ${length}: shorten it`)
}

function invalid(message: string): SilenceError {
  return new SilenceError('invalid', message)
}

function instant(ms: number): string {
  return Math.abs(ms) <= lastInstant ? new Date(ms).toISOString() : String(ms)
}

// ---- when it ends before its time, in words

const expiryKey = 'expire_when'

/**
 * The annotations and the expiry that belong together: what is told as a value is written into the
 * annotations, so that a tool which only knows those keeps it; what is only there is read.
 * Throws SilenceError `invalid`.
 */
export function settleExpiry(
  annotations: Labels,
  told: SilenceExpiry | null | undefined,
): { readonly annotations: Labels; readonly expiry: SilenceExpiry | null } {
  const { [expiryKey]: words, ...others } = annotations
  if (told === undefined) {
    return { annotations, expiry: words === undefined ? null : parseExpiry(words) }
  }
  if (told === null) return { annotations: others, expiry: null }
  if (told.kind === 'unmatched') checkUnmatchedFor(told.forMs, `${told.forMs} ms`)
  return { annotations: { ...others, [expiryKey]: formatExpiry(told) }, expiry: told }
}

/** `resolved` or `unmatched_for: 1h`. Throws SilenceError `invalid`. */
export function parseExpiry(words: string): SilenceExpiry {
  if (words.trim() === 'resolved') return { kind: 'resolved' }
  const duration = /^\s*unmatched_for:\s*(\S+)\s*$/.exec(words)?.[1]
  const forMs = duration === undefined ? undefined : parseDuration(duration)
  if (forMs === undefined) {
    throw invalid(
      `the annotation ${expiryKey} is ${JSON.stringify(words.slice(0, 100))}: write "resolved" or "unmatched_for: 1h"`,
    )
  }
  checkUnmatchedFor(forMs, JSON.stringify(words))
  return { kind: 'unmatched', forMs }
}

export function formatExpiry(expiry: SilenceExpiry): string {
  switch (expiry.kind) {
    case 'resolved':
      return 'resolved'
    case 'unmatched':
      return `unmatched_for: ${exactDuration(expiry.forMs)}`
    default:
      return expiry satisfies never
  }
}

function checkUnmatchedFor(forMs: number, shown: string): void {
  // What is written in words has to come back as the same number.
  if (Number.isSafeInteger(forMs) && forMs > 0 && parseDuration(exactDuration(forMs)) === forMs) return
  throw invalid(
    `how long a silence may match nothing is a duration above 0 and below 292 years, not ${shown}`,
  )
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const

/** As Prometheus writes it, without loss, where formatDuration rounds for people. */
function exactDuration(ms: number): string {
  let left = ms
  let text = ''
  for (const [unit, size] of units) {
    const count = Math.floor(left / size)
    left -= count * size
    if (count > 0) text += `${count}${unit}`
  }
  return text
}
