import { describe, expect, test } from 'vitest'
import { unknownEqualLabels } from '../../src/config.ts'
import { formatMatchers } from '../../src/matcher.ts'
import { parseAlerting, told } from './parse.ts'

const base = 'route: {receiver: a}\nreceivers: [{name: a}]\n'

describe('inhibition rules', () => {
  test('take matchers and what came before them', async () => {
    const { inhibitRules } = (
      await parseAlerting(`${base}inhibit_rules:
- name: parents
  source_matchers: [severity="critical", 'alertname="Down"']
  target_matchers: [severity=~"warning|info"]
  equal: [user_id, device_id]
- {source_match: {a: "1"}, source_match_re: {b: x.*}, target_match: {c: "1"}, target_match_re: {d: y}}`)
    ).alerting
    expect(
      inhibitRules.map((rule) => [
        rule.name,
        formatMatchers(rule.sourceMatchers),
        formatMatchers(rule.targetMatchers),
        rule.equal,
      ]),
    ).toEqual([
      [
        'parents',
        '{alertname="Down",severity="critical"}',
        '{severity=~"warning|info"}',
        ['user_id', 'device_id'],
      ],
      [null, '{a="1",b=~"x.*"}', '{c="1",d=~"y"}', []],
    ])
  })

  test.each([
    ['{source_matchers: [x]}', '3:37 expected =, !=, =~ or !~, found the end'],
    ['{equal: [a-b]}', '3:26 expected a label name such as alertname, got "a-b"'],
    [
      '{sources: []}',
      '3:18 `sources` is valid Alertmanager configuration, but Fleetwarden does not support it yet',
    ],
    ['{source_matcher: []}', '3:18 unknown key "source_matcher": did you mean "source_matchers"?'],
  ])('refuse %s', async (rule, expected) => {
    expect(await told(`${base}inhibit_rules: [${rule}]`)).toEqual([expected])
  })

  test('tell which labels of equal no alert can have', async () => {
    const { alerting } = await parseAlerting(
      `${base}inhibit_rules: [{equal: [user_id]}, {name: n, equal: [usr_id, colour]}]`,
    )
    const told = unknownEqualLabels(alerting, new Set(['alertname', 'user_id']))
    expect(told.map(({ rule, label }) => [rule, label])).toEqual([
      [1, 'usr_id'],
      [1, 'colour'],
    ])
    expect(told[0]?.message).toMatch(/^no rule sets the label "usr_id".*: did you mean "user_id"\?$/)
  })
})

describe('time intervals', () => {
  const interval = async (fields: string) =>
    (await parseAlerting(`${base}time_intervals: [{name: n, time_intervals: [{${fields}}]}]`)).alerting
      .timeIntervals[0]?.intervals[0]

  test('are read as in Alertmanager', async () => {
    expect(
      await interval(
        "times: [{start_time: 09:00, end_time: '24:00'}], weekdays: ['Monday:FRIDAY', sunday], " +
          "days_of_month: ['1:5', '-3:-1', 7, '1:-1'], months: ['January:march', '1:3', 5], years: ['2026:2030', 2040], location: europe/vienna",
      ),
    ).toEqual({
      times: [{ start: 540, end: 1440 }],
      weekdays: [
        { start: 1, end: 5 },
        { start: 0, end: 0 },
      ],
      daysOfMonth: [
        { start: 1, end: 5 },
        { start: -3, end: -1 },
        { start: 7, end: 7 },
        { start: 1, end: -1 },
      ],
      months: [
        { start: 1, end: 3 },
        { start: 1, end: 3 },
        { start: 5, end: 5 },
      ],
      years: [
        { start: 2026, end: 2030 },
        { start: 2040, end: 2040 },
      ],
      location: 'Europe/Vienna',
    })
    expect(await interval('')).toEqual({
      times: null,
      weekdays: null,
      daysOfMonth: null,
      months: null,
      years: null,
      location: 'UTC',
    })
  })

  test.each([
    ["times: [{start_time: '17:00', end_time: '09:00'}]", '3:54 expected start_time before end_time'],
    ["times: [{start_time: '09:00', end_time: '09:00'}]", '3:54 expected start_time before end_time'],
    ["times: [{start_time: '24:00', end_time: '24:00'}]", '3:54 expected start_time before end_time'],
    ["times: [{start_time: '9:00', end_time: '10:00'}]", '3:67 expected a time from 00:00 to 24:00'],
    ["times: [{start_time: '09:00', end_time: '24:01'}]", '3:86 expected a time from 00:00 to 24:00'],
    ["times: [{start_time: '09:00'}]", '3:54 "end_time" is missing'],
    ['weekdays: [friday:monday]', '3:57 expected a weekday'],
    ['weekdays: [fri]', '3:57 expected a weekday'],
    ['weekdays: [1]', '3:57 expected a weekday'],
    ["days_of_month: ['0']", '3:62 expected a day from 1 to 31'],
    ["days_of_month: ['32']", '3:62 expected a day from 1 to 31'],
    ["days_of_month: ['-1:5']", '3:62 expected a day from 1 to 31'],
    ["days_of_month: ['5:1']", '3:62 expected a day from 1 to 31'],
    ["days_of_month: ['28:-1']", '3:62 expected a day from 1 to 31'],
    ["days_of_month: ['1:2:3']", '3:62 expected a day from 1 to 31'],
    ['months: [march:january]', '3:55 expected a month'],
    ['months: [13]', '3:55 expected a month'],
    ["years: ['2030:2026']", '3:54 expected a year'],
    ["years: ['']", '3:54 expected a year'],
    [
      'location: Europe/Viena',
      '3:56 expected an IANA time zone such as Europe/Vienna, got "Europe/Viena": did',
    ],
    ['location: Local', '3:56 expected an IANA time zone such as Europe/Vienna, got "Local": the zone of'],
    ['location: +01:00', '3:56 expected an IANA time zone'],
    ['time_zone: UTC', '3:46 `time_zone` is called `location`'],
  ])('refuse %s', async (fields, expected) => {
    const lines = await told(`${base}time_intervals: [{name: n, time_intervals: [{${fields}}]}]`)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(expected)
  })

  test('have names of their own over both lists', async () => {
    expect(
      await told(`${base}time_intervals: [{name: n}, {name: n}]\nmute_time_intervals: [{name: n}, {}]`),
    ).toEqual([
      '3:36 the name "n" is given to two time intervals',
      '4:30 the name "n" is given to two time intervals',
      '4:34 "name" is missing',
    ])
  })
})
