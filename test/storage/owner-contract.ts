// What every database behind Storage must do about mail to owners; part of contract.ts.

import { describe, expect, it } from 'vitest'
import type { Letter, OwnerStore } from '../../src/owners/owner-store.ts'

const letter: Letter = {
  id: 'l1',
  userId: 'u1',
  receiver: 'owners',
  about: [{ alertKey: 'connection/X\ndevice/u1/heat_pump/d1', episode: 'e1' }],
  decidedAt: 1_000.5,
  attempts: 1,
  attemptedAt: 1_500,
  nextAttemptAt: 2_000,
  sentAt: null,
  isRefused: false,
}
const written = { id: 'c1', digest: 'digest-1', lastWrittenAt: 1_000 }

export function describeOwnerStore({
  store,
  reopen,
}: {
  readonly store: () => OwnerStore
  readonly reopen: () => Promise<void>
}): void {
  describe('what owners were told', () => {
    it('begins with nothing, and with a key that stays', async () => {
      expect(await store().loadLetters()).toEqual([])
      expect(await store().loadEndedOutages()).toEqual([])
      expect(await store().countContacts()).toEqual({ subscribed: 0, unsubscribed: 0 })
      expect(await store().contactByDigest('digest-1')).toBeNull()
      expect(await store().ownerKey('first')).toBe('first')
      await reopen()
      expect(await store().ownerKey('second')).toBe('first')
    })

    it('comes back after a restart with every field as it was, and goes when it has ended', async () => {
      const other: Letter = { ...letter, id: 'l2', about: [], sentAt: 3_000, isRefused: true }
      const outage = { key: 'k', labels: { manufacturer: 'Škoda', alertname: 'X' }, endedAt: 5_000 }
      await store().saveOwners({ letters: [letter, other], written, outages: [outage] })
      await reopen()
      const byId = (one: Letter, two: Letter) => (one.id < two.id ? -1 : 1)
      expect([...(await store().loadLetters())].sort(byId)).toEqual([letter, other])
      expect(await store().loadEndedOutages()).toEqual([outage])
      const contact = { ...written, unsubscribedAt: null }
      expect(await store().contactByDigest('digest-1')).toEqual(contact)
      expect(await store().contactById('c1')).toEqual(contact)

      const sent = { ...letter, sentAt: 4_000, attempts: 2 }
      const later = { ...outage, endedAt: 6_000 }
      await store().saveOwners({ letters: [sent], outages: [later], endedLetters: ['l2', 'none'] })
      expect(await store().loadLetters()).toEqual([sent])
      expect(await store().loadEndedOutages()).toEqual([later])
      await store().saveOwners({ endedLetters: ['l1'], endedOutages: ['k', 'none'] })
      expect(await store().loadLetters()).toEqual([])
      expect(await store().loadEndedOutages()).toEqual([])
    })

    it('keeps the end of the mail whatever is written afterwards, and the first moment of it', async () => {
      await store().saveOwners({ written })
      expect(await store().saveUnsubscribed('c1', 2_000)).toBe(true)
      expect(await store().saveUnsubscribed('c1', 3_000)).toBe(true)
      expect(await store().saveUnsubscribed('nobody', 3_000)).toBe(false)
      // Another id, as of somebody who does not know yet that there is one.
      await store().saveOwners({ written: { ...written, id: 'c2', lastWrittenAt: 4_000 } })
      const contact = { id: 'c1', digest: 'digest-1', lastWrittenAt: 4_000, unsubscribedAt: 2_000 }
      expect(await store().contactByDigest('digest-1')).toEqual(contact)
      expect(await store().contactById('c2')).toBeNull()
      expect(await store().countContacts()).toEqual({ subscribed: 0, unsubscribed: 1 })
    })

    it('lets go of contacts not written to for long, but of nobody who ended the mail', async () => {
      for (const n of [1, 2, 3]) {
        await store().saveOwners({ written: { id: `c${n}`, digest: `d${n}`, lastWrittenAt: n * 1_000 } })
      }
      await store().saveUnsubscribed('c1', 1)
      await store().pruneContacts(3_000)
      expect(await store().contactById('c1')).not.toBeNull()
      expect(await store().contactById('c2')).toBeNull()
      expect(await store().contactById('c3')).not.toBeNull()
    })

    it('is saved all or none', async () => {
      const bad = { ...letter, id: 'bad', decidedAt: null as unknown as number }
      await expect(store().saveOwners({ letters: [letter, bad], written })).rejects.toMatchObject({
        name: 'StorageError',
        kind: 'internal',
      })
      expect(await store().loadLetters()).toEqual([])
      expect(await store().contactById('c1')).toBeNull()
    })
  })
}
