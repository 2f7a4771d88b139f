// What a change would alter, and whether somebody else was quicker. Pure.

import type { UserAccount } from '../fleet/user.ts'
import type { UserFields } from '../partner/user-directory.ts'
import { comparable } from './comparison.ts'
import { type UserField, userFieldNames } from './user-input.ts'

export type FieldValue = string | number | null

export interface FieldChange {
  readonly field: UserField
  readonly before: FieldValue
  readonly after: FieldValue
}

/** What somebody saw of a user before they decided. */
export type SeenFields = Readonly<Partial<Record<UserField, FieldValue>>>

/** Only what is another value, to the letter: correcting `MÜLLER` is a change. */
export function changesOf(account: UserAccount, wanted: UserFields): readonly FieldChange[] {
  return userFieldNames.flatMap((field) => {
    const after = wanted[field]
    const before = presentValue(account, field)
    return after === undefined || after === before ? [] : [{ field, before, after }]
  })
}

/** Fields that are to be changed and no longer have the value that was seen: `before` seen, `after` now. */
export function conflictsOf(
  account: UserAccount,
  wanted: UserFields,
  seen: SeenFields,
): readonly FieldChange[] {
  return userFieldNames.flatMap((field) => {
    const before = seen[field]
    if (before === undefined || wanted[field] === undefined) return []
    const now = presentValue(account, field)
    const isSeen = now === (before === '' ? null : before)
    // Whoever was quicker wanted the same.
    return isSeen || now === wanted[field] ? [] : [{ field, before, after: now }]
  })
}

/** Whether a user is the one that was to be created: nothing that was sent differs in meaning. */
export function isAsWanted(account: UserAccount, wanted: UserFields): boolean {
  return userFieldNames.every(
    (field) =>
      wanted[field] === undefined || comparable(field, wanted[field]) === comparable(field, account[field]),
  )
}

/** What is sent for these changes. */
export function fieldsOf(changes: readonly FieldChange[]): UserFields {
  return Object.fromEntries(changes.map(({ field, after }) => [field, after]))
}

/** An empty text is no value. */
function presentValue(account: UserAccount, field: UserField): FieldValue {
  const value = account[field]
  return value === '' ? null : value
}
