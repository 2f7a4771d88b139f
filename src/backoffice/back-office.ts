// What staff do with users through us: list, look at, create, change, archive. Every change, and every look at a
// person's data, is in the trail; a change that the trail cannot take is not made.
//
// Terms: an *account* is a user's record as people see it; *archiving* is what the Partner API allows in the
// place of deleting, see `archive`. Changes of one user happen one after the other, and right before each the
// record is read again: what somebody else has changed meanwhile is told, not overwritten.
//
// It never hands out a resolution link of the partner's, a token or a password.

import type { Actor, RecordAudit } from '../actor.ts'
import { type Alert, isFiring } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import type { Clock } from '../clock.ts'
import { type Device, type DeviceType, deviceTypes } from '../fleet/device.ts'
import type { UnreadReason } from '../fleet/reading.ts'
import type { EnergyContract, UserAccount } from '../fleet/user.ts'
import type { PartnerClient } from '../partner/client.ts'
import { Malformed } from '../partner/json-array-stream.ts'
import { PartnerError } from '../partner/partner-error.ts'
import type { NewUser, UserDirectory, UserFields } from '../partner/user-directory.ts'
import { auditedChange } from './audited-change.ts'
import { createTurns } from './turns.ts'
import { changesOf, conflictsOf, type FieldChange, fieldsOf, type SeenFields } from './user-change.ts'
import { type CreationOutcome, createUserOnce } from './user-creation.ts'
import {
  countsOf,
  type DeviceCounts,
  matches,
  matchesDevices,
  type UserFilter,
  unknownCounts,
} from './user-filter.ts'

export interface BackOfficeOptions {
  readonly directory: UserDirectory
  readonly client: Pick<PartnerClient, 'devices' | 'energyContracts'>
  readonly book: Pick<AlertBook, 'activeByUser'>
  /** A link of ours that somebody can be sent to, for an alert about a device; null: there is none. */
  readonly durableLink: (alert: Alert) => Promise<string | null>
  readonly record: RecordAudit
  /** Told of each user in a list who cannot be read, and so is not in it. */
  readonly onMalformed?: () => void
  readonly clock: Pick<Clock, 'sleep'>
  /** Ends what is still being asked of the partner. */
  readonly signal: AbortSignal
}

export interface ListedAccount {
  readonly account: UserAccount
  readonly counts: DeviceCounts
  readonly alerts: number
}

/** All that is known of a user now. */
export interface UserStory {
  readonly account: UserAccount
  readonly devices: readonly Device[]
  /** Lists that could not be read: nothing is known of these devices. */
  readonly unread: readonly { readonly deviceType: DeviceType; readonly reason: UnreadReason }[]
  readonly alerts: readonly OpenAlert[]
  /** Null: they could not be read. */
  readonly contracts: readonly EnergyContract[] | null
}

export interface OpenAlert {
  readonly alert: Alert
  readonly link: string | null
}

export type ChangeOutcome =
  | { readonly kind: 'changed'; readonly account: UserAccount; readonly changes: readonly FieldChange[] }
  | { readonly kind: 'unchanged'; readonly account: UserAccount }
  /** Somebody else was quicker: nothing was sent. `before`: what was seen, `after`: what it is now. */
  | { readonly kind: 'conflict'; readonly account: UserAccount; readonly conflicts: readonly FieldChange[] }
  | { readonly kind: 'not_found' }

export interface ArchivePlan {
  readonly account: UserAccount
  /** Of the devices those that are optimised now, or of which that is not known. */
  readonly steered: readonly Pick<Device, 'id' | 'type' | 'manufacturer'>[]
  /** What will stop working, in sentences. Empty: archived already. */
  readonly consequences: readonly string[]
}

export interface ArchiveOptions {
  /** Takes the external id away, so that another user can have it. */
  readonly releaseExternalId: boolean
  /** What was seen before; see conflictsOf. */
  readonly seen: SeenFields
}

export interface BackOffice {
  /** Rejects with a PartnerError, also in the middle: a list that ends well is whole. */
  list(filter: UserFilter, actor: Actor): AsyncIterable<ListedAccount>
  /** Null: there is no such user. */
  show(reference: UserReference, actor: Actor): Promise<UserStory | null>
  create(user: NewUser, actor: Actor): Promise<CreationOutcome>
  /** `seen`: what the person who decided saw of the fields that they change. */
  update(userId: string, wanted: UserFields, seen: SeenFields, actor: Actor): Promise<ChangeOutcome>
  planArchive(userId: string, actor: Actor): Promise<ArchivePlan | null>
  archive(userId: string, options: ArchiveOptions, actor: Actor): Promise<ChangeOutcome>
}

export type UserReference = { readonly id: string } | { readonly externalId: string }

/** The role of who is archived: no rule of the pack counts them as a customer. */
export const archivedRole = 'guest'

// Users whose devices have to be read to know whether they are wanted, at a time.
const readAtOnce = 16

export function createBackOffice(options: BackOfficeOptions): BackOffice {
  const { directory, client, book, record, signal } = options
  const inTurn = createTurns()

  function alertsOf(userId: string): readonly Alert[] {
    for (const alerts of book.activeByUser()) {
      const [first] = alerts
      if (first?.subject.kind !== 'fleet' && first?.subject.userId === userId) return alerts.filter(isFiring)
    }
    return []
  }

  async function* list(filter: UserFilter, actor: Actor): AsyncGenerator<ListedAccount> {
    await record({ actor, action: 'user.list', result: 'ok', target: {}, detail: filterDetail(filter) })
    const firing = new Map<string, number>()
    for (const alerts of book.activeByUser()) {
      const count = alerts.filter(isFiring).length
      const subject = alerts[0]?.subject
      if (count > 0 && subject !== undefined && subject.kind !== 'fleet') firing.set(subject.userId, count)
    }
    const alertsAbout = (account: UserAccount) => firing.get(account.id) ?? 0
    let waiting: Promise<ListedAccount | null>[] = []
    for await (const account of directory.accounts({ includeDeleted: filter.includeDeleted }, signal)) {
      if (account instanceof Malformed) {
        options.onMalformed?.()
        continue
      }
      if (!matches(account, filter, () => alertsAbout(account) > 0)) continue
      const listed = { account, counts: countsOf(account), alerts: alertsAbout(account) }
      const unknown = unknownCounts(listed.counts, filter)
      if (unknown.length === 0 && waiting.length === 0) {
        if (matchesDevices(listed.counts, filter)) yield listed
        continue
      }
      // In the order of the list, although some of them have to be asked for.
      waiting.push(settled(counted(listed, unknown, filter)))
      if (waiting.length < readAtOnce) continue
      yield* await wanted(waiting)
      waiting = []
    }
    yield* await wanted(waiting)
  }

  /** Null: not wanted, now that the devices are counted. */
  async function counted(
    listed: ListedAccount,
    unknown: readonly DeviceType[],
    filter: UserFilter,
  ): Promise<ListedAccount | null> {
    const counts = { ...listed.counts }
    for (const type of unknown) {
      counts[type] = (await client.devices(listed.account.id, type, signal)).devices.length
      if (matchesDevices(counts, filter) !== matchesDevices(listed.counts, filter)) break
    }
    return matchesDevices(counts, filter) ? { ...listed, counts } : null
  }

  async function show(reference: UserReference, actor: Actor): Promise<UserStory | null> {
    const account =
      'id' in reference
        ? await directory.account(reference.id, signal)
        : await directory.accountByExternalId(reference.externalId, signal)
    if (account === null) return null
    await record({ actor, action: 'user.read', result: 'ok', target: { user: account.id }, detail: {} })
    const counts = countsOf(account)
    const types = deviceTypes.filter((type) => counts[type] !== 0)
    const [lists, contracts] = await Promise.all([
      Promise.all(types.map((type) => readDevices(account.id, type))),
      client.energyContracts(account.id, signal).catch(nullIfUnread),
    ])
    return {
      account,
      devices: lists.flatMap(({ devices }) => devices),
      unread: lists.flatMap(({ deviceType, reason }) => (reason === null ? [] : [{ deviceType, reason }])),
      alerts: await Promise.all(
        alertsOf(account.id).map(async (alert) => ({ alert, link: await options.durableLink(alert) })),
      ),
      contracts,
    }
  }

  async function readDevices(userId: string, deviceType: DeviceType) {
    try {
      const { devices, malformed } = await client.devices(userId, deviceType, signal)
      const reason: UnreadReason | null = malformed.length > 0 ? 'malformed' : null
      return { deviceType, devices: devices.map(({ device }) => device), reason }
    } catch (error) {
      if (!(error instanceof PartnerError)) throw error
      return { deviceType, devices: [], reason: error.kind }
    }
  }

  function create(user: NewUser, actor: Actor): Promise<CreationOutcome> {
    // One after the other: two at once with one external id would each find that nobody has it.
    return inTurn('create', () =>
      auditedChange(
        { record, actor },
        { action: 'user.create', target: {}, detail: { after: user } },
        () => createUserOnce(user, { directory, clock: options.clock, signal }),
        (outcome) => ({ target: { user: outcome.account.id }, detail: { outcome: outcome.kind } }),
      ),
    )
  }

  function update(
    userId: string,
    wanted: UserFields,
    seen: SeenFields,
    actor: Actor,
  ): Promise<ChangeOutcome> {
    return inTurn(userId, () => change(userId, { wanted, seen, action: 'user.update' }, actor))
  }

  async function change(
    userId: string,
    {
      wanted,
      seen,
      action,
    }: { readonly wanted: UserFields; readonly seen: SeenFields; readonly action: string },
    actor: Actor,
  ): Promise<ChangeOutcome> {
    // Right before the write: as little time as can be for somebody to come in between.
    const account = await directory.account(userId, signal)
    if (account === null) return { kind: 'not_found' }
    const conflicts = conflictsOf(account, wanted, seen)
    if (conflicts.length > 0) return { kind: 'conflict', account, conflicts }
    const changes = changesOf(account, wanted)
    if (changes.length === 0) return { kind: 'unchanged', account }
    const before = Object.fromEntries(changes.map(({ field, before }) => [field, before]))
    const changed = await auditedChange(
      { record, actor },
      { action, target: { user: userId }, detail: { before, after: fieldsOf(changes) } },
      () => directory.update(userId, fieldsOf(changes), signal),
      () => ({ detail: {} }),
    )
    return { kind: 'changed', account: changed, changes }
  }

  async function planArchive(userId: string, actor: Actor): Promise<ArchivePlan | null> {
    const account = await directory.account(userId, signal)
    if (account === null) return null
    await record({ actor, action: 'user.read', result: 'ok', target: { user: userId }, detail: {} })
    const steered = await steeredDevices(account)
    return { account, steered, consequences: consequencesOf(account, steered.length) }
  }

  /** Rejects when a list cannot be read: a device that nobody sees would be steered on for ever. */
  async function steeredDevices(account: UserAccount): Promise<readonly Device[]> {
    const counts = countsOf(account)
    const types = deviceTypes.filter((type) => counts[type] !== 0)
    const lists = await Promise.all(types.map((type) => client.devices(account.id, type, signal)))
    return lists
      .flatMap(({ devices }) => devices.map(({ device }) => device))
      .filter((device) => device.is_smart_optimization_active !== false)
  }

  /**
   * Nothing in the Partner API deletes a user. What it allows: to stop the optimiser for each device, and to
   * take the role of a customer away. The devices first, so that a user who counts as archived is no longer
   * steered; each step can be repeated.
   */
  function archive(
    userId: string,
    { releaseExternalId, seen }: ArchiveOptions,
    actor: Actor,
  ): Promise<ChangeOutcome> {
    return inTurn(userId, async () => {
      const account = await directory.account(userId, signal)
      if (account === null) return { kind: 'not_found' }
      const wanted: UserFields = {
        role: archivedRole,
        ...(releaseExternalId ? { external_user_id: null } : {}),
      }
      const conflicts = conflictsOf(account, wanted, seen)
      if (conflicts.length > 0) return { kind: 'conflict', account, conflicts }
      for (const device of await steeredDevices(account)) {
        await auditedChange(
          { record, actor },
          {
            action: 'device.update',
            target: { user: userId, device: device.id },
            detail: {
              before: { is_smart_optimization_active: device.is_smart_optimization_active },
              after: { is_smart_optimization_active: false },
            },
          },
          () =>
            directory.setOptimization(
              { userId, deviceType: device.type, deviceId: device.id },
              false,
              signal,
            ),
          () => ({ detail: {} }),
        )
      }
      return change(userId, { wanted, seen, action: 'user.archive' }, actor)
    })
  }

  return { list, show, create, update, planArchive, archive }
}

function consequencesOf(account: UserAccount, steered: number): readonly string[] {
  const isArchived = account.role === archivedRole
  if (isArchived && steered === 0) return []
  const consequences: string[] = []
  if (account.role === 'admin' || account.role === 'staff') {
    consequences.push(`this is ${account.role}: whoever it is can no longer look after users`)
  }
  if (steered > 0) {
    const devices = steered === 1 ? '1 device is' : `${steered} devices are`
    consequences.push(`${devices} no longer optimised and will run by their own settings`)
  }
  if (!isArchived) {
    consequences.push(
      `the role becomes ${archivedRole}: no rule about customers, lost connections or optimisation alerts any more`,
    )
  }
  consequences.push(
    'devices stay connected to the partner until the customer, or Podero, disconnects them; nothing is deleted',
  )
  return consequences
}

/** What the trail keeps of a filter: not the text, which may be somebody's name. */
function filterDetail({ text, ...filter }: UserFilter): Readonly<Record<string, unknown>> {
  return { ...filter, hasText: text !== null }
}

/** A rejection that nobody awaits yet must not end the process. */
function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

async function wanted(waiting: readonly Promise<ListedAccount | null>[]): Promise<readonly ListedAccount[]> {
  return (await Promise.all(waiting)).filter((listed) => listed !== null)
}

function nullIfUnread(error: unknown): null {
  if (error instanceof PartnerError) return null
  throw error
}
