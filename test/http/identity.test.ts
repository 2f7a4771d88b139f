import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Role } from '../../src/actor.ts'
import type { AccessConfig, RoleMembers } from '../../src/config.ts'
import { type Asking, createIdentifier } from '../../src/http/identity.ts'

const noon = Date.UTC(2026, 4, 1, 12)
const hashOf = (token: string) => createHash('sha256').update(token).digest('hex')
const members = (parts: Partial<RoleMembers> = {}): RoleMembers => ({
  ...{ everybody: false, people: [], groups: [] },
  ...parts,
})

const config: AccessConfig = {
  tokens: [
    { name: 'grafana', role: 'viewer', hash: hashOf('fwt_viewer'), expiresAt: null },
    { name: 'old', role: 'admin', hash: hashOf('fwt_old'), expiresAt: noon },
  ],
  proxy: {
    addresses: [
      { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
      { address: 'fd00::', prefix: 8, family: 'ipv6' },
    ],
    userHeader: 'x-forwarded-user',
    groupsHeader: 'x-forwarded-groups',
    roles: {
      viewer: members({ everybody: true }),
      operator: members({ people: ['otto'], groups: ['on-call'] }),
      admin: members({ people: ['anna@example.com'], groups: ['fleet-admins', '/leads'] }),
    },
  },
  metrics: 'public',
}
const { proxy } = config

function identifier(over: Partial<AccessConfig> = {}, now = noon - 1) {
  return createIdentifier({ ...config, ...over }, () => now)
}

const asking = (peer: string, headers: Asking['headers'] = {}): Asking => ({ peer, headers })
const token = (text: string, peer = '192.0.2.7') => asking(peer, { authorization: [`Bearer ${text}`] })
const person = (name: string, more: Asking['headers'] = {}, peer = '10.1.2.3') =>
  asking(peer, { 'x-forwarded-user': [name], ...more })
const known = (kind: 'token' | 'person', name: string, role: Role | null, from: string) => ({
  ...{ kind: 'known', actor: { kind, name, role, from } },
})

describe('a token', () => {
  it('says who asks, from anywhere', () => {
    expect(identifier().identify(token('fwt_viewer'))).toEqual(
      known('token', 'grafana', 'viewer', '192.0.2.7'),
    )
    expect(identifier().identify(asking('::1', { authorization: ['bearer   fwt_viewer'] }))).toEqual(
      known('token', 'grafana', 'viewer', '::1'),
    )
  })

  it('is good until it expires, and said to have expired only to whoever has it', () => {
    expect(identifier({}, noon - 1).identify(token('fwt_old'))).toEqual(
      known('token', 'old', 'admin', '192.0.2.7'),
    )
    expect(identifier({}, noon).identify(token('fwt_old'))).toEqual({
      kind: 'unknown',
      reason: 'expired_token',
      message: 'the access token "old" has expired: it was good until 2026-05-01T12:00:00.000Z',
    })
    expect(identifier({}, noon).identify(token('fwt_olde'))).toMatchObject({ reason: 'unknown_token' })
  })

  it('is none when it is anything but one of them', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9._~+/-]{1,80}$/), (text) => {
        fc.pre(text !== 'fwt_viewer' && text !== 'fwt_old')
        expect(identifier().identify(token(text))).toMatchObject({ reason: 'unknown_token' })
      }),
    )
  })

  it('is none with a bit of its hash turned, nor is the hash itself', () => {
    for (let bit = 0; bit < 256; bit++) {
      const bytes = Buffer.from(hashOf('fwt_viewer'), 'hex')
      bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      const tokens = [{ name: 'n', role: 'admin' as const, hash: bytes.toString('hex'), expiresAt: null }]
      expect(identifier({ tokens }).identify(token('fwt_viewer'))).toMatchObject({ reason: 'unknown_token' })
    }
    expect(identifier().identify(token(hashOf('fwt_viewer')))).toMatchObject({ reason: 'unknown_token' })
  })

  it.each([
    ['sent twice', ['Bearer fwt_viewer', 'Bearer fwt_viewer']],
    ['beside another', ['Bearer fwt_viewer', 'Basic eDp5']],
    ['of another scheme', ['Basic eDp5']],
    ['two in one', ['Bearer fwt_viewer fwt_old']],
    ['two in a list', ['Bearer fwt_viewer, Bearer fwt_old']],
    ['without a scheme', ['fwt_viewer']],
    ['empty', ['Bearer ']],
    ['nothing', ['']],
    ['in quotes', ['Bearer "fwt_viewer"']],
    ['absurdly long', [`Bearer ${'x'.repeat(513)}`]],
  ])('is malformed: %s', (_, authorization) => {
    expect(identifier().identify(asking('10.1.2.3', { authorization }))).toMatchObject({
      ...{ kind: 'unknown', reason: 'malformed' },
    })
  })

  it('is asked for where there is none', () => {
    expect(identifier().identify(asking('127.0.0.1'))).toEqual({
      kind: 'unknown',
      reason: 'no_identity',
      message: 'this needs an access token (Authorization: Bearer …), or a person whom the proxy names',
    })
    expect(identifier({ proxy: null }).identify(asking('127.0.0.1'))).toMatchObject({
      message: 'this needs an access token (Authorization: Bearer …)',
    })
  })
})

describe('a person whom the proxy names', () => {
  it.each([
    ['anna@example.com', undefined, 'admin'],
    ['Anna@example.com', undefined, 'viewer'],
    ['otto', undefined, 'operator'],
    ['otto', 'staff, fleet-admins', 'admin'],
    ['eve', 'on-call', 'operator'],
    ['eve', 'staff,,/leads ', 'admin'],
    ['eve', '', 'viewer'],
    ['eve', 'fleet-admin', 'viewer'],
    // Nobody is in a group for being called so.
    ['group:fleet-admins', undefined, 'viewer'],
    ['*', undefined, 'viewer'],
  ])('has the highest role of theirs: %s in %s is %s', (name, groups, role) => {
    const more = groups === undefined ? {} : { 'x-forwarded-groups': [groups] }
    expect(identifier().identify(person(name, more))).toEqual(known('person', name, role as Role, '10.1.2.3'))
  })

  it('has none who stands nowhere', () => {
    const roles = { ...proxy!.roles, viewer: members({ people: ['uwe'] }) }
    expect(identifier({ proxy: { ...proxy!, roles } }).identify(person('eve'))).toMatchObject({
      ...{ kind: 'known', actor: { role: null } },
    })
  })

  it('has no groups where no header is configured for them', () => {
    const { identify } = identifier({ proxy: { ...proxy!, groupsHeader: null } })
    expect(identify(person('eve', { 'x-forwarded-groups': ['fleet-admins'] }))).toMatchObject({
      actor: { role: 'viewer' },
    })
  })

  it('is who asks, whatever token the request has besides', () => {
    for (const authorization of [['Bearer fwt_old'], ['Basic eDp5'], ['Bearer a', 'Bearer b']]) {
      expect(identifier().identify(person('otto', { authorization }))).toMatchObject({
        actor: { kind: 'person', role: 'operator' },
      })
    }
  })

  it('is read as UTF-8', () => {
    const bytes = Buffer.from('jürgen@exämple.com').toString('latin1')
    expect(identifier().identify(person(bytes))).toMatchObject({ actor: { name: 'jürgen@exämple.com' } })
  })

  it.each([
    ['two people', { 'x-forwarded-user': ['otto', 'anna@example.com'] }],
    ['two people in one line', { 'x-forwarded-user': ['otto, anna@example.com'] }],
    ['the same one twice', { 'x-forwarded-user': ['otto', 'otto'] }],
    ['nobody', { 'x-forwarded-user': [''] }],
    ['only spaces', { 'x-forwarded-user': ['  '] }],
    ['a name with a tab', { 'x-forwarded-user': ['ot\tto'] }],
    ['a name that turns text round', { 'x-forwarded-user': [Buffer.from('ot\u202eto').toString('latin1')] }],
    ['a name with a zero byte', { 'x-forwarded-user': ['ot\0to'] }],
    ['a name that is no UTF-8', { 'x-forwarded-user': ['ot\xffto'] }],
    ['an absurdly long name', { 'x-forwarded-user': ['o'.repeat(257)] }],
    ['groups twice', { 'x-forwarded-user': ['otto'], 'x-forwarded-groups': ['a', 'fleet-admins'] }],
    ['too many groups', { 'x-forwarded-user': ['otto'], 'x-forwarded-groups': ['g,'.repeat(4_097)] }],
    ['groups with a line break', { 'x-forwarded-user': ['otto'], 'x-forwarded-groups': ['a\nb'] }],
  ])('is nobody when the proxy names %s, with or without a token', (_, headers) => {
    for (const more of [{}, { authorization: ['Bearer fwt_viewer'] }]) {
      expect(identifier().identify(asking('10.1.2.3', { ...headers, ...more }))).toMatchObject({
        ...{ kind: 'unknown', reason: 'malformed' },
      })
    }
  })

  it.each(['10.255.255.255', '::ffff:10.0.0.1', 'fd00::1', 'fd12:3456::1'])('is believed of %s', (peer) => {
    expect(identifier().identify(person('otto', {}, peer)).kind).toBe('known')
    expect(identifier().isImpostor(person('otto', {}, peer))).toBe(false)
  })

  it.each(['11.0.0.1', '127.0.0.1', '::1', '::ffff:11.0.0.1', 'fe80::1%eth0', 'not an address'])(
    'is nobody when %s names them',
    (peer) => {
      expect(identifier().identify(person('anna@example.com', {}, peer))).toMatchObject({
        reason: 'no_identity',
      })
      expect(identifier().isImpostor(person('anna@example.com', {}, peer))).toBe(true)
      expect(
        identifier().identify(person('anna@example.com', { authorization: ['Bearer fwt_viewer'] }, peer)),
      ).toMatchObject({ actor: { kind: 'token', role: 'viewer' } })
    },
  )

  it('is nobody where no proxy is configured', () => {
    expect(identifier({ proxy: null }).identify(person('anna@example.com'))).toMatchObject({
      reason: 'no_identity',
    })
    expect(identifier({ proxy: null }).isImpostor(person('anna@example.com'))).toBe(false)
  })

  it('never gets more than their name and groups say, whatever the headers hold', () => {
    const header = fc.option(fc.array(fc.string({ maxLength: 40 }), { maxLength: 3 }), { nil: undefined })
    const peers = fc.constantFrom('10.0.0.1', '192.0.2.7', '127.0.0.1', 'fd00::1')
    fc.assert(
      fc.property(header, header, header, peers, (user, groups, authorization, peer) => {
        const headers = { 'x-forwarded-user': user, 'x-forwarded-groups': groups, authorization }
        const identity = identifier().identify(asking(peer, headers))
        if (identity.kind === 'unknown') return
        expect(identity.actor.role).toBe('viewer')
        expect(['10.0.0.1', 'fd00::1']).toContain(peer)
        expect(user).toHaveLength(1)
      }),
    )
  })
})

describe('where a request comes from', () => {
  it.each([
    ['the socket, when it is not the proxy', '192.0.2.7', ['198.51.100.1'], '192.0.2.7'],
    ['the socket, when the proxy does not say', '10.0.0.1', undefined, '10.0.0.1'],
    ['whom the proxy was asked by', '10.0.0.1', ['198.51.100.1'], '198.51.100.1'],
    ['the last that is no proxy', '10.0.0.1', ['6.6.6.6, 198.51.100.1, 10.0.0.2'], '198.51.100.1'],
    ['the same over several lines', '10.0.0.1', ['6.6.6.6', '198.51.100.1', '10.0.0.2'], '198.51.100.1'],
    ['the first proxy, when all are', '10.0.0.1', ['10.0.0.3, 10.0.0.2'], '10.0.0.3'],
    ['without its port', '10.0.0.1', ['198.51.100.1:4711'], '198.51.100.1'],
    ['IPv6, in brackets', '10.0.0.1', ['[2001:db8::1]:4711'], '2001:db8::1'],
    ['IPv6', 'fd00::1', ['2001:db8::1'], '2001:db8::1'],
    ['IPv4 as IPv6 shows it', '::ffff:10.0.0.1', ['::ffff:198.51.100.1'], '198.51.100.1'],
    ['the nearest that can be read', '10.0.0.1', ['198.51.100.1, unknown, 10.0.0.2'], '10.0.0.2'],
    ['the proxy, when nothing can be read', '10.0.0.1', ['<script>'], '10.0.0.1'],
    ['the proxy, when it says nothing', '10.0.0.1', [''], '10.0.0.1'],
  ])('is %s', (_, peer, lines, expected) => {
    const request = asking(peer, lines === undefined ? {} : { 'x-forwarded-for': lines })
    expect(identifier().fromOf(request)).toBe(expected)
  })

  it('is an address, whatever the header holds', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (lines) => {
        const from = identifier().fromOf(asking('10.0.0.1', { 'x-forwarded-for': lines }))
        expect(from).toMatch(/^[0-9a-f.:]+$/i)
      }),
    )
  })
})
