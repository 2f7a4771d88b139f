import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { csvLine } from '../../src/cli/csv-lines.ts'
import { startUsersServer, type UsersServer } from '../http/users-server.ts'
import { quickClock } from '../partner/local-server.ts'
import { root, runCommand, until } from '../scenarios/harness.ts'
import { runServiceCommand } from './service-command.ts'

async function world(fleet: Parameters<typeof startUsersServer>[0] = {}) {
  const server = await startUsersServer(fleet)
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-reconcile-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'customers.csv')
  const run = (args: readonly string[], answer?: string) =>
    runServiceCommand(['users', 'reconcile', file, ...args, '--url', server.url], {
      clock: quickClock,
      ...(answer === undefined ? {} : { answer }),
    })
  return { ...server, fleet: server.simulator.fleet, file, run }
}

type World = Awaited<ReturnType<typeof world>>

/** The fleet as the utility has it: everybody, as they are, but for what is changed in a row. */
function customers(
  { simulator: { fleet } }: UsersServer,
  change: (row: string[], user: number) => readonly string[] | null = (row) => row,
): string {
  const rows: (readonly string[])[] = []
  for (let user = 0; user < fleet.userCount; user++) {
    const { external_user_id, email, last_name, town } = fleet.profile(user)
    const row = change([external_user_id ?? '', email, last_name ?? '', town ?? ''], user)
    if (row !== null) rows.push(row)
  }
  return [['Kundennummer', 'E-Mail', 'Nachname', 'Ort'], ...rows].map((row) => `${csvLine(row)}\n`).join('')
}

async function findings(reconciling: World, args: readonly string[] = []) {
  const { out, exitCode } = await reconciling.run([...args, '--format', 'json'])
  return { exitCode, found: JSON.parse(out) as { kind: string; userIds: string[]; lines: number[] }[] }
}

describe('fleetwarden users reconcile', () => {
  it('finds nothing where the file and the partner agree, in Latin-1 and with semicolons too', async () => {
    const here = await world()
    const text = customers(here)
    for (const content of [text, Buffer.from(text.replaceAll(',', ';').replaceAll('\n', '\r\n'), 'latin1')]) {
      await writeFile(here.file, content)
      expect(await here.run([])).toMatchObject({ exitCode: 0, out: '0 findings; 20 customers, 20 users' })
    }
  })

  it('prints a table with the commands that would put it right, and CSV and JSON', async () => {
    const here = await world()
    const { town } = here.fleet.profile(1)
    await writeFile(
      here.file,
      customers(here, (row, user) =>
        user === 2 ? null : user === 1 ? [...row.slice(0, 3), "Bad 'Ischl"] : row,
      ),
    )
    const { exitCode, out } = await here.run([])
    expect(exitCode).toBe(3)
    expect(out).toContain(`town: ${town} → Bad 'Ischl`)
    expect(out).toContain(`fleetwarden users update ${here.fleet.userId(1)} --town='Bad '\\''Ischl'`)
    expect(out).toContain(`fleetwarden users archive ${here.fleet.userId(2)}`)
    expect(out).toContain('2 findings; 19 customers, 20 users')
    const csv = (await here.run(['--format', 'csv'])).out.split('\n')
    expect(csv[0]).toBe('kind,external id,lines,users,differences,note,command')
    expect(csv).toHaveLength(3)
    const { found } = await findings(here, ['--only', 'user_left'])
    expect(found).toMatchObject([{ kind: 'user_left', userIds: [here.fleet.userId(2)] }])
    // What a table says can be typed.
    const command = /fleetwarden (users update .*)$/m.exec(out)?.[1]
    const typed = await runInShell(`${command} --yes --url ${here.url}`)
    expect(typed).toMatchObject({ code: 0 })
    expect(here.fleet.profile(1).town).toBe("Bad 'Ischl")
  })

  it('names file, line and column of what is wrong with the file before it asks anybody', async () => {
    const here = await world()
    await writeFile(here.file, 'Nr;Mail\n1;a@example.com\n')
    const missing = await here.run([])
    expect(missing.exitCode).toBe(2)
    expect(missing.error).toContain('customers.csv:1:1: no column for external_user_id: ')
    expect(here.simulator.requests.count('users')).toBe(0)
    expect((await here.run(['--columns', 'external_id=Nr'])).exitCode).toBe(3)
    expect((await here.run(['--columns', 'number=Nr'])).error).toContain('--columns: "number" is none of')
  })

  it('fails when the list of users breaks off: nobody has left because of that', async () => {
    const here = await world({ users: 500 })
    await writeFile(here.file, customers(here))
    here.simulator.faults.add({ kind: 'truncated_json', path: '/users$' })
    expect(await here.run([])).toMatchObject({ exitCode: 1, out: '' })
  })
})

describe('fleetwarden users reconcile --apply', () => {
  const changed = (row: string[], user: number) => {
    if (user === 1) return [...row.slice(0, 3), 'Neustadt']
    if (user === 2) return null
    return row
  }

  it('says what it would do, asks, and does it, each change in the trail', async () => {
    const here = await world()
    here.fleet.changeUser(3, { external_user_id: null })
    const text = customers(here, (row, user) => (user === 3 ? ['C-3', ...row.slice(1)] : changed(row, user)))
    await writeFile(here.file, `${text}N-1,new@example.com,Neu,Graz\n`)
    const no = await here.run(['--apply'], 'n')
    expect(no).toMatchObject({ exitCode: 1, asked: ['Make these 4 changes? [y/N] '] })
    expect(no.error).toContain(
      'to be created: 1, to be changed: 2, to be archived: 1; for people to decide: 0',
    )
    expect(here.trail.filter(({ action }) => action !== 'user.list')).toEqual([])
    expect(await here.run(['--apply'], 'y')).toMatchObject({ exitCode: 0, out: '4 of 4 changes made' })
    expect(here.fleet.profile(1).town).toBe('Neustadt')
    expect(here.fleet.profile(2).role).toBe('guest')
    expect(here.fleet.profile(3).external_user_id).toBe('C-3')
    expect(here.fleet.profile(20)).toMatchObject({ external_user_id: 'N-1', last_name: 'Neu' })
    const begun = here.trail.filter(({ result }) => result === 'begun').map(({ action }) => action)
    expect(begun.filter((action) => action !== 'device.update')).toEqual([
      'user.update',
      'user.update',
      'user.create',
      'user.archive',
    ])
    expect((await findings(here)).found).toEqual([])
  })

  it('goes through a 429 in the middle, whether short or longer than the service waits', async () => {
    const here = await world({ users: 12 })
    await writeFile(
      here.file,
      customers(here, (row) => [...row.slice(0, 3), 'Neustadt']),
    )
    here.simulator.faults.add({
      kind: 'rate_limit',
      retryAfterSeconds: 2,
      method: 'PUT',
      share: 0.4,
      times: 3,
    })
    here.simulator.faults.add({
      kind: 'rate_limit',
      retryAfterSeconds: 100,
      method: 'PUT',
      share: 0.3,
      times: 1,
    })
    const { exitCode, out } = await here.run(['--apply', '--yes'])
    expect([exitCode, out]).toEqual([0, '12 of 12 changes made'])
    expect(here.simulator.requests.count('update_user', 429)).toBeGreaterThanOrEqual(3)
    for (let user = 0; user < 12; user++) expect(here.fleet.profile(user).town).toBe('Neustadt')
  })

  it('tells what the partner refuses, does the rest, and says so by its exit code', async () => {
    const here = await world()
    const { email } = here.fleet.profile(5)
    await writeFile(
      here.file,
      customers(here, (row, user) => (user === 4 ? [row[0]!, email, ...row.slice(2)] : changed(row, user))),
    )
    const { exitCode, out, error } = await here.run(['--apply', '--yes'])
    expect([exitCode, out]).toEqual([1, '2 of 3 changes made, 1 refused'])
    expect(error).toContain('the partner refuses this')
  })

  it('archives a twentieth of the users at most, unless it is told to', async () => {
    const here = await world({ users: 60 })
    await writeFile(
      here.file,
      customers(here, (row, user) => (user < 30 ? row : null)),
    )
    const refused = await here.run(['--apply', '--yes'])
    expect(refused).toMatchObject({
      exitCode: 2,
      error: expect.stringContaining('30 of 60 users would be archived'),
    })
    expect(here.fleet.profile(40).role).toBe('user')
    expect(await here.run(['--apply', '--yes', '--archive-many'])).toMatchObject({
      out: '30 of 30 changes made',
    })
  })

  it('is for admins', async () => {
    const here = await world()
    await writeFile(here.file, customers(here, changed))
    here.actAs({ kind: 'token', name: 'op', role: 'operator', from: null })
    const { exitCode, error } = await here.run(['--apply', '--yes'])
    expect([exitCode, error]).toEqual([1, expect.stringContaining('this needs the role admin')])
  })

  it('can be killed at any moment, and the same command goes on', { timeout: 60_000 }, async () => {
    const here = await world({ users: 150 })
    await writeFile(
      here.file,
      customers(here, (row) => [...row.slice(0, 3), 'Neustadt']),
    )
    const args = ['users', 'reconcile', here.file, '--apply', '--yes', '--url', here.url]
    const done = () =>
      here.trail.filter(({ action, result }) => action === 'user.update' && result === 'ok').length
    for (const enough of [40, 90]) {
      const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...args], { stdio: 'ignore' })
      await until(`${enough} changes`, () => done() >= enough)
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    const { code, stdout, stderr } = await runCommand(args)
    expect(code).toBe(0)
    expect(stderr).toContain(`goes on with what ${here.file}.journal has begun`)
    expect(stdout).toMatch(/^\d+ of \d+ changes made/)
    for (let user = 0; user < 150; user++) expect(here.fleet.profile(user).town).toBe('Neustadt')
    // Nobody was changed twice: what was done is not found again.
    expect(done()).toBe(150)
    expect(await readFile(`${here.file}.journal`, 'utf8')).toContain('"finished"')
  })
})

function runInShell(command: string) {
  const child = spawn('sh', ['-c', `"${process.execPath}" "${join(root, 'src/main.ts')}" ${command}`], {
    stdio: 'ignore',
  })
  return once(child, 'close').then(([code]) => ({ code }))
}
