import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { testRules } from '../src/cli/test-rules.ts'
import { type Device, type DeviceType, deviceFields, deviceTypes } from '../src/fleet/device.ts'
import { type User, userFields } from '../src/fleet/user.ts'
import { type Walk, walkFields } from '../src/fleet/walk.ts'
import type { DeviceRule, DeviceScope } from '../src/rules/rule.ts'
import { lintRules, loadRules } from '../src/rules/rule-file.ts'
import { parseRuleTests } from '../src/rules/rule-test-file.ts'
import { readRules, rulePaths } from './grafana/sources.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const isTest = (path: string) => path.endsWith('.test.yaml')
const files = globSync('rules/**/*.yaml', { cwd: root })
  .map((path) => path.replaceAll('\\', '/'))
  .sort()
const ruleFiles = files.filter((path) => !isTest(path)).map((file) => ({ file, text: read(file) }))
const testFiles = files.filter(isTest)

const pack = loadRules(ruleFiles)
const allExpectations = testFiles
  .flatMap((file) => parseRuleTests(file, read(file)).tests)
  .flatMap((test) => test.expectations)
const rules = [...pack.deviceRules, ...pack.userRules, ...pack.fleetRules, ...pack.serviceRules]
const alerts = rules.map((rule) => rule.alert)
const ruleOf = (alert: string) => rules.find((rule) => rule.alert === alert)!

/** As it is written in the file, before anything is rendered. */
const written = new Map(
  ruleFiles.flatMap(({ text }) => {
    const file = parse(text) as { groups: { rules: WrittenRule[] }[] }
    return file.groups.flatMap((group) => group.rules.map((rule) => [rule.alert, rule] as const))
  }),
)
interface WrittenRule {
  readonly alert: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

const hourMs = 3_600_000
const now = Date.UTC(2026, 6, 15, 3)

function record<T>(table: Readonly<Record<string, unknown>>, values: Readonly<Record<string, unknown>>): T {
  const nothing = Object.fromEntries(Object.keys(table).map((name) => [name, null]))
  return { ...nothing, ...values } as T
}

function deviceOf(type: DeviceType, values: Partial<Device>): Device {
  return record<Device>(deviceFields, {
    id: 'a-device-id',
    type,
    manufacturer: 'Acme',
    model: 'unknown',
    actions: null,
    ...values,
  })
}

function userOf(values: Partial<User>): User {
  return record<User>(userFields, {
    id: 'a-user-id',
    migration_step: null,
    migration_since: null,
    external_user_id_count: null,
    energy_contracts: null,
    ...values,
  })
}

describe('the shipped rules', () => {
  it('load without an error and without a warning', () => {
    expect(rules.length).toBeGreaterThan(25)
    expect(lintRules(ruleFiles)).toEqual([])
  })

  it.each(testFiles)('pass their tests: %s', async (file) => {
    const lines: string[] = []
    const code = await testRules([join(root, file)], { print: (line) => lines.push(line) })
    expect(lines.join('\n')).toMatch(/passed \(\d+ tests?\)$/)
    expect(code).toBe(0)
  })

  it('have a test file beside each file', () => {
    for (const { file } of ruleFiles) expect(testFiles).toContain(file.replace('.yaml', '.test.yaml'))
  })

  it.each<[string, readonly string[]]>([
    ['device unauthenticated', ['DeviceUnauthenticated']],
    ['any pending action', ['DeviceActionPending']],
    ['optimisation inactive, and off for days', ['OptimisationInactive', 'OptimisationOffForDays']],
    [
      'state stale per device type',
      ['HeatPumpStateStale', 'InverterStateStale', 'VehicleStateStale', 'WallboxStateStale'],
    ],
    [
      'connection, monitoring or steering status error',
      ['DeviceConnectionError', 'DeviceMonitoringError', 'DeviceSteeringError'],
    ],
    ['lifecycle error', ['DeviceLifecycleError']],
    [
      'limits that contradict each other',
      ['HeatPumpLimitsContradict', 'VehicleChargeLimitsContradict', 'BatteryLimitsContradict'],
    ],
    ['battery without capacity', ['BatteryWithoutCapacity']],
    ['energy contract missing or outdated', ['EnergyContractMissing', 'EnergyContractOutdated']],
    [
      'user without external id, contact or location',
      ['UserWithoutExternalId', 'UserWithoutContact', 'UserWithoutLocation'],
    ],
    ['the same external id twice', ['UserExternalIdDuplicate']],
    ['user inactive or never onboarded', ['UserInactive', 'UserNeverOnboarded']],
    ['manufacturer outage', ['ManufacturerOutage']],
    ['partner API unavailable', ['PartnerApiUnavailable']],
    ['walk incomplete or overdue', ['WalkIncomplete', 'WalkNeverComplete', 'WalkOverdue']],
    ['watchdog', ['Watchdog']],
  ])('cover what the design lists: %s', (_, expected) => {
    for (const alert of expected) expect(alerts).toContain(alert)
  })

  it('look at every device type where the type does not matter', () => {
    for (const alert of [
      'DeviceUnauthenticated',
      'DeviceActionPending',
      'DeviceConnectionError',
      'DeviceLifecycleError',
    ]) {
      expect((ruleOf(alert) as DeviceRule).deviceTypes, alert).toEqual(deviceTypes)
    }
  })
})

describe.each(alerts)('%s', (alert) => {
  const { labels, annotations } = written.get(alert)!

  it('says how bad it is, whose work it is, what it means and where to read on', () => {
    expect(['critical', 'warning', 'info']).toContain(labels['severity'])
    expect(labels['area']).toMatch(/^(connection|optimisation|settings|customer_data|manufacturer|service)$/)
    expect(Object.keys(annotations)).toEqual(['summary', 'description', 'runbook_url'])
    expect(annotations['summary']).not.toContain('\n')
    expect(annotations['description']!.length).toBeGreaterThan(80)
    expect(annotations['description']).toMatch(/\.$/)
  })

  it('has a runbook page where its link leads, and a line in the overview with its severity', () => {
    const page = `docs/runbooks/${alert}.md`
    expect(annotations['runbook_url']).toBe(`https://github.com/fleetwarden/fleetwarden/blob/main/${page}`)
    expect(existsSync(join(root, page))).toBe(true)
    const text = read(page)
    expect(text).toMatch(new RegExp(`^# ${alert}\n\nSeverity \`${labels['severity']}\``))
    for (const section of [
      'What it means',
      'What the customer notices',
      'First checks',
      'How to resolve',
      'When to escalate',
      'Tuning',
      'Known false alarms',
    ]) {
      expect(text).toContain(`\n## ${section}\n`)
    }
    const line = new RegExp(
      `^\\| \\[${alert}\\]\\(${alert}\\.md\\) \\| ${labels['severity']} \\| ${labels['area']} \\|`,
      'm',
    )
    expect(read('docs/runbooks/README.md')).toMatch(line)
  })

  it('has a test that makes it fire, with its texts, and one in which it stays silent', () => {
    const expectations = allExpectations.filter((one) => one.alertname === alert)
    const firing = expectations
      .flatMap((one) => one.alerts)
      .filter(({ state }) => state === null || state === 'firing')
    expect(firing.some((one) => one.labels['severity'] === labels['severity'])).toBe(true)
    expect(firing.some((one) => one.annotations['runbook_url'] === annotations['runbook_url'])).toBe(true)
    expect(firing.some((one) => one.annotations['summary'] !== undefined)).toBe(true)
    if (alert !== 'Watchdog') expect(expectations.some((one) => one.alerts.length === 0)).toBe(true)
  })

  it('names no person, place or id in its labels and annotations', () => {
    const texts = [...Object.values(labels), ...Object.values(annotations)].join('\n')
    for (const [, inside] of texts.matchAll(/\{\{(.*?)\}\}/gs)) {
      expect(inside).not.toMatch(/user\.(?!external_user_id_count\b)/)
      expect(inside).not.toMatch(/device\.(id|building|comment|price_zone)\b/)
    }
    expect(Object.values(labels).join()).not.toContain('{{')
  })
})

describe('a description', () => {
  it('is the same for all devices, so that a message about many carries it once', () => {
    for (const { alert } of [...pack.deviceRules, ...pack.userRules, ...pack.fleetRules]) {
      expect(written.get(alert)!.annotations['description'], alert).not.toContain('{{')
    }
  })
})

describe('a rendered summary', () => {
  const user = userOf({ email: 'PERSONAL', first_name: 'PERSONAL', last_name: 'PERSONAL', town: 'PERSONAL' })
  const walk = record<Walk>(walkFields, {})

  it.each(rules)('fits one short line and knows something to say when nothing is told: $alert', (rule) => {
    const scopes = deviceTypes.flatMap((type) => {
      const told = { lifecycle_error: 'refused (E-1204)', actions: [{ code: 'accept_terms', link: null }] }
      return [deviceOf(type, {}), deviceOf(type, told)].map((device) => ({
        device,
        user,
        walk,
        now,
        matching: 40,
        total: 50,
        unknown: 0,
        ratio: 0.8,
        group: { manufacturer: 'Acme', device_type: type },
      }))
    })
    for (const scope of scopes) {
      const { summary = '', description = '' } = rule.annotations(scope as never)
      expect(summary).toMatch(/^\S.{10,119}$/)
      expect(`${summary}${description}`).not.toMatch(
        /PERSONAL|a-device-id|a-user-id|_pump|_vehicle|\{\{| {2}/,
      )
    }
  })
})

describe('an alert', () => {
  const deviceRule = (alert: string) => pack.deviceRules.find((rule) => rule.alert === alert)!
  const verdict = (alert: string, device: Device) =>
    deviceRule(alert).condition({ device, user: userOf({}), now })

  it('about an outage of a manufacturer fires before those about its devices do', () => {
    const { forMs } = ruleOf('ManufacturerOutage')
    // With walks every ten minutes: at the second one, even if that comes a little early.
    expect(forMs).toBeGreaterThan(0)
    expect(forMs).toBeLessThan(10 * 60_000)
    for (const { alert, forMs: deviceForMs } of pack.deviceRules)
      expect(deviceForMs, alert).toBeGreaterThan(forMs)
  })

  it('about a device never fires on a single reading', () => {
    for (const { alert, forMs } of pack.deviceRules) expect(forMs, alert).toBeGreaterThanOrEqual(15 * 60_000)
  })

  it('tells of every pending action, whatever its code is, beside logging in again', () => {
    fc.assert(
      fc.property(
        fc
          .array(fc.string(), { minLength: 1 })
          .filter((codes) => codes.some((code) => code !== 'reauthenticate')),
        fc.constantFrom(true, false, null),
        fc.constantFrom(true, false, null),
        fc.constantFrom(...deviceTypes),
        (codes, is_authenticated, action_needed, type) => {
          const actions = codes.map((code) => ({ code, link: null }))
          const device = deviceOf(type, { actions, is_authenticated, action_needed })
          expect(verdict('DeviceActionPending', device)).toBe(true)
        },
      ),
    )
  })

  it('tells of logging in again exactly once', () => {
    const actions = [{ code: 'reauthenticate', link: null }]
    for (const is_authenticated of [true, false, null]) {
      const device = deviceOf('inverter', { actions, is_authenticated, action_needed: true })
      const told = ['DeviceUnauthenticated', 'DeviceActionPending'].filter(
        (alert) => verdict(alert, device) === true,
      )
      expect(told).toHaveLength(1)
    }
  })
})

describe('a healthy device', () => {
  const maybe = <T>(...values: T[]) => fc.constantFrom<T | null>(...values, null)
  const status = maybe('ok', 'warning', 'unknown')
  const pair = (least: number, most: number) =>
    fc
      .tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
  const orNull = <T>(value: T, isNull: boolean): T | null => (isNull ? null : value)

  const common = fc.record({
    is_authenticated: maybe(true),
    connection_status: status,
    monitoring_status: status,
    steering_status: status,
    lifecycle_state: maybe('authenticated', 'created', 'something_new'),
    action_needed: maybe(false),
    actions: fc.constantFrom<Device['actions']>([], null),
    optimization_score: maybe(0, 100),
    created_at: maybe(now - hourMs, now - 9000 * hourMs),
    price_zone: maybe('AT'),
    boost_state: maybe('ongoing', 'unavailable'),
    is_charging: maybe(true, false),
    is_plugged_in: maybe(true, false),
    battery_level: maybe(0, 100),
    current_mode: maybe('off', 'max'),
  })
  /** Optimised, or not on purpose. */
  const optimisation = fc.oneof(
    fc.record({ is_smart_optimization_active: maybe(true) }),
    fc.record({ is_smart_optimization_active: maybe(false), is_pause_power_active: fc.constant(true) }),
    fc.record({
      is_smart_optimization_active: maybe(false),
      is_pause_power_active: maybe(true, false),
      pause_power_until: fc.integer({ min: now + 1, max: now + 900 * hourMs }),
    }),
    fc.record({
      is_smart_optimization_active: maybe(false),
      is_away_mode_enabled: fc.constant(true),
      away_mode_start: maybe(now - 50 * hourMs, now + 50 * hourMs),
      away_mode_end: maybe(now + 60 * hourMs),
    }),
  )
  const healthy: Readonly<Record<DeviceType, fc.Arbitrary<Partial<Device>>>> = {
    heat_pump: fc
      .record({
        current_state_last_updated_at: maybe(now - 10 * 60_000, now - 3 * hourMs, now + hourMs),
        limits: pair(15, 28),
        isOpen: fc.boolean(),
        current_power_consumption_w: maybe(0, 3000),
        indoor_actual_temperature: maybe(5, 31),
        is_heating_policy_enabled: maybe(true, false),
      })
      .map(({ limits: [low, high], isOpen, ...fields }) => ({
        ...fields,
        minimum_temperature_limit: low,
        maximum_temperature_limit: orNull(high, isOpen),
      })),
    electric_vehicle: fc
      .record({
        current_state_last_updated_at: maybe(now - 10 * 60_000, now - 14 * hourMs, now - 168 * hourMs),
        targets: pair(0, 100),
        minimum: fc.nat(100),
        isOpen: fc.boolean(),
      })
      .map(({ targets: [low, high], minimum, isOpen, ...fields }) => ({
        ...fields,
        charge_target_min: orNull(low, isOpen),
        charge_target_max: high,
        minimum_charge_limit: orNull(Math.min(minimum, high), !isOpen),
      })),
    inverter: fc.oneof(
      fc.record({
        is_battery_connected: maybe(false),
        current_state_last_updated_at: maybe(now - 10 * 60_000, now - 16 * hourMs, now - 48 * hourMs),
        min_battery_charge: maybe(5),
        max_battery_charge: maybe(5, 100),
        battery_capacity_kwh: maybe(0),
      }),
      fc.record({
        is_battery_connected: fc.constant(true),
        battery_capacity_kwh: fc.constantFrom(0.1, 200),
        current_state_last_updated_at: maybe(now - 10 * 60_000, now - 3 * hourMs),
        min_battery_charge: maybe(0, 50),
        max_battery_charge: maybe(50, 100),
      }),
    ),
    wallbox: fc.record({
      current_state_last_updated_at: maybe(now - 10 * 60_000, now - 48 * hourMs),
    }),
  }

  it.each(deviceTypes)('of type %s raises nothing, whichever of its fields are null', (type) => {
    const scopes: fc.Arbitrary<DeviceScope> = fc
      .tuple(common, optimisation, healthy[type])
      .map(([...parts]) => ({ device: deviceOf(type, Object.assign({}, ...parts)), user: userOf({}), now }))
    const applying = pack.deviceRules.filter((rule) => rule.deviceTypes.includes(type))
    const counts = pack.fleetRules.map((rule) => rule.count)
    fc.assert(
      fc.property(scopes, (scope) => {
        const raised = applying.filter((rule) => rule.condition(scope) === true).map((rule) => rule.alert)
        expect(raised).toEqual([])
        expect(counts.filter((count) => count(scope) === true)).toEqual([])
      }),
      { numRuns: 500 },
    )
  })

  it('of which nothing at all is told raises nothing', () => {
    for (const type of deviceTypes) {
      const scope = { device: deviceOf(type, {}), user: userOf({}), now }
      for (const rule of pack.deviceRules) expect(rule.condition(scope), rule.alert).not.toBe(true)
    }
    for (const rule of pack.userRules)
      expect(rule.condition({ user: userOf({}), now }), rule.alert).not.toBe(true)
    const walk = record<Walk>(walkFields, {})
    for (const rule of pack.serviceRules) {
      if (rule.alert !== 'Watchdog') expect(rule.condition({ walk, now }), rule.alert).not.toBe(true)
    }
  })
})

describe('no expression of the pack', () => {
  it('goes wrong on any value that a field can have', () => {
    const values = {
      string: fc.option(fc.oneof(fc.string(), fc.constantFrom('error', 'unknown', 'user', ''))),
      double: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
      bool: fc.option(fc.boolean()),
      timestamp: fc.option(fc.integer({ min: 0, max: 4e12 })),
    }
    const any = (table: Readonly<Record<string, keyof typeof values>>) =>
      fc.record(Object.fromEntries(Object.entries(table).map(([name, type]) => [name, values[type]])))
    const devices = fc
      .tuple(any(deviceFields), fc.constantFrom(...deviceTypes), fc.option(fc.array(fc.string())))
      .map(([fields, type, codes]) =>
        deviceOf(type, { ...fields, actions: codes?.map((code) => ({ code, link: null })) ?? null }),
      )
    const contracts = fc.option(
      fc.array(any({ energy_contract_type: 'string', prices_until: 'timestamp' })) as fc.Arbitrary<never[]>,
    )
    const users = fc
      .tuple(any(userFields), contracts, values.double)
      .map(([fields, energy_contracts, external_user_id_count]) =>
        userOf({ ...fields, energy_contracts, external_user_id_count }),
      )
    fc.assert(
      fc.property(devices, users, any(walkFields), (device, user, walk) => {
        const scope = { device, user, now, walk: walk as never }
        for (const rule of [...pack.deviceRules, ...pack.userRules, ...pack.serviceRules]) {
          expect(rule.condition(scope), rule.alert).not.toBe('rule_error')
          for (const text of Object.values(rule.annotations(scope))) expect(text).not.toBe('')
        }
        for (const rule of pack.fleetRules) expect(rule.count(scope)).not.toBe('rule_error')
      }),
      { numRuns: 300 },
    )
  })
})

describe('docs/writing-rules.md', () => {
  it('has an example that passes its own test', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fleetwarden-docs-'))
    try {
      const blocks = [...read('docs/writing-rules.md').matchAll(/^```yaml file=(\S+)\n(.*?)^```$/gms)]
      expect(blocks.map(([, path]) => path)).toEqual(['rules/too-cold.yaml', 'rules/too-cold.test.yaml'])
      for (const [, path, text] of blocks) {
        mkdirSync(join(folder, dirname(path!)), { recursive: true })
        writeFileSync(join(folder, path!), text!)
      }
      const lines: string[] = []
      const code = await testRules([join(folder, 'rules/too-cold.test.yaml')], {
        print: (line) => lines.push(line),
      })
      expect(lines.join('\n')).toMatch(/passed \(2 tests\)$/)
      expect(code).toBe(0)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('docs/runbooks', () => {
  it('has no page without an alert, and links that lead somewhere', () => {
    const pages = globSync('*.md', { cwd: join(root, 'docs/runbooks') })
    const builtIn = ['AlertLimitReached', 'DeviceNoData', 'MassChange', 'OwnerDidNothing', 'SilenceEnding']
    // Those of Prometheus: test/grafana/rules.test.ts. The Watchdog is one of both.
    const ofPrometheus = rulePaths.flatMap((path) => readRules(path).flatMap(({ alert }) => alert ?? []))
    const expected = new Set([...alerts, ...builtIn, ...ofPrometheus, 'README'])
    expect(pages.map((page) => basename(page, '.md')).sort()).toEqual([...expected].sort())
    const overview = read('docs/runbooks/README.md')
    for (const alert of builtIn) expect(overview).toContain(`| [${alert}](${alert}.md) |`)
    for (const page of pages) {
      for (const [, target] of read(`docs/runbooks/${page}`).matchAll(/\]\(([\w-]+\.md)(?:#[\w-]+)?\)/g)) {
        expect(pages, `${page} links to ${target}`).toContain(target)
      }
    }
  })
})
