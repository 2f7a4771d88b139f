// Which alerts share a message: every alert is a member of one group for each route that its labels
// lead to. A group lives as long as it has members; its timer is kept so that neither a restart nor a
// reload hastens or delays what it tells.

import type { Alert, Labels } from '../alerts/alert.ts'
import type { Route } from '../config.ts'
import type { Router } from './route.ts'
import type { GroupTimer } from './store.ts'

export interface Group {
  readonly key: string
  readonly labels: Labels
  readonly route: Route
  /** By fingerprint. */
  readonly members: Map<string, Alert>
  timer: GroupTimer
}

export interface Groups {
  /** Into every group that it belongs to; they begin if they have to. */
  place(alert: Alert): void
  /** Takes the alert's new state into those groups that have it already. */
  refresh(alert: Alert): void
  remove(alert: Alert): void
  /** Those that have it now. */
  having(alert: Alert): readonly Group[]
  get(key: string): Group | undefined
  all(): readonly Group[]
  size(): number
  delete(group: Group): void
  timers(): readonly GroupTimer[]
}

/** `timers`: of groups that were there before, for those that begin again. */
export function createGroups(router: Router, timers: readonly GroupTimer[]): Groups {
  const groups = new Map<string, Group>()
  const earlierTimers = new Map(timers.map((timer) => [timer.groupKey, timer]))

  function begin(key: string, labels: Labels, route: Route, alert: Alert): Group {
    const firstAt = (alert.firedAt ?? alert.evaluatedAt) + route.groupWaitMs
    const timer = earlierTimers.get(key) ?? { groupKey: key, nextFlushAt: firstAt, flushed: false }
    const group = { key, labels, route, members: new Map(), timer }
    groups.set(key, group)
    return group
  }

  function having(alert: Alert): readonly Group[] {
    const found: Group[] = []
    for (const route of router.routesFor(alert.labels)) {
      const group = groups.get(router.groupOf(alert.labels, route).key)
      if (group?.members.has(alert.fingerprint)) found.push(group)
    }
    return found
  }

  return {
    place(alert) {
      for (const route of router.routesFor(alert.labels)) {
        const { key, labels } = router.groupOf(alert.labels, route)
        const group = groups.get(key) ?? begin(key, labels, route, alert)
        group.members.set(alert.fingerprint, alert)
      }
    },
    refresh(alert) {
      for (const group of having(alert)) group.members.set(alert.fingerprint, alert)
    },
    remove(alert) {
      for (const { members } of having(alert)) {
        // Another episode may have its place by now.
        if (members.get(alert.fingerprint)?.episode === alert.episode) members.delete(alert.fingerprint)
      }
    },
    having,
    get: (key) => groups.get(key),
    all: () => [...groups.values()],
    size: () => groups.size,
    delete(group) {
      groups.delete(group.key)
      earlierTimers.delete(group.key)
    },
    timers: () => [...groups.values()].map(({ timer }) => timer),
  }
}
