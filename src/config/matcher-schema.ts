// Matchers as configurations write them: the list `matchers`, and the mappings that it replaced,
// `match` (equal) and `match_re` (pattern). All of them have to match.

import { z } from 'zod'
import { createMatcher, type Matcher, MatcherError, parseMatchers } from '../matcher.ts'
import type { YamlPath } from '../yaml-file.ts'
import { text } from './fields.ts'
import { type CheckContext, type Mapping, mapping, texts } from './unchecked.ts'

/** Of alerts here; Alertmanager 0.28 allows more, which its older loaders and amtool cannot read. */
const labelNamePattern = /^[a-zA-Z_][a-zA-Z0-9_]*$/

export const labelName = text({
  expected: 'a label name such as alertname',
  holds: (value) => labelNamePattern.test(value),
})

/** Checked by checkMatchers, which knows the place inside the text. */
export function matcherList() {
  return z.array(z.string())
}

export function labelMapping() {
  return z.record(labelName, z.string())
}

/** What the three ways are called at a place: `matchers`, `source_match`, and so on. */
export interface MatcherKeys {
  readonly list: string
  readonly equal: string
  readonly pattern: string
}

export const routeMatcherKeys: MatcherKeys = { list: 'matchers', equal: 'match', pattern: 'match_re' }

/** Reports every matcher that cannot be read, at its place inside the text. */
export function checkMatchers(
  holder: Mapping,
  path: YamlPath,
  keys: MatcherKeys,
  { report, quoted, written }: CheckContext,
): void {
  const check = (at: YamlPath, value: string, read: () => readonly Matcher[]) => {
    try {
      if (read().length === 0 && value.trim() === '') {
        report(at, 'expected a matcher such as severity="critical", got ""')
      }
    } catch (error) {
      if (!(error instanceof MatcherError)) throw error
      // What a variable expanded to is not shown, and has no place in the file.
      if (written(at) === value) report(at, error.message, { offset: error.offset })
      else report(at, `${quoted(at)} is no matcher that can be read once its variables are expanded`)
    }
  }
  for (const [index, value] of texts(holder[keys.list])) {
    check([...path, keys.list, index], value, () => readMatchers(value))
  }
  for (const [name, pattern] of Object.entries(mapping(holder[keys.pattern]))) {
    if (typeof pattern !== 'string') continue
    check([...path, keys.pattern, name], pattern, () => [createMatcher(name, '=~', pattern)])
  }
}

/** Sorted as Alertmanager sorts them, by name, value and operator, since route keys are made of them. */
export function resolveMatchers(parsed: {
  readonly list: readonly string[] | undefined
  readonly equal: Readonly<Record<string, string>> | undefined
  readonly pattern: Readonly<Record<string, string>> | undefined
}): readonly Matcher[] {
  const matchers = [
    ...Object.entries(parsed.equal ?? {}).map(([name, value]) => createMatcher(name, '=', value)),
    ...Object.entries(parsed.pattern ?? {}).map(([name, value]) => createMatcher(name, '=~', value)),
    ...(parsed.list ?? []).flatMap(readMatchers),
  ]
  return matchers.sort(
    (a, b) =>
      compare(a.name, b.name) ||
      compare(a.value, b.value) ||
      operatorOrder.indexOf(a.operator) - operatorOrder.indexOf(b.operator),
  )
}

const operatorOrder = ['=', '!=', '=~', '!~']

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function readMatchers(written: string): readonly Matcher[] {
  const matchers = parseMatchers(written)
  const odd = matchers.find(({ name }) => !labelNamePattern.test(name))
  if (odd !== undefined) {
    throw new MatcherError(`${JSON.stringify(odd.name)} is no label name: letters, digits and _`, 0)
  }
  return matchers
}
