// How a device is, in one word: the first of these that holds. For people; what alerts is for rules to say.

import type { Device } from '../fleet/device.ts'

export type DeviceHealth = 'disconnected' | 'action_pending' | 'error' | 'not_optimized' | 'unknown' | 'ok'

export const healthWords: Readonly<Record<DeviceHealth, string>> = {
  disconnected: 'lost its connection, the customer has to log in again',
  action_pending: 'waits for the customer',
  error: 'reports an error',
  not_optimized: 'connected, not optimised',
  unknown: 'nothing is known of its connection',
  ok: 'in order',
}

export function healthOf(device: Device): DeviceHealth {
  if (device.is_authenticated === false) return 'disconnected'
  if (device.action_needed === true || (device.actions ?? []).length > 0) return 'action_pending'
  const statuses = [device.connection_status, device.monitoring_status, device.steering_status]
  if (device.lifecycle_state === 'error' || statuses.includes('error')) return 'error'
  if (device.is_authenticated === null) return 'unknown'
  // The vehicle behind a wallbox is what is optimised.
  if (device.is_smart_optimization_active === false && device.type !== 'wallbox') return 'not_optimized'
  return 'ok'
}
