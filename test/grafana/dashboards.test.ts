// The dashboards as committed: up to date with their source, whole in the eyes of Grafana's dashboard
// linter (whose rules are restated here), and about metrics that exist. That the queries return
// something is for test/peers/dashboards-check.ts, which asks a real Prometheus.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Dashboard, Panel } from '@grafana/schema'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { dashboardFiles } from '../../grafana/source/files.ts'
import { familyOf, readQuery } from './promql.ts'
import {
  annotationsOf,
  dashboardPaths,
  folder,
  knownMetrics,
  labelValuesOf,
  panelsOf,
  queriesOf,
  readDashboard,
  readRules,
  rowsOf,
  rulePaths,
  targetsOf,
  variablesOf,
} from './sources.ts'

const metrics = await knownMetrics()
const histograms = new Set([...metrics].filter(([, type]) => type === 'histogram').map(([name]) => name))
const all = dashboardPaths.map((path) => ({ path, dashboard: readDashboard(path) }))
const datasource = { type: 'prometheus', uid: '${datasource}' }

describe('the dashboards', () => {
  it('are what their sources make of them: after a change, npm run dashboards', () => {
    const made = dashboardFiles()
    expect(made.map(({ path }) => path).toSorted()).toEqual(dashboardPaths)
    for (const { path, text } of made) expect(readFileSync(join(folder, path), 'utf8'), path).toBe(text)
  })

  it('have uids and titles of their own', () => {
    for (const part of ['uid', 'title'] as const) {
      const values = all.map(({ dashboard }) => dashboard[part])
      expect(new Set(values).size).toBe(all.length)
      expect(values).not.toContain(undefined)
    }
  })

  it('link to dashboards that exist', () => {
    const uids = all.map(({ dashboard }) => dashboard.uid)
    const linked = all.flatMap(({ path }) =>
      [...readFileSync(join(folder, path), 'utf8').matchAll(/"\/d\/([\w-]+)/g)].map(([, uid]) => uid),
    )
    expect(linked.length).toBeGreaterThan(5)
    for (const uid of linked) expect(uids).toContain(uid)
  })
})

describe.each(all)('$path', ({ path, dashboard }) => {
  const panels = panelsOf(dashboard)

  it('is classic JSON that a file may provision', () => {
    const text = readFileSync(join(folder, path), 'utf8')
    expect(dashboard).toMatchObject({ schemaVersion: 42, editable: false })
    expect(dashboard.description).toMatch(/\.$/)
    for (const key of ['id', 'gnetId', 'snapshot', '__inputs', '__requires', 'apiVersion'])
      expect(dashboard).not.toHaveProperty(key)
    // Filled in only by an import by hand, never by provisioning.
    expect(text).not.toContain('${DS_')
    expect(JSON.stringify(dashboard)).not.toMatch(/undefined|NaN|\[object/)
  })

  it('asks the chosen data source, everywhere', () => {
    const variables = variablesOf(dashboard)
    const sources = variables.filter(({ type }) => type === 'datasource')
    expect(sources).toMatchObject([{ name: 'datasource', label: 'Data source', query: 'prometheus' }])
    for (const panel of panels) {
      expect(panel.datasource, panel.title).toEqual(datasource)
      for (const target of targetsOf(panel)) expect(target.datasource, panel.title).toEqual(datasource)
    }
    for (const variable of variables.filter(({ type }) => type === 'query'))
      expect(variable.datasource, variable.name).toEqual(datasource)
    for (const each of annotationsOf(dashboard)) expect(each.datasource, each.name).toEqual(datasource)
  })

  it('lets people choose the job, and keeps to it in every query', () => {
    const [, job] = variablesOf(dashboard)
    expect(job).toMatchObject({ name: 'job', type: 'query', multi: true, allValue: '.+', refresh: 2 })
    for (const { where, expr } of queriesOf(dashboard)) {
      const { selectors } = readQuery(expr)
      expect(selectors.length, where).toBeGreaterThan(0)
      for (const { matchers } of selectors) expect(matchers, where).toContain('job=~"$job"')
    }
    for (const variable of variablesOf(dashboard)) {
      const asked = labelValuesOf(variable)
      if (asked !== null && variable.name !== 'job') expect(asked.selector).toContain('job=~"$job"')
    }
  })

  it('uses variables that it has, and has none that it does not use', () => {
    const names = variablesOf(dashboard).map(({ name }) => name)
    const { templating: _, ...rest } = dashboard
    const text = JSON.stringify(rest) + JSON.stringify(variablesOf(dashboard).map(({ query }) => query))
    const used = new Set([...text.matchAll(/\$\{?(?!__)([a-zA-Z]\w*)/g)].map(([, name = '']) => name))
    expect([...used].filter((name) => !names.includes(name))).toEqual([])
    expect(names.filter((name) => !used.has(name))).toEqual([])
  })

  it('has panels with a title, a description, a unit and a query each', () => {
    expect(panels.length).toBeGreaterThan(5)
    for (const panel of panels) {
      const { title = '', description = '', fieldConfig } = panel
      expect(title).not.toBe('')
      expect(description, title).toMatch(/^[A-Z"`].{20,}[.]$/)
      expect(fieldConfig?.defaults.unit, title).toMatch(/^\w+$/)
      expect(targetsOf(panel).length, title).toBeGreaterThan(0)
    }
    const titles = panels.map(({ title }) => title)
    expect(new Set(titles).size).toBe(titles.length)
  })

  it('names each query of a panel, and says what its series are', () => {
    for (const panel of panels) {
      const targets = targetsOf(panel)
      expect(targets.map(({ refId }) => refId)).toEqual([...'ABCDEFGH'].slice(0, targets.length))
      for (const { instant, range, expr, legendFormat } of targets) {
        expect(instant, panel.title).toBe(!range)
        const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
        for (const label of labels) expect(expr, panel.title).toMatch(new RegExp(`by \\([^)]*\\b${label}\\b`))
      }
    }
  })

  it('asks in PromQL, for metrics that there are', () => {
    for (const { where, expr } of queriesOf(dashboard)) {
      const { errors, selectors } = readQuery(expr)
      expect(errors, where).toEqual([])
      for (const { metric } of selectors)
        expect([...metrics.keys()], where).toContain(familyOf(metric, histograms))
    }
    for (const variable of variablesOf(dashboard)) {
      const asked = labelValuesOf(variable)
      if (variable.type !== 'query') continue
      expect(asked, variable.name).not.toBeNull()
      const { errors, selectors } = readQuery(asked?.selector ?? '')
      expect(errors).toEqual([])
      for (const { metric } of selectors) expect([...metrics.keys()]).toContain(metric)
    }
  })

  it('looks at counters by how they grow, over as long as a graph needs', () => {
    for (const { where, expr } of queriesOf(dashboard)) {
      for (const { metric, range, functions } of readQuery(expr).selectors) {
        const family = familyOf(metric, histograms)
        const isCounter = metrics.get(family) === 'counter' || family !== metric
        if (isCounter) expect(functions[0], where).toMatch(/^(rate|increase)$/)
        if (range !== null) expect(['$__rate_interval', '$__range'], where).toContain(range)
        // In a graph, the growth over all of its time would say the same at each point.
        if (range === '$__range' && isCounter)
          expect(queriesOf(dashboard).find((query) => query.where === where)?.instant, where).toBe(true)
      }
    }
  })

  it('has numbers that fit their unit', () => {
    for (const { where, expr, unit } of queriesOf(dashboard)) {
      if (unit === 's') expect(expr, where).toMatch(/_seconds/)
      if (unit === 'bytes') expect(expr, where).toMatch(/_bytes/)
      if (unit === 'reqps') expect(expr, where).toMatch(/rate/)
      if (unit === 'percentunit') expect(expr, where).toMatch(/\/|gc_duration/)
    }
  })

  it('has places on the grid that fit and do not overlap, and ids of their own', () => {
    const placed = dashboard.panels ?? []
    expect(new Set(placed.map(({ id }) => id)).size).toBe(placed.length)
    const cells = new Map<string, string>()
    for (const panel of placed) {
      const { x, y, w, h } = panel.gridPos ?? { x: -1, y: -1, w: 0, h: 0 }
      expect(Math.min(x, y, w - 1, h - 1), panel.title).toBeGreaterThanOrEqual(0)
      expect(x + w, panel.title).toBeLessThanOrEqual(24)
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          const cell = `${column} ${line}`
          expect(cells.get(cell), `${panel.title} lies on`).toBeUndefined()
          cells.set(cell, panel.title ?? '')
        }
      }
    }
    for (const row of rowsOf(dashboard)) expect(row.gridPos).toMatchObject({ x: 0, w: 24, h: 1 })
  })

  it('fills each line, so that no hole looks like a panel that failed', () => {
    const lines = new Map<number, number>()
    for (const { gridPos } of dashboard.panels ?? [])
      lines.set(gridPos?.y ?? -1, (lines.get(gridPos?.y ?? -1) ?? 0) + (gridPos?.w ?? 0))
    expect([...lines].filter(([, width]) => width !== 24)).toEqual([])
  })

  it('gives every table a column for each query', () => {
    for (const panel of panels.filter(({ type }) => type === 'table'))
      expect(columnsOf(panel), panel.title).toEqual([])
  })
})

/** What is missing in a table: a query without a heading, an override or an order of a heading that isn't. */
function columnsOf(panel: Panel): string[] {
  const organize = panel.transformations?.find(({ id }) => id === 'organize')?.options as {
    readonly renameByName: Readonly<Record<string, string>>
  }
  const headings = Object.values(organize.renameByName)
  const sortBy = (panel.options?.['sortBy'] ?? []) as readonly { readonly displayName: string }[]
  const named = [
    ...(panel.fieldConfig?.overrides ?? []).map(({ matcher }) => String(matcher.options)),
    ...sortBy.map(({ displayName }) => displayName),
  ]
  const values = targetsOf(panel).map(({ refId }) => `Value #${refId}`)
  return [
    ...values.filter((value) => organize.renameByName[value] === undefined),
    ...named.filter((name) => !headings.includes(name)),
  ]
}

describe('every metric', () => {
  // Shown nowhere, on purpose, with the reason.
  const unused: Readonly<Record<string, string>> = {}

  it('is shown on a dashboard or used by a rule', () => {
    const exprs = [
      ...all.flatMap(({ dashboard }) => [
        ...queriesOf(dashboard).map(({ expr }) => expr),
        ...variableQueries(dashboard),
      ]),
      ...rulePaths.flatMap((path) => readRules(path).map(({ expr }) => expr)),
    ]
    const used = new Set(
      exprs.flatMap((expr) => readQuery(expr).selectors.map(({ metric }) => familyOf(metric, histograms))),
    )
    const ours = [...metrics.keys()].filter((name) => name.startsWith('fleet_'))
    expect(ours.filter((name) => !used.has(name)).toSorted()).toEqual(Object.keys(unused).toSorted())
  })

  function variableQueries(dashboard: Dashboard): string[] {
    return variablesOf(dashboard).flatMap((variable) => labelValuesOf(variable)?.selector ?? [])
  }
})

describe('the provisioning', () => {
  const read = (path: string) => parse(readFileSync(join(folder, 'provisioning', path), 'utf8'))

  it('finds the dashboards beside it, wherever the folder lies', () => {
    const { apiVersion, providers } = read('dashboards/fleetwarden.yaml') as {
      apiVersion: number
      providers: readonly { options: { path: string; foldersFromFilesStructure: boolean } }[]
    }
    expect(apiVersion).toBe(1)
    expect(providers).toMatchObject([{ type: 'file', allowUiUpdates: false }])
    const path = providers[0]?.options.path.replace('${GF_PATHS_PROVISIONING}', join(folder, 'provisioning'))
    expect(existsSync(join(path ?? '', 'Fleetwarden/fleet-health.json'))).toBe(true)
    expect(providers[0]?.options.foldersFromFilesStructure).toBe(true)
  })

  it('brings a Prometheus with a uid that stays', () => {
    const { datasources } = read('datasources/fleetwarden.yaml') as { datasources: readonly unknown[] }
    expect(datasources).toMatchObject([
      { type: 'prometheus', uid: 'fleetwarden-prometheus' },
      { type: 'alertmanager', uid: 'fleetwarden-alerts' },
    ])
  })
})
