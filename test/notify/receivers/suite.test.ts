// What every receiver has to do, each against a real peer over real sockets. A new kind of receiver
// is added to `kinds`.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Integration, SendContext, SendOutcome } from '../../../src/notify/notification.ts'
import { hostileCase } from '../hostile.ts'
import { resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import {
  alertmanagerPeer,
  emailPeer,
  type Peer,
  type PeerKind,
  pagerdutyPeer,
  slackBotPeer,
  slackPeer,
  webhookPeer,
} from './peers.ts'
import { type HttpFault, type ScriptedHttp, startScriptedHttp } from './scripted-http.ts'

const kinds: readonly PeerKind[] = [
  slackPeer,
  slackBotPeer,
  emailPeer,
  webhookPeer,
  pagerdutyPeer,
  alertmanagerPeer,
]

const consoleMethods = ['log', 'info', 'warn', 'error', 'debug'] as const

describe.each(kinds)('the $name receiver', ({ kind, answers, secrets, forbidden, start }) => {
  let peer: Peer

  beforeEach(async () => {
    for (const method of consoleMethods) vi.spyOn(console, method)
    peer = await start()
  })

  afterEach(async () => {
    await peer.close()
    // Libraries like to talk; what they say could quote a request.
    for (const method of consoleMethods) expect(console[method]).not.toHaveBeenCalled()
    vi.restoreAllMocks()
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
    expect(outcome).toMatchObject({ kind: 'ok' })
    expect(peer.received().join()).toContain('K-4701')
    expect(peer.received().join()).not.toContain('partner is down')
  })

  it('tells names and e-mail addresses only where the receiver says so', async () => {
    const summary = 'Anna Muster 1 lost the connection'
    const notification = sampleNotification({ firing: [sampleAlert(1, { annotations: { summary } })] })
    await peer.integration.send(notification, sampleContext())
    expect(peer.received().join()).not.toMatch(/Anna|anna1/)
    const open = await start({ showPersonalData: true })
    await open.integration.send(notification, sampleContext())
    expect(open.received().join()).toMatch(/Anna Muster 1.*anna1@customer\.example/s)
    await open.close()
  })

  it('takes a customer’s e-mail address for personal where it is the id as well', async () => {
    const affected = { externalUserId: 'anna1@customer.example', name: null, email: null, model: null }
    const notification = sampleNotification({ firing: [sampleAlert(1, { affected })] })
    expect(await peer.integration.send(notification, sampleContext())).toMatchObject({ kind: 'ok' })
    expect(peer.received().join()).not.toContain('anna1')
  })

  it('gets a group of ten thousand through', async () => {
    const firing = Array.from({ length: 9_000 }, (_, index) => sampleAlert(index + 1))
    const resolved = Array.from({ length: 1_000 }, (_, index) => resolvedAlert(index + 9_001))
    const notification = sampleNotification({ reason: 'some resolved', firing, resolved })
    expect(await peer.integration.send(notification, sampleContext())).toMatchObject({ kind: 'ok' })
    expect(peer.received().join()).toContain('K-4701')
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
        expect(outcomes).toMatchObject(cases.map(() => ({ kind: 'ok' })))
        const messages = peer.markup().slice(before)
        expect(messages.length).toBeGreaterThanOrEqual(cases.length)
        for (const message of messages) {
          expect(message).not.toMatch(forbidden)
          expect(message.isWellFormed()).toBe(true)
        }
      }),
      { numRuns: 8 },
    )
  })
})

describe.each(kinds.filter(({ readers }) => readers === 'people'))(
  'the $name receiver, which people read,',
  ({ start }) => {
    let peer: Peer

    beforeEach(async () => {
      peer = await start()
    })

    afterEach(() => peer.close())

    it('says what, how many, since when, who, why, and the link of each device', async () => {
      expect(await peer.integration.send(sampleNotification(), sampleContext())).toMatchObject({ kind: 'ok' })
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

    it('tells at most ten devices, then how many more and where they are', async () => {
      const firing = Array.from({ length: 4_000 }, (_, index) => sampleAlert(index + 1))
      expect(await peer.integration.send(sampleNotification({ firing }), sampleContext())).toMatchObject({
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
      expect(await peer.integration.send(notification, sampleContext())).toMatchObject({ kind: 'ok' })
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
  },
)

describe.each(kinds.filter(({ http }) => http !== undefined))(
  'the $name receiver, which speaks HTTP,',
  ({ http, secrets }) => {
    let server: ScriptedHttp
    let integration: Integration
    if (http === undefined) throw new Error('filtered')
    const timeoutMs = 80
    const patientMs = 10_000

    beforeEach(async () => {
      server = await startScriptedHttp()
      integration = http.integrationAt(server.origin, timeoutMs)
    })

    afterEach(async () => {
      await integration.close()
      await server.close()
    })

    const send = (changes: Partial<SendContext> = {}) =>
      integration.send(sampleNotification(), sampleContext(changes))

    const sendPatiently = async (): Promise<SendOutcome> => {
      const patient = http.integrationAt(server.origin, patientMs)
      const outcome = await patient.send(sampleNotification(), sampleContext())
      await patient.close()
      return outcome
    }

    it('knows what each status means', async () => {
      // Not for want of time: the machine is shared.
      const patient = http.integrationAt(server.origin, patientMs)
      const expected = (status: number): SendOutcome['kind'] => {
        const odd = http.retried.includes(status)
        if (status < 300) return odd ? 'retry' : 'ok'
        if (status === 429) return 'rate_limited'
        return odd || status >= 500 || status === 408 || status === 425 ? 'retry' : 'permanent'
      }
      const wrong: string[] = []
      for (let status = 200; status <= 599; status += 1) {
        server.reply = { status, body: status < 300 ? http.success : secrets.join(' ') }
        const outcome = await patient.send(sampleNotification(), sampleContext())
        if (outcome.kind !== expected(status)) wrong.push(`${status} is ${outcome.kind}`)
        if (secrets.some((secret) => JSON.stringify(outcome).includes(secret))) wrong.push(`${status} tells`)
      }
      expect(wrong).toEqual([])
      await patient.close()
    })

    const faults: readonly [HttpFault, RegExp][] = [
      ['hang', /^timeout$/],
      ['half of the headers', /^timeout$/],
      ['cut', /^network: (UND_ERR_SOCKET|ECONNRESET)$/],
      ['cut in the headers', /^network: /],
      ['not HTTP', /^network/],
    ]
    it.each(faults)('wants to try again after "%s", within the time of a request', async (fault, reason) => {
      server.reply = fault
      const startedAt = performance.now()
      // What breaks off must be told from what takes too long, also on a machine that is busy.
      const outcome = reason.test('timeout') ? await send() : await sendPatiently()
      expect(outcome).toMatchObject({ kind: 'retry', reason: expect.stringMatching(reason) })
      expect(performance.now() - startedAt).toBeLessThan(patientMs / 2)
      for (const secret of secrets) expect(JSON.stringify(outcome)).not.toContain(secret)
    })

    it('believes a status without the rest of its answer, if that is all it needs', async () => {
      server.reply = 'half of the body'
      if (http.believesStatus) expect(await sendPatiently()).toEqual({ kind: 'ok' })
      else expect(await send()).toEqual({ kind: 'retry', reason: 'timeout' })
    })

    it('gives up at once when it is aborted in the middle of an answer', async () => {
      const patient = http.integrationAt(server.origin, 10_000)
      server.reply = 'half of the headers'
      const attempt = new AbortController()
      const outcome = patient.send(sampleNotification(), sampleContext({ signal: attempt.signal }))
      while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
      const startedAt = performance.now()
      attempt.abort()
      expect(await outcome).toEqual({ kind: 'retry', reason: 'aborted' })
      expect(performance.now() - startedAt).toBeLessThan(1_000)
      await patient.close()
    })

    it('does not read an answer of 100 MB', async () => {
      const patient = http.integrationAt(server.origin, 10_000)
      server.reply = 'flood'
      const outcome = await patient.send(sampleNotification(), sampleContext())
      expect(outcome.kind).toBe(http.believesStatus ? 'ok' : 'retry')
      // What fills the buffers of both sides counts as written.
      expect(server.written()).toBeLessThan(20_000_000)
      await patient.close()
    })

    it('asks in JSON, by POST', async () => {
      server.reply = { status: 200, body: http.success }
      expect(await send()).toMatchObject({ kind: 'ok' })
      const [request] = server.requests
      expect(request?.method).toBe('POST')
      expect(request?.headers['content-type']).toMatch(/^application\/json/)
      expect(JSON.parse(request?.body ?? '')).toBeTypeOf('object')
    })
  },
)
