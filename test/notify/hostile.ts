// What a partner's data, a rule's author or a customer could put into a message.

import fc from 'fast-check'
import type { Alert } from '../../src/alerts/alert.ts'
import type { AlertLink, Notification } from '../../src/notify/notification.ts'
import { noon, resolvedAlert, sampleAlert, sampleNotification } from './sample.ts'

export const nasty = [
  '<!channel>',
  '<!here|x> & <@U123> <#C1|general>',
  '<https://evil.example|click>',
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  'a\r\nBcc: victim@example.com\r\n\r\nbody',
  '.\r\n.\r\nMAIL FROM:<x@y.z>',
  '😱'.repeat(2_500),
  '&'.repeat(2_000),
  '*bold* _it_ ~no~ `code` ```',
  '\u202egnp.exe\u2066',
  '\ud800 lone \udfff',
  '',
  ' ',
  '\0',
] as const

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc.array(fc.constantFrom(...nasty), { maxLength: 4 }).map((parts) => parts.join('')),
)

const hostileUrl = fc.oneof(
  fc.constantFrom(
    'javascript:alert(1)',
    'https://a.example/?x=<b>|y "z" \'q\'',
    `https://a.example/?${'a&'.repeat(900)}`,
    'https://user:password@a.example/',
    'not a url',
  ),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  hostileText.map((text) => `https://a.example/${text}`),
)

const hostileChanges: fc.Arbitrary<Partial<Alert>> = fc.record({
  labels: fc.record({
    alertname: hostileText,
    severity: hostileText,
    manufacturer: hostileText,
    device_type: hostileText,
  }),
  annotations: fc.record({ summary: hostileText, description: hostileText, runbook_url: hostileUrl }),
  affected: fc.record({
    externalUserId: fc.option(hostileText),
    name: fc.option(hostileText),
    email: fc.option(hostileText),
    model: fc.option(hostileText),
  }),
  subject: fc.oneof(
    fc.constant({ kind: 'fleet', group: 'x' } as const),
    hostileText.map((userId) => ({ kind: 'user', userId }) as const),
    fc
      .tuple(hostileText, hostileText)
      .map(([userId, deviceId]) => ({ kind: 'device', userId, deviceId, deviceType: 'inverter' }) as const),
  ),
})

export interface HostileCase {
  readonly notification: Notification
  readonly link: AlertLink | null
}

export const hostileCase: fc.Arbitrary<HostileCase> = fc
  .record({
    firing: fc.array(hostileChanges, { maxLength: 14 }),
    resolved: fc.array(hostileChanges, { maxLength: 14 }),
    groupLabels: fc.dictionary(hostileText, hostileText, { maxKeys: 3 }),
    reason: fc.constantFrom<Notification['reason']>(
      'first notification',
      'new alerts',
      'some resolved',
      'all resolved',
      'repeat',
      'resolved before delivery',
    ),
    link: fc.option(
      fc.record({
        url: hostileUrl,
        validUntil: fc.option(fc.constantFrom(noon, Number.NaN, 1e20, -1, noon + 86_400_000 * 400)),
      }),
    ),
  })
  .filter(({ firing, resolved }) => firing.length + resolved.length > 0)
  .map(({ firing, resolved, groupLabels, reason, link }) => ({
    notification: sampleNotification({
      firing: firing.map((changes, index) => sampleAlert(index + 1, changes)),
      resolved: resolved.map((changes, index) => resolvedAlert(index + 30, changes)),
      groupLabels,
      reason,
    }),
    link,
  }))
