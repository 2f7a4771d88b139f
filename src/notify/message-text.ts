// The pieces that messages are made of: text, links and times that are safe to show, whatever they
// were made from. A receiver only has to escape them for its channel.

/** An instant (ms since 1970) and how to say it. */
export interface Moment {
  readonly at: number
  /** `14:05 UTC`, or `3 Nov, 14:05 UTC` where it is not on the message's day. */
  readonly text: string
  readonly sameDay: boolean
}

/**
 * One line of at most `codePoints` code points: control characters, line breaks, invisible
 * direction marks and lone surrogates become spaces, runs of spaces one, and what was cut off `…`.
 */
export function plainText(text: string, codePoints: number): string {
  if (text.length <= codePoints && isPlain.test(text)) return text
  // Only as much as can matter is cleaned: a value may be megabytes long. Four characters per
  // code point leave room for pairs and for spaces that collapse.
  const start = text.slice(0, codePoints * 4 + 64)
  const clean = start.replace(unprintable, ' ').replace(/\s+/gu, ' ').trim()
  if (clean.length <= codePoints && start.length === text.length) return clean
  const points = [...clean]
  if (points.length <= codePoints && start.length === text.length) return clean
  return `${points
    .slice(0, codePoints - 1)
    .join('')
    .trimEnd()}…`
}

// As nearly all texts are: printable ASCII with single spaces inside, which needs no look at code points.
const isPlain = /^[!-~]+(?: [!-~]+)*$/

// Controls (Cc), lone surrogates (Cs), line and paragraph separators, and the characters that
// reorder or hide text: U+200B-200F (but the joiners that emoji and scripts need), U+202A-202E,
// U+2060-2069, U+FEFF, and the tag characters.
const unprintable =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu

const longestUrl = 2_000

/** The URL as `new URL()` writes it, or null if it is not http(s), holds a password, or is over-long. */
export function webUrl(text: string | undefined): string | null {
  if (text === undefined || !URL.canParse(text)) return null
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return null
  if (url.username !== '' || url.password !== '' || url.href.length > longestUrl) return null
  // What new URL() leaves alone and a channel's own link syntax could end at.
  return url.href.replace(
    /[|<>"'`\\\s]/g,
    (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  )
}

/** `now`: the moment of the message, whose day goes without saying. */
export function moment(at: number, now: number): Moment {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return { at: now, text: 'an unknown time', sameDay: true }
  const today = new Date(now)
  const time = `${date.toISOString().slice(-13, -8)} UTC`
  const sameDay = date.toISOString().slice(0, -14) === today.toISOString().slice(0, -14)
  const day = `${date.getUTCDate()} ${months[date.getUTCMonth()] ?? ''}`
  const year = date.getUTCFullYear() === today.getUTCFullYear() ? '' : ` ${date.getUTCFullYear()}`
  return { at, text: sameDay ? time : `${day}${year}, ${time}`, sameDay }
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `word` hidden, in any case, but not inside longer words: a customer called Max doesn't take `Maximum` apart. */
export function withoutWord(text: string, word: string): string {
  // A message may stand for thousands of customers, and a RegExp for each would take seconds.
  const lowText = text.toLowerCase()
  const low = plainText(word, 600).toLowerCase()
  if (low === '' || !lowText.includes(low)) return text
  // Few letters change their length in lower case, but then positions are lost.
  if (lowText.length !== text.length) return '…'
  let rest = 0
  let shown = ''
  for (let at = lowText.indexOf(low); at >= 0; at = lowText.indexOf(low, at + low.length)) {
    const end = at + low.length
    if (/[\p{L}\p{N}]$/u.test(text.slice(0, at).slice(-2))) continue
    if (/^[\p{L}\p{N}]/u.test(text.slice(end, end + 2))) continue
    shown += `${text.slice(rest, at)}…`
    rest = end
  }
  return shown + text.slice(rest)
}
