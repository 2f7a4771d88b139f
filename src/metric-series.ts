// What is counted, before it becomes text: sums per label set, never more label sets than a cap. Labels
// that hold text of the partner's (manufacturers, field names) would otherwise let a faulty answer fill the
// memory of this process and of Prometheus. Knows nothing of Prometheus' client; metrics.ts does.

import type { Device } from './fleet/device.ts'

/** A counter's values, one per label set. `add` with 0 makes a series known. */
export interface CounterFamily {
  add(values: readonly string[], count: number): void
  removeWhere(isGone: (values: readonly string[]) => boolean): void
  /** What was added since the last time. */
  takeAll(take: (labels: Record<string, string>, value: number) => void): void
  /** True once after series were removed: all others then come with their full value. */
  takeRemoved(): boolean
}

const longestLabel = 100

interface Series {
  readonly values: readonly string[]
  readonly labels: Record<string, string>
  total: number
  taken: number
}

/**
 * prom-client checks and hashes labels at each call, about a microsecond; here only once per
 * scrape. Beyond `most` series, new ones are counted together, each of their labels as `other`.
 */
export function createCounterFamily(labelNames: readonly string[], most: number): CounterFamily {
  const all = new Map<string, Series>()
  let removed = false

  function seriesOf(values: readonly string[]): Series {
    const key = values.length === 1 ? (values[0] ?? '') : values.join('\n')
    const known = all.get(key)
    if (known !== undefined) return known
    if (all.size >= most && values.some((value) => value !== 'other')) {
      return seriesOf(values.map(() => 'other'))
    }
    const labels = Object.fromEntries(
      labelNames.map((name, index) => [name, (values[index] ?? '').slice(0, longestLabel)]),
    )
    const series: Series = { values: [...values], labels, total: 0, taken: -1 }
    all.set(key, series)
    return series
  }

  return {
    add: (values, count) => {
      seriesOf(values).total += count
    },
    removeWhere: (isGone) => {
      for (const [key, series] of all) {
        if (isGone(series.values) && all.delete(key)) removed = true
      }
    },
    takeAll: (take) => {
      for (const series of all.values()) {
        if (series.taken !== series.total) take(series.labels, series.total - Math.max(series.taken, 0))
        series.taken = series.total
      }
    },
    takeRemoved: () => {
      const result = removed
      if (removed) for (const series of all.values()) series.taken = -1
      removed = false
      return result
    },
  }
}

/** Lets the first `most` different texts through and calls all others `other`. */
export function createCap(most: number): (text: string) => string {
  const known = new Set<string>()
  return (text) => {
    if (known.has(text)) return text
    if (known.size >= most) return 'other'
    known.add(text)
    return text
  }
}

export type Ternary = 'true' | 'false' | 'unknown'

/** How many devices are alike in what is counted. Each combination occurs at most once in a list. */
export interface DeviceCount {
  readonly type: string
  readonly manufacturer: string
  readonly authenticated: Ternary
  readonly optimizing: Ternary
  readonly count: number
}

/** Counts devices as they stream by. */
export interface DeviceTally {
  add(
    device: Pick<Device, 'type' | 'manufacturer' | 'is_authenticated' | 'is_smart_optimization_active'>,
  ): void
  counts(): readonly DeviceCount[]
  /** Adds what was counted elsewhere. */
  include(counted: readonly DeviceCount[]): void
}

export function createDeviceTally(): DeviceTally {
  const nameOf = createCap(1_000)
  const counts = new Map<string, { -readonly [Key in keyof DeviceCount]: DeviceCount[Key] }>()
  function include({ type, authenticated, optimizing, count, ...named }: DeviceCount): void {
    const manufacturer = nameOf(named.manufacturer)
    const key = `${type}\n${authenticated}\n${optimizing}\n${manufacturer}`
    const known = counts.get(key)
    if (known !== undefined) known.count += count
    else counts.set(key, { type, manufacturer, authenticated, optimizing, count })
  }
  return {
    add: ({ type, manufacturer, is_authenticated, is_smart_optimization_active }) =>
      include({
        type,
        manufacturer: manufacturer.slice(0, longestLabel),
        authenticated: ternary(is_authenticated),
        optimizing: ternary(is_smart_optimization_active),
        count: 1,
      }),
    counts: () => [...counts.values()],
    include: (counted) => counted.forEach(include),
  }
}

function ternary(value: boolean | null): Ternary {
  return value === null ? 'unknown' : value ? 'true' : 'false'
}

// Series of fleet_devices: about 30 kB of a scrape.
const mostDeviceSeries = 300
const mostManufacturers = 100

/** The manufacturers with the most devices by name, as many as fit; the rest together as `other`. */
export function withFewManufacturers(counts: readonly DeviceCount[]): readonly DeviceCount[] {
  const byManufacturer = new Map<string, { devices: number; series: number }>()
  for (const { manufacturer, count } of counts) {
    const sum = byManufacturer.get(manufacturer) ?? { devices: 0, series: 0 }
    byManufacturer.set(manufacturer, { devices: sum.devices + count, series: sum.series + 1 })
  }
  const named = new Set<string>()
  let series = 0
  const bySize = [...byManufacturer].sort(
    ([nameA, a], [nameB, b]) => b.devices - a.devices || (nameA < nameB ? -1 : 1),
  )
  for (const [name, sum] of bySize) {
    series += sum.series
    if (named.size === mostManufacturers || series > mostDeviceSeries) break
    named.add(name)
  }
  if (named.size === byManufacturer.size) return counts
  const merged = new Map<string, DeviceCount>()
  for (const each of counts) {
    const manufacturer = named.has(each.manufacturer) ? each.manufacturer : 'other'
    const key = [each.type, manufacturer, each.authenticated, each.optimizing].join('\n')
    merged.set(key, { ...each, manufacturer, count: each.count + (merged.get(key)?.count ?? 0) })
  }
  return [...merged.values()]
}

/** The part of an alert that is counted. */
export interface CountedAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly state: string
}

export interface AlertCount {
  readonly alertname: string
  readonly severity: string
  readonly state: string
  readonly count: number
}

/** Beyond `most` combinations, the severity of new ones is called `other`. */
export function countAlerts(all: Iterable<CountedAlert>, most: number): readonly AlertCount[] {
  const counts: { -readonly [Key in keyof AlertCount]: AlertCount[Key] }[] = []
  // By name, severity and state: joining them to one key would cost more than all of the counting.
  const found = new Map<string, Map<string, Map<string, (typeof counts)[number]>>>()
  for (const { labels, state } of all) {
    const alertname = labels['alertname'] ?? ''
    let severity = labels['severity'] ?? ''
    let known = found.get(alertname)?.get(severity)?.get(state)
    // A severity may be a template, and so anything.
    if (known === undefined && counts.length >= most) {
      severity = 'other'
      known = found.get(alertname)?.get(severity)?.get(state)
    }
    if (known === undefined) {
      known = { alertname, severity, state, count: 0 }
      counts.push(known)
      innerMap(innerMap(found, alertname), severity).set(state, known)
    }
    known.count += 1
  }
  return counts
}

export interface ManufacturerAlertCount {
  readonly manufacturer: string
  readonly device_type: string
  readonly alertname: string
  readonly count: number
}

/**
 * What fires, by whose device it is; alerts without a manufacturer are left out. Beyond `most`
 * combinations, new manufacturers are called `other`.
 */
export function countManufacturerAlerts(
  all: Iterable<CountedAlert>,
  most: number,
): readonly ManufacturerAlertCount[] {
  const counts: { -readonly [Key in keyof ManufacturerAlertCount]: ManufacturerAlertCount[Key] }[] = []
  const found = new Map<string, Map<string, Map<string, (typeof counts)[number]>>>()
  for (const { labels, state } of all) {
    if (state !== 'firing' && state !== 'recovering') continue
    let manufacturer = labels['manufacturer']?.slice(0, longestLabel)
    if (manufacturer === undefined) continue
    const device_type = labels['device_type'] ?? ''
    const alertname = labels['alertname'] ?? ''
    let known = found.get(manufacturer)?.get(device_type)?.get(alertname)
    if (known === undefined && counts.length >= most) {
      manufacturer = 'other'
      known = found.get(manufacturer)?.get(device_type)?.get(alertname)
    }
    if (known === undefined) {
      known = { manufacturer, device_type, alertname, count: 0 }
      counts.push(known)
      innerMap(innerMap(found, manufacturer), device_type).set(alertname, known)
    }
    known.count += 1
  }
  return counts
}

function innerMap<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let map = maps.get(key)
  if (map === undefined) {
    map = new Map()
    maps.set(key, map)
  }
  return map
}
