// The simulated fleet: which users there are, which devices they have, and what is wrong with them.
//
// Everything is derived from (seed, index) when it is asked for, so a million users cost nothing. What
// was changed since (a device that broke, was reconnected, edited or deleted; a user who was created)
// lies in two small maps on top, and an entry goes away again when it says nothing any more. Pure: the
// moment of a change is an argument. How a user or device looks in an answer is records.ts.
//
// Terms: an *index* numbers a user; a *slot* numbers the devices of a user; a *breakage* is one thing
// that is wrong with a device; a *cue* is the partner's word for a pending action that can be resolved.

import type { DeviceType } from '../fleet/device.ts'
import { households, type Manufacturer, manufacturers, otherActionCodes } from './catalogue.ts'
import { fraction, hash, indexOfUuid, pick, uuidOf } from './hash.ts'
import { createUsers } from './users.ts'

/** Which of the documented shapes answers have; `mixed` varies by user and device. */
export type Shapes = 'mixed' | 'current' | 'old'

export interface FleetOptions {
  readonly seed: number
  readonly users: number
  /** Default `mixed`. */
  readonly shapes?: Shapes
  /** Nothing broken, nothing missing, and exactly one heat pump, one vehicle and one inverter each. */
  readonly healthy?: boolean
  /** Share (0 … 1) of devices that are broken, and of users whose data lack something, from the start. Default 0.02. */
  readonly flawedShare?: number
  /** Since when (ms since 1970) the initially broken devices are. Default: the start of 2026. */
  readonly startedAt?: number
}

export const breakageKinds = [
  'unauthenticated',
  'unknown_action',
  'optimization_inactive',
  'connection_error',
  'lifecycle_error',
  'contradictory_limits',
  'stale_state',
  'battery_without_capacity',
] as const
export type BreakageKind = (typeof breakageKinds)[number]

export interface SimulatedDevice {
  /** Unique in the fleet: user index × 8 + slot. */
  readonly index: number
  readonly userIndex: number
  readonly slot: number
  readonly type: DeviceType
  readonly id: string
  readonly manufacturer: Manufacturer
  readonly model: string
}

export interface Breakage {
  readonly since: number
  /** Distinguishes this run from earlier ones of the same kind: the id of its cue changes with it. */
  readonly episode: number
}

/** What differs from a healthy device at the moment. */
export interface DeviceCondition {
  readonly breakages: ReadonlyMap<BreakageKind, Breakage>
  /** Fields that somebody set by PUT, in the current spelling. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly deletedAt: number | null
  readonly changedAt: number | null
  /** Since when the manufacturer's cloud refuses everybody, null while it works. */
  readonly outage: Breakage | null
}

/** An action that is pending on a device, and how it was asked for. */
export interface Cue {
  readonly id: string
  readonly code: string
  readonly cause: BreakageKind | 'outage'
  readonly since: number
}

export type Fleet = ReturnType<typeof createFleet>

const slotsPerUser = 8
const maximumUsers = 2 ** 29 - 1_000_000
const neverChanged: ReadonlyMap<BreakageKind, Breakage> = new Map()
const noSettings: Readonly<Record<string, unknown>> = {}
const defaultStart = Date.UTC(2026, 0, 1)

// One number per question, so that the answers are independent of each other.
const ask = {
  household: 1,
  broken: 4,
  breakage: 5,
  manufacturer: 6,
  model: 7,
  actionCode: 14,
  addition: 15,
} as const

interface DeviceState {
  breakages: Map<BreakageKind, Breakage>
  settings: Readonly<Record<string, unknown>>
  deletedAt: number | null
  changedAt: number | null
}

/** Which breakages a device of this type can have. */
export function breakageKindsOf(type: DeviceType): readonly BreakageKind[] {
  return breakageKinds.filter((kind) => {
    if (kind === 'contradictory_limits') return type !== 'wallbox'
    if (kind === 'battery_without_capacity') return type === 'inverter'
    return true
  })
}

/** The fields by which a breakage of a kind shows, so that setting one anew takes an older PUT back. */
const fieldsOfBreakage: Readonly<Record<BreakageKind, readonly string[]>> = {
  unauthenticated: [],
  unknown_action: [],
  optimization_inactive: ['is_smart_optimization_active', 'is_pause_power_active', 'is_away_mode_enabled'],
  connection_error: [],
  lifecycle_error: ['lifecycle_state', 'lifecycle_error'],
  contradictory_limits: [
    'minimum_temperature_limit',
    'maximum_temperature_limit',
    'charge_target_min',
    'charge_target_max',
    'min_battery_charge',
    'max_battery_charge',
  ],
  stale_state: [],
  battery_without_capacity: ['is_battery_connected', 'battery_capacity_kwh'],
}

/** Throws a RangeError when the numbers make no fleet. */
export function createFleet(options: FleetOptions) {
  const { seed, users, shapes = 'mixed', healthy = false, startedAt = defaultStart } = options
  const flawedShare = healthy ? 0 : (options.flawedShare ?? 0.02)
  if (!Number.isInteger(users) || users < 0 || users > maximumUsers) {
    throw new RangeError(`a fleet has 0 to ${maximumUsers} users, not ${users}`)
  }
  if (!Number.isInteger(seed)) throw new RangeError(`a seed is a whole number, not ${seed}`)
  if (!(flawedShare >= 0 && flawedShare <= 1)) {
    throw new RangeError(`flawedShare is a share between 0 and 1, not ${flawedShare}`)
  }

  const people = createUsers({ seed, users, healthy, flawedShare })
  const addedDevices = new Map<number, { readonly type: DeviceType; readonly at: number }[]>()
  const deviceStates = new Map<number, DeviceState>()
  const outages = new Map<string, { breakage: Breakage; holders: number }>()
  let episodes = 0

  const draw = (question: number, index: number): number => hash(seed, question, index)
  const chance = (question: number, index: number): number => fraction(seed, question, index)

  // --- devices ---------------------------------------------------------------------------------

  /** The types of a user's devices in the order of their slots, deleted devices included. */
  function deviceTypesOf(index: number): readonly DeviceType[] {
    const derived = index >= users ? [] : healthy ? healthyHousehold : derivedHousehold(index)
    const added = addedDevices.get(index)
    return added === undefined || added.length === 0
      ? derived
      : [...derived, ...added.map(({ type }) => type)]
  }

  function derivedHousehold(index: number): readonly DeviceType[] {
    return pick(households, draw(ask.household, index))
  }

  /** All devices of a user, or those of one type; deleted ones are among them. */
  function devices(index: number, type?: DeviceType): SimulatedDevice[] {
    const found: SimulatedDevice[] = []
    const types = deviceTypesOf(index)
    for (let slot = 0; slot < types.length; slot++) {
      const typeOfSlot = types[slot]
      if (typeOfSlot !== undefined && (type === undefined || typeOfSlot === type)) {
        found.push(deviceAt(index, slot, typeOfSlot))
      }
    }
    return found
  }

  function deviceAt(userIndexOfDevice: number, slot: number, type: DeviceType): SimulatedDevice {
    const index = userIndexOfDevice * slotsPerUser + slot
    const manufacturer = pick(manufacturers[type], draw(ask.manufacturer, index))
    return {
      index,
      userIndex: userIndexOfDevice,
      slot,
      type,
      id: uuidOf(seed, 'device', index),
      manufacturer,
      model: pick(manufacturer.models, draw(ask.model, index)),
    }
  }

  /** The device that an id names, null when there is none. Deleted devices are found. */
  function device(id: string): SimulatedDevice | null {
    const index = indexOfUuid(seed, 'device', id)
    if (index === null) return null
    const owner = Math.floor(index / slotsPerUser)
    const type = owner < people.userCount ? deviceTypesOf(owner)[index % slotsPerUser] : undefined
    if (type === undefined) return null
    const found = deviceAt(owner, index % slotsPerUser, type)
    return found.id === id ? found : null
  }

  /** What was wrong with the device before anything happened to it. */
  function initialBreakage(of: SimulatedDevice): BreakageKind | null {
    if (chance(ask.broken, of.index) >= flawedShare) return null
    // A device that was connected during this run starts well.
    if (of.userIndex >= users || addedAt(of) !== null) return null
    const kinds = breakageKindsOf(of.type)
    // Half of them lost their connection, as that is what happens most.
    const question = draw(ask.breakage, of.index)
    return question % 2 === 0 ? 'unauthenticated' : pick(kinds, question >>> 1)
  }

  function condition(of: SimulatedDevice): DeviceCondition {
    const state = deviceStates.get(of.index)
    const outage = outages.get(of.manufacturer.name)?.breakage ?? null
    if (state !== undefined) return { ...state, outage }
    const initial = initialBreakage(of)
    return {
      breakages: initial === null ? neverChanged : new Map([[initial, { since: startedAt, episode: 0 }]]),
      settings: noSettings,
      deletedAt: null,
      changedAt: addedAt(of),
      outage,
    }
  }

  /** When the device was connected during this run, null when it was there from the start. */
  function addedAt(of: SimulatedDevice): number | null {
    const added = addedDevices.get(of.userIndex)
    if (added === undefined || added.length === 0) return null
    return added[of.slot - (deviceTypesOf(of.userIndex).length - added.length)]?.at ?? null
  }

  function stateOfDevice(of: SimulatedDevice): DeviceState {
    let state = deviceStates.get(of.index)
    if (state === undefined) {
      const { breakages, settings, deletedAt, changedAt } = condition(of)
      state = { breakages: new Map(breakages), settings, deletedAt, changedAt }
      deviceStates.set(of.index, state)
    }
    return state
  }

  /** So that a fleet which breaks and heals for weeks keeps only what is broken now. */
  function forgetIfAsDerived(of: SimulatedDevice): void {
    const state = deviceStates.get(of.index)
    if (state === undefined || state.breakages.size > 0 || state.deletedAt !== null) return
    if (state.settings === noSettings && initialBreakage(of) === null) deviceStates.delete(of.index)
  }

  /**
   * Breaks a device at `at` (ms since 1970). Answers the breakage, which is the running one when the
   * device was broken in this way already. Throws a RangeError for a kind that its type cannot have.
   */
  function breakDevice(of: SimulatedDevice, kind: BreakageKind, at: number): Breakage {
    const possible = breakageKindsOf(of.type)
    if (!possible.includes(kind)) {
      throw new RangeError(`a device of type ${of.type} cannot have "${kind}", only ${possible.join(', ')}`)
    }
    const state = stateOfDevice(of)
    const running = state.breakages.get(kind)
    if (running !== undefined) return running
    const breakage: Breakage = { since: at, episode: ++episodes }
    state.breakages.set(kind, breakage)
    state.settings = without(state.settings, fieldsOfBreakage[kind])
    return breakage
  }

  /** Takes back one kind of breakage, or all. True if there was something to heal. */
  function heal(of: SimulatedDevice, kind?: BreakageKind): boolean {
    const { breakages } = condition(of)
    if (kind === undefined ? breakages.size === 0 : !breakages.has(kind)) return false
    const state = stateOfDevice(of)
    if (kind === undefined) state.breakages.clear()
    else state.breakages.delete(kind)
    forgetIfAsDerived(of)
    return true
  }

  /** Sets fields as by PUT; `deleted_at` deletes the device (or, null, brings it back). */
  function changeDevice(of: SimulatedDevice, settings: Readonly<Record<string, unknown>>, at: number): void {
    const state = stateOfDevice(of)
    state.settings = { ...state.settings, ...settings }
    state.changedAt = at
  }

  function setDeviceDeleted(of: SimulatedDevice, deletedAt: number | null): void {
    stateOfDevice(of).deletedAt = deletedAt
    forgetIfAsDerived(of)
  }

  /** Connects a new device, as onboarding does. Null when the user has no slot left. */
  function addDevice(
    userIndexOfDevice: number,
    { type, at, settings = noSettings }: { type: DeviceType; at: number; settings?: Record<string, unknown> },
  ): SimulatedDevice | null {
    const slot = deviceTypesOf(userIndexOfDevice).length
    if (slot >= slotsPerUser) return null
    addedDevices.set(userIndexOfDevice, [...(addedDevices.get(userIndexOfDevice) ?? []), { type, at }])
    const added = deviceAt(userIndexOfDevice, slot, type)
    if (Object.keys(settings).length > 0) changeDevice(added, settings, at)
    return added
  }

  /** How many devices of a type a user record counts: those that are not deleted. */
  function countDevices(index: number, type: DeviceType): number {
    const types = deviceTypesOf(index)
    let count = 0
    for (let slot = 0; slot < types.length; slot++) {
      if (types[slot] !== type) continue
      const state = deviceStates.size === 0 ? undefined : deviceStates.get(index * slotsPerUser + slot)
      if (state === undefined || state.deletedAt === null) count++
    }
    return count
  }

  // --- outages and cues ------------------------------------------------------------------------

  /**
   * From now on the cloud of a manufacturer knows nobody, until every caller has called what it got.
   * Calling that twice does nothing.
   */
  function startOutage(manufacturer: string, at: number): () => void {
    const running = outages.get(manufacturer) ?? {
      breakage: { since: at, episode: ++episodes },
      holders: 0,
    }
    running.holders++
    outages.set(manufacturer, running)
    let ended = false
    return () => {
      if (ended) return
      ended = true
      running.holders--
      if (running.holders === 0) outages.delete(manufacturer)
    }
  }

  /** The actions that are pending on a device, in the order in which an answer lists them. */
  function cues(of: SimulatedDevice, { breakages, outage } = condition(of)): Cue[] {
    const pending: Cue[] = []
    const lost = breakages.get('unauthenticated')
    if (lost !== undefined) pending.push(cue(of, 'unauthenticated', lost, 'reauthenticate'))
    else if (outage !== null) pending.push(cue(of, 'outage', outage, 'reauthenticate'))
    const other = breakages.get('unknown_action')
    if (other !== undefined) {
      pending.push(cue(of, 'unknown_action', other, pick(otherActionCodes, draw(ask.actionCode, of.index))))
    }
    return pending
  }

  function cue(of: SimulatedDevice, cause: Cue['cause'], { episode, since }: Breakage, code: string): Cue {
    // Twice the episode, plus one bit for what caused it, numbers the cues of a device.
    const variant = episode * 2 + (cause === 'unknown_action' ? 1 : 0)
    return { id: uuidOf(seed, 'cue', of.index, variant), code, cause, since }
  }

  /** The pending action that an id names; null once it is resolved, or if there never was one. */
  function findCue(id: string): { readonly device: SimulatedDevice; readonly cue: Cue } | null {
    // The permutation of a cue's index doesn't depend on the variant, so any cue leads to its device.
    const index = indexOfUuid(seed, 'cue', id)
    if (index === null) return null
    const owner = Math.floor(index / slotsPerUser)
    const slot = index % slotsPerUser
    const type = owner < people.userCount ? deviceTypesOf(owner)[slot] : undefined
    if (type === undefined) return null
    const found = deviceAt(owner, slot, type)
    const pending = cues(found).find((candidate) => candidate.id === id)
    return pending === undefined ? null : { device: found, cue: pending }
  }

  /** True where the older of two documented shapes is to be used; `share` counts in a mixed fleet. */
  function prefersOld(question: number, index: number, share: number): boolean {
    if (shapes !== 'mixed') return shapes === 'old'
    return fraction(seed, ask.addition + question, index) < share
  }

  return {
    seed,
    healthy,
    shapes,
    organizationId: uuidOf(seed, 'organization', 0),
    /** Users, with those who were created since and those who were deleted. */
    get userCount(): number {
      return people.userCount
    },
    /** Entries that are kept because they differ from what the seed says: a measure of memory. */
    get changes(): number {
      return people.changes + addedDevices.size + deviceStates.size
    },
    userId: people.userId,
    userIndex: people.userIndex,
    userFlaw: people.userFlaw,
    profile: people.profile,
    findByExternalId: people.findByExternalId,
    findByEmail: people.findByEmail,
    changeUser: people.changeUser,
    createUser: people.createUser,
    userCreatedAt: people.userCreatedAt,
    deleteUser: people.deleteUser,
    userDeletedAt: people.userDeletedAt,
    deviceTypesOf,
    devices,
    device,
    condition,
    addedAt,
    breakDevice,
    heal,
    changeDevice,
    setDeviceDeleted,
    addDevice,
    countDevices,
    startOutage,
    cues,
    findCue,
    prefersOld,
  }
}

const healthyHousehold: readonly DeviceType[] = ['heat_pump', 'electric_vehicle', 'inverter']

function without(record: Readonly<Record<string, unknown>>, names: readonly string[]): typeof record {
  if (record === noSettings || !names.some((name) => name in record)) return record
  const rest = Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))
  return Object.keys(rest).length === 0 ? noSettings : rest
}
