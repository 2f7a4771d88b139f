import { describe, expect, it, test } from 'vitest'
import { parseAlerting } from './parse.ts'

const hash = `sha256:${'0a'.repeat(32)}`
const other = `sha256:${'0B'.repeat(32)}`
const alerting = 'route: {receiver: r}\nreceivers: [{name: r}]\n'

const parse = (access: string, env: Record<string, string> = {}) =>
  parseAlerting(alerting, { more: `http:\n access:\n${access.replace(/^(?=.)/gm, '  ')}\n`, env })

/** `line:column message`, counted in what stands under `access`. */
async function told(access: string): Promise<string[]> {
  const error = await parse(access).then(
    () => [],
    (reason) => reason.problems as { line: number; column: number; message: string }[],
  )
  return error.map(({ line, column, message }) => `${line - 7}:${column - 2} ${message}`)
}

describe('http.access', () => {
  it('is this machine alone where it is left out', async () => {
    expect((await parseAlerting(alerting)).access).toBeNull()
  })

  it('takes tokens, a proxy, and who may read the metrics', async () => {
    const { access, http } = await parse(
      `
tokens:
  - {name: grafana, role: viewer, hash: "${hash}", expires: 2027-06-30}
  - {name: ops@laptop, role: operator, hash: "\${OPS}", expires: 2027-06-30T12:00:00+02:00}
  - {name: Jürgen, role: admin, hash: "sha256:${'0c'.repeat(32)}"}
proxy:
  addresses: [10.0.0.0/8, "127.0.0.1", "::1", "fd00::/8"]
  groups_header: X-Forwarded-Groups
  roles: {admin: [anna@example.com, "group:fleet-admins"], operator: ["group:a b"], viewer: ["*"]}
metrics: viewer
`,
      { OPS: other },
    )
    expect(access).toEqual({
      tokens: [
        { name: 'grafana', role: 'viewer', hash: '0a'.repeat(32), expiresAt: Date.UTC(2027, 6, 1) },
        { name: 'ops@laptop', role: 'operator', hash: '0b'.repeat(32), expiresAt: Date.UTC(2027, 5, 30, 10) },
        { name: 'Jürgen', role: 'admin', hash: '0c'.repeat(32), expiresAt: null },
      ],
      proxy: {
        addresses: [
          { address: '10.0.0.0', family: 'ipv4', prefix: 8 },
          { address: '127.0.0.1', family: 'ipv4', prefix: 32 },
          { address: '::1', family: 'ipv6', prefix: 128 },
          { address: 'fd00::', family: 'ipv6', prefix: 8 },
        ],
        userHeader: 'x-forwarded-user',
        groupsHeader: 'x-forwarded-groups',
        roles: {
          viewer: { everybody: true, people: [], groups: [] },
          operator: { everybody: false, people: [], groups: ['a b'] },
          admin: { everybody: false, people: ['anna@example.com'], groups: ['fleet-admins'] },
        },
      },
      metrics: 'viewer',
    })
    expect(http).toEqual({ host: '127.0.0.1', port: 9469, publicUrl: null })
  })

  const inToken = (text: string) => `tokens: [{name: n, role: viewer, ${text}}]`
  const at = '1:40'
  const hashWanted = 'expected sha256: and 64 hexadecimal digits, as `fleetwarden token create` prints them'
  const dateWanted = 'expected a date such as 2027-06-30, or an instant such as 2027-06-30T12:00:00Z, got'
  test.each([
    [inToken('hash: "sha256:abc"'), [`${at} ${hashWanted}`]],
    [inToken(`hash: "${hash}0"`), [`${at} ${hashWanted}`]],
    [inToken(`hash: "md5:${'0a'.repeat(32)}"`), [`${at} ${hashWanted}`]],
    [
      inToken('hash: fwt_hush'),
      [
        `${at} this is a token, not its hash: whoever reads this file could use it. Make another one with \`fleetwarden token create\``,
      ],
    ],
    [inToken('hash: hush-hush'), [`${at} ${hashWanted}`]],
    ['tokens: [{name: n, role: viewer}]', ['1:10 "hash" is missing']],
    [
      `tokens: [{name: n, role: root, hash: "${hash}"}]`,
      ['1:26 expected one of "viewer", "operator", "admin", got "root"'],
    ],
    [
      `tokens: [{name: n, role: opreator, hash: "${hash}"}]`,
      ['1:26 expected one of "viewer", "operator", "admin", got "opreator": did you mean "operator"?'],
    ],
    ...['"a b"', '""', '"a\\tb"', `"${'x'.repeat(65)}"`].map((name) => [
      `tokens: [{name: ${name}, role: viewer, hash: "${hash}"}]`,
      [expect.stringMatching(/^1:17 expected a name of at most 64 letters, digits and "\. _ - @", got "/)],
    ]),
    ...['tomorrow', '2027-02-30', '2027-13-01', '2027-06-30T12:00', '2027-06-30T25:00:00Z'].map((expires) => [
      `tokens: [{expires: "${expires}", name: n, role: viewer, hash: "${hash}"}]`,
      [`1:20 ${dateWanted} "${expires}"`],
    ]),
    [
      `tokens:\n- {name: n, role: viewer, hash: "${hash}"}\n- {name: n, role: admin, hash: "${other}"}`,
      ['3:10 "n" is the name of two tokens'],
    ],
    [
      `tokens:\n- {name: n, role: viewer, hash: "${hash}"}\n- {name: m, role: admin, hash: "${hash.replaceAll('0a', '0A')}"}`,
      ['3:32 the token "n" has the same hash: each needs a token of its own'],
    ],
    ['tokens: []', ['0:0 `http.access` lets nobody in: give it `tokens` or `proxy`']],
    ['metrics: viewer', ['0:0 `http.access` lets nobody in: give it `tokens` or `proxy`']],
    [`metrics: none\n${inToken(`hash: "${hash}"`)}`, ['1:10 expected one of "public", "viewer", got "none"']],
    [
      'token: []',
      [
        '0:0 `http.access` lets nobody in: give it `tokens` or `proxy`',
        '1:1 unknown key "token": did you mean "tokens"?',
      ],
    ],
  ] as [string, unknown[]][])('about tokens: %s', async (access, expected) => {
    expect(await told(access)).toEqual(expected)
  })

  const inProxy = (text: string) => `proxy: {addresses: ["::1"], roles: {viewer: ["*"]}, ${text}}`
  const rangeWanted = 'expected an address or a range such as 127.0.0.1, 10.0.0.0/8 or fd00::/8, got'
  const memberWanted = 'expected "*" for everybody, the name of a person, or group:NAME, got'
  test.each([
    ...[
      '10.0.0.0/33',
      '10.0.0/8',
      'proxy.internal',
      '10.0.0.0/8/8',
      '10.0.0.1/x',
      '::1/129',
      'fe80::1%eth0',
      '',
    ].map((range) => [
      `proxy: {addresses: ["${range}"], roles: {viewer: ["*"]}}`,
      [`1:21 ${rangeWanted} "${range}"`],
    ]),
    [
      'proxy: {addresses: [0.0.0.0/0], roles: {viewer: ["*"]}}',
      [`1:21 ${rangeWanted} "0.0.0.0/0": anybody could say who they are`],
    ],
    [
      'proxy: {addresses: ["::ffff:10.0.0.1"], roles: {viewer: ["*"]}}',
      [`1:21 ${rangeWanted} "::ffff:10.0.0.1": write it as IPv4`],
    ],
    ['proxy: {addresses: [], roles: {viewer: ["*"]}}', ['1:20 expected at least 1 entry, got a list']],
    ['proxy: {roles: {viewer: ["*"]}}', ['1:1 "addresses" is missing']],
    ['proxy: {addresses: ["::1"]}', ['1:1 "roles" is missing']],
    [
      'proxy: {addresses: ["::1"], roles: {viewer: [], admin: []}}',
      ['1:29 nobody has a role: name people, group:NAME, or "*" for everybody'],
    ],
    [
      'proxy: {addresses: ["::1"], roles: {admn: [anna]}}',
      [
        '1:29 nobody has a role: name people, group:NAME, or "*" for everybody',
        '1:37 unknown key "admn": did you mean "admin"?',
      ],
    ],
    ...['', 'group:', ' anna', 'anna,otto', 'a\\u202eb', 'x'.repeat(301)].map((entry) => [
      `proxy: {addresses: ["::1"], groups_header: g, roles: {admin: ["${entry}"]}}`,
      [expect.stringMatching(`^1:63 ${memberWanted.replace('*', '\\*')} "`)],
    ]),
    [
      'proxy: {addresses: ["::1"], roles: {admin: ["group:g"]}}',
      ['1:45 "group:g" is a group: say in `groups_header` which header has the groups'],
    ],
    [
      'proxy:\n addresses: ["::1"]\n roles:\n  viewer: ["*", otto, otto]\n  admin: ["*"]',
      ['4:12 "*" is in `admin` already, which includes this role', '4:23 "otto" is here already'],
    ],
    [
      inProxy('user_header: "X User"'),
      ['1:66 expected the name of a header such as X-Forwarded-User, got "X User"'],
    ],
    ...['Authorization', 'host', 'X-Forwarded-For'].map((name) => [
      inProxy(`user_header: ${name}`),
      [`1:66 expected the name of a header such as X-Forwarded-User, got "${name}"`],
    ]),
    [
      inProxy('groups_header: x-forwarded-user'),
      ['1:68 one header cannot name both the person and the groups'],
    ],
  ] as [string, unknown[]][])('about the proxy: %s', async (access, expected) => {
    expect(await told(access)).toEqual(expected)
  })
})
