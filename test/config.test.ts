// biome-ignore-all lint/suspicious/noTemplateCurlyInString: configurations use variables

import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type Config, loadConfig, parseConfig } from '../src/config.ts'
import { FileError } from '../src/yaml-file.ts'

const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
const files: Readonly<Record<string, string>> = {
  '/etc/fleet/secret': 'from-file\n',
  '/etc/fleet/crlf': 'from-file\r\n',
  '/etc/fleet/slack': 'https://hooks.slack.com/services/file\n',
  '/etc/fleet/spaces': ' from file \n',
  '/etc/fleet/empty': '\n',
  '/etc/fleet/two-lines': 'hunter2\nhunter2\n',
  '/etc/fleet/ca.pem': pem,
}

async function readKnownFile(path: string): Promise<string> {
  const text = files[path]
  if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
  return text
}

function parse(text: string, env: Record<string, string> = {}): Promise<Config> {
  return parseConfig({
    file: '/etc/fleet/f.yaml',
    text,
    env,
    readFile: readKnownFile,
    glob: async (pattern, folder) => [join(folder, pattern)],
  })
}

async function problemsOf(promise: Promise<Config>): Promise<FileError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof FileError)) throw new Error(`expected a FileError, got ${inspect(error)}`)
  return error
}

async function told(text: string, env?: Record<string, string>): Promise<string[]> {
  const error = await problemsOf(parse(text, env))
  return error.problems.map((p) => `${p.line}:${p.column} ${p.message}`)
}

const partner = 'partner: {base_url: "https://p.example/api", token: t}\n'
const alerting = 'alerting: {route: {receiver: r}, receivers: [{name: r}]}\n'
const rules = 'rules: [a.yaml]\n'

/** A good configuration whose first lines are the given ones. */
function around(part: string): string {
  const key = part.split(':')[0]
  return (
    part +
    (key === 'partner' ? '' : partner) +
    (key === 'alerting' ? '' : alerting) +
    (key === 'rules' ? '' : rules)
  )
}

describe('a good configuration', () => {
  test('is completed by defaults', async () => {
    const config = await parse(partner + alerting)
    expect(config).toEqual({
      file: '/etc/fleet/f.yaml',
      access: null,
      partner: {
        baseUrl: 'https://p.example/api',
        orgId: null,
        credentials: { kind: 'token', token: expect.anything() },
        concurrency: 32,
        requestsPerSecond: 50,
        timeoutMs: 10_000,
        maximumAnswerBytes: 64 * 1024 * 1024,
      },
      poll: { schedule: '*/10 * * * *', timezone: 'UTC', recheckIntervalMs: 120_000 },
      ruleFiles: ['/etc/fleet/rules/*.yaml'],
      storage: { kind: 'sqlite', path: '/etc/fleet/data/fleetwarden.db' },
      replicas: { advertiseUrl: null },
      http: { host: '127.0.0.1', port: 9469, publicUrl: null },
      links: null,
      heartbeat: null,
      log: { level: 'info' },
      alerting: {
        inhibitRules: [
          expect.objectContaining({ name: 'manufacturer-outage', equal: ['manufacturer', 'device_type'] }),
          expect.objectContaining({ name: 'partner-api-unavailable' }),
        ],
        timeIntervals: [],
        route: {
          key: '{}',
          matchers: [],
          continue: false,
          muteTimeIntervals: [],
          activeTimeIntervals: [],
          routes: [],
          receiver: 'r',
          groupBy: [],
          groupWaitMs: 30_000,
          groupIntervalMs: 300_000,
          repeatIntervalMs: 4 * 3_600_000,
        },
        receivers: [
          { name: 'r', slack: [], email: [], webhook: [], pagerduty: [], alertmanager: [], owner: [] },
        ],
        resolveTimeoutMs: 300_000,
      },
      silences: { maxDurationMs: 90 * 86_400_000, remindBeforeMs: 3_600_000, tellWhenEnded: true },
      acknowledgements: { remindEveryMs: 86_400_000, maxDurationMs: 30 * 86_400_000 },
      flapping: { windowMs: 86_400_000, high: 6, low: 3 },
      massChange: { share: 0.05, minimum: 50, holdMs: 900_000 },
      audit: { keepMs: 400 * 86_400_000 },
      privacy: { resolvedAlertsMs: 900_000 },
      partnerLog: null,
      fallbackReceiver: null,
    })
  })

  test('is frozen, and prints no secret', async () => {
    const config = await parse(partner + alerting)
    expect(Object.isFrozen(config.alerting.receivers[0])).toBe(true)
    expect(config.partner.credentials.kind === 'token' && config.partner.credentials.token.reveal()).toBe('t')
    const secret = await parse(`partner: {base_url: "https://p.example", token: hunter2}\n${alerting}`)
    for (const text of [JSON.stringify(secret), inspect(secret, { depth: 9 }), `${secret.partner}`]) {
      expect(text).not.toContain('hunter2')
    }
  })

  test('may be written in flow style, with CRLF, a byte order mark and anchors', async () => {
    const text = `\uFEFF${partner}alerting:\n  route: {receiver: &r r}\n  receivers: [{name: *r}]\n`
    const config = await parse(text.replaceAll('\n', '\r\n'))
    expect(config.alerting.receivers[0]?.name).toBe('r')
  })

  test('takes what it says in the place of the defaults', async () => {
    const config = await parse(`
partner:
  base_url: http://127.0.0.1:8080/v2.0//
  org_id: 016b78a7-0c7c-4241-a277-015c3ad3cb90
  client_id: id
  client_secret: secret
  concurrency: 1
  requests_per_second: 0.5
  timeout: 1m30s
  maximum_answer_bytes: 1024
poll: {schedule: "*/30 * * * * *", timezone: Europe/Vienna, recheck_interval: 1h}
rules: [b.yaml, a.yaml, a.yaml]
storage: {url: "sqlite:/var/lib/fleet.db"}
http: {listen: "[::1]:0", public_url: https://fleet.example.com/}
links: {signing_key: 0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b}
heartbeat: {url: https://hc.example/x, timeout: 3s}
log: {level: debug}
alerting:
  route: {receiver: b, group_by: ['...'], group_wait: 0, group_interval: 1m, repeat_interval: 1d}
  receivers: [{name: a}, {name: b}]
`)
    expect(config.partner).toMatchObject({
      baseUrl: 'http://127.0.0.1:8080/v2.0',
      orgId: '016b78a7-0c7c-4241-a277-015c3ad3cb90',
      credentials: { kind: 'client', clientId: 'id' },
      concurrency: 1,
      requestsPerSecond: 0.5,
      timeoutMs: 90_000,
      maximumAnswerBytes: 1024,
    })
    expect(config.poll).toEqual({
      schedule: '*/30 * * * * *',
      timezone: 'Europe/Vienna',
      recheckIntervalMs: 3_600_000,
    })
    expect(config.ruleFiles).toEqual(['/etc/fleet/a.yaml', '/etc/fleet/b.yaml'])
    expect(config.storage).toEqual({ kind: 'sqlite', path: '/var/lib/fleet.db' })
    expect(config.http).toEqual({ host: '::1', port: 0, publicUrl: 'https://fleet.example.com' })
    expect(config.heartbeat?.url.reveal()).toBe('https://hc.example/x')
    expect(config.heartbeat?.timeoutMs).toBe(3_000)
    expect(config.log.level).toBe('debug')
    expect(config.alerting.route).toEqual({
      receiver: 'b',
      key: '{}',
      matchers: [],
      continue: false,
      muteTimeIntervals: [],
      activeTimeIntervals: [],
      routes: [],
      groupBy: 'all',
      groupWaitMs: 0,
      groupIntervalMs: 60_000,
      repeatIntervalMs: 86_400_000,
    })
  })

  test('gives receivers what is global and what is their own', async () => {
    const { receivers } = (
      await parse(`${partner}
alerting:
  global:
    smtp_smarthost: mail.example.com:587
    smtp_from: Fleet <fleet@example.com>
    smtp_hello: fleet.example.com
    smtp_auth_username: fleet
    smtp_auth_password_file: secret
    smtp_tls_config: {ca_file: ca.pem}
    slack_api_url: https://hooks.slack.com/services/global
  route: {receiver: r}
  receivers:
    - name: r
      slack_configs:
        - {}
        - {api_url_file: slack, send_resolved: false, show_personal_data: true}
      email_configs:
        - to: a@example.com,  Team lead <b@example.com>
        - to: c@example.com
          from: other@example.com
          smarthost: localhost:25
          hello: h
          auth_username: u
          auth_password: p
          tls_config: {server_name: s.example.com}
          send_resolved: false
          show_personal_data: true
        - {to: d@example.com, require_tls: false}
`)
    ).alerting
    const [receiver] = receivers
    expect(
      receiver?.slack.map((s) => [
        s.kind === 'webhook' && s.apiUrl.reveal(),
        s.sendResolved,
        s.showPersonalData,
      ]),
    ).toEqual([
      ['https://hooks.slack.com/services/global', true, false],
      ['https://hooks.slack.com/services/file', false, true],
    ])
    const shared = {
      from: 'Fleet <fleet@example.com>',
      smarthost: { host: 'mail.example.com', port: 587 },
      hello: 'fleet.example.com',
      username: 'fleet',
      ca: pem,
      serverName: null,
      sendResolved: true,
      showPersonalData: false,
    }
    expect(receiver?.email).toMatchObject([
      { ...shared, to: ['a@example.com', 'Team lead <b@example.com>'], requireTls: true },
      {
        to: ['c@example.com'],
        from: 'other@example.com',
        smarthost: { host: 'localhost', port: 25 },
        hello: 'h',
        username: 'u',
        requireTls: false,
        ca: null,
        serverName: 's.example.com',
        sendResolved: false,
        showPersonalData: true,
      },
      { ...shared, to: ['d@example.com'], requireTls: false },
    ])
    expect(receiver?.email.map((email) => email.password?.reveal())).toEqual(['from-file', 'p', 'from-file'])
  })

  test.each([
    ['localhost:25', undefined, false],
    ['127.0.0.1:25', undefined, false],
    ['[::1]:25', undefined, false],
    ['mail.localhost.example.com:25', undefined, true],
    ['10.0.0.1:25', undefined, true],
    ['localhost:25', 'true', true],
    ['mail.example.com:25', 'false', false],
  ])('mail through %s with smtp_require_tls %s requires TLS: %s', async (smarthost, required, expected) => {
    const global = `smtp_smarthost: "${smarthost}", smtp_from: f@example.com${required ? `, smtp_require_tls: ${required}` : ''}`
    const config = await parse(
      `${partner}alerting: {global: {${global}}, route: {receiver: r}, receivers: [{name: r, email_configs: [{to: a@b.c}]}]}\n`,
    )
    expect(config.alerting.receivers[0]?.email[0]?.requireTls).toBe(expected)
  })

  test('is found in the repository as an example', async () => {
    const text = await readFile(new URL('../fleetwarden.example.yaml', import.meta.url), 'utf8')
    const config = await parseConfig({
      file: 'fleetwarden.yaml',
      text,
      env: { PODERO_CLIENT_ID: 'id' },
      readFile: async (path) => {
        if (path.endsWith('link-key')) return '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b\n'
        return /slack|heartbeat/.test(path) ? 'https://hooks.example.com/x\n' : 'secret\n'
      },
      glob: async (pattern, folder) => [join(folder, pattern)],
    })
    expect(config.alerting.receivers[0]).toMatchObject({ name: 'on-call', slack: [{}], email: [{}] })
    // "Keys show their default" holds.
    const bare = await parse(partner + alerting)
    const { credentials: _, baseUrl: __, ...numbers } = config.partner
    expect(bare.partner).toMatchObject(numbers)
    expect(config.poll).toEqual(bare.poll)
    expect(config.http).toEqual({ ...bare.http, publicUrl: 'https://fleet.example.com' })
    expect(config.log).toEqual(bare.log)
    expect({ ...config.alerting.route, groupBy: [], receiver: 'r', routes: [] }).toEqual(bare.alerting.route)
    expect(config.alerting.resolveTimeoutMs).toBe(bare.alerting.resolveTimeoutMs)
    for (const key of ['silences', 'acknowledgements', 'flapping', 'massChange'] as const)
      expect(config[key]).toEqual(bare[key])
  })
})

describe('variables', () => {
  const env = { ID: 'my-id', EMPTY: '', ODD: 'a: ${ID} "b" $$ #c' }

  test.each([
    ['${ID}', 'my-id'],
    ['x${ID}y${ID}', 'xmy-idymy-id'],
    ['${NOPE:-default}', 'default'],
    ['${EMPTY:-default}', 'default'],
    ['${ID:-default}', 'my-id'],
    ['x${EMPTY}', 'x'],
    ['x${NOPE:-}', 'x'],
    ['$$', '$'],
    ['$${ID}', '${ID}'],
    ['a$b$', 'a$b$'],
    // What a variable holds is text: neither YAML nor another variable.
    ['${ODD}', 'a: ${ID} "b" $$ #c'],
    ['${NOPE:-a$$b}', 'a$$b'],
  ])('%s becomes %s', async (text, expected) => {
    const config = await parse(
      `partner: {base_url: "https://p.example", client_id: '${text}', client_secret: s}\n${alerting}`,
      env,
    )
    expect(config.partner.credentials).toMatchObject({ clientId: expected })
  })

  const malformed =
    '`${` begins a variable such as ${NAME} or ${NAME:-default}: write `$${` for the text itself'
  const notSet = (name: string) =>
    `the variable ${name} is not set: set it, or give a default as in \${${name}:-default}`
  test.each([
    ['${NOPE}', [`1:21 ${notSet('NOPE')}`]],
    ['https://${NOPE}/x', [`1:29 ${notSet('NOPE')}`]],
    ['\\u0041${NOPE}', [`1:27 ${notSet('NOPE')}`]],
    ['${toString}', [`1:21 ${notSet('toString')}`]],
    ['${1}', [`1:21 ${malformed}`]],
    ['${ID', [`1:21 ${malformed}`]],
    ['${A}${ID}${B}', [`1:21 ${notSet('A')}`, `1:30 ${notSet('B')}`]],
  ])('%s is a problem at its place, and no other one', async (text, expected) => {
    expect(await told(around(`http: {public_url: "${text}"}\n`), env)).toEqual(expected)
  })

  test('in a pattern, a receiver or a file name that is not set are one problem each', async () => {
    const text = `rules: ["\${A}"]\npartner: {base_url: https://p.example, token_file: "\${B}"}\nalerting: {route: {receiver: "\${C}"}, receivers: [{name: r}]}\n`
    expect((await told(text)).map((line) => line.slice(0, 23))).toEqual([
      '1:10 the variable A is ',
      '2:53 the variable B is ',
      '3:31 the variable C is ',
    ])
  })

  test('never show what they hold', async () => {
    const lines = await told(
      `partner: {base_url: "\${S}", org_id: "\${S}/", client_id: a, client_secret_file: "\${S}"}\n` +
        `rules: [a.yaml]\npoll: {schedule: "\${S}", timezone: "\${S}"}\nlog: {level: "\${S}"}\nstorage: {url: "\${S}"}\n` +
        `http: {listen: "\${S}", public_url: "\${S}"}\n` +
        `alerting: {global: {smtp_from: "\${S}"}, route: {receiver: "\${S}", group_wait: "\${S}"}, receivers: [{name: r, email_configs: [{to: "\${S}"}]}]}\n`,
      { S: 'hunter2 secret' },
    )
    expect(lines).toHaveLength(15)
    expect(lines.join('\n')).not.toContain('hunter2')
    expect(lines[0]).toBe(
      '1:21 expected an https:// URL (http:// only to this machine) without user, query and fragment, got "${S}"',
    )
  })
})

describe('secrets', () => {
  const tokenFile = (path: string) => `partner: {base_url: "https://p.example", token_file: ${path}}\n`

  test.each(['secret', './secret', '/etc/fleet/secret', 'crlf', '${DIR}/secret'])(
    'come from the file %s without its last line break',
    async (path) => {
      const config = await parse(tokenFile(`"${path}"`) + alerting, { DIR: '/etc/fleet' })
      expect(config.partner.credentials.kind === 'token' && config.partner.credentials.token.reveal()).toBe(
        'from-file',
      )
    },
  )

  test('keep the spaces around them', async () => {
    const config = await parse(tokenFile('spaces') + alerting)
    expect(config.partner.credentials.kind === 'token' && config.partner.credentials.token.reveal()).toBe(
      ' from file ',
    )
  })

  test('are not shown where a missing colon made them part of the line before', async () => {
    const text = `partner:\n  base_url: https://p.example\n  token: t\n  org_id: o\n    client_secret hunter2\n`
    expect(await told(around(text))).toEqual([
      '4:11 expected an id such as 016b78a7-0c7c-4241-a277-015c3ad3cb90, got "o …"',
    ])
  })

  test.each([
    ['nope', 'cannot read "nope": there is no such file (a relative path starts at the folder of this file)'],
    ['/nope', 'cannot read "/nope": there is no such file'],
    ['empty', 'expected a file with one line of text: the file is empty'],
    ['two-lines', 'expected a file with one line of text: the file holds something else'],
    ['[x]', 'expected text, got a list'],
  ])('from the file %s are a problem', async (path, message) => {
    expect(await told(around(tokenFile(path)))).toEqual([`1:54 ${message}`])
  })

  test.each([
    [
      'EACCES',
      'cannot read "x": this user may not read it (a relative path starts at the folder of this file)',
    ],
    ['EISDIR', 'cannot read "x": it is a folder (a relative path starts at the folder of this file)'],
    ['EIO', 'cannot read "x": EIO (a relative path starts at the folder of this file)'],
  ])('whose file gives %s are a problem', async (code, message) => {
    const readBroken = async () => {
      throw Object.assign(new Error('broken'), { code })
    }
    const source = {
      file: 'f.yaml',
      text: around(tokenFile('x')),
      env: {},
      readFile: readBroken,
      glob: async () => ['a'],
    }
    expect((await problemsOf(parseConfig(source))).problems.map((p) => p.message)).toEqual([message])
  })

  // Everything that can go wrong around a secret: keys that go missing, values of the wrong kind,
  // a slip of the finger anywhere in the text.
  const marker = 'hunter2'
  const url = `https://hooks.example.com/${marker}?k=${marker}`
  const full = {
    partner: {
      base_url: 'https://p.example',
      org_id: 'o',
      client_id: 'i',
      client_secret: marker,
      token: marker,
      timeout: '1s',
    },
    poll: { schedule: '* * * * *', timezone: 'UTC' },
    rules: ['a.yaml'],
    storage: { url: 'sqlite:x' },
    http: { listen: 'h:1', public_url: 'https://f.example' },
    links: {
      signing_key: `${marker}-for-links-0123456789abcdef`,
      allowed_hosts: ['*.p.example'],
      success_url: 'https://p.example',
    },
    heartbeat: { url, timeout: '1s' },
    alerting: {
      global: {
        smtp_smarthost: 'm:25',
        smtp_from: 'a@b.c',
        smtp_auth_username: 'u',
        smtp_auth_password: marker,
        slack_api_url: url,
        http_config: { bearer_token: marker },
      },
      route: {
        receiver: 'r',
        group_by: ['a'],
        group_wait: '1s',
        routes: [{ matchers: ['a="b"'], match_re: { a: 'b' }, mute_time_intervals: ['n'] }],
      },
      time_intervals: [{ name: 'n', time_intervals: [{ months: [1], location: 'UTC' }] }],
      inhibit_rules: [{ source_matchers: ['a=1'], target_match: { a: '2' }, equal: ['a'] }],
      receivers: [
        {
          name: 'r',
          slack_configs: [{ api_url: url, send_resolved: true }],
          email_configs: [{ to: 'a@b.c', auth_username: 'u', auth_password: marker, hello: 'h' }],
          webhook_configs: [{ url, http_config: { basic_auth: { username: 'u', password: marker } } }],
          pagerduty_configs: [
            { routing_key: marker, http_config: { authorization: { credentials: marker } } },
          ],
          alertmanager_configs: [{ url }],
        },
        { name: 's', slack_configs: [{ app_token: marker, channel: 'c' }] },
      ],
    },
  }
  const paths: string[][] = []
  const collect = (value: unknown, path: string[]) => {
    if (path.length > 0) paths.push(path)
    if (typeof value === 'object' && value !== null)
      for (const [key, item] of Object.entries(value)) collect(item, [...path, key])
  }
  collect(full, [])
  type Tree = Record<string, unknown>
  const mutate = (root: Tree, path: string[], change: (holder: Tree, key: string) => void) => {
    const holder = path.slice(0, -1).reduce<unknown>((at, key) => (at as Tree | undefined)?.[key], root)
    if (typeof holder === 'object' && holder !== null) change(holder as Tree, path.at(-1)!)
  }
  const mutation = fc.tuple(
    fc.constantFrom(...paths),
    fc.constantFrom<((holder: Tree, key: string) => void)[]>(
      (holder, key) => delete holder[key],
      (holder, key) => (holder[key] = null),
      (holder, key) => (holder[key] = [holder[key]]),
      (holder, key) => (holder[key] = { x: holder[key] }),
      (holder, key) => (holder[key] = `${holder[key]}\n${holder[key]}`),
      (holder, key) => (holder[`${key}x`] = holder[key]),
      (holder, key) => (holder[`${key}_file`] = 'two-lines'),
      (holder, key) => (holder[key] = '${SECRET}'),
      (holder, key) => (holder[key] = '${SECRET} ${NOPE}'),
      (holder, key) => (holder[key] = 5),
    ),
  )
  const messagesOf = async (text: string) => {
    const error = await parse(text, { SECRET: marker }).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (error !== undefined && !(error instanceof FileError)) throw error
    return inspect(error, { depth: 9 })
  }

  test('are in no message, whatever is wrong with the values', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const root = structuredClone(full)
        for (const [path, change] of mutations) mutate(root, path, change)
        expect(await messagesOf(stringify(root))).not.toContain(marker)
      }),
      { numRuns: 100 },
    )
  })

  test('are in no message, whatever is wrong with the text', async () => {
    const text = stringify(full)
    const slip = fc.tuple(
      fc.nat(text.length - 1),
      fc.constantFrom(
        '',
        ' ',
        '\n',
        '"',
        "'",
        ':',
        ': ',
        '{',
        '[',
        ',',
        '#',
        '&',
        '*',
        '!',
        '|',
        '- ',
        '\t',
        '%',
        '${',
      ),
    )
    await fc.assert(
      fc.asyncProperty(slip, fc.nat(2), async ([at, inserted], deleted) => {
        expect(await messagesOf(text.slice(0, at) + inserted + text.slice(at + deleted))).not.toContain(
          marker,
        )
      }),
      { numRuns: 200 },
    )
  })
})

const notYet = (key: string) =>
  `\`${key}\` is valid Alertmanager configuration, but Fleetwarden does not support it yet`

const goTemplate = (key: string, ours: string) =>
  `\`${key}\` is valid Alertmanager configuration, but holds a Go template: write a Liquid one under \`template\`, as \`${ours}\` or in a file`

describe('a bad configuration', () => {
  test.each([
    ['', ['1:1 expected a mapping, got nothing']],
    ['# nothing\n', ['1:1 expected a mapping, got nothing']],
    ['- partner\n', ['1:1 expected a mapping, got a list']],
    ['partner\n', ['1:1 expected a mapping, got text']],
    ['rules: [a.yaml]\n', ['1:1 "partner" is missing', '1:1 "alerting" is missing']],
    ['partner:\n\tbase_url: x\n', ['2:1 tabs may not indent: use spaces']],
    ['partner: {}\npartner: {}\n', ['2:1 duplicate key "partner": it is already on line 1']],
    [around('poll: {}\nreceivers: []\n'), ['2:1 `receivers` belongs under `alerting`']],
    [around('poll: {}\npol: {}\n'), ['2:1 unknown key "pol": did you mean "poll"?']],
  ])('as a whole: %j', async (text, expected) => {
    expect(await told(text)).toEqual(expected)
  })

  const url = 'an https:// URL (http:// only to this machine) without user, query and fragment'
  test.each([
    ['{token: t}', ['1:1 "base_url" is missing']],
    ['{base_url: ftp://x, token: t}', [`1:21 expected ${url}, got "ftp://x"`]],
    ['{base_url: http://p.example, token: t}', [`1:21 expected ${url}, got "http://p.example"`]],
    [
      '{base_url: http://localhost.example, token: t}',
      [`1:21 expected ${url}, got "http://localhost.example"`],
    ],
    ['{base_url: "https://u:p@p.example", token: t}', [`1:21 expected ${url}, got "https://p.example"`]],
    ['{base_url: "https://p.example/?x=1", token: t}', [`1:21 expected ${url}, got "https://p.example/…"`]],
    ['{base_url: "https:p.example", token: t}', [`1:21 expected ${url}, got "https:p.example"`]],
    ['{base_url: p.example, token: t}', [`1:21 expected ${url}, got "p.example"`]],
    [
      '{base_url: "https://p.example"}',
      ['1:1 "client_id" and "client_secret" are missing (or give "token")'],
    ],
    [
      '{base_url: "https://p.example", client_id: i}',
      ['1:1 "client_secret" (or "client_secret_file") is missing'],
    ],
    ['{base_url: "https://p.example", client_secret: s}', ['1:1 "client_id" is missing']],
    [
      '{base_url: "https://p.example", token: t, client_id: i}',
      ['1:42 "token" stands in the place of "client_id" and "client_secret": leave one out'],
    ],
    [
      '{base_url: "https://p.example", token: t, token_file: secret}',
      ['1:52 "token" and "token_file" are both given: leave one out'],
    ],
    ['{base_url: "https://p.example", token: 123}', ['1:49 expected text, got a number: put it in quotes']],
    ['{base_url: "https://p.example", token: ""}', ['1:49 expected one line of text, got text']],
    [
      '{base_url: "https://p.example", token: t, org_id: a/b}',
      ['1:60 expected an id such as 016b78a7-0c7c-4241-a277-015c3ad3cb90, got "a/b"'],
    ],
    ['{base_url: "https://p.example", token: t, concurrency: 0}', ['1:65 expected at least 1, got 0']],
    [
      '{base_url: "https://p.example", token: t, concurrency: "8"}',
      ['1:65 expected a whole number, got "8": quotes and variables make text of it'],
    ],
    [
      '{base_url: "https://p.example", token: t, requests_per_second: -1}',
      ['1:73 expected at least 0.1, got -1'],
    ],
    [
      '{base_url: "https://p.example", token: t, timeout: 10}',
      ['1:61 expected a duration such as 30s, 5m or 1h30m, got 10'],
    ],
    [
      '{base_url: "https://p.example", token: t, timeout: 0s}',
      ['1:61 expected a duration from 100ms to 10m, got "0s"'],
    ],
    [
      '{base_url: "https://p.example", token: t, time_out: 1s}',
      ['1:52 unknown key "time_out": did you mean "timeout"?'],
    ],
    [
      '{base_url: "https://p.example", token: t, maximum_answer_bytes: 1.5}',
      ['1:74 expected a whole number, got 1.5'],
    ],
  ])('about the partner: %s', async (text, expected) => {
    expect(await told(around(`partner: ${text}\n`))).toEqual(expected)
  })

  const sqlite = 'expected sqlite:path/to/file.db or postgres://user:password@host:5432/database, got'
  test.each([
    ['poll: {schedule: "* * * *"}', ['1:18 expected a cron expression such as */10 * * * *, got "* * * *"']],
    [
      'poll: {schedule: "61 * * * *"}',
      ['1:18 expected a cron expression such as */10 * * * *, got "61 * * * *"'],
    ],
    [
      'poll: {timezone: Europe/Viena}',
      [
        '1:18 expected an IANA time zone such as Europe/Vienna, got "Europe/Viena": did you mean Europe/Vienna?',
      ],
    ],
    ['poll: {timezone: "+01:00"}', ['1:18 expected an IANA time zone such as Europe/Vienna, got "+01:00"']],
    ['poll: {recheck_interval: 0}', ['1:26 expected a duration from 1s to 365d, got 0']],
    ['rules: rules/*.yaml', ['1:8 expected a list, got text']],
    ['rules: []', ['1:8 expected at least 1 entry, got a list']],
    ['rules: [5]', ['1:9 expected text, got 5: put it in quotes']],
    ['storage: {url: "postgres://:p@db/x"}', ['1:16 the user is missing']],
    ['storage: {url: "mysql://u:p@db/x"}', [`1:16 ${sqlite} "mysql://db/…"`]],
    ['storage: {url: "sqlite:"}', [`1:16 ${sqlite} "sqlite:"`]],
    ['storage: {url: "sqlite::memory:"}', [`1:16 ${sqlite} "sqlite::memory:"`]],
    ['storage: {url: "sqlite://data/x.db"}', [`1:16 ${sqlite} "sqlite://data/…"`]],
    ['storage: {url: data/x.db}', [`1:16 ${sqlite} "data/x.db"`]],
    ['http: {listen: "9469"}', ['1:16 expected host:port such as 127.0.0.1:9469, got "9469"']],
    ['http: {listen: ":9469"}', ['1:16 expected host:port such as 127.0.0.1:9469, got ":9469"']],
    [
      'http: {listen: "localhost:99999"}',
      ['1:16 expected host:port such as 127.0.0.1:9469, got "localhost:99999"'],
    ],
    [
      'http: {public_url: fleet.example.com}',
      [
        '1:20 expected an http:// or https:// URL without user, query and fragment, got "fleet.example.com"',
        '1:20 links under `http.public_url` are signed, and "signing_key" (or "signing_key_file") of `links` is missing: make one with `openssl rand -base64 32`',
      ],
    ],
    ['http: {access: {}}', ['1:8 `http.access` lets nobody in: give it `tokens` or `proxy`']],
    ['heartbeat: {}', ['1:1 "url" (or "url_file") is missing']],
    ['heartbeat: {url: hc.example/hunter2}', ['1:18 expected an http:// or https:// URL, got text']],
    [
      'log: {level: warning}',
      ['1:14 expected one of "debug", "info", "warn", "error", "silent", got "warning"'],
    ],
    [
      'log: {level: inof}',
      ['1:14 expected one of "debug", "info", "warn", "error", "silent", got "inof": did you mean "info"?'],
    ],
    ['log: info', ['1:6 expected a mapping, got text']],
  ])('elsewhere: %s', async (text, expected) => {
    expect(await told(around(`${text}\n`))).toEqual(expected)
  })

  const duration = 'a duration such as 30s, 5m or 1h30m'
  test.each([
    ['{receiver: q}', ['1:30 there is no receiver "q": did you mean "r"?']],
    ['{}', ['1:12 "receiver" is missing']],
    ['{receiver: r, group_by: alertname}', ['1:43 expected a list, got text']],
    [
      '{receiver: r, group_by: [a-b]}',
      ['1:44 expected a label name such as alertname, or \'...\' alone for all labels, got "a-b"'],
    ],
    ['{receiver: r, group_by: [a, a]}', ['1:43 expected each label only once']],
    ['{receiver: r, group_by: [a, ...]}', ["1:43 expected '...' (all labels) without other labels"]],
    ['{receiver: r, group_wait: 5 m}', [`1:45 expected ${duration}, got "5 m"`]],
    ['{receiver: r, group_interval: 0s}', ['1:49 expected a duration from 1s to 365d, got "0s"']],
    ['{receiver: r, repeat_interval: 2y}', ['1:50 expected a duration from 1s to 365d, got "2y"']],
    ['{receiver: r, continue: true}', ['1:43 expected false, got true']],
    [
      '{receiver: r, matchers: []}',
      [
        '1:33 `matchers` cannot stand at the root, which every alert reaches: put it into one of its `routes`',
      ],
    ],
    [
      '{receiver: r, mute_time_intervals: []}',
      [
        '1:33 `mute_time_intervals` cannot stand at the root, which every alert reaches: put it into `routes`; it is not inherited',
      ],
    ],
    ['{receiver: r, group_byy: []}', ['1:33 unknown key "group_byy": did you mean "group_by"?']],
  ])('about the route: %s', async (text, expected) => {
    expect(await told(around(`alerting: {route: ${text}, receivers: [{name: r}]}\n`))).toEqual(expected)
  })

  const smtp = 'smtp_smarthost: "m:25", smtp_from: f@example.com'
  test.each([
    ['{}', '[]', ['3:13 expected at least 1 entry, got a list']],
    ['{}', '[{name: ""}]', ['3:21 expected at least 1 character, got ""']],
    ['{}', '[{name: r}, {name: r}]', ['3:32 the name "r" is given to two receivers']],
    [
      '{}',
      '[{name: r, slack_configs: [{}]}]',
      ['3:40 "api_url" is missing here, and "slack_api_url" in `global`'],
    ],
    ['{}', '[{name: r, slack_configs: {}}]', ['3:39 expected a list, got a mapping']],
    [
      '{}',
      '[{name: r, slack_configs: [https://hooks.slack.com/hunter2]}]',
      ['3:40 expected a mapping, got text'],
    ],
    [
      '{slack_api_url: http://hooks.slack.com/hunter2}',
      '[{name: r}]',
      ['2:26 expected an https:// URL (http:// only to this machine), got text'],
    ],
    [
      '{slack_api_url_file: secret}',
      '[{name: r}]',
      [
        '2:31 expected a file with an https:// URL (http:// only to this machine): the file holds something else',
      ],
    ],
    [
      '{}',
      '[{name: r, slack_configs: [{api_url: https://h, api_url_file: slack}]}]',
      ['3:61 "api_url" and "api_url_file" are both given: leave one out'],
    ],
    [
      '{slack_api_url: https://h}',
      '[{name: r, slack_configs: [{channel: "#x"}]}]',
      [
        '3:41 `channel` is valid Alertmanager configuration, but a Slack webhook posts to the channel that it was made for: leave it out, and give each channel a webhook of its own (or be a bot, with `app_token`)',
      ],
    ],
    [
      '{slack_api_url: https://h}',
      '[{name: r, slack_configs: [{title_link: x}]}]',
      [`3:41 ${notYet('title_link')}`],
    ],
    [
      '{}',
      '[{name: r, email_configs: [{to: a@b.c}]}]',
      [
        '3:40 "smarthost" is missing here, and "smtp_smarthost" in `global`',
        '3:40 "from" is missing here, and "smtp_from" in `global`',
      ],
    ],
    [`{${smtp}}`, '[{name: r, email_configs: [{}]}]', ['3:40 "to" is missing']],
    [
      `{${smtp}}`,
      '[{name: r, email_configs: [{to: a@b.c, auth_username: u}]}]',
      ['3:40 there is a user name for the mail server, but no password'],
    ],
    [
      `{${smtp}}`,
      '[{name: r, email_configs: [{to: a@b.c, auth_password_file: secret}]}]',
      ['3:40 there is a password for the mail server, but no user name'],
    ],
    [
      `{${smtp}}`,
      '[{name: r, email_configs: [{to: a@b.c, html: x}]}]',
      [`3:52 ${goTemplate('html', 'html')}`],
    ],
    [
      `{${smtp}}`,
      '[{name: r, email_configs: [{to: a@b.c, tls_config: {ca_file: secret}}]}]',
      ['3:74 expected a file with certificates in PEM form (-----BEGIN CERTIFICATE-----)'],
    ],
    [
      `{${smtp}}`,
      '[{name: r, email_configs: [{to: a@b.c, tls_config: {insecure_skip_verify: true}}]}]',
      [
        '3:65 `insecure_skip_verify` is not supported, since anybody in between could then read what is sent: name the certificate authority of the server with `ca_file`',
      ],
    ],
    [
      '{smtp_smarthost: mail.example.com}',
      '[{name: r}]',
      ['2:27 expected host:port such as smtp.example.com:587, got "mail.example.com"'],
    ],
    [
      '{smtp_smarthost: "mail.example.com:0"}',
      '[{name: r}]',
      ['2:27 expected host:port such as smtp.example.com:587, got "mail.example.com:0"'],
    ],
    [
      '{smtp_hello: "a b"}',
      '[{name: r}]',
      ['2:23 expected a host name such as alerts.example.com, got "a b"'],
    ],
    ['{smtp_require_tls: "no"}', '[{name: r}]', ['2:29 expected true or false, got "no"']],
    ['{slack_api_ur: x}', '[{name: r}]', ['2:11 unknown key "slack_api_ur": did you mean "slack_api_url"?']],
    ['{}', '[{name: r, opsgenie_configs: []}]', [`3:24 ${notYet('opsgenie_configs')}`]],
    [
      '{}',
      '[{name: r}]\n templates: []',
      [
        '4:2 `templates` is valid Alertmanager configuration, but names files of Go templates: write Liquid ones under `template` in slack_configs and email_configs',
      ],
    ],
  ])('about receivers: global %s, receivers %s', async (global, receivers, expected) => {
    const text = `alerting:\n global: ${global}\n receivers: ${receivers}\n route: {receiver: r}\n`
    expect(await told(around(text))).toEqual(expected)
  })

  const mailbox = 'a mail address such as alerts@example.com or Fleet alerts <alerts@example.com>'
  const list = 'mail addresses separated by commas, such as oncall@example.com, lead@example.com'
  test.each([
    ['', list],
    ['a@b.c,', list],
    ['a@b.c,,d@e.f', list],
    ['a@b.c d@e.f', list],
    ['a@b.c;d@e.f', list],
    ['a', list],
    ['a@', list],
    ['@b.c', list],
    ['a@b@c', list],
    ['a@b..c', list],
    ['a.@b.c', list],
    ['a@-b.c', list],
    ['<a@b.c>', list],
    ['x <a@b.c> <d@e.f>', list],
    ['"x" <a@b.c>', list],
    ['x (y) <a@b.c>', list],
    ['a@b.c\r\nBcc: z@z.z', list],
    ['a@b.c\n', list],
    ['x\r\nBcc: z@z.z <a@b.c>', list],
    ['\u2028a@b.c', list],
    [`${'a'.repeat(65)}@b.c`, list],
    ['a@b.c, A@B.c', 'each address only once'],
    ['a@b.c, x <a@b.c>', 'each address only once'],
  ])('about recipients: %j', async (to, expected) => {
    const email = JSON.stringify([{ name: 'r', email_configs: [{ to, from: 'f@b.c', smarthost: 'm:25' }] }])
    const [problem, ...others] = await told(around(`alerting: {route: {receiver: r}, receivers: ${email}}\n`))
    expect(problem).toMatch(/^1:81 expected /)
    expect(problem).toContain(`expected ${expected}, got "`)
    expect(others).toEqual([])
  })

  test.each(['a@b.c, d@e.f', 'x\r\nBcc: z@z.z <a@b.c>', 'x <a@b.c', ''])(
    'about a sender: %j',
    async (from) => {
      const [problem, ...others] = await told(
        around(
          `alerting: {route: {receiver: r}, receivers: [{name: r}], global: ${JSON.stringify({ smtp_from: from })}}\n`,
        ),
      )
      expect(problem).toContain(`expected ${mailbox}, got "`)
      expect(others).toEqual([])
    },
  )

  test('is told whole: five faults of five kinds, in the order of the file', async () => {
    const text = `partner:
  base_url: http://app.podero.com/api
  client_id: \${PODERO_CLIENT_ID}
  client_secret_file: podero.txt
poll:
  recheck_intervall: 2m
alerting:
  route: {receiver: on-call}
  receivers:
    - name: oncall
rules: [a.yaml]
`
    const error = await problemsOf(parse(text))
    expect(error.message).toBe(
      [
        '/etc/fleet/f.yaml:2:13: expected an https:// URL (http:// only to this machine) without user, query and fragment, got "http://app.podero.com/…"',
        '/etc/fleet/f.yaml:3:14: the variable PODERO_CLIENT_ID is not set: set it, or give a default as in ${PODERO_CLIENT_ID:-default}',
        '/etc/fleet/f.yaml:4:23: cannot read "podero.txt": there is no such file (a relative path starts at the folder of this file)',
        '/etc/fleet/f.yaml:6:3: unknown key "recheck_intervall": did you mean "recheck_interval"?',
        '/etc/fleet/f.yaml:8:21: there is no receiver "on-call": did you mean "oncall"?',
      ].join('\n'),
    )
  })
})

describe('on disk', () => {
  let folder: string
  const load = (name: string) =>
    loadConfig({ file: join(folder, name), env: {}, readFile: (path) => readFile(path, 'utf8') })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetwarden-config-'))
    await mkdir(join(folder, 'rules/deep.yaml'), { recursive: true })
    await mkdir(join(folder, 'tests'))
    for (const path of [
      'rules/b.yaml',
      'rules/a.yaml',
      'rules/a.test.yaml',
      'rules/deep.yaml/c.yaml',
      'tests/d.test.yml',
      'one.yml',
    ]) {
      await writeFile(join(folder, path), '')
    }
    await symlink(join(folder, 'one.yml'), join(folder, 'rules/link.yaml'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  const rulesOf = async (patterns: string | null) => {
    await writeFile(
      join(folder, 'f.yaml'),
      partner + alerting + (patterns === null ? '' : `rules: ${patterns}\n`),
    )
    return (await load('f.yaml')).ruleFiles.map((path) => path.slice(folder.length + 1))
  }

  test('rule files are what the patterns match, links too, but neither folders nor tests of rules', async () => {
    expect(await rulesOf(null)).toEqual(['rules/a.yaml', 'rules/b.yaml', 'rules/link.yaml'])
    expect(await rulesOf('[rules/a.yaml, "*.yml", "rules/*/*.yaml"]')).toEqual([
      'one.yml',
      'rules/a.yaml',
      'rules/deep.yaml/c.yaml',
    ])
    expect(await rulesOf(`[${folder}/rules/b.yaml]`)).toEqual(['rules/b.yaml'])
  })

  test('a pattern that matches nothing is a problem, each at its place', async () => {
    await writeFile(join(folder, 'f.yaml'), `rules: ["none/*.yaml", "tests/*"]\n${partner}${alerting}`)
    expect((await problemsOf(load('f.yaml'))).message.replaceAll(folder, '')).toBe(
      '/f.yaml:1:9: "none/*.yaml" matches no file in the folder of the configuration\n' +
        '/f.yaml:1:24: "tests/*" matches only tests of rules (*.test.yaml) in the folder of the configuration',
    )
  })

  test('the default pattern that matches nothing is named', async () => {
    await writeFile(join(folder, 'tests/f.yaml'), partner + alerting)
    const [problem] = (await problemsOf(load('tests/f.yaml'))).problems
    expect(problem?.message).toBe(
      '"rules/*.yaml" (the default of "rules") matches no file in the folder of the configuration',
    )
  })

  test('a configuration that cannot be read is a problem', async () => {
    expect((await problemsOf(load('nope.yaml'))).message).toBe(
      `${folder}/nope.yaml:1:1: cannot read the configuration: there is no such file; name it with --config, begin with a copy of fleetwarden.example.yaml, or try the demo`,
    )
    expect((await problemsOf(load('rules'))).problems[0]?.message).toBe(
      'cannot read the configuration: it is a folder',
    )
  })
})
