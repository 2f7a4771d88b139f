// The routing tree: who is told, in which groups, and when. A route inherits the receiver, the grouping
// and the timers of its parent, but neither its matchers nor its time intervals.

import { z } from 'zod'
import { formatMatchers, type Matcher } from '../matcher.ts'
import { refusedKeys } from '../schema-message.ts'
import type { YamlPath } from '../yaml-file.ts'
import { refusedInRootRoute } from './alertmanager-keys.ts'
import { duration, text } from './fields.ts'
import {
  checkMatchers,
  labelMapping,
  labelName,
  matcherList,
  resolveMatchers,
  routeMatcherKeys,
} from './matcher-schema.ts'
import { type CheckContext, mapping, mappings, texts } from './unchecked.ts'

/** A node of the routing tree. What it inherits is filled in. */
export interface Route {
  /**
   * Unique in the tree; Alertmanager's notation: `{}/{severity="critical"}`. The root's is `{}`. Of
   * siblings with the same matchers, those after the first end in their position: `{}/{a="1"}/3`.
   */
  readonly key: string
  readonly receiver: string
  /** All have to match; the root has none. */
  readonly matchers: readonly Matcher[]
  /** Whether later siblings are looked at after this one has matched. */
  readonly continue: boolean
  /** Label names, or 'all' for `...`: every label set is a group of its own. */
  readonly groupBy: readonly string[] | 'all'
  readonly groupWaitMs: number
  readonly groupIntervalMs: number
  readonly repeatIntervalMs: number
  /** Names of time intervals; not inherited. */
  readonly muteTimeIntervals: readonly string[]
  readonly activeTimeIntervals: readonly string[]
  readonly routes: readonly Route[]
}

const deepest = 32
const mostRoutes = 5_000

// --- schema

const second = 1_000
const groupLabel = text({
  expected: "a label name such as alertname, or '...' alone for all labels",
  holds: (value) => value === '...' || labelName.safeParse(value).success,
})
const groupBy = z
  .array(groupLabel)
  .refine((labels) => new Set(labels).size === labels.length, {
    params: { expected: 'each label only once' },
  })
  .refine((labels) => labels.length < 2 || !labels.includes('...'), {
    params: { expected: "'...' (all labels) without other labels" },
  })
const described = {
  receiver: 'Name of the receiver. Default: that of the route above.',
  groupBy: "Alerts that agree in these labels share a message. ['...']: each label set on its own.",
  groupWait: 'How long a new group waits for more alerts before its first message.',
  groupInterval: 'Least time between two messages about a group that has news.',
  repeatInterval: 'After this time, a group that still fires and has no news is told again.',
  routes: 'Looked at in this order; the first that matches takes the alert, unless it says `continue`.',
}

/** As the schema gives it, durations in milliseconds. */
interface ParsedRoute {
  receiver?: string | undefined
  matchers?: string[] | undefined
  match?: Record<string, string> | undefined
  match_re?: Record<string, string> | undefined
  continue?: boolean | undefined
  group_by?: string[] | undefined
  group_wait?: number | undefined
  group_interval?: number | undefined
  repeat_interval?: number | undefined
  mute_time_intervals?: string[] | undefined
  active_time_intervals?: string[] | undefined
  routes?: ParsedRoute[] | undefined
}

const innerRouteSchema: z.ZodType<ParsedRoute> = z.strictObject({
  receiver: z.string().optional().describe(described.receiver),
  matchers: matcherList().optional().describe('All have to match, such as severity="critical".'),
  match: labelMapping().optional().describe('Deprecated in Alertmanager: label and value. Use matchers.'),
  match_re: labelMapping()
    .optional()
    .describe('Deprecated in Alertmanager: label and pattern. Use matchers.'),
  continue: z.boolean().optional().describe('Look at later siblings too. Default: false.'),
  group_by: groupBy.optional().describe(`${described.groupBy} []: all in one group.`),
  group_wait: duration({ minimumMs: 0 }).optional().describe(described.groupWait),
  group_interval: duration({ minimumMs: second }).optional().describe(described.groupInterval),
  repeat_interval: duration({ minimumMs: second }).optional().describe(described.repeatInterval),
  mute_time_intervals: z.array(z.string()).optional().describe('Nothing is told in these. Not inherited.'),
  active_time_intervals: z
    .array(z.string())
    .optional()
    .describe('Nothing is told outside of these. Not inherited.'),
  get routes(): z.ZodOptional<z.ZodArray<z.ZodType<ParsedRoute>>> {
    return z.array(innerRouteSchema).optional().describe(described.routes)
  },
})

const rootSchema = z
  .strictObject({
    receiver: z.string().describe('Name of the receiver that gets what no route below takes.'),
    continue: z.literal(false).optional().describe('Always false at the root.'),
    group_by: groupBy.prefault([]).describe(described.groupBy),
    group_wait: duration({ minimumMs: 0 }).prefault('30s').describe(described.groupWait),
    group_interval: duration({ minimumMs: second }).prefault('5m').describe(described.groupInterval),
    repeat_interval: duration({ minimumMs: second }).prefault('4h').describe(described.repeatInterval),
    routes: z.array(innerRouteSchema).prefault([]).describe(described.routes),
  })
  .register(refusedKeys, { keys: refusedInRootRoute })

/** Before anything recurses into the tree, its size is looked at. */
export const routeSchema = z.preprocess((value, context) => {
  const oversize = findOversize(value)
  if (oversize === undefined) return value
  context.issues.push({ code: 'custom', input: value, ...oversize })
  return z.NEVER
}, rootSchema)

function findOversize(root: unknown): { path: (string | number)[]; message: string } | undefined {
  const left: { route: unknown; path: (string | number)[] }[] = [{ route: root, path: [] }]
  let count = 0
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (++count > mostRoutes) return { path: [], message: `more than ${mostRoutes} routes` }
    const { route, path } = next
    if (path.length > 2 * deepest) return { path, message: `routes nest deeper than ${deepest} levels` }
    for (const [index, child] of mappings(mapping(route)['routes'])) {
      left.push({ route: child, path: [...path, 'routes', index] })
    }
  }
  return undefined
}

// --- checks across

/** Says that a name at a path is none of the known ones. */
export type CheckName = (name: string, path: YamlPath) => void

type RouteContext = CheckContext & { readonly receiver: CheckName; readonly timeInterval: CheckName }

export function checkRoutes(root: unknown, path: YamlPath, context: RouteContext): void {
  // The schema says so, and nothing else is worth saying.
  if (findOversize(root) !== undefined) return
  checkRoute(root, path, context)
}

function checkRoute(route: unknown, path: YamlPath, context: RouteContext): void {
  const node = mapping(route)
  if (typeof node['receiver'] === 'string') context.receiver(node['receiver'], [...path, 'receiver'])
  checkMatchers(node, path, routeMatcherKeys, context)
  for (const key of ['mute_time_intervals', 'active_time_intervals']) {
    for (const [index, name] of texts(node[key])) context.timeInterval(name, [...path, key, index])
  }
  for (const [index, child] of mappings(node['routes'])) {
    checkRoute(child, [...path, 'routes', index], context)
  }
}

// --- resolution

export function resolveRoute(root: z.output<typeof rootSchema>): Route {
  const { receiver, group_by, group_wait, group_interval, repeat_interval } = root
  const inherited: Inherited = {
    receiver,
    groupBy: groupedBy(group_by),
    groupWaitMs: group_wait,
    groupIntervalMs: group_interval,
    repeatIntervalMs: repeat_interval,
  }
  return {
    key: '{}',
    matchers: [],
    continue: false,
    ...inherited,
    muteTimeIntervals: [],
    activeTimeIntervals: [],
    routes: resolveChildren(root.routes, '{}', inherited),
  }
}

type Inherited = Pick<Route, 'receiver' | 'groupBy' | 'groupWaitMs' | 'groupIntervalMs' | 'repeatIntervalMs'>

function resolveChildren(
  routes: readonly ParsedRoute[] | undefined,
  parentKey: string,
  parent: Inherited,
): readonly Route[] {
  const taken = new Set<string>()
  return (routes ?? []).map((route, position) => {
    const matchers = resolveMatchers({ list: route.matchers, equal: route.match, pattern: route.match_re })
    const plainKey = `${parentKey}/${formatMatchers(matchers)}`
    const key = taken.has(plainKey) ? `${plainKey}/${position}` : plainKey
    taken.add(plainKey)
    const inherited: Inherited = {
      receiver: route.receiver ?? parent.receiver,
      groupBy: route.group_by === undefined ? parent.groupBy : groupedBy(route.group_by),
      groupWaitMs: route.group_wait ?? parent.groupWaitMs,
      groupIntervalMs: route.group_interval ?? parent.groupIntervalMs,
      repeatIntervalMs: route.repeat_interval ?? parent.repeatIntervalMs,
    }
    return {
      key,
      matchers,
      continue: route.continue ?? false,
      ...inherited,
      muteTimeIntervals: route.mute_time_intervals ?? [],
      activeTimeIntervals: route.active_time_intervals ?? [],
      routes: resolveChildren(route.routes, key, inherited),
    }
  })
}

function groupedBy(labels: readonly string[]): readonly string[] | 'all' {
  return labels.includes('...') ? 'all' : labels
}
