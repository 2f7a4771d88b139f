// Rule files → rules. Whatever is wrong with any of the files is found in one go: YAML, shape,
// expressions, templates, and rules that could not be told apart.
//
// Terms: a rule's id is `group/alert` (and `#2`, `#3` for more of them in one group, which have
// other labels or device types); its definition is a hash of what it says, not of how it is laid out.

import { type DeviceType, deviceTypes } from '../fleet/device.ts'
import type { Verdict } from '../fleet/verdict.ts'
import {
  FileError,
  type FileProblem,
  inOrder,
  parseYaml,
  validateYaml,
  type YamlFile,
  type YamlPath,
} from '../yaml-file.ts'
import { parseCondition, traceExpression, verdictOf } from './expression.ts'
import type {
  Decision,
  DeviceRule,
  DeviceScope,
  FleetRule,
  FleetScope,
  RuleSet,
  ServiceRule,
  ServiceScope,
  UserRule,
  UserScope,
} from './rule.ts'
import { RuleEntry, RuleFileShape } from './rule-schema.ts'
import { deviceVariables, fleetVariables, serviceVariables, userVariables, type Variables } from './scope.ts'
import { parseLabelTemplate, parseTemplate, type Template } from './template.ts'
import { ExpressionError, type Scope } from './value.ts'

export interface RuleFile {
  /** Its name in messages. */
  readonly file: string
  readonly text: string
}

/** Throws FileError with all problems of all files. */
export function loadRules(files: readonly RuleFile[]): RuleSet {
  return loadAndLintRules(files).rules
}

/** loadRules and lintRules in one reading. */
export function loadAndLintRules(files: readonly RuleFile[]): {
  readonly rules: RuleSet
  readonly warnings: readonly FileProblem[]
  /** Of the labels that rules add. */
  readonly labelNames: ReadonlySet<string>
} {
  const { ruleSet, problems, warnings, labelNames } = readRules(files)
  if (problems.length > 0) throw new FileError(problems)
  return { rules: ruleSet, warnings, labelNames }
}

/** What is allowed in these files but most likely not meant. Of rules that loadRules refuses it says nothing. */
export function lintRules(files: readonly RuleFile[]): readonly FileProblem[] {
  return readRules(files).warnings
}

type Rule = DeviceRule | UserRule | FleetRule | ServiceRule

interface LoadedRule {
  readonly rule: Rule
  readonly entry: RuleEntry
  readonly reads: ReadonlySet<string>
  readonly place: Place
}

/** A rule in its file. */
interface Place {
  readonly yaml: YamlFile
  readonly path: YamlPath
}

function readRules(files: readonly RuleFile[]) {
  const problems: FileProblem[] = []
  const warnings: FileProblem[] = []
  const loaded: LoadedRule[] = []
  const groups = new Map<string, string>()
  for (const { file, text } of files) {
    const found: FileProblem[] = []
    loaded.push(...readFile(parseYaml(file, text), { groups, problems: found, warnings }))
    problems.push(...inOrder(found))
  }
  problems.push(...indistinguishable(loaded))
  const labelNames = new Set(loaded.flatMap(({ entry }) => Object.keys(entry.labels)))
  return { ruleSet: ruleSetOf(loaded), problems, warnings, labelNames }
}

interface Findings {
  /** Group name → where it is. */
  readonly groups: Map<string, string>
  readonly problems: FileProblem[]
  readonly warnings: FileProblem[]
}

function readFile(yaml: YamlFile, { groups, problems, warnings }: Findings): LoadedRule[] {
  const shape = validateYaml(yaml, RuleFileShape)
  problems.push(...shape.problems)
  const loaded: LoadedRule[] = []
  for (const [groupIndex, group] of (shape.value?.groups ?? []).entries()) {
    const namePath = ['groups', groupIndex, 'name']
    const elsewhere = groups.get(group.name)
    if (elsewhere !== undefined) {
      problems.push(
        problemAt({ yaml, path: namePath }, [], `group "${group.name}" is already at ${elsewhere}`),
      )
    }
    groups.set(group.name, `${yaml.file}:${yaml.position(namePath).line}`)
    const idCounts = new Map<string, number>()
    for (const [ruleIndex, value] of group.rules.entries()) {
      const path = ['groups', groupIndex, 'rules', ruleIndex]
      const place: Place = { yaml, path }
      const checked = validateYaml(part(place, value), RuleEntry)
      problems.push(...checked.problems)
      if (checked.value === undefined) continue
      const count = (idCounts.get(checked.value.alert) ?? 0) + 1
      idCounts.set(checked.value.alert, count)
      const id = `${group.name}/${checked.value.alert}${count > 1 ? `#${count}` : ''}`
      const rule = readRule(id, checked.value, { place, problems })
      if (rule !== undefined) loaded.push(rule)
      warnings.push(...lint(checked.value, place))
    }
  }
  return loaded
}

/** A part of a file as a file of its own, whose problems stand at their place in the whole. */
function part({ yaml, path }: Place, value: unknown): YamlFile {
  return {
    file: yaml.file,
    value,
    problems: [],
    position: (inner, options) => yaml.position([...path, ...inner], options),
  }
}

function problemAt(
  { yaml, path }: Place,
  inner: YamlPath,
  message: string,
  options: { readonly offset?: number; readonly key?: boolean } = {},
): FileProblem {
  return { file: yaml.file, ...yaml.position([...path, ...inner], options), message }
}

// --- one rule

/** Undefined when something is wrong, which is then in `problems`. */
function readRule(
  id: string,
  entry: RuleEntry,
  { place, problems }: { place: Place; problems: FileProblem[] },
): LoadedRule | undefined {
  const reads = new Set<string>()
  const judged = new Set<string>()
  const found: FileProblem[] = []
  const collect: Collect = (path, parse) => {
    try {
      const parsed = parse()
      for (const read of parsed.reads) {
        reads.add(read)
        if (path[0] === 'expr' || path[0] === 'clear') judged.add(read)
      }
      return parsed
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error
      found.push(problemAt(place, path, error.message, { offset: error.offset }))
      return undefined
    }
  }
  const rule = buildRule(id, entry, collect)
  for (const [path, message] of fieldsThatDoNotFit(entry)) {
    found.push(problemAt(place, path, message, { key: true }))
  }
  if (entry.max_age !== undefined && judged.has(stateAgeField)) {
    const message = `a rule that reads ${stateAgeField} judges the age itself: take out max_age`
    found.push(problemAt(place, ['max_age'], message, { key: true }))
  }
  problems.push(...found)
  return rule === undefined || found.length > 0 ? undefined : { rule, entry, reads, place }
}

/** Parses what stands at a path of the rule; undefined when that failed, which is then noted. */
type Collect = <T extends { readonly reads: ReadonlySet<string> }>(
  path: YamlPath,
  parse: () => T,
) => T | undefined

function buildRule(id: string, entry: RuleEntry, collect: Collect): Rule | undefined {
  const base = {
    id,
    alert: entry.alert,
    severity: staticSeverity(entry),
    definition: definitionOf(entry),
    forMs: entry.for,
    keepFiringForMs: entry.keep_firing_for,
    noData: entry.no_data,
    noDataAfter: entry.no_data_after,
    limit: entry.limit ?? null,
  }
  const types = entry.device_types ?? deviceTypes
  switch (entry.each) {
    case 'device': {
      const decision = buildDecision<DeviceScope>(entry, deviceVariables, collect)
      return (
        decision && {
          ...base,
          ...fresh(decision, entry.max_age),
          each: 'device',
          deviceTypes: types,
          selfService: entry.self_service ?? false,
        }
      )
    }
    case 'user': {
      const decision = buildDecision<UserScope>(entry, userVariables, collect)
      return decision && { ...base, ...decision, each: 'user' }
    }
    case 'fleet': {
      const { count: source, by = [] } = entry
      if (source === undefined) {
        const decision = buildDecision<ServiceScope>(entry, serviceVariables, collect)
        return decision && { ...base, ...decision, each: 'service' }
      }
      const count = collect(['count'], () => parseCondition(source, deviceVariables))
      const decision = buildDecision<FleetScope>(entry, fleetVariables(by), collect)
      return (
        decision &&
        count && { ...base, ...decision, each: 'fleet', deviceTypes: types, by, count: verdictOf(count) }
      )
    }
    default:
      return entry.each satisfies never
  }
}

function buildDecision<S extends Scope>(
  entry: RuleEntry,
  variables: Variables,
  collect: Collect,
): Decision<S> | undefined {
  const { clear: clearSource } = entry
  const expr = collect(['expr'], () => parseCondition(entry.expr, variables))
  const clear =
    clearSource === undefined ? null : collect(['clear'], () => parseCondition(clearSource, variables))
  const labels = Object.entries(entry.labels).map(
    ([name, text]) => [name, collect(['labels', name], () => parseLabelTemplate(text, variables))] as const,
  )
  const annotations = Object.entries(entry.annotations).map(
    ([name, text]) => [name, collect(['annotations', name], () => parseTemplate(text, variables))] as const,
  )
  if (expr === undefined || clear === undefined) return undefined
  return {
    condition: verdictOf(expr),
    clear: clear && verdictOf(clear),
    labels: renderAll(labels),
    annotations: renderAll(annotations),
    trace: (scope) => ({
      condition: traceExpression(expr, scope),
      clear: clear && traceExpression(clear, scope),
    }),
  }
}

function renderAll(
  templates: readonly (readonly [string, Template | undefined])[],
): (scope: Scope) => Readonly<Record<string, string>> {
  const render = (scope: Scope) =>
    Object.fromEntries(templates.map(([name, template]) => [name, template?.render(scope) ?? '']))
  if (templates.some(([, template]) => template?.isDynamic)) return render
  const rendered = render({ now: 0 })
  return () => rendered
}

const stateAgeField = 'device.current_state_last_updated_at'

/** With `max_age`, a state that is older says nothing, whatever is in it. One from the future is new. */
function fresh(decision: Decision<DeviceScope>, maxAgeMs: number | undefined): Decision<DeviceScope> {
  if (maxAgeMs === undefined) return decision
  const { condition, clear } = decision
  const whenFresh =
    (decide: (scope: DeviceScope) => Verdict) =>
    (scope: DeviceScope): Verdict => {
      const updatedAt = scope.device.current_state_last_updated_at
      if (updatedAt === null) return 'missing_field'
      return scope.now - updatedAt > maxAgeMs ? 'stale' : decide(scope)
    }
  return { ...decision, condition: whenFresh(condition), clear: clear && whenFresh(clear) }
}

/** What contradicts the kind of the rule, or what the service sets itself. */
function fieldsThatDoNotFit(entry: RuleEntry): [YamlPath, string][] {
  const misfits: [YamlPath, string][] = []
  const { each } = entry
  const counts = each === 'fleet' && entry.count !== undefined
  if (entry.count !== undefined && each !== 'fleet') {
    misfits.push([
      ['count'],
      `count is for rules over the fleet: this one is for each ${each}; add each: fleet`,
    ])
  }
  if (entry.by !== undefined && !counts) {
    misfits.push([['by'], 'by groups the devices that count counts: this rule has no count over the fleet'])
  }
  if (entry.device_types !== undefined && each !== 'device' && !counts) {
    misfits.push([['device_types'], 'device_types is for rules that look at devices: this one does not'])
  }
  if (entry.max_age !== undefined && each !== 'device') {
    misfits.push([['max_age'], 'max_age is for rules for each device'])
  }
  if (entry.self_service !== undefined && each !== 'device') {
    misfits.push([['self_service'], 'self_service is for rules for each device: only a device has an owner'])
  }
  const repeated = entry.by?.find((label, index) => entry.by?.indexOf(label) !== index)
  if (repeated !== undefined) misfits.push([['by'], `by names ${repeated} twice`])
  for (const [name, text] of Object.entries(entry.labels)) {
    const path = ['labels', name]
    if (reservedLabels.has(name)) misfits.push([path, `the label ${name} is set by Fleetwarden itself`])
    else if (entry.by?.some((label) => label === name))
      misfits.push([path, `the label ${name} comes from by`])
    if (text.trim() === '') misfits.push([path, `the label ${name} is empty: give it a value or take it out`])
  }
  return misfits
}

const reservedLabels: ReadonlySet<string> = new Set([
  'alertname',
  'user_id',
  'device_id',
  'device_type',
  'manufacturer',
])

function lint(entry: RuleEntry, place: Place): FileProblem[] {
  const { severity } = entry.labels
  if (severity === undefined) {
    const message = `${entry.alert} has no severity: add one of critical, warning, info to its labels`
    return [problemAt(place, [], message)]
  }
  if (severity.includes('{{') || ['critical', 'warning', 'info', 'none'].includes(severity)) return []
  const message = `severity "${severity}" is none of critical, warning, info, none`
  return [problemAt(place, ['labels', 'severity'], message)]
}

function staticSeverity({ labels: { severity = '' } }: RuleEntry): string {
  return severity.includes('{{') ? '' : severity
}

/** A hash (FNV-1a, 64 bit) of what the entry says: not of comments, order of keys, or how a duration is spelt. */
function definitionOf(entry: RuleEntry): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(canonicalJson(entry))) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  }
  return hash.toString(16).padStart(16, '0')
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

// --- all rules together

/** Rules whose alerts could carry the same labels: no receiver could tell which of them it was told. */
function indistinguishable(loaded: readonly LoadedRule[]): FileProblem[] {
  const problems: FileProblem[] = []
  const byLabels = new Map<string, LoadedRule[]>()
  for (const candidate of loaded) {
    const { rule, entry, place } = candidate
    const key = canonicalJson([rule.alert, subjectKind(rule), entry.labels])
    const others = byLabels.get(key) ?? []
    byLabels.set(key, [...others, candidate])
    const same = others.find((other) => shareTypes(rule, other.rule))
    if (same === undefined) continue
    const { line } = same.place.yaml.position(same.place.path)
    const message = `there is another ${rule.alert} with the same labels at ${same.place.yaml.file}:${line}: give one of them another label`
    problems.push(problemAt(place, ['alert'], message))
  }
  return problems
}

/** The labels that come from the subject: what an alert about a device and one about a user never share. */
function subjectKind(rule: Rule): string {
  if (rule.each === 'device' || rule.each === 'user') return rule.each
  return rule.each === 'fleet' ? `by ${rule.by.toSorted().join()}` : 'by '
}

function shareTypes(a: Rule, b: Rule): boolean {
  const types = (rule: Rule): readonly DeviceType[] => {
    if (rule.each === 'device') return rule.deviceTypes
    return rule.each === 'fleet' && rule.by.includes('device_type') ? rule.deviceTypes : deviceTypes
  }
  return types(a).some((type) => types(b).includes(type))
}

function ruleSetOf(loaded: readonly LoadedRule[]): RuleSet {
  const rules = loaded.map(({ rule }) => rule)
  const isRead = (path: string) => loaded.some(({ reads }) => reads.has(path))
  return {
    deviceRules: rules.filter((rule) => rule.each === 'device'),
    userRules: rules.filter((rule) => rule.each === 'user'),
    fleetRules: rules.filter((rule) => rule.each === 'fleet'),
    serviceRules: rules.filter((rule) => rule.each === 'service'),
    reads: {
      energyContracts: isRead('user.energy_contracts'),
      externalIdCounts: isRead('user.external_user_id_count'),
    },
  }
}
