// An SMTP server that answers each command with whatever a test wants, to see each reply once.

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** A reply line such as `250 ok`; `hang` says nothing, `drop` breaks the connection. */
export interface SmtpScript {
  readonly greeting?: string
  /** May be several lines; by default without extensions. */
  readonly ehlo?: string
  readonly starttls?: string
  readonly auth?: string
  readonly mail?: string
  /** One for all recipients, or one for each. */
  readonly rcpt?: string | Readonly<Record<string, string>>
  readonly data?: string
  readonly end?: string
  /** Key and certificate: STARTTLS is then taken up. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

export interface ScriptedSmtp {
  readonly port: number
  script: SmtpScript
  /** Commands as they came, without the mail. */
  readonly commands: string[]
  /** Mails that were handed over, whatever was answered. */
  readonly mails: string[]
  close(): Promise<void>
}

export async function startScriptedSmtp(script: SmtpScript = {}): Promise<ScriptedSmtp> {
  const sockets = new Set<Socket>()
  const smtp = { port: 0, script, commands: [] as string[], mails: [] as string[] }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    converse(socket, true)
  })

  function converse(socket: Socket, greet: boolean): void {
    let buffered = ''
    let inData = false
    const say = (reply: string) => {
      if (reply === 'drop') socket.destroy()
      else if (reply !== 'hang') socket.write(`${reply}\r\n`)
    }
    if (greet) say(smtp.script.greeting ?? '220 scripted ESMTP')
    const onData = (chunk: Buffer) => {
      buffered += chunk.toString('utf8')
      for (;;) {
        const end = buffered.indexOf(inData ? '\r\n.\r\n' : '\r\n')
        if (end < 0) return
        const line = buffered.slice(0, end)
        buffered = buffered.slice(end + (inData ? 5 : 2))
        if (inData) {
          inData = false
          smtp.mails.push(line)
          say(smtp.script.end ?? '250 queued')
          continue
        }
        smtp.commands.push(line)
        const reply = answer(line)
        say(reply)
        if (/^DATA/i.test(line) && reply.startsWith('354')) inData = true
        if (/^STARTTLS/i.test(line) && reply.startsWith('220') && smtp.script.tls !== undefined) {
          socket.removeListener('data', onData)
          const secure = new TLSSocket(socket, { isServer: true, ...smtp.script.tls })
          secure.on('error', () => {})
          converse(secure, false)
          return
        }
      }
    }
    socket.on('data', onData)
  }

  function answer(line: string): string {
    const { ehlo, starttls, auth, mail, rcpt, data } = smtp.script
    if (/^EHLO/i.test(line)) return ehlo ?? '250 scripted'
    if (/^STARTTLS/i.test(line)) return starttls ?? '220 go ahead'
    if (/^AUTH/i.test(line)) return auth ?? '235 welcome'
    if (/^MAIL/i.test(line)) return mail ?? '250 sender ok'
    if (/^RCPT/i.test(line)) {
      if (rcpt === undefined || typeof rcpt === 'string') return rcpt ?? '250 recipient ok'
      return rcpt[/<([^>]*)>/.exec(line)?.[1] ?? ''] ?? '250 recipient ok'
    }
    if (/^DATA/i.test(line)) return data ?? '354 go ahead'
    return '250 ok'
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  smtp.port = (server.address() as AddressInfo).port
  return Object.assign(smtp, {
    close() {
      return new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
    },
  })
}
