// The pages at `/`, for the person on call: what fires, one alert's story, silences, and how the watcher fares.
// Rendered here, whole; no script, one style sheet.
//
// - What somebody may not do is not offered, and access.ts refuses it all the same.
// - Everything that changes something is a form (POST) that goes through the API's own methods with the
//   one who asks, and leads on to a page (303), so that loading that again changes nothing.
// - A form with something wrong in it comes back as it was typed, with what is wrong at its field.
// - Two cookies hold preferences, of those who chose something else: the language, and that pages do not reload.

import { type Context, Hono } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { languageDetector } from 'hono/language'
import { mayDo } from '../../actor.ts'
import type { Alert } from '../../alerts/alert.ts'
import { isFiring } from '../../alerts/alert.ts'
import type { Silence } from '../../alerts/silence.ts'
import type { Clock } from '../../clock.ts'
import type { Logger } from '../../logger.ts'
import { type Matcher, MatcherError, parseMatchers } from '../../matcher.ts'
import { authorOf, type HttpEnv, type Refusal } from '../access.ts'
import { findMatching, parametersOf } from '../alert-query.ts'
import type { AlertingApi } from '../alerting-api.ts'
import { ApiError } from '../api-error.ts'
import type { RouteModule } from '../server.ts'
import { listAlerts } from './alert-list.ts'
import { acknowledgePage, alertPage, linkPage, longestName, longestText } from './alert-page.ts'
import { alertsPage, filterOpen, parseListQuery } from './alerts-page.ts'
import { explainPage } from './explain-page.ts'
import { createFieldReader, type FormValues, readForm } from './form.ts'
import {
  alertHref,
  type Frame,
  type PageContent,
  pageWords,
  renderDocument,
  renderNotice,
  withQuery,
} from './layout.ts'
import type { PageSources } from './page-sources.ts'
import { styleFile } from './page-styles.ts'
import { type PageLanguage, type PageNotice, pageLanguages } from './page-words.ts'
import {
  extendPage,
  newSilencePage,
  silenceFormAgain,
  silenceFormFor,
  silencePreviewPage,
  silencesPage,
} from './silence-pages.ts'
import { receiversPage, rulesPage, walksPage } from './watch-pages.ts'

export interface PagesOptions {
  readonly api: AlertingApi
  readonly sources: PageSources
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly logger: Logger
}

type Status = 200 | 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 500 | 501 | 503

// The style sheet and forms that lead back to us: nothing else is ours. No frame of others, either.
const policy =
  "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
const refreshSeconds = 30
const cookies = { language: 'fleetwarden_language', live: 'fleetwarden_live' } as const
const yearSeconds = 365 * 24 * 3_600
const longestMatchersText = 8_192
const mostMatchers = 64

const noticeStatus: Readonly<Record<PageNotice, Status>> = {
  not_found: 404,
  alert_gone: 404,
  silence_gone: 404,
  bad_request: 400,
  too_large: 413,
  internal_error: 500,
  unavailable: 503,
  who_are_you: 401,
  not_allowed: 403,
  wrong_place: 403,
}

const detect = languageDetector({
  order: ['cookie', 'header'],
  lookupCookie: cookies.language,
  supportedLanguages: [...pageLanguages],
  fallbackLanguage: 'en',
  caches: false,
})

type Answer = (context: Context<HttpEnv>, frame: Frame) => Response | Promise<Response>

export function pages({ api, sources, clock, logger }: PagesOptions): RouteModule {
  const app = new Hono<HttpEnv>()

  app.onError((error, context) => failed(context, error))

  /** Each route by itself, so that nothing of this touches routes of others. */
  function on(method: 'GET' | 'POST', path: string, answer: Answer): void {
    app.on(method, path, detect, (context) => {
      const preference = method === 'GET' ? keepPreference(context) : null
      return preference ?? answer(context, frameOf(context, clock.now()))
    })
  }

  on('GET', '/', (context, frame) => {
    const parameters = parametersOf(context.req.url)
    const query = parseListQuery(parameters)
    const list = listAlerts(api, query, clock)
    const isEditing = parameters.get(filterOpen.name)?.at(-1) === filterOpen.value
    return page(context, frame, alertsPage(frame, { query, list, api, sources, isEditing }))
  })

  on('GET', '/alerts/:fingerprint', (context, frame) =>
    forKept(context, frame, async (alert) => {
      const history = await sources.history(alert.fingerprint)
      return page(context, frame, alertPage(frame, { alert, api, sources, history }))
    }),
  )

  on('GET', '/alerts/:fingerprint/explain', (context, frame) =>
    forKept(context, frame, async ({ fingerprint }) => {
      const explanation = await sources.explain(fingerprint)
      if (explanation === null) return notice(context, frame, 'alert_gone')
      return page(context, frame, explainPage(frame, { explanation, fingerprint }))
    }),
  )

  on('GET', '/alerts/:fingerprint/acknowledge', (context, frame) =>
    forActive(context, frame, (alert) =>
      page(context, frame, acknowledgePage(frame, { alert, values: new Map(), problems: new Map() })),
    ),
  )

  on('POST', '/alerts/:fingerprint/acknowledge', (context, frame) =>
    forActive(context, frame, async (alert) => {
      const values = await readForm(context)
      const reader = createFieldReader(values, frame.words)
      const by = authorFrom(frame, reader)
      const comment = reader.text('comment', { isRequired: false, most: longestText })
      const durationMs = reader.durationMs('duration', { isRequired: false })
      if (reader.problems.size === 0) {
        const until = durationMs === null ? null : clock.now() + durationMs
        const actor = context.get('actor')
        const refusal = await refusalOf(() => api.acknowledge(alert, { by, comment, until }, actor))
        if (refusal === null) return goTo(context, alertHref(frame, alert.fingerprint))
        reader.refuse('duration', refusal)
      }
      const { problems } = reader
      return page(context, frame, acknowledgePage(frame, { alert, values, problems }), 422)
    }),
  )

  on('POST', '/alerts/:fingerprint/withdraw', (context, frame) =>
    forActive(context, frame, async (alert) => {
      await api.withdrawAcknowledgement(alert, context.get('actor'))
      return goTo(context, alertHref(frame, alert.fingerprint))
    }),
  )

  // Not a redirect: the policy holds forms to this site, and people should see where they go.
  on('POST', '/alerts/:fingerprint/link', (context, frame) =>
    forActive(context, frame, async (alert) => {
      const link = await sources.linkFor(alert, context.req.raw.signal)
      return page(context, frame, linkPage(frame, { alert, link }))
    }),
  )

  on('GET', '/silences', (context, frame) => page(context, frame, silencesPage(frame, { api })))

  on('GET', '/silences/new', (context, frame) => {
    const before = api.silences.get(context.req.query('silence') ?? '')
    const alert = sources.find(context.req.query('alert') ?? '')
    const form =
      before === undefined
        ? silenceFormFor(alert, context.req.query('scope'))
        : { values: silenceFormAgain(before), offered: [] }
    return page(context, frame, newSilencePage(frame, { ...form, alert, problems: new Map() }))
  })

  on('POST', '/silences/preview', async (context, frame) => {
    const values = await readForm(context)
    const { reader, silence } = silenceFrom(frame, values)
    const { problems } = reader
    if (silence === null) return page(context, frame, newSilencePage(frame, { values, problems }), 422)
    const { matchers, startsAt, durationMs } = silence
    const matching = findMatching(api, matchers, clock)
    let firing = 0
    for (const alert of api.alerts()) if (isFiring(alert)) firing++
    return page(
      context,
      frame,
      silencePreviewPage(frame, { values, matching, firing, matchers, startsAt, durationMs }),
    )
  })

  on('POST', '/silences', async (context, frame) => {
    const values = await readForm(context)
    const { reader, silence } = silenceFrom(frame, values)
    if (silence !== null) {
      const { matchers, startsAt: asked, durationMs, by: createdBy, comment, endsEarly } = silence
      const startsAt = Math.max(asked ?? 0, clock.now())
      const outcome = await api.silences.set(
        {
          ...{ matchers, createdBy, comment, startsAt, endsAt: startsAt + durationMs },
          annotations: endsEarly ? { expire_when: 'resolved' } : {},
        },
        context.get('actor'),
      )
      if (outcome.kind === 'set') return goTo(context, `${frame.root}silences#s-${outcome.silence.id}`)
      reader.refuse('', outcome.message)
    }
    const { problems } = reader
    return page(context, frame, newSilencePage(frame, { values, problems }), 422)
  })

  on('GET', '/silences/:id/extend', (context, frame) =>
    forSilence(context, frame, (silence) =>
      page(context, frame, extendPage(frame, { silence, values: new Map(), problems: new Map() })),
    ),
  )

  on('POST', '/silences/:id/extend', (context, frame) =>
    forSilence(context, frame, async (silence) => {
      const values = await readForm(context)
      const reader = createFieldReader(values, frame.words)
      const durationMs = reader.durationMs('duration', { isRequired: true })
      if (durationMs !== null && reader.problems.size === 0) {
        const { id, matchers, startsAt, createdBy, comment } = silence
        const endsAt = Math.max(startsAt, clock.now()) + durationMs
        const changed = { id, matchers, startsAt, endsAt, createdBy, comment }
        const outcome = await api.silences.set(changed, context.get('actor'))
        if (outcome.kind === 'set') return goTo(context, `${frame.root}silences#s-${outcome.silence.id}`)
        reader.refuse('', outcome.message)
      }
      const { problems } = reader
      return page(context, frame, extendPage(frame, { silence, values, problems }), 422)
    }),
  )

  on('POST', '/silences/:id/expire', async (context, frame) => {
    const isThere = await api.silences.expire(context.req.param('id') ?? '', context.get('actor'))
    return isThere ? goTo(context, `${frame.root}silences`) : notice(context, frame, 'silence_gone')
  })

  on('GET', '/walks', (context, frame) => page(context, frame, walksPage(frame, sources)))
  on('GET', '/rules', (context, frame) => page(context, frame, rulesPage(frame, { sources, api })))
  on('GET', '/receivers', (context, frame) => page(context, frame, receiversPage(frame, sources)))

  app.get('/assets/:name', (context) => {
    if (context.req.param('name') !== styleFile.name) return context.text('there is no such file\n', 404)
    return context.body(styleFile.text, 200, {
      'Content-Type': 'text/css; charset=utf-8',
      // Its name changes when it does.
      'Cache-Control': 'public, max-age=31536000, immutable',
    })
  })

  // ---- what is asked for

  function forKept(
    context: Context<HttpEnv>,
    frame: Frame,
    answer: (alert: Alert) => Response | Promise<Response>,
  ): Response | Promise<Response> {
    const alert = sources.find(context.req.param('fingerprint') ?? '')
    return alert === undefined ? notice(context, frame, 'alert_gone') : answer(alert)
  }

  function forActive(
    context: Context<HttpEnv>,
    frame: Frame,
    answer: (alert: Alert) => Response | Promise<Response>,
  ): Response | Promise<Response> {
    const alert = api.alert(context.req.param('fingerprint') ?? '')
    return alert === undefined ? notice(context, frame, 'alert_gone') : answer(alert)
  }

  function forSilence(
    context: Context<HttpEnv>,
    frame: Frame,
    answer: (silence: Silence) => Response | Promise<Response>,
  ): Response | Promise<Response> {
    const silence = api.silences.get(context.req.param('id') ?? '')
    return silence === undefined ? notice(context, frame, 'silence_gone') : answer(silence)
  }

  /** What the form asks for; null: something is wrong with it, see the reader's problems. */
  function silenceFrom(frame: Frame, values: FormValues) {
    const reader = createFieldReader(values, frame.words)
    const text = reader.text('matchers', { isRequired: true, most: longestMatchersText })
    const matchers = readMatchers(text)
    if (typeof matchers === 'string') reader.refuse('matchers', matchers)
    else if (text !== '' && matchers.length === 0) reader.complain('matchers', 'no_matchers')
    const durationMs = reader.durationMs('duration', { isRequired: true })
    const startsAt = reader.instant('starts')
    if (startsAt !== null && durationMs !== null && startsAt + durationMs <= clock.now()) {
      reader.complain('starts', 'too_long_ago')
    }
    const by = authorFrom(frame, reader)
    const comment = reader.text('comment', { isRequired: true, most: longestText })
    if (reader.problems.size > 0 || typeof matchers === 'string' || durationMs === null)
      return { reader, silence: null }
    const endsEarly = reader.isChecked('early')
    return { reader, silence: { matchers, durationMs, startsAt, by, comment, endsEarly } }
  }

  // ---- answers

  async function failed(context: Context<HttpEnv>, error: Error): Promise<Response> {
    const frame = frameOf(context, clock.now())
    if (error instanceof ApiError) {
      const known = noticeOf(error.status)
      return notice(context, frame, known, error.message)
    }
    logger.error({ error, path: context.req.path }, 'A page failed')
    return notice(context, frame, 'internal_error')
  }

  return (server) => void server.route('/', app)
}

function noticeOf(status: ApiError['status']): PageNotice {
  if (status === 404) return 'not_found'
  if (status === 413) return 'too_large'
  return status === 503 ? 'unavailable' : 'bad_request'
}

function authorFrom({ actor }: Frame, reader: ReturnType<typeof createFieldReader>): string {
  if (actor?.kind === 'person') return authorOf(actor, '')
  return reader.text('by', { isRequired: true, most: longestName })
}

/** One matcher or more in each line; or what is wrong with them. */
function readMatchers(text: string): readonly Matcher[] | string {
  try {
    const matchers = text.split('\n').flatMap((line) => parseMatchers(line.trim()))
    return matchers.length > mostMatchers ? `at most ${mostMatchers} matchers` : matchers
  } catch (error) {
    if (!(error instanceof MatcherError)) throw error
    return error.message
  }
}

/** Why the API would not; null: it did. */
async function refusalOf(work: () => Promise<unknown>): Promise<string | null> {
  try {
    await work()
    return null
  } catch (error) {
    if (error instanceof ApiError && error.status === 400) return error.message
    throw error
  }
}

/** For access.ts: pages that say how to get in. What asks for no page gets the text that programs get. */
export function pageRefusals(
  clock: Pick<Clock, 'now'>,
): (context: Context<HttpEnv>, refusal: Refusal) => Promise<Response | null> {
  return async (context, { status, reason, message }) => {
    const { path } = context.req
    const isPage = !/^\/(?:api\/|-\/|metrics$)/.test(path)
    if (!isPage || !(context.req.header('Accept') ?? '').includes('text/html')) return null
    await detect(context, async () => {})
    const isDenied = reason === 'role' || reason === 'no_role'
    const kind = status === 401 ? 'who_are_you' : isDenied ? 'not_allowed' : 'wrong_place'
    return notice(context, { ...frameOf(context, clock.now()), self: null }, kind, message)
  }
}

function frameOf(context: Context<HttpEnv>, now: number): Frame {
  const language = languageOf(context)
  const actor = context.get('actor') ?? null
  const { path, method } = context.req
  const folders = path.split('/').length - 2
  const root = folders === 0 ? './' : '../'.repeat(folders)
  const isOpenable = method === 'GET' || method === 'HEAD'
  return {
    language,
    words: pageWords[language],
    now,
    actor,
    isOperator: actor !== null && mayDo(actor, 'operator'),
    root,
    self: isOpenable ? selfOf(context) : null,
    isLive: getCookie(context, cookies.live) !== 'off',
  }
}

function languageOf(context: Context<HttpEnv>): PageLanguage {
  const language: unknown = context.get('language')
  return pageLanguages.find((known) => known === language) ?? 'en'
}

/** The page's own address, relative to itself. */
function selfOf({ req }: Context): string {
  const { url, path } = req
  const start = url.indexOf('?')
  return `./${path.slice(path.lastIndexOf('/') + 1)}${start === -1 ? '' : url.slice(start).split('#', 1)[0]}`
}

/** `?language=de`, `?live=off`: remembered, and the page without it. */
function keepPreference(context: Context<HttpEnv>): Response | null {
  const language = pageLanguages.find((known) => known === context.req.query('language'))
  const live = ['on', 'off'].find((known) => known === context.req.query('live'))
  if (language === undefined && live === undefined) return null
  const options = { path: '/', maxAge: yearSeconds, httpOnly: true, sameSite: 'Lax' } as const
  if (language !== undefined) setCookie(context, cookies.language, language, options)
  if (live !== undefined) setCookie(context, cookies.live, live, options)
  return goTo(context, withQuery(selfOf(context), { language: '', live: '' }))
}

/** Relative to the page, so that it holds below whatever path a proxy serves us under. */
function goTo(context: Context<HttpEnv>, href: string): Response {
  setHeaders(context)
  return context.body(null, 303, { Location: href })
}

async function page(
  context: Context<HttpEnv>,
  frame: Frame,
  content: PageContent,
  status: Status = 200,
): Promise<Response> {
  setHeaders(context)
  // A header, since the page's own element would be said to be one that readers cannot stop.
  if (content.canReload && frame.isLive && frame.self !== null)
    context.header('Refresh', String(refreshSeconds))
  context.header('Content-Language', frame.language)
  return context.html(await renderDocument(frame, content), status)
}

async function notice(
  context: Context<HttpEnv>,
  frame: Frame,
  kind: PageNotice,
  reason?: string,
): Promise<Response> {
  setHeaders(context)
  context.header('Content-Language', frame.language)
  return context.html(await renderNotice(frame, kind, reason), noticeStatus[kind])
}

function setHeaders(context: Context<HttpEnv>): void {
  context.header('Content-Security-Policy', policy)
  // Browsers that do not say by themselves which site a form comes from name the page (Origin) only where
  // its policy lets them; other sites learn nothing by it.
  context.header('Referrer-Policy', 'same-origin')
  context.header('X-Robots-Tag', 'noindex, nofollow, noarchive')
  context.header('Vary', 'Accept-Language, Cookie')
}
