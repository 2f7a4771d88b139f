// The words for what a zod schema finds wrong in a value that somebody wrote: what is allowed, what is
// there, and what was probably meant. No positions (yaml-file.ts knows them), and no secrets: not the
// value of a field in `secretFields`, and of a URL no more than its host.

import { z } from 'zod'
import { nearestName } from './nearest-name.ts'

/** Schemas whose values no message may quote: `z.string().register(secretFields, {})`. */
export const secretFields = z.registry<Record<never, never>>()

/**
 * Keys that a strict object refuses for a reason better than "unknown key": key → message. Register
 * the finished object schema, since every method of it makes a new one.
 */
export const refusedKeys = z.registry<{ readonly keys: Readonly<Record<string, string>> }>()

/**
 * A scalar for a message: text in quotes, cut at 60 characters; of a URL its scheme and host, since
 * the rest may be a secret.
 */
export function quote(value: unknown): string {
  if (typeof value !== 'string') return value === undefined ? 'nothing' : String(value)
  let shown = value.replace(
    /([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/?#]*@)?([^\s/?#@]*)(\S*)/gi,
    (_, scheme: string, host: string, rest: string) => {
      if (rest.includes('@')) return `${scheme}…`
      return `${scheme}${host}${rest === '' || rest === '/' ? rest : '/…'}`
    },
  )
  // Where a colon is missing, YAML takes the next line, key and secret, for more of this text.
  shown = shown.replace(/\s\S*(?:secret|token|password|url|key).*$/is, ' …')
  return JSON.stringify(shown.length > 60 ? `${shown.slice(0, 60)}…` : shown)
}

/**
 * The message for an issue, one line; for unknown keys one line each. `written` is the whole value as
 * people wrote it, which is what a message quotes. Raw issues still know the schema that they come from.
 */
export function issueMessage(issue: z.core.$ZodRawIssue, written: unknown): string {
  const schema = issue.schema ?? (issue.inst instanceof z.ZodType ? issue.inst : undefined)
  const isSecret = schema !== undefined && secretFields.has(schema)
  const { input } = issue
  if (issue.code === 'unrecognized_keys') return unknownKeyMessages(issue.keys ?? [], schema).join('\n')
  if (issue.code === 'invalid_key') return issue.issues?.[0]?.message ?? 'this key is not allowed'
  if (input === undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_union')) return missing
  const isWhole = issue.code === 'invalid_type' && schema instanceof z.ZodNumberFormat
  const allowed = isWhole ? 'a whole number' : expectation(issue as z.core.$ZodIssue)
  if (allowed === undefined) return isSecret ? 'this value is not allowed' : `${quote(input)} is not allowed`
  // What stands where a mapping or list belongs may be a secret that slid up a level.
  const isCollectionWanted =
    issue.code === 'invalid_type' && ['array', 'object', 'record'].includes(String(issue.expected))
  const isQuotable = !isSecret && !isCollectionWanted && typeof input !== 'object'
  // Of a key, the path leads to no text.
  const there = valueAt(written, issue.path ?? [])
  const got = isQuotable ? quote(typeof there === 'object' ? input : (there ?? input)) : kindOf(input)
  const hint = hintFor(issue, allowed)
  // Of a whole list or mapping that breaks a rule, there is nothing more to say.
  if (issue.code === 'custom' && typeof input === 'object') return `expected ${allowed}${hint}`
  return `expected ${allowed}, got ${got}${hint}`
}

/** The message of a value that is not there; who tells it knows the key and names it. */
export const missing = 'is required'

function hintFor(issue: z.core.$ZodRawIssue, allowed: string): string {
  const { input } = issue
  if (issue.code === 'custom') {
    return typeof issue.params?.['hint'] === 'string' ? `: ${issue.params['hint']}` : ''
  }
  if (allowed === 'text' && (typeof input === 'number' || typeof input === 'boolean'))
    return ': put it in quotes'
  const isScalarWanted = allowed === 'a number' || allowed === 'a whole number' || allowed === 'true or false'
  if (isScalarWanted && typeof input === 'string' && /^(?:-?\d+(?:\.\d+)?|true|false)$/.test(input)) {
    return ': quotes and variables make text of it'
  }
  if (issue.code === 'invalid_value' && typeof input === 'string') {
    const nearest = nearestName(input, (issue.values ?? []).map(String))
    return nearest === undefined ? '' : `: did you mean ${quote(nearest)}?`
  }
  return ''
}

/** What would be right in the place of what is wrong; undefined when zod alone knows. */
function expectation(issue: z.core.$ZodIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? issue.expected
    case 'invalid_value': {
      const values = issue.values.map((value) => quote(value))
      return `${values.length > 1 ? 'one of ' : ''}${values.join(', ')}`
    }
    case 'too_small': {
      const bound = `${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}`
      return `${bound}${unitOf(issue.origin, issue.minimum)}`
    }
    case 'too_big': {
      const bound = `${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}`
      return `${bound}${unitOf(issue.origin, issue.maximum)}`
    }
    case 'invalid_format':
      return issue.pattern === undefined ? `text in the format ${issue.format}` : `text like ${issue.pattern}`
    case 'invalid_union': {
      const alternatives = issue.errors.flatMap(([first]) => (first && expectation(first)) ?? [])
      return alternatives.length > 0 ? [...new Set(alternatives)].join(' or ') : undefined
    }
    case 'custom':
      return typeof issue.params?.['expected'] === 'string' ? issue.params['expected'] : undefined
    default:
      return undefined
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  null: 'nothing',
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeNames[typeof value] ?? typeof value
}

function unitOf(origin: string, count: number | bigint): string {
  if (origin === 'string') return count === 1 ? ' character' : ' characters'
  if (origin === 'array') return count === 1 ? ' entry' : ' entries'
  return ''
}

function unknownKeyMessages(keys: readonly string[], schema: z.core.$ZodType | undefined): string[] {
  const refused = (schema && refusedKeys.get(schema)?.keys) ?? {}
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
  return keys.map((key) => {
    const refusal = Object.hasOwn(refused, key) ? refused[key] : undefined
    if (refusal !== undefined) return refusal
    const nearest = nearestName(key, [...known, ...Object.keys(refused)])
    if (nearest !== undefined) return `unknown key ${quote(key)}: did you mean ${quote(nearest)}?`
    return `unknown key ${quote(key)}${known.length > 0 ? `: known here are ${known.join(', ')}` : ''}`
  })
}

/** What stands at a path of a parsed value; undefined if nothing does. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value
  for (const step of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, step)) return undefined
    current = Reflect.get(current, step)
  }
  return current
}
