// What the benchmarks share: child processes, the service under test, and how results are shown.
//
// A benchmark answers a Report: tables to read, and figures that are held to a limit. Every figure
// is a ratio or a bound within one run, since absolute times belong to one machine and one moment.
// Whatever is compared runs in child processes of its own, so that neither side inherits the other's
// heap or the other's compiled code, and takes turns, so that both meet the same neighbours.

import { type ChildProcess, fork } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { type Config, parseConfig } from '../src/config.ts'
import { createFleet, type Fleet } from '../src/simulator/fleet.ts'
import type { SimulatorChildOptions, SimulatorChildReady } from './simulator-child.ts'
import type { Walked, WalkerOptions } from './walker-child.ts'

export interface BenchOptions {
  /** All users and all calls also where a part of them says nearly as much. */
  readonly full: boolean
  /** The folder for profiles of what can be profiled; null: none are made. */
  readonly cpuProfiles: string | null
}

/** A number that is held to a limit. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly limit: number
  readonly isAtLeast?: boolean
  /** Of value and limit: `x`, `ms`; without one it is a plain ratio. */
  readonly unit?: string
}

export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export interface Report {
  readonly tables: readonly Table[]
  readonly figures: readonly Figure[]
  /** What has to be known to read the numbers. */
  readonly notes: readonly string[]
}

export interface Benchmark {
  readonly name: string
  /** One line: what is compared with what. */
  readonly about: string
  run(options: BenchOptions): Promise<Report>
}

// --- results

export function isWithinLimit({ value, limit, isAtLeast = false }: Figure): boolean {
  return isAtLeast ? value >= limit : value <= limit
}

export function printReport({ tables, figures, notes }: Report): void {
  for (const table of tables) printTable(table)
  printTable({
    head: ['figure', 'value', 'limit', ''],
    rows: figures.map((figure) => {
      const { name, value, limit, isAtLeast = false, unit = '' } = figure
      const bound = `${isAtLeast ? '>=' : '<='} ${limit}${unit}`
      return [name, `${rounded(value)}${unit}`, bound, isWithinLimit(figure) ? 'ok' : 'MISS']
    }),
  })
  for (const note of notes) console.log(`  ${note}`)
}

function printTable({ head, rows }: Table): void {
  const lines = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  for (const line of lines) {
    const cells = line.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
    console.log(`  ${cells.join('   ').trimEnd()}`)
  }
  console.log('')
}

/** Three digits that matter. */
export function rounded(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value)
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(decimals, 4))
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** Of what is sorted; `share` from 0 to 1. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

// --- what a process has cost so far

/** User and system, of all threads; NaN where there is no /proc. */
export function cpuMsOf(pid: number | undefined): number {
  try {
    // The 14th and 15th field, in hundredths of a second; the second one, a name, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}

/** The resident set, now and at its peak, bytes; NaN where there is no /proc. */
export function memoryOf(pid: number | undefined): { readonly nowBytes: number; readonly peakBytes: number } {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const bytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1_024
    return { nowBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') }
  } catch {
    return { nowBytes: Number.NaN, peakBytes: Number.NaN }
  }
}

// --- places

export const root = fileURLToPath(new URL('../', import.meta.url))

export async function scratchFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'fleetwarden-bench-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

// --- the service under test

export const fixedToken = 'benchmark-token'

/** The shipped rules, or those that need no call per user beside the three for its devices. */
export type RuleSelection = 'all' | 'without contracts'

/** What `rules/*.yaml` names, as in the example configuration. */
export function shippedRuleFiles(selection: RuleSelection): string[] {
  return globSync('rules/*.yaml', { cwd: root })
    .filter((path) => !path.endsWith('.test.yaml'))
    .filter((path) => selection === 'all' || basename(path) !== 'energy-contracts.yaml')
    .map((path) => join(root, path))
    .sort()
}

export interface ServiceOptions {
  readonly baseUrl: string
  readonly organizationId: string
  /** Of the database, unless `storageUrl` names one. */
  readonly folder: string
  readonly storageUrl?: string | undefined
  readonly concurrency: number
  readonly requestsPerSecond: number
  readonly rules: RuleSelection
}

/** A configuration as an operator would write it. Nobody listens where its receivers are. */
export function configurationText(options: ServiceOptions): string {
  return `
partner:
  base_url: ${options.baseUrl}
  org_id: ${options.organizationId}
  token: ${fixedToken}
  concurrency: ${options.concurrency}
  requests_per_second: ${options.requestsPerSecond}
poll: {schedule: "*/10 * * * *"}
rules: ${JSON.stringify(shippedRuleFiles(options.rules))}
storage: {url: ${JSON.stringify(options.storageUrl ?? `sqlite:${join(options.folder, 'fleet.db')}`)}}
http: {listen: "127.0.0.1:0"}
log: {level: error}
alerting:
  route: {receiver: on-call, group_by: [alertname, manufacturer]}
  receivers:
    - name: on-call
      slack_configs: [{api_url: "http://127.0.0.1:9/slack"}]
`
}

export function serviceConfig(
  options: ServiceOptions,
  readFile: (path: string) => Promise<string>,
): Promise<Config> {
  const file = join(options.folder, 'fleetwarden.yaml')
  return parseConfig({ file, text: configurationText(options), env: {}, readFile })
}

// --- child processes

/** A child that answers each message with one: `ask` resolves with it. */
export interface Child<Request, Answer> extends AsyncDisposable {
  ask(request: Request): Promise<Answer>
}

export function startChild<Request extends object, Answer>(
  script: string,
  options: unknown,
  nodeOptions: readonly string[],
): { readonly child: Child<Request, Answer>; readonly ready: Promise<unknown> } {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const forked = fork(path, [JSON.stringify(options)], {
    execArgv: [...process.execArgv, ...nodeOptions],
    stdio: 'inherit',
  })
  const ask = (request: Request) => {
    const answer = nextMessage(forked, script)
    forked.send(request)
    return answer as Promise<Answer>
  }
  return {
    ready: nextMessage(forked, script),
    child: {
      ask,
      [Symbol.asyncDispose]: () =>
        new Promise((resolve) => {
          if (forked.exitCode !== null || forked.signalCode !== null) return resolve()
          forked.once('exit', () => resolve())
          forked.kill('SIGKILL')
        }),
    },
  }
}

function nextMessage(child: ChildProcess, script: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`${script} ended with code ${code}`))
    child.once('exit', onExit)
    child.once('message', (message) => {
      child.off('exit', onExit)
      resolve(message)
    })
  })
}

export interface SimulatorProcess extends AsyncDisposable, SimulatorChildReady {
  /** Calls of the endpoints of single users that were answered, by 100 ms since the first. */
  counted(): Promise<CallCounts>
  /** Its own surface (src/simulator/control.ts). Resolves with the number of the fault, where one is made. */
  control(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<number | undefined>
}

export interface CallCounts {
  readonly answered: number
  readonly throttled: number
  /** From the first to the last of them. */
  readonly durationMs: number
}

/** What the simulator's process has: the same devices for the same number of users. */
export function healthyFleet(users: number): Fleet {
  return createFleet({ seed: 7, users, healthy: true, shapes: 'current' })
}

export async function startSimulatorProcess(options: SimulatorChildOptions): Promise<SimulatorProcess> {
  const { child, ready } = startChild<{ what: 'counts' }, CallCounts>('./simulator-child.ts', options, [])
  const simulator = (await ready) as SimulatorChildReady
  return {
    ...simulator,
    counted: () => child.ask({ what: 'counts' }),
    async control(method, path, body) {
      const answer = await request(new URL(`/_simulator/${path}`, simulator.url), {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      if (answer.statusCode >= 300)
        throw new Error(`${path}: ${answer.statusCode} ${await answer.body.text()}`)
      const said = (await answer.body.json()) as { readonly number?: number }
      return said.number
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

export type WalkerProcess = Child<{ what: 'walk' }, Walked>

/** Our walk or the bare loop, ready and warm. */
export async function startWalkerProcess(
  options: WalkerOptions,
  nodeOptions: readonly string[] = [],
): Promise<WalkerProcess> {
  const { child, ready } = startChild<{ what: 'walk' }, Walked>('./walker-child.ts', options, nodeOptions)
  await ready
  return child
}

/** For children: options from the parent, and one answer to each of its messages. */
export function childOptions<Options>(): Options {
  return JSON.parse(process.argv[2] ?? '{}')
}

export function answerParent(answer: () => Promise<unknown>): void {
  process.on('message', () => {
    answer().then(
      (value) => process.send?.(value),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
  process.on('disconnect', () => process.exit(0))
}
