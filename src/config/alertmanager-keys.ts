// The keys that Alertmanager 0.28 to 0.32 knows and Fleetwarden does not, each with what to say about
// it. From Alertmanager's config/config.go and config/notifiers.go, and http_config.go of
// prometheus/common.

type Refusals = Readonly<Record<string, string>>

const unsupported = (...keys: readonly string[]): Refusals =>
  because('but Fleetwarden does not support it yet', ...keys)

const because = (reason: string, ...keys: readonly string[]): Refusals =>
  Object.fromEntries(keys.map((key) => [key, `\`${key}\` is valid Alertmanager configuration, ${reason}`]))

const goTemplate = (where: string, ...keys: readonly string[]): Refusals =>
  because(
    `but holds a Go template: write a Liquid one under \`template\`, as \`${where}\` or in a file`,
    ...keys,
  )

export const refusedInAlerting: Refusals = {
  ...unsupported('tracing'),
  ...because(
    'but names files of Go templates: write Liquid ones under `template` in slack_configs and email_configs',
    'templates',
  ),
}

export const refusedInGlobal = unsupported(
  ...['jira_api_url', 'smtp_auth_identity', 'smtp_auth_secret'],
  ...['smtp_auth_secret_file', 'smtp_force_implicit_tls', 'opsgenie_api_url', 'opsgenie_api_key'],
  ...['opsgenie_api_key_file', 'wechat_api_url', 'wechat_api_secret', 'wechat_api_secret_file'],
  ...['wechat_api_corp_id', 'victorops_api_url', 'victorops_api_key', 'victorops_api_key_file'],
  ...['telegram_api_url', 'telegram_bot_token', 'telegram_bot_token_file', 'webex_api_url'],
  ...['rocketchat_api_url', 'rocketchat_token', 'rocketchat_token_file', 'rocketchat_token_id'],
  ...['rocketchat_token_id_file', 'mattermost_webhook_url', 'mattermost_webhook_url_file'],
)

export const refusedInRootRoute: Refusals = Object.fromEntries([
  ...['matchers', 'match', 'match_re'].map((key) => [
    key,
    `\`${key}\` cannot stand at the root, which every alert reaches: put it into one of its \`routes\``,
  ]),
  ...['mute_time_intervals', 'active_time_intervals'].map((key) => [
    key,
    `\`${key}\` cannot stand at the root, which every alert reaches: put it into \`routes\`; it is not inherited`,
  ]),
])

export const refusedInInhibitRule = unsupported('sources')

export const refusedInTimeInterval: Refusals = {
  time_zone: '`time_zone` is called `location`',
}

export const refusedInReceiver = unsupported(
  ...['opsgenie_configs', 'discord_configs', 'incidentio_configs'],
  ...['wechat_configs', 'pushover_configs', 'victorops_configs', 'sns_configs', 'telegram_configs'],
  ...['webex_configs', 'msteams_configs', 'msteamsv2_configs', 'jira_configs', 'rocketchat_configs'],
  ...['mattermost_configs'],
)

export const refusedInWebhook = unsupported('payload')

export const refusedInPagerduty: Refusals = {
  ...unsupported('description', 'details', 'images', 'links', 'source', 'timeout'),
  ...because(
    'but belongs to the Events API v1, which knows no groups: make an integration of type "Events API v2" and give its `routing_key`',
    ...['service_key', 'service_key_file'],
  ),
}

export const refusedInSlack: Refusals = {
  ...unsupported(
    ...['username', 'color', 'title_link'],
    ...['pretext', 'message_text', 'fields', 'short_fields', 'footer', 'fallback', 'callback_id'],
    ...['icon_emoji', 'icon_url', 'image_url', 'thumb_url', 'link_names', 'mrkdwn_in', 'actions', 'timeout'],
  ),
  ...because('and a bot always does it: its messages follow their group', 'update_message'),
  ...goTemplate('title', 'title'),
  ...goTemplate('text', 'text'),
}

/** Said when `channel` stands beside a webhook. */
export const channelOfWebhook =
  '`channel` is valid Alertmanager configuration, but a Slack webhook posts to the channel that it was made ' +
  'for: leave it out, and give each channel a webhook of its own (or be a bot, with `app_token`)'

export const refusedInEmail: Refusals = {
  ...unsupported('auth_secret', 'auth_secret_file', 'auth_identity', 'force_implicit_tls'),
  ...because('and mails of a group are always in one thread', 'threading'),
  ...goTemplate('html', 'html'),
  ...goTemplate('text', 'text'),
  ...goTemplate('subject', 'headers'),
}

export const refusedInTls: Refusals = {
  ...unsupported(
    ...['ca', 'cert', 'key', 'cert_file', 'key_file', 'ca_ref', 'cert_ref', 'key_ref', 'min_version'],
    ...['max_version'],
  ),
  insecure_skip_verify:
    '`insecure_skip_verify` is not supported, since anybody in between could then read what is sent: name the ' +
    'certificate authority of the server with `ca_file`',
}

const proxy = because(
  'but Fleetwarden speaks to receivers directly: allow it the way out, or give the URL of a relay',
  ...['proxy_url', 'no_proxy', 'proxy_from_environment', 'proxy_connect_header'],
)

export const refusedInHttp: Refusals = {
  ...proxy,
  ...because('but Fleetwarden fetches no tokens: give `authorization` or `basic_auth`', 'oauth2'),
  ...because('but Fleetwarden speaks HTTP/1.1 to receivers: leave it out', 'enable_http2'),
  ...unsupported('http_headers', 'sigv4'),
}

/** A Slack bot takes its token from `http_config`, and nothing else. */
export const refusedInSlackHttp: Refusals = {
  ...refusedInHttp,
  ...because(
    'but Slack takes only the token of a bot: give `authorization`, or better `app_token`',
    ...['basic_auth', 'bearer_token', 'bearer_token_file', 'tls_config', 'follow_redirects'],
  ),
}

export const refusedInBasicAuth = unsupported('username_file', 'username_ref', 'password_ref')

export const refusedInAuthorization = unsupported('credentials_ref')
