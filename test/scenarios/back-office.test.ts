// The back office as people use it: the command line, the service, the partner, each over its real socket.

import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { root, startWorld, until } from './harness.ts'

describe('the back office', () => {
  it('goes on with half of a migration after the service was killed, and creates nobody twice', {
    timeout: 120_000,
  }, async () => {
    await using world = await startWorld({ simulator: { latencyMs: 10 } })
    const { fleet } = world
    const plan = join(world.folder, 'plan.csv')
    const rows = Array.from({ length: 40 }, (_, n) => `K-${n},m${n}@example.com,Maier ${n},1`)
    await writeFile(plan, ['external_user_id,email,last_name,heat_pumps', ...rows].join('\n'))
    const migrate = (url: string) => world.runCommand(['users', 'migrate', plan, '--yes', '--url', url])

    const first = world.startService()
    const args = ['users', 'migrate', plan, '--yes', '--url', await first.url()]
    const half = spawn(process.execPath, [join(root, 'src/main.ts'), ...args], { stdio: 'ignore' })
    await until('some users are there', () => fleet.userCount >= 4 + 12)
    await first.end('SIGKILL')
    half.kill('SIGKILL')
    const second = world.startService()
    const url = await second.url()
    const { code, stdout } = await migrate(url)
    expect(code).toBe(3)
    expect(stdout).toContain('onboarding  40       100 %  40 there now')
    expect(fleet.userCount).toBe(44)
    const ids = Array.from({ length: 40 }, (_, n) => fleet.profile(4 + n).external_user_id)
    expect(new Set(ids).size).toBe(40)
    expect((await second.metrics()).value('fleet_migration_users', { step: 'onboarding' })).toBe(40)
    await second.end('SIGTERM')
    // Names and addresses pass through: they stay in no log, and in the database in the trail alone.
    const database = new DatabaseSync(world.databaseFile, { readOnly: true })
    const states = JSON.stringify(database.prepare('SELECT * FROM user_migration').all())
    const trail = JSON.stringify(database.prepare('SELECT * FROM audit_record').all())
    database.close()
    expect(states).toContain('K-39')
    for (const text of [first.output(), second.output(), states]) {
      expect(text).not.toMatch(/Maier|m\d+@example/)
    }
    expect(trail).toMatch(/Maier/)
  })

  it('finds, changes and archives a user from the command line', { timeout: 60_000 }, async () => {
    await using world = await startWorld()
    const { fleet } = world
    const { url } = await world.startApp()
    const run = (...args: string[]) => world.runCommand(['users', ...args, '--url', url])
    const id = fleet.userId(1)
    expect((await run('list', '--text', fleet.profile(1).email)).stdout).toContain(id)
    expect((await run('update', id, '--town', 'Neustadt', '--yes')).code).toBe(0)
    expect(fleet.profile(1).town).toBe('Neustadt')
    expect((await run('archive', id, '--yes')).code).toBe(0)
    expect((await run('show', id, '--ticket')).stdout).toContain(`Fleetwarden-User: ${id}`)
    expect(fleet.profile(1).role).toBe('guest')
  })
})
