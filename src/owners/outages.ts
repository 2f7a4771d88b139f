// Whether a device's trouble is, or was until a moment ago, the whole fleet's: then its owner can do nothing
// about it, and most such devices recover by themselves.

import type { Alert } from '../alerts/alert.ts'
import type { AlertBook, Transition } from '../alerts/alert-book.ts'
import type { EndedOutage, OwnerStore } from './owner-store.ts'

export interface Outages {
  /** About this device: one that is active, or has ended less than `graceMs` ago. */
  isBehind(alert: Alert, at: number): boolean
  /** Saves what has ended, and lets go of what ended long ago. Rejects when it could not. */
  save(at: number): Promise<void>
}

const graceMs = 3_600_000

export async function openOutages(book: AlertBook, store: OwnerStore): Promise<Outages> {
  const active = new Map<string, Alert>()
  const ended = new Map((await store.loadEndedOutages()).map((outage) => [outage.key, outage]))
  const unsaved = new Set<string>()
  const gone = new Set<string>()

  for (const alert of book.all()) takeIn(undefined, alert)
  book.subscribe((transitions) => {
    for (const { before, after } of transitions) takeIn(before, after)
  })

  function takeIn(before: Transition['before'], after: Transition['after']): void {
    const alert = after ?? before
    if (alert === undefined || !isOutage(alert)) return
    if (after !== undefined && after.state !== 'resolved') {
      // Also while it is only suspected: a mail that waits another quarter of an hour harms nobody.
      active.set(after.key, after)
      return
    }
    active.delete(alert.key)
    // A suspicion that did not come true ends without a trace.
    if (after?.resolvedAt == null || ended.get(alert.key)?.endedAt === after.resolvedAt) return
    ended.set(alert.key, { key: alert.key, labels: alert.labels, endedAt: after.resolvedAt })
    unsaved.add(alert.key)
    gone.delete(alert.key)
  }

  return {
    isBehind(alert, at) {
      for (const outage of active.values()) if (isAbout(outage, alert)) return true
      for (const outage of ended.values()) {
        if (at - outage.endedAt < graceMs && isAbout(outage, alert)) return true
      }
      return false
    },
    async save(at) {
      for (const { key, endedAt } of ended.values()) if (at - endedAt >= graceMs) gone.add(key)
      for (const key of gone) {
        ended.delete(key)
        unsaved.delete(key)
      }
      if (unsaved.size + gone.size === 0) return
      const keys = [...unsaved]
      const endedOutages = [...gone]
      await store.saveOwners({ outages: keys.flatMap((key) => ended.get(key) ?? []), endedOutages })
      for (const key of keys) unsaved.delete(key)
      for (const key of endedOutages) gone.delete(key)
    },
  }
}

/** Counted over the devices of a manufacturer or a type, or the Partner API as a whole. */
function isOutage({ subject, labels }: Pick<Alert, 'subject' | 'labels'>): boolean {
  if (subject.kind !== 'fleet') return false
  return (
    labels['alertname'] === 'PartnerApiUnavailable' ||
    labels['manufacturer'] !== undefined ||
    labels['device_type'] !== undefined
  )
}

function isAbout({ labels }: Pick<EndedOutage, 'labels'>, device: Alert): boolean {
  const agrees = (name: string) => labels[name] === undefined || labels[name] === device.labels[name]
  return agrees('manufacturer') && agrees('device_type')
}
