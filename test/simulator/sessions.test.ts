import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BreakageKind, Shapes, SimulatedDevice } from '../../src/simulator/fleet.ts'
import { type Simulator, startSimulator } from '../../src/simulator/server.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { type Caller, createCaller, devicePaths, fetched } from './partner-caller.ts'

const hourMs = 3_600_000
const back = { successUrl: 'https://portal.example/thanks?a=1&b=2', cancelUrl: 'https://portal.example/no' }

let clock: ManualClock
let simulator: Simulator
let caller: Caller

async function start(shapes: Shapes): Promise<void> {
  clock = createManualClock()
  simulator = await startSimulator({ clock, fleet: { seed: 21, users: 200, healthy: true, shapes } })
  caller = await createCaller(simulator)
}

afterEach(() => simulator.close())

function pathOf(device: SimulatedDevice): string {
  return `/${simulator.fleet.userId(device.userIndex)}/${devicePaths[device.type]}/${device.id}`
}

async function recordOf(device: SimulatedDevice) {
  return (await caller.users(pathOf(device))).body
}

/** Breaks a device and answers the link of the action that is then pending. */
async function brokenLink(kind: BreakageKind, device: SimulatedDevice) {
  simulator.fleet.breakDevice(device, kind, clock.now())
  return (await recordOf(device)).actions[0].resolution_link
}

const pump = () => simulator.fleet.devices(3, 'heat_pump')[0]!

describe('a link that is opened', () => {
  beforeEach(() => start('old'))

  it('shows a page that changes nothing, and reconnects the device when its button is pressed', async () => {
    const link = await brokenLink('unauthenticated', pump())
    const page = await fetched(link)
    expect(page.status).toBe(200)
    expect(page.text).toContain(`Reconnect your ${pump().manufacturer.name}`)
    expect(page.text).toContain('<form method="post">')
    expect(page.text).not.toContain('<script')
    expect(await recordOf(pump())).toMatchObject({ is_authenticated: false })
    const pressed = await fetched(link, { method: 'POST' })
    expect([pressed.status, pressed.text]).toEqual([200, expect.stringContaining('Done')])
    expect(await recordOf(pump())).toMatchObject({
      is_authenticated: true,
      action_needed: false,
      actions: [],
    })
    expect((await fetched(link)).status).toBe(410)
  })

  it('is neither kept nor told to others, and lets no script run', async () => {
    const { headers } = await fetched(await brokenLink('unauthenticated', pump()))
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    })
  })

  it('is dead after an hour, and the next answer carries a fresh one', async () => {
    const link = await brokenLink('unauthenticated', pump())
    clock.jump(hourMs - 1)
    expect((await fetched(link)).status).toBe(200)
    clock.jump(1)
    const expired = await fetched(link)
    expect([expired.status, expired.text]).toEqual([410, expect.stringContaining('This link has expired')])
    expect((await fetched(link, { method: 'POST' })).status).toBe(410)
    expect(await recordOf(pump())).toMatchObject({ is_authenticated: false })
    const fresh = (await recordOf(pump())).actions[0].resolution_link
    expect((await fetched(fresh)).status).toBe(200)
  })

  it('is refused when anything in it was changed', async () => {
    const link = new URL(await brokenLink('unauthenticated', pump()))
    const bent = [
      `${link}x`,
      `${link}&success_url=https://evil.example/`,
      String(link).replace(/secret=[^&]*/, 'secret='),
      String(link).replace(/secret=[^&]*/, 'secret=later.made-up'),
      `${link.origin}${link.pathname}`,
      `${link.origin}/session/device/${pump().id}${link.search}`,
    ]
    for (const url of bent) expect((await fetched(url, { method: 'POST' })).status).toBe(403)
    expect(await recordOf(pump())).toMatchObject({ is_authenticated: false })
  })

  it('does not work for an older run of the same trouble', async () => {
    const link = await brokenLink('unauthenticated', pump())
    simulator.fleet.heal(pump())
    simulator.fleet.breakDevice(pump(), 'unauthenticated', clock.now())
    expect((await fetched(link, { method: 'POST' })).status).toBe(410)
  })

  it('says that the manufacturer is out of order while that lasts', async () => {
    const end = simulator.fleet.startOutage(pump().manufacturer.name, clock.now())
    const link = (await recordOf(pump())).actions[0].resolution_link
    const page = await fetched(link, { method: 'POST' })
    expect([page.status, page.text]).toEqual([503, expect.stringContaining('does not answer')])
    end()
    expect((await fetched(link)).status).toBe(410)
  })

  it('reconnects by the older authorization_url as well', async () => {
    simulator.fleet.breakDevice(pump(), 'unauthenticated', clock.now())
    const link = (await recordOf(pump())).authorization_url
    expect((await fetched(link, { method: 'POST' })).status).toBe(200)
    expect(await recordOf(pump())).toMatchObject({ is_authenticated: true, authorization_url: null })
    expect((await fetched(link)).text).toContain('The device is connected')
  })

  it('settles an action of another code', async () => {
    const linked = Array.from({ length: 50 }, (_, index) => simulator.fleet.devices(index, 'inverter')[0]!)
    const codes = new Set<string>()
    for (const device of linked) {
      simulator.fleet.breakDevice(device, 'unknown_action', clock.now())
      const [action] = (await recordOf(device)).actions
      codes.add(action.code)
      if (action.resolution_link === null) continue
      expect((await fetched(action.resolution_link)).text).toContain(action.code)
      expect((await fetched(action.resolution_link, { method: 'POST' })).status).toBe(200)
      expect(await recordOf(device)).toMatchObject({ action_needed: false })
    }
    expect(codes.size).toBe(4)
  })
})

describe('a link that is called', () => {
  beforeEach(() => start('current'))

  const resolve = (link: { url: string }, body: unknown = back) =>
    caller.call(link.url, { method: 'POST', body })

  it('names the parameters that it needs, and answers where the user goes', async () => {
    const link = await brokenLink('unauthenticated', pump())
    expect(link).toMatchObject({
      url: expect.stringMatching(/\/api\/partners\/v2\.0\/cues\/[0-9a-f-]{36}\/resolve\?secret=/),
      required_parameters: ['successUrl', 'cancelUrl'],
    })
    // It is called, not opened.
    expect((await fetched(link.url)).status).toBe(404)
    const { status, body } = await resolve(link, { ...back, language: 'de-AT' })
    expect(status).toBe(200)
    const page = await fetched(body.redirect_url)
    expect(page.text).toContain(`${pump().manufacturer.name} neu verbinden`)
    expect(page.text).toContain(`href="${back.cancelUrl}"`)
    const pressed = await fetched(body.redirect_url, { method: 'POST' })
    expect([pressed.status, pressed.headers['location']]).toEqual([303, back.successUrl])
    expect(await recordOf(pump())).toMatchObject({ is_authenticated: true })
    expect((await resolve(link)).status).toBe(404)
  })

  it('is refused without its parameters, with a wrong secret, without a token, and after an hour', async () => {
    const link = await brokenLink('unauthenticated', pump())
    const missing = await resolve(link, { successUrl: 'javascript:alert(1)' })
    expect([missing.status, missing.body]).toEqual([
      400,
      { successUrl: ['Enter a valid URL.'], cancelUrl: ['This field is required.'] },
    ])
    expect((await resolve({ url: link.url.replace(/secret=.*/, 'secret=x.y') })).status).toBe(403)
    expect((await caller.call(link.url, { method: 'POST', body: back, token: null })).status).toBe(401)
    clock.jump(hourMs)
    const expired = await resolve(link)
    expect([expired.status, expired.body]).toEqual([403, { detail: 'The secret has expired.' }])
  })

  it('is settled when success is reported, and stays open when failure is', async () => {
    const link = await brokenLink('unauthenticated', pump())
    const stateUrl = link.url.replace('/resolve?', '/state?')
    const report = (state: string) => caller.call(stateUrl, { method: 'POST', body: { state }, token: null })
    expect((await report('maybe')).status).toBe(400)
    expect((await report('fail')).status).toBe(200)
    expect(await recordOf(pump())).toMatchObject({ action_needed: true })
    expect((await report('success')).body).toEqual({ action_id: expect.any(String) })
    expect(await recordOf(pump())).toMatchObject({ action_needed: false, actions: [] })
    expect((await report('success')).status).toBe(404)
    clock.jump(hourMs)
    expect((await report('success')).status).toBe(403)
  })

  it('marks an information as read by its own call', async () => {
    const informed = Array.from(
      { length: 200 },
      (_, index) => simulator.fleet.devices(index, 'inverter')[0]!,
    ).find((device) => {
      simulator.fleet.breakDevice(device, 'unknown_action', clock.now())
      return simulator.fleet.cues(device)[0]!.code === 'information'
    })!
    const link = (await recordOf(informed)).actions[0].resolution_link
    expect(link).toMatchObject({
      url: expect.stringContaining('/information/resolve?'),
      required_parameters: [],
    })
    expect((await resolve({ url: link.url.replace('/information', '') })).status).toBe(400)
    expect((await resolve(link, {})).status).toBe(200)
    expect(await recordOf(informed)).toMatchObject({ action_needed: false })
  })
})

describe('a reconnection session', () => {
  beforeEach(() => start('current'))

  const snake = { success_url: back.successUrl, cancel_url: back.cancelUrl }
  const open = (device: SimulatedDevice, body: unknown = snake) =>
    caller.users(`${pathOf(device)}/auth_session`, { method: 'POST', body })

  it('is opened for vehicles and inverters, and reconnects them', async () => {
    for (const type of ['electric_vehicle', 'inverter'] as const) {
      const device = simulator.fleet.devices(4, type)[0]!
      simulator.fleet.breakDevice(device, 'unauthenticated', clock.now())
      const { status, body } = await open(device)
      expect([status, body]).toEqual([
        200,
        {
          authentication_url: expect.stringMatching(/^http/),
          device_id: device.id,
          session_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        },
      ])
      const pressed = await fetched(body.authentication_url, { method: 'POST' })
      expect(pressed.headers['location']).toBe(back.successUrl)
      expect(await recordOf(device)).toMatchObject({ is_authenticated: true })
    }
  })

  it('is not offered for heat pumps, nor without addresses to return to', async () => {
    expect((await open(pump())).status).toBe(405)
    expect((await open(simulator.fleet.devices(4, 'inverter')[0]!, {})).status).toBe(400)
  })
})

describe('onboarding', () => {
  beforeEach(() => start('current'))

  it('connects a new device with the defaults that were given', async () => {
    const created = await caller.users('', {
      method: 'POST',
      body: { role: 'user', email: 'new@example.com' },
    })
    const session = await caller.call('/device-onboarding', {
      method: 'POST',
      body: {
        user_id: created.body.id,
        language: 'en',
        price_zone_default: 'CH',
        is_smart_optimization_active_default: false,
        success_url: back.successUrl,
        cancel_url: back.cancelUrl,
      },
    })
    expect(session.status).toBe(201)
    expect(session.body.expiration_date).toBe(new Date(clock.now() + hourMs).toISOString())
    const page = await fetched(session.body.authentication_url)
    expect(page.text).toContain('value="heat_pump"')
    const pressed = await fetched(session.body.authentication_url, { method: 'POST', body: 'type=heat_pump' })
    expect(pressed.headers['location']).toBe(back.successUrl)
    const { body } = await caller.users(`/${created.body.id}/heat-pumps`)
    expect(body).toEqual([
      expect.objectContaining({
        price_zone: 'CH',
        is_smart_optimization_active: false,
        is_authenticated: true,
      }),
    ])
    expect((await caller.users(`/${created.body.id}`)).body).toMatchObject({
      num_heat_pumps: 1,
      is_onboarded: true,
    })
  })

  it('is refused for a user who is none', async () => {
    const body = { user_id: 'x', success_url: back.successUrl, cancel_url: back.cancelUrl }
    expect((await caller.call('/device-onboarding', { method: 'POST', body })).status).toBe(400)
  })
})
