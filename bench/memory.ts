// The most memory that the service takes for one walk, and how that grows with the fleet.

import {
  type Benchmark,
  type BenchOptions,
  type Report,
  type RuleSelection,
  startSimulatorProcess,
  startWalkerProcess,
} from './harness.ts'

const concurrency = 64
const mostAt100k = 300
const mostAt1M = 500
const megabyte = 1_048_576
/** Where most users have no devices, so that a million of them take a minute and not twenty. */
const sparsely = 100

interface Setting {
  readonly users: number
  readonly everyNthHasDevices: number
  readonly rules: RuleSelection
}

export const memory: Benchmark = {
  name: 'memory',
  about: 'the most memory that a process takes which starts and walks once',
  run,
}

async function run({ full }: BenchOptions): Promise<Report> {
  const settings: readonly Setting[] = [
    { users: 100_000, everyNthHasDevices: 1, rules: full ? 'all' : 'without contracts' },
    { users: 100_000, everyNthHasDevices: sparsely, rules: 'without contracts' },
    { users: 1_000_000, everyNthHasDevices: sparsely, rules: 'without contracts' },
    ...(full ? [{ users: 1_000_000, everyNthHasDevices: 1, rules: 'without contracts' } as const] : []),
  ]
  const measured: (Setting & { peakBytes: number; wallMs: number })[] = []
  for (const setting of settings) measured.push({ ...setting, ...(await measure(setting)) })
  const peakOf = (users: number, everyNth: number) =>
    measured.find((each) => each.users === users && each.everyNthHasDevices === everyNth)?.peakBytes ??
    Number.NaN
  const largest = Math.max(
    ...measured.filter(({ users }) => users === 1_000_000).map(({ peakBytes }) => peakBytes),
  )
  const growth = (peakOf(1_000_000, sparsely) - peakOf(100_000, sparsely)) / 900_000
  return {
    tables: [
      {
        head: ['users', 'with devices', 'calls', 'wall s', 'peak MB'],
        rows: measured.map((each) => [
          String(each.users),
          String(each.users / each.everyNthHasDevices),
          String(callsOf(each)),
          (each.wallMs / 1_000).toFixed(0),
          (each.peakBytes / megabyte).toFixed(0),
        ]),
      },
    ],
    figures: [
      {
        name: 'peak with 100,000 users',
        value: peakOf(100_000, 1) / megabyte,
        limit: mostAt100k,
        unit: ' MB',
      },
      { name: 'peak with 1,000,000 users', value: largest / megabyte, limit: mostAt1M, unit: ' MB' },
    ],
    notes: [
      `From 100,000 to 1,000,000 users the peak grows by ${growth.toFixed(0)} bytes a user, which is their list.`,
      `No latency, ${concurrency} at once; each row is one process, its peak is VmHWM.`,
      ...(full
        ? []
        : [
            `Of the million only each ${sparsely}th user has devices: others say so in the list and cost no call. --full calls for all.`,
          ]),
    ],
  }
}

function callsOf({ users, everyNthHasDevices, rules }: Setting): number {
  return 1 + (users / everyNthHasDevices) * 3 + (rules === 'all' ? users : 0)
}

async function measure(setting: Setting): Promise<{ peakBytes: number; wallMs: number }> {
  const { users, everyNthHasDevices, rules } = setting
  await using target = await startSimulatorProcess({ users, everyNthHasDevices })
  const options = {
    side: 'ours',
    target,
    warmUp: null,
    concurrency,
    requestsPerSecond: 10_000,
    rules,
  } as const
  await using walker = await startWalkerProcess(options)
  const { peakBytes, wallMs, users: walked } = await walker.ask({ what: 'walk' })
  if (walked !== users) throw new Error(`walked ${walked} of ${users} users`)
  return { peakBytes, wallMs }
}
