// A Prometheus of its own on loopback, for checks: scrapes one target twice a second, evaluates the
// committed rules, answers queries, and is gone with its data at the end.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Series {
  readonly metric: Readonly<Record<string, string>>
  /** Seconds since 1970 → value; one of an instant. */
  readonly values: readonly (readonly [at: number, value: number])[]
}

export interface RuleState {
  readonly name: string
  readonly health: string
  readonly lastError?: string
  readonly alerts?: readonly { readonly annotations: Readonly<Record<string, string>> }[]
}

export interface Prometheus extends AsyncDisposable {
  readonly url: string
  instant(query: string, at?: number): Promise<readonly Series[]>
  range(
    query: string,
    range: { readonly from: number; readonly to: number; readonly step: number },
  ): Promise<readonly Series[]>
  labelValues(label: string, selector: string): Promise<readonly string[]>
  rules(): Promise<readonly RuleState[]>
}

export async function startPrometheus(options: {
  /** Host and port. */
  readonly target: string
  readonly job: string
  readonly ruleFiles: readonly string[]
  /** What lets it read metrics. */
  readonly token: string
}): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-prometheus-'))
  const file = join(folder, 'prometheus.yaml')
  const tokenFile = join(folder, 'token')
  const configuration = {
    global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '1s' },
    rule_files: options.ruleFiles,
    scrape_configs: [
      {
        job_name: options.job,
        authorization: { credentials_file: tokenFile },
        static_configs: [{ targets: [options.target] }],
      },
    ],
  }
  await writeFile(tokenFile, `${options.token}\n`)
  await writeFile(file, JSON.stringify(configuration))
  const address = `127.0.0.1:${await freePort()}`
  const child = spawn(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  const url = `http://${address}`
  const end = async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGTERM'))
      await once(child, 'close')
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await untilReady(child, url)
  } catch (error) {
    await end()
    throw error
  }

  async function ask<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
    const answer = (await response.json()) as { status: string; error?: string; data: T }
    if (answer.status !== 'success') throw new Error(`${answer.error}: ${parameters['query'] ?? path}`)
    return answer.data
  }

  return {
    url,
    instant: async (query, at) => {
      const { resultType, result } = await ask<{ resultType: string; result: never }>('query', {
        query,
        ...(at === undefined ? {} : { time: String(at) }),
      })
      if (resultType === 'scalar') return [{ metric: {}, values: [numbered(result)] }]
      return (result as readonly { metric: Series['metric']; value: [number, string] }[]).map(
        ({ metric, value }) => ({ metric, values: [numbered(value)] }),
      )
    },
    range: async (query, { from, to, step }) => {
      const { result } = await ask<{
        result: readonly { metric: Series['metric']; values: [number, string][] }[]
      }>('query_range', { query, start: String(from), end: String(to), step: String(step) })
      return result.map(({ metric, values }) => ({ metric, values: values.map(numbered) }))
    },
    labelValues: (label, selector) => ask(`label/${label}/values`, { 'match[]': selector }),
    rules: async () => {
      const { groups } = await ask<{ groups: readonly { rules: readonly RuleState[] }[] }>('rules', {})
      return groups.flatMap(({ rules }) => rules)
    },
    [Symbol.asyncDispose]: end,
  }
}

function numbered([at, value]: readonly [number, string]): readonly [number, number] {
  return [at, Number(value === '+Inf' ? Number.POSITIVE_INFINITY : value)]
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  let failure: Error | null = null
  child.on('error', (error) => {
    failure = new Error(`cannot run prometheus (Debian's package has it): ${error.message}`)
  })
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if (failure !== null) throw failure
    if (child.exitCode !== null) throw new Error(`prometheus ended with ${child.exitCode}`)
    const isReady = await fetch(`${url}/-/ready`).then(
      (response) => response.ok,
      () => false,
    )
    if (isReady) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('prometheus was not ready within 30 s')
}

/** One that is free now; somebody else may take it before it is used. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}
