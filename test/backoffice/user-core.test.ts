import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { comparable, folded } from '../../src/backoffice/comparison.ts'
import { countryCodeOf, countryCodes } from '../../src/backoffice/countries.ts'
import { changesOf, conflictsOf, isAsWanted } from '../../src/backoffice/user-change.ts'
import {
  countsOf,
  everybody,
  matches,
  matchesDevices,
  type UserFilter,
  unknownCounts,
} from '../../src/backoffice/user-filter.ts'
import {
  checkNewUser,
  checkUserInput,
  fieldsOfTexts,
  invitationProblem,
} from '../../src/backoffice/user-input.ts'
import { account } from './sample.ts'

describe('countries', () => {
  it('are the 249 of the standard, and Intl has a name for each', () => {
    expect(countryCodes.size).toBe(249)
    const names = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' })
    for (const code of countryCodes) expect(names.of(code), code).toBeDefined()
  })

  it.each([
    ['at', 'AT'],
    [' DE ', 'DE'],
    ['Österreich', 'AT'],
    ['Germany', 'DE'],
    ['EU', null],
    ['UK', null],
    ['XX', null],
    ['', null],
  ])('%j is %s', (text, code) => expect(countryCodeOf(text)).toBe(code))
})

describe('what somebody enters', () => {
  it('is trimmed, and an empty text takes the value away', () => {
    expect(checkUserInput({ town: ' Wien ', street_add_info: '  ', country: 'at', latitude: null })).toEqual({
      ok: true,
      fields: { town: 'Wien', street_add_info: null, country: 'AT', latitude: null },
    })
  })

  it.each([
    [{ email: 'nobody' }, 'email: expected an e-mail address such as ada@example.com'],
    [{ email: 'a@b' }, 'email: expected an e-mail address such as ada@example.com'],
    [{ email: '' }, 'email: expected an e-mail address such as ada@example.com'],
    [{ country: 'Austria' }, 'country: expected a country of ISO 3166-1 such as AT or DE, not "Austria"'],
    [{ country: 'XX' }, 'country: expected a country of ISO 3166-1 such as AT or DE, not "XX"'],
    [{ role: 'owner' }, 'role: expected one of user, guest, staff, admin'],
    [{ zip_code: 1010 }, 'zip_code: expected a text: as a number it would lose its leading zeros'],
    [{ latitude: 91 }, 'latitude: expected degrees from -90 to 90'],
    [{ longitude: '16' }, 'longitude: expected degrees from -180 to 180'],
    [{ town: 'Wien\nGraz' }, 'town: expected one line without control characters'],
    [{ town: 'x'.repeat(201) }, 'town: expected at most 200 characters'],
    [{ nickname: 'x' }, 'Unrecognized key: "nickname"'],
  ])('%j is refused', (input, problem) =>
    expect(checkUserInput(input)).toEqual({ ok: false, problems: [problem] }),
  )

  it('has a role and an address where a user is created, and says all problems at once', () => {
    const checked = checkNewUser({ country: 'XX' })
    expect(checked.ok).toBe(false)
    expect(checked.ok ? [] : checked.problems.map((problem) => problem.split(':')[0])).toEqual(
      expect.arrayContaining(['country']),
    )
    expect(checkNewUser({ email: 'müller@straße.example' }).ok).toBe(false)
    expect(checkNewUser({ role: 'user', email: 'müller@straße.example' }).ok).toBe(true)
  })

  it('is a number where it has to be, a decimal comma included', () => {
    expect(fieldsOfTexts({ latitude: '48,2', longitude: '', town: '7' })).toEqual({
      latitude: 48.2,
      longitude: null,
      town: '7',
    })
    expect(checkUserInput(fieldsOfTexts({ latitude: 'north' })).ok).toBe(false)
  })

  it('invites nobody unless that is wanted', () => {
    expect(invitationProblem({ role: 'staff' }, false)).toContain('--invite')
    expect(invitationProblem({ role: 'admin' }, false)).toContain('invitation')
    expect(invitationProblem({ role: 'admin' }, true)).toBeNull()
    for (const role of ['user', 'guest', undefined] as const) {
      expect(invitationProblem(role === undefined ? {} : { role }, false)).toBeNull()
    }
  })
})

describe('two spellings', () => {
  it.each([
    ['last_name', 'MÜLLER ', 'Mueller'],
    ['last_name', 'Mu\u0308ller', 'Müller'],
    ['last_name', 'Weiß', 'WEISS'],
    ['first_name', 'Anna-Maria', 'Anna  Maria'],
    ['first_name', 'José', 'Jose'],
    ['last_name', 'Sørensen', 'Soerensen'],
    ['street_and_number', 'Hauptstr. 12 a', 'Hauptstraße 12a'],
    ['street_and_number', 'Hauptstr.12', 'HAUPTSTRASSE 12'],
    ['street_and_number', 'Lange Str 5', 'Lange Straße 5'],
    ['street_and_number', 'Rathauspl. 1', 'Rathausplatz 1'],
    ['street_and_number', 'Neubaug. 3/12', 'Neubaugasse 3 / 12'],
    ['zip_code', 'A-1010', '1010'],
    ['zip_code', '01067', '1067'],
    ['zip_code', 'EC1A 1BB', 'ec1a1bb'],
    ['town', 'St. Pölten', 'Sankt Poelten'],
    ['email', ' Ada@Example.com', 'ada@example.com'],
    ['country', 'at', 'AT'],
    ['latitude', '48.20000', 48.2],
    ['town', '', null],
  ] as const)('of %s are the same: %j and %j', (field, one, other) =>
    expect(comparable(field, one)).toBe(comparable(field, other)),
  )

  it.each([
    ['last_name', 'Muller', 'Müller'],
    ['last_name', 'Bauer', 'Baur'],
    ['street_and_number', 'Hauptstraße 12/14', 'Hauptstraße 12-14'],
    ['street_and_number', 'Hauptstraße 1 2', 'Hauptstraße 12'],
    ['street_and_number', 'Strandweg 1', 'Straßenandweg 1'],
    ['zip_code', '1010', '1100'],
    ['external_user_id', 'C-1', 'c-1'],
    ['external_user_id', '01', '1'],
    ['email', 'ada@example.com', 'a.da@example.com'],
    ['town', 'Wien', null],
  ] as const)('of %s are different: %j and %j', (field, one, other) =>
    expect(comparable(field, one)).not.toBe(comparable(field, other)),
  )

  it('are folded once and for all, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        expect(folded(folded(text))).toBe(folded(text))
      }),
    )
  })
})

describe('a change', () => {
  it('is only what differs, to the letter', () => {
    const before = account({ town: 'WIEN', street_add_info: '' })
    expect(changesOf(before, { town: 'Wien', email: 'a@example.com', street_add_info: null })).toEqual([
      { field: 'town', before: 'WIEN', after: 'Wien' },
    ])
  })

  it('collides with another of the same field, unless both mean the same', () => {
    const now = account({ town: 'Graz', zip_code: '8010' })
    expect(conflictsOf(now, { town: 'Linz' }, { town: 'Wien', zip_code: '1010' })).toEqual([
      { field: 'town', before: 'Wien', after: 'Graz' },
    ])
    expect(conflictsOf(now, { town: 'Graz' }, { town: 'Wien' })).toEqual([])
    expect(conflictsOf(now, { town: 'Linz' }, { town: 'Graz' })).toEqual([])
    expect(conflictsOf(account({ town: '' }), { town: 'Linz' }, { town: null })).toEqual([])
  })

  it('knows a user that was to be created by what was sent', () => {
    const made = account({ email: 'Ada@Example.com', zip_code: '1067', last_name: null })
    expect(isAsWanted(made, { email: 'ada@example.com', zip_code: '01067' })).toBe(true)
    expect(isAsWanted(made, { email: 'ada@example.com', last_name: 'Byron' })).toBe(false)
  })
})

describe('a filter', () => {
  const matchesOne = (fields: Parameters<typeof account>[0], filter: Partial<UserFilter>, trouble = false) =>
    matches(account(fields), { ...everybody, ...filter }, () => trouble)

  it('finds a text in names, addresses and ids, however it is spelt', () => {
    const anna = { first_name: 'Anna', last_name: 'Müller', town: 'Wien', external_user_id: 'C-17' }
    for (const text of ['mueller', 'ANNA', 'anna müller', 'c-17', 'wien']) {
      expect(matchesOne(anna, { text }), text).toBe(true)
    }
    expect(matchesOne(anna, { text: 'graz' })).toBe(false)
  })

  it('asks for role, country, missing external id and trouble', () => {
    expect(matchesOne({ role: 'staff' }, { roles: ['staff', 'admin'] })).toBe(true)
    expect(matchesOne({ role: 'user' }, { roles: ['staff', 'admin'] })).toBe(false)
    expect(matchesOne({ country: 'at' }, { country: 'AT' })).toBe(true)
    expect(matchesOne({ country: null }, { country: 'AT' })).toBe(false)
    expect(matchesOne({ external_user_id: '' }, { withoutExternalId: true })).toBe(true)
    expect(matchesOne({ external_user_id: 'C-1' }, { withoutExternalId: true })).toBe(false)
    expect(matchesOne({}, { inTrouble: true }, true)).toBe(true)
    expect(matchesOne({}, { inTrouble: true }, false)).toBe(false)
  })

  it('has to know the devices where the list does not count them', () => {
    const unknown = countsOf(account({ num_heat_pumps: null, num_wallboxes: null }))
    const pump = { ...everybody, deviceType: 'heat_pump' } as const
    expect(unknownCounts(unknown, pump)).toEqual(['heat_pump'])
    expect(unknownCounts(unknown, { ...everybody, devices: 'with' })).toEqual(['heat_pump', 'wallbox'])
    expect(unknownCounts(unknown, everybody)).toEqual([])
    const vehicle = countsOf(account({ num_heat_pumps: null, num_electric_vehicles: 1 }))
    expect(unknownCounts(vehicle, { ...everybody, devices: 'without' })).toEqual([])
    expect(matchesDevices(vehicle, { ...everybody, devices: 'without' })).toBe(false)
    expect(matchesDevices(vehicle, { ...everybody, deviceType: 'inverter' })).toBe(false)
    expect(matchesDevices(vehicle, { ...everybody, deviceType: 'inverter', devices: 'without' })).toBe(true)
  })
})
