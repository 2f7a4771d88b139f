// What the shared suite needs of each kind of receiver: a peer to run against, each answer that the
// peer may give with the outcome it means, and what people would see.

import { createClock, systemClock } from '../../../src/clock.ts'
import type { EmailConfig, ReceiverConfig, SlackConfig, SlackWebhookConfig } from '../../../src/config.ts'
import { startMailInbox } from '../../../src/demo/mail-inbox.ts'
import { startSlackInbox } from '../../../src/demo/slack-inbox.ts'
import type { Integration, SendOutcome } from '../../../src/notify/notification.ts'
import { createIntegrations } from '../../../src/notify/receivers/registry.ts'
import { Secret } from '../../../src/secret.ts'
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
  readonly kind: string
  /** Answers by name, and what each one means. */
  readonly answers: Readonly<Record<string, Expected>>
  /** What must be in no outcome. */
  readonly secrets: readonly string[]
  /** Commands and tags that only hostile data would bring in. */
  readonly forbidden: RegExp
  start(options?: { readonly showPersonalData?: boolean }): Promise<Peer>
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

/** A receiver with nothing in it. */
export function receiverConfig(name: string): ReceiverConfig {
  return { name, slack: [], email: [], webhook: [], pagerduty: [], alertmanager: [] }
}

export function integrationOf(configs: { slack?: SlackConfig; email?: EmailConfig }): Integration {
  const [integration] = createIntegrations(
    [
      {
        ...receiverConfig('on-call'),
        slack: configs.slack === undefined ? [] : [configs.slack],
        email: configs.email === undefined ? [] : [configs.email],
      },
    ],
    deps,
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
  kind: 'slack',
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
  kind: 'email',
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
