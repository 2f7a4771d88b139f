// What the shared suite needs of each kind of receiver: a peer to run against, each answer that the
// peer may give with the outcome it means, and what people would see.

import { z } from 'zod'
import { createClock, systemClock } from '../../../src/clock.ts'
import type {
  AlertmanagerConfig,
  EmailConfig,
  HttpClientConfig,
  PagerdutyConfig,
  ReceiverConfig,
  SlackBotConfig,
  SlackConfig,
  SlackWebhookConfig,
  WebhookConfig,
} from '../../../src/config.ts'
import { startMailInbox } from '../../../src/demo/mail-inbox.ts'
import { startSlackInbox } from '../../../src/demo/slack-inbox.ts'
import type { Integration, SendOutcome } from '../../../src/notify/notification.ts'
import { createIntegrations, type IntegrationDeps } from '../../../src/notify/receivers/registry.ts'
import { Secret } from '../../../src/secret.ts'
import { type HttpReply, type HttpRequest, startScriptedHttp } from './scripted-http.ts'
import { startScriptedSmtp } from './scripted-smtp.ts'

export interface Peer {
  readonly integration: Integration
  /** Makes the peer give the answer of this name from now on. */
  answer(name: string): void
  hang(): void
  /** Everything that people could see of the messages that arrived, as sent. */
  received(): readonly string[]
  /** The parts of them that a program interprets: what must not be in there is `forbidden`. */
  markup(): readonly string[]
  close(): Promise<void>
}

export interface PeerKind {
  readonly name: string
  /** What the integration calls itself. */
  readonly kind: string
  /** People get words and a list of ten; programs get data, and all of it. */
  readonly readers: 'people' | 'programs'
  /** Answers by name, and what each one means. */
  readonly answers: Readonly<Record<string, Expected>>
  /** What must be in no outcome. */
  readonly secrets: readonly string[]
  /** Commands and tags that only hostile data would bring in. */
  readonly forbidden: RegExp
  start(options?: { readonly showPersonalData?: boolean }): Promise<Peer>
  /** Where HTTP is spoken. */
  readonly http?: {
    /** Sends everything to this origin, whatever path it takes there. */
    integrationAt(origin: string, requestTimeoutMs: number): Integration
    /** Given with every 2xx. */
    readonly success: string
    /** Whether a success is believed by its status alone. */
    readonly believesStatus: boolean
    /** Against the rule: a 2xx without the body that it needs, and what fetch makes an error of. */
    readonly retried: readonly number[]
  }
}

type Expected = {
  readonly kind: SendOutcome['kind']
  readonly reason?: RegExp
  readonly retryAfterMs?: number | null
}

export const deps = {
  // A second's wait takes a fiftieth of it.
  clock: createClock({ factor: 50 }),
  moreUrl: () => 'https://fleet.example.com/alerts',
  onLayoutRefused: () => {},
  onTemplateFailure: () => {},
}

export function slackConfig(url: string, changes: Partial<SlackWebhookConfig> = {}): SlackWebhookConfig {
  return {
    kind: 'webhook',
    apiUrl: new Secret(url),
    sendResolved: true,
    showPersonalData: false,
    template: null,
    ...changes,
  }
}

export function emailConfig(port: number, changes: Partial<EmailConfig> = {}): EmailConfig {
  return {
    to: ['oncall@example.com'],
    from: 'Fleet <fleet@example.org>',
    smarthost: { host: '127.0.0.1', port },
    hello: null,
    username: null,
    password: null,
    requireTls: false,
    ca: null,
    serverName: null,
    sendResolved: true,
    showPersonalData: false,
    template: null,
    ...changes,
  }
}

export function slackBotConfig(apiBaseUrl: string, changes: Partial<SlackBotConfig> = {}): SlackBotConfig {
  return {
    kind: 'bot',
    token: new Secret('xoxb-inbox'),
    channel: '#on-call',
    apiBaseUrl,
    sendResolved: true,
    showPersonalData: false,
    template: null,
    ...changes,
  }
}

export function httpConfig(changes: Partial<HttpClientConfig> = {}): HttpClientConfig {
  return { authorization: null, followRedirects: true, ca: null, serverName: null, ...changes }
}

export function webhookConfig(url: string, changes: Partial<WebhookConfig> = {}): WebhookConfig {
  return {
    url: new Secret(url),
    maxAlerts: 0,
    timeoutMs: null,
    http: httpConfig(),
    sendResolved: true,
    showPersonalData: false,
    ...changes,
  }
}

export function pagerdutyConfig(url: string, changes: Partial<PagerdutyConfig> = {}): PagerdutyConfig {
  return {
    routingKey: new Secret(routingKey),
    url,
    client: null,
    clientUrl: null,
    severity: null,
    class: null,
    component: null,
    group: null,
    http: httpConfig(),
    sendResolved: true,
    showPersonalData: false,
    ...changes,
  }
}

export const routingKey = '5ec4e7a0b1c2d3e4f5061728394a5b6c'

export function alertmanagerConfig(
  url: string,
  changes: Partial<AlertmanagerConfig> = {},
): AlertmanagerConfig {
  return { url: new Secret(url), http: httpConfig(), sendResolved: true, showPersonalData: false, ...changes }
}

/** A receiver with nothing in it. */
export function receiverConfig(name: string): ReceiverConfig {
  return { name, slack: [], email: [], webhook: [], pagerduty: [], alertmanager: [], owner: [] }
}

export function integrationOf(
  configs: {
    slack?: SlackConfig
    email?: EmailConfig
    webhook?: WebhookConfig
    pagerduty?: PagerdutyConfig
    alertmanager?: AlertmanagerConfig
  },
  changes: Partial<IntegrationDeps> = {},
): Integration {
  const listed = <C>(config: C | undefined) => (config === undefined ? [] : [config])
  const [integration] = createIntegrations(
    [
      {
        ...receiverConfig('on-call'),
        slack: listed(configs.slack),
        email: listed(configs.email),
        webhook: listed(configs.webhook),
        pagerduty: listed(configs.pagerduty),
        alertmanager: listed(configs.alertmanager),
      },
    ],
    { ...deps, ...changes },
  )
  if (integration === undefined) throw new Error('no integration')
  return integration
}

const inAnHour = new Date(Date.UTC(2030, 0, 1, 13)).toUTCString()
const thatNoon = new Date(Date.UTC(2030, 0, 1, 12, 59)).toUTCString()

const slackAnswers: Record<
  string,
  { status: number; body: string; headers?: Record<string, string> } & Expected
> = {
  '200 ok': { status: 200, body: 'ok', kind: 'ok' },
  '200 ok with a line break': { status: 200, body: 'ok\n', kind: 'ok' },
  '200 success of an imitation': { status: 200, body: '{"success":true}', kind: 'ok' },
  '200 of somebody else': {
    status: 200,
    body: '<html>please log in</html>',
    kind: 'retry',
    reason: /not Slack/,
  },
  '200 with an error': {
    status: 200,
    body: '{"ok":false,"error":"fatal_error"}',
    kind: 'retry',
    reason: /fatal_error/,
  },
  '204': { status: 204, body: '', kind: 'retry' },
  '302': {
    status: 302,
    body: '',
    headers: { location: 'https://login.example/' },
    kind: 'retry',
    reason: /network/,
  },
  '400 invalid_blocks': {
    status: 400,
    body: 'invalid_blocks',
    kind: 'permanent',
    reason: /HTTP 400 invalid_blocks/,
  },
  '400 without a word': { status: 400, body: '', kind: 'permanent', reason: /^HTTP 400$/ },
  '401': { status: 401, body: 'unauthorized', kind: 'permanent', reason: /401/ },
  '403 invalid_token': {
    status: 403,
    body: 'invalid_token',
    kind: 'permanent',
    reason: /HTTP 403 invalid_token/,
  },
  '404 no_service': { status: 404, body: 'no_service', kind: 'permanent', reason: /no_service/ },
  '408': { status: 408, body: '', kind: 'retry', reason: /408/ },
  '410 channel_is_archived': { status: 410, body: 'channel_is_archived', kind: 'permanent' },
  '413': { status: 413, body: '', kind: 'permanent', reason: /413/ },
  '425': { status: 425, body: '', kind: 'retry' },
  '429 in seconds': {
    status: 429,
    body: '',
    headers: { 'retry-after': '30' },
    kind: 'rate_limited',
    retryAfterMs: 30_000,
  },
  '429 with a date': {
    status: 429,
    body: '',
    headers: { 'retry-after': inAnHour, date: thatNoon },
    kind: 'rate_limited',
    retryAfterMs: 60_000,
  },
  '429 with a date in the past': {
    status: 429,
    body: '',
    headers: { 'retry-after': thatNoon, date: inAnHour },
    kind: 'rate_limited',
    retryAfterMs: 0,
  },
  '429 for a year': {
    status: 429,
    body: '',
    headers: { 'retry-after': '31536000' },
    kind: 'rate_limited',
    retryAfterMs: 3_600_000,
  },
  '429 in the body': {
    status: 429,
    body: '{"ok":false,"error":"rate_limited","retry_after":2}',
    kind: 'rate_limited',
    retryAfterMs: 2_000,
  },
  '429 with nonsense': {
    status: 429,
    body: '{',
    headers: { 'retry-after': 'soon' },
    kind: 'rate_limited',
    retryAfterMs: null,
  },
  '500 rollup_error': { status: 500, body: 'rollup_error', kind: 'retry', reason: /HTTP 500 rollup_error/ },
  '502': { status: 502, body: '<html>bad gateway</html>', kind: 'retry', reason: /^HTTP 502$/ },
  '503': { status: 503, body: '', kind: 'retry' },
}

const slackSecret = 'Xq7SecretWebhookToken'

export const slackPeer: PeerKind = {
  name: 'Slack webhook',
  kind: 'slack',
  readers: 'people',
  http: {
    integrationAt: (origin, requestTimeoutMs) =>
      integrationOf({ slack: slackConfig(`${origin}/services/${slackSecret}`) }, { requestTimeoutMs }),
    success: 'ok',
    believesStatus: false,
    retried: [204, 205, 301, 302, 303, 307, 308, 407, 421],
  },
  answers: slackAnswers,
  secrets: [slackSecret, '/services/'],
  // All that Slack acts upon is in angle brackets; we write links to the web and dates.
  forbidden: /<(?!https?:\/\/|!date\^)|<https:\/\/evil/,
  async start({ showPersonalData = false } = {}) {
    const inbox = await startSlackInbox({ clock: systemClock, burst: 10_000 })
    const url = inbox.webhookUrl(`#${slackSecret}`)
    const integration = integrationOf({ slack: slackConfig(url, { showPersonalData }) })
    const received = () =>
      inbox.messages.items().map(({ text, blocks }) => {
        const texts: string[] = [text]
        JSON.stringify(blocks, (key, value) => {
          if (key === 'text' && typeof value === 'string') texts.push(value)
          return value
        })
        return texts.join('\n')
      })
    return {
      integration,
      answer(name) {
        const { status, body, headers } = slackAnswers[name]!
        // A server, or a proxy in between, may quote what was asked for.
        const quoting = status >= 300 && body === '' ? `no luck with ${url}` : body
        inbox.fail({
          kind: 'answer',
          status,
          body: status === 204 ? '' : quoting,
          ...(headers && { headers }),
        })
      },
      hang: () => inbox.fail({ kind: 'hang' }),
      received,
      markup: received,
      async close() {
        await integration.close()
        await inbox.close()
      },
    }
  },
}

const mailAnswers: Record<string, { script: Parameters<typeof startScriptedSmtp>[0] } & Expected> = {
  taken: { script: {}, kind: 'ok' },
  'greeting 554': { script: { greeting: '554 go away' }, kind: 'retry', reason: /554 go away/ },
  'greeting 421': { script: { greeting: '421 busy' }, kind: 'retry', reason: /421/ },
  'dropped before the greeting': { script: { greeting: 'drop' }, kind: 'retry', reason: /network/ },
  'EHLO and HELO refused': {
    script: { ehlo: '502 what', mail: '503 HELO first' },
    kind: 'retry',
    reason: /503/,
  },
  'login refused': {
    script: { ehlo: '250-scripted\r\n250 AUTH PLAIN', auth: '535 5.7.8 wrong: $credentials' },
    kind: 'retry',
    reason: /refuses the login .*535.*smtp_auth_password/,
  },
  'login not possible now': {
    script: { ehlo: '250-scripted\r\n250 AUTH LOGIN', auth: '454 4.7.0 later' },
    kind: 'retry',
    reason: /454/,
  },
  'sender 530': {
    script: { mail: '530 5.7.0 authentication required' },
    kind: 'retry',
    reason: /refuses the login/,
  },
  'sender 553': { script: { mail: '553 5.7.1 sender not yours' }, kind: 'permanent', reason: /553/ },
  'sender 452': { script: { mail: '452 4.3.1 disk full' }, kind: 'retry', reason: /452/ },
  'recipient 550': { script: { rcpt: '550 5.1.1 no such user' }, kind: 'permanent', reason: /550/ },
  'recipient 451': { script: { rcpt: '451 4.7.1 greylisted' }, kind: 'retry', reason: /451/ },
  'recipient 421': { script: { rcpt: '421 4.3.2 shutting down' }, kind: 'retry', reason: /421/ },
  'DATA 554': { script: { data: '554 5.5.1 no' }, kind: 'permanent', reason: /554/ },
  'mail 552': { script: { end: '552 5.3.4 too large' }, kind: 'permanent', reason: /552/ },
  'mail 550': { script: { end: '550 5.7.1 spam' }, kind: 'permanent', reason: /550/ },
  'mail 451': { script: { end: '451 4.3.0 try again' }, kind: 'retry', reason: /451/ },
  'dropped after the mail': { script: { end: 'drop' }, kind: 'retry', reason: /network/ },
  'nonsense for an answer': { script: { mail: 'hello?' }, kind: 'retry' },
}

const mailUser = 'fleet-user'
const mailPassword = 'Zk9-Secret-Pass+word/='
const base64 = (text: string) => Buffer.from(text).toString('base64')
const plainLogin = base64(`\0${mailUser}\0${mailPassword}`)

export const emailPeer: PeerKind = {
  name: 'e-mail',
  kind: 'email',
  readers: 'people',
  answers: mailAnswers,
  secrets: [mailPassword, base64(mailPassword), plainLogin],
  forbidden: /<(?:script|img|iframe|b>x)|javascript:|^(?:bcc|mail from):/im,
  async start({ showPersonalData = false } = {}) {
    const scripted = await startScriptedSmtp()
    const inbox = await startMailInbox({ clock: systemClock })
    const login = { username: mailUser, password: new Secret(mailPassword), showPersonalData }
    const scriptedOne = integrationOf({ email: emailConfig(scripted.port, login) })
    const inboxOne = integrationOf({ email: emailConfig(inbox.port, login) })
    let current = inboxOne
    return {
      // A server that keeps mail and one that says what it is told; the test sees one receiver.
      integration: {
        ...inboxOne,
        send: (notification, context) => current.send(notification, context),
        close: () => current.close(),
      },
      answer(name) {
        const quoting = JSON.stringify(mailAnswers[name]!.script)
        scripted.script = JSON.parse(
          quoting.replace('$credentials', `${mailPassword} ${plainLogin} ${base64(mailPassword)}`),
        )
        current = scriptedOne
      },
      hang() {
        scripted.script = { greeting: 'hang' }
        current = scriptedOne
      },
      received: () =>
        inbox.messages
          .items()
          .map(({ headers, subject, text, html }) =>
            [...headers.map(({ name, value }) => `${name}: ${value}`), subject, text, html].join('\n'),
          ),
      markup: () =>
        inbox.messages
          .items()
          // A subject is plain text, whatever it holds; a header too many is not.
          .map(({ headers, html }) => [...headers.map(({ name }) => `${name}:`), html].join('\n')),
      async close() {
        await inboxOne.close()
        await scriptedOne.close()
        await scripted.close()
        await inbox.close()
      },
    }
  },
}

/** What all that speak HTTP make of an answer, whatever is in it. */
const httpAnswers: Record<string, HttpReply & Expected> = {
  '301': {
    status: 301,
    headers: { location: '/elsewhere' },
    kind: 'permanent',
    reason: /^HTTP 301, a redirect that is not followed: configure its target$/,
  },
  '401': { status: 401, kind: 'permanent', reason: /HTTP 401/ },
  '403': { status: 403, kind: 'permanent', reason: /HTTP 403/ },
  '404': { status: 404, kind: 'permanent', reason: /HTTP 404/ },
  '408': { status: 408, kind: 'retry', reason: /HTTP 408/ },
  '410': { status: 410, kind: 'permanent', reason: /HTTP 410/ },
  '425': { status: 425, kind: 'retry', reason: /HTTP 425/ },
  '429 in seconds': {
    status: 429,
    headers: { 'retry-after': '30' },
    kind: 'rate_limited',
    retryAfterMs: 30_000,
  },
  '429 with a date': {
    status: 429,
    headers: { 'retry-after': inAnHour, date: thatNoon },
    kind: 'rate_limited',
    retryAfterMs: 60_000,
  },
  '429 with a date in the past': {
    status: 429,
    headers: { 'retry-after': thatNoon, date: inAnHour },
    kind: 'rate_limited',
    retryAfterMs: 0,
  },
  '429 for a year': {
    status: 429,
    headers: { 'retry-after': '31536000' },
    kind: 'rate_limited',
    retryAfterMs: 3_600_000,
  },
  '429 with nonsense': {
    status: 429,
    headers: { 'retry-after': 'soon' },
    kind: 'rate_limited',
    retryAfterMs: null,
  },
  '500': { status: 500, kind: 'retry', reason: /^HTTP 500$/ },
  '502': { status: 502, body: '<html>bad gateway</html>', kind: 'retry', reason: /^HTTP 502$/ },
  '503': { status: 503, kind: 'retry', reason: /^HTTP 503$/ },
}

const slackError = (error: string): HttpReply => ({ status: 200, body: JSON.stringify({ ok: false, error }) })

const botAnswers: Record<string, HttpReply & Expected> = {
  ...httpAnswers,
  '200 of somebody else': {
    status: 200,
    body: '<html>please log in</html>',
    kind: 'retry',
    reason: /not Slack’s/,
  },
  '400': { status: 400, kind: 'permanent', reason: /^HTTP 400$/ },
  '429 in the body': {
    status: 429,
    body: '{"ok":false,"error":"ratelimited","retry_after":2}',
    kind: 'rate_limited',
    retryAfterMs: 2_000,
  },
  ratelimited: { ...slackError('ratelimited'), kind: 'rate_limited', retryAfterMs: null },
  rate_limited: { ...slackError('rate_limited'), kind: 'rate_limited' },
  invalid_auth: {
    ...slackError('invalid_auth'),
    kind: 'permanent',
    reason: /^invalid_auth: check app_token$/,
  },
  token_revoked: { ...slackError('token_revoked'), kind: 'permanent', reason: /token_revoked/ },
  account_inactive: { ...slackError('account_inactive'), kind: 'permanent', reason: /account_inactive/ },
  channel_not_found: { ...slackError('channel_not_found'), kind: 'permanent', reason: /check the channel/ },
  is_archived: { ...slackError('is_archived'), kind: 'permanent', reason: /unarchive/ },
  not_in_channel: { ...slackError('not_in_channel'), kind: 'permanent', reason: /add the app/ },
  missing_scope: { ...slackError('missing_scope'), kind: 'permanent', reason: /chat:write/ },
  'an error of tomorrow': { ...slackError('constructor'), kind: 'permanent', reason: /^constructor$/ },
  invalid_blocks: { ...slackError('invalid_blocks'), kind: 'permanent', reason: /^invalid_blocks$/ },
  internal_error: { ...slackError('internal_error'), kind: 'retry', reason: /^internal_error$/ },
  fatal_error: { ...slackError('fatal_error'), kind: 'retry', reason: /^fatal_error$/ },
  service_unavailable: { ...slackError('service_unavailable'), kind: 'retry' },
  'an error that is none': {
    status: 200,
    body: '{"ok":false,"error":7}',
    kind: 'retry',
    reason: /not Slack’s/,
  },
}

const botToken = 'xoxb-Xq7-secret-bot-token'

export const slackBotPeer: PeerKind = {
  name: 'Slack bot',
  kind: 'slack',
  readers: 'people',
  answers: botAnswers,
  secrets: [botToken],
  forbidden: slackPeer.forbidden,
  http: {
    integrationAt: (origin, requestTimeoutMs) =>
      integrationOf(
        { slack: slackBotConfig(`${origin}/api/`, { token: new Secret(botToken) }) },
        { requestTimeoutMs },
      ),
    success: '{"ok":true,"channel":"C0123","ts":"1.000001"}',
    believesStatus: false,
    retried: [204],
  },
  async start({ showPersonalData = false } = {}) {
    const inbox = await startSlackInbox({ clock: systemClock, burst: 10_000 })
    const scripted = await startScriptedHttp()
    const config = { showPersonalData, token: new Secret(botToken) }
    const inboxOne = integrationOf({
      slack: slackBotConfig(inbox.apiUrl, { ...config, token: new Secret(inbox.apiToken) }),
    })
    const scriptedOne = integrationOf({ slack: slackBotConfig(`${scripted.origin}/api/`, config) })
    const received = () =>
      inbox.messages.items().map(({ text, blocks }) => {
        const texts: string[] = [text]
        JSON.stringify(blocks, (key, value) => {
          if (key === 'text' && typeof value === 'string') texts.push(value)
          return value
        })
        return texts.join('\n')
      })
    return twoFaced(
      { real: inboxOne, scripted: scriptedOne, server: scripted, answers: botAnswers },
      { received, markup: received, quoted: [botToken] },
      () => inbox.close(),
    )
  },
}

/** A peer that takes messages for real until it is told to answer something else. */
async function twoFaced(
  {
    real,
    scripted,
    server,
    answers,
  }: {
    real: Integration
    scripted: Integration
    server: Awaited<ReturnType<typeof startScriptedHttp>>
    answers: Readonly<Record<string, HttpReply>>
  },
  { received, markup, quoted }: Pick<Peer, 'received' | 'markup'> & { quoted: readonly string[] },
  closed: () => Promise<void>,
): Promise<Peer> {
  let current = real
  return {
    integration: {
      ...real,
      send: (notification, context) => current.send(notification, context),
      close: () => current.close(),
    },
    answer(name) {
      const { status, headers, body } = answers[name]!
      // A server, or a proxy in between, may quote what was asked for.
      const quoting = body ?? `no luck with ${quoted.join(' and ')}`
      server.reply = { status, body: quoting, ...(headers && { headers }) }
      current = scripted
    },
    hang() {
      server.reply = 'hang'
      current = scripted
    },
    received,
    markup,
    async close() {
      await real.close()
      await scripted.close()
      await server.close()
      await closed()
    },
  }
}

const webhookSecret = 'w3bh00k-Secret'
const webhookPassword = 'pass-Word/9='
const webhookAuthorization = {
  kind: 'basic',
  username: 'fleet',
  password: new Secret(webhookPassword),
} as const

const programAnswers: Record<string, HttpReply & Expected> = {
  ...httpAnswers,
  '200 of anybody': { status: 200, body: '<html>thanks</html>', kind: 'ok' },
  '202': { status: 202, kind: 'ok' },
  '204': { status: 204, body: '', kind: 'ok' },
  '413': { status: 413, kind: 'permanent', reason: /HTTP 413/ },
}

const webhookAnswers: Record<string, HttpReply & Expected> = {
  ...programAnswers,
  '400': { status: 400, kind: 'permanent', reason: /^HTTP 400$/ },
}

/** Takes every message that `check` finds nothing wrong with. */
async function startHttpPeer(
  integrationAt: (origin: string) => Integration,
  {
    answers,
    check,
    links,
    quoted,
  }: {
    answers: Readonly<Record<string, HttpReply>>
    check: (request: HttpRequest) => HttpReply
    links: (body: string) => readonly string[]
    quoted: readonly string[]
  },
): Promise<Peer> {
  const taken: string[] = []
  const real = await startScriptedHttp((request) => {
    const reply = check(request)
    if (reply.status < 300) taken.push(request.body)
    return reply
  })
  const scripted = await startScriptedHttp()
  return twoFaced(
    {
      real: integrationAt(real.origin),
      scripted: integrationAt(scripted.origin),
      server: scripted,
      answers,
    },
    { received: () => [...taken], markup: () => taken.flatMap((body) => [...links(body), 'end']), quoted },
    () => real.close(),
  )
}

const labelMap = z.record(z.string(), z.string())

/** Alertmanager's documented webhook message, and not a field more. */
export const webhookSchema = z.strictObject({
  version: z.literal('4'),
  groupKey: z.string().min(1),
  truncatedAlerts: z.int().nonnegative(),
  receiver: z.string().min(1),
  status: z.enum(['firing', 'resolved']),
  notification_reason: z.string().min(1),
  groupLabels: labelMap,
  commonLabels: labelMap,
  commonAnnotations: labelMap,
  routeLabels: labelMap,
  externalURL: z.union([z.literal(''), z.url()]),
  alerts: z
    .array(
      z.strictObject({
        status: z.enum(['firing', 'resolved']),
        labels: labelMap,
        annotations: labelMap,
        startsAt: z.iso.datetime(),
        endsAt: z.iso.datetime(),
        generatorURL: z.union([z.literal(''), z.url()]),
        fingerprint: z.string().min(1),
      }),
    )
    .min(1),
})

export const webhookPeer: PeerKind = {
  name: 'webhook',
  kind: 'webhook',
  readers: 'programs',
  answers: webhookAnswers,
  secrets: [webhookSecret, webhookPassword, Buffer.from(`fleet:${webhookPassword}`).toString('base64')],
  forbidden: /javascript:|password@/,
  http: {
    integrationAt: (origin, requestTimeoutMs) =>
      integrationOf({ webhook: webhookConfig(`${origin}/hook?key=${webhookSecret}`) }, { requestTimeoutMs }),
    success: '',
    believesStatus: true,
    retried: [],
  },
  start: ({ showPersonalData = false } = {}) =>
    startHttpPeer(
      (origin) =>
        integrationOf({
          webhook: webhookConfig(`${origin}/hook?key=${webhookSecret}`, {
            showPersonalData,
            http: httpConfig({ authorization: webhookAuthorization }),
          }),
        }),
      {
        answers: webhookAnswers,
        quoted: [webhookSecret, webhookPassword, Buffer.from(`fleet:${webhookPassword}`).toString('base64')],
        check: ({ body }) => ({
          status: webhookSchema.safeParse(JSON.parse(body)).success ? 200 : 400,
        }),
        links: (body) =>
          webhookSchema
            .parse(JSON.parse(body))
            .alerts.flatMap(({ annotations, generatorURL }) => [
              annotations['resolution_url'] ?? '',
              generatorURL,
            ]),
      },
    ),
}

/** An event as the Events API v2 takes it. */
export const pagerdutySchema = z.strictObject({
  routing_key: z.literal(routingKey),
  event_action: z.enum(['trigger', 'resolve']),
  dedup_key: z.string().min(1).max(255),
  payload: z.strictObject({
    summary: z.string().min(1).max(1_024),
    source: z.string().min(1),
    severity: z.enum(['critical', 'error', 'warning', 'info']),
    timestamp: z.iso.datetime(),
    component: z.string().min(1).optional(),
    group: z.string().min(1).optional(),
    class: z.string().min(1).optional(),
    custom_details: z.record(z.string(), z.unknown()),
  }),
  client: z.string(),
  client_url: z.url().optional(),
  links: z.array(z.strictObject({ href: z.url(), text: z.string().min(1) })),
})

const pagerdutyAnswers: Record<string, HttpReply & Expected> = {
  ...programAnswers,
  '400 with a key of the wrong length': {
    status: 400,
    body: `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters): ${routingKey}"]}`,
    kind: 'permanent',
    reason: /^HTTP 400 \(Length of 'routing_key' is incorrect\)$/,
  },
  '307 to another host': {
    status: 307,
    headers: { location: 'http://127.0.0.2:1/' },
    kind: 'permanent',
    reason: /HTTP 307, a redirect that is not followed/,
  },
}

export const pagerdutyPeer: PeerKind = {
  name: 'PagerDuty',
  kind: 'pagerduty',
  readers: 'people',
  answers: pagerdutyAnswers,
  secrets: [routingKey],
  forbidden: /javascript:|password@/,
  http: {
    integrationAt: (origin, requestTimeoutMs) =>
      integrationOf({ pagerduty: pagerdutyConfig(`${origin}/v2/enqueue`) }, { requestTimeoutMs }),
    success: '{"status":"success"}',
    believesStatus: true,
    retried: [],
  },
  start: ({ showPersonalData = false } = {}) =>
    startHttpPeer(
      (origin) => integrationOf({ pagerduty: pagerdutyConfig(`${origin}/v2/enqueue`, { showPersonalData }) }),
      {
        answers: pagerdutyAnswers,
        quoted: [routingKey],
        check({ body }) {
          if (Buffer.byteLength(body) > 512 * 1_024) return { status: 413 }
          return { status: pagerdutySchema.safeParse(JSON.parse(body)).success ? 202 : 400 }
        },
        links: (body) => pagerdutySchema.parse(JSON.parse(body)).links.map(({ href }) => href),
      },
    ),
}

/** Alerts as Alertmanager's API v2 takes them. */
export const postableSchema = z
  .array(
    z.strictObject({
      labels: z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string().min(1)),
      annotations: z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string()),
      startsAt: z.iso.datetime(),
      endsAt: z.iso.datetime(),
      generatorURL: z.url().optional(),
    }),
  )
  .min(1)

const alertmanagerAnswers: Record<string, HttpReply & Expected> = {
  ...programAnswers,
  '400 with a word of its own': {
    status: 400,
    body: '"start time must be before end time; and more"',
    kind: 'permanent',
    reason: /^HTTP 400 \(start time must be before end time\)$/,
  },
}

export const alertmanagerPeer: PeerKind = {
  name: 'Alertmanager',
  kind: 'alertmanager',
  readers: 'programs',
  answers: alertmanagerAnswers,
  secrets: [webhookSecret],
  forbidden: /javascript:|password@/,
  http: {
    integrationAt: (origin, requestTimeoutMs) =>
      integrationOf({ alertmanager: alertmanagerConfig(`${origin}/${webhookSecret}`) }, { requestTimeoutMs }),
    success: '',
    believesStatus: true,
    retried: [],
  },
  start: ({ showPersonalData = false } = {}) =>
    startHttpPeer(
      (origin) =>
        integrationOf({
          alertmanager: alertmanagerConfig(`${origin}/${webhookSecret}`, { showPersonalData }),
        }),
      {
        answers: alertmanagerAnswers,
        quoted: [webhookSecret],
        check({ path, body }) {
          if (path !== `/${webhookSecret}/api/v2/alerts`) return { status: 404 }
          return { status: postableSchema.safeParse(JSON.parse(body)).success ? 200 : 400 }
        },
        links: (body) =>
          postableSchema
            .parse(JSON.parse(body))
            .flatMap(({ annotations, generatorURL = '' }) => [
              annotations['resolution_url'] ?? '',
              generatorURL,
            ]),
      },
    ),
}
