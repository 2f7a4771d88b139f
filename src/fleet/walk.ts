import type { FieldType, RecordOf } from './device.ts'

/**
 * What rules about the service itself may read (`walk.…` in a rule with `each: fleet` and no
 * `count`): how the last walk over all users went.
 */
export const walkFields = {
  /** `complete`, `partial` (some users or devices unread) or `failed` (the user list was not read). */
  outcome: 'string',
  /** False when the user list could not be read, or when more than half of the users could not. */
  api_available: 'bool',
  users: 'double',
  users_unread: 'double',
  devices: 'double',
  devices_unread: 'double',
  /** users_unread / users; 0 without users. */
  unread_ratio: 'double',
  /** Walks in a row that ended `failed`, this one included. */
  failed_in_a_row: 'double',
  started_at: 'timestamp',
  ended_at: 'timestamp',
  /** The last walk that ended `complete`. */
  last_complete_at: 'timestamp',
} as const satisfies Record<string, FieldType>

export type Walk = RecordOf<typeof walkFields>
