// The kinds of panels that our dashboards are made of, each with the settings that all of its kind
// share. Where a panel stands, its id and its data source are dashboard.ts's business.

import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  type DataTransformerConfig,
  FieldColorModeId,
  type FieldConfig,
  type FieldConfigSource,
  GraphDrawStyle,
  LegendDisplayMode,
  LineInterpolation,
  MappingType,
  type Panel,
  PercentChangeColorMode,
  SortOrder,
  StackingMode,
  type Threshold,
  ThresholdsMode,
  TooltipDisplayMode,
  type ValueMapping,
  VisibilityMode,
  VizOrientation,
} from '@grafana/schema'

export interface Query {
  readonly expr: string
  /** With `{{label}}`. */
  readonly legend?: string
}

/** In words of Grafana's list of units. */
export type Unit =
  | 'short'
  | 'percentunit'
  | 's'
  | 'bytes'
  | 'reqps'
  | 'dateTimeFromNow'
  | 'bool_yes_no'
  | 'none'

export interface Link {
  readonly title: string
  readonly url: string
}

/** A panel as its dashboard describes it. */
export interface PanelSpec {
  readonly title: string
  /** What it shows, and what to do when it looks bad. */
  readonly description: string
  readonly unit: Unit
  readonly queries: readonly Query[]
  /** Columns of 24. */
  readonly width: number
  readonly height: number
  readonly links: readonly Link[]
  readonly type: string
  /** At one moment in the place of over time. */
  readonly isInstant: boolean
  readonly fieldConfig: FieldConfigSource
  readonly options: NonNullable<Panel['options']>
  readonly transformations?: DataTransformerConfig[]
}

interface Common {
  readonly title: string
  readonly description: string
  readonly unit: Unit
  readonly width: number
  readonly height?: number
  readonly links?: readonly Link[]
  readonly decimals?: number
}

/** From which value on which colour; what is below the first is green unless told. */
export interface Levels {
  readonly base?: string
  readonly steps: readonly (readonly [from: number, color: string])[]
}

export const badBelow = (bad: number, poor: number): Levels => ({
  base: 'red',
  steps: [
    [bad, 'yellow'],
    [poor, 'green'],
  ],
})
export const badAbove = (poor: number, bad: number): Levels => ({
  base: 'green',
  steps: [
    [poor, 'yellow'],
    [bad, 'red'],
  ],
})
/** Anything but 0 is bad. */
export const badAboveNothing: Levels = { base: 'green', steps: [[1e-9, 'red']] }

export const noData = 'nothing'

/** One number, large. */
export function stat(
  spec: Common & {
    readonly expr: string
    readonly legend?: string
    readonly levels?: Levels
    readonly words?: Readonly<Record<string, string>>
    readonly sparkline?: boolean
    /** Shows the legend in the place of the value. */
    readonly name?: boolean
  },
): PanelSpec {
  const { expr, legend, levels, words, sparkline = true, name = false } = spec
  return {
    ...placed(spec, 4),
    type: 'stat',
    queries: [{ expr, ...(legend === undefined ? {} : { legend }) }],
    isInstant: !sparkline,
    fieldConfig: {
      defaults: {
        ...fieldDefaults(spec, levels),
        color:
          levels === undefined
            ? { mode: FieldColorModeId.Fixed, fixedColor: 'text' }
            : { mode: FieldColorModeId.Thresholds },
        mappings: words === undefined ? [] : [wordsFor(words)],
      },
      overrides: [],
    },
    options: {
      colorMode: BigValueColorMode.Value,
      graphMode: sparkline ? BigValueGraphMode.Area : BigValueGraphMode.None,
      justifyMode: BigValueJustifyMode.Auto,
      orientation: VizOrientation.Auto,
      percentChangeColorMode: PercentChangeColorMode.Standard,
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      showPercentChange: false,
      textMode: name ? BigValueTextMode.Name : BigValueTextMode.Value,
      wideLayout: true,
    },
  }
}

export interface TimeseriesStyle {
  readonly stacked?: boolean
  /** Bars, for what happened between two points. */
  readonly bars?: boolean
  readonly levels?: Levels
  readonly max?: number
  /** Where the axis begins unless a value is below it; 0 unless told. */
  readonly softMin?: number
  /** Series by name: their colour, or that they point down. */
  readonly colors?: Readonly<Record<string, string>>
  readonly down?: readonly string[]
}

/** Values over time. */
export function timeseries(
  spec: Common & TimeseriesStyle & { readonly queries: readonly Query[] },
): PanelSpec {
  const { queries, stacked = false, bars = false, levels, colors = {}, down = [] } = spec
  const overrides = [
    ...colorOverrides(colors),
    ...down.map((series) => ({
      matcher: { id: 'byName', options: series },
      properties: [{ id: 'custom.transform', value: 'negative-Y' }],
    })),
  ]
  return {
    ...placed(spec, 8),
    type: 'timeseries',
    queries,
    isInstant: false,
    fieldConfig: {
      defaults: {
        ...fieldDefaults(spec, levels),
        color: { mode: FieldColorModeId.PaletteClassicByName },
        ...(down.length > 0 || spec.softMin !== undefined ? {} : { min: 0 }),
        ...(spec.max === undefined ? {} : { max: spec.max }),
        custom: {
          drawStyle: bars ? GraphDrawStyle.Bars : GraphDrawStyle.Line,
          // A gauge between two walks is what it was: no slope that nobody measured.
          lineInterpolation: LineInterpolation.StepAfter,
          lineWidth: 1,
          fillOpacity: bars ? 80 : stacked ? 40 : 8,
          showPoints: VisibilityMode.Never,
          spanNulls: false,
          ...(spec.softMin === undefined ? {} : { axisSoftMin: spec.softMin }),
          stacking: { mode: stacked ? StackingMode.Normal : StackingMode.None, group: 'A' },
          thresholdsStyle: { mode: levels === undefined ? 'off' : 'dashed' },
        },
      },
      overrides,
    },
    options: {
      legend: {
        displayMode: LegendDisplayMode.List,
        placement: 'bottom',
        showLegend: true,
        calcs: [],
      },
      tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending },
    },
  }
}

/** What was so when: one bar per series, coloured by value. */
export function stateTimeline(
  spec: Common & {
    readonly queries: readonly Query[]
    readonly levels: Levels
    readonly words: Readonly<Record<string, string>>
  },
): PanelSpec {
  return {
    ...placed(spec, 6),
    type: 'state-timeline',
    queries: spec.queries,
    isInstant: false,
    fieldConfig: {
      defaults: {
        ...fieldDefaults(spec, spec.levels),
        color: { mode: FieldColorModeId.Thresholds },
        mappings: [wordsFor(spec.words)],
        custom: { fillOpacity: 70, lineWidth: 0 },
      },
      overrides: [],
    },
    options: {
      legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: false, calcs: [] },
      mergeValues: true,
      rowHeight: 0.8,
      showValue: VisibilityMode.Auto,
      tooltip: { mode: TooltipDisplayMode.Single, sort: SortOrder.None },
    },
  }
}

/** Bars side by side: a ranking of now. */
export function ranking(
  spec: Common & { readonly expr: string; readonly legend: string; readonly levels?: Levels },
): PanelSpec {
  return {
    ...placed(spec, 8),
    type: 'bargauge',
    queries: [{ expr: spec.expr, legend: spec.legend }],
    isInstant: true,
    fieldConfig: {
      defaults: {
        ...fieldDefaults(spec, spec.levels),
        color:
          spec.levels === undefined
            ? { mode: FieldColorModeId.Fixed, fixedColor: 'orange' }
            : { mode: FieldColorModeId.Thresholds },
        min: 0,
      },
      overrides: [],
    },
    options: {
      displayMode: 'basic',
      legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: false, calcs: [] },
      maxVizHeight: 300,
      minVizHeight: 16,
      minVizWidth: 8,
      namePlacement: 'left',
      orientation: VizOrientation.Horizontal,
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      showUnfilled: true,
      sizing: 'auto',
      valueMode: 'color',
    },
  }
}

/** Bars below each other in the order of the queries: how many came how far. */
export function funnel(
  spec: Common & { readonly queries: readonly Query[]; readonly colors: Readonly<Record<string, string>> },
): PanelSpec {
  const { queries, colors, ...rest } = spec
  const bars = ranking({ ...rest, expr: '', legend: '' })
  const { defaults } = bars.fieldConfig
  return { ...bars, queries, fieldConfig: { defaults, overrides: colorOverrides(colors) } }
}

export interface Column {
  /** As the heading of the column says it. */
  readonly title: string
  readonly expr: string
  readonly unit: Unit
  readonly levels?: Levels
  /** The growth of a counter is an estimate, with digits that mean nothing. */
  readonly isWhole?: boolean
}

/** One row per combination of the labels in `keys`; queries are columns. */
export function table(
  spec: Omit<Common, 'unit'> & {
    readonly keys: readonly (readonly [label: string, title: string])[]
    readonly columns: readonly Column[]
    /** The heading by which rows are ordered, the largest first. */
    readonly sortBy: string
    /** Where a click on the first key leads. */
    readonly keyLink?: Link
    readonly smallestFirst?: boolean
  },
): PanelSpec {
  const { keys, columns, sortBy, keyLink, smallestFirst = false } = spec
  const [firstKey] = keys
  const renameByName: Record<string, string> = {}
  const indexByName: Record<string, number> = {}
  for (const [index, [label, title]] of keys.entries()) {
    renameByName[label] = title
    indexByName[label] = index
  }
  for (const [index, { title }] of columns.entries()) {
    renameByName[`Value #${refId(index)}`] = title
    indexByName[`Value #${refId(index)}`] = keys.length + index
  }
  return {
    ...placed({ ...spec, unit: 'short' }, 9),
    type: 'table',
    queries: columns.map(({ expr, title }) => ({ expr, legend: title })),
    isInstant: true,
    fieldConfig: {
      defaults: {
        ...fieldDefaults({ ...spec, unit: 'short' }, undefined),
        color: { mode: FieldColorModeId.Thresholds },
        custom: { align: 'auto', filterable: false },
      },
      overrides: [
        ...columns.map(({ title, unit, levels, isWhole = false }) => ({
          matcher: { id: 'byName', options: title },
          properties: [
            { id: 'unit', value: unit },
            ...(isWhole ? [{ id: 'decimals', value: 0 }] : []),
            ...(levels === undefined
              ? []
              : [
                  { id: 'thresholds', value: thresholds(levels) },
                  { id: 'custom.cellOptions', value: { type: 'color-text' } },
                ]),
          ],
        })),
        ...(keyLink === undefined || firstKey === undefined
          ? []
          : [
              {
                matcher: { id: 'byName', options: firstKey[1] },
                properties: [{ id: 'links', value: [{ ...keyLink, targetBlank: false }] }],
              },
            ]),
      ],
    },
    options: { showHeader: true, cellHeight: 'sm', sortBy: [{ displayName: sortBy, desc: !smallestFirst }] },
    transformations: [
      { id: 'merge', options: {} },
      { id: 'organize', options: { excludeByName: { Time: true }, indexByName, renameByName } },
    ],
  }
}

/** As Grafana names the queries of a panel: A, B, …, Z. */
export function refId(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index)
}

/** Series by name, each in its colour. */
function colorOverrides(colors: Readonly<Record<string, string>>) {
  return Object.entries(colors).map(([series, fixedColor]) => ({
    matcher: { id: 'byName', options: series },
    properties: [{ id: 'color', value: { mode: FieldColorModeId.Fixed, fixedColor } }],
  }))
}

function placed({ title, description, unit, width, height, links = [] }: Common, usual: number) {
  return { title, description, unit, width, height: height ?? usual, links }
}

function fieldDefaults({ unit, decimals }: Pick<Common, 'unit' | 'decimals'>, levels?: Levels): FieldConfig {
  return {
    unit,
    noValue: noData,
    ...(decimals === undefined ? {} : { decimals }),
    thresholds: thresholds(levels ?? { steps: [] }),
  }
}

function thresholds({ base = 'green', steps }: Levels) {
  const first: Threshold = { color: base, value: null }
  return {
    mode: ThresholdsMode.Absolute,
    steps: [first, ...steps.map(([value, color]): Threshold => ({ color, value }))],
  }
}

function wordsFor(words: Readonly<Record<string, string>>): ValueMapping {
  const options = Object.fromEntries(
    Object.entries(words).map(([value, text], index) => [value, { text, index }]),
  )
  return { type: MappingType.ValueToText, options }
}
