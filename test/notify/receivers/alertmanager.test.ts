import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { createManualClock } from '../../manual-clock.ts'
import { noon, resolvedAlert, sampleAlert, sampleContext, sampleNotification } from '../sample.ts'
import { alertmanagerConfig, integrationOf, postableSchema } from './peers.ts'
import { type ScriptedHttp, startScriptedHttp } from './scripted-http.ts'

describe('the Alertmanager receiver', () => {
  let server: ScriptedHttp
  beforeEach(async () => {
    server = await startScriptedHttp()
  })
  afterEach(() => server.close())

  const receiver = (changes: Parameters<typeof integrationOf>[1] = {}) =>
    integrationOf(
      { alertmanager: alertmanagerConfig(`${server.origin}/am`) },
      { clock: createManualClock(noon), ...changes },
    )

  it('posts firing alerts to last for a day, and resolved ones with their end', async () => {
    const integration = receiver()
    const notification = sampleNotification({ firing: [sampleAlert(1)], resolved: [resolvedAlert(2)] })
    expect(await integration.send(notification, sampleContext())).toEqual({ kind: 'ok' })
    await integration.close()
    expect(server.requests[0]).toMatchObject({ method: 'POST', path: '/am/api/v2/alerts' })
    const { labels, annotations } = sampleAlert(1)
    expect(postableSchema.parse(JSON.parse(server.requests[0]?.body ?? ''))).toEqual([
      {
        labels,
        annotations: {
          ...annotations,
          external_user_id: 'K-4701',
          resolution_url: 'https://fleet.example.com/r/f1',
          resolution_url_expires_at: '2026-11-23T13:00:00.000Z',
        },
        startsAt: '2026-11-23T11:16:00.000Z',
        endsAt: '2026-11-24T12:00:00.000Z',
        generatorURL: 'https://fleet.example.com/alerts',
      },
      {
        labels: sampleAlert(2).labels,
        annotations: { ...annotations, external_user_id: 'K-4702', resolved_reason: 'condition' },
        startsAt: '2026-11-23T11:17:00.000Z',
        endsAt: '2026-11-23T12:00:00.000Z',
        generatorURL: 'https://fleet.example.com/alerts',
      },
    ])
  })

  it('leaves out an origin that there is not, and never ends an alert before its start', async () => {
    const integration = receiver({ moreUrl: () => null })
    const alert = resolvedAlert(1, { firedAt: noon, resolvedAt: noon - 1 })
    await integration.send(sampleNotification({ firing: [], resolved: [alert] }), sampleContext())
    await integration.close()
    const [posted] = postableSchema.parse(JSON.parse(server.requests[0]?.body ?? ''))
    expect(posted).not.toHaveProperty('generatorURL')
    expect(posted?.endsAt).toBe(posted?.startsAt)
  })

  it('posts many in parts, and the parts after a refused one as well', async () => {
    const integration = receiver()
    const firing = Array.from({ length: 600 }, (_, index) => sampleAlert(index + 1))
    server.reply = () => ({ status: server.requests.length === 1 ? 400 : 200 })
    expect(await integration.send(sampleNotification({ firing }), sampleContext())).toEqual({
      kind: 'permanent',
      reason: 'HTTP 400',
    })
    const sizes = server.requests.map(({ body }) => postableSchema.parse(JSON.parse(body)).length)
    expect(sizes).toEqual([256, 256, 88])
    server.reply = { status: 503 }
    expect(await integration.send(sampleNotification({ firing }), sampleContext())).toMatchObject({
      kind: 'retry',
    })
    expect(server.requests).toHaveLength(4)
    await integration.close()
  })
})

const program = '/usr/bin/prometheus-alertmanager'

describe.skipIf(!existsSync(program))('a real Alertmanager', () => {
  let folder: string
  let child: ChildProcess
  let url: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetwarden-am-'))
    const config = join(folder, 'alertmanager.yml')
    await writeFile(config, 'route: {receiver: nobody}\nreceivers: [{name: nobody}]\n')
    const args = [
      `--config.file=${config}`,
      `--storage.path=${folder}`,
      '--web.listen-address=127.0.0.1:0',
      '--cluster.listen-address=',
      '--log.format=json',
    ]
    child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    url = await new Promise<string>((resolve, reject) => {
      let log = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        log += chunk.toString('utf8')
        const address = /"address":"(127\.0\.0\.1:\d+)"/.exec(log)?.[1]
        if (address !== undefined) resolve(`http://${address}`)
      })
      child.once('exit', () => reject(new Error(log)))
    })
  })

  afterAll(async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill()
    await gone
    await rm(folder, { recursive: true, force: true })
  })

  async function alerts(): Promise<
    { labels: Record<string, string>; annotations: Record<string, string> }[]
  > {
    return (await (await fetch(`${url}/api/v2/alerts`)).json()) as never
  }

  it('has the alert while it fires, and not once it resolved', async () => {
    const integration = integrationOf({ alertmanager: alertmanagerConfig(url) }, { clock: systemClock })
    const now = systemClock.now()
    const times = { activeAt: now - 3_600_000, firedAt: now - 1_800_000 }
    const notification = sampleNotification({ firing: [sampleAlert(1, times), sampleAlert(2, times)] })
    expect(await integration.send(notification, sampleContext())).toEqual({ kind: 'ok' })
    const found = await alerts()
    expect(found.map(({ labels }) => labels['device_id'])).toHaveLength(2)
    expect(found.find(({ labels }) => labels['device_id']?.endsWith('01'))).toMatchObject({
      labels: sampleAlert(1).labels,
      annotations: { external_user_id: 'K-4701', resolution_url: 'https://fleet.example.com/r/f1' },
      startsAt: new Date(times.firedAt).toISOString(),
    })

    const over = sampleNotification({
      reason: 'some resolved',
      firing: [sampleAlert(2, times)],
      resolved: [resolvedAlert(1, { ...times, resolvedAt: now - 1_000 })],
    })
    expect(await integration.send(over, sampleContext())).toEqual({ kind: 'ok' })
    expect((await alerts()).map(({ labels }) => labels)).toEqual([sampleAlert(2).labels])
    await integration.close()
  })

  it('says which alert it refuses, and keeps the others', async () => {
    const integration = integrationOf({ alertmanager: alertmanagerConfig(url) }, { clock: systemClock })
    const times = { activeAt: systemClock.now(), firedAt: systemClock.now() }
    const nameless = sampleAlert(3, { ...times, labels: { alertname: '' } })
    const firing = [nameless, sampleAlert(4, times)]
    const outcome = await integration.send(sampleNotification({ firing }), sampleContext())
    expect(outcome).toEqual({ kind: 'permanent', reason: 'HTTP 400 (at least one label pair required)' })
    expect((await alerts()).some(({ labels }) => labels['device_id']?.endsWith('04'))).toBe(true)
    await integration.close()
  })
})
