// `storage.url`: a file of SQLite, or a PostgreSQL server as libpq's URLs name it. Of libpq's parameters
// those are taken that say where and how safely to connect; any other is refused, never ignored.

import { resolve } from 'node:path'
import { quote } from '../schema-message.ts'
import { Secret } from '../secret.ts'
import { isLoopback } from './fields.ts'

export type StorageConfig = SqliteConfig | PostgresConfig

export interface SqliteConfig {
  readonly kind: 'sqlite'
  readonly path: string
}

export interface PostgresConfig {
  readonly kind: 'postgres'
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: Secret | null
  /** Null: in the clear. */
  readonly tls: PostgresTls | null
}

export interface PostgresTls {
  /** libpq's `verify-full`, `verify-ca`, and `require` without a certificate. */
  readonly verify: 'name' | 'authority' | 'nothing'
  /** PEM of the authorities that are trusted; null: those of the system. */
  readonly rootCertFile: string | null
}

export type ParsedStorageUrl = StorageConfig | { readonly problem: string }

const expectedPostgres = 'postgres://user:password@host:5432/database'
export const expectedStorageUrl = `sqlite:path/to/file.db or ${expectedPostgres}`

/** A problem never quotes what may be secret. Undefined: neither of the two. */
export function parseStorageUrl(text: string): ParsedStorageUrl | undefined {
  if (/^postgres(?:ql)?:/i.test(text)) return parsePostgresUrl(text)
  const path = /^sqlite:((?!\/\/[^/])[^\p{Cc}?#]+)$/u.exec(text)?.[1]
  if (path === undefined || path.endsWith('/') || path === ':memory:') return undefined
  return { kind: 'sqlite', path }
}

// Not by `URL`: that knows no user without a host, as for a Unix socket.
const postgresUrl =
  /^postgres(?:ql)?:\/\/(?:(?<user>[^:@/?#]*)(?::(?<password>[^:@/?#]*))?@)?(?:\[(?<address>[0-9a-f:.]+)\]|(?<name>[^:@/?#[\]]*))(?::(?<port>\d{1,5}))?(?:\/(?<database>[^/?#]*))?(?:\?(?<parameters>[^#]*))?$/i

function parsePostgresUrl(text: string): ParsedStorageUrl {
  const parts = /[\s\p{Cc}]|%00/u.test(text) ? undefined : postgresUrl.exec(text)?.groups
  if (parts === undefined) {
    return { problem: `expected ${expectedPostgres}: other characters are percent-encoded, as # is %23` }
  }
  const user = decoded(parts['user'])
  const password = decoded(parts['password'])
  const database = decoded(parts['database'])
  if (user === null || password === null || database === null) {
    return { problem: 'a % in the user, the password or the database has to be written as %25' }
  }
  const parameters = new Map(new URLSearchParams(parts['parameters']))
  const unknown = [...parameters.keys()].find((name) => !knownParameters.includes(name))
  if (unknown !== undefined) {
    return { problem: `the parameter ${quote(unknown)} is not supported: ${listed(knownParameters)} are` }
  }
  const host = parameters.get('host') ?? parts['address'] ?? parts['name'] ?? ''
  const port = Number(parts['port'] ?? 5432)
  if (host === '') return { problem: 'the host is missing' }
  if (port < 1 || port > 65_535) return { problem: 'the port has to be from 1 to 65535' }
  if (user === '') return { problem: 'the user is missing' }
  if (database === '') return { problem: 'the name of the database is missing' }
  const tls = parseTls(host, parameters)
  if (tls !== null && 'problem' in tls) return tls
  const secret = password === '' ? null : new Secret(password)
  return { kind: 'postgres', host, port, database, user, password: secret, tls }
}

const knownParameters = ['host', 'sslmode', 'sslrootcert']
const safeModes = ['verify-full', 'verify-ca', 'require', 'disable']

function parseTls(
  host: string,
  parameters: ReadonlyMap<string, string>,
): PostgresTls | { readonly problem: string } | null {
  const staysHere = host.startsWith('/') || isLoopback(host)
  const mode = parameters.get('sslmode') ?? (staysHere ? 'disable' : 'verify-full')
  const named = parameters.get('sslrootcert')
  const rootCertFile = named === undefined || named === 'system' ? null : named
  switch (mode) {
    case 'disable':
      return named === undefined ? null : { problem: 'without TLS, sslrootcert has no meaning' }
    // As in libpq: with a certificate to check against, it is checked.
    case 'require':
      return { verify: named === undefined ? 'nothing' : 'authority', rootCertFile }
    case 'verify-ca':
      return { verify: 'authority', rootCertFile }
    case 'verify-full':
      return { verify: 'name', rootCertFile }
    default: {
      const isUnsafe = mode === 'prefer' || mode === 'allow'
      const reason = isUnsafe ? ' (this one sends everything in the clear when the server says so)' : ''
      return { problem: `expected sslmode to be one of ${listed(safeModes)}, got ${quote(mode)}${reason}` }
    }
  }
}

/** With paths that start at a folder. */
export function resolveStorage(storage: StorageConfig, folder: string): StorageConfig {
  if (storage.kind === 'sqlite') return { ...storage, path: resolve(folder, storage.path) }
  const { tls } = storage
  if (tls === null || tls.rootCertFile === null) return storage
  return { ...storage, tls: { ...tls, rootCertFile: resolve(folder, tls.rootCertFile) } }
}

function decoded(text = ''): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
