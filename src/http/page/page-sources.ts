// What the pages ask beyond what the API asks: types only, which the wiring implements. All instants are ms
// since 1970.

import type { IntegrationActivity, RecentWalk, RuleActivity } from '../../activity.ts'
import type { Alert } from '../../alerts/alert.ts'
import type { HistoryRecord } from '../../alerts/history.ts'
import type { Explanation } from '../../explain.ts'
import type { DeviceType } from '../../fleet/device.ts'
import type { AlertLink } from '../../notify/notification.ts'
import type { HoldReason } from '../../notify/suppression.ts'

export interface PageSources {
  /** One that is kept, resolved ones too. */
  find(fingerprint: string): Alert | undefined
  /** What it waits for before anybody is told of it, that nobody has set; null: nothing. */
  heldFor(alert: Alert): HoldReason | null
  history(fingerprint: string): Promise<readonly HistoryRecord[]>
  /** Reads the device anew. Null: nothing is known of it. */
  explain(fingerprint: string): Promise<Explanation | null>
  /** The link that resolves it; null: there is none to give. May ask the partner. */
  linkFor(alert: Alert, signal: AbortSignal): Promise<AlertLink | null>
  /** The newest first. */
  walks(): readonly RecentWalk[]
  /** Null: none runs. */
  walkingSince(): number | null
  /** In the order of the files. */
  rules(): readonly PageRule[]
  /** In the order of the configuration. */
  receivers(): readonly PageReceiver[]
  queue(): { readonly queued: number; readonly oldestAt: number | null; readonly isDelivering: boolean }
  /** Since when activity is counted: the start. */
  readonly since: number
}

export interface PageRule {
  readonly id: string
  readonly alertname: string
  /** Empty: none, or one that depends on the device. */
  readonly severity: string
  readonly each: 'device' | 'user' | 'fleet' | 'service'
  /** Empty where it is not about devices. */
  readonly deviceTypes: readonly DeviceType[]
  readonly forMs: number
  readonly keepFiringForMs: number
  readonly activity: RuleActivity
}

export interface PageReceiver {
  readonly name: string
  readonly integrations: readonly {
    readonly kind: string
    readonly index: number
    readonly activity: IntegrationActivity
  }[]
}
