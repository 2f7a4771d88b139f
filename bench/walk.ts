// A whole walk beside the bare loop that makes the same calls: how much longer it takes, and how much
// more CPU each device costs with decoding, rules, lifecycle and saving.

import {
  type Benchmark,
  type BenchOptions,
  type Figure,
  median,
  type Report,
  type RuleSelection,
  rounded,
  startSimulatorProcess,
  startWalkerProcess,
} from './harness.ts'
import type { Walked } from './walker-child.ts'

const concurrency = 64
const devicesPerUser = 3
// 15,000 calls: what undici and the compiler need until a call costs what it always costs.
const warmUpUsers = 5_000
const rounds = 3
const mostWallRatio = 1.05
const mostCpuRatio = 2.5

interface Setting {
  readonly latencyMs: number
  readonly users: number
  readonly rules: RuleSelection
}

export const walk: Benchmark = {
  name: 'walk',
  about: 'the service walking a healthy fleet, against a loop that only requests and parses',
  run,
}

async function run({ full }: BenchOptions): Promise<Report> {
  const settings: readonly Setting[] = [
    { latencyMs: 20, users: 20_000, rules: 'without contracts' },
    { latencyMs: 100, users: full ? 20_000 : 4_000, rules: 'without contracts' },
    ...(full ? [{ latencyMs: 20, users: 20_000, rules: 'all' } as const] : []),
  ]
  const rows: string[][] = []
  const figures: Figure[] = []
  for (const setting of settings) {
    const { ours, bare } = await measure(setting)
    const calls = setting.users * (devicesPerUser + (setting.rules === 'all' ? 1 : 0)) + 1
    const idealMs = (calls * setting.latencyMs) / concurrency
    const devices = setting.users * devicesPerUser
    for (const [side, walked] of [
      ['service', ours],
      ['bare loop', bare],
    ] as const) {
      const wallMs = median(walked.map((each) => each.wallMs))
      const cpuMs = median(walked.map((each) => each.cpuMs))
      rows.push([
        `${setting.latencyMs} ms, ${setting.users} users`,
        side,
        String(calls),
        (wallMs / 1_000).toFixed(2),
        rounded(idealMs / wallMs),
        ((cpuMs * 1_000) / devices).toFixed(0),
      ])
    }
    const of = `${setting.latencyMs} ms, ${setting.rules === 'all' ? 'contracts too' : '3 calls a user'}`
    figures.push(
      { name: `wall time / bare loop, ${of}`, value: ratio(ours, bare, 'wallMs'), limit: mostWallRatio },
      { name: `CPU per device / bare loop, ${of}`, value: ratio(ours, bare, 'cpuMs'), limit: mostCpuRatio },
    )
  }
  return {
    tables: [{ head: ['latency', 'side', 'calls', 'wall s', 'of ideal', 'CPU us/device'], rows }],
    figures,
    notes: [
      `64 at once; medians of ${rounds} walks a side, taking turns; ratios are medians of the turns' ratios.`,
      'Without energy-contracts.yaml, which asks for the contracts of each user: --full has it, and the bare loop then asks too.',
    ],
  }
}

/** The median of what each turn's two walks are to each other: neighbours on the machine come and go. */
function ratio(ours: readonly Walked[], bare: readonly Walked[], field: 'wallMs' | 'cpuMs'): number {
  return median(ours.map((each, turn) => each[field] / (bare[turn]?.[field] ?? Number.NaN)))
}

async function measure({
  latencyMs,
  users,
  rules,
}: Setting): Promise<{ ours: readonly Walked[]; bare: readonly Walked[] }> {
  await using stack = new AsyncDisposableStack()
  const warmUp = stack.use(await startSimulatorProcess({ users: warmUpUsers }))
  const target = stack.use(await startSimulatorProcess({ users, latencyMs }))
  const common = { target, warmUp, concurrency, requestsPerSecond: 10_000, rules }
  const ourSide = stack.use(await startWalkerProcess({ side: 'ours', ...common }, ['--expose-gc']))
  const bareSide = stack.use(await startWalkerProcess({ side: 'bare', ...common }, ['--expose-gc']))
  const ours: Walked[] = []
  const bare: Walked[] = []
  for (let round = 0; round < rounds; round++) {
    ours.push(await ourSide.ask({ what: 'walk' }))
    bare.push(await bareSide.ask({ what: 'walk' }))
  }
  for (const walked of [...ours, ...bare]) {
    if (walked.users !== users || walked.alerts > 0)
      throw new Error(`walked ${walked.users} of ${users} users and found ${walked.alerts} alerts`)
  }
  return { ours, bare }
}
