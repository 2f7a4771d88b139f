// One walk: the list of all users, then every user's devices, each user handed on as soon as all of
// theirs is there. A fixed number of workers take the next user when they are free, so that one
// slow answer delays one worker.
//
//   read      the answer came and could be used
//   unread    it did not, for a reason; says nothing about the device
//   watched   has an alert, so its disappearance must be explained: asked for by its own id
//
// Nothing of a user is kept after it was handed on. It never decides what a reading means.

import { setImmediate as nextTurn } from 'node:timers/promises'
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
import { Malformed } from '../partner/json-array-stream.ts'
import { PartnerError } from '../partner/partner-error.ts'
import { readWatchedDevice } from './recheck.ts'
import { UserList } from './user-list.ts'

/** The devices and users that have alerts. */
export interface Watched {
  userIds(): Iterable<string>
  devicesOf(userId: string): readonly WatchedDevice[]
}

export interface WatchedDevice {
  readonly deviceType: DeviceType
  readonly deviceId: string
}

export interface WalkOptions {
  readonly client: PartnerClient
  readonly clock: Clock
  /** Ends the walk at any moment; it then rejects with the signal's reason. */
  readonly signal: AbortSignal
  /** Users that are read at once; each takes one request at a time. */
  readonly concurrency: number
  /** What the loaded rules read that costs more calls or memory. */
  readonly needs: { readonly energyContracts: boolean; readonly externalIdCounts: boolean }
  readonly watched: Watched
  readonly deviceTypes?: readonly DeviceType[]
  /** Each user once, in no fixed order; the worker goes on when it is done. If it fails, the walk does. */
  readonly onUser: (reading: UserReading) => void | Promise<void>
  /** Each thing that could not be read, as it happens, for counting. */
  readonly onUnread?: (unread: Unread) => void
  readonly progress?: (progress: { readonly done: number; readonly total: number }) => void
}

export interface Unread {
  readonly what: 'users' | 'user' | 'devices' | 'device' | 'energy_contracts'
  readonly reason: UnreadReason
  /** What is wrong with it, for the log; holds no id and no text of an answer. */
  readonly problem: string
}

export interface WalkReport {
  /** Why the user list could not be read: nothing was then. Null: it was. */
  readonly listRead: UnreadReason | null
  /** All that there are, read or not. */
  readonly users: number
  /** Users of whom at least one thing is unread, with those whose entry in the list was malformed. */
  readonly usersUnread: number
  readonly malformedUsers: number
  readonly devices: number
  /** A list that is unread counts for as many devices as the user is said to have, at least one. */
  readonly devicesUnread: number
  /** Of the clock, ms since 1970. */
  readonly startedAt: number
  readonly endedAt: number
  /** Watched, absent from the list, and deleted or unknown when asked for by id. */
  readonly goneUsers: readonly string[]
  /** Watched, absent from the list, and unread when asked for by id: nothing was handed on of them. */
  readonly unreadWatchedUsers: readonly { readonly userId: string; readonly reason: UnreadReason }[]
}

const countFields = {
  heat_pump: 'num_heat_pumps',
  electric_vehicle: 'num_electric_vehicles',
  inverter: 'num_inverters',
  wallbox: 'num_wallboxes',
} as const satisfies Record<DeviceType, keyof User>

const listAttempts = 3
const listRetryMs = 2_000
// Users without devices, or with an open breaker, take no turn of the event loop by themselves.
const usersPerTurn = 32
const noneWatched: readonly WatchedDevice[] = []

export async function walk(options: WalkOptions): Promise<WalkReport> {
  const { client, clock, signal, needs, watched, concurrency } = options
  const types = options.deviceTypes ?? allDeviceTypes
  const startedAt = clock.now()
  const report = {
    listRead: null as UnreadReason | null,
    users: 0,
    usersUnread: 0,
    malformedUsers: 0,
    devices: 0,
    devicesUnread: 0,
    startedAt,
    endedAt: startedAt,
    goneUsers: [] as string[],
    unreadWatchedUsers: [] as { userId: string; reason: UnreadReason }[],
  }
  const unread = (what: Unread['what'], reason: UnreadReason, problem: string) =>
    options.onUnread?.({ what, reason, problem })

  const list = await readUserList()
  if (list !== null) {
    report.users = list.size + report.malformedUsers
    const listedAt = clock.now()
    let done = 0
    await inParallel(list.users(), async (user) => {
      await handOn(user, listedAt)
      done++
      options.progress?.({ done, total: list.size })
    })
    await inParallel(missingUsers(list).values(), (userId) => lookForUser(userId))
  }
  return { ...report, endedAt: clock.now() }

  /** Begins anew when the list breaks off in the middle; null when it cannot be read. */
  async function readUserList(): Promise<UserList | null> {
    for (let attempt = 1; ; attempt++) {
      const seed = Math.floor(clock.random() * 2 ** 32)
      const list = new UserList({ countExternalIds: needs.externalIdCounts, seed })
      const malformed: Malformed[] = []
      try {
        for await (const user of client.users(signal)) {
          if (user instanceof Malformed) malformed.push(user)
          else if (!list.add(user)) malformed.push(new Malformed('an id that was in the list before'))
        }
        for (const { reason } of malformed) unread('user', 'malformed', reason)
        report.malformedUsers = malformed.length
        report.usersUnread = malformed.length
        return list
      } catch (error) {
        if (!(error instanceof PartnerError)) throw error
        // A call that fails at its beginning has been tried again already.
        const brokeOff = list.size > 0 && (error.kind === 'network' || error.kind === 'timeout')
        if (!brokeOff || attempt === listAttempts) {
          unread('users', error.kind, error.message)
          report.listRead = error.kind
          return null
        }
      }
      await clock.sleep(listRetryMs * (attempt - clock.random() / 2), signal)
    }
  }

  /** Watched users that the list doesn't have; all at once, since what is watched changes meanwhile. */
  function missingUsers(list: UserList): readonly string[] {
    const missing: string[] = []
    for (const userId of watched.userIds()) if (!list.has(userId)) missing.push(userId)
    return missing
  }

  async function lookForUser(userId: string): Promise<void> {
    const found = await attempt(() => client.user(userId, signal))
    if (found === null || (found instanceof PartnerError && found.kind === 'not_found')) {
      report.goneUsers.push(userId)
      return
    }
    report.users++
    if (found instanceof PartnerError) {
      unread('user', found.kind, found.message)
      report.usersUnread++
      report.unreadWatchedUsers.push({ userId, reason: found.kind })
    } else await handOn(found, clock.now())
  }

  async function handOn(user: User, observedAt: number): Promise<void> {
    const reading = await readUser(user, observedAt)
    await options.onUser(reading)
  }

  /** All of one user. Never rejects because of the partner. */
  async function readUser(user: User, observedAt: number): Promise<UserReading> {
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
          report.devicesUnread += Math.max(1, count ?? 1)
          isWhole = false
          continue
        }
        hasMalformed = list.malformed.length > 0
        for (const { reason } of list.malformed) unread('device', 'malformed', reason)
        report.devicesUnread += list.malformed.length
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
          report.devicesUnread++
          isWhole = false
        } else if (found.kind === 'absent') absent.push({ deviceType, deviceId, state: found.state })
        // It may be the entry that could not be used; else it is missing, whatever it says of itself.
        else if (hasMalformed) devices.push(found.reading)
        else absent.push({ deviceType, deviceId, state: 'missing' })
      }
    }

    const contracts = await readContracts(user.id)
    if (contracts.reason !== null) isWhole = false
    report.devices += devices.length
    if (!isWhole) report.usersUnread++
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

  /**
   * Hands each item to one of `concurrency` workers. The first failure ends it: no item is begun
   * after that, and it is not over before what was begun has ended.
   */
  async function inParallel<T>(items: Iterator<T>, work: (item: T) => Promise<void>): Promise<void> {
    const failures: unknown[] = []
    async function worker(): Promise<void> {
      try {
        for (let taken = 1; failures.length === 0; taken++) {
          if (signal.aborted) throw signal.reason
          const next = items.next()
          if (next.done) return
          await work(next.value)
          if (taken % usersPerTurn === 0) await nextTurn()
        }
      } catch (error) {
        failures.push(error)
      }
    }
    await Promise.all(Array.from({ length: Math.max(1, concurrency) }, worker))
    if (failures.length > 0) throw failures[0]
  }
}

function needsDetails({ device }: DeviceReading): boolean {
  return device.actions === null && (device.action_needed === true || device.is_authenticated === false)
}

/** What a call gives, or the partner's failure as a value. Anything else is thrown. */
async function attempt<T>(call: () => Promise<T>): Promise<T | PartnerError> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof PartnerError) return error
    throw error
  }
}
