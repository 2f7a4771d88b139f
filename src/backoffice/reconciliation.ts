// A file of the utility's customers against the users at the partner, by external id: who is in one and not in the
// other, who is in one of them twice, whose name, address or e-mail address differs, and what would put it right.
// The file is what is right: it is the utility's own.
//
// Only what can be put right without guessing has a fix. An empty cell says nothing, so it is compared with
// nothing. Findings come in the order in which they should be put right: first what makes the others doubtful.
// Memory: the index of the users, and of the file's customers those with something to say about them.

import type { NewUser, UserFields } from '../partner/user-directory.ts'
import { type AccountIndex, createRecords, createTable, hash32, type KnownUser } from './account-index.ts'
import { archivedRole } from './back-office.ts'
import { comparable } from './comparison.ts'
import { countryCodeOf } from './countries.ts'
import type { CsvRow } from './csv-file.ts'
import type { FindingKind } from './finding-kinds.ts'
import type { SeenFields } from './user-change.ts'
import { checkNewUser, checkUserInput, fieldsOfTexts, type UserField, userFieldNames } from './user-input.ts'

export interface Finding {
  readonly kind: FindingKind
  readonly externalId: string | null
  readonly userIds: readonly string[]
  /** Of the file. */
  readonly lines: readonly number[]
  readonly differences: readonly Difference[]
  readonly fix: Fix | null
  /** Why there is no fix, or what else is to be known; empty: nothing. */
  readonly note: string
}

export interface Difference {
  readonly field: UserField
  readonly user: string | number | null
  readonly customer: string
}

export type Fix =
  | { readonly action: 'create'; readonly user: NewUser }
  | {
      readonly action: 'update'
      readonly userId: string
      readonly changes: UserFields
      readonly seen: SeenFields
    }
  | { readonly action: 'archive'; readonly userId: string; readonly seen: SeenFields }

/** A row of the file. */
export interface Customer {
  readonly line: number
  readonly externalId: string
  /** Without what is empty. */
  readonly fields: Readonly<Partial<Record<UserField, string>>>
}

export interface Reconciliation {
  readonly customers: number
  readonly users: number
  /** From the beginning each time. */
  findings(): Iterable<Finding>
}

type CustomerColumn = UserField | 'house_number'

/** `columns`: where in a row each of a customer's fields stands. */
export function customerOf({ line, cells }: CsvRow, columns: ReadonlyMap<CustomerColumn, number>): Customer {
  const cell = (name: CustomerColumn) => cells[columns.get(name) ?? -1] ?? ''
  const fields: Partial<Record<UserField, string>> = {}
  for (const name of userFieldNames) {
    if (name !== 'external_user_id' && cell(name) !== '') fields[name] = cell(name)
  }
  // Where the number has a column of its own.
  if (cell('house_number') !== '' && fields.street_and_number !== undefined) {
    fields.street_and_number += ` ${cell('house_number')}`
  }
  return { line, externalId: cell('external_user_id'), fields: { ...fields, ...countryOf(fields.country) } }
}

/** A name of a country becomes its code; what is none stays, and is found to be wrong where it matters. */
function countryOf(country: string | undefined): { readonly country?: string } {
  return country === undefined ? {} : { country: countryCodeOf(country) ?? country }
}

export async function reconcile(
  index: AccountIndex,
  rows: AsyncIterable<readonly Customer[]>,
): Promise<Reconciliation> {
  /** For each user, the line of the first customer with this external id; 0: none. */
  const seenLines = new Uint32Array(index.size)
  const withoutId: number[] = []
  const withoutUser = createKept()
  const different = createKept()
  const duplicates = new Map<string, number[]>()
  let customers = 0

  for await (const batch of rows) for (const customer of batch) take(customer)

  function take(customer: Customer): void {
    customers++
    const { externalId, line } = customer
    if (externalId === '') {
      withoutId.push(line)
      return
    }
    const numbers = index.byExternalId(externalId)
    const [first] = numbers
    const firstLine = first === undefined ? withoutUser.lineOf(externalId) : seenLines[first]
    if (firstLine !== undefined && firstLine !== 0) {
      const lines = duplicates.get(externalId)
      if (lines === undefined) duplicates.set(externalId, [firstLine, line])
      else lines.push(line)
      return
    }
    for (const number of numbers) seenLines[number] = line
    const user = theCustomer(numbers.map((number) => index.user(number)))
    if (first === undefined) withoutUser.add(customer)
    else if (user !== null && (user.role === archivedRole || differencesOf(user, customer).length > 0))
      different.add(customer)
  }

  function* findings(): Generator<Finding> {
    for (const line of withoutId) {
      yield { ...nothing, kind: 'row_without_id', lines: [line], note: 'the row has no external id' }
    }
    for (const [externalId, lines] of duplicates) {
      const note = 'the external id stands in the file more than once: nothing is compared with it'
      yield { ...nothing, kind: 'duplicate_customer', externalId, lines, note }
    }
    yield* duplicateUsers(index)
    yield* differentUsers()
    const handled = new Set<string>()
    for (const customer of withoutUser.all()) {
      if (duplicates.has(customer.externalId)) continue
      yield withHandled(customerWithoutUser(customer, index), handled)
    }
    for (let number = 0; number < index.size; number++) {
      const user = index.user(number)
      if (user.role !== 'user' || handled.has(user.id)) continue
      if (isNothing(user.external_user_id)) {
        const note = 'no customer of the file has this e-mail address'
        yield { ...nothing, kind: 'user_without_external_id', userIds: [user.id], note }
      } else if (seenLines[number] === 0) {
        yield {
          ...nothing,
          kind: 'user_left',
          externalId: String(user.external_user_id),
          userIds: [user.id],
          fix: { action: 'archive', userId: user.id, seen: { role: user.role } },
        }
      }
    }
  }

  function* differentUsers(): Generator<Finding> {
    for (const customer of different.all()) {
      const { externalId, line } = customer
      const user = theCustomer(index.byExternalId(externalId).map((number) => index.user(number)))
      if (user === null || duplicates.has(externalId)) continue
      const about = { ...nothing, externalId, userIds: [user.id], lines: [line] }
      if (user.role === archivedRole) {
        yield {
          ...about,
          kind: 'archived_customer',
          fix: { action: 'update', userId: user.id, changes: { role: 'user' }, seen: { role: user.role } },
          note: 'optimisation stays off until somebody switches it on for each device',
        }
        continue
      }
      const differences = differencesOf(user, customer)
      const wanted = Object.fromEntries(differences.map(({ field, customer }) => [field, customer]))
      const checked = checkUserInput(fieldsOfTexts(wanted))
      const seen = Object.fromEntries(differences.map(({ field, user }) => [field, user]))
      yield {
        ...about,
        kind: 'different',
        differences,
        fix: checked.ok ? { action: 'update', userId: user.id, changes: checked.fields, seen } : null,
        note: checked.ok ? '' : `line ${line} of the file: ${checked.problems.join('; ')}`,
      }
    }
  }

  return { customers, users: index.size, findings }
}

const nothing = {
  externalId: null,
  userIds: [],
  lines: [],
  differences: [],
  fix: null,
  note: '',
} as const satisfies Partial<Finding>

/** Of several users with one external id the one who is not archived; null when that is not one. */
function theCustomer(users: readonly KnownUser[]): KnownUser | null {
  const [first, ...others] = users
  if (first === undefined || others.length === 0) return first ?? null
  const [active, ...more] = users.filter(({ role }) => role !== archivedRole)
  return more.length === 0 ? (active ?? null) : null
}

function differencesOf(user: KnownUser, { fields }: Customer): readonly Difference[] {
  return userFieldNames.flatMap((field) => {
    const customer = fields[field]
    // Most are the same to the letter, which costs a hundredth of finding out what they mean.
    if (customer === undefined || customer === user[field]) return []
    if (comparable(field, customer) === comparable(field, user[field])) return []
    return [{ field, user: user[field], customer }]
  })
}

function* duplicateUsers(index: AccountIndex): Generator<Finding> {
  for (let number = 0; number < index.size; number++) {
    const externalId = index.user(number).external_user_id
    if (isNothing(externalId)) continue
    const numbers = index.byExternalId(String(externalId))
    if (numbers.length < 2 || numbers[0] !== number) continue
    const users = numbers.map((each) => index.user(each))
    const active = theCustomer(users)
    const archived = users.filter((user) => user !== active)
    const [superfluous] = archived
    const isPlain = active !== null && archived.length === 1 && superfluous !== undefined
    yield {
      ...nothing,
      kind: 'duplicate_user',
      externalId: String(externalId),
      userIds: users.map(({ id }) => id),
      fix: isPlain
        ? {
            action: 'update',
            userId: superfluous.id,
            changes: { external_user_id: null },
            seen: { external_user_id: superfluous.external_user_id },
          }
        : null,
      note: isPlain
        ? 'one of them is archived: the external id is taken from that one'
        : 'find out which of them is the customer, and archive the others with --release-external-id',
    }
  }
}

function customerWithoutUser(customer: Customer, index: AccountIndex): Finding {
  const { externalId, line, fields } = customer
  const about = { ...nothing, kind: 'customer_without_user' as const, externalId, lines: [line] }
  const [number, ...others] = fields.email === undefined ? [] : index.byEmail(fields.email)
  if (number !== undefined) {
    const user = index.user(number)
    const userIds = [number, ...others].map((each) => index.user(each).id)
    if (others.length === 0 && isNothing(user.external_user_id)) {
      const changes = { external_user_id: externalId }
      const fix: Fix = { action: 'update', userId: user.id, changes, seen: { external_user_id: null } }
      return { ...about, kind: 'external_id_missing', userIds, fix, note: 'found by the e-mail address' }
    }
    return { ...about, userIds, note: 'a user with another external id has this e-mail address' }
  }
  const wanted = { role: 'user', external_user_id: externalId, ...fieldsOfTexts(fields) }
  const checked = checkNewUser(wanted)
  if (checked.ok) return { ...about, fix: { action: 'create', user: checked.fields } }
  const note =
    fields.email === undefined
      ? 'cannot be created without an e-mail address'
      : `line ${line} of the file: ${checked.problems.join('; ')}`
  return { ...about, note }
}

function withHandled(finding: Finding, handled: Set<string>): Finding {
  if (finding.kind === 'external_id_missing') for (const id of finding.userIds) handled.add(id)
  return finding
}

function isNothing(value: string | number | null): boolean {
  return value === null || value === ''
}

/** Customers packed outside of the heap, and found by external id. */
function createKept() {
  const records = createRecords()
  const table = createTable()
  const get = (number: number) => JSON.parse(records.get(number)) as Customer
  return {
    add(customer: Customer): void {
      table.add(hash32(customer.externalId), records.add(JSON.stringify(customer)))
    },
    /** Undefined: there is none. */
    lineOf(externalId: string): number | undefined {
      for (const number of table.get(hash32(externalId))) {
        const customer = get(number)
        if (customer.externalId === externalId) return customer.line
      }
      return undefined
    },
    *all(): Generator<Customer> {
      for (let number = 0; number < records.size; number++) yield get(number)
    },
  }
}
