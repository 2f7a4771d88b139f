// The vocabulary of the fleet: what a device is to rules, alerts and messages.
//
// `deviceFields` is the one list of the fields that a rule may read, in the partner's current
// spelling; decoding fills every one of them (absent becomes null), and rules are type-checked
// against it. This folder does no I/O and decides nothing.

import type { Secret } from '../secret.ts'

export const deviceTypes = ['heat_pump', 'electric_vehicle', 'inverter', 'wallbox'] as const
export type DeviceType = (typeof deviceTypes)[number]

/** What people call them: one, and many. */
export const deviceTypeWords: Readonly<Record<DeviceType, readonly [one: string, many: string]>> = {
  heat_pump: ['heat pump', 'heat pumps'],
  electric_vehicle: ['electric vehicle', 'electric vehicles'],
  inverter: ['inverter', 'inverters'],
  wallbox: ['wallbox', 'wallboxes'],
}

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

/** In words: `Daikin heat pump`, or `heat pump` where the manufacturer is not told. */
export function deviceName({ type, manufacturer }: Pick<DeviceIdentity, 'type' | 'manufacturer'>): string {
  return [manufacturer, deviceTypeWords[type][0]].filter(isTold).join(' ')
}

/**
 * The devices that have these labels, in words: `Daikin heat pumps`, `inverters in price zone AT`.
 * What is not told is left out, and other labels are ignored, so that it may be no more than `devices`.
 */
export function deviceGroupName(labels: Readonly<Record<string, string | undefined>>): string {
  const { manufacturer = '', model = '', device_type: type = '', price_zone: zone } = labels
  // Some models carry their maker's name already.
  const maker = model.toLowerCase().startsWith(manufacturer.toLowerCase()) ? '' : manufacturer
  const things = isDeviceType(type) ? deviceTypeWords[type][1] : 'devices'
  return [maker, model, things, isTold(zone) ? `in price zone ${zone}` : ''].filter(isTold).join(' ')
}

export function isDeviceType(text: string): text is DeviceType {
  return Object.hasOwn(deviceTypeWords, text)
}

function isTold(text: string | undefined): boolean {
  return text !== undefined && text !== '' && text !== 'unknown'
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
