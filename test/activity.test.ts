import { beforeEach, describe, expect, it } from 'vitest'
import { type Activity, createActivity } from '../src/activity.ts'
import type { Alert } from '../src/alerts/alert.ts'
import type { Walk } from '../src/fleet/walk.ts'
import { silentLogger } from '../src/logger.ts'
import { createMetrics } from '../src/metrics.ts'
import type { Integration } from '../src/notify/notification.ts'
import { createTelemetry, type Telemetry } from '../src/telemetry.ts'
import { createManualClock, type ManualClock } from './manual-clock.ts'
import { sampleAlert, sampleNotification } from './notify/sample.ts'

const hour = 3_600_000
const slack: Integration = {
  ...{ receiver: 'on-call', kind: 'slack', index: 0, sendResolved: true, minimumSpacingMs: 0 },
  send: async () => ({ kind: 'ok' }),
  close: async () => {},
}

describe('activity', () => {
  let clock: ManualClock
  let activity: Activity
  let telemetry: Telemetry
  let scrape: () => Promise<string>

  beforeEach(() => {
    clock = createManualClock()
    activity = createActivity({ now: clock.now })
    const metrics = createMetrics({ clock, version: '', revision: '', nodeVersion: '' })
    scrape = () => metrics.renderOwn()
    telemetry = activity.noting(createTelemetry({ logger: silentLogger, metrics, clock }))
  })

  const walk = (changes: Partial<Walk> = {}): Walk => ({
    ...{ outcome: 'partial', api_available: true, users: 10, users_unread: 2, devices: 20 },
    ...{ devices_unread: 1, unread_ratio: 0.2, failed_in_a_row: 0, started_at: clock.now() - 5_000 },
    ...{ ended_at: clock.now(), last_complete_at: null },
    ...changes,
  })

  it('has the last walks, the newest first, with what could not be read', async () => {
    telemetry.walkStarted()
    const startedAt = clock.now()
    expect(activity.walkingSince()).toBe(startedAt)
    telemetry.unread({ what: 'user', reason: 'timeout', problem: 'no answer within 10s' })
    telemetry.unread({ what: 'user', reason: 'timeout', problem: 'another' })
    telemetry.unread({ what: 'device', reason: 'malformed', problem: 'id: expected text' })
    await clock.advance(5_000)
    telemetry.monitor.onWalkEnded(walk(), 'partial')
    expect(activity.walkingSince()).toBeNull()
    expect(activity.walks()).toEqual([
      {
        ...{ outcome: 'partial', startedAt, endedAt: clock.now() },
        ...{ users: 10, usersUnread: 2, devices: 20, devicesUnread: 1 },
        unread: [
          { what: 'user', reason: 'timeout', count: 2, problem: 'no answer within 10s' },
          { what: 'device', reason: 'malformed', count: 1, problem: 'id: expected text' },
        ],
      },
    ])
    telemetry.walkStarted()
    telemetry.monitor.onWalkEnded(walk(), 'stopped')
    expect(activity.walks()[0]).toMatchObject({ outcome: 'stopped', users: null, unread: [] })
    telemetry.walkStarted()
    telemetry.walkFailed(new Error('x'))
    expect(activity.walkingSince()).toBeNull()
    for (let n = 0; n < 100; n++) telemetry.monitor.onWalkEnded(walk(), 'complete')
    expect(activity.walks()).toHaveLength(30)
    // What listened before still does.
    expect(await scrape()).toContain('fleet_unread_total{reason="timeout"} 2')
  })

  it('counts how often a rule fired in the last day', async () => {
    const fire = (before?: Alert) =>
      telemetry.transitions([{ before, after: sampleAlert(1, { state: 'firing' }) }])
    expect(activity.rule('DeviceUnauthenticated')).toEqual({ firedInDay: 0, lastFiredAt: null, unknown: {} })
    fire()
    fire(sampleAlert(1, { state: 'pending' }))
    fire(sampleAlert(1, { state: 'recovering' }))
    telemetry.transitions([{ before: sampleAlert(1), after: sampleAlert(1, { state: 'resolved' }) }])
    const firedAt = clock.now()
    expect(activity.rule('DeviceUnauthenticated')).toMatchObject({ firedInDay: 2, lastFiredAt: firedAt })
    await clock.advance(20 * hour)
    fire()
    expect(activity.rule('DeviceUnauthenticated').firedInDay).toBe(3)
    await clock.advance(5 * hour)
    expect(activity.rule('DeviceUnauthenticated').firedInDay).toBe(1)
    await clock.advance(25 * hour)
    expect(activity.rule('DeviceUnauthenticated')).toMatchObject({ firedInDay: 0 })
  })

  it('counts for how many a rule could not say anything since the last walk began', () => {
    telemetry.unknown('A', 'missing_field')
    telemetry.unknown('A', 'missing_field')
    telemetry.unknown('A', 'rule_error')
    expect(activity.rule('A').unknown).toEqual({ missing_field: 2, rule_error: 1 })
    telemetry.walkStarted()
    expect(activity.rule('A').unknown).toEqual({})
  })

  it('has the last result of each integration', () => {
    const { dispatcher } = telemetry
    const notification = sampleNotification()
    expect(activity.integration(slack).lastAttempt).toBeNull()
    dispatcher.onAttempt(slack, 'retry', 0.1)
    dispatcher.onFailure(notification, slack, { reason: 'HTTP 503', permanent: false, attempts: 2 })
    expect(activity.integration(slack)).toEqual({
      ...{ lastAttempt: { at: clock.now(), outcome: 'retry' }, lastDelivered: null, delivered: 0 },
      failure: { reason: 'HTTP 503', permanent: false, attempts: 2 },
    })
    dispatcher.onAttempt(slack, 'ok', 0.1)
    dispatcher.onDelivered(notification, slack, [], [])
    expect(activity.integration(slack)).toEqual({
      ...{ lastAttempt: { at: clock.now(), outcome: 'ok' }, delivered: 1, failure: null },
      lastDelivered: { at: clock.now(), reason: 'first notification' },
    })
    expect(activity.integration({ ...slack, index: 1 }).delivered).toBe(0)
  })
})
