import type { Alert } from '../../src/alerts/alert.ts'
import type { AlertStore } from '../../src/alerts/store.ts'
import type { Contact, EndedOutage, Letter, OwnerStore } from '../../src/owners/owner-store.ts'

export interface MemoryOwnerStore extends OwnerStore, AlertStore {
  readonly letters: Map<string, Letter>
  readonly contacts: Map<string, Contact>
  /** Runs before each write about owners; what it throws is a write that failed. */
  beforeSave: () => void
}

/** What a database keeps, and what is left of it when the process is killed: all that was saved. */
export function createMemoryOwnerStore(): MemoryOwnerStore {
  const alerts = new Map<string, Alert>()
  const outages = new Map<string, EndedOutage>()
  const letters = new Map<string, Letter>()
  /** By digest. */
  const contacts = new Map<string, Contact>()
  let key: string | null = null

  const store: MemoryOwnerStore = {
    letters,
    contacts,
    beforeSave: () => {},
    loadAlerts: async () => [...alerts.values()],
    async saveAlerts({ upserts, deletedKeys }) {
      for (const alert of upserts) alerts.set(alert.key, alert)
      for (const each of deletedKeys) alerts.delete(each)
    },
    loadLetters: async () => [...letters.values()],
    loadEndedOutages: async () => [...outages.values()],
    async ownerKey(fresh) {
      key ??= fresh
      return key
    },
    contactByDigest: async (digest) => contacts.get(digest) ?? null,
    contactById: async (id) => [...contacts.values()].find((contact) => contact.id === id) ?? null,
    async countContacts() {
      const all = [...contacts.values()]
      const unsubscribed = all.filter(({ unsubscribedAt }) => unsubscribedAt !== null).length
      return { subscribed: all.length - unsubscribed, unsubscribed }
    },
    async saveOwners(changes) {
      store.beforeSave()
      for (const id of changes.endedLetters ?? []) letters.delete(id)
      for (const letter of changes.letters ?? []) letters.set(letter.id, letter)
      for (const each of changes.endedOutages ?? []) outages.delete(each)
      for (const outage of changes.outages ?? []) outages.set(outage.key, outage)
      if (changes.written !== undefined) {
        const { digest, lastWrittenAt } = changes.written
        const known = contacts.get(digest) ?? { ...changes.written, unsubscribedAt: null }
        contacts.set(digest, { ...known, lastWrittenAt })
      }
    },
    async saveUnsubscribed(id, at) {
      const contact = await store.contactById(id)
      if (contact === null) return false
      contacts.set(contact.digest, { ...contact, unsubscribedAt: contact.unsubscribedAt ?? at })
      return true
    },
    async pruneContacts(before) {
      for (const [digest, { unsubscribedAt, lastWrittenAt }] of contacts) {
        if (unsubscribedAt === null && lastWrittenAt < before) contacts.delete(digest)
      }
    },
  }
  return store
}
