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

// Different groups whose keys are kept; more are made anew each time.
const mostKeys = 10_000

/** The key of the group that an alert with these labels belongs to. Made once for each group. */
export function createGroupKeys(route: Route): (labels: Labels) => string {
  const { groupBy } = route
  if (groupBy === 'all') return groupKey
  const known = new Map<string, string>()
  return (labels) => {
    let values = ''
    // With their lengths, so that no two groups look the same here.
    for (const name of groupBy) values += `${labels[name]?.length ?? ''}:${labels[name] ?? ''}`
    let key = known.get(values)
    if (key === undefined) {
      key = groupKey(groupLabels(labels, route))
      if (known.size < mostKeys) known.set(values, key)
    }
    return key
  }
}

/** Alertmanager's notation: the route's own key, then the group's labels. */
export function groupKey(labels: Labels): string {
  const pairs = Object.keys(labels)
    .sort()
    .map((name) => `${name}=${JSON.stringify(labels[name])}`)
  return `{}:{${pairs.join(', ')}}`
}
