// All dashboards, and the file that each is kept in: one more is one more line here.

import type { Dashboard } from '@grafana/schema'
import { fleetHealth } from './fleet-health.ts'
import { fleetwardenItself } from './fleetwarden-itself.ts'
import { manufacturer } from './manufacturer.ts'

export interface DashboardFile {
  /** Below grafana/. The folder is the one in Grafana. */
  readonly path: string
  readonly dashboard: Dashboard
  readonly text: string
}

export function dashboardFiles(): readonly DashboardFile[] {
  return [
    file('fleet-health', fleetHealth),
    file('fleetwarden-itself', fleetwardenItself),
    file('manufacturer', manufacturer),
  ]
}

function file(name: string, dashboard: Dashboard): DashboardFile {
  const path = `dashboards/Fleetwarden/${name}.json`
  return { path, dashboard, text: `${JSON.stringify(dashboard, null, 2)}\n` }
}
