import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createClock, systemClock } from '../../../src/clock.ts'
import { type SlackInbox, startSlackInbox } from '../../../src/demo/slack-inbox.ts'
import { createMessage } from '../../../src/notify/message.ts'
import { createSlackIntegration } from '../../../src/notify/receivers/slack.ts'
import { slackPayload } from '../../../src/notify/receivers/slack-layout.ts'
import { hostileCase } from '../hostile.ts'
import { noon, resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { deps, integrationOf, slackConfig } from './peers.ts'

interface Block {
  readonly type: string
  readonly text?: { readonly text: string }
  readonly fields?: readonly { readonly text: string }[]
  readonly elements?: readonly { readonly text: string }[]
}

function laidOut(...[notification, options]: Parameters<typeof createMessage>): {
  readonly text: string
  readonly blocks: readonly Block[]
} {
  return JSON.parse(JSON.stringify(slackPayload(createMessage(notification, options))))
}

const plain = { links: new Map(), showPersonalData: false, moreUrl: null }

describe('a Slack message', () => {
  it('is a header, what to do, facts, devices with their links, and why it came', () => {
    const links = new Map([['f1', { url: 'https://a.example/r?x=1&y=2', validUntil: noon + 3_600_000 }]])
    const { text, blocks } = laidOut(sampleNotification({ firing: [sampleAlert(1)] }), { ...plain, links })
    expect(blocks).toEqual([
      {
        type: 'header',
        text: { type: 'plain_text', emoji: true, text: '🔴 1 heat pump (Vaillant): DeviceUnauthenticated' },
      },
      {
        type: 'section',
        text: {
          type: 'mrkdwn',
          verbatim: true,
          text:
            '*Vaillant heat pump lost its connection*\n' +
            '*To do:* Open a device’s link and follow the steps; it resolves by itself once the device answers. ' +
            '<https://docs.example.com/runbooks/unauthenticated|Runbook>',
        },
      },
      {
        type: 'section',
        fields: [
          '*Since*\n<!date^1795431660^{time}|11:01 UTC>',
          '*Severity*\ncritical',
          '*Affected*\n1 customer',
        ].map((field) => ({ type: 'mrkdwn', verbatim: true, text: field })),
      },
      {
        type: 'section',
        text: {
          type: 'mrkdwn',
          verbatim: true,
          text:
            '• *Heat pump Vaillant aroTHERM plus* · customer `K-4701`\n' +
            '      *<https://a.example/r?x=1&amp;y=2|Resolve>* (valid until <!date^1795438800^{time}|13:00 UTC>)' +
            ' · since <!date^1795431660^{time}|11:01 UTC>',
        },
      },
      {
        type: 'context',
        elements: [{ type: 'mrkdwn', verbatim: true, text: 'First message about this.' }],
      },
    ])
    // What phones show, and what is sent when Slack refuses the blocks: complete in itself.
    expect(text).toMatch(/^🔴 1 heat pump \(Vaillant\): DeviceUnauthenticated\n/)
    for (const part of ['K-4701', 'https://a.example/r?x=1&amp;y=2', 'First message about this.']) {
      expect(text).toContain(part)
    }
  })

  it('has Slack open no links and look for no names', () => {
    expect(laidOut(sampleNotification(), plain)).toMatchObject({
      unfurl_links: false,
      unfurl_media: false,
      link_names: false,
    })
  })

  it.each([
    [{ severity: 'critical' }, {}, /^🔴 1 heat pump/],
    [{ severity: 'warning' }, {}, /^🟠 1 heat pump/],
    [{ severity: 'info' }, {}, /^🔵 1 heat pump/],
    [{}, { resolvedReason: 'condition' }, /^✅ Resolved: 1 heat pump/],
    [{}, { resolvedReason: 'rule_removed' }, /^⚪ Ended: 1 heat pump/],
  ] as const)('shows its state first: %j %j', (labels, ending, expected) => {
    const changes = { labels: { ...sampleAlert(1).labels, ...labels } }
    const notification =
      'resolvedReason' in ending
        ? sampleNotification({ firing: [], resolved: [resolvedAlert(1, { ...changes, ...ending })] })
        : sampleNotification({ firing: [sampleAlert(1, changes)] })
    const { text, blocks } = laidOut(notification, plain)
    expect(blocks[0]?.text?.text).toMatch(expected)
    expect(text).toMatch(expected)
  })

  it('shows a device whose link is too long without it, rather than with half of it', () => {
    const long = `https://a.example/?${'x&'.repeat(700)}`
    const links = new Map([['f1', { url: long, validUntil: null }]])
    const { blocks } = laidOut(sampleNotification({ firing: [sampleAlert(1)] }), { ...plain, links })
    const list = JSON.stringify(blocks[3])
    expect(list).toContain('its link is too long for Slack')
    expect(list).not.toContain('x&')
  })

  it('counts devices that did not fit among the rest', () => {
    const url = `https://a.example/?${'x'.repeat(900)}`
    const firing = Array.from({ length: 14 }, (_, index) => sampleAlert(index + 1))
    const links = new Map(firing.map(({ fingerprint }) => [fingerprint, { url, validUntil: null }]))
    const { blocks } = laidOut(sampleNotification({ firing }), { ...plain, links })
    const words = JSON.stringify(blocks)
    const listed = words.split('|Resolve>').length - 1
    expect(listed).toBeGreaterThan(5)
    expect(listed).toBeLessThan(10)
    expect(words).toContain(`…and ${14 - listed} more`)
  })

  it('keeps to 45 blocks and 9,000 characters, and to each limit of Slack’s, whatever it is about', () => {
    fc.assert(
      fc.property(hostileCase, fc.boolean(), ({ notification, link }, showPersonalData) => {
        const links = new Map(
          link === null ? [] : notification.firing.map((alert) => [alert.fingerprint, link]),
        )
        const moreUrl = link?.url ?? null
        const { text, blocks } = laidOut(notification, { links, showPersonalData, moreUrl })
        const texts = blocks.flatMap((block) => [
          ...(block.text === undefined ? [] : [block.text.text]),
          ...(block.fields ?? []).map((field) => field.text),
          ...(block.elements ?? []).map((element) => element.text),
        ])
        expect(blocks.length).toBeLessThanOrEqual(45)
        expect(texts.join('').length).toBeLessThanOrEqual(9_000)
        expect(text.length).toBeLessThanOrEqual(4_000)
        for (const block of blocks) {
          expect(block.text?.text.length ?? 1).toBeGreaterThan(0)
          expect(block.text?.text.length ?? 1).toBeLessThanOrEqual(block.type === 'header' ? 150 : 3_000)
          expect(block.fields?.length ?? 1).toBeLessThanOrEqual(10)
          for (const { text: field } of block.fields ?? []) expect(field.length).toBeLessThanOrEqual(2_000)
        }
        for (const part of [...texts, text]) {
          // Each `<` is closed again, and what it holds is a link or a date.
          expect(
            part.replace(/<(https?:\/\/[^<>|\s]+\|[^<>|]+|!date\^\d+\^[^<>|]+\|[^<>|]+)>/g, ''),
          ).not.toMatch(/[<>]/)
          // Each `&` begins one of the three entities that Slack knows.
          expect(part.replace(/&(amp|lt|gt);/g, '')).not.toContain('&')
          expect(part.isWellFormed()).toBe(true)
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('the Slack receiver', () => {
  let inbox: SlackInbox
  beforeEach(async () => {
    inbox = await startSlackInbox({ clock: systemClock })
  })
  afterEach(() => inbox.close())

  it('sends plain text when Slack refuses the blocks, and reports that as our fault', async () => {
    const refused: unknown[] = []
    const integration = createSlackIntegration(
      slackConfig(inbox.webhookUrl('#on-call')),
      { receiver: 'on-call', index: 3 },
      {
        clock: createClock({ factor: 50 }),
        moreUrl: () => null,
        onLayoutRefused: (event) => refused.push(event),
        onTemplateFailure: () => {},
      },
    )
    inbox.fail({ kind: 'answer', status: 400, body: 'msg_blocks_too_long' }, 1)
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    expect(refused).toEqual([{ receiver: 'on-call', index: 3, answer: 'HTTP 400 msg_blocks_too_long' }])
    const [message] = inbox.messages.items()
    expect(message?.blocks).toEqual([])
    expect(message?.text).toContain('https://fleet.example.com/r/f1')
    expect(inbox.requests()).toBe(2)
  })

  it('gives up after the plain text was refused as well, having asked twice', async () => {
    inbox.fail({ kind: 'answer', status: 400, body: 'invalid_payload' })
    const outcome = await integrationOf({ slack: slackConfig(inbox.webhookUrl('x')) }).send(
      sampleNotification(),
      sampleContext(),
    )
    expect(outcome).toEqual({ kind: 'permanent', reason: 'HTTP 400 invalid_payload' })
    expect(inbox.requests()).toBe(2)
  })

  it('waits when the plain text meets the rate limit', async () => {
    inbox.fail({ kind: 'answer', status: 400, body: 'invalid_blocks' }, 1)
    const integration = integrationOf({ slack: slackConfig(inbox.webhookUrl('x')) })
    const outcome = integration.send(sampleNotification(), sampleContext())
    while (inbox.requests() < 1) await new Promise((resolve) => setImmediate(resolve))
    inbox.fail({ kind: 'answer', status: 429, body: '', headers: { 'retry-after': '7' } })
    expect(await outcome).toEqual({ kind: 'rate_limited', retryAfterMs: 7_000 })
  })

  it('wants to try again when the answer is lost on its way, since it cannot know', async () => {
    inbox.fail({ kind: 'lost' }, 1)
    const integration = integrationOf({ slack: slackConfig(inbox.webhookUrl('x')) })
    expect(await integration.send(sampleNotification(), sampleContext())).toMatchObject({ kind: 'retry' })
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    expect(inbox.messages.total()).toBe(2)
  })

  it('gives up on a request that is not answered, without being told to', async () => {
    inbox.fail({ kind: 'hang' })
    const integration = createSlackIntegration(
      slackConfig(inbox.webhookUrl('x')),
      { receiver: 'on-call', index: 0 },
      { ...deps, requestTimeoutMs: 40 },
    )
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({
      kind: 'retry',
      reason: 'timeout',
    })
  })

  it('keeps to one message a second', () => {
    expect(integrationOf({ slack: slackConfig('https://hooks.example/') }).minimumSpacingMs).toBe(1_000)
  })

  it('says that an api_url is no URL, without quoting it', async () => {
    const integration = integrationOf({ slack: slackConfig('hooks/secret') })
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({
      kind: 'permanent',
      reason: 'api_url is not a URL',
    })
  })
})
