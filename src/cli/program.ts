// The commands, their options, and what their outcomes are to a shell. What a command does is in
// the file of its name, loaded when it is run: what the demo brings along (mail server, simulator)
// would be half of the service's start.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { type Role, roles } from '../actor.ts'
import { parseDuration } from '../duration.ts'
import { roleOfCommand } from '../http/permissions.ts'
import { FileError } from '../yaml-file.ts'
import type { AcknowledgeOptions, AlertsOptions } from './alerts.ts'
import type { ExportAuditOptions, ListAuditOptions, VerifyAuditOptions } from './audit.ts'
import type { CliContext, ExitCode } from './context.ts'
import type { ExplainCommandOptions } from './explain.ts'
import type { ForgetOptions } from './forget.ts'
import type { ServiceOptions } from './service-client.ts'
import type { AddSilenceOptions } from './silence.ts'
import type { CopyOptions } from './storage.ts'
import type { CreateTokenOptions } from './token.ts'
import { UsageError } from './usage-error.ts'
import { addUsersCommands } from './users-commands.ts'

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
  return error instanceof UsageError ? 2 : 1
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

  addAlertCommands(program, context, exitWith)
  addSilenceCommands(program, context, exitWith)
  addExplainCommand(program, context, exitWith)
  addStorageCommands(program, context, exitWith)
  addTokenCommands(program, context, exitWith)
  addAuditCommands(program, context, exitWith)
  addUsersCommands({ program, context, exitWith, serviceCommand })
  return program
}

function addAlertCommands(program: Command, context: CliContext, exitWith: (code: ExitCode) => void): void {
  const alerts = program
    .command('alerts')
    .description('what fires, of the running service; exit code 3 if anything')

  serviceCommand(alerts, 'list', { isDefault: true })
    .description('what fires (`alerts` alone does the same)')
    .argument('[matchers...]', matcherHelp)
    .option('--silenced', 'those that are silenced, too', false)
    .option('--inhibited', 'those that are inhibited, too', false)
    .option('--pending', 'those whose `for` has not passed, too', false)
    .option('--json', 'as JSON', false)
    .action(async (matchers: string[], options: AlertsOptions) => {
      const { listAlerts } = await import('./alerts.ts')
      exitWith(await listAlerts(matchers, options, context))
    })

  serviceCommand(alerts, 'ack')
    .description('somebody looks after it: no repeats until it resolves')
    .argument('<fingerprint>', 'of the alert')
    .requiredOption('--comment <text>', 'what is done about it')
    .option('--author <name>', 'who does (default: who is logged in)')
    .option('--for <duration>', 'no longer than this, 4h say', duration)
    .action(async (fingerprint: string, options: AcknowledgeOptions) => {
      const { acknowledge } = await import('./alerts.ts')
      exitWith(await acknowledge(fingerprint, options, context))
    })

  serviceCommand(alerts, 'unack')
    .description('nobody looks after it any more')
    .argument('<fingerprint>', 'of the alert')
    .action(async (fingerprint: string, options: ServiceOptions) => {
      const { withdraw } = await import('./alerts.ts')
      exitWith(await withdraw(fingerprint, options, context))
    })

  serviceCommand(alerts, 'revoke-link')
    .description('the links in its messages lead nowhere from now on')
    .argument('<fingerprint>', 'of the alert')
    .action(async (fingerprint: string, options: ServiceOptions) => {
      const { revokeLink } = await import('./alerts.ts')
      exitWith(await revokeLink(fingerprint, options, context))
    })
}

function addExplainCommand(program: Command, context: CliContext, exitWith: (code: ExitCode) => void): void {
  serviceCommand(program, 'explain')
    .description('why a device or an alert does or does not alert, and what is told next')
    .argument('<device or alert>', 'a fingerprint, a device id, or USER/TYPE/DEVICE')
    .option('--json', 'as JSON', false)
    .action(async (id: string, options: ExplainCommandOptions) => {
      const { explain } = await import('./explain.ts')
      exitWith(await explain(id, options, context))
    })
}

function addSilenceCommands(program: Command, context: CliContext, exitWith: (code: ExitCode) => void): void {
  const silence = program.command('silence').description('silences of the running service')

  serviceCommand(silence, 'add')
    .description('nobody is told of what it matches; shows what that is, and asks')
    .argument('<matchers...>', matcherHelp)
    .requiredOption('--duration <duration>', 'for how long, 2h say', duration)
    .requiredOption('--comment <text>', 'why')
    .option('--author <name>', 'who does it (default: who is logged in)')
    .option('--until-resolved', 'ends with the last alert that it matches, if that is sooner', false)
    .option('--yes', 'does not ask', false)
    .action(async (matchers: string[], options: AddSilenceOptions) => {
      const { addSilence } = await import('./silence.ts')
      exitWith(await addSilence(matchers, options, context))
    })

  serviceCommand(silence, 'list')
    .description('those that are active or yet to begin')
    .option('--expired', 'those that have ended', false)
    .option('--json', 'as JSON', false)
    .action(async (options: ServiceOptions & { expired: boolean; json: boolean }) => {
      const { listSilences } = await import('./silence.ts')
      exitWith(await listSilences(options, context))
    })

  serviceCommand(silence, 'expire')
    .description('ends them now')
    .argument('<ids...>', 'of silences')
    .action(async (ids: string[], options: ServiceOptions) => {
      const { expireSilences } = await import('./silence.ts')
      exitWith(await expireSilences(ids, options, context))
    })
}

function addStorageCommands(program: Command, context: CliContext, exitWith: (code: ExitCode) => void): void {
  const storage = program.command('storage').description('the database')

  storage
    .command('copy')
    .description('everything from one database to another, empty one; the service has to be stopped')
    .option('--from <url>', 'sqlite:path or postgres://user:password@host/database')
    .option('--from-file <file>', 'file that holds that URL')
    .option('--to <url>', 'likewise; a file or schema is made')
    .option('--to-file <file>', 'file that holds that URL')
    .action(async (options: CopyOptions) => {
      const { copyStorage } = await import('./storage.ts')
      exitWith(await copyStorage(options, context))
    })
}

function addTokenCommands(program: Command, context: CliContext, exitWith: (code: ExitCode) => void): void {
  program
    .command('token')
    .description('access tokens')
    .command('create')
    .description('a new one, shown once, and its line for the configuration')
    .requiredOption('--name <name>', 'who is to hold it')
    .addOption(
      new Option('--role <role>', 'what it may do; each includes the ones before it')
        .choices(roles)
        .makeOptionMandatory(),
    )
    .option('--expires <duration>', 'for how long it works, 90d say (default: for good)', duration)
    .action(async (options: CreateTokenOptions & { role: Role }) => {
      const { createToken } = await import('./token.ts')
      exitWith(createToken(options, context))
    })
}

function addAuditCommands(program: Command, context: CliContext, exitWith: (code: ExitCode) => void): void {
  const audit = program.command('audit').description('the trail of who changed what')
  const database = () =>
    new Option('--database <file>', 'of a database that no service has open, which stays as it is')

  serviceCommand(audit, 'list')
    .description('its records, oldest first')
    .option('--from <instant>', 'from then on: 2026-05-01, 2026-05-01T08:00:00Z, or how long ago: 24h')
    .option('--to <instant>', 'before then')
    .option('--action <name>', 'silence.set, or all of silence')
    .option('--user <id>', 'that name this customer')
    .option('--json', 'as JSON lines', false)
    .action(async (options: ListAuditOptions) => {
      const { listAudit } = await import('./audit.ts')
      exitWith(await listAudit(options, context))
    })

  serviceCommand(audit, 'export')
    .description('all of it as JSON lines, which `audit verify --file` can verify')
    .addOption(database())
    .option('--output <file>', 'into a new file (default: printed)')
    .action(async (options: ExportAuditOptions) => {
      const { exportAudit } = await import('./audit.ts')
      exitWith(await exportAudit(options, context))
    })

  serviceCommand(audit, 'verify')
    .description('whether it is whole; exit code 3 if not')
    .addOption(database().conflicts('file'))
    .option('--file <file>', 'of an export')
    .option('--expect <seq:hash>', 'a head that was noted elsewhere, such as in the log')
    .action(async (options: VerifyAuditOptions) => {
      const { verifyAudit } = await import('./audit.ts')
      exitWith(await verifyAudit(options, context))
    })

  serviceCommand(program, 'forget')
    .description('erases a customer from everything that is held; shows what that is, and asks')
    .requiredOption('--user <id>', 'of the customer, as the partner has it')
    .option('--yes', 'does not ask', false)
    .action(async (options: ForgetOptions) => {
      const { forgetUser } = await import('./forget.ts')
      exitWith(await forgetUser(options, context))
    })
}

const matcherHelp =
  'severity=critical, manufacturer!=Vaillant, device_type=~"heat.*"; a word alone is an alert\'s name'

function serviceCommand(parent: Command, name: string, options: { isDefault?: boolean } = {}): Command {
  const role = roleOfCommand(parent.parent === null ? name : `${parent.name()} ${name}`)
  const command = parent.command(name, options)
  if (role !== null)
    command.addHelpText('after', `\nNeeds the role ${role} where the service has http.access.`)
  return command
    .option('--url <address>', 'of the service (default: http://127.0.0.1:9469)')
    .option('--config <file>', 'take the address from this configuration')
    .option('--token-file <file>', 'holds the access token (default: the variable FLEETWARDEN_TOKEN)')
}

/** Milliseconds. */
function duration(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms === 0)
    throw new InvalidArgumentError('Expected a duration such as 30m, 2h or 1d.')
  return ms
}

function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`
    throw new InvalidArgumentError(`It is not a whole number ${range}.`)
  }
}
