import { beforeEach, describe, expect, it } from 'vitest'
import type { LogFields } from '../src/logger.ts'
import { silentLogger } from '../src/logger.ts'
import { createMetrics } from '../src/metrics.ts'
import { createTelemetry, type Telemetry } from '../src/telemetry.ts'
import { createManualClock, type ManualClock } from './manual-clock.ts'

const endpoint = { name: 'GET /api/v2/alerts', needs: 'viewer' }
const dayMs = 24 * 3_600_000

describe('telemetry of access', () => {
  let clock: ManualClock
  let lines: [string, LogFields, string][]
  let telemetry: Telemetry
  let scrape: () => Promise<string>

  beforeEach(() => {
    clock = createManualClock()
    lines = []
    const metrics = createMetrics({ clock, version: '', revision: '', nodeVersion: '' })
    scrape = () => metrics.renderOwn()
    const log = (level: string) => (fields: LogFields, message: string) => {
      lines.push([level, fields, message])
    }
    const logger = { ...silentLogger, info: log('info'), warn: log('warn') }
    telemetry = createTelemetry({ logger, metrics, clock })
  })

  it('counts every request that is refused, and logs ten a minute', async () => {
    const refuse = () => {
      for (let n = 0; n < 25; n++) {
        telemetry.access.onRefused({ reason: 'unknown_token', endpoint, from: '192.0.2.7', actor: null })
      }
    }
    refuse()
    expect(lines).toHaveLength(11)
    expect(lines[0]).toEqual([
      'warn',
      { reason: 'unknown_token', endpoint: 'GET /api/v2/alerts', from: '192.0.2.7' },
      'Request refused',
    ])
    expect(lines[10]?.[2]).toBe('More requests of this minute that are refused are counted, not logged')
    await clock.advance(60_000)
    refuse()
    expect(lines).toHaveLength(22)
    expect(await scrape()).toContain('fleet_access_denied_total{reason="unknown_token"} 50')
    expect(await scrape()).toContain('fleet_access_denied_total{reason="expired_token"} 0')
  })

  it('says once who was denied what', async () => {
    const actor = { kind: 'person', name: 'otto', role: 'viewer', from: '192.0.2.7' } as const
    telemetry.access.onRefused({ reason: 'role', endpoint, from: '192.0.2.7', actor })
    telemetry.access.onDenied(actor, { ...endpoint, needs: 'admin' }, 'role')
    expect(lines).toEqual([
      [
        'warn',
        { reason: 'role', ...actor, endpoint: 'GET /api/v2/alerts', needs: 'admin' },
        'Request denied',
      ],
    ])
    expect(await scrape()).toContain('fleet_access_denied_total{reason="role"} 1')
  })

  it('says which tokens have expired or soon will', () => {
    const at = clock.now()
    const token = (name: string, expiresAt: number | null) => ({
      name,
      role: 'viewer' as const,
      hash: '',
      expiresAt,
    })
    const tokens = [
      token('past', at),
      token('soon', at + 14 * dayMs),
      token('later', at + 14 * dayMs + 1),
      token('never', null),
    ]
    telemetry.accessConfigured({ tokens, proxy: null, metrics: 'public' }, at)
    expect(lines.map(([level, { name }, message]) => [level, name, message])).toEqual([
      ['warn', 'past', 'An access token has expired'],
      ['warn', 'soon', 'An access token expires soon'],
    ])
  })
})
