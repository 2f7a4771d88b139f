import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AuditEntry } from '../../src/actor.ts'
import {
  type AuditRecord,
  actorKinds,
  auditResults,
  createRecord,
  formatRecord,
  genesis,
  parseRecord,
} from '../../src/backoffice/audit-record.ts'
import { createAuditCheck, formatHead, parseHead } from '../../src/backoffice/audit-verification.ts'
import { formatRanges, parseRanges } from '../../src/backoffice/seq-ranges.ts'
import { chainOf, entryFixture, messagesOf, verdictOn } from './audit-fixtures.ts'

const anyText = fc.string({ unit: 'binary', maxLength: 12 })
const members = <T>(value: fc.Arbitrary<T>) =>
  fc
    .array(fc.tuple(fc.oneof(anyText, fc.constant('__proto__')), value), { maxLength: 3 })
    .map((each): Record<string, T> => Object.fromEntries(each))
const entries: fc.Arbitrary<AuditEntry> = fc.record({
  actor: fc.record({
    kind: fc.constantFrom(...actorKinds),
    name: anyText,
    role: fc.constantFrom('viewer', 'operator', 'admin', null),
    from: fc.option(anyText),
  }),
  action: anyText,
  result: fc.constantFrom(...auditResults),
  target: members(anyText),
  detail: members(fc.jsonValue()),
})
const chains = fc.array(entries, { minLength: 2, maxLength: 8 }).map(chainOf)
const headOf = (records: readonly AuditRecord[]) => {
  const { seq, hash } = records.at(-1) ?? genesis
  return { seq, hash }
}
const whole = { findings: [], findingCount: 0 }

describe('a trail that nobody touched', () => {
  it('is whole, whatever it says', () => {
    fc.assert(
      fc.property(chains, (records) => {
        expect(verdictOn(records, headOf(records), headOf(records))).toMatchObject(whole)
      }),
    )
  })

  it('is whole as an export too, line by line', () => {
    fc.assert(
      fc.property(chains, (records) => {
        const lines = records.map(formatRecord)
        expect(lines.every((line) => !line.includes('\n'))).toBe(true)
        const read = lines.map(parseRecord)
        // JSON has one zero.
        expect(read).toEqual(JSON.parse(JSON.stringify(records)))
        expect(verdictOn(read as AuditRecord[], null)).toMatchObject(whole)
      }),
    )
  })

  it('is whole when it is empty', () => {
    expect(verdictOn([], genesis)).toEqual({ ...whole, records: 0, firstSeq: null, head: genesis, erased: 0 })
  })
})

describe('any single change of a trail', () => {
  /** Each changes one thing of one record. */
  const changes: Record<string, (record: AuditRecord, other: string) => AuditRecord> = {
    seq: (record) => ({ ...record, seq: record.seq + 1 }),
    at: (record) => ({ ...record, at: record.at + 1 }),
    'a time that is none': (record) => ({ ...record, at: Number.NaN }),
    kind: (record) => ({
      ...record,
      actor: { ...record.actor, kind: record.actor.kind === 'link' ? 'local' : 'link' },
    }),
    name: (record, other) => ({
      ...record,
      actor: { ...record.actor, name: `${record.actor.name}${other}x` },
    }),
    role: (record) => ({
      ...record,
      actor: { ...record.actor, role: record.actor.role === 'admin' ? null : 'admin' },
    }),
    action: (record, other) => ({ ...record, action: `${record.action}${other}x` }),
    result: (record) => ({ ...record, result: record.result === 'ok' ? 'failed' : 'ok' }),
    commitment: (record) => ({ ...record, commitment: flipped(record.commitment) }),
    'previous hash': (record) => ({ ...record, previousHash: flipped(record.previousHash) }),
    hash: (record) => ({ ...record, hash: flipped(record.hash) }),
    salt: (record) => ({ ...record, about: { ...record.about!, salt: flipped(record.about!.salt) } }),
    'a target': (record, other) => ({
      ...record,
      about: {
        ...record.about!,
        target: { ...record.about!.target, user: `${record.about!.target['user']}${other}` },
      },
    }),
    'a detail': (record, other) => ({
      ...record,
      about: { ...record.about!, detail: { ...record.about!.detail, more: [other] } },
    }),
    address: (record) => ({
      ...record,
      about: { ...record.about!, from: record.about!.from === null ? '' : null },
    }),
    'its subject, taken away': (record) => ({ ...record, about: null }),
  }

  it.each(Object.entries(changes))('is found: %s', (_, change) => {
    fc.assert(
      fc.property(chains, fc.nat(), anyText, (records, pick, other) => {
        const at = pick % records.length
        const changed = records.with(at, change(records[at]!, other))
        expect(verdictOn(changed, headOf(records)).findingCount).toBeGreaterThan(0)
        // An auditor who has an export and a head that was noted.
        expect(verdictOn(changed, null, headOf(records)).findingCount).toBeGreaterThan(0)
      }),
      { numRuns: 40 },
    )
  })

  it('is found: a record that is missing, anywhere', () => {
    fc.assert(
      fc.property(chains, fc.nat(), (records, pick) => {
        const at = pick % records.length
        expect(verdictOn(records.toSpliced(at, 1), headOf(records)).findingCount).toBeGreaterThan(0)
      }),
    )
  })

  it('is found: two records that changed places', () => {
    fc.assert(
      fc.property(chains, fc.nat(), fc.nat(), (records, one, other) => {
        const [a, b] = [one % records.length, other % records.length]
        fc.pre(a !== b)
        const swapped = records.with(a, records[b]!).with(b, records[a]!)
        expect(verdictOn(swapped, headOf(records)).findingCount).toBeGreaterThan(0)
      }),
    )
  })

  it('is found: a record that was put in, even with hashes that fit the one before', () => {
    fc.assert(
      fc.property(chains, entries, fc.nat(), (records, entry, pick) => {
        const at = pick % (records.length + 1)
        const head = headOf(records.slice(0, at))
        const inserted = records.toSpliced(at, 0, createRecord(entry, { at: 0, head }))
        expect(verdictOn(inserted, headOf(records)).findingCount).toBeGreaterThan(0)
      }),
    )
  })

  it('is found: an end that was cut off, by the head and by one that was noted', () => {
    fc.assert(
      fc.property(chains, fc.nat(), (records, pick) => {
        const cut = records.slice(0, pick % records.length)
        expect(verdictOn(cut, headOf(records)).findingCount).toBeGreaterThan(0)
        expect(verdictOn(cut, headOf(cut), headOf(records)).findingCount).toBeGreaterThan(0)
      }),
    )
  })

  it('is found by a head that was noted when somebody built all of it anew', () => {
    const records = chainOf([1, 2, 3].map((n) => entryFixture({ detail: { n } })))
    const forged = chainOf([1, 5, 3].map((n) => entryFixture({ detail: { n } })))
    expect(verdictOn(forged, headOf(forged))).toMatchObject(whole)
    expect(messagesOf(verdictOn(forged, headOf(forged), headOf(records)))).toEqual([
      'record 3 is not the one whose hash was noted elsewhere',
    ])
  })
})

describe('what verification says', () => {
  const records = chainOf(Array.from({ length: 6 }, (_, n) => entryFixture({ detail: { n } })))
  const head = headOf(records)

  it.each([
    [
      'a changed action',
      records.with(2, { ...records[2]!, action: 'link.mint' }),
      head,
      ['record 3 was changed: who, what, when or its result is not what was recorded'],
    ],
    [
      'a changed detail',
      records.with(2, { ...records[2]!, about: { ...records[2]!.about!, detail: {} } }),
      head,
      ['record 3 was changed: its target, detail or address is not what was recorded'],
    ],
    [
      'an erased one',
      records.with(2, { ...records[2]!, about: null }),
      head,
      ['record 3 was erased, and no later user.forget says so'],
    ],
    ['two that are missing', records.toSpliced(2, 2), head, ['records 3 to 4 are missing']],
    [
      'a beginning that is missing',
      records.slice(2),
      head,
      ['records 1 to 2 are missing at the beginning, and no later audit.prune says so'],
    ],
    [
      'an end that is missing',
      records.slice(0, 5),
      head,
      ['record 6 is missing at the end: they were cut off'],
    ],
    [
      'more than the head knows',
      records,
      headOf(records.slice(0, 4)),
      ['records 5 to 6 are more than the trail knows of'],
    ],
    ['all gone', [], head, ['records 1 to 6 are missing at the end: they were cut off']],
  ])('of %s', (_, changed, ending, messages) => {
    expect(messagesOf(verdictOn(changed, ending))).toEqual(messages)
  })

  it('lists the first hundred findings, and counts all', () => {
    const many = chainOf(Array.from({ length: 150 }, () => entryFixture()))
    const verdict = verdictOn(
      many.map((record) => ({ ...record, action: 'x' })),
      headOf(many),
    )
    expect(verdict).toMatchObject({ findingCount: 150 })
    expect(verdict.findings).toHaveLength(100)
  })

  it('of a line that is no record', () => {
    const check = createAuditCheck()
    check.add(records[0]!)
    check.addUnreadable('line 2')
    check.add(records[1]!)
    expect(messagesOf(check.end(null))).toEqual(['what stands after record 1 is no record: line 2'])
  })
})

describe('an erasure', () => {
  const forgetting = (erased: string) =>
    entryFixture({ action: 'user.forget', detail: { erased_records: erased } })
  const erase = (records: AuditRecord[], ...seqs: number[]) =>
    records.map((record) => (seqs.includes(record.seq) ? { ...record, about: null } : record))

  it('is no finding when a later record names it', () => {
    const records = erase(chainOf([entryFixture(), entryFixture(), entryFixture(), forgetting('1,3')]), 1, 3)
    expect(verdictOn(records, headOf(records))).toMatchObject({ ...whole, erased: 2 })
  })

  it.each([
    ['it names another one', [entryFixture(), entryFixture(), forgetting('2')]],
    ['it came before', [forgetting('2'), entryFixture(), entryFixture()]],
    ['it failed', [entryFixture(), entryFixture(), { ...forgetting('1-2'), result: 'failed' as const }]],
    [
      'it is another action',
      [entryFixture(), entryFixture(), { ...forgetting('1-2'), action: 'user.update' }],
    ],
    ['it names them in no way that we write', [entryFixture(), entryFixture(), forgetting('1-2;')]],
  ])('is one when %s', (_, entries) => {
    const erasedSeq = entries[0]!.action === 'user.forget' ? 2 : 1
    const records = erase(chainOf(entries), erasedSeq)
    expect(messagesOf(verdictOn(records, headOf(records)))).toEqual([
      `record ${erasedSeq} was erased, and no later user.forget says so`,
    ])
  })

  it('cannot hide itself: the record that names it has to be there in full', () => {
    const records = erase(chainOf([entryFixture(), forgetting('1-2')]), 1, 2)
    expect(messagesOf(verdictOn(records, headOf(records)))).toEqual([
      'record 1 was erased, and no later user.forget says so',
      'record 2 was erased, and no later user.forget says so',
    ])
  })
})

describe('a beginning that was pruned', () => {
  const all = chainOf([1, 2, 3, 4].map((n) => entryFixture({ detail: { n } })))
  const pruning = (detail: object) =>
    createRecord(entryFixture({ action: 'audit.prune', detail: { ...detail } }), {
      at: 1_764_000_100_000,
      head: headOf(all),
    })
  const anchored = pruning({ pruned_seq: 2, pruned_hash: all[1]!.hash })

  it('is no finding when a later record says where it ended', () => {
    const records = [...all.slice(2), anchored]
    expect(verdictOn(records, headOf(records))).toMatchObject({ ...whole, firstSeq: 3, records: 3 })
    expect(verdictOn(records, headOf(records), { seq: 2, hash: all[1]!.hash })).toMatchObject(whole)
  })

  it('can be compared only from its end on', () => {
    const records = [...all.slice(2), anchored]
    expect(messagesOf(verdictOn(records, null, { seq: 1, hash: all[0]!.hash }))).toEqual([
      'record 1, whose hash was noted elsewhere, is not there to be compared',
    ])
    expect(messagesOf(verdictOn(records, null, { seq: 2, hash: all[0]!.hash }))).toEqual([
      'record 2 was not the one whose hash was noted elsewhere',
    ])
  })

  it.each([
    ['more is missing than it says', [...all.slice(3), anchored]],
    ['its hash is another', [...all.slice(2), pruning({ pruned_seq: 2, pruned_hash: all[0]!.hash })]],
    ['nobody says so', all.slice(2)],
  ])('is one when %s', (_, records) => {
    expect(verdictOn(records, headOf(records)).findingCount).toBe(1)
  })
})

describe('ranges of records', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 60 })), (numbers) => {
        const seqs = numbers.toSorted((a, b) => a - b)
        const back = parseRanges(formatRanges(seqs))!.flatMap(({ from, to }) =>
          Array.from({ length: to - from + 1 }, (_, n) => from + n),
        )
        expect(back).toEqual(seqs)
      }),
    )
    expect(formatRanges([1, 2, 3, 7, 9, 10])).toBe('1-3,7,9-10')
  })

  it.each([undefined, 7, '1-', 'a', '1,,2', ' 1'])('are none: %j', (text) => {
    expect(parseRanges(text)).toBeNull()
  })
})

describe('a head in words', () => {
  it('comes back, however it was copied', () => {
    const head = { seq: 17, hash: 'ab'.repeat(32) }
    expect(parseHead(` ${formatHead(head).toUpperCase()}\n`)).toEqual(head)
    expect(parseHead('17')).toBeNull()
    expect(parseHead(`17:${'ab'.repeat(31)}`)).toBeNull()
  })
})

describe('a line of an export', () => {
  const line = formatRecord(chainOf([entryFixture()])[0]!)
  it.each([
    ['no JSON', line.slice(1)],
    ['another time for the same instant', line.replace('.000Z"', '.000+00:00"')],
    ['no seq', line.replace('"seq":1,', '')],
    ['half erased', line.replace('"erased":false', '"erased":true')],
    ['an unknown result', line.replace('"result":"ok"', '"result":"fine"')],
    ['an unknown role', line.replace('"role":"operator"', '"role":"root"')],
    ['a list', `[${line}]`],
  ])('is no record with %s', (_, changed) => {
    expect(changed).not.toBe(line)
    expect(parseRecord(changed)).toBeNull()
  })
})

function flipped(hex: string): string {
  return (hex[0] === '0' ? '1' : '0') + hex.slice(1)
}
