import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import type { EmailConfig } from '../../../src/config.ts'
import { type InboxMail, type MailInbox, startMailInbox } from '../../../src/demo/mail-inbox.ts'
import { createMessage } from '../../../src/notify/message.ts'
import type { Integration, Notification } from '../../../src/notify/notification.ts'
import { MailAddressError } from '../../../src/notify/receivers/email.ts'
import { htmlBody, textBody } from '../../../src/notify/receivers/email-body.ts'
import { Secret } from '../../../src/secret.ts'
import { hostileCase } from '../hostile.ts'
import { resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { emailConfig, integrationOf } from './peers.ts'
import { type ScriptedSmtp, startScriptedSmtp } from './scripted-smtp.ts'

function header(mail: InboxMail | undefined, name: string): string | undefined {
  return mail?.headers.find((one) => one.name.toLowerCase() === name.toLowerCase())?.value
}

describe('the e-mail receiver', () => {
  let inbox: MailInbox
  let integration: Integration
  const three = ['On call <a@example.com>', 'b@example.com', 'c@example.com']

  beforeEach(async () => {
    inbox = await startMailInbox({ clock: systemClock })
    integration = email({ to: three })
  })
  afterEach(async () => {
    await integration.close()
    await inbox.close()
  })

  function email(changes: Partial<EmailConfig>): Integration {
    return integrationOf({ email: emailConfig(inbox.port, changes) })
  }

  it('sends one mail to all recipients, as text and as HTML', async () => {
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    const [mail] = inbox.messages.items()
    expect(inbox.messages.total()).toBe(1)
    expect(mail).toMatchObject({
      recipients: ['a@example.com', 'b@example.com', 'c@example.com'],
      from: '"Fleet" <fleet@example.org>',
      subject: 'Fleet alert: DeviceUnauthenticated (Vaillant)',
    })
    expect(mail?.text).toMatch(/^FIRING \(critical\): 3 heat pumps \(Vaillant\): DeviceUnauthenticated\n/)
    expect(mail?.html).toContain('<a href="https://fleet.example.com/r/f1"')
    expect(header(mail, 'Content-Type')).toContain('multipart/alternative')
  })

  it('says in its headers that a machine sent it, and for which list', async () => {
    await integration.send(sampleNotification(), sampleContext())
    const [mail] = inbox.messages.items()
    expect(header(mail, 'Auto-Submitted')).toBe('auto-generated')
    expect(header(mail, 'X-Auto-Response-Suppress')).toBe('All')
    expect(header(mail, 'List-ID')).toBe('"Fleet alerts" <fleetwarden.example.org>')
    expect(header(mail, 'X-Fleet-Alert-Status')).toBe('firing')
    expect(header(mail, 'X-Fleet-Alert-Severity')).toBe('critical')
    expect(header(mail, 'Precedence')).toBeUndefined()
  })

  it('is urgent only while something critical fires', async () => {
    const warning = sampleAlert(1, { labels: { ...sampleAlert(1).labels, severity: 'warning' } })
    for (const changes of [{}, { firing: [warning] }, { firing: [], resolved: [resolvedAlert(1)] }]) {
      await integration.send(sampleNotification(changes), sampleContext())
    }
    expect(inbox.messages.items().map((mail) => header(mail, 'X-Priority'))).toEqual([
      '1 (Highest)',
      undefined,
      undefined,
    ])
  })

  describe('threads', () => {
    const minute = 60_000
    const { at } = sampleNotification()

    async function send(...notifications: Partial<Notification>[]): Promise<readonly InboxMail[]> {
      for (const changes of notifications)
        await integration.send(sampleNotification(changes), sampleContext())
      return inbox.messages.items()
    }

    it('keep all that belongs together under one subject and common references', async () => {
      const mails = await send(
        { firing: [sampleAlert(1)] },
        { reason: 'new alerts', firing: [1, 2, 3].map((n) => sampleAlert(n)), at: at + 5 * minute },
        // The oldest ends: what follows doesn't know of it any more.
        {
          reason: 'some resolved',
          firing: [sampleAlert(2), sampleAlert(3)],
          resolved: [resolvedAlert(1)],
          at: at + 10 * minute,
        },
        {
          reason: 'all resolved',
          firing: [],
          resolved: [resolvedAlert(2), resolvedAlert(3)],
          at: at + 15 * minute,
        },
      )
      expect(new Set(mails.map(({ subject }) => subject)).size).toBe(1)
      expect(new Set(mails.map(({ messageId }) => messageId)).size).toBe(4)
      for (const [index, mail] of mails.entries()) {
        expect(mail.references).toContain(mail.inReplyTo)
        const before = mails[index - 1]
        if (before !== undefined) {
          expect(mail.references.filter((id) => before.references.includes(id))).not.toEqual([])
        }
      }
    })

    it('hold together however many members come and go', async () => {
      const old = Array.from({ length: 40 }, (_, index) => sampleAlert(index + 1))
      const ended = Array.from({ length: 40 }, (_, index) => resolvedAlert(index + 1))
      const young = Array.from({ length: 40 }, (_, index) => sampleAlert(index + 41))
      const [first, second] = await send(
        { firing: old },
        { reason: 'new alerts', firing: young, resolved: ended, at: at + 5 * minute },
      )
      expect(second?.references.filter((id) => first?.references.includes(id))).not.toEqual([])
      expect(second?.references.length).toBeLessThanOrEqual(8)
    })

    it('begin anew with a new episode, and are apart for another group', async () => {
      const [first, ...others] = await send(
        { firing: [sampleAlert(1)] },
        { firing: [sampleAlert(1, { episode: 'another' })] },
        { firing: [sampleAlert(1)], groupKey: 'another' },
      )
      for (const other of others) {
        expect(other.references.filter((id) => first?.references.includes(id))).toEqual([])
      }
    })
  })

  it('tells who will never get it, while the others have it', async () => {
    inbox.refuse('b@example.com')
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({
      kind: 'ok',
      refused: ['b@example.com'],
    })
    expect(inbox.messages.items()[0]?.recipients).toEqual(['a@example.com', 'c@example.com'])
  })

  it('tries again with those who were put off only, under the same Message-ID', async () => {
    inbox.greylist('b@example.com')
    const first = await integration.send(sampleNotification(), sampleContext())
    expect(first).toMatchObject({
      kind: 'retry',
      reason: expect.stringContaining('451'),
      delivered: ['a@example.com', 'c@example.com'],
    })
    const delivered = first.kind === 'retry' ? (first.delivered ?? []) : []
    expect(await integration.send(sampleNotification(), sampleContext({ delivered }))).toEqual({ kind: 'ok' })
    const [one, two] = inbox.messages.items()
    expect(two?.recipients).toEqual(['b@example.com'])
    expect(two?.messageId).toBe(one?.messageId)
    expect(two?.to).toBe(one?.to)
  })

  it('goes on listing those who were reached earlier', async () => {
    inbox.greylist('b@example.com', 2)
    inbox.greylist('c@example.com', 1)
    const first = await integration.send(sampleNotification(), sampleContext())
    expect(first).toMatchObject({ delivered: ['a@example.com'] })
    const second = await integration.send(
      sampleNotification(),
      sampleContext({ delivered: ['a@example.com'] }),
    )
    expect(second).toMatchObject({ kind: 'retry', delivered: ['a@example.com', 'c@example.com'] })
  })

  it('ends well, with a refusal, when the last one who was put off is refused after all', async () => {
    inbox.refuse('b@example.com')
    const outcome = await integration.send(
      sampleNotification(),
      sampleContext({ delivered: ['a@example.com', 'c@example.com'] }),
    )
    expect(outcome).toEqual({ kind: 'ok', refused: ['b@example.com'] })
  })

  it('waits for the one who is put off while the others are refused', async () => {
    inbox.refuse('a@example.com')
    inbox.refuse('c@example.com')
    inbox.greylist('b@example.com')
    expect(await integration.send(sampleNotification(), sampleContext())).toMatchObject({
      kind: 'retry',
      reason: expect.stringContaining('451'),
    })
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({
      kind: 'ok',
      refused: ['a@example.com', 'c@example.com'],
    })
  })

  it('asks nobody when all have it', async () => {
    const delivered = ['a@example.com', 'b@example.com', 'c@example.com']
    expect(await integration.send(sampleNotification(), sampleContext({ delivered }))).toEqual({ kind: 'ok' })
    expect(inbox.messages.total()).toBe(0)
  })

  it('sends again, as the same mail, when the connection breaks before the server’s word', async () => {
    inbox.breakAfterData()
    expect(await integration.send(sampleNotification(), sampleContext())).toMatchObject({ kind: 'retry' })
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    expect(inbox.messages.total()).toBe(2)
    expect(new Set(inbox.messages.items().map(({ messageId }) => messageId)).size).toBe(1)
  })

  it.each([
    'a@b.example\r\nBcc: z@z.example',
    'a@b.example, c@d.example',
    'a@b.example c@d.example',
    'On call',
    '<a@b.example',
    'a@b@c.example',
    '@b.example',
    'a@',
    'Name\u0000 <a@b.example>',
    '"x\r\n" <a@b.example>',
    'group: a@b.example;',
    '',
  ])('refuses %j for an address', (address) => {
    expect(() => email({ to: [address] })).toThrow(MailAddressError)
    expect(() => email({ from: address })).toThrow(MailAddressError)
  })

  it('takes addresses with and without a name, and international domains', async () => {
    const to = ['Müller On Call <m.müller+x@Bücher.example>', "o'neil@example.com", 'slow@example.com']
    inbox.greylist('slow@example.com')
    const first = await email({ to }).send(sampleNotification(), sampleContext())
    const delivered = first.kind === 'retry' ? (first.delivered ?? []) : []
    expect(delivered).toHaveLength(2)
    expect(await email({ to }).send(sampleNotification(), sampleContext({ delivered }))).toEqual({
      kind: 'ok',
    })
    expect(inbox.messages.items().map(({ recipients }) => recipients)).toEqual([
      ['m.müller+x@bücher.example', "o'neil@example.com"],
      ['slow@example.com'],
    ])
  })

  it('refuses to have no recipient', () => {
    expect(() => email({ to: [] })).toThrow('give at least one address')
  })
})

describe('TLS and logins', () => {
  let server: ScriptedSmtp
  let tls: { readonly key: string; readonly cert: string }

  beforeEach(async () => {
    const pem = (name: string) => readFile(new URL(`tls/${name}.pem`, import.meta.url), 'utf8')
    tls = { key: await pem('key'), cert: await pem('cert') }
    server = await startScriptedSmtp({ ehlo: '250-scripted\r\n250-STARTTLS\r\n250 AUTH PLAIN', tls })
  })
  afterEach(() => server.close())

  function email(changes: Partial<EmailConfig>): Integration {
    return integrationOf({ email: emailConfig(server.port, changes) })
  }
  const login = { username: 'fleet', password: new Secret('hidden') }

  it('logs in and sends over TLS to a server whose certificate it knows', async () => {
    const integration = email({ requireTls: true, ca: tls.cert, ...login })
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    const verbs = server.commands.map((command) => command.split(/[ :]/)[0])
    expect(verbs).toEqual(['EHLO', 'STARTTLS', 'EHLO', 'AUTH', 'MAIL', 'RCPT', 'DATA'])
    expect(server.mails).toHaveLength(1)
  })

  it('checks the certificate for the name that was configured', async () => {
    const named = email({ requireTls: true, ca: tls.cert, serverName: 'localhost' })
    expect(await named.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    const other = email({ requireTls: true, ca: tls.cert, serverName: 'mail.example.com' })
    expect(await other.send(sampleNotification(), sampleContext())).toEqual({
      kind: 'retry',
      reason: 'the mail server’s certificate is not accepted: ERR_TLS_CERT_ALTNAME_INVALID',
    })
  })

  it('keeps the mail, and says so, when it does not trust the certificate', async () => {
    const outcome = await email({ requireTls: true, ...login }).send(sampleNotification(), sampleContext())
    expect(outcome).toEqual({
      kind: 'retry',
      reason: 'the mail server’s certificate is not accepted: DEPTH_ZERO_SELF_SIGNED_CERT',
    })
    expect(server.commands.join()).not.toContain('AUTH')
  })

  it('keeps the mail when TLS is required and the server has none', async () => {
    server.script = { ehlo: '250 scripted', starttls: '502 5.5.1 no such command' }
    const outcome = await email({ requireTls: true, ...login }).send(sampleNotification(), sampleContext())
    expect(outcome).toMatchObject({
      kind: 'retry',
      reason: expect.stringMatching(/no TLS .*502.*smtp_require_tls/),
    })
    expect(server.mails).toEqual([])
    expect(server.commands.join()).not.toMatch(/AUTH|MAIL/)
  })

  it('stays in the clear where that is configured, even if the server offers STARTTLS', async () => {
    expect(await email({ requireTls: false }).send(sampleNotification(), sampleContext())).toEqual({
      kind: 'ok',
    })
    expect(server.commands.join()).not.toContain('STARTTLS')
  })

  it('introduces itself by the configured name', async () => {
    await email({ hello: 'fleet.example.org' }).send(sampleNotification(), sampleContext())
    expect(server.commands[0]).toBe('EHLO fleet.example.org')
  })
})

describe('the body of a mail', () => {
  const origin = { receiver: 'on-call' }
  const options = { links: new Map(), showPersonalData: false, moreUrl: null }

  it('is complete as text', () => {
    const links = new Map([['f1', { url: 'https://a.example/r/1', validUntil: sampleNotification().at }]])
    const message = createMessage(sampleNotification({ firing: [sampleAlert(1)] }), { ...options, links })
    expect(textBody(message, origin)).toBe(`FIRING (critical): 1 heat pump (Vaillant): DeviceUnauthenticated

Vaillant heat pump lost its connection
To do: Open a device’s link and follow the steps; it resolves by itself once the device answers.
Runbook: https://docs.example.com/runbooks/unauthenticated

Since:     11:01 UTC
Affected:  1 customer

DEVICES

* Heat pump Vaillant aroTHERM plus, customer K-4701
  since 11:01 UTC
  device 11111111-0000-4000-8000-000000000001
  Resolve (valid until 12:00 UTC): https://a.example/r/1

-- 
First message about this.
Sent by Fleetwarden to receiver on-call.
`)
  })

  it('is under 100 KB of HTML without scripts or pictures, whatever it is about', async () => {
    await fc.assert(
      fc.asyncProperty(hostileCase, fc.boolean(), async ({ notification, link }, showPersonalData) => {
        const links = new Map(
          link === null ? [] : notification.firing.map((alert) => [alert.fingerprint, link]),
        )
        const message = createMessage(notification, { links, showPersonalData, moreUrl: link?.url ?? null })
        const told = message.members.length + message.more.count
        const html = await htmlBody(message, origin)
        expect(Buffer.byteLength(html)).toBeLessThan(100_000)
        const tags = new Set(Array.from(html.matchAll(/<\/?([a-z!]+)/gi), (match) => match[1]!.toLowerCase()))
        const known = '! html head meta title style body div table tr td b br a span'.split(' ')
        expect([...tags].filter((tag) => !known.includes(tag) && tag !== '!doctype')).toEqual([])
        for (const [, url] of html.matchAll(/href="([^"]*)"/g)) expect(url).toMatch(/^https?:\/\//)
        const rows = html.split('valign="top" style="color').length - 1
        const more = /…and (\d+) more/.exec(html)?.[1] ?? 0
        expect(rows + Number(more)).toBe(told)
        expect(textBody(message, origin).isWellFormed()).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('lists fewer devices as HTML when their links are huge, and says so', async () => {
    const firing = Array.from({ length: 12 }, (_, index) => sampleAlert(index + 1))
    const url = `https://a.example/?${'&'.repeat(1_900)}`
    const links = new Map(firing.map(({ fingerprint }) => [fingerprint, { url, validUntil: null }]))
    const html = await htmlBody(createMessage(sampleNotification({ firing }), { ...options, links }), origin)
    expect(Buffer.byteLength(html)).toBeLessThan(100_000)
    expect(html).toMatch(/…and (\d+) more than these (\d+)/)
    const [, more, listed] = /…and (\d+) more than these (\d+)/.exec(html) ?? []
    expect(Number(more) + Number(listed)).toBe(12)
    expect(html.split('>Resolve</a>').length - 1).toBe(Number(listed))
  })

  it('says FIRING and ENDED apart when it is about both', async () => {
    const message = createMessage(
      sampleNotification({ reason: 'some resolved', firing: [sampleAlert(1)], resolved: [resolvedAlert(2)] }),
      options,
    )
    for (const body of [textBody(message, origin), await htmlBody(message, origin)]) {
      expect(body).toMatch(/STILL FIRING[\s\S]*K-4701[\s\S]*ENDED[\s\S]*K-4702/)
      expect(body).toContain('1 firing, 1 ended')
    }
  })
})
