// Several replicas on one real PostgreSQL, each a process of its own, behind a proxy that can cut their
// connections.

import { type PostgresServer, startPostgres } from '../storage/postgres-server.ts'
import { startProxy, type TcpProxy } from '../storage/tcp-proxy.ts'
import {
  type ConfigParts,
  type Service,
  startWorld,
  story,
  until,
  type World,
  type WorldOptions,
} from './harness.ts'

export interface Replicas extends AsyncDisposable {
  readonly world: World
  readonly server: PostgresServer
  readonly proxy: TcpProxy
  readonly services: readonly Service[]
  /** The one that leads now. */
  leader(): Promise<Service>
  followers(): Promise<readonly Service[]>
  /** In the place of one that has ended. */
  replace(ended: Service): Service
  /** Whoever leads by then, so many walks end from now on. */
  walksEnd(count?: number): Promise<void>
  detail(): string
}

export const inRealTime: ConfigParts = {
  poll: { schedule: '* * * * * *', recheck_interval: '1s' },
  alerting: { route: { group_by: ['...'], group_wait: '0s', group_interval: '1s', repeat_interval: '1h' } },
}

export async function startReplicas(
  count: number,
  {
    config = () => ({}),
    ...options
  }: Omit<WorldOptions, 'config'> & { readonly config?: (world: World) => ConfigParts } = {},
): Promise<Replicas> {
  const server = await startPostgres({ fsync: 'on' })
  const proxy = await startProxy(server.port)
  const world = await startWorld(options)
  world.defer(() => server.remove())
  world.defer(() => proxy.close())
  const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`
  await world.configure({ ...inRealTime, ...config(world), storage: { url } })
  const services = Array.from({ length: count }, () => world.startService())
  const walksIn = ({ logs }: Service) => logs.filter(({ msg }) => msg === 'Walk ended').length
  const detail = () =>
    story(
      world,
      services.flatMap(({ logs }) => logs.slice(-12)),
    )

  async function leading(): Promise<{ leader: Service; followers: Service[] }> {
    return until(
      'one replica leads',
      async () => {
        const roles = await Promise.all(
          services.map(async (service) =>
            service
              .metrics()
              .then((metrics) => metrics.value('fleet_leader'))
              .catch(() => 0),
          ),
        )
        const leaders = services.filter((_, index) => roles[index] === 1)
        const [leader] = leaders
        return leaders.length === 1 && leader !== undefined
          ? { leader, followers: services.filter((service) => service !== leader) }
          : undefined
      },
      { withinMs: 60_000, detail },
    )
  }

  return {
    ...{ world, server, proxy, services, detail },
    leader: async () => (await leading()).leader,
    followers: async () => (await leading()).followers,
    replace(ended) {
      const service = world.startService()
      services[services.indexOf(ended)] = service
      return service
    },
    async walksEnd(more = 1) {
      const before = new Map(services.map((service) => [service, walksIn(service)]))
      const ended = () =>
        services.reduce((sum, service) => sum + walksIn(service) - (before.get(service) ?? 0), 0)
      await until('walks end', () => ended() >= more, { withinMs: 60_000, detail })
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

export async function untilShared({ leader, services }: Replicas): Promise<void> {
  await until(
    'all replicas are known',
    async () => (await (await leader()).metrics()).value('fleet_replicas') === services.length,
    { withinMs: 60_000 },
  )
}

export const slotsOf = async (service: Service, outcome: string) =>
  (await service.metrics()).value('fleet_slots_total', { outcome })
