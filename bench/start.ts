// From the start of the process to its first request to the partner, with many alerts to be loaded.

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { openAlertBook } from '../src/alerts/alert-book.ts'
import { createEvaluator } from '../src/alerts/evaluation.ts'
import { loadRuleFiles } from '../src/cli/load.ts'
import { decodeDevice, decodeUser } from '../src/partner/decode.ts'
import { Malformed } from '../src/partner/json-array-stream.ts'
import { createFleet } from '../src/simulator/fleet.ts'
import { deviceRecord, userRecord } from '../src/simulator/records.ts'
import { openSqlite } from '../src/storage/sqlite.ts'
import {
  type Benchmark,
  configurationText,
  cpuMsOf,
  median,
  type Report,
  root,
  scratchFolder,
} from './harness.ts'

const storedAlerts = 100_000
const rounds = 5
const mostMs = 1_500

export const start: Benchmark = {
  name: 'start',
  about: '`fleetwarden run`, from its spawn to its first request to the partner',
  run,
}

async function run(): Promise<Report> {
  await using scratch = await scratchFolder()
  const filled = join(scratch.path, 'filled.db')
  const empty = join(scratch.path, 'empty.db')
  await fill(filled, storedAlerts)
  await fill(empty, 0)
  // Leaves behind what was compiled, as the first start after an installation does.
  await startOnce({ database: empty, end: 'SIGTERM' })
  const withAlerts: Start[] = []
  const uncompiled: Start[] = []
  const without: Start[] = []
  for (let round = 0; round < rounds; round++) {
    withAlerts.push(await startOnce({ database: filled }))
    uncompiled.push(await startOnce({ database: filled, env: { NODE_DISABLE_COMPILE_CACHE: '1' } }))
    without.push(await startOnce({ database: empty }))
  }
  const row = (name: string, starts: readonly Start[]) => {
    const ms = starts.map(({ wallMs }) => wallMs)
    return [
      name,
      median(ms).toFixed(0),
      Math.min(...ms).toFixed(0),
      Math.max(...ms).toFixed(0),
      median(starts.map(({ cpuMs }) => cpuMs)).toFixed(0),
    ]
  }
  return {
    tables: [
      {
        head: ['', 'median ms', 'best', 'worst', 'CPU ms'],
        rows: [
          row(`${storedAlerts} stored alerts`, withAlerts),
          row('the same, first start after an installation', uncompiled),
          row('no alerts', without),
        ],
      },
    ],
    figures: [
      {
        name: `start with ${storedAlerts} alerts`,
        value: median(withAlerts.map(({ wallMs }) => wallMs)),
        limit: mostMs,
        unit: ' ms',
      },
    ],
    notes: [
      `${rounds} starts each, taking turns: a real process, which reads its configuration, the shipped rules and the database.`,
      'An absolute time, so on a busy machine see the CPU time beside it (with the threads that collect garbage).',
    ],
  }
}

/** A database as the service leaves it when `count` devices have lost their connection. */
async function fill(path: string, count: number): Promise<void> {
  const now = Date.now()
  const { rules } = await loadRuleFiles([join(root, 'rules/connection.yaml')])
  const storage = await openSqlite({ path })
  try {
    const book = await openAlertBook(storage, { downMs: 0 })
    const evaluator = createEvaluator({ rules, book, newEpisode: randomUUID, onUnknown: () => {} })
    const fleet = createFleet({ seed: 7, users: Math.ceil(count / 3), healthy: true })
    // Twice, so that `for` has passed and they fire.
    for (const at of [now - 3_600_000, now]) {
      let devices = 0
      for (let index = 0; index < fleet.userCount; index++) {
        const user = decodeUser(userRecord(fleet, index, { now: at }), () => {})
        if (user instanceof Malformed) throw new Error(user.reason)
        for (const each of fleet.devices(index)) {
          if (devices++ >= count) break
          const record = deviceRecord(fleet, each, { now: at, links: noLinks, withActions: true })
          const source = { type: each.type, observedAt: at, isSingle: true, onOddField: () => {} }
          const device = decodeDevice(record, source)
          if (device instanceof Malformed) throw new Error(device.reason)
          evaluator.device(user, { device: { ...device, is_authenticated: false }, observedAt: at })
        }
      }
      await book.commit()
    }
    if (book.size() !== count) throw new Error(`stored ${book.size()} alerts, not ${count}`)
    await storage.saveWalkState({ last: notWalked(now), failedInARow: 0, lastCompleteAt: now, aliveAt: now })
  } finally {
    await storage.close()
  }
}

const noLinks = { resolutionLink: () => null, authorizationUrl: () => 'https://example.com/' }

function notWalked(at: number) {
  return {
    outcome: 'complete',
    api_available: true,
    users: 0,
    users_unread: 0,
    devices: 0,
    devices_unread: 0,
    unread_ratio: 0,
    failed_in_a_row: 0,
    started_at: at,
    ended_at: at,
    last_complete_at: at,
  }
}

interface Start {
  readonly wallMs: number
  /** Of all threads until then; NaN where there is no /proc. */
  readonly cpuMs: number
}

async function startOnce({
  database,
  end = 'SIGKILL',
  env = {},
}: {
  database: string
  end?: NodeJS.Signals
  env?: NodeJS.ProcessEnv
}): Promise<Start> {
  await using scratch = await scratchFolder()
  await copyFile(database, join(scratch.path, 'fleet.db'))
  const asked = Promise.withResolvers<Start>()
  const partner = createServer((_request, response) => {
    asked.resolve({ wallMs: performance.now() - startedAt, cpuMs: cpuMsOf(service.pid) })
    response.writeHead(503).end()
  })
  await new Promise<void>((resolve) => partner.listen(0, '127.0.0.1', resolve))
  const { port } = partner.address() as AddressInfo
  const config = join(scratch.path, 'fleetwarden.yaml')
  await writeFile(
    config,
    configurationText({
      baseUrl: `http://127.0.0.1:${port}/api`,
      organizationId: 'bench',
      folder: scratch.path,
      concurrency: 64,
      requestsPerSecond: 1_000,
      rules: 'all',
    }),
  )
  const startedAt = performance.now()
  const service = spawn(
    process.execPath,
    [...process.execArgv, join(root, 'src/main.ts'), 'run', '--config', config],
    { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } },
  )
  const ended = new Promise<void>((resolve) => service.once('exit', () => resolve()))
  try {
    const endedEarly = ended.then(() =>
      Promise.reject(new Error('the service ended before it asked anything')),
    )
    return await Promise.race([asked.promise, endedEarly])
  } finally {
    service.kill(end)
    await ended
    partner.closeAllConnections()
    partner.close()
  }
}
