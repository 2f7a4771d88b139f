import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMessage, findLinks, listedAlerts, type Message } from '../../src/notify/message.ts'
import { plainText, webUrl } from '../../src/notify/message-text.ts'
import type { Notification } from '../../src/notify/notification.ts'
import { hostileCase, hostileText } from './hostile.ts'
import { noon, resolvedAlert, sampleAlert, sampleNotification } from './sample.ts'

const minute = 60_000
const day = 86_400_000

function message(
  changes: Partial<Notification> = {},
  options: Partial<Parameters<typeof createMessage>[1]> = {},
): Message {
  return createMessage(sampleNotification(changes), {
    links: new Map(),
    showPersonalData: false,
    moreUrl: null,
    ...options,
  })
}

function many(count: number) {
  return Array.from({ length: count }, (_, index) => sampleAlert(index + 1))
}

describe('a message', () => {
  it('leads with how many of what, by whom, and the rule', () => {
    expect(message().title).toBe('3 heat pumps (Vaillant): DeviceUnauthenticated')
    expect(message({ firing: many(1) }).title).toBe('1 heat pump (Vaillant): DeviceUnauthenticated')
  })

  it('counts kinds of devices apart, and leaves the manufacturer out when there are several', () => {
    const { labels, subject } = sampleAlert(2)
    const inverter = sampleAlert(2, {
      labels: { ...labels, manufacturer: 'Fronius', device_type: 'inverter' },
      subject: { ...subject, kind: 'device', deviceType: 'inverter', deviceId: 'i', userId: 'u' },
    })
    expect(message({ firing: [sampleAlert(1), inverter] }).title).toBe(
      '1 heat pump, 1 inverter: DeviceUnauthenticated',
    )
  })

  it('names a fleet alert by what its labels say', () => {
    const outage = sampleAlert(1, {
      subject: { kind: 'fleet', group: 'Vaillant' },
      labels: { alertname: 'ManufacturerOutage', manufacturer: 'Vaillant', device_type: 'heat_pump' },
    })
    expect(message({ firing: [outage] })).toMatchObject({
      title: 'ManufacturerOutage: Vaillant heat pumps',
      customers: 0,
    })
  })

  it.each([
    [{ manufacturer: 'Daikin', device_type: 'heat_pump', area: 'manufacturer' }, 'X: Daikin heat pumps'],
    [{ device_type: 'wallbox', price_zone: 'AT', team: 'night' }, 'X: wallboxes in price zone AT'],
    [{ manufacturer: 'unknown', device_type: 'inverter' }, 'X: inverters'],
    [{ manufacturer: 'Kia', model: 'unknown' }, 'X: Kia devices'],
    [{ manufacturer: 'Kia', model: 'Kia EV6' }, 'X: Kia EV6 devices'],
    [{ manufacturer: 'other', device_type: 'other' }, 'X: other devices'],
    [{ area: 'service' }, 'X'],
    [{ rule: 'DeviceUnauthenticated' }, 'X: DeviceUnauthenticated'],
  ])(
    'names a fleet alert by what names its group, not by what its rule says of itself: %j',
    (labels, title) => {
      const alert = sampleAlert(1, {
        subject: { kind: 'fleet', group: 'g' },
        labels: { alertname: 'X', severity: 'critical', ...labels },
      })
      expect(message({ firing: [alert] }).title).toBe(title)
    },
  )

  it('does not mention a manufacturer that is not told', () => {
    const alert = sampleAlert(1, { labels: { ...sampleAlert(1).labels, manufacturer: 'unknown' } })
    const told = message({ firing: [alert], groupLabels: { alertname: 'X', manufacturer: 'unknown' } })
    expect(told.title).toBe('1 heat pump: DeviceUnauthenticated')
    expect(told.topic).toBe('Fleet alert: X')
    expect(told.members[0]?.what).toBe('Heat pump aroTHERM plus')
    expect(message({ groupLabels: { alertname: 'X', severity: 'unknown' } }).topic).toBe(
      'Fleet alert: X (severity=unknown)',
    )
  })

  it('counts further rules instead of naming only the first', () => {
    const other = (n: number, alertname: string) =>
      sampleAlert(n, { labels: { ...sampleAlert(n).labels, alertname } })
    expect(message({ firing: [sampleAlert(1), other(2, 'StateStale'), other(3, 'X')] }).title).toBe(
      '3 heat pumps (Vaillant): DeviceUnauthenticated and 2 more rules',
    )
  })

  it('has one topic through the whole life of the group', () => {
    const life = [
      message(),
      message({ reason: 'new alerts', firing: many(7) }),
      message({ reason: 'all resolved', firing: [], resolved: [resolvedAlert(1)] }),
    ]
    expect(new Set(life.map(({ topic }) => topic))).toEqual(
      new Set(['Fleet alert: DeviceUnauthenticated (Vaillant)']),
    )
    expect(message({ groupLabels: {} }).topic).toBe('Fleet alerts')
    expect(message({ groupLabels: { device_type: 'inverter', severity: 'critical' } }).topic).toBe(
      'Fleet alert: (inverters, severity=critical)',
    )
  })

  it('takes the highest severity of what fires', () => {
    const warning = sampleAlert(1, { labels: { ...sampleAlert(1).labels, severity: 'warning' } })
    expect(message({ firing: [warning, sampleAlert(2)] }).severity).toBe('critical')
    expect(message({ firing: [warning], resolved: [resolvedAlert(2)] }).severity).toBe('warning')
  })

  it('says since when, with the day where that is not today', () => {
    expect(message({ firing: [sampleAlert(2), sampleAlert(1)] }).since.text).toBe('11:01 UTC')
    const old = sampleAlert(1, { activeAt: noon - 20 * day })
    expect(message({ firing: [old] }).since.text).toBe('3 Nov, 12:00 UTC')
    const older = sampleAlert(1, { activeAt: noon - 365 * day })
    expect(message({ firing: [older] }).since.text).toBe('23 Nov 2025, 12:00 UTC')
  })

  it('says a summary and a runbook once where members share them, and at each member where they differ', () => {
    expect(message()).toMatchObject({
      summary: 'Vaillant heat pump lost its connection',
      runbookUrl: 'https://docs.example.com/runbooks/unauthenticated',
    })
    const differing = message({
      firing: [1, 2].map((n) => sampleAlert(n, { annotations: { summary: `no news for ${n} h` } })),
    })
    expect(differing.summary).toBeNull()
    expect(differing.members.map(({ notes }) => notes)).toEqual([['no news for 1 h'], ['no news for 2 h']])
  })

  it.each([
    ['first notification', 'First message about this.'],
    ['new alerts', 'More were added since the last message.'],
    ['some resolved', '1 ended since the last message, 3 still firing.'],
    ['repeat', 'Reminder: told before, still firing.'],
    ['all resolved', 'Nothing is firing here any more.'],
    ['resolved before delivery', 'It fired and ended before a message about it could be delivered.'],
  ] as const)('says why it was sent: %s', (reason, why) => {
    expect(message({ reason, resolved: [resolvedAlert(9)] }).why).toBe(why)
  })

  it('tells what to do by what there is to do it with', () => {
    const links = new Map([['f1', { url: 'https://a.example/', validUntil: null }]])
    expect(message({}, { links }).todo).toContain('Open a device’s link')
    expect(message().todo).toBe('Follow the runbook.')
    expect(message({ firing: [sampleAlert(1, { annotations: {} })] }).todo).toBeNull()
  })
})

describe('the members of a message', () => {
  it('are at most ten, then a number and the page that shows all', () => {
    const { members, more } = message({ firing: many(47) }, { moreUrl: 'https://fleet.example.com/' })
    expect(members).toHaveLength(10)
    expect(more).toEqual({ count: 37, url: 'https://fleet.example.com/' })
  })

  it('are the oldest, but the newest when new ones joined', () => {
    const shown = (reason: Notification['reason']) =>
      listedAlerts(sampleNotification({ firing: many(30), reason })).map(({ fingerprint }) => fingerprint)
    expect(shown('repeat').slice(0, 2)).toEqual(['f1', 'f2'])
    expect(shown('new alerts').slice(0, 2)).toEqual(['f30', 'f29'])
  })

  it('leave room for some that ended when that is the news', () => {
    const { members } = message({
      reason: 'some resolved',
      firing: many(30),
      resolved: [40, 41, 42, 43, 44].map((n) => resolvedAlert(n)),
    })
    expect(members.filter(({ state }) => state === 'resolved')).toHaveLength(4)
    expect(members).toHaveLength(10)
  })

  it('each have their own link, which says until when it works', () => {
    const links = new Map([
      ['f1', { url: 'https://a.example/r/1', validUntil: noon + 65 * minute }],
      ['f2', { url: 'https://a.example/r/2', validUntil: null }],
      ['f3', { url: 'javascript:alert(1)', validUntil: null }],
    ])
    const { members } = message({}, { links })
    expect(members.map(({ link }) => link?.url)).toEqual([
      'https://a.example/r/1',
      'https://a.example/r/2',
      undefined,
    ])
    expect(members.map(({ link }) => link?.validUntil?.text)).toEqual(['13:05 UTC', undefined, undefined])
  })

  it('say nothing of the end of a link that works for weeks', () => {
    const dayMs = 24 * 60 * minute
    const links = new Map([
      ['f1', { url: 'https://a.example/r/1', validUntil: noon + 2 * dayMs }],
      ['f2', { url: 'https://a.example/r/2', validUntil: noon + 30 * dayMs }],
    ])
    const { members } = message({}, { links })
    expect(members.slice(0, 2).map(({ link }) => link?.validUntil?.text)).toEqual([
      '25 Nov, 12:00 UTC',
      undefined,
    ])
  })

  it('show the customer’s id, and name and address only to receivers that say so', () => {
    const [hidden] = message().members
    expect(hidden).toMatchObject({ customer: 'K-4701', who: null })
    const [shown] = message({}, { showPersonalData: true }).members
    expect(shown).toMatchObject({ customer: 'K-4701', who: 'Anna Muster 1, anna1@customer.example' })
  })

  it('show the user id where there is no customer id, or where it is an e-mail address', () => {
    for (const externalUserId of [null, 'anna@customer.example']) {
      const alert = sampleAlert(1, { affected: { ...sampleAlert(1).affected, externalUserId } })
      expect(message({ firing: [alert] }).members[0]).toMatchObject({
        customer: null,
        who: 'user 00000000-0000-4000-8000-000000000001',
      })
    }
  })

  it('hide a customer whom a rule’s author wrote into the summary', () => {
    const alert = sampleAlert(1, {
      annotations: { summary: 'Anna Muster 1 (ANNA1@customer.example) lost Maximum' },
      affected: { ...sampleAlert(1).affected },
    })
    expect(message({ firing: [alert] }).summary).toBe('… (…) lost Maximum')
    expect(message({ firing: [alert] }, { showPersonalData: true }).summary).toContain('Anna Muster 1')
  })

  it('that are recovering are still shown as firing', () => {
    const recovering = sampleAlert(1, { state: 'recovering', keepFiringSince: noon })
    expect(message({ firing: [recovering] })).toMatchObject({
      state: 'firing',
      members: [{ state: 'firing' }],
    })
  })

  it('say what is not known about them', () => {
    const alert = sampleAlert(1, { noData: { since: noon, reason: 'poll_failed', evaluations: 2 } })
    expect(message({ firing: [alert] }).members[0]?.notes).toEqual(['could not be read since 12:00 UTC'])
  })

  it('do not repeat the manufacturer that the model’s name holds', () => {
    const what = (model: string | null) =>
      message({ firing: [sampleAlert(1, { affected: { ...sampleAlert(1).affected, model } })] }).members[0]
        ?.what
    expect(what('Vaillant flexoTHERM')).toBe('Heat pump Vaillant flexoTHERM')
    expect(what('aroTHERM')).toBe('Heat pump Vaillant aroTHERM')
    expect(what(null)).toBe('Heat pump Vaillant')
  })
})

describe('a message that something ended', () => {
  const ended = (reason: Parameters<typeof resolvedAlert>[1]) =>
    message({ reason: 'all resolved', firing: [], resolved: [resolvedAlert(1, reason)] })

  it('says how long it lasted, and that a reconnection was verified', () => {
    expect(ended({})).toMatchObject({
      state: 'resolved',
      lasted: '59m',
      members: [{ notes: ['reconnected after 59m, verified by the reading of 12:00 UTC'] }],
    })
    expect(ended({ reconnectedAt: noon - 40_000 }).members[0]?.notes).toEqual([
      'reconnected after 59m, verified 40s after reconnection',
    ])
    // It was read while the person was on their way back.
    expect(ended({ reconnectedAt: noon - 300 }).members[0]?.notes).toEqual([
      'reconnected after 59m, verified 1s after reconnection',
    ])
    const { labels } = sampleAlert(1)
    const pending = { ...labels, alertname: 'DeviceActionPending' }
    expect(ended({ labels: pending, reconnectedAt: noon - 65_000 }).members[0]?.notes).toEqual([
      'recovered after 59m, verified 1m 5s after the customer had followed the link',
    ])
    expect(ended({ labels: { ...labels, alertname: 'StateStale' } }).members[0]?.notes).toEqual([
      'recovered after 59m, verified by the reading of 12:00 UTC',
    ])
  })

  it.each([
    ['device_deleted', 'deleted, no longer watched (12:00 UTC, after 59m)'],
    ['rule_removed', 'no longer watched: its rule was removed (12:00 UTC, after 59m)'],
    ['rule_changed', 'ended because its rule was changed (12:00 UTC, after 59m)'],
    ['no_data', 'ended without data: its rule counts missing data as fine (12:00 UTC, after 59m)'],
    ['manual', 'closed by hand (12:00 UTC, after 59m)'],
    [null, 'ended (12:00 UTC, after 59m)'],
  ] as const)('never calls it recovered when it ended by %s', (resolvedReason, words) => {
    const told = ended({ resolvedReason })
    expect(told.state).toBe('ended')
    expect(told.members[0]?.notes).toEqual([words])
    expect(JSON.stringify(told)).not.toMatch(/recovered|reconnected|verified/)
  })

  it('is no resolution while one member was not seen to recover', () => {
    const mixed = [resolvedAlert(1), resolvedAlert(2, { resolvedReason: 'device_deleted' })]
    expect(message({ reason: 'all resolved', firing: [], resolved: mixed }).state).toBe('ended')
  })

  it('offers no link, no runbook and nothing to do', () => {
    const links = new Map([['f1', { url: 'https://a.example/', validUntil: null }]])
    const told = message({ reason: 'all resolved', firing: [], resolved: [resolvedAlert(1)] }, { links })
    expect(told).toMatchObject({ runbookUrl: null, todo: 'Nothing to do.', members: [{ link: null }] })
  })
})

describe('the links of a message', () => {
  const signal = new AbortController().signal

  it('are asked for listed alerts that fire only', async () => {
    const asked: string[] = []
    const notification = sampleNotification({ firing: many(30), resolved: [resolvedAlert(50)] })
    await findLinks(
      notification,
      async ({ fingerprint }) => {
        asked.push(fingerprint)
        return null
      },
      { signal, timeoutMs: 1_000 },
    )
    expect(asked).toEqual(many(10).map(({ fingerprint }) => fingerprint))
  })

  it('that fail or do not come in time are left out', async () => {
    const found = await findLinks(
      sampleNotification(),
      ({ fingerprint }) => {
        if (fingerprint === 'f1') return Promise.reject(new Error('no'))
        if (fingerprint === 'f2') return new Promise(() => {})
        return Promise.resolve({ url: 'https://a.example/', validUntil: null })
      },
      { signal, timeoutMs: 20 },
    )
    expect([...found.keys()]).toEqual(['f3'])
  })

  it('are not waited for once the attempt is given up', async () => {
    const found = await findLinks(sampleNotification(), () => new Promise(() => {}), {
      signal: AbortSignal.abort(),
      timeoutMs: 60_000,
    })
    expect(found.size).toBe(0)
  })
})

describe('values in a message', () => {
  it('are one line of printable text, cut between code points', () => {
    fc.assert(
      fc.property(hostileText, fc.integer({ min: 1, max: 80 }), (text, length) => {
        const clean = plainText(text, length)
        expect([...clean].length).toBeLessThanOrEqual(length)
        expect(clean.isWellFormed()).toBe(true)
        expect(clean).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u)
      }),
    )
  })

  it('stay as they are when they are short and plain', () => {
    expect(plainText('Wärmepumpe 7 👩‍🔧', 80)).toBe('Wärmepumpe 7 👩‍🔧')
    expect(plainText('abcdef', 6)).toBe('abcdef')
    expect(plainText('abcdefg', 6)).toBe('abcde…')
    expect(plainText('😱'.repeat(10_000), 3)).toBe('😱😱…')
  })

  it('make a URL only if it is one for the web, and one that ends nowhere else', () => {
    expect(webUrl('https://a.example/x?y=1&z=|')).toBe('https://a.example/x?y=1&z=%7C')
    expect(webUrl("https://a.example/'")).toBe('https://a.example/%27')
    for (const bad of ['javascript:alert(1)', 'ftp://a.example/', 'a.example', '', undefined]) {
      expect(webUrl(bad)).toBeNull()
    }
    expect(webUrl('https://user:password@a.example/')).toBeNull()
    expect(webUrl(`https://a.example/${'x'.repeat(3_000)}`)).toBeNull()
  })

  it('make a message of bounded size, whatever they hold', () => {
    fc.assert(
      fc.property(hostileCase, fc.boolean(), ({ notification, link }, showPersonalData) => {
        const links = new Map(
          link === null ? [] : notification.firing.map((alert) => [alert.fingerprint, link]),
        )
        const told = createMessage(notification, { links, showPersonalData, moreUrl: link?.url ?? null })
        expect([...told.title].length).toBeLessThanOrEqual(120)
        expect(told.members.length).toBeLessThanOrEqual(10)
        expect(told.members.length + told.more.count).toBe(
          notification.firing.length + notification.resolved.length,
        )
        expect(told.since.text).not.toContain('NaN')
        expect(JSON.stringify(told).length).toBeLessThan(60_000)
      }),
      { numRuns: 150 },
    )
  })
})

describe('what else a member says', () => {
  const message = (changes: Parameters<typeof sampleNotification>[0]) =>
    createMessage(sampleNotification(changes), { links: new Map(), showPersonalData: false, moreUrl: null })

  it('is who looks after it, as text', () => {
    const alert = sampleAlert(1)
    const acknowledgement = {
      fingerprint: alert.fingerprint,
      episode: alert.episode,
      by: 'ada',
      comment: 'calls the customer\nat noon',
      at: 0,
      until: null,
    }
    const { members } = message({
      firing: [alert],
      acknowledged: new Map([[alert.fingerprint, acknowledgement]]),
    })
    expect(members[0]?.notes).toContain('acknowledged by ada: calls the customer at noon')
  })

  it('is that it flaps, and since when', () => {
    const alert = sampleAlert(1, { flappingSince: Date.UTC(2026, 0, 1, 11), flips: [1, 2, 3, 4, 5, 6] })
    const { members, why } = message({ firing: [alert], reason: 'flapping' })
    expect(members[0]?.notes.at(-1)).toMatch(/^flapping since .*: fired or ended 6 times$/)
    expect(why).toBe('It fires and ends again and again: that is not told any more until it settles.')
  })
})
