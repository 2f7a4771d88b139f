// How long the person on call waits for a page while 50,000 alerts fire, and what keeping their history costs.

import { request } from 'undici'
import {
  type Benchmark,
  type BenchOptions,
  median,
  type Report,
  scratchFolder,
  startChild,
} from './harness.ts'
import type { PageChildOptions, PageChildReady, TakenIn } from './page-child.ts'

const alerts = 50_000
const silences = 100
const turns = 20
// Somebody waits, and the walk with them: nothing else runs meanwhile.
const longestMs = 400
const mostHistoryRatio = 2

const asked: readonly (readonly [name: string, path: string])[] = [
  ['what fires', '/'],
  ['page 10 of its groups', '/?page=10'],
  ['everything', '/?state=all'],
  ['by text', '/?q=bbbb+heat_pump'],
  ['by labels', `/?filter=${encodeURIComponent('device_id=~".*-00000000c.*"')}`],
  ['one group', '/?alertname=DeviceTrouble3&manufacturer=m7'],
  ['silences', '/silences'],
  ['rules', '/rules'],
]

export const page: Benchmark = {
  name: 'page',
  about: `the page with ${alerts} firing alerts and ${silences} silences, and the cost of their history`,
  run,
}

async function run({ full }: BenchOptions): Promise<Report> {
  const rounds = full ? 3 : 1
  const taken: { with: TakenIn[]; without: TakenIn[] } = { with: [], without: [] }
  let rows: { name: string; times: readonly number[]; bytes: number }[] = []
  for (let round = 0; round < rounds; round++) {
    for (const hasHistory of [false, true]) {
      await using stack = new AsyncDisposableStack()
      const { path: folder } = stack.use(await scratchFolder())
      const options: PageChildOptions = { folder, alerts, silences, hasHistory }
      const { child, ready } = startChild<{ what: 'take in' }, TakenIn>('./page-child.ts', options, [])
      stack.use(child)
      const { url } = (await ready) as PageChildReady
      const takenIn = await child.ask({ what: 'take in' })
      taken[hasHistory ? 'with' : 'without'].push(takenIn)
      if (hasHistory) rows = await measure(url)
    }
  }
  const cpu = (measured: readonly TakenIn[]) => median(measured.map(({ cpuMs }) => cpuMs))
  return {
    tables: [
      {
        head: ['', 'median ms', 'slowest ms', 'kB'],
        rows: rows.map(({ name, times, bytes }) => [
          ...[name, median(times).toFixed(1), Math.max(...times).toFixed(1), (bytes / 1_000).toFixed(0)],
        ]),
      },
      {
        head: [`${alerts} alerts begin`, 'CPU s', 'wall s'],
        rows: (['without', 'with'] as const).map((name) => [
          `${name} history`,
          (cpu(taken[name]) / 1_000).toFixed(2),
          (median(taken[name].map(({ wallMs }) => wallMs)) / 1_000).toFixed(2),
        ]),
      },
    ],
    figures: [
      {
        name: 'slowest page, median',
        value: Math.max(...rows.map(({ times }) => median(times))),
        limit: longestMs,
        unit: 'ms',
      },
      {
        name: 'CPU with history / without',
        value: cpu(taken.with) / cpu(taken.without),
        limit: mostHistoryRatio,
        unit: 'x',
      },
    ],
    notes: [`each page ${turns} times, one after the other, over a socket; the first time is left out.`],
  }
}

async function measure(url: string) {
  const rows: { name: string; times: readonly number[]; bytes: number }[] = []
  for (const [name, path] of asked) {
    const times: number[] = []
    let bytes = 0
    for (let turn = 0; turn <= turns; turn++) {
      const askedAt = performance.now()
      const { body, statusCode } = await request(url + path)
      bytes = (await body.bytes()).length
      if (statusCode !== 200) throw new Error(`${path} answered ${statusCode}`)
      if (turn > 0) times.push(performance.now() - askedAt)
    }
    rows.push({ name, times, bytes })
  }
  return rows
}
