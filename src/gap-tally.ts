// What a walk could not say, counted: what could not be read, and for how much rules had no answer. Each
// replica counts that in its own metrics; for the page, which the leader has, slots bring it along.

import type { UnreadReason } from './fleet/reading.ts'
import type { UnknownReason } from './fleet/verdict.ts'
import type { Unread } from './poller/walk.ts'

/** What could not be read for the same reason. Holds no id: which ones they are is in the log. */
export interface UnreadCount {
  readonly what: Unread['what']
  readonly reason: UnreadReason
  readonly count: number
  /** Of the first one. */
  readonly problem: string
}

export interface UnknownCount {
  readonly alertname: string
  readonly reason: UnknownReason
  readonly count: number
}

/** Data, to be sent from one process to another. */
export interface Gaps {
  readonly unread: readonly UnreadCount[]
  readonly unknown: readonly UnknownCount[]
}

export interface GapTally {
  addUnread(unread: Unread): void
  addUnknown(alertname: string, reason: UnknownReason): void
  /** Takes in what was counted elsewhere. */
  include(gaps: Gaps): void
  gaps(): Gaps
  /** Of one rule. */
  unknownOf(alertname: string): Readonly<Partial<Record<UnknownReason, number>>>
}

// More kinds of what is wrong with answers than anybody reads.
const mostKinds = 50

export function createGapTally(): GapTally {
  const unread = new Map<string, UnreadCount>()
  const unknown = new Map<string, Partial<Record<UnknownReason, number>>>()

  function includeUnread({ what, reason, problem, count }: UnreadCount): void {
    const key = `${what} ${reason}`
    const known = unread.get(key)
    if (known === undefined && unread.size >= mostKinds) return
    unread.set(key, { problem, ...known, what, reason, count: (known?.count ?? 0) + count })
  }

  function includeUnknown({ alertname, reason, count }: UnknownCount): void {
    const known = unknown.get(alertname)
    if (known === undefined) unknown.set(alertname, { [reason]: count })
    else known[reason] = (known[reason] ?? 0) + count
  }

  return {
    addUnread: (one) => includeUnread({ ...one, count: 1 }),
    addUnknown: (alertname, reason) => includeUnknown({ alertname, reason, count: 1 }),
    include(gaps) {
      gaps.unread.forEach(includeUnread)
      gaps.unknown.forEach(includeUnknown)
    },
    gaps: () => ({
      unread: [...unread.values()],
      unknown: [...unknown].flatMap(([alertname, counts]) =>
        (Object.entries(counts) as [UnknownReason, number][]).map(([reason, count]) => ({
          ...{ alertname, reason, count },
        })),
      ),
    }),
    unknownOf: (alertname) => ({ ...unknown.get(alertname) }),
  }
}
