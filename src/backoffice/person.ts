// A customer as somebody to be found again: in labels, comments, matchers, details. Ids, the e-mail
// address and the full name are looked for as words of any text; the utility's own id of the customer,
// which may be as short as `17`, only where it is all that a text says.

export interface PersonFacts {
  readonly userId: string
  readonly deviceIds: readonly string[]
  /** First and last name. */
  readonly names: readonly string[]
  readonly emails: readonly string[]
  readonly externalIds: readonly string[]
  /** Fingerprints of the alerts about the person. */
  readonly fingerprints: readonly string[]
}

export interface Person {
  readonly userId: string
  readonly deviceIds: ReadonlySet<string>
  readonly externalIds: ReadonlySet<string>
  readonly fingerprints: ReadonlySet<string>
  /** Whether the text names the person, or a device of theirs. */
  isIn(text: string): boolean
  /** The same of any text within a value that is JSON, its keys included. */
  isWithin(value: unknown): boolean
}

// A first name alone, or a company of two letters, would be found everywhere.
const shortestName = 5

export function createPerson(facts: PersonFacts): Person {
  const deviceIds = new Set(facts.deviceIds)
  const externalIds = new Set(facts.externalIds.filter((id) => id !== ''))
  const names = facts.names.filter((name) => name.length >= shortestName && /\s/.test(name))
  const words = [facts.userId, ...deviceIds, ...facts.emails, ...names]
  const pattern = wordsPattern(words)
  const isIn = (text: string) => externalIds.has(text) || pattern.test(text)
  return {
    userId: facts.userId,
    deviceIds,
    externalIds,
    fingerprints: new Set(facts.fingerprints),
    isIn,
    isWithin: (value) => isWithin(value, isIn),
  }
}

/** Whether one of these ids stands as a word in a text of the value. */
export function mentions(value: unknown, ids: readonly string[]): boolean {
  const pattern = wordsPattern(ids)
  return isWithin(value, (text) => pattern.test(text))
}

function isWithin(value: unknown, isIn: (text: string) => boolean): boolean {
  if (typeof value === 'string') return isIn(value)
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([key, item]) => isIn(key) || isWithin(item, isIn))
}

function wordsPattern(words: readonly string[]): RegExp {
  const escaped = words
    .filter((word) => word !== '')
    .map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
  // An id may not be the beginning of another one.
  const edge = '[\\p{L}\\p{N}_-]'
  return escaped.length === 0 ? /(?!)/ : new RegExp(`(?<!${edge})(?:${escaped.join('|')})(?!${edge})`, 'iu')
}
