import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openAuditTrail, serviceActor, verifyTrail } from '../../src/backoffice/audit-trail.ts'
import type { Clock } from '../../src/clock.ts'
import type { LogFields } from '../../src/logger.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { openAuditFile } from '../../src/storage/sqlite-audit.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { describeStorage } from './contract.ts'
import { alertFixture, alertsFixture, silenceFixture } from './fixtures.ts'
import { createFirstDatabase } from './schema-1.ts'

describeStorage('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fleetwarden-'))
  return {
    open: () => openSqlite({ path: join(folder, 'fleet.db') }),
    remove: async () => rmSync(folder, { recursive: true }),
  }
})

const childScript = fileURLToPath(new URL('child.ts', import.meta.url))

describe('the SQLite file', () => {
  let folder: string
  let path: string
  const open: Storage[] = []
  const children: ChildProcess[] = []

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fleetwarden-'))
    path = join(folder, 'fleet.db')
  })
  afterEach(async () => {
    for (const storage of open.splice(0)) await storage.close()
    for (const child of children.splice(0)) child.kill('SIGKILL')
    rmSync(folder, { recursive: true })
  })

  async function openIt(options: Partial<Parameters<typeof openSqlite>[0]> = {}): Promise<Storage> {
    const storage = await openSqlite({ path, ...options })
    open.push(storage)
    return storage
  }

  function startChild(task: string): ChildProcess {
    const child = spawn(process.execPath, [childScript, path, task], { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    return child
  }

  it('is created with its folders, for nobody else to read', async () => {
    path = join(folder, 'a', 'b', 'fleet.db')
    const storage = await openIt()
    await storage.saveAlerts({ upserts: [alertFixture()], deletedKeys: [] })
    expect(readdirSync(join(folder, 'a', 'b'))).toEqual(['fleet.db', 'fleet.db-wal'])
    for (const file of ['fleet.db', 'fleet.db-wal']) {
      expect(statSync(join(folder, 'a', 'b', file)).mode & 0o777).toBe(0o600)
    }
    expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700)
  })

  it('is closed to others when it was created open to them', async () => {
    await (await openIt()).close()
    chmodSync(path, 0o644)
    await openIt()
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('uses a write-ahead log and is marked as ours', async () => {
    await (await openIt()).close()
    const db = new DatabaseSync(path)
    expect(db.prepare('PRAGMA journal_mode').get()).toMatchObject({ journal_mode: 'wal' })
    expect(db.prepare('PRAGMA application_id').get()).toMatchObject({ application_id: 0x464c5744 })
    expect(db.prepare('PRAGMA page_size').get()).toMatchObject({ page_size: 8_192 })
    db.close()
  })

  it('says how large it is, and nothing once it is closed', async () => {
    const storage = await openIt()
    const before = storage.sizeBytes?.() ?? 0
    await storage.saveAlerts({ upserts: alertsFixture(2_000), deletedKeys: [] })
    const after = storage.sizeBytes?.() ?? 0
    expect(before).toBeGreaterThan(8_192)
    expect(after).toBeGreaterThan(before + 2_000 * 100)
    await storage.close()
    expect(storage.sizeBytes?.()).toBeNull()
    expect(statSync(path).size).toBe(after)
  })

  describe('that another process has open', () => {
    it('is refused, and is free as soon as that process is killed', async () => {
      const child = startChild('keep')
      await once(child.stdout!, 'data')
      await expect(openSqlite({ path, lockTimeoutMs: 0 })).rejects.toMatchObject({
        name: 'StorageError',
        kind: 'locked',
        message: `the database ${path} is in use by another process: stop that one first, or give this one a storage.url of its own`,
      })
      child.kill('SIGKILL')
      await once(child, 'exit')
      await expect(openIt()).resolves.toBeDefined()
    })

    it('is refused to a second process before that has written anything to it', async () => {
      await (await openIt()).close()
      await openIt()
      const child = spawn(process.execPath, [childScript, path, 'keep'], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let complaint = ''
      child.stderr.on('data', (data) => {
        complaint += data
      })
      const [code] = await once(child, 'close')
      expect(code).not.toBe(0)
      expect(complaint).toContain('is in use by another process')
    })

    it('is refused within one process too, without freeing the lock that is held', async () => {
      await openIt()
      await expect(openSqlite({ path, lockTimeoutMs: 0 })).rejects.toMatchObject({ kind: 'locked' })
      // A second look with other handles: POSIX locks end when any handle of the file is closed.
      const child = spawn(process.execPath, [childScript, path, 'keep'], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      child.stderr.resume()
      const [code] = await once(child, 'close')
      expect(code).not.toBe(0)
    })
  })

  it('is waited for while another process is about to let it go, as at a restart', async () => {
    const child = startChild('keep')
    await once(child.stdout!, 'data')
    const opening = openIt({ lockTimeoutMs: 10_000 })
    child.stdin!.end()
    await expect(opening).resolves.toBeDefined()
  })

  it('loses no committed batch and keeps no half one when the process is killed while writing', async () => {
    for (let round = 0; round < 4; round += 1) {
      rmSync(path, { force: true })
      const child = startChild('write')
      let committed = -1
      for await (const line of createInterface({ input: child.stdout! })) {
        committed = Number(line)
        if (committed === 3 + round * 2) child.kill('SIGKILL')
      }
      const storage = await openSqlite({ path })
      const batches = new Map<string, number>()
      for (const { episode } of await storage.loadAlerts()) {
        batches.set(episode, (batches.get(episode) ?? 0) + 1)
      }
      await storage.close()
      for (let batch = 0; batch <= committed; batch += 1) expect(batches.get(String(batch))).toBe(700)
      expect(new Set(batches.values())).toEqual(new Set([700]))
    }
  })

  it('keeps either the old silences or the new ones, whole, when the process is killed in between', async () => {
    const child = startChild('silence')
    let committed = -1
    for await (const line of createInterface({ input: child.stdout! })) {
      committed = Number(line)
      if (committed === 4) child.kill('SIGKILL')
    }
    const silences = await (await openIt()).loadSilences()
    expect(silences).toHaveLength(700)
    expect(new Set(silences.map(({ comment }) => comment)).size).toBe(1)
    expect(Number(silences[0]!.comment)).toBeGreaterThanOrEqual(committed)
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
      const storage = await openSqlite({ path })
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
      for (let n = 0; n < 6; n += 1) {
        await trail.record({
          ...{ actor: serviceActor(), action: 'a.b', result: 'ok', target: { user: `u${n}` }, detail: { n } },
        })
      }
      await trail.prune(-1_000)
      for (let n = 0; n < 3; n += 1) {
        await trail.record({ actor: serviceActor(), action: 'a.b', result: 'ok', target: {}, detail: { n } })
      }
      await storage.close()
    })

    it.each([
      ["UPDATE audit_record SET action = 'x' WHERE seq = 8", 'an audit record can only lose its subject'],
      ["UPDATE audit_record SET subject = '{}' WHERE seq = 8", 'an audit record can only lose its subject'],
      ['UPDATE audit_record SET seq = 99 WHERE seq = 8', 'an audit record can only lose its subject'],
      [
        'UPDATE OR REPLACE audit_record SET seq = 9 WHERE seq = 8',
        'an audit record can only lose its subject',
      ],
      ['DELETE FROM audit_record WHERE seq = 8', 'an audit record is kept until it is pruned'],
      ['DELETE FROM audit_record', 'an audit record is kept until it is pruned'],
      [
        "INSERT OR REPLACE INTO audit_record SELECT seq, at, actor_kind, 'x', actor_role, action, result, salt, subject, commitment, previous_hash, hash FROM audit_record WHERE seq = 8",
        'an audit record has to follow the last one',
      ],
      [
        "INSERT INTO audit_record SELECT 11, at, actor_kind, 'x', actor_role, action, result, salt, subject, commitment, previous_hash, hash FROM audit_record WHERE seq = 8",
        'an audit record has to follow the last one',
      ],
      ['UPDATE audit_head SET seq = 8', 'the head of the audit trail only moves on'],
      ['UPDATE audit_head SET pruned_seq = 99', 'the head of the audit trail only moves on'],
      ['DELETE FROM audit_head', 'the audit trail has one head'],
      ["REPLACE INTO audit_head VALUES (1, 3, 'x', 3)", 'the audit trail has one head'],
    ])('refuses %s', (statement, message) => {
      const db = new DatabaseSync(path)
      // Whatever a shell has set.
      for (const recursive of ['OFF', 'ON']) {
        db.exec(`PRAGMA recursive_triggers = ${recursive}`)
        expect(() => db.exec(statement)).toThrow(message)
      }
      db.close()
    })

    it.each([
      ["UPDATE audit_record SET action = 'x' WHERE seq = 8", 'record 8 was changed: who, what, when'],
      [
        "UPDATE audit_record SET actor_kind = 'nobody' WHERE seq = 8",
        'record 8 was changed: who, what, when',
      ],
      ['UPDATE audit_record SET at = 9e999 WHERE seq = 8', 'record 8 was changed: who, what, when'],
      ["UPDATE audit_record SET subject = '{' WHERE seq = 8", 'record 8 was changed: its target'],
      [
        'UPDATE audit_record SET subject = NULL, salt = NULL WHERE seq = 8',
        'record 8 was erased, and no later',
      ],
      ['DELETE FROM audit_record WHERE seq = 8', 'record 8 is missing'],
      ['DELETE FROM audit_record WHERE seq >= 9', 'records 9 to 10 are missing at the end'],
      ['DELETE FROM audit_record', 'records 1 to 10 are missing at the end'],
      ['DELETE FROM audit_record WHERE seq <= 8', 'records 1 to 8 are missing at the beginning'],
      ['DELETE FROM audit_head', 'records 1 to 10 are more than the trail knows of'],
    ])('shows it to whoever verifies, without the triggers: %s', async (statement, message) => {
      const db = new DatabaseSync(path)
      const triggers = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()
      for (const { name } of triggers) db.exec(`DROP TRIGGER ${String(name)}`)
      db.exec(statement)
      db.close()
      const file = openAuditFile(path)
      const { findings } = await verifyTrail(file)
      file.close()
      expect(findings[0]?.message).toContain(message)
    })

    it('is whole as it is, also to whoever only reads the file, which stays as it is', async () => {
      const before = readFileSync(path)
      const file = openAuditFile(path)
      expect(await verifyTrail(file)).toMatchObject({ findings: [], firstSeq: 7, records: 4 })
      file.close()
      expect(readFileSync(path).equals(before)).toBe(true)
      // The service starts as if nobody had looked.
      expect(await verifyTrail(await openIt())).toMatchObject({ findings: [] })
    })

    it('is read also when a service was killed and its log is still there', async () => {
      const child = startChild('audit')
      for await (const line of createInterface({ input: child.stdout! })) {
        if (Number(line) > 30) child.kill('SIGKILL')
      }
      const file = openAuditFile(path)
      const { findings, head } = await verifyTrail(file)
      file.close()
      expect(findings).toEqual([])
      expect(head.seq).toBeGreaterThan(30)
    })

    it('is read through the service where it is in PostgreSQL', () => {
      const url = 'postgres://keeper:hush@db.example.com/fleet'
      expect(() => openAuditFile(url)).toThrow(/^the audit trail in PostgreSQL is read through the running/)
      expect(() => openAuditFile(url)).not.toThrow(/hush/)
    })

    it('is not read while a service has it', async () => {
      await openIt()
      expect(() => openAuditFile(path)).toThrow(/is in use by the service: ask that one/)
    })

    const replaceByFirst = () => {
      rmSync(path)
      createFirstDatabase(path)
    }
    it.each([
      ['not there', () => rmSync(path), 'there is no database'],
      ['of before there was one', replaceByFirst, 'holds no audit trail'],
      ['no database', () => writeFileSync(path, 'notes\n'.repeat(999)), 'cannot read the audit trail'],
    ])('is said not to be one when the file is %s', (_, prepare, message) => {
      prepare()
      expect(() => openAuditFile(path)).toThrow(message)
    })
  })

  it('holds nothing of what was deleted once that was asked for, in the file and its log', async () => {
    const storage = await openIt()
    const secretive = alertsFixture(3_000).map((alert, n) => ({
      ...alert,
      affected: { ...alert.affected, name: `Rosa Traceless ${n}` },
    }))
    await storage.saveAlerts({ upserts: secretive, deletedKeys: [] })
    // Written over, grown, moved between pages, gone.
    const longer = secretive.map((alert, n) => ({ ...alert, annotations: { a: 'x'.repeat(n % 900) } }))
    await storage.saveAlerts({ upserts: longer, deletedKeys: [] })
    await storage.saveAlerts({ upserts: alertsFixture(3_000), deletedKeys: [] })
    const bytes = () => Buffer.concat([path, `${path}-wal`].map((file) => readFileSync(file)))
    expect(bytes().includes('Rosa Traceless')).toBe(true)
    await storage.removeTraces()
    expect(bytes().includes('Rosa Traceless')).toBe(false)
    expect(await storage.loadAlerts()).toHaveLength(3_000)
  })

  describe('of the first release', () => {
    it('keeps all it holds when it is opened, and takes what is new', async () => {
      createFirstDatabase(path)
      // The second time it is as any other.
      for (let round = 0; round < 2; round += 1) {
        const opened = await openIt()
        expect(await opened.loadAlerts()).toMatchObject([
          {
            key: 'rule\nuser/7',
            fingerprint: 'f1',
            ruleId: 'rule',
            definition: 'd1',
            subject: { kind: 'user', userId: '7' },
            labels: { alertname: 'Lost' },
            annotations: { summary: 's' },
            affected: { externalUserId: 'C-1', name: null, email: null, model: null },
            state: 'firing',
            episode: 'e1',
            activeAt: 1000.5,
            firedAt: 2000,
            keepFiringSince: null,
            resolvedAt: null,
            resolvedReason: null,
            noData: null,
            deletedSeen: 0,
            evaluatedAt: 3000,
            settled: false,
          },
        ])
        expect(await opened.loadGroupTimers()).toEqual([{ groupKey: 'g', nextFlushAt: 5000, flushed: true }])
        expect(await opened.loadDedupEntries()).toEqual([
          {
            groupKey: 'g',
            integrationKey: 'on-call/slack/0',
            at: 4000,
            firing: ['f1'],
            resolved: [],
            silenced: [],
            receiverData: null,
          },
        ])
        expect(await opened.loadOutbox()).toEqual([
          {
            groupKey: 'g',
            integrationKey: 'on-call/email/0',
            reason: 'repeat',
            at: 4000,
            firstDecidedAt: 3500,
            firing: ['f1'],
            resolved: ['f2'],
            delivered: ['a@example.com'],
            attempts: 2,
            nextAttemptAt: 4500,
            receiverData: null,
          },
        ])
        expect(await opened.loadWalkState()).toMatchObject({ failedInARow: 3, aliveAt: 9 })
        await opened.saveSilences({ upserts: [silenceFixture()], deletedIds: [] })
        expect(await opened.loadSilences()).toEqual([silenceFixture()])
        await opened.close()
      }
    })

    it('is left as it was when the upgrade fails half-way', async () => {
      createFirstDatabase(path)
      const db = new DatabaseSync(path)
      // The second table of the step is in the way.
      db.exec('CREATE TABLE acknowledgement (x)')
      db.close()
      await expect(openSqlite({ path })).rejects.toMatchObject({ name: 'StorageError', kind: 'internal' })
      const after = new DatabaseSync(path)
      expect(after.prepare('PRAGMA user_version').get()).toMatchObject({ user_version: 1 })
      expect(after.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'silence'").get()).toBeUndefined()
      after.close()
    })
  })

  describe('that may not grow', () => {
    it('refuses a save whole as full, keeps what it had, and takes the next one that fits', async () => {
      const storage = await openIt({ maximumBytes: 400_000 })
      const kept = alertsFixture(100)
      await storage.saveAlerts({ upserts: kept, deletedKeys: [] })
      const before = await storage.loadAlerts()
      await expect(
        storage.saveAlerts({
          upserts: alertsFixture(2_000, { state: 'resolved' }),
          deletedKeys: kept.map((alert) => alert.key),
        }),
      ).rejects.toMatchObject({
        name: 'StorageError',
        kind: 'full',
        message: `cannot save alerts in ${path}: database or disk is full (make room on its disk; nothing was changed, the next try may succeed)`,
      })
      expect(await storage.loadAlerts()).toEqual(before)
      const [first, ...others] = kept
      await storage.saveAlerts({
        upserts: [{ ...first!, state: 'resolved' }],
        deletedKeys: others.map((alert) => alert.key),
      })
      await storage.close()
      expect(await (await openIt()).loadAlerts()).toEqual([{ ...first!, state: 'resolved' }])
    })

    it('refuses a save when the system refuses to write, and goes on', async () => {
      // 2,000 blocks of 512 bytes: the write beyond fails (EFBIG) as on a broken disk.
      const command = `ulimit -f 2000; exec "$0" "$1" "$2" grow`
      const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, childScript, path])
      expect(stdout).toBe('io whole batches')
    })
  })

  describe('that is something else', () => {
    it.each([
      ['a text', 'important notes\n'],
      ['a long text', 'important notes\n'.repeat(1_000)],
      ['only the begin of a database', 'SQLite for'],
      ['zeros', '\0'.repeat(8_192)],
    ])('is refused and left as it is: %s', async (_, content) => {
      writeFileSync(path, content)
      await expect(openSqlite({ path })).rejects.toMatchObject({
        name: 'StorageError',
        kind: 'not_a_database',
        message: `${path} is not a database and was left as it is: name another file in storage.url, or move this one away`,
      })
      expect(readFileSync(path, 'utf8')).toBe(content)
      expect(readdirSync(folder)).toEqual(['fleet.db'])
    })

    it('is refused and left as it is: a database of another application', async () => {
      const db = new DatabaseSync(path)
      db.exec('CREATE TABLE invoice (id INTEGER)')
      db.close()
      const before = readFileSync(path)
      await expect(openSqlite({ path })).rejects.toMatchObject({
        kind: 'not_a_database',
        message: `${path} is a database of another application and was left as it is: name another file in storage.url, or move this one away`,
      })
      expect(readFileSync(path).equals(before)).toBe(true)
    })

    it('is refused and left as it is: a database of a newer version', async () => {
      await (await openIt()).close()
      const db = new DatabaseSync(path)
      db.exec('PRAGMA user_version = 99')
      db.close()
      const before = readFileSync(path)
      await expect(openSqlite({ path })).rejects.toMatchObject({
        kind: 'newer_schema',
        message: expect.stringMatching(
          /^\S+fleet\.db was written by a newer Fleetwarden \(schema 99, this one knows \d+\): start that version again, or name another file in storage\.url$/,
        ),
      })
      expect(readFileSync(path).equals(before)).toBe(true)
    })

    it('is refused: a folder', async () => {
      await expect(openSqlite({ path: folder })).rejects.toMatchObject({ kind: 'cannot_open' })
    })

    it('is refused: a path below a file', async () => {
      writeFileSync(path, '')
      await expect(openSqlite({ path: join(path, 'fleet.db') })).rejects.toMatchObject({
        kind: 'cannot_open',
        message: expect.stringContaining(`cannot create the database ${join(path, 'fleet.db')}`),
      })
    })

    it('is taken when it is empty', async () => {
      writeFileSync(path, '')
      expect((await openIt()).recovered).toBeNull()
    })
  })

  describe('that is damaged', () => {
    const clock: Clock = {
      now: () => Date.UTC(2026, 10, 23, 17, 5, 9, 42),
      monotonic: () => 0,
      sleep: async () => undefined,
      random: () => 0,
    }
    const movedName = 'fleet.db.damaged-20261123T170509.042Z'

    beforeEach(async () => {
      const storage = await openIt()
      await storage.saveAlerts({ upserts: alertsFixture(500), deletedKeys: [] })
      await storage.close()
    })

    it.each([
      ['cut off', () => truncateSync(path, 20_480)],
      ['cut off in its first page', () => truncateSync(path, 1_000)],
      ['cut down to its first bytes', () => truncateSync(path, 16)],
      ['overwritten in the middle', () => overwrite(path, 40_000, 60_000)],
      ['overwritten after its first bytes', () => overwrite(path, 16, 4_000)],
    ])('is moved aside, and a new one begun: %s', async (_, damage) => {
      damage()
      const damaged = readFileSync(path)
      const storage = await openIt({ clock })
      expect(storage.recovered).toEqual({ movedTo: join(folder, movedName) })
      expect(readFileSync(join(folder, movedName)).equals(damaged)).toBe(true)
      expect(await storage.loadAlerts()).toEqual([])
      await storage.saveAlerts({ upserts: [alertFixture()], deletedKeys: [] })
      await storage.close()
      const again = await openIt()
      expect(again.recovered).toBeNull()
      expect(await again.loadAlerts()).toEqual([alertFixture()])
    })

    it('takes along the write-ahead log of a process that was killed', async () => {
      rmSync(path)
      const child = startChild('write')
      for await (const line of createInterface({ input: child.stdout! })) {
        // By then the log was copied into the file at least once and holds no more all of it.
        if (line === '25') child.kill('SIGKILL')
      }
      truncateSync(path, 20_480)
      const log = readFileSync(`${path}-wal`)
      expect((await openIt({ clock })).recovered).not.toBeNull()
      expect(readFileSync(join(folder, `${movedName}-wal`)).equals(log)).toBe(true)
    })

    it('needs no moving when the write-ahead log still holds all of it', async () => {
      rmSync(path)
      const child = startChild('write')
      for await (const line of createInterface({ input: child.stdout! })) {
        if (line === '0') child.kill('SIGKILL')
      }
      truncateSync(path, 16)
      const storage = await openIt({ clock })
      expect(storage.recovered).toBeNull()
      expect((await storage.loadAlerts()).length).toBeGreaterThanOrEqual(700)
    })

    it('never replaces one that was moved aside before', async () => {
      writeFileSync(join(folder, movedName), 'the one before')
      truncateSync(path, 20_480)
      const storage = await openIt({ clock })
      expect(storage.recovered).toEqual({ movedTo: join(folder, `${movedName}-2`) })
      expect(readFileSync(join(folder, movedName), 'utf8')).toBe('the one before')
    })

    it('is opened without the one alert that cannot be read, which is logged', async () => {
      const db = new DatabaseSync(path)
      db.exec("UPDATE alert SET labels = '{' WHERE user_id = '7'")
      db.close()
      const logged: [LogFields, string][] = []
      const ignore = () => undefined
      const error = (fields: LogFields, text: string) => void logged.push([fields, text])
      const storage = await openIt({ logger: { debug: ignore, info: ignore, warn: ignore, error } })
      expect(await storage.loadAlerts()).toHaveLength(499)
      expect(logged).toEqual([
        [
          { error: expect.any(SyntaxError), key: 'rule\nuser/7' },
          'A stored alert could not be read and is left out',
        ],
      ])
    })
  })

  it('is opened without the one silence that cannot be read, which is logged', async () => {
    const storage = await openIt()
    const upserts = ['s1', 's2'].map((id) => silenceFixture({ id }))
    await storage.saveSilences({ upserts, deletedIds: [] })
    await storage.close()
    const db = new DatabaseSync(path)
    db.exec("UPDATE silence SET matchers = '[' WHERE id = 's1'")
    db.close()
    const logged: [LogFields, string][] = []
    const ignore = () => undefined
    const error = (fields: LogFields, text: string) => void logged.push([fields, text])
    const again = await openIt({ logger: { debug: ignore, info: ignore, warn: ignore, error } })
    expect(await again.loadSilences()).toEqual([silenceFixture({ id: 's2' })])
    expect(logged).toEqual([
      [{ error: expect.any(SyntaxError), id: 's1' }, 'A stored silence could not be read and is left out'],
    ])
  })

  it('leaves nothing but itself behind when it is closed', async () => {
    const storage = await openIt()
    await storage.saveAlerts({ upserts: alertsFixture(10), deletedKeys: [] })
    await storage.close()
    expect(existsSync(`${path}-wal`)).toBe(false)
    expect(readdirSync(folder)).toEqual(['fleet.db'])
  })
})

function overwrite(path: string, from: number, to: number): void {
  const content = readFileSync(path)
  content.fill(0xa5, from, to)
  writeFileSync(path, content)
}
