// Inhibition: while an alert that the source matchers fit is active, alerts that the target matchers fit
// are not told, if both have the same values for the labels of `equal`.

import { z } from 'zod'
import type { Matcher } from '../matcher.ts'
import { nearestName } from '../nearest-name.ts'
import { refusedKeys } from '../schema-message.ts'
import type { YamlPath } from '../yaml-file.ts'
import { refusedInInhibitRule } from './alertmanager-keys.ts'
import {
  checkMatchers,
  labelMapping,
  labelName,
  type MatcherKeys,
  matcherList,
  resolveMatchers,
} from './matcher-schema.ts'
import { type CheckContext, mappings } from './unchecked.ts'

export interface InhibitRule {
  /** Null: it has none. */
  readonly name: string | null
  readonly sourceMatchers: readonly Matcher[]
  readonly targetMatchers: readonly Matcher[]
  readonly equal: readonly string[]
}

/** One cause, one message, for whoever configures nothing: written as it would stand in the file. */
export const shippedInhibitRules: z.input<typeof inhibitRuleSchema>[] = [
  {
    name: 'manufacturer-outage',
    source_matchers: ['alertname="ManufacturerOutage"'],
    target_matchers: ['area="connection"'],
    equal: ['manufacturer', 'device_type'],
  },
  {
    name: 'partner-api-unavailable',
    source_matchers: ['alertname="PartnerApiUnavailable"'],
    target_matchers: ['alertname=~"WalkIncomplete|WalkOverdue|DeviceNoData"'],
  },
]

const deprecated = (key: string) => `Deprecated in Alertmanager: use ${key}_matchers.`

export const inhibitRuleSchema = z
  .strictObject({
    name: z.string().optional().describe('For people: which rule it was.'),
    source_matchers: matcherList().optional().describe('Alerts that silence others while they are active.'),
    target_matchers: matcherList().optional().describe('Alerts that are not told meanwhile.'),
    source_match: labelMapping().optional().describe(deprecated('source')),
    source_match_re: labelMapping().optional().describe(deprecated('source')),
    target_match: labelMapping().optional().describe(deprecated('target')),
    target_match_re: labelMapping().optional().describe(deprecated('target')),
    equal: z
      .array(labelName)
      .optional()
      .describe('Labels in which both have to agree. One that both lack counts as equal.'),
  })
  .register(refusedKeys, { keys: refusedInInhibitRule })

const keys: readonly MatcherKeys[] = ['source', 'target'].map((side) => ({
  list: `${side}_matchers`,
  equal: `${side}_match`,
  pattern: `${side}_match_re`,
}))

export function checkInhibitRules(rules: unknown, path: YamlPath, context: CheckContext): void {
  for (const [index, rule] of mappings(rules)) {
    for (const side of keys) checkMatchers(rule, [...path, index], side, context)
  }
}

export function resolveInhibitRule(rule: z.output<typeof inhibitRuleSchema>): InhibitRule {
  return {
    name: rule.name === undefined || rule.name === '' ? null : rule.name,
    sourceMatchers: resolveMatchers({
      list: rule.source_matchers,
      equal: rule.source_match,
      pattern: rule.source_match_re,
    }),
    targetMatchers: resolveMatchers({
      list: rule.target_matchers,
      equal: rule.target_match,
      pattern: rule.target_match_re,
    }),
    equal: rule.equal ?? [],
  }
}

export interface UnknownEqualLabel {
  /** Position in `inhibit_rules`. */
  readonly rule: number
  readonly label: string
  /** One sentence for people, without the place. */
  readonly message: string
}

/**
 * Labels of `equal` that no alert can have. Since a label that both sides lack counts as equal, a slip
 * of the finger there silences all targets at once. `knownLabels`: those of every alert and those that
 * rules add.
 */
export function unknownEqualLabels(
  { inhibitRules }: { readonly inhibitRules: readonly InhibitRule[] },
  knownLabels: ReadonlySet<string>,
): readonly UnknownEqualLabel[] {
  return inhibitRules.flatMap((rule, index) =>
    rule.equal
      .filter((label) => !knownLabels.has(label))
      .map((label) => {
        const nearest = nearestName(label, knownLabels)
        const hint = nearest === undefined ? '' : `: did you mean ${JSON.stringify(nearest)}?`
        return {
          rule: index,
          label,
          message:
            `no rule sets the label ${JSON.stringify(label)}, and what both sides lack counts as equal, ` +
            `so one source would silence every target${hint}`,
        }
      }),
  )
}
