import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openAuditTrail, serviceActor, verifyTrail } from '../../src/backoffice/audit-trail.ts'
import type { LogFields } from '../../src/logger.ts'
import { openPostgres, type PostgresOptions } from '../../src/storage/postgres.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { describeStorage } from './contract.ts'
import { alertFixture, alertsFixture, silenceFixture } from './fixtures.ts'
import {
  administer,
  emptyDatabase,
  type PostgresServer,
  postgresConfig,
  startPostgres,
} from './postgres-server.ts'
import { startProxy, type TcpProxy } from './tcp-proxy.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const name = 'fleet'
let server: PostgresServer

beforeAll(async () => {
  server = await startPostgres()
  await admin('postgres', `CREATE DATABASE ${name}`)
})
afterAll(() => server.remove())
beforeEach(() => emptyDatabase(server.url(name)))

const admin = (database: string, sql: string) => administer(server.url(database), sql)

describeStorage('PostgreSQL', async () => ({
  open: () => openPostgres({ config: postgresConfig(server.url(name)), lockTimeoutMs: 2_000 }),
  remove: async () => undefined,
}))

/** A trigger of an administrator that takes so long, twice for a table that is rewritten. */
const slowRewriting = (seconds: number) =>
  admin(
    name,
    `CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
       PERFORM pg_sleep(${seconds}) FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'fleetwarden.outbox';
     END $$;
     CREATE EVENT TRIGGER slow ON ddl_command_end EXECUTE FUNCTION slow()`,
  )

const childScript = fileURLToPath(new URL('child.ts', import.meta.url))

describe('the PostgreSQL database', () => {
  const open: Storage[] = []
  const children: ChildProcess[] = []

  afterEach(async () => {
    for (const storage of open.splice(0)) await storage.close()
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })

  async function openIt(options: Partial<PostgresOptions> = {}): Promise<Storage> {
    const config = postgresConfig(server.url(name))
    const storage = await openPostgres({ config, lockTimeoutMs: 2_000, ...options })
    open.push(storage)
    return storage
  }

  function startChild(task: string): ChildProcess {
    const child = spawn(process.execPath, [childScript, server.url(name), task], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    children.push(child)
    return child
  }

  describe('that holds something else', () => {
    it('is shared with another application, whose tables are left alone', async () => {
      await admin(name, 'CREATE TABLE alert (id INTEGER); INSERT INTO alert VALUES (7)')
      await (await openIt()).saveAlerts({ upserts: alertsFixture(2), deletedKeys: [] })
      expect(await admin(name, 'SELECT * FROM public.alert')).toEqual([{ id: 7 }])
      expect(await admin(name, 'SELECT count(*)::int AS n FROM fleetwarden.alert')).toEqual([{ n: 2 }])
    })

    it('is refused and left as it is: a schema of our name that is not ours', async () => {
      await admin(name, 'CREATE SCHEMA fleetwarden; CREATE TABLE fleetwarden.invoice (id INTEGER)')
      await expect(openIt()).rejects.toMatchObject({
        name: 'StorageError',
        kind: 'not_a_database',
        message: `postgres://127.0.0.1:${server.port}/${name} has a schema "fleetwarden" of another application, which was left as it is: name another database in storage.url`,
      })
      expect(
        await admin(name, "SELECT relname FROM pg_class WHERE relnamespace = 'fleetwarden'::regnamespace"),
      ).toEqual([{ relname: 'invoice' }])
    })

    it('takes an empty schema that was made for us', async () => {
      await admin(name, 'CREATE SCHEMA fleetwarden')
      await expect(openIt()).resolves.toBeDefined()
    })

    it('is refused and left as it is: of a newer version', async () => {
      await (await openIt()).close()
      await admin(name, 'UPDATE fleetwarden.schema_version SET version = 99')
      await expect(openIt()).rejects.toMatchObject({
        kind: 'newer_schema',
        message: expect.stringMatching(
          /^\S+ was written by a newer Fleetwarden \(schema 99, this one knows \d+\): start that version again, or name another database in storage\.url$/,
        ),
      })
      expect(await admin(name, 'SELECT version FROM fleetwarden.schema_version')).toEqual([{ version: 99 }])
    })

    it('is refused when its encoding cannot hold every text', async () => {
      await admin('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
      await expect(openIt({ config: postgresConfig(server.url('latin')) })).rejects.toMatchObject({
        kind: 'cannot_open',
        message: expect.stringContaining('has to be of encoding UTF8, this one is LATIN1'),
      })
    })
  })

  describe('that is in use', () => {
    it('is refused to a second process until the first lets it go', async () => {
      const child = startChild('keep')
      await once(child.stdout!, 'data')
      await expect(openIt({ lockTimeoutMs: 0 })).rejects.toMatchObject({
        kind: 'locked',
        message: `the database postgres://127.0.0.1:${server.port}/${name} is in use by another process: stop that one first, or give this one a storage.url of its own`,
      })
      const opening = openIt({ lockTimeoutMs: 10_000 })
      child.stdin!.end()
      await expect(opening).resolves.toBeDefined()
    })

    it('is free at once when its process is killed', async () => {
      const child = startChild('keep')
      await once(child.stdout!, 'data')
      child.kill('SIGKILL')
      await expect(openIt()).resolves.toBeDefined()
    })

    it('gets its schema once, when several begin with it at the same time', async () => {
      const openAndClose = async () => {
        const config = postgresConfig(server.url(name))
        const storage = await openPostgres({ config, lockTimeoutMs: 10_000 })
        await storage.close()
      }
      await Promise.all(Array.from({ length: 4 }, openAndClose))
      expect(await admin(name, 'SELECT count(*)::int AS n FROM fleetwarden.schema_version')).toEqual([
        { n: 1 },
      ])
    })
  })

  it('loses no committed batch and keeps no half one when the process is killed while writing', async () => {
    for (let round = 0; round < 3; round += 1) {
      const child = startChild('write')
      let committed = -1
      for await (const line of createInterface({ input: child.stdout! })) {
        committed = Number(line)
        if (committed === 2 + round * 2) child.kill('SIGKILL')
      }
      const storage = await openIt()
      const loaded = await storage.loadAlerts()
      const batches = new Map<string, number>()
      for (const { episode } of loaded) batches.set(episode, (batches.get(episode) ?? 0) + 1)
      for (let batch = 0; batch <= committed; batch += 1) expect(batches.get(String(batch))).toBe(700)
      expect(new Set(batches.values())).toEqual(new Set([700]))
      await storage.saveAlerts({ upserts: [], deletedKeys: loaded.map(({ key }) => key) })
      await storage.close()
    }
  })

  it('keeps a whole audit trail when the process is killed while it adds to it', async () => {
    for (let round = 0; round < 3; round += 1) {
      const child = startChild('audit')
      let committed = 0
      let lines = 0
      for await (const line of createInterface({ input: child.stdout! })) {
        committed = Number(line)
        if (++lines === 3 + round * 7) child.kill('SIGKILL')
      }
      const storage = await openIt()
      const verdict = await verifyTrail(storage)
      expect(verdict).toMatchObject({ findings: [], head: await storage.loadAuditHead() })
      expect(verdict.head.seq).toBeGreaterThanOrEqual(committed)
      expect(verdict.erased).toBeGreaterThan(0)
      await storage.close()
    }
  })

  describe('whose audit trail somebody changes', () => {
    const events = { onRecord: () => undefined, onFailure: () => undefined }
    beforeEach(async () => {
      const storage = await openIt()
      const trail = await openAuditTrail(storage, { clock: { now: () => 1_000 }, events })
      const entry = { actor: serviceActor(), action: 'a.b', result: 'ok' as const, target: {} }
      for (let n = 0; n < 6; n += 1) await trail.record({ ...entry, detail: { n } })
      await trail.prune(-1_000)
      for (let n = 0; n < 3; n += 1) await trail.record({ ...entry, detail: { n } })
      await storage.close()
    })

    const otherWithSeq = (seq: number) =>
      `SELECT ${seq}, at, actor_kind, 'x', actor_role, action, result, salt, subject, commitment, previous_hash, hash FROM fleetwarden.audit_record WHERE seq = 8`

    it.each([
      ["UPDATE fleetwarden.audit_record SET action = 'x' WHERE seq = 8", 'can only lose its subject'],
      ["UPDATE fleetwarden.audit_record SET subject = '{}' WHERE seq = 8", 'can only lose its subject'],
      ['UPDATE fleetwarden.audit_record SET seq = 99 WHERE seq = 8', 'can only lose its subject'],
      ['DELETE FROM fleetwarden.audit_record WHERE seq = 8', 'is kept until it is pruned'],
      ['DELETE FROM fleetwarden.audit_record', 'is kept until it is pruned'],
      ['TRUNCATE fleetwarden.audit_record', 'is kept until it is pruned'],
      [`INSERT INTO fleetwarden.audit_record ${otherWithSeq(8)}`, 'has to follow the last one'],
      [`INSERT INTO fleetwarden.audit_record ${otherWithSeq(11)}`, 'has to follow the last one'],
      [
        `INSERT INTO fleetwarden.audit_record ${otherWithSeq(8)} ON CONFLICT (seq) DO UPDATE SET actor_name = 'x'`,
        'has to follow the last one',
      ],
      ['UPDATE fleetwarden.audit_head SET seq = 8', 'only moves on'],
      ['UPDATE fleetwarden.audit_head SET pruned_seq = 99', 'only moves on'],
      ['DELETE FROM fleetwarden.audit_head', 'the audit trail has one head'],
      ['TRUNCATE fleetwarden.audit_head', 'the audit trail has one head'],
      ["INSERT INTO fleetwarden.audit_head VALUES (1, 3, 'x', 3)", 'the audit trail has one head'],
    ])('refuses %s', async (statement, message) => {
      await expect(admin(name, statement)).rejects.toThrow(message)
      expect(await verifyTrail(await openIt())).toMatchObject({ findings: [], firstSeq: 7, records: 4 })
    })

    it.each([
      ["UPDATE fleetwarden.audit_record SET action = 'x' WHERE seq = 8", 'record 8 was changed: who, what'],
      [
        "UPDATE fleetwarden.audit_record SET at = 'Infinity' WHERE seq = 8",
        'record 8 was changed: who, what',
      ],
      ["UPDATE fleetwarden.audit_record SET subject = '{' WHERE seq = 8", 'record 8 was changed: its target'],
      ['DELETE FROM fleetwarden.audit_record WHERE seq = 8', 'record 8 is missing'],
      ['TRUNCATE fleetwarden.audit_record', 'records 1 to 10 are missing at the end'],
      ['DELETE FROM fleetwarden.audit_head', 'records 1 to 10 are more than the trail knows of'],
    ])('shows it to whoever verifies, without the triggers: %s', async (statement, message) => {
      const off = ['audit_record', 'audit_head'].map(
        (table) => `ALTER TABLE fleetwarden.${table} DISABLE TRIGGER USER`,
      )
      await admin(name, [...off, statement].join(';'))
      const { findings } = await verifyTrail(await openIt())
      expect(findings[0]?.message).toContain(message)
    })
  })

  describe('from which something was deleted', () => {
    const secretive = alertsFixture(1_500).map((alert, n) => ({
      ...alert,
      affected: { ...alert.affected, name: `Rosa Traceless ${n}` },
      // Some of them so long, and of so little that repeats, that they have a place of their own.
      annotations:
        n % 100 > 0 ? {} : { a: Array.from({ length: 2_000 }, () => Math.random()).join(' Rosa ') },
    }))

    /** In which files of the schema a word is, those of indexes and long texts included. */
    async function filesWith(word: string): Promise<unknown[]> {
      await admin(name, 'CHECKPOINT')
      const found = await admin(
        name,
        `SELECT relname FROM pg_class
         WHERE relkind IN ('r', 't', 'i') AND relfilenode <> 0
         AND position('${word}'::bytea IN pg_read_binary_file(pg_relation_filepath(oid))) > 0
         AND (relnamespace = 'fleetwarden'::regnamespace OR relname = 'pg_statistic' OR oid IN (
           SELECT reltoastrelid FROM pg_class
           WHERE relnamespace = 'fleetwarden'::regnamespace OR relname = 'pg_statistic'))
         ORDER BY relname`,
      )
      return found.map(({ relname }) => relname)
    }

    it('holds nothing of it once that was asked for, in the files of tables, indexes and statistics', async () => {
      const storage = await openIt()
      await storage.saveAlerts({ upserts: secretive, deletedKeys: [] })
      await admin(name, 'ANALYZE')
      await storage.saveAlerts({ upserts: alertsFixture(1_500), deletedKeys: [] })
      expect(await filesWith('Rosa')).toEqual(['alert', expect.stringMatching(/^pg_toast_\d+$/)])
      await storage.removeTraces()
      expect(await filesWith('Rosa')).toEqual([])
      expect(await storage.loadAlerts()).toHaveLength(1_500)
    })

    it('holds nothing of it, even if others are in a transaction that could still see it', async () => {
      const storage = await openIt()
      await storage.saveAlerts({ upserts: secretive, deletedKeys: [] })
      const reader = new pg.Client(server.url(name))
      await reader.connect()
      await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await reader.query('SELECT 1')
      await storage.saveAlerts({ upserts: alertsFixture(1_500), deletedKeys: [] })
      await storage.removeTraces()
      await reader.end()
      expect(await filesWith('Rosa')).toEqual([])
      expect(await storage.loadAlerts()).toHaveLength(1_500)
    })

    it('may take its time, and goes on as before', async () => {
      const storage = await openIt({ timeoutMs: 300 })
      await storage.saveAlerts({ upserts: alertsFixture(3), deletedKeys: [] })
      // Longer than any other statement may.
      await slowRewriting(0.4)
      await storage.removeTraces()
      await admin(name, 'DROP EVENT TRIGGER slow')
      expect(await storage.loadAlerts()).toHaveLength(3)
    })
  })

  it('keeps texts that PostgreSQL itself refuses, and keys of any length', async () => {
    const storage = await openIt()
    const halves = '\ud83d \ude00 \ude00\ud83d 😀 \0 \u001a \u001a0000 \\u0000'
    // Random, since what repeats is compressed until it fits.
    const long = Array.from({ length: 4_000 }, () => Math.random().toString(36)).join('')
    const odd = alertFixture({ key: `${halves}${long}`, fingerprint: halves, labels: { [halves]: halves } })
    const told = { firing: [halves], resolved: [], silenced: [], at: 1, receiverData: halves }
    const entries = ['a', 'b'].map((integrationKey) => ({ ...told, groupKey: long, integrationKey }))
    await storage.saveAlerts({ upserts: [odd], deletedKeys: [] })
    await storage.saveFlush({
      timer: { groupKey: long, nextFlushAt: 1, flushed: true },
      outbox: [],
      remembered: entries,
      dropped: [],
    })
    expect(await storage.loadAlerts()).toEqual([odd])
    expect(await storage.loadDedupEntries()).toEqual(entries)
    await storage.saveAlerts({ upserts: [], deletedKeys: [odd.key] })
    await storage.deleteGroup(long)
    expect(await storage.loadAlerts()).toEqual([])
    expect(await storage.loadDedupEntries()).toEqual([])
  })

  it('is opened without the one row that cannot be read, which is logged', async () => {
    const storage = await openIt()
    await storage.saveAlerts({ upserts: alertsFixture(10), deletedKeys: [] })
    await storage.saveSilences({ upserts: [silenceFixture()], deletedIds: [] })
    await storage.close()
    await admin(
      name,
      "UPDATE fleetwarden.alert SET labels = '{' WHERE user_id = '7'; UPDATE fleetwarden.silence SET matchers = '['",
    )
    const logged: [LogFields, string][] = []
    const ignore = () => undefined
    const error = (fields: LogFields, text: string) => void logged.push([fields, text])
    const again = await openIt({ logger: { debug: ignore, info: ignore, warn: ignore, error } })
    expect(await again.loadAlerts()).toHaveLength(9)
    expect(await again.loadSilences()).toEqual([])
    expect(logged.map(([, text]) => text)).toEqual([
      'A stored alert could not be read and is left out',
      'A stored silence could not be read and is left out',
    ])
  })

  it('that is full refuses a save whole, and takes the next one', async () => {
    const storage = await openIt()
    const [kept, ...others] = alertsFixture(900)
    await storage.saveAlerts({ upserts: [kept!], deletedKeys: [] })
    await admin(
      name,
      `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$;
       CREATE TRIGGER full_disk BEFORE INSERT ON fleetwarden.alert FOR EACH ROW
       WHEN (NEW.user_id = '700') EXECUTE FUNCTION no_room()`,
    )
    await expect(storage.saveAlerts({ upserts: others, deletedKeys: [kept!.key] })).rejects.toMatchObject({
      name: 'StorageError',
      kind: 'full',
      message: `cannot save alerts in postgres://127.0.0.1:${server.port}/${name}: could not extend file (make room on its disk; nothing was changed, the next try may succeed)`,
    })
    expect(await storage.loadAlerts()).toEqual([kept])
    await admin(name, 'DROP TRIGGER full_disk ON fleetwarden.alert')
    await storage.saveAlerts({ upserts: others, deletedKeys: [] })
    expect(await storage.loadAlerts()).toHaveLength(900)
  })

  it('that gives up a statement says so, and takes the next one', async () => {
    const storage = await openIt({ timeoutMs: 200 })
    await admin(
      name,
      `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;
       CREATE TRIGGER slow BEFORE INSERT ON fleetwarden.alert FOR EACH ROW EXECUTE FUNCTION slow()`,
    )
    const saving = storage.saveAlerts({ upserts: [alertFixture()], deletedKeys: [] })
    await expect(saving).rejects.toMatchObject({ kind: 'unavailable' })
    await admin(name, 'DROP TRIGGER slow ON fleetwarden.alert')
    await storage.saveAlerts({ upserts: [alertFixture()], deletedKeys: [] })
    expect(await storage.loadAlerts()).toEqual([alertFixture()])
  })
})

describe('the connection to PostgreSQL', () => {
  const leaseMs = 600
  let proxy: TcpProxy
  let storage: Storage

  beforeEach(async () => {
    proxy = await startProxy(server.port)
    storage = await openPostgres({
      config: postgresConfig(`postgres://postgres@127.0.0.1:${proxy.port}/${name}`),
      lockTimeoutMs: 1_000,
      timeoutMs: 300,
      leaseMs,
    })
    await storage.saveAlerts({ upserts: alertsFixture(10), deletedKeys: [] })
  })
  afterEach(async () => {
    await storage.close()
    await proxy.close()
  })
  const saveMore = () => storage.saveAlerts({ upserts: alertsFixture(1_200), deletedKeys: ['rule\nuser/0'] })
  const savedMore = () =>
    saveMore().then(
      () => true,
      () => false,
    )

  it.each(['DELETE FROM alert', 'INSERT INTO alert', 'COMMIT\0'])(
    'cut before the server hears %j: the save is refused whole, and the next one works',
    async (statement) => {
      proxy.cutBefore(statement)
      await expect(saveMore()).rejects.toMatchObject({ name: 'StorageError', kind: 'unavailable' })
      expect(await storage.loadAlerts()).toHaveLength(10)
      await saveMore()
      expect(await storage.loadAlerts()).toHaveLength(1_200)
    },
  )

  it('cut between a commit and its answer: the save is one that worked', async () => {
    proxy.cutAfter('COMMIT\0')
    await expect(saveMore()).resolves.toBeUndefined()
    expect(await storage.loadAlerts()).toHaveLength(1_200)
  })

  it('cut while it loads: the load is refused, and the next one works', async () => {
    proxy.cutAfter('FETCH')
    await expect(storage.loadAlerts()).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await storage.loadAlerts()).toHaveLength(10)
  })

  it('cut when a save begins: it begins on another one', async () => {
    proxy.cutAfter('BEGIN')
    await saveMore()
    expect(await storage.loadAlerts()).toHaveLength(1_200)
  })

  it('cut while nothing happens: the next call connects anew', async () => {
    proxy.cutAll()
    await saveMore()
    expect(await storage.loadAlerts()).toHaveLength(1_200)
  })

  it('that goes silent is given up, and its lock at the server ended by the next one', async () => {
    proxy.freeze()
    await expect(saveMore()).rejects.toMatchObject({ kind: 'unavailable' })
    proxy.thaw()
    await expect.poll(savedMore, { timeout: 10_000 }).toBe(true)
    expect(await storage.loadAlerts()).toHaveLength(1_200)
  })

  it('ended by an administrator: the next call connects anew', async () => {
    const terminate = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`
    await admin(name, terminate)
    await saveMore()
    expect(await storage.loadAlerts()).toHaveLength(1_200)
  })

  it('that goes silent is sure of its lock no longer than others leave it', async () => {
    expect(storage.holds()).toBe(true)
    proxy.freeze()
    const config = postgresConfig(server.url(name))
    const opening = openPostgres({ config, lockTimeoutMs: 20_000, leaseMs })
    opening.catch(() => {})
    await expect.poll(() => storage.holds(), { timeout: 10_000, interval: 10 }).toBe(false)
    const other = await opening
    expect(storage.holds()).toBe(false)
    await other.saveAlerts({ upserts: alertsFixture(20), deletedKeys: [] })
    proxy.thaw()
    await expect.poll(() => storage.lost.aborted, { timeout: 10_000 }).toBe(true)
    await expect(saveMore()).rejects.toMatchObject({ kind: 'locked' })
    expect(await other.loadAlerts()).toHaveLength(20)
    await other.close()
  })

  it('that rewrites tables keeps its lock for that long, and tells nobody anything meanwhile', async () => {
    await slowRewriting(1)
    // What another statement may take by far: 300 ms, and one and a half leases.
    const candidate = openPostgres({
      config: postgresConfig(server.url(name)),
      ...{ lockTimeoutMs: 20_000, timeoutMs: 300, leaseMs },
    })
    let hasTakenOver = false
    const takingOver = candidate.then(() => {
      hasTakenOver = true
    })
    takingOver.catch(() => {})
    const rewriting = storage.removeTraces()
    await expect.poll(() => storage.holds(), { timeout: 10_000, interval: 10 }).toBe(false)
    await rewriting
    await admin(name, 'DROP EVENT TRIGGER slow')
    expect([hasTakenOver, storage.lost.aborted, storage.holds()]).toEqual([false, false, true])
    await saveMore()
    await storage.close()
    await takingOver
    await (await candidate).close()
  })

  it('that nobody waits for is kept however long nothing happens', async () => {
    await expect(
      openPostgres({ config: postgresConfig(server.url(name)), lockTimeoutMs: 2 * leaseMs, leaseMs }),
    ).rejects.toMatchObject({ kind: 'locked' })
    expect(storage.holds()).toBe(true)
    await saveMore()
  })

  it('loses its lock with the session: what another process took over is not written to', async () => {
    proxy.cutAll()
    const other = await openPostgres({ config: postgresConfig(server.url(name)), lockTimeoutMs: 5_000 })
    expect(storage.lost.aborted).toBe(false)
    await expect(saveMore()).rejects.toMatchObject({ kind: 'locked' })
    expect(storage.lost.reason).toMatchObject({ kind: 'locked' })
    await other.close()
    await expect(saveMore()).rejects.toMatchObject({ kind: 'locked' })
  })

  it('knows when another process had the database while it was away: what it remembers is out of date', async () => {
    proxy.cutAll()
    const other = await openPostgres({ config: postgresConfig(server.url(name)), lockTimeoutMs: 5_000 })
    await other.close()
    await expect(saveMore()).rejects.toMatchObject({
      kind: 'locked',
      message: `another process has used the database postgres://127.0.0.1:${proxy.port}/${name} meanwhile: what this one remembers is out of date`,
    })
    expect(storage.lost.aborted).toBe(true)
  })
})

describe('the PostgreSQL server', () => {
  it.each(['stop', 'crash'] as const)(
    'that is restarted (%s): calls are refused meanwhile, nothing saved is lost, and later calls work',
    async (ending) => {
      const own = await startPostgres({ fsync: 'on' })
      try {
        const storage = await openPostgres({ config: postgresConfig(own.url('postgres')) })
        await storage.saveAlerts({ upserts: alertsFixture(100), deletedKeys: [] })
        await own[ending]()
        const refused = { name: 'StorageError', kind: 'unavailable' }
        await expect(storage.saveAlerts({ upserts: [], deletedKeys: [] })).rejects.toMatchObject(refused)
        await expect(storage.loadAlerts()).rejects.toMatchObject(refused)
        await own.start()
        await expect.poll(() => storage.loadAlerts().catch(() => []), { timeout: 10_000 }).toHaveLength(100)
        await storage.close()
      } finally {
        await own.remove()
      }
    },
  )

  describe('with a password', () => {
    const password = 'p@ss:w/rd?#[%]'
    const url = (given: string) =>
      `postgres://keeper:${encodeURIComponent(given)}@127.0.0.1:${server.port}/${name}`

    beforeAll(async () => {
      await admin('postgres', `CREATE ROLE keeper LOGIN PASSWORD '${password}'`)
      await admin('postgres', `GRANT CREATE ON DATABASE ${name} TO keeper`)
      await server.requirePassword('keeper')
    })

    it('is used by somebody who is not an administrator', async () => {
      const storage = await openPostgres({ config: postgresConfig(url(password)) })
      await storage.saveAlerts({ upserts: alertsFixture(3), deletedKeys: [] })
      await storage.close()
    })

    it.each([
      ['a wrong password', () => url('hush-4711'), 'password authentication failed for user "keeper"'],
      ['no password', () => url('hush').replace(/:[^:@]*@/, '@'), 'password must be a non-empty string'],
    ])('refuses %s, and no message holds one', async (_, given, reason) => {
      const error = await openPostgres({ config: postgresConfig(given()) }).catch((thrown) => thrown)
      expect(error).toMatchObject({ kind: 'cannot_open', message: expect.stringContaining(reason) })
      expect(inspect(error, { depth: 10 })).not.toMatch(/hush|p@ss|p%40ss/)
    })
  })

  it('that is not there: the message says where, and why', async () => {
    const proxy = await startProxy(server.port)
    await proxy.close()
    await expect(
      openPostgres({ config: postgresConfig(`postgres://u:hush@127.0.0.1:${proxy.port}/db`) }),
    ).rejects.toMatchObject({
      kind: 'unavailable',
      message: `cannot open the database postgres://127.0.0.1:${proxy.port}/db: connect ECONNREFUSED 127.0.0.1:${proxy.port}`,
    })
  })

  it('that has no such database says so', async () => {
    await expect(openPostgres({ config: postgresConfig(server.url('none')) })).rejects.toMatchObject({
      kind: 'cannot_open',
      message: expect.stringContaining('database "none" does not exist'),
    })
  })

  describe('with TLS', () => {
    const certificates = fileURLToPath(new URL('../notify/receivers/tls/', import.meta.url))
    const rootCert = join(certificates, 'cert.pem')
    let tlsServer: PostgresServer
    let folder: string

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'fleetwarden-tls-'))
      cpSync(rootCert, join(folder, 'ca.pem'))
      tlsServer = await startPostgres({ ssl: 'on' }, { certificates })
    })
    afterAll(async () => {
      await tlsServer.remove()
      rmSync(folder, { recursive: true })
    })

    async function encryptionOf(parameters: string): Promise<string> {
      const url = `postgres://postgres@127.0.0.1:${tlsServer.port}/postgres?${parameters}`
      const storage = await openPostgres({ config: postgresConfig(url) })
      const [row] = await administer(
        tlsServer.url('postgres'),
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'fleetwarden %'",
      )
      await storage.close()
      return row?.['ssl'] === true ? 'encrypted' : 'in the clear'
    }

    it.each([
      ['sslmode=disable', 'in the clear'],
      ['sslmode=require', 'encrypted'],
      [`sslmode=verify-ca&sslrootcert=${rootCert}`, 'encrypted'],
      [`sslmode=verify-full&sslrootcert=${rootCert}`, 'encrypted'],
    ])('%s: %s', async (parameters, expected) => {
      expect(await encryptionOf(parameters)).toBe(expected)
    })

    it.each([
      ['sslmode=verify-full', 'self-signed certificate'],
      ['sslmode=verify-full&sslrootcert=/no/such.pem', 'cannot read sslrootcert of storage.url: ENOENT'],
    ])('%s is refused: %s', async (parameters, reason) => {
      await expect(encryptionOf(parameters)).rejects.toMatchObject({
        kind: 'cannot_open',
        message: expect.stringContaining(reason),
      })
    })

    it('is asked for where there is none: the message says the way out', async () => {
      const config = postgresConfig(`${server.url('postgres')}?sslmode=require`)
      await expect(openPostgres({ config })).rejects.toMatchObject({
        kind: 'cannot_open',
        message: expect.stringContaining('sslmode=disable in storage.url connects without TLS'),
      })
    })
  })
})
