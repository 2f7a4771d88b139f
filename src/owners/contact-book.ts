// Whom we have written to, and who wants no more of it. See owner-store.ts for what a contact holds; this
// is who may change it, and the desk that answers the page behind an unsubscribe link.

import { createHmac } from 'node:crypto'
import type { RecordAudit } from '../actor.ts'
import type { LinkSigner } from '../links/link-token.ts'
import type { OwnerDesk } from '../links/owner-desk.ts'
import type { Contact, ContactCounts, OwnerStore } from './owner-store.ts'

export interface ContactBook {
  desk: OwnerDesk
  digestOf(userId: string): string
  /** As it is stored at this moment; null: never written to. */
  of(userId: string): Promise<Contact | null>
  /** The token by which this contact ends the mail. */
  unsubscribeToken(id: string): string
  counts(): ContactCounts
  /** Somebody was written to for the first time. */
  countNew(): void
  /** Looks at how many there are, and lets go of those that no link leads to any more. */
  tend(): Promise<void>
}

export interface ContactBookOptions {
  readonly store: OwnerStore
  /** Of the present keys. Null: no links of ours are configured, so nobody is written to. */
  readonly signer: () => LinkSigner | null
  readonly now: () => number
  readonly record: RecordAudit
  /** A long random text: the key for digests, unless the database has one. */
  readonly freshKey: string
}

// The link in a mail that somebody finds again after the winter still works. A contact is kept as long.
const tokenLifeMs = 400 * 86_400_000

export async function openContactBook(options: ContactBookOptions): Promise<ContactBook> {
  const { store, now } = options
  const key = await store.ownerKey(options.freshKey)
  let counts = await store.countContacts()

  async function find(token: string): Promise<Contact | null> {
    const claim = options.signer()?.verify(token, now()) ?? null
    return claim?.purpose === 'unsubscribe' ? store.contactById(claim.id) : null
  }

  const digestOf = (userId: string) =>
    createHmac('sha256', key).update('fleetwarden owner\0').update(userId).digest('base64url')

  return {
    desk: {
      async lookUnsubscribe(token) {
        const contact = await find(token)
        return contact === null ? null : { subscribed: contact.unsubscribedAt === null }
      },
      async unsubscribe(token, actor) {
        const contact = await find(token)
        if (contact === null) return false
        const entry = { actor, action: 'owner.unsubscribe', target: { contact: contact.id }, detail: {} }
        await options.record({ ...entry, result: 'begun' })
        const isSaved = await store.saveUnsubscribed(contact.id, now())
        await options.record({ ...entry, result: isSaved ? 'ok' : 'failed' })
        counts = await store.countContacts()
        return isSaved
      },
    },
    digestOf,
    of: (userId) => store.contactByDigest(digestOf(userId)),
    unsubscribeToken(id) {
      const signer = options.signer()
      if (signer === null) throw new Error('a mail to an owner needs a key for its links')
      return signer.sign({ purpose: 'unsubscribe', id, expiresAt: now() + tokenLifeMs })
    },
    counts: () => counts,
    countNew() {
      counts = { ...counts, subscribed: counts.subscribed + 1 }
    },
    async tend() {
      await store.pruneContacts(now() - tokenLifeMs)
      counts = await store.countContacts()
    },
  }
}
