import type { FieldType, RecordOf } from './device.ts'

/** Fields of a user that a rule may read, in the partner's current spelling; see deviceFields. */
export const userFields = {
  role: 'string',
  email: 'string',
  external_user_id: 'string',
  first_name: 'string',
  last_name: 'string',
  street_and_number: 'string',
  street_add_info: 'string',
  zip_code: 'string',
  town: 'string',
  country: 'string',
  latitude: 'double',
  longitude: 'double',
  location_last_updated: 'timestamp',
  is_onboarded: 'bool',
  last_login: 'timestamp',
  joined_at: 'timestamp',
  num_heat_pumps: 'double',
  num_electric_vehicles: 'double',
  num_inverters: 'double',
  num_wallboxes: 'double',
} as const satisfies Record<string, FieldType>

/** What the back office knows of a user who is moved over from another system; null: who is not. */
export const migrationFields = {
  /** The last step that is done: `created`, `identified`, `onboarding`, `verified` or `done`. */
  migration_step: 'string',
  /** Since when. */
  migration_since: 'timestamp',
} as const satisfies Record<string, FieldType>

export type User = RecordOf<typeof userFields> &
  RecordOf<typeof migrationFields> & {
    readonly id: string
    /** How many users of this walk's list carry the same external id; null where it was not counted. */
    readonly external_user_id_count: number | null
    /** Null when no loaded rule reads contracts, or when they could not be read. */
    readonly energy_contracts: readonly EnergyContract[] | null
  }

/** What the partner tells apart. Customers are `user`s. */
export const userRoles = ['user', 'guest', 'staff', 'admin'] as const
export type UserRole = (typeof userRoles)[number]

/** A user as people look after it: the whole record, without what a walk adds. */
export type UserAccount = RecordOf<typeof userFields> & {
  readonly id: string
  /** Set: deleted at the partner (ms since 1970). */
  readonly deleted_at: number | null
}

export const energyContractFields = {
  id: 'string',
  energy_contract_type: 'string',
  meter_id: 'string',
  supplier: 'string',
  currency_energy_price: 'string',
  energy_price_includes_external_components: 'bool',
  /** The moment of the latest price, which is how far the optimiser can plan. */
  prices_until: 'timestamp',
} as const satisfies Record<string, FieldType>

export type EnergyContract = RecordOf<typeof energyContractFields>
