// A customer who is to be forgotten: gone from memory, database, log of the database and audit trail,
// without a message to anybody, and without harm to anybody else.

import { existsSync, readFileSync } from 'node:fs'
import { describe, it, vi } from 'vitest'
import { allTold, quiet, type RunningApp, startWorld, until, type World, walkEnds } from './harness.ts'

vi.setConfig({ testTimeout: 120_000 })

interface Report {
  readonly parts: readonly { readonly name: string; readonly count: number }[]
  readonly partner: string
  readonly warnings: readonly string[]
  readonly digest: string | null
}

async function forget({ url }: RunningApp, user: string, isDryRun = false): Promise<Report> {
  const response = await fetch(`${url}/api/v1/forget`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user, dry_run: isDryRun }),
  })
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as Report
}

const counts = ({ parts }: Report) => Object.fromEntries(parts.map(({ name, count }) => [name, count]))

/** What a search through the disk would find: of the file, and of the log beside it. */
function bytesOnDisk({ databaseFile }: World): Buffer {
  const files = [databaseFile, `${databaseFile}-wal`].filter((file) => existsSync(file))
  return Buffer.concat(files.map((file) => readFileSync(file)))
}

function found(world: World, words: readonly string[]): string[] {
  const bytes = bytesOnDisk(world)
  return words.filter((word) => bytes.includes(word))
}

/** At the partner. */
function remove({ fleet, clock }: World, userId: string): void {
  fleet.deleteUser(fleet.userIndex(userId)!, clock.now())
}

async function firing(running: RunningApp, count: number) {
  return until(`${count} fire`, async () => {
    const alerts = await running.api.alerts('DeviceLost')
    return alerts.length === count && alerts
  })
}

describe.concurrent('a customer who is forgotten', () => {
  it('leaves no trace, and what concerns others stays', async ({ expect }) => {
    await using world = await startWorld({ factor: 60, config: { flapping: { high: 6, low: 3 } } })
    await using running = await world.startApp()
    const [theirs, other] = [world.device(0), world.device(1)]
    world.lose(theirs, other)
    const alerts = await firing(running, 2)
    const mine = alerts.find(({ labels }) => labels['device_id'] === theirs.id)!
    const kept = alerts.find(({ labels }) => labels['device_id'] === other.id)!
    await quiet(world, running)
    const userId = mine.labels['user_id']!
    const { email, first_name, last_name } = world.fleet.profile(world.fleet.userIndex(userId)!)
    const words = [userId, theirs.id, email!, `${first_name} ${last_name}`]
    await running.api.acknowledge(mine.fingerprint)
    await running.api.silence({ device_id: theirs.id }, { forMs: 3_600_000 })
    const broad = await running.api.silence({ device_type: 'no-such-type' }, { forMs: 3_600_000 })
    await fetch(`${running.url}/api/v1/audit?user=${userId}`)
    expect(found(world, words)).toEqual(words)

    const preview = await forget(running, userId, true)
    expect(counts(preview)).toMatchObject({ alerts: 1, acknowledgements: 1, silences: 1 })
    expect(preview).toMatchObject({ partner: 'exists', digest: null })
    expect(preview.warnings[0]).toContain('still exists at the partner')
    expect(found(world, words)).toEqual(words)

    // Gone at the partner, or the next walk would read it again.
    remove(world, userId)
    const toldBefore = allTold(world).length
    const report = await forget(running, userId)
    expect(report).toMatchObject({ partner: 'gone', warnings: [] })
    expect(counts(report)).toEqual(counts(preview))
    expect(found(world, words)).toEqual([])

    await walkEnds(running)
    await quiet(world, running)
    expect(found(world, words)).toEqual([])
    // Silently: nobody was told an end.
    expect(allTold(world)).toHaveLength(toldBefore)
    expect((await running.api.alerts('DeviceLost')).map(({ fingerprint }) => fingerprint)).toEqual([
      kept.fingerprint,
    ])
    expect((await running.api.silences()).map(({ id }) => id)).toEqual([broad])

    const trail = await (await fetch(`${running.url}/api/v1/audit`)).text()
    for (const word of words) expect(trail).not.toContain(word)
    expect(trail).toContain(report.digest)
    const verdict = await (await fetch(`${running.url}/api/v1/audit/verify`)).json()
    expect(verdict).toMatchObject({ findings: [] })
    expect((verdict as { erased: number }).erased).toBe(counts(report)['audit records'])

    // The other one's end is told as ever.
    world.heal(other)
    await until('its end is told', () => allTold(world).length >= toldBefore + 2)
    await running.stop()
    expect(found(world, words)).toEqual([])
  })

  it('takes nothing from a message that others wait for', async ({ expect }) => {
    await using world = await startWorld({ factor: 60, webhooks: ['duty'] })
    world.webhooks.fail('duty', 503)
    await using running = await world.startApp()
    world.lose(world.device(0), world.device(1))
    const [first, second] = await firing(running, 2)
    await until('the message waits', () => running.app.delivery().queued > 0)
    const userId = first!.labels['user_id']!
    remove(world, userId)
    await forget(running, userId)
    world.webhooks.heal('duty')
    const told = await until('the other is told', () => {
      const texts = world.webhooks.messages('duty').map(({ payload }) => JSON.stringify(payload))
      return texts.length > 0 && texts
    })
    expect(told.some((text) => text.includes(second!.labels['device_id']!))).toBe(true)
    expect(found(world, [userId, first!.labels['device_id']!])).toEqual([])
  })

  it('is read again when they still exist, which is said beforehand', async ({ expect }) => {
    await using world = await startWorld({ factor: 60 })
    await using running = await world.startApp()
    world.lose(world.device(0))
    const [alert] = await firing(running, 1)
    const report = await forget(running, alert!.labels['user_id']!)
    expect(report.warnings[0]).toContain('the next walk reads it again')
    await walkEnds(running)
    await firing(running, 1)
  })

  it('asks before it does, from the command line', async ({ expect }) => {
    await using world = await startWorld()
    await using service = world.startService()
    const url = await service.url()
    const user = world.fleet.userId(0)
    expect(await world.runCommand(['forget', '--url', url, '--user', user])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--yes'),
    })
    const { code, stdout, stderr } = await world.runCommand(['forget', '--url', url, '--user', user, '--yes'])
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining('still exists at the partner'),
    })
    expect(stdout).toMatch(/^Erased:\n {2}0 {2}history of alerts\n {2}0 {2}alerts\n/)
    expect(stdout).toMatch(/^The audit trail keeps this in the place of the id: [0-9a-f]{32}:[0-9a-f]{64}$/m)
    expect(await world.runCommand(['forget', '--url', url, '--user', 'a b', '--yes'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('expected the id of a user'),
    })
  })
})
