import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DeviceType, deviceTypes } from '../../src/fleet/device.ts'
import { createOwnerMail, type OwnerDevice, type OwnerMailContent } from '../../src/owners/owner-mail.ts'
import { ownerPlace } from '../../src/owners/owner-place.ts'
import { company } from './neighbourhood.ts'

const url = (n: number) => `https://fleet.example.com/r/token-${n}`
const unsubscribeUrl = 'https://fleet.example.com/r/end/unsubscribe'
const german = { language: 'de', locale: 'de-AT', timeZone: 'Europe/Vienna' } as const
const english = { language: 'en', locale: 'en-GB', timeZone: 'Europe/London' } as const

function device(n: number, changes: Partial<OwnerDevice> = {}): OwnerDevice {
  return {
    ...{ type: 'heat_pump', manufacturer: 'Daikin', task: 'connection', url: url(n) },
    // Half past eleven at night in London, and past midnight in Vienna.
    since: Date.UTC(2026, 0, 9, 23, 30),
    ...changes,
  }
}

const mailOf = (changes: Partial<OwnerMailContent> = {}) =>
  createOwnerMail({ place: german, name: null, company, devices: [device(1)], unsubscribeUrl, ...changes })

/** What people see of HTML. */
const seen = (html: string) => html.replace(/<style>.*?<\/style>|<[^>]+>/gs, ' ')

describe('a mail to an owner', () => {
  it.each([
    ['heat_pump', 'Ihre Wärmepumpe ist nicht mehr verbunden', 'Your heat pump is no longer connected'],
    [
      'electric_vehicle',
      'Ihr Elektroauto ist nicht mehr verbunden',
      'Your electric car is no longer connected',
    ],
    ['inverter', 'Ihr Wechselrichter ist nicht mehr verbunden', 'Your solar inverter is no longer connected'],
    ['wallbox', 'Ihre Wallbox ist nicht mehr verbunden', 'Your wallbox is no longer connected'],
  ] satisfies [DeviceType, string, string][])(
    'names what it is about in plain words: %s',
    async (type, de, en) => {
      expect((await mailOf({ devices: [device(1, { type })] })).subject).toBe(de)
      expect((await mailOf({ place: english, devices: [device(1, { type })] })).subject).toBe(en)
      const asked = await mailOf({ devices: [device(1, { type, task: 'action' })] })
      expect(asked.subject).toMatch(/^Ihre? \p{L}+ braucht Ihre Hilfe$/u)
    },
  )

  it('says since when, on the calendar of where they live, and in which words these dates are written', async () => {
    expect((await mailOf()).text).toContain(
      'seit 10. Jänner erreichen wir Ihre Wärmepumpe von Daikin nicht mehr',
    )
    expect((await mailOf({ place: english })).text).toContain(
      'Since 9 January we can no longer reach your Daikin',
    )
    const inverter = device(1, { type: 'inverter', manufacturer: 'unknown' })
    expect((await mailOf({ devices: [inverter] })).text).toContain('wir Ihren Wechselrichter nicht mehr')
  })

  it('has one button, and of several devices a link for each', async () => {
    const several = await mailOf({ devices: [device(1), device(2, { type: 'wallbox' }), device(3)] })
    const buttons = (html: string) => html.match(/bgcolor="#14663a"/g)
    for (const mail of [several, await mailOf()]) expect(buttons(mail.html)).toHaveLength(1)
    for (const n of [1, 2, 3]) {
      expect(several.text).toContain(url(n))
      expect(several.html).toContain(`href="${url(n)}"`)
    }
    // The text of the only device's link stands below the button, for readers that show none.
    expect(seen((await mailOf()).html)).toContain(url(1))
  })

  it('tells whom to ask, who writes, why, and how to end it', async () => {
    const full = {
      ...{ name: 'Stadtwerke & Söhne', supportEmail: 'help@stadtwerke.example' },
      ...{ supportPhone: '+43 (1) 234 567', supportUrl: 'https://stadtwerke.example/help' },
    }
    const { text, html } = await mailOf({ company: full })
    for (const words of Object.values(full)) expect(text).toContain(words)
    expect(html).toContain('Stadtwerke &amp; Söhne')
    expect(html).toContain('href="tel:+431234567"')
    expect(html).toContain('href="mailto:help@stadtwerke.example"')
    expect(text).toContain(`Keine solchen E-Mails mehr: ${unsubscribeUrl}`)
    expect(html).toContain(`href="${unsubscribeUrl}"`)
    expect((await mailOf()).text).not.toContain('Fragen?')
  })

  it('holds none of our words, and nothing to load', async () => {
    for (const place of [german, english]) {
      const { text, html, subject } = await mailOf({ place, devices: [device(1), device(2)] })
      expect(`${text}${subject}${seen(html)}`).not.toMatch(
        /alert|DeviceUn|authent|heat_pump|fleetwarden|undefined|null/i,
      )
      expect(html).not.toMatch(/<img|<script|url\(|@import|src=/)
      expect(html).toContain(`<html lang="${place.language}">`)
    }
  })

  it('stays one line, escaped and small, whatever names and manufacturers are', async () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('<b>"\'&', 'a\r\nb', 'x'.repeat(5_000)),
    )
    const devices = fc.array(
      fc.record({
        manufacturer: anything,
        type: fc.constantFrom(...deviceTypes),
        task: fc.constantFrom('connection', 'action'),
      }),
      { minLength: 1, maxLength: 20 },
    )
    await fc.assert(
      fc.asyncProperty(anything, devices, fc.constantFrom(german, english), async (name, list, place) => {
        const marked = `<i>${name}`
        const { subject, text, html } = await mailOf({
          ...{ place, name: marked },
          devices: list.map((each, n) => device(n, { ...each, manufacturer: `<i>${each.manufacturer}` })),
        })
        expect(subject).not.toMatch(/[\p{Cc}\p{Cs}]/u)
        expect(html).not.toContain('<i>')
        expect(text.split('\n').every((line) => line.length < 600)).toBe(true)
        expect(Buffer.byteLength(html)).toBeLessThan(60_000)
      }),
      { numRuns: 100 },
    )
  })
})

it.each([
  ['AT', 'de', 'Europe/Vienna'],
  ['de', 'de', 'Europe/Berlin'],
  ['CH', 'de', 'Europe/Zurich'],
  ['LI', 'de', 'Europe/Vaduz'],
  ['FR', 'en', 'Europe/Paris'],
  ['ES', 'en', 'America/New_York'],
  ['Austria', 'de', 'America/New_York'],
  [null, 'de', 'America/New_York'],
])('the country says language and clock, else the configuration does: %s', (country, language, timeZone) => {
  const place = ownerPlace({ country }, { language: 'de', timeZone: 'America/New_York' })
  expect(place).toMatchObject({ language, timeZone })
  expect(() => new Intl.DateTimeFormat(place.locale, { timeZone: place.timeZone })).not.toThrow()
})
