// The table of users that are moved over from another system: columns for what an operator would ask for, the
// rest as JSON. There are ids and counts in it, and nobody's name.

import type { MigrationState } from '../backoffice/migration.ts'
import type { MigrationStore } from '../backoffice/migration-store.ts'
import type { Logger } from '../logger.ts'
import type { Database } from './database.ts'
import { loadAll, readOrSkip } from './loading.ts'
import { type Cell, json, number, positions, type Row, type Table, text, textOrNull } from './rows.ts'

const columns = ['external_id', 'user_id', 'step', 'since', 'state'] as const
export const userMigrationTable: Table = { name: 'user_migration', columns, keys: ['external_id'] }
const at = positions(columns)

export function createMigrationStore({ read, write }: Database, logger: Logger | undefined): MigrationStore {
  return {
    loadMigrations: () =>
      read('load migrations', (tables) =>
        loadAll(tables, userMigrationTable, (row) =>
          readOrSkip(row, readUserMigration, (error) =>
            logger?.error(
              { error, externalId: row[at.external_id] },
              'A stored migration of a user could not be read and is left out',
            ),
          ),
        ),
      ),

    saveMigration: (state) =>
      write('save a migration', (tables) => tables.upsert(userMigrationTable, [userMigrationValues(state)])),

    deleteMigration: (externalId) =>
      write('delete a migration', (tables) => tables.remove(userMigrationTable, [[externalId]])),
  }
}

/** In the order of the columns. */
function userMigrationValues({ externalId, userId, step, since, ...rest }: MigrationState): Cell[] {
  return [externalId, userId, step, since, JSON.stringify(rest)]
}

function readUserMigration(row: Row): MigrationState {
  return {
    ...json<Omit<MigrationState, 'externalId' | 'userId' | 'step' | 'since'>>(row, at.state),
    externalId: text(row, at.external_id),
    userId: textOrNull(row, at.user_id),
    step: text(row, at.step) as MigrationState['step'],
    since: number(row, at.since),
  }
}
