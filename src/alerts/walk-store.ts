import type { Walk } from '../fleet/walk.ts'

/** What is remembered of the walks over all users, so that a restart forgets none of it. */
export interface WalkState {
  readonly last: Walk
  /** Walks in a row that ended `failed`. */
  readonly failedInARow: number
  /** When the last walk that ended `complete` did so (ms since 1970), null: none has. */
  readonly lastCompleteAt: number | null
  /** When the service was last seen alive (ms since 1970): what came after was downtime. */
  readonly aliveAt: number
}

/** What the schedule of walks needs of a database. Each call is one transaction. */
export interface WalkStore {
  /** Null before the first walk ended. */
  loadWalkState(): Promise<WalkState | null>
  saveWalkState(state: WalkState): Promise<void>
}
