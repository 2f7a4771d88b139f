// biome-ignore-all lint/suspicious/noTemplateCurlyInString: configurations use variables

import { describe, expect, test } from 'vitest'
import type { ReceiverConfig } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import { parseAlerting, told } from './parse.ts'

const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n'
const files = {
  key: 'from-file\n',
  url: 'https://relay.example/from-file\n',
  'ca.pem': pem,
  'title.liquid': '{{ a }}',
}

/** Secrets as texts, so that they can be compared. */
const revealed = (value: unknown): unknown =>
  value instanceof Secret
    ? `secret ${value.reveal()}`
    : Array.isArray(value)
      ? value.map(revealed)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revealed(item)]))
        : value

async function receiver(text: string, global = '{}'): Promise<ReceiverConfig> {
  const alerting = `global: ${global}\nroute: {receiver: r}\nreceivers: [{name: r, ${text}}]`
  const config = await parseAlerting(alerting, { files })
  return revealed(config.alerting.receivers[0]) as ReceiverConfig
}

const problems = (text: string, global = '{}') =>
  told(`global: ${global}\nroute: {receiver: r}\nreceivers: [{name: r, ${text}}]`, { files })

const noHttp = { authorization: null, followRedirects: true, ca: null, serverName: null }

describe('webhook_configs', () => {
  test('have a URL, limits and a way to log in', async () => {
    const { webhook } = await receiver(
      'webhook_configs: [{url: "http://relay:8080/x"}, {url_file: url, max_alerts: 5, timeout: 3s, send_resolved: false, show_personal_data: true, http_config: {basic_auth: {username: u, password_file: key}, tls_config: {ca_file: ca.pem, server_name: s}, follow_redirects: false}}]',
    )
    expect(webhook).toEqual([
      {
        url: 'secret http://relay:8080/x',
        maxAlerts: 0,
        timeoutMs: null,
        http: noHttp,
        sendResolved: true,
        showPersonalData: false,
      },
      {
        url: 'secret https://relay.example/from-file',
        maxAlerts: 5,
        timeoutMs: 3_000,
        http: {
          authorization: { kind: 'basic', username: 'u', password: 'secret from-file' },
          followRedirects: false,
          ca: pem,
          serverName: 's',
        },
        sendResolved: false,
        showPersonalData: true,
      },
    ])
  })

  test.each([
    ['{authorization: {credentials: x}}', { kind: 'header', type: 'Bearer', credentials: 'secret x' }],
    [
      '{authorization: {type: Token, credentials_file: key}}',
      { kind: 'header', type: 'Token', credentials: 'secret from-file' },
    ],
    ['{bearer_token: x}', { kind: 'header', type: 'Bearer', credentials: 'secret x' }],
    ['{bearer_token_file: key}', { kind: 'header', type: 'Bearer', credentials: 'secret from-file' }],
    ['{}', null],
  ])('log in with %s, their own or that of global', async (http, authorization) => {
    const own = await receiver(`webhook_configs: [{url: "https://h", http_config: ${http}}]`)
    const shared = await receiver(
      'webhook_configs: [{url: "https://h"}], alertmanager_configs: [{url: "https://h"}]',
      `{http_config: ${http}}`,
    )
    for (const { http } of [...own.webhook, ...shared.webhook, ...shared.alertmanager])
      expect(http.authorization).toEqual(authorization)
  })

  const unsafe = 'only to an https:// URL, or to this machine'
  test.each([
    ['{}', '3:41 "url" (or "url_file") is missing'],
    ['{url: relay}', '3:47 expected an http:// or https:// URL, got text'],
    ['{url: "http://h", show_personal_data: true}', `3:47 personal data goes ${unsafe}`],
    ['{url: "http://h", http_config: {bearer_token: x}}', `3:47 passwords and tokens go ${unsafe}`],
    ['{url: "https://h", max_alerts: -1}', '3:72 expected at least 0, got -1'],
    [
      '{url: "https://h", http_config: {basic_auth: {username: u}}}',
      '3:74 "password" (or "password_file") is',
    ],
    [
      '{url: "https://h", http_config: {bearer_token: x, basic_auth: {username: u, password: p}}}',
      '3:74 `basic_auth`, `bearer_token` are all given: leave one',
    ],
    [
      '{url: "https://h", http_config: {authorization: {type: Basic, credentials: x}}}',
      '3:96 expected a scheme',
    ],
    [
      '{url: "https://h", http_config: {proxy_url: x}}',
      '3:74 `proxy_url` is valid Alertmanager configuration, but',
    ],
    [
      '{url: "https://h", http_config: {oauth2: {}}}',
      '3:74 `oauth2` is valid Alertmanager configuration, but',
    ],
    [
      '{url: "https://h", http_config: {tls_config: {insecure_skip_verify: true}}}',
      '3:87 `insecure_skip_verify` is not supported',
    ],
  ])('refuse %s', async (webhook, expected) => {
    const lines = await problems(`webhook_configs: [${webhook}]`)
    expect(lines[0]).toContain(expected)
    expect(lines).toHaveLength(1)
  })

  test('on this machine may be spoken to in the clear', async () => {
    const { webhook } = await receiver(
      'webhook_configs: [{url: "http://127.0.0.1:1", show_personal_data: true}]',
    )
    expect(webhook).toHaveLength(1)
  })
})

describe('pagerduty_configs', () => {
  test('have a routing key, and the URL that global says', async () => {
    const { pagerduty } = await receiver(
      'pagerduty_configs: [{routing_key: k}, {routing_key_file: key, url: "https://eu.example/enqueue", client: c, client_url: "https://c", severity: error, class: a, component: b, group: g, send_resolved: false}]',
    )
    expect(pagerduty).toEqual([
      {
        routingKey: 'secret k',
        url: 'https://events.pagerduty.com/v2/enqueue',
        ...{ client: null, clientUrl: null, severity: null, class: null, component: null, group: null },
        http: noHttp,
        sendResolved: true,
        showPersonalData: false,
      },
      {
        routingKey: 'secret from-file',
        url: 'https://eu.example/enqueue',
        ...{ client: 'c', clientUrl: 'https://c', severity: 'error', class: 'a', component: 'b', group: 'g' },
        http: noHttp,
        sendResolved: false,
        showPersonalData: false,
      },
    ])
    const { pagerduty: shared } = await receiver(
      'pagerduty_configs: [{routing_key: k}]',
      '{pagerduty_url: "https://x"}',
    )
    expect(shared[0]?.url).toBe('https://x')
  })

  test.each([
    ['{}', '3:43 "routing_key" (or "routing_key_file") is missing'],
    [
      '{service_key: hunter2}',
      '3:44 `service_key` is valid Alertmanager configuration, but belongs to the Events API v1',
    ],
    ['{routing_key: k, severity: fatal}', '3:70 expected one of "critical", "error", "warning", "info"'],
    ["{routing_key: k, class: '{{ .CommonLabels.x }}'}", '3:67 expected plain text on one line'],
    ['{routing_key: k, details: {}}', '3:60 `details` is valid Alertmanager configuration, but'],
    ['{routing_key: k, url: "http://h"}', '3:65 expected an https:// URL'],
  ])('refuse %s', async (pagerduty, expected) => {
    const lines = await problems(`pagerduty_configs: [${pagerduty}]`)
    expect(lines[0]).toContain(expected)
    expect(lines).toHaveLength(1)
  })
})

describe('alertmanager_configs', () => {
  test.each(['https://am.example/x', 'https://am.example/x/', 'https://am.example/x/api/v2/alerts'])(
    'name an Alertmanager as %s',
    async (url) => {
      const { alertmanager } = await receiver(`alertmanager_configs: [{url: "${url}"}]`)
      expect(alertmanager).toEqual([
        { url: 'secret https://am.example/x', http: noHttp, sendResolved: true, showPersonalData: false },
      ])
    },
  )
})

describe('slack_configs', () => {
  const bot = { kind: 'bot', channel: '#c', apiBaseUrl: 'https://slack.com/api/' }
  const post = 'https://slack.com/api/chat.postMessage'
  test.each([
    ['{app_token: t, channel: "#c"}', '{}', { ...bot, token: 'secret t' }],
    ['{app_token_file: key, channel: "#c"}', '{}', { ...bot, token: 'secret from-file' }],
    ['{channel: "#c"}', '{slack_app_token: t}', { ...bot, token: 'secret t' }],
    ['{channel: "#c"}', '{slack_app_token: t, slack_api_url: "https://h"}', { ...bot, token: 'secret t' }],
    [
      '{app_token: t, channel: "#c"}',
      '{slack_app_url: "https://x.example/api/chat.postMessage"}',
      { ...bot, token: 'secret t', apiBaseUrl: 'https://x.example/api/' },
    ],
    [
      '{app_token: t, channel: "#c", app_url: "https://y.example/api"}',
      '{}',
      { ...bot, token: 'secret t', apiBaseUrl: 'https://y.example/api/' },
    ],
    [
      `{api_url: "${post}", channel: "#c", http_config: {authorization: {credentials: t}}}`,
      '{}',
      { ...bot, token: 'secret t' },
    ],
    [
      '{channel: "#c"}',
      `{slack_api_url: "${post}", http_config: {authorization: {credentials_file: key}}}`,
      { ...bot, token: 'secret from-file' },
    ],
    [
      '{}',
      '{slack_app_token: t, slack_api_url: "https://h"}',
      { kind: 'webhook', apiUrl: 'secret https://h' },
    ],
    ['{api_url: "https://o"}', '{slack_app_token: t}', { kind: 'webhook', apiUrl: 'secret https://o' }],
  ])('%s with global %s', async (slack, global, expected) => {
    expect((await receiver(`slack_configs: [${slack}]`, global)).slack).toEqual([
      { template: null, sendResolved: true, showPersonalData: false, ...expected },
    ])
  })

  test.each([
    ['{app_token: t}', '3:39 "channel" is missing, since a bot has no channel of its own'],
    ['{channel: c}', '3:39 "app_token" is missing here, and "slack_app_token" in `global`'],
    [
      '{app_token: t, api_url: "https://h", channel: c}',
      '3:40 "app_token" (a bot) and "api_url" (a webhook) are',
    ],
    [`{api_url: "${post}", channel: c}`, '3:39 "app_token" is missing (or `http_config.authorization`'],
    [
      '{api_url: "https://h", http_config: {authorization: {credentials: t}}}',
      '3:62 `http_config` is for a bot',
    ],
    ['{api_url: "https://h", channel: c}', '3:62 `channel` is valid Alertmanager configuration, but a Slack'],
    ['{app_token: t, channel: c, http_config: {tls_config: {}}}', '3:80 `tls_config` is valid'],
    ['{app_token: t, channel: "{{ x }}"}', '3:63 expected a channel such as'],
  ])('refuse %s', async (slack, expected) => {
    const lines = await problems(`slack_configs: [${slack}]`)
    expect(lines.some((line) => line.startsWith(expected))).toBe(true)
  })
})

describe('templates', () => {
  test('hold Liquid, in the file or beside it, which variables leave alone', async () => {
    const alerting = `route: {receiver: r}
receivers:
- name: r
  slack_configs:
  - api_url: https://h
    template:
      title_file: title.liquid
      text: "{% if x %}{{ x }}{% endif %} \${NAME} \${{ price }} $$\${{ sum }}"
  email_configs:
  - to: a@b.c
    from: a@b.c
    smarthost: m:25
    template: {subject: "{{ s }}", html_file: title.liquid}
  - {to: a@b.c, from: a@b.c, smarthost: "m:25"}`
    const [one] = (await parseAlerting(alerting, { files, env: { NAME: '{{ y }}' } })).alerting.receivers
    expect(one?.slack[0]?.template).toEqual({
      title: '{{ a }}',
      text: '{% if x %}{{ x }}{% endif %} {{ y }} ${{ price }} $${{ sum }}',
    })
    expect(one?.email.map((email) => email.template)).toEqual([
      { subject: '{{ s }}', text: null, html: '{{ a }}' },
      null,
    ])
  })

  test('of Go are refused, with the key to use', async () => {
    const lines = await problems(
      'slack_configs: [{api_url: "https://h", title: "{{ .x }}"}], email_configs: [{to: a@b.c, from: a@b.c, smarthost: "m:1", headers: {Subject: x}}]',
    )
    expect(lines.map((line) => line.replace(/.*write/, 'write'))).toEqual([
      'write a Liquid one under `template`, as `title` or in a file',
      'write a Liquid one under `template`, as `subject` or in a file',
    ])
  })
})

describe('sections of our own', () => {
  const alerting = 'route: {receiver: a}\nreceivers: [{name: a}, {name: deputy}]'
  const parse = (more: string) => parseAlerting(alerting, { more })

  test('say how long silences last, what flaps, what is a mass, and who is told else', async () => {
    const config = await parse(
      'silences: {max_duration: 0, remind_before: 0, tell_when_ended: false}\n' +
        'acknowledgements: {remind_every: 0, max_duration: 1d}\n' +
        'flapping: {window: 1h, high: 4, low: 2}\nmass_change: {share: 1, minimum: 9, hold: 5m}\n' +
        'notifications: {fallback_receiver: deputy}\n',
    )
    expect(config).toMatchObject({
      silences: { maxDurationMs: null, remindBeforeMs: 0, tellWhenEnded: false },
      acknowledgements: { remindEveryMs: 0, maxDurationMs: 86_400_000 },
      flapping: { windowMs: 3_600_000, high: 4, low: 2 },
      massChange: { share: 1, minimum: 9, holdMs: 300_000 },
      fallbackReceiver: 'deputy',
    })
    expect(await parse('flapping: false\nmass_change: false\n')).toMatchObject({
      flapping: null,
      massChange: null,
    })
  })

  test.each([
    ['flapping: {high: 3}', 'expected high above low'],
    ['flapping: {high: 3, low: 0}', 'expected at least 1, got 0'],
    ['flapping: {hihg: 3}', 'unknown key "hihg": did you mean "high"?'],
    ['flapping: true', 'expected false or a mapping, got true'],
    ['mass_change: {share: 0}', 'expected more than 0, got 0'],
    ['mass_change: {share: 1.5}', 'expected at most 1, got 1.5'],
    ['notifications: {fallback_receiver: deputi}', 'there is no receiver "deputi": did you mean "deputy"?'],
    ['silences: {max_duration: 2y}', 'expected a duration from 0s to 365d, got "2y"'],
  ])('refuse %s', async (more, expected) => {
    const lines = await told(alerting, { more: `${more}\n` })
    expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual([expected])
  })
})

test('resolve_timeout is kept for alerts without an end', async () => {
  const text = 'global: {resolve_timeout: 3m}\nroute: {receiver: r}\nreceivers: [{name: r}]'
  expect((await parseAlerting(text)).alerting.resolveTimeoutMs).toBe(180_000)
})
