// One request and its answer over the pool of sockets: no retry, no token, no pacing. What is done
// per request here is paid a million times per walk, so it has no timer, no AbortSignal and no stream
// of its own: one sweep ends what is overdue, one listener per caller's signal ends what it started,
// and undici's parser hands the parts of a text straight to who collects them.

import { EventEmitter } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
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

/** A request under way, which ends with its answer or when it is told to. */
interface Flight {
  readonly signal: AbortSignal
  readonly overdueAt: number
  end(reason: Error): void
}

/** One whose answer is read as a stream: what undici takes in the place of an AbortSignal. */
class StreamFlight extends EventEmitter implements Flight {
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

interface Landing {
  arrived(answer: RawAnswer): void
  failed(error: unknown): void
}

/** One whose answer is wanted as a text. undici's `request` would make a stream of it first. */
class TextFlight implements Flight, Dispatcher.DispatchHandler {
  readonly signal: AbortSignal
  readonly overdueAt: number
  readonly #maximumBytes: number
  readonly #landing: Landing
  #controller: Dispatcher.DispatchController | null = null
  #endedBy: Error | null = null
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #first: Buffer | null = null
  #all: Buffer[] | null = null
  #bytes = 0

  constructor(flight: {
    signal: AbortSignal
    overdueAt: number
    maximumBytes: number
    landing: Landing
  }) {
    this.signal = flight.signal
    this.overdueAt = flight.overdueAt
    this.#maximumBytes = flight.maximumBytes
    this.#landing = flight.landing
  }

  end(reason: Error): void {
    this.#endedBy = reason
    if (this.#controller !== null) this.#controller.abort(reason)
    // It waits for a connection, which undici does not give up for one request: the caller need not wait, too.
    else this.#landing.failed(reason instanceof Overdue ? new Unconnected() : reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#endedBy === null) this.#controller = controller
    else controller.abort(this.#endedBy)
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const maximumBytes = isSuccess(this.#status) ? this.#maximumBytes : maximumErrorBytes
    this.#bytes += chunk.length
    if (this.#bytes > maximumBytes) controller.abort(new TooLarge(maximumBytes))
    else if (this.#first === null) this.#first = chunk
    else if (this.#all === null) this.#all = [this.#first, chunk]
    else this.#all.push(chunk)
  }

  onResponseEnd(): void {
    const whole = this.#all === null ? this.#first : Buffer.concat(this.#all, this.#bytes)
    this.#landing.arrived(this.#answer(whole === null ? '' : whole.toString()))
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (error instanceof TooLarge && !isSuccess(this.#status)) this.#landing.arrived(this.#answer(''))
    else this.#landing.failed(error)
  }

  #answer(text: string): RawAnswer {
    return { status: this.#status, ...namedHeaders(this.#headers), text }
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

  function begin(flight: Flight): void {
    flights.add(flight)
    watch.add(flight.signal)
    if (!isSweeping) void sweep()
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
      const wasSent = code !== 'UND_ERR_CONNECT_TIMEOUT' && !(error instanceof Unconnected)
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

  function text(request: RawRequest, signal: AbortSignal): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      // A signal that has aborted already tells no listener.
      if (signal.aborted) return reject(signal.reason)
      const overdueAt = systemClock.monotonic() + timeoutMs
      const landing: Landing = {
        arrived(answer) {
          finish(flight)
          resolve(answer)
        },
        failed(error) {
          finish(flight)
          reject(failure(error, request, signal))
        },
      }
      const flight = new TextFlight({ signal, overdueAt, maximumBytes: maximumAnswerBytes, landing })
      begin(flight)
      const { path, method, headers, body } = request
      pool.dispatch({ path, method, headers, body }, flight)
    })
  }

  async function stream(request: RawRequest, signal: AbortSignal): Promise<RawStream> {
    signal.throwIfAborted()
    const flight = new StreamFlight(signal, systemClock.monotonic() + longestStreamMs)
    begin(flight)
    let isHandedOn = false
    try {
      const { path, method, headers: sent, body: sentBody } = request
      const {
        statusCode: status,
        headers,
        body,
      } = await pool.request({
        ...{ path, method },
        headers: sent,
        body: sentBody,
        signal: flight,
      })
      const head = { status, ...namedHeaders(headers) }
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
  override readonly message: string = 'the time for the whole answer is over'
}

class Unconnected extends Overdue {
  override readonly message = 'the time for the whole answer is over, and there is no connection yet'
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

/** What an error says, if it says it briefly. Not `body.text()`: that reads an answer of any size. */
async function readErrorText(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // Leaving the loop ends the connection.
    if (bytes > maximumErrorBytes) return ''
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes).toString()
}

/** The headers that somebody reads. */
function namedHeaders(headers: IncomingHttpHeaders): Pick<RawAnswer, 'retryAfter' | 'date' | 'requestId'> {
  return {
    retryAfter: single(headers['retry-after']),
    date: single(headers['date']),
    requestId: single(headers['x-request-id']),
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
