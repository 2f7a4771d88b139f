// Draws the pages of links: one card with the device, its state, what happens next, and one button. Without
// scripts, pictures from elsewhere, or anything that names the customer. Everything that came over the
// network is escaped by hono's template tag.

import { html, raw } from 'hono/html'
import type { DeviceType } from '../fleet/device.ts'
import type { LinkLanguage, LinkView } from '../links/link-desk.ts'
import { englishWords } from './link-page-english.ts'
import { germanWords } from './link-page-german.ts'
import { linkPageStyles } from './link-page-styles.ts'
import type { LinkPageWords, Notice, PageText, Situation } from './link-page-words.ts'

/** Where a page's links and its form lead: relative, so that a proxy may serve us below a path of its own. */
export interface PageAddresses {
  /** The link itself. */
  readonly self: string
  /** The same, while it is being looked at again and again. */
  readonly progress: string
}

export interface DevicePage {
  readonly language: LinkLanguage
  readonly view: LinkView
  readonly situation: Situation
  readonly now: number
  readonly addresses: PageAddresses
  readonly isRefreshing: boolean
}

export interface UnsubscribePage {
  readonly language: LinkLanguage
  readonly state: 'ask' | 'done'
  readonly address: string
}

const words: Readonly<Record<LinkLanguage, LinkPageWords>> = { en: englishWords, de: germanWords }

/** The field of the form that unsubscribes: what RFC 8058 (3.1) has mail programs send. */
export const oneClick = { name: 'List-Unsubscribe', value: 'One-Click' } as const

type Tone = 'attention' | 'waiting' | 'done' | 'notice'
type Html = ReturnType<typeof html>

const tones: Readonly<Record<Situation['kind'], Tone>> = {
  open: 'attention',
  cancelled: 'attention',
  still_wrong: 'attention',
  checking: 'waiting',
  resolved: 'done',
  healthy: 'done',
  gone: 'notice',
  nothing_to_open: 'notice',
  rate_limited: 'notice',
  unavailable: 'notice',
  refused_host: 'notice',
}

export async function renderDevicePage(page: DevicePage): Promise<string> {
  const { language, view, situation, now, addresses, isRefreshing } = page
  const told = words[language]
  const text = told.text(view, situation, now)
  const content = html`
${deviceLine(page)}
${stateAndText(tones[situation.kind], text)}
${situation.kind === 'checking' ? checkingBar(situation, now, told.checkingBar) : ''}
${text.steps === undefined ? '' : steps(told.stepsTitle, text.steps)}
${text.action === undefined ? '' : form(addresses.self, button(text.action))}
${situation.kind === 'checking' ? refreshLink(addresses, isRefreshing, told) : ''}
${tones[situation.kind] === 'done' && isWebAddress(view.successUrl) ? html`<p class="next"><a class="button" href="${view.successUrl}">${told.goOn}</a></p>` : ''}`
  return document(language, text.heading, content, told.footer[view.purpose])
}

export async function renderUnsubscribePage(page: UnsubscribePage): Promise<string> {
  const { language, state, address } = page
  const told = words[language]
  const text = told.unsubscribe[state]
  // The button carries the field, and not the form: a scanner that submits the form without pressing
  // the button unsubscribes nobody.
  const content = html`
${stateAndText(state === 'ask' ? 'notice' : 'done', text)}
${text.action === undefined ? '' : form(address, button(text.action, oneClick))}`
  return document(language, text.heading, content)
}

export async function renderNotice(language: LinkLanguage, notice: Notice): Promise<string> {
  const text = words[language].notice(notice)
  return document(language, text.heading, stateAndText('notice', text))
}

/** Only what a browser opens as a page: an operator's own, but it ends in an attribute that is followed. */
function isWebAddress(url: string | null): boolean {
  return url !== null && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
}

async function document(
  language: LinkLanguage,
  title: string,
  content: Html,
  footer?: string,
): Promise<string> {
  const page = await html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow, noarchive">
<title>${title}</title>
<style>${raw(linkPageStyles)}</style>
</head>
<body>
<main>${content}
</main>
${footer === undefined ? '' : html`<footer>${footer}</footer>`}
</body>
</html>
`
  return page.toString()
}

function deviceLine({ language, view, situation, now }: DevicePage): Html {
  const told = words[language]
  const { resolvedAt } = { resolvedAt: null, ...situation }
  return html`<div class="device">
<span class="tile">${deviceIcons[view.deviceType]}</span>
<div>
<p class="name">${told.device(view)}</p>
${view.purpose === 'staff' ? html`<p class="facts">${told.alert(view)}</p>` : ''}
${resolvedAt === null ? sinceLine(told.since(view, now), view.since) : lastedLine(told.lasted(view, resolvedAt))}
</div>
</div>`
}

function sinceLine([before, instant, after]: readonly [string, string, string], at: number): Html {
  return html`<p class="facts">${before}<time datetime="${new Date(at).toISOString()}">${instant}</time>${after}</p>`
}

function lastedLine(text: string | null): Html | '' {
  return text === null ? '' : html`<p class="facts">${text}</p>`
}

function stateAndText(tone: Tone, { badge, heading, text }: PageText): Html {
  return html`<p class="badge ${tone}">${toneIcons[tone]}${badge}</p>
<h1>${heading}</h1>
<div class="text">${text.map((paragraph) => html`<p>${paragraph}</p>`)}</div>`
}

function steps(title: string, each: readonly string[]): Html {
  return html`<h2>${title}</h2>
<ol role="list">${each.map((step) => html`<li>${step}</li>`)}</ol>`
}

function form(address: string, content: Html): Html {
  return html`<form method="post" action="${address}">${content}</form>`
}

function button(label: string, field?: typeof oneClick): Html {
  return field === undefined
    ? html`<button type="submit">${label}</button>`
    : html`<button type="submit" name="${field.name}" value="${field.value}">${label}</button>`
}

function checkingBar(
  { returnedAt, until }: { readonly returnedAt: number; readonly until: number },
  now: number,
  label: string,
): Html {
  const most = Math.max(1, Math.round((until - returnedAt) / 1_000))
  const passed = Math.min(most, Math.max(0, Math.round((now - returnedAt) / 1_000)))
  return html`<progress max="${most}" value="${passed}" aria-label="${label}"></progress>`
}

/** Who reads slowly, or listens to the page, has to be able to stop it from beginning anew. */
function refreshLink({ self, progress }: PageAddresses, isRefreshing: boolean, told: LinkPageWords): Html {
  return isRefreshing
    ? html`<p class="quiet">${told.refreshing} <a href="${self}">${told.stopRefreshing}</a></p>`
    : html`<p class="quiet"><a href="${progress}">${told.refresh}</a></p>`
}

function icon(content: Html): Html {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">${content}</svg>`
}

const deviceIcons: Readonly<Record<DeviceType, Html>> = {
  heat_pump: icon(
    html`<rect x="2.5" y="4.5" width="19" height="14" rx="2"/><circle cx="9.5" cy="11.5" r="4.3"/><path d="M9.5 11.5c-1.6-.7-1.7-2.5-.4-3.4M9.5 11.5c1.4-1 3.1-.3 3.2 1.3M9.5 11.5c.2 1.7-1.2 2.9-2.7 2.4M17 8.5h1.5M17 11.5h1.5M17 14.5h1.5M6 18.5V20M18 18.5V20"/>`,
  ),
  electric_vehicle: icon(
    html`<path d="M3 16.5v-3.6c0-.8.5-1.4 1.2-1.6l1.3-.4 1.6-3.7c.3-.7 1-1.2 1.8-1.2h5.4c.6 0 1.1.2 1.5.6l3.6 3.9 1.3.4c.8.2 1.3.9 1.3 1.7v3.9h-2M8.3 16.5h7.4M5.5 10.9h13.6"/><circle cx="6.4" cy="16.7" r="1.9"/><circle cx="17.6" cy="16.7" r="1.9"/>`,
  ),
  inverter: icon(
    html`<circle cx="12" cy="12" r="4"/><path d="M12 2.8v2M12 19.2v2M2.8 12h2M19.2 12h2M5.5 5.5l1.4 1.4M17.1 17.1l1.4 1.4M18.5 5.5l-1.4 1.4M6.9 17.1l-1.4 1.4"/>`,
  ),
  wallbox: icon(
    html`<rect x="3.5" y="3" width="11" height="15.5" rx="2.2"/><path d="M9.8 6.8l-2.3 4h3l-2.3 4M14.5 14h2.2c1 0 1.8.8 1.8 1.8v2.4a1.6 1.6 0 0 0 3.2 0v-6.4l-2.4-2.6"/>`,
  ),
}

const toneIcons: Readonly<Record<Tone, Html>> = {
  attention: icon(html`<path d="M12 4.2 21 19.5H3zM12 10.2v4.2M12 16.9v.1"/>`),
  waiting: icon(html`<circle cx="12" cy="12" r="8.5"/><path d="M12 7.2V12l3.2 2"/>`),
  done: icon(html`<circle cx="12" cy="12" r="8.5"/><path d="m8.2 12.3 2.6 2.6 5-5.4"/>`),
  notice: icon(html`<circle cx="12" cy="12" r="8.5"/><path d="M12 11.2v5M12 7.8v.1"/>`),
}
