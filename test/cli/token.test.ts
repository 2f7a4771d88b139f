import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Role } from '../../src/actor.ts'
import { commands } from '../../src/http/permissions.ts'
import { scrub } from '../../src/logger.ts'
import { parseAlerting } from '../config/parse.ts'
import { type ApiServer, startApiServer } from '../http/api-server.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { noon } from '../notify/sample.ts'
import { runServiceCommand } from './service-command.ts'

describe('fleetwarden token create', () => {
  const clock = createManualClock(noon)
  const create = (...args: string[]) => runServiceCommand(['token', 'create', ...args], { clock })

  it('shows a token, and a line of the configuration that knows its hash alone', async () => {
    const { exitCode, out, error } = await create('--name', 'grafana', '--role', 'viewer')
    const [token = '', line = '', ...more] = out.split('\n')
    expect([exitCode, more]).toEqual([0, []])
    expect(token).toMatch(/^fwt_[\w-]{43}$/)
    const hash = `sha256:${createHash('sha256').update(token).digest('hex')}`
    expect(line).toBe(`- {name: "grafana", role: viewer, hash: "${hash}"}`)
    expect(line).not.toContain(token)
    expect(error).not.toContain(token)
    expect(error).toBe(
      'The token, shown only now: put it where --token-file or FLEETWARDEN_TOKEN finds it.\n' +
        'For the configuration, under http.access.tokens; a reload takes it over:',
    )
    expect(scrub(`token ${token}, and ${line}`)).not.toContain(token.slice(4, 20))
  })

  it('never shows the same one again', async () => {
    const tokens = new Set<string>()
    for (let n = 0; n < 20; n++)
      tokens.add((await create('--name', 'n', '--role', 'admin')).out.split('\n')[0] ?? '')
    expect(tokens.size).toBe(20)
  })

  it.each(['grafana', '123', 'true', 'ops@laptop', '-', 'Jürgen', '@'])(
    'writes what the configuration takes: %s',
    async (name) => {
      const { out } = await create(`--name=${name}`, '--role', 'operator', '--expires', '90d')
      const line = out.split('\n')[1] ?? ''
      expect(parse(line)).toMatchObject([{ name, role: 'operator', expires: '2027-02-21T12:00:00Z' }])
      const more = `http:\n access:\n  tokens:\n  ${line}\n`
      const { access } = await parseAlerting('route: {receiver: r}\nreceivers: [{name: r}]\n', { more })
      expect(access?.tokens).toMatchObject([{ name, expiresAt: noon + 90 * 24 * 3_600_000 }])
    },
  )

  it.each([
    [['--role', 'viewer'], /--name/],
    [['--name', 'n'], /--role/],
    [['--name', 'n', '--role', 'root'], /Allowed choices are viewer, operator, admin/],
    [['--name', 'a b', '--role', 'viewer'], /--name: expected a name of at most 64 letters/],
    [['--name', '', '--role', 'viewer'], /--name: expected a name of at most 64 letters/],
    [['--name', 'n', '--role', 'viewer', '--expires', 'soon'], /Expected a duration/],
  ])('exits with 2 for %j', async (args, message) => {
    const { exitCode, out, error } = await create(...args)
    expect([exitCode, out]).toEqual([2, ''])
    expect(error).toMatch(message)
  })
})

describe('a command that speaks to the service', () => {
  const hashOf = (token: string) => createHash('sha256').update(token).digest('hex')
  const token = (role: Role, expiresAt: number | null = null) => ({
    ...{ name: role, role, hash: hashOf(`fwt_${role}`), expiresAt },
  })
  let clock: ManualClock
  let server: ApiServer
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetwarden-test-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  beforeEach(async () => {
    clock = createManualClock(noon)
    const tokens = [token('viewer'), token('operator', noon + 1_000)]
    server = await startApiServer(clock, { access: { tokens, proxy: null, metrics: 'public' } })
  })
  afterEach(() => server.close())

  const run = (args: readonly string[], env: Record<string, string> = {}) =>
    runServiceCommand([...args, '--url', server.url], { clock, env: { USER: 'ada', ...env } })
  const add = ['silence', 'add', 'X', '--duration', '1h', '--comment', 'c', '--yes']

  async function file(content: string): Promise<string> {
    const path = join(folder, 'token')
    await writeFile(path, content)
    return path
  }

  it('says who asks with the token of a file, or else of the environment', async () => {
    const viewer = await file('fwt_viewer\n')
    const list = ['silence', 'list']
    expect(await run([...list, '--token-file', viewer])).toMatchObject({ exitCode: 0, out: 'no silences' })
    expect(await run(list, { FLEETWARDEN_TOKEN: 'fwt_viewer' })).toMatchObject({ exitCode: 0 })
    expect(await run([...list, '--token-file', viewer], { FLEETWARDEN_TOKEN: 'fwt_wrong' })).toMatchObject({
      exitCode: 0,
    })
    expect(await run(add, { FLEETWARDEN_TOKEN: 'fwt_operator' })).toMatchObject({ exitCode: 0 })
    expect([...server.alerting.silenceMap.values()]).toMatchObject([{ createdBy: 'ada' }])
  })

  it.each([
    [
      {},
      'fleetwarden: the service answers 401: this needs an access token (Authorization: Bearer …); give your access token with --token-file FILE or FLEETWARDEN_TOKEN',
    ],
    [
      { FLEETWARDEN_TOKEN: '' },
      'fleetwarden: the service answers 401: this needs an access token (Authorization: Bearer …); give your access token with --token-file FILE or FLEETWARDEN_TOKEN',
    ],
    [
      { FLEETWARDEN_TOKEN: 'fwt_wrong' },
      'fleetwarden: the service answers 401: this access token is not known here; `fleetwarden token create` makes a new one',
    ],
    [
      { FLEETWARDEN_TOKEN: 'fwt_operator' },
      'fleetwarden: the service answers 401: the access token "operator" has expired: it was good until 2026-11-23T12:00:01.000Z; `fleetwarden token create` makes a new one',
    ],
  ])('says why it is not let in: %j', async (env, error) => {
    clock.jump(2_000)
    expect(await run(['alerts'], env)).toMatchObject({ exitCode: 1, out: '', error })
  })

  it('says which role it needs and which one it has', async () => {
    const { exitCode, error } = await run(add, { FLEETWARDEN_TOKEN: 'fwt_viewer' })
    expect([exitCode, error.split('\n').at(-1)]).toEqual([
      1,
      'fleetwarden: the service answers 403: this needs the role operator, and "viewer" has the role viewer',
    ])
  })

  it.each([
    'http://fleet.example.com',
    'http://10.0.0.1:9469',
    'http://localhost.evil.example',
    'http://0.0.0.0:1',
  ])('never sends a token to %s', async (url) => {
    const { exitCode, error } = await runServiceCommand(['alerts', '--url', url], {
      clock,
      env: { FLEETWARDEN_TOKEN: 'fwt_viewer' },
    })
    expect([exitCode, error]).toEqual([
      2,
      `fleetwarden: the access token is not sent to ${url}: whoever is on the way could read it. Give an https:// address (--url), or run this on the machine of the service`,
    ])
  })

  it('sends it over TLS, and to this machine', async () => {
    for (const url of ['https://127.0.0.1:1', 'http://localhost:1', 'http://[::1]:1']) {
      const { error } = await runServiceCommand(['alerts', '--url', url], {
        clock,
        env: { FLEETWARDEN_TOKEN: 'fwt_viewer' },
      })
      expect(error).toMatch(/^fleetwarden: cannot reach the service/)
    }
  })

  it.each([
    ['', 'expected an access token on one line'],
    ['fwt_a\nfwt_b\n', 'expected an access token on one line'],
    ['fwt a', 'expected an access token on one line'],
    ['fwt_ü', 'expected an access token on one line'],
  ])('takes no other text for a token: %j', async (content, message) => {
    const path = await file(content)
    expect(await run(['alerts', '--token-file', path])).toMatchObject({
      ...{ exitCode: 2, error: `fleetwarden: --token-file ${path}: ${message}` },
    })
    if (content === '') return
    expect(await run(['alerts'], { FLEETWARDEN_TOKEN: content })).toMatchObject({
      ...{ exitCode: 2, error: `fleetwarden: FLEETWARDEN_TOKEN: ${message}` },
    })
  })

  it('says when the file is not there', async () => {
    const path = join(folder, 'none')
    expect(await run(['alerts', '--token-file', path])).toMatchObject({
      ...{ exitCode: 2, error: `fleetwarden: --token-file: cannot read ${path}: there is no such file` },
    })
  })
})

describe('--help', () => {
  const help = async (...args: string[]) =>
    (await runServiceCommand([...args, '--help'], { clock: createManualClock() })).out
  const subcommands = (text: string) =>
    [...text.matchAll(/^ {2}([a-z][a-z-]+) (?:\[|<| {2})/gm)].map(([, name = '']) => name)

  it('shows the role of every command that speaks to the service, and every command has its row', async () => {
    const found: string[] = []
    for (const name of subcommands(await help())) {
      if (name === 'help') continue
      const below = subcommands((await help(name)).split('Commands:')[1] ?? '').filter(
        (sub) => sub !== 'help',
      )
      found.push(...(below.length === 0 ? [name] : below.map((sub) => `${name} ${sub}`)))
    }
    expect(found.toSorted()).toEqual(commands.map(({ command }) => command).toSorted())
    for (const { command, needs } of commands) {
      const text = await help(...command.split(' '))
      expect(/^Needs the role (\w+) where the service has http\.access\.$/m.exec(text)?.[1]).toBe(
        needs ?? undefined,
      )
      expect(text.includes('--token-file')).toBe(needs !== null)
    }
  })
})
