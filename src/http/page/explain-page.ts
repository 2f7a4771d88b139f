// Why an alert is there: what the device says now, what the rule makes of it part by part, what it waits for,
// its way through the routes, and what is told next. The same as the command `explain`.

import { html } from 'hono/html'
import type { AlertExplanation, Explanation, RuleExplanation } from '../../explain.ts'
import type { TracedStep } from '../../rules/rule.ts'
import { integrationText } from './alert-page.ts'
import {
  alertHref,
  type Content,
  type Frame,
  type Html,
  nameOf,
  type PageContent,
  shown,
  when,
} from './layout.ts'

const deepest = 6
const mostSteps = 200

export function explainPage(
  frame: Frame,
  { explanation, fingerprint }: { explanation: Explanation; fingerprint: string },
): PageContent {
  const { words } = frame
  const [alert] = explanation.alerts
  const name = alert === undefined ? fingerprint : nameOf(alert)
  const content = html`<p class="back"><a href="${alertHref(frame, fingerprint)}">← ${name}</a></p>
<h1>${words.explain.title}</h1>
<p class="soft">${explanation.reading === null ? words.explain.notADevice : words.explain.text}</p>
${reading(frame, explanation)}
${explanation.rules.map((rule) => ruleCard(frame, rule))}
${explanation.alerts.map((one) => alertCard(frame, one))}
<p class="hint">${words.explain.english}</p>`
  return { title: `${words.explain.title}: ${name}`, item: 'alerts', canReload: false, content }
}

function reading(frame: Frame, { reading: read, at }: Explanation): Content {
  if (read === null) return ''
  const { words } = frame
  return html`<p class="note${read.state === 'read' ? '' : ' odd'}"><b>${words.explain.read[read.state]}</b> ${read.problem === null ? '' : html`<span lang="en">${shown(read.problem, 300)}</span> `}${when(frame, at)}</p>`
}

function ruleCard(frame: Frame, { alertname, verdict, steps, clear }: RuleExplanation): Html {
  const { words } = frame
  return html`<section class="card"><h2>${words.explain.rule} ${shown(alertname, 80)} <span class="verdict">${words.explain.verdict(verdict)}</span></h2>
${stepTable(frame, steps)}
${clear === null || clear.length === 0 ? '' : html`<h3>${words.explain.clear}</h3>${stepTable(frame, clear)}`}</section>`
}

function stepTable({ words }: Frame, steps: readonly TracedStep[]): Content {
  if (steps.length === 0) return ''
  return html`<table class="steps"><thead><tr><th scope="col">${words.explain.part}</th><th scope="col">${words.explain.value}</th></tr></thead><tbody>${steps
    .slice(0, mostSteps)
    .map(
      ({ source, depth, text }) =>
        html`<tr><td><code class="d${Math.min(depth, deepest)}">${shown(source, 300)}</code></td><td><code class="v">${shown(text, 120)}</code></td></tr>`,
    )}</tbody></table>`
}

function alertCard(frame: Frame, alert: AlertExplanation): Html {
  const { words } = frame
  const { waitsFor, heldFor, routes, groups, owner } = alert
  return html`<section class="card"><h2>${words.explain.timers}</h2>
<p>${waitsFor === null ? words.explain.nothingToWaitFor : html`<span lang="en">${shown(waitsFor, 300)}</span>`}</p>
${heldFor === null ? '' : html`<p class="note odd">${words.explain.held[heldFor]}</p>`}</section>
<section class="card"><h2>${words.explain.next}</h2>
${groups.length === 0 ? html`<p>${words.explain.noGroups}</p>` : groups.map((group) => groupPart(frame, group))}</section>
${owner === null ? '' : html`<section class="card"><h2>${words.explain.owner}</h2><p lang="en">${shown(owner, 300)}</p></section>`}
<section class="card"><h2>${words.explain.route}</h2>
<ul class="routes">${routes.map(({ key, receiver, depth, outcome, failed }) => html`<li class="d${Math.min(depth, deepest)}"><code>${shown(key, 200)}</code> → ${shown(receiver, 60)} <span class="soft" lang="en">${shown(outcome, 80)}${failed === '' ? '' : html` <code>${shown(failed, 200)}</code>`}</span></li>`)}</ul></section>`
}

function groupPart(
  frame: Frame,
  { key, receiver, nextFlushAt, next, mutedBy }: AlertExplanation['groups'][number],
): Html {
  const { words } = frame
  return html`<p><b>${shown(receiver, 60)}</b> <code>${shown(key, 300)}</code></p>
<p class="soft">${words.explain.nextTick} ${when(frame, nextFlushAt)}${mutedBy.length === 0 ? '' : ` · ${words.alerts.muted(shown(mutedBy.join(', '), 100))}`}</p>
<ul>${next.map(({ integration, what }) => html`<li>${integrationText(frame, integration.split('/').slice(-2).join('/'))}: <span lang="en">${shown(what, 300)}</span></li>`)}</ul>`
}
