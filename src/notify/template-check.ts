// Whether the templates of a configuration can say what they have to: each one is rendered for made-up
// alerts, single and many, firing and resolved, bare and hostile, before it has to at night.

import type { Alert } from '../alerts/alert.ts'
import type { ReceiverConfig } from '../config.ts'
import { createMessage, listedAlerts } from './message.ts'
import type { TemplateError } from './message-template.ts'
import type { AlertLink, Notification } from './notification.ts'
import { createEmailTemplates, createSlackTemplates, type TemplateFailure } from './template-parts.ts'

/** What is wrong with one template; in the order of the configuration, each fault once. */
export interface TemplateProblem {
  readonly receiver: string
  readonly kind: TemplateFailure['kind']
  /** Position in its receiver's list of this kind, from 0. */
  readonly index: number
  readonly part: string
  readonly message: string
  /** Characters from the template's start, from 0. */
  readonly offset: number
}

/** Renders every template of every receiver for every sample, as the receiver would. */
export function checkTemplates(
  receivers: readonly ReceiverConfig[],
  samples: readonly TemplateSample[] = templateSamples(),
): readonly TemplateProblem[] {
  const problems = new Map<string, TemplateProblem>()
  for (const { name: receiver, slack, email } of receivers) {
    let sampleName = ''
    const onTemplateFailure = ({ kind, index, part, error }: TemplateFailure) => {
      const identity = JSON.stringify([receiver, kind, index, part, error.message])
      if (problems.has(identity)) return
      const message = describe(error, sampleName)
      problems.set(identity, { receiver, kind, index, part, message, offset: error.offset })
    }
    const channels = [
      ...slack.map(({ template, showPersonalData }, index) => ({
        showPersonalData,
        render: createSlackTemplates(template, { receiver, index, onTemplateFailure }),
      })),
      ...email.map(({ template, showPersonalData }, index) => ({
        showPersonalData,
        render: createEmailTemplates(template, { receiver, index, onTemplateFailure }),
      })),
    ]
    for (const { render, showPersonalData } of channels) {
      for (const { name, notification, links, moreUrl } of samples) {
        sampleName = name
        const message = createMessage(notification, { links, showPersonalData, moreUrl })
        render(message, { ...notification, receiver })
      }
    }
  }
  return [...problems.values()]
}

/** What is found without rendering holds for all messages. */
function describe({ kind, message }: TemplateError, sampleName: string): string {
  return kind === 'syntax' ? message : `${message} (with ${sampleName})`
}

// ---- samples

export interface TemplateSample {
  /** Fits after "with": `a single alert that fires`. */
  readonly name: string
  readonly notification: Notification
  /** By fingerprint. */
  readonly links: ReadonlyMap<string, AlertLink>
  readonly moreUrl: string | null
}

// Any will do; the same at each check.
const now = Date.UTC(2026, 0, 15, 12, 0)
const minute = 60_000

const hostile =
  '<!channel> <@U0> <https://evil.example|here> & "quoted" \'single\' <script>alert(1)</script> *b* `c`\r\n{{ x }}'

/** A group of every kind that the messages of the service can be about. */
export function templateSamples(): readonly TemplateSample[] {
  const many = Array.from({ length: 12 }, (_, n) => sampleAlert(n))
  const bare = sampleAlert(0, {
    subject: { kind: 'fleet', group: '' },
    labels: { alertname: 'Sample' },
    annotations: {},
    affected: { externalUserId: null, name: null, email: null, model: null },
  })
  const nasty = sampleAlert(0, {
    labels: { alertname: hostile, severity: hostile, manufacturer: hostile, device_type: 'heat_pump' },
    annotations: { summary: hostile, description: hostile.repeat(20) },
    affected: { externalUserId: hostile, name: hostile, email: hostile, model: hostile },
  })
  const ended = (alert: Alert, reason: Alert['resolvedReason'] = 'condition'): Alert => ({
    ...alert,
    state: 'resolved',
    resolvedAt: now,
    resolvedReason: reason,
  })
  return [
    sample('a single alert that fires', 'first notification', many.slice(0, 1), []),
    sample('many alerts', 'new alerts', many, []),
    sample('a reminder', 'repeat', many.slice(0, 3), []),
    sample(
      'alerts of which some resolved',
      'some resolved',
      many.slice(0, 2),
      many.slice(2, 4).map((a) => ended(a)),
    ),
    sample('a resolved alert', 'all resolved', [], [ended(sampleAlert(0))]),
    sample('an alert that ended unseen', 'all resolved', [], [ended(sampleAlert(0), 'device_deleted')]),
    sample('an alert about the fleet that has labels alone', 'first notification', [bare], []),
    sample('text that tries to be markup', 'first notification', [nasty], []),
    sample('text that tries to be markup, resolved', 'all resolved', [], [ended(nasty)]),
  ]
}

function sample(
  name: string,
  reason: Notification['reason'],
  firing: readonly Alert[],
  resolved: readonly Alert[],
): TemplateSample {
  const [alert] = [...firing, ...resolved]
  const { alertname = '', ...others } = alert?.labels ?? {}
  const group = ['manufacturer', 'device_type'].flatMap((label) => {
    const value = others[label]
    return value === undefined ? [] : [[label, value] as const]
  })
  const notification: Notification = {
    groupKey: 'sample',
    groupLabels: { alertname, ...Object.fromEntries(group) },
    routeKey: '{}',
    acknowledged: new Map(),
    receiver: 'sample',
    reason,
    status: firing.length > 0 ? 'firing' : 'resolved',
    firing,
    resolved,
    at: now,
  }
  // Every second one, as links can't always be had.
  const links = listedAlerts(notification).flatMap(({ fingerprint }, n) =>
    n % 2 === 0
      ? [
          [
            fingerprint,
            { url: `https://fleet.example.com/r/${n}?a=1&b=2`, validUntil: now + 60 * minute },
          ] as const,
        ]
      : [],
  )
  return { name, notification, links: new Map(links), moreUrl: 'https://fleet.example.com/alerts' }
}

function sampleAlert(n: number, changes: Partial<Alert> = {}): Alert {
  const activeAt = now - 26 * 60 * minute + n * minute
  const [userId, deviceId] = [`user-${n}`, `device-${n}`]
  return {
    key: `sample-${n}`,
    fingerprint: `sample-${n}`,
    ruleId: 'sample/Sample',
    definition: 'sample',
    subject: { kind: 'device', userId, deviceType: 'heat_pump', deviceId },
    labels: {
      alertname: 'Sample',
      severity: 'critical',
      device_type: 'heat_pump',
      manufacturer: 'Example',
      user_id: userId,
      device_id: deviceId,
    },
    annotations: {
      summary: 'A sample: nothing is wrong',
      description: 'Made up to try the templates with.',
      runbook_url: 'https://fleet.example.com/runbooks/sample',
    },
    affected: {
      externalUserId: `K-${n}`,
      name: 'Sample Customer',
      email: 'customer@example.com',
      model: 'Model 1',
    },
    state: 'firing',
    episode: `sample-${n}`,
    activeAt,
    firedAt: activeAt,
    keepFiringSince: null,
    resolvedAt: null,
    resolvedReason: null,
    reconnectedAt: null,
    noData: n === 1 ? { reason: 'poll_failed', since: now - 30 * minute, evaluations: 3 } : null,
    flips: [],
    flappingSince: null,
    deletedSeen: 0,
    evaluatedAt: now,
    settled: false,
    ...changes,
  }
}
