// What happens in the service, as log lines and metrics: one place, so that each event is logged
// once and under one wording. It decides nothing.

import type { Actor, RefusalReason } from './actor.ts'
import { isFiring } from './alerts/alert.ts'
import type { Transition } from './alerts/alert-book.ts'
import type { AuditEvents } from './backoffice/audit-trail.ts'
import { formatHead } from './backoffice/audit-verification.ts'
import type { Clock } from './clock.ts'
import type { AccessConfig } from './config.ts'
import type { UserReading } from './fleet/reading.ts'
import type { UnknownReason } from './fleet/verdict.ts'
import type { Walk } from './fleet/walk.ts'
import type { LinkEvents } from './links/durable-links.ts'
import type { LogFields, Logger } from './logger.ts'
import { createDeviceTally } from './metric-series.ts'
import type { Metrics } from './metrics.ts'
import type { MonitorEvents, WalkOutcome } from './monitor.ts'
import type { DispatcherEvents } from './notify/dispatcher.ts'
import type { Integration } from './notify/notification.ts'
import type { TemplateFailure } from './notify/template-parts.ts'
import type { CorrespondenceEvents } from './owners/correspondence.ts'
import type { CallLogEvents } from './partner/call-log.ts'
import type { RequestEvent } from './partner/transport.ts'
import type { Unread } from './poller/walk.ts'
import { StorageError } from './storage/storage.ts'

export interface Telemetry {
  readonly monitor: MonitorEvents
  readonly dispatcher: DispatcherEvents
  /** Requests that were refused (http/access.ts). */
  readonly access: {
    onRefused(refusal: {
      readonly reason: RefusalReason
      readonly endpoint: { readonly name: string }
      readonly from: string | null
      readonly actor: Actor | null
    }): void
    onDenied(
      actor: Actor,
      endpoint: { readonly name: string; readonly needs: string },
      reason: RefusalReason,
    ): void
  }
  /** At the start and after a reload. */
  accessConfigured(config: AccessConfig | null, at: number): void
  readonly links: LinkEvents
  readonly owners: CorrespondenceEvents
  readonly audit: AuditEvents
  readonly callLog: CallLogEvents
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
  layoutRefused(refused: { readonly receiver: string; readonly index: number; readonly answer: string }): void
  templateFailed(failure: TemplateFailure): void
  storageFailed(error: unknown): void
  unreadableSilence(id: string, error: unknown): void
  heartbeat(outcome: { readonly kind: 'ok' } | { readonly kind: 'failed'; readonly reason: string }): void
}

// A walk in which every user is unread must not write a million lines.
const loggedUnreadPerWalk = 20

// Whoever asks a thousand times a second must not write a thousand lines.
const loggedRefusalsPerMinute = 10
const tokenWarningMs = 14 * 24 * 3_600_000

export function createTelemetry({
  logger,
  metrics,
  clock,
}: {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Pick<Clock, 'monotonic'>
}): Telemetry {
  let devices = createDeviceTally()
  let unreadInWalk = 0
  let failedRules = new Set<string>()
  let refusals = { since: clock.monotonic(), count: 0 }

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

  /** The last line of a minute says that there are more. */
  function refused(fields: LogFields, message: string): void {
    const now = clock.monotonic()
    if (now - refusals.since >= 60_000) refusals = { since: now, count: 0 }
    refusals.count++
    if (refusals.count <= loggedRefusalsPerMinute) logger.warn(fields, message)
    if (refusals.count === loggedRefusalsPerMinute) {
      logger.warn({}, 'More requests of this minute that are refused are counted, not logged')
    }
  }

  return {
    access: {
      onRefused({ reason, endpoint: { name: endpoint }, from, actor }) {
        metrics.accessDenied(reason)
        // Else the line below says who it was.
        if (actor === null) refused({ reason, endpoint, from }, 'Request refused')
      },
      onDenied: ({ kind, name, role, from }, { name: endpoint, needs }, reason) =>
        refused({ reason, kind, name, role, from, endpoint, needs }, 'Request denied'),
    },
    accessConfigured(config, at) {
      if (config === null)
        logger.info({}, 'Only this machine can use the API: http.access lets in nobody else')
      for (const { name, expiresAt } of config?.tokens ?? []) {
        if (expiresAt === null || expiresAt - at > tokenWarningMs) continue
        const message = expiresAt <= at ? 'An access token has expired' : 'An access token expires soon'
        logger.warn({ name, expires: new Date(expiresAt).toISOString() }, message)
      }
    },
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
    links: {
      onGiven: (manufacturer) => metrics.linkGiven(manufacturer),
      onVisit: (stage, manufacturer) => metrics.linkVisited(stage, manufacturer),
      onMinted: (outcome) => metrics.linkMinted(outcome),
      onNoLink: (error) => logger.warn({ error }, 'No resolution link for a message'),
      onRefusedHost: (host) =>
        logger.error({ host }, 'The partner leads to a host that links.allowed_hosts does not name: refused'),
      onMintFailure: (error) => logger.warn({ error }, 'A link could not be minted for somebody'),
      onNothingToOpen: (about) =>
        logger.warn({ ...about }, 'Somebody pressed a link that has nothing to open'),
      onLinkFault: (error) => logger.error({ error }, 'A link was not followed to its end'),
    },
    monitor: {
      onReading(reading: UserReading) {
        for (const { device } of reading.devices) devices.add(device)
      },
      onFound: (found) => devices.include(found.devices),
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
    owners: {
      onSent({ id, receiver, about, attempts }) {
        metrics.ownerMail('sent')
        logger.info({ letter: id, receiver, alerts: about.length, attempts }, 'Owner was written to')
      },
      onFailure({ id, receiver, attempts }, { reason, isFinal }) {
        metrics.ownerMail(isFinal ? 'failed' : 'retry')
        const fields = { letter: id, receiver, reason, attempts }
        if (isFinal) logger.error(fields, 'Mail to an owner was refused for good: staff is told')
        else logger.warn(fields, 'Mail to an owner failed: tried again later')
      },
      onSkipped({ labels, subject }, reason) {
        metrics.ownerMail(`skipped_${reason}`)
        logger.debug(
          { alertname: labels['alertname'], subject, reason },
          'Owner is not written to at present',
        )
      },
      onHandedOver({ labels, subject }, reason) {
        metrics.ownerHandedOver(reason)
        logger.info({ alertname: labels['alertname'], subject, reason }, 'Staff takes over from an owner')
      },
      onStorageError: storageFailed,
      onFault: (error) => logger.error({ error }, 'An owner could not be written to: tried again later'),
    },
    audit: {
      onRecord({ action, result, actor, seq, hash }) {
        metrics.auditRecorded(result)
        // What `audit verify --expect` takes: the log is the copy that whoever changes the database cannot change.
        logger.info({ action, result, actor, head: formatHead({ seq, hash }) }, 'Audit record')
      },
      onFailure(action, error) {
        metrics.auditFailed()
        logger.error({ action, error }, 'Could not be recorded in the audit trail')
      },
    },
    callLog: {
      onDropped: (lines) => metrics.partnerLogDropped(lines),
      onFailure: (error) =>
        logger.error({ error }, 'The log of requests cannot be written: lines are lost until it can'),
    },
    storageFailed,
    unreadableSilence: (id, error) =>
      logger.error({ id, error }, 'A stored silence cannot be read: it silences nothing'),
  }
}
