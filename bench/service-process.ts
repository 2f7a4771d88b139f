// The service as an operator starts it: `fleetwarden run` in a process of its own, and what it says.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { root } from './harness.ts'

export interface ServiceProcess extends AsyncDisposable {
  readonly pid: number | undefined
  /** Resolves with the next line of its log that says this. Rejects when the process ends first. */
  said(message: string): Promise<LogLine>
  /** Ends it at once. */
  kill(): void
}

export interface LogLine {
  readonly msg: string
  /** Of "Fleetwarden runs". */
  readonly url?: string
}

/** Its log has to be of level info to be listened to. */
export function startServiceProcess(
  configFile: string,
  onSaid: (line: LogLine) => void = () => {},
): ServiceProcess {
  const child = spawn(process.execPath, [...process.execArgv, 'src/main.ts', 'run', '--config', configFile], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const waiting = new Map<string, PromiseWithResolvers<LogLine>>()
  void ended.then(() => {
    for (const each of waiting.values()) each.reject(new Error('the service ended'))
  })
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as LogLine
    onSaid(line)
    waiting.get(line.msg)?.resolve(line)
    waiting.delete(line.msg)
  })
  return {
    pid: child.pid,
    said(message) {
      const expected = waiting.get(message) ?? Promise.withResolvers<LogLine>()
      // Not everybody who began to wait is still there when the process is killed.
      expected.promise.catch(() => {})
      waiting.set(message, expected)
      return expected.promise
    },
    kill: () => void child.kill('SIGKILL'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
