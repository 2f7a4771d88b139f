import { readFile as readFileBytes } from 'node:fs/promises'
import { relative } from 'node:path'
import { identityLabels } from '../alerts/labels.ts'
import { type Config, loadConfig, type ReceiverConfig, unknownEqualLabels } from '../config.ts'
import { checkTemplates } from '../notify/template-check.ts'
import type { RuleSet } from '../rules/rule.ts'
import { loadAndLintRules, type RuleFile } from '../rules/rule-file.ts'
import { valueAt } from '../schema-message.ts'
import { FileError, type FileProblem, inOrder, parseYaml } from '../yaml-file.ts'
import type { CliContext } from './context.ts'

export interface Loaded {
  readonly config: Config
  readonly rules: RuleSet
  readonly ruleFiles: readonly RuleFile[]
  /** What is allowed but most likely not meant. */
  readonly warnings: readonly FileProblem[]
}

/**
 * The configuration and its rules; rejects with a FileError that has everything that is wrong in any of
 * them, or else in the templates of its receivers.
 */
export async function load(configFile: string, { env }: CliContext): Promise<Loaded> {
  const loaded: LoadedRules[] = []
  let text = ''
  const config = await loadConfig({
    file: configFile,
    // Kept for places in it: what the name stands for may be a pipe, which can't be read twice.
    async readFile(path) {
      const content = await readFile(path)
      if (path === configFile) text = content
      return content
    },
    env,
    async checkRuleFiles(paths) {
      try {
        loaded.push(await loadRuleFiles(paths))
        return []
      } catch (error) {
        if (error instanceof FileError) return error.problems
        throw error
      }
    },
  })
  const { receivers } = config.alerting
  const problems = templateProblems({ file: configFile, text, receivers })
  if (problems.length > 0) throw new FileError(problems)
  const [rules] = loaded
  if (rules === undefined) throw new Error('no rules although the configuration was checked')
  const { labelNames, ...others } = rules
  const known = new Set([...identityLabels, ...labelNames])
  return {
    config,
    ...others,
    warnings: [
      ...rules.warnings,
      ...inhibitionWarnings(config, text, known),
      ...ownerWarnings(config, text, rules.rules),
    ],
  }
}

function inhibitionWarnings(
  { file, alerting }: Config,
  text: string,
  knownLabels: ReadonlySet<string>,
): readonly FileProblem[] {
  const unknown = unknownEqualLabels(alerting, knownLabels)
  if (unknown.length === 0) return []
  const yaml = parseYaml(file, text)
  return unknown.map(({ rule, message }) => ({
    file,
    ...yaml.position(['alerting', 'inhibit_rules', rule, 'equal']),
    message,
  }))
}

/** A receiver that writes to owners, and no rule whose alerts they may be told of. */
function ownerWarnings(
  { file, alerting }: Config,
  text: string,
  { deviceRules }: RuleSet,
): readonly FileProblem[] {
  if (deviceRules.some(({ selfService }) => selfService)) return []
  const yaml = parseYaml(file, text)
  return alerting.receivers.flatMap(({ name, owner }, index) => {
    if (owner.length === 0) return []
    const place = yaml.position(['alerting', 'receivers', index, 'owner_configs'])
    const message = `${JSON.stringify(name)} writes to nobody: no rule has self_service: true`
    return [{ file, ...place, message }]
  })
}

/** What is wrong with the receivers' templates, at its place in the configuration file that holds them. */
export function templateProblems({
  file,
  text,
  receivers,
}: {
  readonly file: string
  readonly text: string
  readonly receivers: readonly ReceiverConfig[]
}): readonly FileProblem[] {
  const problems = checkTemplates(receivers)
  if (problems.length === 0) return []
  const yaml = parseYaml(file, text)
  const positions = receivers.map(({ name }) => name)
  return inOrder(
    problems.map(({ receiver, kind, index, part, message, offset }) => {
      // Receivers are resolved in the order of the file.
      const receiverAt = ['alerting', 'receivers', positions.indexOf(receiver)]
      const path = [...receiverAt, `${kind}_configs`, index, 'template', part]
      const written = valueAt(yaml.value, path)
      // Where a variable was expanded, characters of the template are not those of the file.
      const isAsWritten = typeof written === 'string' && !written.includes('$')
      const place = yaml.position(path, isAsWritten ? { offset } : {})
      const where = `receiver ${JSON.stringify(receiver)}, template of ${kind}_configs[${index}]`
      return { file, ...place, message: `${where}, ${part}: ${message}` }
    }),
  )
}

type LoadedRules = Omit<Loaded, 'config'> & { readonly labelNames: ReadonlySet<string> }

export async function loadRuleFiles(paths: readonly string[]): Promise<LoadedRules> {
  const ruleFiles: RuleFile[] = []
  const problems: FileProblem[] = []
  for (const path of paths) {
    const file = shortest(path)
    try {
      ruleFiles.push({ file, text: await readFile(path) })
    } catch (error) {
      problems.push({ file, line: 1, column: 1, message: `cannot be read: ${messageOf(error)}` })
    }
  }
  if (problems.length > 0) throw new FileError(problems)
  return { ruleFiles, ...loadAndLintRules(ruleFiles) }
}

export function readFile(path: string): Promise<string> {
  return readFileBytes(path, 'utf8')
}

/** As a person would name it from here. */
function shortest(path: string): string {
  const fromHere = relative('', path)
  return fromHere.startsWith('..') ? path : fromHere
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
