// What a fleet ten and a hundred times as large costs: whatever is kept or done per user must stay the
// same per user. Something is broken in each fleet, in the same share of it, so that alerts grow along.

import {
  type Benchmark,
  type Figure,
  type Report,
  startSimulatorProcess,
  startWalkerProcess,
} from './harness.ts'
import type { Walked } from './walker-child.ts'

const concurrency = 32
const warmUpUsers = 5_000
const megabyte = 1_048_576
// Of a walk over ten times as many, per user.
const mostGrowth = 1.25
// The log that has not gone into the file yet is a few megabytes, whatever the size.
const mostDatabaseGrowth = 1.5
const mostBytesPerUser = 700

export const growth: Benchmark = {
  name: 'growth',
  about: 'a walk over 10,000, 100,000 and 1,000,000 users with a device each: cost per user',
  run,
}

interface Size extends Walked {
  readonly users: number
}

async function run(): Promise<Report> {
  const sizes: Size[] = []
  for (const users of [10_000, 100_000, 1_000_000]) sizes.push(await measure(users))
  const figures: Figure[] = []
  for (const [index, larger] of sizes.entries()) {
    const smaller = sizes[index - 1]
    if (smaller === undefined) continue
    const of = `${larger.users.toLocaleString('en')} users / ${smaller.users.toLocaleString('en')}`
    const perUser = (size: Size, field: 'cpuMs' | 'wallMs' | 'databaseBytes') => size[field] / size.users
    for (const [name, field, limit] of [
      ['CPU per user', 'cpuMs', mostGrowth],
      ['time per user', 'wallMs', mostGrowth],
      ['database per user', 'databaseBytes', mostDatabaseGrowth],
    ] as const) {
      const value = perUser(larger, field) / perUser(smaller, field)
      figures.push({ name: `${name}, ${of}`, value, limit })
    }
    const value = (larger.peakBytes - smaller.peakBytes) / (larger.users - smaller.users)
    figures.push({
      name: `peak memory for each user more, ${of}`,
      value,
      limit: mostBytesPerUser,
      unit: ' B',
    })
  }
  return {
    tables: [
      {
        head: [
          'users',
          'alerts',
          'wall s',
          'us/user',
          'CPU s',
          'us/user',
          'peak MB',
          'database MB',
          'B/user',
        ],
        rows: sizes.map(({ users, alerts, wallMs, cpuMs, peakBytes, databaseBytes }) => [
          users.toLocaleString('en'),
          alerts.toLocaleString('en'),
          (wallMs / 1_000).toFixed(1),
          ((wallMs * 1_000) / users).toFixed(0),
          (cpuMs / 1_000).toFixed(1),
          ((cpuMs * 1_000) / users).toFixed(0),
          (peakBytes / megabyte).toFixed(0),
          (databaseBytes / megabyte).toFixed(1),
          (databaseBytes / users).toFixed(0),
        ]),
      },
    ],
    figures,
    notes: [
      `First walks, no latency, ${concurrency} at once, a call for each user: what limits is CPU, the simulator's with it.`,
      'Database: SQLite, the file and its log, with the alerts, their history and what is to be told.',
    ],
  }
}

async function measure(users: number): Promise<Size> {
  await using warmUp = await startSimulatorProcess({ users: warmUpUsers })
  await using target = await startSimulatorProcess({ users, hasFaults: true, onlyManufacturer: 'Vaillant' })
  await using walker = await startWalkerProcess({
    ...{ side: 'ours', target, warmUp, concurrency },
    ...{ requestsPerSecond: 10_000, rules: 'without contracts' },
  })
  const walked = await walker.ask({ what: 'walk' })
  if (walked.users !== users) throw new Error(`walked ${walked.users} of ${users} users`)
  return walked
}
