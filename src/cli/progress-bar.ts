import type { CliContext } from './context.ts'

export interface ProgressBar {
  show(progress: { readonly done: number; readonly total: number }): void
  /** Wipes it away, for what is printed next. */
  end(): void
}

const leastMs = 100

/** On a terminal one line that is written over; otherwise nothing. `what` is counted: `users`. */
export function createProgressBar(
  what: string,
  { terminal, clock }: Pick<CliContext, 'terminal' | 'clock'>,
): ProgressBar {
  let shownAt = Number.NEGATIVE_INFINITY
  return {
    show({ done, total }) {
      if (terminal === null || (clock.monotonic() - shownAt < leastMs && done < total)) return
      shownAt = clock.monotonic()
      const width = Math.max(10, Math.min(40, terminal.columns - 40))
      const filled = total === 0 ? width : Math.round((done / total) * width)
      terminal.write(`\r[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${done} of ${total} ${what} `)
    },
    end() {
      if (Number.isFinite(shownAt)) terminal?.write('\r\u001b[K')
      shownAt = Number.NEGATIVE_INFINITY
    },
  }
}
