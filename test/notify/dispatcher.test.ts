// Groups and their ticks, marched through time against a real database: the timelines of
// alerting-semantics.md section 6.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import type { Route } from '../../src/config.ts'
import { parseMatchers } from '../../src/matcher.ts'
import {
  type Delivery,
  type DeliveryPolicy,
  type Dispatcher,
  openDispatcher,
} from '../../src/notify/dispatcher.ts'
import type { Integration, Notification, SendOutcome } from '../../src/notify/notification.ts'
import { createRouter } from '../../src/notify/route.ts'
import type { OutboxRow } from '../../src/notify/store.ts'
import { createSuppression } from '../../src/notify/suppression.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'

const minute = 60_000
const startAt = Date.UTC(2026, 0, 1)
const route = {
  receiver: 'on-call',
  key: '{}',
  matchers: [],
  continue: false,
  muteTimeIntervals: [],
  activeTimeIntervals: [],
  routes: [],
  groupBy: ['alertname'],
  groupWaitMs: 30_000,
  groupIntervalMs: 5 * minute,
  repeatIntervalMs: 240 * minute,
} satisfies Route

/** A receiver that writes down what it gets: `0:30 first notification A B | C` (firing | resolved). */
interface Recorder extends Integration {
  readonly messages: string[]
  closed: boolean
  outcome: (notification: Notification) => SendOutcome | Promise<SendOutcome>
}

function recorder(kind: string, { receiver = 'on-call', sendResolved = true } = {}): Recorder {
  const messages: string[] = []
  const self: Recorder = {
    receiver,
    kind,
    index: 0,
    sendResolved,
    minimumSpacingMs: 0,
    messages,
    outcome: () => ({ kind: 'ok' }),
    async send(notification) {
      const outcome = await self.outcome(notification)
      if (outcome.kind === 'ok') messages.push(describeMessage(notification))
      return outcome
    },
    closed: false,
    async close() {
      self.closed = true
    },
  }
  return self
}

function describeMessage({ reason, firing, resolved }: Notification): string {
  const names = (alerts: Notification['firing']) => alerts.map((alert) => alert.labels['name']).join('')
  return [timeOf(clock.now()), reason, names(firing), ...(resolved.length > 0 ? [`-${names(resolved)}`] : [])]
    .join(' ')
    .replace('  ', ' ')
}

function timeOf(ms: number): string {
  const seconds = Math.floor((ms - startAt) / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** Names of alerts that are held back at present. */
let held: { silenced: Set<string>; held: Set<string>; acknowledged: Set<string> }
let dropped: OutboxRow[]
let folder: string
let storage: Storage
let clock: ManualClock
let book: AlertBook
let dispatcher: Dispatcher
let stop: AbortController
let running: Promise<void>

async function begin(
  integrations: readonly Integration[],
  options: {
    enabled?: boolean
    route?: Route
    policy?: Partial<DeliveryPolicy>
    onStorageError?: (error: unknown) => void
    saveFlush?: Storage['saveFlush']
  } = {},
): Promise<void> {
  storage = await openSqlite({ path: join(folder, 'state.db') })
  book = await openAlertBook(storage, { downMs: 0 })
  stop = new AbortController()
  dispatcher = await openDispatcher({
    ...delivery(integrations, options),
    suppression: createSuppression({
      inhibitedBy: () => [],
      mutedBy: () => [],
      silencedBy: ({ labels }) => (held.silenced.has(labels['name'] ?? '') ? ['s1'] : []),
      heldFor: ({ labels }) => (held.held.has(labels['name'] ?? '') ? 'walk' : null),
      acknowledgementOf: ({ labels, fingerprint: print, episode }) =>
        held.acknowledged.has(labels['name'] ?? '')
          ? { fingerprint: print, episode, by: 'b', comment: '', at: 0, until: null }
          : null,
    }),
    store: options.saveFlush === undefined ? storage : { ...storage, saveFlush: options.saveFlush },
    book,
    clock,
    linkFor: async () => null,
    events: {
      onAttempt() {},
      onDelivered() {},
      onFailure() {},
      onWithheld() {},
      onDropped: (row) => void dropped.push(row),
      onStorageError:
        options.onStorageError ??
        ((error) => {
          throw error
        }),
    },
  })
  if (options.enabled ?? true) dispatcher.enable()
  running = dispatcher.run(stop.signal)
}

function delivery(
  integrations: readonly Integration[],
  options: { route?: Route; policy?: Partial<DeliveryPolicy> } = {},
): Delivery {
  return {
    router: createRouter(options.route ?? route),
    integrations,
    policy: {
      tellWhenSilenceEnded: true,
      remindAcknowledgedMs: null,
      fallbackReceiver: null,
      ...options.policy,
    },
  }
}

/** As `kill -9` would: nothing is finished, only what is on disk goes on. */
async function end(): Promise<void> {
  stop.abort()
  await clock.advance(0)
  await running
  await storage.close()
}

async function restart(integrations: readonly Integration[]): Promise<void> {
  await end()
  await begin(integrations)
}

async function set(
  name: string,
  firing: boolean,
  more: Readonly<Record<string, string>> = {},
  forMs = 0,
): Promise<void> {
  const labels = { alertname: 'Test', name, ...more }
  const subject = { kind: 'device', userId: 'u', deviceType: 'inverter', deviceId: name } as const
  book.evaluate({
    ruleId: 'test/Test',
    subject,
    evaluation: { at: clock.now(), verdict: firing, clear: null },
    timing: { forMs, keepFiringForMs: 0, noData: 'keep' },
    definition: 'v1',
    birth: () => ({
      fingerprint: fingerprint(labels),
      ruleId: 'test/Test',
      definition: 'v1',
      subject,
      labels,
      annotations: {},
      affected: { externalUserId: null, name: null, email: null, model: null },
      episode: `${name} ${clock.now()}`,
    }),
  })
  await book.commit()
}

/** Marches to a time, `6:00` say. */
async function to(time: string): Promise<void> {
  const [minutes = 0, seconds = 0] = time.split(':').map(Number)
  await clock.advance(startAt + minutes * minute + seconds * 1000 - clock.now())
}

beforeEach(async () => {
  held = { silenced: new Set(), held: new Set(), acknowledged: new Set() }
  dropped = []
  folder = await mkdtemp(join(tmpdir(), 'fleetwarden-'))
  clock = createManualClock(startAt)
})

afterEach(async () => {
  await end()
  await rm(folder, { recursive: true })
})

describe('a group', () => {
  it('waits for group_wait, tells news at its ticks, ends when all is told, and begins anew', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('0:20')
    await set('B', true)
    await to('1:00')
    await set('C', true)
    await to('6:00')
    await set('A', false)
    await to('20:00')
    await set('B', false)
    await set('C', false)
    await to('20:40')
    await set('D', true)
    await to('24:00')
    expect(slack.messages).toEqual([
      '0:30 first notification AB',
      '5:30 new alerts ABC',
      '10:30 some resolved BC -A',
      '20:30 all resolved -BC',
      '21:10 first notification D',
    ])
  })

  it('says nothing of an alert that resolved before its first tick', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('0:10')
    await set('A', false)
    await to('30:00')
    expect(slack.messages).toEqual([])
    expect([...book.all()].every((alert) => alert.settled)).toBe(true)
  })

  it('says nothing when an alert resolved and fired again between two ticks', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('1:00')
    await set('A', false)
    await to('2:00')
    await set('A', true)
    await to('30:00')
    expect(slack.messages).toEqual(['0:30 first notification A'])
  })

  it.each([false, true])(
    'tells the end of what was about to fire again and did not, restarted in between: %s',
    async (isRestarted) => {
      const slack = recorder('slack')
      await begin([slack])
      await set('A', true)
      await to('1:00')
      await set('A', false)
      await to('2:00')
      await set('A', true, {}, 10 * minute)
      if (isRestarted) await restart([slack])
      await to('3:00')
      await set('A', false, {}, 10 * minute)
      await to('30:00')
      expect(slack.messages).toEqual(['0:30 first notification A', '5:30 all resolved -A'])
    },
  )

  it.each(['nothing', 'a restart', 'a reload'])(
    'tells the end of what was about to fire again for so short that it is over, after %s',
    async (happens) => {
      const slack = recorder('slack')
      await begin([slack])
      await set('A', true)
      await to('1:00')
      await set('A', false)
      await to('2:00')
      await set('A', true, {}, 10 * minute)
      await to('3:00')
      await set('A', false, {}, 10 * minute)
      await to('4:00')
      if (happens === 'a restart') await restart([slack])
      if (happens === 'a reload') await dispatcherReload([slack])
      await to('30:00')
      expect(slack.messages).toEqual(['0:30 first notification A', '5:30 all resolved -A'])
      expect([...book.all()].map(({ settled }) => settled)).toEqual([true])
      book.prune(clock.now())
      await book.commit()
      expect(book.size()).toBe(0)
    },
  )

  it.each(['nothing', 'a restart', 'a reload'])(
    'says nothing when an alert ended, was about to fire again, and did, after %s',
    async (happens) => {
      const slack = recorder('slack')
      await begin([slack])
      await set('A', true)
      await to('1:00')
      await set('A', false)
      await to('2:00')
      await set('A', true, {}, minute)
      await to('3:00')
      await set('A', true, {}, minute)
      if (happens === 'a restart') await restart([slack])
      if (happens === 'a reload') await dispatcherReload([slack])
      await to('30:00')
      expect(slack.messages).toEqual(['0:30 first notification A'])
      expect([...book.all()].map(({ state }) => state)).toEqual(['firing'])
    },
  )

  it('repeats what still fires at the tick at which repeat_interval has passed', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('300:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '240:30 repeat A'])
  })

  it('tells nothing before it is enabled, and then what is overdue, once', async () => {
    const slack = recorder('slack')
    await begin([slack], { enabled: false })
    await set('A', true)
    await to('7:00')
    expect(slack.messages).toEqual([])
    dispatcher.enable()
    await to('30:00')
    expect(slack.messages).toEqual(['7:00 first notification A'])
  })
})

describe('many groups', () => {
  it('that are due together are saved together, and after a write that failed all are told once', async () => {
    const slack = recorder('slack')
    const errors: unknown[] = []
    const saves: number[] = []
    let isFull = true
    await begin([slack], {
      route: { ...route, groupBy: ['name'] },
      onStorageError: (error) => void errors.push(error),
      saveFlush: (...flushes) => {
        saves.push(flushes.length)
        return isFull ? Promise.reject(new Error('disk full')) : storage.saveFlush(...flushes)
      },
    })
    const names = Array.from({ length: 120 }, (_, index) => `n${index}`)
    for (const name of names) await set(name, true)
    await to('0:31')
    expect(slack.messages).toEqual([])
    expect(errors).toHaveLength(3)
    expect(saves).toEqual([50, 50, 20])
    isFull = false
    await to('1:00')
    expect(slack.messages.toSorted()).toEqual(
      names.map((name) => `0:35 first notification ${name}`).toSorted(),
    )
    expect(saves).toEqual([50, 50, 20, 50, 50, 20])
  })
})

describe('a receiver that is down', () => {
  it('gets one message when it is back, as the first one, while the healthy one gets exactly its own', async () => {
    const slack = recorder('slack')
    const email = recorder('email')
    slack.outcome = () =>
      clock.now() < startAt + 7 * minute ? { kind: 'retry', reason: 'HTTP 500' } : { kind: 'ok' }
    await begin([slack, email])
    await set('A', true)
    await to('15:00')
    expect(email.messages).toEqual(['0:30 first notification A'])
    expect(slack.messages).toHaveLength(1)
    expect(slack.messages[0]).toMatch(/^7:\d\d first notification A$/)
  })

  it('keeps what resolved until everybody knows', async () => {
    const slack = recorder('slack')
    const email = recorder('email')
    await begin([slack, email])
    await set('A', true)
    await to('1:00')
    slack.outcome = () =>
      clock.now() < startAt + 40 * minute ? { kind: 'retry', reason: 'timeout' } : { kind: 'ok' }
    await set('A', false)
    await to('39:00')
    expect(email.messages).toEqual(['0:30 first notification A', '5:30 all resolved -A'])
    expect([...book.all()].map((alert) => alert.settled)).toEqual([false])
    await to('60:00')
    expect(slack.messages[1]).toMatch(/^4\d:\d\d all resolved -A$/)
    expect([...book.all()].map((alert) => alert.settled)).toEqual([true])
  })

  it('is told of what came and went meanwhile, in one message', async () => {
    const slack = recorder('slack')
    slack.outcome = () =>
      clock.now() < startAt + 12 * minute ? { kind: 'rate_limited', retryAfterMs: 60_000 } : { kind: 'ok' }
    await begin([slack])
    await set('A', true)
    await to('4:00')
    await set('A', false)
    await to('30:00')
    expect(slack.messages).toHaveLength(1)
    expect(slack.messages[0]).toMatch(/^12:\d\d resolved before delivery -A$/)
  })

  // A cut-off attempt may have told that it fires: then its end is owed.
  it.each(
    ['nothing', 'a restart', 'a reload'].flatMap((happens) =>
      [true, false].map((holds) => [happens, holds] as const),
    ),
  )(
    'is told the end of what is about to fire again, after %s, while its condition still holds: %s',
    async (happens, holds) => {
      const slack = recorder('slack')
      slack.outcome = () =>
        clock.now() < startAt + 42 * minute ? { kind: 'rate_limited', retryAfterMs: 60_000 } : { kind: 'ok' }
      await begin([slack])
      await set('A', true)
      await to('4:00')
      await set('A', false)
      await to('6:00')
      await set('A', true, {}, 60 * minute)
      // Longer than anybody would be kept who resolved and had nobody left to tell.
      await to('38:00')
      await set('A', holds, {}, 60 * minute)
      book.prune(clock.now())
      await book.commit()
      if (happens === 'a restart') await restart([slack])
      if (happens === 'a reload') await dispatcherReload([slack])
      await to('50:00')
      expect(dropped).toEqual([])
      expect(slack.messages).toHaveLength(1)
      expect(slack.messages[0]).toMatch(/^42:\d\d resolved before delivery -A$/)
      expect([...book.all()].filter(({ settled }) => settled)).toHaveLength(1)
    },
  )

  it('is tried again at the next tick after a failure for good', async () => {
    const slack = recorder('slack')
    slack.outcome = () =>
      clock.now() < startAt + 4 * minute ? { kind: 'permanent', reason: 'HTTP 404' } : { kind: 'ok' }
    await begin([slack])
    await set('A', true)
    await to('9:00')
    expect(slack.messages).toEqual(['5:30 first notification A'])
  })

  it('is left to hang without holding up the others, and gets the news after it', async () => {
    const slack = recorder('slack')
    const email = recorder('email')
    let answer: (outcome: SendOutcome) => void = () => {}
    slack.outcome = () =>
      new Promise((resolve) => {
        answer = resolve
      })
    await begin([slack, email])
    await set('A', true)
    await to('6:00')
    await set('B', true)
    await to('11:00')
    expect(email.messages).toEqual(['0:30 first notification A', '10:30 new alerts AB'])
    slack.outcome = () => ({ kind: 'ok' })
    answer({ kind: 'ok' })
    await to('11:10')
    expect(slack.messages).toEqual(['11:00 first notification A', '11:00 new alerts AB'])
  })

  it('is not told again what a message told that arrived late', async () => {
    const slack = recorder('slack')
    let answer: (outcome: SendOutcome) => void = () => {}
    slack.outcome = () =>
      new Promise((resolve) => {
        answer = resolve
      })
    await begin([slack])
    await set('A', true)
    await to('3:00')
    await set('B', true)
    await to('6:00')
    await set('B', false)
    slack.outcome = () => ({ kind: 'ok' })
    answer({ kind: 'ok' })
    await to('20:00')
    expect(slack.messages).toEqual(['6:00 first notification A'])
    expect(await storage.loadOutbox()).toEqual([])
  })

  it('is asked only for the recipients that an earlier attempt did not reach', async () => {
    const email = recorder('email')
    const asked: (readonly string[])[] = []
    email.send = async (_notification, { delivered }) => {
      asked.push(delivered)
      return asked.length < 3
        ? { kind: 'retry', reason: '451', delivered: ['a@example.com'] }
        : { kind: 'ok' }
    }
    await begin([email])
    await set('A', true)
    await to('5:00')
    expect(asked).toEqual([[], ['a@example.com'], ['a@example.com']])
  })
})

describe('a restart', () => {
  it('says nothing by itself, and keeps the ticks where they were', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('2:00')
    await restart([slack])
    await set('B', true)
    await to('4:00')
    await restart([slack])
    await to('5:00')
    expect(slack.messages).toEqual(['0:30 first notification A'])
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '5:30 new alerts AB'])
  })

  it('repeats at most the message that was on its way', async () => {
    const slack = recorder('slack')
    const sent: string[] = []
    slack.send = (notification) => {
      sent.push(describeMessage(notification))
      return sent.length === 1 ? new Promise(() => {}) : Promise.resolve({ kind: 'ok' })
    }
    // The lane gives the message up after a while and would note that, too.
    await begin([slack], { onStorageError: () => undefined })
    await set('A', true)
    await to('1:00')
    expect(sent).toEqual(['0:30 first notification A'])
    await storage.close() // from here on nothing is written any more
    stop.abort()
    await begin([slack])
    await to('20:00')
    expect(sent).toEqual(['0:30 first notification A', '1:00 first notification A'])
  })

  it('tells a resolution that it found to be due', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('1:00')
    await set('A', false)
    await restart([slack])
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '5:30 all resolved -A'])
  })

  it('drops the messages of a receiver that is no longer configured', async () => {
    const gone = recorder('slack')
    gone.outcome = () => ({ kind: 'retry', reason: 'HTTP 500' })
    await begin([gone])
    await set('A', true)
    await to('1:00')
    const email = recorder('email')
    await restart([email])
    await to('6:00')
    expect(email.messages).toEqual(['5:30 first notification A'])
    expect(dispatcher.status()).toMatchObject({ queued: 0, isDelivering: true })
    expect(dropped).toMatchObject([{ integrationKey: 'on-call/slack/0', reason: 'first notification' }])
  })
})

describe('whatever happens in between', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('set' as const),
      name: fc.constantFrom('A', 'A', 'B'),
      firing: fc.boolean(),
      forMinutes: fc.constantFrom(0, 30),
    }),
    fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 100, 400) }),
    fc.record({
      kind: fc.constantFrom('restart' as const, 'reload' as const, 'fail' as const, 'work' as const),
    }),
  )

  it('nobody takes for firing what has ended, and no message is given up', async () => {
    const outer = folder
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 40 }), async (steps) => {
        folder = join(outer, `${++run}`)
        await mkdir(folder)
        clock = createManualClock(startAt)
        dropped = []
        const slack = recorder('slack')
        let isWell = true
        const firing = new Set<string>()
        slack.outcome = (notification) => {
          if (!isWell) return { kind: 'retry', reason: 'HTTP 500' }
          for (const { labels } of notification.firing) firing.add(labels['name'] ?? '')
          for (const { labels } of notification.resolved) firing.delete(labels['name'] ?? '')
          return { kind: 'ok' }
        }
        await begin([slack])
        for (const each of steps) {
          if (each.kind === 'set') {
            await clock.advance(1)
            await set(each.name, each.firing, {}, each.forMinutes * minute)
          } else if (each.kind === 'wait') await clock.advance(each.seconds * 1_000)
          else if (each.kind === 'restart') await restart([slack])
          else if (each.kind === 'reload') await dispatcherReload([slack])
          else isWell = each.kind === 'work'
        }
        isWell = true
        await clock.advance(1)
        for (const name of ['A', 'B']) await set(name, false)
        await clock.advance(60 * minute)
        book.prune(clock.now())
        await book.commit()
        expect([...firing]).toEqual([])
        expect(dropped).toEqual([])
        expect(book.size()).toBe(0)
        expect(await storage.loadOutbox()).toEqual([])
        await end()
      }),
      { numRuns: 40 },
    )
    folder = outer
    await begin([])
  })
})

describe('what is held back', () => {
  it('is not told, and told at the next tick once nothing holds it back', async () => {
    const slack = recorder('slack')
    await begin([slack])
    held.silenced.add('A')
    await set('A', true)
    await set('B', true)
    await to('7:00')
    held.silenced.clear()
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification B', '10:30 new alerts AB'])
  })

  it('has its end told to whoever was told that it fires, silenced or not', async () => {
    const slack = recorder('slack')
    const email = recorder('email', { sendResolved: false })
    await begin([slack, email])
    await set('A', true)
    await to('3:00')
    held.silenced.add('A')
    await to('7:00')
    await set('A', false)
    await to('30:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '10:30 resolved while silenced -A'])
    expect(email.messages).toEqual(['0:30 first notification A'])
    expect(dispatcher.groups()).toEqual([])
  })

  it('has its end told also when others were told of meanwhile, across a restart', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('3:00')
    held.silenced.add('A')
    await set('B', true)
    await to('6:00')
    await restart([slack])
    await to('12:00')
    await set('A', false)
    await to('30:00')
    expect(slack.messages).toEqual([
      '0:30 first notification A',
      '5:30 new alerts B',
      '15:30 some resolved B -A',
    ])
  })

  it('is told again when its silence has ended and it still fires', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('3:00')
    held.silenced.add('A')
    await to('8:00')
    held.silenced.clear()
    await restart([slack])
    await to('30:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '10:30 silence ended A'])
  })

  it('waits beyond its first tick for a hold that no clock ends, and is told as soon as that ends', async () => {
    const slack = recorder('slack')
    await begin([slack])
    held.held.add('A')
    await set('A', true)
    await to('3:00')
    expect(slack.messages).toEqual([])
    held.held.clear()
    dispatcher.wake()
    await to('3:01')
    expect(slack.messages).toEqual(['3:00 first notification A'])
  })

  it('is not repeated while somebody looks after it', async () => {
    const slack = recorder('slack')
    await begin([slack], { policy: { remindAcknowledgedMs: 600 * minute } })
    held.acknowledged.add('A')
    await set('A', true)
    await to('700:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '600:30 acknowledged reminder A'])
  })
})

describe('the routing tree', () => {
  const tree: Route = {
    ...route,
    routes: [
      {
        ...route,
        key: '{}/{severity="critical"}',
        matchers: parseMatchers('severity="critical"'),
        receiver: 'pager',
        groupWaitMs: 0,
        continue: true,
      },
      { ...route, key: '{}/{severity=~".+"}', matchers: parseMatchers('severity=~".+"'), groupBy: 'all' },
    ],
  }

  it('tells each route its own message, and lets go of an alert when all of them know', async () => {
    const slack = recorder('slack')
    const pager = recorder('pagerduty', { receiver: 'pager' })
    await begin([slack, pager], { route: tree })
    await set('A', true, { severity: 'critical' })
    await set('B', true)
    await to('1:00')
    pager.outcome = () => ({ kind: 'retry', reason: 'HTTP 500' })
    await set('A', false, { severity: 'critical' })
    await to('9:00')
    expect(slack.messages).toEqual([
      '0:30 first notification A',
      '0:30 first notification B',
      '5:30 all resolved -A',
    ])
    expect(pager.messages).toEqual(['0:00 first notification A'])
    expect([...book.all()].find((alert) => alert.labels['name'] === 'A')?.settled).toBe(false)
    pager.outcome = () => ({ kind: 'ok' })
    await to('20:00')
    expect(pager.messages).toHaveLength(2)
    expect([...book.all()].find((alert) => alert.labels['name'] === 'A')?.settled).toBe(true)
  })

  it('has a fallback stand in for a receiver that fails for good, until the end of what it was told', async () => {
    const slack = recorder('slack')
    const email = recorder('email', { receiver: 'fallback' })
    await begin([slack, email], { policy: { fallbackReceiver: 'fallback' } })
    slack.outcome = () => ({ kind: 'permanent', reason: 'HTTP 404 channel_not_found' })
    await set('A', true)
    await to('1:00')
    expect(email.messages).toEqual(['0:30 first notification A'])
    slack.outcome = () => ({ kind: 'ok' })
    await to('7:00')
    await set('A', false)
    await to('30:00')
    expect(slack.messages).toEqual(['5:30 first notification A', '10:30 all resolved -A'])
    expect(email.messages).toEqual(['0:30 first notification A', '10:30 all resolved -A'])
  })
})

describe('a reload', () => {
  it('says nothing by itself and keeps every tick, also with a new integration in the old place', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await to('2:00')
    const next = recorder('slack')
    await dispatcherReload([next])
    await set('B', true)
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification A'])
    expect(next.messages).toEqual(['5:30 new alerts AB'])
  })

  it('lets a message under way end, and sends it only once', async () => {
    const slack = recorder('slack')
    let answer: (outcome: SendOutcome) => void = () => {}
    slack.outcome = () =>
      new Promise((resolve) => {
        answer = resolve
      })
    await begin([slack])
    await set('A', true)
    await to('0:40')
    const next = recorder('slack')
    await dispatcherReload([next])
    await to('6:00')
    expect(next.messages).toEqual([])
    expect(slack.closed).toBe(false)
    answer({ kind: 'ok' })
    await to('20:00')
    expect(slack.messages).toEqual(['6:00 first notification A'])
    expect(next.messages).toEqual([])
    expect([slack.closed, next.closed]).toEqual([true, false])
  })

  it('hands a message that could not be delivered to the integration that comes after', async () => {
    const slack = recorder('slack')
    slack.outcome = () => ({ kind: 'retry', reason: 'HTTP 500' })
    await begin([slack])
    await set('A', true)
    await to('2:00')
    const next = recorder('slack')
    await dispatcherReload([next])
    await to('5:00')
    expect(next.messages).toHaveLength(1)
    expect(next.messages[0]).toMatch(/^2:\d\d first notification A$/)
  })

  it('drops the queue of a receiver that is gone, and tells whoever took its place', async () => {
    const slack = recorder('slack')
    slack.outcome = () => ({ kind: 'retry', reason: 'HTTP 500' })
    await begin([slack])
    await set('A', true)
    await to('2:00')
    const email = recorder('email')
    await dispatcherReload([email])
    await to('6:00')
    expect(dropped).toHaveLength(1)
    expect(email.messages).toEqual(['5:30 first notification A'])
    expect(await storage.loadOutbox()).toEqual([])
  })

  it('tells the end to a receiver that has no part in the group any more, and nothing else', async () => {
    const slack = recorder('slack')
    const pager = recorder('slack', { receiver: 'pager' })
    await begin([slack, pager])
    await set('A', true)
    await to('2:00')
    await dispatcherReload([slack, pager], { route: { ...route, receiver: 'pager' } })
    await to('6:00')
    await set('B', true)
    await to('12:00')
    await set('A', false)
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification A', '15:30 all resolved -A'])
    expect(pager.messages).toEqual([
      '5:30 first notification A',
      '10:30 new alerts AB',
      '15:30 some resolved B -A',
    ])
  })

  it('moves alerts to the groups that new routes make', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await set('B', true)
    await to('2:00')
    await dispatcherReload([slack], { route: { ...route, groupBy: ['name'] } })
    await to('3:00')
    expect(slack.messages.slice(1).sort()).toEqual(['2:00 first notification A', '2:00 first notification B'])
    expect((await storage.loadGroupTimers()).map(({ groupKey }) => groupKey).sort()).toEqual([
      '{}:{name="A"}',
      '{}:{name="B"}',
    ])
  })
})

describe('an alert that is forgotten', () => {
  const print = (name: string) => fingerprint({ alertname: 'Test', name })
  const onDisk = async () =>
    JSON.stringify([
      await storage.loadAlerts(),
      await storage.loadDedupEntries(),
      await storage.loadGroupTimers(),
      await storage.loadOutbox(),
    ])
  /** As `forget` does: the alert goes first. */
  async function forget(name: string): Promise<number> {
    book.forget([...book.all()].filter(({ labels }) => labels['name'] === name).map(({ key }) => key))
    await book.commit()
    const forgotten = {
      fingerprints: new Set([print(name)]),
      isNamedIn: (groupKey: string) => groupKey.includes(`="${name}"`),
    }
    const expected = dispatcher.countForgotten(forgotten)
    const done = dispatcher.forget(forgotten)
    await clock.advance(0)
    expect(await done).toBe(expected)
    return expected
  }

  it('is told no end, and what is left of its group goes on as before', async () => {
    const slack = recorder('slack')
    await begin([slack])
    await set('A', true)
    await set('B', true)
    await to('1:00')
    expect(await onDisk()).toContain(print('A'))
    expect(await forget('A')).toBe(1)
    expect(await onDisk()).not.toContain(print('A'))
    await restart([slack])
    await to('12:00')
    await set('B', false)
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification AB', '15:30 all resolved -B'])
    expect(await storage.loadDedupEntries()).toEqual([])
  })

  it('takes the group along that is about nobody else', async () => {
    const slack = recorder('slack')
    await begin([slack], { route: { ...route, groupBy: ['name'] } })
    await set('A', true)
    await set('B', true)
    await to('1:00')
    await forget('A')
    expect(await onDisk()).not.toContain('name=\\"A\\"')
    expect(await onDisk()).toContain('name=\\"B\\"')
    await to('20:00')
    expect(slack.messages.toSorted()).toEqual(['0:30 first notification A', '0:30 first notification B'])
  })

  it('leaves a group that somebody else is in as well', async () => {
    const slack = recorder('slack')
    await begin([slack], { route: { ...route, groupBy: ['shared'] } })
    await set('A', true, { shared: 'A' })
    await set('B', true, { shared: 'A' })
    await to('1:00')
    await forget('A')
    await set('B', false, { shared: 'A' })
    await to('20:00')
    expect(slack.messages).toEqual(['0:30 first notification AB', '5:30 all resolved -B'])
  })

  it('takes nothing from the others in a message that waits: they are told at the next tick', async () => {
    const slack = recorder('slack')
    slack.outcome = () => ({ kind: 'retry', reason: 'down' })
    await begin([slack])
    await set('A', true)
    await set('B', true)
    await to('1:00')
    await forget('A')
    expect(await storage.loadOutbox()).toEqual([])
    slack.outcome = () => ({ kind: 'ok' })
    await to('10:00')
    expect(slack.messages).toEqual(['5:30 first notification B'])
  })

  it('leaves nothing behind when its message arrives meanwhile', async () => {
    const slack = recorder('slack')
    const arrived = Promise.withResolvers<SendOutcome>()
    slack.outcome = () => arrived.promise
    await begin([slack], { route: { ...route, groupBy: ['name'] } })
    await set('A', true)
    await to('1:00')
    await forget('A')
    arrived.resolve({ kind: 'ok' })
    await to('20:00')
    expect(slack.messages).toHaveLength(1)
    expect(await onDisk()).toBe('[[],[],[],[]]')
  })

  it('is forgotten before the dispatcher runs, too', async () => {
    await begin([recorder('slack')], { enabled: false })
    await set('A', true)
    await end()
    storage = await openSqlite({ path: join(folder, 'state.db') })
    await storage.close()
    await begin([recorder('slack')], { enabled: false, route: { ...route, groupBy: ['name'] } })
    expect(await forget('A')).toBe(0)
    expect(await onDisk()).not.toContain(print('A'))
  })
})

/** As a configuration that was read again. */
async function dispatcherReload(
  integrations: readonly Integration[],
  options: { route?: Route } = {},
): Promise<void> {
  const done = dispatcher.reconfigure(delivery(integrations, options))
  await clock.advance(0)
  await done
}
