// The mail to an owner: text and HTML that say the same. One thing to do and one button for it, readable on
// a phone and in the dark, no pictures, nothing to load. It names no alert and no id, and everything in it
// that is not ours (names, manufacturers) is one short line of plain text, and escaped.

import { html, raw } from 'hono/html'
import type { Company } from '../config.ts'
import type { DeviceType } from '../fleet/device.ts'
import { plainText } from '../notify/message-text.ts'
import type { OwnerPlace } from './owner-place.ts'
import { type OwnerTask, type OwnerWords, ownerWords } from './owner-words.ts'

export interface OwnerMail {
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly unsubscribeUrl: string
}

export interface OwnerMailContent {
  readonly place: OwnerPlace
  /** As the partner has it; null: none. */
  readonly name: string | null
  readonly company: Company
  /** At least one; the first one has the button. */
  readonly devices: readonly OwnerDevice[]
  readonly unsubscribeUrl: string
}

export interface OwnerDevice {
  readonly type: DeviceType
  /** `unknown` where it is not told. */
  readonly manufacturer: string
  readonly task: OwnerTask
  /** Ms since 1970. */
  readonly since: number
  /** A link of ours. */
  readonly url: string
}

const longestName = 60
const longestManufacturer = 40

export async function createOwnerMail(content: OwnerMailContent): Promise<OwnerMail> {
  const { place, company, unsubscribeUrl } = content
  const words = ownerWords[place.language]
  const devices = content.devices.map((device) => shown(device, place, words))
  const [first, ...others] = devices
  if (first === undefined) throw new Error('a mail to an owner is about at least one device')
  const isSingle = others.length === 0
  // Several with different tasks: the one that can be said of all of them.
  const task = devices.every((device) => device.task === first.task) ? first.task : 'action'
  const name = content.name === null ? '' : plainText(content.name, longestName)
  const subject = words.subject(task, isSingle ? first.type : null)
  const parts: Parts = {
    language: place.language,
    words,
    subject,
    greeting: words.greeting(name === '' ? null : name),
    intro: words.intro(task, isSingle ? first : null),
    todo: words.todo(task, devices.length),
    button: words.button(task, isSingle ? first.type : null),
    first,
    devices,
    company,
    unsubscribeUrl,
  }
  return { subject, text: textOf(parts), html: await htmlOf(parts), unsubscribeUrl }
}

interface ShownDevice {
  readonly type: DeviceType
  readonly manufacturer: string | null
  readonly task: OwnerTask
  readonly name: string
  readonly since: string
  readonly url: string
}

interface Parts {
  readonly language: string
  readonly words: OwnerWords
  readonly subject: string
  readonly greeting: string
  readonly intro: string
  readonly todo: string
  readonly button: string
  readonly first: ShownDevice
  readonly devices: readonly ShownDevice[]
  readonly company: Company
  readonly unsubscribeUrl: string
}

function shown(
  { type, task, url, ...device }: OwnerDevice,
  place: OwnerPlace,
  words: OwnerWords,
): ShownDevice {
  const told = plainText(device.manufacturer, longestManufacturer)
  const manufacturer = told === '' || told === 'unknown' ? null : told
  const date = new Intl.DateTimeFormat(place.locale, {
    day: 'numeric',
    month: 'long',
    timeZone: place.timeZone,
  })
  const since = date.format(device.since)
  return { type, manufacturer, task, name: words.device(type, manufacturer), since, url }
}

/** How to reach the company, in the order in which people try. */
function contacts({ supportPhone, supportEmail, supportUrl }: Company): readonly Contact[] {
  const all = [
    { text: supportPhone, url: supportPhone === null ? '' : `tel:${supportPhone.replace(/[^+\d]/g, '')}` },
    { text: supportEmail, url: `mailto:${supportEmail}` },
    { text: supportUrl, url: supportUrl ?? '' },
  ]
  return all.flatMap(({ text, url }) => (text === null ? [] : [{ text, url }]))
}

interface Contact {
  readonly text: string
  readonly url: string
}

function textOf({ words, greeting, intro, todo, devices, company, unsubscribeUrl, ...parts }: Parts): string {
  const lines = [greeting, '', intro, '', todo, '']
  if (devices.length === 1) lines.push(`${parts.button}:`, parts.first.url)
  for (const device of devices.length === 1 ? [] : devices) {
    lines.push(`* ${device.name}, ${words.since(device.since)}`, `  ${device.url}`)
  }
  lines.push('', words.alreadyDone)
  const ways = contacts(company)
  if (ways.length > 0) lines.push('', words.questions, ...ways.map(({ text }) => text))
  lines.push('', company.name, '', '-- ', words.why(company.name), `${words.unsubscribe}: ${unsubscribeUrl}`)
  return `${lines.join('\n')}\n`
}

async function htmlOf({ words, first, devices, company, ...parts }: Parts): Promise<string> {
  const ways = contacts(company)
  const page = await html`<!doctype html>
<html lang="${parts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${parts.subject}</title>
<style>${raw(darkStyles)}</style>
</head>
<body class="fw-page" style="margin:0;padding:0;background:#f2f4f6;color:#1d2330">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">${parts.todo}</div>
<table role="presentation" class="fw-page" width="100%" cellpadding="0" cellspacing="0" border="0" bgcolor="#f2f4f6"><tr><td align="center" style="padding:20px 10px">
<table role="presentation" class="fw-card" width="560" cellpadding="0" cellspacing="0" border="0" bgcolor="#ffffff" style="width:100%;max-width:560px;border-radius:10px;${raw(font)}">
<tr><td class="fw-faint" style="padding:24px 28px 0;color:#5d6675;font-size:14px;line-height:20px">${company.name}</td></tr>
<tr><td class="fw-text" style="padding:6px 28px 0;color:#1d2330;font-size:24px;line-height:31px;font-weight:bold">${parts.subject}</td></tr>
<tr><td class="fw-text" style="padding:16px 28px 0;color:#1d2330;font-size:16px;line-height:25px">
<p style="margin:0 0 14px">${parts.greeting}</p>
<p style="margin:0 0 14px;word-break:break-word">${parts.intro}</p>
<p style="margin:0">${parts.todo}</p>
</td></tr>
<tr><td style="padding:22px 28px 8px"><table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr><td align="center" bgcolor="#14663a" style="background:#14663a;border-radius:8px"><a href="${first.url}" target="_blank" style="display:inline-block;padding:15px 30px;color:#ffffff;font-size:17px;line-height:22px;font-weight:bold;text-decoration:none">${parts.button}</a></td></tr></table></td></tr>
${devices.length === 1 ? addressRow(words, first) : devices.map((device) => deviceRow(words, device))}
<tr><td class="fw-text" style="padding:16px 28px 24px;color:#1d2330;font-size:16px;line-height:25px">
<p style="margin:0">${words.alreadyDone}</p>
${
  ways.length === 0
    ? ''
    : html`<p style="margin:14px 0 0">${words.questions}<br>${ways.map(
        ({ text, url }, index) =>
          html`${index === 0 ? '' : html`<br>`}<a class="fw-link" href="${url}" style="color:#14663a;word-break:break-all">${text}</a>`,
      )}</p>`
}
</td></tr>
<tr><td class="fw-faint fw-line" style="padding:16px 28px 22px;border-top:1px solid #e2e5ea;color:#5d6675;font-size:13px;line-height:19px">${words.why(company.name)}<br><a class="fw-faint" href="${parts.unsubscribeUrl}" target="_blank" style="color:#5d6675">${words.unsubscribe}</a></td></tr>
</table>
</td></tr></table>
</body>
</html>
`
  return page.toString()
}

/** For mail readers that show no buttons. */
function addressRow(words: OwnerWords, { url }: ShownDevice) {
  return html`<tr><td class="fw-faint" style="padding:4px 28px 0;color:#5d6675;font-size:13px;line-height:19px">${words.linkAsText}<br><a class="fw-faint" href="${url}" target="_blank" style="color:#5d6675;word-break:break-all">${url}</a></td></tr>`
}

function deviceRow(words: OwnerWords, { name, since, url, task }: ShownDevice) {
  return html`<tr><td style="padding:12px 28px 0"><table role="presentation" class="fw-line" width="100%" cellpadding="0" cellspacing="0" border="0" style="border-top:1px solid #e2e5ea"><tr>
<td class="fw-text" style="padding:12px 12px 0 0;color:#1d2330;font-size:16px;line-height:23px;word-break:break-word">${name}<br><span class="fw-faint" style="color:#5d6675;font-size:14px">${words.since(since)}</span></td>
<td align="right" style="padding:12px 0 0;white-space:nowrap"><a class="fw-link" href="${url}" target="_blank" style="color:#14663a;font-size:16px;line-height:23px">${words.link[task]}</a></td>
</tr></table></td></tr>`
}

const font = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

// Mail readers without dark mode ignore these; some with it (Gmail) recolour by themselves instead.
const darkStyles = `
:root{color-scheme:light dark;supported-color-schemes:light dark}
@media (prefers-color-scheme:dark){
.fw-page{background:#14171c !important}
.fw-card{background:#1f242c !important}
.fw-text{color:#e8ebf0 !important}
.fw-faint{color:#a3acba !important}
.fw-line{border-color:#363d49 !important}
.fw-link{color:#7fd3a2 !important}
}`
