// What the service has read of its files, the configuration and the rules, and what it means when they are
// read anew.

import type { Config } from './config.ts'
import type { RuleSet } from './rules/rule.ts'
import { isSameValue } from './same-value.ts'

export interface Loaded {
  readonly config: Config
  readonly rules: RuleSet
}

// What is taken up at the start only: sockets, schedules and files that are open.
const needRestart = [
  'partner',
  'poll',
  'storage',
  'http',
  'replicas',
  'heartbeat',
  'log',
  'flapping',
  'partnerLog',
] as const satisfies readonly (keyof Config)[]

/** As they stand in the file. `started`: what the service started with. */
export function sectionsToRestartFor(started: Config, present: Config): readonly string[] {
  return needRestart.filter((section) => !isSameValue(started[section], present[section])).map(asWritten)
}

/** What a reload changed, by name: what stands there may be secret. */
export function changesBetween(before: Loaded, after: Loaded) {
  const sections = (Object.keys(after.config) as (keyof Config)[])
    .filter((section) => !isSameValue(before.config[section], after.config[section]))
    .map(asWritten)
  const [old, present] = [before.rules, after.rules].map((rules) =>
    alertsOf(rules).map(({ alertname }) => alertname),
  )
  return {
    changed_sections: sections,
    added_rules: present?.filter((name) => !old?.includes(name)),
    removed_rules: old?.filter((name) => !present?.includes(name)),
  }
}

function asWritten(section: keyof Config): string {
  return section.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

const builtInAlerts = {
  DeviceNoData: 'warning',
  AlertLimitReached: 'warning',
  MassChange: 'critical',
  SilenceEnding: 'info',
  OwnerDidNothing: 'warning',
}

/** Every alert that can come about, built-in ones included. */
export function alertsOf(
  rules: RuleSet,
): readonly { readonly alertname: string; readonly severity: string }[] {
  const all = [...rules.deviceRules, ...rules.userRules, ...rules.fleetRules, ...rules.serviceRules]
  const builtIn = Object.entries(builtInAlerts).map(([alertname, severity]) => ({ alertname, severity }))
  return [...all.map(({ alert, severity }) => ({ alertname: alert, severity })), ...builtIn]
}
