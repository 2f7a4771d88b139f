import type { Alert } from './alert.ts'

/** What the alert lifecycle needs of a database. Each call is one transaction. */
export interface AlertStore {
  /** Every alert that is kept, in no order. */
  loadAlerts(): Promise<readonly Alert[]>
  /** Saves all or nothing; rejects when it could not, and then nothing was changed. */
  saveAlerts(changes: AlertChanges): Promise<void>
}

export interface AlertChanges {
  readonly upserts: readonly Alert[]
  readonly deletedKeys: readonly string[]
}
