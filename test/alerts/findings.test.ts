import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Alert } from '../../src/alerts/alert.ts'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { createEvaluator, type Evaluator, type FleetTally } from '../../src/alerts/evaluation.ts'
import { addTallies, createFinder, type Finding, tallyData } from '../../src/alerts/findings.ts'
import type { UserReading } from '../../src/fleet/reading.ts'
import type { RuleSet } from '../../src/rules/rule.ts'
import { loadRules } from '../../src/rules/rule-file.ts'
import { device, user, walk } from '../rules/sample.ts'

const minute = 60_000
const startAt = Date.UTC(2026, 0, 1)

const text = `
groups:
  - name: test
    rules:
      - {alert: Lost, expr: "!device.is_authenticated", for: 10m, keep_firing_for: 10m, labels: {severity: critical}}
      - {alert: Cold, device_types: [heat_pump], expr: "device.dhw_temperature < 40.0", clear: "device.dhw_temperature > 50.0", labels: {severity: info}}
      - {alert: Silent, expr: "device.battery_level < 10.0", no_data: alerting, limit: 3, labels: {severity: info, of: "{{ device.manufacturer }}"}, annotations: {summary: "{{ user.town }}"}}
      - {alert: Homeless, each: user, expr: 'user.town == ""', labels: {severity: info}}
      - {alert: Outage, each: fleet, count: "!device.is_authenticated", by: [manufacturer, device_type], expr: "matching >= 2 && ratio > 0.3", labels: {severity: critical}}
`
const rules = loadRules([{ file: 'test.yaml', text }])

interface Side {
  readonly book: AlertBook
  readonly evaluator: Evaluator
}

/** The first user is back from the partner whenever something is read. */
const returnedAt = ({ subject }: Alert, at: number) =>
  subject.kind !== 'fleet' && subject.userId === 'u0' ? at - 1 : null

async function begin(loaded = rules): Promise<Side> {
  const book = await openAlertBook({ loadAlerts: async () => [], saveAlerts: async () => {} }, { downMs: 0 })
  return {
    book,
    evaluator: createEvaluator({ rules: loaded, book, newEpisode: () => 'e', onUnknown() {}, returnedAt }),
  }
}

/** As bytes between two processes would have it. */
function sent<T>(value: T): T {
  return JSON.parse(JSON.stringify(value))
}

function activeIn(book: AlertBook): Alert[] {
  return [...book.activeByUser()].flat()
}

/** What another process with these rules finds of these users. */
function find(readings: readonly UserReading[], book: AlertBook, loaded: RuleSet = rules) {
  const finder = createFinder({
    rules: loaded,
    active: sent(activeIn(book)),
    newEpisode: () => 'e',
    onUnknown() {},
  })
  const tallies = finder.tallies()
  for (const reading of readings) finder.user(reading, tallies)
  return sent({ findings: finder.findings(), tallies: tallies.map(tallyData) })
}

function enter({ evaluator }: Side, findings: readonly Finding[]): void {
  for (const finding of findings) evaluator.enter(finding)
}

const state = fc.constantFrom(
  'well',
  'lost',
  'cold',
  'between',
  'unknown',
  'unread',
  'missing',
  'deleted',
  'gone',
)
const fleetStates = fc.array(fc.tuple(state, state, fc.constantFrom('Graz', '', null)), {
  minLength: 4,
  maxLength: 4,
})
type FleetStates = typeof fleetStates extends fc.Arbitrary<infer T> ? T : never

function readingsOf(states: FleetStates, at: number, book: AlertBook): UserReading[] {
  return states.map(([first, second, town], n) => {
    const userId = `u${n}`
    const reading = {
      user: user({ id: userId, town, num_heat_pumps: 1 }),
      observedAt: at,
      readAt: at + 2_000,
      devices: [] as UserReading['devices'][number][],
      unread: [] as UserReading['unread'][number][],
      absent: [] as UserReading['absent'][number][],
      contractsUnread: null,
    }
    for (const [index, is] of [first, second].entries()) {
      const deviceType = index === 0 ? 'heat_pump' : 'electric_vehicle'
      const id = `d${index}`
      const isWatched = book.devicesOf(userId).some(({ deviceId }) => deviceId === id)
      if (is === 'unread') reading.unread.push({ deviceType, deviceId: null, reason: 'timeout' })
      else if (is === 'missing' || is === 'deleted') {
        if (isWatched) reading.absent.push({ deviceType, deviceId: id, state: is })
      } else if (is !== 'gone') {
        const fields = {
          is_authenticated: is === 'unknown' ? null : is !== 'lost',
          dhw_temperature: is === 'unknown' ? null : is === 'cold' ? 30 : is === 'between' ? 45 : 60,
          battery_level: is === 'unknown' ? null : is === 'cold' ? 5 : 90,
        }
        const one = device({ id, type: deviceType, manufacturer: n % 2 === 0 ? 'Acme' : 'Other', ...fields })
        reading.devices.push({ device: one, observedAt: at + index * 1_000 })
      }
    }
    return reading
  })
}

describe('findings of another process', () => {
  it('lead to the alerts that the service itself would have made of the same readings', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fleetStates, { minLength: 1, maxLength: 8 }), async (walks) => {
        const alone = await begin()
        const helped = await begin()
        for (const [index, states] of walks.entries()) {
          const at = startAt + index * 6 * minute
          const ended = { walk: walk({ api_available: true }), at: at + minute }
          const talliesAlone = alone.evaluator.beginWalk()
          for (const reading of readingsOf(states, at, alone.book))
            alone.evaluator.user(reading, talliesAlone)
          alone.evaluator.fleet(ended.walk, ended.at, talliesAlone)
          await alone.book.commit()

          // Two slots, found by two processes: the order of users counts only where a limit is reached.
          const tallies = helped.evaluator.beginWalk()
          const readings = readingsOf(states, at, helped.book)
          const slots = [readings.slice(2), readings.slice(0, 2)].map((slot) => find(slot, helped.book))
          for (const slot of slots.reverse()) {
            enter(helped, slot.findings)
            addTallies(tallies, slot.tallies)
          }
          helped.evaluator.fleet(ended.walk, ended.at, tallies)
          await helped.book.commit()
          expect(talliesOf(tallies)).toEqual(talliesOf(talliesAlone))
          expect(sorted(helped.book)).toEqual(sorted(alone.book))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('are nothing for a user who is well and has no alert', async () => {
    const { book } = await begin()
    const states: FleetStates = [
      ['well', 'well', 'Graz'],
      ['well', 'unread', 'Graz'],
      ['well', 'gone', 'Graz'],
      ['well', 'well', 'Graz'],
    ]
    expect(find(readingsOf(states, startAt, book), book).findings).toEqual([])
  })

  const lost: FleetStates = [['lost', 'gone', 'Graz']]

  it('of a rule that was changed meanwhile are left out', async () => {
    const side = await begin()
    const { findings } = find(readingsOf(lost, startAt, side.book), side.book)
    expect(findings).toHaveLength(1)
    side.evaluator.reload(loadRules([{ file: 'test.yaml', text: text.replace('for: 10m', 'for: 11m') }]))
    enter(side, findings)
    await side.book.commit()
    expect([...side.book.all()]).toEqual([])
  })

  it('that are older than what a recheck has seen change nothing', async () => {
    const side = await begin()
    const [reading] = readingsOf(lost, startAt, side.book)
    const { findings } = find([reading!], side.book)
    enter(side, findings)
    await side.book.commit()
    const well = readingsOf([['well', 'gone', 'Graz']], startAt + minute, side.book)[0]!
    side.evaluator.device(well.user, well.devices[0]!)
    await side.book.commit()
    const before = sorted(side.book)
    const again = find([reading!], side.book).findings.map((finding) => ({
      ...finding,
      at: startAt + 30_000,
    }))
    enter(side, again)
    await side.book.commit()
    expect(before).toEqual([])
    // It would be pending again, and the next walk ends it: as if the slow reading had come with that walk.
    expect(sorted(side.book).map(({ state: is }) => is)).toEqual(['pending'])
  })

  it('about an alert that ended meanwhile neither bring it back nor fail', async () => {
    const side = await begin()
    enter(side, find(readingsOf([['cold', 'gone', 'Graz']], startAt, side.book), side.book).findings)
    await side.book.commit()
    expect(sorted(side.book).map(({ state: is }) => is)).toEqual(['firing', 'firing'])
    const later = [['unread', 'gone', 'Graz']] as FleetStates
    const { findings } = find(readingsOf(later, startAt + minute, side.book), side.book)
    expect(findings).toHaveLength(2)
    for (const alert of [...side.book.all()]) side.book.end(alert.key, startAt + 2 * minute, 'manual')
    await side.book.commit()
    enter(side, findings)
    await side.book.commit()
    expect(sorted(side.book).map(({ state: is }) => is)).toEqual(['resolved', 'resolved'])
  })

  it('of a rule that is no longer for a type of device end its alert, unless it is again', async () => {
    const side = await begin()
    const cold = [['cold', 'gone', 'Graz']] as FleetStates
    enter(side, find(readingsOf(cold, startAt, side.book), side.book).findings)
    await side.book.commit()
    const narrowed = loadRules([{ file: 'test.yaml', text: text.replace('[heat_pump]', '[inverter]') }])
    const { findings } = find(readingsOf(cold, startAt + minute, side.book), side.book, narrowed)
    enter(
      side,
      findings.filter(({ kind }) => kind === 'inapplicable'),
    )
    await side.book.commit()
    expect(sorted(side.book).map(({ state: is }) => is)).toEqual(['firing', 'firing'])
    side.evaluator.reload(narrowed)
    enter(
      side,
      findings.filter(({ kind }) => kind === 'inapplicable'),
    )
    await side.book.commit()
    expect(sorted(side.book).map(({ labels, state: is }) => `${labels['alertname']} ${is}`)).toEqual([
      'Cold resolved',
      'Silent firing',
    ])
  })
})

function talliesOf(tallies: readonly FleetTally[]) {
  return tallies.map(({ rule, counts }) =>
    counts
      .groups()
      .map((group) => ({ group, ...counts.decide(group, { walk: walk(), now: startAt }) }))
      .sort((a, b) => (a.group.key < b.group.key ? -1 : 1))
      .concat(rule.id as never),
  )
}

function sorted(book: AlertBook): Alert[] {
  return [...book.all()].sort((a, b) => (a.key < b.key ? -1 : 1))
}
