import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Alert, AlertState, Labels } from '../../src/alerts/alert.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import type { InhibitRule } from '../../src/config.ts'
import { matchesAll, parseMatchers } from '../../src/matcher.ts'
import { createInhibitor, type Inhibitor } from '../../src/notify/inhibition.ts'
import { sampleAlert } from './sample.ts'

function rule(source: string, target: string, equal: readonly string[] = []): InhibitRule {
  return {
    name: null,
    sourceMatchers: parseMatchers(source),
    targetMatchers: parseMatchers(target),
    equal,
  }
}

function alert(labels: Labels, state: AlertState = 'firing', key = JSON.stringify(labels)): Alert {
  return sampleAlert(1, { key, labels, fingerprint: fingerprint(labels), state })
}

function inhibitor(rules: readonly InhibitRule[], sources: readonly Alert[]): Inhibitor {
  const made = createInhibitor(rules)
  for (const source of sources) made.update(undefined, source)
  return made
}

const severity = rule('severity="critical"', 'severity="warning"', ['alertname', 'device_id'])
const critical = alert({ alertname: 'Stale', device_id: 'd1', severity: 'critical' })
const warning = { alertname: 'Stale', device_id: 'd1', severity: 'warning' }

describe('a target', () => {
  it('is muted while a source with the same equal labels is active', () => {
    const muted = inhibitor([severity], [critical])
    expect(muted.inhibitedBy(warning)).toEqual([critical.fingerprint])
    expect(muted.inhibitedBy({ ...warning, device_id: 'd2' })).toEqual([])
    expect(muted.inhibitedBy({ ...warning, alertname: 'Fault' })).toEqual([])
    expect(muted.inhibitedBy({ ...warning, severity: 'info' })).toEqual([])
  })

  it.each<[AlertState, boolean]>([
    ['pending', false],
    ['firing', true],
    ['recovering', true],
    ['resolved', false],
  ])('of a source that is %s is muted: %s', (state, isMuted) => {
    const muted = inhibitor([severity], [{ ...critical, state }])
    expect(muted.inhibitedBy(warning)).toEqual(isMuted ? [critical.fingerprint] : [])
  })

  it('is muted by a source that comes after it, and no longer when that one ends', () => {
    const muted = createInhibitor([severity])
    const pending = { ...critical, state: 'pending' as const }
    const recovering = { ...critical, state: 'recovering' as const }
    const resolved = { ...critical, state: 'resolved' as const }
    muted.update(undefined, alert(warning))
    expect(muted.inhibitedBy(warning)).toEqual([])
    muted.update(undefined, pending)
    expect(muted.inhibitedBy(warning)).toEqual([])
    muted.update(pending, critical)
    expect(muted.inhibitedBy(warning)).toEqual([critical.fingerprint])
    muted.update(critical, recovering)
    expect(muted.inhibitedBy(warning)).toEqual([critical.fingerprint])
    muted.update(recovering, resolved)
    expect(muted.inhibitedBy(warning)).toEqual([])
    muted.update(resolved, undefined)
    muted.update(undefined, critical)
    expect(muted.inhibitedBy(warning)).toEqual([critical.fingerprint])
    muted.update(critical, undefined)
    expect(muted.inhibitedBy(warning)).toEqual([])
  })

  it('stays muted when one of two sources ends, whichever it is', () => {
    const outage = rule('alertname="VendorDown"', 'device_id!=""', ['manufacturer'])
    const one = alert({ alertname: 'VendorDown', manufacturer: 'Bosch', region: 'north' })
    const other = alert({ alertname: 'VendorDown', manufacturer: 'Bosch', region: 'south' })
    const target = { alertname: 'Stale', manufacturer: 'Bosch', device_id: 'd1' }
    for (const [first, last] of [
      [one, other],
      [other, one],
    ] as const) {
      const muted = inhibitor([outage], [one, other])
      expect(muted.inhibitedBy(target)).toEqual([one.fingerprint, other.fingerprint].sort())
      muted.update(first, { ...first, state: 'resolved' })
      expect(muted.inhibitedBy(target)).toEqual([last.fingerprint])
      muted.update(last, { ...last, state: 'resolved' })
      expect(muted.inhibitedBy(target)).toEqual([])
    }
  })

  it('is muted by parents: its account, its vendor, the whole service', () => {
    const rules = [
      rule('alertname="ApiDown"', 'alertname!="ApiDown"'),
      rule('alertname="VendorDown"', 'device_id!=""', ['manufacturer', 'device_type']),
      rule('alertname="UserDown"', 'device_id!=""', ['user_id']),
    ]
    const api = alert({ alertname: 'ApiDown' })
    const vendor = alert({ alertname: 'VendorDown', manufacturer: 'Bosch', device_type: 'ev' })
    const user = alert({ alertname: 'UserDown', user_id: 'u1' })
    const target = {
      alertname: 'Stale',
      manufacturer: 'Bosch',
      device_type: 'ev',
      user_id: 'u1',
      device_id: 'd',
    }
    const muted = inhibitor(rules, [vendor, user])
    expect(muted.inhibitedBy(target)).toEqual([vendor.fingerprint, user.fingerprint].sort())
    expect(muted.inhibitedBy({ ...target, device_type: 'inverter' })).toEqual([user.fingerprint])
    expect(muted.inhibitedBy({ ...target, user_id: 'u2' })).toEqual([vendor.fingerprint])
    expect(muted.inhibitedBy(user.labels)).toEqual([])
    muted.update(undefined, api)
    expect(muted.inhibitedBy(user.labels)).toEqual([api.fingerprint])
    expect(muted.inhibitedBy(target)).toEqual([vendor.fingerprint, user.fingerprint, api.fingerprint].sort())
  })

  it('names a source once that mutes it by two rules', () => {
    const muted = inhibitor([severity, rule('severity="critical"', 'severity="warning"')], [critical])
    expect(muted.inhibitedBy(warning)).toEqual([critical.fingerprint])
  })

  it('takes a label that both lack for equal, and an empty one for missing', () => {
    const typo = rule('severity="critical"', 'severity="warning"', ['devcie_id'])
    const muted = inhibitor([typo], [critical])
    expect(muted.inhibitedBy({ ...warning, device_id: 'd2' })).toEqual([critical.fingerprint])
    expect(muted.inhibitedBy({ severity: 'warning', devcie_id: '' })).toEqual([critical.fingerprint])
    expect(muted.inhibitedBy({ severity: 'warning', devcie_id: 'd1' })).toEqual([])
  })

  it('does not mix up where one equal label ends and the next begins', () => {
    const pair = rule('severity="critical"', 'severity="warning"', ['a', 'b'])
    const muted = inhibitor([pair], [alert({ severity: 'critical', a: '1', b: '11' })])
    expect(muted.inhibitedBy({ severity: 'warning', a: '11', b: '1' })).toEqual([])
    expect(muted.inhibitedBy({ severity: 'warning', a: '1', b: '11' })).toHaveLength(1)
  })
})

describe('an alert that matches both sides', () => {
  const both = rule('severity=~"critical|warning"', 'alertname="Stale"', ['device_id'])

  it('is muted neither by itself nor by another that does', () => {
    const another = alert({ alertname: 'Stale', device_id: 'd1', severity: 'warning' })
    const muted = inhibitor([both], [critical, another])
    expect(muted.inhibitedBy(critical.labels)).toEqual([])
    expect(muted.inhibitedBy(another.labels)).toEqual([])
  })

  it('is muted by one that only matches the source side, and mutes what only matches the target side', () => {
    const source = alert({ alertname: 'Fault', device_id: 'd1', severity: 'critical' })
    const muted = inhibitor([both], [critical, source])
    expect(muted.inhibitedBy(critical.labels)).toEqual([source.fingerprint])
    expect(muted.inhibitedBy({ ...critical.labels, severity: 'info' })).toEqual(
      [source.fingerprint, critical.fingerprint].sort(),
    )
  })
})

describe('an alert whose labels change', () => {
  it('mutes by its new labels, and no longer by the old ones', () => {
    const moved = alert({ ...critical.labels, device_id: 'd2' }, 'firing', critical.key)
    const muted = inhibitor([severity], [critical])
    muted.update(critical, moved)
    expect(muted.inhibitedBy(warning)).toEqual([])
    expect(muted.inhibitedBy({ ...warning, device_id: 'd2' })).toEqual([moved.fingerprint])
  })

  it('mutes on when another takes over its labels, in whatever order that is heard', () => {
    const heir = { ...critical, key: 'another rule' }
    const ended = { ...critical, state: 'resolved' as const }
    for (const changes of [
      [
        [undefined, heir],
        [critical, ended],
      ],
      [
        [critical, ended],
        [undefined, heir],
      ],
    ] as const) {
      const muted = inhibitor([severity], [critical])
      for (const [before, after] of changes) muted.update(before, after)
      expect(muted.inhibitedBy(warning)).toEqual([critical.fingerprint])
    }
  })
})

describe('the explanation of an inhibition', () => {
  it('tells for each rule what failed, what has to be equal, and who mutes', () => {
    const vendor = rule('alertname="VendorDown"', 'device_id!="",severity="critical"', ['manufacturer'])
    const muted = inhibitor([severity, vendor], [critical])
    const [bySeverity, byVendor] = muted.explain(warning)
    expect(bySeverity).toEqual({
      rule: severity,
      failed: [],
      equal: { alertname: 'Stale', device_id: 'd1' },
      sources: [critical.fingerprint],
      spared: [],
    })
    expect(byVendor).toMatchObject({ rule: vendor, equal: { manufacturer: '' }, sources: [], spared: [] })
    expect(byVendor?.failed.map(({ name }) => name)).toEqual(['severity'])
  })

  it('names those that spare the alert because both match both sides, without itself', () => {
    const both = rule('severity=~"critical|warning"', 'alertname="Stale"', ['device_id'])
    const another = alert(warning)
    const [step] = inhibitor([both], [critical, another]).explain(critical.labels)
    expect(step).toMatchObject({ sources: [], spared: [another.fingerprint] })
  })
})

// --- against a plain reading of Alertmanager's rules

const value = fc.constantFrom('', '1', '2')
const labelSets: fc.Arbitrary<Labels> = fc.dictionary(fc.constantFrom('a', 'b', 'c'), value)
const side = fc.constantFrom('', 'a="1"', 'a!="1"', 'b=~"1|2"', 'b=""', 'a="1",c!="2"', 'c=~".+"')
const ruleSets = fc.array(
  fc
    .record({ source: side, target: side, equal: fc.subarray(['a', 'b', 'c', 'missing']) })
    .map(({ source, target, equal }) => rule(source, target, equal)),
  { minLength: 1, maxLength: 4 },
)
const changes = fc.array(
  fc.record({
    key: fc.nat({ max: 5 }),
    after: fc.option(
      fc.record({
        labels: labelSets,
        state: fc.constantFrom<AlertState>('pending', 'firing', 'recovering', 'resolved'),
      }),
      { nil: undefined },
    ),
  }),
  { maxLength: 25 },
)

/** Every alert against every rule, as Alertmanager did before it had an index. */
function reference(rules: readonly InhibitRule[], alerts: Iterable<Alert>, labels: Labels): string[] {
  const found = new Set<string>()
  for (const source of alerts) {
    if (source.state !== 'firing' && source.state !== 'recovering') continue
    for (const { sourceMatchers, targetMatchers, equal } of rules) {
      if (!matchesAll(targetMatchers, labels) || !matchesAll(sourceMatchers, source.labels)) continue
      if (equal.some((name) => (source.labels[name] ?? '') !== (labels[name] ?? ''))) continue
      if (matchesAll(sourceMatchers, labels) && matchesAll(targetMatchers, source.labels)) continue
      found.add(source.fingerprint)
    }
  }
  return [...found].sort()
}

describe('inhibition', () => {
  it('is after any sequence of changes what asking all alerts gives, and is explained by the same', () => {
    fc.assert(
      fc.property(ruleSets, changes, fc.array(labelSets, { minLength: 1 }), (rules, sequence, targets) => {
        const made = createInhibitor(rules)
        const alerts = new Map<string, Alert>()
        for (const { key, after } of sequence) {
          const before = alerts.get(`k${key}`)
          const changed = after === undefined ? undefined : alert(after.labels, after.state, `k${key}`)
          if (changed === undefined) alerts.delete(`k${key}`)
          else alerts.set(changed.key, changed)
          made.update(before, changed)
          for (const labels of targets) {
            const expected = reference(rules, alerts.values(), labels)
            expect(made.inhibitedBy(labels)).toEqual(expected)
            const explained = made.explain(labels).flatMap(({ sources }) => sources)
            expect([...new Set(explained)].sort()).toEqual(expected)
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
