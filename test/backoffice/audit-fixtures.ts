// A trail in memory, as a list of records, and the store of a trail that keeps them there.

import type { Actor, AuditEntry } from '../../src/actor.ts'
import { type AuditHead, type AuditRecord, createRecord, genesis } from '../../src/backoffice/audit-record.ts'
import type { AuditStore } from '../../src/backoffice/audit-store.ts'
import { type AuditVerdict, createAuditCheck } from '../../src/backoffice/audit-verification.ts'

export const ann: Actor = { kind: 'token', name: 'ann', role: 'operator', from: '10.0.0.7' }

export function entryFixture(change: Partial<AuditEntry> = {}): AuditEntry {
  return {
    actor: ann,
    action: 'silence.set',
    result: 'ok',
    target: { silence: '0c3a1d6e-5b0f-4d0e-9a53-0d6f5f3f1a11' },
    detail: { before: null, after: { comment: 'heating is replaced' } },
    ...change,
  }
}

export interface MemoryStore extends AuditStore {
  readonly records: AuditRecord[]
  head: AuditHead
  /** Every append from now on rejects with it. */
  failure: Error | null
}

export function memoryStore(): MemoryStore {
  const store: MemoryStore = {
    records: [],
    head: genesis,
    failure: null,
    loadAuditHead: async () => store.head,
    loadAuditRecords: async (after, limit) => store.records.filter(({ seq }) => seq > after).slice(0, limit),
    async appendAudit(record, { erasedSeqs = [], prunedSeq = 0 } = {}) {
      await new Promise(setImmediate)
      if (store.failure !== null) throw store.failure
      if (record.seq !== store.head.seq + 1) throw new Error('not the next one')
      store.records.push(record)
      for (const [at, one] of store.records.entries()) {
        if (erasedSeqs.includes(one.seq)) store.records[at] = { ...one, about: null }
      }
      while ((store.records[0]?.seq ?? Number.POSITIVE_INFINITY) <= prunedSeq) store.records.shift()
      store.head = { seq: record.seq, hash: record.hash }
    },
  }
  return store
}

/** A chain of these entries, one second after the other. */
export function chainOf(entries: readonly AuditEntry[]): AuditRecord[] {
  const records: AuditRecord[] = []
  for (const entry of entries) {
    const { seq, hash } = records.at(-1) ?? genesis
    records.push(createRecord(entry, { at: 1_764_000_000_000 + seq * 1_000, head: { seq, hash } }))
  }
  return records
}

export function verdictOn(
  records: Iterable<AuditRecord>,
  head: AuditHead | null,
  expected: AuditHead | null = null,
): AuditVerdict {
  const check = createAuditCheck(expected)
  for (const record of records) check.add(record)
  return check.end(head)
}

export function messagesOf({ findings }: AuditVerdict): string[] {
  return findings.map(({ message }) => message)
}
