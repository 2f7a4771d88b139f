// Alertmanager's API v2 (its api/v2/openapi.yaml) as amtool, Grafana's data source and karma use it.
//
// Errors are a bare JSON string, as there. What has no place in it (pending alerts,
// acknowledgements, why) is in our own API. It takes no alerts from others: this service watches one
// fleet, and what watches that is Prometheus' own Alertmanager.

import { Hono } from 'hono'
import { z } from 'zod'
import type { Alert } from '../alerts/alert.ts'
import type { Silence, SilenceState } from '../alerts/silence.ts'
import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import { alertmanagerVersion } from '../metrics.ts'
import { authorOf, type HttpEnv, tellTime } from './access.ts'
import { findAlerts, findGroups, flag, parametersOf, parseAlertQuery, parseFilters } from './alert-query.ts'
import type { AlertingApi, Suppression } from './alerting-api.ts'
import { ApiError } from './api-error.ts'
import { instantBody, matcherJson, matchersBody, matchersOf, readJson } from './json-body.ts'
import { arrayPieces, sendJson } from './json-stream.ts'
import type { RouteModule } from './server.ts'

export interface ApiOptions {
  readonly api: AlertingApi
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly logger: Logger
}

// An alert that nobody renews is over after this time, to Alertmanager (its resolve_timeout).
const resolveTimeoutMs = 5 * 60_000

export function apiV2({ api, clock, logger }: ApiOptions): RouteModule {
  const app = new Hono<HttpEnv>()
  app.use(tellTime(clock))
  app.onError((error, context) => {
    if (error instanceof ApiError) return context.json(error.message, error.status)
    logger.error({ error, path: context.req.path }, 'A request failed')
    return context.json('internal error', 500)
  })

  app.get('/status', (context) =>
    context.json({
      cluster: { status: 'disabled', peers: [] },
      versionInfo: {
        // Not our own: karma speaks to nothing that calls itself older than 0.22.
        version: alertmanagerVersion,
        revision: `fleetwarden ${api.version}`,
        branch: 'fleetwarden',
        buildUser: '',
        buildDate: '',
        goVersion: '',
      },
      config: { original: api.originalConfig() },
      uptime: iso(api.startedAt),
    }),
  )

  app.get('/receivers', (context) => context.json(api.receivers().map((name) => ({ name }))))

  app.get('/alerts', (context) => {
    const query = parseAlertQuery(parametersOf(context.req.url))
    const alerts = findAlerts(api, query, clock)
    const now = clock.now()
    return sendJson(
      context,
      arrayPieces(alerts, (alert) => [
        JSON.stringify(alertmanagerAlert(api, alert, { now, suppression: api.suppressionOf(alert) })),
      ]),
    )
  })

  app.get('/alerts/groups', (context) => {
    const query = parseAlertQuery(parametersOf(context.req.url))
    const groups = findGroups(api, query, clock)
    const now = clock.now()
    return sendJson(
      context,
      arrayPieces(groups, function* ({ group: { labels, receiver, mutedBy }, alerts }) {
        yield `{"labels":${JSON.stringify(labels)},"receiver":${JSON.stringify({ name: receiver })},"alerts":`
        yield* arrayPieces(alerts, (alert) => [
          JSON.stringify(
            alertmanagerAlert(api, alert, { now, suppression: { ...api.suppressionOf(alert), mutedBy } }),
          ),
        ])
        yield '}'
      }),
    )
  })

  app.post('/alerts', () => {
    throw new ApiError(
      501,
      'this service takes no alerts from others: it watches its own fleet. Send them to an Alertmanager',
    )
  })

  app.get('/silences', (context) => {
    const parameters = parametersOf(context.req.url)
    const silences = api.silences.list({
      active: flag(parameters, 'active', true),
      pending: flag(parameters, 'pending', true),
      expired: flag(parameters, 'expired', true),
      filter: parseFilters(parameters),
    })
    const now = clock.now()
    return sendJson(
      context,
      arrayPieces(silences, (silence) => [
        JSON.stringify(silenceJson(silence, api.silences.stateOf(silence, now))),
      ]),
    )
  })

  app.post('/silences', async (context) => {
    const { id, matchers, annotations, ...rest } = await readJson(context, silenceBody)
    const actor = context.get('actor')
    const input = {
      ...rest,
      createdBy: authorOf(actor, rest.createdBy),
      matchers: matchersOf(matchers),
      // Go's tools leave nothing out: an id that is not there is null or empty.
      ...(id === undefined || id === null || id === '' ? {} : { id }),
      ...(annotations === undefined || annotations === null ? {} : { annotations }),
    }
    const outcome = await api.silences.set(input, actor)
    switch (outcome.kind) {
      case 'set':
        return context.json({ silenceID: outcome.silence.id })
      case 'invalid':
        throw new ApiError(400, outcome.message)
      case 'not_found':
        throw new ApiError(404, outcome.message)
      default:
        return outcome satisfies never
    }
  })

  app.get('/silence/:id', (context) => {
    const silence = api.silences.get(context.req.param('id'))
    if (silence === undefined) throw new ApiError(404, 'there is no silence with this id')
    return context.json(silenceJson(silence, api.silences.stateOf(silence, clock.now())))
  })

  app.delete('/silence/:id', async (context) => {
    const isThere = await api.silences.expire(context.req.param('id'), context.get('actor'))
    if (!isThere) throw new ApiError(404, 'there is no silence with this id')
    return context.body(null, 200)
  })

  return (server) => void server.route('/api/v2', app)
}

const silenceBody = z.object({
  id: z.string().max(100).nullish(),
  matchers: matchersBody,
  startsAt: instantBody,
  endsAt: instantBody,
  createdBy: z.string().max(1_000),
  comment: z.string().max(10_000),
  annotations: z.record(z.string().max(1_000), z.string().max(10_000)).nullish(),
})

/** `endsAt` is when a tool may forget it, unless it is told of it again. */
export function alertmanagerAlert(
  api: Pick<AlertingApi, 'receiversOf'>,
  alert: Alert,
  { now, suppression: { silencedBy, inhibitedBy, mutedBy } }: { now: number; suppression: Suppression },
) {
  const isSuppressed = silencedBy.length > 0 || inhibitedBy.length > 0 || mutedBy.length > 0
  return {
    annotations: alert.annotations,
    endsAt: iso(now + resolveTimeoutMs),
    fingerprint: alert.fingerprint,
    receivers: [...new Set(api.receiversOf(alert.labels))].map((name) => ({ name })),
    startsAt: iso(alert.firedAt ?? alert.activeAt),
    status: { inhibitedBy, mutedBy, silencedBy, state: isSuppressed ? 'suppressed' : 'active' },
    updatedAt: iso(alert.evaluatedAt),
    labels: alert.labels,
  }
}

function silenceJson(silence: Silence, state: SilenceState) {
  return {
    id: silence.id,
    status: { state },
    updatedAt: iso(silence.updatedAt),
    comment: silence.comment,
    createdBy: silence.createdBy,
    endsAt: iso(silence.endsAt),
    matchers: silence.matchers.map(matcherJson),
    startsAt: iso(silence.startsAt),
    annotations: silence.annotations,
  }
}

function iso(at: number): string {
  return new Date(at).toISOString()
}
