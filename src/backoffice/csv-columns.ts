// Which column of a CSV file is what: by the names in its first line, English or German, however they are spelt,
// or as somebody says (`external_user_id=Kundennummer`). Pure.

import { FileError } from '../yaml-file.ts'
import { folded } from './comparison.ts'

export interface ColumnNames {
  /** What a column may be called besides its own name. */
  readonly [name: string]: readonly string[]
}

/** Where a user's fields stand in exports of customer systems. */
export const userColumns = {
  external_user_id: [
    ...[
      'external id',
      'customer id',
      'customer number',
      'customer no',
      'Kundennummer',
      'Kunden-Nr',
      'Kunden-ID',
    ],
    ...['Kd-Nr', 'Debitor', 'Debitorennummer'],
  ],
  email: ['e-mail', 'mail', 'e-mail address', 'E-Mail-Adresse', 'Mailadresse'],
  first_name: ['given name', 'Vorname'],
  last_name: ['surname', 'family name', 'Nachname', 'Familienname', 'Zuname'],
  street_and_number: [
    'street',
    'address',
    'street address',
    'Straße',
    'Strasse und Hausnummer',
    'Adresse',
    'Anschrift',
  ],
  house_number: ['house no', 'Hausnummer', 'Haus-Nr'],
  street_add_info: ['address line 2', 'address extra', 'Adresszusatz', 'Zusatz', 'Top', 'Stiege'],
  zip_code: ['zip', 'postcode', 'post code', 'postal code', 'PLZ', 'Postleitzahl'],
  town: ['city', 'Ort', 'Stadt', 'Wohnort', 'Gemeinde'],
  country: ['country code', 'country iso2', 'Land', 'Ländercode', 'Länderkennzeichen'],
  latitude: ['lat', 'Breitengrad', 'Breite'],
  longitude: ['lon', 'lng', 'long', 'Längengrad', 'Länge'],
} as const satisfies ColumnNames

interface Header {
  readonly file: string
  readonly line: number
  readonly header: readonly string[]
}

/**
 * The index of each known column that the file has. `given`: what somebody says, our name → theirs; known
 * names are in `names`. Throws FileError with all that is wrong: a required column that is not there, a given
 * name that is none, one that two columns have.
 */
export function mapColumns<Name extends string>(
  { file, line, header }: Header,
  {
    names,
    required,
    given,
  }: {
    readonly names: Readonly<Record<Name, readonly string[]>>
    readonly required: readonly Name[]
    readonly given: ReadonlyMap<Name, string>
  },
): ReadonlyMap<Name, number> {
  const found = new Map<Name, number>()
  const messages: { readonly column: number; readonly message: string }[] = []
  const plain = header.map(plainName)
  const all = Object.keys(names) as Name[]
  for (const name of all) {
    const theirs = given.get(name)
    const wanted = theirs === undefined ? [name, ...names[name]].map(plainName) : [plainName(theirs)]
    const indexes = plain.flatMap((each, index) => (wanted.includes(each) ? [index] : []))
    const [index, another] = indexes
    if (another !== undefined && index !== undefined) {
      const both = `"${header[index]}" and "${header[another]}"`
      messages.push({ column: another + 1, message: `${both} both look like ${name}: ${wayOut(name)}` })
    } else if (index !== undefined) {
      found.set(name, index)
    } else if (theirs !== undefined) {
      messages.push({ column: 1, message: `no column is called "${theirs}"; there are: ${list(header)}` })
    } else if (required.includes(name)) {
      const known = [name, ...names[name].slice(0, 3)].map((each) => `"${each}"`).join(', ')
      messages.push({
        column: 1,
        message: `no column for ${name}: expected ${known} or the like; there are: ${list(header)}; ${wayOut(name)}`,
      })
    }
  }
  if (messages.length > 0) throw new FileError(messages.map((each) => ({ file, line, ...each })))
  return found
}

/** `external_user_id=Kundennummer,email="E-Mail, privat"`; null: it is no such list, or a name is none of `names`. */
export function parseColumnNames<Name extends string>(
  text: string,
  names: Readonly<Record<Name, readonly string[]>>,
): ReadonlyMap<Name, string> | { readonly problem: string } {
  const given = new Map<Name, string>()
  const pair = /\s*([^=,\s]+)\s*=\s*("(?:[^"]|"")*"|[^,]*)(?:,|$)/y
  for (let at = 0; at < text.length; at = pair.lastIndex) {
    pair.lastIndex = at
    const [, ours, theirs = ''] = pair.exec(text) ?? []
    if (ours === undefined) return { problem: 'expected NAME=COLUMN,NAME=COLUMN' }
    const all = Object.keys(names) as Name[]
    const name =
      all.find((each) => plainName(each) === plainName(ours)) ??
      all.find((each) => names[each].some((alias) => plainName(alias) === plainName(ours)))
    if (name === undefined) return { problem: `"${ours}" is none of ${Object.keys(names).join(', ')}` }
    given.set(name, theirs.startsWith('"') ? theirs.slice(1, -1).replaceAll('""', '"') : theirs.trim())
  }
  return given
}

function plainName(name: string): string {
  return folded(name).replaceAll(' ', '')
}

function wayOut(name: string): string {
  return `say which one it is with --columns ${name}=NAME`
}

function list(header: readonly string[]): string {
  const shown = header.slice(0, 20).map((name) => `"${name}"`)
  return [...shown, ...(header.length > 20 ? [`and ${header.length - 20} more`] : [])].join(', ')
}
