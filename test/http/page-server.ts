// The pages over a real socket, before alerts and activity in memory.

import type { IntegrationActivity, RecentWalk } from '../../src/activity.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import type { HistoryRecord } from '../../src/alerts/history.ts'
import type { Clock } from '../../src/clock.ts'
import type { Explanation } from '../../src/explain.ts'
import type { PageReceiver, PageRule, PageSources } from '../../src/http/page/page-sources.ts'
import { pageRefusals, pages } from '../../src/http/page/pages.ts'
import { type LogFields, silentLogger } from '../../src/logger.ts'
import type { AlertLink } from '../../src/notify/notification.ts'
import type { HoldReason } from '../../src/notify/suppression.ts'
import { type ApiServer, type ApiServerOptions, startApiServer } from './api-server.ts'
import type { FakeAlerting } from './fake-alerting.ts'

export interface FakeSources extends PageSources {
  readonly stories: Map<string, readonly HistoryRecord[]>
  readonly explanations: Map<string, Explanation>
  readonly held: Map<string, HoldReason>
  link: AlertLink | null
  recentWalks: readonly RecentWalk[]
  runningSince: number | null
  pageRules: readonly PageRule[]
  pageReceivers: readonly PageReceiver[]
  waiting: ReturnType<PageSources['queue']>
}

export interface PageServer extends ApiServer {
  readonly sources: FakeSources
  readonly pageErrors: LogFields[]
}

export async function startPageServer(clock: Clock, options: ApiServerOptions = {}): Promise<PageServer> {
  let alerting: FakeAlerting | undefined
  const pageErrors: LogFields[] = []
  const sources = createFakeSources(clock, (fingerprint) => alerting?.book.get(fingerprint))
  const logger = { ...silentLogger, error: (fields: LogFields) => void pageErrors.push(fields) }
  const server = await startApiServer(clock, {
    ...options,
    refusalPage: pageRefusals(clock),
    routesOf: (api) => [pages({ api, sources, clock, logger })],
  })
  alerting = server.alerting
  return { ...server, sources, pageErrors }
}

function createFakeSources(
  { now }: Pick<Clock, 'now'>,
  find: (fingerprint: string) => Alert | undefined,
): FakeSources {
  const sources: FakeSources = {
    stories: new Map(),
    explanations: new Map(),
    held: new Map(),
    link: null,
    recentWalks: [walkOf(now(), {})],
    runningSince: null,
    pageRules: [],
    pageReceivers: [],
    waiting: { queued: 0, oldestAt: null, isDelivering: true },
    find,
    heldFor: (alert) => sources.held.get(alert.fingerprint) ?? null,
    history: async (fingerprint) => sources.stories.get(fingerprint) ?? [],
    explain: async (fingerprint) => sources.explanations.get(fingerprint) ?? null,
    linkFor: async () => sources.link,
    walks: () => sources.recentWalks,
    walkingSince: () => sources.runningSince,
    rules: () => sources.pageRules,
    receivers: () => sources.pageReceivers,
    queue: () => sources.waiting,
    since: now() - 3 * 3_600_000,
  }
  return sources
}

export function walkOf(now: number, changes: Partial<RecentWalk>): RecentWalk {
  return {
    outcome: 'complete',
    startedAt: now - 200_000,
    endedAt: now - 180_000,
    users: 300,
    usersUnread: 0,
    devices: 555,
    devicesUnread: 0,
    unread: [],
    ...changes,
  }
}

export function ruleOf(alertname: string, changes: Partial<PageRule> = {}): PageRule {
  return {
    id: `connection/${alertname}`,
    alertname,
    severity: 'critical',
    each: 'device',
    deviceTypes: ['heat_pump', 'inverter'],
    forMs: 900_000,
    keepFiringForMs: 600_000,
    activity: { firedInDay: 3, lastFiredAt: null, unknown: {} },
    ...changes,
  }
}

export const quietIntegration: IntegrationActivity = {
  lastAttempt: null,
  lastDelivered: null,
  delivered: 0,
  failure: null,
}
