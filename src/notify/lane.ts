// Delivery through one integration: its undelivered messages, tried one at a time until they
// arrive. Each integration has a lane of its own, so one that hangs or is rate limited holds up
// nobody else. There is at most one message per group: a newer one takes the place of the older.
//
// It never decides what to tell (dedup.ts, dispatcher.ts); a message that fails for good is let
// go, and the group's next tick decides anew.

import { createAlarm } from '../alarm.ts'
import type { Clock } from '../clock.ts'
import type { Integration, LinkSource, Notification, SendOutcome } from './notification.ts'
import type { OutboxRow } from './store.ts'

export interface QueuedMessage {
  readonly row: OutboxRow
  readonly notification: Notification
}

export interface Lane {
  readonly integration: Integration
  queued(groupKey: string): QueuedMessage | undefined
  /** Queues a message, in the place of the group's older one. */
  offer(message: QueuedMessage): void
  drop(groupKey: string): void
  /** Drops it, and if it is on its way lets nobody hear how that ends: there is nothing to remember of it. */
  forget(groupKey: string): void
  length(): number
  /** When the longest waiting message was decided (ms since 1970); null without any. */
  oldestAt(): number | null
  /** Whether the last attempt failed. */
  isFailing(): boolean
  /** Whether it failed for good: until somebody changes something, nothing arrives here. */
  isBroken(): boolean
  /** Delivers until the signal aborts; a message under way then has `graceMs` of real time to end. */
  run(signal: AbortSignal): Promise<void>
  /** Ends after the message under way, however long that takes; what is left can then be taken. */
  retire(): void
  /** What waits, in no order. */
  waiting(): readonly QueuedMessage[]
}

export interface LaneEvents {
  /**
   * The message arrived: what it told is to be remembered. Called before the next attempt begins.
   * `receiverData`: for the group's next message.
   */
  onDelivered(
    message: QueuedMessage,
    told: { readonly refused: readonly string[]; readonly receiverData: string | null },
  ): Promise<void>
  /** An attempt failed and another one follows, of the row as it is now. */
  onRetry(message: QueuedMessage, reason: string): Promise<void>
  onPermanentFailure(message: QueuedMessage, reason: string): Promise<void>
  /** Every attempt, with how long it took (seconds of real time). */
  onAttempt(outcome: SendOutcome['kind'] | 'timeout', seconds: number): void
}

const attemptTimeoutMs = 60_000
const graceMs = 5_000
const firstBackoffMs = 1_000
const longestBackoffMs = 60_000

export function integrationKey(integration: Pick<Integration, 'receiver' | 'kind' | 'index'>): string {
  return `${integration.receiver}/${integration.kind}/${integration.index}`
}

export function createLane(
  integration: Integration,
  { clock, linkFor, events }: { clock: Clock; linkFor: LinkSource; events: LaneEvents },
): Lane {
  const messages = new Map<string, QueuedMessage>()
  const alarm = createAlarm(clock)
  /** The whole integration waits until then: its spacing, or a rate limit. */
  let blockedUntil = 0
  let failing = false
  let broken = false
  let isRetired = false
  /** The group of the message on its way. */
  let sendingOf: string | null = null

  async function run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted && !isRetired) {
      const next = earliest()
      const dueAt =
        next === undefined ? Number.POSITIVE_INFINITY : Math.max(next.row.nextAttemptAt, blockedUntil)
      if (next === undefined || dueAt > clock.now()) await alarm.until(dueAt, stop)
      else await attempt(next, stop)
    }
  }

  function earliest(): QueuedMessage | undefined {
    let first: QueuedMessage | undefined
    for (const message of messages.values()) {
      if (first === undefined || message.row.nextAttemptAt < first.row.nextAttemptAt) first = message
    }
    return first
  }

  async function attempt(queued: QueuedMessage, stop: AbortSignal): Promise<void> {
    const { groupKey } = queued.row
    // Counted before it is sent: if the message is replaced meanwhile, this one may have arrived.
    const message = { ...queued, row: { ...queued.row, attempts: queued.row.attempts + 1 } }
    messages.set(groupKey, message)
    blockedUntil = clock.now() + integration.minimumSpacingMs
    const startedAt = clock.monotonic()
    sendingOf = groupKey
    const outcome = await send(message, stop)
    const isForgotten = sendingOf === null
    sendingOf = null
    events.onAttempt(outcome.kind, (clock.monotonic() - startedAt) / 1000)
    failing = outcome.kind !== 'ok'
    if (outcome.kind === 'ok' || outcome.kind === 'permanent') broken = outcome.kind === 'permanent'
    if (!isForgotten) await conclude(message, outcome)
  }

  async function send(message: QueuedMessage, stop: AbortSignal): Promise<SendOutcome> {
    const timeout = AbortSignal.timeout(attemptTimeoutMs)
    const hurry = new AbortController()
    const onStop = () => AbortSignal.timeout(graceMs).addEventListener('abort', () => hurry.abort())
    if (stop.aborted) onStop()
    else stop.addEventListener('abort', onStop, { once: true })
    const signal = AbortSignal.any([timeout, hurry.signal])
    // An integration that ignores the signal must not hold its lane for ever.
    const givenUp = new Promise<SendOutcome>((resolve) => {
      signal.addEventListener('abort', () => resolve({ kind: 'retry', reason: 'timeout' }), { once: true })
    })
    const sent = integration
      .send(message.notification, {
        signal,
        delivered: message.row.delivered,
        receiverData: message.row.receiverData,
        linkFor,
      })
      .catch((): SendOutcome => ({ kind: 'retry', reason: 'unexpected error' }))
    try {
      return await Promise.race([sent, givenUp])
    } finally {
      stop.removeEventListener('abort', onStop)
    }
  }

  async function conclude(message: QueuedMessage, outcome: SendOutcome): Promise<void> {
    switch (outcome.kind) {
      case 'ok':
        remove(message)
        return events.onDelivered(message, {
          refused: outcome.refused ?? [],
          receiverData: outcome.receiverData ?? message.row.receiverData,
        })
      case 'permanent':
        remove(message)
        return events.onPermanentFailure(message, outcome.reason)
      case 'rate_limited': {
        const waitMs = outcome.retryAfterMs ?? backoffMs(message.row.attempts)
        blockedUntil = clock.now() + waitMs
        return retry(message.row, message, { waitMs, reason: 'rate limited' })
      }
      case 'retry':
        return retry(
          {
            ...message.row,
            delivered: outcome.delivered ?? message.row.delivered,
            receiverData: outcome.receiverData ?? message.row.receiverData,
          },
          message,
          { waitMs: backoffMs(message.row.attempts), reason: outcome.reason },
        )
      default:
        return outcome satisfies never
    }
  }

  /** `reached`: the row with what the attempt did achieve. */
  async function retry(
    reached: OutboxRow,
    message: QueuedMessage,
    { waitMs, reason }: { waitMs: number; reason: string },
  ): Promise<void> {
    const row = { ...reached, nextAttemptAt: clock.now() + waitMs }
    const next = { ...message, row }
    if (messages.get(row.groupKey) === message) messages.set(row.groupKey, next)
    await events.onRetry(next, reason)
  }

  /** Only if no newer message has taken its place. */
  function remove(message: QueuedMessage): void {
    if (messages.get(message.row.groupKey) === message) messages.delete(message.row.groupKey)
  }

  /** Doubles from a second to a minute, with up to half of it taken off at random. */
  function backoffMs(attempts: number): number {
    const fullMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.min(attempts - 1, 10))
    return fullMs * (1 - clock.random() / 2)
  }

  return {
    integration,
    queued: (groupKey) => messages.get(groupKey),
    offer(message) {
      messages.set(message.row.groupKey, message)
      alarm.ring()
    },
    drop(groupKey) {
      messages.delete(groupKey)
    },
    forget(groupKey) {
      messages.delete(groupKey)
      if (sendingOf === groupKey) sendingOf = null
    },
    length: () => messages.size,
    oldestAt() {
      let oldest: number | null = null
      for (const { row } of messages.values())
        oldest = Math.min(oldest ?? row.firstDecidedAt, row.firstDecidedAt)
      return oldest
    },
    isFailing: () => failing,
    isBroken: () => broken,
    run,
    retire() {
      isRetired = true
      alarm.ring()
    },
    waiting: () => [...messages.values()],
  }
}
