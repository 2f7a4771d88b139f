import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseStorageUrl } from '../../src/config/storage-url.ts'
import { parseAlerting, told } from './parse.ts'

const alerting = 'route: {receiver: r}\nreceivers: [{name: r}]'
const url = (text: string) => `storage: {url: ${JSON.stringify(text)}}`
/** Of the line of `storage`. */
const problemsOf = async (more: string, files: Readonly<Record<string, string>> = {}) =>
  (await told(alerting, { more, files })).map((problem) => problem.replace(/^3:/, ''))

const server = {
  kind: 'postgres',
  host: 'db.example.com',
  port: 5432,
  database: 'fleet',
  user: 'keeper',
  tls: { verify: 'name', rootCertFile: null },
}

describe('storage.url', () => {
  it.each([
    ['postgres://keeper:p@db.example.com/fleet', {}],
    ['postgresql://keeper:p@db.example.com:6543/fleet', { port: 6543 }],
    ['postgres://keeper:p@db.example.com/fleet?sslmode=disable', { tls: null }],
    [
      'postgres://keeper:p@db.example.com/fleet?sslmode=require',
      { tls: { verify: 'nothing', rootCertFile: null } },
    ],
    [
      'postgres://keeper:p@db.example.com/fleet?sslmode=require&sslrootcert=ca.pem',
      { tls: { verify: 'authority', rootCertFile: '/etc/fleet/ca.pem' } },
    ],
    [
      'postgres://keeper:p@db.example.com/fleet?sslmode=verify-ca&sslrootcert=system',
      { tls: { verify: 'authority', rootCertFile: null } },
    ],
    [
      'postgres://keeper:p@db.example.com/fleet?sslrootcert=/ca.pem',
      { tls: { verify: 'name', rootCertFile: '/ca.pem' } },
    ],
    ['postgres://keeper:p@127.0.0.1/fleet', { host: '127.0.0.1', tls: null }],
    ['postgres://keeper:p@[::1]:1/fleet', { host: '::1', port: 1, tls: null }],
    ['postgres://keeper@/fleet?host=/run/postgresql', { host: '/run/postgresql', tls: null, password: null }],
    ['postgres://keeper:p@db.example.com/fl%C3%A4che', { database: 'fläche' }],
  ])('names a server: %s', async (text, expected) => {
    const files = { 'ca.pem': 'PEM' }
    const readable = { ...files, '/ca.pem': 'PEM' }
    const { storage } = await parseAlerting(alerting, { more: url(text), files: readable })
    expect(storage).toMatchObject({ ...server, ...expected })
  })

  it('is a secret: the password comes out of it as it went in, and nothing prints it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', minLength: 1 }), async (password) => {
        const text = `postgres://keeper:${encodeURIComponent(password)}@db.example.com/fleet`
        const { storage } = await parseAlerting(alerting, { more: url(text.replaceAll('$', '$$$$')) })
        if (storage.kind !== 'postgres') throw new Error('no server')
        expect(storage.password?.reveal()).toBe(password)
        expect(JSON.stringify(storage)).toContain('"password":"<secret>"')
      }),
      { numRuns: 50 },
    )
  })

  it('is read from a file', async () => {
    const files = { 'run/url': 'postgres://keeper:p@db.example.com/fleet\n' }
    const { storage } = await parseAlerting(alerting, { more: 'storage: {url_file: run/url}', files })
    expect(storage).toMatchObject(server)
  })

  it('never throws, and never quotes a password', () => {
    const part = fc.string({ unit: 'grapheme', maxLength: 8 })
    fc.assert(
      fc.property(part, part, part, (host, rest, more) => {
        const parsed = parseStorageUrl(`postgres://u:hush4711@${host}/${rest}?${more}`)
        expect(JSON.stringify(parsed)).not.toContain('hush4711')
      }),
    )
  })

  it.each([
    ['postgres://', 'the host is missing'],
    [
      'postgres://keeper:hush word@db/fleet',
      'expected postgres://user:password@host:5432/database: other characters are percent-encoded, as # is %23',
    ],
    [
      'postgres://keeper:hu#sh@db/fleet',
      'expected postgres://user:password@host:5432/database: other characters are percent-encoded, as # is %23',
    ],
    ['postgres://keeper:hush@db:70000/fleet', 'the port has to be from 1 to 65535'],
    [
      'postgres://keeper:hu%sh@db/fleet',
      'a % in the user, the password or the database has to be written as %25',
    ],
    ['postgres://:hush@db/fleet', 'the user is missing'],
    ['postgres://keeper:hush@/fleet', 'the host is missing'],
    ['postgres://keeper:hush@db', 'the name of the database is missing'],
    [
      'postgres://keeper:hush@db/a/b',
      'expected postgres://user:password@host:5432/database: other characters are percent-encoded, as # is %23',
    ],
    [
      'postgres://keeper:hush@db/fleet?sslcert=x',
      'the parameter "sslcert" is not supported: host, sslmode and sslrootcert are',
    ],
    [
      'postgres://keeper:hush@db/fleet?sslmode=prefer',
      'expected sslmode to be one of verify-full, verify-ca, require and disable, got "prefer" (this one sends everything in the clear when the server says so)',
    ],
    [
      'postgres://keeper:hush@db/fleet?sslmode=on',
      'expected sslmode to be one of verify-full, verify-ca, require and disable, got "on"',
    ],
    [
      'postgres://keeper:hush@db/fleet?sslmode=disable&sslrootcert=x',
      'without TLS, sslrootcert has no meaning',
    ],
  ])('refuses %s', async (text, message) => {
    expect(await problemsOf(url(text))).toEqual([`15 ${message}`])
    expect(await problemsOf('storage: {url_file: f}', { f: text })).toEqual([`20 in the file: ${message}`])
  })

  it.each([
    [
      url('postgres://keeper:hush@db/fleet?sslrootcert=ca.pem'),
      '15 cannot read sslrootcert "/etc/fleet/ca.pem": there is no such file',
    ],
    [
      'storage: {url_file: none}',
      '20 cannot read "none": there is no such file (a relative path starts at the folder of this file)',
    ],
    [
      'storage: {url_file: wrong}',
      '20 expected a file with sqlite:path/to/file.db or postgres://user:password@host:5432/database: the file holds something else',
    ],
    [
      'storage: {url: "sqlite:x.db", url_file: good}',
      '30 "url" and "url_file" are both given: leave one out',
    ],
  ])('refuses what it names: %s', async (more, problem) => {
    const files = { wrong: 'hush', good: 'sqlite:y.db' }
    expect(await problemsOf(more, files)).toEqual([problem])
  })
})
