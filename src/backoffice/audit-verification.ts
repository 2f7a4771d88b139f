// Whether a trail is whole: every record as it was written, all of them there, in their order. It goes
// through the records once, in order, and keeps nothing of them but which erasures are still to be
// explained, so that a trail of any length can be verified.
//
//   changed, removed, inserted, swapped    the hashes do not fit
//   cut off at the end                     the head of the trail, or one noted elsewhere, says more
//   erased                                 fine if a later `user.forget` names the record
//   removed at the beginning               fine if a later `audit.prune` names the last one that went
//
// What it cannot see: that somebody who can write the file built the whole trail anew, head included.
// For that, compare with a head that was noted elsewhere (`expected`): each record's goes to the log.

import {
  type AuditHead,
  type AuditRecord,
  commitmentOf,
  genesis,
  genesisHash,
  hashOf,
} from './audit-record.ts'
import { parseRanges } from './seq-ranges.ts'

export interface AuditFinding {
  /** The record that it is about. */
  readonly seq: number
  /** For people. */
  readonly message: string
}

export interface AuditVerdict {
  readonly records: number
  readonly firstSeq: number | null
  /** The last record that was there. */
  readonly head: AuditHead
  readonly erased: number
  /** The first ones, in the order in which they were found. */
  readonly findings: readonly AuditFinding[]
  /** All that there were. */
  readonly findingCount: number
}

export interface AuditCheck {
  /** The next record. */
  add(record: AuditRecord): void
  /** Something stands in the place of the next record. */
  addUnreadable(what: string): void
  /** `head`: what the trail itself says of its end; null: it says nothing, as an export does. */
  end(head: AuditHead | null): AuditVerdict
}

const mostFindings = 100

/** `expected`: a head that was noted outside; that record has to be there, with that hash. */
export function createAuditCheck(expected: AuditHead | null = null): AuditCheck {
  const findings: AuditFinding[] = []
  let findingCount = 0
  let records = 0
  let firstSeq: number | null = null
  let erased = 0
  let last = genesis
  /** What stood before the first record that is there; null when nothing is missing. */
  let missing: AuditHead | null = null
  /** Records that are erased, and no later record has said so yet. */
  let unexplained: number[] = []

  function find(seq: number, message: string): void {
    findingCount++
    if (findings.length < mostFindings) findings.push({ seq, message })
  }

  function add(record: AuditRecord): void {
    const { seq, previousHash, hash, about } = record
    records++
    if (firstSeq === null) begin(record)
    else if (seq <= last.seq) find(seq, `record ${seq} stands after record ${last.seq}: moved, or inserted`)
    else if (seq > last.seq + 1) find(last.seq + 1, missingBetween(last.seq, seq))
    else if (previousHash !== last.hash) {
      find(seq, `record ${seq} does not follow the record ${last.seq} that is there: one of them was changed`)
    }
    if (hash !== hashIfAny(record)) {
      find(seq, `record ${seq} was changed: who, what, when or its result is not what was recorded`)
    }
    if (about === null) {
      erased++
      unexplained.push(seq)
    } else if (commitmentOf(about) !== record.commitment) {
      find(seq, `record ${seq} was changed: its target, detail or address is not what was recorded`)
    }
    if (expected !== null && expected.seq === seq && expected.hash !== hash) {
      find(seq, `record ${seq} is not the one whose hash was noted elsewhere`)
    }
    explain(record)
    last = { seq, hash }
  }

  function begin({ seq, previousHash }: AuditRecord): void {
    firstSeq = seq
    if (seq > 1) missing = { seq: seq - 1, hash: previousHash }
    else if (previousHash !== genesisHash) find(seq, `record ${seq} is not the first one: it follows another`)
    if (missing === null || expected === null || expected.seq >= seq) return
    if (expected.seq !== missing.seq) {
      find(
        expected.seq,
        `record ${expected.seq}, whose hash was noted elsewhere, is not there to be compared`,
      )
    } else if (expected.hash !== missing.hash) {
      find(expected.seq, `record ${expected.seq} was not the one whose hash was noted elsewhere`)
    }
  }

  /** What a record says about earlier ones. */
  function explain({ action, result, about }: AuditRecord): void {
    if (result !== 'ok' || about === null) return
    if (action === 'user.forget') {
      const ranges = parseRanges(about.detail['erased_records']) ?? []
      unexplained = unexplained.filter((one) => !ranges.some(({ from, to }) => from <= one && one <= to))
    }
    if (action === 'audit.prune' && missing !== null) {
      const { pruned_seq: prunedSeq, pruned_hash: prunedHash } = about.detail
      if (prunedSeq === missing.seq && prunedHash === missing.hash) missing = null
    }
  }

  function end(head: AuditHead | null): AuditVerdict {
    if (missing !== null) {
      find(1, `${recordsTo(1, missing.seq)} missing at the beginning, and no later audit.prune says so`)
    }
    for (const seq of unexplained) {
      find(seq, `record ${seq} was erased, and no later user.forget says so`)
    }
    if (head !== null) {
      if (head.seq > last.seq) {
        find(last.seq + 1, `${recordsTo(last.seq + 1, head.seq)} missing at the end: they were cut off`)
      } else if (head.seq < last.seq) {
        find(head.seq + 1, `${recordsTo(head.seq + 1, last.seq)} more than the trail knows of`)
      } else if (head.hash !== last.hash) {
        find(last.seq, `record ${last.seq} is not the one that the trail knows as its last`)
      }
    }
    if (expected !== null && expected.seq > last.seq) {
      find(expected.seq, `record ${expected.seq}, whose hash was noted elsewhere, is missing: cut off`)
    }
    return { records, firstSeq, head: last, erased, findings, findingCount }
  }

  return {
    add,
    addUnreadable(what) {
      const seq = last.seq + 1
      find(seq, `what stands after record ${last.seq} is no record: ${what}`)
    },
    end,
  }
}

/** Null: it holds what no record of ours ever held, such as a time that is none. */
function hashIfAny(record: AuditRecord): string | null {
  try {
    return hashOf(record, record.previousHash)
  } catch {
    return null
  }
}

function missingBetween(before: number, after: number): string {
  return `${recordsTo(before + 1, after - 1)} missing`
}

function recordsTo(from: number, to: number): string {
  return from === to ? `record ${from} is` : `records ${from} to ${to} are`
}

/** `SEQ:HASH`, as the log and `audit export` give it; null: it is none. */
export function parseHead(text: string): AuditHead | null {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim().toLowerCase()) ?? []
  return seq === undefined || hash === undefined ? null : { seq: Number(seq), hash }
}

export function formatHead({ seq, hash }: AuditHead): string {
  return `${seq}:${hash}`
}
