// Runs rule tests: marches through the evaluations of a test, hands its devices to the same
// evaluator and alert book that the service uses, and compares the alerts with what was expected.
// No clock, no files, no messages: time is what the test says.

import { type Alert, isFiring } from '../alerts/alert.ts'
import { type AlertBook, openAlertBook } from '../alerts/alert-book.ts'
import { createEvaluator } from '../alerts/evaluation.ts'
import { type Device, deviceFields, type FieldType, type RecordOf } from '../fleet/device.ts'
import type { UserReading } from '../fleet/reading.ts'
import { energyContractFields, migrationFields, type User, userFields } from '../fleet/user.ts'
import { type Walk, walkFields } from '../fleet/walk.ts'
import { nearestName } from '../nearest-name.ts'
import { quote } from '../schema-message.ts'
import type { FileProblem } from '../yaml-file.ts'
import type { Decision, RuleBase, RuleSet } from './rule.ts'
import type {
  Expectation,
  ExpectedAlert,
  RuleTest,
  RuleTestFile,
  TestDevice,
  TestUser,
} from './rule-test-file.ts'
import type { FieldSeries } from './series.ts'

/** An expectation that was not met; line and column are those of its entry in the file. */
export interface RuleTestFailure {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly test: string
  readonly alertname: string
  readonly evalTimeMs: number
  /** Alerts, one a line, as `{label="value"} state`. */
  readonly expected: readonly string[]
  readonly got: readonly string[]
  /** Why there may be less than expected: conditions that were unknown, and by which field. */
  readonly unknown: readonly string[]
}

/** Expectations about alerts that no rule raises. */
export function unknownAlertNames({ file, tests }: RuleTestFile, rules: RuleSet): readonly FileProblem[] {
  const names = [...allRules(rules).map((rule) => rule.alert), ...builtInAlerts]
  return tests.flatMap(({ expectations }) =>
    expectations
      .filter(({ alertname }) => !names.includes(alertname))
      .map(({ alertname, line, column }) => {
        const nearest = nearestName(alertname, names)
        const way = nearest === undefined ? '' : `: did you mean ${quote(nearest)}?`
        return { file, line, column, message: `no rule raises ${quote(alertname)}${way}` }
      }),
  )
}

const builtInAlerts = ['DeviceNoData', 'AlertLimitReached']

/** Empty: all expectations of all tests are met. */
export async function runRuleTests(
  { file, intervalMs, tests }: RuleTestFile,
  rules: RuleSet,
): Promise<readonly RuleTestFailure[]> {
  const failures: RuleTestFailure[] = []
  for (const test of tests) failures.push(...(await runTest(test, { file, intervalMs, rules })))
  return failures
}

async function runTest(
  test: RuleTest,
  { file, intervalMs, rules }: { file: string; intervalMs: number; rules: RuleSet },
): Promise<readonly RuleTestFailure[]> {
  const failures: RuleTestFailure[] = []
  let episodes = 0
  const store = { loadAlerts: async () => [], saveAlerts: async () => undefined }
  const book = await openAlertBook(store, { downMs: 0 })
  const evaluator = createEvaluator({
    rules,
    book,
    newEpisode: () => String(++episodes),
    onUnknown: () => undefined,
  })
  // Owners that the test does not describe are there for their devices alone.
  const described = new Set(test.users.map(({ id }) => id))
  const lastEvaluation = Math.max(...test.expectations.map(({ evalTimeMs }) => evalTimeMs))

  for (let index = 0; index * intervalMs <= lastEvaluation; index++) {
    const now = test.startAt + index * intervalMs
    const { walk, readings, goneUsers } = walkAt(test, index, now)
    const tallies = evaluator.beginWalk()
    if (walk.outcome === 'failed') evaluator.nothingRead(now)
    else {
      for (const reading of readings) evaluator.user(reading, tallies)
      for (const id of goneUsers) evaluator.goneUser(id, now)
      evaluator.fleet(walk, now, tallies)
    }
    evaluator.service(walk, now)
    await book.commit()

    for (const expectation of test.expectations) {
      if (Math.floor(expectation.evalTimeMs / intervalMs) !== index) continue
      const difference = compare(expectation, alertsOf(book, expectation, described), rules)
      if (difference === undefined) continue
      const { line, column, alertname, evalTimeMs } = expectation
      const unknown = unknownConditions(alertname, { rules, walk, readings, now })
      failures.push({ file, line, column, test: test.name, alertname, evalTimeMs, ...difference, unknown })
    }
  }
  return failures
}

// --- what is read at one evaluation

function walkAt(
  { users, devices, walk: walkSeries }: RuleTest,
  index: number,
  now: number,
): { walk: Walk; readings: readonly UserReading[]; goneUsers: readonly string[] } {
  const devicesByUser = new Map<TestUser, TestDevice[]>(users.map((user) => [user, []]))
  for (const device of devices) {
    const owned = devicesByUser.get(device.user)
    if (owned === undefined) devicesByUser.set(device.user, [device])
    else owned.push(device)
  }
  const present = [...devicesByUser.keys()].filter((user) => user.reading.at(index, now) !== 'deleted')
  const records = present.map((user) => userAt(user, index, now))
  const readings = present.map((user, at) =>
    readingAt(withIdCount(records[at] ?? userAt(user, index, now), records), {
      devices: devicesByUser.get(user) ?? [],
      isUnread: user.reading.at(index, now) === 'unread',
      index,
      now,
    }),
  )
  const unreadUsers = present.filter((user) => user.reading.at(index, now) === 'unread').length
  const unreadDevices = readings.reduce((sum, { unread }) => sum + unread.length, 0)
  const unreadRatio = present.length === 0 ? 0 : unreadUsers / present.length
  const derived: Walk = {
    outcome: unreadUsers + unreadDevices > 0 ? 'partial' : 'complete',
    api_available: unreadRatio <= 0.5,
    users: present.length,
    users_unread: unreadUsers,
    devices: devices.length,
    devices_unread: unreadDevices,
    unread_ratio: unreadRatio,
    failed_in_a_row: 0,
    started_at: now,
    ended_at: now,
    last_complete_at: now,
  }
  return {
    walk: { ...derived, ...recordAt(walkFields, walkSeries, { index, now, onlyGiven: true }) },
    readings,
    goneUsers: [...devicesByUser.keys()].filter((user) => !present.includes(user)).map(({ id }) => id),
  }
}

function userAt({ id, fields, contracts }: TestUser, index: number, now: number): User {
  const count = fields['external_user_id_count']?.at(index, now)
  return {
    id,
    ...recordAt(userFields, fields, { index, now }),
    ...recordAt(migrationFields, fields, { index, now }),
    external_user_id_count: typeof count === 'number' ? count : null,
    energy_contracts:
      contracts?.map((contract) => recordAt(energyContractFields, contract, { index, now })) ?? null,
  }
}

/** Unless the test says how many users have the same external id, they are counted, as in a walk. */
function withIdCount(user: User, all: readonly User[]): User {
  const { external_user_id: id } = user
  if (user.external_user_id_count !== null || id === null) return user
  return { ...user, external_user_id_count: all.filter((other) => other.external_user_id === id).length }
}

function readingAt(
  user: User,
  {
    devices,
    isUnread,
    index,
    now,
  }: { devices: readonly TestDevice[]; isUnread: boolean; index: number; now: number },
): UserReading {
  const outcomes = devices.map(
    (device) => [device, isUnread ? 'unread' : device.reading.at(index, now)] as const,
  )
  return {
    user: isUnread ? { ...user, energy_contracts: null } : user,
    observedAt: now,
    devices: outcomes
      .filter(([, outcome]) => outcome === 'ok')
      .map(([device]) => ({ device: deviceAt(device, index, now), observedAt: now })),
    unread: outcomes
      .filter(([, outcome]) => outcome === 'unread')
      .map(([{ id, type }]) => ({ deviceType: type, deviceId: id, reason: 'server_error' })),
    absent: outcomes.flatMap(([{ id, type }, outcome]) =>
      outcome === 'missing' || outcome === 'deleted'
        ? [{ deviceType: type, deviceId: id, state: outcome }]
        : [],
    ),
    readAt: now,
    contractsUnread: isUnread ? 'server_error' : null,
  }
}

function deviceAt(
  { id, type, manufacturer, model, fields, actions }: TestDevice,
  index: number,
  now: number,
): Device {
  return {
    id,
    type,
    manufacturer,
    model,
    ...recordAt(deviceFields, fields, { index, now }),
    actions: actions.at(index, now)?.map((code) => ({ code, link: null })) ?? null,
  }
}

/** The fields of a table at one evaluation; those without a series are null, or left out. */
function recordAt<Fields extends Readonly<Record<string, FieldType>>>(
  table: Fields,
  series: FieldSeries,
  { index, now, onlyGiven = false }: { index: number; now: number; onlyGiven?: boolean },
): RecordOf<Fields> {
  const names = Object.keys(table).filter((name) => !onlyGiven || name in series)
  // The series were read with the types of this very table.
  return Object.fromEntries(
    names.map((name) => [name, series[name]?.at(index, now) ?? null]),
  ) as RecordOf<Fields>
}

// --- expected and actual alerts

/** Pending and resolved ones only where the test speaks of such; of one that began again, what it is now. */
function alertsOf(
  book: AlertBook,
  { alertname, alerts }: Expectation,
  described: ReadonlySet<string>,
): readonly Alert[] {
  return [...book.all()].filter((alert) => {
    if (alert.labels['alertname'] !== alertname) return false
    if (alert.subject.kind === 'user' && !described.has(alert.subject.userId)) return false
    // Nobody is told anything here, so the end of what is pending again is kept for ever.
    if (book.byFingerprint(alert.fingerprint) !== alert) return false
    return isFiring(alert) || alerts.some(({ state }) => state === alert.state)
  })
}

function compare(
  { alertname, alerts }: Expectation,
  actual: readonly Alert[],
  rules: RuleSet,
): Pick<RuleTestFailure, 'expected' | 'got'> | undefined {
  const implied = impliedLabels(alertname, rules)
  const left = new Set(actual)
  // Who says most is served first: `{device_id: a}` before `{}`.
  const byDetail = alerts.toSorted((a, b) => detailOf(b) - detailOf(a))
  const unmet = byDetail.filter((expected) => {
    const match = [...left].find((alert) => isMet(expected, alert, implied))
    if (match !== undefined) left.delete(match)
    return match === undefined
  })
  if (unmet.length === 0 && left.size === 0) return undefined
  const annotationNames = [...new Set(unmet.flatMap(({ annotations }) => Object.keys(annotations)))]
  const says = { noData: unmet.some(({ noData }) => noData !== null), annotationNames }
  return {
    expected: unmet.map((expected) => expectedText(alertname, expected)),
    got: [...left].map((alert) => alertText(alert, says)),
  }
}

function detailOf({ labels, annotations, state }: ExpectedAlert): number {
  return Object.keys(labels).length + Object.keys(annotations).length + (state === null ? 0 : 1)
}

/** Labels that say what the alert is about: they need not be repeated in the test. */
function impliedLabels(alertname: string, rules: RuleSet): ReadonlySet<string> {
  const by = rules.fleetRules.filter((rule) => rule.alert === alertname).flatMap((rule) => rule.by)
  return new Set(['alertname', 'device_type', 'manufacturer', 'user_id', 'device_id', ...by])
}

function isMet(expected: ExpectedAlert, alert: Alert, implied: ReadonlySet<string>): boolean {
  const { labels, annotations, state, noData } = expected
  return (
    (state === null ? isFiring(alert) : alert.state === state) &&
    (noData === null || noData === (alert.noData !== null)) &&
    Object.entries(labels).every(([name, value]) => alert.labels[name] === value) &&
    Object.keys(alert.labels).every((name) => name in labels || implied.has(name)) &&
    Object.entries(annotations).every(([name, value]) => alert.annotations[name] === value)
  )
}

function expectedText(alertname: string, { labels, annotations, state, noData }: ExpectedAlert): string {
  const suffix = noData === null ? '' : noData ? ', no data' : ', with data'
  const head = `${labelsText({ alertname, ...labels })} ${state ?? 'firing'}${suffix}`
  return [head, ...Object.entries(annotations).map(annotationText)].join('\n')
}

function alertText(
  alert: Alert,
  { noData, annotationNames }: { noData: boolean; annotationNames: readonly string[] },
): string {
  const suffix = noData ? (alert.noData === null ? ', with data' : ', no data') : ''
  const annotations = annotationNames.map((name) => [name, alert.annotations[name] ?? '(none)'] as const)
  return [`${labelsText(alert.labels)} ${alert.state}${suffix}`, ...annotations.map(annotationText)].join(
    '\n',
  )
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.keys(labels)
    .sort()
    .map((name) => `${name}=${JSON.stringify(labels[name])}`)
  return `{${pairs.join(', ')}}`
}

function annotationText([name, text]: readonly [string, string]): string {
  return `  ${name}: ${JSON.stringify(text)}`
}

// --- why a condition says nothing

const mostReasons = 5

function unknownConditions(
  alertname: string,
  {
    rules,
    walk,
    readings,
    now,
  }: { rules: RuleSet; walk: Walk; readings: readonly UserReading[]; now: number },
): readonly string[] {
  const reasons: string[] = []
  const ask = <Scope>(who: string, rule: RuleBase & Decision<Scope>, scope: Scope) => {
    if (rule.alert !== alertname) return
    const verdict = rule.condition(scope)
    if (typeof verdict === 'boolean') return
    const steps = rule.trace?.(scope).condition ?? []
    const fields = steps.filter(({ source, text }) => text === 'unknown' && /^\w+\.\w+$/.test(source))
    const because =
      fields.length === 0 ? verdict : `${verdict}: ${fields.map(({ source }) => source).join(', ')}`
    reasons.push(`${who} is unknown (${because})`)
  }
  for (const { user, devices } of readings) {
    for (const rule of rules.userRules) ask(user.id, rule, { user, now })
    for (const { device } of devices) {
      for (const rule of rules.deviceRules) {
        if (rule.deviceTypes.includes(device.type)) ask(device.id, rule, { device, user, now })
      }
    }
  }
  for (const rule of rules.serviceRules) ask('the condition', rule, { walk, now })
  const more = reasons.length - mostReasons
  return more > 0 ? [...reasons.slice(0, mostReasons), `and ${more} more`] : reasons
}

function allRules(rules: RuleSet): readonly RuleBase[] {
  return [...rules.deviceRules, ...rules.userRules, ...rules.fleetRules, ...rules.serviceRules]
}
