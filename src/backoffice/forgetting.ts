// Forgetting a person: everything that we hold of one customer goes, in each part that holds any, and
// the audit trail says that it was done without saying of whom.
//
//   begun → each part erases → the trail's own records lose whom they were about, and `user.forget`
//   names them, in one transaction → what was deleted leaves no bytes behind
//
// It may be repeated: a part that failed is reported, nothing is half done within a part, and the next
// call does the rest. What was known of the person, some of which is erased by then, is kept in memory for that. The trail keeps SHA-256(salt + id) with its salt: who knows the id can prove that it
// was forgotten, and nobody can find the id from it, since a UUID cannot be guessed.
//
// Alerts that are forgotten end silently. A user who still exists at the partner is read again by the
// next walk, so what is wrong there is found, kept and told anew: first delete the user there.

import { hash as digest, randomBytes } from 'node:crypto'
import type { Actor } from '../actor.ts'
import type { Alert } from '../alerts/alert.ts'
import type { AuditRecord } from './audit-record.ts'
import type { AuditTrail } from './audit-trail.ts'
import { createPerson, mentions, type Person, type PersonFacts } from './person.ts'

/** A part of the service that holds something of people. */
export interface ForgettingPart {
  /** In the plural, for people: `silences`. */
  readonly name: string
  /** How much of it there is; changes nothing. */
  count(person: Person): number | Promise<number>
  /** Erases it, and says how much it was. Rejects when it could not; may be called again. */
  forget(person: Person): Promise<number>
  /** What it cannot erase without taking something from somebody else, in words that name nobody. */
  left?(person: Person): readonly string[]
}

/** What the partner says of the person now. */
export interface PartnerFacts {
  /** `gone`: there is no such user there. `unread`: it could not be asked. */
  readonly state: 'exists' | 'gone' | 'unread'
  readonly deviceIds: readonly string[]
  readonly name: string | null
  readonly email: string | null
  readonly externalId: string | null
}

export interface ForgettingReport {
  readonly parts: readonly { readonly name: string; readonly count: number }[]
  readonly partner: PartnerFacts['state']
  /** For people; they name nobody. */
  readonly warnings: readonly string[]
  /** What the trail keeps in the place of the id: `SALT:SHA-256(SALT + id)`. Null: nothing was done yet. */
  readonly digest: string | null
}

export interface Forgetting {
  /** What would go. */
  preview(userId: string, signal: AbortSignal): Promise<ForgettingReport>
  /** Rejects with a ForgettingError when some of it could not be erased. */
  forget(userId: string, actor: Actor, signal: AbortSignal): Promise<ForgettingReport>
}

export class ForgettingError extends Error {
  override readonly name = 'ForgettingError'
  readonly kind = 'incomplete'
}

export interface ForgettingOptions {
  readonly trail: AuditTrail
  /** In the order in which they are to forget. */
  readonly parts: readonly ForgettingPart[]
  readonly alerts: () => Iterable<Alert>
  readonly askPartner: (userId: string, signal: AbortSignal) => Promise<PartnerFacts>
  /** After it, nothing is left of what was deleted. */
  readonly removeTraces: () => Promise<void>
}

const auditPart = 'audit records'

export function createForgetting(options: ForgettingOptions): Forgetting {
  const { trail, parts, removeTraces } = options
  let last: Promise<unknown> = Promise.resolve()
  /** By user id, what was known of those who are forgotten in part. */
  const unfinished = new Map<string, PersonFacts>()

  async function look(userId: string, signal: AbortSignal) {
    const partner = await options.askPartner(userId, signal)
    const alerts = [...options.alerts()].filter(({ subject }) => isOf(subject, userId))
    const before = unfinished.get(userId)
    const known = {
      deviceIds: [...partner.deviceIds, ...alerts.flatMap(({ subject }) => deviceOf(subject))],
      names: [partner.name, ...alerts.map(({ affected }) => affected.name)].filter(isText),
      emails: [partner.email, ...alerts.map(({ affected }) => affected.email)].filter(isText),
      externalIds: [partner.externalId, ...alerts.map(({ affected }) => affected.externalUserId)].filter(
        isText,
      ),
      fingerprints: alerts.map(({ fingerprint }) => fingerprint),
    }
    // The trail knows devices whose alerts ended long ago.
    const deviceIds = new Set([...known.deviceIds, ...(before?.deviceIds ?? [])])
    for await (const { about } of trail.records({ matches: isAbout(userId) })) {
      const { user, device } = about?.target ?? {}
      if (user === userId && device !== undefined) deviceIds.add(device)
    }
    const facts: PersonFacts = {
      userId,
      deviceIds: [...deviceIds],
      names: [...known.names, ...(before?.names ?? [])],
      emails: [...known.emails, ...(before?.emails ?? [])],
      externalIds: [...known.externalIds, ...(before?.externalIds ?? [])],
      fingerprints: [...known.fingerprints, ...(before?.fingerprints ?? [])],
    }
    return { facts, person: createPerson(facts), partner: partner.state }
  }

  async function recordsOf(person: Person): Promise<number[]> {
    const seqs: number[] = []
    const matches = ({ about }: AuditRecord) =>
      about !== null &&
      (person.isWithin(about.target) || person.isWithin(about.detail) || concernsAlert(about, person))
    for await (const { seq } of trail.records({ matches })) seqs.push(seq)
    return seqs
  }

  function warningsFor(person: Person, partner: PartnerFacts['state']): string[] {
    return [...partnerWarnings(partner), ...parts.flatMap((part) => part.left?.(person) ?? [])]
  }

  async function preview(userId: string, signal: AbortSignal): Promise<ForgettingReport> {
    const { person, partner } = await look(userId, signal)
    const counted: { name: string; count: number }[] = []
    for (const part of parts) counted.push({ name: part.name, count: await part.count(person) })
    counted.push({ name: auditPart, count: (await recordsOf(person)).length })
    return { parts: counted, partner, warnings: warningsFor(person, partner), digest: null }
  }

  async function forget(userId: string, actor: Actor, signal: AbortSignal): Promise<ForgettingReport> {
    const salt = randomBytes(16).toString('hex')
    const userDigest = `${salt}:${digest('sha256', salt + userId)}`
    const entry = { actor, action: 'user.forget', target: { user_digest: userDigest } }
    const { facts, person, partner } = await look(userId, signal)
    await trail.record({ ...entry, result: 'begun', detail: {} })
    const done: { name: string; count: number }[] = []
    const failures: unknown[] = []
    for (const part of parts) {
      try {
        done.push({ name: part.name, count: await part.forget(person) })
      } catch (error) {
        failures.push(error)
      }
    }
    const warnings = warningsFor(person, partner)
    try {
      const seqs = await recordsOf(person)
      done.push({ name: auditPart, count: seqs.length })
      const erased = Object.fromEntries(done.map(({ name, count }) => [name, count]))
      // Also when a part failed: the records that lose their subject have to be named by one that says ok.
      await trail.erase(seqs, { ...entry, detail: { erased, partner, is_complete: failures.length === 0 } })
      await removeTraces()
    } catch (error) {
      failures.push(error)
    }
    unfinished.delete(userId)
    if (failures.length > 0) {
      unfinished.set(userId, facts)
      await trail.record({ ...entry, result: 'failed', detail: {} }).catch(() => undefined)
      throw new ForgettingError('not all of it could be erased: ask again when the cause is mended', {
        cause: failures.length === 1 ? failures[0] : new AggregateError(failures),
      })
    }
    return { parts: done, partner, warnings, digest: userDigest }
  }

  return {
    preview,
    /** One at a time: each takes the whole database for a moment. */
    forget(userId, actor, signal) {
      const done = last.then(() => forget(userId, actor, signal))
      last = done.catch(() => undefined)
      return done
    },
  }
}

function partnerWarnings(partner: PartnerFacts['state']): string[] {
  switch (partner) {
    case 'gone':
      return []
    case 'exists':
      return [
        'the user still exists at the partner: the next walk reads it again, and what is wrong there is ' +
          'kept and told anew; delete the user there first',
      ]
    case 'unread':
      return [
        'the partner could not be asked: if the user still exists there, the next walk reads it again; ' +
          'names and devices that only the partner knows were not looked for',
      ]
    default:
      return partner satisfies never
  }
}

export function isOf(subject: Alert['subject'], userId: string): boolean {
  return subject.kind !== 'fleet' && subject.userId === userId
}

function deviceOf(subject: Alert['subject']): string[] {
  return subject.kind === 'device' ? [subject.deviceId] : []
}

function isAbout(userId: string): (record: AuditRecord) => boolean {
  return ({ about }) => about !== null && mentions(about.target, [userId])
}

function concernsAlert({ target }: NonNullable<AuditRecord['about']>, { fingerprints }: Person): boolean {
  return target['alert'] !== undefined && fingerprints.has(target['alert'])
}

function isText(text: string | null): text is string {
  return text !== null && text !== ''
}
