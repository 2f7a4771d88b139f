import { readFile as readFileBytes } from 'node:fs/promises'
import { relative } from 'node:path'
import { type Config, loadConfig } from '../config.ts'
import type { RuleSet } from '../rules/rule.ts'
import { loadAndLintRules, type RuleFile } from '../rules/rule-file.ts'
import { FileError, type FileProblem } from '../yaml-file.ts'
import type { CliContext } from './context.ts'

export interface Loaded {
  readonly config: Config
  readonly rules: RuleSet
  readonly ruleFiles: readonly RuleFile[]
  /** What is allowed but most likely not meant. */
  readonly warnings: readonly FileProblem[]
}

/** The configuration and its rules; rejects with a FileError that has everything that is wrong in any of them. */
export async function load(configFile: string, { env }: CliContext): Promise<Loaded> {
  const loaded: Omit<Loaded, 'config'>[] = []
  const config = await loadConfig({
    file: configFile,
    readFile,
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
  const [rules] = loaded
  if (rules === undefined) throw new Error('no rules although the configuration was checked')
  return { config, ...rules }
}

export async function loadRuleFiles(paths: readonly string[]): Promise<Omit<Loaded, 'config'>> {
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
