// argv → command; signals → one AbortSignal; the outcome → process.exitCode. Nothing else.

import { enableCompileCache } from 'node:module'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { systemClock } from './clock.ts'

// What was compiled once is a quarter of the time to start. Beside the packages, where only whoever
// installed them can write; where nobody can, every start compiles.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/fleetwarden', import.meta.url)))

const stop = new AbortController()
let stoppedAt = 0
// One Ctrl-C can arrive twice: from the terminal, and passed on by the process that started this one.
const echoMs = 1_000

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    const now = systemClock.monotonic()
    // A second one is from somebody who does not want to wait.
    if (stop.signal.aborted && now - stoppedAt > echoMs) process.exit(130)
    if (stop.signal.aborted) return
    stoppedAt = now
    stop.abort()
  })
}
// A reader that went away (`… | head`) is no reason to end with a stack trace.
process.stdout.on('error', () => stop.abort())

const { runCommand } = await import('./cli/program.ts')
process.exitCode = await runCommand(process.argv.slice(2), {
  env: process.env,
  nodeVersion: process.version,
  clock: systemClock,
  signal: stop.signal,
  onReload(listener) {
    process.on('SIGHUP', listener)
    return () => process.off('SIGHUP', listener)
  },
  print: (line) => process.stdout.write(`${line}\n`),
  printError: (line) => process.stderr.write(`${line}\n`),
  terminal: process.stdout.isTTY
    ? { columns: process.stdout.columns, write: (text) => process.stderr.write(text) }
    : null,
  ...(process.stdin.isTTY && process.stderr.isTTY ? { ask } : {}),
  logDestination: process.stderr,
})

async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  // Not as a terminal: Ctrl-C is to stay a signal.
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false })
  try {
    return await lines.question(question, { signal: stop.signal })
  } finally {
    lines.close()
  }
}
