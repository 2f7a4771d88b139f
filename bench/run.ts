// `npm run bench [-- NAME…] [--full] [--cpu-prof FOLDER]`: runs the benchmarks, all or those named, one after the other,
// and ends with exit code 1 if a figure misses its limit. What they mean is in docs/benchmarks.md.

import { mkdirSync } from 'node:fs'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { alerting } from './alerting.ts'
import { deluge } from './deluge.ts'
import { evaluation } from './evaluation.ts'
import { growth } from './growth.ts'
import { type Benchmark, type Figure, isWithinLimit, printReport, rounded } from './harness.ts'
import { latency } from './latency.ts'
import { memory } from './memory.ts'
import { pacing } from './pacing.ts'
import { page } from './page.ts'
import { replicas } from './replicas.ts'
import { scrape } from './scrape.ts'
import { start } from './start.ts'
import { storm } from './storm.ts'
import { walk } from './walk.ts'

const benchmarks: readonly Benchmark[] = [
  evaluation,
  scrape,
  start,
  walk,
  pacing,
  memory,
  growth,
  alerting,
  storm,
  page,
  latency,
  deluge,
  replicas,
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false }, 'cpu-prof': { type: 'string' } },
})
const cpuProfiles = values['cpu-prof'] ?? null
if (cpuProfiles !== null) mkdirSync(cpuProfiles, { recursive: true })
const unknown = positionals.filter((name) => !benchmarks.some((each) => each.name === name))
if (unknown.length > 0) {
  console.error(
    `no benchmark is called ${unknown.join(', ')}: ${benchmarks.map(({ name }) => name).join(', ')}`,
  )
  process.exit(2)
}

const missed: Figure[] = []
for (const benchmark of benchmarks) {
  if (positionals.length > 0 && !positionals.includes(benchmark.name)) continue
  console.log(`\n${benchmark.name}: ${benchmark.about}\n`)
  const startedAt = performance.now()
  const report = await benchmark.run({ full: values.full, cpuProfiles })
  printReport(report)
  console.log(`  (${((performance.now() - startedAt) / 1_000).toFixed(0)} s)`)
  missed.push(...report.figures.filter((figure) => !isWithinLimit(figure)))
}
for (const { name, value, limit } of missed) console.log(`MISS: ${name}: ${rounded(value)}, limit ${limit}`)
process.exitCode = missed.length > 0 ? 1 : 0
