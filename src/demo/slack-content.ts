// What a message to Slack may consist of: text, blocks and attachments, as Slack checks them (its
// block kit reference; the limit on all blocks together is undocumented, see bolt-js #2509).

export interface SlackText {
  readonly type: 'plain_text' | 'mrkdwn'
  readonly text: string
}

export type SlackBlock =
  | { readonly type: 'header'; readonly text: SlackText }
  | { readonly type: 'section'; readonly text: SlackText | null; readonly fields: readonly SlackText[] }
  | { readonly type: 'context'; readonly elements: readonly SlackText[] }
  | { readonly type: 'divider' }

export interface SlackContent {
  readonly text: string
  readonly blocks: readonly SlackBlock[]
  readonly attachments: readonly {
    /** `#rrggbb`, or null. */
    readonly color: string | null
    readonly text: string
    readonly blocks: readonly SlackBlock[]
  }[]
}

/** Slack cuts it there for webhooks, and refuses it from bots. */
export const longestText = 40_000

const limits = {
  blocks: 50,
  header: 150,
  sectionText: 3_000,
  fields: 10,
  field: 2_000,
  contextElements: 10,
  contextText: 2_000,
  blockId: 255,
  attachments: 100,
  allBlocks: 13_200,
} as const

/** The message, or Slack's word for what is wrong with it. */
export function decodeMessage(payload: Readonly<Record<string, unknown>>): SlackContent | string {
  const { text = '', blocks = [], attachments = [] } = payload
  if (typeof text !== 'string') return 'invalid_payload'
  if (!Array.isArray(blocks)) return 'invalid_blocks_format'
  if (!Array.isArray(attachments)) return 'invalid_attachments'
  if (attachments.length > limits.attachments) return 'too_many_attachments'
  if (text === '' && blocks.length === 0 && attachments.length === 0) return 'no_text'
  const decoded = decodeBlocks(blocks)
  if (decoded === null) return 'invalid_blocks'
  const decodedAttachments: SlackContent['attachments'][number][] = []
  for (const attachment of attachments) {
    const { color, text: words, blocks: inner = [] } = asObject(attachment) ?? {}
    const innerBlocks = Array.isArray(inner) ? decodeBlocks(inner) : null
    if (innerBlocks === null) return 'invalid_attachments'
    decodedAttachments.push({
      color: typeof color === 'string' && /^#[0-9a-f]{6}$/i.test(color) ? color : null,
      text: typeof words === 'string' ? words : '',
      blocks: innerBlocks,
    })
  }
  const all = [decoded, ...decodedAttachments.map((attachment) => attachment.blocks)].flat()
  if (all.length > limits.blocks) return 'invalid_blocks'
  if (textLength(all) > limits.allBlocks) return 'msg_blocks_too_long'
  return { text: text.slice(0, longestText), blocks: decoded, attachments: decodedAttachments }
}

function decodeBlocks(blocks: readonly unknown[]): SlackBlock[] | null {
  const decoded = blocks.map(decodeBlock)
  const good = decoded.filter((block) => block !== null)
  return good.length === decoded.length ? good : null
}

function decodeBlock(value: unknown): SlackBlock | null {
  const block = asObject(value)
  if (block === null) return null
  const id = block['block_id'] ?? ''
  if (typeof id !== 'string' || id.length > limits.blockId) return null
  switch (block['type']) {
    case 'header': {
      const text = decodeText(block['text'], limits.header)
      return text?.type === 'plain_text' ? { type: 'header', text } : null
    }
    case 'section': {
      const text = block['text'] === undefined ? null : decodeText(block['text'], limits.sectionText)
      const fields =
        block['fields'] === undefined ? [] : decodeTexts(block['fields'], limits.fields, limits.field)
      if (fields === null || (block['text'] !== undefined && text === null)) return null
      return text === null && fields.length === 0 ? null : { type: 'section', text, fields }
    }
    case 'context': {
      const elements = decodeTexts(block['elements'], limits.contextElements, limits.contextText)
      return elements === null || elements.length === 0 ? null : { type: 'context', elements }
    }
    case 'divider':
      return { type: 'divider' }
    default:
      return null
  }
}

function decodeTexts(value: unknown, most: number, longest: number): SlackText[] | null {
  if (!Array.isArray(value) || value.length > most) return null
  const texts = value.map((text: unknown) => decodeText(text, longest)).filter((text) => text !== null)
  return texts.length === value.length ? texts : null
}

function decodeText(value: unknown, longest: number): SlackText | null {
  const { type, text } = asObject(value) ?? {}
  if ((type !== 'plain_text' && type !== 'mrkdwn') || typeof text !== 'string') return null
  return text.length >= 1 && text.length <= longest ? { type, text } : null
}

function textLength(blocks: readonly SlackBlock[]): number {
  return blocks
    .flatMap((block) => {
      if (block.type === 'divider') return []
      if (block.type === 'context') return block.elements
      return block.type === 'header'
        ? [block.text]
        : [...(block.text === null ? [] : [block.text]), ...block.fields]
    })
    .reduce((length, { text }) => length + text.length, 0)
}

/** Null for what is no JSON object. */
export function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
}
