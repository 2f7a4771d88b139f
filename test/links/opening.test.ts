import { describe, expect, it } from 'vitest'
import type { Device } from '../../src/fleet/device.ts'
import { isWell, openingOf, pendingCodes, unknownParametersOf } from '../../src/links/opening.ts'
import { decodeDevice } from '../../src/partner/decode.ts'
import { Malformed } from '../../src/partner/json-array-stream.ts'
import { electricVehicle, heatPump, inverter, observedAt } from '../partner/sample.ts'

type Raw = Record<string, unknown>

function device(raw: Raw, change: Raw): Device {
  const types = new Map<unknown, Device['type']>([
    [heatPump, 'heat_pump'],
    [electricVehicle, 'electric_vehicle'],
    [inverter, 'inverter'],
  ])
  const decoded = decodeDevice(
    { ...raw, ...change },
    { type: types.get(raw)!, observedAt, isSingle: true, onOddField: () => {}, onClockSkew: () => {} },
  )
  if (decoded instanceof Malformed) throw new Error(decoded.reason)
  return decoded
}

const lost = { is_authenticated: false }
const url = 'https://app.podero.com/x?secret=1'
const call = (required: unknown = ['successUrl', 'cancelUrl']) => ({ url, required_parameters: required })
const action = (code: string, link: unknown) => ({ code, resolution_link: link })

describe('what a link opens', () => {
  it.each([
    ['a URL', heatPump, { ...lost, actions: [action('reauthenticate', url)] }, 'url reauthenticate'],
    ['a call', heatPump, { ...lost, actions: [action('reauthenticate', call())] }, 'call reauthenticate'],
    ['a call that asks for a language', heatPump, { actions: [action('x', call(['language']))] }, 'call x'],
    ['a call that asks for nothing', heatPump, { actions: [action('x', call([]))] }, 'call x'],
    ['the older URL', heatPump, { ...lost, authorization_url: url }, 'authorization_url reauthenticate'],
    ['a session for a vehicle', electricVehicle, lost, 'auth_session reauthenticate'],
    ['a session for an inverter', inverter, lost, 'auth_session reauthenticate'],
    [
      'a session where the action has no link',
      inverter,
      { ...lost, actions: [action('reauthenticate', null)] },
      'auth_session reauthenticate',
    ],
    [
      'a session before another action',
      inverter,
      { ...lost, actions: [action('information', call([]))] },
      'auth_session reauthenticate',
    ],
    [
      'the reconnection first while it is lost',
      heatPump,
      { ...lost, actions: [action('information', url), action('reauthenticate', call())] },
      'call reauthenticate',
    ],
    [
      'the first action that has a link otherwise',
      heatPump,
      { actions: [action('update_firmware', null), action('consent', url), action('reauthenticate', url)] },
      'url consent',
    ],
    [
      'another action where the reconnection has no link',
      heatPump,
      { ...lost, actions: [action('reauthenticate', null), action('consent', url)] },
      'url consent',
    ],
  ])('%s', (_, raw, change, expected) => {
    const opening = openingOf(device(raw, change))
    expect(`${opening?.shape} ${opening?.code}`).toBe(expected)
  })

  it.each([
    ['nothing is pending', heatPump, {}],
    ['what is pending has no link', heatPump, { actions: [action('update_firmware', null)] }],
    ['it is lost and nothing says where to go', heatPump, lost],
    ['nobody knows whether it is lost', electricVehicle, { is_authenticated: null }],
    ['it requires what we do not know', heatPump, { actions: [action('x', call(['successUrl', 'iban']))] }],
    [
      'the link is no web address',
      heatPump,
      { ...lost, actions: [action('reauthenticate', 'javascript:x')] },
    ],
  ])('nothing when %s', (_, raw, change) => {
    expect(openingOf(device(raw, change))).toBeNull()
  })

  it('says what is pending, and what of it is not known', () => {
    const { actions } = device(heatPump, {
      actions: [action('x', call(['iban', 'language'])), action('y', null), action('z', url)],
    })
    expect(pendingCodes(device(heatPump, { actions: [action('x', null)] }))).toEqual(['x'])
    expect(unknownParametersOf({ actions })).toEqual(['iban'])
  })

  it('a device is well when it is connected and nothing can be opened', () => {
    expect(isWell(device(heatPump, {}))).toBe(true)
    expect(isWell(device(heatPump, { actions: [action('update_firmware', null)] }))).toBe(true)
    expect(isWell(device(heatPump, { actions: [action('consent', url)] }))).toBe(false)
    expect(isWell(device(heatPump, { is_authenticated: null }))).toBe(false)
    expect(isWell(device(heatPump, lost))).toBe(false)
  })
})
