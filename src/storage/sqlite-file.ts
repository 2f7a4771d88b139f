// Opening the file of the embedded database: ours alone, safe against power cuts, and never at the
// price of somebody else's file. A file that is no SQLite database, or is another application's,
// is refused untouched. One that is damaged is moved aside, whole, and a new one begun: the
// watcher must come up. While it is open, a second process is refused.

import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../clock.ts'
import { checkOwner, markOwner, migrate } from './migrations.ts'
import { StorageError, type StorageErrorKind } from './storage.ts'

export interface OpenFile {
  readonly db: DatabaseSync
  readonly recovered: { readonly movedTo: string } | null
}

interface OpenOptions {
  readonly clock: Clock
  /** How long to wait for another process to let the file go, as at a restart. */
  readonly lockTimeoutMs: number
}

const lockRetryMs = 50

/**
 * Opens or creates the database at `path` (absolute), with the current schema, readable by its
 * owner alone. Rejects with StorageError `locked`, `not_a_database`, `newer_schema`, `read_only`,
 * `cannot_open`, `io` or `full`.
 */
export async function openFile(path: string, { clock, lockTimeoutMs }: OpenOptions): Promise<OpenFile> {
  const giveUpAt = clock.monotonic() + lockTimeoutMs
  for (;;) {
    try {
      return openNow(path, clock)
    } catch (error) {
      if (!(error instanceof StorageError && error.kind === 'locked')) throw error
      // SQLite's own busy timeout would wait too, but with the whole process standing still.
      if (clock.monotonic() >= giveUpAt) throw error
      await clock.sleep(lockRetryMs)
    }
  }
}

function openNow(path: string, clock: Clock): OpenFile {
  createFile(path)
  try {
    return { db: connect(path), recovered: null }
  } catch (error) {
    const failure = storageError(error, `cannot open the database ${path}`)
    if (failure.kind === 'locked') {
      throw new StorageError(
        'locked',
        `the database ${path} is in use by another process: stop that one first, or give this one ` +
          'a storage.url of its own',
        { cause: error },
      )
    }
    if (!isDamage(error)) throw failure
    // The file is read only now that it is not ours: closing any handle of a file ends all locks
    // that this process holds on it.
    if (!beginsAsDatabase(path)) {
      throw new StorageError(
        'not_a_database',
        `${path} is not a database and was left as it is: name another file in storage.url, or move ` +
          'this one away',
        { cause: error },
      )
    }
    return { recovered: { movedTo: moveAside(path, clock) }, db: openEmpty(path) }
  }
}

function openEmpty(path: string): DatabaseSync {
  createFile(path)
  try {
    return connect(path)
  } catch (error) {
    throw storageError(error, `cannot open the database ${path}`)
  }
}

function connect(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { defensive: true })
  try {
    // Before the first read, so that this reader keeps its lock, and before WAL, so that no
    // shared memory is needed (which network file systems lack).
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    checkOwner(db, path)
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
    // Before the first write; a file that is not new stays as it is. Alerts of about a kilobyte fill
    // pages of 8 KiB better than those of 4, and a start reads them all, twice.
    db.exec('PRAGMA page_size = 8192')
    // What was deleted is written over with zeros, also in the pages that VACUUM makes (storage.ts, removeTraces).
    db.exec('PRAGMA secure_delete = ON')
    markOwner(db)
    db.exec('PRAGMA journal_mode = WAL')
    // After journal_mode, which resets it. FULL: what was committed survives a power cut.
    db.exec('PRAGMA synchronous = FULL')
    // 4 MiB of log, as SQLite's own 1,000 pages of half the size.
    db.exec('PRAGMA wal_autocheckpoint = 500')
    db.exec('PRAGMA journal_size_limit = 67108864')
    checkIntegrity(db)
    migrate(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Finds damage now, where the file can still be moved aside: half a second for 100,000 alerts. */
function checkIntegrity(db: DatabaseSync): void {
  const finding = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (finding !== 'ok') throw new StorageError('corrupt', `the database is damaged: ${String(finding)}`)
}

/** SQLite would create it readable by everyone; the -wal beside it gets the mode of this one. */
function createFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    throw storageError(error, `cannot create the database ${path}`, 'cannot_open')
  }
}

function beginsAsDatabase(path: string): boolean {
  const magic = Buffer.from('SQLite format 3\0', 'latin1')
  const begin = Buffer.alloc(magic.length)
  const file = openSync(path, 'r')
  try {
    return readSync(file, begin) === magic.length && begin.equals(magic)
  } finally {
    closeSync(file)
  }
}

/** Returns the new path of the main file; what belongs to it goes along, under the same new name. */
function moveAside(path: string, clock: Clock): string {
  // Without colons, which some file systems refuse.
  const time = new Date(clock.now()).toISOString().replaceAll(/[-:]/g, '')
  let target = `${path}.damaged-${time}`
  for (let n = 2; existsSync(target); n += 1) target = `${path}.damaged-${time}-${n}`
  try {
    // The main file last: killed in between, the next start finds it damaged again.
    for (const suffix of ['-wal', '-shm', '-journal', '']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, target + suffix)
    }
  } catch (error) {
    throw storageError(
      error,
      `the database ${path} is damaged and can't be moved to ${target}`,
      'cannot_open',
    )
  }
  return target
}

// SQLite's primary result codes (https://www.sqlite.org/rescode.html).
const kindOfResult: ReadonlyMap<number, StorageErrorKind> = new Map([
  [3, 'read_only'], // SQLITE_PERM
  [5, 'locked'],
  [6, 'locked'],
  [8, 'read_only'],
  [10, 'io'],
  [11, 'corrupt'],
  [13, 'full'],
  [14, 'cannot_open'],
  [26, 'corrupt'], // SQLITE_NOTADB: openFile looks whether it ever was one
])

const kindOfSystemError: ReadonlyMap<unknown, StorageErrorKind> = new Map([
  ['EACCES', 'read_only'],
  ['EPERM', 'read_only'],
  ['EROFS', 'read_only'],
  ['ENOSPC', 'full'],
  ['EDQUOT', 'full'],
  ['EIO', 'io'],
])

/** A failure of node:sqlite or node:fs as a StorageError; one that is already is returned. */
export function storageError(
  error: unknown,
  what: string,
  otherwise: StorageErrorKind = 'internal',
): StorageError {
  if (error instanceof StorageError) return error
  const kind = kindOf(error) ?? otherwise
  return new StorageError(kind, `${what}: ${messageOf(error)}${advice(kind)}`, { cause: error })
}

function kindOf(error: unknown): StorageErrorKind | undefined {
  const code = resultCode(error)
  if (code !== null) return kindOfResult.get(code)
  return error instanceof Error && 'code' in error ? kindOfSystemError.get(error.code) : undefined
}

function advice(kind: StorageErrorKind): string {
  switch (kind) {
    case 'full':
      return ' (make room on its disk; nothing was changed, the next try may succeed)'
    case 'read_only':
    case 'cannot_open':
      return ' (this process needs to read and write the file and its folder)'
    default:
      return ''
  }
}

function isDamage(error: unknown): boolean {
  if (error instanceof StorageError) return error.kind === 'corrupt'
  const code = resultCode(error)
  return code !== null && kindOfResult.get(code) === 'corrupt'
}

/** The primary result code, which is the low byte of an extended one; null: not from SQLite. */
function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null
  return error.errcode & 0xff
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
