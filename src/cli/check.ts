// `fleetwarden check`: everything that `run` would refuse, all at once, without running anything.

import type { RuleSet } from '../rules/rule.ts'
import { FileError } from '../yaml-file.ts'
import type { CliContext, ExitCode } from './context.ts'
import { load } from './load.ts'

/** 0 when all is well (warnings included), 2 when something is wrong. */
export async function check({ config: file }: { config: string }, context: CliContext): Promise<ExitCode> {
  try {
    const { config, rules, warnings } = await load(file, context)
    for (const { file: name, line, column, message } of warnings) {
      context.print(`${name}:${line}:${column}: warning: ${message}`)
    }
    const { receivers } = config.alerting
    context.print(
      `${file}: ok (${counted(receivers.length, 'receiver')}, ${counted(ruleCount(rules), 'rule')} in ${counted(config.ruleFiles.length, 'file')})`,
    )
    return 0
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    context.printError(error.message)
    context.printError(counted(error.problems.length, 'error'))
    return 2
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function ruleCount({ deviceRules, userRules, fleetRules, serviceRules }: RuleSet): number {
  return deviceRules.length + userRules.length + fleetRules.length + serviceRules.length
}
