import type { MigrationState } from './migration.ts'

/** What migrations need of a database. Each call is one transaction. */
export interface MigrationStore {
  /** Everybody who is or was being moved, in no order. */
  loadMigrations(): Promise<readonly MigrationState[]>
  /** By external id; replaces what was there. */
  saveMigration(state: MigrationState): Promise<void>
  deleteMigration(externalId: string): Promise<void>
}
