// The `alerting` part: Alertmanager's own configuration, word for word, as far as it is supported.
//
// What Alertmanager knows and Fleetwarden does not is refused by name, so that nobody believes in a
// route or a template that is not there. Two differences are meant: `send_resolved` is true for every
// integration (Alertmanager: false for Slack and e-mail), since who was told "firing" is told the end;
// and TLS is not demanded of a mail server on this machine. Two keys of ours stand in receivers:
// `template` and `alertmanager_configs`.

import { z } from 'zod'
import { nearestName } from '../nearest-name.ts'
import { refusedKeys } from '../schema-message.ts'
import { Secret } from '../secret.ts'
import type { YamlPath } from '../yaml-file.ts'
import { refusedInAlerting } from './alertmanager-keys.ts'
import { type NamedFiles, safeUrl } from './fields.ts'
import { checkHttp, resolveHttp } from './http-schema.ts'
import {
  checkInhibitRules,
  type InhibitRule,
  inhibitRuleSchema,
  resolveInhibitRule,
  shippedInhibitRules,
} from './inhibit-schema.ts'
import type { ReceiverConfig } from './receiver-config.ts'
import { checkReceiver, resolveReceiver } from './receiver-resolution.ts'
import { globalSchema, type ParsedGlobal, type ParsedReceiver, receiverSchema } from './receiver-schemas.ts'
import { checkRoutes, type Route, resolveRoute, routeSchema } from './route-schema.ts'
import {
  type NamedTimeInterval,
  namedTimeIntervalSchema,
  resolveTimeInterval,
} from './time-interval-schema.ts'
import { type CheckContext, mapping, mappings } from './unchecked.ts'

export interface AlertingConfig {
  readonly route: Route
  readonly receivers: readonly ReceiverConfig[]
  readonly inhibitRules: readonly InhibitRule[]
  readonly timeIntervals: readonly NamedTimeInterval[]
  /** An alert that is sent to our API without an end ends after this time. */
  readonly resolveTimeoutMs: number
}

// --- schema

export function alertingSchema(files: NamedFiles) {
  return z
    .strictObject({
      global: globalSchema(files).prefault({}).describe('What receivers have in common.'),
      route: routeSchema.describe('Who is told, and in which groups.'),
      inhibit_rules: z
        .array(inhibitRuleSchema)
        .prefault(shippedInhibitRules)
        .describe(
          'Which alerts are not told while others are active. Default: what the shipped rules imply.',
        ),
      time_intervals: z
        .array(namedTimeIntervalSchema)
        .prefault([])
        .describe('Times that routes are muted or active in.'),
      mute_time_intervals: z
        .array(namedTimeIntervalSchema)
        .prefault([])
        .describe('Deprecated in Alertmanager: the same as time_intervals.'),
      receivers: z.array(receiverSchema(files)).min(1).describe('Who can be told, and how.'),
    })
    .superRefine(refuseUnsafeUrls)
    .register(refusedKeys, { keys: refusedInAlerting })
}

type Alerting = z.output<ReturnType<typeof alertingSchema>>

/**
 * Plain HTTP is for relays inside a network, not for secrets. Checked here and not in checkAlerting, since
 * a URL may come from a file.
 */
function refuseUnsafeUrls(
  { receivers, global }: { readonly receivers: readonly ParsedReceiver[]; readonly global: ParsedGlobal },
  context: z.RefinementCtx,
): void {
  for (const [index, receiver] of receivers.entries()) {
    const addresses = [
      ...receiver.webhook_configs.map((config, item) => ({ list: 'webhook_configs', item, ...config })),
      ...receiver.alertmanager_configs.map((config, item) => ({
        list: 'alertmanager_configs',
        item,
        ...config,
        show_personal_data: false,
      })),
    ]
    for (const { list, item, url, url_file, http_config, show_personal_data } of addresses) {
      const address = url ?? url_file
      // Of another URL that is wrong, it is told already.
      if (!(address instanceof Secret) || safeUrl.holds(address.reveal())) continue
      const isLoggedIn = resolveHttp(http_config ?? global.http_config).authorization !== null
      if (!show_personal_data && !isLoggedIn) continue
      const what = show_personal_data ? 'personal data goes' : 'passwords and tokens go'
      context.addIssue({
        code: 'custom',
        path: ['receivers', index, list, item, url === undefined ? 'url_file' : 'url'],
        message: `${what} only to an https:// URL, or to this machine`,
      })
    }
    for (const [item, { api_url_file }] of receiver.slack_configs.entries()) {
      if (!(api_url_file instanceof Secret) || !api_url_file.reveal().endsWith('/chat.postMessage')) continue
      context.addIssue({
        code: 'custom',
        path: ['receivers', index, 'slack_configs', item, 'api_url_file'],
        message: 'chat.postMessage is no secret: a bot has `app_token_file`, and needs no `api_url`',
      })
    }
  }
}

// --- checks across

/**
 * What no schema can see: names that must exist, matchers, and settings that have to come from
 * somewhere. Works on the unchecked value, so that these are told together with everything else.
 */
export function checkAlerting(value: unknown, path: YamlPath, context: CheckContext): void {
  const { report, quoted } = context
  const alerting = mapping(value)
  const global = mapping(alerting['global'])
  checkHttp(global['http_config'], [...path, 'global', 'http_config'], report)
  for (const [index, receiver] of mappings(alerting['receivers'])) {
    checkReceiver(receiver, global, [...path, 'receivers', index], report)
  }
  checkInhibitRules(alerting['inhibit_rules'], [...path, 'inhibit_rules'], context)

  const receivers = names(alerting, ['receivers'], path)
  const intervals = names(alerting, ['time_intervals', 'mute_time_intervals'], path)
  for (const at of receivers.doubles) report(at, `the name ${quoted(at)} is given to two receivers`)
  for (const at of intervals.doubles) report(at, `the name ${quoted(at)} is given to two time intervals`)
  checkRoutes(alerting['route'], [...path, 'route'], {
    ...context,
    receiver: (name, at) => unknownReceiver(name, at, receivers.known, context),
    timeInterval: (name, at) => unknownName('time interval', name, at, intervals.known, context),
  })
}

/** Reports a name that no receiver has; `path` is that of the alerting section. */
export function checkReceiverName(
  alerting: unknown,
  name: string,
  at: YamlPath,
  path: YamlPath,
  context: CheckContext,
): void {
  unknownReceiver(name, at, names(mapping(alerting), ['receivers'], path).known, context)
}

function unknownReceiver(name: string, at: YamlPath, known: Names['known'], context: CheckContext): void {
  // Without any, the list of them is what is wrong.
  if (known.size > 0) unknownName('receiver', name, at, known, context)
}

interface Names {
  /** With the place of each. */
  readonly known: ReadonlyMap<string, YamlPath>
  readonly doubles: readonly YamlPath[]
}

function names(alerting: Readonly<Record<string, unknown>>, lists: readonly string[], path: YamlPath): Names {
  const known = new Map<string, YamlPath>()
  const doubles: YamlPath[] = []
  for (const list of lists) {
    for (const [index, { name }] of mappings(alerting[list])) {
      if (typeof name !== 'string' || name === '') continue
      const at = [...path, list, index, 'name']
      if (known.has(name)) doubles.push(at)
      else known.set(name, at)
    }
  }
  return { known, doubles }
}

const mostNamesShown = 10

function unknownName(
  what: string,
  name: string,
  at: YamlPath,
  known: Names['known'],
  { report, quoted }: CheckContext,
): void {
  if (known.has(name)) return
  // Quoted from the file: what a variable expanded to is not shown.
  const nearest = known.get(nearestName(name, known.keys()) ?? '')
  const shown = [...known.values()].slice(0, mostNamesShown).map(quoted)
  const hint =
    nearest !== undefined
      ? `: did you mean ${quoted(nearest)}?`
      : shown.length > 0
        ? `: known are ${shown.join(', ')}${known.size > mostNamesShown ? ', …' : ''}`
        : ': there is none under `time_intervals`'
  report(at, `there is no ${what} ${quoted(at)}${hint}`)
}

// --- resolution

/** Merges `global` into the receivers. Call it only with what checkAlerting found nothing wrong in. */
export function resolveAlerting(parsed: Alerting): AlertingConfig {
  return {
    route: resolveRoute(parsed.route),
    receivers: parsed.receivers.map((receiver) => resolveReceiver(receiver, parsed.global)),
    inhibitRules: parsed.inhibit_rules.map(resolveInhibitRule),
    timeIntervals: [...parsed.mute_time_intervals, ...parsed.time_intervals].map(resolveTimeInterval),
    resolveTimeoutMs: parsed.global.resolve_timeout,
  }
}
