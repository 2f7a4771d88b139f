// What a file of rule tests may say, after the model of `promtool test rules`: devices, users and
// walks whose fields take a series of values, one for each evaluation, and what has to alert when.

import { z } from 'zod'
import { deviceFields, deviceTypes, type FieldType } from '../fleet/device.ts'
import { energyContractFields, migrationFields, userFields } from '../fleet/user.ts'
import { walkFields } from '../fleet/walk.ts'
import { quote } from '../schema-message.ts'
import {
  FileError,
  type FileProblem,
  inOrder,
  parseYaml,
  validateYaml,
  type YamlFile,
  type YamlPath,
} from '../yaml-file.ts'
import { durationField } from './rule-schema.ts'
import {
  type FieldSeries,
  fieldSeries,
  listSeries,
  parseInstant,
  type Series,
  SeriesError,
  wordSeries,
} from './series.ts'

/** How reading a device went; see `reading` below. */
export type DeviceOutcome = 'ok' | 'unread' | 'missing' | 'deleted'
export type UserOutcome = 'ok' | 'unread' | 'deleted'

export interface TestUser {
  readonly id: string
  readonly fields: FieldSeries
  readonly contracts: readonly FieldSeries[] | null
  readonly reading: Series<UserOutcome>
}

export interface TestDevice {
  readonly id: string
  readonly type: (typeof deviceTypes)[number]
  readonly manufacturer: string
  readonly model: string
  readonly user: TestUser
  readonly fields: FieldSeries
  readonly actions: Series<readonly string[] | null>
  readonly reading: Series<DeviceOutcome>
}

export interface ExpectedAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly state: 'pending' | 'firing' | 'recovering' | 'resolved' | null
  readonly noData: boolean | null
}

/** What has to be at one moment, and where the file says so. */
export interface Expectation {
  readonly line: number
  readonly column: number
  readonly evalTimeMs: number
  readonly alertname: string
  readonly alerts: readonly ExpectedAlert[]
}

export interface RuleTest {
  readonly name: string
  readonly startAt: number
  readonly devices: readonly TestDevice[]
  /** Those that rules about users look at; devices may have further ones. */
  readonly users: readonly TestUser[]
  readonly walk: FieldSeries
  readonly expectations: readonly Expectation[]
}

export interface RuleTestFile {
  readonly file: string
  /** Paths or globs, relative to the file, and where each stands. */
  readonly ruleFiles: readonly { readonly pattern: string; readonly line: number; readonly column: number }[]
  readonly intervalMs: number
  readonly tests: readonly RuleTest[]
}

// --- shape

const constantOrSeries = z.union([z.string(), z.number(), z.boolean(), z.null()])

function seriesOf(fields: Readonly<Record<string, FieldType>>) {
  const entries = Object.entries(fields).map(([name, type]) => {
    const examples: Record<FieldType, string> = {
      bool: 'true, false, or a series such as truex5 false',
      double: 'a number, or a series such as 20+5x3',
      string: 'a text, or a series such as ok errorx3',
      timestamp: 'an instant, now, now-3h, or a series of these',
    }
    return [name, constantOrSeries.optional().describe(`${type}: ${examples[type]}; null or _ is no value`)]
  })
  return z.strictObject(Object.fromEntries(entries) as Record<string, z.ZodOptional<typeof constantOrSeries>>)
}

const UserShape = z.strictObject({
  id: z.string().min(1).optional(),
  fields: seriesOf({ ...userFields, ...migrationFields, external_user_id_count: 'double' })
    .optional()
    .describe('Fields that are not given have no value.'),
  energy_contracts: z.array(seriesOf(energyContractFields)).nullable().optional(),
  reading: z
    .string()
    .optional()
    .describe(
      'A series of ok, unread (calls for its devices and contracts failed) and deleted; ok if left out.',
    ),
})

const DeviceShape = z.strictObject({
  id: z.string().min(1).optional(),
  type: z.enum(deviceTypes),
  manufacturer: z.string().min(1).default('unknown'),
  model: z.string().min(1).default('unknown'),
  count: z
    .int()
    .min(1)
    .max(10_000)
    .default(1)
    .describe('So many devices like this one; their ids get -1, -2, …'),
  user: z
    .union([z.string(), UserShape])
    .optional()
    .describe('Its user, or the id of one in `users`. Left out: a user that no rule about users looks at.'),
  fields: seriesOf(deviceFields).optional().describe('Fields that are not given have no value.'),
  actions: z
    .union([z.string(), z.array(z.string()), z.null()])
    .optional()
    .describe(
      'Codes of the pending actions: a list, or a series of [] (none) and codes joined by +, such as "[]x5 reauthenticate+other".',
    ),
  reading: z
    .string()
    .optional()
    .describe(
      'A series of ok, unread (the call failed), missing (it is in no list) and deleted; ok if left out.',
    ),
})

const texts = z.record(z.string(), z.string())

const AlertShape = z.strictObject({
  exp_labels: texts
    .default({})
    .describe(
      'All labels that the rule gives; those that say which device, user or group it is may be left out.',
    ),
  exp_annotations: texts.default({}).describe('Those of the annotations that are to be compared.'),
  exp_state: z
    .enum(['pending', 'firing', 'recovering', 'resolved'])
    .optional()
    .describe('Left out: firing or recovering, both of which people are told as firing.'),
  exp_no_data: z.boolean().optional().describe('Whether the last evaluation was unknown.'),
})

const TestShape = z.strictObject({
  name: z.string().min(1),
  start_timestamp: z.string().default('2026-01-01T00:00:00Z'),
  devices: z.array(DeviceShape).default([]),
  users: z.array(UserShape).default([]),
  walks: seriesOf(walkFields)
    .optional()
    .describe('How the walks went; fields that are not given follow from what was read in the test.'),
  alert_rule_test: z
    .array(
      z.strictObject({
        eval_time: durationField,
        alertname: z.string(),
        exp_alerts: z.array(AlertShape).default([]).describe('Empty: it must not fire.'),
      }),
    )
    .min(1),
})

const FileShape = z.strictObject({
  rule_files: z.array(z.string().min(1)).min(1).describe('Paths or globs, relative to this file.'),
  evaluation_interval: durationField.default(60_000).describe('The time between two evaluations; 1m.'),
  tests: z.array(TestShape).min(1),
})

/** JSON Schema of files of rule tests, for editors; see ruleFileJsonSchema. */
export function ruleTestJsonSchema(): Readonly<Record<string, unknown>> {
  return { title: 'Fleetwarden rule tests', ...z.toJSONSchema(FileShape, { io: 'input', target: 'draft-7' }) }
}

// --- parsing

/** Throws FileError with all problems of the file. */
export function parseRuleTests(file: string, text: string): RuleTestFile {
  const yaml = parseYaml(file, text)
  const { value, problems } = validateYaml(yaml, FileShape)
  if (value === undefined) throw new FileError(problems)
  const reader = createReader(yaml)
  if (value.evaluation_interval === 0) reader.problem(['evaluation_interval'], 'has to be longer than 0')
  const tests = value.tests.map((test, index) => reader.test(test, ['tests', index]))
  if (reader.problems.length > 0) throw new FileError(inOrder(reader.problems))
  const ruleFiles = value.rule_files.map((pattern, index) => ({
    pattern,
    ...yaml.position(['rule_files', index]),
  }))
  return { file, ruleFiles, intervalMs: value.evaluation_interval, tests }
}

const userOutcomes = ['ok', 'unread', 'deleted'] as const
const deviceOutcomes = ['ok', 'unread', 'missing', 'deleted'] as const

function createReader(yaml: YamlFile) {
  const problems: FileProblem[] = []

  function problem(path: YamlPath, message: string, offset?: number): void {
    const position = yaml.position(path, offset === undefined ? {} : { offset })
    problems.push({ file: yaml.file, ...position, message })
  }

  function series<V>(path: YamlPath, read: () => Series<V>, otherwise: Series<V>): Series<V> {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof SeriesError)) throw error
      problem(path, error.message, error.offset)
      return otherwise
    }
  }

  function fields(
    values: Readonly<Record<string, string | number | boolean | null | undefined>> | undefined,
    types: Readonly<Record<string, FieldType>>,
    path: YamlPath,
  ): FieldSeries {
    const read: Record<string, FieldSeries[string]> = {}
    for (const [name, value] of Object.entries(values ?? {})) {
      const type = types[name]
      if (value === undefined || type === undefined) continue
      read[name] = series([...path, name], () => fieldSeries(value, type), { at: () => null })
    }
    return read
  }

  function outcomes<Outcome extends string>(
    text: string | undefined,
    known: readonly [Outcome, ...Outcome[]],
    path: YamlPath,
  ): Series<Outcome> {
    const ok = { at: () => known[0] }
    return text === undefined ? ok : series([...path, 'reading'], () => wordSeries(text, known), ok)
  }

  function user(shape: z.output<typeof UserShape>, path: YamlPath, defaultId: string): TestUser {
    const types = { ...userFields, ...migrationFields, external_user_id_count: 'double' } as const
    const contracts = shape.energy_contracts?.map((contract, index) =>
      fields(contract, energyContractFields, [...path, 'energy_contracts', index]),
    )
    return {
      id: shape.id ?? defaultId,
      fields: fields(shape.fields, types, [...path, 'fields']),
      contracts: contracts ?? null,
      reading: outcomes(shape.reading, userOutcomes, path),
    }
  }

  function test(shape: z.output<typeof TestShape>, path: YamlPath): RuleTest {
    const startAt = parseInstant(shape.start_timestamp)
    if (startAt === undefined) {
      problem(
        [...path, 'start_timestamp'],
        `expected an instant such as 2026-01-31T08:00:00Z, got ${quote(shape.start_timestamp)}`,
      )
    }
    const users = shape.users.map((entry, index) =>
      user(entry, [...path, 'users', index], `user-${index + 1}`),
    )
    const ids = new Set(users.map(({ id }) => id))
    if (ids.size < users.length) problem([...path, 'users'], 'two users have the same id')

    function ownerOf(device: z.output<typeof DeviceShape>, devicePath: YamlPath, number: number): TestUser {
      const { user: owner } = device
      const defaultId = `user-of-device-${number}`
      if (owner === undefined) return user({}, devicePath, defaultId)
      if (typeof owner === 'string') {
        const known = users.find(({ id }) => id === owner)
        if (known !== undefined) return known
        problem([...devicePath, 'user'], `there is no user with the id ${quote(owner)} in users`)
        return user({}, devicePath, defaultId)
      }
      const inline = user(owner, [...devicePath, 'user'], defaultId)
      if (ids.has(inline.id)) {
        problem(
          [...devicePath, 'user'],
          `there is a user ${quote(inline.id)} already: write user: ${inline.id}`,
        )
      }
      ids.add(inline.id)
      users.push(inline)
      return inline
    }

    const devices = shape.devices.flatMap((device, index): TestDevice[] => {
      const devicePath = [...path, 'devices', index]
      const owner = ownerOf(device, devicePath, index + 1)
      const id = device.id ?? `device-${index + 1}`
      const one: TestDevice = {
        id,
        type: device.type,
        manufacturer: device.manufacturer,
        model: device.model,
        user: owner,
        fields: fields(device.fields, deviceFields, [...devicePath, 'fields']),
        actions: series([...devicePath, 'actions'], () => listSeries(device.actions), { at: () => null }),
        reading: outcomes(device.reading, deviceOutcomes, devicePath),
      }
      if (device.count === 1) return [one]
      return Array.from({ length: device.count }, (_, copy) => ({ ...one, id: `${id}-${copy + 1}` }))
    })
    if (new Set(devices.map(({ id }) => id)).size < devices.length) {
      problem([...path, 'devices'], 'two devices have the same id')
    }

    const expectations = shape.alert_rule_test.map(
      (expected, index): Expectation => ({
        ...yaml.position([...path, 'alert_rule_test', index]),
        evalTimeMs: expected.eval_time,
        alertname: expected.alertname,
        alerts: expected.exp_alerts.map((alert) => ({
          labels: alert.exp_labels,
          annotations: alert.exp_annotations,
          state: alert.exp_state ?? null,
          noData: alert.exp_no_data ?? null,
        })),
      }),
    )
    const walk = fields(shape.walks, walkFields, [...path, 'walks'])
    return { name: shape.name, startAt: startAt ?? 0, devices, users, walk, expectations }
  }

  return { problems, problem, test }
}
