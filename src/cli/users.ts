// `fleetwarden users list/show`, of the running service, which asks the partner: so roles, the trail and the rate
// limit are in one place.

import { z } from 'zod'
import { deviceTypeWords, isDeviceType } from '../fleet/device.ts'
import type { CliContext, ExitCode } from './context.ts'
import { type Column, type OutputFormat, printItems } from './output-format.ts'
import { plain, plainJson, tableLines } from './printed.ts'
import { connectService, type ServiceOptions } from './service-client.ts'
import {
  deviceWords,
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

function yesNo(value: boolean | null): string {
  return value === null ? '' : value ? 'yes' : 'no'
}
