// Apart from contract.ts, so that a child process need not load the test runner.

import type { Alert } from '../../src/alerts/alert.ts'
import type { StoredSilence } from '../../src/alerts/silence.ts'
import type { WalkState } from '../../src/alerts/walk-store.ts'
import type { Storage } from '../../src/storage/storage.ts'

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

/** Something in every table. */
export async function fillStorage(storage: Storage): Promise<void> {
  const odd = alertFixture({
    key: 'NUL \0 and quotes "\\',
    labels: { ['__proto__']: '\0', half: '\ud83d' },
    activeAt: 1_764_000_000_000.25,
    noData: { since: 1, reason: 'stale', evaluations: 2 },
    flips: [1, 2.5],
    flappingSince: 3,
  })
  const fleet = alertFixture({ key: 'fleet', subject: { kind: 'fleet', group: 'vaillant' } })
  const upserts = [...alertsFixture(1_200), odd, fleet, alertFixture()]
  await storage.saveAlerts({ upserts, deletedKeys: [] })
  for (const groupKey of ['g1', 'g2']) {
    const integrationKey = 'on-call/slack/0'
    const told = { groupKey, integrationKey, at: 1_000, firing: ['f1'], resolved: [], receiverData: null }
    const message = {
      ...told,
      reason: 'new alerts' as const,
      firstDecidedAt: 500,
      delivered: ['a@example.com'],
    }
    await storage.saveFlush({
      timer: { groupKey, nextFlushAt: 5_000, flushed: true },
      outbox: [{ ...message, attempts: 2, nextAttemptAt: 1_500 }],
      remembered: [{ ...told, silenced: ['f1'], receiverData: '{"ts":"1"}' }],
      dropped: [],
    })
  }
  const silences = ['s1', 's2'].map((id) => silenceFixture({ id, expiry: { kind: 'resolved' } }))
  await storage.saveSilences({ upserts: silences, deletedIds: [] })
  const acknowledgement = { episode: 'e', by: 'ann', comment: 'on it', at: 1, until: null }
  const acknowledgements = ['f1', 'f2'].map((fingerprint) => ({ ...acknowledgement, fingerprint }))
  await storage.saveAcknowledgements({ upserts: acknowledgements, deletedFingerprints: [] })
  await storage.saveWalkState(walkStateFixture)
}

export const walkStateFixture: WalkState = {
  last: {
    outcome: 'partial',
    api_available: true,
    users: 10,
    users_unread: 1,
    devices: 20,
    devices_unread: 2,
    unread_ratio: 0.1,
    failed_in_a_row: 0,
    started_at: 1_764_000_000_000,
    ended_at: 1_764_000_060_000,
    last_complete_at: null,
  },
  failedInARow: 2,
  lastCompleteAt: 1_763_999_000_000,
  aliveAt: 1_764_000_061_000,
}
