import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { type MailInbox, startMailInbox } from '../../src/demo/mail-inbox.ts'
import { createOwnerMail } from '../../src/owners/owner-mail.ts'
import { createOwnerPost, ownerAddress, type Posting } from '../../src/owners/owner-post.ts'
import { Secret } from '../../src/secret.ts'
import { type ScriptedSmtp, startScriptedSmtp } from '../notify/receivers/scripted-smtp.ts'
import { company, ownerConfig } from './neighbourhood.ts'

const signal = new AbortController().signal
const token = `f3a91c02.AQEBwTPWVQ9yTk5dR1mLzjI2Yw0Vqg.${'V0pR6mB1m9v3sYh8c7rQ4kT2wX5zN1dE0fJgHiKlMnO'}`
const unsubscribeUrl = `https://fleet.example.com/r/${token}/unsubscribe`

async function posting(
  changes: Partial<Posting> = {},
  name: string | null = 'Anna Muster',
): Promise<Posting> {
  const mail = await createOwnerMail({
    place: { language: 'de', locale: 'de-AT', timeZone: 'Europe/Vienna' },
    name,
    company,
    devices: [
      {
        ...{ type: 'heat_pump', manufacturer: 'Daikin', task: 'connection' },
        ...{ since: Date.UTC(2026, 0, 9), url: `https://fleet.example.com/r/${token}` },
      },
    ],
    unsubscribeUrl,
  })
  return { mail, to: 'anna@home.example', letterId: 'letter-1', at: Date.UTC(2026, 0, 10, 9), ...changes }
}

describe('a mail to an owner, on its way', () => {
  let inbox: MailInbox
  let scripted: ScriptedSmtp
  beforeEach(async () => {
    inbox = await startMailInbox({ clock: systemClock })
    scripted = await startScriptedSmtp()
  })
  afterEach(async () => {
    await inbox.close()
    await scripted.close()
  })

  const to = (port: number, changes = {}) =>
    createOwnerPost(ownerConfig({ smarthost: { host: '127.0.0.1', port }, ...changes }))

  it('arrives as one mail to one address, and says how to end it in the way that mail readers know', async () => {
    const withSupport = { company: { ...company, supportEmail: 'help@stadtwerke.example' } }
    expect(await to(inbox.port, withSupport)(await posting(), signal)).toEqual({ kind: 'ok' })
    const [mail] = inbox.messages.items()
    expect(mail).toMatchObject({
      recipients: ['anna@home.example'],
      from: '"Stadtwerke" <service@stadtwerke.example>',
      to: 'anna@home.example',
      subject: 'Ihre Wärmepumpe ist nicht mehr verbunden',
      messageId: '<owner.letter-1@stadtwerke.example>',
    })
    const header = (name: string) => mail?.headers.filter((one) => one.name.toLowerCase() === name)
    expect(header('list-unsubscribe')).toEqual([{ name: 'List-Unsubscribe', value: `<${unsubscribeUrl}>` }])
    expect(header('list-unsubscribe-post')?.[0]?.value).toBe('List-Unsubscribe=One-Click')
    expect(header('auto-submitted')?.[0]?.value).toBe('auto-generated')
    expect(header('reply-to')?.[0]?.value).toBe('help@stadtwerke.example')
    expect(header('precedence')).toEqual([])
    expect(mail?.text).toContain(unsubscribeUrl)
    expect(mail?.html).toContain(`href="${unsubscribeUrl}"`)
  })

  it('has the headers of RFC 8058 unbroken, each on a line of its own', async () => {
    await to(scripted.port)(await posting(), signal)
    const [raw = ''] = scripted.mails
    const unfolded = raw.replace(/\r\n[ \t]+/g, ' ')
    expect(unfolded).toMatch(/^List-Unsubscribe-Post: List-Unsubscribe=One-Click$/m)
    expect(unfolded.split('\r\n')).toContain(`List-Unsubscribe: <${unsubscribeUrl}>`)
  })

  it('has the same Message-ID at each attempt', async () => {
    inbox.breakAfterData({ keep: true })
    expect(await to(inbox.port)(await posting(), signal)).toMatchObject({ kind: 'retry' })
    expect(await to(inbox.port)(await posting(), signal)).toEqual({ kind: 'ok' })
    expect(new Set(inbox.messages.items().map(({ messageId }) => messageId)).size).toBe(1)
    expect(inbox.messages.total()).toBe(2)
  })

  it('takes no further recipient or header from a name', async () => {
    const evil = 'Anna\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>'
    await to(inbox.port)(await posting({}, evil), signal)
    const [mail] = inbox.messages.items()
    expect(mail?.recipients).toEqual(['anna@home.example'])
    expect(mail?.headers.map(({ name }) => name.toLowerCase())).not.toContain('bcc')
    expect(mail?.html).not.toContain('<script>')
    expect(mail?.text).toMatch(/^Guten Tag, Anna Bcc: eve@evil\.example <script>alert\(1\)<\/script>,\n/)
  })

  it.each([
    ['an unknown user', { rcpt: '550 5.1.1 <anna@home.example>: no such user' }, 'refused', undefined],
    [
      'a mail that it does not want',
      { end: '554 5.7.1 spam from service@stadtwerke.example' },
      'refused',
      undefined,
    ],
    ['greylisting', { rcpt: '451 4.7.1 anna@home.example: come back later' }, 'retry', false],
    ['a server that is shutting down', { greeting: '421 not now, anna@home.example' }, 'retry', true],
    ['a connection that breaks', { data: 'drop' }, 'retry', undefined],
  ])('says how it ended without an address: %s', async (_, script, kind, isServers) => {
    scripted.script = script
    const outcome = await to(scripted.port)(await posting(), signal)
    expect(outcome.kind).toBe(kind)
    expect(JSON.stringify(outcome)).not.toMatch(/@|anna|stadtwerke/)
    if (isServers !== undefined) expect(outcome).toMatchObject({ isServers })
  })

  it('takes a refused login for a fault of ours, and keeps the password to itself', async () => {
    scripted.script = { ehlo: '250-scripted\r\n250 AUTH PLAIN', auth: '535 5.7.8 no, hush-hush' }
    const login = { username: 'fleet', password: new Secret('hush-hush') }
    const outcome = await to(scripted.port, login)(await posting(), signal)
    expect(outcome).toMatchObject({ kind: 'retry', isServers: true })
    expect(JSON.stringify(outcome)).not.toContain('hush-hush')
  })

  it('ends when it is told to', async () => {
    inbox.hang()
    const ending = new AbortController()
    const sending = to(inbox.port)(await posting(), ending.signal)
    ending.abort()
    expect(await sending).toEqual({ kind: 'retry', reason: 'timeout', isServers: true })
  })
})

it.each([
  ['anna@home.example', 'anna@home.example'],
  [' anna@müller.example ', 'anna@xn--mller-kva.example'],
  [null, null],
  ['', null],
  ['anna', null],
  ['anna@home.example, eve@evil.example', null],
  ['anna@home.example\r\nBcc: eve@evil.example', null],
  ['Anna <anna@home.example>', null],
])('an address is one address and nothing else: %j', (email, address) => {
  expect(ownerAddress(email)).toBe(address)
})
