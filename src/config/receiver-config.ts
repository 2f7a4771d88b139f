// What the receivers of the alerting section amount to when everything is merged and read: the shape
// that integrations are made from. Words are Alertmanager's.

import type { Secret } from '../secret.ts'
import type { HostPort } from './fields.ts'

/** Complete: what `global` gives is merged in. */
export interface ReceiverConfig {
  readonly name: string
  readonly slack: readonly SlackConfig[]
  readonly email: readonly EmailConfig[]
  readonly webhook: readonly WebhookConfig[]
  readonly pagerduty: readonly PagerdutyConfig[]
  readonly alertmanager: readonly AlertmanagerConfig[]
  /** One at most: who writes to the owners of the devices that alerts here are about. */
  readonly owner: readonly OwnerConfig[]
}

interface IntegrationConfig {
  readonly sendResolved: boolean
  /** Whether messages may carry names and e-mail addresses of customers. */
  readonly showPersonalData: boolean
}

export type SlackConfig = SlackWebhookConfig | SlackBotConfig

export interface SlackWebhookConfig extends IntegrationConfig {
  readonly kind: 'webhook'
  readonly apiUrl: Secret
  /** Null: the built-in layout. */
  readonly template: SlackTemplate | null
}

/** `app_token`: messages are edited as their group changes, and what happens is told in their thread. */
export interface SlackBotConfig extends IntegrationConfig {
  readonly kind: 'bot'
  readonly token: Secret
  /** A name with or without `#`, or an id. */
  readonly channel: string
  /** Of the Web API, with a slash at the end: https://slack.com/api/ unless configured. */
  readonly apiBaseUrl: string
  readonly template: SlackTemplate | null
}

/** Liquid sources; null: the built-in part. */
export interface SlackTemplate {
  readonly title: string | null
  readonly text: string | null
}

export interface EmailTemplate {
  readonly subject: string | null
  readonly text: string | null
  readonly html: string | null
}

/** How mail is handed to a server. */
export interface SmtpConfig {
  /** An address or `Name <address>`, without control characters. */
  readonly from: string
  /** Port 465: TLS from the first byte. Any other: STARTTLS. The host has no brackets. */
  readonly smarthost: HostPort
  /** What the service calls itself to the server; null: nothing was configured. */
  readonly hello: string | null
  /** Null exactly when the password is. */
  readonly username: string | null
  readonly password: Secret | null
  /** Rather no mail than one in the clear. */
  readonly requireTls: boolean
  /** PEM of the certificate authorities to trust in the place of the system's; null: the system's. */
  readonly ca: string | null
  /** The name in the server's certificate where it is not the host; null: the host. */
  readonly serverName: string | null
}

export interface EmailConfig extends IntegrationConfig, SmtpConfig {
  /** At least one: an address or `Name <address>` each, without control characters, no address twice. */
  readonly to: readonly string[]
  readonly template: EmailTemplate | null
}

/** How an HTTP receiver is spoken to; Alertmanager's `http_config`, as far as it is supported. */
export interface HttpClientConfig {
  readonly authorization:
    | { readonly kind: 'basic'; readonly username: string; readonly password: Secret }
    /** `type` such as Bearer. */
    | { readonly kind: 'header'; readonly type: string; readonly credentials: Secret }
    | null
  readonly followRedirects: boolean
  /** PEM; null: the system's. */
  readonly ca: string | null
  readonly serverName: string | null
}

export interface WebhookConfig extends IntegrationConfig {
  /** The whole URL may be the secret. */
  readonly url: Secret
  /** The most alerts in one message; 0: all of them. */
  readonly maxAlerts: number
  /** For one request; null: the default. */
  readonly timeoutMs: number | null
  readonly http: HttpClientConfig
}

export interface PagerdutyConfig extends IntegrationConfig {
  readonly routingKey: Secret
  /** Of the Events API v2: https://events.pagerduty.com/v2/enqueue unless configured. */
  readonly url: string
  /** Liquid is not read here: plain texts, or null for what the message says by itself. */
  readonly client: string | null
  readonly clientUrl: string | null
  readonly severity: 'critical' | 'error' | 'warning' | 'info' | null
  readonly class: string | null
  readonly component: string | null
  readonly group: string | null
  readonly http: HttpClientConfig
}

/** Ours: an Alertmanager that is told of every alert, group by group. */
export interface AlertmanagerConfig extends IntegrationConfig {
  /** Without /api/v2/alerts and without a slash at the end. */
  readonly url: Secret
  readonly http: HttpClientConfig
}

export const ownerLanguages = ['de', 'en'] as const
export type OwnerLanguage = (typeof ownerLanguages)[number]

/** Ours: mail to whom a device belongs. */
export interface OwnerConfig extends SmtpConfig {
  /** One mail at most to an owner in this time. */
  readonly everyMs: number
  /** So long an alert has to have been firing. */
  readonly afterMs: number
  /** Staff is told when the device is still not well after this time. */
  readonly escalateAfterMs: number
  /** Minutes since midnight on the owner's clock; `start` above `end`: over midnight. Null: at any time. */
  readonly quietHours: { readonly start: number; readonly end: number } | null
  /** Where the owner's country does not say it. */
  readonly language: OwnerLanguage
  readonly timeZone: string
  /** Who writes, and whom to ask. */
  readonly company: Company
}

export interface Company {
  readonly name: string
  readonly supportEmail: string | null
  readonly supportPhone: string | null
  readonly supportUrl: string | null
}
