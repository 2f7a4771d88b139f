// biome-ignore-all lint/suspicious/noTemplateCurlyInString: configurations use variables

import { describe, expect, test } from 'vitest'
import type { Route } from '../../src/config.ts'
import { formatMatchers } from '../../src/matcher.ts'
import { parseAlerting, told } from './parse.ts'

const receivers = 'receivers: [{name: a}, {name: team-b}]'
const treeOf = async (route: string) => (await parseAlerting(`route: ${route}\n${receivers}`)).alerting.route
const child = (tree: Route, ...path: number[]): Route =>
  path.reduce((route, index) => route.routes[index]!, tree)
const problems = (routes: string) => told(`route: {receiver: a, routes: ${routes}}\n${receivers}`)

describe('a routing tree', () => {
  test('hands receiver, grouping and timers down, but neither matchers nor time intervals', async () => {
    const text = `route:
  receiver: a
  group_by: [alertname]
  group_wait: 10s
  group_interval: 2m
  repeat_interval: 1h
  continue: false
  routes:
  - matchers: [severity="critical", 'area=~"x|y"']
    mute_time_intervals: [nights]
    active_time_intervals: [days]
    continue: true
    group_wait: 0s
    routes:
    - {receiver: team-b, group_by: [], repeat_interval: 1s}
    - {group_by: ['...']}
time_intervals: [{name: nights}]
mute_time_intervals: [{name: days}]
${receivers}`
    const tree = (await parseAlerting(text)).alerting.route
    const inner = child(tree, 0)
    expect(formatMatchers(inner.matchers)).toBe('{area=~"x|y",severity="critical"}')
    expect(inner).toMatchObject({
      receiver: 'a',
      continue: true,
      groupBy: ['alertname'],
      groupWaitMs: 0,
      groupIntervalMs: 120_000,
      repeatIntervalMs: 3_600_000,
      muteTimeIntervals: ['nights'],
      activeTimeIntervals: ['days'],
    })
    expect(child(tree, 0, 0)).toMatchObject({
      receiver: 'team-b',
      matchers: [],
      continue: false,
      groupBy: [],
      groupWaitMs: 0,
      repeatIntervalMs: 1_000,
      muteTimeIntervals: [],
      activeTimeIntervals: [],
    })
    expect(child(tree, 0, 1).groupBy).toBe('all')
  })

  test('has the keys of Alertmanager, and tells siblings with the same matchers apart', async () => {
    const tree = await treeOf(
      '{receiver: a, routes: [{match: {b: "2", a: "1"}, match_re: {a: "x.*"}, matchers: ["{c!=3, a!~q}"]}, {matchers: [a=1]}, {matchers: ["a = \\"1\\""], routes: [{matchers: [b=2]}]}, {match: {a: "1"}}]}',
    )
    expect(tree.key).toBe('{}')
    expect(tree.routes.map((route) => route.key)).toEqual([
      '{}/{a="1",a!~"q",a=~"x.*",b="2",c!="3"}',
      '{}/{a="1"}',
      '{}/{a="1"}/2',
      '{}/{a="1"}/3',
    ])
    expect(child(tree, 2, 0).key).toBe('{}/{a="1"}/2/{b="2"}')
  })

  test.each([
    ['[{receiver: team-c}]', ['1:42 there is no receiver "team-c": did you mean "team-b"?']],
    ['[{routes: [{receiver: nobody}]}]', ['1:52 there is no receiver "nobody": known are "a", "team-b"']],
    [
      '[{mute_time_intervals: [x]}]',
      ['1:54 there is no time interval "x": there is none under `time_intervals`'],
    ],
    ['[{matchers: [\'severity="critical", area\']}]', ['1:69 expected =, !=, =~ or !~, found the end']],
    ['[{matchers: [""]}]', ['1:43 expected a matcher such as severity="critical", got ""']],
    ['[{matchers: [a-b=1]}]', ['1:43 "a-b" is no label name: letters, digits and _']],
    ['[{matchers: a=1}]', ['1:42 expected a list, got text']],
    ['[{match: {a-b: x}}]', ['1:40 expected a label name such as alertname, got "a-b"']],
    ['[{match: {a: 5}}]', ['1:43 expected text, got 5: put it in quotes']],
    ['[{group_by: [a, a]}]', ['1:42 expected each label only once']],
    ['[{group_interval: 0s}]', ['1:48 expected a duration from 1s to 365d, got "0s"']],
    ['[{machers: [a=1]}]', ['1:32 unknown key "machers": did you mean "matchers"?']],
  ])('refuses %s at its place', async (routes, expected) => {
    expect(await problems(routes)).toEqual(expected)
  })

  test('refuses patterns that RE2 does not take, inside the text', async () => {
    const lines = await problems(`[{matchers: ['a="1", b=~"(?=x)"']}, {match_re: {b: '('}}]`)
    expect(lines.map((line) => line.replace(/takes: .*/, 'takes'))).toEqual([
      '1:54 "(?=x)" is no pattern that RE2 takes',
      '1:82 "(" is no pattern that RE2 takes',
    ])
  })

  test('does not show what a variable in a matcher holds', async () => {
    const text = `route: {receiver: a, routes: [{matchers: ['\${M}']}]}\n${receivers}`
    expect(await told(text, { env: { M: 'hunter2' } })).toEqual([
      '1:43 "${M}" is no matcher that can be read once its variables are expanded',
    ])
    expect((await parseAlerting(text, { env: { M: 'a=b' } })).alerting.route.routes[0]?.key).toBe(
      '{}/{a="b"}',
    )
  })

  test('is told of everything that is wrong at once', async () => {
    const lines = await problems(
      '[{receiver: x, matchers: ["=", a], routes: [{receiver: y, group_wait: z}]}]',
    )
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['1:42', '1:57', '1:62', '1:85', '1:100'])
  })

  test('may be 32 levels deep and no deeper', async () => {
    const nested = (depth: number) => `${'{routes: ['.repeat(depth)}{}${']}'.repeat(depth)}`
    const root = (depth: number) => `{receiver: a, routes: [${nested(depth - 1)}]}`
    expect((await treeOf(root(32))).routes).toHaveLength(1)
    expect(await told(`route: ${root(33)}\n${receivers}`)).toEqual([
      '1:351 routes nest deeper than 32 levels',
    ])
    expect(await told(`route: ${root(400)}\n${receivers}`)).toHaveLength(1)
  })

  test('may have 5000 routes and no more', async () => {
    const root = (count: number) => `{receiver: a, routes: [${'{},'.repeat(count - 1)}]}`
    expect((await treeOf(root(5_000))).routes).toHaveLength(4_999)
    expect(await told(`route: ${root(5_001)}\n${receivers}`)).toEqual(['1:8 more than 5000 routes'])
  })
})
