// A mail server to run against: takes mail over SMTP on the loopback and keeps it, parsed. It can be
// told to fail in the ways in which mail servers fail. No STARTTLS and no logins: nothing leaves
// the machine.

import type { AddressInfo, Socket } from 'node:net'
import { type AddressObject, type ParsedMail, simpleParser } from 'mailparser'
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server'
import type { Clock } from '../clock.ts'
import { createInbox, type Inbox } from './inbox.ts'

export interface InboxMail {
  readonly id: string
  /** Ms since 1970, by the inbox's clock. */
  readonly receivedAt: number
  /** Whom it was really for, whatever its header says. */
  readonly recipients: readonly string[]
  readonly from: string
  readonly to: string
  readonly subject: string
  readonly text: string
  readonly html: string | null
  readonly messageId: string
  readonly inReplyTo: string | null
  readonly references: readonly string[]
  /** As they came, folded lines joined, in their order. */
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  readonly size: number
}

export interface MailInbox {
  readonly messages: Inbox<InboxMail>
  readonly host: string
  readonly port: number
  /** Answers RCPT TO this address with a reply such as `550 5.1.1 no such user` until heal(). */
  refuse(address: string, reply?: string): void
  /** Refuses this address for the first `times` attempts, for now: as greylisting does. */
  greylist(address: string, times?: number): void
  /**
   * The next `times` mails: the connection breaks after the mail was handed over, before the
   * reply. `keep`: it was taken all the same, so that a second attempt makes a second copy.
   */
  breakAfterData(options?: { readonly times?: number; readonly keep?: boolean }): void
  /** Takes connections and says nothing, until heal(). */
  hang(): void
  heal(): void
  close(): Promise<void>
}

export interface MailInboxOptions {
  readonly clock: Clock
  readonly host?: string
  /** 0, the default: any free one. */
  readonly port?: number
  readonly keep?: number
}

const largestMail = 1_000_000

export async function startMailInbox({
  clock,
  host = '127.0.0.1',
  port = 0,
  keep = 500,
}: MailInboxOptions): Promise<MailInbox> {
  const messages = createInbox<InboxMail>(keep)
  const sockets = new Map<number, Socket>()
  const refusals = new Map<string, { readonly reply: string; left: number }>()
  let breaks = { times: 0, keep: false }
  let hanging = false

  const server = new SMTPServer({
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    size: largestMail,
    closeTimeout: 100,
    onConnect(_session, callback) {
      if (!hanging) callback()
    },
    onRcptTo({ address }, _session, callback) {
      const refusal = refusals.get(address.toLowerCase())
      if (refusal === undefined || refusal.left <= 0) return callback()
      refusal.left -= 1
      callback(smtpError(refusal.reply))
    },
    onData(stream, session, callback) {
      receive(stream, session).then(
        (taken) => {
          if (taken === 'too_large') callback(smtpError('552 5.3.4 message too large'))
          else if (taken === 'broken') sockets.get(session.remotePort)?.destroy()
          else callback()
        },
        () => callback(smtpError('554 5.6.0 message not understood')),
      )
    },
  })
  // A client that goes away in the middle of something is nothing unusual.
  server.on('error', () => {})
  server.server.on('connection', (socket) => {
    const { remotePort = 0 } = socket
    sockets.set(remotePort, socket)
    socket.once('close', () => sockets.delete(remotePort))
  })

  async function receive(
    stream: SMTPServerDataStream,
    session: SMTPServerSession,
  ): Promise<'taken' | 'broken' | 'too_large'> {
    const mail = await simpleParser(stream, { skipImageLinks: true, skipTextToHtml: true })
    if (stream.sizeExceeded) return 'too_large'
    const broken = breaks.times > 0
    if (broken) breaks = { ...breaks, times: breaks.times - 1 }
    if (!broken || breaks.keep) {
      messages.add({
        ...readable(mail),
        id: String(messages.total() + 1),
        receivedAt: clock.now(),
        recipients: session.envelope.rcptTo.map(({ address }) => address),
        size: stream.byteLength,
      })
    }
    return broken ? 'broken' : 'taken'
  }

  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject)
    server.listen(port, host, () => resolve())
  })
  const listening: AddressInfo | string | null = server.server.address()

  return {
    messages,
    host,
    port: typeof listening === 'object' && listening !== null ? listening.port : port,
    refuse(address, reply = '550 5.1.1 no such user') {
      refusals.set(address.toLowerCase(), { reply, left: Number.POSITIVE_INFINITY })
    },
    greylist(address, times = 1) {
      refusals.set(address.toLowerCase(), { reply: '451 4.7.1 greylisted, try again later', left: times })
    },
    breakAfterData({ times = 1, keep: keepIt = true } = {}) {
      breaks = { times, keep: keepIt }
    },
    hang() {
      hanging = true
    },
    heal() {
      hanging = false
      breaks = { times: 0, keep: false }
      refusals.clear()
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets.values()) socket.destroy()
      })
    },
  }
}

function readable(mail: ParsedMail): Omit<InboxMail, 'id' | 'receivedAt' | 'recipients' | 'size'> {
  return {
    from: mail.from?.text ?? '',
    to: [mail.to ?? []]
      .flat()
      .map((list: AddressObject) => list.text)
      .join(', '),
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    html: mail.html || null,
    messageId: mail.messageId ?? '',
    inReplyTo: mail.inReplyTo ?? null,
    references: [mail.references ?? []].flat(),
    headers: mail.headerLines.map(({ line }) => {
      const colon = line.indexOf(':')
      return {
        name: line.slice(0, colon),
        value: line
          .slice(colon + 1)
          .replace(/\r?\n\s*/g, ' ')
          .trim(),
      }
    }),
  }
}

/** An error that smtp-server answers with this reply: `550 5.1.1 no such user`. */
function smtpError(reply: string): Error {
  const responseCode = Number(reply.slice(0, 3))
  return Object.assign(new Error(reply.slice(4)), { responseCode })
}
