// A back office before a simulated partner, with its trail in memory.

import { onTestFinished } from 'vitest'
import type { Actor, AuditEntry } from '../../src/actor.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { type BackOffice, createBackOffice } from '../../src/backoffice/back-office.ts'
import { createPartnerClient, type PartnerClient } from '../../src/partner/client.ts'
import { createUserDirectory, type UserDirectory } from '../../src/partner/user-directory.ts'
import type { FleetOptions } from '../../src/simulator/fleet.ts'
import { type Simulator, startSimulator } from '../../src/simulator/server.ts'
import { never, quickClock, transportTo } from '../partner/local-server.ts'

export const admin: Actor = { kind: 'token', name: 'ada', role: 'admin', from: '127.0.0.1' }

export interface Office {
  readonly simulator: Simulator
  readonly client: PartnerClient
  readonly directory: UserDirectory
  readonly office: BackOffice
  readonly trail: AuditEntry[]
  /** The trail in short: action, result. */
  told(): string[]
  /** The next entries cannot be written. */
  breakTrail(): void
  readonly alerts: Alert[]
  /** Users of lists who could not be read. */
  malformed(): number
}

export async function openOffice(
  fleet: Partial<FleetOptions> = {},
  { durableLink = async () => null }: { durableLink?: (alert: Alert) => Promise<string | null> } = {},
): Promise<Office> {
  const simulator = await startSimulator({
    clock: quickClock,
    fixedToken: 'fixed-token',
    fleet: { users: 20, seed: 7, shapes: 'current', healthy: true, ...fleet },
  })
  onTestFinished(() => simulator.close())
  const transport = transportTo(simulator.origin, { timeoutMs: 300, maximumAnswerBytes: 1_000_000 })
  const client = createPartnerClient({ transport, organisationId: null })
  const directory = createUserDirectory({ transport, client })
  const trail: AuditEntry[] = []
  const alerts: Alert[] = []
  let isBroken = false
  let malformed = 0
  const office = createBackOffice({
    directory,
    client,
    book: {
      *activeByUser() {
        const byUser = Map.groupBy(alerts, ({ subject }) => (subject.kind === 'fleet' ? '' : subject.userId))
        yield* byUser.values()
      },
    },
    durableLink,
    onMalformed: () => void malformed++,
    record: async (entry) => {
      if (isBroken) throw new Error('the trail cannot be written')
      trail.push(entry)
    },
    clock: quickClock,
    signal: never,
  })
  return {
    simulator,
    client,
    directory,
    office,
    trail,
    told: () => trail.map(({ action, result }) => `${action} ${result}`),
    breakTrail: () => {
      isBroken = true
    },
    alerts,
    malformed: () => malformed,
  }
}
