// How our metrics are made on prom-client: gauges that are built anew at each scrape, counters whose
// number of series has a cap. Shared by metrics.ts and what it is made of.

import prometheus, { type Histogram, type LabelValues, type Registry } from 'prom-client'
import { type CounterFamily, createCounterFamily } from './metric-series.ts'

export interface MetricRegistry {
  readonly registry: Registry
  /** A gauge whose series are built at each scrape by `build`. */
  gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    build: (set: (labels: LabelValues<Label>, value: number) => void) => void,
  ): void
  /** A gauge that is one number, absent while that is null. */
  number(name: string, help: string, value: () => number | null): void
  histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: number[],
  ): Histogram<Label>
  /** `most`: series; more than that are counted together. */
  counter<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    most?: number,
  ): CounterFamily
}

// Series of a counter whose labels hold text that is not ours.
const mostSeries = 200

export function createMetricRegistry(): MetricRegistry {
  const registry = new prometheus.Registry()
  const registers = [registry]

  /** A gauge whose series are built at each scrape by `build`. */
  function gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    build: (set: (labels: LabelValues<Label>, value: number) => void) => void,
  ): void {
    new prometheus.Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        // After a reset a gauge without labels stands at 0, which would be a lie before it is known.
        if (labelNames.length === 0) this.remove()
        build((labels, value) => this.set(labels, value))
      },
    })
  }

  /** A gauge that is one number, absent while that is null. */
  function number(name: string, help: string, value: () => number | null): void {
    gauge(name, help, [], (set) => {
      const present = value()
      if (present !== null) set({}, present)
    })
  }

  function histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: number[],
  ): Histogram<Label> {
    return new prometheus.Histogram({ name, help, labelNames, buckets, registers })
  }

  function counter<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    most = mostSeries,
  ): CounterFamily {
    const family = createCounterFamily(labelNames, most)
    new prometheus.Counter<string>({
      name,
      help,
      labelNames,
      registers,
      collect() {
        if (family.takeRemoved()) this.reset()
        family.takeAll((labels, value) => this.inc(labels, value))
      },
    })
    return family
  }

  return { registry, gauge, number, histogram, counter }
}
