// The metrics of links in messages: how far people come who open one, and what came of minting. See metrics.ts.

import type { MetricRegistry } from './metric-registry.ts'
import { createCap } from './metric-series.ts'

export interface LinkMetrics {
  /** There is a link for a device of this manufacturer: its funnel begins at 0, so that the first visit counts. */
  linkGiven(manufacturer: string): void
  linkVisited(stage: LinkVisitStage, manufacturer: string): void
  linkMinted(outcome: LinkMintOutcome): void
}

export type LinkVisitStage = (typeof stages)[number]
export type LinkMintOutcome = (typeof outcomes)[number]

const stages = ['shown', 'started', 'returned', 'verified', 'failed', 'cancelled'] as const
const outcomes = ['ok', 'failed', 'refused_host', 'not_recorded'] as const
// As many as fleet_devices names; the rest together as `other`.
const mostManufacturers = 100

export function createLinkMetrics({ counter }: Pick<MetricRegistry, 'counter'>): LinkMetrics {
  const nameOf = createCap(mostManufacturers)
  const visits = counter(
    'fleet_link_visits_total',
    'How far people came who opened the link of a message.',
    ['stage', 'manufacturer'],
    stages.length * (mostManufacturers + 1),
  )
  const minted = counter(
    'fleet_links_minted_total',
    'Fresh links that were asked of the partner for somebody who pressed the button, by what came of it.',
    ['outcome'],
  )
  for (const outcome of outcomes) minted.add([outcome], 0)
  // A funnel is read across: all its stages are there as soon as one of them is.
  const count = (manufacturer: string, stage: LinkVisitStage | null) => {
    const name = nameOf(manufacturer.slice(0, 100))
    for (const each of stages) visits.add([each, name], each === stage ? 1 : 0)
  }
  return {
    linkGiven: (manufacturer) => count(manufacturer, null),
    linkVisited: (stage, manufacturer) => count(manufacturer, stage),
    linkMinted: (outcome) => minted.add([outcome], 1),
  }
}
