// Failures of PostgreSQL, of its client and of the network as StorageErrors.

import pg from 'pg'
import { StorageError, type StorageErrorKind } from './storage.ts'

// SQLSTATEs, whole or by their class (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const kindOfState: ReadonlyMap<string, StorageErrorKind> = new Map([
  ['08', 'unavailable'], // connection exception
  ['25006', 'read_only'], // a standby, or a database that was set so
  ['28', 'cannot_open'], // user or password
  ['3D', 'cannot_open'], // no such database
  ['40', 'unavailable'], // rolled back for the sake of another transaction
  ['42501', 'read_only'], // no permission
  ['53', 'unavailable'], // out of memory, too many connections
  ['53100', 'full'],
  ['55P03', 'unavailable'], // somebody holds a lock for too long
  ['57', 'unavailable'], // shut down, starting up, cancelled by a timeout
  ['58', 'io'], // system error
  ['58P01', 'corrupt'], // a file of the database is gone
  ['XX001', 'corrupt'],
  ['XX002', 'corrupt'],
])

/** A failure as a StorageError, whose message holds no password; one that is already is returned. */
export function postgresError(error: unknown, what: string): StorageError {
  if (error instanceof StorageError) return error
  const kind = kindOf(error)
  return new StorageError(kind, `${what}: ${messageOf(error)}${advice(kind, error)}`, { cause: error })
}

/** The connection is there, and the server does not answer. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
}

/** Whether the server itself has answered, and goes on to serve this connection. */
export function isAnswer(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && error.severity !== 'FATAL' && error.severity !== 'PANIC'
}

function kindOf(error: unknown): StorageErrorKind {
  if (error instanceof pg.DatabaseError) {
    const state = error.code ?? ''
    return kindOfState.get(state) ?? kindOfState.get(state.slice(0, 2)) ?? 'internal'
  }
  if (isTlsProblem(error)) return 'cannot_open'
  // What a bug of ours throws is no failure of the network.
  const isOurs = error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError
  return error instanceof Error && !isOurs ? 'unavailable' : 'internal'
}

/** Certificates that don't fit, a server without TLS, a password that is missing: waiting mends none of them. */
function isTlsProblem(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return (
    /^(?:ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code) ||
    /does not support SSL|SASL/.test(error.message)
  )
}

function advice(kind: StorageErrorKind, error: unknown): string {
  if (error instanceof Error && /does not support SSL/.test(error.message)) {
    return ' (sslmode=disable in storage.url connects without TLS)'
  }
  switch (kind) {
    case 'full':
      return ' (make room on its disk; nothing was changed, the next try may succeed)'
    case 'read_only':
      return ' (storage.url has to name the primary, and a user who may create and write)'
    default:
      return ''
  }
}

function messageOf(error: unknown): string {
  // Node tries every address of a name, and says nothing itself when all of them fail.
  if (error instanceof AggregateError) return [...new Set(error.errors.map(messageOf))].join('; ')
  return error instanceof Error ? error.message : String(error)
}
