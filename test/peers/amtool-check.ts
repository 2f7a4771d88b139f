// Runs Alertmanager's own amtool against our API: against alerts in memory, or with a URL against a
// running service: node bin/node24.js test/peers/amtool-check.ts http://127.0.0.1:9469
// What it leaves behind there are silences that have expired, with the comment "amtool check".

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { systemClock } from '../../src/clock.ts'
import { type ApiServer, startApiServer } from '../http/api-server.ts'

interface Ran {
  readonly status: number | null
  readonly out: string
  readonly error: string
}

interface ShownAlert {
  readonly fingerprint: string
  readonly labels: Readonly<Record<string, string>>
}

interface ShownSilence {
  readonly id: string
  readonly endsAt: string
  readonly comment: string
  readonly status: { readonly state: string }
}

const [givenUrl] = process.argv.slice(2)
const own = givenUrl === undefined ? await startOwn() : null
const url = (givenUrl ?? own?.url ?? '').replace(/\/$/, '')
const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-amtool-'))
const failures: string[] = []
let checks = 0

try {
  await checkConfiguration()
  await checkAlerts()
  await checkSilences()
  await checkRefusals()
  if (givenUrl === undefined) await checkTokens()
} catch (error) {
  failures.push(error instanceof Error ? error.message : String(error))
} finally {
  await own?.close()
  await rm(folder, { recursive: true, force: true })
}
for (const failure of failures) console.error(`FAILED: ${failure}`)
console.log(`amtool: ${checks} checks, ${failures.length} failed`)
process.exitCode = failures.length === 0 ? 0 : 1

async function startOwn(): Promise<ApiServer> {
  const server = await startApiServer(systemClock)
  const { alerting } = server
  const startedAt = systemClock.now() - 3_600_000
  for (let n = 1; n <= 5; n++) alerting.add(n, { activeAt: startedAt, firedAt: startedAt + n * 1_000 })
  const odd = { alertname: 'ManufacturerOutage', severity: 'warning', note: 'comma, "quote" ü' }
  alerting.add(6, { activeAt: startedAt, firedAt: startedAt, labels: odd, annotations: {} })
  return server
}

function run(...args: string[]): Promise<Ran> {
  return runAt(url, ...args)
}

function runAt(address: string, ...args: string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    // Not from this machine's own settings of amtool.
    const env = { ...process.env, HOME: folder }
    const child = spawn('amtool', [`--alertmanager.url=${address}`, ...args], { env })
    let out = ''
    let error = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      error += text
    })
    child.on('error', (cause) => {
      reject(
        new Error(`cannot run amtool (Debian's package "prometheus-alertmanager" has it): ${cause.message}`),
      )
    })
    child.on('close', (status) => resolve({ status, out, error }))
  })
}

/** What it prints, if it ends well. */
async function amtool(...args: string[]): Promise<string> {
  const { status, out, error } = await run(...args)
  expect(`amtool ${args.join(' ')}`, status === 0 && !error.includes('panic'), `exit ${status}: ${error}`)
  return out
}

function expect(what: string, holds: boolean, details: unknown = ''): void {
  checks++
  if (!holds) failures.push(`${what} ${typeof details === 'string' ? details : JSON.stringify(details)}`)
}

async function get(path: string): Promise<unknown> {
  const response = await fetch(`${url}/api/v2${path}`)
  if (!response.ok) throw new Error(`${url}/api/v2${path} answers ${response.status}`)
  return response.json()
}

async function checkConfiguration(): Promise<void> {
  const { config } = (await get('/status')) as { config: { original: string } }
  const shown = await amtool('config', 'show')
  expect('config show prints config.original', shown.includes(config.original.trim()))
  const file = join(folder, 'alertmanager.yml')
  await writeFile(file, config.original)
  expect('check-config takes config.original', (await amtool('check-config', file)).includes('SUCCESS'))
  expect('config routes show has a tree', (await amtool('config', 'routes', 'show')).includes('receiver: '))
  const receivers = ((await get('/receivers')) as { name: string }[]).map(({ name }) => name)
  const tested = (await amtool('config', 'routes', 'test', 'alertname=Test', 'severity=critical')).trim()
  const isKnown = tested.split(',').every((name) => receivers.includes(name.trim()))
  expect('config routes test names receivers that exist', isKnown, { tested, receivers })
  if (own !== null) expect('config routes test follows the routes', tested === 'pager', tested)
  await amtool('cluster', 'show')
}

async function checkAlerts(): Promise<void> {
  const active = (await get('/alerts?silenced=false&inhibited=false')) as ShownAlert[]
  const shown = async (...args: string[]) =>
    JSON.parse(await amtool('alert', 'query', ...args, '-o', 'json')) as ShownAlert[]
  const isSame = (alerts: readonly ShownAlert[], expected: readonly ShownAlert[]) =>
    JSON.stringify(alerts.map(print).sort()) === JSON.stringify(expected.map(print).sort())
  expect('alert query shows the active alerts', isSame(await shown(), active))
  await amtool('alert', 'query')
  await amtool('alert', 'query', '-o', 'extended')
  const all = await shown('--active', '--silenced', '--inhibited', '--unprocessed')
  expect('alert query with all flags shows all', isSame(all, (await get('/alerts')) as ShownAlert[]))

  const first = active[0]
  const name = first?.labels['alertname'] ?? 'None'
  const named = active.filter(({ labels }) => labels['alertname'] === name)
  expect('alert query NAME', isSame(await shown(name), named))
  expect('alert query a=b', isSame(await shown(`alertname=${name}`), named))
  expect(
    'alert query a=~b',
    isSame(await shown(`alertname=~${name.slice(0, 3)}.*`, `alertname="${name}"`), named),
  )
  const others = active.filter((alert) => !named.includes(alert))
  expect('alert query a!=b', isSame(await shown(`alertname!=${name}`), others))
  expect('alert query a!~b', isSame(await shown(`alertname!~"${name}|x"`), others))
  expect('alert query of none', (await shown('alertname=None', 'severity=none')).length === 0)
  expect('alert query --receiver', (await shown('--receiver', 'no such receiver')).length === 0)
  if (own !== null) {
    expect('there are alerts to look at', active.length === 6 && named.length > 0)
    expect('alert query of a value with commas', (await shown('note="comma, \\"quote\\" ü"')).length === 1)
    expect('alert query --receiver', (await shown('--receiver', 'on-.*')).length === 1)
  }
}

function print({ fingerprint, labels }: ShownAlert): string {
  return JSON.stringify([fingerprint, Object.entries(labels).sort()])
}

async function checkSilences(): Promise<void> {
  const matchers = ['check=amtool', 'device_type=~"heat.*|x"', 'severity!=none', 'name!~"y.*"']
  const words = ['--author', 'amtool', '--comment', 'amtool check']
  const id = (await amtool('silence', 'add', ...words, '--duration', '1h', ...matchers)).trim()
  expect('silence add prints an id', /^[0-9a-f-]{36}$/.test(id), id)
  const query = async (...args: string[]) =>
    JSON.parse(await amtool('silence', 'query', '-o', 'json', ...args)) as ShownSilence[]
  const find = async (wanted: string, ...args: string[]) =>
    (await query(...args)).find((silence) => silence.id === wanted)
  const before = await find(id)
  expect('silence query shows it', before?.status.state === 'active', before)
  expect('silence query -q', (await amtool('silence', 'query', '-q')).includes(id))
  expect('silence query finds it by its matchers', (await find(id, ...matchers.slice(0, 2))) !== undefined)
  expect('silence query tells it from others', (await find(id, 'check=other')) === undefined)
  await amtool('silence', 'query')
  await amtool('silence', 'query', '-o', 'extended')

  // Not -q: amtool 0.25 prints an address in memory then.
  const longer = ['--duration', '3h', '--comment', 'amtool check 2']
  const updated = JSON.parse(await amtool('silence', 'update', ...longer, '-o', 'json', id)) as ShownSilence[]
  expect('silence update keeps the id', updated[0]?.id === id, updated)
  const after = await find(id)
  const isLonger = Date.parse(after?.endsAt ?? '') > Date.parse(before?.endsAt ?? '')
  expect('silence update changes it', isLonger && after?.comment === 'amtool check 2', after)

  const file = join(folder, 'silences.json')
  await writeFile(file, await amtool('silence', 'query', '-o', 'json', 'check=amtool'))
  await amtool('silence', 'expire', id)
  expect('silence expire ends it', (await find(id)) === undefined)
  expect('silence query --expired shows it', (await find(id, '--expired'))?.status.state === 'expired')

  const imported = (await amtool('silence', 'import', file)).trim().split('\n').at(-1) ?? ''
  expect('silence import adds it again', (await find(imported))?.status.state === 'active', imported)
  await amtool('silence', 'import', '--force', file)
  for (const silence of await query('check=amtool')) await amtool('silence', 'expire', silence.id)
  expect('nothing is left', (await query('check=amtool')).length === 0)
}

/** What is refused has to arrive as words. */
async function checkRefusals(): Promise<void> {
  const refusals: readonly (readonly [RegExp, ...string[]])[] = [
    [/empty/, 'silence', 'add', '-a', 'a', '-c', 'c', '-d', '1h', 'a=~".*"'],
    [/404/, 'silence', 'expire', '00000000-0000-4000-8000-000000000000'],
    [/501/, 'alert', 'add', 'alertname=x'],
  ]
  for (const [expected, ...args] of refusals) {
    const { status, error } = await run(...args)
    const isRefused = status !== 0 && !error.includes('panic') && (own === null || expected.test(error))
    expect(`amtool ${args.join(' ')} is refused with words`, isRefused, `exit ${status}: ${error}`)
  }
}

/** Access tokens, as amtool takes them: from the file of --http.config.file. */
async function checkTokens(): Promise<void> {
  const hash = createHash('sha256').update('fwt_check').digest('hex')
  const tokens = [{ name: 'check', role: 'viewer' as const, hash, expiresAt: null }]
  const server = await startApiServer(systemClock, { access: { tokens, proxy: null, metrics: 'public' } })
  try {
    const file = join(folder, 'http.yml')
    await writeFile(file, 'authorization: {type: Bearer, credentials: fwt_check}\n')
    const withToken = [`--http.config.file=${file}`]
    const without = await runAt(server.url, 'alert', 'query')
    expect('amtool without a token is refused', without.status !== 0 && /401/.test(without.error), without)
    const query = await runAt(server.url, ...withToken, 'alert', 'query')
    expect('amtool with a token is let in', query.status === 0, query)
    const silence = ['silence', 'add', '-a', 'a', '-c', 'c', '-d', '1h', 'a=b']
    const denied = await runAt(server.url, ...withToken, ...silence)
    const isDenied = denied.status !== 0 && /403/.test(denied.error)
    expect('amtool may not silence as a viewer', isDenied, denied)
    server.access.update({ tokens: [{ ...tokens[0]!, role: 'operator' }], proxy: null, metrics: 'public' })
    const added = await runAt(server.url, ...withToken, ...silence)
    expect('amtool may silence as an operator', added.status === 0, added)
  } finally {
    await server.close()
  }
}
