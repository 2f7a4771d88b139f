// Which receiver an alert goes to, and with which alerts it shares a message. Words and defaults
// are Alertmanager's.

import type { Labels } from '../alerts/alert.ts'

export interface Route {
  readonly receiver: string
  /** Label names, or 'all' for `...`: every label set is a group of its own. */
  readonly groupBy: readonly string[] | 'all'
  /** How long a new group waits for more members before its first message. */
  readonly groupWaitMs: number
  /** Time between two ticks of a group: news about it waits for the next one. */
  readonly groupIntervalMs: number
  /** Time after which a group that still fires, and has no news, is told again. */
  readonly repeatIntervalMs: number
}

/** The labels that the members of an alert's group have in common. */
export function groupLabels(labels: Labels, route: Route): Labels {
  if (route.groupBy === 'all') return labels
  const common: Record<string, string> = {}
  for (const name of route.groupBy) {
    const value = labels[name]
    if (value !== undefined) common[name] = value
  }
  return common
}

/** Alertmanager's notation: the route's own key, then the group's labels. */
export function groupKey(labels: Labels): string {
  const pairs = Object.keys(labels)
    .sort()
    .map((name) => `${name}=${JSON.stringify(labels[name])}`)
  return `{}:{${pairs.join(', ')}}`
}
