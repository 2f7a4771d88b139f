// The weekly list of docs/back-office.md, as it stands there, marched through three weeks.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openAlerting } from '../src/alerting.ts'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { fingerprint } from '../src/alerts/fingerprint.ts'
import { parseConfig } from '../src/config.ts'
import type { Integration } from '../src/notify/notification.ts'
import { openSqlite } from '../src/storage/sqlite.ts'
import { createManualClock } from './manual-clock.ts'
import { root } from './scenarios/harness.ts'

const minute = 60_000
const day = 24 * 60 * minute
/** A Wednesday, at noon in Vienna. */
const wednesday = Date.UTC(2026, 0, 7, 11)

it('tells once a week what is to be tidied up, and nothing in between', async () => {
  const page = await readFile(join(root, 'docs/back-office.md'), 'utf8')
  const [, example = ''] = /^```yaml\n(alerting:.*?)^```/ms.exec(page) ?? []
  const partner = 'partner: {base_url: "https://p.example/api", token: t}\n'
  const mail = example.replace(
    '  route:',
    "  global: {smtp_smarthost: 'm:25', smtp_from: f@example.com}\n  route:",
  )
  const config = await parseConfig({
    file: 'f.yaml',
    text: partner + mail,
    env: {},
    readFile: async () => '',
    glob: async (pattern) => [pattern],
  })

  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-digest-'))
  const storage = await openSqlite({ path: join(folder, 'state.db') })
  const clock = createManualClock(wednesday)
  const book = await openAlertBook(storage, { downMs: 0 })
  const told: string[] = []
  const quality: Integration = {
    receiver: 'data-quality',
    kind: 'email',
    index: 0,
    sendResolved: config.alerting.receivers[1]?.email[0]?.sendResolved ?? true,
    minimumSpacingMs: 0,
    send: async ({ firing, resolved }) => {
      const at = new Date(clock.now()).toLocaleString('de-AT', {
        timeZone: 'Europe/Vienna',
        weekday: 'short',
        day: 'numeric',
        hour: 'numeric',
      })
      told.push(`${at}: ${firing.map(({ labels }) => labels['user_id']).sort()} ${resolved.length}`)
      return { kind: 'ok' }
    },
    close: async () => {},
  }
  const silent = () => {}
  const { dispatcher } = await openAlerting({
    config,
    integrations: [quality],
    book,
    store: storage,
    clock,
    newId: () => 'id',
    linkFor: async () => null,
    events: {
      dispatcher: {
        onAttempt: silent,
        onDelivered: silent,
        onFailure: silent,
        onWithheld: silent,
        onDropped: silent,
        onStorageError: (error) => {
          throw error
        },
      },
      onUnreadableSilence: silent,
    },
  })
  const stop = new AbortController()
  dispatcher.enable()
  const running = dispatcher.run(stop.signal)
  onTestFinished(async () => {
    stop.abort()
    await clock.advance(0)
    await running
    await storage.close()
    await rm(folder, { recursive: true })
  })

  async function set(userId: string, verdict: boolean): Promise<void> {
    const labels = { alertname: 'UserWithoutContact', area: 'customer_data', user_id: userId }
    book.evaluate({
      ruleId: 'users/UserWithoutContact',
      subject: { kind: 'user', userId },
      evaluation: { at: clock.now(), verdict, clear: null },
      timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
      definition: 'v1',
      birth: () => ({
        fingerprint: fingerprint(labels),
        ruleId: 'users/UserWithoutContact',
        definition: 'v1',
        subject: { kind: 'user', userId },
        labels,
        annotations: {},
        affected: { externalUserId: null, name: null, email: null, model: null },
        episode: `${userId} ${clock.now()}`,
      }),
    })
    await book.commit()
    dispatcher.wake()
  }

  await set('ada', true)
  await set('bob', true)
  await clock.advance(4 * day)
  expect(told).toEqual([])
  await clock.advance(2 * day)
  expect(told).toEqual(['Mo., 12., 08 Uhr: ada,bob 0'])
  // Tidied up, and somebody new, in the middle of the week.
  await set('ada', false)
  await set('cleo', true)
  await clock.advance(7 * day)
  // Nothing new since.
  await clock.advance(7 * day)
  expect(told.slice(1)).toEqual(['Mo., 19., 08 Uhr: bob,cleo 0', 'Mo., 26., 08 Uhr: bob,cleo 0'])
})
