// Whether two checked configurations, or parts of them, say the same: secrets are compared by what
// they hold, which a comparison of objects cannot see.

import { Secret } from './secret.ts'

/** Plain values, arrays, objects and secrets; functions count as the same. */
export function isSameValue(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (typeof one === 'function' && typeof other === 'function') return true
  if (one instanceof Secret || other instanceof Secret) {
    return one instanceof Secret && other instanceof Secret && one.reveal() === other.reveal()
  }
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const entries = Object.entries(one)
  const others: Readonly<Record<string, unknown>> = { ...other }
  return (
    entries.length === Object.keys(others).length &&
    entries.every(([key, value]) => Object.hasOwn(others, key) && isSameValue(value, others[key]))
  )
}
