import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createClock } from '../../../src/clock.ts'
import type { SlackBotConfig } from '../../../src/config.ts'
import { type SlackInbox, slackFaults, startSlackInbox } from '../../../src/demo/slack-inbox.ts'
import type { Integration, Notification, SendContext, SendOutcome } from '../../../src/notify/notification.ts'
import { hostileCase } from '../hostile.ts'
import { resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { integrationOf, slackBotConfig } from './peers.ts'
import { startScriptedHttp } from './scripted-http.ts'

const clock = createClock({ factor: 50 })

describe('the Slack bot', () => {
  let inbox: SlackInbox
  let integration: Integration
  beforeEach(async () => {
    refusals.length = 0
    inbox = await startSlackInbox({ clock, burst: 1_000, channels: ['on-call', 'other'] })
    integration = bot()
  })
  afterEach(async () => {
    await integration.close()
    await inbox.close()
  })

  /** Blocks that Slack refused: none, unless a test makes it. */
  const refusals: unknown[] = []
  const bot = (changes: Partial<SlackBotConfig> = {}) =>
    integrationOf(
      { slack: slackBotConfig(inbox.apiUrl, changes) },
      { clock, onLayoutRefused: (event) => refusals.push(event) },
    )

  const send = (changes: Partial<Notification>, context: Partial<SendContext> = {}) =>
    integration.send(sampleNotification(changes), sampleContext(context))

  function data(outcome: SendOutcome): string {
    if (outcome.kind !== 'ok' || outcome.receiverData === undefined) throw new Error(JSON.stringify(outcome))
    return outcome.receiverData
  }

  const messages = () => inbox.messages.items()
  const parents = () => messages().filter(({ threadTs }) => threadTs === undefined)
  const replies = () => messages().filter(({ threadTs }) => threadTs !== undefined)
  const firstLines = () => parents().map(({ text }) => text.split('\n')[0])

  it('posts one message for a group and gives back where it stands', async () => {
    const outcome = await send({})
    const [parent] = messages()
    expect(JSON.parse(data(outcome))).toEqual({
      channel: expect.stringMatching(/^C0/),
      ts: parent?.ts,
      configured: '#on-call',
    })
    expect(parent).toMatchObject({ channel: '#on-call' })
    expect(parent?.blocks.length).toBeGreaterThan(2)
  })

  it('edits its message and tells in the thread what happened, until all is over', async () => {
    let receiverData = data(await send({ firing: [sampleAlert(1)] }))
    const next = async (changes: Partial<Notification>) => {
      receiverData = data(await send(changes, { receiverData }))
      return { parent: firstLines(), reply: replies().at(-1)?.text.split('\n') ?? [] }
    }

    const two = [sampleAlert(1), sampleAlert(2)]
    const grown = await next({ reason: 'new alerts', firing: two })
    expect(grown.parent).toEqual(['🔴 2 heat pumps (Vaillant): DeviceUnauthenticated'])
    expect(grown.reply[0]).toBe('🔴 *More were added since the last message.* 2 firing.')
    expect(grown.reply[1]).toContain('K-4702')

    const shrunk = await next({
      reason: 'some resolved',
      firing: [sampleAlert(1)],
      resolved: [resolvedAlert(2)],
    })
    expect(shrunk.parent).toEqual(['🔴 1 heat pump (Vaillant): DeviceUnauthenticated'])
    expect(shrunk.reply[0]).toContain('1 ended since the last message, 1 still firing.')
    expect(shrunk.reply[1]).toMatch(/^✓ .*K-4702/)

    const repeated = await next({ reason: 'repeat', firing: [sampleAlert(1)] })
    expect(repeated.reply).toEqual(['🔴 *Reminder: told before, still firing.* 1 firing.'])
    const audible = await next({ reason: 'silence ended', firing: [sampleAlert(1)] })
    expect(audible.reply[0]).toContain('the silence is over')

    const over = await next({ reason: 'all resolved', firing: [], resolved: [resolvedAlert(1)] })
    expect(over.parent).toEqual(['✅ Resolved: 1 heat pump (Vaillant): DeviceUnauthenticated'])
    expect(over.reply[0]).toBe('✅ *Nothing is firing here any more.* 0 firing, 1 ended.')
    expect(over.reply[1]).toContain('K-4701')

    expect(parents()).toHaveLength(1)
    expect(replies()).toHaveLength(5)
    expect(new Set(replies().map(({ threadTs }) => threadTs))).toEqual(new Set([parents()[0]?.ts]))
  })

  it.each(['first notification', 'resolved before delivery'] as const)(
    'begins a new message with the next episode: %s',
    async (reason) => {
      const receiverData = data(await send({}))
      expect(data(await send({ reason }, { receiverData }))).not.toBe(receiverData)
      expect(parents()).toHaveLength(2)
      expect(replies()).toEqual([])
      expect(messages()[0]).not.toHaveProperty('editedAt')
    },
  )

  it('edits quietly when what was silenced has resolved', async () => {
    const receiverData = data(await send({}))
    const quiet = { reason: 'resolved while silenced', firing: [], resolved: [resolvedAlert(1)] } as const
    expect(data(await send(quiet, { receiverData }))).toBe(receiverData)
    expect(messages()).toHaveLength(1)
    expect(messages()[0]).toHaveProperty('editedAt')
    expect(firstLines()[0]).toMatch(/^✅/)
  })

  it('names at most five that ended in a reply, and counts the rest', async () => {
    const receiverData = data(await send({}))
    const resolved = Array.from({ length: 60 }, (_, index) => resolvedAlert(index + 1))
    await send({ reason: 'all resolved', firing: [], resolved }, { receiverData })
    const lines = replies()[0]?.text.split('\n') ?? []
    expect(lines.filter((line) => line.startsWith('✓'))).toHaveLength(5)
    expect(lines.at(-1)).toBe('…and 55 more')
  })

  it('posts anew when its message was deleted', async () => {
    const receiverData = data(await send({}))
    inbox.remove(JSON.parse(receiverData).ts)
    const anew = data(await send({ reason: 'new alerts' }, { receiverData }))
    expect(JSON.parse(anew).ts).toBe(messages().at(-1)?.ts)
    expect(parents()).toHaveLength(2)
    expect(replies()).toEqual([])
  })

  it.each(['cant_update_message', 'edit_window_closed', 'message_not_found'])(
    'posts anew when Slack says %s',
    async (error) => {
      const receiverData = data(await send({}))
      inbox.fail({ kind: 'answer', status: 200, body: JSON.stringify({ ok: false, error }) }, 1)
      expect(data(await send({ reason: 'repeat' }, { receiverData }))).not.toBe(receiverData)
      expect(parents()).toHaveLength(2)
    },
  )

  it('posts anew into another channel once that is configured', async () => {
    const receiverData = data(await send({}))
    await integration.close()
    integration = bot({ channel: 'other' })
    const moved = data(await send({ reason: 'repeat' }, { receiverData }))
    expect(messages().map(({ channel }) => channel)).toEqual(['#on-call', '#other'])
    expect(JSON.parse(moved)).toMatchObject({ configured: 'other' })
  })

  it.each(['', '{', '[]', '{"channel":7,"ts":"1"}', 'ts=1'])(
    'posts anew with receiver data that are not its own: %j',
    async (receiverData) => {
      expect((await send({ reason: 'repeat' }, { receiverData })).kind).toBe('ok')
      expect(parents()).toHaveLength(1)
      expect(replies()).toEqual([])
    },
  )

  it('replies once when it broke off between the edit and the reply', async () => {
    const receiverData = data(await send({}))
    const requests = inbox.requests()
    const grown = { reason: 'new alerts', firing: [sampleAlert(1), sampleAlert(2)] } as const
    const broken = await sendToFailing(slackFaults.internalError.body, grown, { receiverData })
    if (broken.kind !== 'retry') throw new Error(JSON.stringify(broken))
    expect(broken).toMatchObject({ reason: 'internal_error', receiverData })

    // Once more, with what the failed attempt reached: no second edit.
    const again = await send(grown, { receiverData, delivered: broken.delivered ?? [] })
    expect(data(again)).toBe(receiverData)
    expect(inbox.requests()).toBe(requests + 1)
    expect(replies()).toHaveLength(1)

    // A crash forgets that it was reached: one more edit, and one reply that is doubled.
    await send(grown, { receiverData })
    expect(parents()).toHaveLength(1)
    expect(replies()).toHaveLength(2)
  })

  it('edits for a newer message, whatever an older one had reached', async () => {
    const receiverData = data(await send({}))
    const over = { reason: 'all resolved', firing: [], resolved: [resolvedAlert(1)], at: 7 } as const
    await send(over, { receiverData, delivered: ['edited@6'] })
    expect(firstLines()[0]).toMatch(/^✅/)
  })

  it('waits when Slack limits the reply, and replies once', async () => {
    const receiverData = data(await send({}))
    const answer = '{"ok":false,"error":"ratelimited"}'
    const limited = await sendToFailing(answer, { reason: 'repeat' }, { receiverData })
    expect(limited).toEqual({ kind: 'rate_limited', retryAfterMs: null })
    await send({ reason: 'repeat' }, { receiverData })
    expect(replies()).toHaveLength(1)
  })

  it('shows plain text when Slack refuses the blocks, in place of those that stood there', async () => {
    const receiverData = data(await send({}))
    inbox.fail({ kind: 'answer', status: 200, body: '{"ok":false,"error":"msg_blocks_too_long"}' }, 1)
    expect(data(await send({ reason: 'resolved while silenced' }, { receiverData }))).toBe(receiverData)
    expect(refusals).toEqual([{ receiver: 'on-call', index: 0, answer: 'msg_blocks_too_long' }])
    expect(messages()[0]?.blocks).toEqual([])
    expect(messages()[0]?.text).toContain('K-4701')
  })

  it('keeps edits and replies within Slack’s limits, and harmless, whatever the fleet’s data hold', async () => {
    const receiverData = data(await send({}))
    await fc.assert(
      fc.asyncProperty(hostileCase, async ({ notification, link }) => {
        const reason = notification.reason === 'new alerts' ? 'new alerts' : 'some resolved'
        const context = sampleContext({ receiverData, linkFor: async () => link })
        expect(await integration.send({ ...notification, reason }, context)).toEqual({
          kind: 'ok',
          receiverData,
        })
        for (const { text, blocks } of [messages().at(0), messages().at(-1)].filter((m) => m !== undefined)) {
          expect(text.length).toBeLessThanOrEqual(4_000)
          expect(`${text}${JSON.stringify(blocks)}`).not.toMatch(/<(?!https?:\/\/|!date\^)|<https:\/\/evil/)
        }
      }),
      { numRuns: 40 },
    )
    expect(parents()).toHaveLength(1)
    expect(refusals).toEqual([])
  })

  it('ends a reply between lines when the devices’ data are long', async () => {
    const receiverData = data(await send({}))
    const long = '&'.repeat(2_000)
    const affected = { externalUserId: long, name: long, email: long, model: long }
    const resolved = [1, 2, 3, 4, 5].map((n) =>
      resolvedAlert(n, { affected, annotations: { summary: `${n}${long}` } }),
    )
    await send({ reason: 'some resolved', resolved }, { receiverData })
    const [reply] = replies()
    expect(reply?.text.length).toBeGreaterThan(1_000)
    expect(reply?.text.length).toBeLessThanOrEqual(3_900)
    expect(reply?.text).not.toMatch(/&(?!amp;)/)
    expect(refusals).toEqual([])
  })

  it('says in Slack’s words what has to be changed', async () => {
    expect(await bot({ channel: '#gone' }).send(sampleNotification(), sampleContext())).toEqual({
      kind: 'permanent',
      reason: 'channel_not_found: check the channel, and that the app is a member of it',
    })
    inbox.fail(slackFaults.tokenRevoked)
    expect(await send({})).toEqual({ kind: 'permanent', reason: 'token_revoked: check app_token' })
  })

  it('takes more than ten kilobytes for an answer: Slack quotes the message', async () => {
    const server = await startScriptedHttp({
      status: 200,
      body: JSON.stringify({ ok: true, message: { text: 'x'.repeat(200_000) }, channel: 'C1', ts: '1.2' }),
    })
    const one = integrationOf({ slack: slackBotConfig(`${server.origin}/api/`) })
    const outcome = await one.send(sampleNotification(), sampleContext())
    expect(JSON.parse(data(outcome))).toEqual({ channel: 'C1', ts: '1.2', configured: '#on-call' })
    await one.close()
    await server.close()
  })

  /** To a Slack that takes every edit and gives this answer to each post. */
  async function sendToFailing(
    answer: string,
    changes: Partial<Notification>,
    context: Partial<SendContext>,
  ): Promise<SendOutcome> {
    const server = await startScriptedHttp(({ path }) => ({
      status: 200,
      body: path.endsWith('/chat.update') ? '{"ok":true,"channel":"C1","ts":"1.2"}' : answer,
    }))
    const one = integrationOf({ slack: slackBotConfig(`${server.origin}/api/`) })
    const outcome = await one.send(sampleNotification(changes), sampleContext(context))
    expect(server.requests.map(({ path }) => path)).toEqual(['/api/chat.update', '/api/chat.postMessage'])
    await one.close()
    await server.close()
    return outcome
  }
})
