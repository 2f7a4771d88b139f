// The simulated partner API in a process of its own, which counts calls as they are answered.

import process from 'node:process'
import { systemClock } from '../src/clock.ts'
import type { DeviceType } from '../src/fleet/device.ts'
import { manufacturers } from '../src/simulator/catalogue.ts'
import { createFleet, type Fleet } from '../src/simulator/fleet.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { answerParent, type CallCounts, childOptions, fixedToken } from './harness.ts'

export interface SimulatorChildOptions {
  readonly users: number
  /** Of each answer, ms. */
  readonly latencyMs?: number
  readonly requestsPerSecond?: number
  /** Only every so-manieth user has devices; the others say so by counts of 0. Default 1: all. */
  readonly everyNthHasDevices?: number
  /** Some of them are broken, and some people's data are odd, as in life. Default: all is well. */
  readonly hasFaults?: boolean
  /** Every user has a heat pump of this name's, and nothing else. Default: as households are. */
  readonly onlyManufacturer?: string
}

export interface SimulatorChildReady {
  readonly url: string
  readonly organizationId: string
}

const sampleMs = 20

const options = childOptions<SimulatorChildOptions>()
const fleet = createFleet({
  seed: 7,
  users: options.users,
  healthy: options.hasFaults !== true,
  shapes: 'current',
})
const simulator = await startSimulator({
  clock: systemClock,
  fleet: ofOneManufacturer(sparse(fleet, options.everyNthHasDevices ?? 1), options.onlyManufacturer),
  latencyMs: options.latencyMs ?? 0,
  requestsPerSecond: options.requestsPerSecond ?? null,
  fixedToken,
})

let counted: CallCounts = { answered: 0, throttled: 0, durationMs: 0 }
let before = { answered: 0, throttled: 0 }
let startedAt = 0
setInterval(() => {
  const { answered, throttled } = callsSoFar()
  const now = performance.now()
  const sinceReset = { answered: answered - before.answered, throttled: throttled - before.throttled }
  if (sinceReset.answered === 0) startedAt = now
  else if (sinceReset.answered !== counted.answered) counted = { ...sinceReset, durationMs: now - startedAt }
}, sampleMs)

/** What was asked about single users: not the list of all of them, nor tokens. */
function callsSoFar(): { answered: number; throttled: number } {
  const { requests } = simulator
  const all = requests.count() - requests.count('users') - requests.count('token')
  let throttled = 0
  for (const outcomes of Object.values(requests.snapshot())) throttled += outcomes['429'] ?? 0
  return { answered: all - throttled, throttled }
}

function sparse(all: Fleet, every: number): Fleet {
  if (every === 1) return all
  const has = (index: number) => index % every === 0
  return {
    ...all,
    deviceTypesOf: (index) => (has(index) ? all.deviceTypesOf(index) : []),
    devices: (index, type) => (has(index) ? all.devices(index, type) : []),
    countDevices: (index, type) => (has(index) ? all.countDevices(index, type) : 0),
  }
}

function ofOneManufacturer(all: Fleet, name: string | undefined): Fleet {
  const manufacturer = manufacturers.heat_pump.find((each) => each.name === name)
  if (manufacturer === undefined) return all
  const model = manufacturer.models[0] ?? name ?? ''
  const has = (type?: DeviceType) => type === undefined || type === 'heat_pump'
  return {
    ...all,
    deviceTypesOf: () => ['heat_pump'],
    devices: (index, type) =>
      has(type) ? all.devices(index, 'heat_pump').map((each) => ({ ...each, manufacturer, model })) : [],
    countDevices: (index, type) => (has(type) ? all.countDevices(index, 'heat_pump') : 0),
  }
}

answerParent(async () => {
  const result = counted
  before = callsSoFar()
  counted = { answered: 0, throttled: 0, durationMs: 0 }
  return result
})
process.send?.({ url: simulator.url, organizationId: simulator.organizationId })
