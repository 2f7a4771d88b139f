// What deduplication and the outbox hold of a person who is to be forgotten: groups of alerts about
// nobody else, and in the others the fingerprints of the alerts that went.

import type { Group } from './groups.ts'
import type { Lane } from './lane.ts'
import type { DedupEntry, OutboxRow } from './store.ts'
import type { ToldLog } from './told-log.ts'

/** Alerts that are gone without an end, and how to know a group that can be about nothing else. */
export interface Forgotten {
  readonly fingerprints: ReadonlySet<string>
  readonly isNamedIn: (groupKey: string) => boolean
}

export interface ToldOf {
  /** All of them goes: timer, what was told, what waits. */
  readonly groupKeys: readonly string[]
  /** Of other groups, which lose these fingerprints. */
  readonly entries: readonly DedupEntry[]
  /** Messages that wait in other groups: their next ticks decide anew what is still to be told. */
  readonly messages: readonly { readonly lane: Lane; readonly row: OutboxRow }[]
}

export function toldOf(
  { fingerprints, isNamedIn }: Forgotten,
  {
    groups,
    lanes,
    told,
    others,
  }: {
    readonly groups: readonly Group[]
    readonly lanes: readonly Lane[]
    readonly told: ToldLog
    /** Keys of groups that are stored and have no members. */
    readonly others: readonly string[]
  },
): ToldOf {
  const isLeft = (group: Group) => [...group.members.keys()].some((print) => !fingerprints.has(print))
  // A group that somebody else is in as well, such as one of a shared customer number, is theirs too.
  const kept = new Set(groups.filter(isLeft).map(({ key }) => key))
  const keys = new Set([...groups.map(({ key }) => key), ...told.groupKeys(), ...others])
  const groupKeys = [...keys].filter((key) => isNamedIn(key) && !kept.has(key))
  const gone = new Set(groupKeys)
  const names = (prints: readonly string[]) => prints.some((print) => fingerprints.has(print))
  return {
    groupKeys,
    entries: told
      .all()
      .filter(({ groupKey, firing, resolved }) => !gone.has(groupKey) && (names(firing) || names(resolved))),
    messages: lanes.flatMap((lane) =>
      lane
        .waiting()
        .filter(({ row }) => !gone.has(row.groupKey) && (names(row.firing) || names(row.resolved)))
        .map(({ row }) => ({ lane, row })),
    ),
  }
}

export function countTold({ groupKeys, entries, messages }: ToldOf): number {
  return groupKeys.length + entries.length + messages.length
}
