// From the description of a dashboard to Grafana's classic JSON (schemaVersion 42), which every Grafana
// from 10 on reads from files: ids, places on the grid, the variables that all of ours have, links between
// them. Pure, and the same text for the same description, so that a diff shows what changed.

import {
  type AnnotationQuery,
  type Dashboard,
  DashboardCursorSync,
  type DataQuery,
  type Panel,
  type RowPanel,
  VariableHide,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/schema'
import { type Link, type PanelSpec, refId } from './panel.ts'

export interface DashboardSpec {
  readonly uid: string
  readonly title: string
  readonly description: string
  /** Beyond the data source, the job, and where Fleetwarden is. */
  readonly variables: readonly VariableModel[]
  readonly annotations: readonly Annotation[]
  readonly rows: readonly Row[]
  readonly from: string
}

export interface Row {
  readonly title: string
  readonly panels: readonly PanelSpec[]
}

/** Marks on all graphs while the query is above 0. */
export interface Annotation {
  readonly name: string
  readonly color: string
  readonly expr: string
  readonly title: string
  readonly text: string
}

export const datasource = { type: 'prometheus', uid: '${datasource}' }
const tag = 'fleetwarden'
const columns = 24

export const dashboards = {
  fleet: 'fleetwarden-fleet',
  service: 'fleetwarden-service',
  manufacturer: 'fleetwarden-manufacturer',
} as const

/** Opens another dashboard with the same time and variables. `more`: further parameters. */
export function dashboardUrl(name: keyof typeof dashboards, more: readonly string[] = []): string {
  return [
    '/d/',
    dashboards[name],
    '?',
    ['${__url_time_range}', '${datasource:queryparam}', '${job:queryparam}', ...more].join('&'),
  ].join('')
}

/** The page of alerts, filtered. `filter`: parameters of its address. */
export function alertList(title: string, filter = ''): Link {
  return { title, url: `\${fleetwarden:raw}/${filter === '' ? '' : `?${filter}`}` }
}

/** A variable whose values are those of a label. */
export function labelVariable(options: {
  readonly name: string
  readonly label: string
  readonly description: string
  readonly query: string
  readonly multi: boolean
}): VariableModel {
  const { name, label, description, query, multi } = options
  return {
    type: 'query',
    ...{ name, label, description, multi, includeAll: multi },
    ...(multi ? { allValue: '.+', current: { text: ['All'], value: ['$__all'] } } : {}),
    datasource,
    query: { qryType: 1, query, refId: `Variable-${name}` },
    refresh: VariableRefresh.onTimeRangeChanged,
    sort: VariableSort.alphabeticalCaseInsensitiveAsc,
    regex: '',
    options: [],
  }
}

/** How far back to compare with. */
export const compareVariable: VariableModel = {
  type: 'custom',
  name: 'compare',
  label: 'Compare with',
  description: 'How long ago the values are that a change is measured from.',
  query: '1h ago : 1h,1 day ago : 1d,1 week ago : 7d',
  current: { text: '1 day ago', value: '1d' },
  options: [
    { text: '1h ago', value: '1h', selected: false },
    { text: '1 day ago', value: '1d', selected: true },
    { text: '1 week ago', value: '7d', selected: false },
  ],
  multi: false,
  includeAll: false,
}

export function createDashboard(spec: DashboardSpec): Dashboard {
  return {
    uid: spec.uid,
    title: spec.title,
    description: spec.description,
    tags: [tag],
    schemaVersion: 42,
    version: 1,
    editable: false,
    graphTooltip: DashboardCursorSync.Crosshair,
    timezone: 'browser',
    time: { from: spec.from, to: 'now' },
    refresh: '1m',
    timepicker: {},
    fiscalYearStartMonth: 0,
    liveNow: false,
    links: [
      {
        type: 'dashboards',
        tags: [tag],
        title: 'Fleetwarden',
        tooltip: 'The other dashboards',
        icon: 'external link',
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
      {
        type: 'link',
        url: '${fleetwarden:raw}/',
        tags: [],
        title: 'Alerts',
        tooltip: 'What fires now, with who is affected',
        icon: 'bolt',
        asDropdown: false,
        includeVars: false,
        keepTime: false,
        targetBlank: true,
      },
    ],
    templating: { list: [...commonVariables, ...spec.variables] },
    annotations: { list: spec.annotations.map(annotationQuery) },
    panels: laidOut(spec.rows),
  }
}

const commonVariables: readonly VariableModel[] = [
  {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'prometheus',
    regex: '',
    options: [],
    refresh: VariableRefresh.onDashboardLoad,
    multi: false,
    includeAll: false,
  },
  labelVariable({
    name: 'job',
    label: 'Job',
    description: 'The scrape job: one per environment that is watched.',
    query: 'label_values(fleet_build_info, job)',
    multi: true,
  }),
  {
    type: 'query',
    name: 'fleetwarden',
    label: 'Fleetwarden',
    description: 'Where links to alerts lead.',
    datasource,
    hide: VariableHide.hideVariable,
    query: {
      qryType: 1,
      query: 'label_values(fleet_web_info{job=~"$job"}, url)',
      refId: 'Variable-fleetwarden',
    },
    refresh: VariableRefresh.onTimeRangeChanged,
    regex: '',
    options: [],
    multi: false,
    includeAll: false,
  },
]

/** What Grafana's types leave to each data source. */
interface PrometheusQuery extends DataQuery {
  readonly expr: string
  readonly interval: string
}
interface PrometheusAnnotation extends AnnotationQuery<PrometheusQuery> {
  readonly expr: string
  readonly step: string
  readonly titleFormat: string
  readonly textFormat: string
}

/** The query stands there twice: Grafana moved it from `expr` to `target`, and reads what it knows. */
function annotationQuery({ name, color, expr, title, text }: Annotation): PrometheusAnnotation {
  return {
    name,
    datasource,
    enable: true,
    iconColor: color,
    expr,
    step: '60s',
    target: { refId: 'Anno', expr, interval: '60s' },
    titleFormat: title,
    textFormat: text,
  }
}

/** Rows below each other, their panels from left to right; a panel that does not fit begins a new line. */
function laidOut(rows: readonly Row[]): (Panel | RowPanel)[] {
  const panels: (Panel | RowPanel)[] = []
  let id = 0
  let y = 0
  for (const { title, panels: specs } of rows) {
    id += 1
    panels.push({
      type: 'row',
      id,
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: columns, h: 1 },
    })
    y += 1
    let x = 0
    let lineHeight = 0
    for (const spec of specs) {
      if (x + spec.width > columns) {
        x = 0
        y += lineHeight
        lineHeight = 0
      }
      id += 1
      panels.push(panelOf(spec, id, { x, y }))
      x += spec.width
      lineHeight = Math.max(lineHeight, spec.height)
    }
    y += lineHeight
  }
  return panels
}

function panelOf(spec: PanelSpec, id: number, { x, y }: { readonly x: number; readonly y: number }): Panel {
  const { title, description, type, width: w, height: h } = spec
  return {
    id,
    ...{ type, title, description, datasource },
    gridPos: { x, y, w, h },
    targets: spec.queries.map(({ expr, legend }, index) => ({
      refId: refId(index),
      datasource,
      expr,
      editorMode: 'code',
      legendFormat: legend ?? '__auto',
      ...(spec.isInstant
        ? { instant: true, range: false, format: type === 'table' ? 'table' : 'time_series' }
        : { instant: false, range: true }),
    })),
    fieldConfig: spec.fieldConfig,
    options: spec.options,
    ...(spec.transformations === undefined ? {} : { transformations: spec.transformations }),
    links: spec.links.map((link) => ({
      ...link,
      type: 'link',
      tags: [],
      tooltip: '',
      icon: 'external link',
      asDropdown: false,
      includeVars: false,
      keepTime: false,
      targetBlank: link.url.startsWith('${fleetwarden'),
    })),
  }
}
