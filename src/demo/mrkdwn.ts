// Slack's mrkdwn as HTML, as far as alerts use it: links, dates, mentions, bold, italic, strike,
// code, line breaks. All text is escaped; only http(s) links become links. Dates are in UTC, since
// the page doesn't know its reader's time zone.

import { html, raw } from 'hono/html'

export function renderMrkdwn(text: string, now: number): string {
  const parts: string[] = []
  const keep = (part: string) => `\ue000${parts.push(part) - 1}\ue001`
  const bare = text.replace(/[\ue000\ue001]/g, '')
  // What is between angle brackets is a command; what is between backticks is not formatted.
  // Both wait aside until the rest is escaped and formatted.
  const commandsAside = bare.replace(/<([^<>]*)>/g, (_, command: string) => keep(renderCommand(command, now)))
  const codeAside = commandsAside.replace(/`([^`\n]+)`/g, (_, code: string) =>
    keep(`<code>${escapeHtml(decode(code))}</code>`),
  )
  const formatted = [
    [/(?<![^\s(•·→>])\*(?=\S)([^*\n]*\S)\*(?![\p{L}\p{N}])/gu, '<b>$1</b>'],
    [/(?<![^\s(•·→>])_(?=\S)([^_\n]*\S)_(?![\p{L}\p{N}])/gu, '<i>$1</i>'],
    [/(?<![^\s(•·→>])~(?=\S)([^~\n]*\S)~(?![\p{L}\p{N}])/gu, '<s>$1</s>'],
  ] as const
  let shown = escapeHtml(decode(codeAside))
  for (const [pattern, replacement] of formatted) shown = shown.replace(pattern, replacement)
  shown = shown.replaceAll('\n', '<br>')
  // Twice: a command may stand inside of code.
  for (let round = 0; round < 2; round += 1) {
    shown = shown.replace(/\ue000(\d+)\ue001/g, (_, index: string) => parts[Number(index)] ?? '')
  }
  return shown
}

/** Text that Slack doesn't format: only its three entities are decoded. */
export function renderPlainText(text: string): string {
  return escapeHtml(decode(text)).replaceAll('\n', '<br>')
}

function renderCommand(command: string, now: number): string {
  const bar = command.indexOf('|')
  const target = bar < 0 ? command : command.slice(0, bar)
  const label = bar < 0 ? '' : decode(command.slice(bar + 1))
  if (target.startsWith('!date^')) return renderDate(target, label, now)
  if (/^[!@#]/.test(target)) {
    const name = label === '' ? target.replace(/^!(subteam\^)?/, '@') : label
    return `<mark>${escapeHtml(decode(name))}</mark>`
  }
  const url = decode(target)
  const words = escapeHtml(label === '' ? url : label)
  if (!/^(https?|mailto):/i.test(url) || !URL.canParse(url)) return words
  return String(html`<a href="${url}" target="_blank" rel="noopener noreferrer">${raw(words)}</a>`)
}

/** `!date^seconds^format^link`; the fallback where it is not understood. */
function renderDate(target: string, fallback: string, now: number): string {
  const [, seconds = '', format = ''] = target.split('^')
  const date = new Date(Number(seconds) * 1_000)
  if (!/^\d+$/.test(seconds) || Number.isNaN(date.getTime())) return escapeHtml(fallback)
  const iso = date.toISOString()
  const say = (options: Intl.DateTimeFormatOptions) =>
    date.toLocaleString('en-GB', { ...options, timeZone: 'UTC' })
  const short = say({ day: 'numeric', month: 'short', year: 'numeric' })
  const long = say({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' })
  const words: Readonly<Record<string, string>> = {
    date_num: iso.slice(0, 10),
    date: short,
    date_short: short,
    date_long: long,
    date_pretty: prettyDay(date, now) ?? short,
    date_short_pretty: prettyDay(date, now) ?? short,
    date_long_pretty: prettyDay(date, now) ?? long,
    time: `${iso.slice(11, 16)} UTC`,
    time_secs: `${iso.slice(11, 19)} UTC`,
  }
  const shown = decode(format).replace(/\{([a-z_]+)\}/g, (whole, name: string) => words[name] ?? whole)
  return String(html`<time datetime="${iso}" title="${fallback}">${shown}</time>`)
}

function prettyDay(date: Date, now: number): string | null {
  const days = Math.floor(date.getTime() / 86_400_000) - Math.floor(now / 86_400_000)
  if (days === 0) return 'Today'
  if (days === -1) return 'Yesterday'
  return days === 1 ? 'Tomorrow' : null
}

function decode(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

function escapeHtml(text: string): string {
  return String(html`${text}`)
}
