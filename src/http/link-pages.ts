// The pages of our links, /r/{token}: what is wrong with which device, and a button.
//
// - Reading mints nothing: chats and mail scanners open every link that they see. Only the button (POST)
//   has the desk ask the partner, and the answer's Location is the one place where the partner's URL goes.
// - A token that is forged, expired or revoked, and every path below /r that is none of ours, get one and the
//   same 404. Whatever a request asks for, whether its token counts is looked at first.
// - The pages need no script and no cookie. What they may do is in their policy, see `policyOf`.
//
// A token lets its holder act: it is never logged, and so neither is the path of a request.

import { createHash } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { languageDetector } from 'hono/language'
import type { Clock } from '../clock.ts'
import { type LinkDesk, type LinkLanguage, type LinkView, linkLanguages } from '../links/link-desk.ts'
import type { OwnerDesk } from '../links/owner-desk.ts'
import type { Logger } from '../logger.ts'
import type { HttpEnv } from './access.ts'
import {
  type DevicePage,
  oneClick,
  type PageAddresses,
  renderDevicePage,
  renderNotice,
  renderUnsubscribePage,
  type UnsubscribePage,
} from './link-page.ts'
import { linkPageStyles } from './link-page-styles.ts'
import type { Notice, Situation } from './link-page-words.ts'
import type { RouteModule } from './server.ts'

export interface LinkPagesOptions {
  readonly desk: LinkDesk
  /** Null: nobody writes to owners, so nobody can unsubscribe. */
  readonly owners: OwnerDesk | null
  /** Where people reach us, as in `http.public_url`. */
  readonly publicUrl: string
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
}

type Status = 200 | 400 | 403 | 404 | 405 | 409 | 410 | 413 | 415 | 429 | 500 | 502 | 503

// What signs tokens makes them of these; anything else need not be asked after.
const tokenPattern = /^[\w.-]{1,200}$/
const mostBodyBytes = 1_024
const formType = 'application/x-www-form-urlencoded'
// RFC 8058 (3.1) has mail programs send this one rather than the other.
const multipartType = 'multipart/form-data'
// While the device is read again: soon at first, since most of them are done within a minute.
const refreshSeconds = { soon: 3, later: 10 }
const soonMs = 30_000
const unavailableRetrySeconds = 60

const noticeStatus: Readonly<Record<Notice, Status>> = {
  not_found: 404,
  method_not_allowed: 405,
  cross_site: 403,
  too_large: 413,
  not_a_form: 415,
  internal_error: 500,
}

const situationStatus: Readonly<Record<Situation['kind'], Status>> = {
  open: 200,
  checking: 200,
  still_wrong: 200,
  resolved: 200,
  cancelled: 200,
  healthy: 200,
  gone: 410,
  nothing_to_open: 409,
  rate_limited: 429,
  unavailable: 503,
  refused_host: 502,
}

export function linkPages({ desk, owners, publicUrl, clock, logger }: LinkPagesOptions): RouteModule {
  const app = new Hono<HttpEnv>()
  const policy = policyOf(publicUrl)
  const ourHost = new URL(publicUrl).host

  app.use(languageDetector({ order: ['header'], supportedLanguages: [...linkLanguages], caches: false }))
  app.use(async (context, next) => {
    await next()
    const { headers } = context.res
    headers.set('Content-Security-Policy', policy)
    headers.set('Cache-Control', 'no-store')
    headers.set('Referrer-Policy', 'no-referrer')
    headers.set('X-Robots-Tag', 'noindex, nofollow, noarchive')
    headers.set('Vary', 'Accept-Language')
  })
  app.onError((error, context) => {
    logger.error({ error }, 'A link page failed')
    return noticePage(context, 'internal_error')
  })

  app.get('/:token', (context) => {
    const isShown = isOpening(context)
    return forView(context, (token) => desk.look(token, { isShown }), progressPage(context, atLink))
  })

  app.post('/:token', (context) =>
    forView(context, look, async (_, token) => {
      const form = await acceptForm(context, { ourHost, types: [formType] })
      if (typeof form === 'string') return noticePage(context, form)
      const visit = { actor: context.get('actor'), language: languageOf(context) }
      const outcome = await desk.start(token, visit)
      if (outcome === null) return noticePage(context, 'not_found')
      if (outcome.kind === 'redirect') return context.body(null, 303, { Location: outcome.url.reveal() })
      const { view, ...situation } = outcome
      return situationPage(context, { view, situation, addresses: atLink(token), isRefreshing: false })
    }),
  )

  // The partner sends the person here. It may add a query of its own, which is ignored.
  app.get('/:token/back', (context) =>
    forView(
      context,
      isOpening(context) ? (token) => desk.returned(token) : look,
      progressPage(context, belowLink),
    ),
  )

  // Not /back again: coming back counts once, and checks that have ended must not begin anew by themselves.
  app.get('/:token/progress', (context) => forView(context, look, progressPage(context, belowLink)))

  app.get('/:token/cancelled', (context) =>
    forView(context, isOpening(context) ? (token) => desk.cancelled(token) : look, (view, token) => {
      const isOpen = view.progress.kind === 'open' || view.progress.kind === 'still_wrong'
      const situation = isOpen ? ({ kind: 'cancelled' } as const) : view.progress
      return situationPage(context, {
        view,
        situation,
        addresses: belowLink(token),
        isRefreshing: false,
      })
    }),
  )

  app.get('/:token/unsubscribe', (context) =>
    forOwner(context, ({ subscribed }) => unsubscribePage(context, subscribed ? 'ask' : 'done')),
  )

  app.post('/:token/unsubscribe', (context) =>
    forOwner(context, async ({ subscribed }, token, desk) => {
      const form = await acceptForm(context, { ourHost, types: [formType, multipartType] })
      if (typeof form === 'string') return noticePage(context, form)
      if (form.get(oneClick.name) === oneClick.value) {
        return (await desk.unsubscribe(token, context.get('actor')))
          ? unsubscribePage(context, 'done')
          : noticePage(context, 'not_found')
      }
      // A form without its button was not sent by a person: it is shown again.
      return unsubscribePage(context, subscribed ? 'ask' : 'done')
    }),
  )

  app.all('/:token', (context) => forView(context, look, () => wrongMethod(context, 'GET, HEAD, POST')))
  for (const path of ['back', 'progress', 'cancelled']) {
    app.all(`/:token/${path}`, (context) => forView(context, look, () => wrongMethod(context, 'GET, HEAD')))
  }
  app.all('/:token/unsubscribe', (context) =>
    forOwner(context, () => wrongMethod(context, 'GET, HEAD, POST')),
  )
  app.all('*', (context) => noticePage(context, 'not_found'))

  function look(token: string): Promise<LinkView | null> {
    return desk.look(token, { isShown: false })
  }

  async function forView(
    context: Context<HttpEnv>,
    find: (token: string) => Promise<LinkView | null>,
    answer: (view: LinkView, token: string) => Response | Promise<Response>,
  ): Promise<Response> {
    const token = tokenOf(context)
    const view = token === null ? null : await find(token)
    return token === null || view === null ? noticePage(context, 'not_found') : answer(view, token)
  }

  async function forOwner(
    context: Context<HttpEnv>,
    answer: (
      contact: { readonly subscribed: boolean },
      token: string,
      desk: OwnerDesk,
    ) => Response | Promise<Response>,
  ): Promise<Response> {
    const token = tokenOf(context)
    if (token === null || owners === null) return noticePage(context, 'not_found')
    const contact = await owners.lookUnsubscribe(token)
    return contact === null ? noticePage(context, 'not_found') : answer(contact, token, owners)
  }

  /** A page of the link's progress; below the link itself it reloads for as long as that changes by itself. */
  function progressPage(
    context: Context<HttpEnv>,
    addressesOf: (token: string) => PageAddresses,
  ): (view: LinkView, token: string) => Promise<Response> {
    return (view, token) =>
      situationPage(context, {
        view,
        situation: view.progress,
        addresses: addressesOf(token),
        isRefreshing: addressesOf === belowLink && view.progress.kind === 'checking',
      })
  }

  async function situationPage(
    context: Context<HttpEnv>,
    page: Omit<DevicePage, 'language' | 'now'>,
  ): Promise<Response> {
    const { situation, addresses, isRefreshing } = page
    const now = clock.now()
    if (isRefreshing && situation.kind === 'checking') {
      const isSoon = now - situation.returnedAt < soonMs
      const seconds = isSoon ? refreshSeconds.soon : refreshSeconds.later
      context.header('Refresh', `${seconds}; url=${addresses.progress}`)
    }
    if (situation.kind === 'rate_limited') {
      context.header('Retry-After', String(Math.max(1, Math.ceil(situation.retryAfterMs / 1_000))))
    }
    if (situation.kind === 'unavailable') context.header('Retry-After', String(unavailableRetrySeconds))
    const language = languageOf(context)
    return htmlPage(
      context,
      situationStatus[situation.kind],
      await renderDevicePage({ ...page, language, now }),
    )
  }

  async function unsubscribePage(
    context: Context<HttpEnv>,
    state: UnsubscribePage['state'],
  ): Promise<Response> {
    const language = languageOf(context)
    const text = await renderUnsubscribePage({ language, state, address: 'unsubscribe' })
    return htmlPage(context, 200, text)
  }

  return (server) => void server.route('/r', app)
}

/**
 * Whether a person opens the page now. Not with HEAD, and not while a browser loads it in advance, which it says
 * in one of three ways: Sec-Purpose (Fetch standard), Purpose (older Chromium, Safari), X-Moz (older Firefox).
 */
function isOpening({ req }: Context): boolean {
  const purposes = ['Sec-Purpose', 'Purpose', 'X-Purpose', 'X-Moz'].map((name) => req.header(name) ?? '')
  return (
    req.method === 'GET' && !purposes.some((purpose) => /\b(?:prefetch|prerender|preview)\b/i.test(purpose))
  )
}

/**
 * No script, no picture, no frame, no base; the one style sheet by its hash. The form is ours, and yet 'self' does
 * not do for it: Chromium holds every redirect that follows a form against form-action, and so would stop the
 * person on the way to the partner, or from there to the manufacturer's sign-in, whose hosts nobody knows
 * beforehand. Which host we send people to is checked where the link is minted. Where we are reached without
 * TLS ourselves (a trial, the demo), those may be, too.
 */
function policyOf(publicUrl: string): string {
  const styleHash = createHash('sha256').update(linkPageStyles).digest('base64')
  const formTargets = new URL(publicUrl).protocol === 'https:' ? "'self' https:" : "'self' https: http:"
  return [
    "default-src 'none'",
    `style-src 'sha256-${styleHash}'`,
    `form-action ${formTargets}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function tokenOf(context: Context<HttpEnv>): string | null {
  const token = context.req.param('token') ?? ''
  return tokenPattern.test(token) ? token : null
}

function languageOf(context: Context<HttpEnv>): LinkLanguage {
  const language = context.get('language')
  return linkLanguages.find((known) => known === language) ?? 'en'
}

function atLink(token: string): PageAddresses {
  return { self: token, progress: `${token}/progress` }
}

function belowLink(token: string): PageAddresses {
  return { self: `../${token}`, progress: 'progress' }
}

async function noticePage(context: Context<HttpEnv>, notice: Notice): Promise<Response> {
  return htmlPage(context, noticeStatus[notice], await renderNotice(languageOf(context), notice))
}

function wrongMethod(context: Context<HttpEnv>, allowed: string): Promise<Response> {
  context.header('Allow', allowed)
  return noticePage(context, 'method_not_allowed')
}

function htmlPage(context: Context<HttpEnv>, status: Status, text: string): Response {
  context.header('Content-Language', languageOf(context))
  return context.html(text, status)
}

/** The form that was sent, or why it counts for nothing. */
async function acceptForm(
  context: Context<HttpEnv>,
  { ourHost, types }: { readonly ourHost: string; readonly types: readonly string[] },
): Promise<FormData | Notice> {
  const { req } = context
  if (!isOfOurPages(context, ourHost)) return 'cross_site'
  const given = req.header('Content-Type') ?? ''
  const type = (given.split(';')[0] ?? '').trim().toLowerCase()
  try {
    const body = await readBody(context)
    if (body === null) return 'too_large'
    if (body.length === 0) return new FormData()
    if (!types.includes(type)) return 'not_a_form'
    return await new Response(body, { headers: { 'Content-Type': given } }).formData()
  } catch {
    // No form, or the connection was cut: then nobody reads the answer.
    return 'not_a_form'
  }
}

/**
 * Whether a form may come from a page of ours, or from no page. Browsers say so (Sec-Fetch-Site) where the page is
 * safe; the others name the page's origin, and call it null where it keeps its address to itself, as ours do.
 * Mail programs that unsubscribe send neither.
 */
function isOfOurPages({ req }: Context, ourHost: string): boolean {
  const site = req.header('Sec-Fetch-Site')
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const origin = req.header('Origin')
  if (origin === undefined || origin === 'null') return true
  const hosts = [ourHost, (req.header('Host') ?? '').toLowerCase()]
  return URL.canParse(origin) && hosts.includes(new URL(origin).host)
}

/** Null: too large. Why not with hono's own limit: see json-body.ts. */
async function readBody({ req }: Context): Promise<Buffer | null> {
  if (Number(req.header('Content-Length') ?? 0) > mostBodyBytes) return null
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of req.raw.body ?? []) {
    bytes += chunk.length
    if (bytes > mostBodyBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
