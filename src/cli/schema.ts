import { z } from 'zod'
import { configSchema } from '../config/schema.ts'
import { ruleFileJsonSchema } from '../rules/rule-schema.ts'
import { ruleTestJsonSchema } from '../rules/rule-test-file.ts'
import type { CliContext, ExitCode } from './context.ts'

/**
 * JSON Schema of the configuration file, for editors: what may be written, before variables expand.
 * Draft 7, since that is what the YAML language servers of editors understand fully.
 */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(configSchema(new Map()), { io: 'input', target: 'draft-7' })
  return { title: 'Fleetwarden configuration', ...schema }
}

const schemas: Readonly<Record<string, () => Readonly<Record<string, unknown>>>> = {
  config: configJsonSchema,
  rules: ruleFileJsonSchema,
  'rule-tests': ruleTestJsonSchema,
}

/** `fleetwarden schema WHAT`: 0, or 2 when there is no such file. */
export function printSchema(
  what: string,
  { print, printError }: Pick<CliContext, 'print' | 'printError'>,
): ExitCode {
  const create = schemas[what]
  if (create === undefined) {
    printError(`There is no schema of ${JSON.stringify(what)}: there are ${Object.keys(schemas).join(', ')}.`)
    return 2
  }
  print(JSON.stringify(create(), null, 2))
  return 0
}
