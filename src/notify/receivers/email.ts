// E-mail through an SMTP server ("smarthost"): one mail to all recipients of one email_configs
// entry, and how each attempt ended, recipient by recipient.
//
// Who has the mail never gets it again: a retry goes to the others, under the same Message-ID. A
// connection that breaks after the mail was handed over leaves open whether it arrived; it is sent
// again (at least once), and the equal Message-ID lets mail systems drop the second copy.
// One connection per mail: nodemailer's pool sends a mail again by itself when a connection
// closes, and only we know to whom. The password is in no reason, log or error.

import { createHash } from 'node:crypto'
import { domainToASCII } from 'node:url'
import { createTransport, type NodemailerError, type SMTPTransportOptions } from 'nodemailer'
import type { Alert } from '../../alerts/alert.ts'
import type { Clock } from '../../clock.ts'
import type { EmailConfig, SmtpConfig } from '../../config.ts'
import { createMessage, findLinks } from '../message.ts'
import { plainText } from '../message-text.ts'
import type { Integration, Notification, SendContext, SendOutcome } from '../notification.ts'
import { createEmailTemplates, type TemplateFailure } from '../template-parts.ts'
import { htmlBody, textBody } from './email-body.ts'

export interface EmailDeps {
  readonly clock: Clock
  /** The page that lists a group's members, null: there is none. */
  readonly moreUrl: (notification: Notification) => string | null
  /** A template of the operator's failed, and the built-in part went out: to be counted and logged. */
  readonly onTemplateFailure: (failure: TemplateFailure) => void
}

/** An `email_configs` entry whose addresses can't be used. */
export class MailAddressError extends Error {
  override readonly name = 'MailAddressError'
  readonly kind = 'bad_mail_address'
}

const timeoutsMs = {
  connect: 10_000,
  dns: 10_000,
  greeting: 10_000,
  idle: 30_000,
  close: 1_000,
  links: 8_000,
} as const

/** @throws MailAddressError when `from`, or an entry of `to`, is no single address. */
export function createEmailIntegration(
  config: EmailConfig,
  { receiver, index }: { readonly receiver: string; readonly index: number },
  { clock, moreUrl, onTemplateFailure }: EmailDeps,
): Integration {
  const from = parseMailbox(config.from)
  const recipients = distinct(config.to.map(parseMailbox))
  if (recipients.length === 0) throw new MailAddressError('`to` names nobody: give at least one address')
  const closing = new AbortController()
  const fillTemplates = createEmailTemplates(config.template, { receiver, index, onTemplateFailure })

  async function send(notification: Notification, context: SendContext): Promise<SendOutcome> {
    const signal = AbortSignal.any([context.signal, closing.signal])
    const delivered = new Set(context.delivered)
    const remaining = recipients.filter(({ address }) => !delivered.has(address))
    if (remaining.length === 0) return { kind: 'ok' }
    try {
      const links = await findLinks(notification, context.linkFor, { signal, timeoutMs: timeoutsMs.links })
      const message = createMessage(notification, {
        links,
        showPersonalData: config.showPersonalData,
        moreUrl: moreUrl(notification),
      })
      const parts = fillTemplates(message, notification)
      const roots = threadRoots(notification, from.address)
      const transport = createTransport(transportOptions(config))
      const { accepted, rejectedErrors = [] } = await transport.sendMail({
        from: { name: from.name === '' ? 'Fleetwarden' : from.name, address: from.address },
        // All of them in the header, so that each attempt is the same mail.
        to: recipients,
        envelope: { from: from.address, to: remaining.map(({ address }) => address) },
        subject: parts.subject ?? message.topic,
        date: new Date(clock.now()),
        messageId: messageId(notification, { receiver, index, from: from.address }),
        ...(roots[0] === undefined ? {} : { inReplyTo: roots[0], references: roots }),
        list: { id: { url: `fleetwarden.${domainOf(from.address)}`, comment: 'Fleet alerts' } },
        ...(message.state === 'firing' && message.severity === 'critical' ? { priority: 'high' } : {}),
        headers: {
          'Auto-Submitted': 'auto-generated',
          'X-Auto-Response-Suppress': 'All',
          'X-Fleet-Alert-Status': message.state,
          // For filters, which want a word.
          ...(/^[\w-]+$/.test(message.severity) ? { 'X-Fleet-Alert-Severity': message.severity } : {}),
        },
        text: parts.text ?? textBody(message, { receiver }),
        html: parts.html ?? (await htmlBody(message, { receiver })),
        disableFileAccess: true,
        disableUrlAccess: true,
        signal,
      })
      return settle(rejectedErrors, { had: context.delivered, accepted })
    } catch (error) {
      return failure(error, context.delivered, { remaining, aborted: signal.aborted })
    }
  }

  /** Some recipients may be refused while others were reached: for good (5xx) or for now (4xx). */
  function settle(
    refusals: readonly NodemailerError[],
    { had, accepted }: { readonly had: readonly string[]; readonly accepted: readonly string[] },
  ): SendOutcome {
    const delivered = [...had, ...accepted.map(asConfigured)]
    const deferred = refusals.find((refusal) => refusal.permanent !== true || isConfigurationFault(refusal))
    if (deferred !== undefined)
      return { kind: 'retry', reason: describeMailError(deferred, config), delivered }
    const refused = refusals.flatMap(({ recipient }) =>
      recipient === undefined ? [] : asConfigured(recipient),
    )
    return refused.length === 0 ? { kind: 'ok' } : { kind: 'ok', refused }
  }

  function failure(
    error: unknown,
    had: readonly string[],
    { remaining, aborted }: { readonly remaining: readonly Mailbox[]; readonly aborted: boolean },
  ): SendOutcome {
    if (aborted) return { kind: 'retry', reason: 'aborted' }
    if (!isMailError(error)) {
      return { kind: 'retry', reason: `unexpected ${error instanceof Error ? error.name : 'error'}` }
    }
    const refusals = error.rejectedErrors ?? [error]
    const final = refusals.every(isRefusal)
    if (!final) {
      // The one that lets us hope says what to wait for.
      return {
        kind: 'retry',
        reason: describeMailError(refusals.find((refusal) => !isRefusal(refusal)) ?? error, config),
      }
    }
    // Others have it from an earlier attempt: to drop it as failed would tell them again.
    if (had.length > 0) return { kind: 'ok', refused: remaining.map(({ address }) => address) }
    return { kind: 'permanent', reason: describeMailError(error, config) }
  }

  return {
    receiver,
    kind: 'email',
    index,
    sendResolved: config.sendResolved,
    minimumSpacingMs: 0,
    send,
    async close() {
      closing.abort()
    },
  }
}

/** What went wrong, in words and without a secret; a server's reply may quote the recipients. */
export function describeMailError(error: NodemailerError, config: SmtpConfig): string {
  const code = error.originalCode ?? error.code ?? ''
  const reply = error.response === undefined ? '' : ` (${withoutSecrets(error.response, config)})`
  if (error.code === 'EAUTH' || isConfigurationFault(error)) {
    return `the mail server refuses the login${reply}: check smtp_auth_username and smtp_auth_password`
  }
  if (error.code === 'ETLS') {
    return `no TLS with the mail server${reply}: check smtp_smarthost and smtp_require_tls`
  }
  if (/CERT|SELF_SIGNED|SSL|TLS|ISSUER/.test(code)) {
    return `the mail server’s certificate is not accepted: ${plainText(code, 60)}`
  }
  if (reply !== '') return `the mail server answered${reply}`
  if (error.code === 'ETIMEDOUT') return 'timeout'
  return `network: ${plainText(code, 60)}`
}

export function transportOptions(config: SmtpConfig): SMTPTransportOptions {
  const { host, port } = config.smarthost
  const secure = port === 465
  return {
    host,
    port,
    // Port 465 speaks TLS from the first byte. Elsewhere require_tls means STARTTLS or nothing, and
    // without it the session stays plain, as with Alertmanager: many a local relay offers STARTTLS
    // with a certificate that nobody trusts.
    secure,
    requireTLS: config.requireTls && !secure,
    ignoreTLS: !config.requireTls,
    tls: {
      ...(config.ca === null ? {} : { ca: config.ca }),
      ...(config.serverName === null ? {} : { servername: config.serverName }),
    },
    ...(config.hello === null ? {} : { name: config.hello }),
    ...(config.username === null
      ? {}
      : { auth: { user: config.username, pass: config.password?.reveal() ?? '' } }),
    connectionTimeout: timeoutsMs.connect,
    dnsTimeout: timeoutsMs.dns,
    greetingTimeout: timeoutsMs.greeting,
    socketTimeout: timeoutsMs.idle,
    socketCloseTimeout: timeoutsMs.close,
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

/** What nodemailer 10 puts on its errors; `permanent` only where a server's reply says so. */
export function isMailError(error: unknown): error is NodemailerError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}

/**
 * The server's last word on this mail or recipient. Not a greeting of 5xx or a failed login: these
 * say something about the server or about our configuration, and the mail is worth keeping.
 */
export function isRefusal(error: NodemailerError): boolean {
  const aboutTheMail = error.code === 'EENVELOPE' || error.code === 'EMESSAGE'
  return aboutTheMail && error.permanent === true && !isConfigurationFault(error)
}

// RFC 4954: authentication required, too weak, failed, or only over TLS.
const authenticationReplies = [530, 534, 535, 538]

function isConfigurationFault({ responseCode }: NodemailerError): boolean {
  return responseCode !== undefined && authenticationReplies.includes(responseCode)
}

/** A server's reply on one line, without the credentials, should it quote what we sent. */
function withoutSecrets(reply: string, { username, password }: SmtpConfig): string {
  const secret = password?.reveal() ?? ''
  if (secret === '') return plainText(reply, 200)
  const base64 = (text: string) => Buffer.from(text, 'utf8').toString('base64')
  let safe = reply
  for (const form of [base64(`\0${username ?? ''}\0${secret}`), base64(secret), secret]) {
    safe = safe.replaceAll(form, '<secret>')
  }
  return plainText(safe, 200)
}

// ---- threading

/**
 * Message-IDs that no mail has: the roots under which mail readers gather what belongs together. Each
 * member's episode gives one. Two messages in a row about a group always share one, as the oldest
 * member that fired in the first either still is the oldest or is among those that ended; a few more
 * are for members that a silence brings and takes. Not the first mail's own Message-ID: when a
 * group is told anew, mail systems would drop the second mail as a copy of the first.
 */
function threadRoots({ groupKey, firing, resolved }: Notification, from: string): string[] {
  const age = (alert: Alert) => alert.firedAt ?? alert.activeAt
  const oldest = (alerts: readonly Alert[]) => alerts.toSorted((a, b) => age(a) - age(b)).slice(0, 4)
  return [...oldest(firing), ...oldest(resolved)]
    .sort((a, b) => age(a) - age(b))
    .map((alert) => `<group.${digest([groupKey, alert.fingerprint, alert.episode])}@${domainOf(from)}>`)
}

/** The same for every attempt at this message, and for no other one. */
function messageId(
  { groupKey, reason, at, firing, resolved }: Notification,
  { receiver, index, from }: { readonly receiver: string; readonly index: number; readonly from: string },
): string {
  const episodes = [...firing, ...resolved].map(({ fingerprint, episode }) => `${fingerprint}/${episode}`)
  const parts = [receiver, String(index), groupKey, reason, String(at), String(firing.length), ...episodes]
  return `<alert.${digest(parts)}@${domainOf(from)}>`
}

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
}

// ---- addresses

export interface Mailbox {
  readonly name: string
  readonly address: string
}

/**
 * `oncall@example.com` or `On call <oncall@example.com>`, one address and nothing else: what a mail
 * library makes of line breaks, commas or comments in an address may be further recipients.
 */
export function parseMailbox(text: string): Mailbox {
  const match = /^(?:"?([^"<>]*?)"?\s*<([^<>]+)>|([^<>]+))$/u.exec(text.trim())
  const [local, domain, ...rest] = (match?.[2] ?? match?.[3] ?? '').split('@')
  const host = domainToASCII(domain ?? '')
  const valid =
    !/\p{Cc}/u.test(text) &&
    rest.length === 0 &&
    local !== undefined &&
    /^[^\s"(),:;<>@[\]\\\p{C}]{1,64}$/u.test(local) &&
    /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/.test(host)
  if (!valid) {
    throw new MailAddressError(
      `${JSON.stringify(plainText(text, 80))} is not one e-mail address; write oncall@example.com or On call <oncall@example.com>`,
    )
  }
  return { name: plainText(match?.[1] ?? '', 80), address: `${local}@${host}` }
}

/** The form in which we know it: nodemailer writes international domains in its own way. */
function asConfigured(address: string): string {
  const domain = domainOf(address)
  return `${address.slice(0, address.length - domain.length)}${domainToASCII(domain) || domain}`
}

function distinct(mailboxes: readonly Mailbox[]): Mailbox[] {
  return [...new Map(mailboxes.map((mailbox) => [mailbox.address.toLowerCase(), mailbox])).values()]
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1)
}
