import { describe, expect, it } from 'vitest'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { createEvaluator } from '../../src/alerts/evaluation.ts'
import type { AbsentDevice, UnreadDevices, UserReading } from '../../src/fleet/reading.ts'
import { decodeDevice, decodeUser } from '../../src/partner/decode.ts'
import { Malformed } from '../../src/partner/json-array-stream.ts'
import { loadRules } from '../../src/rules/rule-file.ts'

const minute = 60_000
const startAt = Date.UTC(2026, 0, 1)
const rules = loadRules([
  {
    file: 'test.yaml',
    text: `
groups:
  - name: test
    rules:
      - alert: Lost
        expr: "!device.is_authenticated"
        for: 1h
        labels: {severity: warning}
`,
  },
])

function device(at: number, isAuthenticated: boolean) {
  const record = { id: 'd1', is_authenticated: isAuthenticated }
  const source = { type: 'inverter', observedAt: at, isSingle: true, onOddField: () => {} } as const
  const decoded = decodeDevice(record, source)
  if (decoded instanceof Malformed) throw new Error(decoded.reason)
  return { device: decoded, observedAt: at }
}

function user() {
  const decoded = decodeUser({ id: 'u1', role: 'user', email: 'a@example.com' }, () => {})
  if (decoded instanceof Malformed) throw new Error(decoded.reason)
  return decoded
}

function reading(
  at: { list: number; devices: number },
  found: { devices?: UserReading['devices']; unread?: UnreadDevices[]; absent?: AbsentDevice[] },
): UserReading {
  return {
    user: user(),
    observedAt: at.list,
    readAt: at.devices,
    devices: found.devices ?? [],
    unread: found.unread ?? [],
    absent: found.absent ?? [],
    contractsUnread: null,
  }
}

async function begin(): Promise<{ book: AlertBook; evaluator: ReturnType<typeof createEvaluator> }> {
  const book = await openAlertBook({ loadAlerts: async () => [], saveAlerts: async () => {} }, { downMs: 0 })
  return { book, evaluator: createEvaluator({ rules, book, newEpisode: () => 'e', onUnknown: () => {} }) }
}

describe('a device that is unread or absent in a long walk', () => {
  const found = {
    unread: { unread: [{ deviceType: 'inverter', deviceId: null, reason: 'timeout' }] },
    absent: { absent: [{ deviceType: 'inverter', deviceId: 'd1', state: 'missing' }] },
  } satisfies Record<string, { unread?: UnreadDevices[]; absent?: AbsentDevice[] }>

  it.each(['unread', 'absent'] as const)(
    'is %s at the moment at which it was looked for, not at that of the user list',
    async (what) => {
      const { book, evaluator } = await begin()
      evaluator.device(user(), device(startAt, false))
      await book.commit()
      evaluator.device(user(), device(startAt + 29 * minute, false))
      await book.commit()
      const at = { list: startAt + minute, devices: startAt + 30 * minute }
      evaluator.user(reading(at, found[what]), evaluator.beginWalk())
      await book.commit()
      // One minute of which nothing is known; from the list's moment it would look like a clock set back.
      expect([...book.all()]).toMatchObject([
        { state: 'pending', activeAt: startAt + minute, evaluatedAt: startAt + 30 * minute },
      ])
    },
  )
})

it('ends the alerts of a rule that a reload removes during a walk as those of a removed rule', async () => {
  const { book, evaluator } = await begin()
  evaluator.device(user(), device(startAt, false))
  evaluator.device(user(), device(startAt + 60 * minute, false))
  await book.commit()
  evaluator.reload(loadRules([{ file: 'test.yaml', text: 'groups: []\n' }]))
  evaluator.device(user(), device(startAt + 61 * minute, false))
  await book.commit()
  expect([...book.all()].map(({ state, resolvedReason }) => [state, resolvedReason])).toEqual([
    ['resolved', 'rule_removed'],
  ])
})
