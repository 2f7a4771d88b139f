// What the service answers about users, as commands read it, and how a user is named on a command line.

import { z } from 'zod'
import { deviceTypeWords, isDeviceType } from '../fleet/device.ts'
import type { ServiceClient } from './service-client.ts'

const text = z.string().nullable()
const number = z.number().nullable()

export const userAnswer = z.object({
  id: z.string(),
  role: text,
  email: text,
  external_user_id: text,
  first_name: text,
  last_name: text,
  street_and_number: text,
  street_add_info: text,
  zip_code: text,
  town: text,
  country: text,
  latitude: number,
  longitude: number,
  location_last_updated: text,
  is_onboarded: z.boolean().nullable(),
  last_login: text,
  joined_at: text,
  num_heat_pumps: number,
  num_electric_vehicles: number,
  num_inverters: number,
  num_wallboxes: number,
  deleted_at: text,
})
export type UserAnswer = z.output<typeof userAnswer>

export const listedAnswer = userAnswer.extend({ alerts: z.number() })
export type ListedAnswer = z.output<typeof listedAnswer>

export const changesAnswer = z.object({
  user: userAnswer,
  changes: z.array(
    z.object({
      field: z.string(),
      before: z.union([z.string(), z.number(), z.null()]),
      after: z.union([z.string(), z.number(), z.null()]),
    }),
  ),
})

export interface ReferenceOptions {
  /** The argument is an external id, whatever it looks like. */
  readonly externalId: boolean
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

/** Where the service has this user: what looks like the partner's id is one, anything else an external id. */
export function userPath(reference: string, { externalId }: ReferenceOptions): string {
  return !externalId && uuid.test(reference)
    ? `/api/v1/users/${encodeURIComponent(reference)}`
    : `/api/v1/users/by-external-id/${encodeURIComponent(reference)}`
}

/** Rejects with ServiceError, of kind not_found when there is none. */
export async function findUser(
  service: ServiceClient,
  reference: string,
  options: ReferenceOptions,
): Promise<UserAnswer> {
  const { user } = await service.get(userPath(reference, options), [], z.object({ user: userAnswer }))
  return user
}

export function fullName({
  first_name: first,
  last_name: last,
}: Pick<UserAnswer, 'first_name' | 'last_name'>) {
  return [first, last].filter((part) => part !== null && part !== '').join(' ')
}

export function deviceWords({
  type,
  manufacturer,
}: {
  readonly type: string
  readonly manufacturer: string
}): string {
  const word = isDeviceType(type) ? deviceTypeWords[type][0] : type
  return [manufacturer === 'unknown' ? '' : manufacturer, word].filter((part) => part !== '').join(' ')
}
