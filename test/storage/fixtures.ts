// Apart from contract.ts, so that a child process need not load the test runner.

import type { Alert } from '../../src/alerts/alert.ts'
import type { StoredSilence } from '../../src/alerts/silence.ts'

export function alertFixture(change: Partial<Alert> = {}): Alert {
  const subject = change.subject ?? {
    kind: 'device',
    userId: 'user-1',
    deviceType: 'heat_pump',
    deviceId: '17',
  }
  return {
    key: 'connection/DeviceUnauthenticated\ndevice/user-1/heat_pump/17',
    fingerprint: '00000000deadbeef',
    ruleId: 'connection/DeviceUnauthenticated',
    definition: 'a1b2c3',
    subject,
    labels: { alertname: 'DeviceUnauthenticated', severity: 'critical' },
    annotations: { summary: 'vaillant heat_pump lost its connection' },
    affected: { externalUserId: 'C-1', name: null, email: null, model: 'aroTHERM' },
    state: 'firing',
    episode: 'episode-1',
    activeAt: 1_764_000_000_000,
    firedAt: 1_764_000_900_000,
    keepFiringSince: null,
    resolvedAt: null,
    resolvedReason: null,
    reconnectedAt: null,
    noData: null,
    deletedSeen: 0,
    evaluatedAt: 1_764_000_900_000,
    settled: false,
    flips: [],
    flappingSince: null,
    ...change,
  }
}

/** `n` alerts of different subjects. */
export function alertsFixture(n: number, change: Partial<Alert> = {}): Alert[] {
  return Array.from({ length: n }, (_, i) =>
    alertFixture({
      key: `rule\nuser/${i}`,
      subject: { kind: 'user', userId: String(i) },
      ...change,
    }),
  )
}

export function silenceFixture(change: Partial<StoredSilence> = {}): StoredSilence {
  return {
    id: '0c3a1d6e-5b0f-4d0e-9a53-0d6f5f3f1a11',
    matchers: [{ name: 'device_id', operator: '=', value: '17' }],
    startsAt: 1_764_000_000_000,
    endsAt: 1_764_003_600_000,
    updatedAt: 1_764_000_000_000,
    createdBy: 'ann',
    comment: 'on it',
    annotations: {},
    expiry: null,
    remindedAt: null,
    lastMatchedAt: null,
    unmatchedSince: null,
    ...change,
  }
}
