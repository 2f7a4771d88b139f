// Hands one mail to one owner over to a mail server, and says how that ended. The server's replies quote
// addresses as they like, so they are taken out of every reason.

import { createTransport } from 'nodemailer'
import type { OwnerConfig } from '../config.ts'
import {
  describeMailError,
  domainOf,
  isMailError,
  isRefusal,
  MailAddressError,
  parseMailbox,
  transportOptions,
} from '../notify/receivers/email.ts'
import type { OwnerMail } from './owner-mail.ts'

export interface Posting {
  readonly mail: OwnerMail
  /** An address that `ownerAddress` took. */
  readonly to: string
  readonly letterId: string
  /** Ms since 1970. */
  readonly at: number
}

export type PostOutcome =
  | { readonly kind: 'ok' }
  /** `isServers`: it would be the same for every other mail. */
  | { readonly kind: 'retry'; readonly reason: string; readonly isServers: boolean }
  /** The server takes no mail for this address. */
  | { readonly kind: 'refused'; readonly reason: string }

/** Never rejects; reasons hold neither a secret nor an address. */
export type OwnerPost = (posting: Posting, signal: AbortSignal) => Promise<PostOutcome>

const attemptMs = 60_000

export function createOwnerPost(config: OwnerConfig): OwnerPost {
  const from = parseMailbox(config.from)

  return async ({ mail, to, letterId, at }, signal) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(attemptMs)])
    const transport = createTransport(transportOptions(config))
    try {
      await transport.sendMail({
        from: { name: from.name === '' ? config.company.name : from.name, address: from.address },
        to: [{ name: '', address: to }],
        envelope: { from: from.address, to: [to] },
        subject: mail.subject,
        date: new Date(at),
        messageId: `<owner.${letterId}@${domainOf(from.address)}>`,
        ...(config.company.supportEmail === null ? {} : { replyTo: config.company.supportEmail }),
        headers: {
          'Auto-Submitted': 'auto-generated',
          'X-Auto-Response-Suppress': 'All',
          // RFC 8058, in the spelling that it prescribes: one POST there ends the mail, without a question.
          'List-Unsubscribe': { prepared: true, value: `<${mail.unsubscribeUrl}>` },
          'List-Unsubscribe-Post': { prepared: true, value: 'List-Unsubscribe=One-Click' },
        },
        text: mail.text,
        html: mail.html,
        disableFileAccess: true,
        disableUrlAccess: true,
        signal: limited,
      })
      return { kind: 'ok' }
    } catch (error) {
      if (limited.aborted) return { kind: 'retry', reason: 'timeout', isServers: true }
      if (!isMailError(error)) {
        const name = error instanceof Error ? error.name : 'error'
        return { kind: 'retry', reason: `unexpected ${name}`, isServers: false }
      }
      const reason = withoutAddresses(describeMailError(error, config))
      const own = error.rejectedErrors ?? [error]
      if (own.every(isRefusal)) return { kind: 'refused', reason }
      const isAboutTheMail = error.code === 'EENVELOPE' || error.code === 'EMESSAGE'
      return { kind: 'retry', reason, isServers: !isAboutTheMail }
    }
  }
}

/** The address as it can be written to; null: the text is none, or more than one. */
export function ownerAddress(email: string | null): string | null {
  if (email === null || email.includes('<')) return null
  try {
    return parseMailbox(email).address
  } catch (error) {
    if (error instanceof MailAddressError) return null
    throw error
  }
}

function withoutAddresses(reason: string): string {
  return reason.replace(/[^\s<>"'(),;:=]+@[^\s<>"'(),;]+/g, 'ADDRESS')
}
