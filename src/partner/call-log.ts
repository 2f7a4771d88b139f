// A log of every request to the Partner API: one JSON line each, in a file that is closed at a certain
// size, of which some are kept. For the day on which somebody asks what we called, when, and how that ended.
//
//   {"at":"…","method":"GET","path":"/org/{org_id}/users/{user_id}/heat-pumps","status":200,"ms":41.2,"attempt":1,"request_id":"…"}
//
// `status` is a number, or the kind of failure when there was none. No ids, no query, no body, no header
// but the id of the request: what a segment of a path is, is said by the words around it, and a word that
// is not known counts as an id.
//
// A walk makes hundreds of thousands of requests, so a line costs a few microseconds and no wait: lines
// gather and are written together about once a second, without fsync. It never holds up a request, and
// never rejects: with a full disk, or when a write hangs, lines are dropped and counted.

import { constants, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Clock, systemClock } from '../clock.ts'
import type { RequestEvent } from './transport.ts'

export interface CallLogOptions {
  readonly path: string
  readonly maximumBytes: number
  /** The one that is written included. */
  readonly files: number
  /** Says when a request ended. */
  readonly clock: Pick<Clock, 'now'>
  readonly events: CallLogEvents
}

export interface CallLogEvents {
  /** So many lines were lost. */
  onDropped(lines: number): void
  /** Writing failed, and did not before; it is tried again. */
  onFailure(error: unknown): void
}

export interface CallLog {
  add(event: RequestEvent): void
  /** Writes what has gathered, and closes the file. */
  close(): Promise<void>
}

const flushMs = 1_000
const flushCharacters = 256 * 1024
/** More than this waits for a disk that hangs: a few seconds of the fastest walk. */
const mostWaitingCharacters = 8 * 1024 * 1024
const longestRequestId = 128

export function openCallLog({ path, maximumBytes, files, clock, events }: CallLogOptions): CallLog {
  const lifetime = new AbortController()
  let waiting: string[] = []
  let waitingCharacters = 0
  let file: FileHandle | null = null
  let bytes = 0
  let isFailing = false
  let wake: (() => void) | null = null

  function add(event: RequestEvent): void {
    const line = callLine(event, clock.now())
    if (waitingCharacters + line.length > mostWaitingCharacters) {
      events.onDropped(1)
      return
    }
    waiting.push(line)
    waitingCharacters += line.length
    if (waitingCharacters >= flushCharacters) wake?.()
  }

  async function run(): Promise<void> {
    // A file knows no other time than the machine's.
    while (!lifetime.signal.aborted) {
      const early = new AbortController()
      wake = () => early.abort()
      if (waitingCharacters < flushCharacters || isFailing) {
        const ending = isFailing ? lifetime.signal : AbortSignal.any([lifetime.signal, early.signal])
        await systemClock.sleep(flushMs, ending).catch(() => undefined)
      }
      await flush()
    }
    await flush()
    await file?.close().catch(() => undefined)
  }

  /** What cannot be written is gone: it would only fill the memory as well. */
  async function flush(): Promise<void> {
    const lines = waiting
    waiting = []
    waitingCharacters = 0
    if (lines.length === 0) return
    try {
      const text = Buffer.from(lines.join(''))
      if (file === null) await begin()
      else if (bytes > 0 && bytes + text.length > maximumBytes) await beginNext()
      await file?.appendFile(text)
      bytes += text.length
      isFailing = false
    } catch (error) {
      events.onDropped(lines.length)
      if (!isFailing) events.onFailure(error)
      isFailing = true
      await file?.close().catch(() => undefined)
      file = null
    }
  }

  async function begin(): Promise<void> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const { O_APPEND, O_CREAT, O_WRONLY } = constants
    file = await open(path, O_APPEND | O_CREAT | O_WRONLY, 0o600)
    const { size } = await file.stat()
    bytes = size
    if (bytes >= maximumBytes) await beginNext()
  }

  /** The last one goes, each of the others takes the name of the one before it. */
  async function beginNext(): Promise<void> {
    await file?.close()
    file = null
    await rm(nameOf(files - 1), { force: true })
    for (let number = files - 2; number >= 0; number--) {
      await rename(nameOf(number), nameOf(number + 1)).catch(ignoreMissing)
    }
    await begin()
  }

  /** 0: the one that is written. */
  function nameOf(number: number): string {
    return number === 0 ? path : `${path}.${number}`
  }

  const running = run()
  return {
    add,
    close() {
      lifetime.abort()
      return running
    },
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
}

function callLine({ code, durationMs, method, path, attempt, requestId }: RequestEvent, at: number): string {
  const status = /^\d+$/.test(code) ? code : `"${code}"`
  const ms = Math.round(durationMs * 10) / 10
  const id = requestId === null ? '' : `,"request_id":${JSON.stringify(requestId.slice(0, longestRequestId))}`
  return `{"at":"${new Date(at).toISOString()}","method":"${method}","path":"${pathTemplate(path)}","status":${status},"ms":${ms},"attempt":${attempt}${id}}\n`
}

/** The words of the API's paths, and what an id is that stands behind each. */
const words: ReadonlyMap<string, string> = new Map([
  ['org', '{org_id}'],
  ['users', '{user_id}'],
  ['by-ext-id', '{external_id}'],
  ['heat-pumps', '{device_id}'],
  ['electric-vehicles', '{device_id}'],
  ['inverters', '{device_id}'],
  ['wallboxes', '{device_id}'],
  ['cues', '{cue_id}'],
  ['energy-contracts', '{contract_id}'],
  ['device-onboarding', '{session_id}'],
  ['auth', '{id}'],
  ['oauth2', '{id}'],
  ['me', '{id}'],
  ['token', '{id}'],
  ['auth_session', '{id}'],
  ['resolve', '{id}'],
  ['state', '{id}'],
])
const firstWords: ReadonlySet<string> = new Set(['org', 'auth', 'cues', 'device-onboarding', 'oauth2'])

/** `/api/partners/v2.0/org/1/users/2?x=3` → `/org/{org_id}/users/{user_id}`. */
export function pathTemplate(path: string): string {
  const query = path.indexOf('?')
  const segments = (query === -1 ? path : path.slice(0, query)).split('/')
  // Where the API is mounted is the same for all.
  const first = segments.findIndex((segment) => firstWords.has(segment))
  if (first === -1) return '/{unknown}'
  let template = ''
  let idBehind = '{id}'
  for (let at = first; at < segments.length; at++) {
    const segment = segments[at] ?? ''
    const behind = words.get(segment)
    template += segment === '' || behind !== undefined ? `/${segment}` : `/${idBehind}`
    idBehind = behind ?? '{id}'
  }
  return template
}
