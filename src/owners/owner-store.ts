// What is kept about mail to owners, and what that needs of a database.
//
// A *contact* is somebody who was written to. It says so under a digest and never under the id of a user, so
// that it may outlive what else is known of them: whoever ended the mail is not written to again, even
// after everything else about them was erased. A *letter* is one mail, from before its first attempt until
// none of the alerts that it is about is left.

export interface Contact {
  /** A UUID: what the link is for by which they end the mail. */
  readonly id: string
  /** Of the user's id, under a key of this database; see ownerDigest. */
  readonly digest: string
  /** Instants in ms since 1970. Of the last attempt, whether or not it arrived. */
  readonly lastWrittenAt: number
  readonly unsubscribedAt: number | null
}

export interface Letter {
  /** A UUID; its Message-ID is made of it, so that all attempts are the same mail. */
  readonly id: string
  readonly userId: string
  readonly receiver: string
  /** What it told for the first time. */
  readonly about: readonly { readonly alertKey: string; readonly episode: string }[]
  readonly decidedAt: number
  readonly attempts: number
  /** When the last attempt began. */
  readonly attemptedAt: number
  readonly nextAttemptAt: number
  /** Null: it has not arrived, as far as we know. */
  readonly sentAt: number | null
  /** The server refused it for good. */
  readonly isRefused: boolean
}

/** A fleet's trouble that has ended: the devices behind it are given time to recover by themselves. */
export interface EndedOutage {
  /** Of its alert. */
  readonly key: string
  readonly labels: Readonly<Record<string, string>>
  readonly endedAt: number
}

export interface OwnerChanges {
  readonly letters?: readonly Letter[]
  readonly endedLetters?: readonly string[]
  /** Written to just now: saved, or if the digest is known, only the moment is. */
  readonly written?: Pick<Contact, 'id' | 'digest' | 'lastWrittenAt'>
  readonly outages?: readonly EndedOutage[]
  readonly endedOutages?: readonly string[]
}

export interface ContactCounts {
  readonly subscribed: number
  readonly unsubscribed: number
}

export interface OwnerStore {
  loadLetters(): Promise<readonly Letter[]>
  loadEndedOutages(): Promise<readonly EndedOutage[]>
  /** The key of this database for digests; `fresh` becomes it when there is none yet. */
  ownerKey(fresh: string): Promise<string>
  contactByDigest(digest: string): Promise<Contact | null>
  contactById(id: string): Promise<Contact | null>
  countContacts(): Promise<ContactCounts>
  saveOwners(changes: OwnerChanges): Promise<void>
  /** Keeps the earlier moment where it was said before. False: there is no such contact. */
  saveUnsubscribed(id: string, at: number): Promise<boolean>
  /** Forgets contacts that still get mail and were not written to since `before`. */
  pruneContacts(before: number): Promise<void>
}
