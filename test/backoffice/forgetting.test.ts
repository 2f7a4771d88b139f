import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Alert } from '../../src/alerts/alert.ts'
import { openAuditTrail } from '../../src/backoffice/audit-trail.ts'
import { createForgetting, type ForgettingPart, type PartnerFacts } from '../../src/backoffice/forgetting.ts'
import { createPerson, mentions, type Person } from '../../src/backoffice/person.ts'
import { createManualClock } from '../manual-clock.ts'
import { alertFixture } from '../storage/fixtures.ts'
import { ann, entryFixture, memoryStore } from './audit-fixtures.ts'

const never = new AbortController().signal
const unknown: PartnerFacts = { state: 'gone', deviceIds: [], name: null, email: null, externalId: null }

const facts = {
  userId: 'u-1',
  deviceIds: ['d-1'],
  names: ['Anna Huber', 'Anna'],
  emails: ['anna@example.com'],
  externalIds: ['17', ''],
  fingerprints: ['f1'],
}

describe('a person', () => {
  it.each([
    ['u-1', true],
    ['USER U-1!', true],
    ['device/u-1/heat_pump/d-1', true],
    ['{user_id="u-1"}', true],
    ['u-12', false],
    ['xu-1', false],
    ['u-1-2', false],
    ["Anna Huber's boiler", true],
    ['Anna', false],
    ['Hanna Huber', false],
    ['mail to <anna@example.com>', true],
    ['joanna@example.com', false],
    ['17', true],
    ['17 devices', false],
    ['', false],
  ])('is in %j: %j', (text, expected) => {
    expect(createPerson(facts).isIn(text)).toBe(expected)
  })

  it('is looked for in every text of a value, its keys included', () => {
    const person = createPerson(facts)
    expect(person.isWithin({ a: [{ b: 'of u-1' }] })).toBe(true)
    expect(person.isWithin({ 'u-1': 1 })).toBe(true)
    expect(person.isWithin({ a: [17, null, true, 'x'] })).toBe(false)
  })

  it('is nobody else where a pattern would be', () => {
    expect(mentions('uxx1', ['u..1'])).toBe(false)
    expect(mentions('of u..1', ['u..1'])).toBe(true)
    expect(mentions('a', [''])).toBe(false)
    expect(mentions('a', [])).toBe(false)
  })
})

async function open(
  parts: readonly ForgettingPart[],
  { alerts = [], partner = unknown }: { alerts?: readonly Alert[]; partner?: PartnerFacts } = {},
) {
  const store = memoryStore()
  const clock = createManualClock()
  const trail = await openAuditTrail(store, {
    clock,
    events: { onRecord: () => undefined, onFailure: () => undefined },
  })
  let traces = 0
  let failsToRemove = false
  const forgetting = createForgetting({
    trail,
    parts,
    alerts: () => alerts,
    askPartner: async () => partner,
    async removeTraces() {
      if (failsToRemove) throw new Error('disk full')
      traces++
    },
  })
  return {
    ...{ store, trail, forgetting },
    traces: () => traces,
    failToRemove(fails: boolean) {
      failsToRemove = fails
    },
  }
}

/** Holds ids; asked about the person, it answers by them. */
function part(
  name: string,
  held: string[],
): ForgettingPart & { held: string[]; fails: boolean; asked: Person[] } {
  const self = {
    name,
    held,
    fails: false,
    asked: [] as Person[],
    count: (person: Person) => self.held.filter(person.isIn).length,
    async forget(person: Person) {
      self.asked.push(person)
      if (self.fails) throw new Error('disk full')
      const count = self.count(person)
      self.held = self.held.filter((text) => !person.isIn(text))
      return count
    },
  }
  return self
}

const alert = alertFixture({
  fingerprint: 'f1',
  subject: { kind: 'device', userId: 'u-1', deviceType: 'heat_pump', deviceId: 'd-1' },
  affected: { externalUserId: 'C-1', name: 'Anna Huber', email: 'anna@example.com', model: null },
})

describe('forgetting', () => {
  it('asks every part, of all that is known of the person from alerts, partner and trail', async () => {
    const links = part('links', ['u-1', 'd-1', 'd-2', 'd-3', 'd-4', 'anna@example.com', 'C-1', 'u-2'])
    const partner = { ...unknown, state: 'exists' as const, deviceIds: ['d-2'] }
    const { forgetting, trail, traces } = await open([links], { alerts: [alert], partner })
    await trail.record(entryFixture({ target: { user: 'u-1', device: 'd-3' } }))
    await trail.record(entryFixture({ target: { user: 'u-2', device: 'd-4' } }))
    await trail.record(entryFixture({ target: { silence: 's' }, detail: { comment: 'd-3 is replaced' } }))
    await trail.record(entryFixture({ target: { alert: 'f1' } }))
    expect(await forgetting.preview('u-1', never)).toMatchObject({
      parts: [
        { name: 'links', count: 6 },
        { name: 'audit records', count: 3 },
      ],
      partner: 'exists',
      digest: null,
    })
    expect(links.held).toHaveLength(8)
    expect(traces()).toBe(0)
    await forgetting.forget('u-1', ann, never)
    expect(links.held).toEqual(['d-4', 'u-2'])
    expect(traces()).toBe(1)
    expect(await trail.verify()).toMatchObject({ erased: 3, findings: [] })
  })

  it('leaves in the trail that it was done, by whom, and a digest that who knows the id can check', async () => {
    const { forgetting, store } = await open([part('links', ['u-1'])])
    const { digest } = await forgetting.forget('u-1', ann, never)
    const [salt = '', sum] = digest!.split(':')
    expect(sum).toBe(hash('sha256', `${salt}u-1`))
    expect(store.records.map(({ action, result, actor }) => [action, result, actor.name])).toEqual([
      ['user.forget', 'begun', 'ann'],
      ['user.forget', 'ok', 'ann'],
    ])
    expect(store.records[1]?.about?.target).toEqual({ user_digest: digest })
    expect(store.records[1]?.about?.detail).toMatchObject({ erased: { links: 1 }, is_complete: true })
    expect(JSON.stringify(store.records)).not.toContain('u-1')
    expect((await forgetting.forget('u-1', ann, never)).digest).not.toBe(digest)
  })

  it('does nothing when it cannot be recorded', async () => {
    const links = part('links', ['u-1'])
    const { forgetting, store } = await open([links])
    store.failure = new Error('disk full')
    await expect(forgetting.forget('u-1', ann, never)).rejects.toMatchObject({ name: 'AuditError' })
    expect(links.held).toEqual(['u-1'])
  })

  it('goes on when a part fails, says so, and does the rest when it is asked again', async () => {
    const [first, second, third] = [part('a', ['d-1']), part('b', ['d-1', 'C-1']), part('c', ['u-1'])]
    const alerts = [alert]
    const { forgetting, store, trail } = await open([first, second, third], { alerts })
    await trail.record(entryFixture({ target: { user: 'u-1' } }))
    second.fails = true
    await expect(forgetting.forget('u-1', ann, never)).rejects.toMatchObject({
      name: 'ForgettingError',
      message: 'not all of it could be erased: ask again when the cause is mended',
    })
    expect([first.held, second.held, third.held]).toEqual([[], ['d-1', 'C-1'], []])
    expect(store.records.at(-1)).toMatchObject({ action: 'user.forget', result: 'failed' })
    expect(await trail.verify()).toMatchObject({ erased: 1, findings: [] })
    // What told of the device is gone by now.
    alerts.pop()
    second.fails = false
    await forgetting.forget('u-1', ann, never)
    expect(second.held).toEqual([])
    expect(second.asked.at(-1)?.fingerprints).toEqual(new Set(['f1']))
    expect(await trail.verify()).toMatchObject({ findings: [] })
    // Then it is forgotten here, too.
    await forgetting.forget('u-1', ann, never)
    expect(second.asked.at(-1)?.fingerprints).toEqual(new Set())
  })

  it('is not done while bytes of it may be left', async () => {
    const world = await open([])
    world.failToRemove(true)
    await expect(world.forgetting.forget('u-1', ann, never)).rejects.toMatchObject({
      name: 'ForgettingError',
    })
    world.failToRemove(false)
    await expect(world.forgetting.forget('u-1', ann, never)).resolves.toBeDefined()
  })

  it('says what the partner says, and what stays', async () => {
    const stubborn = { ...part('silences', []), left: () => ['one stays'] }
    for (const [state, words] of [
      ['exists', 'still exists at the partner'],
      ['unread', 'could not be asked'],
    ] as const) {
      const { forgetting } = await open([stubborn], { partner: { ...unknown, state } })
      const { warnings } = await forgetting.preview('u-1', never)
      expect(warnings[0]).toContain(words)
      expect(warnings[1]).toBe('one stays')
    }
    const { forgetting } = await open([part('a', [])])
    expect((await forgetting.preview('u-1', never)).warnings).toEqual([])
  })
})
