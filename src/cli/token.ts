// `fleetwarden token create`: a new access token, shown once, and the line that makes it known to the
// service, which holds its hash alone.

import { createHash, randomBytes } from 'node:crypto'
import type { Role } from '../actor.ts'
import { tokenName } from '../config/access-schema.ts'
import type { CliContext, ExitCode } from './context.ts'
import { UsageError } from './usage-error.ts'

export interface CreateTokenOptions {
  readonly name: string
  readonly role: Role
  /** Milliseconds; absent: it does not expire. */
  readonly expires?: number
}

// What makes a lost one findable, by whoever searches logs and repositories for secrets.
const prefix = 'fwt_'
const tokenBytes = 32

/** The token is the first line of the output, and the one for the configuration the second. */
export function createToken({ name, role, expires }: CreateTokenOptions, context: CliContext): ExitCode {
  if (!tokenName.holds(name)) throw new UsageError(`--name: expected ${tokenName.expected}`)
  const token = prefix + randomBytes(tokenBytes).toString('base64url')
  const hash = createHash('sha256').update(token).digest('hex')
  const parts = [`name: ${JSON.stringify(name)}`, `role: ${role}`, `hash: "sha256:${hash}"`]
  if (expires !== undefined) {
    const at = new Date(context.clock.now() + expires).toISOString()
    parts.push(`expires: ${at.replace(/\.\d+Z$/, 'Z')}`)
  }
  context.printError('The token, shown only now: put it where --token-file or FLEETWARDEN_TOKEN finds it.')
  context.print(token)
  context.printError('For the configuration, under http.access.tokens; a reload takes it over:')
  context.print(`- {${parts.join(', ')}}`)
  return 0
}
