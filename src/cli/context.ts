import type { Clock } from '../clock.ts'
import type { LogDestination } from '../logger.ts'

/** What a command has of the outside world. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly nodeVersion: string
  readonly clock: Clock
  /** Aborts when the person or the system wants the command to end. */
  readonly signal: AbortSignal
  /** Calls the listener when the system asks for the configuration to be read anew; returns how to end that. */
  readonly onReload: (listener: () => void) => () => void
  readonly print: (line: string) => void
  readonly printError: (line: string) => void
  /** For progress; null when the output is not read by a person. */
  readonly terminal: { readonly columns: number; readonly write: (text: string) => void } | null
  /** Asks whoever sits there for a line; absent when nobody does. Rejects when the signal aborts. */
  readonly ask?: (question: string) => Promise<string>
  readonly logDestination: LogDestination
}

/** 0 ok, 1 fault, 2 usage or bad file, 3 findings. */
export type ExitCode = 0 | 1 | 2 | 3
