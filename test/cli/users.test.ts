import { describe, expect, it } from 'vitest'
import { startUsersServer } from '../http/users-server.ts'
import { quickClock } from '../partner/local-server.ts'
import { alertFixture } from '../storage/fixtures.ts'
import { runServiceCommand } from './service-command.ts'

async function world(fleet: Parameters<typeof startUsersServer>[0] = {}) {
  const server = await startUsersServer(fleet)
  const run = (args: readonly string[], answer?: string) =>
    runServiceCommand(['users', ...args, '--url', server.url], {
      clock: quickClock,
      ...(answer === undefined ? {} : { answer }),
    })
  return { ...server, fleet: server.simulator.fleet, run }
}

describe('fleetwarden users list', () => {
  it('prints a table, and how many there are', async () => {
    const { run, fleet } = await world()
    const { exitCode, out } = await run(['list'])
    expect(exitCode).toBe(0)
    const lines = out.split('\n')
    expect(lines[0]).toMatch(/^external id +name +e-mail +place +role +devices +alerts +id$/)
    expect(lines).toHaveLength(20 + 3)
    expect(lines.at(-1)).toBe('20 users')
    expect(lines[1]).toContain(fleet.userId(0))
    expect((await run(['list', '--text', 'nobody-at-all'])).out).toBe('0 users')
  })

  it('prints CSV in which nothing is a formula, and JSON that can be parsed', async () => {
    const { run, fleet } = await world()
    fleet.changeUser(0, {
      external_user_id: '=1+1',
      last_name: 'a "b", c',
      first_name: '-Anna',
      latitude: -33.5,
    })
    const csv = (await run(['list', '--format', 'csv'])).out.split('\n')
    expect(csv[0]).toMatch(/^id,external_user_id,role,email,/)
    expect(csv).toHaveLength(21)
    expect(csv[1]).toContain('"\'=1+1"')
    expect(csv[1]).toContain(`"'-Anna","a ""b"", c"`)
    expect(csv[1]).toContain(',-33.5,')
    const json = JSON.parse((await run(['list', '--format', 'json'])).out)
    expect(json[0]).toMatchObject({ external_user_id: '=1+1', latitude: -33.5 })
    expect((await run(['list', '--text', 'nobody-at-all', '--format', 'json'])).out).toBe('[]')
  })

  it('hands its filters on', async () => {
    const { run, fleet, alerts } = await world()
    alerts.push(alertFixture({ subject: { kind: 'user', userId: fleet.userId(4) } }))
    fleet.changeUser(2, { external_user_id: null })
    fleet.deleteUser(5, 0)
    expect((await run(['list', '--in-trouble'])).out).toContain(fleet.userId(4))
    expect((await run(['list', '--in-trouble'])).out).toContain('1 user')
    expect((await run(['list', '--without-external-id'])).out).toContain(fleet.userId(2))
    expect((await run(['list', '--deleted'])).out).toMatch(/user, deleted.*\n.*20 users/s)
    expect((await run(['list'])).out).toContain('19 users')
    expect((await run(['list', '--role', 'staff', 'admin'])).out).toBe('0 users')
    expect((await run(['list', '--role', 'owner'])).exitCode).toBe(2)
    expect((await run(['list', '--country', 'XX'])).error).toContain('expected a country of ISO 3166-1')
  })

  it('fails when the list breaks off, whatever was printed', async () => {
    const { run, simulator } = await world({ users: 2_000 })
    simulator.faults.add({ kind: 'paged_users', pageSize: 500 })
    simulator.faults.add({ kind: 'malformed_users', as: 'string', share: 0.001 })
    simulator.faults.add({ kind: 'truncated_json', path: '/users$' })
    const { exitCode, error } = await run(['list', '--format', 'csv'])
    expect(exitCode).toBe(1)
    expect(error).toMatch(/the list broke off|answers 50\d/)
  })
})

describe('fleetwarden users show', () => {
  it('shows all that is known, by either id', async () => {
    const { run, fleet } = await world()
    const id = fleet.userId(0)
    fleet.breakDevice(fleet.devices(0)[0]!, 'unauthenticated', 0)
    const { out } = await run(['show', id])
    expect(out).toContain(fleet.profile(0).email)
    expect(out).toContain('disconnected')
    expect(out).toContain('no alert fires')
    expect(out).toMatch(/energy contract: /)
    // Measurements go on in between.
    const lines = (text: string) => text.split('\n').map((line) => line.replace(/\d{2}:\d{2}(:\d{2})?/g, ''))
    expect(lines((await run(['show', fleet.profile(0).external_user_id!])).out)).toEqual(lines(out))
    expect(JSON.parse((await run(['show', id, '--json'])).out).user.id).toBe(id)
  })

  it('prints a ticket', async () => {
    const { run, fleet } = await world()
    const { out } = await run(['show', fleet.userId(0), '--ticket'])
    expect(out).toMatch(/^Fleetwarden-User: \S+\nCustomer: \S+\n/)
    expect(out).not.toContain(fleet.profile(0).email)
  })

  it('says when there is no such user', async () => {
    const { run } = await world()
    expect(await run(['show', 'nobody'])).toMatchObject({
      exitCode: 1,
      error: 'fleetwarden: the service answers 404: the partner knows no such user',
    })
  })
})

describe('fleetwarden users create', () => {
  const args = [
    'create',
    '--email',
    'n@example.com',
    '--external-user-id',
    'N-1',
    '--zip',
    '01067',
    '--country',
    'de',
  ]

  it('creates a customer unless another role is given, and prints the id', async () => {
    const { run, fleet } = await world()
    const { exitCode, out } = await run(args)
    expect(exitCode).toBe(0)
    expect(fleet.profile(fleet.userIndex(out)!)).toMatchObject({
      role: 'user',
      zip_code: '01067',
      country: 'DE',
      external_user_id: 'N-1',
    })
    expect(await run(args)).toMatchObject({
      exitCode: 1,
      error: expect.stringContaining('has this external id already'),
    })
  })

  it('asks nothing of the service for what is wrong', async () => {
    const { run, simulator } = await world()
    expect(await run(['create', '--email', 'x', '--country', 'XX'])).toMatchObject({
      exitCode: 2,
      error: expect.stringMatching(/email: expected .*\ncountry: expected /),
    })
    expect((await run(['create', '--email', 'n@example.com', '--role', 'admin'])).error).toContain('--invite')
    expect(simulator.requests.count('create_user')).toBe(0)
  })

  it('says that an answer was lost, and that there is one user', async () => {
    const { run, simulator, fleet } = await world()
    simulator.faults.add({ kind: 'cut', method: 'POST', path: '/users$', times: 1 })
    const { exitCode, error } = await run(args)
    expect([exitCode, error]).toEqual([
      0,
      "the partner's answer was lost; the user was looked up and is there, once",
    ])
    expect(fleet.userCount).toBe(21)
  })
})

describe('fleetwarden users update', () => {
  it('shows the difference, asks, and sends only that', async () => {
    const { run, fleet, trail } = await world()
    const { town, street_add_info: extra } = fleet.profile(1)
    const args = ['update', fleet.userId(1), '--town', 'Linz', '--zip', fleet.profile(1).zip_code!]
    expect(await run(args, 'n')).toMatchObject({ exitCode: 1, asked: ['Change this? [y/N] '] })
    expect(fleet.profile(1).town).toBe(town)
    const { exitCode, error, out } = await run(args, 'y')
    expect(exitCode).toBe(0)
    expect(error).toContain(`  town:  "${town}"  →  "Linz"`)
    expect(error).not.toContain('zip')
    expect(out).toBe(`${fleet.userId(1)}: changed town`)
    expect(fleet.profile(1)).toMatchObject({ town: 'Linz', street_add_info: extra })
    expect(trail.at(-1)).toMatchObject({ action: 'user.update', result: 'ok', detail: { before: { town } } })
    expect((await run(args, 'y')).error).toBe('nothing to change: it is like that already')
  })

  it('takes a value away for an empty text, and asks nobody with --yes', async () => {
    const { run, fleet } = await world()
    expect(await run(['update', fleet.userId(1), '--town', '', '--yes'])).toMatchObject({ exitCode: 0 })
    expect(fleet.profile(1).town).toBeNull()
  })

  it('changes nothing when nobody is there to be asked', async () => {
    const { run, fleet, simulator } = await world()
    expect(await run(['update', fleet.userId(1), '--town', 'Linz'])).toMatchObject({
      exitCode: 2,
      error: expect.stringContaining('say --yes'),
    })
    expect((await run(['update', fleet.userId(1)])).exitCode).toBe(2)
    expect(simulator.requests.count('update_user')).toBe(0)
  })

  it('does not overwrite what somebody else changes while it asks', async () => {
    const { fleet, url } = await world()
    const { runCommand } = await import('../../src/cli/program.ts')
    const printed: string[] = []
    const exitCode = await runCommand(['users', 'update', fleet.userId(1), '--town', 'Linz', '--url', url], {
      env: {},
      nodeVersion: process.version,
      onReload: () => () => {},
      clock: quickClock,
      signal: new AbortController().signal,
      print: (line) => void printed.push(line),
      printError: (line) => void printed.push(line),
      terminal: null,
      logDestination: { write: () => undefined },
      ask: async () => {
        fleet.changeUser(1, { town: 'Graz' })
        return 'y'
      },
    })
    expect(exitCode).toBe(1)
    expect(printed.at(-1)).toContain('somebody else has changed town meanwhile; nothing was sent')
    expect(fleet.profile(1).town).toBe('Graz')
  })
})

describe('fleetwarden users archive', () => {
  it('says what will stop working, asks, and archives', async () => {
    const { run, fleet } = await world()
    const args = ['archive', fleet.profile(0).external_user_id!, '--release-external-id']
    const no = await run(args, '')
    expect(no).toMatchObject({ exitCode: 1, asked: ['Archive this user? [y/N] '] })
    expect(no.error).toMatch(/no longer optimised.*becomes guest.*becomes free/s)
    expect(fleet.profile(0).role).toBe('user')
    expect((await run(args, 'y')).out).toBe(`${fleet.userId(0)}: archived`)
    expect(fleet.profile(0)).toMatchObject({ role: 'guest', external_user_id: null })
    expect((await run(['archive', fleet.userId(0)], 'y')).error).toContain('archived already')
  })
})
