import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { createInbox } from '../../src/demo/inbox.ts'
import { inboxApp, renderInboxPage } from '../../src/demo/inbox-page.ts'
import type { InboxMail } from '../../src/demo/mail-inbox.ts'
import { renderMrkdwn, renderPlainText } from '../../src/demo/mrkdwn.ts'
import type { SlackMessage } from '../../src/demo/slack-inbox.ts'
import { hostileText } from '../notify/hostile.ts'
import { noon } from '../notify/sample.ts'

const attack = '<script>alert(1)</script>"\'&'

function slackMessage(changes: Partial<SlackMessage> = {}): SlackMessage {
  return {
    id: '1',
    channel: '#on-call',
    receivedAt: noon,
    text: 'text',
    blocks: [],
    attachments: [],
    ...changes,
  }
}

function mail(changes: Partial<InboxMail> = {}): InboxMail {
  return {
    id: '1',
    receivedAt: noon,
    recipients: ['oncall@example.com'],
    from: '"Fleet" <fleet@example.org>',
    to: 'oncall@example.com',
    subject: 'Fleet alert',
    text: 'FIRING (warning): 1 heat pump',
    html: '<p>hello</p>',
    messageId: '<a@b>',
    inReplyTo: null,
    references: [],
    headers: [{ name: 'Subject', value: 'Fleet alert' }],
    size: 1_234,
    ...changes,
  }
}

function page(changes: Partial<Parameters<typeof renderInboxPage>[0]> = {}): Promise<string> {
  return renderInboxPage({ slack: [], mail: [], now: noon, links: [], live: true, ...changes })
}

describe('mrkdwn', () => {
  const show = (text: string) => renderMrkdwn(text, noon)

  it.each([
    ['*bold* and _it_ and ~gone~', '<b>bold</b> and <i>it</i> and <s>gone</s>'],
    ['a*b*c, * d *, 2 * 3 * 4', 'a*b*c, * d *, 2 * 3 * 4'],
    ['a\u200b*b*', 'a\u200b*b*'],
    ['`<!channel> *x*`', '<code><mark>@channel</mark> *x*</code>'],
    ['&lt;b&gt; &amp;amp;', '&lt;b&gt; &amp;amp;'],
    ['one\ntwo', 'one<br>two'],
    [
      '<https://a.example/?x=1&amp;y=2|go *there*>',
      '<a href="https://a.example/?x=1&amp;y=2" target="_blank" rel="noopener noreferrer">go *there*</a>',
    ],
    [
      '*<https://a.example|bold link>*',
      '<b><a href="https://a.example" target="_blank" rel="noopener noreferrer">bold link</a></b>',
    ],
    ['<javascript:alert(1)|x>', 'x'],
    ['<!here> <@U1> <#C1|general>', '<mark>@here</mark> <mark>@U1</mark> <mark>general</mark>'],
    ['<!date^abc^{time}|fallback>', 'fallback'],
  ])('%j is %j', (text, shown) => {
    expect(show(text)).toBe(shown)
  })

  it('shows dates in UTC, and near ones by name', () => {
    const seconds = noon / 1_000
    const said = (at: number, format: string) => show(`<!date^${at}^${format}|x>`).replace(/<[^>]*>/g, '')
    expect(said(seconds, '{date_short_pretty} {time}')).toBe('Today 12:00 UTC')
    expect(said(seconds - 86_400, '{date_pretty}')).toBe('Yesterday')
    expect(said(seconds + 86_400, '{date_long_pretty}')).toBe('Tomorrow')
    expect(said(seconds - 9 * 86_400, '{date_short}, {time_secs} {nonsense}')).toBe(
      '14 Nov 2026, 12:00:00 UTC {nonsense}',
    )
  })

  it('has no tags but its own, whatever it is made of', () => {
    const pieces = fc.array(
      fc.oneof(
        hostileText,
        fc.constantFrom('<', '>', '*', '`', '|', '&lt;', '\ue0000\ue001', '<https://a.example|', '\n'),
      ),
      { maxLength: 8 },
    )
    fc.assert(
      fc.property(pieces, (parts) => {
        for (const shown of [renderMrkdwn(parts.join(''), noon), renderPlainText(parts.join(''))]) {
          const left = shown.replace(
            /<(?:\/?(?:b|i|s|code|mark|a|time)|br|a href="(?:https?|mailto):[^"<>]*" target="_blank" rel="noopener noreferrer"|time datetime="[^"<>]*" title="[^"<>]*")>/gi,
            '',
          )
          expect(left).not.toMatch(/[<>]/)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('the inbox page', () => {
  it('shows Slack messages as blocks and as text, newest first', async () => {
    const shown = await page({
      slack: [
        slackMessage({ id: '1', text: 'the older' }),
        slackMessage({
          id: '2',
          channel: '#pager',
          text: 'not shown, there are blocks',
          blocks: [
            { type: 'header', text: { type: 'plain_text', text: 'the newer &amp; better' } },
            {
              type: 'section',
              text: { type: 'mrkdwn', text: '*bold*' },
              fields: [{ type: 'mrkdwn', text: 'a field' }],
            },
            { type: 'divider' },
            { type: 'context', elements: [{ type: 'mrkdwn', text: 'why' }] },
          ],
          attachments: [{ color: '#ff0000', text: 'attached', blocks: [] }],
        }),
      ],
    })
    expect(shown).toMatch(
      /#pager[\s\S]*<h3>the newer &amp; better<\/h3>[\s\S]*<b>bold<\/b>[\s\S]*a field[\s\S]*<hr>[\s\S]*why[\s\S]*border-color:#ff0000[\s\S]*attached[\s\S]*#on-call[\s\S]*the older/,
    )
    expect(shown).not.toContain('not shown')
  })

  it('opens the newest mail, in a frame that runs nothing, and lists the others', async () => {
    const shown = await page({
      mail: [mail({ id: '1', subject: 'older' }), mail({ id: '2', subject: 'newer' })],
    })
    expect(shown).toMatch(/href="\/mail\/2"[\s\S]*newer[\s\S]*<iframe[\s\S]*href="\/mail\/1"[\s\S]*older/)
    expect(shown.split('<iframe')).toHaveLength(2)
    expect(shown).toContain('sandbox="allow-popups allow-popups-to-escape-sandbox"')
    expect(shown).toContain('srcdoc="&lt;base target=&quot;_blank&quot;&gt;&lt;p&gt;hello&lt;/p&gt;"')
    expect(shown).toContain('class="preview firing warning"')
  })

  it('escapes everything that arrived', async () => {
    const text = { type: 'mrkdwn', text: attack } as const
    const shown = await page({
      slack: [
        slackMessage({
          channel: attack,
          text: attack,
          blocks: [
            { type: 'header', text: { ...text, type: 'plain_text' } },
            { type: 'section', text, fields: [text] },
            { type: 'context', elements: [text] },
          ],
        }),
        slackMessage({ text: attack }),
      ],
      mail: [mail({ subject: attack, from: attack, text: attack, html: attack, to: attack, id: attack })],
      links: [{ label: attack, url: `https://a.example/${attack}` }],
    })
    expect(shown).not.toContain('<script')
    expect(shown).not.toContain('alert(1)</script>"')
  })

  it('shows a mail without HTML as text', async () => {
    expect(await page({ mail: [mail({ html: null, text: attack })] })).toContain('<pre>&lt;script&gt;')
  })

  it('reloads by itself, unless that is switched off', async () => {
    expect(await page()).toContain('<meta http-equiv="refresh" content="5">')
    expect(await page({ live: false })).not.toContain('http-equiv="refresh"')
  })

  it('says that nothing has come yet', async () => {
    const shown = await page()
    expect(shown).toContain('No Slack messages yet.')
    expect(shown).toContain('No e-mails yet.')
  })

  it('shows the latest forty, and says that there are more', async () => {
    const slack = Array.from({ length: 50 }, (_, index) => slackMessage({ text: `message ${index + 1}!` }))
    const shown = await page({ slack })
    expect(shown).toContain('50, the latest 40 shown')
    expect(shown).toContain('message 11!')
    expect(shown).not.toContain('message 10!')
  })
})

describe('the inbox server', () => {
  const slack = createInbox<SlackMessage>(10)
  const mails = createInbox<InboxMail>(10)
  slack.add(slackMessage())
  mails.add(mail({ id: '7' }))
  const app = inboxApp({
    slack,
    mail: mails,
    clock: systemClock,
    links: [{ label: 'Metrics', url: '/metrics' }],
  })

  it('forbids scripts, frames of others, and being framed or kept', async () => {
    const { headers } = await app.request('/')
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it('shows the page, live or not', async () => {
    expect(await (await app.request('/')).text()).toContain('content="5"')
    const paused = await (await app.request('/?live=off')).text()
    expect(paused).not.toContain('content="5"')
    expect(paused).toContain('<a href="/metrics">Metrics</a>')
  })

  it('shows one mail with its text and all of its headers', async () => {
    const shown = await (await app.request('/mail/7')).text()
    expect(shown).toContain('FIRING (warning): 1 heat pump')
    expect(shown).toContain('Subject: Fleet alert')
    expect(shown).toContain('1,234 bytes')
  })

  it('says that it does not keep a mail any more', async () => {
    expect((await app.request('/mail/8')).status).toBe(404)
  })
})
