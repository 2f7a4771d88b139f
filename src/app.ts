// The wiring, one straight line: configuration and rules in, a service out. Whatever is acquired
// pushes its release, and they are released last in, first out, once.

import { randomUUID } from 'node:crypto'
import { openAlerting } from './alerting.ts'
import { createAlertingApi } from './alerting-api.ts'
import type { Alert } from './alerts/alert.ts'
import { type AlertBook, openAlertBook } from './alerts/alert-book.ts'
import { createEvaluator, type DeviceSubject } from './alerts/evaluation.ts'
import type { SilenceBook } from './alerts/silence-book.ts'
import type { WalkState } from './alerts/walk-store.ts'
import type { Clock } from './clock.ts'
import type { Config, PartnerCredentials } from './config.ts'
import { sendHeartbeat } from './heartbeat.ts'
import { apiV1, reloadRoute } from './http/api-v1.ts'
import { apiV2 } from './http/api-v2.ts'
import { type HttpServer, type HttpServerOptions, startHttpServer } from './http/server.ts'
import { createLinkSource } from './links/resolution-link.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import { openMonitor, type WalkOutcome } from './monitor.ts'
import type { DeliveryStatus } from './notify/dispatcher.ts'
import { createIntegrationSet } from './notify/receivers/registry.ts'
import { createPartnerClient } from './partner/client.ts'
import { PartnerError } from './partner/partner-error.ts'
import type { ReservePace } from './partner/shared-pace.ts'
import { createTransport } from './partner/transport.ts'
import { readWatchedDevice, runRechecks } from './poller/recheck.ts'
import { parseSchedule, runOnSchedule } from './poller/schedule.ts'
import { type ReadElsewhere, walk } from './poller/walk.ts'
import type { RuleSet } from './rules/rule.ts'
import { isSameValue } from './same-value.ts'
import type { SlotFindings } from './slots.ts'
import { openStorage } from './storage/open.ts'
import type { Storage } from './storage/storage.ts'
import { createTelemetry } from './telemetry.ts'

export interface AppDeps {
  readonly rules: RuleSet
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly version: string
  /** For a reload: reads what `config` and `rules` came from. Absent: they came from no file. */
  readonly loadAnew?: LoadAnew
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void
  /** What several replicas share; absent: this process is alone. */
  readonly sharing?: Sharing
}

export interface Sharing {
  /** Already open, and closed with the app. */
  readonly storage: Storage
  /** Has the routes served where this process listens. */
  readonly serve: (options: HttpServerOptions) => Promise<HttpServer>
  readonly reservePace: ReservePace
  /** Whoever reads the users of the next walk; null: this process does. */
  readonly readElsewhere: (to: {
    readonly book: AlertBook
    readonly onSlot: (found: SlotFindings) => Promise<void>
  }) => Promise<ReadElsewhere | null>
  readonly onReloaded: (loaded: { readonly config: Config; readonly rules: RuleSet }) => void
}

/** Rejects with a FileError that has everything that is wrong. */
export type LoadAnew = () => Promise<{ readonly config: Config; readonly rules: RuleSet }>

export type ReloadOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly problems: readonly string[] }

export interface App {
  /**
   * Serves metrics and health, walks, alerts and delivers until the signal aborts and all of it has ended.
   * Rejects with StorageError `locked` when another process has taken over the database.
   */
  run(signal: AbortSignal, onListening?: (url: string) => void): Promise<void>
  /** One walk alone. */
  walkOnce(signal: AbortSignal): Promise<WalkOutcome>
  /** Delivers what is due, until the signal aborts. */
  deliver(signal: AbortSignal): Promise<void>
  delivery(): DeliveryStatus
  alerts(): Iterable<Alert>
  /** Reads configuration and rules anew. With problems, what ran before goes on; they are logged. */
  reload(): Promise<ReloadOutcome>
  /** Gives everything back; to be called also when `run` was not. */
  close(): Promise<void>
}

// While one user's answer is evaluated, another's next request has to be at hand, or sockets stand idle.
const usersPerSocket = 2
// After a start, messages wait for the first walk, but not for one that takes hours.
const longestHoldMs = 5 * 60_000
const serviceTickMs = 10_000
// What is taken up at the start only: sockets, schedules and files that are open.
const needRestart = [
  'partner',
  'poll',
  'storage',
  'http',
  'replicas',
  'heartbeat',
  'log',
  'flapping',
] as const
// The device's own call, and one for its user when that is not at hand.
const requestsPerRecheck = 2

/** Rejects with StorageError when the database can't be had; `run` with HttpServerError, the address. */
export async function createApp(config: Config, deps: AppDeps): Promise<App> {
  const { rules, clock, logger, metrics } = deps
  const releases = new AsyncDisposableStack()
  try {
    const telemetry = createTelemetry({ logger, metrics })

    const storage = deps.sharing?.storage ?? (await openStorage(config.storage, { clock, logger }))
    releases.defer(() => storage.close())
    if (storage.recovered !== null) {
      metrics.storageRecovered()
      logger.error(storage.recovered, 'The database was damaged and moved aside: this one begins empty')
    }

    const transport = createTransport({
      ...config.partner,
      clock,
      credentials: credentialsOf(config.partner.credentials),
      onRequest: telemetry.request,
      reservePace: deps.sharing?.reservePace,
    })
    releases.defer(() => transport.close())
    const client = createPartnerClient({
      transport,
      organisationId: config.partner.orgId,
      onOddField: telemetry.oddField,
      onClockSkew: telemetry.clockSkew,
    })

    const lastState = await storage.loadWalkState()
    const downMs = lastState === null ? 0 : Math.max(0, clock.now() - lastState.aliveAt)
    const book = await openAlertBook(storage, { downMs, flapping: config.flapping })
    book.subscribe(telemetry.transitions)
    const evaluator = createEvaluator({ rules, book, newEpisode: randomUUID, onUnknown: telemetry.unknown })

    const integrations = createIntegrationSet(
      {
        clock,
        moreUrl: () => null,
        publicUrl: config.http.publicUrl,
        onLayoutRefused: telemetry.layoutRefused,
        onTemplateFailure: telemetry.templateFailed,
      },
      { maySend: storage.holds },
    )
    releases.defer(() => integrations.close())
    const home = new URL('/', config.http.publicUrl ?? config.partner.baseUrl).href
    const alerting = await openAlerting({
      config,
      integrations: integrations.update(config.alerting.receivers),
      book,
      store: storage,
      clock,
      newId: randomUUID,
      linkFor: createLinkSource({
        client,
        clock,
        returnUrls: { successUrl: home, cancelUrl: home },
        onFailure: telemetry.linkFailed,
      }),
      events: { dispatcher: telemetry.dispatcher, onUnreadableSilence: telemetry.unreadableSilence },
    })
    const { dispatcher } = alerting
    const readDevice = (device: DeviceSubject, signal: AbortSignal) =>
      readWatchedDevice({ ...device, client, signal })
    const readUser = (userId: string, signal: AbortSignal) => client.user(userId, signal).catch(nullIfUnread)

    const monitor = await openMonitor({
      book,
      evaluator,
      dispatcher,
      guard: alerting.guard,
      store: storage,
      clock,
      readFleet: async ({ onUser, onSlot }, signal) =>
        walk({
          client,
          clock,
          signal,
          concurrency: config.partner.concurrency * usersPerSocket,
          needs: current.rules.reads,
          watched: book,
          onUser,
          readElsewhere: (await deps.sharing?.readElsewhere({ book, onSlot })) ?? null,
          onUnread: telemetry.unread,
          ...(deps.onProgress === undefined ? {} : { progress: deps.onProgress }),
        }),
      readDevice,
      readUser,
      sendHeartbeat: async (signal) => {
        if (config.heartbeat !== null && storage.holds())
          telemetry.heartbeat(await sendHeartbeat({ ...config.heartbeat, signal }))
      },
      events: telemetry.monitor,
    })

    metrics.setRules(alertsOf(rules))
    metrics.setIntegrations(integrations.all())
    metrics.configLoaded({ successful: true, at: clock.now() })
    metrics.setLastWalks(lastWalks(lastState))
    metrics.watch({
      delivery: () => dispatcher.status(),
      silences: () => countSilences(alerting.silences, clock.now()),
      acknowledgements: () => alerting.acknowledgements.size(),
      partnerRateLimit: () => transport.requestsPerSecond(),
      partnerCircuitOpen: () => transport.isCircuitOpen(),
    })

    let firstWalkEnded = false
    let current = { config, rules }

    async function walkOnce(signal: AbortSignal): Promise<WalkOutcome> {
      telemetry.walkStarted()
      evaluator.endRemovedRules(clock.now())
      const outcome = await monitor.walk(signal)
      firstWalkEnded = true
      metrics.setAlerts(book.all())
      return outcome
    }

    async function watchService(signal: AbortSignal): Promise<void> {
      for (;;) {
        // Waits first: with many alerts stored, counting them would only hold up the first walk.
        await clock.sleep(serviceTickMs, signal).catch(() => {})
        if (signal.aborted) return
        await monitor.watchService()
        // Before a walk has read the fleet nobody knows what a silence still matches.
        if (firstWalkEnded) await alerting.tend(clock.now()).catch(telemetry.storageFailed)
        metrics.setAlerts(book.all())
      }
    }

    /** What is wrong with files was told before this. What is left to fail is the database: the next reload finishes it. */
    async function reload(next: Pick<AppDeps, 'rules'> & { readonly config: Config }): Promise<void> {
      const updated = integrations.update(next.config.alerting.receivers)
      await alerting.reconfigure(next.config, updated)
      evaluator.reload(next.rules)
      const unapplied = needRestart.filter((section) => !isSameValue(config[section], next.config[section]))
      if (unapplied.length > 0) {
        logger.warn({ sections: unapplied }, 'Changed, and in effect only after a restart')
      }
      current = next
      deps.sharing?.onReloaded(next)
      metrics.setRules(alertsOf(next.rules))
      metrics.setIntegrations(integrations.all())
      metrics.configLoaded({ successful: true, at: clock.now() })
      logger.info({}, 'Configuration and rules were read anew')
    }

    let lastReload: Promise<unknown> = Promise.resolve()

    /** One at a time: the last one to ask has the last word. */
    function reloadAnew(): Promise<ReloadOutcome> {
      const done = lastReload.then(readAndReload)
      lastReload = done
      return done
    }

    async function readAndReload(): Promise<ReloadOutcome> {
      try {
        await reload((await deps.loadAnew?.()) ?? current)
        return { ok: true }
      } catch (error) {
        metrics.configLoaded({ successful: false, at: clock.now() })
        logger.error({ error }, 'Reload failed: what was read before stays in effect')
        return { ok: false, problems: (error instanceof Error ? error.message : String(error)).split('\n') }
      }
    }

    const closing = new AbortController()
    releases.defer(async () => closing.abort())
    const api = createAlertingApi({
      book,
      alerting,
      config: () => current.config,
      now: () => clock.now(),
      explaining: {
        book,
        alerting,
        rules: () => current.rules,
        now: () => clock.now(),
        readDevice,
        readUser,
      },
      reload: reloadAnew,
      version: deps.version,
      signal: closing.signal,
    })

    async function run(stopping: AbortSignal, onListening?: (url: string) => void): Promise<void> {
      const signal = AbortSignal.any([stopping, storage.lost])
      const server = await (deps.sharing?.serve ?? startHttpServer)({
        ...config.http,
        metrics,
        clock,
        logger,
        routes: [apiV2({ api, clock, logger }), apiV1({ api, clock, logger }), reloadRoute({ api, logger })],
        health: {
          healthy: () => true,
          ready() {
            const reasons = [
              ...(firstWalkEnded ? [] : ['the first walk has not ended']),
              ...(storage.holds() ? [] : ['the database cannot be reached: nothing is told']),
            ]
            return { ready: reasons.length === 0, reasons }
          },
        },
      })
      releases.defer(() => server.close())
      onListening?.(server.url)
      await Promise.all([
        runOnSchedule({
          schedule: parseSchedule(config.poll.schedule, config.poll.timezone),
          clock,
          signal,
          run: async (walkSignal) => void (await walkOnce(walkSignal)),
          onSkipped: telemetry.walkSkipped,
          onFault: telemetry.walkFailed,
        }),
        runRechecks({
          ...config.partner,
          clock,
          signal,
          intervalMs: config.poll.recheckIntervalMs,
          requestsPerRecheck,
          watched: monitor.devicesInTrouble,
          recheck: monitor.recheck,
          onFault: telemetry.recheckFailed,
        }),
        watchService(signal),
        dispatcher.run(signal),
        clock.sleep(longestHoldMs, signal).then(dispatcher.enable, () => {}),
      ])
      storage.lost.throwIfAborted()
    }

    return {
      run,
      walkOnce,
      deliver: (signal) => dispatcher.run(signal),
      delivery: () => dispatcher.status(),
      alerts: () => book.all(),
      reload: reloadAnew,
      close: () => releases.disposeAsync(),
    }
  } catch (error) {
    await releases.disposeAsync()
    throw error
  }
}

function lastWalks(state: WalkState | null): { successAt: number | null; completeAt: number | null } {
  const completeAt = state?.lastCompleteAt ?? null
  const wasRead = state !== null && state.last.outcome !== 'failed'
  return { successAt: wasRead ? state.last.ended_at : completeAt, completeAt }
}

export function credentialsOf(credentials: PartnerCredentials) {
  switch (credentials.kind) {
    case 'client':
      return { clientId: credentials.clientId, clientSecret: credentials.clientSecret }
    case 'token':
      return { token: credentials.token }
    default:
      return credentials satisfies never
  }
}

function nullIfUnread(error: unknown): null {
  if (error instanceof PartnerError) return null
  throw error
}

const builtInAlerts = {
  DeviceNoData: 'warning',
  AlertLimitReached: 'warning',
  MassChange: 'critical',
  SilenceEnding: 'info',
}

function countSilences(silences: SilenceBook, at: number) {
  const counts = { pending: 0, active: 0, expired: 0 }
  for (const silence of silences.all()) counts[silences.stateOf(silence, at)]++
  return counts
}

function alertsOf(rules: RuleSet): { alertname: string; severity: string }[] {
  const all = [...rules.deviceRules, ...rules.userRules, ...rules.fleetRules, ...rules.serviceRules]
  const builtIn = Object.entries(builtInAlerts).map(([alertname, severity]) => ({ alertname, severity }))
  return [...all.map(({ alert, severity }) => ({ alertname: alert, severity })), ...builtIn]
}
