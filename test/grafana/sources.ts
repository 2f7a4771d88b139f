// The dashboards and rules as they are committed, and the metrics that there are: for tests and for the
// check that runs their queries.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AnnotationQuery, Dashboard, Panel, RowPanel, VariableModel } from '@grafana/schema'
import { parse } from 'yaml'
import { createMetrics } from '../../src/metrics.ts'

export const folder = fileURLToPath(new URL('../../grafana/', import.meta.url))

export interface Target {
  readonly refId: string
  readonly expr: string
  readonly legendFormat: string
  readonly instant: boolean
  readonly range: boolean
  readonly datasource: unknown
}

/** A query of a dashboard, and what it is for. */
export interface DashboardQuery {
  readonly where: string
  readonly expr: string
  readonly instant: boolean
  readonly unit: string | null
}

export const dashboardPaths = globSync('dashboards/**/*.json', { cwd: folder }).sort()
export const rulePaths = globSync('prometheus/rules/*.yaml', { cwd: folder }).sort()

export function readDashboard(path: string): Dashboard {
  return JSON.parse(readFileSync(join(folder, path), 'utf8')) as Dashboard
}

export function panelsOf({ panels = [] }: Dashboard): readonly Panel[] {
  return panels.filter((panel): panel is Panel => panel.type !== 'row')
}

export function rowsOf({ panels = [] }: Dashboard): readonly RowPanel[] {
  return panels.filter((panel): panel is RowPanel => panel.type === 'row')
}

export function targetsOf({ targets = [] }: Panel): readonly Target[] {
  return targets as unknown as readonly Target[]
}

export function variablesOf({ templating }: Dashboard): readonly VariableModel[] {
  return templating?.list ?? []
}

export function annotationsOf({
  annotations,
}: Dashboard): readonly (AnnotationQuery & { readonly expr: string })[] {
  return (annotations?.list ?? []) as unknown as readonly (AnnotationQuery & { readonly expr: string })[]
}

/** `label_values(SELECTOR, LABEL)` of a variable. */
export function labelValuesOf({ query }: VariableModel): { selector: string; label: string } | null {
  const text = typeof query === 'object' ? String(query['query']) : ''
  const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(text) ?? []
  return selector === undefined || label === undefined ? null : { selector, label }
}

/** All that a dashboard asks of Prometheus but for its variables. */
export function queriesOf(dashboard: Dashboard): readonly DashboardQuery[] {
  const { title } = dashboard
  const ofPanels = panelsOf(dashboard).flatMap((panel) =>
    targetsOf(panel).map(({ refId, expr, instant }) => ({
      where: `${title} / ${panel.title} / ${refId}`,
      expr,
      instant,
      unit: panel.type === 'table' ? null : (panel.fieldConfig?.defaults.unit ?? null),
    })),
  )
  const ofAnnotations = annotationsOf(dashboard).map(({ name, expr }) => ({
    where: `${title} / annotation ${name}`,
    expr,
    instant: false,
    unit: null,
  }))
  return [...ofPanels, ...ofAnnotations]
}

export interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

export function readRules(path: string): readonly Rule[] {
  const { groups } = parse(readFileSync(join(folder, path), 'utf8')) as {
    groups: readonly { readonly rules: readonly Rule[] }[]
  }
  return groups.flatMap(({ rules }) => rules)
}

/** Every metric of the service, those of its process included, with its type. */
export async function knownMetrics(): Promise<ReadonlyMap<string, string>> {
  const clock = { now: () => 0 }
  const metrics = createMetrics({ clock, version: '', revision: '', nodeVersion: '' })
  const { body } = await metrics.render()
  return new Map([...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]))
}
