// The Prometheus rules as committed: whole, documented, tested, and about metrics that exist. What they do
// is in grafana/prometheus/tests, which promtool runs.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { familyOf, readQuery } from './promql.ts'
import { dashboardPaths, folder, knownMetrics, readDashboard, readRules, rulePaths } from './sources.ts'

const metrics = await knownMetrics()
const histograms = new Set([...metrics].filter(([, type]) => type === 'histogram').map(([name]) => name))
const rules = rulePaths.flatMap((path) => readRules(path))
const alerts = rules.filter(({ alert }) => alert !== undefined)
const records = rules.flatMap(({ record }) => record ?? [])
const runbooks = join(folder, '../docs/runbooks')

it('finds the rules', () => {
  expect(alerts.length).toBeGreaterThan(20)
  const names = alerts.map(({ alert }) => alert)
  expect(new Set(names).size).toBe(names.length)
})

describe.each(alerts)('$alert', ({ alert = '', expr, labels, annotations = {} }) => {
  it('says how bad it is, what it means and what to do', () => {
    expect(['critical', 'warning', 'info', 'none']).toContain(labels?.['severity'])
    expect(Object.keys(annotations).toSorted()).toEqual([
      'dashboard_url',
      'description',
      'runbook_url',
      'summary',
    ])
    expect(annotations['summary']).toMatch(/^.{15,100}[^.]$/)
    expect(annotations['description']).toMatch(/^.{60,}\.$/s)
  })

  it('has a runbook, which the index names', () => {
    const page = /\/docs\/runbooks\/(\w+)\.md(?:#[\w-]+)?$/.exec(annotations['runbook_url'] ?? '')?.[1]
    expect(page).toBe(alert)
    const text = readFileSync(join(runbooks, `${alert}.md`), 'utf8')
    expect(readFileSync(join(runbooks, 'README.md'), 'utf8')).toContain(`[${alert}](${alert}.md)`)
    if (alert === 'Watchdog') return
    const { severity } = labels ?? {}
    expect(text).toMatch(new RegExp(`^# ${alert}\n\nSeverity \`${severity}\` · Prometheus · `))
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual([
      'What it means',
      'What the customer notices',
      'First checks',
      'How to resolve',
      'When to escalate',
      'Tuning',
      'Known false alarms',
    ])
  })

  it('links to a dashboard that exists', () => {
    const uids = dashboardPaths.map((path) => readDashboard(path).uid)
    expect(uids).toContain(/\/d\/([\w-]+)/.exec(annotations['dashboard_url'] ?? '')?.[1])
  })

  it('has a unit test in which it fires, and one in which it does not', () => {
    if (alert === 'Watchdog') return
    const tested = globSync('prometheus/tests/*.yaml', { cwd: folder }).flatMap((path) => {
      const { tests } = parse(readFileSync(join(folder, path), 'utf8')) as {
        tests: readonly { promql_expr_test?: readonly { expr: string; exp_samples: readonly unknown[] }[] }[]
      }
      return tests.flatMap(({ promql_expr_test = [] }) =>
        promql_expr_test.filter((each) => each.expr.includes(`alertname="${alert}"`)),
      )
    })
    expect(tested.some(({ exp_samples }) => exp_samples.length > 0)).toBe(true)
    expect(tested.some(({ exp_samples }) => exp_samples.length === 0)).toBe(true)
  })

  it('has an expression about what is there', () => {
    expect(readQuery(expr).errors).toEqual([])
  })
})

it('asks for metrics and recorded series that there are', () => {
  const known = [...metrics.keys(), ...records, 'up']
  for (const { alert, record, expr } of rules) {
    const { errors, selectors } = readQuery(expr)
    expect(errors, alert ?? record).toEqual([])
    for (const { metric } of selectors) expect(known, alert ?? record).toContain(familyOf(metric, histograms))
  }
})

it('has no recorded series that nothing uses', () => {
  const used = rules.flatMap(({ expr, annotations = {} }) => [
    ...readQuery(expr).selectors.map(({ metric }) => metric),
    ...[...(annotations['dashboard_url'] ?? '').matchAll(/query "([\w:]+)"/g)].map(([, name]) => name),
  ])
  expect(records.filter((record) => !used.includes(record))).toEqual([])
})

it('has the files that the example configuration names', () => {
  const example = parse(readFileSync(join(folder, 'prometheus/prometheus.example.yaml'), 'utf8')) as {
    rule_files: readonly string[]
    scrape_configs: readonly { job_name: string }[]
  }
  const loaded = globSync([...example.rule_files], { cwd: join(folder, 'prometheus') })
  expect(loaded.map((path) => join('prometheus', path)).toSorted()).toEqual(rulePaths)
  // By which FleetwardenDown finds it.
  for (const { job_name } of example.scrape_configs) expect(job_name).toMatch(/^fleetwarden/)
  expect(existsSync(join(folder, 'prometheus/rules/links.yaml'))).toBe(true)
})
