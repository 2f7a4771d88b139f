import type { Device, DeviceType } from './device.ts'
import type { User } from './user.ts'

/** Why something could not be read. It says nothing about the device. */
export type UnreadReason =
  | 'timeout'
  | 'network'
  | 'rate_limited'
  | 'server_error'
  | 'client_error'
  | 'unauthorized'
  | 'not_found'
  | 'bad_json'
  | 'too_large'
  | 'malformed'
  | 'circuit_open'

/** A device as it was at `observedAt` (ms since 1970), the moment its answer arrived. */
export interface DeviceReading {
  readonly device: Device
  readonly observedAt: number
}

/**
 * A part of a user's devices that could not be read. Without `deviceId`: the whole list of
 * `deviceType`. With it: that device alone (malformed in the list, or its own call failed).
 */
export interface UnreadDevices {
  readonly deviceType: DeviceType
  readonly deviceId: string | null
  readonly reason: UnreadReason
}

/** A device that has an alert and was not in a list that was read well. */
export interface AbsentDevice {
  readonly deviceType: DeviceType
  readonly deviceId: string
  /** `deleted`: the partner says so when asked by id. `missing`: it does not. */
  readonly state: 'deleted' | 'missing'
}

/** All that was read of one user in one go. */
export interface UserReading {
  readonly user: User
  /** When the user record was observed (ms since 1970): the list's arrival. */
  readonly observedAt: number
  /** When the last of the calls about the devices had ended: the moment of what is unread and absent. */
  readonly readAt: number
  readonly devices: readonly DeviceReading[]
  readonly unread: readonly UnreadDevices[]
  readonly absent: readonly AbsentDevice[]
  /** Why the contracts are null although a rule reads them; null when they were read or not asked. */
  readonly contractsUnread: UnreadReason | null
}
