// biome-ignore-all lint/suspicious/noTemplateCurlyInString: configurations use variables

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { CliContext } from '../../src/cli/context.ts'
import { load } from '../../src/cli/load.ts'
import { alertmanagerConfig } from '../../src/config.ts'
import { parseAlerting, told } from './parse.ts'

const key = '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b'
const more = `http: {public_url: https://fleet.example.com}\nlinks: {signing_key: ${key}}\n`
const global = 'smtp_smarthost: "mail.example.com:587", smtp_from: fleet@example.com'

const section = (owner: string) =>
  `global: {${global}}\nroute: {receiver: r}\nreceivers: [{name: r, owner_configs: [${owner}]}]`
const problems = (owner: string, options: Parameters<typeof told>[1] = { more }) =>
  told(section(owner), options)

describe('owner_configs', () => {
  test('need no more than who writes', async () => {
    const config = await parseAlerting(section('{company: {name: Stadtwerke}}'), { more })
    expect(config.alerting.receivers[0]?.owner).toEqual([
      {
        from: 'fleet@example.com',
        smarthost: { host: 'mail.example.com', port: 587 },
        hello: null,
        username: null,
        password: null,
        requireTls: true,
        ca: null,
        serverName: null,
        everyMs: 7 * 86_400_000,
        afterMs: 3_600_000,
        escalateAfterMs: 3 * 86_400_000,
        quietHours: { start: 20 * 60, end: 8 * 60 },
        language: 'en',
        timeZone: 'UTC',
        company: { name: 'Stadtwerke', supportEmail: null, supportPhone: null, supportUrl: null },
      },
    ])
    expect(config.links?.signingKeys.map((each) => each.reveal())).toEqual([key])
  })

  test('may say all of it, and a mail server of their own', async () => {
    const all =
      '{company: {name: S & Söhne, support_email: a@b.example, support_phone: "+43 (1) 23-45", support_url: "https://s.example/help"}, ' +
      'every: 14d, after: 0, escalate_after: 5d, quiet_hours: {start: "00:00", end: "07:30"}, language: de, time_zone: Europe/Vienna, ' +
      'from: S <s@example.com>, smarthost: "localhost:25", auth_username: u, auth_password: p}'
    const config = await parseAlerting(section(all), { more })
    expect(config.alerting.receivers[0]?.owner[0]).toMatchObject({
      ...{
        from: 'S <s@example.com>',
        requireTls: false,
        username: 'u',
        everyMs: 14 * 86_400_000,
        afterMs: 0,
      },
      ...{ quietHours: { start: 0, end: 450 }, language: 'de', timeZone: 'Europe/Vienna' },
      company: { name: 'S & Söhne', supportPhone: '+43 (1) 23-45' },
    })
    const any = await parseAlerting(section('{company: {name: S}, quiet_hours: false}'), { more })
    expect(any.alerting.receivers[0]?.owner[0]?.quietHours).toBeNull()
  })

  test.each([
    ['{}', '"company" is missing'],
    ['{company: {}}', '"name" is missing'],
    ['{company: {name: " "}}', 'expected the name of a company, at most 100 characters, got " "'],
    [
      '{company: {name: S, support_phone: call us}}',
      'expected a telephone number such as +43 1 234567, got "call us"',
    ],
    [
      '{company: {name: S, support_email: "S <a@b.example>"}}',
      'expected a mail address such as service@example.com',
    ],
    ['{company: {name: S, support_url: "javascript:alert(1)"}}', 'expected an http:// or https:// URL'],
    ['{company: {name: S}, every: 5m}', 'expected a duration from 1h to 365d, got "5m"'],
    ['{company: {name: S}, language: fr}', 'expected one of "de", "en", got "fr"'],
    ['{company: {name: S}, time_zone: Europe/Wien}', 'expected an IANA time zone such as Europe/Vienna'],
    ['{company: {name: S}, quiet_hours: {start: "8 pm", end: "08:00"}}', 'got "8 pm"'],
    [
      '{company: {name: S}, quiet_hours: {start: "24:00", end: "00:00"}}',
      'expected start and end at different times',
    ],
    ['{company: {name: S}, send_resolved: true}', 'unknown key "send_resolved"'],
    ['{company: {name: S}, auth_username: u}', 'there is a user name for the mail server, but no password'],
    ['{company: {name: S}}, {company: {name: T}}', 'expected at most 1'],
  ])('are refused with the reason: %s', async (owner, message) => {
    expect((await problems(owner)).join('\n')).toContain(message)
  })

  test.each([
    ['', '`links.signing_key` and `http.public_url`'],
    [`links: {signing_key: ${key}}`, '`http.public_url`'],
    ['http: {public_url: https://fleet.example.com}', '`links.signing_key`'],
  ])('need what links are made of: %s', async (given, missing) => {
    expect(
      (await problems('{company: {name: S}}', { more: given })).map((line) => line.replace(/^\S+ /, '')),
    ).toContain(`the links in mail to owners are ours: for them, ${missing} must be given`)
  })

  test('are not shown to tools of Alertmanager, which know nothing of them', async () => {
    const config = await parseAlerting(
      section('{company: {name: S}, auth_username: u, auth_password: hunter2}'),
      { more },
    )
    const shown = alertmanagerConfig(config.alerting)
    expect(parse(shown).receivers).toEqual([{ name: 'r' }])
    expect(shown).not.toContain('hunter2')
  })
})

test.each(['', 'self_service: true'])(
  'a receiver that writes to nobody is worth a warning, unless a rule allows it: %s',
  async (allow) => {
    const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-owners-'))
    try {
      const rule = `{alert: Lost, expr: "!device.is_authenticated", labels: {severity: info}, ${allow}}`
      await writeFile(join(folder, 'rules.yaml'), `groups: [{name: g, rules: [${rule}]}]`)
      const file = join(folder, 'fleetwarden.yaml')
      const alerting = section('{company: {name: S}}').replace(/^/gm, ' ')
      await writeFile(
        file,
        `partner: {base_url: "https://p.example", token: t}\nrules: [rules.yaml]\nalerting:\n${alerting}\n${more}`,
      )
      const { warnings } = await load(file, { env: {} } as CliContext)
      expect(warnings).toEqual(
        allow === ''
          ? [{ file, line: 6, column: 39, message: '"r" writes to nobody: no rule has self_service: true' }]
          : [],
      )
    } finally {
      await rm(folder, { recursive: true })
    }
  },
)
