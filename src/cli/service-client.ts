// The commands that speak to a running service: where it is, asking it, and saying what went wrong.

import { z } from 'zod'
import { loadConfig } from '../config.ts'
import { timeHeader } from '../http/access.ts'
import { createJsonListScanner } from '../partner/json-array-stream.ts'
import type { CliContext } from './context.ts'
import { readFile } from './load.ts'
import { plain } from './printed.ts'
import { UsageError } from './usage-error.ts'

export interface ServiceOptions {
  readonly url?: string
  readonly config?: string
}

export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly kind: 'unreachable' | 'refused' | 'not_found' | 'strange_answer'
  /** Null: no answer. */
  readonly status: number | null
  /** What a Retry-After asks for; null without one. */
  readonly retryAfterMs: number | null

  constructor(
    kind: ServiceError['kind'],
    message: string,
    options: {
      readonly cause?: unknown
      readonly status?: number
      readonly retryAfterMs?: number | null
    } = {},
  ) {
    super(message, options)
    this.kind = kind
    this.status = options.status ?? null
    this.retryAfterMs = options.retryAfterMs ?? null
  }
}

export interface ServiceClient {
  /** Each rejects with ServiceError. `parameters`: pairs, since a name may come more than once. */
  get<Schema extends z.ZodType>(
    path: string,
    parameters: readonly (readonly [string, string])[],
    schema: Schema,
  ): Promise<z.output<Schema>>
  post<Schema extends z.ZodType>(path: string, body: unknown, schema: Schema): Promise<z.output<Schema>>
  /** For what the service passes on to the partner, which may have to be waited for. */
  change<Schema extends z.ZodType>(
    request: { readonly method: 'POST' | 'PATCH'; readonly path: string; readonly body: unknown },
    schema: Schema,
  ): Promise<z.output<Schema>>
  /** A list of any length, item by item. Rejects also in the middle: one that ends well is whole. */
  items<Schema extends z.ZodType>(
    path: string,
    parameters: readonly (readonly [string, string])[],
    schema: Schema,
  ): AsyncIterable<z.output<Schema>>
  text(path: string): Promise<string>
  delete(path: string): Promise<void>
  /** What time it is for the service (ms since 1970): a demo's runs ahead, and clocks differ. */
  now(): Promise<number>
}

const defaultUrl = 'http://127.0.0.1:9469'
const timeoutMs = 30_000
// A change waits for the partner, its Retry-After, and a look whether it was made after all.
const changeTimeoutMs = 10 * 60_000

/** Rejects with UsageError for a wrong URL, and with FileError for a configuration that is not valid. */
export async function connectService(options: ServiceOptions, context: CliContext): Promise<ServiceClient> {
  return createServiceClient(await serviceUrl(options, context), context)
}

async function serviceUrl({ url, config: file }: ServiceOptions, { env }: CliContext): Promise<string> {
  if (url !== undefined) return checkedUrl(url)
  if (file === undefined) return defaultUrl
  // Only the address is wanted: whether the rules are in order is not this command's business.
  const { http } = await loadConfig({ file, readFile, env, checkRuleFiles: async () => [] })
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[http.host] ?? http.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${http.port}`
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    const example = `an address such as ${defaultUrl}`
    throw new UsageError(`--url: expected ${example}, without user and password`)
  }
  return (url.origin + url.pathname).replace(/\/+$/, '')
}

function createServiceClient(url: string, { signal, clock }: CliContext): ServiceClient {
  /** How far ahead of ours its clock is; null: not known yet. */
  let aheadMs: number | null = null

  async function ask(
    path: string,
    init: RequestInit,
    timeout = { ms: timeoutMs, signal: AbortSignal.timeout(timeoutMs) },
  ): Promise<Response> {
    let response: Response
    try {
      response = await fetch(url + path, {
        ...init,
        redirect: 'error',
        signal: AbortSignal.any([signal, timeout.signal]),
      })
    } catch (error) {
      const why = timeout.signal.aborted ? `no answer within ${timeout.ms / 1_000} s` : reasonOf(error)
      throw new ServiceError(
        'unreachable',
        `cannot reach the service at ${url}: ${why}; is it running, and is this its address (--url)?`,
        { cause: error },
      )
    }
    const toldAt = Date.parse(response.headers.get(timeHeader) ?? '')
    if (!Number.isNaN(toldAt)) aheadMs = toldAt - clock.now()
    if (response.ok) return response
    const said = plain(messageIn(await response.text().catch(() => '')))
    const message = `the service answers ${response.status}${said === '' ? '' : `: ${said}`}`
    const seconds = Number(response.headers.get('Retry-After') ?? Number.NaN)
    throw new ServiceError(response.status === 404 ? 'not_found' : 'refused', message, {
      status: response.status,
      retryAfterMs: Number.isFinite(seconds) ? seconds * 1_000 : null,
    })
  }

  async function decoded<Schema extends z.ZodType>(
    response: Response,
    schema: Schema,
  ): Promise<z.output<Schema>> {
    return checked(await response.json().catch(() => undefined), schema)
  }

  function checked<Schema extends z.ZodType>(value: unknown, schema: Schema): z.output<Schema> {
    const parsed = schema.safeParse(value)
    if (parsed.success) return parsed.data
    throw new ServiceError(
      'strange_answer',
      `what answers at ${url} is not Fleetwarden, or of another version`,
    )
  }

  async function* items<Schema extends z.ZodType>(
    path: string,
    parameters: readonly (readonly [string, string])[],
    schema: Schema,
  ): AsyncGenerator<z.output<Schema>> {
    // Only until it begins: nobody knows how long a list is.
    const late = new AbortController()
    const hasBegun = new AbortController()
    clock.sleep(changeTimeoutMs, hasBegun.signal).then(
      () => late.abort(),
      () => {},
    )
    let response: Response
    try {
      response = await ask(withQuery(path, parameters), {}, { ms: changeTimeoutMs, signal: late.signal })
    } finally {
      hasBegun.abort()
    }
    const scanner = createJsonListScanner()
    try {
      for await (const chunk of response.body ?? []) {
        for (const value of scanner.push(Buffer.from(chunk))) yield checked(value, schema)
      }
      scanner.end()
    } catch (error) {
      if (signal.aborted || error instanceof ServiceError) throw error
      throw new ServiceError('strange_answer', 'the list broke off: the log of the service says why', {
        cause: error,
      })
    }
  }

  return {
    async get(path, parameters, schema) {
      return decoded(await ask(withQuery(path, parameters), {}), schema)
    },
    items,
    async text(path) {
      return (await ask(path, {})).text()
    },
    async change({ method, path, body }, schema) {
      const headers = { 'Content-Type': 'application/json' }
      const timeout = { ms: changeTimeoutMs, signal: AbortSignal.timeout(changeTimeoutMs) }
      return decoded(await ask(path, { method, headers, body: JSON.stringify(body) }, timeout), schema)
    },
    async post(path, body, schema) {
      const headers = { 'Content-Type': 'application/json' }
      return decoded(await ask(path, { method: 'POST', headers, body: JSON.stringify(body) }), schema)
    },
    async now() {
      if (aheadMs === null) await ask('/api/v2/receivers', {})
      return clock.now() + (aheadMs ?? 0)
    },
    async delete(path) {
      await ask(path, { method: 'DELETE' })
    },
  }
}

function withQuery(path: string, parameters: readonly (readonly [string, string])[]): string {
  const query = new URLSearchParams()
  for (const [name, value] of parameters) query.append(name, value)
  return `${path}?${query}`
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  if (cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED')
    return 'nothing listens there'
  return cause instanceof Error ? cause.message : String(cause)
}

/** A JSON string, {"error": …}, or the beginning of whatever it is. */
function messageIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body)
    const known = z.union([z.string(), z.object({ error: z.string() }).transform(({ error }) => error)])
    return known.parse(parsed)
  } catch {
    return body.trim().slice(0, 200)
  }
}
