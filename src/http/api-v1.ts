// Our own API, for what Alertmanager's has no words for: pending alerts, acknowledgements, what a
// silence would match, why something does or doesn't alert; and the reload. Errors are {"error": "…"}.

import { type Context, Hono } from 'hono'
import { z } from 'zod'
import type { Alert } from '../alerts/alert.ts'
import type { Acknowledgement } from '../alerts/silence.ts'
import type { Logger } from '../logger.ts'
import { authorOf, type HttpEnv, tellTime } from './access.ts'
import { findAlerts, findMatching, parametersOf, parseAlertQuery } from './alert-query.ts'
import type { AlertingApi } from './alerting-api.ts'
import { ApiError } from './api-error.ts'
import { type ApiOptions, alertmanagerAlert } from './api-v2.ts'
import { instantBody, matchersBody, matchersOf, readJson } from './json-body.ts'
import { arrayPieces, sendJson } from './json-stream.ts'
import type { RouteModule } from './server.ts'

const mostPreviewed = 100

export function apiV1({ api, clock, logger }: ApiOptions): RouteModule {
  const app = new Hono<HttpEnv>()
  app.use(tellTime(clock))
  app.onError((error, context) => {
    if (error instanceof ApiError) return context.json({ error: error.message }, error.status)
    logger.error({ error, path: context.req.path }, 'A request failed')
    return context.json({ error: 'internal error' }, 500)
  })

  // The questions of /api/v2/alerts, and `pending`.
  app.get('/alerts', (context) => {
    const alerts = findAlerts(api, parseAlertQuery(parametersOf(context.req.url)), clock)
    const now = clock.now()
    return sendJson(
      context,
      arrayPieces(alerts, (alert) => [JSON.stringify(alertJson(api, alert, now))]),
    )
  })

  app.post('/alerts/:fingerprint/acknowledgement', async (context) => {
    const { by, comment, until } = await readJson(context, acknowledgementBody)
    if (until !== undefined && until !== null && until <= clock.now()) {
      throw new ApiError(400, 'until: expected an instant that is yet to come')
    }
    const alert = alertOf(api, context.req.param('fingerprint'))
    const actor = context.get('actor')
    const acknowledgement = await api.acknowledge(
      alert,
      { by: authorOf(actor, by), comment, until: until ?? null },
      actor,
    )
    return context.json(acknowledgementJson(acknowledgement))
  })

  app.delete('/alerts/:fingerprint/acknowledgement', async (context) => {
    const alert = alertOf(api, context.req.param('fingerprint'))
    const wasThere = await api.withdrawAcknowledgement(alert, context.get('actor'))
    if (!wasThere) throw new ApiError(404, 'this alert is not acknowledged')
    return context.body(null, 204)
  })

  app.delete('/alerts/:fingerprint/link', async (context) => {
    const wasThere = await api.revokeLinks(context.req.param('fingerprint'), context.get('actor'))
    if (!wasThere) throw new ApiError(404, 'no link was given for this alert, or it has ended')
    return context.body(null, 204)
  })

  app.post('/silences/preview', async (context) => {
    const { matchers } = await readJson(context, previewBody)
    const alerts = findMatching(api, matchersOf(matchers), clock)
    const first = alerts.slice(0, mostPreviewed).map(({ fingerprint, labels }) => ({ fingerprint, labels }))
    return context.json({ count: alerts.length, alerts: first })
  })

  app.get('/explain/:id', async (context) => {
    const explanation = await api.explain(context.req.param('id'))
    if (explanation === null) throw new ApiError(404, 'no device and no alert has this id')
    return context.json(explanation)
  })

  return (server) => void server.route('/api/v1', app)
}

/** POST or PUT /-/reload: what Prometheus and Alertmanager call so. Plain text. */
export function reloadRoute({
  api,
  logger,
}: {
  api: Pick<AlertingApi, 'reload'>
  logger: Logger
}): RouteModule {
  const app = new Hono<HttpEnv>()
  app.onError((error, context) => {
    if (error instanceof ApiError) return context.text(`${error.message}\n`, error.status)
    logger.error({ error, path: context.req.path }, 'A request failed')
    return context.text('internal error\n', 500)
  })
  const reload = async (context: Context<HttpEnv>) => {
    const outcome = await api.reload(context.get('actor'))
    return outcome.ok ? context.text('ok\n') : context.text(`${outcome.problems.join('\n')}\n`, 500)
  }
  app.post('/', reload).put('/', reload)
  return (server) => void server.route('/-/reload', app)
}

const acknowledgementBody = z.object({
  by: z.string().trim().min(1, 'expected who it is').max(1_000),
  comment: z.string().max(10_000),
  until: instantBody.nullish(),
})

const previewBody = z.object({ matchers: matchersBody })

function alertOf(api: AlertingApi, fingerprint: string): Alert {
  const alert = api.alert(fingerprint)
  if (alert === undefined) throw new ApiError(404, 'no alert with this fingerprint is active')
  return alert
}

function alertJson(api: AlertingApi, alert: Alert, now: number) {
  const acknowledgement = api.acknowledgementOf(alert)
  return {
    ...alertmanagerAlert(api, alert, { now, suppression: api.suppressionOf(alert) }),
    state: alert.state,
    activeAt: new Date(alert.activeAt).toISOString(),
    noData:
      alert.noData === null
        ? null
        : { since: new Date(alert.noData.since).toISOString(), reason: alert.noData.reason },
    isFlapping: api.isFlapping(alert),
    externalUserId: externalUserId(alert),
    acknowledgement: acknowledgement === null ? null : acknowledgementJson(acknowledgement),
  }
}

/** For systems that know customers by it; some utilities use the e-mail address, which is personal. */
function externalUserId({ affected: { externalUserId: id } }: Alert): string | null {
  return id?.includes('@') ? null : id
}

function acknowledgementJson({ fingerprint, by, comment, at, until }: Acknowledgement) {
  return {
    fingerprint,
    by,
    comment,
    at: new Date(at).toISOString(),
    until: until === null ? null : new Date(until).toISOString(),
  }
}
