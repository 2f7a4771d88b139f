// Several replicas on one PostgreSQL: how the time of a walk falls with their number, whether they keep to
// a rate together, and how long it takes until another one has taken over from one that was killed.
// Each is a process of its own, started as an operator would; the database is a real one.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startPostgres } from '../test/storage/postgres-server.ts'
import {
  type Benchmark,
  type BenchOptions,
  type CallCounts,
  configurationText,
  cpuMsOf,
  type Figure,
  median,
  type Report,
  type SimulatorProcess,
  scratchFolder,
  startSimulatorProcess,
  type Table,
} from './harness.ts'
import { type ServiceProcess, startServiceProcess } from './service-process.ts'

const latencyMs = 50
const limit = 1_000
const kills = { leader: 20, follower: { usual: 5, full: 20 } }
// What a walk takes beyond the ideal: its list, slots that end apart, and processes that share two cores.
const mostOverIdeal = 1.35
// Of the limit, one in a hundred is left alone on purpose.
const leastShare = 0.98
const mostShare = 1.01
const mostTakeoverMs = 5_000
// The queue misses a replica after 10 s and looks every 5 s; then its slots are read again.
const mostLostSlotMs = 20_000

export const replicas: Benchmark = {
  name: 'replicas',
  about: 'walks, rate and takeover of several processes on one PostgreSQL',
  run,
}

async function run({ full }: BenchOptions): Promise<Report> {
  const scaling = await measureScaling(
    full ? { users: 200_000, sockets: 64, times: 1 } : { users: 1_200, sockets: 12, times: 2 },
  )
  const shared = await measureLimit()
  const takeover = await measureTakeover()
  const lostSlots = await measureLostSlots(full ? kills.follower.full : kills.follower.usual)
  return {
    tables: [scaling.table, shared.table, takeover.table, lostSlots.table],
    figures: [...scaling.figures, ...shared.figures, ...takeover.figures, ...lostSlots.figures],
    notes: [
      `ideal: calls x ${latencyMs} ms / sockets of all replicas; walks follow each other at once`,
      'with more replicas than cores, the machine is what limits: see the CPU of a call in `walk`',
    ],
  }
}

interface Measured {
  readonly table: Table
  readonly figures: readonly Figure[]
}

interface Scale {
  readonly users: number
  readonly sockets: number
  /** Walks that are measured. */
  readonly times: number
}

async function measureScaling({ users, sockets, times }: Scale): Promise<Measured> {
  const rows: string[][] = []
  const figures: Figure[] = []
  await using simulator = await startSimulatorProcess({ users, latencyMs })
  let single = 0
  for (const count of [1, 2, 4]) {
    await using world = await startReplicas(count, { simulator, sockets, requestsPerSecond: 10_000 })
    const { walks, cpuMs } = await world.walks(times)
    const wallMs = median(walks.map(({ durationMs }) => durationMs))
    const [{ answered } = { answered: 0 }] = walks
    const idealMs = (answered * latencyMs) / (count * sockets)
    if (count === 1) single = wallMs
    rows.push([
      String(count),
      String(users),
      String(answered),
      (wallMs / 1_000).toFixed(1),
      (idealMs / 1_000).toFixed(1),
      (wallMs / idealMs).toFixed(2),
      (single / wallMs).toFixed(2),
      (cpuMs / walks.reduce((sum, walk) => sum + walk.answered, 0)).toFixed(3),
    ])
    const name = `wall of the ideal, ${count} ${count === 1 ? 'replica' : 'replicas'}`
    figures.push({ name, value: wallMs / idealMs, limit: mostOverIdeal, unit: 'x' })
  }
  const head = [
    'replicas',
    'users',
    'calls',
    'wall s',
    'ideal s',
    'of the ideal',
    'times as fast',
    'CPU ms of a call',
  ]
  return { table: { head, rows }, figures }
}

async function measureLimit(): Promise<Measured> {
  await using simulator = await startSimulatorProcess({
    // Half a minute at the limit: at a walk's ends not everybody has something to send.
    users: 10 * limit,
    latencyMs: 20,
    requestsPerSecond: limit,
  })
  await using world = await startReplicas(4, { simulator, sockets: 32, requestsPerSecond: limit })
  const { walks } = await world.walks(3)
  const shareOf = ({ answered, durationMs }: CallCounts) => (answered * 1_000) / durationMs / limit
  const share = median(walks.map(shareOf))
  const throttled = median(walks.map((walk) => walk.throttled / (walk.answered + walk.throttled)))
  return {
    table: {
      head: [`4 replicas, ${limit}/s`, 'calls', 'share of the limit', 'answered 429'],
      rows: walks.map((walk, index) => [
        `walk ${index + 1}`,
        String(walk.answered),
        shareOf(walk).toFixed(4),
        String(walk.throttled),
      ]),
    },
    figures: [
      { name: 'share of the shared limit', value: share, limit: leastShare, isAtLeast: true },
      { name: 'share of the shared limit, at most', value: share, limit: mostShare },
      { name: 'share answered 429, shared limit', value: throttled, limit: 0.01 },
    ],
  }
}

async function measureTakeover(): Promise<Measured> {
  await using simulator = await startSimulatorProcess({ users: 400, latencyMs: 5 })
  await using world = await startReplicas(3, { simulator, sockets: 8, requestsPerSecond: 10_000 })
  await world.walks(1)
  const leads: number[] = []
  const walked: number[] = []
  for (let kill = 0; kill < kills.leader; kill++) {
    const { leadsMs, walkedMs } = await world.killLeader()
    leads.push(leadsMs)
    walked.push(walkedMs)
  }
  return {
    table: {
      head: ['after SIGKILL of the leader', 'kills', 'p50 s', 'worst s'],
      rows: [killRow('another one leads', leads), killRow('it has read the fleet, and tells', walked)],
    },
    figures: [{ name: 'worst takeover', value: Math.max(...leads), limit: mostTakeoverMs, unit: ' ms' }],
  }
}

/** Until the walk has ended all the same, of which some five seconds would have been left. */
async function measureLostSlots(count: number): Promise<Measured> {
  await using simulator = await startSimulatorProcess({ users: 1_200, latencyMs })
  await using world = await startReplicas(3, { simulator, sockets: 8, requestsPerSecond: 10_000 })
  await world.walks(1)
  const ended: number[] = []
  for (let kill = 0; kill < count; kill++) ended.push(await world.killFollower())
  return {
    table: {
      head: ['after SIGKILL of another one in a walk', 'kills', 'p50 s', 'worst s'],
      rows: [killRow('the walk has ended', ended)],
    },
    figures: [
      { name: 'worst walk after a kill', value: Math.max(...ended), limit: mostLostSlotMs, unit: ' ms' },
    ],
  }
}

function killRow(what: string, values: readonly number[]): readonly string[] {
  return [
    what,
    String(values.length),
    (median(values) / 1_000).toFixed(2),
    (Math.max(...values) / 1_000).toFixed(2),
  ]
}

interface World extends AsyncDisposable {
  /** What so many walks in a row asked of the partner, after one that warms up. */
  walks(count: number): Promise<{ readonly walks: readonly CallCounts[]; readonly cpuMs: number }>
  killLeader(): Promise<{ readonly leadsMs: number; readonly walkedMs: number }>
  /** In the middle of a walk: how long until that has ended (ms). */
  killFollower(): Promise<number>
}

interface Replica {
  readonly process: ServiceProcess
  leads: boolean
}

async function startReplicas(
  count: number,
  options: { simulator: SimulatorProcess; sockets: number; requestsPerSecond: number },
): Promise<World> {
  const releases = new AsyncDisposableStack()
  const folder = releases.use(await scratchFolder())
  const server = await startPostgres({ fsync: 'on' })
  releases.defer(() => server.remove())
  const { simulator } = options
  const file = join(folder.path, 'fleetwarden.yaml')
  const text = configurationText({
    baseUrl: simulator.url,
    organizationId: simulator.organizationId,
    folder: folder.path,
    storageUrl: server.url('postgres'),
    concurrency: options.sockets,
    requestsPerSecond: options.requestsPerSecond,
    rules: 'without contracts',
  })
  await writeFile(
    file,
    text.replace('"*/10 * * * *"', '"* * * * * *"').replace('level: error', 'level: info'),
  )
  let replicas: Replica[] = []
  const start = (): Replica => {
    const process = startServiceProcess(file, ({ msg }) => {
      if (msg === 'This replica leads') replica.leads = true
    })
    const replica: Replica = { process, leads: false }
    replicas.push(replica)
    return replica
  }
  const anyone = (message: string) => Promise.race(replicas.map(({ process }) => process.said(message)))
  const first = start()
  await first.process.said('This replica leads')
  for (let more = 1; more < count; more++) await start().process.said('Fleetwarden runs')
  releases.defer(async () => {
    for (const { process } of replicas) await process[Symbol.asyncDispose]()
  })
  // A walk in which only some take part says nothing.
  const untilKnown = () => pause(5_000)
  if (count > 1) await untilKnown()

  const cpuMs = () => replicas.reduce((sum, { process }) => sum + cpuMsOf(process.pid), 0)

  return {
    async walks(wanted) {
      // The one under way may have begun before all were there.
      if (count > 1) {
        await anyone('Walk ended')
        await simulator.counted()
      }
      const cpuBefore = cpuMs()
      const walks: CallCounts[] = []
      while (walks.length < wanted) {
        await anyone('Walk ended')
        walks.push(await simulator.counted())
      }
      return { walks, cpuMs: cpuMs() - cpuBefore }
    },
    async killLeader() {
      const leader = replicas.find(({ leads }) => leads)
      if (leader === undefined) throw new Error('nobody leads')
      replicas = replicas.filter((replica) => replica !== leader)
      const leading = anyone('This replica leads')
      const walked = anyone('Walk ended')
      const killedAt = performance.now()
      leader.process.kill()
      await leading
      const leadsMs = performance.now() - killedAt
      await walked
      const walkedMs = performance.now() - killedAt
      await start().process.said('Fleetwarden runs')
      return { leadsMs, walkedMs }
    },
    async killFollower() {
      const follower = replicas.find(({ leads }) => !leads)
      if (follower === undefined) throw new Error('nobody follows')
      await anyone('Walk ended')
      await pause(2_000)
      replicas = replicas.filter((replica) => replica !== follower)
      const walked = anyone('Walk ended')
      const killedAt = performance.now()
      follower.process.kill()
      await walked
      const walkedMs = performance.now() - killedAt
      await start().process.said('Fleetwarden runs')
      await untilKnown()
      return walkedMs
    },
    [Symbol.asyncDispose]: () => releases.disposeAsync(),
  }
}
