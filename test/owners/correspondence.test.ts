import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  day,
  holder,
  hour,
  minute,
  type Neighbourhood,
  startNeighbourhood,
  tokenIn,
} from './neighbourhood.ts'

const vienna = (at: number) =>
  new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone: 'Europe/Vienna', hourCycle: 'h23' },
    ...{ day: '2-digit', month: '2-digit', hour: '2-digit', minute: '2-digit' },
  }).format(at)

const heatPump = 'device-0-0'
const inverter = 'device-0-1'

describe('mail to an owner', () => {
  it('goes out when the alert has fired for long enough, once', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(50 * minute)
    expect(home.sent).toEqual([])
    await home.pass(30 * minute)
    expect(home.sent).toHaveLength(1)
    expect(home.sent[0]).toMatchObject({
      to: 'owner0@home.example',
      mail: { subject: 'Ihre Wärmepumpe ist nicht mehr verbunden' },
    })
    await home.pass(2 * day)
    expect(home.sent).toHaveLength(1)
    expect(home.log).toEqual(['sent'])
  })

  it('is about all that is wrong in one home, with a link for each', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump, inverter)
    await home.pass(2 * hour)
    expect(home.sent).toHaveLength(1)
    const { text, subject } = home.sent[0]!.mail
    expect(subject).toBe('Mehrere Ihrer Geräte sind nicht mehr verbunden')
    for (const id of [heatPump, inverter]) expect(text).toContain(home.alertOf(id)?.episode)
  })

  it('is not sent when the device is well again as it is read for it, and that reading counts', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(hour)
    home.heal(heatPump)
    home.clock.jump(10 * minute)
    await home.tend()
    expect(home.sent).toEqual([])
    expect(home.log).toEqual([])
    expect(home.alertOf(heatPump)?.state).toBe('recovering')
  })

  it('waits while the device or the user cannot be read', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(hour)
    home.unread.add(heatPump)
    await home.pass(hour)
    expect(home.sent).toEqual([])
    home.unread.clear()
    const { readUser } = home
    home.readUser = () => 'unread'
    await home.pass(hour)
    expect(home.sent).toEqual([])
    expect(home.log).toEqual(['skipped: unread'])
    home.readUser = readUser
    await home.pass(hour)
    expect(home.sent).toHaveLength(1)
  })

  it('waits while something holds the alert back', async () => {
    const home = await startNeighbourhood()
    home.held = true
    home.breakDown(heatPump)
    await home.pass(5 * day)
    expect(home.sent).toEqual([])
    expect(home.staffHas()).toEqual([])
    home.held = false
    // Late, but first: nobody else is told before they were.
    await home.pass(hour)
    expect(home.sent).toHaveLength(1)
    expect(home.staffHas()).toEqual([])
  })

  it('is one in the configured time, whatever else breaks, and then tells all that is still wrong', async () => {
    const home = await startNeighbourhood({ config: { escalateAfterMs: 30 * day } })
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    home.breakDown(inverter)
    await home.pass(7 * day - 3 * hour)
    expect(home.sent).toHaveLength(1)
    await home.pass(day)
    expect(home.sent).toHaveLength(2)
    expect(home.sent[1]!.now - home.sent[0]!.now).toBeGreaterThanOrEqual(7 * day)
    for (const id of [heatPump, inverter])
      expect(home.sent[1]!.mail.text).toContain(home.alertOf(id)?.episode)
    await home.pass(20 * day, hour)
    expect(home.sent).toHaveLength(2)
  })

  it('is one for each of two owners', async () => {
    const home = await startNeighbourhood({ users: [{}, {}] })
    home.breakDown(heatPump, 'device-1-0')
    await home.pass(2 * hour)
    expect(home.sent.map(({ to }) => to)).toEqual(['owner0@home.example', 'owner1@home.example'])
  })
})

describe('quiet hours', () => {
  it.each([
    // The night in which clocks are set forward has 23 hours, the one in which they are set back 25.
    ['in which clocks are set forward', Date.UTC(2026, 2, 28, 20), '29/03, 08:00', Date.UTC(2026, 2, 29, 6)],
    ['in which clocks are set back', Date.UTC(2026, 9, 24, 19), '25/10, 08:00', Date.UTC(2026, 9, 25, 7)],
    ['of any other day', Date.UTC(2026, 5, 1, 19), '02/06, 08:00', Date.UTC(2026, 5, 2, 6)],
  ])('end with the morning of a night %s', async (_, startAt, wall, at) => {
    const home = await startNeighbourhood({ startAt })
    home.breakDown(heatPump)
    await home.pass(16 * hour, minute)
    expect(home.sent).toHaveLength(1)
    expect(vienna(home.sent[0]!.now)).toBe(wall)
    expect(home.sent[0]!.now - at).toBeLessThan(minute)
    expect(home.log).toEqual(['skipped: quiet_hours', 'sent'])
  })

  it('are those of the clock where the owner lives, else of the configured zone', async () => {
    const home = await startNeighbourhood({
      startAt: Date.UTC(2026, 5, 1, 18, 30),
      config: { timeZone: 'America/New_York' },
      users: [{ country: 'FI' }, { country: 'GB' }, { country: null }],
    })
    home.breakDown(heatPump, 'device-1-0', 'device-2-0')
    await home.pass(2 * hour)
    expect(home.sent.map(({ to }) => to)).toEqual(['owner2@home.example'])
    // At 18:30 UTC it is 21:30 in Helsinki, and 19:30 in London.
    const early = await startNeighbourhood({
      startAt: Date.UTC(2026, 5, 1, 17, 10),
      users: [{ country: 'FI' }, { country: 'GB' }],
    })
    early.breakDown(heatPump, 'device-1-0')
    await early.pass(100 * minute)
    expect(early.sent.map(({ to }) => to)).toEqual(['owner1@home.example'])
  })

  it('hold back also what the mail server did not take before', async () => {
    const home = await startNeighbourhood({ startAt: Date.UTC(2026, 5, 1, 16, 40) })
    home.post = async () => ({ kind: 'retry', reason: 'busy', isServers: true })
    home.breakDown(heatPump)
    await home.pass(80 * minute)
    const tries = home.sent.length
    expect(tries).toBeGreaterThan(0)
    home.post = async () => ({ kind: 'ok' })
    await home.pass(11 * hour)
    expect(home.sent).toHaveLength(tries)
    await home.pass(2 * hour)
    expect(home.sent).toHaveLength(tries + 1)
    expect(new Set(home.sent.map(({ letterId }) => letterId)).size).toBe(1)
  })

  it('may be none', async () => {
    const home = await startNeighbourhood({ startAt: Date.UTC(2026, 5, 1, 22), config: { quietHours: null } })
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    expect(home.sent).toHaveLength(1)
  })
})

describe('an outage', () => {
  it('keeps the owners of its devices from being written to, until an hour after it', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump, inverter)
    await home.outage('Daikin', true)
    await home.pass(3 * hour)
    // Of the other manufacturer alone, and with one link.
    expect(home.sent).toHaveLength(1)
    expect(home.sent[0]!.mail.text).not.toContain(home.alertOf(heatPump)?.episode)
    expect(home.log).toEqual(['skipped: outage', 'sent'])
  })

  it.each(['Daikin', null])(
    'lets them be written to when it has been over for an hour: %s',
    async (whose) => {
      const home = await startNeighbourhood()
      home.breakDown(heatPump)
      await home.outage(whose, true)
      await home.pass(3 * hour)
      await home.outage(whose, false)
      const endedAt = home.clock.now()
      await home.pass(30 * minute)
      // The book lets go of what has ended, and so does a restart.
      home.book().prune(home.clock.now())
      await home.restart()
      await home.pass(3 * hour)
      expect(home.sent).toHaveLength(1)
      expect(home.sent[0]!.now - endedAt).toBeGreaterThanOrEqual(hour)
      expect(home.sent[0]!.now - endedAt).toBeLessThan(hour + 20 * minute)
    },
  )

  it.each(['onRecheck', 'onLink'] as const)(
    'that begins while a mail is being prepared still stops it: %s',
    async (when) => {
      const home = await startNeighbourhood()
      home.breakDown(heatPump)
      await home.pass(hour)
      home[when] = async () => {
        home[when] = async () => {}
        await home.outage('Daikin', true)
      }
      await home.pass(hour)
      expect(home.sent).toEqual([])
    },
  )
})

describe('an owner who wants no mail', () => {
  it('gets none any more, staff is told, and a restart changes nothing', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    const { desk } = home.contacts()
    const token = tokenIn(home.sent[0]!)
    expect(await desk.lookUnsubscribe(token)).toEqual({ subscribed: true })
    expect(await desk.unsubscribe(token, holder)).toBe(true)
    expect(await desk.unsubscribe(token, holder)).toBe(true)
    expect(await desk.lookUnsubscribe(token)).toEqual({ subscribed: false })
    expect(home.recorded.slice(0, 2)).toMatchObject([
      { action: 'owner.unsubscribe', result: 'begun', actor: holder },
      { action: 'owner.unsubscribe', result: 'ok', actor: holder },
    ])
    expect(JSON.stringify(home.recorded)).not.toContain(token)
    expect(home.contacts().counts()).toEqual({ subscribed: 0, unsubscribed: 1 })
    home.heal(heatPump)
    await home.pass(8 * day, hour)
    await home.restart()
    home.breakDown(heatPump)
    await home.pass(day)
    expect(home.sent).toHaveLength(1)
    expect(home.store.letters.size).toBe(0)
    expect(home.staffHas()).toEqual(['Daikin heat pump: its owner wants no mail about it'])
  })

  it('is heard between two attempts, and while one is being prepared', async () => {
    const home = await startNeighbourhood()
    home.post = async () => ({ kind: 'retry', reason: 'busy', isServers: false })
    home.breakDown(heatPump)
    await home.pass(80 * minute)
    const tries = home.sent.length
    expect(tries).toBeGreaterThan(0)
    home.onRecheck = async () => void (await home.unsubscribe(home.sent[0]!))
    home.post = async () => ({ kind: 'ok' })
    await home.pass(3 * hour)
    expect(home.sent).toHaveLength(tries)
    expect(home.log).toContain('staff: unsubscribed')
  })

  it('is known by nothing but a digest, and still after everything else was erased', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    await home.unsubscribe(home.sent[0]!)
    expect(JSON.stringify([...home.store.contacts])).not.toMatch(/user-0|owner0|Anna/)
    expect(home.correspondence().countOf('user-0')).toBe(1)
    expect(await home.correspondence().forget('user-0')).toBe(1)
    expect(await home.correspondence().forget('user-0')).toBe(0)
    expect(home.store.letters.size).toBe(0)
    await home.restart()
    await home.pass(10 * day, hour)
    expect(home.sent).toHaveLength(1)
    expect(await home.contacts().desk.lookUnsubscribe(tokenIn(home.sent[0]!))).toEqual({ subscribed: false })
  })

  it('needs a token that was made for it', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    const { desk } = home.contacts()
    const token = tokenIn(home.sent[0]!)
    const [contact] = home.store.contacts.values()
    const expiresAt = home.clock.now() + day
    const others = [
      ...['', 'x', `${token}x`, token.slice(0, -1)],
      home.signer.sign({ purpose: 'owner', id: contact!.id, expiresAt }),
      home.signer.sign({ purpose: 'unsubscribe', id: '00000000-0000-4000-8000-00000000dead', expiresAt }),
    ]
    for (const other of others) {
      expect(await desk.lookUnsubscribe(other)).toBeNull()
      expect(await desk.unsubscribe(other, holder)).toBe(false)
    }
    expect(await desk.lookUnsubscribe(token)).toEqual({ subscribed: true })
    home.clock.jump(401 * day)
    expect(await desk.lookUnsubscribe(token)).toBeNull()
  })

  it('is forgotten when no link leads to them any more, unless they wanted no mail', async () => {
    const home = await startNeighbourhood({ users: [{}, {}] })
    home.breakDown(heatPump, 'device-1-0')
    await home.pass(2 * hour)
    await home.unsubscribe(home.sent[0]!)
    home.heal(heatPump, 'device-1-0')
    await home.pass(402 * day, 20 * day)
    expect([...home.store.contacts.values()].map(({ unsubscribedAt }) => unsubscribedAt !== null)).toEqual([
      true,
    ])
  })
})

describe('staff', () => {
  it('is told when the owner has done nothing for days, and when it is well', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    const writtenAt = new Date(home.sent[0]!.now).toISOString().slice(0, 16).replace('T', ' ')
    await home.pass(3 * day - 2 * hour)
    expect(home.staffHas()).toEqual([])
    await home.pass(2 * hour)
    expect(home.staffHas()).toEqual([
      `Daikin heat pump: its owner was written to at ${writtenAt}Z, and it is still not well`,
    ])
    const [alert] = [...home.book().all()].filter(({ labels }) => labels['alertname'] === 'OwnerDidNothing')
    expect(alert?.labels).toEqual({
      ...home.alertOf(heatPump)?.labels,
      alertname: 'OwnerDidNothing',
      rule: 'DeviceUnauthenticated',
    })
    await home.restart()
    await home.pass(day)
    expect(home.staffHas()).toHaveLength(1)
    home.heal(heatPump)
    await home.pass(hour)
    expect(home.staffHas()).toEqual([])
    expect(home.store.letters.size).toBe(0)
    expect(home.log).toEqual(['sent', 'staff: no_answer'])
  })

  it.each([
    ['no_address', 'has no e-mail address', { email: null }],
    ['no_address', 'has no e-mail address', { email: 'a@b.example\r\nBcc: c@d.example' }],
    ['no_address', 'has no e-mail address', { email: 'a@b.example, c@d.example' }],
    ['no_address', 'has no e-mail address', { email: 'A <a@b.example>' }],
    ['not_a_customer', 'does not belong to a customer', { role: 'staff' }],
    ['not_a_customer', 'does not belong to a customer', { role: null }],
  ])('is told at once of an owner who cannot be written to: %s, %s', async (reason, words, fields) => {
    const home = await startNeighbourhood({ users: [fields] })
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    expect(home.sent).toEqual([])
    expect(home.staffHas()).toEqual([expect.stringContaining(words)])
    await home.pass(day)
    expect(home.log).toEqual([`skipped: ${reason}`, `staff: ${reason}`])
  })

  it('is told at once when the mail server takes nothing for the address', async () => {
    const home = await startNeighbourhood()
    home.post = async () => ({ kind: 'refused', reason: 'no such user' })
    home.breakDown(heatPump)
    await home.pass(day)
    expect(home.sent).toHaveLength(1)
    expect(home.staffHas()).toEqual([expect.stringContaining('takes no mail')])
    expect(home.log).toEqual(['refused: no such user', 'staff: refused'])
  })

  it('is told when another mail was too recent for all this time', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    home.heal(heatPump)
    home.breakDown(inverter)
    await home.pass(3 * day)
    expect(home.staffHas()).toEqual([])
    await home.pass(3 * hour)
    expect(home.staffHas()).toEqual(['Fronius inverter: its owner could not be written to in all this time'])
    expect(home.sent).toHaveLength(1)
  })

  it('is told when the mail server is away for days, which is asked again and again', async () => {
    const home = await startNeighbourhood({ config: { quietHours: null } })
    home.post = async () => ({ kind: 'retry', reason: 'network', isServers: true })
    home.breakDown(heatPump)
    await home.pass(5 * hour)
    const early = home.sent.length
    expect(early).toBeGreaterThan(4)
    expect(early).toBeLessThan(15)
    await home.pass(3 * day)
    expect(home.staffHas()).toEqual([expect.stringContaining('could not be written to')])
    home.post = async () => ({ kind: 'ok' })
    const tries = home.sent.length
    await home.pass(day)
    expect(home.sent).toHaveLength(tries)
  })

  it('is not told while an outage explains it', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    await home.pass(2 * hour)
    await home.outage('Daikin', true)
    await home.pass(4 * day)
    expect(home.staffHas()).toEqual([])
    await home.outage('Daikin', false)
    await home.pass(2 * hour)
    expect(home.staffHas()).toHaveLength(1)
  })
})

describe('a mail server that does not take it now', () => {
  it('is no way to two mails: what was begun waits when another one has gone out meanwhile', async () => {
    const home = await startNeighbourhood({ config: { escalateAfterMs: 30 * day } })
    home.post = async () => ({ kind: 'retry', reason: 'busy', isServers: false })
    home.breakDown(heatPump)
    await home.pass(80 * minute)
    const begun = home.sent[0]!.letterId
    await home.outage('Daikin', true)
    home.breakDown(inverter)
    home.post = async () => ({ kind: 'ok' })
    await home.pass(8 * day)
    const other = home.sent.at(-1)!
    expect(other.letterId).not.toBe(begun)
    await home.outage('Daikin', false)
    const { length } = home.sent
    await home.pass(5 * day)
    expect(home.sent).toHaveLength(length)
    await home.pass(3 * day)
    expect(home.sent.slice(length).map(({ letterId }) => letterId)).toEqual([begun])
    expect(home.sent.at(-1)!.now - other.now).toBeGreaterThanOrEqual(7 * day)
  })

  it('gets what is wrong by then, and what could not be told is no reason to send it again', async () => {
    const home = await startNeighbourhood({ config: { escalateAfterMs: 30 * day } })
    home.post = async () => ({ kind: 'retry', reason: 'busy', isServers: false })
    home.breakDown(heatPump, inverter)
    await home.pass(80 * minute)
    home.unread.add(inverter)
    home.post = async () => ({ kind: 'ok' })
    await home.pass(2 * hour)
    const { length } = home.sent
    expect(home.sent.at(-1)!.mail.text).not.toContain(home.alertOf(inverter)?.episode)
    home.unread.clear()
    await home.pass(6 * day)
    expect(home.sent).toHaveLength(length)
    await home.pass(2 * day)
    expect(home.sent).toHaveLength(length + 1)
    expect(home.sent.at(-1)!.mail.text).toContain(home.alertOf(inverter)?.episode)
    expect(home.sent.at(-1)!.letterId).not.toBe(home.sent[0]!.letterId)
  })

  it('holds up nobody when it is about one mail, and everybody when it is away', async () => {
    const home = await startNeighbourhood({ users: [{}, {}], devicesEach: 1 })
    home.post = async ({ to }) =>
      to === 'owner0@home.example'
        ? { kind: 'retry', reason: 'greylisted', isServers: false }
        : { kind: 'ok' }
    home.breakDown(heatPump, 'device-1-0')
    await home.pass(61 * minute, minute)
    expect(home.sent.map(({ to }) => to)).toEqual(['owner0@home.example', 'owner1@home.example'])
    const away = await startNeighbourhood({ users: [{}, {}], devicesEach: 1 })
    away.post = async () => ({ kind: 'retry', reason: 'network', isServers: true })
    away.breakDown(heatPump, 'device-1-0')
    await away.pass(61 * minute, minute)
    expect(away.sent.map(({ to }) => to)).toEqual(['owner0@home.example'])
  })
})

describe('a kill', () => {
  class Killed extends Error {}

  it.each(['before the mail is handed over', 'after it'])(
    '%s leads to one mail, sent again as the same',
    async (when) => {
      const home = await startNeighbourhood()
      home.breakDown(heatPump)
      let arrived = 0
      home.post = async () => {
        if (when === 'after it') arrived++
        // What comes after is never saved.
        home.store.beforeSave = () => {
          throw new Killed()
        }
        throw new Killed()
      }
      await home.pass(3 * hour, 70 * minute)
      expect(home.sent).toHaveLength(1)
      home.store.beforeSave = () => {}
      home.post = async () => {
        arrived++
        return { kind: 'ok' }
      }
      await home.restart()
      await home.pass(2 * day)
      expect(home.sent).toHaveLength(2)
      expect(home.sent[1]!.letterId).toBe(home.sent[0]!.letterId)
      expect(arrived).toBe(when === 'after it' ? 2 : 1)
      expect(tokenIn(home.sent[1]!)).not.toBe('')
    },
  )

  it('before anything was saved leaves nothing behind', async () => {
    const home = await startNeighbourhood()
    home.breakDown(heatPump)
    home.store.beforeSave = () => {
      throw new Killed()
    }
    await home.pass(2 * hour)
    expect(home.sent).toEqual([])
    expect(home.log).toContain('not saved')
    home.store.beforeSave = () => {}
    await home.restart()
    await home.pass(20 * minute)
    expect(home.sent).toHaveLength(1)
  })

  it('is not needed: a disk that is full after the mail was sent repeats nothing and stops everything', async () => {
    const home = await startNeighbourhood({ users: [{}, {}], devicesEach: 1 })
    home.breakDown(heatPump, 'device-1-0')
    home.post = async () => {
      home.store.beforeSave = () => {
        throw new Error('disk full')
      }
      return { kind: 'ok' }
    }
    await home.pass(5 * hour)
    expect(home.sent).toHaveLength(1)
    home.store.beforeSave = () => {}
    home.post = async () => ({ kind: 'ok' })
    await home.pass(hour)
    expect(home.sent.map(({ to }) => to)).toEqual(['owner0@home.example', 'owner1@home.example'])
    await home.restart()
    await home.pass(day)
    expect(home.sent).toHaveLength(2)
  })
})

describe('for people who ask', () => {
  it('is said what is done about an alert', async () => {
    const home = await startNeighbourhood({ startAt: Date.UTC(2026, 5, 1, 17) })
    const says = () => home.correspondence().explain(home.alertOf(heatPump)!)
    home.breakDown(heatPump)
    await home.pass(10 * minute)
    expect(says()).toBe('is written to from 2026-06-01 18:10Z on')
    await home.pass(70 * minute)
    expect(says()).toBe('is written to from 2026-06-02 06:00Z on: it is night there')
    home.held = true
    expect(says()).toBe('is not written to while it is held back')
    home.held = false
    await home.outage('Daikin', true)
    expect(says()).toBe('is not written to: more than this device has trouble, or had a moment ago')
    await home.outage('Daikin', false)
    await home.pass(13 * hour)
    expect(says()).toMatch(
      /^was written to at 2026-06-02 06:\d\dZ; staff at 2026-06-05 06:\d\dZ if it still fires$/,
    )
    await home.pass(4 * day)
    expect(says()).toBe('staff has it: see OwnerDidNothing')
  })
})

// ---- whatever happens

type Step =
  | { readonly do: 'pass'; readonly minutes: number }
  | { readonly do: 'break' | 'heal' | 'lose sight of'; readonly device: string }
  | { readonly do: 'outage'; readonly whose: string | null; readonly isActive: boolean }
  | { readonly do: 'unsubscribe'; readonly mail: number }
  | { readonly do: 'mail server'; readonly answers: 'ok' | 'busy' | 'away' | 'refuses' | 'kills' }
  | { readonly do: 'hold'; readonly isHeld: boolean }
  | { readonly do: 'restart' }

const device = fc.constantFrom('device-0-0', 'device-0-1', 'device-1-0', 'device-1-1')
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pass' as const), minutes: fc.integer({ min: 1, max: 3_000 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('break', 'heal', 'lose sight of'), device }) },
  fc.record({
    do: fc.constant('outage' as const),
    whose: fc.constantFrom('Daikin', 'Fronius', null),
    isActive: fc.boolean(),
  }),
  fc.record({ do: fc.constant('unsubscribe' as const), mail: fc.nat(20) }),
  fc.record({
    do: fc.constant('mail server' as const),
    answers: fc.constantFrom('ok', 'ok', 'busy', 'away', 'refuses', 'kills'),
  }),
  fc.record({ do: fc.constant('hold' as const), isHeld: fc.boolean() }),
  fc.record({ do: fc.constant('restart' as const) }),
)

describe('whatever happens', () => {
  it('no owner is written to twice too soon, at night, against their will, or while an outage is behind it', async () => {
    let mails = 0
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 400 }),
        fc.array(steps, { minLength: 10, maxLength: 30 }),
        async (startDay, list) => {
          const home = await startNeighbourhood({
            startAt: Date.UTC(2026, 0, 1, 9) + startDay * day,
            users: [{}, {}],
            config: { everyMs: 2 * day, escalateAfterMs: day },
          })
          const unsubscribed = new Set<string>()
          const outages = new Set<string | null>()
          home.breakDown('device-0-0', 'device-1-1')
          for (const step of list) await play(home, step, { unsubscribed, outages })
          mails += home.sent.length
        },
      ),
      { numRuns: 150 },
    )
    // Or it would say nothing.
    expect(mails).toBeGreaterThan(150)
  }, 60_000)
})

async function play(
  home: Neighbourhood,
  step: Step,
  { unsubscribed, outages }: { unsubscribed: Set<string>; outages: Set<string | null> },
): Promise<void> {
  switch (step.do) {
    case 'pass': {
      const before = home.sent.length
      await home.pass(step.minutes * minute, 30 * minute)
      for (const [index, mail] of home.sent.entries()) {
        if (index < before) continue
        const hourThere = Number(vienna(mail.now).slice(7, 9))
        expect(hourThere, 'the hour on the wall').toBeGreaterThanOrEqual(8)
        expect(hourThere, 'the hour on the wall').toBeLessThan(20)
        expect(unsubscribed).not.toContain(mail.to)
        expect(outages).not.toContain(null)
        // Every link in it is to a device whose manufacturer has no outage.
        for (const manufacturer of outages) expect(mail.mail.text).not.toContain(` von ${manufacturer}`)
        for (const earlier of home.sent.slice(0, index)) {
          if (earlier.to !== mail.to || earlier.letterId === mail.letterId) continue
          expect(mail.now - earlier.now).toBeGreaterThanOrEqual(2 * day)
        }
      }
      return
    }
    case 'break':
      return home.breakDown(step.device)
    case 'heal':
      home.unread.delete(step.device)
      return home.heal(step.device)
    case 'lose sight of':
      return void home.unread.add(step.device)
    case 'outage':
      if (step.isActive) outages.add(step.whose)
      else outages.delete(step.whose)
      return home.outage(step.whose, step.isActive)
    case 'unsubscribe': {
      const mail = home.sent[step.mail]
      if (mail !== undefined && (await home.unsubscribe(mail))) unsubscribed.add(mail.to)
      return
    }
    case 'mail server':
      home.post = async () => {
        if (step.answers === 'busy' || step.answers === 'away')
          return { kind: 'retry', reason: step.answers, isServers: step.answers === 'away' }
        if (step.answers === 'refuses') return { kind: 'refused', reason: 'no' }
        if (step.answers === 'kills') throw new Error('killed')
        return { kind: 'ok' }
      }
      return
    case 'hold':
      home.held = step.isHeld
      return
    case 'restart':
      return home.restart()
    default:
      return step satisfies never
  }
}
