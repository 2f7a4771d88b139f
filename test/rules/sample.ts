// Devices, users and walks for the tests of rules: everything null but what a test says.

import { type Device, deviceFields } from '../../src/fleet/device.ts'
import { type User, userFields } from '../../src/fleet/user.ts'
import { type Walk, walkFields } from '../../src/fleet/walk.ts'
import type { DeviceScope } from '../../src/rules/rule.ts'

export const now = Date.parse('2026-03-01T12:00:00Z')

function nulls(table: object): Record<string, null> {
  return Object.fromEntries(Object.keys(table).map((name) => [name, null]))
}

export function device(fields: Partial<Device> = {}): Device {
  return {
    ...nulls(deviceFields),
    id: 'd1',
    type: 'heat_pump',
    manufacturer: 'Acme',
    model: 'unknown',
    actions: null,
    ...fields,
  } as Device
}

export function user(fields: Partial<User> = {}): User {
  return {
    ...nulls(userFields),
    id: 'u1',
    migration_step: null,
    migration_since: null,
    external_user_id_count: null,
    energy_contracts: null,
    ...fields,
  } as User
}

export function walk(fields: Partial<Walk> = {}): Walk {
  return { ...nulls(walkFields), ...fields } as Walk
}

export function scope(deviceFields: Partial<Device> = {}, userFields: Partial<User> = {}): DeviceScope {
  return { device: device(deviceFields), user: user(userFields), now }
}
