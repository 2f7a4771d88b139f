import { describe, expect, it } from 'vitest'
import { parseAlerting, told } from './parse.ts'

const key = '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b'
const older = 'Zm9yIGxpbmtzLCBub3QgZm9yIGFueXRoaW5nIGVsc2U='
const alerting = 'route: {receiver: r}\nreceivers: [{name: r}]'
const http = 'http: {public_url: https://fleet.example.com}\n'

const parse = (more: string, files: Record<string, string> = {}) => parseAlerting(alerting, { more, files })
/** Lines are counted from the first of `more`. */
async function wrong(more: string, files: Record<string, string> = {}): Promise<string[]> {
  const lines = await told(alerting, { more, files })
  return lines.map((line) =>
    line.replace(/^(\d+):(-?\d+)/, (_, at, column) => `${Number(at) - 2}:${Number(column) + 1}`),
  )
}

describe('links', () => {
  it('are none without a public URL', async () => {
    expect((await parse('')).links).toBeNull()
  })

  it('have defaults for everything but the key', async () => {
    const { links } = await parse(`${http}links: {signing_key: ${key}}`)
    expect(links).toEqual({
      signingKeys: [expect.anything()],
      successUrl: null,
      lifetimeMs: 30 * 86_400_000,
      revokeAfterMs: 86_400_000,
      allowedHosts: ['p.example'],
      requestsPerMinute: { perLink: 6, total: 120 },
    })
    expect(links?.signingKeys[0]?.reveal()).toBe(key)
  })

  it('take several keys, the first to sign with', async () => {
    const { links } = await parse(`${http}links: {signing_key_file: keys}`, {
      keys: `${key}\r\n\n${older}\n`,
    })
    expect(links?.signingKeys.map((one) => one.reveal())).toEqual([key, older])
  })

  it('print no key', async () => {
    const { links } = await parse(`${http}links: {signing_key: ${key}}`)
    expect(JSON.stringify(links)).not.toContain(key)
  })

  it('need a key, and say how to make one', async () => {
    const missing =
      'links under `http.public_url` are signed, and "signing_key" (or "signing_key_file") of `links` is missing: ' +
      'make one with `openssl rand -base64 32`'
    expect(await wrong(http)).toEqual([`1:20 ${missing}`])
    expect(await wrong(`${http}links: {lifetime: 1d}`)).toEqual([`2:1 ${missing}`])
  })

  it('are of no use without a public URL', async () => {
    expect(await wrong(`links: {signing_key: ${key}}`)).toEqual([
      '1:1 "links" are of no use without `http.public_url`: set it, or leave them out',
    ])
  })

  const keys = 'keys of at least 32 characters, each on a line of its own'
  it.each([['too-short'], [key.slice(1)], ['a'.repeat(64)], [`${key} ${key}`]])(
    'refuse %s as a key, without quoting it',
    async (bad) => {
      const [problem = '', ...others] = await wrong(`${http}links: {signing_key: "${bad}"}`)
      expect(others).toEqual([])
      expect(problem).toBe(`2:22 expected ${keys}, got text`)
    },
  )

  it('refuse a file in which one of the keys is too short', async () => {
    expect(await wrong(`${http}links: {signing_key_file: keys}`, { keys: `${key}\nhunter2` })).toEqual([
      `2:27 expected a file with ${keys}: the file holds something else`,
    ])
    expect(await wrong(`${http}links: {signing_key_file: keys}`, { keys: '\n' })).toEqual([
      `2:27 expected a file with ${keys}: the file is empty`,
    ])
  })

  it.each([
    'app.podero.com',
    'app.podero.com:8443',
    '*.podero.com',
    '*.podero.com:8443',
    '127.0.0.1:9000',
    '[::1]:9000',
    'localhost:80',
  ])('take %s for a host', async (host) => {
    const { links } = await parse(`${http}links: {signing_key: ${key}, allowed_hosts: ["${host}"]}`)
    expect(links?.allowedHosts).toEqual([host])
  })

  it.each([
    '*',
    '*.',
    '*.com',
    '*.0.0.1',
    'https://app.podero.com',
    'app.podero.com/path',
    'APP.podero.com',
    'user@app.podero.com',
    'app.*.com',
    'münchen.example',
    'app.podero.com:99999',
    '',
    'a b',
  ])('refuse %s as a host', async (host) => {
    expect(await wrong(`${http}links: {signing_key: ${key}, allowed_hosts: ["${host}"]}`)).toEqual([
      `2:72 expected a host such as app.podero.com, or *.podero.com for those below it, got ${JSON.stringify(host)}`,
    ])
  })

  it('go on to a safe address only', async () => {
    expect(await wrong(`${http}links: {signing_key: ${key}, success_url: "http://x.example"}`)).toEqual([
      '2:69 expected an https:// URL (http:// only to this machine), got "http://x.example"',
    ])
  })
})
