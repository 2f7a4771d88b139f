// `fleetwarden users list/show/create/update/archive`, of the running service, which asks the partner: so roles,
// the trail and the rate limit are in one place. What changes something shows what, and asks.

import { z } from 'zod'
import { changesOf, type SeenFields } from '../backoffice/user-change.ts'
import {
  checkNewUser,
  checkUserInput,
  fieldsOfTexts,
  invitationProblem,
  type UserField,
} from '../backoffice/user-input.ts'
import { deviceTypeWords, isDeviceType } from '../fleet/device.ts'
import type { CliContext, ExitCode } from './context.ts'
import { type Column, type OutputFormat, printItems } from './output-format.ts'
import { plain, plainJson, tableLines } from './printed.ts'
import { connectService, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'
import {
  changesAnswer,
  findUser,
  fullName,
  type ListedAnswer,
  listedAnswer,
  type ReferenceOptions,
  type UserAnswer,
  userAnswer,
  userPath,
} from './user-answers.ts'

export interface ListUsersOptions extends ServiceOptions {
  readonly role: readonly string[]
  readonly text?: string
  readonly country?: string
  readonly deviceType?: string
  readonly devices?: string
  readonly withoutExternalId: boolean
  readonly inTrouble: boolean
  readonly deleted: boolean
  readonly format: OutputFormat
}

/** 0, also when nobody is found. */
export async function listUsers(options: ListUsersOptions, context: CliContext): Promise<ExitCode> {
  const service = await connectService(options, context)
  const parameters: [string, string][] = options.role.map((role) => ['role', role])
  for (const [name, value] of [
    ['text', options.text],
    ['country', options.country],
    ['device_type', options.deviceType],
    ['devices', options.devices],
  ] as const) {
    if (value !== undefined) parameters.push([name, value])
  }
  if (options.withoutExternalId) parameters.push(['external_id', 'without'])
  if (options.inTrouble) parameters.push(['trouble', 'true'])
  if (options.deleted) parameters.push(['deleted', 'true'])
  const users = service.items('/api/v1/users', parameters, listedAnswer)
  const { format } = options
  const columns = format === 'csv' ? csvColumns : tableColumns
  const count = await printItems(users, { format, columns }, context)
  if (format === 'table')
    context.print(`${count === 0 ? '' : '\n'}${count} ${count === 1 ? 'user' : 'users'}`)
  return 0
}

const tableColumns: readonly Column<ListedAnswer>[] = [
  { name: 'external id', cell: ({ external_user_id }) => external_user_id },
  { name: 'name', cell: fullName },
  { name: 'e-mail', cell: ({ email }) => email },
  {
    name: 'place',
    cell: ({ country, zip_code, town }) => [country, zip_code, town].filter(Boolean).join(' '),
  },
  { name: 'role', cell: ({ role, deleted_at }) => (deleted_at === null ? role : `${role}, deleted`) },
  { name: 'devices', cell: devicesOf },
  { name: 'alerts', cell: ({ alerts }) => alerts },
  { name: 'id', cell: ({ id }) => id },
]

/** The names that reconcile and migrate know, so that what is listed can be edited and given back. */
const csvColumns: readonly Column<ListedAnswer>[] = (
  [
    'id',
    'external_user_id',
    'role',
    'email',
    'first_name',
    'last_name',
    'street_and_number',
    'street_add_info',
    'zip_code',
    'town',
    'country',
    'latitude',
    'longitude',
    'is_onboarded',
    'last_login',
    'joined_at',
    'num_heat_pumps',
    'num_electric_vehicles',
    'num_inverters',
    'num_wallboxes',
    'deleted_at',
    'alerts',
  ] as const
).map((name) => ({ name, cell: (user) => user[name] }))

const countedTypes = {
  num_heat_pumps: 'heat_pump',
  num_electric_vehicles: 'electric_vehicle',
  num_inverters: 'inverter',
  num_wallboxes: 'wallbox',
} as const

function devicesOf(user: UserAnswer): string {
  const counted = Object.entries(countedTypes) as [
    keyof typeof countedTypes,
    (typeof countedTypes)[keyof typeof countedTypes],
  ][]
  if (counted.every(([field]) => user[field] === null)) return 'not told'
  const parts = counted.flatMap(([field, type]) => {
    const count = user[field]
    return count === null || count === 0 ? [] : [`${count} ${deviceTypeWords[type][count === 1 ? 0 : 1]}`]
  })
  return parts.length === 0 ? 'none' : parts.join(', ')
}

// ---- show

export interface ShowUserOptions extends ServiceOptions, ReferenceOptions {
  readonly ticket: boolean
  readonly json: boolean
}

const deviceAnswer = z.object({
  id: z.string(),
  type: z.string(),
  manufacturer: z.string(),
  model: z.string(),
  health: z.string(),
  is_authenticated: z.boolean().nullable(),
  is_smart_optimization_active: z.boolean().nullable(),
  lifecycle_error: z.string().nullable(),
  pending: z.array(z.string()).nullable(),
  current_state_last_updated_at: z.string().nullable(),
})
const openAlertAnswer = z.object({
  fingerprint: z.string(),
  alertname: z.string(),
  severity: z.string(),
  since: z.string(),
  summary: z.string(),
  runbook_url: z.string().nullable(),
  device_id: z.string().nullable(),
  link: z.string().nullable(),
})
const storyAnswer = z.object({
  user: userAnswer,
  devices: z.array(deviceAnswer.loose()),
  unread: z.array(z.object({ device_type: z.string(), reason: z.string() })),
  alerts: z.array(openAlertAnswer.loose()),
  contracts: z
    .array(
      z
        .object({
          energy_contract_type: z.string().nullable(),
          supplier: z.string().nullable(),
          prices_until: z.string().nullable(),
        })
        .loose(),
    )
    .nullable(),
})
type Story = z.output<typeof storyAnswer>

/** 0 shown; rejects with ServiceError when there is no such user. */
export async function showUser(
  reference: string,
  options: ShowUserOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  const path = userPath(reference, options)
  if (options.ticket) {
    const ticket = await service.text(`${path}/ticket`)
    for (const line of ticket.trimEnd().split('\n')) context.print(plain(line))
    return 0
  }
  const story = await service.get(path, [], storyAnswer)
  if (options.json) context.print(plainJson(story))
  else for (const line of storyLines(story)) context.print(plain(line).trimEnd())
  return 0
}

function storyLines({ user, devices, unread, alerts, contracts }: Story): string[] {
  const lines = [
    ...tableLines(
      userRows(user)
        .filter(([, value]) => value !== '')
        .map(([name, value]) => [name, value]),
    ),
    '',
  ]
  if (devices.length === 0 && unread.length === 0) lines.push('no devices')
  else {
    lines.push(
      ...tableLines([
        ['device', 'health', 'optimised', 'pending', 'state of', 'id'],
        ...devices.map((device) => [
          deviceWords(device),
          `${device.health.replaceAll('_', ' ')}${device.lifecycle_error === null ? '' : ` (${device.lifecycle_error})`}`,
          yesNo(device.is_smart_optimization_active),
          device.pending?.join(', ') ?? '',
          device.current_state_last_updated_at ?? '',
          device.id,
        ]),
      ]),
    )
  }
  for (const { device_type: type, reason } of unread) {
    lines.push(`${isDeviceType(type) ? deviceTypeWords[type][1] : type} could not be read: ${reason}`)
  }
  lines.push('', ...alertLines(alerts), '', ...contractLines(contracts))
  return lines
}

function userRows(user: UserAnswer): [string, string][] {
  return [
    ['id', user.id],
    ['external id', user.external_user_id ?? ''],
    ['role', user.deleted_at === null ? (user.role ?? '') : `${user.role}, deleted ${user.deleted_at}`],
    ['name', fullName(user)],
    ['e-mail', user.email ?? ''],
    ['address', [user.street_and_number, user.street_add_info].filter(Boolean).join(', ')],
    ['place', [user.zip_code, user.town, user.country].filter(Boolean).join(' ')],
    [
      'location',
      user.latitude === null || user.longitude === null ? '' : `${user.latitude}, ${user.longitude}`,
    ],
    ['onboarded', yesNo(user.is_onboarded)],
    ['joined', user.joined_at ?? ''],
    ['last login', user.last_login ?? ''],
  ]
}

function alertLines(alerts: Story['alerts']): string[] {
  if (alerts.length === 0) return ['no alert fires']
  return alerts.flatMap(
    ({ severity, alertname, since, summary, device_id, fingerprint, link, runbook_url }) => [
      `${severity} ${alertname} since ${since}${device_id === null ? '' : `, device ${device_id}`} (${fingerprint})`,
      ...(summary === '' ? [] : [`  ${summary}`]),
      ...(link === null ? [] : [`  resolve: ${link}`]),
      ...(runbook_url === null ? [] : [`  runbook: ${runbook_url}`]),
    ],
  )
}

function contractLines(contracts: Story['contracts']): string[] {
  if (contracts === null) return ['energy contracts could not be read']
  if (contracts.length === 0) return ['no energy contract']
  return contracts.map(
    ({ energy_contract_type: type, supplier, prices_until: until }) =>
      `energy contract: ${type ?? 'of an untold type'}${supplier === null ? '' : `, ${supplier}`}, ${until === null ? 'without prices' : `prices until ${until}`}`,
  )
}

// ---- create, update, archive

export type FieldOptions = Readonly<Partial<Record<keyof typeof fieldByOption, string>>>

/** The options of the command line and the fields that they set. */
export const fieldByOption = {
  role: 'role',
  email: 'email',
  externalUserId: 'external_user_id',
  firstName: 'first_name',
  lastName: 'last_name',
  street: 'street_and_number',
  addressExtra: 'street_add_info',
  zip: 'zip_code',
  town: 'town',
  country: 'country',
  latitude: 'latitude',
  longitude: 'longitude',
} as const satisfies Record<string, UserField>

function fieldsGiven(options: FieldOptions): Record<string, unknown> {
  const texts: Partial<Record<UserField, string>> = {}
  for (const [option, field] of Object.entries(fieldByOption)) {
    const value = options[option as keyof FieldOptions]
    if (value !== undefined) texts[field] = value
  }
  return fieldsOfTexts(texts)
}

export interface CreateUserOptions extends ServiceOptions, FieldOptions {
  readonly invite: boolean
}

/** 0 created. Rejects with UsageError for what cannot be, with ServiceError when somebody has it already. */
export async function createUser(options: CreateUserOptions, context: CliContext): Promise<ExitCode> {
  const checked = checkNewUser({ role: 'user', ...fieldsGiven(options) })
  if (!checked.ok) throw new UsageError(checked.problems.join('\n'))
  refuse(invitationProblem(checked.fields, options.invite))
  const service = await connectService(options, context)
  const body = { user: checked.fields, invite: options.invite }
  const { user, isRecovered } = await service.change(
    { method: 'POST', path: '/api/v1/users', body },
    z.object({ user: userAnswer, isRecovered: z.boolean() }),
  )
  if (isRecovered)
    context.printError("the partner's answer was lost; the user was looked up and is there, once")
  context.print(plain(user.id))
  return 0
}

export interface UpdateUserOptions extends ServiceOptions, FieldOptions, ReferenceOptions {
  readonly invite: boolean
  readonly yes: boolean
}

/** 0 changed, or nothing to change; 1 not wanted. */
export async function updateUser(
  reference: string,
  options: UpdateUserOptions,
  context: CliContext,
): Promise<ExitCode> {
  const checked = checkUserInput(fieldsGiven(options))
  if (!checked.ok) throw new UsageError(checked.problems.join('\n'))
  if (Object.keys(checked.fields).length === 0)
    throw new UsageError('say what is to be changed: --town Wien, say')
  refuse(invitationProblem(checked.fields, options.invite))
  const service = await connectService(options, context)
  const user = await findUser(service, reference, options)
  const changes = changesOf(asAccount(user), checked.fields)
  if (changes.length === 0) {
    context.printError('nothing to change: it is like that already')
    return 0
  }
  context.printError(
    plain(`user ${user.id}${user.external_user_id === null ? '' : ` (${user.external_user_id})`}`),
  )
  printChanges(changes, context)
  if (!(await isWanted('Change this?', options, context))) return 1
  const seen: SeenFields = Object.fromEntries(changes.map(({ field, before }) => [field, before]))
  const body = { changes: checked.fields, seen, invite: options.invite }
  const path = `/api/v1/users/${encodeURIComponent(user.id)}`
  await service.change({ method: 'PATCH', path, body }, changesAnswer)
  context.print(plain(`${user.id}: changed ${changes.map(({ field }) => field).join(', ')}`))
  return 0
}

export interface ArchiveUserOptions extends ServiceOptions, ReferenceOptions {
  readonly releaseExternalId: boolean
  readonly yes: boolean
}

const planAnswer = z.object({
  user: userAnswer,
  steered: z.array(z.object({ id: z.string(), type: z.string(), manufacturer: z.string() })),
  consequences: z.array(z.string()),
})

/** 0 archived, also when it was already; 1 not wanted. */
export async function archiveUser(
  reference: string,
  options: ArchiveUserOptions,
  context: CliContext,
): Promise<ExitCode> {
  const service = await connectService(options, context)
  const { id } = await findUser(service, reference, options)
  const path = `/api/v1/users/${encodeURIComponent(id)}/archive`
  const { user, steered, consequences } = await service.get(path, [], planAnswer)
  const releases = options.releaseExternalId && user.external_user_id !== null
  if (consequences.length === 0 && !releases) {
    context.printError('nothing to do: this user is archived already')
    return 0
  }
  context.printError(
    plain(`user ${user.id} (${[user.external_user_id, fullName(user)].filter(Boolean).join(', ')})`),
  )
  for (const device of steered) context.printError(plain(`  ${deviceWords(device)} ${device.id}`))
  for (const sentence of consequences) context.printError(plain(`- ${sentence}`))
  if (releases) context.printError(plain(`- the external id ${user.external_user_id} becomes free`))
  if (!(await isWanted('Archive this user?', options, context))) return 1
  const seen: SeenFields = { role: user.role, external_user_id: user.external_user_id }
  const body = { release_external_id: options.releaseExternalId, seen }
  await service.change({ method: 'POST', path, body }, changesAnswer)
  context.print(plain(`${user.id}: archived`))
  return 0
}

export function printChanges(
  changes: readonly { readonly field: string; readonly before: unknown; readonly after: unknown }[],
  { printError }: Pick<CliContext, 'printError'>,
): void {
  const rows = changes.map(({ field, before, after }) => [`  ${field}:`, shown(before), '→', shown(after)])
  for (const line of tableLines(rows)) printError(line)
}

/** @throws UsageError when nobody is there to be asked. */
export async function isWanted(
  question: string,
  { yes }: { readonly yes: boolean },
  { ask, printError }: Pick<CliContext, 'ask' | 'printError'>,
): Promise<boolean> {
  if (yes) return true
  if (ask === undefined) throw new UsageError('nobody is there to be asked: say --yes')
  if (/^\s*y(?:es)?\s*$/i.test(await ask(`${question} [y/N] `))) return true
  printError('nothing was changed')
  return false
}

function shown(value: unknown): string {
  return value === null ? '(nothing)' : JSON.stringify(value)
}

/** What decides about changes is the same here and there; instants play no part in it. */
function asAccount(user: UserAnswer) {
  return { ...user, location_last_updated: null, last_login: null, joined_at: null, deleted_at: null }
}

function refuse(problem: string | null): void {
  if (problem !== null) throw new UsageError(problem)
}

function yesNo(value: boolean | null): string {
  return value === null ? '' : value ? 'yes' : 'no'
}

function deviceWords({
  type,
  manufacturer,
}: {
  readonly type: string
  readonly manufacturer: string
}): string {
  const word = isDeviceType(type) ? deviceTypeWords[type][0] : type
  return [manufacturer === 'unknown' ? '' : manufacturer, word].filter((part) => part !== '').join(' ')
}
