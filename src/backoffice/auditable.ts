// What may stand in a record of the audit trail: plain JSON of bounded size, without secrets. Whoever
// writes an entry gives none; this is the second look, for the day on which somebody does.

import { scrub } from '../logger.ts'

const longestText = 4_096
const longestList = 100
const deepest = 8
const namesSecret = /(?:token|secret|passwd|password|authorization|cookie|api_?key|signature|credential)s?$/i

/** The members of `fields`, fit to be kept. Never throws. */
export function auditable(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  // fromEntries makes own members, also of a key that is called __proto__.
  return Object.fromEntries(
    Object.entries(fields)
      .slice(0, longestList)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [plainText(key), member(key, value, 1)]),
  )
}

/** Ids by what they are ids of. */
export function auditableTarget(target: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(target).map(([key, id]) => [plainText(key), plainText(id)]))
}

function member(key: string, value: unknown, depth: number): unknown {
  const isText = typeof value === 'string' || (typeof value === 'object' && value !== null)
  return isText && namesSecret.test(key) ? '<secret>' : plain(value, depth)
}

function plain(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return plainText(value)
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'boolean':
      return value
    case 'bigint':
      return String(value)
    case 'object':
      return value === null ? null : plainObject(value, depth)
    default:
      return null
  }
}

function plainObject(value: object, depth: number): unknown {
  if (depth > deepest) return '<too deep>'
  if (value instanceof Error) return plainText(value.message)
  if (Array.isArray(value)) {
    const items = value.slice(0, longestList).map((item) => plain(item, depth + 1))
    return value.length > longestList ? [...items, `<and ${value.length - longestList} more>`] : items
  }
  // Secret and Date among others: an object that says what may be shown of it.
  if ('toJSON' in value && typeof value.toJSON === 'function') return plain(value.toJSON(), depth + 1)
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, longestList)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [plainText(key), member(key, item, depth + 1)]),
  )
}

function plainText(text: string): string {
  const clean = scrub(text)
  return clean.length > longestText ? `${clean.slice(0, longestText)}…` : clean
}
