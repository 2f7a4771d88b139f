// Which receivers an alert goes to, and with which alerts it shares a message. Words and rules are
// Alertmanager's.
//
// Terms: the *tree* of routes is searched depth first, left to right; a route *takes* an alert when
// it matches and none of the routes below it does. An alert may be taken by several (`continue`),
// and by the root when by nothing else. The *group* of an alert is made of the route that took it
// and of the labels that the route groups by.
//
// It is asked for every alert of a storm, so it remembers what it found out; what it remembers is
// bounded. It never looks at time intervals, silences or inhibition: an alert's routes do not change.

import type { Labels } from '../alerts/alert.ts'
import type { Route } from '../config.ts'
import { type Matcher, matchesAll } from '../matcher.ts'

export interface Router {
  /** The routes that take an alert with these labels, in the order of the tree: at least one. */
  routesFor(labels: Labels): readonly Route[]
  /** The group that an alert with these labels belongs to at one of its routes. */
  groupOf(labels: Labels, route: Route): AlertGroup
  /** The search that `routesFor` makes, told: each route that is looked at, and those left out. */
  explain(labels: Labels): readonly RouteStep[]
  /** Undefined: no route of this tree has the key. */
  routeByKey(key: string): Route | undefined
}

export interface AlertGroup {
  /** Alertmanager's notation: the route's key, then the group's labels: `{}:{alertname="X"}`. */
  readonly key: string
  /** What the members have in common; labels that they lack are left out. */
  readonly labels: Labels
}

export interface RouteStep {
  readonly route: Route
  /** 0 is the root. */
  readonly depth: number
  readonly outcome: RouteOutcome
  /** The matchers that do not hold; none unless the outcome is `no match`. */
  readonly failed: readonly Matcher[]
  /** The earlier sibling that ended the search; null unless the outcome is `not reached`. */
  readonly endedBy: Route | null
}

export type RouteOutcome =
  /** Taken: it matches and has no routes below it. */
  | 'taken'
  /** Taken: it matches, and no route below it does. */
  | 'taken, none below matches'
  /** It matches, and so do routes below it, which take the alert in its place. */
  | 'left to those below'
  | 'no match'
  /** Not looked at, nor is what is below it: a sibling before it matched and does not `continue`. */
  | 'not reached'

// Different values that are remembered. Beyond it everything is forgotten and found out anew: labels
// come and go over months, and what is remembered should be of the present.
const mostRemembered = 10_000

/** `root`: its key has to be unique in its tree, as those of all routes; its matchers are not asked. */
export function createRouter(root: Route): Router {
  const byKey = new Map<string, Route>()
  const groupers = new Map<Route, (labels: Labels) => AlertGroup>()
  const namesRead = new Set<string>()
  visit(root)

  function visit(route: Route): void {
    byKey.set(route.key, route)
    groupers.set(route, createGrouper(route))
    for (const { name } of route.matchers) namesRead.add(name)
    for (const child of route.routes) visit(child)
  }

  return {
    routesFor: rememberedBy([...namesRead], (labels) => takersFrom(root, labels)),
    groupOf(labels, route) {
      const grouper = groupers.get(route)
      if (grouper === undefined) {
        throw new Error(`the route ${route.key} is none of this tree: ask the router that it came from`)
      }
      return grouper(labels)
    },
    explain: (labels) => stepsFrom(root, 0, labels),
    routeByKey: (key) => byKey.get(key),
  }
}

/** `route` matches; it takes the alert itself when none of its children does. */
function takersFrom(route: Route, labels: Labels): readonly Route[] {
  const takers: Route[] = []
  for (const child of route.routes) {
    if (!matchesAll(child.matchers, labels)) continue
    takers.push(...takersFrom(child, labels))
    if (!child.continue) break
  }
  return takers.length > 0 ? takers : [route]
}

/** The same search as takersFrom, in words: `route` matches, and its own step comes first. */
function stepsFrom(route: Route, depth: number, labels: Labels): RouteStep[] {
  const below: RouteStep[] = []
  let matched = false
  let endedBy: Route | null = null
  for (const child of route.routes) {
    const step = { route: child, depth: depth + 1, failed: [], endedBy }
    if (endedBy !== null) {
      below.push({ ...step, outcome: 'not reached' })
      continue
    }
    const failed = child.matchers.filter((matcher) => !matchesAll([matcher], labels))
    if (failed.length > 0) {
      below.push({ ...step, outcome: 'no match', failed })
      continue
    }
    matched = true
    below.push(...stepsFrom(child, depth + 1, labels))
    if (!child.continue) endedBy = child
  }
  const taken: RouteOutcome = route.routes.length === 0 ? 'taken' : 'taken, none below matches'
  const outcome = matched ? 'left to those below' : taken
  return [{ route, depth, outcome, failed: [], endedBy: null }, ...below]
}

/** The labels that the members of an alert's group have in common. */
export function groupLabels(labels: Labels, route: Pick<Route, 'groupBy'>): Labels {
  if (route.groupBy === 'all') return labels
  const common: Record<string, string> = {}
  for (const name of route.groupBy) {
    // Not every property is a label: objects inherit a `constructor`.
    if (Object.hasOwn(labels, name)) common[name] = labels[name] ?? ''
  }
  return common
}

function createGrouper(route: Route): (labels: Labels) => AlertGroup {
  const groupFor = (labels: Labels) => {
    const common = groupLabels(labels, route)
    return { key: `${route.key}:${formatLabels(common)}`, labels: common }
  }
  // Each label set is a group of its own, which nothing else asks for.
  return route.groupBy === 'all' ? groupFor : rememberedBy(route.groupBy, groupFor)
}

/** As Alertmanager prints them: `{alertname="X", manufacturer="Y"}`, in the order of their names. */
function formatLabels(labels: Labels): string {
  const pairs = Object.keys(labels)
    .sort()
    .map((name) => `${name}=${JSON.stringify(labels[name])}`)
  return `{${pairs.join(', ')}}`
}

/** `find`, asked once for labels that agree in `names`. It must not read any others. */
function rememberedBy<T>(names: readonly string[], find: (labels: Labels) => T): (labels: Labels) => T {
  const known = new Map<string, T>()
  return (labels) => {
    let values = ''
    // With their lengths, so that no two look the same here; a label that is missing has none.
    for (const name of names) {
      const value = labels[name]
      values += value === undefined ? ':' : `${value.length}:${value}`
    }
    let found = known.get(values)
    if (found === undefined) {
      found = find(labels)
      if (known.size >= mostRemembered) known.clear()
      known.set(values, found)
    }
    return found
  }
}
