// What happens in the service, as log lines and metrics: one place, so that each event is logged
// once and under one wording. It decides nothing.

import { isFiring } from './alerts/alert.ts'
import type { Transition } from './alerts/alert-book.ts'
import type { UserReading } from './fleet/reading.ts'
import type { UnknownReason } from './fleet/verdict.ts'
import type { Walk } from './fleet/walk.ts'
import type { Logger } from './logger.ts'
import { createDeviceTally } from './metric-series.ts'
import type { Metrics } from './metrics.ts'
import type { MonitorEvents, WalkOutcome } from './monitor.ts'
import type { DispatcherEvents } from './notify/dispatcher.ts'
import type { Integration } from './notify/notification.ts'
import type { TemplateFailure } from './notify/template-parts.ts'
import type { RequestEvent } from './partner/transport.ts'
import type { Unread } from './poller/walk.ts'
import { StorageError } from './storage/storage.ts'

export interface Telemetry {
  readonly monitor: MonitorEvents
  readonly dispatcher: DispatcherEvents
  /** Saved changes of alerts, see AlertBook.subscribe. */
  transitions(transitions: readonly Transition[]): void
  walkStarted(): void
  /** Another walk is read from here on, whoever leads it: what can't be read is logged anew. */
  readingStarted(): void
  walkSkipped(): void
  walkFailed(error: unknown): void
  recheckFailed(error: unknown): void
  request(event: RequestEvent): void
  unread(unread: Unread): void
  oddField(field: string): void
  clockSkew(): void
  unknown(alertname: string, reason: UnknownReason): void
  linkFailed(error: unknown): void
  layoutRefused(refused: { readonly receiver: string; readonly index: number; readonly answer: string }): void
  templateFailed(failure: TemplateFailure): void
  storageFailed(error: unknown): void
  unreadableSilence(id: string, error: unknown): void
  heartbeat(outcome: { readonly kind: 'ok' } | { readonly kind: 'failed'; readonly reason: string }): void
}

// A walk in which every user is unread must not write a million lines.
const loggedUnreadPerWalk = 20

export function createTelemetry({ logger, metrics }: { logger: Logger; metrics: Metrics }): Telemetry {
  let devices = createDeviceTally()
  let unreadInWalk = 0
  let failedRules = new Set<string>()

  function readingStarted(): void {
    unreadInWalk = 0
    failedRules = new Set()
  }

  function storageFailed(error: unknown): void {
    metrics.storageFailed(error instanceof StorageError ? error.kind : 'internal')
    logger.error({ error }, 'Could not save: what was read since the last save will be read again')
  }

  function onWalkEnded(walk: Walk, outcome: WalkOutcome): void {
    const endedAt = walk.ended_at ?? 0
    const durationMs = endedAt - (walk.started_at ?? endedAt)
    metrics.walkEnded({ outcome, durationMs, endedAt })
    if (outcome === 'stopped') {
      logger.info({}, 'Walk stopped')
      return
    }
    if (outcome !== 'failed') metrics.setFleet({ users: walk.users ?? 0, devices: devices.counts() })
    const { users, users_unread, devices: read, devices_unread } = walk
    const fields = { outcome, users, users_unread, devices: read, devices_unread, durationMs }
    if (outcome === 'failed') logger.error(fields, 'Walk failed: the user list could not be read')
    else if (outcome === 'partial') logger.warn(fields, 'Walk ended with gaps')
    else logger.info(fields, 'Walk ended')
  }

  function onTransition({ before, after }: Transition): void {
    if (after === undefined || before?.state === after.state) return
    const { alertname = '' } = after.labels
    metrics.alertTransition(alertname, after.state, after.resolvedReason ?? 'condition')
    if (after.state === 'pending' || (before !== undefined && isFiring(before) && isFiring(after))) return
    const { subject, state, resolvedReason } = after
    logger.info({ alertname, state, reason: resolvedReason ?? 'condition', subject }, 'Alert changed')
  }

  return {
    transitions: (transitions) => transitions.forEach(onTransition),
    walkStarted() {
      devices = createDeviceTally()
      readingStarted()
      metrics.walkStarted()
    },
    readingStarted,
    walkSkipped() {
      metrics.walkSkipped()
      logger.warn({}, 'Walk skipped: the one before still runs')
    },
    walkFailed: (error) => logger.error({ error }, 'Walk ended by an unexpected error'),
    recheckFailed: (error) => logger.error({ error }, 'Recheck ended by an unexpected error'),
    request: (event) => metrics.partnerRequest(event),
    unread({ what, reason, problem }) {
      metrics.unread(reason)
      if (reason === 'malformed') metrics.malformed(what)
      unreadInWalk++
      if (unreadInWalk <= loggedUnreadPerWalk) logger.warn({ what, reason, problem }, 'Could not be read')
      if (unreadInWalk === loggedUnreadPerWalk) {
        logger.warn({}, 'More of this walk could not be read: counted in fleet_unread_total, not logged')
      }
    },
    oddField: (field) => metrics.oddField(field),
    clockSkew: () => metrics.clockSkew(),
    unknown(alertname, reason) {
      if (reason !== 'rule_error') return metrics.ruleUnknown(alertname, reason)
      metrics.ruleFailed(alertname)
      if (failedRules.has(alertname)) return
      failedRules.add(alertname)
      logger.error({ alertname }, 'Rule failed for a device: it says nothing there')
    },
    linkFailed: (error) => logger.warn({ error }, 'No resolution link for a message'),
    layoutRefused: (refused) => logger.error(refused, 'Slack refused the layout: sent as plain text'),
    templateFailed({ receiver, kind: integration, index, part, error }) {
      metrics.templateFailed({ receiver, integration })
      const fields = { receiver, integration, index, part, reason: error.message }
      logger.error(fields, 'A template failed: the built-in part was sent')
    },
    heartbeat(outcome) {
      metrics.heartbeat(outcome.kind)
      if (outcome.kind === 'failed') logger.warn({ reason: outcome.reason }, 'Heartbeat failed')
    },
    monitor: {
      onReading(reading: UserReading) {
        for (const { device } of reading.devices) devices.add(device)
      },
      onCounted: (counted) => devices.include(counted),
      onWalkEnded,
      onStorageError: storageFailed,
    },
    dispatcher: {
      onAttempt: ({ receiver, kind: integration }: Integration, outcome, seconds) =>
        metrics.notificationAttempt({ receiver, integration, outcome, durationMs: seconds * 1_000 }),
      onDelivered({ groupKey, reason, firing, resolved }, { receiver, kind: integration }, refused) {
        const fields = {
          receiver,
          integration,
          groupKey,
          reason,
          firing: firing.length,
          resolved: resolved.length,
        }
        logger.info(fields, 'Notification delivered')
        if (refused.length > 0) {
          logger.error({ receiver, integration, count: refused.length }, 'Recipients refused for good')
        }
      },
      onFailure({ groupKey }, { receiver, kind: integration }, { reason, permanent, attempts }) {
        const fields = { receiver, integration, groupKey, reason, attempts }
        if (permanent)
          logger.error(fields, 'Notification failed for good: tried again at the next tick of its group')
        else logger.warn(fields, 'Notification failed: tried again soon')
      },
      onWithheld(withheld) {
        const { inhibitedBy, mutedBy, silencedBy } = withheld
        if (inhibitedBy.length > 0) metrics.suppressed('inhibited')
        else if (mutedBy.length > 0) metrics.suppressed('muted')
        else if (silencedBy.length > 0) metrics.suppressed('silenced')
        else metrics.suppressed('held')
      },
      onDropped({ groupKey, integrationKey, reason }) {
        metrics.notificationDropped()
        const fields = { groupKey, integrationKey, reason }
        logger.warn(fields, 'Notification given up: its receiver or its group is gone')
      },
      onStorageError: storageFailed,
    },
    storageFailed,
    unreadableSilence: (id, error) =>
      logger.error({ id, error }, 'A stored silence cannot be read: it silences nothing'),
  }
}
