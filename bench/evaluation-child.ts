// Evaluates the shipped rules and the hand-written ones over the same devices, in a process of its
// own that can collect garbage when told.

import process from 'node:process'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { createEvaluator } from '../src/alerts/evaluation.ts'
import { loadRuleFiles } from '../src/cli/load.ts'
import type { Device } from '../src/fleet/device.ts'
import type { User } from '../src/fleet/user.ts'
import { decodeDevice, decodeUser } from '../src/partner/decode.ts'
import { Malformed } from '../src/partner/json-array-stream.ts'
import type { DeviceRule } from '../src/rules/rule.ts'
import { createFleet } from '../src/simulator/fleet.ts'
import { deviceRecord, userRecord } from '../src/simulator/records.ts'
import { handWrittenRules, type Predicate } from './hand-written-rules.ts'
import { answerParent, childOptions, shippedRuleFiles } from './harness.ts'

export interface EvaluationChildOptions {
  readonly users: number
  readonly rounds: number
  /** How often all devices are evaluated in a round: few must not be over in a moment. */
  readonly repeats: number
}

export interface Evaluated {
  readonly devices: number
  readonly evaluations: number
  /** ns per rule and device, one for each round. */
  readonly rules: readonly number[]
  readonly handWritten: readonly number[]
  /** ns per device through the evaluator with an empty alert book: its rules, its share of its user's, fleet counts. */
  readonly evaluatorPerDevice: readonly number[]
  /** Bytes that are on the heap afterwards and were not before, per device that was evaluated. */
  readonly retainedPerDevice: number
  readonly mistakes: readonly string[]
}

interface Read {
  readonly user: User
  readonly devices: readonly Device[]
}

const { users, rounds, repeats } = childOptions<EvaluationChildOptions>()
// An instant of its own: nothing depends on when this runs.
const now = Date.UTC(2026, 10, 3, 12)
const links = {
  resolutionLink: () => 'https://example.com/resolve',
  authorizationUrl: () => 'https://example.com/',
}

function readFleet(isHealthy: boolean): Read[] {
  const fleet = createFleet({ seed: 7, users, healthy: isHealthy, flawedShare: isHealthy ? 0 : 0.05 })
  const read: Read[] = []
  for (let index = 0; index < fleet.userCount; index++) {
    const user = decodeUser(asSent(userRecord(fleet, index, { now })), () => {})
    if (user instanceof Malformed) throw new Error(user.reason)
    const devices = fleet.devices(index).map((each) => {
      const sent = asSent(deviceRecord(fleet, each, { now, links, withActions: true }))
      const source = { type: each.type, observedAt: now, isSingle: true, onOddField: () => {} }
      const device = decodeDevice(sent, source)
      if (device instanceof Malformed) throw new Error(device.reason)
      return device
    })
    read.push({ user, devices })
  }
  return read
}

function asSent(record: unknown): unknown {
  return JSON.parse(JSON.stringify(record))
}

const { rules } = await loadRuleFiles(shippedRuleFiles('all'))

function rulesFor(device: Device): readonly DeviceRule[] {
  return rules.deviceRules.filter((rule) => rule.deviceTypes.includes(device.type))
}

function predicateOf(rule: DeviceRule): Predicate {
  const predicate = handWrittenRules[rule.alert]
  if (predicate === undefined) throw new Error(`${rule.alert} is not written by hand`)
  return predicate
}

/** Pairs of a device and what is asked of it, prepared so that both sides only ask. */
function prepare(read: readonly Read[]) {
  const byType = new Map<string, { rules: readonly DeviceRule[]; predicates: readonly Predicate[] }>()
  const asked = (device: Device) => {
    let known = byType.get(device.type)
    if (known === undefined) {
      const applying = rulesFor(device)
      known = { rules: applying, predicates: applying.map(predicateOf) }
      byType.set(device.type, known)
    }
    return known
  }
  return read.flatMap(({ user, devices }) => devices.map((device) => ({ user, device, ...asked(device) })))
}

type Prepared = ReturnType<typeof prepare>

function askRules(prepared: Prepared): number {
  let holding = 0
  for (const { user, device, rules } of prepared) {
    const scope = { device, user, now }
    for (const rule of rules) if (rule.condition(scope) === true) holding++
  }
  return holding
}

function askByHand(prepared: Prepared): number {
  let holding = 0
  for (const { device, predicates } of prepared) {
    for (const predicate of predicates) if (predicate(device, now)) holding++
  }
  return holding
}

function mistakesIn(prepared: Prepared): string[] {
  const mistakes = new Set<string>()
  for (const { user, device, rules, predicates } of prepared) {
    for (const [index, rule] of rules.entries()) {
      const verdict = rule.condition({ user, device, now }) === true
      if (predicates[index]?.(device, now) !== verdict) mistakes.add(rule.alert)
    }
  }
  return [...mistakes]
}

/** `count`: how many times whatever is measured happens in one `work`. */
function nsEach(count: number, work: () => unknown): number {
  globalThis.gc?.()
  const startedAt = process.hrtime.bigint()
  for (let done = 0; done < repeats; done++) work()
  return Number(process.hrtime.bigint() - startedAt) / count / repeats
}

async function openEvaluator() {
  const store = { loadAlerts: async () => [], saveAlerts: async () => {} }
  const book = await openAlertBook(store, { downMs: 0 })
  const evaluator = createEvaluator({ rules, book, newEpisode: () => '', onUnknown: () => {} })
  return {
    walk(read: readonly Read[]): void {
      const tallies = evaluator.beginWalk()
      for (const { user, devices } of read) {
        const readings = devices.map((device) => ({ device, observedAt: now }))
        const nothing = { unread: [], absent: [], contractsUnread: null, readAt: now }
        evaluator.user({ user, observedAt: now, devices: readings, ...nothing }, tallies)
      }
      if (book.pendingChanges() > 0) throw new Error('an alert about a healthy device')
    },
  }
}

async function evaluate(): Promise<Evaluated> {
  const prepared = prepare(readFleet(false))
  const evaluations = prepared.reduce((sum, each) => sum + each.rules.length, 0)
  const mistakes = mistakesIn(prepared)
  for (let round = 0; round < 3; round++) {
    nsEach(evaluations, () => askRules(prepared))
    nsEach(evaluations, () => askByHand(prepared))
  }
  const ours: number[] = []
  const byHand: number[] = []
  for (let round = 0; round < rounds; round++) {
    ours.push(nsEach(evaluations, () => askRules(prepared)))
    byHand.push(nsEach(evaluations, () => askByHand(prepared)))
  }

  const healthy = readFleet(true)
  const devices = healthy.reduce((sum, each) => sum + each.devices.length, 0)
  const evaluator = await openEvaluator()
  for (let round = 0; round < 3; round++) nsEach(devices, () => evaluator.walk(healthy))
  globalThis.gc?.()
  const heapBefore = process.memoryUsage().heapUsed
  const evaluatorPerDevice: number[] = []
  for (let round = 0; round < rounds; round++) {
    evaluatorPerDevice.push(nsEach(devices, () => evaluator.walk(healthy)))
  }
  globalThis.gc?.()
  const retained = process.memoryUsage().heapUsed - heapBefore
  return {
    devices: prepared.length,
    evaluations,
    rules: ours,
    handWritten: byHand,
    evaluatorPerDevice,
    retainedPerDevice: Math.max(0, retained) / (devices * rounds * repeats),
    mistakes,
  }
}

answerParent(evaluate)
process.send?.('ready')
