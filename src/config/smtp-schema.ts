// How mail is handed to a server, wherever it is for: the keys of `email_configs` and `owner_configs`.

import { z } from 'zod'
import { hostPort, mailbox, type NamedFiles, secret, secretFile, secretText, text } from './fields.ts'
import { helloName, tlsSchema } from './http-schema.ts'

export const smarthost = hostPort({ example: 'smtp.example.com:587', minimumPort: 1 })

export function smtpKeys(files: NamedFiles) {
  return {
    from: text(mailbox).optional().describe('Sender. Default: global smtp_from.'),
    smarthost: smarthost.optional().describe('Mail server as host:port. Default: global smtp_smarthost.'),
    hello: helloName.optional().describe('Name given to the server. Default: global smtp_hello.'),
    auth_username: text(secretText).optional().describe('Default: global smtp_auth_username.'),
    auth_password: secret(secretText).optional().describe('Default: global smtp_auth_password.'),
    auth_password_file: secretFile(files, secretText).optional().describe('File that holds auth_password.'),
    require_tls: z
      .boolean()
      .optional()
      .describe(
        'Send nothing without TLS. Default: global smtp_require_tls, else true unless the server is on this machine.',
      ),
    tls_config: tlsSchema(files).optional().describe('Default: global smtp_tls_config.'),
  }
}
