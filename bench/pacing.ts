// A walk under a limit of the partner: how much of what it allows is used, and how often it has to
// say no. Beside it the bare loop, which asks as fast as it can and sleeps when told to.

import {
  type Benchmark,
  type CallCounts,
  type Figure,
  median,
  type Report,
  startSimulatorProcess,
  startWalkerProcess,
} from './harness.ts'
import type { WalkerOptions } from './walker-child.ts'

const limit = 1_500
const latencyMs = 20
const concurrency = 64
const callsPerUser = 3
// 40 seconds at the limit.
const users = (40 * limit) / callsPerUser
const warmUpUsers = 5_000
const leastShare = 0.97
const mostThrottled = 0.01

interface Setting {
  readonly name: string
  readonly side: WalkerOptions['side']
  readonly requestsPerSecond: number
  readonly rounds: number
  readonly isHeld: boolean
}

const settings: readonly Setting[] = [
  { name: `told the limit (${limit}/s)`, side: 'ours', requestsPerSecond: limit, rounds: 3, isHeld: true },
  {
    name: `told ${2 * limit}/s, has to adapt`,
    side: 'ours',
    requestsPerSecond: 2 * limit,
    rounds: 3,
    isHeld: true,
  },
  { name: 'bare loop, sleeps on Retry-After', side: 'bare', requestsPerSecond: 0, rounds: 1, isHeld: false },
]

export const pacing: Benchmark = {
  name: 'pacing',
  about: `calls that came through under a limit of ${limit} a second, as a share of it`,
  run,
}

async function run(): Promise<Report> {
  const rows: string[][] = []
  const figures: Figure[] = []
  for (const setting of settings) {
    const counts = await measure(setting)
    const share = median(counts.map(({ answered, durationMs }) => (answered * 1_000) / durationMs / limit))
    const throttled = median(counts.map((each) => each.throttled / (each.answered + each.throttled)))
    const [first] = counts
    rows.push([
      setting.name,
      String(first?.answered),
      median(counts.map((each) => each.throttled)).toFixed(0),
      median(counts.map((each) => each.durationMs / 1_000)).toFixed(1),
      share.toFixed(3),
      `${(throttled * 100).toFixed(2)} %`,
    ])
    if (!setting.isHeld) continue
    figures.push(
      { name: `share of the limit, ${setting.name}`, value: share, limit: leastShare, isAtLeast: true },
      { name: `share answered 429, ${setting.name}`, value: throttled, limit: mostThrottled },
    )
  }
  return {
    tables: [{ head: ['', 'came through', '429', 's', 'of the limit', '429'], rows }],
    figures,
    notes: [
      `${concurrency} at once, ${latencyMs} ms, from the first to the last call about a user; medians of 3 walks, 1 of the bare loop.`,
      'The simulated limit is a bucket that holds one second: whoever starts fast has these 1,500 calls for nothing,',
      'which is 2.5 % of this walk. Each walk is the first after a start, so it has to find the limit.',
    ],
  }
}

async function measure({ side, requestsPerSecond, rounds }: Setting): Promise<readonly CallCounts[]> {
  await using stack = new AsyncDisposableStack()
  const warmUp = stack.use(await startSimulatorProcess({ users: warmUpUsers }))
  const counts: CallCounts[] = []
  for (let round = 0; round < rounds; round++) {
    // Both anew: nothing is known of the limit, and its bucket is full.
    await using target = await startSimulatorProcess({ users, latencyMs, requestsPerSecond: limit })
    const rules = 'without contracts'
    await using walker = await startWalkerProcess({
      side,
      target,
      warmUp,
      concurrency,
      requestsPerSecond,
      rules,
    })
    await walker.ask({ what: 'walk' })
    counts.push(await target.counted())
  }
  return counts
}
