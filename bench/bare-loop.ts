// The least that reads a fleet: undici's `request` and JSON.parse in a loop, so many calls at once.

import { Pool } from 'undici'
import { systemClock } from '../src/clock.ts'
import type { DeviceType } from '../src/fleet/device.ts'
import { fixedToken } from './harness.ts'

export interface BareLoopOptions {
  readonly url: string
  readonly organizationId: string
  readonly concurrency: number
  /** Whether each user's contracts are asked for, too. */
  readonly energyContracts: boolean
}

/** A list of devices that was asked for, or of contracts. */
export interface BareCall {
  readonly path: string
  readonly userId: string
  readonly of: DeviceType | 'energy_contract'
}

export interface BareLoop {
  /** Makes the calls that our walk makes. Resolves with the number of users. */
  walk(onAnswer?: (call: BareCall, answer: unknown) => void): Promise<number>
  close(): Promise<void>
}

interface ListedUser {
  readonly id: string
  readonly num_heat_pumps: number
  readonly num_electric_vehicles: number
  readonly num_inverters: number
}

export function openBareLoop(options: BareLoopOptions): BareLoop {
  const { origin, pathname } = new URL(options.url)
  const pool = new Pool(origin, { connections: options.concurrency, pipelining: 1, allowH2: false })
  const headers = { authorization: `Bearer ${fixedToken}` }
  const base = `${pathname}/org/${options.organizationId}/users`

  async function get(path: string): Promise<unknown> {
    for (;;) {
      const answer = await pool.request({ path, method: 'GET', headers })
      const text = await answer.body.text()
      if (answer.statusCode === 200) return JSON.parse(text)
      if (answer.statusCode !== 429) throw new Error(`${path} was answered ${answer.statusCode}`)
      await systemClock.sleep(Number(answer.headers['retry-after']) * 1_000)
    }
  }

  function* callsOf(users: readonly ListedUser[]): Generator<BareCall, undefined> {
    for (const { id: userId, ...counts } of users) {
      const path = `${base}/${userId}`
      if (counts.num_heat_pumps > 0) yield { path: `${path}/heat-pumps`, userId, of: 'heat_pump' }
      if (counts.num_electric_vehicles > 0)
        yield { path: `${path}/electric-vehicles`, userId, of: 'electric_vehicle' }
      if (counts.num_inverters > 0) yield { path: `${path}/inverters`, userId, of: 'inverter' }
      if (options.energyContracts) yield { path: `${path}/energy-contracts`, userId, of: 'energy_contract' }
    }
  }

  return {
    async walk(onAnswer) {
      const users = (await get(base)) as readonly ListedUser[]
      const calls = callsOf(users)
      async function worker(): Promise<void> {
        for (let next = calls.next(); !next.done; next = calls.next()) {
          const answer = await get(next.value.path)
          onAnswer?.(next.value, answer)
        }
      }
      await Promise.all(Array.from({ length: options.concurrency }, worker))
      return users.length
    },
    close: () => pool.destroy(),
  }
}
