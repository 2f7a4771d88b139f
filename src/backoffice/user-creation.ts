// Creating a user exactly once. The partner has no key that makes a repeated creation harmless, and an answer
// can get lost after the partner has done it. So a creation whose end is uncertain is followed by a look, by
// the external id and by the e-mail address, and only when nobody is there by a second attempt, which the
// partner itself refuses when the first one arrived late: an address belongs to one user.

import type { Clock } from '../clock.ts'
import type { UserAccount } from '../fleet/user.ts'
import { Malformed } from '../partner/json-array-stream.ts'
import { PartnerError } from '../partner/partner-error.ts'
import { isUncertain, type NewUser, type UserDirectory } from '../partner/user-directory.ts'
import { comparable } from './comparison.ts'
import { isAsWanted } from './user-change.ts'

export type CreationOutcome =
  /** `isRecovered`: the partner's answer was lost, and the user was found. */
  | { readonly kind: 'created'; readonly account: UserAccount; readonly isRecovered: boolean }
  /** Somebody has the external id or the e-mail address already. */
  | { readonly kind: 'exists'; readonly account: UserAccount; readonly by: 'external_user_id' | 'email' }

export interface CreationOptions {
  readonly directory: Pick<UserDirectory, 'accounts' | 'accountByExternalId' | 'create'>
  readonly clock: Pick<Clock, 'sleep'>
  readonly signal: AbortSignal
}

// A creation that ran into its timeout may still be under way at the partner.
const looksAfterMs = [0, 2_000, 5_000]
const mostAttempts = 2

/** Rejects with a PartnerError; one that is uncertain means that nobody was found and it may yet appear. */
export async function createUserOnce(user: NewUser, options: CreationOptions): Promise<CreationOutcome> {
  const { directory, signal } = options
  if (user.external_user_id !== undefined && user.external_user_id !== null) {
    const account = await directory.accountByExternalId(user.external_user_id, signal)
    if (account !== null) return { kind: 'exists', account, by: 'external_user_id' }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return { kind: 'created', account: await directory.create(user, signal), isRecovered: false }
    } catch (error) {
      const isRepeated = attempt > 1
      if (isUncertain(error)) {
        const account = await lookUp(user, options)
        if (account !== null) return recovered(account, user)
        if (attempt >= mostAttempts) throw error
      } else if (isRefusal(error) && (isRepeated || namesEmail(error))) {
        const account = await accountByEmail(user.email, options)
        if (account === null) throw error
        return isRepeated ? recovered(account, user) : { kind: 'exists', account, by: 'email' }
      } else throw error
    }
  }
}

/** The user with this address, in a pass over the whole list; null: there is none. */
async function accountByEmail(
  email: string,
  { directory, signal }: Pick<CreationOptions, 'directory' | 'signal'>,
): Promise<UserAccount | null> {
  const wanted = comparable('email', email)
  for await (const account of directory.accounts({ includeDeleted: false }, signal)) {
    if (!(account instanceof Malformed) && comparable('email', account.email) === wanted) return account
  }
  return null
}

async function lookUp(user: NewUser, options: CreationOptions): Promise<UserAccount | null> {
  for (const waitMs of looksAfterMs) {
    if (waitMs > 0) await options.clock.sleep(waitMs, options.signal)
    const { external_user_id: id } = user
    const known =
      id === undefined || id === null ? null : await options.directory.accountByExternalId(id, options.signal)
    const account = known ?? (await accountByEmail(user.email, options))
    if (account !== null) return account
  }
  return null
}

/** Whoever has the address and nothing that differs from what was sent is the one that was to be created. */
function recovered(account: UserAccount, user: NewUser): CreationOutcome {
  if (isAsWanted(account, user)) return { kind: 'created', account, isRecovered: true }
  return { kind: 'exists', account, by: 'email' }
}

function isRefusal(error: unknown): error is PartnerError {
  return error instanceof PartnerError && error.kind === 'client_error'
}

function namesEmail({ detail }: PartnerError): boolean {
  return /e-?mail/i.test(detail ?? '')
}
