// Everything between a saved change of an alert and the message about it, put together from the
// configuration, and put together anew when that is read again:
//
//   routes, groups, lanes        notify/dispatcher.ts
//   inhibition                   notify/inhibition.ts, kept up to date by every saved change
//   silences, acknowledgements   alerts/silence-book.ts, alerts/acknowledgement-book.ts
//   time intervals               notify/time-interval.ts
//   the guard against floods     alerts/mass-change.ts
//
// What people decided and what was told lives in the database and survives a reload and a restart.

import { type AcknowledgementBook, openAcknowledgementBook } from './alerts/acknowledgement-book.ts'
import { isFiring } from './alerts/alert.ts'
import type { AlertBook } from './alerts/alert-book.ts'
import { createMassChangeGuard, type MassChangeGuard } from './alerts/mass-change.ts'
import { createRaise } from './alerts/raise.ts'
import type { SilenceStore } from './alerts/silence.ts'
import { openSilenceBook, type SilenceBook } from './alerts/silence-book.ts'
import { raiseSilenceEndings } from './alerts/silence-ending.ts'
import type { Clock } from './clock.ts'
import type { Config, InhibitRule, Route } from './config.ts'
import { type Delivery, type Dispatcher, type DispatcherEvents, openDispatcher } from './notify/dispatcher.ts'
import { createInhibitor, type Inhibitor } from './notify/inhibition.ts'
import type { Integration, LinkSource } from './notify/notification.ts'
import { createRouter, type Router } from './notify/route.ts'
import type { NotifyStore } from './notify/store.ts'
import { createSuppression, type Suppression } from './notify/suppression.ts'
import { createTimeIntervals, type TimeIntervals } from './notify/time-interval.ts'

export interface AlertingOptions {
  readonly config: Config
  readonly integrations: readonly Integration[]
  readonly book: AlertBook
  readonly store: NotifyStore & SilenceStore
  readonly clock: Clock
  readonly newId: () => string
  readonly linkFor: LinkSource
  readonly events: AlertingEvents
}

export interface AlertingEvents {
  readonly dispatcher: DispatcherEvents
  /** A stored silence that cannot be read any more was left out. */
  onUnreadableSilence(id: string, error: unknown): void
}

export interface Alerting {
  readonly dispatcher: Dispatcher
  readonly guard: MassChangeGuard
  readonly silences: SilenceBook
  readonly acknowledgements: AcknowledgementBook
  readonly suppression: Suppression
  /** As configured at present. */
  router(): Router
  inhibitor(): Inhibitor
  /** Names of the time intervals that mute a route. */
  mutedBy(route: Route, at: number): readonly string[]
  /** Ends what is over and reminds of what ends soon; due every few seconds. */
  tend(at: number): Promise<void>
  /** Goes on with another configuration; see Dispatcher.reconfigure. */
  reconfigure(config: Config, integrations: readonly Integration[]): Promise<void>
}

export async function openAlerting(options: AlertingOptions): Promise<Alerting> {
  const { book, store, clock, events } = options
  let { config } = options
  let routing = createRouting(config, book)

  const silences = await openSilenceBook(store, {
    clock,
    newId: options.newId,
    onUnreadable: events.onUnreadableSilence,
    get maxDurationMs() {
      return config.silences.maxDurationMs
    },
    get remindBeforeMs() {
      return config.silences.remindBeforeMs
    },
  })
  const acknowledgements = await openAcknowledgementBook(store, {
    clock,
    get maxDurationMs() {
      return config.acknowledgements.maxDurationMs
    },
  })
  const raise = createRaise(book, options.newId)
  const guard = createMassChangeGuard({
    book,
    raise,
    limits: () => config.massChange,
    isHeldBack: (alert, at) =>
      routing.inhibitor.inhibitedBy(alert.labels).length > 0 ||
      silences.silencedBy(alert.labels, at).length > 0,
    isAcknowledged: (alert, at) => acknowledgements.of(alert, at) !== null,
  })
  const suppression = createSuppression({
    inhibitedBy: ({ labels }) => routing.inhibitor.inhibitedBy(labels),
    silencedBy: ({ labels }, at) => silences.silencedBy(labels, at),
    mutedBy: (route, at) => mutedBy(routing.intervals, route, at),
    heldFor: guard.heldFor,
    acknowledgementOf: acknowledgements.of,
  })

  // Before the dispatcher hears of a change, what may inhibit it is known.
  book.subscribe((transitions) => {
    for (const { before, after } of transitions) routing.inhibitor.update(before, after)
  })
  const dispatcher = await openDispatcher({
    ...deliveryOf(config, routing.router, options.integrations),
    suppression,
    store,
    book,
    clock,
    linkFor: options.linkFor,
    events: events.dispatcher,
  })

  return {
    dispatcher,
    guard,
    silences,
    acknowledgements,
    suppression,
    router: () => routing.router,
    inhibitor: () => routing.inhibitor,
    mutedBy: (route, at) => mutedBy(routing.intervals, route, at),
    async tend(at) {
      await silences.tend(book.all(), at)
      await acknowledgements.tend(book.byFingerprint, at)
      const ending = silences.list({ pending: false, active: true, expired: false })
      raiseSilenceEndings(
        ending.filter(({ remindedAt }) => remindedAt !== null),
        { book, raise, at },
      )
      guard.tend(at)
      await book.commit()
      // A hold or a silence may be over.
      dispatcher.wake()
    },
    async reconfigure(next, integrations) {
      config = next
      routing = createRouting(next, book)
      await dispatcher.reconfigure(deliveryOf(next, routing.router, integrations))
    },
  }
}

interface Routing {
  readonly router: Router
  readonly inhibitor: Inhibitor
  readonly intervals: TimeIntervals
}

function createRouting({ alerting }: Config, book: AlertBook): Routing {
  return {
    router: createRouter(alerting.route),
    inhibitor: inhibitorOf(alerting.inhibitRules, book),
    intervals: createTimeIntervals(alerting.timeIntervals),
  }
}

/** Takes in the alerts of the book when it is first asked: a start with many does not wait for that. */
function inhibitorOf(rules: readonly InhibitRule[], book: AlertBook): Inhibitor {
  let filled: Inhibitor | null = null
  function inhibitor(): Inhibitor {
    if (filled === null) {
      filled = createInhibitor(rules)
      for (const alert of book.all()) if (isFiring(alert)) filled.update(undefined, alert)
    }
    return filled
  }
  return {
    // What changes before that is in the book by then.
    update: (before, after) => filled?.update(before, after),
    inhibitedBy: (labels) => inhibitor().inhibitedBy(labels),
    explain: (labels) => inhibitor().explain(labels),
  }
}

function deliveryOf(config: Config, router: Router, integrations: readonly Integration[]): Delivery {
  return {
    router,
    integrations,
    policy: {
      tellWhenSilenceEnded: config.silences.tellWhenEnded,
      remindAcknowledgedMs:
        config.acknowledgements.remindEveryMs === 0 ? null : config.acknowledgements.remindEveryMs,
      fallbackReceiver: config.fallbackReceiver,
    },
  }
}

/** The intervals that mute a route now: those to mute in, else those of which one would have to be active. */
function mutedBy(intervals: TimeIntervals, route: Route, at: number): readonly string[] {
  const muting = intervals.mutedBy(route, at)
  if (muting.length > 0) return muting
  return intervals.isActive(route, at) ? [] : route.activeTimeIntervals
}
