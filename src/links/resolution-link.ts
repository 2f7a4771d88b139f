// The link in a message that lets a person resolve what is wrong with a device.
//
// Until links of our own exist it is the partner's: it lives for an hour and lets whoever holds it
// act for the customer. So it is fetched when the message is sent, never kept on disk, and the
// message says until when it works.

import type { Alert } from '../alerts/alert.ts'
import type { Clock } from '../clock.ts'
import type { Device, ResolutionLink } from '../fleet/device.ts'
import type { AlertLink, LinkSource } from '../notify/notification.ts'
import type { PartnerClient } from '../partner/client.ts'

export interface ResolutionLinkOptions {
  readonly client: PartnerClient
  readonly clock: Clock
  /** Where the partner sends the person afterwards. */
  readonly returnUrls: { readonly successUrl: string; readonly cancelUrl: string }
  readonly onFailure: (error: unknown) => void
}

// A link that several receivers are told at the same tick is fetched once. An hour minus this is
// the least that a reader has.
const reuseMs = 5 * 60_000

/** A link for each alert about a device that somebody has to act on; null for every other. */
export function createLinkSource(options: ResolutionLinkOptions): LinkSource {
  const { clock } = options
  const recent = new Map<string, { readonly at: number; readonly link: Promise<AlertLink | null> }>()

  return (alert, signal) => {
    if (alert.subject.kind !== 'device' || alert.state === 'resolved') return Promise.resolve(null)
    const known = recent.get(alert.subject.deviceId)
    if (known !== undefined && clock.now() - known.at < reuseMs) return known.link
    for (const [deviceId, { at }] of recent) if (clock.now() - at >= reuseMs) recent.delete(deviceId)
    const link = fetchLink(alert, signal, options).catch((error) => {
      // The message goes out without it: a link that is missing must not hold up the news.
      options.onFailure(error)
      recent.delete(deviceIdOf(alert))
      return null
    })
    recent.set(alert.subject.deviceId, { at: clock.now(), link })
    return link
  }
}
