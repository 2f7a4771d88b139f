import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type CallLog, openCallLog, pathTemplate } from '../../src/partner/call-log.ts'
import type { RequestEvent } from '../../src/partner/transport.ts'
import { json, never, serve, transportTo } from './local-server.ts'

const api = '/api/partners/v2.0'
const request: RequestEvent = {
  endpoint: 'heat-pumps',
  code: '200',
  durationMs: 41.2345,
  method: 'GET',
  path: `${api}/org/o-1/users/u-1/heat-pumps`,
  attempt: 1,
  requestId: null,
}

describe('the template of a path', () => {
  it.each([
    ['/org/1/users', '/org/{org_id}/users'],
    ['/org/1/users?limit=100&offset=3', '/org/{org_id}/users'],
    ['/org/1/users/2', '/org/{org_id}/users/{user_id}'],
    ['/org/1/users/by-ext-id/C-17', '/org/{org_id}/users/by-ext-id/{external_id}'],
    ['/org/1/users/2/heat-pumps', '/org/{org_id}/users/{user_id}/heat-pumps'],
    [
      '/org/1/users/2/electric-vehicles/3?include_deleted=true',
      '/org/{org_id}/users/{user_id}/electric-vehicles/{device_id}',
    ],
    [
      '/org/1/users/2/inverters/3/auth_session',
      '/org/{org_id}/users/{user_id}/inverters/{device_id}/auth_session',
    ],
    ['/org/1/users/2/energy-contracts', '/org/{org_id}/users/{user_id}/energy-contracts'],
    ['/auth/me', '/auth/me'],
    ['/device-onboarding', '/device-onboarding'],
    ['/cues/77/resolve?secret=hush', '/cues/{cue_id}/resolve'],
    ['/cues/77/state?secret=hush', '/cues/{cue_id}/state'],
    ['/org/1/users/2/something-new/3', '/org/{org_id}/users/{user_id}/{id}/{id}'],
  ])('of %s is %s', (path, template) => {
    expect(pathTemplate(api + path)).toBe(template)
    expect(pathTemplate(path)).toBe(template)
  })

  it('of the token is its own, and of what is none of ours says nothing', () => {
    expect(pathTemplate('/oauth2/token/')).toBe('/oauth2/token/')
    expect(pathTemplate('/elsewhere/u-1')).toBe('/{unknown}')
  })

  it('holds no part of an id or a query, whatever they are', () => {
    const id = fc.uuid().map((uuid) => `id-${uuid}`)
    fc.assert(
      fc.property(
        fc.array(fc.oneof(id, fc.constantFrom('org', 'users', 'cues', 'heat-pumps', ''))),
        id,
        (path, secret) => {
          const template = pathTemplate(`/org/${path.join('/')}?secret=${secret}`)
          expect(template).not.toMatch(/id-|secret=/)
        },
      ),
    )
  })
})

describe('the log of requests', () => {
  let folder: string
  let path: string
  let dropped: number
  let failures: unknown[]
  const logs: CallLog[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetwarden-'))
    path = join(folder, 'data', 'calls.jsonl')
    dropped = 0
    failures = []
  })
  afterEach(async () => {
    for (const log of logs.splice(0)) await log.close()
    await rm(folder, { recursive: true })
  })

  function open(options: { maximumBytes?: number; files?: number } = {}): CallLog {
    const log = openCallLog({
      ...{ path, maximumBytes: 1024 ** 2, files: 4, clock: { now: () => 1_764_000_000_000 } },
      ...options,
      events: {
        onDropped(lines) {
          dropped += lines
        },
        onFailure: (error) => failures.push(error),
      },
    })
    logs.push(log)
    return log
  }

  const linesIn = (file: string) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  it('has a line for each, for nobody else to read', async () => {
    const log = open()
    log.add({ ...request, requestId: 'req-"1"' })
    log.add({ ...request, code: 'timeout', attempt: 2 })
    await log.close()
    expect(linesIn(path)).toEqual([
      {
        at: '2025-11-24T16:00:00.000Z',
        method: 'GET',
        path: '/org/{org_id}/users/{user_id}/heat-pumps',
        status: 200,
        ms: 41.2,
        attempt: 1,
        request_id: 'req-"1"',
      },
      expect.objectContaining({ status: 'timeout', attempt: 2 }),
    ])
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is written about once a second, without anybody asking', async () => {
    open().add(request)
    await vi.waitFor(() => expect(linesIn(path)).toHaveLength(1), { timeout: 10_000 })
  })

  it('goes on in the file that is there', async () => {
    for (let run = 0; run < 2; run += 1) {
      const log = open()
      log.add(request)
      await log.close()
    }
    expect(linesIn(path)).toHaveLength(2)
  })

  it('closes a file that is full, and keeps as many as it is to keep', async () => {
    for (let run = 1; run <= 6; run += 1) {
      const log = open({ maximumBytes: 100, files: 3 })
      log.add({ ...request, attempt: run })
      await log.close()
    }
    expect(readdirSync(join(folder, 'data')).sort()).toEqual([
      'calls.jsonl',
      'calls.jsonl.1',
      'calls.jsonl.2',
    ])
    expect(['', '.1', '.2'].map((end) => linesIn(path + end)[0]?.['attempt'])).toEqual([6, 5, 4])
  })

  it('keeps one file when that is all it may', async () => {
    for (let run = 1; run <= 3; run += 1) {
      const log = open({ maximumBytes: 100, files: 1 })
      log.add({ ...request, attempt: run })
      await log.close()
    }
    expect(readdirSync(join(folder, 'data'))).toEqual(['calls.jsonl'])
    expect(linesIn(path).map(({ attempt }) => attempt)).toEqual([3])
  })

  it('keeps its order and loses none at the pace of the fastest walk', async () => {
    const log = open({ maximumBytes: 64 * 1024 ** 2 })
    for (let n = 1; n <= 20_000; n += 1) log.add({ ...request, attempt: n })
    await log.close()
    expect(linesIn(path).map(({ attempt }) => attempt)).toEqual(
      Array.from({ length: 20_000 }, (_, n) => n + 1),
    )
    expect(dropped).toBe(0)
  })

  it.runIf(existsSync('/dev/full'))(
    'drops and counts lines while the disk is full, and says so once',
    async () => {
      mkdirSync(join(folder, 'data'))
      symlinkSync('/dev/full', path)
      const log = open()
      log.add(request)
      await vi.waitFor(() => expect(dropped).toBe(1), { timeout: 10_000 })
      log.add(request)
      await vi.waitFor(() => expect(dropped).toBe(2), { timeout: 10_000 })
      expect(failures).toEqual([expect.objectContaining({ code: 'ENOSPC' })])
      // There is room again.
      rmSync(path)
      log.add(request)
      await log.close()
      expect(linesIn(path)).toHaveLength(1)
    },
  )

  it('drops rather than grows when nothing can be written', async () => {
    const log = open()
    const requestId = 'x'.repeat(128)
    // Nothing is awaited, so nothing is written: as a disk that hangs.
    for (let n = 0; n < 60_000; n += 1) log.add({ ...request, requestId })
    expect(dropped).toBeGreaterThan(10_000)
    expect(dropped).toBeLessThan(50_000)
    await log.close()
    expect(linesIn(path)).toHaveLength(60_000 - dropped)
  })

  it('never stops its owner when the folder cannot be had', async () => {
    // Whoever runs this may write anywhere, but not below a file.
    const file = open()
    file.add(request)
    await file.close()
    expect(dropped).toBe(0)
    path = join(path, 'below', 'a', 'file')
    const log = open()
    log.add(request)
    await log.close()
    expect(dropped).toBe(1)
    expect(failures).toHaveLength(1)
  })
})

describe('a request', () => {
  it('is told of with what the log needs, and a POST carries an id of ours through its attempts', async () => {
    const sent: (string | string[] | undefined)[] = []
    const server = await serve((incoming, response) => {
      sent.push(incoming.headers['x-request-id'])
      if (incoming.method === 'GET') response.setHeader('x-request-id', 'partner-7')
      json(response, {}, sent.length === 2 ? 429 : 200)
    })
    const events: RequestEvent[] = []
    const transport = transportTo(server.url, { onRequest: (event) => events.push(event) })
    await transport.text({ endpoint: 'user', path: '/org/1/users/2' }, never)
    await transport.text({ endpoint: 'users', path: '/org/1/users', method: 'POST', body: { a: 1 } }, never)
    expect(sent[0]).toBeUndefined()
    expect(sent[1]).toMatch(/^[0-9a-f-]{36}$/)
    expect(sent[2]).toBe(sent[1])
    expect(events.map(({ method, path, attempt, requestId }) => [method, path, attempt, requestId])).toEqual([
      ['GET', `${api}/org/1/users/2`, 1, 'partner-7'],
      ['POST', `${api}/org/1/users`, 1, sent[1]],
      ['POST', `${api}/org/1/users`, 2, sent[1]],
    ])
  })
})
