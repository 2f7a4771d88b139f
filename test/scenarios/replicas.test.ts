// Three replicas on one real PostgreSQL that are paused, restarted, and cut off from it. What they tell when
// they are killed at random is checked by test/peers/replicas-check.ts, which takes longer.

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { ask } from '../http/ask.ts'
import { administer } from '../storage/postgres-server.ts'
import { allTold, each, lostAtOnce, pause, timesTold, until, type World } from './harness.ts'
import { inRealTime, type Replicas, slotsOf, startReplicas, untilShared } from './replica-world.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 240_000 })

// The longest first, so that the others run beside it.
describe.concurrent('three replicas', () => {
  it('send nothing of a leader that was paused for longer than its lease', async ({ expect }) => {
    await using replicas = await startReplicas(2, { webhooks: ['on-call'] })
    const { world } = replicas
    await untilShared(replicas)
    const first = await replicas.leader()
    world.webhooks.fail('on-call', 503)
    world.lose(world.device(0))
    await until('it has tried', () => world.webhooks.requests('on-call') >= 1)
    first.child.kill('SIGSTOP')
    // What it had begun has ended.
    await pause(100)
    const other = replicas.services.find((service) => service !== first)!
    const pausedAt = performance.now()
    await until('the other one leads', async () => (await other.metrics()).value('fleet_leader') === 1)
    expect(performance.now() - pausedAt).toBeLessThan(20_000)
    world.webhooks.heal('on-call')
    const told = () => timesToldByWebhook(world, world.device(0).id)
    await until('it is told', () => told() === 1, { detail: replicas.detail })
    first.child.kill('SIGCONT')
    await until('it knows', () => first.output().includes('Another replica leads now'))
    await replicas.walksEnd(3)
    expect(told()).toBe(1)
    expect((await first.metrics()).value('fleet_leader')).toBe(0)
  })

  it('read again what a paused one had, and do not hear it when it wakes', async ({ expect }) => {
    await using replicas = await startReplicas(2, {
      fleet: { users: 80 },
      simulator: { latencyMs: 20 },
      config: () => ({ partner: { concurrency: 1 } }),
    })
    await untilShared(replicas)
    const [follower] = await replicas.followers()
    await until('it works on slots', async () => (await slotsOf(follower!, 'found')) >= 1)
    // The leader works on two at most: one of three is the other one's.
    const taken = 'SELECT 1 FROM fleetwarden.slot WHERE touched_at IS NOT NULL AND findings IS NULL'
    await until('both are at work', async () => {
      const slots = await administer(replicas.server.url('postgres'), taken)
      return slots.length >= 3 && follower!.child.kill('SIGSTOP')
    })
    const pausedAt = performance.now()
    await replicas.walksEnd(2)
    expect(performance.now() - pausedAt).toBeLessThan(50_000)
    follower!.child.kill('SIGCONT')
    await until('it is told', async () => (await slotsOf(follower!, 'too_late')) >= 1, {
      detail: replicas.detail,
    })
    const found = await slotsOf(follower!, 'found')
    await until('it works again', async () => (await slotsOf(follower!, 'found')) > found, {
      detail: replicas.detail,
    })
  })

  it('are restarted one after the other without anybody noticing', async ({ expect }) => {
    await using replicas = await startReplicas(3, { fleet: { users: 60 } })
    const { world } = replicas
    await untilShared(replicas)
    world.lose(world.device(0), world.device(30))
    for (const user of [0, 30]) {
      const { id } = world.device(user)
      await until(
        `${id} is told`,
        () => JSON.stringify(timesTold(world, id)) === JSON.stringify(each(1, 0)),
        { detail: replicas.detail },
      )
    }
    await replicas.walksEnd(2)
    for (const service of [...replicas.services]) {
      expect(await service.end('SIGTERM')).toEqual({ code: 0, signal: null })
      await replicas.replace(service).url()
      await replicas.walksEnd(1)
    }
    expect(allTold(world)).toHaveLength(4)
    world.heal(world.device(30))
    const { id } = world.device(30)
    await until(
      'its end is told',
      () => JSON.stringify(timesTold(world, id)) === JSON.stringify(each(1, 1)),
      { detail: replicas.detail },
    )
    expect(allTold(world)).toHaveLength(6)
  })

  it('keep to the rate of one together, and say so when their database is away', async ({ expect }) => {
    await using replicas = await startReplicas(3, {
      fleet: { users: 150 },
      simulator: { requestsPerSecond: 150 },
      config: () => ({ partner: { requests_per_second: 150 } }),
    })
    await untilShared(replicas)
    await replicas.walksEnd(3)
    const all = await Promise.all(replicas.services.map((service) => service.metrics()))
    const sum = (name: string, labels?: Record<string, string>) =>
      all.reduce((total, metrics) => total + metrics.value(name, labels), 0)
    expect(sum('fleet_partner_requests_total')).toBeGreaterThan(600)
    expect(sum('fleet_partner_requests_total', { code: '429' })).toBeLessThan(
      sum('fleet_partner_requests_total') * 0.01,
    )
    for (const service of replicas.services) expect(await slotsOf(service, 'found')).toBeGreaterThan(0)

    await replicas.server.stop()
    await pause(1_000)
    const requests = async () => {
      const now = await Promise.all(replicas.services.map((service) => service.metrics()))
      return now.reduce((total, metrics) => total + metrics.value('fleet_partner_requests_total'), 0)
    }
    const before = await requests()
    for (const follower of replicas.services) {
      await until('it says that it waits', async () => {
        const response = await fetch(`${await follower.url()}/-/ready`)
        return response.status === 503 && (await response.text()).includes('the database cannot be reached')
      })
    }
    expect(await requests()).toBe(before)
    await replicas.server.start()
    await replicas.walksEnd(1)
  })

  it('end the walk that was under way when all of them read other rules', async ({ expect }) => {
    await using replicas = await startReplicas(2, {
      fleet: { users: 80 },
      simulator: { latencyMs: 20 },
      config: () => ({ partner: { concurrency: 1 } }),
    })
    const { world } = replicas
    await untilShared(replicas)
    const taken = 'SELECT 1 FROM fleetwarden.slot WHERE touched_at IS NOT NULL AND findings IS NULL'
    await until('both are at work', async () => {
      return (await administer(replicas.server.url('postgres'), taken)).length >= 3
    })
    await writeFile(join(world.folder, 'rules.yaml'), lostAtOnce.replaceAll('DeviceLost', 'DeviceGone'))
    for (const service of replicas.services) service.child.kill('SIGHUP')
    for (const service of replicas.services) {
      await until('it has read them', () => service.output().includes('were read anew'))
    }
    world.lose(world.device(3))
    await replicas.walksEnd(2)
    const told = () => allTold(world).filter(({ text }) => text.includes('DeviceGone'))
    await until('it is told with the new rule', () => told().length === 2, { detail: replicas.detail })
    expect(replicas.services.flatMap(({ logs }) => logs).map(({ msg }) => msg)).not.toContain(
      'Walk ended by an unexpected error',
    )
  })

  it('ask for the tokens of the last reload, whether they lead or not', async ({ expect }) => {
    await using replicas = await startReplicas(2)
    const [follower] = await replicas.followers()
    const leader = await replicas.leader()
    const url = await follower!.url()
    const status = async (method: string, path: string, name?: string) => {
      const headers = name === undefined ? {} : { authorization: `Bearer ${tokenOf(name)}` }
      return (await ask(url, path, { method, headers })).status
    }
    const configured = (...tokens: readonly (readonly [name: string, role: string])[]) => {
      const access = { tokens: tokens.map(([name, role]) => accessEntry(name, role)), metrics: 'viewer' }
      return replicas.world.configure({
        ...inRealTime,
        storage: { url: replicasUrl(replicas) },
        http: { access },
      })
    }
    expect(await status('GET', '/metrics')).toBe(200)

    await configured(['ada', 'admin'], ['vera', 'viewer'])
    expect(await status('POST', '/-/reload')).toBe(200)
    expect(await status('GET', '/metrics')).toBe(401)
    expect(await status('GET', '/metrics', 'vera')).toBe(200)
    expect(await status('GET', '/-/ready')).toBe(200)
    expect(await status('POST', '/-/reload')).toBe(401)
    expect(await status('POST', '/-/reload', 'vera')).toBe(403)

    await configured(['ada', 'admin'], ['otto', 'viewer'])
    expect(await status('POST', '/-/reload', 'ada')).toBe(200)
    expect(await status('GET', '/metrics', 'vera')).toBe(401)
    expect(await status('GET', '/metrics', 'otto')).toBe(200)
    // The other one has not read it.
    expect((await leader.metrics()).value('fleet_leader')).toBe(1)

    await leader.end('SIGKILL')
    await until('it leads', async () => (await status('GET', '/api/v2/alerts', 'otto')) === 200, {
      detail: replicas.detail,
    })
    expect(await status('GET', '/api/v2/alerts')).toBe(401)
    expect(await status('GET', '/api/v2/alerts', 'vera')).toBe(401)
    expect(await status('GET', '/metrics', 'vera')).toBe(401)
    expect(await status('POST', '/-/reload', 'otto')).toBe(403)
  })

  it('answer through the leader, and hand slots only to those with the same rules', async ({ expect }) => {
    await using replicas = await startReplicas(2, { fleet: { users: 60 } })
    await untilShared(replicas)
    const [follower] = await replicas.followers()
    const leader = await replicas.leader()
    const url = await follower!.url()
    const unknown = await fetch(`${url}/api/v2/alerts`, { redirect: 'manual' })
    expect(unknown.status).toBe(503)
    await administer(
      replicas.server.url('postgres'),
      `UPDATE fleetwarden.owner SET url = '${await leader.url()}'`,
    )
    await until(
      'it knows',
      async () => (await fetch(`${url}/api/v2/alerts`, { redirect: 'manual' })).status === 307,
    )
    for (const path of ['/', '/silences?page=2', '/r/a-link-of-ours']) {
      const { status, headers } = await fetch(`${url}${path}`, { redirect: 'manual' })
      expect([status, headers.get('location'), headers.get('referrer-policy')]).toEqual([
        ...[307, `${await leader.url()}${path}`, 'no-referrer'],
      ])
    }
    const answer = await fetch(`${url}/api/v2/alerts?active=true`)
    expect([answer.url, answer.status]).toEqual([`${await leader.url()}/api/v2/alerts?active=true`, 200])
    const silence = await (await follower!.api()).silence({ device_id: '17' }, { forMs: 3_600_000 })
    expect(await (await leader.api()).stateOfSilence(silence)).toBe('active')

    replicas.world.simulator.faults.add({ kind: 'malformed_devices', share: 0.3 })
    await until('the page has what either of them could not read', async () => {
      const walk = leader.logs.findLast(({ msg }) => msg === 'Walk ended with gaps')
      const page = await (await fetch(`${await leader.url()}/walks`)).text()
      const shares = await Promise.all(
        [leader, follower!].map(async (service) =>
          (await service.metrics()).value('fleet_unread_total', { reason: 'malformed' }),
        ),
      )
      return (
        shares.every((count) => count > 0) &&
        page.includes(`<b>${walk?.['devices_unread']}</b> single devices: answer of another shape`)
      )
    })

    await replicas.world.configure({ ...inRealTime, storage: { url: replicasUrl(replicas) }, rules: [] })
    follower!.child.kill('SIGHUP')
    await until(
      'its reload fails',
      async () => (await follower!.metrics()).value('fleet_config_last_reload_successful') === 0,
    )
  })
})

const tokenOf = (name: string) => `fwt_${name}-r7Qm2XvK9dT4`
const accessEntry = (name: string, role: string) => ({
  ...{ name, role, hash: `sha256:${createHash('sha256').update(tokenOf(name)).digest('hex')}` },
})

const replicasUrl = ({ proxy }: Replicas) => `postgres://postgres@127.0.0.1:${proxy.port}/postgres`

function timesToldByWebhook(world: World, text: string): number {
  return world.webhooks.told('on-call').filter((told) => told.includes(text)).length
}
