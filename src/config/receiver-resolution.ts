// How receivers and `global` come together: what has to come from either, and what wins.

import { Secret } from '../secret.ts'
import type { YamlPath } from '../yaml-file.ts'
import { channelOfWebhook } from './alertmanager-keys.ts'
import { isLoopback, withoutTrailingSlash } from './fields.ts'
import { checkHttp, resolveHttp } from './http-schema.ts'
import { resolveOwner } from './owner-schema.ts'
import type {
  EmailConfig,
  EmailTemplate,
  ReceiverConfig,
  SlackConfig,
  SlackTemplate,
  SmtpConfig,
} from './receiver-config.ts'
import type { ParsedGlobal, ParsedReceiver } from './receiver-schemas.ts'
import { has, type Mapping, mapping, mappings, type Report } from './unchecked.ts'

// --- checks across

export function checkReceiver(receiver: Mapping, global: Mapping, path: YamlPath, report: Report): void {
  for (const [index, slack] of mappings(receiver['slack_configs'])) {
    checkSlack(slack, global, [...path, 'slack_configs', index], report)
  }
  for (const [index, email] of mappings(receiver['email_configs'])) {
    checkEmail(email, global, [...path, 'email_configs', index], report)
  }
  for (const [index, owner] of mappings(receiver['owner_configs'])) {
    checkEmail(owner, global, [...path, 'owner_configs', index], report)
  }
  const required = {
    webhook_configs: 'url',
    pagerduty_configs: 'routing_key',
    alertmanager_configs: 'url',
  }
  for (const [list, key] of Object.entries(required)) {
    for (const [index, item] of mappings(receiver[list])) {
      const at = [...path, list, index]
      const isOldPagerduty = has(item, 'service_key')
      if (!has(item, key) && !isOldPagerduty)
        report(at, `"${key}" (or "${key}_file") is missing`, { key: true })
      checkHttp(item['http_config'], [...at, 'http_config'], report)
    }
  }
}

function checkSlack(slack: Mapping, global: Mapping, path: YamlPath, report: Report): void {
  const kind = slackKind(slack, global)
  checkHttp(slack['http_config'], [...path, 'http_config'], report)
  if (has(slack, 'app_token') && has(slack, 'api_url')) {
    const key = slack['app_token'] === undefined ? 'app_token_file' : 'app_token'
    report([...path, key], '"app_token" (a bot) and "api_url" (a webhook) are both given: leave one out', {
      key: true,
    })
    return
  }
  if (kind === 'none') {
    const message = has(slack, 'channel')
      ? '"app_token" is missing here, and "slack_app_token" in `global`'
      : '"api_url" is missing here, and "slack_api_url" in `global`'
    report(path, message)
    return
  }
  if (kind === 'webhook') {
    if (slack['channel'] !== undefined) report([...path, 'channel'], channelOfWebhook, { key: true })
    for (const key of ['http_config', 'app_url']) {
      if (slack[key] === undefined) continue
      const message = `\`${key}\` is for a bot, and this is a webhook: a bot has \`app_token\`, or \`api_url: https://slack.com/api/chat.postMessage\``
      report([...path, key], message, { key: true })
    }
    return
  }
  if (slack['channel'] === undefined)
    report(path, '"channel" is missing, since a bot has no channel of its own')
  if (kind === 'post_message') {
    const authorization = authorizationOf(slack, global)
    if (authorization === undefined) {
      report(path, '"app_token" is missing (or `http_config.authorization` with the token of the bot)')
    }
    if (slack['app_url'] !== undefined)
      report([...path, 'app_url'], '"app_url" and "api_url" are both given: leave one out', { key: true })
  } else if (slack['http_config'] !== undefined) {
    report([...path, 'http_config'], '"app_token" and `http_config` both name the token: leave one out', {
      key: true,
    })
  }
}

function authorizationOf(slack: Mapping, global: Mapping): unknown {
  return mapping(slack['http_config'])['authorization'] ?? mapping(global['http_config'])['authorization']
}

/**
 * What an entry of slack_configs is. With both a webhook and a token in `global`, it is the bot's if it
 * names a channel. `post_message`: the older way of a bot, with a webhook's keys. Takes what a schema
 * has checked and what it has not.
 */
function slackKind(slack: Mapping, global: Mapping): 'bot' | 'post_message' | 'webhook' | 'none' {
  if (has(slack, 'app_token')) return 'bot'
  if (has(slack, 'api_url')) return isPostMessage(slack['api_url']) ? 'post_message' : 'webhook'
  const isForBot = slack['channel'] !== undefined || !has(global, 'slack_api_url')
  if (has(global, 'slack_app_token') && isForBot) return 'bot'
  if (has(global, 'slack_api_url')) return isPostMessage(global['slack_api_url']) ? 'post_message' : 'webhook'
  return 'none'
}

function isPostMessage(url: unknown): boolean {
  const text = url instanceof Secret ? url.reveal() : url
  return typeof text === 'string' && /\/chat\.postMessage$/.test(text)
}

function checkEmail(email: Mapping, global: Mapping, path: YamlPath, report: Report): void {
  for (const key of ['smarthost', 'from']) {
    if (has(email, key) || has(global, `smtp_${key}`)) continue
    report(path, `"${key}" is missing here, and "smtp_${key}" in \`global\``)
  }
  const hasUsername = has(email, 'auth_username') || has(global, 'smtp_auth_username')
  const hasPassword = has(email, 'auth_password') || has(global, 'smtp_auth_password')
  if (hasUsername && !hasPassword) report(path, 'there is a user name for the mail server, but no password')
  if (hasPassword && !hasUsername) report(path, 'there is a password for the mail server, but no user name')
}

// --- resolution

/** Call it only with what checkReceiver found nothing wrong in. */
export function resolveReceiver(receiver: ParsedReceiver, global: ParsedGlobal): ReceiverConfig {
  return {
    name: receiver.name,
    slack: receiver.slack_configs.map((slack) => resolveSlack(slack, global)),
    email: receiver.email_configs.map((email) => resolveEmail(email, global)),
    webhook: receiver.webhook_configs.map((webhook) => ({
      url: given(webhook.url ?? webhook.url_file, 'url'),
      maxAlerts: webhook.max_alerts,
      timeoutMs: webhook.timeout === undefined || webhook.timeout === 0 ? null : webhook.timeout,
      http: resolveHttp(webhook.http_config ?? global.http_config),
      sendResolved: webhook.send_resolved,
      showPersonalData: webhook.show_personal_data,
    })),
    pagerduty: receiver.pagerduty_configs.map((pagerduty) => ({
      routingKey: given(pagerduty.routing_key ?? pagerduty.routing_key_file, 'routing_key'),
      url: pagerduty.url ?? global.pagerduty_url,
      client: pagerduty.client ?? null,
      clientUrl: pagerduty.client_url ?? null,
      severity: pagerduty.severity ?? null,
      class: pagerduty.class ?? null,
      component: pagerduty.component ?? null,
      group: pagerduty.group ?? null,
      http: resolveHttp(pagerduty.http_config ?? global.http_config),
      sendResolved: pagerduty.send_resolved,
      showPersonalData: false,
    })),
    alertmanager: receiver.alertmanager_configs.map((alertmanager) => ({
      url: alertmanagerBase(given(alertmanager.url ?? alertmanager.url_file, 'url')),
      http: resolveHttp(alertmanager.http_config ?? global.http_config),
      sendResolved: alertmanager.send_resolved,
      showPersonalData: false,
    })),
    owner: receiver.owner_configs.map((owner) => resolveOwner(owner, resolveSmtp(owner, global))),
  }
}

function alertmanagerBase(url: Secret): Secret {
  return new Secret(withoutTrailingSlash(url.reveal().replace(/\/api\/v2(?:\/alerts)?\/*$/, '')))
}

function resolveSlack(slack: ParsedReceiver['slack_configs'][number], global: ParsedGlobal): SlackConfig {
  const common = {
    template: slackTemplate(slack.template),
    sendResolved: slack.send_resolved,
    showPersonalData: slack.show_personal_data,
  }
  const kind = slackKind(slack, global)
  const url = slack.api_url ?? slack.api_url_file ?? global.slack_api_url ?? global.slack_api_url_file
  if (kind === 'webhook') return { kind: 'webhook', apiUrl: given(url, 'api_url'), ...common }
  const authorization = slack.http_config?.authorization ?? global.http_config?.authorization
  const token =
    kind === 'post_message'
      ? (authorization?.credentials ?? authorization?.credentials_file)
      : (slack.app_token ?? slack.app_token_file ?? global.slack_app_token ?? global.slack_app_token_file)
  const postUrl =
    kind === 'post_message' ? given(url, 'api_url').reveal() : (slack.app_url ?? global.slack_app_url)
  return {
    kind: 'bot',
    token: given(token, 'app_token'),
    channel: given(slack.channel, 'channel'),
    apiBaseUrl: `${withoutTrailingSlash(postUrl.replace(/\/chat\.postMessage$/, ''))}/`,
    ...common,
  }
}

function slackTemplate(template: ParsedReceiver['slack_configs'][number]['template']): SlackTemplate | null {
  if (template === undefined) return null
  return {
    title: template.title ?? template.title_file ?? null,
    text: template.text ?? template.text_file ?? null,
  }
}

function resolveEmail(email: ParsedReceiver['email_configs'][number], global: ParsedGlobal): EmailConfig {
  return {
    ...resolveSmtp(email, global),
    to: email.to,
    sendResolved: email.send_resolved,
    showPersonalData: email.show_personal_data,
    template: emailTemplate(email.template),
  }
}

function resolveSmtp(
  own: ParsedReceiver['email_configs'][number] | ParsedReceiver['owner_configs'][number],
  global: ParsedGlobal,
): SmtpConfig {
  const server = given(own.smarthost ?? global.smtp_smarthost, 'smarthost')
  const tls = own.tls_config ?? global.smtp_tls_config
  return {
    from: given(own.from ?? global.smtp_from, 'from'),
    smarthost: server,
    hello: own.hello ?? global.smtp_hello ?? null,
    username: own.auth_username ?? global.smtp_auth_username ?? null,
    password:
      own.auth_password ??
      own.auth_password_file ??
      global.smtp_auth_password ??
      global.smtp_auth_password_file ??
      null,
    requireTls: own.require_tls ?? global.smtp_require_tls ?? !isLoopback(server.host),
    ca: tls?.ca_file ?? null,
    serverName: tls?.server_name ?? null,
  }
}

function emailTemplate(template: ParsedReceiver['email_configs'][number]['template']): EmailTemplate | null {
  if (template === undefined) return null
  return {
    subject: template.subject ?? template.subject_file ?? null,
    text: template.text ?? template.text_file ?? null,
    html: template.html ?? template.html_file ?? null,
  }
}

function given<T>(value: T | undefined, key: string): T {
  if (value === undefined) throw new Error(`${key} is missing although the configuration was checked`)
  return value
}
