// The bearer token: asked for once however many requests need it, and again before it expires or
// when the partner no longer accepts it. While a token still holds, its renewal delays nobody.

import type { Clock } from '../clock.ts'
import type { Secret } from '../secret.ts'

export interface IssuedToken {
  readonly token: Secret
  /** How long it holds, null if the partner doesn't say. */
  readonly expiresInMs: number | null
}

export interface TokenSource {
  /** The present token, or a promise of one. Rejects with what `fetch` rejected with. */
  current(): Secret | Promise<Secret>
  /** The partner accepted this token. */
  accepted(token: Secret): void
  /**
   * The partner answered 401 to this token. True: another one is there or can be had, so it is
   * worth asking `current` and trying again. False: that would not help.
   */
  reject(token: Secret): boolean
}

interface TokenSourceOptions {
  readonly clock: Clock
  readonly fetch: () => Promise<IssuedToken>
}

const lifetimeWhenUnsaidMs = 3_600_000
const shortestLifetimeMs = 10_000
const longestRenewalMarginMs = 60_000
// When a token that replaced a refused one is refused too, a third one doesn't help; ask that seldom.
const distrustMs = 30_000
const firstHoldOffMs = 1_000
const longestHoldOffMs = 30_000

/** A token that a person pasted: when it is refused, that is final. */
export function fixedToken(token: Secret): TokenSource {
  return { current: () => token, accepted: () => {}, reject: () => false }
}

export function createTokenSource({ clock, fetch }: TokenSourceOptions): TokenSource {
  let issued: {
    readonly token: Secret
    readonly at: number
    readonly renewAt: number
    readonly expiresAt: number
    readonly replacesRefused: boolean
    wasAccepted: boolean
  } | null = null
  let wasRefused = false
  let pending: Promise<Secret> | null = null
  /** After a failure nobody asks again before `until`: all requests of a walk would. */
  let failure: { readonly error: unknown; readonly until: number; readonly holdOffMs: number } | null = null

  function renew(): Promise<Secret> {
    pending ??= fetchOnce().finally(() => {
      pending = null
    })
    return pending
  }

  async function fetchOnce(): Promise<Secret> {
    try {
      const { token, expiresInMs } = await fetch()
      const lifetimeMs = Math.max(expiresInMs ?? lifetimeWhenUnsaidMs, shortestLifetimeMs)
      const at = clock.monotonic()
      issued = {
        token,
        at,
        renewAt: at + lifetimeMs - Math.min(longestRenewalMarginMs, lifetimeMs / 10),
        expiresAt: at + lifetimeMs,
        replacesRefused: wasRefused,
        wasAccepted: false,
      }
      wasRefused = false
      failure = null
      return token
    } catch (error) {
      const holdOffMs = Math.min((failure?.holdOffMs ?? firstHoldOffMs / 2) * 2, longestHoldOffMs)
      failure = { error, until: clock.monotonic() + holdOffMs, holdOffMs }
      throw error
    }
  }

  return {
    current() {
      const now = clock.monotonic()
      if (issued !== null && now < issued.renewAt) return issued.token
      const mayAsk = failure === null || now >= failure.until
      if (issued !== null && now < issued.expiresAt) {
        if (mayAsk) renew().catch(() => {})
        return issued.token
      }
      return mayAsk || pending !== null ? renew() : Promise.reject(failure?.error)
    },
    accepted(token) {
      if (issued !== null && issued.token === token) issued.wasAccepted = true
    },
    reject(token) {
      if (issued === null || issued.token !== token) return true
      const isDistrusted = issued.replacesRefused && !issued.wasAccepted
      if (isDistrusted && clock.monotonic() - issued.at < distrustMs) return false
      issued = null
      wasRefused = true
      return true
    },
  }
}
