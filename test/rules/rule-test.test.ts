import { describe, expect, test } from 'vitest'
import { loadRules } from '../../src/rules/rule-file.ts'
import { type RuleTestFailure, runRuleTests, unknownAlertNames } from '../../src/rules/rule-test.ts'
import { parseRuleTests } from '../../src/rules/rule-test-file.ts'
import { FileError } from '../../src/yaml-file.ts'

const rules = loadRules([
  {
    file: 'r.yaml',
    text: `
groups:
  - name: g
    rules:
      - alert: Lost
        expr: "!device.is_authenticated"
        for: 5m
        keep_firing_for: 3m
        labels: {severity: critical}
        annotations: {summary: "{{ device.manufacturer }} lost since {{ device.updated_at }}"}
      - alert: Low
        device_types: [electric_vehicle]
        expr: device.battery_level < 10
        clear: device.battery_level > 20
      - alert: Waiting
        expr: device.actions.exists(a, a.code == "reauthenticate")
      - alert: Twice
        each: user
        expr: user.external_user_id_count > 1
      - alert: NoExternalId
        each: user
        expr: user.external_user_id == null
      - alert: ContractOver
        each: user
        expr: user.energy_contracts.exists(c, c.prices_until < now)
      - alert: Outage
        each: fleet
        count: "!device.is_authenticated"
        by: [manufacturer]
        expr: matching >= 20
        annotations: {summary: "{{ matching }} of {{ total }}"}
      - alert: WalkPartial
        each: fleet
        expr: walk.outcome != "complete"
        for: 2m
`,
  },
])

function file(devices: string, ...expectations: string[]): string {
  const entries = expectations.map((entry) => `      - {${entry}}`).join('\n')
  return `
rule_files: [r.yaml]
tests:
  - name: t
${devices.replace(/^/gm, '    ')}
    alert_rule_test:
${entries}
`
}

async function run(text: string): Promise<readonly RuleTestFailure[]> {
  const parsed = parseRuleTests('t.yaml', text)
  expect(unknownAlertNames(parsed, rules)).toEqual([])
  return runRuleTests(parsed, rules)
}

const lost = (series: string, more = '') =>
  `devices:\n  - {type: heat_pump, ${more} fields: {is_authenticated: ${series}}}`
const is = (state: string) => `exp_alerts: [{exp_state: ${state}, exp_labels: {severity: critical}}]`

describe('drives the real lifecycle', () => {
  // The vectors of the semantics, one value a minute: for 5 m, keep 3 m.
  test.each<[string, string, [number, string][]]>([
    [
      'TTTTTT fires at 5',
      'false',
      [
        [4, 'pending'],
        [5, 'firing'],
      ],
    ],
    [
      'TTTTF never fires',
      'falsex3 true',
      [
        [3, 'pending'],
        [4, 'none'],
        [9, 'none'],
      ],
    ],
    [
      'unknown time does not count',
      'falsex3 _ false',
      [
        [5, 'pending'],
        [6, 'firing'],
      ],
    ],
    [
      'a short recovery is none',
      'falsex9 truex1 false',
      [
        [11, 'recovering'],
        [12, 'firing'],
      ],
    ],
    [
      'resolves after keep_firing_for',
      'falsex9 true',
      [
        [12, 'recovering'],
        [13, 'resolved'],
      ],
    ],
  ])('%s', async (_, series, states) => {
    const expectations = states.map(
      ([minute, state]) =>
        `eval_time: ${minute}m, alertname: Lost${state === 'none' ? '' : `, ${is(state)}`}`,
    )
    expect(await run(file(lost(series), ...expectations))).toEqual([])
  })

  test('what begins again is pending, and not resolved besides', async () => {
    const series = lost('falsex9 truex9 falsex4')
    expect(await run(file(series, `eval_time: 21m, alertname: Lost, ${is('pending')}`))).toEqual([])
    expect(await run(file(series, `eval_time: 21m, alertname: Lost, ${is('resolved')}`))).toHaveLength(1)
  })

  test('an unread device keeps its alert, a deleted one loses it', async () => {
    const text = file(
      lost('false', 'reading: okx9 unreadx59 deleted,'),
      `eval_time: 69m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical}, exp_no_data: true}]`,
      `eval_time: 70m, alertname: Lost, ${is('firing')}`,
      'eval_time: 71m, alertname: Lost',
      `eval_time: 71m, alertname: Lost, ${is('resolved')}`,
    )
    expect(await run(text)).toEqual([])
  })

  test('alerts that the service raises by itself can be expected', async () => {
    const text = file(
      lost('false', 'reading: okx9 missing,'),
      'eval_time: 11m, alertname: DeviceNoData',
      'eval_time: 20m, alertname: DeviceNoData, exp_alerts: [{exp_labels: {severity: critical, rule: Lost}}]',
    )
    expect(await run(text)).toEqual([])
  })

  test('clear holds an alert between its thresholds', async () => {
    const devices = 'devices: [{type: electric_vehicle, fields: {battery_level: 5+5x4}}]'
    const fires = 'exp_alerts: [{}]'
    expect(
      await run(
        file(
          devices,
          `eval_time: 0m, alertname: Low, ${fires}`,
          `eval_time: 3m, alertname: Low, ${fires}`,
          'eval_time: 4m, alertname: Low',
        ),
      ),
    ).toEqual([])
  })

  test('between two evaluations the earlier one counts, and the last value stays', async () => {
    const late = `eval_time: 12m59s, alertname: Lost`
    expect(await run(file(lost('falsex9 true'), `${late}, ${is('recovering')}`))).toEqual([])
    expect(await run(file(lost('falsex9 true'), late))).toHaveLength(1)
    expect(await run(file(lost('falsex9 true'), 'eval_time: 5h, alertname: Lost'))).toEqual([])
  })
})

describe('what a test can describe', () => {
  test('pending actions as a series', async () => {
    const devices = 'devices: [{type: inverter, actions: "[]x2 reauthenticate+other _"}]'
    const text = file(
      devices,
      'eval_time: 2m, alertname: Waiting',
      'eval_time: 3m, alertname: Waiting, exp_alerts: [{}]',
      'eval_time: 4m, alertname: Waiting, exp_alerts: [{exp_no_data: true}]',
    )
    expect(await run(text)).toEqual([])
  })

  test('users, their contracts and how often an external id comes', async () => {
    const users = `
users:
  - {id: a, fields: {external_user_id: c-1}}
  - {id: b, fields: {external_user_id: c-1}, energy_contracts: [{prices_until: now-1h}]}
  - {id: c, fields: {external_user_id: c-2}, energy_contracts: [{prices_until: now+1h}]}
devices:
  - {type: inverter, fields: {}}
  - {type: inverter, user: {id: d, fields: {external_user_id: c-2, external_user_id_count: 1}}}`
    const text = file(
      users,
      'eval_time: 0m, alertname: Twice, exp_alerts: [{exp_labels: {user_id: a}}, {exp_labels: {user_id: b}}, {exp_labels: {user_id: c}}]',
      // The user of the first device is not described: no rule looks at it.
      'eval_time: 0m, alertname: NoExternalId',
      'eval_time: 0m, alertname: ContractOver, exp_alerts: [{exp_labels: {user_id: b}}]',
    )
    expect(await run(text)).toEqual([])
  })

  test('many devices at once, for rules about the fleet', async () => {
    const devices = `
devices:
  - {type: inverter, manufacturer: Acme, count: 20, fields: {is_authenticated: "true false"}}
  - {type: inverter, manufacturer: Acme, count: 5, fields: {is_authenticated: true}}
  - {type: inverter, manufacturer: Zeta, count: 19, fields: {is_authenticated: false}}`
    const text = file(
      devices,
      'eval_time: 0m, alertname: Outage',
      'eval_time: 1m, alertname: Outage, exp_alerts: [{exp_annotations: {summary: 20 of 25}}]',
    )
    expect(await run(text)).toEqual([])
  })

  test('walks; a failed one reads nothing', async () => {
    const text = file(
      `${lost('falsex5 true')}\nwalks: {outcome: "completex5 failed"}`,
      'eval_time: 7m, alertname: WalkPartial',
      'eval_time: 8m, alertname: WalkPartial, exp_alerts: [{}]',
      `eval_time: 30m, alertname: Lost, ${is('firing')}`,
    )
    expect(await run(text)).toEqual([])
  })

  test('what is read says how the walk went', async () => {
    const text = file(
      lost('true', 'reading: okx4 unread,'),
      'eval_time: 8m, alertname: WalkPartial, exp_alerts: [{}]',
    )
    expect(await run(text)).toEqual([])
  })

  test('instants relative to the evaluation, and a start', async () => {
    const text = file(
      'start_timestamp: 2026-05-01T00:00:00+02:00\ndevices: [{type: inverter, manufacturer: Acme, fields: {is_authenticated: false, updated_at: now-2h}}]',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical}, exp_annotations: {summary: "Acme lost since 2026-04-30 20:05 UTC"}}]',
    )
    expect(await run(text)).toEqual([])
  })
})

describe('an expectation that is not met', () => {
  test('says what was expected, what there is, and what was unknown', async () => {
    const text = file(
      'devices:\n  - {type: inverter, manufacturer: Acme, fields: {is_authenticated: false}}\n  - {type: wallbox}',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: info}, exp_annotations: {summary: x}, exp_state: firing}]',
    )
    expect(await run(text)).toEqual([
      {
        file: 't.yaml',
        line: 9,
        column: 9,
        test: 't',
        alertname: 'Lost',
        evalTimeMs: 300_000,
        expected: ['{alertname="Lost", severity="info"} firing\n  summary: "x"'],
        got: [
          '{alertname="Lost", device_id="device-1", device_type="inverter", manufacturer="Acme", severity="critical", user_id="user-of-device-1"} firing\n  summary: "Acme lost since unknown"',
        ],
        unknown: ['device-2 is unknown (missing_field: device.is_authenticated)'],
      },
    ])
  })

  test.each([
    ['an alert too many', 'false', 'eval_time: 5m, alertname: Lost'],
    ['an alert too few', 'true', `eval_time: 5m, alertname: Lost, ${is('firing')}`],
    [
      'one for two',
      'false',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical}}, {exp_labels: {severity: critical}}]',
    ],
    ['a label that is left out', 'false', 'eval_time: 5m, alertname: Lost, exp_alerts: [{}]'],
    [
      'a label that is not there',
      'false',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical, team: a}}]',
    ],
    [
      'another device',
      'false',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical, device_id: x}}]',
    ],
    ['another state', 'false', `eval_time: 5m, alertname: Lost, ${is('recovering')}`],
    [
      'data',
      'false',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical}, exp_no_data: true}]',
    ],
    [
      'another text',
      'false',
      'eval_time: 5m, alertname: Lost, exp_alerts: [{exp_labels: {severity: critical}, exp_annotations: {description: ""}}]',
    ],
  ])('%s', async (_, series, expectation) => {
    expect(await run(file(lost(series), expectation))).toHaveLength(1)
  })

  test('an expectation that says more gets the alert that fits it', async () => {
    const devices = 'devices: [{type: inverter, count: 2, fields: {is_authenticated: false}}]'
    const labels = (more: string) => `{exp_labels: {severity: critical${more}}}`
    expect(
      await run(
        file(
          devices,
          `eval_time: 5m, alertname: Lost, exp_alerts: [${labels('')}, ${labels(', device_id: device-1-1')}]`,
        ),
      ),
    ).toEqual([])
  })
})

describe('a test file with mistakes', () => {
  function problems(text: string): string[] {
    try {
      parseRuleTests('t.yaml', text)
    } catch (error) {
      if (error instanceof FileError) return error.problems.map((p) => `${p.line}:${p.column}: ${p.message}`)
      throw error
    }
    return []
  }

  const one = 'eval_time: 0m, alertname: Lost'

  test.each<[string, string, string[]]>([
    [
      'an unknown field',
      file('devices: [{type: inverter, fields: {is_authentcated: true}}]', one),
      ['5:41: unknown key "is_authentcated": did you mean "is_authenticated"?'],
    ],
    [
      'a blank before the count',
      file(lost('"false x5"'), one),
      ['6:62: x5 has nothing to repeat: write it without a blank, truex5 (true and 5 more, as in promtool)'],
    ],
    ['a value of another type', file(lost('5'), one), ['6:55: expected true, false or _, got 5']],
    [
      'a word that is no value',
      file(lost('"true maybe"'), one),
      ['6:61: expected true, false or _, got "maybe"'],
    ],
    [
      'a reading in a field',
      file(lost('"true unread"'), one),
      ['6:61: expected true, false or _, got "unread": for the whole device say reading: "ok unread"'],
    ],
    [
      'an unknown reading',
      file(lost('true', 'reading: ok stale,'), one),
      [
        '6:39: expected ok, unread, missing, deleted, got "stale": for an old state set current_state_last_updated_at',
      ],
    ],
    [
      'a bad instant',
      file('devices: [{type: inverter, fields: {updated_at: now-5}}]', one),
      ['5:53: expected an instant such as 2026-01-31T08:00:00Z, now or now-3h, got "now-5"'],
    ],
    [
      'an open quote',
      file(`devices: [{type: inverter, fields: {comment: 'a "b'}}]`, one),
      ['5:53: cannot read "\\"b": is a quote missing?'],
    ],
    [
      'a series that is too long',
      file(lost('truex100000'), one),
      ['6:55: a series has at most 100000 values'],
    ],
    [
      'an unknown user',
      file('devices: [{type: inverter, user: x}]', one),
      ['5:38: there is no user with the id "x" in users'],
    ],
    [
      'a user twice',
      file('users: [{id: a}]\ndevices: [{type: inverter, user: {id: a}}]', one),
      ['6:38: there is a user "a" already: write user: a'],
    ],
    ['two users of one id', file('users: [{id: a}, {id: a}]', one), ['5:12: two users have the same id']],
    [
      'two devices of one id',
      file('devices: [{type: inverter, id: a}, {type: wallbox, id: a}]', one),
      ['5:14: two devices have the same id'],
    ],
    [
      'a bad start',
      file('start_timestamp: 2026-05-01', one),
      ['5:22: expected an instant such as 2026-01-31T08:00:00Z, got "2026-05-01"'],
    ],
    ['no interval', `evaluation_interval: 0s${file('users: []', one)}`, ['1:22: has to be longer than 0']],
    [
      'a bad time',
      file('users: []', 'eval_time: 5, alertname: Lost'),
      ['7:21: expected a duration such as 90s, 15m, 2h30m or 1d, got 5'],
    ],
  ])('%s', (_, text, expected) => {
    expect(problems(text)).toEqual(expected)
  })

  test('an alert that no rule raises', () => {
    const parsed = parseRuleTests('t.yaml', file('users: []', 'eval_time: 0m, alertname: Lots'))
    expect(unknownAlertNames(parsed, rules)).toEqual([
      { file: 't.yaml', line: 7, column: 9, message: 'no rule raises "Lots": did you mean "Lost"?' },
    ])
  })
})

test('series are written as in promtool', () => {
  const text = file(
    `devices:
  - type: inverter
    fields:
      battery_level: "1 1+2x3 10-5x2 -1.5x1 _x2 7 _"
      comment: '"a b" "x5"x1 ''c'' d _'
      is_charging: _ true`,
    'eval_time: 0m, alertname: Lost',
  )
  const [device] = parseRuleTests('t.yaml', text).tests[0]!.devices
  const values = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => device!.fields[name]!.at(i, 0))
  expect(values('battery_level', 16)).toEqual([
    1,
    1,
    3,
    5,
    7,
    10,
    5,
    0,
    -1.5,
    -1.5,
    null,
    null,
    7,
    null,
    null,
    null,
  ])
  expect(values('comment', 7)).toEqual(['a b', 'x5', 'x5', 'c', 'd', null, null])
  expect(values('is_charging', 3)).toEqual([null, true, true])
})
