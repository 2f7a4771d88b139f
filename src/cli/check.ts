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
      `${file}: ok (${receivers.length} receivers, ${ruleCount(rules)} rules in ${config.ruleFiles.length} files)`,
    )
    return 0
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    context.printError(error.message)
    const count = error.problems.length
    context.printError(`${count} ${count === 1 ? 'error' : 'errors'}`)
    return 2
  }
}

function ruleCount({ deviceRules, userRules, fleetRules, serviceRules }: RuleSet): number {
  return deviceRules.length + userRules.length + fleetRules.length + serviceRules.length
}
