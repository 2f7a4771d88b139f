// The wiring, one straight line: configuration and rules in, a service out. Whatever is acquired
// pushes its release, and they are released last in, first out, once.

import { randomUUID } from 'node:crypto'
import { createActivity } from './activity.ts'
import type { Actor } from './actor.ts'
import { openAlerting } from './alerting.ts'
import { createAlertingApi } from './alerting-api.ts'
import type { Alert } from './alerts/alert.ts'
import { type AlertBook, openAlertBook } from './alerts/alert-book.ts'
import { createEvaluator, type DeviceSubject } from './alerts/evaluation.ts'
import { createHistory } from './alerts/history.ts'
import type { SilenceBook } from './alerts/silence-book.ts'
import type { WalkState } from './alerts/walk-store.ts'
import { AuditError, openAuditTrail, serviceActor } from './backoffice/audit-trail.ts'
import { createBackOffice } from './backoffice/back-office.ts'
import { createForgetting } from './backoffice/forgetting.ts'
import { openMigrations } from './backoffice/migrations.ts'
import type { Clock } from './clock.ts'
import type { Config, PartnerCredentials } from './config.ts'
import { alertingParts, linksPart, migrationsPart, ownersPart, partnerFacts } from './forgetting-parts.ts'
import { sendHeartbeat } from './heartbeat.ts'
import { createAccess } from './http/access.ts'
import { apiV1, reloadRoute } from './http/api-v1.ts'
import { apiV2 } from './http/api-v2.ts'
import { auditApi } from './http/audit-api.ts'
import { linkPages } from './http/link-pages.ts'
import { migrationApi } from './http/migration-api.ts'
import { pageRefusals, pages } from './http/page/pages.ts'
import { type HttpServer, type HttpServerOptions, type RouteModule, startHttpServer } from './http/server.ts'
import { usersApi } from './http/users-api.ts'
import { type DurableLinks, openDurableLinks } from './links/durable-links.ts'
import { alertsOf, changesBetween, sectionsToRestartFor } from './loaded.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import { openMonitor, type WalkOutcome } from './monitor.ts'
import type { DeliveryStatus } from './notify/dispatcher.ts'
import { createIntegrationSet } from './notify/receivers/registry.ts'
import { notingTold } from './notify/told-history.ts'
import { createPageSources, morePageUrl } from './page-sources.ts'
import { type CallLog, openCallLog } from './partner/call-log.ts'
import { createPartnerClient } from './partner/client.ts'
import { PartnerError } from './partner/partner-error.ts'
import type { ReservePace } from './partner/shared-pace.ts'
import { createTransport } from './partner/transport.ts'
import { createUserDirectory } from './partner/user-directory.ts'
import { readWatchedDevice, runRechecks } from './poller/recheck.ts'
import { parseSchedule, runOnSchedule } from './poller/schedule.ts'
import { type ReadElsewhere, walk } from './poller/walk.ts'
import type { RuleSet } from './rules/rule.ts'
import { openSelfService } from './self-service.ts'
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
  /** The log of requests of this process, closed by whoever opened it; null: it keeps none. */
  readonly callLog: CallLog | null
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
  readonly links: DurableLinks
  /** Reads configuration and rules anew. With problems, what ran before goes on; they are logged. */
  reload(actor: Actor): Promise<ReloadOutcome>
  /** Gives everything back; to be called also when `run` was not. */
  close(): Promise<void>
}

// While one user's answer is evaluated, another's next request has to be at hand, or sockets stand idle.
const usersPerSocket = 2
// After a start, messages wait for the first walk, but not for one that takes hours.
const longestHoldMs = 5 * 60_000
const serviceTickMs = 10_000
const pruneEveryMs = 3_600_000
// The device's own call, and one for its user when that is not at hand.
const requestsPerRecheck = 2

/** Rejects with StorageError when the database can't be had; `run` with HttpServerError, the address. */
export async function createApp(config: Config, deps: AppDeps): Promise<App> {
  const { rules, clock, logger, metrics } = deps
  const releases = new AsyncDisposableStack()
  try {
    const activity = createActivity({ now: () => clock.now() })
    const telemetry = activity.noting(createTelemetry({ logger, metrics, clock }))

    const storage = deps.sharing?.storage ?? (await openStorage(config.storage, { clock, logger }))
    releases.defer(() => storage.close())
    if (storage.recovered !== null) {
      metrics.storageRecovered()
      logger.error(storage.recovered, 'The database was damaged and moved aside: this one begins empty')
    }

    const closing = new AbortController()
    releases.defer(async () => closing.abort())
    const trail = await openAuditTrail(storage, { clock, events: telemetry.audit })

    const callLog = deps.sharing === undefined ? openOwnCallLog() : deps.sharing.callLog
    const transport = createTransport({
      ...config.partner,
      clock,
      credentials: credentialsOf(config.partner.credentials),
      onRequest(event) {
        telemetry.request(event)
        callLog?.add(event)
      },
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
    const book = await openAlertBook(storage, {
      downMs,
      flapping: config.flapping,
      retentionMs: () => current.config.privacy.resolvedAlertsMs,
    })
    book.subscribe(telemetry.transitions)
    const history = createHistory({ store: storage, book, onError: telemetry.storageFailed })
    releases.defer(() => history.saved())
    const readDevice = (device: DeviceSubject, signal: AbortSignal) =>
      readWatchedDevice({ ...device, client, signal })
    const readUser = async (userId: string, signal: AbortSignal) => {
      const user = await client.user(userId, signal).catch(nullIfUnread)
      return user === null ? null : migrations.annotated(user)
    }
    const links = await openDurableLinks({
      ...{ config, client, store: storage, book, clock, readDevice },
      evaluate: (device, read, signal) => monitor.take(device, read, signal),
      record: trail.record,
      events: telemetry.links,
    })
    releases.defer(() => links.close())
    const evaluator = createEvaluator({
      ...{ rules, book, newEpisode: randomUUID, onUnknown: telemetry.unknown },
      returnedAt: links.returnedAt,
    })

    const integrations = createIntegrationSet(
      {
        clock,
        moreUrl: (notification) => morePageUrl(config.http.publicUrl, notification),
        publicUrl: config.http.publicUrl,
        onLayoutRefused: telemetry.layoutRefused,
        onTemplateFailure: telemetry.templateFailed,
      },
      { maySend: storage.holds },
    )
    releases.defer(() => integrations.close())
    const alerting = await openAlerting({
      config,
      integrations: integrations.update(config.alerting.receivers),
      book,
      store: storage,
      clock,
      newId: randomUUID,
      linkFor: links.linkFor,
      events: {
        dispatcher: notingTold(telemetry.dispatcher, { history, now: () => clock.now() }),
        onUnreadableSilence: telemetry.unreadableSilence,
      },
    })
    const { dispatcher } = alerting

    const directory = createUserDirectory({ transport, client, onOddField: telemetry.oddField })
    const office = { directory, client, record: trail.record, clock, signal: closing.signal }
    const backOffice = createBackOffice({
      ...{ ...office, book },
      durableLink: async (alert) => (await links.urlOf(alert, 'staff'))?.url ?? null,
      onMalformed: () => metrics.malformed('user'),
    })
    const home =
      config.links?.successUrl ?? new URL('/', config.http.publicUrl ?? config.partner.baseUrl).href
    const migrations = await openMigrations({
      ...office,
      backOffice,
      store: storage,
      returnUrls: { successUrl: home, cancelUrl: home },
    })

    /** As this process reads them itself: with what is known here alone of users that are moved over. */
    async function readElsewhere(
      onSlot: (found: SlotFindings) => Promise<void>,
    ): Promise<ReadElsewhere | null> {
      const read = (await deps.sharing?.readElsewhere({ book, onSlot })) ?? null
      return (
        read &&
        ((users, about) =>
          read(
            Iterator.from(users).map((user) => migrations.annotated(user)),
            about,
          ))
      )
    }

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
          onUser: (reading) => {
            const user = migrations.annotated(reading.user)
            return onUser(user === reading.user ? reading : { ...reading, user })
          },
          readElsewhere: await readElsewhere(onSlot),
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

    const selfService = await openSelfService({
      ...{ config, rules, book, alerting, client, clock },
      store: storage,
      async recheck(device, signal) {
        const read = await readDevice(device, signal)
        await monitor.take(device, read, signal)
        return read
      },
      linkFor: async (alert, purpose) => (await links.urlOf(alert, purpose))?.url ?? null,
      record: trail.record,
      maySend: storage.holds,
      events: telemetry.owners,
    })

    /** Null: requests are not to be logged. */
    function openOwnCallLog(): CallLog | null {
      if (config.partnerLog === null) return null
      const log = openCallLog({ ...config.partnerLog, clock, events: telemetry.callLog })
      releases.defer(() => log.close())
      return log
    }

    metrics.setRules(alertsOf(rules))
    metrics.setIntegrations(integrations.all())
    metrics.configLoaded({ successful: true, at: clock.now() })
    metrics.setLastWalks(lastWalks(lastState))
    metrics.watch({
      delivery: () => dispatcher.status(),
      silences: () => countSilences(alerting.silences, clock.now()),
      acknowledgements: () => alerting.acknowledgements.size(),
      ownerContacts: selfService.contactCounts,
      partnerRateLimit: () => transport.requestsPerSecond(),
      partnerCircuitOpen: () => transport.isCircuitOpen(),
      ...(storage.sizeBytes === undefined ? {} : { storageBytes: storage.sizeBytes }),
      migrationUsers: () => migrations.counts(),
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
        await links.tend(clock.now()).catch(telemetry.storageFailed)
        await pruneTrail()
        metrics.setAlerts(book.all())
      }
    }

    let nextPruneAt = Number.NEGATIVE_INFINITY

    /** A slice at each tick, as long as there is more, and then again in an hour. */
    async function pruneTrail(): Promise<void> {
      const now = clock.now()
      if (now < nextPruneAt && nextPruneAt - now <= pruneEveryMs) return
      // What failed is told by the trail.
      const isMore = await trail.prune(current.config.audit.keepMs).catch(() => false)
      if (!isMore) nextPruneAt = now + pruneEveryMs
    }

    /** What is wrong with files was told before this. What is left to fail is the database: the next reload finishes it. */
    async function reload(next: Pick<AppDeps, 'rules'> & { readonly config: Config }): Promise<void> {
      // First: a token that is taken away must not go on because the database is full.
      access.update(next.config.access)
      telemetry.accessConfigured(next.config.access, clock.now())
      const updated = integrations.update(next.config.alerting.receivers)
      await alerting.reconfigure(next.config, updated)
      links.reconfigure(next.config.links)
      evaluator.reload(next.rules)
      selfService.reconfigure(next)
      const sections = sectionsToRestartFor(config, next.config)
      if (sections.length > 0) logger.warn({ sections }, 'Changed, and in effect only after a restart')
      current = next
      deps.sharing?.onReloaded(next)
      metrics.setRules(alertsOf(next.rules))
      metrics.setIntegrations(integrations.all())
      metrics.configLoaded({ successful: true, at: clock.now() })
      logger.info({}, 'Configuration and rules were read anew')
    }

    let lastReload: Promise<unknown> = Promise.resolve()

    /** One at a time: the last one to ask has the last word. */
    function reloadAnew(actor: Actor): Promise<ReloadOutcome> {
      const done = lastReload.then(() => auditedReload(actor))
      lastReload = done
      return done
    }

    async function auditedReload(actor: Actor): Promise<ReloadOutcome> {
      const before = current
      const change = { actor, action: 'configuration.reload', target: {}, detail: {} }
      const outcome = (ended: ReloadOutcome) =>
        ended.ok
          ? { detail: changesBetween(before, current) }
          : { result: 'failed' as const, detail: { problems: ended.problems } }
      try {
        return await trail.audited({ ...change, outcome }, readAndReload)
      } catch (error) {
        if (!(error instanceof AuditError)) throw error
        return { ok: false, problems: [error.message] }
      }
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

    const access = createAccess({
      ...config.http,
      config: config.access,
      clock,
      events: {
        onRefused: telemetry.access.onRefused,
        onDenied(actor, endpoint, reason) {
          telemetry.access.onDenied(actor, endpoint, reason)
          const detail = { endpoint: endpoint.name, needs: endpoint.needs, reason }
          void trail.recordDenied({ actor, action: 'access.denied', target: {}, detail })
        },
      },
      refusalPage: pageRefusals(clock),
    })

    const explaining = {
      ...{ book, alerting, readDevice, readUser },
      rules: () => current.rules,
      now: () => clock.now(),
      ownerOutlook: selfService.explain,
    }
    const api = createAlertingApi({
      book,
      alerting,
      links: links.book,
      trail,
      config: () => current.config,
      now: () => clock.now(),
      explaining,
      reload: reloadAnew,
      version: deps.version,
      signal: closing.signal,
    })
    const sources = createPageSources({
      ...{ book, alerting, history, activity, explaining, linkFor: links.linkFor },
      integrations: integrations.all,
      current: () => current,
      signal: closing.signal,
    })
    const forgetting = createForgetting({
      trail,
      parts: [
        // Before the alerts, which would take theirs along uncounted.
        {
          name: 'history of alerts',
          count: ({ userId }) => history.count(userId),
          forget: ({ userId }) => history.forget(userId),
        },
        ...alertingParts(book, alerting),
        linksPart(links),
        ownersPart(selfService),
        migrationsPart(migrations),
      ],
      alerts: () => book.all(),
      askPartner: partnerFacts(client),
      removeTraces: () => storage.removeTraces(),
    })

    /** The service comes up and ends also when that cannot be recorded, which is told by the trail. */
    function recordService(action: 'service.start' | 'service.stop'): Promise<void> {
      const detail = { version: deps.version }
      return trail
        .record({ actor: serviceActor(), action, result: 'ok', target: {}, detail })
        .catch(() => undefined)
    }

    /** Without a public address nobody is given a link. */
    function pagesOfLinks(): readonly RouteModule[] {
      const { publicUrl } = config.http
      if (publicUrl === null || links.desk === null) return []
      return [linkPages({ desk: links.desk, owners: selfService.desk, publicUrl, clock, logger })]
    }

    async function run(stopping: AbortSignal, onListening?: (url: string) => void): Promise<void> {
      const signal = AbortSignal.any([stopping, storage.lost])
      const server = await (deps.sharing?.serve ?? startHttpServer)({
        ...config.http,
        metrics,
        access,
        clock,
        logger,
        routes: [
          apiV2({ api, clock, logger }),
          apiV1({ api, clock, logger }),
          auditApi({ trail, forgetting, clock, logger, signal: closing.signal }),
          usersApi({ backOffice, clock, logger }),
          migrationApi({ migrations, clock, logger }),
          reloadRoute({ api, logger }),
          ...pagesOfLinks(),
          pages({ api, sources, clock, logger }),
        ],
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
      telemetry.accessConfigured(current.config.access, clock.now())
      await recordService('service.start')
      metrics.watch({ webUrl: () => config.http.publicUrl ?? server.url })
      onListening?.(server.url)
      links.resume()
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
        selfService.run(signal, () => firstWalkEnded),
        clock.sleep(longestHoldMs, signal).then(dispatcher.enable, () => {}),
      ]).finally(() => recordService('service.stop'))
      storage.lost.throwIfAborted()
    }

    return {
      run,
      walkOnce,
      deliver: (signal) => dispatcher.run(signal),
      delivery: () => dispatcher.status(),
      alerts: () => book.all(),
      links,
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

function countSilences(silences: SilenceBook, at: number) {
  const counts = { pending: 0, active: 0, expired: 0 }
  for (const silence of silences.all()) counts[silences.stateOf(silence, at)]++
  return counts
}
