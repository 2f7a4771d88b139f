// A process of its own that writes to the database at argv[2], a path or a postgres:// URL, for the tests
// of sqlite.test.ts and postgres.test.ts.
// argv[3]: `keep` has it open until standard input ends; `write` saves batches without end and prints the number
// of each as soon as it is committed; `silence` does so with silences, each batch in the
// place of the one before; `audit` does so with records of the audit trail; `grow` saves until it fails and prints the kind of failure.

import process from 'node:process'
import { openAuditTrail, serviceActor } from '../../src/backoffice/audit-trail.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { StorageError } from '../../src/storage/storage.ts'
import { alertsFixture, silenceFixture } from './fixtures.ts'
import { postgresConfig } from './postgres-server.ts'

const [path = '', task] = process.argv.slice(2)
const storage = path.startsWith('postgres:')
  ? await openPostgres({ config: postgresConfig(path), lockTimeoutMs: 0 })
  : await openSqlite({ path, lockTimeoutMs: 0 })

async function saveBatch(batch: number): Promise<void> {
  const upserts = alertsFixture(700).map((alert) => ({
    ...alert,
    key: `${batch}/${alert.key}`,
    episode: String(batch),
  }))
  await storage.saveAlerts({ upserts, deletedKeys: [] })
}

async function replaceSilences(batch: number): Promise<void> {
  const ids = (of: number) => Array.from({ length: 700 }, (_, i) => `${of}/${i}`)
  const upserts = ids(batch).map((id) => silenceFixture({ id, comment: String(batch) }))
  await storage.saveSilences({ upserts, deletedIds: ids(batch - 1) })
}

switch (task) {
  case 'keep':
    process.stdout.write('open\n')
    for await (const _ of process.stdin) {
      // Nothing is expected of it but its end.
    }
    await storage.close()
    break
  case 'write':
    for (let batch = 0; ; batch += 1) {
      await saveBatch(batch)
      process.stdout.write(`${batch}\n`)
    }
  case 'silence':
    for (let batch = 0; ; batch += 1) {
      await replaceSilences(batch)
      process.stdout.write(`${batch}\n`)
    }
  case 'audit': {
    const events = { onRecord: () => undefined, onFailure: () => undefined }
    const trail = await openAuditTrail(storage, { clock: { now: () => 0 }, events })
    const entry = { actor: serviceActor(), action: 'a.b', result: 'ok' as const, target: {} }
    for (let batch = 0; ; batch += 1) {
      await Promise.all([1, 2, 3].map((n) => trail.record({ ...entry, detail: { n } })))
      if (batch > 0) {
        const { seq } = trail.head()
        await trail.erase([seq], { ...entry, action: 'user.forget', detail: {} })
      }
      process.stdout.write(`${trail.head().seq}\n`)
    }
  }
  case 'grow':
    try {
      for (let batch = 0; ; batch += 1) await saveBatch(batch)
    } catch (error) {
      process.stdout.write(error instanceof StorageError ? error.kind : String(error))
      const kept = (await storage.loadAlerts()).length
      process.stdout.write(` ${kept % 700 === 0 ? 'whole batches' : `${kept} alerts`}`)
    }
    await storage.close()
    break
  default:
    throw new Error(`unknown task ${String(task)}`)
}
