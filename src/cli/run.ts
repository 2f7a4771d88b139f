// `fleetwarden run`: the service, until it is told to end.

import packageJson from '../../package.json' with { type: 'json' }
import { type AppDeps, createApp } from '../app.ts'
import { serviceActor } from '../backoffice/audit-trail.ts'
import type { Clock } from '../clock.ts'
import type { Config, PostgresConfig } from '../config.ts'
import { createLogger } from '../logger.ts'
import { createMetrics, type Metrics } from '../metrics.ts'
import type { CliContext, ExitCode } from './context.ts'
import { load } from './load.ts'

export async function run({ config: file }: { config: string }, context: CliContext): Promise<ExitCode> {
  const { config, rules, warnings } = await load(file, context)
  const destination = { write: (line: string) => context.print(line.trimEnd()) }
  const logger = createLogger({ level: config.log.level, destination })
  for (const warning of warnings) logger.warn({ ...warning }, 'Rule file is suspicious')
  const { version } = packageJson
  const deps = {
    rules,
    version,
    loadAnew: () => load(file, context),
    clock: context.clock,
    logger,
    metrics: serviceMetrics(context),
  }
  const { storage } = config
  const app =
    storage.kind === 'postgres' ? await replica({ ...config, storage }, deps) : await createApp(config, deps)
  const stopReloading = context.onReload(() => void app.reload(serviceActor('SIGHUP')))
  try {
    await app.run(context.signal, (url) => logger.info({ version, url }, 'Fleetwarden runs'))
    logger.info({}, 'Fleetwarden ends')
    return 0
  } finally {
    stopReloading()
    await app.close()
  }
}

/** Loaded when it is needed, since a file needs neither a queue nor the client of a server. */
async function replica(config: Config & { readonly storage: PostgresConfig }, deps: AppDeps) {
  const { createReplica } = await import('../replica.ts')
  return { ...createReplica(config, deps), close: async () => {} }
}

export function serviceMetrics(
  { env, nodeVersion, ...context }: CliContext,
  clock: Clock = context.clock,
): Metrics {
  const revision = env['FLEETWARDEN_REVISION'] ?? 'unknown'
  return createMetrics({ clock, version: packageJson.version, revision, nodeVersion })
}
