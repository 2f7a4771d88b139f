import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openMigrations } from '../../src/backoffice/migrations.ts'
import { migrationApi } from '../../src/http/migration-api.ts'
import { silentLogger } from '../../src/logger.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import type { Office } from '../backoffice/office.ts'
import { startUsersServer } from '../http/users-server.ts'
import { never, quickClock } from '../partner/local-server.ts'
import { runServiceCommand } from './service-command.ts'

const head = 'external_user_id,email,last_name,heat_pumps,inverters'

async function world() {
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-migrate-'))
  const storage = await openSqlite({ path: join(folder, 'fleet.db') })
  onTestFinished(async () => {
    await storage.close()
    await rm(folder, { recursive: true })
  })
  const server = await startUsersServer({}, async (office) => {
    const migrations = await openMigrations({
      store: storage,
      backOffice: office.office,
      directory: office.directory,
      client: office.client,
      record: async (entry) => void office.trail.push(entry),
      clock: quickClock,
      returnUrls: { successUrl: 'https://portal.example.com/', cancelUrl: 'https://portal.example.com/' },
      signal: never,
    })
    return [migrationApi({ migrations, clock: quickClock, logger: silentLogger })]
  })
  const file = join(folder, 'plan.csv')
  const run = (args: readonly string[], answer?: string) =>
    runServiceCommand(['users', 'migrate', ...args, '--url', server.url], {
      clock: quickClock,
      ...(answer === undefined ? {} : { answer }),
    })
  return { ...server, fleet: server.simulator.fleet, folder, file, run }
}

function connect({ simulator: { fleet } }: Office, email: string): void {
  const index = fleet.findByEmail(email)!
  fleet.addDevice(index, { type: 'heat_pump', at: quickClock.now() })
}

describe('fleetwarden users migrate', () => {
  it('asks, takes everybody on, writes the links for their customers, and shows a funnel', async () => {
    const here = await world()
    await writeFile(here.file, `${head}\nK-1,a@example.com,Maier,1,0\nK-2,b@example.com,,0,0\n`)
    expect(await here.run([here.file], 'n')).toMatchObject({
      exitCode: 1,
      asked: ['Take 2 users on, and archive 0 old records of those who get through? [y/N] '],
    })
    expect(here.fleet.userCount).toBe(20)
    const links = join(here.folder, 'links.csv')
    const { exitCode, out } = await here.run([here.file, '--yes', '--links', links])
    expect(exitCode).toBe(3)
    expect(out.split('\n')).toEqual([
      'step        reached',
      'planned     2        100 %',
      'created     2        100 %',
      'identified  2        100 %',
      'onboarding  2        100 %  1 there now',
      'verified    1        50 %',
      'done        1        50 %   1 there now',
    ])
    const written = (await readFile(links, 'utf8')).trim().split('\n')
    expect(written).toHaveLength(2)
    expect(written[1]).toMatch(/^K-1,[\w-]+,heat_pump,[\d-]+T[^,]+,http/)
    expect((await stat(links)).mode & 0o777).toBe(0o600)
    const status = await here.run(['--status'])
    expect(status.out).toContain('K-1          onboarding  ')
    expect(status.out).toContain('0 of 1 heat pump connected')
    expect(status.out).not.toContain('a@example.com')
    expect(JSON.parse((await here.run(['--status', '--format', 'json'])).out)).toHaveLength(2)
    connect(here, 'a@example.com')
    expect(await here.run(['--yes'])).toMatchObject({ exitCode: 0 })
    expect((await here.run(['--status'])).exitCode).toBe(0)
    expect((await here.run(['--yes'])).error).toBe('nobody is to be moved')
  })

  it('says when links went nowhere, and opens new ones on demand', async () => {
    const here = await world()
    await writeFile(here.file, `${head}\nK-1,a@example.com,Maier,1,1\n`)
    const first = await here.run([here.file, '--yes'])
    expect(first.error).toContain('2 onboarding sessions were opened and nobody has the link')
    expect((await here.run(['--yes', '--reopen'])).exitCode).toBe(2)
    const links = join(here.folder, 'links.csv')
    await here.run(['--yes', '--reopen', '--links', links])
    expect((await readFile(links, 'utf8')).trim().split('\n')).toHaveLength(3)
    expect(JSON.stringify(here.trail)).not.toContain('/session/')
  })

  it('creates nobody when a row of the plan is wrong', async () => {
    const here = await world()
    await writeFile(here.file, `${head}\nK-1,a@example.com,Maier,1,0\nK-2,b,Maier,many,0\n`)
    const { exitCode, error } = await here.run([here.file, '--yes'])
    expect(exitCode).toBe(2)
    expect(error).toContain('plan.csv:3:1: email: expected an e-mail address')
    expect(error).toContain('plan.csv:3:1: heat_pumps: expected how many')
    expect(here.fleet.userCount).toBe(20)
  })

  it('goes on where it was after half of it, whatever stopped it', async () => {
    const here = await world()
    const rows = Array.from({ length: 10 }, (_, n) => `K-${n},m${n}@example.com,Maier,1,0`)
    await writeFile(here.file, [head, ...rows].join('\n'))
    // The partner goes away in the middle, in the worst of ways: it does it and its answer is lost.
    here.simulator.faults.add({ kind: 'cut', method: 'POST', share: 0.3, times: 4 })
    here.simulator.faults.add({
      kind: 'rate_limit',
      method: 'PUT',
      retryAfterSeconds: 1,
      share: 0.5,
      times: 4,
    })
    await here.run([here.file, '--yes'])
    const { exitCode, out } = await here.run([here.file, '--yes'])
    expect([exitCode, out]).toEqual([3, expect.stringContaining('onboarding  10       100 %  10 there now')])
    expect(here.fleet.userCount).toBe(30)
    const ids = Array.from({ length: 10 }, (_, n) => here.fleet.profile(20 + n).external_user_id)
    expect(ids.sort()).toEqual(Array.from({ length: 10 }, (_, n) => `K-${n}`))
  })

  it('forgets whom it is told to', async () => {
    const here = await world()
    await writeFile(here.file, `${head}\nK/1 ä,a@example.com,Maier,1,0\n`)
    await here.run([here.file, '--yes'])
    expect((await here.run(['--forget', 'K/1 ä'])).out).toBe(
      'K/1 ä: forgotten; nothing was changed at the partner',
    )
    expect((await here.run(['--forget', 'K/1 ä'])).exitCode).toBe(1)
  })

  it('says what is wrong with a request', async () => {
    const here = await world()
    const post = async (body: unknown) => {
      const response = await fetch(`${here.url}/api/v1/migration/users`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      })
      return [response.status, ((await response.json()) as { error: string }).error]
    }
    const user = { role: 'user', email: 'a@example.com' }
    expect(await post({ external_user_id: '', user })).toEqual([
      400,
      'external_user_id: expected the id in the old system',
    ])
    expect(await post({ external_user_id: 'K', user: { ...user, role: 'admin' } })).toEqual([
      400,
      'role: only customers are moved over',
    ])
    expect(await post({ external_user_id: 'K', user, old_user_id: '..' })).toEqual([
      400,
      "old_user_id: expected a user's id at the partner",
    ])
    expect(await post({ external_user_id: 'K', user, language: 'german' })).toEqual([
      400,
      'language: expected a language such as de or en',
    ])
  })
})
