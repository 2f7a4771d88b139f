// The commands, their options, and what their outcomes are to a shell. What a command does is in
// the file of its name, loaded when it is run: what the demo brings along (mail server, simulator)
// would be half of the service's start.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { FileError } from '../yaml-file.ts'
import type { CliContext, ExitCode } from './context.ts'

/** Runs one command line (without node and the script). Never rejects. */
export async function runCommand(args: readonly string[], context: CliContext): Promise<ExitCode> {
  let exitCode: ExitCode = 0
  const program = createProgram(context, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    return exitCodeOf(error, context)
  }
}

function exitCodeOf(error: unknown, context: CliContext): ExitCode {
  // Help and version were asked for; what commander complains of, it has printed.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof FileError) {
    context.printError(error.message)
    return 2
  }
  context.printError(`fleetwarden: ${error instanceof Error ? error.message : String(error)}`)
  return 1
}

function createProgram(context: CliContext, exitWith: (code: ExitCode) => void): Command {
  const program = new Command('fleetwarden')
    .description('Watches a fleet behind the Partner API and tells on-call staff what needs help.')
    .version(packageJson.version, '--version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.print(text.trimEnd()),
      writeErr: (text) => context.printError(text.trimEnd()),
    })
    .showHelpAfterError('(--help shows what there is)')
  const config = () => new Option('--config <file>', 'the configuration').default('fleetwarden.yaml')

  program
    .command('run')
    .description('the service: walks the fleet on its schedule, alerts, serves metrics')
    .addOption(config())
    .action(async (options: { config: string }) => {
      const { run } = await import('./run.ts')
      exitWith(await run(options, context))
    })

  program
    .command('demo')
    .description('everything embedded: a simulated fleet, the shipped rules, an inbox page; no configuration')
    .option('--users <n>', 'how many simulated users', wholeNumber(1), 300)
    .option('--seed <n>', 'another fleet', wholeNumber(0), 7)
    .option('--speed <n>', 'how many times as fast as life', wholeNumber(1), 60)
    .option(
      '--port <n>',
      'the inbox page; the others take the next ones (0: any)',
      wholeNumber(0, 65_533),
      9470,
    )
    .action(async (options: { users: number; seed: number; speed: number; port: number }) => {
      const { demo } = await import('./demo.ts')
      exitWith(await demo(options, context))
    })

  program
    .command('poll')
    .description('walks the fleet once and prints what the rules find; exit code 3 if anything')
    .requiredOption('--once', 'one walk (the schedule is for `run`)')
    .addOption(config())
    .option('--dry-run', 'neither reads nor writes the database, and tells nobody', false)
    .option('--json', 'findings as one JSON document', false)
    .action(async (options: { config: string; dryRun: boolean; json: boolean }) => {
      const { poll } = await import('./poll.ts')
      exitWith(await poll(options, context))
    })

  program
    .command('check')
    .description('configuration, rules and templates: all errors at once')
    .addOption(config())
    .action(async (options: { config: string }) => {
      const { check } = await import('./check.ts')
      exitWith(await check(options, context))
    })

  program
    .command('test-rules')
    .description('unit tests for rules')
    .argument('<files...>', 'rules/*.test.yaml')
    .action(async (files: string[]) => {
      const { testRules } = await import('./test-rules.ts')
      exitWith(await testRules(files, context))
    })

  program
    .command('notify-test')
    .description('sends a sample firing and resolved message')
    .requiredOption('--receiver <name>', 'a receiver of the configuration')
    .addOption(config())
    .action(async (options: { config: string; receiver: string }) => {
      const { load } = await import('./load.ts')
      const { notifyTest } = await import('./notify-test.ts')
      const { config } = await load(options.config, context)
      exitWith(await notifyTest({ ...context, receiver: options.receiver, config }))
    })

  program
    .command('schema')
    .description('JSON Schema for editors')
    .argument('<what>', '`config`, `rules` or `rule-tests`')
    .action(async (what: string) => {
      const { printSchema } = await import('./schema.ts')
      exitWith(printSchema(what, context))
    })

  program
    .command('simulate')
    .description('the simulated partner API alone')
    .option('--users <n>', 'how many', wholeNumber(0), 1000)
    .option('--port <n>', '0: any', wholeNumber(0, 65_535), 9480)
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--seed <n>', 'another fleet', wholeNumber(0), 7)
    .option('--latency-ms <n>', 'of each answer', wholeNumber(0), 0)
    .option('--requests-per-second <n>', 'more are answered 429 (default: no limit)', wholeNumber(1))
    .addOption(
      new Option('--shapes <which>', 'spellings of the documented shapes')
        .choices(['mixed', 'current', 'old'])
        .default('mixed'),
    )
    .option('--healthy', 'nothing is broken and nothing breaks', false)
    .option('--client-id <id>', 'credentials that it accepts', 'demo-client')
    .option('--client-secret <secret>', 'credentials that it accepts', 'demo-secret')
    .action(async (options) => {
      const { simulate } = await import('./simulate.ts')
      await simulate({ ...options, requestsPerSecond: options.requestsPerSecond ?? null }, context)
      exitWith(0)
    })

  return program
}

function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`
    throw new InvalidArgumentError(`It is not a whole number ${range}.`)
  }
}
