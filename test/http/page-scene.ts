// A night on call, for tests and pictures of the pages: alerts in every state, silences, walks, receivers.

import type { Alert } from '../../src/alerts/alert.ts'
import { createMatcher } from '../../src/matcher.ts'
import { sampleAlert } from '../notify/sample.ts'
import { type PageServer, quietIntegration, ruleOf, walkOf } from './page-server.ts'

const minute = 60_000
const models: Readonly<Record<string, string>> = {
  Bosch: 'Compress 7000i',
  Daikin: 'Altherma 3',
  Fronius: 'Symo GEN24',
  Nibe: 'S2125',
  SMA: 'Sunny Tripower',
  Tesla: 'Model 3',
  Viessmann: 'Vitocal 250',
}
const hour = 60 * minute

export interface Scene {
  readonly open: Alert
  readonly acknowledged: Alert
  readonly silenced: Alert
  readonly inhibited: Alert
  readonly pending: Alert
  readonly resolved: Alert
  readonly fleet: Alert
  readonly silenceId: string
}

export async function setScene({ alerting, sources }: PageServer, now: number): Promise<Scene> {
  const silencer = { kind: 'local', name: '', role: 'admin', from: null } as const
  let n = 0
  const add = (alertname: string, labels: Alert['labels'], changes: Partial<Alert> = {}) => {
    n++
    const sample = sampleAlert(n)
    const firedAt = now - n * 7 * minute
    return alerting.add(n, {
      activeAt: firedAt - 15 * minute,
      firedAt,
      evaluatedAt: now - 2 * minute,
      affected: { ...sample.affected, model: models[labels['manufacturer'] ?? ''] ?? 'aroTHERM plus' },
      ...changes,
      ruleId: `connection/${alertname}`,
      labels: { ...sample.labels, alertname, ...labels },
      fingerprint: `${'0'.repeat(14)}${String(n).padStart(2, '0')}`,
    })
  }
  const lost = 'DeviceUnauthenticated'
  const daikin = {
    summary: 'Daikin heat pump lost its connection: the customer has to log in again',
    runbook_url: 'https://docs.example.com/runbooks/DeviceUnauthenticated',
  }
  const open = add(lost, { manufacturer: 'Daikin' }, { annotations: daikin })
  for (let more = 0; more < 8; more++) {
    add(lost, { manufacturer: 'Daikin' }, { annotations: daikin })
  }
  const acknowledged = add(lost, { manufacturer: 'Vaillant' })
  const silenced = add('OptimisationInactive', {
    manufacturer: 'SMA',
    severity: 'warning',
    device_type: 'inverter',
  })
  add(
    'OptimisationInactive',
    { manufacturer: 'Fronius', severity: 'warning', device_type: 'inverter' },
    {
      annotations: {
        summary: 'Fronius inverter is connected, and its optimiser has been off for three hours',
      },
    },
  )
  add(
    'HeatPumpStateStale',
    { manufacturer: 'Bosch', severity: 'warning' },
    {
      noData: { since: now - 25 * minute, reason: 'poll_failed', evaluations: 3 },
      annotations: { summary: 'Bosch heat pump has said nothing new for two hours' },
    },
  )
  add(
    'ContractMissing',
    { severity: 'info' },
    {
      state: 'recovering',
      keepFiringSince: now - 3 * minute,
      annotations: { summary: 'No current energy contract' },
    },
  )
  const inhibited = add('DeviceConnectionError', {
    manufacturer: 'Tesla',
    severity: 'warning',
    device_type: 'electric_vehicle',
  })
  const fleet = add(
    'ManufacturerOutage',
    { manufacturer: 'Tesla', device_type: 'electric_vehicle' },
    {
      subject: { kind: 'fleet', group: 'Tesla' },
      affected: { externalUserId: null, name: null, email: null, model: null },
      annotations: {
        summary: '412 of 3,980 Tesla vehicles lost their connection within ten minutes',
        description: 'Most likely the manufacturer’s cloud. Alerts of its devices are held back meanwhile.',
        runbook_url: 'https://docs.example.com/runbooks/ManufacturerOutage',
      },
    },
  )
  const pending = add(lost, { manufacturer: 'Viessmann' }, { state: 'pending', firedAt: null })
  const resolved = add(
    lost,
    { manufacturer: 'Nibe' },
    { state: 'resolved', resolvedAt: now - 4 * minute, resolvedReason: 'condition' },
  )

  alerting.inhibited.set(inhibited.fingerprint, [fleet.fingerprint])
  await alerting.acknowledge(
    acknowledged,
    { by: 'ada', comment: 'I am calling the customer', until: now + 2 * hour },
    silencer,
  )
  const set = async (value: string, comment: string, startsAt: number, endsAt: number) => {
    const matchers = [
      createMatcher('alertname', '=', 'OptimisationInactive'),
      createMatcher('manufacturer', '=', value),
    ]
    const outcome = await alerting.silences.set(
      { matchers, startsAt, endsAt, createdBy: 'grace', comment },
      silencer,
    )
    return outcome.kind === 'set' ? outcome.silence.id : ''
  }
  const silenceId = await set('SMA', 'Firmware is rolled out tonight, ticket 4711', now, now + 3 * hour)
  await set('KOSTAL', 'Maintenance on Sunday', now + 20 * hour, now + 26 * hour)
  const over = await set('Huawei', 'Was a false alarm', now, now + hour)
  await alerting.silences.expire(over, silencer)

  const told = { kind: 'told', receiver: 'on-call' } as const
  const of = (alert: Alert) => ({ episode: alert.episode, times: 1 })
  sources.stories.set(open.fingerprint, [
    {
      ...of(open),
      what: { kind: 'state', state: 'pending', reason: 'condition' },
      firstAt: now - 22 * minute,
      lastAt: now - 22 * minute,
    },
    {
      ...of(open),
      what: { kind: 'state', state: 'firing', reason: 'condition' },
      firstAt: now - 7 * minute,
      lastAt: now - 7 * minute,
    },
    {
      ...of(open),
      what: { ...told, status: 'firing', reason: 'first notification', integration: 'slack/0' },
      firstAt: now - 6 * minute,
      lastAt: now - 6 * minute,
    },
    {
      ...of(open),
      what: { ...told, status: 'firing', reason: 'first notification', integration: 'email/0' },
      firstAt: now - 6 * minute,
      lastAt: now - 6 * minute,
    },
    {
      ...of(open),
      times: 3,
      what: { ...told, status: 'firing', reason: 'repeat', integration: 'slack/0' },
      firstAt: now - 5 * minute,
      lastAt: now - minute,
    },
    {
      episode: 'before',
      times: 1,
      what: { kind: 'state', state: 'resolved', reason: 'condition' },
      firstAt: now - 5 * hour,
      lastAt: now - 5 * hour,
    },
  ])
  sources.explanations.set(open.fingerprint, {
    about: 'x',
    at: now - 1_000,
    reading: { state: 'read', problem: null },
    rules: [
      {
        alertname: lost,
        verdict: true,
        state: 'firing',
        steps: [
          { source: '!device.is_authenticated && !device.is_away_mode_enabled', depth: 0, text: 'true' },
          { source: '!device.is_authenticated', depth: 1, text: 'true' },
          { source: 'device.is_authenticated', depth: 2, text: 'false' },
          { source: '!device.is_away_mode_enabled', depth: 1, text: 'true' },
          { source: 'device.is_away_mode_enabled', depth: 2, text: 'false' },
        ],
        clear: [{ source: 'device.is_authenticated', depth: 0, text: 'false' }],
      },
    ],
    alerts: [
      {
        ...{ fingerprint: open.fingerprint, labels: open.labels, state: 'firing', noData: null },
        ...{
          activeAt: open.activeAt,
          firedAt: open.firedAt,
          evaluatedAt: open.evaluatedAt,
          flappingSince: null,
        },
        waitsFor: null,
        routes: [
          { key: '{}', receiver: 'on-call', depth: 0, outcome: 'a child takes it', failed: '' },
          { key: '{}/{severity="critical"}', receiver: 'pager', depth: 1, outcome: 'takes it', failed: '' },
          {
            key: '{}/{team="north"}',
            receiver: 'north',
            depth: 1,
            outcome: 'does not match',
            failed: '{team="north"}',
          },
        ],
        ...{ inhibitedBy: [], silencedBy: [], heldFor: null, acknowledgement: null, owner: null },
        groups: [
          {
            key: '{}/{severity="critical"}:{alertname="DeviceUnauthenticated", manufacturer="Daikin"}',
            receiver: 'pager',
            mutedBy: [],
            nextFlushAt: now + 4 * minute,
            next: [
              { integration: 'pager/slack/0', what: '"repeat" at 2026-11-23 16:00:00Z if nothing changes' },
            ],
          },
        ],
      },
    ],
  })
  sources.link = { url: 'https://fleet.example.com/r/token', validUntil: now + hour }
  sources.recentWalks = [
    walkOf(now, {}),
    walkOf(now - 10 * minute, {
      outcome: 'partial',
      usersUnread: 12,
      devicesUnread: 3,
      unread: [
        { what: 'devices', reason: 'timeout', count: 12, problem: 'no answer within 10s' },
        {
          what: 'device',
          reason: 'malformed',
          count: 3,
          problem: 'is_authenticated: expected true or false',
        },
      ],
    }),
    walkOf(now - 20 * minute, {
      outcome: 'failed',
      users: 0,
      devices: 0,
      unread: [{ what: 'users', reason: 'server_error', count: 1, problem: 'answered 502' }],
    }),
    walkOf(now - 30 * minute, { outcome: 'stopped', users: null, devices: null }),
  ]
  sources.pageRules = [
    ruleOf(lost, {
      activity: { firedInDay: 41, lastFiredAt: now - 7 * minute, unknown: { missing_field: 4 } },
    }),
    ruleOf('OptimisationInactive', {
      severity: 'warning',
      activity: { firedInDay: 2, lastFiredAt: now - hour, unknown: {} },
    }),
    ruleOf('HouseTooCold', {
      severity: 'warning',
      forMs: 0,
      keepFiringForMs: 0,
      activity: { firedInDay: 0, lastFiredAt: null, unknown: { rule_error: 17 } },
    }),
    ruleOf('ManufacturerOutage', { each: 'fleet' }),
    ruleOf('ContractMissing', { each: 'user', deviceTypes: [], severity: 'info' }),
    ruleOf('Watchdog', { each: 'service', deviceTypes: [], severity: 'none' }),
  ]
  const delivered = { lastDelivered: { at: now - 6 * minute, reason: 'new alerts' as const }, delivered: 27 }
  sources.pageReceivers = [
    {
      name: 'on-call',
      integrations: [
        {
          kind: 'slack',
          index: 0,
          activity: { ...delivered, lastAttempt: { at: now - 6 * minute, outcome: 'ok' }, failure: null },
        },
        {
          kind: 'email',
          index: 0,
          activity: {
            ...delivered,
            lastAttempt: { at: now - minute, outcome: 'retry' },
            failure: { reason: '421 try again later', permanent: false, attempts: 3 },
          },
        },
      ],
    },
    {
      name: 'pager',
      integrations: [
        {
          kind: 'webhook',
          index: 1,
          activity: {
            lastDelivered: null,
            delivered: 0,
            lastAttempt: { at: now - 2 * minute, outcome: 'permanent' },
            failure: { reason: 'answered 410', permanent: true, attempts: 1 },
          },
        },
        { kind: 'pagerduty', index: 0, activity: quietIntegration },
      ],
    },
    { name: 'nobody', integrations: [] },
  ]
  return { open, acknowledged, silenced, inhibited, pending, resolved, fleet, silenceId }
}
