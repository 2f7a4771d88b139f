// The people of the simulated fleet: who they are, as the seed says, and what was changed since.
//
// An external id and an e-mail address carry the index of their user, so they are found without being
// stored. Only users who were created, edited or deleted take memory. Pure.

import { firstNames, hostileNames, lastNames, places, streets } from './catalogue.ts'
import { fraction, hash, indexOfUuid, pick, uuidOf } from './hash.ts'

/** What is wrong with the records of a user, from the start. */
export type UserFlaw =
  | 'no_external_id'
  | 'duplicate_external_id'
  | 'no_name'
  | 'no_location'
  | 'never_onboarded'
  | 'inactive'
  | 'no_contract'
  | 'outdated_contract'

/** A user's own data in the current spelling; null where there is none. */
export interface UserProfile {
  readonly role: string
  readonly email: string
  readonly external_user_id: string | null
  readonly first_name: string | null
  readonly last_name: string | null
  readonly street_and_number: string | null
  readonly street_add_info: string | null
  readonly zip_code: string | null
  readonly town: string | null
  readonly country: string | null
  readonly latitude: number | null
  readonly longitude: number | null
  readonly is_onboarded: boolean | null
}

const externalIdBase = 1_000_000

// One number per question, apart from those of fleet.ts, so that the answers are independent.
const ask = {
  flawed: 2,
  flaw: 3,
  firstName: 8,
  lastName: 9,
  hostile: 10,
  place: 11,
  street: 12,
  externalId: 13,
} as const

interface UserState {
  profile: Partial<UserProfile>
  createdAt: number | null
  deletedAt: number | null
}

export function createUsers({
  seed,
  users,
  healthy,
  flawedShare,
}: {
  seed: number
  users: number
  healthy: boolean
  flawedShare: number
}) {
  const states = new Map<number, UserState>()
  // External ids and e-mail addresses that were given by a call, not derived.
  const givenExternalIds = new Map<string, number>()
  const givenEmails = new Map<string, number>()
  let userCount = users

  const draw = (question: number, index: number): number => hash(seed, question, index)

  function userId(index: number): string {
    return uuidOf(seed, 'user', index)
  }

  /** The user whom an id names, null when nobody does. Deleted users are found. */
  function userIndex(id: string): number | null {
    const index = indexOfUuid(seed, 'user', id)
    return index !== null && index < userCount && userId(index) === id ? index : null
  }

  function userFlaw(index: number): UserFlaw | null {
    if (index >= users || fraction(seed, ask.flawed, index) >= flawedShare) return null
    return pick(userFlaws, draw(ask.flaw, index))
  }

  function derivedExternalId(index: number): string {
    const number = externalIdBase + index
    if (healthy) return `C-${number}`
    // A few systems number in ways that have to survive a URL, a CSV file and a spreadsheet.
    const format = draw(ask.externalId, index) % 40
    if (format === 0) return `AT/${number} ä`
    if (format === 1) return `=${number}`
    return `C-${number}`
  }

  function externalIdOf(index: number): string | null {
    const given = states.get(index)?.profile.external_user_id
    if (given !== undefined) return given
    if (index >= users) return null
    const flaw = userFlaw(index)
    if (flaw === 'no_external_id') return null
    return derivedExternalId(flaw === 'duplicate_external_id' && index > 0 ? index - 1 : index)
  }

  /** The first user with this external id, as the partner's lookup answers one user only. */
  function findByExternalId(externalId: string): number | null {
    const given = givenExternalIds.get(externalId)
    if (given !== undefined && !isUserDeleted(given)) return given
    const index = Number(/\d+/.exec(externalId)?.[0]) - externalIdBase
    // The next one too: it may be the one that carries this user's id by mistake.
    for (const candidate of [index, index + 1]) {
      if (candidate >= 0 && candidate < users && externalIdOf(candidate) === externalId) {
        if (!isUserDeleted(candidate)) return candidate
      }
    }
    return null
  }

  function nameOf(index: number): readonly [string, string] {
    if (!healthy && draw(ask.hostile, index) % 50 === 0) {
      return pick(hostileNames, draw(ask.firstName, index))
    }
    return [pick(firstNames, draw(ask.firstName, index)), pick(lastNames, draw(ask.lastName, index))]
  }

  function derivedEmail(index: number): string {
    const [first, last] = nameOf(index)
    const local = `${emailPart(first)}.${emailPart(last)}`
    return `${local}.${externalIdBase + index}@example.com`
  }

  function emailOf(index: number): string {
    return states.get(index)?.profile.email ?? derivedEmail(index)
  }

  function findByEmail(email: string): number | null {
    const wanted = email.toLowerCase()
    const given = givenEmails.get(wanted)
    if (given !== undefined) return given
    const index = Number(/(\d+)@/.exec(wanted)?.[1]) - externalIdBase
    return index >= 0 && index < users && emailOf(index).toLowerCase() === wanted ? index : null
  }

  function profile(index: number): UserProfile {
    const state = states.get(index)
    const derived = index < users ? derivedProfile(index) : emptyProfile
    return state === undefined ? derived : { ...derived, ...state.profile }
  }

  function derivedProfile(index: number): UserProfile {
    const flaw = userFlaw(index)
    const [first, last] = nameOf(index)
    const place = pick(places, draw(ask.place, index))
    const street = draw(ask.street, index)
    const named = flaw !== 'no_name'
    const located = flaw !== 'no_location'
    return {
      role: 'user',
      email: emailOf(index),
      external_user_id: externalIdOf(index),
      first_name: named ? first : null,
      last_name: named ? last : null,
      street_and_number: located ? `${pick(streets, street)} ${1 + (street % 97)}` : null,
      street_add_info: street % 5 === 0 ? `Top ${1 + (street % 23)}` : null,
      zip_code: located ? place.zip : null,
      town: located ? place.town : null,
      country: located ? place.country : null,
      latitude: located ? Math.round((place.latitude + ((street % 1000) - 500) / 1e4) * 1e5) / 1e5 : null,
      longitude: located ? Math.round((place.longitude + ((street % 991) - 495) / 1e4) * 1e5) / 1e5 : null,
      is_onboarded: flaw !== 'never_onboarded',
    }
  }

  function stateOf(index: number): UserState {
    let state = states.get(index)
    if (state === undefined) {
      state = { profile: {}, createdAt: null, deletedAt: null }
      states.set(index, state)
    }
    return state
  }

  /** Sets what was sent. The caller has checked the values and that the e-mail address is free. */
  function changeUser(index: number, changes: Partial<UserProfile>): void {
    const state = stateOf(index)
    if (changes.external_user_id !== undefined) {
      const before = externalIdOf(index)
      if (before !== null && givenExternalIds.get(before) === index) givenExternalIds.delete(before)
      if (changes.external_user_id !== null) givenExternalIds.set(changes.external_user_id, index)
    }
    if (changes.email !== undefined) {
      const before = emailOf(index).toLowerCase()
      if (givenEmails.get(before) === index) givenEmails.delete(before)
      givenEmails.set(changes.email.toLowerCase(), index)
    }
    state.profile = { ...state.profile, ...changes }
  }

  /** Answers the index of the new user, who has no devices yet. */
  function createUser(
    profileOfUser: Partial<UserProfile> & Pick<UserProfile, 'role' | 'email'>,
    at: number,
  ): number {
    const index = userCount++
    stateOf(index).createdAt = at
    changeUser(index, profileOfUser)
    return index
  }

  /** When the user was created during this run, null for those who were there from the start. */
  function userCreatedAt(index: number): number | null {
    return states.get(index)?.createdAt ?? null
  }

  function deleteUser(index: number, at: number): void {
    stateOf(index).deletedAt = at
  }

  function userDeletedAt(index: number): number | null {
    return states.get(index)?.deletedAt ?? null
  }

  function isUserDeleted(index: number): boolean {
    return userDeletedAt(index) !== null
  }

  return {
    /** All users, with those who were created since and those who were deleted. */
    get userCount(): number {
      return userCount
    },
    get changes(): number {
      return states.size
    },
    userId,
    userIndex,
    userFlaw,
    profile,
    findByExternalId,
    findByEmail,
    changeUser,
    createUser,
    userCreatedAt,
    deleteUser,
    userDeletedAt,
  }
}

const userFlaws: readonly UserFlaw[] = [
  'no_external_id',
  'duplicate_external_id',
  'no_name',
  'no_location',
  'never_onboarded',
  'inactive',
  'no_contract',
  'outdated_contract',
]

const emptyProfile: UserProfile = {
  role: 'user',
  email: '',
  external_user_id: null,
  first_name: null,
  last_name: null,
  street_and_number: null,
  street_add_info: null,
  zip_code: null,
  town: null,
  country: null,
  latitude: null,
  longitude: null,
  is_onboarded: false,
}

/** A name as people write it in an address. Made once for each, as it is needed a million times. */
function emailPart(name: string): string {
  let part = emailParts.get(name)
  if (part === undefined) {
    part = name
      .replaceAll('ß', 'ss')
      .normalize('NFD')
      .replaceAll(/[^a-zA-Z]/g, '')
      .toLowerCase()
      .slice(0, 20)
    emailParts.set(name, part)
  }
  return part
}

const emailParts = new Map<string, string>()
