// Mail to owners as the service puts it together, with a mail server on a real socket.

import { expect, it, onTestFinished } from 'vitest'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { fingerprint } from '../src/alerts/fingerprint.ts'
import { nobody } from '../src/alerts/labels.ts'
import { systemClock } from '../src/clock.ts'
import { startMailInbox } from '../src/demo/mail-inbox.ts'
import { createRouter } from '../src/notify/route.ts'
import { createSuppression } from '../src/notify/suppression.ts'
import { loadRules } from '../src/rules/rule-file.ts'
import { openSelfService } from '../src/self-service.ts'
import { parseAlerting } from './config/parse.ts'
import { createManualClock } from './manual-clock.ts'
import { createMemoryOwnerStore } from './owners/memory-owner-store.ts'
import { device, user } from './rules/sample.ts'

const minute = 60_000
const subject = { kind: 'device', userId: 'u1', deviceType: 'heat_pump', deviceId: 'd1' } as const
const rules = loadRules([
  {
    file: 'rules.yaml',
    text: `
groups:
  - name: connection
    rules:
      - alert: DeviceLost
        device_types: [heat_pump]
        expr: "!device.is_authenticated"
        self_service: true
        labels: {severity: warning, area: connection}
        annotations: {summary: lost}
`,
  },
])

/** One owner whose device has just been lost, and who is due at once, in a process that may have lost its lease. */
async function begin() {
  const inbox = await startMailInbox({ clock: systemClock })
  const config = await parseAlerting(
    `
global: {smtp_smarthost: '${inbox.host}:${inbox.port}', smtp_from: 'Stadtwerke <service@stadtwerke.example>'}
route: {receiver: owners}
receivers:
  - name: owners
    owner_configs: [{after: 0s, quiet_hours: false, company: {name: Stadtwerke}}]
`,
    {
      more: `http: {public_url: 'https://fleet.example.com'}
links: {signing_key: a-signing-key-of-more-than-32-characters}`,
    },
  )
  const clock = createManualClock(Date.UTC(2026, 5, 1, 10))
  const store = createMemoryOwnerStore()
  const book = await openAlertBook(store, { downMs: 0 })
  const labels = { alertname: 'DeviceLost', severity: 'warning', user_id: 'u1', device_id: 'd1' }
  book.evaluate({
    ruleId: 'connection/DeviceLost',
    subject,
    evaluation: { at: clock.now(), verdict: true, clear: null },
    timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
    definition: 'v1',
    birth: () => ({
      ...{ ruleId: 'connection/DeviceLost', subject, labels, definition: 'v1', annotations: {} },
      ...{ affected: nobody, fingerprint: fingerprint(labels) },
      episode: '00000000-0000-4000-8000-000000000001',
    }),
  })
  await book.commit()

  const lease = { isHeld: false }
  const log: string[] = []
  const service = await openSelfService({
    ...{ config, rules, book, store, clock },
    alerting: {
      router: () => createRouter(config.alerting.route),
      suppression: createSuppression({
        ...{ inhibitedBy: () => [], mutedBy: () => [], silencedBy: () => [] },
        ...{ heldFor: () => null, acknowledgementOf: () => null },
      }),
    },
    client: {
      user: async () => user({ id: 'u1', role: 'user', email: 'anna@home.example', country: 'AT' }),
    },
    async recheck() {
      const read = device({ id: 'd1', manufacturer: 'Daikin', is_authenticated: false })
      return { kind: 'read', reading: { device: read, observedAt: clock.now() } }
    },
    linkFor: async () => 'https://fleet.example.com/r/token',
    record: async () => {},
    maySend: () => lease.isHeld,
    events: {
      onSent: () => void log.push('sent'),
      onFailure: (_, { reason, isFinal }) => void log.push(`${isFinal ? 'refused' : 'retry'}: ${reason}`),
      onSkipped: (_, reason) => void log.push(`skipped: ${reason}`),
      onHandedOver: (_, reason) => void log.push(`staff: ${reason}`),
      onStorageError: (error) => void log.push(`not saved: ${error}`),
      onFault: (error) => void log.push(`fault: ${error}`),
    },
  })
  const stop = new AbortController()
  const running = service.run(stop.signal, () => true)
  onTestFinished(async () => {
    stop.abort()
    await running
    await inbox.close()
  })
  return { clock, lease, log, service, config, mails: () => inbox.messages.items() }
}

it('writes to nobody while it is not sure that it leads, and once it is', async () => {
  const { clock, lease, log, mails } = await begin()
  await expect.poll(() => log).toEqual(['retry: another process may have taken over'])
  await clock.advance(30 * minute)
  expect(new Set(log)).toEqual(new Set(['retry: another process may have taken over']))
  expect(mails()).toEqual([])
  lease.isHeld = true
  await clock.advance(60 * minute)
  await expect.poll(() => log.at(-1)).toBe('sent')
  expect(mails().map(({ recipients }) => recipients)).toEqual([['anna@home.example']])
})

it('asks whether it leads after a reload, too', async () => {
  const { clock, log, mails, service, config } = await begin()
  const receivers = config.alerting.receivers.map((receiver) => ({
    ...receiver,
    owner: receiver.owner.map((each) => ({ ...each, everyMs: each.everyMs + minute })),
  }))
  await expect.poll(() => log).toHaveLength(1)
  service.reconfigure({ config: { ...config, alerting: { ...config.alerting, receivers } }, rules })
  await clock.advance(5 * minute)
  await expect.poll(() => log.length).toBeGreaterThan(1)
  expect(new Set(log)).toEqual(new Set(['retry: another process may have taken over']))
  expect(mails()).toEqual([])
})
