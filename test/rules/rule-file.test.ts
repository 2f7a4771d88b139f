import { describe, expect, test } from 'vitest'
import { lintRules, loadRules } from '../../src/rules/rule-file.ts'
import { FileError } from '../../src/yaml-file.ts'
import { now, scope, user, walk } from './sample.ts'

function load(...texts: string[]) {
  return loadRules(texts.map((text, index) => ({ file: `r${index + 1}.yaml`, text })))
}

function problems(...texts: string[]): string[] {
  try {
    load(...texts)
  } catch (error) {
    if (error instanceof FileError)
      return error.problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`)
    throw error
  }
  return []
}

/** One rule in a group, its lines given without indentation; the first stands on line 4. */
function rule(...lines: string[]): string {
  const [first = '', ...rest] = lines
  return [
    'groups:',
    '  - name: g',
    '    rules:',
    `      - ${first}`,
    ...rest.map((line) => `        ${line}`),
  ].join('\n')
}

function onlyDeviceRule(...lines: string[]) {
  const [loaded] = load(rule(...lines)).deviceRules
  if (loaded === undefined) throw new Error('no device rule')
  return loaded
}

const hour = 3_600_000

describe('a rule file', () => {
  test('becomes rules of four kinds', () => {
    const rules = load(`
groups:
  - name: all
    rules:
      - alert: Unauthenticated
        device_types: [heat_pump, inverter]
        expr: "!device.is_authenticated"
        clear: device.is_authenticated && device.connection_status == "ok"
        for: 15m
        keep_firing_for: 1h30m
        no_data: alerting
        no_data_after: 5
        limit: 100
        labels: {severity: critical, zone: "{{ device.price_zone }}"}
        annotations: {summary: "{{ device.manufacturer }} is gone"}
      - alert: Nobody
        each: user
        expr: user.external_user_id == null
      - alert: Outage
        each: fleet
        count: "!device.is_authenticated"
        by: [manufacturer]
        expr: matching >= 2
      - alert: WalkFailed
        each: fleet
        expr: walk.outcome == "failed"
`)
    expect(rules.deviceRules).toHaveLength(1)
    expect(rules.deviceRules[0]).toMatchObject({
      id: 'all/Unauthenticated',
      alert: 'Unauthenticated',
      each: 'device',
      deviceTypes: ['heat_pump', 'inverter'],
      forMs: 15 * 60_000,
      keepFiringForMs: 90 * 60_000,
      noData: 'alerting',
      noDataAfter: 5,
      limit: 100,
    })
    const [unauthenticated] = rules.deviceRules
    const gone = scope({ is_authenticated: false, price_zone: ' AT ' })
    expect(unauthenticated?.condition(gone)).toBe(true)
    expect(unauthenticated?.clear?.(gone)).toBe(false)
    expect(unauthenticated?.labels(gone)).toEqual({ severity: 'critical', zone: 'AT' })
    expect(unauthenticated?.annotations(gone)).toEqual({ summary: 'Acme is gone' })
    expect(rules.userRules[0]).toMatchObject({
      id: 'all/Nobody',
      each: 'user',
      forMs: 0,
      keepFiringForMs: 0,
      noData: 'keep',
      noDataAfter: 3,
      limit: null,
      clear: null,
    })
    expect(rules.userRules[0]?.condition({ user: user(), now })).toBe(true)
    expect(rules.fleetRules[0]).toMatchObject({ id: 'all/Outage', each: 'fleet', by: ['manufacturer'] })
    expect(rules.fleetRules[0]?.deviceTypes).toHaveLength(4)
    expect(rules.serviceRules[0]?.condition({ walk: walk({ outcome: 'failed' }), now })).toBe(true)
    expect(rules.reads).toEqual({ energyContracts: false, externalIdCounts: false })
  })

  test('may be empty of groups and rules', () => {
    expect(load('groups: []', 'groups: [{name: g, rules: []}]').deviceRules).toEqual([])
  })

  test('tells what of the expensive data its rules read, also in a template or a count', () => {
    const text = rule(
      'alert: A',
      'expr: device.is_charging',
      'annotations: {a: "{{ size(user.energy_contracts) }}"}',
    )
    expect(load(text).reads).toEqual({ energyContracts: true, externalIdCounts: false })
    const counted = rule(
      'alert: A',
      'each: fleet',
      'count: user.external_user_id_count > 1',
      'expr: matching > 1',
    )
    expect(load(counted).reads).toEqual({ energyContracts: false, externalIdCounts: true })
  })

  test('names rules by group and alert, and numbers those that repeat', () => {
    const { deviceRules } = load(`
groups:
  - name: a
    rules:
      - {alert: Stale, expr: device.is_charging, labels: {severity: warning}}
      - {alert: Stale, expr: device.is_charging, labels: {severity: critical}}
      - {alert: Stale, expr: device.is_charging, labels: {severity: critical, x: y}}
  - name: b
    rules:
      - {alert: Stale, expr: device.is_charging, labels: {severity: info}}
`)
    expect(deviceRules.map(({ id }) => id)).toEqual(['a/Stale', 'a/Stale#2', 'a/Stale#3', 'b/Stale'])
  })

  test('a rule keeps its definition when it is only laid out otherwise', () => {
    const plain = rule('alert: A', 'expr: device.is_charging', 'for: 15m', 'labels: {b: x, a: y}')
    const other = rule(
      'alert: A',
      '# comment',
      'labels: {a: y, b: "x"}',
      'for: 900s',
      "expr: 'device.is_charging'",
      'each: device',
    )
    const changed = rule('alert: A', 'expr: device.is_charging', 'for: 16m', 'labels: {b: x, a: y}')
    const definition = (text: string) => load(text).deviceRules[0]?.definition
    expect(definition(plain)).toMatch(/^[0-9a-f]{16}$/)
    expect(definition(other)).toBe(definition(plain))
    expect(definition(changed)).not.toBe(definition(plain))
  })

  test('static labels and annotations are made once', () => {
    const loaded = onlyDeviceRule('alert: A', 'expr: device.is_charging', 'labels: {severity: info}')
    expect(loaded.labels(scope())).toBe(loaded.labels(scope()))
    expect(loaded.annotations(scope())).toEqual({})
  })

  test('explains a condition', () => {
    const loaded = onlyDeviceRule(
      'alert: A',
      'expr: device.battery_level < 5',
      'clear: device.battery_level > 9',
    )
    const traced = loaded.trace?.(scope({ battery_level: 3 }))
    expect(traced?.condition.map(({ source, text }) => `${source}: ${text}`)).toEqual([
      'device.battery_level < 5: true',
      'device.battery_level: 3',
    ])
    expect(traced?.clear?.[0]).toEqual({ source: 'device.battery_level > 9', depth: 0, text: 'false' })
  })
})

describe('max_age', () => {
  const aged = onlyDeviceRule(
    'alert: A',
    'expr: device.battery_level < 5',
    'clear: device.battery_level > 9',
    'max_age: 2h',
  )
  const at = (ageMs: number) => scope({ battery_level: 3, current_state_last_updated_at: now - ageMs })

  test('an older state says nothing, neither to the condition nor to clear', () => {
    expect(aged.condition(at(2 * hour))).toBe(true)
    expect(aged.condition(at(2 * hour + 1))).toBe('stale')
    expect(aged.clear?.(at(2 * hour + 1))).toBe('stale')
  })

  test('a state from the future is new, one of unknown age is missing', () => {
    expect(aged.condition(at(-hour))).toBe(true)
    expect(aged.condition(scope({ battery_level: 3 }))).toBe('missing_field')
  })

  test('a rule that judges the age itself must not have it', () => {
    const text = rule(
      'alert: A',
      'max_age: 2h',
      'expr: now - device.current_state_last_updated_at > duration("1h")',
    )
    expect(problems(text)).toEqual([
      'r1.yaml:5:9: a rule that reads device.current_state_last_updated_at judges the age itself: take out max_age',
    ])
    const shown = rule(
      'alert: A',
      'max_age: 2h',
      'expr: device.is_charging',
      'annotations: {seen: "{{ device.current_state_last_updated_at }}"}',
    )
    expect(problems(shown)).toEqual([])
  })
})

describe('problems', () => {
  test('all of all files are told at once, in order', () => {
    const first = rule('alert: low', 'expr: device.is_charging', 'fro: 5m', 'labels: {user_id: x}')
    const second = `
groups:
  - name: h
    rules:
      - alert: A
        expr: |
          device.is_charging
          && device.modell == "x"
        clear: user.emial == "x"
        annotations:
          summary: "{{ device.manufacturer }} {{ device.typ }}"
      - alert: B
        expr: 'true'
        for: 5x
`
    expect(problems(first, second, 'groups: [', '')).toEqual([
      'r1.yaml:4:16: the name of an alert is in CamelCase, such as DeviceUnauthenticated',
      'r1.yaml:6:9: unknown key "fro": did you mean "for"?',
      'r2.yaml:8:21: device has no field modell: did you mean model?',
      'r2.yaml:9:21: user has no field emial: did you mean email?',
      'r2.yaml:11:57: device has no field typ: did you mean type?',
      'r2.yaml:14:14: expected a duration such as 90s, 15m, 2h30m or 1d, got "5x"',
      expect.stringMatching(/^r3\.yaml:1:\d+: /),
      'r4.yaml:1:1: expected a mapping, got nothing',
    ])
  })

  test.each<[string, string[], string[]]>([
    [
      'count without fleet',
      ['alert: A', 'count: device.is_charging', 'expr: device.is_charging'],
      ['5:9: count is for rules over the fleet: this one is for each device; add each: fleet'],
    ],
    [
      'by without count',
      ['alert: A', 'each: fleet', 'by: [model]', 'expr: walk.api_available'],
      ['6:9: by groups the devices that count counts: this rule has no count over the fleet'],
    ],
    [
      'device types of a user',
      ['alert: A', 'each: user', 'device_types: [inverter]', 'expr: user.is_onboarded'],
      ['6:9: device_types is for rules that look at devices: this one does not'],
    ],
    [
      'device types of the service',
      ['alert: A', 'each: fleet', 'device_types: [inverter]', 'expr: walk.api_available'],
      ['6:9: device_types is for rules that look at devices: this one does not'],
    ],
    [
      'max_age of a user',
      ['alert: A', 'each: user', 'max_age: 5m', 'expr: user.is_onboarded'],
      ['6:9: max_age is for rules for each device'],
    ],
    [
      'a by twice',
      ['alert: A', 'each: fleet', 'count: "true"', 'by: [model, model]', 'expr: ratio > 1'],
      ['7:9: by names model twice'],
    ],
    [
      'a reserved label',
      ['alert: A', 'expr: device.is_charging', 'labels: {device_id: x}'],
      ['6:18: the label device_id is set by Fleetwarden itself'],
    ],
    [
      'a label of by',
      ['alert: A', 'each: fleet', 'count: "true"', 'by: [model]', 'expr: ratio > 1', 'labels: {model: x}'],
      ['9:18: the label model comes from by'],
    ],
    [
      'an empty label',
      ['alert: A', 'expr: device.is_charging', 'labels: {a: " "}'],
      ['6:18: the label a is empty: give it a value or take it out'],
    ],
    [
      'a bad label name',
      ['alert: A', 'expr: device.is_charging', 'labels: {a-b: c}'],
      ['6:18: a label name consists of letters, digits and _, and starts with no digit'],
    ],
    [
      'a number as label',
      ['alert: A', 'expr: device.is_charging', 'labels: {team: 5}'],
      ['6:24: expected text, got 5: put it in quotes'],
    ],
    [
      'a service rule that reads devices',
      ['alert: A', 'each: fleet', 'expr: device.is_charging'],
      ['6:15: unknown name device: in scope are walk, now'],
    ],
    ['no expression', ['alert: A'], ['4:9: "expr" is missing']],
    [
      'a limit of 0',
      ['alert: A', 'expr: device.is_charging', 'limit: 0'],
      ['6:16: expected at least 1, got 0'],
    ],
    [
      'no device type',
      ['alert: A', 'expr: device.is_charging', 'device_types: []'],
      ['6:23: expected at least 1 entry, got a list'],
    ],
    [
      'an unknown policy',
      ['alert: A', 'expr: device.is_charging', 'no_data: Alerting'],
      ['6:18: expected one of "keep", "alerting", "ok", got "Alerting": did you mean "alerting"?'],
    ],
    [
      'a value as label',
      ['alert: A', 'expr: device.is_charging', 'labels: {a: "x {{ now }}"}'],
      [
        '6:27: a label identifies the alert, and a timestamp changes while it lasts: put it into an annotation',
      ],
    ],
  ])('%s', (_, lines, expected) => {
    expect(problems(rule(...lines))).toEqual(expected.map((problem) => `r1.yaml:${problem}`))
  })

  test('a group name stands for one group', () => {
    const text = rule('alert: A', 'expr: device.is_charging')
    expect(problems(text, text.replace('alert: A', 'alert: B'))).toEqual([
      'r2.yaml:2:11: group "g" is already at r1.yaml:2',
    ])
    expect(problems('groups: [{name: a/b, rules: []}]')).toEqual([
      'r1.yaml:1:17: the name of a group holds no /, # or line break',
    ])
  })

  test('rules whose alerts could not be told apart are refused, in different groups too', () => {
    const two = (first: string, second: string) => `
groups:
  - name: a
    rules: [{alert: A, ${first}}]
  - name: b
    rules: [{alert: A, ${second}}]
`
    const same = [
      'r1.yaml:6:21: there is another A with the same labels at r1.yaml:4: give one of them another label',
    ]
    const on = 'expr: device.is_charging'
    expect(problems(two(on, on))).toEqual(same)
    expect(problems(two(on, `${on}, labels: {x: y}`))).toEqual([])
    expect(problems(two(`${on}, device_types: [inverter]`, `${on}, device_types: [wallbox]`))).toEqual([])
    expect(problems(two(`${on}, device_types: [inverter]`, on))).toEqual(same)
    expect(problems(two(on, 'each: user, expr: user.is_onboarded'))).toEqual([])
    const fleet = 'each: fleet, count: "true", expr: ratio > 1'
    expect(problems(two(fleet, fleet))).toEqual(same)
    expect(problems(two(fleet, 'each: fleet, expr: walk.api_available'))).toEqual(same)
    expect(problems(two(fleet, `${fleet}, by: [model]`))).toEqual([])
    expect(problems(two(`${fleet}, device_types: [inverter]`, `${fleet}, device_types: [wallbox]`))).toEqual(
      same,
    )
  })
})

test('lints a severity that is missing or that nobody knows', () => {
  const text = `
groups:
  - name: g
    rules:
      - {alert: A, expr: device.is_charging}
      - {alert: B, expr: device.is_charging, labels: {severity: page}}
      - {alert: C, expr: device.is_charging, labels: {severity: critical}}
      - {alert: D, expr: device.is_charging, labels: {severity: '{{ device.is_charging ? "info" : "warning" }}'}}
`
  expect(lintRules([{ file: 'r.yaml', text }])).toEqual([
    {
      file: 'r.yaml',
      line: 5,
      column: 9,
      message: 'A has no severity: add one of critical, warning, info to its labels',
    },
    {
      file: 'r.yaml',
      line: 6,
      column: 65,
      message: 'severity "page" is none of critical, warning, info, none',
    },
  ])
})

describe('self_service', () => {
  const flow = (fields: string) =>
    `groups: [{name: g, rules: [{alert: A, expr: "true", labels: {severity: info}, ${fields}}]}]`

  test('is off unless a rule says so', () => {
    expect(load(flow('for: 1m')).deviceRules[0]?.selfService).toBe(false)
    expect(load(flow('self_service: true')).deviceRules[0]?.selfService).toBe(true)
  })

  test('is for devices, which have an owner', () => {
    expect(problems(flow('each: user, self_service: true'))).toEqual([
      expect.stringContaining('self_service is for rules for each device: only a device has an owner'),
    ])
  })
})
