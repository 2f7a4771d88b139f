// One side of a comparison, in a process of its own: the service's own walk as createApp wires it, or
// the bare loop, which makes the same calls with undici's `request` and does nothing but JSON.parse.

import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { Session } from 'node:inspector/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createApp, type Sharing } from '../src/app.ts'
import { loadRuleFiles, readFile } from '../src/cli/load.ts'
import { systemClock } from '../src/clock.ts'
import type { PostgresConfig } from '../src/config.ts'
import { createLogger, type Logger } from '../src/logger.ts'
import { createMetrics } from '../src/metrics.ts'
import { openPostgres } from '../src/storage/postgres.ts'
import { openSharedPostgres } from '../src/storage/postgres-replicas.ts'
import { openBareLoop } from './bare-loop.ts'
import { answerParent, childOptions, type RuleSelection, serviceConfig } from './harness.ts'

export interface WalkerOptions {
  readonly side: 'ours' | 'bare'
  readonly target: Target
  /** Walked once before anything is measured; without latency, so that it takes seconds. */
  readonly warmUp: Target | null
  readonly concurrency: number
  readonly requestsPerSecond: number
  /** Decides whether a walk asks for energy contracts, one call more per user. */
  readonly rules: RuleSelection
  /** Of a PostgreSQL; the default is a file of its own. */
  readonly storageUrl?: string
  /** Where to write a `.cpuprofile` of the first walk; it costs some CPU itself. */
  readonly cpuProfile?: string | null
}

export interface Target {
  readonly url: string
  readonly organizationId: string
}

/** One walk. */
export interface Walked {
  readonly wallMs: number
  /** User and system, of all threads. */
  readonly cpuMs: number
  /** Peak of the resident set since the process began, bytes. */
  readonly peakBytes: number
  readonly users: number
  readonly alerts: number
  /** Of the file and its log; 0 where there is none. */
  readonly databaseBytes: number
}

interface Walker {
  walk(): Promise<{ users: number; alerts: number }>
  databaseBytes(): Promise<number>
  close(): Promise<void>
}

const options = childOptions<WalkerOptions>()
const open = options.side === 'ours' ? openService : openBare
if (options.warmUp !== null) {
  const walker = await open(options.warmUp)
  await walker.walk()
  await walker.close()
}
const walker = await open(options.target)
let profileTo = options.cpuProfile ?? null

answerParent(async (): Promise<Walked> => {
  globalThis.gc?.()
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const { users, alerts } = profileTo === null ? await walker.walk() : await profiled(profileTo)
  profileTo = null
  const wallMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)
  const databaseBytes = await walker.databaseBytes()
  return {
    wallMs,
    cpuMs: (user + system) / 1_000,
    peakBytes: peakResidentBytes(),
    users,
    alerts,
    databaseBytes,
  }
})
process.send?.('ready')

/** To be opened with the developer tools of a browser, or of an editor. */
async function profiled(path: string): ReturnType<Walker['walk']> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  const walked = await walker.walk()
  const { profile } = await session.post('Profiler.stop')
  await writeFile(path, JSON.stringify(profile))
  return walked
}

async function openService({ url, organizationId }: Target): Promise<Walker> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-bench-'))
  process.once('exit', () => void rm(folder, { recursive: true, force: true }))
  const config = await serviceConfig(
    {
      baseUrl: url,
      organizationId,
      folder,
      concurrency: options.concurrency,
      requestsPerSecond: options.requestsPerSecond,
      rules: options.rules,
      storageUrl: options.storageUrl,
    },
    readFile,
  )
  const { rules } = await loadRuleFiles(config.ruleFiles)
  let users = 0
  const logger = createLogger({ level: 'error', destination: process.stderr })
  const server = config.storage.kind === 'postgres' ? await openServer(config.storage, logger) : null
  const app = await createApp(config, {
    ...(server === null ? {} : { sharing: server.sharing }),
    rules,
    version: 'bench',
    clock: systemClock,
    logger,
    metrics: createMetrics({
      clock: systemClock,
      version: 'bench',
      revision: 'bench',
      nodeVersion: process.version,
    }),
    onProgress: ({ total }) => {
      users = total
    },
  })
  return {
    walk: async () => {
      const outcome = await app.walkOnce(new AbortController().signal)
      if (outcome !== 'complete') throw new Error(`the walk was ${outcome}`)
      return { users, alerts: [...app.alerts()].filter(({ subject }) => subject.kind !== 'fleet').length }
    },
    databaseBytes: async () => {
      const files = await readdir(folder)
      const sizes = files.map(async (name) => (await stat(join(folder, name))).size)
      return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
    },
    close: async () => {
      await app.close()
      await server?.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** As replica.ts has it, for a leader without other replicas: it shares the pace all the same. */
async function openServer(
  config: PostgresConfig,
  logger: Logger,
): Promise<{ sharing: Sharing; close(): Promise<void> }> {
  const storage = await openPostgres({ config, clock: systemClock, logger })
  const shared = await openSharedPostgres({ config, onError: (error) => console.error(error) })
  return {
    sharing: {
      storage,
      reservePace: shared.reservePace,
      callLog: null,
      readElsewhere: async () => null,
      onReloaded() {},
      serve: async () => ({ url: '', close: async () => {} }),
    },
    close: () => shared.close(),
  }
}

async function openBare({ url, organizationId }: Target): Promise<Walker> {
  const { concurrency, rules } = options
  const loop = openBareLoop({ url, organizationId, concurrency, energyContracts: rules === 'all' })
  return {
    walk: async () => ({ users: await loop.walk(), alerts: 0 }),
    databaseBytes: async () => 0,
    close: loop.close,
  }
}

/** VmHWM where there is a /proc; elsewhere what Node knows. */
function peakResidentBytes(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    if (kilobytes !== undefined) return Number(kilobytes) * 1_024
  } catch {
    // No /proc on this system.
  }
  return process.resourceUsage().maxRSS * 1_024
}
