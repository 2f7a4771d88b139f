// Links that a customer opens, and what they show: reconnecting a device, settling another pending
// action, connecting a new device.
//
// A link is signed and says when it was issued; one hour later it is dead, as the partner documents.
// Nothing is stored for it. GET only shows a page, so mail scanners may fetch it; the button's POST
// does what the page says, and then the customer goes on to `success_url`. The key comes from the
// seed: whoever knows that can sign links to simulated devices, which is no harm.

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { deviceTypes } from '../fleet/device.ts'
import { type Answer, escapeHtml, redirect } from './answer.ts'
import type { Cue, Fleet, SimulatedDevice } from './fleet.ts'
import type { LinkIssuer } from './records.ts'
import { english, form, german, isWebUrl, layout, link, notice, type Words } from './session-page.ts'

export const documentedLinkLifetimeMs = 3_600_000

// The question of Fleet.prefersOld; those of records.ts are about 100.
const askForLinkShape = 201

/** Where the customer goes when a session is over; both shown only if they are web addresses. */
export interface SessionReturn {
  readonly successUrl?: string | undefined
  readonly cancelUrl?: string | undefined
  /** An IETF language tag; pages exist in German and, for all others, in English. */
  readonly language?: string | undefined
}

export type SecretState = 'valid' | 'expired' | 'wrong'

export interface Sessions extends LinkIssuer {
  /** The page on which the user resolves a pending action. */
  actionUrl(cue: Cue, back?: SessionReturn): string
  /** The page on which the user connects a device anew, whatever is pending. */
  reconnectUrl(device: SimulatedDevice, back: SessionReturn): string
  /** The page on which the user connects a new device; `defaults` are set on it. */
  onboardingUrl(userIndex: number, options: SessionReturn & { defaults: Record<string, string> }): string
  /** Checks the secret of a cue's URL. */
  checkCueSecret(cueId: string, secret: string | null): SecretState
  /** Answers a request to a page of this origin; null when it is none. */
  answer(request: { method: string; path: string; query: URLSearchParams; body: string }): Answer | null
}

export function createSessions({
  fleet,
  clock,
  origin,
  apiUrl,
  linkLifetimeMs,
}: {
  fleet: Fleet
  clock: Clock
  /** Scheme, host and port under which a browser reaches the simulator. */
  origin: string
  /** The API base, for the documented URL of cues. */
  apiUrl: string
  linkLifetimeMs: number
}): Sessions {
  const key = `fleetwarden-simulator-${fleet.seed}`

  function signature(subject: string, issued: string): string {
    return createHmac('sha256', key).update(`${issued}\n${subject}`).digest('base64url')
  }

  function secretFor(subject: string): string {
    const issued = clock.now().toString(36)
    return `${issued}.${signature(subject, issued)}`
  }

  function check(subject: string, secret: string | null): SecretState {
    const [issued = '', signed = ''] = (secret ?? '').split('.')
    const expected = Buffer.from(signature(subject, issued))
    const actual = Buffer.from(signed)
    if (expected.length !== actual.length || !timingSafeEqual(expected, actual)) return 'wrong'
    return clock.now() - Number.parseInt(issued, 36) < linkLifetimeMs ? 'valid' : 'expired'
  }

  /** A page's URL: everything in it is signed, so nobody bends a link to send a customer elsewhere. */
  function pageUrl(path: string, parameters: Record<string, string | undefined>): string {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value)
    query.set('secret', secretFor(pageSubject(path, query)))
    return `${origin}${path}?${query}`
  }

  function returnParameters({
    successUrl,
    cancelUrl,
    language,
  }: SessionReturn): Record<string, string | undefined> {
    return { success_url: successUrl, cancel_url: cancelUrl, language }
  }

  function actionUrl(cue: Cue, back: SessionReturn = {}): string {
    return pageUrl(`/session/action/${cue.id}`, returnParameters(back))
  }

  function reconnectUrl(device: SimulatedDevice, back: SessionReturn): string {
    return pageUrl(`/session/device/${device.id}`, returnParameters(back))
  }

  function resolutionLink(cue: Cue, device: SimulatedDevice): unknown {
    // Some codes come with nothing to open: what is to be done stands elsewhere.
    if (cue.code === 'update_firmware') return null
    if (fleet.prefersOld(askForLinkShape, device.index, 0.5)) return actionUrl(cue)
    const call = cue.code === 'information' ? 'information/resolve' : 'resolve'
    return {
      url: `${apiUrl}/cues/${cue.id}/${call}?secret=${secretFor(cueSubject(cue.id))}`,
      required_parameters: cue.code === 'reauthenticate' ? ['successUrl', 'cancelUrl'] : [],
      optional_parameters: cue.code === 'reauthenticate' ? ['language'] : [],
      method: 'POST',
    }
  }

  function answer(request: {
    method: string
    path: string
    query: URLSearchParams
    body: string
  }): Answer | null {
    const [, session, kind = '', id = '', ...more] = request.path.split('/')
    if (session !== 'session' || more.length > 0 || !pageKinds.has(kind)) return null
    const { query } = request
    const words = query.get('language')?.toLowerCase().startsWith('de') ? german : english
    const state = check(pageSubject(request.path, query), query.get('secret'))
    if (state === 'wrong')
      return notice(words, { status: 403, title: words.wrongTitle, text: words.wrongText })
    if (state === 'expired') {
      return notice(words, { status: 410, title: words.expiredTitle, text: words.expiredText })
    }
    if (request.method !== 'GET' && request.method !== 'POST') {
      return notice(words, { status: 405, title: words.wrongTitle, text: words.wrongText })
    }
    const submitted = request.method === 'POST' ? new URLSearchParams(request.body) : null
    switch (kind) {
      case 'action':
        return answerAction(id, { words, query, submitted: submitted !== null })
      case 'device':
        return answerDevice(id, { words, query, submitted: submitted !== null })
      default:
        return answerOnboarding(id, { words, query, submitted })
    }
  }

  function answerAction(cueId: string, page: PageRequest): Answer {
    const { words, query } = page
    const found = fleet.findCue(cueId)
    if (found === null) {
      return notice(words, { status: 410, title: words.settledTitle, text: words.settledText })
    }
    const { device, cue } = found
    if (cue.code === 'reauthenticate') return reconnect(device, page)
    if (!page.submitted) {
      const facts = { title: words.settleTitle(device.manufacturer.name), text: words.settleText(cue.code) }
      return form(words, { ...facts, device, buttons: [{ label: words.settleButton }], query })
    }
    if (cue.cause !== 'outage') fleet.heal(device, cue.cause)
    return leave(words, query, words.settledText)
  }

  function answerDevice(deviceId: string, page: PageRequest): Answer {
    const device = fleet.device(deviceId)
    if (device === null || fleet.condition(device).deletedAt !== null) {
      return notice(page.words, { status: 410, title: page.words.goneTitle, text: page.words.goneText })
    }
    const { breakages, outage } = fleet.condition(device)
    if (!breakages.has('unauthenticated') && outage === null) {
      return leaveOrShow(page, page.words.connectedText)
    }
    return reconnect(device, page)
  }

  function reconnect(device: SimulatedDevice, { words, query, submitted }: PageRequest): Answer {
    const { name } = device.manufacturer
    if (fleet.condition(device).outage !== null) {
      return notice(words, { status: 503, title: words.outageTitle(name), text: words.outageText(name) })
    }
    if (submitted) {
      fleet.heal(device, 'unauthenticated')
      return leave(words, query, words.connectedText)
    }
    return form(words, {
      title: words.reconnectTitle(name),
      text: words.reconnectText(device.manufacturer.cloudService),
      device,
      buttons: [{ label: words.reconnectButton }],
      query,
    })
  }

  function answerOnboarding(
    userId: string,
    { words, query, submitted }: { words: Words; query: URLSearchParams; submitted: URLSearchParams | null },
  ): Answer {
    const userIndex = fleet.userIndex(userId)
    if (userIndex === null || fleet.userDeletedAt(userIndex) !== null) {
      return notice(words, { status: 410, title: words.goneTitle, text: words.goneText })
    }
    const type = deviceTypes.find((candidate) => candidate === submitted?.get('type'))
    if (type === undefined) {
      const buttons = deviceTypes.map((candidate) => ({ label: words.types[candidate], type: candidate }))
      return form(words, { title: words.onboardTitle, text: words.onboardText, device: null, buttons, query })
    }
    const added = fleet.addDevice(userIndex, { type, at: clock.now(), settings: defaultsFrom(query) })
    if (added === null) return notice(words, { status: 409, title: words.fullTitle, text: words.fullText })
    fleet.changeUser(userIndex, { is_onboarded: true })
    return leave(words, query, words.connectedText)
  }

  function defaultsFrom(query: URLSearchParams): Record<string, unknown> {
    const priceZone = query.get('price_zone')
    const building = query.get('building')
    const optimized = query.get('optimized')
    return {
      ...(priceZone === null ? {} : { price_zone: priceZone }),
      ...(building === null ? {} : { building }),
      ...(optimized === null ? {} : { is_smart_optimization_active: optimized === 'true' }),
    }
  }

  return {
    resolutionLink,
    authorizationUrl: (device) => reconnectUrl(device, {}),
    actionUrl,
    reconnectUrl,
    onboardingUrl: (userIndex, { defaults, ...back }) =>
      pageUrl(`/session/onboarding/${fleet.userId(userIndex)}`, { ...returnParameters(back), ...defaults }),
    checkCueSecret: (cueId, secret) => check(cueSubject(cueId), secret),
    answer,
  }
}

const pageKinds: ReadonlySet<string> = new Set(['action', 'device', 'onboarding'])

interface PageRequest {
  readonly words: Words
  readonly query: URLSearchParams
  readonly submitted: boolean
}

function cueSubject(cueId: string): string {
  return `cue ${cueId}`
}

function pageSubject(path: string, query: URLSearchParams): string {
  const signed = new URLSearchParams(query)
  signed.delete('secret')
  signed.sort()
  return `page ${path}?${signed}`
}

function leave(words: Words, query: URLSearchParams, text: string): Answer {
  const successUrl = query.get('success_url')
  if (successUrl !== null && isWebUrl(successUrl)) return redirect(successUrl)
  return notice(words, { status: 200, title: words.doneTitle, text })
}

/** For a page on which there is nothing to do: shown, with the way on as a link. */
function leaveOrShow({ words, query, submitted }: PageRequest, text: string): Answer {
  if (submitted) return leave(words, query, text)
  const successUrl = query.get('success_url')
  const on = successUrl !== null && isWebUrl(successUrl) ? link(successUrl, words.goOn) : ''
  return layout(words, { title: words.doneTitle, content: `<p>${escapeHtml(text)}</p>${on}` })
}
