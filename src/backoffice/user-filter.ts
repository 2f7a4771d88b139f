// Which users somebody asks for. Pure; what the partner's list does not say is 'unknown', and then has to be
// read before it is decided.

import type { DeviceType } from '../fleet/device.ts'
import { deviceTypes } from '../fleet/device.ts'
import type { UserAccount } from '../fleet/user.ts'
import { folded } from './comparison.ts'

export interface UserFilter {
  /** Empty: any. */
  readonly roles: readonly string[]
  /** In an id, an address, a name or an e-mail address; null: any. */
  readonly text: string | null
  readonly country: string | null
  readonly deviceType: DeviceType | null
  readonly devices: 'with' | 'without' | null
  readonly withoutExternalId: boolean
  /** An alert about the user or a device of theirs fires. */
  readonly inTrouble: boolean
  readonly includeDeleted: boolean
}

export const everybody: UserFilter = {
  roles: [],
  text: null,
  country: null,
  deviceType: null,
  devices: null,
  withoutExternalId: false,
  inTrouble: false,
  includeDeleted: false,
}

/** How many devices of each type; null: the partner's list does not say. */
export type DeviceCounts = Readonly<Record<DeviceType, number | null>>

export function countsOf(account: UserAccount): DeviceCounts {
  return {
    heat_pump: account.num_heat_pumps,
    electric_vehicle: account.num_electric_vehicles,
    inverter: account.num_inverters,
    wallbox: account.num_wallboxes,
  }
}

/** Everything but the devices. `hasTrouble` is only asked when it matters. */
export function matches(account: UserAccount, filter: UserFilter, hasTrouble: () => boolean): boolean {
  if (filter.roles.length > 0 && !filter.roles.includes(account.role ?? '')) return false
  if (filter.country !== null && account.country?.toUpperCase() !== filter.country) return false
  if (filter.withoutExternalId && !isEmpty(account.external_user_id)) return false
  if (filter.inTrouble && !hasTrouble()) return false
  return filter.text === null || holds(account, folded(filter.text))
}

/** The types whose number decides and is not known; empty: `matchesDevices` can be asked. */
export function unknownCounts(counts: DeviceCounts, filter: UserFilter): readonly DeviceType[] {
  if (filter.devices === null && filter.deviceType === null) return []
  const wanted = filter.deviceType === null ? deviceTypes : [filter.deviceType]
  // One that is there decides, whatever the others are.
  if (wanted.some((type) => (counts[type] ?? 0) > 0)) return []
  return wanted.filter((type) => counts[type] === null)
}

export function matchesDevices(counts: DeviceCounts, filter: UserFilter): boolean {
  if (filter.devices === null && filter.deviceType === null) return true
  const wanted = filter.deviceType === null ? deviceTypes : [filter.deviceType]
  const hasAny = wanted.some((type) => (counts[type] ?? 0) > 0)
  return filter.devices === 'without' ? !hasAny : hasAny
}

function holds(account: UserAccount, text: string): boolean {
  // One after the other, with what parts them: nobody means the end of a name and the beginning of a street.
  return folded(
    [
      account.id,
      account.external_user_id,
      account.email,
      account.first_name,
      account.last_name,
      account.street_and_number,
      account.zip_code,
      account.town,
    ].join(' '),
  ).includes(text)
}

function isEmpty(text: string | null): boolean {
  return text === null || text === ''
}
