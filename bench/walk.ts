// A whole walk beside the bare loop that makes the same calls: how much longer it takes, and how much
// more CPU each device costs with decoding, rules, lifecycle and saving; on both databases.

import { join } from 'node:path'
import { startPostgres } from '../test/storage/postgres-server.ts'
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
const mostCpuRatio = 1.6
const mostPostgresRatio = 1.5

type Side = 'bare loop' | 'SQLite' | 'PostgreSQL'

interface Setting {
  readonly latencyMs: number
  readonly users: number
  readonly rules: RuleSelection
  /** A fleet in which something is always broken cannot be walked by the bare loop: it asks more of it. */
  readonly hasFaults: boolean
  readonly sides: readonly Side[]
}

export const walk: Benchmark = {
  name: 'walk',
  about: 'the service walking a fleet, on SQLite and on PostgreSQL, and a loop that only requests and parses',
  run,
}

async function run({ full, cpuProfiles }: BenchOptions): Promise<Report> {
  const sides = ['bare loop', 'SQLite', 'PostgreSQL'] as const
  const usual = { rules: 'without contracts', hasFaults: false, sides } as const
  const settings: readonly Setting[] = [
    { ...usual, latencyMs: 20, users: full ? 20_000 : 10_000 },
    { ...usual, latencyMs: 100, users: full ? 20_000 : 4_000 },
    ...(full ? [{ ...usual, latencyMs: 20, users: 20_000, rules: 'all' } as const] : []),
    { ...usual, latencyMs: 20, users: 10_000, hasFaults: true, sides: ['SQLite', 'PostgreSQL'] },
  ]
  const rows: string[][] = []
  const figures: Figure[] = []
  for (const setting of settings) {
    const calls = setting.users * (devicesPerUser + (setting.rules === 'all' ? 1 : 0)) + 1
    const idealMs = (calls * setting.latencyMs) / concurrency
    const fleet = setting.hasFaults ? 'with faults' : setting.rules === 'all' ? 'contracts too' : 'healthy'
    const walks = await measure(setting, (side) =>
      cpuProfiles === null
        ? null
        : join(cpuProfiles, `${side}, ${setting.latencyMs} ms, ${fleet}.cpuprofile`),
    )
    for (const [side, walked] of walks) {
      const wallMs = median(walked.map((each) => each.wallMs))
      const cpuMs = median(walked.map((each) => each.cpuMs))
      rows.push([
        `${setting.latencyMs} ms, ${setting.users} users, ${fleet}`,
        side,
        (wallMs / 1_000).toFixed(2),
        // With faults nobody knows beforehand how many calls it takes.
        setting.hasFaults ? '' : rounded(idealMs / wallMs),
        ((cpuMs * 1_000) / (setting.users * devicesPerUser)).toFixed(0),
        String(walked[0]?.alerts ?? 0),
      ])
    }
    figures.push(...figuresOf(walks, `${setting.latencyMs} ms, ${fleet}`))
  }
  return {
    tables: [{ head: ['fleet', 'side', 'wall s', 'of ideal', 'CPU us/device', 'alerts'], rows }],
    figures,
    notes: [
      `64 at once; medians of ${rounds} walks a side, taking turns; ratios are medians of the turns' ratios.`,
      'CPU is the process of the walk; what a PostgreSQL server needs is beside it. Each walk saves every alert.',
      'Without energy-contracts.yaml, which asks for the contracts of each user: --full has it, and the bare loop then asks too.',
    ],
  }
}

type Walks = ReadonlyMap<Side, readonly Walked[]>

function figuresOf(walks: Walks, of: string): Figure[] {
  const bare = walks.get('bare loop')
  const sqlite = walks.get('SQLite') ?? []
  const postgres = walks.get('PostgreSQL') ?? []
  return [
    ...(bare === undefined
      ? []
      : [
          {
            name: `wall time / bare loop, ${of}`,
            value: ratio(sqlite, bare, 'wallMs'),
            limit: mostWallRatio,
          },
          {
            name: `CPU per device / bare loop, ${of}`,
            value: ratio(sqlite, bare, 'cpuMs'),
            limit: mostCpuRatio,
          },
        ]),
    {
      name: `wall time, PostgreSQL / SQLite, ${of}`,
      value: ratio(postgres, sqlite, 'wallMs'),
      limit: mostPostgresRatio,
    },
    {
      name: `CPU per device, PostgreSQL / SQLite, ${of}`,
      value: ratio(postgres, sqlite, 'cpuMs'),
      limit: mostPostgresRatio,
    },
  ]
}

/** The median of what each turn's two walks are to each other: neighbours on the machine come and go. */
function ratio(ones: readonly Walked[], others: readonly Walked[], field: 'wallMs' | 'cpuMs'): number {
  return median(ones.map((each, turn) => each[field] / (others[turn]?.[field] ?? Number.NaN)))
}

async function measure(
  { latencyMs, users, rules, hasFaults, sides }: Setting,
  profileOf: (side: Side) => string | null,
): Promise<Walks> {
  await using stack = new AsyncDisposableStack()
  const warmUp = stack.use(await startSimulatorProcess({ users: warmUpUsers }))
  const target = stack.use(await startSimulatorProcess({ users, latencyMs, hasFaults }))
  const database = await startPostgres({ fsync: 'on' })
  stack.defer(() => database.remove())
  const common = { target, warmUp, concurrency, requestsPerSecond: 10_000, rules }
  const walkers = []
  for (const side of sides) {
    const options = {
      ...common,
      cpuProfile: profileOf(side),
      ...(side === 'PostgreSQL' ? { storageUrl: database.url('postgres') } : {}),
    }
    const walker = await startWalkerProcess({ side: side === 'bare loop' ? 'bare' : 'ours', ...options }, [
      '--expose-gc',
    ])
    walkers.push({ side, walker: stack.use(walker) })
  }
  const walks = new Map<Side, Walked[]>(sides.map((side) => [side, []]))
  for (let round = 0; round < rounds; round++) {
    for (const { side, walker } of walkers) {
      const walked = await walker.ask({ what: 'walk' })
      if (walked.users !== users || walked.alerts > 0 !== (hasFaults && side !== 'bare loop'))
        throw new Error(`walked ${walked.users} of ${users} users and found ${walked.alerts} alerts`)
      walks.get(side)?.push(walked)
    }
  }
  return walks
}
