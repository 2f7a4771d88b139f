import type { Clock } from '../clock.ts'
import type { StorageConfig } from '../config.ts'
import type { Logger } from '../logger.ts'
import { openSqlite } from './sqlite.ts'
import type { Storage } from './storage.ts'

/** Opens the database that `storage.url` names; see openSqlite and openPostgres for how that fails. */
export async function openStorage(
  config: StorageConfig,
  options: { readonly clock: Clock; readonly logger: Logger },
): Promise<Storage> {
  switch (config.kind) {
    case 'sqlite':
      return openSqlite({ path: config.path, ...options })
    case 'postgres': {
      // Loaded when it is needed: a start with a file does without the client.
      const { openPostgres } = await import('./postgres.ts')
      return openPostgres({ config, ...options })
    }
    default:
      return config satisfies never
  }
}
