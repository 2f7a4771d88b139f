import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createAccountIndex } from '../../src/backoffice/account-index.ts'
import { applyFixes } from '../../src/backoffice/apply-fixes.ts'
import { journalKey, openJournal } from '../../src/backoffice/journal.ts'
import type { SendOutcome } from '../../src/backoffice/patient-sending.ts'
import { type Customer, customerOf, type Finding, reconcile } from '../../src/backoffice/reconciliation.ts'
import { conflictsOf } from '../../src/backoffice/user-change.ts'
import type { UserAccount } from '../../src/fleet/user.ts'
import { account } from './sample.ts'

const never = new AbortController().signal

let made = 0
const person = (change: Partial<UserAccount>): UserAccount => {
  made++
  return account({ id: `u${made}`, email: `u${made}@example.com`, external_user_id: `C-${made}`, ...change })
}

async function compared(users: readonly UserAccount[], customers: readonly Omit<Customer, 'line'>[]) {
  const index = createAccountIndex()
  for (const user of users) index.add(user)
  async function* rows() {
    yield customers.map((customer, at) => ({ line: at + 2, ...customer }))
  }
  const found = await reconcile(index, rows())
  return [...found.findings()]
}

/** As a customer system has this user. */
const customer = (user: UserAccount, fields: Customer['fields'] = {}): Omit<Customer, 'line'> => ({
  externalId: user.external_user_id ?? '',
  fields: { email: user.email!, last_name: user.last_name!, ...fields },
})

describe('the index of users', () => {
  it('finds by external id and by address what was put in, whatever it is', () => {
    const id = fc.string({ unit: 'binary', maxLength: 4 })
    fc.assert(
      fc.property(
        fc.array(fc.record({ external_user_id: fc.option(id), email: id }), { maxLength: 30 }),
        (people) => {
          const index = createAccountIndex()
          const users = people.map((each, at) => account({ ...each, id: `u${at}` }))
          for (const user of users) index.add(user)
          for (const [number, user] of users.entries()) {
            expect(index.user(number)).toMatchObject({ id: user.id, external_user_id: user.external_user_id })
            const same = users.flatMap(({ external_user_id: other }, at) =>
              other !== null && other.trim() === user.external_user_id?.trim() ? [at] : [],
            )
            const wanted = (user.external_user_id ?? '').trim() === '' ? [] : same
            expect(index.byExternalId(user.external_user_id ?? '')).toEqual(wanted)
          }
        },
      ),
      { numRuns: 100 },
    )
  })

  it('holds records that are larger than a block, and many', () => {
    const index = createAccountIndex()
    index.add(account({ id: 'large', last_name: 'x'.repeat(3_000_000), external_user_id: 'L' }))
    for (let n = 0; n < 20_000; n++) index.add(account({ id: `u${n}`, external_user_id: `C-${n}` }))
    expect(index.user(0).last_name).toHaveLength(3_000_000)
    expect(index.byExternalId('C-19999').map((number) => index.user(number).id)).toEqual(['u19999'])
    expect(index.byEmail('A@example.com ')).toHaveLength(20_001)
  })
})

describe('a row of the file', () => {
  it('is a customer: the house number joins its street, a country becomes its code', () => {
    const columns = new Map([
      ['external_user_id', 0],
      ['street_and_number', 1],
      ['house_number', 2],
      ['country', 3],
      ['town', 4],
    ] as const)
    expect(customerOf({ line: 7, cells: ['C-1', 'Hauptstraße', '12a', 'Österreich', ''] }, columns)).toEqual({
      line: 7,
      externalId: 'C-1',
      fields: { street_and_number: 'Hauptstraße 12a', country: 'AT' },
    })
  })
})

describe('a reconciliation', () => {
  it('finds nothing where both sides mean the same', async () => {
    const user = person({ last_name: 'Müller', street_and_number: 'Hauptstraße 1', zip_code: '1067' })
    const spelt = {
      last_name: 'MUELLER',
      street_and_number: 'Hauptstr. 1',
      zip_code: '01067',
      email: user.email!.toUpperCase(),
    }
    expect(await compared([user], [customer(user, spelt)])).toEqual([])
    // An empty cell says nothing.
    expect(await compared([user], [{ externalId: user.external_user_id!, fields: {} }])).toEqual([])
  })

  it('finds what differs, and would change exactly that', async () => {
    const user = person({ last_name: 'Maier', town: null })
    const [finding, ...more] = await compared([user], [customer(user, { last_name: 'Bauer', town: 'Graz' })])
    expect(more).toEqual([])
    expect(finding).toMatchObject({
      kind: 'different',
      lines: [2],
      differences: [
        { field: 'last_name', user: 'Maier', customer: 'Bauer' },
        { field: 'town', user: null, customer: 'Graz' },
      ],
      fix: {
        action: 'update',
        userId: user.id,
        changes: { last_name: 'Bauer', town: 'Graz' },
        seen: { last_name: 'Maier', town: null },
      },
    })
  })

  it('proposes no change to what cannot be', async () => {
    const user = person({})
    const [finding] = await compared([user], [customer(user, { country: 'Kakanien' })])
    expect(finding).toMatchObject({
      kind: 'different',
      fix: null,
      note: 'line 2 of the file: country: expected a country of ISO 3166-1 such as AT or DE, not "Kakanien"',
    })
  })

  it('finds customers without a user, who can be created with an address', async () => {
    const findings = await compared(
      [],
      [
        { externalId: 'N-1', fields: { email: 'n@example.com', zip_code: '01067' } },
        { externalId: 'N-2', fields: {} },
      ],
    )
    expect(findings).toMatchObject([
      {
        kind: 'customer_without_user',
        fix: {
          action: 'create',
          user: { role: 'user', email: 'n@example.com', external_user_id: 'N-1', zip_code: '01067' },
        },
      },
      { kind: 'customer_without_user', fix: null, note: 'cannot be created without an e-mail address' },
    ])
  })

  it('finds users without an external id, and by their address who they are', async () => {
    const known = person({ external_user_id: null, email: 'Known@example.com' })
    const unknown = person({ external_user_id: '' })
    const taken = person({})
    const findings = await compared(
      [known, unknown, taken, person({ role: 'staff', external_user_id: null })],
      [
        customer(taken),
        { externalId: 'N-1', fields: { email: 'known@example.com' } },
        { externalId: 'N-2', fields: { email: taken.email! } },
      ],
    )
    expect(findings).toMatchObject([
      {
        kind: 'external_id_missing',
        userIds: [known.id],
        fix: { action: 'update', userId: known.id, changes: { external_user_id: 'N-1' } },
      },
      { kind: 'customer_without_user', userIds: [taken.id], fix: null },
      { kind: 'user_without_external_id', userIds: [unknown.id], fix: null },
    ])
  })

  it('finds the same external id twice on either side, and then compares nothing with it', async () => {
    const one = person({ external_user_id: 'D-1' })
    const other = person({ external_user_id: 'D-1', last_name: 'Other' })
    const third = person({ external_user_id: 'D-2', last_name: 'Third' })
    const findings = await compared(
      [one, other, third],
      [customer(one, { last_name: 'X' }), customer(third, { last_name: 'Y' }), customer(third)]
        .concat({ externalId: 'D-3', fields: {} })
        .concat({ externalId: 'D-3', fields: {} }, { externalId: 'D-3', fields: {} }),
    )
    expect(findings).toMatchObject([
      { kind: 'duplicate_customer', externalId: 'D-2', lines: [3, 4], fix: null },
      { kind: 'duplicate_customer', externalId: 'D-3', lines: [5, 6, 7], fix: null },
      { kind: 'duplicate_user', externalId: 'D-1', userIds: [one.id, other.id], fix: null },
    ])
  })

  it('takes the external id from the one of two who is archived, and compares the other', async () => {
    const archived = person({ external_user_id: 'D-1', role: 'guest' })
    const active = person({ external_user_id: 'D-1', last_name: 'Active' })
    expect(await compared([archived, active], [customer(active, { last_name: 'Other' })])).toMatchObject([
      {
        kind: 'duplicate_user',
        fix: { action: 'update', userId: archived.id, changes: { external_user_id: null } },
      },
      { kind: 'different', userIds: [active.id] },
    ])
  })

  it('finds who left, and who was archived and is a customer', async () => {
    const left = person({})
    const archived = person({ role: 'guest' })
    const staff = person({ role: 'staff' })
    const archivedAndLeft = person({ role: 'guest' })
    expect(await compared([left, archived, staff, archivedAndLeft], [customer(archived)])).toMatchObject([
      {
        kind: 'archived_customer',
        fix: { action: 'update', userId: archived.id, changes: { role: 'user' } },
      },
      {
        kind: 'user_left',
        userIds: [left.id],
        fix: { action: 'archive', userId: left.id, seen: { role: 'user' } },
      },
    ])
  })

  it('counts a row without an external id, of whom nobody can say who it is', async () => {
    expect(await compared([], [{ externalId: '', fields: { email: 'a@example.com' } }])).toMatchObject([
      { kind: 'row_without_id', lines: [2], fix: null },
    ])
  })

  it('comes to rest after a few rounds of its fixes, but for what the partner refuses', async () => {
    const ids = fc.constantFrom('A', 'B', 'C', 'D', '')
    const names = fc.constantFrom('Maier', 'Bauer', 'MAIER', '')
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ external_user_id: ids, last_name: names, role: fc.constantFrom('user', 'guest') }),
          { maxLength: 6 },
        ),
        fc.array(fc.record({ externalId: ids, name: names, mail: fc.nat({ max: 7 }) }), { maxLength: 6 }),
        async (people, file) => {
          let users = people.map((each, at) =>
            account({ ...each, id: `u${at}`, email: `m${at}@example.com` }),
          )
          const customers = file.map(({ externalId, name, mail }, at) => ({
            externalId,
            fields: {
              email: `m${mail < people.length ? mail : `x${at}`}@example.com`,
              ...(name === '' ? {} : { last_name: name }),
            },
          }))
          let refused: unknown[] = []
          const isTaken = (email: unknown, by: string) =>
            users.some((user) => user.email === email && user.id !== by)
          for (let round = 0; round < 5; round++) {
            refused = []
            for (const { fix } of await compared(users, customers)) {
              if (fix === null) continue
              if (fix.action === 'create') {
                if (isTaken(fix.user.email, '')) refused.push(fix)
                else users = [...users, account({ last_name: null, ...fix.user, id: `n${users.length}` })]
                continue
              }
              const changes: Partial<UserAccount> = fix.action === 'archive' ? { role: 'guest' } : fix.changes
              const user = users.find(({ id }) => id === fix.userId)!
              const isSeen = conflictsOf(user, changes as never, fix.seen).length === 0
              if (!isSeen || (changes.email !== undefined && isTaken(changes.email, user.id)))
                refused.push(fix)
              else users = users.map((each) => (each === user ? { ...user, ...changes } : each))
            }
          }
          const left = (await compared(users, customers)).flatMap(({ fix }) => (fix === null ? [] : [fix]))
          expect(left).toEqual(refused)
        },
      ),
      { numRuns: 200 },
    )
  })
})

async function journalFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-journal-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return join(folder, 'customers.csv.journal')
}

describe('a journal', () => {
  it('goes on with a run that was cut off anywhere, and begins anew after one that ended', async () => {
    const file = await journalFile()
    const first = await openJournal(file)
    expect(first.isContinued).toBe(false)
    await first.begin('a')
    await first.end('a', 'done')
    await first.begin('b')
    await first.close()
    await appendFile(file, '{"key":"c","st')
    const second = await openJournal(file)
    expect(second.isContinued).toBe(true)
    expect(['a', 'b', 'c'].map(second.resultOf)).toEqual(['done', null, null])
    await second.end('b', 'failed')
    await second.finish()
    await second.close()
    const third = await openJournal(file)
    expect([third.isContinued, third.resultOf('a')]).toEqual([false, null])
    await third.close()
  })

  it('is for its owner, and holds nobody', async () => {
    const file = await journalFile()
    const journal = await openJournal(file)
    await journal.begin(journalKey({ email: 'ada@example.com' }))
    await journal.close()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readFile(file, 'utf8')).not.toContain('ada')
  })
})

describe('putting right', () => {
  const finding = (userId: string): Finding => ({
    kind: 'user_left',
    externalId: 'C',
    userIds: [userId],
    lines: [],
    differences: [],
    fix: { action: 'archive', userId, seen: {} },
    note: '',
  })
  const findings = ['a', 'b', 'c', 'd'].map(finding)

  async function applied(
    file: string,
    answer: (userId: string, attempt: number) => SendOutcome | Error,
    signal: AbortSignal = never,
  ) {
    const journal = await openJournal(file)
    const sent: string[] = []
    const refused: string[] = []
    const slept: number[] = []
    try {
      const report = await applyFixes({
        findings,
        journal,
        signal,
        clock: { sleep: async (ms) => void slept.push(ms) },
        send: async (fix) => {
          const id = fix.action === 'create' ? '' : fix.userId
          const outcome = answer(id, sent.filter((each) => each === id).length + 1)
          sent.push(id)
          if (outcome instanceof Error) throw outcome
          return outcome
        },
        onProgress: () => {},
        onRefused: (_, problem) => refused.push(problem),
      })
      return { report, sent, refused, slept }
    } finally {
      await journal.close()
    }
  }
  const done: SendOutcome = { kind: 'done' }

  it('does one after the other, and tells what is refused', async () => {
    const { report, sent, refused } = await applied(await journalFile(), (id) =>
      id === 'b' ? { kind: 'refused', problem: 'no' } : done,
    )
    expect(report).toEqual({ done: 3, refused: 1, doneBefore: 0, stopped: null })
    expect([sent, refused]).toEqual([['a', 'b', 'c', 'd'], ['no']])
  })

  it('waits as long as a 429 in the middle asks for, and goes on', async () => {
    const later: SendOutcome = { kind: 'later', problem: 'too many requests', waitMs: 90_000 }
    const { report, sent, slept } = await applied(await journalFile(), (id, attempt) =>
      id === 'c' && attempt < 3 ? later : done,
    )
    expect(report).toMatchObject({ done: 4, stopped: null })
    expect(sent).toEqual(['a', 'b', 'c', 'c', 'c', 'd'])
    expect(slept).toEqual([90_000, 90_000])
  })

  it('ends early when it is told to wait for ever, and the next run goes on there', async () => {
    const file = await journalFile()
    const later: SendOutcome = { kind: 'later', problem: 'away', waitMs: null }
    const first = await applied(file, (id) => (id === 'c' ? later : done))
    expect(first.report).toEqual({ done: 2, refused: 0, doneBefore: 0, stopped: 'away' })
    const second = await applied(file, () => done)
    expect(second.report).toEqual({ done: 2, refused: 0, doneBefore: 2, stopped: null })
    expect(second.sent).toEqual(['c', 'd'])
  })

  it('stops between two changes, or in the middle of one, and the next run repeats that one', async () => {
    const file = await journalFile()
    const stop = new AbortController()
    const first = await applied(
      file,
      (id) => {
        if (id !== 'b') return done
        stop.abort()
        return new Error('aborted')
      },
      stop.signal,
    )
    expect(first.report).toMatchObject({ done: 1, stopped: 'stopped' })
    expect((await applied(file, () => done)).sent).toEqual(['b', 'c', 'd'])
  })
})
