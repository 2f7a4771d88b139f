import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Alert } from '../../src/alerts/alert.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import {
  type AlertBirth,
  advance,
  afterDowntime,
  type Evaluation,
  end,
  type RuleTiming,
} from '../../src/alerts/lifecycle.ts'

const minute = 60_000
const startAt = Date.UTC(2026, 0, 1)
const timing: RuleTiming = { forMs: 5 * minute, keepFiringForMs: 3 * minute, noData: 'keep' }

let episodes = 0
function birth(): AlertBirth {
  return {
    fingerprint: '0'.repeat(16),
    ruleId: 'connection/DeviceUnauthenticated',
    definition: 'v1',
    subject: { kind: 'device', userId: 'u1', deviceType: 'heat_pump', deviceId: 'd1' },
    labels: { alertname: 'DeviceUnauthenticated' },
    annotations: {},
    affected: { externalUserId: null, name: null, email: null, model: null },
    episode: `episode ${++episodes}`,
  }
}

/** T true, F false, U unread, D deleted, M missing from the list; one letter a minute. */
function verdictOf(letter: string): Evaluation['verdict'] {
  const verdicts: Record<string, Evaluation['verdict']> = {
    T: true,
    F: false,
    U: 'poll_failed',
    M: 'device_missing',
    D: 'deleted',
    E: 'rule_error',
  }
  return verdicts[letter] as Evaluation['verdict']
}

interface Run {
  readonly states: readonly string[]
  readonly alert: Alert | undefined
}

function run(
  letters: string,
  options: { timing?: RuleTiming; from?: number; alert?: Alert | undefined } = {},
): Run {
  let alert = options.alert
  const states: string[] = []
  for (const [index, letter] of [...letters].entries()) {
    const at = startAt + ((options.from ?? 0) + index) * minute
    alert = advance(alert, { at, verdict: verdictOf(letter), clear: null }, options.timing ?? timing, birth)
    states.push(
      alert === undefined ? 'inactive' : alert.noData === null ? alert.state : `${alert.state}+noData`,
    )
  }
  return { states, alert }
}

/** Fired at minute 5, and the condition held to the minute before `at`. */
function firedUntil(at: number): Alert {
  const { alert, states } = run('T'.repeat(at))
  expect(states.at(-1)).toBe('firing')
  return alert as Alert
}

describe('the life of an alert', () => {
  it('is pending for `for`, then fires', () => {
    expect(run('TTTTTT').states).toEqual([...Array(5).fill('pending'), 'firing'])
  })

  it('never fires when the condition ends before `for` is over', () => {
    expect(run('TTTTF').states.at(-1)).toBe('inactive')
  })

  it('does not count unknown time towards `for`', () => {
    expect(run('TTTTUTT').states).toEqual([
      'pending',
      'pending',
      'pending',
      'pending',
      'pending+noData',
      'pending',
      'firing',
    ])
  })

  it('goes back to firing without a new episode when the condition returns while recovering', () => {
    const fired = firedUntil(10)
    const { states, alert } = run('FFT', { from: 10, alert: fired })
    expect(states).toEqual(['recovering', 'recovering', 'firing'])
    expect(alert).toMatchObject({ episode: fired.episode, firedAt: fired.firedAt, keepFiringSince: null })
  })

  it('resolves after the condition was false for `keep_firing_for`', () => {
    const { states, alert } = run('FFFF', { from: 10, alert: firedUntil(10) })
    expect(states).toEqual(['recovering', 'recovering', 'recovering', 'resolved'])
    expect(alert).toMatchObject({
      resolvedAt: startAt + 13 * minute,
      resolvedReason: 'condition',
      settled: false,
    })
  })

  it('keeps firing while the device could not be read, however long', () => {
    const { states } = run(`${'U'.repeat(60)}FFFF`, { from: 10, alert: firedUntil(10) })
    expect(new Set(states.slice(0, 60))).toEqual(new Set(['firing+noData']))
    expect(states.slice(60)).toEqual(['recovering', 'recovering', 'recovering', 'resolved'])
  })

  it('remembers since when and why it could not be read', () => {
    const { alert } = run('UUM', { from: 10, alert: firedUntil(10) })
    expect(alert?.noData).toEqual({ since: startAt + 10 * minute, reason: 'device_missing', evaluations: 3 })
  })

  it('stops the clock of recovering while unread', () => {
    const { states } = run('FUUFFF', { from: 10, alert: firedUntil(10) })
    expect(states).toEqual([
      'recovering',
      'recovering+noData',
      'recovering+noData',
      'recovering',
      'recovering',
      'resolved',
    ])
  })

  it('keeps firing while the device is missing from the list, and resolves as deleted when two polls say so', () => {
    const { states, alert } = run('MMDUD', { from: 10, alert: firedUntil(10) })
    expect(states).toEqual([...Array(4).fill('firing+noData'), 'resolved'])
    expect(alert?.resolvedReason).toBe('device_deleted')
  })

  it('does not believe a deletion that the next poll takes back', () => {
    const { states } = run('DTD', { from: 10, alert: firedUntil(10) })
    expect(states).toEqual(['firing+noData', 'firing', 'firing+noData'])
  })

  it('drops a pending alert of a deleted device without a word', () => {
    expect(run('TTDD').states.at(-1)).toBe('inactive')
  })

  it('fires and resolves in one evaluation each without `for` and `keep_firing_for`', () => {
    const atOnce = { forMs: 0, keepFiringForMs: 0, noData: 'keep' } as const
    expect(run('TF', { timing: atOnce }).states).toEqual(['firing', 'resolved'])
  })

  it('begins a new episode after it resolved', () => {
    const resolved = run('FFFF', { from: 10, alert: firedUntil(10) }).alert as Alert
    const { states, alert } = run('FUTTTTTT', { from: 14, alert: resolved })
    expect(states).toEqual(['resolved', 'resolved', ...Array(5).fill('pending'), 'firing'])
    expect(alert?.episode).not.toBe(resolved.episode)
    expect(alert?.resolvedAt).toBeNull()
  })

  it('counts missing data as the condition with `no_data: alerting`, and as its end with `ok`', () => {
    const alerting = { ...timing, noData: 'alerting' } as const
    expect(run('UUUUUU', { timing: alerting }).states.at(-1)).toBe('firing+noData')
    const ok = run('UUUU', { from: 10, alert: firedUntil(10), timing: { ...timing, noData: 'ok' } })
    expect(ok.alert).toMatchObject({ state: 'resolved', resolvedReason: 'no_data' })
  })

  it('never takes a failing rule for anything, whatever its policy', () => {
    for (const noData of ['alerting', 'ok', 'keep'] as const) {
      expect(run('EEEEEEE', { timing: { ...timing, noData } }).states.at(-1)).toBe('inactive')
      expect(
        run('EEEE', { from: 10, alert: firedUntil(10), timing: { ...timing, noData } }).states.at(-1),
      ).toBe('firing+noData')
    }
  })

  it('keeps its state between the firing and the clearing threshold', () => {
    let alert: Alert | undefined = firedUntil(10)
    const states: string[] = []
    for (const [index, clear] of [false, false, true, false, true, true, true].entries()) {
      alert = advance(alert, { at: startAt + (10 + index) * minute, verdict: false, clear }, timing, birth)
      states.push(alert?.state ?? 'inactive')
      expect(alert?.noData).toBeNull()
    }
    expect(states).toEqual([
      'firing',
      'firing',
      'recovering',
      'recovering',
      'recovering',
      'recovering',
      'resolved',
    ])
  })

  it('ignores a reading that is older than the last one', () => {
    const fired = firedUntil(10)
    expect(advance(fired, { at: fired.evaluatedAt - 1, verdict: false, clear: null }, timing, birth)).toBe(
      fired,
    )
    expect(advance(fired, { at: fired.evaluatedAt, verdict: false, clear: null }, timing, birth)).toBe(fired)
  })

  it('goes on when the clock of the machine was set back by hours, with the time it had', () => {
    const { alert } = run('TTT')
    const back = run('TTT', { from: -300, alert })
    expect(back.states).toEqual(['pending', 'pending', 'pending'])
    expect(run('T', { from: -297, alert: back.alert }).states).toEqual(['firing'])
  })

  describe('after somebody came back from resolving it', () => {
    const returnedAt = startAt + 10 * minute + 20_000
    const cameBack = (
      alert: Alert | undefined,
      verdict: Evaluation['verdict'],
      clear: Evaluation['clear'] = null,
    ) => advance(alert, { at: returnedAt + 40_000, verdict, clear, returnedAt }, timing, birth)

    it('resolves at once, without `keep_firing_for`, and knows since when', () => {
      expect(cameBack(firedUntil(10), false)).toMatchObject({
        state: 'resolved',
        resolvedAt: returnedAt + 40_000,
        resolvedReason: 'condition',
        reconnectedAt: returnedAt,
      })
    })

    it('resolves also when it was recovering', () => {
      const recovering = run('F', { from: 10, alert: firedUntil(10) }).alert
      expect(recovering?.state).toBe('recovering')
      expect(cameBack(recovering, false)).toMatchObject({ state: 'resolved', reconnectedAt: returnedAt })
    })

    it('goes on when the rule says that it still holds, cannot tell, or is not clear yet', () => {
      for (const [verdict, clear] of [
        [true, null],
        ['poll_failed', null],
        ['rule_error', null],
        [false, false],
        [false, 'missing_field'],
      ] as const) {
        expect(cameBack(firedUntil(10), verdict, clear)).toMatchObject({
          state: 'firing',
          reconnectedAt: null,
        })
      }
    })

    it('is not shortened by a reading from before the return', () => {
      const before = { at: returnedAt - 1, verdict: false, clear: null, returnedAt } as const
      expect(advance(firedUntil(10), before, timing, birth)).toMatchObject({ state: 'recovering' })
    })

    it('is not verified by the absence of data', () => {
      const ok = { ...timing, noData: 'ok' } as const
      const unread = { at: returnedAt + 1, verdict: 'poll_failed', clear: null, returnedAt } as const
      expect(advance(firedUntil(10), unread, ok, birth)).toMatchObject({ state: 'recovering' })
    })

    it('stays silent when it was only pending', () => {
      expect(cameBack(run('TT').alert, false)).toBeUndefined()
    })

    it('says nothing of it in the next episode, nor when it ends for another reason', () => {
      const resolved = cameBack(firedUntil(10), false) as Alert
      expect(run('TTTTTT', { from: 20, alert: resolved }).alert).toMatchObject({
        state: 'firing',
        reconnectedAt: null,
      })
      expect(end(firedUntil(10), returnedAt, 'manual')).toMatchObject({ reconnectedAt: null })
    })

    it('is held while it flaps', () => {
      const flapping = { windowMs: 60 * minute, high: 2, low: 1 }
      const held = { ...firedUntil(10), flappingSince: startAt, flips: [startAt, startAt + minute] }
      const evaluation = { at: returnedAt + 40_000, verdict: false, clear: null, returnedAt } as const
      expect(advance(held, evaluation, timing, birth, flapping)).toMatchObject({
        state: 'recovering',
        reconnectedAt: null,
      })
      // The end that marks it is not told either.
      const once = { ...firedUntil(10), flips: [startAt + 5 * minute] }
      expect(advance(once, evaluation, timing, birth, flapping)).toMatchObject({
        state: 'recovering',
        reconnectedAt: null,
        flappingSince: evaluation.at,
      })
    })
  })

  it('ends as told when its rule is removed, and silently while pending', () => {
    expect(end(firedUntil(10), startAt + 10 * minute, 'rule_removed')).toMatchObject({
      state: 'resolved',
      resolvedReason: 'rule_removed',
    })
    expect(end(run('TT').alert as Alert, startAt + 10 * minute, 'rule_removed')).toBeUndefined()
  })

  it('does not count the time that the service was away', () => {
    const { alert } = run('TTT')
    const awake = afterDowntime(alert as Alert, 30 * minute)
    expect(run('TTT', { from: 33, alert: awake }).states).toEqual(['pending', 'pending', 'firing'])
    const recovering = run('FF', { from: 10, alert: firedUntil(10) }).alert as Alert
    const later = afterDowntime(recovering, 30 * minute)
    expect(run('FF', { from: 42, alert: later }).states).toEqual(['recovering', 'resolved'])
  })
})

describe('any sequence of readings', () => {
  // An independent account of the same rules: it adds up known time instead of moving timestamps.
  function model(
    steps: readonly { letter: string; minutes: number }[],
    forMs: number,
    keepMs: number,
  ): string[] {
    let state = 'inactive'
    let known = 0
    let deletedSeen = false
    return steps.map(({ letter, minutes }) => {
      const elapsed = minutes * minute
      if (letter === 'T') {
        deletedSeen = false
        if (state === 'inactive' || state === 'resolved') {
          state = 'pending'
          known = 0
        } else known += elapsed
        if (state === 'pending' && known >= forMs) state = 'firing'
        if (state === 'recovering') state = 'firing'
      } else if (letter === 'F') {
        deletedSeen = false
        if (state === 'pending') state = 'inactive'
        if (state === 'firing') {
          state = 'recovering'
          known = 0
        } else known += elapsed
        if (state === 'recovering' && known >= keepMs) state = 'resolved'
      } else if (letter === 'D' && state !== 'inactive' && state !== 'resolved') {
        if (deletedSeen) state = state === 'pending' ? 'inactive' : 'resolved'
        deletedSeen = !deletedSeen
      }
      return state
    })
  }

  it('leads to the states that a simple model says', () => {
    const step = fc.record({
      letter: fc.constantFrom('T', 'T', 'F', 'U', 'M', 'D', 'E'),
      minutes: fc.integer({ min: 1, max: 4 }),
    })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 0, max: 4 }),
        (steps, forMinutes, keepMinutes) => {
          const rule = {
            forMs: forMinutes * minute,
            keepFiringForMs: keepMinutes * minute,
            noData: 'keep',
          } as const
          let alert: Alert | undefined
          let at = startAt
          const states = steps.map(({ letter, minutes }) => {
            at += minutes * minute
            alert = advance(alert, { at, verdict: verdictOf(letter), clear: null }, rule, birth)
            return alert?.state ?? 'inactive'
          })
          expect(states).toEqual(model(steps, rule.forMs, rule.keepFiringForMs))
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('the fingerprint of a label set', () => {
  it('is the one that Prometheus computes', () => {
    expect(fingerprint({})).toBe('cbf29ce484222325')
    expect(fingerprint({ alertname: 'a' })).toBe(fingerprint({ alertname: 'a' }))
  })

  it('does not depend on the order of the labels, and keeps names and values apart', () => {
    expect(fingerprint({ a: '1', b: '2' })).toBe(fingerprint({ b: '2', a: '1' }))
    expect(fingerprint({ a: '1b', c: '2' })).not.toBe(fingerprint({ a: '1', bc: '2' }))
  })
})
