import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Device, DeviceType } from '../../src/fleet/device.ts'
import { createFleetCounts, fleetGroup } from '../../src/rules/fleet-count.ts'
import type { FleetRule } from '../../src/rules/rule.ts'
import { loadRules } from '../../src/rules/rule-file.ts'
import { now, scope, walk } from './sample.ts'

function fleetRule(fields: string): FleetRule {
  const text = `groups: [{name: g, rules: [{alert: A, each: fleet, ${fields}}]}]`
  const [rule] = loadRules([{ file: 'r.yaml', text }]).fleetRules
  if (rule === undefined) throw new Error('no fleet rule')
  return rule
}

const outage = fleetRule('count: "!device.is_authenticated", by: [manufacturer], expr: matching >= 3')
const end = { walk: walk(), now }
const acme = fleetGroup(['manufacturer'], { manufacturer: 'Acme' })

function counted(rule: FleetRule, ...devices: Partial<Device>[]) {
  const counts = createFleetCounts(rule)
  for (const device of devices) counts.add(scope(device))
  return counts
}

const lost = { is_authenticated: false }
const fine = { is_authenticated: true }
const unsaid = { is_authenticated: null }

describe('counting', () => {
  test('counts matching devices of each group', () => {
    const counts = counted(outage, lost, lost, lost, fine, { ...lost, manufacturer: 'Zeta' })
    expect(counts.groups()).toEqual([
      { key: 'manufacturer=Acme', labels: { manufacturer: 'Acme' } },
      { key: 'manufacturer=Zeta', labels: { manufacturer: 'Zeta' } },
    ])
    const { verdict, clear, scope: found } = counts.decide(acme, end)
    expect(verdict).toBe(true)
    expect(clear).toBeNull()
    expect(found).toMatchObject({
      matching: 3,
      total: 4,
      unknown: 0,
      ratio: 0.75,
      now,
      group: { manufacturer: 'Acme' },
    })
  })

  test('a group without devices counts zeros, so that its alert can end', () => {
    const { verdict, scope: found } = counted(outage).decide(acme, end)
    expect(verdict).toBe(false)
    expect(found).toMatchObject({ matching: 0, total: 0, ratio: 0 })
  })

  test('without by there is one group', () => {
    const counts = counted(fleetRule('count: "!device.is_authenticated", expr: matching >= 2'), lost, {
      ...lost,
      manufacturer: 'Zeta',
    })
    expect(counts.groups()).toEqual([{ key: '', labels: {} }])
    expect(counts.decide(fleetGroup([], {}), end).verdict).toBe(true)
  })

  test('devices of other types are not counted', () => {
    const rule = fleetRule('device_types: [inverter], count: "true", expr: total > 0')
    const counts = counted(rule, { type: 'wallbox' })
    counts.addUnread({ deviceType: 'wallbox', count: 5 })
    expect(counts.decide(fleetGroup([], {}), end).verdict).toBe(false)
  })

  test('a key is unambiguous and comes back from labels', () => {
    const by = ['manufacturer', 'price_zone'] as const
    const key = (manufacturer: string, price_zone: string) => fleetGroup(by, { manufacturer, price_zone }).key
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
        expect(key(a, b) === key(c, d)).toBe(a === c && b === d)
        expect(key(a, b)).not.toMatch(/\n/)
      }),
    )
    expect(key('A,price_zone=x', 'y\n')).toBe('manufacturer=A%2Cprice_zone%3Dx,price_zone=y%0A')
    const counts = counted(
      fleetRule('count: "true", by: [manufacturer, price_zone, device_type], expr: total > 0'),
      { price_zone: null },
    )
    expect(counts.groups()[0]?.key).toBe('manufacturer=Acme,price_zone=unknown,device_type=heat_pump')
  })

  test('beyond ten thousand groups the rest is counted together, and says so', () => {
    const counts = createFleetCounts(outage)
    for (let i = 0; i < 10_005; i++) counts.add(scope({ ...lost, manufacturer: `M${i}` }))
    expect(counts.overflowed()).toBe(5)
    expect(counts.groups()).toHaveLength(10_001)
    expect(counts.decide(fleetGroup(['manufacturer'], { manufacturer: 'other' }), end)).toMatchObject({
      verdict: true,
      scope: { matching: 5, total: 5 },
    })
    // Its devices may be among the others: that it has none is not known.
    expect(counts.decide(fleetGroup(['manufacturer'], { manufacturer: 'M10004' }), end).verdict).toBe(
      'rule_error',
    )
  })
})

describe('devices that are unknown or unread', () => {
  test('decide nothing when they could not make the difference', () => {
    const counts = counted(outage, lost, lost, lost, unsaid)
    counts.addUnread({ deviceType: 'heat_pump', count: 2 })
    expect(counts.decide(acme, end)).toMatchObject({
      verdict: true,
      scope: { matching: 3, total: 4, unknown: 3 },
    })
    const few = counted(outage, lost, unsaid)
    expect(few.decide(acme, end).verdict).toBe(false)
  })

  test('leave it unknown when they could, and say which of them', () => {
    expect(counted(outage, lost, lost, unsaid).decide(acme, end).verdict).toBe('missing_field')
    const unread = counted(outage, lost, lost, fine)
    unread.addUnread({ deviceType: 'heat_pump', count: 1 })
    expect(unread.decide(acme, end).verdict).toBe('poll_failed')
    const broken = fleetRule('count: 1 / 0 == 1, expr: matching >= 1')
    expect(counted(broken, {}).decide(fleetGroup([], {}), end).verdict).toBe('rule_error')
  })

  test('an alert of a group goes on while its devices could not be read', () => {
    const counts = counted(outage)
    counts.addUnread({ deviceType: 'heat_pump', count: 40 })
    expect(counts.decide(acme, end).verdict).toBe('poll_failed')
  })

  test('belong to no group of another device type', () => {
    const byType = fleetRule('count: "!device.is_authenticated", by: [device_type], expr: matching >= 1')
    const counts = counted(byType, fine)
    counts.addUnread({ deviceType: 'inverter', count: 9 })
    const group = (type: DeviceType) => fleetGroup(['device_type'], { device_type: type })
    expect(counts.decide(group('heat_pump'), end).verdict).toBe(false)
    expect(counts.decide(group('inverter'), end).verdict).toBe('poll_failed')
  })

  test('clear is decided by the same bounds', () => {
    const rule = fleetRule('count: "!device.is_authenticated", expr: matching >= 3, clear: matching < 2')
    const group = fleetGroup([], {})
    expect(counted(rule, lost).decide(group, end)).toMatchObject({ verdict: false, clear: true })
    expect(counted(rule, lost, unsaid).decide(group, end)).toMatchObject({
      verdict: false,
      clear: 'missing_field',
    })
    expect(counted(rule, lost, lost).decide(group, end)).toMatchObject({ verdict: false, clear: false })
  })

  test('an unknown of the condition itself is passed on', () => {
    const rule = fleetRule('count: "true", expr: matching > 0 && walk.api_available')
    expect(counted(rule, {}).decide(fleetGroup([], {}), end).verdict).toBe('missing_field')
    expect(
      counted(rule, {}).decide(fleetGroup([], {}), { walk: walk({ api_available: true }), now }).verdict,
    ).toBe(true)
  })

  test('whatever the unread devices are, a verdict that is given stays true', () => {
    const rules = [
      'matching >= 3 && ratio > 0.4',
      'ratio < 0.4',
      'total < 4',
      'matching < 2 || ratio < 0.3',
    ].map((expr) => fleetRule(`count: "!device.is_authenticated", expr: ${expr}`))
    const states = fc.array(fc.constantFrom(lost, fine), { maxLength: 6 })
    fc.assert(
      fc.property(fc.constantFrom(...rules), states, states, (rule, read, unread) => {
        const counts = counted(rule, ...read)
        counts.addUnread({ deviceType: 'heat_pump', count: unread.length })
        const group = fleetGroup([], {})
        const { verdict } = counts.decide(group, end)
        if (typeof verdict === 'boolean') {
          expect(counted(rule, ...read, ...unread).decide(group, end).verdict).toBe(verdict)
        }
      }),
    )
  })
})
