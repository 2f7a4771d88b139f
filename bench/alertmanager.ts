// The real Alertmanager as a process of its own, for a benchmark to measure beside ours: Debian's
// package prometheus-alertmanager, or any other that goes by that name.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { request } from 'undici'

const executable = 'prometheus-alertmanager'
const longestStartMs = 20_000

export interface AlertmanagerProcess extends AsyncDisposable {
  readonly pid: number
  readonly url: string
}

/** `text`: its configuration. Null: it is not installed. */
export async function startAlertmanager(text: string, folder: string): Promise<AlertmanagerProcess | null> {
  const file = join(folder, 'alertmanager.yml')
  await writeFile(file, text)
  const url = `http://127.0.0.1:${await freePort()}`
  const child = spawn(
    executable,
    [
      `--config.file=${file}`,
      `--storage.path=${join(folder, 'alertmanager')}`,
      `--web.listen-address=${new URL(url).host}`,
      '--cluster.listen-address=',
      '--log.level=error',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  const pid = await started(child)
  if (pid === null) return null
  const ended = once(child, 'exit')
  const end = async () => {
    child.kill()
    await ended
  }
  const giveUpAt = performance.now() + longestStartMs
  while (!(await isReady(url))) {
    if (child.exitCode !== null || performance.now() > giveUpAt) {
      await end()
      throw new Error(`${executable} did not start`)
    }
    await pause(50)
  }
  return { pid, url, [Symbol.asyncDispose]: end }
}

async function started(child: ChildProcess): Promise<number | null> {
  try {
    await once(child, 'spawn')
    return child.pid ?? null
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`${url}/-/ready`)
    await body.dump()
    return statusCode === 200
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
