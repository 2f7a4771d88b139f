// Links of our own, put together from the configuration, and what of them a reload replaces:
//
//   who got one, and what came of it   link-book.ts
//   what a message carries             here: `{public_url}/r/{token}`, see link-token.ts
//   what happens behind it             open-link-desk.ts: minting.ts, verification.ts
//
// A link in a message is good for weeks and gives nobody a session by itself: the partner's own link,
// which does, is fetched when somebody presses the button. Without `http.public_url` messages carry the
// partner's link (resolution-link.ts), and there is no desk.

import type { RecordAudit } from '../actor.ts'
import { type Alert, isFiring } from '../alerts/alert.ts'
import type { AlertBook } from '../alerts/alert-book.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { Config, LinksConfig } from '../config.ts'
import type { AlertLink, LinkSource } from '../notify/notification.ts'
import type { PartnerClient } from '../partner/client.ts'
import type { WatchedReading } from '../poller/recheck.ts'
import { createFreshReadings } from './fresh-readings.ts'
import { type LinkBook, openLinkBook } from './link-book.ts'
import type { LinkDesk } from './link-desk.ts'
import { createLinkLimits } from './link-limits.ts'
import type { LinkRecord, LinkStore } from './link-store.ts'
import { createLinkSigner } from './link-token.ts'
import { createMinting, type MintingEvents } from './minting.ts'
import { type LinkStage, type NothingToOpen, openLinkDesk } from './open-link-desk.ts'
import { openingOf } from './opening.ts'
import { createLinkSource } from './resolution-link.ts'
import { checkForMs, createVerification } from './verification.ts'

export interface DurableLinks {
  readonly book: LinkBook
  /** For messages to staff. */
  readonly linkFor: LinkSource
  /** Null without `http.public_url`. */
  readonly desk: LinkDesk | null
  /**
   * The link for one alert about a device, on record before it is returned. Null: there are no links of
   * our own, or this one was revoked. Rejects when it cannot be saved.
   */
  urlOf(alert: Alert, purpose: 'staff' | 'owner'): Promise<AlertLink | null>
  /** See EvaluatorOptions. */
  returnedAt(alert: Alert, at: number): number | null
  /** Goes on with the checks that a process before this one has begun. */
  resume(): void
  /** Due every few seconds. */
  tend(at: number): Promise<void>
  /** Erases what is kept about a user; the number of links. */
  forget(userId: string): Promise<number>
  /** Goes on with other keys, hosts and limits. Null: as before, since only a restart takes links away. */
  reconfigure(config: LinksConfig | null): void
  close(): Promise<void>
}

export interface DurableLinksOptions {
  readonly config: Pick<Config, 'http' | 'links' | 'partner'>
  readonly client: PartnerClient
  readonly store: LinkStore
  readonly book: AlertBook
  readonly clock: Clock
  readonly readDevice: (device: DeviceSubject, signal: AbortSignal) => Promise<WatchedReading>
  /** Evaluates a reading and saves what follows. */
  readonly evaluate: (device: DeviceSubject, read: WatchedReading, signal: AbortSignal) => Promise<void>
  readonly record: RecordAudit
  readonly events: LinkEvents
}

export interface LinkEvents extends MintingEvents {
  /** There is a link for a device of this manufacturer; told again and again. */
  onGiven(manufacturer: string): void
  onVisit(stage: LinkStage, manufacturer: string): void
  /** A message went out without a link. */
  onNoLink(error: unknown): void
  onNothingToOpen(about: NothingToOpen & { readonly alertname: string }): void
  onLinkFault(error: unknown): void
}

// Whether there is anything to open must not hold up a message; see findLinks.
const lookMs = 4_000
/** For links that a configuration before this one gave, and this one does not. */
const withoutConfig = { lifetimeMs: 30 * 86_400_000, revokeAfterMs: 86_400_000 }

/** Loads what is stored. */
export async function openDurableLinks(options: DurableLinksOptions): Promise<DurableLinks> {
  const { client, clock, events } = options
  const { publicUrl } = options.config.http
  const ending = new AbortController()
  const { signal } = ending
  let config = publicUrl === null ? null : options.config.links
  let signer = config === null ? null : createLinkSigner(config.signingKeys)
  const visit = (stage: LinkStage) => (record: LinkRecord) => events.onVisit(stage, record.manufacturer)

  const links = await openLinkBook(options.store, {
    book: options.book,
    clock,
    limits: () => config ?? withoutConfig,
    withinMs: checkForMs,
    onVerified: visit('verified'),
    onStorageError: events.onLinkFault,
  })
  for (const { manufacturer } of links.all()) events.onGiven(manufacturer)
  const readings = createFreshReadings({
    clock,
    readDevice: (device) => options.readDevice(device, signal),
    evaluate: (device, read) => options.evaluate(device, read, signal),
  })
  const verification = createVerification({
    ...{ clock, links, readings, signal },
    onStillWrong: visit('failed'),
    onFault: events.onLinkFault,
  })
  const minting = createMinting({
    ...{ client, clock, events, signal },
    record: options.record,
    allowedHosts: () => config?.allowedHosts ?? [],
    isUsable: (episode) => links.usable(episode, clock.now()) !== null,
  })

  function openDesk(home: string, first: LinksConfig): LinkDesk {
    const present = () => config ?? first
    const firstSigner = createLinkSigner(first.signingKeys)
    return openLinkDesk({
      ...{ clock, publicUrl: home, links, book: options.book, readings, minting, verification },
      successUrl: () => present().successUrl,
      signer: () => signer ?? firstSigner,
      limits: createLinkLimits({ clock, perMinute: () => present().requestsPerMinute }),
      onVisit: (stage, { manufacturer }) => events.onVisit(stage, manufacturer),
      onNothingToOpen: ({ alertname }, pending) => events.onNothingToOpen({ alertname, ...pending }),
      onFault: events.onLinkFault,
    })
  }

  async function urlOf(alert: Alert, purpose: 'staff' | 'owner'): Promise<AlertLink | null> {
    if (publicUrl === null || signer === null) return null
    const { episode, expiresAt, manufacturer } = await links.give(alert)
    events.onGiven(manufacturer)
    if (links.usable(episode, clock.now()) === null) return null
    const token = signer.sign({ purpose, id: episode, expiresAt })
    return { url: `${publicUrl}/r/${token}`, validUntil: expiresAt }
  }

  async function linkFor(alert: Alert, stop: AbortSignal): Promise<AlertLink | null> {
    const { subject, episode } = alert
    if (subject.kind !== 'device' || !isFiring(alert)) return null
    try {
      if (links.get(episode) === undefined && !(await mayOpen(subject, stop))) return null
      return await urlOf(alert, 'staff')
    } catch (error) {
      // The message goes out without it: a link that is missing must not hold up the news.
      if (!stop.aborted) events.onNoLink(error)
      return null
    }
  }

  /**
   * Whether there is something that a link could open, or nobody can tell in time. Most alerts are about
   * what nobody repairs by a click, and a button that leads nowhere would be no help.
   */
  async function mayOpen(device: DeviceSubject, stop: AbortSignal): Promise<boolean> {
    const limit = AbortSignal.any([stop, AbortSignal.timeout(lookMs)])
    const late = Promise.withResolvers<null>()
    limit.addEventListener('abort', () => late.resolve(null), { once: true })
    const read = await Promise.race([readings.read(device), late.promise])
    if (read === null || read.kind === 'unread') return true
    return read.kind === 'read' && openingOf(read.reading.device) !== null
  }

  return {
    book: links,
    linkFor: config === null ? partnerLinks(options) : linkFor,
    desk: publicUrl === null || config === null ? null : openDesk(publicUrl, config),
    urlOf,
    returnedAt: links.returnedAt,
    resume: verification.resume,
    tend: links.tend,
    async forget(userId) {
      for (const record of links.all()) if (record.userId === userId) minting.drop(record)
      return links.forget(userId)
    },
    reconfigure(next) {
      if (next === null || config === null) return
      config = next
      signer = createLinkSigner(next.signingKeys)
      // They lead back to addresses that may be signed with a key that is gone.
      minting.dropAll()
    },
    async close() {
      ending.abort()
      await verification.ended()
      await links.settled()
    },
  }
}

function partnerLinks({ client, clock, config, events }: DurableLinksOptions): LinkSource {
  const home = new URL('/', config.partner.baseUrl).href
  return createLinkSource({
    client,
    clock,
    returnUrls: { successUrl: home, cancelUrl: home },
    onFailure: events.onNoLink,
  })
}
