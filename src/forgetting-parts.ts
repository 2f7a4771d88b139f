// What is held of a person, as the parts that backoffice/forgetting.ts goes through. Alerts go first: what
// is told, silenced and acknowledged hangs on them, and so do links and mail.

import type { Alerting } from './alerting.ts'
import type { Alert } from './alerts/alert.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import type { Acknowledgement, StoredSilence } from './alerts/silence.ts'
import type { Judgement } from './alerts/silence-book.ts'
import { serviceActor } from './backoffice/audit-trail.ts'
import { type ForgettingPart, isOf, type PartnerFacts } from './backoffice/forgetting.ts'
import type { Migrations } from './backoffice/migrations.ts'
import type { Person } from './backoffice/person.ts'
import { deviceTypes } from './fleet/device.ts'
import type { DurableLinks } from './links/durable-links.ts'
import type { PartnerClient } from './partner/client.ts'
import { PartnerError } from './partner/partner-error.ts'
import type { SelfService } from './self-service.ts'

export function alertingParts(book: AlertBook, alerting: Alerting): readonly ForgettingPart[] {
  const { dispatcher, silences, acknowledgements } = alerting
  const forgotten = (person: Person) => ({ fingerprints: person.fingerprints, isNamedIn: person.isIn })
  return [
    {
      name: 'alerts',
      count: (person) => keysOf(book, person).length,
      async forget(person) {
        // What was evaluated and is not saved yet is then among them.
        await book.commit()
        const keys = keysOf(book, person)
        book.forget(keys)
        await book.commit()
        return keys.length
      },
    },
    {
      name: 'notes of what was told',
      count: (person) => dispatcher.countForgotten(forgotten(person)),
      forget: (person) => dispatcher.forget(forgotten(person)),
    },
    {
      name: 'acknowledgements',
      count: (person) => countOf(acknowledgements.all(), (one) => judgeAcknowledgement(one, person)),
      forget: (person) => acknowledgements.forget((one) => judgeAcknowledgement(one, person)),
    },
    {
      name: 'silences',
      count: (person) => countOf(silences.all(), (silence) => judgeSilence(silence, person)),
      async forget(person) {
        const count = await silences.forget((silence) => judgeSilence(silence, person))
        dispatcher.wake()
        return count
      },
      left(person) {
        const ids = [...silences.all()]
          .filter(
            (silence) => judgeSilence(silence, person) !== 'remove' && isMatchedOtherwise(silence, person),
          )
          .map(({ id }) => id)
        if (ids.length === 0) return []
        return [
          `silences name the person in a pattern or an exclusion, which is about others too, and stay: ${ids.join(', ')}; ` +
            'replace them by hand, then forget once more when they are gone, five days after their end',
        ]
      },
    },
  ]
}

export function linksPart(links: DurableLinks): ForgettingPart {
  return {
    name: 'links',
    count: ({ userId }) => links.book.countOf(userId),
    forget: ({ userId }) => links.forget(userId),
  }
}

export function ownersPart(selfService: Pick<SelfService, 'countOf' | 'forget'>): ForgettingPart {
  return {
    name: 'mails to owners',
    count: ({ userId }) => selfService.countOf(userId),
    forget: ({ userId }) => selfService.forget(userId),
  }
}

export function migrationsPart(migrations: Migrations): ForgettingPart {
  const idsOf = (userId: string) =>
    [...migrations.all()].filter((state) => state.userId === userId).map(({ externalId }) => externalId)
  return {
    name: 'migrations from another system',
    count: ({ userId }) => idsOf(userId).length,
    async forget({ userId }) {
      const ids = idsOf(userId)
      for (const id of ids) await migrations.forget(id, serviceActor('forget'))
      return ids.length
    },
  }
}

/** Alerts about the person, and those about the fleet that name them; in the words of the alert's key. */
function keysOf(book: AlertBook, person: Person): string[] {
  const keys: string[] = []
  for (const alert of book.all()) if (isAbout(alert, person)) keys.push(alert.key)
  for (const key of book.rememberedKeys()) {
    const subject = key.slice(key.indexOf('\n') + 1)
    const { userId } = person
    const isTheirs =
      subject === `user/${userId}` ||
      subject.startsWith(`user/${userId}\n`) ||
      subject.startsWith(`device/${userId}/`)
    if (isTheirs || (subject.startsWith('fleet/') && person.isIn(subject))) keys.push(key)
  }
  return keys
}

function isAbout({ subject, labels, annotations }: Alert, person: Person): boolean {
  if (subject.kind !== 'fleet') return isOf(subject, person.userId)
  return person.isIn(subject.group) || person.isWithin(labels) || person.isWithin(annotations)
}

const erased = '(erased)'

/** A silence on the person goes; one that only speaks of them loses those words. */
function judgeSilence(
  { matchers, createdBy, comment, annotations }: StoredSilence,
  person: Person,
): Judgement<Pick<StoredSilence, 'createdBy' | 'comment' | 'annotations'>> {
  if (matchers.some(({ operator, value }) => operator === '=' && person.isIn(value))) return 'remove'
  const isNamed = [createdBy, comment].some(person.isIn) || person.isWithin(annotations)
  if (!isNamed) return 'keep'
  const kept = Object.entries(annotations).filter((annotation) => !annotation.some(person.isIn))
  return {
    words: {
      createdBy: person.isIn(createdBy) ? erased : createdBy,
      comment: person.isIn(comment) ? erased : comment,
      annotations: Object.fromEntries(kept),
    },
  }
}

function isMatchedOtherwise({ matchers }: StoredSilence, person: Person): boolean {
  return matchers.some(({ value }) => person.isIn(value))
}

function judgeAcknowledgement(
  { fingerprint, by, comment }: Acknowledgement,
  person: Person,
): Judgement<Pick<Acknowledgement, 'by' | 'comment'>> {
  if (person.fingerprints.has(fingerprint)) return 'remove'
  if (!person.isIn(by) && !person.isIn(comment)) return 'keep'
  return {
    words: { by: person.isIn(by) ? erased : by, comment: person.isIn(comment) ? erased : comment },
  }
}

function countOf<T>(items: Iterable<T>, judge: (item: T) => Judgement<unknown>): number {
  let count = 0
  for (const item of items) if (judge(item) !== 'keep') count++
  return count
}

/** What the partner knows of a user, so that it can be looked for in what we hold. */
export function partnerFacts(
  client: PartnerClient,
): (userId: string, signal: AbortSignal) => Promise<PartnerFacts> {
  const nothing = { deviceIds: [], name: null, email: null, externalId: null }
  return async (userId, signal) => {
    try {
      const user = await client.user(userId, signal)
      if (user === null) return { ...nothing, state: 'gone' }
      const deviceIds: string[] = []
      for (const type of deviceTypes) {
        const { devices } = await client.devices(userId, type, signal)
        deviceIds.push(...devices.map(({ device }) => device.id))
      }
      const name = [user.first_name, user.last_name].filter((part) => part != null && part !== '').join(' ')
      return {
        state: 'exists',
        deviceIds,
        name: name === '' ? null : name,
        email: user.email ?? null,
        externalId: user.external_user_id ?? null,
      }
    } catch (error) {
      if (!(error instanceof PartnerError)) throw error
      return { ...nothing, state: error.kind === 'not_found' ? 'gone' : 'unread' }
    }
  }
}
