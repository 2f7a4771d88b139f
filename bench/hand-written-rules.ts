// The shipped device rules as somebody would write them in TypeScript: what evaluation is measured
// against. They give true exactly where the rules do; the benchmark checks that for each device.

import type { Device } from '../src/fleet/device.ts'

export type Predicate = (device: Device, now: number) => boolean

const minuteMs = 60_000
const hourMs = 60 * minuteMs

const mayBeAuthenticated = (device: Device) => device.is_authenticated !== false

function isStale(device: Device, now: number, mostMs: number): boolean {
  return (
    device.current_state_last_updated_at !== null &&
    now - device.current_state_last_updated_at > mostMs &&
    device.is_authenticated === true &&
    device.connection_status !== 'error'
  )
}

function isOptimisationOff(device: Device, now: number): boolean {
  if (device.is_smart_optimization_active !== false || device.is_authenticated !== true) return false
  if (device.is_pause_power_active === true) return false
  if (device.pause_power_until !== null && device.pause_power_until > now) return false
  const isAway =
    device.is_away_mode_enabled ?? (device.away_mode_start !== null && device.away_mode_start <= now)
  return !(isAway && (device.away_mode_end === null || device.away_mode_end > now))
}

/** By the name of the alert. */
export const handWrittenRules: Readonly<Record<string, Predicate>> = {
  DeviceUnauthenticated: (device) => device.is_authenticated === false,
  DeviceActionPending: (device) =>
    (device.actions?.some((action) => action.code !== 'reauthenticate') ?? false) ||
    (mayBeAuthenticated(device) &&
      ((device.actions !== null && device.actions.length > 0) || device.action_needed === true)),
  DeviceConnectionError: (device) => device.connection_status === 'error' && mayBeAuthenticated(device),
  DeviceMonitoringError: (device) =>
    device.monitoring_status === 'error' &&
    mayBeAuthenticated(device) &&
    device.connection_status !== 'error',
  DeviceSteeringError: (device) =>
    device.steering_status === 'error' &&
    mayBeAuthenticated(device) &&
    device.connection_status !== 'error' &&
    device.monitoring_status !== 'error',
  DeviceLifecycleError: (device) => device.lifecycle_state === 'error' && mayBeAuthenticated(device),
  HeatPumpLimitsContradict: (device) =>
    device.minimum_temperature_limit !== null &&
    device.maximum_temperature_limit !== null &&
    device.minimum_temperature_limit > device.maximum_temperature_limit,
  VehicleChargeLimitsContradict: (device) =>
    device.charge_target_max !== null &&
    ((device.charge_target_min !== null && device.charge_target_min > device.charge_target_max) ||
      (device.minimum_charge_limit !== null && device.minimum_charge_limit > device.charge_target_max)),
  BatteryLimitsContradict: (device) =>
    device.is_battery_connected !== false &&
    device.min_battery_charge !== null &&
    device.max_battery_charge !== null &&
    device.min_battery_charge > device.max_battery_charge,
  BatteryWithoutCapacity: (device) =>
    device.is_battery_connected === true &&
    (device.battery_capacity_kwh === null || device.battery_capacity_kwh <= 0),
  HeatPumpStateStale: (device, now) => isStale(device, now, 3 * hourMs),
  InverterStateStale: (device, now) =>
    isStale(device, now, (device.is_battery_connected === true ? 3 : 48) * hourMs),
  VehicleStateStale: (device, now) => isStale(device, now, 168 * hourMs),
  WallboxStateStale: (device, now) => isStale(device, now, 48 * hourMs),
  OptimisationInactive: isOptimisationOff,
  OptimisationOffForDays: isOptimisationOff,
}
