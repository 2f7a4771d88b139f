// What Prometheus scrapes: every metric of ours with its name, its help and its labels, in one place,
// and prom-client behind it, which nothing else imports.
//
// Cost: counting is an addition in a map, since it happens for every request and every unknown
// verdict; a scrape is a few milliseconds, since state of the fleet is kept as counts per label set
// and never as series per device. Gauges of fleet state are built anew from the last snapshot at each
// scrape, so that what has vanished from the fleet vanishes here. No ids of devices or users, no text
// of the partner's without a cap.

import prometheus from 'prom-client'
import { type RefusalReason, refusalReasons } from './actor.ts'
import type { Clock } from './clock.ts'
import { createDeliveryMetrics, type DeliveryMetrics, type DeliverySources } from './delivery-metrics.ts'
import type { UnreadReason } from './fleet/reading.ts'
import type { UnknownReason } from './fleet/verdict.ts'
import { createLinkMetrics, type LinkMetrics } from './link-metrics.ts'
import { createMetricRegistry } from './metric-registry.ts'
import {
  type AlertCount,
  type CountedAlert,
  countAlerts,
  countManufacturerAlerts,
  type DeviceCount,
  type ManufacturerAlertCount,
  withFewManufacturers,
} from './metric-series.ts'
import { createOwnerMetrics, type OwnerMetrics, type OwnerSources } from './owner-metrics.ts'

export type WalkOutcome = 'complete' | 'partial' | 'failed' | 'stopped'
/** `endedAt`: ms since 1970. */
export interface EndedWalk {
  readonly outcome: WalkOutcome
  readonly durationMs: number
  readonly endedAt: number
}

/** `too_late`: somebody else had it by then, or its walk was over. */
export type SlotOutcome = 'found' | 'too_late' | 'failed' | 'released'

export interface FleetSnapshot {
  readonly users: number
  readonly devices: readonly DeviceCount[]
}

export interface Rendering {
  readonly contentType: string
  readonly body: string
}

/** What is asked for at each scrape, since its owner knows it best at any moment. */
export interface MetricSources extends DeliverySources, OwnerSources {
  /** Requests a second that the client allows itself at present. */
  readonly partnerRateLimit?: () => number
  readonly partnerCircuitOpen?: () => boolean
  readonly storageBytes?: () => number | null
  /** Where people find the service, without a slash at the end. */
  readonly webUrl?: () => string
  /** Users that are moved over from another system, by the step that they are at. */
  readonly migrationUsers?: () => Readonly<Record<string, number>>
  /** How many replicas are alive, this one included; null: not known. */
  readonly replicas?: () => number | null
}

export interface Metrics extends DeliveryMetrics, LinkMetrics, OwnerMetrics {
  /** Everything, in the text format that Prometheus reads. */
  render(): Promise<Rendering>
  /** Our own metrics without those of the process: what promtool must find no fault with. */
  renderOwn(): Promise<string>
  /** Adds to what is asked for at each scrape; a source that was given before is replaced. */
  watch(sources: MetricSources): void

  /** Whether this process has the schedule and the alerts; true unless told. False: what it knew of them goes. */
  setLeading(isLeading: boolean): void
  /** A slot that this replica worked on came to an end. */
  slotEnded(outcome: SlotOutcome): void

  walkStarted(): void
  walkEnded(walk: EndedWalk): void
  /** A tick found the walk before still running. */
  walkSkipped(): void
  /** What is remembered from before a restart (ms since 1970, null: never). */
  setLastWalks(last: { readonly successAt: number | null; readonly completeAt: number | null }): void
  /** After a walk that read the user list; a failed one leaves the last snapshot. */
  setFleet(snapshot: FleetSnapshot): void
  /** All alerts that are kept. */
  setAlerts(alerts: Iterable<CountedAlert>): void
  alertTransition(alertname: string, to: string, reason: string): void

  unread(reason: UnreadReason, count?: number): void
  oddField(field: string, count?: number): void
  malformed(what: string, count?: number): void
  clockSkew(count?: number): void
  /** `code`: the HTTP status, or the kind of failure when there was none. */
  partnerRequest(request: {
    readonly endpoint: string
    readonly code: string
    readonly durationMs: number
  }): void

  /** The alerts that the loaded rules can raise: their series begin at 0, those of others go. */
  setRules(rules: readonly { readonly alertname: string; readonly severity: string }[]): void
  ruleFailed(alertname: string, count?: number): void
  ruleUnknown(alertname: string, reason: UnknownReason, count?: number): void

  /** A request was refused for want of permission, before it did anything. */
  accessDenied(reason: RefusalReason): void

  auditRecorded(result: (typeof auditResults)[number]): void
  auditFailed(): void
  partnerLogDropped(lines: number): void
  storageFailed(kind: string): void
  /** The database was damaged at the start and began empty. */
  storageRecovered(): void
  configLoaded(result: { readonly successful: boolean; readonly at: number }): void
}

export interface MetricsOptions {
  readonly clock: Pick<Clock, 'now'>
  readonly version: string
  readonly revision: string
  readonly nodeVersion: string
  /** Memory, CPU, event loop and garbage collection of this process, too; true unless told. */
  readonly processMetrics?: boolean
}

const mostAlertSeries = 500

const walkOutcomes = ['complete', 'partial', 'failed', 'skipped', 'stopped'] as const
const auditResults = ['begun', 'ok', 'denied', 'failed'] as const
const slotOutcomes = ['found', 'too_late', 'failed', 'released'] as const satisfies readonly SlotOutcome[]
const alertStates = ['pending', 'firing', 'recovering', 'resolved'] as const
// An object, so that the compiler sees when one is missing.
const unreadReasons = {
  timeout: true,
  network: true,
  rate_limited: true,
  server_error: true,
  client_error: true,
  unauthorized: true,
  not_found: true,
  bad_json: true,
  too_large: true,
  malformed: true,
  circuit_open: true,
} satisfies Record<UnreadReason, true>

export function createMetrics(options: MetricsOptions): Metrics {
  const { clock } = options
  const { registry, gauge, number, histogram, counter } = createMetricRegistry()
  let sources: MetricSources = {}
  let fleet: FleetSnapshot | null = null
  let alerts: readonly AlertCount[] = []
  let manufacturerAlerts: readonly ManufacturerAlertCount[] = []
  let rules: readonly { readonly alertname: string; readonly severity: string }[] = []
  let isLeading = true

  // ---- the fleet

  number('fleet_users', 'Users that the last walk listed.', () => fleet?.users ?? null)
  gauge(
    'fleet_devices',
    'Devices that the last walk read.',
    ['type', 'manufacturer', 'authenticated', 'optimizing'],
    (set) => {
      for (const { type, manufacturer, authenticated, optimizing, count } of fleet?.devices ?? []) {
        set({ type, manufacturer, authenticated, optimizing }, count)
      }
    },
  )
  gauge('fleet_alerts', 'Alerts that are kept, by state.', ['alertname', 'severity', 'state'], (set) => {
    for (const { alertname, severity } of rules) {
      for (const state of alertStates) set({ alertname, severity, state }, 0)
    }
    for (const { count, ...labels } of alerts) set(labels, count)
  })
  gauge(
    'fleet_manufacturer_alerts',
    'Alerts that fire, by the manufacturer and type of their devices.',
    ['manufacturer', 'device_type', 'alertname'],
    (set) => {
      for (const { count, ...labels } of manufacturerAlerts) set(labels, count)
    },
  )
  const transitions = counter(
    'fleet_alert_transitions_total',
    'Changes of the state of an alert, by the new state and what led to it.',
    ['alertname', 'to', 'reason'],
    mostAlertSeries,
  )

  // ---- walks

  let running = 0
  let lastSuccessAt: number | null = null
  let lastCompleteAt: number | null = null
  const walks = counter('fleet_polls_total', 'Walks over all users, by how they ended.', ['outcome'])
  for (const outcome of walkOutcomes) walks.add([outcome], 0)
  const walkSeconds = histogram(
    'fleet_poll_duration_seconds',
    'How long walks took that came to an end.',
    [],
    [0.1, 1, 5, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600],
  )
  number('fleet_walk_running', '1 while a walk is under way.', () => (isLeading ? running : null))
  number(
    'fleet_poll_last_success_timestamp_seconds',
    'When the last walk ended that read the user list, all of its users or some; 0 before the first.',
    () => (isLeading ? (lastSuccessAt ?? 0) / 1_000 : null),
  )
  number(
    'fleet_poll_last_complete_timestamp_seconds',
    'When the last walk ended that read every user and device; 0 before the first.',
    () => (isLeading ? (lastCompleteAt ?? 0) / 1_000 : null),
  )
  const unread = counter(
    'fleet_unread_total',
    'Users and device lists that could not be read, by reason: nothing is known of them.',
    ['reason'],
  )
  for (const reason of Object.keys(unreadReasons)) unread.add([reason], 0)
  const malformed = counter(
    'fleet_malformed_total',
    'Records of the partner that were left out because they could not be understood.',
    ['what'],
  )
  const oddFields = counter(
    'fleet_odd_fields_total',
    'Values of the partner of an unexpected type, taken for absent, by field.',
    ['field'],
  )
  const clockSkew = counter(
    'fleet_clock_skew_total',
    'Instants of the partner that lay more than 5 minutes in the future, taken for now.',
    [],
  )
  clockSkew.add([], 0)

  // ---- the partner

  const requests = counter(
    'fleet_partner_requests_total',
    'Requests to the Partner API, retries included, by HTTP status or kind of failure.',
    ['endpoint', 'code'],
  )
  const requestSeconds = histogram(
    'fleet_partner_request_duration_seconds',
    'How long requests to the Partner API took.',
    ['endpoint'],
    [0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  )
  number(
    'fleet_partner_request_rate_limit',
    'Requests a second that are made at most at present; lowered when the partner asks for it.',
    () => sources.partnerRateLimit?.() ?? null,
  )
  number('fleet_partner_circuit_open', '1 while the Partner API is left alone after failures.', () =>
    sources.partnerCircuitOpen === undefined ? null : Number(sources.partnerCircuitOpen()),
  )

  // ---- rules

  const ruleFailures = counter(
    'fleet_rule_evaluation_failures_total',
    'Evaluations of rules that ended in an error.',
    ['alertname'],
    mostAlertSeries,
  )
  const ruleUnknowns = counter(
    'fleet_rule_unknown_total',
    'Evaluations of rules that could not be decided, by reason.',
    ['alertname', 'reason'],
    mostAlertSeries,
  )

  // ---- the back office

  gauge(
    'fleet_migration_users',
    'Users that are moved over from another system, by the last step that is done.',
    ['step'],
    (set) => {
      for (const [step, count] of Object.entries(sources.migrationUsers?.() ?? {})) set({ step }, count)
    },
  )

  const delivery = createDeliveryMetrics(
    { gauge, number, histogram, counter },
    { clock, sources: () => sources },
  )

  // ---- access

  const denials = counter(
    'fleet_access_denied_total',
    'Requests that were refused because of who or what asked, by reason.',
    ['reason'],
  )
  for (const reason of refusalReasons) denials.add([reason], 0)
  const links = createLinkMetrics({ counter })
  const owners = createOwnerMetrics({ gauge, counter }, () => sources)
  // ---- replicas

  number('fleet_leader', '1 if this replica has the schedule, the alerts and the messages.', () =>
    Number(isLeading),
  )
  number(
    'fleet_replicas',
    'Replicas that are alive and work on the same slots, as the leader sees it.',
    () => (isLeading ? (sources.replicas?.() ?? null) : null),
  )
  const slots = counter(
    'fleet_slots_total',
    'Slots of walks that this replica worked on, by how that ended.',
    ['outcome'],
  )
  for (const outcome of slotOutcomes) slots.add([outcome], 0)

  // ---- the service

  let recovered = 0
  let configSuccessful = 0
  let configLoadedAt: number | null = null
  const auditRecords = counter('fleet_audit_records_total', 'Records added to the audit trail.', ['result'])
  for (const result of auditResults) auditRecords.add([result], 0)
  const auditFailures = counter(
    'fleet_audit_failures_total',
    'Records that could not be added to the audit trail: what they are about was not done.',
    [],
  )
  auditFailures.add([], 0)
  const partnerLogDropped = counter(
    'fleet_partner_log_dropped_total',
    'Lines of the log of requests to the Partner API that were lost.',
    [],
  )
  partnerLogDropped.add([], 0)
  const storageErrors = counter('fleet_storage_errors_total', 'Calls of the database that failed.', ['kind'])
  for (const kind of ['full', 'io', 'unavailable']) storageErrors.add([kind], 0)
  number('fleet_storage_bytes', 'Size of the database.', () => sources.storageBytes?.() ?? null)
  number(
    'fleet_storage_recovered',
    '1 if the database was damaged at the start and began empty.',
    () => recovered,
  )
  number(
    'fleet_config_last_reload_successful',
    '1 if the configuration and rules were read without a fault when last tried.',
    () => configSuccessful,
  )
  number(
    'fleet_config_last_reload_success_timestamp_seconds',
    'When the configuration and rules in use were read; 0 before the first time.',
    () => (configLoadedAt ?? 0) / 1_000,
  )
  gauge('fleet_web_info', 'Where people find the service, for links to it.', ['url'], (set) => {
    const url = sources.webUrl?.()
    if (url !== undefined) set({ url }, 1)
  })
  gauge('fleet_build_info', 'What is running.', ['version', 'revision', 'node_version'], (set) => {
    set({ version: options.version, revision: options.revision, node_version: options.nodeVersion }, 1)
  })

  const all = prometheus.Registry.merge([
    registry,
    compatibilityRegistry(),
    ...(options.processMetrics === false ? [] : [processRegistry()]),
  ])

  return {
    ...delivery,
    ...links,
    ...owners,
    render: async () => ({ contentType: all.contentType, body: await all.metrics() }),
    renderOwn: () => registry.metrics(),
    watch: (more) => {
      sources = { ...sources, ...more }
    },

    setLeading: (leading) => {
      isLeading = leading
      if (leading) return
      sources = {}
      fleet = null
      alerts = []
      manufacturerAlerts = []
      running = 0
    },
    slotEnded: (outcome) => slots.add([outcome], 1),

    walkStarted: () => {
      running = 1
    },
    walkEnded: ({ outcome, durationMs, endedAt }) => {
      running = 0
      walks.add([outcome], 1)
      if (outcome !== 'stopped') walkSeconds.observe(durationMs / 1_000)
      if (outcome === 'complete') lastCompleteAt = endedAt
      if (outcome === 'complete' || outcome === 'partial') lastSuccessAt = endedAt
    },
    walkSkipped: () => walks.add(['skipped'], 1),
    setLastWalks: ({ successAt, completeAt }) => {
      lastSuccessAt = successAt
      lastCompleteAt = completeAt
    },
    setFleet: (snapshot) => {
      fleet = { users: snapshot.users, devices: withFewManufacturers(snapshot.devices) }
    },
    setAlerts: (kept) => {
      const all = [...kept]
      alerts = countAlerts(all, mostAlertSeries)
      manufacturerAlerts = countManufacturerAlerts(all, mostAlertSeries)
    },
    alertTransition: (alertname, to, reason) => transitions.add([alertname, to, reason], 1),

    unread: (reason, count = 1) => unread.add([reason], count),
    oddField: (field, count = 1) => oddFields.add([field], count),
    malformed: (what, count = 1) => malformed.add([what], count),
    clockSkew: (count = 1) => clockSkew.add([], count),
    partnerRequest: ({ endpoint, code, durationMs }) => {
      requests.add([endpoint, code], 1)
      requestSeconds.observe({ endpoint }, durationMs / 1_000)
    },

    setRules: (loaded) => {
      rules = loaded
      const names = new Set(loaded.map((rule) => rule.alertname))
      for (const family of [ruleFailures, ruleUnknowns, transitions]) {
        family.removeWhere((values) => !names.has(values[0] ?? ''))
      }
      for (const alertname of names) {
        ruleFailures.add([alertname], 0)
        for (const to of ['firing', 'resolved']) transitions.add([alertname, to, 'condition'], 0)
      }
    },
    ruleFailed: (alertname, count = 1) => ruleFailures.add([alertname], count),
    ruleUnknown: (alertname, reason, count = 1) => ruleUnknowns.add([alertname, reason], count),

    accessDenied: (reason) => denials.add([reason], 1),

    auditRecorded: (result) => auditRecords.add([result], 1),
    auditFailed: () => auditFailures.add([], 1),
    partnerLogDropped: (lines) => partnerLogDropped.add([], lines),
    storageFailed: (kind) => storageErrors.add([kind], 1),
    storageRecovered: () => {
      recovered = 1
    },
    configLoaded: ({ successful, at }) => {
      configSuccessful = Number(successful)
      if (successful) configLoadedAt = at
    },
  }
}

function processRegistry() {
  const registry = new prometheus.Registry()
  prometheus.collectDefaultMetrics({ register: registry })
  return registry
}

/** The Alertmanager whose API the service has. */
export const alertmanagerVersion = '0.28.0'

/** Not about us: karma asks here which Alertmanager it speaks to, and ends itself when there is no answer. */
function compatibilityRegistry() {
  const registry = new prometheus.Registry()
  new prometheus.Gauge({
    name: 'alertmanager_build_info',
    help: 'The Alertmanager whose API this is.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version: alertmanagerVersion }, 1)
  return registry
}
