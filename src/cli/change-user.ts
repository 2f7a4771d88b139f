// `fleetwarden users create/update/archive`, of the running service. What changes something shows what, and asks.

import { z } from 'zod'
import { changesOf, type SeenFields } from '../backoffice/user-change.ts'
import {
  checkNewUser,
  checkUserInput,
  fieldsOfTexts,
  invitationProblem,
  type UserField,
} from '../backoffice/user-input.ts'
import type { CliContext, ExitCode } from './context.ts'
import { plain, tableLines } from './printed.ts'
import { connectService, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'
import {
  changesAnswer,
  deviceWords,
  findUser,
  fullName,
  type ReferenceOptions,
  type UserAnswer,
  userAnswer,
} from './user-answers.ts'

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

function printChanges(
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
