// One alert: what it is, what one can do about it, why nobody is told if so, and its story. And the small
// pages that belong to it: acknowledging it, and the link that resolves it.

import { html } from 'hono/html'
import { type Alert, isFiring } from '../../alerts/alert.ts'
import type { HistoryRecord } from '../../alerts/history.ts'
import type { AlertLink } from '../../notify/notification.ts'
import type { AlertingApi } from '../alerting-api.ts'
import { marks } from './alerts-page.ts'
import { type FormValues, field, type Problems, problemSummary } from './form.ts'
import {
  alertHref,
  breakable,
  type Content,
  type Frame,
  type Html,
  labelList,
  matchersText,
  moment,
  nameOf,
  type PageContent,
  severityBadge,
  severityClass,
  shown,
  webAddress,
  whatIsAffected,
  when,
} from './layout.ts'
import type { PageSources } from './page-sources.ts'

export interface AlertPage {
  readonly alert: Alert
  readonly api: AlertingApi
  readonly sources: Pick<PageSources, 'find' | 'heldFor'>
  readonly history: readonly HistoryRecord[]
}

export function alertPage(frame: Frame, page: AlertPage): PageContent {
  const { words } = frame
  const { alert, api } = page
  const { annotations, labels, state } = alert
  const content = html`${backLink(frame)}
<article class="card alert ${severityClass(labels['severity'] ?? '')}">
<p class="over">${severityBadge(frame, labels['severity'] ?? '')} <span class="state ${state}">${words.state[state]}</span></p>
<h1>${breakable(nameOf(alert))}<span class="of">${whatIsAffected(frame, alert)}</span></h1>
${text(annotations['summary'], 'summary')}${text(annotations['description'], 'soft')}
${marks(frame, alert, api)}
${actions(frame, alert, api)}
</article>
${notTold(frame, page)}
<div class="two">
<section class="card" aria-labelledby="story"><h2 id="story">${words.alert.story}</h2>${story(frame, page)}</section>
<section class="card" aria-labelledby="facts"><h2 id="facts">${words.alert.facts}</h2>${facts(frame, page)}</section>
</div>`
  return {
    title: `${nameOf(alert)}, ${whatIsAffected(frame, alert)}`,
    item: 'alerts',
    canReload: true,
    content,
  }
}

function backLink({ words, root }: Frame): Html {
  return html`<p class="back"><a href="${root}">← ${words.alert.back}</a></p>`
}

function text(value: string | undefined, kind: string): Content {
  return value === undefined || value === '' ? '' : html`<p class="${kind}">${shown(value, 1_000)}</p>`
}

// ---- what one can do

function actions(frame: Frame, alert: Alert, api: AlertingApi): Html {
  const { words, isOperator } = frame
  const { fingerprint } = alert
  const runbook = webAddress(alert.annotations['runbook_url'])
  const isActive = alert.state !== 'resolved'
  const isAcknowledged = api.acknowledgementOf(alert) !== null
  const mayAct = isOperator && isActive
  return html`<div class="actions" role="group" aria-label="${words.alert.actions}">
${mayAct && !isAcknowledged && isFiring(alert) ? html`<a class="button" href="${alertHref(frame, fingerprint, '/acknowledge')}">${words.alert.acknowledge}</a>` : ''}
${mayAct && isAcknowledged ? html`<form method="post" action="${alertHref(frame, fingerprint, '/withdraw')}"><button class="quiet">${words.alert.withdraw}</button></form>` : ''}
${mayAct ? html`<a class="button quiet" href="${frame.root}silences/new?alert=${encodeURIComponent(fingerprint)}">${words.alert.silence}</a>` : ''}
${mayAct && alert.subject.kind === 'device' ? html`<form method="post" action="${alertHref(frame, fingerprint, '/link')}"><button class="quiet">${words.alert.resolve}</button></form>` : ''}
<a class="button quiet" href="${alertHref(frame, fingerprint, '/explain')}">${words.alert.explain}</a>
${runbook === null ? '' : html`<a class="button quiet" href="${runbook}" rel="noreferrer">${words.alert.runbook}</a>`}
</div>${isOperator ? '' : html`<p class="soft">${words.alert.onlyOperators}</p>`}`
}

function notTold(frame: Frame, { alert, api, sources }: AlertPage): Content {
  const { words, root } = frame
  const notes: Html[] = []
  const acknowledgement = alert.state === 'resolved' ? null : api.acknowledgementOf(alert)
  if (acknowledgement !== null) {
    const { by, comment, at, until } = acknowledgement
    notes.push(
      html`<div class="note"><p><b>${words.alert.acknowledgedBy(shown(by === '' ? '?' : by, 80))}</b> ${when(frame, at)}, ${until === null ? words.alert.untilResolved : html`${words.alert.until} ${moment(frame, until)}`}</p>${comment === '' ? '' : html`<p class="quote">${shown(comment, 1_000)}</p>`}</div>`,
    )
  }
  if (isFiring(alert)) {
    const { silencedBy, inhibitedBy, mutedBy } = api.suppressionOf(alert)
    const heldFor = sources.heldFor(alert)
    const reasons = [
      ...(heldFor === null ? [] : [html`<li>${words.explain.held[heldFor]}</li>`]),
      ...silencedBy.slice(0, 10).map((id) => silencedLine(frame, api, id)),
      ...inhibitedBy.slice(0, 10).map((print) => {
        const source = sources.find(print)
        return html`<li>${words.alert.byAlert} <a href="${alertHref({ root }, print)}">${source === undefined ? print : `${nameOf(source)}, ${whatIsAffected(frame, source)}`}</a></li>`
      }),
      ...mutedBy.map((name) => html`<li>${words.alert.byInterval(shown(name, 80))}</li>`),
    ]
    if (reasons.length > 0)
      notes.push(html`<div class="note"><p><b>${words.alert.heldBack}</b></p><ul>${reasons}</ul></div>`)
  }
  if (alert.noData !== null && alert.state !== 'resolved') {
    notes.push(
      html`<div class="note odd"><p><b>${words.alert.unreadSince}</b> ${words.unknown[alert.noData.reason]}, ${when(frame, alert.noData.since)}</p></div>`,
    )
  }
  if (alert.flappingSince !== null) {
    notes.push(
      html`<div class="note odd"><p><b>${words.alert.flappingSince}</b> ${when(frame, alert.flappingSince)}</p></div>`,
    )
  }
  return notes
}

function silencedLine(frame: Frame, api: AlertingApi, id: string): Html {
  const { words, root } = frame
  const silence = api.silences.get(id)
  if (silence === undefined) return html`<li>${words.alert.bySilence} ${id}</li>`
  return html`<li>${words.alert.bySilence} <a href="${root}silences#s-${id}"><code>${matchersText(silence.matchers)}</code></a> ${words.silences.by(shown(silence.createdBy, 60))}, ${words.alert.until} ${moment(frame, silence.endsAt)}${silence.comment === '' ? '' : html`<br><span class="quote">${shown(silence.comment, 300)}</span>`}</li>`
}

// ---- facts

function facts(frame: Frame, { alert, api }: AlertPage): Html {
  const { words } = frame
  const { fact } = words.alert
  const { subject, affected, labels, firedAt, activeAt, resolvedAt, evaluatedAt } = alert
  const receivers = [...new Set(api.receiversOf(labels))]
  const rows: (readonly [string, Content])[] = []
  const add = (name: keyof typeof fact, value: Content | null) =>
    void (value === null || rows.push([fact[name], value]))
  add(firedAt === null ? 'activeSince' : 'since', when(frame, firedAt ?? activeAt))
  add('resolvedAt', resolvedAt === null ? null : when(frame, resolvedAt))
  add('evaluated', when(frame, evaluatedAt))
  add('customer', affected.externalUserId === null ? null : shown(affected.externalUserId))
  add('model', affected.model === null ? null : shown(affected.model))
  if (subject.kind !== 'fleet') add('user', html`<code>${shown(subject.userId)}</code>`)
  if (subject.kind === 'device') add('device', html`<code>${shown(subject.deviceId)}</code>`)
  add('receivers', receivers.length === 0 ? words.alert.nobody : shown(receivers.join(', '), 200))
  add('labels', labelList(labels, ['alertname', 'user_id', 'device_id']))
  add('fingerprint', html`<code>${shown(alert.fingerprint, 32)}</code>`)
  return html`<dl>${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

// ---- the story

function story(frame: Frame, { history, alert }: AlertPage): Html {
  const { words } = frame
  if (history.length === 0) return html`<p class="soft">${words.alert.storyEmpty}</p>`
  // What happened at one moment stays in its order: fired before told.
  const newestFirst = history
    .map((record, index) => ({ record, index }))
    .sort(
      (a, b) => b.record.lastAt - a.record.lastAt || rankOf(b.record) - rankOf(a.record) || b.index - a.index,
    )
    .map(({ record }) => record)
  const present = newestFirst.filter(({ episode }) => episode === alert.episode)
  const earlier = newestFirst.filter(({ episode }) => episode !== alert.episode)
  return html`<ol class="story">${present.map((record) => event(frame, record))}</ol>
${earlier.length === 0 ? '' : html`<h3>${words.alert.earlier}</h3><ol class="story faded">${earlier.map((record) => event(frame, record))}</ol>`}
<p class="hint">${words.alert.storyNote}</p>`
}

function rankOf({ what }: HistoryRecord): number {
  return what.kind === 'told' ? 4 : ['pending', 'firing', 'recovering', 'resolved'].indexOf(what.state)
}

function event(frame: Frame, { what, firstAt, lastAt, times }: HistoryRecord): Html {
  const { words } = frame
  const repeated = times > 1 ? html` · ${words.times(times)}, ${words.lastTime} ${when(frame, lastAt)}` : ''
  if (what.kind === 'state') {
    const because = what.reason === 'condition' ? '' : `: ${words.because[what.reason]}`
    return html`<li class="${what.state}"><p>${words.transition(what.state, what.reason, times === 1)}${because}</p><p class="soft">${when(frame, firstAt)}${repeated}</p></li>`
  }
  const reasons: Readonly<Record<string, string>> = words.toldReason
  const reason = Object.hasOwn(reasons, what.reason) ? reasons[what.reason] : what.reason
  return html`<li class="told"><p>${words.told(what.status, shown(what.receiver, 60), integrationText(frame, what.integration))}: ${shown(reason ?? '', 80)}</p><p class="soft">${when(frame, firstAt)}${repeated}</p></li>`
}

/** `slack/0` in words; its number only where there are more. */
export function integrationText({ words }: Pick<Frame, 'words'>, integration: string): string {
  const [kind = '', index = '0'] = integration.split('/')
  const name = (Object.hasOwn(words.receivers.kinds, kind) ? words.receivers.kinds[kind] : kind) ?? kind
  return index === '0' ? name : `${name} ${Number(index) + 1}`
}

// ---- acknowledging

export const longestName = 256
export const longestText = 4_096

export function acknowledgePage(
  frame: Frame,
  {
    alert,
    values,
    problems,
  }: { readonly alert: Alert; readonly values: FormValues; readonly problems: Problems },
): PageContent {
  const { words } = frame
  const labels = words.acknowledge
  const at = alertHref(frame, alert.fingerprint)
  const content = html`<p class="back"><a href="${at}">← ${nameOf(alert)}, ${whatIsAffected(frame, alert)}</a></p>
<form class="card form narrow" method="post" action="${at}/acknowledge" novalidate>
<h1>${labels.title}</h1>
<p class="soft">${labels.text}</p>
${problemSummary(words, problems, labels)}
${nameField(frame, { label: labels.by, values, problems })}
${field({ name: 'comment', label: labels.comment, hint: labels.commentHint, value: values.get('comment') ?? '', problem: problems.get('comment'), isFirst: frame.actor?.kind === 'person' })}
${field({ name: 'duration', label: labels.duration, hint: labels.durationHint, value: values.get('duration') ?? '', problem: problems.get('duration') })}
<p class="buttons"><button>${labels.submit}</button><a class="button quiet" href="${at}">${labels.cancel}</a></p>
</form>`
  return { title: labels.title, item: 'alerts', canReload: false, content }
}

/** Whoever is known by name is not asked for it. */
export function nameField(
  { actor }: Frame,
  {
    label,
    values,
    problems,
  }: { readonly label: string; readonly values: FormValues; readonly problems: Problems },
): Content {
  if (actor?.kind === 'person') return ''
  const value = values.get('by') ?? ''
  return field({
    name: 'by',
    label,
    value,
    problem: problems.get('by'),
    isRequired: true,
    isFirst: true,
    autocomplete: 'name',
  })
}

// ---- the link

export function linkPage(
  frame: Frame,
  { alert, link }: { readonly alert: Alert; readonly link: AlertLink | null },
): PageContent {
  const { words } = frame
  const url = webAddress(link?.url)
  const [noneTitle, noneText] = words.link.none
  const validUntil = link?.validUntil ?? null
  const content = html`<p class="back"><a href="${alertHref(frame, alert.fingerprint)}">← ${nameOf(alert)}, ${whatIsAffected(frame, alert)}</a></p>
<section class="card narrow">
${
  url === null
    ? html`<h1>${noneTitle}</h1><p>${noneText}</p><p><a class="button quiet" href="${alertHref(frame, alert.fingerprint, '/explain')}">${words.alert.explain}</a></p>`
    : html`<h1>${words.link.title}</h1><p>${words.link.text}</p>
<p class="soft">${validUntil === null ? '' : html`${words.link.validUntil} ${moment(frame, validUntil)}. `}${words.link.warning}</p>
<p><a class="button" href="${url}" rel="noreferrer">${words.link.open}</a></p>`
}
</section>`
  return { title: url === null ? noneTitle : words.link.title, item: 'alerts', canReload: false, content }
}
