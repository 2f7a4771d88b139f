import type { AuditHead, AuditRecord } from './audit-record.ts'

/** What reading the audit trail needs of a database. */
export interface AuditReader {
  /** Seq 0 and the genesis hash before the first record. */
  loadAuditHead(): Promise<AuditHead>
  /**
   * The first `limit` records after `afterSeq`, in order. Of one that somebody tampered with, its words may
   * be any.
   */
  loadAuditRecords(afterSeq: number, limit: number): Promise<readonly AuditRecord[]>
}

/** What keeping it needs. Each call is one transaction. */
export interface AuditStore extends AuditReader {
  /**
   * Adds the record, which has to follow the present head, and makes it the head. With it, or not at all:
   * `erasedSeqs` lose their salt, target, detail and address; records up to `prunedSeq` go.
   */
  appendAudit(
    record: AuditRecord,
    changes?: { readonly erasedSeqs?: readonly number[]; readonly prunedSeq?: number },
  ): Promise<void>
}
