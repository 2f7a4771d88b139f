import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Device, deviceFields } from '../../src/fleet/device.ts'
import { energyContractFields, type User, userFields } from '../../src/fleet/user.ts'
import { decodeDevice, decodeEnergyContract, decodeUser, isDeletedUser } from '../../src/partner/decode.ts'
import { Malformed } from '../../src/partner/json-array-stream.ts'
import { electricVehicle, heatPump, inverter, observedAt, user } from './sample.ts'

function device(value: unknown, { isSingle = true } = {}) {
  const odd: string[] = []
  let skews = 0
  const decoded = decodeDevice(value, {
    type: 'heat_pump',
    observedAt,
    isSingle,
    onOddField: (field) => odd.push(field),
    onClockSkew: () => skews++,
  })
  return { decoded: decoded as Device, odd, skews }
}

function decodedUser(value: unknown) {
  const odd: string[] = []
  return { decoded: decodeUser(value, (field) => odd.push(field)) as User, odd }
}

/** A value of the wrong type for a field of this type, several of each. */
const wrongValues = {
  string: [7, true, {}, [], ['x']],
  bool: ['true', 1, 0, {}, []],
  double: ['21.5', true, {}, [], Number.POSITIVE_INFINITY],
  timestamp: ['yesterday', '2026-02-30T00:00:00Z', 1_762_164_930, true, {}, ''],
} as const

const everyField = { ...heatPump, ...electricVehicle, ...inverter, id: heatPump.id }

describe('a decoded device', () => {
  it('has every declared field, in the declared order, whatever the answer lacks', () => {
    const names = ['id', 'type', 'manufacturer', 'model', ...Object.keys(deviceFields), 'actions']
    expect(Object.keys(device({ id: 'a' }).decoded)).toEqual(names)
    expect(Object.keys(device(everyField).decoded)).toEqual(names)
    const { id, type, manufacturer, model, ...rest } = device({ id: 'a' }).decoded
    expect({ id, type, manufacturer, model }).toEqual({
      id: 'a',
      type: 'heat_pump',
      manufacturer: 'unknown',
      model: 'unknown',
    })
    expect(new Set(Object.values(rest))).toEqual(new Set([null]))
  })

  it('takes over every value, instants as milliseconds', () => {
    const { decoded, odd } = device({
      ...everyField,
      lifecycle_error: 'no access',
      deleted_at: heatPump.updated_at,
    })
    expect(odd).toEqual([])
    expect(Object.values(decoded)).not.toContain(null)
    expect(decoded).toMatchObject({
      manufacturer: 'Fronius',
      is_authenticated: true,
      connection_status: 'ok',
      lifecycle_error: 'no access',
      current_state_last_updated_at: Date.UTC(2026, 10, 3, 11, 55),
      last_monitoring_executed_at: Date.UTC(2026, 10, 3, 11, 50),
      created_at: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
      optimization_score: 0.83,
      minimum_temperature_limit: 19.5,
      charge_target_max: 80,
      battery_charge_discharge_power_w: -300,
      actions: [],
    })
  })

  it('loses one field, and nothing else, to a value of the wrong type', () => {
    const whole = device(everyField).decoded
    for (const [field, type] of Object.entries(deviceFields)) {
      for (const wrong of wrongValues[type]) {
        const { decoded, odd } = device({ ...everyField, [field]: wrong })
        expect(decoded, `${field} = ${inspect(wrong)}`).toEqual({ ...whole, [field]: null })
        expect(odd).toEqual([field])
      }
    }
  })

  it.each([
    ['charge_state_last_updated_at', 'current_state_last_updated_at', '2026-11-03T11:55:00Z'],
    ['charge_state_last_updated', 'current_state_last_updated_at', '2026-11-03T11:55:00Z'],
    ['pause_power_until_utc', 'pause_power_until', '2026-11-03T18:00:00'],
    ['pause_power_active', 'is_pause_power_active', true],
    ['user_limits_enabled', 'is_user_limits_enabled', false],
    ['charge_limit_min', 'charge_target_min', 15],
    ['charge_limit_max', 'charge_target_max', 85],
    ['battery_connected', 'is_battery_connected', true],
  ] as const)('reads %s as %s', (older, field, value) => {
    const current = device({ id: 'a', [field]: value }).decoded
    expect(current[field]).not.toBeNull()
    expect(device({ id: 'a', [older]: value }).decoded).toEqual(current)
    expect(device({ id: 'a', [older]: value, [field]: null }).decoded).toEqual(current)
    // The current spelling wins.
    expect(device({ id: 'a', [older]: 'nonsense', [field]: value }).decoded).toEqual(current)
  })

  it.each([
    [null],
    ['x'],
    [7],
    [[]],
    [{}],
    [{ id: null }],
    [{ id: '' }],
    [{ id: 'a b' }],
    [{ id: '..' }],
    [{ id: 'a/b' }],
    [{ id: 1.5 }],
    [{ id: 'x'.repeat(129) }],
  ])('is malformed without a usable id: %j', (value) => {
    expect(device(value).decoded).toBeInstanceOf(Malformed)
    expect(decodedUser(value).decoded).toBeInstanceOf(Malformed)
  })

  it('takes a number for an id', () => {
    expect(device({ id: 4711 }).decoded.id).toBe('4711')
  })

  it('never throws, whatever it is given', () => {
    const anything = fc.dictionary(
      fc.constantFrom(...Object.keys(everyField), 'device_model', 'actions', 'authorization_url'),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(anything, fc.boolean(), (value, isSingle) => {
        device({ ...value, id: 'a' }, { isSingle })
        device(value, { isSingle })
        decodedUser(value)
      }),
    )
  })

  it('is of now at the latest, when the clock of its manufacturer runs ahead', () => {
    const updatedAt = (ms: number) =>
      device({ id: 'a', current_state_last_updated_at: new Date(observedAt + ms).toISOString() })
    expect(updatedAt(60_000)).toMatchObject({
      decoded: { current_state_last_updated_at: observedAt },
      skews: 0,
    })
    expect(updatedAt(3_600_000)).toMatchObject({
      decoded: { current_state_last_updated_at: observedAt },
      odd: [],
      skews: 1,
    })
    expect(updatedAt(-60_000).decoded.current_state_last_updated_at).toBe(observedAt - 60_000)
  })
})

describe('the manufacturer of a device', () => {
  it.each([
    ['Vaillant', 'Vaillant'],
    ['  Škoda \n Auto\t', 'Škoda Auto'],
    ['a\u0000b\u202Ec\u200B', 'a b c'],
    ['x'.repeat(150), 'x'.repeat(100)],
    ['😀'.repeat(150), '😀'.repeat(100)],
    ['\uD800', '\uFFFD'],
    ['   ', 'unknown'],
    ['', 'unknown'],
    [null, 'unknown'],
    [undefined, 'unknown'],
    [{}, 'unknown'],
  ])('is made fit for a label: %j becomes %j', (manufacturer, expected) => {
    expect(device({ id: 'a', device_model: { manufacturer } }).decoded.manufacturer).toBe(expected)
    expect(device({ id: 'a', device_model: { model: manufacturer } }).decoded.model).toBe(expected)
  })

  it('is unknown when the model is only an id', () => {
    expect(device({ id: 'a', device_model: '7f1c' }).decoded).toMatchObject({
      manufacturer: 'unknown',
      model: 'unknown',
    })
  })
})

describe('pending actions', () => {
  const url = 'https://app.podero.com/reconnect?secret=s3cret'
  const actionsOf = (value: object, options = {}) => device({ id: 'a', ...value }, options).decoded.actions
  const shown = (value: object, options = {}) =>
    actionsOf(value, options)?.map(({ code, link }) => ({
      code,
      link: link && { ...link, url: link.url.reveal() },
    }))

  it('are null when the answer carries none, and empty when nothing is pending', () => {
    expect(actionsOf({})).toBeNull()
    expect(actionsOf({ actions: null })).toBeNull()
    expect(actionsOf({ actions: 'none' })).toBeNull()
    expect(actionsOf({ actions: [] })).toEqual([])
  })

  it('have a link that is opened, or one that is called, good for an hour', () => {
    const call = { url, required_parameters: ['successUrl', 'cancelUrl', 3], more: true }
    const actions = [
      { code: 'reauthenticate', resolution_link: url },
      { code: 'reauthenticate', resolution_link: call },
    ]
    const validUntil = observedAt + 3_600_000
    expect(shown({ actions })).toEqual([
      { code: 'reauthenticate', link: { kind: 'redirect', url, requiredParameters: [], validUntil } },
      {
        code: 'reauthenticate',
        link: { kind: 'post', url, requiredParameters: ['successUrl', 'cancelUrl'], validUntil },
      },
    ])
  })

  it('are kept when their code is new, their shape odd or their link unusable', () => {
    const actions = [
      { code: 'accept_terms', webhook: 'x' },
      'press_button',
      {},
      { code: 'a', resolution_link: 'javascript:alert(1)' },
      { code: 'b', resolution_link: '/relative' },
      { code: 'c', resolution_link: { url: 'ftp://x' } },
      { code: 'd', resolution_link: 7 },
      { code: 'e', resolution_link: {} },
    ]
    const codes = ['accept_terms', 'press_button', 'unknown', 'a', 'b', 'c', 'd', 'e']
    expect(shown({ actions })).toEqual(codes.map((code) => ({ code, link: null })))
    expect(device({ id: 'x', actions }).odd).toEqual(['actions', ...Array(4).fill('resolution_link')])
  })

  it('take the older reconnection link of an unauthenticated device when no newer one is there', () => {
    const older = { is_authenticated: false, authorization_url: url }
    const link = { kind: 'redirect', url, requiredParameters: [], validUntil: null }
    expect(shown(older)).toEqual([{ code: 'reauthenticate', link }])
    expect(shown({ ...older, actions: [{ code: 'reauthenticate' }, { code: 'x' }] })).toEqual([
      { code: 'x', link: null },
      { code: 'reauthenticate', link },
    ])
    const newer = 'https://app.podero.com/newer'
    expect(shown({ ...older, actions: [{ code: 'x', resolution_link: newer }] })).toMatchObject([
      { code: 'x', link: { url: newer } },
    ])
    expect(shown({ ...older, is_authenticated: true, actions: [] })).toEqual([])
    expect(shown({ ...older, authorization_url: 'no link' })).toBeUndefined()
    // A list that carries no actions stays without, so that the device itself is asked.
    expect(actionsOf(older, { isSingle: false })).toBeNull()
  })

  it('show their link to nobody', () => {
    const decoded = device({ id: 'a', actions: [{ code: 'x', resolution_link: url }] }).decoded
    expect(JSON.stringify(decoded) + inspect(decoded, { depth: 9 })).not.toContain('s3cret')
  })
})

describe('a decoded user', () => {
  it('has every declared field, in the declared order', () => {
    const ours = ['migration_step', 'migration_since', 'external_user_id_count', 'energy_contracts']
    const names = ['id', ...Object.keys(userFields), ...ours]
    expect(Object.keys(decodedUser({ id: 'a' }).decoded)).toEqual(names)
    const { decoded, odd } = decodedUser(user)
    expect(Object.keys(decoded)).toEqual(names)
    expect(odd).toEqual([])
    expect(decoded).toMatchObject({
      zip_code: '1010',
      country: 'AT',
      last_login: Date.UTC(2026, 9, 1),
      num_electric_vehicles: 0,
      external_user_id_count: null,
      energy_contracts: null,
    })
  })

  it('loses one field, and nothing else, to a value of the wrong type', () => {
    const whole = decodedUser(user).decoded
    for (const [field, type] of Object.entries(userFields)) {
      for (const wrong of wrongValues[type]) {
        if (typeof wrong === 'number' && (field === 'zip_code' || field === 'external_user_id')) continue
        const { decoded, odd } = decodedUser({ ...user, [field]: wrong })
        expect(decoded, `${field} = ${inspect(wrong)}`).toEqual({ ...whole, [field]: null })
        expect(odd).toEqual([field])
      }
    }
  })

  it('takes numbers for a zip code and an external id, and the older name of the country', () => {
    const { decoded, odd } = decodedUser({
      id: 'a',
      zip_code: 1010,
      external_user_id: 42,
      country_iso2: 'DE',
    })
    expect(decoded).toMatchObject({ zip_code: '1010', external_user_id: '42', country: 'DE' })
    expect(odd).toEqual([])
  })

  it('is deleted when the answer says so', () => {
    expect(
      [{ deleted_at: '2026-01-01T00:00:00Z' }, { deleted_at: null }, {}, null, 'x'].map(isDeletedUser),
    ).toEqual([true, false, false, false, false])
  })
})

describe('a decoded energy contract', () => {
  it('has every declared field, and the moment of its latest price', () => {
    const contract = decodeEnergyContract(
      {
        id: 'e-1',
        energy_contract_type: 'spot_hourly',
        energy_prices: [
          { price: 1, timestamp: '2026-11-03T10:00:00Z' },
          { price: 1, timestamp: '2026-11-03T12:00:00Z' },
          { price: 1, timestamp: 'soon' },
          { price: 1, timestamp: '2026-11-03T11:00:00Z' },
        ],
        meter_id: 12345,
        supplier: 'S',
        currency_energy_price: 'EUR',
        energy_price_includes_external_components: true,
      },
      () => {},
    )
    expect(Object.keys(contract)).toEqual(Object.keys(energyContractFields))
    expect(contract).toMatchObject({ meter_id: '12345', prices_until: Date.UTC(2026, 10, 3, 12) })
  })

  it.each([[undefined], [null], [[]], ['x'], [[null]], [[{ price: 1 }]]])(
    'has no latest price with prices %j',
    (energy_prices) => {
      expect(decodeEnergyContract({ id: 'a', energy_prices }, () => {})).toMatchObject({ prices_until: null })
    },
  )

  it('is malformed when it is no object', () => {
    expect(decodeEnergyContract('x', () => {})).toBeInstanceOf(Malformed)
  })
})
