// `fleetwarden notify-test`: sends a sample message and its resolution to a receiver, through the same
// code as real alerts, and says what came of it.

import type { Alert } from '../alerts/alert.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { nearestName } from '../nearest-name.ts'
import { integrationKey } from '../notify/lane.ts'
import type { Integration, Notification, SendOutcome } from '../notify/notification.ts'
import { createIntegrations } from '../notify/receivers/registry.ts'

export interface NotifyTestOptions {
  /** Name of the receiver. */
  readonly receiver: string
  readonly config: Pick<Config, 'alerting'>
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly print: (line: string) => void
}

const attemptTimeoutMs = 60_000
const longestWaitMs = 60_000

/** The exit code: 0 all messages were taken, 1 some were not, 2 there is no such receiver. */
export async function notifyTest({
  receiver,
  config,
  clock,
  signal,
  print,
}: NotifyTestOptions): Promise<0 | 1 | 2> {
  const { receivers } = config.alerting
  const found = receivers.find(({ name }) => name === receiver)
  if (found === undefined) {
    const names = receivers.map(({ name }) => name)
    const near = nearestName(receiver, names)
    const hint = near === undefined ? `there are: ${names.join(', ')}` : `did you mean ${near}?`
    print(`There is no receiver ${JSON.stringify(receiver)}; ${hint}`)
    return 2
  }
  const integrations = createIntegrations([found], {
    clock,
    moreUrl: () => null,
    onLayoutRefused: ({ answer }) => print(`  Slack refused the layout (${answer}); trying plain text`),
    onTemplateFailure: ({ part, error }) =>
      print(`  The template of its ${part} failed (${error.message}); sending the built-in one`),
  })
  if (integrations.length === 0) {
    print(`Receiver ${receiver} has no integrations: alerts routed to it reach nobody.`)
    return 1
  }
  let failed = false
  try {
    for (const integration of integrations) {
      for (const sample of samples(receiver, clock.now())) {
        const what = `${integrationKey(integration)}, ${sample.status} message`
        if (sample.status === 'resolved' && !integration.sendResolved) {
          print(`${what}: not sent, as configured (send_resolved: false)`)
          continue
        }
        const outcome = await attempt(integration, sample, { clock, signal })
        print(`${what}: ${described(outcome)}`)
        failed ||= outcome.kind !== 'ok' || (outcome.refused ?? []).length > 0
        await clock.sleep(integration.minimumSpacingMs, signal)
      }
    }
  } finally {
    await Promise.all(integrations.map((integration) => integration.close()))
  }
  return failed ? 1 : 0
}

/** One attempt, and a second one after a rate limit that isn't long. */
async function attempt(
  integration: Integration,
  sample: Notification,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<SendOutcome> {
  const send = () =>
    integration.send(sample, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(attemptTimeoutMs)]),
      delivered: [],
      receiverData: null,
      linkFor: async () => null,
    })
  const outcome = await send()
  if (outcome.kind !== 'rate_limited' || (outcome.retryAfterMs ?? 0) > longestWaitMs) return outcome
  await clock.sleep(outcome.retryAfterMs ?? 1_000, signal)
  return send()
}

function described(outcome: SendOutcome): string {
  switch (outcome.kind) {
    case 'ok': {
      const refused = outcome.refused ?? []
      return refused.length === 0
        ? 'taken'
        : `taken, but not for ${refused.join(', ')}: the server refuses them`
    }
    case 'retry':
      return `failed, the service would try again: ${outcome.reason}`
    case 'rate_limited': {
      const wait = outcome.retryAfterMs === null ? '' : `, for ${Math.ceil(outcome.retryAfterMs / 1_000)} s`
      return `not taken: too many messages${wait}`
    }
    case 'permanent':
      return `refused for good: ${outcome.reason}`
    default:
      return outcome satisfies never
  }
}

function samples(receiver: string, now: number): readonly Notification[] {
  const deviceId = 'notify-test'
  const firing: Alert = {
    key: 'notify-test',
    fingerprint: 'notify-test',
    ruleId: 'notify-test/NotifyTest',
    definition: 'notify-test',
    subject: { kind: 'device', userId: 'notify-test', deviceType: 'heat_pump', deviceId },
    labels: {
      alertname: 'NotifyTest',
      severity: 'info',
      device_type: 'heat_pump',
      manufacturer: 'Example',
      user_id: 'notify-test',
      device_id: deviceId,
    },
    annotations: {
      summary: 'A test by fleetwarden notify-test: nothing is wrong',
      description:
        'If you can read this, alerts reach you here. A resolved message follows, unless that is switched off.',
    },
    affected: { externalUserId: 'TEST-1', name: 'Test Customer', email: 'customer@example.com', model: null },
    state: 'firing',
    episode: `notify-test-${now}`,
    activeAt: now - 15 * 60_000,
    firedAt: now,
    keepFiringSince: null,
    resolvedAt: null,
    resolvedReason: null,
    reconnectedAt: null,
    noData: null,
    deletedSeen: 0,
    evaluatedAt: now,
    settled: false,
    flips: [],
    flappingSince: null,
  }
  const resolved: Alert = { ...firing, state: 'resolved', resolvedAt: now, resolvedReason: 'condition' }
  const common = {
    groupKey: 'notify-test',
    groupLabels: { alertname: 'NotifyTest' },
    routeKey: '{}',
    acknowledged: new Map(),
    receiver,
    at: now,
  }
  return [
    { ...common, reason: 'first notification', status: 'firing', firing: [firing], resolved: [] },
    { ...common, reason: 'all resolved', status: 'resolved', firing: [], resolved: [resolved] },
  ]
}
