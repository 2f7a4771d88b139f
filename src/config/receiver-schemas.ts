// What receivers and `global` may say. How the two come together is in receiver-resolution.ts.

import { z } from 'zod'
import { refusedKeys } from '../schema-message.ts'
import {
  refusedInEmail,
  refusedInGlobal,
  refusedInPagerduty,
  refusedInReceiver,
  refusedInSlack,
  refusedInWebhook,
} from './alertmanager-keys.ts'
import {
  anyUrl,
  duration,
  fileText,
  mailbox,
  type NamedFiles,
  recipients,
  safeBaseUrl,
  safeUrl,
  secret,
  secretFile,
  secretText,
  text,
} from './fields.ts'
import { helloName, httpSchema, slackHttpSchema, tlsSchema } from './http-schema.ts'
import { ownerSchema } from './owner-schema.ts'
import { smarthost, smtpKeys } from './smtp-schema.ts'

export type ParsedReceiver = z.output<ReturnType<typeof receiverSchema>>
export type ParsedGlobal = z.output<ReturnType<typeof globalSchema>>

const sendResolved = z
  .boolean()
  .default(true)
  .describe('Tell also when alerts resolve. (Alertmanager: false for Slack and e-mail; here always true.)')
const showPersonalData = z
  .boolean()
  .default(false)
  .describe("Show customers' names and e-mail addresses. Otherwise external ids only.")

/** A Slack channel: a name, with or without #, or an id. */
const channel = text({
  expected: "a channel such as '#alerts' or C0123456789",
  holds: (value) => /^#?[^\s\p{Cc}#{}]+$/u.test(value),
})

function slackSchema(files: NamedFiles) {
  return z
    .strictObject({
      api_url: secret(safeUrl).optional().describe('Slack incoming webhook. Default: global slack_api_url.'),
      api_url_file: secretFile(files, safeUrl).optional().describe('File that holds api_url.'),
      app_token: secret(secretText)
        .optional()
        .describe('Token of a bot, which edits its messages. Default: global slack_app_token.'),
      app_token_file: secretFile(files, secretText).optional().describe('File that holds app_token.'),
      app_url: text(safeBaseUrl).optional().describe('Where the bot posts. Default: global slack_app_url.'),
      channel: channel.optional().describe('Of a bot, and required then: a name, or better an id.'),
      http_config: slackHttpSchema(files)
        .optional()
        .describe('The older way to give the token of a bot, with api_url .../chat.postMessage.'),
      template: z
        .strictObject({
          title: z.string().optional().describe('Liquid source of the first line.'),
          title_file: fileText(files).optional().describe('File that holds title.'),
          text: z.string().optional().describe('Liquid source of what follows, in Slack mrkdwn.'),
          text_file: fileText(files).optional().describe('File that holds text.'),
        })
        .optional()
        .describe('Texts of your own, in Liquid. What is left out stays as built in.'),
      send_resolved: sendResolved,
      show_personal_data: showPersonalData,
    })
    .register(refusedKeys, { keys: refusedInSlack })
}

function emailSchema(files: NamedFiles) {
  return z
    .strictObject({
      to: recipients().describe('Recipients, separated by commas.'),
      ...smtpKeys(files),
      template: z
        .strictObject({
          subject: z.string().optional().describe('Liquid source of the subject.'),
          subject_file: fileText(files).optional().describe('File that holds subject.'),
          text: z.string().optional().describe('Liquid source of the plain text.'),
          text_file: fileText(files).optional().describe('File that holds text.'),
          html: z.string().optional().describe('Liquid source of the HTML.'),
          html_file: fileText(files).optional().describe('File that holds html.'),
        })
        .optional()
        .describe('Texts of your own, in Liquid. What is left out stays as built in.'),
      send_resolved: sendResolved,
      show_personal_data: showPersonalData,
    })
    .register(refusedKeys, { keys: refusedInEmail })
}

function webhookSchema(files: NamedFiles) {
  return z
    .strictObject({
      url: secret(anyUrl).optional().describe("Gets Alertmanager's JSON by POST."),
      url_file: secretFile(files, anyUrl).optional().describe('File that holds url.'),
      max_alerts: z.int().min(0).max(1_000_000).default(0).describe('Most alerts in a message; 0: all.'),
      timeout: duration({ minimumMs: 0, maximumMs: 600_000 })
        .optional()
        .describe('For one request. 0 or nothing: the default.'),
      http_config: httpSchema(files).optional().describe('Default: global http_config.'),
      send_resolved: sendResolved,
      show_personal_data: showPersonalData,
    })
    .register(refusedKeys, { keys: refusedInWebhook })
}

/** Where Alertmanager has Go templates and we have none. */
const plainText = text({
  expected: 'plain text on one line (templates are not supported here)',
  holds: (value) => /^[^\p{Cc}]*$/u.test(value) && !value.includes('{{'),
})

function pagerdutySchema(files: NamedFiles) {
  return z
    .strictObject({
      routing_key: secret(secretText).optional().describe('Integration key of the Events API v2.'),
      routing_key_file: secretFile(files, secretText).optional().describe('File that holds routing_key.'),
      url: text(safeBaseUrl).optional().describe('Default: global pagerduty_url.'),
      client: plainText.optional().describe('Who sends. Default: Fleetwarden.'),
      client_url: plainText.optional().describe('Link to who sends.'),
      severity: z
        .enum(['critical', 'error', 'warning', 'info'])
        .optional()
        .describe("Always this one. Default: that of the group's alerts."),
      class: plainText.optional().describe('The class of the event.'),
      component: plainText.optional().describe('The component that is affected.'),
      group: plainText.optional().describe('The logical group of components.'),
      http_config: httpSchema(files).optional().describe('Default: global http_config.'),
      send_resolved: sendResolved,
    })
    .register(refusedKeys, { keys: refusedInPagerduty })
}

function alertmanagerSchema(files: NamedFiles) {
  return z.strictObject({
    url: secret(anyUrl).optional().describe('Of an Alertmanager, without /api/v2/alerts.'),
    url_file: secretFile(files, anyUrl).optional().describe('File that holds url.'),
    http_config: httpSchema(files).optional().describe('Default: global http_config.'),
    send_resolved: sendResolved,
  })
}

export function receiverSchema(files: NamedFiles) {
  return z
    .strictObject({
      name: z.string().min(1).describe('Unique name, for routes.'),
      slack_configs: z.array(slackSchema(files)).prefault([]).describe('Slack channels.'),
      email_configs: z.array(emailSchema(files)).prefault([]).describe('Mail recipients.'),
      webhook_configs: z.array(webhookSchema(files)).prefault([]).describe('HTTP servers of your own.'),
      pagerduty_configs: z.array(pagerdutySchema(files)).prefault([]).describe('PagerDuty services.'),
      alertmanager_configs: z
        .array(alertmanagerSchema(files))
        .prefault([])
        .describe('Alertmanagers that are told of every alert. (Not known to Alertmanager itself.)'),
      owner_configs: z
        .array(ownerSchema(files))
        .max(1)
        .prefault([])
        .describe("Mail to the device's owner. (Not known to Alertmanager itself.)"),
    })
    .register(refusedKeys, { keys: refusedInReceiver })
}

export function globalSchema(files: NamedFiles) {
  return z
    .strictObject({
      resolve_timeout: duration({ minimumMs: 1_000 })
        .prefault('5m')
        .describe('Taken and shown as it is: no alerts are sent to our API.'),
      http_config: httpSchema(files)
        .optional()
        .describe('For webhook_configs, pagerduty_configs and alertmanager_configs that have none.'),
      smtp_smarthost: smarthost
        .optional()
        .describe('Mail server as host:port. 465: TLS at once; others: STARTTLS.'),
      smtp_from: text(mailbox).optional().describe('Sender of the mail.'),
      smtp_hello: helloName.optional().describe('Name given to the mail server.'),
      smtp_auth_username: text(secretText).optional().describe('User at the mail server.'),
      smtp_auth_password: secret(secretText).optional().describe('Password at the mail server.'),
      smtp_auth_password_file: secretFile(files, secretText)
        .optional()
        .describe('File that holds smtp_auth_password.'),
      smtp_require_tls: z
        .boolean()
        .optional()
        .describe('Send nothing without TLS. Default: true, unless the server is on this machine.'),
      smtp_tls_config: tlsSchema(files).optional().describe('How the mail server is trusted.'),
      slack_api_url: secret(safeUrl).optional().describe('Slack incoming webhook.'),
      slack_api_url_file: secretFile(files, safeUrl).optional().describe('File that holds slack_api_url.'),
      slack_app_token: secret(secretText)
        .optional()
        .describe('Token of a Slack bot, for slack_configs with a channel.'),
      slack_app_token_file: secretFile(files, secretText)
        .optional()
        .describe('File that holds slack_app_token.'),
      slack_app_url: text(safeBaseUrl)
        .prefault('https://slack.com/api/chat.postMessage')
        .describe('Where a Slack bot posts.'),
      pagerduty_url: text(safeBaseUrl)
        .prefault('https://events.pagerduty.com/v2/enqueue')
        .describe('The Events API v2 of PagerDuty.'),
    })
    .register(refusedKeys, { keys: refusedInGlobal })
}
