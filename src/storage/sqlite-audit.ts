// Reading the audit trail in a file that no service has open.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { AuditReader } from '../backoffice/audit-store.ts'
import { createAuditReader } from './audit-tables.ts'
import { checkOwner } from './migrations.ts'
import { storageError } from './sqlite-file.ts'
import { createStatements } from './sqlite-rows.ts'
import { StorageError } from './storage.ts'

export interface AuditFile extends AuditReader {
  close(): void
}

/**
 * The trail in the database at `path`, which no service may have open, and which stays as it is. Throws
 * StorageError `locked`, `not_a_database`, `newer_schema`, `cannot_open` or `corrupt`.
 */
export function openAuditFile(path: string): AuditFile {
  if (/^postgres(?:ql)?:/i.test(path)) {
    throw new StorageError(
      'cannot_open',
      'the audit trail in PostgreSQL is read through the running service (--url or --config, without ' +
        '--database), or in a file made of it by `storage copy`',
    )
  }
  const file = resolve(path)
  if (!existsSync(file)) throw new StorageError('cannot_open', `there is no database ${file}`)
  const db = new DatabaseSync(file, { readOnly: true, defensive: true })
  const reading = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      const failure = storageError(error, `cannot read the audit trail in ${file}`)
      if (failure.kind !== 'locked') throw failure
      throw new StorageError(
        'locked',
        `the database ${file} is in use by the service: ask that one (--url or --config, without --database), ` +
          'or stop it first',
        { cause: error },
      )
    }
  }
  try {
    return reading(() => {
      checkOwner(db, file)
      const hasTrail = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'audit_record'").get()
      if (hasTrail === undefined) {
        throw new StorageError(
          'newer_schema',
          `${file} holds no audit trail: it was last opened by a Fleetwarden that kept none`,
        )
      }
      const statements = createStatements(db)
      return {
        ...createAuditReader(async (sql, ...values) => reading(() => statements.select(sql)(values))),
        close: () => db.close(),
      }
    })
  } catch (error) {
    db.close()
    throw error
  }
}
