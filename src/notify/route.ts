// Which receiver an alert goes to, and with which alerts it shares a message. Words and defaults
// are Alertmanager's.

import type { Labels } from '../alerts/alert.ts'
import type { Route } from '../config.ts'

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
