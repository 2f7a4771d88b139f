// Who does something through us, and what a trail of what was done keeps of it: the vocabulary that HTTP,
// links, the back office and the trail itself share. It decides nothing but what a role includes.

/** What somebody may do; each includes the ones before it. */
export const roles = ['viewer', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

export interface Actor {
  /**
   * `local`: somebody on this machine, where nothing else is configured. `token`: who holds an access token.
   * `person`: whom a trusted proxy names. `link`: who holds a link of ours. `service`: we ourselves.
   */
  readonly kind: 'local' | 'token' | 'person' | 'link' | 'service'
  /** The token's or the person's; empty where nobody is named. */
  readonly name: string
  /** Null: none of these; a link lets its holder do what it is for. */
  readonly role: Role | null
  /** The address that the request came from; null: no request. */
  readonly from: string | null
}

export function mayDo(actor: Pick<Actor, 'role'>, needed: Role): boolean {
  return actor.role !== null && roles.indexOf(actor.role) >= roles.indexOf(needed)
}

/** Why a request is refused before it does anything; the first three are about where it comes from. */
export const refusalReasons = [
  // From another machine, while only this one may ask.
  'not_local',
  // Under a name that is not the service's: most likely a page that made its own name resolve to it.
  'wrong_host',
  // From a page of another site.
  'other_site',
  'no_identity',
  'unknown_token',
  'expired_token',
  // What says who asks cannot be read, or says it twice.
  'malformed',
  // It names a person as the proxy does, and does not come from there: that counts for nothing.
  'not_proxy',
  // A person who is known to the proxy, and stands in no role.
  'no_role',
  // The role is too low.
  'role',
] as const
export type RefusalReason = (typeof refusalReasons)[number]

/**
 * One line of the trail. `target` and `detail` may say whom it concerns: they can be erased later, what
 * stands beside them cannot. Never a secret: no token, no link, no password.
 */
export interface AuditEntry {
  readonly actor: Actor
  /** Noun and verb: `silence.set`, `link.mint`, `user.forget`. */
  readonly action: string
  /** `begun` stands before a change that may be cut off, and is followed by one of the others. */
  readonly result: 'begun' | 'ok' | 'denied' | 'failed'
  /** Ids by what they are ids of: `{silence: …}`, `{user: …, device: …, alert: …}`. */
  readonly target: Readonly<Record<string, string>>
  readonly detail: Readonly<Record<string, unknown>>
}

/** Resolves when it is saved; rejects when it cannot be, and then what it is about must not happen. */
export type RecordAudit = (entry: AuditEntry) => Promise<void>
