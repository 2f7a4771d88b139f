// One user's way from another system to the partner, as it is documented:
//
//   planned ──create the user──> created ──external_user_id = the old system's id──> identified
//     ──an onboarding session for each device that is not there──> onboarding
//     ──counts, types, authentication, contract──> verified ──archive the old record──> done
//
// `step` is the last one that is done. Each one looks first whether it is done already, so whatever was cut off
// (by a crash, a lost answer, Ctrl-C) is done once more and changes nothing twice. What keeps a user from the
// next step is a `problem`: a sentence without personal data, and no error.
//
// Kept of a user are ids and counts. Names and addresses come with the plan, and go to the partner alone.

import { type Device, type DeviceType, deviceTypes, deviceTypeWords } from '../fleet/device.ts'
import type { EnergyContract } from '../fleet/user.ts'

export const migrationSteps = ['planned', 'created', 'identified', 'onboarding', 'verified', 'done'] as const
export type MigrationStep = (typeof migrationSteps)[number]

/** Instants in ms since 1970. */
export interface MigrationState {
  /** Of the old system; everything is found by it. */
  readonly externalId: string
  /** At the partner; null until there is one. */
  readonly userId: string | null
  /** The record that is to be archived in the end; null: it is in another system. */
  readonly oldUserId: string | null
  readonly step: MigrationStep
  readonly since: number
  /** Null: nothing is known to be wrong. */
  readonly problem: string | null
  readonly expected: Readonly<Record<DeviceType, number>>
  readonly needsContract: boolean
  readonly language: string
  readonly priceZone: string | null
  readonly sessions: readonly OpenedSession[]
}

/** Its link is nowhere but in the hands of whoever asked for it. */
export interface OpenedSession {
  readonly deviceType: DeviceType
  readonly openedAt: number
  /** Null: the partner does not say. */
  readonly expiresAt: number | null
}

/** Of which types devices are missing, one entry for each device. */
export function missingDevices(
  expected: MigrationState['expected'],
  devices: readonly Pick<Device, 'type'>[],
): readonly DeviceType[] {
  return deviceTypes.flatMap((type) => {
    const there = devices.filter((device) => device.type === type).length
    return Array.from({ length: Math.max(0, expected[type] - there) }, () => type)
  })
}

/** The missing devices for which no session is open. `reopen`: none counts, since its link was lost. */
export function sessionsToOpen(
  missing: readonly DeviceType[],
  {
    sessions,
    now,
    reopen,
  }: { readonly sessions: readonly OpenedSession[]; readonly now: number; readonly reopen: boolean },
): readonly DeviceType[] {
  const open = reopen ? [] : sessions.filter(({ expiresAt }) => expiresAt === null || expiresAt > now)
  const left = open.map(({ deviceType }) => deviceType)
  return missing.filter((type) => {
    const at = left.indexOf(type)
    if (at === -1) return true
    left.splice(at, 1)
    return false
  })
}

/** What is not yet as it was in the old system; null: all of it is. */
export function unverified(
  state: Pick<MigrationState, 'expected' | 'needsContract'>,
  {
    devices,
    contracts,
    now,
  }: {
    readonly devices: readonly Device[]
    readonly contracts: readonly EnergyContract[]
    readonly now: number
  },
): string | null {
  const problems = deviceTypes.flatMap((type) => {
    const expected = state.expected[type]
    const there = devices.filter((device) => device.type === type)
    const words = deviceTypeWords[type][expected === 1 ? 0 : 1]
    const found = there.length < expected ? [`${there.length} of ${expected} ${words} connected`] : []
    const offline = there.filter((device) => device.is_authenticated !== true).length
    return offline === 0
      ? found
      : [...found, `${offline} ${deviceTypeWords[type][offline === 1 ? 0 : 1]} not authenticated`]
  })
  if (state.needsContract && contracts.length === 0) problems.push('no energy contract')
  else if (state.needsContract && !contracts.some((contract) => isCurrent(contract, now))) {
    problems.push('no energy contract with a price for now')
  }
  return problems.length === 0 ? null : problems.join('; ')
}

const hourMs = 3_600_000
// A monthly or yearly price is dated at the start of what it is valid for; see rules/energy-contracts.yaml.
const validAfterMs: Readonly<Record<string, number>> = { monthly: 768 * hourMs, yearly: 8_808 * hourMs }

function isCurrent(
  { prices_until: until, energy_contract_type: type }: EnergyContract,
  now: number,
): boolean {
  return until !== null && now - until <= (validAfterMs[type ?? ''] ?? 0)
}
