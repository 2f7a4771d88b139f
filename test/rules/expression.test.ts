import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Device } from '../../src/fleet/device.ts'
import {
  environmentOf,
  parseCondition,
  parseExpression,
  traceExpression,
  verdictOf,
} from '../../src/rules/expression.ts'
import {
  deviceVariables,
  fleetVariables,
  serviceVariables,
  userVariables,
  type Variables,
} from '../../src/rules/scope.ts'
import { ExpressionError, missing } from '../../src/rules/value.ts'
import { device, now, scope, user } from './sample.ts'

const hour = 3_600_000

function verdict(source: string, deviceFields: Partial<Device> = {}, userFields = {}) {
  return verdictOf(parseCondition(source, deviceVariables))(scope(deviceFields, userFields))
}

function problem(source: string, variables: Variables = deviceVariables): string {
  try {
    parseCondition(source, variables)
  } catch (error) {
    if (error instanceof ExpressionError) return `${error.offset}: ${error.message}`
    throw error
  }
  return 'no problem'
}

const action = (code: string) => ({ code, link: null })

describe('evaluation', () => {
  const seen: Partial<Device> = {
    is_authenticated: false,
    battery_level: 40,
    charge_target_min: 0,
    model: 'Ärger 3',
    connection_status: 'error',
    current_state_last_updated_at: now - 3 * hour,
    actions: [action('reauthenticate'), action('other')],
  }

  test.each<[string, boolean]>([
    ['!device.is_authenticated', true],
    ['device["is_authenticated"] || false', false],
    ['device.battery_level == 40', true],
    ['device.battery_level != 40.0', false],
    ['device.battery_level + 1 == 41 && device.battery_level * 2 - 80 == 0', true],
    ['-device.battery_level < -39', true],
    ['7 / 2 == 3 && 7.0 / 2 == 3.5 && -7 / 2 == -3 && -7 % 3 == -1', true],
    ['device.battery_level in [1, 40]', true],
    ['device.battery_level in [1.5, 2.5]', false],
    ['!("x" in ["a", "b"])', true],
    ['[1, 2] == [1, 2] && [1] != [2] && [[1]] == [[1]]', true],
    ['[1] in [[1], [2]]', true],
    ['size([1] + [2, 3]) == 3', true],
    ['size(device.model) == 7 && device.model.size() == 7 && size("😀") == 1', true],
    ['device.model.lowerAscii() == "Ärger 3" && "ABC".lowerAscii() == "abc"', true],
    ['"ä-b".upperAscii() == "ä-B" && " x ".trim() == "x"', true],
    ['device.model.contains("ger") && device.model.startsWith("Ä") && device.model.endsWith("3")', true],
    ['"a" < "b" && "b" >= "b" && !("b" > "b") && "a" <= "b"', true],
    ['"a" + "b" == "ab"', true],
    ['now - device.current_state_last_updated_at > duration("2h59m")', true],
    ['now - device.current_state_last_updated_at > duration("3h")', false],
    ['device.current_state_last_updated_at + duration("3h") == now', true],
    ['now - duration("3h") == device.current_state_last_updated_at', true],
    ['duration("1h") - duration("90m") == duration("-30m") && duration("1.5s") == duration("1500ms")', true],
    ['now >= timestamp("2026-03-01T13:00:00+01:00")', true],
    ['(now - device.current_state_last_updated_at).getHours() == 3', true],
    ['duration("90m").getHours() == 1 && duration("90m").getMinutes() == 90', true],
    ['now.getHours() == 12 && now.getDayOfWeek() == 0 && now.getMonth() == 2 && now.getDate() == 1', true],
    [
      'now.getFullYear() == 2026 && now.getDayOfMonth() == 0 && now.getMinutes() + now.getSeconds() == 0',
      true,
    ],
    ['device.actions.exists(a, a.code == "other")', true],
    ['device.actions.all(a, a.code != "x")', true],
    ['device.actions.exists_one(a, a.code == "other")', true],
    ['device.actions.exists_one(a, true)', false],
    ['device.actions.map(a, a.code) == ["reauthenticate", "other"]', true],
    ['device.actions.map(a, a.code).join("+") == "reauthenticate+other"', true],
    ['["a", "b"].join() == "ab"', true],
    ['size(device.actions.filter(a, a.code.startsWith("re"))) == 1', true],
    ['device.actions[1].code == "other"', true],
    ['device.actions.exists(a, device.actions.exists(b, a.code != b.code))', true],
    ['device.battery_level > 30 ? device.model == "Ärger 3" : false', true],
    ['string(device.battery_level) == "40" && string(1.5) == "1.5" && string(true) == "true"', true],
    ['int(1.9) == 1 && int(-1.9) == -1 && int("12") == 12 && double("1.5") == 1.5 && double(3) == 3', true],
    ['string("x") == "x" && int(3) == 3 && double(2.5) == 2.5', true],
    ['device.type in ["heat_pump", "inverter"]', true],
    ['r"\\d" == "\\\\d" // a comment', true],
  ])('%s → %s', (source, expected) => {
    expect(verdict(source, seen)).toBe(expected)
  })

  test('reads the variables of each kind of rule', () => {
    const aboutUser = verdictOf(parseCondition('user.external_user_id_count > 1', userVariables))
    expect(aboutUser({ user: user({ external_user_id_count: 2 }), now })).toBe(true)
    const aboutWalk = verdictOf(parseCondition('walk.outcome == "failed"', serviceVariables))
    expect(aboutWalk({ walk: { outcome: 'failed' } as never, now })).toBe(true)
    const aboutFleet = verdictOf(
      parseCondition(
        'matching >= 20 && ratio > 0.05 && unknown < total && group.manufacturer == "Acme" && walk.users > 3 && now == now',
        fleetVariables(['manufacturer']),
      ),
    )
    const walk = { users: 4 } as never
    expect(
      aboutFleet({
        matching: 20,
        total: 100,
        unknown: 1,
        ratio: 0.2,
        walk,
        now,
        group: { manufacturer: 'Acme' },
      }),
    ).toBe(true)
  })

  test('reads a field of an energy contract', () => {
    const contract = { prices_until: now - hour } as never
    const source = 'user.energy_contracts.exists(c, c.prices_until < now)'
    expect(verdict(source, {}, { energy_contracts: [contract] })).toBe(true)
    expect(verdict(source, {}, { energy_contracts: [] })).toBe(false)
    expect(verdict(source, {}, { energy_contracts: null })).toBe('missing_field')
  })
})

describe('what is missing', () => {
  test.each<[string, boolean | string, Partial<Device>]>([
    ['!device.is_authenticated', 'missing_field', {}],
    ['device.battery_level < 5', 'missing_field', {}],
    ['device.battery_level == 5', 'missing_field', {}],
    ['device.battery_level != 5', 'missing_field', {}],
    ['device.battery_level in [5]', 'missing_field', {}],
    ['5 in [device.battery_level]', 'missing_field', {}],
    ['device.battery_level + 1 > 0', 'missing_field', {}],
    ['-device.battery_level > 0', 'missing_field', {}],
    ['device.comment + "x" == "x"', 'missing_field', {}],
    ['device.comment.contains("x")', 'missing_field', {}],
    ['"x".contains(device.comment)', 'missing_field', {}],
    ['size(device.actions) > 0', 'missing_field', {}],
    ['device.actions.exists(a, true)', 'missing_field', {}],
    ['device.actions[0].code == "x"', 'missing_field', {}],
    ['now - device.updated_at > duration("1h")', 'missing_field', {}],
    ['device.is_authenticated ? true : true', 'missing_field', {}],
    ['string(device.battery_level) == ""', 'missing_field', {}],
    ['device.is_authenticated && false', false, {}],
    ['false && device.is_authenticated', false, {}],
    ['device.is_authenticated || true', true, {}],
    ['true || device.is_authenticated', true, {}],
    ['device.is_authenticated && true', 'missing_field', {}],
    ['device.is_authenticated || false', 'missing_field', {}],
    ['device.battery_level == null', true, {}],
    ['null != device.battery_level', false, {}],
    ['device.battery_level != null', true, { battery_level: 0 }],
    ['has(device.battery_level)', false, {}],
    ['has(device.is_authenticated)', true, { is_authenticated: false }],
    ['device.actions == null', true, {}],
    ['user.energy_contracts == null', true, {}],
    // A status of "unknown" says as little as none.
    ['device.connection_status == "error"', 'missing_field', { connection_status: 'unknown' }],
    ['device.connection_status != "ok"', 'missing_field', { connection_status: 'unknown' }],
    ['device.steering_status in ["ok", "error"]', 'missing_field', { steering_status: 'unknown' }],
    ['has(device.monitoring_status)', false, { monitoring_status: 'unknown' }],
    ['device.monitoring_status == null', true, { monitoring_status: 'unknown' }],
    ['device.connection_status == "unknown"', true, { connection_status: 'unknown' }],
    ['"unknown" != device.connection_status', false, { connection_status: 'unknown' }],
    ['device.connection_status in ["unknown", "error"]', true, { connection_status: 'unknown' }],
    ['device.connection_status == "unknown"', false, { connection_status: 'ok' }],
    ['device.connection_status == "unknown"', 'missing_field', {}],
    ['device.lifecycle_state == "unknown"', true, { lifecycle_state: 'unknown' }],
  ])('%s is %s', (source, expected, fields) => {
    expect(verdict(source, fields)).toBe(expected)
  })

  test('an element that is unknown decides nothing that another one decides', () => {
    const contracts = (...suppliers: (string | null)[]) => ({
      energy_contracts: suppliers.map((supplier) => ({ supplier })),
    })
    const ask = (source: string, ...suppliers: (string | null)[]) =>
      verdict(source, {}, contracts(...suppliers))
    const exists = 'user.energy_contracts.exists(c, c.supplier == "A")'
    expect(ask(exists, null, 'A')).toBe(true)
    expect(ask(exists, null, 'B')).toBe('missing_field')
    const all = 'user.energy_contracts.all(c, c.supplier == "A")'
    expect(ask(all, null, 'B')).toBe(false)
    expect(ask(all, null, 'A')).toBe('missing_field')
    const one = 'user.energy_contracts.exists_one(c, c.supplier == "A")'
    expect(ask(one, null, 'A', 'A')).toBe(false)
    expect(ask(one, null, 'A')).toBe('missing_field')
    expect(ask(one, 'B', 'A')).toBe(true)
    expect(ask('size(user.energy_contracts.filter(c, c.supplier == "A")) == 0', null)).toBe('missing_field')
    expect(ask('user.energy_contracts.map(c, c.supplier) == ["A"]', null)).toBe('missing_field')
    expect(ask('user.energy_contracts.exists(c, has(c.supplier))', null)).toBe(false)
    expect(ask('user.energy_contracts.exists(c, c.supplier == null)', null)).toBe(true)
  })
})

describe('what cannot be computed', () => {
  test.each<[string, boolean | string, Partial<Device>]>([
    ['1 / 0 == 1', 'rule_error', {}],
    ['1 % 0 == 1', 'rule_error', {}],
    ['1.0 / device.battery_level > 0.5', 'rule_error', { battery_level: 0 }],
    [
      'device.battery_level / device.charge_rate_w > 0.5',
      'rule_error',
      { battery_level: 0, charge_rate_w: 0 },
    ],
    ['9007199254740991 + 1 == 0', 'rule_error', {}],
    ['device.actions[0].code == "x"', 'rule_error', { actions: [] }],
    ['device.actions[-1].code == "x"', 'rule_error', { actions: [action('x')] }],
    ['int("x") == 1', 'rule_error', {}],
    ['double("inf") > 1', 'rule_error', {}],
    ['1 / 0 == 1 || true', true, {}],
    ['1 / 0 == 1 && false', false, {}],
    ['device.is_charging && 1 / 0 == 1', 'rule_error', {}],
    ['1 / 0 == 1 || device.is_charging', 'rule_error', {}],
    // Data that is not what it was declared to be.
    ['device.battery_level > 1', 'rule_error', { battery_level: 'full' as never }],
    ['!device.is_charging', 'rule_error', { is_charging: 'yes' as never }],
  ])('%s is %s', (source, expected, fields) => {
    expect(verdict(source, fields)).toBe(expected)
  })
})

describe('mistakes are found when a rule is loaded', () => {
  test.each<[string, string]>([
    ['', '0: an expression is missing'],
    ['device.is_autenticated', '7: device has no field is_autenticated: did you mean is_authenticated?'],
    ['has(device.battery_levl)', '11: device has no field battery_levl: did you mean battery_level?'],
    [
      'device.energy_contracts == null',
      '7: device has no field energy_contracts: did you mean user.energy_contracts?',
    ],
    ['device.actions.exists(a, a.kode == "x")', '27: a has no field kode: did you mean code?'],
    ['device.actions.exists(a, a.xyz == "x")', '27: a has no field xyz: it has code'],
    ['device["batery_level"] > 1', '0: device has no field batery_level: did you mean battery_level?'],
    ['is_authenticated', '0: unknown name is_authenticated: did you mean device.is_authenticated?'],
    ['devcie.is_authenticated', '0: unknown name devcie: did you mean device?'],
    ['matching > 3', '0: unknown name matching: in scope are device, user, now'],
    ['device.is_charging == True', '22: unknown name True: did you mean true?'],
    ['device.is_charging and true', '19: write && for and'],
    ['device.is_charging OR true', '19: write || for OR'],
    ['not device.is_charging', '4: write ! for not'],
    ['device.battery_level = 5', '21: write == to compare'],
    ['device.battery_level === 5', '23: write == for ==='],
    ['device.battery_level <> 5', '22: write != for <>'],
    ['device.is_charging & true', '19: write && for &'],
    ['device.is_charging | true', '19: write || for |'],
    ['$labels.x == 1', '0: variables are written without $, such as device.manufacturer'],
    ['(device.is_charging', '19: expected ), got the end'],
    ['"abc', '0: unterminated string'],
    ['device.battery_level', '0: the result has to be true or false, but is of type double'],
    ['  "x"', '0: the result has to be true or false, but is of type string'],
    [
      'device.battery_level && true',
      '0: expected bool, got double: compare it with something, or ask has(…) whether there is one',
    ],
    [
      '!device.model',
      '1: expected bool, got string: compare it with something, or ask has(…) whether there is one',
    ],
    ['device.battery_level == "x"', '0: cannot compare double == string'],
    ['device.battery_level in ["x"]', '0: cannot compare double in a list of string'],
    ['"a" in "abc"', '7: the right side of in has to be a list, not string'],
    ['device.model > 3', '0: cannot compare string > int'],
    ['true < false', '0: cannot compare bool < bool'],
    ['device.updated_at > duration("1h")', '0: cannot compare timestamp > duration: an age is now - it'],
    [
      'now - device.updated_at > 3600',
      '0: cannot compare duration > int: write durations as duration("24h"), instants as timestamp("2026-01-31T00:00:00Z")',
    ],
    ['"n" + 1 == "n1"', '0: cannot compute string + int: string(…) makes text of a number'],
    ['duration("3h") + now == now', '0: cannot compute duration + timestamp: write the instant first'],
    ['device.battery_level % 2 == 0', '0: cannot compute double % int'],
    ['-device.model == "x"', '0: cannot negate string'],
    ['(true ? 1 : "x") == 1', '1: both results of ?: have to be of one type, not int and string'],
    ['device.battery_level in [1, 2.5]', '28: a list of int and double: its elements have to be of one type'],
    ['device == null', '0: only a field can be null, such as device.price_zone'],
    ['has(1)', '4: has() takes one field of a variable, such as has(device.price_zone)'],
    ['has(device.actions[0].code)', '4: has() takes one field of a variable, such as has(device.price_zone)'],
    ['device.battery_level in []', '24: nothing is ever in an empty list'],
    ['has()', '0: has() takes one field of a variable, such as has(device.price_zone)'],
    ['[null] == [null]', '1: null can only be compared with a field, by == or !='],
    ['device == device', '0: cannot compare Device == Device'],
    ['device.type == "heatpump"', '15: is never "heatpump": did you mean "heat_pump"?'],
    [
      'device.type in ["boiler"]',
      '15: is never "boiler": it is one of heat_pump, electric_vehicle, inverter, wallbox',
    ],
    [
      'device.model.matches("(a+)+$")',
      '13: matches() is not supported, since a regular expression can take forever: use contains, startsWith, endsWith or in',
    ],
    ['device.model.lowerAscii().contain("x")', '26: contain() is not supported: did you mean contains?'],
    ['contains(device.model, "x")', '0: contains is a method: write x.contains(…)'],
    ['device.model.string() == "x"', '13: string is a function: write string(x)'],
    [
      'dyn(1) == 1',
      '0: dyn() is not supported: there are size, string, int, double, has, timestamp, duration',
    ],
    ['device.model.contains(1)', '13: expected string.contains(string), got string.contains(int)'],
    ['size(1) == 1', '0: expected size(string) or size(list), got size(int)'],
    [
      'now.getHours("Europe/Vienna") == 3',
      '4: expected duration.getHours() or timestamp.getHours(), got timestamp.getHours(string)',
    ],
    ['{"a": 1} == {"a": 1}', '0: maps and optional access (map) are not supported'],
    ['b"x" == b"x"', '0: bytes are not supported: take away the b before the quote'],
    ['size(device.actions) > 1u', '23: unsigned integers are not supported: write 1'],
    ['9007199254740993 > 1', '0: 9007199254740993 is beyond 2^53'],
    ['device.model[0] == "x"', '0: string cannot be indexed by int'],
    ['device.actions["x"].code == "x"', '15: a list is indexed by int, not by string'],
    ['device.model.exists(c, true)', '13: exists() loops over a list, not over string'],
    ['device.actions.exists(a)', '15: exists() takes a name and an expression: list.exists(x, …)'],
    ['device.actions.exists(device, true)', '22: device is already the name of something else'],
    ['device.actions.exists(a, a.code)', '25: exists() needs a bool for each element, got string'],
    [
      'device.actions.all(a, device.actions.all(b, device.actions.all(c, true)))',
      '59: all() is nested too deeply: a loop inside a loop is the limit',
    ],
    [
      'now - now > duration("1d")',
      '21: "1d" is no duration in CEL: its units are h, m, s and ms, such as "24h" or "1h30m"',
    ],
    [
      'now - now > duration("2w")',
      '21: "2w" is no duration in CEL: its units are h, m, s and ms, such as "336h" or "1h30m"',
    ],
    [
      'now - now > duration(device.model)',
      '12: duration() takes one text that is written out, such as duration("24h")',
    ],
    [
      'now > timestamp("2026-02-30T00:00:00Z")',
      '16: "2026-02-30T00:00:00Z" is no instant: write it with its offset, such as "2026-01-31T08:00:00Z" or "2026-01-31T09:00:00+01:00"',
    ],
    [
      'now > timestamp("2026-02-20T00:00:00")',
      '16: "2026-02-20T00:00:00" is no instant: write it with its offset, such as "2026-01-31T08:00:00Z" or "2026-01-31T09:00:00+01:00"',
    ],
    ['[].exists(x, true)', '3: exists() loops over a list, not over list'],
  ])('%s', (source, expected) => {
    expect(problem(source)).toBe(expected)
  })

  test('a group has the labels that the rule counts by, and no others', () => {
    expect(problem('group.model == "x"', fleetVariables(['manufacturer']))).toBe(
      '6: group has no field model: it has manufacturer, name',
    )
    expect(problem('group.model == "x"', fleetVariables([]))).toMatch(/^6: group has no field model/)
  })

  test('what cel-js refuses is refused, whatever our own check says', () => {
    // Two records of one name: cel-js knows the first alone.
    const thing = (field: string) =>
      ({ type: { kind: 'record', name: 'Thing', fields: { [field]: { type: 'bool' } } } }) as const
    expect(problem('a.x', { a: thing('x'), b: thing('y') })).toBe('no problem')
    expect(problem('b.y', { a: thing('x'), b: thing('y') })).toBe('2: No such key: y')
  })

  test('an expression that is too long, too deep or too wide is refused', () => {
    expect(problem(Array(200).fill('true').join(' || '))).toMatch(
      /too long or too deep: more than maxAstNodes/,
    )
    expect(problem(`${'('.repeat(40)}true${')'.repeat(40)}`)).toMatch(
      /too long or too deep: more than maxDepth/,
    )
    expect(problem(`1 in [${Array(200).fill('1').join()}]`)).toMatch(/more than maxListElements/)
  })
})

test('says which fields an expression reads', () => {
  const source = 'has(user.energy_contracts) && device.actions.exists(a, a.code == device.model) && now > now'
  expect([...parseCondition(source, deviceVariables).reads].sort()).toEqual([
    'device.actions',
    'device.model',
    'now',
    'user.energy_contracts',
  ])
})

test('traces each part with its source, a whole before its parts', () => {
  const source =
    '!device.is_authenticated && (device.battery_level / 0 > 3 || now - device.updated_at > duration("2h")) && (device.model == "(")'
  const traced = traceExpression(
    parseCondition(source, deviceVariables),
    scope({ is_authenticated: false, battery_level: 4, model: '(' }),
  )
  expect(traced.map(({ depth, source, text }) => `${'  '.repeat(depth)}${source} → ${text}`)).toEqual([
    `${source} → error`,
    `  ${source.slice(0, source.indexOf(' && (device.model'))} → error`,
    '    !device.is_authenticated → true',
    '      device.is_authenticated → false',
    '    device.battery_level / 0 > 3 || now - device.updated_at > duration("2h") → error',
    '      device.battery_level / 0 > 3 → error',
    '        device.battery_level / 0 → error',
    '          device.battery_level → 4',
    '      now - device.updated_at > duration("2h") → unknown',
    '        now - device.updated_at → unknown',
    '          now → 2026-03-01 12:00 UTC',
    '          device.updated_at → unknown',
    '        duration("2h") → 2h',
    '  device.model == "(" → true',
    '    device.model → (',
  ])
})

test('a loop inside another one does not disturb it', () => {
  const source =
    'device.actions.filter(a, device.actions.exists(b, b.code == a.code + "x")).map(a, a.code) == ["a"]'
  expect(verdict(source, { actions: [action('a'), action('ax'), action('b')] })).toBe(true)
})

// --- properties over random expressions

type Sources = {
  bool: string
  double: string
  int: string
  string: string
  timestamp: string
  duration: string
}

/** Well-typed expressions over a few fields of each type. */
function expressions(depth: number) {
  const own = fc.letrec<Sources>((tie) => {
    const pick = (...sources: string[]) => fc.constantFrom(...sources)
    const join = (parts: fc.Arbitrary<string>[], build: (...parts: string[]) => string) =>
      fc.tuple(...parts).map((built) => build(...built))
    const node = (leaf: fc.Arbitrary<string>, ...inner: fc.Arbitrary<string>[]) =>
      fc.oneof({ maxDepth: depth, withCrossShrink: true }, leaf, ...inner)
    const { bool, double, int, string, timestamp, duration } = {
      bool: tie('bool'),
      double: tie('double'),
      int: tie('int'),
      string: tie('string'),
      timestamp: tie('timestamp'),
      duration: tie('duration'),
    }
    const comparison = pick('<', '<=', '>', '>=', '==', '!=')
    const compare = (type: fc.Arbitrary<string>, other = type) =>
      join([type, comparison, other], (a, op, b) => `(${a} ${op} ${b})`)
    const code = pick('"a"', '"b"', 'device.model', 'a.code')
    const predicate = fc.oneof(
      join([code, pick('==', '!=', '<'), code], (x, op, y) => `${x} ${op} ${y}`),
      join(
        [code, pick('contains', 'startsWith', 'endsWith'), code],
        (x, method, y) => `${x}.${method}(${y})`,
      ),
      fc.constant('device.actions.exists(b, b.code == a.code + "b")'),
      fc.constant('a.code == "a" && device.is_charging'),
    )
    return {
      bool: node(
        pick('true', 'false', 'device.is_authenticated', 'device.is_charging', 'device.is_plugged_in'),
        join([bool, pick('&&', '||'), bool], (a, op, b) => `(${a} ${op} ${b})`),
        join([bool, pick('&&', '||'), bool], (a, op, b) => `(${a} ${op} ${b})`),
        bool.map((a) => `!${a}`),
        compare(double),
        compare(double, int),
        compare(int, double),
        compare(int),
        compare(string),
        compare(timestamp),
        compare(duration),
        join([bool, pick('==', '!='), bool], (a, op, b) => `(${a} ${op} ${b})`),
        join([bool, bool, bool], (a, b, c) => `(${a} ? ${b} : ${c})`),
        join([double, int, int], (a, b, c) => `(${a} in [${b}, ${c}])`),
        join([string, string], (a, b) => `(${a} in [${b}, "b", "c"])`),
        join(
          [string, pick('contains', 'startsWith', 'endsWith'), string],
          (a, method, b) => `${a}.${method}(${b})`,
        ),
        join(
          [pick('exists', 'all', 'exists_one'), predicate],
          (loop, inner) => `device.actions.${loop}(a, ${inner})`,
        ),
        predicate.map((inner) => `(size(device.actions.filter(a, ${inner})) > 1)`),
      ),
      double: node(
        pick('device.battery_level', 'device.charge_rate_w', 'device.dhw_temperature', '0.5', '2.0', '50.0'),
        join([double, pick('+', '-', '*'), double], (a, op, b) => `(${a} ${op} ${b})`),
        join([double, pick('+', '-', '*'), int], (a, op, b) => `(${a} ${op} ${b})`),
        join([int, pick('+', '-'), double], (a, op, b) => `(${a} ${op} ${b})`),
        double.map((a) => `(${a} / 4.0)`),
        double.map((a) => `(-${a})`),
        join([bool, double, double], (a, b, c) => `(${a} ? ${b} : ${c})`),
        int.map((a) => `double(${a})`),
      ),
      int: node(
        pick('0', '1', '3', '7', '-2', 'size(device.actions)', 'device.model.size()'),
        join([int, pick('+', '-', '*'), int], (a, op, b) => `(${a} ${op} ${b})`),
        join(
          [int, pick('/', '%'), pick('2', '-3', '0', 'size(device.actions)')],
          (a, op, b) => `(${a} ${op} ${b})`,
        ),
        int.map((a) => `(-${a})`),
        double.map((a) => `int(${a})`),
        duration.map((a) => `${a}.getMinutes()`),
        timestamp.map((a) => `${a}.getHours()`),
        string.map((a) => `size(${a})`),
      ),
      string: node(
        pick('"a"', '"b"', "'xyz'", 'device.model', 'device.connection_status', 'device.price_zone'),
        join([string, string], (a, b) => `(${a} + ${b})`),
        string.map((a) => `${a}.upperAscii()`),
        join([bool, string, string], (a, b, c) => `(${a} ? ${b} : ${c})`),
        bool.map((a) => `string(${a})`),
        int.map((a) => `string(${a})`),
        fc.constant('device.actions.map(c, c.code).join("-")'),
        int.map((i) => `device.actions.map(c, c.code)[${i}]`),
      ),
      timestamp: node(
        pick(
          'now',
          'device.updated_at',
          'device.current_state_last_updated_at',
          'timestamp("2026-03-01T11:30:00Z")',
        ),
        join([timestamp, pick('+', '-'), duration], (a, op, b) => `(${a} ${op} ${b})`),
      ),
      duration: node(
        pick('duration("90m")', 'duration("-1h")', 'duration("1h30m5s")'),
        join([timestamp, timestamp], (a, b) => `(${a} - ${b})`),
        join([duration, pick('+', '-'), duration], (a, op, b) => `(${a} ${op} ${b})`),
      ),
    }
  })
  return own.bool.filter(isWithinLimits)
}

function isWithinLimits(source: string): boolean {
  try {
    environmentOf(deviceVariables).parse(source)
    return true
  } catch {
    return false
  }
}

const number = fc.constantFrom(0, 1, 2, 4, 50, 0.5, -3, 7)
const flag = fc.boolean()
const text = fc.constantFrom('a', 'b', 'xyz', 'ab', '')
const instant = fc.constantFrom(now, now - hour, now - 3 * hour, now + 5_400_000)
const actions = fc.array(fc.constantFrom('a', 'b', 'ab').map(action), { maxLength: 3 })

const known = fc.record({
  is_authenticated: flag,
  is_charging: flag,
  is_plugged_in: flag,
  battery_level: number,
  charge_rate_w: number,
  dhw_temperature: number,
  model: text,
  connection_status: fc.constantFrom('ok', 'warning', 'error'),
  price_zone: text,
  updated_at: instant,
  current_state_last_updated_at: instant,
  actions,
})

// Its own environment has dates for instants and bigints for ints.
function withCelJs(source: string, fields: Record<string, unknown>): unknown {
  const dates = ['updated_at', 'current_state_last_updated_at']
  const entries = Object.entries(fields).map(([name, value]) => [
    name,
    dates.includes(name) ? new Date(value as number) : value,
  ])
  try {
    return environmentOf(deviceVariables).parse(source)({
      device: Object.fromEntries(entries),
      now: new Date(now),
    })
  } catch {
    return 'rule_error'
  }
}

test('agrees with cel-js wherever nothing is missing', () => {
  fc.assert(
    fc.property(expressions(3), known, (source, fields) => {
      expect(verdict(source, fields)).toBe(withCelJs(source, fields))
    }),
    { numRuns: 1_000 },
  )
})

test('never says true or false where filling in what is missing could say otherwise', () => {
  const holes = fc.subarray(
    Object.keys(device()).filter((name) => !['id', 'type', 'manufacturer', 'model'].includes(name)),
  )
  let decided = 0
  fc.assert(
    fc.property(
      expressions(3),
      known,
      holes,
      fc.array(known, { minLength: 12, maxLength: 12 }),
      (source, fields, missingNames, completions) => {
        const nulls = Object.fromEntries(
          missingNames.map((name) => [name, name === 'connection_status' ? 'unknown' : null]),
        )
        const ask = verdictOf(parseCondition(source, deviceVariables))
        const said = ask(scope({ ...fields, ...nulls }))
        if (typeof said !== 'boolean') return
        decided++
        for (const completion of completions) {
          const filled = Object.fromEntries(
            missingNames.flatMap((name) =>
              name in completion ? [[name, completion[name as keyof typeof completion]]] : [],
            ),
          )
          expect(ask(scope({ ...fields, ...filled }))).toBe(said)
        }
      },
    ),
    { numRuns: 600 },
  )
  expect(decided).toBeGreaterThan(100)
})

test('an unknown value is told from every value that a field can have', () => {
  const { run } = parseExpression('device.comment', deviceVariables)
  expect(run(scope())).toBe(missing)
  expect(run(scope({ comment: 'missing_field' }))).toBe('missing_field')
})
