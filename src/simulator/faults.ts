// What can be made to go wrong in the simulated API, switched on and off at any moment.
//
// A *request fault* spoils the answer to a request (status, rate limit, HTML, truncated, slow, hanging,
// cut); a *data fault* changes what an intact answer says (users and devices that vanish, are deleted
// or malformed, another shape of the user list, a manufacturer outage, expired tokens). `share` picks
// requests by (seed, number of the request) and users or devices by (seed, index), so a run can be
// repeated, and a user who vanished stays away until the fault is off. This file decides, it sends
// nothing: server.ts and api.ts ask it.

import { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { Fleet, SimulatedDevice } from './fleet.ts'
import { fraction } from './hash.ts'

const share = z.number().min(0).max(1).default(1)

const pathPattern = z.union([z.instanceof(RegExp), z.string()]).transform((pattern, context) => {
  try {
    return new RegExp(pattern)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    context.addIssue({ code: 'custom', message: `is no regular expression: ${reason}` })
    return z.NEVER
  }
})

/** Which requests: all, but for what is said here. `times`: switched off after so many. */
const requestTarget = {
  share,
  path: pathPattern.optional(),
  method: z.enum(['GET', 'POST', 'PUT']).optional(),
  users: z.array(z.string()).optional(),
  times: z.int().positive().optional(),
}

/** Which users (or their devices, or just some of these): all, but for what is said here. */
const userTarget = { share, users: z.array(z.string()).optional() }
const deviceTarget = { ...userTarget, devices: z.array(z.string()).optional() }

/**
 * How a record is malformed: null in its place, a string in its place, or one field of a wrong type.
 * `field` is a name of the current spelling; `value` is what stands there (default: an object).
 */
const malformation = {
  as: z.enum(['null', 'string', 'field']).default('null'),
  field: z.string().optional(),
  value: z.json().default({ unexpected: true }),
}

export const Fault = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('status'),
      status: z.int().min(400).max(599),
      body: z.enum(['json', 'html']).default('json'),
      ...requestTarget,
    }),
    z.strictObject({
      kind: z.literal('rate_limit'),
      retryAfter: z.enum(['seconds', 'date', 'none']).default('seconds'),
      retryAfterSeconds: z.number().min(0).default(1),
      ...requestTarget,
    }),
    /** An HTML page with status 200, as from a proxy or a login wall. */
    z.strictObject({ kind: z.literal('html'), ...requestTarget }),
    z.strictObject({ kind: z.literal('truncated_json'), ...requestTarget }),
    /** The body drips for `durationMs` of real time. */
    z.strictObject({
      kind: z.literal('slow_body'),
      durationMs: z.number().positive().default(30_000),
      ...requestTarget,
    }),
    /** Never answers, until the client gives up or the simulator closes. */
    z.strictObject({ kind: z.literal('hang'), ...requestTarget }),
    z.strictObject({
      kind: z.literal('cut'),
      when: z.enum(['before_headers', 'in_body']).default('in_body'),
      ...requestTarget,
    }),
    /** All tokens issued so far are void for ever; a fixed token is void until the fault is off. */
    z.strictObject({ kind: z.literal('expired_tokens') }),
    /** Absent from the list, 404 by id and for their devices. */
    z.strictObject({ kind: z.literal('vanished_users'), ...userTarget }),
    /** Absent from the list, 404 by id, but with `include_deleted=true` the record with `deleted_at`. */
    z.strictObject({ kind: z.literal('deleted_devices'), ...deviceTarget }),
    /** Absent from the list, 404 by id whatever is asked; the user's counts still include them. */
    z.strictObject({ kind: z.literal('missing_devices'), ...deviceTarget }),
    z.strictObject({ kind: z.literal('malformed_users'), ...malformation, ...userTarget }),
    z.strictObject({ kind: z.literal('malformed_devices'), ...malformation, ...deviceTarget }),
    /** `{items, total}` in place of an array: whole, or by `limit`/`offset` with at most `pageSize`. */
    z.strictObject({ kind: z.literal('paged_users'), pageSize: z.int().positive().optional() }),
    /** Every device of the manufacturer has lost its connection. */
    z.strictObject({ kind: z.literal('manufacturer_outage'), manufacturer: z.string().min(1) }),
  ])
  .refine((fault) => !('as' in fault) || fault.as !== 'field' || fault.field !== undefined, {
    message: 'as: "field" needs the name of the field',
    path: ['field'],
  })

export type Fault = z.output<typeof Fault>
/** A fault as it is written: everything that has a default may be left out. */
export type FaultInput = z.input<typeof Fault>

export type RequestFault = Extract<Fault, { times?: unknown }>
type UserFault = Extract<Fault, { kind: 'vanished_users' | 'malformed_users' }>
type DeviceFault = Extract<Fault, { devices?: unknown }>
export type Malformation = Pick<Extract<Fault, { kind: 'malformed_users' }>, 'as' | 'field' | 'value'>

export interface ActiveFault {
  readonly number: number
  readonly fault: Fault
  /** Requests or records that it has spoilt so far; 0 for the kinds that spoil nothing by themselves. */
  readonly hits: number
  off(): void
}

/** A fault that cannot be: its text says what is wrong with which part. */
export class FaultError extends Error {
  override readonly name = 'FaultError'
  readonly kind = 'bad_fault'
}

export type Faults = ReturnType<typeof createFaults>

interface Entry {
  readonly number: number
  readonly fault: Fault
  readonly users: ReadonlySet<number> | null
  readonly devices: ReadonlySet<number> | null
  hits: number
  release: () => void
}

export function createFaults({ fleet, clock, seed }: { fleet: Fleet; clock: Clock; seed: number }) {
  const active = new Map<number, Entry>()
  // Kept by what they spoil, since a benchmark asks for each of thousands of requests a second.
  let requestEntries: (Entry & { fault: RequestFault })[] = []
  let userEntries: (Entry & { fault: UserFault })[] = []
  let deviceEntries: (Entry & { fault: DeviceFault })[] = []
  let added = 0
  let tokenGeneration = 0

  /** Switches a fault on. Throws a FaultError when it is none, or names a user or device that isn't. */
  function add(input: FaultInput): ActiveFault {
    const parsed = Fault.safeParse(input)
    if (!parsed.success) throw new FaultError(`this is no fault: ${z.prettifyError(parsed.error)}`)
    const fault = parsed.data
    const entry: Entry = {
      number: ++added,
      fault,
      users: 'users' in fault ? usersNamed(fault.users) : null,
      devices: 'devices' in fault ? devicesNamed(fault.devices) : null,
      hits: 0,
      release: () => {},
    }
    if (fault.kind === 'expired_tokens') tokenGeneration++
    if (fault.kind === 'manufacturer_outage') {
      entry.release = fleet.startOutage(fault.manufacturer, clock.now())
    }
    active.set(entry.number, entry)
    sort()
    return handle(entry)
  }

  function handle(entry: Entry): ActiveFault {
    return {
      number: entry.number,
      fault: entry.fault,
      get hits() {
        return entry.hits
      },
      off: () => off(entry.number),
    }
  }

  /** Switches a fault off by its number; true if it was on. */
  function off(number: number): boolean {
    const entry = active.get(number)
    if (entry === undefined) return false
    active.delete(number)
    entry.release()
    sort()
    return true
  }

  function clear(): void {
    for (const number of [...active.keys()]) off(number)
  }

  function sort(): void {
    const entries = [...active.values()]
    requestEntries = entries.filter((entry): entry is Entry & { fault: RequestFault } =>
      requestKinds.has(entry.fault.kind),
    )
    userEntries = entries.filter((entry): entry is Entry & { fault: UserFault } =>
      userKinds.has(entry.fault.kind),
    )
    deviceEntries = entries.filter((entry): entry is Entry & { fault: DeviceFault } =>
      deviceKinds.has(entry.fault.kind),
    )
  }

  function usersNamed(ids: readonly string[] | undefined): ReadonlySet<number> | null {
    if (ids === undefined) return null
    return new Set(
      ids.map((id) => {
        const index = fleet.userIndex(id)
        if (index === null) throw new FaultError(`no user has the id "${id}"`)
        return index
      }),
    )
  }

  function devicesNamed(ids: readonly string[] | undefined): ReadonlySet<number> | null {
    if (ids === undefined) return null
    return new Set(
      ids.map((id) => {
        const device = fleet.device(id)
        if (device === null) throw new FaultError(`no device has the id "${id}"`)
        return device.index
      }),
    )
  }

  /** The fault that spoils this request, the one that was switched on first if several would. */
  function forRequest(request: {
    readonly method: string
    readonly path: string
    readonly userIndex: number | null
    /** Counts the requests of the run, from 1. */
    readonly number: number
  }): RequestFault | null {
    for (const entry of requestEntries) {
      const { fault, users } = entry
      if (fault.method !== undefined && fault.method !== request.method) continue
      if (fault.path !== undefined && !fault.path.test(request.path)) continue
      if (users !== null && (request.userIndex === null || !users.has(request.userIndex))) continue
      if (!isDrawn(entry, request.number)) continue
      entry.hits++
      if (fault.times !== undefined && entry.hits >= fault.times) off(entry.number)
      return fault
    }
    return null
  }

  function isDrawn(entry: Entry & { fault: { share: number } }, index: number): boolean {
    const { share: wanted } = entry.fault
    return wanted >= 1 || fraction(seed, entry.number, index) < wanted
  }

  function hitsUser(entry: Entry & { fault: UserFault }, index: number): boolean {
    if (entry.users !== null && !entry.users.has(index)) return false
    if (!isDrawn(entry, index)) return false
    entry.hits++
    return true
  }

  function hitsDevice(entry: Entry & { fault: DeviceFault }, device: SimulatedDevice): boolean {
    if (entry.users !== null && !entry.users.has(device.userIndex)) return false
    if (entry.devices !== null && !entry.devices.has(device.index)) return false
    if (!isDrawn(entry, device.index)) return false
    entry.hits++
    return true
  }

  function isVanished(userIndex: number): boolean {
    return userEntries.some((entry) => entry.fault.kind === 'vanished_users' && hitsUser(entry, userIndex))
  }

  /** Whether the partner still tells of a device, and if not, what it says when asked by id. */
  function presence(device: SimulatedDevice): 'present' | 'deleted' | 'missing' {
    for (const entry of deviceEntries) {
      if (entry.fault.kind === 'malformed_devices' || !hitsDevice(entry, device)) continue
      return entry.fault.kind === 'deleted_devices' ? 'deleted' : 'missing'
    }
    return 'present'
  }

  function malformedUser(userIndex: number): Malformation | null {
    for (const entry of userEntries) {
      if (entry.fault.kind === 'malformed_users' && hitsUser(entry, userIndex)) return entry.fault
    }
    return null
  }

  function malformedDevice(device: SimulatedDevice): Malformation | null {
    for (const entry of deviceEntries) {
      if (entry.fault.kind === 'malformed_devices' && hitsDevice(entry, device)) return entry.fault
    }
    return null
  }

  /** How the user list is paged: null not at all, else the largest page (Infinity: whole). */
  function userPageSize(): number | null {
    for (const { fault } of active.values()) {
      if (fault.kind === 'paged_users') return fault.pageSize ?? Number.POSITIVE_INFINITY
    }
    return null
  }

  return {
    add,
    off,
    clear,
    list: (): ActiveFault[] => [...active.values()].map(handle),
    forRequest,
    isVanished,
    presence,
    malformedUser,
    malformedDevice,
    userPageSize,
    /** False spares a million users the question for each of their devices. */
    get touchesDevices(): boolean {
      return deviceEntries.length > 0
    },
    /** Counts the revocations of tokens: one issued under another number is void. */
    get tokenGeneration(): number {
      return tokenGeneration
    },
    get isFixedTokenVoid(): boolean {
      return [...active.values()].some(({ fault }) => fault.kind === 'expired_tokens')
    },
  }
}

const requestKinds: ReadonlySet<Fault['kind']> = new Set<RequestFault['kind']>([
  'status',
  'rate_limit',
  'html',
  'truncated_json',
  'slow_body',
  'hang',
  'cut',
])
const userKinds: ReadonlySet<Fault['kind']> = new Set<UserFault['kind']>([
  'vanished_users',
  'malformed_users',
])
const deviceKinds: ReadonlySet<Fault['kind']> = new Set<DeviceFault['kind']>([
  'deleted_devices',
  'missing_devices',
  'malformed_devices',
])
