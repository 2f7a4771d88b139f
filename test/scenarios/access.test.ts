// Who may do what, of the whole service: each endpoint is there, a reload takes a token away, and no
// secret leaves traces.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { endpoints } from '../../src/http/permissions.ts'
import { ask } from '../http/ask.ts'
import { startWorld, until } from './harness.ts'

vi.setConfig({ testTimeout: 120_000 })

const tokenOf = (name: string) => `fwt_${name}-r7Qm2XvK9dT4`
const entry = (name: string, role: string) => ({
  ...{ name, role, hash: `sha256:${createHash('sha256').update(tokenOf(name)).digest('hex')}` },
})
const tokens = [entry('ada', 'admin'), entry('vera', 'viewer')]
const bearer = (name: string) => ({ authorization: `Bearer ${tokenOf(name)}` })

describe.concurrent('access', () => {
  it('is this machine’s alone without a configuration, and the log says so', async ({ expect }) => {
    await using world = await startWorld()
    await using running = await world.startApp()
    expect(await running.api.reload()).toEqual({ status: 200, text: 'ok\n' })
    const lines = running.logs.filter(({ msg }) => msg.startsWith('Only this machine can use the API'))
    expect(lines).toHaveLength(2)
  })

  it('has every endpoint of its table', async ({ expect }) => {
    await using world = await startWorld({ config: { http: { access: { tokens } } } })
    await using running = await world.startApp()
    // Those of links are there where links are configured.
    for (const { name } of endpoints.filter(({ needs }) => needs !== 'link')) {
      const [method = '', path = ''] = name.split(' ')
      const target = path.replace(/:\w+/g, 'nothing-of-this-name')
      const { body } = await ask(running.url, target, { method, headers: bearer('ada') })
      expect(body, name).not.toBe('not found\n')
    }
  })

  it('is taken away and given by a reload, from the next request on', async ({ expect }) => {
    await using world = await startWorld({ config: { http: { access: { tokens } } } })
    await using service = world.startService()
    const url = await service.url()
    const status = async (name: string, path = '/api/v2/alerts', method = 'GET') =>
      (await ask(url, path, { method, headers: bearer(name) })).status
    expect(await status('vera')).toBe(200)
    expect(await status('vera', '/-/reload', 'POST')).toBe(403)

    await world.configure({
      http: { access: { tokens: [entry('ada', 'admin'), entry('otto', 'operator')] } },
    })
    expect(await status('ada', '/-/reload', 'POST')).toBe(200)
    expect(await status('vera')).toBe(401)
    expect(await status('otto')).toBe(200)
    expect(service.logs.filter(({ msg }) => msg.includes('only after a restart'))).toEqual([])

    await world.configure({ http: { access: { tokens: [{ ...entry('ada', 'admin'), hash: 'sha256:x' }] } } })
    const refused = await ask(url, '/-/reload', { method: 'POST', headers: bearer('ada') })
    expect(refused.status).toBe(500)
    expect(refused.body).toContain('expected sha256: and 64 hexadecimal digits')
    expect(await status('otto')).toBe(200)

    // The last one that may reload goes: only a signal can bring it back.
    await world.configure({ http: { access: { tokens: [entry('otto', 'operator')] } } })
    service.child.kill('SIGHUP')
    await until('the token is gone', async () => (await status('ada')) === 401)

    const metrics = await service.metrics()
    expect(metrics.value('fleet_access_denied_total', { reason: 'role' })).toBe(1)
    expect(metrics.value('fleet_access_denied_total', { reason: 'unknown_token' })).toBeGreaterThanOrEqual(2)
    expect(metrics.value('fleet_access_denied_total', { reason: 'other_site' })).toBe(0)
    const [denied] = service.logs.filter(({ msg }) => msg === 'Request denied')
    expect(denied).toMatchObject({
      ...{ level: 'warn', kind: 'token', name: 'vera', role: 'viewer', from: '127.0.0.1' },
      ...{ endpoint: 'POST /-/reload', needs: 'admin', reason: 'role' },
    })
    const [unknown] = service.logs.filter(({ msg }) => msg === 'Request refused')
    expect(unknown).toMatchObject({
      reason: 'unknown_token',
      endpoint: 'GET /api/v2/alerts',
      from: '127.0.0.1',
    })
    expect(service.output()).not.toMatch(/fwt_|r7Qm2XvK9dT4/)
    for (const file of ['fleet.db', 'fleet.db-wal'])
      expect(await readFile(join(world.folder, file), 'latin1').catch(() => '')).not.toContain('r7Qm2XvK9dT4')
  })

  it('is asked for by the commands, which have their token from the environment', async ({ expect }) => {
    await using world = await startWorld({ config: { http: { access: { tokens } } } })
    await using service = world.startService()
    const args = ['alerts', '--url', await service.url()]
    expect((await world.runCommand(args)).stderr).toMatch(
      /answers 401: .*--token-file FILE or FLEETWARDEN_TOKEN/,
    )
    const { code, stderr } = await world.runCommand(args, { env: { FLEETWARDEN_TOKEN: tokenOf('vera') } })
    expect([code, stderr]).toEqual([0, ''])
  })
})
