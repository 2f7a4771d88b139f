// A replica's part in the walks of whoever leads: it takes slots from the queue, reads and evaluates them
// holding no connection, and gives back what it found, if the slot is still its own by then.

import type { Clock } from './clock.ts'
import type { SlotOutcome } from './metrics.ts'
import {
  decode,
  encode,
  type SlotAnswer,
  type SlotClaim,
  type SlotDesk,
  type SlotPlace,
  type SlotWork,
} from './slots.ts'

export interface SlotWorkerOptions {
  readonly desk: SlotDesk
  readonly clock: Clock
  /** See workOnSlot. */
  readonly work: (work: SlotWork, place: SlotPlace, signal: AbortSignal) => Promise<SlotAnswer>
  readonly onEnded: (outcome: SlotOutcome) => void
  readonly onFailure: (error: unknown) => void
}

// Often enough that two of them may be lost before the claim is.
const touchMs = 2_000
const retryMs = 500

/** Works on one slot, if it is to be had. Never rejects: whatever is left undone is offered again. */
export async function takeSlot(
  place: SlotPlace,
  signal: AbortSignal,
  options: SlotWorkerOptions,
): Promise<void> {
  try {
    const claim = signal.aborted ? null : await options.desk.claim(place)
    if (claim !== null) await workOnClaim(claim, signal, options)
  } catch (error) {
    options.onFailure(error)
  }
}

async function workOnClaim(
  claim: SlotClaim,
  signal: AbortSignal,
  { desk, clock, work, onEnded, onFailure }: SlotWorkerOptions,
): Promise<void> {
  const losing = new AbortController()
  const done = new AbortController()
  const touching = touch()
  try {
    const answer = await answered()
    if (answer !== null) onEnded(await given(await encode(answer)))
  } finally {
    done.abort()
    await touching
  }

  /** Null: it was stopped, or somebody else has the slot. */
  async function answered(): Promise<SlotAnswer | null> {
    try {
      const stopping = AbortSignal.any([signal, losing.signal])
      return await work(await decode<SlotWork>(claim.work), claim, stopping)
    } catch (error) {
      if (losing.signal.aborted) {
        onEnded('too_late')
        return null
      }
      if (signal.aborted) {
        onEnded('released')
        await desk.release(claim)
        return null
      }
      // The same would happen to everybody else: the walk has to end, and say so.
      onFailure(error)
      onEnded('failed')
      return { failed: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Tells that somebody works on it, and finds out when it was given to somebody else. */
  async function touch(): Promise<void> {
    while (!losing.signal.aborted) {
      await clock.sleep(touchMs, done.signal).catch(() => {})
      if (done.signal.aborted) return
      try {
        if (!(await desk.touch(claim))) losing.abort()
      } catch {
        // Without the database nobody else gets it either; what was read is kept.
      }
    }
  }

  async function given(findings: Uint8Array): Promise<SlotOutcome> {
    for (;;) {
      try {
        return (await desk.give(claim, findings)) ? 'found' : 'too_late'
      } catch (error) {
        if (signal.aborted) throw error
        await clock.sleep(retryMs, signal).catch(() => {})
      }
    }
  }
}
