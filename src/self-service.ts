// Mail to owners, put together from the configuration; what it does is in owners/.

import { randomBytes, randomUUID } from 'node:crypto'
import type { RecordAudit } from './actor.ts'
import type { Alerting } from './alerting.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import { createRaise } from './alerts/raise.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import { createLinkSigner, type LinkSigner } from './links/link-token.ts'
import type { OwnerDesk } from './links/owner-desk.ts'
import { openContactBook } from './owners/contact-book.ts'
import {
  type Correspondence,
  type CorrespondenceEvents,
  type CorrespondenceOptions,
  type OwnerLinkFor,
  type OwnerReceiver,
  openCorrespondence,
} from './owners/correspondence.ts'
import { createHandover } from './owners/handover.ts'
import { openOutages } from './owners/outages.ts'
import { createOwnerPost, type OwnerPost } from './owners/owner-post.ts'
import type { ContactCounts, OwnerStore } from './owners/owner-store.ts'
import type { PartnerClient } from './partner/client.ts'
import { PartnerError } from './partner/partner-error.ts'
import type { RuleSet } from './rules/rule.ts'
import { isSameValue } from './same-value.ts'

export interface SelfService extends Pick<Correspondence, 'run' | 'explain' | 'forget' | 'countOf'> {
  readonly desk: OwnerDesk
  contactCounts(): ContactCounts
  /** Goes on with another configuration and other rules. */
  reconfigure(next: { readonly config: Config; readonly rules: RuleSet }): void
}

export interface SelfServiceOptions {
  readonly config: Config
  readonly rules: RuleSet
  readonly book: AlertBook
  readonly store: OwnerStore
  readonly alerting: Pick<Alerting, 'router' | 'suppression'>
  /** Reads the device and evaluates it. */
  readonly recheck: CorrespondenceOptions['recheck']
  readonly client: Pick<PartnerClient, 'user'>
  readonly clock: Clock
  readonly linkFor: OwnerLinkFor
  readonly record: RecordAudit
  /** Asked before each mail; one that may not be sent now is tried again later. */
  readonly maySend: () => boolean
  readonly events: CorrespondenceEvents
}

export async function openSelfService(options: SelfServiceOptions): Promise<SelfService> {
  const { config, book, store, alerting, client, clock } = options
  // What a restart alone takes up.
  const { publicUrl } = config.http
  let signer = signerOf(config)
  const contacts = await openContactBook({
    store,
    signer: () => signer,
    now: () => clock.now(),
    record: options.record,
    freshKey: randomBytes(32).toString('base64url'),
  })
  let allowed = allowedBy(options.rules)
  let receivers: readonly OwnerReceiver[] = []

  function receiversOf({ alerting: { receivers: configured } }: Config): readonly OwnerReceiver[] {
    if (signer === null || publicUrl === null) return []
    return configured.flatMap(({ name: receiver, owner }) =>
      owner.map((each) => {
        const known = receivers.find((one) => one.receiver === receiver && isSameValue(one.config, each))
        return known ?? { receiver, config: each, post: guarded(createOwnerPost(each), options.maySend) }
      }),
    )
  }

  receivers = receiversOf(config)
  const correspondence = await openCorrespondence({
    book,
    store,
    contacts,
    handover: createHandover(book, createRaise(book, randomUUID)),
    outages: await openOutages(book, store),
    clock,
    newId: randomUUID,
    isAllowed: (ruleId) => allowed.has(ruleId),
    routesFor: ({ labels }) => alerting.router().routesFor(labels),
    isHeld: (alert, route, at) =>
      alerting.suppression.of(alert, route, at) !== null ||
      alerting.suppression.acknowledgementOf(alert, at) !== null,
    receivers,
    async readUser(userId, signal) {
      try {
        return await client.user(userId, signal)
      } catch (error) {
        if (!(error instanceof PartnerError)) throw error
        return error.kind === 'not_found' ? null : 'unread'
      }
    },
    recheck: options.recheck,
    linkFor: options.linkFor,
    unsubscribeUrl: (token) => `${publicUrl}/r/${token}/unsubscribe`,
    events: options.events,
  })

  return {
    run: correspondence.run,
    explain: correspondence.explain,
    forget: correspondence.forget,
    countOf: correspondence.countOf,
    desk: contacts.desk,
    contactCounts: contacts.counts,
    reconfigure(next) {
      allowed = allowedBy(next.rules)
      signer = signerOf(next.config)
      receivers = receiversOf(next.config)
      correspondence.reconfigure(receivers)
    },
  }
}

function guarded(post: OwnerPost, maySend: () => boolean): OwnerPost {
  return async (posting, signal) =>
    maySend()
      ? post(posting, signal)
      : { kind: 'retry', reason: 'another process may have taken over', isServers: true }
}

function allowedBy({ deviceRules }: RuleSet): ReadonlySet<string> {
  return new Set(deviceRules.filter(({ selfService }) => selfService).map(({ id }) => id))
}

function signerOf({ links }: Config): LinkSigner | null {
  return links === null ? null : createLinkSigner(links.signingKeys)
}
