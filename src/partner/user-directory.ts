// The calls of the Partner API with which people look after users: finding, creating and changing them,
// and opening the session in which somebody connects a new device. Beside client.ts, which only reads what a
// walk needs; both speak through the same transport, so its pace and its breaker hold for people too.
//
// A creation is never sent twice by this file nor by the transport once it may have arrived: see
// `isUncertain`. Every method rejects with a PartnerError, or with the signal's reason when that aborts.

import type { UserAccount, UserRole } from '../fleet/user.ts'
import type { Secret } from '../secret.ts'
import {
  type DeviceAddress,
  isObject,
  malformedAnswer,
  type PartnerClient,
  parse,
  type ReturnUrls,
  rootOf,
  secretUrl,
  segments,
  streamUsers,
} from './client.ts'
import { decodeAccount, type OnOddField } from './decode.ts'
import { parseInstant } from './instant.ts'
import { Malformed } from './json-array-stream.ts'
import { PartnerError } from './partner-error.ts'
import type { Transport } from './transport.ts'

/** What a call may set, in the partner's current spelling. Null takes a value away. */
export interface UserFields {
  readonly role?: UserRole
  readonly email?: string
  readonly external_user_id?: string | null
  readonly first_name?: string | null
  readonly last_name?: string | null
  readonly street_and_number?: string | null
  readonly street_add_info?: string | null
  readonly zip_code?: string | null
  readonly town?: string | null
  readonly country?: string | null
  readonly latitude?: number | null
  readonly longitude?: number | null
}

export type NewUser = UserFields & Required<Pick<UserFields, 'role' | 'email'>>

export interface OnboardingOptions extends ReturnUrls {
  readonly userId: string
  readonly language: string
  readonly priceZone: string | null
  readonly isOptimized: boolean | null
}

/** Whoever has the URL connects devices for the customer, until it expires. */
export interface OnboardingSession {
  readonly url: Secret
  /** Ms since 1970; null: the partner does not say. */
  readonly expiresAt: number | null
}

export interface UserDirectory {
  /** The whole list as it arrives; with `includeDeleted` deleted ones too. */
  accounts(
    options: { readonly includeDeleted: boolean },
    signal: AbortSignal,
  ): AsyncIterable<UserAccount | Malformed>
  /** Null: there is none. */
  account(userId: string, signal: AbortSignal): Promise<UserAccount | null>
  /** Null: nobody has it. Of several users with the same id the partner answers one. */
  accountByExternalId(externalId: string, signal: AbortSignal): Promise<UserAccount | null>
  create(user: NewUser, signal: AbortSignal): Promise<UserAccount>
  /** Changes the fields that are given and no other. */
  update(userId: string, fields: UserFields, signal: AbortSignal): Promise<UserAccount>
  setOptimization(device: DeviceAddress, isActive: boolean, signal: AbortSignal): Promise<void>
  openOnboarding(options: OnboardingOptions, signal: AbortSignal): Promise<OnboardingSession>
}

/** True: what was to be changed may have been changed all the same, so it has to be looked up. */
export function isUncertain(error: unknown): error is PartnerError {
  if (!(error instanceof PartnerError) || !error.wasSent) return false
  switch (error.kind) {
    case 'timeout':
    case 'network':
    case 'server_error':
    case 'bad_json':
    case 'too_large':
    case 'malformed':
      return true
    case 'rate_limited':
    case 'client_error':
    case 'unauthorized':
    case 'not_found':
    case 'circuit_open':
      return false
    default:
      return error.kind satisfies never
  }
}

export function createUserDirectory({
  transport,
  client,
  onOddField = () => {},
}: {
  readonly transport: Transport
  readonly client: Pick<PartnerClient, 'organisationId'>
  readonly onOddField?: OnOddField
}): UserDirectory {
  async function usersPath(signal: AbortSignal): Promise<string> {
    return `${rootOf(await client.organisationId(signal))}/users`
  }

  function decoded(value: unknown, endpoint: string): UserAccount {
    const account = decodeAccount(value, onOddField)
    if (account instanceof Malformed) throw malformedAnswer(endpoint, account.reason)
    return account
  }

  async function found(
    path: string,
    { endpoint, subject }: { readonly endpoint: string; readonly subject: string },
    signal: AbortSignal,
  ): Promise<UserAccount | null> {
    try {
      const answer = await transport.text({ endpoint, path, subject }, signal)
      const account = decoded(parse(answer, endpoint), endpoint)
      return account.deleted_at === null ? account : null
    } catch (error) {
      if (error instanceof PartnerError && error.kind === 'not_found') return null
      throw error
    }
  }

  return {
    async *accounts({ includeDeleted }, signal) {
      const root = rootOf(await client.organisationId(signal))
      const query = includeDeleted ? 'include_deleted=true' : ''
      const decode = (value: unknown) => decodeAccount(value, onOddField)
      yield* streamUsers({ transport, root, query, decode }, signal)
    },

    async account(userId, signal) {
      if (isStep(userId)) return null
      const path = `${await usersPath(signal)}/${encodeURIComponent(userId)}`
      const account = await found(path, { endpoint: 'user', subject: userId }, signal)
      if (account !== null && account.id !== userId)
        throw malformedAnswer('user', 'another id than was asked for')
      return account
    },

    async accountByExternalId(externalId, signal) {
      if (externalId === '' || isStep(externalId)) return null
      const path = `${await usersPath(signal)}/by-ext-id/${encodeURIComponent(externalId)}`
      const account = await found(path, { endpoint: 'user-by-ext-id', subject: externalId }, signal)
      if (account !== null && account.external_user_id !== externalId)
        throw malformedAnswer('user-by-ext-id', 'another external id than was asked for')
      return account
    },

    async create(user, signal) {
      const endpoint = 'create-user'
      const path = await usersPath(signal)
      const answer = await transport.text({ endpoint, path, method: 'POST', body: user }, signal)
      return decoded(parse(answer, endpoint), endpoint)
    },

    async update(userId, fields, signal) {
      const endpoint = 'update-user'
      const path = `${await usersPath(signal)}/${encodeURIComponent(userId)}`
      const call = { endpoint, path, method: 'PUT', body: fields, subject: userId } as const
      return decoded(parse(await transport.text(call, signal), endpoint), endpoint)
    },

    async setOptimization({ userId, deviceType, deviceId }, isActive, signal) {
      const { list, single } = segments[deviceType]
      const user = `${await usersPath(signal)}/${encodeURIComponent(userId)}`
      const path = `${user}/${list}/${encodeURIComponent(deviceId)}`
      const body = { is_smart_optimization_active: isActive }
      await transport.text(
        { endpoint: `update-${single}`, path, method: 'PUT', body, subject: userId },
        signal,
      )
    },

    async openOnboarding({ userId, language, priceZone, isOptimized, successUrl, cancelUrl }, signal) {
      const endpoint = 'device-onboarding'
      const body = {
        user_id: userId,
        language,
        ...(priceZone === null ? {} : { price_zone_default: priceZone }),
        ...(isOptimized === null ? {} : { is_smart_optimization_active_default: isOptimized }),
        success_url: successUrl,
        cancel_url: cancelUrl,
      }
      const call = { endpoint, path: '/device-onboarding', method: 'POST', body, subject: userId } as const
      const value = parse(await transport.text(call, signal), endpoint)
      const expires = isObject(value) ? value['expiration_date'] : undefined
      return {
        url: secretUrl(value, { member: 'authentication_url', endpoint }),
        expiresAt: typeof expires === 'string' ? parseInstant(expires) : null,
      }
    },
  }
}

/** In a URL these two go up a level, encoded or not. */
function isStep(text: string): boolean {
  return text === '.' || text === '..'
}
