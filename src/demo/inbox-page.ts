// The page that shows what on-call staff would see: Slack messages drawn as Slack draws them, e-mails
// as a mail reader does, newest first. Everything on it came over the network, so everything is
// escaped, mails are in a sandbox without scripts, and the page itself has none either: it reloads.

import { Hono } from 'hono'
import { html, raw } from 'hono/html'
import type { Clock } from '../clock.ts'
import type { Inbox } from './inbox.ts'
import { inboxStyles } from './inbox-styles.ts'
import type { InboxMail } from './mail-inbox.ts'
import { renderMrkdwn, renderPlainText } from './mrkdwn.ts'
import type { SlackBlock, SlackMessage, SlackText } from './slack-inbox.ts'

export interface InboxAppOptions {
  readonly slack: Inbox<SlackMessage>
  readonly mail: Inbox<InboxMail>
  readonly clock: Clock
  /** Other pages of the demo, shown at the top. */
  readonly links?: readonly { readonly label: string; readonly url: string }[]
}

export interface InboxPage {
  /** Oldest first, as an Inbox has them. */
  readonly slack: readonly SlackMessage[]
  readonly mail: readonly InboxMail[]
  readonly now: number
  readonly links: readonly { readonly label: string; readonly url: string }[]
  /** Whether the page reloads by itself. */
  readonly live: boolean
}

const refreshSeconds = 5
const shownMessages = 40

/** `/`: the page; `/?live=off`: without reloading; `/mail/3`: one mail, with its text and headers. */
export function inboxApp({ slack, mail, clock, links = [] }: InboxAppOptions): Hono {
  const app = new Hono()
  app.use(async (context, next) => {
    await next()
    // A mail in `srcdoc` is under this policy too, and its styles are inline.
    context.header(
      'Content-Security-Policy',
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    context.header('X-Content-Type-Options', 'nosniff')
    context.header('Referrer-Policy', 'no-referrer')
    context.header('Cache-Control', 'no-store')
  })
  app.get('/', async (context) =>
    context.html(
      await renderInboxPage({
        slack: slack.items(),
        mail: mail.items(),
        now: clock.now(),
        links,
        live: context.req.query('live') !== 'off',
      }),
    ),
  )
  app.get('/mail/:id', async (context) => {
    const found = mail.items().find(({ id }) => id === context.req.param('id'))
    if (found === undefined) return context.text('This mail is not kept any more.', 404)
    return context.html(await renderMailPage(found))
  })
  return app
}

export async function renderInboxPage({ slack, mail, now, links, live }: InboxPage): Promise<string> {
  const newestSlack = slack.slice(-shownMessages).reverse()
  const newestMail = mail.slice(-shownMessages).reverse()
  const body = html`
<header>
  <h1><span class="mark" aria-hidden="true"></span>Inbox</h1>
  <p>What on-call staff receive from Fleetwarden, as they see it.</p>
  <nav>
    ${links.map(({ label, url }) => html`<a href="${url}">${label}</a>`)}
    ${
      live
        ? html`<a class="live" href="/?live=off" title="Reloads every ${refreshSeconds} seconds. Stop."><i></i>live</a>`
        : html`<a class="live off" href="/"><i></i>paused</a>`
    }
  </nav>
</header>
<main>
  <section aria-labelledby="slack">
    <h2 id="slack">Slack ${count(newestSlack.length, slack.length)}</h2>
    ${newestSlack.length === 0 ? empty('No Slack messages yet.') : newestSlack.map((message) => slackMessage(message, now))}
  </section>
  <section aria-labelledby="mail">
    <h2 id="mail">E-mail ${count(newestMail.length, mail.length)}</h2>
    ${newestMail.length === 0 ? empty('No e-mails yet.') : html`<div class="mails">${newestMail.map((one, index) => mailRow(one, index === 0))}</div>`}
  </section>
</main>`
  return document('Inbox · Fleetwarden', body, live ? refreshSeconds : null)
}

async function renderMailPage(mail: InboxMail): Promise<string> {
  const body = html`
<header><h1><span class="mark" aria-hidden="true"></span>Inbox</h1><nav><a href="/">← all messages</a></nav></header>
<main class="single"><section><div class="mails"><article class="mail open">
  ${mailHead(mail)}
  <dl>
    <dt>From</dt><dd>${mail.from}</dd>
    <dt>To</dt><dd>${mail.to}</dd>
    <dt>Delivered to</dt><dd>${mail.recipients.join(', ')}</dd>
    <dt>Size</dt><dd>${mail.size.toLocaleString('en')} bytes</dd>
  </dl>
  ${mailFrame(mail, 2_400)}
  <details open><summary>Text alternative</summary><pre>${mail.text}</pre></details>
  <details><summary>All headers</summary><pre>${mail.headers.map(({ name, value }) => `${name}: ${value}`).join('\n')}</pre></details>
</article></div></section></main>`
  return document(`${mail.subject} · Fleetwarden`, body, null)
}

async function document(title: string, body: unknown, refresh: number | null): Promise<string> {
  const page = await html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${refresh === null ? '' : html`<meta http-equiv="refresh" content="${refresh}">`}
<title>${title}</title>
<style>${raw(inboxStyles)}</style>
</head>
<body>${body}</body>
</html>
`
  return page.toString()
}

// ---- Slack

function slackMessage(
  { channel, receivedAt, text, blocks, attachments }: SlackMessage,
  now: number,
): unknown {
  return html`<article class="slack">
  <p class="channel">${channel}</p>
  <div class="avatar" aria-hidden="true"></div>
  <div class="content">
    <p class="sender"><b>Fleetwarden</b> <span class="app">APP</span> ${time(receivedAt)}</p>
    ${blocks.length === 0 && text !== '' ? html`<p class="text">${raw(renderMrkdwn(text, now))}</p>` : ''}
    ${blocks.map((block) => slackBlock(block, now))}
    ${attachments.map(
      (attachment) => html`<div class="attachment" style="border-color:${attachment.color ?? '#8b93a1'}">
        ${attachment.text === '' ? '' : html`<p class="text">${raw(renderMrkdwn(attachment.text, now))}</p>`}
        ${attachment.blocks.map((block) => slackBlock(block, now))}</div>`,
    )}
  </div>
</article>`
}

function slackBlock(block: SlackBlock, now: number): unknown {
  const show = ({ type, text }: SlackText) =>
    raw(type === 'mrkdwn' ? renderMrkdwn(text, now) : renderPlainText(text))
  switch (block.type) {
    case 'header':
      return html`<h3>${show(block.text)}</h3>`
    case 'section':
      return html`${block.text === null ? '' : html`<p class="text">${show(block.text)}</p>`}
      ${block.fields.length === 0 ? '' : html`<div class="fields">${block.fields.map((field) => html`<div>${show(field)}</div>`)}</div>`}`
    case 'context':
      return html`<p class="context">${block.elements.map((element) => html`<span>${show(element)}</span>`)}</p>`
    case 'divider':
      return html`<hr>`
    default:
      return block satisfies never
  }
}

// ---- e-mail

function mailRow(mail: InboxMail, open: boolean): unknown {
  return html`<article class="mail${open ? ' open' : ''}">
  <a class="row" href="/mail/${mail.id}">${mailHead(mail)}</a>
  ${open ? mailFrame(mail, 900) : ''}
</article>`
}

function mailHead({ subject, from, text, receivedAt }: InboxMail): unknown {
  const preview = text.replace(/\s+/g, ' ').trim().slice(0, 180)
  const [, state = '', severity = ''] = /^(FIRING|RESOLVED|ENDED)(?: \((\w+)\))?/.exec(preview) ?? []
  const dot = state === 'FIRING' && severity !== '' ? `firing ${severity}` : state.toLowerCase()
  const sender = from.replace(/\s*<[^>]*>$/, '').replace(/^"(.*)"$/, '$1')
  return html`<div class="head">
    <p class="from"><b>${sender === '' ? from : sender}</b> ${time(receivedAt)}</p>
    <p class="subject">${subject}</p>
    <p class="preview ${dot}">${preview}</p>
  </div>`
}

function mailFrame({ subject, html: content, text }: InboxMail, highest: number): unknown {
  // Without scripts nobody can measure the mail; its text tells about how long it is.
  const height = Math.min(Math.max(text.split('\n').length * 24 + 200, 360), highest)
  if (content === null) return html`<pre>${text}</pre>`
  // Links open outside of the frame, which may itself go nowhere and run nothing.
  return html`<iframe title="${subject}" style="height:${height}px" sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="${`<base target="_blank">${content}`}"></iframe>`
}

// ---- both

function count(shown: number, all: number): unknown {
  if (all === 0) return ''
  return html`<small>${all}${shown < all ? `, the latest ${shown} shown` : ''}</small>`
}

function empty(words: string): unknown {
  return html`<p class="empty">${words}<br><small>They appear here by themselves.</small></p>`
}

function time(at: number): unknown {
  const iso = new Date(at).toISOString()
  return html`<time datetime="${iso}" title="${iso}">${iso.slice(11, 16)} UTC</time>`
}
