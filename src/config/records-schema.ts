// What is kept of what was done, and for how long: the audit trail, ended alerts, the log of calls.

import { z } from 'zod'
import { parseDuration } from '../duration.ts'
import { duration, text } from './fields.ts'

const day = 86_400_000

export const auditSchema = z.strictObject({
  keep: duration({ minimumMs: day, maximumMs: parseDuration('20y') ?? 0 })
    .prefault('400d')
    .describe('Records of the audit trail are kept this long.'),
})

export const privacySchema = z.strictObject({
  resolved_alerts: duration({ minimumMs: 15 * 60_000, maximumMs: 90 * day })
    .prefault('15m')
    .describe('Resolved alerts are kept this long after their end, in memory and in the database.'),
})

export const partnerLogSchema = z.strictObject({
  file: text({
    expected: 'the path of a file',
    holds: (path) => /^[^\p{Cc}]*[^\p{Cc}/]$/u.test(path),
  })
    .default('data/partner-calls.jsonl')
    .describe('JSON lines, one for each request.'),
  max_size: size({ minimum: 1024 ** 2, maximum: 64 * 1024 ** 3 })
    .prefault('64MiB')
    .describe('A file that is larger is closed and another one begun.'),
  files: z.int().min(1).max(1_000).default(4).describe('So many are kept, the one that is written included.'),
})

const units: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Bytes. */
function size({ minimum, maximum }: { readonly minimum: number; readonly maximum: number }) {
  return z.union([z.string(), z.number()]).transform((written, context) => {
    const [, digits, unit = ''] = /^(\d{1,15})(KiB|MiB|GiB)?$/.exec(String(written)) ?? []
    const bytes = Number(digits) * (units[unit] ?? Number.NaN)
    if (bytes >= minimum && bytes <= maximum) return bytes
    const expected = `a size from ${minimum / 1024 ** 2}MiB to ${maximum / 1024 ** 3}GiB, such as 64MiB`
    context.issues.push({ code: 'custom', input: written, params: { expected } })
    return z.NEVER
  })
}
