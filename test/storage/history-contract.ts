// What every database must do with the history of alerts.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HistoryChange, HistoryWhat } from '../../src/alerts/history.ts'
import type { Storage } from '../../src/storage/storage.ts'

const fired: HistoryWhat = { kind: 'state', state: 'firing', reason: 'condition' }
const resolved: HistoryWhat = { kind: 'state', state: 'resolved', reason: 'device_deleted' }
const told: Extract<HistoryWhat, { kind: 'told' }> = {
  ...{ kind: 'told', status: 'firing', reason: 'first notification' },
  ...{ receiver: 'on-call', integration: 'slack/0' },
}

export function describeHistoryStore({
  store,
  reopen,
}: {
  readonly store: () => Storage
  readonly reopen: () => Promise<void>
}): void {
  const add = (
    what: HistoryWhat,
    at: number,
    changes: Partial<Extract<HistoryChange, { kind: 'add' }>> = {},
  ) => ({ kind: 'add', fingerprint: 'f1', episode: 'e1', userId: 'u1', what, at, ...changes }) as const

  describe('the history of alerts', () => {
    it('comes back after a restart as it happened, each kind of event once', async () => {
      await store().saveHistory([add(told, 2_000.5), add(fired, 1_000), add(resolved, 9_000)])
      await store().saveHistory([add(told, 5_000), add(told, 4_000), add(fired, 3_000, { episode: 'e2' })])
      await reopen()
      expect(await store().loadHistory('f1')).toEqual([
        { episode: 'e1', what: fired, firstAt: 1_000, lastAt: 1_000, times: 1 },
        { episode: 'e1', what: told, firstAt: 2_000.5, lastAt: 5_000, times: 3 },
        { episode: 'e2', what: fired, firstAt: 3_000, lastAt: 3_000, times: 1 },
        { episode: 'e1', what: resolved, firstAt: 9_000, lastAt: 9_000, times: 1 },
      ])
      expect(await store().loadHistory('f2')).toEqual([])
    })

    it('keeps any text', async () => {
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
          const what: HistoryWhat = { ...told, reason: text, receiver: text, integration: text }
          await store().saveHistory([
            { kind: 'remove', fingerprint: 'f1', before: Number.POSITIVE_INFINITY },
            add(what, 1),
            add(what, 2),
          ])
          expect(await store().loadHistory('f1')).toEqual([
            { episode: 'e1', what, firstAt: 1, lastAt: 2, times: 2 },
          ])
        }),
        { numRuns: 25 },
      )
    })

    it('is removed by alert and age, in the order of the changes', async () => {
      await store().saveHistory([
        add(fired, 1_000),
        add(told, 2_000),
        { kind: 'remove', fingerprint: 'f1', before: 2_000 },
        add(fired, 5_000, { episode: 'e2' }),
        add(fired, 1, { fingerprint: 'f2' }),
      ])
      expect((await store().loadHistory('f1')).map(({ firstAt }) => firstAt)).toEqual([2_000, 5_000])
      await store().saveHistory([{ kind: 'remove', fingerprint: 'f1', before: Number.POSITIVE_INFINITY }])
      expect(await store().loadHistory('f1')).toEqual([])
      expect(await store().loadHistory('f2')).toHaveLength(1)
    })

    it('forgets a user, and nobody else', async () => {
      await store().saveHistory([
        add(fired, 1),
        add(told, 2, { fingerprint: 'f2' }),
        add(fired, 3, { fingerprint: 'f3', userId: 'u2' }),
        add(fired, 4, { fingerprint: 'f4', userId: null }),
      ])
      expect(await store().countHistory('u1')).toBe(2)
      expect(await store().forgetHistory('u1')).toBe(2)
      expect(await store().countHistory('u1')).toBe(0)
      await reopen()
      expect(await store().loadHistory('f1')).toEqual([])
      expect(await store().loadHistory('f3')).toHaveLength(1)
      expect(await store().loadHistory('f4')).toHaveLength(1)
    })

    it('is saved all or none', async () => {
      const bad = { ...add(fired, 2), at: Number.NaN }
      await expect(store().saveHistory([add(fired, 1), bad])).rejects.toThrow()
      expect(await store().loadHistory('f1')).toEqual([])
      await store().saveHistory([add(fired, 1)])
      expect(await store().loadHistory('f1')).toHaveLength(1)
    })
  })
}
