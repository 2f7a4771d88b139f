// One record of the audit trail, and what makes a chain of them.
//
//   commitment = SHA-256(salt + canonical JSON of {detail, from, target})
//   hash       = SHA-256(hash of the record before + canonical JSON of
//                        {action, actor, at, commitment, result, seq})
//
// The chain holds who did what, when and with which result. Whom it was about (target, detail, the
// address) stands beside it and is only committed to: taken away together with its salt it cannot be
// guessed back from the commitment, and the chain stays whole. Every other change shows.

import { hash as digest, randomBytes } from 'node:crypto'
import { type Actor, type AuditEntry, roles } from '../actor.ts'
import { canonicalJson } from './canonical-json.ts'

export interface AuditRecord {
  /** From 1 on, without gaps. */
  readonly seq: number
  /** Whole milliseconds since 1970. */
  readonly at: number
  readonly actor: Pick<Actor, 'kind' | 'name' | 'role'>
  readonly action: string
  readonly result: AuditEntry['result']
  /** Null: erased. */
  readonly about: AuditSubject | null
  /** Hashes are 64 hexadecimal digits. */
  readonly commitment: string
  readonly previousHash: string
  readonly hash: string
}

/** What can be erased of a record. */
export interface AuditSubject {
  /** Without it, whoever guesses a user's id could prove the guess by the commitment. */
  readonly salt: string
  readonly target: Readonly<Record<string, string>>
  readonly detail: Readonly<Record<string, unknown>>
  readonly from: string | null
}

/** The last record of a trail; before the first one, seq 0 and `genesisHash`. */
export interface AuditHead {
  readonly seq: number
  readonly hash: string
}

export const genesisHash = '0'.repeat(64)
export const genesis: AuditHead = { seq: 0, hash: genesisHash }

/** `entry` is plain JSON, without secrets: see auditable.ts. */
export function createRecord(entry: AuditEntry, { at, head }: { at: number; head: AuditHead }): AuditRecord {
  const about: AuditSubject = {
    salt: randomBytes(16).toString('hex'),
    target: entry.target,
    detail: entry.detail,
    from: entry.actor.from,
  }
  const { kind, name, role } = entry.actor
  const chained = {
    seq: head.seq + 1,
    at: Math.round(at),
    // As it comes back from a database that knows text as UTF-8 alone.
    actor: { kind, name: name.toWellFormed(), role },
    action: entry.action.toWellFormed(),
    result: entry.result,
    commitment: commitmentOf(about),
  }
  return { ...chained, about, previousHash: head.hash, hash: hashOf(chained, head.hash) }
}

export function commitmentOf({ salt, ...about }: AuditSubject): string {
  return digest('sha256', salt + canonicalJson(about))
}

export function hashOf(
  { seq, at, actor, action, result, commitment }: Omit<AuditRecord, 'about' | 'previousHash' | 'hash'>,
  previousHash: string,
): string {
  const { kind, name, role } = actor
  return digest(
    'sha256',
    previousHash + canonicalJson({ seq, at, actor: { kind, name, role }, action, result, commitment }),
  )
}

// ---- as a line of an export

/** One JSON object, without its line break. */
export function formatRecord({ seq, at, actor, about, previousHash, ...rest }: AuditRecord): string {
  const { action, result, commitment, hash } = rest
  const { salt = null, target = null, detail = null, from = null } = about ?? {}
  return JSON.stringify({
    ...{ seq, at: new Date(at).toISOString(), actor, action, result, target, detail, from },
    ...{ erased: about === null, salt, commitment, previous_hash: previousHash, hash },
  })
}

/** Null: the line is no record of a trail. */
export function parseRecord(line: string): AuditRecord | null {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  if (!isObject(value)) return null
  const { seq, at, actor, action, result, commitment, previous_hash: previousHash, hash } = value
  const instant = typeof at === 'string' ? Date.parse(at) : Number.NaN
  // One instant has many texts; only the one that is written counts.
  if (Number.isNaN(instant) || new Date(instant).toISOString() !== at) return null
  if (!isCount(seq) || !isObject(actor) || typeof action !== 'string') return null
  if (typeof commitment !== 'string' || typeof previousHash !== 'string' || typeof hash !== 'string')
    return null
  const { kind, name, role } = actor
  if (!isKind(kind) || typeof name !== 'string' || !isRole(role) || !isResult(result)) return null
  const about = parseSubject(value)
  if (about === undefined) return null
  return {
    ...{ seq, at: instant, actor: { kind, name, role }, action, result, about },
    ...{ commitment, previousHash, hash },
  }
}

/** Undefined: it is neither there nor erased. */
function parseSubject(value: Readonly<Record<string, unknown>>): AuditSubject | null | undefined {
  const { salt, target, detail, from, erased } = value
  if (erased === true) {
    const isGone = [salt, target, detail, from].every((part) => part === null)
    return isGone ? null : undefined
  }
  if (erased !== false || typeof salt !== 'string' || !isTarget(target) || !isObject(detail)) return undefined
  return from === null || typeof from === 'string' ? { salt, target, detail, from } : undefined
}

export const actorKinds = ['local', 'token', 'person', 'link', 'service'] as const satisfies Actor['kind'][]
export const auditResults = ['begun', 'ok', 'denied', 'failed'] as const satisfies AuditEntry['result'][]

function isKind(value: unknown): value is Actor['kind'] {
  return actorKinds.some((kind) => kind === value)
}

function isResult(value: unknown): value is AuditEntry['result'] {
  return auditResults.some((result) => result === value)
}

function isRole(value: unknown): value is Actor['role'] {
  return value === null || roles.some((role) => role === value)
}

function isTarget(value: unknown): value is AuditSubject['target'] {
  return isObject(value) && Object.values(value).every((id) => typeof id === 'string')
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
