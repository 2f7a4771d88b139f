/**
 * What a rule says of a subject at one moment: true, false, or why it cannot be known. Unknown is
 * never treated as either (alerting-semantics.md section 2).
 */
export type Verdict = boolean | UnknownReason

export type UnknownReason = 'poll_failed' | 'device_missing' | 'stale' | 'missing_field' | 'rule_error'
