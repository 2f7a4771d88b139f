import { describe, expect, it } from 'vitest'
import type { DeviceType } from '../src/fleet/device.ts'
import { createDeviceTally } from '../src/metric-series.ts'
import { createMetrics, type Metrics } from '../src/metrics.ts'

const now = Date.UTC(2026, 10, 23, 12)

function create(options: { processMetrics?: boolean } = {}): Metrics {
  return createMetrics({
    clock: { now: () => now },
    version: '1.2.3',
    revision: 'abc',
    nodeVersion: 'v24.0.0',
    processMetrics: false,
    ...options,
  })
}

/** `name{labels}` → value, of everything that is ours. */
async function scrape(metrics: Metrics): Promise<Map<string, number>> {
  const lines = (await metrics.renderOwn()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))] as const
    }),
  )
}

// What dashboards and alerting rules of users name: a change here breaks them.
const names = [
  'fleet_access_denied_total',
  'fleet_acknowledgements',
  'fleet_alert_groups',
  'fleet_alert_transitions_total',
  'fleet_alerts',
  'fleet_audit_failures_total',
  'fleet_audit_records_total',
  'fleet_build_info',
  'fleet_clock_skew_total',
  'fleet_config_last_reload_success_timestamp_seconds',
  'fleet_config_last_reload_successful',
  'fleet_dedup_entries',
  'fleet_devices',
  'fleet_heartbeats_total',
  'fleet_leader',
  'fleet_link_visits_total',
  'fleet_links_minted_total',
  'fleet_malformed_total',
  'fleet_manufacturer_alerts',
  'fleet_migration_users',
  'fleet_notification_duration_seconds',
  'fleet_notification_oldest_seconds',
  'fleet_notification_queue_length',
  'fleet_notifications_dropped_total',
  'fleet_notifications_suppressed_total',
  'fleet_notifications_total',
  'fleet_odd_fields_total',
  'fleet_owner_contacts',
  'fleet_owner_handovers_total',
  'fleet_owner_mails_total',
  'fleet_partner_circuit_open',
  'fleet_partner_log_dropped_total',
  'fleet_partner_request_duration_seconds',
  'fleet_partner_request_rate_limit',
  'fleet_partner_requests_total',
  'fleet_poll_duration_seconds',
  'fleet_poll_last_complete_timestamp_seconds',
  'fleet_poll_last_success_timestamp_seconds',
  'fleet_polls_total',
  'fleet_replicas',
  'fleet_rule_evaluation_failures_total',
  'fleet_rule_unknown_total',
  'fleet_silences',
  'fleet_slots_total',
  'fleet_storage_bytes',
  'fleet_storage_errors_total',
  'fleet_storage_recovered',
  'fleet_template_failures_total',
  'fleet_unread_total',
  'fleet_users',
  'fleet_walk_running',
  'fleet_web_info',
]

/** Something in every family, as much as a big and varied fleet makes. */
function fill(metrics: Metrics): void {
  const rules = Array.from({ length: 30 }, (_, i) => ({
    alertname: `SomeRuleNumber${i}`,
    severity: i % 2 ? 'critical' : 'warning',
  }))
  metrics.setRules(rules)
  metrics.setIntegrations([
    { receiver: 'on-call', kind: 'slack' },
    { receiver: 'on-call', kind: 'email' },
    { receiver: 'pager', kind: 'webhook' },
  ])
  metrics.watch({
    delivery: () => ({ queued: 3, oldestAt: now - 90_000, toldEntries: 4, groups: 2 }),
    silences: () => ({ pending: 1, active: 2, expired: 3 }),
    acknowledgements: () => 5,
    ownerContacts: () => ({ subscribed: 7, unsubscribed: 1 }),
    partnerRateLimit: () => 50,
    partnerCircuitOpen: () => false,
    storageBytes: () => 4096,
    webUrl: () => 'https://fleet.example.com',
    migrationUsers: () => ({ planned: 1, done: 2 }),
    replicas: () => 3,
  })
  const tally = createDeviceTally()
  const types: DeviceType[] = ['heat_pump', 'electric_vehicle', 'inverter', 'wallbox']
  for (let i = 0; i < 1_000_000; i += 1) {
    tally.add({
      type: types[i % 4]!,
      manufacturer: `manufacturer ${i % 150}`,
      is_authenticated: [true, false, null][i % 7] ?? true,
      is_smart_optimization_active: [true, false, null][i % 5] ?? true,
    })
  }
  metrics.setFleet({ users: 400_000, devices: tally.counts() })
  metrics.setAlerts(
    rules.map(({ alertname, severity }) => ({
      labels: { alertname, severity, manufacturer: 'manufacturer 1', device_type: 'heat_pump' },
      state: 'firing',
    })),
  )
  for (const { alertname } of rules) {
    metrics.alertTransition(alertname, 'firing', 'condition')
    metrics.ruleFailed(alertname)
    metrics.ruleUnknown(alertname, 'missing_field', 10)
    metrics.ruleUnknown(alertname, 'poll_failed', 10)
  }
  for (let endpoint = 0; endpoint < 15; endpoint += 1) {
    for (const code of ['200', '404', '429', '503', 'timeout']) {
      metrics.partnerRequest({ endpoint: `some_endpoint_${endpoint}`, code, durationMs: 123 })
    }
  }
  for (const integration of ['slack', 'email', 'webhook']) {
    metrics.notificationAttempt({ receiver: 'on-call', integration, outcome: 'ok', durationMs: 500 })
  }
  metrics.walkStarted()
  metrics.walkEnded({ outcome: 'complete', durationMs: 61_000, endedAt: now })
  metrics.oddField('heat_pump.building')
  metrics.malformed('device')
  metrics.clockSkew()
  metrics.unread('timeout', 2)
  metrics.heartbeat('ok')
  metrics.linkVisited('shown', 'Vaillant')
  metrics.storageFailed('locked')
  metrics.configLoaded({ successful: true, at: now })
}

describe('metrics', () => {
  it('are exactly those that are documented, each with a help and a type', async () => {
    const metrics = create()
    fill(metrics)
    const text = await metrics.renderOwn()
    const helped = [...text.matchAll(/^# HELP (\S+) (.{15,})$/gm)].map((match) => match[1])
    const typed = [...text.matchAll(/^# TYPE (\S+) (gauge|counter|histogram)$/gm)]
    expect([...helped].sort()).toEqual(names)
    expect(typed.map((match) => match[1]).sort()).toEqual(names)
    for (const [, name, type] of typed) expect(name?.endsWith('_total')).toBe(type === 'counter')
    // No metric stands there without a value.
    for (const name of names) expect(text).toMatch(new RegExp(`^${name}(_bucket)?[{ ]`, 'm'))
  })

  it('render with those of the process, as text that Prometheus knows', async () => {
    const rendering = await create({ processMetrics: true }).render()
    expect(rendering.contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(rendering.body).toContain('\nprocess_resident_memory_bytes ')
    expect(rendering.body).toContain('\nfleet_polls_total{outcome="complete"} 0\n')
  })

  it('render fast and small after a walk over a million devices of 150 manufacturers', async () => {
    const metrics = create({ processMetrics: true })
    fill(metrics)
    await metrics.render()
    const times: number[] = []
    for (let i = 0; i < 5; i += 1) {
      const startedAt = performance.now()
      expect((await metrics.render()).body.length).toBeLessThan(120_000)
      times.push(performance.now() - startedAt)
    }
    expect(Math.min(...times)).toBeLessThan(20)
  })

  it('are counted in about a microsecond each', () => {
    const metrics = create()
    const count = (n: number) => {
      for (let i = 0; i < n; i += 1) metrics.ruleUnknown('SomeRule', 'missing_field')
    }
    count(10_000)
    const startedAt = performance.now()
    count(100_000)
    expect(performance.now() - startedAt).toBeLessThan(300)
  })

  it('begin at 0 for everything that is known beforehand, so that the first failure is an increase', async () => {
    const metrics = create()
    metrics.setRules([{ alertname: 'Lost', severity: 'critical' }])
    metrics.setIntegrations([{ receiver: 'on-call', kind: 'slack' }])
    const values = await scrape(metrics)
    for (const series of [
      'fleet_alerts{alertname="Lost",severity="critical",state="firing"}',
      'fleet_alert_transitions_total{alertname="Lost",to="firing",reason="condition"}',
      'fleet_rule_evaluation_failures_total{alertname="Lost"}',
      'fleet_notifications_total{receiver="on-call",integration="slack",outcome="permanent"}',
      'fleet_polls_total{outcome="failed"}',
      'fleet_unread_total{reason="rate_limited"}',
      'fleet_heartbeats_total{outcome="failed"}',
      'fleet_links_minted_total{outcome="refused_host"}',
      'fleet_storage_errors_total{kind="full"}',
      'fleet_clock_skew_total',
      'fleet_storage_recovered',
      'fleet_template_failures_total{receiver="on-call",integration="slack"}',
      'fleet_walk_running',
      'fleet_config_last_reload_successful',
      'fleet_poll_last_success_timestamp_seconds',
    ]) {
      expect.soft(values.get(series), series).toBe(0)
    }
    expect(values.get('fleet_build_info{version="1.2.3",revision="abc",node_version="v24.0.0"}')).toBe(1)
  })

  it('begin the funnel of a manufacturer at 0 with its first link', async () => {
    const metrics = create()
    metrics.linkGiven('Vaillant')
    metrics.linkVisited('shown', 'Vaillant')
    metrics.linkGiven('Vaillant')
    const values = await scrape(metrics)
    const funnel = [...values].filter(([name]) => name.startsWith('fleet_link_visits'))
    expect(funnel.map(([, value]) => value)).toEqual([1, 0, 0, 0, 0, 0])
  })

  it('show the whole funnel of a manufacturer from the first visit on, and few of them by name', async () => {
    const metrics = create()
    metrics.linkVisited('shown', 'Vaillant')
    metrics.linkVisited('shown', 'Vaillant')
    metrics.linkVisited('verified', 'Vaillant')
    for (let maker = 0; maker < 500; maker += 1) metrics.linkVisited('failed', `maker ${maker}`)
    const values = await scrape(metrics)
    const of = (stage: string, maker = 'Vaillant') =>
      values.get(`fleet_link_visits_total{stage="${stage}",manufacturer="${maker}"}`)
    expect(['shown', 'started', 'verified', 'failed'].map((stage) => of(stage))).toEqual([2, 0, 1, 0])
    expect([of('failed', 'maker 98'), of('failed', 'maker 99'), of('failed', 'other')]).toEqual([
      1,
      undefined,
      401,
    ])
    expect([...values.keys()].filter((name) => name.startsWith('fleet_link_visits'))).toHaveLength(606)
  })

  it('say nothing of the fleet before a walk has read it', async () => {
    const values = await scrape(create())
    expect(values.has('fleet_users')).toBe(false)
    expect(values.has('fleet_notification_queue_length')).toBe(false)
    expect(values.has('fleet_partner_circuit_open')).toBe(false)
  })

  it('count up, at each scrape and between', async () => {
    const metrics = create()
    metrics.unread('timeout', 2)
    expect((await scrape(metrics)).get('fleet_unread_total{reason="timeout"}')).toBe(2)
    metrics.unread('timeout')
    metrics.unread('timeout')
    expect((await scrape(metrics)).get('fleet_unread_total{reason="timeout"}')).toBe(4)
    expect((await scrape(metrics)).get('fleet_unread_total{reason="timeout"}')).toBe(4)
  })

  it('follow the fleet: what has vanished from it vanishes', async () => {
    const metrics = create()
    const device = { type: 'heat_pump', authenticated: 'true', optimizing: 'unknown' } as const
    metrics.setFleet({ users: 2, devices: [{ ...device, manufacturer: 'vaillant', count: 5 }] })
    const series =
      'fleet_devices{type="heat_pump",manufacturer="vaillant",authenticated="true",optimizing="unknown"}'
    expect((await scrape(metrics)).get(series)).toBe(5)
    metrics.setFleet({ users: 1, devices: [{ ...device, manufacturer: 'other', count: 1 }] })
    const values = await scrape(metrics)
    expect(values.has(series)).toBe(false)
    expect(values.get('fleet_users')).toBe(1)
  })

  it('count devices by what is known of them', () => {
    const tally = createDeviceTally()
    const device = { type: 'inverter', manufacturer: 'fronius', is_smart_optimization_active: null } as const
    for (const is_authenticated of [true, false, null, true]) tally.add({ ...device, is_authenticated })
    const rest = { type: 'inverter', manufacturer: 'fronius', optimizing: 'unknown' }
    expect(tally.counts()).toEqual([
      { ...rest, authenticated: 'true', count: 2 },
      { ...rest, authenticated: 'false', count: 1 },
      { ...rest, authenticated: 'unknown', count: 1 },
    ])
  })

  it('keep the biggest manufacturers by name and lose no device of the others', async () => {
    const metrics = create()
    const devices = Array.from({ length: 300 }, (_, i) => ({
      type: 'heat_pump',
      manufacturer: `m${i}`,
      authenticated: 'true' as const,
      optimizing: 'true' as const,
      count: i + 1,
    }))
    metrics.setFleet({ users: 1, devices })
    const values = await scrape(metrics)
    const counts = [...values].filter(([series]) => series.startsWith('fleet_devices'))
    expect(counts).toHaveLength(101)
    expect(counts.reduce((sum, [, value]) => sum + value, 0)).toBe((300 * 301) / 2)
    expect(counts.some(([series]) => series.includes('"m299"'))).toBe(true)
    expect(counts.some(([series]) => series.includes('"m0"'))).toBe(false)
    expect(counts.find(([series]) => series.includes('"other"'))?.[1]).toBe((200 * 201) / 2)
  })

  it('hold no more series than a cap, whatever texts the partner sends', async () => {
    const metrics = create()
    for (let i = 0; i < 1_000; i += 1) metrics.oddField(`field ${i} ${'x'.repeat(1_000)}`)
    const series = [...(await scrape(metrics))].filter(([name]) => name.startsWith('fleet_odd_fields_total'))
    expect(series).toHaveLength(201)
    expect(series.find(([name]) => name.includes('"other"'))?.[1]).toBe(800)
    expect(Math.max(...series.map(([name]) => name.length))).toBeLessThan(150)
    const tally = createDeviceTally()
    for (let i = 0; i < 3_000; i += 1) {
      tally.add({
        type: 'wallbox',
        manufacturer: `m${i}`,
        is_authenticated: null,
        is_smart_optimization_active: null,
      })
    }
    expect(tally.counts()).toHaveLength(1_001)
  })

  it('escape what stands in labels', async () => {
    const metrics = create()
    metrics.malformed('a "quoted"\\ \n text')
    expect(await metrics.renderOwn()).toContain('fleet_malformed_total{what="a \\"quoted\\"\\\\ \\n text"} 1')
  })

  it('count alerts by name, severity and state', async () => {
    const metrics = create()
    metrics.setRules([{ alertname: 'Lost', severity: 'critical' }])
    const labels = { alertname: 'Lost', severity: 'critical' }
    metrics.setAlerts([
      { labels, state: 'firing' },
      { labels, state: 'firing' },
      { labels: { alertname: 'Lost', severity: 'warning' }, state: 'pending' },
    ])
    const values = await scrape(metrics)
    expect(values.get('fleet_alerts{alertname="Lost",severity="critical",state="firing"}')).toBe(2)
    expect(values.get('fleet_alerts{alertname="Lost",severity="critical",state="pending"}')).toBe(0)
    expect(values.get('fleet_alerts{alertname="Lost",severity="warning",state="pending"}')).toBe(1)
    metrics.setAlerts([])
    const after = await scrape(metrics)
    expect(after.get('fleet_alerts{alertname="Lost",severity="critical",state="firing"}')).toBe(0)
    expect(after.has('fleet_alerts{alertname="Lost",severity="warning",state="pending"}')).toBe(false)
  })

  it('count what fires by the manufacturer and type of the device', async () => {
    const metrics = create()
    const labels = { alertname: 'Lost', severity: 'warning', manufacturer: 'Wolf', device_type: 'heat_pump' }
    metrics.setAlerts([
      { labels, state: 'firing' },
      { labels, state: 'recovering' },
      { labels, state: 'pending' },
      { labels, state: 'resolved' },
      { labels: { alertname: 'WalkOverdue', severity: 'critical' }, state: 'firing' },
    ])
    const of = (values: Map<string, number>) =>
      [...values].filter(([series]) => series.startsWith('fleet_manufacturer_alerts'))
    expect(of(await scrape(metrics))).toEqual([
      ['fleet_manufacturer_alerts{manufacturer="Wolf",device_type="heat_pump",alertname="Lost"}', 2],
    ])
    metrics.setAlerts([])
    expect(of(await scrape(metrics))).toEqual([])
  })

  it('count what fires for very many manufacturers together', async () => {
    const metrics = create()
    metrics.setAlerts(
      Array.from({ length: 2_000 }, (_, index) => ({
        labels: { alertname: 'Lost', manufacturer: `m${index}`, device_type: 'heat_pump' },
        state: 'firing',
      })),
    )
    const counts = [...(await scrape(metrics))].filter(([series]) =>
      series.startsWith('fleet_manufacturer_alerts'),
    )
    expect(counts).toHaveLength(501)
    expect(counts.find(([series]) => series.includes('"other"'))?.[1]).toBe(1_500)
  })

  it('drop the series of rules and receivers that a reload removed, and keep the values of others', async () => {
    const metrics = create()
    const [old, kept] = [
      { alertname: 'Old', severity: 'warning' },
      { alertname: 'Kept', severity: 'warning' },
    ] as const
    metrics.setRules([old, kept])
    metrics.setIntegrations([{ receiver: 'old', kind: 'slack' }])
    metrics.ruleFailed('Old', 3)
    metrics.ruleFailed('Kept', 3)
    await scrape(metrics)
    metrics.setRules([kept])
    metrics.setIntegrations([{ receiver: 'new', kind: 'slack' }])
    metrics.ruleFailed('Kept')
    const values = await scrape(metrics)
    expect([...values.keys()].filter((name) => name.includes('"Old"') || name.includes('"old"'))).toEqual([])
    expect(values.get('fleet_rule_evaluation_failures_total{alertname="Kept"}')).toBe(4)
    expect((await scrape(metrics)).get('fleet_rule_evaluation_failures_total{alertname="Kept"}')).toBe(4)
  })

  it('tell how walks went: running, ended, skipped, and since when none succeeded', async () => {
    const metrics = create()
    metrics.setLastWalks({ successAt: now - 60_000, completeAt: now - 120_000 })
    metrics.walkStarted()
    let values = await scrape(metrics)
    expect(values.get('fleet_walk_running')).toBe(1)
    expect(values.get('fleet_poll_last_success_timestamp_seconds')).toBe(now / 1_000 - 60)
    metrics.walkEnded({ outcome: 'failed', durationMs: 10_000, endedAt: now })
    metrics.walkEnded({ outcome: 'stopped', durationMs: 10_000, endedAt: now })
    metrics.walkSkipped()
    values = await scrape(metrics)
    expect(values.get('fleet_walk_running')).toBe(0)
    expect(values.get('fleet_poll_last_success_timestamp_seconds')).toBe(now / 1_000 - 60)
    expect(values.get('fleet_polls_total{outcome="failed"}')).toBe(1)
    expect(values.get('fleet_polls_total{outcome="skipped"}')).toBe(1)
    expect(values.get('fleet_poll_duration_seconds_count')).toBe(1)
    metrics.walkEnded({ outcome: 'partial', durationMs: 10_000, endedAt: now })
    values = await scrape(metrics)
    expect(values.get('fleet_poll_last_success_timestamp_seconds')).toBe(now / 1_000)
    expect(values.get('fleet_poll_last_complete_timestamp_seconds')).toBe(now / 1_000 - 120)
    metrics.walkEnded({ outcome: 'complete', durationMs: 10_000, endedAt: now })
    values = await scrape(metrics)
    expect(values.get('fleet_poll_last_complete_timestamp_seconds')).toBe(now / 1_000)
    expect(values.get('fleet_poll_duration_seconds_sum')).toBe(30)
  })

  it('ask at each scrape for what changes by itself', async () => {
    const metrics = create()
    let oldestAt: number | null = now - 90_000
    metrics.watch({
      delivery: () => ({ queued: oldestAt === null ? 0 : 2, oldestAt, toldEntries: 0, groups: 0 }),
    })
    metrics.watch({ partnerRateLimit: () => 12.5, partnerCircuitOpen: () => true })
    let values = await scrape(metrics)
    expect(values.get('fleet_notification_queue_length')).toBe(2)
    expect(values.get('fleet_notification_oldest_seconds')).toBe(90)
    expect(values.get('fleet_partner_request_rate_limit')).toBe(12.5)
    expect(values.get('fleet_partner_circuit_open')).toBe(1)
    oldestAt = null
    values = await scrape(metrics)
    expect(values.get('fleet_notification_queue_length')).toBe(0)
    expect(values.get('fleet_notification_oldest_seconds')).toBe(0)
  })

  it('keep the moment of the last good configuration when a later one is bad', async () => {
    const metrics = create()
    metrics.configLoaded({ successful: true, at: now })
    metrics.configLoaded({ successful: false, at: now + 5_000 })
    const values = await scrape(metrics)
    expect(values.get('fleet_config_last_reload_successful')).toBe(0)
    expect(values.get('fleet_config_last_reload_success_timestamp_seconds')).toBe(now / 1_000)
  })
})
