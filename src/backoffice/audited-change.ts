// A change with its lines in the trail: one before it is made, since it may be cut off, and one after.

import type { Actor, AuditEntry, RecordAudit } from '../actor.ts'
import { PartnerError } from '../partner/partner-error.ts'

export type AuditedSubject = Pick<AuditEntry, 'action' | 'target' | 'detail'>

/**
 * Runs `work` between two entries. `answer`: what the second one says besides. Rejects with what `work` rejects
 * with, and with the trail's own error when that cannot be written: then nothing is changed.
 */
export async function auditedChange<T>(
  { record, actor }: { readonly record: RecordAudit; readonly actor: Actor },
  subject: AuditedSubject,
  work: () => Promise<T>,
  answer: (result: T) => Pick<AuditEntry, 'detail'> & Partial<Pick<AuditEntry, 'target'>>,
): Promise<T> {
  // By then it has happened or failed: that this cannot be recorded is told by the trail, and changes nothing.
  const ended = (how: Partial<AuditEntry> & Pick<AuditEntry, 'result'>) =>
    record({ actor, ...subject, ...how }).catch(() => undefined)
  await record({ actor, ...subject, result: 'begun' })
  let result: T
  try {
    result = await work()
  } catch (error) {
    await ended({ result: 'failed', detail: { ...subject.detail, problem: problemOf(error) } })
    throw error
  }
  const { target = {}, detail } = answer(result)
  await ended({
    result: 'ok',
    target: { ...subject.target, ...target },
    detail: { ...subject.detail, ...detail },
  })
  return result
}

function problemOf(error: unknown): string {
  if (error instanceof PartnerError) {
    const certainty =
      error.wasSent && error.kind !== 'client_error' ? ' (it may have been done all the same)' : ''
    return `${error.kind}${error.status === null ? '' : ` ${error.status}`}${certainty}`
  }
  return error instanceof Error ? error.name : 'unknown'
}
