// Silences: those that there are, a new one with what it would match before it is set, and changing the
// end of one.

import { html } from 'hono/html'
import type { Alert } from '../../alerts/alert.ts'
import type { Silence, SilenceState } from '../../alerts/silence.ts'
import { formatDuration } from '../../duration.ts'
import { formatMatcher, formatMatchers } from '../../matcher.ts'
import type { AlertingApi } from '../alerting-api.ts'
import { nameField } from './alert-page.ts'
import { listHref } from './alerts-page.ts'
import { checkbox, type FormValues, field, hiddenFields, type Problems, problemSummary } from './form.ts'
import {
  alertHref,
  type Content,
  type Frame,
  type Html,
  matchersText,
  moment,
  nameOf,
  type PageContent,
  shown,
  whatIsAffected,
  when,
} from './layout.ts'

const mostShown = { active: 200, pending: 100, expired: 20 } as const
const mostPreviewed = 20

export function silencesPage(frame: Frame, { api }: { readonly api: AlertingApi }): PageContent {
  const { words, root, isOperator } = frame
  const all = api.silences.list({ active: true, pending: true, expired: true, filter: [] })
  const of = (state: SilenceState) =>
    all.filter((silence) => api.silences.stateOf(silence, frame.now) === state)
  const held = countHeld(api, all)
  const content = html`<div class="title"><h1>${words.silences.title}</h1>${isOperator ? html`<a class="button" href="${root}silences/new">${words.silences.create}</a>` : ''}</div>
${(['active', 'pending', 'expired'] as const).map((state) => section(frame, { state, silences: of(state), held }))}`
  return { title: words.silences.title, item: 'silences', canReload: true, content }
}

/** How many alerts each silence holds back: one look at each alert, however many silences there are. */
function countHeld(api: AlertingApi, silences: readonly Silence[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  if (silences.length === 0) return counts
  for (const alert of api.alerts()) {
    if (alert.state !== 'firing' && alert.state !== 'recovering') continue
    for (const id of api.suppressionOf(alert).silencedBy) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}

interface Section {
  readonly state: SilenceState
  readonly silences: readonly Silence[]
  readonly held: ReadonlyMap<string, number>
}

function section(frame: Frame, { state, silences, held }: Section): Html {
  const { words } = frame
  const most = mostShown[state]
  return html`<section aria-labelledby="h-${state}"><h2 id="h-${state}">${words.silences.headings[state]}${silences.length === 0 ? '' : html` <span class="count">${words.number(silences.length)}</span>`}</h2>
${silences.length === 0 ? html`<p class="soft">${words.silences.none[state]}</p>` : html`<ul class="cards">${silences.slice(0, most).map((silence) => card(frame, { silence, state, held }))}</ul>`}
${silences.length > most ? html`<p class="soft">${words.silences.more(silences.length - most)}</p>` : ''}</section>`
}

function card(
  frame: Frame,
  { silence, state, held }: Omit<Section, 'silences'> & { readonly silence: Silence },
): Html {
  const { words, root, isOperator } = frame
  const { id, matchers, comment, createdBy, startsAt, endsAt, expiry } = silence
  const name = matchersText(matchers)
  const count = held.get(id) ?? 0
  const place = `${root}silences/${encodeURIComponent(id)}`
  const early =
    expiry === null || state === 'expired'
      ? ''
      : `, ${expiry.kind === 'resolved' ? words.silences.endsWithAlerts : words.silences.endsUnmatched(formatDuration(expiry.forMs))}`
  return html`<li class="card silence ${state}" id="s-${id}">
<p class="what"><code>${name}</code></p>
${comment === '' ? '' : html`<p class="quote">${shown(comment, 1_000)}</p>`}
<p class="soft">${words.silences.by(shown(createdBy, 80))} · ${state === 'pending' ? html`${words.silences.starts} ${when(frame, startsAt)} · ` : ''}${state === 'expired' ? words.silences.ended : words.silences.ends} ${when(frame, endsAt)}${early}</p>
${state === 'active' ? html`<p><a href="${listHref(root, { tab: 'held', filter: formatMatchers(matchers) })}">${words.silences.holds(count)}</a></p>` : ''}
${isOperator ? html`<div class="actions">${state === 'expired' ? html`<a class="button quiet" href="${root}silences/new?silence=${encodeURIComponent(id)}">${words.silences.again}<span class="vh">: ${name}</span></a>` : html`<a class="button quiet" href="${place}/extend">${words.silences.extend}<span class="vh">: ${name}</span></a><form method="post" action="${place}/expire"><button class="quiet">${words.silences.expire}<span class="vh">: ${name}</span></button></form>`}</div>` : ''}
</li>`
}

// ---- a new one

const silenceFields = ['matchers', 'starts', 'duration', 'comment', 'by', 'early'] as const
const scopes = ['alert', 'device', 'rule', 'manufacturer'] as const
type SilenceScope = (typeof scopes)[number]

/** What the form begins with: for an alert, one of the ways in which it may be meant. */
export function silenceFormFor(
  alert: Alert | undefined,
  scope: string | undefined,
): { readonly values: FormValues; readonly offered: readonly SilenceScope[] } {
  const values = new Map([['duration', '4h']])
  if (alert === undefined) return { values, offered: [] }
  const offered = scopes.filter((known) =>
    namesFor(alert, known).every((name) => alert.labels[name] !== undefined),
  )
  const chosen = offered.find((known) => known === scope) ?? offered[0] ?? 'alert'
  const lines = namesFor(alert, chosen).map((name) =>
    formatMatcher({ name, operator: '=', value: alert.labels[name] ?? '' }),
  )
  values.set('matchers', lines.join('\n'))
  return { values, offered }
}

function namesFor({ labels, subject }: Alert, scope: SilenceScope): readonly string[] {
  switch (scope) {
    case 'alert':
      if (subject.kind === 'device') return ['alertname', 'device_id']
      return subject.kind === 'user' ? ['alertname', 'user_id'] : Object.keys(labels)
    case 'device':
      // A label that is not there: then it is not offered.
      return subject.kind === 'device' ? ['device_id'] : [' ']
    case 'rule':
      return ['alertname']
    case 'manufacturer':
      return ['alertname', 'manufacturer']
    default:
      return scope satisfies never
  }
}

/** Of a silence that is over, for another one like it. */
export function silenceFormAgain({ matchers, comment, startsAt, endsAt }: Silence): FormValues {
  const lines = matchers.map(formatMatcher)
  return new Map([
    ['matchers', lines.join('\n')],
    ['comment', comment],
    ['duration', formatDuration(endsAt - startsAt)],
  ])
}

export interface SilenceForm {
  readonly values: FormValues
  readonly problems: Problems
  /** The alert that it began with; null: none. */
  readonly alert?: Alert | undefined
  readonly offered?: readonly SilenceScope[]
}

export function newSilencePage(frame: Frame, form: SilenceForm): PageContent {
  const { words } = frame
  const content = html`<p class="back"><a href="${frame.root}silences">← ${words.silences.title}</a></p>
${silenceForm(frame, form)}`
  return { title: words.silence.title, item: 'silences', canReload: false, content }
}

function silenceForm(frame: Frame, { values, problems, alert, offered = [] }: SilenceForm): Html {
  const { words, root } = frame
  const labels = words.silence
  const value = (name: string) => values.get(name) ?? ''
  const isPerson = frame.actor?.kind === 'person'
  const refusal = problems.get('')
  return html`<form class="card form narrow" method="post" action="${root}silences/preview" novalidate>
<h1>${labels.title}</h1>
<p class="soft">${labels.text}</p>
${refusal === undefined ? problemSummary(words, problems, { matchers: labels.matchers, duration: labels.duration, starts: labels.starts, by: labels.by, comment: labels.comment }) : html`<div class="wrong-box" role="alert"><p>${labels.refused} <span lang="en">${shown(refusal, 400)}</span></p></div>`}
${field({ name: 'matchers', label: labels.matchers, hint: labels.matchersHint, value: value('matchers'), problem: problems.get('matchers'), type: 'textarea', isRequired: true, isFirst: value('matchers') === '' })}
${alert === undefined || offered.length < 2 ? '' : html`<p class="hint">${labels.scopes}: ${offered.map((scope, index) => html`${index === 0 ? '' : ' · '}<a href="${root}silences/new?alert=${encodeURIComponent(alert.fingerprint)}&scope=${scope}">${labels.scope[scope]}</a>`)}</p>`}
<div class="columns">
${field({ name: 'duration', label: labels.duration, hint: labels.durationHint, value: value('duration'), problem: problems.get('duration'), isRequired: true })}
${field({ name: 'starts', label: labels.starts, hint: labels.startsHint, value: value('starts'), problem: problems.get('starts'), type: 'datetime-local' })}
</div>
${nameField(frame, { label: labels.by, values, problems })}
${field({ name: 'comment', label: labels.comment, hint: labels.commentHint, value: value('comment'), problem: problems.get('comment'), isRequired: true, isFirst: isPerson && value('matchers') !== '' })}
${checkbox({ name: 'early', label: labels.endsEarly, hint: labels.endsEarlyHint, isChecked: value('early') === 'yes' })}
<p class="buttons"><button>${labels.preview}</button><a class="button quiet" href="${root}silences">${labels.cancel}</a></p>
</form>`
}

export interface SilencePreview {
  readonly values: FormValues
  readonly matching: readonly Alert[]
  /** Of all that fires. */
  readonly firing: number
  readonly matchers: Silence['matchers']
  readonly startsAt: number | null
  readonly durationMs: number
}

export function silencePreviewPage(frame: Frame, preview: SilencePreview): PageContent {
  const { words, root } = frame
  const labels = words.silence
  const { values, matching, firing, matchers, startsAt, durationMs } = preview
  const comment = values.get('comment') ?? ''
  const shownAlerts = matching.slice(0, mostPreviewed)
  const isNow = startsAt === null || startsAt <= frame.now
  const content = html`<p class="back"><a href="${root}silences">← ${words.silences.title}</a></p>
<section class="card narrow preview">
<h1>${labels.previewTitle}</h1>
<p class="what"><code>${matchersText(matchers)}</code></p>
<p class="quote">${shown(comment, 1_000)}</p>
<p>${labels.starting(isNow)}${isNow ? '' : html` ${moment(frame, startsAt)}`}, ${labels.lasting} ${formatDuration(durationMs)}</p>
<p class="big">${matching.length === 0 ? labels.matchesNone : labels.matches(matching.length, firing)}</p>
${matching.length > 1 && matching.length * 2 > firing ? html`<p class="note odd">${labels.matchesMany}</p>` : ''}
${matching.length === 0 ? '' : html`<h2>${labels.first(shownAlerts.length)}</h2><ul class="rows">${shownAlerts.map((alert) => html`<li class="row"><p class="what"><a href="${alertHref(frame, alert.fingerprint)}">${nameOf(alert)}</a> <span class="who">${whatIsAffected(frame, alert)}</span></p></li>`)}</ul>`}
<form method="post" action="${root}silences">${hiddenFields(values, silenceFields)}<p class="buttons"><button autofocus>${labels.set}</button><a class="button quiet" href="${root}silences">${labels.cancel}</a></p></form>
</section>
<details class="narrow"><summary>${labels.change}</summary>${silenceForm(frame, { values, problems: new Map() })}</details>`
  return { title: labels.previewTitle, item: 'silences', canReload: false, content }
}

// ---- its end

export function extendPage(
  frame: Frame,
  {
    silence,
    values,
    problems,
  }: { readonly silence: Silence; readonly values: FormValues; readonly problems: Problems },
): PageContent {
  const { words, root } = frame
  const labels = words.silence
  const refusal = problems.get('')
  const content: Content = html`<p class="back"><a href="${root}silences">← ${words.silences.title}</a></p>
<form class="card form narrow" method="post" action="${root}silences/${encodeURIComponent(silence.id)}/extend" novalidate>
<h1>${labels.extendTitle}</h1>
<p class="what"><code>${matchersText(silence.matchers)}</code></p>
<p class="soft">${words.silences.ends} ${when(frame, silence.endsAt)}. ${labels.extendText}</p>
${refusal === undefined ? '' : html`<div class="wrong-box" role="alert"><p>${labels.refused} <span lang="en">${shown(refusal, 400)}</span></p></div>`}
${field({ name: 'duration', label: labels.newDuration, hint: labels.durationHint, value: values.get('duration') ?? '4h', problem: problems.get('duration'), isRequired: true, isFirst: true })}
<p class="buttons"><button>${labels.extendSubmit}</button><a class="button quiet" href="${root}silences">${labels.cancel}</a></p>
</form>`
  return { title: labels.extendTitle, item: 'silences', canReload: false, content }
}
