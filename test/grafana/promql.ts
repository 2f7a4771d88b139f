// Reads PromQL with Prometheus' own grammar: which metrics a query asks for, with which matchers, and
// inside of which functions.

import { parser } from '@prometheus-io/lezer-promql'

export interface Selector {
  readonly metric: string
  /** As they are written: `job=~"$job"`. */
  readonly matchers: readonly string[]
  /** Of a range: what stands in its brackets; null for an instant. */
  readonly range: string | null
  /** Functions around it, the innermost first. */
  readonly functions: readonly string[]
}

export interface ReadQuery {
  /** Where it is no PromQL: the text from there on. */
  readonly errors: readonly string[]
  readonly selectors: readonly Selector[]
}

type Tree = ReturnType<typeof parser.parse>
type Node = Tree['topNode']

/** What Grafana puts in, as something that the grammar knows. */
const stand = { $__rate_interval: '9m', $__range: '8m', $__interval: '7m', $compare: '6m' } as const

export function readQuery(query: string): ReadQuery {
  const text = Object.entries(stand).reduce((all, [name, value]) => all.replaceAll(name, value), query)
  const errors: string[] = []
  const selectors: Selector[] = []
  const of = ({ from, to }: { readonly from: number; readonly to: number }) => text.slice(from, to)
  parser.parse(text).iterate({
    enter({ type, node }) {
      if (type.isError) errors.push(text.slice(node.from) || 'the end')
      if (node.name === 'VectorSelector') selectors.push(selectorOf(node, of))
    },
  })
  return { errors, selectors }
}

function selectorOf(node: Node, of: (node: Node) => string): Selector {
  const name = node.getChild('Identifier')
  const list = node.getChild('LabelMatchers')
  const range = node.parent?.name === 'MatrixSelector' ? node.parent.getChild('DurationExpr') : null
  const functions: string[] = []
  for (let outer = node.parent; outer !== null; outer = outer.parent) {
    const called = outer.getChild('FunctionIdentifier') ?? outer.getChild('AggregateOp')
    if (called !== null) functions.push(of(called))
  }
  const written = range === null ? null : of(range)
  const variable = Object.entries(stand).find(([, value]) => value === written)?.[0]
  return {
    metric: name === null ? '' : of(name),
    matchers: list === null ? [] : list.getChildren('UnquotedLabelMatcher').map(of),
    range: variable ?? written,
    functions,
  }
}

/** Of a histogram's series the histogram. */
export function familyOf(metric: string, histograms: ReadonlySet<string>): string {
  const family = metric.replace(/_(?:bucket|sum|count)$/, '')
  return histograms.has(family) ? family : metric
}
