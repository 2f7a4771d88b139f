// What somebody wants to set on a user, checked before anything is sent: a typing error must not become a
// customer's address, and an invitation must not go out by accident.

import { z } from 'zod'
import { userRoles } from '../fleet/user.ts'
import type { NewUser, UserFields } from '../partner/user-directory.ts'
import { countryCodeOf } from './countries.ts'

const longestText = 200

/** An empty text takes the value away, as null does. */
const optionalText = optional(z.string('expected a text'))

function optional(text: z.ZodString) {
  return text
    .trim()
    .max(longestText, `expected at most ${longestText} characters`)
    .refine((value) => !/\p{Cc}/u.test(value), 'expected one line without control characters')
    .nullable()
    .transform((value) => (value === '' ? null : value))
}

const email = z
  .string()
  .trim()
  .max(254, 'expected at most 254 characters')
  .refine(
    (text) => z.regexes.unicodeEmail.test(text) && /@[^.]+(?:\.[^.]+)+$/.test(text),
    'expected an e-mail address such as ada@example.com',
  )

const country = optionalText.transform((text, check) => {
  if (text === null) return null
  const code = text.length === 2 ? countryCodeOf(text) : null
  if (code === null) {
    check.addIssue(`expected a country of ISO 3166-1 such as AT or DE, not ${JSON.stringify(text)}`)
    return z.NEVER
  }
  return code
})

const role = z.enum(userRoles, { error: `expected one of ${userRoles.join(', ')}` })

const fields = {
  role,
  email,
  external_user_id: optionalText,
  first_name: optionalText,
  last_name: optionalText,
  street_and_number: optionalText,
  street_add_info: optionalText,
  zip_code: optional(z.string('expected a text: as a number it would lose its leading zeros')),
  town: optionalText,
  country,
  latitude: z
    .number('expected degrees from -90 to 90')
    .min(-90, 'expected degrees from -90 to 90')
    .max(90, 'expected degrees from -90 to 90')
    .nullable(),
  longitude: z
    .number('expected degrees from -180 to 180')
    .min(-180, 'expected degrees from -180 to 180')
    .max(180, 'expected degrees from -180 to 180')
    .nullable(),
}

/** What may be changed, in any combination. */
const UserInput = z.strictObject(fields).partial()
export type UserInput = z.output<typeof UserInput>

const NewUserInput = z.strictObject(fields).partial().required({ role: true, email: true })
export type NewUserInput = z.output<typeof NewUserInput>

export type UserField = keyof UserFields
export const userFieldNames = Object.keys(fields) as readonly UserField[]

type Checked<T> =
  | { readonly ok: true; readonly fields: T }
  | { readonly ok: false; readonly problems: readonly string[] }

export function checkUserInput(input: unknown): Checked<UserFields> {
  return checked(UserInput.safeParse(input))
}

export function checkNewUser(input: unknown): Checked<NewUser> {
  return checked(NewUserInput.safeParse(input))
}

/** From texts, as a command line and a CSV file have them. What is no number is left for the check to name. */
export function fieldsOfTexts(texts: Readonly<Partial<Record<UserField, string>>>): Record<string, unknown> {
  const values: Record<string, unknown> = { ...texts }
  for (const field of ['latitude', 'longitude'] as const) {
    const text = texts[field]?.trim()
    if (text === undefined) continue
    // A decimal comma, as German spreadsheets write it.
    const number = Number(text.replace(',', '.'))
    values[field] = text === '' ? null : Number.isNaN(number) ? text : number
  }
  return values
}

/** The way out where somebody would be invited without being asked for; null: nobody is. */
export function invitationProblem(
  change: Pick<UserFields, 'role'>,
  isInvitationWanted: boolean,
): string | null {
  if (isInvitationWanted || (change.role !== 'staff' && change.role !== 'admin')) return null
  return `role: ${change.role} sends this person an invitation e-mail; say that you want that (--invite)`
}

/** Without the members that are undefined, which no JSON has. */
function checked<T extends object>(
  parsed: z.ZodSafeParseResult<T>,
): Checked<{ -readonly [K in keyof T]: Exclude<T[K], undefined> }> {
  if (parsed.success) {
    const entries = Object.entries(parsed.data).filter(([, value]) => value !== undefined)
    return { ok: true, fields: Object.fromEntries(entries) as never }
  }
  const problems = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  )
  return { ok: false, problems }
}
