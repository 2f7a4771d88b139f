import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { WebhookConfig } from '../../../src/config.ts'
import type { Notification } from '../../../src/notify/notification.ts'
import type { WebhookPayload } from '../../../src/notify/receivers/webhook.ts'
import { noon, resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { integrationOf, webhookConfig, webhookSchema } from './peers.ts'
import { type ScriptedHttp, startScriptedHttp } from './scripted-http.ts'

describe('the webhook receiver', () => {
  let server: ScriptedHttp
  beforeEach(async () => {
    server = await startScriptedHttp()
  })
  afterEach(() => server.close())

  async function posted(
    notification: Notification,
    config: Partial<WebhookConfig> = {},
    context = sampleContext(),
  ): Promise<WebhookPayload> {
    const integration = integrationOf(
      { webhook: webhookConfig(`${server.origin}/hook`, config) },
      { publicUrl: 'https://fleet.example.com' },
    )
    expect(await integration.send(notification, context)).toEqual({ kind: 'ok' })
    await integration.close()
    return webhookSchema.parse(JSON.parse(server.requests.at(-1)?.body ?? ''))
  }

  it('posts what Alertmanager posts, with the customer and the link as annotations', async () => {
    const notification = sampleNotification({
      reason: 'some resolved',
      firing: [sampleAlert(1, { noData: { since: noon, reason: 'stale', evaluations: 2 } })],
      resolved: [resolvedAlert(2, { resolvedReason: 'rule_removed' })],
    })
    const { labels: labels1 } = sampleAlert(1)
    const { labels: labels2, annotations } = sampleAlert(2)
    const { user_id, device_id, ...common } = labels1
    expect(await posted(notification)).toEqual({
      version: '4',
      groupKey: '{}:{alertname="DeviceUnauthenticated", manufacturer="Vaillant"}',
      truncatedAlerts: 0,
      receiver: 'on-call',
      status: 'firing',
      notification_reason: 'some resolved',
      groupLabels: { alertname: 'DeviceUnauthenticated', manufacturer: 'Vaillant' },
      commonLabels: common,
      commonAnnotations: annotations,
      routeLabels: {},
      externalURL: 'https://fleet.example.com/',
      alerts: [
        {
          status: 'resolved',
          labels: labels2,
          annotations: { ...annotations, external_user_id: 'K-4702', resolved_reason: 'rule_removed' },
          startsAt: '2026-11-23T11:17:00.000Z',
          endsAt: '2026-11-23T12:00:00.000Z',
          generatorURL: 'https://fleet.example.com/alerts',
          fingerprint: 'f2',
        },
        {
          status: 'firing',
          labels: labels1,
          annotations: {
            ...annotations,
            external_user_id: 'K-4701',
            no_data_reason: 'stale',
            resolution_url: 'https://fleet.example.com/r/f1',
            resolution_url_expires_at: '2026-11-23T13:00:00.000Z',
          },
          startsAt: '2026-11-23T11:16:00.000Z',
          endsAt: '0001-01-01T00:00:00Z',
          generatorURL: 'https://fleet.example.com/alerts',
          fingerprint: 'f1',
        },
      ],
    })
    expect([user_id, device_id].every((id) => id !== undefined)).toBe(true)
  })

  it('says firing or resolved as the group does', async () => {
    expect(await posted(sampleNotification())).toMatchObject({ status: 'firing' })
    const over = sampleNotification({ firing: [], resolved: [resolvedAlert(1)], reason: 'all resolved' })
    expect(await posted(over)).toMatchObject({ status: 'resolved', alerts: [{ status: 'resolved' }] })
  })

  it('posts all of four thousand, with links for those that a message for people lists', async () => {
    const firing = Array.from({ length: 4_000 }, (_, index) => sampleAlert(index + 1))
    const { alerts } = await posted(sampleNotification({ firing }))
    expect(alerts).toHaveLength(4_000)
    expect(alerts.filter(({ annotations }) => 'resolution_url' in annotations)).toHaveLength(10)
  })

  it.each<[Notification['reason'], string[]]>([
    ['first notification', ['f1', 'f2']],
    ['new alerts', ['f3', 'f2']],
    ['some resolved', ['f9', 'f1']],
  ])('cuts to max_alerts, and keeps what is new after "%s"', async (reason, expected) => {
    const notification = sampleNotification({ reason, resolved: [resolvedAlert(9)] })
    const { alerts, truncatedAlerts } = await posted(notification, { maxAlerts: 2 })
    expect(alerts.map(({ fingerprint }) => fingerprint)).toEqual(expected)
    expect(truncatedAlerts).toBe(2)
    expect(await posted(notification, { maxAlerts: 4 })).toMatchObject({ truncatedAlerts: 0 })
  })

  it('tells name and address only when it may, and hides them in the rule’s texts', async () => {
    const annotations = { summary: 'Call Anna Muster 1 <anna1@customer.example>\nnow' }
    const notification = sampleNotification({ firing: [sampleAlert(1, { annotations })] })
    const [hidden] = (await posted(notification)).alerts
    expect(hidden?.annotations).toMatchObject({ summary: 'Call … <…> now', external_user_id: 'K-4701' })
    expect(hidden?.annotations).not.toHaveProperty('user_name')
    const [open] = (await posted(notification, { showPersonalData: true })).alerts
    expect(open?.annotations).toMatchObject({
      summary: 'Call Anna Muster 1 <anna1@customer.example> now',
      user_name: 'Anna Muster 1',
      user_email: 'anna1@customer.example',
    })
  })

  it('says how soon a reconnection was verified', async () => {
    const verified = resolvedAlert(1, { reconnectedAt: noon - 40_000 })
    const over = sampleNotification({ firing: [], resolved: [verified], reason: 'all resolved' })
    const { alerts } = await posted(over)
    expect(alerts[0]?.annotations).toMatchObject({ resolved_reason: 'condition', verified_after: '40s' })
  })

  it('gives no link that is none, and no time that is none', async () => {
    const link = (url: string, validUntil: number | null) =>
      sampleContext({ linkFor: async () => ({ url, validUntil }) })
    const alert = sampleNotification({ firing: [sampleAlert(1)] })
    const annotationsWith = async (context: ReturnType<typeof link>) =>
      (await posted(alert, {}, context)).alerts[0]?.annotations
    expect(await annotationsWith(link('javascript:alert(1)', noon))).not.toHaveProperty('resolution_url')
    const odd = await annotationsWith(link('https://a.example/', Number.NaN))
    expect(odd).toHaveProperty('resolution_url', 'https://a.example/')
    expect(odd).not.toHaveProperty('resolution_url_expires_at')
  })

  it('leaves out labels without a value', async () => {
    const labels = { alertname: 'X', area: '' }
    const { alerts } = await posted(sampleNotification({ firing: [sampleAlert(1, { labels })] }))
    expect(alerts[0]?.labels).toEqual({ alertname: 'X' })
  })

  it('waits as long as it is told to', async () => {
    server.reply = 'hang'
    const integration = integrationOf({ webhook: webhookConfig(server.origin, { timeoutMs: 40 }) })
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({
      kind: 'retry',
      reason: 'timeout',
    })
    await integration.close()
  })
})
