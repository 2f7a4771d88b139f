import { describe, expect, test } from 'vitest'
import { deviceVariables, fleetVariables } from '../../src/rules/scope.ts'
import { parseLabelTemplate, parseTemplate } from '../../src/rules/template.ts'
import { ExpressionError } from '../../src/rules/value.ts'
import { now, scope } from './sample.ts'

function render(source: string, device = {}, user = {}): string {
  return parseTemplate(source, deviceVariables).render(scope(device, user))
}

function label(source: string, device = {}): string {
  return parseLabelTemplate(source, deviceVariables).render(scope(device))
}

function problem(parse: () => unknown): string {
  try {
    parse()
  } catch (error) {
    if (error instanceof ExpressionError) return `${error.offset}: ${error.message}`
    throw error
  }
  return 'no problem'
}

const hour = 3_600_000

test.each<[string, string, object]>([
  ['plain text, }} and all', 'plain text, }} and all', {}],
  ['', '', {}],
  ['{{ device.manufacturer }} {{device.type}}', 'Acme heat_pump', {}],
  ['{{ device.name }}', 'Acme heat pump', {}],
  ['{{ device.name }}', 'electric vehicle', { type: 'electric_vehicle', manufacturer: 'unknown' }],
  ['{{ device.name == "Acme inverter" && device["name"] != null }}', 'true', { type: 'inverter' }],
  ['{{ has(device.name) }}', 'true', { manufacturer: 'unknown' }],
  ['{{ device.battery_level }} %', 'unknown %', {}],
  ['{{ device.battery_level / 3 }}', '33.333', { battery_level: 100 }],
  ['{{ device.battery_level }}', '1250', { battery_level: 1250.0 }],
  ['{{ 1 / 0 }}', 'unknown', {}],
  ['{{ device.is_authenticated }}', 'false', { is_authenticated: false }],
  ['{{ device.updated_at }}', '2026-03-01 12:00 UTC', { updated_at: now }],
  ['{{ device.updated_at }}', '2026-03-01 12:00 UTC', { updated_at: now + 250 }],
  ['{{ now - device.updated_at }} old', '3h old', { updated_at: now - 3 * hour }],
  [
    '{{ device.actions.map(a, a.code) }}',
    'reauthenticate, other',
    {
      actions: [
        { code: 'reauthenticate', link: null },
        { code: 'other', link: null },
      ],
    },
  ],
  ['{{ device.connection_status }}', 'unknown', { connection_status: 'unknown' }],
  ['{{ "}}" + \'{{\' }}', '}}{{', {}],
  ['{{ device.is_charging ? "charging" : "idle" }}!', 'idle!', { is_charging: false }],
  ['a {{ "\\"}}" }} b', 'a "}} b', {}],
])('%s renders as "%s"', (source, expected, device) => {
  expect(render(source, device)).toBe(expected)
})

test('a fleet rule prints its counts and its group', () => {
  const template = parseTemplate(
    '{{ group.manufacturer }}: {{ matching }} of {{ total }} ({{ ratio * 100 }} %)',
    fleetVariables(['manufacturer']),
  )
  const counts = { matching: 1, total: 3, unknown: 0, ratio: 1 / 3, walk: {} as never, now }
  expect(template.render({ ...counts, group: { manufacturer: 'Acme' } })).toBe('Acme: 1 of 3 (33.333 %)')
})

test.each<[string, string]>([
  ['a {{ device.modell }}', '12: device has no field modell: did you mean model?'],
  ['a {{ device.model', '2: this {{ has no }}'],
  ['{{ "}}', '3: unterminated string'],
  ['{{ device }}', '3: Device has no text: choose one of its fields'],
  ['{{ device.actions }}', '3: list<Action> has no text: choose one of its fields'],
  ['{{ }}', '2: an expression is missing'],
  ['{{ $labels.device }}', '3: variables are written without $, such as device.manufacturer'],
  ['{{ .Labels.device }}', '3: Go templates are not supported; write CEL, such as {{ device.model }}'],
  ['{{ null }}', '3: null can only be compared with a field, by == or !='],
])('%s is refused: %s', (source, expected) => {
  expect(problem(() => parseTemplate(source, deviceVariables))).toBe(expected)
})

describe('a label', () => {
  test('is trimmed, never empty, and at most 200 characters long', () => {
    expect(label(' {{ device.model }} ', { model: ' X ' })).toBe('X')
    expect(label('{{ device.model }}', { model: '   ' })).toBe('unknown')
    expect(label('{{ device.price_zone }}')).toBe('unknown')
    const cut = label('{{ device.model }}', { model: '😀'.repeat(300) })
    expect([...cut]).toHaveLength(200)
    expect(cut.isWellFormed()).toBe(true)
  })

  test.each<[string, string]>([
    [
      '{{ device.battery_level }}',
      '3: a label identifies the alert, and a double changes while it lasts: put it into an annotation',
    ],
    [
      'x {{ now }}',
      '5: a label identifies the alert, and a timestamp changes while it lasts: put it into an annotation',
    ],
    [
      '{{ user.email }}',
      '0: labels are shown to everybody, and user.email names a person or a place: put it into an annotation',
    ],
  ])('%s is refused', (source, expected) => {
    expect(problem(() => parseLabelTemplate(source, deviceVariables))).toBe(expected)
  })

  test('may be a bool or a text', () => {
    expect(label('{{ device.is_battery_connected }}-{{ device.type }}', { is_battery_connected: true })).toBe(
      'true-heat_pump',
    )
  })
})
