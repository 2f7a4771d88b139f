// The HTTP API of the service as its users call it: amtool, Grafana, karma, and our own commands.

import type { Clock } from '../../src/clock.ts'

export interface ApiAlert {
  readonly fingerprint: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: string
  readonly isFlapping: boolean
  readonly status: { readonly state: string; readonly silencedBy: readonly string[] }
}

export interface ApiSilence {
  readonly id: string
  readonly startsAt: string
  readonly status: { readonly state: 'pending' | 'active' | 'expired' }
}

export interface ServiceApi {
  /** As `amtool silence add NAME=VALUE… --duration`, or with `id` as `silence update`; gives its id. */
  silence(
    labels: Readonly<Record<string, string>>,
    options: {
      readonly forMs: number
      readonly id?: string
      readonly annotations?: Readonly<Record<string, string>>
    },
  ): Promise<string>
  expire(id: string): Promise<void>
  stateOfSilence(id: string): Promise<ApiSilence['status']['state']>
  silences(): Promise<readonly ApiSilence[]>
  /** Those that fire, of one alert name. */
  alerts(alertname: string): Promise<readonly ApiAlert[]>
  acknowledge(fingerprint: string): Promise<void>
  /** POST /-/reload. */
  reload(): Promise<{ readonly status: number; readonly text: string }>
}

export function serviceApi(url: string, clock: Pick<Clock, 'now'>): ServiceApi {
  async function call(method: string, path: string, body?: unknown): Promise<Response> {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }
  const json = async <T>(path: string) => (await (await call('GET', path)).json()) as T

  return {
    async silence(labels, { forMs, id, annotations }) {
      const now = clock.now()
      const startsAt =
        id === undefined
          ? new Date(now).toISOString()
          : (await json<ApiSilence>(`/api/v2/silence/${id}`)).startsAt
      const response = await call('POST', '/api/v2/silences', {
        id: id ?? '',
        matchers: Object.entries(labels).map(([name, value]) => ({
          ...{ name, value, isRegex: false, isEqual: true },
        })),
        startsAt,
        endsAt: new Date(now + forMs).toISOString(),
        createdBy: 'anna',
        comment: 'heating is replaced',
        ...(annotations === undefined ? {} : { annotations }),
      })
      const { silenceID } = (await response.json()) as { silenceID: string }
      return silenceID
    },
    async expire(id) {
      await call('DELETE', `/api/v2/silence/${id}`)
    },
    stateOfSilence: async (id) => (await json<ApiSilence>(`/api/v2/silence/${id}`)).status.state,
    silences: () => json('/api/v2/silences'),
    alerts: (alertname) =>
      json(`/api/v1/alerts?filter=${encodeURIComponent(`alertname=${JSON.stringify(alertname)}`)}`),
    async acknowledge(fingerprint) {
      const path = `/api/v1/alerts/${fingerprint}/acknowledgement`
      await call('POST', path, { by: 'anna', comment: 'on my way' })
    },
    async reload() {
      const response = await fetch(`${url}/-/reload`, { method: 'POST' })
      return { status: response.status, text: await response.text() }
    },
  }
}
