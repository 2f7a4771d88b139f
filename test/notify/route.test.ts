import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Labels } from '../../src/alerts/alert.ts'
import type { Route } from '../../src/config.ts'
import { createMatcher, formatMatchers, type Matcher, parseMatchers } from '../../src/matcher.ts'
import { createRouter, groupLabels } from '../../src/notify/route.ts'

interface Node extends Partial<Omit<Route, 'matchers' | 'routes'>> {
  readonly match?: string
  readonly routes?: readonly Node[]
}

/** A tree with Alertmanager's keys. Receivers are inherited. */
function tree({ match = '', routes = [], ...given }: Node, above?: { key: string; receiver: string }): Route {
  const matchers = parseMatchers(match)
  const own = formatMatchers(matchers)
  const route = {
    key: above === undefined ? own : `${above.key}/${own}`,
    receiver: above?.receiver ?? 'fallback',
    matchers,
    continue: false,
    groupBy: ['alertname'],
    groupWaitMs: 30_000,
    groupIntervalMs: 300_000,
    repeatIntervalMs: 14_400_000,
    muteTimeIntervals: [],
    activeTimeIntervals: [],
    ...given,
  }
  return { ...route, routes: routes.map((child) => tree(child, route)) }
}

const onCall = tree({
  routes: [
    {
      match: 'severity="critical"',
      receiver: 'pager',
      continue: true,
      routes: [{ match: 'manufacturer="Tesla"', receiver: 'tesla' }],
    },
    { match: 'device_type=~"heat_pump|inverter"', receiver: 'heating' },
    { match: 'manufacturer!="Tesla"', receiver: 'rest' },
  ],
})

function receivers(root: Route, labels: Labels): string[] {
  return createRouter(root)
    .routesFor(labels)
    .map((route) => route.receiver)
}

describe('the routes of an alert', () => {
  it.each<[Labels, string[]]>([
    [{ severity: 'critical', manufacturer: 'Tesla', device_type: 'ev' }, ['tesla']],
    [{ severity: 'critical', manufacturer: 'Bosch', device_type: 'heat_pump' }, ['pager', 'heating']],
    [{ severity: 'warning', manufacturer: 'Bosch', device_type: 'inverter' }, ['heating']],
    [{ severity: 'warning', manufacturer: 'Bosch', device_type: 'ev' }, ['rest']],
    [{ severity: 'warning', manufacturer: 'Tesla', device_type: 'ev' }, ['fallback']],
    [{}, ['rest']],
  ])('of %o are %o', (labels, expected) => {
    expect(receivers(onCall, labels)).toEqual(expected)
  })

  it('are the root alone where there is no other', () => {
    expect(receivers(tree({ receiver: 'all' }), { alertname: 'X' })).toEqual(['all'])
  })

  it('ask all matchers of a route, and take a missing label for an empty one', () => {
    const root = tree({ routes: [{ match: 'a="1",b=""', receiver: 'both' }] })
    expect(receivers(root, { a: '1' })).toEqual(['both'])
    expect(receivers(root, { a: '1', b: '' })).toEqual(['both'])
    expect(receivers(root, { a: '1', b: '2' })).toEqual(['fallback'])
    expect(receivers(root, { b: '' })).toEqual(['fallback'])
  })

  it('are found once for all alerts that differ only in labels that no matcher reads', () => {
    let asked = 0
    const counting: Matcher = {
      ...createMatcher('severity', '=', 'critical'),
      test(value) {
        asked++
        return value === 'critical'
      },
    }
    const root = tree({ routes: [{ receiver: 'pager' }] })
    const [child] = root.routes
    const router = createRouter({ ...root, routes: [{ ...child!, matchers: [counting] }] })
    for (let n = 0; n < 1_000; n++) {
      router.routesFor({ severity: n % 2 === 0 ? 'critical' : 'warning', device_id: `d${n}` })
    }
    expect(asked).toBe(2)
  })

  it('are right for more different labels than are remembered', () => {
    const router = createRouter(tree({ routes: [{ match: 'user_id="u11000"', receiver: 'one' }] }))
    for (const _ of [1, 2]) {
      for (let n = 0; n < 12_000; n++) {
        expect(router.routesFor({ user_id: `u${n}` })[0]?.receiver).toBe(n === 11_000 ? 'one' : 'fallback')
      }
    }
  })

  it('are known by their keys', () => {
    const router = createRouter(onCall)
    const [tesla] = router.routesFor({ severity: 'critical', manufacturer: 'Tesla' })
    expect(tesla?.key).toBe('{}/{severity="critical"}/{manufacturer="Tesla"}')
    expect(router.routeByKey('{}/{severity="critical"}/{manufacturer="Tesla"}')).toBe(tesla)
    expect(router.routeByKey('{}')).toBe(onCall)
    expect(router.routeByKey('{}/{severity="none"}')).toBeUndefined()
  })
})

describe('the group of an alert', () => {
  const labels = { user_id: 'u1', manufacturer: 'Bosch "Home"', alertname: 'Stale' }

  function keyOf(groupBy: Route['groupBy'], of: Labels = labels): string {
    const root = tree({ groupBy })
    return createRouter(root).groupOf(of, root).key
  }

  it('is named as Alertmanager does, by its labels in the order of their names', () => {
    expect(keyOf(['manufacturer', 'alertname'])).toBe(
      '{}:{alertname="Stale", manufacturer="Bosch \\"Home\\""}',
    )
    expect(keyOf([])).toBe('{}:{}')
    expect(keyOf('all')).toBe('{}:{alertname="Stale", manufacturer="Bosch \\"Home\\"", user_id="u1"}')
  })

  it('leaves out labels that are missing', () => {
    const root = tree({ groupBy: ['alertname', 'region'] })
    expect(createRouter(root).groupOf(labels, root)).toEqual({
      key: '{}:{alertname="Stale"}',
      labels: { alertname: 'Stale' },
    })
    expect(groupLabels(labels, root)).toEqual({ alertname: 'Stale' })
    expect(keyOf(['constructor', 'alertname'])).toBe('{}:{alertname="Stale"}')
  })

  it('is one for each label set when the route groups by all labels', () => {
    const root = tree({ groupBy: 'all' })
    const router = createRouter(root)
    const keys = ['u1', 'u2', 'u1'].map((user_id) => router.groupOf({ user_id }, root).key)
    expect(keys).toEqual(['{}:{user_id="u1"}', '{}:{user_id="u2"}', '{}:{user_id="u1"}'])
  })

  it('is another at each route', () => {
    const router = createRouter(onCall)
    const alert = { alertname: 'Stale', severity: 'critical', device_type: 'heat_pump' }
    expect(router.routesFor(alert).map((route) => router.groupOf(alert, route).key)).toEqual([
      '{}/{severity="critical"}:{alertname="Stale"}',
      '{}/{device_type=~"heat_pump|inverter"}:{alertname="Stale"}',
    ])
  })

  it('is the same only for alerts that agree in all of its labels', () => {
    const value = fc.constantFrom('', ':', '0:', '1', '1:1', ':1', '1:', '"', '", b="')
    const labelSets = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), value)
    const root = tree({ groupBy: ['b', 'a', 'c'] })
    const router = createRouter(root)
    fc.assert(
      fc.property(fc.array(labelSets), (all) => {
        for (const one of all) {
          const { key, labels: common } = router.groupOf(one, root)
          expect(common).toEqual(groupLabels(one, root))
          for (const other of all) {
            const agrees = ['a', 'b', 'c'].every((name) => one[name] === other[name])
            expect(router.groupOf(other, root).key === key).toBe(agrees)
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  it('is refused for a route of another tree', () => {
    expect(() => createRouter(onCall).groupOf(labels, tree({}))).toThrow('the route {} is none of this tree')
  })
})

describe('the explanation of a routing', () => {
  function told(root: Route, labels: Labels): string[] {
    return createRouter(root)
      .explain(labels)
      .map(({ route, depth, outcome, failed, endedBy }) => {
        const why = [...failed.map(({ name }) => name), ...(endedBy === null ? [] : [endedBy.receiver])]
        return `${'  '.repeat(depth)}${route.receiver}: ${outcome}${why.length > 0 ? ` (${why.join()})` : ''}`
      })
  }

  it('tells of each route whether it matched, what failed, and what took the alert', () => {
    const labels = { severity: 'critical', manufacturer: 'Bosch', device_type: 'heat_pump' }
    expect(told(onCall, labels)).toEqual([
      'fallback: left to those below',
      '  pager: taken, none below matches',
      '    tesla: no match (manufacturer)',
      '  heating: taken',
      '  rest: not reached (heating)',
    ])
    expect(told(onCall, { severity: 'warning', manufacturer: 'Tesla' })).toEqual([
      'fallback: taken, none below matches',
      '  pager: no match (severity)',
      '  heating: no match (device_type)',
      '  rest: no match (manufacturer)',
    ])
  })

  it('names every matcher that does not hold', () => {
    const root = tree({ routes: [{ match: 'a="1",b="2",c="3"', receiver: 'x' }] })
    expect(told(root, { b: '2' })).toEqual(['fallback: taken, none below matches', '  x: no match (a,c)'])
  })
})

// --- against a plain reading of Alertmanager's rules

const names = ['a', 'b', 'c']
const values = ['', '1', '2']
const labelSets = fc.dictionary(fc.constantFrom(...names, 'unread'), fc.constantFrom(...values))
const matcher = fc
  .record({
    name: fc.constantFrom(...names),
    operator: fc.constantFrom('=' as const, '!=' as const, '=~' as const, '!~' as const),
    value: fc.constantFrom(...values, '1|2', '.+'),
  })
  .map(({ name, operator, value }) => createMatcher(name, operator, value))
const { routes: trees } = fc.letrec<{ routes: Route[] }>((tie) => ({
  routes: fc.array(
    fc
      .record({
        matchers: fc.array(matcher, { maxLength: 2 }),
        continue: fc.boolean(),
        routes: fc.oneof({ maxDepth: 3 }, fc.constant([]), tie('routes')),
      })
      .map((given): Route => ({ ...tree({}), ...given })),
    { maxLength: 3 },
  ),
}))

/** Every route a key of its own: where it is. */
function placed(route: Route, key: string): Route {
  return { ...route, key, routes: route.routes.map((child, index) => placed(child, `${key}/${index}`)) }
}

/** Alertmanager's Route.Match, written down as it stands. */
function reference(route: Route, labels: Labels): string[] | null {
  const holds = (m: Matcher) => {
    const value = labels[m.name] ?? ''
    const is = m.operator.endsWith('~') ? new RegExp(`^(?:${m.value})$`).test(value) : value === m.value
    return m.operator.startsWith('!') ? !is : is
  }
  if (!route.matchers.every(holds)) return null
  let all: string[] = []
  for (const child of route.routes) {
    const matches = reference(child, labels)
    all = all.concat(matches ?? [])
    if (matches !== null && !child.continue) break
  }
  return all.length > 0 ? all : [route.key]
}

describe('routing', () => {
  it('does in any tree what Alertmanager does, and explains the same', () => {
    fc.assert(
      fc.property(trees, fc.array(labelSets, { minLength: 1, maxLength: 12 }), (routes, sets) => {
        const root = placed({ ...tree({}), routes }, '{}')
        const router = createRouter(root)
        for (const labels of sets) {
          const expected = reference(root, labels)
          const steps = router.explain(labels)
          const taken = steps.filter(({ outcome }) => outcome.startsWith('taken'))
          expect(router.routesFor(labels).map(({ key }) => key)).toEqual(expected)
          expect(taken.map(({ route }) => route.key)).toEqual(expected)
          for (const { outcome, failed, endedBy } of steps) {
            expect(failed.length > 0).toBe(outcome === 'no match')
            expect(endedBy !== null).toBe(outcome === 'not reached')
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
