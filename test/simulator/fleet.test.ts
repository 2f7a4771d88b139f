import { describe, expect, it } from 'vitest'
import { type BreakageKind, breakageKinds, createFleet } from '../../src/simulator/fleet.ts'
import { deviceRecord, type LinkIssuer, userRecord } from '../../src/simulator/records.ts'

const now = Date.UTC(2026, 2, 1, 12)
const links: LinkIssuer = { resolutionLink: () => 'link', authorizationUrl: () => 'https://older.example' }

type Answered = Record<string, unknown>

function answered(fleet: ReturnType<typeof createFleet>, id: string, at = now): Answered {
  return deviceRecord(fleet, fleet.device(id)!, { now: at, links, withActions: true }) as Answered
}

describe('a fleet out of a seed', () => {
  it('is the same one for the same seed, and another one for another', () => {
    const records = (seed: number) => {
      const fleet = createFleet({ seed, users: 200 })
      return Array.from({ length: 200 }, (_, index) => [
        userRecord(fleet, index, { now }),
        fleet.devices(index).map((device) => answered(fleet, device.id)),
      ])
    }
    expect(records(5)).toEqual(records(5))
    expect(records(5)).not.toEqual(records(6))
  })

  it('finds every user and device by id, external id and e-mail address', () => {
    const fleet = createFleet({ seed: 3, users: 300, flawedShare: 0.5 })
    for (let index = 0; index < 300; index++) {
      expect(fleet.userIndex(fleet.userId(index))).toBe(index)
      const { email, external_user_id: externalId } = fleet.profile(index)
      expect(fleet.findByEmail(email.toUpperCase())).toBe(index)
      if (externalId !== null) {
        expect(fleet.profile(fleet.findByExternalId(externalId)!).external_user_id).toBe(externalId)
      }
      for (const device of fleet.devices(index)) expect(fleet.device(device.id)).toEqual(device)
    }
  })

  it('knows no ids of another fleet, of users beyond its size, or of another kind', () => {
    const fleet = createFleet({ seed: 3, users: 10 })
    const other = createFleet({ seed: 4, users: 20 })
    expect(fleet.userIndex(other.userId(1))).toBeNull()
    expect(fleet.userIndex(createFleet({ seed: 3, users: 20 }).userId(10))).toBeNull()
    expect(fleet.device(fleet.userId(1))).toBeNull()
    expect(fleet.device(other.devices(1)[0]!.id)).toBeNull()
    expect(fleet.findByExternalId('C-1000010')).toBeNull()
    expect(fleet.findByExternalId('')).toBeNull()
  })

  it('has one to three devices per user, of all four types and of many manufacturers', () => {
    const fleet = createFleet({ seed: 1, users: 3000 })
    const counts = new Map<string, number>()
    const makers = new Set<string>()
    for (let index = 0; index < 3000; index++) {
      const devices = fleet.devices(index)
      expect(devices.length).toBeGreaterThanOrEqual(1)
      expect(devices.length).toBeLessThanOrEqual(3)
      for (const { type, manufacturer } of devices) {
        counts.set(type, (counts.get(type) ?? 0) + 1)
        makers.add(manufacturer.name)
      }
    }
    expect([...counts.keys()].sort()).toEqual(['electric_vehicle', 'heat_pump', 'inverter', 'wallbox'])
    expect(counts.get('wallbox')).toBeLessThan(counts.get('heat_pump')!)
    expect(makers.size).toBeGreaterThan(35)
  })

  it('starts with the share of broken devices and flawed users that was asked for', () => {
    const fleet = createFleet({ seed: 1, users: 4000, flawedShare: 0.1 })
    let devices = 0
    let broken = 0
    let flawed = 0
    for (let index = 0; index < 4000; index++) {
      if (fleet.userFlaw(index) !== null) flawed++
      for (const device of fleet.devices(index)) {
        devices++
        if (fleet.condition(device).breakages.size > 0) broken++
      }
    }
    expect(broken / devices).toBeCloseTo(0.1, 1)
    expect(flawed / 4000).toBeCloseTo(0.1, 1)
  })

  it('has names that break markup, duplicate external ids, and users without one', () => {
    const fleet = createFleet({ seed: 1, users: 2000, flawedShare: 0.2 })
    const profiles = Array.from({ length: 2000 }, (_, index) => fleet.profile(index))
    const externalIds = profiles.map((profile) => profile.external_user_id)
    expect(profiles.some(({ first_name }) => first_name?.includes('<script>'))).toBe(true)
    expect(profiles.some(({ last_name }) => last_name === 'Müller')).toBe(true)
    expect(externalIds).toContain(null)
    expect(new Set(externalIds).size).toBeLessThan(2000 - externalIds.filter((id) => id === null).length)
    expect(new Set(profiles.map(({ email }) => email)).size).toBe(2000)
  })

  it('refuses numbers that make no fleet', () => {
    expect(() => createFleet({ seed: 1, users: -1 })).toThrow('a fleet has 0 to')
    expect(() => createFleet({ seed: 1.5, users: 1 })).toThrow('a seed is a whole number, not 1.5')
    expect(() => createFleet({ seed: 1, users: 1, flawedShare: 2 })).toThrow('not 2')
  })
})

describe('a healthy fleet', () => {
  it('has exactly one heat pump, one vehicle and one inverter each, and counts them', () => {
    const fleet = createFleet({ seed: 9, users: 100, healthy: true, shapes: 'old' })
    for (let index = 0; index < 100; index++) {
      expect(fleet.deviceTypesOf(index)).toEqual(['heat_pump', 'electric_vehicle', 'inverter'])
      expect(userRecord(fleet, index, { now })).toMatchObject({
        num_heat_pumps: 1,
        num_electric_vehicles: 1,
        num_inverters: 1,
        num_wallboxes: 0,
        is_onboarded: true,
      })
    }
  })

  it('shows nothing wrong in any device or user, whatever the shape', () => {
    for (const shapes of ['mixed', 'current', 'old'] as const) {
      const fleet = createFleet({ seed: 9, users: 300, healthy: true, shapes })
      for (let index = 0; index < 300; index++) {
        const profile = fleet.profile(index)
        expect(
          Object.entries(profile).filter(([name, value]) => value === null && name !== 'street_add_info'),
        ).toEqual([])
        for (const device of fleet.devices(index)) {
          const record = answered(fleet, device.id)
          expect(record).toMatchObject({
            is_authenticated: true,
            is_smart_optimization_active: true,
            connection_status: 'ok',
            monitoring_status: 'ok',
            steering_status: 'ok',
            lifecycle_state: 'authenticated',
            action_needed: false,
            actions: [],
          })
        }
      }
    }
  })

  it('tells of a sync within the last 15 minutes, at any time, and never of one to come', () => {
    const fleet = createFleet({ seed: 2, users: 20, healthy: true, shapes: 'current' })
    for (let minute = 0; minute < 120; minute += 7) {
      const at = now + minute * 60_000
      for (let index = 0; index < 20; index++) {
        for (const device of fleet.devices(index)) {
          const syncedAt = Date.parse(String(answered(fleet, device.id, at)['current_state_last_updated_at']))
          expect(at - syncedAt).toBeGreaterThanOrEqual(0)
          expect(at - syncedAt).toBeLessThan(15 * 60_000)
        }
      }
    }
  })
})

describe('both shapes of everything', () => {
  function shapesSeen(shapes: 'mixed' | 'current' | 'old') {
    const fleet = createFleet({ seed: 4, users: 400, shapes, flawedShare: 0 })
    const seen = new Set<string>()
    const look = (what: string, value: unknown) =>
      seen.add(`${what}:${value === null ? 'null' : typeof value}`)
    for (let index = 0; index < 400; index++) {
      const user = userRecord(fleet, index, { now }) as Answered
      look('zip_code', user['zip_code'])
      seen.add('country_iso2' in user ? 'country_iso2' : 'country')
      seen.add('num_heat_pumps' in user ? 'counted' : 'uncounted')
      for (const device of fleet.devices(index)) {
        const record = answered(fleet, device.id)
        look('owner', record['owner'])
        look('device_model', record['device_model'])
        for (const name of [
          'is_pause_power_active',
          'pause_power_active',
          'charge_target_min',
          'charge_limit_min',
        ]) {
          if (name in record) seen.add(name)
        }
        for (const name of Object.keys(record)) if (/last_updated(_at)?$/.test(name)) seen.add(name)
      }
    }
    return [...seen].sort()
  }

  it('are current where that is asked for', () => {
    expect(shapesSeen('current')).toEqual([
      'charge_target_min',
      'counted',
      'country',
      'current_state_last_updated_at',
      'device_model:object',
      'is_pause_power_active',
      'owner:object',
      'zip_code:string',
    ])
  })

  it('are old where that is asked for', () => {
    expect(shapesSeen('old')).toEqual([
      'charge_limit_min',
      'charge_state_last_updated_at',
      'country_iso2',
      'device_model:string',
      'owner:string',
      'pause_power_active',
      'uncounted',
      'zip_code:number',
    ])
  })

  it('are all there in a mixed fleet', () => {
    expect(shapesSeen('mixed')).toEqual([
      'charge_limit_min',
      'charge_state_last_updated',
      'charge_state_last_updated_at',
      'charge_target_min',
      'counted',
      'country',
      'country_iso2',
      'current_state_last_updated_at',
      'device_model:null',
      'device_model:object',
      'device_model:string',
      'is_pause_power_active',
      'owner:object',
      'owner:string',
      'pause_power_active',
      'uncounted',
      'zip_code:number',
      'zip_code:string',
    ])
  })
})

describe('a device that breaks', () => {
  const fleet = () => createFleet({ seed: 8, users: 3, healthy: true, shapes: 'current' })
  const shows: Record<BreakageKind, Answered> = {
    unauthenticated: {
      is_authenticated: false,
      action_needed: true,
      actions: [{ code: 'reauthenticate', resolution_link: 'link' }],
    },
    unknown_action: { is_authenticated: true, action_needed: true },
    optimization_inactive: { is_smart_optimization_active: false, is_pause_power_active: false },
    connection_error: { connection_status: 'error' },
    lifecycle_error: { lifecycle_state: 'error', lifecycle_error: expect.stringContaining('E-1204') },
    contradictory_limits: { min_battery_charge: 95, max_battery_charge: 30 },
    stale_state: {},
    battery_without_capacity: { is_battery_connected: true, battery_capacity_kwh: null },
  }

  for (const kind of breakageKinds) {
    it(`shows ${kind}, and nothing of it once it is healed`, () => {
      const under = fleet()
      const inverter = under.devices(1, 'inverter')[0]!
      const before = answered(under, inverter.id)
      under.breakDevice(inverter, kind, now)
      expect(answered(under, inverter.id)).toMatchObject(shows[kind])
      expect(answered(under, inverter.id)).not.toEqual(before)
      expect(under.heal(inverter, kind)).toBe(true)
      expect(answered(under, inverter.id)).toEqual(before)
      expect(under.heal(inverter, kind)).toBe(false)
    })
  }

  it('freezes the last sync ten days ago when its state is stale', () => {
    const under = fleet()
    const pump = under.devices(0, 'heat_pump')[0]!
    under.breakDevice(pump, 'stale_state', now)
    const first = answered(under, pump.id, now + 60_000)['current_state_last_updated_at']
    expect(answered(under, pump.id, now + 7_200_000)['current_state_last_updated_at']).toBe(first)
    expect(now - Date.parse(String(first))).toBeGreaterThanOrEqual(10 * 86_400_000)
  })

  it('syncs no more while it has lost its connection', () => {
    const under = fleet()
    const pump = under.devices(0, 'heat_pump')[0]!
    under.breakDevice(pump, 'unauthenticated', now)
    const record = answered(under, pump.id, now + 3_600_000)
    expect(Date.parse(String(record['current_state_last_updated_at']))).toBeLessThanOrEqual(now)
  })

  it('gives its pending action a new id each time it breaks', () => {
    const under = fleet()
    const pump = under.devices(0, 'heat_pump')[0]!
    under.breakDevice(pump, 'unauthenticated', now)
    const [first] = under.cues(pump)
    expect(under.findCue(first!.id)).toEqual({ device: pump, cue: first })
    under.heal(pump)
    expect(under.findCue(first!.id)).toBeNull()
    under.breakDevice(pump, 'unauthenticated', now)
    expect(under.cues(pump)[0]!.id).not.toBe(first!.id)
    expect(under.findCue(first!.id)).toBeNull()
  })

  it('keeps nothing in memory of what has healed', () => {
    const under = fleet()
    for (let index = 0; index < 3; index++) {
      for (const device of under.devices(index)) under.breakDevice(device, 'unauthenticated', now)
    }
    expect(under.changes).toBe(9)
    for (let index = 0; index < 3; index++) for (const device of under.devices(index)) under.heal(device)
    expect(under.changes).toBe(0)
  })

  it('stays healed although the seed says that it started broken', () => {
    const under = createFleet({ seed: 8, users: 50, flawedShare: 1 })
    const device = under.devices(0)[0]!
    expect(under.condition(device).breakages.size).toBe(1)
    under.heal(device)
    expect(under.condition(device).breakages.size).toBe(0)
  })

  it('refuses a kind that its type cannot have', () => {
    const under = fleet()
    expect(() =>
      under.breakDevice(under.devices(0, 'heat_pump')[0]!, 'battery_without_capacity', now),
    ).toThrow('a device of type heat_pump cannot have "battery_without_capacity"')
  })

  it('loses what was set on it when the same field breaks', () => {
    const under = fleet()
    const inverter = under.devices(0, 'inverter')[0]!
    under.changeDevice(inverter, { min_battery_charge: 1, comment: 'kept' }, now)
    under.breakDevice(inverter, 'contradictory_limits', now)
    expect(answered(under, inverter.id)).toMatchObject({ min_battery_charge: 95, comment: 'kept' })
  })
})

it('cuts off all devices of a manufacturer until every cause of the outage is over', () => {
  const fleet = createFleet({ seed: 8, users: 200, healthy: true })
  const affected = Array.from({ length: 200 }, (_, index) => fleet.devices(index, 'inverter')[0]!)
  const offline = () => affected.filter((device) => answered(fleet, device.id)['is_authenticated'] === false)
  const endFirst = fleet.startOutage('Fronius', now)
  const endSecond = fleet.startOutage('Fronius', now)
  expect(offline().length).toBeGreaterThan(5)
  expect(new Set(offline().map(({ manufacturer }) => manufacturer.name))).toEqual(new Set(['Fronius']))
  endFirst()
  endFirst()
  expect(offline().length).toBeGreaterThan(5)
  endSecond()
  expect(offline()).toEqual([])
})

it('gives a user new devices, up to eight', () => {
  const fleet = createFleet({ seed: 8, users: 2, healthy: true })
  const added = fleet.addDevice(1, { type: 'wallbox', at: now, settings: { price_zone: 'CH' } })!
  expect(fleet.device(added.id)).toEqual(added)
  expect(answered(fleet, added.id)).toMatchObject({
    price_zone: 'CH',
    created_at: new Date(now).toISOString(),
  })
  expect(fleet.countDevices(1, 'wallbox')).toBe(1)
  for (let more = 0; more < 4; more++) expect(fleet.addDevice(1, { type: 'wallbox', at: now })).not.toBeNull()
  expect(fleet.addDevice(1, { type: 'wallbox', at: now })).toBeNull()
})
