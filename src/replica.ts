// One of several processes on one database (docs/decisions/0012). It works on slots of whatever walk
// there is, waits for the lock all the while, and when it has it, leads: then the app of app.ts runs here,
// until the process is stopped or another one has taken over.

import { createHash, randomUUID } from 'node:crypto'
import type { Actor } from './actor.ts'
import type { Alert } from './alerts/alert.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import { type AppDeps, createApp, credentialsOf, type ReloadOutcome, type Sharing } from './app.ts'
import type { Config, PostgresConfig } from './config.ts'
import { createAccess } from './http/access.ts'
import { reloadRoute } from './http/api-v1.ts'
import { createRoutes, type Fetch, startListening } from './http/server.ts'
import { openCallLog } from './partner/call-log.ts'
import { createPartnerClient } from './partner/client.ts'
import { createTransport } from './partner/transport.ts'
import type { RuleSet } from './rules/rule.ts'
import { takeSlot } from './slot-worker.ts'
import { readInSlots, workOnSlot } from './slots.ts'
import { openPostgres } from './storage/postgres.ts'
import { openSharedPostgres } from './storage/postgres-replicas.ts'
import { type Storage, StorageError, type StorageErrorKind } from './storage/storage.ts'
import { createTelemetry } from './telemetry.ts'

export interface Replica {
  /** Until the signal aborts and all of it has ended. Rejects when it can never work as it is configured. */
  run(signal: AbortSignal, onListening?: (url: string) => void): Promise<void>
  reload(actor: Actor): Promise<ReloadOutcome>
}

/** What was read at one time; the leader goes on to serve slots of a walk that began with it. */
interface Generation {
  readonly config: Config
  readonly rules: RuleSet
  isReplaced: boolean
  /** Walks in slots that this process leads with it. */
  walks: number
  /** Aborts when it is neither the last one nor needed by a walk. */
  readonly retired: AbortController
}

type ReplicaConfig = Config & { readonly storage: PostgresConfig }

const retryMs = 1_000
const watchMs = 2_000
// Without an answer of the database for so long, this replica does nothing any more.
const deafMs = 10_000
// While one user's answer is evaluated, another's next request has to be at hand, or sockets stand idle.
const usersPerSocket = 2
const complaintPauseMs = 30_000
// What no waiting mends, when it is so from the start.
const hopeless: readonly StorageErrorKind[] = ['not_a_database', 'newer_schema', 'cannot_open', 'read_only']

export function createReplica(config: ReplicaConfig, deps: AppDeps): Replica {
  const { clock, logger, metrics, version } = deps
  const telemetry = createTelemetry({ logger, metrics, clock })
  let loaded = newGeneration({ config, rules: deps.rules })
  let onAdopted: (generation: Generation) => void = () => {}
  /** To what a replica answers that does not lead. */
  const access = createAccess({
    ...config.http,
    config: config.access,
    clock,
    events: telemetry.access,
  })
  let leading: Fetch | null = null
  let reloadLeader: ((actor: Actor) => Promise<ReloadOutcome>) | null = null
  let leaderUrl: string | null = null
  let replicas: number | null = null
  let heardAt = clock.monotonic()
  let complainedAt = Number.NEGATIVE_INFINITY

  /** Once in a while: a database that is away fails every few milliseconds. */
  function complain(error: unknown): void {
    metrics.storageFailed(error instanceof StorageError ? error.kind : 'unavailable')
    if (clock.monotonic() - complainedAt < complaintPauseMs) return
    complainedAt = clock.monotonic()
    logger.error({ error }, 'The database cannot be reached, or refuses: this replica waits for it')
  }

  function adopt(next: { readonly config: Config; readonly rules: RuleSet }): void {
    const before = loaded
    access.update(next.config.access)
    loaded = newGeneration(next)
    before.isReplaced = true
    retireIfDone(before)
    onAdopted(loaded)
  }

  async function reload(actor: Actor): Promise<ReloadOutcome> {
    if (reloadLeader !== null) return reloadLeader(actor)
    try {
      adopt((await deps.loadAnew?.()) ?? loaded)
      metrics.configLoaded({ successful: true, at: clock.now() })
      // The audit trail is the leader's.
      logger.info({ actor }, 'Configuration and rules were read anew')
      return { ok: true }
    } catch (error) {
      metrics.configLoaded({ successful: false, at: clock.now() })
      logger.error({ error }, 'Reload failed: what was read before stays in effect')
      return { ok: false, problems: (error instanceof Error ? error.message : String(error)).split('\n') }
    }
  }

  async function run(stopping: AbortSignal, onListening?: (url: string) => void): Promise<void> {
    const failing = new AbortController()
    const signal = AbortSignal.any([stopping, failing.signal])
    const releases = new AsyncDisposableStack()
    try {
      const shared = await openSharedPostgres({ config: config.storage, onError: complain })
      releases.defer(() => shared.close())
      const callLog =
        config.partnerLog === null
          ? null
          : openCallLog({ ...config.partnerLog, clock, events: telemetry.callLog })
      if (callLog !== null) releases.defer(() => callLog.close())
      const transport = createTransport({
        ...config.partner,
        clock,
        credentials: credentialsOf(config.partner.credentials),
        onRequest(event) {
          telemetry.request(event)
          callLog?.add(event)
        },
        reservePace: shared.reservePace,
      })
      releases.defer(() => transport.close())
      const client = createPartnerClient({
        transport,
        organisationId: config.partner.orgId,
        onOddField: telemetry.oddField,
        onClockSkew: telemetry.clockSkew,
      })

      metrics.setLeading(false)
      metrics.configLoaded({ successful: true, at: clock.now() })
      const server = await startListening({ ...config.http, clock, logger }, (isClosing) => {
        const following = followerRoutes(isClosing)
        return (request, ...rest) => (leading ?? following)(request, ...rest)
      })
      releases.defer(() => server.close())
      onListening?.(server.url)
      // Before anything waits: what can't work is to be known at once.
      await shared.isReady().then(heard, refuseHopeless)

      // What fails ends the others, and is told when they have ended.
      const parts = [workOnSlots(), watch(), lead()].map((part) =>
        part.catch((error) => failing.abort(error)),
      )
      await Promise.all(parts)
      failing.signal.throwIfAborted()

      function heard(): void {
        heardAt = clock.monotonic()
      }

      /** Those of each generation of rules that is in use: of the present one, and of a walk that began before. */
      async function workOnSlots(): Promise<void> {
        const working = new Set<Promise<void>>()
        onAdopted = (generation) => {
          const done = workOnSlotsOf(generation).finally(() => working.delete(done))
          working.add(done)
        }
        onAdopted(loaded)
        while (working.size > 0) await Promise.all(working)
      }

      /** Slots of those walks whose leader has the same rules. */
      async function workOnSlotsOf({ rules, retired }: Generation): Promise<void> {
        const stopping = AbortSignal.any([signal, retired.signal])
        while (!stopping.aborted) {
          const slots = shared.slots(queueName(config, rules, version))
          let walkId = ''
          try {
            if (await shared.isReady()) {
              await slots.takeSlots(
                (place) =>
                  takeSlot(place, stopping, {
                    desk: slots,
                    clock,
                    onEnded: metrics.slotEnded,
                    onFailure: complain,
                    work(work, place, ending) {
                      if (place.walkId !== walkId) telemetry.readingStarted()
                      walkId = place.walkId
                      return workOnSlot(work, {
                        client,
                        clock,
                        rules,
                        concurrency: config.partner.concurrency * usersPerSocket,
                        newEpisode: randomUUID,
                        onUnread: telemetry.unread,
                        onUnknown: telemetry.unknown,
                        signal: ending,
                      })
                    },
                  }),
                stopping,
              )
            }
          } catch (error) {
            complain(error)
          }
          await clock.sleep(retryMs, stopping).catch(() => {})
        }
      }

      /** Where the leader is, and whether the database answers at all. */
      async function watch(): Promise<void> {
        while (!signal.aborted) {
          try {
            if (await shared.isReady()) {
              leaderUrl = await shared.leaderUrl()
              replicas = await shared.slots(queueName(config, loaded.rules, version)).replicas()
            }
            heard()
          } catch (error) {
            complain(error)
          }
          await clock.sleep(watchMs, signal).catch(() => {})
        }
      }

      async function lead(): Promise<void> {
        let isFirst = true
        while (!signal.aborted) {
          let storage: Storage
          try {
            storage = await openPostgres({
              config: config.storage,
              lockTimeoutMs: Number.POSITIVE_INFINITY,
              clock,
              logger,
              signal,
            })
          } catch (error) {
            if (signal.aborted) return
            if (isFirst) refuseHopeless(error)
            complain(error)
            await clock.sleep(retryMs, signal).catch(() => {})
            continue
          } finally {
            isFirst = false
          }
          await leadWith(storage)
        }
      }

      async function leadWith(storage: Storage): Promise<void> {
        logger.info({}, 'This replica leads')
        metrics.setLeading(true)
        try {
          await using app = await createAppWith(storage)
          reloadLeader = app.reload
          await app.run(signal)
        } catch (error) {
          if (storage.lost.aborted) {
            logger.warn({ error }, 'Another replica leads now: this one works on slots and waits')
          } else if (error instanceof StorageError) complain(error)
          else throw error
        } finally {
          leading = null
          reloadLeader = null
          metrics.setLeading(false)
        }
      }

      async function createAppWith(storage: Storage) {
        // What a reload does not change stays as this process began.
        const { partner, poll, http, replicas: addresses, heartbeat, log, flapping, partnerLog } = config
        const atStart = { partner, poll, http, replicas: addresses, heartbeat, log, flapping, partnerLog }
        const present = { ...loaded.config, ...atStart }
        await shared.setLeaderUrl(config.replicas.advertiseUrl).catch(complain)
        const sharing: Sharing = {
          storage,
          reservePace: shared.reservePace,
          callLog,
          onReloaded: adopt,
          async serve(options) {
            leading = createRoutes(options, () => signal.aborted).fetch
            return {
              url: server.url,
              async close() {
                leading = null
              },
            }
          },
          async readElsewhere({ book, onSlot }) {
            const generation = loaded
            const slots = shared.slots(queueName(config, generation.rules, version))
            const alive = await slots.replicas().catch(() => 1)
            if (alive < 2) return null
            const read = readInSlots({
              board: slots,
              clock,
              newWalkId: randomUUID,
              replicas: alive,
              alertsOf: (userId) => activeOf(book, userId),
              onSlot,
              onFailure: complain,
            })
            return async (users, about) => {
              generation.walks++
              try {
                return await read(users, about)
              } finally {
                generation.walks--
                retireIfDone(generation)
              }
            }
          },
        }
        const app = await createApp(present, { ...deps, rules: loaded.rules, sharing })
        metrics.watch({ replicas: () => replicas })
        return { ...app, [Symbol.asyncDispose]: app.close }
      }
    } finally {
      await releases.disposeAsync()
    }
  }

  /**
   * What a replica answers that does not lead: of itself. All else, the API, the pages and the links in
   * messages, needs the alerts, and who asks for it is sent to whoever has them.
   */
  function followerRoutes(isClosing: () => boolean): Fetch {
    const reasons = () =>
      clock.monotonic() - heardAt > deafMs ? ['the database cannot be reached: nothing is evaluated'] : []
    const own = createRoutes(
      {
        ...config.http,
        metrics,
        access,
        clock,
        logger,
        routes: [reloadRoute({ api: { reload }, logger })],
        health: {
          healthy: () => true,
          ready: () => ({ ready: reasons().length === 0, reasons: reasons() }),
        },
      },
      isClosing,
    )
    return (request, ...rest) => {
      const { pathname, search } = new URL(request.url)
      const isOwn = pathname === '/metrics' || pathname.startsWith('/-/')
      return isOwn ? own.fetch(request, ...rest) : atLeader(`${pathname}${search}`, isClosing())
    }
  }

  function atLeader(target: string, isClosing: boolean): Response {
    const headers = new Headers({
      'Cache-Control': 'no-store',
      // What asks with a link asks with a secret.
      'Referrer-Policy': 'no-referrer',
      'X-Content-Type-Options': 'nosniff',
    })
    if (isClosing) headers.set('Connection', 'close')
    if (leaderUrl !== null) {
      headers.set('Location', `${leaderUrl}${target}`)
      return new Response(null, { status: 307, headers })
    }
    headers.set('Retry-After', '2')
    const why = 'this replica does not lead, and it is not known where the one is that does\n'
    return new Response(why, { status: 503, headers })
  }

  return { run, reload }
}

function newGeneration(read: { readonly config: Config; readonly rules: RuleSet }): Generation {
  return { ...read, isReplaced: false, walks: 0, retired: new AbortController() }
}

function retireIfDone({ isReplaced, walks, retired }: Generation): void {
  if (isReplaced && walks === 0) retired.abort()
}

function refuseHopeless(error: unknown): void {
  if (error instanceof StorageError && hopeless.includes(error.kind)) throw error
}

/** Those who have the same one agree in everything that findings are made of. */
function queueName({ partner }: Config, rules: RuleSet, version: string): string {
  const all = [...rules.deviceRules, ...rules.userRules, ...rules.fleetRules]
  const definitions = all.map(({ id, definition }) => `${id} ${definition}`).sort()
  const text = JSON.stringify([version, partner.baseUrl, partner.orgId, rules.reads, definitions])
  return `slots-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
}

function activeOf(book: AlertBook, userId: string): readonly Alert[] {
  const devices = book.devicesOf(userId)
  return [
    ...book.activeOn({ kind: 'user', userId }),
    ...devices.flatMap((device) => book.activeOn({ kind: 'device', userId, ...device })),
  ]
}
