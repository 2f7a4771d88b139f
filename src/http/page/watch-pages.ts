// How the watcher itself fares: the last walks and what they could not read, rules and their health,
// receivers and their last result.

import { html } from 'hono/html'
import type { IntegrationActivity, RecentWalk } from '../../activity.ts'
import { isFiring } from '../../alerts/alert.ts'
import { formatDuration } from '../../duration.ts'
import type { UnknownReason } from '../../fleet/verdict.ts'
import type { AlertingApi } from '../alerting-api.ts'
import { severityRank } from './alert-list.ts'
import { integrationText } from './alert-page.ts'
import { listHref } from './alerts-page.ts'
import {
  breakable,
  type Content,
  type Frame,
  type Html,
  type PageContent,
  severityBadge,
  shown,
  when,
} from './layout.ts'
import type { PageReceiver, PageRule, PageSources } from './page-sources.ts'

function empty([title, text]: readonly [string, string]): Html {
  return html`<div class="empty"><p class="big">${title}</p><p>${text}</p></div>`
}

// ---- walks

export function walksPage(frame: Frame, sources: PageSources): PageContent {
  const { words } = frame
  const walks = sources.walks()
  const runningSince = sources.walkingSince()
  const content = html`<h1>${words.walks.title}</h1>
<p class="soft">${words.walks.text} ${words.walks.promise}</p>
${runningSince === null ? '' : html`<p class="note">${words.walks.running} ${when(frame, runningSince)}</p>`}
${walks.length === 0 ? empty(words.walks.none) : html`<ol class="cards">${walks.map((walk) => walkCard(frame, walk))}</ol>`}
<p class="hint">${words.walks.since} ${when(frame, sources.since)}</p>`
  return { title: words.walks.title, item: 'walks', canReload: true, content }
}

const walkTones = { complete: 'well', partial: 'odd', failed: 'bad', stopped: 'odd' } as const

function walkCard(frame: Frame, { outcome, startedAt, endedAt, unread, ...counts }: RecentWalk): Html {
  const { words } = frame
  const { users, usersUnread, devices, devicesUnread } = counts
  return html`<li class="card walk">
<p class="head"><span class="verdict ${walkTones[outcome]}">${words.walks.outcome[outcome]}</span> ${when(frame, endedAt)} <span class="soft">${words.walks.lasted} ${formatDuration(Math.max(0, endedAt - startedAt))}</span></p>
${users === null || devices === null || outcome === 'failed' ? '' : html`<p>${words.walks.read(users, devices)}${(usersUnread ?? 0) + (devicesUnread ?? 0) === 0 ? '' : html` · <b>${words.walks.notRead(usersUnread ?? 0, devicesUnread ?? 0)}</b>`}</p>`}
${unread.length === 0 ? '' : html`<details><summary>${words.walks.unread}</summary><ul class="unread">${unread.map(({ what, reason, count, problem }) => html`<li><b>${words.number(count)}</b> ${words.walks.what[what]}: ${words.walks.reason[reason]} <span class="soft" lang="en">${shown(problem, 200)}</span></li>`)}</ul></details>`}
</li>`
}

// ---- rules

export function rulesPage(
  frame: Frame,
  { sources, api }: { readonly sources: PageSources; readonly api: AlertingApi },
): PageContent {
  const { words } = frame
  const rules = sources.rules()
  const counts = countByRule(api)
  const columns = Object.values(words.rules.columns)
  const sorted = rules.toSorted(
    (a, b) =>
      rankOf(b) - rankOf(a) ||
      (counts.get(b.id)?.firing ?? 0) - (counts.get(a.id)?.firing ?? 0) ||
      severityRank(a.severity) - severityRank(b.severity),
  )
  const content = html`<h1>${words.rules.title}</h1>
<p class="soft">${words.rules.text}</p>
${rules.length === 0 ? empty(words.rules.none) : html`<table class="card wide" role="table"><thead role="rowgroup"><tr role="row">${columns.map((name) => html`<th role="columnheader" scope="col">${name}</th>`)}</tr></thead><tbody role="rowgroup">${sorted.map((rule) => ruleRow(frame, rule, counts.get(rule.id)))}</tbody></table>`}
<p class="hint">${words.rules.counted} ${when(frame, sources.since)}</p>`
  return { title: words.rules.title, item: 'rules', canReload: true, content }
}

interface RuleCount {
  firing: number
  pending: number
}

function countByRule(api: AlertingApi): ReadonlyMap<string, RuleCount> {
  const counts = new Map<string, RuleCount>()
  for (const alert of api.alerts()) {
    const count = counts.get(alert.ruleId) ?? { firing: 0, pending: 0 }
    if (isFiring(alert)) count.firing++
    else if (alert.state === 'pending') count.pending++
    counts.set(alert.ruleId, count)
  }
  return counts
}

/** What fails goes first. */
function rankOf({ activity: { unknown } }: PageRule): number {
  return Number((unknown.rule_error ?? 0) > 0)
}

function ruleRow(frame: Frame, rule: PageRule, count: RuleCount = { firing: 0, pending: 0 }): Html {
  const { words, root } = frame
  const { columns } = words.rules
  const { alertname, severity, each, deviceTypes, forMs, keepFiringForMs, activity } = rule
  const about =
    each === 'device' || deviceTypes.length > 0
      ? deviceTypes.map((type) => words.deviceType[type]).join(', ')
      : ''
  const scope = each === 'device' ? about : `${words.rules.each[each]}${about === '' ? '' : `: ${about}`}`
  const cell = (label: string, value: Content, kind = '') =>
    html`<td role="cell" data-label="${label}"${kind === '' ? '' : html` class="${kind}"`}><div>${value}</div></td>`
  const linked = (tab: 'all' | 'pending', value: number): Content =>
    value === 0
      ? '0'
      : html`<a href="${listHref(root, { rule: alertname, tab })}">${words.number(value)}<span class="vh">: ${shown(alertname, 80)}</span></a>`
  return html`<tr role="row"><th role="rowheader" scope="row">${breakable(shown(alertname, 80))}</th>
${cell(columns.severity, severityBadge(frame, severity))}
${cell(columns.about, scope)}
${cell(columns.waits, html`${forMs === 0 ? words.rules.atOnce : formatDuration(forMs)}${keepFiringForMs === 0 ? '' : html`<br><span class="soft after">${words.rules.keeps(formatDuration(keepFiringForMs))}</span>`}`)}
${cell(columns.firing, linked('all', count.firing), 'number')}
${cell(columns.pending, linked('pending', count.pending), 'number')}
${cell(columns.day, words.number(activity.firedInDay), 'number')}
${cell(columns.last, activity.lastFiredAt === null ? html`<span class="soft">${words.rules.never}</span>` : when(frame, activity.lastFiredAt))}
${cell(columns.health, health(frame, rule))}
</tr>`
}

function health({ words }: Frame, { activity: { unknown } }: PageRule): Html {
  const { rule_error: failed = 0, ...others } = unknown
  const reasons = (Object.entries(others) as [UnknownReason, number][]).filter(([, count]) => count > 0)
  const sum = reasons.reduce((total, [, count]) => total + count, 0)
  const text = reasons.map(([reason]) => words.unknown[reason]).join(', ')
  if (failed > 0) return html`<span class="verdict bad">${words.rules.failing(failed)}</span>`
  return sum === 0
    ? html`<span class="verdict well">${words.rules.ok}</span>`
    : html`<span class="verdict well">${words.rules.ok}</span> <span class="soft">${words.rules.unknownFor(sum, text)}</span>`
}

// ---- receivers

export function receiversPage(frame: Frame, sources: PageSources): PageContent {
  const { words } = frame
  const { queued, oldestAt } = sources.queue()
  const content = html`<h1>${words.receivers.title}</h1>
<p class="soft">${words.receivers.text}</p>
${queued === 0 ? '' : html`<p class="note odd">${words.watch.waiting(queued)}${oldestAt === null ? '' : html`, ${when(frame, oldestAt)}`}</p>`}
<ul class="cards">${sources.receivers().map((receiver) => receiverCard(frame, receiver))}</ul>
<p class="hint">${words.walks.since} ${when(frame, sources.since)}</p>`
  return { title: words.receivers.title, item: 'receivers', canReload: true, content }
}

function receiverCard(frame: Frame, { name, integrations }: PageReceiver): Html {
  const { words } = frame
  return html`<li class="card"><h2>${shown(name, 80)}</h2>
${integrations.length === 0 ? html`<p class="soft">${words.receivers.nowhere}</p>` : html`<ul class="rows">${integrations.map(({ kind, index, activity }) => html`<li class="row integration"><p class="what"><b>${integrationText(frame, `${kind}/${index}`)}</b></p>${result(frame, activity)}</li>`)}</ul>`}</li>`
}

function result(frame: Frame, { lastAttempt, lastDelivered, delivered, failure }: IntegrationActivity): Html {
  const { words } = frame
  if (lastAttempt === null) return html`<p class="soft">${words.receivers.never}</p>`
  const { outcome, at } = lastAttempt
  const tone = outcome === 'ok' ? 'well' : outcome === 'permanent' ? 'bad' : 'odd'
  return html`<div><p><span class="verdict ${tone}">${words.receivers.outcome[outcome]}</span> ${words.receivers.lastAttempt} ${when(frame, at)}</p>
${failure === null ? '' : html`<p class="wrong"><span lang="en">${words.receivers.failure(shown(failure.reason, 300), failure.attempts)}</span>${failure.permanent ? html`<br>${words.receivers.permanent}` : ''}</p>`}
<p class="soft">${lastDelivered === null ? '' : html`${words.receivers.lastDelivered} ${when(frame, lastDelivered.at)}: ${words.toldReason[lastDelivered.reason]} · `}${words.receivers.delivered(delivered)}</p></div>`
}
