// The Partner API as this project reads it: which URL answers what, and how answers become users,
// devices and contracts. What a call needs to come through is transport.ts; what a field means,
// decode.ts. Read it as the list of calls that the service makes.
//
// Every method rejects with a PartnerError, or with the signal's reason when that aborts.

import type { DeviceType, ResolutionLink } from '../fleet/device.ts'
import type { DeviceReading, UnreadReason } from '../fleet/reading.ts'
import type { EnergyContract, User } from '../fleet/user.ts'
import { Secret } from '../secret.ts'
import {
  type DeviceSource,
  decodeDevice,
  decodeEnergyContract,
  decodeUser,
  isDeletedUser,
  type OnOddField,
  parseLinkUrl,
} from './decode.ts'
import { createJsonListScanner, JsonListError, Malformed } from './json-array-stream.ts'
import { PartnerError } from './partner-error.ts'
import type { Answer, Call, Transport } from './transport.ts'

export interface PartnerClientOptions {
  readonly transport: Transport
  /** Null: asked for once through /auth/me. */
  readonly organisationId: string | null
  readonly onOddField?: OnOddField
  /** See DeviceSource. */
  readonly onClockSkew?: () => void
}

/** Devices of one type of one user. */
export interface DeviceList {
  readonly devices: readonly DeviceReading[]
  /** Entries that could not be used, each with its reason. */
  readonly malformed: readonly Malformed[]
}

/** Where the user comes back to. */
export interface ReturnUrls {
  readonly successUrl: string
  readonly cancelUrl: string
}

export interface PartnerClient {
  organisationId(signal: AbortSignal): Promise<string>
  /** The whole list as it arrives, over all its pages; a bad entry is Malformed and costs nothing else. */
  users(signal: AbortSignal): AsyncIterable<User | Malformed>
  /** Null: the partner says that it was deleted. `not_found` may mean the same. */
  user(userId: string, signal: AbortSignal): Promise<User | null>
  devices(userId: string, type: DeviceType, signal: AbortSignal): Promise<DeviceList>
  device(device: DeviceAddress, signal: AbortSignal): Promise<DeviceReading>
  energyContracts(userId: string, signal: AbortSignal): Promise<readonly EnergyContract[]>
  /** Where to send the user now. Valid for minutes, so to be called when the user is there. */
  resolveAction(
    link: ResolutionLink,
    parameters: ReturnUrls & { readonly language: string },
    signal: AbortSignal,
  ): Promise<Secret>
  /** A new reconnection session, for devices whose actions carry no link. */
  createAuthSession(device: DeviceAddress, urls: ReturnUrls, signal: AbortSignal): Promise<Secret>
}

export interface DeviceAddress {
  readonly userId: string
  readonly deviceType: DeviceType
  readonly deviceId: string
  /** Answer for a deleted device too, with `deleted_at`. */
  readonly includeDeleted?: boolean
}

/** How a device type is named: in URLs, and as the label of calls for its list and for one device. */
export const segments = {
  heat_pump: { list: 'heat-pumps', single: 'heat-pump' },
  electric_vehicle: { list: 'electric-vehicles', single: 'electric-vehicle' },
  inverter: { list: 'inverters', single: 'inverter' },
  wallbox: { list: 'wallboxes', single: 'wallbox' },
} as const satisfies Record<DeviceType, { list: string; single: string }>

export function createPartnerClient(options: PartnerClientOptions): PartnerClient {
  const { transport } = options
  const { onOddField = () => {}, onClockSkew = () => {} } = options
  let organisation = options.organisationId
  /** The path of the organisation, encoded; empty until its id is known. */
  let root = organisation === null ? '' : rootOf(organisation)

  /** The path of a user; awaits only as long as the organisation is unknown. */
  async function discover(signal: AbortSignal): Promise<string> {
    if (organisation === null) {
      const endpoint = 'auth-me'
      const me = parse(await transport.text({ endpoint, path: '/auth/me' }, signal), endpoint)
      const id = isObject(me) ? me['organization_id'] : undefined
      if (typeof id !== 'string' || id === '') {
        const problem = 'the answer holds no organization_id; set partner.org_id'
        throw new PartnerError({ kind: 'malformed', endpoint, problem })
      }
      organisation = id
      root = rootOf(id)
    }
    return organisation
  }

  async function userPath(userId: string, signal: AbortSignal): Promise<string> {
    if (root === '') await discover(signal)
    return `${root}/users/${encodeURIComponent(userId)}`
  }

  async function devicePath(device: DeviceAddress, signal: AbortSignal): Promise<string> {
    const user = await userPath(device.userId, signal)
    return `${user}/${segments[device.deviceType].list}/${encodeURIComponent(device.deviceId)}`
  }

  async function* users(signal: AbortSignal): AsyncGenerator<User | Malformed> {
    await discover(signal)
    yield* streamUsers(
      { transport, root, query: '', decode: (value) => decodeUser(value, onOddField) },
      signal,
    )
  }

  /** A list that is read as a whole, over all its pages. */
  async function list(call: Call, signal: AbortSignal): Promise<{ values: unknown[]; receivedAt: number }> {
    const { endpoint } = call
    let answer = await transport.text(call, signal)
    let { values, members } = parseList(answer, endpoint)
    let received = values.length
    for (;;) {
      const pageSize = nextPage(members, { endpoint, received, offset: values.length })
      if (pageSize === null) return { values, receivedAt: answer.receivedAt }
      const path = `${call.path}?limit=${pageSize}&offset=${values.length}`
      answer = await transport.text({ ...call, path }, signal)
      const page = parseList(answer, endpoint)
      received = page.values.length
      values = [...values, ...page.values]
      members = page.members
    }
  }

  async function devices(userId: string, type: DeviceType, signal: AbortSignal): Promise<DeviceList> {
    const endpoint = segments[type].list
    const path = `${await userPath(userId, signal)}/${endpoint}`
    const { values, receivedAt } = await list({ endpoint, path, subject: userId }, signal)
    const source: DeviceSource = { type, observedAt: receivedAt, isSingle: false, onOddField, onClockSkew }
    const readings: DeviceReading[] = []
    const malformed: Malformed[] = []
    const ids = new Set<string>()
    for (const value of values) {
      const device = decodeDevice(value, source)
      if (device instanceof Malformed) malformed.push(device)
      else if (ids.has(device.id)) malformed.push(new Malformed('an id that was in the list before'))
      else {
        ids.add(device.id)
        readings.push({ device, observedAt: receivedAt })
      }
    }
    return { devices: readings, malformed }
  }

  async function device(address: DeviceAddress, signal: AbortSignal): Promise<DeviceReading> {
    const { userId, deviceType: type, deviceId, includeDeleted } = address
    const endpoint = segments[type].single
    const query = includeDeleted === true ? '?include_deleted=true' : ''
    const path = `${await devicePath(address, signal)}${query}`
    const answer = await transport.text({ endpoint, path, subject: userId }, signal)
    const observedAt = answer.receivedAt
    const source: DeviceSource = { type, observedAt, isSingle: true, onOddField, onClockSkew }
    const decoded = decodeDevice(parse(answer, endpoint), source)
    if (decoded instanceof Malformed) throw malformedAnswer(endpoint, decoded.reason)
    if (decoded.id !== deviceId) throw malformedAnswer(endpoint, 'another id than was asked for')
    return { device: decoded, observedAt }
  }

  async function user(userId: string, signal: AbortSignal): Promise<User | null> {
    const endpoint = 'user'
    const path = await userPath(userId, signal)
    const value = parse(await transport.text({ endpoint, path, subject: userId }, signal), endpoint)
    if (isDeletedUser(value)) return null
    const decoded = decodeUser(value, onOddField)
    if (decoded instanceof Malformed) throw malformedAnswer(endpoint, decoded.reason)
    if (decoded.id !== userId) throw malformedAnswer(endpoint, 'another id than was asked for')
    return decoded
  }

  async function energyContracts(userId: string, signal: AbortSignal): Promise<readonly EnergyContract[]> {
    const endpoint = 'energy-contracts'
    const path = `${await userPath(userId, signal)}/${endpoint}`
    const { values } = await list({ endpoint, path, subject: userId }, signal)
    return values.map((value) => {
      const contract = decodeEnergyContract(value, onOddField)
      // A rule would take the contracts that are left for all there are.
      if (contract instanceof Malformed) throw malformedAnswer(endpoint, contract.reason)
      return contract
    })
  }

  async function resolveAction(
    link: ResolutionLink,
    { successUrl, cancelUrl, language }: ReturnUrls & { readonly language: string },
    signal: AbortSignal,
  ): Promise<Secret> {
    if (link.kind === 'redirect') return link.url
    const endpoint = 'cue-resolve'
    const body = { successUrl, cancelUrl, language }
    const url = new URL(link.url.reveal())
    const answer = await transport.textOf(url, { endpoint, method: 'POST', body }, signal)
    return secretUrl(parse(answer, endpoint), { member: 'redirect_url', endpoint })
  }

  async function createAuthSession(
    address: DeviceAddress,
    { successUrl, cancelUrl }: ReturnUrls,
    signal: AbortSignal,
  ): Promise<Secret> {
    const endpoint = 'auth-session'
    const path = `${await devicePath(address, signal)}/auth_session`
    const body = { success_url: successUrl, cancel_url: cancelUrl }
    const answer = await transport.text({ endpoint, path, method: 'POST', body }, signal)
    return secretUrl(parse(answer, endpoint), { member: 'authentication_url', endpoint })
  }

  return {
    organisationId: discover,
    users,
    user,
    devices,
    device,
    energyContracts,
    resolveAction,
    createAuthSession,
  }
}

/** The list of users as it arrives, over all its pages. `query`: empty, or `name=value`. */
export async function* streamUsers<T>(
  {
    transport,
    root,
    query,
    decode,
  }: {
    readonly transport: Transport
    readonly root: string
    readonly query: string
    readonly decode: (value: unknown) => T
  },
  signal: AbortSignal,
): AsyncGenerator<T> {
  const endpoint = 'users'
  let offset = 0
  let pageSize: number | null = null
  for (;;) {
    const page = pageSize === null ? '' : `limit=${pageSize}&offset=${offset}`
    const parameters = [query, page].filter((part) => part !== '').join('&')
    const path = `${root}/users${parameters === '' ? '' : `?${parameters}`}`
    const { chunks } = await transport.stream({ endpoint, path }, signal)
    const scanner = createJsonListScanner()
    let received = 0
    try {
      for await (const chunk of chunks) {
        for (const value of scanner.push(chunk)) {
          received++
          yield decode(value)
        }
      }
      scanner.end()
    } catch (error) {
      throw error instanceof JsonListError ? badList(endpoint, error) : error
    }
    offset += received
    const next = nextPage(scanner.members(), { endpoint, received, offset })
    if (next === null) return
    pageSize = next
  }
}

export function rootOf(organisationId: string): string {
  return `/org/${encodeURIComponent(organisationId)}`
}

export function parse({ text }: Answer, endpoint: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Without the cause: its message quotes the answer.
    throw new PartnerError({ kind: 'bad_json', endpoint, problem: noJson(text) })
  }
}

interface ParsedList {
  readonly values: unknown[]
  readonly members: Readonly<Record<string, unknown>> | null
}

function parseList({ text }: Answer, endpoint: string): ParsedList {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return salvageList(text, endpoint)
  }
  if (Array.isArray(value)) return { values: value, members: null }
  if (isObject(value) && Array.isArray(value['items'])) return { values: value['items'], members: value }
  throw malformedAnswer(endpoint, 'no list')
}

/** The good entries of a list that holds one which is no JSON, such as the NaN that Python writes. */
function salvageList(text: string, endpoint: string): ParsedList {
  try {
    const scanner = createJsonListScanner()
    const values = scanner.push(Buffer.from(text))
    scanner.end()
    return { values, members: scanner.members() }
  } catch (error) {
    if (error instanceof JsonListError) throw badList(endpoint, error)
    throw error
  }
}

/** The size of the next page, null when there is none: all of an array, or `total` items are there. */
function nextPage(
  members: Readonly<Record<string, unknown>> | null,
  { endpoint, received, offset }: { endpoint: string; received: number; offset: number },
): number | null {
  const total = members?.['total']
  if (typeof total !== 'number' || offset >= total) return null
  // Users that are not in the list would be taken for gone.
  if (received === 0) throw malformedAnswer(endpoint, `${offset} of ${total} items, and no more`)
  const limit = members?.['limit']
  return typeof limit === 'number' && Number.isSafeInteger(limit) && limit > 0 ? limit : received
}

export function secretUrl(
  value: unknown,
  { member, endpoint }: { member: string; endpoint: string },
): Secret {
  const url = isObject(value) ? value[member] : undefined
  if (typeof url !== 'string' || parseLinkUrl(url) === null)
    throw malformedAnswer(endpoint, `no http(s) URL in ${member}`)
  return new Secret(url)
}

export function malformedAnswer(endpoint: string, reason: string): PartnerError {
  const kind: UnreadReason = 'malformed'
  return new PartnerError({ kind, endpoint, problem: `the answer has the wrong shape: ${reason}` })
}

function badList(endpoint: string, error: JsonListError): PartnerError {
  return new PartnerError({ kind: 'bad_json', endpoint, problem: `the answer ${error.message}` })
}

function noJson(text: string): string {
  return text.trimStart().startsWith('<') ? 'the answer is a web page, not JSON' : 'the answer is no JSON'
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
