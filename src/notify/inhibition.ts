// Which alerts are muted by others: a device whose customer has to sign in again needs no message
// about missing data. Rules are Alertmanager's.
//
// Terms: a rule's *sources* are active alerts that match its source side, its *targets* are label
// sets that match its target side. A target is muted while a source exists that has the same values
// of the rule's `equal` labels; a label that both lack is equal.
//
// All sources are kept, so that a target stays muted when one of several ends. They are found by
// their equal values: a question costs one look-up for each rule, however many sources there are.
// It never changes an alert, and a muted alert mutes others all the same.

import { type Alert, isFiring, type Labels } from '../alerts/alert.ts'
import { fingerprint } from '../alerts/fingerprint.ts'
import type { InhibitRule } from '../config.ts'
import { type Matcher, matchesAll } from '../matcher.ts'

export interface Inhibitor {
  /** Takes in a change of an alert: undefined before its birth and after its end. */
  update(before: Alert | undefined, after: Alert | undefined): void
  /** Fingerprints of all alerts that mute one with these labels, sorted, each once; [] if it is not muted. */
  inhibitedBy(labels: Labels): readonly string[]
  /** What each rule says about an alert with these labels, in the order of the rules. */
  explain(labels: Labels): readonly InhibitStep[]
}

export interface InhibitStep {
  readonly rule: InhibitRule
  /** The matchers of the target side that do not hold; with any, the rule is not about this alert. */
  readonly failed: readonly Matcher[]
  /** The values that a source has to have too; '' for a label that is missing. */
  readonly equal: Labels
  /** Fingerprints of the alerts that mute it by this rule, sorted. */
  readonly sources: readonly string[]
  /** Others that would, but they are targets too as this alert is a source: such spare each other. */
  readonly spared: readonly string[]
}

/** Sources of one rule with the same equal values. */
interface Sources {
  /** Those that only match the source side. */
  readonly oneSided: SourceSet
  /** Those that match the target side too. */
  readonly twoSided: SourceSet
}

interface IndexedRule {
  readonly rule: InhibitRule
  readonly byEqualValues: Map<string, Sources>
}

export function createInhibitor(rules: readonly InhibitRule[]): Inhibitor {
  const index: readonly IndexedRule[] = rules.map((rule) => ({ rule, byEqualValues: new Map() }))
  /** How to take out an alert that is a source, by its key. */
  const removals = new Map<string, readonly (() => void)[]>()

  function add(alert: Alert): void {
    const added = index
      .filter(({ rule }) => matchesAll(rule.sourceMatchers, alert.labels))
      .map((indexed) => addTo(indexed, alert))
    if (added.length > 0) removals.set(alert.key, added)
  }

  function remove({ key }: Alert): void {
    for (const takeOut of removals.get(key) ?? []) takeOut()
    removals.delete(key)
  }

  return {
    update(before, after) {
      const wasSource = before !== undefined && isFiring(before)
      const isSource = after !== undefined && isFiring(after)
      // What a fingerprint stands for are the labels, and nothing else counts here.
      const isSame = wasSource && isSource && sameSource(before, after)
      if (isSame) return
      if (before !== undefined) remove(before)
      if (isSource) {
        remove(after)
        add(after)
      }
    },
    inhibitedBy(labels) {
      let muting: readonly string[] = none
      for (const { rule, byEqualValues } of index) {
        // The look-up comes first: at most times there are few sources, and no matcher has to be asked.
        if (byEqualValues.size === 0) continue
        const found = byEqualValues.get(equalValues(rule, labels))
        if (found === undefined || !matchesAll(rule.targetMatchers, labels)) continue
        muting = union(muting, mutingOf(found, rule, labels))
      }
      return muting
    },
    explain: (labels) => index.map((indexed) => explainRule(indexed, labels)),
  }
}

const none: readonly string[] = []

function sameSource(before: Alert, after: Alert): boolean {
  return before.key === after.key && before.fingerprint === after.fingerprint
}

/** Returns how to undo it. */
function addTo({ rule, byEqualValues }: IndexedRule, alert: Alert): () => void {
  const { key, labels } = alert
  const values = equalValues(rule, labels)
  let sources = byEqualValues.get(values)
  if (sources === undefined) {
    sources = { oneSided: createSourceSet(), twoSided: createSourceSet() }
    byEqualValues.set(values, sources)
  }
  const { oneSided, twoSided } = sources
  const set = matchesAll(rule.targetMatchers, labels) ? twoSided : oneSided
  set.add(key, alert.fingerprint)
  return () => {
    set.delete(key)
    // What is in the map is never empty, so it is these that are under the values still.
    if (oneSided.size() + twoSided.size() === 0) byEqualValues.delete(values)
  }
}

/** `labels` match the target side. If they match the source side too, then so must the source not. */
function mutingOf({ oneSided, twoSided }: Sources, rule: InhibitRule, labels: Labels): readonly string[] {
  if (twoSided.size() === 0) return oneSided.fingerprints()
  if (matchesAll(rule.sourceMatchers, labels)) return oneSided.fingerprints()
  return union(oneSided.fingerprints(), twoSided.fingerprints())
}

function explainRule({ rule, byEqualValues }: IndexedRule, labels: Labels): InhibitStep {
  const failed = rule.targetMatchers.filter((matcher) => !matchesAll([matcher], labels))
  const equal = Object.fromEntries(rule.equal.map((name) => [name, labels[name] ?? '']))
  const found = failed.length === 0 ? byEqualValues.get(equalValues(rule, labels)) : undefined
  if (found === undefined) return { rule, failed, equal, sources: none, spared: none }
  const sources = mutingOf(found, rule, labels)
  if (!matchesAll(rule.sourceMatchers, labels)) return { rule, failed, equal, sources, spared: none }
  const itself = fingerprint(labels)
  const spared = found.twoSided.fingerprints().filter((other) => other !== itself)
  return { rule, failed, equal, sources, spared }
}

/** With their lengths, so that no two look the same. A missing label is as an empty one. */
function equalValues({ equal }: InhibitRule, labels: Labels): string {
  let values = ''
  for (const name of equal) {
    const value = labels[name] ?? ''
    values += `${value.length}:${value}`
  }
  return values
}

type SourceSet = ReturnType<typeof createSourceSet>

/**
 * By the key of the alert, not by its fingerprint: for the length of a commit an alert that ends and
 * another that takes over its labels have the same one, in any order.
 */
function createSourceSet() {
  const byKey = new Map<string, string>()
  // Many targets ask between two changes.
  let sorted: readonly string[] | undefined
  return {
    size: () => byKey.size,
    add(key: string, fingerprint: string): void {
      byKey.set(key, fingerprint)
      sorted = undefined
    },
    delete(key: string): void {
      byKey.delete(key)
      sorted = undefined
    },
    fingerprints(): readonly string[] {
      sorted ??= [...new Set(byKey.values())].sort()
      return sorted
    },
  }
}

/** Of sorted lists, sorted. Nothing is copied while one is empty, as it is for nearly every alert. */
function union(one: readonly string[], other: readonly string[]): readonly string[] {
  if (one.length === 0) return other
  if (other.length === 0) return one
  return [...new Set([...one, ...other])].sort()
}
