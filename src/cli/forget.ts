// `fleetwarden forget --user ID`, of the running service. It says what would go before it goes: nothing
// brings it back.

import { z } from 'zod'
import type { CliContext, ExitCode } from './context.ts'
import { plain, tableLines } from './printed.ts'
import { connectService, type ServiceOptions } from './service-client.ts'
import { UsageError } from './usage-error.ts'

export interface ForgetOptions extends ServiceOptions {
  readonly user: string
  readonly yes: boolean
}

const reportAnswer = z.object({
  parts: z.array(z.object({ name: z.string(), count: z.number() })),
  warnings: z.array(z.string()),
  digest: z.string().nullable(),
})

/** 0 forgotten, 1 not. */
export async function forgetUser(
  { user, yes, ...options }: ForgetOptions,
  context: CliContext,
): Promise<ExitCode> {
  const { print, printError, ask } = context
  if (!yes && ask === undefined) {
    throw new UsageError('nobody is there to be asked: say --yes if it is to be done without')
  }
  const service = await connectService(options, context)
  if (!yes && ask !== undefined) {
    const preview = await service.post('/api/v1/forget', { user, dry_run: true }, reportAnswer, {
      isLong: true,
    })
    printError('This would be erased, and cannot be brought back:')
    for (const line of countLines(preview)) printError(`  ${line}`)
    for (const warning of preview.warnings) printError(plain(`warning: ${warning}`))
    const answer = await ask('Forget this user? [y/N] ')
    if (!/^\s*y(?:es)?\s*$/i.test(answer)) {
      printError('nothing was erased')
      return 1
    }
  }
  const report = await service.post('/api/v1/forget', { user }, reportAnswer, { isLong: true })
  print('Erased:')
  for (const line of countLines(report)) print(`  ${line}`)
  for (const warning of report.warnings) printError(plain(`warning: ${warning}`))
  if (report.digest !== null)
    print(plain(`The audit trail keeps this in the place of the id: ${report.digest}`))
  return 0
}

function countLines({ parts }: z.output<typeof reportAnswer>): readonly string[] {
  return tableLines(parts.map(({ name, count }) => [String(count), name]))
}
