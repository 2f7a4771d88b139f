import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { LinkDesk, StartOutcome } from '../../src/links/link-desk.ts'
import { createLinkSigner } from '../../src/links/link-token.ts'
import { heatPump, inverter } from '../partner/sample.ts'
import {
  callable,
  type DeskWorld,
  key,
  lost,
  mintedSecret,
  otherKey,
  type Partner,
  publicUrl,
  startDeskWorld,
  visit,
} from './desk-world.ts'

const dayMs = 86_400_000
const minuteMs = 60_000

function deskOf({ links }: DeskWorld): LinkDesk {
  if (links.desk === null) throw new Error('no desk')
  return links.desk
}

/** A world whose device is lost, with an alert about it and the token of its link. */
async function withLink(
  options: Parameters<typeof startDeskWorld>[0] = {},
  device?: Record<string, unknown>,
): Promise<{ world: DeskWorld; token: string; desk: LinkDesk }> {
  const world = await startDeskWorld(options)
  world.partner.device = device ?? lost(callable(world.partner.url))
  await world.walk()
  const token = await world.token()
  // The message looked at the device; what is read from here on was asked for behind the link.
  await world.clock.advance(6_000)
  world.partner.requests.length = 0
  return { world, token, desk: deskOf(world) }
}

async function redirectOf(outcome: Promise<StartOutcome | null>): Promise<string> {
  const result = await outcome
  if (result?.kind !== 'redirect') throw new Error(`no redirect but ${JSON.stringify(result)}`)
  return result.url.reveal()
}

describe('the link of a message', () => {
  it('is on record before it goes out, and the same each time', async () => {
    const { world, token } = await withLink()
    expect(await world.token()).toBe(token)
    expect(world.partner.requests).toEqual([])
    await world.restart()
    expect(await world.token()).toBe(token)
    expect([...world.links.book.all()]).toMatchObject([
      { alertname: 'DeviceUnauthenticated', manufacturer: 'Vaillant', startedAt: null, resolvedAt: null },
    ])
  })

  it('says until when it works', async () => {
    const { world } = await withLink()
    const link = await world.links.linkFor(world.alert()!, new AbortController().signal)
    expect(link?.validUntil).toBe(world.clock.now() - 6_000 + 30 * dayMs)
  })

  it('is renewed when half of its time is over, and the older one goes on working', async () => {
    const { world, token, desk } = await withLink()
    await world.clock.advance(16 * dayMs)
    const newer = await world.token()
    expect(newer).not.toBe(token)
    expect(await desk.look(token, { isShown: false })).not.toBeNull()
    await world.clock.advance(15 * dayMs)
    expect(await desk.look(token, { isShown: false })).toBeNull()
    expect(await desk.look(newer, { isShown: false })).not.toBeNull()
  })

  it('is left out where there is nothing that it could open', async () => {
    const world = await startDeskWorld()
    world.partner.device = { ...heatPump, is_authenticated: false, actions: [] }
    await world.walk()
    expect(await world.linkOf()).toBeNull()
    expect(world.links.book.size()).toBe(0)
  })

  it('goes out also when the partner cannot be asked', async () => {
    const world = await startDeskWorld()
    await world.walk()
    world.partner.failing = 500
    expect(await world.linkOf()).not.toBeNull()
  })

  it('does not go out when it cannot be saved', async () => {
    const world = await startDeskWorld()
    await world.walk()
    world.isStoreFull = true
    expect(await world.linkOf()).toBeNull()
    expect(world.links.book.size()).toBe(0)
    expect(world.faults).toHaveLength(1)
  })
})

describe('looking at a link', () => {
  it('shows what is wrong since when, names nobody, and never asks the partner', async () => {
    const { world, token, desk } = await withLink()
    const view = await desk.look(token, { isShown: true })
    expect(view).toEqual({
      purpose: 'staff',
      deviceType: 'heat_pump',
      manufacturer: 'Vaillant',
      alertname: 'DeviceUnauthenticated',
      since: world.clock.now() - 6_000,
      progress: { kind: 'open' },
      successUrl: 'https://portal.example.com/thanks',
    })
    await desk.look(token, { isShown: false })
    expect(world.partner.requests).toEqual([])
    expect(world.visits).toEqual(['shown Vaillant'])
  })

  it('knows no forged, foreign or unknown token, and none of another purpose', async () => {
    const { world, token, desk } = await withLink()
    const [episode = ''] = [...world.links.book.all()].map((record) => record.episode)
    const claim = { purpose: 'staff', id: episode, expiresAt: world.clock.now() + dayMs } as const
    const signed = createLinkSigner([key])
    const unknown = { ...claim, id: '6f9619ff-8b86-4011-b42d-00c04fc964ff' }
    const bad = [
      '',
      'x',
      token.slice(0, -1),
      `${token}x`,
      createLinkSigner([otherKey]).sign(claim),
      signed.sign(unknown),
      signed.sign({ ...claim, purpose: 'unsubscribe' }),
      signed.sign({ ...claim, expiresAt: world.clock.now() - 6 * minuteMs }),
    ]
    for (const one of bad) {
      expect(await desk.look(one, { isShown: true })).toBeNull()
      expect(await desk.start(one, visit)).toBeNull()
      expect(await desk.returned(one)).toBeNull()
      expect(await desk.cancelled(one)).toBeNull()
    }
    expect([world.visits, world.partner.requests]).toEqual([[], []])
  })

  it('lasts to the end of its time on a replica whose clock is ahead', async () => {
    const { world, token, desk } = await withLink()
    world.clock.jump(30 * dayMs + 4 * minuteMs)
    expect(await desk.look(token, { isShown: false })).not.toBeNull()
    world.clock.jump(2 * minuteMs)
    expect(await desk.look(token, { isShown: false })).toBeNull()
    await world.links.tend(world.clock.now())
    expect(world.links.book.size()).toBe(0)
  })

  it('ends when it is revoked, and no later message brings it back', async () => {
    const { world, token, desk } = await withLink()
    const [episode = ''] = [...world.links.book.all()].map((record) => record.episode)
    expect(await world.links.book.revoke(episode)).toBe(true)
    expect(await world.links.book.revoke(episode)).toBe(false)
    expect(await desk.look(token, { isShown: false })).toBeNull()
    expect(await desk.start(token, visit)).toBeNull()
    expect(await world.linkOf()).toBeNull()
    await world.restart()
    await world.links.tend(world.clock.now())
    expect(await world.linkOf()).toBeNull()
  })

  it('goes on for a while after the alert has resolved, then ends', async () => {
    const { world, token, desk } = await withLink()
    world.partner.device = heatPump
    await world.walk()
    await world.clock.advance(10 * minuteMs)
    expect(await world.walk()).toMatchObject({ state: 'resolved' })
    const resolvedAt = world.clock.now()
    expect(await desk.look(token, { isShown: false })).toMatchObject({
      progress: { kind: 'resolved', resolvedAt, verifiedAfterMs: null },
    })
    await world.restart()
    await world.clock.advance(dayMs - 1)
    expect(await deskOf(world).look(token, { isShown: false })).not.toBeNull()
    await world.clock.advance(1)
    expect(await deskOf(world).look(token, { isShown: false })).toBeNull()
    await world.links.tend(world.clock.now())
    expect(world.links.book.size()).toBe(0)
  })

  it('ends with the alert that ended while the record was not saved', async () => {
    const { world } = await withLink()
    world.isStoreFull = true
    world.partner.device = heatPump
    await world.walk()
    await world.clock.advance(10 * minuteMs)
    await world.walk()
    const ended = [{ resolvedAt: world.clock.now(), resolvedReason: 'condition' }]
    expect([...world.links.book.all()]).toMatchObject(ended)
    await world.clock.advance(minuteMs)
    expect(world.faults).toHaveLength(1)
    world.isStoreFull = false
    await world.restart()
    expect([...world.links.book.all()]).toMatchObject(ended)
  })

  it('changes its keys with a reload: old links work until theirs is gone', async () => {
    const { world, token, desk } = await withLink()
    const config = { signingKeys: [otherKey, key] }
    const next = (signingKeys = config.signingKeys) =>
      world.links.reconfigure({
        signingKeys,
        successUrl: null,
        lifetimeMs: 30 * dayMs,
        revokeAfterMs: dayMs,
        allowedHosts: ['*.podero.com'],
        requestsPerMinute: { perLink: 6, total: 120 },
      })
    next()
    const newer = await world.token()
    expect(newer).not.toBe(token)
    expect(await desk.look(token, { isShown: false })).toMatchObject({ successUrl: null })
    expect(await desk.look(newer, { isShown: false })).not.toBeNull()
    next([otherKey])
    expect(await desk.look(token, { isShown: false })).toBeNull()
    expect(await desk.look(newer, { isShown: false })).not.toBeNull()
  })
})

describe('pressing the button', () => {
  it('sends on to what a call of the fresh link answers, with our own addresses to come back to', async () => {
    const { world, token, desk } = await withLink()
    expect(await redirectOf(desk.start(token, visit))).toBe(
      `https://app.podero.com/session?secret=${mintedSecret}`,
    )
    expect(world.partner.bodies).toEqual([
      {
        successUrl: `${publicUrl}/r/${token}/back`,
        cancelUrl: `${publicUrl}/r/${token}/cancelled`,
        language: 'de',
      },
    ])
    expect([world.partner.reads(), world.partner.mints()]).toEqual([1, 1])
    expect(world.visits).toEqual(['started Vaillant'])
    expect(world.minted).toEqual(['ok'])
  })

  it('sends on to the URL itself, where that is what the partner gives', async () => {
    const { world, token, desk } = await withLink({}, lost())
    expect(await redirectOf(desk.start(token, visit))).toBe(
      `https://app.podero.com/login?secret=${mintedSecret}`,
    )
    expect(world.partner.mints()).toBe(0)
  })

  it('sends on to the older URL', async () => {
    const url = 'https://app.podero.com/old?x=1'
    const old = { ...heatPump, is_authenticated: false, authorization_url: url }
    const { world, token, desk } = await withLink({}, old)
    expect(await redirectOf(desk.start(token, visit))).toBe(url)
    expect(world.audit[0]?.detail).toMatchObject({ shape: 'authorization_url' })
  })

  it('sends on to a new session of an inverter', async () => {
    const { world, token, desk } = await withLink(
      { type: 'inverter' },
      { ...inverter, is_authenticated: false },
    )
    await redirectOf(desk.start(token, visit))
    expect(world.partner.requests.at(-1)).toMatch(/^POST .*\/inverters\/[\w-]+\/auth_session$/)
    expect(world.partner.bodies).toEqual([
      { success_url: `${publicUrl}/r/${token}/back`, cancel_url: `${publicUrl}/r/${token}/cancelled` },
    ])
  })

  it('says that there is nothing to open when an action requires what we do not know', async () => {
    const { world, token, desk } = await withLink()
    world.partner.device = lost(callable(world.partner.url, ['successUrl', 'iban']))
    expect(await desk.start(token, visit)).toMatchObject({
      kind: 'nothing_to_open',
      codes: ['reauthenticate'],
      view: { progress: { kind: 'open' } },
    })
    expect([world.partner.mints(), world.audit, world.unknownParameters]).toEqual([0, [], ['iban']])
  })

  it('says that all is well when it is, and has the alert resolve in its own time', async () => {
    const { world, token, desk } = await withLink()
    world.partner.device = heatPump
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'healthy' })
    expect(world.alert()).toMatchObject({ state: 'recovering' })
    expect([world.partner.mints(), world.visits]).toEqual([0, []])
  })

  it('tells what is gone, and what could not be read', async () => {
    const { world, token, desk } = await withLink()
    world.partner.device = { ...heatPump, deleted_at: '2026-11-01T00:00:00Z' }
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'gone' })
    await world.clock.advance(6_000)
    world.partner.device = null
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'gone' })
    await world.clock.advance(6_000)
    world.partner.failing = 503
    expect(await desk.start(token, visit)).toMatchObject({
      kind: 'unavailable',
      view: { progress: { kind: 'open' } },
    })
    // People who press twice are no second poll that confirms a deletion.
    expect(world.alert()).toMatchObject({ state: 'firing', deletedSeen: 0, noData: null })
  })

  it('says so when the device can be read and the link cannot be minted, and tries anew after that', async () => {
    const { world, token, desk } = await withLink()
    world.partner.redirect = 'javascript:alert(1)'
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'unavailable' })
    expect(world.minted).toEqual(['failed'])
    world.partner.redirect = 'https://app.podero.com/again'
    expect(await redirectOf(desk.start(token, visit))).toBe('https://app.podero.com/again')
    expect(world.audit.map(({ result, detail }) => `${result} ${detail['reason'] ?? ''}`)).toEqual([
      'begun ',
      'failed malformed',
      'begun ',
      'ok ',
    ])
  })

  it('sends on though that cannot be noted', async () => {
    const { world, token, desk } = await withLink()
    world.isStoreFull = true
    await redirectOf(desk.start(token, visit))
    expect(world.faults).toHaveLength(1)
  })

  it.each([
    'https://evil.example/session',
    'https://app.podero.com.evil.example/',
    'https://app.podero.com@evil.example/',
    'https://podero.com/',
    'http://app.podero.com/',
    'https://app.podero.com:8443/',
    'https://аpp.podero.com.example/',
  ])('refuses to lead to %s', async (redirect) => {
    const { world, token, desk } = await withLink()
    world.partner.redirect = `${redirect}?secret=${mintedSecret}`
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'refused_host' })
    expect(world.minted).toEqual(['refused_host'])
    expect(world.refusedHosts).toEqual([new URL(redirect).host])
    expect(world.audit.map(({ result }) => result)).toEqual(['begun', 'failed'])
    expect(JSON.stringify([world.audit, world.refusedHosts])).not.toContain(mintedSecret)
  })

  it('refuses a foreign host in each of the shapes', async () => {
    const { world, token, desk } = await withLink()
    for (const device of [
      lost('https://evil.example/'),
      { ...heatPump, is_authenticated: false, authorization_url: 'https://evil.example/' },
    ]) {
      world.partner.device = device
      expect(await desk.start(token, visit)).toMatchObject({ kind: 'refused_host' })
      await world.clock.advance(6_000)
    }
  })
})

describe('minting', () => {
  it('happens once for a thousand clicks at once', async () => {
    const { world, token, desk } = await withLink()
    const gate = Promise.withResolvers<void>()
    world.partner.gate = gate.promise
    const clicks = Array.from({ length: 1_000 }, () => redirectOf(desk.start(token, visit)))
    gate.resolve()
    expect(new Set(await Promise.all(clicks)).size).toBe(1)
    expect([world.partner.reads(), world.partner.mints()]).toEqual([1, 1])
    expect([world.minted, world.visits]).toEqual([['ok'], ['started Vaillant']])
    expect(world.audit.map(({ result }) => result)).toEqual(['begun', 'ok'])
  })

  it('gives the same URL for 50 minutes, and a fresh one after them', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    for (let minute = 10; minute < 50; minute += 10) {
      await world.clock.advance(10 * minuteMs)
      await redirectOf(desk.start(token, visit))
    }
    expect([world.partner.reads(), world.partner.mints()]).toEqual([5, 1])
    await world.clock.advance(10 * minuteMs)
    await redirectOf(desk.start(token, visit))
    expect(world.partner.mints()).toBe(2)
  })

  it('is shared by the links of one device', async () => {
    const { world, token, desk } = await withLink()
    const other = await world.token('DeviceActionPending')
    expect(other).not.toBe(token)
    await redirectOf(desk.start(token, visit))
    await redirectOf(desk.start(other, visit))
    expect(world.partner.mints()).toBe(1)
    // Whoever comes back does so for both.
    await desk.returned(token)
    expect([...world.links.book.all()].map(({ returnedAt }) => returnedAt !== null)).toEqual([true, true])
    expect(world.visits).toEqual(['started Vaillant', 'started Vaillant', 'returned Vaillant'])
  })

  it('is not shared with an owner, who comes back to another page', async () => {
    const { world, token, desk } = await withLink()
    const owners = await world.links.urlOf(world.alert()!, 'owner')
    const ownersToken = owners?.url.split('/r/')[1] ?? ''
    await redirectOf(desk.start(token, visit))
    await redirectOf(desk.start(ownersToken, visit))
    expect(world.partner.bodies).toMatchObject([
      { successUrl: expect.stringContaining(token) },
      { successUrl: expect.stringContaining(ownersToken) },
    ])
    expect(await desk.look(ownersToken, { isShown: false })).toMatchObject({ purpose: 'owner' })
  })

  it('begins anew when the device was well in between', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await world.clock.advance(6_000)
    const broken = world.partner.device
    world.partner.device = heatPump
    await desk.start(token, visit)
    await world.clock.advance(6_000)
    world.partner.device = broken
    await redirectOf(desk.start(token, visit))
    expect(world.partner.mints()).toBe(2)
  })

  it('begins anew when the kept URL would lead back to a link that has ended', async () => {
    const { world, token, desk } = await withLink()
    const other = await world.token('DeviceActionPending')
    await redirectOf(desk.start(token, visit))
    await world.links.book.revoke(world.alert()!.episode)
    await redirectOf(desk.start(other, visit))
    expect(world.partner.mints()).toBe(2)
  })

  it('does not happen when it cannot be recorded', async () => {
    const { world, token, desk } = await withLink()
    world.recordAudit = async () => {
      throw new Error('the disk is full')
    }
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'unavailable' })
    expect([world.partner.mints(), world.minted]).toEqual([0, ['not_recorded']])
  })

  it('sends on also when only its end could not be recorded', async () => {
    const { world, token, desk } = await withLink()
    world.recordAudit = async ({ result }) => {
      if (result !== 'begun') throw new Error('the disk is full')
    }
    await redirectOf(desk.start(token, visit))
    expect(world.faults).toHaveLength(1)
  })

  it('says who, what, and on whom, and never the link', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    const entry = {
      actor: visit.actor,
      action: 'link.mint',
      target: {
        user: world.subject.userId,
        device: world.subject.deviceId,
        alert: world.alert()!.fingerprint,
      },
      detail: { shape: 'call', code: 'reauthenticate', alertname: 'DeviceUnauthenticated' },
    }
    expect(world.audit).toEqual([
      { ...entry, result: 'begun' },
      { ...entry, result: 'ok' },
    ])
  })

  it('leaves its secret in no file, no event and no record', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await desk.returned(token)
    const events = [world.audit, world.visits, world.minted, world.refusedHosts, [...world.links.book.all()]]
    expect(JSON.stringify(events)).not.toContain(mintedSecret)
    for (const name of await readdir(world.folder)) {
      const bytes = await readFile(join(world.folder, name))
      expect(bytes.includes(mintedSecret), name).toBe(false)
      expect(bytes.includes(token), name).toBe(false)
    }
  })
})

describe('the limits', () => {
  it('count what reaches the partner, for each link', async () => {
    const config = { requestsPerMinute: { perLink: 2, total: 100 } }
    const { world, token, desk } = await withLink({ config })
    world.partner.failing = 500
    const kinds = []
    for (let press = 0; press < 4; press++) kinds.push((await desk.start(token, visit))?.kind)
    expect(kinds).toEqual(['unavailable', 'unavailable', 'rate_limited', 'rate_limited'])
    expect(await desk.start(token, visit)).toMatchObject({ retryAfterMs: 30_000 })
    const asked = world.partner.reads()
    // Looking costs nothing, and is never refused.
    for (let i = 0; i < 50; i++) expect(await desk.look(token, { isShown: false })).not.toBeNull()
    expect(world.partner.reads()).toBe(asked)
    await world.clock.advance(30_000)
    expect(await desk.start(token, visit)).toMatchObject({ kind: 'unavailable' })
  })

  it('count mints that fail, though the reading is at hand', async () => {
    const config = { requestsPerMinute: { perLink: 3, total: 100 } }
    const { world, token, desk } = await withLink({ config })
    world.partner.redirect = 'https://evil.example/'
    const kinds = []
    for (let press = 0; press < 5; press++) kinds.push((await desk.start(token, visit))?.kind)
    expect(kinds).toEqual(['refused_host', 'refused_host', 'refused_host', 'rate_limited', 'rate_limited'])
  })

  it('let everybody on who needs nothing new of the partner', async () => {
    const config = { requestsPerMinute: { perLink: 1, total: 1 } }
    const { world, token, desk } = await withLink({ config })
    for (let press = 0; press < 5; press++) {
      await redirectOf(desk.start(token, visit))
      await world.clock.advance(6_000)
    }
    expect([world.partner.reads(), world.partner.mints()]).toEqual([1, 1])
  })
})

describe('coming back', () => {
  it('resolves the alert at once, and says how soon', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await world.clock.advance(minuteMs)
    const returnedAt = world.clock.now()
    expect(await desk.returned(token)).toMatchObject({
      progress: { kind: 'checking', returnedAt, until: returnedAt + 5 * minuteMs },
    })
    await world.clock.advance(20_000)
    world.partner.device = heatPump
    await world.clock.advance(30_000)
    await eventually(() => world.alert()?.state === 'resolved')
    // Read after 0, 5, 15 and 35 seconds.
    expect(world.alert()).toMatchObject({ resolvedReason: 'condition', reconnectedAt: returnedAt })
    expect(world.alert()!.resolvedAt! - returnedAt).toBe(35_000)
    expect(await desk.look(token, { isShown: false })).toMatchObject({
      progress: { kind: 'resolved', verifiedAfterMs: 35_000 },
    })
    expect(world.visits).toEqual(['started Vaillant', 'returned Vaillant', 'verified Vaillant'])
  })

  it('shows at once that it worked', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    world.partner.device = heatPump
    // A second after the press: its reading is at hand, but from before.
    await world.clock.advance(1_000)
    expect(await desk.returned(token)).toMatchObject({ progress: { kind: 'resolved', verifiedAfterMs: 0 } })
    expect(world.alert()).toMatchObject({ state: 'resolved' })
  })

  it('says what is still wrong when the checks have ended', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await desk.returned(token)
    await marched(world, 5 * minuteMs)
    await eventually(() => world.visits.includes('failed Vaillant'))
    expect(await desk.look(token, { isShown: false })).toMatchObject({
      progress: { kind: 'still_wrong', reason: 'not_authenticated', checkedAt: world.clock.now() },
    })
    expect(world.alert()).toMatchObject({ state: 'firing' })
    // Whoever begins again begins anew.
    await redirectOf(desk.start(token, visit))
    expect(await desk.look(token, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
  })

  const failures = {
    unread: (partner: Partner) => {
      partner.failing = 500
    },
    gone: (partner: Partner) => {
      partner.device = null
    },
    action_pending: (partner: Partner) => {
      partner.device = { ...lost(callable(partner.url)), is_authenticated: true }
    },
  }
  it.each(['unread', 'gone', 'action_pending'] as const)('says that it is %s', async (reason) => {
    const { world, token, desk } = await withLink()
    const pending = await world.token('DeviceActionPending')
    await redirectOf(desk.start(pending, visit))
    failures[reason](world.partner)
    await desk.returned(pending)
    await marched(world, 5 * minuteMs)
    await eventually(() => world.visits.includes('failed Vaillant'))
    expect(await desk.look(pending, { isShown: false })).toMatchObject({
      progress: { kind: 'still_wrong', reason },
    })
    expect(await desk.look(token, { isShown: false })).not.toBeNull()
  })

  it('works for an alert about a pending action', async () => {
    const { world, desk } = await withLink()
    world.partner.device = {
      ...heatPump,
      actions: [{ code: 'consent', resolution_link: 'https://app.podero.com/c' }],
    }
    const token = await world.token('DeviceActionPending')
    expect(await redirectOf(desk.start(token, visit))).toBe('https://app.podero.com/c')
    world.partner.device = heatPump
    await world.clock.advance(1_000)
    await desk.returned(token)
    expect(world.alert('DeviceActionPending')).toMatchObject({
      state: 'resolved',
      reconnectedAt: expect.any(Number),
    })
  })

  it('changes nothing without a start, and twice is once', async () => {
    const { world, token, desk } = await withLink()
    expect(await desk.returned(token)).toMatchObject({ progress: { kind: 'open' } })
    expect(await desk.cancelled(token)).toMatchObject({ progress: { kind: 'open' } })
    expect([world.visits, world.partner.requests]).toEqual([[], []])
    await redirectOf(desk.start(token, visit))
    await Promise.all([desk.returned(token), desk.returned(token), desk.returned(token)])
    expect(world.visits).toEqual(['started Vaillant', 'returned Vaillant'])
  })

  it('without having done it is counted once, and leaves the way open', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await desk.cancelled(token)
    await desk.cancelled(token)
    expect(await desk.look(token, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
    await world.clock.advance(6_000)
    await redirectOf(desk.start(token, visit))
    await desk.cancelled(token)
    world.partner.device = heatPump
    await world.clock.advance(1_000)
    await desk.returned(token)
    expect(world.visits.map((one) => one.split(' ')[0])).toEqual([
      ...['started', 'cancelled', 'started', 'cancelled', 'returned', 'verified'],
    ])
  })

  it('is no longer waited for when somebody begins anew', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await desk.returned(token)
    await world.clock.advance(1_000)
    await redirectOf(desk.start(token, visit))
    expect(await desk.look(token, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
    await marched(world, 6 * minuteMs)
    expect(world.visits).not.toContain('failed Vaillant')
  })

  it('is not forgotten by a restart: the checks go on', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await world.restart()
    // Between the start and the return.
    const after = deskOf(world)
    const returnedAt = world.clock.now()
    await after.returned(token)
    await world.restart()
    // Between the return and the reading that shows it.
    world.partner.device = heatPump
    await world.clock.advance(minuteMs)
    world.links.resume()
    await eventually(() => world.alert()?.state === 'resolved')
    expect(world.alert()).toMatchObject({ reconnectedAt: returnedAt })
    expect(await deskOf(world).look(token, { isShown: false })).toMatchObject({
      progress: { kind: 'resolved', verifiedAfterMs: minuteMs },
    })
  })

  it('is concluded also when the restart took longer than the checks', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    await desk.returned(token)
    await world.restart()
    await world.clock.advance(60 * minuteMs)
    world.links.resume()
    await eventually(() => world.visits.includes('failed Vaillant'))
    expect(await deskOf(world).look(token, { isShown: false })).toMatchObject({
      progress: { kind: 'still_wrong', reason: 'not_authenticated' },
    })
  })

  it('is undone when it is broken again before the alert has ended', async () => {
    const world = await startDeskWorld({ flapping: { windowMs: dayMs, high: 2, low: 1 } })
    const broken = lost(callable(world.partner.url))
    // It ends and fires again: from now on it flaps, and what is verified does not end it.
    for (const device of [broken, heatPump, heatPump, broken]) {
      world.partner.device = device
      await world.walk()
      await world.clock.advance(10 * minuteMs)
    }
    const [token, desk] = [await world.token(), deskOf(world)]
    await redirectOf(desk.start(token, visit))
    world.partner.device = heatPump
    await world.clock.advance(1_000)
    expect(await desk.returned(token)).toMatchObject({ progress: { kind: 'resolved', verifiedAfterMs: 0 } })
    expect(world.alert()).toMatchObject({ state: 'recovering', reconnectedAt: null })
    await world.clock.advance(minuteMs)
    world.partner.device = broken
    await world.walk()
    expect(await desk.look(token, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
    await world.restart()
    expect(await deskOf(world).look(token, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
  })

  it('says nothing about the next time', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    world.partner.device = heatPump
    await world.clock.advance(1_000)
    await desk.returned(token)
    expect(world.alert()).toMatchObject({ state: 'resolved' })
    world.partner.device = lost(callable(world.partner.url))
    await world.clock.advance(minuteMs)
    await world.walk()
    // Another episode, with a link of its own; the old one shows how it ended.
    const newer = await world.token()
    expect(newer).not.toBe(token)
    expect(await desk.look(newer, { isShown: false })).toMatchObject({ progress: { kind: 'open' } })
    expect(await desk.look(token, { isShown: false })).toMatchObject({ progress: { kind: 'resolved' } })
  })
})

describe('a user who is forgotten', () => {
  it('takes the links and what was minted along', async () => {
    const { world, token, desk } = await withLink()
    await redirectOf(desk.start(token, visit))
    expect(await world.links.forget('somebody else')).toBe(0)
    expect(await world.links.forget(world.subject.userId)).toBe(1)
    expect(await desk.look(token, { isShown: false })).toBeNull()
    await world.restart()
    expect(world.links.book.size()).toBe(0)
  })
})

/** Marches through waits that sockets answer in between. */
async function marched({ clock }: DeskWorld, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 5_000) {
    await clock.advance(Math.min(5_000, left))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function eventually(isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 400 && !isSo(); turn++) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(isSo()).toBe(true)
}
