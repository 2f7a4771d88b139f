// What all receivers that speak HTTP do in the same way: find the links of a message, post, give up
// when the attempt is over or the integration is closed, and never reject.

import type { Clock } from '../../clock.ts'
import type { HttpClientConfig } from '../../config.ts'
import { findLinks } from '../message.ts'
import type { AlertLink, Integration, Notification, SendContext, SendOutcome } from '../notification.ts'
import { createHttpPoster, type HttpAnswer, type HttpFailure } from './http-post.ts'

/** What such a receiver needs besides its configuration. */
export interface HttpReceiverDeps {
  readonly clock: Clock
  /** The page that lists a group's members, null: there is none. */
  readonly moreUrl: (notification: Notification) => string | null
  /** Where people find this service, null: nowhere. */
  readonly publicUrl?: string | null
  /** For one request where the configuration doesn't say (ms of real time). Default 10 s. */
  readonly requestTimeoutMs?: number
}

/** Where an integration stands in the configuration. */
export interface Place {
  readonly receiver: string
  readonly index: number
}

export interface HttpIntegrationOptions extends Place {
  readonly kind: string
  readonly sendResolved: boolean
  readonly http: HttpClientConfig
  /** For one request; null: the default. */
  readonly timeoutMs?: number | null
  readonly minimumSpacingMs?: number
  readonly secretBody?: boolean
  readonly readsSuccess?: boolean
  readonly longestText?: number
  deliver(notification: Notification, delivery: Delivery): Promise<SendOutcome>
}

/** One attempt. */
export interface Delivery {
  /** By fingerprint, of the alerts that a message for people lists. */
  readonly links: ReadonlyMap<string, AlertLink>
  readonly context: SendContext
  /** The context's, or the end of the integration. */
  readonly signal: AbortSignal
  post(url: string, body: unknown): Promise<HttpAnswer | HttpFailure>
}

const linkTimeoutMs = 8_000
const defaultRequestTimeoutMs = 10_000

export function createHttpIntegration(
  options: HttpIntegrationOptions,
  { clock, requestTimeoutMs = defaultRequestTimeoutMs }: HttpReceiverDeps,
): Integration {
  const closing = new AbortController()
  const poster = createHttpPoster({
    http: options.http,
    clock,
    timeoutMs: options.timeoutMs ?? requestTimeoutMs,
    secretBody: options.secretBody ?? false,
    readsSuccess: options.readsSuccess ?? false,
    ...(options.longestText === undefined ? {} : { longestText: options.longestText }),
  })

  async function send(notification: Notification, context: SendContext): Promise<SendOutcome> {
    const signal = AbortSignal.any([context.signal, closing.signal])
    try {
      const links = await findLinks(notification, context.linkFor, { signal, timeoutMs: linkTimeoutMs })
      const post = (url: string, body: unknown) => poster.post(url, body, signal)
      return await options.deliver(notification, { links, context, signal, post })
    } catch (error) {
      const unexpected = `unexpected ${error instanceof Error ? error.name : 'error'}`
      return { kind: 'retry', reason: signal.aborted ? 'aborted' : unexpected }
    }
  }

  return {
    receiver: options.receiver,
    kind: options.kind,
    index: options.index,
    sendResolved: options.sendResolved,
    minimumSpacingMs: options.minimumSpacingMs ?? 0,
    send,
    async close() {
      closing.abort()
      await poster.close()
    },
  }
}
