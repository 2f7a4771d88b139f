// Alerts and notifications as tests want them: all fields sensible, each one replaceable.

import type { Alert } from '../../src/alerts/alert.ts'
import type { Notification, SendContext } from '../../src/notify/notification.ts'

export const noon = Date.UTC(2026, 10, 23, 12, 0)
const minute = 60_000

export function sampleAlert(n: number, changes: Partial<Alert> = {}): Alert {
  const userId = `00000000-0000-4000-8000-0000000000${String(n).padStart(2, '0')}`
  const deviceId = `11111111-0000-4000-8000-0000000000${String(n).padStart(2, '0')}`
  const activeAt = noon - 60 * minute + n * minute
  return {
    key: `connection/DeviceUnauthenticated\ndevice/${userId}/heat_pump/${deviceId}`,
    fingerprint: `f${n}`,
    ruleId: 'connection/DeviceUnauthenticated',
    definition: 'd1',
    subject: { kind: 'device', userId, deviceType: 'heat_pump', deviceId },
    labels: {
      alertname: 'DeviceUnauthenticated',
      severity: 'critical',
      device_type: 'heat_pump',
      manufacturer: 'Vaillant',
      user_id: userId,
      device_id: deviceId,
    },
    annotations: {
      summary: 'Vaillant heat pump lost its connection',
      runbook_url: 'https://docs.example.com/runbooks/unauthenticated',
    },
    affected: {
      externalUserId: `K-47${String(n).padStart(2, '0')}`,
      name: `Anna Muster ${n}`,
      email: `anna${n}@customer.example`,
      model: 'aroTHERM plus',
    },
    state: 'firing',
    episode: `e${n}`,
    activeAt,
    firedAt: activeAt + 15 * minute,
    keepFiringSince: null,
    resolvedAt: null,
    resolvedReason: null,
    reconnectedAt: null,
    noData: null,
    deletedSeen: 0,
    evaluatedAt: noon,
    settled: false,
    flips: [],
    flappingSince: null,
    ...changes,
  }
}

export function resolvedAlert(n: number, changes: Partial<Alert> = {}): Alert {
  return sampleAlert(n, { state: 'resolved', resolvedAt: noon, resolvedReason: 'condition', ...changes })
}

export function sampleNotification(changes: Partial<Notification> = {}): Notification {
  const firing = changes.firing ?? [sampleAlert(1), sampleAlert(2), sampleAlert(3)]
  return {
    groupKey: '{}:{alertname="DeviceUnauthenticated", manufacturer="Vaillant"}',
    groupLabels: { alertname: 'DeviceUnauthenticated', manufacturer: 'Vaillant' },
    routeKey: '{}',
    acknowledged: new Map(),
    receiver: 'on-call',
    reason: 'first notification',
    status: firing.length > 0 ? 'firing' : 'resolved',
    firing,
    resolved: [],
    at: noon,
    ...changes,
  }
}

export function sampleContext(changes: Partial<SendContext> = {}): SendContext {
  return {
    signal: new AbortController().signal,
    delivered: [],
    receiverData: null,
    linkFor: async (alert) => ({
      url: `https://fleet.example.com/r/${alert.fingerprint}`,
      validUntil: noon + 60 * minute,
    }),
    ...changes,
  }
}
