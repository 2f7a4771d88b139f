// The service with its state in PostgreSQL: the server goes away and comes back, the service is killed, and
// its state is moved.

import { describe, it, vi } from 'vitest'
import { openPostgres } from '../../src/storage/postgres.ts'
import { administer, postgresConfig, startPostgres } from '../storage/postgres-server.ts'
import { allTold, each, type Service, startWorld, story, timesTold, until } from './harness.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const logged = ({ logs }: Service, msg: string) => logs.filter((line) => line.msg === msg).length

async function walksEnd(service: Service, count: number): Promise<void> {
  const enough = logged(service, 'Walk ended') + count
  await until('walks end', () => logged(service, 'Walk ended') >= enough, { detail: service.output })
}

describe.concurrent('the service on PostgreSQL', () => {
  it('tells everything once, whatever is killed, stopped or moved', async ({ expect }) => {
    const server = await startPostgres()
    await using world = await startWorld()
    world.defer(() => server.remove())
    const url = server.url('postgres')
    const config = {
      poll: { schedule: '* * * * * *', recheck_interval: '1s' },
      alerting: { route: { group_by: ['...'], group_wait: '0s', group_interval: '1s' } },
    }
    await world.configure({ ...config, storage: { url } })
    const [first, second, third] = [world.device(0), world.device(1), world.device(2)]
    let service = world.startService()
    await service.url()
    await walksEnd(service, 1)

    const toldOf = (id: string, firing: number, resolved: number) =>
      until(
        `${id} is told ${firing} and ${resolved} times`,
        () => JSON.stringify(timesTold(world, id)) === JSON.stringify(each(firing, resolved)),
        { detail: () => story(world, service.logs) },
      )

    world.lose(first)
    await toldOf(first.id, 1, 0)

    // Somebody is forgotten while it runs, and the trail says so.
    const forgotten = await fetch(`${await service.url()}/api/v1/forget`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'f0000000-0000-4000-8000-000000000000', dry_run: false }),
    })
    expect(forgotten.status).toBe(200)
    const trail = await fetch(`${await service.url()}/api/v1/audit?action=user.forget`)
    expect(
      (await trail.text())
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).result),
    ).toEqual(['begun', 'ok'])

    // Killed when that is remembered, and started again: nothing to say.
    await walksEnd(service, 2)
    await service.end('SIGKILL')
    service = world.startService()
    await walksEnd(service, 2)
    await toldOf(first.id, 1, 0)

    // Without its database it tells nothing, and says why.
    await server.crash()
    world.lose(second)
    await until(
      'the service notices',
      async () => (await service.metrics()).value('fleet_storage_errors_total', { kind: 'unavailable' }) > 0,
    )
    await until('it says that it waits', async () => {
      const ready = await fetch(`${await service.url()}/-/ready`)
      return ready.status === 503 && (await ready.text()).includes('the database cannot be reached')
    })
    expect(timesTold(world, second.id)).toEqual(each(0, 0))
    await server.start()
    await toldOf(second.id, 1, 0)

    // Moved to a file: what was told is known there.
    await service.end('SIGTERM')
    const moved = await world.runCommand([
      'storage',
      'copy',
      '--from',
      url,
      '--to',
      `sqlite:${world.databaseFile}`,
    ])
    expect(moved).toMatchObject({ code: 0, stderr: '' })
    const verified = await world.runCommand(['audit', 'verify', '--database', world.databaseFile])
    expect(verified).toMatchObject({ code: 0, stderr: '' })
    await world.configure(config)
    service = world.startService()
    await walksEnd(service, 2)
    const before = allTold(world).length
    world.lose(third)
    world.heal(first, second)
    for (const { id } of [first, second]) await toldOf(id, 1, 1)
    await toldOf(third.id, 1, 0)
    expect(allTold(world)).toHaveLength(before + 3 * 2)
    expect(service.output()).not.toContain('postgres')
  })

  it('waits when another process has taken over its database, and leads again after it', async ({
    expect,
  }) => {
    const server = await startPostgres()
    await using world = await startWorld()
    world.defer(() => server.remove())
    const url = server.url('postgres')
    await world.configure({ poll: { schedule: '* * * * * *' }, storage: { url } })
    const service = world.startService()
    await walksEnd(service, 1)
    service.child.kill('SIGSTOP')
    await administer(
      url,
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'fleetwarden%'",
    )
    const other = await openPostgres({ config: postgresConfig(url), lockTimeoutMs: 20_000 })
    service.child.kill('SIGCONT')
    await until(
      'it knows',
      () => logged(service, 'Another replica leads now: this one works on slots and waits') === 1,
      {
        detail: service.output,
      },
    )
    const alerts = await fetch(`${await service.url()}/api/v2/alerts`)
    expect([alerts.status, alerts.headers.get('retry-after')]).toEqual([503, '2'])
    await other.close()
    await walksEnd(service, 1)
    expect(logged(service, 'This replica leads')).toBe(2)
  })
})
