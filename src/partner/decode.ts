// From the partner's JSON to our vocabulary, in current and older spellings. A field that is absent
// or of the wrong type becomes null and costs nothing else; a record without a usable id is
// Malformed. The field lists below are written out, one line a field in the order of the tables in
// fleet/, rather than looped over: a loop over names is ten times as slow (objects of one shape
// that the compiler knows), and a walk decodes a million devices. The type checker sees to it that
// none is missing.

import type { Device, DeviceType, PendingAction, ResolutionLink } from '../fleet/device.ts'
import type { EnergyContract, User, UserAccount } from '../fleet/user.ts'
import { Secret } from '../secret.ts'
import { parseInstant } from './instant.ts'
import { Malformed } from './json-array-stream.ts'

/** Told of each field that has a value which cannot be used (by our name), for counting. */
export type OnOddField = (field: string) => void

export interface DeviceSource {
  readonly type: DeviceType
  /** When the answer arrived (ms since 1970). */
  readonly observedAt: number
  /** Only the answer of a single device says what is pending: see `actions`. */
  readonly isSingle: boolean
  readonly onOddField: OnOddField
  /** Told when a state is from so far in the future that some clock must be wrong. */
  readonly onClockSkew?: () => void
}

type Raw = Readonly<Record<string, unknown>>

const linkLifetimeMs = 3_600_000
const tolerableSkewMs = 5 * 60_000
const longestName = 100
const unknownName = 'unknown'
const reauthenticate = 'reauthenticate'

export function decodeDevice(value: unknown, source: DeviceSource): Device | Malformed {
  if (!isRecord(value)) return notRecord(value)
  const raw = value
  const id = usableId(raw['id'])
  if (id === null) return new Malformed('no usable id')
  const { type, onOddField: odd } = source
  const model = isRecord(raw['device_model']) ? raw['device_model'] : noRecord
  const isAuthenticated = bool(raw['is_authenticated'], 'is_authenticated', odd)
  return {
    id,
    type,
    manufacturer: name(model['manufacturer'], 'manufacturer', odd),
    model: name(model['model'], 'model', odd),
    is_authenticated: isAuthenticated,
    is_smart_optimization_active: bool(
      raw['is_smart_optimization_active'],
      'is_smart_optimization_active',
      odd,
    ),
    connection_status: string(raw['connection_status'], 'connection_status', odd),
    monitoring_status: string(raw['monitoring_status'], 'monitoring_status', odd),
    steering_status: string(raw['steering_status'], 'steering_status', odd),
    lifecycle_state: string(raw['lifecycle_state'], 'lifecycle_state', odd),
    lifecycle_error: string(raw['lifecycle_error'], 'lifecycle_error', odd),
    action_needed: bool(raw['action_needed'], 'action_needed', odd),
    current_state_last_updated_at: stateInstant(
      raw['current_state_last_updated_at'] ??
        raw['charge_state_last_updated_at'] ??
        raw['charge_state_last_updated'],
      source,
    ),
    last_monitoring_executed_at: instant(
      raw['last_monitoring_executed_at'],
      'last_monitoring_executed_at',
      odd,
    ),
    pause_power_until: instant(
      raw['pause_power_until'] ?? raw['pause_power_until_utc'],
      'pause_power_until',
      odd,
    ),
    is_pause_power_active: bool(
      raw['is_pause_power_active'] ?? raw['pause_power_active'],
      'is_pause_power_active',
      odd,
    ),
    price_zone: string(raw['price_zone'], 'price_zone', odd),
    building: string(raw['building'], 'building', odd),
    comment: string(raw['comment'], 'comment', odd),
    created_at: instant(raw['created_at'], 'created_at', odd),
    updated_at: instant(raw['updated_at'], 'updated_at', odd),
    deleted_at: instant(raw['deleted_at'], 'deleted_at', odd),
    optimization_score: double(raw['optimization_score'], 'optimization_score', odd),
    current_mode: string(raw['current_mode'], 'current_mode', odd),
    actual_steering_state: string(raw['actual_steering_state'], 'actual_steering_state', odd),
    minimum_temperature_limit: double(raw['minimum_temperature_limit'], 'minimum_temperature_limit', odd),
    maximum_temperature_limit: double(raw['maximum_temperature_limit'], 'maximum_temperature_limit', odd),
    minimum_dhw_temperature_limit: double(
      raw['minimum_dhw_temperature_limit'],
      'minimum_dhw_temperature_limit',
      odd,
    ),
    is_heating_policy_enabled: bool(raw['is_heating_policy_enabled'], 'is_heating_policy_enabled', odd),
    optimization_level: string(raw['optimization_level'], 'optimization_level', odd),
    indoor_actual_temperature: double(raw['indoor_actual_temperature'], 'indoor_actual_temperature', odd),
    dhw_temperature: double(raw['dhw_temperature'], 'dhw_temperature', odd),
    current_power_consumption_w: double(
      raw['current_power_consumption_w'],
      'current_power_consumption_w',
      odd,
    ),
    away_mode_start: instant(raw['away_mode_start'], 'away_mode_start', odd),
    away_mode_end: instant(raw['away_mode_end'], 'away_mode_end', odd),
    is_away_mode_enabled: bool(raw['is_away_mode_enabled'], 'is_away_mode_enabled', odd),
    operational_mode: string(raw['operational_mode'], 'operational_mode', odd),
    is_user_limits_enabled: bool(
      raw['is_user_limits_enabled'] ?? raw['user_limits_enabled'],
      'is_user_limits_enabled',
      odd,
    ),
    charge_target_min: double(raw['charge_target_min'] ?? raw['charge_limit_min'], 'charge_target_min', odd),
    charge_target_max: double(raw['charge_target_max'] ?? raw['charge_limit_max'], 'charge_target_max', odd),
    minimum_charge_limit: double(raw['minimum_charge_limit'], 'minimum_charge_limit', odd),
    charge_deadline_at: instant(raw['charge_deadline_at'], 'charge_deadline_at', odd),
    is_charge_policy_enabled: bool(raw['is_charge_policy_enabled'], 'is_charge_policy_enabled', odd),
    battery_level: double(raw['battery_level'], 'battery_level', odd),
    is_plugged_in: bool(raw['is_plugged_in'], 'is_plugged_in', odd),
    is_charging: bool(raw['is_charging'], 'is_charging', odd),
    is_fully_charged: bool(raw['is_fully_charged'], 'is_fully_charged', odd),
    charge_rate_w: double(raw['charge_rate_w'], 'charge_rate_w', odd),
    boost_state: string(raw['boost_state'], 'boost_state', odd),
    min_battery_charge: double(raw['min_battery_charge'], 'min_battery_charge', odd),
    max_battery_charge: double(raw['max_battery_charge'], 'max_battery_charge', odd),
    is_battery_connected: bool(
      raw['is_battery_connected'] ?? raw['battery_connected'],
      'is_battery_connected',
      odd,
    ),
    battery_capacity_kwh: double(raw['battery_capacity_kwh'], 'battery_capacity_kwh', odd),
    solar_power_rating_kw: double(raw['solar_power_rating_kw'], 'solar_power_rating_kw', odd),
    battery_charge_level_percent: double(
      raw['battery_charge_level_percent'],
      'battery_charge_level_percent',
      odd,
    ),
    current_solar_production_w: double(raw['current_solar_production_w'], 'current_solar_production_w', odd),
    household_consumption_w: double(raw['household_consumption_w'], 'household_consumption_w', odd),
    current_power_to_grid_w: double(raw['current_power_to_grid_w'], 'current_power_to_grid_w', odd),
    battery_charge_discharge_power_w: double(
      raw['battery_charge_discharge_power_w'],
      'battery_charge_discharge_power_w',
      odd,
    ),
    actions: decodeActions(raw, isAuthenticated, source),
  }
}

export function decodeUser(value: unknown, onOddField: OnOddField): User | Malformed {
  if (!isRecord(value)) return notRecord(value)
  const raw = value
  const odd = onOddField
  const id = usableId(raw['id'])
  if (id === null) return new Malformed('no usable id')
  return {
    id,
    role: string(raw['role'], 'role', odd),
    email: string(raw['email'], 'email', odd),
    external_user_id: stringOrNumber(raw['external_user_id'], 'external_user_id', odd),
    first_name: string(raw['first_name'], 'first_name', odd),
    last_name: string(raw['last_name'], 'last_name', odd),
    street_and_number: string(raw['street_and_number'], 'street_and_number', odd),
    street_add_info: string(raw['street_add_info'], 'street_add_info', odd),
    zip_code: stringOrNumber(raw['zip_code'], 'zip_code', odd),
    town: string(raw['town'], 'town', odd),
    country: string(raw['country'] ?? raw['country_iso2'], 'country', odd),
    latitude: double(raw['latitude'], 'latitude', odd),
    longitude: double(raw['longitude'], 'longitude', odd),
    location_last_updated: instant(raw['location_last_updated'], 'location_last_updated', odd),
    is_onboarded: bool(raw['is_onboarded'], 'is_onboarded', odd),
    last_login: instant(raw['last_login'], 'last_login', odd),
    joined_at: instant(raw['joined_at'], 'joined_at', odd),
    num_heat_pumps: double(raw['num_heat_pumps'], 'num_heat_pumps', odd),
    num_electric_vehicles: double(raw['num_electric_vehicles'], 'num_electric_vehicles', odd),
    num_inverters: double(raw['num_inverters'], 'num_inverters', odd),
    num_wallboxes: double(raw['num_wallboxes'], 'num_wallboxes', odd),
    migration_step: null,
    migration_since: null,
    external_user_id_count: null,
    energy_contracts: null,
  }
}

/** The same record as people look after it; deleted ones too. */
export function decodeAccount(value: unknown, onOddField: OnOddField): UserAccount | Malformed {
  const user = decodeUser(value, onOddField)
  if (user instanceof Malformed) return user
  const {
    migration_step: _step,
    migration_since: _since,
    external_user_id_count: _count,
    energy_contracts: _contracts,
    ...record
  } = user
  const deletedAt = isRecord(value) ? instant(value['deleted_at'], 'deleted_at', onOddField) : null
  return { ...record, deleted_at: deletedAt }
}

/** True for the answer of a user that was deleted, which a list only holds when asked for them. */
export function isDeletedUser(value: unknown): boolean {
  return isRecord(value) && value['deleted_at'] !== undefined && value['deleted_at'] !== null
}

export function decodeEnergyContract(value: unknown, onOddField: OnOddField): EnergyContract | Malformed {
  if (!isRecord(value)) return notRecord(value)
  const raw = value
  const odd = onOddField
  return {
    id: string(raw['id'], 'id', odd),
    energy_contract_type: string(raw['energy_contract_type'], 'energy_contract_type', odd),
    meter_id: stringOrNumber(raw['meter_id'], 'meter_id', odd),
    supplier: string(raw['supplier'], 'supplier', odd),
    currency_energy_price: string(raw['currency_energy_price'], 'currency_energy_price', odd),
    energy_price_includes_external_components: bool(
      raw['energy_price_includes_external_components'],
      'energy_price_includes_external_components',
      odd,
    ),
    prices_until: latestPrice(raw['energy_prices'], odd),
  }
}

/** Text that may be opened or called: an absolute http(s) URL. */
export function parseLinkUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  return url.protocol === 'https:' || url.protocol === 'http:' ? url : null
}

function latestPrice(value: unknown, odd: OnOddField): number | null {
  if (value === undefined || value === null) return null
  if (!Array.isArray(value)) return strange('energy_prices', odd)
  let latest: number | null = null
  for (const price of value) {
    const at = instant(isRecord(price) ? price['timestamp'] : price, 'energy_prices', odd)
    if (at !== null && (latest === null || at > latest)) latest = at
  }
  return latest
}

/**
 * What is pending. Null when the answer carries no `actions`: a list need not. The older
 * `authorization_url` counts only when nothing newer says where to reconnect, and only where
 * `actions` are promised: in a list their absence means that the device has to be asked for.
 */
function decodeActions(
  raw: Raw,
  isAuthenticated: boolean | null,
  { observedAt, isSingle, onOddField: odd }: DeviceSource,
): readonly PendingAction[] | null {
  const listed = raw['actions']
  const hasActions = Array.isArray(listed)
  if (!hasActions && listed !== undefined && listed !== null) odd('actions')
  const actions = hasActions ? listed.map((entry) => decodeAction(entry, observedAt, odd)) : null
  if (isAuthenticated !== false || (actions === null && !isSingle)) return actions
  if (actions?.some(({ link }) => link !== null)) return actions
  const url = decodeUrl(raw['authorization_url'], 'authorization_url', odd)
  if (url === null) return actions
  // Nothing says for how long the older kind of link works.
  const link: ResolutionLink = { kind: 'redirect', url, requiredParameters: [], validUntil: null }
  const others = (actions ?? []).filter(({ code }) => code !== reauthenticate)
  return [...others, { code: reauthenticate, link }]
}

function decodeAction(value: unknown, observedAt: number, odd: OnOddField): PendingAction {
  const raw = isRecord(value) ? value : noRecord
  const code = typeof value === 'string' ? value : raw['code']
  if (typeof code !== 'string' || code === '') odd('actions')
  return {
    code: typeof code === 'string' && code !== '' ? code : unknownName,
    link: decodeLink(raw['resolution_link'], observedAt, odd),
  }
}

function decodeLink(value: unknown, observedAt: number, odd: OnOddField): ResolutionLink | null {
  const validUntil = observedAt + linkLifetimeMs
  if (!isRecord(value)) {
    const url = decodeUrl(value, 'resolution_link', odd)
    return url === null ? null : { kind: 'redirect', url, requiredParameters: [], validUntil }
  }
  const url = decodeUrl(value['url'], 'resolution_link', odd)
  if (url === null) return null
  const required = value['required_parameters']
  const requiredParameters = Array.isArray(required)
    ? required.filter((parameter) => typeof parameter === 'string')
    : []
  return { kind: 'post', url, requiredParameters, validUntil }
}

function decodeUrl(value: unknown, field: string, odd: OnOddField): Secret | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'string' && parseLinkUrl(value) !== null) return new Secret(value)
  return strange(field, odd)
}

const noRecord: Raw = {}

function isRecord(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Malformed)
}

function notRecord(value: unknown): Malformed {
  return value instanceof Malformed ? value : new Malformed('not an object')
}

// Ids stand in URLs and in keys that are joined with slashes and line breaks.
const idPattern = /^(?!\.\.?$)[\w.:@+=~-]{1,128}$/

function usableId(value: unknown): string | null {
  if (typeof value === 'string') return idPattern.test(value) ? value : null
  return Number.isSafeInteger(value) ? String(value) : null
}

function strange(field: string, odd: OnOddField): null {
  odd(field)
  return null
}

function bool(value: unknown, field: string, odd: OnOddField): boolean | null {
  if (typeof value === 'boolean') return value
  return value === undefined || value === null ? null : strange(field, odd)
}

function string(value: unknown, field: string, odd: OnOddField): string | null {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? null : strange(field, odd)
}

function double(value: unknown, field: string, odd: OnOddField): number | null {
  // JSON.parse turns 1e999 into Infinity.
  if (typeof value === 'number' && Number.isFinite(value)) return value
  return value === undefined || value === null ? null : strange(field, odd)
}

function stringOrNumber(value: unknown, field: string, odd: OnOddField): string | null {
  return typeof value === 'number' ? String(value) : string(value, field, odd)
}

function instant(value: unknown, field: string, odd: OnOddField): number | null {
  if (value === undefined || value === null) return null
  const parsed = typeof value === 'string' ? parseInstant(value) : null
  return parsed ?? strange(field, odd)
}

/** Manufacturers' clocks run ahead: a state that is said to be of later than now is of now. */
function stateInstant(value: unknown, { observedAt, onOddField, onClockSkew }: DeviceSource): number | null {
  const at = instant(value, 'current_state_last_updated_at', onOddField)
  if (at === null || at <= observedAt) return at
  if (at - observedAt > tolerableSkewMs) onClockSkew?.()
  return observedAt
}

/** For labels: one line, at most 100 characters, never empty. */
function name(value: unknown, field: string, odd: OnOddField): string {
  if (typeof value !== 'string') {
    if (value !== undefined && value !== null) odd(field)
    return unknownName
  }
  if (plainName.test(value)) return value
  const clean = value.toWellFormed().replace(unprintable, ' ').replace(/\s+/g, ' ').trim()
  return clean === '' ? unknownName : Array.from(clean).slice(0, longestName).join('').trimEnd()
}

const plainName = /^[\w.+-](?:[\w .+-]{0,98}[\w.+-])?$/
// Control characters, and invisible ones that change how the text around them is shown.
const unprintable = /[\p{Cc}\p{Cf}\u2028\u2029]+/gu
