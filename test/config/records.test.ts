// What is kept and for how long: audit, privacy, partner_log.

import { describe, expect, it } from 'vitest'
import { parseAlerting, told } from './parse.ts'

const alerting = 'route: {receiver: r}\nreceivers: [{name: r}]'
const parsed = async (more: string) => {
  const { audit, privacy, partnerLog } = await parseAlerting(alerting, { more })
  return { audit, privacy, partnerLog }
}
const day = 86_400_000

describe('what is kept', () => {
  it('has defaults: a trail of 400 days, resolved alerts of 15 minutes, no log of requests', async () => {
    expect(await parsed('')).toEqual({
      audit: { keepMs: 400 * day },
      privacy: { resolvedAlertsMs: 900_000 },
      partnerLog: null,
    })
  })

  it('is as it is told', async () => {
    expect(
      await parsed(`
audit: {keep: 10y}
privacy: {resolved_alerts: 2d}
partner_log: {file: calls.jsonl, max_size: 2GiB, files: 1}`),
    ).toEqual({
      audit: { keepMs: 3_650 * day },
      privacy: { resolvedAlertsMs: 2 * day },
      partnerLog: { path: '/etc/fleet/calls.jsonl', maximumBytes: 2 * 1024 ** 3, files: 1 },
    })
    expect((await parsed('partner_log: {}')).partnerLog).toEqual({
      path: '/etc/fleet/data/partner-calls.jsonl',
      maximumBytes: 64 * 1024 ** 2,
      files: 4,
    })
    expect((await parsed('partner_log: {max_size: 2000000}')).partnerLog?.maximumBytes).toBe(2_000_000)
  })

  it.each([
    ['audit: {keep: 1h}', 'expected a duration from 1d to 7300d, got "1h"'],
    ['privacy: {resolved_alerts: 5m}', 'expected a duration from 15m to 90d, got "5m"'],
    ['partner_log: {max_size: 10MB}', 'expected a size from 1MiB to 64GiB, such as 64MiB, got "10MB"'],
    ['partner_log: {max_size: 10KiB}', 'expected a size from 1MiB to 64GiB, such as 64MiB, got "10KiB"'],
    ['partner_log: {file: data/}', 'expected the path of a file, got "data/"'],
    ['audit: {kept: 1d}', 'unknown key "kept"'],
  ])('is refused, with what is expected: %s', async (more, message) => {
    expect((await told(alerting, { more })).join('\n')).toContain(message)
  })
})
