import { setImmediate as nextTurn } from 'node:timers/promises'

// Users without devices, or with an open breaker, take no turn of the event loop by themselves.
const itemsPerTurn = 32

/**
 * Hands each item to one of `concurrency` workers. The first failure ends it: no item is begun
 * after that, and it is not over before what was begun has ended.
 */
export async function inParallel<T>(
  items: Iterator<T>,
  { concurrency, signal }: { readonly concurrency: number; readonly signal: AbortSignal },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  async function worker(): Promise<void> {
    try {
      for (let taken = 1; failures.length === 0; taken++) {
        if (signal.aborted) throw signal.reason
        const next = items.next()
        if (next.done) return
        await work(next.value)
        if (taken % itemsPerTurn === 0) await nextTurn()
      }
    } catch (error) {
      failures.push(error)
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, concurrency) }, worker))
  if (failures.length > 0) throw failures[0]
}
