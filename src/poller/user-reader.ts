// All that there is to read of one user: the lists of devices that the user is said to have, what stands
// only in a device's own answer, devices that are missing although they have an alert, energy contracts.
//
//   read      the answer came and could be used
//   unread    it did not, for a reason; says nothing about the device
//   watched   has an alert, so its disappearance must be explained: asked for by its own id

import type { Clock } from '../clock.ts'
import { deviceTypes as allDeviceTypes, type DeviceType } from '../fleet/device.ts'
import type {
  AbsentDevice,
  DeviceReading,
  UnreadDevices,
  UnreadReason,
  UserReading,
} from '../fleet/reading.ts'
import type { EnergyContract, User } from '../fleet/user.ts'
import type { PartnerClient } from '../partner/client.ts'
import { PartnerError } from '../partner/partner-error.ts'
import { inParallel } from './in-parallel.ts'
import { readWatchedDevice } from './recheck.ts'

export interface WatchedDevice {
  readonly deviceType: DeviceType
  readonly deviceId: string
}

export interface UserReaderOptions {
  readonly client: PartnerClient
  readonly clock: Clock
  /** Ends reading at any moment; it then rejects with the signal's reason. */
  readonly signal: AbortSignal
  /** What the loaded rules read that costs more calls or memory. */
  readonly needs: ReadingNeeds
  readonly watched: { devicesOf(userId: string): readonly WatchedDevice[] }
  readonly deviceTypes?: readonly DeviceType[]
  /** Each thing that could not be read, as it happens, for counting. */
  readonly onUnread?: (unread: Unread) => void
}

export interface ReadingNeeds {
  readonly energyContracts: boolean
  readonly externalIdCounts: boolean
}

export interface Unread {
  readonly what: 'users' | 'user' | 'devices' | 'device' | 'energy_contracts'
  readonly reason: UnreadReason
  /** What is wrong with it, for the log; holds no id and no text of an answer. */
  readonly problem: string
}

export interface ReadCounts {
  /** Users of whom at least one thing is unread. */
  readonly usersUnread: number
  readonly devices: number
  /** A list that is unread counts for as many devices as the user is said to have, at least one. */
  readonly devicesUnread: number
}

export interface UserReader {
  /** Never rejects because of the partner. */
  read(user: User, observedAt: number): Promise<UserReading>
  /** Of all that was read so far. */
  counts(): ReadCounts
}

const countFields = {
  heat_pump: 'num_heat_pumps',
  electric_vehicle: 'num_electric_vehicles',
  inverter: 'num_inverters',
  wallbox: 'num_wallboxes',
} as const satisfies Record<DeviceType, keyof User>
const noneWatched: readonly WatchedDevice[] = []

/** Reads some users, several at once, and hands each on; the first failure of `onUser` ends it. */
export async function readUsers(
  users: Iterator<User>,
  options: UserReaderOptions & {
    /** When the list arrived (ms since 1970). */
    readonly observedAt: number
    readonly concurrency: number
    readonly onUser: (reading: UserReading) => void | Promise<void>
  },
): Promise<ReadCounts> {
  const reader = createUserReader(options)
  await inParallel(users, options, async (user) =>
    options.onUser(await reader.read(user, options.observedAt)),
  )
  return reader.counts()
}

export function createUserReader(options: UserReaderOptions): UserReader {
  const { client, clock, signal, needs, watched } = options
  const types = options.deviceTypes ?? allDeviceTypes
  const counts = { usersUnread: 0, devices: 0, devicesUnread: 0 }
  const unread = (what: Unread['what'], reason: UnreadReason, problem: string) =>
    options.onUnread?.({ what, reason, problem })

  async function read(user: User, observedAt: number): Promise<UserReading> {
    const devices: DeviceReading[] = []
    const unreadDevices: UnreadDevices[] = []
    const absent: AbsentDevice[] = []
    let isWhole = true
    const watchedDevices = watched.devicesOf(user.id)

    for (const deviceType of types) {
      const count = user[countFields[deviceType]]
      const watchedHere =
        watchedDevices.length === 0
          ? noneWatched
          : watchedDevices.filter((device) => device.deviceType === deviceType)
      // Only a count that is there and 0 says that there is nothing to ask for.
      if (count === 0 && watchedHere.length === 0) continue

      const seen = new Set<string>()
      let hasMalformed = false
      if (count !== 0) {
        const list = await attempt(() => client.devices(user.id, deviceType, signal))
        if (list instanceof PartnerError) {
          unread('devices', list.kind, list.message)
          unreadDevices.push({ deviceType, deviceId: null, reason: list.kind })
          counts.devicesUnread += Math.max(1, count ?? 1)
          isWhole = false
          continue
        }
        hasMalformed = list.malformed.length > 0
        for (const { reason } of list.malformed) unread('device', 'malformed', reason)
        counts.devicesUnread += list.malformed.length
        if (hasMalformed) isWhole = false
        for (const listed of list.devices) {
          const reading = needsDetails(listed) ? await withDetails(user.id, listed) : listed
          if (reading.device.deleted_at !== null) continue
          seen.add(reading.device.id)
          devices.push(reading)
        }
      }

      for (const { deviceId } of watchedHere) {
        if (seen.has(deviceId)) continue
        const found = await readWatchedDevice({ client, userId: user.id, deviceType, deviceId, signal })
        if (found.kind === 'unread') {
          unread('device', found.reason, found.problem)
          unreadDevices.push({ deviceType, deviceId, reason: found.reason })
          counts.devicesUnread++
          isWhole = false
        } else if (found.kind === 'absent') absent.push({ deviceType, deviceId, state: found.state })
        // It may be the entry that could not be used; else it is missing, whatever it says of itself.
        else if (hasMalformed) devices.push(found.reading)
        else absent.push({ deviceType, deviceId, state: 'missing' })
      }
    }

    const contracts = await readContracts(user.id)
    if (contracts.reason !== null) isWhole = false
    counts.devices += devices.length
    if (!isWhole) counts.usersUnread++
    return {
      user: contracts.read === null ? user : { ...user, energy_contracts: contracts.read },
      observedAt,
      readAt: clock.now(),
      devices,
      unread: unreadDevices,
      absent,
      contractsUnread: contracts.reason,
    }
  }

  /** What is pending stands only in the device's own answer. Without it the list's word still holds. */
  async function withDetails(userId: string, listed: DeviceReading): Promise<DeviceReading> {
    const { type: deviceType, id: deviceId } = listed.device
    const detailed = await attempt(() => client.device({ userId, deviceType, deviceId }, signal))
    if (!(detailed instanceof PartnerError)) return detailed
    unread('device', detailed.kind, detailed.message)
    return listed
  }

  async function readContracts(
    userId: string,
  ): Promise<{ read: readonly EnergyContract[] | null; reason: UnreadReason | null }> {
    if (!needs.energyContracts) return { read: null, reason: null }
    const read = await attempt(() => client.energyContracts(userId, signal))
    if (!(read instanceof PartnerError)) return { read, reason: null }
    unread('energy_contracts', read.kind, read.message)
    return { read: null, reason: read.kind }
  }

  return { read, counts: () => ({ ...counts }) }
}

function needsDetails({ device }: DeviceReading): boolean {
  return device.actions === null && (device.action_needed === true || device.is_authenticated === false)
}

/** What a call gives, or the partner's failure as a value. Anything else is thrown. */
export async function attempt<T>(call: () => Promise<T>): Promise<T | PartnerError> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof PartnerError) return error
    throw error
  }
}
