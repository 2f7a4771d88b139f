// The way of a link in a message, from opening it to a reading that shows the device well: the same stages, in
// the same order and colours, on each dashboard.

import type { Query } from './panel.ts'
import { increase, increaseInRange, sum } from './query.ts'

const visits = 'fleet_link_visits_total'
const stages = ['shown', 'started', 'returned', 'verified', 'failed', 'cancelled'] as const

export const stageColors: Readonly<Record<(typeof stages)[number], string>> = {
  shown: 'text',
  started: 'blue',
  returned: 'purple',
  verified: 'green',
  failed: 'red',
  cancelled: 'yellow',
}

export const stagesInWords =
  'Shown: opened. Started: sent to the partner. Returned: back from there. Verified: a reading shows the device well. Failed: still wrong after five minutes. Some links of the partner lead nobody back: who took one counts as started, and no further.'

/** One query per stage, of all of the time that is shown. */
export function funnelQueries(...matchers: readonly string[]): readonly Query[] {
  return stages.map((stage) => ({ expr: sum(stageInRange(stage, ...matchers)), legend: stage }))
}

export function stageInRange(stage: (typeof stages)[number], ...matchers: readonly string[]): string {
  return increaseInRange(visits, `stage="${stage}"`, ...matchers)
}

export function visitsOverTime(...matchers: readonly string[]): Query {
  return { expr: sum(increase(visits, ...matchers), 'stage'), legend: '{{stage}}' }
}
