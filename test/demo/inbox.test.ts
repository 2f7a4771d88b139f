import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/clock.ts'
import { createInbox } from '../../src/demo/inbox.ts'
import { startMailInbox } from '../../src/demo/mail-inbox.ts'
import { type SlackInbox, slackFaults, startSlackInbox } from '../../src/demo/slack-inbox.ts'
import { emailConfig, integrationOf } from '../notify/receivers/peers.ts'
import { sampleContext, sampleNotification } from '../notify/sample.ts'

describe('an inbox', () => {
  it('keeps the latest, and counts them all', () => {
    const inbox = createInbox<number>(3)
    for (let n = 1; n <= 5; n += 1) inbox.add(n)
    expect(inbox.items()).toEqual([3, 4, 5])
    expect(inbox.total()).toBe(5)
  })

  it('says when so many have arrived', async () => {
    const inbox = createInbox<number>(3)
    let told = false
    const arrived = inbox.arrived(2).then(() => {
      told = true
    })
    inbox.add(1)
    await Promise.resolve()
    expect(told).toBe(false)
    inbox.add(2)
    await arrived
    await inbox.arrived(1)
  })

  it('stops waiting when it is told to', async () => {
    const inbox = createInbox<number>(3)
    await expect(inbox.arrived(1, AbortSignal.abort('enough'))).rejects.toBe('enough')
    const waiting = new AbortController()
    const arrived = inbox.arrived(1, waiting.signal)
    waiting.abort('enough')
    await expect(arrived).rejects.toBe('enough')
  })
})

describe('the Slack inbox', () => {
  let now: number
  let inbox: SlackInbox
  const clock: Clock = { ...systemClock, now: () => now, monotonic: () => now }

  beforeEach(async () => {
    now = 1_000_000
    inbox = await startSlackInbox({ clock, burst: 3 })
  })
  afterEach(() => inbox.close())

  async function post(payload: unknown, url = inbox.webhookUrl('#on-call')) {
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload)
    const response = await fetch(url, { method: 'POST', body })
    return { status: response.status, body: await response.text(), headers: response.headers }
  }

  const mrkdwn = (text: string) => ({ type: 'mrkdwn', text })
  const section = (length: number) => ({ type: 'section', text: mrkdwn('x'.repeat(length)) })

  it('takes a message as Slack does, and keeps it with its channel and time', async () => {
    const blocks = [
      { type: 'header', text: { type: 'plain_text', text: 'hello', emoji: true } },
      { type: 'divider' },
    ]
    expect(await post({ text: 'hi', blocks })).toMatchObject({ status: 200, body: 'ok' })
    expect(inbox.messages.items()).toEqual([
      {
        id: '1',
        channel: '#on-call',
        receivedAt: 1_000_000,
        text: 'hi',
        blocks: [{ type: 'header', text: { type: 'plain_text', text: 'hello' } }, { type: 'divider' }],
        attachments: [],
      },
    ])
  })

  it('takes a form with a payload as well', async () => {
    const body = new URLSearchParams({ payload: '{"text":"hi"}' })
    const response = await fetch(inbox.webhookUrl('x'), { method: 'POST', body })
    expect(await response.text()).toBe('ok')
  })

  it.each([
    ['no JSON', '{', 'invalid_payload'],
    ['JSON that is no object', '[]', 'invalid_payload'],
    ['a text that is none', { text: 7 }, 'invalid_payload'],
    ['nothing to show', {}, 'no_text'],
    ['blocks that are no list', { blocks: {} }, 'invalid_blocks_format'],
    ['a kind of block that it does not know', { blocks: [{ type: 'confetti' }] }, 'invalid_blocks'],
    ['a header in mrkdwn', { blocks: [{ type: 'header', text: mrkdwn('x') }] }, 'invalid_blocks'],
    [
      'a header of 151',
      { blocks: [{ type: 'header', text: { type: 'plain_text', text: 'x'.repeat(151) } }] },
      'invalid_blocks',
    ],
    ['a section of 3,001', { blocks: [section(3_001)] }, 'invalid_blocks'],
    ['an empty text', { blocks: [section(0)] }, 'invalid_blocks'],
    ['a section of nothing', { blocks: [{ type: 'section' }] }, 'invalid_blocks'],
    ['11 fields', { blocks: [{ type: 'section', fields: Array(11).fill(mrkdwn('x')) }] }, 'invalid_blocks'],
    [
      'a field of 2,001',
      { blocks: [{ type: 'section', fields: [mrkdwn('x'.repeat(2_001))] }] },
      'invalid_blocks',
    ],
    [
      '11 elements',
      { blocks: [{ type: 'context', elements: Array(11).fill(mrkdwn('x')) }] },
      'invalid_blocks',
    ],
    ['a block_id of 256', { blocks: [{ type: 'divider', block_id: 'x'.repeat(256) }] }, 'invalid_blocks'],
    ['51 blocks', { blocks: Array(51).fill({ type: 'divider' }) }, 'invalid_blocks'],
    [
      'blocks of 13,201 in all',
      { blocks: [...Array(5).fill(section(2_640)), section(1)] },
      'msg_blocks_too_long',
    ],
    ['101 attachments', { attachments: Array(101).fill({}) }, 'too_many_attachments'],
  ])('refuses %s', async (_, payload, answer) => {
    expect(await post(payload)).toMatchObject({ status: 400, body: answer })
    expect(inbox.messages.total()).toBe(0)
  })

  it('takes what is just within the limits', async () => {
    expect(await post({ blocks: Array(5).fill(section(2_640)) })).toMatchObject({ body: 'ok' })
    expect(await post({ blocks: Array(50).fill({ type: 'divider' }) })).toMatchObject({ body: 'ok' })
  })

  it('takes a short burst, then one message a second for each channel', async () => {
    for (let n = 0; n < 3; n += 1) expect(await post({ text: 'x' })).toMatchObject({ status: 200 })
    const refused = await post({ text: 'x' })
    expect(refused).toMatchObject({
      status: 429,
      body: '{"retry_after":1,"ok":false,"error":"rate_limited"}',
    })
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await post({ text: 'x' }, inbox.webhookUrl('#other'))).toMatchObject({ status: 200 })
    now += 1_000
    expect(await post({ text: 'x' })).toMatchObject({ status: 200 })
    expect(await post({ text: 'x' })).toMatchObject({ status: 429 })
  })

  it('knows no other path', async () => {
    const { origin } = new URL(inbox.webhookUrl('x'))
    expect(await post({ text: 'x' }, `${origin}/services/T0/B0/x`)).toMatchObject({
      status: 404,
      body: 'no_service',
    })
    expect((await fetch(inbox.webhookUrl('x'))).status).toBe(404)
  })

  it('fails as it is told, so often as it is told, and is healed', async () => {
    inbox.fail(slackFaults.rateLimited, 1)
    const limited = await post({ text: 'x' })
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '30'])
    inbox.fail(slackFaults.archived)
    expect(await post({ text: 'x' })).toMatchObject({ status: 410, body: 'channel_is_archived' })
    inbox.fail({ kind: 'drop' }, 1)
    await expect(post({ text: 'x' })).rejects.toThrow()
    inbox.fail(slackFaults.hang)
    await expect(
      fetch(inbox.webhookUrl('x'), { method: 'POST', signal: AbortSignal.timeout(50) }),
    ).rejects.toThrow()
    inbox.heal()
    expect(await post({ text: 'x' })).toMatchObject({ status: 200 })
    expect(inbox.messages.total()).toBe(1)
  })
})

describe('the mail inbox', () => {
  it('keeps what arrived, hangs when told to, and is healed', async () => {
    const inbox = await startMailInbox({ clock: { ...systemClock, now: () => 42 } })
    const email = integrationOf({ email: emailConfig(inbox.port) })
    inbox.hang()
    const given = await email.send(sampleNotification(), sampleContext({ signal: AbortSignal.timeout(150) }))
    expect(given.kind).toBe('retry')
    inbox.heal()
    await email.send(sampleNotification(), sampleContext())
    await inbox.messages.arrived(1)
    expect(inbox.messages.items()[0]).toMatchObject({
      id: '1',
      receivedAt: 42,
      recipients: ['oncall@example.com'],
      to: 'oncall@example.com',
    })
    await inbox.close()
  })
})
