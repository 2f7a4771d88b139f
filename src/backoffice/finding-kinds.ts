// What a reconciliation can find, in the order in which it is told and should be put right.

export const findingKinds = [
  'row_without_id',
  'duplicate_customer',
  'duplicate_user',
  'different',
  'external_id_missing',
  'customer_without_user',
  'archived_customer',
  'user_without_external_id',
  'user_left',
] as const
/**
 * `external_id_missing`: a user without one who has a customer's e-mail address.
 * `user_without_external_id`: one of whom nobody knows which customer it is.
 * `archived_customer`: in the file, and archived. `user_left`: with an external id that is not in the file.
 */
export type FindingKind = (typeof findingKinds)[number]
