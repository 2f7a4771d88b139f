// The configuration: one YAML file, environment variables and secret files become one frozen Config,
// or a FileError with everything that is wrong and where.
//
// `${NAME}` and `${NAME:-default}` expand in parsed text (never in the YAML source, where a value
// could become structure). A secret `x` can be given as `x_file`. Relative paths start at the folder
// of the configuration file. Nothing here connects to anything: a good Config may still hold a wrong
// password.

import { glob as globEntries } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type AccessConfig, checkAccess, resolveAccess } from './config/access-schema.ts'
import { type AlertingConfig, checkAlerting, checkReceiverName, resolveAlerting } from './config/alerting.ts'
import { type HostPort, withoutTrailingSlash } from './config/fields.ts'
import { checkLinks, type LinksConfig, resolveLinks } from './config/links-schema.ts'
import { checkOwners } from './config/owner-schema.ts'
import { configSchema, defaultRules, type ParsedConfig } from './config/schema.ts'
import { expandVariables, readFailure, readNamedFiles } from './config/sources.ts'
import { resolveStorage, type StorageConfig } from './config/storage-url.ts'
import type { CheckContext, Report } from './config/unchecked.ts'
import type { LogLevel } from './logger.ts'
import { quote, valueAt } from './schema-message.ts'
import type { Secret } from './secret.ts'
import { FileError, type FileProblem, inOrder, parseYaml, validateYaml, type YamlPath } from './yaml-file.ts'

export type * from './config/access-schema.ts'
export type { AlertingConfig } from './config/alerting.ts'
export { alertmanagerConfig } from './config/alertmanager-yaml.ts'
export { type InhibitRule, type UnknownEqualLabel, unknownEqualLabels } from './config/inhibit-schema.ts'
export type { LinksConfig } from './config/links-schema.ts'
export type * from './config/receiver-config.ts'
export type { Route } from './config/route-schema.ts'
export {
  expectedStorageUrl,
  type PostgresConfig,
  parseStorageUrl,
  resolveStorage,
  type StorageConfig,
} from './config/storage-url.ts'
export type { NamedTimeInterval, Range, TimeInterval } from './config/time-interval-schema.ts'

/** Checked and complete: defaults are filled in, paths are absolute, durations are milliseconds. */
export interface Config {
  /** As given to loadConfig. */
  readonly file: string
  readonly partner: PartnerConfig
  readonly poll: PollConfig
  /** Absolute paths, sorted, at least one; tests of rules are not among them. */
  readonly ruleFiles: readonly string[]
  readonly storage: StorageConfig
  readonly http: HttpConfig
  /** Null: only this machine may use the API. */
  readonly access: AccessConfig | null
  /** Null without `http.publicUrl`: messages then carry the partner's own links. */
  readonly links: LinksConfig | null
  readonly replicas: ReplicasConfig
  readonly heartbeat: HeartbeatConfig | null
  readonly log: { readonly level: LogLevel }
  readonly alerting: AlertingConfig
  readonly silences: SilencesConfig
  readonly acknowledgements: AcknowledgementsConfig
  /** Null: nobody counts. */
  readonly flapping: FlappingConfig | null
  /** Null: it is not looked for. */
  readonly massChange: MassChangeConfig | null
  readonly audit: AuditConfig
  readonly privacy: PrivacyConfig
  /** Null: nobody writes it. */
  readonly partnerLog: PartnerLogConfig | null
  /** The name of the receiver that is told what another one cannot take; null: nobody is. */
  readonly fallbackReceiver: string | null
}

export interface SilencesConfig {
  /** From start to end, at most; null: no limit. */
  readonly maxDurationMs: number | null
  /** Its author is reminded this long before the end; 0: never. */
  readonly remindBeforeMs: number
  /** Whether what still fires at the end of a silence is told then. */
  readonly tellWhenEnded: boolean
}

export interface AcknowledgementsConfig {
  /** 0: never. */
  readonly remindEveryMs: number
  readonly maxDurationMs: number
}

/** An alert flaps from `high` changes between firing and resolved in the window, until below `low`. */
export interface FlappingConfig {
  readonly windowMs: number
  /** More than `low`, which is at least 1. */
  readonly high: number
  readonly low: number
}

/** So much ends or begins at once that it is rather the reading that changed. */
export interface MassChangeConfig {
  /** Of all subjects of a rule: more than 0, at most 1. */
  readonly share: number
  /** Fewer are never a mass. */
  readonly minimum: number
  /** How long it is held back. */
  readonly holdMs: number
}

export interface AuditConfig {
  /** Older records go. */
  readonly keepMs: number
}

export interface PrivacyConfig {
  /** After their end. */
  readonly resolvedAlertsMs: number
}

export interface PartnerLogConfig {
  readonly path: string
  readonly maximumBytes: number
  /** The one that is written included. */
  readonly files: number
}

export interface PartnerConfig {
  /** Without a slash at its end. */
  readonly baseUrl: string
  /** Null: found through /auth/me. */
  readonly orgId: string | null
  readonly credentials: PartnerCredentials
  readonly concurrency: number
  readonly requestsPerSecond: number
  /** For one request, its answer included. */
  readonly timeoutMs: number
  readonly maximumAnswerBytes: number
}

export type PartnerCredentials =
  | { readonly kind: 'client'; readonly clientId: string; readonly clientSecret: Secret }
  | { readonly kind: 'token'; readonly token: Secret }

export interface PollConfig {
  /** A cron expression that node-cron accepts: five fields, or six with seconds first. */
  readonly schedule: string
  /** IANA name: where the schedule's hours are meant. */
  readonly timezone: string
  readonly recheckIntervalMs: number
}

export interface HttpConfig extends HostPort {
  /** Without a slash at its end; null: alerts carry the partner's own links. */
  readonly publicUrl: string | null
}

export interface ReplicasConfig {
  /** Where other replicas send API requests while this one leads, without a slash at its end. */
  readonly advertiseUrl: string | null
}

export interface HeartbeatConfig {
  readonly url: Secret
  readonly timeoutMs: number
}

export type Environment = Readonly<Record<string, string | undefined>>
type ReadFile = (path: string) => Promise<string>
/** Absolute paths of the files (not folders) that match, in any order. */
type Glob = (pattern: string, folder: string) => Promise<readonly string[]>
/** What is wrong with the rule files that the configuration names: told together with its own errors. */
export type CheckRuleFiles = (paths: readonly string[]) => Promise<readonly FileProblem[]>

/** Reads and checks the file. Rejects with a FileError, also when the file cannot be read. */
export async function loadConfig(source: {
  readonly file: string
  readonly readFile: ReadFile
  readonly env: Environment
  readonly glob?: Glob
  readonly checkRuleFiles?: CheckRuleFiles
}): Promise<Config> {
  let content: string
  try {
    content = await source.readFile(source.file)
  } catch (error) {
    throw new FileError([
      {
        file: source.file,
        line: 1,
        column: 1,
        message: `${readFailure('the configuration', error)}${wayOut(error)}`,
      },
    ])
  }
  return parseConfig({ ...source, text: content })
}

function wayOut(error: unknown): string {
  const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
  return isMissing
    ? '; name it with --config, begin with a copy of fleetwarden.example.yaml, or try the demo'
    : ''
}

/** As loadConfig, of a text that is at hand; `file` names it and says where relative paths start. */
export async function parseConfig(source: {
  readonly file: string
  readonly text: string
  readonly readFile: ReadFile
  readonly env: Environment
  readonly glob?: Glob
  readonly checkRuleFiles?: CheckRuleFiles
}): Promise<Config> {
  const yaml = parseYaml(source.file, source.text)
  if (yaml.problems.length > 0) throw new FileError(yaml.problems)
  const folder = dirname(resolve(source.file))
  const problems: FileProblem[] = []
  const report: Report = (path, message, options) =>
    problems.push({ file: source.file, ...yaml.position(path, options), message })
  // Messages show what the file says, not what a variable expanded to: that may be a secret.
  const written = (path: YamlPath) => valueAt(yaml.value, path)
  const quoted = (path: YamlPath) => quote(written(path))
  const context: CheckContext = { report, quoted, written }

  const unexpanded: FileProblem[] = []
  const { value, unset } = expandVariables(yaml.value, source.env, (path, offset, message) =>
    unexpanded.push({ file: source.file, ...yaml.position(path, { offset }), message }),
  )
  const files = await readNamedFiles(value, { folder, readFile: source.readFile, quoted })
  const checked = validateYaml(yaml, configSchema(files), { expanded: value })
  problems.push(...checked.problems)
  checkPairs(value, [], report)
  checkPartner(valueAt(value, ['partner']), report)
  checkLinks(value, report)
  checkHeartbeat(valueAt(value, ['heartbeat']), report)
  checkAccess(valueAt(value, ['http', 'access']), ['http', 'access'], context)
  checkAlerting(valueAt(value, ['alerting']), ['alerting'], context)
  checkFallback(value, context)
  checkOwners(value, report)
  const ruleFiles = await findRuleFiles(valueAt(value, ['rules']), {
    folder,
    glob: source.glob ?? globFiles,
    report,
    quoted,
  })

  const ruleProblems = (await source.checkRuleFiles?.(ruleFiles)) ?? []

  if (checked.value !== undefined) await checkRootCert(checked.value.storage, { ...source, folder, report })

  // A text that could not be expanded is not wrong in any further way.
  const places = new Set(unset.map((path) => placeKey(yaml.position(path))))
  const others = problems.filter((problem) => !places.has(placeKey(problem)))
  const all = [...inOrder([...unexpanded, ...others]), ...ruleProblems]
  if (all.length > 0 || checked.value === undefined) throw new FileError(all)
  return freeze(resolveConfig(source.file, folder, checked.value, ruleFiles))
}

// --- checks across

/** A secret is given once: as itself or as a file. */
function checkPairs(value: unknown, path: YamlPath, report: Report): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key]
    if (Object.hasOwn(value, `${key}_file`)) {
      report([...path, `${key}_file`], `"${key}" and "${key}_file" are both given: leave one out`, {
        key: true,
      })
    }
    checkPairs(item, at, report)
  }
}

function checkPartner(partner: unknown, report: Report): void {
  if (typeof partner !== 'object' || partner === null || Array.isArray(partner)) return
  const has = (key: string) => key in partner || `${key}_file` in partner
  const at = ['partner']
  if (has('token') && (has('client_id') || has('client_secret'))) {
    const key = 'token' in partner ? 'token' : 'token_file'
    report([...at, key], `"${key}" stands in the place of "client_id" and "client_secret": leave one out`, {
      key: true,
    })
  } else if (has('client_id') && !has('client_secret')) {
    report(at, '"client_secret" (or "client_secret_file") is missing', { key: true })
  } else if (has('client_secret') && !has('client_id')) {
    report(at, '"client_id" is missing', { key: true })
  } else if (!has('token') && !has('client_id')) {
    report(at, '"client_id" and "client_secret" are missing (or give "token")', { key: true })
  }
}

function checkHeartbeat(heartbeat: unknown, report: Report): void {
  if (typeof heartbeat !== 'object' || heartbeat === null || Array.isArray(heartbeat)) return
  if ('url' in heartbeat || 'url_file' in heartbeat) return
  report(['heartbeat'], '"url" (or "url_file") is missing', { key: true })
}

function checkFallback(value: unknown, context: CheckContext): void {
  const at = ['notifications', 'fallback_receiver']
  const name = valueAt(value, at)
  if (typeof name !== 'string') return
  checkReceiverName(valueAt(value, ['alerting']), name, at, ['alerting'], context)
}

async function checkRootCert(
  { url, url_file }: ParsedConfig['storage'],
  source: { readonly readFile: ReadFile; readonly folder: string; readonly report: Report },
): Promise<void> {
  const storage = resolveStorage(url_file ?? url, source.folder)
  const file = storage.kind === 'postgres' ? storage.tls?.rootCertFile : undefined
  if (typeof file !== 'string') return
  try {
    await source.readFile(file)
  } catch (error) {
    const at = ['storage', url_file === undefined ? 'url' : 'url_file']
    source.report(at, readFailure(`sslrootcert ${quote(file)}`, error))
  }
}

async function findRuleFiles(
  rules: unknown,
  source: {
    readonly folder: string
    readonly glob: Glob
    readonly report: Report
    readonly quoted: (path: YamlPath) => string
  },
): Promise<readonly string[]> {
  const patterns = rules === undefined ? defaultRules : Array.isArray(rules) ? rules : []
  const found = new Set<string>()
  for (const [index, pattern] of patterns.entries()) {
    if (typeof pattern !== 'string' || pattern === '') continue
    const at = ['rules', index]
    const name = rules === undefined ? `${quote(pattern)} (the default of "rules")` : source.quoted(at)
    try {
      const matches = await source.glob(pattern, source.folder)
      const ruleFiles = matches.filter((path) => !/\.test\.ya?ml$/.test(path))
      for (const path of ruleFiles) found.add(path)
      if (ruleFiles.length > 0) continue
      const reason = matches.length > 0 ? 'only tests of rules (*.test.yaml)' : 'no file'
      source.report(at, `${name} matches ${reason} in the folder of the configuration`)
    } catch (error) {
      source.report(at, readFailure(name, error))
    }
  }
  return [...found].sort()
}

async function globFiles(pattern: string, folder: string): Promise<readonly string[]> {
  const files: string[] = []
  for await (const entry of globEntries(pattern, { cwd: folder, withFileTypes: true })) {
    // Links count: Kubernetes mounts every file of a ConfigMap as one.
    if (!entry.isDirectory()) files.push(join(entry.parentPath, entry.name))
  }
  return files
}

// --- resolution

function resolveConfig(
  file: string,
  folder: string,
  parsed: ParsedConfig,
  ruleFiles: readonly string[],
): Config {
  const { partner, poll, storage, http, heartbeat } = parsed
  const baseUrl = withoutTrailingSlash(partner.base_url)
  const publicUrl = http.public_url === undefined ? null : withoutTrailingSlash(http.public_url)
  const { silences, acknowledgements, flapping, mass_change: mass, partner_log: callLog } = parsed
  return {
    file,
    partner: {
      baseUrl,
      orgId: partner.org_id ?? null,
      credentials: credentials(partner),
      concurrency: partner.concurrency,
      requestsPerSecond: partner.requests_per_second,
      timeoutMs: partner.timeout,
      maximumAnswerBytes: partner.maximum_answer_bytes,
    },
    poll: { schedule: poll.schedule, timezone: poll.timezone, recheckIntervalMs: poll.recheck_interval },
    ruleFiles,
    storage: resolveStorage(storage.url_file ?? storage.url, folder),
    http: { ...http.listen, publicUrl },
    access: resolveAccess(http.access),
    links: resolveLinks(parsed.links, { publicUrl, baseUrl }),
    replicas: {
      advertiseUrl:
        parsed.replicas.advertise_url === undefined
          ? null
          : withoutTrailingSlash(parsed.replicas.advertise_url),
    },
    heartbeat: resolveHeartbeat(heartbeat),
    log: { level: parsed.log.level },
    alerting: resolveAlerting(parsed.alerting),
    silences: {
      maxDurationMs: silences.max_duration === 0 ? null : silences.max_duration,
      remindBeforeMs: silences.remind_before,
      tellWhenEnded: silences.tell_when_ended,
    },
    acknowledgements: {
      remindEveryMs: acknowledgements.remind_every,
      maxDurationMs: acknowledgements.max_duration,
    },
    flapping:
      flapping === false ? null : { windowMs: flapping.window, high: flapping.high, low: flapping.low },
    massChange: mass === false ? null : { share: mass.share, minimum: mass.minimum, holdMs: mass.hold },
    audit: { keepMs: parsed.audit.keep },
    privacy: { resolvedAlertsMs: parsed.privacy.resolved_alerts },
    partnerLog:
      callLog === false
        ? null
        : { path: resolve(folder, callLog.file), maximumBytes: callLog.max_size, files: callLog.files },
    fallbackReceiver: parsed.notifications.fallback_receiver ?? null,
  }
}

function credentials(partner: ParsedConfig['partner']): PartnerCredentials {
  const token = partner.token ?? partner.token_file
  if (token !== undefined) return { kind: 'token', token }
  const clientSecret = partner.client_secret ?? partner.client_secret_file
  if (partner.client_id === undefined || clientSecret === undefined) {
    throw new Error('no credentials although the configuration was checked')
  }
  return { kind: 'client', clientId: partner.client_id, clientSecret }
}

function resolveHeartbeat(heartbeat: ParsedConfig['heartbeat']): HeartbeatConfig | null {
  const url = heartbeat?.url ?? heartbeat?.url_file
  return heartbeat === undefined || url === undefined ? null : { url, timeoutMs: heartbeat.timeout }
}

function placeKey(place: { readonly line: number; readonly column: number }): string {
  return `${place.line}:${place.column}`
}

/** Deeply; a Secret is closed as it is. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) freeze(item)
  }
  return value
}
