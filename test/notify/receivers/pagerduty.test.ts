import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { z } from 'zod'
import type { PagerdutyConfig } from '../../../src/config.ts'
import type { Notification } from '../../../src/notify/notification.ts'
import { Secret } from '../../../src/secret.ts'
import { resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { integrationOf, pagerdutyConfig, pagerdutySchema, routingKey } from './peers.ts'
import { type ScriptedHttp, startScriptedHttp } from './scripted-http.ts'

describe('the PagerDuty receiver', () => {
  let server: ScriptedHttp
  beforeEach(async () => {
    server = await startScriptedHttp({ status: 202 })
  })
  afterEach(() => server.close())

  async function posted(
    notification: Notification,
    config: Partial<PagerdutyConfig> = {},
  ): Promise<z.infer<typeof pagerdutySchema>> {
    const integration = integrationOf({ pagerduty: pagerdutyConfig(server.origin, config) })
    expect(await integration.send(notification, sampleContext())).toEqual({ kind: 'ok' })
    await integration.close()
    return pagerdutySchema.parse(JSON.parse(server.requests.at(-1)?.body ?? ''))
  }

  it('triggers an incident that says what is wrong, where, and what to do', async () => {
    const event = await posted(sampleNotification({ firing: [sampleAlert(1)] }))
    expect(event).toEqual({
      routing_key: routingKey,
      event_action: 'trigger',
      dedup_key: expect.stringMatching(/^[0-9a-f]{64}$/),
      payload: {
        summary: '1 heat pump (Vaillant): DeviceUnauthenticated: Vaillant heat pump lost its connection',
        source: 'Fleetwarden',
        severity: 'critical',
        timestamp: '2026-11-23T11:01:00.000Z',
        component: 'Vaillant',
        group: 'heat_pump',
        class: 'DeviceUnauthenticated',
        custom_details: {
          why: 'First message about this.',
          to_do: 'Open a device’s link and follow the steps; it resolves by itself once the device answers.',
          since: '11:01 UTC',
          firing: 1,
          resolved: 0,
          customers: 1,
          devices: [
            'Heat pump Vaillant aroTHERM plus · customer K-4701 · since 11:01 UTC · https://fleet.example.com/r/f1 (valid until 13:00 UTC)',
          ],
        },
      },
      client: 'Fleetwarden',
      client_url: 'https://fleet.example.com/alerts',
      links: [
        { href: 'https://docs.example.com/runbooks/unauthenticated', text: 'Runbook' },
        { href: 'https://fleet.example.com/r/f1', text: 'Resolve: K-4701' },
      ],
    })
  })

  it('speaks of one incident for as long as the group lives, and of another for another group', async () => {
    const first = await posted(sampleNotification())
    const more = await posted(sampleNotification({ reason: 'new alerts', firing: [sampleAlert(7)] }))
    const over = await posted(
      sampleNotification({ reason: 'all resolved', firing: [], resolved: [resolvedAlert(1)] }),
    )
    expect([more.event_action, more.dedup_key]).toEqual(['trigger', first.dedup_key])
    expect([over.event_action, over.dedup_key]).toEqual(['resolve', first.dedup_key])
    expect((await posted(sampleNotification({ groupKey: 'another' }))).dedup_key).not.toBe(first.dedup_key)
  })

  it('keeps the incident while some resolved and others fire', async () => {
    const event = await posted(sampleNotification({ reason: 'some resolved', resolved: [resolvedAlert(9)] }))
    expect(event.event_action).toBe('trigger')
  })

  it('resolves what was deleted as well: nobody is to be woken for it', async () => {
    const resolved = [resolvedAlert(1, { resolvedReason: 'device_deleted' })]
    const event = await posted(sampleNotification({ reason: 'all resolved', firing: [], resolved }))
    expect(event.event_action).toBe('resolve')
    expect(JSON.stringify(event)).toContain('deleted, no longer watched')
  })

  it.each([
    ['critical', 'critical'],
    ['warning', 'warning'],
    ['info', 'info'],
    ['page', 'error'],
    ['', 'error'],
  ])('makes of severity %j one that PagerDuty knows: %j', async (word, expected) => {
    const labels = { ...sampleAlert(1).labels, severity: word }
    const { payload } = await posted(sampleNotification({ firing: [sampleAlert(1, { labels })] }))
    expect(payload.severity).toBe(expected)
  })

  it('says what is configured in the place of what it found', async () => {
    const config = {
      client: 'Fleet',
      clientUrl: 'https://portal.example.com/',
      severity: 'info',
      class: 'a',
      component: 'b',
      group: 'c',
    } as const
    expect(await posted(sampleNotification(), config)).toMatchObject({
      payload: { source: 'Fleet', severity: 'info', class: 'a', component: 'b', group: 'c' },
      client: 'Fleet',
      client_url: 'https://portal.example.com/',
    })
  })

  it('leaves out what the members do not share', async () => {
    const other = sampleAlert(2, { labels: { alertname: 'Other', manufacturer: 'unknown' } })
    const { payload } = await posted(sampleNotification({ firing: [sampleAlert(1), other] }))
    expect(Object.keys(payload)).not.toEqual(expect.arrayContaining(['component']))
    expect(payload).not.toHaveProperty('class')
    expect(payload).not.toHaveProperty('group')
  })

  it('takes a key that was read from a file with its line break', async () => {
    expect(await posted(sampleNotification(), { routingKey: new Secret(`${routingKey}\n`) })).toMatchObject({
      routing_key: routingKey,
    })
  })
})
