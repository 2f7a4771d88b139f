// The table of users that are moved over from another system: columns for what an operator would ask for, the
// rest as JSON. There are ids and counts in it, and nobody's name.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { MigrationState } from '../backoffice/migration.ts'
import {
  json,
  number,
  positions,
  prepareSelect,
  prepareUpsert,
  type Row,
  text,
  textOrNull,
} from './sqlite-rows.ts'

const columns = ['external_id', 'user_id', 'step', 'since', 'state'] as const
const at = positions(columns)

export function userMigrationStatements(db: DatabaseSync) {
  return {
    all: prepareSelect(db, `SELECT ${columns.join(', ')} FROM user_migration`),
    upsert: prepareUpsert(db, 'user_migration', ['external_id'], columns),
    remove: db.prepare('DELETE FROM user_migration WHERE external_id = ?'),
  }
}

/** In the order of the columns. */
export function userMigrationValues({
  externalId,
  userId,
  step,
  since,
  ...rest
}: MigrationState): SQLInputValue[] {
  return [externalId, userId, step, since, JSON.stringify(rest)]
}

export function externalIdOf(row: Row): unknown {
  return row[at.external_id]
}

export function readUserMigration(row: Row): MigrationState {
  return {
    ...json<Omit<MigrationState, 'externalId' | 'userId' | 'step' | 'since'>>(row, at.state),
    externalId: text(row, at.external_id),
    userId: textOrNull(row, at.user_id),
    step: text(row, at.step) as MigrationState['step'],
    since: number(row, at.since),
  }
}
