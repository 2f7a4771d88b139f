// The API's other side in memory, for tests of the API alone: alerts that are put in by hand, one
// route per receiver, and silences as alerting-semantics section 8 has them.

import { randomUUID } from 'node:crypto'
import type { Alert } from '../../src/alerts/alert.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import type { Acknowledgement, Silence, SilenceState } from '../../src/alerts/silence.ts'
import type {
  AlertGroup,
  AlertingApi,
  SilenceInput,
  SilenceOutcome,
  SilenceQuery,
} from '../../src/http/alerting-api.ts'
import { isSameMatcher, matchesAll } from '../../src/matcher.ts'
import { sampleAlert } from '../notify/sample.ts'

export interface FakeAlerting extends AlertingApi {
  readonly book: Map<string, Alert>
  readonly silenceMap: Map<string, Silence>
  readonly acknowledgements: Map<string, Acknowledgement>
  readonly inhibited: Map<string, readonly string[]>
  readonly muted: Map<string, readonly string[]>
  readonly flapping: Set<string>
  /** Fingerprints of alerts that have a link. */
  readonly links: Set<string>
  add(n: number, changes?: Partial<Alert>): Alert
  problems: readonly string[]
}

export const fakeConfig = `global:
  resolve_timeout: 5m
route:
  receiver: on-call
  group_by: [alertname, manufacturer]
  routes:
    - receiver: pager
      matchers: ['severity="critical"']
receivers:
  - name: on-call
    slack_configs:
      - api_url: <secret>
        channel: '#fleet'
  - name: pager
`

export function createFakeAlerting({ now }: { now: () => number }): FakeAlerting {
  const book = new Map<string, Alert>()
  const silenceMap = new Map<string, Silence>()
  const acknowledgements = new Map<string, Acknowledgement>()
  const inhibited = new Map<string, readonly string[]>()
  const muted = new Map<string, readonly string[]>()
  const flapping = new Set<string>()

  const stateOf = ({ startsAt, endsAt }: Silence, at = now()): SilenceState =>
    at < startsAt ? 'pending' : at < endsAt ? 'active' : 'expired'

  function list({ filter, ...wanted }: SilenceQuery): readonly Silence[] {
    const key = { active: 'endsAt', pending: 'startsAt', expired: 'endsAt' } as const
    return (['active', 'pending', 'expired'] as const).flatMap((state) => {
      const found = [...silenceMap.values()].filter(
        (silence) =>
          wanted[state] &&
          stateOf(silence) === state &&
          filter.every((matcher) => silence.matchers.some((own) => isSameMatcher(own, matcher))),
      )
      const sorted = found.sort((a, b) => a[key[state]] - b[key[state]])
      return state === 'expired' ? sorted.reverse() : sorted
    })
  }

  const receiversOf = (labels: Alert['labels']) => [labels['severity'] === 'critical' ? 'pager' : 'on-call']

  async function set(input: SilenceInput): Promise<SilenceOutcome> {
    const invalid = (message: string): SilenceOutcome => ({ kind: 'invalid', message })
    if (input.startsAt >= input.endsAt) return invalid('the start must be before the end')
    if (input.endsAt < now()) return invalid("the end can't be in the past")
    if (input.matchers.every((matcher) => matcher.test('')))
      return invalid('at least one matcher must not match the empty string')
    const before = input.id === undefined ? undefined : silenceMap.get(input.id)
    if (input.id !== undefined && before === undefined)
      return { kind: 'not_found', message: 'silence not found' }
    const isSame =
      before !== undefined &&
      stateOf(before) !== 'expired' &&
      before.matchers.length === input.matchers.length &&
      before.matchers.every((own) => input.matchers.some((other) => isSameMatcher(own, other)))
    if (before !== undefined && !isSame) await expire(before.id)
    const silence: Silence = {
      ...input,
      id: isSame ? before.id : randomUUID(),
      startsAt: isSame ? before.startsAt : Math.max(input.startsAt, now()),
      annotations: input.annotations ?? before?.annotations ?? {},
      updatedAt: now(),
      expiry: null,
      remindedAt: null,
      lastMatchedAt: null,
      unmatchedSince: null,
    }
    silenceMap.set(silence.id, silence)
    return { kind: 'set', silence }
  }

  async function expire(id: string): Promise<boolean> {
    const silence = silenceMap.get(id)
    if (silence === undefined) return false
    if (stateOf(silence) === 'expired') return true
    silenceMap.set(id, { ...silence, startsAt: Math.min(silence.startsAt, now()), endsAt: now() })
    return true
  }

  const fake: FakeAlerting = {
    book,
    silenceMap,
    acknowledgements,
    inhibited,
    muted,
    flapping,
    links: new Set(),
    problems: [],
    add(n, changes = {}) {
      const alert = sampleAlert(n, { evaluatedAt: now(), ...changes })
      const print = changes.fingerprint ?? fingerprint(alert.labels)
      book.set(print, { ...alert, fingerprint: print })
      return { ...alert, fingerprint: print }
    },
    alerts: () => book.values(),
    alert: (print) => (book.get(print)?.state === 'resolved' ? undefined : book.get(print)),
    suppressionOf: ({ fingerprint: print, labels }) => ({
      silencedBy: [...silenceMap.values()]
        .filter((silence) => stateOf(silence) === 'active' && matchesAll(silence.matchers, labels))
        .map(({ id }) => id),
      inhibitedBy: inhibited.get(print) ?? [],
      mutedBy: muted.get(receiversOf(labels)[0] ?? '') ?? [],
    }),
    receiversOf,
    acknowledgementOf: (alert) => acknowledgements.get(alert.fingerprint) ?? null,
    isFlapping: (alert) => flapping.has(alert.fingerprint),
    groups() {
      const groups = new Map<string, AlertGroup & { readonly alerts: Alert[] }>()
      for (const alert of book.values()) {
        if (alert.state === 'pending') continue
        const receiver = receiversOf(alert.labels)[0] ?? ''
        const { alertname = '', manufacturer = '' } = alert.labels
        const key = `${receiver}:${alertname}:${manufacturer}`
        const group = groups.get(key) ?? {
          key,
          labels: { alertname, manufacturer },
          routeKey: '{}',
          receiver,
          alerts: [],
          mutedBy: muted.get(receiver) ?? [],
        }
        group.alerts.push(alert)
        groups.set(key, group)
      }
      return groups.values()
    },
    receivers: () => ['on-call', 'pager'],
    originalConfig: () => fakeConfig,
    silences: { list, get: (id) => silenceMap.get(id), stateOf, set, expire },
    async acknowledge({ fingerprint: print, episode }, { by, comment, until }) {
      const acknowledgement = { fingerprint: print, episode, by, comment, at: now(), until }
      acknowledgements.set(print, acknowledgement)
      return acknowledgement
    },
    withdrawAcknowledgement: async ({ fingerprint: print }) => acknowledgements.delete(print),
    revokeLinks: async (print) => fake.links.delete(print),
    explain: async (id) => (book.has(id) ? { id, why: 'it is false' } : null),
    reload: async () => (fake.problems.length === 0 ? { ok: true } : { ok: false, problems: fake.problems }),
    startedAt: now(),
    version: '0.1.0',
  }
  return fake
}
