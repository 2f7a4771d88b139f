// The vocabulary of the fleet: what a device is to rules, alerts and messages.
//
// `deviceFields` is the one list of the fields that a rule may read, in the partner's current
// spelling; decoding fills every one of them (absent becomes null), and rules are type-checked
// against it. This folder does no I/O and decides nothing.

import type { Secret } from '../secret.ts'

export const deviceTypes = ['heat_pump', 'electric_vehicle', 'inverter', 'wallbox'] as const
export type DeviceType = (typeof deviceTypes)[number]

/** How a field's value is held, and its type in a rule. Instants are milliseconds since 1970. */
export type FieldType = 'string' | 'double' | 'bool' | 'timestamp'

type FieldValue<T extends FieldType> = T extends 'string' ? string : T extends 'bool' ? boolean : number

/** A record with every field of a table, null where the partner sent none. */
export type RecordOf<Fields extends Readonly<Record<string, FieldType>>> = {
  readonly [F in keyof Fields]: FieldValue<Fields[F]> | null
}

/** Fields of every device type that a rule may read. A field that a type does not have is null. */
export const deviceFields = {
  is_authenticated: 'bool',
  is_smart_optimization_active: 'bool',
  connection_status: 'string',
  monitoring_status: 'string',
  steering_status: 'string',
  lifecycle_state: 'string',
  lifecycle_error: 'string',
  action_needed: 'bool',
  current_state_last_updated_at: 'timestamp',
  last_monitoring_executed_at: 'timestamp',
  pause_power_until: 'timestamp',
  is_pause_power_active: 'bool',
  price_zone: 'string',
  building: 'string',
  comment: 'string',
  created_at: 'timestamp',
  updated_at: 'timestamp',
  deleted_at: 'timestamp',
  optimization_score: 'double',
  current_mode: 'string',
  actual_steering_state: 'string',
  // heat pump (°C, W)
  minimum_temperature_limit: 'double',
  maximum_temperature_limit: 'double',
  minimum_dhw_temperature_limit: 'double',
  is_heating_policy_enabled: 'bool',
  optimization_level: 'string',
  indoor_actual_temperature: 'double',
  dhw_temperature: 'double',
  current_power_consumption_w: 'double',
  away_mode_start: 'timestamp',
  away_mode_end: 'timestamp',
  is_away_mode_enabled: 'bool',
  operational_mode: 'string',
  is_user_limits_enabled: 'bool',
  // electric vehicle (%, W)
  charge_target_min: 'double',
  charge_target_max: 'double',
  minimum_charge_limit: 'double',
  charge_deadline_at: 'timestamp',
  is_charge_policy_enabled: 'bool',
  battery_level: 'double',
  is_plugged_in: 'bool',
  is_charging: 'bool',
  is_fully_charged: 'bool',
  charge_rate_w: 'double',
  boost_state: 'string',
  // inverter (%, kWh, kW, W)
  min_battery_charge: 'double',
  max_battery_charge: 'double',
  is_battery_connected: 'bool',
  battery_capacity_kwh: 'double',
  solar_power_rating_kw: 'double',
  battery_charge_level_percent: 'double',
  current_solar_production_w: 'double',
  household_consumption_w: 'double',
  current_power_to_grid_w: 'double',
  battery_charge_discharge_power_w: 'double',
} as const satisfies Record<string, FieldType>

/** What a device is, always known: `manufacturer` and `model` are 'unknown' when not told. */
export interface DeviceIdentity {
  readonly id: string
  readonly type: DeviceType
  readonly manufacturer: string
  readonly model: string
}

export type Device = DeviceIdentity &
  RecordOf<typeof deviceFields> & {
    /** Null when the answer carried none (a list answer need not), empty when nothing is pending. */
    readonly actions: readonly PendingAction[] | null
  }

/** Something that the user has to do. `code` is open: new ones come and are shown, never dropped. */
export interface PendingAction {
  readonly code: string
  readonly link: ResolutionLink | null
}

/**
 * Where a pending action is resolved. `redirect`: open the URL. `post`: call it with
 * `requiredParameters`, and it answers with the URL to open. Either lets whoever holds it act
 * for the customer, so it is a Secret and expires `validUntil` (ms since 1970, null: unknown).
 */
export interface ResolutionLink {
  readonly kind: 'redirect' | 'post'
  readonly url: Secret
  readonly requiredParameters: readonly string[]
  readonly validUntil: number | null
}
