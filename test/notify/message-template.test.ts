import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { templateProblems } from '../../src/cli/load.ts'
import { systemClock } from '../../src/clock.ts'
import type { EmailConfig, EmailTemplate, ReceiverConfig, SlackTemplate } from '../../src/config.ts'
import { type MailInbox, startMailInbox } from '../../src/demo/mail-inbox.ts'
import { type SlackInbox, startSlackInbox } from '../../src/demo/slack-inbox.ts'
import { createMessage, type Message } from '../../src/notify/message.ts'
import { createMessageTemplates, type TemplateChannel } from '../../src/notify/message-template.ts'
import type { Notification } from '../../src/notify/notification.ts'
import { createEmailIntegration } from '../../src/notify/receivers/email.ts'
import { createSlackIntegration } from '../../src/notify/receivers/slack.ts'
import { slackPayload } from '../../src/notify/receivers/slack-layout.ts'
import { checkTemplates, templateSamples } from '../../src/notify/template-check.ts'
import {
  createEmailTemplates,
  createSlackTemplates,
  type TemplateFailure,
} from '../../src/notify/template-parts.ts'
import { hostileCase } from './hostile.ts'
import { deps, emailConfig, slackConfig } from './receivers/peers.ts'
import { noon, resolvedAlert, sampleAlert, sampleContext, sampleNotification } from './sample.ts'

const links = new Map([['f1', { url: 'https://fleet.example.com/r/f1?a=1&b=2', validUntil: noon + 60_000 }]])

function messageOf(notification: Notification, showPersonalData = false): Message {
  return createMessage(notification, { links, showPersonalData, moreUrl: 'https://fleet.example.com/alerts' })
}

function rendered(
  source: string,
  { channel = 'slack', notification = sampleNotification() }: Options = {},
): string {
  const result = createMessageTemplates({ text: source }, channel).render(
    'text',
    messageOf(notification),
    notification,
  )
  if (result.kind === 'built_in') return 'built-in'
  return result.kind === 'ok' ? result.text : `${result.error.kind}: ${result.error.message}`
}
interface Options {
  readonly channel?: TemplateChannel
  readonly notification?: Notification
}

const named = (alertname: string) =>
  sampleNotification({ firing: [sampleAlert(1, { labels: { alertname, severity: 'critical' } })] })

describe('a template', () => {
  it('sees the message in snake case', () => {
    const source = `{{ state }}|{{ severity }}|{{ title }}|{{ topic }}|{{ summary }}|{{ description }}|{{ todo }}
{{ why }}|{{ reason }}|{{ receiver }}|{{ since }}|{{ lasted }}|{{ firing }}/{{ resolved }}/{{ customers }}
{{ more.count }}|{{ more.url }}|{{ runbook_url }}|{{ group_labels.manufacturer }}|{{ members.size }}
{% for m in members limit: 2 %}{{ m.state }}|{{ m.what }}|{{ m.customer }}|{{ m.who }}|{{ m.device_id }}|{{ m.since }}|{{ m.notes }}|{{ m.link.url }}|{{ m.link.valid_until }}
{% endfor %}`
    expect(rendered(source, { channel: 'text' })).toBe(
      `firing|critical|3 heat pumps (Vaillant): DeviceUnauthenticated|Fleet alert: DeviceUnauthenticated (Vaillant)|Vaillant heat pump lost its connection||Open a device’s link and follow the steps; it resolves by itself once the device answers.
First message about this.|first notification|on-call|11:01 UTC||3/0/3
0|https://fleet.example.com/alerts|https://docs.example.com/runbooks/unauthenticated|Vaillant|3
firing|Heat pump Vaillant aroTHERM plus|K-4701||11111111-0000-4000-8000-000000000001|11:01 UTC||https://fleet.example.com/r/f1?a=1&b=2|12:01 UTC
firing|Heat pump Vaillant aroTHERM plus|K-4702||11111111-0000-4000-8000-000000000002|11:02 UTC|||
`,
    )
  })

  it('sees names and addresses of customers only where the receiver shows them', () => {
    const templates = createMessageTemplates({ text: '{{ members | map: "who" }}.' }, 'text')
    const notification = sampleNotification({ firing: [sampleAlert(1)] })
    const say = (personal: boolean) =>
      templates.render('text', messageOf(notification, personal), notification)
    expect(say(false)).toEqual({ kind: 'ok', text: '.' })
    expect(say(true)).toEqual({ kind: 'ok', text: 'Anna Muster 1, anna1@customer.example.' })
  })

  it.each([
    ['{{ since_unix | date }}', '11:01 UTC'],
    ['{{ since_unix | minus: 86400 | date }}', '22 Nov, 11:01 UTC'],
    ['{{ since_unix | date: "%Y-%m-%d %H:%M %z" }}', '2026-11-23 11:01 +0000'],
    ['{{ now_unix | minus: since_unix | duration }}', '59m'],
    ['{{ members[1].link.valid_until_unix | date }}{{ null | duration }}.', '.'],
    [
      '{{ members[0].link.url | slack_link: "Open | <it>" }}',
      '<https://fleet.example.com/r/f1?a=1&amp;b=2|Open &lt;it&gt;>',
    ],
    ['{{ members[1].link.url | slack_link: "Open it" }}.', '.'],
    ['{{ "javascript:alert(1)" | slack_link: "Open it" }}.', '.'],
    ['{{ "javascript:alert(1)" | url }}{{ "https://a.example/>|x" | url }}', 'https://a.example/%3E%7Cx'],
    ['{{ group_labels.site | default: "no site" }}{% if group_labels.site %}!{% endif %}', 'no site'],
    ['{% capture x %}{{ "a&b" }}{% endcapture %}{{ x }}{{ x }}', 'a&amp;ba&amp;b'],
    ['{% capture x %} {% endcapture %}{% if x == blank %}blank{% endif %}', 'blank'],
    ['{{ members | map: "customer" | join: "\\n" }}', 'K-4701\nK-4702\nK-4703'],
  ])('understands %s', (source, said) => {
    expect(rendered(source)).toBe(said)
  })

  it('keeps the reader’s time zone where the template asks for it', () => {
    const date = '<!date^{{ since_unix }}^{date_short} {time}|{{ since }}>'
    expect(rendered(date)).toBe(`<!date^${noon / 1_000 - 59 * 60}^{date_short} {time}|11:01 UTC>`)
  })
})

describe('a template that is wrong', () => {
  it.each([
    ['{{ titel }}', 'syntax: line 1, column 4: undefined variable: titel; did you mean title?'],
    [
      'x\n{% if sumary %}x{% endif %}',
      'syntax: line 2, column 7: undefined variable: sumary; did you mean summary?',
    ],
    ['x\ny {{ title | upcas }}', 'syntax: line 2, column 3: undefined filter: upcas; did you mean upcase?'],
    ['{% fro x in members %}', 'syntax: line 1, column 1: there is no tag fro; did you mean for?'],
    ['{% if title %}', 'syntax: line 1, column 1: tag {% if title %} not closed'],
    ['{{ title', 'syntax: line 1, column 1: output "{{ title" not closed'],
    [
      '{{ members[0].costumer }}',
      'render: line 1, column 4: undefined variable: members[0].costumer; did you mean customer?',
    ],
    ['{{ members[7].what }}', 'render: line 1, column 4: undefined variable: members[7].what'],
    [
      '{{ group_labels.site }}',
      'render: line 1, column 4: undefined variable: group_labels.site; not every group has every label: write {{ group_labels.site | default: "" }}',
    ],
    [
      '{{ members }}',
      'render: line 1, column 1: an object has no text of its own: name one of its parts, such as link.url',
    ],
    ['{{ since | date }}', 'render: line 1, column 1: "date" wants a number of seconds, such as since_unix'],
    [' \n {{ lasted }}', 'empty: it says nothing for this message'],
  ])('says where and what to do: %s', (source, said) => {
    expect(rendered(source).replace(/(members\[7\].what); .*/, '$1')).toBe(said)
  })

  it('lists the parts that can’t be compiled, and renders the others', () => {
    const templates = createMessageTemplates({ title: '{{', text: 'fine', other: null }, 'text')
    expect(templates.problems).toMatchObject([{ part: 'title', error: { kind: 'syntax' } }])
    const notification = sampleNotification()
    const render = (part: 'title' | 'text' | 'other') =>
      templates.render(part, messageOf(notification), notification).kind
    expect([render('title'), render('text'), render('other')]).toEqual(['failed', 'ok', 'built_in'])
  })

  it('keeps values out of its errors', () => {
    const notification = sampleNotification()
    const message = messageOf(notification, true)
    const error = createMessageTemplates({ text: '{{ group_labels[members[0].who] }}' }, 'text').render(
      'text',
      message,
      notification,
    )
    expect(message.members[0]?.who).toContain('Anna')
    expect(JSON.stringify(error)).toContain('failed')
    expect(error.kind === 'failed' && error.error.message).not.toContain('Anna')
  })
})

describe('a hostile template', () => {
  const tenfold = (inner: string) => `{% for i in (1..10) %}${inner}{% endfor %}`
  it.each([
    ['a range of 10^8', '{% for i in (1..100000000) %}x{% endfor %}'],
    ['10^8 rounds of nested loops', Array.from({ length: 8 }).reduce<string>(tenfold, 'x')],
    [
      'doubling by append',
      '{% assign a = "x" %}{% for i in (1..90) %}{% assign a = a | append: a %}{% endfor %}{{ a }}',
    ],
    [
      'doubling by capture',
      '{% capture a %}x{% endcapture %}{% for i in (1..90) %}{% capture a %}{{ a }}{{ a }}{% endcapture %}{% endfor %}{{ a }}',
    ],
    ['a wide date', '{{ since_unix | date: "%999999999d" }}'],
    ['much static text', `{% for i in (1..1000) %}${'x'.repeat(1_000)}{% endfor %}`],
    [
      'much text that is not even put out',
      `{% capture a %}{% for i in (1..1000) %}${'x'.repeat(1_000)}{% endfor %}{% endcapture %}short`,
    ],
    ['a source without end', 'x'.repeat(100_001)],
    ['deep nesting', `${'{% if title %}'.repeat(3_800)}x${'{% endif %}'.repeat(3_800)}`],
  ])('ends soon: %s', (_, source) => {
    const startedAt = performance.now()
    expect(rendered(source)).toMatch(/^(syntax|render|too_long): /)
    expect(performance.now() - startedAt).toBeLessThan(2_000)
  })

  it.each([
    '{{ title.constructor }}',
    '{{ members.constructor }}',
    '{{ members[0].__proto__ }}',
    '{{ constructor }}',
    '{{ __proto__ }}',
    '{{ group_labels.toString }}',
    '{{ title["constructor"]["constructor"] }}',
    '{{ process.env.HOME }}',
    '{{ env }}',
    '{% capture x %}a{% endcapture %}{{ x.constructor }}',
    '{% include "/etc/hostname" %}',
    '{% render "../package.json" %}',
    '{% layout "package.json" %}',
    '{{ "now" | date: "%s" }}',
    '{{ members | sample }}',
  ])('reads no prototype, file, environment or clock: %s', (source) => {
    expect(rendered(source, { channel: 'text' })).toMatch(/^(syntax|render): line 1, column \d+: /)
  })
})

describe('a value', () => {
  it('can’t ping, also not with raw', () => {
    const notification = named('<!channel>')
    expect(rendered('{{ title }}', { notification })).toContain('&lt;!channel&gt;')
    expect(rendered('{{ title | raw }}', { notification })).toBe(
      'syntax: line 1, column 1: there is no filter raw: values are always escaped',
    )
    const failures: unknown[] = []
    const parts = createSlackTemplates(
      { title: null, text: '{{ title | raw }}' },
      { receiver: 'r', index: 0, onTemplateFailure: (failure) => failures.push(failure) },
    )(messageOf(notification), notification)
    expect(failures).toHaveLength(1)
    expect(JSON.stringify(slackPayload(messageOf(notification), parts))).not.toContain('<!channel')
  })

  it.each([
    ['{{ title | replace: "&lt;", "<" }}', '<!channel>'],
    ['<{{ title | split: "#" | last }}>', '#!channel'],
    ['<!{{ title | split: "#" | last }}>', '#channel'],
    ['<{% capture x %}{{ title | split: "#" | last }}{% endcapture %}{{ x }}|x>', '#!here'],
    ['{% assign open = "<" %}{{ open }}!channel>', 'X'],
    ['<!channel {{ title }}>', 'X'],
    ['<@{{ title | split: "#" | last }}>', '#U123'],
    ['{% for m in members %}<!{% endfor %}channel>', 'X'],
  ])('can’t be put together to a mention: %s', (source, alertname) => {
    expect(rendered(source, { notification: named(alertname) })).not.toMatch(/<[!@#]/)
  })

  it('leaves the template its own mentions', () => {
    expect(rendered('<!here> <!subteam^S1|oncall> {{ "<!here>" }}')).toBe(
      '<!here> <!subteam^S1|oncall> &lt;!here&gt;',
    )
  })

  it('is escaped for HTML, and loses control characters', () => {
    const notification = named(`<b>&"'\u0007`)
    expect(rendered('<i title="{{ title }}">', { channel: 'html', notification })).toMatch(
      /^<i title="[^"<>]*&lt;b&gt;&amp;&quot;&#39;">$/,
    )
    expect(rendered('{{ "a\\u0000b\\r" }}', { channel: 'text' })).toBe('a b ')
  })
})

// ---- in messages

const hostileSources = [
  '{{ title }} {{ summary }} {{ description }} {{ severity }} {{ group_labels | map: "1" }}',
  '{% for l in group_labels %}{{ l }}{% endfor %} {{ why }}',
  '{% for m in members %}{{ m.what }}, {{ m.customer }}, {{ m.who }}, {{ m.device_id }}: {{ m.notes | join: "\\n" }} {{ m.link.url | url }}\n{% endfor %}{{ receiver }}',
  '{% capture all %}{% for m in members %}<{{ m.what }}> <!{{ m.customer }} <@{{ m.who }}{% endfor %}{% endcapture %}{{ all }}{{ all | upcase }}{{ all | replace: "&lt;", "<" }}.',
  '{{ title | split: "" | reverse | join: "" }}{{ description | slice: 3, 700 }}{{ summary | truncate: 9 }}.',
]
const hostileSlackLinks = '{% for m in members %}{{ m.link.url | slack_link: m.what }} {% endfor %}.'

describe('whatever the data', () => {
  const failures: TemplateFailure[] = []
  const owner = { receiver: 'r', index: 0, onTemplateFailure: (each: TemplateFailure) => failures.push(each) }
  beforeEach(() => {
    failures.length = 0
  })

  it('Slack gets no mention, no half link or entity, and no more than it takes', () => {
    fc.assert(
      fc.property(hostileCase, fc.constantFrom(...hostileSources, hostileSlackLinks), (hostile, source) => {
        const { notification, link } = hostile
        const all = new Map(
          [...notification.firing].flatMap(({ fingerprint }) => (link === null ? [] : [[fingerprint, link]])),
        )
        const message = createMessage(notification, { links: all, showPersonalData: true, moreUrl: null })
        const parts = createSlackTemplates({ title: source, text: source }, owner)(message, notification)
        const blocks = slackPayload(message, parts).blocks ?? []
        expect(JSON.stringify(blocks).length).toBeLessThan(60_000)
        const texts = [...(parts.sections ?? []), parts.title ?? '']
        expect(parts.title === null || (parts.title.length <= 150 && parts.title !== '')).toBe(true)
        for (const text of texts) {
          expect(text.length).toBeLessThanOrEqual(3_000)
          expect(text).not.toMatch(/<[!@#]/)
          expect(text.replace(/&(amp|lt|gt);/g, '')).not.toContain('&')
          // All that is left in angle brackets stood so in the template, or is a whole link.
          if (source === hostileSlackLinks) {
            expect(text.replace(/<https?:\/\/[^\s<>|]+\|[^<>|\n]+>/g, '')).not.toMatch(/[<>]/)
          }
          expect(text.isWellFormed()).toBe(true)
        }
        for (const section of parts.sections ?? []) expect(section.trim()).not.toBe('')
        expect(texts.join('').length).toBeLessThanOrEqual(8_700)
        expect(failures.filter(({ error }) => error.kind !== 'empty')).toEqual([])
      }),
      { numRuns: 150 },
    )
  })

  it('an e-mail gets no tag from it, and a subject of one line', () => {
    fc.assert(
      fc.property(hostileCase, fc.constantFrom(...hostileSources), ({ notification }, source) => {
        const message = createMessage(notification, { links, showPersonalData: true, moreUrl: null })
        const html = `<p title="{{ title }}">${source
          .replace(/<[!@]?(?=\{)/g, '')
          .replaceAll('}}>', '}}')
          .replace('"<"', '"-"')}</p>`
        const parts = createEmailTemplates({ subject: source, text: source, html }, owner)(
          message,
          notification,
        )
        expect([...(parts.subject ?? 'x')].length).toBeLessThanOrEqual(200)
        expect(parts.subject ?? '').not.toMatch(/\p{Cc}|\p{Zl}|\p{Zp}/u)
        expect(parts.subject).not.toBe('')
        const inner = parts.html?.replace(/^<p title="[^"<>]*">/, '').replace(/<\/p>$/, '') ?? ''
        expect(inner).not.toMatch(/[<>"']/)
        expect(parts.text ?? '').not.toMatch(/(?!\n)\p{Cc}/u)
      }),
      { numRuns: 150 },
    )
  })

  it('is cut on line borders, and never inside a link', () => {
    const notification = sampleNotification()
    const cut = (text: string, title = 'x') =>
      createSlackTemplates({ title, text }, owner)(messageOf(notification), notification)
    const link = `<https://a.example/${'y'.repeat(180)}|z>`
    const { sections } = cut(`{% for i in (1..100) %}{{ i }} ${link} &amp;\n{% endfor %}`)
    expect(sections?.map((section) => section.length > 2_000 && section.length <= 2_900)).toEqual([
      true,
      true,
      true,
    ])
    for (const line of sections?.join('\n').split('\n') ?? []) {
      expect(line.replace('…', '')).toMatch(/^\d+ <https:[^<>]*\|z> &amp;$/)
    }
    expect(sections?.at(-1)).toMatch(/…$/)
    // One line alone is cut between links.
    const oneLine = cut(link.repeat(60)).sections ?? []
    expect(oneLine.length).toBeGreaterThan(1)
    for (const section of oneLine) expect(section.replaceAll(link, '')).toMatch(/^…?$/)
    expect(cut('x', `${'a'.repeat(146)}{{ "&&&" }}`).title).toBe(`${'a'.repeat(146)}…`)
    expect(cut(`<https://a.example/${'y'.repeat(3_000)}>`).sections).toEqual(['…'])
    expect(failures).toEqual([])
  })
})

describe('a Slack receiver with templates', () => {
  let inbox: SlackInbox
  beforeEach(async () => {
    inbox = await startSlackInbox({ clock: systemClock, burst: 100 })
  })
  afterEach(() => inbox.close())

  async function sent(template: SlackTemplate) {
    const failures: unknown[] = []
    const integration = createSlackIntegration(
      slackConfig(inbox.webhookUrl('#on-call'), { template }),
      { receiver: 'on-call', index: 2 },
      {
        ...deps,
        onTemplateFailure: ({ error, ...failure }) => failures.push({ ...failure, message: error.message }),
      },
    )
    expect(await integration.send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    const message = inbox.messages.items().at(-1)
    return { failures, text: message?.text ?? '', blocks: JSON.stringify(message?.blocks) }
  }

  it('shows their words, and keeps why it was sent and the notification text', async () => {
    const { failures, text, blocks } = await sent({
      title: 'Ours: {{ title }}',
      text: '{% for m in members %}{{ m.link.url | slack_link: "Go" }}\n{% endfor %}',
    })
    expect(failures).toEqual([])
    expect(blocks).toContain('Ours: 3 heat pumps')
    expect(blocks).toContain('<https://fleet.example.com/r/f1|Go>')
    expect(blocks).toContain('First message about this.')
    expect(blocks).not.toContain('*Severity*')
    expect(text).toContain('🔴 3 heat pumps')
  })

  it('sends the built-in part in the place of one that fails, and says which', async () => {
    const { failures, blocks } = await sent({ title: '{{ nothing', text: '{{ members[99].what }}' })
    expect(blocks).toContain('🔴 3 heat pumps')
    expect(blocks).toContain('*Severity*')
    expect(failures).toMatchObject([
      { receiver: 'on-call', kind: 'slack', index: 2, part: 'title' },
      { receiver: 'on-call', kind: 'slack', index: 2, part: 'text' },
    ])
  })
})

describe('an e-mail receiver with templates', () => {
  let inbox: MailInbox
  beforeEach(async () => {
    inbox = await startMailInbox({ clock: systemClock })
  })
  afterEach(() => inbox.close())

  async function sent(template: Partial<EmailTemplate>) {
    const failures: string[] = []
    const config: EmailConfig = emailConfig(inbox.port, {
      template: { subject: null, text: null, html: null, ...template },
    })
    const integration = createEmailIntegration(
      config,
      { receiver: 'on-call', index: 0 },
      { ...deps, onTemplateFailure: ({ part, error }) => failures.push(`${part} ${error.kind}`) },
    )
    const notification = sampleNotification({ firing: [sampleAlert(1)] })
    expect(await integration.send(notification, sampleContext())).toEqual({ kind: 'ok' })
    const mail = inbox.messages.items().at(-1)
    return { failures, subject: mail?.subject ?? '', text: mail?.text ?? '', html: mail?.html ?? '' }
  }

  it('sends their HTML as it is, and keeps the built-in text beside it', async () => {
    const { html, text, subject, failures } = await sent({ html: '<h1>{{ title }}</h1>' })
    expect(html.trim()).toBe('<h1>1 heat pump (Vaillant): DeviceUnauthenticated</h1>')
    expect(text).toContain('FIRING (critical)')
    expect(subject).toBe('Fleet alert: DeviceUnauthenticated (Vaillant)')
    expect(failures).toEqual([])
  })

  it('takes subject and text alone, and no header from either', async () => {
    const { html, text, subject } = await sent({
      subject: '[{{ state | upcase }}]\r\nBcc: x@example.com\n{{ title }}',
      text: 'Text: {{ title }} & <so on>',
    })
    expect(subject).toBe('[FIRING] Bcc: x@example.com 1 heat pump (Vaillant): DeviceUnauthenticated')
    expect(text).toContain('Text: 1 heat pump (Vaillant): DeviceUnauthenticated & <so on>')
    expect(html).toContain('Sent by Fleetwarden')
  })

  it('sends built-in parts in the place of those that fail or are too long', async () => {
    const { html, text, subject, failures } = await sent({
      subject: ' ',
      text: '{{ nobody }}',
      html: `<p>${'ü'.repeat(60_000)}</p>`,
    })
    expect(failures).toEqual(['subject empty', 'text syntax', 'html too_long'])
    expect(subject).toBe('Fleet alert: DeviceUnauthenticated (Vaillant)')
    expect(text).toContain('FIRING (critical)')
    expect(html).toContain('Sent by Fleetwarden')
  })
})

// ---- before they are needed

function receiver(slack: readonly SlackTemplate[], email: readonly EmailTemplate[] = []): ReceiverConfig {
  return {
    name: 'on-call',
    slack: slack.map((template) => slackConfig('https://hooks.example.com/x', { template })),
    email: email.map((template) => emailConfig(25, { template })),
    webhook: [],
    pagerduty: [],
    alertmanager: [],
    owner: [],
  }
}

describe('the check of templates', () => {
  it('finds what fails only for some messages, and names them', () => {
    const onlyFiring = '{% if state == "firing" %}x{% endif %}'
    const email = { subject: '{{ runbook_url | upcase }}', text: null, html: '{{ members[1].what }}' }
    expect(checkTemplates([receiver([{ title: onlyFiring, text: '{{ x' }], [email])])).toMatchObject([
      { kind: 'slack', index: 0, part: 'text', message: 'line 1, column 1: output "{{ x" not closed' },
      { part: 'title', message: 'it says nothing for this message (with a resolved alert)' },
      {
        kind: 'email',
        part: 'html',
        message: expect.stringMatching(/^line 1, column 4: .*\(with a single alert that fires\)$/),
        offset: 3,
      },
      { part: 'subject', message: expect.stringContaining('says nothing') },
    ])
  })

  it('has samples of every state, with and without links, and finds nothing wrong with what is right', () => {
    const states = templateSamples().map(
      ({ notification, links: given }) =>
        createMessage(notification, { links: given, showPersonalData: false, moreUrl: null }).state,
    )
    expect(new Set(states)).toEqual(new Set(['firing', 'resolved', 'ended']))
    expect(checkTemplates([receiver([{ title: '{{ title }}', text: '{{ title }}' }])])).toEqual([])
  })

  it('says where in the configuration, in each style of YAML', () => {
    const text = `alerting:
  receivers:
    - name: other
    - name: on-call
      slack_configs:
        - template: { title: 'a {{ titel }}' }
        - template:
            text: |
              fine
              {{ members[0].wat }}
            title: "\${X} {{ titel }}"
`
    const parsed = parse(text).alerting.receivers[1].slack_configs.map(
      ({ template }: { template: Partial<SlackTemplate> }) => ({ title: null, text: null, ...template }),
    )
    const receivers = [{ ...receiver([]), name: 'other' }, receiver(parsed)]
    const problems = templateProblems({ file: 'f.yaml', text, receivers })
    expect(problems.map(({ line, column }) => [line, column])).toEqual([
      [6, 36],
      [10, 18],
      [11, 20],
    ])
    expect(problems[0]?.message).toBe(
      'receiver "on-call", template of slack_configs[0], title: line 1, column 6: undefined variable: titel; did you mean title?',
    )
  })

  it('finds nothing wrong with the example in the documentation', () => {
    const page = readFileSync(new URL('../../docs/templates.md', import.meta.url), 'utf8')
    const example = parse(/```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '')
    const slack: SlackTemplate = example.slack_configs[0].template
    const email = { text: null, html: null, ...example.email_configs[0].template }
    expect(slack.text).toContain('members')
    expect(checkTemplates([receiver([slack], [email])])).toEqual([])
    const resolved = sampleNotification({ firing: [], resolved: [resolvedAlert(1)], reason: 'all resolved' })
    expect(rendered(slack.text ?? '', { notification: resolved })).toContain('• Heat pump Vaillant')
  })
})
