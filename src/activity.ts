// What the service did lately, for people who look at it: walks and what they could not read, how often
// rules fire and fail, how deliveries end. Kept in memory and bounded: it begins anew with each start, and
// says since when it counts. What has to outlive a restart is in the database, what is to be graphed in
// the metrics.

import { isFiring } from './alerts/alert.ts'
import type { Transition } from './alerts/alert-book.ts'
import type { UnknownReason } from './fleet/verdict.ts'
import type { Walk } from './fleet/walk.ts'
import { createGapTally, type UnreadCount } from './gap-tally.ts'
import type { WalkOutcome } from './monitor.ts'
import { integrationKey } from './notify/lane.ts'
import type { Integration, NotificationReason, SendOutcome } from './notify/notification.ts'
import type { Telemetry } from './telemetry.ts'

/** Instants in ms since 1970. */
export interface RecentWalk {
  readonly outcome: WalkOutcome
  readonly startedAt: number
  readonly endedAt: number
  readonly users: number | null
  readonly usersUnread: number | null
  readonly devices: number | null
  readonly devicesUnread: number | null
  readonly unread: readonly UnreadCount[]
}

export interface RuleActivity {
  readonly firedInDay: number
  readonly lastFiredAt: number | null
  /** Since the last walk began: for how many devices it could not say anything, by reason. */
  readonly unknown: Readonly<Partial<Record<UnknownReason, number>>>
}

export interface IntegrationActivity {
  readonly lastAttempt: {
    readonly at: number
    readonly outcome: SendOutcome['kind'] | 'timeout'
  } | null
  readonly lastDelivered: { readonly at: number; readonly reason: NotificationReason } | null
  readonly delivered: number
  /** Of the last attempt, where that failed. */
  readonly failure: { readonly reason: string; readonly permanent: boolean; readonly attempts: number } | null
}

export interface Activity {
  /** The same events, and what happened is noted. */
  noting(telemetry: Telemetry): Telemetry
  /** The newest first. */
  walks(): readonly RecentWalk[]
  /** Null: none runs. */
  walkingSince(): number | null
  rule(alertname: string): RuleActivity
  integration(integration: Pick<Integration, 'receiver' | 'kind' | 'index'>): IntegrationActivity
  readonly since: number
}

const keptWalks = 30
const hourMs = 3_600_000
const hoursKept = 24

export function createActivity({ now }: { readonly now: () => number }): Activity {
  const walks: RecentWalk[] = []
  const fired = new Map<string, { lastAt: number; readonly byHour: Map<number, number> }>()
  const integrations = new Map<string, IntegrationActivity>()
  let gaps = createGapTally()
  let startedAt: number | null = null

  function noteWalk(walk: Walk, outcome: WalkOutcome): void {
    const wasStopped = outcome === 'stopped'
    walks.unshift({
      outcome,
      startedAt: startedAt ?? walk.started_at ?? now(),
      endedAt: wasStopped ? now() : (walk.ended_at ?? now()),
      users: wasStopped ? null : (walk.users ?? null),
      usersUnread: wasStopped ? null : (walk.users_unread ?? null),
      devices: wasStopped ? null : (walk.devices ?? null),
      devicesUnread: wasStopped ? null : (walk.devices_unread ?? null),
      unread: gaps.gaps().unread.toSorted((a, b) => b.count - a.count),
    })
    walks.splice(keptWalks)
    startedAt = null
  }

  function noteTransition({ before, after }: Transition): void {
    if (after === undefined || after.state !== 'firing' || (before !== undefined && isFiring(before))) return
    const { alertname = '' } = after.labels
    const at = now()
    const known = fired.get(alertname) ?? { lastAt: at, byHour: new Map<number, number>() }
    const hour = Math.floor(at / hourMs)
    known.lastAt = at
    known.byHour.set(hour, (known.byHour.get(hour) ?? 0) + 1)
    for (const old of known.byHour.keys()) if (old <= hour - hoursKept) known.byHour.delete(old)
    fired.set(alertname, known)
  }

  function update(
    integration: Parameters<Activity['integration']>[0],
    changes: Partial<IntegrationActivity>,
  ) {
    integrations.set(integrationKey(integration), { ...ofIntegration(integration), ...changes })
  }

  function ofIntegration(integration: Parameters<Activity['integration']>[0]): IntegrationActivity {
    const nothing = { lastAttempt: null, lastDelivered: null, delivered: 0, failure: null }
    return integrations.get(integrationKey(integration)) ?? nothing
  }

  return {
    since: now(),
    noting: (telemetry) => ({
      ...telemetry,
      walkStarted() {
        gaps = createGapTally()
        startedAt = now()
        telemetry.walkStarted()
      },
      walkFailed(error) {
        startedAt = null
        telemetry.walkFailed(error)
      },
      unread(one) {
        gaps.addUnread(one)
        telemetry.unread(one)
      },
      unknown(alertname, reason) {
        gaps.addUnknown(alertname, reason)
        telemetry.unknown(alertname, reason)
      },
      transitions(transitions) {
        transitions.forEach(noteTransition)
        telemetry.transitions(transitions)
      },
      monitor: {
        ...telemetry.monitor,
        onFound(found) {
          gaps.include(found.gaps)
          telemetry.monitor.onFound(found)
        },
        onWalkEnded(walk, outcome) {
          noteWalk(walk, outcome)
          telemetry.monitor.onWalkEnded(walk, outcome)
        },
      },
      dispatcher: {
        ...telemetry.dispatcher,
        onAttempt(integration, outcome, seconds) {
          const failure = outcome === 'ok' ? null : ofIntegration(integration).failure
          update(integration, { lastAttempt: { at: now(), outcome }, failure })
          telemetry.dispatcher.onAttempt(integration, outcome, seconds)
        },
        onDelivered(notification, integration, refused, toldBefore) {
          const delivered = ofIntegration(integration).delivered + 1
          const { reason } = notification
          update(integration, { lastDelivered: { at: now(), reason }, delivered, failure: null })
          telemetry.dispatcher.onDelivered(notification, integration, refused, toldBefore)
        },
        onFailure(notification, integration, failure) {
          update(integration, { failure })
          telemetry.dispatcher.onFailure(notification, integration, failure)
        },
      },
    }),
    walks: () => walks,
    walkingSince: () => startedAt,
    rule(alertname) {
      const known = fired.get(alertname)
      const from = Math.floor(now() / hourMs) - hoursKept
      let firedInDay = 0
      for (const [hour, count] of known?.byHour ?? []) if (hour > from) firedInDay += count
      return { firedInDay, lastFiredAt: known?.lastAt ?? null, unknown: gaps.unknownOf(alertname) }
    },
    integration: ofIntegration,
  }
}
