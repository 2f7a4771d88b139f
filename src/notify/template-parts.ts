// The parts of a Slack message and of an e-mail that templates may write, within the limits of their
// channel; and what goes out when one fails: the built-in part, and a report of the failure.

import type { EmailTemplate, SlackTemplate } from '../config.ts'
import type { Message } from './message.ts'
import { createMessageTemplates, type RenderedPart, type TemplateError, tooLong } from './message-template.ts'
import { plainText } from './message-text.ts'
import type { Notification } from './notification.ts'

/** A template that failed; `kind` as Integration's. */
export interface TemplateFailure {
  readonly receiver: string
  readonly kind: 'slack' | 'email'
  /** As Integration's. */
  readonly index: number
  /** `title`, `text`, `subject` or `html`. */
  readonly part: string
  readonly error: TemplateError
}

export interface TemplateOwner {
  readonly receiver: string
  readonly index: number
  /** Called at each message for each part that fails. */
  readonly onTemplateFailure: (failure: TemplateFailure) => void
}

/** What templates say; null: the built-in part. Escaped, and within Slack's limits. */
export interface SlackParts {
  /** One line for the header. */
  readonly title: string | null
  /** Texts for one section each, which take the place of all between header and foot. */
  readonly sections: readonly string[] | null
}

export const builtInSlackParts: SlackParts = { title: null, sections: null }

// Slack's own limits are 150 and 3,000; the sum leaves room for header and foot among the 9,000 or so
// that Slack surely takes for all blocks together (see slack.ts).
const slackLimits = { header: 150, section: 2_900, sections: 8_400 } as const

export function createSlackTemplates(
  template: SlackTemplate | null,
  owner: TemplateOwner,
): (message: Message, notification: Notification) => SlackParts {
  if (template === null) return () => builtInSlackParts
  const { title, text } = template
  const templates = createMessageTemplates({ title, text }, 'slack')
  return (message, notification) => {
    const say = (part: 'title' | 'text') =>
      textOrReport(templates.render(part, message, notification), { kind: 'slack', part, owner })
    const header = say('title')
    const body = say('text')
    return {
      title: header === null ? null : cutSlack(header.replace(/\s+/gu, ' ').trim(), slackLimits.header),
      sections: body === null ? null : slackSections(body),
    }
  }
}

/** What templates say; null: the built-in part. */
export interface EmailParts {
  /** One line without control characters, at most 200 code points. */
  readonly subject: string | null
  readonly text: string | null
  /** The whole HTML part. */
  readonly html: string | null
}

const emailLimits = { subject: 200, text: 100_000, htmlBytes: 100_000 } as const

export function createEmailTemplates(
  template: EmailTemplate | null,
  owner: TemplateOwner,
): (message: Message, notification: Notification) => EmailParts {
  if (template === null) return () => ({ subject: null, text: null, html: null })
  const { subject, text, html } = template
  const plain = createMessageTemplates({ subject, text }, 'text')
  const rich = createMessageTemplates({ html }, 'html')
  return (message, notification) => {
    const say = (part: string, rendered: RenderedPart) =>
      textOrReport(rendered, { kind: 'email', part, owner })
    const line = say('subject', plain.render('subject', message, notification))
    const body = say('text', plain.render('text', message, notification))
    const rendered = rich.render('html', message, notification)
    // Cut, it would lose its closing tags; beyond this, Gmail clips it.
    const tooBig = rendered.kind === 'ok' && Buffer.byteLength(rendered.text) > emailLimits.htmlBytes
    return {
      // Of characters that can't be seen alone, nothing is left.
      subject: plainText(line ?? '', emailLimits.subject) || null,
      text: body === null ? null : cutLines(body, emailLimits.text),
      html: say('html', tooBig ? tooLong(`${emailLimits.htmlBytes} bytes of HTML`) : rendered),
    }
  }
}

function textOrReport(
  rendered: RenderedPart,
  { kind, part, owner }: { kind: TemplateFailure['kind']; part: string; owner: TemplateOwner },
): string | null {
  if (rendered.kind === 'ok') return rendered.text
  if (rendered.kind === 'failed') {
    const { receiver, index, onTemplateFailure } = owner
    onTemplateFailure({ receiver, kind, index, part, error: rendered.error })
  }
  return null
}

// ---- cutting

// Not to be cut in two: a link, a mention, an entity, a code point.
const slackToken = /<[^<>\n]*>|&(?:amp|lt|gt);|[\s\S]/gu

function cutSlack(text: string, length: number): string {
  if (text.length <= length) return text
  const [start = ''] = slackPieces(text, length - 1)
  return `${start.trimEnd()}…`
}

/** At most `length` characters each; what is longer in itself becomes `…`. */
function slackPieces(line: string, length: number): string[] {
  const pieces: string[] = []
  let piece = ''
  for (const [token] of line.matchAll(slackToken)) {
    const whole = token.length > length ? '…' : token
    if (piece.length + whole.length > length) {
      pieces.push(piece)
      piece = ''
    }
    piece += whole
  }
  return [...pieces, piece]
}

/** Cut between lines where that is possible. At least one, none of them blank. */
function slackSections(text: string): readonly string[] {
  const { section, sections: most } = slackLimits
  // Before it is taken apart; what follows is not shown in any case.
  const shown = text.trim().slice(0, most * 4)
  const lines = shown.split(/\r?\n/).flatMap((line) => slackPieces(line, section))
  const sections: string[] = []
  let left = most - 1
  let last = ''
  let complete = shown.length === text.trim().length
  for (const line of lines) {
    if (line.length + 1 > left) {
      complete = false
      break
    }
    left -= line.length + 1
    if (last !== '' && last.length + 1 + line.length > section - 1) {
      sections.push(last)
      last = line
    } else last = last === '' ? line : `${last}\n${line}`
  }
  const all = [...sections, last].filter((each) => each.trim() !== '')
  if (complete) return all
  return [...all.slice(0, -1), `${all.at(-1) ?? ''}…`]
}

function cutLines(text: string, length: number): string {
  if (text.length <= length) return text
  const end = text.lastIndexOf('\n', length - 2)
  return `${text.slice(0, end > 0 ? end + 1 : length - 1).toWellFormed()}…`
}
