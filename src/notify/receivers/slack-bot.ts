// Slack, as a bot: one message per group, which always shows the present state, and a thread below it
// that tells what happened.
//
//   nothing told, or the last episode is over   a new message (the parent)
//   anything after that                         the parent is edited, then a reply goes into its thread:
//                                               an edit pings nobody, a reply does
//   resolved while silenced                     the parent is edited, and nobody is pinged
//   the parent is gone, or may not be edited    a new parent takes its place
//
// Where the parent stands is kept as the integration's receiverData. Editing twice changes nothing,
// so the edit comes first: an attempt that breaks between the two repeats only the edit. A reply
// whose answer is lost may have arrived, and is sent again.
//
// Plain requests rather than @slack/web-api: that client knows no abort of a call, reads answers of
// any size, and writes to the console. The token is in no reason, log or error. Sources: Slack's
// pages on chat.postMessage, chat.update and rate limits.

import type { SlackBotConfig } from '../../config.ts'
import { createMessage, type MessageOptions } from '../message.ts'
import type { Integration, Notification, NotificationReason, SendOutcome } from '../notification.ts'
import { createSlackTemplates } from '../template-parts.ts'
import {
  createHttpIntegration,
  type Delivery,
  type HttpReceiverDeps,
  type Place,
} from './http-integration.ts'
import { refusalOf, retryAfterMs } from './http-post.ts'
import { errorCode, parseObject, type SlackDeps } from './slack.ts'
import { type SlackNews, type SlackPayload, slackPayload, slackReply } from './slack-layout.ts'

// Slack takes one message a second per channel, with short bursts.
const spacingMs = 1_000
// A reply names this many members; the parent lists more.
const mostNews = 5
// Slack's answer quotes the message with all its blocks.
const longestAnswer = 1_000_000

export function createSlackBotIntegration(
  config: SlackBotConfig,
  place: Place,
  deps: HttpReceiverDeps & Pick<SlackDeps, 'onLayoutRefused' | 'onTemplateFailure'>,
): Integration {
  const { token, channel, apiBaseUrl, sendResolved, showPersonalData } = config
  const { onTemplateFailure } = deps
  const fillTemplates = createSlackTemplates(config.template, { ...place, onTemplateFailure })

  async function deliver(notification: Notification, delivery: Delivery): Promise<SendOutcome> {
    const { links, context } = delivery
    const options = { links, showPersonalData, moreUrl: deps.moreUrl(notification) }
    const message = createMessage(notification, options)
    const payload = slackPayload(message, fillTemplates(message, notification))
    const parent = beginsAnew[notification.reason] ? null : parseParent(context.receiverData, channel)
    if (parent === null) return postParent(payload, delivery)

    // Of this message: a newer one in its place has another state to show.
    const edited = `edited@${notification.at}`
    if (!context.delivered.includes(edited)) {
      const { channel, ts } = parent
      const update = await call('chat.update', { channel, ts, ...payload }, delivery)
      if (update.kind === 'gone') return postParent(payload, delivery)
      if (update.kind !== 'done') return update
    }
    const told = { kind: 'ok', receiverData: JSON.stringify(parent) } as const
    if (notification.reason === 'resolved while silenced') return told

    const reply = slackReply(message, newsOf(notification, options))
    const thread = { channel: parent.channel, thread_ts: parent.ts }
    const replied = await call('chat.postMessage', { ...thread, ...reply }, delivery)
    switch (replied.kind) {
      case 'done':
        return told
      case 'gone':
        return postParent(payload, delivery)
      case 'retry':
        return { ...replied, delivered: [...context.delivered, edited], receiverData: told.receiverData }
      default:
        return replied
    }
  }

  async function postParent(payload: SlackPayload, delivery: Delivery): Promise<SendOutcome> {
    const posted = await call('chat.postMessage', { channel, ...payload }, delivery)
    if (posted.kind === 'gone') return { kind: 'permanent', reason: posted.code }
    if (posted.kind !== 'done') return posted
    // Slack always says where; a server that imitates it may not, and then each message is a new one.
    if (posted.channel === null || posted.ts === null) return { kind: 'ok' }
    const parent: Parent = { channel: posted.channel, ts: posted.ts, configured: channel }
    return { kind: 'ok', receiverData: JSON.stringify(parent) }
  }

  /** With blocks, and once more without when Slack refuses them. */
  async function call(
    method: 'chat.postMessage' | 'chat.update',
    body: SlackPayload & Readonly<Record<string, unknown>>,
    { post, signal }: Delivery,
  ): Promise<Exclude<Called, { kind: 'refused' }>> {
    const url = `${apiBaseUrl}${method}`
    // Slack looks for no channels or names in the text.
    const first = concluded(await post(url, { ...body, parse: 'none' }))
    if (first.kind !== 'refused') return first
    deps.onLayoutRefused({ ...place, answer: first.code })
    await deps.clock.sleep(spacingMs, signal)
    // What was wrong with the blocks must not keep people from reading the alert. An empty list, since
    // an edit without any may leave the old ones.
    const second = concluded(await post(url, { ...body, blocks: [], parse: 'none' }))
    return second.kind === 'refused' ? { kind: 'permanent', reason: second.code } : second
  }

  function concluded(answer: Awaited<ReturnType<Delivery['post']>>): Called {
    if (answer.kind !== 'answer') return answer
    const { status, text } = answer
    const body = parseObject(text)
    const code = errorCode(text)
    if (status === 429 || (code !== null && codes.rateLimited.includes(code))) {
      const inBody = String(body?.['retry_after'] ?? '')
      const waitMs = answer.retryAfterMs ?? retryAfterMs({ retryAfter: inBody, date: '' }, deps.clock.now())
      return { kind: 'rate_limited', retryAfterMs: waitMs }
    }
    if (status === 400 || status === 413) return { kind: 'refused', code: `HTTP ${status}` }
    if (status < 200 || status > 299) return refusalOf(answer, code)
    if (body?.['ok'] === true) return { kind: 'done', channel: word(body['channel']), ts: word(body['ts']) }
    if (code === null) {
      return { kind: 'retry', reason: 'the answer is not Slack’s: delivery is not known' }
    }
    if (codes.layout.includes(code)) return { kind: 'refused', code }
    if (codes.gone.includes(code)) return { kind: 'gone', code }
    if (codes.passing.includes(code)) return { kind: 'retry', reason: code }
    const hint = hints.get(code)
    return { kind: 'permanent', reason: hint === undefined ? code : `${code}: ${hint}` }
  }

  return createHttpIntegration(
    {
      ...place,
      kind: 'slack',
      sendResolved,
      http: {
        authorization: { kind: 'header', type: 'Bearer', credentials: token },
        followRedirects: false,
        ca: null,
        serverName: null,
      },
      minimumSpacingMs: spacingMs,
      readsSuccess: true,
      longestText: longestAnswer,
      deliver,
    },
    deps,
  )
}

type Called =
  | { readonly kind: 'done'; readonly channel: string | null; readonly ts: string | null }
  /** Slack refuses what the message consists of. */
  | { readonly kind: 'refused'; readonly code: string }
  /** The parent can't be edited or replied to. */
  | { readonly kind: 'gone'; readonly code: string }
  | Exclude<SendOutcome, { kind: 'ok' }>

// Slack's words for errors, by what is to be done. Any other is permanent.
const codes: Readonly<Record<'rateLimited' | 'layout' | 'gone' | 'passing', readonly string[]>> = {
  rateLimited: ['ratelimited', 'rate_limited'],
  layout: [
    'invalid_blocks',
    'invalid_blocks_format',
    'invalid_arguments',
    'msg_blocks_too_long',
    'msg_too_long',
  ],
  gone: [
    'message_not_found',
    'thread_not_found',
    'cannot_reply_to_message',
    'cant_update_message',
    'edit_window_closed',
    'restricted_action_thread_locked',
  ],
  passing: [
    'accesslimited',
    'fatal_error',
    'internal_error',
    'request_timeout',
    'service_unavailable',
    'team_added_to_org',
    'update_failed',
  ],
}

const hints: ReadonlyMap<string, string> = new Map([
  ['not_authed', 'check app_token'],
  ['invalid_auth', 'check app_token'],
  ['token_expired', 'check app_token'],
  ['token_revoked', 'check app_token'],
  ['account_inactive', 'check app_token'],
  ['missing_scope', 'the app needs the scope chat:write'],
  ['channel_not_found', 'check the channel, and that the app is a member of it'],
  ['not_in_channel', 'add the app to the channel'],
  ['is_archived', 'unarchive the channel or choose another'],
])

/** Reasons that belong to no message told before. */
const beginsAnew: Readonly<Record<NotificationReason, boolean>> = {
  'first notification': true,
  'resolved before delivery': true,
  'new alerts': false,
  'some resolved': false,
  'all resolved': false,
  repeat: false,
  'silence ended': false,
  flapping: false,
  'resolved while silenced': false,
  'acknowledged reminder': false,
}

/** Where the group's message stands. */
interface Parent {
  /** Its id, which edits want. */
  readonly channel: string
  readonly ts: string
  /** The channel as configured: another one gets a message of its own. */
  readonly configured: string
}

/** Null for what another kind of integration left, another version, or another channel. */
function parseParent(data: string | null, configured: string): Parent | null {
  const stored = data === null ? null : parseObject(data)
  const channel = word(stored?.['channel'])
  const ts = word(stored?.['ts'])
  const differs = (stored?.['configured'] ?? configured) !== configured
  return channel === null || ts === null || differs ? null : { channel, ts, configured }
}

/** Ids and timestamps, nothing longer: they are stored. */
function word(value: unknown): string | null {
  return typeof value === 'string' && /^[\w.-]{1,60}$/.test(value) ? value : null
}

/** The members that a reply is about: the newest when some joined, and those that ended. */
function newsOf(notification: Notification, options: MessageOptions): SlackNews {
  const { reason, firing, resolved } = notification
  // Which of them are new is not known here; the newest surely are.
  const firedAt = (alert: (typeof firing)[number]) => alert.firedAt ?? alert.activeAt
  const newest = reason === 'new alerts' ? firing.toSorted((a, b) => firedAt(b) - firedAt(a)) : []
  const shown = (part: Pick<Notification, 'firing' | 'resolved'>) =>
    createMessage({ ...notification, ...part }, options).members
  return {
    members: [
      ...shown({ firing: newest.slice(0, mostNews), resolved: [] }),
      ...shown({ firing: [], resolved: resolved.slice(0, mostNews) }),
    ],
    more: Math.max(0, resolved.length - mostNews),
  }
}
