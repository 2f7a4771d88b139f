// The keys that Alertmanager 0.28 to 0.32 knows and Fleetwarden does not, each with what to say about
// it. From Alertmanager's config/config.go and config/notifiers.go.

const unsupported = (...keys: readonly string[]) =>
  Object.fromEntries(
    keys.map((key) => [
      key,
      `\`${key}\` is valid Alertmanager configuration, but Fleetwarden does not support it yet`,
    ]),
  )

export const refusedInAlerting = unsupported(
  'inhibit_rules',
  'time_intervals',
  'mute_time_intervals',
  'templates',
  'tracing',
)

export const refusedInGlobal = unsupported(
  ...['resolve_timeout', 'http_config', 'jira_api_url', 'smtp_auth_identity', 'smtp_auth_secret'],
  ...['smtp_auth_secret_file', 'smtp_force_implicit_tls', 'slack_app_token', 'slack_app_token_file'],
  ...['slack_app_url', 'pagerduty_url', 'opsgenie_api_url', 'opsgenie_api_key', 'opsgenie_api_key_file'],
  ...['wechat_api_url', 'wechat_api_secret', 'wechat_api_secret_file', 'wechat_api_corp_id'],
  ...['victorops_api_url', 'victorops_api_key', 'victorops_api_key_file', 'telegram_api_url'],
  ...['telegram_bot_token', 'telegram_bot_token_file', 'webex_api_url', 'rocketchat_api_url'],
  ...['rocketchat_token', 'rocketchat_token_file', 'rocketchat_token_id', 'rocketchat_token_id_file'],
  ...['mattermost_webhook_url', 'mattermost_webhook_url_file'],
)

export const refusedInRoute = unsupported(
  ...['routes', 'matchers', 'match', 'match_re', 'continue', 'mute_time_intervals', 'active_time_intervals'],
)

export const refusedInReceiver = unsupported(
  ...['webhook_configs', 'pagerduty_configs', 'opsgenie_configs', 'discord_configs', 'incidentio_configs'],
  ...['wechat_configs', 'pushover_configs', 'victorops_configs', 'sns_configs', 'telegram_configs'],
  ...['webex_configs', 'msteams_configs', 'msteamsv2_configs', 'jira_configs', 'rocketchat_configs'],
  ...['mattermost_configs'],
)

export const refusedInSlack = {
  ...unsupported(
    ...['http_config', 'app_token', 'app_token_file', 'app_url', 'username', 'color', 'title', 'title_link'],
    ...['pretext', 'text', 'message_text', 'fields', 'short_fields', 'footer', 'fallback', 'callback_id'],
    ...['icon_emoji', 'icon_url', 'image_url', 'thumb_url', 'link_names', 'mrkdwn_in', 'actions', 'timeout'],
    ...['update_message'],
  ),
  channel:
    '`channel` is valid Alertmanager configuration, but a Slack webhook posts to the channel that it was made ' +
    'for: leave it out, and give each channel a webhook of its own',
}

export const refusedInEmail = unsupported(
  ...['auth_secret', 'auth_secret_file', 'auth_identity', 'headers', 'html', 'text', 'force_implicit_tls'],
  ...['threading'],
)

export const refusedInTls = {
  ...unsupported(
    ...['ca', 'cert', 'key', 'cert_file', 'key_file', 'ca_ref', 'cert_ref', 'key_ref', 'min_version'],
    ...['max_version'],
  ),
  insecure_skip_verify:
    '`insecure_skip_verify` is not supported, since anybody could then read the mail: name the certificate ' +
    'authority of the server with `ca_file`',
}
