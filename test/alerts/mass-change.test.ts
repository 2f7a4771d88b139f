import { beforeEach, describe, expect, it } from 'vitest'
import type { Alert } from '../../src/alerts/alert.ts'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import { createMassChangeGuard, type MassChangeGuard } from '../../src/alerts/mass-change.ts'
import { createRaise } from '../../src/alerts/raise.ts'
import type { AlertStore } from '../../src/alerts/store.ts'

const minute = 60_000
const limits = { share: 0.1, minimum: 5, holdMs: 15 * minute }

let rows: Map<string, Alert>
let book: AlertBook
let guard: MassChangeGuard
let inhibited: boolean
let acknowledged: boolean

const store: AlertStore = {
  loadAlerts: async () => [...rows.values()],
  async saveAlerts({ upserts, deletedKeys }) {
    for (const alert of upserts) rows.set(alert.key, alert)
    for (const key of deletedKeys) rows.delete(key)
  },
}

async function open(): Promise<void> {
  book = await openAlertBook(store, { downMs: 0 })
  let episodes = 0
  guard = createMassChangeGuard({
    book,
    raise: createRaise(book, () => `episode ${++episodes}`),
    limits: () => limits,
    isHeldBack: () => inhibited,
    isAcknowledged: () => acknowledged,
  })
}

/** Devices begin to fire, one alert each. */
async function fire(count: number, at: number, first = 0): Promise<void> {
  for (let n = first; n < first + count; n++) {
    const labels = { alertname: 'DeviceUnauthenticated', device_id: String(n) }
    const subject = { kind: 'device', userId: `u${n}`, deviceType: 'inverter', deviceId: String(n) } as const
    book.evaluate({
      ruleId: 'a/DeviceUnauthenticated',
      subject,
      evaluation: { at, verdict: true, clear: null },
      timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
      definition: 'v1',
      birth: () => ({
        fingerprint: fingerprint(labels),
        ruleId: 'a/DeviceUnauthenticated',
        definition: 'v1',
        subject,
        labels,
        annotations: {},
        affected: { externalUserId: null, name: null, email: null, model: null },
        episode: `${n} ${at}`,
      }),
    })
  }
  await book.commit()
}

async function walkEnds(at: number, devices = 100): Promise<void> {
  guard.end(at, devices)
  await book.commit()
}

function device(n: number): Alert {
  const alert = [...book.all()].find(({ labels }) => labels['device_id'] === String(n))
  if (alert === undefined) throw new Error(`no alert about device ${n}`)
  return alert
}

function massChange(): Alert | undefined {
  return [...book.all()].find(({ labels }) => labels['alertname'] === 'MassChange')
}

beforeEach(async () => {
  rows = new Map()
  inhibited = false
  acknowledged = false
  await open()
})

describe('while a walk runs', () => {
  it('what newly fires waits for its end, what fired before does not', async () => {
    await fire(1, 0)
    guard.begin(10)
    await fire(1, 20, 1)
    expect(guard.heldFor(device(0), 30)).toBeNull()
    expect(guard.heldFor(device(1), 30)).toBe('walk')
    await walkEnds(40)
    expect(guard.heldFor(device(1), 40)).toBeNull()
  })

  it('nothing waits for more than five minutes, nor after a walk that was stopped', async () => {
    guard.begin(0)
    await fire(1, 10)
    expect(guard.heldFor(device(0), 5 * minute - 1)).toBe('walk')
    expect(guard.heldFor(device(0), 5 * minute)).toBeNull()
    guard.abandon()
    expect(guard.heldFor(device(0), 20)).toBeNull()
  })
})

describe('a mass change', () => {
  it('is told as one alert, and holds back what newly fired until its time is over', async () => {
    guard.begin(0)
    await fire(10, 10)
    await walkEnds(minute)
    expect(massChange()?.annotations['summary']).toBe(
      '10 alerts would newly fire at once, of 100 devices: 10 DeviceUnauthenticated',
    )
    expect(guard.heldFor(device(0), 16 * minute - 1)).toBe('mass change')
    expect(guard.heldFor(device(0), 16 * minute)).toBeNull()
    guard.tend(16 * minute)
    await book.commit()
    expect(massChange()?.state).toBe('resolved')
  })

  it('is over when somebody acknowledges it', async () => {
    guard.begin(0)
    await fire(10, 10)
    await walkEnds(minute)
    acknowledged = true
    expect(guard.heldFor(device(0), 2 * minute)).toBeNull()
    guard.tend(2 * minute)
    await book.commit()
    expect(massChange()?.state).toBe('resolved')
  })

  it.each([
    ['fewer than the minimum', 4, 10],
    ['less than the share', 9, 100],
  ])('is not %s', async (_name, alerts, devices) => {
    guard.begin(0)
    await fire(alerts, 10)
    await walkEnds(minute, devices)
    expect(massChange()).toBeUndefined()
    expect(guard.heldFor(device(0), minute)).toBeNull()
  })

  it('is not what something inhibits: that tells nobody anything', async () => {
    inhibited = true
    guard.begin(0)
    await fire(50, 10)
    await walkEnds(minute)
    expect(massChange()).toBeUndefined()
  })

  it('is not what fired before the walk', async () => {
    await fire(50, 0)
    guard.begin(10)
    await walkEnds(minute)
    expect(massChange()).toBeUndefined()
  })

  it('goes on after a restart, and takes in what fires meanwhile', async () => {
    guard.begin(0)
    await fire(10, 10)
    await walkEnds(minute)
    await open()
    await fire(1, 3 * minute, 10)
    expect(guard.heldFor(device(0), 4 * minute)).toBe('mass change')
    expect(guard.heldFor(device(10), 4 * minute)).toBe('mass change')
    const fleet = massChange()
    expect(fleet !== undefined && guard.heldFor(fleet, 4 * minute)).toBeNull()
  })

  it('is also what rechecks find between two walks, and what was let go counts no more', async () => {
    guard.begin(0)
    await walkEnds(minute)
    await fire(9, 2 * minute)
    guard.tend(2 * minute)
    await book.commit()
    expect(massChange()).toBeUndefined()
    await fire(3, 4 * minute, 9)
    guard.tend(4 * minute)
    await book.commit()
    expect(guard.heldFor(device(11), 5 * minute)).toBe('mass change')
    guard.tend(19 * minute)
    await book.commit()
    guard.tend(20 * minute)
    await book.commit()
    expect(massChange()?.state).toBe('resolved')
    expect(guard.heldFor(device(11), 20 * minute)).toBeNull()
  })
})
