// Who changed what, through the whole service: recorded, listed, exported, verified.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { parseRecord } from '../../src/backoffice/audit-record.ts'
import { type RunningApp, type Service, startWorld, until, type World } from './harness.ts'

vi.setConfig({ testTimeout: 120_000 })

interface Line {
  readonly seq: number
  readonly actor: { readonly kind: string; readonly name: string; readonly role: string | null }
  readonly action: string
  readonly result: string
  readonly target: Readonly<Record<string, string>> | null
  readonly detail: Readonly<Record<string, unknown>> | null
  readonly from: string | null
}

async function trailOf(url: string, query = ''): Promise<Line[]> {
  const response = await fetch(`${url}/api/v1/audit${query}`)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

const brief = (lines: readonly Line[]) => lines.map(({ action, result }) => `${action} ${result}`)

async function withAlert(world: World, running: RunningApp): Promise<string> {
  world.lose(world.device(0))
  const [alert] = await until('it fires', async () => {
    const alerts = await running.api.alerts('DeviceLost')
    return alerts.length > 0 && alerts
  })
  return alert!.fingerprint
}

describe.concurrent('the audit trail of the service', () => {
  it('has every change that people make, with who, from where, before and after', async ({ expect }) => {
    await using world = await startWorld({ factor: 60 })
    await using running = await world.startApp()
    const { url, api } = running
    const fingerprint = await withAlert(world, running)
    const { id: device } = world.device(0)

    const silence = await api.silence({ device_id: device }, { forMs: 3_600_000 })
    await api.silence({ device_id: device }, { forMs: 7_200_000, id: silence })
    await api.expire(silence)
    await fetch(`${url}/api/v2/silence/no-such-id`, { method: 'DELETE' })
    await api.silence({ device_id: '' }, { forMs: 3_600_000 }).catch(() => undefined)
    await api.acknowledge(fingerprint)
    await fetch(`${url}/api/v1/alerts/${fingerprint}/acknowledgement`, { method: 'DELETE' })
    expect((await api.reload()).status).toBe(200)

    const lines = await trailOf(url)
    expect(brief(lines)).toEqual([
      'service.start ok',
      ...['silence.set begun', 'silence.set ok'],
      ...['silence.update begun', 'silence.update ok'],
      ...['silence.expire begun', 'silence.expire ok'],
      ...['silence.expire begun', 'silence.expire failed'],
      ...['silence.set begun', 'silence.set failed'],
      ...['acknowledgement.set begun', 'acknowledgement.set ok'],
      ...['acknowledgement.withdraw begun', 'acknowledgement.withdraw ok'],
      ...['configuration.reload begun', 'configuration.reload ok'],
      'audit.export ok',
    ])
    const matchers = `{device_id="${device}"}`
    expect(lines[4]).toMatchObject({
      actor: { kind: 'local', name: '', role: 'admin' },
      target: { silence },
      from: expect.stringMatching(/127\.0\.0\.1|::1/),
      detail: { before: { id: silence, matchers }, after: { id: silence, matchers, createdBy: 'anna' } },
    })
    const { before, after } = lines[4]!.detail as Record<'before' | 'after', { endsAt: string }>
    expect(Date.parse(after.endsAt)).toBeGreaterThan(Date.parse(before.endsAt))
    expect(lines[12]).toMatchObject({
      target: { alert: fingerprint, device },
      detail: { before: null, after: { by: 'anna', comment: 'on my way' } },
    })
    expect(lines[15]?.detail).toEqual({})
    expect(lines[16]?.detail).toEqual({ changed_sections: [], added_rules: [], removed_rules: [] })

    expect(brief(await trailOf(url, `?user=${lines[12]!.target!['user']}`))).toContain(
      'acknowledgement.set ok',
    )
    expect(new Set(brief(await trailOf(url, '?action=silence')).map((line) => line.split('.')[0]))).toEqual(
      new Set(['silence']),
    )
    for (const query of ['?until=1', '?from=yesterday', '?action=a&action=b']) {
      expect((await fetch(`${url}/api/v1/audit${query}`)).status).toBe(400)
    }

    const metrics = await running.metrics()
    expect(metrics.value('fleet_audit_records_total', { result: 'failed' })).toBe(2)
    // What stands in the log can be compared with the trail, and names nobody.
    const logged = running.logs.filter(({ msg }) => msg === 'Audit record')
    expect(logged).toHaveLength(metrics.value('fleet_audit_records_total'))
    expect(JSON.stringify(logged)).not.toContain(device)
    const noted = encodeURIComponent(String(logged[6]!['head']))
    const verify = async (expected: string) =>
      (await (await fetch(`${url}/api/v1/audit/verify?expect=${expected}`)).json()) as object
    expect(await verify(noted)).toMatchObject({ findingCount: 0, findings: [] })
    expect(await verify(`7:${'ab'.repeat(32)}`)).toMatchObject({ findingCount: 1 })
  })

  it('has SIGHUP, what a reload changed, and the end of the service', async ({ expect }) => {
    await using world = await startWorld()
    await using service = world.startService()
    const url = await service.url()
    await writeFile(join(world.folder, 'rules.yaml'), 'groups: []')
    service.child.kill('SIGHUP')
    const reloaded = async (result: string) =>
      until(`a reload is ${result}`, async () =>
        (await trailOf(url, '?action=configuration')).find((line) => line.result === result),
      )
    const line = await reloaded('ok')
    expect(line).toMatchObject({
      actor: { kind: 'service', name: 'SIGHUP', role: null },
      from: null,
      detail: { removed_rules: ['DeviceLost'] },
    })
    await writeFile(world.configFile, '{}')
    service.child.kill('SIGHUP')
    expect((await reloaded('failed')).detail).toMatchObject({ problems: expect.any(Array) })
    await service.end('SIGTERM')

    const verified = await world.runCommand(['audit', 'verify', '--database', world.databaseFile])
    expect(verified).toMatchObject({ code: 0, stderr: '' })
    const exported = await world.runCommand(['audit', 'export', '--database', world.databaseFile])
    const records = exported.stdout.trim().split('\n').map(parseRecord)
    expect(records.at(-1)).toMatchObject({ action: 'service.stop', actor: { kind: 'service' } })
  })

  it('is listed, exported and verified from the command line', async ({ expect }) => {
    await using world = await startWorld()
    await using service: Service = world.startService()
    const url = await service.url()
    const api = await service.api()
    await api.silence({ device_id: 'x' }, { forMs: 3_600_000 })
    const run = (...args: string[]) => world.runCommand(['audit', ...args])

    const listed = await run('list', '--url', url, '--action', 'silence', '--from', '1h')
    expect(listed.code).toBe(0)
    expect(listed.stdout.split('\n')[0]).toMatch(/^seq +at +who +action +result +about$/)
    expect(listed.stdout).toMatch(/local +silence\.set +ok +silence=/)
    const output = join(world.folder, 'trail.jsonl')
    const exported = await run('export', '--url', url, '--output', output)
    expect(exported.code).toBe(0)
    const [, head = ''] = /--expect`: (\S+)$/m.exec(exported.stderr) ?? []
    expect(await run('export', '--url', url, '--output', output)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is there already'),
    })

    expect(await run('verify', '--url', url, '--expect', head)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+ records: whole; head \d+:[0-9a-f]{64}\n$/),
    })
    expect(await run('verify', '--file', output, '--expect', head)).toMatchObject({ code: 0 })
    const lines = (await readFile(output, 'utf8')).trimEnd().split('\n')
    await writeFile(output, lines.toSpliced(1, 1).join('\n'))
    expect(await run('verify', '--file', output)).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(/^record 2 is missing\n4 records: 1 finding; head /),
    })
    await writeFile(output, lines.slice(0, -1).join('\n'))
    expect((await run('verify', '--file', output)).code).toBe(0)
    expect(await run('verify', '--file', output, '--expect', head)).toMatchObject({
      code: 3,
      stdout: expect.stringContaining('whose hash was noted elsewhere, is missing: cut off'),
    })

    // The service has the file: whoever looks at it from outside is told to ask the service.
    expect(await run('verify', '--database', world.databaseFile)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is in use by the service: ask that one'),
    })
    expect(await run('verify', '--url', url, '--expect', 'x')).toMatchObject({ code: 2 })
    expect(await run('list', '--url', url, '--from', 'monday')).toMatchObject({ code: 2 })
  })

  it('lies beside a log of all requests, where that is asked for, which names nobody', async ({ expect }) => {
    await using world = await startWorld({ factor: 60, config: { partner_log: { file: 'calls.jsonl' } } })
    await using running = await world.startApp()
    await withAlert(world, running)
    await running.stop()
    const log = await readFile(join(world.folder, 'calls.jsonl'), 'utf8')
    const paths = log
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { method: string; path: string; status: number; attempt: number })
      .map(({ method, path, status }) => `${method} ${path} ${status}`)
    expect(new Set(paths)).toEqual(
      new Set([
        'POST /oauth2/token/ 200',
        'GET /auth/me 200',
        'GET /org/{org_id}/users 200',
        ...['heat-pumps', 'electric-vehicles', 'inverters'].map(
          (list) => `GET /org/{org_id}/users/{user_id}/${list} 200`,
        ),
      ]),
    )
    const { fleet } = world
    const ids = [fleet.organizationId, fleet.userId(0), world.device(0).id]
    for (const id of ids) expect(log).not.toContain(id)
  })

  it('is pruned by the service when its time is over, and stays whole', async ({ expect }) => {
    // A day in half a minute.
    await using world = await startWorld({ factor: 6_000, config: { audit: { keep: '1d' } } })
    await using running = await world.startApp()
    const [pruned] = await until('the first records go', () =>
      trailOf(running.url, '?action=audit.prune').then((lines) => lines.length > 0 && lines),
    )
    expect(pruned?.detail).toMatchObject({ pruned_seq: expect.any(Number) })
    const verdict = await (await fetch(`${running.url}/api/v1/audit/verify`)).json()
    expect(verdict).toMatchObject({ findings: [] })
    expect((verdict as { firstSeq: number }).firstSeq).toBeGreaterThan(1)
  })
})
