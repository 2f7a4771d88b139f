import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openAuditTrail, serviceActor, verifyTrail } from '../../src/backoffice/audit-trail.ts'
import { systemClock } from '../../src/clock.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { allTables } from '../../src/storage/table-storage.ts'
import { alertFixture, alertsFixture, fillStorage, silenceFixture } from '../storage/fixtures.ts'
import {
  administer,
  emptyDatabase,
  type PostgresServer,
  postgresConfig,
  startPostgres,
} from '../storage/postgres-server.ts'
import { runServiceCommand } from './service-command.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let server: PostgresServer
let folder: string
let path: string
let url: string

beforeAll(async () => {
  server = await startPostgres()
  url = server.url('postgres')
})
afterAll(() => server.remove())
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fleetwarden-copy-'))
  path = join(folder, 'fleet.db')
  await emptyDatabase(url)
})
afterEach(() => rmSync(folder, { recursive: true }))

const copy = (...args: string[]) => runServiceCommand(['storage', 'copy', ...args], { clock: systemClock })

async function inStorage<T>(opening: Promise<Storage>, work: (storage: Storage) => Promise<T>): Promise<T> {
  const storage = await opening
  try {
    return await work(storage)
  } finally {
    await storage.close()
  }
}

const inPostgres = <T>(work: (storage: Storage) => Promise<T>) =>
  inStorage(openPostgres({ config: postgresConfig(url) }), work)
const inSqlite = <T>(work: (storage: Storage) => Promise<T>, file = path) =>
  inStorage(openSqlite({ path: file }), work)

async function contentOf(storage: Storage) {
  const sorted = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).sort()
  return {
    alerts: sorted(await storage.loadAlerts()),
    timers: sorted(await storage.loadGroupTimers()),
    told: sorted(await storage.loadDedupEntries()),
    outbox: sorted(await storage.loadOutbox()),
    silences: sorted(await storage.loadSilences()),
    acknowledgements: sorted(await storage.loadAcknowledgements()),
    walk: await storage.loadWalkState(),
    history: [await storage.loadHistory('f0'), await storage.loadHistory('f599')],
    links: sorted(await storage.loadLinks()),
    ownerKey: await storage.ownerKey('another'),
    contact: await storage.contactByDigest('d1'),
    letters: sorted(await storage.loadLetters()),
    outages: sorted(await storage.loadEndedOutages()),
    migrations: sorted(await storage.loadMigrations()),
    trail: await storage.loadAuditRecords(0, 100),
    head: await storage.loadAuditHead(),
    verdict: await verifyTrail(storage),
  }
}

describe('storage copy', () => {
  it('takes everything from SQLite to PostgreSQL and back, and says how much', async () => {
    const before = await inSqlite(async (storage) => {
      await fillStorage(storage)
      return contentOf(storage)
    })
    const there = await copy('--from', `sqlite:${path}`, '--to', url)
    expect(there).toMatchObject({ exitCode: 0, error: '' })
    expect(there.out.split('\n')).toEqual([
      '      1203  alert',
      '         2  group_timer',
      '         2  dedup_entry',
      '         2  outbox',
      '         1  walk_state',
      '         2  silence',
      '         2  acknowledgement',
      '       600  history',
      '         2  link',
      '         1  owner_key',
      '         1  owner_contact',
      '         1  owner_letter',
      '         1  owner_outage',
      '         1  user_migration',
      '         6  audit_record',
      '         1  audit_head',
      '      1828  rows were copied, read back and found the same.',
    ])
    expect(before.verdict).toMatchObject({ findings: [], firstSeq: 3, records: 6, erased: 1 })
    expect(await inPostgres(contentOf)).toEqual(before)
    const back = join(folder, 'back', 'fleet.db')
    expect(await copy('--from', url, '--to', `sqlite:${back}`)).toMatchObject({ exitCode: 0, out: there.out })
    expect(await inSqlite(contentOf, back)).toEqual(before)
  })

  it('leaves an audit trail that goes on, and that refuses changes as before', async () => {
    await inSqlite(fillStorage)
    const back = join(folder, 'back.db')
    expect(await copy('--from', `sqlite:${path}`, '--to', url)).toMatchObject({ exitCode: 0 })
    expect(await copy('--from', url, '--to', `sqlite:${back}`)).toMatchObject({ exitCode: 0 })
    async function goOn(storage: Storage): Promise<void> {
      const events = { onRecord: () => undefined, onFailure: () => undefined }
      const trail = await openAuditTrail(storage, { clock: { now: () => 3_000 }, events })
      await trail.record({ actor: serviceActor(), action: 'a.b', result: 'ok', target: {}, detail: {} })
      await trail.prune(0)
      expect(await trail.verify()).toMatchObject({ findings: [], firstSeq: 9, records: 2 })
    }
    await inPostgres(goOn)
    await inSqlite(goOn, back)
    const tamper = 'DELETE FROM audit_record WHERE seq = 10'
    const refusal = 'an audit record is kept until it is pruned'
    await expect(administer(url, `SET search_path = fleetwarden; ${tamper}`)).rejects.toThrow(refusal)
    const db = new DatabaseSync(back)
    expect(() => db.exec(tamper)).toThrow(refusal)
    db.close()
  })

  it('takes an audit trail that is not whole as it is, for others to find that out', async () => {
    await inSqlite(fillStorage)
    const db = new DatabaseSync(path)
    db.exec("DROP TRIGGER audit_record_stays; UPDATE audit_record SET action = 'x' WHERE seq = 5")
    db.close()
    expect(await copy('--from', `sqlite:${path}`, '--to', url)).toMatchObject({ exitCode: 0 })
    const { findings } = await inPostgres((storage) => verifyTrail(storage))
    expect(findings).toMatchObject([{ seq: 5, message: expect.stringContaining('record 5 was changed') }])
  })

  it('knows every table that there is', async () => {
    await inSqlite(async () => undefined)
    await inPostgres(async () => undefined)
    const db = new DatabaseSync(path)
    const embedded = db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
      .all()
    db.close()
    const ours = await administer(
      url,
      "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'fleetwarden'::regnamespace",
    )
    const namesIn = (rows: readonly Record<string, unknown>[]) => rows.map(({ name }) => name).sort()
    const names = allTables.map(({ name }) => name)
    expect(namesIn(embedded)).toEqual(names.toSorted())
    expect(namesIn(ours)).toEqual([...names, 'owner', 'pace', 'schema_version', 'slot'].sort())
  })

  it('takes the URLs from files, where no list of processes shows them', async () => {
    await inSqlite((storage) => storage.saveAlerts({ upserts: alertsFixture(3), deletedKeys: [] }))
    writeFileSync(join(folder, 'from'), `sqlite:${path}\n`)
    writeFileSync(join(folder, 'to'), `${url}\n`)
    const copied = await copy('--from-file', join(folder, 'from'), '--to-file', join(folder, 'to'))
    expect(copied.exitCode).toBe(0)
    expect(await inPostgres((storage) => storage.loadAlerts())).toHaveLength(3)
  })

  it('leaves a target alone that is not empty', async () => {
    await inSqlite((storage) => storage.saveAlerts({ upserts: alertsFixture(3), deletedKeys: [] }))
    await inPostgres((storage) => storage.saveSilences({ upserts: [silenceFixture()], deletedIds: [] }))
    expect(await copy('--from', `sqlite:${path}`, '--to', url)).toMatchObject({
      exitCode: 1,
      out: '',
      error:
        '         1  silence\n' +
        'The target is not empty, and was left as it is: name another one, or throw away what it holds.',
    })
    expect(await inPostgres((storage) => storage.loadAlerts())).toEqual([])
  })

  it('copies nothing at all when it fails half-way', async () => {
    await inSqlite((storage) => storage.saveAlerts({ upserts: alertsFixture(1_200), deletedKeys: [] }))
    await inPostgres(async () => undefined)
    await administer(url, 'ALTER TABLE fleetwarden.alert ADD CHECK (user_id <> $$1100$$)')
    const failed = await copy('--from', `sqlite:${path}`, '--to', url)
    expect(failed).toMatchObject({ exitCode: 1, error: expect.stringContaining('violates check constraint') })
    expect(await inPostgres((storage) => storage.loadAlerts())).toEqual([])
  })

  it('notices what the target made of a row', async () => {
    await inSqlite((storage) => storage.saveAlerts({ upserts: [alertFixture()], deletedKeys: [] }))
    await inPostgres(async () => undefined)
    await administer(
      url,
      `CREATE FUNCTION fleetwarden.forget() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN NEW.episode := 'other'; RETURN NEW; END $$;
       CREATE TRIGGER forget BEFORE INSERT ON fleetwarden.alert FOR EACH ROW EXECUTE FUNCTION fleetwarden.forget()`,
    )
    expect(await copy('--from', `sqlite:${path}`, '--to', url)).toMatchObject({
      exitCode: 1,
      error: expect.stringContaining('What was read back differs from what was written: alert.'),
    })
  })

  it('refuses while the service runs', async () => {
    const running = await openSqlite({ path })
    const refused = await copy('--from', `sqlite:${path}`, '--to', url)
    expect(refused).toMatchObject({ exitCode: 1, error: expect.stringContaining('is in use by another') })
    await running.close()
  })

  it.each([
    [['--from', 'sqlite:a.db'], 'give either --to or --to-file'],
    [
      ['--from', 'sqlite:a.db', '--from-file', 'b', '--to', 'sqlite:c.db'],
      'give either --from or --from-file',
    ],
    [['--from', 'mysql://u:hush@h/d', '--to', 'sqlite:c.db'], '--from: expected sqlite:path'],
    [
      ['--from', 'postgres://u:hush@h/d?ssl=1', '--to', 'sqlite:c.db'],
      'the parameter "ssl" is not supported',
    ],
    [['--from', 'sqlite:/no/such.db', '--to', 'sqlite:c.db'], '--from: there is no file /no/such.db'],
    [['--from-file', '/no/such', '--to', 'sqlite:c.db'], '--from-file: ENOENT'],
  ])('refuses %j: %s', async (args, reason) => {
    const refused = await copy(...args)
    expect(refused).toMatchObject({ exitCode: 2, error: expect.stringContaining(reason) })
    expect(refused.error).not.toContain('hush')
    expect(existsSync('c.db')).toBe(false)
  })

  it('makes no schema in a source that holds nothing', async () => {
    expect(await copy('--from', url, '--to', `sqlite:${path}`)).toMatchObject({
      exitCode: 1,
      error: expect.stringMatching(/holds no state of Fleetwarden$/),
    })
    expect(await administer(url, "SELECT 1 FROM pg_namespace WHERE nspname = 'fleetwarden'")).toEqual([])
  })
})
