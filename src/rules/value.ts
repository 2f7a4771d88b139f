// What expressions compute with. Unknown is a value like any other: it travels through operators,
// and only && and || (and loops, which are those over a list) can make it irrelevant.

import { formatDuration } from '../duration.ts'
import type { Walk } from '../fleet/walk.ts'
import type { ExpressionType, Field } from './scope.ts'

/** A field that is read is null or says "unknown". */
export const missing = Symbol('missing_field')
/** The expression itself went wrong: division by zero, an index out of range. */
export const fault = Symbol('rule_error')

export type Unknown = typeof missing | typeof fault

/** Instants and durations are milliseconds; `object` is a list or a record. */
export type Value = string | number | boolean | object | Unknown

/** The variables at run time; which of them are there is what the declarations in scope.ts say. */
export interface Scope {
  readonly now: number
  readonly device?: object
  readonly user?: object
  readonly walk?: Walk
  readonly group?: object
  readonly matching?: number
  readonly total?: number
  readonly unknown?: number
  readonly ratio?: number
}

export type Run = (scope: Scope) => Value

/** A compiled expression, or part of one. */
export interface Typed {
  readonly type: ExpressionType
  readonly run: Run
  /** The value of a literal. */
  readonly literal?: string | number | boolean
  /** The elements of a list that is written out. */
  readonly elements?: readonly Typed[]
  /** Only fields: their declaration, whether there is a value, and the value as it was sent. */
  readonly select?: { readonly field: Field; readonly present: Run; readonly raw: Run }
}

export function constant(type: ExpressionType, value: string | number | boolean): Typed {
  return { type, run: () => value, literal: value }
}

/** Something that a rule's author got wrong, at an offset (UTF-16 units) in the expression's text. */
export class ExpressionError extends Error {
  readonly kind = 'bad_expression'
  readonly offset: number

  constructor(message: string, offset: number, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ExpressionError'
    this.offset = offset
  }
}

export function isUnknown(value: Value): value is Unknown {
  return value === missing || value === fault
}

/**
 * What comes of operands that are not both of the type that was checked: the unknown one, a fault
 * before a missing field. Neither unknown: the data is not what it was declared to be, a fault.
 */
export function unknownOf(a: Value, b: Value = a): Unknown {
  if (a === fault || b === fault) return fault
  return a === missing || b === missing ? missing : fault
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

/** Ints beyond 2^53 would be silently wrong; zero has no sign. */
export function intOrFault(value: number): number | Unknown {
  return Number.isSafeInteger(value) ? value + 0 : fault
}

/** Infinity and NaN would make comparisons true or false for no reason. */
export function finiteOrFault(value: number): number | Unknown {
  return Number.isFinite(value) ? value : fault
}

/** A part of an expression that can be looked at by itself; `start` and `end` are offsets in its text. */
export interface Step {
  readonly start: number
  readonly end: number
  readonly depth: number
  readonly type: ExpressionType
  readonly run: Run
}

/**
 * For people: instants as `2026-03-01 12:00 UTC`, durations as `2h 5m`, numbers with three decimals at most, lists
 * joined by a comma. Undefined when the value is unknown.
 */
export function valueText(value: Value, type: ExpressionType): string | undefined {
  if (isUnknown(value)) return undefined
  if (typeof value === 'number') return numberText(value, type)
  if (!isList(value)) return String(value)
  const element = typeof type === 'object' && type.kind === 'list' ? (type.element ?? 'string') : 'string'
  return value.map((item) => valueText(item, element) ?? 'unknown').join(', ')
}

function numberText(value: number, type: ExpressionType): string {
  switch (type) {
    case 'timestamp':
      // The range of Date; beyond it, toISOString throws.
      return Math.abs(value) <= 8.64e15 ? minuteText(new Date(value).toISOString()) : 'never'
    case 'duration':
      return formatDuration(value)
    default:
      return String(Number(value.toFixed(3)))
  }
}

/** `2026-03-01T12:00:59.000Z` → `2026-03-01 12:00 UTC`: seconds are noise at 3 a.m. */
function minuteText(iso: string): string {
  return iso.replace(/^(.*)T(\d\d:\d\d):.*$/, '$1 $2 UTC')
}

/** Whether a value of this type means something to people: records do not. */
export function isPrintable(type: ExpressionType): boolean {
  if (typeof type === 'string') return true
  return type.kind === 'list' && (type.element === null || isPrintable(type.element))
}
