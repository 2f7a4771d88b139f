import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ApiServer, startApiServer } from '../http/api-server.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { noon, sampleAlert } from '../notify/sample.ts'
import { runServiceCommand } from './service-command.ts'

const minute = 60_000
const hour = 60 * minute

describe('fleetwarden silence', () => {
  let clock: ManualClock
  let server: ApiServer

  beforeEach(async () => {
    clock = createManualClock(noon)
    server = await startApiServer(clock)
  })
  afterEach(() => server.close())

  const run = (args: readonly string[], options: { answer?: string; env?: Record<string, string> } = {}) =>
    runServiceCommand(['silence', ...args, '--url', server.url], { clock, ...options })
  const add = (...more: string[]) => [
    'add',
    'DeviceUnauthenticated',
    '--duration',
    '2h',
    '--comment',
    'repair',
    ...more,
  ]
  const silences = () => [...server.alerting.silenceMap.values()]

  it('shows what it would match, asks, and adds it', async () => {
    for (let n = 1; n <= 12; n++) server.alerting.add(n)
    const { exitCode, out, error, asked } = await run(add(), { answer: 'y' })
    expect(exitCode).toBe(0)
    expect(asked).toEqual(['Silence for 2h? [y/N] '])
    const lines = error.split('\n')
    expect(lines[0]).toBe('{alertname="DeviceUnauthenticated"} matches 12 alerts now')
    expect(lines).toHaveLength(12)
    expect(lines[1]).toMatch(
      /^ {2}DeviceUnauthenticated device_id=\S+ device_type=heat_pump manufacturer=Vaillant severity=critical user_id=\S+$/,
    )
    expect(lines[11]).toBe('  and 2 more')
    expect(silences()).toMatchObject([
      {
        id: out,
        startsAt: noon,
        endsAt: noon + 2 * hour,
        createdBy: 'ada',
        comment: 'repair',
        annotations: {},
        matchers: [{ name: 'alertname', operator: '=', value: 'DeviceUnauthenticated' }],
      },
    ])
  })

  it.each(['', 'n', 'no', 'yesterday'])('adds nothing when the answer is "%s"', async (answer) => {
    const { exitCode, error } = await run(add(), { answer })
    expect([exitCode, error]).toEqual([
      1,
      '{alertname="DeviceUnauthenticated"} matches no alert now\nnothing was silenced',
    ])
    expect(silences()).toEqual([])
  })

  it('does not ask with --yes, nor where nobody can answer', async () => {
    expect((await run(add('--yes'), { answer: 'n' })).asked).toEqual([])
    expect((await run(add())).exitCode).toBe(0)
    expect(silences()).toHaveLength(2)
  })

  it('takes several matchers, another author, and an end with the last alert', async () => {
    await run([
      'add',
      'a!~"x.*"',
      'b!="1"',
      'c=~"y|z"',
      '--duration',
      '1d',
      '--comment',
      'c',
      '--author',
      'eve',
      '--until-resolved',
    ])
    expect(silences()).toMatchObject([
      {
        createdBy: 'eve',
        endsAt: noon + 24 * hour,
        annotations: { expire_when: 'resolved' },
        matchers: [
          { name: 'a', operator: '!~', value: 'x.*' },
          { name: 'b', operator: '!=', value: '1' },
          { name: 'c', operator: '=~', value: 'y|z' },
        ],
      },
    ])
  })

  it('prints no control characters of labels', async () => {
    server.alerting.add(1, {
      labels: { ...sampleAlert(1).labels, manufacturer: 'x\u001b[2J\n\u009by' },
    })
    const { error } = await run(add(), { answer: 'n' })
    expect(error).toContain('manufacturer=x [2J y')
    expect(error).not.toMatch(/[^\P{Cc}\n]/u)
  })

  it('says why the service refuses', async () => {
    expect(await run(['add', 'a=""', '--duration', '1h', '--comment', 'c'])).toMatchObject({
      exitCode: 1,
      error:
        '{a=""} matches no alert now\nfleetwarden: the service answers 400: at least one matcher must not match the empty string',
    })
  })

  it.each([
    [['add', '--duration', '1h', '--comment', 'c'], /missing required argument 'matchers'/],
    [['add', 'a=b', '--comment', 'c'], /--duration/],
    [['add', 'a=b', '--duration', '1h'], /--comment/],
    [['add', 'a=b', '--duration', '1 hour', '--comment', 'c'], /Expected a duration such as 30m, 2h or 1d/],
    [['add', 'a=b', '--duration', '0', '--comment', 'c'], /Expected a duration/],
    [['add', '{}', '--duration', '1h', '--comment', 'c'], /a silence needs at least one matcher/],
    [['add', 'a==b', '--duration', '1h', '--comment', 'c', '--author', ''], /say who it is/],
    [['expire'], /missing required argument 'ids'/],
    [['nonsense'], /unknown command 'nonsense'|too many arguments/],
  ])('exits with 2 for %j', async (args, message) => {
    const { exitCode, error } = await run(args)
    expect(error).toMatch(message)
    expect(exitCode).toBe(2)
    expect(silences()).toEqual([])
  })

  it('asks for an author where nobody is logged in', async () => {
    expect(await run(add('--yes'), { env: {} })).toMatchObject({
      exitCode: 2,
      error: 'fleetwarden: say who it is: --author NAME',
    })
  })

  it('lists silences, and those that have ended', async () => {
    expect((await run(['list'])).out).toBe('no silences')
    const { out: ended } = await run(['add', 'a=1', '--duration', '5m', '--comment', 'c\u001b[1m'])
    const { out: active } = await run(['add', 'a=~x', '--duration', '3h', '--comment', 'c2'])
    clock.jump(hour)
    const width = ended.length
    expect((await run(['list'])).out.split('\n')).toEqual([
      `${'id'.padEnd(width)}  when        matchers  by   comment`,
      `${active}  ends in 2h  {a=~"x"}  ada  c2`,
    ])
    expect((await run(['list', '--expired'])).out.split('\n')).toEqual([
      `${'id'.padEnd(width)}  when           matchers  by   comment`,
      `${ended}  ended 55m ago  {a="1"}   ada  c [1m`,
    ])
    expect(JSON.parse((await run(['list', '--json'])).out)).toMatchObject([{ id: active, comment: 'c2' }])
  })

  it('expires silences, and says which there are not', async () => {
    const { out: id } = await run(add('--yes'))
    expect(await run(['expire', 'x', id])).toMatchObject({
      exitCode: 1,
      out: `${id}: expired`,
      error: 'x: there is no silence with this id',
    })
    expect(silences()).toMatchObject([{ endsAt: noon }])
    expect((await run(['expire', id])).exitCode).toBe(0)
  })

  describe('with --config', () => {
    let folder: string
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'fleetwarden-test-'))
    })
    afterEach(() => rm(folder, { recursive: true, force: true }))

    const config = async (listen: string) => {
      const file = join(folder, 'fleetwarden.yaml')
      await writeFile(join(folder, 'rules.yaml'), 'not: [looked, at]\n')
      await writeFile(
        file,
        `partner: {base_url: 'https://partner.example/api', token: t}
rules: [rules.yaml]
storage: {url: 'sqlite:x.db'}
http: {listen: '${listen}'}
alerting:
  route: {receiver: r}
  receivers: [{name: r}]
`,
      )
      return file
    }
    const list = (file: string) => runServiceCommand(['silence', 'list', '--config', file], { clock })

    it.each(['127.0.0.1', '0.0.0.0'])('asks the service that it configures on %s', async (host) => {
      const { port } = new URL(server.url)
      expect(await list(await config(`${host}:${port}`))).toMatchObject({
        exitCode: 0,
        out: 'no silences',
        error: '',
      })
    })

    it('exits with 2 when it is not valid', async () => {
      expect((await list(await config('nonsense'))).exitCode).toBe(2)
      expect((await list(join(folder, 'missing.yaml'))).exitCode).toBe(2)
    })
  })
})
