// What every receiver has to do, each against a real peer over real sockets. A new kind of receiver
// is added to `kinds`.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hostileCase } from '../hostile.ts'
import { resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { emailPeer, type Peer, type PeerKind, slackPeer } from './peers.ts'

const kinds: readonly PeerKind[] = [slackPeer, emailPeer]

describe.each(kinds)('the $kind receiver', ({ kind, answers, secrets, forbidden, start }) => {
  let peer: Peer

  beforeEach(async () => {
    peer = await start()
  })

  afterEach(async () => {
    await peer.close()
  })

  it('says what it is', () => {
    expect(peer.integration).toMatchObject({ receiver: 'on-call', kind, index: 0, sendResolved: true })
  })

  it.each(Object.entries(answers).map(([name, expected]) => ({ name, ...expected })))(
    'takes "$name" for $kind, and tells no secret',
    async ({ name, kind: outcomeKind, reason, retryAfterMs }) => {
      peer.answer(name)
      const outcome = await peer.integration.send(sampleNotification(), sampleContext())
      expect(outcome).toMatchObject({ kind: outcomeKind })
      if (reason !== undefined) expect('reason' in outcome && outcome.reason).toMatch(reason)
      if (retryAfterMs !== undefined) expect(outcome).toMatchObject({ retryAfterMs })
      const said = JSON.stringify(outcome)
      for (const secret of secrets) expect(said).not.toContain(secret)
    },
  )

  it('gives up at once when the attempt is aborted while the peer hangs', async () => {
    peer.hang()
    const attempt = new AbortController()
    const outcome = peer.integration.send(sampleNotification(), sampleContext({ signal: attempt.signal }))
    setTimeout(() => attempt.abort(), 50)
    const startedAt = performance.now()
    expect(await outcome).toEqual({ kind: 'retry', reason: 'aborted' })
    expect(performance.now() - startedAt).toBeLessThan(2_000)
  })

  it('does not start an attempt that is aborted already', async () => {
    const outcome = await peer.integration.send(
      sampleNotification(),
      sampleContext({ signal: AbortSignal.abort() }),
    )
    expect(outcome).toEqual({ kind: 'retry', reason: 'aborted' })
    expect(peer.received()).toEqual([])
  })

  it('gives up what it is sending when it is closed', async () => {
    peer.hang()
    const outcome = peer.integration.send(sampleNotification(), sampleContext())
    await peer.integration.close()
    expect(await outcome).toEqual({ kind: 'retry', reason: 'aborted' })
  })

  it('wants to try again when nobody listens', async () => {
    await peer.close()
    const outcome = await peer.integration.send(sampleNotification(), sampleContext())
    expect(outcome).toMatchObject({ kind: 'retry' })
    for (const secret of secrets) expect(JSON.stringify(outcome)).not.toContain(secret)
  })

  it('sends the message without a link when finding the link fails', async () => {
    const outcome = await peer.integration.send(
      sampleNotification(),
      sampleContext({ linkFor: () => Promise.reject(new Error('partner is down')) }),
    )
    expect(outcome).toEqual({ kind: 'ok' })
    expect(peer.received().join()).not.toContain('partner is down')
  })

  it('says what, how many, since when, who, why, and the link of each device', async () => {
    expect(await peer.integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    const [message] = peer.received()
    expect(message).toContain('3 heat pumps (Vaillant): DeviceUnauthenticated')
    expect(message).toContain('Vaillant heat pump lost its connection')
    expect(message).toContain('11:01 UTC')
    expect(message).toContain('First message about this.')
    expect(message).toContain('https://docs.example.com/runbooks/unauthenticated')
    for (const n of [1, 2, 3]) {
      expect(message).toContain(`K-470${n}`)
      expect(message).toContain(`https://fleet.example.com/r/f${n}`)
    }
    expect(message).toMatch(/valid until .*13:00 UTC/)
  })

  it('tells names and e-mail addresses only where the receiver says so', async () => {
    const summary = 'Anna Muster 1 lost the connection'
    const notification = sampleNotification({ firing: [sampleAlert(1, { annotations: { summary } })] })
    await peer.integration.send(notification, sampleContext())
    expect(peer.received().join()).not.toMatch(/Anna|anna1/)
    const open = await start({ showPersonalData: true })
    await open.integration.send(notification, sampleContext())
    expect(open.received().join()).toMatch(/Anna Muster 1, anna1/)
    await open.close()
  })

  it('tells at most ten devices, then how many more and where they are', async () => {
    const firing = Array.from({ length: 4_000 }, (_, index) => sampleAlert(index + 1))
    expect(await peer.integration.send(sampleNotification({ firing }), sampleContext())).toEqual({
      kind: 'ok',
    })
    const [message] = peer.received()
    expect(message).toContain('4000 heat pumps')
    expect(message).toContain('…and 3990 more')
    expect(message).toContain('https://fleet.example.com/alerts')
    expect(message).toContain('https://fleet.example.com/r/f10')
    expect(message).not.toContain('https://fleet.example.com/r/f11')
  })

  it('says how long it lasted and that a reconnection was verified, and offers no link for it', async () => {
    const notification = sampleNotification({
      reason: 'all resolved',
      firing: [],
      resolved: [resolvedAlert(1)],
    })
    expect(await peer.integration.send(notification, sampleContext())).toEqual({ kind: 'ok' })
    const [message] = peer.received()
    expect(message).toMatch(/resolved/i)
    expect(message).toContain('reconnected after 59m, verified by the reading of 12:00 UTC')
    expect(message).not.toContain('https://fleet.example.com/r/')
  })

  it('never says recovered of a device that was deleted', async () => {
    const notification = sampleNotification({
      reason: 'all resolved',
      firing: [],
      resolved: [resolvedAlert(1, { resolvedReason: 'device_deleted' })],
    })
    await peer.integration.send(notification, sampleContext())
    expect(peer.received().join()).not.toMatch(/recovered|resolved:|reconnected/i)
    expect(peer.received().join()).toContain('deleted, no longer watched')
  })

  it('stays within the peer’s limits and lets nothing through, whatever the fleet’s data hold', async () => {
    // Several at once: a mail server takes its time to greet.
    await fc.assert(
      fc.asyncProperty(fc.array(hostileCase, { minLength: 10, maxLength: 10 }), async (cases) => {
        const before = peer.markup().length
        const outcomes = await Promise.all(
          cases.map(({ notification, link }) =>
            peer.integration.send(notification, sampleContext({ linkFor: async () => link })),
          ),
        )
        expect(outcomes).toEqual(cases.map(() => ({ kind: 'ok' })))
        const messages = peer.markup().slice(before)
        expect(messages).toHaveLength(cases.length)
        for (const message of messages) {
          expect(message).not.toMatch(forbidden)
          expect(message.isWellFormed()).toBe(true)
        }
      }),
      { numRuns: 8 },
    )
  })
})
