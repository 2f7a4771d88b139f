// Every way to reach people and programs. A new one is a file beside this one, a line below, and its
// place in the configuration; it has to pass the shared suite in test/notify/receivers.

import type { ReceiverConfig } from '../../config.ts'
import { isSameValue } from '../../same-value.ts'
import { integrationKey } from '../lane.ts'
import type { Integration } from '../notification.ts'
import { createAlertmanagerIntegration } from './alertmanager.ts'
import { createEmailIntegration, type EmailDeps } from './email.ts'
import type { HttpReceiverDeps } from './http-integration.ts'
import { createPagerdutyIntegration } from './pagerduty.ts'
import { createSlackIntegration, type SlackDeps } from './slack.ts'
import { createSlackBotIntegration } from './slack-bot.ts'
import { createWebhookIntegration } from './webhook.ts'

export type IntegrationDeps = SlackDeps & EmailDeps & HttpReceiverDeps

interface Entry {
  readonly key: string
  /** What it is made from; compared at a reload. */
  readonly config: unknown
  readonly create: () => Integration
}

/**
 * One integration per configured entry, in the order of the configuration.
 * @throws MailAddressError when an address of an email_configs entry is none.
 */
export function createIntegrations(
  receivers: readonly ReceiverConfig[],
  deps: IntegrationDeps,
): readonly Integration[] {
  return entriesOf(receivers, deps).map(({ create }) => create())
}

/** The integrations of a configuration that may be read anew: what did not change stays the same object. */
export interface IntegrationSet {
  all(): readonly Integration[]
  /** Those of these receivers, from now on. Throws as createIntegrations does, and then nothing changed. */
  update(receivers: readonly ReceiverConfig[]): readonly Integration[]
  /** All that were ever given out; one that an update left out may have been closed by whoever used it. */
  close(): Promise<void>
}

/** `maySend`: asked before each attempt; a message that may not be sent now is tried again later. */
export function createIntegrationSet(
  deps: IntegrationDeps,
  { maySend }: { readonly maySend: () => boolean },
): IntegrationSet {
  let present = new Map<string, { readonly config: unknown; readonly integration: Integration }>()
  const unused = new Set<Integration>()

  return {
    all: () => [...present.values()].map(({ integration }) => integration),
    update(receivers) {
      const next: typeof present = new Map()
      for (const { key, config, create } of entriesOf(receivers, deps)) {
        const known = present.get(key)
        const isSame = known !== undefined && isSameValue(known.config, config)
        next.set(key, isSame ? known : { config, integration: guarded(create(), maySend) })
      }
      for (const [key, known] of present) if (next.get(key) !== known) unused.add(known.integration)
      present = next
      return [...next.values()].map(({ integration }) => integration)
    },
    async close() {
      const integrations = [...unused, ...[...present.values()].map(({ integration }) => integration)]
      await Promise.all(integrations.map((integration) => integration.close()))
    },
  }
}

function guarded(integration: Integration, maySend: () => boolean): Integration {
  const reason = 'another process may have taken over'
  return {
    ...integration,
    async send(notification, context) {
      if (!maySend()) return { kind: 'retry', reason }
      const fence = new AbortController()
      const check = () => {
        if (!maySend()) fence.abort()
      }
      return integration.send(notification, {
        ...context,
        signal: AbortSignal.any([context.signal, fence.signal]),
        // Links are asked for before anything is sent, and that can take longer than one may be sure.
        async linkFor(alert, limit) {
          limit.addEventListener('abort', check, { once: true })
          try {
            return await context.linkFor(alert, limit)
          } finally {
            check()
          }
        },
      })
    },
  }
}

function entriesOf(receivers: readonly ReceiverConfig[], deps: IntegrationDeps): readonly Entry[] {
  return receivers.flatMap(({ name: receiver, slack, email, webhook, pagerduty, alertmanager }) => {
    const entries = <Config>(
      kind: string,
      configs: readonly Config[],
      create: (config: Config, place: { readonly receiver: string; readonly index: number }) => Integration,
    ): readonly Entry[] =>
      configs.map((config, index) => ({
        key: integrationKey({ receiver, kind, index }),
        config,
        create: () => create(config, { receiver, index }),
      }))
    return [
      ...entries('slack', slack, (config, place) =>
        config.kind === 'webhook'
          ? createSlackIntegration(config, place, deps)
          : createSlackBotIntegration(config, place, deps),
      ),
      ...entries('email', email, (config, place) => createEmailIntegration(config, place, deps)),
      ...entries('webhook', webhook, (config, place) => createWebhookIntegration(config, place, deps)),
      ...entries('pagerduty', pagerduty, (config, place) => createPagerdutyIntegration(config, place, deps)),
      ...entries('alertmanager', alertmanager, (config, place) =>
        createAlertmanagerIntegration(config, place, deps),
      ),
    ]
  })
}
