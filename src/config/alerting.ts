// The `alerting` part: Alertmanager's own configuration, word for word, as far as it is supported.
//
// What Alertmanager knows and Fleetwarden does not is refused by name, so that nobody believes in a
// route or a template that is not there. Two differences are meant: `send_resolved` is true for every
// integration (Alertmanager: false for Slack and e-mail), since who was told "firing" is told the end;
// and TLS is not demanded of a mail server on this machine.

import { z } from 'zod'
import type { Matcher } from '../matcher.ts'
import { refusedKeys } from '../schema-message.ts'
import type { YamlPath } from '../yaml-file.ts'
import {
  refusedInAlerting,
  refusedInEmail,
  refusedInGlobal,
  refusedInReceiver,
  refusedInRoute,
  refusedInSlack,
  refusedInTls,
} from './alertmanager-keys.ts'
import {
  duration,
  fileText,
  hostPort,
  isLoopback,
  mailbox,
  type NamedFiles,
  recipients,
  safeUrl,
  secret,
  secretFile,
  secretText,
  text,
} from './fields.ts'
import type { ReceiverConfig } from './receiver-config.ts'

export interface AlertingConfig {
  readonly route: Route
  readonly receivers: readonly ReceiverConfig[]
  readonly inhibitRules: readonly InhibitRule[]
  readonly timeIntervals: readonly NamedTimeInterval[]
}

/** A node of the routing tree. What it inherits is filled in. */
export interface Route {
  /** Unique in the tree; Alertmanager's notation: `{}/{severity="critical"}`. The root's is `{}`. */
  readonly key: string
  readonly receiver: string
  /** All have to match; the root has none. */
  readonly matchers: readonly Matcher[]
  /** Whether later siblings are looked at after this one has matched. */
  readonly continue: boolean
  /** Label names, or 'all' for `...`: every label set is a group of its own. */
  readonly groupBy: readonly string[] | 'all'
  readonly groupWaitMs: number
  readonly groupIntervalMs: number
  readonly repeatIntervalMs: number
  /** Names of time intervals; not inherited. */
  readonly muteTimeIntervals: readonly string[]
  readonly activeTimeIntervals: readonly string[]
  readonly routes: readonly Route[]
}

export interface InhibitRule {
  /** Null: it has none. */
  readonly name: string | null
  readonly sourceMatchers: readonly Matcher[]
  readonly targetMatchers: readonly Matcher[]
  readonly equal: readonly string[]
}

export interface NamedTimeInterval {
  readonly name: string
  /** In any of them. */
  readonly intervals: readonly TimeInterval[]
}

/** In all of its fields, and in any range of each. Null: the field is not given, and anything is in it. */
export interface TimeInterval {
  /** Minutes since midnight on the clock of `location`, the end exclusive, up to 1440. */
  readonly times: readonly { readonly start: number; readonly end: number }[] | null
  /** 0 is Sunday; both ends are included, here and below. */
  readonly weekdays: readonly Range[] | null
  /** From 1, or from -1 back from the end of the month. */
  readonly daysOfMonth: readonly Range[] | null
  readonly months: readonly Range[] | null
  readonly years: readonly Range[] | null
  /** IANA name. */
  readonly location: string
}

export interface Range {
  readonly start: number
  readonly end: number
}

// --- schema

const second = 1_000
const groupLabel = text({
  expected: "a label name such as alertname, or '...' alone for all labels",
  holds: (value) => value === '...' || /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(value),
})

const routeSchema = z
  .strictObject({
    receiver: z.string().describe('Name of the receiver that gets every alert.'),
    group_by: z
      .array(groupLabel)
      .refine((labels) => new Set(labels).size === labels.length, {
        params: { expected: 'each label only once' },
      })
      .refine((labels) => labels.length < 2 || !labels.includes('...'), {
        params: { expected: "'...' (all labels) without other labels" },
      })
      .prefault([])
      .describe("Alerts that agree in these labels share a message. ['...']: each label set on its own."),
    group_wait: duration({ minimumMs: 0 })
      .prefault('30s')
      .describe('How long a new group waits for more alerts before its first message.'),
    group_interval: duration({ minimumMs: second })
      .prefault('5m')
      .describe('Least time between two messages about a group that has news.'),
    repeat_interval: duration({ minimumMs: second })
      .prefault('4h')
      .describe('After this time, a group that still fires and has no news is told again.'),
  })
  .register(refusedKeys, { keys: refusedInRoute })

const helloName = text({
  expected: 'a host name such as alerts.example.com',
  holds: (value) => /^[a-z0-9.[\]:-]+$/i.test(value),
})
const smarthost = hostPort({ example: 'smtp.example.com:587', minimumPort: 1 })

function certificateAuthority(files: NamedFiles) {
  return fileText(files).refine((pem) => pem.includes('-----BEGIN CERTIFICATE-----'), {
    error: 'expected a file with certificates in PEM form (-----BEGIN CERTIFICATE-----)',
  })
}

function tlsSchema(files: NamedFiles) {
  return z
    .strictObject({
      ca_file: certificateAuthority(files)
        .optional()
        .describe("PEM file of the certificate authorities to trust in the place of the system's."),
      server_name: helloName
        .optional()
        .describe("The name in the server's certificate, if it is not the host."),
    })
    .register(refusedKeys, { keys: refusedInTls })
}

const sendResolved = z
  .boolean()
  .default(true)
  .describe('Tell also when alerts resolve. (Alertmanager: false by default; here true.)')
const showPersonalData = z
  .boolean()
  .default(false)
  .describe("Show customers' names and e-mail addresses. Otherwise external ids only.")

function slackSchema(files: NamedFiles) {
  return z
    .strictObject({
      api_url: secret(safeUrl).optional().describe('Slack incoming webhook. Default: global slack_api_url.'),
      api_url_file: secretFile(files, safeUrl).optional().describe('File that holds api_url.'),
      send_resolved: sendResolved,
      show_personal_data: showPersonalData,
    })
    .register(refusedKeys, { keys: refusedInSlack })
}

function emailSchema(files: NamedFiles) {
  return z
    .strictObject({
      to: recipients().describe('Recipients, separated by commas.'),
      from: text(mailbox).optional().describe('Sender. Default: global smtp_from.'),
      smarthost: smarthost.optional().describe('Mail server as host:port. Default: global smtp_smarthost.'),
      hello: helloName.optional().describe('Name given to the server. Default: global smtp_hello.'),
      auth_username: text(secretText).optional().describe('Default: global smtp_auth_username.'),
      auth_password: secret(secretText).optional().describe('Default: global smtp_auth_password.'),
      auth_password_file: secretFile(files, secretText).optional().describe('File that holds auth_password.'),
      require_tls: z
        .boolean()
        .optional()
        .describe(
          'Send nothing without TLS. Default: global smtp_require_tls, else true unless the server is on this machine.',
        ),
      tls_config: tlsSchema(files).optional().describe('Default: global smtp_tls_config.'),
      send_resolved: sendResolved,
      show_personal_data: showPersonalData,
    })
    .register(refusedKeys, { keys: refusedInEmail })
}

function globalSchema(files: NamedFiles) {
  return z
    .strictObject({
      smtp_smarthost: smarthost
        .optional()
        .describe('Mail server as host:port. 465: TLS at once; others: STARTTLS.'),
      smtp_from: text(mailbox).optional().describe('Sender of the mail.'),
      smtp_hello: helloName.optional().describe('Name given to the mail server.'),
      smtp_auth_username: text(secretText).optional().describe('User at the mail server.'),
      smtp_auth_password: secret(secretText).optional().describe('Password at the mail server.'),
      smtp_auth_password_file: secretFile(files, secretText)
        .optional()
        .describe('File that holds smtp_auth_password.'),
      smtp_require_tls: z
        .boolean()
        .optional()
        .describe('Send nothing without TLS. Default: true, unless the server is on this machine.'),
      smtp_tls_config: tlsSchema(files).optional().describe('How the mail server is trusted.'),
      slack_api_url: secret(safeUrl).optional().describe('Slack incoming webhook.'),
      slack_api_url_file: secretFile(files, safeUrl).optional().describe('File that holds slack_api_url.'),
    })
    .register(refusedKeys, { keys: refusedInGlobal })
}

export function alertingSchema(files: NamedFiles) {
  const receiverSchema = z
    .strictObject({
      name: z.string().min(1).describe('Unique name, for routes.'),
      slack_configs: z.array(slackSchema(files)).prefault([]).describe('Slack channels.'),
      email_configs: z.array(emailSchema(files)).prefault([]).describe('Mail recipients.'),
    })
    .register(refusedKeys, { keys: refusedInReceiver })
  return z
    .strictObject({
      global: globalSchema(files).prefault({}).describe('What receivers have in common.'),
      route: routeSchema.describe('Who is told, and in which groups.'),
      receivers: z.array(receiverSchema).min(1).describe('Who can be told, and how.'),
    })
    .register(refusedKeys, { keys: refusedInAlerting })
}

type Alerting = z.output<ReturnType<typeof alertingSchema>>

// --- checks across

/** Notes a problem at a path of the file; `key`: at the key in the place of the value. */
export type Report = (path: YamlPath, message: string, options?: { readonly key?: boolean }) => void

/**
 * What no schema can see: names that must exist, and settings that have to come from somewhere. Works
 * on the unchecked value, so that these are told together with everything else that is wrong.
 * `quoted` gives the text at a path as a message may show it.
 */
export function checkAlerting(
  value: unknown,
  path: YamlPath,
  report: Report,
  quoted: (path: YamlPath) => string,
): void {
  const alerting = mapping(value)
  const global = mapping(alerting['global'])

  const lines = new Map<unknown, number>()
  for (const [index, receiver] of mappings(alerting['receivers'])) {
    const at = [...path, 'receivers', index]
    const name = receiver['name']
    if (typeof name === 'string' && name !== '') {
      if (lines.has(name))
        report([...at, 'name'], `the name ${quoted([...at, 'name'])} is given to two receivers`)
      lines.set(name, index)
    }
    for (const [i, slack] of mappings(receiver['slack_configs'])) {
      if (!has(slack, 'api_url') && !has(global, 'slack_api_url')) {
        report([...at, 'slack_configs', i], '"api_url" is missing here, and "slack_api_url" in `global`')
      }
    }
    for (const [i, email] of mappings(receiver['email_configs'])) {
      const emailAt = [...at, 'email_configs', i]
      for (const key of ['smarthost', 'from']) {
        if (has(email, key) || has(global, `smtp_${key}`)) continue
        report(emailAt, `"${key}" is missing here, and "smtp_${key}" in \`global\``)
      }
      const hasUsername = has(email, 'auth_username') || has(global, 'smtp_auth_username')
      const hasPassword = has(email, 'auth_password') || has(global, 'smtp_auth_password')
      if (hasUsername && !hasPassword)
        report(emailAt, 'there is a user name for the mail server, but no password')
      if (hasPassword && !hasUsername)
        report(emailAt, 'there is a password for the mail server, but no user name')
    }
  }

  const wanted = mapping(alerting['route'])['receiver']
  if (typeof wanted === 'string' && lines.size > 0 && !lines.has(wanted)) {
    const at = [...path, 'route', 'receiver']
    const names = [...lines.values()].map((index) => quoted([...path, 'receivers', index, 'name']))
    report(at, `there is no receiver ${quoted(at)}: known are ${names.join(', ')}`)
  }
}

/** True if the key is there, or its `_file` variant. */
function has(object: Mapping, key: string): boolean {
  return object[key] !== undefined || object[`${key}_file`] !== undefined
}

type Mapping = Readonly<Record<string, unknown>>

function mapping(value: unknown): Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

/** The mappings of a list, with their indices. Of what is none, the schema says so. */
function mappings(value: unknown): readonly (readonly [number, Mapping])[] {
  if (!Array.isArray(value)) return []
  const isMapping = (item: unknown) => typeof item === 'object' && item !== null && !Array.isArray(item)
  return value.flatMap((item, index) => (isMapping(item) ? [[index, mapping(item)] as const] : []))
}

// --- resolution

/** Merges `global` into the receivers. Call it only with what checkAlerting found nothing wrong in. */
export function resolveAlerting({ global, route, receivers }: Alerting): AlertingConfig {
  return {
    inhibitRules: [],
    timeIntervals: [],
    route: {
      key: '{}',
      matchers: [],
      continue: false,
      muteTimeIntervals: [],
      activeTimeIntervals: [],
      routes: [],
      receiver: route.receiver,
      groupBy: route.group_by.includes('...') ? 'all' : route.group_by,
      groupWaitMs: route.group_wait,
      groupIntervalMs: route.group_interval,
      repeatIntervalMs: route.repeat_interval,
    },
    receivers: receivers.map(({ name, slack_configs, email_configs }) => ({
      name,
      webhook: [],
      pagerduty: [],
      alertmanager: [],
      slack: slack_configs.map((slack) => ({
        kind: 'webhook',
        template: null,
        apiUrl: given(
          slack.api_url ?? slack.api_url_file ?? global.slack_api_url ?? global.slack_api_url_file,
          'api_url',
        ),
        sendResolved: slack.send_resolved,
        showPersonalData: slack.show_personal_data,
      })),
      email: email_configs.map((email) => {
        const server = given(email.smarthost ?? global.smtp_smarthost, 'smarthost')
        const tls = email.tls_config ?? global.smtp_tls_config
        return {
          to: email.to,
          from: given(email.from ?? global.smtp_from, 'from'),
          smarthost: server,
          hello: email.hello ?? global.smtp_hello ?? null,
          username: email.auth_username ?? global.smtp_auth_username ?? null,
          password:
            email.auth_password ??
            email.auth_password_file ??
            global.smtp_auth_password ??
            global.smtp_auth_password_file ??
            null,
          requireTls: email.require_tls ?? global.smtp_require_tls ?? !isLoopback(server.host),
          ca: tls?.ca_file ?? null,
          serverName: tls?.server_name ?? null,
          sendResolved: email.send_resolved,
          showPersonalData: email.show_personal_data,
          template: null,
        }
      }),
    })),
  }
}

function given<T>(value: T | undefined, key: string): T {
  if (value === undefined) throw new Error(`${key} is missing although the configuration was checked`)
  return value
}
