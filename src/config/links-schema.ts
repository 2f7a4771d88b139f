// `links`: what links of ours are signed with.

import { z } from 'zod'
import { Secret } from '../secret.ts'
import { type NamedFiles, secret, secretFile, type TextRule } from './fields.ts'

export interface LinksConfig {
  /** At least one; the first one signs, all of them verify. */
  readonly signingKeys: readonly Secret[]
}

const signingKey: TextRule = {
  expected: 'a key of at least 32 characters on one line, such as `openssl rand -hex 32` makes',
  holds: (value) => /^[^\p{Cc}]{32,}$/u.test(value),
}

export function linksSchema(files: NamedFiles) {
  return z.strictObject({
    signing_key: secret(signingKey).optional().describe('What links of ours are signed with.'),
    signing_key_file: secretFile(files, signingKey).optional().describe('File that holds signing_key.'),
  })
}

export function resolveLinks(parsed: z.output<ReturnType<typeof linksSchema>>): LinksConfig | null {
  const key = parsed.signing_key ?? parsed.signing_key_file
  return key instanceof Secret ? { signingKeys: [key] } : null
}
