// What the HTTP API asks of the service (http/alerting-api.ts), answered from the parts that know it.

import type { Alerting } from './alerting.ts'
import { AcknowledgementError } from './alerts/acknowledgement-book.ts'
import type { Alert } from './alerts/alert.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import { type Acknowledgement, type Silence, SilenceError } from './alerts/silence.ts'
import { AuditError, type AuditedChange, type AuditTrail } from './backoffice/audit-trail.ts'
import { alertmanagerConfig } from './config/alertmanager-yaml.ts'
import type { Config } from './config.ts'
import { type ExplainOptions, explain } from './explain.ts'
import type { AlertingApi, SilencesApi } from './http/alerting-api.ts'
import { ApiError } from './http/api-error.ts'
import type { LinkBook } from './links/link-book.ts'
import { formatMatchers } from './matcher.ts'

export interface AlertingApiOptions {
  readonly book: AlertBook
  readonly alerting: Alerting
  /** Every change is in it before it happens, and how it ended. */
  readonly links: Pick<LinkBook, 'revokeAll'>
  readonly trail: Pick<AuditTrail, 'audited'>
  readonly config: () => Config
  readonly explaining: ExplainOptions
  readonly now: () => number
  readonly reload: AlertingApi['reload']
  readonly version: string
  /** Ends what is still being asked of the partner. */
  readonly signal: AbortSignal
}

export function createAlertingApi(options: AlertingApiOptions): AlertingApi {
  const { book, alerting, now } = options
  const audited = auditedBy(options.trail)
  const { suppression, acknowledgements, dispatcher } = alerting
  // Rendered once for each configuration: tools ask for it at every run.
  let original: { readonly config: Config; readonly text: string } | null = null

  return {
    alerts: () => book.all(),
    alert(fingerprint) {
      const alert = book.byFingerprint(fingerprint)
      return alert?.state === 'resolved' ? undefined : alert
    },
    suppressionOf(alert) {
      const at = now()
      const routes = alerting.router().routesFor(alert.labels)
      const first = routes[0]
      const reasons = first === undefined ? null : suppression.of(alert, first, at)
      if (reasons === null) return { silencedBy: [], inhibitedBy: [], mutedBy: [] }
      // Time intervals are a matter of each route: muted is what all of them mute.
      const isMuted = routes.every((route) => (suppression.of(alert, route, at)?.mutedBy.length ?? 0) > 0)
      return { ...reasons, mutedBy: isMuted ? reasons.mutedBy : [] }
    },
    receiversOf: (labels) =>
      alerting
        .router()
        .routesFor(labels)
        .map(({ receiver }) => receiver),
    acknowledgementOf: (alert) => acknowledgements.of(alert, now()),
    isFlapping: ({ flappingSince }) => flappingSince !== null,
    *groups() {
      for (const { key, labels, route, members } of dispatcher.groups()) {
        yield {
          key,
          labels,
          routeKey: route.key,
          receiver: route.receiver,
          alerts: members,
          mutedBy: alerting.mutedBy(route, now()),
        }
      }
    },
    receivers: () => options.config().alerting.receivers.map(({ name }) => name),
    originalConfig() {
      const config = options.config()
      if (original?.config !== config) original = { config, text: alertmanagerConfig(config.alerting) }
      return original.text
    },
    silences: silencesApi(alerting, audited),
    async acknowledge(alert, acknowledgement, actor) {
      const before = acknowledgements.of(alert, now())
      const { by, comment, until } = acknowledgement
      const asked = { by, comment, until: instant(until) }
      const detail = { before: recordedAcknowledgement(before), asked }
      const outcome = (after: Acknowledgement) => ({
        detail: { before: recordedAcknowledgement(before), after: recordedAcknowledgement(after) },
      })
      const change = { actor, action: 'acknowledgement.set', target: targetOf(alert), detail, outcome }
      try {
        return await audited(change, () => acknowledgements.acknowledge(alert, acknowledgement))
      } catch (error) {
        throw error instanceof AcknowledgementError
          ? new ApiError(400, error.message, { cause: error })
          : error
      } finally {
        // Acknowledging a mass change lets go of what it holds.
        dispatcher.wake()
      }
    },
    withdrawAcknowledgement(alert, actor) {
      const detail = { before: recordedAcknowledgement(acknowledgements.of(alert, now())) }
      const change = {
        actor,
        action: 'acknowledgement.withdraw',
        target: targetOf(alert),
        detail,
        outcome: found,
      }
      return audited(change, () => acknowledgements.withdraw(alert.fingerprint))
    },
    revokeLinks(fingerprint, actor) {
      const change = {
        actor,
        action: 'link.revoke',
        target: { alert: fingerprint },
        detail: {},
        outcome: found,
      }
      return audited(change, () => options.links.revokeAll(fingerprint))
    },
    explain: (id) => explain(id, options.explaining, options.signal),
    reload: options.reload,
    startedAt: now(),
    version: options.version,
  }
}

function silencesApi({ silences, dispatcher }: Alerting, audited: AuditTrail['audited']): SilencesApi {
  return {
    list: (query) => silences.list(query),
    get: (id) => silences.get(id),
    stateOf: silences.stateOf,
    async set(input, actor) {
      const { id = '', matchers, startsAt, endsAt, createdBy, comment } = input
      const before = recordedSilence(silences.get(id))
      const asked = { ...{ matchers: formatMatchers(matchers), createdBy, comment } }
      const change: AuditedChange<Silence> = {
        actor,
        action: id === '' ? 'silence.set' : 'silence.update',
        target: id === '' ? {} : { silence: id },
        detail: { before, asked: { ...asked, startsAt: instant(startsAt), endsAt: instant(endsAt) } },
        outcome: (silence) => ({
          target: { silence: silence.id, ...(id === '' || id === silence.id ? {} : { replaced: id }) },
          detail: { before, after: recordedSilence(silence) },
        }),
      }
      try {
        return { kind: 'set', silence: await audited(change, () => silences.set(input)) }
      } catch (error) {
        if (!(error instanceof SilenceError)) throw error
        return { kind: error.kind, message: error.message }
      } finally {
        dispatcher.wake()
      }
    },
    expire(id, actor) {
      const detail = { before: recordedSilence(silences.get(id)) }
      const change = { actor, action: 'silence.expire', target: { silence: id }, detail, outcome: found }
      return audited(change, () => silences.expire(id))
    },
  }
}

/** What cannot be recorded is an answer of its own. */
function auditedBy(trail: Pick<AuditTrail, 'audited'>): AuditTrail['audited'] {
  return async (change, work) => {
    try {
      return await trail.audited(change, work)
    } catch (error) {
      throw error instanceof AuditError ? new ApiError(503, error.message, { cause: error }) : error
    }
  }
}

/** Of a change that says whether there was anything to be changed. */
function found(wasThere: boolean) {
  return wasThere
    ? { result: 'ok' as const }
    : { result: 'failed' as const, detail: { reason: 'there was none' } }
}

function targetOf({ fingerprint, subject }: Alert): Readonly<Record<string, string>> {
  return {
    alert: fingerprint,
    ...(subject.kind === 'fleet' ? {} : { user: subject.userId }),
    ...(subject.kind === 'device' ? { device: subject.deviceId } : {}),
  }
}

function recordedSilence(silence: Silence | undefined) {
  if (silence === undefined) return null
  const { id, matchers, startsAt, endsAt, createdBy, comment, annotations } = silence
  const times = { startsAt: instant(startsAt), endsAt: instant(endsAt) }
  return { id, matchers: formatMatchers(matchers), ...times, createdBy, comment, annotations }
}

function recordedAcknowledgement(acknowledgement: Acknowledgement | null) {
  if (acknowledgement === null) return null
  const { by, comment, at, until } = acknowledgement
  return { by, comment, at: instant(at), until: instant(until) }
}

/** Some numbers are no date. */
function instant(ms: number | null): string | null {
  return ms === null || Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString()
}
