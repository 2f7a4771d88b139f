// Every way to reach people and programs. A new one is a file beside this one, a line below, and its
// place in the configuration; it has to pass the shared suite in test/notify/receivers.

import type { ReceiverConfig } from '../../config.ts'
import type { Integration } from '../notification.ts'
import { createAlertmanagerIntegration } from './alertmanager.ts'
import { createEmailIntegration, type EmailDeps } from './email.ts'
import type { HttpReceiverDeps } from './http-integration.ts'
import { createPagerdutyIntegration } from './pagerduty.ts'
import { createSlackIntegration, type SlackDeps } from './slack.ts'
import { createSlackBotIntegration } from './slack-bot.ts'
import { createWebhookIntegration } from './webhook.ts'

export type IntegrationDeps = SlackDeps & EmailDeps & HttpReceiverDeps

/**
 * One integration per configured entry, in the order of the configuration.
 * @throws MailAddressError when an address of an email_configs entry is none.
 */
export function createIntegrations(
  receivers: readonly ReceiverConfig[],
  deps: IntegrationDeps,
): readonly Integration[] {
  return receivers.flatMap(({ name: receiver, slack, email, webhook, pagerduty, alertmanager }) => [
    ...slack.map((config, index) =>
      config.kind === 'webhook'
        ? createSlackIntegration(config, { receiver, index }, deps)
        : createSlackBotIntegration(config, { receiver, index }, deps),
    ),
    ...email.map((config, index) => createEmailIntegration(config, { receiver, index }, deps)),
    ...webhook.map((config, index) => createWebhookIntegration(config, { receiver, index }, deps)),
    ...pagerduty.map((config, index) => createPagerdutyIntegration(config, { receiver, index }, deps)),
    ...alertmanager.map((config, index) => createAlertmanagerIntegration(config, { receiver, index }, deps)),
  ])
}
