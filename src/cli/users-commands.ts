// `fleetwarden users …`: its commands and their options. What they do is in users.ts, change-user.ts,
// reconcile.ts and migrate.ts.

import { type Command, Option } from 'commander'
import { findingKinds } from '../backoffice/finding-kinds.ts'
import { deviceTypes } from '../fleet/device.ts'
import { userRoles } from '../fleet/user.ts'
import type { ArchiveUserOptions, CreateUserOptions, UpdateUserOptions } from './change-user.ts'
import type { CliContext, ExitCode } from './context.ts'
import type { MigrateOptions } from './migrate.ts'
import { outputFormats } from './output-format.ts'
import type { ReconcileOptions } from './reconcile.ts'
import type { ListUsersOptions, ShowUserOptions } from './users.ts'

export interface UsersCommandsOptions {
  readonly program: Command
  readonly context: CliContext
  readonly exitWith: (code: ExitCode) => void
  /** A command that speaks to the service: with the options that say where that is. */
  readonly serviceCommand: (parent: Command, name: string) => Command
}

export function addUsersCommands({ program, context, exitWith, serviceCommand }: UsersCommandsOptions): void {
  const users = program
    .command('users')
    .description('the back office: users of the partner, through the running service')
  const command = (name: string) => serviceCommand(users, name)

  command('list')
    .description('all users, or those that are asked for')
    .addOption(
      new Option('--role <role...>', 'with one of these roles').choices([...userRoles]).default([], 'any'),
    )
    .option('--text <text>', 'in a name, an address, an id; umlauts and case do not matter')
    .option('--country <code>', 'AT, say')
    .addOption(new Option('--device-type <type>', 'who has one').choices([...deviceTypes]))
    .addOption(
      new Option('--devices <which>', 'with any device (or one of --device-type), or without').choices([
        'with',
        'without',
      ]),
    )
    .option('--without-external-id', 'who cannot be told which customer they are', false)
    .option('--in-trouble', 'who has an alert that fires', false)
    .option('--deleted', 'deleted ones, too', false)
    .addOption(formatOption())
    .action(async (options: ListUsersOptions) => {
      const { listUsers } = await import('./users.ts')
      exitWith(await listUsers(options, context))
    })

  referring(command('show'))
    .description('a user with devices, alerts, contracts')
    .option('--ticket', 'a summary for a support ticket, without personal data', false)
    .option('--json', 'as JSON', false)
    .action(async (reference: string, options: ShowUserOptions) => {
      const { showUser } = await import('./users.ts')
      exitWith(await showUser(reference, options, context))
    })

  withFields(command('create'))
    .description('creates a user, once, and prints the id')
    .option('--invite', 'a staff or admin user gets an invitation e-mail, and that is wanted', false)
    .action(async (options: CreateUserOptions) => {
      const { createUser } = await import('./change-user.ts')
      exitWith(await createUser(options, context))
    })

  withFields(referring(command('update')))
    .description('changes what is given; shows the difference, and asks. An empty text takes a value away')
    .option('--invite', 'a staff or admin user gets an invitation e-mail, and that is wanted', false)
    .option('--yes', 'does not ask', false)
    .action(async (reference: string, options: UpdateUserOptions) => {
      const { updateUser } = await import('./change-user.ts')
      exitWith(await updateUser(reference, options, context))
    })

  referring(command('archive'))
    .description('stops optimisation and takes the role of a customer away; says what that means, and asks')
    .option('--release-external-id', 'takes the external id away, so that another user can have it', false)
    .option('--yes', 'does not ask', false)
    .action(async (reference: string, options: ArchiveUserOptions) => {
      const { archiveUser } = await import('./change-user.ts')
      exitWith(await archiveUser(reference, options, context))
    })

  command('reconcile')
    .description('compares a CSV file of your customers with the users; exit code 3 if something is found')
    .argument('<customers.csv>', 'with an external id in each row; names of columns in English or German')
    .option('--columns <names>', 'what your columns are called: external_user_id=Nummer,email=Post')
    .addOption(
      new Option('--only <kinds...>', 'findings of these kinds')
        .choices([...findingKinds])
        .default([], 'all'),
    )
    .addOption(formatOption())
    .option('--apply', 'puts right what can be; says what that is, and asks', false)
    .option('--yes', 'does not ask', false)
    .option('--journal <file>', 'what was done, to go on with (default: beside the CSV file)')
    .option('--archive-many', 'archives more than 5 % of all users', false)
    .action(async (file: string, options: ReconcileOptions) => {
      const { reconcileUsers } = await import('./reconcile.ts')
      exitWith(await reconcileUsers(file, options, context))
    })

  command('migrate')
    .description(
      'moves users over from another system, as far as it goes now; exit code 3 while some are on their way',
    )
    .argument('[plan.csv]', 'a row for each user (default: goes on with those who were planned before)')
    .option('--status', 'only says how far they are', false)
    .option('--links <file>', 'where the links of onboarding sessions go, for their customers')
    .option('--reopen', 'opens sessions anew whose links were lost', false)
    .option('--forget <ids...>', 'forgets these external ids; changes nothing at the partner', collected, [])
    .option('--columns <names>', 'what your columns are called: external_user_id=Nummer,email=Post')
    .addOption(formatOption())
    .option('--yes', 'does not ask', false)
    .action(async (file: string | undefined, options: MigrateOptions) => {
      const { migrateUsers } = await import('./migrate.ts')
      exitWith(await migrateUsers(file, options, context))
    })
}

function collected(value: string, all: readonly string[]): readonly string[] {
  return [...all, value]
}

function referring(command: Command): Command {
  return command
    .argument('<user>', "the partner's id, or an external id")
    .option('--external-id', 'it is an external id, although it looks like the other', false)
}

function withFields(command: Command): Command {
  return command
    .option('--role <role>', `${userRoles.join(', ')} (a new one: user)`)
    .option('--email <address>')
    .option('--external-user-id <id>', 'of the customer in your own system')
    .option('--first-name <name>')
    .option('--last-name <name>')
    .option('--street <text>', 'street and number')
    .option('--address-extra <text>', 'staircase, door')
    .option('--zip <code>')
    .option('--town <name>')
    .option('--country <code>', 'ISO 3166: AT, DE')
    .option('--latitude <degrees>')
    .option('--longitude <degrees>')
}

function formatOption(): Option {
  return new Option('--format <format>', 'how it is printed').choices([...outputFormats]).default('table')
}
