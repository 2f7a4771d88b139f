import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ApiServer, startApiServer } from '../http/api-server.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { noon } from '../notify/sample.ts'
import { runServiceCommand } from './service-command.ts'

const someone = { kind: 'local', name: '', role: 'admin', from: null } as const
const minute = 60_000

describe('fleetwarden alerts', () => {
  let clock: ManualClock
  let server: ApiServer

  beforeEach(async () => {
    clock = createManualClock(noon)
    server = await startApiServer(clock)
  })
  afterEach(() => server.close())

  const run = (...args: string[]) => runServiceCommand(['alerts', ...args, '--url', server.url], { clock })
  const add = (fingerprint: string, severity: string, minutes: number, more: Record<string, string> = {}) =>
    server.alerting.add(1, {
      fingerprint,
      firedAt: noon - minutes * minute,
      labels: { alertname: `Name${fingerprint}`, severity, user_id: 'u1', ...more },
    })

  it('prints a table, the most severe first and then the oldest, and exits with 3', async () => {
    add('f1', 'warning', 90, { manufacturer: 'Vaillant', device_type: 'heat_pump', device_id: 'd1' })
    add('f2', 'critical', 5)
    add('f3', 'critical', 125)
    add('f4', 'odd', 9_999)
    expect(await run()).toMatchObject({
      exitCode: 3,
      error: '',
      out: [
        'severity  for     alert   state   device              user  device id  fingerprint',
        'critical  2h 5m   Namef3  firing                      u1               f3',
        'critical  5m      Namef2  firing                      u1               f2',
        'warning   1h 30m  Namef1  firing  Vaillant heat_pump  u1    d1         f1',
        'odd       6d 22h  Namef4  firing                      u1               f4',
        '',
        '4 alerts',
      ].join('\n'),
    })
  })

  it('exits with 0 when nothing fires', async () => {
    expect(await run()).toMatchObject({ exitCode: 0, out: '0 alerts', error: '' })
  })

  it('takes matchers, and a word alone as the name of an alert', async () => {
    add('f1', 'warning', 1)
    add('f2', 'critical', 1, { name: 'a, "b"' })
    const found = async (...args: string[]) =>
      [...(await run(...args)).out.matchAll(/ (f\d)$/gm)].map(([, fingerprint]) => fingerprint)
    expect(await found('Namef1')).toEqual(['f1'])
    expect(await found('severity=critical')).toEqual(['f2'])
    expect(await found('severity=~crit.*', 'alertname!=x')).toEqual(['f2'])
    expect(await found('name="a, \\"b\\""')).toEqual(['f2'])
    expect(await found('severity=critical', 'severity=warning')).toEqual([])
  })

  it('leaves out what nobody is told of, unless it is asked for', async () => {
    add('f1', 'warning', 1)
    add('f2', 'warning', 2)
    server.alerting.inhibited.set('f1', ['f9'])
    server.alerting.add(3, { state: 'pending', fingerprint: 'f3', firedAt: null })
    await server.alerting.silences.set(
      {
        matchers: [
          { name: 'alertname', operator: '=', value: 'Namef2', test: (value) => value === 'Namef2' },
        ],
        startsAt: noon,
        endsAt: noon + minute,
        createdBy: 'ada',
        comment: '',
        annotations: {},
      },
      someone,
    )
    expect((await run()).out).toBe('0 alerts')
    expect((await run('--inhibited')).out).toMatch(/firing, inhibited .*f1\n\n1 alert$/)
    expect((await run('--silenced')).out).toMatch(/firing, silenced .*f2\n\n1 alert$/)
    expect((await run('--pending')).out).toMatch(/pending .*f3\n\n1 alert$/)
    expect((await run('--silenced', '--inhibited', '--pending')).out).toMatch(/\n3 alerts$/)
  })

  it('prints JSON that holds no control characters either', async () => {
    add('f1', 'warning', 1, { site: 'a\u001b[2Jb\u009bc\u202e' })
    const { exitCode, out } = await run('--json')
    expect(exitCode).toBe(3)
    expect(out).not.toMatch(/[^\P{Cc}\n]|\u202e/u)
    expect(JSON.parse(out)).toMatchObject([
      { fingerprint: 'f1', labels: { site: 'a\u001b[2Jb\u009bc\u202e' } },
    ])
  })

  it('prints no control characters of labels', async () => {
    add('f1', 'critical', 1, { alertname: 'a\u001b]0;title\u0007b\nc\u202ed', device_id: '\u009b31mred' })
    const { out } = await run()
    expect(out).toContain('a ]0;title b cd')
    expect(out).not.toMatch(/[^\P{Cc}\n]|\u202e/u)
  })

  it('acknowledges an alert until it resolves, or for a while, and takes that back', async () => {
    add('f1', 'critical', 1)
    expect(await run('ack', 'f1', '--comment', 'on it')).toMatchObject({
      exitCode: 0,
      out: 'f1: acknowledged by ada, until it resolves',
    })
    expect((await run()).out).toContain('firing, acknowledged by ada')
    expect(await run('ack', 'f1', '--comment', 'on it', '--author', 'eve', '--for', '4h')).toMatchObject({
      exitCode: 0,
      out: 'f1: acknowledged by eve, until 2026-11-23T16:00:00.000Z',
    })
    expect(server.alerting.acknowledgements.get('f1')).toMatchObject({
      by: 'eve',
      comment: 'on it',
      until: noon + 240 * minute,
    })
    expect(await run('unack', 'f1')).toMatchObject({ exitCode: 0, out: 'f1: no longer acknowledged' })
    expect(await run('unack', 'f1')).toMatchObject({
      exitCode: 1,
      error: 'fleetwarden: the service answers 404: this alert is not acknowledged',
    })
  })

  it('ends the links of one', async () => {
    server.alerting.links.add('f1')
    expect(await run('revoke-link', 'f1')).toMatchObject({
      exitCode: 0,
      out: 'f1: its links lead nowhere any more',
    })
    expect(await run('revoke-link', 'f1')).toMatchObject({
      exitCode: 1,
      error: 'fleetwarden: the service answers 404: no link was given for this alert, or it has ended',
    })
  })

  it.each([
    [['x{'], 'fleetwarden: "x{": expected =, !=, =~ or !~, found "{"'],
    [['a=~"("'], /RE2/],
    [['ack', 'f1'], /--comment/],
    [['ack', 'f1', '--comment', 'x', '--for', 'ever'], /Expected a duration/],
    [['ack', 'f1', '--comment', 'x', '--author', ' '], 'fleetwarden: say who it is: --author NAME'],
    [['--nonsense'], /unknown option '--nonsense'/],
  ])('exits with 2 for %j', async (args, message) => {
    const { exitCode, error } = await run(...args)
    expect(exitCode).toBe(2)
    if (typeof message === 'string') expect(error).toBe(message)
    else expect(error).toMatch(message)
  })

  describe('finds the service', () => {
    const alone = (...args: string[]) => runServiceCommand(['alerts', ...args], { clock })

    it('or says that nothing listens there, without a stack', async () => {
      const url = server.url
      await server.close()
      expect(await alone('--url', url)).toMatchObject({
        exitCode: 1,
        out: '',
        error: `fleetwarden: cannot reach the service at ${url}: nothing listens there; is it running, and is this its address (--url)?`,
      })
    })

    it.each(['ftp://x', 'nonsense', 'http://user:secret@127.0.0.1'])('not at %s', async (url) => {
      const { exitCode, error } = await alone('--url', url)
      expect([exitCode, error]).toEqual([
        2,
        'fleetwarden: --url: expected an address such as http://127.0.0.1:9469, without user and password',
      ])
    })

    it('below a path, with or without a slash', async () => {
      const proxy = createServer((request, response) => {
        response.setHeader('Content-Type', 'application/json')
        response.end(request.url?.startsWith('/fleet/api/v1/alerts?') ? '[]' : '"lost"')
      })
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/fleet`
      expect((await alone('--url', url)).exitCode).toBe(0)
      expect((await alone('--url', `${url}/`)).exitCode).toBe(0)
      await new Promise((resolve) => proxy.close(resolve))
    })

    it('or something else, and says so', async () => {
      const answers = ['<html>', '{"a":1}', '[{"labels":1}]']
      const other = createServer((_, response) => void response.end(answers.shift()))
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
      for (let n = 0; n < 3; n++) {
        expect(await alone('--url', url)).toMatchObject({
          exitCode: 1,
          error: `fleetwarden: what answers at ${url} is not Fleetwarden, or of another version`,
        })
      }
      await new Promise((resolve) => other.close(resolve))
    })

    it('and prints why it refuses, without control characters', async () => {
      const other = createServer((_, response) => {
        response.statusCode = 403
        response.end('{"error":"no\\u001b[31m"}')
      })
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
      expect((await alone('--url', url)).error).toBe('fleetwarden: the service answers 403: no [31m')
      await new Promise((resolve) => other.close(resolve))
    })
  })
})
