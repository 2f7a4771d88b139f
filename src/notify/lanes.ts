// The lanes of all integrations of a configuration, and what becomes of them when it is read anew: an
// integration that is the same object keeps its lane and its queue; one that changed hands its queue to
// its successor, which begins when the message under way has ended, so that nothing is sent twice. Only then is the old one closed.

import { integrationKey, type Lane } from './lane.ts'
import type { Integration } from './notification.ts'
import type { OutboxRow } from './store.ts'

export interface Lanes {
  get(integrationKey: string): Lane | undefined
  all(): readonly Lane[]
  ofReceiver(receiver: string): readonly Lane[]
  /** From now on they deliver, those that come later too. */
  start(stop: AbortSignal): void
  /** Resolves when all that ever began have ended. */
  ended(): Promise<void>
  replaceWith(integrations: readonly Integration[]): Promise<void>
}

export interface LanesOptions {
  readonly integrations: readonly Integration[]
  readonly create: (integration: Integration) => Lane
  /** Gives a message that waits to the lane that it belongs to now, or gives it up. */
  readonly handOn: (row: OutboxRow) => Promise<void>
  readonly onError: (error: unknown) => void
}

export function createLanes({ create, handOn, onError, ...options }: LanesOptions): Lanes {
  let lanes = new Map<string, Lane>()
  let stop: AbortSignal | null = null
  const runs = new Map<Lane, Promise<void>>()
  const handovers = new Set<Promise<void>>()
  for (const integration of options.integrations) add(integration)

  function add(integration: Integration): Lane {
    const lane = create(integration)
    lanes.set(integrationKey(integration), lane)
    return lane
  }

  function begin(lane: Lane): void {
    if (stop === null) return
    runs.set(
      lane,
      lane.run(stop).finally(() => runs.delete(lane)),
    )
  }

  /** What waits goes over at once, so that nobody decides to tell it again meanwhile. */
  async function replace(old: Lane | undefined, next: Lane | null): Promise<void> {
    if (old !== undefined && next !== null) {
      for (const { row } of old.waiting()) await handOn({ ...row, attempts: Math.max(1, row.attempts) })
    }
    old?.retire()
    const handover = finish(old, next).finally(() => handovers.delete(handover))
    handovers.add(handover)
  }

  async function finish(old: Lane | undefined, next: Lane | null): Promise<void> {
    if (old !== undefined) await runs.get(old)
    if (next === null) for (const { row } of old?.waiting() ?? []) await handOn(row).catch(onError)
    else if (lanes.get(integrationKey(next.integration)) === next) begin(next)
    // Only now: closing it ends what is under way, which may have arrived all the same.
    await old?.integration.close().catch(onError)
  }

  return {
    get: (key) => lanes.get(key),
    all: () => [...lanes.values()],
    ofReceiver: (receiver) => [...lanes.values()].filter((lane) => lane.integration.receiver === receiver),
    start(signal) {
      stop = signal
      for (const lane of lanes.values()) begin(lane)
    },
    async ended() {
      while (runs.size + handovers.size > 0) await Promise.all([...runs.values(), ...handovers])
    },
    async replaceWith(integrations) {
      const before = lanes
      lanes = new Map()
      const replaced: [Lane | undefined, Lane][] = []
      for (const integration of integrations) {
        const key = integrationKey(integration)
        const present = before.get(key)
        if (present?.integration === integration) lanes.set(key, present)
        else replaced.push([present, add(integration)])
      }
      for (const [old, next] of replaced) await replace(old, next)
      for (const [key, lane] of before) if (!lanes.has(key)) await replace(lane, null)
    },
  }
}
