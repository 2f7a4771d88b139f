import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/clock.ts'
import { type SlackInbox, slackFaults, startSlackInbox } from '../../src/demo/slack-inbox.ts'

describe('the Web API of the Slack inbox', () => {
  let now: number
  let inbox: SlackInbox
  const clock: Clock = { ...systemClock, now: () => now, monotonic: () => now }

  beforeEach(async () => {
    now = 1_000_000
    inbox = await startSlackInbox({ clock, burst: 20, channels: ['on-call', 'größe'] })
  })
  afterEach(() => inbox.close())

  async function call(method: string, args: unknown, headers: Record<string, string> = {}) {
    const response = await fetch(`${inbox.apiUrl}${method}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${inbox.apiToken}`, ...headers },
      body: typeof args === 'string' ? args : JSON.stringify(args),
    })
    return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
  }

  const post = async (args: object) => (await call('chat.postMessage', args)).body
  const update = async (args: object) => (await call('chat.update', args)).body

  it.each(['on-call', '#on-call', 'größe'])(
    'takes a message to %s, and by its id as well',
    async (channel) => {
      const posted = await post({ channel, text: 'one' })
      expect(posted).toMatchObject({ ok: true, channel: expect.stringMatching(/^C0/), ts: '1000.000001' })
      expect(await post({ channel: posted.channel, text: 'two' })).toMatchObject({ ts: '1000.000002' })
      expect(inbox.messages.items()).toMatchObject([
        { channel: `#${channel.replace('#', '')}`, text: 'one', ts: '1000.000001', receivedAt: 1_000_000 },
        { channel: `#${channel.replace('#', '')}`, text: 'two', ts: '1000.000002' },
      ])
    },
  )

  it('edits a message where it stands, and takes its blocks away', async () => {
    const { channel, ts } = await post({ channel: 'on-call', text: 'one', blocks: [{ type: 'divider' }] })
    now += 5_000
    expect(await update({ channel, ts, text: 'two', blocks: [] })).toEqual({
      ok: true,
      channel,
      ts,
      text: 'two',
    })
    expect(inbox.messages.items()).toMatchObject([{ text: 'two', blocks: [], editedAt: 1_005_000, ts }])
  })

  it('keeps a reply with its thread, also one to a reply', async () => {
    const { channel, ts } = await post({ channel: 'on-call', text: 'parent' })
    const reply = await post({ channel, text: 'reply', thread_ts: ts })
    await post({ channel, text: 'reply to it', thread_ts: reply.ts })
    expect(inbox.messages.items().map(({ threadTs }) => threadTs)).toEqual([undefined, ts, ts])
  })

  it('takes a form as well', async () => {
    const body = new URLSearchParams({ channel: 'on-call', text: 'x', blocks: '[{"type":"divider"}]' })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    expect((await call('chat.postMessage', body.toString(), headers)).body).toMatchObject({ ok: true })
    expect(inbox.messages.items()[0]?.blocks).toEqual([{ type: 'divider' }])
  })

  it.each<[string, string, unknown, Record<string, string>, string]>([
    ['no token', 'chat.postMessage', { channel: 'on-call' }, { authorization: '' }, 'not_authed'],
    [
      'another token',
      'chat.postMessage',
      { channel: 'on-call' },
      { authorization: 'Bearer x' },
      'invalid_auth',
    ],
    ['no channel', 'chat.postMessage', { text: 'x' }, {}, 'channel_not_found'],
    ['another channel', 'chat.postMessage', { channel: 'gone', text: 'x' }, {}, 'channel_not_found'],
    ['nothing to show', 'chat.postMessage', { channel: 'on-call' }, {}, 'no_text'],
    ['bad blocks', 'chat.postMessage', { channel: 'on-call', blocks: [{}] }, {}, 'invalid_blocks'],
    ['no JSON', 'chat.postMessage', '{', {}, 'invalid_json'],
    [
      'a text of 40,001',
      'chat.postMessage',
      { channel: 'on-call', text: 'x'.repeat(40_001) },
      {},
      'msg_too_long',
    ],
    [
      'a thread that there is not',
      'chat.postMessage',
      { channel: 'on-call', text: 'x', thread_ts: '1.2' },
      {},
      'thread_not_found',
    ],
    ['an edit by name', 'chat.update', { channel: 'on-call', ts: '1.2', text: 'x' }, {}, 'channel_not_found'],
    ['another method', 'chat.delete', {}, {}, 'unknown_method'],
  ])('refuses %s', async (_, method, args, headers, error) => {
    expect((await call(method, args, headers)).body).toEqual({ ok: false, error })
    expect(inbox.messages.total()).toBe(0)
  })

  it('knows no message that was deleted, or that another channel has', async () => {
    const { channel, ts } = await post({ channel: 'on-call', text: 'x' })
    const other = await post({ channel: 'größe', text: 'x' })
    expect(await update({ channel: other.channel, ts, text: 'y' })).toMatchObject({
      error: 'message_not_found',
    })
    inbox.remove(ts)
    expect(await update({ channel, ts, text: 'y' })).toMatchObject({ error: 'message_not_found' })
  })

  it('limits posts to a channel, and not edits', async () => {
    const { channel, ts } = await post({ channel: 'on-call', text: 'x' })
    for (let n = 1; n < 20; n += 1) await post({ channel, text: 'x' })
    const limited = await call('chat.postMessage', { channel: '#on-call', text: 'x' })
    expect(limited).toMatchObject({ status: 429, body: { ok: false, error: 'ratelimited' } })
    expect(limited.headers.get('retry-after')).toBe('1')
    expect(await update({ channel, ts, text: 'y' })).toMatchObject({ ok: true })
  })

  it('fails as it is told', async () => {
    inbox.fail(slackFaults.tokenRevoked, 1)
    expect(await post({ channel: 'on-call', text: 'x' })).toEqual({ ok: false, error: 'token_revoked' })
    inbox.fail({ kind: 'lost' }, 1)
    await expect(post({ channel: 'on-call', text: 'x' })).rejects.toThrow()
    expect(inbox.messages.total()).toBe(1)
  })
})
