// Every way to reach people. A new one is a file beside this one, a line below, and its place in the
// configuration; it has to pass the shared suite in test/notify/receivers.

import type { ReceiverConfig } from '../../config.ts'
import type { Integration } from '../notification.ts'
import { createEmailIntegration, type EmailDeps } from './email.ts'
import { createSlackIntegration, type SlackDeps } from './slack.ts'

export type IntegrationDeps = SlackDeps & EmailDeps

/**
 * One integration per configured entry, in the order of the configuration.
 * @throws MailAddressError when an address of an email_configs entry is none.
 */
export function createIntegrations(
  receivers: readonly ReceiverConfig[],
  deps: IntegrationDeps,
): readonly Integration[] {
  return receivers.flatMap(({ name: receiver, slack, email }) => [
    ...slack.flatMap((config, index) =>
      config.kind === 'webhook' ? [createSlackIntegration(config, { receiver, index }, deps)] : [],
    ),
    ...email.map((config, index) => createEmailIntegration(config, { receiver, index }, deps)),
  ])
}
