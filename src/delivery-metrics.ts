// The metrics of what happens between a firing alert and a message that arrived. See metrics.ts.

import type { Clock } from './clock.ts'
import type { MetricRegistry } from './metric-registry.ts'

export type AttemptOutcome = 'ok' | 'retry' | 'rate_limited' | 'permanent' | 'timeout'
/** Why a firing alert was not told of at a tick of its group. */
export type SuppressionReason = 'inhibited' | 'muted' | 'silenced' | 'held'

/** Asked for at each scrape. */
export interface DeliverySources {
  /** Messages that wait, when the longest waiting was decided (ms since 1970), and what is remembered of what was told. */
  readonly delivery?: () => {
    readonly queued: number
    readonly oldestAt: number | null
    readonly toldEntries: number
    readonly groups: number
  }
  readonly silences?: () => { readonly pending: number; readonly active: number; readonly expired: number }
  readonly acknowledgements?: () => number
}

export interface DeliveryMetrics {
  /** The configured ways to reach people: their series begin at 0, those of others go. */
  setIntegrations(integrations: readonly { readonly receiver: string; readonly kind: string }[]): void
  notificationAttempt(attempt: {
    readonly receiver: string
    readonly integration: string
    readonly outcome: AttemptOutcome
    readonly durationMs: number
  }): void
  templateFailed(template: { readonly receiver: string; readonly integration: string }): void
  heartbeat(outcome: 'ok' | 'failed'): void

  /** A firing alert was held back at a tick of its group. */
  suppressed(reason: SuppressionReason): void
  /** A message that nobody can deliver any more was given up. */
  notificationDropped(): void
}

// As in metrics.ts: receivers and integrations are few, but their names are the operator's.
const mostDeliverySeries = 500
const attemptOutcomes = ['ok', 'retry', 'rate_limited', 'permanent', 'timeout'] as const
const suppressionReasons = ['inhibited', 'muted', 'silenced', 'held'] as const
const silenceStates = ['pending', 'active', 'expired'] as const

export function createDeliveryMetrics(
  { gauge, number, histogram, counter }: Omit<MetricRegistry, 'registry'>,
  { clock, sources }: { readonly clock: Pick<Clock, 'now'>; readonly sources: () => DeliverySources },
): DeliveryMetrics {
  const notifications = counter(
    'fleet_notifications_total',
    'Attempts to deliver a message, by how they ended.',
    ['receiver', 'integration', 'outcome'],
    mostDeliverySeries,
  )
  const templateFailures = counter(
    'fleet_template_failures_total',
    'Parts of messages whose template failed, so that the built-in part was sent.',
    ['receiver', 'integration'],
  )
  const notificationSeconds = histogram(
    'fleet_notification_duration_seconds',
    'How long attempts to deliver a message took.',
    ['integration'],
    [0.1, 0.5, 1, 2.5, 5, 10, 30],
  )
  number(
    'fleet_notification_queue_length',
    'Messages that were decided and not delivered yet.',
    () => sources().delivery?.().queued ?? null,
  )
  number('fleet_notification_oldest_seconds', 'Age of the message that waits longest; 0 without any.', () => {
    const waiting = sources().delivery?.()
    if (waiting === undefined) return null
    const { oldestAt } = waiting
    return oldestAt === null ? 0 : Math.max(0, clock.now() - oldestAt) / 1_000
  })
  const heartbeats = counter('fleet_heartbeats_total', "Signs of life to the dead man's switch.", ['outcome'])
  for (const outcome of ['ok', 'failed']) heartbeats.add([outcome], 0)

  const suppressed = counter(
    'fleet_notifications_suppressed_total',
    'Firing alerts that were held back at a tick of their group, by reason.',
    ['reason'],
  )
  for (const reason of suppressionReasons) suppressed.add([reason], 0)
  const dropped = counter(
    'fleet_notifications_dropped_total',
    'Messages that were given up because their receiver or their group is gone.',
    [],
  )
  dropped.add([], 0)
  number(
    'fleet_alert_groups',
    'Groups of alerts that share messages.',
    () => sources().delivery?.().groups ?? null,
  )
  number(
    'fleet_dedup_entries',
    'What is remembered of what each integration was told, one entry per group.',
    () => sources().delivery?.().toldEntries ?? null,
  )
  gauge('fleet_silences', 'Silences, by state.', ['state'], (set) => {
    const counts = sources().silences?.()
    if (counts !== undefined) for (const state of silenceStates) set({ state }, counts[state])
  })
  number(
    'fleet_acknowledgements',
    'Alerts that somebody looks after.',
    () => sources().acknowledgements?.() ?? null,
  )

  return {
    setIntegrations: (integrations) => {
      for (const family of [notifications, templateFailures]) {
        family.removeWhere(
          ([receiver, kind]) =>
            !integrations.some((each) => each.receiver === receiver && each.kind === kind),
        )
      }
      for (const { receiver, kind } of integrations) {
        templateFailures.add([receiver, kind], 0)
        for (const outcome of attemptOutcomes) notifications.add([receiver, kind, outcome], 0)
      }
    },
    notificationAttempt: ({ receiver, integration, outcome, durationMs }) => {
      notifications.add([receiver, integration, outcome], 1)
      notificationSeconds.observe({ integration }, durationMs / 1_000)
    },
    templateFailed: ({ receiver, integration }) => templateFailures.add([receiver, integration], 1),
    heartbeat: (outcome) => heartbeats.add([outcome], 1),
    suppressed: (reason) => suppressed.add([reason], 1),
    notificationDropped: () => dropped.add([], 1),
  }
}
