// Users, for people and for other systems: what the back office does, over HTTP. Errors are {"error": "…"}.
//
//   GET    /api/v1/users                      operator   list, as it arrives from the partner
//   GET    /api/v1/users/ID                   operator   one, with devices, alerts and contracts
//   GET    /api/v1/users/ID/ticket            operator   a summary without personal data, as text
//   GET    /api/v1/users/by-external-id/ID    operator   as users/ID; also with /ticket
//   POST   /api/v1/users                      admin      create
//   PATCH  /api/v1/users/ID                   admin      change
//   GET    /api/v1/users/ID/archive           admin      what archiving would do
//   POST   /api/v1/users/ID/archive           admin      archive
//
// Personal data is for operators, who have a customer on the phone; viewers see alerts, which have none.

import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { AuditError } from '../backoffice/audit-trail.ts'
import type {
  ArchivePlan,
  BackOffice,
  ChangeOutcome,
  ListedAccount,
  UserReference,
  UserStory,
} from '../backoffice/back-office.ts'
import { countryCodes } from '../backoffice/countries.ts'
import { healthOf } from '../backoffice/device-health.ts'
import { ticketOf } from '../backoffice/ticket.ts'
import type { SeenFields } from '../backoffice/user-change.ts'
import type { UserFilter } from '../backoffice/user-filter.ts'
import { checkNewUser, checkUserInput, invitationProblem, userFieldNames } from '../backoffice/user-input.ts'
import type { Clock } from '../clock.ts'
import type { Device } from '../fleet/device.ts'
import { isDeviceType } from '../fleet/device.ts'
import { type UserAccount, userRoles } from '../fleet/user.ts'
import type { Logger } from '../logger.ts'
import { PartnerError } from '../partner/partner-error.ts'
import { type HttpEnv, tellTime } from './access.ts'
import { parametersOf } from './alert-query.ts'
import { ApiError } from './api-error.ts'
import { quote, readJson } from './json-body.ts'
import { sendJsonItems } from './json-items.ts'
import type { RouteModule } from './server.ts'

export interface UsersApiOptions {
  readonly backOffice: BackOffice
  readonly clock: Clock
  readonly logger: Logger
}

export function usersApi({ backOffice, clock, logger }: UsersApiOptions): RouteModule {
  const app = new Hono<HttpEnv>()
  app.use(tellTime(clock))
  app.onError((error, context) => answerError(error, context, logger))

  app.get('/', (context) => {
    const filter = parseFilter(context.req.url)
    const items = backOffice.list(filter, context.get('actor'))
    return sendJsonItems(context, mapped(items, listedJson), (error) =>
      logger.error({ error }, 'A list of users broke off'),
    )
  })

  app.post('/', async (context) => {
    const { user, invite } = await readJson(context, createBody)
    const checked = checkNewUser(user)
    if (!checked.ok) throw new ApiError(400, checked.problems.join('; '))
    refuseInvitation(invitationProblem(checked.fields, invite))
    const outcome = await backOffice.create(checked.fields, context.get('actor'))
    if (outcome.kind === 'created') {
      return context.json({ user: accountJson(outcome.account), isRecovered: outcome.isRecovered }, 201)
    }
    const what = outcome.by === 'email' ? 'e-mail address' : 'external id'
    const error = `user ${outcome.account.id} has this ${what} already`
    return context.json({ error, user: accountJson(outcome.account) }, 409)
  })

  const reference = (context: Context<HttpEnv>): UserReference => {
    const externalId = context.req.param('externalId')
    return externalId === undefined ? { id: userIdOf(context) } : { externalId }
  }
  const show = async (context: Context<HttpEnv>) =>
    context.json(storyJson(await storyOf(context, reference(context))))
  const ticket = async (context: Context<HttpEnv>) =>
    context.text(ticketOf(await storyOf(context, reference(context)), clock.now()))
  app.get('/by-external-id/:externalId', show)
  app.get('/by-external-id/:externalId/ticket', ticket)
  app.get('/:id', show)
  app.get('/:id/ticket', ticket)

  async function storyOf(context: Context<HttpEnv>, wanted: UserReference): Promise<UserStory> {
    const story = await backOffice.show(wanted, context.get('actor'))
    if (story === null) throw new ApiError(404, 'the partner knows no such user')
    return story
  }

  app.patch('/:id', async (context) => {
    const { changes, seen, invite } = await readJson(context, changeBody)
    const checked = checkUserInput(changes)
    if (!checked.ok) throw new ApiError(400, checked.problems.join('; '))
    if (Object.keys(checked.fields).length === 0) throw new ApiError(400, 'changes: expected at least one')
    refuseInvitation(invitationProblem(checked.fields, invite))
    const outcome = await backOffice.update(
      userIdOf(context),
      checked.fields,
      seenOf(seen),
      context.get('actor'),
    )
    return changeAnswer(context, outcome)
  })

  app.get('/:id/archive', async (context) => {
    const plan = await backOffice.planArchive(userIdOf(context), context.get('actor'))
    if (plan === null) throw new ApiError(404, 'the partner knows no such user')
    return context.json(planJson(plan))
  })

  app.post('/:id/archive', async (context) => {
    const { release_external_id: releaseExternalId, seen } = await readJson(context, archiveBody)
    const options = { releaseExternalId, seen: seenOf(seen) }
    return changeAnswer(context, await backOffice.archive(userIdOf(context), options, context.get('actor')))
  })

  return (server) => void server.route('/api/v1/users', app)
}

/** What these APIs answer to whatever is thrown. */
export function answerError(error: unknown, context: Context, logger: Logger): Response {
  if (error instanceof ApiError) return context.json({ error: error.message }, error.status)
  if (error instanceof AuditError) return context.json({ error: error.message }, 503)
  if (error instanceof PartnerError) {
    const { status, message, retryAfterSeconds } = partnerAnswer(error)
    if (retryAfterSeconds !== null) context.header('Retry-After', String(retryAfterSeconds))
    return context.json({ error: message, kind: error.kind }, status)
  }
  logger.error({ error, path: context.req.path }, 'A request failed')
  return context.json({ error: 'internal error' }, 500)
}

const pauseSeconds = 30

function partnerAnswer(error: PartnerError): {
  readonly status: 404 | 422 | 429 | 502 | 503
  readonly message: string
  readonly retryAfterSeconds: number | null
} {
  // What was sent is the asker's own, so they may read what the partner says of it.
  const said = error.detail === null ? '' : `: ${error.detail}`
  switch (error.kind) {
    case 'not_found':
      return { status: 404, message: 'the partner knows no such user', retryAfterSeconds: null }
    case 'client_error':
      return { status: 422, message: `the partner refuses this${said}`, retryAfterSeconds: null }
    case 'rate_limited':
      return { status: 429, message: 'the partner wants a pause', retryAfterSeconds: pauseSeconds }
    case 'circuit_open':
      return { status: 503, message: 'the partner is not to be reached', retryAfterSeconds: pauseSeconds }
    case 'timeout':
    case 'network':
    case 'server_error':
      return {
        status: 503,
        message: `${error.message}${error.wasSent ? '; look whether it was done before you repeat it' : ''}`,
        retryAfterSeconds: pauseSeconds,
      }
    case 'unauthorized':
    case 'bad_json':
    case 'too_large':
    case 'malformed':
      return { status: 502, message: error.message, retryAfterSeconds: null }
    default:
      return error.kind satisfies never
  }
}

function changeAnswer(context: Context, outcome: ChangeOutcome): Response {
  switch (outcome.kind) {
    case 'changed':
      return context.json({ user: accountJson(outcome.account), changes: outcome.changes })
    case 'unchanged':
      return context.json({ user: accountJson(outcome.account), changes: [] })
    case 'conflict': {
      const fields = outcome.conflicts.map(({ field }) => field).join(', ')
      const error = `somebody else has changed ${fields} meanwhile; nothing was sent`
      return context.json({ error, conflicts: outcome.conflicts, user: accountJson(outcome.account) }, 409)
    }
    case 'not_found':
      throw new ApiError(404, 'the partner knows no such user')
    default:
      return outcome satisfies never
  }
}

const createBody = z.object({ user: z.unknown(), invite: z.boolean().default(false) })
const seenBody = z.record(z.string(), z.union([z.string(), z.number(), z.null()])).default({})
const changeBody = z.object({ changes: z.unknown(), seen: seenBody, invite: z.boolean().default(false) })
const archiveBody = z.object({ release_external_id: z.boolean().default(false), seen: seenBody })

/** @throws ApiError when a name is none of a user's fields. */
function seenOf(seen: z.output<typeof seenBody>): SeenFields {
  for (const field of Object.keys(seen)) {
    if (!userFieldNames.some((name) => name === field)) {
      throw new ApiError(400, `seen: a user has no field ${quote(field)}`)
    }
  }
  return seen
}

function refuseInvitation(problem: string | null): void {
  if (problem !== null) throw new ApiError(400, problem)
}

// What stands in URLs of the partner.
const idPattern = /^(?!\.\.?$)[\w.:@+=~-]{1,128}$/

function userIdOf(context: Context): string {
  const id = context.req.param('id') ?? ''
  if (!idPattern.test(id)) throw new ApiError(404, 'the partner knows no such user')
  return id
}

/** @throws ApiError */
function parseFilter(url: string): UserFilter {
  const parameters = parametersOf(url)
  const known = ['role', 'text', 'country', 'device_type', 'devices', 'external_id', 'trouble', 'deleted']
  for (const name of parameters.keys()) {
    if (!known.includes(name))
      throw new ApiError(400, `there is no filter ${quote(name)}: ${known.join(', ')}`)
  }
  const one = (name: string) => parameters.get(name)?.at(-1) ?? null
  const oneOf = <Word extends string>(name: string, words: readonly Word[]): Word | null => {
    const value = one(name)
    if (value === null) return null
    const word = words.find((each) => each === value)
    if (word === undefined)
      throw new ApiError(400, `${name}: expected ${words.join(' or ')}, not ${quote(value)}`)
    return word
  }
  const roles = parameters.get('role') ?? []
  for (const role of roles) {
    if (!userRoles.some((each) => each === role)) {
      throw new ApiError(400, `role: expected one of ${userRoles.join(', ')}, not ${quote(role)}`)
    }
  }
  const country = one('country')?.toUpperCase() ?? null
  if (country !== null && !countryCodes.has(country)) {
    throw new ApiError(400, `country: expected a country of ISO 3166-1 such as AT, not ${quote(country)}`)
  }
  const deviceType = one('device_type')
  if (deviceType !== null && !isDeviceType(deviceType)) {
    throw new ApiError(400, `device_type: expected heat_pump, electric_vehicle, inverter or wallbox`)
  }
  return {
    roles,
    text: one('text'),
    country,
    deviceType,
    devices: oneOf('devices', ['with', 'without']),
    withoutExternalId: oneOf('external_id', ['without']) !== null,
    inTrouble: oneOf('trouble', ['true', 'false']) === 'true',
    includeDeleted: oneOf('deleted', ['true', 'false']) === 'true',
  }
}

async function* mapped<A, B>(items: AsyncIterable<A>, change: (item: A) => B): AsyncGenerator<B> {
  for await (const item of items) yield change(item)
}

/** The partner's names and spellings; instants as text. */
function accountJson(account: UserAccount) {
  return {
    ...account,
    location_last_updated: iso(account.location_last_updated),
    last_login: iso(account.last_login),
    joined_at: iso(account.joined_at),
    deleted_at: iso(account.deleted_at),
  }
}

function listedJson({ account, counts, alerts }: ListedAccount) {
  return {
    ...accountJson(account),
    num_heat_pumps: counts.heat_pump,
    num_electric_vehicles: counts.electric_vehicle,
    num_inverters: counts.inverter,
    num_wallboxes: counts.wallbox,
    alerts,
  }
}

function storyJson({ account, devices, unread, alerts, contracts }: UserStory) {
  return {
    user: accountJson(account),
    devices: devices.map(deviceJson),
    unread: unread.map(({ deviceType, reason }) => ({ device_type: deviceType, reason })),
    alerts: alerts.map(({ alert, link }) => ({
      fingerprint: alert.fingerprint,
      alertname: alert.labels['alertname'] ?? '',
      severity: alert.labels['severity'] ?? '',
      state: alert.state,
      since: new Date(alert.firedAt ?? alert.activeAt).toISOString(),
      summary: alert.annotations['summary'] ?? '',
      runbook_url: alert.annotations['runbook_url'] ?? null,
      device_id: alert.subject.kind === 'device' ? alert.subject.deviceId : null,
      link,
    })),
    contracts:
      contracts?.map((contract) => ({ ...contract, prices_until: iso(contract.prices_until) })) ?? null,
  }
}

/** Without the links of pending actions: whoever has one acts for the customer. */
function deviceJson(device: Device) {
  return {
    id: device.id,
    type: device.type,
    manufacturer: device.manufacturer,
    model: device.model,
    health: healthOf(device),
    is_authenticated: device.is_authenticated,
    is_smart_optimization_active: device.is_smart_optimization_active,
    connection_status: device.connection_status,
    monitoring_status: device.monitoring_status,
    steering_status: device.steering_status,
    lifecycle_state: device.lifecycle_state,
    lifecycle_error: device.lifecycle_error,
    action_needed: device.action_needed,
    pending: device.actions?.map(({ code }) => code) ?? null,
    current_state_last_updated_at: iso(device.current_state_last_updated_at),
  }
}

function planJson({ account, steered, consequences }: ArchivePlan) {
  return {
    user: accountJson(account),
    steered: steered.map(({ id, type, manufacturer }) => ({ id, type, manufacturer })),
    consequences,
  }
}

function iso(at: number | null): string | null {
  const date = new Date(at ?? Number.NaN)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}
