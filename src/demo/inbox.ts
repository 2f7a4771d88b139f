/** What arrived at one of the demo's peers: the latest `keep` of it, oldest first. */
export interface Inbox<T> {
  add(item: T): void
  items(): readonly T[]
  /** How many ever arrived, those that are no longer kept included. */
  total(): number
  /** Resolves once `count` have arrived in all; rejects with the signal's reason. */
  arrived(count: number, signal?: AbortSignal): Promise<void>
}

export function createInbox<T>(keep: number): Inbox<T> {
  const items: T[] = []
  let total = 0
  const waiting = new Set<() => void>()

  return {
    add(item) {
      items.push(item)
      if (items.length > keep) items.shift()
      total += 1
      for (const look of waiting) look()
    },
    items: () => [...items],
    total: () => total,
    arrived(count, signal) {
      return new Promise((resolve, reject) => {
        if (total >= count) return resolve()
        if (signal?.aborted) return reject(signal.reason)
        const onAbort = () => {
          waiting.delete(look)
          reject(signal?.reason)
        }
        const look = () => {
          if (total < count) return
          waiting.delete(look)
          signal?.removeEventListener('abort', onAbort)
          resolve()
        }
        waiting.add(look)
        signal?.addEventListener('abort', onAbort, { once: true })
      })
    },
  }
}
