import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HttpClientConfig } from '../../../src/config.ts'
import {
  createHttpPoster,
  type HttpPosterOptions,
  outcomeOf,
  retryAfterMs,
} from '../../../src/notify/receivers/http-post.ts'
import { Secret } from '../../../src/secret.ts'
import { createManualClock } from '../../manual-clock.ts'
import { httpConfig } from './peers.ts'
import { type HttpReply, type ScriptedHttp, startScriptedHttp } from './scripted-http.ts'

const redirect = (status: number, location: string): HttpReply => ({ status, headers: { location } })
const bearer = { kind: 'header', type: 'Bearer', credentials: new Secret('t0ken\n') } as const

describe('a POST', () => {
  let first: ScriptedHttp
  let second: ScriptedHttp
  beforeEach(async () => {
    first = await startScriptedHttp()
    second = await startScriptedHttp()
  })
  afterEach(async () => {
    await first.close()
    await second.close()
  })

  async function post(
    url: string,
    http: Partial<HttpClientConfig> = {},
    options: Partial<HttpPosterOptions> = {},
  ) {
    const poster = createHttpPoster({
      http: httpConfig(http),
      clock: createManualClock(),
      timeoutMs: 5_000,
      ...options,
    })
    const answer = await poster.post(url, { text: 'hällo' }, new AbortController().signal)
    await poster.close()
    return answer.kind === 'answer' ? outcomeOf(answer) : answer
  }

  it('carries JSON, and the credentials that are configured', async () => {
    expect(await post(`${first.origin}/a?b=c`, { authorization: bearer })).toEqual({ kind: 'ok' })
    expect(first.requests[0]).toMatchObject({ method: 'POST', path: '/a?b=c', body: '{"text":"hällo"}' })
    expect(first.requests[0]?.headers).toMatchObject({
      authorization: 'Bearer t0ken',
      'content-type': 'application/json; charset=utf-8',
    })
    const password = new Secret('pä:ss')
    await post(first.origin, { authorization: { kind: 'basic', username: 'fleet', password } })
    expect(first.requests[1]?.headers.authorization).toBe(
      `Basic ${Buffer.from('fleet:pä:ss').toString('base64')}`,
    )
  })

  it('takes credentials from the URL, unless others are configured', async () => {
    const url = first.origin.replace('://', '://user:p%40ss@')
    await post(url)
    await post(url, { authorization: bearer })
    expect(first.requests.map(({ headers }) => headers.authorization)).toEqual([
      `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
      'Bearer t0ken',
    ])
  })

  it.each([307, 308])('follows a %s, with its body and its credentials', async (status) => {
    first.reply = ({ path }) => (path === '/a' ? redirect(status, '/b') : { status: 200 })
    expect(await post(`${first.origin}/a`, { authorization: bearer })).toEqual({ kind: 'ok' })
    expect(first.requests.map(({ path, body, headers }) => [path, body, headers.authorization])).toEqual([
      ['/a', '{"text":"hällo"}', 'Bearer t0ken'],
      ['/b', '{"text":"hällo"}', 'Bearer t0ken'],
    ])
  })

  it('gives its credentials to no other host, and gets them back to the first', async () => {
    first.reply = ({ path }) => (path === '/a' ? redirect(307, `${second.origin}/b`) : { status: 200 })
    second.reply = redirect(308, `${first.origin}/c`)
    expect(await post(`${first.origin}/a`, { authorization: bearer })).toEqual({ kind: 'ok' })
    expect(second.requests[0]?.headers.authorization).toBeUndefined()
    expect(first.requests[1]?.headers.authorization).toBe('Bearer t0ken')
  })

  it.each([301, 302, 303])('does not follow a %s, which would make a GET of it', async (status) => {
    first.reply = redirect(status, `${second.origin}/`)
    expect(await post(first.origin)).toEqual({
      kind: 'permanent',
      reason: `HTTP ${status}, a redirect that is not followed: configure its target`,
    })
    expect(second.requests).toEqual([])
  })

  it.each<[string, Partial<HttpClientConfig>, Partial<HttpPosterOptions>]>([
    ['the configuration says no', { followRedirects: false }, {}],
    ['the body holds a secret', {}, { secretBody: true }],
    ['the certificate’s name is configured', { serverName: 'x.example' }, {}],
  ])('follows to no other host when %s', async (_, http, options) => {
    first.reply = redirect(307, `${second.origin}/`)
    expect(await post(first.origin, http, options)).toMatchObject({
      kind: 'permanent',
      reason: expect.stringMatching(/307/),
    })
    expect(second.requests).toEqual([])
  })

  it.each(['', 'ftp://x.example/', 'file:///etc/passwd', 'http://[', 'javascript:alert(1)'])(
    'does not follow to %j',
    async (location) => {
      first.reply = redirect(307, location)
      expect(await post(first.origin)).toMatchObject({ kind: 'permanent' })
    },
  )

  it('goes round in circles a few times only', async () => {
    first.reply = redirect(307, '/')
    expect(await post(first.origin)).toMatchObject({ kind: 'permanent' })
    expect(first.requests).toHaveLength(4)
  })

  it.each(['hooks/x', 'ftp://x.example/', '', 'https://'])(
    'goes nowhere with %j for a URL, and does not quote it',
    async (url) => {
      expect(await post(url)).toEqual({
        kind: 'permanent',
        reason: 'the configured URL is not one of http or https',
      })
    },
  )

  it('trusts the certificate authority that is configured, under the name that is configured', async () => {
    const pem = (name: string) => readFile(new URL(`tls/${name}.pem`, import.meta.url), 'utf8')
    const tls = { key: await pem('key'), cert: await pem('cert') }
    const secure = await startScriptedHttp({ status: 200 }, tls)
    expect(await post(secure.origin, { ca: tls.cert, serverName: 'localhost' })).toEqual({ kind: 'ok' })
    expect(await post(secure.origin, { ca: tls.cert, serverName: 'other.example' })).toEqual({
      kind: 'retry',
      reason: 'network: ERR_TLS_CERT_ALTNAME_INVALID',
    })
    expect(await post(secure.origin)).toMatchObject({
      kind: 'retry',
      reason: expect.stringMatching(/^network: .*SELF_SIGNED/),
    })
    // Out of TLS again: what was meant to be secret would travel in the clear.
    secure.reply = redirect(307, first.origin)
    expect(await post(secure.origin, { ca: tls.cert })).toMatchObject({ kind: 'permanent' })
    expect(first.requests).toEqual([])
    await secure.close()
  })
})

describe('Retry-After', () => {
  const now = Date.UTC(2030, 0, 1, 12)
  const at = (seconds: number) => new Date(now + seconds * 1_000).toUTCString()

  it.each([
    ['30', '', 30_000],
    [' 1.5 ', '', 1_500],
    ['0', '', 0],
    ['31536000', '', 3_600_000],
    [at(90), '', 90_000],
    [at(90), at(60), 30_000],
    [at(-90), '', 0],
    ['', '', null],
    ['soon', at(0), null],
  ])('%j, sent at %j, means %j', (retryAfter, date, ms) => {
    expect(retryAfterMs({ retryAfter, date }, now)).toBe(ms)
  })
})
