// The endpoints of partner-api.md over a simulated fleet: who may ask, what happens, what is answered.
// No sockets and no request faults here; data faults are asked of `faults`.

import type { Clock } from '../clock.ts'
import type { DeviceType } from '../fleet/device.ts'
import type { Secret } from '../secret.ts'
import { type Answer, failure, json, jsonPieces } from './answer.ts'
import type { Faults } from './faults.ts'
import type { Fleet, SimulatedDevice } from './fleet.ts'
import { hash, uuidOf } from './hash.ts'
import {
  currentNames,
  deviceRecord,
  energyContracts,
  type JsonRecord,
  listCarriesActions,
  userRecord,
} from './records.ts'
import {
  checkFields,
  deviceFieldsOf,
  onboardingFields,
  parsedBody,
  userFields,
  webUrls,
  withBody,
} from './request-body.ts'
import type { Route } from './route.ts'
import { documentedLinkLifetimeMs, type Sessions } from './sessions.ts'
import type { UserProfile } from './users.ts'

export interface ApiRequest {
  readonly route: Route
  readonly query: URLSearchParams
  readonly authorization: string | undefined
  readonly body: string
}

export interface ApiOptions {
  readonly fleet: Fleet
  readonly faults: Faults
  readonly sessions: Sessions
  readonly clock: Clock
  readonly clientId: string
  readonly clientSecret: Secret
  /** A token that is valid without having been asked for. */
  readonly fixedToken: Secret | null
  readonly tokenLifetimeSeconds: number
}

/** Answers requests to the API. Never throws for what a client sends. */
export function createApi(options: ApiOptions): (request: ApiRequest) => Answer {
  const { fleet, faults, sessions, clock } = options
  const tokens = new Map<string, { expiresAt: number; generation: number }>()
  const basic = `Basic ${Buffer.from(`${options.clientId}:${options.clientSecret.reveal()}`).toString('base64')}`
  const fixedBearer = options.fixedToken === null ? null : `Bearer ${options.fixedToken.reveal()}`
  let issuedTokens = 0
  let openedSessions = 0

  function answer(request: ApiRequest): Answer {
    const { route } = request
    // As a router does, before anybody asks who calls.
    if (route.endpoint === 'unknown' || route.endpoint === 'page') return notFound()
    if (route.endpoint === 'token') return issueToken(request)
    // Whoever holds the secret may report, as the customer's browser does.
    if (route.endpoint === 'cue_state') return reportState(request)
    if (!isAuthorized(request.authorization)) {
      return failure(401, 'Authentication credentials were not provided or are no longer valid.')
    }
    if (route.organizationId !== '' && route.organizationId !== fleet.organizationId) {
      return failure(403, 'You do not have permission to perform this action.')
    }
    switch (route.endpoint) {
      case 'auth_me':
        return json(organizationUser())
      case 'users':
        return listUsers(request.query)
      case 'user':
        return withUser(route, (index) => json(userAnswer(index)), request.query)
      case 'user_by_ext_id': {
        const index = fleet.findByExternalId(route.id)
        return index === null || faults.isVanished(index) ? notFound() : json(userAnswer(index))
      }
      case 'create_user':
        return withBody(request, createUser)
      case 'update_user':
        return withUser(route, (index) => withBody(request, (body) => updateUser(index, body)))
      case 'devices':
        return withUser(route, (index) => listDevices(index, route.type))
      case 'device':
        return withDevice(request, (device, deletedAt) => json(deviceAnswer(device, deletedAt)))
      case 'update_device':
        return withDevice(request, (device) => withBody(request, (body) => updateDevice(device, body)))
      case 'auth_session':
        return withDevice(request, (device) => withBody(request, (body) => openSession(device, body)))
      case 'energy_contracts':
        return withUser(route, (index) => json(energyContracts(fleet, index, clock.now())))
      case 'cue_resolve':
        return withBody(request, (body) => resolveCue(request, body))
      case 'cue_information':
        return readInformation(request)
      case 'device_onboarding':
        return withBody(request, onboard)
      default:
        return route.endpoint satisfies never
    }
  }

  // --- who asks --------------------------------------------------------------------------------

  function issueToken({ authorization, body }: ApiRequest): Answer {
    if (authorization !== basic) return json({ error: 'invalid_client' }, 401)
    if (parsedBody(body)?.['grant_type'] !== 'client_credentials') {
      return json({ error: 'unsupported_grant_type' }, 400)
    }
    const now = clock.now()
    for (const [token, { expiresAt }] of tokens) if (expiresAt <= now) tokens.delete(token)
    issuedTokens++
    const part = (n: number) => hash(fleet.seed, issuedTokens, n).toString(36).padStart(7, '0')
    const token = `simulated${part(1)}${part(2)}${part(3)}${part(4)}`
    tokens.set(token, {
      expiresAt: now + options.tokenLifetimeSeconds * 1000,
      generation: faults.tokenGeneration,
    })
    return json({
      access_token: token,
      expires_in: options.tokenLifetimeSeconds,
      token_type: 'Bearer',
      scope: 'read write',
    })
  }

  function isAuthorized(authorization: string | undefined): boolean {
    if (authorization === undefined) return false
    if (authorization === fixedBearer) return !faults.isFixedTokenVoid
    const token = authorization.startsWith('Bearer ') ? tokens.get(authorization.slice(7)) : undefined
    return token !== undefined && token.expiresAt > clock.now() && token.generation === faults.tokenGeneration
  }

  function organizationUser(): JsonRecord {
    return {
      id: uuidOf(fleet.seed, 'organization', 1),
      organization_id: fleet.organizationId,
      role: 'admin',
      email: 'api@utility.example',
      first_name: 'Partner',
      last_name: 'API',
      external_user_id: null,
      is_onboarded: true,
    }
  }

  // --- users -----------------------------------------------------------------------------------

  function listUsers(query: URLSearchParams): Answer {
    const pageSize = faults.userPageSize()
    const withDeleted = query.get('include_deleted') === 'true'
    const isListed = (index: number) =>
      (withDeleted || fleet.userDeletedAt(index) === null) && !faults.isVanished(index)
    if (pageSize === null) return jsonPieces(userPieces({ isListed, open: '[', close: ']' }))
    const limit = Math.min(numberIn(query, 'limit') ?? pageSize, pageSize)
    const offset = numberIn(query, 'offset') ?? 0
    let total = 0
    for (let index = 0; index < fleet.userCount; index++) if (isListed(index)) total++
    const page = { isListed, offset, limit, open: '{"items":[', close: `],"total":${total}}` }
    return jsonPieces(userPieces(page))
  }

  function* userPieces(page: {
    isListed: (index: number) => boolean
    open: string
    close: string
    offset?: number
    limit?: number
  }): Generator<string> {
    const { isListed, open, close, offset = 0, limit = Number.POSITIVE_INFINITY } = page
    // Users who are created while the list is sent are not in it.
    const count = fleet.userCount
    let piece = open
    let listed = 0
    let sent = 0
    for (let index = 0; index < count && sent < limit; index++) {
      if (!isListed(index) || listed++ < offset) continue
      piece += sent++ === 0 ? '' : ','
      piece += JSON.stringify(userAnswer(index))
      if (piece.length >= pieceLength) {
        yield piece
        piece = ''
      }
    }
    yield piece + close
  }

  function userAnswer(index: number): unknown {
    const malformed = faults.malformedUser(index)
    const now = clock.now()
    // A device of which a fault says that it is deleted does not count; a missing one does.
    return faults.touchesDevices
      ? userRecord(fleet, index, { now, malformed, count: (type) => countPresent(index, type) })
      : userRecord(fleet, index, { now, malformed })
  }

  function countPresent(index: number, type: DeviceType): number {
    return fleet
      .devices(index, type)
      .filter((device) => fleet.condition(device).deletedAt === null && faults.presence(device) !== 'deleted')
      .length
  }

  function withUser(route: Route, then: (index: number) => Answer, query?: URLSearchParams): Answer {
    const index = fleet.userIndex(route.userId)
    if (index === null || faults.isVanished(index)) return notFound()
    const mayBeDeleted = query?.get('include_deleted') === 'true'
    if (fleet.userDeletedAt(index) !== null && !mayBeDeleted) return notFound()
    return then(index)
  }

  function createUser(body: JsonRecord): Answer {
    const checked = checkFields(body, userFields)
    if ('errors' in checked) return json(checked.errors, 400)
    const { role, email } = checked.values
    const missing = Object.fromEntries(
      Object.entries({ role, email })
        .filter(([, value]) => typeof value !== 'string')
        .map(([name]) => [name, ['This field is required.']]),
    )
    if (typeof role !== 'string' || typeof email !== 'string') return json(missing, 400)
    if (fleet.findByEmail(email) !== null) return json(emailTaken, 400)
    return json(userAnswer(fleet.createUser({ ...checked.values, role, email }, clock.now())), 201)
  }

  function updateUser(index: number, body: JsonRecord): Answer {
    const checked = checkFields(body, userFields)
    if ('errors' in checked) return json(checked.errors, 400)
    const { email } = checked.values
    if (typeof email === 'string') {
      const holder = fleet.findByEmail(email)
      if (holder !== null && holder !== index) return json(emailTaken, 400)
    }
    fleet.changeUser(index, checked.values as Partial<UserProfile>)
    return json(userAnswer(index))
  }

  // --- devices ---------------------------------------------------------------------------------

  function listDevices(userIndex: number, type: DeviceType): Answer {
    const withActions = listCarriesActions(fleet, userIndex, type)
    const now = clock.now()
    const records: unknown[] = []
    for (const device of fleet.devices(userIndex, type)) {
      if (fleet.condition(device).deletedAt !== null) continue
      if (faults.touchesDevices && faults.presence(device) !== 'present') continue
      const malformed = faults.touchesDevices ? faults.malformedDevice(device) : null
      records.push(deviceRecord(fleet, device, { now, links: sessions, withActions, malformed }))
    }
    return json(records)
  }

  /** `deletedAt` is set when it is a fault that says so. */
  function withDevice(
    { route, query }: ApiRequest,
    then: (device: SimulatedDevice, deletedAt: number | null) => Answer,
  ): Answer {
    return withUser(route, (userIndex) => {
      const device = fleet.device(route.id)
      if (device === null || device.userIndex !== userIndex || device.type !== route.type) return notFound()
      const presence = faults.presence(device)
      const isDeleted = presence === 'deleted' || fleet.condition(device).deletedAt !== null
      const mayBeDeleted = query.get('include_deleted') === 'true'
      if (presence === 'missing' || (isDeleted && !mayBeDeleted)) return notFound()
      return then(device, presence === 'deleted' ? clock.now() - 3_600_000 : null)
    })
  }

  function deviceAnswer(device: SimulatedDevice, deletedAt: number | null): unknown {
    const malformed = faults.malformedDevice(device)
    return deviceRecord(fleet, device, {
      now: clock.now(),
      links: sessions,
      withActions: true,
      deletedAt,
      malformed,
    })
  }

  function updateDevice(device: SimulatedDevice, body: JsonRecord): Answer {
    const current = Object.fromEntries(
      Object.entries(body).map(([name, value]) => [currentNames[name] ?? name, value]),
    )
    const checked = checkFields(current, deviceFieldsOf(device.type))
    if ('errors' in checked) return json(checked.errors, 400)
    const { deleted_at: deletedAt, ...settings } = checked.values
    const now = clock.now()
    if (Object.keys(settings).length > 0) fleet.changeDevice(device, settings, now)
    if (deletedAt !== undefined) {
      fleet.setDeviceDeleted(device, typeof deletedAt === 'string' ? Date.parse(deletedAt) : null)
    }
    return json(deviceAnswer(device, null))
  }

  function openSession(device: SimulatedDevice, body: JsonRecord): Answer {
    // Documented for these two types only.
    if (device.type !== 'electric_vehicle' && device.type !== 'inverter') {
      return failure(405, 'Method "POST" not allowed.')
    }
    const back = webUrls(body, ['success_url', 'cancel_url'])
    if ('errors' in back) return json(back.errors, 400)
    const [successUrl, cancelUrl] = back.urls
    return json({
      authentication_url: sessions.reconnectUrl(device, { successUrl, cancelUrl }),
      device_id: device.id,
      session_id: uuidOf(fleet.seed, 'session', openedSessions++),
    })
  }

  function onboard(body: JsonRecord): Answer {
    const userIndex = typeof body['user_id'] === 'string' ? fleet.userIndex(body['user_id']) : null
    if (userIndex === null || fleet.userDeletedAt(userIndex) !== null || faults.isVanished(userIndex)) {
      return json({ user_id: ['Invalid user.'] }, 400)
    }
    const back = webUrls(body, ['success_url', 'cancel_url'])
    if ('errors' in back) return json(back.errors, 400)
    const checked = checkFields(body, onboardingFields)
    if ('errors' in checked) return json(checked.errors, 400)
    const [successUrl, cancelUrl] = back.urls
    const { language, price_zone_default, is_smart_optimization_active_default, building_id } = checked.values
    const defaults = {
      ...(typeof price_zone_default === 'string' ? { price_zone: price_zone_default } : {}),
      ...(typeof building_id === 'string' ? { building: building_id } : {}),
      ...(typeof is_smart_optimization_active_default === 'boolean'
        ? { optimized: String(is_smart_optimization_active_default) }
        : {}),
    }
    const url = sessions.onboardingUrl(userIndex, {
      successUrl,
      cancelUrl,
      language: typeof language === 'string' ? language : undefined,
      defaults,
    })
    return json(
      {
        authentication_url: url,
        id: uuidOf(fleet.seed, 'session', openedSessions++),
        user_id: body['user_id'],
        language: language ?? null,
        price_zone_default: price_zone_default ?? null,
        is_smart_optimization_active_default: is_smart_optimization_active_default ?? null,
        success_url: successUrl,
        cancel_url: cancelUrl,
        building_id: building_id ?? null,
        expiration_date: new Date(clock.now() + documentedLinkLifetimeMs).toISOString(),
      },
      201,
    )
  }

  // --- cues ------------------------------------------------------------------------------------

  /** The pending action, or why it may not be touched. */
  function openCue({
    route,
    query,
  }: ApiRequest): NonNullable<ReturnType<Fleet['findCue']>> | { refusal: Answer } {
    const state = sessions.checkCueSecret(route.id, query.get('secret'))
    if (state === 'wrong') return { refusal: failure(403, 'The secret is not valid.') }
    if (state === 'expired') return { refusal: failure(403, 'The secret has expired.') }
    return fleet.findCue(route.id) ?? { refusal: failure(404, 'The action is no longer active.') }
  }

  function resolveCue(request: ApiRequest, body: JsonRecord): Answer {
    const found = openCue(request)
    if ('refusal' in found) return found.refusal
    const { cue } = found
    if (cue.code === 'information') return failure(400, 'This action is resolved by /information/resolve.')
    const required = cue.code === 'reauthenticate' ? ['successUrl', 'cancelUrl'] : []
    const back = webUrls(body, required)
    if ('errors' in back) return json(back.errors, 400)
    const [successUrl, cancelUrl] = back.urls
    const language = typeof body['language'] === 'string' ? body['language'] : undefined
    return json({ redirect_url: sessions.actionUrl(cue, { successUrl, cancelUrl, language }) })
  }

  function readInformation(request: ApiRequest): Answer {
    const found = openCue(request)
    if ('refusal' in found) return found.refusal
    const { device, cue } = found
    if (cue.code !== 'information' || cue.cause === 'outage')
      return failure(400, 'This action is no information.')
    fleet.heal(device, cue.cause)
    return json({ action_id: cue.id })
  }

  function reportState(request: ApiRequest): Answer {
    const state = parsedBody(request.body)?.['state']
    if (state !== 'success' && state !== 'fail') {
      return json({ state: [`"${String(state)}" is not one of: success, fail.`] }, 400)
    }
    const found = openCue(request)
    if ('refusal' in found) return found.refusal
    const { device, cue } = found
    // An outage is not ended by a customer; a failure leaves the action to be tried again.
    if (state === 'success' && cue.cause !== 'outage') fleet.heal(device, cue.cause)
    return json({ action_id: cue.id })
  }

  return answer
}

// Small enough to die young: longer strings lie in memory until the next full garbage collection.
const pieceLength = 16_384

const emailTaken = { email: ['A user with this email already exists in the organization.'] }

function notFound(): Answer {
  return failure(404, 'Not found.')
}

function numberIn(query: URLSearchParams, name: string): number | null {
  const text = query.get(name)
  return text !== null && /^\d+$/.test(text) ? Number(text) : null
}
