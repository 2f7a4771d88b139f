// What every integration was told last, by group: the memory that deduplication decides by.

import type { DedupEntry } from './store.ts'

export interface ToldLog {
  get(groupKey: string, integrationKey: string): DedupEntry | undefined
  set(entry: DedupEntry): void
  deleteGroup(groupKey: string): void
  groupKeys(): readonly string[]
  all(): readonly DedupEntry[]
  size(): number
}

export function createToldLog(entries: readonly DedupEntry[]): ToldLog {
  const byGroup = new Map<string, Map<string, DedupEntry>>()

  function set(entry: DedupEntry): void {
    let ofGroup = byGroup.get(entry.groupKey)
    if (ofGroup === undefined) {
      ofGroup = new Map()
      byGroup.set(entry.groupKey, ofGroup)
    }
    ofGroup.set(entry.integrationKey, entry)
  }

  for (const entry of entries) set(entry)
  return {
    get: (groupKey, integrationKey) => byGroup.get(groupKey)?.get(integrationKey),
    set,
    deleteGroup: (groupKey) => void byGroup.delete(groupKey),
    groupKeys: () => [...byGroup.keys()],
    all: () => [...byGroup.values()].flatMap((ofGroup) => [...ofGroup.values()]),
    size() {
      let entries = 0
      for (const ofGroup of byGroup.values()) entries += ofGroup.size
      return entries
    },
  }
}
