// The pages of links over a real socket, before a desk that answers as it is told and notes what it is asked.

import type { Clock } from '../../src/clock.ts'
import { linkPages } from '../../src/http/link-pages.ts'
import { type HttpServer, startHttpServer } from '../../src/http/server.ts'
import type { LinkDesk, LinkView, LinkVisit, StartOutcome } from '../../src/links/link-desk.ts'
import type { OwnerDesk } from '../../src/links/owner-desk.ts'
import { type LogFields, silentLogger } from '../../src/logger.ts'

export interface FakeLinks {
  /** What each token shows; a token that is not here does not count. */
  readonly views: Map<string, LinkView>
  /** What pressing its button does. */
  readonly outcomes: Map<string, StartOutcome>
  /** Whether the owner behind a token is subscribed. */
  readonly subscriptions: Map<string, boolean>
  /** `look`, `look (shown)`, `start`, …, each with its token. */
  readonly calls: string[]
  readonly visits: LinkVisit[]
}

export interface LinkServer extends FakeLinks {
  readonly url: string
  readonly errors: LogFields[]
  close(): Promise<void>
}

export interface LinkServerOptions {
  readonly clock: Clock
  readonly port?: number
  readonly publicUrl?: string
  /** Changes what the desks do. */
  readonly desk?: Partial<LinkDesk>
}

export async function startLinkServer(options: LinkServerOptions): Promise<LinkServer> {
  const { clock, port = 0, publicUrl = 'https://fleet.example.com' } = options
  const links: FakeLinks = {
    views: new Map(),
    outcomes: new Map(),
    subscriptions: new Map(),
    calls: [],
    visits: [],
  }
  const errors: LogFields[] = []
  const logger = { ...silentLogger, error: (fields: LogFields) => void errors.push(fields) }
  const server: HttpServer = await startHttpServer({
    host: '127.0.0.1',
    port,
    metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
    routes: [
      linkPages({
        desk: { ...linkDesk(links), ...options.desk },
        owners: ownerDesk(links),
        publicUrl,
        clock,
        logger,
      }),
    ],
    clock,
    logger,
  })
  return { ...links, url: server.url, errors, close: () => server.close() }
}

function linkDesk({ views, outcomes, calls, visits }: FakeLinks): LinkDesk {
  const viewOf = (token: string) => views.get(token) ?? null
  return {
    async look(token, { isShown }) {
      calls.push(`look${isShown ? ' (shown)' : ''} ${token}`)
      return viewOf(token)
    },
    async start(token, visit) {
      calls.push(`start ${token}`)
      visits.push(visit)
      return outcomes.get(token) ?? null
    },
    async returned(token) {
      calls.push(`returned ${token}`)
      return viewOf(token)
    },
    async cancelled(token) {
      calls.push(`cancelled ${token}`)
      return viewOf(token)
    },
  }
}

function ownerDesk({ subscriptions, calls }: FakeLinks): OwnerDesk {
  return {
    async lookUnsubscribe(token) {
      const subscribed = subscriptions.get(token)
      return subscribed === undefined ? null : { subscribed }
    },
    async unsubscribe(token) {
      calls.push(`unsubscribe ${token}`)
      if (!subscriptions.has(token)) return false
      subscriptions.set(token, false)
      return true
    },
  }
}

/** A view with what differs from the usual one: a heat pump that lost its connection three hours before `now`. */
export function linkView(now: number, changes: Partial<LinkView> = {}): LinkView {
  return {
    purpose: 'owner',
    deviceType: 'heat_pump',
    manufacturer: 'Daikin',
    alertname: 'DeviceUnauthenticated',
    since: now - 3 * 3_600_000,
    progress: { kind: 'open' },
    successUrl: null,
    ...changes,
  }
}
