// A guard against floods. What newly fires during a walk waits for the walk's end, since only then is
// known what it is part of: an outage that inhibits it, or a change of so much at once that somebody
// should look first (a rule that was edited, a field that the partner renamed). In that case one
// alert, MassChange, asks for that look, and everything that fired since waits until somebody
// acknowledges it or `holdMs` is over. Nothing is lost, and nothing waits for ever.
//
// Terms: a *round* is a walk and the rechecks after it, up to the next walk or the end of a hold. What
// fires in one round is counted together.
//
// Alerts about the fleet never wait: they are the news that explains the others. The state is in the
// MassChange alert itself, whose subject says since when, so it survives a restart.

import { type Alert, isFiring } from './alert.ts'
import type { AlertBook } from './alert-book.ts'
import { nobody } from './labels.ts'
import { builtInId, type Raise } from './raise.ts'

export interface MassChangeLimits {
  /** Of the devices, above 0 up to 1. */
  readonly share: number
  /** Fewer new alerts than these are never a mass change. */
  readonly minimum: number
  readonly holdMs: number
}

export interface MassChangeGuard {
  /** A walk begins (ms since 1970). */
  begin(at: number): void
  /** It ended, and what it found is saved; `devices`: all that there are. */
  end(at: number, devices: number): void
  /** It was stopped, or failed. */
  abandon(): void
  /** Looks at what rechecks found, and ends a hold that is over or acknowledged; due every few seconds. */
  tend(at: number): void
  heldFor(alert: Alert, at: number): 'walk' | 'mass change' | null
}

const ruleId = builtInId('MassChange')
const subjectPrefix = 'mass-change/'
// The longest that a new alert waits for the end of a walk over a fleet that takes an hour.
const longestWalkHoldMs = 5 * 60_000

export function createMassChangeGuard({
  book,
  raise,
  limits,
  isHeldBack,
  isAcknowledged,
}: {
  readonly book: AlertBook
  readonly raise: Raise
  /** Null: no number of new alerts is too many. */
  readonly limits: () => MassChangeLimits | null
  /** Inhibited or silenced: tells nobody anything, however many there are. */
  readonly isHeldBack: (alert: Alert, at: number) => boolean
  readonly isAcknowledged: (alert: Alert, at: number) => boolean
}): MassChangeGuard {
  let walkSince: number | null = null
  /** Of the present round; `devices` null: its walk has not ended. */
  let round: { readonly since: number; readonly devices: number | null } | null = null
  let hold = findHold(book.all())
  book.subscribe((transitions) => {
    if (transitions.some(({ before, after }) => (after ?? before)?.ruleId === ruleId))
      hold = findHold(book.all())
  })

  function isHolding(at: number): boolean {
    const { holdMs } = limits() ?? { holdMs: 0 }
    return hold !== null && at < hold.alert.activeAt + holdMs && !isAcknowledged(hold.alert, at)
  }

  /** Begins a hold if this round has been too much. */
  function look(at: number): void {
    const allowed = limits()
    if (allowed === null || round === null || round.devices === null || isHolding(at)) return
    const { since, devices } = round
    const byRule = new Map<string, number>()
    let count = 0
    for (const alert of book.all()) {
      if (!firedSince(alert, since) || isHeldBack(alert, at)) continue
      const { alertname = '' } = alert.labels
      byRule.set(alertname, (byRule.get(alertname) ?? 0) + 1)
      count++
    }
    if (count < Math.max(allowed.minimum, devices * allowed.share)) return
    raise({ ruleId, subject: { kind: 'fleet', group: `${subjectPrefix}${since}` }, at }, true, () => ({
      labels: { alertname: 'MassChange', severity: 'critical' },
      annotations: {
        summary: `${count} alerts would newly fire at once, of ${devices} devices: ${mostOften(byRule)}`,
        description:
          `They wait until ${new Date(at + allowed.holdMs).toISOString().slice(0, 16)}Z, then they are told. ` +
          'Acknowledge this alert to have them told now; if a rule is wrong, correct it, or silence them.',
      },
      affected: nobody,
    }))
  }

  return {
    begin(at) {
      walkSince = at
      round = { since: at, devices: null }
    },
    end(at, devices) {
      if (walkSince === null) return
      round = { since: walkSince, devices }
      walkSince = null
      look(at)
    },
    abandon() {
      walkSince = null
    },
    tend(at) {
      if (hold === null) return look(at)
      if (isHolding(at)) return
      // What was held is let go, and counts no more.
      if (round !== null) round = { ...round, since: at }
      const { subject, labels, annotations, affected } = hold.alert
      raise({ ruleId, subject, at }, false, () => ({ labels, annotations, affected }))
    },
    heldFor(alert, at) {
      if (walkSince !== null && firedSince(alert, walkSince) && at < walkSince + longestWalkHoldMs)
        return 'walk'
      return hold !== null && firedSince(alert, hold.since) && isHolding(at) ? 'mass change' : null
    },
  }
}

/** About a device or a user, and not known before `since`. */
function firedSince(alert: Alert, since: number): boolean {
  return alert.subject.kind !== 'fleet' && isFiring(alert) && (alert.firedAt ?? 0) >= since
}

function findHold(alerts: Iterable<Alert>): { readonly alert: Alert; readonly since: number } | null {
  for (const alert of alerts) {
    if (alert.ruleId !== ruleId || !isFiring(alert) || alert.subject.kind !== 'fleet') continue
    const since = Number(alert.subject.group.slice(subjectPrefix.length))
    if (Number.isFinite(since)) return { alert, since }
  }
  return null
}

function mostOften(counts: ReadonlyMap<string, number>): string {
  const most = [...counts].sort(([, a], [, b]) => b - a)
  const shown = most.slice(0, 3).map(([name, count]) => `${count} ${name}`)
  return [...shown, ...(most.length > 3 ? [`${most.length - 3} more rules`] : [])].join(', ')
}
