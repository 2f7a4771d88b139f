// What an e-mail looks like: the same message as plain text and as HTML. The HTML is for mail
// readers: nested tables with inline styles, no pictures, no scripts, colours that survive a dark
// mode, and less than 100 KB, beyond which Gmail cuts it off. Every link is also there as text.

import { html, raw } from 'hono/html'
import type { Message, MessageMember } from '../message.ts'

/** What the mail's foot says about where it comes from. */
export interface MailOrigin {
  readonly receiver: string
}

/** `FIRING (critical)`: the first word of the text, and of the preview in a list of mails. */
export function stateLine({ state, severity }: Message): string {
  return `${state.toUpperCase()}${severity === '' ? '' : ` (${severity})`}`
}

export function textBody(message: Message, { receiver }: MailOrigin): string {
  const lines = [`${stateLine(message)}: ${message.title}`, '']
  if (message.summary !== null) lines.push(summaryLine(message.state, message.summary))
  if (message.description !== null) lines.push(message.description)
  if (message.todo !== null) lines.push(`To do: ${message.todo}`)
  if (message.runbookUrl !== null) lines.push(`Runbook: ${message.runbookUrl}`)
  lines.push('', ...facts(message).map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}`))
  for (const [heading, members] of lists(message)) {
    lines.push('', heading, ...members.flatMap(memberLines))
  }
  const more = moreWords(message)
  if (more !== null) lines.push('', message.more.url === null ? more : `${more}: ${message.more.url}`)
  lines.push('', '-- ', message.why, `Sent by Fleetwarden to receiver ${receiver}.`)
  return `${lines.join('\n')}\n`
}

function memberLines(member: MessageMember): string[] {
  const lines = ['', `* ${[member.what, ...identity(member)].join(', ')}`]
  if (member.state === 'firing') lines.push(`  since ${member.since.text}`)
  lines.push(...member.notes.map((note) => `  ${note}`))
  if (member.deviceId !== null) lines.push(`  device ${member.deviceId}`)
  if (member.link !== null) {
    const until = validity(member)
    lines.push(`  Resolve${until === '' ? '' : ` (${until})`}: ${member.link.url}`)
  }
  return lines
}

export async function htmlBody(message: Message, { receiver }: MailOrigin): Promise<string> {
  const colour = stateColour(message)
  const preview = [stateLine(message), message.summary, `since ${message.since.text}`]
    .filter(Boolean)
    .join(' · ')
  const rows = await memberRows(message)
  const more = moreWords(message, message.members.length - rows.listed)
  const page = await html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${message.title}</title>
<style>${raw(darkStyles)}</style>
</head>
<body class="fw-page" style="margin:0;padding:0;background:#eef0f3;color:#1d2330">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">${preview}</div>
<table role="presentation" class="fw-page" width="100%" cellpadding="0" cellspacing="0" border="0" bgcolor="#eef0f3"><tr><td align="center" style="padding:16px 8px">
<table role="presentation" class="fw-card" width="600" cellpadding="0" cellspacing="0" border="0" bgcolor="#ffffff" style="width:100%;max-width:600px;border-radius:8px;overflow:hidden;${raw(font)}">
<tr><td bgcolor="${colour}" style="background:${colour};padding:18px 24px;color:#ffffff">
<div style="font-size:12px;letter-spacing:.06em;font-weight:bold;color:#ffffff">${stateLine(message)}</div>
<div style="font-size:20px;line-height:26px;font-weight:bold;color:#ffffff;padding-top:4px">${message.title}</div>
</td></tr>
<tr><td class="fw-text" style="padding:18px 24px 6px;color:#1d2330;font-size:15px;line-height:22px">
${message.summary === null ? '' : html`<div style="font-weight:${message.state === 'firing' ? 'bold' : 'normal'}">${summaryLine(message.state, message.summary)}</div>`}
${message.description === null ? '' : html`<div style="padding-top:4px">${message.description}</div>`}
${message.todo === null ? '' : html`<div style="padding-top:8px"><b>To do:</b> ${message.todo}</div>`}
${
  message.runbookUrl === null
    ? ''
    : html`<div style="padding-top:8px"><a class="fw-link" href="${message.runbookUrl}" target="_blank" style="color:#1a56b8">Runbook</a>
<span class="fw-faint" style="font-size:12px;color:#5d6675;word-break:break-all">${message.runbookUrl}</span></div>`
}
</td></tr>
<tr><td style="padding:6px 24px 14px"><table role="presentation" cellpadding="0" cellspacing="0" border="0" style="font-size:14px;line-height:20px">
${facts(message).map(
  ([name, value]) =>
    html`<tr><td class="fw-faint" style="padding:2px 16px 2px 0;color:#5d6675">${name}</td><td class="fw-text" style="padding:2px 0;color:#1d2330">${value}</td></tr>`,
)}
</table></td></tr>
${rows.html}
${
  more === null
    ? ''
    : html`<tr><td class="fw-text fw-line" style="padding:12px 24px;border-top:1px solid #e2e5ea;color:#1d2330;font-size:14px">${
        message.more.url === null
          ? more
          : html`<a class="fw-link" href="${message.more.url}" target="_blank" style="color:#1a56b8">${more}</a>`
      }</td></tr>`
}
<tr><td class="fw-faint fw-line" style="padding:14px 24px 18px;border-top:1px solid #e2e5ea;color:#5d6675;font-size:12px;line-height:18px">${message.why}<br>Sent by Fleetwarden to receiver ${receiver}.</td></tr>
</table>
</td></tr></table>
</body>
</html>
`
  return page.toString()
}

/** As many members as fit: with links of thousands of characters these need not be all. */
async function memberRows(message: Message): Promise<{ readonly html: unknown; readonly listed: number }> {
  const rows: unknown[] = []
  let bytes = 0
  let listed = 0
  for (const [heading, members] of lists(message)) {
    rows.push(
      html`<tr><td class="fw-faint" style="padding:10px 24px 4px;color:#5d6675;font-size:12px;font-weight:bold">${heading}</td></tr>`,
    )
    for (const member of members) {
      const row = await memberRow(member)
      bytes += Buffer.byteLength(row.toString())
      if (bytes > longestList) return { html: rows, listed }
      rows.push(row)
      listed += 1
    }
  }
  return { html: rows, listed }
}

function memberRow(member: MessageMember): ReturnType<typeof html> {
  const notes = [...(member.state === 'firing' ? [`since ${member.since.text}`] : []), ...member.notes]
  return html`<tr><td class="fw-line" style="padding:12px 24px;border-top:1px solid #e2e5ea">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>
<td class="fw-text" valign="top" style="color:#1d2330;font-size:14px;line-height:20px">
<b>${member.what}</b><br>
${identity(member).length === 0 ? '' : html`${identity(member).join(', ')}<br>`}
<span class="fw-faint" style="color:#5d6675">${notes.join(' · ')}</span>
${
  member.deviceId === null
    ? ''
    : html`<br><span class="fw-faint" style="color:#5d6675;font-size:12px">device ${member.deviceId}</span>`
}
${
  member.link === null || member.link.url.length > longestShownUrl
    ? ''
    : html`<br><a class="fw-faint" href="${member.link.url}" target="_blank" style="font-size:12px;color:#5d6675;word-break:break-all">${member.link.url}</a>`
}
</td>
${
  member.link === null
    ? ''
    : html`<td valign="top" align="right" width="120" style="padding-left:12px">
<table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr><td bgcolor="#1a56b8" style="background:#1a56b8;border-radius:6px"><a href="${member.link.url}" target="_blank" style="display:inline-block;padding:9px 18px;color:#ffffff;font-size:14px;font-weight:bold;text-decoration:none">Resolve</a></td></tr></table>
<div class="fw-faint" style="padding-top:4px;color:#5d6675;font-size:12px;line-height:16px">${validity(member)}</div></td>`
}
</tr></table></td></tr>`
}

// Bytes. All the rest of a mail stays below 40 KB, whatever it is about.
const longestList = 50_000
// As text under the button; the plain text has every one in full.
const longestShownUrl = 300

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
.fw-link{color:#8ab4f8 !important}
}`

/** Dark enough for white letters upon it (contrast 4.5 and more), in light and in dark surroundings. */
function stateColour({ state, severity }: Message): string {
  if (state === 'resolved') return '#1b7a43'
  if (state === 'ended') return '#56606f'
  if (severity === 'critical' || severity === 'error') return '#b3261e'
  return severity === 'info' ? '#1a56b8' : '#95520a'
}

function summaryLine(state: Message['state'], summary: string): string {
  return state === 'firing' ? summary : `It was: ${summary}`
}

function facts(message: Message): (readonly [name: string, value: string])[] {
  const shown: (readonly [string, string])[] = [['Since', message.since.text]]
  if (message.lasted !== null) shown.push(['Lasted', message.lasted])
  if (message.customers > 0) {
    shown.push(['Affected', `${message.customers} customer${message.customers === 1 ? '' : 's'}`])
  }
  if (message.firing > 0 && message.resolved > 0) {
    shown.push(['Now', `${message.firing} firing, ${message.resolved} ended`])
  }
  return shown
}

/** Headings with their members; a heading only where there are both kinds. */
function lists({ members }: Message): (readonly [heading: string, members: readonly MessageMember[]])[] {
  const firing = members.filter((member) => member.state === 'firing')
  const resolved = members.filter((member) => member.state === 'resolved')
  const shown: (readonly [string, readonly MessageMember[]])[] = []
  if (firing.length > 0) shown.push(['STILL FIRING', firing])
  if (resolved.length > 0) shown.push(['ENDED', resolved])
  const single = members.every((member) => member.deviceId !== null) ? 'DEVICES' : 'ALERTS'
  return shown.length === 2 ? shown : shown.map(([, only]) => [single, only])
}

function identity({ customer, who }: MessageMember): string[] {
  return [...(customer === null ? [] : [`customer ${customer}`]), ...(who === null ? [] : [who])]
}

function validity({ link }: MessageMember): string {
  return link === null || link.validUntil === null ? '' : `valid until ${link.validUntil.text}`
}

/** `unlisted`: members that would have been listed and didn't fit. */
function moreWords({ more, members }: Message, unlisted = 0): string | null {
  const count = more.count + unlisted
  return count === 0 ? null : `…and ${count} more than these ${members.length - unlisted}`
}
