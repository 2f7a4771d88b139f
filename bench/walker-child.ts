// One side of a comparison, in a process of its own: the service's own walk as createApp wires it, or
// the bare loop, which makes the same calls with undici's `request` and does nothing but JSON.parse.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createApp } from '../src/app.ts'
import { loadRuleFiles, readFile } from '../src/cli/load.ts'
import { systemClock } from '../src/clock.ts'
import { createLogger } from '../src/logger.ts'
import { createMetrics } from '../src/metrics.ts'
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
}

type Walk = () => Promise<{ users: number; alerts: number }>

const options = childOptions<WalkerOptions>()
const open = options.side === 'ours' ? openService : openBare
if (options.warmUp !== null) {
  const { walk, close } = await open(options.warmUp)
  await walk()
  await close()
}
const { walk } = await open(options.target)

answerParent(async (): Promise<Walked> => {
  globalThis.gc?.()
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const { users, alerts } = await walk()
  const wallMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)
  return { wallMs, cpuMs: (user + system) / 1_000, peakBytes: peakResidentBytes(), users, alerts }
})
process.send?.('ready')

async function openService({ url, organizationId }: Target): Promise<{ walk: Walk; close(): Promise<void> }> {
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
    },
    readFile,
  )
  const { rules } = await loadRuleFiles(config.ruleFiles)
  let users = 0
  const app = await createApp(config, {
    rules,
    version: 'bench',
    clock: systemClock,
    logger: createLogger({ level: 'error', destination: process.stderr }),
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
    close: async () => {
      await app.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function openBare({ url, organizationId }: Target): Promise<{ walk: Walk; close(): Promise<void> }> {
  const { concurrency, rules } = options
  const loop = openBareLoop({ url, organizationId, concurrency, energyContracts: rules === 'all' })
  return { walk: async () => ({ users: await loop.walk(), alerts: 0 }), close: loop.close }
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
