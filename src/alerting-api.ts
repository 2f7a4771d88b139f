// What the HTTP API asks of the service (http/alerting-api.ts), answered from the parts that know it.

import type { Alerting } from './alerting.ts'
import { AcknowledgementError } from './alerts/acknowledgement-book.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import { SilenceError } from './alerts/silence.ts'
import { alertmanagerConfig } from './config/alertmanager-yaml.ts'
import type { Config } from './config.ts'
import { type ExplainOptions, explain } from './explain.ts'
import type { AlertingApi, SilencesApi } from './http/alerting-api.ts'
import { ApiError } from './http/api-error.ts'

export interface AlertingApiOptions {
  readonly book: AlertBook
  readonly alerting: Alerting
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
    silences: silencesApi(alerting),
    async acknowledge(alert, acknowledgement) {
      try {
        return await acknowledgements.acknowledge(alert, acknowledgement)
      } catch (error) {
        throw error instanceof AcknowledgementError
          ? new ApiError(400, error.message, { cause: error })
          : error
      } finally {
        // Acknowledging a mass change lets go of what it holds.
        dispatcher.wake()
      }
    },
    withdrawAcknowledgement: ({ fingerprint }) => acknowledgements.withdraw(fingerprint),
    explain: (id) => explain(id, options.explaining, options.signal),
    reload: options.reload,
    startedAt: now(),
    version: options.version,
  }
}

function silencesApi({ silences, dispatcher }: Alerting): SilencesApi {
  return {
    list: (query) => silences.list(query),
    get: (id) => silences.get(id),
    stateOf: silences.stateOf,
    async set(input) {
      try {
        return { kind: 'set', silence: await silences.set(input) }
      } catch (error) {
        if (!(error instanceof SilenceError)) throw error
        return { kind: error.kind, message: error.message }
      } finally {
        dispatcher.wake()
      }
    },
    expire: (id) => silences.expire(id),
  }
}
