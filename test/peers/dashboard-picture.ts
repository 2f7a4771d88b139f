// Draws dashboards without a Grafana: their grid, titles, thresholds and words, filled with what a
// Prometheus answers, as a page that Chromium makes a picture of. It shows whether a dashboard tells
// its story, and goes into the documentation; Grafana draws more finely.

import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dashboard, FieldConfig, Panel, ThresholdsConfig, ValueMapping } from '@grafana/schema'
import { targetsOf, variablesOf } from '../grafana/sources.ts'
import type { Prometheus, Series } from './prometheus.ts'

export interface Drawing {
  readonly dashboards: readonly Dashboard[]
  readonly prometheus: Prometheus
  /** Where the pictures go. */
  readonly folder: string
  /** Seconds since 1970. */
  readonly from: number
  readonly to: number
  /** A query with its variables replaced. */
  readonly filledIn: (query: string) => string
}

interface Line {
  readonly name: string
  readonly refId: string
  readonly series: Series
}

const columnPx = 56
const rowPx = 30
const gapPx = 6
const colors: Readonly<Record<string, string>> = {
  ...{ red: '#f2495c', yellow: '#f2cc0c', green: '#73bf69', orange: '#ff9830', blue: '#5794f2' },
  ...{ purple: '#b877d9', text: '#ccccdc', transparent: '#22252b' },
}
const palette = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff9830',
  '#f2495c',
  '#b877d9',
  '#37872d',
  '#8ab8ff',
  '#fade2a',
  '#ffa6b0',
  '#96d98d',
  '#ca95e5',
]

export async function drawDashboards(drawing: Drawing): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'fleetwarden-pictures-'))
  try {
    for (const dashboard of drawing.dashboards) {
      const page = await pageOf(dashboard, drawing)
      const source = join(work, `${dashboard.uid}.html`)
      await writeFile(source, page.html)
      const file = join(drawing.folder, `${dashboard.uid}.png`)
      const { status, stderr } = spawnSync(
        'chromium',
        [
          ...['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--hide-scrollbars'],
          ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
          `--user-data-dir=${join(work, 'profile')}`,
          '--force-device-scale-factor=0.7',
          `--window-size=${page.width},${page.height}`,
          `--screenshot=${file}`,
          `file://${source}`,
        ],
        { encoding: 'utf8', timeout: 60_000 },
      )
      if (status !== 0) throw new Error(`chromium could not draw ${file}: ${stderr}`)
      console.log(`drew ${file}`)
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function pageOf(
  dashboard: Dashboard,
  drawing: Drawing,
): Promise<{ html: string; width: number; height: number }> {
  const boxes: string[] = []
  let bottom = 0
  for (const panel of dashboard.panels ?? []) {
    const { x, y, w, h } = panel.gridPos ?? { x: 0, y: 0, w: 24, h: 1 }
    bottom = Math.max(bottom, y + h)
    const place = `left:${x * columnPx + gapPx}px;top:${y * rowPx + 56}px;width:${w * columnPx - gapPx}px;height:${h * rowPx - gapPx}px`
    const title = escaped(drawing.filledIn(panel.title ?? ''))
    if (panel.type === 'row') boxes.push(`<div class="row" style="${place}">▾ ${title}</div>`)
    else {
      const size = { width: w * columnPx - gapPx - 16, height: h * rowPx - gapPx - 30 }
      const body = await bodyOf(panel as Panel, drawing, size)
      boxes.push(`<div class="panel" style="${place}"><h2>${title}</h2>${body}</div>`)
    }
  }
  const choices = variablesOf(dashboard)
    .filter(({ hide }) => hide !== 2)
    .map(({ name, label, current }) => {
      const chosen =
        name === 'manufacturer' ? drawing.filledIn('$manufacturer') : (current?.text ?? 'Prometheus')
      return `<span>${escaped(label ?? name)}</span><b>${escaped(String(chosen))}</b>`
    })
  const width = 24 * columnPx + gapPx
  return {
    width,
    height: bottom * rowPx + 60,
    html: `<!doctype html><meta charset="utf-8"><style>${styles}</style><h1>${escaped(dashboard.title ?? '')}</h1><p>${choices.join('')}</p>${boxes.join('\n')}`,
  }
}

async function bodyOf(panel: Panel, drawing: Drawing, size: Size): Promise<string> {
  const lines: Line[] = []
  for (const { expr, instant, legendFormat, refId } of targetsOf(panel)) {
    const { prometheus, from, to, filledIn } = drawing
    const query = filledIn(expr)
    const found = instant
      ? await prometheus.instant(query, to)
      : await prometheus.range(query, { from, to, step: 1 })
    for (const series of found) lines.push({ name: nameOf(series, filledIn(legendFormat)), refId, series })
  }
  if (lines.length === 0)
    return `<div class="nothing">${escaped(panel.fieldConfig?.defaults.noValue ?? '')}</div>`
  switch (panel.type) {
    case 'stat':
      return statBody(panel, lines, size)
    case 'timeseries':
      return graphBody(panel, lines, drawing, size)
    case 'state-timeline':
      return statesBody(panel, lines, drawing, size)
    case 'bargauge':
      return barsBody(panel, lines)
    case 'table':
      return tableBody(panel, lines, size)
    default:
      throw new Error(`no way to draw a ${panel.type}`)
  }
}

interface Size {
  readonly width: number
  readonly height: number
}

function statBody(panel: Panel, lines: readonly Line[], { width, height }: Size): string {
  const values = lines[0]?.series.values ?? []
  const value = values.at(-1)?.[1] ?? Number.NaN
  const defaults: FieldConfig = panel.fieldConfig?.defaults ?? {}
  const color = defaults.color?.mode === 'fixed' ? 'text' : colorAt(defaults.thresholds, value)
  const spark = values.length < 2 ? '' : sparkline(values, { width, height: height / 2 }, hex(color))
  return `<div class="stat" style="color:${hex(color)}">${escaped(shown(value, panel))}</div>${spark}`
}

function sparkline(values: Series['values'], { width, height }: Size, color: string): string {
  const numbers = values.map(([, value]) => value).filter(Number.isFinite)
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)]
  const points = numbers.map((value, index) => {
    const x = (index / Math.max(1, numbers.length - 1)) * width
    return `${x.toFixed(1)},${(height - 2 - ((value - least) / (most - least || 1)) * (height - 4)).toFixed(1)}`
  })
  return `<svg class="spark" width="${width}" height="${height}"><polygon points="0,${height} ${points.join(' ')} ${width},${height}" fill="${color}" fill-opacity=".15"/><polyline points="${points.join(' ')}" fill="none" stroke="${color}"/></svg>`
}

function graphBody(panel: Panel, lines: readonly Line[], { from, to }: Drawing, size: Size): string {
  const { defaults, overrides = [] } = panel.fieldConfig ?? { defaults: {} }
  const custom = (defaults.custom ?? {}) as {
    drawStyle?: string
    axisSoftMin?: number
    stacking?: { mode?: string }
    thresholdsStyle?: { mode?: string }
  }
  const override = (name: string, id: string) =>
    overrides
      .filter(({ matcher }) => matcher.options === name)
      .flatMap(({ properties }) => properties)
      .find((each) => each.id === id)?.value
  const isStacked = custom.stacking?.mode === 'normal'
  const isBars = custom.drawStyle === 'bars'
  const steps = Math.max(1, Math.round(to - from))
  const below = new Float64Array(steps + 1)
  const drawn = lines.map(({ name, series }, index) => {
    const isDown = override(name, 'custom.transform') === 'negative-Y'
    const points: { step: number; base: number; value: number }[] = []
    for (const [at, value] of series.values) {
      const step = Math.round(at - from)
      if (!Number.isFinite(value) || step < 0 || step > steps) continue
      const base = isStacked ? (below[step] ?? 0) : 0
      points.push({ step, base, value: base + (isDown ? -value : value) })
      if (isStacked) below[step] = base + value
    }
    const fixed = override(name, 'color') as { fixedColor?: string } | undefined
    return {
      name,
      points,
      color:
        fixed?.fixedColor === undefined ? (palette[index % palette.length] ?? '') : hex(fixed.fixedColor),
    }
  })
  const values = drawn.flatMap(({ points }) =>
    points.flatMap(({ base, value }) => (isStacked || isBars ? [base, value] : [value])),
  )
  const low = Math.min(defaults.min ?? custom.axisSoftMin ?? 0, ...values)
  const high = defaults.max ?? (Math.max(...values, low) || 1)
  const plot = { left: 62, top: 4, width: size.width - 66, height: size.height - 40 }
  const x = (step: number) => plot.left + (step / steps) * plot.width
  const y = (value: number) => plot.top + (1 - (value - low) / (high - low || 1)) * plot.height
  const grid = [0, 0.5, 1].map((share) => {
    const value = low + share * (high - low)
    return `<line x1="${plot.left}" x2="${plot.left + plot.width}" y1="${y(value)}" y2="${y(value)}" stroke="#34373e"/><text x="${plot.left - 6}" y="${y(value) + 4}" text-anchor="end">${escaped(shown(value, panel))}</text>`
  })
  const limits = custom.thresholdsStyle?.mode === 'dashed' ? (defaults.thresholds?.steps ?? []) : []
  const dashes = limits.flatMap(({ value, color }) =>
    value === null || value > high
      ? []
      : [
          `<line x1="${plot.left}" x2="${plot.left + plot.width}" y1="${y(value)}" y2="${y(value)}" stroke="${hex(color)}" stroke-dasharray="6 4"/>`,
        ],
  )
  const shapes = drawn.map(({ points, color }) => {
    if (isBars) {
      const barWidth = Math.max(1, plot.width / steps)
      return points
        .map(
          ({ step, base, value }) =>
            `<rect x="${(x(step) - barWidth / 2).toFixed(1)}" width="${barWidth.toFixed(1)}" y="${y(Math.max(base, value)).toFixed(1)}" height="${Math.abs(y(base) - y(value)).toFixed(1)}" fill="${color}" fill-opacity=".8"/>`,
        )
        .join('')
    }
    return runsOf(points)
      .map((run) => {
        const top = run.map(({ step, value }) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`)
        const bottom = run
          .toReversed()
          .map(({ step, base }) => `${x(step).toFixed(1)},${y(isStacked ? base : low).toFixed(1)}`)
        return `<polygon points="${[...top, ...bottom].join(' ')}" fill="${color}" fill-opacity="${isStacked ? 0.4 : 0.08}"/><polyline points="${top.join(' ')}" fill="none" stroke="${color}" stroke-width="1.3"/>`
      })
      .join('')
  })
  const legend = drawn
    .slice(0, 12)
    .map(({ name, color }) => `<span style="--c:${color}">${escaped(name)}</span>`)
  return `<svg width="${size.width}" height="${size.height - 26}">${grid.join('')}${shapes.join('')}${dashes.join('')}</svg><div class="legend">${legend.join('')}</div>`
}

/** Cut where there is no value, so that no line is drawn over it. */
function runsOf<T extends { readonly step: number }>(points: readonly T[]): T[][] {
  const runs: T[][] = []
  for (const point of points) {
    const run = runs.at(-1)
    if (run !== undefined && point.step - (run.at(-1)?.step ?? 0) <= 1) run.push(point)
    else runs.push([point])
  }
  return runs
}

function statesBody(panel: Panel, lines: readonly Line[], { from, to }: Drawing, { width }: Size): string {
  const bars = lines.map(({ series }, index) => {
    const parts = series.values.map(([at, value]) => {
      const color = hex(colorAt(panel.fieldConfig?.defaults.thresholds, value))
      return `<rect x="${((at - from) / (to - from)) * width}" y="${index * 40 + 20}" width="${width / (to - from) + 0.5}" height="34" fill="${color}"/>`
    })
    return parts.join('')
  })
  return `<svg width="${width}" height="${lines.length * 40 + 24}">${bars.join('')}</svg>`
}

function barsBody(panel: Panel, lines: readonly Line[]): string {
  const defaults: FieldConfig = panel.fieldConfig?.defaults ?? {}
  const most = Math.max(...lines.map(({ series }) => series.values[0]?.[1] ?? 0), 1e-9)
  const bars = lines.map(({ name, series }) => {
    const value = series.values[0]?.[1] ?? 0
    const override = panel.fieldConfig?.overrides.find(({ matcher }) => matcher.options === name)
    const own = override?.properties.find(({ id }) => id === 'color')?.value as
      | { fixedColor?: string }
      | undefined
    const color =
      own?.fixedColor ??
      (defaults.color?.mode === 'fixed'
        ? (defaults.color.fixedColor ?? 'text')
        : colorAt(defaults.thresholds, value))
    return `<tr><td>${escaped(name)}</td><td class="wide"><i style="width:${(value / most) * 100}%;background:${hex(color)}"></i></td><td style="color:${hex(color)}">${escaped(shown(value, panel))}</td></tr>`
  })
  return `<table class="bars">${bars.join('')}</table>`
}

function tableBody(panel: Panel, lines: readonly Line[], { height }: Size): string {
  const organize = panel.transformations?.find(({ id }) => id === 'organize')?.options as {
    renameByName: Record<string, string>
    indexByName: Record<string, number>
  }
  const order = Object.entries(organize.indexByName).toSorted(([, a], [, b]) => a - b)
  const headings = order.map(([name]) => organize.renameByName[name] ?? name)
  const rows = new Map<string, Map<string, string | number>>()
  for (const { refId, series } of lines) {
    const key = JSON.stringify(Object.entries(series.metric).toSorted())
    const row = rows.get(key) ?? new Map<string, string | number>(Object.entries(series.metric))
    row.set(`Value #${refId}`, series.values[0]?.[1] ?? Number.NaN)
    rows.set(key, row)
  }
  const [sort] = (panel.options?.['sortBy'] ?? []) as { displayName: string; desc: boolean }[]
  const sortBy = order[headings.indexOf(sort?.displayName ?? '')]?.[0] ?? ''
  const sorted = [...rows.values()].toSorted(
    (a, b) => Number(b.get(sortBy) ?? -1) - Number(a.get(sortBy) ?? -1),
  )
  const body = sorted.slice(0, Math.floor(height / 24) - 1).map((row) => {
    const cells = order.map(([name], index) => {
      const value = row.get(name)
      const properties =
        panel.fieldConfig?.overrides.find(({ matcher }) => matcher.options === headings[index])?.properties ??
        []
      const of = (id: string): unknown => properties.find((each) => each.id === id)?.value
      if (typeof value !== 'number') return `<td>${escaped(value ?? '')}</td>`
      const levels = of('thresholds') as ThresholdsConfig | undefined
      const color = levels === undefined ? 'text' : colorAt(levels, value)
      return `<td style="color:${hex(color)}">${escaped(inUnit(value, String(of('unit')), of('decimals') as number | undefined))}</td>`
    })
    return `<tr>${cells.join('')}</tr>`
  })
  return `<table><tr>${headings.map((heading) => `<th>${escaped(heading)}</th>`).join('')}</tr>${body.join('')}</table>`
}

// ---- values in words

function shown(value: number, { fieldConfig }: Panel): string {
  const { mappings = [], unit = 'short', decimals } = fieldConfig?.defaults ?? {}
  return wordFor(value, mappings) ?? inUnit(value, unit, decimals)
}

function wordFor(value: number, mappings: readonly ValueMapping[]): string | undefined {
  const [mapping] = mappings
  return mapping?.type === 'value' ? mapping.options[String(value)]?.text : undefined
}

function inUnit(value: number, unit: string, decimals: number | undefined): string {
  const rounded = (number: number) => {
    const digits = decimals ?? (Math.abs(number) >= 100 || Number.isInteger(number) ? 0 : 2)
    return number
      .toFixed(digits)
      .replace(/(\.\d*?)0+$/, '$1')
      .replace(/\.$/, '')
  }
  if (!Number.isFinite(value)) return '–'
  switch (unit) {
    case 'percentunit':
      return `${rounded(value * 100)} %`
    case 's':
      return value < 1
        ? `${rounded(value * 1_000)} ms`
        : value < 60
          ? `${rounded(value)} s`
          : `${rounded(value / 60)} min`
    case 'bytes':
      return value < 2 ** 20 ? `${rounded(value / 2 ** 10)} KiB` : `${rounded(value / 2 ** 20)} MiB`
    case 'reqps':
      return `${rounded(value)} req/s`
    case 'bool_yes_no':
      return value === 0 ? 'No' : 'Yes'
    default:
      return rounded(value)
  }
}

function colorAt(thresholds: ThresholdsConfig | undefined, value: number): string {
  return (
    (thresholds?.steps ?? []).findLast((step) => step.value === null || value >= step.value)?.color ?? 'text'
  )
}

function hex(color: string): string {
  return colors[color] ?? color
}

function nameOf({ metric }: Series, legend: string): string {
  return legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const styles = `
body { margin: 0; background: #111217; color: #ccccdc; font: 13px/1.4 sans-serif; }
h1 { position: absolute; left: 12px; top: 4px; margin: 0; font-size: 18px; font-weight: 500; }
p { position: absolute; right: 8px; top: 6px; margin: 0; }
p span { margin-left: 14px; color: #9fa7b3; } p b { margin-left: 6px; padding: 3px 8px; background: #22252b; font-weight: 400; }
.row, .panel { position: absolute; box-sizing: border-box; overflow: hidden; }
.row { font-weight: 500; padding-top: 4px; }
.panel { background: #181b1f; border: 1px solid #2a2d33; border-radius: 2px; padding: 4px 8px; }
h2 { margin: 0 0 2px; font-size: 13px; font-weight: 500; }
.stat { font-size: 30px; font-weight: 500; line-height: 1.2; }
.spark { position: absolute; left: 8px; bottom: 0; }
.nothing { padding: 20px; text-align: center; color: #8e8e9a; }
.legend { height: 22px; overflow: hidden; font-size: 12px; }
.legend span { margin-right: 12px; white-space: nowrap; }
.legend span::before { content: ''; display: inline-block; width: 12px; height: 3px; margin: 0 5px 3px 0; background: var(--c); }
text { fill: #9fa7b3; font-size: 11px; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: 2px 8px 2px 0; border-bottom: 1px solid #2a2d33; white-space: nowrap; } th { color: #6e9fff; font-weight: 500; }
.bars td { border: 0; } .bars .wide { width: 60%; background: #22252b; padding: 0; } .bars i { display: block; height: 16px; }
`
