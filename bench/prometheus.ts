// The real Prometheus: Debian's package prometheus. What is not said here is as it is by default.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { type PeerProcess, startPeer } from './peer-process.ts'

export interface PrometheusOptions {
  readonly folder: string
  /** Host and port of the exporter. */
  readonly target: string
  /** Host and port. */
  readonly alertmanager: string
  /** Between two scrapes, and between two evaluations of a group. */
  readonly intervalSeconds: number
  /** How many notifications wait at most; null: as many as by default. */
  readonly queueCapacity: number | null
  /** As in a rule file. */
  readonly ruleGroups: readonly object[]
}

export interface PrometheusProcess extends PeerProcess {
  /** Of an instant query that has one number for an answer; NaN without any. */
  valueOf(query: string): Promise<number>
  /** Of its own metrics, which nobody scrapes here: the sum over a counter's labels. */
  counter(name: string): Promise<number>
}

/** Null: it is not installed. */
export async function startPrometheus(options: PrometheusOptions): Promise<PrometheusProcess | null> {
  const { folder, target, alertmanager, intervalSeconds, queueCapacity, ruleGroups } = options
  const file = join(folder, 'prometheus.yml')
  const ruleFile = join(folder, 'prometheus-rules.yml')
  const interval = `${intervalSeconds}s`
  await writeFile(ruleFile, JSON.stringify({ groups: ruleGroups }))
  await writeFile(
    file,
    JSON.stringify({
      // The timeout is the longest that it takes: an answer of the exporter is a whole walk.
      global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
      rule_files: [ruleFile],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] },
      scrape_configs: [{ job_name: 'fleet', static_configs: [{ targets: [target] }] }],
    }),
  )
  const peer = await startPeer({
    executable: 'prometheus',
    argumentsAt: (address) => [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, 'prometheus')}`,
      `--web.listen-address=${address}`,
      '--log.level=error',
      ...(queueCapacity === null ? [] : [`--alertmanager.notification-queue-capacity=${queueCapacity}`]),
    ],
  })
  if (peer === null) return null
  return {
    ...peer,
    async valueOf(query) {
      const { statusCode, body } = await request(`${peer.url}/api/v1/query`, { query: { query } })
      const answer = (await body.json()) as {
        data: { result: readonly { value: readonly [number, string] }[] }
      }
      if (statusCode !== 200) throw new Error(`Prometheus does not answer ${query}: ${statusCode}`)
      return Number(answer.data.result[0]?.value[1] ?? Number.NaN)
    },
    async counter(name) {
      const { body } = await request(`${peer.url}/metrics`)
      const lines = (await body.text()).split('\n').filter((line) => /^[^{ ]*/.exec(line)?.[0] === name)
      if (lines.length === 0) throw new Error(`Prometheus has no ${name}`)
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
    },
  }
}
