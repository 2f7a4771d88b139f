// What an expression may read: the variables of each kind of rule and the types of their fields.
// Made from the tables of src/fleet, so that a field is declared once.

import {
  type DeviceIdentity,
  deviceFields,
  deviceGroupName,
  deviceName,
  deviceTypes,
  type FieldType,
} from '../fleet/device.ts'
import { energyContractFields, migrationFields, userFields } from '../fleet/user.ts'
import { walkFields } from '../fleet/walk.ts'
import type { FleetGroupLabel } from './rule.ts'

export type ScalarType = 'string' | 'double' | 'int' | 'bool' | 'timestamp' | 'duration'

export interface RecordType {
  readonly kind: 'record'
  /** Its name in CEL, and in messages. */
  readonly name: string
  readonly fields: Readonly<Record<string, Field>>
}

export interface ListType {
  readonly kind: 'list'
  /** Null: the empty list, which is a list of anything. */
  readonly element: ExpressionType | null
}

export type ExpressionType = ScalarType | RecordType | ListType

export interface Field {
  readonly type: ExpressionType
  /** This value says as little as null does, so it is read as missing. */
  readonly missingValue?: string
  /** All values that it can have: a comparison with another one is a typing error. */
  readonly values?: readonly string[]
  /** Not held in the record but made from it; always known. */
  readonly derive?: (record: object) => string
}

/** The variables in scope of an expression. */
export type Variables = Readonly<Record<string, Field>>

function fieldsOf(table: Readonly<Record<string, FieldType>>): Record<string, Field> {
  return Object.fromEntries(Object.entries(table).map(([name, type]) => [name, { type }]))
}

const status: Field = { type: 'string', missingValue: 'unknown' }

const actionType: RecordType = { kind: 'record', name: 'Action', fields: { code: { type: 'string' } } }

const deviceRecord: RecordType = {
  kind: 'record',
  name: 'Device',
  fields: {
    id: { type: 'string' },
    type: { type: 'string', values: deviceTypes },
    manufacturer: { type: 'string' },
    model: { type: 'string' },
    name: { type: 'string', derive: (device) => deviceName(device as DeviceIdentity) },
    actions: { type: { kind: 'list', element: actionType } },
    ...fieldsOf(deviceFields),
    connection_status: status,
    monitoring_status: status,
    steering_status: status,
  },
}

const contractType: RecordType = {
  kind: 'record',
  name: 'EnergyContract',
  fields: fieldsOf(energyContractFields),
}

const userRecord: RecordType = {
  kind: 'record',
  name: 'User',
  fields: {
    id: { type: 'string' },
    external_user_id_count: { type: 'double' },
    energy_contracts: { type: { kind: 'list', element: contractType } },
    ...fieldsOf(userFields),
    ...fieldsOf(migrationFields),
  },
}

const walkRecord: RecordType = {
  kind: 'record',
  name: 'Walk',
  fields: { ...fieldsOf(walkFields), outcome: { type: 'string', values: ['complete', 'partial', 'failed'] } },
}

const now: Field = { type: 'timestamp' }

export const deviceVariables: Variables = {
  device: { type: deviceRecord },
  user: { type: userRecord },
  now,
}

export const userVariables: Variables = { user: { type: userRecord }, now }

export const serviceVariables: Variables = { walk: { type: walkRecord }, now }

type FleetGroupLabels = Readonly<Partial<Record<FleetGroupLabel, string>>>

// One object for all rules with the same `by`: expressions are checked in an environment of each.
const fleetVariablesByName = new Map<string, Variables>()

/** For `expr`, `clear` and templates of a fleet rule: counts of one group, and the group's labels. */
export function fleetVariables(by: readonly FleetGroupLabel[]): Variables {
  // The name is the type's identity in CEL.
  const groupName = `Group${by.map((label) => `_${label}`).join('')}`
  const known = fleetVariablesByName.get(groupName)
  if (known !== undefined) return known
  const count: Field = { type: 'double' }
  const variables: Variables = {
    matching: count,
    total: count,
    unknown: count,
    ratio: count,
    walk: { type: walkRecord },
    now,
    group: {
      type: {
        kind: 'record',
        name: groupName,
        fields: {
          ...Object.fromEntries(by.map((label) => [label, { type: 'string' as const }])),
          name: { type: 'string', derive: (group) => deviceGroupName(group as FleetGroupLabels) },
        },
      },
    },
  }
  fleetVariablesByName.set(groupName, variables)
  return variables
}

/** As CEL writes it: `list<string>`. */
export function typeName(type: ExpressionType): string {
  if (typeof type === 'string') return type
  if (type.kind === 'record') return type.name
  return type.element === null ? 'list' : `list<${typeName(type.element)}>`
}

export function sameType(a: ExpressionType, b: ExpressionType): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b
  if (a.kind === 'list' && b.kind === 'list') {
    return a.element === null || b.element === null || sameType(a.element, b.element)
  }
  return a.kind === 'record' && b.kind === 'record' && a.name === b.name
}

export function isRecord(type: ExpressionType): type is RecordType {
  return typeof type === 'object' && type.kind === 'record'
}
