// All users that are moved over, kept in the database, and what takes each of them on. The state is saved after
// every call that changed something at the partner, so that a crash costs at most one repetition, which is
// harmless. Memory: some 700 bytes per user that is or was moved.

import type { Actor, RecordAudit } from '../actor.ts'
import type { Clock } from '../clock.ts'
import { deviceTypes } from '../fleet/device.ts'
import type { User } from '../fleet/user.ts'
import type { PartnerClient, ReturnUrls } from '../partner/client.ts'
import { PartnerError } from '../partner/partner-error.ts'
import type { NewUser, OnboardingSession, UserDirectory } from '../partner/user-directory.ts'
import { auditedChange } from './audited-change.ts'
import type { BackOffice } from './back-office.ts'
import {
  type MigrationState,
  type MigrationStep,
  migrationSteps,
  missingDevices,
  type OpenedSession,
  sessionsToOpen,
  unverified,
} from './migration.ts'
import type { MigrationStore } from './migration-store.ts'
import { createTurns } from './turns.ts'

/** What is to become of one user. */
export type MigrationPlan = Pick<
  MigrationState,
  'externalId' | 'oldUserId' | 'expected' | 'needsContract' | 'language' | 'priceZone'
> & {
  /** As it is to be created, without the external id, which is a step of its own. */
  readonly user: NewUser
}

export interface AdvanceOptions {
  /** Open sessions anew although others are open: their links were lost. */
  readonly reopen: boolean
}

export interface Advance {
  readonly state: MigrationState
  /** Opened just now. Whoever has one connects devices for the customer. */
  readonly links: readonly (OnboardingSession & Pick<OpenedSession, 'deviceType'>)[]
}

export interface Migrations {
  all(): Iterable<MigrationState>
  /** How many are at each step. */
  counts(): Readonly<Record<MigrationStep, number>>
  /** Takes a user as far as it goes now. What was planned before is planned anew. */
  start(plan: MigrationPlan, options: AdvanceOptions, actor: Actor): Promise<Advance>
  /** Null: nobody with this external id is moved. */
  advance(externalId: string, options: AdvanceOptions, actor: Actor): Promise<Advance | null>
  /** Forgets the state; changes nothing at the partner. False: there is none. */
  forget(externalId: string, actor: Actor): Promise<boolean>
  /** The user as rules see them: with the step that they are at. */
  annotated(user: User): User
}

export interface MigrationsOptions {
  readonly store: MigrationStore
  readonly backOffice: Pick<BackOffice, 'create' | 'update' | 'archive'>
  readonly directory: Pick<UserDirectory, 'account' | 'accountByExternalId' | 'openOnboarding'>
  readonly client: Pick<PartnerClient, 'devices' | 'energyContracts'>
  readonly record: RecordAudit
  readonly clock: Pick<Clock, 'now'>
  /** Where the partner sends people when a device is connected. */
  readonly returnUrls: ReturnUrls
  readonly signal: AbortSignal
}

/** Rejects with the store's error when what was kept cannot be read. */
export async function openMigrations(options: MigrationsOptions): Promise<Migrations> {
  const { store, backOffice, directory, client, record, clock, signal } = options
  const byExternalId = new Map<string, MigrationState>()
  const byUserId = new Map<string, MigrationState>()
  for (const state of await store.loadMigrations()) remember(state)
  /** Each user by one at a time. */
  const inTurn = createTurns()

  function remember(state: MigrationState): void {
    byExternalId.set(state.externalId, state)
    if (state.userId !== null) byUserId.set(state.userId, state)
  }

  async function save(state: MigrationState): Promise<MigrationState> {
    await store.saveMigration(state)
    remember(state)
    return state
  }

  async function takeOn(
    begun: MigrationState,
    {
      plan,
      reopen,
      actor,
    }: { readonly plan: MigrationPlan | null; readonly reopen: boolean; readonly actor: Actor },
  ): Promise<Advance> {
    let state = begun
    const links: Advance['links'][number][] = []
    // Once: what was opened anew for one step is open for the next.
    let mayReopen = reopen
    try {
      for (;;) {
        const next = await oneStep(state, { plan, reopen: mayReopen, actor, links })
        if (links.length > 0) mayReopen = false
        const isFurther = next.step !== state.step
        if (next !== state) state = await save(next)
        if (!isFurther || state.step === 'done') return { state, links }
      }
    } catch (error) {
      // Links that were opened are nowhere else: they go out, whatever came after them.
      if (links.length === 0 || !(error instanceof PartnerError)) throw error
      const current = byExternalId.get(begun.externalId) ?? state
      return { state: await save(stuck(current, `the partner could not be asked (${error.kind})`)), links }
    }
  }

  interface StepContext {
    readonly plan: MigrationPlan | null
    readonly reopen: boolean
    readonly actor: Actor
    readonly links: Advance['links'][number][]
  }

  /** The state after the next step, or with what keeps it from that. */
  async function oneStep(state: MigrationState, context: StepContext): Promise<MigrationState> {
    switch (state.step) {
      case 'planned':
        return createUser(state, context)
      case 'created':
        return identifyUser(state, context)
      case 'identified':
        return openSessions(state, context)
      case 'onboarding':
        return verify(state, context)
      case 'verified':
        return archiveOld(state, context)
      case 'done':
        return state
      default:
        return state.step satisfies never
    }
  }

  async function createUser(state: MigrationState, { plan, actor }: StepContext): Promise<MigrationState> {
    const known = await directory.accountByExternalId(state.externalId, signal)
    if (known !== null && known.id !== state.oldUserId)
      return stepTo('created', { ...state, userId: known.id })
    if (plan === null) return stuck(state, 'the user is yet to be created: that takes the plan')
    const outcome = await backOffice.create(plan.user, actor).catch(refusal)
    if ('problem' in outcome) return stuck(state, outcome.problem)
    const { account } = outcome
    if (outcome.kind === 'exists') {
      if (account.id === state.oldUserId) {
        return stuck(state, 'the old record still has the e-mail address, which only one user can have')
      }
      if (account.external_user_id !== null && account.external_user_id !== '') {
        return stuck(state, `user ${account.id}, who has another external id, has the e-mail address`)
      }
    }
    return stepTo('created', { ...state, userId: account.id })
  }

  async function identifyUser(state: MigrationState, { actor }: StepContext): Promise<MigrationState> {
    const userId = state.userId ?? ''
    const wanted = { external_user_id: state.externalId }
    const outcome = await backOffice.update(userId, wanted, { external_user_id: null }, actor).catch(refusal)
    if ('problem' in outcome) return stuck(state, outcome.problem)
    switch (outcome.kind) {
      case 'changed':
      case 'unchanged':
        return stepTo('identified', state)
      case 'conflict':
        return stuck(state, `user ${userId} has another external id`)
      case 'not_found':
        return gone(state)
      default:
        return outcome satisfies never
    }
  }

  async function openSessions(state: MigrationState, context: StepContext): Promise<MigrationState> {
    const userId = state.userId ?? ''
    if ((await directory.account(userId, signal)) === null) return gone(state)
    const missing = missingDevices(state.expected, await devicesOf(userId))
    const opened = await open(state, missing, context)
    return stepTo('onboarding', opened)
  }

  /** Saves after each session: a crash in between opens only what is left. */
  async function open(
    state: MigrationState,
    missing: ReturnType<typeof missingDevices>,
    { reopen, actor, links }: StepContext,
  ): Promise<MigrationState> {
    let current = state
    const wanted = sessionsToOpen(missing, { sessions: state.sessions, now: clock.now(), reopen })
    for (const deviceType of wanted) {
      const { userId, language, priceZone } = state
      const target = { user: userId ?? '' }
      const session = await auditedChange(
        { record, actor },
        { action: 'user.onboard', target, detail: { device_type: deviceType } },
        () =>
          directory.openOnboarding(
            { userId: userId ?? '', language, priceZone, isOptimized: null, ...options.returnUrls },
            signal,
          ),
        ({ expiresAt }) => ({ detail: { expires_at: expiresAt } }),
      )
      links.push({ ...session, deviceType })
      const opened = { deviceType, openedAt: clock.now(), expiresAt: session.expiresAt }
      // Those that are over are of no more use.
      const open = current.sessions.filter(({ expiresAt }) => expiresAt === null || expiresAt > clock.now())
      current = await save({ ...current, sessions: [...open, opened] })
    }
    return current
  }

  async function verify(state: MigrationState, context: StepContext): Promise<MigrationState> {
    const userId = state.userId ?? ''
    if ((await directory.account(userId, signal)) === null) return gone(state)
    const devices = await devicesOf(userId)
    const contracts = state.needsContract ? await client.energyContracts(userId, signal) : []
    const problem = unverified(state, { devices, contracts, now: clock.now() })
    if (problem === null) return stepTo('verified', state)
    // A session that ran out before somebody used it.
    return stuck(await open(state, missingDevices(state.expected, devices), context), problem)
  }

  async function archiveOld(state: MigrationState, { actor }: StepContext): Promise<MigrationState> {
    if (state.oldUserId === null) return stepTo('done', state)
    // Both have the external id until now; it stays with the new one.
    const outcome = await backOffice
      .archive(state.oldUserId, { releaseExternalId: true, seen: {} }, actor)
      .catch(refusal)
    // Somebody has deleted it: then nothing is left of it.
    return 'problem' in outcome ? stuck(state, outcome.problem) : stepTo('done', state)
  }

  async function devicesOf(userId: string) {
    const lists = await Promise.all(deviceTypes.map((type) => client.devices(userId, type, signal)))
    return lists.flatMap(({ devices }) => devices.map(({ device }) => device))
  }

  function stepTo(step: MigrationStep, state: MigrationState): MigrationState {
    return { ...state, step, since: clock.now(), problem: null }
  }

  return {
    all: () => byExternalId.values(),
    counts() {
      const counts = Object.fromEntries(migrationSteps.map((step) => [step, 0])) as Record<
        MigrationStep,
        number
      >
      for (const { step } of byExternalId.values()) counts[step]++
      return counts
    },

    start(plan, { reopen }, actor) {
      return inTurn(plan.externalId, async () => {
        const { user: _user, ...planned } = plan
        const known = byExternalId.get(plan.externalId)
        const fresh = {
          userId: null,
          step: 'planned',
          since: clock.now(),
          problem: null,
          sessions: [],
        } as const
        const state: MigrationState = { ...(known ?? fresh), ...planned }
        return takeOn(await save(state), { plan, reopen, actor })
      })
    },

    advance(externalId, { reopen }, actor) {
      return inTurn(externalId, async () => {
        const state = byExternalId.get(externalId)
        return state === undefined ? null : takeOn(state, { plan: null, reopen, actor })
      })
    },

    forget(externalId, actor) {
      return inTurn(externalId, async () => {
        const state = byExternalId.get(externalId)
        if (state === undefined) return false
        const target = { user: state.userId ?? '' }
        await record({ actor, action: 'migration.forget', result: 'ok', target, detail: {} })
        await store.deleteMigration(externalId)
        byExternalId.delete(externalId)
        if (state.userId !== null) byUserId.delete(state.userId)
        return true
      })
    },

    annotated(user) {
      const state = byUserId.get(user.id)
      return state === undefined
        ? user
        : { ...user, migration_step: state.step, migration_since: state.since }
    },
  }
}

function stuck(state: MigrationState, problem: string): MigrationState {
  return state.problem === problem ? state : { ...state, problem }
}

function gone(state: MigrationState): MigrationState {
  return stuck(state, `the partner no longer knows user ${state.userId}`)
}

/** What the partner says no to is this user's problem; whatever else is wrong is everybody's. */
function refusal(error: unknown): { readonly problem: string } {
  if (error instanceof PartnerError && error.kind === 'client_error') {
    return { problem: `the partner refuses this (HTTP ${error.status})` }
  }
  throw error
}
