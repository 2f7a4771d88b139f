// How servers are trusted and spoken to: Alertmanager's `tls_config` and `http_config`, as far as they
// are supported.

import { z } from 'zod'
import { refusedKeys } from '../schema-message.ts'
import type { YamlPath } from '../yaml-file.ts'
import {
  refusedInAuthorization,
  refusedInBasicAuth,
  refusedInHttp,
  refusedInSlackHttp,
  refusedInTls,
} from './alertmanager-keys.ts'
import { fileText, type NamedFiles, secret, secretFile, secretText, text } from './fields.ts'
import type { HttpClientConfig } from './receiver-config.ts'
import { has, type Mapping, mapping, type Report } from './unchecked.ts'

export const helloName = text({
  expected: 'a host name such as alerts.example.com',
  holds: (value) => /^[a-z0-9.[\]:-]+$/i.test(value),
})

function certificateAuthority(files: NamedFiles) {
  return fileText(files).refine((pem) => pem.includes('-----BEGIN CERTIFICATE-----'), {
    error: 'expected a file with certificates in PEM form (-----BEGIN CERTIFICATE-----)',
  })
}

export function tlsSchema(files: NamedFiles) {
  return z
    .strictObject({
      ca_file: certificateAuthority(files)
        .optional()
        .describe("PEM file of the certificate authorities to trust in the place of the system's."),
      server_name: helloName
        .optional()
        .describe("The name in the server's certificate, if it is not the host."),
    })
    .register(refusedKeys, { keys: refusedInTls })
}

function authorizationSchema(files: NamedFiles) {
  return z
    .strictObject({
      type: text({
        expected: 'a scheme such as Bearer (for Basic, give `basic_auth`)',
        holds: (value) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value) && value.toLowerCase() !== 'basic',
      })
        .default('Bearer')
        .describe('The first word of the header Authorization.'),
      credentials: secret(secretText).optional().describe('The rest of the header Authorization.'),
      credentials_file: secretFile(files, secretText).optional().describe('File that holds credentials.'),
    })
    .register(refusedKeys, { keys: refusedInAuthorization })
}

export function httpSchema(files: NamedFiles) {
  return z
    .strictObject({
      basic_auth: z
        .strictObject({
          username: text({
            expected: 'a name without colon',
            holds: (value) => /^[^:\p{Cc}]+$/u.test(value),
          }).describe('Name of the user.'),
          password: secret(secretText).optional().describe('Password of the user.'),
          password_file: secretFile(files, secretText).optional().describe('File that holds password.'),
        })
        .register(refusedKeys, { keys: refusedInBasicAuth })
        .optional()
        .describe('User and password.'),
      authorization: authorizationSchema(files).optional().describe('The header Authorization.'),
      bearer_token: secret(secretText)
        .optional()
        .describe('Deprecated in Alertmanager: use authorization with credentials.'),
      bearer_token_file: secretFile(files, secretText).optional().describe('File that holds bearer_token.'),
      tls_config: tlsSchema(files).optional().describe('How the server is trusted.'),
      follow_redirects: z.boolean().default(true).describe('Whether an answer may point to another URL.'),
    })
    .register(refusedKeys, { keys: refusedInHttp })
}

/** The older way to be a Slack bot: https://slack.com/api/chat.postMessage with the token as header. */
export function slackHttpSchema(files: NamedFiles) {
  return z
    .strictObject({
      authorization: authorizationSchema(files).optional().describe('The token of the bot.'),
    })
    .register(refusedKeys, { keys: refusedInSlackHttp })
}

/** What a schema does not see: one way to log in, and all of it. */
export function checkHttp(value: unknown, path: YamlPath, report: Report): void {
  const http = mapping(value)
  const ways = ['basic_auth', 'authorization', 'bearer_token'].filter((key) => has(http, key))
  const [, second] = ways
  if (second !== undefined) {
    const key = http[second] === undefined ? `${second}_file` : second
    report([...path, key], `\`${ways.join('`, `')}\` are all given: leave one`, { key: true })
  }
  checkSecret(http, 'basic_auth', 'password', path, report)
  checkSecret(http, 'authorization', 'credentials', path, report)
}

function checkSecret(http: Mapping, holder: string, key: string, path: YamlPath, report: Report): void {
  if (http[holder] === undefined || has(mapping(http[holder]), key)) return
  report([...path, holder], `"${key}" (or "${key}_file") is missing`, { key: true })
}

/** Complete, also where nothing is configured. */
export function resolveHttp(parsed: z.output<ReturnType<typeof httpSchema>> | undefined): HttpClientConfig {
  return {
    authorization: parsed === undefined ? null : resolveAuthorization(parsed),
    followRedirects: parsed?.follow_redirects ?? true,
    ca: parsed?.tls_config?.ca_file ?? null,
    serverName: parsed?.tls_config?.server_name ?? null,
  }
}

function resolveAuthorization(
  parsed: z.output<ReturnType<typeof httpSchema>>,
): HttpClientConfig['authorization'] {
  const { basic_auth: basic, authorization: header } = parsed
  const password = basic?.password ?? basic?.password_file
  if (basic !== undefined && password !== undefined) {
    return { kind: 'basic', username: basic.username, password }
  }
  const type = header?.type ?? 'Bearer'
  const credentials =
    header?.credentials ?? header?.credentials_file ?? parsed.bearer_token ?? parsed.bearer_token_file
  return credentials === undefined ? null : { kind: 'header', type, credentials }
}
