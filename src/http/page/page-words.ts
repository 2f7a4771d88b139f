// What the pages say: each language fills this in. Sentences that depend on a number or a name are
// functions; names of rules, labels and receivers are the operator's own and stay as they are.

import type { AlertState, TransitionReason } from '../../alerts/alert.ts'
import type { DeviceType } from '../../fleet/device.ts'
import type { UnreadReason } from '../../fleet/reading.ts'
import type { UnknownReason } from '../../fleet/verdict.ts'
import type { WalkOutcome } from '../../monitor.ts'
import type { NotificationReason, SendOutcome } from '../../notify/notification.ts'
import type { HoldReason } from '../../notify/suppression.ts'
import type { Unread } from '../../poller/walk.ts'
import type { TabChoice } from './alert-list.ts'

export const pageLanguages = ['en', 'de'] as const
export type PageLanguage = (typeof pageLanguages)[number]

/** What is wrong with a field of a form. */
export type FieldProblem =
  | 'required'
  | 'too_long'
  | 'no_duration'
  | 'too_long_ago'
  | 'no_instant'
  | 'no_matchers'

/** Pages about something that did not work. */
export type PageNotice =
  | 'not_found'
  | 'alert_gone'
  | 'silence_gone'
  | 'bad_request'
  | 'too_large'
  | 'internal_error'
  | 'unavailable'
  | 'who_are_you'
  | 'not_allowed'
  | 'wrong_place'

export interface PageWords {
  readonly locale: string
  readonly skip: string
  readonly mainMenu: string
  readonly menu: Readonly<Record<'alerts' | 'silences' | 'walks' | 'rules' | 'receivers', string>>
  readonly switchTo: string
  readonly live: {
    readonly on: string
    readonly off: string
    readonly turnOff: string
    readonly turnOn: string
  }
  readonly signedIn: (name: string, role: string) => string
  readonly local: string
  readonly lookedAt: string
  /** `3 minutes ago`, `in 2 hours`; less than a minute. */
  readonly ago: (span: string) => string
  readonly ahead: (span: string) => string
  readonly justNow: string
  readonly span: (count: number, unit: 'minute' | 'hour' | 'day') => string
  readonly lessThanAMinute: string
  readonly number: (value: number) => string

  /** `Daikin Altherma 3 heat pump`; an empty text where something is not known. */
  readonly affected: (parts: {
    readonly maker: string
    readonly model: string
    readonly type: string
  }) => string
  readonly deviceType: Readonly<Record<DeviceType, string>>
  readonly severity: Readonly<Record<string, string>>
  readonly noSeverity: string
  readonly state: Readonly<Record<AlertState, string>>
  readonly transition: (state: AlertState, reason: TransitionReason, isFirst: boolean) => string
  readonly because: Readonly<Record<Exclude<TransitionReason, 'condition'>, string>>
  readonly times: (times: number) => string
  readonly lastTime: string
  readonly told: (status: 'firing' | 'resolved', receiver: string, integration: string) => string
  readonly toldReason: Readonly<Record<NotificationReason, string>>
  readonly unknown: Readonly<Record<UnknownReason, string>>

  readonly alerts: {
    readonly title: string
    readonly heading: (tab: TabChoice, count: number) => string
    readonly tabs: Readonly<Record<TabChoice, string>>
    readonly tabsLabel: string
    readonly filter: string
    readonly change: string
    readonly clear: string
    readonly apply: string
    readonly cancel: string
    readonly any: string
    readonly removes: (filter: string) => string
    readonly fields: Readonly<
      Record<'text' | 'rule' | 'manufacturer' | 'severity' | 'owner' | 'filter' | 'group', string>
    >
    readonly hints: Readonly<Record<'text' | 'owner' | 'filter', string>>
    readonly badFilter: string
    readonly groupFacts: (count: number) => string
    readonly toldTo: string
    readonly muted: (intervals: string) => string
    readonly all: (count: number) => string
    readonly notGrouped: string
    readonly pendingGroup: string
    readonly customer: string
    readonly pages: (page: number, pages: number) => string
    readonly pagesLabel: string
    readonly previous: string
    readonly next: string
    readonly marks: Readonly<
      Record<
        'acknowledged' | 'silenced' | 'inhibited' | 'muted' | 'unread' | 'flapping' | 'recovering',
        string
      >
    >
    readonly empty: Readonly<Record<TabChoice, readonly [title: string, text: string]>>
    readonly emptyFiltered: readonly [title: string, text: string]
    readonly beforeFirstWalk: string
  }
  readonly watch: {
    readonly label: string
    readonly neverRead: string
    readonly read: string
    readonly readGaps: string
    readonly readFailed: string
    readonly walking: string
    readonly devices: (devices: number, users: number) => string
    readonly unreadUsers: (count: number) => string
    readonly waiting: (count: number) => string
    readonly failing: string
    readonly details: string
  }
  readonly alert: {
    readonly back: string
    readonly facts: string
    readonly fact: Readonly<
      Record<
        | 'customer'
        | 'user'
        | 'device'
        | 'model'
        | 'since'
        | 'activeSince'
        | 'resolvedAt'
        | 'receivers'
        | 'evaluated'
        | 'labels'
        | 'fingerprint',
        string
      >
    >
    readonly nobody: string
    readonly actions: string
    readonly acknowledge: string
    readonly withdraw: string
    readonly silence: string
    readonly resolve: string
    readonly explain: string
    readonly runbook: string
    readonly onlyOperators: string
    readonly acknowledgedBy: (who: string) => string
    readonly until: string
    readonly untilResolved: string
    readonly heldBack: string
    readonly bySilence: string
    readonly byAlert: string
    readonly byInterval: (name: string) => string
    readonly unreadSince: string
    readonly flappingSince: string
    readonly story: string
    readonly storyEmpty: string
    readonly storyNote: string
    readonly earlier: string
  }
  readonly acknowledge: {
    readonly title: string
    readonly text: string
    readonly by: string
    readonly comment: string
    readonly commentHint: string
    readonly duration: string
    readonly durationHint: string
    readonly submit: string
    readonly cancel: string
  }
  readonly link: {
    readonly title: string
    readonly text: string
    readonly open: string
    readonly none: readonly [title: string, text: string]
    readonly validUntil: string
    readonly warning: string
  }
  readonly explain: {
    readonly title: string
    readonly text: string
    readonly read: Readonly<Record<'read' | 'unread' | 'deleted' | 'missing', string>>
    readonly verdict: (verdict: boolean | UnknownReason) => string
    readonly rule: string
    readonly clear: string
    readonly part: string
    readonly value: string
    readonly timers: string
    readonly nothingToWaitFor: string
    readonly route: string
    readonly next: string
    readonly nextTick: string
    readonly noGroups: string
    readonly owner: string
    readonly held: Readonly<Record<HoldReason, string>>
    readonly notADevice: string
    readonly english: string
  }
  readonly silences: {
    readonly title: string
    readonly headings: Readonly<Record<'active' | 'pending' | 'expired', string>>
    readonly none: Readonly<Record<'active' | 'pending' | 'expired', string>>
    readonly more: (count: number) => string
    readonly create: string
    readonly expire: string
    readonly extend: string
    readonly again: string
    readonly holds: (count: number) => string
    readonly by: (who: string) => string
    readonly starts: string
    readonly ends: string
    readonly ended: string
    readonly endsWithAlerts: string
    readonly endsUnmatched: (duration: string) => string
  }
  readonly silence: {
    readonly title: string
    readonly text: string
    readonly matchers: string
    readonly matchersHint: string
    readonly scopes: string
    readonly scope: Readonly<Record<'alert' | 'device' | 'rule' | 'manufacturer', string>>
    readonly starts: string
    readonly startsHint: string
    readonly duration: string
    readonly durationHint: string
    readonly comment: string
    readonly commentHint: string
    readonly by: string
    readonly endsEarly: string
    readonly endsEarlyHint: string
    readonly preview: string
    readonly previewTitle: string
    readonly matches: (count: number, firing: number) => string
    readonly matchesNone: string
    readonly matchesMany: string
    readonly first: (shown: number) => string
    readonly starting: (isNow: boolean) => string
    readonly lasting: string
    readonly set: string
    readonly change: string
    readonly cancel: string
    readonly refused: string
    readonly extendTitle: string
    readonly extendText: string
    readonly newDuration: string
    readonly extendSubmit: string
  }
  readonly walks: {
    readonly title: string
    readonly text: string
    readonly outcome: Readonly<Record<WalkOutcome, string>>
    readonly lasted: string
    readonly read: (users: number, devices: number) => string
    readonly notRead: (users: number, devices: number) => string
    readonly what: Readonly<Record<Unread['what'], string>>
    readonly reason: Readonly<Record<UnreadReason, string>>
    readonly unread: string
    readonly none: readonly [title: string, text: string]
    readonly since: string
    readonly promise: string
    readonly running: string
  }
  readonly rules: {
    readonly title: string
    readonly text: string
    readonly columns: Readonly<
      Record<
        'rule' | 'severity' | 'about' | 'waits' | 'firing' | 'pending' | 'day' | 'last' | 'health',
        string
      >
    >
    readonly each: Readonly<Record<'user' | 'fleet' | 'service', string>>
    readonly ok: string
    readonly failing: (count: number) => string
    readonly unknownFor: (count: number, reasons: string) => string
    readonly never: string
    readonly keeps: (duration: string) => string
    readonly none: readonly [title: string, text: string]
    readonly counted: string
    readonly atOnce: string
  }
  readonly receivers: {
    readonly title: string
    readonly text: string
    readonly never: string
    readonly outcome: Readonly<Record<SendOutcome['kind'] | 'timeout', string>>
    readonly lastAttempt: string
    readonly lastDelivered: string
    readonly delivered: (count: number) => string
    readonly failure: (reason: string, attempts: number) => string
    readonly permanent: string
    readonly nowhere: string
    readonly kinds: Readonly<Record<string, string>>
  }
  readonly problem: (problem: FieldProblem, most: number) => string
  readonly problems: (count: number) => string
  readonly notices: Readonly<Record<PageNotice, readonly [title: string, text: string]>>
  readonly toAlerts: string
  readonly reason: string
}
