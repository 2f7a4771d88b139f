// What the pages ask of the service (http/page/page-sources.ts), answered from the parts that know it.

import type { Activity } from './activity.ts'
import type { Alerting } from './alerting.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import type { AlertHistory } from './alerts/history.ts'
import type { Config } from './config.ts'
import { type ExplainOptions, explain } from './explain.ts'
import { listHref } from './http/page/alerts-page.ts'
import type { PageRule, PageSources } from './http/page/page-sources.ts'
import type { Integration, LinkSource, Notification } from './notify/notification.ts'
import type { RuleSet } from './rules/rule.ts'

export interface PageSourcesOptions {
  readonly book: AlertBook
  readonly alerting: Alerting
  readonly history: AlertHistory
  readonly activity: Activity
  readonly explaining: ExplainOptions
  readonly linkFor: LinkSource
  readonly integrations: () => readonly Integration[]
  readonly current: () => { readonly config: Config; readonly rules: RuleSet }
  /** Ends what is still being asked of the partner. */
  readonly signal: AbortSignal
}

export function createPageSources(options: PageSourcesOptions): PageSources {
  const { book, alerting, history, activity, signal } = options
  return {
    find: (fingerprint) => book.byFingerprint(fingerprint),
    heldFor: (alert) => alerting.suppression.heldFor(alert, options.explaining.now()),
    history: (fingerprint) => history.of(fingerprint),
    explain: (fingerprint) => explain(fingerprint, options.explaining, signal),
    linkFor: (alert, asking) => options.linkFor(alert, AbortSignal.any([signal, asking])),
    walks: activity.walks,
    walkingSince: activity.walkingSince,
    rules: () => rulesOf(options.current().rules, activity),
    receivers: () =>
      options.current().config.alerting.receivers.map(({ name }) => ({
        name,
        integrations: options
          .integrations()
          .filter(({ receiver }) => receiver === name)
          .map((integration) => ({
            ...{ kind: integration.kind, index: integration.index },
            activity: activity.integration(integration),
          })),
      })),
    queue: () => alerting.dispatcher.status(),
    since: activity.since,
  }
}

function rulesOf(
  { deviceRules, userRules, fleetRules, serviceRules }: RuleSet,
  activity: Activity,
): PageRule[] {
  const all = [
    ...deviceRules,
    ...userRules.map((rule) => ({ ...rule, deviceTypes: [] })),
    ...fleetRules,
    ...serviceRules.map((rule) => ({ ...rule, deviceTypes: [] })),
  ]
  return all.map(({ id, alert: alertname, severity, each, deviceTypes, forMs, keepFiringForMs }) => ({
    ...{ id, alertname, severity, each, deviceTypes, forMs, keepFiringForMs },
    activity: activity.rule(alertname),
  }))
}

/** Where a message's "and N more" leads to: what its group has in common; null where people cannot reach us. */
export function morePageUrl(
  publicUrl: string | null,
  { groupLabels }: Pick<Notification, 'groupLabels'>,
): string | null {
  if (publicUrl === null) return null
  const { alertname = '', manufacturer = '', severity = '', ...others } = groupLabels
  const filter = Object.entries(others).map(
    ([name, value]) => `${JSON.stringify(name)}=${JSON.stringify(value)}`,
  )
  const root = `${publicUrl.replace(/\/+$/, '')}/`
  return listHref(root, { rule: alertname, manufacturer, severity, filter: filter.join(',') })
}
