// The table of what happened to alerts. One row for each kind of event of an episode: what happens again
// counts in its row.

import type { HistoryChange, HistoryRecord, HistoryStore, HistoryWhat } from '../alerts/history.ts'
import type { Database } from './database.ts'
import { type Cell, number, positions, type Row, type Table, text, textOrNull } from './rows.ts'

const columns = ['fingerprint', 'episode', 'what', 'user_id', 'first_at', 'last_at', 'times'] as const
export const historyTable: Table = {
  name: 'history',
  columns,
  keys: ['fingerprint', 'episode', 'what'],
  isWithoutRowId: true,
}
const at = positions(columns)

interface StoredEvent {
  readonly fingerprint: string
  readonly episode: string
  readonly what: string
  readonly userId: string | null
  readonly firstAt: number
  readonly lastAt: number
  readonly times: number
}

export function createHistoryStore({ read, write }: Database): HistoryStore {
  return {
    saveHistory: (changes) =>
      write('save the history of alerts', async (tables) => {
        // Read, changed here and written back: an outage changes that of thousands of alerts, one by one,
        // and a server is some way off.
        const fingerprints = new Set(changes.map(({ fingerprint }) => fingerprint))
        const rows = await tables.find(
          historyTable,
          ['fingerprint'],
          fingerprints.values().map((one) => [one]),
        )
        const before = rows.map(readEvent)
        const after = changed(before, changes)
        await tables.remove(
          historyTable,
          before.filter((event) => after.get(event.fingerprint)?.get(keyOf(event)) === undefined).map(keysOf),
        )
        const known = new Set(before)
        const events = [...after.values()].flatMap((story) => [...story.values()])
        await tables.upsert(historyTable, events.filter((event) => !known.has(event)).map(eventValues))
      }),

    loadHistory: (fingerprint) =>
      read('load the history of an alert', async (tables) => {
        const rows = await tables.find(historyTable, ['fingerprint'], [[fingerprint]])
        return rows.map(readEvent).sort(inOrder).map(recordOf)
      }),

    countHistory: (userId) =>
      read('count the history of a user', async (tables) => {
        const [row = []] = await tables.select(
          'SELECT CAST(count(*) AS INTEGER) FROM history WHERE user_id = ?',
          userId,
        )
        return number(row, 0)
      }),

    // It is rare, as is counting, so both look at every row: an index would cost each of them.
    forgetHistory: (userId) =>
      write('forget the history of a user', async (tables) => {
        const gone = await tables.select('DELETE FROM history WHERE user_id = ? RETURNING times', userId)
        return gone.length
      }),
  }
}

type Stories = ReadonlyMap<string, ReadonlyMap<string, StoredEvent>>

/** What is left of the events after the changes, by fingerprint and the rest of their key. */
function changed(events: readonly StoredEvent[], changes: readonly HistoryChange[]): Stories {
  const stories = new Map<string, Map<string, StoredEvent>>()
  const storyOf = (fingerprint: string) => {
    const story = stories.get(fingerprint) ?? new Map<string, StoredEvent>()
    stories.set(fingerprint, story)
    return story
  }
  for (const event of events) storyOf(event.fingerprint).set(keyOf(event), event)
  for (const change of changes) {
    const story = storyOf(change.fingerprint)
    if (change.kind === 'add') {
      const { fingerprint, episode, userId, at: happenedAt } = change
      const what = written(change.what)
      const key = keyOf({ episode, what })
      const known = story.get(key)
      story.set(
        key,
        known === undefined
          ? { fingerprint, episode, what, userId, firstAt: happenedAt, lastAt: happenedAt, times: 1 }
          : { ...known, lastAt: Math.max(known.lastAt, happenedAt), times: known.times + 1 },
      )
    } else {
      for (const [key, event] of story) if (event.lastAt < change.before) story.delete(key)
    }
  }
  return stories
}

/** Within its alert. */
function keyOf({ episode, what }: Pick<StoredEvent, 'episode' | 'what'>): string {
  return JSON.stringify([episode, what])
}

function keysOf({ fingerprint, episode, what }: StoredEvent): Cell[] {
  return [fingerprint, episode, what]
}

/** In the order of the columns. */
function eventValues({ fingerprint, episode, what, userId, firstAt, lastAt, times }: StoredEvent): Cell[] {
  return [fingerprint, episode, what, userId, firstAt, lastAt, times]
}

function readEvent(row: Row): StoredEvent {
  return {
    fingerprint: text(row, at.fingerprint),
    episode: text(row, at.episode),
    what: text(row, at.what),
    userId: textOrNull(row, at.user_id),
    firstAt: number(row, at.first_at),
    lastAt: number(row, at.last_at),
    times: number(row, at.times),
  }
}

/** As they happened. */
function inOrder(one: StoredEvent, other: StoredEvent): number {
  return one.firstAt - other.firstAt || one.lastAt - other.lastAt || (one.what < other.what ? -1 : 1)
}

function recordOf({ episode, what, firstAt, lastAt, times }: StoredEvent): HistoryRecord {
  return { episode, what: JSON.parse(what), firstAt, lastAt, times }
}

/** In one order of keys: it is what tells one kind of event from another. */
function written(what: HistoryWhat): string {
  if (what.kind === 'state') {
    const { kind, state, reason } = what
    return JSON.stringify({ kind, state, reason })
  }
  const { kind, status, reason, receiver, integration } = what
  return JSON.stringify({ kind, status, reason, receiver, integration })
}
