// Apart from contract.ts, so that a child process need not load the test runner.

import type { Alert } from '../../src/alerts/alert.ts'
import type { StoredSilence } from '../../src/alerts/silence.ts'
import type { WalkState } from '../../src/alerts/walk-store.ts'
import { openAuditTrail, serviceActor } from '../../src/backoffice/audit-trail.ts'
import type { MigrationState } from '../../src/backoffice/migration.ts'
import type { LinkRecord } from '../../src/links/link-store.ts'
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

function linkFixture(episode: string): LinkRecord {
  return {
    episode,
    fingerprint: 'f1',
    alertname: 'DeviceUnauthenticated',
    userId: 'u1',
    deviceType: 'heat_pump',
    deviceId: '17',
    manufacturer: 'vaillant',
    since: 1_000.5,
    givenAt: 2_000,
    expiresAt: 3_000,
    resolvedAt: null,
    resolvedReason: 'condition',
    startedAt: 4_000,
    returnedAt: null,
    cancelledAt: null,
    checkedAt: null,
    stillWrong: 'unread',
    verifiedAfterMs: 5,
    revokedAt: null,
  }
}

const migrationFixture: MigrationState = {
  externalId: 'K-1',
  userId: 'u1',
  oldUserId: null,
  step: 'created',
  since: 1_000.5,
  problem: null,
  expected: { heat_pump: 1, electric_vehicle: 0, inverter: 0, wallbox: 0 },
  needsContract: true,
  language: 'de',
  priceZone: null,
  sessions: [],
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
  await storage.saveLinks({ upserts: ['e1', 'e2'].map(linkFixture), deletedEpisodes: [] })
  const happened = {
    kind: 'add',
    episode: 'e1',
    what: { kind: 'state', state: 'firing', reason: 'condition' },
  } as const
  // More than a slice, of which one counts twice.
  const fingerprints = [...Array.from({ length: 600 }, (_, n) => `f${n}`), 'f0']
  await storage.saveHistory(
    fingerprints.map((fingerprint, at) => ({
      ...happened,
      fingerprint,
      at,
      userId: at % 2 > 0 ? null : 'u1',
    })),
  )
  await storage.ownerKey('key')
  const letter = {
    userId: 'u1',
    receiver: 'owners',
    about: [{ alertKey: 'k', episode: 'e1' }],
    decidedAt: 1_000.5,
  }
  await storage.saveOwners({
    letters: [
      {
        ...letter,
        id: 'l1',
        attempts: 1,
        attemptedAt: 1_500,
        nextAttemptAt: 2_000,
        sentAt: null,
        isRefused: true,
      },
    ],
    written: { id: 'c1', digest: 'd1', lastWrittenAt: 1_000 },
    outages: [{ key: 'k', labels: { manufacturer: 'Škoda' }, endedAt: 5_000 }],
  })
  await storage.saveUnsubscribed('c1', 2_000)
  await storage.saveMigration(migrationFixture)
  await fillTrail(storage)
}

/** Eight records, of which the first two are pruned and another one is erased. */
async function fillTrail(storage: Storage): Promise<void> {
  const events = { onRecord: () => undefined, onFailure: () => undefined }
  let now = 1_000
  const trail = await openAuditTrail(storage, { clock: { now: () => now }, events })
  const entry = { actor: serviceActor('half \ud83d'), action: 'a.b', target: { user: 'u1' } }
  for (let n = 1; n <= 2; n += 1) await trail.record({ ...entry, result: 'ok', detail: { n } })
  now = 2_000
  for (let n = 3; n <= 6; n += 1)
    await trail.record({ ...entry, result: 'ok', detail: { half: '\ud83d', n } })
  await trail.erase([4], { ...entry, action: 'user.forget', detail: {} })
  await trail.prune(1_000 - 1)
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
