// The link in a message that lets a person resolve what is wrong with a device.
//
// Without `http.public_url` it is the partner's: it lives for an hour and lets whoever holds it
// act for the customer. So it is fetched when the message is sent, never kept on disk, and the
// message says until when it works.

import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { AlertLink, LinkSource } from '../notify/notification.ts'
import type { PartnerClient, ReturnUrls } from '../partner/client.ts'

export interface ResolutionLinkOptions {
  readonly client: PartnerClient
  readonly clock: Clock
  /** Where the partner sends the person afterwards. */
  readonly returnUrls: ReturnUrls
  readonly onFailure: (error: unknown) => void
}

// A link that several receivers are told at the same tick is fetched once. An hour minus this is
// the least that a reader has.
const reuseMs = 5 * 60_000
// A session is documented without a lifetime; links live for an hour, and so it is taken to.
const sessionMs = 3_600_000

/** A link for each alert about a device that somebody can act on; null for every other. */
export function createLinkSource(options: ResolutionLinkOptions): LinkSource {
  const { clock } = options
  const recent = new Map<string, { readonly at: number; readonly link: Promise<AlertLink | null> }>()

  return (alert, signal) => {
    const { subject } = alert
    if (subject.kind !== 'device' || alert.state === 'resolved') return Promise.resolve(null)
    for (const [deviceId, { at }] of recent) if (clock.now() - at >= reuseMs) recent.delete(deviceId)
    const known = recent.get(subject.deviceId)
    if (known !== undefined) return known.link
    const link = fetchLink(subject, signal, options).catch((error: unknown) => {
      // The message goes out without it: a link that is missing must not hold up the news.
      recent.delete(subject.deviceId)
      if (!signal.aborted) options.onFailure(error)
      return null
    })
    recent.set(subject.deviceId, { at: clock.now(), link })
    return link
  }
}

async function fetchLink(
  device: DeviceSubject,
  signal: AbortSignal,
  { client, returnUrls }: ResolutionLinkOptions,
): Promise<AlertLink | null> {
  const { device: present, observedAt } = await client.device(device, signal)
  const pending = present.actions?.find((action) => action.link !== null)?.link
  if (pending !== undefined && pending !== null) {
    const url =
      pending.kind === 'redirect'
        ? pending.url
        : await client.resolveAction(pending, { ...returnUrls, language: 'en' }, signal)
    return { url: url.reveal(), validUntil: pending.validUntil }
  }
  const canReconnect = present.type === 'electric_vehicle' || present.type === 'inverter'
  if (present.is_authenticated !== false || !canReconnect) return null
  const session = await client.createAuthSession(device, returnUrls, signal)
  return { url: session.reveal(), validUntil: observedAt + sessionMs }
}
