// The commands that speak to a running service: where it is, asking it, and saying what went wrong.

import { z } from 'zod'
import { readFailure } from '../config/sources.ts'
import { loadConfig } from '../config.ts'
import { timeHeader } from '../http/access.ts'
import { isLoopbackName } from '../http/address.ts'
import { isTokenText } from '../http/identity.ts'
import { createJsonListScanner } from '../partner/json-array-stream.ts'
import { Secret } from '../secret.ts'
import type { CliContext } from './context.ts'
import { readFile } from './load.ts'
import { plain } from './printed.ts'
import { UsageError } from './usage-error.ts'

export interface ServiceOptions {
  readonly url?: string
  readonly config?: string
  /** Holds the access token; else the environment does, if anything. */
  readonly tokenFile?: string
}

export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly kind: 'unreachable' | 'refused' | 'not_found' | 'strange_answer' | 'unknown_caller' | 'not_allowed'
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

/** Whether it may take minutes. */
interface LongAnswer {
  readonly isLong?: boolean
}

export interface ServiceClient {
  /** Each rejects with ServiceError. `parameters`: pairs, since a name may come more than once. */
  get<Schema extends z.ZodType>(
    path: string,
    parameters: readonly (readonly [string, string])[],
    schema: Schema,
    options?: LongAnswer,
  ): Promise<z.output<Schema>>
  /** The lines of an answer as they arrive; rejects when it breaks off. */
  lines(path: string, parameters: readonly (readonly [string, string])[]): AsyncIterable<string>
  post<Schema extends z.ZodType>(
    path: string,
    body: unknown,
    schema: Schema,
    options?: LongAnswer,
  ): Promise<z.output<Schema>>
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
/** For answers that are long, or that everything stands still for. */
const longTimeoutMs = 15 * 60_000
// A change waits for the partner, its Retry-After, and a look whether it was made after all.
const changeTimeoutMs = 10 * 60_000

const tokenVariable = 'FLEETWARDEN_TOKEN'

/**
 * Rejects with UsageError for a wrong URL or token, and with FileError for a configuration that is not valid.
 */
export async function connectService(options: ServiceOptions, context: CliContext): Promise<ServiceClient> {
  const url = await serviceUrl(options, context)
  const token = await accessToken(options, context)
  const { protocol, hostname } = new URL(url)
  if (token !== null && protocol !== 'https:' && !isLoopbackName(hostname)) {
    throw new UsageError(
      `the access token is not sent to ${url}: whoever is on the way could read it. Give an https:// address (--url), or run this on the machine of the service`,
    )
  }
  return createServiceClient({ url, token }, context)
}

async function accessToken({ tokenFile }: ServiceOptions, { env }: CliContext): Promise<Secret | null> {
  const variable = env[tokenVariable]
  if (tokenFile === undefined && (variable === undefined || variable === '')) return null
  const name = tokenFile === undefined ? tokenVariable : `--token-file ${tokenFile}`
  const text = tokenFile === undefined ? variable : await tokenIn(tokenFile)
  const token = (text ?? '').replace(/[\r\n]+$/, '')
  if (!isTokenText(token)) throw new UsageError(`${name}: expected an access token on one line`)
  return new Secret(token)
}

async function tokenIn(file: string): Promise<string> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new UsageError(`--token-file: ${readFailure(file, error)}`, { cause: error })
  }
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

function timeoutAfter(ms: number): { readonly ms: number; readonly signal: AbortSignal } {
  return { ms, signal: AbortSignal.timeout(ms) }
}

function createServiceClient(
  { url, token }: { readonly url: string; readonly token: Secret | null },
  { signal, clock }: CliContext,
): ServiceClient {
  /** How far ahead of ours its clock is; null: not known yet. */
  let aheadMs: number | null = null

  async function ask(
    path: string,
    init: { method?: string; headers?: Readonly<Record<string, string>>; body?: string },
    timeout = timeoutAfter(timeoutMs),
  ): Promise<Response> {
    let response: Response
    try {
      response = await fetch(url + path, {
        ...init,
        headers: {
          ...init.headers,
          ...(token === null ? {} : { Authorization: `Bearer ${token.reveal()}` }),
        },
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
    const details = {
      status: response.status,
      retryAfterMs: Number.isFinite(seconds) ? seconds * 1_000 : null,
    }
    switch (response.status) {
      case 401: {
        const wayOut =
          token === null
            ? `; give your access token with --token-file FILE or ${tokenVariable}`
            : '; `fleetwarden token create` makes a new one'
        throw new ServiceError('unknown_caller', message + wayOut, details)
      }
      case 403:
        throw new ServiceError('not_allowed', message, details)
      case 404:
        throw new ServiceError('not_found', message, details)
      default:
        throw new ServiceError('refused', message, details)
    }
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
    async get(path, parameters, schema, { isLong = false } = {}) {
      const timeout = timeoutAfter(isLong ? longTimeoutMs : timeoutMs)
      return decoded(await ask(withQuery(path, parameters), {}, timeout), schema)
    },
    items,
    async text(path) {
      return (await ask(path, {})).text()
    },
    async change({ method, path, body }, schema) {
      const headers = { 'Content-Type': 'application/json' }
      const init = { method, headers, body: JSON.stringify(body) }
      return decoded(await ask(path, init, timeoutAfter(changeTimeoutMs)), schema)
    },
    async *lines(path, parameters) {
      const { body } = await ask(withQuery(path, parameters), {}, timeoutAfter(longTimeoutMs))
      try {
        yield* linesOf(body ?? [])
      } catch (error) {
        signal.throwIfAborted()
        throw new ServiceError('unreachable', `the answer of the service at ${url} broke off`, {
          cause: error,
        })
      }
    },
    async post(path, body, schema, { isLong = false } = {}) {
      const headers = { 'Content-Type': 'application/json' }
      const init = { method: 'POST', headers, body: JSON.stringify(body) }
      return decoded(await ask(path, init, timeoutAfter(isLong ? longTimeoutMs : timeoutMs)), schema)
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

/** Without their line breaks; also the last one, which may have none. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  rest += decoder.decode()
  if (rest !== '') yield rest
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
