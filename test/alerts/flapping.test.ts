import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Alert, alertKey, type TransitionReason } from '../../src/alerts/alert.ts'
import { type AlertBook, openAlertBook, type Transition } from '../../src/alerts/alert-book.ts'
import { type Flapping, flipsInWindow, isFlapping } from '../../src/alerts/flapping.ts'
import { type AlertBirth, advance, type Evaluation, type RuleTiming } from '../../src/alerts/lifecycle.ts'
import type { AlertChanges } from '../../src/alerts/store.ts'

const minute = 60_000
const hour = 60 * minute
const startAt = Date.UTC(2026, 0, 1)
const usual: Flapping = { windowMs: 24 * hour, high: 6, low: 3 }
const atOnce: RuleTiming = { forMs: 0, keepFiringForMs: 0, noData: 'keep' }
const subject = { kind: 'device', userId: 'u1', deviceType: 'inverter', deviceId: 'd1' } as const
const ruleId = 'test/Test'
const key = alertKey(ruleId, subject)

/** T true, F false, B between the firing and the clearing threshold, U unread, D deleted. */
const verdicts = { T: true, F: false, B: false, U: 'poll_failed', D: 'deleted' } as const
type Letter = keyof typeof verdicts

function evaluationOf(letter: Letter, at: number): Evaluation {
  return { at, verdict: verdicts[letter], clear: letter === 'B' ? false : null }
}

/** A store that keeps what a database would: text. */
function textStore() {
  const rows = new Map<string, string>()
  return {
    rows,
    loadAlerts: async () => [...rows.values()].map((row): Alert => JSON.parse(row)),
    async saveAlerts({ upserts, deletedKeys }: AlertChanges) {
      for (const key of deletedKeys) rows.delete(key)
      for (const alert of upserts) rows.set(alert.key, JSON.stringify(alert))
    },
  }
}

let episodes = 0
function birth(severity = 'warning', definition = 'v1'): AlertBirth {
  return {
    fingerprint: severity,
    ruleId,
    definition,
    subject,
    labels: { alertname: 'Test', severity },
    annotations: {},
    affected: { externalUserId: null, name: 'Ada', email: null, model: null },
    episode: `episode ${++episodes}`,
  }
}

/** A book with one alert, at a moment that goes on. */
async function start({
  flapping = usual,
  timing = atOnce,
}: {
  flapping?: Flapping | null
  timing?: RuleTiming
} = {}) {
  const store = textStore()
  let now = startAt
  let book = await openAlertBook(store, { downMs: 0, flapping })
  const told: string[] = []
  book.subscribe(tell)

  function tell(transitions: readonly Transition[]): void {
    for (const { before, after } of transitions) {
      const [from, to] = [before, after].map((alert) => receiversSee(alert))
      if (from !== to && (to === 'firing' || (to === 'resolved' && from === 'firing')))
        told.push(`${to} ${after?.resolvedReason}`)
      if (after !== undefined && isFlapping(after) && (before === undefined || !isFlapping(before))) {
        told.push('flapping')
      }
    }
  }

  const run = {
    store,
    /** What receivers would be told since the last look. */
    told: () => told.splice(0),
    now: () => now,
    book: (): AlertBook => book,
    alert: () => book.get(key),
    /** One reading, an hour after the one before unless told. */
    async read(letters: string, everyMs = hour) {
      for (const letter of letters as Iterable<Letter>) {
        now += everyMs
        const evaluation = evaluationOf(letter, now)
        book.evaluate({ ruleId, subject, evaluation, timing, definition: 'v1', birth })
        await book.commit()
      }
      return book.get(key)?.state ?? 'inactive'
    },
    async end(reason: TransitionReason) {
      book.end(key, ++now, reason)
      await book.commit()
    },
    async prune() {
      book.settle(book.all())
      await book.commit()
      book.prune(now)
      await book.commit()
    },
    async restart(other = flapping) {
      book = await openAlertBook(store, { downMs: 0, flapping: other })
      book.subscribe(tell)
    },
  }
  return run
}

function receiversSee(alert: Alert | undefined): 'nothing' | 'firing' | 'resolved' {
  if (alert === undefined || alert.state === 'pending') return 'nothing'
  return alert.state === 'resolved' ? 'resolved' : 'firing'
}

describe('an alert that fires and resolves again and again', () => {
  it('is marked at the sixth flip, and told as firing ever after', async () => {
    const run = await start()
    await run.read('TFTFTF')
    expect(run.told()).toEqual([
      'firing null',
      'resolved condition',
      'firing null',
      'resolved condition',
      'firing null',
      'resolved condition',
    ])
    expect(run.alert()?.flips).toHaveLength(5)
    await run.read('T')
    expect(run.told()).toEqual(['firing null', 'flapping'])
    expect(run.alert()).toMatchObject({ state: 'firing', flappingSince: run.now() })
    expect(await run.read('F')).toBe('recovering')
    expect(await run.read('T')).toBe('firing')
    expect(await run.read('FTFTFTFF')).toBe('recovering')
    expect(run.told()).toEqual([])
  })

  it('is held instead of resolved when its end is the flip too many', async () => {
    const run = await start({ flapping: { ...usual, high: 3, low: 2 } })
    await run.read('TFT')
    run.told()
    expect(await run.read('F')).toBe('recovering')
    expect(run.told()).toEqual(['flapping'])
  })

  it('stays one episode while it is held', async () => {
    const run = await start()
    await run.read('TFTFTFT')
    const { episode, firedAt } = run.alert() as Alert
    await run.read('FTFTFT')
    expect(run.alert()).toMatchObject({ episode, firedAt })
  })

  it('resolves when it was quiet until fewer than three flips are left in the window', async () => {
    const run = await start()
    await run.read('TFTFTFTF')
    run.told()
    // The flips are at hours 2 to 8; at hour 30 those of 7 and 8 are left.
    expect(await run.read('F'.repeat(21))).toBe('recovering')
    expect(run.told()).toEqual([])
    expect(await run.read('F')).toBe('resolved')
    expect(run.told()).toEqual(['resolved condition'])
    expect(run.alert()).toMatchObject({ flappingSince: null, resolvedAt: run.now() })
  })

  it('goes on firing, and resolves as usual later, when its condition held until the score fell', async () => {
    const run = await start()
    await run.read('TFTFTFT')
    run.told()
    await run.read(`${'T'.repeat(21)}`)
    expect(isFlapping(run.alert() as Alert)).toBe(true)
    await run.read('T')
    expect(run.alert()).toMatchObject({ state: 'firing', flappingSince: null })
    expect(run.told()).toEqual([])
    expect(await run.read('F')).toBe('resolved')
  })

  it('is marked once more when it starts again', async () => {
    const run = await start()
    await run.read(`TFTFTFTF${'F'.repeat(22)}`)
    run.told()
    await run.read('TFTFT')
    expect(run.told().at(-1)).toBe('firing null')
    await run.read('F')
    expect(run.told()).toEqual(['flapping'])
  })

  it('needs `for` and `keep_firing_for` for each of its flips, also while it is held', async () => {
    const timing = { ...atOnce, forMs: 5 * minute, keepFiringForMs: 3 * minute }
    const run = await start({ timing })
    const cycle = 'TTTTTTFFFF'
    await run.read(cycle.repeat(4), minute)
    expect(run.alert()).toMatchObject({ state: 'recovering', flappingSince: expect.any(Number) })
    expect(run.alert()?.flips).toHaveLength(7)
    await run.read('TTFTTTFFF', minute)
    expect(run.alert()?.flips).toHaveLength(7)
    await run.read('TTTTTT', minute)
    expect(run.alert()?.flips).toHaveLength(8)
    await run.read('FFTFFTFFT', minute)
    expect(run.alert()?.flips).toHaveLength(8)
    await run.read('FFFF', minute)
    expect(run.alert()?.flips).toHaveLength(9)
  })

  it('counts nothing while it cannot be read, and is not let go before it is seen', async () => {
    const run = await start()
    await run.read('TFTFTFTF')
    run.told()
    await run.read('U'.repeat(48))
    expect(run.alert()).toMatchObject({
      state: 'recovering',
      flappingSince: expect.any(Number),
      noData: { evaluations: 48 },
    })
    expect(await run.read('F')).toBe('resolved')
    expect(run.told()).toEqual(['resolved condition'])
  })

  it('does not count unknown time towards its timers while it is held', async () => {
    const run = await start({ timing: { ...atOnce, forMs: 5 * minute, keepFiringForMs: 3 * minute } })
    await run.read('TTTTTTFFFF'.repeat(4), minute)
    await run.read('TUUUUUUTTTT', minute)
    expect(run.alert()?.flips).toHaveLength(7)
    await run.read('T', minute)
    expect(run.alert()?.flips).toHaveLength(8)
  })

  it.each(['rule_removed', 'rule_changed', 'manual'] as const)(
    'ends at once as %s, and begins anew after it',
    async (reason) => {
      const run = await start()
      await run.read('TFTFTFTF')
      run.told()
      await run.end(reason)
      expect(run.told()).toEqual([`resolved ${reason}`])
      expect(run.alert()).toMatchObject({ state: 'resolved', flips: [], flappingSince: null })
      await run.read('TF')
      expect(run.told()).toEqual(['firing null', 'resolved condition'])
    },
  )

  it('ends at once when its device is deleted, whether its condition holds or not', async () => {
    for (const last of ['T', 'F']) {
      const run = await start()
      await run.read(`TFTFTFTF${last}D`)
      run.told()
      expect(await run.read('D')).toBe('resolved')
      expect(run.told()).toEqual(['resolved device_deleted'])
    }
  })

  it('goes on as flapping under new labels from a new text of its rule', async () => {
    const run = await start()
    await run.read('TFTFTFT')
    const evaluation = { at: run.now() + hour, verdict: true, clear: null }
    run.book().evaluate({
      ruleId,
      subject,
      evaluation,
      timing: atOnce,
      definition: 'v2',
      birth: () => birth('critical', 'v2'),
    })
    await run.book().commit()
    expect(
      [...run.book().all()].map(({ state, labels, flips }) => [state, labels['severity'], flips.length]),
    ).toEqual([
      ['resolved', 'warning', 0],
      ['firing', 'critical', 6],
    ])
    expect(run.alert()?.flappingSince).not.toBeNull()
  })

  it('is let go at its next reading when flapping was switched off meanwhile', async () => {
    const run = await start()
    await run.read('TFTFTFTF')
    run.told()
    await run.restart(null)
    expect(await run.read('U')).toBe('recovering')
    expect(await run.read('F')).toBe('resolved')
    expect(run.told()).toEqual(['resolved condition'])
  })

  it('keeps its score when the clock of the machine is set back', async () => {
    const run = await start()
    await run.read('TFTFTFT')
    await run.read('T', -100 * hour)
    expect(flipsInWindow(run.alert() as Alert, run.now(), usual.windowMs)).toBe(6)
    await run.read('T'.repeat(22))
    expect(isFlapping(run.alert() as Alert)).toBe(false)
  })
})

describe('what is remembered of an alert that ended', () => {
  it('is in no list, and counts when it fires again', async () => {
    const run = await start()
    for (const cycle of ['TF', 'TF', 'TF']) {
      await run.read(`${cycle}F`)
      await run.prune()
      expect([...run.book().all()]).toEqual([])
      expect(run.alert()).toBeUndefined()
      expect(run.book().size()).toBe(0)
      expect(run.book().rememberedCount()).toBe(1)
    }
    run.told()
    await run.read('T')
    expect(run.told()).toEqual(['firing null', 'flapping'])
    expect(run.book().rememberedCount()).toBe(0)
  })

  it('is stored without anything about the customer, and survives a restart', async () => {
    const run = await start()
    await run.read('TFF')
    await run.prune()
    expect([...run.store.rows.values()].join()).not.toContain('Ada')
    await run.restart()
    expect(run.book().size()).toBe(0)
    await run.read('T')
    expect(run.alert()?.flips).toHaveLength(2)
  })

  it('survives a pending alert that does not fire, of which nothing is told', async () => {
    const run = await start({ timing: { ...atOnce, forMs: 5 * minute } })
    await run.read('TTF')
    expect(run.alert()?.flips).toHaveLength(1)
    await run.prune()
    run.told()
    await run.read('TF', minute)
    expect(run.told()).toEqual([])
    expect(run.book().rememberedCount()).toBe(1)
    await run.restart()
    await run.read('TT')
    expect(run.alert()?.flips).toHaveLength(2)
  })

  it('is gone to everybody as soon as it is only remembered, saved or not', async () => {
    const run = await start()
    await run.read('TFF')
    await run.prune()
    await run.read('TF')
    run.book().settle(run.book().all())
    await run.book().commit()
    run.book().prune(run.now() + hour)
    expect(run.alert()).toBeUndefined()
  })

  it('is forgotten when the device is deleted before it fires again, also within one batch', async () => {
    const timing = { ...atOnce, forMs: 5 * minute }
    const run = await start({ timing })
    await run.read('TTFF')
    await run.prune()
    expect(run.book().rememberedCount()).toBe(1)
    for (const [index, letter] of ([...'TDDTT'] as Letter[]).entries()) {
      const evaluation = evaluationOf(letter, run.now() + (index + 1) * hour)
      run.book().evaluate({ ruleId, subject, evaluation, timing, definition: 'v1', birth })
    }
    await run.book().commit()
    expect(run.alert()).toMatchObject({ state: 'firing', flips: [] })
  })

  it('is let go when its flips left the window', async () => {
    const run = await start()
    await run.read('TFF')
    await run.prune()
    // The sweep takes its time between two looks, so the first look is long before.
    await run.read('F'.repeat(22))
    await run.prune()
    expect(run.store.rows.size).toBe(1)
    await run.read('F')
    await run.prune()
    expect(run.store.rows.size).toBe(0)
    expect(run.book().rememberedCount()).toBe(0)
  })

  it('is nothing when flapping is off', async () => {
    const run = await start({ flapping: null })
    await run.read('TFF')
    await run.prune()
    expect(run.store.rows.size).toBe(0)
    expect(run.book().rememberedCount()).toBe(0)
  })

  it('is let go when flapping was switched off', async () => {
    const run = await start()
    await run.read('TFF')
    await run.prune()
    await run.restart(null)
    await run.prune()
    expect(run.store.rows.size).toBe(0)
  })

  it('stays as it was when saving fails', async () => {
    const run = await start()
    await run.read('TFF')
    await run.prune()
    const { saveAlerts } = run.store
    run.store.saveAlerts = () => Promise.reject(new Error('disk full'))
    await expect(run.read('T')).rejects.toThrow('disk full')
    expect(run.book().rememberedCount()).toBe(1)
    run.store.saveAlerts = saveAlerts
    await run.read('T')
    expect(run.alert()?.flips).toHaveLength(2)
  })
})

describe('any sequence of readings, with flapping on', () => {
  /**
   * An independent account: the alert as it would be without flapping, whose flips are counted and
   * which is hidden behind what was last seen while there are too many.
   */
  function createModel(flapping: Flapping, timing: RuleTiming) {
    let free: Alert | undefined
    let flips: number[] = []
    let marked = false
    let held = 'firing'
    let deletions = 0
    const isUp = (alert: Alert | undefined) => receiversSee(alert) === 'firing'
    const counting = (at: number) => flips.filter((flip) => at - flip < flapping.windowMs)

    return (letter: Letter, at: number) => {
      const before = free
      const wasActive = marked || (before !== undefined && before.state !== 'resolved')
      free = advance(free, evaluationOf(letter, at), timing, birth)
      const isSeen = letter === 'T' || letter === 'F' || letter === 'B'
      if (isSeen) deletions = 0
      if (letter === 'D' && wasActive && ++deletions === 2) {
        flips = []
        free = undefined
        marked = false
        deletions = 0
        return { state: 'ended', marked, flips: 0 }
      }
      const ended = isUp(before) && !isUp(free)
      const fired = !isUp(before) && isUp(free)
      if (ended || (fired && counting(at).length > 0)) flips.push(at)
      if (!marked && (ended || fired) && counting(at).length >= flapping.high) {
        marked = true
        held = letter === 'F' ? 'recovering' : 'firing'
      } else if (marked) {
        if (letter === 'T') held = 'firing'
        if (letter === 'F') held = 'recovering'
        if (isSeen && counting(at).length < flapping.low) {
          marked = false
          // On its way to firing again: it is not taken back.
          if (free?.state === 'pending') free = { ...free, state: 'firing', firedAt: at }
        }
      }
      const state = marked ? held : free === undefined || free.state === 'resolved' ? 'ended' : free.state
      return { state, marked, flips: counting(at).length }
    }
  }

  const step = fc.record({
    letter: fc.constantFrom(...([...'TTTTTTTTFFFFFFFFBUUD'] as Letter[])),
    minutes: fc.integer({ min: 1, max: 6 }),
    next: fc.constantFrom('restart', 'prune', 'nothing', 'nothing', 'nothing'),
  })
  const rules = fc.record({
    forMinutes: fc.integer({ min: 0, max: 3 }),
    keepMinutes: fc.integer({ min: 0, max: 3 }),
    windowMinutes: fc.integer({ min: 20, max: 90 }),
    low: fc.integer({ min: 1, max: 3 }),
    more: fc.integer({ min: 0, max: 3 }),
  })

  it('leads to what a simple model says, with restarts and clearing up at any point', async () => {
    let marks = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), rules, async (steps, rule) => {
        const flapping = {
          windowMs: rule.windowMinutes * minute,
          low: rule.low,
          high: rule.low + rule.more,
        }
        const timing = {
          forMs: rule.forMinutes * minute,
          keepFiringForMs: rule.keepMinutes * minute,
          noData: 'keep',
        } as const
        const run = await start({ flapping, timing })
        const model = createModel(flapping, timing)
        for (const { letter, minutes, next } of steps) {
          const before = run.alert()
          const state = await run.read(letter, minutes * minute)
          const after = run.alert()
          const marked = after !== undefined && isFlapping(after)
          const flips = after === undefined ? null : flipsInWindow(after, run.now(), flapping.windowMs)
          const expected = model(letter, run.now())
          expect({
            state: state === 'resolved' || state === 'inactive' ? 'ended' : state,
            marked,
            flips: flips ?? expected.flips,
          }).toEqual(expected)
          if (before?.flappingSince != null && marked) expect(run.told()).toEqual([])
          if (marked) marks++
          run.told()
          if (next === 'restart') await run.restart()
          if (next === 'prune') await run.prune()
        }
      }),
      { numRuns: 300 },
    )
    // The property says something only when alerts do get marked.
    expect(marks).toBeGreaterThan(300)
  })

  it('is as without flapping as long as nothing is marked', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), rules, (steps, { forMinutes, keepMinutes }) => {
        const timing = {
          forMs: forMinutes * minute,
          keepFiringForMs: keepMinutes * minute,
          noData: 'keep',
        } as const
        const never = { windowMs: 24 * hour, high: 1_000, low: 1 }
        const born = { ...birth(), episode: 'e' }
        let at = startAt
        let [off, on]: (Alert | undefined)[] = []
        for (const { letter, minutes } of steps) {
          at += minutes * minute
          const evaluation = evaluationOf(letter, at)
          off = advance(off, evaluation, timing, () => born)
          on = advance(on, evaluation, timing, () => born, never)
          expect(on === undefined ? on : { ...on, flips: [] }).toEqual(off)
        }
      }),
    )
  })

  it('keeps a bounded number of flips, however long it goes on', async () => {
    const run = await start()
    await run.read('TF'.repeat(200), minute)
    expect(run.alert()?.flips).toHaveLength(50)
    expect(run.alert()?.flips.at(-1)).toBe(run.now())
    const strict = await start({ flapping: { ...usual, high: 80 } })
    await strict.read('TF'.repeat(200), minute)
    expect(strict.alert()?.flips).toHaveLength(80)
    expect(isFlapping(strict.alert() as Alert)).toBe(true)
  })
})
