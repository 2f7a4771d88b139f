// Bodies of requests: JSON, of limited size, checked against a schema. What is not is an ApiError
// that says so.

import type { Context } from 'hono'
import { z } from 'zod'
import { createMatcher, type Matcher, MatcherError } from '../matcher.ts'
import { ApiError } from './api-error.ts'

const mostBodyBytes = 1024 * 1024
const mostMatchers = 64
// Compiling takes some 20 µs a character; a request may not hold up the walk.
const mostPatternCharacters = 8_192

/** @throws ApiError */
export async function readJson<Schema extends z.ZodType>(
  context: Context,
  schema: Schema,
): Promise<z.output<Schema>> {
  const type = context.req.header('Content-Type') ?? ''
  // Also what keeps forms of other pages out.
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw new ApiError(
      400,
      `expected Content-Type: application/json, not ${type === '' ? 'none' : quote(type)}`,
    )
  }
  const parsed = schema.safeParse(parse(await readBody(context, mostBodyBytes)))
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.slice(0, 10).map(({ path, message }) => {
    const place = path.map(String).join('.').slice(0, 100)
    return place === '' ? message : `${place}: ${message}`
  })
  throw new ApiError(400, problems.join('; '))
}

/**
 * Not hono's own body limit: for a body that comes in chunks it makes a new Request out of the old one,
 * which fails beside a server that leaves Node's Request in place.
 */
export async function readBody(context: Context, mostBytes: number): Promise<Uint8Array> {
  const announced = Number(context.req.header('Content-Length') ?? 0)
  const chunks: Uint8Array[] = []
  let bytes = 0
  if (announced <= mostBytes) {
    for await (const chunk of context.req.raw.body ?? []) {
      bytes += chunk.length
      if (bytes > mostBytes) break
      chunks.push(chunk)
    }
  }
  if (Math.max(announced, bytes) > mostBytes) {
    throw new ApiError(413, `a body may have ${mostBytes} bytes`)
  }
  return Buffer.concat(chunks)
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new ApiError(400, 'the body is no JSON in UTF-8', { cause: error })
  }
}

/** A label matcher as Alertmanager's API writes it. */
const matcherBody = z.object({
  name: z.string().min(1).max(1_024),
  value: z.string(),
  isRegex: z.boolean(),
  isEqual: z
    .boolean()
    .nullish()
    .transform((isEqual) => isEqual ?? true),
})

export const matchersBody = z
  .array(matcherBody)
  .min(1, 'expected at least one matcher')
  .max(mostMatchers, `expected at most ${mostMatchers} matchers`)

/** @throws ApiError when one is none. */
export function matchersOf(body: z.output<typeof matchersBody>): readonly Matcher[] {
  const patterns = body.reduce((sum, { isRegex, value }) => sum + (isRegex ? value.length : 0), 0)
  if (patterns > mostPatternCharacters) {
    throw new ApiError(400, `patterns may have ${mostPatternCharacters} characters together, not ${patterns}`)
  }
  try {
    return body.map(({ name, value, isRegex, isEqual }) =>
      createMatcher(name, isRegex ? (isEqual ? '=~' : '!~') : isEqual ? '=' : '!=', value),
    )
  } catch (error) {
    if (!(error instanceof MatcherError)) throw error
    throw new ApiError(400, shortened(error.message), { cause: error })
  }
}

export function matcherJson({ name, operator, value }: Matcher) {
  return { name, value, isRegex: operator.endsWith('~'), isEqual: !operator.startsWith('!') }
}

// Go's RFC 3339: any number of digits after the second, and a zone.
const instantPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i

/** An instant as text; gives milliseconds since 1970. */
export const instantBody = z.string().transform((text, check) => {
  const at = instantPattern.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN
  if (Number.isNaN(at)) check.addIssue(`expected an instant such as 2026-05-01T08:00:00Z, not ${quote(text)}`)
  return at
})

/** Not more of what somebody sent than helps to find it again. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}

export function shortened(message: string): string {
  return message.length > 300 ? `${message.slice(0, 300)}…` : message
}
