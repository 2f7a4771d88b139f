// What a client sends to the simulated API: bodies, the fields that can be set, and what the API says of
// a value that it does not take. Fields that cannot be set are ignored, as the partner ignores them.

import type { DeviceType } from '../fleet/device.ts'
import { type Answer, failure } from './answer.ts'
import type { JsonRecord } from './records.ts'
import { isWebUrl } from './session-page.ts'

export function parsedBody(body: string): JsonRecord | null {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}

export function withBody({ body }: { body: string }, then: (body: JsonRecord) => Answer): Answer {
  const parsed = parsedBody(body)
  return parsed === null ? failure(400, 'The body is not a JSON object.') : then(parsed)
}

export function webUrls(
  body: JsonRecord,
  names: readonly string[],
): { urls: string[] } | { errors: JsonRecord } {
  const errors: JsonRecord = {}
  const urls = names.map((name) => {
    const url = body[name]
    if (typeof url === 'string' && isWebUrl(url)) return url
    errors[name] = [url === undefined ? 'This field is required.' : 'Enter a valid URL.']
    return ''
  })
  return Object.keys(errors).length > 0 ? { errors } : { urls }
}

// --- fields that can be sent -----------------------------------------------------------------------

type FieldCheck = 'text' | 'number' | 'boolean' | 'instant' | 'zip' | 'role' | 'email'

/** Keeps the fields that can be set, and says what is wrong with their values. Others are ignored. */
export function checkFields(
  body: JsonRecord,
  fields: Readonly<Record<string, FieldCheck>>,
): { values: JsonRecord } | { errors: JsonRecord } {
  const values: JsonRecord = {}
  const errors: JsonRecord = {}
  for (const [name, value] of Object.entries(body)) {
    const check = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (check === undefined) continue
    const fault = faultOf(value, check)
    if (fault !== null) errors[name] = [fault]
    else if (name === 'country_iso2') values['country'] = value
    else values[name] = check === 'zip' && typeof value === 'number' ? String(value) : value
  }
  return Object.keys(errors).length > 0 ? { errors } : { values }
}

function faultOf(value: unknown, check: FieldCheck): string | null {
  const isRequired = check === 'role' || check === 'email'
  if (value === null) return isRequired ? 'This field may not be null.' : null
  switch (check) {
    case 'text':
      return typeof value === 'string' ? null : 'Not a valid string.'
    case 'number':
      return typeof value === 'number' ? null : 'A valid number is required.'
    case 'boolean':
      return typeof value === 'boolean' ? null : 'Must be a valid boolean.'
    case 'instant':
      return typeof value === 'string' && !Number.isNaN(Date.parse(value))
        ? null
        : 'Datetime has wrong format.'
    case 'zip':
      return typeof value === 'string' || typeof value === 'number' ? null : 'Not a valid string.'
    case 'role':
      return typeof value === 'string' && roles.has(value)
        ? null
        : `"${String(value)}" is not a valid choice.`
    case 'email':
      return typeof value === 'string' && /^[^@\s]+@[^@\s]+$/.test(value)
        ? null
        : 'Enter a valid email address.'
    default:
      return check satisfies never
  }
}

const roles: ReadonlySet<string> = new Set(['admin', 'staff', 'user', 'guest'])

export const userFields: Readonly<Record<string, FieldCheck>> = {
  role: 'role',
  email: 'email',
  external_user_id: 'text',
  first_name: 'text',
  last_name: 'text',
  street_and_number: 'text',
  street_add_info: 'text',
  zip_code: 'zip',
  town: 'text',
  country: 'text',
  country_iso2: 'text',
  latitude: 'number',
  longitude: 'number',
}

export const onboardingFields: Readonly<Record<string, FieldCheck>> = {
  language: 'text',
  price_zone_default: 'text',
  is_smart_optimization_active_default: 'boolean',
  building_id: 'text',
}

const commonDeviceFields: Readonly<Record<string, FieldCheck>> = {
  is_smart_optimization_active: 'boolean',
  is_pause_power_active: 'boolean',
  pause_power_until: 'instant',
  price_zone: 'text',
  building: 'text',
  comment: 'text',
  deleted_at: 'instant',
}

const deviceFieldsByType: Readonly<Record<DeviceType, Readonly<Record<string, FieldCheck>>>> = {
  heat_pump: {
    ...commonDeviceFields,
    minimum_temperature_limit: 'number',
    maximum_temperature_limit: 'number',
    minimum_dhw_temperature_limit: 'number',
    is_heating_policy_enabled: 'boolean',
    is_user_limits_enabled: 'boolean',
    optimization_level: 'text',
    away_mode_start: 'instant',
    away_mode_end: 'instant',
    is_away_mode_enabled: 'boolean',
  },
  electric_vehicle: {
    ...commonDeviceFields,
    charge_target_min: 'number',
    charge_target_max: 'number',
    minimum_charge_limit: 'number',
    charge_deadline_at: 'instant',
    is_charge_policy_enabled: 'boolean',
  },
  inverter: {
    ...commonDeviceFields,
    min_battery_charge: 'number',
    max_battery_charge: 'number',
    is_battery_connected: 'boolean',
    battery_capacity_kwh: 'number',
    solar_power_rating_kw: 'number',
  },
  wallbox: commonDeviceFields,
}

export function deviceFieldsOf(type: DeviceType): Readonly<Record<string, FieldCheck>> {
  return deviceFieldsByType[type]
}
