// What the configuration file may say, key by key, but for `alerting`. The descriptions are what
// editors show.

import cron from 'node-cron'
import { z } from 'zod'
import { logLevels } from '../logger.ts'
import { refusedKeys } from '../schema-message.ts'
import { accessSchema } from './access-schema.ts'
import { alertingSchema } from './alerting.ts'
import {
  anyUrl,
  duration,
  hostPort,
  type NamedFiles,
  publicBaseUrl,
  safeBaseUrl,
  secret,
  secretFile,
  secretText,
  text,
  timeZone,
} from './fields.ts'
import { linksSchema } from './links-schema.ts'
import { auditSchema, partnerLogSchema, privacySchema } from './records-schema.ts'
import { expectedStorageUrl, parseStorageUrl } from './storage-url.ts'

export type ParsedConfig = z.output<ReturnType<typeof configSchema>>

/** What the file may say. `files` are those that it names; none of them matter for the schema's shape. */
export function configSchema(files: NamedFiles) {
  return z
    .strictObject({
      partner: partnerSchema(files).describe("Podero's Partner API, and who we are there."),
      poll: pollSchema.prefault({}).describe('When the fleet is read.'),
      rules: z
        .array(z.string().min(1))
        .min(1)
        .prefault(defaultRules)
        .describe('Rule files, as paths or patterns. *.test.yaml are tests of rules and never count.'),
      storage: storageSchema(files).prefault({}).describe('Where state is kept.'),
      http: httpSchema.prefault({}).describe('Metrics, health, API and pages.'),
      links: linksSchema(files)
        .optional()
        .describe('The links of our own that messages carry, under http.public_url.'),
      replicas: replicasSchema.prefault({}).describe('Of several processes on one PostgreSQL.'),
      heartbeat: heartbeatSchema(files).optional().describe("Dead man's switch."),
      log: logSchema.prefault({}).describe('Log lines on standard output.'),
      alerting: alertingSchema(files).describe(
        "Alertmanager's own configuration, as far as it is supported.",
      ),
      silences: silencesSchema.prefault({}).describe('How long silences last, and who hears of their end.'),
      acknowledgements: acknowledgementsSchema.prefault({}).describe('How long an acknowledgement lasts.'),
      flapping: z
        .union([z.literal(false), flappingSchema])
        .prefault({})
        .describe('When an alert that comes and goes is told only once; false: never.'),
      mass_change: z
        .union([z.literal(false), massChangeSchema])
        .prefault({})
        .describe('When very many alerts at once are held back for a while; false: never.'),
      audit: auditSchema.prefault({}).describe('The trail of who changed what.'),
      privacy: privacySchema.prefault({}).describe('How long what concerns customers is kept.'),
      partner_log: z
        .union([z.literal(false), partnerLogSchema])
        .prefault(false)
        .describe('A log of every request to the Partner API; false: none.'),
      notifications: notificationsSchema.prefault({}).describe('What holds for all messages.'),
    })
    .register(refusedKeys, {
      keys: {
        ...belongingUnderAlerting(
          'global',
          'route',
          'receivers',
          'inhibit_rules',
          'time_intervals',
          'mute_time_intervals',
          'templates',
        ),
      },
    })
}

export const defaultRules = ['rules/*.yaml']

function belongingUnderAlerting(...keys: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(keys.map((key) => [key, `\`${key}\` belongs under \`alerting\``]))
}

function partnerSchema(files: NamedFiles) {
  return z.strictObject({
    base_url: text(safeBaseUrl).describe('Where the API is, with its version.'),
    org_id: text({ expected: 'an id such as 016b78a7-0c7c-4241-a277-015c3ad3cb90', holds: isId })
      .optional()
      .describe('Organisation. Default: the one that /auth/me names.'),
    client_id: text(secretText).optional().describe('Together with client_secret; or give a token.'),
    client_secret: secret(secretText).optional().describe('Secret of client_id.'),
    client_secret_file: secretFile(files, secretText).optional().describe('File that holds client_secret.'),
    token: secret(secretText)
      .optional()
      .describe('Bearer token, in the place of client_id and client_secret.'),
    token_file: secretFile(files, secretText).optional().describe('File that holds token.'),
    concurrency: z.int().min(1).max(1_000).default(32).describe('Requests under way at once.'),
    requests_per_second: z
      .number()
      .min(0.1)
      .max(10_000)
      .default(50)
      .describe('At most; lowered by itself on 429.'),
    timeout: duration({ minimumMs: 100, maximumMs: 600_000 })
      .prefault('10s')
      .describe('For one request and its answer.'),
    maximum_answer_bytes: z
      .int()
      .min(1_024)
      .max(1_073_741_824)
      .default(67_108_864)
      .describe('A longer answer is not read. The list of all users has to fit in (about 1 kB each).'),
  })
}

function isId(value: string): boolean {
  return /^[A-Za-z0-9_-]{1,128}$/.test(value)
}

const pollSchema = z.strictObject({
  schedule: text({
    expected: 'a cron expression such as */10 * * * *',
    holds: (value) => cron.validate(value),
  })
    .default('*/10 * * * *')
    .describe('Cron expression of five fields, or six with seconds first.'),
  timezone: timeZone({ example: 'Europe/Vienna' })
    .prefault('UTC')
    .describe("IANA time zone of the schedule's hours."),
  recheck_interval: duration({ minimumMs: 1_000 })
    .prefault('2m')
    .describe('Devices with an alert are read again this soon, so that it resolves early.'),
})

function storageSchema(files: NamedFiles) {
  return z.strictObject({
    url: z
      .string()
      .transform((url, context) => {
        const parsed = parseStorageUrl(url)
        if (parsed !== undefined && 'kind' in parsed) return parsed
        const wrong =
          parsed === undefined ? { params: { expected: expectedStorageUrl } } : { message: parsed.problem }
        context.issues.push({ code: 'custom', input: url, ...wrong })
        return z.NEVER
      })
      .prefault('sqlite:data/fleetwarden.db')
      .describe(
        'A file that is made if it is not there, sqlite:path, or postgres://user:password@host/database.',
      ),
    url_file: secretFile(files, {
      expected: expectedStorageUrl,
      holds: (url) => parseStorageUrl(url) !== undefined,
    })
      .transform((url, context) => {
        const parsed = parseStorageUrl(url.reveal())
        if (parsed !== undefined && 'kind' in parsed) return parsed
        context.issues.push({ code: 'custom', input: '', message: `in the file: ${parsed?.problem}` })
        return z.NEVER
      })
      .optional()
      .describe('File that holds url.'),
  })
}

const httpSchema = z.strictObject({
  listen: hostPort({ example: '127.0.0.1:9469', minimumPort: 0 })
    .prefault('127.0.0.1:9469')
    .describe('Address and port; 0.0.0.0:9469 for every network, port 0 for any free one.'),
  public_url: text(publicBaseUrl)
    .optional()
    .describe(
      'Where people reach this service: messages then carry links of its own, which need links.signing_key.',
    ),
  access: accessSchema.optional().describe('Who may use the API. Default: this machine alone, everything.'),
})
const replicasSchema = z.strictObject({
  advertise_url: text(publicBaseUrl)
    .optional()
    .describe('Where this process is reached by whoever asks another one for what only the leader answers.'),
})

function heartbeatSchema(files: NamedFiles) {
  return z.strictObject({
    url: secret(anyUrl).optional().describe('Called after each walk that was read, evaluated and delivered.'),
    url_file: secretFile(files, anyUrl).optional().describe('File that holds url.'),
    timeout: duration({ minimumMs: 100, maximumMs: 600_000 }).prefault('10s').describe('For one call.'),
  })
}

const logSchema = z.strictObject({
  level: z.enum(logLevels).default('info').describe('The least important lines that are written.'),
})

const silencesSchema = z.strictObject({
  max_duration: duration({ minimumMs: 0 })
    .prefault('90d')
    .describe('A silence may not be longer; 0: no limit.'),
  remind_before: duration({ minimumMs: 0 })
    .prefault('1h')
    .describe('Remind this long before a silence ends; 0: never.'),
  tell_when_ended: z.boolean().default(true).describe('Tell what still fires when a silence has ended.'),
})

const acknowledgementsSchema = z.strictObject({
  remind_every: duration({ minimumMs: 0 })
    .prefault('24h')
    .describe('Remind of what is acknowledged and still fires; 0: never.'),
  max_duration: duration({ minimumMs: 60_000 })
    .prefault('30d')
    .describe('An acknowledgement ends after this time at the latest.'),
})

const flappingSchema = z
  .strictObject({
    window: duration({ minimumMs: 60_000 }).prefault('24h').describe('How far back changes are counted.'),
    high: z.int().min(2).max(1_000).default(6).describe('From this many changes on, an alert flaps.'),
    low: z.int().min(1).max(1_000).default(3).describe('Below this many, it has calmed down.'),
  })
  .refine(({ high, low }) => high > low, { params: { expected: 'high above low' } })

const massChangeSchema = z.strictObject({
  share: z
    .number()
    .gt(0)
    .max(1)
    .default(0.05)
    .describe('Alerts that newly fire in one walk are a mass from this part of all devices on.'),
  minimum: z.int().min(1).max(1_000_000_000).default(50).describe('Fewer are never a mass.'),
  hold: duration({ minimumMs: 0 })
    .prefault('15m')
    .describe('How long a mass is held back, unless its alert is acknowledged.'),
})

const notificationsSchema = z.strictObject({
  fallback_receiver: z
    .string()
    .optional()
    .describe('Name of the receiver that is told what another one refuses for good.'),
})
