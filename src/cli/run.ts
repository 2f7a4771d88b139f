// `fleetwarden run`: the service, until it is told to end.

import packageJson from '../../package.json' with { type: 'json' }
import { createApp } from '../app.ts'
import { serviceActor } from '../backoffice/audit-trail.ts'
import type { Clock } from '../clock.ts'
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
  const app = await createApp(config, {
    rules,
    version,
    loadAnew: () => load(file, context),
    clock: context.clock,
    logger,
    metrics: serviceMetrics(context),
  })
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

export function serviceMetrics(
  { env, nodeVersion, ...context }: CliContext,
  clock: Clock = context.clock,
): Metrics {
  const revision = env['FLEETWARDEN_REVISION'] ?? 'unknown'
  return createMetrics({ clock, version: packageJson.version, revision, nodeVersion })
}
