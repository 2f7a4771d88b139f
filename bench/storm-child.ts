// The whole service as createApp wires it, serving and delivering, which walks when it is told.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { createApp } from '../src/app.ts'
import { loadRuleFiles } from '../src/cli/load.ts'
import { systemClock as clock } from '../src/clock.ts'
import { parseConfig } from '../src/config.ts'
import { createLogger } from '../src/logger.ts'
import { createMetrics } from '../src/metrics.ts'
import { answerParent, childOptions } from './harness.ts'

export interface StormChildOptions {
  readonly folder: string
  /** The configuration: JSON, which YAML is. */
  readonly config: unknown
}

export interface StormChildReady {
  readonly pid: number
  readonly url: string
}

/** Instants in ms since 1970. */
export interface StormWalk {
  readonly startedAt: number
  readonly endedAt: number
}

const { folder, config: written } = childOptions<StormChildOptions>()
const config = await parseConfig({
  file: join(folder, 'fleetwarden.yaml'),
  text: JSON.stringify(written),
  env: {},
  readFile: (path) => readFile(path, 'utf8'),
})
const { rules } = await loadRuleFiles(config.ruleFiles)
const versions = { version: 'bench', revision: 'bench', nodeVersion: process.version }
const app = await createApp(config, {
  rules,
  version: 'bench',
  clock,
  logger: createLogger({ level: 'error', destination: process.stderr }),
  metrics: createMetrics({ clock, ...versions }),
})
const ending = new AbortController()
const listening = Promise.withResolvers<string>()
app.run(ending.signal, listening.resolve).catch(listening.reject)

answerParent(async (): Promise<StormWalk> => {
  const startedAt = Date.now()
  const outcome = await app.walkOnce(ending.signal)
  if (outcome !== 'complete') throw new Error(`the walk was ${outcome}`)
  return { startedAt, endedAt: Date.now() }
})
process.send?.({ pid: process.pid, url: await listening.promise } satisfies StormChildReady)
