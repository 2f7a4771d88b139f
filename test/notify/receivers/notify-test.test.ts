import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { notifyTest } from '../../../src/cli/notify-test.ts'
import { createClock } from '../../../src/clock.ts'
import type { Config } from '../../../src/config.ts'
import { type MailInbox, startMailInbox } from '../../../src/demo/mail-inbox.ts'
import { type SlackInbox, slackFaults, startSlackInbox } from '../../../src/demo/slack-inbox.ts'
import { emailConfig, receiverConfig, slackConfig } from './peers.ts'

const clock = createClock({ factor: 100 })

describe('notify-test', () => {
  let slack: SlackInbox
  let mail: MailInbox
  beforeEach(async () => {
    slack = await startSlackInbox({ clock })
    mail = await startMailInbox({ clock })
  })
  afterEach(async () => {
    await slack.close()
    await mail.close()
  })

  async function run(receiver: string, changes: { slack?: object; email?: object } = {}) {
    const config: Pick<Config, 'alerting'> = {
      alerting: {
        inhibitRules: [],
        timeIntervals: [],
        resolveTimeoutMs: 0,
        route: {
          receiver: 'on-call',
          key: '{}',
          matchers: [],
          continue: false,
          muteTimeIntervals: [],
          activeTimeIntervals: [],
          routes: [],
          groupBy: 'all',
          groupWaitMs: 0,
          groupIntervalMs: 0,
          repeatIntervalMs: 0,
        },
        receivers: [
          {
            ...receiverConfig('on-call'),
            slack: [slackConfig(slack.webhookUrl('#on-call'), changes.slack)],
            email: [emailConfig(mail.port, changes.email)],
          },
          receiverConfig('nobody'),
        ],
      },
    }
    const lines: string[] = []
    const code = await notifyTest({
      receiver,
      config,
      clock,
      signal: new AbortController().signal,
      print: (line) => lines.push(line),
    })
    return { code, lines }
  }

  it('sends a firing and a resolved message through each way to reach the receiver', async () => {
    expect(await run('on-call')).toEqual({
      code: 0,
      lines: [
        'on-call/slack/0, firing message: taken',
        'on-call/slack/0, resolved message: taken',
        'on-call/email/0, firing message: taken',
        'on-call/email/0, resolved message: taken',
      ],
    })
    expect(slack.messages.items().map(({ text }) => text.split('\n')[0])).toEqual([
      '🔵 1 heat pump (Example): NotifyTest',
      '✅ Resolved: 1 heat pump (Example): NotifyTest',
    ])
    expect(slack.messages.items()[0]?.text).toContain('nothing is wrong')
    expect(mail.messages.total()).toBe(2)
  })

  it('says what failed and what it was, without the address of the webhook', async () => {
    slack.fail(slackFaults.noService)
    mail.refuse('b@example.com')
    const { code, lines } = await run('on-call', { email: { to: ['a@example.com', 'b@example.com'] } })
    expect(code).toBe(1)
    expect(lines).toEqual([
      'on-call/slack/0, firing message: refused for good: HTTP 404 no_service',
      'on-call/slack/0, resolved message: refused for good: HTTP 404 no_service',
      'on-call/email/0, firing message: taken, but not for b@example.com: the server refuses them',
      'on-call/email/0, resolved message: taken, but not for b@example.com: the server refuses them',
    ])
  })

  it('waits once when it is rate limited', async () => {
    slack.fail(slackFaults.rateLimited, 1)
    expect((await run('on-call')).code).toBe(0)
    slack.fail({ ...slackFaults.rateLimited, headers: { 'retry-after': '600' } })
    expect((await run('on-call')).lines[0]).toBe(
      'on-call/slack/0, firing message: not taken: too many messages, for 600 s',
    )
  })

  it('says that Slack refused the layout when the plain text went through', async () => {
    slack.fail({ kind: 'answer', status: 400, body: 'invalid_blocks' }, 1)
    const { code, lines } = await run('on-call')
    expect(code).toBe(0)
    expect(lines.slice(0, 2)).toEqual([
      '  Slack refused the layout (HTTP 400 invalid_blocks); trying plain text',
      'on-call/slack/0, firing message: taken',
    ])
  })

  it('leaves out the resolved message where it is switched off', async () => {
    const { code, lines } = await run('on-call', { slack: { sendResolved: false } })
    expect(code).toBe(0)
    expect(lines[1]).toBe('on-call/slack/0, resolved message: not sent, as configured (send_resolved: false)')
    expect(slack.messages.total()).toBe(1)
  })

  it('ends with a usage error for a receiver that there is not', async () => {
    expect(await run('on-cal')).toEqual({
      code: 2,
      lines: ['There is no receiver "on-cal"; did you mean on-call?'],
    })
    expect((await run('everybody')).lines).toEqual([
      'There is no receiver "everybody"; there are: on-call, nobody',
    ])
  })

  it('says that a receiver reaches nobody', async () => {
    const { code, lines } = await run('nobody')
    expect(code).toBe(1)
    expect(lines[0]).toContain('reach nobody')
  })
})
