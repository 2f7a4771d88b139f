// What stands behind the link by which an owner ends the mail to them: types only. The pages of http/ ask,
// owners/ answers. A token that is forged, expired or of nobody is null and false everywhere.

import type { Actor } from '../actor.ts'

export interface OwnerDesk {
  /** Whether mail is still sent to whom this token was made for; null: the token counts for nothing. */
  lookUnsubscribe(token: string): Promise<{ readonly subscribed: boolean } | null>
  /** Ends it, for good; true also when it had ended before. Rejects when it could not be recorded or saved. */
  unsubscribe(token: string, actor: Actor): Promise<boolean>
}
