// One request and its answer over the pool of sockets: no retry, no token, no pacing. What is done
// per request here is paid a million times per walk, so it has no timer and no AbortSignal of its
// own: one sweep ends what is overdue, and one listener per caller's signal ends what it started.

import { EventEmitter } from 'node:events'
import { type Dispatcher, Pool } from 'undici'
import { systemClock } from '../clock.ts'
import { createAbortWatch } from './abort-watch.ts'
import { PartnerError } from './partner-error.ts'

export interface ExchangeOptions {
  readonly origin: string
  /** Sockets, and so requests at once; more wait for a socket. */
  readonly connections: number
  /** For one request from its start to the end of its answer, in real time: sockets know no other. */
  readonly timeoutMs: number
  readonly maximumAnswerBytes: number
  readonly maximumStreamBytes: number
}

export interface RawRequest {
  readonly endpoint: string
  readonly method: 'GET' | 'POST' | 'PUT'
  /** From the root of the host, with its query. */
  readonly path: string
  /** Name, value, name, value, … */
  readonly headers: string[]
  readonly body: string | null
}

export interface RawAnswer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly date: string | undefined
  /** `x-request-id`: what the partner calls this request. */
  readonly requestId: string | undefined
  readonly text: string
}

export interface RawStream extends RawAnswer {
  /** The body of a 2xx answer, to be read to its end or given up; others have `text` instead. */
  readonly chunks: AsyncIterable<Buffer>
}

/** Rejects with a PartnerError, or with the signal's reason. Redirects are answers like others. */
export interface Exchange {
  text(request: RawRequest, signal: AbortSignal): Promise<RawAnswer>
  /** As `text`, but the body is handed on as it arrives; between two parts may lie `timeoutMs`. */
  stream(request: RawRequest, signal: AbortSignal): Promise<RawStream>
  /** Ends whatever is under way. */
  close(): Promise<void>
}

// Enough for what a partner says about a mistake; an error page may be of any size.
const maximumErrorBytes = 65_536
const longestStreamMs = 15 * 60_000
const sweepsPerTimeout = 4
const shortestSweepMs = 10
const unsentCodes = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

const nothing: AsyncIterable<Buffer> = { async *[Symbol.asyncIterator]() {} }

/** A request under way: what undici takes in the place of an AbortSignal. */
class Flight extends EventEmitter {
  readonly signal: AbortSignal
  readonly overdueAt: number
  reason: Error | undefined = undefined

  constructor(signal: AbortSignal, overdueAt: number) {
    super()
    this.signal = signal
    this.overdueAt = overdueAt
  }

  end(reason: Error): void {
    this.reason = reason
    this.emit('abort')
  }
}

/** Ended because the caller's signal aborted; callers see that signal's reason instead. */
class Stopped extends Error {}

export function createExchange(options: ExchangeOptions): Exchange {
  const { timeoutMs, maximumAnswerBytes, maximumStreamBytes } = options
  const pool = new Pool(options.origin, {
    connections: options.connections,
    pipelining: 1,
    allowH2: false,
    connectTimeout: timeoutMs,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  const lifetime = new AbortController()
  const flights = new Set<Flight>()
  const watch = createAbortWatch((signal) => {
    for (const flight of flights) if (flight.signal === signal) flight.end(new Stopped())
  })
  let isSweeping = false

  function begin(signal: AbortSignal, longestMs: number): Flight {
    // A signal that has aborted already tells no listener.
    if (signal.aborted) throw signal.reason
    const flight = new Flight(signal, systemClock.monotonic() + longestMs)
    flights.add(flight)
    watch.add(signal)
    if (!isSweeping) void sweep()
    return flight
  }

  function finish(flight: Flight): void {
    if (flights.delete(flight)) watch.remove(flight.signal)
  }

  /** undici's own timeouts start anew with every byte: this ends an answer that only drips. */
  async function sweep(): Promise<void> {
    isSweeping = true
    const intervalMs = Math.max(timeoutMs / sweepsPerTimeout, shortestSweepMs)
    try {
      while (flights.size > 0) {
        await systemClock.sleep(intervalMs, lifetime.signal)
        const now = systemClock.monotonic()
        for (const flight of flights) if (flight.overdueAt <= now) flight.end(new Overdue())
      }
    } catch {
      // Closed; the pool ends what is under way.
    } finally {
      isSweeping = false
    }
  }

  function open(request: RawRequest, flight: Flight): Promise<Dispatcher.ResponseData> {
    return pool.request({
      path: request.path,
      method: request.method,
      headers: request.headers,
      body: request.body,
      signal: flight,
    })
  }

  /** What callers get to see of a failure: no text of the answer, no address. */
  function failure(error: unknown, request: RawRequest, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason
    if (error instanceof PartnerError) return error
    const { endpoint } = request
    const code = errorCode(error)
    if (error instanceof TooLarge) {
      const problem = `the answer is larger than ${error.maximumBytes} bytes`
      return new PartnerError({ kind: 'too_large', endpoint, problem })
    }
    if (error instanceof Overdue || code.endsWith('_TIMEOUT') || code === 'ETIMEDOUT') {
      const problem = `no complete answer within ${timeoutMs} ms`
      const wasSent = code !== 'UND_ERR_CONNECT_TIMEOUT'
      return new PartnerError({ kind: 'timeout', endpoint, problem, wasSent, cause: withoutData(error) })
    }
    if (code === 'UND_ERR_INVALID_ARG') {
      const problem = 'the request cannot be sent; check partner.token for characters that no header may hold'
      return new PartnerError({ kind: 'client_error', endpoint, problem })
    }
    const wasSent = !unsentCodes.has(code)
    const problem = `${wasSent ? 'the connection broke' : 'no connection'} (${code === '' ? 'unknown' : code})`
    return new PartnerError({ kind: 'network', endpoint, problem, wasSent, cause: withoutData(error) })
  }

  async function text(request: RawRequest, signal: AbortSignal): Promise<RawAnswer> {
    const flight = begin(signal, timeoutMs)
    try {
      const { statusCode: status, headers, body } = await open(request, flight)
      return {
        status,
        retryAfter: single(headers['retry-after']),
        date: single(headers['date']),
        requestId: single(headers['x-request-id']),
        text: isSuccess(status) ? await readText(body, maximumAnswerBytes) : await readErrorText(body),
      }
    } catch (error) {
      throw failure(error, request, signal)
    } finally {
      finish(flight)
    }
  }

  async function stream(request: RawRequest, signal: AbortSignal): Promise<RawStream> {
    const flight = begin(signal, longestStreamMs)
    let isHandedOn = false
    try {
      const { statusCode: status, headers, body } = await open(request, flight)
      const head = {
        status,
        retryAfter: single(headers['retry-after']),
        date: single(headers['date']),
        requestId: single(headers['x-request-id']),
      }
      if (!isSuccess(status)) return { ...head, text: await readErrorText(body), chunks: nothing }
      isHandedOn = true
      return { ...head, text: '', chunks: readChunks(body, { flight, request, signal }) }
    } catch (error) {
      throw failure(error, request, signal)
    } finally {
      if (!isHandedOn) finish(flight)
    }
  }

  async function* readChunks(
    body: Dispatcher.ResponseData['body'],
    { flight, request, signal }: { flight: Flight; request: RawRequest; signal: AbortSignal },
  ): AsyncGenerator<Buffer> {
    let bytes = 0
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        bytes += chunk.length
        if (bytes > maximumStreamBytes) throw new TooLarge(maximumStreamBytes)
        yield chunk
      }
    } catch (error) {
      throw failure(error, request, signal)
    } finally {
      finish(flight)
    }
  }

  return {
    text,
    stream,
    close: async () => {
      lifetime.abort()
      await pool.destroy()
    },
  }
}

class TooLarge extends Error {
  readonly maximumBytes: number

  constructor(maximumBytes: number) {
    super(`more than ${maximumBytes} bytes`)
    this.maximumBytes = maximumBytes
  }
}

class Overdue extends Error {
  override readonly message = 'the time for the whole answer is over'
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

/** Not `body.text()`: that reads an answer of any size. */
function readText(body: Dispatcher.ResponseData['body'], maximumBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let first: Buffer | null = null
    let all: Buffer[] | null = null
    let bytes = 0
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > maximumBytes) body.destroy(new TooLarge(maximumBytes))
      else if (first === null) first = chunk
      else if (all === null) all = [first, chunk]
      else all.push(chunk)
    })
    body.on('end', () => {
      if (all !== null) resolve(Buffer.concat(all, bytes).toString())
      else resolve(first === null ? '' : first.toString())
    })
    body.on('error', reject)
  })
}

async function readErrorText(body: Dispatcher.ResponseData['body']): Promise<string> {
  try {
    return await readText(body, maximumErrorBytes)
  } catch (error) {
    if (error instanceof TooLarge) return ''
    throw error
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0]
}

function errorCode(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** An HTTP parser's error carries bytes of the answer, a socket's error the addresses. */
function withoutData(error: unknown): Error {
  return new Error(error instanceof Error ? error.message : 'unknown error')
}
