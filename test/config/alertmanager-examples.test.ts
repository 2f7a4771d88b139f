// The shapes of the examples that Alertmanager's repository and documentation are known for, as people
// paste them below `alerting:`.

import { describe, expect, it } from 'vitest'
import type { Route } from '../../src/config.ts'
import { parseAlerting, told } from './parse.ts'

/** Key and receiver of each route, depth first. */
const tree = (route: Route): string[] => [`${route.key} ${route.receiver}`, ...route.routes.flatMap(tree)]
const routesOf = async (text: string) => tree((await parseAlerting(text)).alerting.route)

const mail = `global:
  smtp_smarthost: 'localhost:25'
  smtp_from: 'alertmanager@example.org'
`
const notYet = (key: string) =>
  `\`${key}\` is valid Alertmanager configuration, but Fleetwarden does not support it yet`

describe('accepted word for word', () => {
  it('the example with teams, services and databases', async () => {
    const text = `${mail}  smtp_auth_username: 'alertmanager'
  smtp_auth_password: 'password'
route:
  group_by: ['alertname', 'cluster', 'service']
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 3h
  receiver: team-X-mails
  routes:
  - matchers:
    - service=~"foo1|foo2|baz"
    receiver: team-X-mails
    routes:
    - matchers:
      - severity="critical"
      receiver: team-X-pager
  - matchers:
    - service="files"
    receiver: team-Y-mails
    routes:
    - matchers:
      - severity="critical"
      receiver: team-Y-pager
  - matchers:
    - service="database"
    receiver: team-DB-pager
    group_by: [alertname, cluster, database]
    routes:
    - matchers:
      - owner="team-X"
      receiver: team-X-pager
      continue: true
    - matchers:
      - owner="team-Y"
      receiver: team-Y-pager
inhibit_rules:
- source_matchers: [ severity="critical" ]
  target_matchers: [ severity="warning" ]
  equal: [ alertname, cluster, service ]
receivers:
- name: 'team-X-mails'
  email_configs:
  - to: 'team-X+alerts@example.org'
- name: 'team-X-pager'
  email_configs:
  - to: 'team-X+alerts-critical@example.org'
  pagerduty_configs:
  - routing_key: <team-X-key>
- name: 'team-Y-mails'
  email_configs:
  - to: 'team-Y+alerts@example.org'
- name: 'team-Y-pager'
  pagerduty_configs:
  - routing_key: <team-Y-key>
- name: 'team-DB-pager'
  pagerduty_configs:
  - routing_key: <team-DB-key>
`
    expect(await routesOf(text)).toEqual([
      '{} team-X-mails',
      '{}/{service=~"foo1|foo2|baz"} team-X-mails',
      '{}/{service=~"foo1|foo2|baz"}/{severity="critical"} team-X-pager',
      '{}/{service="files"} team-Y-mails',
      '{}/{service="files"}/{severity="critical"} team-Y-pager',
      '{}/{service="database"} team-DB-pager',
      '{}/{service="database"}/{owner="team-X"} team-X-pager',
      '{}/{service="database"}/{owner="team-Y"} team-Y-pager',
    ])
  })

  it('the older form of it, with match and match_re', async () => {
    const text = `${mail}route:
  receiver: team
  routes:
  - match_re:
      service: ^(foo1|foo2|baz)$
    receiver: team
    routes:
    - match:
        severity: critical
      receiver: pager
inhibit_rules:
- source_match:
    severity: 'critical'
  target_match:
    severity: 'warning'
  equal: ['alertname']
receivers:
- name: team
  email_configs: [{to: team@example.org}]
- name: pager
`
    expect(await routesOf(text)).toEqual([
      '{} team',
      '{}/{service=~"^(foo1|foo2|baz)$"} team',
      '{}/{service=~"^(foo1|foo2|baz)$"}/{severity="critical"} pager',
    ])
  })

  it('the smallest one: a webhook, grouped by alertname', async () => {
    const text = `route:
  group_by: ['alertname']
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
  receiver: 'web.hook'
receivers:
  - name: 'web.hook'
    webhook_configs:
      - url: 'http://127.0.0.1:5001/'
inhibit_rules:
  - source_match:
      severity: 'critical'
    target_match:
      severity: 'warning'
    equal: ['alertname', 'dev', 'instance']
`
    const { alerting } = await parseAlerting(text)
    expect(alerting.receivers[0]?.webhook).toHaveLength(1)
    expect(alerting.inhibitRules[0]?.equal).toEqual(['alertname', 'dev', 'instance'])
  })

  it('time intervals for office hours and holidays, in routes that mute and that are active', async () => {
    const text = `route:
  receiver: default
  routes:
  - matchers: [team="office"]
    receiver: office
    active_time_intervals: [office-hours]
    mute_time_intervals: [holidays, off-hours]
time_intervals:
- name: office-hours
  time_intervals:
  - times:
    - start_time: 09:00
      end_time: 17:00
    weekdays: ['monday:friday']
    location: 'Australia/Sydney'
- name: holidays
  time_intervals:
  - months: ['december']
    days_of_month: ['24:26', '-1']
    years: ['2026:2030']
mute_time_intervals:
- name: off-hours
  time_intervals:
  - weekdays: ['saturday', 'sunday']
receivers:
- name: default
- name: office
`
    const { alerting } = await parseAlerting(text)
    expect(alerting.timeIntervals.map(({ name }) => name)).toEqual(['off-hours', 'office-hours', 'holidays'])
  })

  it('what kube-prometheus begins with: a watchdog, an unreachable receiver, matchers in quotes', async () => {
    const text = `"global":
  "resolve_timeout": "5m"
"inhibit_rules":
- "equal": ["namespace", "alertname"]
  "source_matchers": ["severity = critical"]
  "target_matchers": ["severity =~ warning|info"]
"receivers":
- "name": "Default"
- "name": "Watchdog"
- "name": "null"
"route":
  "group_by": ["namespace"]
  "receiver": "Default"
  "routes":
  - "matchers": ["alertname = Watchdog"]
    "receiver": "Watchdog"
  - "matchers": ["alertname = InfoInhibitor"]
    "receiver": "null"
`
    expect(await routesOf(text)).toEqual([
      '{} Default',
      '{}/{alertname="Watchdog"} Watchdog',
      '{}/{alertname="InfoInhibitor"} null',
    ])
  })

  it('a Slack bot as the documentation made one before there were app tokens', async () => {
    const text = `global:
  slack_api_url: https://slack.com/api/chat.postMessage
  http_config:
    authorization:
      credentials: xoxb-123
route: {receiver: chat}
receivers:
- name: chat
  slack_configs:
  - channel: '#alerts'
    send_resolved: true
`
    const { alerting } = await parseAlerting(text)
    expect(alerting.receivers[0]?.slack[0]).toMatchObject({ kind: 'bot', channel: '#alerts' })
  })
})

describe('refused by name and place', () => {
  it('what the first example has besides: templates, and texts in them', async () => {
    const text = `templates:
- '/etc/alertmanager/template/*.tmpl'
global:
  slack_api_url: https://hooks.slack.com/services/x
  opsgenie_api_key: k
route: {receiver: a}
receivers:
- name: a
  slack_configs:
  - channel: '#alerts'
    title: '{{ .CommonAnnotations.summary }}'
    text: '{{ template "slack.text" . }}'
    icon_emoji: ':fire:'
  email_configs:
  - to: a@example.org
    from: b@example.org
    smarthost: m:25
    html: '{{ template "email.html" . }}'
    headers: {Subject: '{{ .Status }}'}
  pagerduty_configs:
  - service_key: x
  opsgenie_configs:
  - {}
inhibit_rules:
- sources: []
`
    const lines = await told(text)
    expect(lines.map((line) => line.replace(/ is valid Alertmanager configuration, .*/, ''))).toEqual([
      '1:1 `templates`',
      '5:3 `opsgenie_api_key`',
      '10:5 `channel`',
      '11:5 `title`',
      '12:5 `text`',
      '13:5 `icon_emoji`',
      '18:5 `html`',
      '19:5 `headers`',
      '21:5 `service_key`',
      '22:3 `opsgenie_configs`',
      '25:3 `sources`',
    ])
    expect(lines[9]).toBe(`22:3 ${notYet('opsgenie_configs')}`)
    expect(lines[3]).toContain('write a Liquid one under `template`, as `title` or in a file')
  })
})
