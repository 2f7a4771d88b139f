// The real command line as a process: how it starts, ends, is refused, and what it does when its disk is
// full, its files are wrong, or somebody looks for secrets in what it leaves behind.

import { execFile, execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { describe, it, vi } from 'vitest'
import { startScriptedSmtp } from '../notify/receivers/scripted-smtp.ts'
import {
  allTold,
  credentials,
  each,
  root,
  type Service,
  startWorld,
  timesTold,
  until,
  type World,
} from './harness.ts'
import { killOverAndOver, kills } from './kills.ts'

// Far beyond what they take: the machine may have other things to do.
vi.setConfig({ testTimeout: 120_000 })

const run = promisify(execFile)

/** Everything at once, as far as a process in real time can. */
const quick = {
  poll: { schedule: '* * * * * *', recheck_interval: '1s' },
  alerting: { route: { group_wait: '0s', group_interval: '1s' } },
}

// The longest first, so that the others run beside it.
describe.concurrent('kill -9', () => {
  it(`${kills} times, at random moments: everybody is told everything, and only what was under way is repeated`, {
    timeout: 300_000,
  }, async ({ expect }) => {
    const seed = Number(process.env['FLEETWARDEN_SCENARIO_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
    const again = `again with FLEETWARDEN_SCENARIO_SEED=${seed}`
    const { episodes, faults } = await killOverAndOver(seed).catch((error) => {
      throw new Error(`${again}: ${error}`, { cause: error })
    })
    expect(faults, again).toEqual([])
    expect(episodes, again).toBeGreaterThan(10)
  })
})

describe.concurrent('the service', () => {
  it('ends within seconds of SIGTERM with exit code 0, and says nothing because of a restart', async ({
    expect,
  }) => {
    await using world = await startWorld({ config: quick })
    world.lose(world.device(0))
    await using first = world.startService()
    await until('it is told', () => isTold(world, 0, each(1, 0)))
    const toldAt = performance.now()
    expect(await first.end('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(performance.now() - toldAt).toBeLessThan(10_000)
    expect(first.logs.at(-1)?.msg).toBe('Fleetwarden ends')
    // Closed, not just left: the log is part of the file again.
    expect(readdirSync(world.folder).filter((name) => name.startsWith('fleet.db'))).toEqual(['fleet.db'])

    await using second = world.startService()
    await walksOf(second, 3)
    expect(allTold(world)).toHaveLength(2)
    world.heal(world.device(0))
    await until('its end is told', () => isTold(world, 0, each(1, 1)))
    expect(await second.end('SIGINT')).toEqual({ code: 0, signal: null })
  })

  it('ends within seconds although a receiver hangs, and tells it after the next start', async ({
    expect,
  }) => {
    await using world = await startWorld({ config: quick })
    world.lose(world.device(0))
    world.slack.fail({ kind: 'hang' })
    await using first = world.startService()
    await until('Slack was asked', () => world.slack.requests() > 0)
    const stoppedAt = performance.now()
    expect(await first.end('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(performance.now() - stoppedAt).toBeLessThan(15_000)
    world.slack.heal()
    await using second = world.startService()
    await until('it is told to both', () => isTold(world, 0, each(1, 0)))
    await walksOf(second, 2)
    expect(timesTold(world, world.device(0).id)).toEqual(each(1, 0))
  })

  it('loses nothing when it is stopped in the middle of a walk', async ({ expect }) => {
    await using world = await startWorld({ config: quick, fleet: { users: 6 } })
    world.lose(world.device(5))
    await using first = world.startService()
    await until('it is told', () => isTold(world, 5, each(1, 0)))
    // From now on a walk never gets beyond the first user.
    world.simulator.faults.add({
      kind: 'hang',
      users: [1, 2, 3, 4, 5].map((user) => world.fleet.userId(user)),
    })
    const hung = () => world.simulator.requests.count('devices', 'hung')
    await until('a walk is stuck', () => hung() > 0)
    world.lose(world.device(1))
    const stoppedAt = performance.now()
    expect(await first.end('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(performance.now() - stoppedAt).toBeLessThan(10_000)
    expect(first.logs.some(({ msg }) => msg === 'Walk stopped')).toBe(true)

    world.simulator.faults.clear()
    await using second = world.startService()
    await until('the other one is told too', () => isTold(world, 1, each(1, 0)))
    await walksOf(second, 2)
    expect(timesTold(world, world.device(5).id)).toEqual(each(1, 0))
    expect(timesTold(world, world.device(1).id)).toEqual(each(1, 0))
  })

  it('is refused a database that another one has, which goes on', async ({ expect }) => {
    await using world = await startWorld({ config: quick })
    await using first = world.startService()
    await first.url()
    const second = await world.runCommand(['run', '--config', world.configFile])
    expect(second.code).toBe(1)
    expect(second.stderr.trimEnd()).toBe(
      `fleetwarden: the database ${world.databaseFile} is in use by another process: stop that one first, or give this one a storage.url of its own`,
    )
    world.lose(world.device(0))
    await until('the first still tells', () => isTold(world, 0, each(1, 0)))
    expect(await first.end('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

/** A disk that can be made full at any moment, and given room again. */
interface Disk {
  readonly folder: string
  /** What the service calls it. */
  readonly kind: 'io' | 'full'
  fill(service: Service): Promise<void>
  makeRoom(service: Service): Promise<void>
}

const disks: Record<string, (world: World) => Promise<Disk>> = {
  // Works without privileges: from then on, no file of that process may grow. It sees an I/O error.
  'no file may grow any more': async ({ folder }) => ({
    folder,
    kind: 'io',
    async fill({ child }) {
      const { size } = statSync(join(folder, 'fleet.db-wal'))
      await run('prlimit', ['--pid', String(child.pid), `--fsize=${size}:`])
    },
    async makeRoom({ child }) {
      await run('prlimit', ['--pid', String(child.pid), '--fsize=unlimited:'])
    },
  }),
  // The real thing, where this user may mount.
  ...(mayMount() && {
    'the file system has no room': async (world: World) => {
      const folder = join(world.folder, 'disk')
      await mkdir(folder)
      await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'fleetwarden-scenario', folder])
      world.defer(() => run('umount', [folder]))
      const filler = join(folder, 'filler')
      return {
        folder,
        kind: 'full' as const,
        async fill() {
          const file = openSync(filler, 'w')
          try {
            for (;;) writeSync(file, Buffer.alloc(4_096))
          } catch (error) {
            if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
          } finally {
            closeSync(file)
          }
        },
        async makeRoom() {
          rmSync(filler)
        },
      }
    },
  }),
}

// Other systems have neither prlimit nor tmpfs: there these are no tests at all, as nobody promises them.
if (process.platform === 'linux')
  describe.concurrent('a full disk', () => {
    it.for(Object.entries(disks))(
      'stops no watching and loses nothing, and is told in log and metric: %s',
      async ([, openDisk], { expect }) => {
        await using world = await startWorld({ config: quick })
        const disk = await openDisk(world)
        await world.configure({ ...quick, storage: { url: `sqlite:${join(disk.folder, 'fleet.db')}` } })
        await using service = world.startService()
        const [healedMeanwhile, lostMeanwhile, toldMeanwhile] = [0, 1, 2]
        world.lose(world.device(healedMeanwhile))
        await until('the first is told', () => isTold(world, healedMeanwhile, each(1, 0)))
        // Saved while there was room, and delivered to Slack when there is none to remember that.
        world.slack.fail({ kind: 'answer', status: 500, body: 'rollup_error' })
        world.lose(world.device(toldMeanwhile))
        await until(
          'the mail about another is there',
          () => timesTold(world, world.device(toldMeanwhile).id).mail.firing,
        )

        await disk.fill(service)
        world.slack.heal()
        world.heal(world.device(healedMeanwhile))
        world.lose(world.device(lostMeanwhile))
        await until('Slack has it too', () => isTold(world, toldMeanwhile, each(1, 0)))
        const failures = async () =>
          (await service.metrics()).value('fleet_storage_errors_total', { kind: disk.kind })
        await until('it says so', async () => (await failures()) >= 3)
        const url = await service.url()
        expect((await fetch(`${url}/-/healthy`)).status).toBe(200)
        expect(service.logs.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toContain(
          'Could not save: what was read since the last save will be read again',
        )
        // Nothing is told that a crash would forget.
        expect(timesTold(world, world.device(healedMeanwhile).id)).toEqual(each(1, 0))
        expect(timesTold(world, world.device(lostMeanwhile).id)).toEqual(each(0, 0))

        await disk.makeRoom(service)
        await until(
          'all of it is told',
          () => isTold(world, healedMeanwhile, each(1, 1)) && isTold(world, lostMeanwhile, each(1, 0)),
        )
        const before = await failures()
        await walksOf(service, 6)
        expect(await failures()).toBe(before)
        await service.end('SIGKILL')
        await using again = world.startService()
        await walksOf(again, 2)
        expect(timesTold(world, world.device(healedMeanwhile).id)).toEqual(each(1, 1))
        expect(timesTold(world, world.device(lostMeanwhile).id)).toEqual(each(1, 0))
        expect(timesTold(world, world.device(toldMeanwhile).id)).toEqual(each(1, 0))
        expect(await again.end('SIGTERM')).toEqual({ code: 0, signal: null })
      },
    )
  })

describe.concurrent('a file that is wrong', () => {
  it.for([['run'], ['poll', '--once']])(
    'a database that is none is left as it is: %s',
    async (command, { expect }) => {
      await using world = await startWorld()
      await writeFile(world.databaseFile, 'important notes\n')
      const { code, stderr, stdout } = await world.runCommand([...command, '--config', world.configFile])
      expect(stderr.trimEnd()).toBe(
        `fleetwarden: ${world.databaseFile} is not a database and was left as it is: name another file in storage.url, or move this one away`,
      )
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(readFileSync(world.databaseFile, 'utf8')).toBe('important notes\n')
    },
  )

  it.for([['check'], ['run'], ['poll', '--once', '--dry-run']])(
    'five errors in the configuration are all told, with their places: %s',
    async (command, { expect }) => {
      await using world = await startWorld()
      const config = `partner:
  base_url: ${world.simulator.url}
  client_id: someone
  client_secret: hush-7Gq
  timeout: soon
poll:
  schedule: "61 * * * *"
rules: [rules.yaml]
storage:
  url: sqlite:${world.databaseFile}
alerting:
  rout: {receiver: on-call}
  route: {receiver: oncall}
  receivers:
    - name: on-call
      slack_configs: [{api_url: http://slack.example.com/hush-7Gq}]
`
      await writeFile(world.configFile, config)
      const { code, stdout, stderr } = await world.runCommand([...command, '--config', 'fleetwarden.yaml'])
      const places = stderr
        .split('\n')
        .flatMap((line) => /^fleetwarden\.yaml:(\d+:\d+): (.+)/.exec(line)?.slice(1, 3) ?? [])
      expect(places).toEqual([
        '5:12',
        expect.stringContaining('"soon"'),
        '7:13',
        expect.stringContaining('"61 * * * *"'),
        '12:3',
        expect.stringContaining('did you mean "route"?'),
        '13:21',
        expect.stringContaining('"on-call"'),
        '16:33',
        expect.stringContaining('https://'),
      ])
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).not.toContain('hush-7Gq')
      expect(existsSync(world.databaseFile)).toBe(false)
    },
  )

  it('is not the example: it is accepted once its secrets are there', async ({ expect }) => {
    await using world = await startWorld()
    const secrets = join(world.folder, 'secrets')
    await mkdir(secrets)
    const example = await readFile(join(root, 'fleetwarden.example.yaml'), 'utf8')
    const files = [...example.matchAll(/^ *(?!#)\w+_file: \/run\/secrets\/([\w-]+)/gm)].map(
      ([, name]) => name!,
    )
    for (const name of files) {
      const isUrl = ['slack', 'heartbeat-url'].includes(name)
      // As long as a key has to be.
      const secret = isUrl ? 'https://hooks.example.com/x' : '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b'
      await writeFile(join(secrets, name), `${secret}\n`)
    }
    symlinkSync(join(root, 'rules'), join(world.folder, 'rules'))
    await writeFile(world.configFile, example.replaceAll('/run/secrets/', `${secrets}/`))
    const result = await world.runCommand(['check', '--config', 'fleetwarden.yaml'], {
      env: { PODERO_CLIENT_ID: 'someone' },
    })
    expect(result).toMatchObject({ code: 0, stderr: '' })
    expect(result.stdout).toMatch(/^fleetwarden\.yaml: ok \(4 receivers, \d+ rules in \d+ files\)$/m)
  })
})

describe.concurrent('poll --once --dry-run --json', () => {
  const command = ['poll', '--once', '--dry-run', '--json', '--config', 'fleetwarden.yaml']

  it('answers 0 for a healthy fleet, 3 with what it found, 1 when nothing could be read', async ({
    expect,
  }) => {
    await using world = await startWorld({ fleet: { users: 30 }, rules: 'shipped' })
    const healthy = await world.runCommand(command)
    expect(healthy).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(healthy.stdout)).toEqual({ outcome: 'complete', findings: [] })

    world.lose(world.device(7))
    const found = await world.runCommand(command)
    expect(found.code).toBe(3)
    const { findings } = JSON.parse(found.stdout)
    expect(findings).toMatchObject([
      { labels: { alertname: 'DeviceUnauthenticated', device_id: world.device(7).id }, state: 'pending' },
    ])

    world.simulator.faults.add({ kind: 'status', status: 403 })
    const failed = await world.runCommand(command)
    expect(failed.code).toBe(1)
    expect(JSON.parse(failed.stdout)).toMatchObject({ outcome: 'failed' })

    expect(readdirSync(world.folder)).toEqual(['fleetwarden.yaml'])
    expect(allTold(world)).toEqual([])
  })
})

describe.concurrent('secrets', () => {
  it('are in no log, metric, database, error or answer of the API, whatever goes wrong', async ({
    expect,
  }) => {
    const secrets = {
      clientSecret: credentials.clientSecret,
      slack: 'Xq7webhookB3',
      smtpPassword: 'Rt5smtp-passwordK9',
      heartbeat: 'Zw2heartbeatP4',
      slackBot: 'xoxb-Lm8bot-tokenQ1',
      webhook: 'Bv3webhook-urlH6',
      webhookPassword: 'Nc5webhook-passwordJ2',
      pagerduty: 'Dk7routing-keyT0',
      alertmanager: 'Gs1alertmanager-urlV9',
      alertmanagerToken: 'Yu4alertmanager-tokenE8',
    }
    const smtp = await startScriptedSmtp({ ehlo: '250-scripted\r\n250 AUTH PLAIN' })
    // The heartbeat's, and that of all receivers but Slack's webhook and the mail server.
    const asked: string[] = []
    const refusing = createServer(async (request, response) => {
      const body = await text(request).catch(() => '')
      response.statusCode = 500
      asked.push(`${request.url} ${JSON.stringify(request.headers)} ${body}`)
      response.end(`no luck with ${asked.at(-1)}`)
    })
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve))
    const { port } = refusing.address() as AddressInfo
    const refused = `http://127.0.0.1:${port}`
    await using world = await startWorld()
    world.defer(() => smtp.close())
    world.defer(() => refusing.close())
    const slackUrl = world.slack.webhookUrl(`#${secrets.slack}`)
    await world.configure({
      ...quick,
      log: { level: 'debug' },
      heartbeat: {
        url: `http://user:${secrets.heartbeat}@127.0.0.1:${port}/${secrets.heartbeat}?key=${secrets.heartbeat}`,
      },
      alerting: {
        ...quick.alerting,
        global: {
          slack_api_url: slackUrl,
          smtp_smarthost: `127.0.0.1:${smtp.port}`,
          smtp_auth_username: 'fleet',
          smtp_auth_password: secrets.smtpPassword,
        },
        receivers: [
          {
            name: 'on-call',
            slack_configs: [
              {},
              {
                app_token: secrets.slackBot,
                channel: 'on-call',
                app_url: `${refused}/api/chat.postMessage`,
              },
            ],
            email_configs: [{ to: 'on-call@example.com' }],
            webhook_configs: [
              {
                url: `${refused}/${secrets.webhook}?token=${secrets.webhook}`,
                http_config: { basic_auth: { username: 'fleet', password: secrets.webhookPassword } },
              },
            ],
            pagerduty_configs: [{ routing_key: secrets.pagerduty, url: `${refused}/v2/enqueue` }],
            alertmanager_configs: [
              {
                url: `${refused}/${secrets.alertmanager}`,
                http_config: { authorization: { credentials: secrets.alertmanagerToken } },
              },
            ],
          },
        ],
      },
    })
    const outputs: string[] = []
    await using service = world.startService()
    const metrics = async () => (await service.metrics()).value.bind(await service.metrics())
    world.lose(world.device(0), world.device(1))
    await until(
      'both receivers have messages with links',
      () => world.slack.messages.total() > 0 && smtp.mails.length > 0,
    )

    // Now everything goes wrong, and who answers quotes what was asked.
    const login = Buffer.from(`\0fleet\0${secrets.smtpPassword}`).toString('base64')
    smtp.script = { ...smtp.script, auth: `535 5.7.8 wrong: ${login} ${secrets.smtpPassword}` }
    world.slack.fail({ kind: 'answer', status: 404, body: `no_service ${slackUrl}` })
    world.heal(world.device(0))
    world.lose(world.device(2))
    await until('messages and heartbeats fail', async () => {
      const value = await metrics()
      return (
        value('fleet_notifications_total', { outcome: 'permanent' }) > 0 &&
        ['email', 'webhook', 'pagerduty', 'alertmanager'].every(
          (integration) => value('fleet_notifications_total', { integration, outcome: 'retry' }) > 0,
        ) &&
        value('fleet_heartbeats_total', { outcome: 'failed' }) > 0
      )
    })
    world.slack.fail({ kind: 'answer', status: 500, body: slackUrl })
    world.simulator.faults.add({ kind: 'expired_tokens' })
    world.simulator.faults.add({ kind: 'status', status: 401, path: '^/api/' })
    await until('walks fail', async () => (await metrics())('fleet_polls_total', { outcome: 'failed' }) > 0)
    world.simulator.faults.clear()
    world.simulator.faults.add({ kind: 'cut', times: 4 })
    await walksOf(service, 1)

    outputs.push((await service.metrics()).text)
    const url = await service.url()
    const ask = async (path: string, method = 'GET') => {
      const response = await fetch(`${url}${path}`, { method })
      outputs.push(await response.text())
      return response.status
    }
    const [alert] = await (await service.api()).alerts('DeviceLost')
    const paths = ['status', 'receivers', 'alerts', 'alerts/groups', 'silences'].map(
      (name) => `/api/v2/${name}`,
    )
    for (const path of [...paths, '/api/v1/alerts', `/api/v1/explain/${alert!.fingerprint}`]) {
      expect(await ask(path)).toBe(200)
    }
    expect(outputs.join()).toContain('pagerduty_configs')
    expect(await ask('/-/reload', 'POST')).toBe(200)
    const config = await readFile(world.configFile, 'utf8')
    const spoilt = config.replaceAll('http://', 'htp://').replace('"fleet"', '["fleet"]')
    await writeFile(world.configFile, spoilt)
    expect(await ask('/-/reload', 'POST')).toBe(500)
    await writeFile(world.configFile, config)
    // The files while they are in use, and after.
    for (const name of databaseFiles(world)) outputs.push(readFileSync(join(world.folder, name), 'latin1'))
    expect(databaseFiles(world)).toContain('fleet.db-wal')
    await service.end('SIGTERM')
    for (const name of databaseFiles(world)) outputs.push(readFileSync(join(world.folder, name), 'latin1'))
    outputs.push(service.output())

    const commands = [['notify-test', '--receiver', 'on-call'], ['poll', '--once', '--dry-run'], ['check']]
    for (const args of commands) {
      const { stdout, stderr } = await world.runCommand([...args, '--config', world.configFile])
      outputs.push(stdout, stderr)
    }
    await writeFile(world.configFile, spoilt)
    const wrong = await world.runCommand(['check', '--config', world.configFile])
    expect(wrong.code).toBe(2)
    outputs.push(wrong.stdout, wrong.stderr)

    const links = [...world.slack.messages.items(), ...smtp.mails].flatMap((message) =>
      [...JSON.stringify(message).matchAll(/secret=3?D?([\w.=%-]{20,})/g)].map(([, secret]) =>
        secret!.slice(0, 20),
      ),
    )
    expect(links.length).toBeGreaterThan(1)
    const forms = [
      secrets.smtpPassword,
      secrets.clientSecret,
      secrets.webhookPassword,
      `fleet:${secrets.webhookPassword}`,
    ].map((secret) => Buffer.from(secret).toString('base64'))
    const basic = Buffer.from(`${credentials.clientId}:${secrets.clientSecret}`).toString('base64')
    const needles = [...Object.values(secrets), ...forms, basic, login, ...links]
    const everything = outputs.join('\n')
    expect(everything.length).toBeGreaterThan(50_000)
    for (const needle of needles) expect(around(everything, needle)).toBeNull()
    // The tokens that the partner issued, whichever they were: one more shows what they look like.
    const issued = await fetch(`${world.simulator.origin}/oauth2/token/`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
      body: JSON.stringify({ grant_type: 'client_credentials' }),
    })
    const token = /simulated[0-9a-z]{28}/
    expect(await issued.text()).toMatch(token)
    expect(token.exec(everything)).toBeNull()
    // Each was used, where it belongs.
    const { slackBot, webhook, pagerduty, alertmanager, alertmanagerToken, heartbeat } = secrets
    const used = [slackBot, webhook, pagerduty, alertmanager, alertmanagerToken, heartbeat, forms.at(-1)!]
    for (const secret of used) expect(around(asked.join('\n'), secret), secret).not.toBeNull()
    // Of what was searched, something is there.
    expect(config).toContain(secrets.slack)
    expect(everything).toContain(world.device(0).id)
  })
})

function isTold(world: World, user: number, expected: ReturnType<typeof each>): boolean {
  return JSON.stringify(timesTold(world, world.device(user).id)) === JSON.stringify(expected)
}

/** So many more walks have ended; from the second on, a tick of each group has come too. */
async function walksOf(service: Service, count: number): Promise<void> {
  await service.url()
  const walks = () => service.logs.filter(({ msg }) => /^Walk (?:ended|failed)/.test(msg)).length
  const enough = walks() + count
  await until(`${count} walks have ended`, () => walks() >= enough, { detail: service.output })
}

function databaseFiles({ folder }: World): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('fleet.db'))
}

/** Where a text stands in another one, with what is around it. */
function around(text: string, needle: string): string | null {
  const at = text.indexOf(needle)
  return at === -1 ? null : text.slice(Math.max(0, at - 200), at + needle.length + 50)
}

function mayMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const folder = mkdtempSync(join(tmpdir(), 'fleetwarden-scenario-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'fleetwarden-scenario', folder], {
      stdio: 'ignore',
    })
    execFileSync('umount', [folder], { stdio: 'ignore' })
    return true
  } catch {
    // Root in a container may be none outside.
    return false
  } finally {
    rmdirSync(folder)
  }
}
