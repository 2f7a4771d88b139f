// Which silences match an alert's labels, whatever the time: found fast among ten thousand, and
// remembered for each alert. Pure.
//
// A silence stands under one matcher that asks for plain values (`=`, or `=~` with words), the one
// that the fewest alerts fulfil; only silences under an alert's own values are tried on it. The few
// that have no such matcher are tried on every alert, once: what was found is kept by the identity of
// the labels, which are the same object as long as the alert's episode lasts.

import { type Matcher, matchesAll } from '../matcher.ts'
import type { Labels } from './alert.ts'
import type { Silence } from './silence.ts'

export interface SilenceIndex {
  add(silence: Silence): void
  remove(silence: Silence): void
  /** Ids, sorted. They may hold some that were removed meanwhile. */
  matching(labels: Labels): readonly string[]
}

interface Remembered {
  /** How many silences had been added when this was found. */
  readonly upTo: number
  readonly ids: readonly string[]
}

// An alert that is asked about after so many additions is matched anew, else only against these.
const longestJournal = 200
const mostAlternatives = 1_000

export function createSilenceIndex(): SilenceIndex {
  /** Label name → value → silences that can only match alerts with it. */
  const byValue = new Map<string, Map<string, Set<Silence>>>()
  const unplaced = new Set<Silence>()
  const remembered = new WeakMap<Labels, Remembered>()
  let added = 0
  /** The last silences that were added, newest last. */
  let journal: Silence[] = []
  /** Most alerts match none: they share what is remembered of them. */
  let unmatched: Remembered = { upTo: 0, ids: [] }

  function find(labels: Labels): readonly string[] {
    const ids: string[] = []
    for (const name of byValue.size === 0 ? [] : Object.keys(labels)) {
      collect(byValue.get(name)?.get(labels[name] ?? '') ?? none, { labels, ids })
    }
    collect(unplaced, { labels, ids })
    return ids.sort()
  }

  return {
    add(silence) {
      const anchor = anchorOf(silence.matchers)
      if (anchor === null) unplaced.add(silence)
      else
        for (const value of anchor.values)
          entry(entry(byValue, anchor.name, newMap), value, newSet).add(silence)
      added += 1
      journal.push(silence)
      if (journal.length > 2 * longestJournal) journal = journal.slice(-longestJournal)
      unmatched = { upTo: added, ids: [] }
    },

    remove(silence) {
      unplaced.delete(silence)
      const anchor = anchorOf(silence.matchers)
      if (anchor === null) return
      const values = byValue.get(anchor.name)
      for (const value of anchor.values) {
        const silences = values?.get(value)
        silences?.delete(silence)
        if (silences?.size === 0) values?.delete(value)
      }
      if (values?.size === 0) byValue.delete(anchor.name)
    },

    matching(labels) {
      // Most of the time: then nothing has to be remembered of a hundred thousand alerts.
      if (byValue.size === 0 && unplaced.size === 0) return noIds
      const known = remembered.get(labels)
      if (known?.upTo === added) return known.ids
      const missed = known === undefined ? Number.POSITIVE_INFINITY : added - known.upTo
      let ids: readonly string[]
      if (known === undefined || missed > journal.length) {
        ids = find(labels)
      } else {
        const found: string[] = []
        collect(journal.slice(-missed), { labels, ids: found })
        ids = found.length === 0 ? known.ids : [...known.ids, ...found].sort()
      }
      remembered.set(labels, ids.length === 0 ? unmatched : { upTo: added, ids })
      return ids
    },
  }
}

const none: ReadonlySet<Silence> = new Set()
const noIds: readonly string[] = []
const newMap = () => new Map<string, Set<Silence>>()
const newSet = () => new Set<Silence>()

function collect(silences: Iterable<Silence>, { labels, ids }: { labels: Labels; ids: string[] }): void {
  for (const silence of silences) if (matchesAll(silence.matchers, labels)) ids.push(silence.id)
}

function entry<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

// ---- where a silence stands

interface Anchor {
  readonly name: string
  /** None is empty: the silence matches no alert without the label. */
  readonly values: readonly string[]
}

// From what few alerts share to what many do. Any other label is between them.
const ranks: Readonly<Record<string, number>> = {
  device_id: 0,
  user_id: 1,
  alertname: 3,
  manufacturer: 4,
  device_type: 5,
  severity: 6,
}
const rankOfOthers = 2

function anchorOf(matchers: readonly Matcher[]): Anchor | null {
  let best: Anchor | null = null
  for (const { name, operator, value } of matchers) {
    const values = operator === '=' ? [value] : operator === '=~' ? alternatives(value) : null
    if (values === null || values.includes('')) continue
    if (best === null || rank(name) < rank(best.name)) best = { name, values }
  }
  return best
}

function rank(name: string): number {
  return Object.hasOwn(ranks, name) ? (ranks[name] ?? rankOfOthers) : rankOfOthers
}

const plain = /^[^\\.+*?()[\]{}^$]*$/
const inBrackets = /^\((?:\?:)?([^\\.+*?()[\]{}^$]*)\)$/

/** The only values that a pattern such as `a|b` or `(a|b)` matches; null: it is no such pattern. */
function alternatives(pattern: string): readonly string[] | null {
  const words = plain.test(pattern) ? pattern : inBrackets.exec(pattern)?.[1]
  if (words === undefined) return null
  const values = [...new Set(words.split('|'))]
  return values.length > mostAlternatives ? null : values
}
