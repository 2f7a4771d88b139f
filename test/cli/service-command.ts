// Runs one command line against a service in memory, and says what it printed.

import { runCommand } from '../../src/cli/program.ts'
import type { Clock } from '../../src/clock.ts'

export interface CommandRun {
  readonly exitCode: number
  readonly out: string
  readonly error: string
  /** What it asked, if it did. */
  readonly asked: readonly string[]
}

export async function runServiceCommand(
  args: readonly string[],
  { clock, answer, env = { USER: 'ada' } }: { clock: Clock; answer?: string; env?: Record<string, string> },
): Promise<CommandRun> {
  const out: string[] = []
  const error: string[] = []
  const asked: string[] = []
  const exitCode = await runCommand(args, {
    env,
    nodeVersion: process.version,
    onReload: () => () => {},
    clock,
    signal: new AbortController().signal,
    print: (line) => void out.push(line),
    printError: (line) => void error.push(line),
    terminal: null,
    ...(answer === undefined
      ? {}
      : {
          ask: async (question: string) => {
            asked.push(question)
            return answer
          },
        }),
    logDestination: { write: () => undefined },
  })
  return { exitCode, out: out.join('\n'), error: error.join('\n'), asked }
}
