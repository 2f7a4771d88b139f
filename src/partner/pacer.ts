// The rate of requests: evenly spaced below the configured limit, lower after the partner has
// answered 429, then creeping back. A pause that the partner asks for (Retry-After) stops
// everything once 429 is more than a stray: a server that counts in windows refuses the rest too.
//
// Spacing is the virtual scheduling of GCRA (ITU-T I.371): every request has a due time one
// interval after the last one's, and may go up to `earlyMs` ahead of it. Timers are late by some
// milliseconds; this is what makes up for it, so that the rate is met and not only approached.

import type { Clock } from '../clock.ts'
import { createWaitingLine } from './waiting-line.ts'

interface PacerOptions {
  readonly clock: Clock
  readonly requestsPerSecond: number
  /** Who would have to wait longer for the end of a pause is refused. */
  readonly patienceMs: number
  /** Ends all waiting when it aborts. */
  readonly lifetime: AbortSignal
}

export interface Pacer {
  /**
   * True when a request may be sent now; else a promise that settles when one may, in the order of
   * asking. False: the partner asked for a longer pause than anybody should wait for. Rejects with
   * the signal's reason.
   */
  take(signal: AbortSignal): boolean | Promise<boolean>
  /** An answer came, and it was not 429. */
  accepted(): void
  /** 429 came for a request sent at `sentAt` (monotonic), which asks for a pause or doesn't say. */
  throttled(sentAt: number, retryAfterMs: number | null): void
  /** Requests per second, at present. */
  rate(): number
}

// What is sent exactly at the limit arrives above it whenever the network bunches it up.
const shareOfLimit = 0.99
const earlyMs = 40
const slowestRate = 0.2
// One that strays costs a second's worth of a percent; when there are many the limit is lower than
// what is sent.
const lowerAfterStray = 0.98
const lowerAfterMany = 0.9
// In steps of the rate that was too high, not of the configured one, which may be any number: from
// 0.9 of that rate up to it in four seconds, and ever faster the longer there is no other 429.
const creepPerSecond = 1 / 60
const creepDoublesAfterSeconds = 10
const strayShare = 0.05
const shortestMemory = 64
const pauseWithoutRetryAfterMs = 1_000
const measureMs = 1_000
const shortestMeasureMs = 20
const idleMs = 100
const fewestMeasured = 20

export function createPacer({ clock, requestsPerSecond, patienceMs, lifetime }: PacerOptions): Pacer {
  const fullRate = requestsPerSecond * shareOfLimit
  const waiting = createWaitingLine<boolean>()
  let isDraining = false
  let dueAt = clock.monotonic()
  let pausedUntil = Number.NEGATIVE_INFINITY

  /** The rate after it was lowered last, and what it has crept up per second since. */
  let lowered: { readonly rate: number; readonly at: number; readonly creep: number } | null = null
  /** Share of 429 among the answers of the last second or so: their mean at first, then an exponential one. */
  let throttledShare = 0
  let answers = 0
  /** Requests in this second and in the one before it, since the last idle moment: see measuredRate. */
  let windowAt = dueAt
  let sentLastAt = dueAt
  let sentInWindow = 0
  let sentBefore = 0

  function rateAt(now: number): number {
    if (lowered === null) return fullRate
    // While nothing may be sent, nothing is learned.
    const seconds = Math.max(0, now - Math.max(lowered.at, pausedUntil)) / 1_000
    const rate = lowered.rate + lowered.creep * seconds * (1 + seconds / creepDoublesAfterSeconds)
    if (rate < fullRate) return rate
    lowered = null
    return fullRate
  }

  function earliest(): number {
    return Math.max(dueAt - earlyMs, pausedUntil)
  }

  function grant(now: number): void {
    dueAt = Math.max(dueAt, now) + 1_000 / rateAt(now)
    if (now - sentLastAt > idleMs) {
      windowAt = now
      sentBefore = 0
      sentInWindow = 0
    } else if (now - windowAt >= measureMs) {
      sentBefore = sentInWindow
      sentInWindow = 0
      windowAt = now
    }
    sentLastAt = now
    sentInWindow++
  }

  function take(signal: AbortSignal): boolean | Promise<boolean> {
    const now = clock.monotonic()
    if (pausedUntil - now > patienceMs) return false
    if (waiting.length === 0 && now >= earliest()) {
      grant(now)
      return true
    }
    const granted = waiting.join(signal)
    if (!isDraining) void drain()
    return granted
  }

  /** Lets waiters go as they fall due, with one timer for all of them. */
  async function drain(): Promise<void> {
    isDraining = true
    try {
      while (waiting.length > 0) {
        const now = clock.monotonic()
        if (pausedUntil - now > patienceMs) {
          waiting.serveAll(false)
        } else if (now >= earliest()) {
          grant(now)
          waiting.serveNext(true)
        } else {
          await clock.sleep(earliest() - now, lifetime)
        }
      }
    } catch (reason) {
      waiting.failAll(reason)
    } finally {
      isDraining = false
    }
  }

  function answered(wasThrottled: boolean): void {
    answers = Math.min(answers + 1, Math.max(shortestMemory, rateAt(clock.monotonic())))
    throttledShare += ((wasThrottled ? 1 : 0) - throttledShare) / answers
  }

  /** What was really sent per second while there was something to send, Infinity where too little was sent to say. */
  function measuredRate(now: number): number {
    if (sentBefore + sentInWindow < fewestMeasured) return Number.POSITIVE_INFINITY
    const elapsedMs = Math.max(now - windowAt, shortestMeasureMs)
    return Math.max(sentBefore, (sentInWindow * 1_000) / elapsedMs)
  }

  function throttled(sentAt: number, retryAfterMs: number | null): void {
    const now = clock.monotonic()
    answered(true)
    const isStray = throttledShare <= strayShare
    // Requests that were under way when the rate was lowered say nothing about the lower rate.
    if (lowered === null || sentAt >= lowered.at) {
      const tooHigh = Math.min(rateAt(now), measuredRate(now))
      const creep = Math.max(tooHigh * creepPerSecond, slowestRate)
      const rate = tooHigh * (isStray ? lowerAfterStray : lowerAfterMany)
      lowered = { rate: Math.max(rate, Math.min(slowestRate, fullRate)), at: now, creep }
    }
    if (!isStray) {
      pausedUntil = Math.max(pausedUntil, now + (retryAfterMs ?? pauseWithoutRetryAfterMs))
    }
  }

  return {
    take,
    throttled,
    accepted: () => answered(false),
    rate: () => rateAt(clock.monotonic()),
  }
}

/**
 * The milliseconds that a Retry-After asks for (RFC 9110, 10.2.3: seconds or a date), null without
 * one that can be read. A date counts from the answer's own Date, since the two clocks may differ.
 */
export function retryAfterMs(
  headers: { readonly retryAfter: string | undefined; readonly date: string | undefined },
  now: number,
): number | null {
  const text = headers.retryAfter?.trim() ?? ''
  if (/^\d{1,9}(\.\d+)?$/.test(text)) return Number(text) * 1_000
  // Date.parse takes nearly anything for a date; one of HTTP names its weekday.
  if (!/^[A-Za-z]{3,9}, /.test(text)) return null
  const at = Date.parse(text)
  if (Number.isNaN(at)) return null
  const answeredAt = Date.parse(headers.date ?? '')
  return Math.max(0, at - (Number.isNaN(answeredAt) ? now : answeredAt))
}
