// What all pages share: the document around them, the menu, times, and how text that is not ours is shown.
//
// Every text goes through hono's template tag, which escapes it; `shown` takes out besides what could turn the
// direction of the words around it, or hide. Addresses are relative, so that a proxy may serve us below a
// path of its own. There is no script and no style but the sheet: the policy in pages.ts allows nothing else.

import { html } from 'hono/html'
import type { Actor } from '../../actor.ts'
import type { Alert, Labels } from '../../alerts/alert.ts'
import { isDeviceType } from '../../fleet/device.ts'
import { formatMatcher, type Matcher } from '../../matcher.ts'
import { styleFile } from './page-styles.ts'
import { type PageLanguage, type PageNotice, type PageWords, pageLanguages } from './page-words.ts'
import { englishWords } from './words-english.ts'
import { germanWords } from './words-german.ts'

export type Html = ReturnType<typeof html>
export type Content = Html | string | readonly (Html | string)[]

export const pageWords: Readonly<Record<PageLanguage, PageWords>> = { en: englishWords, de: germanWords }

/** For whom and from where a page is drawn. */
export interface Frame {
  readonly language: PageLanguage
  readonly words: PageWords
  readonly now: number
  /** Null: nobody who was let in. */
  readonly actor: Actor | null
  readonly isOperator: boolean
  /** Leads to the first page: `./`, or `../` for each folder. */
  readonly root: string
  /** Leads to this page itself, without what is only for one time; null: it cannot be opened again. */
  readonly self: string | null
  /** Whether pages that only show something reload by themselves. */
  readonly isLive: boolean
}

export type MenuItem = keyof PageWords['menu']

export interface PageContent {
  readonly title: string
  readonly item: MenuItem | null
  /** Whether it may reload while somebody reads it: not with a form on it. */
  readonly canReload: boolean
  readonly content: Content
}

const menuPaths: Readonly<Record<MenuItem, string>> = {
  alerts: '',
  silences: 'silences',
  walks: 'walks',
  rules: 'rules',
  receivers: 'receivers',
}

export async function renderDocument(
  frame: Frame,
  { title, item, canReload, content }: PageContent,
): Promise<string> {
  const { language, words, root, actor } = frame
  const page = await html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow, noarchive">
<title>${title} · Fleetwarden</title>
<link rel="stylesheet" href="${root}assets/${styleFile.name}">
</head>
<body>
<a class="skip" href="#content">${words.skip}</a>
<header class="top">
<a class="brand" href="${root}"><span class="mark" aria-hidden="true"></span>Fleetwarden</a>
${actor === null ? '' : menu(frame, item)}
<p class="tools">${canReload ? liveSwitch(frame) : ''}${languageSwitch(frame)}</p>
</header>
<main id="content" tabindex="-1">
${content}
</main>
<footer>${actor === null ? '' : html`<p>${whoIs(frame, actor)}</p>`}<p>${words.lookedAt} <time datetime="${iso(frame.now)}">${clockTime(frame, frame.now)}</time></p></footer>
</body>
</html>
`
  return page.toString()
}

function menu({ words, root }: Frame, item: MenuItem | null): Html {
  const items = Object.entries(menuPaths) as [MenuItem, string][]
  return html`<nav class="menu" aria-label="${words.mainMenu}"><ul>${items.map(
    ([name, path]) =>
      html`<li><a href="${root}${path}"${name === item ? html` aria-current="page"` : ''}>${words.menu[name]}</a></li>`,
  )}</ul></nav>`
}

function whoIs({ words }: Frame, { kind, name, role }: Actor): string {
  return kind === 'local' ? words.local : words.signedIn(shown(name), role ?? '')
}

function liveSwitch({ words, self, isLive }: Frame): Content {
  if (self === null) return ''
  const href = withQuery(self, { live: isLive ? 'off' : 'on' })
  return html`<a class="live${isLive ? '' : ' off'}" href="${href}" title="${isLive ? words.live.turnOff : words.live.turnOn}"><span class="dot" aria-hidden="true"></span>${isLive ? words.live.on : words.live.off}<span class="vh">. ${isLive ? words.live.turnOff : words.live.turnOn}</span></a>`
}

function languageSwitch({ language, words, self }: Frame): Content {
  const other = pageLanguages.find((known) => known !== language)
  if (self === null || other === undefined) return ''
  return html`<a href="${withQuery(self, { language: other })}" lang="${other}" hreflang="${other}">${words.switchTo}</a>`
}

export function renderNotice(frame: Frame, notice: PageNotice, reason?: string): Promise<string> {
  const { words, root, actor } = frame
  const [title, text] = words.notices[notice]
  // The reason is for whoever can do something about it, and English.
  const content = html`<div class="notice">
<h1>${title}</h1>
<p>${text}</p>
${reason === undefined ? '' : html`<p class="soft"><span>${words.reason}: </span><span lang="en">${shown(reason, 300)}</span></p>`}
${actor === null ? '' : html`<p><a class="button quiet" href="${root}">${words.toAlerts}</a></p>`}
</div>`
  return renderDocument(frame, { title, item: null, canReload: false, content })
}

// ---- addresses

/** `href` with these in the place of what its query has under their names; an empty text takes one away. */
export function withQuery(href: string, changes: Readonly<Record<string, string>>): string {
  const [path = '', query = ''] = href.split('?', 2)
  const parameters = new URLSearchParams(query)
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') parameters.delete(name)
    else parameters.set(name, value)
  }
  return parameters.size === 0 ? path : `${path}?${parameters.toString()}`
}

export function alertHref({ root }: Pick<Frame, 'root'>, fingerprint: string, more = ''): string {
  return `${root}alerts/${encodeURIComponent(fingerprint)}${more}`
}

/** Only what a browser opens as a page: it ends in an attribute that people follow. */
export function webAddress(url: string | undefined): string | null {
  return url !== undefined && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? url : null
}

// ---- text that is not ours

/** As one line of at most `most` characters, without what turns or hides text. */
export function shown(text: string, most = 120): string {
  const characters = [
    ...text
      .slice(0, most * 8)
      .toWellFormed()
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ')
      .trim(),
  ]
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : characters.join('')
}

/** A long name that may break between its words: `DeviceUnauthenticated`. */
export function breakable(name: string): Html {
  const parts = name.split(/(?<=\p{Ll})(?=\p{Lu})/u)
  return html`${parts.map((part, index) => html`${index === 0 ? '' : html`<wbr>`}${part}`)}`
}

export function matchersText(matchers: readonly Pick<Matcher, 'name' | 'operator' | 'value'>[]): string {
  return shown(matchers.map(formatMatcher).join(', '), 300)
}

// ---- times

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** In the largest unit that fits twice, or once for minutes, cut off. */
function spanText({ words }: Pick<Frame, 'words'>, ms: number): string {
  if (ms < minuteMs) return words.lessThanAMinute
  if (ms < 2 * hourMs) return words.span(Math.floor(ms / minuteMs), 'minute')
  if (ms < 2 * dayMs) return words.span(Math.floor(ms / hourMs), 'hour')
  return words.span(Math.floor(ms / dayMs), 'day')
}

function relative(frame: Frame, at: number): string {
  const ms = frame.now - at
  if (Math.abs(ms) < minuteMs && ms >= 0) return frame.words.justNow
  return ms > 0 ? frame.words.ago(spanText(frame, ms)) : frame.words.ahead(spanText(frame, -ms))
}

const formats = new Map<string, Intl.DateTimeFormat>()

function format(locale: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale} ${JSON.stringify(options)}`
  const known = formats.get(key) ?? new Intl.DateTimeFormat(locale, { ...options, timeZone: 'UTC' })
  formats.set(key, known)
  return known
}

const timeOfDay = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const

/** In UTC, as in messages: the reader's zone is not known. The day where it is another one, the year likewise. */
export function clockTime({ words, now }: Pick<Frame, 'words' | 'now'>, at: number): string {
  const isToday = iso(at).slice(0, 10) === iso(now).slice(0, 10)
  const isThisYear = iso(at).slice(0, 4) === iso(now).slice(0, 4)
  const day = {
    day: 'numeric',
    month: 'short',
    ...(isThisYear ? {} : ({ year: 'numeric' } as const)),
  } as const
  const options = { ...(isToday ? {} : day), ...timeOfDay }
  return `${format(words.locale, options).format(at)}\u{a0}UTC`
}

/** Both for how long ago it was and when. */
export function when(frame: Frame, at: number): Html {
  return html`<time datetime="${iso(at)}"><span class="rel">${relative(frame, at)}</span> <span class="abs">${clockTime(frame, at)}</span></time>`
}

/** When alone: for what is yet to come, after a word that says so. */
export function moment(frame: Frame, at: number): Html {
  return html`<time datetime="${iso(at)}">${clockTime(frame, at)}</time>`
}

export function iso(at: number): string {
  return Math.abs(at) <= 8.64e15 ? new Date(at).toISOString() : ''
}

// ---- alerts in a line

export function severityBadge({ words }: Frame, severity: string): Html {
  const name = Object.hasOwn(words.severity, severity) ? words.severity[severity] : shown(severity, 30)
  return html`<span class="badge ${severityClass(severity)}"><span class="dot" aria-hidden="true"></span>${severity === '' ? words.noSeverity : name}</span>`
}

/** What the style sheet has a colour for. */
export function severityClass(severity: string): string {
  return ['critical', 'error', 'warning', 'info'].includes(severity) ? severity : 'other'
}

export function nameOf({ labels }: Pick<Alert, 'labels'>): string {
  return shown(labels['alertname'] ?? '', 80)
}

/** What it is about, in words: `Daikin heat pump`, or the labels that tell fleet alerts apart. */
export function whatIsAffected({ words }: Frame, { subject, labels, affected }: Alert): string {
  const type = labels['device_type'] ?? ''
  const device = isDeviceType(type) ? words.deviceType[type] : type
  const told = labels['manufacturer'] ?? ''
  const maker = told === 'unknown' ? '' : told
  switch (subject.kind) {
    case 'device':
      return shown(words.affected({ maker, model: affected.model ?? '', type: device }))
    case 'user':
      return `${words.alerts.fields.owner} ${shown(affected.externalUserId ?? subject.userId, 60)}`
    case 'fleet':
      return shown(words.affected({ maker, model: '', type: device })) || nameOf({ labels })
    default:
      return subject satisfies never
  }
}

/** Labels as chips; without those that stand elsewhere. */
export function labelList(labels: Labels, without: readonly string[] = []): Content {
  const left = Object.entries(labels).filter(([name]) => !without.includes(name))
  if (left.length === 0) return ''
  return html`<ul class="labels">${left.map(([name, value]) => html`<li><code>${shown(name, 60)}=${shown(JSON.stringify(value), 120)}</code></li>`)}</ul>`
}
