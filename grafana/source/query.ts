// The queries of dashboards, put together so that each has what all must have: the variable `job`, and
// one answer where several replicas tell the same.

/** A selector of one of our metrics, with the variable `job`. */
export function of(metric: string, ...matchers: readonly string[]): string {
  return `${metric}{${['job=~"$job"', ...matchers].join(',')}}`
}

const labelsOf = {
  fleet_devices: ['type', 'manufacturer', 'authenticated', 'optimizing'],
  fleet_users: [],
  fleet_alerts: ['alertname', 'severity', 'state'],
  fleet_manufacturer_alerts: ['manufacturer', 'device_type', 'alertname'],
  fleet_silences: ['state'],
  fleet_owner_contacts: ['state'],
  fleet_migration_users: ['step'],
} as const satisfies Record<string, readonly string[]>

/**
 * A gauge of the fleet's state: replicas that share the work each tell all of it, so the highest
 * counts, not their sum. `offset` compares with an earlier time.
 */
export function state(
  metric: keyof typeof labelsOf,
  matchers: readonly string[] = [],
  { offset }: { readonly offset?: string } = {},
): string {
  const by = ['job', ...labelsOf[metric]].join(', ')
  const earlier = offset === undefined ? '' : ` offset ${offset}`
  return `max by (${by}) (${of(metric, ...matchers)}${earlier})`
}

/** Sums a query, by labels if there are any. */
export function sum(query: string, ...by: readonly string[]): string {
  return by.length === 0 ? `sum(${query})` : `sum by (${by.join(', ')}) (${query})`
}

/** The sum of a part, which is 0 and not absent where there is a whole. */
export function part(query: string, whole: string, ...by: readonly string[]): string {
  return `(${sum(query, ...by)} or 0 * ${sum(whole, ...by)})`
}

export function share(query: string, whole: string, ...by: readonly string[]): string {
  return `${part(query, whole, ...by)} / ${sum(whole, ...by)}`
}

/** Per second, of a counter. */
export function rate(metric: string, ...matchers: readonly string[]): string {
  return `rate(${of(metric, ...matchers)}[$__rate_interval])`
}

/** How much a counter grew from one point of a graph to the next. */
export function increase(metric: string, ...matchers: readonly string[]): string {
  return `increase(${of(metric, ...matchers)}[$__rate_interval])`
}

/** How much a counter grew in all of the time that is shown. */
export function increaseInRange(metric: string, ...matchers: readonly string[]): string {
  return `increase(${of(metric, ...matchers)}[$__range])`
}

/** Of the series of a gauge, those that were highest at some time of what is shown: the same ones all along a graph. */
export function highest(
  count: number,
  metric: keyof typeof labelsOf,
  matchers: readonly string[],
  by: string,
): string {
  const top = `topk(${count}, ${sum(`max_over_time(${of(metric, ...matchers)}[$__range] @ end())`, by)})`
  return `${sum(state(metric, matchers), by)} and on (${by}) ${top}`
}

export function quantile(q: number, histogram: string, ...by: readonly string[]): string {
  return `histogram_quantile(${q}, ${sum(rate(`${histogram}_bucket`), 'le', ...by)})`
}

// Firing in the eyes of whoever was told.
export const isFiring = 'state=~"firing|recovering"'
