import { type LogFields, type Logger, scrub } from '../logger.ts'

/** For commands that a person runs: what went wrong, as lines of text. Quiet below `warn`. */
export function createPlainLogger(print: (line: string) => void): Logger {
  const printer = (level: string) => (fields: LogFields, message: string) =>
    print(scrub(`${level}: ${message}${details(fields)}`).replace(/\p{Cc}/gu, ' '))
  return { debug() {}, info() {}, warn: printer('warning'), error: printer('error') }
}

function details({ problem, error, reason, ...others }: LogFields): string {
  const why = problem ?? (error instanceof Error ? error.message : undefined) ?? reason
  const rest = Object.entries(others).map(([name, value]) => `${name} ${JSON.stringify(value)}`)
  const parts = why === undefined ? rest : [String(why)]
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`
}
