// What a rule file may say: Prometheus' rule-file shape with CEL over a device in the place of
// PromQL. Only the shape; what the fields mean together is checked by rule-file.ts, what the
// expressions say by expression.ts.

import { z } from 'zod'
import { parseDuration } from '../duration.ts'
import { deviceTypes } from '../fleet/device.ts'
import { fleetGroupLabels } from './rule.ts'

/** `15m` → milliseconds. */
export const durationField = z
  .union([z.string(), z.number()])
  .meta({ description: 'A duration such as 90s, 15m, 2h30m or 1d.' })
  .transform((written, context) => {
    const ms = parseDuration(String(written))
    if (ms !== undefined) return ms
    context.addIssue({ code: 'custom', params: { expected: 'a duration such as 90s, 15m, 2h30m or 1d' } })
    return z.NEVER
  })

const expressionField = z.string().min(1)

/** As in Prometheus; one that starts with two underscores is for internal use there. */
const labelName = z
  .string()
  .regex(
    /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/,
    'a label name consists of letters, digits and _, and starts with no digit',
  )

const templates = z.record(labelName, z.string())

export const RuleEntry = z
  .strictObject({
    alert: z
      .string()
      .regex(/^[A-Z][a-zA-Z0-9]*$/, 'the name of an alert is in CamelCase, such as DeviceUnauthenticated')
      .describe('The name of the alert, in CamelCase.'),
    each: z
      .enum(['device', 'user', 'fleet'])
      .default('device')
      .describe(
        'What the rule is about: each device, each user, or the fleet as a whole. `fleet` with `count` counts devices; without `count` the rule is about the service itself and reads `walk`.',
      ),
    device_types: z
      .array(z.enum(deviceTypes))
      .min(1)
      .optional()
      .describe('The device types that the rule looks at; all of them if left out. Not for `each: user`.'),
    count: expressionField
      .optional()
      .describe(
        'Only for `each: fleet`: CEL over each device; says which devices are counted as `matching`.',
      ),
    by: z
      .array(z.enum(fleetGroupLabels))
      .optional()
      .describe(
        'Only with `count`: devices are counted in groups of equal values of these, which become labels of the alert, and `group.…` in expressions and templates. Empty or left out: the whole fleet is one group.',
      ),
    expr: expressionField.describe(
      'CEL, of type bool. The alert is active while it is true. In scope are `device`, `user` and `now`; for each user `user` and `now`; with `count` `matching`, `total`, `unknown`, `ratio`, `group`, `walk` and `now`; for the service `walk` and `now`.',
    ),
    clear: expressionField
      .optional()
      .describe('CEL, of type bool. The alert only ends when `expr` is false and this is true (hysteresis).'),
    for: durationField.default(0).describe('How long `expr` has to hold before the alert fires.'),
    keep_firing_for: durationField
      .default(0)
      .describe('How long `expr` has to be false before the alert resolves.'),
    no_data: z
      .enum(['keep', 'alerting', 'ok'])
      .default('keep')
      .describe(
        'What an unknown result counts as: `keep` the present state, `alerting` (true) or `ok` (false).',
      ),
    no_data_after: z
      .int()
      .min(1)
      .default(3)
      .describe('After this many unknown evaluations in a row an active alert raises DeviceNoData.'),
    max_age: durationField
      .optional()
      .describe(
        'Only for `each: device`: when the state of a device (`current_state_last_updated_at`) is older than this, the result is unknown.',
      ),
    limit: z.int().min(1).optional().describe('Alerts of this rule that may be active at once.'),
    self_service: z
      .boolean()
      .optional()
      .describe(
        "Only for `each: device`: the device's owner can put it right, and may be written to by a receiver with `owner_configs`.",
      ),
    labels: templates
      .default({})
      .describe(
        'Labels of the alert; they are part of its identity. `{{ … }}` is CEL of type string or bool.',
      ),
    annotations: templates
      .default({})
      .describe('Texts for messages, such as summary, description and runbook_url. `{{ … }}` is CEL.'),
  })
  .describe('One alerting rule.')
export type RuleEntry = z.output<typeof RuleEntry>

/** The outer shape alone: rules are validated one by one, so that one bad rule hides no other's problems. */
export const RuleFileShape = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z
        .string()
        .min(1)
        .regex(/^[^\n/#]+$/, 'the name of a group holds no /, # or line break'),
      rules: z.array(z.unknown()),
    }),
  ),
})

/** JSON Schema of rule files, for editors: draft 7, which YAML language servers understand fully. */
export function ruleFileJsonSchema(): Readonly<Record<string, unknown>> {
  const group = z.strictObject({
    name: z.string().min(1).describe('Unique over all rule files. Rules are identified by `group/alert`.'),
    rules: z.array(RuleEntry),
  })
  const schema = z.toJSONSchema(z.strictObject({ groups: z.array(group) }), {
    io: 'input',
    target: 'draft-7',
  })
  return { title: 'Fleetwarden rule file', ...schema }
}
