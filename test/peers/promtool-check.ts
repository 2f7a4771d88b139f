// Runs `promtool check metrics` over our own metrics, which must be without a fault. With a URL, over
// those of a running service: node bin/node24.js test/peers/promtool-check.ts http://127.0.0.1:9469/metrics
// The metrics of the Node process are left out: prom-client's names for them are not ours to mend.

import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { createMetrics } from '../../src/metrics.ts'

const [url] = process.argv.slice(2)
const text = url === undefined ? await freshMetrics() : await scrapedMetrics(url)
const families = text.match(/^# TYPE /gm)?.length ?? 0
const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
  input: text,
  encoding: 'utf8',
})
process.stdout.write(`${stdout ?? ''}${stderr ?? ''}`)
if (error !== undefined) {
  console.error(`cannot run promtool (Debian's package "prometheus" has it): ${error.message}`)
  process.exitCode = 1
} else if (families === 0) {
  console.error('there is no metric that begins with fleet_')
  process.exitCode = 1
} else {
  console.log(`promtool check metrics: ${families} metrics, exit ${status}`)
  process.exitCode = status ?? 1
}

async function freshMetrics(): Promise<string> {
  const metrics = createMetrics({
    clock: { now: () => 0 },
    version: '0',
    revision: '0',
    nodeVersion: process.version,
    processMetrics: false,
  })
  return metrics.renderOwn()
}

/** Families are kept whole: a block begins at its HELP. */
async function scrapedMetrics(from: string): Promise<string> {
  const response = await fetch(from)
  if (!response.ok) throw new Error(`${from} answers ${response.status}`)
  const blocks = (await response.text()).split(/^(?=# HELP )/m)
  return blocks.filter((block) => block.startsWith('# HELP fleet_')).join('')
}
