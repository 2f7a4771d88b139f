// The file that says who is to be moved over: a row for each user, with the record that is to be created, how many
// devices of each type are to be connected, whether there has to be an energy contract, and which old record is
// archived in the end. Everything that is wrong with it is told before anybody is created.

import type { DeviceType } from '../fleet/device.ts'
import type { NewUser } from '../partner/user-directory.ts'
import { FileError, type FileProblem } from '../yaml-file.ts'
import { userColumns } from './csv-columns.ts'
import type { CsvFile, CsvRow } from './csv-file.ts'
import { customerOf } from './reconciliation.ts'
import { checkNewUser, fieldsOfTexts } from './user-input.ts'

export const planColumns = {
  ...userColumns,
  heat_pumps: ['num_heat_pumps', 'heat pump', 'Wärmepumpen', 'Wärmepumpe'],
  electric_vehicles: ['num_electric_vehicles', 'vehicles', 'Elektroautos', 'E-Autos', 'Fahrzeuge'],
  inverters: ['num_inverters', 'inverter', 'Wechselrichter'],
  wallboxes: ['num_wallboxes', 'wallbox', 'Wallboxen'],
  contract: ['energy contract', 'Energievertrag', 'Vertrag'],
  language: ['Sprache'],
  price_zone: ['Preiszone'],
  old_user_id: ['old user', 'alter Benutzer'],
} as const

export type PlanColumn = keyof typeof planColumns

/** A row that can be sent as it is. */
export interface PlannedUser {
  readonly external_user_id: string
  readonly user: NewUser
  readonly expected: Readonly<Record<DeviceType, number>>
  readonly contract: boolean
  readonly language: string
  readonly price_zone: string | null
  readonly old_user_id: string | null
}

const countColumns = {
  heat_pump: 'heat_pumps',
  electric_vehicle: 'electric_vehicles',
  inverter: 'inverters',
  wallbox: 'wallboxes',
} as const satisfies Record<DeviceType, PlanColumn>

const mostProblems = 20
const mostDevices = 100
const words: Readonly<Record<string, boolean>> = {
  '': false,
  ...{ no: false, nein: false, false: false, 0: false },
  ...{ yes: true, ja: true, true: true, 1: true },
}

/**
 * Each row of the plan. Rejects with a FileError that has the first twenty things that are wrong; what was
 * yielded before counts for nothing then, so read it to its end before the first is sent.
 */
export async function* readPlan(
  csv: CsvFile,
  columns: ReadonlyMap<PlanColumn, number>,
  signal: AbortSignal,
): AsyncGenerator<PlannedUser> {
  const problems: FileProblem[] = []
  const lines = new Map<string, number>()
  for await (const rows of csv.rows(signal)) {
    for (const row of rows) {
      const { line } = row
      const parsed = parseRow(row, columns)
      const before = 'user' in parsed ? lines.get(parsed.external_user_id) : undefined
      const wrong =
        'problems' in parsed
          ? parsed.problems
          : before === undefined
            ? []
            : [`external_user_id: the same as in line ${before}`]
      for (const message of wrong) problems.push({ file: csv.file, line, column: 1, message })
      if (problems.length >= mostProblems) throw new FileError(problems)
      if (wrong.length > 0 || 'problems' in parsed) continue
      lines.set(parsed.external_user_id, line)
      yield parsed
    }
  }
  if (problems.length > 0) throw new FileError(problems)
}

function parseRow(
  row: CsvRow,
  columns: ReadonlyMap<PlanColumn, number>,
): PlannedUser | { readonly problems: readonly string[] } {
  const cell = (name: PlanColumn) => row.cells[columns.get(name) ?? -1] ?? ''
  const problems: string[] = []
  const { externalId, fields } = customerOf(row, columns as ReadonlyMap<keyof typeof userColumns, number>)
  if (externalId === '') problems.push('external_user_id: expected the id in the old system')
  const checked = checkNewUser({ role: 'user', ...fieldsOfTexts(fields) })
  if (!checked.ok) problems.push(...checked.problems)
  const expected = { heat_pump: 0, electric_vehicle: 0, inverter: 0, wallbox: 0 }
  for (const [type, column] of Object.entries(countColumns) as [DeviceType, PlanColumn][]) {
    const text = cell(column)
    const count = Number(text)
    if (/^\d*$/.test(text) && count <= mostDevices) expected[type] = count
    else problems.push(`${column}: expected how many, up to ${mostDevices}, not ${JSON.stringify(text)}`)
  }
  const contract = words[cell('contract').toLowerCase()]
  if (contract === undefined) {
    problems.push(`contract: expected yes or no, not ${JSON.stringify(cell('contract'))}`)
  }
  const language = cell('language') === '' ? 'en' : cell('language')
  if (!/^[a-z]{2}(?:-[A-Z]{2})?$/.test(language)) {
    problems.push(`language: expected de or en, say, not ${JSON.stringify(language)}`)
  }
  if (problems.length > 0 || !checked.ok) return { problems }
  return {
    external_user_id: externalId,
    user: checked.fields,
    expected,
    contract: contract ?? false,
    language,
    price_zone: cell('price_zone') === '' ? null : cell('price_zone'),
    old_user_id: cell('old_user_id') === '' ? null : cell('old_user_id'),
  }
}
