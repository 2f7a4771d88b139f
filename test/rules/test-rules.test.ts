import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testRules } from '../../src/cli/test-rules.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rules-'))
  await write(
    'lost.yaml',
    'groups: [{name: g, rules: [{alert: Lost, expr: "!device.is_authenticated", for: 2m}]}]',
  )
})

afterEach(() => rm(directory, { recursive: true }))

function write(name: string, text: string): Promise<void> {
  return writeFile(join(directory, name), text)
}

function tests(expected: string, ruleFiles = 'lost.yaml'): string {
  return `
rule_files: [${ruleFiles}]
tests:
  - name: fires
    devices: [{type: inverter, id: i, manufacturer: Acme, fields: {is_authenticated: false}}]
    alert_rule_test: [{eval_time: 2m, alertname: Lost, exp_alerts: ${expected}}]
`
}

async function run(...names: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = []
  const print = (line: string) => lines.push(line.replaceAll(`${directory}/`, ''))
  const code = await testRules(
    names.map((name) => join(directory, name)),
    { print },
  )
  return { code, lines }
}

test('tests that pass', async () => {
  await write('a.test.yaml', tests('[{}]'))
  expect(await run('a.test.yaml')).toEqual({ code: 0, lines: ['a.test.yaml: passed (1 test)'] })
})

test('a test that fails shows the difference, and the others run', async () => {
  await write('a.test.yaml', tests('[]'))
  await write('b.test.yaml', tests('[{}]'))
  expect(await run('a.test.yaml', 'b.test.yaml')).toEqual({
    code: 1,
    lines: [
      'a.test.yaml: FAILED (1 test)',
      '  a.test.yaml:6:23: fires',
      '    Lost after 2m',
      '      expected:',
      '        nothing more',
      '      got:',
      '        {alertname="Lost", device_id="i", device_type="inverter", manufacturer="Acme", user_id="user-of-device-1"} firing',
      'b.test.yaml: passed (1 test)',
    ],
  })
})

test('rule files may be globs; test files among them are none', async () => {
  await write('a.test.yaml', tests('[{}]', '"*.yaml"'))
  expect((await run('a.test.yaml')).code).toBe(0)
})

test.each<[string, string, string]>([
  [
    'a rule file that is not there',
    tests('[{}]', 'nothing*.yaml'),
    '  a.test.yaml:2:14: no rule file matches nothing*.yaml',
  ],
  [
    'an alert that no rule raises',
    tests('[{}]').replace('Lost', 'Lots'),
    '  a.test.yaml:6:23: no rule raises "Lots": did you mean "Lost"?',
  ],
  [
    'a mistake in the test',
    tests('[{}]').replace('inverter', 'invertor'),
    '  a.test.yaml:5:22: expected one of "heat_pump", "electric_vehicle", "inverter", "wallbox", got "invertor": did you mean "inverter"?',
  ],
])('%s', async (_, text, line) => {
  await write('a.test.yaml', text)
  expect(await run('a.test.yaml')).toEqual({ code: 2, lines: ['a.test.yaml: cannot run', line] })
})

test('a mistake in the rules', async () => {
  await write('lost.yaml', 'groups: [{name: g, rules: [{alert: Lost, expr: "device.x"}]}]')
  await write('a.test.yaml', tests('[{}]'))
  const { code, lines } = await run('a.test.yaml')
  expect(code).toBe(2)
  expect(lines[1]).toMatch(/lost\.yaml:1:56: device has no field x$/)
})

test('a test file that is not there, and none at all', async () => {
  const { code, lines } = await run('none.test.yaml')
  expect(code).toBe(2)
  expect(lines[1]).toBe('  none.test.yaml cannot be read (ENOENT)')
  expect(await run()).toEqual({ code: 2, lines: ['no test files are given'] })
})
