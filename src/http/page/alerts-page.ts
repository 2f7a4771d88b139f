// The first page: what fires now, as it is told, the worst and newest on top.

import { html } from 'hono/html'
import type { Alert } from '../../alerts/alert.ts'
import { isFiring } from '../../alerts/alert.ts'
import type { Parameters } from '../alert-query.ts'
import type { AlertingApi } from '../alerting-api.ts'
import {
  type AlertList,
  alertTabs,
  emptyQuery,
  type ListedGroup,
  type ListQuery,
  since,
  type TabChoice,
} from './alert-list.ts'
import { field, selectField } from './form.ts'
import {
  alertHref,
  breakable,
  type Content,
  type Frame,
  type Html,
  nameOf,
  type PageContent,
  severityBadge,
  severityClass,
  shown,
  whatIsAffected,
  when,
  withQuery,
} from './layout.ts'
import type { PageSources } from './page-sources.ts'

const textNames = ['text', 'rule', 'manufacturer', 'severity', 'owner', 'filter', 'group'] as const
type TextName = (typeof textNames)[number]
const longestText = 1_000

// Where a name is a label's, it is the label's: dashboards and people write these addresses by hand.
const parameterNames: Readonly<Record<TextName, string>> = {
  text: 'q',
  rule: 'alertname',
  manufacturer: 'manufacturer',
  severity: 'severity',
  owner: 'owner',
  filter: 'filter',
  group: 'group',
}
export const filterOpen = { name: 'edit', value: 'filter' } as const

/** Whatever somebody types into an address leads to a page: what cannot be meant counts as left out. */
export function parseListQuery(parameters: Parameters): ListQuery {
  const last = (name: string) => (parameters.get(name)?.at(-1) ?? '').trim().slice(0, longestText)
  const texts = Object.fromEntries(textNames.map((name) => [name, last(parameterNames[name])])) as Record<
    TextName,
    string
  >
  const state = last('state')
  const tab = ([...alertTabs, 'all'] as const).find((known) => known === state) ?? 'open'
  const page = Number(last('page'))
  return { ...emptyQuery, ...texts, tab, page: Number.isSafeInteger(page) && page > 0 ? page : 1 }
}

/** Leads to the page with this query, from its folder. */
export function listHref(root: string, query: Partial<ListQuery>): string {
  const { tab = 'open', page = 1 } = query
  const parameters: Record<string, string> = {}
  for (const name of textNames) parameters[parameterNames[name]] = query[name] ?? ''
  return withQuery(root, {
    ...parameters,
    state: tab === 'open' ? '' : tab,
    page: page === 1 ? '' : String(page),
  })
}

export interface AlertsPage {
  readonly query: ListQuery
  readonly list: AlertList
  readonly api: AlertingApi
  readonly sources: PageSources
  /** Whether the form with the filters is open. */
  readonly isEditing: boolean
}

export function alertsPage(frame: Frame, { query, list, api, sources, isEditing }: AlertsPage): PageContent {
  const { words } = frame
  const count = list.counts[query.tab]
  const isFiltered = textNames.some((name) => query[name] !== '')
  const [emptyTitle] = isFiltered ? words.alerts.emptyFiltered : words.alerts.empty[query.tab]
  const isUnknown = count === 0 && !isFiltered && sources.walks().length === 0
  const heading = isUnknown
    ? words.watch.neverRead
    : count === 0
      ? emptyTitle
      : words.alerts.heading(query.tab, count)
  const content = html`${watchLine(frame, sources)}
<h1>${heading}</h1>
<div class="bar">${tabs(frame, query, list)}${isEditing ? '' : filterButton(frame, query)}</div>
${isEditing ? filterForm(frame, query, list) : filterLine(frame, query, list)}
${list.groups.length === 0 ? nothing(frame, query, isFiltered ? 'filtered' : isUnknown ? 'unknown' : watchTone(sources) === 'well' ? 'calm' : 'empty') : list.groups.map((group, index) => groupCard(frame, { group, index, query, api, isOnly: list.groups.length === 1 }))}
${pager(frame, query, list)}`
  const title =
    query.tab === 'open' && count > 0 ? `(${words.number(count)}) ${words.alerts.title}` : words.alerts.title
  return { title, item: 'alerts', canReload: !isEditing, content }
}

// ---- is the quiet to be believed

/** `well`: an empty list means that all is well. */
function watchTone(sources: PageSources): 'well' | 'odd' | 'bad' {
  const [walk] = sources.walks()
  if (!sources.queue().isDelivering || walk?.outcome === 'failed') return 'bad'
  return walk?.outcome === 'complete' ? 'well' : 'odd'
}

const readTexts = {
  complete: 'read',
  partial: 'readGaps',
  failed: 'readFailed',
  stopped: 'readGaps',
} as const

function watchLine(frame: Frame, sources: PageSources): Html {
  const { words, root } = frame
  const [walk] = sources.walks()
  const { queued, isDelivering } = sources.queue()
  const facts: Content[] = []
  if (walk === undefined) {
    const isUnderWay = sources.walkingSince() !== null
    facts.push(html`<span>${words.watch.neverRead}${isUnderWay ? `, ${words.watch.walking}` : ''}</span>`)
  } else {
    facts.push(html`<span><b>${words.watch[readTexts[walk.outcome]]}</b> ${when(frame, walk.endedAt)}</span>`)
    if (walk.devices !== null && walk.outcome !== 'failed') {
      facts.push(html`<span>${words.watch.devices(walk.devices, walk.users ?? 0)}</span>`)
    }
    if ((walk.usersUnread ?? 0) > 0) {
      facts.push(html`<span>${words.watch.unreadUsers(walk.usersUnread ?? 0)}</span>`)
    }
  }
  if (!isDelivering) facts.push(html`<a href="${root}receivers">${words.watch.failing}</a>`)
  if (queued > 0) facts.push(html`<a href="${root}receivers">${words.watch.waiting(queued)}</a>`)
  return html`<section class="watch ${watchTone(sources)}" aria-label="${words.watch.label}"><span class="dot" aria-hidden="true"></span><p>${facts}</p><a href="${root}walks">${words.watch.details}</a></section>`
}

// ---- which alerts

function tabs({ words, root }: Frame, query: ListQuery, { counts }: AlertList): Html {
  const choices: readonly TabChoice[] = [...alertTabs, 'all']
  return html`<nav class="tabs" aria-label="${words.alerts.tabsLabel}"><ul>${choices.map(
    (tab) =>
      html`<li><a href="${listHref(root, { ...query, tab, page: 1 })}"${tab === query.tab ? html` aria-current="true"` : ''}>${words.alerts.tabs[tab]} <b>${words.number(counts[tab])}</b></a></li>`,
  )}</ul></nav>`
}

function filterButton({ words, root }: Frame, query: ListQuery): Html {
  const isFiltered = textNames.some((name) => query[name] !== '')
  const href = withQuery(listHref(root, query), { [filterOpen.name]: filterOpen.value })
  return html`<a class="button quiet" href="${href}">${isFiltered ? words.alerts.change : words.alerts.filter}</a>`
}

function filterLine(frame: Frame, query: ListQuery, { filterProblem }: AlertList): Content {
  const { words, root } = frame
  const active = textNames.filter((name) => query[name] !== '')
  if (active.length === 0) return ''
  return html`<div class="filters">
<ul class="chips">${active.map((name) => chip(frame, query, name))}</ul>
<a class="quiet-link" href="${listHref(root, { tab: query.tab })}">${words.alerts.clear}</a>
</div>${badFilter(frame, filterProblem)}`
}

function chip({ words, root }: Frame, query: ListQuery, name: TextName): Html {
  const text = `${words.alerts.fields[name]}: ${shown(query[name], 80)}`
  const href = listHref(root, { ...query, [name]: '', page: 1 })
  return html`<li><a class="chip" href="${href}"><span class="vh">${words.alerts.removes(text)}</span><span aria-hidden="true">${text} ✕</span></a></li>`
}

function badFilter({ words }: Frame, problem: string | null): Content {
  if (problem === null) return ''
  return html`<p class="wrong" role="alert">${words.alerts.badFilter} <span lang="en">${shown(problem, 200)}</span></p>`
}

function filterForm(frame: Frame, query: ListQuery, { choices, filterProblem }: AlertList): Html {
  const { words, root } = frame
  const { fields, hints } = words.alerts
  const choose = (name: 'rule' | 'manufacturer' | 'severity', options: readonly string[]) =>
    selectField({
      name: parameterNames[name],
      label: fields[name],
      value: query[name],
      options: [
        { value: '', text: words.alerts.any },
        // What is asked for stays choosable when no alert has it any more.
        ...[...new Set([...options, query[name]])]
          .filter((value) => value !== '')
          .map((value) => ({ value, text: shown(value, 80) })),
      ],
    })
  return html`<form class="card form" id="filter" method="get" action="${root}">
${badFilter(frame, filterProblem)}
<div class="columns">
${field({ name: 'q', label: fields.text, hint: hints.text, value: query.text, type: 'search', isFirst: true })}
${field({ name: 'owner', label: fields.owner, hint: hints.owner, value: query.owner })}
${choose('rule', choices.rules)}
${choose('manufacturer', choices.manufacturers)}
${choose('severity', choices.severities)}
${field({ name: 'filter', label: fields.filter, hint: hints.filter, value: query.filter })}
</div>
${query.group === '' ? '' : html`<input type="hidden" name="group" value="${query.group}">`}
${query.tab === 'open' ? '' : html`<input type="hidden" name="state" value="${query.tab}">`}
<p class="buttons"><button>${words.alerts.apply}</button><a class="button quiet" href="${listHref(root, query)}">${words.alerts.cancel}</a></p>
</form>`
}

function nothing(
  { words, root }: Frame,
  query: ListQuery,
  kind: 'filtered' | 'unknown' | 'empty' | 'calm',
): Html {
  const [, text] = kind === 'filtered' ? words.alerts.emptyFiltered : words.alerts.empty[query.tab]
  const isCalm = kind === 'calm' && query.tab === 'open'
  return html`<div class="empty${isCalm ? ' calm' : ''}"><p class="big">${kind === 'unknown' ? words.alerts.beforeFirstWalk : text}</p>
${kind === 'filtered' ? html`<p><a class="button quiet" href="${listHref(root, { tab: query.tab })}">${words.alerts.clear}</a></p>` : ''}</div>`
}

// ---- groups

interface GroupCard {
  readonly group: ListedGroup
  readonly index: number
  readonly query: ListQuery
  readonly api: AlertingApi
  readonly isOnly: boolean
}

function groupCard(frame: Frame, { group: listed, index, query, api, isOnly }: GroupCard): Html {
  const { words, root } = frame
  const { group, severity, count, alerts } = listed
  const [first] = alerts
  const isPending = first?.state === 'pending'
  const ruleOfAll = sameOf(alerts, ({ labels }) => labels['alertname'] ?? '')
  const title = shown(group?.labels['alertname'] ?? ruleOfAll ?? '', 80) || words.alerts.notGrouped
  const summary = sameOf(alerts, ({ annotations }) => annotations['summary'] ?? '')
  const label = `g${index}`
  const href =
    group === null
      ? listHref(root, {
          ...query,
          rule: ruleOfAll ?? query.rule,
          tab: isPending ? 'pending' : query.tab,
          page: 1,
        })
      : listHref(root, { ...query, group: group.key, page: 1 })
  return html`<section class="card group ${severityClass(severity)}" aria-labelledby="${label}">
<header>
<h2 id="${label}">${severityBadge(frame, severity)} ${breakable(title)}${group === null ? '' : labelText(group.labels)}</h2>
<p class="soft">${words.alerts.groupFacts(count)} · ${group === null ? words.alerts.pendingGroup : html`${words.alerts.toldTo} ${shown(group.receiver, 60)}`}${group !== null && group.mutedBy.length > 0 ? html` · ${words.alerts.muted(shown(group.mutedBy.join(', '), 100))}` : ''}</p>
${summary === null || summary === '' ? '' : html`<p class="summary">${shown(summary, 240)}</p>`}
</header>
<ul class="rows">${alerts.map((alert) => alertRow(frame, alert, { api, tab: query.tab, hasOwnSummary: summary === null, hasOwnRule: ruleOfAll === null }))}</ul>
${count > alerts.length && !isOnly ? html`<p class="more"><a href="${href}">${words.alerts.all(count)}<span class="vh">: ${title}</span></a></p>` : ''}
</section>`
}

/** What a group has in common besides its rule. */
function labelText(labels: Alert['labels']): Content {
  const values = Object.entries(labels).filter(([name]) => name !== 'alertname' && name !== 'severity')
  return values.map(([, value]) => html` <span class="of">${shown(value, 60)}</span>`)
}

/** Null: not the same for all. */
function sameOf(alerts: readonly Alert[], of: (alert: Alert) => string): string | null {
  const [first] = alerts
  if (first === undefined) return ''
  return alerts.every((alert) => of(alert) === of(first)) ? of(first) : null
}

interface Row {
  readonly api: AlertingApi
  readonly tab: TabChoice
  readonly hasOwnSummary: boolean
  readonly hasOwnRule: boolean
}

function alertRow(frame: Frame, alert: Alert, { api, hasOwnSummary, hasOwnRule }: Row): Html {
  const { words } = frame
  const { affected, subject } = alert
  const summary = alert.annotations['summary'] ?? ''
  const customer = subject.kind === 'fleet' ? null : (affected.externalUserId ?? subject.userId)
  const isDevice = subject.kind === 'device'
  return html`<li class="row">
<p class="what"><a href="${alertHref(frame, alert.fingerprint)}">${whatIsAffected(frame, alert)}</a>${isDevice && customer !== null ? html` <span class="who">${words.alerts.customer} ${shown(customer, 60)}</span>` : ''}</p>
<p class="since">${when(frame, since(alert))}</p>
${hasOwnRule || (hasOwnSummary && summary !== '') ? html`<p class="soft own">${hasOwnRule ? html`<b>${nameOf(alert)}</b> ` : ''}${hasOwnSummary ? shown(summary, 200) : ''}</p>` : ''}
${marks(frame, alert, api)}
</li>`
}

/** What else is to be known of an alert at a glance. */
export function marks({ words }: Frame, alert: Alert, api: AlertingApi): Content {
  const found: Html[] = []
  const mark = (kind: keyof typeof words.alerts.marks, more = '') =>
    void found.push(
      html`<li class="tag ${kind}">${words.alerts.marks[kind]}${more === '' ? '' : `: ${shown(more, 60)}`}</li>`,
    )
  if (isFiring(alert)) {
    const { silencedBy, inhibitedBy, mutedBy } = api.suppressionOf(alert)
    if (silencedBy.length > 0) mark('silenced')
    if (inhibitedBy.length > 0) mark('inhibited')
    if (mutedBy.length > 0) mark('muted', mutedBy.join(', '))
    const acknowledgement = api.acknowledgementOf(alert)
    if (acknowledgement !== null) mark('acknowledged', acknowledgement.by)
    if (api.isFlapping(alert)) mark('flapping')
    if (alert.state === 'recovering') mark('recovering')
  }
  if (alert.noData !== null && alert.state !== 'resolved') mark('unread')
  return found.length === 0 ? '' : html`<ul class="tags">${found}</ul>`
}

function pager({ words, root }: Frame, query: ListQuery, { page, pages }: AlertList): Content {
  if (pages === 1) return ''
  const to = (other: number) => listHref(root, { ...query, page: other })
  return html`<nav class="pager" aria-label="${words.alerts.pagesLabel}">${page > 1 ? html`<a class="button quiet" rel="prev" href="${to(page - 1)}">${words.alerts.previous}</a>` : html`<span></span>`}<span>${words.alerts.pages(page, pages)}</span>${page < pages ? html`<a class="button quiet" rel="next" href="${to(page + 1)}">${words.alerts.next}</a>` : html`<span></span>`}</nav>`
}
