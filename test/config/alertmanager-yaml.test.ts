import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { alertmanagerConfig } from '../../src/config.ts'
import { parseAlerting } from './parse.ts'

const amtool = '/usr/bin/amtool'
const marker = 'hunter2'
const url = `https://${marker}.example/${marker}?k=${marker}`

const everything = `global:
  resolve_timeout: 90s
  smtp_smarthost: "[::1]:587"
  smtp_from: Fleet <fleet@example.com>
  smtp_auth_username: fleet
  smtp_auth_password: ${marker}
  smtp_tls_config: {server_name: mail.internal, ca_file: ca.pem}
  slack_api_url: ${url}
  slack_app_token: ${marker}
  http_config: {basic_auth: {username: u, password: ${marker}}}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 0
  routes:
  - matchers: [severity="critical", 'area=~"a\\\\.b|c"']
    receiver: chat
    continue: true
    routes:
    - {matchers: ['area="a.b"'], receiver: mail, group_by: ['...']}
  - match: {severity: critical}
    match_re: {manufacturer: Vail.*}
    receiver: hook
    mute_time_intervals: [nights]
    active_time_intervals: [days]
  - matchers: ['note="a, \\"b\\" \\\\ \\u00fc"', 'x!=""', y!~z]
    receiver: "yes"
    group_by: []
inhibit_rules:
- name: parents
  source_matchers: [severity="critical"]
  target_match_re: {severity: warning|info}
  equal: [user_id]
time_intervals:
- name: nights
  time_intervals:
  - {times: [{start_time: "22:00", end_time: "24:00"}], weekdays: ["monday:friday", sunday], location: Europe/Vienna}
  - {days_of_month: ["1:5", "-3:-1"], months: ["january:march", 5], years: [2026, "2027:2030"]}
- name: days
receivers:
- name: default
- name: chat
  slack_configs: [{show_personal_data: true, template: {text: "{{ x }}"}}, {channel: "#c"}]
- name: mail
  email_configs: [{to: "a@example.com, B <b@example.com>", template: {subject: "{{ x }}"}}, {to: c@example.com, hello: h, send_resolved: false}]
- name: hook
  webhook_configs: [{url: "${url}", max_alerts: 3, timeout: 3s, http_config: {authorization: {credentials: ${marker}}, tls_config: {server_name: s}, follow_redirects: false}}]
  pagerduty_configs: [{routing_key: ${marker}, severity: error, client: c, client_url: "https://c.example"}]
- name: "yes"
  alertmanager_configs: [{url: "${url}"}]
`
const files = { 'ca.pem': '-----BEGIN CERTIFICATE-----\n' }

describe('the masked configuration', async () => {
  const { alerting } = await parseAlerting(everything, { files })
  const text = alertmanagerConfig(alerting)
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetwarden-amtool-'))
    await writeFile(join(folder, 'am.yml'), text)
  })
  afterAll(() => rm(folder, { recursive: true }))
  const run = (...args: string[]) => execFileSync(amtool, args, { encoding: 'utf8', stdio: 'pipe' })

  it('has no secret, and none of the keys that only we know', () => {
    expect(text).not.toContain(marker)
    expect(text).not.toMatch(
      /show_personal_data|template|alertmanager_configs|app_token|timeout: "3s"|ca_file/,
    )
    expect(text.match(/<secret>/g)?.length).toBeGreaterThan(5)
  })

  it('says what was configured, with what is inherited written out', () => {
    const value = parse(text)
    expect(value.global).toEqual({ resolve_timeout: '90s' })
    expect(value.route).toMatchObject({ receiver: 'default', group_by: ['alertname'], group_wait: '0ms' })
    expect(value.route.routes[1]).toEqual({
      receiver: 'hook',
      group_by: ['alertname'],
      group_wait: '0ms',
      group_interval: '5m',
      repeat_interval: '4h',
      matchers: ['manufacturer=~"Vail.*"', 'severity="critical"'],
      continue: false,
      mute_time_intervals: ['nights'],
      active_time_intervals: ['days'],
      routes: [],
    })
    expect(value.route.routes[2].matchers[0]).toBe('note="a, \\"b\\" \\\\ ü"')
    expect(value.time_intervals[0].time_intervals).toEqual([
      {
        times: [{ start_time: '22:00', end_time: '24:00' }],
        weekdays: ['monday:friday', 'sunday'],
        location: 'Europe/Vienna',
      },
      {
        days_of_month: ['1:5', '-3:-1'],
        months: ['1:3', '5'],
        years: ['2026', '2027:2030'],
        location: 'UTC',
      },
    ])
    expect(value.receivers[4]).toEqual({ name: 'yes' })
  })

  it('is a configuration that means the same to ourselves', async () => {
    // Our own loader takes masks for what they stand for, but not in the place of URLs.
    const readable = text.replaceAll(
      'api_url: "<secret>"',
      'api_url: "https://slack.com/api/chat.postMessage"',
    )
    const chatless = parse(readable)
    for (const receiver of chatless.receivers)
      receiver.slack_configs = receiver.slack_configs?.filter((slack: object) => 'channel' in slack)
    const again = (await parseAlerting(JSON.stringify(chatless))).alerting
    const plain = (value: unknown) => JSON.parse(JSON.stringify(value))
    expect(plain(again.route)).toEqual(plain(alerting.route))
    expect(again.timeIntervals).toEqual(alerting.timeIntervals)
    expect(plain(again.inhibitRules)).toEqual(
      plain(alerting.inhibitRules.map((rule) => ({ ...rule, name: null }))),
    )
  })

  it('never holds a secret, wherever it stands', async () => {
    const secret = fc.stringMatching(/^[a-zA-Z0-9!#%&+.:=?~-]{12,40}$/)
    await fc.assert(
      fc.asyncProperty(secret, async (value) => {
        const config = await parseAlerting(
          everything.replaceAll(`: ${marker}`, `: ${JSON.stringify(value)}`),
          {
            files,
          },
        )
        expect(alertmanagerConfig(config.alerting)).not.toContain(value)
      }),
      { numRuns: 10 },
    )
  })

  const hasAmtool = existsSync(amtool)

  it.skipIf(!hasAmtool)('is accepted by amtool', () => {
    expect(run('check-config', join(folder, 'am.yml'))).toMatch(
      /SUCCESS[\s\S]*1 inhibit rules\n - 5 receivers/,
    )
  })

  it.skipIf(!hasAmtool).each([
    [['severity=warning'], 'default'],
    [['severity=critical', 'area=a.b'], 'mail'],
    [['severity=critical', 'area=c', 'manufacturer=Vaillant'], 'chat,hook'],
    [['severity=critical', 'area=aXb', 'manufacturer=Vaillant'], 'hook'],
    [['note="a, \\"b\\" \\\\ ü"', 'x=1'], 'yes'],
    [['note="a, \\"b\\" \\\\ ü"'], 'default'],
  ])('sends %j where it belongs, says amtool', (labels, receivers) => {
    const told = run('config', 'routes', 'test', `--config.file=${join(folder, 'am.yml')}`, ...labels)
    expect(told.trim().split('\n').at(-1)).toBe(receivers)
  })
})
