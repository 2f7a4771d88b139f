// A circuit breaker: when nearly everything fails, requests stop, and a single one now and then
// tries whether the partner is back.
//
//   closed ──(most of the last requests failed, of several users)──> open
//   open ──(pause over)──> half open: one request goes through as the probe
//   half open ──(it succeeds)──> closed;  ──(it fails)──> open, for twice the pause
//
// Who asks while it is open waits, so that an outage of seconds in the middle of a walk costs
// seconds and not the rest of the walk; once it has been open for `patienceMs`, all are refused at
// once. It counts failures of the service, never what an answer says.

import { createAlarm } from '../alarm.ts'
import type { Clock } from '../clock.ts'
import { createWaitingLine } from './waiting-line.ts'

interface BreakerOptions {
  readonly clock: Clock
  readonly patienceMs: number
  /** Ends all waiting when it aborts. */
  readonly lifetime: AbortSignal
}

/** How a request got through: what it says when it ends depends on it. */
export type Pass = 'normal' | 'probe'

export interface Breaker {
  /** May a request be sent? 'refused': the partner has been away for too long. Rejects with the signal's reason. */
  enter(signal: AbortSignal): Pass | 'refused' | Promise<Pass | 'refused'>
  /**
   * To be called once for each pass. 'abandoned': it ended without saying anything about the
   * partner. `subject`: whose data was asked for, since one user's calls may always fail.
   */
  leave(pass: Pass, outcome: 'success' | 'failure' | 'abandoned', subject: string): void
  isOpen(): boolean
}

const windowSize = 32
const windowMs = 60_000
const fewestRequests = 10
const fewestSubjects = 5
// High enough that one list call that always fails, tried three times between others that succeed,
// does not stop these.
const failedShare = 0.8
const firstPauseMs = 1_000
const longestPauseMs = 30_000

export function createBreaker({ clock, patienceMs, lifetime }: BreakerOptions): Breaker {
  const recent: { at: number; isFailure: boolean; subject: string }[] = []
  let next = 0
  let open: { readonly since: number; until: number; pauseMs: number; isProbing: boolean } | null = null
  const waiting = createWaitingLine<Pass | 'refused'>()
  const alarm = createAlarm(clock)
  let isTending = false

  function enter(signal: AbortSignal): Pass | 'refused' | Promise<Pass | 'refused'> {
    if (open === null) return 'normal'
    const now = clock.monotonic()
    if (!open.isProbing && waiting.length === 0 && now >= open.until) {
      open.isProbing = true
      return 'probe'
    }
    if (now - open.since >= patienceMs && (open.isProbing || now < open.until)) return 'refused'
    const passed = waiting.join(signal)
    if (!isTending) void tend()
    return passed
  }

  /** Gives those who wait what they wait for: the probe's turn, a closed breaker, or a refusal. */
  async function tend(): Promise<void> {
    isTending = true
    while (waiting.length > 0 && !lifetime.aborted) {
      const now = clock.monotonic()
      if (open === null) {
        waiting.serveAll('normal')
        break
      }
      const refuseAt = open.since + patienceMs
      if (!open.isProbing && now >= open.until) {
        open.isProbing = true
        waiting.serveNext('probe')
      } else if (now >= refuseAt) {
        waiting.serveAll('refused')
      } else {
        const wakeAt = open.isProbing ? refuseAt : Math.min(open.until, refuseAt)
        await alarm.until(clock.now() + (wakeAt - now), lifetime)
      }
    }
    isTending = false
    if (lifetime.aborted) waiting.failAll(lifetime.reason)
  }

  function leave(pass: Pass, outcome: 'success' | 'failure' | 'abandoned', subject: string): void {
    if (pass === 'probe') afterProbe(outcome)
    else if (open === null && outcome !== 'abandoned') record(outcome === 'failure', subject)
  }

  function afterProbe(outcome: 'success' | 'failure' | 'abandoned'): void {
    if (open === null) return
    open.isProbing = false
    if (outcome === 'success') {
      open = null
      recent.length = 0
      next = 0
    } else if (outcome === 'failure') {
      open.pauseMs = Math.min(open.pauseMs * 2, longestPauseMs)
      open.until = clock.monotonic() + jittered(open.pauseMs)
    }
    alarm.ring()
  }

  function record(isFailure: boolean, subject: string): void {
    const now = clock.monotonic()
    const entry = recent[next]
    if (entry === undefined) recent.push({ at: now, isFailure, subject })
    else {
      entry.at = now
      entry.isFailure = isFailure
      entry.subject = subject
    }
    next = (next + 1) % windowSize
    if (isFailure && isOutage(now)) {
      open = { since: now, until: now + jittered(firstPauseMs), pauseMs: firstPauseMs, isProbing: false }
    }
  }

  function isOutage(now: number): boolean {
    let requests = 0
    let failures = 0
    const subjects = new Set<string>()
    for (const { at, isFailure, subject } of recent) {
      if (now - at > windowMs) continue
      requests++
      if (!isFailure) continue
      failures++
      subjects.add(subject)
    }
    return requests >= fewestRequests && failures >= requests * failedShare && subjects.size >= fewestSubjects
  }

  /** Between 75 % and 125 %, so that several replicas don't come back in step. */
  function jittered(ms: number): number {
    return ms * (0.75 + clock.random() / 2)
  }

  return { enter, leave, isOpen: () => open !== null }
}
