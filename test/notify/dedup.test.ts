import { describe, expect, it } from 'vitest'
import { decide, type GroupState } from '../../src/notify/dedup.ts'
import type { DedupEntry, OutboxRow } from '../../src/notify/store.ts'

const place = { groupKey: 'g', integrationKey: 'r/slack/0' }
const policy = {
  sendResolved: true,
  repeatIntervalMs: 100,
  tellWhenSilenceEnded: true,
  remindAcknowledgedMs: 500,
}

/** A group in which nothing is held back. */
const quiet = {
  ...{ silenced: [], withheld: [], resolvedSilenced: [], acknowledged: [] },
  ...{ flapping: [], flappingSince: null },
}

function entry(firing: readonly string[], at = 0): DedupEntry {
  return { ...place, at, firing, resolved: [], silenced: [], receiverData: null }
}

function waiting(firing: readonly string[], resolved: readonly string[] = [], attempts = 1): OutboxRow {
  return {
    ...place,
    reason: 'first notification',
    at: 0,
    firstDecidedAt: 0,
    firing,
    resolved,
    delivered: [],
    attempts,
    nextAttemptAt: 0,
    receiverData: null,
  }
}

function decision(
  firing: readonly string[],
  resolved: readonly string[],
  told: { entry?: DedupEntry; undelivered?: OutboxRow } = {},
  options: Partial<GroupState> & { sendResolved?: boolean; tellWhenSilenceEnded?: boolean } = {},
) {
  const { sendResolved = true, tellWhenSilenceEnded = true, ...state } = options
  return decide(
    { ...quiet, at: 50, firing, resolved, ...state },
    { entry: told.entry, undelivered: told.undelivered },
    { ...policy, sendResolved, tellWhenSilenceEnded },
  )
}

describe('whether a group is worth a message', () => {
  it('is the first time anything fires, and not when it resolved before anybody was told', () => {
    expect(decision(['a'], [])).toEqual({
      kind: 'send',
      reason: 'first notification',
      firing: ['a'],
      resolved: [],
    })
    expect(decision([], ['a'])).toEqual({ kind: 'nothing' })
  })

  it('is when a member fires that was not told, and not when one merely left', () => {
    expect(decision(['a', 'b'], [], { entry: entry(['a']) })).toMatchObject({ reason: 'new alerts' })
    expect(decision(['a'], [], { entry: entry(['a', 'b']) })).toEqual({ kind: 'nothing' })
  })

  it('tells a resolution only of what was told as firing', () => {
    expect(decision(['a'], ['b', 'c'], { entry: entry(['a', 'b']) })).toEqual({
      kind: 'send',
      reason: 'some resolved',
      firing: ['a'],
      resolved: ['b'],
    })
    expect(decision([], ['a', 'c'], { entry: entry(['a']) })).toMatchObject({
      reason: 'all resolved',
      resolved: ['a'],
    })
    expect(decision(['a'], ['c'], { entry: entry(['a']) })).toEqual({ kind: 'nothing' })
  })

  it('remembers instead of telling where send_resolved is off', () => {
    const off = { sendResolved: false }
    expect(decision([], ['a'], { entry: entry(['a']) }, off)).toEqual({
      kind: 'remember',
      firing: [],
      silenced: [],
    })
    expect(decision(['b'], ['a'], { entry: entry(['a', 'b']) }, off)).toEqual({
      kind: 'remember',
      firing: ['b'],
      silenced: [],
    })
    expect(decision(['b', 'c'], ['a'], { entry: entry(['a', 'b']) }, off)).toMatchObject({
      reason: 'new alerts',
      resolved: [],
    })
  })

  it('repeats at the tick at which the interval has passed, not one later', () => {
    expect(decision(['a'], [], { entry: entry(['a'], 0) }, { at: 99 })).toEqual({ kind: 'nothing' })
    expect(decision(['a'], [], { entry: entry(['a'], 0) }, { at: 100 })).toMatchObject({ reason: 'repeat' })
    expect(decision([], ['a'], { entry: entry([], 0) }, { at: 100 })).toEqual({ kind: 'nothing' })
  })
})

describe('while an earlier message is undelivered', () => {
  it('lets it stand as long as it says what is so', () => {
    expect(decision(['a', 'b'], [], { undelivered: waiting(['b', 'a']) })).toEqual({ kind: 'wait' })
  })

  it('replaces it by what is so now, still as the first one', () => {
    expect(decision(['a', 'b'], [], { undelivered: waiting(['a']) })).toEqual({
      kind: 'send',
      reason: 'first notification',
      firing: ['a', 'b'],
      resolved: [],
    })
  })

  it('tells what fired and resolved meanwhile once, even where send_resolved is off', () => {
    const expected = { kind: 'send', reason: 'resolved before delivery', firing: [], resolved: ['a'] }
    expect(decision([], ['a'], { undelivered: waiting(['a']) })).toEqual(expected)
    expect(decision([], ['a'], { undelivered: waiting(['a']) }, { sendResolved: false })).toEqual(expected)
  })

  it('keeps it through a second failure and later members', () => {
    const second = decision(['b'], ['a'], { undelivered: waiting(['a']) })
    expect(second).toMatchObject({ firing: ['b'], resolved: ['a'] })
    expect(decision(['c'], ['a', 'b'], { undelivered: waiting(['b'], ['a']) })).toMatchObject({
      firing: ['c'],
      resolved: ['a', 'b'],
    })
  })

  it('tells it as firing again after a resolution that may have arrived', () => {
    const told = { entry: entry(['a', 'b']), undelivered: waiting(['b'], ['a'], 1) }
    expect(decision(['a', 'b'], [], told)).toMatchObject({ reason: 'new alerts' })
    expect(decision(['a', 'b'], [], { ...told, undelivered: waiting(['b'], ['a'], 0) })).toEqual({
      kind: 'nothing',
    })
  })
})

describe('what is held back', () => {
  it('is told to nobody, and is still known by whoever was told before', () => {
    expect(decision([], [], {}, { silenced: ['a'] })).toEqual({ kind: 'nothing' })
    expect(decision([], [], { entry: entry(['a']) }, { withheld: ['a'] })).toEqual({ kind: 'nothing' })
    expect(decision(['b'], [], { entry: entry(['a']) }, { withheld: ['a'] })).toMatchObject({
      reason: 'new alerts',
      firing: ['b'],
    })
    expect(decision(['a'], [], { entry: entry(['a']) })).toEqual({ kind: 'nothing' })
  })

  it('is told when its silence ends before it does, once, if that is wanted', () => {
    const first = decision([], [], { entry: entry(['a']) }, { silenced: ['a'] })
    expect(first).toEqual({ kind: 'remember', firing: ['a'], silenced: ['a'] })
    const silenced = { ...entry(['a']), silenced: ['a'] }
    expect(decision([], [], { entry: silenced }, { silenced: ['a'] })).toEqual({ kind: 'nothing' })
    expect(decision(['a'], [], { entry: silenced })).toMatchObject({ reason: 'silence ended', firing: ['a'] })
    expect(decision(['a'], [], { entry: silenced }, { tellWhenSilenceEnded: false })).toEqual({
      kind: 'remember',
      firing: ['a'],
      silenced: [],
    })
  })

  it('keeps that memory while something else holds it back after the silence', () => {
    const silenced = { ...entry(['a']), silenced: ['a'] }
    expect(decision([], [], { entry: silenced }, { withheld: ['a'] })).toEqual({ kind: 'nothing' })
    expect(decision(['a'], [], { entry: silenced })).toMatchObject({ reason: 'silence ended' })
  })

  it('is told when it resolves, quietly where a silence holds it back', () => {
    expect(decision([], ['a'], { entry: entry(['a']) }, { resolvedSilenced: ['a'] })).toMatchObject({
      reason: 'resolved while silenced',
      resolved: ['a'],
    })
    expect(decision([], ['a'], { entry: entry(['a', 'b']) }, { withheld: ['b'] })).toMatchObject({
      reason: 'some resolved',
      resolved: ['a'],
    })
    expect(decision([], ['a'], {}, { resolvedSilenced: ['a'] })).toEqual({ kind: 'nothing' })
  })
})

describe('what somebody looks after', () => {
  it('is not repeated, and is brought to mind after a longer while', () => {
    const told = { entry: entry(['a']) }
    expect(decision(['a'], [], told, { at: 100 })).toMatchObject({ reason: 'repeat' })
    expect(decision(['a'], [], told, { at: 100, acknowledged: ['a'] })).toEqual({ kind: 'nothing' })
    expect(decision(['a'], [], told, { at: 500, acknowledged: ['a'] })).toMatchObject({
      reason: 'acknowledged reminder',
    })
  })

  it('does not keep others of its group from being told or repeated', () => {
    const told = { entry: entry(['a', 'b']) }
    expect(decision(['a', 'b'], [], told, { at: 100, acknowledged: ['a'] })).toMatchObject({
      reason: 'repeat',
    })
    expect(decision(['a', 'b'], [], { entry: entry(['a']) }, { at: 100, acknowledged: ['a'] })).toMatchObject(
      { reason: 'new alerts' },
    )
    expect(decision([], ['a'], { entry: entry(['a']) })).toMatchObject({ reason: 'all resolved' })
  })
})

it('tells once that alerts flap', () => {
  expect(decision(['a'], [], { entry: entry(['a'], 10) }, { flappingSince: 20 })).toMatchObject({
    reason: 'flapping',
  })
  expect(decision(['a'], [], { entry: entry(['a'], 20) }, { flappingSince: 20 })).toEqual({ kind: 'nothing' })
  // It began to flap by firing once more, after its end was told.
  const flaps = { flapping: ['a'], flappingSince: 20 }
  expect(decision(['a'], [], {}, flaps)).toMatchObject({ reason: 'flapping' })
  expect(decision(['a', 'b'], [], { entry: entry(['b']) }, flaps)).toMatchObject({ reason: 'flapping' })
  expect(decision(['a', 'b'], [], {}, flaps)).toMatchObject({ reason: 'first notification' })
})
