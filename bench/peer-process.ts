// A real Prometheus or Alertmanager as a process of its own, for a benchmark to measure beside ours:
// Debian's packages, or any other programs that go by these names.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { request } from 'undici'

const longestStartMs = 20_000

export interface PeerProcess extends AsyncDisposable {
  readonly pid: number
  readonly url: string
}

/** Ready to be asked. Null: it is not installed. */
export async function startPeer({
  executable,
  argumentsAt,
}: {
  readonly executable: string
  /** `address`: the host and port that it is to listen on. */
  readonly argumentsAt: (address: string) => readonly string[]
}): Promise<PeerProcess | null> {
  const url = `http://127.0.0.1:${await freePort()}`
  const child = spawn(executable, argumentsAt(new URL(url).host), { stdio: ['ignore', 'inherit', 'inherit'] })
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
