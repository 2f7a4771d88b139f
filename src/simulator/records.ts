// How users, devices and contracts look in an answer: the field names and both shapes of everything
// that partner-api.md documents twice, and the measurements, which move with the clock.
//
// A record is built in the current spelling from the fleet's condition, changed by what is broken and
// by what was set, and renamed into the older spelling at the very end. Pure, but for the links of
// pending actions, which carry a secret and so come from whoever signs them.

import type { DeviceType } from '../fleet/device.ts'
import { deviceTypeNames, places, suppliers } from './catalogue.ts'
import type { Malformation } from './faults.ts'
import type { Cue, DeviceCondition, Fleet, SimulatedDevice } from './fleet.ts'
import { fraction, hash, uuidOf } from './hash.ts'

export type JsonRecord = Record<string, unknown>

/** Issues the links of pending actions, fresh with each answer. */
export interface LinkIssuer {
  /** `resolution_link` in one of its documented shapes. */
  resolutionLink(cue: Cue, device: SimulatedDevice): unknown
  /** The older `authorization_url`. */
  authorizationUrl(device: SimulatedDevice): string
}

/** Current names and what they were called before, for every record. */
const olderNames: Readonly<Record<string, string>> = {
  is_pause_power_active: 'pause_power_active',
  pause_power_until: 'pause_power_until_utc',
  is_battery_connected: 'battery_connected',
  is_user_limits_enabled: 'user_limits_enabled',
  current_mode: 'operational_mode',
  charge_target_min: 'charge_limit_min',
  charge_target_max: 'charge_limit_max',
}

/** The current name of a field of a device that was sent, which may be an older one. */
export const currentNames: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(olderNames).map(([current, older]) => [older, current]),
)

// One number per question, beside those of the fleet: see Fleet.prefersOld and `wobble`.
const ask = {
  ownerId: 101,
  model: 102,
  noModel: 103,
  names: 104,
  listActions: 105,
  syncName: 106,
  counts: 107,
  zipNumber: 108,
  countryName: 109,
  missing: 110,
  sync: 111,
  joined: 112,
  paused: 113,
  size: 114,
  year: 115,
  meter: 116,
} as const

const dayMs = 86_400_000
const hourMs = 3_600_000
// Longer than the longest wait of a shipped rule: a vehicle may sleep for a week.
const staleByMs = 10 * dayMs
const joinedFrom = Date.UTC(2023, 0, 1)

/** ISO 8601 in UTC. Formatting a moment costs more than finding it, and most are days or minutes. */
function instant(ms: number): string {
  let text = formattedInstants.get(ms)
  if (text === undefined) {
    text = new Date(ms).toISOString()
    if (ms % 60_000 === 0) {
      if (formattedInstants.size >= 4096) formattedInstants.clear()
      formattedInstants.set(ms, text)
    }
  }
  return text
}

const formattedInstants = new Map<number, string>()

/** Fields of a user, and the device counts. `counted` says what a count is in the present answer. */
export function userRecord(
  fleet: Fleet,
  index: number,
  {
    now,
    count = (type) => fleet.countDevices(index, type),
    malformed = null,
  }: { now: number; count?: (type: DeviceType) => number; malformed?: Malformation | null },
): unknown {
  if (malformed?.as === 'null') return null
  if (malformed?.as === 'string') return 'user could not be serialized'
  const { seed } = fleet
  const profile = fleet.profile(index)
  const joinedAt = joinedAtOf(fleet, index)
  const flaw = fleet.userFlaw(index)
  const wasSeen = profile.is_onboarded === true
  const seenAgo = flaw === 'inactive' ? 700 * dayMs : (hash(seed, ask.joined, index) % 20) * dayMs
  const { zip_code: zip, country, ...rest } = profile
  const record: JsonRecord = {
    id: fleet.userId(index),
    organization_id: fleet.organizationId,
    ...rest,
    // An old shape loses the leading zeros of a postcode, which is why it must not be trusted.
    zip_code:
      zip !== null && /^\d+$/.test(zip) && fleet.prefersOld(ask.zipNumber, index, 0.2) ? Number(zip) : zip,
    [fleet.prefersOld(ask.countryName, index, 0.2) ? 'country_iso2' : 'country']: country,
    location_last_updated: profile.latitude === null ? null : instant(joinedAt),
    last_login: wasSeen ? instant(Math.max(Math.floor(now / hourMs) * hourMs - seenAgo, joinedAt)) : null,
    joined_at: instant(joinedAt),
  }
  if (fleet.healthy || !fleet.prefersOld(ask.counts, index, 0.15)) {
    record['num_heat_pumps'] = count('heat_pump')
    record['num_electric_vehicles'] = count('electric_vehicle')
    record['num_inverters'] = count('inverter')
    record['num_wallboxes'] = count('wallbox')
  }
  const deletedAt = fleet.userDeletedAt(index)
  if (deletedAt !== null) record['deleted_at'] = instant(deletedAt)
  if (malformed?.field !== undefined) record[malformed.field] = malformed.value
  return record
}

function joinedAtOf(fleet: Fleet, userIndex: number): number {
  return (
    fleet.userCreatedAt(userIndex) ?? joinedFrom + (hash(fleet.seed, ask.joined, userIndex) % 700) * dayMs
  )
}

/** Whether the list answer for this user and type carries `actions`: documented either way. */
export function listCarriesActions(fleet: Fleet, userIndex: number, type: DeviceType): boolean {
  return !fleet.prefersOld(ask.listActions, userIndex * 4 + typeNumber[type], 0.5)
}

const typeNumber: Readonly<Record<DeviceType, number>> = {
  heat_pump: 0,
  electric_vehicle: 1,
  inverter: 2,
  wallbox: 3,
}

/** A device as an answer shows it; null or a string where `malformed` says so. */
export function deviceRecord(
  fleet: Fleet,
  device: SimulatedDevice,
  {
    now,
    links,
    withActions,
    deletedAt = null,
    malformed = null,
  }: {
    now: number
    links: LinkIssuer
    withActions: boolean
    /** Set where a fault says that the device is deleted. */
    deletedAt?: number | null
    malformed?: Malformation | null
  },
): unknown {
  if (malformed?.as === 'null') return null
  if (malformed?.as === 'string') return 'device could not be serialized'
  const condition = fleet.condition(device)
  const cues =
    condition.breakages.size === 0 && condition.outage === null ? [] : fleet.cues(device, condition)
  const syncedAt = lastSync(fleet, device, condition, now)
  const measured: Measured = { fleet, device, now, syncNumber: Math.floor(syncedAt / 60_000) }

  const record: JsonRecord = {
    ...commonFields(measured, condition, syncedAt),
    ...fieldsOfType[device.type](measured),
  }
  record['action_needed'] = cues.length > 0
  if (withActions) {
    record['actions'] = cues.map((cue) => ({
      code: cue.code,
      resolution_link: links.resolutionLink(cue, device),
    }))
  }
  breakFields(record, device, condition)
  // Reality is untidy: now and then a field that nothing depends on is null or not there.
  if (!fleet.healthy && fraction(fleet.seed, ask.missing, device.index) < 0.1) leaveOut(record, device)
  Object.assign(record, condition.settings)
  const goneAt = condition.deletedAt ?? deletedAt
  if (goneAt !== null) record['deleted_at'] = instant(goneAt)
  if (malformed?.field !== undefined) record[malformed.field] = malformed.value

  if (!fleet.prefersOld(ask.names, device.index, 0.3)) return record
  const needsLogin = record['is_authenticated'] === false
  record['authorization_url'] = needsLogin ? links.authorizationUrl(device) : null
  return inOlderNames(record, fleet.prefersOld(ask.syncName, device.index, 0.5))
}

/** What the fields of one device are made of. */
interface Measured {
  readonly fleet: Fleet
  readonly device: SimulatedDevice
  readonly now: number
  /** Changes with each sync, and the measurements with it. */
  readonly syncNumber: number
}

/** Between two numbers, another one with each sync, to one decimal. */
function wobble({ fleet, device, syncNumber }: Measured, question: number, from: number, to: number): number {
  const part = fraction(fleet.seed ^ question, device.index, syncNumber)
  return Math.round((from + part * (to - from)) * 10) / 10
}

/** Between two whole numbers, for ever the same for a device. */
function fixed({ fleet, device }: Measured, question: number, from: number, to: number): number {
  return from + (hash(fleet.seed, question, device.index) % (to - from + 1))
}

/** When the manufacturer's cloud last told something: each 5 to 14 minutes, each device at its own time. */
function lastSync(fleet: Fleet, device: SimulatedDevice, condition: DeviceCondition, now: number): number {
  const draw = hash(fleet.seed, ask.sync, device.index)
  const periodMs = 300_000 + (draw % 540_000)
  const offset = (draw >>> 4) % periodMs
  const lastBefore = (at: number): number => Math.floor((at - offset) / periodMs) * periodMs + offset
  const { breakages, outage } = condition
  const stale = breakages.get('stale_state')
  if (stale !== undefined) return lastBefore(stale.since - staleByMs)
  // Without a login nothing is fetched any more.
  const lost = breakages.get('unauthenticated') ?? outage
  return lastBefore(lost === null ? now : Math.min(lost.since, now))
}

function commonFields(measured: Measured, condition: DeviceCondition, syncedAt: number): JsonRecord {
  const { fleet, device, now } = measured
  const { seed } = fleet
  const { userIndex, index } = device
  const profile = fleet.profile(userIndex)
  const createdAt = fleet.addedAt(device) ?? joinedAtOf(fleet, userIndex)
  const isPaused = !fleet.healthy && hash(seed, ask.paused, index) % 40 === 0
  const authenticated = !condition.breakages.has('unauthenticated') && condition.outage === null
  return {
    id: device.id,
    external_device_id: `${device.manufacturer.name.slice(0, 3).toUpperCase()}-${index}`,
    owner: fleet.prefersOld(ask.ownerId, index, 0.3)
      ? fleet.userId(userIndex)
      : {
          id: fleet.userId(userIndex),
          email: profile.email,
          first_name: profile.first_name,
          last_name: profile.last_name,
          external_id: profile.external_user_id,
        },
    device_model: modelOf(measured),
    is_authenticated: authenticated,
    is_smart_optimization_active: !isPaused,
    is_trading_enabled: false,
    connection_status: authenticated ? 'ok' : 'warning',
    monitoring_status: 'ok',
    steering_status: 'ok',
    lifecycle_state: authenticated ? 'authenticated' : 'reauthentication_required',
    lifecycle_error: null,
    current_state_last_updated_at: instant(syncedAt),
    last_monitoring_executed_at: instant(Math.floor(now / 300_000) * 300_000),
    // A pause ends at the next midnight, over and over.
    pause_power_until: isPaused ? instant(Math.ceil((now + 1) / dayMs) * dayMs) : null,
    is_pause_power_active: isPaused,
    price_zone: places.find(({ country }) => country === profile.country)?.priceZone ?? 'AT',
    building: uuidOf(seed, 'building', userIndex),
    comment: null,
    created_at: instant(createdAt),
    updated_at: instant(condition.changedAt ?? syncedAt),
    deleted_at: null,
    optimization_score: fixed(measured, ask.size, 40, 98),
    actual_steering_state: isPaused ? 'unknown' : 'normal',
  }
}

function modelOf(measured: Measured): unknown {
  const { fleet, device } = measured
  const modelId = uuidOf(fleet.seed, 'model', hash(0, device.manufacturer.name.length, device.model.length))
  if (fleet.prefersOld(ask.model, device.index, 0.1)) return modelId
  if (fleet.shapes === 'mixed' && fleet.prefersOld(ask.noModel, device.index, 0.04)) return null
  const { short, long } = deviceTypeNames[device.type]
  return {
    manufacturer: device.manufacturer.name,
    model: device.model,
    year: fixed(measured, ask.year, 2016, 2025),
    device_type: { short_name: short, long_name: long },
    cloud_service: device.manufacturer.cloudService,
  }
}

const fieldsOfType: Readonly<Record<DeviceType, (measured: Measured) => JsonRecord>> = {
  heat_pump: (measured) => {
    const { fleet, device, now } = measured
    const away = !fleet.healthy && hash(fleet.seed, ask.paused, device.index) % 40 === 1
    return {
      minimum_temperature_limit: fixed(measured, 21, 18, 20),
      maximum_temperature_limit: fixed(measured, 22, 22, 25),
      minimum_dhw_temperature_limit: fixed(measured, 23, 40, 46),
      is_heating_policy_enabled: true,
      is_user_limits_enabled: true,
      optimization_level: ['Low', 'Mid', 'Max'][fixed(measured, 24, 0, 2)],
      current_mode: away ? 'min' : (['low', 'mid', 'max'][Math.floor(wobble(measured, 25, 0, 2.9))] ?? 'mid'),
      indoor_actual_temperature: wobble(measured, 26, 19.5, 22.5),
      dhw_temperature: wobble(measured, 27, 46, 54),
      outdoor_temperature: wobble(measured, 28, -4, 12),
      inlet_temperature: wobble(measured, 29, 28, 36),
      current_power_consumption_w: Math.round(wobble(measured, 30, 0, 3200)),
      away_mode_start: away ? instant(Math.floor(now / dayMs) * dayMs) : null,
      away_mode_end: away ? instant((Math.floor(now / dayMs) + 7) * dayMs) : null,
      is_away_mode_enabled: away,
    }
  },
  electric_vehicle: (measured) => {
    const level = Math.round(wobble(measured, 31, 25, 95))
    const plugged = wobble(measured, 32, 0, 1) < 0.6
    const charging = plugged && level < 80
    return {
      charge_target_min: fixed(measured, 33, 30, 50),
      charge_target_max: fixed(measured, 34, 80, 100),
      minimum_charge_limit: fixed(measured, 35, 10, 25),
      charge_deadline_at: plugged
        ? instant(Math.ceil((measured.now + 1) / dayMs) * dayMs + 7 * hourMs)
        : null,
      is_charge_policy_enabled: true,
      current_mode: 'mid',
      battery_level: level,
      is_plugged_in: plugged,
      is_charging: charging,
      is_fully_charged: false,
      charge_rate_w: charging ? 11_000 : 0,
      boost_state: charging ? 'unavailable' : 'available',
    }
  },
  inverter: (measured) => {
    // Daylight in the middle of Europe, roughly, and nothing at night.
    const hour = (measured.now % dayMs) / hourMs
    const light = Math.max(0, Math.sin(((hour - 5) / 13) * Math.PI))
    const ratingKw = fixed(measured, 41, 5, 15)
    const production = Math.round(ratingKw * 1000 * light * wobble(measured, 42, 0.3, 0.9))
    const consumption = Math.round(wobble(measured, 43, 180, 2800))
    const hasBattery = measured.fleet.healthy || fixed(measured, 44, 0, 3) > 0
    const battery = hasBattery ? Math.round(wobble(measured, 45, -2000, 2000)) : 0
    return {
      min_battery_charge: hasBattery ? fixed(measured, 46, 5, 20) : null,
      max_battery_charge: hasBattery ? fixed(measured, 47, 90, 100) : null,
      is_battery_connected: hasBattery,
      battery_capacity_kwh: hasBattery ? fixed(measured, 48, 5, 16) : null,
      solar_power_rating_kw: ratingKw,
      current_mode: 'self_consumption',
      battery_charge_level_percent: hasBattery ? Math.round(wobble(measured, 49, 20, 95)) : null,
      current_solar_production_w: production,
      household_consumption_w: consumption,
      current_power_to_grid_w: production - consumption - battery,
      battery_charge_discharge_power_w: battery,
    }
  },
  wallbox: (measured) => {
    const plugged = wobble(measured, 51, 0, 1) < 0.5
    return {
      current_mode: 'mid',
      is_plugged_in: plugged,
      is_charging: plugged,
      charge_rate_w: plugged ? 11_000 : 0,
      boost_state: plugged ? 'unavailable' : 'available',
    }
  },
}

function breakFields(record: JsonRecord, device: SimulatedDevice, { breakages }: DeviceCondition): void {
  if (breakages.size === 0) return
  if (breakages.has('optimization_inactive')) {
    record['is_smart_optimization_active'] = false
    // Neither paused nor away: nobody asked for this.
    record['is_pause_power_active'] = false
    record['pause_power_until'] = null
    if (device.type === 'heat_pump') {
      record['is_away_mode_enabled'] = false
      record['away_mode_start'] = null
      record['away_mode_end'] = null
    }
  }
  if (breakages.has('connection_error')) record['connection_status'] = 'error'
  if (breakages.has('lifecycle_error')) {
    record['lifecycle_state'] = 'error'
    record['lifecycle_error'] = `${device.manufacturer.cloudService} refused the device (E-1204)`
  }
  if (breakages.has('contradictory_limits')) Object.assign(record, contradictions[device.type])
  if (breakages.has('battery_without_capacity')) {
    Object.assign(record, { is_battery_connected: true, battery_capacity_kwh: null })
  }
}

const contradictions: Readonly<Record<DeviceType, JsonRecord>> = {
  heat_pump: { minimum_temperature_limit: 24, maximum_temperature_limit: 20 },
  electric_vehicle: { charge_target_min: 90, charge_target_max: 60 },
  inverter: { min_battery_charge: 95, max_battery_charge: 30 },
  wallbox: {},
}

function leaveOut(record: JsonRecord, device: SimulatedDevice): void {
  switch (device.index % 5) {
    case 0:
      record['optimization_score'] = null
      break
    case 1:
      delete record['comment']
      break
    case 2:
      record['indoor_actual_temperature'] = null
      break
    case 3:
      record['monitoring_status'] = 'unknown'
      break
    default:
      delete record['last_monitoring_executed_at']
  }
}

/** `syncNameWithAt` chooses between the two older names of the moment of the last sync. */
function inOlderNames(record: JsonRecord, syncNameWithAt: boolean): JsonRecord {
  const renamed: JsonRecord = {}
  for (const [name, value] of Object.entries(record)) {
    if (name === 'current_state_last_updated_at') {
      renamed[syncNameWithAt ? 'charge_state_last_updated_at' : 'charge_state_last_updated'] = value
    } else {
      renamed[olderNames[name] ?? name] = value
    }
  }
  return renamed
}

/** A user's contracts: one with hourly prices until the end of tomorrow, unless the data are flawed. */
export function energyContracts(fleet: Fleet, userIndex: number, now: number): JsonRecord[] {
  const flaw = fleet.userFlaw(userIndex)
  // Whoever was created has none yet.
  if (flaw === 'no_contract' || fleet.profile(userIndex).is_onboarded !== true) return []
  const { seed } = fleet
  const firstPriceAt = Math.floor(now / dayMs) * dayMs - (flaw === 'outdated_contract' ? 40 * dayMs : 0)
  return [
    {
      id: uuidOf(seed, 'contract', userIndex),
      energy_contract_type: 'spot_hourly',
      energy_prices: Array.from({ length: 48 }, (_, hour) => ({
        price: Math.round(6 + fraction(seed, hour, userIndex % 97) * 2400) / 100,
        timestamp: instant(firstPriceAt + hour * hourMs),
      })),
      building: uuidOf(seed, 'building', userIndex),
      meter_id: `AT00${String(hash(seed, ask.meter, userIndex)).padStart(12, '0')}`,
      supplier: suppliers[hash(seed, ask.meter, userIndex) % suppliers.length],
      currency_energy_price: 'EUR',
      energy_price_includes_external_components: userIndex % 2 === 0,
    },
  ]
}
