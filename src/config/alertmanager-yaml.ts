// The alerting section as a configuration that Alertmanager's own loader accepts: what GET
// /api/v2/status answers, and amtool and Grafana read. Written from what was resolved, with a mask in
// the place of each secret, so there is nothing in it to leak. Left out is what loaders from 0.24 on do
// not all know: keys of ours, names of inhibition rules, timeouts, app tokens (written as the
// `http_config` that they amount to), and the paths of files.

import { stringify } from 'yaml'
import type { Matcher } from '../matcher.ts'
import type { AlertingConfig } from './alerting.ts'
import type { InhibitRule } from './inhibit-schema.ts'
import type {
  EmailConfig,
  HttpClientConfig,
  PagerdutyConfig,
  ReceiverConfig,
  SlackConfig,
  WebhookConfig,
} from './receiver-config.ts'
import type { Route } from './route-schema.ts'
import {
  type NamedTimeInterval,
  type Range,
  type TimeInterval,
  weekdayNames,
} from './time-interval-schema.ts'

const masked = '<secret>'
/** Where older loaders take only a URL. */
const maskedUrl = 'https://masked.invalid/'

/** YAML text. Whatever is inherited in the tree is written out. */
export function alertmanagerConfig(config: AlertingConfig): string {
  const value = {
    global: { resolve_timeout: goDuration(config.resolveTimeoutMs) },
    route: root(config.route),
    inhibit_rules: config.inhibitRules.map(inhibitRule),
    time_intervals: config.timeIntervals.map(namedTimeInterval),
    receivers: config.receivers.map(receiver),
  }
  // In quotes, no text can be taken for something else by a reader of YAML 1.1, such as Go's.
  return stringify(value, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 })
}

function root(route: Route) {
  return { ...options(route), routes: route.routes.map(inner) }
}

function inner(route: Route): object {
  return {
    ...options(route),
    matchers: route.matchers.map(matcher),
    continue: route.continue,
    mute_time_intervals: route.muteTimeIntervals,
    active_time_intervals: route.activeTimeIntervals,
    routes: route.routes.map(inner),
  }
}

function options(route: Route) {
  return {
    receiver: route.receiver,
    group_by: route.groupBy === 'all' ? ['...'] : route.groupBy,
    group_wait: goDuration(route.groupWaitMs),
    group_interval: goDuration(route.groupIntervalMs),
    repeat_interval: goDuration(route.repeatIntervalMs),
  }
}

/**
 * Loaders before 0.27 know three escapes only, and take the backslash of any other for itself; later
 * ones take all other characters as they are, too.
 */
function matcher({ name, operator, value }: Matcher): string {
  const escaped = value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')
  return `${name}${operator}"${escaped}"`
}

function inhibitRule(rule: InhibitRule) {
  return {
    source_matchers: rule.sourceMatchers.map(matcher),
    target_matchers: rule.targetMatchers.map(matcher),
    equal: rule.equal,
  }
}

function namedTimeInterval({ name, intervals }: NamedTimeInterval) {
  return { name, time_intervals: intervals.map(timeInterval) }
}

function timeInterval(interval: TimeInterval) {
  const ranges = (list: readonly Range[] | null, show: (member: number) => string = String) =>
    list?.map(({ start, end }) => (start === end ? show(start) : `${show(start)}:${show(end)}`))
  return present({
    times: interval.times?.map(({ start, end }) => ({
      start_time: clockTime(start),
      end_time: clockTime(end),
    })),
    weekdays: ranges(interval.weekdays, (day) => weekdayNames[day] ?? ''),
    days_of_month: ranges(interval.daysOfMonth),
    months: ranges(interval.months),
    years: ranges(interval.years),
    location: interval.location,
  })
}

function clockTime(minutes: number): string {
  const two = (number: number) => String(number).padStart(2, '0')
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
}

function receiver({ name, slack, email, webhook, pagerduty }: ReceiverConfig) {
  const list = <T>(items: readonly T[], show: (item: T) => object) =>
    items.length > 0 ? items.map(show) : undefined
  return present({
    name,
    slack_configs: list(slack, slackConfig),
    email_configs: list(email, emailConfig),
    webhook_configs: list(webhook, webhookConfig),
    pagerduty_configs: list(pagerduty, pagerdutyConfig),
  })
}

function slackConfig(slack: SlackConfig) {
  const shared = { send_resolved: slack.sendResolved, api_url: masked }
  if (slack.kind === 'webhook') return shared
  const authorization = { type: 'Bearer', credentials: masked }
  return { ...shared, channel: slack.channel, http_config: { authorization } }
}

function emailConfig(email: EmailConfig) {
  const { host, port } = email.smarthost
  return present({
    send_resolved: email.sendResolved,
    to: email.to.join(', '),
    from: email.from,
    smarthost: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    hello: email.hello,
    auth_username: email.username,
    auth_password: email.password === null ? null : masked,
    require_tls: email.requireTls,
    tls_config: email.serverName === null ? null : { server_name: email.serverName },
  })
}

function webhookConfig(webhook: WebhookConfig) {
  return {
    send_resolved: webhook.sendResolved,
    url: maskedUrl,
    max_alerts: webhook.maxAlerts,
    http_config: httpConfig(webhook.http),
  }
}

function pagerdutyConfig(pagerduty: PagerdutyConfig) {
  return present({
    send_resolved: pagerduty.sendResolved,
    routing_key: masked,
    url: pagerduty.url,
    client: pagerduty.client,
    client_url: pagerduty.clientUrl,
    severity: pagerduty.severity,
    class: pagerduty.class,
    component: pagerduty.component,
    group: pagerduty.group,
    http_config: httpConfig(pagerduty.http),
  })
}

function httpConfig({ authorization, followRedirects, serverName }: HttpClientConfig) {
  return present({
    basic_auth:
      authorization?.kind === 'basic' ? { username: authorization.username, password: masked } : null,
    authorization:
      authorization?.kind === 'header' ? { type: authorization.type, credentials: masked } : null,
    tls_config: serverName === null ? null : { server_name: serverName },
    follow_redirects: followRedirects,
  })
}

/** Without what has no value. */
function present(entries: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(
    Object.entries(entries).filter(([, value]) => value !== null && value !== undefined),
  )
}

/** In the largest unit that divides it, since that is how people wrote it. */
function goDuration(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const
  const unit = units.find(([, size]) => ms > 0 && ms % size === 0)
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`
}
